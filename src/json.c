/* json.c: a scanner for JSON (RFC 8259).
 *
 * SPDX-License-Identifier: MIT
 *
 * It is fed a text as it arrives, validates every byte, and keeps, streams or
 * visits what its caller chose. No I/O, and no memory but the caller's. What
 * it kept is read by json_read.c; characters are json_char.c's.
 */
#include "internal.h"

/* Of the buffer's end, what kept text leaves free: the brackets that close it
 * (one a level), its NUL, and room to decode a slice. */
#define JSON_RESERVE 32

/* The most that one byte of input adds to a slice: a lone surrogate's U+FFFD
 * and a character. */
#define JSON_STEP 7

/* A run this long is told where it stands; shorter ones between escapes are
 * gathered, so that text with many escapes does not come in crumbs. */
#define JSON_LONG_RUN 256

/* --------------------------------------------------------- what is kept -- */

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
        json_keep(json, escaped, lssb_json_escape(bytes[i], escaped));
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
        len = lssb_json_escape(bytes[0], escaped);
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

/* ------------------------------------------------------ what is visited -- */

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

/* ----------------------------------------------------- what is streamed -- */

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

/* ----------------------------------------------------- values and names -- */

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

/* -------------------------------------------------------------- strings -- */

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

    json_string_bytes(json, bytes, lssb_json_utf8_put(point, bytes), false);
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
    if (json->own.high != 0 && lssb_json_is_low(unit)) {
        json_point(json, lssb_json_pair(json->own.high, unit));
        json->own.high = 0;
        return;
    }
    json_flush_high(json);
    if (lssb_json_is_high(unit))
        json->own.high = (uint16_t)unit;
    else
        json_point(json, lssb_json_is_low(unit) ? 0xFFFD : (uint32_t)unit);
}

/* The byte behind a backslash. */
static enum lssb_json_event json_escape_byte(struct lssb_json *json, uint8_t c)
{
    char plain = lssb_json_unescape(c);

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
    int digit = lssb_json_hex(c);

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
    if (!lssb_json_utf8_lead(c, &json->own.left, &json->own.low,
                             &json->own.most))
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
    stop = lssb_json_plain(p, end);
    if (stop == p)
        return json_lead_byte(json, *p);
    *used = (size_t)(stop - p);
    if (json->own.mode == JSON_STREAMING)
        return json_stream_run(json, (const char *)p, used,
                               stop == end || *stop == '"');
    json_string_bytes(json, (const char *)p, *used, true);
    return LSSB_JSON_MORE;
}

/* ------------------------------------------------------- the whole text -- */

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
