/* json.c: reading and writing JSON (RFC 8259).
 *
 * SPDX-License-Identifier: MIT
 *
 * A scanner that is fed a text as it arrives, validates every byte, and keeps,
 * streams or visits what its caller chose; what reads the small texts that it
 * kept (by way of jsmn); and a writer. No I/O, and no memory but the caller's.
 */
#include "internal.h"

#define JSMN_STATIC
#define JSMN_STRICT
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
#include <jsmn.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* ----------------------------------------------------------- characters -- */

/* Of the buffer's end, what kept text leaves free: the brackets that close it
 * (one a level), its NUL, and room to decode a slice. */
#define JSON_RESERVE 32

/* The most that one byte of input adds to a slice: a lone surrogate's U+FFFD
 * and a character. */
#define JSON_STEP 7

/* A run this long is told where it stands; shorter ones between escapes are
 * gathered, so that text with many escapes does not come in crumbs. */
#define JSON_LONG_RUN 256

/* Whether one of eight bytes is a quote, a backslash, a control or not ASCII.
 * (A borrow only ever reaches a byte above one that is special itself.) */
static bool json_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');

    return ((word | ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
             ((slash - ones) & ~slash)) & tops) != 0;
}

/* What a first byte of a UTF-8 character says: how many follow, and between
 * which bounds the next one lies (RFC 3629 4). False when it is none. */
static bool json_utf8_lead(uint8_t c, uint8_t *left, uint8_t *low,
                           uint8_t *most)
{
    *left = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    *low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    *most = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    return c >= 0xC2 && c <= 0xF4;
}

/* The length of the whole and valid character beyond ASCII at `p`, else 0. */
static size_t json_utf8_len(const uint8_t *p, const uint8_t *end)
{
    uint8_t left, low, most;
    size_t i;

    if (!json_utf8_lead(*p, &left, &low, &most) || end - p <= left)
        return 0;
    if (p[1] < low || p[1] > most)
        return 0;
    for (i = 2; i <= left; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return (size_t)left + 1;
}

/* The end of the run of whole characters that a string holds as they are. */
static const uint8_t *json_plain(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        uint64_t word;
        size_t len;

        while (end - p >= 8) {
            memcpy(&word, p, 8);
            if (json_special(word))
                break;
            p += 8;
        }
        while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
            p++;
        if (p == end || *p < 0x80)
            break;
        while (p < end && *p >= 0x80) {
            len = json_utf8_len(p, end);
            if (len == 0)
                return p;
            p += len;
        }
    }
    return p;
}

/* The value of a hexadecimal digit, or -1. */
static int json_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* What a short escape stands for; 0 when it is none. */
static char json_unescape(uint8_t c)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *at = c == 0 ? NULL : strchr(from, c);

    return (char)(at == NULL ? 0 : to[at - from]);
}

/* Stores what stands for a byte in a string, up to 6 bytes, and returns their
 * number: the byte itself, or its escape. */
static size_t json_escape(char c, char *out)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    static const char hex[] = "0123456789abcdef";
    const char *at = c == 0 ? NULL : strchr(from, c);

    if (at == NULL && (uint8_t)c >= 0x20) {
        out[0] = c;
        return 1;
    }
    out[0] = '\\';
    if (at != NULL) {
        out[1] = to[at - from];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[(uint8_t)c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* Stores a code point as UTF-8 and returns its length. */
static size_t json_utf8_put(uint32_t point, char *out)
{
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    size_t extra = (size_t)((point >= 0x80) + (point >= 0x800) +
                            (point >= 0x10000));
    size_t i;

    for (i = extra; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(lead[extra] | point);
    return extra + 1;
}

static bool json_is_high(int32_t unit)
{
    return unit >= 0xD800 && unit < 0xDC00;
}

static bool json_is_low(int32_t unit)
{
    return unit >= 0xDC00 && unit < 0xE000;
}

static uint32_t json_pair(int32_t high, int32_t low)
{
    return (uint32_t)(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00));
}

/* ------------------------------------------------- scanner: what is kept -- */

/* What is done with the value at hand. While it is JSON_ASK, every container
 * that is open is one whose members are asked about, or a split array. */
enum {
    JSON_ASK = 0,
    JSON_SKIPPING,
    JSON_KEEPING,
    JSON_CUTTING,                   /* a string; its quote has been put */
    JSON_STREAMING,                 /* a string */
    JSON_VISITING
};

/* Whether the value at hand is an object's member: not an element, nor the
 * whole text. */
static bool json_in_object(const struct lssb_json *json)
{
    return json->own.depth > 0 &&
        (json->own.nest >> (json->own.depth - 1) & 1) != 0;
}

static void json_note_use(struct lssb_json *json, size_t used)
{
    if (used > json->high)
        json->high = used;
}

/* Leaves the value at hand out, and what remains of it. */
static void json_drop(struct lssb_json *json)
{
    json->overflow = true;
    json->own.len = json->own.mark;
    json->own.mode = JSON_SKIPPING;
}

/* Whether kept text has room for `len` more bytes. */
static bool json_room(const struct lssb_json *json, size_t len)
{
    size_t limit = json->own.size - JSON_RESERVE;

    return json->own.len <= limit && len <= limit - json->own.len;
}

/* Adds to the kept text, which the caller knows has room. */
static void json_store(struct lssb_json *json, const char *bytes, size_t len)
{
    memcpy(json->own.buffer + json->own.len, bytes, len);
    json->own.len += len;
    json_note_use(json, json->own.len);
}

/* Adds to the kept text; what does not fit is dropped with its value. */
static void json_keep(struct lssb_json *json, const char *bytes, size_t len)
{
    if (json->own.mode == JSON_SKIPPING)
        return;
    if (json_room(json, len))
        json_store(json, bytes, len);
    else
        json_drop(json);
}

/* The same, with the escapes that a string needs. */
static void json_keep_escaped(struct lssb_json *json, const char *bytes,
                              size_t len)
{
    char escaped[6];
    size_t i;

    for (i = 0; i < len; i++)
        json_keep(json, escaped, json_escape(bytes[i], escaped));
}

/* Begins what is kept of a member: a comma if one stands before it, and its
 * name. Of an element, and of the whole text, nothing. */
static void json_keep_name(struct lssb_json *json)
{
    size_t len = json->own.len;

    if (!json_in_object(json))
        return;
    if (json->own.buffer[len - 1] != '{')
        json_keep(json, ",", 1);
    json_keep(json, "\"", 1);
    json_keep_escaped(json, json->key, json->own.key_len);
    json_keep(json, "\":", 2);
}

/* Adds text to a string that may be cut, as much of it as may stand there.
 * Once something was left out, nothing else is added. */
static void json_keep_cut(struct lssb_json *json, const char *bytes,
                          size_t len)
{
    size_t room = json->own.part - json->own.len;

    if (len > room) {
        while (room > 0 && ((uint8_t)bytes[room] & 0xC0) == 0x80)
            room--;
        len = room;
        json->own.part = json->own.len + len;
    }
    json_store(json, bytes, len);
}

/* The same for one character that may need an escape. */
static void json_keep_cut_char(struct lssb_json *json, const char *bytes,
                               size_t len)
{
    char escaped[6];

    if (len == 1) {
        len = json_escape(bytes[0], escaped);
        bytes = escaped;
    }
    if (len > json->own.part - json->own.len)
        json->own.part = json->own.len;
    else
        json_store(json, bytes, len);
}

/* Begins a string that may be cut; room for its closing quote is made sure
 * of. */
static void json_begin_cut(struct lssb_json *json)
{
    json->own.mode = JSON_KEEPING;
    json_keep_name(json);
    json_keep(json, "\"\"", 2);
    if (json->own.mode == JSON_SKIPPING)
        return;
    json->own.len--;
    json->own.mode = JSON_CUTTING;
    json->own.part = json->own.len +
        (json->own.size - JSON_RESERVE - json->own.len - 1) / 2;
}

/* ---------------------------------------------- scanner: what is visited -- */

/* The path lies behind the kept text: `part` bytes and, while a value is
 * gathered, a NUL, `value` bytes and a NUL. */
static char *json_path(const struct lssb_json *json)
{
    return json->own.buffer + json->own.len;
}

/* Whether the free end of the buffer has room for `len` more bytes, a path's
 * NUL and a value's. */
static bool json_visit_room(const struct lssb_json *json, size_t len)
{
    return len <= json->own.size - json->own.len - json->own.part -
        json->own.value - 2;
}

static void json_path_add(struct lssb_json *json, const char *bytes,
                          size_t len)
{
    if (json->own.mode != JSON_VISITING)
        return;
    if (!json_visit_room(json, len)) {
        json_drop(json);
        return;
    }
    memcpy(json_path(json) + json->own.part, bytes, len);
    json->own.part += len;
}

/* Adds a part of a name, with the escapes that a path needs (RFC 6901 3). */
static void json_path_name(struct lssb_json *json, const char *bytes,
                           size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (bytes[i] == '~')
            json_path_add(json, "~0", 2);
        else if (bytes[i] == '/')
            json_path_add(json, "~1", 2);
        else if (bytes[i] == '\0')
            json_path_add(json, "\xEF\xBF\xBD", 3);
        else
            json_path_add(json, bytes + i, 1);
    }
}

/* Takes the last segment off. */
static void json_path_pop(struct lssb_json *json)
{
    const char *path = json_path(json);

    while (json->own.part > 0 && path[--json->own.part] != '/')
        ;
}

/* Counts the last segment, an index, up. */
static void json_path_count(struct lssb_json *json)
{
    char *path = json_path(json);
    size_t i = json->own.part;

    while (path[i - 1] == '9')
        path[--i] = '0';
    if (path[i - 1] != '/') {
        path[i - 1]++;
        return;
    }
    path[i] = '1';
    json_path_add(json, "0", 1);
}

/* Begins a visit: the path is that of the member at hand, seen from the top or
 * from the element that holds it. */
static void json_begin_visit(struct lssb_json *json)
{
    size_t level = json->own.levels;

    json->own.mode = JSON_VISITING;
    json->own.part = json->own.value = 0;
    while (level > 1 && (json->own.nest >> (level - 2) & 1) != 0)
        level--;
    for (; level < json->own.levels; level++) {
        json_path_add(json, "/", 1);
        json_path_name(json, json->own.names[level],
                       strlen(json->own.names[level]));
    }
    json_path_add(json, "/", 1);
    json_path_name(json, json->key, json->own.key_len);
}

static void json_visit_add(struct lssb_json *json, const char *bytes,
                           size_t len)
{
    if (!json_visit_room(json, len)) {
        json_drop(json);
        return;
    }
    memcpy(json_path(json) + json->own.part + 1 + json->own.value, bytes, len);
    json->own.value += len;
}

/* Tells a visited value. */
static enum lssb_json_event json_tell_value(struct lssb_json *json)
{
    char *path = json_path(json);
    char *value = path + json->own.part + 1;

    path[json->own.part] = '\0';
    value[json->own.value] = '\0';
    json->path = path;
    json->slice = value;
    json->slice_len = json->own.value;
    json_note_use(json, json->own.len + json->own.part + json->own.value + 2);
    json->own.value = 0;
    return LSSB_JSON_VALUE;
}

/* --------------------------------------------- scanner: what is streamed -- */

/* Room for the slice that is gathered behind the kept text. */
static size_t json_slice_room(const struct lssb_json *json)
{
    return json->own.size - json->own.len - json->own.part;
}

static void json_begin_stream(struct lssb_json *json)
{
    json->own.mode = JSON_STREAMING;
    json->own.part = 0;
}

/* Tells what was gathered. */
static enum lssb_json_event json_tell_slice(struct lssb_json *json)
{
    json->slice = json->own.buffer + json->own.len;
    json->slice_len = json->own.part;
    json_note_use(json, json->own.len + json->own.part);
    json->own.part = 0;
    return LSSB_JSON_SLICE;
}

static void json_gather(struct lssb_json *json, const char *bytes, size_t len)
{
    memcpy(json->own.buffer + json->own.len + json->own.part, bytes, len);
    json->own.part += len;
}

/* --------------------------------------------- scanner: values and names -- */

enum {
    JSON_VALUE = 0,                 /* a value must come */
    JSON_FIRST_ELEMENT,             /* a value, or the end of the array */
    JSON_FIRST_NAME,                /* a name, or the end of the object */
    JSON_NAME,
    JSON_COLON,
    JSON_AFTER,                     /* a value stood there: comma or end */
    JSON_STRING,
    JSON_ESCAPE,                    /* behind a backslash */
    JSON_HEX,                       /* inside a \u escape */
    JSON_UTF8,                      /* inside a character */
    JSON_LITERAL,
    JSON_MINUS,                     /* numbers, by what stood last */
    JSON_ZERO,
    JSON_INTEGER,
    JSON_POINT,
    JSON_FRACTION,
    JSON_E,
    JSON_E_SIGN,
    JSON_EXPONENT,
    JSON_COMPLETE,
    JSON_WRONG
};

static enum lssb_json_event json_wrong(struct lssb_json *json,
                                       const char *message)
{
    json->wrong = message;
    json->own.state = JSON_WRONG;
    return LSSB_JSON_WRONG;
}

/* Tells what was kept from `mark` on, and gives its room back. */
static enum lssb_json_event json_tell_text(struct lssb_json *json, size_t mark,
                                           enum lssb_json_event event)
{
    json->text = json->own.buffer + mark;
    json->text_len = json->own.len - mark;
    json->own.buffer[json->own.len] = '\0';
    json->own.len = mark;
    return event;
}

/* Ends a value that was asked about, or an element, or the whole text. */
static enum lssb_json_event json_taken(struct lssb_json *json)
{
    size_t level = json->own.levels;

    json->own.mode = JSON_ASK;
    if (json->own.depth == 0) {
        json->own.state = JSON_COMPLETE;
        return json_tell_text(json, 0, LSSB_JSON_DONE);
    }
    json->own.state = JSON_AFTER;
    if (json_in_object(json))
        return LSSB_JSON_MORE;
    strcpy(json->key, json->own.names[level - 1]);
    return json_tell_text(json, json->own.marks[level - 1], LSSB_JSON_ELEMENT);
}

/* Ends a value; `scalar` if it is no array or object. */
static enum lssb_json_event json_ended(struct lssb_json *json, bool scalar)
{
    enum lssb_json_event event = LSSB_JSON_MORE;
    bool visiting = json->own.mode == JSON_VISITING;

    if (visiting && scalar)
        event = json_tell_value(json);
    if (json->own.mode == JSON_STREAMING)
        event = LSSB_JSON_SLICE_END;
    if (json->own.depth == json->own.mode_depth) {
        /* What tells an event of its own is a member, never an element. */
        enum lssb_json_event taken = json_taken(json);

        return event != LSSB_JSON_MORE ? event : taken;
    }
    if (visiting && json_in_object(json))
        json_path_pop(json);
    json->own.state = JSON_AFTER;
    return event;
}

/* How many entered objects lead to the level at hand, itself included. */
static size_t json_entered(const struct lssb_json *json)
{
    size_t level = json->own.levels;

    while (level > 1 && (json->own.nest >> (level - 2) & 1) != 0)
        level--;
    return json->own.levels - level + 1;
}

/* Ends a name: what becomes of the member is known now. */
static void json_named(struct lssb_json *json)
{
    json->own.state = JSON_COLON;
    if (json->own.mode != JSON_ASK)
        return;
    json->key[json->own.key_len] = '\0';
    json->own.take = LSSB_JSON_KEEP;
    if (json->own.nameless)
        json->own.take = LSSB_JSON_SKIP;
    else if (json->choose != NULL)
        json->own.take = (uint8_t)json->choose(
            json->ctx, (int)json_entered(json),
            json->own.names[json->own.levels - 1], json->key);
}

/* Adds a part of a name that is asked about. */
static void json_key_add(struct lssb_json *json, const char *bytes, size_t len)
{
    if (len > (size_t)(LSSB_JSON_KEY - json->own.key_len) ||
        memchr(bytes, 0, len) != NULL)
        json->own.nameless = true;
    if (json->own.nameless)
        return;
    memcpy(json->key + json->own.key_len, bytes, len);
    json->own.key_len = (uint8_t)(json->own.key_len + len);
}

/* Begins to keep the value at hand; its first byte comes next. */
static void json_begin_keep(struct lssb_json *json)
{
    json->own.mode = JSON_KEEPING;
    json_keep_name(json);
}

/* Opens an object that is asked about, or an array that is split. The kept
 * bracket must fit, or all of it is left out. */
static void json_open_level(struct lssb_json *json, char c)
{
    const char *name = json_in_object(json) ? json->key :
        json->own.levels > 0 ? json->own.names[json->own.levels - 1] : "";

    json_begin_keep(json);
    json_keep(json, &c, 1);
    if (json->own.mode == JSON_SKIPPING)
        return;
    json->own.mode = JSON_ASK;
    memmove(json->own.names[json->own.levels], name, strlen(name) + 1);
    json->own.marks[json->own.levels++] = json->own.len;
}

/* What is to be done with a value whose first byte is `c`: a member's was
 * chosen; of an element, and of the whole text, it depends on what it is. */
static enum lssb_json_take json_take_of(const struct lssb_json *json, char c)
{
    bool split = json->own.depth == 0 && json->choose != NULL;

    if (json_in_object(json))
        return (enum lssb_json_take)json->own.take;
    return c == '{' || (c == '[' && split) ? LSSB_JSON_ENTER : LSSB_JSON_KEEP;
}

/* Begins a value that is asked about. */
static void json_begin_taken(struct lssb_json *json, char c)
{
    enum lssb_json_take take = json_take_of(json, c);
    bool enter = take == LSSB_JSON_ENTER;

    json->own.mark = json->own.len;
    json->own.mode_depth = json->own.depth;
    if (take == LSSB_JSON_SKIP)
        json->own.mode = JSON_SKIPPING;
    else if (take == LSSB_JSON_VISIT)
        json_begin_visit(json);
    else if (take == LSSB_JSON_STREAM && c == '"')
        json_begin_stream(json);
    else if ((take == LSSB_JSON_CUT || enter) && c == '"')
        json_begin_cut(json);
    else if (json->own.levels < LSSB_JSON_LEVELS &&
             ((enter && c == '{') ||
              ((enter || take == LSSB_JSON_SPLIT) && c == '[')))
        json_open_level(json, c);
    else
        json_begin_keep(json);
}

/* A byte that stands for itself: of a number or a literal, or a bracket, a
 * comma, a colon of what is kept. */
static void json_raw(struct lssb_json *json, char c)
{
    if (json->own.mode == JSON_KEEPING)
        json_keep(json, &c, 1);
}

static void json_scalar_byte(struct lssb_json *json, char c)
{
    json_raw(json, c);
    if (json->own.mode == JSON_VISITING)
        json_visit_add(json, &c, 1);
}

static void json_begin_string(struct lssb_json *json, bool is_name)
{
    json->own.state = JSON_STRING;
    json->own.is_name = is_name;
    json->own.high = 0;
    json->own.key_len = 0;
    json->own.nameless = false;
    json_raw(json, '"');
    if (is_name && json->own.mode == JSON_VISITING)
        json_path_add(json, "/", 1);
}

/* Opens an array or object, once it is known what becomes of it. */
static enum lssb_json_event json_open(struct lssb_json *json, char c)
{
    uint64_t bit = UINT64_C(1) << json->own.depth;

    json_raw(json, c);
    json->own.nest &= ~bit;
    if (c == '{')
        json->own.nest |= bit;
    json->own.depth++;
    json->own.state = c == '{' ? JSON_FIRST_NAME : JSON_FIRST_ELEMENT;
    return LSSB_JSON_MORE;
}

/* Closes the array or object at hand. */
static enum lssb_json_event json_close(struct lssb_json *json, char c)
{
    if (json->own.mode == JSON_VISITING && c == ']' &&
        json->own.state == JSON_AFTER)
        json_path_pop(json);
    json_raw(json, c);
    json->own.depth--;
    if (json->own.mode != JSON_ASK)
        return json_ended(json, false);
    json_store(json, &c, 1);        /* into the reserve, if need be */
    json->own.levels--;
    return json_taken(json);
}

static const char *const json_literals[] = {"true", "false", "null"};

/* Begins a value with its first byte. */
static enum lssb_json_event json_begin(struct lssb_json *json, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool nested = c == '{' || c == '[';
    uint8_t literal = c == 't' ? 0 : c == 'f' ? 1 : 2;

    if (!digit && !nested && (c == 0 || strchr("\"-tfn", c) == NULL))
        return json_wrong(json, "A value was expected in the JSON text");
    if (nested && json->own.depth == LSSB_JSON_DEPTH)
        return json_wrong(json, "The JSON text is nested too deeply");
    if (json->own.mode == JSON_ASK)
        json_begin_taken(json, c);
    else if (json->own.state == JSON_FIRST_ELEMENT)
        json_path_add(json, "/0", 2);
    if (nested)
        return json_open(json, c);
    if (c == '"') {
        json_begin_string(json, false);
        return LSSB_JSON_MORE;
    }
    json_scalar_byte(json, c);
    json->own.literal = literal;
    json->own.left = 1;
    json->own.state = c == '-' ? JSON_MINUS : c == '0' ? JSON_ZERO :
        digit ? JSON_INTEGER : JSON_LITERAL;
    return LSSB_JSON_MORE;
}

/* A byte of true, false or null, behind the first. */
static enum lssb_json_event json_literal(struct lssb_json *json, char c)
{
    const char *literal = json_literals[json->own.literal];

    if (c != literal[json->own.left])
        return json_wrong(json, "The JSON text has a word that is not true, "
                                "false or null");
    json_scalar_byte(json, c);
    json->own.left++;
    if (literal[json->own.left] != '\0')
        return LSSB_JSON_MORE;
    return json_ended(json, true);
}

/* The state of a number behind one more byte; JSON_WRONG if it has no place
 * in it. */
static uint8_t json_number_state(uint8_t state, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool e = c == 'e' || c == 'E';

    switch (state) {
    case JSON_MINUS:
        return c == '0' ? JSON_ZERO : digit ? JSON_INTEGER : JSON_WRONG;
    case JSON_ZERO:
    case JSON_INTEGER:
        if (digit && state == JSON_INTEGER)
            return JSON_INTEGER;
        return c == '.' ? JSON_POINT : e ? JSON_E : JSON_WRONG;
    case JSON_POINT:
        return digit ? JSON_FRACTION : JSON_WRONG;
    case JSON_FRACTION:
        return digit ? JSON_FRACTION : e ? JSON_E : JSON_WRONG;
    case JSON_E:
        if (c == '+' || c == '-')
            return JSON_E_SIGN;
        return digit ? JSON_EXPONENT : JSON_WRONG;
    default:
        return digit ? JSON_EXPONENT : JSON_WRONG;
    }
}

/* Whether a number may end in this state. */
static bool json_number_whole(uint8_t state)
{
    return state == JSON_ZERO || state == JSON_INTEGER ||
        state == JSON_FRACTION || state == JSON_EXPONENT;
}

/* A byte of a number, or the one behind it, which is not consumed. */
static enum lssb_json_event json_number(struct lssb_json *json, char c,
                                        size_t *used)
{
    uint8_t state = json_number_state(json->own.state, c);

    if (state != JSON_WRONG) {
        json_scalar_byte(json, c);
        json->own.state = state;
        return LSSB_JSON_MORE;
    }
    *used = 0;
    if (json_number_whole(json->own.state))
        return json_ended(json, true);
    return json_wrong(json, "A digit was expected in a number of the JSON "
                            "text");
}

/* ----------------------------------------------------- scanner: strings -- */

/* Whole characters of the string at hand go where they belong. `plain`: none
 * of them needs an escape; else it is a single one. A slice has room. */
static void json_string_bytes(struct lssb_json *json, const char *bytes,
                              size_t len, bool plain)
{
    switch (json->own.mode) {
    case JSON_ASK:
        json_key_add(json, bytes, len);
        break;
    case JSON_KEEPING:
        if (plain)
            json_keep(json, bytes, len);
        else
            json_keep_escaped(json, bytes, len);
        break;
    case JSON_CUTTING:
        if (plain)
            json_keep_cut(json, bytes, len);
        else
            json_keep_cut_char(json, bytes, len);
        break;
    case JSON_STREAMING:
        json_gather(json, bytes, len);
        break;
    case JSON_VISITING:
        if (json->own.is_name)
            json_path_name(json, bytes, len);
        else
            json_visit_add(json, bytes, len);
        break;
    default:
        break;
    }
}

static void json_point(struct lssb_json *json, uint32_t point)
{
    char bytes[4];

    json_string_bytes(json, bytes, json_utf8_put(point, bytes), false);
}

/* A high surrogate was not followed by a low one. */
static void json_flush_high(struct lssb_json *json)
{
    if (json->own.high != 0)
        json_point(json, 0xFFFD);
    json->own.high = 0;
}

/* Ends a \u escape: a character, half of one, or what stands for neither. */
static void json_unit(struct lssb_json *json, int32_t unit)
{
    if (json->own.high != 0 && json_is_low(unit)) {
        json_point(json, json_pair(json->own.high, unit));
        json->own.high = 0;
        return;
    }
    json_flush_high(json);
    if (json_is_high(unit))
        json->own.high = (uint16_t)unit;
    else
        json_point(json, json_is_low(unit) ? 0xFFFD : (uint32_t)unit);
}

/* The byte behind a backslash. */
static enum lssb_json_event json_escape_byte(struct lssb_json *json, uint8_t c)
{
    char plain = json_unescape(c);

    if (plain == 0 && c != 'u')
        return json_wrong(json, "The JSON text has an unknown escape");
    json->own.state = c == 'u' ? JSON_HEX : JSON_STRING;
    json->own.unit = 0;
    json->own.left = 4;
    if (c == 'u')
        return LSSB_JSON_MORE;
    json_flush_high(json);
    json_string_bytes(json, &plain, 1, false);
    return LSSB_JSON_MORE;
}

static enum lssb_json_event json_hex_byte(struct lssb_json *json, uint8_t c)
{
    int digit = json_hex(c);

    if (digit < 0)
        return json_wrong(json, "Four hexadecimal digits were expected in an "
                                "escape of the JSON text");
    json->own.unit = (uint16_t)(json->own.unit << 4 | digit);
    if (--json->own.left > 0)
        return LSSB_JSON_MORE;
    json->own.state = JSON_STRING;
    json_unit(json, json->own.unit);
    return LSSB_JSON_MORE;
}

/* The first byte of a character that the input may have cut. */
static enum lssb_json_event json_lead_byte(struct lssb_json *json, uint8_t c)
{
    if (!json_utf8_lead(c, &json->own.left, &json->own.low, &json->own.most))
        return json_wrong(json, "A string of the JSON text is not UTF-8");
    json->own.small[0] = (char)c;
    json->own.small_len = 1;
    json->own.state = JSON_UTF8;
    return LSSB_JSON_MORE;
}

/* A later byte of it. */
static enum lssb_json_event json_utf8_byte(struct lssb_json *json, uint8_t c)
{
    if (c < json->own.low || c > json->own.most)
        return json_wrong(json, "A string of the JSON text is not UTF-8");
    json->own.low = 0x80;
    json->own.most = 0xBF;
    json->own.small[json->own.small_len++] = (char)c;
    if (--json->own.left > 0)
        return LSSB_JSON_MORE;
    json->own.state = JSON_STRING;
    json_string_bytes(json, json->own.small, json->own.small_len, true);
    return LSSB_JSON_MORE;
}

/* A run of a streamed string: told where it stands if it is long or nothing
 * is gathered that it could join, else gathered as far as there is room.
 * `last`: it reaches the end of the input or of the string. */
static enum lssb_json_event json_stream_run(struct lssb_json *json,
                                            const char *run, size_t *len,
                                            bool last)
{
    bool is_long = *len >= JSON_LONG_RUN;
    size_t room = json_slice_room(json);

    if (json->own.part == 0 && (is_long || last)) {
        json->slice = run;
        json->slice_len = *len;
        return LSSB_JSON_SLICE;
    }
    if (is_long) {
        *len = 0;
        return json_tell_slice(json);
    }
    if (*len > room) {
        while (((uint8_t)run[room] & 0xC0) == 0x80)
            room--;
        *len = room;
    }
    json_gather(json, run, *len);
    return LSSB_JSON_MORE;
}

/* The closing quote. What was gathered is told before it is consumed. */
static enum lssb_json_event json_string_end(struct lssb_json *json,
                                            size_t *used)
{
    if (json->own.mode == JSON_STREAMING && json->own.part > 0) {
        *used = 0;
        return json_tell_slice(json);
    }
    json_raw(json, '"');
    if (json->own.mode == JSON_CUTTING)
        json_store(json, "\"", 1);
    if (!json->own.is_name)
        return json_ended(json, true);
    json_named(json);
    return LSSB_JSON_MORE;
}

/* Inside a string, between characters. */
static enum lssb_json_event json_string(struct lssb_json *json,
                                        const uint8_t *p, const uint8_t *end,
                                        size_t *used)
{
    const uint8_t *stop;

    if (*p == '\\') {
        json->own.state = JSON_ESCAPE;
        return LSSB_JSON_MORE;
    }
    json_flush_high(json);
    if (*p == '"')
        return json_string_end(json, used);
    if (*p < 0x20)
        return json_wrong(json, "A control character in a string of the JSON "
                                "text is not escaped");
    stop = json_plain(p, end);
    if (stop == p)
        return json_lead_byte(json, *p);
    *used = (size_t)(stop - p);
    if (json->own.mode == JSON_STREAMING)
        return json_stream_run(json, (const char *)p, used,
                               stop == end || *stop == '"');
    json_string_bytes(json, (const char *)p, *used, true);
    return LSSB_JSON_MORE;
}

/* ---------------------------------------------- scanner: the whole text -- */

/* A byte between the tokens of a text. */
static enum lssb_json_event json_between(struct lssb_json *json, char c)
{
    bool object = json_in_object(json);

    switch (json->own.state) {
    case JSON_FIRST_ELEMENT:
        if (c == ']')
            return json_close(json, c);
        return json_begin(json, c);
    case JSON_FIRST_NAME:
    case JSON_NAME:
        if (c == '}' && json->own.state == JSON_FIRST_NAME)
            return json_close(json, c);
        if (c != '"')
            return json_wrong(json, "A name was expected in an object of the "
                                    "JSON text");
        json_begin_string(json, true);
        return LSSB_JSON_MORE;
    case JSON_COLON:
        if (c != ':')
            return json_wrong(json, "A colon was expected behind a name of "
                                    "the JSON text");
        json_raw(json, c);
        json->own.state = JSON_VALUE;
        return LSSB_JSON_MORE;
    case JSON_AFTER:
        if (c == (object ? '}' : ']'))
            return json_close(json, c);
        if (c != ',')
            return json_wrong(json, object
                ? "A comma or '}' was expected in an object of the JSON text"
                : "A comma or ']' was expected in an array of the JSON text");
        json_raw(json, c);
        if (!object && json->own.mode == JSON_VISITING)
            json_path_count(json);
        json->own.state = object ? JSON_NAME : JSON_VALUE;
        return LSSB_JSON_MORE;
    case JSON_COMPLETE:
        return json_wrong(json, "Something follows the end of the JSON text");
    default:
        return json_begin(json, c);
    }
}

/* Consumes at least a byte, or ends a number or a slice in front of one. */
static enum lssb_json_event json_step(struct lssb_json *json, const uint8_t *p,
                                      const uint8_t *end, size_t *used)
{
    *used = 1;
    if (json->own.mode == JSON_STREAMING &&
        json_slice_room(json) < JSON_STEP) {
        *used = 0;
        return json_tell_slice(json);
    }
    switch (json->own.state) {
    case JSON_STRING:
        return json_string(json, p, end, used);
    case JSON_ESCAPE:
        return json_escape_byte(json, *p);
    case JSON_HEX:
        return json_hex_byte(json, *p);
    case JSON_UTF8:
        return json_utf8_byte(json, *p);
    case JSON_LITERAL:
        return json_literal(json, (char)*p);
    case JSON_MINUS:
    case JSON_ZERO:
    case JSON_INTEGER:
    case JSON_POINT:
    case JSON_FRACTION:
    case JSON_E:
    case JSON_E_SIGN:
    case JSON_EXPONENT:
        return json_number(json, (char)*p, used);
    case JSON_WRONG:
        return LSSB_JSON_WRONG;
    default:
        if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
            return LSSB_JSON_MORE;
        return json_between(json, (char)*p);
    }
}

void lssb_json_start(struct lssb_json *json, char *buffer, size_t size)
{
    enum lssb_json_take (*choose)(void *, int, const char *, const char *) =
        json->choose;
    void *ctx = json->ctx;

    memset(json, 0, sizeof *json);
    json->choose = choose;
    json->ctx = ctx;
    json->own.buffer = buffer;
    json->own.size = size;
}

enum lssb_json_event lssb_json_next(struct lssb_json *json,
                                    const uint8_t *bytes, size_t len,
                                    size_t *used)
{
    enum lssb_json_event event = LSSB_JSON_MORE;
    size_t step, i = 0;

    while (event == LSSB_JSON_MORE && i < len) {
        event = json_step(json, bytes + i, bytes + len, &step);
        if (event == LSSB_JSON_WRONG)
            break;
        i += step;
    }
    if (json->own.state == JSON_WRONG)
        event = LSSB_JSON_WRONG;
    if ((event == LSSB_JSON_MORE || event == LSSB_JSON_WRONG) &&
        json->own.mode == JSON_STREAMING && json->own.part > 0)
        event = json_tell_slice(json);
    json->at += i;
    *used = i;
    return event;
}

enum lssb_json_event lssb_json_end(struct lssb_json *json)
{
    if (json->own.depth == 0 && json_number_whole(json->own.state))
        return json_ended(json, true);
    if (json->own.state == JSON_COMPLETE)
        return LSSB_JSON_DONE;
    if (json->own.state == JSON_WRONG)
        return LSSB_JSON_WRONG;
    return json_wrong(json, json->at == 0 ? "The JSON text is empty"
                                          : "The JSON text ends too early");
}

/* ------------------------------------------------- reading what is kept -- */

/* The unit of a \u escape at `p`, or -1. */
static int32_t json_escaped_unit(const char *p, const char *end)
{
    int32_t unit = 0;
    int i, digit;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (i = 2; i < 6; i++) {
        digit = json_hex((uint8_t)p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Decodes a \u escape, or a pair of them. 0: it is none. */
static size_t json_decode_unit(const char **p, const char *end, char *out)
{
    int32_t unit = json_escaped_unit(*p, end), low;

    if (unit < 0)
        return 0;
    *p += 6;
    low = json_escaped_unit(*p, end);
    if (json_is_high(unit) && json_is_low(low)) {
        *p += 6;
        return json_utf8_put(json_pair(unit, low), out);
    }
    if (json_is_high(unit) || json_is_low(unit))
        unit = 0xFFFD;
    return json_utf8_put((uint32_t)unit, out);
}

/* Decodes a character of a raw string's inside, moves on behind it and returns
 * its length as UTF-8; 0 when it is none. */
static size_t json_decode_char(const char **p, const char *end, char *out)
{
    uint8_t c = (uint8_t)**p;
    size_t len = 1;

    if (c == '\\' && end - *p >= 2 && json_unescape((uint8_t)(*p)[1]) != 0) {
        out[0] = json_unescape((uint8_t)(*p)[1]);
        *p += 2;
        return 1;
    }
    if (c == '\\')
        return json_decode_unit(p, end, out);
    if (c >= 0x80)
        len = json_utf8_len((const uint8_t *)*p, (const uint8_t *)end);
    if (c < 0x20 || c == '"' || len == 0)
        return 0;
    memcpy(out, *p, len);
    *p += len;
    return len;
}

size_t lssb_json_decode(const char *raw, size_t raw_len, char *to, size_t size)
{
    size_t whole = 0, kept = 0, len;
    const char *p, *end;
    char c[4];

    if (size > 0)
        to[0] = '\0';
    if (raw_len < 2 || raw[0] != '"' || raw[raw_len - 1] != '"')
        return SIZE_MAX;
    end = raw + raw_len - 1;
    for (p = raw + 1; p < end; whole += len) {
        len = json_decode_char(&p, end, c);
        if (len == 0 && size > 0)
            to[0] = '\0';
        if (len == 0)
            return SIZE_MAX;
        if (kept == whole && len < size - kept && size > 0) {
            memcpy(to + kept, c, len);
            kept += len;
        }
    }
    if (size > 0)
        to[kept] = '\0';
    return whole;
}

/* Whether the inside of a raw string is that name. `pointer`: the name is
 * written as a path has it, "~1" for '/' and "~0" for '~'. */
static bool json_is_name(const char *p, const char *end, const char *name,
                         size_t name_len, bool pointer)
{
    char c[4];
    const char *as;
    size_t len;

    while (p < end) {
        as = c;
        len = json_decode_char(&p, end, c);
        if (pointer && len == 1 && (c[0] == '~' || c[0] == '/')) {
            as = c[0] == '~' ? "~0" : "~1";
            len = 2;
        }
        if (len == 0 || len > name_len || memcmp(as, name, len) != 0)
            return false;
        name += len;
        name_len -= len;
    }
    return name_len == 0;
}

/* The three below pass over blanks, a string (quotes included) and a value.
 * What is no JSON ends them somewhere, never beyond the end. */
static const char *json_pass_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const char *json_pass_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\' && end - p > 1)
            p++;
    }
    return p < end ? p + 1 : end;
}

static const char *json_pass(const char *p, const char *end)
{
    size_t depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = json_pass_string(p, end);
            if (depth == 0)
                return p;
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (depth == 0 && strchr(",:]} \n\r\t", *p) != NULL)
            return p;
        else if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return end;
}

/* A stretch of a text: a value, or a step of a path. */
struct json_span {
    const char *at;
    const char *end;
};

/* Finds the last member of that name in an object. */
static bool json_find_member(struct json_span *value, struct json_span name)
{
    const char *p = json_pass_blanks(value->at + 1, value->end);
    const char *end = value->end, *member;
    struct json_span found = {NULL, NULL};
    bool same;

    while (p < end && *p == '"') {
        member = p + 1;
        p = json_pass_string(p, end);
        same = json_is_name(member, p - 1, name.at,
                            (size_t)(name.end - name.at), true);
        p = json_pass_blanks(p, end);
        if (p == end || *p != ':')
            return false;
        member = json_pass_blanks(p + 1, end);
        p = json_pass(member, end);
        if (same) {
            found.at = member;
            found.end = p;
        }
        p = json_pass_blanks(p, end);
        if (p < end && *p == ',')
            p = json_pass_blanks(p + 1, end);
    }
    *value = found;
    return found.at != NULL;
}

/* Finds an element of an array by its index. */
static bool json_find_element(struct json_span *value, struct json_span name)
{
    const char *p = json_pass_blanks(value->at + 1, value->end);
    const char *end = value->end;
    uint64_t index;

    if (!lssb_parse_u64(name.at, (size_t)(name.end - name.at), &index))
        return false;
    while (p < end && *p != ']') {
        value->at = p;
        value->end = p = json_pass(p, end);
        if (index-- == 0)
            return true;
        p = json_pass_blanks(p, end);
        if (p == end || *p != ',')
            return false;
        p = json_pass_blanks(p + 1, end);
    }
    return false;
}

const char *lssb_json_find(const char *text, size_t len, const char *path,
                           size_t *value_len)
{
    struct json_span value, name;
    bool found;

    value.at = json_pass_blanks(text, text + len);
    value.end = json_pass(value.at, text + len);
    while (*path != '\0') {
        name.at = path;
        name.end = strchr(path, '/');
        if (name.end == NULL)
            name.end = path + strlen(path);
        path = *name.end == '/' ? name.end + 1 : name.end;
        if (value.at == value.end)
            return NULL;
        found = *value.at == '{' ? json_find_member(&value, name)
            : *value.at == '[' && json_find_element(&value, name);
        if (!found)
            return NULL;
    }
    *value_len = (size_t)(value.end - value.at);
    return *value_len > 0 ? value.at : NULL;
}

/* ------------------------------------------------------------- integers -- */

static const char *json_pass_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Reads an exponent behind its letter; false when it is none. What is larger
 * than any number's digits could make up for stays that large. */
static bool json_exponent(const char *p, const char *end, int64_t *exponent)
{
    bool negative = p < end && *p == '-';
    int64_t n = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || json_pass_digits(p, end) != end)
        return false;
    for (; p < end; p++) {
        if (n < INT64_C(1000000000000000))
            n = n * 10 + (*p - '0');
    }
    *exponent = negative ? -n : n;
    return true;
}

/* Takes one more digit in; false when the number leaves its range. */
static bool json_digit(uint64_t *n, char digit, uint64_t most)
{
    uint64_t d = (uint64_t)(digit - '0');

    if (*n > (most - d) / 10)
        return false;
    *n = *n * 10 + d;
    return true;
}

/* The digits as they stand, a point among them or not, with the decimal point
 * moved to behind the first `point` of them. */
static bool json_scale(const char *p, const char *end, int64_t point,
                       uint64_t most, uint64_t *n)
{
    *n = 0;
    for (; p < end; p++) {
        if (*p == '.')
            continue;
        if (point > 0 ? !json_digit(n, *p, most) : *p != '0')
            return false;
        point--;
    }
    for (; point > 0 && *n > 0; point--) {
        if (!json_digit(n, '0', most))
            return false;
    }
    return true;
}

bool lssb_json_integer(const char *raw, size_t raw_len, int64_t *number)
{
    const char *p = raw, *end = raw + raw_len, *digits, *digits_end;
    int64_t whole, exponent = 0;
    bool negative = p < end && *p == '-';
    uint64_t most = (uint64_t)INT64_MAX + negative, n;

    digits = p + negative;
    p = json_pass_digits(digits, end);
    whole = p - digits;
    if (whole == 0 || (whole > 1 && *digits == '0'))
        return false;
    if (p < end && *p == '.') {
        p = json_pass_digits(p + 1, end);
        if (p[-1] == '.')
            return false;
    }
    digits_end = p;
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (!json_exponent(p + 1, end, &exponent))
            return false;
        p = end;
    }
    if (p != end || !json_scale(digits, digits_end, whole + exponent, most, &n))
        return false;
    *number = !negative ? (int64_t)n : n == 0 ? 0 : -(int64_t)(n - 1) - 1;
    return true;
}

/* --------------------------------------------------------------- tables -- */

/* Finds the last member of that name among an object's tokens; its raw text,
 * or NULL. A token's end lies in front of every token that is not in it. */
static const char *json_token(const char *text, const jsmntok_t *tokens,
                              int count, const char *key, size_t *raw_len)
{
    const char *raw = NULL;
    int i = 1, quotes;

    while (i + 1 < count && tokens[i + 1].end <= tokens[0].end) {
        const jsmntok_t *name = tokens + i, *value = name + 1;

        if (name->type == JSMN_STRING && name->size == 1 &&
            json_is_name(text + name->start, text + name->end, key,
                         strlen(key), false)) {
            quotes = value->type == JSMN_STRING;
            raw = text + value->start - quotes;
            *raw_len = (size_t)(value->end - value->start + 2 * quotes);
        }
        for (i++; i < count && tokens[i].start < value->end; i++)
            ;
    }
    return raw;
}

static bool json_is_word(const char *raw, size_t raw_len, const char *word)
{
    return raw_len == strlen(word) && memcmp(raw, word, raw_len) == 0;
}

/* Sets a text; it stays empty when it is to be exact and cannot be. */
static lssb_status json_set_text(const struct lssb_json_member *member,
                                 const char *raw, size_t raw_len, char *to)
{
    size_t whole = lssb_json_decode(raw, raw_len, to, member->size);
    lssb_status status = LSSB_OK;

    if (member->kind == LSSB_JSON_TEXT_CUT || whole == SIZE_MAX)
        return LSSB_OK;
    if (whole >= member->size)
        status = LSSB_E_TOO_LONG;
    else if (strlen(to) != whole)
        status = LSSB_E_PROTOCOL;
    if (status != LSSB_OK)
        to[0] = '\0';
    return status;
}

/* Sets one member of a struct from a raw value; raw_len 0: it is missing. */
static lssb_status json_set(const struct lssb_json_member *member,
                            const char *raw, size_t raw_len, void *out)
{
    char *to = (char *)out + member->offset;
    int64_t number = LSSB_UNKNOWN;
    int32_t small = LSSB_UNKNOWN;
    bool is_true = json_is_word(raw, raw_len, "true");
    bool present = raw_len > 0 && !json_is_word(raw, raw_len, "null");

    switch (member->kind) {
    case LSSB_JSON_TEXT:
    case LSSB_JSON_TEXT_CUT:
        return json_set_text(member, raw, raw_len, to);
    case LSSB_JSON_I64:
        lssb_json_integer(raw, raw_len, &number);
        memcpy(to, &number, sizeof number);
        break;
    case LSSB_JSON_I32:
        if (lssb_json_integer(raw, raw_len, &number) && number >= INT32_MIN &&
            number <= INT32_MAX)
            small = (int32_t)number;
        memcpy(to, &small, sizeof small);
        break;
    case LSSB_JSON_FLAG:
        if (is_true || json_is_word(raw, raw_len, "false"))
            small = is_true;
        memcpy(to, &small, sizeof small);
        break;
    case LSSB_JSON_PRESENT:
        memcpy(to, &present, sizeof present);
        break;
    }
    return LSSB_OK;
}

lssb_status lssb_json_fill(const char *text, size_t len,
                           const struct lssb_json_member *table, size_t count,
                           void *out, const char **key)
{
    jsmntok_t tokens[LSSB_TOKENS];
    jsmn_parser parser;
    lssb_status status = LSSB_OK, one;
    size_t i, raw_len;
    int found = 0;

    *key = NULL;
    jsmn_init(&parser);
    if (len <= INT32_MAX)
        found = jsmn_parse(&parser, text, len, tokens, LSSB_TOKENS);
    if (found < 1 || tokens[0].type != JSMN_OBJECT) {
        status = LSSB_E_PROTOCOL;
        found = 0;
    }
    for (i = 0; i < count; i++) {
        const char *raw = json_token(text, tokens, found, table[i].key,
                                     &raw_len);

        one = raw == NULL ? json_set(table + i, "", 0, out)
                          : json_set(table + i, raw, raw_len, out);
        if (status == LSSB_OK && one != LSSB_OK) {
            status = one;
            *key = table[i].key;
        }
    }
    return status;
}

/* -------------------------------------------------------------- writing -- */

/* The writer's mistake; the first one stays. */
static void json_mistake(struct lssb_json_writer *json, const char *wrong)
{
    if (json->to->wrong == NULL)
        json->to->wrong = wrong;
}

/* Puts a string in quotes: runs as they are, escapes where they must be. */
static void json_put_string(struct lssb_json_writer *json, const char *bytes,
                            size_t len)
{
    char escaped[6];
    size_t i, run = 0, n;

    lssb_put(json->to, "\"", 1);
    for (i = 0; i < len; i++) {
        n = json_escape(bytes[i], escaped);
        if (n == 1)
            continue;
        lssb_put(json->to, bytes + run, i - run);
        lssb_put(json->to, escaped, n);
        run = i + 1;
    }
    lssb_put(json->to, bytes + run, len - run);
    lssb_put(json->to, "\"", 1);
}

/* What is wrong with a value of that name at this place, or NULL. */
static const char *json_misplaced(const struct lssb_json_writer *json,
                                  const char *name)
{
    bool object = (json->objects >> json->depth & 1) != 0;

    if (object && name == NULL)
        return "A member of a JSON object has no name";
    if (!object && name != NULL)
        return "A JSON value has a name outside an object";
    if (json->depth == 0 && (json->begun & 1) != 0)
        return "A second JSON value follows the first";
    if (name != NULL && lssb_utf8_valid(name, strlen(name)) != strlen(name))
        return "A name in JSON is not UTF-8";
    return NULL;
}

/* Puts what stands in front of a value: a comma, a name. False: it must not
 * be put. */
static bool json_put_front(struct lssb_json_writer *json, const char *name)
{
    uint32_t bit = UINT32_C(1) << json->depth;
    const char *wrong = json_misplaced(json, name);

    if (wrong != NULL)
        json_mistake(json, wrong);
    if (json->to->wrong != NULL)
        return false;
    if ((json->begun & bit) != 0)
        lssb_put(json->to, ",", 1);
    json->begun |= bit;
    if (name != NULL) {
        json_put_string(json, name, strlen(name));
        lssb_put(json->to, ":", 1);
    }
    return true;
}

/* Begins an object or an array. */
static void json_put_open(struct lssb_json_writer *json, const char *name,
                          bool object)
{
    uint32_t bit;

    if (json->depth == 31)
        json_mistake(json, "The JSON is nested too deeply");
    if (!json_put_front(json, name))
        return;
    lssb_put(json->to, object ? "{" : "[", 1);
    json->depth++;
    bit = UINT32_C(1) << json->depth;
    json->begun &= ~bit;
    json->objects &= ~bit;
    if (object)
        json->objects |= bit;
}

void lssb_json_write(struct lssb_json_writer *json, struct lssb_writer *to)
{
    json->to = to;
    json->objects = 0;
    json->begun = 0;
    json->depth = 0;
}

void lssb_json_object(struct lssb_json_writer *json, const char *name)
{
    json_put_open(json, name, true);
}

void lssb_json_array(struct lssb_json_writer *json, const char *name)
{
    json_put_open(json, name, false);
}

void lssb_json_close(struct lssb_json_writer *json)
{
    bool object = (json->objects >> json->depth & 1) != 0;

    if (json->depth == 0)
        json_mistake(json, "There is no JSON object or array to close");
    if (json->to->wrong != NULL)
        return;
    lssb_put(json->to, object ? "}" : "]", 1);
    json->depth--;
}

void lssb_json_string(struct lssb_json_writer *json, const char *name,
                      const char *string)
{
    lssb_json_string_n(json, name, string, string ? strlen(string) : 0);
}

void lssb_json_string_n(struct lssb_json_writer *json, const char *name,
                        const char *bytes, size_t len)
{
    if (bytes == NULL)
        json_mistake(json, "A string in JSON is NULL");
    else if (lssb_utf8_valid(bytes, len) != len)
        json_mistake(json, "A string in JSON is not UTF-8");
    if (json_put_front(json, name))
        json_put_string(json, bytes, len);
}

void lssb_json_number(struct lssb_json_writer *json, const char *name,
                      int64_t number)
{
    if (!json_put_front(json, name))
        return;
    if (number < 0)
        lssb_put(json->to, "-", 1);
    lssb_put_u64(json->to, number < 0 ? 0 - (uint64_t)number
                                      : (uint64_t)number);
}

void lssb_json_bool(struct lssb_json_writer *json, const char *name,
                    bool value)
{
    if (json_put_front(json, name))
        lssb_put_text(json->to, value ? "true" : "false");
}

void lssb_json_null(struct lssb_json_writer *json, const char *name)
{
    if (json_put_front(json, name))
        lssb_put_text(json->to, "null");
}

void lssb_json_pairs(struct lssb_json_writer *json, const char *name,
                     const lssb_pair *pairs, size_t count)
{
    size_t i;

    lssb_json_object(json, name);
    for (i = 0; i < count; i++)
        lssb_json_string(json, pairs[i].name, pairs[i].value);
    lssb_json_close(json);
}

bool lssb_json_complete(const struct lssb_json_writer *json)
{
    return json->depth == 0 && (json->begun & 1) != 0 &&
        json->to->wrong == NULL;
}
