/* sandbox.c: boxes that are there: describe, wait, start, stop, delete.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.4, 2.6, 2.12 and 3. Each call is a small chain of exchanges; a
 * wait is one that follows itself.
 */
#include "internal.h"

#define SANDBOX_WAIT_S 120
#define SANDBOX_POLL_MS 1000
#define SANDBOX_STARTING 2          /* in `step`: a wait that follows a start */
#define SANDBOX_WAS_FAILED 4        /* a start of a box that had failed */

/* --------------------------------------------------------- reading boxes -- */

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
                   LSSB_JSON_FLAG),
    SANDBOX_TEXT(template_name, LSSB_JSON_TEXT),
    SANDBOX_TEXT(expires_at, LSSB_JSON_TEXT),
    SANDBOX_NUMBER("ttl_seconds", ttl_s, LSSB_JSON_I64),
    SANDBOX_NUMBER("run_config", has_run_config, LSSB_JSON_PRESENT)
};

static const struct lssb_json_member sandbox_status_members[] = {
    SANDBOX_TEXT(status, LSSB_JSON_TEXT_CUT),
    SANDBOX_TEXT(status_message, LSSB_JSON_TEXT_CUT)
};

static struct lssb_op_state *sandbox_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* The state that the status names; none is `missing`. */
static void sandbox_set_state(lssb_sandbox *box, const char *missing)
{
    lssb_kind_default(box->status, sizeof box->status, missing);
    box->state = lssb_kind_state(box->status);
}

/* The client, the state, and whether there was a run_config. */
static void sandbox_complete(lssb_op *op, void *thing, const char *text,
                             size_t len)
{
    lssb_sandbox *box = thing;

    (void)text;
    (void)len;
    box->client = lssb_call_client(op);
    if ((sandbox_of(op)->step & LSSB_STEP_SAW_CONFIG) != 0)
        box->has_run_config = true;
    sandbox_set_state(box, "ready");
}

const struct lssb_kind lssb_sandbox_kind = {
    .name = "sandbox",
    .type = "lssb_sandbox",
    .items = "sandboxes",
    .path = "/boxes",
    .resource = LSSB_RESOURCE_SANDBOX,
    .size = sizeof(lssb_sandbox),
    .members = sandbox_members,
    .member_count = sizeof sandbox_members / sizeof sandbox_members[0],
    .complete = sandbox_complete,
    .get = &lssb_sandbox_get_exchange
};

/* -------------------------------------------------------------- requests -- */

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

void lssb_sandbox_path(const lssb_op *op, struct lssb_writer *to)
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
lssb_status lssb_sandbox_failed(lssb_op *op, lssb_error *error)
{
    if (error->status == LSSB_E_NOT_FOUND &&
        error->resource == LSSB_RESOURCE_SANDBOX)
        lssb_error_prefix(error, "sandbox ", sandbox_title(op), ": ", NULL);
    return error->status;
}

/* ------------------------------------------------------------ describing -- */

const struct lssb_exchange lssb_sandbox_get_exchange = {
    .name = "get sandbox",
    .method = "GET",
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_sandbox_kind,
    .path = lssb_sandbox_path,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = lssb_kind_got,
    .failed = lssb_sandbox_failed,
    .again = lssb_kind_again
};

lssb_status lssb_sandbox_get_details(lssb_client *client, const char *name,
                                     lssb_sandbox *box,
                                     const lssb_details *details, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);

    if (call == NULL)
        return status;
    if (name == NULL || box == NULL)
        return lssb_refuse(client, call, "get sandbox: ",
                           name == NULL ? "name" : "box", ": NULL", NULL);
    sandbox_of(call)->text = name;
    sandbox_of(call)->out = box;
    lssb_kind_details(call, details);
    return lssb_call_go(call, op == NULL, &lssb_sandbox_get_exchange, 0);
}

lssb_status lssb_sandbox_get(lssb_client *client, const char *name,
                             lssb_sandbox *box, lssb_op *op)
{
    return lssb_sandbox_get_details(client, name, box, NULL, op);
}

/* --------------------------------------------------------------- waiting -- */

/* The members of a status reply. */
static enum lssb_json_take sandbox_status_choose(void *ctx, int depth,
                                                 const char *parent,
                                                 const char *key)
{
    (void)ctx;
    (void)parent;
    (void)depth;
    return strcmp(key, "status") == 0 || strcmp(key, "status_message") == 0
               ? LSSB_JSON_CUT
               : LSSB_JSON_SKIP;
}

/* Stores a state and its message, and nothing else, in the box. */
static lssb_status sandbox_got_status(lssb_op *op, const char *text,
                                      size_t len)
{
    lssb_sandbox *box = sandbox_of(op)->out;
    const char *key;

    box->status[0] = '\0';
    box->status_message[0] = '\0';
    if (text != NULL &&
        lssb_json_fill(text, len, sandbox_status_members, 2, box, &key) !=
            LSSB_OK)
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, "sandbox status: a JSON object was "
                         "expected in the reply", NULL);
    sandbox_set_state(box, "provisioning");
    return LSSB_OK;
}

/* A wait ends without a ready box. */
static lssb_status sandbox_wait_failed(lssb_op *op, const char *reason)
{
    const lssb_sandbox *box = sandbox_of(op)->out;

    return lssb_kind_wait_failed(op, LSSB_E_CREATION, sandbox_title(op),
                                 box->status, reason);
}

/* What a poll's state means for the wait. */
static lssb_status sandbox_polled(lssb_op *op, const char *text, size_t len)
{
    struct lssb_op_state *state = sandbox_of(op);
    lssb_sandbox *box = state->out;
    lssb_status status = sandbox_got_status(op, text, len);

    if (status != LSSB_OK)
        return status;
    state->progress++;
    switch (box->state) {
    case LSSB_STATE_READY:
        return lssb_call_next(op, &lssb_sandbox_get_exchange, 0);
    case LSSB_STATE_FAILED:
        if ((state->step & SANDBOX_WAS_FAILED) != 0 && state->progress <= 3)
            break;                  /* still the state from before the start */
        return sandbox_wait_failed(op,
                                   box->status_message[0] != '\0'
                                       ? box->status_message
                                       : "Sandbox provisioning failed");
    case LSSB_STATE_DELETING:
        return sandbox_wait_failed(op, "it is being deleted");
    case LSSB_STATE_STOPPED:
        if ((state->step & SANDBOX_STARTING) != 0)
            break;
        return sandbox_wait_failed(op, "it is stopped and will not become "
                                   "ready by itself; start it");
    case LSSB_STATE_PROVISIONING:
    case LSSB_STATE_BUILDING:
    case LSSB_STATE_OTHER:
        break;
    }
    return lssb_kind_wait_more(op, &lssb_sandbox_poll_exchange,
                               SANDBOX_POLL_MS, sandbox_title(op),
                               box->status);
}

const struct lssb_exchange lssb_sandbox_poll_exchange = {
    .name = "wait for sandbox",
    .method = "GET",
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_sandbox_kind,
    .path = sandbox_status_path,
    .choose = sandbox_status_choose,
    .done = sandbox_polled,
    .failed = lssb_sandbox_failed
};

static const struct lssb_exchange sandbox_status = {
    .name = "sandbox status",
    .method = "GET",
    .resource = LSSB_RESOURCE_SANDBOX,
    .path = sandbox_status_path,
    .choose = sandbox_status_choose,
    .done = sandbox_got_status,
    .failed = lssb_sandbox_failed
};

/* Begins a call about a box that the caller has. */
lssb_op *lssb_sandbox_begin(const lssb_sandbox *box, lssb_op *op, lssb_op *own,
                            lssb_status *status)
{
    lssb_op *call;

    *status = LSSB_E_INVALID_ARGUMENT;
    if (box == NULL) {
        if (op != NULL && op->status != LSSB_PENDING)
            op->status = *status;
        return NULL;
    }
    call = lssb_call_begin(box->client, op, own, status);
    if (call != NULL)
        sandbox_of(call)->box = box;
    return call;
}

lssb_status lssb_sandbox_status(lssb_sandbox *box, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    sandbox_of(call)->out = box;
    return lssb_call_go(call, op == NULL, &sandbox_status, 0);
}

lssb_status lssb_sandbox_wait(lssb_sandbox *box, uint32_t timeout_s,
                              lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    sandbox_of(call)->out = box;
    lssb_kind_wait_until(call, timeout_s != 0 ? timeout_s : SANDBOX_WAIT_S);
    return lssb_call_go(call, op == NULL, &lssb_sandbox_poll_exchange, 0);
}

/* -------------------------------------------------------- start and stop -- */

/* The start is under way; a sandbox in the reply is not looked at. */
static lssb_status sandbox_started(lssb_op *op, const char *text, size_t len)
{
    (void)text;
    (void)len;
    return lssb_call_next(op, &lssb_sandbox_poll_exchange, 0);
}

static const struct lssb_exchange sandbox_start = {
    .name = "start sandbox",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .path = sandbox_start_path,
    .body = sandbox_empty_body,
    .choose = lssb_kind_choose_none,
    .done = sandbox_started,
    .failed = lssb_sandbox_failed
};

lssb_status lssb_sandbox_start(lssb_sandbox *box, uint32_t timeout_s,
                               lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    sandbox_of(call)->out = box;
    sandbox_of(call)->step = SANDBOX_STARTING;
    if (box->state == LSSB_STATE_FAILED)
        sandbox_of(call)->step |= SANDBOX_WAS_FAILED;
    lssb_kind_wait_until(call, timeout_s != 0 ? timeout_s : SANDBOX_WAIT_S);
    return lssb_call_go(call, op == NULL, &sandbox_start, 0);
}

static lssb_status sandbox_stopped(lssb_op *op, const char *text, size_t len)
{
    static const char stopped[] = "stopped";
    lssb_sandbox *box = sandbox_of(op)->out;

    (void)text;
    (void)len;
    memcpy(box->status, stopped, sizeof stopped);
    box->state = LSSB_STATE_STOPPED;
    return LSSB_OK;
}

static const struct lssb_exchange sandbox_stop = {
    .name = "stop sandbox",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .path = sandbox_stop_path,
    .body = sandbox_empty_body,
    .choose = lssb_kind_choose_none,
    .done = sandbox_stopped,
    .failed = lssb_sandbox_failed
};

lssb_status lssb_sandbox_stop(lssb_sandbox *box, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    sandbox_of(call)->out = box;
    return lssb_call_go(call, op == NULL, &sandbox_stop, 0);
}

/* -------------------------------------------------------------- deleting -- */

/* Gone already, when an attempt before this one may have arrived: done. */
static lssb_status sandbox_delete_failed(lssb_op *op, lssb_error *error)
{
    if (error->status == LSSB_E_NOT_FOUND && lssb_kind_may_be_done(op))
        return LSSB_OK;
    return lssb_sandbox_failed(op, error);
}

static const struct lssb_exchange sandbox_delete = {
    .name = "delete sandbox",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_SANDBOX,
    .path = lssb_sandbox_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = sandbox_delete_failed,
    .again = lssb_kind_again
};

lssb_status lssb_sandbox_delete(const lssb_sandbox *box, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    return lssb_call_go(call, op == NULL, &sandbox_delete, 0);
}

lssb_status lssb_sandbox_delete_named(lssb_client *client, const char *name,
                                      lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);

    if (call == NULL)
        return status;
    if (name == NULL)
        return lssb_refuse(client, call, "delete sandbox: name: NULL", NULL);
    sandbox_of(call)->text = name;
    return lssb_call_go(call, op == NULL, &sandbox_delete, 0);
}

static void sandbox_many_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/boxes/batch-delete");
}

static void sandbox_many_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_deletion *deletion = op->reserved.state.out;
    struct lssb_json_writer json;
    size_t i;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    lssb_json_array(&json, "names");
    for (i = 0; i < deletion->name_count; i++)
        lssb_json_string(&json, NULL, deletion->names[i]);
    lssb_json_close(&json);
    lssb_json_close(&json);
}

static enum lssb_json_take sandbox_many_choose(void *ctx, int depth,
                                               const char *parent,
                                               const char *key)
{
    (void)ctx;
    (void)depth;
    if (parent[0] == '\0')
        return strcmp(key, "deleted") == 0 || strcmp(key, "skipped") == 0
                   ? LSSB_JSON_SPLIT
                   : LSSB_JSON_SKIP;
    return strcmp(key, "name") == 0 || strcmp(key, "reason") == 0
               ? LSSB_JSON_CUT
               : LSSB_JSON_SKIP;
}

/* One that was deleted. */
static void sandbox_many_gone(lssb_deletion *deletion,
                              const struct lssb_json *json)
{
    char name[LSSB_NAME_SIZE] = "";

    deletion->deleted++;
    lssb_json_decode(json->text, json->text_len, name, sizeof name);
    if (deletion->gone != NULL)
        deletion->gone(deletion->user, name);
}

/* One that was deleted, or was not. */
static lssb_status sandbox_many_event(lssb_op *op, struct lssb_json *json,
                                      enum lssb_json_event event)
{
    lssb_deletion *deletion = sandbox_of(op)->out;
    char name[LSSB_NAME_SIZE] = "", reason[LSSB_MESSAGE_SIZE] = "";
    const char *raw;
    size_t len;

    if (event != LSSB_JSON_ELEMENT)
        return LSSB_OK;
    if (strcmp(json->key, "deleted") == 0) {
        sandbox_many_gone(deletion, json);
        return LSSB_OK;
    }
    deletion->skipped_count++;
    raw = lssb_json_find(json->text, json->text_len, "name", &len);
    if (raw != NULL)
        lssb_json_decode(raw, len, name, sizeof name);
    raw = lssb_json_find(json->text, json->text_len, "reason", &len);
    if (raw != NULL)
        lssb_json_decode(raw, len, reason, sizeof reason);
    if (deletion->skipped != NULL)
        deletion->skipped(deletion->user, name, reason);
    return LSSB_OK;
}

static const struct lssb_exchange sandbox_delete_many = {
    .name = "delete sandboxes",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .path = sandbox_many_path,
    .body = sandbox_many_body,
    .choose = sandbox_many_choose,
    .event = sandbox_many_event,
    .done = lssb_kind_done
};

lssb_status lssb_sandbox_delete_many(lssb_client *client,
                                     lssb_deletion *deletion, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);
    size_t i;

    if (call == NULL)
        return status;
    if (deletion == NULL)
        return lssb_refuse(client, call, "delete sandboxes: NULL", NULL);
    if (deletion->name_count > 0 && deletion->names == NULL)
        return lssb_refuse(client, call, "delete sandboxes: names: NULL",
                           NULL);
    for (i = 0; i < deletion->name_count; i++)
        if (deletion->names[i] == NULL || deletion->names[i][0] == '\0')
            return lssb_refuse(client, call,
                               "delete sandboxes: a name is empty", NULL);
    deletion->deleted = 0;
    deletion->skipped_count = 0;
    sandbox_of(call)->out = deletion;
    return lssb_call_go(call, op == NULL, &sandbox_delete_many, 0);
}
