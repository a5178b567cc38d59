/* provision.c: boxes in the making: create, change, list; what is used.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.3 to 2.5 and 2.12. Bodies are written from the caller's options
 * each time they are sent.
 */
#include "internal.h"

#define PROVISION_TIMEOUT_S 30      /* of a creation */
#define PROVISION_GRACE_S 30        /* HTTP's time beyond the server's */

static struct lssb_op_state *provision_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* -------------------------------------------------------------- creating -- */

/* Seconds that the server may take to make a box ready. */
static uint32_t provision_timeout_s(const lssb_sandbox_options *options)
{
    return options->timeout_s != 0 ? options->timeout_s : PROVISION_TIMEOUT_S;
}

/* The members of a creation that are the box's resources and environment. */
static void provision_resources(struct lssb_json_writer *json,
                                const lssb_sandbox_options *options)
{
    lssb_spec_number(json, "vcpus", options->vcpus);
    lssb_spec_number(json, "cpu_millicores", options->cpu_millicores);
    lssb_spec_number(json, "mem_bytes", options->mem_bytes);
    lssb_spec_number(json, "fs_capacity_bytes", options->fs_capacity_bytes);
    lssb_spec_run_config(json, options->run_config);
    if (options->env_count > 0)
        lssb_json_pairs(json, "env_vars", options->env, options->env_count);
    if (options->label_count > 0)
        lssb_json_pairs(json, "labels", options->labels, options->label_count);
    if (options->tag_value_id_count > 0)
        lssb_spec_strings(json, "tag_value_ids", options->tag_value_ids,
                          options->tag_value_id_count);
    if (options->preserve_memory_on_stop)
        lssb_json_bool(json, "preserve_memory_on_stop", true);
    if (options->restore_memory != 0)
        lssb_json_bool(json, "restore_memory", options->restore_memory > 0);
}

static void provision_create_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_sandbox_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_json_bool(&json, "wait_for_ready", !options->no_wait);
    lssb_spec_text(&json, "snapshot_id", options->snapshot_id);
    lssb_spec_text(&json, "snapshot_name", options->snapshot_name);
    lssb_spec_text(&json, "snapshot", options->snapshot);
    lssb_spec_text(&json, "template_name", options->template_name);
    if (!options->no_wait)
        lssb_json_number(&json, "timeout", provision_timeout_s(options));
    lssb_spec_text(&json, "name", options->name);
    lssb_spec_ttl(&json, "idle_ttl_seconds", options->idle_ttl_s);
    lssb_spec_ttl(&json, "delete_after_stop_seconds",
                  options->delete_after_stop_s);
    lssb_spec_ttl(&json, "ttl_seconds", options->ttl_s);
    provision_resources(&json, options);
    lssb_spec_mounts(&json, options->mount_config, options->proxy_config);
    lssb_spec_proxy(&json, options->proxy_config, false);
    lssb_spec_delegation(&json, options->access_delegation);
    lssb_spec_end(&json);
}

static void provision_create_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/boxes");
}

/* The box is named; it may have to be waited for all the same. */
static lssb_status provision_created(lssb_op *op, const char *text, size_t len)
{
    struct lssb_op_state *state = provision_of(op);
    const lssb_sandbox_options *options = state->options;
    lssb_sandbox *box = state->out;
    lssb_status status = lssb_kind_fill(op, &lssb_sandbox_kind, box, text, len);

    if (status != LSSB_OK || options->no_wait ||
        box->state == LSSB_STATE_READY)
        return status;
    state->box = box;
    return lssb_call_next(op, &lssb_sandbox_poll_exchange, 0);
}

static const struct lssb_exchange provision_create = {
    .name = "create sandbox",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .meaning = LSSB_MEANING_CREATE,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_sandbox_kind,
    .path = provision_create_path,
    .body = provision_create_body,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = provision_created,
    .again = lssb_kind_again
};

/* NULL, or what is wrong with a lifetime. */
static const char *provision_ttl_wrong(int64_t seconds)
{
    if (seconds == LSSB_NEVER)
        return NULL;
    if (seconds < 0)
        return "is negative; LSSB_NEVER switches it off";
    return seconds % 60 != 0 ? "is not a multiple of 60 seconds" : NULL;
}

/* Refuses a call whose lifetimes are wrong; LSSB_OK otherwise. */
static lssb_status provision_check_ttls(lssb_client *client, lssb_op *call,
                                        const char *what, int64_t idle,
                                        int64_t after_stop, int64_t whole)
{
    const char *wrong = provision_ttl_wrong(idle);

    if (wrong != NULL)
        return lssb_refuse(client, call, what, "idle_ttl_s ", wrong, NULL);
    wrong = provision_ttl_wrong(after_stop);
    if (wrong != NULL)
        return lssb_refuse(client, call, what, "delete_after_stop_s ", wrong,
                           NULL);
    wrong = provision_ttl_wrong(whole);
    if (wrong != NULL)
        return lssb_refuse(client, call, what, "ttl_s ", wrong, NULL);
    return LSSB_OK;
}

/* What is checked before a creation is sent. */
static lssb_status provision_check(lssb_client *client, lssb_op *call,
                                   const lssb_sandbox_options *options,
                                   const lssb_sandbox *box)
{
    if (box == NULL)
        return lssb_refuse(client, call, "create sandbox: box: NULL", NULL);
    if (lssb_spec_given(options->snapshot_id) +
            lssb_spec_given(options->snapshot_name) +
            lssb_spec_given(options->snapshot) +
            lssb_spec_given(options->template_name) > 1)
        return lssb_refuse(client, call, "create sandbox: more than one of "
                           "snapshot_id, snapshot_name, snapshot and "
                           "template_name is given; give one", NULL);
    if (options->mem_bytes > INT64_MAX ||
        options->fs_capacity_bytes > INT64_MAX)
        return lssb_refuse(client, call, "create sandbox: mem_bytes or "
                           "fs_capacity_bytes is larger than 2^63-1", NULL);
    return provision_check_ttls(client, call, "create sandbox: ",
                                options->idle_ttl_s,
                                options->delete_after_stop_s, options->ttl_s);
}

lssb_status lssb_sandbox_create(lssb_client *client,
                                const lssb_sandbox_options *options,
                                lssb_sandbox *box, lssb_op *op)
{
    static const lssb_sandbox_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);
    uint32_t timeout_s;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    status = provision_check(client, call, options, box);
    if (status != LSSB_OK)
        return status;
    memset(box, 0, sizeof *box);
    box->client = client;
    provision_of(call)->options = options;
    provision_of(call)->out = box;
    lssb_kind_details(call, options->details);
    timeout_s = options->no_wait ? 0 : provision_timeout_s(options);
    if (timeout_s > UINT32_MAX / 1000 - PROVISION_GRACE_S)
        return lssb_refuse(client, call, "create sandbox: timeout_s is larger "
                           "than 4,294,937", NULL);
    lssb_kind_wait_until(call, timeout_s);
    return lssb_call_go(call, op == NULL, &provision_create,
                        (timeout_s + PROVISION_GRACE_S) * 1000);
}

/* -------------------------------------------------------------- changing -- */

/* Whether an update would change anything. */
static bool provision_changes(const lssb_sandbox_update *update)
{
    return (update->name != NULL && update->name[0] != '\0') ||
           update->idle_ttl_s != 0 || update->delete_after_stop_s != 0 ||
           update->vcpus != 0 || update->cpu_millicores != 0 ||
           update->mem_bytes != 0 || update->fs_capacity_bytes != 0 ||
           update->run_config != NULL || update->tag_value_id_count != 0 ||
           update->proxy_config != NULL || update->ttl_s != 0 ||
           update->more != NULL;
}

static void provision_change_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_sandbox_update *update = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, update->more);
    lssb_spec_text(&json, "name", update->name);
    lssb_spec_ttl(&json, "idle_ttl_seconds", update->idle_ttl_s);
    lssb_spec_ttl(&json, "delete_after_stop_seconds",
                  update->delete_after_stop_s);
    lssb_spec_number(&json, "vcpus", update->vcpus);
    lssb_spec_number(&json, "cpu_millicores", update->cpu_millicores);
    lssb_spec_number(&json, "mem_bytes", update->mem_bytes);
    lssb_spec_number(&json, "fs_capacity_bytes", update->fs_capacity_bytes);
    lssb_spec_run_config(&json, update->run_config);
    if (update->tag_value_id_count > 0)
        lssb_spec_strings(&json, "tag_value_ids", update->tag_value_ids,
                          update->tag_value_id_count);
    lssb_spec_proxy(&json, update->proxy_config, true);
    lssb_spec_ttl(&json, "ttl_seconds", update->ttl_s);
    lssb_spec_end(&json);
}

/* The reply is the box, or empty: then it is asked for, by its new name. */
static lssb_status provision_changed(lssb_op *op, const char *text, size_t len)
{
    struct lssb_op_state *state = provision_of(op);
    const lssb_sandbox_update *update = state->options;

    if (text != NULL)
        return lssb_kind_fill(op, &lssb_sandbox_kind, state->out, text, len);
    if (update->name != NULL && update->name[0] != '\0')
        state->text = update->name;
    return lssb_call_next(op, &lssb_sandbox_get_exchange, 0);
}

/* The refusal of a rename, which was none of its own work. */
static lssb_status provision_not_renamed(lssb_op *op, lssb_error *error)
{
    const lssb_sandbox *box = provision_of(op)->box;
    bool taken = provision_of(op)->size == 409;

    lssb_fail(error, taken ? LSSB_E_NAME_CONFLICT : LSSB_E_NOT_FOUND,
              LSSB_LAYER_SERVICE, "sandbox ", box->name,
              taken ? ": the name is already in use" : ": not found", NULL);
    error->resource = LSSB_RESOURCE_SANDBOX;
    error->http_status = (int32_t)provision_of(op)->size;
    return error->status;
}

/* Who has the new name: this box, by its id, then the rename is done. */
static lssb_status provision_renamed(lssb_op *op, const char *text, size_t len)
{
    lssb_sandbox *box = provision_of(op)->out;
    char id[LSSB_ID_SIZE] = "";
    size_t raw_len;
    const char *raw = text == NULL
                          ? NULL
                          : lssb_json_find(text, len, "id", &raw_len);

    if (raw != NULL)
        lssb_json_decode(raw, raw_len, id, sizeof id);
    if (box->id[0] != '\0' && strcmp(box->id, id) != 0)
        return provision_not_renamed(op, &lssb_call_client(op)->error);
    return lssb_kind_fill(op, &lssb_sandbox_kind, box, text, len);
}

static const struct lssb_exchange provision_look = {
    .name = "change sandbox",
    .method = "GET",
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_sandbox_kind,
    .path = lssb_sandbox_path,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = provision_renamed,
    .failed = provision_not_renamed,
    .again = lssb_kind_again
};

/* A rename that is refused after an attempt that may have arrived has perhaps
 * been done by that one (protocol 8). */
static lssb_status provision_change_failed(lssb_op *op, lssb_error *error)
{
    struct lssb_op_state *state = provision_of(op);
    const lssb_sandbox_update *update = state->options;

    if (error->http_status == 400 && update->proxy_config != NULL &&
        strcmp(error->type, "InvalidRequest") == 0)
        return error->status = LSSB_E_NOT_READY;
    if ((error->status != LSSB_E_NOT_FOUND &&
         error->status != LSSB_E_NAME_CONFLICT) ||
        update->name == NULL || update->name[0] == '\0' ||
        !lssb_kind_may_be_done(op))
        return lssb_sandbox_failed(op, error);
    state->size = (uint64_t)error->http_status;
    state->text = update->name;
    return lssb_call_next(op, &provision_look, 0);
}

static const struct lssb_exchange provision_change = {
    .name = "change sandbox",
    .method = "PATCH",
    .meaning = LSSB_MEANING_UPDATE,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_sandbox_kind,
    .path = lssb_sandbox_path,
    .body = provision_change_body,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = provision_changed,
    .failed = provision_change_failed,
    .again = lssb_kind_again
};

lssb_status lssb_sandbox_change(lssb_sandbox *box,
                                const lssb_sandbox_update *update,
                                lssb_op *op)
{
    static const lssb_sandbox_update nothing;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (update == NULL)
        update = &nothing;
    if (update->mem_bytes > INT64_MAX || update->fs_capacity_bytes > INT64_MAX)
        return lssb_refuse(box->client, call, "change sandbox: mem_bytes or "
                           "fs_capacity_bytes is larger than 2^63-1", NULL);
    status = provision_check_ttls(box->client, call, "change sandbox: ",
                                  update->idle_ttl_s,
                                  update->delete_after_stop_s, update->ttl_s);
    if (status != LSSB_OK)
        return status;
    provision_of(call)->options = update;
    provision_of(call)->out = box;
    return lssb_call_go(call, op == NULL,
                        provision_changes(update) ? &provision_change
                                                  : &lssb_sandbox_get_exchange,
                        0);
}

/* --------------------------------------------------------------- listing -- */

static void provision_list_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, "/boxes");
    lssb_list_filters(op, to);
}

static const struct lssb_exchange provision_list = {
    .name = "list sandboxes",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &lssb_sandbox_kind,
    .path = provision_list_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_sandbox_next(lssb_client *client, lssb_sandbox_list *list,
                              lssb_sandbox *boxes, size_t max, size_t *count,
                              lssb_op *op)
{
    struct lssb_walk walk = { NULL, list, NULL, boxes, max, count, 0,
                              NULL };

    if (list != NULL && (list->label_count == 0 || list->labels != NULL)) {
        walk.page = &list->reserved;
        walk.details = list->details;
    }
    return lssb_list_next(client, &provision_list, &walk, op);
}

/* ----------------------------------------------------------------- usage -- */

#define PROVISION_USAGE(key) \
    { #key, LSSB_JSON_I64, (uint16_t)offsetof(lssb_usage, key), 0 }

static const struct lssb_json_member provision_usage_members[] = {
    PROVISION_USAGE(cpu_limit_millicores),
    PROVISION_USAGE(cpu_used_millicores),
    PROVISION_USAGE(memory_limit_bytes),
    PROVISION_USAGE(memory_used_bytes),
    PROVISION_USAGE(pools_count),
    PROVISION_USAGE(registries_count),
    PROVISION_USAGE(sandbox_direct_count),
    PROVISION_USAGE(sandbox_pool_replicas_count),
    PROVISION_USAGE(sandbox_running_count),
    PROVISION_USAGE(sandbox_stopped_count),
    PROVISION_USAGE(sandboxes_limit),
    PROVISION_USAGE(sandboxes_used),
    PROVISION_USAGE(snapshots_count),
    PROVISION_USAGE(templates_count)
};
#define PROVISION_USAGES \
    (sizeof provision_usage_members / sizeof provision_usage_members[0])

static void provision_usage_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/usage");
}

static enum lssb_json_take provision_usage_choose(void *ctx, int depth,
                                                  const char *parent,
                                                  const char *key)
{
    size_t i;

    (void)ctx;
    (void)depth;
    (void)parent;
    for (i = 0; i < PROVISION_USAGES; i++)
        if (strcmp(key, provision_usage_members[i].key) == 0)
            return LSSB_JSON_KEEP;
    return LSSB_JSON_SKIP;
}

static lssb_status provision_usage_got(lssb_op *op, const char *text,
                                       size_t len)
{
    const char *key;

    if (text == NULL ||
        lssb_json_fill(text, len, provision_usage_members, PROVISION_USAGES,
                       provision_of(op)->out, &key) != LSSB_OK)
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, "usage: a JSON object was expected "
                         "in the reply", NULL);
    return LSSB_OK;
}

static const struct lssb_exchange provision_usage = {
    .name = "usage",
    .method = "GET",
    .path = provision_usage_path,
    .choose = provision_usage_choose,
    .done = provision_usage_got
};

lssb_status lssb_usage_get(lssb_client *client, lssb_usage *usage, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);

    if (call == NULL)
        return status;
    if (usage == NULL)
        return lssb_refuse(client, call, "usage: NULL", NULL);
    provision_of(call)->out = usage;
    return lssb_call_go(call, op == NULL, &provision_usage, 0);
}
