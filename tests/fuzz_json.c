/* fuzz_json.c: JSON texts from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte chooses what becomes of members and the
 * buffer's size, the second where the input is split; the rest is the text.
 * However it is split, and whatever is chosen, the verdict is the same; what
 * is kept is JSON and stays as it is when it is kept again; what is decoded
 * and written again is the same.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* What was told: a hash of the events. */
struct story {
    uint64_t hash;
    uint64_t at;
    uint64_t streamed;
    const char *wrong;
};

static void mix(struct story *story, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len-- > 0)
        story->hash = (story->hash ^ *at++) * UINT64_C(1099511628211);
}

static void mix_string(struct story *story, const char *string)
{
    mix(story, string, strlen(string) + 1);
}

/* Chooses by the first letter of a name. */
static enum lssb_json_take choose(void *ctx, int depth, const char *parent,
                                  const char *key)
{
    static const char letters[] = "skcdeav";
    const char *at = *key == '\0' ? NULL : strchr(letters, *key);

    must(depth >= 1 && depth <= LSSB_JSON_LEVELS);
    must(strlen(key) <= LSSB_JSON_KEY);
    mix(ctx, &depth, sizeof depth);
    mix_string(ctx, parent);
    mix_string(ctx, key);
    return at == NULL ? LSSB_JSON_KEEP
                      : (enum lssb_json_take)(at - letters);
}

static enum lssb_json_take skip_all(void *ctx, int depth, const char *parent,
                                    const char *key)
{
    (void)ctx, (void)depth, (void)parent, (void)key;
    return LSSB_JSON_SKIP;
}

/* What is kept is kept again, the same. */
static void keep_again(const char *text, size_t len)
{
    static char buffer[8192];
    struct lssb_json json;
    size_t used = 0, at = 0;
    enum lssb_json_event event = LSSB_JSON_MORE;

    if (len == 0)
        return;
    memset(&json, 0, sizeof json);
    lssb_json_start(&json, buffer, sizeof buffer);
    for (; at < len; at += used) {
        event = lssb_json_next(&json, (const uint8_t *)text + at, len - at,
                               &used);
        must(event == LSSB_JSON_MORE || event == LSSB_JSON_DONE);
    }
    must(lssb_json_end(&json) == LSSB_JSON_DONE && !json.overflow);
    must(json.text_len == len && memcmp(json.text, text, len) == 0);
}

/* A kept string is what the writer makes of its decoded text. */
static void write_again(const char *raw, size_t raw_len)
{
    static char text[8192], written[8192];
    struct lssb_json_writer json;
    struct lssb_writer out;
    size_t len = lssb_json_decode(raw, raw_len, text, sizeof text);

    must(len < raw_len && lssb_utf8_valid(text, len) == len);
    lssb_writer_start(&out, written, sizeof written, 0);
    lssb_json_write(&json, &out);
    lssb_json_string_n(&json, NULL, text, len);
    must(out.wrong == NULL && lssb_json_complete(&json));
    must(out.len == raw_len && memcmp(written, raw, raw_len) == 0);
}

static void check_kept(const char *text, size_t len)
{
    int64_t number;

    must(text[len] == '\0' && strlen(text) == len);
    keep_again(text, len);
    if (*text == '"')
        write_again(text, len);
    if (lssb_json_integer(text, len, &number) &&
        number > -(INT64_C(1) << 53) && number < INT64_C(1) << 53)
        must((double)number == strtod(text, NULL));
}

static void tell(struct story *story, struct lssb_json *json,
                 enum lssb_json_event event)
{
    if (event == LSSB_JSON_MORE)
        return;
    if (event == LSSB_JSON_SLICE) {
        must(json->slice_len > 0);
        must(lssb_utf8_valid(json->slice, json->slice_len) ==
             json->slice_len);
        story->streamed += json->slice_len;
        mix(story, json->slice, json->slice_len);
        return;
    }
    mix(story, &event, sizeof event);
    if (event == LSSB_JSON_SLICE_END || event == LSSB_JSON_ELEMENT)
        mix_string(story, json->key);
    mix(story, &json->overflow, sizeof json->overflow);
    if (event == LSSB_JSON_VALUE) {
        must(json->slice[json->slice_len] == '\0' && json->path[0] == '/');
        mix_string(story, json->path);
        mix(story, json->slice, json->slice_len);
    }
    if (event == LSSB_JSON_ELEMENT || event == LSSB_JSON_DONE) {
        check_kept(json->text, json->text_len);
        mix(story, json->text, json->text_len);
    }
    if (event == LSSB_JSON_WRONG) {
        must(json->wrong != NULL);
        story->wrong = json->wrong;
        story->at = json->at;
    }
}

/* Feeds pieces of `step` bytes, the first of `first`. */
static struct story scan(const uint8_t *text, size_t len, size_t first,
                         size_t step, size_t room, bool skip)
{
    struct story story = {0};
    struct lssb_json json = {0};
    enum lssb_json_event event = LSSB_JSON_MORE;
    char *buffer = malloc(room);
    size_t from = 0, piece, used;

    must(buffer != NULL);
    json.choose = skip ? skip_all : choose;
    json.ctx = &story;
    lssb_json_start(&json, buffer, room);
    for (piece = first; from < len && event != LSSB_JSON_WRONG;
         piece = step) {
        piece = piece < len - from ? piece : len - from;
        while (piece > 0 && event != LSSB_JSON_WRONG) {
            event = lssb_json_next(&json, text + from, piece, &used);
            must(used <= piece && (event != LSSB_JSON_MORE || used == piece));
            tell(&story, &json, event);
            from += used;
            piece -= used;
        }
    }
    if (event != LSSB_JSON_WRONG)
        tell(&story, &json, lssb_json_end(&json));
    must(json.high <= room && json.at == from);
    free(buffer);
    return story;
}

static void must_be_same(struct story a, struct story b)
{
    must(a.hash == b.hash && a.wrong == b.wrong && a.at == b.at);
    must(a.streamed == b.streamed);
}

/* What reads kept texts must stand any bytes. */
static void read_anything(const char *text, size_t len)
{
    static const struct lssb_json_member table[] = {
        {"id", LSSB_JSON_TEXT, 0, 8},
        {"n", LSSB_JSON_TEXT_CUT, 8, 8},
        {"k", LSSB_JSON_I64, 16, 0}
    };
    uint64_t out[3];
    const char *key, *raw;
    size_t raw_len;
    int64_t number;
    char small[8];

    lssb_json_fill(text, len, table, 3, out, &key);
    must(memchr(out, 0, 8) != NULL && memchr(out + 1, 0, 8) != NULL);
    lssb_json_integer(text, len, &number);
    lssb_json_decode(text, len, small, sizeof small);
    raw = lssb_json_find(text, len, "k/1/e", &raw_len);
    must(raw == NULL || (raw >= text && raw + raw_len <= text + len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct story whole, plain;
    size_t room, split, len;
    const uint8_t *text;
    char *copy;

    if (size < 2)
        return 0;
    room = 256 + (size_t)data[0] * 8;
    split = data[1];
    text = data + 2;
    len = size - 2;
    copy = malloc(len + 1);
    must(copy != NULL);
    memcpy(copy, text, len);
    copy[len] = '\0';
    whole = scan(text, len, len, len, room, false);
    plain = scan(text, len, len, len, room, true);
    must(plain.wrong == whole.wrong && plain.at == whole.at);
    must_be_same(whole, scan(text, len, 1, 1, room, false));
    must_be_same(whole, scan(text, len, split, 1 + split % 16, room, false));
    read_anything(copy, len);
    free(copy);
    return 0;
}
