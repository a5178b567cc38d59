/* command_talk.c: what is said to the server about a command.
 *
 * SPDX-License-Identifier: MIT
 *
 * Messages of protocol 5.2, made again for each piece of a small send buffer.
 * What has to be said on every connection is remembered in flags; input goes
 * out as it is given, and is forgotten.
 */
#include "command.h"

#if LSSB_WEBSOCKET

lssb_command *lssb_command_of(const lssb_op *op)
{
    return op->reserved.state.extra;
}

struct lssb_command_state *lssb_command_state_of(const lssb_op *op)
{
    return &lssb_command_of(op)->reserved.state;
}

/* The two streams of an array; 0 is stdout. */
struct lssb_command_stream *lssb_command_stream_of(lssb_command *command)
{
    return &command->reserved.state
                .streams[command->reserved.state.stream == LSSB_STDERR];
}

/* Where a stream would go on: the offset of its next byte, as far as one can
 * know. */
uint64_t lssb_command_expected(const struct lssb_command_stream *stream)
{
    return stream->anchor + stream->text;
}

/* From where a replay is asked for. The count of a text that holds a U+FFFD
 * may be ahead of the server's: then from the beginning of that message. */
uint64_t lssb_command_replay(const struct lssb_command_stream *stream)
{
    return stream->approximate ? stream->anchor : lssb_command_expected(stream);
}

/* ---------------------------------------------------------- what goes out */

/* Seconds as the server wants them: `fallback` for 0, `none` for no limit. */
int32_t lssb_command_seconds(int32_t seconds, int32_t fallback, int32_t none)
{
    if (seconds == 0)
        return fallback;
    return seconds > 0 ? seconds : none;
}

/* Whether stdin is closed from the start. */
static bool command_no_input(const lssb_run_options *options)
{
    return !options->open_stdin && !options->pty && options->input == NULL;
}

/* The first message of a new command (protocol 5.3). */
void lssb_command_put_execute(struct lssb_json_writer *json, const char *id,
                              const char *text, const lssb_run_options *options)
{
    lssb_json_string(json, "type", "execute");
    lssb_json_string(json, "command", text != NULL ? text : "");
    lssb_json_number(
        json, "timeout_seconds",
        lssb_command_seconds(options->timeout_s, COMMAND_TIMEOUT_S, 0));
    lssb_json_string(json, "shell",
                     options->shell != NULL ? options->shell : "/bin/bash");
    lssb_json_number(
        json, "idle_timeout_seconds",
        lssb_command_seconds(options->idle_timeout_s, COMMAND_IDLE_S, -1));
    lssb_json_bool(json, "kill_on_disconnect", options->kill_on_disconnect);
    lssb_json_number(json, "ttl_seconds",
                     lssb_command_seconds(options->keep_s, COMMAND_KEEP_S, -1));
    if (command_no_input(options))
        lssb_json_bool(json, "close_stdin", true);
    lssb_run_put_config(json, options);
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
    const struct lssb_command_stream *streams = command->reserved.state.streams;

    lssb_json_string(json, "type", "reconnect");
    lssb_json_string(json, "command_id", command->id);
    lssb_json_number(json, "stdout_offset",
                     (int64_t)lssb_command_replay(&streams[0]));
    lssb_json_number(json, "stderr_offset",
                     (int64_t)lssb_command_replay(&streams[1]));
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
        lssb_command_put_execute(&json, command->id, state->text,
                                 state->options);
        break;
    case COMMAND_SEND_RECONNECT:
        command_put_reconnect(&json, command);
        break;
    case COMMAND_SEND_KILL:
        lssb_json_string(&json, "type", "kill");
        break;
    case COMMAND_SEND_RESIZE:
        lssb_json_string(&json, "type", "resize");
        lssb_json_number(&json, "cols", state->said_columns);
        lssb_json_number(&json, "rows", state->said_rows);
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
    struct lssb_command_state *state = lssb_command_state_of(op);

    switch ((enum command_sending)state->sending) {
    case COMMAND_SEND_KILL:
        state->flags |= COMMAND_KILL_PUT;
        break;
    case COMMAND_SEND_CLOSE_STDIN:
        state->flags |= COMMAND_END_PUT;
        break;
    case COMMAND_SEND_EXECUTE:
    case COMMAND_SEND_RECONNECT:
        if (state->sending == COMMAND_SEND_RECONNECT)
            state->flags |= COMMAND_RECONNECTED;
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
        used +=
            (uint8_t)bytes[at] < 0x80 ? lssb_json_escape(bytes[at], escape) : 1;
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
size_t lssb_command_carry(lssb_op *op, const char *channel_id,
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
bool lssb_command_may_talk(const lssb_op *op)
{
    const struct lssb_command_state *state = lssb_command_state_of(op);

    if ((state->flags & COMMAND_GREETED) != 0)
        return true;
    return (state->flags & COMMAND_BEGUN) != 0 &&
           state->phase != COMMAND_OPENING &&
           lssb_call_client(op)->now >= op->reserved.state.wake_at;
}

/* Sends as much of the caller's whole input as there is room for. */
static void command_send_input(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    const lssb_run_options *options = state->options;

    while (!command_input_done(state)) {
        size_t taken =
            lssb_command_carry(op, NULL, options->input + state->input_sent,
                               options->input_len - (size_t)state->input_sent);

        if (taken == 0)
            return;
        state->input_sent += taken;
        state->flags |= COMMAND_INPUT_PUT;
    }
}

/* Sends what is to be said, in its order. */
void lssb_command_send(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    for (;;) {
        if (state->sending == COMMAND_SEND_NOTHING) {
            if ((state->flags & COMMAND_BEGUN) == 0)
                state->sending = (state->flags & COMMAND_REATTACH) != 0
                                     ? COMMAND_SEND_RECONNECT
                                     : COMMAND_SEND_EXECUTE;
            else if (lssb_command_may_talk(op))
                state->sending = (uint8_t)command_next_message(state);
            if (state->sending == COMMAND_SEND_RESIZE) {
                state->flags &= ~COMMAND_RESIZE;
                state->said_columns = state->columns;   /* a message stays */
                state->said_rows = state->rows;         /* what it was */
            }
        }
        if (state->sending == COMMAND_SEND_NOTHING)
            break;
        if (!lssb_channel_send(&slot->channel, command_put,
                               lssb_command_of(op)))
            return;
        command_said(op);
    }
    if (lssb_command_may_talk(op))
        command_send_input(op);
    if (lssb_command_may_talk(op) &&
        command_next_message(state) == COMMAND_SEND_CLOSE_STDIN) {
        lssb_command_send(op);      /* the input is through */
        return;
    }
    lssb_conn_flush(&slot->conn);
}

/* Whether something that could be said was not, for want of room. */
bool lssb_command_is_unsaid(const lssb_op *op)
{
    const struct lssb_command_state *state = lssb_command_state_of(op);

    return state->sending != COMMAND_SEND_NOTHING ||
           (lssb_command_may_talk(op) && !command_input_done(state));
}

#endif
