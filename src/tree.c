/* tree.c: whole trees, to a box and from it.
 *
 * SPDX-License-Identifier: MIT
 *
 * A tree is an archive that passes through a command, in base64: its output on
 * the way down, its input on the way up. What comes down is hostile: tar.c
 * refuses what an archive must not say, tree_place.c puts the rest where it
 * belongs.
 */
#include "tree.h"

#define TREE_ENTRIES 1000000
#define TREE_BYTES (UINT64_C(64) << 30)
#define TREE_LINE 1024              /* the same in base64 */
#define TREE_LINES 64               /* of them in one turn */

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
    uint16_t have;                  /* bytes of the next one */
    uint8_t step;
    bool tried;                     /* once more since the last sleep */
    bool ending;                    /* the last line is at hand */
    char line[TREE_LINE + 8];
};

/* Both fit the caller's struct, and stand there as they must. */
struct tree_place {
    char before;
    union {
        struct tree_down down;
        struct tree_up up;
    } state;
};
struct tree_room {
    char before;
    lssb_tree tree;
};
typedef char tree_fits[sizeof(((struct tree_place *)0)->state) <=
                       sizeof(((lssb_tree *)0)->reserved) ? 1 : -1];
typedef char tree_is_aligned
    [offsetof(struct tree_place, state) <= offsetof(struct tree_room, tree) &&
             offsetof(lssb_tree, reserved) %
                     offsetof(struct tree_place, state) == 0 ? 1 : -1];

/* The tools are a tree's first member. */
static lssb_tree *tree_from(lssb_tools *tools)
{
    return (lssb_tree *)(void *)tools;
}

static struct tree_up *tree_up(lssb_tree *tree)
{
    return (struct tree_up *)(void *)&tree->reserved;
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

    lssb_tree_stop(tree, status, local, "this directory cannot be opened",
                   code);
    lssb_tools_say(&tree->tools, status, lssb_tree_state(tree)->name);
    if (call->error != NULL)
        *call->error = *error;
    return call->status = status;
}

/* ------------------------------------------------------------------ down -- */

/* What the archive says next. LSSB_END: nothing, without more bytes. */
static lssb_status tree_read(lssb_tree *tree)
{
    struct tree_down *down = lssb_tree_down(tree);
    size_t used;
    enum lssb_tar_event event = lssb_tar_next(
        &down->tar, down->block + down->from,
        (size_t)(down->len - down->from), &used);

    down->from = (uint16_t)(down->from + used);
    switch (event) {
    case LSSB_TAR_MORE:
        return LSSB_END;
    case LSSB_TAR_ENTRY:
        return lssb_tree_entry(tree);
    case LSSB_TAR_DATA:
        return lssb_tree_write(tree, down->tar.data, down->tar.data_len);
    case LSSB_TAR_ENTRY_END:
        return lssb_tree_entry_end(tree);
    case LSSB_TAR_END:
        down->complete = true;
        down->from = down->len;
        return LSSB_END;
    case LSSB_TAR_WRONG:
        break;
    }
    return lssb_tree_stop(tree, LSSB_E_UNSAFE, "", down->tar.wrong, 0);
}

/* Decodes some of the output into the block; false: it is no such text. */
static bool tree_decode(lssb_tree *tree, const char *text, size_t len)
{
    struct lssb_tools_state *state = lssb_tree_state(tree);
    struct tree_down *down = lssb_tree_down(tree);

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
    struct lssb_tools_state *state = lssb_tree_state(tree);
    struct tree_down *down = lssb_tree_down(tree);
    lssb_status status = lssb_tools_heard(user, LSSB_OK);

    while (status == LSSB_OK) {
        if (down->source_open)
            status = lssb_tree_copy(tree);
        else
            status = tree_read(tree);
        if (status != LSSB_END)
            continue;
        if (state->offered >= len)
            break;
        status = LSSB_OK;
        if (!tree_decode(tree, bytes, len))
            status = lssb_tree_stop(tree, LSSB_E_UNSAFE, "",
                                    "what came is no base64", 0);
    }
    if (status != LSSB_END)
        return status;
    state->offered -= len;
    if (tree->progress != NULL)
        tree->progress(tree->user, state->moved, LSSB_SIZE_UNKNOWN);
    return LSSB_OK;
}

/* That a file changed while it was read is tar's code 1, and no failure. */
static lssb_status tree_down_ended(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = &tools->reserved.state;
    bool complete = lssb_tree_down(tree_from(tools))->complete;

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
    struct tree_down *down = lssb_tree_down(tree);
    const lssb_files *files = tree->files;
    int32_t code;

    if (down->source_open)
        files->close(files->context, down->source);
    if (down->file_open) {
        files->close(files->context, down->file);
        files->remove(files->context, down->parent, lssb_tree_leaf(tree), false,
                      &code);
    }
    down->source_open = down->file_open = false;
    lssb_tree_leave(tree);
    if (down->root_open)
        files->close(files->context, down->root);
    down->root_open = false;
}

/* What tar says of itself comes after all of the archive. */
static const char tree_download_script[] =
    LSSB_TOOLS_BEGIN "n tar;o\n" LSSB_TOOLS_ENTER
    "exec 3>&1\n"
    "s=$({ { tar -cf - . 3>&-;echo $? >&4;}|e >&3;} 4>&1)\n"
    "exit $s";
static const struct lssb_tools_job tree_download = {
    .name = "download tree",
    .resource = LSSB_RESOURCE_FILE,
    .script = tree_download_script,
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
    down = lssb_tree_down(tree);
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

/* -------------------------------------------------------------------- up -- */

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

    lssb_tree_stop(tree, status, pack->path,
                   pack->wrong != NULL ? pack->wrong : "it cannot be read",
                   pack->code);
}

/* Makes the next line of the archive; LSSB_AGAIN: not yet, else it cannot be
 * read. */
static lssb_status tree_next_line(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    char *bytes = lssb_tree_state(tree)->name;  /* only failures need it */
    struct lssb_writer writer;
    size_t want = TREE_PIECE;
    ptrdiff_t got;

    lssb_writer_start(&writer, up->line, sizeof up->line, 0);
    if (want > up->pack.size - up->at)
        want = (size_t)(up->pack.size - up->at);
    while (up->have < want) {
        got = lssb_pack_read(&up->pack, up->at + up->have, bytes + up->have,
                             want - up->have);
        if (got == LSSB_SOURCE_LATER)
            return LSSB_AGAIN;
        if (got <= 0)
            return LSSB_E_STOPPED;
        up->have = (uint16_t)(up->have + got);
    }
    lssb_put_base64(&writer, bytes, want);
    up->at += want;
    up->have = 0;
    lssb_put_text(&writer, up->at == up->pack.size ? "\n=\n" : "\n");
    up->ending = up->at == up->pack.size;
    up->line_at = 0;
    up->line_len = (uint16_t)writer.len;
    return LSSB_OK;
}

/* Lets go of the command; what it said so far counts. */
static void tree_close(lssb_tree *tree, bool kill)
{
    struct tree_up *up = tree_up(tree);
    struct lssb_tools_state *state = lssb_tree_state(tree);

    if (kill && up->command.status == LSSB_PENDING)
        lssb_command_kill(&up->command);
    if (!kill) {
        state->result.exit_code = up->command.exit_code;
        state->over = up->command.status;
    }
    if (!kill && state->over == LSSB_OK && up->command.input_uncertain)
        lssb_tree_stop(tree, LSSB_E_CONNECTION, "", "a connection broke while "
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
        if (up->line_at == up->line_len)
            status = tree_next_line(tree);
        if (status == LSSB_AGAIN) {
            sent = true;            /* as good as: at once again */
            break;
        }
        if (status != LSSB_OK) {
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
 * that its input has ended is a server that does not know how to. GNU's and
 * the BSDs' put a directory in the place of a link to one; busybox's goes
 * through it. Permissions are the archive's, whatever the umask. */
static const char tree_upload_script[] =
    LSSB_TOOLS_BEGIN "n mkdir sed base64 tar find\n"
    "mkdir -p \"$a\"||exit\n"
    LSSB_TOOLS_ENTER
    "case $(tar --version 2>/dev/null) in *GNU*|bsdtar*);;*)\n"
    "l=$(find . -type l -exec sh -c "
    "'for l;do [ ! -d \"$l\" ]||echo \"$l\";done' sh {} +)\n"
    "[ ! \"$l\" ]||{ echo \"tar would follow what leads to a directory: $l\" "
    ">&2;exit 127;};;esac\n"
    "sed -n -e '/^=$/q' -e p|base64 -d|{ umask 0;tar -xof -;}";
static const struct lssb_tools_job tree_upload = {
    .name = "upload tree",
    .resource = LSSB_RESOURCE_FILE,
    .script = tree_upload_script,
    .ended = lssb_tools_outcome,
    .endless = true
};

/* The tree is measured: the command starts. */
static void tree_start(lssb_tree *tree)
{
    struct tree_up *up = tree_up(tree);
    struct lssb_tools_state *state = lssb_tree_state(tree);
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
    struct lssb_tools_state *state = lssb_tree_state(tree);
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
    struct lssb_tools_state *state = lssb_tree_state(tree);

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
    lssb_tree_state(tree)->outer = NULL;
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
    lssb_tree_state(tree)->options.open_stdin = true;
    lssb_tree_state(tree)->options.error = &lssb_tree_state(tree)->error;
    call->reserved.state.extra = &tree->tools;
    lssb_tree_state(tree)->outer = call;
    return lssb_call_attend(call, op == NULL, &tree_up_exchange);
}
