/* recorder.h: a port without sockets that writes down every request and plays
 * canned replies, in their order.
 *
 * SPDX-License-Identifier: MIT
 *
 * Smaller than scripted.h, and the other way round: nothing is routed, the
 * test says what comes back and then reads, byte by byte, what was sent. The
 * clock moves in `wait` only. A request for which no reply is left, and a wait
 * for nothing, end the program.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <stdint.h>
#include <stdlib.h>

#include "../lssb.h"
#include "../port/port.h"
#include "test.h"

/* How a reply ends. */
enum rec_fate {
    REC_LENGTH = 0,                 /* Content-Length; the connection stays */
    REC_BARE,                       /* status, headers, body as they are */
    REC_CHUNKED,                    /* five bytes a chunk */
    REC_CLOSE,                      /* no length, then the end */
    REC_CUT,                        /* with a length, but `at` bytes of the
                                       body, then the end */
    REC_LOST,                       /* the end instead of a reply */
    REC_SILENT,                     /* nothing, ever */
    REC_REFUSED,                    /* no connection */
    REC_MANY,                       /* `at` boxes: {"sandboxes":[...]} */
    REC_UPGRADE                     /* as REC_BARE; from then on what comes is
                                       kept in rec.raw */
};

struct rec_reply {
    int status;
    const char *headers;            /* each line with its CR LF */
    const char *body;
    enum rec_fate fate;
    size_t at;
};

/* A reply; one with headers; one with a fate. */
#define R(status, body) { status, "", body, REC_LENGTH, 0 }
#define RH(status, headers, body) { status, headers, body, REC_LENGTH, 0 }
#define RF(status, headers, body, fate, at) { status, headers, body, fate, at }
#define LOST { 0, "", "", REC_LOST, 0 }
#define REFUSED { 0, "", "", REC_REFUSED, 0 }

#define REC_CONNS 16
#define REC_REQUESTS 64
#define REC_TEXT 4096

struct rec_request {
    char text[REC_TEXT];            /* head and body, NUL behind them */
    size_t len;
    uint64_t at;                    /* when its last byte came */
    char host[64];                  /* the name that was resolved for it */
    size_t conn;                    /* which connection, counted from 1 */
};

struct rec_conn {
    bool open, ended;
    size_t number;
    char host[64];
    struct rec_request *request;    /* that is arriving */
    char out[32768];
    size_t out_len, out_at;
    size_t many, many_at;           /* boxes to make up, and made up */
    bool closing;                   /* the end follows what is in `out` */
    bool raw;                       /* it was upgraded */
};

static struct rec {
    struct rec_reply replies[REC_REQUESTS];
    size_t reply_count, reply_at;
    struct rec_request requests[REC_REQUESTS];
    size_t request_count;
    struct rec_conn conns[REC_CONNS];
    size_t conns_made, open_now;
    char host[64];                  /* resolved last */
    size_t split;                   /* each reply's first receive; 0: all */
    size_t piece;                   /* most that a receive gives; 0: all */
    size_t total;                   /* not 0: every request is for a page of a
                                       list of so many things, by cursor */
    size_t limited;                 /* the connection of that number takes no
                                       more than `room`; 0: none is */
    size_t room;
    char raw[65536];                /* what came on upgraded connections */
    size_t raw_len;
    uint32_t random;                /* every random number */
    uint64_t now;
    int64_t wall;
    bool job;
} rec;

#define REC_JOB 1000

static void rec_stuck(const char *why)
{
    size_t i;

    printf("  stuck: %s, row %s\n", why, test_row);
    for (i = 0; i < rec.request_count && i < REC_REQUESTS; i++)
        printf("  %.200s\n", rec.requests[i].text);
    printf("0 passed, 1 failed\n");
    exit(1);
}

/* What comes back from now on (bodies are borrowed); forgets what was sent. */
static void rec_serve(const struct rec_reply *replies, size_t count)
{
    if (count > REC_REQUESTS)
        rec_stuck("too many replies");
    if (count > 0)
        memcpy(rec.replies, replies, count * sizeof *replies);
    rec.reply_count = count;
    rec.reply_at = 0;
    rec.request_count = 0;
}

#define SERVE(...) \
    rec_serve((const struct rec_reply[]){ __VA_ARGS__ }, \
              sizeof(const struct rec_reply[]){ __VA_ARGS__ } / \
                  sizeof(struct rec_reply))

/* ------------------------------------------------------------ the server -- */

static void rec_append(struct rec_conn *conn, const char *bytes, size_t len)
{
    if (len > sizeof conn->out - conn->out_len)
        rec_stuck("a reply is larger than the recorder's buffer");
    memcpy(conn->out + conn->out_len, bytes, len);
    conn->out_len += len;
}

static void rec_append_text(struct rec_conn *conn, const char *text)
{
    rec_append(conn, text, strlen(text));
}

/* A body in chunks of five bytes, with an extension and a trailer. */
static void rec_chunks(struct rec_conn *conn, const char *body)
{
    size_t len = strlen(body), at;
    char line[32];

    for (at = 0; at < len; at += 5) {
        size_t n = len - at < 5 ? len - at : 5;

        snprintf(line, sizeof line, "%x;a=\"b\"\r\n", (unsigned)n);
        rec_append_text(conn, line);
        rec_append(conn, body + at, n);
        rec_append_text(conn, "\r\n");
    }
    rec_append_text(conn, "0\r\nX-Trailer: t\r\n\r\n");
}

/* The number behind a word of the request's first line, or 0. */
static size_t rec_number(const struct rec_conn *conn, const char *word)
{
    const char *at = strstr(conn->request->text, word);

    return at == NULL ? 0 : (size_t)strtoul(at + strlen(word), NULL, 10);
}

/* The page that is asked for, of a list that is made up. */
static void rec_page(struct rec_conn *conn)
{
    size_t at = rec_number(conn, "cursor="), end;
    char line[96], body[16384];
    int len = snprintf(body, sizeof body, "{\"items\":[");

    end = at + rec_number(conn, "page_size=");
    if (end > rec.total)
        end = rec.total;
    for (; at < end; at++)
        len += snprintf(body + len, sizeof body - (size_t)len,
                        "{\"id\":\"%u\",\"name\":\"n-%u\"}%s", (unsigned)at,
                        (unsigned)at, at + 1 < end ? "," : "");
    if (end < rec.total)
        snprintf(body + len, sizeof body - (size_t)len,
                 "],\"next_cursor\":\"%u\"}", (unsigned)end);
    else
        snprintf(body + len, sizeof body - (size_t)len,
                 "],\"next_cursor\":null}");
    conn->request = NULL;
    conn->out_len = conn->out_at = 0;
    rec.request_count = 0;
    snprintf(line, sizeof line, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n"
             "\r\n", (unsigned)strlen(body));
    rec_append_text(conn, line);
    rec_append_text(conn, body);
}

/* Puts the next reply on its way. */
static void rec_reply(struct rec_conn *conn)
{
    const struct rec_reply *reply;
    char line[96];

    if (rec.total > 0) {
        rec_page(conn);
        return;
    }
    if (rec.reply_at >= rec.reply_count)
        rec_stuck("a request for which the test has no reply");
    reply = &rec.replies[rec.reply_at++];
    conn->request = NULL;
    conn->out_len = conn->out_at = 0;
    conn->closing = reply->fate == REC_CLOSE || reply->fate == REC_CUT ||
                    reply->fate == REC_LOST || reply->fate == REC_MANY;
    if (reply->fate == REC_LOST || reply->fate == REC_SILENT)
        return;
    snprintf(line, sizeof line, "HTTP/1.1 %d Words\r\n", reply->status);
    rec_append_text(conn, line);
    rec_append_text(conn, reply->headers);
    if (reply->fate == REC_LENGTH || reply->fate == REC_CUT) {
        snprintf(line, sizeof line, "Content-Length: %u\r\n",
                 (unsigned)strlen(reply->body));
        rec_append_text(conn, line);
    }
    if (reply->fate == REC_CHUNKED)
        rec_append_text(conn, "Transfer-Encoding: chunked\r\n");
    rec_append_text(conn, "\r\n");
    conn->many = 0;
    conn->raw = reply->fate == REC_UPGRADE;
    if (reply->fate == REC_MANY) {
        conn->many = reply->at;
        conn->many_at = 0;
        rec_append_text(conn, "{\"sandboxes\":[");
    } else if (reply->fate == REC_CHUNKED) {
        rec_chunks(conn, reply->body);
    } else {
        rec_append(conn, reply->body,
                   reply->fate == REC_CUT ? reply->at : strlen(reply->body));
    }
}

/* Makes up the next boxes of a long list. */
static void rec_more(struct rec_conn *conn)
{
    char box[64];

    if (conn->many == 0 || conn->out_at < conn->out_len)
        return;
    conn->out_len = conn->out_at = 0;
    while (conn->many_at < conn->many && conn->out_len < 16000) {
        snprintf(box, sizeof box, "%s{\"name\":\"box-%u\"}",
                 conn->many_at > 0 ? "," : "", (unsigned)conn->many_at);
        rec_append_text(conn, box);
        conn->many_at++;
    }
    if (conn->many_at == conn->many) {
        rec_append_text(conn, "]}");
        conn->many = 0;
    }
}

/* Whether a request is whole; what is not JSON or a form has no body. */
static bool rec_whole(const struct rec_request *request)
{
    const char *end = strstr(request->text, "\r\n\r\n");
    const char *length = strstr(request->text, "\r\nContent-Length: ");
    const char *chunks = strstr(request->text, "\r\nTransfer-Encoding: ");
    size_t want = 0;

    if (end == NULL)
        return false;
    if (chunks != NULL && chunks < end)
        return strstr(end + 2, "\r\n0\r\n\r\n") != NULL;
    if (length != NULL && length < end)
        want = (size_t)strtoul(length + 18, NULL, 10);
    return request->len >= (size_t)(end + 4 - request->text) + want;
}

/* -------------------------------------------------------------- the port -- */

static struct rec_conn *rec_conn(lssb_handle handle)
{
    if (handle < 0 || handle >= REC_CONNS || !rec.conns[handle].open)
        rec_stuck("a handle that is not open");
    return &rec.conns[handle];
}

static uint64_t rec_now_ms(void *context)
{
    (void)context;
    return rec.now;
}

static int64_t rec_wall_s(void *context)
{
    (void)context;
    return rec.wall + (int64_t)(rec.now / 1000);
}

/* Numbers as the test says; anything longer is 0xab throughout. */
static lssb_io rec_random(void *context, void *bytes, size_t len)
{
    (void)context;
    memset(bytes, 0xab, len);
    if (len == sizeof rec.random)
        memcpy(bytes, &rec.random, len);
    return LSSB_IO_OK;
}

static lssb_io rec_resolve(void *context, const char *name, lssb_handle *job,
                           int32_t *code)
{
    (void)context;
    *code = 0;
    *job = REC_JOB;
    rec.job = true;
    snprintf(rec.host, sizeof rec.host, "%s", name);
    return LSSB_IO_OK;
}

static lssb_io rec_resolved(void *context, lssb_handle job,
                            lssb_address *addresses, size_t max, size_t *count,
                            int32_t *code)
{
    (void)context;
    (void)job;
    (void)max;
    *code = 0;
    memset(&addresses[0], 0, sizeof addresses[0]);
    addresses[0].family = 4;
    addresses[0].bytes[0] = 192;
    *count = 1;
    return LSSB_IO_OK;
}

static lssb_io rec_connect(void *context, const lssb_address *to,
                           lssb_handle *handle, int32_t *code)
{
    size_t i;

    (void)context;
    (void)to;
    *code = 0;
    if (rec.reply_at < rec.reply_count &&
        rec.replies[rec.reply_at].fate == REC_REFUSED) {
        rec.reply_at++;
        *code = 111;
        return LSSB_IO_REFUSED;
    }
    for (i = 0; i < REC_CONNS && rec.conns[i].open; i++)
        continue;
    if (i == REC_CONNS)
        rec_stuck("too many connections");
    memset(&rec.conns[i], 0, sizeof rec.conns[i]);
    rec.conns[i].open = true;
    rec.conns[i].number = ++rec.conns_made;
    memcpy(rec.conns[i].host, rec.host, sizeof rec.host);
    rec.open_now++;
    *handle = (lssb_handle)i;
    return LSSB_IO_OK;
}

static lssb_io rec_connected(void *context, lssb_handle handle, int32_t *code)
{
    (void)context;
    *code = 0;
    rec_conn(handle);
    return LSSB_IO_OK;
}

static ptrdiff_t rec_send(void *context, lssb_handle handle, const void *bytes,
                          size_t len, int32_t *code)
{
    struct rec_conn *conn = rec_conn(handle);
    struct rec_request *request = conn->request;

    (void)context;
    *code = 0;
    if (rec.limited == conn->number && len > rec.room)
        len = rec.room;
    if (rec.limited == conn->number)
        rec.room -= len;
    if (len == 0)
        return LSSB_IO_AGAIN;
    if (conn->raw) {
        if (len > sizeof rec.raw - rec.raw_len)
            rec_stuck("more came on an upgraded connection than there is "
                      "room for");
        memcpy(rec.raw + rec.raw_len, bytes, len);
        rec.raw_len += len;
        return (ptrdiff_t)len;
    }
    if (request == NULL) {
        if (rec.request_count == REC_REQUESTS)
            rec_stuck("too many requests");
        request = conn->request = &rec.requests[rec.request_count++];
        memset(request, 0, sizeof *request);
        memcpy(request->host, conn->host, sizeof request->host);
        request->conn = conn->number;
    }
    if (len > sizeof request->text - 1 - request->len)
        rec_stuck("a request is larger than the recorder's buffer");
    memcpy(request->text + request->len, bytes, len);
    request->len += len;
    request->at = rec.now;
    if (rec_whole(request))
        rec_reply(conn);
    return (ptrdiff_t)len;
}

static ptrdiff_t rec_receive(void *context, lssb_handle handle, void *bytes,
                             size_t len, int32_t *code)
{
    struct rec_conn *conn = rec_conn(handle);
    size_t n;

    (void)context;
    *code = 0;
    rec_more(conn);
    n = conn->out_len - conn->out_at;
    if (n == 0)
        return conn->closing ? 0 : LSSB_IO_AGAIN;
    if (conn->out_at < rec.split && n > rec.split - conn->out_at)
        n = rec.split - conn->out_at;
    if (rec.piece > 0 && n > rec.piece)
        n = rec.piece;
    if (n > len)
        n = len;
    memcpy(bytes, conn->out + conn->out_at, n);
    conn->out_at += n;
    return (ptrdiff_t)n;
}

static void rec_close_handle(void *context, lssb_handle handle, bool reset)
{
    (void)context;
    (void)reset;
    if (handle == REC_JOB) {
        rec.job = false;
        return;
    }
    rec_conn(handle)->open = false;
    rec.open_now--;
}

static bool rec_readable(lssb_handle handle)
{
    const struct rec_conn *conn;

    if (handle == REC_JOB)
        return true;
    conn = rec_conn(handle);
    return conn->out_at < conn->out_len || conn->closing || conn->many > 0;
}

static bool rec_writable(lssb_handle handle)
{
    return handle == REC_JOB || rec_conn(handle)->number != rec.limited ||
           rec.room > 0;
}

static lssb_io rec_wait(void *context, lssb_poll *list, size_t count,
                        uint32_t timeout_ms, int32_t *code)
{
    bool any = false;
    size_t i;

    (void)context;
    *code = 0;
    for (i = 0; i < count; i++) {
        list[i].ready = (list[i].write && rec_writable(list[i].handle)) ||
                        (list[i].read && rec_readable(list[i].handle));
        any = any || list[i].ready;
    }
    if (any)
        return LSSB_IO_OK;
    if (timeout_ms == UINT32_MAX)
        rec_stuck("a wait without end for nothing");
    rec.now += timeout_ms;
    return LSSB_IO_OK;
}

static void rec_wake(void *context)
{
    (void)context;
}

static lssb_handle rec_wake_handle(void *context)
{
    (void)context;
    return LSSB_NO_HANDLE;
}

static const lssb_port rec_port = {
    .version = LSSB_PORT_VERSION,
    .context = &rec,
    .now_ms = rec_now_ms,
    .wall_s = rec_wall_s,
    .random = rec_random,
    .resolve = rec_resolve,
    .resolved = rec_resolved,
    .connect = rec_connect,
    .connected = rec_connected,
    .send = rec_send,
    .receive = rec_receive,
    .close_handle = rec_close_handle,
    .wait = rec_wait,
    .wake = rec_wake,
    .wake_handle = rec_wake_handle,
    .wake_clear = rec_wake
};

#endif
