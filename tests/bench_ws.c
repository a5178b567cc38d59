/* bench_ws.c: WebSocket frames, bytes of payload per CPU second, beside wslay.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both sides get the same stream through a receive buffer of the same size and
 * check all that the RFC demands, UTF-8 included; both hand the payload on as
 * it comes, without collecting messages. Going out, both mask frames of 16 KiB.
 * No socket, no TLS: what is measured is the engines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <wslay/wslay.h>

#include "src/internal.h"

enum {
    STREAM = 4 << 20,               /* bytes of payload in one round */
    RECEIVE = 16384,
    FRAME = 16384
};

struct stream {
    uint8_t *bytes;
    size_t len;
    size_t payload;
    size_t at;                      /* of wslay's reading */
    uint64_t got;                   /* bytes of payload handed on */
    bool wrong;
    bool server;                    /* the reader's role */
};

static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };

/* A stream of messages of `frame` bytes that repeat `text`, cut where a
 * character ends. */
static void make_stream(struct stream *stream, const char *text, size_t frame,
                        enum lssb_ws_opcode opcode, bool server)
{
    size_t period = strlen(text), part = frame - frame % period, i;

    memset(stream, 0, sizeof *stream);
    stream->server = server;
    stream->bytes = malloc(2 * STREAM);
    while (stream->payload + part <= STREAM) {
        uint8_t *to = stream->bytes + stream->len;
        size_t head = lssb_ws_head(to, opcode, true, part, server ? key : NULL);

        for (i = 0; i < part; i++)
            to[head + i] = (uint8_t)text[i % period];
        if (server)
            lssb_ws_mask(to + head, part, key, 0);
        stream->len += head + part;
        stream->payload += part;
    }
}

static void read_with_lssb(struct stream *stream)
{
    static uint8_t buffer[RECEIVE];
    struct lssb_ws ws;
    enum lssb_ws_event event;
    size_t at, len, used, from;

    lssb_ws_start(&ws, stream->server);
    for (at = 0; at < stream->len; at += len) {
        len = stream->len - at < RECEIVE ? stream->len - at : RECEIVE;
        memcpy(buffer, stream->bytes + at, len);
        for (from = 0;; from += used) {
            event = lssb_ws_next(&ws, buffer + from, len - from, &used);
            if (event != LSSB_WS_PIECE)
                break;
            stream->got += ws.data_len;
        }
        stream->wrong |= event != LSSB_WS_MORE;
    }
}

static ssize_t wslay_receive(wslay_event_context_ptr ctx, uint8_t *bytes,
                             size_t len, int flags, void *user)
{
    struct stream *stream = user;

    (void)flags;
    if (len > stream->len - stream->at)
        len = stream->len - stream->at;
    if (len == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(bytes, stream->bytes + stream->at, len);
    stream->at += len;
    return (ssize_t)len;
}

static void wslay_chunk(wslay_event_context_ptr ctx,
                        const struct wslay_event_on_frame_recv_chunk_arg *arg,
                        void *user)
{
    struct stream *stream = user;

    (void)ctx;
    stream->got += arg->data_length;
}

static void read_with_wslay(struct stream *stream)
{
    struct wslay_event_callbacks callbacks;
    wslay_event_context_ptr ctx;

    memset(&callbacks, 0, sizeof callbacks);
    callbacks.recv_callback = wslay_receive;
    callbacks.on_frame_recv_chunk_callback = wslay_chunk;
    if (stream->server)
        wslay_event_context_server_init(&ctx, &callbacks, stream);
    else
        wslay_event_context_client_init(&ctx, &callbacks, stream);
    wslay_event_config_set_no_buffering(ctx, 1);
    stream->at = 0;
    stream->wrong |= wslay_event_recv(ctx) != 0;
    wslay_event_context_free(ctx);
}

/* Payload going out: copied into a frame, and masked. */
static void write_with_lssb(struct stream *stream)
{
    static uint8_t frame[LSSB_WS_HEADER + FRAME];
    size_t at, head;

    for (at = 0; at + FRAME <= stream->payload; at += FRAME) {
        head = lssb_ws_head(frame, LSSB_WS_BINARY, true, FRAME, key);
        memcpy(frame + head, stream->bytes + at, FRAME);
        lssb_ws_mask(frame + head, FRAME, key, 0);
        stream->got += FRAME;
    }
}

static ssize_t wslay_take(const uint8_t *bytes, size_t len, int flags,
                          void *user)
{
    (void)bytes, (void)flags, (void)user;
    return (ssize_t)len;
}

static int wslay_key(uint8_t *bytes, size_t len, void *user)
{
    (void)user;
    memcpy(bytes, key, len);
    return 0;
}

static void write_with_wslay(struct stream *stream)
{
    struct wslay_frame_callbacks callbacks = { wslay_take, NULL, wslay_key };
    wslay_frame_context_ptr ctx;
    struct wslay_frame_iocb frame;
    size_t at;

    wslay_frame_context_init(&ctx, &callbacks, NULL);
    for (at = 0; at + FRAME <= stream->payload; at += FRAME) {
        memset(&frame, 0, sizeof frame);
        frame.fin = 1;
        frame.opcode = WSLAY_BINARY_FRAME;
        frame.payload_length = FRAME;
        frame.mask = 1;
        frame.data = stream->bytes + at;
        frame.data_length = FRAME;
        while (frame.data_length > 0) {
            ssize_t sent = wslay_frame_send(ctx, &frame);

            frame.data += sent;
            frame.data_length -= (size_t)sent;
        }
        stream->got += FRAME;
    }
    wslay_frame_context_free(ctx);
}

/* Millions of bytes per CPU second, the best of five runs. */
static double measure(void (*run)(struct stream *), struct stream *stream)
{
    double best = 0, rate;
    clock_t start, spent;
    int i;

    for (i = 0; i < 5; i++) {
        stream->got = 0;
        start = clock();
        do {
            run(stream);
            spent = clock() - start;
        } while (spent < CLOCKS_PER_SEC / 10);
        rate = (double)stream->got / 1e6 / ((double)spent / CLOCKS_PER_SEC);
        best = rate > best ? rate : best;
    }
    if (stream->wrong || stream->got % stream->payload != 0)
        printf("  a stream was refused\n");
    return best;
}

static void compare(const char *name, struct stream *stream,
                    void (*ours)(struct stream *),
                    void (*theirs)(struct stream *))
{
    double a = measure(ours, stream), b = measure(theirs, stream);

    printf("%-50s %8.0f %8.0f %7.1f\n", name, a, b, a / b);
    free(stream->bytes);
}

#define GERMAN "Gr\xC3\xBC\xC3\x9F" "e aus M\xC3\xBCnchen, sch\xC3\xB6ne. "
#define CHINESE "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C"

int main(void)
{
    static const struct {
        const char *name;
        const char *text;
        size_t frame;
        enum lssb_ws_opcode opcode;
        bool server;
    } rows[] = {
        { "client reads binary, frames of 16 KiB", "x", 16384, LSSB_WS_BINARY,
          false },
        { "client reads ASCII text, frames of 16 KiB", "the quick brown fox ",
          16384, LSSB_WS_TEXT, false },
        { "client reads German text, frames of 16 KiB", GERMAN, 16384,
          LSSB_WS_TEXT, false },
        { "client reads Chinese text, frames of 16 KiB", CHINESE, 16384,
          LSSB_WS_TEXT, false },
        { "client reads ASCII text, frames of 60 bytes", "the quick brown fox ",
          60, LSSB_WS_TEXT, false },
        { "server reads masked binary, frames of 16 KiB", "x", 16384,
          LSSB_WS_BINARY, true },
        { "server reads masked ASCII text, frames of 16 KiB",
          "the quick brown fox ", 16384, LSSB_WS_TEXT, true },
        { "server reads masked ASCII text, frames of 60 bytes",
          "the quick brown fox ", 60, LSSB_WS_TEXT, true }
    };
    struct stream stream;
    size_t i;

    printf("%-50s %8s %8s %7s\n", "MB of payload per CPU second", "lssb",
           "wslay", "ratio");
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        make_stream(&stream, rows[i].text, rows[i].frame, rows[i].opcode,
                    rows[i].server);
        compare(rows[i].name, &stream, read_with_lssb, read_with_wslay);
    }
    make_stream(&stream, "x", FRAME, LSSB_WS_BINARY, false);
    compare("client writes and masks, frames of 16 KiB", &stream,
            write_with_lssb, write_with_wslay);
    return 0;
}
