/* tree_place.c: what a box sends, put where it belongs.
 *
 * SPDX-License-Identifier: MIT
 *
 * A box is hostile. Each entry of its archive is reached from the local root
 * name by name, by functions that follow no link, so that nothing that was
 * written before, or stood there, can lead it elsewhere. A link is made only if
 * nobody who follows it later gets out either.
 */
#include "tree.h"

#define TREE_DEPTH 64
#define TREE_COPY (UINT64_C(1) << 20)   /* bytes of a file in one turn */
#define TREE_CALL 32                    /* of a message, for the call's name and
                                           what stands between */

struct lssb_tools_state *lssb_tree_state(lssb_tree *tree)
{
    return &tree->tools.reserved.state;
}

struct tree_down *lssb_tree_down(lssb_tree *tree)
{
    return (struct tree_down *)(void *)&tree->reserved;
}

/* Adds a path to a message; of one that leaves no room for `why` the end, from
 * a slash on if there is one. */
static void tree_add_path(struct lssb_text *text, const char *path,
                          const char *why)
{
    size_t len = strlen(path), room = LSSB_MESSAGE_SIZE - TREE_CALL;
    const char *slash;

    room -= strlen(why);
    if (len > room) {
        path += len - (room - 3);
        slash = strchr(path, '/');
        if (slash != NULL && slash[1] != '\0')
            path = slash;
        lssb_text_add(text, "...");
    }
    lssb_text_add(text, path);
}

/* Ends the call: what is wrong, with which path, a system's number. */
lssb_status lssb_tree_stop(lssb_tree *tree, lssb_status status,
                           const char *path, const char *why, int32_t code)
{
    struct lssb_tools_state *state = lssb_tree_state(tree);
    struct lssb_text text;
    size_t i;

    lssb_text_start(&text, state->name, LSSB_MESSAGE_SIZE);
    tree_add_path(&text, path, why);
    for (i = 0; i < text.len; i++)
        if ((uint8_t)text.at[i] < ' ' || (uint8_t)text.at[i] > '~')
            text.at[i] = '?';       /* it may be no UTF-8 */
    lssb_text_add(&text, text.len > 0 ? ": " : "");
    lssb_text_add(&text, why);
    state->system_code = code;
    return lssb_tools_stop(&tree->tools, status, state->name);
}

/* ----------------------------------------------------------- directories -- */

/* Opens a directory in one; makes it first if it is to be there. */
static lssb_status tree_open(const lssb_files *files, intptr_t at,
                             const char *name, bool make, intptr_t *opened,
                             int32_t *code)
{
    lssb_status status = files->open_directory(files->context, at, name,
                                               opened, code);

    if (status != LSSB_E_NOT_FOUND || !make)
        return status;
    status = files->make_directory(files->context, at, name, 0755, code);
    if (status == LSSB_OK)
        status = files->open_directory(files->context, at, name, opened, code);
    return status;
}

#define TREE_NO_SOURCE "what it is another name for cannot be opened"

/* A directory on the way of the entry at hand, or of what that is another name
 * for, cannot be opened: says so, but of one that need not be there. */
static lssb_status tree_lost(lssb_tree *tree, lssb_status status, bool make,
                             int32_t code)
{
    const char *path = lssb_tree_down(tree)->tar.entry.name;

    if (status == LSSB_E_REFUSED)
        return lssb_tree_stop(tree, LSSB_E_UNSAFE, path,
                              "its path leads through a link or a file", code);
    if (!make && status == LSSB_E_NOT_FOUND)
        return status;
    return lssb_tree_stop(tree, status, path,
                          make ? "its directory cannot be opened"
                               : TREE_NO_SOURCE, code);
}

/* Opens a directory by its path, name by name, from `at` on; closes `at` on
 * the way if it is `owned`. The path is where messages are made: it is done
 * with when one is. */
static lssb_status tree_walk(lssb_tree *tree, intptr_t at, bool owned,
                             char *path, size_t len, bool make,
                             intptr_t *opened)
{
    const lssb_files *files = tree->files;
    size_t from = 0, end;

    while (from < len) {
        intptr_t next = 0;
        int32_t code = 0;
        lssb_status status;
        char saved;

        for (end = from; end < len && path[end] != '/'; end++)
            continue;
        saved = path[end];
        path[end] = '\0';
        status = tree_open(files, at, path + from, make, &next, &code);
        path[end] = saved;
        if (owned)
            files->close(files->context, at);
        if (status != LSSB_OK)
            return tree_lost(tree, status, make, code);
        at = next;
        owned = true;
        from = end + 1;
    }
    *opened = at;
    return LSSB_OK;
}

/* Forgets the directory that the last entry was in. */
void lssb_tree_leave(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);

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
    struct tree_down *down = lssb_tree_down(tree);
    char *path = lssb_tree_state(tree)->name;
    const char *name = down->tar.entry.name;
    size_t name_len = strlen(name), len = name_len, skip;
    lssb_status status;
    intptr_t opened;

    if (tree_depth(name) > TREE_DEPTH)
        return lssb_tree_stop(tree, LSSB_E_UNSAFE, name,
                              "it is nested too deep", 0);
    while (len > 0 && name[len - 1] != '/')
        len--;
    len -= len > 0;                 /* the slash */
    if (len < down->parent_len ||
        (down->parent_len > 0 &&
         !tree_is_below(name, down->parent_path, down->parent_len)))
        lssb_tree_leave(tree);
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
        lssb_tree_leave(tree);
        return status;
    }
    down->parent = opened;
    memcpy(down->parent_path, name, len);
    down->parent_len = (uint16_t)len;
    return LSSB_OK;
}

/* --------------------------------------------------------------- entries -- */

/* The last name of the entry at hand. */
const char *lssb_tree_leaf(lssb_tree *tree)
{
    const char *name = lssb_tree_down(tree)->tar.entry.name, *slash;

    while ((slash = strchr(name, '/')) != NULL)
        name = slash + 1;
    return name;
}

/* Makes the entry at hand, where there is nothing. */
static lssb_status tree_make_one(lssb_tree *tree, int32_t *code)
{
    struct tree_down *down = lssb_tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    const lssb_files *files = tree->files;
    const char *leaf = lssb_tree_leaf(tree);
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
    struct tree_down *down = lssb_tree_down(tree);
    const lssb_files *files = tree->files;
    const char *leaf = lssb_tree_leaf(tree);
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
 * and what is no file has none: so is this. That it is there and cannot be
 * opened is a failure. The copy has no rights that it has not: it may be a file
 * that was there before. */
static lssb_status tree_open_source(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
    const lssb_files *files = tree->files;
    char *path = lssb_tree_state(tree)->name;
    const char *target = down->tar.entry.target;
    size_t len = strlen(target), at = len;
    intptr_t directory = down->root;
    lssb_local_info info;
    int32_t code = 0;
    lssb_status status;

    memcpy(path, target, len + 1);
    while (at > 0 && path[at - 1] != '/')
        at--;
    status = tree_walk(tree, down->root, false, path, at > 0 ? at - 1 : 0,
                       false, &directory);
    if (status == LSSB_OK)
        status = files->info(files->context, directory, path + at, &info,
                             &code);
    if (status == LSSB_OK)
        status = files->open_file(files->context, directory, path + at,
                                  &down->source, &code);
    if (at > 0 && (status == LSSB_OK || directory != down->root))
        files->close(files->context, directory);
    down->source_open = status == LSSB_OK;
    if (down->source_open)
        down->tar.entry.mode &= info.mode;
    down->copied = 0;
    if (status == LSSB_E_STOPPED)
        return LSSB_E_STOPPED;      /* and said */
    if (status != LSSB_OK && status != LSSB_E_NOT_FOUND &&
        status != LSSB_E_REFUSED)
        return lssb_tree_stop(tree, status, down->tar.entry.name,
                              TREE_NO_SOURCE, code);
    return LSSB_OK;
}

/* How many bytes of a path's directories the caller was asked about already,
 * and wanted. */
static size_t tree_shared(const struct tree_down *down, const char *path)
{
    size_t i, shared = 0;

    for (i = 0; i < down->judged_len && path[i] == down->judged[i]; i++)
        if (path[i] == '/')
            shared = i;
    return i == down->judged_len && path[i] == '/' ? i : shared;
}

/* Whether the caller wants the first `len` bytes of a path. */
static bool tree_judge(lssb_tree *tree, const char *path, size_t len,
                       const lssb_local_info *info)
{
    struct tree_down *down = lssb_tree_down(tree);
    bool directory = info->kind == LSSB_ENTRY_DIRECTORY;
    bool wanted;

    memcpy(down->judged, path, len);
    down->judged[len] = '\0';
    wanted = tree->wanted(tree->user, down->judged, info);
    if (directory)
        down->judged_len = (uint16_t)len;
    down->refused = directory && !wanted;
    return wanted;
}

/* Whether the caller wants the entry at hand. It is asked about each directory
 * on the way to it, too: an archive need not have an entry for those, and they
 * are made all the same. */
static bool tree_is_wanted(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
    const struct lssb_tar_entry *entry = &down->tar.entry;
    const char *name = entry->name;
    lssb_local_info info;
    size_t at;

    if (tree->wanted == NULL)
        return true;
    if (down->refused && tree_is_below(name, down->judged, down->judged_len))
        return false;
    memset(&info, 0, sizeof info);
    info.kind = LSSB_ENTRY_DIRECTORY;
    info.mode = 0755;
    down->judged_len = (uint16_t)tree_shared(down, name);
    for (at = down->judged_len + 1u; name[at] != '\0'; at++)
        if (name[at] == '/' && !tree_judge(tree, name, at, &info))
            return false;
    info.kind = entry->kind;
    info.mode = entry->mode & 0777;
    info.size = entry->size;
    info.mtime_s = entry->mtime_s;
    info.mtime_ns = entry->mtime_ns;
    return tree_judge(tree, name, at, &info);
}

/* Whether the entry at hand may be made at all. */
static bool tree_may_be(const struct lssb_tar_entry *entry)
{
    return entry->kind != LSSB_ENTRY_OTHER &&
           (entry->kind != LSSB_ENTRY_SYMLINK ||
            tree_link_stays(entry->name, entry->target));
}

/* An entry begins. */
lssb_status lssb_tree_entry(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
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
        return lssb_tree_stop(tree, status, entry->name,
                              status == LSSB_E_ALREADY_EXISTS
                                  ? "it is there already"
                                  : "it cannot be made",
                              code);
    tree->entries++;
    return LSSB_OK;
}

/* Bytes for the file at hand, if it is wanted. */
lssb_status lssb_tree_write(lssb_tree *tree, const void *bytes, size_t len)
{
    struct tree_down *down = lssb_tree_down(tree);
    const lssb_files *files = tree->files;
    lssb_status status;
    int32_t code = 0;

    if (!down->file_open)
        return LSSB_OK;
    if (len > down->tar.most_bytes - tree->bytes)
        return lssb_tree_stop(tree, LSSB_E_UNSAFE, down->tar.entry.name,
                              "the tree has too many bytes", 0);
    tree->bytes += len;
    status = files->write(files->context, down->file, bytes, len, &code);
    if (status != LSSB_OK)
        return lssb_tree_stop(tree, status, down->tar.entry.name,
                              "it cannot be written", code);
    return LSSB_OK;
}

/* Copies some of a file that has a second name; LSSB_AGAIN: there is more. */
lssb_status lssb_tree_copy(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
    const lssb_files *files = tree->files;
    struct lssb_tools_state *state = lssb_tree_state(tree);
    uint64_t end = down->copied + TREE_COPY;
    int32_t code = 0;
    lssb_status status;
    ptrdiff_t got;

    while (down->copied < end) {
        got = files->read_at(files->context, down->source, down->copied,
                             state->name, sizeof state->name, &code);
        if (got < 0)
            return lssb_tree_stop(tree, LSSB_E_OPERATION, down->tar.entry.name,
                                  "what it is another name for cannot be read",
                                  code);
        if (got == 0) {
            files->close(files->context, down->source);
            down->source_open = false;
            return LSSB_OK;
        }
        status = lssb_tree_write(tree, state->name, (size_t)got);
        if (status != LSSB_OK)
            return status;
        down->copied += (uint64_t)got;
    }
    return LSSB_AGAIN;
}

/* An entry is complete. */
lssb_status lssb_tree_entry_end(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
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
    return lssb_tree_stop(tree, status, entry->name,
                          "its time cannot be set", code);
}

