/* call.c: one call at work: a slot, a connection, a request, and whether to try
 * again.
 *
 * SPDX-License-Identifier: MIT
 *
 * An operation goes from waiting for a slot over connecting to the exchange,
 * then to its end, or by a pause back to the beginning: for another attempt
 * (protocol 8), or for the next request of the same call. Nothing in here
 * waits; what has to wait is a time in the operation.
 */
#include "internal.h"

#define CALL_BACKOFF_MS 10000       /* longest pause before another attempt */
#define CALL_RETRY_AFTER_MS 60000   /* longest that a server may ask for */
#define CALL_HELD_MS 10             /* until bytes are offered again */
#define CALL_PIECES 64              /* steps of one slot before others' turn */

static struct lssb_op_state *call_of(lssb_op *op)
{
    return &op->reserved.state;
}

const struct lssb_exchange *lssb_call_exchange(const lssb_op *op)
{
    return op->reserved.state.exchange;
}

struct lssb_slot *lssb_call_slot(const lssb_op *op)
{
    return op->reserved.state.slot;
}

lssb_client *lssb_call_client(const lssb_op *op)
{
    return op->reserved.state.client;
}

/* Whether somebody wants it to end; another thread may be saying so now. */
static bool call_canceled(const lssb_op *op)
{
#if defined(__GNUC__)
    return __atomic_load_n(&op->reserved.state.canceled, __ATOMIC_ACQUIRE) != 0;
#else
    return op->reserved.state.canceled != 0;
#endif
}

void lssb_trace(lssb_client *client, lssb_trace_kind kind, const char *host,
                const char *text, int64_t number)
{
#if LSSB_TRACE
    lssb_trace_event event;

    if (client->trace == NULL)
        return;
    event.kind = kind;
    event.host = host;
    event.text = text;
    event.number = number;
    client->trace(client->trace_user, &event);
#else
    (void)client;
    (void)kind;
    (void)host;
    (void)text;
    (void)number;
#endif
}

/* Method and path of a request without its query, for the trace. */
void lssb_call_trace(lssb_op *op, lssb_trace_kind kind, int64_t number)
{
#if LSSB_TRACE
    const struct lssb_exchange *x = lssb_call_exchange(op);
    lssb_client *client = lssb_call_client(op);
    char line[128];
    struct lssb_writer writer;
    char *query;

    if (client->trace == NULL)
        return;
    lssb_writer_start(&writer, line, sizeof line - 1, 0);
    lssb_put_text(&writer, lssb_request_method(op, x));
    lssb_put_text(&writer, x->sealed ? " /..." : " ");
    if (!x->sealed)
        x->path(op, &writer);
    line[writer.len] = '\0';
    query = strchr(line, '?');
    if (query != NULL)
        *query = '\0';
    lssb_trace(client, kind, lssb_call_slot(op)->conn.host, line, number);
#else
    (void)op;
    (void)kind;
    (void)number;
#endif
}

uint32_t lssb_random_below(lssb_client *client, uint32_t limit)
{
    uint32_t number = 0;

    if (client->port->random(client->port_context, &number, sizeof number) !=
        LSSB_IO_OK)
        return limit / 2;
    return number % limit;
}

/* --------------------------------------------------------------- the end -- */

void lssb_call_finish(lssb_op *op, lssb_status outcome)
{
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;

    if (state->phase == LSSB_PHASE_FINISHED)
        return;
    state->phase = LSSB_PHASE_FINISHED;
    state->outcome = outcome;
    if (outcome < 0) {
        client->error.attempts = state->attempt;
        lssb_error_clean(client, op);
        if (op->error != NULL)
            *op->error = client->error;
    }
    if (lssb_call_exchange(op)->ended != NULL)
        lssb_call_exchange(op)->ended(op, outcome);
    lssb_slot_release(op, false);
}

bool lssb_call_was_sent(const lssb_op *op)
{
    return op->reserved.state.sent != 0;
}

/* Ends a call with a failure that this library found. */
static void call_fail(lssb_op *op, lssb_status status, lssb_layer layer,
                      const char *message)
{
    lssb_client *client = lssb_call_client(op);

    lssb_fail(&client->error, status, layer, lssb_call_exchange(op)->name, ": ",
              message, NULL);
    lssb_call_finish(op, status);
}

lssb_status lssb_call_stopped(lssb_op *op, lssb_status said)
{
    if (call_canceled(op))
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_CANCELED,
                         LSSB_LAYER_CALLER, lssb_call_exchange(op)->name,
                         ": canceled", NULL);
    if (said == LSSB_OK || said == LSSB_AGAIN)
        return said;
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_STOPPED,
                     LSSB_LAYER_CALLER, lssb_call_exchange(op)->name,
                     ": stopped by a callback", NULL);
}

lssb_status lssb_call_heard(lssb_op *op, lssb_status said)
{
    return lssb_call_stopped(op, said == LSSB_AGAIN ? LSSB_E_STOPPED : said);
}

/* ------------------------------------------------------------- attempts -- */

void lssb_call_pause(lssb_op *op, uint64_t ms)
{
    struct lssb_op_state *state = call_of(op);

    if (lssb_call_exchange(op)->upgrade && state->slot != NULL)
        lssb_conn_drop(&lssb_call_slot(op)->conn, false);
    else
        lssb_slot_release(op, false);
    state->phase = LSSB_PHASE_PAUSE;
    state->attempt_end_at = 0;
    state->wake_at = state->client->now + ms;
}

/* How long to wait before another attempt. */
static uint64_t call_backoff(lssb_op *op, const lssb_error *error)
{
    struct lssb_op_state *state = call_of(op);
    uint64_t ms = CALL_BACKOFF_MS;

    if (error->http_status == 429 && error->retry_after_ms > 0)
        return error->retry_after_ms < CALL_RETRY_AFTER_MS
                   ? error->retry_after_ms
                   : CALL_RETRY_AFTER_MS;
    if (state->attempt < 5)
        ms = (UINT64_C(1000) << (state->attempt - 1)) +
             lssb_random_below(state->client, 1000);
    return ms < CALL_BACKOFF_MS ? ms : CALL_BACKOFF_MS;
}

/* Another attempt after the client's error, if there is any left and time for
 * it. */
static bool call_again(lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_op_state *state = call_of(op);
    const lssb_error *error = &state->client->error;
    uint64_t ms;

    if (state->attempt > state->client->retries || state->client->closing)
        return false;
    ms = call_backoff(op, error);
    if (state->end_at != 0 && state->client->now + ms >= state->end_at)
        return false;
    if (x->again != NULL && !x->again(op))
        return false;
    state->client->stats.retries++;
    lssb_trace(state->client, LSSB_TRACE_RETRY,
               lssb_call_slot(op) != NULL ? lssb_call_slot(op)->conn.host : "",
               error->message, (int64_t)ms);
    lssb_call_pause(op, ms);
    return true;
}

/* Whether a reply's failure may be tried again (protocol 8). */
static bool call_status_retries(const lssb_op *op, const lssb_error *error,
                                bool retry_after)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    int status = error->http_status;

    if (x->lost != NULL)
        return false;               /* it has rules of its own */
    if (status == 429 &&
        (x->retry != LSSB_RETRY_ALWAYS || x->quota_is_final))
        return retry_after && error->quota[0] == '\0';
    if (x->retry == LSSB_RETRY_ALWAYS)
        return status == 429 || (status >= 502 && status <= 504);
    return x->retry == LSSB_RETRY_EXECUTE && error->status == LSSB_E_NOT_READY;
}

bool lssb_call_refused_again(lssb_op *op, const lssb_error *error,
                             bool retry_after)
{
    return call_status_retries(op, error, retry_after) &&
           call_again(op);
}

/* What another attempt would only meet again: a server that is not who it
 * should be or does not speak TLS, a proxy that refuses. */
static bool call_is_final(const lssb_error *error)
{
    return error->status == LSSB_E_CERTIFICATE ||
           error->status == LSSB_E_UNSUPPORTED ||
           error->status == LSSB_E_PROXY || error->status == LSSB_E_PROTOCOL;
}

void lssb_call_lost(lssb_op *op, bool ended)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;
    bool unsent = !slot->conn.sent_any;
    bool always = x->retry == LSSB_RETRY_ALWAYS;
    bool stale = ended && slot->reused && !slot->replied;

    client->error = slot->conn.failure;
    lssb_error_clean(client, op);
    if (stale && (unsent || always) && client->error.layer != LSSB_LAYER_TLS &&
        (x->again == NULL || x->again(op))) {
        state->attempt--;           /* its keep-alive ended: no fault */
        lssb_call_pause(op, 0);
        client->at_once = true;
        return;
    }
    if (x->lost != NULL) {
        lssb_status status = x->lost(op);

        if (status != LSSB_PENDING)
            lssb_call_finish(op, status);
        return;
    }
    if (!call_is_final(&client->error) && (unsent || always) &&
        call_again(op))
        return;
    lssb_call_finish(op, client->error.status);
}

/* -------------------------------------------------------- the connection -- */

/* Starts to connect an operation's slot. */
static void call_connect(lssb_op *op, const struct lssb_target *target)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    const struct lssb_proxy *proxy = lssb_request_proxy(client, target);
    const lssb_tls_ticket *known = lssb_slot_ticket(client, target);
    struct lssb_conn_target to;
    lssb_tls_ticket ticket;
    char host[LSSB_HOST_SIZE];
    lssb_status status;

    if (known != NULL)
        ticket = *known;
    lssb_copy(host, sizeof host, target->host, target->host_len);
    memset(&to, 0, sizeof to);
    to.host = host;
    to.port = target->port;
    to.tls = target->tls;
    to.tunnel = target->tunnel;
    if (proxy != NULL) {
        to.proxy_host = proxy->host;
        to.proxy_port = proxy->port;
        to.proxy_userinfo = proxy->userinfo;
    }
    memset(&slot->ticket, 0, sizeof slot->ticket);
    slot->reused = false;
    slot->replied = false;
    client->stats.connections++;
    lssb_trace(client, LSSB_TRACE_CONNECT, host, "", target->port);
    status = lssb_conn_open(&slot->conn, &to, known != NULL ? &ticket : NULL,
                            client->now);
    lssb_wipe(&ticket, sizeof ticket);
    if (status < 0)
        lssb_call_lost(op, true);
    else
        call_of(op)->phase = LSSB_PHASE_CONNECT;
}

/* Prepares a slot for this operation's request. */
static void call_exchange_start(lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    struct lssb_writer writer;
    uint64_t body_len;

    if ((x->multipart || x->upgrade) &&
        client->port->random(client->port_context, slot->boundary,
                             sizeof slot->boundary) != LSSB_IO_OK) {
        call_fail(op, LSSB_E_UNSUPPORTED, LSSB_LAYER_CLIENT,
                  x->upgrade ? "the port has no random bytes for the "
                               "WebSocket's key"
                             : "the port has no random bytes for the form's "
                               "boundary");
        return;
    }
    lssb_writer_start(&writer, NULL, 0, 0);
    if (x->body != NULL)
        x->body(op, &writer);
    body_len = writer.total;
    lssb_writer_start(&writer, NULL, 0, 0);
    lssb_request_head(op, x, body_len, &writer);
    slot->head_len = writer.total;
    slot->request_len = writer.total + body_len;
    slot->written = 0;
    memset(&slot->mark, 0, sizeof slot->mark);
    slot->replied = false;
    slot->json_done = false;
    slot->body_seen = false;
    slot->failing = false;
    slot->body_bytes = 0;
    slot->held = 0;
    slot->retry_after_ms = 0;
    slot->retry_after_given = false;
    slot->conn.sent_any = false;
    lssb_http_start(&slot->http, false, slot->element, sizeof slot->element);
    slot->http.head_request =
        strcmp(lssb_request_method(op, x), "HEAD") == 0;
    memset(&slot->upgrade, 0, sizeof slot->upgrade);
    call_of(op)->phase = LSSB_PHASE_EXCHANGE;
    client->stats.requests++;
    lssb_call_trace(op, LSSB_TRACE_REQUEST, 0);
}

/* Finds a slot for an operation; false when there is none now, or it ended. */
static bool call_get_slot(lssb_op *op, const struct lssb_target *target)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    lssb_client *client = lssb_call_client(op);
    struct lssb_slot *slot = lssb_slot_reuse(client, target, x->fresh);
    lssb_status status;

    if (slot == NULL)
        slot = lssb_slot_free(client);
    if (slot == NULL && lssb_slots_claimed(client))
        call_fail(op, LSSB_E_NO_SLOT, LSSB_LAYER_CLIENT,
                  "every connection of the client is held by a command, a "
                  "tunnel or a WebSocket; close one, or configure more slots");
    if (slot == NULL)
        return false;
    slot->op = op;
    slot->leave = NULL;
    call_of(op)->slot = slot;
    status = x->taken != NULL ? x->taken(op) : LSSB_OK;
    if (status < 0)
        lssb_call_finish(op, status);
    return status >= 0;
}

/* Takes a slot, or stays where it is when there is none. */
static void call_take_slot(lssb_op *op)
{
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_target target;
    struct lssb_slot *slot;
    const char *wrong = lssb_request_target(op, x, &target);

    if (wrong != NULL) {            /* a dataplane URL that changed meanwhile */
        call_fail(op, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER, wrong);
        return;
    }
    slot = state->slot;             /* an upgrade keeps its own */
    if (slot == NULL && !call_get_slot(op, &target))
        return;
    slot = state->slot;
    state->attempt++;
    state->attempt_end_at =
        state->attempt_ms == 0 ? 0 : client->now + state->attempt_ms;
    lssb_slot_note_use(client);
    if (slot->conn.phase != LSSB_CONN_OPEN) {
        call_connect(op, &target);
        return;
    }
    slot->reused = true;
    client->stats.reused++;
    lssb_trace(client, LSSB_TRACE_REUSED, slot->conn.host, "", 0);
    call_exchange_start(op);
}

/* Remembers a TLS session as soon as it is there. */
static void call_connected(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    lssb_trace(client, LSSB_TRACE_CONNECTED, slot->conn.host, "", 0);
    if (slot->conn.host_tls) {
        if (slot->conn.tls->resumed(slot->conn.session))
            client->stats.resumed++;
        if (!slot->conn.tls->save(slot->conn.session, &slot->ticket))
            memset(&slot->ticket, 0, sizeof slot->ticket);
    }
    call_exchange_start(op);
}

/* ----------------------------------------------------------- the request -- */

/* Writes the window of a request that begins at `skip`. */
static void call_window(lssb_op *op, struct lssb_writer *writer, void *out,
                        size_t room)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    uint64_t body_len = slot->request_len - slot->head_len;

    if (slot->written >= slot->head_len) {
        lssb_writer_start(writer, out, room, slot->written - slot->head_len);
        writer->mark = &slot->mark;
        x->body(op, writer);
        return;
    }
    lssb_writer_start(writer, out, room, slot->written);
    lssb_request_head(op, x, body_len, writer);
    if (x->body != NULL)
        x->body(op, writer);
}

/* Something moved: a transfer's time starts anew. */
void lssb_call_moved(lssb_op *op)
{
    struct lssb_op_state *state = call_of(op);

    if (lssb_call_exchange(op)->transfer && state->attempt_ms != 0)
        state->attempt_end_at = state->client->now + state->attempt_ms;
}

/* Whether there is too little room for a chunk. */
static bool call_is_cramped(const struct lssb_slot *slot, size_t room)
{
    return slot->request_len - slot->head_len == LSSB_BODY_UNKNOWN &&
           slot->written >= slot->head_len && room < LSSB_CHUNK_LEAST;
}

/* Puts as much of the request as there is room for. */
static void call_send(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    int i;

    for (i = 0; i < CALL_PIECES && slot->written < slot->request_len; i++) {
        struct lssb_writer writer;
        size_t room;
        uint8_t *out = lssb_conn_reserve(&slot->conn, &room);

        if (out == NULL || room == 0)
            break;
        if (call_is_cramped(slot, room))
            break;
        call_window(op, &writer, out, room);
        if (writer.later && writer.len == 0) {
            client->at_once = true;
            lssb_call_moved(op);
            break;
        }
        if (writer.wrong != NULL || writer.len == 0) {
            lssb_fail(&client->error, LSSB_E_STOPPED, LSSB_LAYER_CALLER,
                      lssb_call_exchange(op)->name, ": ",
                      writer.wrong != NULL ? writer.wrong
                                           : "the request changed under way",
                      NULL);
            lssb_call_finish(op, LSSB_E_STOPPED);
            return;
        }
        lssb_conn_commit(&slot->conn, writer.len);
        slot->written += writer.len;
        client->stats.sent_bytes += writer.len;
        lssb_call_moved(op);
    }
    if (slot->written > 0)
        lssb_conn_flush(&slot->conn);
}

/* ---------------------------------------------------------------- a step -- */

/* The connection has ended, and all that came is consumed. */
static void call_ended(lssb_op *op, lssb_status status)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    const char *host = slot->conn.host;

    if (status == LSSB_END && slot->replied &&
        lssb_http_end(&slot->http) == LSSB_HTTP_DONE &&
        !lssb_reply_cut_short(op)) {
        lssb_reply_complete(op);
        return;
    }
    if (slot->failing && slot->http.status != 0) {
        lssb_reply_refused(op, false);    /* the status says enough */
        return;
    }
    if (status == LSSB_END || slot->conn.failure.status == LSSB_OK)
        lssb_fail(&slot->conn.failure, LSSB_E_CONNECTION,
                  LSSB_LAYER_TRANSPORT, lssb_call_exchange(op)->name, ": ",
                  host,
                  slot->replied ? " ended the connection in the middle of "
                                  "the reply"
                                : " ended the connection without a reply",
                  NULL);
    lssb_call_lost(op, true);
}

/* Whether there is room for more of the request: the socket may have taken
 * what filled the buffer a moment ago. */
static bool call_can_send(struct lssb_slot *slot)
{
    size_t room;

    return slot->written < slot->request_len &&
           lssb_conn_reserve(&slot->conn, &room) != NULL &&
           !call_is_cramped(slot, room);
}

/* Sends and receives until nothing moves, a bounded number of times. */
static void call_exchange_step(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    int i;

    for (i = 0; i < CALL_PIECES; i++) {
        uint64_t before = slot->written;
        lssb_status status = lssb_conn_step(&slot->conn, client->now), fed;
        const uint8_t *bytes;
        size_t len;

        if (status == LSSB_OK && slot->written < slot->request_len) {
            call_send(op);
            if (lssb_call_slot(op) == NULL)
                return;
            lssb_conn_step(&slot->conn, client->now);
        }
        bytes = lssb_conn_look(&slot->conn, &len);
        if (len == 0 && status != LSSB_OK && status != LSSB_PENDING) {
            call_ended(op, status);
            return;
        }
        if (len == 0 && slot->written == before && !call_can_send(slot))
            return;
        if (len == 0)
            continue;
        fed = lssb_reply_feed(op, bytes, len);
        if (fed != LSSB_OK)
            return;
    }
    client->at_once = true;         /* others first, then here again */
}

/* Connects, and goes on to the exchange once that is done. */
static void call_connect_step(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    lssb_status status = lssb_conn_step(&slot->conn, client->now);

    if (status == LSSB_PENDING)
        return;
    if (status == LSSB_OK) {
        call_connected(op);
        if (lssb_call_slot(op) != NULL)
            call_exchange_step(op);
        return;
    }
    if (status == LSSB_END)
        lssb_fail(&slot->conn.failure, LSSB_E_CONNECTION,
                  LSSB_LAYER_TRANSPORT, lssb_call_exchange(op)->name, ": ",
                  slot->conn.host, " ended the connection as soon as it was "
                  "open", NULL);
    lssb_call_lost(op, true);
}

/* What an operation was doing when its time was up. */
static const char *call_doing(const lssb_op *op, lssb_layer *layer)
{
    const struct lssb_slot *slot = lssb_call_slot(op);

    *layer = LSSB_LAYER_CLIENT;
    if (op->reserved.state.phase == LSSB_PHASE_OWN && slot == NULL)
        return lssb_call_exchange(op)->awaits;
    if (op->reserved.state.phase == LSSB_PHASE_OWN)
        return "following the command at ";
    if (slot == NULL && op->reserved.state.phase == LSSB_PHASE_SLOT)
        return "waiting for a free slot";
    if (slot == NULL)
        return op->reserved.state.attempt == 0 ? "waiting to ask again"
                                               : "waiting to try again";
    switch (slot->conn.phase) {
    case LSSB_CONN_RESOLVING:
        *layer = LSSB_LAYER_RESOLVE;
        return "resolving the name of ";
    case LSSB_CONN_CONNECTING:
        *layer = LSSB_LAYER_CONNECT;
        return "connecting to ";
    case LSSB_CONN_PROXY:
        *layer = LSSB_LAYER_PROXY;
        return "waiting for the proxy to reach ";
    case LSSB_CONN_HANDSHAKE:
        *layer = LSSB_LAYER_TLS;
        return "agreeing on TLS with ";
    case LSSB_CONN_CLOSED:
    case LSSB_CONN_OPEN:
    case LSSB_CONN_CLOSING:
        break;
    }
    *layer = LSSB_LAYER_TRANSPORT;
    if (slot->written < slot->request_len || !lssb_conn_sent(&slot->conn))
        return "sending the request to ";
    return slot->replied ? "receiving the reply of "
                         : "waiting for the reply of ";
}

/* Time is up between two attempts: what the one before came to. */
static void call_late_again(lssb_op *op, lssb_error *error, const char *whose)
{
    const char *name = lssb_call_exchange(op)->name;
    size_t len = strlen(name);

    *error = lssb_call_slot(op)->conn.failure;
    error->status = LSSB_E_DEADLINE;
    if (memcmp(error->message, name, len) == 0 && error->message[len] == ':')
        len += 2;                   /* it is said once */
    else
        len = 0;
    memmove(error->message, error->message + len,
            strlen(error->message + len) + 1);
    lssb_error_prefix(error, name, ": ", whose,
                      " while waiting to try again: ", NULL);
}

/* Whether it pauses between two attempts, and keeps its slot. */
static bool call_is_between(const lssb_op *op)
{
    const struct lssb_op_state *state = &op->reserved.state;

    return state->phase == LSSB_PHASE_PAUSE && state->attempt > 0 &&
           lssb_call_slot(op) != NULL &&
           lssb_call_slot(op)->conn.failure.status != LSSB_OK;
}

/* The sentence for time that is up. */
static void call_late(lssb_op *op, lssb_error *error, const char *whose)
{
    const struct lssb_slot *slot = lssb_call_slot(op);
    lssb_layer layer;
    const char *doing = call_doing(op, &layer);

    if (call_is_between(op)) {
        call_late_again(op, error, whose);
        return;
    }
    lssb_fail(error, LSSB_E_DEADLINE, layer, lssb_call_exchange(op)->name, ": ",
              whose, " while ", doing, slot != NULL ? slot->conn.host : "",
              NULL);
}

/* Whether a call ends by itself when it is asked to, once; others end now. */
static bool call_leaves(lssb_op *op, lssb_status why)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);

    if (x->leave == NULL || !x->leave(op, why))
        return false;
    call_of(op)->canceled = 0;
    call_of(op)->end_at = 0;
    return true;
}

/* Ends a call that was canceled, or whose time is up; true if it did. */
static bool call_ends(lssb_op *op)
{
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;

    if (call_canceled(op)) {
        if (call_leaves(op, LSSB_E_CANCELED))
            return false;
        call_fail(op, LSSB_E_CANCELED, LSSB_LAYER_CALLER, "canceled");
        return true;
    }
    if (state->end_at == 0 || client->now < state->end_at ||
        call_leaves(op, LSSB_E_DEADLINE))
        return false;
    call_late(op, &client->error, "the deadline passed");
    lssb_call_finish(op, LSSB_E_DEADLINE);
    return true;
}

void lssb_call_step(lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_op_state *state = call_of(op);
    struct lssb_slot *slot;

    if (state->phase == LSSB_PHASE_FINISHED || call_ends(op))
        return;
    if (x->watch != NULL && x->watch(op))
        return;
    if (state->phase == LSSB_PHASE_PAUSE &&
        state->client->now >= state->wake_at)
        state->phase = LSSB_PHASE_SLOT;
    if (state->phase == LSSB_PHASE_SLOT)
        call_take_slot(op);
    if (state->phase == LSSB_PHASE_CONNECT)
        call_connect_step(op);
    else if (state->phase == LSSB_PHASE_EXCHANGE)
        call_exchange_step(op);
    if (state->phase == LSSB_PHASE_OWN && x->step != NULL)
        x->step(op);
    slot = lssb_call_slot(op);
    if (slot == NULL || slot->conn.phase == LSSB_CONN_CLOSED ||
        state->attempt_end_at == 0 ||
        state->client->now < state->attempt_end_at)
        return;
    if (slot->failing && slot->http.status != 0 &&
        state->phase == LSSB_PHASE_EXCHANGE) {
        lssb_reply_refused(op, false);  /* the status says enough */
        return;
    }
    call_late(op, &slot->conn.failure, "the time for one attempt passed");
    lssb_call_lost(op, false);
}

bool lssb_call_waits(const lssb_op *op, uint64_t *wake_at)
{
    const struct lssb_op_state *state = &op->reserved.state;
    const struct lssb_slot *slot = state->slot;
    uint64_t at = UINT64_MAX;

    if (state->end_at != 0)
        at = state->end_at;
    if (state->phase == LSSB_PHASE_PAUSE && state->wake_at < at)
        at = state->wake_at;
    if (slot != NULL && state->attempt_end_at != 0 &&
        state->attempt_end_at < at)
        at = state->attempt_end_at;
    if (slot != NULL && slot->held > 0 &&
        state->client->now + CALL_HELD_MS < at)
        at = state->client->now + CALL_HELD_MS;
    if (at < *wake_at)
        *wake_at = at;
    if (lssb_call_exchange(op)->waits != NULL)
        lssb_call_exchange(op)->waits(op, wake_at);
    return slot != NULL && slot->held == 0;
}

/* ------------------------------------------------------------- beginning -- */

static const struct lssb_calls call_calls = {
    .step = lssb_call_step,
    .waits = lssb_call_waits,
    .step_slots = lssb_slots_step,
    .conn_waits = lssb_conn_waits,
    .close = lssb_conn_close,
    .drop = lssb_conn_drop
};

void lssb_call_add(lssb_client *client, lssb_op *op)
{
    client->calls = &call_calls;
    op->status = LSSB_PENDING;
    op->reserved.state.next = NULL;
    if (client->last != NULL)
        client->last->reserved.state.next = op;
    else
        client->first = op;
    client->last = op;
    client->operations++;
    client->at_once = true;
    if (client->operations > client->stats.operations_high)
        client->stats.operations_high = client->operations;
}

/* Whether a call may begin now. */
static lssb_status call_may_begin(lssb_client *client, const lssb_op *op)
{
    if (op == NULL && client->in_callback)
        return lssb_fail(&client->error, LSSB_E_IN_CALLBACK, LSSB_LAYER_CALLER,
                         "a waiting call was made inside a callback; give it "
                         "an operation", NULL);
    if (op != NULL && op->status == LSSB_PENDING)
        return lssb_fail(&client->error, LSSB_E_BUSY, LSSB_LAYER_CALLER,
                         "this operation is under way already", NULL);
    if (client->closing)
        return lssb_fail(&client->error, LSSB_E_CANCELED, LSSB_LAYER_CALLER,
                         "the client is being closed", NULL);
    return LSSB_OK;
}

lssb_op *lssb_call_begin(lssb_client *client, lssb_op *op, lssb_op *waiting,
                         lssb_status *status)
{
    *status = client == NULL ? LSSB_E_INVALID_ARGUMENT
                             : call_may_begin(client, op);
    if (*status != LSSB_OK) {
        if (op == NULL || op->status == LSSB_PENDING)
            return NULL;
        op->status = *status;
        if (client != NULL && op->error != NULL)
            *op->error = client->error;
        return NULL;
    }
    if (op == NULL) {
        memset(waiting, 0, sizeof *waiting);
        op = waiting;
    }
    memset(&op->reserved, 0, sizeof op->reserved);
    op->reserved.state.client = client;
    return op;
}

/* Says why a call cannot be made; LSSB_OK if it can. */
static lssb_status call_check(lssb_op *op, const struct lssb_exchange *x)
{
    lssb_client *client = lssb_call_client(op);
    const lssb_sandbox *box = op->reserved.state.box;
    struct lssb_writer writer;
    const char *wrong = NULL;
    size_t i;

    if (x->dataplane && box->dataplane_url[0] == '\0')
        return lssb_refuse_as(client, op, LSSB_E_NOT_CONFIGURED, x->name,
                              ": the sandbox ", box->name, " has no dataplane "
                              "URL yet; wait until it is ready", NULL);
    if (op->header_count > 0 && op->headers == NULL)
        wrong = "headers: NULL, but header_count is not 0";
    for (i = 0; i < op->header_count && wrong == NULL; i++)
        wrong = lssb_header_wrong(op->headers[i].name, op->headers[i].value);
    lssb_writer_start(&writer, NULL, 0, 0);
    if (wrong == NULL)
        lssb_request_head(op, x, 0, &writer);
    if (wrong == NULL && writer.wrong == NULL && x->body != NULL)
        x->body(op, &writer);
    if (wrong == NULL)
        wrong = writer.wrong;
    if (wrong != NULL && wrong == writer.wrong && writer.wrong_name != NULL)
        return lssb_refuse(client, op, x->name, ": ", writer.wrong_name, ": ",
                           wrong, NULL);
    if (wrong != NULL)
        return lssb_refuse(client, op, x->name, ": ", wrong, NULL);
    return LSSB_OK;
}

lssb_status lssb_call_go(lssb_op *op, bool wait,
                         const struct lssb_exchange *exchange,
                         uint32_t attempt_ms)
{
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;
    lssb_status status = call_check(op, exchange);

    if (status != LSSB_OK)
        return status;
    client->now = client->port->now_ms(client->port_context);
    if (attempt_ms != 0 && attempt_ms != LSSB_FOREVER)
        state->end_at = client->now + attempt_ms;
    if (exchange->upgrade)
        attempt_ms = LSSB_FOREVER;
    if (attempt_ms == 0)
        attempt_ms = exchange->transfer ? client->transfer_timeout_ms
                                        : client->timeout_ms;
    state->exchange = exchange;
    state->attempt_ms = attempt_ms == LSSB_FOREVER ? 0 : attempt_ms;
    if (op->deadline_ms != 0) {     /* the caller's measure is the only one */
        state->attempt_ms = 0;
        state->end_at = 0;
        if (op->deadline_ms != LSSB_FOREVER)
            state->end_at = client->now + op->deadline_ms;
    }
    state->phase = LSSB_PHASE_SLOT;
    lssb_call_add(client, op);
    return wait ? lssb_wait(client, op, LSSB_FOREVER) : LSSB_PENDING;
}

lssb_status lssb_call_attend(lssb_op *op, bool wait,
                             const struct lssb_exchange *exchange)
{
    struct lssb_op_state *state = call_of(op);
    lssb_client *client = state->client;

    client->now = client->port->now_ms(client->port_context);
    state->exchange = exchange;
    if (op->deadline_ms != 0 && op->deadline_ms != LSSB_FOREVER)
        state->end_at = client->now + op->deadline_ms;
    state->phase = LSSB_PHASE_OWN;
    lssb_call_add(client, op);
    return wait ? lssb_wait(client, op, LSSB_FOREVER) : LSSB_PENDING;
}

lssb_status lssb_call_next(lssb_op *op, const struct lssb_exchange *exchange,
                           uint32_t after_ms)
{
    struct lssb_op_state *state = call_of(op);

    state->exchange = exchange;
    state->attempt = 0;
    state->wake_at = state->client->now + after_ms;
    state->phase = LSSB_PHASE_PAUSE;
    if (after_ms == 0)
        state->client->at_once = true;
    return LSSB_PENDING;
}
