/* socket.c: WebSockets to services in a box.
 *
 * SPDX-License-Identifier: MIT
 *
 * An operation makes a service URL if there is none that holds, and upgrades; a
 * carrier then keeps the connection, as a command's does. What comes waits in
 * the slot's hold until it is taken, and nothing more is read meanwhile; what
 * goes out is a frame straight into the send buffer.
 */
#include "internal.h"

#if LSSB_WEBSOCKET

#define SOCKET_OPEN_MS 30000
#define SOCKET_PING_MS 30000
#define SOCKET_CLOSE_MS 10000       /* to say goodbye; and for the answer */
#define SOCKET_ROUNDS 16            /* of receiving, before others' turn */
#define SOCKET_SHORT 125            /* payload of a frame's short form */

/* In `flags`. */
#define SOCKET_BEGINS 0x1u          /* what is held begins a message */
#define SOCKET_ENDS 0x2u            /* and ends one */
#define SOCKET_BINARY 0x4u
#define SOCKET_READY 0x8u           /* there is a piece to hand out */
#define SOCKET_GIVEN 0x10u          /* the caller looks at it */
#define SOCKET_SENDING 0x20u        /* a message of ours has begun */
#define SOCKET_SENDS_BINARY 0x40u
#define SOCKET_LEAVE 0x80u          /* the caller lets go */

static lssb_websocket *socket_of(const lssb_op *op)
{
    return op->reserved.state.extra;
}

static struct lssb_websocket_state *socket_state(const lssb_op *op)
{
    return &socket_of(op)->reserved.state;
}

/* A failure of this WebSocket. Returns `status`. */
static lssb_status socket_fail(lssb_op *op, lssb_status status,
                               const char *message, const char *more)
{
    return lssb_fail(&lssb_call_client(op)->error, status,
                     LSSB_LAYER_WEBSOCKET, lssb_call_exchange(op)->name, ": ",
                     message, more, NULL);
}

/* ---------------------------------------------------------- what comes in */

/* The length of the whole characters at the start of what is held. */
static uint32_t socket_whole(const char *text, uint32_t len)
{
    uint32_t at = len, back = 0;
    uint8_t left, low, most;

    while (at > 0 && back < 3) {
        at--;
        back++;
        if (((uint8_t)text[at] & 0xC0) != 0x80)
            break;
    }
    if (back > 0 && lssb_json_utf8_lead((uint8_t)text[at], &left, &low,
                                        &most) && left >= back)
        return at;
    return len;
}

/* A piece has come: it is held until it is taken. */
static void socket_keep(lssb_op *op)
{
    struct lssb_websocket_state *state = socket_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_ws *ws = &slot->channel.ws;

    if (ws->begins) {
        state->flags &= ~(SOCKET_BINARY | SOCKET_ENDS);
        state->flags |= SOCKET_BEGINS;
        state->held = 0;
        if (ws->opcode == LSSB_WS_BINARY)
            state->flags |= SOCKET_BINARY;
    }
    if (ws->data_len > 0)
        memcpy(slot->hold + state->held, ws->data, ws->data_len);
    state->held += (uint32_t)ws->data_len;
    if (state->held > slot->hold_high)
        slot->hold_high = state->held;
    state->ready = state->held;
    if (ws->ends)
        state->flags |= SOCKET_ENDS;
    else if ((state->flags & SOCKET_BINARY) == 0)
        state->ready = socket_whole(slot->hold, state->held);
    if (ws->ends || state->ready > 0)
        state->flags |= SOCKET_READY;
}

/* What was handed out is through; a character that is not whole stays. */
static void socket_release(struct lssb_websocket_state *state,
                           struct lssb_slot *slot)
{
    state->held -= state->ready;
    memmove(slot->hold, slot->hold + state->ready, state->held);
    state->ready = 0;
    state->flags &= ~(SOCKET_READY | SOCKET_GIVEN | SOCKET_BEGINS |
                      SOCKET_ENDS);
}

/* The service has closed it: its reason, and our answer. */
static void socket_closed(lssb_op *op)
{
    lssb_websocket *socket = socket_of(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_ws *ws = &slot->channel.ws;

    socket->close_code = ws->code;
    lssb_copy(socket->close_reason, sizeof socket->close_reason,
              (const char *)ws->data, ws->data_len);
    if (socket->client->api_key != NULL)
        lssb_text_hide(socket->close_reason, socket->client->api_key,
                       strlen(socket->client->api_key));
    lssb_channel_close(&slot->channel,
                       ws->code == LSSB_WS_NO_CODE ? LSSB_WS_NORMAL
                                                   : ws->code);
    lssb_call_finish(op, LSSB_END);
}

/* The connection ended without a close frame. */
static void socket_lost(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    if (slot->conn.ended || slot->conn.failure.status == LSSB_OK)
        socket_fail(op, LSSB_E_CONNECTION, slot->conn.host,
                    " ended the connection");
    else
        lssb_call_client(op)->error = slot->conn.failure;
    lssb_call_finish(op, lssb_call_client(op)->error.status);
}

/* Goes on with what the channel has; false when there is nothing, or an
 * end. */
static bool socket_event(lssb_op *op, enum lssb_channel_event event)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;

    switch (event) {
    case LSSB_CHANNEL_NONE:
        return false;
    case LSSB_CHANNEL_PIECE:
        if ((socket_state(op)->flags & SOCKET_LEAVE) == 0)
            socket_keep(op);
        lssb_channel_done(&slot->channel);
        return true;
    case LSSB_CHANNEL_CLOSED:
        socket_closed(op);
        return false;
    case LSSB_CHANNEL_LOST:
        socket_lost(op);
        return false;
    case LSSB_CHANNEL_WRONG:
        status = socket_fail(op, LSSB_E_PROTOCOL,
                             "the service broke the rules of WebSocket: ",
                             slot->channel.ws.wrong);
        lssb_channel_close(&slot->channel, slot->channel.ws.code);
        lssb_call_finish(op, status);
        return false;
    }
    return false;
}

/* Reads until there is a piece to hand out; false when it has to stop. */
static bool socket_read(lssb_op *op)
{
    struct lssb_websocket_state *state = socket_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    for (;;) {
        bool leaving = (state->flags & SOCKET_LEAVE) != 0;

        slot->full = !leaving && (state->flags & SOCKET_READY) != 0;
        if (slot->full)
            return false;
        if (!socket_event(op, lssb_channel_next(&slot->channel,
                                                leaving ? LSSB_HOLD
                                                : LSSB_HOLD - state->held,
                                                lssb_call_client(op)->now)))
            return op->reserved.state.phase == LSSB_PHASE_OWN;
    }
}

/* ------------------------------------------------------------ the carrier */

/* Says goodbye as soon as there is room for it, behind what was written. */
static void socket_leave(lssb_op *op)
{
    struct lssb_websocket_state *state = socket_state(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    uint64_t now = lssb_call_client(op)->now;

    if (state->close_by == 0)
        state->close_by = now + SOCKET_CLOSE_MS;
    lssb_channel_bye(&slot->channel, state->code, state->farewell);
    if (slot->channel.close_sent || now >= state->close_by)
        lssb_call_finish(op, LSSB_END);
}

/* What has to happen by time. */
static void socket_timers(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    if (slot->channel.no_random)
        lssb_call_finish(op, socket_fail(op, LSSB_E_UNSUPPORTED,
                                         "the port has no random bytes for "
                                         "the masks", NULL));
    else if (!lssb_channel_tick(&slot->channel, !slot->full,
                                lssb_call_client(op)->now))
        lssb_call_finish(op, socket_fail(op, LSSB_E_CONNECTION,
                                         slot->conn.host,
                                         " did not answer a ping in time"));
    else if ((socket_state(op)->flags & SOCKET_LEAVE) != 0)
        socket_leave(op);
}

static void socket_step(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    bool going = true;
    int i;

    for (i = 0; i < SOCKET_ROUNDS && going; i++) {
        lssb_conn_step(&slot->conn, client->now);
        going = socket_read(op);
        if (op->reserved.state.phase != LSSB_PHASE_OWN)
            return;
        lssb_conn_flush(&slot->conn);
        going = going && slot->conn.own.more;
    }
    if (going)
        client->at_once = true;     /* others first, then here again */
    socket_timers(op);
}

static void socket_waits(const lssb_op *op, uint64_t *wake_at)
{
    const struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_websocket_state *state = socket_state(op);

    if (op->reserved.state.phase != LSSB_PHASE_OWN)
        return;
    lssb_channel_waits(&slot->channel, !slot->full, wake_at);
    if (state->close_by != 0 && state->close_by < *wake_at)
        *wake_at = state->close_by;
}

static void socket_carrier_ended(lssb_op *op, lssb_status outcome)
{
    lssb_client *client = lssb_call_client(op);

    lssb_upgrade_farewell(op, client->now + SOCKET_CLOSE_MS);
    socket_of(op)->status = outcome;
    client->at_once = true;
}

static const struct lssb_exchange socket_carrier = {
    .name = "WebSocket",
    .upgrade = true,
    .step = socket_step,
    .waits = socket_waits,
    .ended = socket_carrier_ended
};

/* ------------------------------------------------------------ the upgrade */

static const char *socket_url(const lssb_op *op)
{
    return socket_state(op)->used.service_url;
}

static struct lssb_service_call
socket_call(const lssb_websocket_options *options)
{
    struct lssb_service_call call;

    call.path = options->path;
    call.query = options->query;
    call.query_count = options->query_count;
    call.headers = options->headers;
    call.header_count = options->header_count;
    return call;
}

static void socket_path(const lssb_op *op, struct lssb_writer *to)
{
    struct lssb_service_call call = socket_call(socket_state(op)->options);

    lssb_service_put_path(&call, to);
}

static bool socket_pair(const lssb_op *op, size_t index, lssb_pair *pair)
{
    struct lssb_service_call call = socket_call(socket_state(op)->options);

    return lssb_service_pair(&call, &socket_state(op)->used, index, pair);
}

static void socket_headers(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_websocket_options *options = socket_state(op)->options;
    size_t i;

    lssb_upgrade_headers(op, to);
    for (i = 0; i < options->protocol_count; i++) {
        lssb_put_text(to, i == 0 ? "Sec-WebSocket-Protocol: " : ", ");
        lssb_put_text(to, options->protocols[i]);
    }
    if (options->protocol_count > 0)
        lssb_put_text(to, "\r\n");
}

/* The subprotocol is one of those that were offered, said once. */
static lssb_status socket_chosen(lssb_op *op, const char *value, size_t len)
{
    lssb_websocket *socket = socket_of(op);
    const lssb_websocket_options *options = socket_state(op)->options;
    size_t i;

    for (i = 0; i < options->protocol_count; i++)
        if (socket->protocol[0] == '\0' &&
            strlen(options->protocols[i]) == len &&
            memcmp(options->protocols[i], value, len) == 0) {
            lssb_copy(socket->protocol, sizeof socket->protocol, value, len);
            return LSSB_OK;
        }
    return socket_fail(op, LSSB_E_PROTOCOL, "the service chose a subprotocol "
                       "that was not offered, or two", NULL);
}

static lssb_status socket_header(lssb_op *op, int status, const char *name,
                                 const char *value, size_t len)
{
    if (lssb_same_name(name, strlen(name), "Sec-WebSocket-Protocol", 22))
        return socket_chosen(op, value, len);
    return lssb_upgrade_header(op, status, name, value, len);
}

static lssb_status socket_head(lssb_op *op, int status,
                               const struct lssb_http *http)
{
    const char *wrong = lssb_upgrade_wrong(op);

    (void)status;
    (void)http;
    if (wrong == NULL)
        return LSSB_OK;
    return socket_fail(op, LSSB_E_PROTOCOL,
                       "the service did not upgrade to a WebSocket: ", wrong);
}

/* An interval of the options in milliseconds; 0: none. */
static uint64_t socket_ms(uint32_t ms, uint32_t fallback)
{
    if (ms == 0)
        return fallback;
    return ms == LSSB_FOREVER ? 0 : ms;
}

/* It is there: from now on its carrier holds the connection. */
static lssb_status socket_upgraded(lssb_op *op, const char *text, size_t len)
{
    lssb_websocket *socket = socket_of(op);
    struct lssb_websocket_state *state = socket_state(op);
    lssb_op *carrier = &state->carrier;
    struct lssb_slot *slot = lssb_call_slot(op);

    (void)text;
    (void)len;
    lssb_channel_start(&slot->channel, &slot->conn,
                       socket_ms(state->options->ping_ms, SOCKET_PING_MS),
                       socket->client->now);
    memset(carrier, 0, sizeof *carrier);
    carrier->reserved.state = op->reserved.state;
    carrier->reserved.state.exchange = &socket_carrier;
    carrier->reserved.state.phase = LSSB_PHASE_OWN;
    carrier->reserved.state.canceled = 0;
    carrier->reserved.state.end_at = 0;
    carrier->reserved.state.attempt_end_at = 0;
    carrier->error = state->options->error;
    slot->op = carrier;
    slot->claimed = true;
    op->reserved.state.slot = NULL;
    socket->status = LSSB_OK;
    lssb_call_add(socket->client, carrier);
    return LSSB_OK;
}

/* The service answered otherwise. */
static lssb_status socket_refused(lssb_op *op, lssb_error *error)
{
    (void)op;
    error->status = LSSB_E_REFUSED;
    error->resource = LSSB_RESOURCE_NONE;
    error->layer = LSSB_LAYER_WEBSOCKET;
    error->quota[0] = '\0';
    lssb_error_prefix(error, "the service refused the WebSocket: ", NULL);
    return error->status;
}

/* It is tried once. */
static lssb_status socket_not_there(lssb_op *op)
{
    return lssb_call_client(op)->error.status;
}

/* The time to open it begins when there is a slot. */
static lssb_status socket_taken(lssb_op *op)
{
    uint64_t ms = socket_ms(socket_state(op)->options->open_ms,
                            SOCKET_OPEN_MS);

    op->reserved.state.attempt_ms = op->deadline_ms != 0 ? 0 : (uint32_t)ms;
    return LSSB_OK;
}

/* It is open, or will not be. */
static void socket_open_ended(lssb_op *op, lssb_status outcome)
{
    lssb_websocket *socket = socket_of(op);
    struct lssb_websocket_state *state = socket_state(op);

    state->starter = NULL;
    lssb_wipe(&state->used, sizeof state->used);
    if (outcome == LSSB_OK)
        return;
    socket->status = outcome;
    lssb_call_client(op)->at_once = true;
}

static const struct lssb_exchange socket_open = {
    .name = "open WebSocket",
    .method = "GET",
    .fresh = true,
    .upgrade = true,
    .url = socket_url,
    .pairs = socket_pair,
    .path = socket_path,
    .headers = socket_headers,
    .header = socket_header,
    .head = socket_head,
    .done = socket_upgraded,
    .failed = socket_refused,
    .taken = socket_taken,
    .lost = socket_not_there,
    .ended = socket_open_ended
};

/* A service URL is there: the upgrade follows. */
static lssb_status socket_made(lssb_op *op, const char *text, size_t len)
{
    lssb_status status =
        lssb_service_made(op, socket_state(op)->service, text, len);

    if (status != LSSB_OK)
        return status;
    return lssb_call_next(op, &socket_open, 0);
}

static const struct lssb_exchange socket_making = {
    .name = "create service URL",
    .method = "POST",
    .quota_is_final = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_link_service,
    .path = lssb_link_service_path,
    .body = lssb_link_service_body,
    .choose = lssb_kind_choose,
    .done = socket_made,
    .failed = lssb_link_service_failed,
    .ended = socket_open_ended
};

/* -------------------------------------------------------------- beginning */

/* What is not opened is safe to close. The struct of an operation that is
 * under way is in use. Returns `status`. */
static lssb_status socket_clear(lssb_websocket *socket, lssb_status status)
{
    if (socket != NULL && status != LSSB_E_BUSY) {
        memset(socket, 0, sizeof *socket);
        socket->status = status;
    }
    return status;
}

/* NULL, or what is wrong with the subprotocols. */
static const char *socket_protocols_wrong(const lssb_websocket_options *options)
{
    size_t i;

    if (options->protocols == NULL && options->protocol_count > 0)
        return "protocols: NULL, but protocol_count is not 0";
    for (i = 0; i < options->protocol_count; i++) {
        const char *name = options->protocols[i];

        if (name == NULL || lssb_header_wrong(name, "") != NULL ||
            strlen(name) >= sizeof((lssb_websocket *)0)->protocol)
            return "protocols: 1 to 63 bytes of a token were expected";
    }
    return NULL;
}

/* NULL, or what is wrong with the arguments. */
static const char *socket_wrong(const lssb_client *client,
                                const lssb_service_options *where,
                                const lssb_service *service,
                                const lssb_websocket_options *options)
{
    struct lssb_service_call call = socket_call(options);
    const char *wrong = lssb_service_wrong(client, where, service, &call);

    return wrong != NULL ? wrong : socket_protocols_wrong(options);
}

lssb_status lssb_websocket_open(lssb_websocket *socket,
                                const lssb_sandbox *box,
                                const lssb_service_options *where,
                                lssb_service *service,
                                const lssb_websocket_options *options,
                                lssb_op *op)
{
    static const lssb_websocket_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    struct lssb_websocket_state *state;
    const char *wrong;
    bool holds;

    if (call == NULL)
        return socket_clear(socket, status);
    if (options == NULL)
        options = &defaults;
    wrong = socket_wrong(box->client, where, service, options);
    if (socket == NULL)
        wrong = "socket: NULL";
    if (wrong != NULL) {
        socket_clear(socket, LSSB_E_INVALID_ARGUMENT);
        return lssb_refuse(box->client, call, "open WebSocket: ", wrong, NULL);
    }
    memset(socket, 0, sizeof *socket);
    state = &socket->reserved.state;
    socket->client = box->client;
    socket->status = LSSB_PENDING;
    state->options = options;
    state->service = service;
    state->starter = call;
    call->reserved.state.options = where;
    call->reserved.state.out = &state->used;
    call->reserved.state.extra = socket;
    holds = lssb_service_holds(box->client, where, service);
    if (holds)
        state->used = *service;
    status = lssb_call_go(call, op == NULL,
                          holds ? &socket_open : &socket_making, 0);
    if (status < 0 && socket->status == LSSB_PENDING) {     /* never began */
        state->starter = NULL;
        lssb_wipe(&state->used, sizeof state->used);
        socket->status = status;
    }
    return status;
}

/* ----------------------------------------------------- a WebSocket at work */

/* Refuses what needs one that was opened, or a wait in a callback. */
static lssb_status socket_may(lssb_websocket *socket, uint32_t wait_ms)
{
    if (socket == NULL || socket->client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    if (wait_ms > 0 && socket->client->in_callback)
        return lssb_fail(&socket->client->error, LSSB_E_IN_CALLBACK,
                         LSSB_LAYER_CALLER, "a waiting call was made inside a "
                         "callback; give it no time to wait", NULL);
    return LSSB_OK;
}

/* Whether it has a connection. */
static bool socket_is_open(const lssb_websocket *socket)
{
    const lssb_op *carrier = &socket->reserved.state.carrier;

    return carrier->status == LSSB_PENDING &&
           carrier->reserved.state.phase == LSSB_PHASE_OWN;
}

/* Hands out what is ready; LSSB_AGAIN if nothing is. */
static lssb_status socket_hand_out(lssb_websocket *socket, lssb_piece *piece)
{
    struct lssb_websocket_state *state = &socket->reserved.state;

    if (!socket_is_open(socket) ||
        (state->flags & (SOCKET_READY | SOCKET_GIVEN)) != SOCKET_READY)
        return LSSB_AGAIN;
    piece->kind =
        (state->flags & SOCKET_BINARY) != 0 ? LSSB_BINARY : LSSB_TEXT;
    piece->begins = (state->flags & SOCKET_BEGINS) != 0;
    piece->ends = (state->flags & SOCKET_ENDS) != 0;
    piece->bytes = lssb_call_slot(&state->carrier)->hold;
    piece->len = state->ready;
    state->flags |= SOCKET_GIVEN;
    return LSSB_OK;
}

/* Gives back what was handed out, and reads on in what has arrived. */
static void socket_read_on(lssb_websocket *socket)
{
    struct lssb_websocket_state *state = &socket->reserved.state;

    if (!socket_is_open(socket))
        return;
    if ((state->flags & SOCKET_GIVEN) != 0) {
        socket_release(state, lssb_call_slot(&state->carrier));
        socket->client->at_once = true;
    }
    if (!socket->client->in_callback)
        socket_read(&state->carrier);
}

lssb_status lssb_websocket_next(lssb_websocket *socket, lssb_piece *piece,
                                uint32_t wait_ms)
{
    lssb_status status = socket_may(socket, wait_ms);
    struct lssb_upgrade_wait wait;

    if (status != LSSB_OK)
        return status;
    if (piece == NULL)
        return lssb_fail(&socket->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "WebSocket: piece: NULL", NULL);
    memset(piece, 0, sizeof *piece);
    lssb_upgrade_wait_start(&wait, socket->client, wait_ms);
    socket_read_on(socket);
    for (;;) {
        status = socket_hand_out(socket, piece);
        if (status != LSSB_AGAIN)
            return status;
        if (socket->status != LSSB_PENDING && socket->status != LSSB_OK)
            return socket->status;
        status = lssb_upgrade_wait(&wait);
        if (status != LSSB_OK)
            return status;
    }
}

/* ---------------------------------------------------------- what goes out */

/* What is wrong with bytes that are to be sent; LSSB_OK, or LSSB_AGAIN as long
 * as it is being opened, or how it has ended. */
static lssb_status socket_may_write(lssb_websocket *socket, lssb_message kind,
                                    const void *bytes, size_t len)
{
    uint32_t flags = socket->reserved.state.flags;
    const char *wrong = NULL;

    if (bytes == NULL && len > 0)
        wrong = "bytes: NULL";
    else if (kind != LSSB_TEXT && kind != LSSB_BINARY)
        wrong = "kind is neither LSSB_TEXT nor LSSB_BINARY";
    else if ((flags & SOCKET_SENDING) != 0 &&
             (kind == LSSB_BINARY) != ((flags & SOCKET_SENDS_BINARY) != 0))
        wrong = "kind: the message that was begun is of the other one";
    if (wrong != NULL)
        return lssb_fail(&socket->client->error, LSSB_E_INVALID_ARGUMENT,
                         LSSB_LAYER_CALLER, "write to WebSocket: ", wrong,
                         NULL);
    if ((flags & SOCKET_LEAVE) != 0)
        return LSSB_END;
    return socket->status == LSSB_PENDING ? LSSB_AGAIN : socket->status;
}

/* How many of these bytes go into a frame: of text, whole characters of what
 * is valid. */
static size_t socket_fitting(lssb_message kind, const char *bytes, size_t len,
                             size_t room)
{
    if (len > room)
        len = room;
    return kind == LSSB_BINARY ? len : lssb_utf8_valid(bytes, len);
}

/* Sends one frame; false: there is no room, or nothing that could be sent. */
static bool socket_put(lssb_websocket *socket, lssb_message kind,
                       const char *bytes, size_t len, bool ends, size_t *put)
{
    struct lssb_websocket_state *state = &socket->reserved.state;
    struct lssb_channel *channel = &lssb_call_slot(&state->carrier)->channel;
    enum lssb_ws_opcode opcode = LSSB_WS_CONTINUATION;
    size_t room;
    uint8_t *out = lssb_channel_reserve(
        channel, len < SOCKET_SHORT ? len : SOCKET_SHORT, &room);

    if (out == NULL)
        return false;
    *put = socket_fitting(kind, bytes, len, room);
    if (*put == 0 && len > 0)
        return false;
    if ((state->flags & SOCKET_SENDING) == 0)
        opcode = kind == LSSB_BINARY ? LSSB_WS_BINARY : LSSB_WS_TEXT;
    if (*put > 0)
        memcpy(out, bytes, *put);
    ends = ends && *put == len;
    lssb_channel_commit(channel, opcode, ends, *put);
    if (channel->no_random)
        return false;
    state->flags &= ~(SOCKET_SENDING | SOCKET_SENDS_BINARY);
    if (!ends)
        state->flags |= SOCKET_SENDING |
                        (kind == LSSB_BINARY ? SOCKET_SENDS_BINARY : 0u);
    return true;
}

/* Sends what there is room for; true when that is all. */
static bool socket_put_all(lssb_websocket *socket, lssb_message kind,
                           const char *bytes, size_t len, bool ends,
                           size_t *taken)
{
    struct lssb_slot *slot;
    bool any = false;
    size_t put;

    if (!socket_is_open(socket))
        return false;
    slot = lssb_call_slot(&socket->reserved.state.carrier);
    while (*taken < len || (ends && !any)) {
        if (!socket_put(socket, kind, bytes + *taken, len - *taken, ends,
                        &put))
            break;
        *taken += put;
        any = true;
    }
    if (any) {
        lssb_conn_flush(&slot->conn);
        socket->client->at_once = true;
    }
    return *taken == len && (any || !ends);
}

/* Whether these bytes of a text can never be sent: not the beginning of a
 * character that the rest of the message may complete. */
static bool socket_is_no_text(const char *bytes, size_t len, bool ends)
{
    uint8_t left, low, most;

    if (len == 0 || lssb_utf8_valid(bytes, len < 4 ? len : 4) > 0)
        return false;
    return ends || len >= 4 ||
           !lssb_json_utf8_lead((uint8_t)bytes[0], &left, &low, &most) ||
           left < len;
}

/* Whether these bytes of a text are the beginning of a character, which nobody
 * can send before its rest is there. */
static bool socket_is_cut(lssb_message kind, const char *bytes, size_t len)
{
    return kind == LSSB_TEXT && len > 0 && len < 4 &&
           lssb_utf8_valid(bytes, len) == 0;
}

lssb_status lssb_websocket_write(lssb_websocket *socket, lssb_message kind,
                                 const void *bytes, size_t len, bool ends,
                                 size_t *taken, uint32_t wait_ms)
{
    lssb_status status = socket_may(socket, wait_ms);
    const char *from = bytes != NULL ? bytes : "";
    size_t own, *done = taken != NULL ? taken : &own;
    struct lssb_upgrade_wait wait;

    *done = 0;
    if (status != LSSB_OK)
        return status;
    lssb_upgrade_wait_start(&wait, socket->client, wait_ms);
    for (;;) {
        status = socket_may_write(socket, kind, bytes, len);
        if (status != LSSB_OK && status != LSSB_AGAIN)
            return *done > 0 && status == LSSB_END ? LSSB_OK : status;
        if (socket_put_all(socket, kind, from, len, ends, done))
            return LSSB_OK;
        if (kind == LSSB_TEXT &&
            socket_is_no_text(from + *done, len - *done, ends))
            return lssb_fail(&socket->client->error, LSSB_E_INVALID_ARGUMENT,
                             LSSB_LAYER_CALLER, "write to WebSocket: the text "
                             "is not UTF-8", NULL);
        if (socket_is_cut(kind, from + *done, len - *done))
            return *done > 0 ? LSSB_OK : LSSB_AGAIN;
        status = lssb_upgrade_wait(&wait);
        if (status == LSSB_AGAIN)
            return *done > 0 ? LSSB_OK : LSSB_AGAIN;
        if (status != LSSB_OK)
            return status;
    }
}

/* --------------------------------------------------------------- letting go */

/* Whether one that is let go of is gone from the client. */
static bool socket_is_gone(lssb_op *op)
{
    const struct lssb_websocket_state *state = socket_state(op);

    if (state->starter != NULL || state->carrier.status == LSSB_PENDING)
        return false;
    return lssb_upgrade_left(op);
}

static bool socket_is_dropped(lssb_op *op, lssb_status why)
{
    struct lssb_websocket_state *state = socket_state(op);

    return lssb_upgrade_leave(op, why, state->starter, &state->carrier);
}

static const struct lssb_exchange socket_closing = {
    .name = "close WebSocket",
    .awaits = "waiting for room to say goodbye",
    .watch = socket_is_gone,
    .leave = socket_is_dropped
};

/* NULL, or what is wrong with a goodbye (RFC 6455 7.4). */
static const char *socket_close_wrong(uint16_t code, const char *reason)
{
    if (code != 0 && !(code >= 1000 && code <= 1003) &&
        !(code >= 1007 && code <= 1011) && !(code >= 3000 && code <= 4999))
        return "code: 1000 to 1003, 1007 to 1011 or 3000 to 4999 was expected";
    if (reason != NULL && (strlen(reason) > LSSB_WS_CONTROL - 2 ||
                           lssb_utf8_valid(reason, strlen(reason)) !=
                               strlen(reason)))
        return "reason: up to 123 bytes of UTF-8 were expected";
    return NULL;
}

lssb_status lssb_websocket_close(lssb_websocket *socket, uint16_t code,
                                 const char *reason, lssb_op *op)
{
    lssb_op own, *call;
    lssb_status status;
    const char *wrong = socket_close_wrong(code, reason);

    if (socket == NULL || socket->client == NULL)
        return LSSB_OK;
    call = lssb_call_begin(socket->client, op, &own, &status);
    if (call == NULL)
        return status;
    if (wrong != NULL)
        return lssb_refuse(socket->client, call, "close WebSocket: ", wrong,
                           NULL);
    socket->reserved.state.code = code != 0 ? code : LSSB_WS_NORMAL;
    socket->reserved.state.farewell = reason;
    socket->reserved.state.flags |= SOCKET_LEAVE;
    if (socket->reserved.state.starter != NULL)
        lssb_cancel(socket->reserved.state.starter);
    call->reserved.state.extra = socket;
    return lssb_call_attend(call, op == NULL, &socket_closing);
}

#else

/* Says that this build has none of it. */
static lssb_status socket_unsupported(lssb_client *client, lssb_op *op)
{
    lssb_op own, *call;
    lssb_status status;

    call = lssb_call_begin(client, op, &own, &status);
    if (call == NULL)
        return status;
    return lssb_refuse_as(client, call, LSSB_E_UNSUPPORTED, "this build has "
                          "no WebSocket (LSSB_WEBSOCKET 0)", NULL);
}

lssb_status lssb_websocket_open(lssb_websocket *socket,
                                const lssb_sandbox *box,
                                const lssb_service_options *where,
                                lssb_service *service,
                                const lssb_websocket_options *options,
                                lssb_op *op)
{
    (void)where;
    (void)service;
    (void)options;
    if (socket != NULL)
        memset(socket, 0, sizeof *socket);
    return socket_unsupported(box != NULL ? box->client : NULL, op);
}

lssb_status lssb_websocket_next(lssb_websocket *socket, lssb_piece *piece,
                                uint32_t wait_ms)
{
    (void)socket;
    (void)piece;
    (void)wait_ms;
    return LSSB_E_UNSUPPORTED;
}

lssb_status lssb_websocket_write(lssb_websocket *socket, lssb_message kind,
                                 const void *bytes, size_t len, bool ends,
                                 size_t *taken, uint32_t wait_ms)
{
    (void)socket;
    (void)kind;
    (void)bytes;
    (void)len;
    (void)ends;
    (void)wait_ms;
    if (taken != NULL)
        *taken = 0;
    return LSSB_E_UNSUPPORTED;
}

lssb_status lssb_websocket_close(lssb_websocket *socket, uint16_t code,
                                 const char *reason, lssb_op *op)
{
    (void)socket;
    (void)code;
    (void)reason;
    if (op != NULL)
        op->status = LSSB_OK;
    return LSSB_OK;
}

#endif
