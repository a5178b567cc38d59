/* json_read.c: reading the small JSON texts that the scanner kept.
 *
 * SPDX-License-Identifier: MIT
 *
 * Strings and integers, a value by its path, and a struct by a table of its
 * members (by way of jsmn). The texts were validated before; one that was not
 * is never read beyond its end.
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

/* -------------------------------------------------------------- strings -- */

/* The unit of a \u escape at `p`, or -1. */
static int32_t json_escaped_unit(const char *p, const char *end)
{
    int32_t unit = 0;
    int i, digit;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (i = 2; i < 6; i++) {
        digit = lssb_json_hex((uint8_t)p[i]);
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
    if (lssb_json_is_high(unit) && lssb_json_is_low(low)) {
        *p += 6;
        return lssb_json_utf8_put(lssb_json_pair(unit, low), out);
    }
    if (lssb_json_is_high(unit) || lssb_json_is_low(unit))
        unit = 0xFFFD;
    return lssb_json_utf8_put((uint32_t)unit, out);
}

/* Decodes a character of a raw string's inside, moves on behind it and returns
 * its length as UTF-8; 0 when it is none. */
static size_t json_decode_char(const char **p, const char *end, char *out)
{
    uint8_t c = (uint8_t)**p;
    char plain = 0;
    size_t len = 1;

    if (c == '\\' && end - *p >= 2)
        plain = lssb_json_unescape((uint8_t)(*p)[1]);
    if (plain != 0) {
        out[0] = plain;
        *p += 2;
        return 1;
    }
    if (c == '\\')
        return json_decode_unit(p, end, out);
    if (c >= 0x80)
        len = lssb_json_utf8_len((const uint8_t *)*p, (const uint8_t *)end);
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

char *lssb_json_decode_here(char *raw, size_t raw_len, size_t *len)
{
    const char *p = raw + 1, *end = raw + raw_len - 1;
    char c[4];
    size_t n;

    *len = 0;
    if (raw_len < 2 || raw[0] != '"' || raw[raw_len - 1] != '"')
        return NULL;
    while (p < end) {               /* it never gets longer */
        n = json_decode_char(&p, end, c);
        if (n == 0)
            return NULL;
        memcpy(raw + *len, c, n);
        *len += n;
    }
    raw[*len] = '\0';
    return raw;
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

/* --------------------------------------------------------------- paths -- */

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
