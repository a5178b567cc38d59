/* pack.c: a directory of this machine as an archive.
 *
 * SPDX-License-Identifier: MIT
 *
 * A walk in the order of the names, and a window on the archive that it would
 * be. Both are made again from the file system whenever they are asked for, so
 * neither the size of a tree nor that of a file matters.
 */
#include "internal.h"

#define PACK_PIECE 32               /* entries that one call looks at */
#define PACK_ROOM 1024              /* bytes of names that each may have */

static struct lssb_pack_level *pack_top(struct lssb_pack *pack)
{
    return &pack->own.levels[pack->own.depth - 1];
}

static lssb_status pack_wrong(struct lssb_pack *pack, lssb_status status,
                              const char *why)
{
    pack->wrong = why;
    return status;
}

/* ------------------------------------------------------------- the names -- */

/* A directory's names on their way into its list. */
struct pack_scan {
    struct lssb_pack_level *level;
    char *names;
    size_t limit;                   /* where its list ends at the latest */
    const char *after;              /* only those behind this one; or NULL */
    bool too_long;
};

/* The name that stands last in a list that is not empty. */
static size_t pack_last(const struct lssb_pack_level *level, const char *names)
{
    size_t at = (size_t)level->to - 1;

    while (at > level->from && names[at - 1] != '\0')
        at--;
    return at;
}

/* Where a name belongs in a list. */
static size_t pack_place(const struct lssb_pack_level *level,
                         const char *names, const char *name)
{
    size_t at = level->from;

    while (at < level->to) {
        const char *there = names + at, *here = name;

        while (*there == *here && *here != '\0') {
            there++;
            here++;
        }
        if ((uint8_t)*there >= (uint8_t)*here)
            break;
        at = (size_t)(there - names) + strlen(there) + 1;
    }
    return at;
}

/* Sorts a name in; what is behind all others goes when there is no room. */
static bool pack_take(void *user, const char *name)
{
    struct pack_scan *scan = user;
    struct lssb_pack_level *level = scan->level;
    size_t size = strlen(name) + 1, at;

    if (scan->after != NULL && strcmp(name, scan->after) <= 0)
        return true;
    if (size > scan->limit - level->from) {
        scan->too_long = true;
        return false;
    }
    if (!level->complete && level->to > level->from &&
        strcmp(name, scan->names + pack_last(level, scan->names)) > 0)
        return true;                /* some went already, and so does this */
    at = pack_place(level, scan->names, name);
    while (level->to + size > scan->limit) {
        size_t last = pack_last(level, scan->names);

        level->complete = false;
        if (last < at)
            return true;            /* this one is the last */
        level->to = (uint16_t)last;
    }
    memmove(scan->names + at + size, scan->names + at, level->to - at);
    memcpy(scan->names + at, name, size);
    level->to = (uint16_t)(level->to + size);
    return true;
}

/* Makes room for the names of the directory on top: behind those that wait
 * above it or, if that is too little, in their place. */
static void pack_make_room(struct lssb_pack *pack)
{
    struct lssb_pack_level *top = pack_top(pack), *level;
    uint16_t used = 0;

    for (level = pack->own.levels; level < top; level++) {
        uint16_t len = (uint16_t)(level->to - level->from);

        memmove(pack->own.names + used, pack->own.names + level->from, len);
        level->from = used;
        level->to = used = (uint16_t)(used + len);
    }
    if (LSSB_PACK_NAMES - (size_t)used < PACK_ROOM) {
        for (level = pack->own.levels; level < top; level++) {
            level->complete = level->complete && level->from == level->to;
            level->from = level->to = 0;
        }
        used = 0;
    }
    top->from = top->to = used;
}

/* Where the list of the directory on top ends at the latest: the rest is for
 * the directories in it, whose names would push these out otherwise. */
static size_t pack_limit(const struct lssb_pack_level *top)
{
    size_t room = LSSB_PACK_NAMES - (size_t)top->from, part = room / 8 * 7;

    return top->from + (part > PACK_ROOM ? part : PACK_ROOM);
}

/* Lists the directory on top: its next names. */
static lssb_status pack_refill(struct lssb_pack *pack)
{
    const lssb_files *files = pack->own.files;
    struct lssb_pack_level *top = pack_top(pack);
    struct pack_scan scan;
    lssb_status status;

    pack_make_room(pack);
    scan.level = top;
    scan.names = pack->own.names;
    scan.limit = pack_limit(top);
    scan.after = top->begun ? pack->path + top->path_len +
                                  (top->path_len > 0)
                            : NULL;
    scan.too_long = false;
    top->complete = true;
    status = files->list(files->context, top->directory, pack_take, &scan,
                         &pack->code);
    if (status == LSSB_OK && scan.too_long)
        return pack_wrong(pack, LSSB_E_TOO_LONG, "a name is too long");
    if (status != LSSB_OK)
        return pack_wrong(pack, status, "the directory cannot be listed");
    return LSSB_OK;
}

/* -------------------------------------------------------------- the walk -- */

/* Opens the directory that was just found, and goes on in it. */
static lssb_status pack_enter(struct lssb_pack *pack, const char *name,
                              bool told)
{
    const lssb_files *files = pack->own.files;
    struct lssb_pack_level *level = pack_top(pack);
    lssb_status status;
    intptr_t opened;

    if (pack->own.depth == LSSB_PACK_DEPTH)
        return pack_wrong(pack, LSSB_E_TOO_LONG,
                          "directories are nested too deep");
    status = files->open_directory(files->context, level->directory, name,
                                   &opened, &pack->code);
    if (status != LSSB_OK)
        return pack_wrong(pack, status, "the directory cannot be opened");
    memset(++level, 0, sizeof *level);
    pack->own.depth++;
    level->directory = opened;
    level->path_len = (uint16_t)strlen(pack->path);
    level->from = level->to = level[-1].to;
    level->told = told;
    return LSSB_OK;
}

/* Leaves the directory on top; the path ends with its name. */
static void pack_leave(struct lssb_pack *pack)
{
    const lssb_files *files = pack->own.files;

    pack->path[pack_top(pack)->path_len] = '\0';
    files->close(files->context, pack_top(pack)->directory);
    pack->own.depth--;
}

/* The next name of the directory on top, at the end of the path; NULL: there
 * is none, or *status says why. */
static const char *pack_name(struct lssb_pack *pack, lssb_status *status)
{
    struct lssb_pack_level *top = pack_top(pack);
    const char *name;
    size_t len, at = top->path_len;

    *status = LSSB_OK;
    if (top->from == top->to && !top->complete)
        *status = pack_refill(pack);
    if (*status != LSSB_OK || top->from == top->to)
        return NULL;
    name = pack->own.names + top->from;
    len = strlen(name);
    if (at + 1 + len >= sizeof pack->path - 1) {
        *status = pack_wrong(pack, LSSB_E_TOO_LONG, "a path is too long");
        return NULL;
    }
    if (at > 0)
        pack->path[at++] = '/';
    memcpy(pack->path + at, name, len + 1);
    top->from = (uint16_t)(top->from + len + 1);
    top->begun = true;
    return pack->path + at;
}

/* Where the last component of a path begins. */
static const char *pack_base(const char *path)
{
    const char *at = path, *slash;

    while ((slash = strchr(at, '/')) != NULL)
        at = slash + 1;
    return at;
}

/* Asks what becomes of what the path ends with. */
static lssb_status pack_ask(struct lssb_pack *pack, const char *name)
{
    const lssb_local_info *info = &pack->own.info;
    enum lssb_pack_choice choice = LSSB_PACK_KEEP;
    lssb_status status;

    if (pack->choose != NULL)
        choice = pack->choose(pack->user, pack->path, info);
    pack->own.asking = choice == LSSB_PACK_LATER;
    if (choice == LSSB_PACK_LATER)
        return LSSB_AGAIN;
    if (choice == LSSB_PACK_STOP)
        return LSSB_E_STOPPED;
    if (info->kind == LSSB_ENTRY_OTHER)
        return LSSB_AGAIN;          /* whatever was said */
    if (info->kind != LSSB_ENTRY_DIRECTORY)
        return choice == LSSB_PACK_KEEP ? LSSB_OK : LSSB_AGAIN;
    if (choice == LSSB_PACK_DROP)
        return LSSB_AGAIN;
    status = pack_enter(pack, name, choice == LSSB_PACK_KEEP);
    if (status != LSSB_OK)
        return status;
    return choice == LSSB_PACK_KEEP ? LSSB_OK : LSSB_AGAIN;
}

/* Looks at the name at the end of the path: to be told (LSSB_OK), or not
 * (LSSB_AGAIN). */
static lssb_status pack_look(struct lssb_pack *pack, const char *name)
{
    const lssb_files *files = pack->own.files;
    lssb_local_info *info = &pack->own.info;
    lssb_status status = files->info(files->context, pack_top(pack)->directory,
                                     name, info, &pack->code);

    if (status == LSSB_E_NOT_FOUND)
        return LSSB_AGAIN;          /* it was just removed */
    if (status != LSSB_OK)
        return pack_wrong(pack, status, "it cannot be looked at");
    return pack_ask(pack, name);
}

/* Goes on to the next entry that is to be told; LSSB_END: there is none,
 * LSSB_AGAIN: not yet. */
static lssb_status pack_find(struct lssb_pack *pack)
{
    lssb_status status;
    const char *name;

    if (pack->own.asking)
        return pack_ask(pack, pack_base(pack->path));
    name = pack_name(pack, &status);
    if (name != NULL)
        return pack_look(pack, name);
    if (status != LSSB_OK)
        return status;
    if (pack->own.depth == 1)
        return LSSB_END;
    pack_leave(pack);
    return LSSB_AGAIN;
}

/* ----------------------------------------------------------- the entries -- */

/* Makes the entry at hand of what is known: kind, mode, time. */
static lssb_status pack_fill(struct lssb_pack *pack, intptr_t directory,
                             const char *name, const lssb_local_info *info)
{
    const lssb_files *files = pack->own.files;
    struct lssb_tar_entry *entry = &pack->own.entry;
    lssb_status status = LSSB_OK;

    pack->own.target[0] = '\0';
    if (info->kind == LSSB_ENTRY_SYMLINK)
        status = files->read_link(files->context, directory, name,
                                  pack->own.target, sizeof pack->own.target,
                                  &pack->code);
    if (status != LSSB_OK)
        return pack_wrong(pack, status, "the link cannot be read");
    memset(entry, 0, sizeof *entry);
    entry->kind = info->kind;
    entry->name = pack->path;
    entry->target = pack->own.target;
    entry->mode = info->mode & 0777;
    entry->mtime_s = info->mtime_s;
    if (info->kind == LSSB_ENTRY_FILE)
        entry->size = info->size;
    pack->own.head_len = lssb_tar_head_len(entry);
    pack->own.next = pack->own.at + pack->own.head_len + entry->size +
                     lssb_tar_padding(entry->size);
    return LSSB_OK;
}

/* Tells a directory on the way that is not in the archive yet: the path ends
 * with it meanwhile. */
static lssb_status pack_tell_level(struct lssb_pack *pack,
                                   struct lssb_pack_level *level)
{
    const lssb_files *files = pack->own.files;
    lssb_local_info info;
    lssb_status status;
    const char *name;

    pack->own.cut = level->path_len;
    pack->path[level->path_len] = '\0';
    level->told = true;
    name = pack_base(pack->path);
    status = files->info(files->context, level[-1].directory, name, &info,
                         &pack->code);
    if (status != LSSB_OK || info.kind != LSSB_ENTRY_DIRECTORY)
        return pack_wrong(pack, status != LSSB_OK ? status : LSSB_E_REFUSED,
                          "it cannot be looked at");
    return pack_fill(pack, level[-1].directory, name, &info);
}

/* Tells what was found, directories on the way first. */
static lssb_status pack_tell(struct lssb_pack *pack)
{
    bool own = pack->own.info.kind == LSSB_ENTRY_DIRECTORY;
    uint8_t parent = (uint8_t)(pack->own.depth - 1 - own), i;

    for (i = 1; i <= parent; i++)
        if (!pack->own.levels[i].told)
            return pack_tell_level(pack, &pack->own.levels[i]);
    pack->own.held = false;
    return pack_fill(pack, pack->own.levels[parent].directory,
                     pack_base(pack->path), &pack->own.info);
}

static void pack_close_file(struct lssb_pack *pack)
{
    if (pack->own.file_open)
        pack->own.files->close(pack->own.files->context, pack->own.file);
    pack->own.file_open = false;
}

/* Goes on to the next entry of the archive: LSSB_OK; LSSB_AGAIN: not yet;
 * LSSB_END: the last one was it. */
static lssb_status pack_advance(struct lssb_pack *pack)
{
    lssb_status status;

    pack_close_file(pack);
    if (pack->own.cut > 0)
        pack->path[pack->own.cut] = '/';
    pack->own.cut = 0;
    pack->own.at = pack->own.next;
    if (!pack->own.held) {
        status = pack_find(pack);
        if (status != LSSB_OK)
            return status;
        pack->own.held = true;
    }
    return pack_tell(pack);
}

/* Back to the beginning. */
static void pack_rewind(struct lssb_pack *pack)
{
    intptr_t root = pack->own.levels[0].directory;

    pack_close_file(pack);
    while (pack->own.depth > 1)
        pack_leave(pack);
    memset(&pack->own.levels[0], 0, sizeof pack->own.levels[0]);
    pack->own.levels[0].directory = root;
    pack->own.levels[0].told = true;
    pack->own.at = 0;
    pack->own.next = 0;
    pack->own.cut = 0;
    pack->own.held = false;
    pack->own.asking = false;
    pack->own.over = false;
    pack->path[0] = '\0';
}

/* ----------------------------------------------------------- the archive -- */

lssb_status lssb_pack_start(struct lssb_pack *pack, const lssb_files *files,
                            const char *path)
{
    lssb_status status;

    memset(pack, 0, sizeof *pack);
    pack->own.files = files;
    status = files->open_root(files->context, path,
                              &pack->own.levels[0].directory, &pack->code);
    if (status != LSSB_OK)
        return pack_wrong(pack, status, "the directory cannot be opened");
    pack->own.depth = 1;
    pack_rewind(pack);
    return LSSB_OK;
}

lssb_status lssb_pack_measure(struct lssb_pack *pack)
{
    lssb_status status = LSSB_AGAIN;
    int i;

    for (i = 0; i < PACK_PIECE; i++) {
        status = pack_advance(pack);
        if (status == LSSB_OK)
            pack->entries++;
        else if (status != LSSB_AGAIN || pack->own.asking)
            break;
    }
    if (status == LSSB_OK)
        return LSSB_AGAIN;
    if (status != LSSB_END)
        return status;
    pack->size = pack->own.next + LSSB_TAR_END_LEN;
    pack->own.measured = true;
    pack_rewind(pack);
    return LSSB_OK;
}

/* Whether the file at hand ends where it did when it was measured; false:
 * `wrong` says why. */
static bool pack_ends(struct lssb_pack *pack)
{
    const lssb_files *files = pack->own.files;
    char more;
    ptrdiff_t n = files->read_at(files->context, pack->own.file,
                                 pack->own.entry.size, &more, 1, &pack->code);

    if (n != 0)
        pack->wrong = n < 0 ? "the file cannot be read"
                            : "the file became longer while it was read";
    return n == 0;
}

/* Bytes of the file at hand. */
static ptrdiff_t pack_read_file(struct lssb_pack *pack, uint64_t offset,
                                void *bytes, size_t len)
{
    const lssb_files *files = pack->own.files;
    lssb_status status = LSSB_OK;
    ptrdiff_t n;

    if (!pack->own.file_open) {
        status = files->open_file(files->context, pack_top(pack)->directory,
                                  pack_base(pack->path), &pack->own.file,
                                  &pack->code);
        pack->own.file_open = status == LSSB_OK;
    }
    if (status != LSSB_OK) {
        pack_wrong(pack, status, "the file cannot be opened");
        return -1;
    }
    if (len > pack->own.entry.size - offset)
        len = (size_t)(pack->own.entry.size - offset);
    n = files->read_at(files->context, pack->own.file, offset, bytes, len,
                       &pack->code);
    if (n <= 0)
        pack->wrong = n < 0 ? "the file cannot be read"
                            : "the file became shorter while it was read";
    if (n > 0 && offset + (uint64_t)n == pack->own.entry.size &&
        !pack_ends(pack))
        return -1;
    return n > 0 ? n : -1;
}

/* Bytes of the entry at hand, from `offset` of it on. */
static ptrdiff_t pack_read_entry(struct lssb_pack *pack, uint64_t offset,
                                 void *bytes, size_t len)
{
    uint64_t head = pack->own.head_len, end = pack->own.next - pack->own.at;
    struct lssb_writer writer;

    if (offset < head) {
        lssb_writer_start(&writer, bytes, len, offset);
        lssb_put_tar_head(&writer, &pack->own.entry);
        return (ptrdiff_t)writer.len;
    }
    if (offset < head + pack->own.entry.size)
        return pack_read_file(pack, offset - head, bytes, len);
    if (len > end - offset)
        len = (size_t)(end - offset);
    memset(bytes, 0, len);
    return (ptrdiff_t)len;
}

/* Goes to the entry that an offset lies in, or behind the last one: LSSB_OK;
 * LSSB_AGAIN: a part of the way; or it failed. */
static lssb_status pack_seek(struct lssb_pack *pack, uint64_t offset)
{
    uint64_t end = pack->size - LSSB_TAR_END_LEN;
    lssb_status status;
    int i;

    if (offset < pack->own.at)
        pack_rewind(pack);
    for (i = 0; !pack->own.over && offset >= pack->own.next; i++) {
        if (i == PACK_PIECE)
            return LSSB_AGAIN;
        status = pack_advance(pack);
        if (status < 0)
            return status;
        pack->own.over = status == LSSB_END;
        if (pack->own.next > end ||
            (pack->own.over && pack->own.next != end)) {
            pack->wrong = "the tree changed while it was read";
            return LSSB_E_STOPPED;
        }
        if (pack->own.asking)
            return LSSB_AGAIN;
    }
    return LSSB_OK;
}

ptrdiff_t lssb_pack_read(struct lssb_pack *pack, uint64_t offset, void *bytes,
                         size_t len)
{
    uint8_t *out = bytes;
    size_t done = 0;
    lssb_status status;
    ptrdiff_t n;

    if (!pack->own.measured || pack->wrong != NULL || offset >= pack->size)
        return 0;
    if (len > pack->size - offset)
        len = (size_t)(pack->size - offset);
    while (done < len) {
        uint64_t at = offset + done;

        status = pack_seek(pack, at);
        if (status == LSSB_AGAIN)
            return done > 0 ? (ptrdiff_t)done : LSSB_SOURCE_LATER;
        if (status != LSSB_OK)
            return 0;
        if (pack->own.over) {
            memset(out + done, 0, len - done);
            return (ptrdiff_t)len;
        }
        n = pack_read_entry(pack, at - pack->own.at, out + done, len - done);
        if (n < 0)
            return 0;
        done += (size_t)n;
    }
    return (ptrdiff_t)done;
}

void lssb_pack_end(struct lssb_pack *pack)
{
    const lssb_files *files = pack->own.files;

    if (pack->own.depth == 0)
        return;
    pack_rewind(pack);
    files->close(files->context, pack->own.levels[0].directory);
    pack->own.depth = 0;
}
