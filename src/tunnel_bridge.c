/* tunnel_bridge.c: the near ends of a tunnel's streams, whatever they lead to.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where their memory comes from, the ring of bytes that each has, how they end,
 * and what is told of that. Events are told at the end of a step, when nothing
 * is half done.
 */
#include "tunnel.h"

#if LSSB_TUNNEL

/* -------------------------------------------------------------- memory */

/* Whether nobody needs a bridge's memory any more. */
static bool tunnel_is_through(const struct lssb_bridge *bridge)
{
    return bridge->phase == LSSB_BRIDGE_OVER && bridge->event == 0 &&
           !bridge->opened && bridge->owner == NULL && bridge->opener == NULL &&
           bridge->stream.id == 0;
}

/* Gives a bridge back. Who waits for one, or for a stream's place, is to look
 * again. */
static void tunnel_free(lssb_client *client, struct lssb_bridge *bridge)
{
    client->at_once = true;
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

/* ---------------------------------------------------------------- bytes */

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
    if (tunnel->connected)
        lssb_yamux_consumed(tunnel_session(tunnel), &bridge->stream, len);
}

/* --------------------------------------------------------------- ending */

void lssb_tunnel_note_loss(lssb_tunnel *tunnel, lssb_status status)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    struct lssb_text text;

    lssb_error_clean(tunnel->client, &state->carrier);
    tunnel->error = tunnel->client->error;
    tunnel->error.status = status;
    state->losses++;
    state->lost_status = status;
    lssb_text_start(&text, state->lost, sizeof state->lost);
    lssb_text_add(&text, tunnel->error.message);
}

const char *lssb_bridge_words(const struct lssb_bridge *bridge, char *place,
                              size_t size)
{
    const struct lssb_tunnel_state *state = tunnel_state(bridge->tunnel);
    struct lssb_text text;

    if (bridge->why == NULL && bridge->loss == state->losses)
        return state->lost;
    lssb_text_start(&text, place, size);
    lssb_text_add(&text, "tunnel to port ");
    lssb_text_add_u64(&text, bridge->port);
    lssb_text_add(&text, ": ");
    lssb_text_add(&text, bridge->why != NULL ? bridge->why
                                             : "the connection was lost");
    return place;
}

/* Remembers why a bridge was cut; what a lost connection cuts finds that
 * there already. */
static void tunnel_note(struct lssb_bridge *bridge)
{
    lssb_tunnel *tunnel = bridge->tunnel;
    char place[LSSB_BRIDGE_WORDS];

    if (bridge->why != NULL)
        lssb_fail(&tunnel->error, bridge->status, LSSB_LAYER_TUNNEL,
                  lssb_bridge_words(bridge, place, sizeof place), NULL);
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
    bridge->loss = tunnel_state(tunnel)->losses;
    bridge->due_at = 0;
    if (was != LSSB_BRIDGE_LISTENING)
        tunnel->streams--;
    if (was == LSSB_BRIDGE_QUEUED)
        tunnel_state(tunnel)->queued--;
    if (bridge->kind->announced)
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
                    "connect through tunnel: the stream was closed before it "
                    "was open");
    lssb_tunnel_push(tunnel);       /* the reset, so that memory is free */
    tunnel_sweep(tunnel);
}

void lssb_tunnel_end_bridges(lssb_tunnel *tunnel, bool all,
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

void lssb_tunnel_end_queued(lssb_tunnel *tunnel, lssb_status status,
                              const char *why)
{
    struct lssb_bridge *bridge;

    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        if (bridge->phase == LSSB_BRIDGE_QUEUED)
            lssb_bridge_end(bridge, status, why);
}

void lssb_tunnel_release_all(lssb_tunnel *tunnel)
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

/* --------------------------------------------------------------- events */

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
    char place[LSSB_BRIDGE_WORDS];

    if (bridge->opened) {
        bridge->opened = false;
        tunnel_tell_one(tunnel, LSSB_TUNNEL_OPENED, bridge, LSSB_OK, "");
    }
    if (bridge->event == 0)
        return;
    kind = (lssb_tunnel_kind)bridge->event;
    bridge->event = 0;
    if (kind == LSSB_TUNNEL_RESET || kind == LSSB_TUNNEL_REFUSED)
        message = lssb_bridge_words(bridge, place, sizeof place);
    tunnel_tell_one(tunnel, kind, bridge, bridge->status, message);
}

void lssb_tunnel_tell(lssb_tunnel *tunnel)
{
    struct lssb_tunnel_state *state = tunnel_state(tunnel);
    uint32_t tell = state->flags &
                    (TUNNEL_TELL_LOST | TUNNEL_TELL_AWAY | TUNNEL_TELL_BACK);
    struct lssb_bridge *bridge;

    state->flags = (state->flags & ~tell) | TUNNEL_TELLING;
    if ((tell & TUNNEL_TELL_AWAY) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_GOING_AWAY, NULL, LSSB_OK, "");
    if ((tell & TUNNEL_TELL_LOST) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_LOST, NULL,
                        (lssb_status)state->lost_status, state->lost);
    if ((tell & TUNNEL_TELL_BACK) != 0)
        tunnel_tell_one(tunnel, LSSB_TUNNEL_RECONNECTED, NULL, LSSB_OK, "");
    for (bridge = tunnel_bridges(tunnel); bridge != NULL;
         bridge = bridge->next)
        tunnel_tell_bridge(bridge);
    state->flags &= ~TUNNEL_TELLING;
    tunnel_sweep(tunnel);
}

#endif
