/* tunnel_flow.c: bytes of a tunnel, between its connection and its bridges.
 *
 * SPDX-License-Identifier: MIT
 *
 * What comes in goes from the WebSocket's pieces to yamux, and from there to
 * the bridge whose stream it is; what goes out is put straight into the record,
 * the frames without data first. Nothing is sent on a stream before the box
 * has said that the port answers.
 */
#include "tunnel.h"

#if LSSB_TUNNEL

#define FLOW_ROUNDS 16              /* of receiving, before others' turn */
#define FLOW_FRAMES 64              /* sent in a row, before others' turn */
#define FLOW_WANT 256               /* room that makes a frame worth while */
#define FLOW_LEAST 32               /* and without which there is none */
#define FLOW_CROSSINGS 3            /* of a stream and a going away */
#define FLOW_WINDOW 1048576         /* of the buffer, before the round trip is
                                       known */

/* ------------------------------------------------------- what comes in */

/* The box has answered: the first byte of a stream (protocol 6.3). */
static void tunnel_status(struct lssb_bridge *bridge, uint8_t byte)
{
    static const struct {
        lssb_status status;
        const char *why;
    } meanings[] = {
        { LSSB_OK, NULL },
        { LSSB_E_TUNNEL_PORT, "the box does not allow this port" },
        { LSSB_E_TUNNEL_REFUSED, "nothing listens there in the box" },
        { LSSB_E_TUNNEL_VERSION, "the box speaks another version of tunnels" },
        { LSSB_E_TUNNEL, "the box answered with an unknown status" }
    };
    lssb_op *opener = bridge->opener;

    if (byte > 4)
        byte = 4;
    if (byte != 0) {
        lssb_bridge_end(bridge, meanings[byte].status, meanings[byte].why);
        return;
    }
    bridge->phase = LSSB_BRIDGE_OPEN;
    bridge->due_at = 0;
    bridge->opened = bridge->kind->announced;
    if (bridge->ends)
        lssb_yamux_finish(lssb_bridge_session(bridge), &bridge->stream);
    if (bridge->kind->step != NULL)
        bridge->kind->step(bridge);
    if (opener != NULL)
        lssb_call_finish(opener, LSSB_OK);
    bridge->tunnel->client->at_once = true;
}

/* Data of a stream; returns how much of it was taken. */
static size_t tunnel_data(lssb_tunnel *tunnel)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    struct lssb_bridge *bridge = session->stream->user;
    const uint8_t *bytes = session->data;
    size_t len = session->data_len, at = 0, gone = 0, taken;

    if (bridge->phase == LSSB_BRIDGE_OPENING) {
        tunnel_status(bridge, bytes[0]);
        at = 1;
    }
    taken = len - at;
    if (bridge->phase == LSSB_BRIDGE_OVER)
        gone = taken;
    else if (taken > 0)
        taken = bridge->kind->take(bridge, bytes + at, len - at, &gone);
    bridge->received += taken;
    tunnel->received_bytes += taken;
    taken = lssb_yamux_take(session, at + taken);
    lssb_yamux_consumed(session, &bridge->stream, at + gone);
    return taken;
}

/* Has a stream that the peer refused since it goes away wait for the next
 * connection: nothing but the header has gone out; false: it is no such one. */
static bool tunnel_crossed(struct lssb_bridge *bridge)
{
    struct lssb_tunnel_state *state = tunnel_state(bridge->tunnel);

    if (bridge->phase != LSSB_BRIDGE_OPENING ||
        (state->flags & TUNNEL_RENEW) == 0 ||
        bridge->crossed == FLOW_CROSSINGS)
        return false;
    bridge->crossed++;
    bridge->greeted = false;
    bridge->phase = LSSB_BRIDGE_QUEUED;
    state->queued++;
    bridge->tunnel->client->at_once = true;
    return true;
}

/* The peer sends no more on a stream, or has reset it. */
static void tunnel_stream_ended(struct lssb_bridge *bridge, bool reset)
{
    if (reset && tunnel_crossed(bridge))
        return;
    if (bridge->phase == LSSB_BRIDGE_OPENING)
        lssb_bridge_end(bridge, LSSB_E_TUNNEL,
                        reset ? "the box has reset the stream instead of "
                                "answering"
                              : "the box has ended the stream instead of "
                                "answering");
    else if (reset)
        lssb_bridge_end(bridge, LSSB_E_TUNNEL,
                        "the connection was reset at its other end");
    else if (bridge->kind->step != NULL && bridge->phase == LSSB_BRIDGE_OPEN)
        bridge->kind->step(bridge);
}

/* The peer takes no new streams here. */
static void tunnel_going_away(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);

    if ((state->flags & TUNNEL_RENEW) == 0)
        state->flags |= TUNNEL_TELL_AWAY;
    state->flags |= TUNNEL_RENEW;
}

/* Has the engine look at bytes; returns how many were consumed. */
static size_t tunnel_feed(lssb_tunnel *tunnel, const uint8_t *bytes,
                          size_t len, bool *wrong)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    size_t at = 0, used;

    *wrong = false;
    for (;;) {
        enum lssb_yamux_event event =
            lssb_yamux_next(session, bytes + at, len - at, &used);

        at += used;
        switch (event) {
        case LSSB_YAMUX_MORE:
            return at;
        case LSSB_YAMUX_FULL:
            state->flags |= TUNNEL_PENDING;
            return at;
        case LSSB_YAMUX_WRONG:
            *wrong = true;
            return at;
        case LSSB_YAMUX_DATA:
            at += tunnel_data(tunnel);
            if (session->data_len > 0)
                return at;
            break;
        case LSSB_YAMUX_FINISHED:
        case LSSB_YAMUX_RESET:
            tunnel_stream_ended(session->stream->user,
                                event == LSSB_YAMUX_RESET);
            break;
        case LSSB_YAMUX_GO_AWAY:
            tunnel_going_away(tunnel);
            break;
        case LSSB_YAMUX_OPENED:     /* never: none are accepted */
        case LSSB_YAMUX_ACKED:
        case LSSB_YAMUX_WRITABLE:
        case LSSB_YAMUX_PONG:
            break;
        }
    }
}

/* The peer broke the rules: says so to both sides. */
static void tunnel_wrong(lssb_op *op, uint16_t code, const char *rules,
                         const char *wrong)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    lssb_tunnel_push(tunnel_of(op));
    lssb_channel_close(&slot->channel, code);
    lssb_fail(&slot->conn.failure, LSSB_E_PROTOCOL,
              code == LSSB_WS_NORMAL ? LSSB_LAYER_TUNNEL : LSSB_LAYER_WEBSOCKET,
              "tunnel: the server broke the rules of ", rules, wrong, NULL);
    lssb_upgrade_broken(op, LSSB_CLOSE_NONE, NULL, NULL);
}

/* A piece of a message; false when no more can be taken now. */
static bool tunnel_piece(lssb_op *op, const uint8_t *bytes, size_t len)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_slot *slot = lssb_call_slot(op);
    bool wrong;
    size_t used;

    state->flags &= ~TUNNEL_PENDING;
    used = tunnel_feed(tunnel, bytes, len, &wrong);
    lssb_channel_keep(&slot->channel, len - used);
    lssb_channel_done(&slot->channel);
    slot->full = used < len || (state->flags & TUNNEL_PENDING) != 0;
    if (wrong)
        tunnel_wrong(op, LSSB_WS_NORMAL, "yamux: ",
                     slot->own.session.wrong);
    return !wrong && !slot->full;
}

/* Takes what has arrived; false when that cannot go on now. */
static bool tunnel_read(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    if ((tunnel_state(tunnel)->flags & TUNNEL_PENDING) != 0 &&
        !tunnel_piece(op, (const uint8_t *)"", 0))
        return false;
    for (;;) {
        switch (lssb_channel_next(&slot->channel, SIZE_MAX,
                                  tunnel->client->now)) {
        case LSSB_CHANNEL_NONE:
            return true;
        case LSSB_CHANNEL_PIECE:
            if (!tunnel_piece(op, slot->channel.ws.data,
                              slot->channel.ws.data_len))
                return false;
            break;
        case LSSB_CHANNEL_CLOSED:
            lssb_upgrade_closed(op);
            return false;
        case LSSB_CHANNEL_LOST:
            lssb_upgrade_broken(op, LSSB_CLOSE_NONE,
                                slot->conn.ended ? " ended the connection"
                                                 : NULL,
                                NULL);
            return false;
        case LSSB_CHANNEL_WRONG:
            tunnel_wrong(op, slot->channel.ws.code, "WebSocket: ",
                         slot->channel.ws.wrong);
            return false;
        }
    }
}

/* ------------------------------------------------------- what goes out */

/* Bytes of a bridge whose turn it is, behind the header of their frame. */
static ptrdiff_t tunnel_pull(struct lssb_bridge *bridge, uint8_t *room,
                             size_t len)
{
    if (!bridge->greeted) {
        if (len < 3)
            return LSSB_IO_AGAIN;
        room[0] = 1;                /* the version (protocol 6.3) */
        room[1] = (uint8_t)(bridge->port >> 8);
        room[2] = (uint8_t)bridge->port;
        bridge->greeted = true;
        return 3;
    }
    if (bridge->phase != LSSB_BRIDGE_OPEN)
        return LSSB_IO_AGAIN;
    return bridge->kind->pull(bridge, room, len);
}

/* The stream whose turn it is sends what it can; how many bytes of `room` that
 * took. */
static size_t tunnel_turn(lssb_tunnel *tunnel, struct lssb_bridge *bridge,
                          uint8_t *room, size_t len)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    bool greeted = bridge->greeted;
    ptrdiff_t got = tunnel_pull(bridge, room + LSSB_YAMUX_HEADER, len);

    if (got > 0) {
        lssb_yamux_commit(session, (size_t)got, room);
        if (greeted) {
            bridge->sent += (size_t)got;
            tunnel->sent_bytes += (size_t)got;
        }
        return (size_t)got + LSSB_YAMUX_HEADER;
    }
    if (got == 0)
        lssb_yamux_finish(session, &bridge->stream);
    else if (got == LSSB_IO_AGAIN)
        lssb_yamux_want(session, &bridge->stream, false);
    else
        lssb_bridge_end(bridge, LSSB_E_TUNNEL,
                        "the local connection was reset");
    if (got == 0 && bridge->kind->step != NULL)
        bridge->kind->step(bridge);
    return 0;
}

/* Fills a message: frames without data first, then streams in turn. */
static size_t tunnel_fill(lssb_tunnel *tunnel, uint8_t *out, size_t room)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    struct lssb_yamux_stream *stream;
    size_t len = 0, most;
    uint32_t window;

    for (;;) {
        len += lssb_yamux_control(session, out + len, room - len);
        if (room - len < FLOW_LEAST)
            return len;
        stream = lssb_yamux_turn(session, &window);
        if (stream == NULL)
            return len;
        most = room - len - LSSB_YAMUX_HEADER;
        if (most > window)
            most = window;
        len += tunnel_turn(tunnel, stream->user, out + len, most);
    }
}

/* Sends messages as long as there is something to send, and room. */
static void tunnel_send(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_slot *slot = lssb_call_slot(&state->carrier);
    int i;

    state->flags &= ~TUNNEL_BLOCKED;
    for (i = 0; i < FLOW_FRAMES; i++) {
        size_t room, len;
        uint8_t *out = lssb_channel_reserve(&slot->channel, FLOW_WANT,
                                            &room);

        if (out == NULL || room < FLOW_LEAST) {
            state->flags |= TUNNEL_BLOCKED;
            break;
        }
        len = tunnel_fill(tunnel, out, room);
        if (len == 0)
            break;
        lssb_channel_commit(&slot->channel, LSSB_WS_BINARY, true, len);
    }
    if (i == FLOW_FRAMES)
        tunnel->client->at_once = true;
    lssb_conn_flush(&slot->conn);
}

void lssb_tunnel_push(lssb_tunnel *tunnel)
{
    if (tunnel->connected)
        tunnel_send(tunnel);
}

/* ----------------------------------------------------------- both ways */

/* Gives a bridge a stream; false: not now. */
static bool tunnel_open_stream(lssb_tunnel *tunnel, struct lssb_bridge *bridge)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    uint32_t size = tunnel->client->stream_buffer;
    enum lssb_yamux_opening opening;

    memset(&bridge->stream, 0, sizeof bridge->stream);
    bridge->stream.user = bridge;
    bridge->stream.window = size < FLOW_WINDOW ? size : FLOW_WINDOW;
    bridge->stream.window_most = size;
    opening = lssb_yamux_open(session, &bridge->stream);
    if (opening == LSSB_YAMUX_NO_IDS || opening == LSSB_YAMUX_CLOSED)
        tunnel_state(tunnel)->flags |= TUNNEL_RENEW;
    if (opening != LSSB_YAMUX_OPEN)
        return false;
    bridge->phase = LSSB_BRIDGE_OPENING;
    tunnel_state(tunnel)->queued--;
    lssb_yamux_want(session, &bridge->stream, true);
    return true;
}

/* Opens streams for those that wait. */
static void tunnel_open_queued(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_bridge *bridge = tunnel_bridges(tunnel);

    for (; state->queued > 0 && bridge != NULL; bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED &&
            !tunnel_open_stream(tunnel, bridge))
            return;
}

/* Resets a stream that holds back the others for too long. */
static void tunnel_let_go(lssb_tunnel *tunnel)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    struct lssb_yamux_stream *stream;
    uint32_t held = lssb_yamux_held(session, &stream);

    if (stream == NULL ||
        held < lssb_yamux_patience(session, TUNNEL_HELD_MS))
        return;
    lssb_yamux_cut_patience(session);
    lssb_bridge_end(stream->user, LSSB_E_TUNNEL,
                    "its reader was too slow for the buffer "
                    "(lssb_config.stream_buffer)");
}

void lssb_tunnel_move(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = tunnel->client;
    bool going = true;
    int i;

    if (!lssb_yamux_tick(&slot->own.session, client->now)) {
        lssb_upgrade_broken(op, LSSB_CLOSE_NONE,
                            " did not answer a ping in time", NULL);
        return;
    }
    for (i = 0; i < FLOW_ROUNDS && going; i++) {
        lssb_conn_step(&slot->conn, client->now);
        going = tunnel_read(op);
        if (!tunnel->connected)
            return;
        tunnel_open_queued(tunnel);
        tunnel_send(tunnel);
        going = going && slot->conn.own.more;
    }
    if (going || (tunnel_state(tunnel)->flags &
                  (TUNNEL_PENDING | TUNNEL_BLOCKED)) == TUNNEL_PENDING)
        client->at_once = true;     /* others first, then here again */
    lssb_channel_tick(&slot->channel, true, client->now);
    tunnel_let_go(tunnel);
    if (slot->channel.no_random)
        lssb_upgrade_broken(op, LSSB_CLOSE_NONE, " cannot be talked to: the "
                            "port has no random bytes for the WebSocket's "
                            "masks", NULL);
}

#endif
