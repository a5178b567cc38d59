/* scripted.h: a port that is a script: no sockets, a clock that only `wait`
 * moves, and a server of canned replies behind it.
 *
 * SPDX-License-Identifier: MIT
 *
 * The server answers by a table of routes. What it heard is kept: every
 * request of which at least a byte came, the last head and body, and a
 * checksum of all bytes and of all calls of the port. Any call of the port can
 * be made to fail, once or from then on. A handle that is used after its end,
 * waited for in vain or forgotten is found out.
 *
 * A connection that is upgraded goes to whoever asked for it (scripted_ws.h).
 * The first connection to move so many bytes in a direction can be cut there.
 */
#ifndef SCRIPTED_H
#define SCRIPTED_H

#include <stdint.h>
#include <stdlib.h>

#include "../lssb.h"
#include "../port/port.h"
#include "test.h"

/* ------------------------------------------------------------ the script -- */

/* How a reply is framed, or not. */
enum script_how {
    SCRIPT_LENGTH = 0,              /* Content-Length, kept alive */
    SCRIPT_RANGES,                  /* the same, and a part if asked for */
    SCRIPT_CHUNKED,                 /* seven bytes a chunk, kept alive */
    SCRIPT_CLOSE,                   /* until the end of the connection */
    SCRIPT_BYE,                     /* Content-Length, then the end */
    SCRIPT_CUT,                     /* half of the body, then the end */
    SCRIPT_RESET,                   /* half of the body, then a reset */
    SCRIPT_HALF,                    /* half of the body, then nothing */
    SCRIPT_GONE,                    /* the end instead of a reply */
    SCRIPT_SILENT                   /* nothing, ever */
};

struct script_reply {
    int status;                     /* 0: none; the one before it repeats */
    const char *body;
    const char *headers;            /* each line with its CR LF */
    enum script_how how;
    uint32_t delay_ms;
};

struct script_route {
    const char *request;            /* "GET /v2/sandboxes/boxes/a" */
    struct script_reply replies[5]; /* in turn; the last one repeats */
};

enum script_mode {
    SCRIPT_WHOLE = 0,               /* as much as there is */
    SCRIPT_BYTE,                    /* one byte a call */
    SCRIPT_EVERY_OTHER,             /* every other call would block */
    SCRIPT_BYTE_EVERY_OTHER,        /* both */
    SCRIPT_MODES
};

enum script_kind {
    SCRIPT_NOTHING = 0,
    SCRIPT_RESOLVE,
    SCRIPT_RESOLVED,
    SCRIPT_CONNECT,
    SCRIPT_CONNECTED,
    SCRIPT_SEND,
    SCRIPT_RECEIVE,
    SCRIPT_WAIT,
    SCRIPT_RANDOM,
    SCRIPT_KINDS
};

#define SCRIPT_HANDLES 128
#define SCRIPT_BUFFER 24576
#define SCRIPT_ENTRIES 400
#define SCRIPT_ROUTES 128
#define SCRIPT_NEVER UINT64_MAX
#define SCRIPT_END_OF_STREAM 1      /* a failure: receive says 0 */

struct script_handle {
    bool open, job, broken, ended;
    unsigned sends, receives;       /* turns */
    uint8_t record_have, record_type;   /* of the TLS record that arrives */
    uint16_t record_left;
    bool head;                      /* the request's head is there */
    uint32_t generation;
    uint64_t ready_at;              /* resolved, connected */
    uint64_t reply_at;              /* when what is in `out` can be read */
    lssb_io connects;
    uint8_t address;
    struct script_entry *entry;     /* the request that is arriving */
    bool dead;                      /* cut: nothing comes or arrives */
    void *peer;                     /* upgraded: whose it is */
    uint64_t next_at;               /* when that has something to send */
    size_t in_len;
    size_t out_len, out_at;
    char in[SCRIPT_BUFFER];
    char out[SCRIPT_BUFFER];
};

/* Who takes connections that are upgraded. */
struct script_peers {
    /* A request for an upgrade has come, its head is in script.head: answers
     * it with script_out; true if the connection is its own from now on. */
    bool (*upgrade)(struct script_handle *handle);
    void (*hear)(struct script_handle *handle, uint8_t byte);
    void (*refill)(struct script_handle *handle);   /* nothing is in `out` */
    void (*gone)(struct script_handle *handle);     /* the client closed it */
};

/* How a connection is cut. */
enum script_cut {
    SCRIPT_CUT_END = 0,             /* the end of the stream */
    SCRIPT_CUT_RESET,
    SCRIPT_CUT_SILENCE,             /* neither arrives anything any more */
    SCRIPT_CUTS
};

/* A request of which something arrived. */
struct script_entry {
    char line[200];                 /* "GET /path" as far as it came */
    size_t bytes;
    bool whole;
    uint64_t at;                    /* when it was whole */
    size_t content_len;             /* of a form's part, or of the body */
    uint64_t content_sum;
};

static struct script {
    enum script_mode mode;
    uint64_t now;
    int64_t wall;
    uint32_t resolve_ms, connect_ms;
    lssb_io resolve_io;
    bool stuck_resolving, stuck_connecting, stuck_sending;
    bool records;                   /* what arrives is TLS records */
    size_t address_count;
    lssb_io connect_io[4];          /* of each address */
    const lssb_io *connect_plan;    /* of each connection in turn, instead */
    size_t connect_plan_count;
    size_t connect_count;
    const struct script_route *routes[2];
    size_t route_count[2];
    unsigned route_hits[SCRIPT_ROUTES];
    const char *const *environment; /* name, value, … NULL */
    unsigned forgotten;             /* how often it was given back */
    const struct script_peers *peers;

    enum script_cut cut;            /* once so many bytes have moved: */
    size_t cut_sent, cut_received;  /* 0: not there */
    size_t moved_sent, moved_received;
    size_t cut_every;               /* again after so many; 0: once */
    unsigned cuts;                  /* how often that was */

    unsigned long calls, waits;
    unsigned long fail_at;          /* this call of the port fails; 0: none */
    bool fail_on;                   /* and all of that kind after it */
    int fail_io;                    /* lssb_io or SCRIPT_END_OF_STREAM */
    enum script_kind failed;        /* what failed */
    size_t failed_after;            /* how many requests had begun by then */
    volatile bool woken;            /* perhaps by another thread */
    void (*each)(unsigned long call);   /* at every call of the port */

    struct script_entry entries[SCRIPT_ENTRIES];
    size_t entry_count;
    size_t heard_from;              /* where script_heard begins */
    char head[4096];                /* of the last whole request */
    char body[SCRIPT_BUFFER];
    size_t body_len;
    uint64_t bytes_sum, calls_sum;
    unsigned long opened, open_now, open_most, resets;
    char name[300];                 /* the last one resolved */
    uint16_t port;                  /* the last one connected to */
    uint32_t random;
    bool port_open;
    uint32_t generation;
    struct script_handle handles[SCRIPT_HANDLES];
} script;

/* Gives up: what hangs cannot be tested any further. */
static void script_stuck(const char *why)
{
    size_t i;

    printf("  stuck: %s (row %s, call %lu, fail_at %lu, mode %d)\n", why,
           test_row, script.calls, script.fail_at, (int)script.mode);
    for (i = 0; i < script.entry_count; i++)
        printf("    %s\n", script.entries[i].line);
    printf("0 passed, 1 failed\n");
    fflush(stdout);
    exit(1);
}

static void script_sum(uint64_t *sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        *sum = (*sum ^ p[i]) * UINT64_C(1099511628211);
}

static void script_note(enum script_kind kind, long long result)
{
    script_sum(&script.calls_sum, &kind, sizeof kind);
    script_sum(&script.calls_sum, &result, sizeof result);
}

/* Counts a call of the port; true when it is to fail. */
static bool script_fails(enum script_kind kind, int32_t *code)
{
    bool fails;

    *code = 0;
    script.calls++;
    if (script.calls > 20000000)
        script_stuck("twenty million calls of the port");
    if (script.each != NULL)
        script.each(script.calls);
    fails = script.calls == script.fail_at ||
            (script.fail_on && script.failed == kind);
    if (!fails)
        return false;
    if (script.failed == SCRIPT_NOTHING)
        script.failed_after = script.entry_count;
    script.failed = kind;
    *code = 77;
    return true;
}

/* The failure as a call other than receive says it. */
static lssb_io script_failure(void)
{
    return script.fail_io == SCRIPT_END_OF_STREAM ? LSSB_IO_RESET
                                                  : (lssb_io)script.fail_io;
}

static struct script_handle *script_handle(lssb_handle handle)
{
    size_t index = (size_t)handle % SCRIPT_HANDLES;

    if (handle < 0 || index >= SCRIPT_HANDLES ||
        !script.handles[index].open ||
        script.handles[index].generation != (uint32_t)(handle / SCRIPT_HANDLES))
        script_stuck("a handle was used that is not open");
    return &script.handles[index];
}

static struct script_handle *script_new_handle(lssb_handle *handle, bool job)
{
    size_t i;
    struct script_handle *new_one;

    for (i = 0; i < SCRIPT_HANDLES && script.handles[i].open; i++)
        continue;
    if (i == SCRIPT_HANDLES)
        script_stuck("too many open handles");
    new_one = &script.handles[i];
    new_one->open = true;
    new_one->job = job;
    new_one->broken = false;
    new_one->ended = false;
    new_one->head = false;
    new_one->sends = new_one->receives = 0;
    new_one->record_have = 0;
    new_one->generation = ++script.generation;
    new_one->reply_at = 0;
    new_one->connects = LSSB_IO_OK;
    new_one->entry = NULL;
    new_one->dead = false;
    new_one->peer = NULL;
    new_one->next_at = SCRIPT_NEVER;
    new_one->in_len = new_one->out_len = new_one->out_at = 0;
    *handle = (lssb_handle)new_one->generation * SCRIPT_HANDLES +
              (lssb_handle)i;
    script.opened++;
    if (++script.open_now > script.open_most)
        script.open_most = script.open_now;
    return new_one;
}

/* ------------------------------------------------------------ the server -- */

static const struct script_reply *script_route(const char *line)
{
    size_t t, i, index = 0;

    for (t = 0; t < 2; t++)
        for (i = 0; i < script.route_count[t]; i++, index++) {
            const struct script_route *route = &script.routes[t][i];
            unsigned hit;

            if (route->request == NULL || strcmp(route->request, line) != 0)
                continue;
            hit = script.route_hits[index]++;
            if (hit > 4)
                hit = 4;
            while (hit > 0 && route->replies[hit].status == 0)
                hit--;
            return &route->replies[hit];
        }
    return NULL;
}

static void script_out(struct script_handle *to, const char *bytes, size_t len)
{
    if (to->out_len + len > SCRIPT_BUFFER)
        script_stuck("a reply is too large");
    memcpy(to->out + to->out_len, bytes, len);
    to->out_len += len;
}

static void script_chunks(struct script_handle *to, const char *body,
                          size_t len)
{
    char line[32];
    size_t n;

    for (; len > 0; body += n, len -= n) {
        n = len < 7 ? len : 7;
        script_out(to, line, (size_t)sprintf(line, "%x;a=b\r\n", (unsigned)n));
        script_out(to, body, n);
        script_out(to, "\r\n", 2);
    }
    script_out(to, "0\r\nX-Trailer: 1\r\n\r\n", 19);
}

/* Answers "Range: bytes=A-" and "bytes=A-B"; false without one. */
static bool script_part(struct script_handle *to,
                        const struct script_reply *reply, const char *body)
{
    const char *range = strstr(script.head, "\r\nRange: bytes=");
    size_t from, last, len = strlen(body);
    char head[512], *end;

    if (range == NULL)
        return false;
    from = (size_t)strtoul(range + 15, &end, 10);
    last = end[1] != '\r' ? (size_t)strtoul(end + 1, NULL, 10) : len - 1;
    if (last >= len)
        last = len - 1;
    EXPECT(from <= last);
    script_out(to, head, (size_t)sprintf(
                             head, "HTTP/1.1 206 Part\r\n%sContent-Range: "
                             "bytes %u-%u/%u\r\nContent-Length: %u\r\n\r\n",
                             reply->headers != NULL ? reply->headers : "",
                             (unsigned)from, (unsigned)last, (unsigned)len,
                             (unsigned)(last - from + 1)));
    script_out(to, body + from, last - from + 1);
    return true;
}

static void script_answer(struct script_handle *to, const char *line)
{
    static const struct script_reply missing = {
        404, "{\"detail\":{\"error\":\"NotFound\",\"message\":\"no route\"}}",
        NULL, SCRIPT_LENGTH, 0
    };
    const struct script_reply *reply = script_route(line);
    const char *body;
    enum script_how how;
    char head[1024];
    size_t len;
    int n;

    if (reply == NULL)
        reply = &missing;
    how = reply->how;
    if (how == SCRIPT_SILENT)
        return;
    to->reply_at = script.now + reply->delay_ms;
    to->ended = how == SCRIPT_GONE || how == SCRIPT_BYE ||
                how == SCRIPT_CLOSE || how == SCRIPT_CUT;
    if (how == SCRIPT_GONE)
        return;
    body = reply->body != NULL ? reply->body : "";
    if (how == SCRIPT_RANGES && script_part(to, reply, body))
        return;
    len = strlen(body);
    n = sprintf(head, "HTTP/1.1 %d Said\r\n%s", reply->status,
                reply->headers != NULL ? reply->headers : "");
    if (how == SCRIPT_CHUNKED)
        n += sprintf(head + n, "Transfer-Encoding: chunked\r\n\r\n");
    else if (how == SCRIPT_CLOSE)
        n += sprintf(head + n, "Connection: close\r\n\r\n");
    else if (reply->status == 204 || reply->status == 304)
        n += sprintf(head + n, "\r\n");
    else
        n += sprintf(head + n, "Content-Length: %u\r\n\r\n", (unsigned)len);
    script_out(to, head, (size_t)n);
    if (strncmp(line, "HEAD ", 5) == 0)
        return;
    if (how == SCRIPT_CHUNKED)
        script_chunks(to, body, len);
    else
        script_out(to, body,
                   how == SCRIPT_CUT || how == SCRIPT_RESET ||
                           how == SCRIPT_HALF
                       ? len / 2
                       : len);
    to->broken = how == SCRIPT_RESET;
}

/* The length that a head announces. */
static size_t script_length(const char *head)
{
    const char *at = strstr(head, "\r\nContent-Length: ");

    return at != NULL ? (size_t)strtoul(at + 18, NULL, 10) : 0;
}

/* Follows the first line of the request that is arriving. */
static void script_follow(struct script_handle *from, char byte)
{
    struct script_entry *entry = from->entry;
    size_t len;

    if (entry == NULL) {
        if (script.entry_count == SCRIPT_ENTRIES)
            script_stuck("too many requests");
        entry = from->entry = &script.entries[script.entry_count++];
        memset(entry, 0, sizeof *entry);
    }
    entry->bytes++;
    len = strlen(entry->line);
    if (len == entry->bytes - 1 && byte != '\r' &&
        len + 1 < sizeof entry->line)
        entry->line[len] = byte;
}

/* Whether the line is complete; cuts " HTTP/1.1" off. */
static void script_cut_line(struct script_entry *entry)
{
    char *end = strstr(entry->line, " HTTP/1.1");

    if (end == NULL)
        script_stuck("a request line without its end");
    else
        *end = '\0';
}

/* Whether a head asks for a WebSocket. */
static bool script_upgrades(const char *head)
{
    return strstr(head, "\r\nUpgrade: websocket\r\n") != NULL;
}

/* Notes the content of the last body; of a form, that of its part. */
static void script_content(struct script_entry *entry)
{
    const char *from = script.body, *end = script.body + script.body_len;
    const char *part = strstr(from, "\r\n\r\n");
    size_t tail = 2 + 2 + 5 + 32 + 2 + 2;   /* CR LF "--lssb-…--" CR LF */

    if (strncmp(from, "--", 2) == 0 && part != NULL) {
        from = part + 4;
        EXPECT((size_t)(end - from) >= tail);
        end -= tail;
    }
    entry->content_len = (size_t)(end - from);
    entry->content_sum = UINT64_C(14695981039346656037);
    script_sum(&entry->content_sum, from, entry->content_len);
}

/* Takes one byte of a request; answers when it is whole. */
static void script_hear(struct script_handle *from, char byte)
{
    char *blank;
    size_t head_len, body_len;

    if (from->peer != NULL) {
        script.peers->hear(from, (uint8_t)byte);
        return;
    }
    script_follow(from, byte);
    if (from->in_len + 1 >= SCRIPT_BUFFER)
        script_stuck("a request is too large");
    from->in[from->in_len++] = byte;
    from->in[from->in_len] = '\0';
    if (!from->head && (byte != '\n' || from->in_len < 4 ||
                        memcmp(from->in + from->in_len - 4, "\r\n\r\n", 4)))
        return;
    from->head = true;
    blank = strstr(from->in, "\r\n\r\n");
    head_len = (size_t)(blank - from->in) + 4;
    body_len = script_length(from->in);
    if (from->in_len < head_len + body_len)
        return;
    script_cut_line(from->entry);
    from->entry->whole = true;
    from->entry->at = script.now;
    memset(script.head, 0, sizeof script.head);
    memcpy(script.head, from->in,
           head_len < sizeof script.head ? head_len : sizeof script.head - 1);
    memcpy(script.body, from->in + head_len, body_len);
    script.body[body_len] = '\0';
    script.body_len = body_len;
    script_content(from->entry);
    if (script.peers == NULL || !script_upgrades(from->in) ||
        !script.peers->upgrade(from))
        script_answer(from, from->entry->line);
    from->entry = NULL;
    from->head = false;
    from->in_len = 0;
}

/* Lets the owner of an upgraded connection send what it has by now. */
static void script_refill(struct script_handle *at)
{
    if (at->peer != NULL && at->out_at == at->out_len && !at->broken &&
        !at->ended && !at->dead)
        script.peers->refill(at);
}

/* Cuts a connection here. */
static void script_cut_now(struct script_handle *at)
{
    script.cuts++;
    script.moved_sent = script.moved_received = 0;
    if (script.cut_every == 0)
        script.cut_sent = script.cut_received = 0;
    else if (script.cut_sent != 0)
        script.cut_sent = script.cut_every;
    else
        script.cut_received = script.cut_every;
    at->dead = true;
    at->next_at = SCRIPT_NEVER;
    at->out_len = at->out_at = 0;
    at->broken = script.cut == SCRIPT_CUT_RESET;
    at->ended = script.cut == SCRIPT_CUT_END;
}

/* Whether this byte is the one at which a connection is cut. */
static bool script_cuts(struct script_handle *at, size_t limit, size_t *moved)
{
    if (limit == 0 || at->dead || ++*moved < limit)
        return false;
    script_cut_now(at);
    return true;
}

/* Takes one byte of a TLS record (scripted_tls.h). */
static void script_unwrap(struct script_handle *from, uint8_t byte)
{
    if (from->record_have == 0)
        from->record_type = byte;
    if (from->record_have < 5) {
        from->record_have++;
        from->record_left = (uint16_t)(from->record_left << 8 | byte);
    } else {
        from->record_left--;
        if (from->record_type == 23)
            script_hear(from, (char)byte);
    }
    if (from->record_have == 5 && from->record_left == 0)
        from->record_have = 0;
}

/* -------------------------------------------------------------- the port -- */

static lssb_io script_open(void *context, int32_t *code)
{
    (void)context;
    *code = 0;
    script.port_open = true;
    return LSSB_IO_OK;
}

static void script_close(void *context, bool forked)
{
    (void)context;
    (void)forked;
    EXPECT(script.port_open);
    script.port_open = false;
}

static uint64_t script_now_ms(void *context)
{
    (void)context;
    return script.now;
}

static int64_t script_wall_s(void *context)
{
    (void)context;
    return script.wall;
}

static lssb_io script_random(void *context, void *bytes, size_t len)
{
    uint8_t *to = bytes;
    int32_t code;
    size_t i;

    (void)context;
    script_note(SCRIPT_RANDOM, (long long)len);
    if (script_fails(SCRIPT_RANDOM, &code))
        return LSSB_IO_FAILED;
    for (i = 0; i < len; i++) {
        script.random = script.random * 1103515245 + 12345;
        to[i] = (uint8_t)(script.random >> 16);
    }
    return LSSB_IO_OK;
}

static const char *script_environment(void *context, const char *name)
{
    size_t i;

    (void)context;
    script.forgotten += name[0] == '\0';
    for (i = 0; script.environment != NULL && script.environment[i] != NULL;
         i += 2)
        if (strcmp(script.environment[i], name) == 0)
            return script.environment[i + 1];
    return NULL;
}

static lssb_io script_resolve(void *context, const char *name,
                              lssb_handle *job, int32_t *code)
{
    struct script_handle *handle;

    (void)context;
    script_note(SCRIPT_RESOLVE, name[0]);
    if (script_fails(SCRIPT_RESOLVE, code))
        return script_failure();
    EXPECT(strlen(name) < sizeof script.name);
    strcpy(script.name, name);
    handle = script_new_handle(job, true);
    handle->ready_at = script.stuck_resolving
                           ? SCRIPT_NEVER
                           : script.now + script.resolve_ms;
    return LSSB_IO_OK;
}

static lssb_io script_resolved(void *context, lssb_handle job,
                               lssb_address *addresses, size_t max,
                               size_t *count, int32_t *code)
{
    struct script_handle *handle = script_handle(job);
    size_t i;

    (void)context;
    script_note(SCRIPT_RESOLVED, (long long)max);
    if (script_fails(SCRIPT_RESOLVED, code))
        return script_failure();
    if (script.now < handle->ready_at)
        return LSSB_IO_AGAIN;
    if (script.resolve_io != LSSB_IO_OK) {
        *code = 8;
        return script.resolve_io;
    }
    for (i = 0; i < script.address_count && i < max; i++) {
        memset(&addresses[i], 0, sizeof addresses[i]);
        addresses[i].family = 4;
        addresses[i].bytes[0] = 10;
        addresses[i].bytes[3] = (uint8_t)i;
    }
    *count = i;
    return LSSB_IO_OK;
}

static lssb_io script_connect(void *context, const lssb_address *to,
                              lssb_handle *handle, int32_t *code)
{
    struct script_handle *new_one;

    (void)context;
    script_note(SCRIPT_CONNECT, to->port);
    if (script_fails(SCRIPT_CONNECT, code))
        return script_failure();
    script.port = to->port;
    new_one = script_new_handle(handle, false);
    new_one->address = to->bytes[3] < 4 ? to->bytes[3] : 0;
    new_one->connects = script.connect_io[new_one->address];
    if (script.connect_count < script.connect_plan_count)
        new_one->connects = script.connect_plan[script.connect_count];
    script.connect_count++;
    new_one->ready_at = script.stuck_connecting
                            ? SCRIPT_NEVER
                            : script.now + script.connect_ms;
    return LSSB_IO_OK;
}

static lssb_io script_connected(void *context, lssb_handle handle,
                                int32_t *code)
{
    struct script_handle *at = script_handle(handle);

    (void)context;
    script_note(SCRIPT_CONNECTED, 0);
    if (script_fails(SCRIPT_CONNECTED, code))
        return script_failure();
    if (script.now < at->ready_at)
        return LSSB_IO_AGAIN;
    if (at->connects != LSSB_IO_OK)
        *code = 111;
    else
        at->ready_at = 0;
    return at->connects;
}

/* Whether this turn would block. */
static bool script_blocks(unsigned *turn)
{
    return (script.mode == SCRIPT_EVERY_OTHER ||
            script.mode == SCRIPT_BYTE_EVERY_OTHER) &&
           (*turn)++ % 2 == 0;
}

static size_t script_piece(size_t len)
{
    return script.mode == SCRIPT_BYTE || script.mode == SCRIPT_BYTE_EVERY_OTHER
               ? 1
               : len;
}

static ptrdiff_t script_send(void *context, lssb_handle handle,
                             const void *bytes, size_t len, int32_t *code)
{
    struct script_handle *at = script_handle(handle);
    size_t i;

    (void)context;
    EXPECT(len > 0);
    script_note(SCRIPT_SEND, (long long)len);
    if (script_fails(SCRIPT_SEND, code)) {
        at->broken = true;
        at->out_len = at->out_at = 0;
        return script_failure();
    }
    if (at->broken) {
        *code = 32;
        return LSSB_IO_RESET;
    }
    if (script.stuck_sending || script_blocks(&at->sends))
        return LSSB_IO_AGAIN;
    len = script_piece(len);
    script_sum(&script.bytes_sum, bytes, len);
    for (i = 0; i < len && !at->ended && !at->broken && !at->dead; i++)
        if (script_cuts(at, script.cut_sent, &script.moved_sent))
            break;
        else if (script.records)
            script_unwrap(at, ((const uint8_t *)bytes)[i]);
        else
            script_hear(at, ((const char *)bytes)[i]);
    return (ptrdiff_t)len;
}

static ptrdiff_t script_receive(void *context, lssb_handle handle,
                                void *bytes, size_t len, int32_t *code)
{
    struct script_handle *at = script_handle(handle);

    (void)context;
    EXPECT(len > 0);
    script_note(SCRIPT_RECEIVE, (long long)len);
    if (script_fails(SCRIPT_RECEIVE, code)) {
        at->out_len = at->out_at = 0;
        at->broken = script.fail_io != SCRIPT_END_OF_STREAM;
        at->ended = true;
        return script.fail_io == SCRIPT_END_OF_STREAM ? 0 : script.fail_io;
    }
    script_refill(at);
    if (script_blocks(&at->receives) || script.now < at->reply_at)
        return LSSB_IO_AGAIN;
    if (at->out_at == at->out_len && at->broken) {
        *code = 104;
        return LSSB_IO_RESET;
    }
    if (at->out_at == at->out_len)
        return at->ended ? 0 : LSSB_IO_AGAIN;
    if (len > at->out_len - at->out_at)
        len = at->out_len - at->out_at;
    len = script_piece(len);
    if (script.cut_received != 0 && !at->dead) {
        size_t left = script.cut_received - script.moved_received;

        if (len > left)
            len = left;
        script.moved_received += len;
    }
    memcpy(bytes, at->out + at->out_at, len);
    at->out_at += len;
    if (script.cut_received != 0 && !at->dead &&
        script.moved_received == script.cut_received)
        script_cut_now(at);
    if (at->out_at == at->out_len)
        at->out_at = at->out_len = 0;
    return (ptrdiff_t)len;
}

static void script_close_handle(void *context, lssb_handle handle, bool reset)
{
    struct script_handle *at = script_handle(handle);

    (void)context;
    if (at->peer != NULL)
        script.peers->gone(at);
    at->open = false;
    script.open_now--;
    script.resets += reset;
}

/* Whether something has happened on a handle; *later: when it will. */
static bool script_ready(const lssb_poll *item, uint64_t *later)
{
    struct script_handle *at = script_handle(item->handle);
    bool data;
    uint64_t when = SCRIPT_NEVER;

    if (item->read)
        script_refill(at);
    data = at->broken || at->ended || at->out_at < at->out_len;

    if (at->job || (item->write && at->ready_at != 0 &&
                    at->ready_at != SCRIPT_NEVER))
        when = at->ready_at;
    else if (item->write && script.stuck_connecting)
        when = SCRIPT_NEVER;
    else if (item->write && !script.stuck_sending)
        when = script.now;
    if (item->read && data && at->reply_at < when)
        when = at->reply_at;
    if (item->read && !data && at->peer != NULL && at->next_at < when)
        when = at->next_at;
    if (when != SCRIPT_NEVER && when > script.now && when < *later)
        *later = when;
    return when <= script.now;
}

static bool script_any_ready(lssb_poll *list, size_t count, uint64_t *later)
{
    bool any = false;
    size_t i;

    *later = SCRIPT_NEVER;
    for (i = 0; i < count; i++) {
        list[i].ready = script_ready(&list[i], later);
        any = any || list[i].ready;
    }
    return any;
}

static lssb_io script_wait(void *context, lssb_poll *list, size_t count,
                           uint32_t timeout_ms, int32_t *code)
{
    uint64_t until = SCRIPT_NEVER, later;

    (void)context;
    script.waits++;
    script_note(SCRIPT_WAIT, (long long)timeout_ms);
    if (script_fails(SCRIPT_WAIT, code)) {
        script.now++;
        return LSSB_IO_FAILED;
    }
    if (script.woken || script_any_ready(list, count, &later)) {
        script.woken = false;
        return LSSB_IO_OK;
    }
    if (timeout_ms != UINT32_MAX)
        until = script.now + timeout_ms;
    if (later < until)
        until = later;
    if (until == SCRIPT_NEVER)
        script_stuck("waiting for what never comes");
    script.now = until;
    if (script.now > UINT64_C(1000) * 86400 * 30)
        script_stuck("a month has passed");
    script_any_ready(list, count, &later);
    return LSSB_IO_OK;
}

static void script_wake(void *context)
{
    (void)context;
    script.woken = true;
}

static lssb_handle script_wake_handle(void *context)
{
    (void)context;
    return LSSB_NO_HANDLE;
}

static void script_wake_clear(void *context)
{
    (void)context;
    script.woken = false;
}

static const lssb_port script_port = {
    .version = LSSB_PORT_VERSION,
    .context = &script,
    .open = script_open,
    .close = script_close,
    .now_ms = script_now_ms,
    .wall_s = script_wall_s,
    .random = script_random,
    .environment = script_environment,
    .resolve = script_resolve,
    .resolved = script_resolved,
    .connect = script_connect,
    .connected = script_connected,
    .send = script_send,
    .receive = script_receive,
    .close_handle = script_close_handle,
    .wait = script_wait,
    .wake = script_wake,
    .wake_handle = script_wake_handle,
    .wake_clear = script_wake_clear,
};

/* --------------------------------------------------------- for the tests -- */

/* A new script, with a table of routes. */
static inline void script_begin(enum script_mode mode,
                         const struct script_route *routes, size_t count)
{
    size_t i;

    for (i = 0; i < SCRIPT_HANDLES; i++)
        script.handles[i].open = false;
    memset(&script, 0, offsetof(struct script, generation));
    script.mode = mode;
    script.now = 1000;
    script.wall = INT64_C(1800000000);
    script.resolve_ms = 3;
    script.connect_ms = 2;
    script.address_count = 1;
    script.routes[0] = routes;
    script.route_count[0] = count;
    script.bytes_sum = script.calls_sum = UINT64_C(14695981039346656037);
    EXPECT(count <= SCRIPT_ROUTES);
}

/* More routes, behind the first ones. */
static inline void script_also(const struct script_route *routes, size_t count)
{
    script.routes[1] = routes;
    script.route_count[1] = count;
    EXPECT(script.route_count[0] + count <= SCRIPT_ROUTES);
}

/* How many requests began with these words, as far as they came. */
static inline unsigned script_heard(const char *line)
{
    size_t i, len;
    unsigned count = 0;

    for (i = script.heard_from; i < script.entry_count; i++) {
        len = strlen(script.entries[i].line);
        count += script.entries[i].whole
                     ? strcmp(script.entries[i].line, line) == 0
                     : strncmp(script.entries[i].line, line,
                               len < strlen(line) ? len : strlen(line)) == 0;
    }
    return count;
}

/* The value of a header of the last request, how often it stands there. */
static inline unsigned script_header(const char *name, char *value,
                                     size_t size)
{
    const char *line = strstr(script.head, "\r\n");
    size_t len = strlen(name);
    unsigned count = 0;

    value[0] = '\0';
    for (; line != NULL; line = strstr(line, "\r\n")) {
        size_t i = 0;

        line += 2;
        while (i < len && line[i] != '\0' &&
               (line[i] | 32) == (name[i] | 32))
            i++;
        if (i < len || line[len] != ':')
            continue;
        count++;
        for (i = 0; i + 1 < size && line[len + 2 + i] != '\r'; i++)
            value[i] = line[len + 2 + i];
        value[i] = '\0';
    }
    return count;
}

/* A client over the script, in a block with canaries about it. */
#define SCRIPT_CANARY 32

struct script_client {
    lssb_client *client;
    lssb_config config;
    uint8_t *block;
    size_t size;
};

static inline void script_config(lssb_config *config)
{
    memset(config, 0, sizeof *config);
    config->endpoint = "http://api.test";
    config->api_key = "key-1";
    config->allow_cleartext = true;
    config->no_environment = true;
    config->port = &script_port;
}

/* Opens one as its config says. */
static inline lssb_status script_client_open(struct script_client *me)
{
    lssb_status status;
    lssb_error why;

    me->client = NULL;
    me->size = lssb_memory_needed(&me->config);
    EXPECT(me->size > 0);
    me->block = malloc(me->size + 2 * SCRIPT_CANARY);
    memset(me->block, 0xC5, me->size + 2 * SCRIPT_CANARY);
    me->config.memory = me->block + SCRIPT_CANARY;
    me->config.memory_size = me->size;
    status = lssb_open_why(&me->client, &me->config, &why);
    if (status != LSSB_OK)
        printf("  open: %s\n", why.message);
    EXPECT_INT(status, LSSB_OK);
    return status;
}

/* What must hold once a client is gone: nothing open, nothing left in the
 * block but what stood there before, nothing written outside of it. */
static inline void script_client_gone(struct script_client *me)
{
    size_t i, left = 0, broken = 0;

    EXPECT_INT(script.open_now, 0);
    EXPECT(!script.port_open);
    for (i = 0; i < me->size; i++)
        left += me->block[SCRIPT_CANARY + i] != 0 &&
                me->block[SCRIPT_CANARY + i] != 0xC5;
    for (i = 0; i < SCRIPT_CANARY; i++)
        broken += me->block[i] != 0xC5 ||
                  me->block[SCRIPT_CANARY + me->size + i] != 0xC5;
    EXPECT_INT(left, 0);
    EXPECT_INT(broken, 0);
    free(me->block);
    me->block = NULL;
}

/* Closes it, waiting. */
static inline void script_client_close(struct script_client *me)
{
    EXPECT_INT(lssb_close(me->client, NULL), LSSB_OK);
    script_client_gone(me);
}

#endif
