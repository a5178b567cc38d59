/* command_link.c: the connection to a command: opened, lost, found again.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 5.7, how often and after which pause an opening is made again, and
 * 5.8, what follows from a loss; and what one step does on a connection that is
 * there.
 */
#include "command.h"

#if LSSB_WEBSOCKET

/* ---------------------------------------------------------- losing, finding */

/* A connection is lost: what belonged to it is forgotten. */
static void command_detach(lssb_op *op)
{
    lssb_command *command = lssb_command_of(op);
    struct lssb_command_state *state = lssb_command_state_of(op);

    if ((state->flags & COMMAND_INPUT_PUT) != 0)
        command->input_uncertain = true;
    command->attached = false;
    lssb_command_forget_message(state);
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
    struct lssb_command_state *state = lssb_command_state_of(op);
    lssb_client *client = lssb_call_client(op);
    lssb_error *error = &client->error;

    error->status = LSSB_E_CONNECTION;
    if ((state->flags & COMMAND_KILL_GONE) != 0) {
        lssb_error_prefix(error,
                          "killed, but the connection was lost before "
                          "an exit code came: ",
                          NULL);
        return LSSB_E_CONNECTION;
    }
    state->failures++;
    if (state->failures > COMMAND_FAILURES) {
        lssb_error_prefix(error,
                          "failed to reattach 6 times in succession: ", NULL);
        return LSSB_E_CONNECTION;
    }
    if (!asked)
        ms = lssb_upgrade_backoff(client, state->failures, false);
    if (closed == LSSB_CLOSE_RELOAD) {
        if (state->failures > 1 || state->reload_at == 0 ||
            client->now - state->reload_at >= COMMAND_RELOAD_MS)
            ms = 0;                 /* but one that greets every time could
                                       do so for ever */
        state->reload_at = client->now;
    }
    return lssb_upgrade_again(op, ms, 0);
}

/* A failure that is the connection's: goes on with another one, if it may. */
static lssb_status command_lost_by(lssb_op *op, bool asked, uint64_t ms)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    lssb_error *error = &lssb_call_client(op)->error;
    enum lssb_upgrade_close closed =
        (enum lssb_upgrade_close)op->reserved.state.step;
    lssb_status kind = lssb_upgrade_kind(op, error, closed);

    op->reserved.state.step = LSSB_CLOSE_NONE;
    command_detach(op);
    lssb_command_name(op, error);
    if (lssb_upgrade_is_final(error))
        return error->status;
    if (state->phase == COMMAND_ATTACHING)
        return error->status = kind;
    return state->phase == COMMAND_OPENING
               ? lssb_upgrade_open_again(op, closed, asked, ms,
                                         state->open_end_at)
               : command_follow_again(op, closed, asked, ms);
}

lssb_status lssb_command_lost(lssb_op *op)
{
    return command_lost_by(op, false, 0);
}

/* The upgrade was refused (protocol 5.7). */
lssb_status lssb_command_refused(lssb_op *op, lssb_error *error)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    bool asked = lssb_call_slot(op)->retry_after_given;
    bool capped = state->phase != COMMAND_OPENING || state->open_end_at == 0;
    uint64_t ms;

    if (lssb_upgrade_refused(op, error,
                             "the server does not support WebSocket commands, "
                             "or does not know the sandbox: ",
                             capped, &ms))
        return command_lost_by(op, asked, ms);
    lssb_command_name(op, error);
    command_detach(op);
    return error->status;
}

/* ---------------------------------------------------------------- a step */

/* Begins with a message. */
static void command_message_begin(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    lssb_command_forget_message(lssb_command_state_of(op));
    lssb_command_state_of(op)->exit_code = LSSB_UNKNOWN;
    lssb_command_state_of(op)->pid = LSSB_UNKNOWN;
    memset(&slot->json, 0, sizeof slot->json);
    slot->json.choose = lssb_command_choose;
    slot->json.ctx = lssb_command_of(op);   /* outlives this operation */
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
    status = lssb_command_scan(op, ws->data, ws->data_len);
    lssb_channel_done(&slot->channel);
    if (status != LSSB_OK || !ends)
        return status;
    if (lssb_json_end(&slot->json) != LSSB_JSON_DONE)
        return lssb_command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                                 "the server sent a message that is not valid "
                                 "JSON: ",
                                 slot->json.wrong);
    if (slot->json.text_len == 0 || slot->json.text[0] != '{')
        return lssb_command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                                 "the server sent a message that is no JSON "
                                 "object",
                                 NULL);
    return lssb_command_message(op);
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
        status = lssb_command_fail(op, LSSB_E_PROTOCOL, LSSB_LAYER_WEBSOCKET,
                                   "the server broke the rules of WebSocket: ",
                                   slot->channel.ws.wrong);
        lssb_channel_close(&slot->channel, slot->channel.ws.code);
        lssb_call_finish(op, status);
        return false;
    }
    return false;
}

/* Decodes and delivers what has arrived; false when that cannot go on now. */
bool lssb_command_read(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;

    for (;;) {
        status = lssb_command_deliver(op);
        slot->full = status == LSSB_AGAIN;
        if (status < 0)
            lssb_call_finish(op, status);
        if (status != LSSB_OK)
            return false;
        if (LSSB_HOLD - state->held < 2 * COMMAND_MARGIN) {
            status = lssb_command_hold_full(op);
            if (status < 0)
                lssb_call_finish(op, status);
            if (status != LSSB_OK)
                return false;
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
    struct lssb_command_state *state = lssb_command_state_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    const uint32_t put = COMMAND_KILL_PUT | COMMAND_KILL_GONE;

    if (slot->channel.no_random) {
        lssb_call_finish(
            op, lssb_command_fail(op, LSSB_E_UNSUPPORTED, LSSB_LAYER_CLIENT,
                                  "the port has no random bytes for "
                                  "the WebSocket's masks",
                                  NULL));
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
                           (COMMAND_QUIET_MS - COMMAND_SILENCE_MS))
        lssb_command_running(op);   /* an older server, a quiet command */
}

void lssb_command_step(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    bool going = true;
    int i;

    for (i = 0; i < COMMAND_ROUNDS && going; i++) {
        lssb_conn_step(&slot->conn, client->now);
        going = lssb_command_read(op);
        if (lssb_call_slot(op) == NULL ||
            op->reserved.state.phase != LSSB_PHASE_OWN)
            return;
        lssb_command_send(op);
        going = going && slot->conn.own.more;
    }
    if (going || (lssb_command_is_unsaid(op) && lssb_conn_sent(&slot->conn)))
        client->at_once = true;     /* others first, then here again */
    command_timers(op);
}

void lssb_command_waits(const lssb_op *op, uint64_t *wake_at)
{
    const struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_command_state *state;
    uint64_t at = UINT64_MAX;

    if (op->reserved.state.phase != LSSB_PHASE_OWN)
        return;
    state = lssb_command_state_of(op);
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
            silent += COMMAND_QUIET_MS - COMMAND_SILENCE_MS;
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

/* Whether nothing holds back a command that is let go of: what was queued is
 * said first, and a kill is waited for until it is with the socket. */
static bool command_may_leave(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    uint64_t now = lssb_call_client(op)->now;

    if (op->reserved.state.phase == LSSB_PHASE_OWN &&
        lssb_command_may_talk(op))
        lssb_command_send(op);
    if ((state->flags & (COMMAND_KILL | COMMAND_KILL_GONE)) != COMMAND_KILL ||
        state->phase != COMMAND_FOLLOWING)
        return true;
    if (state->kill_end_at == 0)
        state->kill_end_at = now + COMMAND_KILL_MS;
    return now >= state->kill_end_at;
}

/* What is looked at in every step, whatever the connection does. */
bool lssb_command_watch(lssb_op *op)
{
    struct lssb_command_state *state;
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    if (lssb_command_of(op) == NULL || slot == NULL)
        return false;
    state = lssb_command_state_of(op);
    command_look_for_kill(state);
    if ((state->flags & COMMAND_LEAVE) != 0 && command_may_leave(op)) {
        lssb_call_finish(op, LSSB_END);
        return true;
    }
    if (state->kill_end_at != 0 && client->now >= state->kill_end_at &&
        !slot->full) {
        lssb_call_finish(
            op, lssb_command_fail(op, LSSB_E_CONNECTION, LSSB_LAYER_WEBSOCKET,
                                  "killed, but no exit code came in "
                                  "ten seconds",
                                  NULL));
        return true;
    }
    if (state->phase == COMMAND_OPENING && state->open_end_at != 0 &&
        client->now >= state->open_end_at &&
        op->reserved.state.phase == LSSB_PHASE_OWN) {
        lssb_call_finish(op, lssb_command_fail(op, LSSB_E_CONNECT_TIMEOUT,
                                               LSSB_LAYER_WEBSOCKET,
                                               "the server has not started the "
                                               "command in time",
                                               NULL));
        return true;
    }
    return false;
}

/* ----------------------------------------------------------- the upgrade */

void lssb_command_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/execute/ws");
}

/* All headers of the 101 are there. */
lssb_status lssb_command_head(lssb_op *op, int status,
                              const struct lssb_http *http)
{
    const char *wrong = lssb_upgrade_wrong(op);

    (void)status;
    (void)http;
    if (wrong == NULL)
        return LSSB_OK;
    return lssb_command_fail(
        op, LSSB_E_CONNECTION, LSSB_LAYER_WEBSOCKET,
        "the server did not upgrade to a WebSocket: ", wrong);
}

/* The connection is a WebSocket now. */
lssb_status lssb_command_upgraded(lssb_op *op, const char *text, size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    struct lssb_command_state *state = lssb_command_state_of(op);
    uint64_t ping_ms = state->options->ping_ms;

    (void)text;
    (void)len;
    if (ping_ms == 0)
        ping_ms = COMMAND_PING_MS;
    if (ping_ms == LSSB_FOREVER)
        ping_ms = 0;
    lssb_channel_start(&slot->channel, &slot->conn, ping_ms, client->now);
    lssb_command_forget_message(state);
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    op->reserved.state.step = LSSB_CLOSE_NONE;
    return LSSB_PENDING;
}

/* Says goodbye on a connection that is open, and leaves it to the slot. */
void lssb_command_farewell(lssb_op *op)
{
    const lssb_command *command = lssb_command_of(op);

    if (command->attached && lssb_command_may_talk(op) &&
        lssb_command_state_of(op)->phase == COMMAND_FOLLOWING)
        lssb_command_send(op);      /* a kill, the end of input */
    lssb_upgrade_farewell(op, lssb_call_client(op)->now + COMMAND_CLOSE_MS);
}

#endif
