/* stream.c: single streams of a tunnel, read and written by the caller.
 *
 * SPDX-License-Identifier: MIT
 *
 * What comes waits in the stream's buffer until it is read; that gives the box
 * credit for more. What is written goes straight into the connection's record,
 * in turn with the other streams.
 */
#include "internal.h"

#if LSSB_TUNNEL

/* ------------------------------------------------------------- the bridge */

static size_t stream_take(struct lssb_bridge *bridge, const uint8_t *bytes,
                          size_t len, size_t *gone)
{
    *gone = 0;
    return lssb_bridge_store(bridge, bytes, len);
}

static ptrdiff_t stream_pull(struct lssb_bridge *bridge, uint8_t *room,
                             size_t len)
{
    if (len > bridge->write_len)
        len = bridge->write_len;
    if (len == 0)
        return LSSB_IO_AGAIN;
    memcpy(room, bridge->write, len);
    bridge->write += len;
    bridge->write_len -= len;
    return (ptrdiff_t)len;
}

static void stream_end(struct lssb_bridge *bridge, bool reset)
{
    lssb_tunnel_stream *stream = bridge->owner;

    if (stream != NULL && reset)
        stream->status = bridge->status;
}

static void stream_forget(struct lssb_bridge *bridge)
{
    lssb_tunnel_stream *stream = bridge->owner;

    stream->bridge = NULL;
    if (stream->status >= 0)
        stream->status = LSSB_E_CANCELED;
}

static const struct lssb_bridge_kind stream_kind = {
    .take = stream_take,
    .pull = stream_pull,
    .end = stream_end,
    .forget = stream_forget
};

/* ------------------------------------------------------------- connecting */

/* It is open, or will not be, or the caller does not want it any more. */
static void stream_connected(lssb_op *op, lssb_status outcome)
{
    lssb_tunnel_stream *stream = op->reserved.state.extra;
    struct lssb_bridge *bridge = stream->bridge;

    stream->status = outcome;
    if (bridge == NULL)
        return;
    bridge->opener = NULL;
    if (outcome == LSSB_OK)
        return;
    stream->bridge = NULL;
    if (bridge->phase != LSSB_BRIDGE_OVER)
        lssb_bridge_drop(bridge);
    bridge->owner = NULL;
}

static const struct lssb_exchange stream_connecting = {
    .name = "connect through tunnel",
    .awaits = "waiting for the port in the box",
    .ended = stream_connected
};

/* A stream that is not open, so that it can be closed all the same. */
static void stream_clear(lssb_tunnel_stream *stream, lssb_tunnel *tunnel,
                         lssb_status status)
{
    memset(stream, 0, sizeof *stream);
    stream->tunnel = tunnel;
    stream->status = status;
}

/* A bridge for a stream, or NULL: *status says why. */
static struct lssb_bridge *stream_bridge(lssb_tunnel *tunnel, uint16_t port,
                                         const lssb_tunnel_stream *stream,
                                         lssb_op *call, lssb_status *status)
{
    struct lssb_bridge *bridge = NULL;
    const char *why = stream == NULL
                          ? "stream: NULL"
                          : "port: 1 to 65,535 was expected";

    *status = LSSB_E_INVALID_ARGUMENT;
    if (stream != NULL && port != 0) {
        *status = LSSB_E_TUNNEL;
        why = "the tunnel is not open";
    }
    if (*status == LSSB_E_TUNNEL && tunnel->status == LSSB_OK) {
        *status = LSSB_E_NO_MEMORY;
        why = "every one of lssb_config.streams is taken";
        bridge = lssb_bridge_take(tunnel, &stream_kind, port);
    }
    if (bridge == NULL)
        lssb_tunnel_refuse(tunnel->client, call, *status,
                           "connect through tunnel", why);
    return bridge;
}

lssb_status lssb_tunnel_connect(lssb_tunnel *tunnel, uint16_t port,
                                lssb_tunnel_stream *stream, lssb_op *op)
{
    bool mine = stream != NULL && !lssb_tunnel_is_under_way(op, stream);
    lssb_status status;
    lssb_op own, *call =
        lssb_call_begin(tunnel != NULL ? tunnel->client : NULL, op, &own,
                        &status);
    struct lssb_bridge *bridge;

    if (mine)
        stream_clear(stream, tunnel, status);
    if (call == NULL)
        return status;
    bridge = stream_bridge(tunnel, port, stream, call, &status);
    if (mine)
        stream->status = status;
    if (bridge == NULL)
        return status;
    stream->status = LSSB_PENDING;
    stream->bridge = bridge;
    bridge->owner = stream;
    bridge->opener = call;
    call->reserved.state.extra = stream;
    lssb_bridge_queue(bridge);
    return lssb_call_attend(call, op == NULL, &stream_connecting);
}

/* ------------------------------------------------------ reading and writing */

/* Says what ended a stream. */
static lssb_status stream_failed(lssb_tunnel_stream *stream)
{
    const struct lssb_bridge *bridge = stream->bridge;
    char place[LSSB_BRIDGE_WORDS];

    return lssb_fail(&stream->tunnel->client->error, stream->status,
                     LSSB_LAYER_TUNNEL,
                     bridge != NULL
                         ? lssb_bridge_words(bridge, place, sizeof place)
                         : "tunnel: the stream is not open",
                     NULL);
}

/* Whether a call about a stream may be made; LSSB_OK: it is open. */
static lssb_status stream_may(lssb_tunnel_stream *stream, uint32_t wait_ms)
{
    lssb_client *client;

    if (stream == NULL || stream->tunnel == NULL ||
        stream->tunnel->client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    client = stream->tunnel->client;
    if (wait_ms > 0 && client->in_callback)
        return lssb_fail(&client->error, LSSB_E_IN_CALLBACK,
                         LSSB_LAYER_CALLER, "a waiting call was made inside a "
                         "callback; give it no time to wait", NULL);
    return LSSB_OK;
}

/* Whether the stream is open now; LSSB_AGAIN: not yet. */
static lssb_status stream_state(lssb_tunnel_stream *stream)
{
    if (stream->status < 0)
        return stream_failed(stream);
    if (stream->bridge == NULL)
        return lssb_fail(&stream->tunnel->client->error,
                         LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "tunnel: the stream was closed", NULL);
    return stream->status == LSSB_PENDING ? LSSB_AGAIN : LSSB_OK;
}

/* Hands out what has come; LSSB_AGAIN if nothing has. What came before the
 * stream was cut, and an end that came, are as good as ever. */
static lssb_status stream_hand_out(lssb_tunnel_stream *stream, uint8_t *bytes,
                                   size_t size, size_t *len)
{
    struct lssb_bridge *bridge = stream->bridge;
    lssb_status status;
    const uint8_t *look;
    size_t n;

    if (bridge == NULL || bridge->len == 0) {
        if (bridge != NULL && bridge->stream.peer_finished)
            return LSSB_END;
        status = stream_state(stream);
        return status != LSSB_OK ? status : LSSB_AGAIN;
    }
    while (*len < size && bridge->len > 0) {
        look = lssb_bridge_look(bridge, &n);
        if (n > size - *len)
            n = size - *len;
        memcpy(bytes + *len, look, n);
        *len += n;
        lssb_bridge_consumed(bridge, n);
    }
    stream->tunnel->client->at_once = true;     /* credit, what was held */
    return LSSB_OK;
}

lssb_status lssb_tunnel_read(lssb_tunnel_stream *stream, void *bytes,
                             size_t size, size_t *len, uint32_t wait_ms)
{
    lssb_status status = stream_may(stream, wait_ms);
    struct lssb_upgrade_wait wait;
    lssb_client *client;

    if (len != NULL)
        *len = 0;
    if (status != LSSB_OK)
        return status;
    client = stream->tunnel->client;
    if (len == NULL || bytes == NULL || size == 0)
        return lssb_fail(&client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "read from tunnel: a place for at "
                         "least a byte was expected", NULL);
    lssb_upgrade_wait_start(&wait, client, wait_ms);
    for (;;) {
        status = stream_hand_out(stream, bytes, size, len);
        if (status != LSSB_AGAIN)
            return status;
        status = lssb_upgrade_wait(&wait);
        if (status != LSSB_OK)
            return status;
    }
}

/* Sends what there is room for; how many bytes that were. */
static size_t stream_send(struct lssb_bridge *bridge, const uint8_t *bytes,
                          size_t len)
{
    size_t before;

    bridge->write = bytes;
    bridge->write_len = len;
    do {
        before = bridge->write_len;
        lssb_yamux_want(lssb_bridge_session(bridge), &bridge->stream, true);
        lssb_tunnel_push(bridge->tunnel);
    } while (bridge->write_len > 0 && bridge->write_len < before &&
             bridge->phase == LSSB_BRIDGE_OPEN);
    len -= bridge->write_len;
    bridge->write = NULL;
    bridge->write_len = 0;
    return len;
}

/* The same, if it may send. */
static lssb_status stream_send_some(lssb_tunnel_stream *stream,
                                    const uint8_t *bytes, size_t len,
                                    size_t *done)
{
    struct lssb_bridge *bridge = stream->bridge;
    lssb_status status = stream_state(stream);

    if (status < 0)
        return status;
    if (bridge->ends)
        return lssb_fail(&stream->tunnel->client->error, LSSB_E_OPERATION,
                         LSSB_LAYER_CALLER, "write to tunnel: the stream was "
                         "finished", NULL);
    if (status == LSSB_OK && *done < len)
        *done += stream_send(bridge, bytes + *done, len - *done);
    return status == LSSB_OK && *done == len ? LSSB_OK : LSSB_AGAIN;
}

lssb_status lssb_tunnel_write(lssb_tunnel_stream *stream, const void *bytes,
                              size_t len, size_t *taken, uint32_t wait_ms)
{
    lssb_status status = stream_may(stream, wait_ms);
    struct lssb_upgrade_wait wait;
    lssb_client *client;
    size_t done = 0;

    if (taken != NULL)
        *taken = 0;
    if (status != LSSB_OK)
        return status;
    client = stream->tunnel->client;
    if (bytes == NULL && len > 0)
        return lssb_fail(&client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "write to tunnel: bytes: NULL",
                         NULL);
    lssb_upgrade_wait_start(&wait, client, wait_ms);
    for (;;) {
        status = stream_send_some(stream, bytes, len, &done);
        if (taken != NULL)
            *taken = done;
        if (status != LSSB_AGAIN)
            return status;
        status = lssb_upgrade_wait(&wait);
        if (status == LSSB_AGAIN && done > 0)
            return LSSB_OK;
        if (status != LSSB_OK)
            return status;
    }
}

lssb_status lssb_tunnel_finish(lssb_tunnel_stream *stream)
{
    lssb_status status = stream_may(stream, 0);
    struct lssb_bridge *bridge;

    if (status == LSSB_OK)
        status = stream_state(stream);
    if (status < 0)
        return status;
    bridge = stream->bridge;
    bridge->ends = true;
    if (status == LSSB_AGAIN || bridge->stream.finished)
        return LSSB_OK;
    lssb_yamux_finish(lssb_bridge_session(bridge), &bridge->stream);
    lssb_tunnel_push(stream->tunnel);
    return LSSB_OK;
}

void lssb_tunnel_stream_close(lssb_tunnel_stream *stream)
{
    struct lssb_bridge *bridge;

    if (stream == NULL || stream->bridge == NULL)
        return;
    bridge = stream->bridge;
    stream->bridge = NULL;
    lssb_bridge_drop(bridge);
}

#endif
