/* json_write.c: writing JSON (RFC 8259).
 *
 * SPDX-License-Identifier: MIT
 *
 * Values in the order of the calls, put into an lssb_writer. No memory of its
 * own: of what was begun a bit a level is kept.
 */
#include "internal.h"

/* The writer's mistake; the first one stays. */
static void json_mistake(struct lssb_json_writer *json, const char *wrong)
{
    if (json->to->wrong == NULL)
        json->to->wrong = wrong;
}

/* The same, about a value: the member of the outermost object that it is, or is
 * in, is told. */
static void json_mistake_in(struct lssb_json_writer *json, const char *name,
                            const char *wrong)
{
    if (json->to->wrong == NULL)
        json->to->wrong_name = json->depth == 1 ? name : json->member;
    json_mistake(json, wrong);
}

#define JSON_RUN 512                /* bytes put at once, between two marks */

/* Where to go on in a string of which a window before this one had a part; 0:
 * it is new. */
static size_t json_resume(struct lssb_writer *to, const char *bytes)
{
    const struct lssb_mark *mark = to->mark;

    if (mark == NULL || mark->string != bytes || mark->begin != to->total ||
        mark->total > to->skip)
        return 0;
    to->total = mark->total;
    return mark->from;
}

/* Remembers a place that the next window may begin with. */
static void json_mark(struct lssb_writer *to, const char *bytes,
                      uint64_t begin, size_t from)
{
    if (to->mark == NULL || lssb_writer_full(to))
        return;
    to->mark->string = bytes;
    to->mark->begin = begin;
    to->mark->from = from;
    to->mark->total = to->total;
}

/* How many bytes at the front stand for themselves, `most` of them at most;
 * it stops before a character that would be cut. */
static size_t json_plain_run(const char *bytes, size_t len, size_t most)
{
    const uint8_t *from = (const uint8_t *)bytes;

    return (size_t)(lssb_json_plain(from, from + (len < most ? len : most)) -
                    from);
}

/* Puts a string in quotes: runs as they are, escapes where they must be. */
static void json_put_string(struct lssb_json_writer *json, const char *bytes,
                            size_t len)
{
    uint64_t begin = json->to->total;
    size_t i = json_resume(json->to, bytes), run = i, n;
    char escaped[6];

    if (i == 0)
        lssb_put(json->to, "\"", 1);
    for (; i < len && !lssb_writer_full(json->to); i++) {
        if (i - run == JSON_RUN) {
            lssb_put(json->to, bytes + run, i - run);
            run = i;
            json_mark(json->to, bytes, begin, run);
        }
        n = json_plain_run(bytes + i, len - i, JSON_RUN - (i - run));
        if (n > 0) {
            i += n - 1;
            continue;
        }
        n = lssb_json_escape(bytes[i], escaped);
        if (n == 1)
            continue;
        lssb_put(json->to, bytes + run, i - run);
        lssb_put(json->to, escaped, n);
        run = i + 1;
        json_mark(json->to, bytes, begin, run);
    }
    lssb_put(json->to, bytes + run, i - run);
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
    return NULL;
}

/* Whether a name cannot be put, which is then a mistake. */
static bool json_misnamed(struct lssb_json_writer *json, const char *name)
{
    if (lssb_utf8_valid(name, strlen(name)) != strlen(name))
        json_mistake_in(json, NULL, "A name in JSON is not UTF-8");
    else if (json->depth == 1 && json->has != NULL &&
             json->has(json->more, name))
        json_mistake_in(json, name, "more has a member of that name, too");
    if (json->depth == 1)
        json->member = name;
    return json->to->wrong != NULL;
}

/* Puts what stands in front of a value: a comma, a name. False: it must not
 * be put. */
static bool json_put_front(struct lssb_json_writer *json, const char *name)
{
    uint32_t bit = UINT32_C(1) << json->depth;
    const char *wrong = json_misplaced(json, name);

    if (wrong != NULL)
        json_mistake(json, wrong);
    if (json->to->wrong != NULL || (name != NULL && json_misnamed(json, name)))
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
    json->member = NULL;
    json->more = NULL;
    json->has = NULL;
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

/* Whether what is put was put before, to be measured, and so was checked. */
static bool json_was_measured(const struct lssb_writer *to)
{
    return to->mark != NULL;
}

void lssb_json_string_n(struct lssb_json_writer *json, const char *name,
                        const char *bytes, size_t len)
{
    if (bytes == NULL)
        json_mistake_in(json, name, "A string in JSON is NULL");
    else if (!json_was_measured(json->to) && lssb_utf8_valid(bytes, len) != len)
        json_mistake_in(json, name, "A string in JSON is not UTF-8");
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

void lssb_json_raw(struct lssb_json_writer *json, const char *name,
                   const char *raw, size_t len)
{
    if (json_put_front(json, name))
        lssb_put(json->to, raw, len);
}

/* Leaves blanks out, at the front and at the end of a text. */
static void json_trim(const char **from, const char **to)
{
    static const char blanks[] = " \t\r\n";

    while (*from < *to && strchr(blanks, **from) != NULL)
        (*from)++;
    while (*from < *to && strchr(blanks, (*to)[-1]) != NULL)
        (*to)--;
}

void lssb_json_members(struct lssb_json_writer *json, const char *raw,
                       size_t len)
{
    uint32_t bit = UINT32_C(1) << json->depth;
    const char *end = raw + len;

    json_trim(&raw, &end);
    if (end - raw < 2 || json->to->wrong != NULL)
        return;
    raw++;                          /* the braces */
    end--;
    json_trim(&raw, &end);
    if (raw == end)
        return;
    if ((json->begun & bit) != 0)
        lssb_put(json->to, ",", 1);
    json->begun |= bit;
    lssb_put(json->to, raw, (size_t)(end - raw));
}

void lssb_json_pairs(struct lssb_json_writer *json, const char *name,
                     const lssb_pair *pairs, size_t count)
{
    size_t i;

    if (count > 0 && pairs == NULL) {
        json_mistake(json, "A count is not 0, but what it counts is NULL");
        return;
    }
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
