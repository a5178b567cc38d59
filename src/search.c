/* search.c: find files, search in files.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 4.7. Matches are told as they arrive, each out of the buffer that
 * the reply is read by.
 */
#include "internal.h"

static lssb_search *search_of(const lssb_op *op)
{
    return op->reserved.state.out;
}

static void search_glob_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/glob");
}

static void search_grep_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/grep");
}

/* Both bodies; `glob` is for one of them. */
static void search_body(const lssb_op *op, struct lssb_writer *to,
                        const char *glob)
{
    const lssb_search *search = search_of(op);
    struct lssb_json_writer json;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    lssb_json_string(&json, "pattern", search->pattern);
    lssb_json_string(&json, "path", search->path);
    if (glob != NULL)
        lssb_json_string(&json, "glob", glob);
    lssb_spec_number(&json, "limit", search->limit);
    lssb_json_close(&json);
}

static void search_glob_body(const lssb_op *op, struct lssb_writer *to)
{
    search_body(op, to, NULL);
}

static void search_grep_body(const lssb_op *op, struct lssb_writer *to)
{
    search_body(op, to, search_of(op)->glob);
}

static enum lssb_json_take search_choose(void *ctx, int depth,
                                         const char *parent, const char *key)
{
    static const char *const kept[] = { "path", "is_dir", "size_bytes",
                                        "modified_at", "line" };
    size_t i;

    (void)ctx;
    if (depth != 1)
        return LSSB_JSON_SKIP;
    if (parent[0] == '\0' && strcmp(key, "matches") == 0)
        return LSSB_JSON_SPLIT;
    if (parent[0] == '\0')
        return strcmp(key, "truncated") == 0 ? LSSB_JSON_KEEP : LSSB_JSON_SKIP;
    if (strcmp(key, "text") == 0)
        return LSSB_JSON_CUT;
    for (i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (strcmp(key, kept[i]) == 0)
            return LSSB_JSON_KEEP;
    return LSSB_JSON_SKIP;
}

/* A member of an entry: where it is in the entry's own text, and its length;
 * NULL: it has none. */
static char *search_member(struct lssb_json *json, const char *key,
                           size_t *len)
{
    const char *raw = lssb_json_find(json->text, json->text_len, key, len);

    return raw == NULL ? NULL : json->text + (raw - json->text);
}

/* A number of an entry. */
static int64_t search_number(struct lssb_json *json, const char *key)
{
    int64_t number = LSSB_UNKNOWN;
    size_t len;
    const char *raw = search_member(json, key, &len);

    if (raw == NULL || !lssb_json_integer(raw, len, &number) || number < 0)
        return LSSB_UNKNOWN;
    return number;
}

/* Decodes a member that is a string where it stands; "" when it is none. */
static const char *search_text(char *raw, size_t raw_len, size_t *len)
{
    const char *text = NULL;

    *len = 0;
    if (raw != NULL)
        text = lssb_json_decode_here(raw, raw_len, len);
    return text != NULL ? text : "";
}

/* One match for the caller. All members are found before the first is decoded,
 * which spoils the JSON. */
static lssb_status search_event(lssb_op *op, struct lssb_json *json,
                                enum lssb_json_event event)
{
    lssb_search *search = search_of(op);
    char *path, *modified, *text, *dir;
    size_t path_len, modified_len, text_len, dir_len, len;
    lssb_match match;

    if (event != LSSB_JSON_ELEMENT)
        return LSSB_OK;
    if (json->text[0] != '{')
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, lssb_call_exchange(op)->name,
                         ": a match in the reply is no JSON object", NULL);
    memset(&match, 0, sizeof match);
    match.size_bytes = search_number(json, "size_bytes");
    match.line = search_number(json, "line");
    dir = search_member(json, "is_dir", &dir_len);
    match.is_dir = dir != NULL && dir_len == 4 && memcmp(dir, "true", 4) == 0;
    path = search_member(json, "path", &path_len);
    modified = search_member(json, "modified_at", &modified_len);
    text = search_member(json, "text", &text_len);
    match.path = search_text(path, path_len, &len);
    match.modified_at = search_text(modified, modified_len, &len);
    match.text = search_text(text, text_len, &match.text_len);
    search->count++;
    return lssb_call_heard(op, search->take(search->user, &match));
}

/* The reply is complete: whether it is all. */
static lssb_status search_done(lssb_op *op, const char *text, size_t len)
{
    const char *raw;
    size_t raw_len;

    if (text == NULL || text[0] != '{')
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, lssb_call_exchange(op)->name,
                         ": a JSON object was expected in the reply", NULL);
    raw = lssb_json_find(text, len, "truncated", &raw_len);
    search_of(op)->truncated =
        raw != NULL && raw_len == 4 && memcmp(raw, "true", 4) == 0;
    return LSSB_OK;
}

/* What is missing names the directory and the box; or it is the call itself
 * that this server lacks. */
static lssb_status search_failed(lssb_op *op, lssb_error *error)
{
    const lssb_sandbox *box = op->reserved.state.box;
    const char *name = box->name[0] != '\0' ? box->name : box->id;

    if (error->http_status == 404)
        lssb_kind_mean(error, LSSB_E_NOT_FOUND, LSSB_RESOURCE_FILE);
    if (error->status == LSSB_E_NOT_FOUND)
        lssb_error_prefix(error, "file ", search_of(op)->path, " in sandbox ",
                          name, ": ", NULL);
    if ((error->http_status == 404 &&
         strcmp(error->type, "FileNotFound") != 0) ||
        error->http_status == 405)
        lssb_error_prefix(error, lssb_call_exchange(op)->name,
                          " (perhaps this server has no searches): ", NULL);
    return error->status;
}

/* No match is told twice. */
static bool search_again(lssb_op *op)
{
    return search_of(op)->count == 0;
}

static const struct lssb_exchange search_glob = {
    .name = "glob",
    .method = "POST",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .path = search_glob_path,
    .body = search_glob_body,
    .choose = search_choose,
    .event = search_event,
    .done = search_done,
    .failed = search_failed,
    .again = search_again
};

static const struct lssb_exchange search_grep = {
    .name = "grep",
    .method = "POST",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .path = search_grep_path,
    .body = search_grep_body,
    .choose = search_choose,
    .event = search_event,
    .done = search_done,
    .failed = search_failed,
    .again = search_again
};

/* Begins one of the two. */
static lssb_status search_start(const lssb_sandbox *box,
                                const struct lssb_exchange *x,
                                lssb_search *search, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (search == NULL || search->pattern == NULL || search->path == NULL ||
        search->take == NULL)
        return lssb_refuse(box->client, call, x->name, ": the search, its "
                           "pattern, path or take is NULL", NULL);
    search->count = 0;
    search->truncated = false;
    call->reserved.state.out = search;
    return lssb_call_go(call, op == NULL, x, 0);
}

lssb_status lssb_glob(const lssb_sandbox *box, lssb_search *search,
                      lssb_op *op)
{
    return search_start(box, &search_glob, search, op);
}

lssb_status lssb_grep(const lssb_sandbox *box, lssb_search *search,
                      lssb_op *op)
{
    return search_start(box, &search_grep, search, op);
}
