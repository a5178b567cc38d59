/* server.c: connections and HTTP/1.1.
 *
 * SPDX-License-Identifier: MIT
 *
 * A connection reads one request at a time: its handler hears of the body as
 * it arrives and replies now or later; while it does, nothing more is read,
 * so that pipelined requests wait in the socket. Replies go into a buffer that
 * is sent when the loop says that the socket takes it; handlers of long ones
 * fill it again when there is room. A client that stops reading or sending
 * costs one connection for a minute, never the loop.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandboxd.h"

#define SERVER_LINE 8192            /* a request line, a header field */
#define SERVER_HEADERS (32 * 1024)  /* all header fields that are kept */
#define SERVER_INPUT (16 * 1024)
#define SERVER_OUTPUT (128 * 1024)  /* where streaming replies pause */
#define SERVER_DISCARD (1024 * 1024) /* of a body that nobody wants */
#define SERVER_TURN 16              /* reads before others get their turn */

#define SERVER_IDLE_MS 75000
#define SERVER_HEAD_MS 30000
#define SERVER_STALL_MS 60000
#define SERVER_RAW_MS 300000        /* the same, for streams of bytes */
#define SERVER_LINGER_MS 2000

struct connection {
    struct server *server;
    struct connection *next;
    struct watch watch;
    struct timer timer;
    struct timer soon;              /* what is there is to be read again */
    struct tls_link *tls;
    struct lssb_http http;
    char line[SERVER_LINE];
    struct exchange *exchange;      /* NULL between requests */
    bool head_told;                 /* the handler has been started */
    uint8_t in[SERVER_INPUT];
    size_t in_from;
    size_t in_to;
    struct bytes out;
    size_t out_from;
    bool in_ended;                  /* the peer sends no more */
    bool closing;                   /* after what is in `out` */
    bool lingering;                 /* our end is sent; theirs is awaited */
    bool cut;                       /* reset after what is in `out` */
    bool starved;                   /* somebody was told that there is no room */
    bool gone;                      /* the peer has hung up, though a stream's
                                       bytes were not taken: they still are */
    bool dead;
    uint64_t head_at;               /* when this request began; 0: it has not */
    uint64_t progress_at;
};

/* ------------------------------------------------------------- transport -- */

/* Reads: bytes, 0 at the end, LINK_AGAIN or LINK_BROKEN. */
static ptrdiff_t connection_read(struct connection *c, void *to, size_t len)
{
    ssize_t got;

    if (c->tls != NULL)
        return tls_link_read(c->tls, c->watch.fd, to, len);
    got = recv(c->watch.fd, to, len, 0);
    if (got >= 0)
        return got;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
               ? LINK_AGAIN
               : LINK_BROKEN;
}

/* Writes: bytes, LINK_AGAIN or LINK_BROKEN. */
static ptrdiff_t connection_write(struct connection *c, const void *from,
                                  size_t len)
{
    ssize_t put;

    if (c->tls != NULL)
        return tls_link_write(c->tls, c->watch.fd, from, len);
    put = send(c->watch.fd, from, len, 0);
    if (put >= 0)
        return put;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
               ? LINK_AGAIN
               : LINK_BROKEN;
}

/* Ends an exchange, however: its handler lets go of what it holds. */
static void exchange_free(struct exchange *exchange)
{
    if (exchange->on_over != NULL)
        exchange->on_over(exchange);
    map_free(&exchange->headers);
    fault_free(exchange->fault);
    free(exchange->target);
    free(exchange->path);
    free(exchange->query);
    free(exchange);
}

/* Ends a connection now; `reset` drops what is unsent and says so. */
static void connection_free(struct connection *c, bool reset)
{
    struct linger hard = {1, 0};
    struct server *server = c->server;
    struct connection **link = &server->connections;

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    loop_unwatch(&server->d->loop, &c->watch);
    loop_cancel(&server->d->loop, &c->timer);
    loop_cancel(&server->d->loop, &c->soon);
    if (c->exchange != NULL)
        exchange_free(c->exchange);
    if (reset)
        setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(c->watch.fd);
    tls_link_free(c->tls);
    bytes_free(&c->out);
    free(c);
    server->count--;
    server->listener.read = true;
}

/* Whether the connection is a stream of bytes. */
static bool connection_is_raw(const struct connection *c)
{
    return c->exchange != NULL && c->exchange->raw;
}

/* Sends what waits, as far as the socket takes it; false when it is broken.
 * Reading goes on when writing fails only through the lingering end, and from
 * a stream: what its peer said before it left counts. */
static bool connection_flush(struct connection *c)
{
    while (c->out_from < c->out.len) {
        ptrdiff_t put = connection_write(c, c->out.at + c->out_from,
                                         c->out.len - c->out_from);

        if (put == LINK_BROKEN && connection_is_raw(c) && !c->closing)
            break;
        if (put == LINK_BROKEN)
            return false;
        if (put == LINK_AGAIN)
            return true;
        c->out_from += (size_t)put;
        c->progress_at = now_ms();
    }
    c->out.len = 0;
    c->out_from = 0;
    if (c->out.size > 2 * SERVER_OUTPUT)
        bytes_free(&c->out);
    return true;
}

/* Bytes that wait to be sent. */
static size_t connection_unsent(const struct connection *c)
{
    return c->out.len - c->out_from;
}

/* -------------------------------------------------------------- requests -- */

/* Percent-decoding; `plus` is a blank in forms. NULL for a bad escape or NUL. */
char *percent_decode(const char *from, size_t len, bool plus)
{
    char *to = take(len + 1);
    size_t i, n = 0;

    for (i = 0; i < len; i++) {
        char byte = from[i];

        if (byte == '%') {
            char digits[3] = {0, 0, 0}, *end;

            memcpy(digits, from + i + 1, len - i - 1 < 2 ? len - i - 1 : 2);
            byte = (char)strtol(digits, &end, 16);
            if (end != digits + 2 || byte == '\0' || digits[0] == '-' ||
                digits[0] == '+' || digits[0] == ' ') {
                free(to);
                return NULL;
            }
            i += 2;
        } else if (plus && byte == '+') {
            byte = ' ';
        }
        to[n++] = byte;
    }
    return to;
}

/* The next pair of a query, decoded and taken (a value of NULL: it cannot be
 * decoded); false at its end. */
bool form_next(const char **query, char **name, char **value)
{
    const char *at = *query;
    size_t len, equals;

    at += strspn(at, "&");
    if (*at == '\0')
        return false;
    len = strcspn(at, "&");
    equals = strcspn(at, "=&");
    *name = percent_decode(at, equals, true);
    *value = equals == len ? take_copy("")
                           : percent_decode(at + equals + 1,
                                            len - equals - 1, true);
    if (*name == NULL)
        *name = take_copy("");
    *query = at + len;
    return true;
}

/* A query's member, taken: false when it is missing; NULL when it cannot be
 * decoded. */
bool form_value(const char *query, const char *name, char **value)
{
    char *key;

    while (form_next(&query, &key, value)) {
        bool same = strcmp(key, name) == 0;

        free(key);
        if (same)
            return true;
        free(*value);
    }
    *value = NULL;
    return false;
}

/* A header's value, or NULL. */
const char *exchange_header(const struct exchange *exchange, const char *name)
{
    size_t i;

    for (i = 0; i < exchange->headers.count; i++) {
        const struct map_pair *pair = &exchange->headers.pairs[i];

        if (lssb_same_name(pair->name, strlen(pair->name), name,
                           strlen(name)))
            return pair->value;
    }
    return NULL;
}

/* Splits the target: origin form, or absolute form as proxies send it. */
static bool exchange_split(struct exchange *exchange)
{
    const char *path = exchange->target;
    size_t len;

    if (strncmp(path, "http://", 7) == 0 || strncmp(path, "https://", 8) == 0)
        path = strchr(strstr(path, "//") + 2, '/');
    if (path == NULL || *path != '/')
        return false;
    len = strcspn(path, "?#");
    exchange->path = take_copy_n(path, len);
    exchange->query = take_copy(path[len] == '?' ? path + len + 1 : "");
    return true;
}

/* A request line has come. */
static void connection_begin(struct connection *c)
{
    struct exchange *exchange = take(sizeof *exchange);

    exchange->d = c->server->d;
    exchange->connection = c;
    exchange->cut_at = UINT64_MAX;
    exchange->target = take_copy(c->http.target);
    exchange->is_head = strcmp(c->http.method, "HEAD") == 0;
    snprintf(exchange->method, sizeof exchange->method, "%s",
             c->http.method);
    c->exchange = exchange;
    c->head_told = false;
}

/* Refuses a request that cannot be understood any further. */
static void connection_refuse(struct connection *c, int status,
                              const char *message)
{
    if (c->exchange == NULL) {
        c->exchange = take(sizeof *c->exchange);
        c->exchange->d = c->server->d;
        c->exchange->connection = c;
        c->exchange->cut_at = UINT64_MAX;
    }
    c->exchange->close = true;
    c->closing = true;
    if (!c->exchange->replying)
        reply_error(c->exchange, status, "InvalidRequest", "%s", message);
}

/* A header field has come. */
static void connection_header(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    struct map *headers = &exchange->headers;

    exchange->header_bytes += strlen(c->http.name) + c->http.value_len + 4;
    if (c->http.value_cut || headers->count == MAX_HEADERS ||
        exchange->header_bytes > SERVER_HEADERS) {
        connection_refuse(c, 431, "the header fields are too large");
        return;
    }
    headers->pairs = take_more(headers->pairs, (headers->count + 1) *
                                                   sizeof *headers->pairs);
    headers->pairs[headers->count].name = take_copy(c->http.name);
    headers->pairs[headers->count].value =
        take_copy_n(c->http.value, c->http.value_len);
    headers->count++;
}

/* The head is complete: the handler starts. */
static void connection_head(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    c->head_told = true;
    exchange->has_length = c->http.has_length;
    exchange->length = c->http.length;
    exchange->close = !c->http.keep_alive;
    exchange->continued = !c->http.expects_continue;
    if (!exchange_split(exchange)) {
        connection_refuse(c, 400, "the target is no path");
        return;
    }
    exchange->fault = faults_take(exchange->d, exchange->method,
                                  exchange->path, false);
    faults_request(exchange);
}

/* Says that the body may come, to a client that waits for it. */
static void connection_continue(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    if (!exchange->continued && !exchange->replying && !exchange->paused) {
        bytes_add_string(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        exchange->continued = true;
    }
}

/* A piece of the body has come. */
static void connection_body(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    exchange->continued = true;
    if ((!exchange->replying || (exchange->duplex && !exchange->replied)) &&
        exchange->on_body != NULL) {
        exchange->on_body(exchange, c->http.body, c->http.body_len);
        return;
    }
    exchange->discarded += c->http.body_len;
    if (exchange->discarded > SERVER_DISCARD) {
        exchange->close = true;
        c->closing = c->closing || exchange->replied;
    }
}

/* The request is complete. */
static void connection_complete(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    exchange->complete = true;
    if ((!exchange->replying || (exchange->duplex && !exchange->replied)) &&
        exchange->on_end != NULL)
        exchange->on_end(exchange);
}

/* When both sides of an exchange are done, prepares for the next one. */
static bool connection_turn_over(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    if (exchange == NULL || !exchange->replied ||
        (!exchange->complete && !exchange->close))
        return false;
    c->closing = c->closing || exchange->close;
    c->cut = c->cut || exchange->cut_at != UINT64_MAX;
    exchange_free(exchange);
    c->exchange = NULL;
    c->head_at = 0;
    lssb_http_start(&c->http, true, c->line, sizeof c->line);
    return !c->closing;
}

/* Whether bytes of the peer may be looked at now. */
static bool connection_may_parse(const struct connection *c)
{
    const struct exchange *exchange = c->exchange;

    if (c->closing || c->dead)
        return false;
    if (exchange != NULL && exchange->raw)
        return !exchange->replied && (!exchange->paused || c->gone);
    return exchange == NULL ||
           (!exchange->complete &&
            (exchange->replied ||
             (!exchange->paused &&
              (!exchange->replying || exchange->duplex))));
}

/* Hands on what has arrived on a connection that is a stream of bytes now. */
static bool connection_raw(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    size_t from = c->in_from, len = c->in_to - c->in_from;

    if (len == 0)
        return false;
    c->in_from = c->in_to = 0;
    if (exchange->on_body != NULL)
        exchange->on_body(exchange, c->in + from, len);
    return true;
}

/* Parses what has arrived; whether something was found. */
static bool connection_parse(struct connection *c)
{
    size_t used = 0;
    enum lssb_http_event event;

    if (c->exchange != NULL && c->exchange->raw)
        return connection_raw(c);
    event = lssb_http_next(&c->http, c->in + c->in_from,
                           c->in_to - c->in_from, &used);
    c->in_from += used;
    if (c->in_from == c->in_to)
        c->in_from = c->in_to = 0;
    if (used > 0 && c->head_at == 0)
        c->head_at = now_ms();
    switch (event) {
    case LSSB_HTTP_MORE:
        if (c->exchange != NULL && c->head_told)
            connection_continue(c);
        return used > 0;
    case LSSB_HTTP_START:
        connection_begin(c);
        break;
    case LSSB_HTTP_HEADER:
        connection_header(c);
        break;
    case LSSB_HTTP_HEAD:
        connection_head(c);
        break;
    case LSSB_HTTP_BODY:
        connection_body(c);
        break;
    case LSSB_HTTP_DONE:
        connection_complete(c);
        break;
    case LSSB_HTTP_WRONG:
        connection_refuse(c, c->http.status, c->http.wrong);
        break;
    }
    return true;
}

/* ----------------------------------------------------------- state machine -- */

/* The peer sends no more: what has come whole is still answered. */
static void connection_end(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    c->in_ended = true;
    if (exchange == NULL)
        c->closing = true;
    else if (exchange->raw && exchange->on_end != NULL)
        exchange->on_end(exchange);
    else if (exchange->raw)
        reply_finish(exchange);
    else if (exchange->replied)
        exchange->close = true;
    else
        c->dead = !exchange->complete;
    connection_turn_over(c);
}

/* Receives into the buffer; whether anything came. */
static bool connection_fill(struct connection *c)
{
    ptrdiff_t got = 0;

    if (c->in_to == sizeof c->in)
        return false;
    if (c->in_ended && c->exchange != NULL && c->exchange->raw)
        return false;               /* its end was told */
    if (!c->in_ended)
        got = connection_read(c, c->in + c->in_to, sizeof c->in - c->in_to);
    if (got == LINK_BROKEN)
        c->dead = true;
    else if (got == 0)
        connection_end(c);
    if (got <= 0)
        return false;
    c->in_to += (size_t)got;
    c->progress_at = now_ms();
    return true;
}

/* Takes in requests until there is nothing, or one is being answered. */
static void connection_take_in(struct connection *c)
{
    int turns = 0;

    while (connection_may_parse(c)) {
        if (connection_parse(c)) {
            connection_turn_over(c);
            continue;
        }
        if (turns++ == SERVER_TURN || !connection_fill(c))
            break;
    }
}

/* The last words are written: sends our end, then swallows what the peer still
 * sends, so that a reset does not overtake the reply. */
static void connection_linger(struct connection *c)
{
    char waste[4096];
    int i;

    if (!c->lingering) {
        if (c->tls != NULL && !tls_link_close(c->tls, c->watch.fd))
            return;
        shutdown(c->watch.fd, SHUT_WR);
        c->lingering = true;
        c->head_at = now_ms();
    }
    for (i = 0; i < SERVER_TURN; i++) {
        ssize_t got = recv(c->watch.fd, waste, sizeof waste, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            c->dead = true;
        if (got <= 0)
            return;
    }
}

/* When the connection's patience ends; 0: never. */
static uint64_t connection_deadline(const struct connection *c)
{
    const struct exchange *exchange = c->exchange;

    if (c->lingering)
        return c->head_at + SERVER_LINGER_MS;
    if (connection_unsent(c) > 0)
        return c->progress_at +
               (connection_is_raw(c) ? SERVER_RAW_MS : SERVER_STALL_MS);
    if (connection_is_raw(c))
        return 0;
    if (exchange == NULL || !c->head_told)
        return c->head_at != 0 ? c->head_at + SERVER_HEAD_MS
                               : c->progress_at + SERVER_IDLE_MS;
    if (!exchange->complete && !exchange->paused)
        return c->progress_at + SERVER_STALL_MS;
    return 0;
}

/* Whether a handler has more to say. */
static bool connection_streams(const struct connection *c)
{
    const struct exchange *exchange = c->exchange;

    return exchange != NULL && exchange->replying && !exchange->replied &&
           exchange->on_room != NULL;
}

/* Says what is waited for next. */
static void connection_arm(struct connection *c)
{
    struct loop *loop = &c->server->d->loop;
    uint64_t at = connection_deadline(c);

    c->watch.write =
        connection_unsent(c) > 0 ||
        (connection_streams(c) && (!connection_is_raw(c) || c->starved));
    c->watch.hangup = connection_is_raw(c) && c->exchange->paused && !c->gone;
    c->watch.read = c->lingering ||
                    (connection_may_parse(c) && !c->in_ended &&
                     c->in_from == c->in_to);
    if (c->tls != NULL && !c->lingering)
        tls_link_wants(c->tls, &c->watch.read, &c->watch.write);
    if (at == 0)
        loop_cancel(loop, &c->timer);
    else
        loop_at(loop, &c->timer, at);
}

/* Lets a handler that streams its reply go on; a stream of bytes only when it
 * was told that there is no room. */
static void connection_refill(struct connection *c)
{
    if (!connection_streams(c) || connection_unsent(c) >= SERVER_OUTPUT ||
        (connection_is_raw(c) && !c->starved))
        return;
    c->starved = false;
    c->exchange->on_room(c->exchange);
}

/* Does all that can be done now. */
static void connection_pump(struct connection *c)
{
    connection_refill(c);
    connection_turn_over(c);
    c->dead = !connection_flush(c);
    connection_take_in(c);
    c->dead = c->dead || !connection_flush(c);
    if (!c->dead && c->closing && connection_unsent(c) == 0) {
        if (c->cut)
            c->dead = true;
        else
            connection_linger(c);
    }
    if (c->dead)
        connection_free(c, false);
    else
        connection_arm(c);
}

/* The loop says that something can be done. */
static void connection_ready(struct watch *watch, bool readable, bool writable)
{
    struct connection *c = watch->owner;

    (void)writable;
    c->gone = c->gone || (watch->hangup && readable);
    connection_pump(c);
}

/* The connection's patience has ended. */
static void connection_late(struct timer *timer)
{
    struct connection *c = timer->owner;

    if (c->lingering || connection_unsent(c) > 0 || c->head_at == 0 ||
        (c->exchange != NULL && c->exchange->replying)) {
        connection_free(c, connection_unsent(c) > 0);
        return;
    }
    connection_refuse(c, 408, "the request did not come in time");
    connection_pump(c);
}

/* Asks for a pump at the next turn of the loop: handlers reply from anywhere,
 * and the connection must outlive them. */
static void connection_kick(struct connection *c)
{
    c->watch.write = true;
}

/* It is time to read again. */
static void connection_soon(struct timer *timer)
{
    connection_pump(timer->owner);
}

/* Lets a paused body come: at the next turn, also when what is to be sent
 * cannot be, and when all that has come is in the TLS engine. */
void exchange_resume(struct exchange *exchange)
{
    struct connection *c = exchange->connection;

    exchange->paused = false;
    loop_at(&c->server->d->loop, &c->soon, now_ms());
}

/* ----------------------------------------------------------------- replies -- */

static const struct {
    int status;
    const char *reason;
} reply_reasons[] = {
    {101, "Switching Protocols"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
    {206, "Partial Content"}, {302, "Found"}, {304, "Not Modified"}, {400, "Bad Request"},
    {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
    {413, "Content Too Large"}, {414, "URI Too Long"},
    {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
    {422, "Unprocessable Content"}, {426, "Upgrade Required"}, {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
    {501, "Not Implemented"}, {502, "Bad Gateway"},
    {503, "Service Unavailable"}, {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"}};

/* The words behind a status. */
static const char *reply_reason(int status)
{
    size_t i;

    for (i = 0; i < sizeof reply_reasons / sizeof reply_reasons[0]; i++) {
        if (reply_reasons[i].status == status)
            return reply_reasons[i].reason;
    }
    return "Unknown";
}

/* Whether a fault loses the reply, though the request was served. */
static bool reply_is_lost(const struct exchange *exchange)
{
    return exchange->fault != NULL && exchange->fault->close != NULL &&
           strcmp(exchange->fault->close, "lost-reply") == 0;
}

/* Begins a reply. What is left of the request's body is swallowed if it is
 * short and on its way, else the connection ends with the reply. */
void reply_begin(struct exchange *exchange, int status)
{
    struct connection *c = exchange->connection;
    char date[32], line[128];

    if (reply_is_lost(exchange)) {
        reply_cut(exchange);
        return;
    }
    exchange->replying = true;
    if (!exchange->complete &&
        (c->http.chunked ||
         (exchange->length > 0 &&
          (!exchange->continued || exchange->length > SERVER_DISCARD))))
        exchange->close = true;
    format_http_date(date, wall_us() / 1000000);
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status,
             reply_reason(status), date);
    bytes_add_string(&c->out, line);
    if (exchange->close)
        bytes_add_string(&c->out, "Connection: close\r\n");
    connection_kick(c);
}

/* Adds a header; what would break the framing is left out. */
void reply_header(struct exchange *exchange, const char *name,
                  const char *value)
{
    struct bytes *out = &exchange->connection->out;

    if (exchange->replied || strpbrk(name, "\r\n: ") != NULL || strpbrk(value, "\r\n") != NULL)
        return;
    bytes_add_string(out, name);
    bytes_add_string(out, ": ");
    bytes_add_string(out, value);
    bytes_add_string(out, "\r\n");
}

/* Marks the reply as written whole. */
static void reply_end(struct exchange *exchange)
{
    exchange->replied = true;
    if (exchange->cut_at != UINT64_MAX)
        exchange->close = true;
}

/* Ends the head of a reply with a body of a known length. A fault may cut the
 * body in its middle. */
void reply_length(struct exchange *exchange, uint64_t length)
{
    char digits[24];

    if (exchange->replied)
        return;
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)length);
    reply_header(exchange, "Content-Length", digits);
    bytes_add_string(&exchange->connection->out, "\r\n");
    exchange->body_left = exchange->is_head ? 0 : length;
    if (exchange->fault != NULL && exchange->fault->close != NULL &&
        strcmp(exchange->fault->close, "mid-body") == 0)
        exchange->cut_at = length / 2;
    if (exchange->body_left == 0)
        reply_end(exchange);
}

/* Ends the head of a reply with a body whose length shows only at its end: in
 * chunks, or up to the end of the connection for a client of HTTP/1.0. */
void reply_chunked(struct exchange *exchange)
{
    struct connection *c = exchange->connection;

    if (exchange->replied)
        return;
    exchange->chunked = c->http.own.minor > 0;
    if (exchange->chunked)
        reply_header(exchange, "Transfer-Encoding", "chunked");
    else
        exchange->close = true;
    bytes_add_string(&c->out, "\r\n");
    exchange->body_left = UINT64_MAX;
    if (exchange->is_head)
        reply_end(exchange);
}

/* Ends the head of a reply (101) behind which the connection is a stream of
 * bytes in each direction: what arrives is told to on_body, unless `paused`,
 * its end to on_end (without one the reply is finished then); reply_body
 * sends, reply_finish ends. */
void reply_raw(struct exchange *exchange)
{
    if (exchange->replied)
        return;
    bytes_add_string(&exchange->connection->out, "\r\n");
    exchange->body_left = UINT64_MAX;
    exchange->raw = true;
    exchange->close = true;
}

/* Ends a body of which the length was not told. */
void reply_finish(struct exchange *exchange)
{
    if (exchange->replied)
        return;
    if (exchange->chunked)
        bytes_add_string(&exchange->connection->out, "0\r\n\r\n");
    reply_end(exchange);
    connection_kick(exchange->connection);
}

/* How much of a long reply should be given now. */
size_t reply_room(const struct exchange *exchange)
{
    struct connection *c = exchange->connection;
    size_t unsent = connection_unsent(c);

    if (unsent >= SERVER_OUTPUT)
        c->starved = true;
    return unsent < SERVER_OUTPUT ? SERVER_OUTPUT - unsent : 0;
}

/* Gives a piece of the body. */
void reply_body(struct exchange *exchange, const void *bytes, size_t len)
{
    if (exchange->replied)
        return;
    if (len > exchange->body_left)
        len = (size_t)exchange->body_left;
    if (exchange->body_left != UINT64_MAX)
        exchange->body_left -= len;
    if (len > exchange->cut_at)
        len = (size_t)exchange->cut_at;
    if (exchange->chunked && len > 0) {
        char line[24];

        snprintf(line, sizeof line, "%zx\r\n", len);
        bytes_add_string(&exchange->connection->out, line);
    }
    bytes_add(&exchange->connection->out, bytes, len);
    if (exchange->chunked && len > 0)
        bytes_add_string(&exchange->connection->out, "\r\n");
    if (exchange->cut_at != UINT64_MAX)
        exchange->cut_at -= len;
    if (exchange->body_left == 0 || exchange->cut_at == 0)
        reply_end(exchange);
    connection_kick(exchange->connection);
}

/* Breaks the connection after what was given: the reply cannot be finished. */
void reply_cut(struct exchange *exchange)
{
    exchange->replying = true;
    exchange->replied = true;
    exchange->close = true;
    exchange->connection->cut = true;
    connection_kick(exchange->connection);
}

/* Replies whole. */
void reply_whole(struct exchange *exchange, int status, const char *type,
                 const void *bytes, size_t len)
{
    if (exchange->replying)
        return;
    reply_begin(exchange, status);
    if (type != NULL)
        reply_header(exchange, "Content-Type", type);
    if (status == 503)
        reply_header(exchange, "Retry-After", "1");
    reply_length(exchange, len);
    reply_body(exchange, bytes, len);
}

/* Ends the head of a reply that has no body by its status. */
void reply_no_body(struct exchange *exchange)
{
    if (!exchange->replied)
        bytes_add_string(&exchange->connection->out, "\r\n");
    reply_end(exchange);
}

/* Replies without a body; 204 and 304 have no Content-Length either. */
void reply_empty(struct exchange *exchange, int status)
{
    if (status != 204 && status != 304) {
        reply_whole(exchange, status, NULL, "", 0);
        return;
    }
    reply_begin(exchange, status);
    reply_no_body(exchange);
}

/* Replies with JSON. */
void reply_json(struct exchange *exchange, int status, json_fn *write,
                const void *ctx)
{
    size_t len = 0;
    char *text = json_text(write, ctx, &len);

    if (text == NULL) {
        static const char sorry[] =
            "{\"detail\":{\"error\":\"InternalError\",\"message\":\"the "
            "reply could not be written\",\"error_id\":\"e-json\"}}";

        reply_whole(exchange, 500, "application/json", sorry,
                    sizeof sorry - 1);
        return;
    }
    reply_whole(exchange, status, "application/json", text, len);
    free(text);
}

/* The words of an error. */
struct reply_words {
    const char *type;
    const char *field;
    const char *message;
    char id[16];
};

/* Fills in the words: always UTF-8, with an id. */
static void reply_words(struct reply_words *words, struct bytes *clean,
                        const char *format, va_list args)
{
    char message[512];

    vsnprintf(message, sizeof message, format, args);
    clean_utf8(clean, message, strlen(message));
    words->message = clean->at;
    memcpy(words->id, "e-", 2);
    random_hex(words->id + 2, 10);
}

/* {"detail":{"error":…,"message":…,"error_id":…}} */
static void reply_write_error(struct lssb_json_writer *json, const void *ctx)
{
    const struct reply_words *words = ctx;

    lssb_json_object(json, NULL);
    lssb_json_object(json, "detail");
    lssb_json_string(json, "error", words->type);
    lssb_json_string(json, "message", words->message);
    lssb_json_string(json, "error_id", words->id);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Replies with an error in the documented form. */
void reply_error(struct exchange *exchange, int status, const char *type,
                 const char *format, ...)
{
    struct reply_words words;
    struct bytes clean = {0};
    va_list args;

    words.type = type;
    va_start(args, format);
    reply_words(&words, &clean, format, args);
    va_end(args);
    reply_json(exchange, status, reply_write_error, &words);
    bytes_free(&clean);
}

/* Puts the steps of a place, "mounts.0.id": what is a number is an index. */
static void reply_write_loc(struct lssb_json_writer *json, const char *place)
{
    lssb_json_array(json, "loc");
    lssb_json_string(json, NULL, "body");
    while (*place != '\0') {
        size_t len = strcspn(place, ".");
        uint64_t index;

        if (lssb_parse_u64(place, len, &index) && index <= INT64_MAX)
            lssb_json_number(json, NULL, (int64_t)index);
        else
            lssb_json_string_n(json, NULL, place, len);
        place += len + (place[len] == '.');
    }
    lssb_json_close(json);
}

/* {"detail":[{"loc":["body",…],"msg":…,"type":"value_error"}]} */
static void reply_write_problem(struct lssb_json_writer *json,
                                const void *ctx)
{
    const struct reply_words *words = ctx;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "detail");
    lssb_json_object(json, NULL);
    reply_write_loc(json, words->field);
    lssb_json_string(json, "msg", words->message);
    lssb_json_string(json, "type", words->type);
    lssb_json_close(json);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Replies 422: a member of the body is missing. */
void reply_missing(struct exchange *exchange, const char *field)
{
    struct reply_words words;

    memset(&words, 0, sizeof words);
    words.field = field;
    words.message = "field required";
    words.type = "value_error.missing";
    reply_json(exchange, 422, reply_write_problem, &words);
}

/* Replies 422: a member of the body is not acceptable. Points in its name
 * lead into objects and arrays. */
void reply_problem(struct exchange *exchange, const char *field,
                   const char *format, ...)
{
    struct reply_words words;
    struct bytes clean = {0};
    va_list args;

    words.field = field;
    words.type = "value_error";
    va_start(args, format);
    reply_words(&words, &clean, format, args);
    va_end(args);
    reply_json(exchange, 422, reply_write_problem, &words);
    bytes_free(&clean);
}

/* Replies 405 with the methods that there are. */
void reply_allow(struct exchange *exchange, const char *methods)
{
    char body[192];
    int len = snprintf(body, sizeof body,
                       "{\"detail\":{\"error\":\"MethodNotAllowed\","
                       "\"message\":\"allowed here: %s\",\"error_id\":"
                       "\"e-405\"}}",
                       methods);

    reply_begin(exchange, 405);
    reply_header(exchange, "Allow", methods);
    reply_header(exchange, "Content-Type", "application/json");
    reply_length(exchange, (uint64_t)len);
    reply_body(exchange, body, (size_t)len);
}

/* --------------------------------------------------------------- JSON body -- */

/* A body that is being collected. */
struct collector {
    struct bytes bytes;
    char *name;
    void (*then)(struct exchange *exchange, struct value body);
};

/* Frees a collector with its exchange. */
static void collect_over(struct exchange *exchange)
{
    struct collector *collector = exchange->state;

    bytes_free(&collector->bytes);
    free(collector->name);
    free(collector);
}

/* Takes a piece. */
static void collect_piece(struct exchange *exchange, const uint8_t *bytes,
                          size_t len)
{
    struct collector *collector = exchange->state;

    if (collector->bytes.len + len > exchange->d->settings.max_json)
        reply_error(exchange, 413, "InvalidRequest",
                    "the body is longer than %llu bytes",
                    (unsigned long long)exchange->d->settings.max_json);
    else
        bytes_add(&collector->bytes, bytes, len);
}

/* The body is there: checks it and hands it on. The handler may take over the
 * exchange's state. */
static void collect_end(struct exchange *exchange)
{
    struct collector *collector = exchange->state;
    const char *wrong;
    struct value body;

    if (collector->bytes.len == 0)
        bytes_add_string(&collector->bytes, "{}");
    body.at = collector->bytes.at;
    body.len = collector->bytes.len;
    wrong = value_check(body.at, body.len);
    if (wrong != NULL) {
        reply_error(exchange, 400, "InvalidRequest",
                    "the body is no JSON object: %s", wrong);
        return;
    }
    while (*body.at != '{') {
        body.at++;
        body.len--;
    }
    exchange->on_over = NULL;
    exchange->on_body = NULL;
    exchange->on_end = NULL;
    exchange->state = collector->name;
    collector->then(exchange, body);
    bytes_free(&collector->bytes);
    free(collector);
}

/* Collects a JSON body, then calls `then`. */
void collect_json(struct exchange *exchange,
                  void (*then)(struct exchange *exchange, struct value body))
{
    collect_named(exchange, NULL, then);
}

/* The same for what is about a thing of that name. */
void collect_named(struct exchange *exchange, const char *name,
                   void (*then)(struct exchange *exchange, struct value body))
{
    struct collector *collector = take(sizeof *collector);

    collector->then = then;
    collector->name = take_copy(name);
    exchange->state = collector;
    exchange->on_over = collect_over;
    exchange->on_body = collect_piece;
    exchange->on_end = collect_end;
    if (exchange->has_length &&
        exchange->length > exchange->d->settings.max_json)
        reply_error(exchange, 413, "InvalidRequest",
                    "the body is longer than %llu bytes",
                    (unsigned long long)exchange->d->settings.max_json);
}

/* --------------------------------------------------------------- listening -- */

/* Takes a new connection in. */
static void server_accept(struct watch *watch, bool readable, bool writable)
{
    struct server *server = watch->owner;
    struct sandboxd *d = server->d;
    struct connection *c;
    int one = 1, fd = accept(watch->fd, NULL, NULL);

    (void)readable;
    (void)writable;
    if (fd < 0) {
        if ((errno == EMFILE || errno == ENFILE) && server->count > 0)
            watch->read = false;    /* until a connection ends */
        return;
    }
    set_nonblocking(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = take(sizeof *c);
    c->server = server;
    c->watch.fd = fd;
    c->watch.owner = c;
    c->watch.ready = connection_ready;
    c->timer.owner = c;
    c->timer.fire = connection_late;
    c->soon.owner = c;
    c->soon.fire = connection_soon;
    c->progress_at = now_ms();
    if (server->tls != NULL)
        c->tls = tls_link_new(server->tls);
    lssb_http_start(&c->http, true, c->line, sizeof c->line);
    c->next = server->connections;
    server->connections = c;
    server->count++;
    watch->read = server->count < d->settings.max_connections;
    loop_watch(&d->loop, &c->watch);
    connection_arm(c);
}

/* Opens the socket; its descriptor, or -1. */
static int server_open(const struct addrinfo *at)
{
    int one = 1;
    int fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);

    if (fd < 0)
        return -1;
    set_nonblocking(fd);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, 128) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The port that the system chose. */
static uint16_t server_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char service[16];

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, service,
                    sizeof service, NI_NUMERICSERV) != 0)
        return 0;
    return (uint16_t)strtoul(service, NULL, 10);
}

/* Listens; writes the endpoint that clients use. */
bool server_listen(struct sandboxd *d, const char *host, uint16_t port,
                   char *endpoint, size_t endpoint_size)
{
    struct addrinfo hints, *list = NULL;
    char service[16];
    bool v6 = strchr(host, ':') != NULL;

    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return false;
    d->server.listener.fd = server_open(list);
    freeaddrinfo(list);
    if (d->server.listener.fd < 0)
        return false;
    d->server.d = d;
    d->server.listener.owner = &d->server;
    d->server.listener.read = true;
    d->server.listener.ready = server_accept;
    loop_watch(&d->loop, &d->server.listener);
    snprintf(endpoint, endpoint_size, "http%s://%s%s%s:%u",
             d->server.tls != NULL ? "s" : "", v6 ? "[" : "", host,
             v6 ? "]" : "", (unsigned)server_port(d->server.listener.fd));
    return true;
}

/* Closes every connection and the listener. */
void server_close(struct sandboxd *d)
{
    while (d->server.connections != NULL)
        connection_free(d->server.connections, false);
    loop_unwatch(&d->loop, &d->server.listener);
    close(d->server.listener.fd);
    tls_server_free(d->server.tls);
    d->server.tls = NULL;
}
