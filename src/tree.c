/* tree.c: whole trees, to a box and from it.
 *
 * SPDX-License-Identifier: MIT
 *
 * A tree is an archive that passes through a command, in base64: its output on
 * the way down, its input on the way up. What comes down is hostile. Each of
 * its entries is reached from the local root name by name, by functions that
 * follow no link, so that nothing written before can lead it elsewhere; what
 * the archive itself may say is tar.c's to refuse.
 */
#include "internal.h"

#define TREE_ENTRIES 1000000
#define TREE_BYTES (UINT64_C(64) << 30)
#define TREE_DEPTH 64
#define TREE_PIECE 768              /* bytes of an archive in one line */
#define TREE_LINE 1024              /* the same in base64 */
#define TREE_LINES 64               /* of them in one turn */
#define TREE_COPY (UINT64_C(1) << 20)   /* bytes of a file in one turn */

/* On the way down. */
struct tree_down {
    struct lssb_tar tar;
    intptr_t root;
    intptr_t parent;                /* of the entry at hand; may be the root */
    intptr_t file;                  /* that is being written */
    intptr_t source;                /* and what it is a copy of */
    uint64_t copied;
    uint16_t parent_len;
    uint16_t dropped_len;
    uint16_t from;                  /* of the block, what is not read yet */
    uint16_t len;
    bool root_open;
    bool parent_open;               /* and it is not the root */
    bool file_open;
    bool source_open;
    bool dropping;
    bool complete;
    uint8_t block[TREE_PIECE];
    char parent_path[LSSB_TAR_PATH];
    char dropped[LSSB_TAR_PATH];    /* a directory that was not wanted */
};

enum tree_step {
    TREE_MEASURES = 0,
    TREE_STARTS,
    TREE_SENDS,
    TREE_WAITS,                     /* for the end of the command */
    TREE_CLOSES
};

/* On the way up. */
struct tree_up {
    lssb_command command;
    struct lssb_pack pack;
    uint64_t at;                    /* bytes of the archive that are in lines */
    uint16_t line_at;               /* of the line, what is sent */
    uint16_t line_len;
    uint8_t step;
    bool tried;                     /* once more since the last sleep */
    bool ending;                    /* the last line is at hand */
    char line[TREE_LINE + 8];
};

/* Both fit the caller's struct. */
typedef char tree_down_fits[sizeof(struct tree_down) <=
                            sizeof(((lssb_tree *)0)->reserved) ? 1 : -1];
typedef char tree_up_fits[sizeof(struct tree_up) <=
                          sizeof(((lssb_tree *)0)->reserved) ? 1 : -1];

static struct lssb_tools_state *tree_of(lssb_tree *tree)
{
    return &tree->tools.reserved.state;
}

/* The tools are a tree's first member. */
static lssb_tree *tree_from(lssb_tools *tools)
{
    return (lssb_tree *)(void *)tools;
}

static struct tree_down *tree_down(lssb_tree *tree)
{
    return (struct tree_down *)(void *)tree->reserved;
}

static struct tree_up *tree_up(lssb_tree *tree)
{
    return (struct tree_up *)(void *)tree->reserved;
}

/* Ends the call: what is wrong, with which path, a system's number. */
static lssb_status tree_stop(lssb_tree *tree, lssb_status status,
                             const char *path, const char *why, int32_t code)
{
    struct lssb_tools_state *state = tree_of(tree);
    struct lssb_text text;
    size_t i;

    lssb_text_start(&text, state->name, LSSB_MESSAGE_SIZE);
    lssb_text_add(&text, path);
    for (i = 0; i < text.len; i++)
        if ((uint8_t)text.at[i] < ' ' || (uint8_t)text.at[i] > '~')
            text.at[i] = '?';       /* it may be no UTF-8 */
    lssb_text_add(&text, text.len > 0 ? ": " : "");
    lssb_text_add(&text, why);
    state->system_code = code;
    return lssb_tools_stop(&tree->tools, status, state->name);
}

/* Begins one of the two. */
static lssb_op *tree_begin(lssb_tree *tree, const struct lssb_tools_job *job,
                           lssb_op *op, lssb_op *own, const char *local,
                           const char *path, lssb_status *status)
{
    lssb_op *call = lssb_tools_begin(tree != NULL ? &tree->tools : NULL, job,
                                     op, own, status);
    const char *wrong;

    if (call == NULL)
        return NULL;
    wrong = lssb_tools_path(&tree->tools, path, false);
    if (tree->files == NULL || tree->files->version != LSSB_FILES_VERSION)
        wrong = "files: NULL, or of another version";
    if (local == NULL)
        wrong = "local: NULL";
    if (wrong != NULL) {
        *status = lssb_tools_refuse(&tree->tools, call, wrong);
        return NULL;
    }
    tree->entries = 0;
    tree->bytes = 0;
    tree->left_out = 0;
    return call;
}

/* The local directory cannot be opened. */
static lssb_status tree_no_root(lssb_tree *tree, lssb_op *call,
                                lssb_status status, const char *local,
                                int32_t code)
{
    lssb_error *error = &tree->tools.box->client->error;

    tree_stop(tree, status, local, "this directory cannot be opened", code);
    lssb_tools_say(&tree->tools, status, tree_of(tree)->name);
    if (call->error != NULL)
        *call->error = *error;
    return call->status = status;
}

/* --------------------------------------------------- down: directories -- */

/* Opens a directory in one, for the entry at hand. */
static lssb_status tree_open(lssb_tree *tree, intptr_t at, const char *name,
                             bool make, intptr_t *opened)
{
    const lssb_files *files = tree->files;
    const char *path = tree_down(tree)->tar.entry.name;
    int32_t code = 0;
    lssb_status status = files->open_directory(files->context, at, name,
                                               opened, &code);

    if (status == LSSB_E_NOT_FOUND && make) {
        status = files->make_directory(files->context, at, name, 0755, &code);
        if (status == LSSB_OK)
            status = files->open_directory(files->context, at, name, opened,
                                           &code);
    }
    if (status == LSSB_E_REFUSED)
        return tree_stop(tree, LSSB_E_UNSAFE, path,
                         "its path leads through a link or a file", code);
    if (status != LSSB_OK && make)
        return tree_stop(tree, status, path,
                         "its directory cannot be opened", code);
    return status;
}

/* Opens a directory by its path, name by name, from `at` on; closes `at` on
 * the way if it is `owned`. The path is changed and restored. */
static lssb_status tree_walk(lssb_tree *tree, intptr_t at, bool owned,
                             char *path, size_t len, bool make,
                             intptr_t *opened)
{
    const lssb_files *files = tree->files;
    size_t from = 0, end;

    while (from < len) {
        intptr_t next = 0;
        lssb_status status;
        char saved;

        for (end = from; end < len && path[end] != '/'; end++)
            continue;
        saved = path[end];
        path[end] = '\0';
        status = tree_open(tree, at, path + from, make, &next);
        path[end] = saved;
        if (owned)
            files->close(files->context, at);
        if (status != LSSB_OK)
            return status;
        at = next;
        owned = true;
        from = end + 1;
    }
    *opened = at;
    return LSSB_OK;
}

/* Forgets the directory that the last entry was in. */
static void tree_leave_parent(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);

    if (down->parent_open)
        tree->files->close(tree->files->context, down->parent);
    down->parent_open = false;
    down->parent = down->root;
    down->parent_len = 0;
}

/* How deep a path is. */
static size_t tree_depth(const char *path)
{
    size_t depth = 1;

    while ((path = strchr(path, '/')) != NULL) {
        depth++;
        path++;
    }
    return depth;
}

/* Whether a path is a directory's, or is below it. */
static bool tree_is_below(const char *path, const char *directory, size_t len)
{
    return strlen(path) >= len && memcmp(path, directory, len) == 0 &&
           (path[len] == '/' || path[len] == '\0');
}

/* Goes to the directory that the entry at hand is in; it is mostly the one of
 * the entry before, or below that. */
static lssb_status tree_enter(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    char *path = tree_of(tree)->name;
    const char *name = down->tar.entry.name;
    size_t name_len = strlen(name), len = name_len, skip;
    lssb_status status;
    intptr_t opened;

    if (tree_depth(name) > TREE_DEPTH)
        return tree_stop(tree, LSSB_E_UNSAFE, name, "it is nested too deep",
                         0);
    while (len > 0 && name[len - 1] != '/')
        len--;
    len -= len > 0;                 /* the slash */
    if (len < down->parent_len ||
        (down->parent_len > 0 &&
         !tree_is_below(name, down->parent_path, down->parent_len)))
        tree_leave_parent(tree);
    skip = down->parent_len;
    if (skip == len)
        return LSSB_OK;
    skip += skip > 0;
    memcpy(path, name + skip, len - skip);
    path[len - skip] = '\0';
    status = tree_walk(tree, down->parent, down->parent_open, path,
                       len - skip, true, &opened);
    down->parent_open = status == LSSB_OK;
    if (status != LSSB_OK) {
        tree_leave_parent(tree);
        return status;
    }
    down->parent = opened;
    memcpy(down->parent_path, name, len);
    down->parent_len = (uint16_t)len;
    return LSSB_OK;
}

/* ------------------------------------------------------- down: entries -- */

/* The last name of the entry at hand. */
static const char *tree_leaf(lssb_tree *tree)
{
    const char *name = tree_down(tree)->tar.entry.name, *slash;

    while ((slash = strchr(name, '/')) != NULL)
        name = slash + 1;
    return name;
}

/* Makes the entry at hand, where there is nothing. */
static lssb_status tree_make_one(lssb_tree *tree, int32_t *code)
{
    struct tree_down *down = tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    const lssb_files *files = tree->files;
    const char *leaf = tree_leaf(tree);
    lssb_status status;

    switch (entry->kind) {
    case LSSB_ENTRY_DIRECTORY:
        return files->make_directory(files->context, down->parent, leaf,
                                     (entry->mode & 0777) | 0700, code);
    case LSSB_ENTRY_SYMLINK:
        return files->make_symlink(files->context, down->parent, leaf,
                                   entry->target, code);
    case LSSB_ENTRY_FILE:
        status = files->create_file(files->context, down->parent, leaf,
                                    entry->mode & 0777, &down->file, code);
        down->file_open = status == LSSB_OK;
        return status;
    case LSSB_ENTRY_OTHER:
        break;
    }
    return LSSB_E_REFUSED;
}

/* Something has that name already: a directory stays for a directory, what
 * else is there goes if the caller says so. */
static lssb_status tree_make_again(lssb_tree *tree, int32_t *code)
{
    struct tree_down *down = tree_down(tree);
    const lssb_files *files = tree->files;
    const char *leaf = tree_leaf(tree);
    lssb_local_info info;
    lssb_status status = files->info(files->context, down->parent, leaf,
                                     &info, code);

    if (status != LSSB_OK)
        return status;
    if (info.kind == LSSB_ENTRY_DIRECTORY)
        return down->tar.entry.kind == LSSB_ENTRY_DIRECTORY
                   ? LSSB_OK
                   : LSSB_E_ALREADY_EXISTS;
    if (!tree->replace)
        return LSSB_E_ALREADY_EXISTS;
    status = files->remove(files->context, down->parent, leaf, false, code);
    return status == LSSB_OK ? tree_make_one(tree, code) : status;
}

/* Whether a link cannot lead out of the tree. What stands behind its ".."s are
 * names; each of them is a directory within, or a link that stays within. */
static bool tree_link_stays(const char *name, const char *target)
{
    size_t above = tree_depth(name) - 1;
    bool names = false;

    if (target[0] == '/')
        return false;
    while (*target != '\0') {
        size_t len = 0;

        while (target[len] != '\0' && target[len] != '/')
            len++;
        if (len == 2 && target[0] == '.' && target[1] == '.') {
            if (names || above-- == 0)
                return false;
        } else if (len > 0 && !(len == 1 && target[0] == '.')) {
            names = true;
        }
        target += len + (target[len] == '/');
    }
    return true;
}

/* Opens what a second name is for, to copy it. What is not there was left out,
 * and what is no file has none: so is this. */
static lssb_status tree_open_source(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    const lssb_files *files = tree->files;
    char *path = tree_of(tree)->name;
    const char *target = down->tar.entry.target;
    size_t len = strlen(target), at = len;
    intptr_t directory = down->root;
    int32_t code = 0;
    lssb_status status;

    memcpy(path, target, len + 1);
    while (at > 0 && path[at - 1] != '/')
        at--;
    status = tree_walk(tree, down->root, false, path, at > 0 ? at - 1 : 0,
                       false, &directory);
    if (status == LSSB_OK)
        status = files->open_file(files->context, directory, path + at,
                                  &down->source, &code);
    if (at > 0 && (status == LSSB_OK || directory != down->root))
        files->close(files->context, directory);
    down->source_open = status == LSSB_OK;
    down->copied = 0;
    if (status == LSSB_E_UNSAFE || status == LSSB_E_STOPPED)
        return LSSB_E_STOPPED;      /* and said */
    return LSSB_OK;
}

/* Whether the caller wants the entry at hand, and what it is in. */
static bool tree_is_wanted(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    lssb_local_info info;

    if (down->dropping &&
        tree_is_below(entry->name, down->dropped, down->dropped_len))
        return false;
    if (tree->wanted == NULL)
        return true;
    memset(&info, 0, sizeof info);
    info.kind = entry->kind;
    info.mode = entry->mode & 0777;
    info.size = entry->size;
    info.mtime_s = entry->mtime_s;
    info.mtime_ns = entry->mtime_ns;
    if (tree->wanted(tree->user, entry->name, &info))
        return true;
    if (entry->kind == LSSB_ENTRY_DIRECTORY) {
        down->dropping = true;
        down->dropped_len = (uint16_t)strlen(entry->name);
        memcpy(down->dropped, entry->name, down->dropped_len);
    }
    return false;
}

/* Whether the entry at hand may be made at all. */
static bool tree_may_be(const struct lssb_tar_entry *entry)
{
    return entry->kind != LSSB_ENTRY_OTHER &&
           (entry->kind != LSSB_ENTRY_SYMLINK ||
            tree_link_stays(entry->name, entry->target));
}

/* An entry begins. */
static lssb_status tree_entry(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    lssb_status status;
    int32_t code = 0;

    if (entry->name[0] == '\0')
        return LSSB_OK;             /* the top, which is there */
    if (!tree_is_wanted(tree) || !tree_may_be(entry)) {
        tree->left_out++;
        return LSSB_OK;
    }
    if (entry->hard_link) {
        status = tree_open_source(tree);
        if (status != LSSB_OK)
            return status;
        if (!down->source_open) {
            tree->left_out++;
            return LSSB_OK;
        }
    }
    status = tree_enter(tree);
    if (status != LSSB_OK)
        return status;
    status = tree_make_one(tree, &code);
    if (status == LSSB_E_ALREADY_EXISTS)
        status = tree_make_again(tree, &code);
    if (status != LSSB_OK)
        return tree_stop(tree, status, entry->name,
                         status == LSSB_E_ALREADY_EXISTS
                             ? "it is there already"
                             : "it cannot be made",
                         code);
    tree->entries++;
    return LSSB_OK;
}

/* Bytes for the file at hand, if it is wanted. */
static lssb_status tree_write(lssb_tree *tree, const void *bytes, size_t len)
{
    struct tree_down *down = tree_down(tree);
    const lssb_files *files = tree->files;
    lssb_status status;
    int32_t code = 0;

    if (!down->file_open)
        return LSSB_OK;
    tree->bytes += len;
    status = files->write(files->context, down->file, bytes, len, &code);
    if (status != LSSB_OK)
        return tree_stop(tree, status, down->tar.entry.name,
                         "it cannot be written", code);
    return LSSB_OK;
}

/* Copies some of a file that has a second name; LSSB_AGAIN: there is more. */
static lssb_status tree_copy_more(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    const lssb_files *files = tree->files;
    struct lssb_tools_state *state = tree_of(tree);
    uint64_t end = down->copied + TREE_COPY;
    int32_t code = 0;
    lssb_status status;
    ptrdiff_t got;

    while (down->copied < end) {
        got = files->read_at(files->context, down->source, down->copied,
                             state->name, sizeof state->name, &code);
        if (got < 0)
            return tree_stop(tree, LSSB_E_OPERATION, down->tar.entry.name,
                             "what it is another name for cannot be read",
                             code);
        if (got == 0) {
            files->close(files->context, down->source);
            down->source_open = false;
            return LSSB_OK;
        }
        if (tree->bytes + (uint64_t)got > down->tar.most_bytes)
            return tree_stop(tree, LSSB_E_UNSAFE, down->tar.entry.name,
                             "the tree has too many bytes", 0);
        status = tree_write(tree, state->name, (size_t)got);
        if (status != LSSB_OK)
            return status;
        down->copied += (uint64_t)got;
    }
    return LSSB_AGAIN;
}

/* An entry is complete. */
static lssb_status tree_entry_end(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    const lssb_files *files = tree->files;
    lssb_status status;
    int32_t code = 0;

    if (!down->file_open)
        return LSSB_OK;
    status = files->set_mtime(files->context, down->file, entry->mtime_s,
                              entry->mtime_ns, &code);
    files->close(files->context, down->file);
    down->file_open = false;
    if (status == LSSB_OK || status == LSSB_E_UNSUPPORTED)
        return LSSB_OK;
    return tree_stop(tree, status, entry->name,
                     "its time cannot be set", code);
}

/* --------------------------------------------------- down: the archive -- */

/* What the archive says next. LSSB_END: nothing, without more bytes. */
static lssb_status tree_read(lssb_tree *tree)
{
    struct tree_down *down = tree_down(tree);
    size_t used;
    enum lssb_tar_event event = lssb_tar_next(
        &down->tar, down->block + down->from,
        (size_t)(down->len - down->from), &used);

    down->from = (uint16_t)(down->from + used);
    switch (event) {
    case LSSB_TAR_MORE:
        return LSSB_END;
    case LSSB_TAR_ENTRY:
        return tree_entry(tree);
    case LSSB_TAR_DATA:
        return tree_write(tree, down->tar.data, down->tar.data_len);
    case LSSB_TAR_ENTRY_END:
        return tree_entry_end(tree);
    case LSSB_TAR_END:
        down->complete = true;
        down->from = down->len;
        return LSSB_END;
    case LSSB_TAR_WRONG:
        break;
    }
    return tree_stop(tree, LSSB_E_UNSAFE, "", down->tar.wrong, 0);
}

/* Decodes some of the output into the block; false: it is no such text. */
static bool tree_decode(lssb_tree *tree, const char *text, size_t len)
{
    struct lssb_tools_state *state = tree_of(tree);
    struct tree_down *down = tree_down(tree);

    down->from = 0;
    down->len = 0;
    while (state->offered < len && down->len < sizeof down->block) {
        int byte = lssb_told_byte(state, text[state->offered++]);

        if (byte < -1)
            return false;
        if (byte >= 0)
            down->block[down->len++] = (uint8_t)byte;
    }
    state->moved += down->len;
    return true;
}

static lssb_status tree_hears(void *user, const void *bytes, size_t len)
{
    lssb_tree *tree = tree_from(user);
    struct lssb_tools_state *state = tree_of(tree);
    struct tree_down *down = tree_down(tree);
    lssb_status status = lssb_tools_heard(user, LSSB_OK);

    while (status == LSSB_OK) {
        if (down->source_open)
            status = tree_copy_more(tree);
        else
            status = tree_read(tree);
        if (status != LSSB_END)
            continue;
        if (state->offered == len)
            break;
        status = LSSB_OK;
        if (!tree_decode(tree, bytes, len))
            status = tree_stop(tree, LSSB_E_UNSAFE, "",
                               "what came is no base64", 0);
    }
    if (status != LSSB_END)
        return status;
    state->offered = 0;
    if (tree->progress != NULL)
        tree->progress(tree->user, state->moved, LSSB_SIZE_UNKNOWN);
    return LSSB_OK;
}

/* That a file changed while it was read is tar's code 1, and no failure. */
static lssb_status tree_down_ended(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = &tools->reserved.state;
    bool complete = tree_down(tree_from(tools))->complete;

    if (code == 1 && complete &&
        (state->failure == LSSB_OK || state->failure == LSSB_E_NOT_FOUND))
        return LSSB_OK;
    if (code == 0 && !complete)
        return lssb_tools_say(tools, LSSB_E_UNSAFE,
                              "the archive is not complete");
    return lssb_tools_outcome(tools, code);
}

/* Closes what is open; a file that is not complete goes. */
static void tree_down_over(lssb_tools *tools)
{
    lssb_tree *tree = tree_from(tools);
    struct tree_down *down = tree_down(tree);
    const lssb_files *files = tree->files;
    int32_t code;

    if (down->source_open)
        files->close(files->context, down->source);
    if (down->file_open) {
        files->close(files->context, down->file);
        files->remove(files->context, down->parent, tree_leaf(tree), false,
                      &code);
    }
    down->source_open = down->file_open = false;
    tree_leave_parent(tree);
    if (down->root_open)
        files->close(files->context, down->root);
    down->root_open = false;
}

/* What tar says of itself comes after all of the archive. */
static const struct lssb_tools_job tree_download = {
    .name = "download tree",
    .resource = LSSB_RESOURCE_FILE,
    .script = LSSB_TOOLS_BEGIN LSSB_TOOLS_ENTER
        "exec 3>&1\n"
        "s=$({ { tar -cf - . 3>&-;echo $? >&4;}|e >&3;} 4>&1)\n"
        "exit $s",
    .hears = tree_hears,
    .ended = tree_down_ended,
    .over = tree_down_over,
    .endless = true
};

lssb_status lssb_tree_download(lssb_tree *tree, const char *path,
                               const char *local, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = tree_begin(tree, &tree_download, op, &own, local,
                                    path, &status);
    struct tree_down *down;
    int32_t code = 0;

    if (call == NULL)
        return status;
    down = tree_down(tree);
    memset(down, 0, sizeof *down);
    status = tree->files->open_root(tree->files->context, local, &down->root,
                                    &code);
    if (status != LSSB_OK)
        return tree_no_root(tree, call, status, local, code);
    down->root_open = true;
    down->parent = down->root;
    lssb_tar_start(&down->tar);
    down->tar.most_entries =
        tree->most_entries != 0 ? tree->most_entries : TREE_ENTRIES;
    down->tar.most_bytes =
        tree->most_bytes != 0 ? tree->most_bytes : TREE_BYTES;
    return lssb_tools_go(&tree->tools, call, op == NULL);
}

/* ---------------------------------------------------------------------- up -- */

/* Asked for each entry, in both walks; counted in the first. */
static enum lssb_pack_choice tree_choose(void *user, const char *path,
                                         const lssb_local_info *info)
{
    lssb_tree *tree = user;
    bool counting = tree_up(tree)->step == TREE_MEASURES;

    if (tree->wanted != NULL && !tree->wanted(tree->user, path, info)) {
        tree->left_out += counting;
        return LSSB_PACK_DROP;
    }
    if (counting && info->kind == LSSB_ENTRY_FILE)
        tree->bytes += info->size;
    if (counting && info->kind == LSSB_ENTRY_OTHER)
        tree->left_out++;
    return LSSB_PACK_KEEP;
}

/* Something about the local tree is wrong. */
static void tree_wrong(lssb_tree *tree, lssb_status status)
{
    struct lssb_pack *pack = &tree_up(tree)->pack;

    tree_stop(tree, status, pack->path,
              pack->wrong != NULL ? pack->wrong : "it cannot be read",
              pack->code);
}

/* Makes the next line of the archive; false: it cannot be read. */
static bool tree_next_line(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    uint8_t bytes[TREE_PIECE / 8];
    struct lssb_writer writer;
    size_t len = 0, want;
    ptrdiff_t got;

    lssb_writer_start(&writer, up->line, sizeof up->line, 0);
    up->line_at = 0;
    while (writer.len + (sizeof bytes + 2) / 3 * 4 <= TREE_LINE &&
           up->at < up->pack.size) {
        want = sizeof bytes;
        if (want > up->pack.size - up->at)
            want = (size_t)(up->pack.size - up->at);
        for (len = 0; len < want; len += (size_t)got) {
            got = lssb_pack_read(&up->pack, up->at + len, bytes + len,
                                 want - len);
            if (got <= 0)
                return false;
        }
        lssb_put_base64(&writer, bytes, len);
        up->at += len;
    }
    lssb_put_text(&writer, up->at == up->pack.size ? "\n=\n" : "\n");
    up->ending = up->at == up->pack.size;
    up->line_len = (uint16_t)writer.len;
    return true;
}

/* Lets go of the command; what it said so far counts. */
static void tree_close(lssb_tree *tree, bool kill)
{
    struct tree_up *up = tree_up(tree);
    struct lssb_tools_state *state = tree_of(tree);

    if (kill && up->command.status == LSSB_PENDING)
        lssb_command_kill(&up->command);
    if (!kill) {
        state->result.exit_code = up->command.exit_code;
        state->over = up->command.status;
    }
    if (!kill && state->over == LSSB_OK && up->command.input_uncertain)
        tree_stop(tree, LSSB_E_CONNECTION, "", "a connection broke while "
                  "input was on its way, and the tree may not be complete",
                  0);
    up->step = TREE_CLOSES;
    lssb_command_close(&up->command, &state->op);
}

/* Sends lines as long as there is room, a bounded number of them. */
static void tree_send(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    lssb_status status = LSSB_OK;
    size_t taken, lines;
    bool sent = false;

    for (lines = 0; lines < TREE_LINES && status == LSSB_OK; lines++) {
        if (up->line_at == up->line_len && up->ending) {
            lssb_command_close_stdin(&up->command);
            up->step = TREE_WAITS;
            break;
        }
        if (up->line_at == up->line_len && !tree_next_line(tree)) {
            tree_wrong(tree, LSSB_E_STOPPED);
            tree_close(tree, true);
            return;
        }
        status = lssb_command_write(&up->command, up->line + up->line_at,
                                    (size_t)(up->line_len - up->line_at),
                                    &taken, 0);
        up->line_at = (uint16_t)(up->line_at + taken);
        sent = sent || taken > 0;
    }
    if (sent && tree->progress != NULL)
        tree->progress(tree->user, up->at, up->pack.size);
    /* Where there was no room there may be some at the end of this step. */
    up->tried = !sent && !up->tried;
    if (sent || up->tried)
        tree->tools.box->client->at_once = true;
}

/* tar takes the archive up to the line that ends it: what has no way to say
 * that its input has ended is a server that does not know how to. */
static const struct lssb_tools_job tree_upload = {
    .name = "upload tree",
    .resource = LSSB_RESOURCE_FILE,
    .script = LSSB_TOOLS_BEGIN
        "mkdir -p \"$a\"||exit\n"
        LSSB_TOOLS_ENTER
        "for p in sed base64 tar;do command -v $p >/dev/null||"
        "{ echo $p: not found >&2;exit 127;};done\n"
        "sed -n -e '/^=$/q' -e p|base64 -d|tar -xof -",
    .ended = lssb_tools_outcome,
    .endless = true
};

/* The tree is measured: the command starts. */
static void tree_start(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    struct lssb_tools_state *state = tree_of(tree);
    lssb_status status;

    tree->entries = up->pack.entries;
    up->step = TREE_STARTS;
    status = lssb_command_start(&up->command, tree->tools.box,
                                tree_upload.script, &state->options,
                                &state->op);
    if (status != LSSB_PENDING)
        state->op.status = status;
}

/* Looks at some of the local tree. */
static void tree_measure(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    lssb_status status = lssb_pack_measure(&up->pack);

    tree->tools.box->client->at_once = true;
    if (status == LSSB_OK)
        tree_start(tree);
    else if (status != LSSB_AGAIN)
        tree_wrong(tree, status);
}

/* One step on the way up; true: it is over. */
static bool tree_up_step(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    struct lssb_tools_state *state = tree_of(tree);
    bool end = state->why != LSSB_OK || state->stopped != NULL;

    switch ((enum tree_step)up->step) {
    case TREE_MEASURES:
        if (!end)
            tree_measure(tree);
        return end;
    case TREE_STARTS:
        if (state->op.status == LSSB_PENDING)
            return false;
        state->over = state->op.status;
        if (state->over != LSSB_OK)
            return true;
        up->step = TREE_SENDS;
        tree->tools.box->client->at_once = true;
        return false;
    case TREE_SENDS:
    case TREE_WAITS:
        if (up->command.status != LSSB_PENDING || end)
            tree_close(tree, end);
        else if (up->step == TREE_SENDS)
            tree_send(tree);
        return false;
    case TREE_CLOSES:
        break;
    }
    return state->op.status != LSSB_PENDING &&
           up->command.status != LSSB_PENDING;
}

static bool tree_up_watch(lssb_op *op)
{
    lssb_tree *tree = tree_from(op->reserved.state.extra);
    struct lssb_tools_state *state = tree_of(tree);

    if (!tree_up_step(tree))
        return false;
    state->op.status = state->over;
    if (state->why != LSSB_OK || state->stopped != NULL)
        state->op.status = LSSB_E_STOPPED;
    lssb_call_finish(op, lssb_tools_over(&tree->tools));
    return true;
}

/* The local tree is closed; the struct may be used again. */
static void tree_up_ended(lssb_op *op, lssb_status outcome)
{
    lssb_tree *tree = tree_from(op->reserved.state.extra);

    (void)outcome;
    lssb_pack_end(&tree_up(tree)->pack);
    tree_of(tree)->outer = NULL;
}

static const struct lssb_exchange tree_up_exchange = {
    .name = "upload tree",
    .awaits = "waiting for the box's tools",
    .watch = tree_up_watch,
    .leave = lssb_tools_leave,
    .ended = tree_up_ended
};

lssb_status lssb_tree_upload(lssb_tree *tree, const char *local,
                             const char *path, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = tree_begin(tree, &tree_upload, op, &own, local, path,
                                    &status);
    struct tree_up *up;

    if (call == NULL)
        return status;
    up = tree_up(tree);
    memset(up, 0, sizeof *up);
    status = lssb_pack_start(&up->pack, tree->files, local);
    if (status != LSSB_OK)
        return tree_no_root(tree, call, status, local, up->pack.code);
    up->pack.choose = tree_choose;
    up->pack.user = tree;
    lssb_tools_prepare(&tree->tools, call);
    tree_of(tree)->options.open_stdin = true;
    tree_of(tree)->options.error = &tree_of(tree)->error;
    call->reserved.state.extra = &tree->tools;
    tree_of(tree)->outer = call;
    return lssb_call_attend(call, op == NULL, &tree_up_exchange);
}
