/* unit_autobahn.c: the cases of the Autobahn suite that do not concern
 * compression (its sections 1 to 7, 9 and 10), in both roles.
 *
 * SPDX-License-Identifier: MIT
 *
 * The engine echoes, as that suite wants: every message, a pong for a ping, the
 * code of a close. The peer is of this file alone: it reads and writes frames
 * with code of its own. A row says what the peer sends and what must come back;
 * where the suite allows several outcomes, the row has its strict one. Every
 * small case also runs byte by byte, whatever its own chopping.
 */
#include <stdlib.h>

#include "test.h"

#include "src/internal.h"

enum {
    RECEIVE = 4096,                 /* bytes of the echoing side's buffer */
    SHOWN = 512                     /* of a message are told as they are */
};

static const uint8_t peer_key[4] = { 0x9C, 0x01, 0xFF, 0x5A };

/* -------------------------------------------------------------- the peer */

/* What came back to the peer: the story so far, and the message at hand. */
struct peer {
    char story[4096];
    size_t len;
    bool client;                    /* it masks, and gets what is not masked */
    uint8_t opcode;                 /* of the message at hand, or 0 */
    uint64_t message_len;
    bool pattern_holds;
    uint8_t message[SHOWN];
    unsigned messages;              /* whole ones */
    uint8_t last;                   /* the opcode of the last of them */
    bool brief;                     /* they are counted, not told */
};

static void tell(struct peer *peer, const char *string)
{
    size_t len = strlen(string);

    if (len > sizeof peer->story - 1 - peer->len)
        len = sizeof peer->story - 1 - peer->len;
    memcpy(peer->story + peer->len, string, len);
    peer->len += len;
    peer->story[peer->len] = '\0';
}

/* One more thing happened. */
static void tell_next(struct peer *peer, const char *what)
{
    if (peer->len > 0)
        tell(peer, " ");
    tell(peer, what);
}

/* 'Letters' if all of them are, else hexadecimal digits. */
static void tell_bytes(struct peer *peer, const uint8_t *bytes, size_t len)
{
    char word[4];
    size_t letters = 0, i;

    while (letters < len && bytes[letters] >= 0x20 && bytes[letters] < 0x7F)
        letters++;
    if (letters == len)
        tell(peer, "'");
    for (i = 0; i < len; i++) {
        sprintf(word, letters == len ? "%c" : "%02x", bytes[i]);
        tell(peer, word);
    }
    if (letters == len)
        tell(peer, "'");
}

/* What long messages repeat, many times over. */
static uint8_t pattern[2 * RECEIVE];
static size_t period;

static void set_pattern(const char *text)
{
    size_t i;

    period = strlen(text);
    for (i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)text[i % period];
}

/* Checks a part of a message against the pattern, and keeps its beginning. */
static void peer_data(struct peer *peer, const uint8_t *bytes, size_t len)
{
    if (memcmp(bytes, pattern + peer->message_len % period, len) != 0)
        peer->pattern_holds = false;
    if (peer->message_len < SHOWN) {
        size_t room = SHOWN - (size_t)peer->message_len;

        memcpy(peer->message + peer->message_len, bytes,
               len < room ? len : room);
    }
    peer->message_len += len;
}

static void peer_message(struct peer *peer)
{
    char word[32];

    peer->messages++;
    peer->last = peer->opcode;
    if (!peer->brief) {
        tell_next(peer, peer->opcode == 1 ? "text:" : "binary:");
        sprintf(word, "%lu", (unsigned long)peer->message_len);
        if (peer->message_len <= SHOWN)
            tell_bytes(peer, peer->message, (size_t)peer->message_len);
        else
            tell(peer, word);
    }
    if (!peer->pattern_holds && (peer->brief || peer->message_len > SHOWN))
        tell_next(peer, "garbled");
    peer->opcode = 0;
}

static void peer_control(struct peer *peer, unsigned opcode,
                         const uint8_t *bytes, size_t len)
{
    char word[32];

    if (opcode == 8 && len == 0) {
        tell_next(peer, "close");
    } else if (opcode == 8) {
        sprintf(word, "close:%u", (unsigned)(bytes[0] << 8 | bytes[1]));
        tell_next(peer, word);
    } else {
        tell_next(peer, opcode == 10 ? "pong:" : "ping:");
        tell_bytes(peer, bytes, len);
    }
}

/* Takes one whole frame that the echoing side sent. */
static void peer_frame(struct peer *peer, uint8_t *frame, size_t len)
{
    unsigned opcode = frame[0] & 15u, short_len = frame[1] & 127u;
    size_t at = 2, size = short_len, i;
    const uint8_t *key;

    if (short_len == 126) {
        size = (size_t)frame[2] << 8 | frame[3];
        at = 4;
    }
    EXPECT(short_len != 127);
    EXPECT(((frame[1] & 128) != 0) == !peer->client);
    if (!peer->client) {
        key = frame + at;
        at += 4;
        for (i = 0; i < size; i++)
            frame[at + i] ^= key[i % 4];
    }
    EXPECT_INT(at + size, len);
    if (opcode >= 8) {
        EXPECT((frame[0] & 128) != 0 && size <= 125);
        peer_control(peer, opcode, frame + at, size);
        return;
    }
    EXPECT((opcode == 0) == (peer->opcode != 0));
    if (opcode != 0) {
        peer->opcode = (uint8_t)opcode;
        peer->message_len = 0;
        peer->pattern_holds = true;
    }
    peer_data(peer, frame + at, size);
    if ((frame[0] & 128) != 0)
        peer_message(peer);
}

/* ----------------------------------------------------- the echoing side */

struct echo {
    struct lssb_ws ws;
    bool server;
    bool closed;                    /* it sent its close frame */
    struct peer *peer;
    uint8_t key[4];
};

static void echo_send(struct echo *echo, enum lssb_ws_opcode opcode, bool fin,
                      const uint8_t *bytes, size_t len)
{
    uint8_t frame[LSSB_WS_HEADER + RECEIVE];
    size_t at;

    echo->key[3] = (uint8_t)(echo->key[3] + 41);
    at = lssb_ws_head(frame, opcode, fin, len, echo->server ? NULL : echo->key);
    memcpy(frame + at, bytes, len);
    if (!echo->server)
        lssb_ws_mask(frame + at, len, echo->key, 0);
    peer_frame(echo->peer, frame, at + len);
}

static void echo_close(struct echo *echo, uint16_t code)
{
    uint8_t payload[LSSB_WS_CONTROL];
    size_t len = lssb_ws_close_payload(payload, code, NULL);

    echo_send(echo, LSSB_WS_CLOSE, true, payload, len);
    echo->closed = true;
}

static void echo_event(struct echo *echo, enum lssb_ws_event event)
{
    const struct lssb_ws *ws = &echo->ws;

    if (event == LSSB_WS_PIECE)
        echo_send(echo, ws->begins ? ws->opcode : LSSB_WS_CONTINUATION,
                  ws->ends, ws->data, ws->data_len);
    else if (event == LSSB_WS_WRONG)
        echo_close(echo, ws->code);
    else if (ws->opcode == LSSB_WS_CLOSE)
        echo_close(echo, ws->code);
    else if (ws->opcode == LSSB_WS_PING)
        echo_send(echo, LSSB_WS_PONG, true, ws->data, ws->data_len);
}

/* Receives what came in one go, a buffer at a time. */
static void echo_receive(struct echo *echo, const uint8_t *bytes, size_t len)
{
    uint8_t buffer[RECEIVE];
    enum lssb_ws_event event;
    size_t there, at, used;

    for (; len > 0; len -= there, bytes += there) {
        there = len < sizeof buffer ? len : sizeof buffer;
        memcpy(buffer, bytes, there);
        at = 0;
        do {
            if (echo->closed)
                return;
            event = lssb_ws_next(&echo->ws, buffer + at, there - at, &used);
            at += used;
            if (event != LSSB_WS_MORE)
                echo_event(echo, event);
        } while (event != LSSB_WS_MORE);
    }
}

static void start(struct echo *echo, struct peer *peer, bool server)
{
    memset(peer, 0, sizeof *peer);
    peer->client = server;
    memset(echo, 0, sizeof *echo);
    echo->server = server;
    echo->peer = peer;
    lssb_ws_start(&echo->ws, server);
}

/* ---------------------------------------------------------- what is sent */

/* Bytes on their way to the echoing side, and where they are cut. */
struct wire {
    uint8_t bytes[2048];
    size_t len;
    size_t waits[8];                /* here the peer waits for an answer */
    size_t wait_count;
    size_t wait_first;              /* of the frame at hand */
    size_t frames[32];              /* where frames end */
    size_t frame_count;
    bool masked;
};

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Makes a frame of the payload that stands at `from`; waits in it move. */
static void put_frame(struct wire *wire, uint8_t first, size_t from)
{
    size_t len = wire->len - from, head, i;
    uint8_t bytes[8] = { 0 };

    bytes[0] = first;
    bytes[1] = (uint8_t)(len < 126 ? len : 126);
    head = 2;
    if (len >= 126) {
        bytes[2] = (uint8_t)(len >> 8);
        bytes[3] = (uint8_t)len;
        head = 4;
    }
    if (wire->masked) {
        bytes[1] |= 128;
        memcpy(bytes + head, peer_key, 4);
        head += 4;
        for (i = 0; i < len; i++)
            wire->bytes[from + i] ^= peer_key[i % 4];
    }
    memmove(wire->bytes + from + head, wire->bytes + from, len);
    memcpy(wire->bytes + from, bytes, head);
    for (i = wire->wait_first; i < wire->wait_count; i++)
        wire->waits[i] += head;
    wire->wait_first = wire->wait_count;
    wire->len += head;
    wire->frames[wire->frame_count++ % 32] = wire->len;
}

/* Reads the payload of one frame: hexadecimal digits, 'letters', N*HH, and |
 * where the peer waits. Stops at ; or the end. */
static const char *put_payload(struct wire *wire, const char *text)
{
    while (*text != ';' && *text != '\0') {
        size_t digits = strspn(text, "0123456789");

        if (*text == ' ') {
            text++;
        } else if (*text == '|') {
            wire->waits[wire->wait_count++] = wire->len;
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++)
                wire->bytes[wire->len++] = (uint8_t)*text;
            text++;
        } else if (digits > 0 && text[digits] == '*') {
            size_t times = strtoul(text, NULL, 10);

            text += digits + 1;
            memset(wire->bytes + wire->len,
                   (int)(hex_digit(text[0]) << 4 | hex_digit(text[1])), times);
            wire->len += times;
            text += 2;
        } else {
            wire->bytes[wire->len++] =
                (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
            text += 2;
        }
    }
    return text;
}

/* Reads frames: two digits are the first byte, then the payload, then ; .
 * A leading : makes each byte of the only frame a fragment. */
static void put_frames(struct wire *wire, const char *text, bool masked)
{
    uint8_t payload[128], first;
    size_t from, len, i;
    bool bytewise = *text == ':';

    memset(wire, 0, sizeof *wire);
    wire->masked = masked;
    for (text += bytewise; *text != '\0'; text += *text == ';') {
        text += strspn(text, " ");
        first = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
        from = wire->len;
        text = put_payload(wire, text + 2);
        if (!bytewise) {
            put_frame(wire, first, from);
            continue;
        }
        bytewise = false;
        len = wire->len - from;
        memcpy(payload, wire->bytes + from, len);
        for (i = 0; i < len; i++) {
            wire->len = from + 1;
            wire->bytes[from] = payload[i];
            put_frame(wire, (uint8_t)((i == 0 ? first & 15 : 0) |
                                      (i + 1 == len ? 128 : 0)), from);
            from = wire->len;
        }
    }
}

enum chop { WHOLE, FRAMES, BYTES };

/* Where the piece that begins at `at` ends. */
static size_t piece_end(const struct wire *wire, size_t at, enum chop chop)
{
    size_t end = wire->len, i;

    if (chop == BYTES)
        end = at + 1;
    for (i = 0; i < wire->wait_count; i++)
        if (wire->waits[i] > at && wire->waits[i] < end)
            end = wire->waits[i];
    for (i = 0; chop == FRAMES && i < wire->frame_count && i < 32; i++)
        if (wire->frames[i] > at && wire->frames[i] < end)
            end = wire->frames[i];
    return end;
}

/* Plays one case: what came back, with | where the peer waited in vain for
 * the end of the connection. */
static void play(const char *sent, bool server, enum chop chop,
                 struct peer *peer)
{
    static struct wire wire;
    struct echo echo;
    size_t at, end, i;

    put_frames(&wire, sent, server);
    start(&echo, peer, server);
    for (at = 0; at < wire.len; at = end) {
        end = piece_end(&wire, at, chop);
        echo_receive(&echo, wire.bytes + at, end - at);
        for (i = 0; i < wire.wait_count; i++)
            if (wire.waits[i] == end && !echo.closed)
                tell_next(peer, "|");
    }
}

/* ------------------------------------------------------------ the count */

static unsigned cases_run;
static char section[16];            /* that is being printed: "6.22" */

/* Prints the number of a case, a line for each section. */
static void count_case(const char *number)
{
    const char *last = strrchr(number, '.');
    size_t len = (size_t)(last - number);

    cases_run++;
    if (strlen(section) != len || memcmp(section, number, len) != 0) {
        printf("%scase %.*s:", *section != '\0' ? "\n" : "", (int)len, number);
        memcpy(section, number, len);
        section[len] = '\0';
    }
    printf(" %s", last + 1);
}

static void end_count(void)
{
    printf("\n");
    section[0] = '\0';
}

struct row {
    const char *number;
    enum chop chop;
    const char *sent;
    const char *answer;
};

static void run_row(const struct row *row)
{
    struct peer peer;
    int server, chop;

    count_case(row->number);
    test_row = row->number;
    for (server = 0; server < 2; server++) {
        play(row->sent, server != 0, row->chop, &peer);
        EXPECT_STR(peer.story, row->answer);
        for (chop = WHOLE; chop <= BYTES; chop++) {
            play(row->sent, server != 0, (enum chop)chop, &peer);
            EXPECT_STR(peer.story, row->answer);
        }
    }
}

static void run_rows(const struct row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        run_row(&rows[i]);
    end_count();
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof(rows)[0])

/* Where all is well the peer closes with 1000 in the end. */
#define BYE "; 88 03e8"
#define BYE_ANSWER " close:1000"

#define KOSME "cebae1bdb9cf83cebcceb5"
#define TEN_PINGS \
    "89 'payload-0'; 89 'payload-1'; 89 'payload-2'; 89 'payload-3'; " \
    "89 'payload-4'; 89 'payload-5'; 89 'payload-6'; 89 'payload-7'; " \
    "89 'payload-8'; 89 'payload-9'"
#define TEN_PONGS \
    "pong:'payload-0' pong:'payload-1' pong:'payload-2' pong:'payload-3' " \
    "pong:'payload-4' pong:'payload-5' pong:'payload-6' pong:'payload-7' " \
    "pong:'payload-8' pong:'payload-9'"
#define FE25 "fefefefefefefefefefefefefefefefefefefefefefefefefe"

static void pings_are_answered_with_their_payload(void)
{
    static const struct row rows[] = {
        { "2.1", WHOLE, "89" BYE, "pong:''" BYE_ANSWER },
        { "2.2", WHOLE, "89 'Hello, world!'" BYE,
          "pong:'Hello, world!'" BYE_ANSWER },
        { "2.3", WHOLE, "89 00fffefdfcfb00ff" BYE,
          "pong:00fffefdfcfb00ff" BYE_ANSWER },
        { "2.4", WHOLE, "89 125*fe" BYE,
          "pong:" FE25 FE25 FE25 FE25 FE25 BYE_ANSWER },
        { "2.5", WHOLE, "89 126*fe" BYE, "close:1002" },
        { "2.6", BYTES, "89 125*fe" BYE,
          "pong:" FE25 FE25 FE25 FE25 FE25 BYE_ANSWER },
        { "2.7", WHOLE, "8a" BYE, "close:1000" },
        { "2.8", WHOLE, "8a 'unsolicited pong payload'" BYE, "close:1000" },
        { "2.9", WHOLE, "8a 'unsolicited pong payload'; 89 'ping payload'" BYE,
          "pong:'ping payload'" BYE_ANSWER },
        { "2.10", WHOLE, TEN_PINGS BYE, TEN_PONGS BYE_ANSWER },
        { "2.11", BYTES, TEN_PINGS BYE, TEN_PONGS BYE_ANSWER }
    };

    RUN(rows);
}

static void reserved_bits_are_refused(void)
{
    static const struct row rows[] = {
        { "3.1", WHOLE, "91 'Hello, world!'", "close:1002" },
        { "3.2", WHOLE, "81 'Hello, world!'; a1 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "3.3", FRAMES, "81 'Hello, world!'; b1 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "3.4", BYTES, "81 'Hello, world!'; c1 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "3.5", WHOLE, "d2 00fffefdfcfb00ff", "close:1002" },
        { "3.6", WHOLE, "e9 'Hello, world!'", "close:1002" },
        { "3.7", WHOLE, "f8", "close:1002" }
    };

    RUN(rows);
}

static void reserved_opcodes_are_refused(void)
{
    static const struct row rows[] = {
        { "4.1.1", WHOLE, "83", "close:1002" },
        { "4.1.2", WHOLE, "84 'reserved opcode payload'", "close:1002" },
        { "4.1.3", WHOLE, "81 'Hello, world!'; 85; 89",
          "text:'Hello, world!' close:1002" },
        { "4.1.4", WHOLE, "81 'Hello, world!'; 86 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "4.1.5", BYTES, "81 'Hello, world!'; 87 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "4.2.1", WHOLE, "8b", "close:1002" },
        { "4.2.2", WHOLE, "8c 'reserved opcode payload'", "close:1002" },
        { "4.2.3", WHOLE, "81 'Hello, world!'; 8d; 89",
          "text:'Hello, world!' close:1002" },
        { "4.2.4", WHOLE, "81 'Hello, world!'; 8e 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" },
        { "4.2.5", BYTES, "81 'Hello, world!'; 8f 'Hello, world!'; 89",
          "text:'Hello, world!' close:1002" }
    };

    RUN(rows);
}

#define TWO_AND_PING "01 'fragment1'; 89 'ping payload'; 80 'fragment2'" BYE
#define FIVE_AND_PINGS \
    "01 'fragment1'; 00 'fragment2'; 89 'pongme 1!' |; 00 'fragment3'; " \
    "00 'fragment4'; 89 'pongme 2!'; 80 'fragment5'" BYE
#define NOTHING "'non-continuation payload'; 81 'Hello, world!'"

static void messages_come_in_fragments(void)
{
    static const struct row rows[] = {
        { "5.1", WHOLE, "09 'fragment1'; 80 'fragment2'", "close:1002" },
        { "5.2", WHOLE, "0a 'fragment1'; 80 'fragment2'", "close:1002" },
        { "5.3", WHOLE, "01 'fragment1'; 80 'fragment2'" BYE,
          "text:'fragment1fragment2'" BYE_ANSWER },
        { "5.4", FRAMES, "01 'fragment1'; 80 'fragment2'" BYE,
          "text:'fragment1fragment2'" BYE_ANSWER },
        { "5.5", BYTES, "01 'fragment1'; 80 'fragment2'" BYE,
          "text:'fragment1fragment2'" BYE_ANSWER },
        { "5.6", WHOLE, TWO_AND_PING,
          "pong:'ping payload' text:'fragment1fragment2'" BYE_ANSWER },
        { "5.7", FRAMES, TWO_AND_PING,
          "pong:'ping payload' text:'fragment1fragment2'" BYE_ANSWER },
        { "5.8", BYTES, TWO_AND_PING,
          "pong:'ping payload' text:'fragment1fragment2'" BYE_ANSWER },
        { "5.9", WHOLE, "80 " NOTHING, "close:1002" },
        { "5.10", FRAMES, "80 " NOTHING, "close:1002" },
        { "5.11", BYTES, "80 " NOTHING, "close:1002" },
        { "5.12", WHOLE, "00 " NOTHING, "close:1002" },
        { "5.13", FRAMES, "00 " NOTHING, "close:1002" },
        { "5.14", BYTES, "00 " NOTHING, "close:1002" },
        { "5.15", WHOLE, "01 'fragment1'; 80 'fragment2'; 00 'fragment3'; "
          "81 'fragment4'", "text:'fragment1fragment2' close:1002" },
        { "5.16", WHOLE, "00 'fragment1'; 01 'fragment2'; 80 'fragment3'; "
          "00 'fragment1'; 01 'fragment2'; 80 'fragment3'", "close:1002" },
        { "5.17", WHOLE, "80 'fragment1'; 01 'fragment2'; 80 'fragment3'; "
          "80 'fragment1'; 01 'fragment2'; 80 'fragment3'", "close:1002" },
        { "5.18", WHOLE, "01 'fragment1'; 81 'fragment2'", "close:1002" },
        { "5.19", WHOLE, FIVE_AND_PINGS, "pong:'pongme 1!' | pong:'pongme 2!' "
          "text:'fragment1fragment2fragment3fragment4fragment5'" BYE_ANSWER },
        { "5.20", FRAMES, FIVE_AND_PINGS, "pong:'pongme 1!' | pong:'pongme 2!' "
          "text:'fragment1fragment2fragment3fragment4fragment5'" BYE_ANSWER }
    };

    RUN(rows);
}

/* "Hello-", then letters beyond ASCII, then "-UTF-8!!". */
#define UTF8_BEGIN "48656c6c6f2dc2b540c39fc3b6c3a4"
#define UTF8_END "c3bcc3a0c3a12d5554462d382121"

static void text_is_checked_across_fragments_and_as_early_as_can_be(void)
{
    static const struct row rows[] = {
        { "6.1.1", WHOLE, "81" BYE, "text:''" BYE_ANSWER },
        { "6.1.2", WHOLE, "01; 00; 80" BYE, "text:''" BYE_ANSWER },
        { "6.1.3", WHOLE, "01; 00 'middle frame payload'; 80" BYE,
          "text:'middle frame payload'" BYE_ANSWER },
        { "6.2.1", WHOLE, "81" UTF8_BEGIN UTF8_END BYE,
          "text:" UTF8_BEGIN UTF8_END BYE_ANSWER },
        { "6.2.2", WHOLE, "01" UTF8_BEGIN "; 80" UTF8_END BYE,
          "text:" UTF8_BEGIN UTF8_END BYE_ANSWER },
        { "6.2.3", WHOLE, ":81" UTF8_BEGIN UTF8_END BYE,
          "text:" UTF8_BEGIN UTF8_END BYE_ANSWER },
        { "6.2.4", WHOLE, ":81" KOSME BYE, "text:" KOSME BYE_ANSWER },
        { "6.3.1", WHOLE, "81" KOSME "eda080 'edited'", "close:1007" },
        { "6.3.2", WHOLE, ":81" KOSME "eda080 'edited'", "close:1007" },
        { "6.4.1", FRAMES, "01" KOSME "|; 00 f4908080 |; 80 'edited'",
          "| close:1007" },
        { "6.4.2", FRAMES, "01" KOSME "f4 |; 00 90 |; 80 8080 'edited'",
          "| close:1007" },
        { "6.4.3", WHOLE, "81" KOSME "| f4908080 | 'edited'",
          "| close:1007" },
        { "6.4.4", WHOLE, "81" KOSME "f4 | 90 | 8080 'edited'",
          "| close:1007" }
    };

    RUN(rows);
}

/* One text message each; those that are no UTF-8 are refused. The first and
 * last of what each length can hold, lonely and missing continuations, forms
 * that are too long, surrogates, and what Unicode calls no character. */
static void what_is_utf8_is_told_from_what_is_not(void)
{
    static const struct {
        const char *number;
        const char *payload;
        bool valid;
    } rows[] = {
        { "6.5.1", "68656c6c6f24776f726c64", true },
        { "6.5.2", "68656c6c6fc2a2776f726c64", true },
        { "6.5.3", "68656c6c6fe282ac776f726c64", true },
        { "6.5.4", "68656c6c6ff0a4ada2776f726c64", true },
        { "6.5.5", "cebae1bdb9cf83cebcceb5", true },
        { "6.6.1", "ce", false },
        { "6.6.2", "ceba", true },
        { "6.6.3", "cebae1", false },
        { "6.6.4", "cebae1bd", false },
        { "6.6.5", "cebae1bdb9", true },
        { "6.6.6", "cebae1bdb9cf", false },
        { "6.6.7", "cebae1bdb9cf83", true },
        { "6.6.8", "cebae1bdb9cf83ce", false },
        { "6.6.9", "cebae1bdb9cf83cebc", true },
        { "6.6.10", "cebae1bdb9cf83cebcce", false },
        { "6.6.11", "cebae1bdb9cf83cebcceb5", true },
        { "6.7.1", "00", true },
        { "6.7.2", "c280", true },
        { "6.7.3", "e0a080", true },
        { "6.7.4", "f0908080", true },
        { "6.8.1", "f888808080", false },
        { "6.8.2", "fc8480808080", false },
        { "6.9.1", "7f", true },
        { "6.9.2", "dfbf", true },
        { "6.9.3", "efbfbf", true },
        { "6.9.4", "f48fbfbf", true },
        { "6.10.1", "f7bfbfbf", false },
        { "6.10.2", "fbbfbfbfbf", false },
        { "6.10.3", "fdbfbfbfbfbf", false },
        { "6.11.1", "ed9fbf", true },
        { "6.11.2", "ee8080", true },
        { "6.11.3", "efbfbd", true },
        { "6.11.4", "f48fbfbf", true },
        { "6.11.5", "f4908080", false },
        { "6.12.1", "80", false },
        { "6.12.2", "bf", false },
        { "6.12.3", "80bf", false },
        { "6.12.4", "80bf80", false },
        { "6.12.5", "80bf80bf", false },
        { "6.12.6", "80bf80bf80", false },
        { "6.12.7", "80bf80bf80bf", false },
        { "6.12.8",
          "808182838485868788898a8b8c8d8e8f909192939495969798999a9b"
          "9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
          "b8b9babbbcbdbe", false },
        { "6.13.1",
          "c020c120c220c320c420c520c620c720c820c920ca20cb20cc20cd20"
          "ce20cf20d020d120d220d320d420d520d620d720d820d920da20db20"
          "dc20dd20de20", false },
        { "6.13.2",
          "e020e120e220e320e420e520e620e720e820e920ea20eb20ec20ed20"
          "ee20", false },
        { "6.13.3", "f020f120f220f320f420f520f620", false },
        { "6.13.4", "f820f920fa20", false },
        { "6.13.5", "fc20", false },
        { "6.14.1", "c0", false },
        { "6.14.2", "e080", false },
        { "6.14.3", "f08080", false },
        { "6.14.4", "f8808080", false },
        { "6.14.5", "fc80808080", false },
        { "6.14.6", "df", false },
        { "6.14.7", "efbf", false },
        { "6.14.8", "f7bfbf", false },
        { "6.14.9", "fbbfbfbf", false },
        { "6.14.10", "fdbfbfbfbf", false },
        { "6.15.1",
          "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbf"
          "bfbf", false },
        { "6.16.1", "fe", false },
        { "6.16.2", "ff", false },
        { "6.16.3", "fefeffff", false },
        { "6.17.1", "c0af", false },
        { "6.17.2", "e080af", false },
        { "6.17.3", "f08080af", false },
        { "6.17.4", "f8808080af", false },
        { "6.17.5", "fc80808080af", false },
        { "6.18.1", "c1bf", false },
        { "6.18.2", "e09fbf", false },
        { "6.18.3", "f08fbfbf", false },
        { "6.18.4", "f887bfbfbf", false },
        { "6.18.5", "fc83bfbfbfbf", false },
        { "6.19.1", "c080", false },
        { "6.19.2", "e08080", false },
        { "6.19.3", "f0808080", false },
        { "6.19.4", "f880808080", false },
        { "6.19.5", "fc8080808080", false },
        { "6.20.1", "eda080", false },
        { "6.20.2", "edadbf", false },
        { "6.20.3", "edae80", false },
        { "6.20.4", "edafbf", false },
        { "6.20.5", "edb080", false },
        { "6.20.6", "edbe80", false },
        { "6.20.7", "edbfbf", false },
        { "6.21.1", "eda080edb080", false },
        { "6.21.2", "eda080edbfbf", false },
        { "6.21.3", "edadbfedb080", false },
        { "6.21.4", "edadbfedbfbf", false },
        { "6.21.5", "edae80edb080", false },
        { "6.21.6", "edae80edbfbf", false },
        { "6.21.7", "edafbfedb080", false },
        { "6.21.8", "edafbfedbfbf", false },
        { "6.22.1", "efbfbe", true },
        { "6.22.2", "efbfbf", true },
        { "6.22.3", "f09fbfbe", true },
        { "6.22.4", "f09fbfbf", true },
        { "6.22.5", "f0afbfbe", true },
        { "6.22.6", "f0afbfbf", true },
        { "6.22.7", "f0bfbfbe", true },
        { "6.22.8", "f0bfbfbf", true },
        { "6.22.9", "f18fbfbe", true },
        { "6.22.10", "f18fbfbf", true },
        { "6.22.11", "f19fbfbe", true },
        { "6.22.12", "f19fbfbf", true },
        { "6.22.13", "f1afbfbe", true },
        { "6.22.14", "f1afbfbf", true },
        { "6.22.15", "f1bfbfbe", true },
        { "6.22.16", "f1bfbfbf", true },
        { "6.22.17", "f28fbfbe", true },
        { "6.22.18", "f28fbfbf", true },
        { "6.22.19", "f29fbfbe", true },
        { "6.22.20", "f29fbfbf", true },
        { "6.22.21", "f2afbfbe", true },
        { "6.22.22", "f2afbfbf", true },
        { "6.22.23", "f2bfbfbe", true },
        { "6.22.24", "f2bfbfbf", true },
        { "6.22.25", "f38fbfbe", true },
        { "6.22.26", "f38fbfbf", true },
        { "6.22.27", "f39fbfbe", true },
        { "6.22.28", "f39fbfbf", true },
        { "6.22.29", "f3afbfbe", true },
        { "6.22.30", "f3afbfbf", true },
        { "6.22.31", "f3bfbfbe", true },
        { "6.22.32", "f3bfbfbf", true },
        { "6.22.33", "f48fbfbe", true },
        { "6.22.34", "f48fbfbf", true },
        { "6.23.1", "efbfb9", true },
        { "6.23.2", "efbfba", true },
        { "6.23.3", "efbfbb", true },
        { "6.23.4", "efbfbc", true },
        { "6.23.5", "efbfbd", true },
        { "6.23.6", "efbfbe", true },
        { "6.23.7", "efbfbf", true }
    };
    char sent[256], answer[256];
    struct row row = { NULL, WHOLE, sent, answer };
    uint8_t letters[128];
    size_t i, j, len;
    struct peer peer;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        row.number = rows[i].number;
        len = strlen(rows[i].payload) / 2;
        for (j = 0; j < len; j++)
            letters[j] = (uint8_t)(hex_digit(rows[i].payload[2 * j]) << 4 |
                                   hex_digit(rows[i].payload[2 * j + 1]));
        memset(&peer, 0, sizeof peer);
        tell_bytes(&peer, letters, len);
        sprintf(sent, "81 %s%s", rows[i].payload, rows[i].valid ? BYE : "");
        strcpy(answer, rows[i].valid ? "text:" : "close:1007");
        if (rows[i].valid)
            strcat(strcat(answer, peer.story), BYE_ANSWER);
        run_row(&row);
    }
    end_count();
}

#define STARS_123 \
    "*****************************************" \
    "*****************************************" \
    "*****************************************"

static void closing_is_answered_once_and_ends_everything(void)
{
    static const struct row rows[] = {
        { "7.1.1", WHOLE, "81 'Hello World!'" BYE,
          "text:'Hello World!'" BYE_ANSWER },
        { "7.1.2", WHOLE, "88 03e8; 88", "close:1000" },
        { "7.1.3", WHOLE, "88 03e8; 89", "close:1000" },
        { "7.1.4", WHOLE, "88 03e8; 81 'Hello World!'", "close:1000" },
        { "7.1.5", WHOLE, "01 'fragment1'; 88 03e8; 80 'fragment2'",
          "close:1000" },
        { "7.3.1", WHOLE, "88", "close" },
        { "7.3.2", WHOLE, "88 'a'", "close:1002" },
        { "7.3.3", WHOLE, "88 03e8", "close:1000" },
        { "7.3.4", WHOLE, "88 03e8 'Hello World!'", "close:1000" },
        { "7.3.5", WHOLE, "88 03e8 123*2a", "close:1000" },
        { "7.3.6", WHOLE, "88 03e8 124*2a", "close:1002" },
        { "7.5.1", WHOLE, "88 03e8" KOSME "eda080 'edited'", "close:1007" },
        { "7.7.1", WHOLE, "88 03e8", "close:1000" },
        { "7.7.2", WHOLE, "88 03e9", "close:1001" },
        { "7.7.3", WHOLE, "88 03ea", "close:1002" },
        { "7.7.4", WHOLE, "88 03eb", "close:1003" },
        { "7.7.5", WHOLE, "88 03ef", "close:1007" },
        { "7.7.6", WHOLE, "88 03f0", "close:1008" },
        { "7.7.7", WHOLE, "88 03f1", "close:1009" },
        { "7.7.8", WHOLE, "88 03f2", "close:1010" },
        { "7.7.9", WHOLE, "88 03f3", "close:1011" },
        { "7.7.10", WHOLE, "88 0bb8", "close:3000" },
        { "7.7.11", WHOLE, "88 0f9f", "close:3999" },
        { "7.7.12", WHOLE, "88 0fa0", "close:4000" },
        { "7.7.13", WHOLE, "88 1387", "close:4999" },
        { "7.9.1", WHOLE, "88 0000", "close:1002" },
        { "7.9.2", WHOLE, "88 03e7", "close:1002" },
        { "7.9.3", WHOLE, "88 03ec", "close:1002" },
        { "7.9.4", WHOLE, "88 03ed", "close:1002" },
        { "7.9.5", WHOLE, "88 03ee", "close:1002" },
        { "7.9.6", WHOLE, "88 03f8", "close:1002" },
        { "7.9.7", WHOLE, "88 044c", "close:1002" },
        { "7.9.8", WHOLE, "88 07d0", "close:1002" },
        { "7.9.9", WHOLE, "88 0bb7", "close:1002" },
        { "7.13.1", WHOLE, "88 1388", "close:1002" },
        { "7.13.2", WHOLE, "88 ffff", "close:1002" }
    };

    RUN(rows);
}

/* ----------------------------------------------------- large and in bulk */

/* `count` messages of `len` bytes, which repeat `pattern`, in frames of
 * `fragment` bytes (0: one) and pieces of `chop` (0: whatever fits); each but
 * the last waits for its echo. Then small frames. */
struct bulk {
    const char *number;
    uint8_t opcode;
    const char *pattern;
    uint32_t len;
    uint32_t fragment;
    size_t chop;
    unsigned count;
    const char *then;
    const char *answer;             /* to those */
};

#define K 1024u
#define M (1024u * K)
#define STAR "*"
#define FE "\xFE"
#define MIX "BAsd7&jh23"

struct sender {
    struct echo *echo;
    uint8_t bytes[RECEIVE];
    size_t len;
    size_t most;
    unsigned frames;
};

static void send_now(struct sender *sender)
{
    echo_receive(sender->echo, sender->bytes, sender->len);
    sender->len = 0;
}

static void send_byte(struct sender *sender, uint8_t byte)
{
    sender->bytes[sender->len++] = byte;
    if (sender->len == sender->most)
        send_now(sender);
}

static void send_head(struct sender *sender, uint8_t first, uint32_t len)
{
    uint8_t mask = sender->echo->server ? 128 : 0;
    int i;

    sender->frames++;
    send_byte(sender, first);
    send_byte(sender, (uint8_t)(mask | (len < 126 ? len : len < 65536 ? 126
                                                                     : 127)));
    for (i = len < 126 ? -1 : len < 65536 ? 1 : 7; i >= 0; i--)
        send_byte(sender, (uint8_t)((uint64_t)len >> 8 * i));
    for (i = 0; i < 4 && mask != 0; i++)
        send_byte(sender, peer_key[i]);
}

/* The payload of a frame that begins at `from` of its message. */
static void send_payload(struct sender *sender, uint32_t from, uint32_t len)
{
    const uint8_t *at = pattern + from % period;
    uint32_t part, i, done;

    for (done = 0; done < len; done += part) {
        part = len - done;
        if (part > sender->most - sender->len)
            part = (uint32_t)(sender->most - sender->len);
        at = pattern + (from + done) % period;
        for (i = 0; i < part; i++)
            sender->bytes[sender->len + i] =
                (uint8_t)(at[i] ^ (sender->echo->server
                                   ? peer_key[(done + i) % 4] : 0));
        sender->len += part;
        if (sender->len == sender->most)
            send_now(sender);
    }
}

static void send_message(struct sender *sender, const struct bulk *row)
{
    uint32_t at = 0, part = row->fragment > 0 ? row->fragment : row->len;

    do {
        if (part > row->len - at)
            part = row->len - at;
        send_head(sender, (uint8_t)((at == 0 ? row->opcode : 0) |
                                    (at + part == row->len ? 128 : 0)), part);
        send_payload(sender, at, part);
        at += part;
    } while (at < row->len);
    send_now(sender);
}

static void run_bulk(const struct bulk *row, bool server)
{
    static struct wire wire;
    static struct sender sender;
    struct echo echo;
    struct peer peer;
    unsigned i;

    set_pattern(row->pattern);
    start(&echo, &peer, server);
    peer.brief = true;
    sender.echo = &echo;
    sender.len = sender.frames = 0;
    sender.most = row->chop > 0 ? row->chop : RECEIVE;
    for (i = 0; i < row->count; i++) {
        send_message(&sender, row);
        EXPECT_INT(peer.messages, i + 1);
        EXPECT_INT(peer.message_len, row->len);
        EXPECT_INT(peer.last, row->opcode);
    }
    if (row->fragment > 0)
        EXPECT_INT(sender.frames,
                   (row->len + row->fragment - 1) / row->fragment);
    put_frames(&wire, row->then, server);
    peer.brief = false;
    echo_receive(&echo, wire.bytes, wire.len);
    EXPECT_STR(peer.story, row->answer);
}

static void run_bulks(const struct bulk *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        test_row = rows[i].number;
        count_case(rows[i].number);
        run_bulk(&rows[i], false);
        run_bulk(&rows[i], true);
    }
    end_count();
}

#define RUN_BULK(rows) run_bulks(rows, sizeof(rows) / sizeof(rows)[0])
#define BIN "\xFF\x80\xFE\x7F\xC0\xA5\x01"
#define CLOSE "88 03e8", "close:1000"

static void messages_of_every_length_are_echoed(void)
{
    static const struct bulk rows[] = {
        { "1.1.1", 1, STAR, 0, 0, 0, 1, CLOSE },
        { "1.1.2", 1, STAR, 125, 0, 0, 1, CLOSE },
        { "1.1.3", 1, STAR, 126, 0, 0, 1, CLOSE },
        { "1.1.4", 1, STAR, 127, 0, 0, 1, CLOSE },
        { "1.1.5", 1, STAR, 128, 0, 0, 1, CLOSE },
        { "1.1.6", 1, STAR, 65535, 0, 0, 1, CLOSE },
        { "1.1.7", 1, STAR, 65536, 0, 0, 1, CLOSE },
        { "1.1.8", 1, STAR, 65536, 0, 997, 1, CLOSE },
        { "1.2.1", 2, FE, 0, 0, 0, 1, CLOSE },
        { "1.2.2", 2, FE, 125, 0, 0, 1, CLOSE },
        { "1.2.3", 2, FE, 126, 0, 0, 1, CLOSE },
        { "1.2.4", 2, FE, 127, 0, 0, 1, CLOSE },
        { "1.2.5", 2, FE, 128, 0, 0, 1, CLOSE },
        { "1.2.6", 2, FE, 65535, 0, 0, 1, CLOSE },
        { "1.2.7", 2, FE, 65536, 0, 0, 1, CLOSE },
        { "1.2.8", 2, FE, 65536, 0, 997, 1, CLOSE }
    };

    RUN_BULK(rows);
}

static void a_message_before_the_close_is_echoed_whole(void)
{
    static const struct bulk rows[] = {
        { "7.1.6", 1, MIX, 256 * K, 0, 0, 1,
          "81 'Hello World!'; 88 03e8; 89", "text:'Hello World!' close:1000" }
    };

    RUN_BULK(rows);
}

static void large_and_many_messages_are_echoed(void)
{
    static const struct bulk rows[] = {
        { "9.1.1", 1, MIX, 64 * K, 0, 0, 1, CLOSE },
        { "9.1.2", 1, MIX, 256 * K, 0, 0, 1, CLOSE },
        { "9.1.3", 1, MIX, M, 0, 0, 1, CLOSE },
        { "9.1.4", 1, MIX, 4 * M, 0, 0, 1, CLOSE },
        { "9.1.5", 1, MIX, 8 * M, 0, 0, 1, CLOSE },
        { "9.1.6", 1, MIX, 16 * M, 0, 0, 1, CLOSE },
        { "9.2.1", 2, BIN, 64 * K, 0, 0, 1, CLOSE },
        { "9.2.2", 2, BIN, 256 * K, 0, 0, 1, CLOSE },
        { "9.2.3", 2, BIN, M, 0, 0, 1, CLOSE },
        { "9.2.4", 2, BIN, 4 * M, 0, 0, 1, CLOSE },
        { "9.2.5", 2, BIN, 8 * M, 0, 0, 1, CLOSE },
        { "9.2.6", 2, BIN, 16 * M, 0, 0, 1, CLOSE },
        { "9.3.1", 1, STAR, 4 * M, 64, 0, 1, CLOSE },
        { "9.3.2", 1, STAR, 4 * M, 256, 0, 1, CLOSE },
        { "9.3.3", 1, STAR, 4 * M, K, 0, 1, CLOSE },
        { "9.3.4", 1, STAR, 4 * M, 4 * K, 0, 1, CLOSE },
        { "9.3.5", 1, STAR, 4 * M, 16 * K, 0, 1, CLOSE },
        { "9.3.6", 1, STAR, 4 * M, 64 * K, 0, 1, CLOSE },
        { "9.3.7", 1, STAR, 4 * M, 256 * K, 0, 1, CLOSE },
        { "9.3.8", 1, STAR, 4 * M, M, 0, 1, CLOSE },
        { "9.3.9", 1, STAR, 4 * M, 4 * M, 0, 1, CLOSE },
        { "9.4.1", 2, FE, 4 * M, 64, 0, 1, CLOSE },
        { "9.4.2", 2, FE, 4 * M, 256, 0, 1, CLOSE },
        { "9.4.3", 2, FE, 4 * M, K, 0, 1, CLOSE },
        { "9.4.4", 2, FE, 4 * M, 4 * K, 0, 1, CLOSE },
        { "9.4.5", 2, FE, 4 * M, 16 * K, 0, 1, CLOSE },
        { "9.4.6", 2, FE, 4 * M, 64 * K, 0, 1, CLOSE },
        { "9.4.7", 2, FE, 4 * M, 256 * K, 0, 1, CLOSE },
        { "9.4.8", 2, FE, 4 * M, M, 0, 1, CLOSE },
        { "9.4.9", 2, FE, 4 * M, 4 * M, 0, 1, CLOSE },
        { "9.5.1", 1, MIX, M, 0, 64, 1, CLOSE },
        { "9.5.2", 1, MIX, M, 0, 128, 1, CLOSE },
        { "9.5.3", 1, MIX, M, 0, 256, 1, CLOSE },
        { "9.5.4", 1, MIX, M, 0, 512, 1, CLOSE },
        { "9.5.5", 1, MIX, M, 0, 1024, 1, CLOSE },
        { "9.5.6", 1, MIX, M, 0, 2048, 1, CLOSE },
        { "9.6.1", 2, BIN, M, 0, 64, 1, CLOSE },
        { "9.6.2", 2, BIN, M, 0, 128, 1, CLOSE },
        { "9.6.3", 2, BIN, M, 0, 256, 1, CLOSE },
        { "9.6.4", 2, BIN, M, 0, 512, 1, CLOSE },
        { "9.6.5", 2, BIN, M, 0, 1024, 1, CLOSE },
        { "9.6.6", 2, BIN, M, 0, 2048, 1, CLOSE },
        { "9.7.1", 1, STAR, 0, 0, 0, 1000, CLOSE },
        { "9.7.2", 1, STAR, 16, 0, 0, 1000, CLOSE },
        { "9.7.3", 1, STAR, 64, 0, 0, 1000, CLOSE },
        { "9.7.4", 1, STAR, 256, 0, 0, 1000, CLOSE },
        { "9.7.5", 1, STAR, 1024, 0, 0, 1000, CLOSE },
        { "9.7.6", 1, STAR, 4096, 0, 0, 1000, CLOSE },
        { "9.8.1", 2, FE, 0, 0, 0, 1000, CLOSE },
        { "9.8.2", 2, FE, 16, 0, 0, 1000, CLOSE },
        { "9.8.3", 2, FE, 64, 0, 0, 1000, CLOSE },
        { "9.8.4", 2, FE, 256, 0, 0, 1000, CLOSE },
        { "9.8.5", 2, FE, 1024, 0, 0, 1000, CLOSE },
        { "9.8.6", 2, FE, 4096, 0, 0, 1000, CLOSE }
    };

    RUN_BULK(rows);
}

static void a_message_that_is_fragmented_by_the_way_is_echoed(void)
{
    static const struct bulk rows[] = {
        { "10.1.1", 1, STAR, 65536, 1300, 0, 1, CLOSE }
    };

    RUN_BULK(rows);
}

static void all_cases_ran(void)
{
    printf("%u of 301 cases, each as a server and as a client\n", cases_run);
    EXPECT_INT(cases_run, 301);
}

static const struct test tests[] = {
    TEST(messages_of_every_length_are_echoed),
    TEST(pings_are_answered_with_their_payload),
    TEST(reserved_bits_are_refused),
    TEST(reserved_opcodes_are_refused),
    TEST(messages_come_in_fragments),
    TEST(text_is_checked_across_fragments_and_as_early_as_can_be),
    TEST(what_is_utf8_is_told_from_what_is_not),
    TEST(closing_is_answered_once_and_ends_everything),
    TEST(a_message_before_the_close_is_echoed_whole),
    TEST(large_and_many_messages_are_echoed),
    TEST(a_message_that_is_fragmented_by_the_way_is_echoed),
    TEST(all_cases_ran)
};

int main(void)
{
    set_pattern(STAR);
    return TEST_MAIN(tests);
}
