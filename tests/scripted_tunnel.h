/* scripted_tunnel.h: a box with ports, and local programs, behind the scripted
 * port: both ends of a tunnel (protocol 6).
 *
 * SPDX-License-Identifier: MIT
 *
 * The box is the engines in the server's role. What a port does is its number:
 * one of enum box_port. Local programs connect to a listener, say something,
 * end or reset, and keep what they hear.
 */
#ifndef SCRIPTED_TUNNEL_H
#define SCRIPTED_TUNNEL_H

#include "../src/internal.h"
#include "scripted.h"

enum box_port {
    BOX_NOT_ALLOWED = 1,            /* the status of that number */
    BOX_REFUSED = 2,
    BOX_VERSION = 3,
    BOX_STRANGE = 4,                /* a status that nobody knows */
    BOX_RESETS = 5,                 /* RST instead of a status */
    BOX_ENDS = 6,                   /* FIN instead of a status */
    BOX_ECHO = 7,
    BOX_SILENT = 8,                 /* no status, ever */
    BOX_SINK = 9,                   /* takes everything, ends at the end */
    BOX_HOLD = 10,                  /* takes nothing */
    BOX_STAY = 11,                  /* takes everything, never ends */
    BOX_GIVE = 19,                  /* box.give bytes, then the end */
    BOX_GREET = 20,                 /* "hello", and "bye" after the end */
    BOX_CUT = 21                    /* "hel", then RST */
};

#define BOX_STREAMS 64
#define BOX_ROOM 65536
#define LOCALS 24
#define LOCAL_ROOM 400000

enum end_kind { END_BOX = 1, END_LOCAL, END_LISTENER };

struct box_stream {
    struct lssb_yamux_stream stream;
    bool used;
    uint16_t port;
    uint8_t head[3];
    uint8_t head_len;
    uint8_t *room;                  /* that is to go */
    size_t len;
    uint64_t left;                  /* of what BOX_GIVE gives */
    uint64_t heard;
    bool ends;                      /* FIN, or RST, once all has gone */
    bool resets;
};

/* One connection to the box. */
struct box_end {
    enum end_kind kind;
    struct script_handle *handle;
    struct lssb_ws ws;
    struct lssb_yamux session;
    struct box_stream streams[BOX_STREAMS];
    uint8_t *put;
    size_t put_len, put_at, put_size;
    bool over;
};

/* A local program. */
struct local {
    enum end_kind kind;
    bool used;                      /* it has been accepted */
    struct script_handle *handle;
    const char *say;
    size_t say_len, said;
    bool ends, resets;              /* after that */
    char *got;
    size_t got_len;
    size_t room;                    /* that its socket has */
    bool finished;                  /* it was told the end */
    bool closed, was_reset;
    uint64_t closed_at;
};

static struct {
    uint64_t give;
    const char *replies[16];        /* instead of an upgrade, in turn; NULL */
    unsigned connections;
    bool deaf;                      /* says nothing any more */
    unsigned crossing;              /* connections that go away, and refuse the
                                       streams that they hear of then */
    bool text;                      /* sends text messages */
    unsigned messages;              /* binary ones of the client's */
    unsigned resets, ends, opened;  /* of streams, by the client */
    uint64_t opened_at;             /* the last one */
    unsigned closes;                /* close frames of the client's */
    unsigned pongs;                 /* of the client's, to any ping */
    unsigned ws_pongs;              /* the same of the WebSocket's */
    unsigned aways;
    uint32_t away_code;
    size_t piece;                   /* most bytes of a message; 0: 4,096 */
    char head[4096];                /* of the last upgrade */
    struct box_end *now;            /* the last connection, while it lives */
    struct local locals[LOCALS];
    unsigned local_count, accepted;
    struct script_handle *listener;
    bool listening;
    lssb_io listen_io, accept_io;
    uint16_t listen_port;
    char listen_path[64];
    unsigned removed;
    unsigned asked;                 /* local programs, whether they are there */
} box;

/* ---------------------------------------------------------------- the box */

static void box_bytes(struct box_end *end, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    if (end->put_at == end->put_len)
        end->put_at = end->put_len = 0;
    if (end->put_len + len > end->put_size) {
        end->put_size = 2 * (end->put_len + len);
        end->put = realloc(end->put, end->put_size);
    }
    memcpy(end->put + end->put_len, bytes, len);
    end->put_len += len;
}

/* A message, in frames of box.piece bytes. */
static void box_message(struct box_end *end, const uint8_t *bytes, size_t len)
{
    size_t piece = box.piece != 0 ? box.piece : 4096, n;
    uint8_t head[LSSB_WS_HEADER];

    for (; len > 0; bytes += n, len -= n) {
        n = len < piece ? len : piece;
        box_bytes(end, head,
                  lssb_ws_head(head, box.text ? LSSB_WS_TEXT : LSSB_WS_BINARY,
                               true, n, NULL));
        box_bytes(end, bytes, n);
    }
}

/* A frame of yamux as a test makes it. */
static void box_frame(struct box_end *end, unsigned type, unsigned flags,
                      uint32_t id, uint32_t length, const char *data)
{
    uint8_t frame[256];
    size_t i, len = type == 0 && data != NULL ? strlen(data) : 0;

    memset(frame, 0, sizeof frame);
    frame[0] = (uint8_t)(type >> 8);
    frame[1] = (uint8_t)type;
    frame[3] = (uint8_t)flags;
    for (i = 0; i < 4; i++) {
        frame[4 + i] = (uint8_t)(id >> (24 - 8 * i));
        frame[8 + i] = (uint8_t)(length >> (24 - 8 * i));
    }
    if (len > 0)
        memcpy(frame + 12, data, len);
    box_message(end, frame, 12 + len);
}

static void box_close(struct box_end *end, unsigned code)
{
    uint8_t payload[LSSB_WS_CONTROL], head[LSSB_WS_HEADER];
    size_t len = lssb_ws_close_payload(payload, (uint16_t)code, NULL);

    box_bytes(end, head, lssb_ws_head(head, LSSB_WS_CLOSE, true, len, NULL));
    box_bytes(end, payload, len);
}

static void box_say(struct box_stream *stream, const void *bytes, size_t len)
{
    if (stream->len + len > BOX_ROOM)
        script_stuck("the box has no room for what it says");
    memcpy(stream->room + stream->len, bytes, len);
    stream->len += len;
}

/* The header has come: what the port does. */
static void box_answer(struct box_end *end, struct box_stream *stream)
{
    uint8_t status = 0;

    stream->port = (uint16_t)(stream->head[1] << 8 | stream->head[2]);
    EXPECT_INT(stream->head[0], 1);
    box.opened++;
    box.opened_at = script.now;
    if (stream->port <= BOX_STRANGE)
        status = stream->port == BOX_STRANGE ? 77 : (uint8_t)stream->port;
    if (stream->port == BOX_SILENT)
        return;
    stream->ends = status != 0 || stream->port == BOX_ENDS;
    if (box.crossing > 0 && box.connections <= box.crossing) {
        lssb_yamux_go_away(&end->session, LSSB_YAMUX_NORMAL);
        lssb_yamux_reset(&end->session, &stream->stream);
        return;
    }
    if (stream->port == BOX_RESETS) {
        lssb_yamux_reset(&end->session, &stream->stream);
        return;
    }
    if (stream->port != BOX_ENDS)
        box_say(stream, &status, 1);
    if (stream->port == BOX_GIVE) {
        stream->left = box.give;
        stream->ends = true;
    }
    if (stream->port == BOX_GREET)
        box_say(stream, "hello", 5);
    if (stream->port == BOX_CUT) {
        box_say(stream, "hel", 3);
        stream->resets = true;
    }
}

/* Takes a byte of a stream; how many bytes are consumed by it. */
static size_t box_take(struct box_end *end, struct box_stream *stream,
                       uint8_t byte)
{
    if (stream->head_len < 3) {
        stream->head[stream->head_len++] = byte;
        if (stream->head_len == 3)
            box_answer(end, stream);
        return 1;
    }
    stream->heard++;
    if (stream->port == BOX_ECHO)
        box_say(stream, &byte, 1);
    return stream->port == BOX_SINK || stream->port == BOX_GREET ||
           stream->port == BOX_STAY;
}

/* Looks for a place for a stream of the client's. */
static void box_accept(struct box_end *end)
{
    size_t i;

    for (i = 0; i < BOX_STREAMS; i++) {
        struct box_stream *stream = &end->streams[i];

        if (stream->stream.id != 0 || (stream->used && stream->len > 0))
            continue;
        free(stream->room);
        memset(stream, 0, sizeof *stream);
        stream->room = malloc(BOX_ROOM);
        stream->stream.user = stream;
        stream->used = true;
        lssb_yamux_accept(&end->session, &stream->stream);
        return;
    }
}

/* Takes a byte of the client's messages. */
static void box_byte(struct box_end *end, uint8_t byte)
{
    struct lssb_yamux *session = &end->session;
    size_t at = 0, used;

    for (;;) {
        enum lssb_yamux_event event =
            lssb_yamux_next(session, &byte + at, 1 - at, &used);
        struct box_stream *stream =
            session->stream != NULL ? session->stream->user : NULL;

        at += used;
        if (event == LSSB_YAMUX_MORE && used == 1 &&
            session->own.header_len == 0 && session->own.type == 2 &&
            (session->own.flags & 2) != 0 && session->own.ping == 0)
            box.pongs++;
        if (event == LSSB_YAMUX_OPENED)
            box_accept(end);
        if (event == LSSB_YAMUX_DATA) {
            at += lssb_yamux_take(session, 1);
            lssb_yamux_consumed(session, &stream->stream,
                                box_take(end, stream, byte));
        }
        if (event == LSSB_YAMUX_FINISHED) {
            box.ends++;
            if (stream->port == BOX_GREET)
                box_say(stream, "bye", 3);
            stream->ends = stream->port != BOX_STAY;
        }
        box.resets += event == LSSB_YAMUX_RESET;
        if (event == LSSB_YAMUX_GO_AWAY) {
            box.aways++;
            box.away_code = session->code;
        }
        if (event == LSSB_YAMUX_WRONG) {
            printf("  the client broke yamux: %s\n", session->wrong);
            test_failures++;
            end->over = true;
        }
        if (event == LSSB_YAMUX_MORE || event == LSSB_YAMUX_WRONG ||
            event == LSSB_YAMUX_FULL)
            return;
    }
}

/* Takes a byte that follows the upgrade. */
static void box_hear(struct box_end *end, uint8_t byte)
{
    size_t used;
    enum lssb_ws_event event;

    if (end->over)
        return;
    lssb_yamux_tick(&end->session, script.now);
    event = lssb_ws_next(&end->ws, &byte, 1, &used);
    if (event == LSSB_WS_PIECE) {
        EXPECT(end->ws.opcode == LSSB_WS_BINARY);
        box.messages += end->ws.ends;
        if (end->ws.data_len > 0)
            box_byte(end, end->ws.data[0]);
    } else if (event == LSSB_WS_CONTROL_FRAME &&
               end->ws.opcode == LSSB_WS_CLOSE) {
        box.closes++;
        box_close(end, end->ws.code);
        end->over = true;
    } else if (event == LSSB_WS_CONTROL_FRAME &&
               end->ws.opcode == LSSB_WS_PONG) {
        box.ws_pongs++;
    } else if (event == LSSB_WS_WRONG) {
        printf("  the client broke WebSocket: %s\n", end->ws.wrong);
        test_failures++;
        end->over = true;
    }
}

/* The byte that BOX_GIVE gives there. */
static uint8_t box_pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

/* What a stream sends next, up to `len` bytes; ends it when that is all. */
static size_t box_next(struct box_end *end, struct box_stream *stream,
                       uint8_t *out, size_t len)
{
    size_t n = stream->len < len ? stream->len : len, i;

    if (n > 0)
        memcpy(out, stream->room, n);
    stream->len -= n;
    memmove(stream->room, stream->room + n, stream->len);
    if (stream->port == BOX_ECHO && n > 0)
        lssb_yamux_consumed(&end->session, &stream->stream, n);
    for (i = n; i < len && stream->left > 0; i++, stream->left--)
        out[i] = box_pattern(box.give - stream->left);
    return i;
}

/* Sends what there is, up to about a buffer. */
static void box_produce(struct box_end *end)
{
    uint8_t frame[2048 + LSSB_YAMUX_HEADER];
    size_t i, n;
    uint32_t most;

    if (end->over || box.deaf)
        return;
    lssb_yamux_tick(&end->session, script.now);
    for (i = 0; i < BOX_STREAMS; i++)
        if (end->streams[i].stream.id != 0)
            lssb_yamux_want(&end->session, &end->streams[i].stream,
                            end->streams[i].len > 0 || end->streams[i].left);
    while (end->put_len - end->put_at < 8192) {
        struct lssb_yamux_stream *at;

        n = lssb_yamux_control(&end->session, frame, sizeof frame);
        if (n > 0) {
            box_message(end, frame, n);
            continue;
        }
        at = lssb_yamux_turn(&end->session, &most);
        if (at == NULL)
            break;
        n = box_next(end, at->user, frame + LSSB_YAMUX_HEADER,
                     most < 2048 ? most : 2048);
        if (n == 0) {
            lssb_yamux_want(&end->session, at, false);
            continue;
        }
        lssb_yamux_commit(&end->session, n, frame);
        box_message(end, frame, n + LSSB_YAMUX_HEADER);
    }
    for (i = 0; i < BOX_STREAMS; i++) {
        struct box_stream *stream = &end->streams[i];

        if (stream->stream.id == 0 || stream->len > 0 || stream->left > 0)
            continue;
        if (stream->resets)
            lssb_yamux_reset(&end->session, &stream->stream);
        else if (stream->ends)
            lssb_yamux_finish(&end->session, &stream->stream);
    }
    n = lssb_yamux_control(&end->session, frame, sizeof frame);
    if (n > 0)
        box_message(end, frame, n);
}

/* ---------------------------------------------------------- local programs */

/* Connects a program to the listener. */
static struct local *local_connects(const char *say, size_t len, bool ends)
{
    struct local *local = &box.locals[box.local_count++];

    if (box.local_count > LOCALS || !box.listening)
        script_stuck("no such local program");
    local->kind = END_LOCAL;
    local->say = say;
    local->say_len = len;
    local->ends = ends;
    local->room = SIZE_MAX;
    local->got = malloc(LOCAL_ROOM);
    script_out(box.listener, "c", 1);
    return local;
}

static void local_refill(struct local *local)
{
    size_t n = local->say_len - local->said;

    if (n > SCRIPT_BUFFER / 2)
        n = SCRIPT_BUFFER / 2;
    local->handle->out_at = local->handle->out_len = 0;
    if (n > 0)
        script_out(local->handle, local->say + local->said, n);
    local->said += n;
    if (local->said < local->say_len)
        return;
    if (local->handle->out_len == 0) {
        local->handle->ended = local->ends;
        local->handle->broken = local->resets;
    }
}

/* -------------------------------------------------------------- the tables */

static bool box_upgrade(struct script_handle *handle)
{
    char key[64], accept[LSSB_WS_ACCEPT_SIZE], reply[256];
    const char *at = strstr(script.head, "\r\nSec-WebSocket-Key: ");
    unsigned number = box.connections++;
    struct box_end *end;
    size_t i;

    strcpy(box.head, script.head);
    end = calloc(1, sizeof *end);
    end->kind = END_BOX;
    end->handle = handle;
    handle->peer = end;
    handle->reply_at = 0;
    lssb_ws_start(&end->ws, true);
    lssb_yamux_start(&end->session, true, script.now);
    end->session.ping_timeout_ms = 0;
    if (number < 16 && box.replies[number] != NULL) {
        box_bytes(end, box.replies[number], strlen(box.replies[number]));
        end->over = true;
        return true;
    }
    for (i = 0; at != NULL && i + 1 < sizeof key && at[21 + i] != '\r'; i++)
        key[i] = at[21 + i];
    key[i] = '\0';
    lssb_ws_accept(accept, key, strlen(key));
    script_out(handle, reply,
               (size_t)sprintf(reply, "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: %s\r\n\r\n", accept));
    box.now = end;
    return true;
}

static void box_peer_hear(struct script_handle *handle, uint8_t byte)
{
    if (*(enum end_kind *)handle->peer == END_BOX)
        box_hear(handle->peer, byte);
}

static void box_peer_refill(struct script_handle *handle)
{
    struct box_end *end = handle->peer;
    size_t len;

    if (end->kind == END_LOCAL)
        local_refill(handle->peer);
    if (end->kind != END_BOX)
        return;
    if (end->put_at == end->put_len)
        box_produce(end);
    len = end->put_len - end->put_at;
    if (len > SCRIPT_BUFFER / 2)
        len = SCRIPT_BUFFER / 2;
    handle->out_at = handle->out_len = 0;
    if (len > 0)
        script_out(handle, (const char *)end->put + end->put_at, len);
    end->put_at += len;
    if (end->over && end->put_at == end->put_len)
        handle->ended = true;
}

static void box_peer_gone(struct script_handle *handle)
{
    struct box_end *end = handle->peer;
    size_t i;

    if (end->kind == END_LOCAL)
        ((struct local *)handle->peer)->closed = true;
    if (end->kind == END_LISTENER)
        box.listening = false;
    if (end->kind == END_BOX) {
        for (i = 0; i < BOX_STREAMS; i++)
            free(end->streams[i].room);
        free(end->put);
        if (box.now == end)
            box.now = NULL;
        free(end);
    }
    handle->peer = NULL;
}

static const struct script_peers box_peers = {
    box_upgrade, box_peer_hear, box_peer_refill, box_peer_gone
};

static struct local *local_of(lssb_handle handle)
{
    struct script_handle *at = script_handle(handle);

    return at->peer != NULL && *(enum end_kind *)at->peer == END_LOCAL
               ? at->peer
               : NULL;
}

static ptrdiff_t box_send(void *context, lssb_handle handle, const void *bytes,
                          size_t len, int32_t *code)
{
    struct local *local = local_of(handle);

    if (local == NULL)
        return script_send(context, handle, bytes, len, code);
    script_note(SCRIPT_SEND, (long long)len);
    if (script_fails(SCRIPT_SEND, code)) {
        local->handle->broken = true;
        return script_failure();
    }
    if (local->handle->broken)
        return LSSB_IO_RESET;
    if (local->room == 0 || script_blocks(&local->handle->sends))
        return LSSB_IO_AGAIN;
    len = script_piece(len < local->room ? len : local->room);
    if (local->got_len + len > LOCAL_ROOM)
        script_stuck("a local program hears too much");
    memcpy(local->got + local->got_len, bytes, len);
    local->got_len += len;
    if (local->room != SIZE_MAX)
        local->room -= len;
    return (ptrdiff_t)len;
}

/* Whether a local program's socket is still there; for others as ever. */
static lssb_io box_connected(void *context, lssb_handle handle, int32_t *code)
{
    struct local *local = local_of(handle);

    if (local == NULL)
        return script_connected(context, handle, code);
    script_note(SCRIPT_CONNECTED, 1);
    box.asked++;
    if (script_fails(SCRIPT_CONNECTED, code))
        return script_failure();
    return local->handle->broken ? LSSB_IO_RESET : LSSB_IO_OK;
}

static void box_close_handle(void *context, lssb_handle handle, bool reset)
{
    struct local *local = local_of(handle);

    if (local != NULL)
        local->was_reset = reset;
    if (local != NULL)
        local->closed_at = script.now;
    script_close_handle(context, handle, reset);
}

/* Sleeps; a local program whose socket is full is not ready to be written. */
static lssb_io box_wait(void *context, lssb_poll *list, size_t count,
                        uint32_t timeout_ms, int32_t *code)
{
    bool full[SCRIPT_HANDLES * 2];
    lssb_io io;
    size_t i;

    for (i = 0; i < count && i < sizeof full; i++) {
        struct local *local = local_of(list[i].handle);

        full[i] = list[i].write && local != NULL && local->room == 0;
        if (full[i])
            list[i].write = false;
    }
    io = script_wait(context, list, count, timeout_ms, code);
    for (i = 0; i < count && i < sizeof full; i++)
        if (full[i])
            list[i].write = true;
    return io;
}

static lssb_io box_listen(void *context, const lssb_address *at,
                          lssb_handle *handle, uint16_t *port, int32_t *code)
{
    static enum end_kind listener = END_LISTENER;

    (void)context;
    if (script_fails(SCRIPT_CONNECT, code))
        return script_failure();
    *code = 98;
    if (box.listen_io != LSSB_IO_OK)
        return box.listen_io;
    box.listener = script_new_handle(handle, false);
    box.listener->peer = &listener;
    box.listening = true;
    box.listen_port = at != NULL ? at->port : 0;
    *port = box.listen_port != 0 ? box.listen_port : 40000;
    return LSSB_IO_OK;
}

static lssb_io box_listen_path(void *context, const char *path,
                               lssb_handle *handle, int32_t *code)
{
    uint16_t port;

    strcpy(box.listen_path, path);
    return box_listen(context, NULL, handle, &port, code);
}

static void box_remove_path(void *context, const char *path)
{
    (void)context;
    EXPECT_STR(path, box.listen_path);
    box.removed++;
}

static lssb_io box_accept_local(void *context, lssb_handle listener,
                                lssb_handle *handle, int32_t *code)
{
    struct script_handle *at = script_handle(listener);
    struct local *local;

    (void)context;
    if (script_fails(SCRIPT_CONNECT, code))
        return script_failure();
    *code = 24;
    if (at->out_at == at->out_len)
        return LSSB_IO_AGAIN;
    if (box.accept_io != LSSB_IO_OK)
        return box.accept_io;
    at->out_at++;
    local = &box.locals[box.accepted++];
    local->handle = script_new_handle(handle, false);
    local->handle->peer = local;
    local->used = true;
    return LSSB_IO_OK;
}

static lssb_io box_finish(void *context, lssb_handle handle, int32_t *code)
{
    struct local *local = local_of(handle);

    (void)context;
    if (script_fails(SCRIPT_SEND, code))
        return script_failure();
    local->finished = true;
    return local->handle->broken ? LSSB_IO_RESET : LSSB_IO_OK;
}

static const lssb_listen_port box_listen_port = {
    LSSB_PORT_VERSION, box_listen, box_listen_path, box_remove_path,
    box_accept_local, box_finish
};

#endif
