/* socket.c: a WebSocket connection, in the server's role (RFC 6455).
 *
 * SPDX-License-Identifier: MIT
 *
 * What a request has become. What its owner sends goes into the connection's
 * buffer, as much as there is room for; pings are answered, and sent now and
 * then, whatever the owner does. When a fault says so, it misbehaves.
 */
#include <stdlib.h>

#include "sandboxd.h"

#define SOCKET_CLOSING_MS 5000      /* for the peer's answer to a close */

/* Sends one frame. */
static void socket_frame(struct websocket *socket, enum lssb_ws_opcode opcode,
                         bool fin, const void *bytes, size_t len)
{
    uint8_t head[LSSB_WS_HEADER];

    if (socket->mute)
        return;
    reply_body(socket->exchange, head,
               lssb_ws_head(head, opcode, fin, len, NULL));
    reply_body(socket->exchange, bytes, len);
}

/* Tells the owner, once, that the connection is of no more use. */
static void socket_tell(struct websocket *socket, uint16_t code)
{
    void (*over)(struct websocket *) = socket->on_over;

    socket->code = code;
    socket->on_over = NULL;
    socket->on_room = NULL;
    socket->on_piece = NULL;
    if (over != NULL)
        over(socket);
}

/* Sends a close frame (code 0: an empty one) and waits for the peer's. */
static void socket_send_close(struct websocket *socket, uint16_t code,
                              const char *reason)
{
    uint8_t payload[LSSB_WS_CONTROL];
    size_t len = code == 0 ? 0 : lssb_ws_close_payload(payload, code, reason);

    if (socket->closing)
        return;
    socket_frame(socket, LSSB_WS_CLOSE, true, payload, len);
    socket->closing = true;
    loop_at(&socket->d->loop, &socket->timer, now_ms() + SOCKET_CLOSING_MS);
}

/* Ends the connection behind what was sent. */
static void socket_finish(struct websocket *socket)
{
    loop_cancel(&socket->d->loop, &socket->timer);
    reply_finish(socket->exchange);
}

/* ------------------------------------------------------------------ faults */

/* Does what a fault says, outside of whatever the owner is doing. */
static void socket_misbehave(struct timer *timer)
{
    struct websocket *socket = timer->owner;
    const struct fault *fault = socket->exchange->fault;

    if (strcmp(fault->socket, "close") == 0) {
        socket_send_close(socket, (uint16_t)fault->code, fault->message);
        socket_tell(socket, (uint16_t)fault->code);
    } else if (strcmp(fault->socket, "cut") == 0) {
        reply_cut(socket->exchange);
        socket_tell(socket, 1006);
    }
}

/* Makes bytes of hexadecimal digits, in their place; how many. */
static size_t socket_unhex(char *text)
{
    char digits[3] = {0, 0, 0};
    size_t i, len = strlen(text) / 2;

    for (i = 0; i < len; i++) {
        memcpy(digits, text + 2 * i, 2);
        text[i] = (char)strtol(digits, NULL, 16);
    }
    return len;
}

/* Sends a fault's text as a message of its own, or its bytes as they are. */
static void socket_send_raw(struct websocket *socket,
                            const struct fault *fault)
{
    const char *body = fault->body != NULL ? fault->body : "";
    char *bytes = take_copy(body);
    size_t len = fault->hex ? socket_unhex(bytes) : strlen(body);

    if (strcmp(fault->socket, "text") == 0)
        socket_frame(socket, LSSB_WS_TEXT, true, bytes, len);
    else if (strcmp(fault->socket, "binary") == 0)
        socket_frame(socket, LSSB_WS_BINARY, true, bytes, len);
    else
        reply_body(socket->exchange, bytes, len);
    free(bytes);
}

/* Looks whether it is time for the connection's fault: after so many messages;
 * 0: before the first one, -1: before anything is read. */
static void socket_meet_fault(struct websocket *socket, int64_t sent)
{
    const struct fault *fault = socket->exchange->fault;

    if (fault == NULL || fault->socket == NULL || socket->met ||
        fault->after != sent)
        return;
    socket->met = true;
    if (strcmp(fault->socket, "silent") == 0) {
        socket->mute = true;
    } else if (strcmp(fault->socket, "close") == 0 ||
               strcmp(fault->socket, "cut") == 0) {
        socket->doomed = true;
        loop_at(&socket->d->loop, &socket->doom, now_ms());
    } else if (strcmp(fault->socket, "text") == 0 ||
               strcmp(fault->socket, "binary") == 0 ||
               strcmp(fault->socket, "bytes") == 0) {
        socket_send_raw(socket, fault);
    }
}

/* A fault's limit for frames: a message comes in pieces, with pings between
 * them. */
static size_t socket_frame_limit(const struct websocket *socket)
{
    const struct fault *fault = socket->exchange->fault;

    return fault != NULL && fault->frames > 0 ? (size_t)fault->frames
                                              : SIZE_MAX;
}

/* ----------------------------------------------------------------- sending */

/* Bytes that should be sent now, at most; 0: wait for on_room. A message that
 * is longer may still be sent when it is not 0. */
size_t socket_room(const struct websocket *socket)
{
    if (socket->closing || socket->doomed || socket->on_over == NULL)
        return 0;
    return reply_room(socket->exchange);
}

/* Sends a message. */
void socket_send(struct websocket *socket, enum lssb_ws_opcode opcode,
                 const void *bytes, size_t len)
{
    size_t limit = socket_frame_limit(socket);
    const char *at = bytes;

    if (socket->sent == 0)
        socket_meet_fault(socket, 0);
    if (socket->closing || socket->doomed)
        return;
    while (len > limit) {
        socket_frame(socket, opcode, false, at, limit);
        socket_frame(socket, LSSB_WS_PING, true, "", 0);
        opcode = LSSB_WS_CONTINUATION;
        at += limit;
        len -= limit;
    }
    socket_frame(socket, opcode, true, at, len);
    socket->sent++;
    socket_meet_fault(socket, socket->sent);
}

/* Closes; the owner hears nothing more. */
void socket_close(struct websocket *socket, uint16_t code, const char *reason)
{
    socket->on_over = NULL;
    socket->on_room = NULL;
    socket->on_piece = NULL;
    if (!socket->doomed)
        socket_send_close(socket, code, reason);
}

/* Closes all that there are but those that last: the owners are told. */
void sockets_close(struct sandboxd *d, uint16_t code, const char *reason)
{
    struct websocket *socket = d->sockets, *next;

    for (; socket != NULL; socket = next) {
        next = socket->next;
        if (socket->lasts)
            continue;
        socket_send_close(socket, code, reason);
        socket_tell(socket, code);
    }
}

/* Whether one that was closed still waits for its peer's answer. */
bool sockets_closing(const struct sandboxd *d)
{
    const struct websocket *socket = d->sockets;

    while (socket != NULL && !socket->closing)
        socket = socket->next;
    return socket != NULL;
}

/* Cuts the connection of every WebSocket, without a word. */
void sockets_cut(struct sandboxd *d)
{
    struct websocket *socket = d->sockets, *next;

    for (; socket != NULL; socket = next) {
        next = socket->next;
        reply_cut(socket->exchange);
    }
}

/* Holds what comes, or lets it come. */
void socket_pause(struct websocket *socket, bool paused)
{
    if (paused)
        socket->exchange->paused = true;
    else if (socket->exchange->paused)
        exchange_resume(socket->exchange);
}

/* Pings, or has waited long enough for the peer's close. */
static void socket_tick(struct timer *timer)
{
    struct websocket *socket = timer->owner;

    if (socket->closing) {
        socket_finish(socket);
        return;
    }
    if (reply_room(socket->exchange) > 0)
        socket_frame(socket, LSSB_WS_PING, true, "", 0);
    loop_at(&socket->d->loop, timer,
            now_ms() + socket->d->settings.ping_ms);
}

/* There is room for more: the pong that waits, then the owner's. */
static void socket_can_send(struct exchange *exchange)
{
    struct websocket *socket = exchange->state;

    if (socket->pong_due) {
        socket->pong_due = false;
        socket_frame(socket, LSSB_WS_PONG, true, socket->pong,
                     socket->pong_len);
    }
    if (!socket->doomed && socket->on_room != NULL)
        socket->on_room(socket);
}

/* --------------------------------------------------------------- receiving */

/* A ping: it is answered now, or, when the peer does not read, once it does;
 * of several the last one then (5.5.3). */
static void socket_ping(struct websocket *socket)
{
    if (reply_room(socket->exchange) > 0) {
        socket_frame(socket, LSSB_WS_PONG, true, socket->ws.data,
                     socket->ws.data_len);
        return;
    }
    socket->pong_due = true;
    socket->pong_len = socket->ws.data_len;
    memcpy(socket->pong, socket->ws.data, socket->ws.data_len);
}

/* A control frame has come. */
static void socket_control(struct websocket *socket)
{
    uint16_t code = socket->ws.code;

    if (socket->mute)
        return;
    if (socket->ws.opcode == LSSB_WS_PING)
        socket_ping(socket);
    if (socket->ws.opcode != LSSB_WS_CLOSE)
        return;
    socket_send_close(socket, code == LSSB_WS_NO_CODE ? 0 : code, NULL);
    socket_tell(socket, code);
    socket_finish(socket);
}

/* A piece of a message has come. */
static void socket_piece(struct websocket *socket)
{
    if (socket->on_piece != NULL && !socket->closing && !socket->mute)
        socket->on_piece(socket, socket->ws.data, socket->ws.data_len,
                         socket->ws.ends);
}

/* Bytes have come. They lie in the connection's own buffer, where they may be
 * unmasked. */
static void socket_bytes(struct exchange *exchange, const uint8_t *bytes,
                         size_t len)
{
    struct websocket *socket = exchange->state;
    uint8_t *at = (uint8_t *)bytes;
    enum lssb_ws_event event;
    size_t used;

    while (!exchange->replied) {
        event = lssb_ws_next(&socket->ws, at, len, &used);
        at += used;
        len -= used;
        if (event == LSSB_WS_MORE)
            break;
        if (event == LSSB_WS_PIECE)
            socket_piece(socket);
        if (event == LSSB_WS_CONTROL_FRAME)
            socket_control(socket);
        if (event == LSSB_WS_WRONG) {
            socket_send_close(socket, socket->ws.code, socket->ws.wrong);
            socket_tell(socket, socket->ws.code);
            socket_finish(socket);
        }
    }
}

/* The peer sends no more, and did not say so. */
static void socket_ended(struct exchange *exchange)
{
    struct websocket *socket = exchange->state;

    socket->closing = true;
    socket_tell(socket, 1006);
    socket_finish(socket);
}

/* The exchange is over, and the connection with it. */
static void socket_over(struct exchange *exchange)
{
    struct websocket *socket = exchange->state;
    struct websocket **link = &socket->d->sockets;

    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    socket->closing = true;
    socket_tell(socket, 1006);
    loop_cancel(&socket->d->loop, &socket->timer);
    loop_cancel(&socket->d->loop, &socket->doom);
    free(socket);
}

/* --------------------------------------------------------------- upgrading */

/* {"detail":{"error":…,"message":…,"error_id":…}} */
static void socket_write_refusal(struct lssb_json_writer *json,
                                 const void *ctx)
{
    lssb_json_object(json, NULL);
    lssb_json_object(json, "detail");
    lssb_json_string(json, "error", "InvalidRequest");
    lssb_json_string(json, "message", ctx);
    lssb_json_string(json, "error_id", "e-upgrade");
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Refuses an upgrade. */
static void socket_refuse(struct exchange *exchange, int status,
                          const char *why)
{
    size_t len = 0;
    char *body = json_text(socket_write_refusal, why, &len);

    reply_begin(exchange, status);
    if (status == 426)
        reply_header(exchange, "Sec-WebSocket-Version", "13");
    reply_header(exchange, "Content-Type", "application/json");
    reply_length(exchange, len);
    reply_body(exchange, body, len);
    free(body);
}

/* Answers an upgrade. */
static void socket_agree(struct exchange *exchange, const char *key)
{
    char accept[LSSB_WS_ACCEPT_SIZE];
    const struct fault *fault = exchange->fault;

    lssb_ws_accept(accept, key, strlen(key));
    if (fault != NULL && fault->socket != NULL &&
        strcmp(fault->socket, "accept") == 0)
        accept[0] = accept[0] == 'A' ? 'B' : 'A';
    reply_begin(exchange, 101);
    reply_header(exchange, "Upgrade", "websocket");
    reply_header(exchange, "Connection", "Upgrade");
    reply_header(exchange, "Sec-WebSocket-Accept", accept);
    reply_raw(exchange);
}

/* Makes a WebSocket of a GET request; NULL: it has been answered otherwise.
 * The caller sets what it wants to hear of. */
struct websocket *socket_accept(struct exchange *exchange)
{
    struct lssb_ws_upgrade upgrade;
    struct websocket *socket;
    const char *wrong;
    size_t i;
    int status = 400;

    lssb_ws_upgrade_start(&upgrade, true);
    for (i = 0; i < exchange->headers.count; i++) {
        const struct map_pair *pair = &exchange->headers.pairs[i];

        lssb_ws_upgrade_header(&upgrade, pair->name, pair->value,
                               strlen(pair->value));
    }
    wrong = lssb_ws_upgrade_wrong(&upgrade, NULL, &status);
    if (wrong == NULL && (exchange->close || exchange->length > 0))
        wrong = "an upgrade is a GET of HTTP/1.1 without a body";
    if (wrong != NULL) {
        socket_refuse(exchange, status, wrong);
        return NULL;
    }
    socket_agree(exchange, upgrade.key);
    if (!exchange->raw)
        return NULL;                /* a fault has lost the reply */
    socket = take(sizeof *socket);
    socket->d = exchange->d;
    socket->exchange = exchange;
    lssb_ws_start(&socket->ws, true);
    socket->timer.owner = socket->doom.owner = socket;
    socket->timer.fire = socket_tick;
    socket->doom.fire = socket_misbehave;
    loop_at(&socket->d->loop, &socket->timer,
            now_ms() + socket->d->settings.ping_ms);
    socket->next = socket->d->sockets;
    socket->d->sockets = socket;
    exchange->state = socket;
    exchange->on_body = socket_bytes;
    exchange->on_end = socket_ended;
    exchange->on_room = socket_can_send;
    exchange->on_over = socket_over;
    return socket;
}

/* Starts a connection's fault, if it is for its very beginning. */
void socket_begin(struct websocket *socket)
{
    socket_meet_fault(socket, -1);
}
