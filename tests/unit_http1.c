/* unit_http1.c: HTTP/1.1 messages in both roles.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each row is a message and the story that the parser tells of it: start line,
 * fields, "head" with what it says of the framing, the body in quotes, then
 * "done" (with what it left behind), "wrong: why", or "more" and what the end
 * of the connection makes of it. Every row is fed whole, byte by byte, and in
 * two pieces split at every place; each piece in memory of exactly its size.
 */
#include <stdlib.h>

#include "test.h"

#include "src/internal.h"

enum { SERVER = 1, HEAD = 2, CONNECT = 4 };

struct row {
    int how;
    const char *message;
    const char *story;
};

/* What is told of a message. */
struct story {
    char text[4096];
    size_t len;
    bool in_body;
};

static void tell(struct story *story, const char *bytes, size_t len)
{
    if (len > sizeof story->text - 1 - story->len)
        len = sizeof story->text - 1 - story->len;
    memcpy(story->text + story->len, bytes, len);
    story->len += len;
    story->text[story->len] = '\0';
}

static void tell_string(struct story *story, const char *string)
{
    tell(story, string, strlen(string));
}

/* Begins the next event; slices of a body are told as one. */
static void tell_next(struct story *story, bool body)
{
    if (story->in_body && !body)
        tell_string(story, "'");
    if (story->len > 0 && !(story->in_body && body))
        tell_string(story, " | ");
    if (body && !story->in_body)
        tell_string(story, "'");
    story->in_body = body;
}

static void tell_head(struct story *story, const struct lssb_http *http)
{
    char word[64];

    tell_string(story, "head");
    if (http->chunked)
        tell_string(story, " chunked");
    if (http->has_length) {
        snprintf(word, sizeof word, " %llu", (unsigned long long)http->length);
        tell_string(story, word);
    }
    if (http->until_close)
        tell_string(story, " until-close");
    if (http->keep_alive)
        tell_string(story, " keep");
    if (http->keep_alive_s != UINT32_MAX) {
        snprintf(word, sizeof word, " %lus",
                 (unsigned long)http->keep_alive_s);
        tell_string(story, word);
    }
    if (http->expects_continue)
        tell_string(story, " expects");
    if (http->continued)
        tell_string(story, " continued");
}

static void tell_wrong(struct story *story, const struct lssb_http *http)
{
    char word[32];

    tell_string(story, "wrong");
    if (http->server) {
        snprintf(word, sizeof word, " %d", http->status);
        tell_string(story, word);
    }
    tell_string(story, ": ");
    tell_string(story, http->wrong);
}

static void tell_event(struct story *story, const struct lssb_http *http,
                       enum lssb_http_event event)
{
    char word[32];

    tell_next(story, event == LSSB_HTTP_BODY);
    switch (event) {
    case LSSB_HTTP_MORE:
        tell_string(story, "more");
        break;
    case LSSB_HTTP_START:
        if (http->server) {
            tell_string(story, http->method);
            tell_string(story, " ");
            tell_string(story, http->target);
        } else {
            snprintf(word, sizeof word, "%d", http->status);
            tell_string(story, word);
        }
        break;
    case LSSB_HTTP_HEADER:
        EXPECT_INT(http->value_len, strlen(http->value));
        tell_string(story, http->name);
        tell_string(story, "=");
        tell_string(story, http->value);
        if (http->value_cut)
            tell_string(story, "...");
        break;
    case LSSB_HTTP_HEAD:
        tell_head(story, http);
        break;
    case LSSB_HTTP_BODY:
        EXPECT(http->body_len > 0);
        tell(story, (const char *)http->body, http->body_len);
        break;
    case LSSB_HTTP_DONE:
        tell_string(story, "done");
        break;
    case LSSB_HTTP_WRONG:
        tell_wrong(story, http);
        break;
    }
}

/* Feeds one piece until it is consumed or the message is over. */
static enum lssb_http_event feed(struct lssb_http *http, struct story *story,
                                 const char *piece, size_t len, size_t *left)
{
    uint8_t *copy = len > 0 ? malloc(len) : NULL;
    size_t at = 0, used;
    enum lssb_http_event event;

    if (len > 0)
        memcpy(copy, piece, len);
    do {
        event = lssb_http_next(http, len > 0 ? copy + at : NULL, len - at,
                               &used);
        EXPECT(used <= len - at);
        at += used;
        if (event != LSSB_HTTP_MORE)
            tell_event(story, http, event);
        else
            EXPECT_INT(at, len);
    } while (event != LSSB_HTTP_MORE && event != LSSB_HTTP_DONE &&
             event != LSSB_HTTP_WRONG);
    *left += len - at;
    free(copy);
    return event;
}

/* Tells a message that comes in pieces: the first of `first` bytes, the others
 * of `rest`. */
static void tell_message(struct story *story, int how, char *line,
                         size_t line_size, const char *message, size_t len,
                         size_t first, size_t rest)
{
    struct lssb_http http;
    enum lssb_http_event event = LSSB_HTTP_MORE;
    size_t at = 0, left = 0, piece = first, used = 9;
    char word[32];

    memset(story, 0, sizeof *story);
    lssb_http_start(&http, (how & SERVER) != 0, line, line_size);
    http.head_request = (how & HEAD) != 0;
    http.connect_request = (how & CONNECT) != 0;
    while (at < len && event == LSSB_HTTP_MORE) {
        if (piece > len - at)
            piece = len - at;
        event = feed(&http, story, message + at, piece, &left);
        at += piece;
        piece = rest;
    }
    left += len - at;
    if (event == LSSB_HTTP_MORE) {
        tell_event(story, &http, event);
        event = lssb_http_end(&http);
        tell_event(story, &http, event);
    }
    if (event == LSSB_HTTP_DONE && left > 0) {
        snprintf(word, sizeof word, " +%lu", (unsigned long)left);
        tell_string(story, word);
    }
    /* What is over stays so, and takes nothing more. */
    EXPECT_INT(lssb_http_next(&http, (const uint8_t *)"x", 1, &used), event);
    EXPECT_INT(used, 0);
    EXPECT_INT(lssb_http_end(&http), event);
}

static void check_message(int how, size_t line_size, const char *message,
                          size_t len, const char *expected)
{
    static struct story story, again;
    char *line = malloc(line_size);
    size_t split;

    tell_message(&story, how, line, line_size, message, len, len, len);
    EXPECT_STR(story.text, expected);
    tell_message(&again, how, line, line_size, message, len, 1, 1);
    EXPECT_STR(again.text, story.text);
    for (split = 0; split < len; split++) {
        tell_message(&again, how, line, line_size, message, len, split, len);
        if (strcmp(again.text, story.text) != 0)
            EXPECT_STR(again.text, story.text);
    }
    free(line);
}

static void check_rows(const struct row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        test_row = rows[i].message;
        check_message(rows[i].how, 256, rows[i].message,
                      strlen(rows[i].message), rows[i].story);
    }
}

#define CHECK(rows) check_rows(rows, sizeof rows / sizeof rows[0])
#define OK "HTTP/1.1 200 OK\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

static void replies_end_where_their_framing_says(void)
{
    static const struct row rows[] = {
        { 0, OK "Content-Length: 5\r\n\r\nhello",
          "200 | Content-Length=5 | head 5 keep | 'hello' | done" },
        { 0, OK "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200",
          "200 | Content-Length=5 | head 5 keep | 'hello' | done +12" },
        { 0, OK "Content-Length: 5\r\n\r\nhell",
          "200 | Content-Length=5 | head 5 keep | 'hell' | more | wrong: the "
          "connection ended within the body" },
        { 0, OK "Content-Length: 0\r\n\r\nx",
          "200 | Content-Length=0 | head 0 keep | done +1" },
        { 0, OK "\r\nall of it",
          "200 | head until-close | 'all of it' | more | done" },
        { 0, OK "\r\n", "200 | head until-close | more | done" },
        { 0, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
          "200 | Content-Length=2 | head 2 | 'ab' | done" },
        { 0, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"
          "Content-Length: 2\r\n\r\nab",
          "200 | Connection=Keep-Alive | Content-Length=2 | head 2 keep | 'ab'"
          " | done" },
        { 0, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nab",
          "200 | Connection=keep-alive | head until-close | 'ab' | more | "
          "done" },
        { 0, "HTTP/1.1 204 No Content\r\n\r\nHTTP", "204 | head keep | "
          "done +4" },
        { 0, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
          "204 | Content-Length=0 | head 0 keep | done" },
        { 0, "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
          "204 | Content-Length=3 | head 3 | done +3" },
        { 0, "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "204 | Transfer-Encoding=chunked | head chunked | done +5" },
        { 0, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
          "304 | Content-Length=7 | head 7 keep | done" },
        { 0, "HTTP/1.1 205 Reset\r\nContent-Length: 1\r\n\r\nx",
          "205 | Content-Length=1 | head 1 keep | 'x' | done" },
        { HEAD, OK "Content-Length: 5000000000\r\n\r\n",
          "200 | Content-Length=5000000000 | head 5000000000 keep | done" },
        { HEAD, OK "Transfer-Encoding: chunked\r\n\r\n",
          "200 | Transfer-Encoding=chunked | head chunked keep | done" },
        { HEAD, OK "\r\n", "200 | head keep | done" },
        { CONNECT, OK "\r\n\x16\x03\x01", "200 | head | done +3" },
        { CONNECT, OK "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nab",
          "200 | Content-Length=5 | Transfer-Encoding=gzip | head | done +2" },
        { CONNECT, "HTTP/1.1 407 Denied\r\nContent-Length: 2\r\n\r\nno",
          "407 | Content-Length=2 | head 2 keep | 'no' | done" },
        { 0, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n"
          "Connection: Upgrade\r\n\r\n\x81\x7E",
          "101 | Upgrade=websocket | Connection=Upgrade | head | done +2" },
        { 0, OK "Content-Length: 9223372036854775807\r\n\r\nab",
          "200 | Content-Length=9223372036854775807 | head 9223372036854775807"
          " keep | 'ab' | more | wrong: the connection ended within the body" }
    };

    CHECK(rows);
}

static void chunks_join_to_the_body(void)
{
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define HEAD_IS "200 | Transfer-Encoding=chunked | head chunked keep | "
    static const struct row rows[] = {
        { 0, CHUNKED "5\r\nhello\r\n0\r\n\r\nrest",
          HEAD_IS "'hello' | done +4" },
        { 0, CHUNKED "3\r\nhel\r\n00002\r\nlo\r\n000\r\n\r\n",
          HEAD_IS "'hello' | done" },
        { 0, CHUNKED "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
          HEAD_IS "'01234567890123456789' | done" },
        { 0, CHUNKED "0\r\n\r\n", HEAD_IS "done" },
        { 0, OK "Transfer-Encoding: CHUNKED \r\n\r\n0\r\n\r\n",
          "200 | Transfer-Encoding=CHUNKED | head chunked keep | done" },
        { 0, CHUNKED "5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n",
          HEAD_IS "'hello' | done" },
        { 0, CHUNKED "5 \t ; a\r\nhello\r\n0\r\n\r\n",
          HEAD_IS "'hello' | done" },
        { 0, CHUNKED "1\r\nx\r\n0\r\nDigest: abc\r\nA:\r\n\r\n",
          HEAD_IS "'x' | done" },
        { 0, CHUNKED "0\r\nContent-Length: 7\r\n\r\n", HEAD_IS "done" },
        { 0, CHUNKED "2\r\n\r\n\r\n0\r\n\r\n", HEAD_IS "'\r\n' | done" },
        { 0, CHUNKED "0000000000000001\r\nx\r\n0\r\n\r\n",
          HEAD_IS "'x' | done" },
        { 0, CHUNKED "7FFFFFFFFFFFFFFF\r\nx",
          HEAD_IS "'x' | more | wrong: the connection ended within the body" },
        { 0, CHUNKED "00000000000000001\r\nx",
          HEAD_IS "wrong: a chunk's size has too many digits" },
        { 0, CHUNKED "\r\n", HEAD_IS "wrong: a chunk's size is not a number" },
        { 0, CHUNKED ";a\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED " 5\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "-1\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "+1\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "0x1\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "1g\r\n", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "1\nx", HEAD_IS "wrong: a chunk's size is not a "
          "number" },
        { 0, CHUNKED "1 \r\nx", HEAD_IS "wrong: a blank follows a chunk's "
          "size" },
        { 0, CHUNKED "1\rx", HEAD_IS "wrong: a CR stands alone" },
        { 0, CHUNKED "1;a\nx", HEAD_IS "wrong: a chunk's extension has a "
          "control character" },
        { 0, CHUNKED "1;a\rx", HEAD_IS "wrong: a CR stands alone" },
        { 0, CHUNKED "1\r\nxy\r\n", HEAD_IS "'x' | wrong: a chunk is longer "
          "than its size" },
        { 0, CHUNKED "1\r\nx\n", HEAD_IS "'x' | wrong: a chunk is longer than "
          "its size" },
        { 0, CHUNKED "1\r\nx\rx", HEAD_IS "'x' | wrong: a CR stands alone" },
        { 0, CHUNKED "1\r\nx\r\n", HEAD_IS "'x' | more | wrong: the connection "
          "ended within the body" },
        { 0, CHUNKED "1\r\nx\r\n0\r\n", HEAD_IS "'x' | more | wrong: the "
          "connection ended within the body" },
        { 0, CHUNKED "1\r\nx\r\n0\r\nA: b", HEAD_IS "'x' | more | wrong: the "
          "connection ended within the body" },
        { 0, CHUNKED "0\r\nno colon\r\n\r\n", HEAD_IS "wrong: a field's name "
          "has a blank in it" },
        { 0, CHUNKED "0\r\nA: \x01\r\n\r\n", HEAD_IS "wrong: a field's value "
          "has a control character" },
        { 0, CHUNKED "0\r\nA: b\r\n c\r\n\r\n", HEAD_IS "wrong: a field is "
          "folded, or begins with a blank" },
        { 0, CHUNKED "0\r\n\rx", HEAD_IS "wrong: a CR stands alone" }
    };

    CHECK(rows);
}

static void interim_replies_are_skipped(void)
{
    static const struct row rows[] = {
        { 0, "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
          "200 | Content-Length=1 | head 1 keep continued | 'x' | done" },
        { 0, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n"
          "Connection: close\r\nTransfer-Encoding: gzip\r\n\r\n"
          "HTTP/1.1 102 \r\n\r\nHTTP/1.1 204\r\n\r\n",
          "204 | head keep | done" },
        { 0, "HTTP/1.0 100 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
          "204 | head keep continued | done" },
        { 0, "HTTP/1.1 100 Continue\r\n\r\n",
          "more | wrong: the connection ended before the reply" },
        { 0, "HTTP/1.1 100 Continue\r\nA b: c\r\n\r\n",
          "wrong: a field's name has a blank in it" },
        { 0, "HTTP/1.1 100 Continue\r\n\r\n\r\n" OK "\r\n",
          "wrong: what came is not HTTP" },
        { CONNECT, "HTTP/1.1 100 x\r\n\r\n" OK "\r\nabc",
          "200 | head continued | done +3" }
    };

    CHECK(rows);
}

static void a_status_line_is_strict(void)
{
    static const struct row rows[] = {
        { 0, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
          "200 | Content-Length=0 | head 0 keep | done" },
        { 0, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
          "200 | Content-Length=0 | head 0 keep | done" },
        { 0, "HTTP/1.1 299 D\xE9j\xE0 vu, \t(x)\r\nContent-Length: 0\r\n\r\n",
          "299 | Content-Length=0 | head 0 keep | done" },
        { 0, "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n",
          "999 | Content-Length=0 | head 0 keep | done" },
        { 0, "HTTP/1.1 099 x\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1 20 x\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1 2000\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1 2x0\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1  200\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1\r\n", "wrong: the status is not a number of three "
          "digits" },
        { 0, "HTTP/1.1 200\tOK\r\n", "wrong: the status is not a number of "
          "three digits" },
        { 0, "HTTP/1.1 200 O\x01K\r\n", "wrong: the reason phrase has a "
          "control "
          "character" },
        { 0, "HTTP/1.1 200 OK\n", "wrong: the reason phrase has a control "
          "character" },
        { 0, "HTTP/1.1 200 OK\rX", "wrong: a CR stands alone" },
        { 0, "HTTP/1.2 200 OK\r\n", "wrong: the HTTP version is neither 1.0 "
          "nor 1.1" },
        { 0, "HTTP/2.0 200 OK\r\n", "wrong: the HTTP version is neither 1.0 "
          "nor 1.1" },
        { 0, "HTTP/11.1 200 OK\r\n", "wrong: the HTTP version is neither 1.0 "
          "nor 1.1" },
        { 0, "http/1.1 200 OK\r\n", "wrong: what came is not HTTP" },
        { 0, "ICY 200 OK\r\n", "wrong: what came is not HTTP" },
        { 0, " HTTP/1.1 200 OK\r\n", "wrong: what came is not HTTP" },
        { 0, "\r\nHTTP/1.1 200 OK\r\n", "wrong: what came is not HTTP" },
        { 0, "\x15\x03\x01", "wrong: TLS came where plain HTTP was expected" },
        { 0, "HTTP/1.1 200 O", "more | wrong: the connection ended within the "
          "head" },
        { 0, OK "A: b\r\n", "200 | A=b | more | wrong: the connection ended "
          "within the head" },
        { 0, "H", "more | wrong: the connection ended within the head" }
    };

    CHECK(rows);
}

static void a_field_is_strict(void)
{
#define END "Content-Length: 0\r\n\r\n"
#define END_IS " | Content-Length=0 | head 0 keep | done"
    static const struct row rows[] = {
        { 0, OK "A:b\r\n" END, "200 | A=b" END_IS },
        { 0, OK "A: \t b c \t\r\n" END, "200 | A=b c" END_IS },
        { 0, OK "A:\r\nB: \t \r\n" END, "200 | A= | B=" END_IS },
        { 0, OK "A: b:c\r\n" END, "200 | A=b:c" END_IS },
        { 0, OK "A: \xC3\xA9\xFF\r\n" END, "200 | A=\xC3\xA9\xFF" END_IS },
        { 0, OK "!#$%&'*+-.^_`|~09azAZ: x\r\n" END,
          "200 | !#$%&'*+-.^_`|~09azAZ=x" END_IS },
        { 0, OK "A: b\r\n c\r\n" END, "200 | A=b | wrong: a field is folded, "
          "or "
          "begins with a blank" },
        { 0, OK "A: b\r\n\tc\r\n" END, "200 | A=b | wrong: a field is folded, "
          "or begins with a blank" },
        { 0, OK " A: b\r\n" END, "200 | wrong: a field is folded, or begins "
          "with a blank" },
        { 0, OK "A : b\r\n" END, "200 | wrong: a field's name has a blank in "
          "it" },
        { 0, OK "A\t: b\r\n" END, "200 | wrong: a field's name has a blank in "
          "it" },
        { 0, OK "A\r\n" END, "200 | wrong: a field has no colon" },
        { 0, OK "A\n" END, "200 | wrong: a field has no colon" },
        { 0, OK ": b\r\n" END, "200 | wrong: a field has no name" },
        { 0, OK "A(b): c\r\n" END, "200 | wrong: a field's name is no token" },
        { 0, OK "\xC3\x84: c\r\n" END, "200 | wrong: a field's name is no "
          "token" },
        { 0, OK "A: b\nC: d\r\n" END, "200 | wrong: a line ends without CR" },
        { 0, OK "A:\nC: d\r\n" END, "200 | wrong: a line ends without CR" },
        { 0, OK "\n", "200 | wrong: a line ends without CR" },
        { 0, OK "A: b\rC: d\r\n" END, "200 | wrong: a CR stands alone" },
        { 0, OK "A: b\r\r\n" END, "200 | wrong: a CR stands alone" },
        { 0, OK "A: b\r\n\rX", "200 | A=b | wrong: a CR stands alone" },
        { 0, OK "A: \x01\r\n" END, "200 | wrong: a field's value has a control "
          "character" },
        { 0, OK "A: b\x7F\r\n" END, "200 | wrong: a field's value has a "
          "control "
          "character" },
        { 0, OK "A: b\x1B[31m\r\n" END, "200 | wrong: a field's value has a "
          "control character" }
    };

    CHECK(rows);
}

static void a_nul_is_refused_wherever_it_stands(void)
{
    static const struct {
        const char *before, *after, *story;
    } rows[] = {
        { "HTTP/1.1 200 O", "K\r\n", "wrong: the reason phrase has a control "
          "character" },
        { OK "A: b", "c\r\n", "200 | wrong: a field's value has a control "
          "character" },
        { OK "A", "b: c\r\n", "200 | wrong: a field's name is no token" },
        { "", "HTTP/1.1", "wrong: what came is not HTTP" }
    };
    char message[64];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = strlen(rows[i].before), m = strlen(rows[i].after);

        test_row = rows[i].before;
        memcpy(message, rows[i].before, n);
        message[n] = '\0';
        memcpy(message + n + 1, rows[i].after, m);
        check_message(0, 256, message, n + 1 + m, rows[i].story);
    }
}

static void doubtful_framing_is_refused(void)
{
    static const struct row rows[] = {
        { 0, OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
          "200 | Content-Length=5 | wrong: two Content-Length differ" },
        { 0, OK "Content-Length: 5, 6\r\n\r\nhello",
          "200 | wrong: two Content-Length differ" },
        { 0, OK "Content-Length: 2\r\ncontent-length: 2\r\n\r\nab",
          "200 | Content-Length=2 | content-length=2 | head 2 keep | 'ab' | "
          "done" },
        { 0, OK "Content-Length: 2 ,\t2\r\n\r\nab",
          "200 | Content-Length=2 ,\t2 | head 2 keep | 'ab' | done" },
        { 0, OK "Content-Length: 5,\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length:\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: +5\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: -5\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: 0x5\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: 5 5\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: 5.0\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: 18446744073709551616\r\n\r\n",
          "200 | wrong: Content-Length is not a number" },
        { 0, OK "Content-Length: 9223372036854775808\r\n\r\n",
          "200 | wrong: Content-Length is too large" },
        { 0, OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
          "200 | Content-Length=5 | Transfer-Encoding=chunked | wrong: the "
          "message has Transfer-Encoding and Content-Length" },
        { 0, OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
          "200 | Transfer-Encoding=chunked | Content-Length=5 | wrong: the "
          "message has Transfer-Encoding and Content-Length" },
        { HEAD, OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
          "200 | Transfer-Encoding=chunked | Content-Length=5 | wrong: the "
          "message has Transfer-Encoding and Content-Length" },
        { 0, OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: chunked, gzip\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: identity\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: xchunked\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: chunked;x\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: ,chunked\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: \"chunked\"\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding:\r\n\r\n",
          "200 | wrong: Transfer-Encoding is something other than chunked" },
        { 0, OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
          "200 | Transfer-Encoding=chunked | wrong: the message has two "
          "Transfer-Encoding" },
        { 0, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          "200 | Transfer-Encoding=chunked | wrong: the message has "
          "Transfer-Encoding, but is HTTP/1.0" }
    };

    CHECK(rows);
}

static void a_connection_serves_again_only_if_both_ends_say_so(void)
{
    static const struct row rows[] = {
        { 0, OK "Connection: close\r\n" END,
          "200 | Connection=close | Content-Length=0 | head 0 | done" },
        { 0, OK "Connection: foo , CLOSE,bar\r\n" END,
          "200 | Connection=foo , CLOSE,bar | Content-Length=0 | head 0 | "
          "done" },
        { 0, OK "Connection: keep-alive\r\nConnection: close\r\n" END,
          "200 | Connection=keep-alive | Connection=close | Content-Length=0 | "
          "head 0 | done" },
        { 0, OK "Connection: closed, \"close\", close x\r\n" END,
          "200 | Connection=closed, \"close\", close x" END_IS },
        { 0, OK "Connection:\r\n" END, "200 | Connection=" END_IS },
        { 0, OK "Proxy-Connection: close\r\n" END,
          "200 | Proxy-Connection=close" END_IS },
        { 0, OK "Keep-Alive: timeout=5, max=100\r\n" END,
          "200 | Keep-Alive=timeout=5, max=100 | Content-Length=0 | head 0 "
          "keep "
          "5s | done" },
        { 0, OK "keep-alive: max=3 ,\tTimeout=15\r\n" END,
          "200 | keep-alive=max=3 ,\tTimeout=15 | Content-Length=0 | head 0 "
          "keep 15s | done" },
        { 0, OK "Keep-Alive: timeout=99999999999\r\n" END,
          "200 | Keep-Alive=timeout=99999999999 | Content-Length=0 | head 0 "
          "keep 4294967294s | done" },
        { 0, OK "Keep-Alive: timeout=x, timeout=, timeout, =5\r\n" END,
          "200 | Keep-Alive=timeout=x, timeout=, timeout, =5" END_IS }
    };

    CHECK(rows);
}

static void requests_are_read_as_replies_are(void)
{
    static const struct row rows[] = {
        { SERVER, GET "\r\nGET /next", "GET / | Host=a | head keep | done +9" },
        { SERVER, "\r\n\r\n" GET "\r\n", "GET / | Host=a | head keep | done" },
        { SERVER, "POST /upload?path=%2Ftmp%2Fx HTTP/1.1\r\nHost: a:8080\r\n"
          "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello",
          "POST /upload?path=%2Ftmp%2Fx | Host=a:8080 | Content-Length=5 | "
          "Expect=100-Continue | head 5 keep expects | 'hello' | done" },
        { SERVER, "PUT /x HTTP/1.1\r\nHost: [::1]:1\r\n"
          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n",
          "PUT /x | Host=[::1]:1 | Transfer-Encoding=chunked | head chunked "
          "keep | 'abc' | done" },
        { SERVER, "GET / HTTP/1.0\r\n\r\n", "GET / | head | done" },
        { SERVER, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n"
          "Expect: 100-continue\r\n\r\n",
          "GET / | Connection=keep-alive | Expect=100-continue | head keep | "
          "done" },
        { SERVER, GET "Connection: close\r\n\r\n",
          "GET / | Host=a | Connection=close | head | done" },
        { SERVER, GET "Expect: something\r\n\r\n",
          "GET / | Host=a | Expect=something | head keep | done" },
        { SERVER, "GET http://a.example:81/b?c HTTP/1.1\r\nHost: x\r\n\r\n",
          "GET http://a.example:81/b?c | Host=x | head keep | done" },
        { SERVER, "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
          "OPTIONS * | Host= | head keep | done" },
        { SERVER, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
          "\r\n\x16", "CONNECT a.example:443 | Host=a.example:443 | head keep "
          "| "
          "done +1" },
        { SERVER, "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
          "CONNECT [::1]:443 | Host=a | head keep | done" },
        { SERVER, "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
          "M-SEARCH / | Host=a | head keep | done" },
        { SERVER, "GET //a/../b;c=d|{e} HTTP/1.1\r\nHost: a\r\n\r\n",
          "GET //a/../b;c=d|{e} | Host=a | head keep | done" },
        { SERVER, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
          "POST / | Host=a | Content-Length=3 | head 3 keep | 'ab' | more | "
          "wrong 400: the connection ended within the body" },
        { SERVER, "\r\n", "more | wrong 400: the connection ended before a "
          "request" },
        { SERVER, "GET / HT", "more | wrong 400: the connection ended within "
          "the head" }
    };

    CHECK(rows);
}

static void a_wrong_request_is_refused_with_a_status_to_answer(void)
{
#define BAD_TARGET "wrong 400: the target is neither a path nor an http URL"
#define BAD_CHARACTER "wrong 400: the request's target has a character that " \
    "must be percent-encoded"
#define NO_TOKEN "wrong 400: the request's method is no token"
#define NO_HOST "wrong 400: the request has no Host"
    static const struct row rows[] = {
        { SERVER, "GET /\r\n", "wrong 400: the request line has no HTTP "
          "version" },
        { SERVER, "GET\r\n", NO_TOKEN },
        { SERVER, " GET / HTTP/1.1\r\n", NO_TOKEN },
        { SERVER, "G(T / HTTP/1.1\r\n", NO_TOKEN },
        { SERVER, "\nGET / HTTP/1.1\r\n", NO_TOKEN },
        { SERVER, "\r\r\n", "wrong 400: a CR stands alone" },
        { SERVER, "\x16\x03\x01", "wrong 400: TLS came where plain HTTP was "
          "expected" },
        { SERVER, "GET  / HTTP/1.1\r\n", BAD_CHARACTER },
        { SERVER, "GET /\tx HTTP/1.1\r\n", BAD_CHARACTER },
        { SERVER, "GET /\xC3\xA9 HTTP/1.1\r\n", BAD_CHARACTER },
        { SERVER, "GET /a#b HTTP/1.1\r\n", BAD_CHARACTER },
        { SERVER, "GET /\x01 HTTP/1.1\r\n", BAD_CHARACTER },
        { SERVER, "GET /\n", BAD_CHARACTER },
        { SERVER, "GET / x HTTP/1.1\r\n", "wrong 400: what came is not HTTP" },
        { SERVER, "GET / http/1.1\r\n", "wrong 400: what came is not HTTP" },
        { SERVER, "GET / HTTP/1.1 \r\n", "wrong 400: the request line goes on "
          "behind the version" },
        { SERVER, "GET / HTTP/1.1\n", "wrong 400: the request line goes on "
          "behind the version" },
        { SERVER, "GET / HTTP/1.1\rX", "wrong 400: a CR stands alone" },
        { SERVER, "GET / HTTP/2.0\r\n", "wrong 505: the HTTP version is "
          "neither "
          "1.0 nor 1.1" },
        { SERVER, "GET / HTTP/1.2\r\n", "wrong 505: the HTTP version is "
          "neither "
          "1.0 nor 1.1" },
        { SERVER, "GET / HTTP/1.x\r\n", "wrong 400: the HTTP version is "
          "neither "
          "1.0 nor 1.1" },
        { SERVER, "GET * HTTP/1.1\r\n", BAD_TARGET },
        { SERVER, "GET a HTTP/1.1\r\n", BAD_TARGET },
        { SERVER, "GET http:// HTTP/1.1\r\n", BAD_TARGET },
        { SERVER, "GET ftp://a/ HTTP/1.1\r\n", BAD_TARGET },
        { SERVER, "GET http://u@a/ HTTP/1.1\r\n", BAD_TARGET },
        { SERVER, "CONNECT /a HTTP/1.1\r\n", "wrong 400: the target of CONNECT "
          "is not a host and a port" },
        { SERVER, "CONNECT a HTTP/1.1\r\n", "wrong 400: the target of CONNECT "
          "is not a host and a port" },
        { SERVER, "CONNECT a: HTTP/1.1\r\n", "wrong 400: the target of CONNECT "
          "is not a host and a port" },
        { SERVER, "GET / HTTP/1.1\r\n\r\n", "GET / | " NO_HOST },
        { SERVER, GET "Host: a\r\n\r\n", "GET / | Host=a | wrong 400: the "
          "request has two Host fields" },
        { SERVER, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
          "GET / | Host=a | wrong 400: the request has two Host fields" },
        { SERVER, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
          "GET / | wrong 400: Host is no host" },
        { SERVER, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
          "GET / | wrong 400: Host is no host" },
        { SERVER, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
          "GET / | wrong 400: Host is no host" },
        { SERVER, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
          "GET / | wrong 400: Host is no host" },
        { SERVER, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
          "GET / | wrong 400: Host is no host" },
        { SERVER, GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          "GET / | Host=a | Content-Length=1 | Transfer-Encoding=chunked | "
          "wrong 400: the message has Transfer-Encoding and Content-Length" },
        { SERVER, GET "Transfer-Encoding: gzip, chunked\r\n\r\n",
          "GET / | Host=a | wrong 501: Transfer-Encoding is something other "
          "than chunked" },
        { SERVER, GET "Transfer-Encoding: chunked\r\n"
          "Transfer-Encoding: chunked\r\n\r\n",
          "GET / | Host=a | Transfer-Encoding=chunked | wrong 400: the message "
          "has two Transfer-Encoding" },
        { SERVER, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
          "GET / | Transfer-Encoding=chunked | wrong 400: the message has "
          "Transfer-Encoding, but is HTTP/1.0" },
        { SERVER, GET "Content-Length: x\r\n\r\n",
          "GET / | Host=a | wrong 400: Content-Length is not a number" },
        { SERVER, GET "A : b\r\n\r\n", "GET / | Host=a | wrong 400: a field's "
          "name has a blank in it" }
    };

    CHECK(rows);
}

/* Writes a message whose middle is `count` times the byte `c`. */
static size_t stretch(char *to, const char *before, char c, size_t count,
                      const char *after)
{
    size_t n = strlen(before), m = strlen(after);

    memcpy(to, before, n);
    memset(to + n, c, count);
    memcpy(to + n + count, after, m);
    return n + count + m;
}

static void what_does_not_fit_the_line_is_cut_or_refused(void)
{
    static const struct {
        int how;
        const char *before;
        char c;
        size_t count;
        const char *after;
        const char *start, *end;    /* of the story */
    } rows[] = {
        /* name, NUL, value, NUL: 64 bytes in all */
        { 0, OK "A: ", 'x', 61, "\r\n" END, "200 | A=x", "x" END_IS },
        { 0, OK "A: ", 'x', 62, "\r\n" END, "200 | A=x", "x..." END_IS },
        { 0, OK "A: ", 'x', 900, "\r\n" END, "200 | A=x", "x..." END_IS },
        { 0, OK "A: ", 'x', 61, " \t  \r\n" END, "200 | A=x", "x" END_IS },
        { 0, OK "A: ", 'x', 61, "  y\r\n" END, "200 | A=x", "x..." END_IS },
        { 0, OK "A:", ' ', 900, "x\r\n" END, "200 | A=x | ", END_IS },
        { 0, OK "A: y", ' ', 900, "\r\n" END, "200 | A=y | ", END_IS },
        { 0, OK "A: y", ' ', 900, "x\r\n" END, "200 | A=y... | ", END_IS },
        { 0, OK "A: ", 'x', 900, "\x01\r\n" END, "200 | ",
          "wrong: a field's value has a control character" },
        { 0, OK, 'x', 62, ":y\r\n" END, "200 | x", "x=..." END_IS },
        { 0, OK, 'x', 62, ":\r\n" END, "200 | x", "x=" END_IS },
        { 0, OK, 'x', 63, ":\r\n" END, "200 | ",
          "wrong: a field's name is too long" },
        { 0, "HTTP/1.1 200 ", 'x', 900, "\r\n" END, "200 | Content", END_IS },
        { 0, OK "Content-Length: ", '0', 47, "1\r\n\r\nx", "200 | C",
          "head 1 keep | 'x' | done" },
        { 0, OK "Content-Length: ", '0', 48, "1\r\n\r\nx", "200 | ",
          "wrong: a field that frames the message is too long" },
        { 0, OK "Connection: ", 'x', 60, ",close\r\n\r\nx", "200 | ",
          "wrong: a field that frames the message is too long" },
        { 0, OK "Transfer-Encoding: ", 'x', 60, "\r\n\r\nx", "200 | ",
          "wrong: a field that frames the message is too long" },
        { 0, OK "Keep-Alive: timeout=1", '0', 60, "\r\n" END, "200 | ",
          "0..." END_IS },
        { 0, OK "Keep-Alive: timeout=5,", 'x', 60, "\r\n" END, "200 | ",
          "x..." END_IS },
        { 0, "HTTP/1.1 100 x\r\nA: ", 'x', 900, "\r\n\r\n" OK END, "200 | ",
          "head 0 keep continued | done" },
        { 0, "HTTP/1.1 100 x\r\n", 'x', 900, ":\r\n\r\n" OK END, "200 | ",
          "head 0 keep continued | done" },
        { SERVER, "GET /", 'x', 58, " HTTP/1.0\r\n\r\n", "GET /x",
          "x | head | done" },
        { SERVER, "GET /", 'x', 59, " HTTP/1.0\r\n\r\n", "wrong",
          "wrong 414: the request's target is too long" },
        { SERVER, "", 'X', 61, " / HTTP/1.0\r\n\r\n", "XXX",
          "X / | head | done" },
        { SERVER, "", 'X', 62, " / HTTP/1.0\r\n\r\n", "wrong",
          "wrong 414: the request's target is too long" },
        { SERVER, "", 'X', 63, " / HTTP/1.0\r\n\r\n", "wrong",
          "wrong 501: the request's method is too long" },
        { SERVER, "GET / HTTP/1.0\r\n", 'x', 63, ":\r\n\r\n", "GET / | ",
          "wrong 431: a field's name is too long" },
        { SERVER, "GET / HTTP/1.1\r\nHost: ", 'x', 63, "\r\n\r\n", "GET / | ",
          "wrong 400: Host is no host" }
    };
    static char message[2048];
    static struct story story;
    char line[64];
    size_t i, len, split;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n, m = strlen(rows[i].end);

        test_row = rows[i].after;
        len = stretch(message, rows[i].before, rows[i].c, rows[i].count,
                      rows[i].after);
        tell_message(&story, rows[i].how, line, sizeof line, message, len, len,
                     len);
        EXPECT(strncmp(story.text, rows[i].start, strlen(rows[i].start)) == 0);
        n = story.len > m ? story.len - m : 0;
        EXPECT_STR(story.text + n, rows[i].end);
        for (split = 1; split < len; split += 13) {
            static struct story again;

            tell_message(&again, rows[i].how, line, sizeof line, message, len,
                         split, 1);
            EXPECT_STR(again.text, story.text);
        }
    }
}

static void a_cut_value_is_its_beginning(void)
{
    check_message(0, 32, OK "Name: 0123456789 0123456789 0123456789\r\n" END,
                  strlen(OK "Name: 0123456789 0123456789 0123456789\r\n" END),
                  "200 | Name=0123456789 0123456789 0123... | "
                  "Content-Length=0 | head 0 keep | done");
}

/* Feeds one byte many times over; the event that is not MORE. */
static enum lssb_http_event feed_many(struct lssb_http *http, const char *bytes,
                                      size_t times)
{
    enum lssb_http_event event = LSSB_HTTP_MORE;
    size_t used;

    while (times-- > 0 && event == LSSB_HTTP_MORE) {
        size_t at = 0, len = strlen(bytes);

        while (at < len && (event == LSSB_HTTP_MORE || event == LSSB_HTTP_BODY))
        {
            event = lssb_http_next(http, (const uint8_t *)bytes + at, len - at,
                                   &used);
            at += used;
        }
        if (event == LSSB_HTTP_BODY || event == LSSB_HTTP_HEADER)
            event = LSSB_HTTP_MORE;
    }
    return event;
}

/* Feeds the head of a chunked reply. */
static void start_chunked(struct lssb_http *http, char *line, size_t size)
{
    static const char head[] = OK "Transfer-Encoding: chunked\r\n\r\n";
    size_t at = 0, used;

    lssb_http_start(http, false, line, size);
    while (lssb_http_next(http, (const uint8_t *)head + at,
                          sizeof head - 1 - at, &used) != LSSB_HTTP_MORE)
        at += used;
}

static void everything_that_is_skipped_has_a_limit(void)
{
    char line[256];
    struct lssb_http http;
    size_t used;

    /* The limit is of the header block, all of it. */
    lssb_http_start(&http, false, line, sizeof line);
    EXPECT_INT(lssb_http_next(&http, (const uint8_t *)OK, 17, &used),
               LSSB_HTTP_START);
    EXPECT_INT(feed_many(&http, "A: 567\r\n", (LSSB_HTTP_HEAD_LIMIT - 17) / 8),
               LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "A: 567\r\n", 1), LSSB_HTTP_WRONG);
    EXPECT_STR(http.wrong, "the header block is too long");

    lssb_http_start(&http, true, line, sizeof line);
    EXPECT_INT(feed_many(&http, "\r\n", LSSB_HTTP_HEAD_LIMIT / 2),
               LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "\r\n", 1), LSSB_HTTP_WRONG);
    EXPECT_INT(http.status, 431);

    /* Each interim reply has a limit of its own, and so has their number. */
    lssb_http_start(&http, false, line, sizeof line);
    EXPECT_INT(feed_many(&http, "HTTP/1.1 102 x\r\n\r\n",
                         LSSB_HTTP_INTERIM_LIMIT), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "HTTP/1.1 102 x\r\n\r\n", 1),
               LSSB_HTTP_WRONG);
    EXPECT_STR(http.wrong, "there are too many interim replies");

    lssb_http_start(&http, false, line, sizeof line);
    EXPECT_INT(feed_many(&http, "HTTP/1.1 102 x\r\n", 1), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "A: 567\r\n", 8000), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "\r\nHTTP/1.1 102 x\r\n", 1),
               LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "A: 567\r\n", 8000), LSSB_HTTP_MORE);

    start_chunked(&http, line, sizeof line);
    EXPECT_INT(feed_many(&http, "1;", 1), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "x", 4094), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "x", 1), LSSB_HTTP_WRONG);
    EXPECT_STR(http.wrong, "a chunk's extensions are too long");

    /* Every chunk has a line of its own. */
    start_chunked(&http, line, sizeof line);
    EXPECT_INT(feed_many(&http, "1;some=extension\r\nx\r\n", 10000),
               LSSB_HTTP_MORE);

    start_chunked(&http, line, sizeof line);
    EXPECT_INT(feed_many(&http, "0\r\n", 1), LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "A: 567\r\n", LSSB_HTTP_HEAD_LIMIT / 8),
               LSSB_HTTP_MORE);
    EXPECT_INT(feed_many(&http, "\r\n", 1), LSSB_HTTP_WRONG);
    EXPECT_STR(http.wrong, "the header block is too long");
}

static void the_line_is_free_once_the_head_is_told(void)
{
    static const char rest[] = "3\r\nabc\r\n0\r\nTrailer: value\r\n\r\n";
    char line[64];
    struct lssb_http http;
    size_t i;

    start_chunked(&http, line, sizeof line);
    memset(line, '#', sizeof line);
    EXPECT_INT(feed_many(&http, rest, 1), LSSB_HTTP_DONE);
    for (i = 0; i < sizeof line; i++)
        EXPECT_INT(line[i], '#');
}

static void a_header_is_written_or_named_wrong(void)
{
    static const struct {
        const char *name, *value;
        bool good;                  /* may be written */
        bool callers;               /* may be given by a caller */
    } rows[] = {
        { "X-Api-Key", "abc", true, true },
        { "A", "", true, true },
        { "A", "tab\there \xC3\xA9", true, true },
        { "", "x", false, false },
        { "A B", "x", false, false },
        { "A:", "x", false, false },
        { "A\r\nB", "x", false, false },
        { "\xC3\xA9", "x", false, false },
        { "A", "x\r\nB: y", false, false },
        { "A", "x\n", false, false },
        { "A", "\r", false, false },
        { "A", "\x01", false, false },
        { "A", "\x7F", false, false },
        { "Host", "a", true, false },
        { "CONNECTION", "close", true, false },
        { "content-length", "5", true, false },
        { "Transfer-Encoding", "chunked", true, false },
        { "te", "trailers", true, false },
        { "Trailer", "x", true, false },
        { "Upgrade", "x", true, false },
        { "Expect", "x", true, false },
        { "Keep-Alive", "x", true, false },
        { "Proxy-Connection", "x", true, false },
        { "Proxy-Authorization", "x", true, false },
        { "Content-Type", "x", true, false },
        { "Content-Type2", "x", true, true },
        { "Authorization", "Bearer x", true, true }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[128] = "", expected[128];
        struct lssb_writer writer;

        test_row = rows[i].name;
        lssb_writer_start(&writer, out, sizeof out - 1, 0);
        lssb_put_header(&writer, rows[i].name, rows[i].value);
        EXPECT_INT(writer.wrong == NULL, rows[i].good);
        EXPECT_INT(lssb_header_wrong(rows[i].name, rows[i].value) == NULL,
                   rows[i].callers);
        snprintf(expected, sizeof expected, "%s: %s\r\n", rows[i].name,
                 rows[i].value);
        if (rows[i].good)
            EXPECT_STR(out, expected);
    }
}

int main(void)
{
    static const struct test tests[] = {
        TEST(replies_end_where_their_framing_says),
        TEST(chunks_join_to_the_body),
        TEST(interim_replies_are_skipped),
        TEST(a_status_line_is_strict),
        TEST(a_field_is_strict),
        TEST(a_nul_is_refused_wherever_it_stands),
        TEST(doubtful_framing_is_refused),
        TEST(a_connection_serves_again_only_if_both_ends_say_so),
        TEST(requests_are_read_as_replies_are),
        TEST(a_wrong_request_is_refused_with_a_status_to_answer),
        TEST(what_does_not_fit_the_line_is_cut_or_refused),
        TEST(a_cut_value_is_its_beginning),
        TEST(everything_that_is_skipped_has_a_limit),
        TEST(the_line_is_free_once_the_head_is_told),
        TEST(a_header_is_written_or_named_wrong)
    };

    return TEST_MAIN(tests);
}
