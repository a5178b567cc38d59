/* snapshot.c: what boxes start from: snapshots, and the registries of images.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.7 to 2.9, 2.11, 2.12 and 3.3. A wait asks for the whole snapshot
 * each time; the caller's details get it once, when it is ready.
 */
#include "internal.h"

#define SNAPSHOT_WAIT_S 300
#define SNAPSHOT_CREATE_S 60        /* the same as part of a creation */
#define SNAPSHOT_POLL_MS 2000
#define REGISTRY_TIMEOUT_MS 90000

static struct lssb_op_state *snapshot_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* ----------------------------------------------------- reading snapshots -- */

#define SNAPSHOT_TEXT(key, kind) \
    { #key, kind, (uint16_t)offsetof(lssb_snapshot, key), \
      (uint16_t)sizeof(((lssb_snapshot *)0)->key) }
#define SNAPSHOT_NUMBER(key) \
    { #key, LSSB_JSON_I64, (uint16_t)offsetof(lssb_snapshot, key), 0 }

static const struct lssb_json_member snapshot_members[] = {
    SNAPSHOT_TEXT(id, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(name, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(status, LSSB_JSON_TEXT_CUT),
    SNAPSHOT_TEXT(status_message, LSSB_JSON_TEXT_CUT),
    SNAPSHOT_TEXT(docker_image, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(image_digest, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(source_sandbox_id, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(registry_id, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(created_by, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(created_at, LSSB_JSON_TEXT),
    SNAPSHOT_TEXT(updated_at, LSSB_JSON_TEXT),
    SNAPSHOT_NUMBER(fs_capacity_bytes),
    SNAPSHOT_NUMBER(fs_used_bytes),
    SNAPSHOT_NUMBER(memory_snapshot_size_bytes),
    { "run_config", LSSB_JSON_PRESENT,
      (uint16_t)offsetof(lssb_snapshot, has_run_config), 0 }
};

/* The client, the state, and what a missing member means. */
static void snapshot_complete(lssb_op *op, void *thing, const char *text,
                              size_t len)
{
    lssb_snapshot *snapshot = thing;

    (void)text;
    (void)len;
    snapshot->client = lssb_call_client(op);
    lssb_kind_default(snapshot->status, sizeof snapshot->status, "building");
    snapshot->state = lssb_kind_state(snapshot->status);
    if (snapshot->fs_capacity_bytes == LSSB_UNKNOWN)
        snapshot->fs_capacity_bytes = 0;
    if ((snapshot_of(op)->step & LSSB_STEP_SAW_CONFIG) != 0)
        snapshot->has_run_config = true;
}

static const struct lssb_exchange snapshot_get;

static const struct lssb_kind snapshot_kind = {
    .name = "snapshot",
    .type = "lssb_snapshot",
    .items = "snapshots",
    .path = "/snapshots",
    .resource = LSSB_RESOURCE_SNAPSHOT,
    .in_use = true,
    .size = sizeof(lssb_snapshot),
    .members = snapshot_members,
    .member_count = sizeof snapshot_members / sizeof snapshot_members[0],
    .complete = snapshot_complete,
    .get = &snapshot_get
};

/* What a snapshot goes by: its id, else its name. */
static const char *snapshot_name(const lssb_snapshot *snapshot)
{
    return snapshot->id[0] != '\0' ? snapshot->id : snapshot->name;
}

/* What a call names: its text, or the snapshot that it fills. */
static const char *snapshot_title(const lssb_op *op)
{
    if (op->reserved.state.text != NULL)
        return op->reserved.state.text;
    return snapshot_name(op->reserved.state.out);
}

static void snapshot_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, "/snapshots/");
    lssb_put_segment(to, snapshot_title(op));
}

/* A failure about a snapshot names it. */
static lssb_status snapshot_failed(lssb_op *op, lssb_error *error)
{
    if (error->status == LSSB_E_NOT_FOUND)
        lssb_error_prefix(error, "snapshot ", snapshot_title(op), ": ", NULL);
    return error->status;
}

static const struct lssb_exchange snapshot_get = {
    .name = "get snapshot",
    .method = "GET",
    .resource = LSSB_RESOURCE_SNAPSHOT,
    .kind = &snapshot_kind,
    .path = snapshot_path,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = lssb_kind_got,
    .failed = snapshot_failed,
    .again = lssb_kind_again
};

lssb_status lssb_snapshot_get(lssb_client *client, const char *name,
                              lssb_snapshot *snapshot,
                              const lssb_details *details, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.named = true;
    arguments.out = snapshot;
    arguments.details = details;
    return lssb_kind_start(client, &snapshot_get, &arguments, op);
}

/* --------------------------------------------------------------- waiting -- */

/* The members of a poll: all that the struct has room for. */
static enum lssb_json_take snapshot_poll_choose(void *ctx, int depth,
                                                const char *parent,
                                                const char *key)
{
    (void)ctx;
    (void)parent;
    return depth == 1 ? lssb_kind_keep(&snapshot_kind, key, false)
                      : LSSB_JSON_SKIP;
}

static const struct lssb_exchange snapshot_poll;

/* Stores what a poll says; a reply that does not name itself keeps its id. */
static lssb_status snapshot_store(lssb_op *op, const char *text, size_t len)
{
    lssb_snapshot *snapshot = snapshot_of(op)->out;
    char id[LSSB_ID_SIZE];
    lssb_status status;

    memcpy(id, snapshot->id, sizeof id);
    status = lssb_kind_fill(op, &snapshot_kind, snapshot, text, len);
    if (status == LSSB_OK && snapshot->id[0] == '\0')
        memcpy(snapshot->id, id, sizeof id);
    return status;
}

/* What a poll's state means for the wait. */
static lssb_status snapshot_polled(lssb_op *op, const char *text, size_t len)
{
    lssb_snapshot *snapshot = snapshot_of(op)->out;
    lssb_status status = snapshot_store(op, text, len);

    if (status != LSSB_OK)
        return status;
    if (snapshot->state == LSSB_STATE_READY)
        return snapshot_of(op)->extra != NULL
                   ? lssb_call_next(op, &snapshot_get, 0)
                   : LSSB_OK;
    if (snapshot->state == LSSB_STATE_FAILED)
        return lssb_kind_wait_failed(op, LSSB_E_CREATION,
                                     snapshot_title(op), snapshot->status,
                                     snapshot->status_message[0] != '\0'
                                         ? snapshot->status_message
                                         : "Snapshot build failed");
    if (snapshot->state == LSSB_STATE_DELETING)
        return lssb_kind_wait_failed(op, LSSB_E_CREATION,
                                     snapshot_title(op), snapshot->status,
                                     "it is being deleted");
    return lssb_kind_wait_more(op, &snapshot_poll, SNAPSHOT_POLL_MS,
                               snapshot_title(op), snapshot->status);
}

static const struct lssb_exchange snapshot_poll = {
    .name = "wait for snapshot",
    .method = "GET",
    .resource = LSSB_RESOURCE_SNAPSHOT,
    .kind = &snapshot_kind,
    .path = snapshot_path,
    .choose = snapshot_poll_choose,
    .done = snapshot_polled,
    .failed = snapshot_failed
};

/* Begins a call about a snapshot that the caller has. */
static lssb_op *snapshot_begin(const lssb_snapshot *snapshot, lssb_op *op,
                               lssb_op *own, lssb_status *status)
{
    *status = LSSB_E_INVALID_ARGUMENT;
    if (snapshot != NULL)
        return lssb_call_begin(snapshot->client, op, own, status);
    if (op != NULL && op->status != LSSB_PENDING)
        op->status = *status;
    return NULL;
}

lssb_status lssb_snapshot_wait(lssb_snapshot *snapshot, uint32_t timeout_s,
                               lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = snapshot_begin(snapshot, op, &own, &status);

    if (call == NULL)
        return status;
    snapshot_of(call)->out = snapshot;
    lssb_kind_wait_until(call, timeout_s != 0 ? timeout_s : SNAPSHOT_WAIT_S);
    return lssb_call_go(call, op == NULL, &snapshot_poll, 0);
}

/* -------------------------------------------------------------- creating -- */

/* The snapshot is named; it may have to be waited for, or asked for again, for
 * the details. */
static lssb_status snapshot_created(lssb_op *op, const char *text, size_t len,
                                    bool no_wait, uint32_t timeout_s)
{
    lssb_snapshot *snapshot = snapshot_of(op)->out;
    lssb_status status = lssb_kind_fill(op, &snapshot_kind, snapshot, text,
                                        len);

    if (status != LSSB_OK || no_wait || snapshot->state == LSSB_STATE_READY)
        return status;
    if (snapshot_name(snapshot)[0] == '\0')
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, lssb_call_exchange(op)->name,
                         ": the reply has no id to wait for", NULL);
    lssb_kind_wait_until(op, timeout_s != 0 ? timeout_s : SNAPSHOT_CREATE_S);
    return lssb_call_next(op, &snapshot_poll, 0);
}

static lssb_status snapshot_made(lssb_op *op, const char *text, size_t len)
{
    const lssb_snapshot_options *options = snapshot_of(op)->options;

    return snapshot_created(op, text, len, options->no_wait,
                            options->timeout_s);
}

/* The members that both ways of making a snapshot have. */
static void snapshot_labels(struct lssb_json_writer *json,
                            const lssb_pair *labels, size_t count,
                            const char *tag, const lssb_run_config *run_config)
{
    lssb_spec_run_config(json, run_config);
    if (count > 0)
        lssb_json_pairs(json, "labels", labels, count);
    lssb_spec_text(json, "tag", tag);
}

static void snapshot_create_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_snapshot_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_required(&json, "docker_image", options->docker_image,
                       "docker_image is missing or empty");
    if (options->fs_capacity_bytes == 0)
        to->wrong = to->wrong != NULL ? to->wrong
                                      : "fs_capacity_bytes is missing";
    lssb_spec_number(&json, "fs_capacity_bytes", options->fs_capacity_bytes);
    lssb_spec_text(&json, "registry_id", options->registry_id);
    lssb_spec_text(&json, "registry_url", options->registry_url);
    lssb_spec_text(&json, "registry_username", options->registry_username);
    lssb_spec_text(&json, "registry_password", options->registry_password);
    snapshot_labels(&json, options->labels, options->label_count, options->tag,
                    options->run_config);
    lssb_spec_end(&json);
}

static const struct lssb_exchange snapshot_create = {
    .name = "create snapshot",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .kind = &snapshot_kind,
    .path = lssb_kind_all_path,
    .body = snapshot_create_body,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = snapshot_made,
    .again = lssb_kind_again
};

lssb_status lssb_snapshot_create(lssb_client *client,
                                 const lssb_snapshot_options *options,
                                 lssb_snapshot *snapshot, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.options = options;
    arguments.out = snapshot;
    if (options != NULL)
        arguments.details = options->details;
    if (snapshot != NULL)
        memset(snapshot, 0, sizeof *snapshot);
    return lssb_kind_start(client, &snapshot_create, &arguments, op);
}

/* --------------------------------------------------- capturing, deleting -- */

static void snapshot_capture_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_sandbox_path(op, to);
    lssb_put_text(to, "/snapshot");
}

static void snapshot_capture_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_capture_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_text(&json, "docker_image", options->docker_image);
    lssb_spec_number(&json, "fs_capacity_bytes", options->fs_capacity_bytes);
    lssb_spec_text(&json, "checkpoint", options->checkpoint);
    if (options->include_memory)
        lssb_json_bool(&json, "include_memory", true);
    snapshot_labels(&json, options->labels, options->label_count, options->tag,
                    options->run_config);
    lssb_spec_end(&json);
}

static lssb_status snapshot_captured(lssb_op *op, const char *text, size_t len)
{
    const lssb_capture_options *options = snapshot_of(op)->options;

    return snapshot_created(op, text, len, options->no_wait,
                            options->timeout_s);
}

static const struct lssb_exchange snapshot_capture = {
    .name = "capture snapshot",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &snapshot_kind,
    .path = snapshot_capture_path,
    .body = snapshot_capture_body,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = snapshot_captured,
    .failed = lssb_sandbox_failed,
    .again = lssb_kind_again
};

lssb_status lssb_snapshot_capture(const lssb_sandbox *box,
                                  const lssb_capture_options *options,
                                  lssb_snapshot *snapshot, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (options == NULL || snapshot == NULL)
        return lssb_refuse(box->client, call, "capture snapshot: ",
                           options == NULL ? "options" : "snapshot",
                           ": NULL", NULL);
    memset(snapshot, 0, sizeof *snapshot);
    snapshot_of(call)->options = options;
    snapshot_of(call)->out = snapshot;
    lssb_kind_details(call, options->details);
    return lssb_call_go(call, op == NULL, &snapshot_capture, 0);
}

static const struct lssb_exchange snapshot_delete = {
    .name = "delete snapshot",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_SNAPSHOT,
    .kind = &snapshot_kind,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_kind_delete_failed,
    .again = lssb_kind_again
};

lssb_status lssb_snapshot_delete(const lssb_snapshot *snapshot, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = snapshot_begin(snapshot, op, &own, &status);

    if (call == NULL)
        return status;
    snapshot_of(call)->text = snapshot_name(snapshot);
    return lssb_kind_go(call, op == NULL, &snapshot_delete, 0);
}

lssb_status lssb_snapshot_delete_named(lssb_client *client, const char *name,
                                       lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    return lssb_kind_start(client, &snapshot_delete, &arguments, op);
}

/* -------------------------------------------------------- lists and tags -- */

static void snapshot_list_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, "/snapshots");
    lssb_list_filters(op, to);
}

static const struct lssb_exchange snapshot_list = {
    .name = "list snapshots",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &snapshot_kind,
    .path = snapshot_list_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_snapshot_next(lssb_client *client, lssb_snapshot_list *list,
                               lssb_snapshot *snapshots, size_t max,
                               size_t *count, lssb_op *op)
{
    struct lssb_walk walk = { NULL, list, NULL, snapshots, max, count, 0,
                              NULL };

    if (list != NULL && (list->label_count == 0 || list->labels != NULL)) {
        walk.page = &list->reserved;
        walk.details = list->details;
    }
    return lssb_list_next(client, &snapshot_list, &walk, op);
}

struct snapshot_tag {
    char tag[LSSB_NAME_SIZE];
    char snapshot_id[LSSB_ID_SIZE];
};

static const struct lssb_json_member snapshot_tag_members[] = {
    { "tag", LSSB_JSON_TEXT, (uint16_t)offsetof(struct snapshot_tag, tag),
      LSSB_NAME_SIZE },
    { "snapshot_id", LSSB_JSON_TEXT,
      (uint16_t)offsetof(struct snapshot_tag, snapshot_id), LSSB_ID_SIZE }
};

static void snapshot_tags_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_put_text(to, "/snapshots-by-name/");
    lssb_put_segment(to, op->reserved.state.text);
}

static enum lssb_json_take snapshot_tags_choose(void *ctx, int depth,
                                                const char *parent,
                                                const char *key)
{
    (void)ctx;
    (void)depth;
    if (parent[0] == '\0')
        return strcmp(key, "tags") == 0 ? LSSB_JSON_SPLIT : LSSB_JSON_SKIP;
    return strcmp(key, "tag") == 0 || strcmp(key, "snapshot_id") == 0
               ? LSSB_JSON_KEEP
               : LSSB_JSON_SKIP;
}

/* One tag for the caller. */
static lssb_status snapshot_tags_event(lssb_op *op, struct lssb_json *json,
                                       enum lssb_json_event event)
{
    lssb_tag_list *tags = snapshot_of(op)->out;
    struct snapshot_tag tag;
    const char *key;

    if (event != LSSB_JSON_ELEMENT)
        return LSSB_OK;
    memset(&tag, 0, sizeof tag);
    if (lssb_json_fill(json->text, json->text_len, snapshot_tag_members, 2,
                       &tag, &key) != LSSB_OK)
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, "snapshot tags: an entry is no "
                         "object, or its tag or snapshot_id is too long",
                         NULL);
    tags->count++;
    return lssb_call_heard(op, tags->take(tags->user, tag.tag,
                                          tag.snapshot_id));
}

/* No tag is told twice. */
static bool snapshot_tags_again(lssb_op *op)
{
    const lssb_tag_list *tags = snapshot_of(op)->out;

    return tags->count == 0;
}

static lssb_status snapshot_tags_done(lssb_op *op, const char *text,
                                      size_t len)
{
    (void)len;
    if (text == NULL || text[0] != '{')
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, "snapshot tags: a JSON object was "
                         "expected in the reply", NULL);
    return LSSB_OK;
}

static const struct lssb_exchange snapshot_tags = {
    .name = "snapshot tags",
    .method = "GET",
    .resource = LSSB_RESOURCE_SNAPSHOT,
    .kind = &snapshot_kind,
    .path = snapshot_tags_path,
    .choose = snapshot_tags_choose,
    .event = snapshot_tags_event,
    .done = snapshot_tags_done,
    .failed = lssb_kind_failed,
    .again = snapshot_tags_again
};

lssb_status lssb_snapshot_tags(lssb_client *client, const char *name,
                               lssb_tag_list *tags, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.named = true;
    if (tags != NULL && tags->take != NULL) {
        tags->count = 0;
        arguments.out = tags;
    }
    return lssb_kind_start(client, &snapshot_tags, &arguments, op);
}

/* ------------------------------------------------------------ registries -- */

#define REGISTRY_TEXT(key) \
    { #key, LSSB_JSON_TEXT, (uint16_t)offsetof(lssb_registry, key), \
      (uint16_t)sizeof(((lssb_registry *)0)->key) }

static const struct lssb_json_member registry_members[] = {
    REGISTRY_TEXT(id),
    REGISTRY_TEXT(name),
    REGISTRY_TEXT(url),
    REGISTRY_TEXT(created_at),
    REGISTRY_TEXT(created_by),
    REGISTRY_TEXT(updated_at),
    REGISTRY_TEXT(updated_by)
};

static const struct lssb_exchange registry_get;

static const struct lssb_kind registry_kind = {
    .name = "registry",
    .type = "lssb_registry",
    .items = "registries",
    .path = "/api/v2/sandboxes/registries",
    .resource = LSSB_RESOURCE_REGISTRY,
    .paging = LSSB_PAGING_OFFSET,
    .size = sizeof(lssb_registry),
    .members = registry_members,
    .member_count = sizeof registry_members / sizeof registry_members[0],
    .get = &registry_get
};

static void registry_create_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_registry_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_required(&json, "password", options->password,
                       "password is missing or empty");
    lssb_spec_required(&json, "url", options->url, "url is missing or empty");
    lssb_spec_required(&json, "username", options->username,
                       "username is missing or empty");
    lssb_spec_end(&json);
}

static void registry_change_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_registry_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_text(&json, "name", options->name);
    lssb_spec_text(&json, "password", options->password);
    lssb_spec_text(&json, "url", options->url);
    lssb_spec_text(&json, "username", options->username);
    lssb_spec_end(&json);
}

static void registry_list_path(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_registry_list *list = op->reserved.state.text;
    bool first = true;

    lssb_kind_all_path(op, to);
    lssb_list_query(op, to, &first);
    lssb_list_text(to, &first, "name_contains", list->name_contains);
}

static const struct lssb_exchange registry_create = {
    .name = "create registry",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .resource = LSSB_RESOURCE_REGISTRY,
    .kind = &registry_kind,
    .root = true,
    .path = lssb_kind_all_path,
    .body = registry_create_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_create_failed
};

static const struct lssb_exchange registry_get = {
    .name = "get registry",
    .method = "GET",
    .resource = LSSB_RESOURCE_REGISTRY,
    .kind = &registry_kind,
    .root = true,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_failed
};

static const struct lssb_exchange registry_change = {
    .name = "change registry",
    .method = "PATCH",
    .meaning = LSSB_MEANING_UPDATE,
    .resource = LSSB_RESOURCE_REGISTRY,
    .kind = &registry_kind,
    .root = true,
    .path = lssb_kind_path,
    .body = registry_change_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_change_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange registry_delete = {
    .name = "delete registry",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_REGISTRY,
    .kind = &registry_kind,
    .root = true,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_kind_delete_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange registry_list = {
    .name = "list registries",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &registry_kind,
    .root = true,
    .path = registry_list_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_registry_create(lssb_client *client,
                                 const lssb_registry_options *options,
                                 lssb_registry *registry, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.options = options;
    arguments.out = registry;
    arguments.attempt_ms = REGISTRY_TIMEOUT_MS;
    return lssb_kind_start(client, &registry_create, &arguments, op);
}

lssb_status lssb_registry_get(lssb_client *client, const char *name,
                              lssb_registry *registry, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.out = registry;
    arguments.attempt_ms = REGISTRY_TIMEOUT_MS;
    return lssb_kind_start(client, &registry_get, &arguments, op);
}

lssb_status lssb_registry_change(lssb_client *client, const char *name,
                                 const lssb_registry_options *options,
                                 lssb_registry *registry, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    if (options == NULL ||
        (!lssb_spec_given(options->name) && !lssb_spec_given(options->url) &&
         !lssb_spec_given(options->username) &&
         !lssb_spec_given(options->password) && options->more == NULL))
        return lssb_registry_get(client, name, registry, op);
    arguments.name = name;
    arguments.options = options;
    arguments.out = registry;
    arguments.new_name = lssb_spec_given(options->name) ? options->name : NULL;
    arguments.attempt_ms = REGISTRY_TIMEOUT_MS;
    return lssb_kind_start(client, &registry_change, &arguments, op);
}

lssb_status lssb_registry_delete(lssb_client *client, const char *name,
                                 lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.attempt_ms = REGISTRY_TIMEOUT_MS;
    return lssb_kind_start(client, &registry_delete, &arguments, op);
}

lssb_status lssb_registry_next(lssb_client *client, lssb_registry_list *list,
                               lssb_registry *registries, size_t max,
                               size_t *count, lssb_op *op)
{
    struct lssb_walk walk = { NULL, list, NULL, registries, max, count, 0,
                              NULL };

    if (list != NULL) {
        walk.page = &list->reserved;
        walk.details = list->details;
    }
    walk.attempt_ms = REGISTRY_TIMEOUT_MS;
    return lssb_list_next(client, &registry_list, &walk, op);
}
