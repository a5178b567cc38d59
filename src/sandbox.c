/* sandbox.c: boxes: create, describe, list, change, delete, wait, start, stop.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.3 to 2.6, 2.12 and 3. Each call is a small chain of exchanges; a
 * wait is one that follows itself.
 */
#include "internal.h"

#define SANDBOX_TIMEOUT_S 30        /* of a creation */
#define SANDBOX_GRACE_S 30          /* HTTP's time beyond the server's */
#define SANDBOX_WAIT_S 120
#define SANDBOX_POLL_MS 1000
#define SANDBOX_PAGE 100            /* most that a server gives at once */

/* ---------------------------------------------------------- reading boxes -- */

#define SANDBOX_TEXT(key, kind) \
    { #key, kind, (uint16_t)offsetof(lssb_sandbox, key), \
      (uint16_t)sizeof(((lssb_sandbox *)0)->key) }
#define SANDBOX_NUMBER(key, member, kind) \
    { key, kind, (uint16_t)offsetof(lssb_sandbox, member), 0 }

static const struct lssb_json_member sandbox_members[] = {
    SANDBOX_TEXT(id, LSSB_JSON_TEXT),
    SANDBOX_TEXT(name, LSSB_JSON_TEXT),
    SANDBOX_TEXT(dataplane_url, LSSB_JSON_TEXT),
    SANDBOX_TEXT(status, LSSB_JSON_TEXT_CUT),
    SANDBOX_TEXT(status_message, LSSB_JSON_TEXT_CUT),
    SANDBOX_TEXT(snapshot_id, LSSB_JSON_TEXT),
    SANDBOX_TEXT(created_at, LSSB_JSON_TEXT),
    SANDBOX_TEXT(updated_at, LSSB_JSON_TEXT),
    SANDBOX_TEXT(stopped_at, LSSB_JSON_TEXT),
    SANDBOX_TEXT(created_by, LSSB_JSON_TEXT),
    SANDBOX_TEXT(updated_by, LSSB_JSON_TEXT),
    SANDBOX_TEXT(size_class, LSSB_JSON_TEXT_CUT),
    SANDBOX_NUMBER("idle_ttl_seconds", idle_ttl_s, LSSB_JSON_I64),
    SANDBOX_NUMBER("delete_after_stop_seconds", delete_after_stop_s,
                   LSSB_JSON_I64),
    SANDBOX_NUMBER("vcpus", vcpus, LSSB_JSON_I64),
    SANDBOX_NUMBER("cpu_millicores", cpu_millicores, LSSB_JSON_I64),
    SANDBOX_NUMBER("mem_bytes", mem_bytes, LSSB_JSON_I64),
    SANDBOX_NUMBER("fs_capacity_bytes", fs_capacity_bytes, LSSB_JSON_I64),
    SANDBOX_NUMBER("preserve_memory_on_stop", preserve_memory_on_stop,
                   LSSB_JSON_FLAG)
};
#define SANDBOX_MEMBERS (sizeof sandbox_members / sizeof sandbox_members[0])

static const struct lssb_json_member sandbox_status_members[] = {
    SANDBOX_TEXT(status, LSSB_JSON_TEXT_CUT),
    SANDBOX_TEXT(status_message, LSSB_JSON_TEXT_CUT)
};

static struct lssb_op_state *sandbox_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* The state that a word names; none is `missing`. */
static void sandbox_set_state(lssb_sandbox *box, lssb_state missing)
{
    static const struct {
        const char *word;
        lssb_state state;
    } words[] = { { "provisioning", LSSB_STATE_PROVISIONING },
                  { "ready", LSSB_STATE_READY },
                  { "failed", LSSB_STATE_FAILED },
                  { "stopped", LSSB_STATE_STOPPED },
                  { "deleting", LSSB_STATE_DELETING } };
    size_t i;

    box->state = LSSB_STATE_OTHER;
    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (box->status[0] == '\0' && words[i].state == missing)
            memcpy(box->status, words[i].word, strlen(words[i].word) + 1);
        if (strcmp(box->status, words[i].word) == 0)
            box->state = words[i].state;
    }
}

/* Which members of a box are kept; those without room in the struct go to the
 * caller's callback, if there is one. */
static enum lssb_json_take sandbox_choose(const char *key, bool details)
{
    size_t i;

    for (i = 0; i < SANDBOX_MEMBERS; i++)
        if (strcmp(key, sandbox_members[i].key) == 0)
            return sandbox_members[i].kind == LSSB_JSON_TEXT_CUT
                       ? LSSB_JSON_CUT
                       : LSSB_JSON_KEEP;
    return details ? LSSB_JSON_VISIT : LSSB_JSON_SKIP;
}

/* Fills a box from what was kept of an object. */
static lssb_status sandbox_fill(lssb_op *op, lssb_sandbox *box,
                                const char *text, size_t len)
{
    lssb_client *client = lssb_call_client(op);
    const char *key = "";
    lssb_status status;

    memset(box, 0, sizeof *box);
    status = lssb_json_fill(text, len, sandbox_members, SANDBOX_MEMBERS, box,
                            &key);
    box->client = client;
    sandbox_set_state(box, LSSB_STATE_READY);
    if (status == LSSB_E_TOO_LONG)
        return lssb_fail(&client->error, status, LSSB_LAYER_JSON,
                         "the sandbox's \"", key,
                         "\" is longer than its place in lssb_sandbox", NULL);
    if (status != LSSB_OK)
        return lssb_fail(&client->error, status, LSSB_LAYER_JSON,
                         "a sandbox was expected in the reply, a JSON object",
                         NULL);
    return LSSB_OK;
}

/* The `run_config` of a box is only looked for. */
static void sandbox_note_config(lssb_sandbox *box, const char *text,
                                size_t len)
{
    size_t raw_len;
    const char *raw = lssb_json_find(text, len, "run_config", &raw_len);

    box->has_run_config = raw != NULL && *raw == '{';
}

/* --------------------------------------------------------------- requests -- */

/* Puts name and value pairs of a query, '?' or '&' before each. */
static void sandbox_query(struct lssb_writer *to, bool *first,
                          const char *name, const char *value)
{
    if (value == NULL)
        return;
    lssb_put_text(to, *first ? "?" : "&");
    *first = false;
    lssb_put_text(to, name);
    lssb_put_text(to, "=");
    lssb_put_query(to, value);
}

/* "/boxes/{name}" of the call: its text, or its box. */
static void sandbox_path_of(const lssb_op *op, struct lssb_writer *to,
                            const char *suffix)
{
    const lssb_sandbox *box = op->reserved.state.box;
    const char *name = op->reserved.state.text;

    if (name == NULL)
        name = box->name[0] != '\0' ? box->name : box->id;
    lssb_put_text(to, "/boxes/");
    lssb_put_segment(to, name);
    lssb_put_text(to, suffix);
}

static void sandbox_path(const lssb_op *op, struct lssb_writer *to)
{
    sandbox_path_of(op, to, "");
}

static void sandbox_status_path(const lssb_op *op, struct lssb_writer *to)
{
    sandbox_path_of(op, to, "/status");
}

static void sandbox_start_path(const lssb_op *op, struct lssb_writer *to)
{
    sandbox_path_of(op, to, "/start");
}

static void sandbox_stop_path(const lssb_op *op, struct lssb_writer *to)
{
    sandbox_path_of(op, to, "/stop");
}

static void sandbox_empty_body(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "{}");
}

/* The name that the caller knows a box by, for messages. */
static const char *sandbox_title(const lssb_op *op)
{
    const lssb_sandbox *box = op->reserved.state.box;

    if (op->reserved.state.text != NULL)
        return op->reserved.state.text;
    if (box == NULL)
        return "";
    return box->name[0] != '\0' ? box->name : box->id;
}

/* A failure about a box names it. */
static lssb_status sandbox_failed(lssb_op *op, lssb_error *error)
{
    char said[LSSB_MESSAGE_SIZE];
    struct lssb_text text;

    if (error->status != LSSB_E_NOT_FOUND ||
        error->resource != LSSB_RESOURCE_SANDBOX)
        return error->status;
    memcpy(said, error->message, sizeof said);
    lssb_text_start(&text, error->message, sizeof error->message);
    lssb_text_add(&text, "sandbox ");
    lssb_text_add(&text, sandbox_title(op));
    lssb_text_add(&text, ": ");
    lssb_text_add(&text, said);
    return error->status;
}

/* --------------------------------------------------------------- describing -- */

/* The members of one box; `extra` is the callback for the others. */
static enum lssb_json_take sandbox_one_choose(void *ctx, int depth,
                                              const char *parent,
                                              const char *key)
{
    lssb_op *op = ctx;
    bool details = sandbox_of(op)->extra != NULL;

    if (depth == 2 && strcmp(parent, "run_config") == 0)
        sandbox_of(op)->step |= 1;
    if (depth != 1)
        return LSSB_JSON_SKIP;
    if (strcmp(key, "run_config") == 0 && !details)
        return LSSB_JSON_ENTER;
    return sandbox_choose(key, details);
}

/* Where the caller wants members to go that the struct has no room for. */
struct sandbox_details {
    lssb_detail_fn call;
    void *user;
};

/* A member for the caller. */
static lssb_status sandbox_event(lssb_op *op, struct lssb_json *json,
                                 enum lssb_json_event event)
{
    const struct sandbox_details *details = sandbox_of(op)->extra;

    if (event != LSSB_JSON_VALUE)
        return LSSB_OK;
    if (strncmp(json->path, "/run_config/", 12) == 0)
        sandbox_of(op)->step |= 1;
    return lssb_call_stopped(op, details->call(details->user, json->path,
                                               json->slice, json->slice_len));
}
