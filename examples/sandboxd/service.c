/* service.c: requests to a service of a box, passed on and back.
 *
 * SPDX-License-Identifier: MIT
 *
 * One connection to the service for each request. Bodies stream both ways, at
 * the pace of the slower side; a 101 turns the whole into two streams of
 * bytes. A box's services are this machine's, on its loopback addresses.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

#define SERVICE_LINE 16384          /* a header field of the service's */
#define SERVICE_INPUT 16384
#define SERVICE_UNSENT (256 * 1024) /* where the client's body waits */

struct service {
    struct exchange *exchange;
    struct watch watch;
    struct lssb_http http;
    char line[SERVICE_LINE];
    struct map headers;             /* pairs, not a map: names repeat */
    struct bytes out;               /* to the service */
    size_t out_from;
    uint8_t in[SERVICE_INPUT];
    size_t in_from;
    size_t in_to;
    char box_id[37];
    uint16_t port;
    bool v6;                        /* ::1 was tried, too */
    bool connected;
    bool chunked;                   /* the client's body */
    bool raw;                       /* behind a 101 */
    bool shut;                      /* the client's end is to be passed on */
    bool over;                      /* nothing more comes from the service */
};

static void service_ready(struct watch *watch, bool readable, bool writable);

/* ----------------------------------------------------------- connecting -- */

/* A box that is talked to is not idle. */
static void service_touch(const struct service *service)
{
    struct box *box = box_find(service->exchange->d, service->box_id);

    if (box != NULL)
        box_touch(box);
}

/* Says what is waited for next. */
static void service_arm(struct service *service)
{
    service->watch.write =
        !service->connected || service->out_from < service->out.len;
    service->watch.read = service->connected && !service->over &&
                          service->in_from == service->in_to &&
                          service->exchange->on_room == NULL;
}

/* Begins to connect to one of the loopback addresses. */
static bool service_connect(struct service *service)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int one = 1, fd, got;

    memset(&v4, 0, sizeof v4);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(service->port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&v6, 0, sizeof v6);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(service->port);
    v6.sin6_addr = in6addr_loopback;
    fd = socket(service->v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    set_nonblocking(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    got = service->v6
              ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
              : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    if (got != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    service->watch.fd = fd;
    service->watch.owner = service;
    service->watch.ready = service_ready;
    loop_watch(&service->exchange->d->loop, &service->watch);
    return true;
}

/* Lets go of the connection. */
static void service_close(struct service *service)
{
    loop_unwatch(&service->exchange->d->loop, &service->watch);
    if (service->watch.fd >= 0)
        close(service->watch.fd);
    service->watch.fd = -1;
    service->watch.read = service->watch.write = false;
    service->over = true;
}

/* Tries the other address; false, and a reply, when there is none left. */
static bool service_try_again(struct service *service)
{
    service_close(service);
    service->over = false;
    if (!service->v6) {
        service->v6 = true;
        if (service_connect(service))
            return true;
    }
    service->over = true;
    reply_error(service->exchange, 502, "ConnectionError",
                "nothing listens on port %u of the sandbox",
                (unsigned)service->port);
    return false;
}

/* ------------------------------------------------------------- requests -- */

/* Whether a header is about one connection only, or ours to set. */
static bool service_own_header(const char *name)
{
    static const char *const names[] = {
        "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade", "Content-Length", "Expect",
        LINKS_HEADER};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (lssb_same_name(name, strlen(name), names[i], strlen(names[i])))
            return true;
    }
    return false;
}

/* Adds a header to the request. */
static void service_header(struct service *service, const char *name,
                           const char *value)
{
    bytes_add_string(&service->out, name);
    bytes_add_string(&service->out, ": ");
    bytes_add_string(&service->out, value);
    bytes_add_string(&service->out, "\r\n");
}

/* Adds the client's headers, without those of its connection and our own. */
static void service_copy_headers(struct service *service)
{
    const struct map *headers = &service->exchange->headers;
    size_t i;

    for (i = 0; i < headers->count; i++) {
        const char *name = headers->pairs[i].name;

        if (lssb_same_name(name, strlen(name), "Cookie", 6)) {
            char *cookies = links_other_cookies(headers->pairs[i].value);

            if (*cookies != '\0')
                service_header(service, name, cookies);
            free(cookies);
        } else if (!service_own_header(name)) {
            service_header(service, name, headers->pairs[i].value);
        }
    }
}

/* Adds what frames the body, and what the connection shall become. */
static void service_frame(struct service *service)
{
    const struct exchange *exchange = service->exchange;
    const char *upgrade = exchange_header(exchange, "Upgrade");
    char digits[24];

    if (exchange_header(exchange, "Transfer-Encoding") != NULL) {
        service->chunked = true;
        service_header(service, "Transfer-Encoding", "chunked");
    } else if (exchange->has_length) {
        snprintf(digits, sizeof digits, "%llu",
                 (unsigned long long)exchange->length);
        service_header(service, "Content-Length", digits);
    }
    if (upgrade != NULL) {
        service_header(service, "Connection", "Upgrade");
        service_header(service, "Upgrade", upgrade);
    } else {
        service_header(service, "Connection", "close");
    }
}

/* Writes the head of the request. */
static void service_request(struct service *service, const char *target)
{
    const struct exchange *exchange = service->exchange;
    const char *host = exchange_header(exchange, "Host");

    bytes_add_string(&service->out, exchange->method);
    bytes_add_string(&service->out, " ");
    bytes_add_string(&service->out, target);
    bytes_add_string(&service->out, " HTTP/1.1\r\n");
    service_copy_headers(service);
    service_header(service, "X-Forwarded-Proto",
                   exchange->d->settings.tls ? "https" : "http");
    if (host != NULL)
        service_header(service, "X-Forwarded-Host", host);
    service_frame(service);
    bytes_add_string(&service->out, "\r\n");
}

/* A piece of the client's body, or of its stream. */
static void service_body(struct exchange *exchange, const uint8_t *bytes,
                         size_t len)
{
    struct service *service = exchange->state;
    char line[24];

    if (service->watch.fd < 0)
        return;
    service_touch(service);
    if (service->chunked) {
        snprintf(line, sizeof line, "%zx\r\n", len);
        bytes_add_string(&service->out, line);
    }
    bytes_add(&service->out, bytes, len);
    if (service->chunked)
        bytes_add_string(&service->out, "\r\n");
    if (service->out.len - service->out_from > SERVICE_UNSENT)
        exchange->paused = true;
    service_arm(service);
}

/* The client's body is complete, or its stream has ended. */
static void service_end(struct exchange *exchange)
{
    struct service *service = exchange->state;

    if (service->watch.fd < 0) {
        if (service->raw)
            reply_finish(exchange);
        return;
    }
    if (service->chunked)
        bytes_add_string(&service->out, "0\r\n\r\n");
    service->chunked = false;
    service->shut = service->raw;
    service_arm(service);
    if (service->shut && service->out_from == service->out.len)
        shutdown(service->watch.fd, SHUT_WR);
}

/* The exchange is over, however. */
static void service_over(struct exchange *exchange)
{
    struct service *service = exchange->state;

    service_close(service);
    bytes_free(&service->out);
    map_free(&service->headers);
    free(service);
}

/* Sends what waits; false when the connection is broken. */
static bool service_send(struct service *service)
{
    while (service->out_from < service->out.len) {
        ssize_t put = send(service->watch.fd,
                           service->out.at + service->out_from,
                           service->out.len - service->out_from, 0);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        service->out_from += (size_t)put;
    }
    service->out.len = service->out_from = 0;
    if (service->shut)
        shutdown(service->watch.fd, SHUT_WR);
    if (service->exchange->paused)
        exchange_resume(service->exchange);
    return true;
}

/* -------------------------------------------------------------- replies -- */

/* Keeps a header of the reply. */
static void service_keep_header(struct service *service)
{
    struct map *headers = &service->headers;

    if (service->http.value_cut || headers->count == MAX_HEADERS)
        return;
    headers->pairs = take_more(headers->pairs, (headers->count + 1) *
                                                   sizeof *headers->pairs);
    headers->pairs[headers->count].name = take_copy(service->http.name);
    headers->pairs[headers->count++].value =
        take_copy_n(service->http.value, service->http.value_len);
}

/* Whether a header of the reply is handed on; it has a date already. */
static bool service_hands_on(const char *name, int status)
{
    if (status == 101 && lssb_same_name(name, strlen(name), "Upgrade", 7))
        return true;
    return !service_own_header(name) &&
           !lssb_same_name(name, strlen(name), "Date", 4);
}

/* The head of the reply is complete: hands it on. */
static void service_head(struct service *service)
{
    struct exchange *exchange = service->exchange;
    const struct map *headers = &service->headers;
    int status = service->http.status;
    size_t i;

    reply_begin(exchange, status);
    for (i = 0; i < headers->count; i++) {
        if (service_hands_on(headers->pairs[i].name, status))
            reply_header(exchange, headers->pairs[i].name,
                         headers->pairs[i].value);
    }
    if (status == 101) {
        service->raw = true;
        reply_header(exchange, "Connection", "Upgrade");
        reply_raw(exchange);
    } else if (status == 204 || status == 304) {
        reply_no_body(exchange);
    } else if (service->http.has_length) {
        reply_length(exchange, service->http.length);
    } else {
        reply_chunked(exchange);
    }
}

/* The service's side has ended: in order, or not. */
static void service_ended(struct service *service, bool fine)
{
    struct exchange *exchange = service->exchange;

    if (!exchange->replying)
        reply_error(exchange, 502, "ConnectionError",
                    "the service did not answer");
    else if (fine)
        reply_finish(exchange);
    else if (!exchange->replied)
        reply_cut(exchange);
    service_close(service);
}

/* Parses one thing of what has come; false: no more can be done now. */
static bool service_parse(struct service *service)
{
    struct lssb_http *http = &service->http;
    size_t used = 0;
    enum lssb_http_event event = lssb_http_next(
        http, service->in + service->in_from,
        service->in_to - service->in_from, &used);

    service->in_from += used;
    switch (event) {
    case LSSB_HTTP_MORE:
        return false;
    case LSSB_HTTP_START:
        break;
    case LSSB_HTTP_HEADER:
        service_keep_header(service);
        break;
    case LSSB_HTTP_HEAD:
        service_head(service);
        break;
    case LSSB_HTTP_BODY:
        reply_body(service->exchange, http->body, http->body_len);
        break;
    case LSSB_HTTP_DONE:
        if (!service->raw)
            service_ended(service, true);
        return service->raw;
    case LSSB_HTTP_WRONG:
        service_ended(service, false);
        return false;
    }
    return true;
}

/* There is room for more of the reply. */
static void service_room(struct exchange *exchange);

/* Hands on what has come, as far as the client takes it. */
static void service_hand_on(struct service *service)
{
    struct exchange *exchange = service->exchange;

    while (!service->over) {
        size_t len = service->in_to - service->in_from;

        if (reply_room(exchange) == 0) {
            exchange->on_room = service_room;
            break;
        }
        if (!service->raw) {
            if (!service_parse(service))
                break;
            continue;
        }
        if (len == 0)
            break;
        reply_body(exchange, service->in + service->in_from, len);
        service->in_from = service->in_to;
    }
}

/* There is room for more of the reply. */
static void service_room(struct exchange *exchange)
{
    struct service *service = exchange->state;

    exchange->on_room = NULL;
    service_hand_on(service);
    if (service->watch.fd >= 0)
        service_arm(service);
}

/* Receives; false at the end, which is told. */
static bool service_receive(struct service *service)
{
    ssize_t got = recv(service->watch.fd, service->in, sizeof service->in, 0);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK ||
                    errno == EINTR))
        return true;
    if (got <= 0) {
        service_ended(service, got == 0 &&
                                   (service->raw ||
                                    lssb_http_end(&service->http) ==
                                        LSSB_HTTP_DONE));
        return false;
    }
    service_touch(service);
    service->in_from = 0;
    service->in_to = (size_t)got;
    service_hand_on(service);
    return true;
}

/* Whether the connection has come about; else another is tried. */
static bool service_connected(struct service *service)
{
    int why = 0;
    socklen_t len = sizeof why;

    if (getsockopt(service->watch.fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 &&
        why == 0) {
        service->connected = true;
        return true;
    }
    if (service_try_again(service))
        service_arm(service);
    return false;
}

/* The loop says that something can be done. Reading goes on when writing
 * fails: the reply may have come before. */
static void service_ready(struct watch *watch, bool readable, bool writable)
{
    struct service *service = watch->owner;

    (void)writable;
    if (!service->connected && !service_connected(service))
        return;
    if (!service_send(service)) {
        service->out.len = service->out_from = 0;
        readable = true;
    }
    if (readable && watch->read && !service_receive(service))
        return;
    if (service->watch.fd >= 0)
        service_arm(service);
}

/* Passes a request on to the service on a port of a box. */
void service_pass(struct exchange *exchange, struct box *box, uint16_t port,
                  const char *target)
{
    struct service *service = take(sizeof *service);

    memcpy(service->box_id, box->id, sizeof service->box_id);
    service->exchange = exchange;
    service->port = port;
    service_touch(service);
    service->watch.fd = -1;
    exchange->state = service;
    exchange->on_over = service_over;
    exchange->on_body = service_body;
    exchange->on_end = service_end;
    exchange->duplex = true;
    lssb_http_start(&service->http, false, service->line,
                    sizeof service->line);
    service->http.head_request = exchange->is_head;
    service_request(service, target);
    if (service_connect(service) || service_try_again(service))
        service_arm(service);
}
