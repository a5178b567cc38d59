/* kind.c: what the kinds of things that the service keeps have in common.
 *
 * SPDX-License-Identifier: MIT
 *
 * Sandboxes, snapshots, registries, and the older templates, volumes and pools
 * are all described, changed and deleted alike (protocol 2.1). A kind is a
 * constant table; an exchange names its kind.
 */
#include "internal.h"

static struct lssb_op_state *kind_of(lssb_op *op)
{
    return &op->reserved.state;
}

static const struct lssb_kind *kind_at(const lssb_op *op)
{
    return lssb_call_exchange(op)->kind;
}

/* --------------------------------------------------------------- reading -- */

enum lssb_json_take lssb_kind_keep(const struct lssb_kind *kind,
                                   const char *key, bool details)
{
    size_t i;

    for (i = 0; i < kind->member_count; i++) {
        if (strcmp(key, kind->members[i].key) != 0)
            continue;
        if (kind->members[i].kind == LSSB_JSON_PRESENT)
            return details ? LSSB_JSON_VISIT : LSSB_JSON_ENTER;
        return kind->members[i].kind == LSSB_JSON_TEXT_CUT ? LSSB_JSON_CUT
                                                           : LSSB_JSON_KEEP;
    }
    if (kind->nested != NULL && strcmp(key, kind->nested) == 0)
        return LSSB_JSON_KEEP;
    return details ? LSSB_JSON_VISIT : LSSB_JSON_SKIP;
}

enum lssb_json_take lssb_kind_choose(void *ctx, int depth, const char *parent,
                                     const char *key)
{
    lssb_op *op = ctx;

    (void)parent;
    if (depth != 1)
        return LSSB_JSON_SKIP;
    return lssb_kind_keep(kind_at(op), key, kind_of(op)->extra != NULL);
}

lssb_status lssb_kind_event(lssb_op *op, struct lssb_json *json,
                            enum lssb_json_event event)
{
    const lssb_details *details = kind_of(op)->extra;

    if (event != LSSB_JSON_VALUE)
        return LSSB_OK;
    if (strncmp(json->path, "/run_config/", 12) == 0)
        kind_of(op)->step |= LSSB_STEP_SAW_CONFIG;
    return lssb_call_heard(op, details->take(details->user, json->path,
                                             json->slice, json->slice_len));
}

/* The reply is not what it should be. */
static lssb_status kind_strange(lssb_op *op, const struct lssb_kind *kind,
                                const char *why)
{
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                     LSSB_LAYER_JSON, "a ", kind->name,
                     " was expected in the reply, ", why, NULL);
}

lssb_status lssb_kind_fill(lssb_op *op, const struct lssb_kind *kind,
                           void *thing, const char *text, size_t len)
{
    const char *key = "";
    lssb_status status;

    if (text == NULL)
        return kind_strange(op, kind, "which is empty");
    if (text[0] != '{')
        return kind_strange(op, kind, "a JSON object");
    memset(thing, 0, kind->size);
    status = lssb_json_fill(text, len, kind->members, kind->member_count,
                            thing, &key);
    if (kind->complete != NULL)
        kind->complete(op, thing, text, len);
    if (status == LSSB_E_TOO_LONG)
        return lssb_fail(&lssb_call_client(op)->error, status, LSSB_LAYER_JSON,
                         "the ", kind->name, "'s \"", key,
                         "\" is longer than its place in ", kind->type, NULL);
    if (status == LSSB_OK)
        return LSSB_OK;
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                     LSSB_LAYER_JSON, "the ", kind->name,
                     key != NULL ? "'s \"" : "", key != NULL ? key : "",
                     key != NULL ? "\" in the reply has a NUL in it"
                                 : " in the reply has more names and values "
                                   "than this build's LSSB_TOKENS", NULL);
}

void lssb_kind_default(char *to, size_t size, const char *missing)
{
    if (to[0] == '\0')
        lssb_copy(to, size, missing, strlen(missing));
}

/* -------------------------------------------------------------- requests -- */

void lssb_kind_all_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, kind_at(op)->path);
}

void lssb_kind_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, kind_at(op)->path);
    lssb_put_text(to, "/");
    lssb_put_segment(to, op->reserved.state.text);
}

lssb_status lssb_kind_got(lssb_op *op, const char *text, size_t len)
{
    return lssb_kind_fill(op, kind_at(op), kind_of(op)->out, text, len);
}

lssb_status lssb_kind_done(lssb_op *op, const char *text, size_t len)
{
    (void)op;
    (void)text;
    (void)len;
    return LSSB_OK;
}

enum lssb_json_take lssb_kind_choose_none(void *ctx, int depth,
                                          const char *parent, const char *key)
{
    (void)ctx;
    (void)depth;
    (void)parent;
    (void)key;
    return LSSB_JSON_SKIP;
}

/* -------------------------------------------------------------- failures -- */

lssb_status lssb_kind_mean(lssb_error *error, lssb_status status,
                           lssb_resource resource)
{
    error->status = status;
    error->resource = resource;
    return status;
}

lssb_status lssb_kind_failed(lssb_op *op, lssb_error *error)
{
    if (error->status == LSSB_E_NOT_FOUND && kind_of(op)->text != NULL &&
        error->resource == kind_at(op)->resource)
        lssb_error_prefix(error, kind_at(op)->name, " ",
                          (const char *)kind_of(op)->text, ": ", NULL);
    return error->status;
}

lssb_status lssb_kind_create_failed(lssb_op *op, lssb_error *error)
{
    if (error->http_status == 409)
        return lssb_kind_mean(error, LSSB_E_ALREADY_EXISTS,
                              kind_at(op)->resource);
    return error->status;
}

lssb_status lssb_kind_delete_failed(lssb_op *op, lssb_error *error)
{
    if (error->status == LSSB_E_NOT_FOUND && lssb_kind_may_be_done(op))
        return LSSB_OK;
    if (error->http_status == 409 && kind_at(op)->in_use)
        lssb_kind_mean(error, LSSB_E_IN_USE, kind_at(op)->resource);
    return lssb_kind_failed(op, error);
}

lssb_status lssb_kind_change_failed(lssb_op *op, lssb_error *error)
{
    struct lssb_op_state *state = kind_of(op);

    if (error->status != LSSB_E_NOT_FOUND || state->box == NULL ||
        !lssb_kind_may_be_done(op))
        return lssb_kind_failed(op, error);
    state->text = state->box;
    return lssb_call_next(op, kind_at(op)->get, 0);
}

bool lssb_kind_again(lssb_op *op)
{
    const struct lssb_slot *slot = lssb_call_slot(op);

    kind_of(op)->step &= (uint8_t)~LSSB_STEP_SAW_CONFIG;
    if ((slot == NULL || slot->conn.sent_any) &&
        lssb_call_client(op)->error.http_status != 429)
        kind_of(op)->step |= LSSB_STEP_MAY_BE_DONE;
    return true;
}

bool lssb_kind_may_be_done(lssb_op *op)
{
    return (kind_of(op)->step & LSSB_STEP_MAY_BE_DONE) != 0;
}

/* --------------------------------------------------------------- waiting -- */

lssb_state lssb_kind_state(const char *word)
{
    static const struct {
        const char *word;
        lssb_state state;
    } words[] = { { "provisioning", LSSB_STATE_PROVISIONING },
                  { "building", LSSB_STATE_BUILDING },
                  { "ready", LSSB_STATE_READY },
                  { "failed", LSSB_STATE_FAILED },
                  { "stopped", LSSB_STATE_STOPPED },
                  { "deleting", LSSB_STATE_DELETING } };
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i].word) == 0)
            return words[i].state;
    return LSSB_STATE_OTHER;
}

/* `size` keeps the seconds, for the message at the end. */
void lssb_kind_wait_until(lssb_op *op, uint32_t timeout_s)
{
    lssb_client *client = lssb_call_client(op);

    kind_of(op)->size = timeout_s;
    kind_of(op)->wait_end_at = client->port->now_ms(client->port_context) +
                               (uint64_t)timeout_s * 1000;
}

lssb_status lssb_kind_wait_failed(lssb_op *op, lssb_status status,
                                  const char *title, const char *last_status,
                                  const char *reason)
{
    lssb_error *error = &lssb_call_client(op)->error;

    lssb_fail(error, status, LSSB_LAYER_SERVICE, kind_at(op)->name, " ", title,
              ": ", reason, NULL);
    error->resource = kind_at(op)->resource;
    lssb_copy(error->last_status, sizeof error->last_status, last_status,
              strlen(last_status));
    return status;
}

lssb_status lssb_kind_wait_more(lssb_op *op, const struct lssb_exchange *poll,
                                uint32_t interval_ms, const char *title,
                                const char *last_status)
{
    struct lssb_op_state *state = kind_of(op);
    lssb_client *client = lssb_call_client(op);
    char reason[80];
    struct lssb_text text;
    uint64_t left;
    uint32_t pause;

    if (client->now >= state->wait_end_at) {
        lssb_text_start(&text, reason, sizeof reason);
        lssb_text_add(&text, "not ready after ");
        lssb_text_add_u64(&text, state->size);
        lssb_text_add(&text, " s (last_status: ");
        lssb_text_add(&text, last_status);
        lssb_text_add(&text, ")");
        return lssb_kind_wait_failed(op, LSSB_E_TIMEOUT, title, last_status,
                                     reason);
    }
    left = state->wait_end_at - client->now;
    pause = interval_ms / 10 * 9 + lssb_random_below(client, interval_ms / 5);
    return lssb_call_next(op, poll, left < pause ? (uint32_t)left : pause);
}

/* -------------------------------------------------------------- starting -- */

void lssb_kind_details(lssb_op *op, const lssb_details *details)
{
    if (details != NULL)
        memcpy(&kind_of(op)->extra, &details, sizeof details);
}

/* The trial that a call begins with asks for the path, and so for the kind. */
lssb_status lssb_kind_go(lssb_op *op, bool wait, const struct lssb_exchange *x,
                         uint32_t attempt_ms)
{
    kind_of(op)->exchange = x;
    return lssb_call_go(op, wait, x, attempt_ms);
}

/* NULL, or which argument is missing. */
static const char *kind_missing(const struct lssb_exchange *x,
                                const struct lssb_arguments *arguments)
{
    if ((arguments->named || x->path == lssb_kind_path) &&
        arguments->name == NULL)
        return ": name: NULL";
    if (x->body != NULL && arguments->options == NULL)
        return ": options: NULL";
    if (x->done != lssb_kind_done && arguments->out == NULL)
        return ": the place for the result: NULL";
    return NULL;
}

lssb_status lssb_kind_start(lssb_client *client, const struct lssb_exchange *x,
                            const struct lssb_arguments *arguments,
                            lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);
    const char *missing = kind_missing(x, arguments);

    if (call == NULL)
        return status;
    if (missing != NULL)
        return lssb_refuse(client, call, x->name, missing, NULL);
    kind_of(call)->text = arguments->name;
    kind_of(call)->options = arguments->options;
    kind_of(call)->out = arguments->out;
    kind_of(call)->box = arguments->new_name;
    lssb_kind_details(call, arguments->details);
    return lssb_kind_go(call, op == NULL, x, arguments->attempt_ms);
}
