/* unit_websocket.c: the WebSocket engine in both roles.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each row is what a peer sends, in a notation of its own (see `bytes_of`), and
 * the story that the engine tells of it. The rows are written as a server
 * sends them; for the server's role every frame is masked. Every row is fed
 * whole, byte by byte, and in two pieces split at every place; each piece in
 * memory of exactly its size.
 */
#include <stdlib.h>

#include "test.h"

#include "src/internal.h"

enum { MOST = 512 };

/* ---------------------------------------------------------------- upgrade */

static void the_key_is_base64_of_sixteen_bytes(void)
{
    static const struct {
        const char *random;
        const char *key;
    } rows[] = {
        { "the sample nonce", "dGhlIHNhbXBsZSBub25jZQ==" },
        { "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
          "/////////////////////w==" }
    };
    char key[LSSB_WS_KEY_SIZE];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].key;
        lssb_ws_key(key, (const uint8_t *)rows[i].random);
        EXPECT_STR(key, rows[i].key);
    }
}

/* The first is the RFC's example; the others, of a length each that pads
 * another way, come from another implementation of SHA-1. */
static void the_accept_is_that_of_other_implementations(void)
{
    static const struct {
        const char *key;
        const char *accept;
    } rows[] = {
        { "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" },
        { "", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=" },
        { "abcdefghijklmnopqrs", "e5nfl7ayxOkM7i0NSGMv++0gU/w=" },
        { "abcdefghijklmnopqrst", "AsD5pA85sKFU9jjywWADP+ER30s=" },
        { "abcdefghijklmnopqrstuvwxyz0", "EILzWlrS81wtTUWarX1PC/TKrMw=" },
        { "abcdefghijklmnopqrstuvwxyz01", "jL4II6ks7RywSTUafFd+cJ7g5i0=" },
        { "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
          "0123456789abcdefghijklmnopqrstuvwxyz0123456789",
          "d/FCr/465f4931vUm8nJMRMEscE=" }
    };
    char accept[LSSB_WS_ACCEPT_SIZE];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].key;
        lssb_ws_accept(accept, rows[i].key, strlen(rows[i].key));
        EXPECT_STR(accept, rows[i].accept);
    }
}

/* Hands on "Name: value\n" lines as http1 does: without outer blanks. */
static void collect(struct lssb_ws_upgrade *upgrade, const char *lines)
{
    char name[64], value[256];
    size_t len;

    while (*lines != '\0') {
        len = strcspn(lines, ":");
        memcpy(name, lines, len);
        name[len] = '\0';
        lines += len + 1;
        lines += strspn(lines, " \t");
        len = strcspn(lines, "\n");
        memcpy(value, lines, len);
        value[len] = '\0';
        lines += len + (lines[len] == '\n');
        lssb_ws_upgrade_header(upgrade, name, value, len);
    }
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
#define V13 "Sec-WebSocket-Version: 13\n"
#define UP "Upgrade: websocket\n"
#define CON "Connection: Upgrade\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"

static void a_request_must_say_all_that_the_rfc_wants(void)
{
    static const struct {
        const char *headers;
        int status;                 /* 0: fine */
        const char *wrong;          /* a word of what is said */
    } rows[] = {
        { UP CON KEY V13, 0, NULL },
        { V13 KEY CON UP "Host: a\nOrigin: b\n", 0, NULL },
        { "UPGRADE: WebSocket\ncOnNeCtIoN: uPgRaDe\nsec-websocket-key: "
          "dGhlIHNhbXBsZSBub25jZQ==\nSEC-WEBSOCKET-VERSION: 13\n", 0, NULL },
        { UP "Connection: keep-alive, Upgrade\n" KEY V13, 0, NULL },
        { UP "Connection: keep-alive ,\tupgrade\t, , x\n" KEY V13, 0, NULL },
        { UP "Connection: keep-alive\nConnection: upgrade\n" KEY V13, 0, NULL },
        { "Upgrade: h2c, websocket\n" CON KEY V13, 0, NULL },
        { UP CON KEY V13 "Sec-WebSocket-Extensions: permessage-deflate\n"
          "Sec-WebSocket-Protocol: chat\n", 0, NULL },
        /* As the RFC's own example has it: bits beyond the bytes (4.1). */
        { UP CON "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\n" V13, 0, NULL },

        { CON KEY V13, 400, "Upgrade: websocket" },
        { "Upgrade: websockets\n" CON KEY V13, 400, "Upgrade: websocket" },
        { "Upgrade: websocket/13\n" CON KEY V13, 400, "Upgrade: websocket" },
        { "Upgrade:\n" CON KEY V13, 400, "Upgrade: websocket" },
        { "Upgrade: web socket\n" CON KEY V13, 400, "Upgrade: websocket" },
        { UP KEY V13, 400, "Connection: upgrade" },
        { UP "Connection: keep-alive\n" KEY V13, 400, "Connection: upgrade" },
        { UP "Connection: upgraded\n" KEY V13, 400, "Connection: upgrade" },
        { UP CON V13, 400, "no Sec-WebSocket-Key" },
        { UP CON KEY KEY V13, 400, "Sec-WebSocket-Key, or several" },
        { UP CON "Sec-WebSocket-Key:\n" V13, 400, "base64" },
        { UP CON "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\n" V13, 400,
          "base64" },
        { UP CON "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\n" V13, 400,
          "base64" },
        { UP CON "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, x\n" V13, 400,
          "base64" },
        { UP CON "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\n" V13, 400,
          "base64" },
        { UP CON "Sec-WebSocket-Key: dGhlIHNhbXBsZSBu!25jZQ==\n" V13, 400,
          "base64" },
        { UP CON KEY, 400, "no Sec-WebSocket-Version" },
        { UP CON KEY V13 V13, 400, "several" },
        { UP CON KEY "Sec-WebSocket-Version: 8\n", 426, "version 13" },
        { UP CON KEY "Sec-WebSocket-Version: 013\n", 426, "version 13" },
        { UP CON KEY "Sec-WebSocket-Version: 13, 8\n", 426, "version 13" },
        { UP CON KEY "Sec-WebSocket-Version:\n", 426, "version 13" },
        /* An accept is no key. */
        { UP CON ACCEPT V13, 400, "no Sec-WebSocket-Key" },
        { "", 400, "Upgrade: websocket" }
    };
    struct lssb_ws_upgrade upgrade;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *wrong;
        int status = 0;

        test_row = rows[i].headers;
        lssb_ws_upgrade_start(&upgrade, true);
        collect(&upgrade, rows[i].headers);
        wrong = lssb_ws_upgrade_wrong(&upgrade, NULL, &status);
        EXPECT((wrong == NULL) == (rows[i].wrong == NULL));
        if (wrong != NULL && rows[i].wrong != NULL) {
            EXPECT(strstr(wrong, rows[i].wrong) != NULL);
            EXPECT_INT(status, rows[i].status);
        } else {
            EXPECT_INT(strlen(upgrade.key), 24);
        }
    }
}

static void a_reply_must_say_all_that_the_rfc_wants(void)
{
    static const struct {
        const char *headers;
        const char *wrong;
    } rows[] = {
        { UP CON ACCEPT, NULL },
        { "upgrade: WEBSOCKET\nconnection: UPGRADE\nsec-websocket-accept: "
          "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n", NULL },
        { UP "Connection: keep-alive, upgrade\n" ACCEPT "Server: x\n", NULL },
        { UP UP CON CON ACCEPT, NULL },
        { UP CON ACCEPT "Sec-WebSocket-Version: 13\n", NULL },

        { CON ACCEPT, "Upgrade: websocket" },
        { "Upgrade: h2c\n" CON ACCEPT, "Upgrade: websocket" },
        { "Upgrade: websocket, h2c\n" CON ACCEPT, "Upgrade: websocket" },
        { UP "Upgrade: h2c\n" CON ACCEPT, "Upgrade: websocket" },
        { UP ACCEPT, "Connection: upgrade" },
        { UP "Connection: close\n" ACCEPT, "Connection: upgrade" },
        { UP CON, "no Sec-WebSocket-Accept" },
        { UP CON ACCEPT ACCEPT, "several" },
        { UP CON "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\n",
          "another" },
        { UP CON "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n",
          "another" },
        { UP CON "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\n",
          "another" },
        { UP CON "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=x\n",
          "another" },
        { UP CON "Sec-WebSocket-Accept:\n", "another" },
        { UP CON KEY, "no Sec-WebSocket-Accept" },
        { UP CON ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\n",
          "extension" },
        { UP CON ACCEPT "Sec-WebSocket-Protocol: chat\n", "subprotocol" },
        { "", "Upgrade: websocket" }
    };
    struct lssb_ws_upgrade upgrade;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *wrong;

        test_row = rows[i].headers;
        lssb_ws_upgrade_start(&upgrade, false);
        collect(&upgrade, rows[i].headers);
        wrong = lssb_ws_upgrade_wrong(&upgrade, "dGhlIHNhbXBsZSBub25jZQ==",
                                      NULL);
        EXPECT((wrong == NULL) == (rows[i].wrong == NULL));
        if (wrong != NULL && rows[i].wrong != NULL)
            EXPECT(strstr(wrong, rows[i].wrong) != NULL);
    }
}

/* ---------------------------------------------------------- what comes in */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads the notation: pairs of hexadecimal digits, 'letters as they are', and
 * N*HH for N times a byte; blanks in between. Returns how many bytes. */
static size_t bytes_of(const char *text, uint8_t out[MOST])
{
    size_t len = 0, times;

    while (*text != '\0') {
        times = strspn(text, "0123456789");
        if (*text == ' ') {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++)
                out[len++] = (uint8_t)*text;
            text++;
        } else if (times > 0 && text[times] == '*') {
            char *end;
            unsigned long n = strtoul(text, &end, 10);
            int byte = hex_digit(end[1]) * 16 + hex_digit(end[2]);

            memset(out + len, byte, n);
            len += n;
            text = end + 3;
        } else {
            out[len++] = (uint8_t)(hex_digit(text[0]) * 16 +
                                   hex_digit(text[1]));
            text += 2;
        }
    }
    return len;
}

/* Masks every frame of what a server would send, whatever is wrong with it;
 * the last may be cut. */
static size_t masked(const uint8_t *in, size_t len, uint8_t out[MOST])
{
    static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };
    size_t at = 0, put = 0, ext, i;
    uint64_t left;

    while (at < len) {
        out[put++] = in[at++];
        if (at == len)
            break;
        ext = (in[at] & 0x7F) == 126 ? 2 : (in[at] & 0x7F) == 127 ? 8 : 0;
        left = ext == 0 ? in[at] & 0x7Fu : 0;
        out[put++] = in[at++] ^ 0x80;
        for (i = 0; i < ext && at < len; i++) {
            left = left << 8 | in[at];
            out[put++] = in[at++];
        }
        if (i < ext)
            break;
        memcpy(out + put, key, 4);
        put += 4;
        for (i = 0; i < left && at < len; i++)
            out[put++] = in[at++] ^ key[i % 4];
    }
    return put;
}

struct story {
    char text[4096];
    size_t len;
    size_t consumed;
    bool in_message;                /* of which something was told */
    bool in_piece;                  /* and last of all */
};

static void tell(struct story *story, const char *string)
{
    size_t len = strlen(string);

    if (len > sizeof story->text - 1 - story->len)
        len = sizeof story->text - 1 - story->len;
    memcpy(story->text + story->len, string, len);
    story->len += len;
    story->text[story->len] = '\0';
}

static void tell_bytes(struct story *story, const uint8_t *bytes, size_t len)
{
    char word[8];

    while (len-- > 0) {
        if (*bytes >= 0x20 && *bytes < 0x7F)
            sprintf(word, "%c", *bytes);
        else
            sprintf(word, "\\x%02X", *bytes);
        tell(story, word);
        bytes++;
    }
}

static void tell_piece(struct story *story, const struct lssb_ws *ws)
{
    EXPECT(ws->begins == !story->in_message);
    EXPECT(ws->data_len > 0 || ws->ends);
    if (!story->in_piece && story->len > 0)
        tell(story, " | ");
    if (ws->begins)
        tell(story, ws->opcode == LSSB_WS_TEXT ? "text '" : "binary '");
    else if (!story->in_piece)
        tell(story, "...");
    tell_bytes(story, ws->data, ws->data_len);
    if (ws->ends)
        tell(story, "'");
    story->in_message = story->in_piece = !ws->ends;
}

static const char *name_of(enum lssb_ws_opcode opcode)
{
    return opcode == LSSB_WS_PING ? "ping"
           : opcode == LSSB_WS_PONG ? "pong"
           : opcode == LSSB_WS_CLOSE ? "close" : "?";
}

static void tell_event(struct story *story, const struct lssb_ws *ws,
                       enum lssb_ws_event event)
{
    char word[128];

    if (event == LSSB_WS_PIECE) {
        tell_piece(story, ws);
        return;
    }
    tell(story, story->in_piece ? "... | " : story->len > 0 ? " | " : "");
    story->in_piece = false;
    if (event == LSSB_WS_MORE) {
        tell(story, "more");
    } else if (event == LSSB_WS_WRONG) {
        sprintf(word, "%u: %s", ws->code, ws->wrong);
        tell(story, word);
    } else {
        tell(story, name_of(ws->opcode));
        if (ws->opcode == LSSB_WS_CLOSE) {
            sprintf(word, " %u", ws->code);
            tell(story, word);
        }
        tell(story, " '");
        tell_bytes(story, ws->data, ws->data_len);
        tell(story, "'");
    }
}

/* Feeds one piece, in memory of its size; true: go on. */
static bool feed_piece(struct story *story, struct lssb_ws *ws,
                       const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    enum lssb_ws_event event;
    size_t at = 0, used;

    memcpy(copy, bytes, len);
    do {
        event = lssb_ws_next(ws, copy + at, len - at, &used);
        EXPECT(used <= len - at);
        if (event == LSSB_WS_PIECE)
            EXPECT(ws->data + ws->data_len <= copy + at + used);
        at += used;
        if (event != LSSB_WS_MORE)
            tell_event(story, ws, event);
    } while (event != LSSB_WS_MORE && event != LSSB_WS_WRONG);
    story->consumed += at;
    free(copy);
    return event == LSSB_WS_MORE && at == len;
}

/* What is told of bytes that come in a first piece, then pieces of `rest`. */
static void feed(struct story *story, bool server, const uint8_t *bytes,
                 size_t len, size_t first, size_t rest)
{
    struct lssb_ws ws;
    size_t at, piece = first;
    bool open = true;

    memset(story, 0, sizeof *story);
    lssb_ws_start(&ws, server);
    for (at = 0; at < len && open; at += piece, piece = rest) {
        if (piece > len - at)
            piece = len - at;
        open = feed_piece(story, &ws, bytes + at, piece);
    }
    if (open)
        tell_event(story, &ws, LSSB_WS_MORE);
}

struct row {
    const char *bytes;
    const char *story;
};

static void run_row(const struct row *row, bool server)
{
    uint8_t plain[MOST], bytes[MOST];
    struct story story, whole;
    size_t len = bytes_of(row->bytes, plain), first;

    test_row = row->bytes;
    memcpy(bytes, plain, len);
    if (server)
        len = masked(plain, len, bytes);
    feed(&whole, server, bytes, len, len, len);
    EXPECT_STR(whole.text, row->story);
    for (first = 0; first < len; first++) {
        feed(&story, server, bytes, len, first == 0 ? 1 : first,
             first == 0 ? 1 : len);
        EXPECT_STR(story.text, whole.text);
        EXPECT_INT(story.consumed, whole.consumed);
    }
}

static void run_rows(const struct row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        run_row(&rows[i], false);
        run_row(&rows[i], true);
    }
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void messages_and_control_frames_are_told(void)
{
    static const struct row rows[] = {
        { "", "more" },
        { "81", "more" },
        { "81 05 'Hello'", "text 'Hello' | more" },
        { "81 05 'Hel'", "text 'Hel... | more" },
        { "82 03 00ff80", "binary '\\x00\\xFF\\x80' | more" },
        { "81 00", "text '' | more" },
        { "82 00 81 01 'a'", "binary '' | text 'a' | more" },
        { "01 03 'Hel' 80 02 'lo'", "text 'Hello' | more" },
        { "01 00 80 00", "text '' | more" },
        { "01 00 00 00 80 01 'a'", "text 'a' | more" },
        { "01 01 'a' 00 00 80 00", "text 'a' | more" },
        { "01 03 'Hel' 89 00 80 02 'lo'",
          "text 'Hel... | ping '' | ...lo' | more" },
        /* Nothing of the message was there to tell before the ping. */
        { "01 00 89 00 80 02 'lo'", "ping '' | text 'lo' | more" },
        { "89 05 'Hello' 8a 05 'Hello'", "ping 'Hello' | pong 'Hello' | more" },
        { "8a 00", "pong '' | more" },
        { "89 7d 125*61 81 00", "ping '"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "' | text '' | more" },
        { "88 00", "close 1005 '' | more" },
        { "88 02 03e8", "close 1000 '' | more" },
        { "88 05 0bb8 'bye'", "close 3000 'bye' | more" },
        { "88 05 03e9 e282ac", "close 1001 '\\xE2\\x82\\xAC' | more" },
        /* Registered since the RFC: servers that restart say 1012. */
        { "88 02 03f4", "close 1012 '' | more" },
        { "88 02 03f5", "close 1013 '' | more" },
        { "88 02 03f6", "close 1014 '' | more" },
        { "88 02 1387", "close 4999 '' | more" },
        { "01 01 'a' 88 02 03e8", "text 'a... | close 1000 '' | more" },
        { "01 02 e282 88 02 03e8",
          "text '\\xE2\\x82... | close 1000 '' | more" }
    };

    RUN(rows);
}

static void nothing_is_consumed_after_a_close_frame(void)
{
    uint8_t bytes[] = { 0x88, 0x02, 0x03, 0xE8, 0x81, 0x01, 'a' };
    struct lssb_ws ws;
    size_t used;

    lssb_ws_start(&ws, false);
    EXPECT(lssb_ws_next(&ws, bytes, sizeof bytes, &used) ==
           LSSB_WS_CONTROL_FRAME);
    EXPECT_INT(used, 4);
    EXPECT(lssb_ws_next(&ws, bytes + 4, 3, &used) == LSSB_WS_MORE);
    EXPECT_INT(used, 0);
}

/* Each of these ends with the very byte that cannot be: it is refused there,
 * and not a byte before. */
static void what_is_wrong_is_refused_at_the_first_byte_that_shows_it(void)
{
    static const struct row rows[] = {
        { "c1", "1002: a frame has a reserved bit set" },
        { "a1", "1002: a frame has a reserved bit set" },
        { "91", "1002: a frame has a reserved bit set" },
        { "f0", "1002: a frame has a reserved bit set" },
        { "83", "1002: a frame has a reserved opcode" },
        { "84", "1002: a frame has a reserved opcode" },
        { "85", "1002: a frame has a reserved opcode" },
        { "86", "1002: a frame has a reserved opcode" },
        { "87", "1002: a frame has a reserved opcode" },
        { "8b", "1002: a frame has a reserved opcode" },
        { "8c", "1002: a frame has a reserved opcode" },
        { "8d", "1002: a frame has a reserved opcode" },
        { "8e", "1002: a frame has a reserved opcode" },
        { "8f", "1002: a frame has a reserved opcode" },
        { "08", "1002: a control frame is a fragment" },
        { "09", "1002: a control frame is a fragment" },
        { "0a", "1002: a control frame is a fragment" },
        { "80", "1002: a continuation has no message to continue" },
        { "00", "1002: a continuation has no message to continue" },
        { "81 01 'a' 80",
          "text 'a' | 1002: a continuation has no message to continue" },
        { "01 01 'a' 81",
          "text 'a... | 1002: a message begins within another" },
        { "01 00 02", "1002: a message begins within another" },
        { "88 7e", "1002: a control frame is longer than 125 bytes" },
        { "89 7f", "1002: a control frame is longer than 125 bytes" },
        { "8a 7e", "1002: a control frame is longer than 125 bytes" },
        { "88 01", "1002: a close frame has half a code" },
        { "82 7e 007d", "1002: a frame's length is not in its shortest form" },
        { "82 7e 0000", "1002: a frame's length is not in its shortest form" },
        { "82 7f 00000000 0000",
          "1002: a frame's length is not in its shortest form" },
        { "82 7f 80", "1002: a frame's length has its highest bit set" },
        { "88 02 0000", "1002: a close frame has a code that may not be sent" },
        { "88 08 03e7", "1002: a close frame has a code that may not be sent" },
        { "88 02 03ec", "1002: a close frame has a code that may not be sent" },
        { "88 02 03ed", "1002: a close frame has a code that may not be sent" },
        { "88 02 03ee", "1002: a close frame has a code that may not be sent" },
        { "88 02 03f7", "1002: a close frame has a code that may not be sent" },
        { "88 02 0bb7", "1002: a close frame has a code that may not be sent" },
        { "88 02 1388", "1002: a close frame has a code that may not be sent" },
        { "88 02 ffff", "1002: a close frame has a code that may not be sent" },
        { "88 05 03e8 'a' ff", "1007: a text is not UTF-8" },
        { "88 04 03e8 e282", "1007: a text is not UTF-8" },
        { "88 05 03e8 eda0", "1007: a text is not UTF-8" },
        { "81 02 'a' 80", "text 'a... | 1007: a text is not UTF-8" },
        { "81 09 c0", "1007: a text is not UTF-8" },
        { "81 09 c1", "1007: a text is not UTF-8" },
        { "81 09 e09f", "text '\\xE0... | 1007: a text is not UTF-8" },
        { "81 09 eda0", "text '\\xED... | 1007: a text is not UTF-8" },
        { "81 09 f08f", "text '\\xF0... | 1007: a text is not UTF-8" },
        { "81 09 f490", "text '\\xF4... | 1007: a text is not UTF-8" },
        { "81 09 f5", "1007: a text is not UTF-8" },
        { "81 09 e282 'a'", "text '\\xE2\\x82... | 1007: a text is not UTF-8" },
        { "81 02 e282", "text '\\xE2\\x82... | 1007: a text is not UTF-8" },
        { "01 01 e2 00 01 82 80 00",
          "text '\\xE2\\x82... | 1007: a text is not UTF-8" },
        { "01 01 e2 89 01 'a' 00 01 c2",
          "text '\\xE2... | ping 'a' | 1007: a text is not UTF-8" }
    };
    uint8_t bytes[MOST];
    struct story story;
    size_t i, len;

    RUN(rows);
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].bytes;
        len = bytes_of(rows[i].bytes, bytes);
        feed(&story, false, bytes, len - 1, len, len);
        EXPECT(story.len >= 4 &&
               strcmp(story.text + story.len - 4, "more") == 0);
    }
}

/* However much there was behind it. */
static void nothing_is_consumed_from_a_wrong_byte_of_text_on(void)
{
    static const struct row rows[] = {
        { "81 05 'a' ff 'bcd'", "text 'a... | 1007: a text is not UTF-8" },
        { "81 05 e282 'bcd'",
          "text '\\xE2\\x82... | 1007: a text is not UTF-8" },
        { "81 00 81 05 ff 'abcd'", "text '' | 1007: a text is not UTF-8" },
        { "88 07 03e8 'a' ff 'bcd'", "1007: a text is not UTF-8" }
    };

    RUN(rows);
}

static void what_is_wrong_once_stays_wrong(void)
{
    static const char *const rows[] = { "83", "81 02 'a' ff", "88 02 03ec" };
    uint8_t bytes[MOST];
    struct lssb_ws ws;
    enum lssb_ws_event event;
    size_t i, len, used, at;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i];
        len = bytes_of(rows[i], bytes);
        lssb_ws_start(&ws, false);
        for (at = 0, event = LSSB_WS_MORE; event != LSSB_WS_WRONG; at += used)
            event = lssb_ws_next(&ws, bytes + at, len - at, &used);
        bytes_of("81 01 'a'", bytes);
        EXPECT(lssb_ws_next(&ws, bytes, 3, &used) == LSSB_WS_WRONG);
        EXPECT_INT(used, 0);
        EXPECT(lssb_ws_next(&ws, bytes, 0, &used) == LSSB_WS_WRONG);
        EXPECT(ws.wrong != NULL && ws.code >= LSSB_WS_PROTOCOL_ERROR);
    }
}

static void a_frame_masked_by_the_wrong_side_is_refused(void)
{
    struct story story;

    feed(&story, false, (const uint8_t *)"\x81\x81", 2, 2, 2);
    EXPECT_STR(story.text, "1002: a server's frame is masked");
    feed(&story, true, (const uint8_t *)"\x81\x01", 2, 2, 2);
    EXPECT_STR(story.text, "1002: a client's frame is not masked");
}

/* ------------------------------------------------------------- UTF-8, all */

/* Whether the engine takes a text of these bytes, one to each call if
 * `bytewise`, in a frame of its own each if `fragments`. */
static bool takes_text(const uint8_t *text, size_t len, bool bytewise,
                       bool fragments)
{
    uint8_t bytes[64];
    size_t put = 0, at, i, used;
    struct lssb_ws ws;
    enum lssb_ws_event event = LSSB_WS_MORE;

    for (i = 0; fragments && i < len; i++) {
        bytes[put++] = (uint8_t)((i == 0 ? 1 : 0) | (i + 1 == len ? 128 : 0));
        bytes[put++] = 1;
        bytes[put++] = text[i];
    }
    if (!fragments) {
        bytes[put++] = 0x81;
        bytes[put++] = (uint8_t)len;
        memcpy(bytes + put, text, len);
        put += len;
    }
    lssb_ws_start(&ws, false);
    for (at = 0; at < put; at += used) {
        event = lssb_ws_next(&ws, bytes + at, bytewise ? 1 : put - at, &used);
        if (event == LSSB_WS_WRONG)
            return false;
    }
    return lssb_ws_next(&ws, bytes, 0, &used) != LSSB_WS_WRONG && ws.ends;
}

static size_t encode(uint32_t point, uint8_t out[4])
{
    size_t size = 1, i;

    size += point >= 0x80 ? 1 : 0;
    size += point >= 0x800 ? 1 : 0;
    size += point >= 0x10000 ? 1 : 0;
    for (i = size; i-- > 1; point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    out[0] = (uint8_t)(size == 1 ? point : (0xF0u << (4 - size)) | point);
    return size;
}

static void every_code_point_is_text_but_surrogates(void)
{
    uint8_t bytes[8];
    uint32_t point;
    unsigned wrong = 0;

    for (point = 0; point < 0x120000; point += point < 0x3000 ? 1 : 7) {
        bool valid = point < 0xD800 || (point > 0xDFFF && point < 0x110000);
        size_t len = encode(point, bytes);

        wrong += takes_text(bytes, len, false, false) != valid;
        wrong += takes_text(bytes, len, true, false) != valid;
        wrong += takes_text(bytes, len, false, true) != valid;
    }
    EXPECT_INT(wrong, 0);
}

/* Every first byte with every second one, then `rest` good ones: the only
 * places where the rules differ. */
static void every_pair_of_first_bytes_is_judged_alike_however_it_comes(void)
{
    uint8_t bytes[4] = { 0, 0, 0x80, 0xBF };
    unsigned pair, wrong = 0;
    size_t len;

    for (pair = 0; pair < 0x10000; pair++) {
        bytes[0] = (uint8_t)(pair >> 8);
        bytes[1] = (uint8_t)pair;
        for (len = 1; len <= 4; len++) {
            bool valid = lssb_utf8_valid((const char *)bytes, len) == len;

            wrong += takes_text(bytes, len, true, false) != valid;
            wrong += takes_text(bytes, len, true, true) != valid;
        }
    }
    EXPECT_INT(wrong, 0);
}

/* ------------------------------------------------------------ going out */

static void a_header_is_as_short_as_its_length_allows(void)
{
    static const struct {
        enum lssb_ws_opcode opcode;
        bool fin;
        uint64_t len;
        bool masked;
        const char *head;
    } rows[] = {
        { LSSB_WS_TEXT, true, 0, false, "8100" },
        { LSSB_WS_TEXT, false, 125, false, "017d" },
        { LSSB_WS_BINARY, true, 126, false, "827e007e" },
        { LSSB_WS_CONTINUATION, true, 65535, false, "807effff" },
        { LSSB_WS_CONTINUATION, false, 65536, false, "007f0000000000010000" },
        { LSSB_WS_BINARY, true, UINT64_C(0x123456789AB), false,
          "827f00000123456789ab" },
        { LSSB_WS_PING, true, 0, true, "8980a1b2c3d4" },
        { LSSB_WS_PONG, true, 125, true, "8afda1b2c3d4" },
        { LSSB_WS_CLOSE, true, 2, true, "8882a1b2c3d4" },
        { LSSB_WS_TEXT, true, 126, true, "81fe007ea1b2c3d4" },
        { LSSB_WS_TEXT, true, 65536, true, "81ff0000000000010000a1b2c3d4" }
    };
    static const uint8_t key[4] = { 0xA1, 0xB2, 0xC3, 0xD4 };
    uint8_t head[LSSB_WS_HEADER], expected[MOST];
    size_t i, len;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].head;
        len = lssb_ws_head(head, rows[i].opcode, rows[i].fin, rows[i].len,
                           rows[i].masked ? key : NULL);
        EXPECT_INT(len, bytes_of(rows[i].head, expected));
        EXPECT(memcmp(head, expected, len) == 0);
    }
}

static void masking_is_the_same_by_words_and_by_bytes(void)
{
    static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };
    uint8_t bytes[96], expected[96];
    size_t from, len, at, i;

    for (from = 0; from < 9; from++)
        for (len = 0; len < 40; len++)
            for (at = 0; at < 5; at++) {
                for (i = 0; i < sizeof bytes; i++)
                    bytes[i] = expected[i] = (uint8_t)(i * 7 + 1);
                for (i = 0; i < len; i++)
                    expected[from + i] ^= key[(at + i) % 4];
                lssb_ws_mask(bytes + from, len, key, at);
                EXPECT(memcmp(bytes, expected, sizeof bytes) == 0);
            }
    memset(bytes, 0, 4);
    lssb_ws_mask(bytes, 4, key, UINT64_MAX - 1);
    EXPECT(memcmp(bytes, "\x21\x3D\x37\xFA", 4) == 0);
}

#define X41 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void a_close_holds_its_code_and_as_much_of_its_reason_as_fits(void)
{
    static const struct {
        uint16_t code;
        const char *reason;
        size_t len;
    } rows[] = {
        { 1005, NULL, 0 },
        { 1000, NULL, 2 },
        { 1000, "", 2 },
        { 1001, "bye", 5 },
        { 1000, X41 X41 X41, 125 },
        { 1000, X41 X41 X41 "x", 125 },
        { 1000, X41 X41 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xC3\xA4",
          124 },
        { 1000, X41 X41 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xE2\x82\xAC",
          125 },
        { 1000, X41 X41 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xE2\x82\xAC",
          123 }
    };
    uint8_t payload[LSSB_WS_CONTROL];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].reason != NULL ? rows[i].reason : "no reason";
        EXPECT_INT(lssb_ws_close_payload(payload, rows[i].code,
                                         rows[i].reason), rows[i].len);
        if (rows[i].len >= 2)
            EXPECT_INT(payload[0] << 8 | payload[1], rows[i].code);
        if (rows[i].len > 2)
            EXPECT(memcmp(payload + 2, rows[i].reason, rows[i].len - 2) == 0);
    }
}

/* --------------------------------------------------------------- at length */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)('a' + at % 26);
}

/* One frame of 1 MiB, masked or not, that passes through a buffer of 4 KiB. */
static void a_mebibyte_passes_through_four_kibibytes(void)
{
    static const uint8_t key[4] = { 1, 2, 3, 4 };
    uint8_t buffer[4096];
    uint64_t sent, got, size = 1048576;
    size_t head, fill, at, used, i;
    enum lssb_ws_event event;
    struct lssb_ws ws;
    int server, garbled = 0, ends = 0;

    for (server = 0; server < 2; server++) {
        lssb_ws_start(&ws, server != 0);
        head = lssb_ws_head(buffer, LSSB_WS_TEXT, true, size,
                            server ? key : NULL);
        for (sent = got = 0; sent < size; head = 0) {
            for (fill = head; fill < sizeof buffer && sent < size; sent++)
                buffer[fill++] = (uint8_t)(byte_at(sent) ^
                                           (server ? key[sent % 4] : 0));
            for (at = 0;; at += used) {
                event = lssb_ws_next(&ws, buffer + at, fill - at, &used);
                if (event != LSSB_WS_PIECE)
                    break;
                EXPECT(ws.begins == (got == 0));
                for (i = 0; i < ws.data_len; i++)
                    garbled += ws.data[i] != byte_at(got++);
                ends += ws.ends;
            }
            EXPECT(event == LSSB_WS_MORE);
        }
        EXPECT_INT(got, size);
        EXPECT_INT(garbled, 0);
        EXPECT_INT(ends, server + 1);
    }
}

/* A length that only 63 bits hold is read as such, and never ends. */
static void the_longest_frame_is_taken_as_it_comes(void)
{
    uint8_t bytes[] = { 0x82, 0x7F, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                        0xFF, 'a', 'b' };
    struct lssb_ws ws;
    size_t used;

    lssb_ws_start(&ws, false);
    EXPECT(lssb_ws_next(&ws, bytes, sizeof bytes, &used) == LSSB_WS_PIECE);
    EXPECT_INT(used, sizeof bytes);
    EXPECT(ws.begins && !ws.ends);
    EXPECT_INT(ws.data_len, 2);
}

/* Two engines, back to back, on a wire that cuts at random. */
struct end {
    struct lssb_ws ws;
    uint8_t wire[8192];             /* towards this end */
    size_t len;
    uint64_t sent_hash, got_hash;   /* of what the other end was told to send,
                                       of what came */
    uint8_t sending;                /* opcode of the message that it is in */
    bool got_close;
};

static void mix(uint64_t *hash, const uint8_t *bytes, size_t len)
{
    while (len-- > 0)
        *hash = (*hash ^ *bytes++) * UINT64_C(1099511628211);
}

static void mix_mark(uint64_t *hash, unsigned mark)
{
    uint8_t byte = (uint8_t)mark;

    mix(hash, &byte, 1);
}

/* Puts a frame on the wire towards `to`; its payload may be text anywhere. */
static void send_frame(struct end *to, enum lssb_ws_opcode opcode, bool fin,
                       size_t len, uint32_t *seed)
{
    static const char letters[] = "abc\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80";
    uint8_t key[4] = { 0, 0, 0, 0 };
    size_t head, i;
    uint8_t *payload;

    for (i = 0; i < 4; i++)
        key[i] = (uint8_t)next_random(seed);
    head = lssb_ws_head(to->wire + to->len, opcode, fin, len,
                        to->ws.server ? key : NULL);
    payload = to->wire + to->len + head;
    for (i = 0; i < len; i++)
        payload[i] = (uint8_t)letters[i % 12];
    if (opcode >= LSSB_WS_CLOSE) {
        mix_mark(&to->sent_hash, (unsigned)opcode);
        if (opcode == LSSB_WS_CLOSE)
            lssb_ws_close_payload(payload, LSSB_WS_NORMAL, "");
    }
    mix(&to->sent_hash, payload, opcode == LSSB_WS_CLOSE ? 0 : len);
    if (opcode < LSSB_WS_CLOSE && fin)
        mix_mark(&to->sent_hash, to->sending + 0x80u);
    if (to->ws.server)
        lssb_ws_mask(payload, len, key, 0);
    to->len += head + len;
}

/* One random thing is sent towards `to`. */
static void send_something(struct end *to, uint32_t *seed)
{
    uint32_t what = next_random(seed) % 8;
    size_t len = next_random(seed) % 40 * 12;
    bool fin = next_random(seed) % 2 == 0;

    if (to->len > sizeof to->wire - 1024)
        return;
    if (what == 0) {
        send_frame(to, LSSB_WS_PING, true, len % 120, seed);
    } else if (what == 1) {
        send_frame(to, LSSB_WS_PONG, true, len % 120, seed);
    } else if (to->sending != 0) {
        send_frame(to, LSSB_WS_CONTINUATION, fin, len, seed);
        to->sending = fin ? 0 : to->sending;
    } else {
        to->sending = what % 2 == 0 ? LSSB_WS_TEXT : LSSB_WS_BINARY;
        send_frame(to, (enum lssb_ws_opcode)to->sending, fin, len, seed);
        to->sending = fin ? 0 : to->sending;
    }
}

/* Some of what is on the wire arrives. */
static void receive_some(struct end *end, uint32_t *seed)
{
    size_t some = end->len > 0 ? next_random(seed) % (end->len + 1) : 0;
    size_t at = 0, used;
    enum lssb_ws_event event;

    do {
        event = lssb_ws_next(&end->ws, end->wire + at, some - at, &used);
        at += used;
        EXPECT(event != LSSB_WS_WRONG);
        if (event == LSSB_WS_PIECE) {
            mix(&end->got_hash, end->ws.data, end->ws.data_len);
            if (end->ws.ends)
                mix_mark(&end->got_hash, (unsigned)end->ws.opcode + 0x80u);
        } else if (event == LSSB_WS_CONTROL_FRAME) {
            mix_mark(&end->got_hash, (unsigned)end->ws.opcode);
            mix(&end->got_hash, end->ws.data, end->ws.data_len);
            end->got_close = end->ws.opcode == LSSB_WS_CLOSE;
        }
    } while (event == LSSB_WS_PIECE || event == LSSB_WS_CONTROL_FRAME);
    memmove(end->wire, end->wire + at, end->len - at);
    end->len -= at;
}

static void two_engines_understand_each_other_at_random(void)
{
    static struct end ends[2];
    uint32_t seed;
    int step, i;
    char row[32];

    for (seed = 1; seed <= 200; seed++) {
        uint32_t random = seed * 2654435761u;

        sprintf(row, "seed %u", (unsigned)seed);
        test_row = row;
        memset(ends, 0, sizeof ends);
        lssb_ws_start(&ends[0].ws, false);
        lssb_ws_start(&ends[1].ws, true);
        for (step = 0; step < 300; step++) {
            i = (int)(next_random(&random) % 2);
            if (next_random(&random) % 3 == 0)
                send_something(&ends[i], &random);
            else
                receive_some(&ends[i], &random);
        }
        for (i = 0; i < 2; i++) {
            send_frame(&ends[i], LSSB_WS_CLOSE, true, 2, &random);
            while (ends[i].len > 0)
                receive_some(&ends[i], &random);
            EXPECT(ends[i].got_close);
            EXPECT(ends[i].got_hash == ends[i].sent_hash);
        }
    }
}

static const struct test tests[] = {
    TEST(the_key_is_base64_of_sixteen_bytes),
    TEST(the_accept_is_that_of_other_implementations),
    TEST(a_request_must_say_all_that_the_rfc_wants),
    TEST(a_reply_must_say_all_that_the_rfc_wants),
    TEST(messages_and_control_frames_are_told),
    TEST(nothing_is_consumed_after_a_close_frame),
    TEST(what_is_wrong_is_refused_at_the_first_byte_that_shows_it),
    TEST(nothing_is_consumed_from_a_wrong_byte_of_text_on),
    TEST(what_is_wrong_once_stays_wrong),
    TEST(a_frame_masked_by_the_wrong_side_is_refused),
    TEST(every_code_point_is_text_but_surrogates),
    TEST(every_pair_of_first_bytes_is_judged_alike_however_it_comes),
    TEST(a_header_is_as_short_as_its_length_allows),
    TEST(masking_is_the_same_by_words_and_by_bytes),
    TEST(a_close_holds_its_code_and_as_much_of_its_reason_as_fits),
    TEST(a_mebibyte_passes_through_four_kibibytes),
    TEST(the_longest_frame_is_taken_as_it_comes),
    TEST(two_engines_understand_each_other_at_random)
};

int main(void)
{
    return TEST_MAIN(tests);
}
