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
          "0123456789abcdefghijklmnopqrstuvwxyz0123456789", "d/FCr/465f4931vUm8nJMRMEscE=" }
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
        { "01 01 'a' 81", "text 'a... | 1002: a message begins within another" },
        { "01 00 02", "1002: a message begins within another" },
        { "88 7e", "1002: a control frame is longer than 125 bytes" },
        { "89 7f", "1002: a control frame is longer than 125 bytes" },
        { "8a 7e", "1002: a control frame is longer than 125 bytes" },
        { "88 01", "1002: a close frame has half a code" },
        { "82 7e 007d", "1002: a frame's length is not in its shortest form" },
        { "82 7e 0000", "1002: a frame's length is not in its shortest form" },
        { "82 7f 00000000 0000ffff",
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

static void a_frame_masked_by_the_wrong_side_is_refused(void)
{
    struct story story;

    feed(&story, false, (const uint8_t *)"\x81\x81", 2, 2, 2);
    EXPECT_STR(story.text, "1002: a server's frame is masked");
    feed(&story, true, (const uint8_t *)"\x81\x01", 2, 2, 2);
    EXPECT_STR(story.text, "1002: a client's frame is not masked");
}

static const struct test tests[] = {
    TEST(the_key_is_base64_of_sixteen_bytes),
    TEST(the_accept_is_that_of_other_implementations),
    TEST(a_request_must_say_all_that_the_rfc_wants),
    TEST(a_reply_must_say_all_that_the_rfc_wants),
    TEST(messages_and_control_frames_are_told),
    TEST(nothing_is_consumed_after_a_close_frame),
    TEST(what_is_wrong_is_refused_at_the_first_byte_that_shows_it),
    TEST(a_frame_masked_by_the_wrong_side_is_refused)
};

int main(void)
{
    return TEST_MAIN(tests);
}
