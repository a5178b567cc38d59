/* value.c: JSON that was sent, and JSON that is made.
 *
 * SPDX-License-Identifier: MIT
 *
 * The library's scanner judges a text once, whole; what is below walks text
 * that has passed, however many members it has, and therefore checks nothing.
 * Texts are made by the library's writer: once to measure, once to write.
 */
#include <stdlib.h>

#include "sandboxd.h"

/* Nothing has to be kept: only the verdict counts. */
static enum lssb_json_take value_skip(void *ctx, int depth,
                                      const char *parent, const char *key)
{
    (void)ctx;
    (void)depth;
    (void)parent;
    (void)key;
    return LSSB_JSON_SKIP;
}

/* NULL when the text is one JSON object; else what is wrong with it. */
const char *value_check(const char *text, size_t len)
{
    struct lssb_json json;
    char buffer[1024];
    size_t at = 0, used = 0;
    enum lssb_json_event event = LSSB_JSON_MORE;

    memset(&json, 0, sizeof json);
    json.choose = value_skip;
    lssb_json_start(&json, buffer, sizeof buffer);
    while (at < len && event != LSSB_JSON_DONE) {
        event = lssb_json_next(&json, (const uint8_t *)text + at, len - at,
                               &used);
        at += used;
        if (event == LSSB_JSON_WRONG)
            return json.wrong;
        if (event == LSSB_JSON_MORE && used == 0)
            break;
    }
    at += strspn(text + at, " \t\r\n");
    if (event != LSSB_JSON_DONE && lssb_json_end(&json) != LSSB_JSON_DONE)
        return json.wrong != NULL ? json.wrong : "incomplete";
    if (at < len)
        return "something follows the value";
    return text[strspn(text, " \t\r\n")] == '{' ? NULL : "no object";
}

/* Past the white space at the start of a text. */
static size_t value_blank(const char *at, size_t len)
{
    size_t i = 0;

    while (i < len && (at[i] == ' ' || at[i] == '\t' || at[i] == '\r' ||
                       at[i] == '\n'))
        i++;
    return i;
}

/* The length of the string that begins here, quotes included. */
static size_t value_string_len(const char *at, size_t len)
{
    size_t i = 1;

    while (i < len && at[i] != '"')
        i += at[i] == '\\' ? 2 : 1;
    return i + 1;
}

/* The length of the value that begins here. */
static size_t value_len(const char *at, size_t len)
{
    size_t i = 0, depth = 0;

    do {
        if (at[i] == '"') {
            i += value_string_len(at + i, len - i);
            continue;
        }
        if (at[i] == '{' || at[i] == '[')
            depth++;
        else if (at[i] == '}' || at[i] == ']')
            depth--;
        else if (depth == 0)
            return i + strcspn(at + i, ",]} \t\r\n");
        i++;
    } while (depth > 0 && i < len);
    return i;
}

/* The next member of an object (with its name, quotes included) or element of
 * an array; *place is 0 before the first. False when there is none, or when it
 * is neither. */
bool value_next(struct value container, size_t *place, struct value *name,
                struct value *value)
{
    const char *at = container.at;
    size_t i = *place, len = container.len;

    if (!value_is(container, '{') && !value_is(container, '['))
        return false;
    i = i == 0 ? 1 : i;
    i += value_blank(at + i, len - i);
    if (at[i] == ',')
        i += 1 + value_blank(at + i + 1, len - i - 1);
    if (i >= len || at[i] == '}' || at[i] == ']')
        return false;
    name->at = NULL;
    name->len = 0;
    if (at[0] == '{') {
        name->at = at + i;
        name->len = value_string_len(at + i, len - i);
        i += name->len;
        i += value_blank(at + i, len - i) + 1;
        i += value_blank(at + i, len - i);
    }
    value->at = at + i;
    value->len = value_len(at + i, len - i);
    *place = i + value->len;
    return true;
}

/* Whether a value begins so: '{', '[', '"'. */
bool value_is(struct value value, char first)
{
    return value.len > 0 && value.at[0] == first;
}

/* Whether it is missing or null. */
bool value_is_null(struct value value)
{
    return value.at == NULL || value_is(value, 'n');
}

/* A member of an object, the last one of that name; what is missing has no
 * text. */
struct value value_get(struct value object, const char *name)
{
    struct value key, value, found = {NULL, 0};
    size_t place = 0;

    while (value_next(object, &place, &key, &value)) {
        char *text = value_text(key);

        if (text != NULL && strcmp(text, name) == 0)
            found = value;
        free(text);
    }
    return found;
}

/* A string's text, taken; NULL when it is no string or holds a NUL. */
char *value_text(struct value string)
{
    size_t len;
    char *text;

    if (!value_is(string, '"'))
        return NULL;
    text = take(string.len * 2 + 4);
    len = lssb_json_decode(string.at, string.len, text, string.len * 2 + 4);
    if (len != SIZE_MAX && strlen(text) == len)
        return text;
    free(text);
    return NULL;
}

/* An integer, or a float without a fraction. */
bool value_integer(struct value value, int64_t *number)
{
    return value.at != NULL &&
           lssb_json_integer(value.at, value.len, number);
}

/* true or false. */
bool value_bool(struct value value, bool *flag)
{
    *flag = value_is(value, 't');
    return value_is(value, 't') || value_is(value, 'f');
}

/* An object whose values are all strings, set over what the map holds. */
bool value_map(struct value value, struct map *map)
{
    struct value key, member;
    size_t place = 0;

    if (!value_is(value, '{'))
        return false;
    while (value_next(value, &place, &key, &member)) {
        char *name = value_text(key), *text = value_text(member);
        bool fine = name != NULL && text != NULL;

        if (fine)
            map_set(map, name, text);
        free(name);
        free(text);
        if (!fine)
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- making -- */

/* A text made by a function, taken; NULL if it made none that is JSON. */
char *json_text(json_fn *write, const void *ctx, size_t *len)
{
    struct lssb_writer writer;
    struct lssb_json_writer json;
    char *text;

    lssb_writer_start(&writer, NULL, 0, 0);
    lssb_json_write(&json, &writer);
    write(&json, ctx);
    if (writer.wrong != NULL || !lssb_json_complete(&json))
        return NULL;
    *len = (size_t)writer.total;
    text = take(*len + 1);
    lssb_writer_start(&writer, text, *len, 0);
    lssb_json_write(&json, &writer);
    write(&json, ctx);
    return text;
}

/* Whether an object is a secret: its type is opaque. */
static bool value_is_secret(struct value value)
{
    char *type;
    bool secret;

    if (!value_is(value, '{'))
        return false;
    type = value_text(value_get(value, "type"));
    secret = type != NULL && strcmp(type, "opaque") == 0;
    free(type);
    return secret;
}

/* Puts one value, secrets without what makes them secret. */
static void value_put(struct lssb_json_writer *json, const char *name,
                      struct value value)
{
    struct value key, member;
    size_t place = 0;
    bool secret = value_is_secret(value);

    if (!value_is(value, '{') && !value_is(value, '[')) {
        lssb_json_raw(json, name, value.at, value.len);
        return;
    }
    if (value_is(value, '{'))
        lssb_json_object(json, name);
    else
        lssb_json_array(json, name);
    while (value_next(value, &place, &key, &member)) {
        char *text = value_text(key);

        if (!secret || text == NULL ||
            (strcmp(text, "value") != 0 && strcmp(text, "is_set") != 0))
            value_put(json, text, member);
        free(text);
    }
    if (secret)
        lssb_json_bool(json, "is_set", true);
    lssb_json_close(json);
}

/* Puts stored JSON with its secrets left out; null for none. */
void json_redacted(struct lssb_json_writer *json, const char *name,
                   const char *raw)
{
    struct value value;

    if (raw == NULL) {
        lssb_json_null(json, name);
        return;
    }
    value.at = raw;
    value.len = strlen(raw);
    value_put(json, name, value);
}

/* Puts a map as an object. */
void json_map(struct lssb_json_writer *json, const char *name,
              const struct map *map)
{
    size_t i;

    lssb_json_object(json, name);
    for (i = 0; i < map->count; i++)
        lssb_json_string(json, map->pairs[i].name, map->pairs[i].value);
    lssb_json_close(json);
}

/* Puts a time; null for 0. */
void json_time(struct lssb_json_writer *json, const char *name, int64_t us)
{
    char text[32];

    if (us == 0) {
        lssb_json_null(json, name);
        return;
    }
    format_time(text, us);
    lssb_json_string(json, name, text);
}

/* Puts a number; null when it is UNSET. */
void json_optional(struct lssb_json_writer *json, const char *name,
                   int64_t number)
{
    if (number == UNSET)
        lssb_json_null(json, name);
    else
        lssb_json_number(json, name, number);
}
