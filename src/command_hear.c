/* command_hear.c: what the server says about a command.
 *
 * SPDX-License-Identifier: MIT
 *
 * Output is decoded into the slot's hold, a message at a time, and delivered
 * from there: its `type` and its `offset` may stand behind its data. What came
 * of a message whose rest was lost is forgotten, and comes again.
 */
#include "command.h"

#if LSSB_WEBSOCKET

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

/* Counts what was delivered, or dropped because nobody wants it. */
void lssb_command_delivered(lssb_command *command, const char *bytes,
                            size_t len)
{
    struct lssb_command_state *state = &command->reserved.state;
    struct lssb_command_stream *stream = lssb_command_stream_of(command);
    bool err = state->stream == LSSB_STDERR;

    stream->text += len;
    state->len[err] += len;
    if (!stream->approximate)
        stream->approximate = command_is_approximate(bytes, len);
    *(err ? &command->err_offset : &command->out_offset) =
        lssb_command_expected(stream);
}

/* Tells of bytes that are missing before the message at hand. */
static void command_tell_gap(lssb_op *op, uint64_t offset, uint64_t lost)
{
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = &command->reserved.state;
    const lssb_run_options *options = state->options;
    bool err = state->stream == LSSB_STDERR;

    *(err ? &command->err_lost : &command->out_lost) += lost;
    state->gap += lost;
    if (options->on_gap != NULL && (state->flags & COMMAND_LEAVE) == 0)
        options->on_gap(options->user, (lssb_stream)state->stream, offset,
                        lost);
}

/* Offers a text to the callback, then stores it. */
static lssb_status command_push(lssb_op *op, const char *bytes, size_t len)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    const lssb_run_options *options = state->options;
    bool err = state->stream == LSSB_STDERR;
    lssb_take_fn take = err ? options->on_err : options->on_out;
    lssb_status status = LSSB_OK;

    if (take != NULL)
        status = lssb_call_stopped(op, take(options->user, bytes, len));
    if (status != LSSB_OK)
        return status;
    lssb_run_store(err ? options->err : options->out,
                   err ? options->err_size : options->out_size,
                   state->len[err], bytes, len, &state->cut[err]);
    return LSSB_OK;
}

/* Forgets the message at hand. */
void lssb_command_forget_message(struct lssb_command_state *state)
{
    state->flags &= ~COMMAND_MESSAGE;
    state->type = COMMAND_TYPE_NONE;
    state->held = 0;
    state->gap = 0;
    state->word_len = 0;
    state->given = false;
}

/* What is held is through; so is its message, if it was the rest of it. */
void lssb_command_release(struct lssb_command_state *state)
{
    state->flags &= ~COMMAND_READY;
    state->held = 0;
    state->gap = 0;
    state->given = false;
    if ((state->flags & COMMAND_COMPLETE) != 0)
        lssb_command_forget_message(state);
}

/* Delivers what is ready. LSSB_AGAIN: nobody takes it now. */
lssb_status lssb_command_deliver(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = lssb_command_state_of(op);
    const char *bytes = lssb_call_slot(op)->hold;
    lssb_status status = LSSB_OK;

    if ((state->flags & COMMAND_READY) == 0)
        return LSSB_OK;
    if ((state->flags & COMMAND_LEAVE) != 0) {
        lssb_command_release(state);
        return LSSB_OK;
    }
    if (state->given && (state->flags & COMMAND_DRAIN) == 0)
        return LSSB_AGAIN;
    if (state->given) {
        lssb_command_release(state);
        return LSSB_OK;
    }
    if ((state->flags & COMMAND_PUSH) != 0 && state->held > 0)
        status = command_push(op, bytes, state->held);
    else if ((state->flags & (COMMAND_PUSH | COMMAND_DRAIN)) == 0)
        status = LSSB_AGAIN;
    if (status != LSSB_OK)
        return status;
    lssb_command_delivered(command, bytes, state->held);
    lssb_command_release(state);
    return LSSB_OK;
}

/* -------------------------------------------------------- what comes in */

void lssb_command_name(const lssb_op *op, lssb_error *error)
{
    uint32_t flags = lssb_command_state_of(op)->flags;
    bool attached = (flags & COMMAND_BEGUN) != 0
                        ? (flags & COMMAND_RECONNECTED) != 0
                        : (flags & COMMAND_REATTACH) != 0;

    lssb_copy(error->operation, sizeof error->operation,
              attached ? "reconnect" : "command", attached ? 9 : 7);
}

/* A failure that this library or the server found, about this command. */
lssb_status lssb_command_fail(lssb_op *op, lssb_status status, lssb_layer layer,
                              const char *message, const char *more)
{
    lssb_error *error = &lssb_call_client(op)->error;

    lssb_fail(error, status, layer, lssb_call_exchange(op)->name, ": ", message,
              more, NULL);
    lssb_command_name(op, error);
    return status;
}

/* Which members of a message are wanted (protocol 5.5). */
enum lssb_json_take lssb_command_choose(void *ctx, int depth,
                                        const char *parent, const char *key)
{
    const lssb_command *command = ctx;
    const struct lssb_command_state *state = &command->reserved.state;

    (void)parent;
    if (depth != 1)
        return LSSB_JSON_SKIP;
    if (strcmp(key, "type") == 0)
        return LSSB_JSON_STREAM;
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
    if (strcmp(key, "error") == 0 || strcmp(key, "error_type") == 0 ||
        strcmp(key, "command_id") == 0)
        return LSSB_JSON_CUT;
    return strcmp(key, "channel_id") == 0 ? LSSB_JSON_KEEP : LSSB_JSON_SKIP;
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
    struct lssb_command_state *state = lssb_command_state_of(op);
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
    if (strcmp(json->path, "/exit_code") == 0) {
        state->exit_code = number;
    } else if (strcmp(json->path, "/pid") == 0) {
        state->pid = number;
    } else if (strcmp(json->path, "/offset") == 0 && number >= 0) {
        state->offset = (uint64_t)number;
        state->flags |= COMMAND_OFFSET;
    }
}

/* The type of the message at hand is known. */
static void command_word(struct lssb_command_state *state)
{
    state->type = (uint8_t)command_type(state->word, state->word_len);
    state->word_len = 0;
}

/* Reads a piece of a message; LSSB_OK, or it is no JSON. */
lssb_status lssb_command_scan(lssb_op *op, const uint8_t *bytes, size_t len)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_json *json = &lssb_call_slot(op)->json;
    size_t at = 0, used;

    while (at < len) {
        enum lssb_json_event event =
            lssb_json_next(json, bytes + at, len - at, &used);

        at += used;
        if (event == LSSB_JSON_WRONG)
            return lssb_command_fail(
                op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                "the server sent a message that is not valid "
                "JSON: ",
                json->wrong);
        if (event == LSSB_JSON_SLICE)
            command_slice(op, json);
        else if (event == LSSB_JSON_VALUE)
            command_number(state, json);
        else if (event == LSSB_JSON_SLICE_END && strcmp(json->key, "type") == 0)
            command_word(state);
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
    const char *raw =
        lssb_json_find(json->text, json->text_len, name, &raw_len);

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
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_command_stream *stream;
    uint64_t expected, until, from, offset, gap = 0;

    if ((state->flags & COMMAND_TOLD) != 0)
        return;
    state->flags |= COMMAND_TOLD;
    state->stream =
        state->type == COMMAND_TYPE_STDERR ? LSSB_STDERR : LSSB_STDOUT;
    stream = lssb_command_stream_of(command);
    expected = lssb_command_expected(stream);
    until = expected + stream->drop;    /* so far it was delivered */
    from = lssb_command_replay(stream);
    offset = stream->fresh ? from : expected;
    if ((state->flags & COMMAND_OFFSET) != 0)
        offset = state->offset;
    else
        state->flags |=
            stream->fresh ? COMMAND_GUESSED | COMMAND_OVERLAP : COMMAND_GUESSED;
    if (stream->fresh && offset <= from) {
        stream->drop += from - offset;
        if (stream->approximate)
            stream->drop += stream->text;
    } else if (stream->fresh || offset > expected) {
        gap = offset > until ? offset - until : 0;
        stream->drop = offset < until ? until - offset : 0;
    }
    stream->fresh = false;
    stream->anchor = offset;
    stream->text = 0;
    stream->approximate = false;
    if (gap > 0)
        command_tell_gap(op, until, gap);
}

/* The offset of output whose beginning was delivered without knowing it. */
static lssb_status command_late_offset(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_command_stream *stream =
        lssb_command_stream_of(lssb_command_of(op));
    uint64_t assumed = stream->anchor;

    if ((state->flags & COMMAND_GUESSED) == 0 ||
        (state->flags & COMMAND_OFFSET) == 0 || state->offset == assumed)
        return LSSB_OK;
    if (state->offset < assumed && (state->flags & COMMAND_OVERLAP) != 0)
        return lssb_command_fail(
            op, LSSB_E_TOO_LONG, LSSB_LAYER_JSON,
            "the server sent output again, in a message that "
            "says so only behind more of it than this build's "
            "LSSB_HOLD",
            NULL);
    stream->anchor = state->offset;
    if (state->offset > assumed)
        command_tell_gap(op, assumed, state->offset - assumed);
    return LSSB_OK;
}

/* Takes away what was delivered before; the rest is ready. */
static void command_make_ready(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_command_stream *stream =
        lssb_command_stream_of(lssb_command_of(op));
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

/* The first message of all is none that may be. */
static lssb_status command_not_started(lssb_op *op)
{
    return lssb_command_fail(op, LSSB_E_OPERATION, LSSB_LAYER_SERVICE,
                             "the server's first message was unexpected: "
                             "expected 'started'",
                             NULL);
}

/* The hold is full in the middle of a message. */
lssb_status lssb_command_hold_full(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);

    if (state->phase == COMMAND_OPENING && state->type != COMMAND_TYPE_NONE)
        return command_not_started(op);
    if (state->type != COMMAND_TYPE_STDOUT &&
        state->type != COMMAND_TYPE_STDERR)
        return lssb_command_fail(
            op, LSSB_E_TOO_LONG, LSSB_LAYER_JSON,
            state->type == COMMAND_TYPE_NONE
                ? "the server sent a message whose type "
                  "stands behind more data than this build's "
                  "LSSB_HOLD"
                : "the server sent an ssh-agent message that "
                  "is longer than this build's LSSB_HOLD",
            NULL);
    command_begin_output(op);
    command_make_ready(op);
    if ((state->flags & COMMAND_GREETED) == 0)
        return lssb_command_running(op);    /* older ones do not greet */
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
    struct lssb_command_state *state = lssb_command_state_of(op);
    const lssb_run_options *options = state->options;
    char *bytes = lssb_call_slot(op)->hold, channel_id[LSSB_ID_SIZE];
    size_t len = 0;

    if (options->on_agent == NULL || (state->flags & COMMAND_LEAVE) != 0)
        return LSSB_OK;
    if (command_member(op, "channel_id", channel_id, sizeof channel_id) >=
        sizeof channel_id)
        return lssb_command_fail(
            op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
            "the server sent an ssh-agent message without a "
            "channel_id, or with one of 64 bytes or more",
            NULL);
    if (state->type == COMMAND_TYPE_AGENT_CLOSE)
        return lssb_call_heard(
            op, options->on_agent(options->user, channel_id, NULL, 0));
    if (!command_decode_base64(bytes, state->held, &len))
        return lssb_command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                                 "the server sent ssh-agent data that is not "
                                 "base64",
                                 NULL);
    if (len == 0)
        return LSSB_OK;
    return lssb_call_heard(
        op, options->on_agent(options->user, channel_id, bytes, len));
}

/* The server's `error`: final (protocol 5.5). */
static lssb_status command_server_error(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
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
    lssb_command_fail(op, status, LSSB_LAYER_SERVICE, before,
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
    struct lssb_command_state *state = lssb_command_state_of(op);
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
    lssb_call_add(client, carrier);
    lssb_call_finish(op, LSSB_OK);
    return LSSB_END;
}

/* The server has taken up the command, or taken us back. */
lssb_status lssb_command_running(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = lssb_command_state_of(op);
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
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = lssb_command_state_of(op);
    char id[LSSB_ID_SIZE];
    size_t len = command_member(op, "command_id", id, sizeof id);
    bool ours = id[0] == '\0' ||
                (len < sizeof id && strcmp(id, command->id) == 0);

    if (!ours && state->phase == COMMAND_OPENING)
        return lssb_command_fail(
            op, LSSB_E_PROTOCOL, LSSB_LAYER_SERVICE,
            "the server started another command than it was "
            "asked to: ",
            id);
    if (!ours)
        return LSSB_AGAIN;          /* not ours to act on (protocol 5.8) */
    if ((state->flags & COMMAND_GREETED) != 0)
        return LSSB_OK;
    state->failures = 0;
    if (command->pid == LSSB_UNKNOWN)
        command->pid = state->pid;
    return lssb_command_running(op);
}

/* `exit`: the end; nothing follows. */
static lssb_status command_exited(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
    int64_t code = lssb_command_state_of(op)->exit_code;

    lssb_command_state_of(op)->phase = COMMAND_OVER;
    command->exit_code =
        code >= INT32_MIN && code <= INT32_MAX ? (int32_t)code : -1;
    lssb_call_finish(op, LSSB_OK);
    return LSSB_END;
}

/* The message at hand has come whole. LSSB_END: this operation is through
 * with the connection. */
lssb_status lssb_command_message(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    enum command_type type = (enum command_type)state->type;
    lssb_status status = LSSB_OK;

    state->flags |= COMMAND_COMPLETE;
    if (state->phase == COMMAND_OPENING && type != COMMAND_TYPE_STARTED &&
        type != COMMAND_TYPE_ERROR)
        return command_not_started(op);
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
    if (status == LSSB_AGAIN) {
        lssb_command_forget_message(state);
        return LSSB_OK;
    }
    if (status != LSSB_OK)
        return status;
    if ((state->flags & COMMAND_READY) == 0 && type != COMMAND_TYPE_EXIT)
        lssb_command_forget_message(state);
    if ((state->flags & COMMAND_GREETED) == 0) {
        status = lssb_command_running(op); /* older ones do not greet */
        op = (state->flags & COMMAND_HELD) != 0 ? &state->carrier : op;
    }
    if (type == COMMAND_TYPE_EXIT)
        return command_exited(op);
    return status;
}

#endif
