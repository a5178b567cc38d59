/* upgrade.c: calls that become a WebSocket, and what becomes of their failures.
 *
 * SPDX-License-Identifier: MIT
 *
 * What commands, tunnels and WebSockets to services share: the request's and
 * the reply's headers, which failure means what and whether another attempt
 * makes sense (protocol 5.7), the farewell, and waiting by oneself.
 */
#include "internal.h"

#if LSSB_WEBSOCKET || LSSB_TUNNEL

#define UPGRADE_BACKOFF_MS 8000     /* longest pause between attempts */
#define UPGRADE_RETRY_AFTER_MS 60000    /* longest, where no budget ends it */
#define UPGRADE_LEAST_PAUSE_MS 100  /* what a Retry-After may ask for */

/* ---------------------------------------------------------------- headers */

/* The key of this connection; any, while the request is made for trial. */
static void upgrade_key(const lssb_op *op, char key[LSSB_WS_KEY_SIZE])
{
    static const uint8_t none[16];
    const struct lssb_slot *slot = lssb_call_slot(op);

    lssb_ws_key(key, slot != NULL ? slot->boundary : none);
}

void lssb_upgrade_headers(const lssb_op *op, struct lssb_writer *to)
{
    char key[LSSB_WS_KEY_SIZE];

    upgrade_key(op, key);
    lssb_put_text(to, "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    lssb_put_text(to, key);
    lssb_put_text(to, "\r\n");
}

lssb_status lssb_upgrade_header(lssb_op *op, int status, const char *name,
                                const char *value, size_t len)
{
    (void)status;
    lssb_ws_upgrade_header(&lssb_call_slot(op)->upgrade, name, value, len);
    return LSSB_OK;
}

const char *lssb_upgrade_wrong(const lssb_op *op)
{
    char key[LSSB_WS_KEY_SIZE];

    upgrade_key(op, key);
    return lssb_ws_upgrade_wrong(&lssb_call_slot(op)->upgrade, key, NULL);
}

/* --------------------------------------------------------------- failures */

/* Whether another attempt would only meet the same (protocol 5.7). */
bool lssb_upgrade_is_final(const lssb_error *error)
{
    return error->status == LSSB_E_CERTIFICATE ||
           error->status == LSSB_E_UNSUPPORTED ||
           error->status == LSSB_E_PROXY;
}

lssb_status lssb_upgrade_kind(const lssb_op *op, const lssb_error *error,
                              enum lssb_upgrade_close closed)
{
    if (closed == LSSB_CLOSE_RELOAD)
        return LSSB_E_SERVER_RELOAD;
    if (closed == LSSB_CLOSE_CLEAN)
        return LSSB_E_NOT_STARTED;
    if (error->status == LSSB_E_UNAVAILABLE)
        return error->status;
    if (error->status == LSSB_E_DEADLINE ||
        (error->layer != LSSB_LAYER_TRANSPORT &&
         error->layer != LSSB_LAYER_HTTP &&
         error->layer != LSSB_LAYER_WEBSOCKET &&
         !lssb_call_slot(op)->replied))
        return LSSB_E_CONNECT_TIMEOUT;
    return LSSB_E_CONNECTION;
}

uint64_t lssb_upgrade_backoff(lssb_client *client, uint32_t next, bool jitter)
{
    uint64_t ms = UPGRADE_BACKOFF_MS;

    if (next < 6)
        ms = UINT64_C(500) << (next - 1);
    if (ms > UPGRADE_BACKOFF_MS)
        ms = UPGRADE_BACKOFF_MS;
    if (jitter)
        ms -= lssb_random_below(client, (uint32_t)ms / 5);
    return ms;
}

lssb_status lssb_upgrade_again(lssb_op *op, uint64_t ms, uint64_t end_at)
{
    lssb_client *client = lssb_call_client(op);
    uint64_t left = LSSB_UPGRADE_ATTEMPT_MS;

    if (end_at != 0 && end_at - (client->now + ms) < left)
        left = end_at - (client->now + ms);
    op->reserved.state.attempt_ms = (uint32_t)left;
    client->stats.retries++;
    lssb_error_clean(client, op);
    lssb_call_slot(op)->conn.failure = client->error;   /* for a deadline */
    lssb_trace(client, LSSB_TRACE_RETRY, lssb_call_slot(op)->conn.host,
               client->error.message, (int64_t)ms);
    lssb_call_pause(op, ms);
    if (ms == 0)
        client->at_once = true;
    return LSSB_PENDING;
}

lssb_status lssb_upgrade_open_again(lssb_op *op,
                                    enum lssb_upgrade_close closed, bool asked,
                                    uint64_t ms, uint64_t end_at)
{
    lssb_client *client = lssb_call_client(op);
    lssb_error *error = &client->error;
    uint32_t attempt = op->reserved.state.attempt;
    lssb_status kind = lssb_upgrade_kind(op, error, closed);

    if (!asked)
        ms = lssb_upgrade_backoff(client, attempt,
                                  kind == LSSB_E_CONNECT_TIMEOUT ||
                                      kind == LSSB_E_UNAVAILABLE);
    if (closed == LSSB_CLOSE_RELOAD)
        ms = 0;
    error->status = kind;
    if (attempt >= LSSB_UPGRADE_ATTEMPTS ||
        (end_at != 0 && client->now + ms >= end_at))
        return kind;
    return lssb_upgrade_again(op, ms, end_at);
}

bool lssb_upgrade_refused(const lssb_op *op, lssb_error *error,
                          const char *unknown, bool capped, uint64_t *ms)
{
    int status = error->http_status;

    error->status = status == 401 || status == 403 ? LSSB_E_AUTH
                                                   : LSSB_E_CONNECTION;
    error->resource = LSSB_RESOURCE_NONE;
    error->layer = LSSB_LAYER_WEBSOCKET;
    error->quota[0] = '\0';
    lssb_error_prefix(error,
                      status == 404 ? unknown
                                    : "the server refused the WebSocket: ",
                      NULL);
    if (status != 429 && status != 500 && (status < 502 || status > 504))
        return false;
    error->status = LSSB_E_UNAVAILABLE;
    *ms = error->retry_after_ms;
    if (lssb_call_slot(op)->retry_after_given && *ms < UPGRADE_LEAST_PAUSE_MS)
        *ms = UPGRADE_LEAST_PAUSE_MS;
    if (capped && *ms > UPGRADE_RETRY_AFTER_MS)
        *ms = UPGRADE_RETRY_AFTER_MS;
    return true;
}

void lssb_upgrade_broken(lssb_op *op, enum lssb_upgrade_close closed,
                         const char *how, const char *more)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    op->reserved.state.step = (uint8_t)closed;
    if (how != NULL)
        lssb_fail(&slot->conn.failure, LSSB_E_CONNECTION, LSSB_LAYER_WEBSOCKET,
                  lssb_call_exchange(op)->name, ": ", slot->conn.host, how,
                  more, NULL);
    lssb_call_lost(op, true);
}

void lssb_upgrade_closed(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_ws *ws = &slot->channel.ws;
    uint16_t code = ws->code;
    char text[112];             /* TLS comes on top */
    struct lssb_text more;

    lssb_text_start(&more, text, sizeof text);
    if (code != LSSB_WS_NO_CODE) {
        lssb_text_add(&more, " (code ");
        lssb_text_add_u64(&more, code);
        lssb_text_add(&more, ws->data_len > 0 ? ": " : "");
        lssb_text_add_n(&more, (const char *)ws->data, ws->data_len);
        lssb_text_add(&more, ")");
    }
    lssb_channel_close(&slot->channel,
                       code == LSSB_WS_NO_CODE ? LSSB_WS_NORMAL : code);
    lssb_upgrade_broken(op,
                        code == LSSB_WS_GOING_AWAY ? LSSB_CLOSE_RELOAD
                        : code == LSSB_WS_NORMAL || code == LSSB_WS_NO_CODE
                            ? LSSB_CLOSE_CLEAN
                            : LSSB_CLOSE_NONE,
                        " closed the WebSocket", text);
}

void lssb_upgrade_farewell(lssb_op *op, uint64_t until)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    if (slot == NULL || slot->conn.phase != LSSB_CONN_OPEN ||
        slot->http.status != 101 || slot->channel.conn != &slot->conn)
        return;
    lssb_channel_close(&slot->channel, LSSB_WS_NORMAL);
    if (!slot->channel.close_sent)
        return;
    slot->leave = lssb_channel_leave;
    slot->leave_by = until;
}

/* ------------------------------------------------------------- letting go */

bool lssb_upgrade_leave(lssb_op *op, lssb_status why, lssb_op *starter,
                        lssb_op *carrier)
{
    op->reserved.state.outcome = why;
    if (starter != NULL)
        lssb_cancel(starter);
    if (carrier->status == LSSB_PENDING)
        lssb_cancel(carrier);
    return true;
}

bool lssb_upgrade_left(lssb_op *op)
{
    lssb_status outcome = (lssb_status)op->reserved.state.outcome;

    if (outcome != LSSB_OK)
        lssb_fail(&lssb_call_client(op)->error, outcome, LSSB_LAYER_CALLER,
                  lssb_call_exchange(op)->name,
                  outcome == LSSB_E_CANCELED ? ": canceled"
                                             : ": the deadline passed",
                  "; the connection was dropped without a goodbye", NULL);
    lssb_call_finish(op, outcome);
    return true;
}

/* ---------------------------------------------------------------- waiting */

void lssb_upgrade_wait_start(struct lssb_upgrade_wait *wait,
                             lssb_client *client, uint32_t wait_ms)
{
    wait->client = client;
    wait->ms = wait_ms;
    wait->end_at = wait_ms == LSSB_FOREVER
                       ? UINT64_MAX
                       : client->port->now_ms(client->port_context) + wait_ms;
    wait->slept = false;
}

lssb_status lssb_upgrade_wait(struct lssb_upgrade_wait *wait)
{
    lssb_client *client = wait->client;
    bool gone;

    if (wait->ms == 0 || (wait->slept && client->now >= wait->end_at))
        return LSSB_AGAIN;
    if (wait->slept)
        lssb_client_sleep(client, wait->end_at);
    wait->slept = true;
    lssb_client_step(client, &gone);
    return gone ? LSSB_E_CANCELED : LSSB_OK;
}

#endif
