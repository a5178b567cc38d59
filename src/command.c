/* command.c: commands that are followed over a WebSocket (protocol 5).
 *
 * SPDX-License-Identifier: MIT
 *
 * A command in the box outlives its connections. Here it is an operation that
 * keeps its slot: it opens a WebSocket, sends `execute`, and once `started`
 * has come it follows the output; when the connection is lost it opens another
 * one and sends `reconnect` from where the output stopped. lssb_run is such an
 * operation; an lssb_command has one inside, its carrier.
 *
 * Output is decoded into the slot's hold, a message at a time, and delivered
 * from there: its `type` and its `offset` may stand behind its data. What came
 * of a message whose rest was lost is forgotten, and comes again.
 */
#include "internal.h"

#if LSSB_WEBSOCKET

#define COMMAND_TIMEOUT_S 60
#define COMMAND_IDLE_S 300
#define COMMAND_KEEP_S 600
#define COMMAND_OPEN_MS 120000      /* for all attempts to start it */
#define COMMAND_FAILURES 5          /* in a row, once it was started */
#define COMMAND_PING_MS 30000
#define COMMAND_KILL_MS 10000       /* from a kill to its exit code */
#define COMMAND_CLOSE_MS 10000      /* for the closing handshake */
#define COMMAND_GRACE_MS 60000      /* lssb_run, beyond the command's time */
#define COMMAND_SILENCE_MS 2000     /* an older server does not greet */
#define COMMAND_HELD_MS 10          /* until bytes are offered again */
#define COMMAND_ROUNDS 16           /* of receiving, before others' turn */
#define COMMAND_MARGIN 16           /* bytes of a message that may yield one
                                       more character than they are long */

enum command_phase {
    COMMAND_OPENING = 0,            /* until `started` */
    COMMAND_ATTACHING,              /* lssb_command_reattach, until a message */
    COMMAND_FOLLOWING,
    COMMAND_OVER
};

/* What a message is. */
enum command_type {
    COMMAND_TYPE_NONE = 0,
    COMMAND_TYPE_STARTED,
    COMMAND_TYPE_STDOUT,
    COMMAND_TYPE_STDERR,
    COMMAND_TYPE_EXIT,
    COMMAND_TYPE_ERROR,
    COMMAND_TYPE_AGENT_DATA,
    COMMAND_TYPE_AGENT_CLOSE,
    COMMAND_TYPE_OTHER
};

/* What goes out. */
enum command_sending {
    COMMAND_SEND_NOTHING = 0,
    COMMAND_SEND_EXECUTE,
    COMMAND_SEND_RECONNECT,
    COMMAND_SEND_KILL,
    COMMAND_SEND_RESIZE,
    COMMAND_SEND_CLOSE_STDIN
};

/* In `flags`: the command. */
#define COMMAND_INPUT_OPEN 0x1u     /* may be written to */
#define COMMAND_PTY 0x2u
#define COMMAND_PUSH 0x4u           /* output goes to callbacks and buffers */
#define COMMAND_HELD 0x8u           /* by an lssb_command */
#define COMMAND_KILL 0x10u          /* wanted */
#define COMMAND_END_INPUT 0x40u     /* wanted, on every connection */
#define COMMAND_RESIZE 0x80u        /* wanted */
#define COMMAND_DRAIN 0x100u        /* somebody waits for the end alone */
#define COMMAND_LEAVE 0x200u        /* the caller lets go */
#define COMMAND_REATTACH 0x400u     /* `reconnect` is what begins a connection */
/* Its connection. */
#define COMMAND_BEGUN 0x1000u       /* the first message went out */
#define COMMAND_GREETED 0x2000u     /* the first message came */
#define COMMAND_KILL_PUT 0x4000u    /* the kill is with the connection */
#define COMMAND_KILL_GONE 0x8000u   /* and with the socket */
#define COMMAND_END_PUT 0x10000u    /* the end of input likewise */
#define COMMAND_INPUT_PUT 0x20000u  /* input went out on it */
#define COMMAND_CONNECTION \
    (COMMAND_BEGUN | COMMAND_GREETED | COMMAND_KILL_PUT | COMMAND_END_PUT | \
     COMMAND_INPUT_PUT)
/* The message at hand. */
#define COMMAND_OFFSET 0x100000u    /* its offset is known */
#define COMMAND_TOLD 0x200000u      /* its beginning was looked at */
#define COMMAND_GUESSED 0x400000u   /* without knowing its offset */
#define COMMAND_OVERLAP 0x800000u   /* where it might have overlapped */
#define COMMAND_COMPLETE 0x1000000u /* all of it has come */
#define COMMAND_READY 0x2000000u    /* there is something to deliver */
#define COMMAND_DATA 0x4000000u     /* it has data */
#define COMMAND_NO_CODE 0x8000000u  /* it has no exit_code */
#define COMMAND_MESSAGE \
    (COMMAND_OFFSET | COMMAND_TOLD | COMMAND_GUESSED | COMMAND_OVERLAP | \
     COMMAND_COMPLETE | COMMAND_READY | COMMAND_DATA)

static lssb_command *command_of(const lssb_op *op)
{
    return op->reserved.state.extra;
}

static struct lssb_command_state *command_state(const lssb_op *op)
{
    return &command_of(op)->reserved.state;
}

/* The two streams of an array; 0 is stdout. */
static struct lssb_command_stream *command_stream(lssb_command *command)
{
    return &command->reserved.state
                .streams[command->reserved.state.stream == LSSB_STDERR];
}

/* Where a stream would go on: the offset of its next byte, as far as one can
 * know. */
static uint64_t command_expected(const struct lssb_command_stream *stream)
{
    return stream->anchor + stream->text;
}

/* From where a replay is asked for. The count of a text that holds a U+FFFD
 * may be ahead of the server's: then from the beginning of that message. */
static uint64_t command_replay(const struct lssb_command_stream *stream)
{
    return stream->approximate ? stream->anchor : command_expected(stream);
}

/* ---------------------------------------------------------- what goes out */

/* Seconds as the server wants them: `fallback` for 0, `none` for no limit. */
static int32_t command_seconds(int32_t seconds, int32_t fallback, int32_t none)
{
    if (seconds == 0)
        return fallback;
    return seconds > 0 ? seconds : none;
}

/* Who, where and with what: in the spelling that every server knows, or in the
 * newer one when a user is asked for (protocol 2.18). */
static void command_put_config(struct lssb_json_writer *json,
                               const lssb_run_options *options)
{
    bool newer = options->as_user != NULL && options->as_user[0] != '\0';

    if (newer) {
        lssb_json_object(json, "run_config");
        lssb_json_string(json, "user", options->as_user);
    }
    if (options->cwd != NULL && options->cwd[0] != '\0')
        lssb_json_string(json, newer ? "work_dir" : "cwd", options->cwd);
    if (options->env_count > 0)
        lssb_json_pairs(json, newer ? "env_vars" : "env", options->env,
                        options->env_count);
    if (newer)
        lssb_json_close(json);
}

/* Whether stdin is closed from the start. */
static bool command_no_input(const lssb_run_options *options)
{
    return !options->open_stdin && !options->pty && options->input == NULL;
}

/* The first message of a new command (protocol 5.3). */
static void command_put_execute(struct lssb_json_writer *json,
                                const char *id, const char *text,
                                const lssb_run_options *options)
{
    lssb_json_string(json, "type", "execute");
    lssb_json_string(json, "command", text != NULL ? text : "");
    lssb_json_number(json, "timeout_seconds",
                     command_seconds(options->timeout_s, COMMAND_TIMEOUT_S, 0));
    lssb_json_string(json, "shell",
                     options->shell != NULL ? options->shell : "/bin/bash");
    lssb_json_number(json, "idle_timeout_seconds",
                     command_seconds(options->idle_timeout_s, COMMAND_IDLE_S,
                                     -1));
    lssb_json_bool(json, "kill_on_disconnect", options->kill_on_disconnect);
    lssb_json_number(json, "ttl_seconds",
                     command_seconds(options->keep_s, COMMAND_KEEP_S, -1));
    if (command_no_input(options))
        lssb_json_bool(json, "close_stdin", true);
    command_put_config(json, options);
    if (options->pty)
        lssb_json_bool(json, "pty", true);
    if (options->ssh_agent)
        lssb_json_bool(json, "ssh_agent_forward", true);
    lssb_json_string(json, "command_id", id);
}

/* The first message of a connection to a command that is there. */
static void command_put_reconnect(struct lssb_json_writer *json,
                                  const lssb_command *command)
{
    const struct lssb_command_stream *streams =
        command->reserved.state.streams;

    lssb_json_string(json, "type", "reconnect");
    lssb_json_string(json, "command_id", command->id);
    lssb_json_number(json, "stdout_offset",
                     (int64_t)command_replay(&streams[0]));
    lssb_json_number(json, "stderr_offset",
                     (int64_t)command_replay(&streams[1]));
}

/* The message that is on its way out. */
static void command_put(const void *ctx, struct lssb_writer *to)
{
    const lssb_command *command = ctx;
    const struct lssb_command_state *state = &command->reserved.state;
    struct lssb_json_writer json;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    switch ((enum command_sending)state->sending) {
    case COMMAND_SEND_NOTHING:
        break;
    case COMMAND_SEND_EXECUTE:
        command_put_execute(&json, command->id, state->text, state->options);
        break;
    case COMMAND_SEND_RECONNECT:
        command_put_reconnect(&json, command);
        break;
    case COMMAND_SEND_KILL:
        lssb_json_string(&json, "type", "kill");
        break;
    case COMMAND_SEND_RESIZE:
        lssb_json_string(&json, "type", "resize");
        lssb_json_number(&json, "cols", state->columns);
        lssb_json_number(&json, "rows", state->rows);
        break;
    case COMMAND_SEND_CLOSE_STDIN:
        lssb_json_string(&json, "type", "close_stdin");
        break;
    }
    lssb_json_close(&json);
}

/* Whether all that was given as input has gone out. */
static bool command_input_done(const struct lssb_command_state *state)
{
    return state->options->input == NULL ||
           state->input_sent == state->options->input_len;
}

/* What to say next on a connection whose first message has been answered. */
static enum command_sending
command_next_message(const struct lssb_command_state *state)
{
    if ((state->flags & COMMAND_KILL) != 0 &&
        (state->flags & COMMAND_KILL_PUT) == 0)
        return COMMAND_SEND_KILL;
    if ((state->flags & COMMAND_RESIZE) != 0)
        return COMMAND_SEND_RESIZE;
    if ((state->flags & COMMAND_END_INPUT) != 0 &&
        (state->flags & COMMAND_END_PUT) == 0 && command_input_done(state))
        return COMMAND_SEND_CLOSE_STDIN;
    return COMMAND_SEND_NOTHING;
}

/* A message is with the connection, whole. */
static void command_said(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);

    switch ((enum command_sending)state->sending) {
    case COMMAND_SEND_KILL:
        state->flags |= COMMAND_KILL_PUT;
        break;
    case COMMAND_SEND_CLOSE_STDIN:
        state->flags |= COMMAND_END_PUT;
        break;
    case COMMAND_SEND_EXECUTE:
    case COMMAND_SEND_RECONNECT:
        state->flags |= COMMAND_BEGUN;
        op->reserved.state.wake_at =
            lssb_call_client(op)->now + COMMAND_SILENCE_MS;
        break;
    case COMMAND_SEND_NOTHING:
    case COMMAND_SEND_RESIZE:
        break;
    }
    state->sending = COMMAND_SEND_NOTHING;
}

/* How many bytes of a text fit a message with `room` for its data: whole
 * characters, escaped where they must be. */
static size_t command_fitting(const char *bytes, size_t len, size_t room)
{
    char escape[6];
    size_t used = 0, at = 0, whole = 0;

    while (at < len && used < room) {
        used += (uint8_t)bytes[at] < 0x80
                    ? lssb_json_escape(bytes[at], escape)
                    : 1;
        if (used > room)
            break;
        at++;
        if (at == len || ((uint8_t)bytes[at] & 0xC0) != 0x80)
            whole = at;
    }
    return whole;
}

/* A message that carries bytes. `channel_id` NULL: input; else an agent's, in
 * base64. */
static void command_put_carrier(struct lssb_writer *to, const char *channel_id,
                                const char *bytes, size_t len)
{
    struct lssb_json_writer json;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    if (channel_id == NULL) {
        lssb_json_string(&json, "type", "input");
        lssb_json_string_n(&json, "data", bytes, len);
        lssb_json_close(&json);
        return;
    }
    lssb_json_string(&json, "type", "ssh_agent_data");
    lssb_json_string(&json, "channel_id", channel_id);
    lssb_put_text(to, ",\"data\":\"");
    lssb_put_base64(to, bytes, len);
    lssb_put_text(to, "\"");
    lssb_json_close(&json);
}

/* Sends one such message, with as many bytes as there is room for; returns how
 * many that were. */
static size_t command_carry(lssb_op *op, const char *channel_id,
                            const char *bytes, size_t len)
{
    struct lssb_channel *channel = &lssb_call_slot(op)->channel;
    size_t room, around, taken;
    struct lssb_writer writer;
    uint8_t *out;

    lssb_writer_start(&writer, NULL, 0, 0);
    command_put_carrier(&writer, channel_id, bytes, 0);
    around = (size_t)writer.total;
    if (channel->sending)
        return 0;
    out = lssb_channel_reserve(channel, around + 64, &room);
    if (out == NULL || room < around + 8)
        return 0;
    taken = command_fitting(bytes, len, room - around);
    if (channel_id != NULL)
        taken = len < (room - around) / 4 * 3 ? len : (room - around) / 4 * 3;
    if (taken == 0)
        return 0;
    lssb_writer_start(&writer, out, room, 0);
    command_put_carrier(&writer, channel_id, bytes, taken);
    lssb_channel_commit(channel, LSSB_WS_TEXT, true, writer.len);
    return taken;
}

/* Whether the connection takes messages about a command that runs. An older
 * server says nothing after `reconnect` as long as the command does not. */
static bool command_may_talk(const lssb_op *op)
{
    const struct lssb_command_state *state = command_state(op);

    if ((state->flags & COMMAND_GREETED) != 0)
        return true;
    return (state->flags & COMMAND_BEGUN) != 0 &&
           state->phase != COMMAND_OPENING &&
           lssb_call_client(op)->now >= op->reserved.state.wake_at;
}

/* Sends as much of the caller's whole input as there is room for. */
static void command_send_input(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    const lssb_run_options *options = state->options;

    while (!command_input_done(state)) {
        size_t taken = command_carry(
            op, NULL, options->input + state->input_sent,
            options->input_len - (size_t)state->input_sent);

        if (taken == 0)
            return;
        state->input_sent += taken;
        state->flags |= COMMAND_INPUT_PUT;
    }
}

/* Sends what is to be said, in its order. */
static void command_send(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    for (;;) {
        if (state->sending == COMMAND_SEND_NOTHING) {
            if ((state->flags & COMMAND_BEGUN) == 0)
                state->sending = (state->flags & COMMAND_REATTACH) != 0
                                     ? COMMAND_SEND_RECONNECT
                                     : COMMAND_SEND_EXECUTE;
            else if (command_may_talk(op))
                state->sending = (uint8_t)command_next_message(state);
            if (state->sending == COMMAND_SEND_RESIZE)
                state->flags &= ~COMMAND_RESIZE;
        }
        if (state->sending == COMMAND_SEND_NOTHING)
            break;
        if (!lssb_channel_send(&slot->channel, command_put, command_of(op)))
            return;
        command_said(op);
    }
    if (command_may_talk(op))
        command_send_input(op);
    if (command_may_talk(op) &&
        command_next_message(state) == COMMAND_SEND_CLOSE_STDIN) {
        command_send(op);           /* the input is through */
        return;
    }
    lssb_conn_flush(&slot->conn);
}

/* Whether something that could be said was not, for want of room. */
static bool command_is_unsaid(const lssb_op *op)
{
    const struct lssb_command_state *state = command_state(op);

    return state->sending != COMMAND_SEND_NOTHING ||
           (command_may_talk(op) && !command_input_done(state));
}

/* ------------------------------------------------------------ delivering */

/* Whether a text holds U+FFFD. */
static bool command_is_approximate(const char *text, size_t len)
{
    const char *end = text + len, *at = text;

    while ((at = memchr(at, 0xEF, (size_t)(end - at))) != NULL) {
        if (end - at >= 3 && (uint8_t)at[1] == 0xBF && (uint8_t)at[2] == 0xBD)
            return true;
        at++;
    }
    return false;
}

/* Output into a buffer, behind what is there, and a NUL behind that. */
static void command_store(char *buffer, size_t size, uint64_t at,
                          const char *bytes, size_t len, bool *cut)
{
    if (buffer == NULL || size == 0)
        return;
    if (at >= size - 1 || *cut) {
        *cut = true;
        return;
    }
    if (len > size - 1 - (size_t)at) {
        len = size - 1 - (size_t)at;
        while (len > 0 && ((uint8_t)bytes[len] & 0xC0) == 0x80)
            len--;                  /* not in the middle of a character */
        *cut = true;
    }
    memcpy(buffer + at, bytes, len);
    buffer[at + len] = '\0';
}

/* Counts what was delivered, or dropped because nobody wants it. */
static void command_delivered(lssb_command *command, const char *bytes,
                              size_t len)
{
    struct lssb_command_state *state = &command->reserved.state;
    struct lssb_command_stream *stream = command_stream(command);
    bool err = state->stream == LSSB_STDERR;

    stream->text += len;
    state->len[err] += len;
    if (!stream->approximate)
        stream->approximate = command_is_approximate(bytes, len);
    *(err ? &command->err_offset : &command->out_offset) =
        command_expected(stream);
}

/* Tells of bytes that are missing before the message at hand. */
static void command_tell_gap(lssb_op *op, uint64_t offset, uint64_t lost)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = &command->reserved.state;
    const lssb_run_options *options = state->options;
    bool err = state->stream == LSSB_STDERR;

    *(err ? &command->err_lost : &command->out_lost) += lost;
    state->gap += lost;
    if (options->on_gap != NULL)
        options->on_gap(options->user, (lssb_stream)state->stream, offset,
                        lost);
}

/* Offers a text to the callback, then stores it. */
static lssb_status command_push(lssb_op *op, const char *bytes, size_t len)
{
    struct lssb_command_state *state = command_state(op);
    const lssb_run_options *options = state->options;
    bool err = state->stream == LSSB_STDERR;
    lssb_take_fn take = err ? options->on_err : options->on_out;
    lssb_status status = LSSB_OK;

    if (take != NULL)
        status = lssb_call_stopped(op, take(options->user, bytes, len));
    if (status != LSSB_OK)
        return status;
    command_store(err ? options->err : options->out,
                  err ? options->err_size : options->out_size,
                  state->len[err], bytes, len, &state->cut[err]);
    return LSSB_OK;
}

/* Forgets the message at hand. */
static void command_forget_message(struct lssb_command_state *state)
{
    state->flags &= ~COMMAND_MESSAGE;
    state->type = COMMAND_TYPE_NONE;
    state->held = 0;
    state->gap = 0;
    state->word_len = 0;
    state->given = false;
}

/* What is held is through; so is its message, if it was the rest of it. */
static void command_release(struct lssb_command_state *state)
{
    state->flags &= ~COMMAND_READY;
    state->held = 0;
    state->gap = 0;
    state->given = false;
    if ((state->flags & COMMAND_COMPLETE) != 0)
        command_forget_message(state);
}

/* Delivers what is ready. LSSB_AGAIN: nobody takes it now. */
static lssb_status command_deliver(lssb_op *op)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = command_state(op);
    const char *bytes = lssb_call_slot(op)->hold;
    lssb_status status = LSSB_OK;

    if ((state->flags & COMMAND_READY) == 0)
        return LSSB_OK;
    if (state->given && (state->flags & COMMAND_DRAIN) == 0)
        return LSSB_AGAIN;
    if (state->given) {
        command_release(state);
        return LSSB_OK;
    }
    if ((state->flags & COMMAND_PUSH) != 0 && state->held > 0)
        status = command_push(op, bytes, state->held);
    else if ((state->flags & (COMMAND_PUSH | COMMAND_DRAIN)) == 0)
        status = LSSB_AGAIN;
    if (status != LSSB_OK)
        return status;
    command_delivered(command, bytes, state->held);
    command_release(state);
    return LSSB_OK;
}

/* -------------------------------------------------------- what comes in */

/* A failure that this library or the server found, about this command. */
static lssb_status command_fail(lssb_op *op, lssb_status status,
                                lssb_layer layer, const char *message,
                                const char *more)
{
    lssb_error *error = &lssb_call_client(op)->error;
    bool attached = (command_state(op)->flags & COMMAND_REATTACH) != 0;

    lssb_fail(error, status, layer, lssb_call_exchange(op)->name, ": ",
              message, more, NULL);
    lssb_copy(error->operation, sizeof error->operation,
              attached ? "reconnect" : "command", attached ? 9 : 7);
    return status;
}

/* Which members of a message are wanted (protocol 5.5). */
static enum lssb_json_take command_choose(void *ctx, int depth,
                                          const char *parent, const char *key)
{
    struct lssb_command_state *state = command_state(ctx);

    (void)parent;
    if (depth != 1)
        return LSSB_JSON_SKIP;
    if (strcmp(key, "type") == 0) {
        state->word_len = 0;
        return LSSB_JSON_STREAM;
    }
    if (strcmp(key, "data") == 0)
        return (state->flags & COMMAND_DATA) != 0 ||
                       (state->type != COMMAND_TYPE_NONE &&
                        state->type != COMMAND_TYPE_STDOUT &&
                        state->type != COMMAND_TYPE_STDERR &&
                        state->type != COMMAND_TYPE_AGENT_DATA)
                   ? LSSB_JSON_SKIP
                   : LSSB_JSON_STREAM;
    if (strcmp(key, "offset") == 0 || strcmp(key, "pid") == 0 ||
        strcmp(key, "exit_code") == 0)
        return LSSB_JSON_VISIT;
    if (strcmp(key, "error") == 0)
        return LSSB_JSON_CUT;
    return strcmp(key, "error_type") == 0 || strcmp(key, "command_id") == 0 ||
                   strcmp(key, "channel_id") == 0
               ? LSSB_JSON_KEEP
               : LSSB_JSON_SKIP;
}

/* What a message's type says. */
static enum command_type command_type(const char *word, size_t len)
{
    static const struct {
        const char *word;
        enum command_type type;
    } types[] = { { "started", COMMAND_TYPE_STARTED },
                  { "stdout", COMMAND_TYPE_STDOUT },
                  { "stderr", COMMAND_TYPE_STDERR },
                  { "exit", COMMAND_TYPE_EXIT },
                  { "error", COMMAND_TYPE_ERROR },
                  { "ssh_agent_data", COMMAND_TYPE_AGENT_DATA },
                  { "ssh_agent_close", COMMAND_TYPE_AGENT_CLOSE } };
    size_t i;

    for (i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i].word) == len &&
            memcmp(types[i].word, word, len) == 0)
            return types[i].type;
    return COMMAND_TYPE_OTHER;
}

/* A piece of a streamed member: of the type, or of the data. There is room:
 * no more was scanned than fits. */
static void command_slice(lssb_op *op, const struct lssb_json *json)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    size_t i;

    if (strcmp(json->key, "data") == 0) {
        memcpy(slot->hold + state->held, json->slice, json->slice_len);
        state->held += (uint32_t)json->slice_len;
        if (state->held > slot->hold_high)
            slot->hold_high = state->held;
        return;
    }
    for (i = 0; i < json->slice_len; i++) {
        if (state->word_len < sizeof state->word)
            state->word[state->word_len] = json->slice[i];
        if (state->word_len <= sizeof state->word)
            state->word_len++;      /* longer ones are none of ours */
    }
}

/* A number: where the message's data is, or how the command ended. */
static void command_number(struct lssb_command_state *state,
                           const struct lssb_json *json)
{
    int64_t number;

    if (!lssb_json_integer(json->slice, json->slice_len, &number))
        return;
    if (strcmp(json->path, "/offset") != 0) {
        state->number = number;
    } else if (number >= 0) {
        state->offset = (uint64_t)number;
        state->flags |= COMMAND_OFFSET;
    }
}

/* Reads a piece of a message; LSSB_OK, or it is no JSON. */
static lssb_status command_scan(lssb_op *op, const uint8_t *bytes, size_t len)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_json *json = &lssb_call_slot(op)->json;
    size_t at = 0, used;

    while (at < len) {
        enum lssb_json_event event =
            lssb_json_next(json, bytes + at, len - at, &used);

        at += used;
        if (event == LSSB_JSON_WRONG)
            return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                                "the server sent a message that is not valid "
                                "JSON: ", json->wrong);
        if (event == LSSB_JSON_SLICE)
            command_slice(op, json);
        else if (event == LSSB_JSON_VALUE)
            command_number(state, json);
        else if (event == LSSB_JSON_SLICE_END &&
                 strcmp(json->key, "type") == 0)
            state->type = (uint8_t)command_type(state->word, state->word_len);
        else if (event == LSSB_JSON_SLICE_END)
            state->flags |= COMMAND_DATA;
    }
    return LSSB_OK;
}

/* A string of a message that was kept, NUL-terminated, cut if too long; ""
 * when there is none. */
static size_t command_member(lssb_op *op, const char *name, char *to,
                             size_t size)
{
    const struct lssb_json *json = &lssb_call_slot(op)->json;
    size_t raw_len, len = SIZE_MAX;
    const char *raw = lssb_json_find(json->text, json->text_len, name,
                                     &raw_len);

    if (raw != NULL)
        len = lssb_json_decode(raw, raw_len, to, size);
    if (len == SIZE_MAX)
        to[0] = '\0';
    return len;
}

/* Looks at where the output at hand begins: after a gap, in an overlap, or
 * where it was expected (protocol 5.6). Its offset may not be known yet, when
 * it is longer than the hold. */
static void command_begin_output(lssb_op *op)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = command_state(op);
    struct lssb_command_stream *stream;
    uint64_t expected, from, offset, gap = 0;

    if ((state->flags & COMMAND_TOLD) != 0)
        return;
    state->flags |= COMMAND_TOLD;
    state->stream = state->type == COMMAND_TYPE_STDERR ? LSSB_STDERR
                                                       : LSSB_STDOUT;
    stream = command_stream(command);
    expected = command_expected(stream);
    from = command_replay(stream);
    offset = stream->fresh ? from : expected;
    if ((state->flags & COMMAND_OFFSET) != 0)
        offset = state->offset;
    else
        state->flags |= stream->fresh ? COMMAND_GUESSED | COMMAND_OVERLAP
                                      : COMMAND_GUESSED;
    if (stream->fresh && offset <= from) {
        stream->drop += from - offset;
        if (stream->approximate)
            stream->drop += stream->text;
    } else if (stream->fresh && offset < expected) {
        stream->drop = expected - offset;
    } else if (offset > expected) {
        stream->drop = 0;
        gap = offset - expected;
    }
    stream->fresh = false;
    stream->anchor = offset;
    stream->text = 0;
    stream->approximate = false;
    if (gap > 0)
        command_tell_gap(op, expected, gap);
}

/* The offset of output whose beginning was delivered without knowing it. */
static lssb_status command_late_offset(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_command_stream *stream = command_stream(command_of(op));
    uint64_t assumed = stream->anchor;

    if ((state->flags & COMMAND_GUESSED) == 0 ||
        (state->flags & COMMAND_OFFSET) == 0 || state->offset == assumed)
        return LSSB_OK;
    if (state->offset < assumed && (state->flags & COMMAND_OVERLAP) != 0)
        return command_fail(op, LSSB_E_TOO_LONG, LSSB_LAYER_JSON,
                            "the server sent output again, in a message that "
                            "says so only behind more of it than this build's "
                            "LSSB_HOLD", NULL);
    stream->anchor = state->offset;
    if (state->offset > assumed)
        command_tell_gap(op, assumed, state->offset - assumed);
    return LSSB_OK;
}

/* Takes away what was delivered before; the rest is ready. */
static void command_make_ready(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_command_stream *stream = command_stream(command_of(op));
    char *hold = lssb_call_slot(op)->hold;
    size_t skip = state->held;

    if (stream->drop < skip)
        skip = (size_t)stream->drop;
    while (skip > 0 && skip < state->held &&
           ((uint8_t)hold[skip] & 0xC0) == 0x80)
        skip++;                     /* never a part of a character */
    if (skip > 0) {
        stream->drop -= stream->drop < skip ? stream->drop : skip;
        stream->text += skip;
        if (!stream->approximate)
            stream->approximate = command_is_approximate(hold, skip);
        state->held -= (uint32_t)skip;
        memmove(hold, hold + skip, state->held);
    }
    if (state->held > 0 || state->gap > 0)
        state->flags |= COMMAND_READY;
}

/* The hold is full in the middle of a message. */
static lssb_status command_hold_full(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);

    if (state->type != COMMAND_TYPE_STDOUT &&
        state->type != COMMAND_TYPE_STDERR)
        return command_fail(op, LSSB_E_TOO_LONG, LSSB_LAYER_JSON,
                            state->type == COMMAND_TYPE_NONE
                                ? "the server sent a message whose type "
                                  "stands behind more data than this build's "
                                  "LSSB_HOLD"
                                : "the server sent an ssh-agent message that "
                                  "is longer than this build's LSSB_HOLD",
                            NULL);
    command_begin_output(op);
    command_make_ready(op);
    return LSSB_OK;
}

/* Output, all of its message. */
static lssb_status command_output(lssb_op *op)
{
    lssb_status status;

    command_begin_output(op);
    status = command_late_offset(op);
    if (status == LSSB_OK)
        command_make_ready(op);
    return status;
}

/* Decodes base64 in place; false when it is none. */
static bool command_decode_base64(char *text, size_t len, size_t *decoded)
{
    uint32_t bits = 0;
    size_t i, n = 0, pad = 0;

    if (len % 4 != 0)
        return false;
    while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
        pad++;
    for (i = 0; i < len; i++) {
        char c = text[i];
        uint32_t six = 0;

        if (c >= 'A' && c <= 'Z')
            six = (uint32_t)(c - 'A');
        else if (c >= 'a' && c <= 'z')
            six = (uint32_t)(c - 'a') + 26;
        else if (c >= '0' && c <= '9')
            six = (uint32_t)(c - '0') + 52;
        else if (c == '+' || c == '/')
            six = c == '+' ? 62 : 63;
        else if (i < len - pad)
            return false;
        bits = bits << 6 | six;
        if (i % 4 == 3) {
            text[n++] = (char)(bits >> 16 & 0xFF);
            text[n++] = (char)(bits >> 8 & 0xFF);
            text[n++] = (char)(bits & 0xFF);
        }
    }
    *decoded = n - pad;
    return true;
}

/* Something on a channel of the forwarded agent. */
static lssb_status command_agent(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    const lssb_run_options *options = state->options;
    char *bytes = lssb_call_slot(op)->hold, channel_id[LSSB_ID_SIZE];
    size_t len = 0;

    if (options->on_agent == NULL)
        return LSSB_OK;
    if (command_member(op, "channel_id", channel_id, sizeof channel_id) >=
        sizeof channel_id)
        return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                            "the server sent an ssh-agent message without a "
                            "channel_id, or with one of 64 bytes or more",
                            NULL);
    if (state->type == COMMAND_TYPE_AGENT_CLOSE)
        return lssb_call_heard(op, options->on_agent(options->user, channel_id,
                                                     NULL, 0));
    if (!command_decode_base64(bytes, state->held, &len))
        return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                            "the server sent ssh-agent data that is not "
                            "base64", NULL);
    if (len == 0)
        return LSSB_OK;
    return lssb_call_heard(op, options->on_agent(options->user, channel_id,
                                                 bytes, len));
}

/* The server's `error`: final (protocol 5.5). */
static lssb_status command_server_error(lssb_op *op)
{
    lssb_command *command = command_of(op);
    lssb_error *error = &lssb_call_client(op)->error;
    char type[sizeof error->type], text[256];
    lssb_status status = LSSB_E_OPERATION;
    const char *before = "";

    command_member(op, "error_type", type, sizeof type);
    if (type[0] == '\0')
        lssb_copy(type, sizeof type, "CommandError", 12);
    if (command_member(op, "error", text, sizeof text) == SIZE_MAX)
        lssb_copy(text, sizeof text, "Unknown error", 13);
    if (strcmp(type, "CommandTimeout") == 0) {
        status = LSSB_E_COMMAND_TIMEOUT;
        before = "the command's time was up: ";
    } else if (strcmp(type, "CommandNotFound") == 0) {
        before = "Command not found: ";
    } else if (strcmp(type, "SessionExpired") == 0) {
        before = "Session expired: ";
    }
    command_fail(op, status, LSSB_LAYER_SERVICE, before,
                 strcmp(type, "CommandNotFound") == 0 ||
                         strcmp(type, "SessionExpired") == 0
                     ? command->id
                     : text);
    lssb_copy(error->type, sizeof error->type, type, strlen(type));
    return status;
}

/* A command of a lssb_command runs: from now on its carrier follows it. */
static lssb_status command_hand_over(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    lssb_op *carrier = &state->carrier;
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    memset(carrier, 0, sizeof *carrier);
    carrier->reserved.state = op->reserved.state;
    carrier->reserved.state.exchange = &lssb_command_carrier;
    carrier->reserved.state.canceled = 0;
    carrier->reserved.state.end_at = 0;
    carrier->reserved.state.attempt = 0;
    carrier->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    carrier->error = state->options->error;
    carrier->headers = op->headers;
    carrier->header_count = op->header_count;
    slot->op = carrier;
    slot->claimed = true;
    op->reserved.state.slot = NULL;
    lssb_client_add(client, carrier);
    lssb_call_finish(op, LSSB_OK);
    return LSSB_END;
}

/* The server has taken up the command, or taken us back. */
static lssb_status command_running(lssb_op *op)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = command_state(op);
    bool starting = state->phase != COMMAND_FOLLOWING;

    if (!starting && (state->flags & COMMAND_GREETED) == 0)
        command->reattached++;
    state->flags |= COMMAND_GREETED | COMMAND_REATTACH;
    state->phase = COMMAND_FOLLOWING;
    command->attached = true;
    if (starting && (state->flags & COMMAND_HELD) != 0)
        return command_hand_over(op);
    return LSSB_OK;
}

/* `started`: the acknowledgement of `execute` and of `reconnect`. */
static lssb_status command_started(lssb_op *op)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = command_state(op);
    char id[LSSB_ID_SIZE];
    bool ours;

    command_member(op, "command_id", id, sizeof id);
    ours = id[0] == '\0' || strcmp(id, command->id) == 0;
    if (!ours && state->phase == COMMAND_OPENING)
        return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_SERVICE,
                            "the server started another command than it was "
                            "asked to: ", id);
    if (!ours || (state->flags & COMMAND_GREETED) != 0)
        return LSSB_OK;
    state->failures = 0;
    if (command->pid == LSSB_UNKNOWN)
        command->pid = state->number;
    return command_running(op);
}

/* `exit`: the end; nothing follows. */
static lssb_status command_exited(lssb_op *op)
{
    lssb_command *command = command_of(op);
    int64_t code = command_state(op)->number;

    command->exit_code =
        code >= INT32_MIN && code <= INT32_MAX ? (int32_t)code : -1;
    lssb_call_finish(op, LSSB_OK);
    return LSSB_END;
}

/* The message at hand has come whole. LSSB_END: this operation is through
 * with the connection. */
static lssb_status command_message(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    enum command_type type = (enum command_type)state->type;
    lssb_status status = LSSB_OK;

    state->flags |= COMMAND_COMPLETE;
    if (state->phase == COMMAND_OPENING && type != COMMAND_TYPE_STARTED &&
        type != COMMAND_TYPE_ERROR)
        return command_fail(op, LSSB_E_OPERATION, LSSB_LAYER_SERVICE,
                            "the server's first message was unexpected: "
                            "expected 'started'", NULL);
    switch (type) {
    case COMMAND_TYPE_STARTED:
        status = command_started(op);
        break;
    case COMMAND_TYPE_STDOUT:
    case COMMAND_TYPE_STDERR:
        state->failures = 0;
        status = command_output(op);
        break;
    case COMMAND_TYPE_AGENT_DATA:
    case COMMAND_TYPE_AGENT_CLOSE:
        status = command_agent(op);
        break;
    case COMMAND_TYPE_ERROR:
        return command_server_error(op);
    case COMMAND_TYPE_EXIT:
    case COMMAND_TYPE_NONE:
    case COMMAND_TYPE_OTHER:
        break;
    }
    if (status != LSSB_OK)
        return status;
    if ((state->flags & COMMAND_READY) == 0 && type != COMMAND_TYPE_EXIT)
        command_forget_message(state);
    if ((state->flags & COMMAND_GREETED) == 0) {
        status = command_running(op);   /* an older server does not greet */
        op = (state->flags & COMMAND_HELD) != 0 ? &state->carrier : op;
    }
    if (type == COMMAND_TYPE_EXIT)
        return command_exited(op);
    return status;
}

/* ---------------------------------------------------------- losing, finding */

/* A connection is lost: what belonged to it is forgotten. */
static void command_detach(lssb_op *op)
{
    lssb_command *command = command_of(op);
    struct lssb_command_state *state = command_state(op);

    if ((state->flags & COMMAND_INPUT_PUT) != 0)
        command->input_uncertain = true;
    command->attached = false;
    command_forget_message(state);
    state->flags &= ~COMMAND_CONNECTION;
    state->sending = COMMAND_SEND_NOTHING;
    state->streams[0].fresh = true;
    state->streams[1].fresh = true;
    if (state->columns != 0)
        state->flags |= COMMAND_RESIZE;
    lssb_call_slot(op)->full = false;
}

/* A command that runs lost its connection (protocol 5.8). */
static lssb_status command_follow_again(lssb_op *op,
                                        enum lssb_upgrade_close closed,
                                        bool asked, uint64_t ms)
{
    struct lssb_command_state *state = command_state(op);
    lssb_client *client = lssb_call_client(op);
    lssb_error *error = &client->error;

    error->status = LSSB_E_CONNECTION;
    if ((state->flags & COMMAND_KILL_GONE) != 0) {
        lssb_error_prefix(error, "killed, but the connection was lost before "
                                 "an exit code came: ", NULL);
        return LSSB_E_CONNECTION;
    }
    state->failures++;
    if (state->failures > COMMAND_FAILURES) {
        lssb_error_prefix(error, "failed to reattach 6 times in succession: ",
                          NULL);
        return LSSB_E_CONNECTION;
    }
    if (!asked)
        ms = lssb_upgrade_backoff(client, state->failures, false);
    if (closed == LSSB_CLOSE_RELOAD)
        ms = 0;
    return lssb_upgrade_again(op, ms, 0);
}

/* A failure that is the connection's: goes on with another one, if it may. */
static lssb_status command_lost_by(lssb_op *op, bool asked, uint64_t ms)
{
    struct lssb_command_state *state = command_state(op);
    lssb_error *error = &lssb_call_client(op)->error;
    enum lssb_upgrade_close closed =
        (enum lssb_upgrade_close)op->reserved.state.step;
    lssb_status kind = lssb_upgrade_kind(op, error, closed);

    op->reserved.state.step = LSSB_CLOSE_NONE;
    command_detach(op);
    lssb_copy(error->operation, sizeof error->operation,
              (state->flags & COMMAND_REATTACH) != 0 ? "reconnect" : "command",
              (state->flags & COMMAND_REATTACH) != 0 ? 9 : 7);
    if (lssb_upgrade_is_final(error))
        return error->status;
    if (state->phase == COMMAND_ATTACHING)
        return error->status = kind;
    return state->phase == COMMAND_OPENING
               ? lssb_upgrade_open_again(op, closed, asked, ms,
                                         state->open_end_at)
               : command_follow_again(op, closed, asked, ms);
}

static lssb_status command_lost(lssb_op *op)
{
    return command_lost_by(op, false, 0);
}

/* The upgrade was refused (protocol 5.7). */
static lssb_status command_refused(lssb_op *op, lssb_error *error)
{
    struct lssb_command_state *state = command_state(op);
    bool asked = lssb_call_slot(op)->retry_after_given;
    bool capped = state->phase != COMMAND_OPENING || state->open_end_at == 0;
    uint64_t ms;

    if (lssb_upgrade_refused(op, error,
                             "the server does not support WebSocket commands, "
                             "or does not know the sandbox: ", capped, &ms))
        return command_lost_by(op, asked, ms);
    command_detach(op);
    return error->status;
}

/* ---------------------------------------------------------------- a step */

/* Begins with a message. */
static void command_message_begin(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    command_forget_message(command_state(op));
    command_state(op)->number = LSSB_UNKNOWN;
    memset(&slot->json, 0, sizeof slot->json);
    slot->json.choose = command_choose;
    slot->json.ctx = op;
    lssb_json_start(&slot->json, slot->element, sizeof slot->element);
}

/* A piece of a message, and what follows if it was the last. */
static lssb_status command_piece(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    struct lssb_ws *ws = &slot->channel.ws;
    bool ends = ws->ends;
    lssb_status status;

    if (ws->begins)
        command_message_begin(op);
    status = command_scan(op, ws->data, ws->data_len);
    lssb_channel_done(&slot->channel);
    if (status != LSSB_OK || !ends)
        return status;
    if (lssb_json_end(&slot->json) != LSSB_JSON_DONE)
        return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                            "the server sent a message that is not valid "
                            "JSON: ", slot->json.wrong);
    if (slot->json.text_len == 0 || slot->json.text[0] != '{')
        return command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                            "the server sent a message that is no JSON "
                            "object", NULL);
    return command_message(op);
}

/* Goes on with what the channel has; false when this operation is through with
 * it, or nothing more can be taken now. */
static bool command_take_event(lssb_op *op, enum lssb_channel_event event)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;

    switch (event) {
    case LSSB_CHANNEL_NONE:
        return false;
    case LSSB_CHANNEL_PIECE:
        status = command_piece(op);
        if (status < 0)
            lssb_call_finish(op, status);
        return status == LSSB_OK;
    case LSSB_CHANNEL_CLOSED:
        lssb_upgrade_closed(op);
        return false;
    case LSSB_CHANNEL_LOST:
        lssb_upgrade_broken(op, LSSB_CLOSE_NONE,
                            slot->conn.ended ? " ended the connection" : NULL,
                            NULL);
        return false;
    case LSSB_CHANNEL_WRONG:
        status = command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_WEBSOCKET,
                              "the server broke the rules of WebSocket: ",
                              slot->channel.ws.wrong);
        lssb_channel_close(&slot->channel, slot->channel.ws.code);
        lssb_call_finish(op, status);
        return false;
    }
    return false;
}

/* Decodes and delivers what has arrived; false when that cannot go on now. */
static bool command_read(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;

    for (;;) {
        status = command_deliver(op);
        slot->full = status == LSSB_AGAIN;
        if (status < 0)
            lssb_call_finish(op, status);
        if (status != LSSB_OK || (state->flags & COMMAND_LEAVE) != 0)
            return false;
        if (LSSB_HOLD - state->held < 2 * COMMAND_MARGIN) {
            status = command_hold_full(op);
            if (status < 0) {
                lssb_call_finish(op, status);
                return false;
            }
            continue;
        }
        if (!command_take_event(
                op, lssb_channel_next(&slot->channel,
                                      LSSB_HOLD - state->held - COMMAND_MARGIN,
                                      lssb_call_client(op)->now)))
            return lssb_call_slot(op) != NULL &&
                   op->reserved.state.phase == LSSB_PHASE_OWN;
    }
}

/* What has to happen by time, or because something went out. */
static void command_timers(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    const uint32_t put = COMMAND_KILL_PUT | COMMAND_KILL_GONE;

    if (slot->channel.no_random) {
        lssb_call_finish(op, command_fail(op, LSSB_E_UNSUPPORTED,
                                          LSSB_LAYER_CLIENT,
                                          "the port has no random bytes for "
                                          "the WebSocket's masks", NULL));
        return;
    }
    if ((state->flags & put) == COMMAND_KILL_PUT &&
        lssb_conn_sent(&slot->conn)) {
        state->flags |= COMMAND_KILL_GONE;
        state->kill_end_at = client->now + COMMAND_KILL_MS;
    }
    if (!lssb_channel_tick(&slot->channel, !slot->full, client->now)) {
        lssb_upgrade_broken(op, LSSB_CLOSE_NONE,
                            " did not answer a ping in time", NULL);
        return;
    }
    if (state->phase == COMMAND_ATTACHING &&
        (state->flags & COMMAND_BEGUN) != 0 &&
        client->now >= op->reserved.state.wake_at +
                           (COMMAND_KILL_MS - COMMAND_SILENCE_MS))
        command_running(op);        /* an older server, a quiet command */
}

static void command_step(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    bool going = true;
    int i;

    for (i = 0; i < COMMAND_ROUNDS && going; i++) {
        lssb_conn_step(&slot->conn, client->now);
        going = command_read(op);
        if (lssb_call_slot(op) == NULL ||
            op->reserved.state.phase != LSSB_PHASE_OWN)
            return;
        command_send(op);
        going = going && slot->conn.own.more;
    }
    if (going || (command_is_unsaid(op) && lssb_conn_sent(&slot->conn)))
        client->at_once = true;     /* others first, then here again */
    command_timers(op);
}

static void command_waits(const lssb_op *op, uint64_t *wake_at)
{
    const struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_command_state *state;
    uint64_t at = UINT64_MAX;

    if (op->reserved.state.phase != LSSB_PHASE_OWN)
        return;
    state = command_state(op);
    lssb_channel_waits(&slot->channel, !slot->full, &at);
    if (slot->full && (state->flags & COMMAND_PUSH) != 0)
        at = lssb_call_client(op)->now + COMMAND_HELD_MS;
    if (state->phase == COMMAND_OPENING && state->open_end_at != 0 &&
        state->open_end_at < at)
        at = state->open_end_at;
    if (state->kill_end_at != 0 && !slot->full && state->kill_end_at < at)
        at = state->kill_end_at;
    if ((state->flags & (COMMAND_BEGUN | COMMAND_GREETED)) == COMMAND_BEGUN &&
        state->phase != COMMAND_OPENING) {
        uint64_t silent = op->reserved.state.wake_at;

        if (lssb_call_client(op)->now >= silent)
            silent += COMMAND_KILL_MS - COMMAND_SILENCE_MS;
        if (lssb_call_client(op)->now < silent && silent < at)
            at = silent;
    }
    if (at < *wake_at)
        *wake_at = at;
}

/* Whether somebody wants it killed; another thread may be saying so now. */
static void command_look_for_kill(struct lssb_command_state *state)
{
#if defined(__GNUC__)
    if (__atomic_load_n(&state->kill_posted, __ATOMIC_ACQUIRE) != 0)
#else
    if (state->kill_posted != 0)
#endif
        state->flags |= COMMAND_KILL;
}

/* What is looked at in every step, whatever the connection does. */
static bool command_watch(lssb_op *op)
{
    struct lssb_command_state *state;
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    if (command_of(op) == NULL || slot == NULL)
        return false;
    state = command_state(op);
    command_look_for_kill(state);
    if ((state->flags & COMMAND_LEAVE) != 0) {
        lssb_call_finish(op, LSSB_END);
        return true;
    }
    if (state->kill_end_at != 0 && client->now >= state->kill_end_at &&
        !slot->full) {
        lssb_call_finish(op, command_fail(op, LSSB_E_CONNECTION,
                                          LSSB_LAYER_WEBSOCKET,
                                          "killed, but no exit code came in "
                                          "ten seconds", NULL));
        return true;
    }
    if (state->phase == COMMAND_OPENING && state->open_end_at != 0 &&
        client->now >= state->open_end_at &&
        op->reserved.state.phase == LSSB_PHASE_OWN) {
        lssb_call_finish(op, command_fail(op, LSSB_E_CONNECT_TIMEOUT,
                                          LSSB_LAYER_WEBSOCKET,
                                          "the server has not started the "
                                          "command in time", NULL));
        return true;
    }
    return false;
}

/* ----------------------------------------------------------- the upgrade */

static void command_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/execute/ws");
}

/* All headers of the 101 are there. */
static lssb_status command_head(lssb_op *op, int status,
                                const struct lssb_http *http)
{
    const char *wrong = lssb_upgrade_wrong(op);

    (void)status;
    (void)http;
    if (wrong == NULL)
        return LSSB_OK;
    return command_fail(op, LSSB_E_CONNECTION, LSSB_LAYER_WEBSOCKET,
                        "the server did not upgrade to a WebSocket: ", wrong);
}

/* The connection is a WebSocket now. */
static lssb_status command_upgraded(lssb_op *op, const char *text, size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    struct lssb_command_state *state = command_state(op);
    uint64_t ping_ms = state->options->ping_ms;

    (void)text;
    (void)len;
    if (ping_ms == 0)
        ping_ms = COMMAND_PING_MS;
    if (ping_ms == LSSB_FOREVER)
        ping_ms = 0;
    lssb_channel_start(&slot->channel, &slot->conn, ping_ms, client->now);
    command_forget_message(state);
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    op->reserved.state.step = LSSB_CLOSE_NONE;
    return LSSB_PENDING;
}

/* Says goodbye on a connection that is open, and leaves it to the slot. */
static void command_farewell(lssb_op *op)
{
    lssb_upgrade_farewell(op, lssb_call_client(op)->now + COMMAND_CLOSE_MS);
}

/* -------------------------------------------------------------- beginning */

/* Makes up an id: a UUIDv7 (RFC 9562 5.7). */
static lssb_status command_make_id(lssb_client *client, char *id)
{
    static const char digits[] = "0123456789abcdef";
    int64_t seconds = client->port->wall_s(client->port_context);
    uint64_t ms = client->port->now_ms(client->port_context) % 1000;
    uint8_t bytes[16];
    size_t i, at = 0;

    if (client->port->random(client->port_context, bytes, sizeof bytes) !=
        LSSB_IO_OK)
        return LSSB_E_UNSUPPORTED;
    ms += seconds > 0 ? (uint64_t)seconds * 1000 : 0;
    for (i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0F));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3F));
    for (i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            id[at++] = '-';
        id[at++] = digits[bytes[i] >> 4];
        id[at++] = digits[bytes[i] & 15];
    }
    id[at] = '\0';
    return LSSB_OK;
}

/* NULL, or what is wrong with what concerns stdin. */
static const char *command_wrong_input(const lssb_run_options *options)
{
    if (options->input == NULL && options->input_len > 0)
        return "input: NULL, but input_len is not 0";
    if (options->input != NULL && options->open_stdin)
        return "input is all of stdin: it excludes open_stdin";
    if (options->input != NULL &&
        lssb_utf8_valid(options->input, options->input_len) !=
            options->input_len)
        return "input: it is not UTF-8, which is all that stdin takes; upload "
               "a file and redirect from it";
    if ((options->columns == 0) != (options->rows == 0))
        return "columns and rows: one of them is 0";
    if (options->columns > 0 && !options->pty)
        return "columns and rows: there is no pty";
    if (options->columns > 65535 || options->rows > 65535)
        return "columns and rows: more than 65,535";
    if (options->ssh_agent && options->on_agent == NULL)
        return "ssh_agent: on_agent is NULL";
    return NULL;
}

/* NULL, or what is wrong with the options. */
static const char *command_wrong(const lssb_run_options *options)
{
    if (options->timeout_s < LSSB_NO_LIMIT)
        return "timeout_s is negative; LSSB_NO_LIMIT switches it off";
    if (options->idle_timeout_s < LSSB_NEVER)
        return "idle_timeout_s is negative; LSSB_NEVER switches it off";
    if (options->keep_s < LSSB_NEVER)
        return "keep_s is negative; LSSB_NEVER keeps it for good";
    if (options->env == NULL && options->env_count > 0)
        return "env: NULL, but env_count is not 0";
    if (options->command_id != NULL &&
        (options->command_id[0] == '\0' ||
         strlen(options->command_id) >= LSSB_ID_SIZE))
        return "command_id: 1 to 63 bytes were expected";
    return command_wrong_input(options);
}

/* NULL, or what is wrong with a command and its options. */
static const char *command_wrong_start(const char *text,
                                       const lssb_run_options *options)
{
    const char *wrong = command_wrong(options);
    struct lssb_json_writer json;
    struct lssb_writer to;

    if (wrong != NULL)
        return wrong;
    if ((text == NULL || text[0] == '\0') && !options->pty)
        return text == NULL ? "the command is NULL, and there is no pty"
                            : "the command is empty, and there is no pty";
    lssb_writer_start(&to, NULL, 0, 0);
    lssb_json_write(&json, &to);
    lssb_json_object(&json, NULL);
    command_put_execute(&json,
                        options->command_id != NULL ? options->command_id : "",
                        text, options);
    lssb_json_close(&json);
    return to.wrong;
}

/* Fills in a command that is about to be started or found. */
static void command_prepare(lssb_command *command, lssb_client *client,
                            const lssb_sandbox *box, const char *text,
                            const lssb_run_options *options)
{
    struct lssb_command_state *state = &command->reserved.state;

    memset(command, 0, sizeof *command);
    command->client = client;
    command->pid = LSSB_UNKNOWN;
    command->exit_code = -1;
    command->status = LSSB_PENDING;
    state->box = box;
    state->text = text;
    state->options = options;
    state->streams[0].fresh = true;
    state->streams[1].fresh = true;
    state->columns = options->columns;
    state->rows = options->rows;
    if (options->columns > 0)
        state->flags |= COMMAND_RESIZE;
    if (options->pty)
        state->flags |= COMMAND_PTY | COMMAND_INPUT_OPEN;
    if (options->open_stdin)
        state->flags |= COMMAND_INPUT_OPEN;
    if (options->input != NULL && !options->pty)
        state->flags |= COMMAND_END_INPUT;
    if (options->on_out != NULL || options->on_err != NULL ||
        options->out != NULL || options->err != NULL)
        state->flags |= COMMAND_PUSH;
    if (options->out != NULL && options->out_size > 0)
        options->out[0] = '\0';
    if (options->err != NULL && options->err_size > 0)
        options->err[0] = '\0';
}

/* The caller's id, or one of ours. */
static lssb_status command_choose_id(lssb_command *command)
{
    const char *id = command->reserved.state.options->command_id;

    if (id == NULL)
        return command_make_id(command->client, command->id);
    lssb_copy(command->id, sizeof command->id, id, strlen(id));
    return LSSB_OK;
}

/* The time to start a command begins when there is a connection for it. */
static void command_open_until(lssb_op *op)
{
    struct lssb_command_state *state = command_state(op);
    uint32_t ms = state->options->open_ms;

    if (ms == 0)
        ms = COMMAND_OPEN_MS;
    state->open_end_at =
        ms == LSSB_FOREVER ? 0 : lssb_call_client(op)->now + ms;
    op->reserved.state.attempt_ms =
        ms < LSSB_UPGRADE_ATTEMPT_MS ? ms : LSSB_UPGRADE_ATTEMPT_MS;
}

/* What came of a command, for whoever waits. */
static void command_result(const lssb_command *command, lssb_result *result)
{
    const struct lssb_command_state *state = &command->reserved.state;

    result->exit_code = command->exit_code;
    result->out_len = state->len[0];
    result->err_len = state->len[1];
    result->out_cut = state->cut[0];
    result->err_cut = state->cut[1];
    memcpy(result->command_id, command->id, sizeof result->command_id);
    result->out_offset = command->out_offset;
    result->err_offset = command->err_offset;
    result->out_lost = command->out_lost;
    result->err_lost = command->err_lost;
    result->reattached = command->reattached;
    result->input_uncertain = command->input_uncertain;
}

/* ------------------------------------------------------------------ lssb_run */

/* Its command lives in the slot. */
static lssb_status command_run_taken(lssb_op *op)
{
    lssb_command *command = &lssb_call_slot(op)->own.command;
    lssb_result *result = op->reserved.state.out;

    command_prepare(command, lssb_call_client(op), op->reserved.state.box,
                    op->reserved.state.text, op->reserved.state.options);
    command->reserved.state.flags |= COMMAND_PUSH;
    op->reserved.state.extra = command;
    if (command_choose_id(command) != LSSB_OK)
        return command_fail(op, LSSB_E_UNSUPPORTED, LSSB_LAYER_CLIENT,
                            "the port has no random bytes for a command id",
                            NULL);
    memcpy(result->command_id, command->id, sizeof command->id);
    command_open_until(op);
    return LSSB_OK;
}

static void command_run_ended(lssb_op *op, lssb_status outcome)
{
    (void)outcome;
    if (command_of(op) == NULL)
        return;
    command_farewell(op);
    command_result(command_of(op), op->reserved.state.out);
}

static const struct lssb_exchange command_run = {
    .name = "run",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .fresh = true,
    .upgrade = true,
    .path = command_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .head = command_head,
    .done = command_upgraded,
    .failed = command_refused,
    .taken = command_run_taken,
    .watch = command_watch,
    .step = command_step,
    .waits = command_waits,
    .lost = command_lost,
    .ended = command_run_ended
};

/* Milliseconds that all of it may take. */
static uint32_t command_whole_ms(const lssb_run_options *options)
{
    uint64_t ms = options->open_ms != 0 ? options->open_ms : COMMAND_OPEN_MS;

    if (options->timeout_s < 0 || options->open_ms == LSSB_FOREVER)
        return LSSB_FOREVER;
    ms += COMMAND_GRACE_MS +
          UINT64_C(1000) * (uint64_t)command_seconds(options->timeout_s,
                                                     COMMAND_TIMEOUT_S, 0);
    return ms < LSSB_FOREVER ? (uint32_t)ms : LSSB_FOREVER - 1;
}

lssb_status lssb_run(const lssb_sandbox *box, const char *command,
                     const lssb_run_options *options, lssb_result *result,
                     lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = command_wrong_start(command, options);
    if (wrong == NULL && options->open_stdin)
        wrong = "open_stdin: there is nobody to write; use "
                "lssb_command_start";
    if (wrong == NULL && result == NULL)
        wrong = "result: NULL";
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "run: ", wrong, NULL);
    memset(result, 0, sizeof *result);
    result->exit_code = -1;
    if (options->out != NULL && options->out_size > 0)
        options->out[0] = '\0';
    if (options->err != NULL && options->err_size > 0)
        options->err[0] = '\0';
    call->reserved.state.text = command;
    call->reserved.state.options = options;
    call->reserved.state.out = result;
    return lssb_call_go(call, op == NULL, &command_run,
                        command_whole_ms(options));
}

/* -------------------------------------------------------------- lssb_command */

static lssb_status command_start_taken(lssb_op *op)
{
    if (command_state(op)->phase == COMMAND_OPENING)
        command_open_until(op);
    else
        op->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    return LSSB_OK;
}

/* Tells whoever waits for the end of a command. */
static void command_tell_waiter(lssb_command *command, lssb_status outcome)
{
    lssb_op *waiter = command->reserved.state.waiter;

    command->client->at_once = true;
    if (waiter == NULL)
        return;
    if (waiter->reserved.state.out != NULL)
        command_result(command, waiter->reserved.state.out);
    lssb_call_finish(waiter, outcome == LSSB_END ? LSSB_E_CANCELED : outcome);
}

/* It has started, or will not. */
static void command_start_ended(lssb_op *op, lssb_status outcome)
{
    lssb_command *command = command_of(op);

    command->reserved.state.starter = NULL;
    if (outcome == LSSB_OK)
        return;
    command_farewell(op);
    command->attached = false;
    command->status = outcome;
    command_tell_waiter(command, outcome);
}

static const struct lssb_exchange command_start = {
    .name = "start command",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .fresh = true,
    .upgrade = true,
    .path = command_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .head = command_head,
    .done = command_upgraded,
    .failed = command_refused,
    .taken = command_start_taken,
    .watch = command_watch,
    .step = command_step,
    .waits = command_waits,
    .lost = command_lost,
    .ended = command_start_ended
};

/* It has ended, or is followed no longer. */
static void command_carrier_ended(lssb_op *op, lssb_status outcome)
{
    lssb_command *command = command_of(op);

    command_farewell(op);
    command->attached = false;
    command->status = outcome;
    command->reserved.state.flags &= ~COMMAND_READY;
    command_tell_waiter(command, outcome);
}

const struct lssb_exchange lssb_command_carrier = {
    .name = "command",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .upgrade = true,
    .path = command_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .head = command_head,
    .done = command_upgraded,
    .failed = command_refused,
    .watch = command_watch,
    .step = command_step,
    .waits = command_waits,
    .lost = command_lost,
    .ended = command_carrier_ended
};

/* Whether a command's struct is in use. */
static bool command_in_use(const lssb_command *command)
{
    return command->reserved.state.starter != NULL ||
           command->reserved.state.carrier.status == LSSB_PENDING;
}

/* Begins a call that starts or finds a command. */
static lssb_status command_go(lssb_command *command, const lssb_sandbox *box,
                              lssb_op *call, bool wait)
{
    lssb_status status;

    call->reserved.state.box = box;
    call->reserved.state.extra = command;
    command->reserved.state.flags |= COMMAND_HELD;
    command->reserved.state.starter = call;
    status = lssb_call_go(call, wait, &command_start, LSSB_FOREVER);
    if (status != LSSB_PENDING && command->status == LSSB_PENDING &&
        command->reserved.state.starter != NULL) {
        command->reserved.state.starter = NULL;     /* it never began */
        command->status = status;
    }
    return status;
}

lssb_status lssb_command_start(lssb_command *command, const lssb_sandbox *box,
                               const char *text,
                               const lssb_run_options *options, lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = command_wrong_start(text, options);
    if (command == NULL)
        wrong = "command: NULL";
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "start command: ", wrong, NULL);
    command_prepare(command, box->client, box, text, options);
    if (command_choose_id(command) != LSSB_OK)
        return lssb_refuse(box->client, call, "start command: the port has no "
                           "random bytes for a command id", NULL);
    return command_go(command, box, call, op == NULL);
}

lssb_status lssb_command_reattach(lssb_command *command,
                                  const lssb_sandbox *box, const char *id,
                                  uint64_t out_offset, uint64_t err_offset,
                                  const lssb_run_options *options,
                                  lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = command_wrong(options);
    if (wrong == NULL && options->input != NULL)
        wrong = "input is for the start of a command; write to it instead";
    if (wrong == NULL && (out_offset > INT64_MAX || err_offset > INT64_MAX))
        wrong = "an offset is larger than 2^63-1";
    if (id == NULL || id[0] == '\0' || strlen(id) >= LSSB_ID_SIZE ||
        lssb_utf8_valid(id, strlen(id)) != strlen(id))
        wrong = "id: 1 to 63 bytes of UTF-8 were expected";
    if (command == NULL)
        wrong = "command: NULL";
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "reattach: ", wrong, NULL);
    command_prepare(command, box->client, box, NULL, options);
    lssb_copy(command->id, sizeof command->id, id, strlen(id));
    command->out_offset = out_offset;
    command->err_offset = err_offset;
    command->reserved.state.streams[0].anchor = out_offset;
    command->reserved.state.streams[1].anchor = err_offset;
    command->reserved.state.phase = COMMAND_ATTACHING;
    command->reserved.state.flags |= COMMAND_REATTACH;
    return command_go(command, box, call, op == NULL);
}

/* ------------------------------------------------------- a command at work */

/* Refuses what needs a command that was started, or a wait in a callback. */
static lssb_status command_may(lssb_command *command, uint32_t wait_ms)
{
    if (command == NULL || command->client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    if (wait_ms > 0 && command->client->in_callback)
        return lssb_fail(&command->client->error, LSSB_E_IN_CALLBACK,
                         LSSB_LAYER_CALLER, "a waiting call was made inside a "
                         "callback; give it no time to wait", NULL);
    return LSSB_OK;
}

/* Whether its output can be read now without stepping the client. */
static bool command_is_followed(const lssb_command *command)
{
    const lssb_op *carrier = &command->reserved.state.carrier;

    return carrier->status == LSSB_PENDING &&
           carrier->reserved.state.phase == LSSB_PHASE_OWN;
}

/* Hands out what is ready; LSSB_AGAIN if nothing is. */
static lssb_status command_hand_out(lssb_command *command, lssb_chunk *chunk)
{
    struct lssb_command_state *state = &command->reserved.state;
    struct lssb_slot *slot;

    if (!command_is_followed(command) ||
        (state->flags & COMMAND_READY) == 0 || state->given)
        return LSSB_AGAIN;
    slot = lssb_call_slot(&state->carrier);
    chunk->stream = (lssb_stream)state->stream;
    chunk->bytes = slot->hold;
    chunk->len = state->held;
    chunk->offset = command_expected(command_stream(command));
    chunk->lost = state->gap;
    command_delivered(command, slot->hold, state->held);
    state->given = true;
    return LSSB_OK;
}

/* Gives back what was handed out, and reads on in what has arrived. */
static void command_read_on(lssb_command *command)
{
    struct lssb_command_state *state = &command->reserved.state;
    lssb_client *client = command->client;

    if (state->given) {
        command_release(state);
        client->at_once = true;
    }
    if (client->in_callback || !command_is_followed(command) ||
        (state->flags & COMMAND_PUSH) != 0)
        return;
    client->in_callback = true;     /* on_gap, on_agent */
    command_read(&state->carrier);
    client->in_callback = false;
}

lssb_status lssb_command_next(lssb_command *command, lssb_chunk *chunk,
                              uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    lssb_client *client;
    uint64_t end_at;
    bool sleep = false;

    if (status != LSSB_OK)
        return status;
    if (chunk == NULL)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "command: chunk: NULL", NULL);
    memset(chunk, 0, sizeof *chunk);
    client = command->client;
    end_at = lssb_upgrade_wait_end(client, wait_ms);
    command_read_on(command);
    for (;;) {
        status = command_hand_out(command, chunk);
        if (status != LSSB_AGAIN)
            return status;
        if (command->status != LSSB_PENDING)
            return command->status == LSSB_OK ? LSSB_END : command->status;
        if (wait_ms == 0 || (sleep && client->now >= end_at))
            return LSSB_AGAIN;
        status = lssb_upgrade_turn(client, end_at, sleep);
        if (status != LSSB_OK)
            return status;
        sleep = true;
    }
}

/* What became of a command that is over. */
static bool command_is_over(lssb_op *op)
{
    lssb_command *command = command_of(op);
    lssb_client *client = lssb_call_client(op);
    const lssb_error *why = command->reserved.state.options->error;

    if (command->status == LSSB_PENDING)
        return false;
    if (op->reserved.state.out != NULL)
        command_result(command, op->reserved.state.out);
    if (command->status < 0 && why != NULL)
        client->error = *why;
    else if (command->status < 0 && client->error.status != command->status)
        lssb_fail(&client->error, command->status, LSSB_LAYER_CLIENT,
                  "command: it was followed no longer; options->error would "
                  "have kept the reason", NULL);
    lssb_call_finish(op, command->status == LSSB_END ? LSSB_E_CANCELED
                                                     : command->status);
    return true;
}

static void command_wait_ended(lssb_op *op, lssb_status outcome)
{
    struct lssb_command_state *state = command_state(op);

    (void)outcome;
    state->waiter = NULL;
    state->flags &= ~COMMAND_DRAIN;
}

static const struct lssb_exchange command_waiting = {
    .name = "wait for command",
    .awaits = "waiting for the command",
    .watch = command_is_over,
    .ended = command_wait_ended
};

lssb_status lssb_command_wait(lssb_command *command, lssb_result *result,
                              lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call =
        lssb_call_begin(command != NULL ? command->client : NULL, op, &own,
                        &status);

    if (call == NULL)
        return status;
    if (command->reserved.state.waiter != NULL)
        return lssb_refuse(command->client, call, "wait for command: somebody "
                           "waits for it already", NULL);
    if (result != NULL) {
        memset(result, 0, sizeof *result);
        result->exit_code = -1;
    }
    call->reserved.state.extra = command;
    call->reserved.state.out = result;
    command->reserved.state.waiter = call;
    command->reserved.state.flags |= COMMAND_DRAIN;
    return lssb_call_attend(call, op == NULL, &command_waiting);
}

/* Why input cannot be given; LSSB_OK if it can, LSSB_END if it is too late. */
static lssb_status command_may_write(lssb_command *command)
{
    const struct lssb_command_state *state = &command->reserved.state;
    lssb_error *error = &command->client->error;
    const char *why = NULL;

    if ((state->flags & COMMAND_INPUT_OPEN) == 0)
        why = "its stdin is closed from the start; set options.open_stdin to "
              "write to it";
    else if ((state->flags & COMMAND_END_INPUT) != 0)
        why = "its stdin was closed by lssb_command_close_stdin";
    if (why == NULL)
        return command->status == LSSB_PENDING ? LSSB_OK : LSSB_END;
    lssb_fail(error, LSSB_E_OPERATION, LSSB_LAYER_CALLER, "write to command: ",
              why, NULL);
    lssb_copy(error->operation, sizeof error->operation, "sendInput", 9);
    return LSSB_E_OPERATION;
}

/* The operation of a command that can be talked to now, or NULL. */
static lssb_op *command_talker(lssb_command *command)
{
    lssb_op *carrier = &command->reserved.state.carrier;

    return command_is_followed(command) && command_may_talk(carrier) ? carrier
                                                                     : NULL;
}

/* Sends what there is room for, whole characters; returns how much. */
static size_t command_write_some(lssb_command *command, const char *bytes,
                                 size_t len, bool *wrong)
{
    lssb_op *op = command_talker(command);
    size_t taken = 0;

    *wrong = false;
    while (op != NULL && taken < len) {
        size_t most = len - taken < LSSB_SEND_BUFFER ? len - taken
                                                     : LSSB_SEND_BUFFER;
        size_t valid = lssb_utf8_valid(bytes + taken, most), n;

        if (valid == 0) {
            *wrong = true;
            break;
        }
        n = command_carry(op, NULL, bytes + taken, valid);
        if (n == 0)
            break;
        taken += n;
    }
    if (taken > 0) {
        command->reserved.state.flags |= COMMAND_INPUT_PUT;
        lssb_conn_flush(&lssb_call_slot(op)->conn);
        command->client->at_once = true;
    }
    return taken;
}

/* Whether these bytes may be the beginning of a character. */
static bool command_is_cut(const char *bytes, size_t len)
{
    uint8_t left, low, most;

    return len < 4 && lssb_json_utf8_lead((uint8_t)bytes[0], &left, &low,
                                          &most) && left >= len;
}

/* The outcome of a write that goes no further. */
static lssb_status command_wrote(lssb_command *command, const char *rest,
                                 size_t left, size_t taken, bool wrong)
{
    if (wrong && !(taken > 0 && command_is_cut(rest, left)))
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "write to command: the input is "
                         "not UTF-8, which is all that stdin takes; upload a "
                         "file and redirect from it", NULL);
    return taken > 0 ? LSSB_OK : LSSB_AGAIN;
}

lssb_status lssb_command_write(lssb_command *command, const void *bytes,
                               size_t len, size_t *taken, uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    const char *from = bytes;
    size_t done = 0;
    uint64_t end_at;
    bool sleep = false, wrong;

    if (taken != NULL)
        *taken = 0;
    if (status != LSSB_OK)
        return status;
    if (bytes == NULL && len > 0)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "write to command: bytes: NULL",
                         NULL);
    end_at = lssb_upgrade_wait_end(command->client, wait_ms);
    for (;;) {
        status = command_may_write(command);
        if (status != LSSB_OK)
            return done > 0 && status == LSSB_END ? LSSB_OK : status;
        done += command_write_some(command, from + done, len - done, &wrong);
        if (taken != NULL)
            *taken = done;
        if (done == len || wrong || wait_ms == 0 ||
            (sleep && command->client->now >= end_at))
            break;
        status = lssb_upgrade_turn(command->client, end_at, sleep);
        if (status != LSSB_OK)
            return status;
        sleep = true;
    }
    if (len == 0)
        return LSSB_OK;
    return command_wrote(command, from + done, len - done, done, wrong);
}

lssb_status lssb_command_close_stdin(lssb_command *command)
{
    lssb_status status = command_may(command, 0);
    struct lssb_command_state *state;

    if (status != LSSB_OK)
        return status;
    state = &command->reserved.state;
    if ((state->flags & COMMAND_END_INPUT) != 0 ||
        command->status != LSSB_PENDING)
        return LSSB_OK;
    if ((state->flags & COMMAND_PTY) != 0) {
        lssb_error *error = &command->client->error;

        lssb_fail(error, LSSB_E_OPERATION, LSSB_LAYER_CALLER,
                  "close stdin: a pty has no end of input; write \"\\004\" "
                  "(Ctrl-D) instead", NULL);
        lssb_copy(error->operation, sizeof error->operation, "sendInput", 9);
        return LSSB_E_OPERATION;
    }
    state->flags |= COMMAND_END_INPUT;
    command->client->at_once = true;
    return LSSB_OK;
}

lssb_status lssb_command_resize(lssb_command *command, uint32_t columns,
                                uint32_t rows)
{
    lssb_status status = command_may(command, 0);
    struct lssb_command_state *state;

    if (status != LSSB_OK)
        return status;
    state = &command->reserved.state;
    if ((state->flags & COMMAND_PTY) == 0 || columns == 0 || rows == 0 ||
        columns > 65535 || rows > 65535)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "resize: ",
                         (state->flags & COMMAND_PTY) == 0
                             ? "the command has no pty"
                             : "columns and rows: 1 to 65,535 were expected",
                         NULL);
    state->columns = columns;
    state->rows = rows;
    state->flags |= COMMAND_RESIZE;
    command->client->at_once = true;
    return LSSB_OK;
}

lssb_status lssb_command_kill(lssb_command *command)
{
    lssb_status status = command_may(command, 0);

    if (status != LSSB_OK)
        return status;
    command->reserved.state.flags |= COMMAND_KILL;
    command->client->at_once = true;
    return LSSB_OK;
}

void lssb_post_kill(lssb_command *command)
{
    lssb_client *client;

    if (command == NULL || command->client == NULL)
        return;
    client = command->client;
#if defined(__GNUC__)
    __atomic_store_n(&command->reserved.state.kill_posted, 1,
                     __ATOMIC_RELEASE);
#else
    command->reserved.state.kill_posted = 1;
#endif
    client->port->wake(client->port_context);
}

/* ------------------------------------------------------ a forwarded agent */

/* What is wrong with a channel, or with there being one. */
static lssb_status command_may_answer(lssb_command *command,
                                      const char *channel)
{
    const char *wrong = NULL;

    if (!command->reserved.state.options->ssh_agent)
        wrong = "the command was started without ssh_agent";
    else if (channel == NULL || channel[0] == '\0' ||
             strlen(channel) >= LSSB_ID_SIZE ||
             lssb_utf8_valid(channel, strlen(channel)) != strlen(channel))
        wrong = "channel: the name that on_agent was given was expected";
    if (wrong != NULL)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "ssh-agent: ", wrong, NULL);
    return command->status == LSSB_PENDING ? LSSB_OK : LSSB_END;
}

/* Says that a channel is over; false: not now. */
static bool command_put_agent_close(lssb_op *op, const char *channel_id)
{
    struct lssb_channel *channel = &lssb_call_slot(op)->channel;
    size_t room, want = 64 + 6 * strlen(channel_id);
    struct lssb_json_writer json;
    struct lssb_writer writer;
    uint8_t *out;

    if (channel->sending)
        return false;
    out = lssb_channel_reserve(channel, want, &room);
    if (out == NULL || room < want)
        return false;
    lssb_writer_start(&writer, out, room, 0);
    lssb_json_write(&json, &writer);
    lssb_json_object(&json, NULL);
    lssb_json_string(&json, "type", "ssh_agent_close");
    lssb_json_string(&json, "channel_id", channel_id);
    lssb_json_close(&json);
    lssb_channel_commit(channel, LSSB_WS_TEXT, true, writer.len);
    return true;
}

/* Sends what there is room for on an agent's channel, or its end; the number
 * of bytes that went, 1 for the end. */
static size_t command_answer(lssb_command *command, const char *channel,
                             const char *bytes, size_t len)
{
    lssb_op *op = command_talker(command);
    size_t done = 0;

    if (op != NULL && bytes == NULL)
        done = command_put_agent_close(op, channel);
    while (op != NULL && bytes != NULL && done < len) {
        size_t n = command_carry(op, channel, bytes + done, len - done);

        if (n == 0)
            break;
        done += n;
    }
    if (done > 0) {
        lssb_conn_flush(&lssb_call_slot(op)->conn);
        command->client->at_once = true;
    }
    return done;
}

/* Answers within a time; `bytes` NULL: that the channel is over. */
static lssb_status command_answer_within(lssb_command *command,
                                         const char *channel,
                                         const char *bytes, size_t len,
                                         size_t *taken, uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    uint64_t end_at;
    bool sleep = false;

    *taken = 0;
    if (status != LSSB_OK)
        return status;
    end_at = lssb_upgrade_wait_end(command->client, wait_ms);
    for (;;) {
        status = command_may_answer(command, channel);
        if (status != LSSB_OK)
            return status;
        *taken += command_answer(command, channel,
                                 bytes != NULL ? bytes + *taken : NULL,
                                 len - *taken);
        if (*taken >= len)
            return LSSB_OK;
        if (wait_ms == 0 || (sleep && command->client->now >= end_at))
            return *taken > 0 ? LSSB_OK : LSSB_AGAIN;
        status = lssb_upgrade_turn(command->client, end_at, sleep);
        if (status != LSSB_OK)
            return status;
        sleep = true;
    }
}

lssb_status lssb_command_agent_write(lssb_command *command,
                                     const char *channel, const void *bytes,
                                     size_t len, size_t *taken,
                                     uint32_t wait_ms)
{
    size_t own;

    if (command != NULL && command->client != NULL && bytes == NULL && len > 0)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "ssh-agent: bytes: NULL", NULL);
    return command_answer_within(command, channel, bytes != NULL ? bytes : "",
                                 len, taken != NULL ? taken : &own, wait_ms);
}

lssb_status lssb_command_agent_close(lssb_command *command,
                                     const char *channel, uint32_t wait_ms)
{
    size_t taken;

    return command_answer_within(command, channel, NULL, 1, &taken, wait_ms);
}

/* --------------------------------------------------------------- letting go */

/* Whether a command that is let go of is gone from the client. */
static bool command_is_gone(lssb_op *op)
{
    if (command_in_use(command_of(op)))
        return false;
    lssb_call_finish(op, LSSB_OK);
    return true;
}

static const struct lssb_exchange command_closing = {
    .name = "close command",
    .awaits = "waiting for the command",
    .watch = command_is_gone
};

lssb_status lssb_command_close(lssb_command *command, lssb_op *op)
{
    lssb_op own, *call;
    lssb_status status;

    if (command == NULL || command->client == NULL)
        return LSSB_OK;
    call = lssb_call_begin(command->client, op, &own, &status);
    if (call == NULL)
        return status;
    command->reserved.state.flags |= COMMAND_LEAVE;
    if (command->reserved.state.starter != NULL)
        lssb_cancel(command->reserved.state.starter);
    call->reserved.state.extra = command;
    return lssb_call_attend(call, op == NULL, &command_closing);
}

#endif
