/* process.c: the processes of a box: a list, signals.
 *
 * SPDX-License-Identifier: MIT
 *
 * By the box's /proc, so that no ps is needed. The shell reads numbers and the
 * name by itself; od tells the arguments, which may be any bytes.
 */
#include "internal.h"

/* Reads what stands behind the name in the stat of process $d into $1…: the
 * state first, then parent, group, session. The name may hold anything. */
#define PROCESS_STAT \
    "t(){ s=\n" \
    "{ while read -r l||[ \"$l\" ];do s=\"$s$l \";done;} " \
    "2>/dev/null <$d/stat\n" \
    "s=${s##*) };}\n"

static struct lssb_tools_state *process_of(lssb_tools *tools)
{
    return &tools->reserved.state;
}

/* ------------------------------------------------------------- the list -- */

static lssb_status process_tell(lssb_tools *tools)
{
    struct lssb_tools_state *state = process_of(tools);
    lssb_process process;

    if (state->ended)
        return LSSB_OK;
    lssb_told_fill(state, &process);
    return ((lssb_process_fn)state->take)(state->user, &process);
}

static lssb_status process_hears(void *user, const void *bytes, size_t len)
{
    return lssb_tools_records(user, bytes, len, lssb_told_process,
                              process_tell);
}

/* Its end has no code: it is there, or the list is not complete. */
static lssb_status process_listed(lssb_tools *tools, int32_t code)
{
    process_of(tools)->numbers[1] = 0;
    return lssb_tools_listed(tools, code);
}

static const char process_list_script[] =
    LSSB_TOOLS_BEGIN "n od\n" PROCESS_STAT
    "[ -r /proc/self/stat ]||{ echo '/proc: not found' >&2;exit 127;}\n"
    "for d in /proc/[0-9]*;do\n"
    "p=${d#/proc/}\n"
    "[ $p != $$ ]||continue\n"
    "t;set -- $s\n"
    "[ \"${20}\" ]||continue\n"
    "[ $2 != $$ ]||continue\n"
    "n= u=0 r=0\n"
    "{ while read -r l;do case $l in\n"
    "Name:*)n=${l#Name:?};;\n"
    "Uid:*)u=${l#Uid:?};u=${u%%[!0-9]*};;\n"
    "VmRSS:*)r=${l%% kB};r=${r##*[!0-9]};break;;\n"
    "esac;done;} 2>/dev/null <$d/status\n"
    "printf '%s\\n' \"@$p $2 $3 $4 $u $((${12}+${13})) ${20} $r $1 $n\"\n"
    "od -An -v -tx1 -N4000 $d/cmdline 2>/dev/null\n"
    "done\n"
    "echo @.";
static const struct lssb_tools_job process_list = {
    .name = "list processes",
    .script = process_list_script,
    .hears = process_hears,
    .ended = process_listed
};

lssb_status lssb_process_list(lssb_tools *tools, lssb_process_fn take,
                              void *user, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &process_list, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    if (take == NULL)
        return lssb_tools_refuse(tools, call, "take: NULL");
    process_of(tools)->take = (void (*)(void))take;
    process_of(tools)->user = user;
    return lssb_tools_go(tools, call, op == NULL);
}

/* -------------------------------------------------------------- signals -- */

static const char process_signal_script[] =
    "kill \"-$LSSB_S\" \"$LSSB_N\"";
static const struct lssb_tools_job process_signal = {
    .name = "signal",
    .script = process_signal_script,
    .ended = lssb_tools_outcome
};

/* By a variable in the environment of what the command has started, which is
 * in groups; each gets the signal. */
static const char process_signal_id_script[] =
    LSSB_TOOLS_BEGIN "n tr grep\n" PROCESS_STAT
    "g=\n"
    "for d in /proc/[0-9]*;do\n"
    "{ tr '\\0' '\\n' <$d/environ|grep -qxF \"LSSB_COMMAND_ID=$LSSB_N\";} "
    "2>/dev/null||continue\n"
    "t;set -- $s\n"
    "[ \"$3\" ]||continue\n"
    "case \"$g \" in *\" $3 \"*);;*)g=\"$g $3\";;esac\n"
    "done\n"
    "[ \"$g\" ]||x \"command $LSSB_N\" 'No such process'\n"
    "for p in $g;do kill \"-$LSSB_S\" \"-$p\"||exit;done";
static const struct lssb_tools_job process_signal_id = {
    .name = "signal",
    .script = process_signal_id_script,
    .ended = lssb_tools_outcome
};

/* Whether a name is RTMIN or RTMAX, or so many from it into their range. */
static bool process_is_real_time(const char *name)
{
    size_t i;

    if (strncmp(name, "RTMIN", 5) != 0 && strncmp(name, "RTMAX", 5) != 0)
        return false;
    if (name[5] == '\0')
        return true;
    if (name[5] != (name[4] == 'N' ? '+' : '-'))
        return false;
    for (i = 6; name[i] >= '0' && name[i] <= '9'; i++)
        continue;
    return name[i] == '\0' && i > 6 && i < 9;
}

/* The name that every kill on Linux knows a signal by; NULL: it is none. */
static const char *process_name(const char *signal)
{
    static const char names[][8] = {
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL",
        "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
        "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"
    };
    size_t i;

    if (signal == NULL)
        return NULL;
    if (strncmp(signal, "SIG", 3) == 0)
        signal += 3;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], signal) == 0)
            return signal;
    return process_is_real_time(signal) ? signal : NULL;
}

/* Starts a signal to a number. */
static lssb_status process_send(lssb_tools *tools, lssb_op *call, bool wait,
                                int64_t pid, const char *signal, bool group)
{
    char *to = process_of(tools)->text;
    char digits[24];
    size_t count = 0, at = 0;
    uint64_t number = (uint64_t)pid;

    if (signal == NULL)
        return lssb_tools_refuse(tools, call, "signal: the name of a signal "
                                 "was expected, as \"TERM\", \"SIGTERM\" or "
                                 "\"RTMIN+1\"");
    if (pid < 1 || (group && pid == 1))
        return lssb_tools_refuse(tools, call, "pid: a process was expected, "
                                 "with LSSB_GROUP another than 1");
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    if (group)
        to[at++] = '-';
    while (count > 0)
        to[at++] = digits[--count];
    to[at] = '\0';
    lssb_tools_put(tools, "LSSB_S", signal);
    lssb_tools_put(tools, "LSSB_N", to);
    return lssb_tools_go(tools, call, wait);
}

lssb_status lssb_process_signal(lssb_tools *tools, int64_t pid,
                                const char *signal, uint32_t flags,
                                lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, &process_signal, op, &own,
                                          &status);

    if (call == NULL)
        return status;
    return process_send(tools, call, op == NULL, pid, process_name(signal),
                        (flags & LSSB_GROUP) != 0);
}

/* A command that has ended: its number may be another's by now. */
static lssb_status process_over(lssb_tools *tools, lssb_op *call)
{
    lssb_tools_say(tools, LSSB_E_NOT_FOUND, "the command has ended");
    if (call->error != NULL)
        *call->error = tools->box->client->error;
    return call->status = LSSB_E_NOT_FOUND;
}

lssb_status lssb_command_signal(lssb_tools *tools, const lssb_command *command,
                                const char *signal, lssb_op *op)
{
    bool by_id = command != NULL && command->pid < 1;
    lssb_status status;
    lssb_op own, *call = lssb_tools_begin(tools, by_id ? &process_signal_id
                                                       : &process_signal,
                                          op, &own, &status);

    if (call == NULL)
        return status;
    if (command == NULL || command->id[0] == '\0')
        return lssb_tools_refuse(tools, call, "command: it has not been "
                                 "started");
    if (command->status == LSSB_OK)
        return process_over(tools, call);
    if (by_id && strchr(command->id, '\n') != NULL)
        return lssb_tools_refuse(tools, call, "command: its id has a newline, "
                                 "and cannot be looked for");
    signal = process_name(signal);
    if (!by_id || signal == NULL)
        return process_send(tools, call, op == NULL, command->pid, signal,
                            true);
    lssb_tools_put(tools, "LSSB_S", signal);
    lssb_tools_put(tools, "LSSB_N", command->id);
    return lssb_tools_go(tools, call, op == NULL);
}
