/* channel.c: a WebSocket on an open connection, in the client's role.
 *
 * SPDX-License-Identifier: MIT
 *
 * Between the engine, which knows what the bytes mean, and those who exchange
 * messages. A message that goes out is cut into fragments of what the send
 * buffer has room for, so that a ping or its answer never waits for more than
 * one of them; a message that comes in passes by in pieces.
 */
#include "internal.h"

#define CHANNEL_HEAD 8              /* a masked frame's, up to 65,535 bytes */
#define CHANNEL_SHORT 125           /* payload of the short form */

void lssb_channel_start(struct lssb_channel *channel, struct lssb_conn *conn,
                        uint64_t ping_ms, uint64_t now)
{
    memset(channel, 0, sizeof *channel);
    lssb_ws_start(&channel->ws, false);
    channel->conn = conn;
    channel->ping_ms = ping_ms;
    channel->ping_at = now + ping_ms;
}

/* -------------------------------------------------------------- going out */

uint8_t *lssb_channel_reserve(struct lssb_channel *channel, size_t want,
                              size_t *room)
{
    size_t len;
    uint8_t *out = lssb_conn_reserve(channel->conn, &len);

    if (len < want + CHANNEL_HEAD) {
        lssb_conn_flush(channel->conn);
        out = lssb_conn_reserve(channel->conn, &len);
    }
    if (out == NULL || len <= CHANNEL_HEAD || channel->close_sent ||
        channel->no_random)
        return NULL;
    *room = len - CHANNEL_HEAD;
    if (*room > LSSB_WS_FRAME)
        *room = LSSB_WS_FRAME;
    return out + CHANNEL_HEAD;
}

void lssb_channel_commit(struct lssb_channel *channel,
                         enum lssb_ws_opcode opcode, bool fin, size_t len)
{
    struct lssb_conn *conn = channel->conn;
    uint8_t head[LSSB_WS_HEADER], key[4];
    size_t room, head_len;
    uint8_t *out = lssb_conn_reserve(conn, &room);

    if (conn->port->random(conn->port_context, key, sizeof key) !=
        LSSB_IO_OK) {
        channel->no_random = true;  /* 10.3: a mask that can be foretold is
                                       none */
        return;
    }
    head_len = lssb_ws_head(head, opcode, fin, len, key);
    if (head_len < CHANNEL_HEAD)
        memmove(out + head_len, out + CHANNEL_HEAD, len);
    memcpy(out, head, head_len);
    lssb_ws_mask(out + head_len, len, key, 0);
    lssb_conn_commit(conn, head_len + len);
}

/* Sends a control frame, whole or not at all. */
static bool channel_control(struct lssb_channel *channel,
                            enum lssb_ws_opcode opcode, const uint8_t *payload,
                            size_t len)
{
    size_t room;
    uint8_t *out = lssb_channel_reserve(channel, len, &room);

    if (out == NULL || room < len)
        return false;
    if (len > 0)
        memcpy(out, payload, len);
    lssb_channel_commit(channel, opcode, true, len);
    lssb_conn_flush(channel->conn);
    return true;
}

bool lssb_channel_send(struct lssb_channel *channel,
                       void (*put)(const void *ctx, struct lssb_writer *to),
                       const void *ctx)
{
    struct lssb_writer writer;

    if (!channel->sending) {
        lssb_writer_start(&writer, NULL, 0, 0);
        put(ctx, &writer);
        channel->total = writer.total;
        channel->put = 0;
        memset(&channel->mark, 0, sizeof channel->mark);
        channel->sending = true;
    }
    while (channel->put < channel->total) {
        uint64_t left = channel->total - channel->put;
        size_t room;
        uint8_t *out = lssb_channel_reserve(
            channel, left < CHANNEL_SHORT ? (size_t)left : CHANNEL_SHORT,
            &room);

        if (out == NULL)
            break;
        lssb_writer_start(&writer, out, room, channel->put);
        writer.mark = &channel->mark;
        put(ctx, &writer);
        if (writer.len == 0)
            break;
        lssb_channel_commit(channel,
                            channel->put == 0 ? LSSB_WS_TEXT
                                              : LSSB_WS_CONTINUATION,
                            writer.len == left, writer.len);
        channel->put += writer.len;
    }
    lssb_conn_flush(channel->conn);
    channel->sending = channel->put < channel->total;
    return !channel->sending;
}

/* ------------------------------------------------------------- coming in */

/* A control frame: what it asks for, but for a close. */
static void channel_heard(struct lssb_channel *channel, uint64_t now)
{
    if (channel->ws.opcode == LSSB_WS_PING) {
        memcpy(channel->pong, channel->ws.data, channel->ws.data_len);
        channel->pong_len = (uint8_t)channel->ws.data_len;
        channel->pong_due = true;   /* of several the last one counts (5.5.3) */
    } else if (channel->ws.opcode == LSSB_WS_PONG && channel->pong_by != 0) {
        channel->pong_by = 0;
        channel->ping_at = now + channel->ping_ms;
    }
}

/* How a connection that brings nothing more has ended. */
static enum lssb_channel_event channel_ended(struct lssb_channel *channel,
                                             uint64_t now)
{
    struct lssb_conn *conn = channel->conn;
    lssb_status status;

    if (conn->phase == LSSB_CONN_OPEN && !conn->ended &&
        conn->broken == LSSB_OK)
        return LSSB_CHANNEL_NONE;
    status = lssb_conn_step(conn, now);
    return status == LSSB_OK || status == LSSB_PENDING ? LSSB_CHANNEL_NONE
                                                       : LSSB_CHANNEL_LOST;
}

/* The rest of a piece that was put off: the engine has seen it. */
static enum lssb_channel_event channel_rest(struct lssb_channel *channel,
                                            size_t limit, uint64_t now)
{
    size_t len;
    const uint8_t *look = lssb_conn_look(channel->conn, &len);

    if (look == NULL)
        return channel_ended(channel, now);
    if (len > limit)
        len = limit;
    if (len > channel->kept)
        len = channel->kept;
    channel->used = len;
    channel->kept -= len;
    channel->ws.data = look;
    channel->ws.data_len = len;
    channel->ws.begins = false;
    channel->ws.ends = channel->kept_ends && channel->kept == 0;
    return LSSB_CHANNEL_PIECE;
}

enum lssb_channel_event lssb_channel_next(struct lssb_channel *channel,
                                          size_t limit, uint64_t now)
{
    if (channel->kept > 0)
        return channel_rest(channel, limit, now);
    for (;;) {
        size_t len;
        const uint8_t *look = lssb_conn_look(channel->conn, &len);
        enum lssb_ws_event event;

        if (channel->closed)        /* nothing counts behind that (1.4) */
            return LSSB_CHANNEL_CLOSED;
        if (look == NULL && !channel->told)
            return channel_ended(channel, now);
        if (channel->pong_by != 0)  /* it lives */
            channel->pong_by = now + 2 * channel->ping_ms;
        if (len > limit)
            len = limit;
        /* A client's engine only reads what comes in. */
        event = lssb_ws_next(&channel->ws, (uint8_t *)(uintptr_t)look, len,
                             &channel->used);
        channel->told = event != LSSB_WS_MORE;
        if (event == LSSB_WS_PIECE)
            return LSSB_CHANNEL_PIECE;
        if (event == LSSB_WS_WRONG)
            return LSSB_CHANNEL_WRONG;
        channel->closed = event == LSSB_WS_CONTROL_FRAME &&
                          channel->ws.opcode == LSSB_WS_CLOSE;
        if (event == LSSB_WS_CONTROL_FRAME)
            channel_heard(channel, now);
        lssb_channel_done(channel);
        if (channel->pong_due)
            lssb_channel_tick(channel, true, now);
    }
}

void lssb_channel_done(struct lssb_channel *channel)
{
    if (channel->used > 0)
        lssb_conn_consume(channel->conn, channel->used);
    channel->used = 0;
}

void lssb_channel_keep(struct lssb_channel *channel, size_t len)
{
    if (channel->kept == 0)
        channel->kept_ends = channel->ws.ends;
    channel->kept += len;
    channel->used -= len;
}

/* ------------------------------------------------------------ keeping alive */

bool lssb_channel_tick(struct lssb_channel *channel, bool reading,
                       uint64_t now)
{
    if (channel->pong_due &&
        channel_control(channel, LSSB_WS_PONG, channel->pong,
                        channel->pong_len))
        channel->pong_due = false;
    if (channel->ping_ms == 0)
        return true;
    if (channel->pong_by != 0 && !reading)
        channel->pong_by = now + 2 * channel->ping_ms;
    if (channel->pong_by != 0)
        return now < channel->pong_by;
    if (now >= channel->ping_at) {
        channel_control(channel, LSSB_WS_PING, NULL, 0);
        channel->pong_by = now + 2 * channel->ping_ms;
    }
    return true;
}

void lssb_channel_waits(const struct lssb_channel *channel, bool reading,
                        uint64_t *wake_at)
{
    uint64_t at = channel->pong_by != 0 ? channel->pong_by : channel->ping_at;

    if (channel->ping_ms == 0 || (channel->pong_by != 0 && !reading))
        return;
    if (at < *wake_at)
        *wake_at = at;
}

/* -------------------------------------------------------------- the end */

void lssb_channel_close(struct lssb_channel *channel, uint16_t code)
{
    lssb_channel_bye(channel, code, NULL);
}

void lssb_channel_bye(struct lssb_channel *channel, uint16_t code,
                      const char *reason)
{
    uint8_t payload[LSSB_WS_CONTROL];
    size_t len = lssb_ws_close_payload(payload, code, reason);

    if (channel->close_sent || channel->sending)
        return;
    if (channel_control(channel, LSSB_WS_CLOSE, payload, len))
        channel->close_sent = true;
}

bool lssb_channel_leave(struct lssb_channel *channel, uint64_t now)
{
    enum lssb_channel_event event;

    lssb_conn_step(channel->conn, now);
    for (;;) {
        event = lssb_channel_next(channel, SIZE_MAX, now);
        if (event == LSSB_CHANNEL_NONE)
            return false;
        if (event != LSSB_CHANNEL_PIECE)
            return true;
        lssb_channel_done(channel);
    }
}
