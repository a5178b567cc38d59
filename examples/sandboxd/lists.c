/* lists.c: filters, order, and both ways of paging (PROTOCOL 2.4).
 *
 * SPDX-License-Identifier: MIT
 *
 * A cursor is where a page ended, in the order of its list: the next page
 * begins behind it, whatever has come or gone meanwhile.
 */
#include <stdlib.h>

#include "control.h"

#define LISTS_LABELS 16
#define LISTS_SIZE 20
#define LISTS_SIZE_OLD 50
#define LISTS_MOST 100
#define LISTS_MOST_OLD 500

/* What a list is asked for. */
struct query {
    const struct list_kind *kind;
    bool modern;                    /* page_size, cursor, sort_order */
    bool deprecated;                /* limit, offset, sort_direction */
    bool ascending;
    int64_t size;
    int64_t offset;
    char *sort_by;
    char *name_contains;
    char *status;
    char *cursor;
    char *labels[LISTS_LABELS];
    size_t label_count;
    const char *wrong;
};

/* A thing, and what it is sorted by: a text, then a number, then its age. */
struct entry {
    const struct listed *listed;
    const char *text;
    int64_t number;
    uint64_t sequence;
};

/* A page, as its writer needs it. */
struct page {
    const struct list_kind *kind;
    const struct entry *entries;
    size_t count;
    int64_t offset;                 /* the next one; 0: none */
    char *cursor;
};

/* Sets a number of the query. */
static void query_number(struct query *query, const char *text, int64_t least,
                         int64_t most, int64_t *number)
{
    uint64_t got;

    if (!lssb_parse_u64(text, strlen(text), &got) || got > (uint64_t)most ||
        got < (uint64_t)least)
        query->wrong = "a number of the query is out of bounds";
    else
        *number = (int64_t)got;
}

/* Sets the direction. */
static void query_order(struct query *query, const char *text)
{
    query->ascending = strcmp(text, "asc") == 0;
    if (!query->ascending && strcmp(text, "desc") != 0)
        query->wrong = "the order must be asc or desc";
}

/* Keeps a string of the query, the last of its name. */
static void query_keep(char **place, const char *text)
{
    free(*place);
    *place = take_copy(text);
}

/* Takes one member of the query; others than these are ignored. */
static void query_member(struct query *query, const char *name,
                         const char *text)
{
    if (strcmp(name, "page_size") == 0 || strcmp(name, "cursor") == 0 ||
        strcmp(name, "sort_order") == 0)
        query->modern = true;
    if (strcmp(name, "limit") == 0 || strcmp(name, "offset") == 0 ||
        strcmp(name, "sort_direction") == 0)
        query->deprecated = true;
    if (strcmp(name, "page_size") == 0)
        query_number(query, text, 1, LISTS_MOST, &query->size);
    else if (strcmp(name, "limit") == 0)
        query_number(query, text, 1, LISTS_MOST_OLD, &query->size);
    else if (strcmp(name, "offset") == 0)
        query_number(query, text, 0, INT64_MAX, &query->offset);
    else if (strcmp(name, "sort_order") == 0 ||
             strcmp(name, "sort_direction") == 0)
        query_order(query, text);
    else if (strcmp(name, "sort_by") == 0)
        query_keep(&query->sort_by, text);
    else if (strcmp(name, "cursor") == 0 && *text != '\0')
        query_keep(&query->cursor, text);
    else if (strcmp(name, "name_contains") == 0)
        query_keep(&query->name_contains, text);
    else if (strcmp(name, "status") == 0 && query->kind->statuses != NULL)
        query_keep(&query->status, text);
    else if (strcmp(name, "created_by") == 0 && strcmp(text, "me") != 0)
        query->wrong = "created_by must be me";
    else if (strcmp(name, "label") == 0 && query->label_count == LISTS_LABELS)
        query->wrong = "there are too many labels";
    else if (strcmp(name, "label") == 0)
        query->labels[query->label_count++] = take_copy(text);
}

/* Sees whether the members make sense together, and sets what is missing. */
static void query_check(struct query *query)
{
    if (query->modern && query->deprecated)
        query->wrong = "page_size, cursor and sort_order cannot be combined "
                       "with limit, offset and sort_direction";
    if (query->sort_by == NULL)
        query->sort_by = take_copy("created_at");
    if (!is_one_of(query->sort_by, query->kind->sorts))
        query->wrong = "sort_by names nothing that can be sorted by";
    if (query->status != NULL &&
        !is_one_of(query->status, query->kind->statuses))
        query->wrong = "status names no status";
    if (query->size == 0)
        query->size = query->modern ? LISTS_SIZE : LISTS_SIZE_OLD;
}

/* Reads the query; false, and a reply, when it makes no sense. */
static bool query_read(struct exchange *exchange, struct query *query)
{
    const char *at = exchange->query;
    char *name, *text;

    while (form_next(&at, &name, &text)) {
        if (text == NULL || lssb_utf8_valid(text, strlen(text)) < strlen(text))
            query->wrong = "the query is not form-encoded UTF-8";
        else
            query_member(query, name, text);
        free(name);
        free(text);
    }
    query_check(query);
    if (query->wrong != NULL)
        reply_error(exchange, 400, "InvalidRequest", "%s", query->wrong);
    return query->wrong == NULL;
}

/* Frees what it holds. */
static void query_free(struct query *query)
{
    size_t i;

    free(query->sort_by);
    free(query->name_contains);
    free(query->status);
    free(query->cursor);
    for (i = 0; i < query->label_count; i++)
        free(query->labels[i]);
}

/* Whether a name contains a text, without regard to ASCII case. */
static bool name_contains(const char *name, const char *text)
{
    size_t len = strlen(text), left = strlen(name);

    for (; left >= len; name++, left--) {
        if (lssb_same_name(name, len, text, len))
            return true;
        if (left == 0)
            break;
    }
    return false;
}

/* Whether a thing has a label, "key" or "key=value". */
static bool has_label(const struct listed *listed, const char *label)
{
    char *key = take_copy_n(label, strcspn(label, "="));
    const char *value =
        listed->labels == NULL ? NULL : map_get(listed->labels, key);

    free(key);
    return value != NULL && (strchr(label, '=') == NULL ||
                             strcmp(strchr(label, '=') + 1, value) == 0);
}

/* Whether a list asks for a thing. */
static bool query_wants(const struct query *query,
                        const struct listed *listed)
{
    size_t i;

    for (i = 0; i < query->label_count; i++) {
        if (!has_label(listed, query->labels[i]))
            return false;
    }
    return (query->status == NULL ||
            strcmp(query->status, listed->status) == 0) &&
           (query->name_contains == NULL ||
            name_contains(listed->name, query->name_contains));
}

/* ---------------------------------------------------------------- order -- */

/* Makes what a thing is sorted by. */
static void entry_make(const struct query *query, const struct listed *listed,
                       struct entry *entry)
{
    memset(entry, 0, sizeof *entry);
    entry->listed = listed;
    entry->text = "";
    entry->sequence = listed->sequence;
    if (strcmp(query->sort_by, "name") == 0)
        entry->text = listed->name;
    else if (strcmp(query->sort_by, "status") == 0)
        entry->text = listed->status;
    else if (query->kind->number != NULL)
        entry->number = query->kind->number(listed->thing, query->sort_by);
}

/* Orders entries, for qsort too. No two are the same. */
static int entry_compare(const void *one, const void *other)
{
    const struct entry *a = one, *b = other;
    int order = strcmp(a->text, b->text);

    if (order != 0)
        return order;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* All entries that are asked for, in their order. */
static struct entry *query_collect(const struct query *query,
                                   const struct listed *things, size_t count,
                                   size_t *found)
{
    struct entry *entries = take((count + 1) * sizeof *entries);
    size_t i;

    *found = 0;
    for (i = 0; i < count; i++) {
        if (query_wants(query, &things[i]))
            entry_make(query, &things[i], &entries[(*found)++]);
    }
    qsort(entries, *found, sizeof *entries, entry_compare);
    for (i = 0; !query->ascending && i < *found / 2; i++) {
        struct entry other = entries[i];

        entries[i] = entries[*found - 1 - i];
        entries[*found - 1 - i] = other;
    }
    return entries;
}

/* -------------------------------------------------------------- cursors -- */

/* Makes a cursor, in hexadecimal digits: the list, its order, its last. */
static char *cursor_make(const struct query *query, const struct entry *last)
{
    char *plain = take_format("%s %c %s %lld %llu %s", query->kind->array,
                              query->ascending ? 'a' : 'd', query->sort_by,
                              (long long)last->number,
                              (unsigned long long)last->sequence, last->text);
    size_t i, len = strlen(plain);
    char *cursor = take(2 * len + 1);

    for (i = 0; i < len; i++)
        snprintf(cursor + 2 * i, 3, "%02x", (unsigned char)plain[i]);
    free(plain);
    return cursor;
}

/* Undoes the digits; what is none becomes rubbish, which is found out. */
static char *cursor_decode(const char *cursor)
{
    size_t len = strlen(cursor), i;
    char *plain = take(len / 2 + 1);

    for (i = 0; i + 1 < len; i += 2) {
        char digits[3] = {cursor[i], cursor[i + 1], '\0'};

        plain[i / 2] = (char)strtol(digits, NULL, 16);
    }
    return plain;
}

/* Reads a cursor into the query and an entry, whose text lies in *plain. */
static bool cursor_read(struct query *query, struct entry *entry,
                        char **plain)
{
    char array[32], order, sort_by[32];
    long long number;
    unsigned long long sequence;
    int text = 0;

    memset(entry, 0, sizeof *entry);
    *plain = cursor_decode(query->cursor);
    if (sscanf(*plain, "%31s %c %31s %lld %llu%n", array, &order, sort_by,
               &number, &sequence, &text) < 5 ||
        (*plain)[text] != ' ' || strcmp(array, query->kind->array) != 0 ||
        (order != 'a' && order != 'd') ||
        !is_one_of(sort_by, query->kind->sorts))
        return false;
    query->ascending = order == 'a';
    query_keep(&query->sort_by, sort_by);
    entry->text = *plain + text + 1;
    entry->number = number;
    entry->sequence = sequence;
    return true;
}

/* ---------------------------------------------------------------- pages -- */

/* Puts the things of a page. */
static void page_write_array(struct lssb_json_writer *json, const char *name,
                             const struct page *page)
{
    size_t i;

    lssb_json_array(json, name);
    for (i = 0; i < page->count; i++)
        page->kind->write(json, page->entries[i].listed->thing);
    lssb_json_close(json);
}

/* A page: the old members and the new ones. */
static void page_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct page *page = ctx;

    lssb_json_object(json, NULL);
    if (page->kind->modern) {
        page_write_array(json, "items", page);
        if (page->cursor != NULL)
            lssb_json_string(json, "next_cursor", page->cursor);
        else
            lssb_json_null(json, "next_cursor");
    }
    if (strcmp(page->kind->array, "items") != 0) {
        page_write_array(json, page->kind->array, page);
        lssb_json_number(json, "offset", page->offset);
    }
    lssb_json_close(json);
}

/* Where a page begins: at its offset, or behind its cursor. */
static size_t page_start(const struct query *query, const struct entry *after,
                         const struct entry *entries, size_t count)
{
    size_t i = 0;

    if (after == NULL)
        return (uint64_t)query->offset < count ? (size_t)query->offset
                                               : count;
    while (i < count && (query->ascending
                             ? entry_compare(&entries[i], after) <= 0
                             : entry_compare(&entries[i], after) >= 0))
        i++;
    return i;
}

/* Replies with the page behind an entry, or at an offset. */
static void page_reply(struct exchange *exchange, struct query *query,
                       const struct entry *after, const struct listed *things,
                       size_t count)
{
    struct page page;
    size_t found, start;
    struct entry *entries = query_collect(query, things, count, &found);

    memset(&page, 0, sizeof page);
    start = page_start(query, after, entries, found);
    page.kind = query->kind;
    page.entries = entries + start;
    page.count = found - start < (uint64_t)query->size ? found - start
                                                       : (size_t)query->size;
    if (start + page.count < found) {
        page.offset = (int64_t)(start + page.count);
        page.cursor = cursor_make(query, &entries[start + page.count - 1]);
    }
    reply_json(exchange, 200, page_write, &page);
    free(page.cursor);
    free(entries);
}

/* Replies with the page that the query asks for. */
void list_reply(struct exchange *exchange, const struct list_kind *kind,
                const struct listed *things, size_t count)
{
    struct query query;
    struct entry after;
    char *plain = NULL;

    memset(&query, 0, sizeof query);
    query.kind = kind;
    if (query_read(exchange, &query)) {
        if (query.cursor == NULL)
            page_reply(exchange, &query, NULL, things, count);
        else if (cursor_read(&query, &after, &plain))
            page_reply(exchange, &query, &after, things, count);
        else
            reply_error(exchange, 400, "InvalidRequest",
                        "the cursor is none of this endpoint's");
    }
    free(plain);
    query_free(&query);
}
