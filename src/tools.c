/* tools.c: a call that the box's own tools carry out.
 *
 * SPDX-License-Identifier: MIT
 *
 * One command in the box, over the public calls: lssb_run with a script that
 * is a constant. What differs from call to call (paths, numbers) goes along in
 * the environment, so that no text of anybody's is ever read by a shell as its
 * own language. A path that is no UTF-8, which JSON cannot carry, goes in
 * escapes that the shell's printf undoes.
 */
#include "internal.h"

#define TOOLS_WATCH_IDLE_S 30       /* what an endless call lives on without
                                       anybody who listens */

/* What every script begins with. x complains about a path and ends; n names a
 * tool that the box lacks, and ends; o does so for e, which passes bytes on as
 * text; a and b are the paths, f what is asked of each file.
 * Slashes at the end go: behind a link they would mean what it leads to. */
static const char tools_prologue[] =
    "x(){ printf '%s: %s\\n' \"$1\" \"$2\" >&2;exit 1;}\n"
    "n(){ for p;do command -v \"$p\" >/dev/null||"
    "{ echo \"$p: not found\" >&2;exit 127;};done;}\n"
    "o(){ command -v base64 >/dev/null||n od;}\n"
    "e(){ if command -v base64 >/dev/null;then echo '#b';base64;"
    "else echo '#o';od -An -v -tx1;fi;}\n"
    "a=$LSSB_A b=$LSSB_B\n"
    "[ -z \"$LSSB_AX\" ]||{ a=$(printf %b. \"$LSSB_AX\");a=${a%.};}\n"
    "[ -z \"$LSSB_BX\" ]||{ b=$(printf %b. \"$LSSB_BX\");b=${b%.};}\n"
    "case $a in /*);;*)a=/home/user/$a;;esac\n"
    "case $b in /*);;*)b=/home/user/$b;;esac\n"
    "while :;do case $a in ?*/)a=${a%/};;*)break;;esac;done\n"
    "while :;do case $b in ?*/)b=${b%/};;*)break;;esac;done\n"
    "f='%f %s %Y %Z %i %u %g %h'\n";

static struct lssb_tools_state *tools_of(lssb_tools *tools)
{
    return &tools->reserved.state;
}

static const struct lssb_tools_job *tools_job(lssb_tools *tools)
{
    return tools_of(tools)->job;
}

/* ------------------------------------------------------------ beginning -- */

/* The struct is another call's. */
static lssb_status tools_busy(lssb_op *call, const char *name)
{
    return lssb_refuse_as(lssb_call_client(call), call, LSSB_E_BUSY, name,
                          ": the lssb_tools are in use by another call; take "
                          "one struct for each at a time", NULL);
}

lssb_op *lssb_tools_begin(lssb_tools *tools, const struct lssb_tools_job *job,
                          lssb_op *op, lssb_op *own, lssb_status *status)
{
    lssb_op *call = lssb_sandbox_begin(tools != NULL ? tools->box : NULL, op,
                                       own, status);
    struct lssb_tools_state *state;

    if (call == NULL)
        return NULL;
    state = tools_of(tools);
    if (state->outer != NULL) {
        *status = tools_busy(call, job->name);
        return NULL;
    }
    if (job->endless && !LSSB_WEBSOCKET) {
        *status = lssb_refuse_as(tools->box->client, call, LSSB_E_UNSUPPORTED,
                                 job->name, ": this needs a build with "
                                 "LSSB_WEBSOCKET 1", NULL);
        return NULL;
    }
    memset(state, 0, offsetof(struct lssb_tools_state, said));
    state->said[0] = '\0';
    state->name[0] = '\0';
    state->job = job;
    state->flags = job->flags;
    lssb_tools_put(tools, "LC_ALL", "C");
    lssb_tools_put(tools, "LSSB_P", tools_prologue);
    return call;
}

void lssb_tools_put(lssb_tools *tools, const char *name, const char *value)
{
    struct lssb_tools_state *state = tools_of(tools);

    state->env[state->env_count].name = name;
    state->env[state->env_count++].value = value;
}

/* Puts a byte of a path, escaped where printf's %b needs it; false: no room. */
static bool tools_escape(struct lssb_tools_state *state, uint8_t byte,
                         bool octal)
{
    char *to = state->escaped + state->escaped_len;
    size_t room = sizeof state->escaped - state->escaped_len;

    if (room < 6)
        return false;
    if (octal) {
        to[0] = '\\';
        to[1] = '0';
        to[2] = (char)('0' + (byte >> 6));
        to[3] = (char)('0' + (byte >> 3 & 7));
        to[4] = (char)('0' + (byte & 7));
        state->escaped_len = (uint16_t)(state->escaped_len + 5);
        return true;
    }
    if (byte == '\\')
        *to++ = '\\';
    *to = (char)byte;
    state->escaped_len =
        (uint16_t)(state->escaped_len + (byte == '\\' ? 2 : 1));
    return true;
}

/* Escapes a path that is no UTF-8; NULL: it does not fit. */
static const char *tools_escaped(struct lssb_tools_state *state,
                                 const char *path, size_t len)
{
    const char *escaped = state->escaped + state->escaped_len;
    size_t i = 0, valid;

    while (i < len) {
        for (valid = lssb_utf8_valid(path + i, len - i); valid > 0; valid--)
            if (!tools_escape(state, (uint8_t)path[i++], false))
                return NULL;
        if (i < len && !tools_escape(state, (uint8_t)path[i++], true))
            return NULL;
    }
    state->escaped[state->escaped_len++] = '\0';
    return escaped;
}

const char *lssb_tools_path(lssb_tools *tools, const char *path, bool second)
{
    size_t len = path != NULL ? strlen(path) : 0;
    const char *escaped;

    if (len == 0)
        return path == NULL ? "a path is NULL" : "a path is empty";
    if (len >= LSSB_TAR_PATH)
        return "a path has more than 4,095 bytes";
    if (lssb_utf8_valid(path, len) == len) {
        lssb_tools_put(tools, second ? "LSSB_B" : "LSSB_A", path);
        return NULL;
    }
    escaped = tools_escaped(tools_of(tools), path, len);
    if (escaped == NULL)
        return "a path that is no UTF-8 is too long";
    lssb_tools_put(tools, second ? "LSSB_BX" : "LSSB_AX", escaped);
    return NULL;
}

/* ---------------------------------------------------------- at the work -- */

/* The box says something on standard error. */
static lssb_status tools_complains(void *user, const void *bytes, size_t len)
{
    lssb_told_complaint(tools_of(user), bytes, len);
    return LSSB_OK;
}

lssb_status lssb_tools_stop(lssb_tools *tools, lssb_status failure,
                            const char *why)
{
    struct lssb_tools_state *state = tools_of(tools);

    if (state->failure == LSSB_OK || state->stopped == NULL)
        state->failure = failure;
    state->stopped = why;
    lssb_run_kill(&state->op);
    return LSSB_E_STOPPED;
}

lssb_status lssb_tools_heard(lssb_tools *tools, lssb_status said)
{
    if (said == LSSB_AGAIN)
        return LSSB_AGAIN;
    if (said != LSSB_OK)
        return lssb_tools_stop(tools, LSSB_E_STOPPED, "stopped by a callback");
    said = lssb_call_stopped(tools_of(tools)->outer, LSSB_OK);
    if (said != LSSB_OK)
        lssb_run_kill(&tools_of(tools)->op);
    return said;
}

lssb_status lssb_tools_records(lssb_tools *tools, const char *text, size_t len,
                               lssb_tools_next_fn next,
                               lssb_tools_tell_fn tell)
{
    struct lssb_tools_state *state = tools_of(tools);
    lssb_status status = LSSB_OK;
    size_t used;

    while (status == LSSB_OK) {
        if (!state->waiting && state->offered >= len)
            break;                  /* less than that, behind a loss */
        if (!state->waiting) {
            enum lssb_told told = next(state, text + state->offered,
                                       len - state->offered, &used);

            state->offered += used;
            if (told == LSSB_TOLD_WRONG)
                return lssb_tools_stop(tools, LSSB_E_PROTOCOL,
                                       "the box's tools gave an output that "
                                       "makes no sense");
            if (told == LSSB_TOLD_MORE)
                break;
        }
        status = lssb_tools_heard(tools, tell(tools));
        state->waiting = status == LSSB_AGAIN;
    }
    if (status == LSSB_OK)
        state->offered -= len;
    return status;
}

/* --------------------------------------------------------------- the end -- */

/* Says what became of a call: what the library found, then what the tool
 * said. */
lssb_status lssb_tools_say(lssb_tools *tools, lssb_status status,
                           const char *why)
{
    struct lssb_tools_state *state = tools_of(tools);
    lssb_error *error = &tools->box->client->error;
    const char *name = tools_job(tools)->name;

    lssb_fail(error, status,
              why != NULL ? LSSB_LAYER_CALLER : LSSB_LAYER_SERVICE, name, ": ",
              why != NULL ? why : state->said, NULL);
    if (why == NULL)
        error->resource = tools_job(tools)->resource;
    else
        error->system_code = state->system_code;
    lssb_copy(error->operation, sizeof error->operation, name, strlen(name));
    return status;
}

/* The command itself failed, or was stopped. */
static lssb_status tools_failed(lssb_tools *tools)
{
    struct lssb_tools_state *state = tools_of(tools);
    lssb_error *error = &tools->box->client->error;

    if (state->why == LSSB_E_DEADLINE)
        return lssb_tools_say(tools, LSSB_E_DEADLINE,
                              "the deadline passed while the box was at work");
    if (state->why != LSSB_OK)
        return lssb_tools_say(tools, state->why, "canceled");
    if (state->stopped != NULL)
        return lssb_tools_say(tools, state->failure, state->stopped);
    *error = state->error;
    lssb_error_prefix(error, tools_job(tools)->name, ": ", NULL);
    return error->status;
}

lssb_status lssb_tools_outcome(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = tools_of(tools);

    if (code == 0)
        return LSSB_OK;
    if (state->said_len == 0)
        return lssb_tools_say(tools, LSSB_E_OPERATION,
                              "the box's tools failed without a word");
    if (code == 127)
        return lssb_tools_say(tools, LSSB_E_UNSUPPORTED, NULL);
    return lssb_tools_say(tools,
                          state->failure != LSSB_OK ? state->failure
                                                    : LSSB_E_OPERATION,
                          NULL);
}

lssb_status lssb_tools_listed(lssb_tools *tools, int32_t code)
{
    struct lssb_tools_state *state = tools_of(tools);

    if (code != 0)
        return lssb_tools_outcome(tools, code);
    if (!state->ended)
        return lssb_tools_say(tools, LSSB_E_PROTOCOL,
                              "what the box's tools told is not complete");
    if (state->numbers[1] != 0 && state->failure == LSSB_E_NOT_FOUND)
        return LSSB_OK;             /* what was gone before it was looked at */
    return lssb_tools_outcome(tools, (int32_t)(state->numbers[1] & 0xFF));
}

/* The command is over: what that means for the call. */
lssb_status lssb_tools_over(lssb_tools *tools)
{
    struct lssb_tools_state *state = tools_of(tools);

    lssb_told_last(state);
    if (state->op.status != LSSB_OK)
        return tools_failed(tools);
    if (state->result.out_lost > 0)
        return lssb_tools_say(tools, LSSB_E_CONNECTION,
                              "a part of the output was lost on the way");
    return tools_job(tools)->ended(tools, state->result.exit_code);
}

static bool tools_watch(lssb_op *op)
{
    lssb_tools *tools = op->reserved.state.extra;

    if (tools_of(tools)->op.status == LSSB_PENDING)
        return false;
    lssb_call_finish(op, lssb_tools_over(tools));
    return true;
}

bool lssb_tools_leave(lssb_op *op, lssb_status why)
{
    lssb_tools *tools = op->reserved.state.extra;

    tools_of(tools)->why = why;
    lssb_run_kill(&tools_of(tools)->op);
    lssb_cancel(&tools_of(tools)->op);
    return true;
}

static void tools_ended(lssb_op *op, lssb_status outcome)
{
    lssb_tools *tools = op->reserved.state.extra;

    (void)outcome;
    tools_of(tools)->outer = NULL;
    if (tools_job(tools)->over != NULL)
        tools_job(tools)->over(tools);
}

static const struct lssb_exchange tools_exchange = {
    .name = "tools",
    .awaits = "waiting for the box's tools",
    .watch = tools_watch,
    .leave = lssb_tools_leave,
    .ended = tools_ended
};

void lssb_tools_prepare(lssb_tools *tools, const lssb_op *call)
{
    struct lssb_tools_state *state = tools_of(tools);
    const struct lssb_tools_job *job = tools_job(tools);
    lssb_run_options *options = &state->options;

    options->shell = "/bin/sh";
    options->cwd = "/";
    options->as_user = tools->as_user;
    options->timeout_s = job->endless ? LSSB_NO_LIMIT : tools->timeout_s;
    options->idle_timeout_s = job->endless ? TOOLS_WATCH_IDLE_S : 0;
    options->env = state->env;
    options->env_count = state->env_count;
    options->on_out = job->hears;
    options->on_err = tools_complains;
    options->user = tools;
    state->op.headers = call->headers;
    state->op.header_count = call->header_count;
    state->op.error = &state->error;
}

lssb_status lssb_tools_go(lssb_tools *tools, lssb_op *call, bool wait)
{
    struct lssb_tools_state *state = tools_of(tools);
    const struct lssb_tools_job *job = tools_job(tools);
    lssb_status status;

    lssb_tools_prepare(tools, call);
    status = lssb_run(tools->box, job->script, &state->options,
                      &state->result, &state->op);
    if (status != LSSB_PENDING) {
        lssb_error_prefix(&tools->box->client->error, job->name, ": ", NULL);
        if (call->error != NULL)
            *call->error = tools->box->client->error;
        if (job->over != NULL)
            job->over(tools);
        return call->status = status;
    }
    call->reserved.state.extra = tools;
    state->outer = call;
    return lssb_call_attend(call, wait, &tools_exchange);
}

lssb_status lssb_tools_refuse(lssb_tools *tools, lssb_op *call,
                              const char *wrong)
{
    return lssb_refuse(tools->box->client, call, tools_job(tools)->name, ": ",
                       wrong, NULL);
}
