/* list.c: walks through lists, page by page, into the caller's array.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.4. A newer server gives a cursor, an older one counts; which of
 * them it is shows in its first reply. A page is read one element at a time,
 * straight into the array; of a page that is longer than the array the rest is
 * asked for again, by the next call. A server that does not page at all shows
 * by a page that begins with what the walk began with.
 */
#include "internal.h"

#define LIST_PAGE 100               /* most that a server gives at once */

/* How a walk goes on. */
enum list_mode {
    LIST_FIRST = 0,                 /* nothing known of the server yet */
    LIST_CURSOR,
    LIST_OFFSET,                    /* an older server */
    LIST_OVER
};

/* What a page's reply showed, in `step`. */
#define LIST_REPEATS 2              /* it begins as the walk began */
#define LIST_TOLD 4                 /* the caller heard details of it */
#define LIST_SAW_ITEMS 16           /* or next_cursor: a newer server */
#define LIST_IN_ITEMS 32            /* which of the two arrays is read */
#define LIST_IN_OLD 64
#define LIST_LEFT_SOME 128          /* the page had more than there was room */

static struct lssb_op_state *list_of(lssb_op *op)
{
    return &op->reserved.state;
}

static struct lssb_page *list_page(const lssb_op *op)
{
    return op->reserved.state.out;
}

static const struct lssb_kind *list_kind(const lssb_op *op)
{
    return lssb_call_exchange(op)->kind;
}

/* ------------------------------------------------------------- the query -- */

/* Whether an older server is asked, which has other names for parameters. */
static bool list_is_old(const lssb_op *op)
{
    return list_page(op)->mode == LIST_OFFSET;
}

void lssb_list_text(struct lssb_writer *to, bool *first, const char *name,
                    const char *value)
{
    if (value == NULL)
        return;
    lssb_put_text(to, *first ? "?" : "&");
    *first = false;
    lssb_put_text(to, name);
    lssb_put_text(to, "=");
    lssb_put_query(to, value);
}

void lssb_list_number(struct lssb_writer *to, bool *first, const char *name,
                      uint64_t number)
{
    lssb_put_text(to, *first ? "?" : "&");
    *first = false;
    lssb_put_text(to, name);
    lssb_put_text(to, "=");
    lssb_put_u64(to, number);
}

/* How many to ask for. */
static uint64_t list_page_size(const lssb_op *op)
{
    uint64_t size = op->reserved.state.size;

    return size < LIST_PAGE ? size : LIST_PAGE;
}

void lssb_list_query(const lssb_op *op, struct lssb_writer *to, bool *first)
{
    const struct lssb_page *page = list_page(op);
    bool old = list_is_old(op);

    lssb_list_number(to, first, old ? "limit" : "page_size",
                     list_page_size(op));
    if (old)
        lssb_list_number(to, first, "offset", page->offset);
    if (page->mode == LIST_CURSOR && page->cursor[0] != '\0')
        lssb_list_text(to, first, "cursor", page->cursor);
}

void lssb_list_filters(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_sandbox_list *list = op->reserved.state.text;
    bool first = true;
    size_t i;

    lssb_list_query(op, to, &first);
    lssb_list_text(to, &first, "name_contains", list->name_contains);
    lssb_list_text(to, &first, "status", list->status);
    lssb_list_text(to, &first, "created_by", list->created_by);
    for (i = 0; i < list->label_count; i++)
        lssb_list_text(to, &first, "label", list->labels[i]);
    lssb_list_text(to, &first, "sort_by", list->sort_by);
    lssb_list_text(to, &first,
                   list_is_old(op) ? "sort_direction" : "sort_order",
                   list->sort_order);
}

/* ------------------------------------------------------------- the reply -- */

/* Whether an element is of the array to read: of the two the one that comes
 * first and is not empty (or null). */
static bool list_reads(lssb_op *op, const char *key)
{
    bool items = strcmp(key, "items") == 0;
    uint8_t mine = items ? LIST_IN_ITEMS : LIST_IN_OLD;
    uint8_t other = items ? LIST_IN_OLD : LIST_IN_ITEMS;

    if (!items && strcmp(key, list_kind(op)->items) != 0)
        return false;
    if ((list_of(op)->step & other) != 0)
        return false;
    list_of(op)->step |= mine;
    return true;
}

/* Whether the caller gets an element's details: it has them asked for, and the
 * element, which is of that array, is one of those that are stored. */
static bool list_wants_details(lssb_op *op, const char *array)
{
    const struct lssb_page *page = list_page(op);
    const struct lssb_op_state *state = list_of(op);
    uint8_t other = strcmp(array, "items") == 0 ? LIST_IN_OLD : LIST_IN_ITEMS;

    return page->details != NULL && (state->step & other) == 0 &&
           state->progress >= page->skip &&
           state->progress - page->skip < state->size;
}

enum lssb_json_take lssb_list_choose(void *ctx, int depth, const char *parent,
                                     const char *key)
{
    lssb_op *op = ctx;
    const struct lssb_kind *kind = list_kind(op);

    if (depth == 1 && parent[0] != '\0')
        return lssb_kind_keep(kind, key, list_wants_details(op, parent));
    if (depth != 1)
        return LSSB_JSON_SKIP;
    if (strcmp(key, "items") == 0) {
        list_of(op)->step |= LIST_SAW_ITEMS;
        return LSSB_JSON_SPLIT;
    }
    if (strcmp(key, "next_cursor") == 0) {
        list_of(op)->step |= LIST_SAW_ITEMS;
        return LSSB_JSON_KEEP;
    }
    return strcmp(key, kind->items) == 0 ? LSSB_JSON_SPLIT : LSSB_JSON_SKIP;
}

/* One detail of the element at hand. */
static lssb_status list_detail(lssb_op *op, const struct lssb_json *json)
{
    const struct lssb_page *page = list_page(op);
    struct lssb_op_state *state = list_of(op);

    if (strncmp(json->path, "/run_config/", 12) == 0)
        state->step |= LSSB_STEP_SAW_CONFIG;
    state->step |= LIST_TOLD;
    return lssb_call_heard(
        op, page->details->take(page->details->user,
                                (size_t)(state->progress - page->skip),
                                json->path, json->slice, json->slice_len));
}

/* What the caller heard of this page does not count. */
static lssb_status list_forget(lssb_op *op)
{
    const lssb_list_details *details = list_page(op)->details;

    if ((list_of(op)->step & LIST_TOLD) == 0)
        return LSSB_OK;
    list_of(op)->step &= (uint8_t)~LIST_TOLD;
    return lssb_call_heard(op, details->take(details->user, 0, NULL, NULL, 0));
}

/* What a thing is known by: its id, else its name. */
static void list_name(const struct lssb_json *json, char *name, size_t size)
{
    size_t len;
    const char *raw = lssb_json_find(json->text, json->text_len, "id", &len);

    if (raw == NULL || *raw != '"')
        raw = lssb_json_find(json->text, json->text_len, "name", &len);
    name[0] = '\0';
    if (raw != NULL)
        lssb_json_decode(raw, len, name, size);
}

/* The first of a page, by an offset: that of the walk is kept; where it comes
 * back, what was told so far is passed over. */
static lssb_status list_begins(lssb_op *op, const struct lssb_json *json)
{
    struct lssb_page *page = list_page(op);
    char name[sizeof page->first];

    if (page->mode == LIST_CURSOR)
        return LSSB_OK;
    list_name(json, name, sizeof name);
    if (page->offset == 0)
        memcpy(page->first, name, sizeof name);
    if (page->offset == 0 || name[0] == '\0' ||
        strcmp(name, page->first) != 0)
        return LSSB_OK;
    list_of(op)->step |= LIST_REPEATS;
    page->skip = (uint32_t)page->offset;
    return list_forget(op);
}

/* One thing of the page; the caller has those before `skip` already. */
lssb_status lssb_list_event(lssb_op *op, struct lssb_json *json,
                            enum lssb_json_event event)
{
    struct lssb_op_state *state = list_of(op);
    const struct lssb_page *page = list_page(op);
    const struct lssb_kind *kind = list_kind(op);
    uint64_t index, room;
    lssb_status status = LSSB_OK;

    if (event == LSSB_JSON_VALUE)
        return list_detail(op, json);
    if (event != LSSB_JSON_ELEMENT || !list_reads(op, json->key))
        return LSSB_OK;
    index = state->progress++;
    if (index == 0)
        status = list_begins(op, json);
    if (status != LSSB_OK || index < page->skip)
        return status;
    room = index - page->skip;
    if (room >= state->size) {
        state->step |= LIST_LEFT_SOME;
        return LSSB_OK;
    }
    status = lssb_kind_fill(op, kind,
                            (char *)state->extra + (size_t)room * kind->size,
                            json->text, json->text_len);
    state->step &= (uint8_t)~LSSB_STEP_SAW_CONFIG;
    return status;
}

/* Forgets the part of a page that came. */
bool lssb_list_again(lssb_op *op)
{
    lssb_status status = list_forget(op);

    list_of(op)->progress = 0;
    list_of(op)->step = 0;
    if (list_is_old(op))
        list_page(op)->skip = 0;
    return status == LSSB_OK;
}

/* Whether the reply names a next page; stores its cursor. */
static lssb_status list_next_cursor(lssb_op *op, const char *text, size_t len,
                                    bool *more)
{
    struct lssb_page *page = list_page(op);
    char cursor[sizeof page->cursor];
    size_t raw_len, cursor_len = 0;
    const char *raw = NULL;

    if (text != NULL)
        raw = lssb_json_find(text, len, "next_cursor", &raw_len);
    if (raw != NULL && *raw == '"')
        cursor_len = lssb_json_decode(raw, raw_len, cursor, sizeof cursor);
    if (cursor_len >= sizeof cursor)
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_TOO_LONG,
                         LSSB_LAYER_JSON, lssb_call_exchange(op)->name,
                         ": the cursor is longer than its place in the walk",
                         NULL);
    *more = cursor_len > 0 && strcmp(cursor, page->cursor) != 0;
    if (*more)
        memcpy(page->cursor, cursor, cursor_len + 1);
    return LSSB_OK;
}

/* Sets where the walk goes on after a page of `got` things, all told. */
static lssb_status list_turn(lssb_op *op, const char *text, size_t len,
                             uint64_t got)
{
    struct lssb_page *page = list_page(op);
    bool more;
    lssb_status status;

    page->skip = 0;
    page->offset += got;
    if (page->mode == LIST_OFFSET) {
        if (got < list_page_size(op))
            page->mode = LIST_OVER;
        return LSSB_OK;
    }
    if (page->mode == LIST_FIRST)
        page->mode = (list_of(op)->step & LIST_SAW_ITEMS) != 0 ||
                             list_kind(op)->paging != LSSB_PAGING_BOTH
                         ? LIST_CURSOR
                         : LIST_OFFSET;
    if (page->mode == LIST_OFFSET)
        return LSSB_OK;             /* its size is the server's own choice */
    status = list_next_cursor(op, text, len, &more);
    if (status == LSSB_OK && (!more || got == 0))
        page->mode = LIST_OVER;
    return status;
}

/* The same after a page that began as the walk did. One that was not as long
 * as was asked for, or had something behind what was told before, is of a
 * server that does not page. Else as many things may have come into being in
 * between: once that is believed. */
static void list_turn_back(lssb_op *op, uint64_t told)
{
    struct lssb_page *page = list_page(op);
    uint64_t got = list_of(op)->progress;

    page->skip = 0;
    page->offset += told > 0 ? told : got;
    if ((list_of(op)->step & LIST_LEFT_SOME) != 0)
        return;
    if (told > 0 || got != list_page_size(op) || page->repeats > 0)
        page->mode = LIST_OVER;
    page->repeats = 1;
}

/* Where the walk goes on after this page, of which `told` things were given. */
static lssb_status list_advance(lssb_op *op, const char *text, size_t len,
                                uint64_t told)
{
    struct lssb_page *page = list_page(op);
    uint8_t step = list_of(op)->step;

    if ((step & LIST_REPEATS) != 0) {
        list_turn_back(op, told);
        return LSSB_OK;
    }
    page->repeats = 0;
    if ((step & LIST_LEFT_SOME) == 0)
        return list_turn(op, text, len, list_of(op)->progress);
    if (page->mode == LIST_OFFSET ||
        ((step & LIST_SAW_ITEMS) == 0 &&
         list_kind(op)->paging == LSSB_PAGING_BOTH))
        return list_turn(op, text, len, told);
    page->skip += (uint32_t)told;   /* the same page once more */
    return LSSB_OK;
}

lssb_status lssb_list_done(lssb_op *op, const char *text, size_t len)
{
    struct lssb_op_state *state = list_of(op);
    struct lssb_page *page = list_page(op);
    size_t *count;
    uint64_t told = 0;
    lssb_status status;

    memcpy(&count, &state->options, sizeof count);
    if (state->progress > page->skip)
        told = state->progress - page->skip;
    if (told > state->size)
        told = state->size;
    status = list_advance(op, text, len, told);
    if (status != LSSB_OK)
        return status;
    *count = (size_t)told;
    if (told > 0)
        return LSSB_OK;
    if (page->mode == LIST_OVER)
        return LSSB_END;
    if (!lssb_list_again(op))
        return LSSB_E_STOPPED;
    return lssb_call_next(op, lssb_call_exchange(op), 0);
}

/* -------------------------------------------------------------- starting -- */

lssb_status lssb_list_next(lssb_client *client, const struct lssb_exchange *x,
                           const struct lssb_walk *walk, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);

    if (call == NULL)
        return status;
    if (walk->page == NULL || walk->things == NULL || walk->max == 0 ||
        walk->count == NULL)
        return lssb_refuse(client, call, x->name, ": the walk, the array or "
                           "its count is NULL, or max is 0", NULL);
    *walk->count = 0;
    walk->page->details = walk->details;
    if (walk->page->mode == LIST_OFFSET)
        walk->page->skip = 0;       /* of a page that failed half way */
    if (walk->page->mode == LIST_FIRST && x->kind->paging == LSSB_PAGING_OFFSET)
        walk->page->mode = LIST_OFFSET;
    if (walk->page->mode == LIST_OVER)
        return call->status = LSSB_END;
    list_of(call)->text = walk->filters;
    list_of(call)->box = walk->box;
    list_of(call)->out = walk->page;
    list_of(call)->extra = walk->things;
    list_of(call)->size = walk->max;
    memcpy(&list_of(call)->options, &walk->count, sizeof walk->count);
    return lssb_kind_go(call, op == NULL, x, walk->attempt_ms);
}
