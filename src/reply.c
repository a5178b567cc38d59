/* reply.c: what comes back: headers, a body as JSON or as it is, a failure.
 *
 * SPDX-License-Identifier: MIT
 *
 * Bytes go from the connection through http1 and, mostly, the JSON scanner to
 * the exchange, as they arrive. What the caller does not take now stays where
 * it is, in the connection.
 */
#include "internal.h"

#define REPLY_ERROR_BODY 16384      /* bytes of a failure that are read */
#define REPLY_LONGEST_S 4000000     /* that a server may ask to wait: what is
                                       more is as long as this */
#define REPLY_IDLE_MS 15000         /* a kept-alive connection's age, if the
                                       server did not say */

/* Milliseconds of ".25": no fewer than it says. */
static uint64_t reply_fraction(const char *value, size_t len)
{
    uint64_t ms = 0, unit = 100;
    size_t i;

    for (i = 1; i < len && value[i] >= '0' && value[i] <= '9'; i++) {
        if (unit == 0 && value[i] != '0')
            return ms + 1;
        ms += (uint64_t)(value[i] - '0') * unit;
        unit /= 10;
    }
    return ms;
}

/* The reply's own Retry-After: seconds (fractions too) or a date. */
static void reply_retry_after(struct lssb_slot *slot, const char *value,
                             size_t len)
{
    lssb_client *client = lssb_call_client(slot->op);
    uint64_t ms = 0, seconds;
    size_t whole = 0;
    int64_t at;

    while (whole < len && value[whole] >= '0' && value[whole] <= '9')
        whole++;
    if (lssb_parse_u64(value, whole, &seconds) &&
        (whole == len || value[whole] == '.')) {
        ms = (seconds < REPLY_LONGEST_S ? seconds : REPLY_LONGEST_S) * 1000;
        ms += reply_fraction(value + whole, len - whole);
    } else if (lssb_parse_http_date(value, len, &at)) {
        int64_t now = client->port->wall_s(client->port_context);

        if (now > 0 && at > now)
            ms = (at - now < REPLY_LONGEST_S ? (uint64_t)(at - now)
                                             : REPLY_LONGEST_S) * 1000;
    } else {
        return;
    }
    slot->retry_after_given = true;
    slot->retry_after_ms = ms > 0 ? (uint32_t)ms : 1;
}

/* Whether a status is this exchange's success. */
static bool reply_succeeds(const lssb_op *op, int status)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);

    if (x->upgrade)
        return status == 101;
    return (status >= 200 && status < 300) ||
           (x->accepts != NULL && x->accepts(op, status));
}

/* A header of the reply. */
static lssb_status reply_header(lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    const struct lssb_http *http = &slot->http;
    size_t name_len = strlen(http->name);

    if (lssb_same_name(http->name, name_len, "Retry-After", 11))
        reply_retry_after(slot, http->value, http->value_len);
    if (slot->failing)
        return LSSB_OK;
    if ((x->url == NULL || x->sealed) &&
        lssb_same_name(http->name, name_len, "Content-Encoding", 16) &&
        !lssb_same_name(http->value, http->value_len, "identity", 8))
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_HTTP, x->name,
                         ": the reply is compressed, which was not asked for",
                         NULL);
    if (x->header != NULL)
        return x->header(op, http->status, http->name, http->value,
                         http->value_len);
    return LSSB_OK;
}

/* The header block is complete: the body goes to the scanner, or as it is. */
static lssb_status reply_head(lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    slot->keep_alive_ms = slot->http.keep_alive_s == UINT32_MAX
                              ? REPLY_IDLE_MS
                              : (uint64_t)slot->http.keep_alive_s * 1000;
    memset(&slot->json, 0, sizeof slot->json);
    slot->json.choose = slot->failing ? lssb_error_choose : x->choose;
    slot->json.ctx = op;
    lssb_json_start(&slot->json, slot->element, sizeof slot->element);
    lssb_call_trace(op, LSSB_TRACE_RESPONSE, slot->http.status);
    if (!slot->failing && x->head != NULL)
        return x->head(op, slot->http.status, &slot->http);
    return LSSB_OK;
}

/* One event of the scanner in a successful reply. */
static lssb_status reply_json_event(lssb_op *op, enum lssb_json_event event)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    if (slot->json.overflow)
        return lssb_fail(&client->error, LSSB_E_TOO_LONG, LSSB_LAYER_JSON,
                         x->name, ": an element of the reply is larger than "
                         "this build's LSSB_ELEMENT", NULL);
    if (event == LSSB_JSON_DONE)
        return LSSB_OK;
    return x->event != NULL ? x->event(op, &slot->json, event) : LSSB_OK;
}

/* Feeds the scanner; *used tells how far it got before LSSB_AGAIN. */
static lssb_status reply_json(lssb_op *op, const uint8_t *bytes, size_t len,
                             size_t *used)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    lssb_status status = LSSB_OK;

    *used = 0;
    while (*used < len && status == LSSB_OK) {
        size_t n;
        enum lssb_json_event event;

        if (x->may_hold)
            slot->own.before = slot->json;
        event = lssb_json_next(&slot->json, bytes + *used, len - *used, &n);
        *used += n;
        if (event == LSSB_JSON_MORE)
            continue;
        if (event == LSSB_JSON_WRONG)
            return lssb_fail(&client->error, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                             x->name, ": the reply is not valid JSON: ",
                             slot->json.wrong, NULL);
        status = reply_json_event(op, event);
        if (status == LSSB_AGAIN && x->may_hold) {  /* scan it again later */
            slot->json = slot->own.before;
            *used -= n;
        }
    }
    if (slot->json.high > client->stats.element_high)
        client->stats.element_high = (uint32_t)slot->json.high;
    return status;
}

/* The same for a failure's body: what cannot be read is no matter. */
static void reply_error_json(lssb_op *op, const uint8_t *bytes, size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    size_t used = 0, n;

    while (used < len && !slot->json_done &&
           slot->body_bytes <= REPLY_ERROR_BODY) {
        switch (lssb_json_next(&slot->json, bytes + used, len - used, &n)) {
        case LSSB_JSON_ELEMENT:
            if (strcmp(slot->json.key, "detail") == 0)
                lssb_error_element(&slot->conn.failure, slot->json.text,
                                   slot->json.text_len);
            break;
        case LSSB_JSON_DONE:
            slot->json_done = true;
            break;
        case LSSB_JSON_WRONG:
            return;
        default:
            break;
        }
        used += n;
    }
}

/* A piece of the body. LSSB_AGAIN: the caller takes no more now, *used bytes
 * were taken before. */
static lssb_status reply_body(lssb_op *op, const uint8_t *bytes, size_t len,
                             size_t *used)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;

    *used = len;
    if (len > 0)
        slot->body_seen = true;
    slot->body_bytes += len;
    if (slot->failing) {
        reply_error_json(op, bytes, len);
        return LSSB_OK;
    }
    if (x->raw == NULL)
        return reply_json(op, bytes, len, used);
    status = x->raw(op, bytes, len);
    if (status == LSSB_AGAIN)
        *used = 0;
    return status;
}

/* A proxy that was asked for http:// wants a password, or another one. Only
 * this status is sure to be its own and not the service's (RFC 9110 15.5.8). */
static void reply_proxy_refused(lssb_op *op)
{
    lssb_error *error = &lssb_call_client(op)->error;
    const struct lssb_proxy *proxy = NULL;
    struct lssb_target target;
    int http_status = error->http_status;

    if (lssb_request_target(op, lssb_call_exchange(op), &target) == NULL)
        proxy = lssb_request_proxy(lssb_call_client(op), &target);
    if (proxy == NULL)
        return;
    lssb_fail(error, LSSB_E_PROXY, LSSB_LAYER_PROXY, "the proxy ", proxy->host,
              proxy->userinfo == NULL
                  ? " asks for a user name and a password (HTTP 407)"
                  : " does not accept the user name and password (HTTP 407)",
              NULL);
    error->http_status = http_status;
}

/* A failure's reply is complete: its meaning, and what follows from it. */
void lssb_reply_refused(lssb_op *op, bool keep)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    lssb_error *error = &client->error;
    int http_status = slot->http.status;
    bool given = slot->retry_after_given;
    lssb_status status;

    *error = slot->conn.failure;
    if (slot->json_done && lssb_json_end(&slot->json) == LSSB_JSON_DONE)
        lssb_error_body(error, slot->json.text, slot->json.text_len);
    error->retry_after_ms = slot->retry_after_ms;
    lssb_error_mean(error, x, op, http_status);
    if (http_status == 407 && slot->conn.proxied && !slot->conn.host_tls &&
        !x->upgrade)
        reply_proxy_refused(op);
    lssb_error_clean(client, op);
    if (x->upgrade)
        lssb_conn_drop(&slot->conn, false);
    else
        lssb_slot_release(op, keep);
    if (lssb_call_refused_again(op, error, given))
        return;
    status = error->status;
    if (x->failed != NULL)
        status = x->failed(op, error);
    if (status != LSSB_PENDING)
        lssb_call_finish(op, status);
}

/* A successful reply is complete. */
static void reply_done(lssb_op *op, bool keep)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);
    const char *text = NULL;
    size_t len = 0;
    lssb_status status;

    if (slot->body_seen && x->raw == NULL) {
        if (lssb_json_end(&slot->json) != LSSB_JSON_DONE) {
            lssb_fail(&client->error, LSSB_E_PROTOCOL, LSSB_LAYER_JSON,
                      x->name, ": the reply is not valid JSON: ",
                      slot->json.wrong, NULL);
            lssb_call_finish(op, LSSB_E_PROTOCOL);
            return;
        }
        text = slot->json.text;
        len = slot->json.text_len;
    }
    status = x->done(op, text, len);
    if (!x->upgrade)
        lssb_slot_release(op, keep);
    if (status != LSSB_PENDING)
        lssb_call_finish(op, status);
}

/* The reply is complete; the connection may serve again if both sides are
 * through with it. */
void lssb_reply_complete(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    bool keep = slot->http.keep_alive && slot->written == slot->request_len &&
                lssb_conn_sent(&slot->conn) && !slot->http.until_close;

    if (slot->failing)
        lssb_reply_refused(op, keep);
    else
        reply_done(op, keep);
}

/* Breaks the HTTP rules, which another attempt would meet again. */
static void reply_wrong(lssb_op *op)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    lssb_fail(&slot->conn.failure, LSSB_E_PROTOCOL, LSSB_LAYER_HTTP,
              lssb_call_exchange(op)->name, ": the reply breaks HTTP: ",
              slot->http.wrong, NULL);
    lssb_call_lost(op, false);
}

/* What the parser found, but for a body and the end of the message. */
static lssb_status reply_event(lssb_op *op, enum lssb_http_event event)
{
    struct lssb_slot *slot = lssb_call_slot(op);

    switch (event) {
    case LSSB_HTTP_START:
        slot->failing = !reply_succeeds(op, slot->http.status);
        if (slot->failing)
            memset(&slot->conn.failure, 0, sizeof slot->conn.failure);
        return LSSB_OK;
    case LSSB_HTTP_HEADER:
        return reply_header(op);
    case LSSB_HTTP_HEAD:
        return reply_head(op);
    case LSSB_HTTP_MORE:
    case LSSB_HTTP_BODY:
    case LSSB_HTTP_DONE:
    case LSSB_HTTP_WRONG:
        break;
    }
    return LSSB_OK;
}

/* Takes bytes off the connection, and counts them. */
static void reply_consume(struct lssb_slot *slot, size_t len)
{
    lssb_conn_consume(&slot->conn, len);
    lssb_call_client(slot->op)->stats.received_bytes += len;
}

/* Offers the body's bytes that the caller did not take before. */
static lssb_status reply_feed_held(lssb_op *op, const uint8_t *bytes,
                                  size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    size_t used;
    lssb_status status;

    if (len > slot->held)
        len = slot->held;
    status = reply_body(op, bytes, len, &used);
    if (status == LSSB_OK || status == LSSB_AGAIN) {
        reply_consume(slot, used);
        slot->held -= used;
        return status;
    }
    lssb_call_finish(op, status);
    return LSSB_END;
}

/* A slice of the body that ends at `at` of this look. */
static lssb_status reply_feed_body(lssb_op *op, size_t at)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    size_t used;
    lssb_status status =
        reply_body(op, slot->http.body, slot->http.body_len, &used);

    if (status != LSSB_AGAIN)
        return status;
    slot->held = slot->http.body_len - used;
    reply_consume(slot, at - slot->held);
    return LSSB_AGAIN;
}

/* Feeds the parser with one look. LSSB_OK: all of it was taken; LSSB_AGAIN:
 * the caller takes no more now; LSSB_END: the exchange is over. */
lssb_status lssb_reply_feed(lssb_op *op, const uint8_t *bytes, size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status;
    size_t at = 0;

    slot->replied = true;
    if (slot->held > 0) {
        status = reply_feed_held(op, bytes, len);
        if (status != LSSB_OK || slot->held > 0)
            return status;
        len = 0;                    /* that may have been the last of it */
    }
    lssb_call_moved(op);
    for (;;) {
        size_t used;
        enum lssb_http_event event =
            lssb_http_next(&slot->http, bytes + at, len - at, &used);

        at += used;
        if (event == LSSB_HTTP_MORE)
            break;
        if (event == LSSB_HTTP_DONE) {
            reply_consume(slot, at);
            lssb_reply_complete(op);
            return LSSB_END;
        }
        if (event == LSSB_HTTP_WRONG) {
            reply_wrong(op);
            return LSSB_END;
        }
        if (event == LSSB_HTTP_BODY && slot->failing &&
            slot->body_bytes > REPLY_ERROR_BODY) {
            reply_consume(slot, at);
            lssb_reply_refused(op, false);  /* that says enough */
            return LSSB_END;
        }
        status = event == LSSB_HTTP_BODY ? reply_feed_body(op, at)
                                         : reply_event(op, event);
        if (status == LSSB_AGAIN)
            return LSSB_AGAIN;
        if (status != LSSB_OK) {
            lssb_call_finish(op, status);
            return LSSB_END;
        }
    }
    reply_consume(slot, at);
    return LSSB_OK;
}

/* Whether a reply that lasts until the end of its connection was cut short:
 * nothing but its JSON can tell. */
bool lssb_reply_cut_short(const lssb_op *op)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    struct lssb_slot *slot = lssb_call_slot(op);

    if (!slot->http.until_close || slot->failing || x->raw != NULL)
        return false;
    if (!slot->body_seen)
        return strcmp(x->method, "GET") == 0;
    return lssb_json_end(&slot->json) != LSSB_JSON_DONE;
}
