/* path.c: what a box's paths name, by the box's own tools.
 *
 * SPDX-License-Identifier: MIT
 *
 * The scripts keep to POSIX, and to what coreutils and busybox have in common
 * beyond it: stat -c, readlink. Listings are find's, each name with what stat
 * says of it behind two slashes, which no path has in a row; nothing is held in
 * the box. A tool's own words say what was wrong, so most scripts only run it.
 */
#include "internal.h"

#include <stddef.h>

/* Complains as stat does if there is nothing at $a. */
#define PATH_EXISTS \
    "[ -e \"$a\" ]||[ -h \"$a\" ]||stat -c %f \"$a\" >/dev/null||exit\n"
/* Whether something at $b may make way for $a. */
#define PATH_REPLACE \
    "if [ -e \"$b\" ]||[ -h \"$b\" ];then\n" \
    "[ \"$LSSB_R\" ]||x \"$b\" 'File exists'\n"

static struct lssb_tools_state *path_of(lssb_tools *tools)
{
    return &tools->reserved.state;
}

/* -------------------------------------------------------------- listings -- */

/* The caller's functions have types of their own. */
static lssb_status path_tell(lssb_tools *tools)
{
    struct lssb_tools_state *state = path_of(tools);
    lssb_entry entry;

    if (state->ended)
        return LSSB_OK;
    lssb_told_entry(state, &entry);
    return ((lssb_entry_fn)state->take)(state->user, &entry);
}

static lssb_status path_hears_list(void *user, const void *bytes, size_t len)
{
    return lssb_tools_records(user, bytes, len, lssb_told_next, path_tell);
}

static const char path_list_script[] =
    LSSB_TOOLS_BEGIN "n find stat;o\n" LSSB_TOOLS_ENTER
    "{ find . ! -name . $LSSB_N -exec stat -c \"%n// $f\" {} +\n"
    "echo \"// 0 $?\";}|e";
static const struct lssb_tools_job path_list = {
    .name = "list directory",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_list_script,
    .hears = path_hears_list,
    .ended = lssb_tools_listed
};

lssb_status lssb_path_list(lssb_tools *tools, const char *path, uint32_t flags,
                           lssb_entry_fn take, void *user, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_list, op, &own,
                                          &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = lssb_tools_path(tools, path, false);
    if (take == NULL)
        wrong = "take: NULL";
    if (wrong != NULL)
        return lssb_tools_refuse(tools, call, wrong);
    path_of(tools)->take = (void (*)(void))take;
    path_of(tools)->user = user;
    lssb_tools_put(tools, "LSSB_N",
                   (flags & LSSB_RECURSIVE) != 0 ? "" : "-prune");
    return lssb_tools_go(tools, call, op == NULL);
}

/* ---------------------------------------------------------- one of them -- */

/* One record, and perhaps a link's target, which is of use at the end only. */
static lssb_status path_keep(lssb_tools *tools)
{
    struct lssb_tools_state *state = path_of(tools);

    lssb_told_entry(state, state->out);
    state->ended = true;
    return LSSB_OK;
}

static lssb_status path_hears_stat(void *user, const void *bytes, size_t len)
{
    return lssb_tools_records(user, bytes, len, lssb_told_next, path_keep);
}

/* The record has come, and the target with a newline behind it. */
static lssb_status path_stat_ended(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = path_of(tools);
    lssb_entry *entry = state->out;
    lssb_status status;

    state->numbers[1] = 0;          /* a size, not a code */
    status = lssb_tools_listed(tools, code);
    if (status != LSSB_OK)
        return status;
    entry->name = "";
    if (entry->kind != LSSB_ENTRY_SYMLINK || state->name_len == 0)
        return LSSB_OK;
    state->name[state->name_len - 1] = '\0';
    entry->target = state->name;
    return LSSB_OK;
}

static const char path_stat_script[] =
    LSSB_TOOLS_BEGIN "n stat readlink;o\n"
    "m=$(stat $LSSB_N -c \"$f\" \"$a\")||exit\n"
    "{ echo \".// $m\"\n"
    "[ \"$LSSB_N\" ]||[ ! -h \"$a\" ]||readlink \"$a\";}|e";
static const struct lssb_tools_job path_stat = {
    .name = "stat",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_stat_script,
    .hears = path_hears_stat,
    .ended = path_stat_ended,
    .flags = LSSB_TOLD_TARGET
};

lssb_status lssb_path_stat(lssb_tools *tools, const char *path, uint32_t flags,
                           lssb_entry *entry, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_stat, op, &own,
                                          &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = lssb_tools_path(tools, path, false);
    if (entry == NULL)
        wrong = "entry: NULL";
    if (wrong != NULL)
        return lssb_tools_refuse(tools, call, wrong);
    memset(entry, 0, sizeof *entry);
    path_of(tools)->out = entry;
    lssb_tools_put(tools, "LSSB_N", (flags & LSSB_FOLLOW) != 0 ? "-L" : "");
    return lssb_tools_go(tools, call, op == NULL);
}

/* That there is nothing is an answer. */
static lssb_status path_exists_ended(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = path_of(tools);
    bool *exists = state->out;

    *exists = code == 0;
    if (code != 127 && (state->failure == LSSB_E_NOT_FOUND ||
                        state->failure == LSSB_E_NOT_DIRECTORY))
        return LSSB_OK;
    return lssb_tools_outcome(tools, code);
}

static const char path_exists_script[] =
    LSSB_TOOLS_BEGIN PATH_EXISTS;
static const struct lssb_tools_job path_exists = {
    .name = "exists",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_exists_script,
    .ended = path_exists_ended
};

lssb_status lssb_path_exists(lssb_tools *tools, const char *path, bool *exists,
                             lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_exists, op, &own,
                                          &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = lssb_tools_path(tools, path, false);
    if (exists == NULL)
        wrong = "exists: NULL";
    if (wrong != NULL)
        return lssb_tools_refuse(tools, call, wrong);
    *exists = false;
    path_of(tools)->out = exists;
    return lssb_tools_go(tools, call, op == NULL);
}

/* --------------------------------------------------------------- changes -- */

static const char path_make_script[] =
    LSSB_TOOLS_BEGIN "mkdir $LSSB_N \"$a\"";
static const struct lssb_tools_job path_make = {
    .name = "make directory",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_make_script,
    .ended = lssb_tools_outcome
};

static const char path_remove_script[] =
    LSSB_TOOLS_BEGIN PATH_EXISTS
    "if [ -d \"$a\" ]&&[ ! -h \"$a\" ];then\n"
    "[ ! \"$a\" -ef / ]||x \"$a\" 'Operation not permitted'\n"
    "if [ \"$LSSB_N\" ];then rm -rf \"$a\";else rmdir \"$a\";fi\n"
    "else rm -f \"$a\";fi";
static const struct lssb_tools_job path_remove = {
    .name = "remove",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_remove_script,
    .ended = lssb_tools_outcome
};

/* To itself there is nothing to do, as rename(2) has it. A link that leads to a
 * directory is one to mv, which would go there, unless it knows -T: else the
 * link steps aside, and comes back if mv fails. */
static const char path_rename_script[] =
    LSSB_TOOLS_BEGIN PATH_EXISTS PATH_REPLACE
    "[ \"${a##*/}\" != \"${b##*/}\" ]||"
    "[ ! \"${a%/*}/.\" -ef \"${b%/*}/.\" ]||exit 0\n"
    "if [ ! -h \"$b\" ];then\n"
    "[ ! -d \"$b\" ]||x \"$b\" 'Is a directory'\n"
    "[ ! -d \"$a\" ]||[ -h \"$a\" ]||x \"$b\" 'Not a directory'\n"
    "elif [ -d \"$a\" ]||[ -d \"$b\" ];then\n"
    "mv -fT \"$a\" \"$b\" 2>/dev/null&&exit\n"
    "t=$b.$$\n"
    "[ ! -e \"$t\" ]&&[ ! -h \"$t\" ]||x \"$t\" 'File exists'\n"
    "mv -f \"$b\" \"$t\"||exit\n"
    "mv -f \"$a\" \"$b\"||{ s=$?;mv -f \"$t\" \"$b\";exit $s;}\n"
    "rm -f \"$t\"\n"
    "exit\n"
    "fi;fi\n"
    "mv -f \"$a\" \"$b\"";
static const struct lssb_tools_job path_rename = {
    .name = "rename",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_rename_script,
    .ended = lssb_tools_outcome
};

static const char path_copy_script[] =
    LSSB_TOOLS_BEGIN PATH_EXISTS
    "[ \"$LSSB_N\" != -p ]||[ ! -d \"$a\" ]||x \"$a\" 'Is a directory'\n"
    PATH_REPLACE
    "if [ -d \"$b\" ];then x \"$b\" 'Is a directory'\n"
    "elif [ -d \"$a\" ]&&[ ! -h \"$a\" ];then x \"$b\" 'Not a directory'\n"
    "elif [ \"$a\" -ef \"$b\" ];then x \"$b\" 'The same file'\n"
    "fi;fi\n"
    "cp $LSSB_N \"$a\" \"$b\"";
static const struct lssb_tools_job path_copy = {
    .name = "copy",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_copy_script,
    .ended = lssb_tools_outcome
};

static const char path_chmod_script[] =
    LSSB_TOOLS_BEGIN "chmod $LSSB_N \"$a\"";
static const struct lssb_tools_job path_chmod = {
    .name = "chmod",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_chmod_script,
    .ended = lssb_tools_outcome
};

/* Permissions behind an option, in five octal digits: with less a directory
 * would keep some of its own. */
static const char *path_mode(lssb_tools *tools, const char *option,
                             uint32_t mode)
{
    char *to = path_of(tools)->text;
    size_t at = strlen(option), i;

    memcpy(to, option, at);
    for (i = 0; i < 5; i++)
        to[at + i] = (char)('0' + (mode >> (12 - 3 * i) & 7));
    to[at + 5] = '\0';
    return to;
}

/* Starts one that has a path, or two, and $LSSB_N. */
static lssb_status path_go(lssb_tools *tools, lssb_op *call, bool wait,
                           const char *path, const char *option)
{
    const char *wrong = lssb_tools_path(tools, path, false);

    if (wrong != NULL)
        return lssb_tools_refuse(tools, call, wrong);
    lssb_tools_put(tools, "LSSB_N", option);
    return lssb_tools_go(tools, call, wait);
}

lssb_status lssb_path_make(lssb_tools *tools, const char *path, uint32_t mode,
                           uint32_t flags, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_make, op, &own,
                                          &status);
    bool parents = (flags & LSSB_RECURSIVE) != 0;
    const char *option = parents ? "-p" : "";

    if (call == NULL)
        return status;
    if (mode > 07777)
        return lssb_tools_refuse(tools, call, "mode: 07777 at most was "
                                 "expected");
    if (mode != 0)
        option = path_mode(tools, parents ? "-p -m " : "-m ", mode);
    return path_go(tools, call, op == NULL, path, option);
}

lssb_status lssb_path_remove(lssb_tools *tools, const char *path,
                             uint32_t flags, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_remove, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    return path_go(tools, call, op == NULL, path,
                   (flags & LSSB_RECURSIVE) != 0 ? "-r" : "");
}

/* Starts one that has two paths. */
static lssb_status path_go_two(lssb_tools *tools, lssb_op *call, bool wait,
                               const char *from, const char *to,
                               const char *option, uint32_t flags)
{
    const char *wrong = lssb_tools_path(tools, to, true);

    if (wrong != NULL)
        return lssb_tools_refuse(tools, call, wrong);
    lssb_tools_put(tools, "LSSB_R", (flags & LSSB_REPLACE) != 0 ? "1" : "");
    return path_go(tools, call, wait, from, option);
}

lssb_status lssb_path_rename(lssb_tools *tools, const char *from,
                             const char *to, uint32_t flags, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_rename, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    return path_go_two(tools, call, op == NULL, from, to, "", flags);
}

lssb_status lssb_path_copy(lssb_tools *tools, const char *from, const char *to,
                           uint32_t flags, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_copy, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    return path_go_two(tools, call, op == NULL, from, to,
                       (flags & LSSB_RECURSIVE) != 0 ? "-RPp" : "-p", flags);
}

lssb_status lssb_path_chmod(lssb_tools *tools, const char *path, uint32_t mode,
                            uint32_t flags, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_chmod, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    if (mode > 07777)
        return lssb_tools_refuse(tools, call, "mode: 07777 at most was "
                                 "expected");
    return path_go(tools, call, op == NULL, path,
                   path_mode(tools,
                             (flags & LSSB_RECURSIVE) != 0 ? "-R " : "",
                             mode));
}

/* -------------------------------------------------------------- watching -- */

static lssb_status path_tell_change(lssb_tools *tools)
{
    struct lssb_tools_state *state = path_of(tools);
    lssb_change change = state->mark == '+'   ? LSSB_ADDED
                         : state->mark == '*' ? LSSB_CHANGED
                         : state->mark == '-' ? LSSB_REMOVED
                                              : LSSB_WATCHING;
    lssb_entry entry;

    lssb_told_entry(state, &entry);
    if (change == LSSB_WATCHING)
        memset(&entry, 0, sizeof entry);
    if (change == LSSB_WATCHING)
        entry.name = entry.target = "";
    return ((lssb_change_fn)state->take)(state->user, change, &entry);
}

static lssb_status path_hears_watch(void *user, const void *bytes, size_t len)
{
    return lssb_tools_records(user, bytes, len, lssb_told_next,
                              path_tell_change);
}

/* A newline in a name becomes "//n", so that a record is a line; behind a slash
 * of the name that is "///n". What was there
 * and what is there are compared by awk. */
static const char path_watch_script[] =
    LSSB_TOOLS_BEGIN "n find stat sed awk sleep;o\n" LSSB_TOOLS_ENTER
    "l(){ find . ! -name . $LSSB_N -exec stat -c \"%n// $f\" {} + "
    "2>/dev/null|sed -e :j -e '/\\/\\/ [0-9a-f][0-9a-f -]*$/!{N' -e bj "
    "-e '}' -e 's/\\n/\\/\\/n/g';}\n"
    "o=$(l)\n"
    "echo '!// 0 0'|e\n"
    "while sleep \"$LSSB_T\" 2>/dev/null||sleep 1;do\n"
    "[ . -ef \"$a\" ]||x \"$a\" 'No such file or directory'\n"
    "n=$(l)\n"
    "[ \"$n\" = \"$o\" ]||printf '%s\\n' \"$o\" / \"$n\"|awk '\n"
    "$0==\"/\"{s=1;next}\n"
    "{i=index($0,\"// \");if(!i)next;k=substr($0,1,i-1)\n"
    "if(!s){o[k]=$0;next}\n"
    "if(!(k in o)){print \"+\" $0;next}\n"
    "if(o[k]!=$0)print \"*\" $0\n"
    "delete o[k]}\n"
    "END{for(k in o)print \"-\" o[k]}'|e\n"
    "o=$n\n"
    "done";
static const struct lssb_tools_job path_watch = {
    .name = "watch",
    .resource = LSSB_RESOURCE_FILE,
    .script = path_watch_script,
    .hears = path_hears_watch,
    .ended = lssb_tools_outcome,
    .flags = LSSB_TOLD_MARKED,
    .endless = true
};

/* Seconds for sleep, with three digits behind the point. */
static const char *path_seconds(lssb_tools *tools, uint32_t ms)
{
    char *to = path_of(tools)->text;
    char digits[12];
    size_t count = 0, at = 0;

    do {
        digits[count++] = (char)('0' + ms % 10);
        ms /= 10;
    } while (ms > 0 || count < 4);
    while (count > 0) {
        if (count == 3)
            to[at++] = '.';
        to[at++] = digits[--count];
    }
    to[at] = '\0';
    return to;
}

lssb_status lssb_path_watch(lssb_tools *tools, const char *path,
                            uint32_t flags, uint32_t interval_ms,
                            lssb_change_fn take, void *user, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &path_watch, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    if (take == NULL)
        return lssb_tools_refuse(tools, call, "take: NULL");
    path_of(tools)->take = (void (*)(void))take;
    path_of(tools)->user = user;
    lssb_tools_put(tools, "LSSB_T",
                   path_seconds(tools, interval_ms != 0 ? interval_ms : 1000));
    return path_go(tools, call, op == NULL, path,
                   (flags & LSSB_RECURSIVE) != 0 ? "" : "-prune");
}
