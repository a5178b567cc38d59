/* tunnel.c: streams into a box, over one WebSocket (protocol 6).
 *
 * SPDX-License-Identifier: MIT
 *
 * A tunnel is an operation that keeps its slot: it opens a WebSocket and runs
 * yamux on it. What its streams lead to at this end is behind them, in
 * bridges: the caller (stream.c) or a local socket (bridge.c). A connection
 * that is lost resets every stream; there is another one when a stream asks
 * for it. Nothing is sent on a stream before the box has said that the port
 * answers.
 *
 * Events are told at the end of a step, when nothing is half done.
 */
#include "internal.h"

#if LSSB_TUNNEL

#define TUNNEL_PING_MS 30000
#define TUNNEL_STATUS_MS 30000
#define TUNNEL_RECONNECTS 3
#define TUNNEL_CLOSE_MS 5000        /* for all of a goodbye */
#define TUNNEL_HELD_MS 5000         /* a stream may hold back the others */
#define TUNNEL_ROUNDS 16            /* of receiving, before others' turn */
#define TUNNEL_FRAMES 64            /* sent in a row, before others' turn */
#define TUNNEL_WANT 256             /* room that makes a frame worth while */
#define TUNNEL_LEAST 32             /* and without which there is none */

/* In `flags`. */
#define TUNNEL_LEAVE 0x1u           /* the caller closes it */
#define TUNNEL_TELLING 0x2u         /* callbacks are running */
#define TUNNEL_TELL_LOST 0x4u       /* events that are to be told */
#define TUNNEL_TELL_AWAY 0x8u
#define TUNNEL_TELL_BACK 0x10u
/* Of its connection. */
#define TUNNEL_LEAVING 0x100u       /* goodbyes are on their way */
#define TUNNEL_BLOCKED 0x200u       /* it takes nothing now */
#define TUNNEL_PENDING 0x400u       /* the engine has more to tell of what was
                                       consumed */
#define TUNNEL_RENEW 0x800u         /* new streams need another one */
#define TUNNEL_CONNECTION \
    (TUNNEL_LEAVING | TUNNEL_BLOCKED | TUNNEL_PENDING | TUNNEL_RENEW)

static lssb_tunnel *tunnel_of(const lssb_op *op)
{
    return op->reserved.state.extra;
}

static struct lssb_tunnel_state *tunnel_state(lssb_tunnel *tunnel)
{
    return &tunnel->reserved.state;
}

static struct lssb_bridge *tunnel_bridges(const lssb_tunnel *tunnel)
{
    return tunnel->reserved.state.bridges;
}

/* The session; of a tunnel that is connected. */
static struct lssb_yamux *tunnel_session(lssb_tunnel *tunnel)
{
    return &lssb_call_slot(&tunnel_state(tunnel)->carrier)->own.session;
}

/* Milliseconds of an option: `fallback` for 0, 0 for LSSB_FOREVER. */
static uint32_t tunnel_ms(uint32_t ms, uint32_t fallback)
{
    if (ms == 0)
        return fallback;
    return ms != LSSB_FOREVER ? ms : 0;
}

/* ---------------------------------------------------------------- bridges */

/* Whether nobody needs a bridge's memory any more. */
static bool tunnel_is_through(const struct lssb_bridge *bridge)
{
    return bridge->phase == LSSB_BRIDGE_OVER && bridge->event == 0 &&
           !bridge->opened && bridge->owner == NULL && bridge->opener == NULL &&
           bridge->stream.id == 0;
}

/* Gives a bridge back. */
static void tunnel_free(lssb_client *client, struct lssb_bridge *bridge)
{
    bridge->phase = LSSB_BRIDGE_FREE;
    bridge->tunnel = NULL;
    bridge->next = client->free_bridges;
    client->free_bridges = bridge;
}

/* Gives back all bridges that are through. */
static void tunnel_sweep(lssb_tunnel *tunnel)
{
    struct lssb_bridge *bridge = tunnel_bridges(tunnel), *before = NULL, *next;

    if ((tunnel_state(tunnel)->flags & TUNNEL_TELLING) != 0)
        return;
    for (; bridge != NULL; bridge = next) {
        next = bridge->next;
        if (!tunnel_is_through(bridge)) {
            before = bridge;
            continue;
        }
        if (before != NULL)
            before->next = next;
        else
            tunnel_state(tunnel)->bridges = next;
        tunnel_free(tunnel->client, bridge);
    }
}

bool lssb_bridge_any(lssb_tunnel *tunnel)
{
    if (tunnel->client->free_bridges == NULL)
        tunnel_sweep(tunnel);
    return tunnel->client->free_bridges != NULL;
}

struct lssb_bridge *lssb_bridge_take(lssb_tunnel *tunnel,
                                     const struct lssb_bridge_kind *kind,
                                     uint16_t port)
{
    lssb_client *client = tunnel->client;
    struct lssb_bridge *bridge, *last;
    uint8_t *buffer;
    uint32_t high;

    if (!lssb_bridge_any(tunnel))
        return NULL;
    bridge = client->free_bridges;
    last = tunnel_bridges(tunnel);
    client->free_bridges = bridge->next;
    buffer = bridge->buffer;
    high = bridge->high;
    memset(bridge, 0, sizeof *bridge);
    bridge->buffer = buffer;
    bridge->high = high;
    bridge->kind = kind;
    bridge->tunnel = tunnel;
    bridge->handle = LSSB_NO_HANDLE;
    bridge->port = port;
    while (last != NULL && last->next != NULL)
        last = last->next;
    if (last != NULL)
        last->next = bridge;
    else
        tunnel_state(tunnel)->bridges = bridge;
    return bridge;
}

void lssb_bridge_queue(struct lssb_bridge *bridge)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    uint32_t ms = tunnel_ms(tunnel_state(tunnel)->options->status_ms,
                            TUNNEL_STATUS_MS);

    bridge->phase = LSSB_BRIDGE_QUEUED;
    tunnel->streams++;
    tunnel_state(tunnel)->queued++;
    if (tunnel->connected && ms != 0)
        bridge->due_at = tunnel->client->now + ms;
    tunnel->client->at_once = true;
}

struct lssb_yamux *lssb_bridge_session(const struct lssb_bridge *bridge)
{
    return tunnel_session(bridge->tunnel);
}

size_t lssb_bridge_store(struct lssb_bridge *bridge, const uint8_t *bytes,
                         size_t len)
{
    uint32_t size = bridge->tunnel->client->stream_buffer;
    size_t stored = 0;

    while (stored < len && bridge->len < size) {
        uint32_t at = (bridge->from + bridge->len) % size;
        uint32_t room = size - bridge->len;

        if (room > size - at)
            room = size - at;
        if (room > len - stored)
            room = (uint32_t)(len - stored);
        memcpy(bridge->buffer + at, bytes + stored, room);
        bridge->len += room;
        stored += room;
        if (at + room > bridge->high)
            bridge->high = at + room;
    }
    return stored;
}

const uint8_t *lssb_bridge_look(const struct lssb_bridge *bridge, size_t *len)
{
    uint32_t size = bridge->tunnel->client->stream_buffer;

    *len = bridge->len < size - bridge->from ? bridge->len
                                             : size - bridge->from;
    return bridge->buffer + bridge->from;
}

void lssb_bridge_consumed(struct lssb_bridge *bridge, size_t len)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    uint32_t size = tunnel->client->stream_buffer;

    bridge->from = (uint32_t)((bridge->from + len) % size);
    bridge->len -= (uint32_t)len;
    if (bridge->len == 0)
        bridge->from = 0;           /* the same memory again and again */
    if (tunnel->connected && bridge->stream.id != 0)
        lssb_yamux_consumed(tunnel_session(tunnel), &bridge->stream, len);
}

/* What came of a bridge, in words. */
static void tunnel_say(const struct lssb_bridge *bridge,
                       struct lssb_text *text)
{
    lssb_text_add(text, "tunnel to port ");
    lssb_text_add_u64(text, bridge->port);
    lssb_text_add(text, ": ");
    lssb_text_add(text, bridge->why);
}

/* Remembers why a bridge was cut. */
static void tunnel_note(struct lssb_bridge *bridge)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    struct lssb_text text;

    if (bridge->why != NULL) {
        lssb_fail(&tunnel->error, bridge->status, LSSB_LAYER_TUNNEL, "", NULL);
        lssb_text_start(&text, tunnel->error.message,
                        sizeof tunnel->error.message);
        tunnel_say(bridge, &text);
    }
    if (bridge->opener == NULL)
        return;
    tunnel->client->error = tunnel->error;
    tunnel->client->error.status = bridge->status;
}

/* What to tell of a bridge to a local socket that is over. */
static lssb_tunnel_kind tunnel_ending(enum lssb_bridge_phase was,
                                      lssb_status status)
{
    if (was != LSSB_BRIDGE_OPEN)
        return LSSB_TUNNEL_REFUSED;
    return status == LSSB_OK ? LSSB_TUNNEL_ENDED : LSSB_TUNNEL_RESET;
}

void lssb_bridge_end(struct lssb_bridge *bridge, lssb_status status,
                     const char *why)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    enum lssb_bridge_phase was = (enum lssb_bridge_phase)bridge->phase;
    lssb_op *opener = bridge->opener;

    if (was == LSSB_BRIDGE_OVER)
        return;
    bridge->phase = LSSB_BRIDGE_OVER;
    bridge->status = status;
    bridge->why = why;
    bridge->due_at = 0;
    if (was != LSSB_BRIDGE_LISTENING)
        tunnel->streams--;
    if (was == LSSB_BRIDGE_QUEUED)
        tunnel_state(tunnel)->queued--;
    if (was != LSSB_BRIDGE_LISTENING && bridge->kind->announced)
        bridge->event = (uint8_t)tunnel_ending(was, status);
    if (status != LSSB_OK && tunnel->connected && bridge->stream.id != 0)
        lssb_yamux_reset(tunnel_session(tunnel), &bridge->stream);
    if (status != LSSB_OK && status != LSSB_E_CANCELED)
        tunnel_note(bridge);
    else if (opener != NULL)
        lssb_fail(&tunnel->client->error, status, LSSB_LAYER_CALLER, why,
                  NULL);
    bridge->kind->end(bridge, status != LSSB_OK);
    bridge->opener = NULL;
    if (opener != NULL)
        lssb_call_finish(opener, status);
    tunnel->client->at_once = true;
}

void lssb_bridge_drop(struct lssb_bridge *bridge)
{
    lssb_tunnel *tunnel = bridge->tunnel;

    bridge->owner = NULL;
    lssb_bridge_end(bridge,
                    bridge->stream.finished && bridge->stream.peer_finished
                        ? LSSB_OK
                        : LSSB_E_CANCELED,
                    "closed");
    lssb_tunnel_push(tunnel);       /* the reset, so that memory is free */
    tunnel_sweep(tunnel);
}

/* --------------------------------------------------------- what comes in */

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
    lssb_yamux_take(session, at + taken);
    if (bridge->stream.id != 0)
        lssb_yamux_consumed(session, &bridge->stream, at + gone);
    return at + taken;
}

/* The peer sends no more on a stream, or has reset it. */
static void tunnel_stream_ended(struct lssb_bridge *bridge, bool reset)
{
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

/* ---------------------------------------------------------- what goes out */

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
        if (room - len < TUNNEL_LEAST)
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
    for (i = 0; i < TUNNEL_FRAMES; i++) {
        size_t room, len;
        uint8_t *out = lssb_channel_reserve(&slot->channel, TUNNEL_WANT,
                                            &room);

        if (out == NULL || room < TUNNEL_LEAST) {
            state->flags |= TUNNEL_BLOCKED;
            break;
        }
        len = tunnel_fill(tunnel, out, room);
        if (len == 0)
            break;
        lssb_channel_commit(&slot->channel, LSSB_WS_BINARY, true, len);
    }
    if (i == TUNNEL_FRAMES)
        tunnel->client->at_once = true;
    lssb_conn_flush(&slot->conn);
}

void lssb_tunnel_push(lssb_tunnel *tunnel)
{
    if (tunnel->connected)
        tunnel_send(tunnel);
}

/* ----------------------------------------------------------------- events */

/* Tells one event. */
static void tunnel_tell_one(lssb_tunnel *tunnel, lssb_tunnel_kind kind,
                            const struct lssb_bridge *bridge,
                            lssb_status status, const char *message)
{
    const lssb_tunnel_options *options = tunnel_state(tunnel)->options;
    lssb_tunnel_event event;

    if (options->event == NULL)
        return;
    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.status = status;
    event.message = message;
    if (bridge != NULL) {
        event.port = bridge->port;
        event.sent_bytes = bridge->sent;
        event.received_bytes = bridge->received;
    }
    options->event(options->user, &event);
}

/* Tells what became of a bridge. */
static void tunnel_tell_bridge(struct lssb_bridge *bridge)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    lssb_tunnel_kind kind;
    const char *message = "";
    struct lssb_text text;
    char place[120];

    if (bridge->opened) {
        bridge->opened = false;
        tunnel_tell_one(tunnel, LSSB_TUNNEL_OPENED, bridge, LSSB_OK, "");
    }
    if (bridge->event == 0)
        return;
    kind = (lssb_tunnel_kind)bridge->event;
    bridge->event = 0;
    if (kind == LSSB_TUNNEL_RESET || kind == LSSB_TUNNEL_REFUSED) {
        message = tunnel->error.message;
        if (bridge->why != NULL) {
            lssb_text_start(&text, place, sizeof place);
            tunnel_say(bridge, &text);
            message = place;
        }
    }
    tunnel_tell_one(tunnel, kind, bridge, bridge->status, message);
}

/* Tells what has happened since. */
static void tunnel_tell(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    uint32_t tell = state->flags &
                    (TUNNEL_TELL_LOST | TUNNEL_TELL_AWAY | TUNNEL_TELL_BACK);
    struct lssb_bridge *bridge;

    state->flags = (state->flags & ~tell) | TUNNEL_TELLING;
    if ((tell & TUNNEL_TELL_AWAY) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_GOING_AWAY, NULL, LSSB_OK, "");
    if ((tell & TUNNEL_TELL_LOST) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_LOST, NULL, tunnel->error.status,
                        tunnel->error.message);
    if ((tell & TUNNEL_TELL_BACK) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_RECONNECTED, NULL, LSSB_OK, "");
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        tunnel_tell_bridge(bridge);
    state->flags &= ~TUNNEL_TELLING;
    tunnel_sweep(tunnel);
}

/* -------------------------------------------------------- losing, finding */

/* Ends every bridge that is on the connection, or all of them. */
static void tunnel_end_bridges(lssb_tunnel *tunnel, bool all,
                               lssb_status status, const char *why)
{
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        bool on = bridge->stream.id != 0;

        if (!tunnel->connected)
            bridge->stream.id = 0;  /* its session is gone */
        if (all || on)
            lssb_bridge_end(bridge, status, why);
    }
}

/* Ends those that wait for a connection. */
static void tunnel_end_queued(lssb_tunnel *tunnel, lssb_status status,
                              const char *why)
{
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED)
            lssb_bridge_end(bridge, status, why);
}

/* There is no connection: it stays so until somebody asks for one. */
static lssb_status tunnel_rest(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    lssb_conn_drop(&slot->conn, false);
    slot->full = false;
    tunnel_state(tunnel_of(op))->flags &= ~TUNNEL_CONNECTION;
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    op->reserved.state.client->at_once = true;
    return LSSB_PENDING;
}

/* The connection was lost, as the client's error says. */
static lssb_status tunnel_detach(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    tunnel->connected = false;
    tunnel->error = tunnel->client->error;
    tunnel_state(tunnel)->flags |= TUNNEL_TELL_LOST;
    tunnel_end_bridges(tunnel, false, LSSB_E_TUNNEL, NULL);
    return tunnel_rest(op);
}

/* Connecting again is given up, as the client's error says. */
static lssb_status tunnel_give_up(lssb_op *op, lssb_status status)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    tunnel->error = tunnel->client->error;
    tunnel->error.status = status;
    tunnel_end_queued(tunnel, status, NULL);
    return tunnel_rest(op);
}

/* How often it may try to connect again. */
static uint32_t tunnel_reconnects(lssb_tunnel *tunnel)
{
    int32_t reconnects = tunnel_state(tunnel)->options->reconnects;

    if (reconnects == 0)
        return TUNNEL_RECONNECTS;
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

/* Begins to connect again, because streams wait for it. */
static void tunnel_connect_again(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    if (tunnel_reconnects(tunnel) == 0) {
        tunnel_end_queued(tunnel, LSSB_E_TUNNEL,
                          "the tunnel's connection is gone, and reconnects is "
                          "LSSB_NONE");
        return;
    }
    op->reserved.state.attempt = 0;
    op->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    lssb_call_pause(op, 0);
    tunnel->client->at_once = true;
}

/* Leaves a connection that takes no new streams, and has none left. */
static void tunnel_renew(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);

    lssb_channel_close(&lssb_call_slot(op)->channel, LSSB_WS_NORMAL);
    tunnel->connected = false;
    tunnel_end_bridges(tunnel, false, LSSB_E_TUNNEL, NULL);
    tunnel_rest(op);
}

static lssb_status tunnel_lost(lssb_op *op)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    enum lssb_upgrade_close closed =
        (enum lssb_upgrade_close)op->reserved.state.step;

    op->reserved.state.step = LSSB_CLOSE_NONE;
    if (tunnel->connected)
        return tunnel_detach(op);
    if (op == &state->carrier)
        return tunnel_try_again(op, false, 0);
    if (lssb_upgrade_is_final(&tunnel->client->error))
        return tunnel->client->error.status;
    return lssb_upgrade_open_again(op, closed, false, 0, state->open_end_at);
}

static lssb_status tunnel_refused(lssb_op *op, lssb_error *error)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel_of(op));
    bool asked = lssb_call_slot(op)->retry_after_given;
    bool opening = op != &state->carrier;
    uint64_t ms;
    bool again = lssb_upgrade_refused(
        op, error, "the server does not support tunnels, or does not know the "
                   "sandbox: ", !opening || state->open_end_at == 0, &ms);

    if (again && opening)
        return lssb_upgrade_open_again(op, LSSB_CLOSE_NONE, asked, ms,
                                       state->open_end_at);
    if (again)
        return tunnel_try_again(op, asked, ms);
    return opening ? error->status : tunnel_give_up(op, error->status);
}

/* ----------------------------------------------------------------- a step */

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
static void tunnel_step_bridges(lssb_tunnel *tunnel)
{
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->kind->step != NULL &&
            (bridge->phase == LSSB_BRIDGE_OPEN ||
             bridge->phase == LSSB_BRIDGE_LISTENING))
            bridge->kind->step(bridge);
}

/* Gives a bridge a stream; false: not now. */
static bool tunnel_open_stream(lssb_tunnel *tunnel, struct lssb_bridge *bridge)
{
    struct lssb_yamux *session = tunnel_session(tunnel);
    uint32_t size = tunnel->client->stream_buffer;
    enum lssb_yamux_opening opening;

    memset(&bridge->stream, 0, sizeof bridge->stream);
    bridge->stream.user = bridge;
    bridge->stream.window = size < LSSB_YAMUX_WINDOW ? size
                                                     : LSSB_YAMUX_WINDOW;
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
                            "the box has not answered in time");
    }
}

/* Resets a stream that holds back the others for too long. */
static void tunnel_let_go(lssb_tunnel *tunnel)
{
    struct lssb_yamux_stream *stream;

    if (lssb_yamux_held(tunnel_session(tunnel), &stream) >= TUNNEL_HELD_MS)
        lssb_bridge_end(stream->user, LSSB_E_TUNNEL,
                        "its reader was too slow for the buffer "
                        "(lssb_config.stream_buffer)");
}

/* Moves bytes both ways. */
static void tunnel_move(lssb_op *op)
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
    for (i = 0; i < TUNNEL_ROUNDS && going; i++) {
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

    tunnel_look_at_polls(tunnel);
    tunnel_step_bridges(tunnel);
    if (tunnel->connected)
        tunnel_move(op);
    tunnel_timers(tunnel);
    if (tunnel_has_left(op)) {
        lssb_call_finish(op, LSSB_END);
        return;
    }
    if (tunnel->connected && (state->flags & TUNNEL_RENEW) != 0 &&
        state->queued > 0 && tunnel_session(tunnel)->streams == 0)
        tunnel_renew(op);
    if (!tunnel->connected && state->queued > 0)
        tunnel_connect_again(op);
    tunnel_tell(tunnel);
}

/* What the bridges wait for. */
static size_t tunnel_polls(lssb_op *op, lssb_poll *list)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    size_t first = (size_t)(list - tunnel->client->polls), count = 0;
    bool room = tunnel->connected &&
                (tunnel_state(tunnel)->flags & TUNNEL_BLOCKED) == 0;
    bool own = op->reserved.state.phase == LSSB_PHASE_OWN;
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        bridge->poll = 0;
        if (!own || bridge->handle == LSSB_NO_HANDLE)
            continue;
        memset(&list[count], 0, sizeof list[count]);
        list[count].handle = bridge->handle;
        if (!bridge->kind->poll(bridge, room, &list[count]))
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

static void tunnel_waits(const lssb_op *op, uint64_t *wake_at)
{
    lssb_tunnel *tunnel = tunnel_of(op);
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_yamux_stream *stream;
    struct lssb_bridge *bridge;
    uint32_t held;

    if (op->reserved.state.phase != LSSB_PHASE_OWN)
        return;
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->due_at != 0)
            tunnel_lower(wake_at, bridge->due_at);
    if ((state->flags & TUNNEL_LEAVING) != 0)
        tunnel_lower(wake_at, state->close_by);
    if (!tunnel->connected)
        return;
    tunnel_lower(wake_at, lssb_yamux_wake_at(tunnel_session(tunnel)));
    held = lssb_yamux_held(tunnel_session(tunnel), &stream);
    if (stream != NULL)
        tunnel_lower(wake_at, tunnel->client->now +
                                  (held < TUNNEL_HELD_MS
                                       ? TUNNEL_HELD_MS - held
                                       : 0));
}

/* ------------------------------------------------------------- the upgrade */

static void tunnel_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/tunnel");
}

/* The time to open it begins when there is a slot. */
static lssb_status tunnel_taken(lssb_op *op)
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
    lssb_client_add(tunnel->client, carrier);
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
        tunnel_ms(options->ping_ms, TUNNEL_PING_MS);
    tunnel->connected = true;
    tunnel_state(tunnel)->flags &= ~TUNNEL_CONNECTION;
    op->reserved.state.phase = LSSB_PHASE_OWN;
    op->reserved.state.attempt_end_at = 0;
    op->reserved.state.step = LSSB_CLOSE_NONE;
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED && ms != 0)
            bridge->due_at = now + ms;
}

/* The connection is a WebSocket now, if its headers say so. */
static lssb_status tunnel_upgraded(lssb_op *op, const char *text, size_t len)
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

/* ------------------------------------------------------- opening, closing */

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
    .path = tunnel_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .done = tunnel_upgraded,
    .failed = tunnel_refused,
    .taken = tunnel_taken,
    .lost = tunnel_lost,
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
    tunnel_end_bridges(tunnel, true, LSSB_E_CANCELED, "the tunnel was closed");
    lssb_yamux_go_away(tunnel_session(tunnel), LSSB_YAMUX_NORMAL);
}

/* Whether the caller wants it closed. */
static bool tunnel_watch(lssb_op *op)
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

/* Takes every bridge away from its owner, and gives it back. */
static void tunnel_release_all(lssb_tunnel *tunnel)
{
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next) {
        if (bridge->owner != NULL && bridge->kind->forget != NULL)
            bridge->kind->forget(bridge);
        bridge->owner = NULL;
        bridge->event = 0;
        bridge->opened = false;
        bridge->stream.id = 0;
    }
    tunnel_sweep(tunnel);
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
        tunnel_send(tunnel);
        lssb_upgrade_farewell(op, state->close_by);
    }
    tunnel->connected = false;
    tunnel_end_bridges(tunnel, true, LSSB_E_CANCELED, "the tunnel was closed");
    tunnel_tell(tunnel);
    tunnel_release_all(tunnel);
}

const struct lssb_exchange lssb_tunnel_carrier = {
    .name = "tunnel",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .dataplane = true,
    .upgrade = true,
    .path = tunnel_path,
    .headers = lssb_upgrade_headers,
    .header = lssb_upgrade_header,
    .done = tunnel_upgraded,
    .failed = tunnel_refused,
    .watch = tunnel_watch,
    .step = tunnel_step,
    .waits = tunnel_waits,
    .polls = tunnel_polls,
    .lost = tunnel_lost,
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

lssb_status lssb_tunnel_open(lssb_tunnel *tunnel, const lssb_sandbox *box,
                             const lssb_tunnel_options *options, lssb_op *op)
{
    static const lssb_tunnel_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = tunnel == NULL ? "tunnel: NULL" : tunnel_options_wrong(options);
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "open tunnel: ", wrong, NULL);
    memset(tunnel, 0, sizeof *tunnel);
    tunnel->client = box->client;
    if (box->client->bridge_count == 0)
        return tunnel->status = lssb_tunnel_refuse(
                   box->client, call, LSSB_E_NO_MEMORY, "open tunnel",
                   "lssb_config.streams is 0");
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
    lssb_call_finish(op, LSSB_OK);
    return true;
}

static const struct lssb_exchange tunnel_closing = {
    .name = "close tunnel",
    .awaits = "waiting for the tunnel's end",
    .watch = tunnel_is_gone
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

#else

/* What every function says of this build. */
static lssb_status tunnel_unsupported(lssb_client *client, lssb_op *op)
{
    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    lssb_fail(&client->error, LSSB_E_UNSUPPORTED, LSSB_LAYER_CALLER,
              "tunnels need a build with LSSB_TUNNEL 1", NULL);
    if (op != NULL && op->error != NULL)
        *op->error = client->error;
    if (op != NULL)
        op->status = LSSB_E_UNSUPPORTED;
    return LSSB_E_UNSUPPORTED;
}

static lssb_client *tunnel_client(const lssb_tunnel *tunnel)
{
    return tunnel != NULL ? tunnel->client : NULL;
}

lssb_status lssb_tunnel_open(lssb_tunnel *tunnel, const lssb_sandbox *box,
                             const lssb_tunnel_options *options, lssb_op *op)
{
    (void)options;
    if (tunnel != NULL)
        memset(tunnel, 0, sizeof *tunnel);
    if (tunnel != NULL)
        tunnel->status = LSSB_E_UNSUPPORTED;
    return tunnel_unsupported(box != NULL ? box->client : NULL, op);
}

lssb_status lssb_tunnel_close(lssb_tunnel *tunnel, lssb_op *op)
{
    (void)tunnel;
    if (op != NULL)
        op->status = LSSB_OK;
    return LSSB_OK;
}

lssb_status lssb_tunnel_connect(lssb_tunnel *tunnel, uint16_t port,
                                lssb_tunnel_stream *stream, lssb_op *op)
{
    (void)port;
    (void)stream;
    return tunnel_unsupported(tunnel_client(tunnel), op);
}

lssb_status lssb_tunnel_read(lssb_tunnel_stream *stream, void *bytes,
                             size_t size, size_t *len, uint32_t wait_ms)
{
    (void)bytes;
    (void)size;
    (void)len;
    (void)wait_ms;
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

lssb_status lssb_tunnel_write(lssb_tunnel_stream *stream, const void *bytes,
                              size_t len, size_t *taken, uint32_t wait_ms)
{
    (void)bytes;
    (void)len;
    (void)taken;
    (void)wait_ms;
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

lssb_status lssb_tunnel_finish(lssb_tunnel_stream *stream)
{
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

void lssb_tunnel_stream_close(lssb_tunnel_stream *stream)
{
    (void)stream;
}

lssb_status lssb_tunnel_listen(lssb_tunnel *tunnel,
                               const lssb_listen_options *options,
                               lssb_listener *listener)
{
    (void)options;
    (void)listener;
    return tunnel_unsupported(tunnel_client(tunnel), NULL);
}

void lssb_listener_close(lssb_listener *listener)
{
    (void)listener;
}

#endif
