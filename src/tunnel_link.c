/* tunnel_link.c: the connection of a tunnel: made, lost, made again.
 *
 * SPDX-License-Identifier: MIT
 *
 * The call that opens a tunnel makes the first one, by the rules that commands
 * have; then its carrier holds it. One that is lost stays so until a stream
 * asks for another (protocol 6.5).
 */
#include "tunnel.h"

#if LSSB_TUNNEL

#define LINK_RECONNECTS 3
#define LINK_PING_MS 30000

/* ------------------------------------------------------ losing, finding */

/* There is no connection: it stays so until somebody asks for one. */
static lssb_status tunnel_rest(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    struct lssb_bridge *bridge = tunnel_bridges(tunnel_of(op));

    lssb_conn_drop(&slot->conn, false);
    slot->full = false;
    tunnel_state(tunnel_of(op))->flags &= ~TUNNEL_CONNECTION;
    for (; bridge != NULL; bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED)
            bridge->due_at = 0;     /* it counts from the next connection on */
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    op->reserved.state.client->at_once = true;
    return LSSB_PENDING;
}

/* The connection was lost, as the client's error says. Of one that is being
 * closed that is no news: the server was faster. */
static lssb_status tunnel_detach(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    tunnel->connected = false;
    if ((tunnel_state(tunnel)->flags & TUNNEL_LEAVE) == 0) {
        lssb_tunnel_note_loss(tunnel, tunnel->client->error.status);
        tunnel_state(tunnel)->flags |= TUNNEL_TELL_LOST;
    }
    lssb_tunnel_end_bridges(tunnel, false, LSSB_E_TUNNEL, NULL);
    return tunnel_rest(op);
}

/* Connecting again is given up, as the client's error says. */
static lssb_status tunnel_give_up(lssb_op *op, lssb_status status)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    lssb_tunnel_note_loss(tunnel, status);
    lssb_tunnel_end_queued(tunnel, status, NULL);
    return tunnel_rest(op);
}

/* How often it may try to connect again. */
static uint32_t tunnel_reconnects(lssb_tunnel *tunnel)
{
    int32_t reconnects = tunnel_state(tunnel)->options->reconnects;

    if (reconnects == 0)
        return LINK_RECONNECTS;
    return reconnects > 0 ? (uint32_t)reconnects : 0;
}

/* An attempt to connect again failed (protocol 6.5). */
static lssb_status tunnel_try_again(lssb_op *op, bool asked, uint64_t ms)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    lssb_client *client = tunnel->client;
    uint32_t attempt = op->reserved.state.attempt;

    if (lssb_upgrade_is_final(&client->error))
        return tunnel_give_up(op, client->error.status);
    if (attempt >= tunnel_reconnects(tunnel))
        return tunnel_give_up(op, LSSB_E_TUNNEL);
    if (!asked)
        ms = lssb_upgrade_backoff(client, attempt, false);
    return lssb_upgrade_again(op, ms, 0);
}

void lssb_tunnel_connect_again(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    if (tunnel_reconnects(tunnel) == 0) {
        lssb_tunnel_end_queued(tunnel, LSSB_E_TUNNEL,
                          "the tunnel's connection is gone, and reconnects is "
                          "LSSB_NONE");
        return;
    }
    op->reserved.state.attempt = 0;
    op->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    lssb_call_pause(op, 0);
    tunnel->client->at_once = true;
}

void lssb_tunnel_renew(lssb_op *op)
{
    lssb_channel_close(&lssb_call_slot(op)->channel, LSSB_WS_NORMAL);
    tunnel_of(op)->connected = false;
    tunnel_rest(op);
}

lssb_status lssb_tunnel_lost(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    if (tunnel->connected)
        return tunnel_detach(op);
    if (op == &state->carrier)
        return tunnel_try_again(op, false, 0);
    if (lssb_upgrade_is_final(&tunnel->client->error))
        return tunnel->client->error.status;
    return lssb_upgrade_open_again(op, LSSB_CLOSE_NONE, false, 0,
                                   state->open_end_at);
}

lssb_status lssb_tunnel_refused(lssb_op *op, lssb_error *error)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel_of(op));
    bool asked = lssb_call_slot(op)->retry_after_given;
    bool opening = op != &state->carrier;
    uint64_t ms;
    bool again = lssb_upgrade_refused(
        op, error, "the server does not support tunnels, or does not know the "
                   "sandbox: ", !opening, &ms);

    if (again && opening)
        return lssb_upgrade_open_again(op, LSSB_CLOSE_NONE, asked, ms,
                                       state->open_end_at);
    if (again)
        return tunnel_try_again(op, asked, ms);
    return opening ? error->status : tunnel_give_up(op, error->status);
}

/* ---------------------------------------------------------- the upgrade */

void lssb_tunnel_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/tunnel");
}

lssb_status lssb_tunnel_taken(lssb_op *op)
{
    tunnel_state(tunnel_of(op))->open_end_at =
        lssb_call_client(op)->now + LSSB_UPGRADE_OPEN_MS;
    op->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    return LSSB_OK;
}

/* A tunnel is open: from now on its carrier holds the connection. */
static void tunnel_hand_over(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    lssb_op *carrier = &state->carrier;
    struct lssb_slot *slot = lssb_call_slot(op);

    memset(carrier, 0, sizeof *carrier);
    carrier->reserved.state = op->reserved.state;
    carrier->reserved.state.exchange = &lssb_tunnel_carrier;
    carrier->reserved.state.canceled = 0;
    carrier->reserved.state.end_at = 0;
    carrier->headers = op->headers;
    carrier->header_count = op->header_count;
    slot->op = carrier;
    slot->claimed = true;
    op->reserved.state.slot = NULL;
    state->starter = NULL;
    tunnel->status = LSSB_OK;
    lssb_call_add(tunnel->client, carrier);
}

/* Begins the session. */
static void tunnel_begin(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    const lssb_tunnel_options *options = tunnel_state(tunnel)->options;
    struct lssb_slot *slot = lssb_call_slot(op);
    uint32_t ms = tunnel_ms(options->status_ms, TUNNEL_STATUS_MS);
    uint64_t now = tunnel->client->now;
    struct lssb_bridge *bridge;

    lssb_channel_start(&slot->channel, &slot->conn, 0, now);
    lssb_yamux_start(&slot->own.session, false, now);
    slot->own.session.ping_interval_ms =
        tunnel_ms(options->ping_ms, LINK_PING_MS);
    tunnel->connected = true;
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED && ms != 0)
            bridge->due_at = now + ms;
}

lssb_status lssb_tunnel_upgraded(lssb_op *op, const char *text,
                                 size_t len)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    bool opening = op != &tunnel_state(tunnel)->carrier;
    const char *wrong = lssb_upgrade_wrong(op);

    (void)text;
    (void)len;
    if (wrong != NULL)
        lssb_fail(&tunnel->client->error, LSSB_E_CONNECTION,
                  LSSB_LAYER_WEBSOCKET, "tunnel: the server did not upgrade to "
                  "a WebSocket: ", wrong, NULL);
    if (wrong != NULL)
        return opening ? LSSB_E_CONNECTION
                       : tunnel_give_up(op, LSSB_E_CONNECTION);
    tunnel_begin(op);
    if (opening) {
        tunnel_hand_over(op);
        return LSSB_OK;
    }
    tunnel->reconnected++;
    tunnel_state(tunnel)->flags |= TUNNEL_TELL_BACK;
    return LSSB_PENDING;
}

#endif
