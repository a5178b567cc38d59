/* fuzz_http1.c: HTTP messages in both roles from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte chooses the role and the line's size, the
 * second where the input is split; the rest is the message. However it is
 * split, the story is the same, and not a byte more is consumed.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* What was told: a hash of the events, and what they left. */
struct story {
    uint64_t hash;
    uint64_t body;                  /* bytes of it */
    size_t consumed;
    enum lssb_http_event last;
    const char *wrong;
    int status;
};

static void mix(struct story *story, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len-- > 0)
        story->hash = (story->hash ^ *at++) * UINT64_C(1099511628211);
}

static void mix_number(struct story *story, uint64_t number)
{
    mix(story, &number, sizeof number);
}

static void mix_string(struct story *story, const char *string)
{
    mix(story, string, strlen(string) + 1);
}

/* Every promise of one event, and its part of the hash. */
static void tell(struct story *story, const struct lssb_http *http,
                 enum lssb_http_event event, const uint8_t *piece, size_t len)
{
    if (event == LSSB_HTTP_BODY) {
        must(http->body_len > 0 && http->body >= piece);
        must(http->body + http->body_len <= piece + len);
        mix(story, http->body, http->body_len);
        story->body += http->body_len;
        return;
    }
    mix_number(story, (uint64_t)event);
    if (event == LSSB_HTTP_START && http->server) {
        mix_string(story, http->method);
        mix_string(story, http->target);
    } else if (event == LSSB_HTTP_START) {
        must(http->status >= 101 && http->status <= 999);
        mix_number(story, (uint64_t)http->status);
    } else if (event == LSSB_HTTP_HEADER) {
        must(strlen(http->value) == http->value_len);
        must(lssb_header_wrong(http->name, http->value) == NULL ||
             strchr("HhCcTtUuEeKkPp", http->name[0]) != NULL);
        mix_string(story, http->name);
        mix_string(story, http->value);
        mix_number(story, http->value_cut);
    } else if (event == LSSB_HTTP_HEAD) {
        must(!(http->chunked && http->has_length) || http->connect_request);
        must(!(http->until_close && http->keep_alive));
        mix_number(story, http->length);
        mix_number(story, http->keep_alive_s);
        mix_number(story, (uint64_t)(http->keep_alive | http->has_length << 1 |
                                     http->chunked << 2 |
                                     http->until_close << 3 |
                                     http->expects_continue << 4 |
                                     http->continued << 5));
    }
}

/* Feeds a message: a first piece, then pieces of `rest` bytes. */
static void feed(struct story *story, uint8_t how, const uint8_t *data,
                 size_t size, size_t first, size_t rest)
{
    size_t line_size = (how & 8) != 0 ? 32 : 256;
    char *line = malloc(line_size);
    struct lssb_http http;
    enum lssb_http_event event = LSSB_HTTP_MORE;
    size_t piece = first, at = 0;

    memset(story, 0, sizeof *story);
    if (line == NULL)
        return;
    lssb_http_start(&http, (how & 1) != 0, line, line_size);
    http.head_request = (how & 2) != 0;
    http.connect_request = (how & 4) != 0;
    while (event != LSSB_HTTP_DONE && event != LSSB_HTTP_WRONG) {
        size_t len = piece < size - at ? piece : size - at, used;

        event = lssb_http_next(&http, data + at, len, &used);
        must(used <= len);
        if (event != LSSB_HTTP_MORE)
            tell(story, &http, event, data + at, len);
        else
            must(used == len);
        at += used;
        if (event == LSSB_HTTP_MORE && at == size)
            break;
        piece = event == LSSB_HTTP_MORE ? rest : piece - used;
    }
    if (event == LSSB_HTTP_MORE) {
        event = lssb_http_end(&http);
        must(event == LSSB_HTTP_DONE || event == LSSB_HTTP_WRONG);
        tell(story, &http, event, data, 0);
    }
    must(event != LSSB_HTTP_WRONG || http.wrong != NULL);
    must(!(event == LSSB_HTTP_WRONG && http.server) || http.status >= 400);
    story->consumed = at;
    story->last = event;
    story->wrong = http.wrong;
    story->status = http.status;
    free(line);
}

static void must_be_same(const struct story *a, const struct story *b)
{
    must(a->hash == b->hash && a->body == b->body);
    must(a->consumed == b->consumed && a->last == b->last);
    must(a->wrong == b->wrong && a->status == b->status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct story whole, split, bytes;
    size_t first;

    if (size < 2)
        return 0;
    first = size > 2 ? data[1] % (size - 2) : 0;
    feed(&whole, data[0], data + 2, size - 2, size - 2, size - 2);
    feed(&split, data[0], data + 2, size - 2, first, size - 2);
    feed(&bytes, data[0], data + 2, size - 2, 1, 1);
    must_be_same(&whole, &split);
    must_be_same(&whole, &bytes);
    return 0;
}
