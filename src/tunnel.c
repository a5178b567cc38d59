/* tunnel.c: streams into a box, over one WebSocket (protocol 6).
 *
 * SPDX-License-Identifier: MIT
 *
 * A tunnel is an operation that keeps its slot: it opens a WebSocket and runs
 * yamux on it. What its streams lead to at this end is behind them, in
 * bridges: the caller (stream.c) or a local socket (bridge.c). What is local
 * goes on whatever the connection does.
 */
#include "tunnel.h"

#if LSSB_TUNNEL

#define TUNNEL_CLOSE_MS 5000        /* for all of a goodbye */

/* -------------------------------------------------------------- a step */

/* What a bridge's local socket is waited for; false: it is not. */
static bool tunnel_wants(const struct lssb_bridge *bridge, lssb_poll *entry)
{
    if (bridge->handle == LSSB_NO_HANDLE)
        return false;
    memset(entry, 0, sizeof *entry);
    entry->handle = bridge->handle;
    return bridge->kind->poll(bridge, entry);
}

/* Whether a bridge's local socket would have to be asked how it is. */
static bool tunnel_is_quiet(const struct lssb_bridge *bridge)
{
    lssb_poll entry;

    return bridge->handle != LSSB_NO_HANDLE &&
           bridge->kind->is_broken != NULL && !tunnel_wants(bridge, &entry);
}

/* Takes over what a wait has found out about local sockets. */
static void tunnel_look_at_polls(lssb_tunnel *tunnel)
{
    lssb_client *client = tunnel->client;
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        if (client->ready_known &&
            (bridge->poll == 0 || !client->polls[bridge->poll - 1].ready))
            continue;
        bridge->readable = true;
        bridge->writable = true;
    }
}

/* Steps what is local. */
static void tunnel_step_local(lssb_tunnel *tunnel)
{
    struct lssb_bridge *bridge;

    tunnel_look_at_polls(tunnel);
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->kind->step != NULL &&
            (bridge->phase == LSSB_BRIDGE_OPEN ||
             bridge->phase == LSSB_BRIDGE_LISTENING))
            bridge->kind->step(bridge);
}

/* Why a stream that waited has waited in vain. */
static const char *tunnel_why_late(lssb_tunnel *tunnel,
                                   const struct lssb_bridge *bridge)
{
    if (bridge->phase != LSSB_BRIDGE_QUEUED)
        return "the box has not answered in time";
    if ((tunnel_state(tunnel)->flags & TUNNEL_RENEW) != 0)
        return "the server is going away, and streams that are still open "
               "keep its connection in use";
    return "too many streams wait for the box to accept them";
}

/* Asks the local sockets that are not waited for whether they still are: one
 * that was reset could not say so. */
static void tunnel_ask(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_bridge *bridge;

    if (tunnel->client->now < state->ask_at)
        return;
    state->ask_at = tunnel->client->now + TUNNEL_ASK_MS;
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (tunnel_is_quiet(bridge) && bridge->kind->is_broken(bridge))
            lssb_bridge_end(bridge, LSSB_E_TUNNEL,
                            "the local connection was reset");
}

/* What has to happen by time. */
static void tunnel_timers(lssb_tunnel *tunnel)
{
    lssb_client *client = tunnel->client;
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        if (bridge->due_at == 0 || client->now < bridge->due_at)
            continue;
        bridge->due_at = 0;
        bridge->readable = true;
        client->at_once = true;
        if (bridge->phase != LSSB_BRIDGE_LISTENING)
            lssb_bridge_end(bridge, LSSB_E_TIMEOUT,
                            tunnel_why_late(tunnel, bridge));
    }
    tunnel_ask(tunnel);
}

/* Whether all is said on a connection that is left. */
static bool tunnel_has_left(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    uint32_t flags = tunnel_state(tunnel)->flags;

    if ((flags & TUNNEL_LEAVE) == 0)
        return false;
    return !tunnel->connected ||
           ((flags & TUNNEL_LEAVING) != 0 &&
            !lssb_yamux_has_control(tunnel_session(tunnel)));
}

static void tunnel_step(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    tunnel_step_local(tunnel);
    if (tunnel->connected)
        lssb_tunnel_move(op);
    tunnel_timers(tunnel);
    if (tunnel_has_left(op)) {
        lssb_call_finish(op, LSSB_END);
        return;
    }
    if (tunnel->connected && (state->flags & TUNNEL_RENEW) != 0 &&
        state->queued > 0 && tunnel_session(tunnel)->streams == 0)
        lssb_tunnel_renew(op);
    if (!tunnel->connected && state->queued > 0)
        lssb_tunnel_connect_again(op);
    lssb_tunnel_tell(tunnel);
}

/* What the bridges wait for, whatever the connection does. */
static size_t tunnel_polls(lssb_op *op, lssb_poll *list)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    size_t first = (size_t)(list - tunnel->client->polls), count = 0;
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        bridge->poll = 0;
        if (!tunnel_wants(bridge, &list[count]))
            continue;
        count++;
        bridge->poll = (uint32_t)(first + count);
    }
    return count;
}

/* Lowers a time. */
static void tunnel_lower(uint64_t *wake_at, uint64_t time)
{
    if (time < *wake_at)
        *wake_at = time;
}

/* When it wants to be stepped at the latest. */
static void tunnel_waits(const lssb_op *op, uint64_t *wake_at)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_yamux_stream *stream;
    struct lssb_bridge *bridge;
    uint32_t held, patience;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        if (bridge->due_at != 0)
            tunnel_lower(wake_at, bridge->due_at);
        if (tunnel_is_quiet(bridge))
            tunnel_lower(wake_at, state->ask_at);
    }
    if ((state->flags & TUNNEL_LEAVING) != 0)
        tunnel_lower(wake_at, state->close_by);
    if (!tunnel->connected)
        return;
    tunnel_lower(wake_at, lssb_yamux_wake_at(tunnel_session(tunnel)));
    held = lssb_yamux_held(tunnel_session(tunnel), &stream);
    patience = lssb_yamux_patience(tunnel_session(tunnel), TUNNEL_HELD_MS);
    if (stream != NULL)
        tunnel_lower(wake_at, tunnel->client->now +
                                  (held < patience ? patience - held : 0));
}

/* ---------------------------------------------------- opening, closing */

/* It is open, or will not be. */
static void tunnel_open_ended(lssb_op *op, lssb_status outcome)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    if (outcome == LSSB_OK)
        return;
    tunnel_state(tunnel)->starter = NULL;
    tunnel->status = outcome;
    tunnel->error = tunnel->client->error;
}

static const struct lssb_exchange tunnel_opening = {
    .name = "open tunnel",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .fresh = true,
    .upgrade = true,
    .path = lssb_tunnel_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .done = lssb_tunnel_upgraded,
    .failed = lssb_tunnel_refused,
    .taken = lssb_tunnel_taken,
    .lost = lssb_tunnel_lost,
    .ended = tunnel_open_ended
};

/* Says goodbye: to whom is bridged, and to the peer. */
static void tunnel_leave(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    if ((state->flags & TUNNEL_LEAVING) != 0)
        return;
    state->flags |= TUNNEL_LEAVING;
    state->close_by = tunnel->client->now + TUNNEL_CLOSE_MS;
    lssb_tunnel_end_bridges(tunnel, true, LSSB_E_CANCELED,
                            "the tunnel was closed");
    lssb_yamux_go_away(tunnel_session(tunnel), LSSB_YAMUX_NORMAL);
}

/* Closes it once the caller wants that; true: it is closed. */
static bool tunnel_closes(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    if ((state->flags & TUNNEL_LEAVE) == 0)
        return false;
    if (tunnel->connected)
        tunnel_leave(tunnel);
    if (tunnel->connected && tunnel->client->now < state->close_by)
        return false;
    lssb_call_finish(op, LSSB_END);
    return true;
}

/* Looked at in every step: whether the caller wants it closed. What is local
 * goes on while there is no connection. */
static bool tunnel_watch(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    if (tunnel_closes(op))
        return true;
    if (op->reserved.state.phase == LSSB_PHASE_OWN)
        return false;
    tunnel_step_local(tunnel);
    tunnel_timers(tunnel);
    lssb_tunnel_tell(tunnel);
    return false;
}

/* It is closed, or its client is. */
static void tunnel_ended(lssb_op *op, lssb_status outcome)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    tunnel->status = outcome;
    if (outcome < 0)
        tunnel->error = tunnel->client->error;
    if (tunnel->connected) {
        tunnel_leave(tunnel);
        lssb_tunnel_push(tunnel);
        lssb_upgrade_farewell(op, state->close_by);
    }
    tunnel->connected = false;
    lssb_tunnel_end_bridges(tunnel, true, LSSB_E_CANCELED,
                            "the tunnel was closed");
    lssb_tunnel_tell(tunnel);
    lssb_tunnel_release_all(tunnel);
}

const struct lssb_exchange lssb_tunnel_carrier = {
    .name = "tunnel",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .upgrade = true,
    .path = lssb_tunnel_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .done = lssb_tunnel_upgraded,
    .failed = lssb_tunnel_refused,
    .watch = tunnel_watch,
    .step = tunnel_step,
    .waits = tunnel_waits,
    .polls = tunnel_polls,
    .lost = lssb_tunnel_lost,
    .ended = tunnel_ended
};

/* What is wrong with the options, or NULL. */
static const char *tunnel_options_wrong(const lssb_tunnel_options *options)
{
    if (options->reconnects < LSSB_NONE)
        return "reconnects is negative; LSSB_NONE means none";
    return NULL;
}

/* Ends a call that could not begin. */
lssb_status lssb_tunnel_refuse(lssb_client *client, lssb_op *op,
                               lssb_status status, const char *what,
                               const char *why)
{
    lssb_fail(&client->error, status, LSSB_LAYER_CALLER, what, ": ", why,
              NULL);
    if (op == NULL)
        return status;
    if (op->error != NULL)
        *op->error = client->error;
    return op->status = status;
}

bool lssb_tunnel_is_under_way(const lssb_op *op, const void *what)
{
    return op != NULL && op->status == LSSB_PENDING &&
           op->reserved.state.extra == what;
}

lssb_status lssb_tunnel_open(lssb_tunnel *tunnel, const lssb_sandbox *box,
                             const lssb_tunnel_options *options, lssb_op *op)
{
    static const lssb_tunnel_options defaults;
    bool mine = tunnel != NULL && !lssb_tunnel_is_under_way(op, tunnel);
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (mine)
        memset(tunnel, 0, sizeof *tunnel);
    if (mine && call == NULL)
        tunnel->status = status;
    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = tunnel == NULL ? "tunnel: NULL" : tunnel_options_wrong(options);
    if (wrong != NULL)
        status = lssb_refuse(box->client, call, "open tunnel: ", wrong, NULL);
    else if (box->client->bridge_count == 0)
        status = lssb_tunnel_refuse(box->client, call, LSSB_E_NO_MEMORY,
                                    "open tunnel",
                                    "lssb_config.streams is 0");
    if (mine)
        tunnel->status = status;
    if (status != LSSB_OK)
        return status;
    tunnel->client = box->client;
    tunnel->status = LSSB_PENDING;
    tunnel_state(tunnel)->box = box;
    tunnel_state(tunnel)->options = options;
    tunnel_state(tunnel)->starter = call;
    call->reserved.state.extra = tunnel;
    status = lssb_call_go(call, op == NULL, &tunnel_opening, LSSB_FOREVER);
    if (status != LSSB_PENDING && tunnel->status == LSSB_PENDING) {
        tunnel_state(tunnel)->starter = NULL;   /* it never began */
        tunnel->status = status;
    }
    return status;
}

/* Whether a tunnel that is closed is gone from the client. */
static bool tunnel_is_gone(lssb_op *op)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel_of(op));

    if (state->starter != NULL || state->carrier.status == LSSB_PENDING)
        return false;
    if (tunnel_of(op)->status == LSSB_OK)
        tunnel_of(op)->status = LSSB_END;
    return lssb_upgrade_left(op);
}

static bool tunnel_is_dropped(lssb_op *op, lssb_status why)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel_of(op));

    return lssb_upgrade_leave(op, why, state->starter, &state->carrier);
}

static const struct lssb_exchange tunnel_closing = {
    .name = "close tunnel",
    .awaits = "waiting for the tunnel's end",
    .watch = tunnel_is_gone,
    .leave = tunnel_is_dropped
};

lssb_status lssb_tunnel_close(lssb_tunnel *tunnel, lssb_op *op)
{
    lssb_op own, *call;
    lssb_status status;

    if (tunnel == NULL || tunnel->client == NULL)
        return LSSB_OK;
    call = lssb_call_begin(tunnel->client, op, &own, &status);
    if (call == NULL)
        return status;
    tunnel_state(tunnel)->flags |= TUNNEL_LEAVE;
    if (tunnel_state(tunnel)->starter != NULL)
        lssb_cancel(tunnel_state(tunnel)->starter);
    call->reserved.state.extra = tunnel;
    return lssb_call_attend(call, op == NULL, &tunnel_closing);
}

#endif
