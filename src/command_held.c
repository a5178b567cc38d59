/* command_held.c: a command that somebody holds: its output, input, kill.
 *
 * SPDX-License-Identifier: MIT
 *
 * What an lssb_command's owner does with it between its start and its close.
 * Nothing here waits but by stepping the client.
 */
#include "command.h"

#if LSSB_WEBSOCKET

/* ------------------------------------------------------- a command at work */

/* Refuses what needs a command that was started, or a wait in a callback. */
static lssb_status command_may(lssb_command *command, uint32_t wait_ms)
{
    if (command == NULL || command->client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    if (wait_ms > 0 && command->client->in_callback)
        return lssb_fail(&command->client->error, LSSB_E_IN_CALLBACK,
                         LSSB_LAYER_CALLER,
                         "a waiting call was made inside a "
                         "callback; give it no time to wait",
                         NULL);
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

    if (!command_is_followed(command) || state->given ||
        (state->flags & (COMMAND_READY | COMMAND_PUSH)) != COMMAND_READY)
        return LSSB_AGAIN;
    slot = lssb_call_slot(&state->carrier);
    chunk->stream = (lssb_stream)state->stream;
    chunk->bytes = slot->hold;
    chunk->len = state->held;
    chunk->offset = lssb_command_expected(lssb_command_stream_of(command));
    chunk->lost = state->gap;
    lssb_command_delivered(command, slot->hold, state->held);
    state->given = true;
    return LSSB_OK;
}

/* Gives back what was handed out, and reads on in what has arrived. */
static void command_read_on(lssb_command *command)
{
    struct lssb_command_state *state = &command->reserved.state;
    lssb_client *client = command->client;

    if (state->given) {
        lssb_command_release(state);
        client->at_once = true;
    }
    if (client->in_callback || !command_is_followed(command) ||
        (state->flags & COMMAND_PUSH) != 0)
        return;
    client->now = client->port->now_ms(client->port_context);
    client->in_callback = true;     /* on_gap, on_agent */
    lssb_command_read(&state->carrier);
    client->in_callback = false;
}

lssb_status lssb_command_next(lssb_command *command, lssb_chunk *chunk,
                              uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    struct lssb_upgrade_wait wait;

    if (status != LSSB_OK)
        return status;
    if (chunk == NULL)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "command: chunk: NULL", NULL);
    memset(chunk, 0, sizeof *chunk);
    lssb_upgrade_wait_start(&wait, command->client, wait_ms);
    command_read_on(command);
    for (;;) {
        status = command_hand_out(command, chunk);
        if (status != LSSB_AGAIN)
            return status;
        if (command->status != LSSB_PENDING)
            return command->status == LSSB_OK ? LSSB_END : command->status;
        status = lssb_upgrade_wait(&wait);
        if (status != LSSB_OK)
            return status;
    }
}

/* What became of a command that is over: its options are not ours any more. */
static bool command_is_over(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
    lssb_client *client = lssb_call_client(op);

    if (command->status == LSSB_PENDING)
        return false;
    if (op->reserved.state.out != NULL)
        lssb_command_result(command, op->reserved.state.out);
    if (command->status < 0 && client->error.status != command->status)
        lssb_fail(&client->error, command->status, LSSB_LAYER_CLIENT,
                  "wait for command: it is followed no longer; "
                  "lssb_run_options.error was told why",
                  NULL);
    lssb_command_waited(op, command->status);
    return true;
}

static void command_wait_ended(lssb_op *op, lssb_status outcome)
{
    struct lssb_command_state *state = lssb_command_state_of(op);

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
    lssb_op own,
        *call = lssb_call_begin(command != NULL ? command->client : NULL, op,
                                &own, &status);

    if (call == NULL)
        return status;
    if (command->reserved.state.waiter != NULL)
        return lssb_refuse(command->client, call,
                           "wait for command: somebody "
                           "waits for it already",
                           NULL);
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
    lssb_fail(error, LSSB_E_OPERATION, LSSB_LAYER_CALLER,
              "write to command: ", why, NULL);
    lssb_copy(error->operation, sizeof error->operation, "sendInput", 9);
    return LSSB_E_OPERATION;
}

/* The operation of a command that can be talked to now, or NULL. */
static lssb_op *command_talker(lssb_command *command)
{
    lssb_op *carrier = &command->reserved.state.carrier;

    if (!command_is_followed(command) || !lssb_command_may_talk(carrier))
        return NULL;
    return carrier;
}

/* Sends what there is room for, whole characters; returns how much. */
static size_t command_write_some(lssb_command *command, const char *bytes,
                                 size_t len, bool *wrong)
{
    lssb_op *op = command_talker(command);
    size_t taken = 0;

    *wrong = false;
    if (op != NULL)
        lssb_command_send(op);      /* what was asked for before goes first */
    while (op != NULL && taken < len) {
        size_t most =
            len - taken < LSSB_SEND_BUFFER ? len - taken : LSSB_SEND_BUFFER;
        size_t valid = lssb_utf8_valid(bytes + taken, most), n;

        if (valid == 0) {
            *wrong = true;
            break;
        }
        n = lssb_command_carry(op, NULL, bytes + taken, valid);
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

    return len < 4 &&
           lssb_json_utf8_lead((uint8_t)bytes[0], &left, &low, &most) &&
           left >= len;
}

/* The outcome of a write that goes no further. */
static lssb_status command_wrote(lssb_command *command, const char *rest,
                                 size_t left, size_t taken, bool wrong)
{
    if (wrong && !(taken > 0 && command_is_cut(rest, left)))
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER,
                         "write to command: the input is "
                         "not UTF-8, which is all that stdin takes; upload a "
                         "file and redirect from it",
                         NULL);
    return taken > 0 ? LSSB_OK : LSSB_AGAIN;
}

lssb_status lssb_command_write(lssb_command *command, const void *bytes,
                               size_t len, size_t *taken, uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    const char *from = bytes;
    size_t done = 0;
    struct lssb_upgrade_wait wait;
    bool wrong;

    if (taken != NULL)
        *taken = 0;
    if (status != LSSB_OK)
        return status;
    if (bytes == NULL && len > 0)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "write to command: bytes: NULL",
                         NULL);
    lssb_upgrade_wait_start(&wait, command->client, wait_ms);
    for (;;) {
        status = command_may_write(command);
        if (status != LSSB_OK)
            return done > 0 && status == LSSB_END ? LSSB_OK : status;
        done += command_write_some(command, from + done, len - done, &wrong);
        if (taken != NULL)
            *taken = done;
        if (done == len || wrong)
            break;
        status = lssb_upgrade_wait(&wait);
        if (status == LSSB_AGAIN)
            break;
        if (status != LSSB_OK)
            return status;
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
                  "(Ctrl-D) instead",
                  NULL);
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
    __atomic_store_n(&command->reserved.state.kill_posted, 1, __ATOMIC_RELEASE);
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

    if (command->status != LSSB_PENDING)
        return LSSB_END;
    if (!command->reserved.state.options->ssh_agent)
        wrong = "the command was started without ssh_agent";
    else if (channel == NULL || channel[0] == '\0' ||
             strlen(channel) >= LSSB_ID_SIZE ||
             lssb_utf8_valid(channel, strlen(channel)) != strlen(channel))
        wrong = "channel: the name that on_agent was given was expected";
    if (wrong != NULL)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "ssh-agent: ", wrong, NULL);
    return LSSB_OK;
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
        size_t n = lssb_command_carry(op, channel, bytes + done, len - done);

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
                                         const char *channel, const char *bytes,
                                         size_t len, size_t *taken,
                                         uint32_t wait_ms)
{
    lssb_status status = command_may(command, wait_ms);
    struct lssb_upgrade_wait wait;

    *taken = 0;
    if (status != LSSB_OK)
        return status;
    lssb_upgrade_wait_start(&wait, command->client, wait_ms);
    for (;;) {
        status = command_may_answer(command, channel);
        if (status != LSSB_OK)
            return status;
        *taken +=
            command_answer(command, channel,
                           bytes != NULL ? bytes + *taken : NULL, len - *taken);
        if (*taken >= len)
            return LSSB_OK;
        status = lssb_upgrade_wait(&wait);
        if (status == LSSB_AGAIN)
            return *taken > 0 ? LSSB_OK : LSSB_AGAIN;
        if (status != LSSB_OK)
            return status;
    }
}

lssb_status lssb_command_agent_write(lssb_command *command, const char *channel,
                                     const void *bytes, size_t len,
                                     size_t *taken, uint32_t wait_ms)
{
    size_t own;

    if (command != NULL && command->client != NULL && bytes == NULL && len > 0)
        return lssb_fail(&command->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "ssh-agent: bytes: NULL", NULL);
    return command_answer_within(command, channel, bytes != NULL ? bytes : "",
                                 len, taken != NULL ? taken : &own, wait_ms);
}

lssb_status lssb_command_agent_close(lssb_command *command, const char *channel,
                                     uint32_t wait_ms)
{
    size_t taken;

    return command_answer_within(command, channel, NULL, 1, &taken, wait_ms);
}

/* --------------------------------------------------------------- letting go */

/* Whether a command that is let go of is gone from the client. */
static bool command_is_gone(lssb_op *op)
{
    if (lssb_command_in_use(lssb_command_of(op)))
        return false;
    return lssb_upgrade_left(op);
}

static bool command_is_dropped(lssb_op *op, lssb_status why)
{
    struct lssb_command_state *state = lssb_command_state_of(op);

    return lssb_upgrade_leave(op, why, state->starter, &state->carrier);
}

static const struct lssb_exchange command_closing = {
    .name = "close command",
    .awaits = "waiting for the command",
    .watch = command_is_gone,
    .leave = command_is_dropped
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
