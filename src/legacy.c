/* legacy.c: what older servers had before snapshots: templates, volumes, pools.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.15 to 2.17. Their lists do not page: one reply has it all, and is
 * asked for again when the caller's array is shorter.
 */
#include "internal.h"

#define LEGACY_VOLUME_S 60          /* until it is ready */
#define LEGACY_POOL_S 30
#define LEGACY_GRACE_S 30           /* HTTP's time beyond the server's */

#define LEGACY_TEXT(type, key) \
    { #key, LSSB_JSON_TEXT, (uint16_t)offsetof(type, key), \
      (uint16_t)sizeof(((type *)0)->key) }

/* -------------------------------------------------- what they have alike -- */

/* "name" alone, for a change of name: the operation's `box` is the new one. */
static void legacy_rename_body(const lssb_op *op, struct lssb_writer *to)
{
    struct lssb_json_writer json;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    lssb_spec_required(&json, "name", op->reserved.state.box,
                       "the new name is missing or empty");
    lssb_json_close(&json);
}

/* The last members of a creation that waits on the server. */
static void legacy_wait(struct lssb_json_writer *json, uint32_t timeout_s)
{
    lssb_json_bool(json, "wait_for_ready", true);
    lssb_json_number(json, "timeout", timeout_s);
}

/* The time that HTTP has for that. */
static uint32_t legacy_attempt_ms(uint32_t timeout_s)
{
    if (timeout_s > UINT32_MAX / 1000 - LEGACY_GRACE_S - 1)
        return LSSB_FOREVER;
    return (timeout_s + LEGACY_GRACE_S) * 1000;
}

/* A call about the one of that name. */
static lssb_status legacy_named(lssb_client *client,
                                const struct lssb_exchange *x,
                                const char *name, void *out, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.out = out;
    return lssb_kind_start(client, x, &arguments, op);
}

/* A call that makes one. */
static lssb_status legacy_create(lssb_client *client,
                                 const struct lssb_exchange *x,
                                 const void *options, void *out,
                                 uint32_t attempt_ms, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.options = options;
    arguments.out = out;
    arguments.attempt_ms = attempt_ms;
    return lssb_kind_start(client, x, &arguments, op);
}

/* A call that changes one, and perhaps its name. */
static lssb_status legacy_change(lssb_client *client,
                                 const struct lssb_exchange *x,
                                 const char *name, const void *options,
                                 const char *new_name, void *out, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.options = options;
    arguments.out = out;
    arguments.new_name = lssb_spec_given(new_name) ? new_name : NULL;
    return lssb_kind_start(client, x, &arguments, op);
}

/* The next ones of a walk. */
static lssb_status legacy_next(lssb_client *client,
                               const struct lssb_exchange *x,
                               lssb_plain_list *list, void *things, size_t max,
                               size_t *count, lssb_op *op)
{
    struct lssb_walk walk = { NULL, list, NULL, things, max, count, 0,
                              NULL };

    if (list != NULL) {
        walk.page = &list->reserved;
        walk.details = list->details;
    }
    return lssb_list_next(client, x, &walk, op);
}

/* Sets the service's type of a failure. */
static void legacy_type(lssb_error *error, const char *type)
{
    lssb_copy(error->type, sizeof error->type, type, strlen(type));
}

/* ------------------------------------------------------------- templates -- */

static const struct lssb_json_member legacy_template_members[] = {
    LEGACY_TEXT(lssb_template, id),
    LEGACY_TEXT(lssb_template, name),
    LEGACY_TEXT(lssb_template, image),
    LEGACY_TEXT(lssb_template, created_at),
    LEGACY_TEXT(lssb_template, updated_at)
};

static const struct lssb_json_member legacy_resource_members[] = {
    LEGACY_TEXT(lssb_template, cpu),
    LEGACY_TEXT(lssb_template, memory),
    LEGACY_TEXT(lssb_template, storage)
};

/* The resources, and what is missing. */
static void legacy_template_complete(lssb_op *op, void *thing,
                                     const char *text, size_t len)
{
    lssb_template *found = thing;
    const char *key, *raw;
    size_t raw_len;

    (void)op;
    raw = lssb_json_find(text, len, "resources", &raw_len);
    if (raw != NULL)
        lssb_json_fill(raw, raw_len, legacy_resource_members, 3, found, &key);
    lssb_kind_default(found->image, sizeof found->image, "unknown");
    lssb_kind_default(found->cpu, sizeof found->cpu, "500m");
    lssb_kind_default(found->memory, sizeof found->memory, "512Mi");
}

static const struct lssb_exchange legacy_template_get;

static const struct lssb_kind legacy_template = {
    .name = "template",
    .type = "lssb_template",
    .items = "templates",
    .path = "/templates",
    .resource = LSSB_RESOURCE_TEMPLATE,
    .in_use = true,
    .paging = LSSB_PAGING_CURSOR,
    .size = sizeof(lssb_template),
    .members = legacy_template_members,
    .member_count =
        sizeof legacy_template_members / sizeof legacy_template_members[0],
    .nested = "resources",
    .complete = legacy_template_complete,
    .get = &legacy_template_get
};

/* Where the volumes go. */
static void legacy_volume_mounts(struct lssb_json_writer *json,
                                 const lssb_template_options *options)
{
    size_t i;

    if (options->volume_mount_count == 0)
        return;
    if (options->volume_mounts == NULL) {
        json->to->wrong = "volume_mounts: NULL, but their count is not 0";
        return;
    }
    lssb_json_array(json, "volume_mounts");
    for (i = 0; i < options->volume_mount_count; i++) {
        lssb_json_object(json, NULL);
        lssb_spec_required(json, "volume_name",
                           options->volume_mounts[i].volume_name,
                           "a volume_name is missing or empty");
        lssb_spec_required(json, "mount_path",
                           options->volume_mounts[i].mount_path,
                           "a mount_path is missing or empty");
        lssb_json_close(json);
    }
    lssb_json_close(json);
}

static void legacy_template_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_template_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_required(&json, "image", options->image,
                       "image is missing or empty");
    lssb_json_object(&json, "resources");
    lssb_json_string(&json, "cpu",
                     options->cpu != NULL ? options->cpu : "500m");
    lssb_json_string(&json, "memory",
                     options->memory != NULL ? options->memory : "512Mi");
    lssb_spec_text(&json, "storage", options->storage);
    lssb_json_close(&json);
    legacy_volume_mounts(&json, options);
    lssb_spec_end(&json);
}

static const struct lssb_exchange legacy_template_create = {
    .name = "create template",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .kind = &legacy_template,
    .path = lssb_kind_all_path,
    .body = legacy_template_body,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = lssb_kind_got
};

static const struct lssb_exchange legacy_template_get = {
    .name = "get template",
    .method = "GET",
    .resource = LSSB_RESOURCE_TEMPLATE,
    .kind = &legacy_template,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose,
    .event = lssb_kind_event,
    .done = lssb_kind_got,
    .failed = lssb_kind_failed
};

static const struct lssb_exchange legacy_template_rename = {
    .name = "rename template",
    .method = "PATCH",
    .meaning = LSSB_MEANING_UPDATE,
    .resource = LSSB_RESOURCE_TEMPLATE,
    .kind = &legacy_template,
    .path = lssb_kind_path,
    .body = legacy_rename_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_change_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_template_delete = {
    .name = "delete template",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_TEMPLATE,
    .kind = &legacy_template,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_kind_delete_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_template_list = {
    .name = "list templates",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &legacy_template,
    .path = lssb_kind_all_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_template_create(lssb_client *client,
                                 const lssb_template_options *options,
                                 lssb_template *created, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.options = options;
    arguments.out = created;
    if (options != NULL)
        arguments.details = options->details;
    return lssb_kind_start(client, &legacy_template_create, &arguments, op);
}

lssb_status lssb_template_get(lssb_client *client, const char *name,
                              lssb_template *found,
                              const lssb_details *details, lssb_op *op)
{
    struct lssb_arguments arguments = { 0 };

    arguments.name = name;
    arguments.out = found;
    arguments.details = details;
    return lssb_kind_start(client, &legacy_template_get, &arguments, op);
}

lssb_status lssb_template_rename(lssb_client *client, const char *name,
                                 const char *new_name, lssb_template *renamed,
                                 lssb_op *op)
{
    return legacy_change(client, &legacy_template_rename, name, name, new_name,
                         renamed, op);
}

lssb_status lssb_template_delete(lssb_client *client, const char *name,
                                 lssb_op *op)
{
    return legacy_named(client, &legacy_template_delete, name, NULL, op);
}

lssb_status lssb_template_next(lssb_client *client, lssb_plain_list *list,
                               lssb_template *templates, size_t max,
                               size_t *count, lssb_op *op)
{
    return legacy_next(client, &legacy_template_list, list, templates, max,
                       count, op);
}

/* --------------------------------------------------------------- volumes -- */

static const struct lssb_json_member legacy_volume_members[] = {
    LEGACY_TEXT(lssb_volume, id),
    LEGACY_TEXT(lssb_volume, name),
    LEGACY_TEXT(lssb_volume, size),
    LEGACY_TEXT(lssb_volume, storage_class),
    LEGACY_TEXT(lssb_volume, created_at),
    LEGACY_TEXT(lssb_volume, updated_at)
};

/* What is missing. */
static void legacy_volume_complete(lssb_op *op, void *thing, const char *text,
                                   size_t len)
{
    lssb_volume *volume = thing;

    (void)op;
    (void)text;
    (void)len;
    lssb_kind_default(volume->size, sizeof volume->size, "unknown");
    lssb_kind_default(volume->storage_class, sizeof volume->storage_class,
                      "default");
}

static const struct lssb_exchange legacy_volume_get;

static const struct lssb_kind legacy_volume = {
    .name = "volume",
    .type = "lssb_volume",
    .items = "volumes",
    .path = "/volumes",
    .resource = LSSB_RESOURCE_VOLUME,
    .in_use = true,
    .paging = LSSB_PAGING_CURSOR,
    .size = sizeof(lssb_volume),
    .members = legacy_volume_members,
    .member_count =
        sizeof legacy_volume_members / sizeof legacy_volume_members[0],
    .complete = legacy_volume_complete,
    .get = &legacy_volume_get
};

/* Seconds that a volume has for becoming ready. */
static uint32_t legacy_volume_s(const lssb_volume_options *options)
{
    return options->timeout_s != 0 ? options->timeout_s : LEGACY_VOLUME_S;
}

static void legacy_volume_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_volume_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_required(&json, "size", options->size,
                       "size is missing or empty");
    legacy_wait(&json, legacy_volume_s(options));
    lssb_spec_end(&json);
}

static void legacy_volume_change_body(const lssb_op *op,
                                      struct lssb_writer *to)
{
    const lssb_volume_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_text(&json, "name", options->name);
    lssb_spec_text(&json, "size", options->size);
    lssb_spec_end(&json);
}

/* The refusals of a creation. */
static lssb_status legacy_volume_create_failed(lssb_op *op, lssb_error *error)
{
    (void)op;
    if (error->http_status == 504)
        return lssb_kind_mean(error, LSSB_E_TIMEOUT, LSSB_RESOURCE_VOLUME);
    if (error->http_status != 503)
        return error->status;
    legacy_type(error, "VolumeProvisioning");
    return lssb_kind_mean(error, LSSB_E_CREATION, LSSB_RESOURCE_VOLUME);
}

/* The refusals of a change. */
static lssb_status legacy_volume_change_failed(lssb_op *op, lssb_error *error)
{
    if (error->http_status != 400)
        return lssb_kind_change_failed(op, error);
    legacy_type(error, "VolumeResize");
    return lssb_kind_mean(error, LSSB_E_VALIDATION, LSSB_RESOURCE_NONE);
}

static const struct lssb_exchange legacy_volume_create = {
    .name = "create volume",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .kind = &legacy_volume,
    .path = lssb_kind_all_path,
    .body = legacy_volume_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = legacy_volume_create_failed
};

static const struct lssb_exchange legacy_volume_get = {
    .name = "get volume",
    .method = "GET",
    .resource = LSSB_RESOURCE_VOLUME,
    .kind = &legacy_volume,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_failed
};

static const struct lssb_exchange legacy_volume_change = {
    .name = "change volume",
    .method = "PATCH",
    .meaning = LSSB_MEANING_UPDATE,
    .resource = LSSB_RESOURCE_VOLUME,
    .kind = &legacy_volume,
    .path = lssb_kind_path,
    .body = legacy_volume_change_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = legacy_volume_change_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_volume_delete = {
    .name = "delete volume",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_VOLUME,
    .kind = &legacy_volume,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_kind_delete_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_volume_list = {
    .name = "list volumes",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &legacy_volume,
    .path = lssb_kind_all_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_volume_create(lssb_client *client,
                               const lssb_volume_options *options,
                               lssb_volume *volume, lssb_op *op)
{
    return legacy_create(client, &legacy_volume_create, options, volume,
                         options != NULL
                             ? legacy_attempt_ms(legacy_volume_s(options))
                             : 0,
                         op);
}

lssb_status lssb_volume_get(lssb_client *client, const char *name,
                            lssb_volume *volume, lssb_op *op)
{
    return legacy_named(client, &legacy_volume_get, name, volume, op);
}

lssb_status lssb_volume_change(lssb_client *client, const char *name,
                               const lssb_volume_options *options,
                               lssb_volume *volume, lssb_op *op)
{
    if (options == NULL ||
        (!lssb_spec_given(options->name) && !lssb_spec_given(options->size) &&
         options->more == NULL))
        return lssb_volume_get(client, name, volume, op);
    return legacy_change(client, &legacy_volume_change, name, options,
                         options->name, volume, op);
}

lssb_status lssb_volume_delete(lssb_client *client, const char *name,
                               lssb_op *op)
{
    return legacy_named(client, &legacy_volume_delete, name, NULL, op);
}

lssb_status lssb_volume_next(lssb_client *client, lssb_plain_list *list,
                             lssb_volume *volumes, size_t max, size_t *count,
                             lssb_op *op)
{
    return legacy_next(client, &legacy_volume_list, list, volumes, max, count,
                       op);
}

/* ----------------------------------------------------------------- pools -- */

static const struct lssb_json_member legacy_pool_members[] = {
    LEGACY_TEXT(lssb_pool, id),
    LEGACY_TEXT(lssb_pool, name),
    LEGACY_TEXT(lssb_pool, template_name),
    LEGACY_TEXT(lssb_pool, created_at),
    LEGACY_TEXT(lssb_pool, updated_at),
    { "replicas", LSSB_JSON_I64, (uint16_t)offsetof(lssb_pool, replicas), 0 }
};

/* What is missing. */
static void legacy_pool_complete(lssb_op *op, void *thing, const char *text,
                                 size_t len)
{
    lssb_pool *pool = thing;

    (void)op;
    (void)text;
    (void)len;
    if (pool->replicas == LSSB_UNKNOWN)
        pool->replicas = 0;
}

static const struct lssb_exchange legacy_pool_get;

static const struct lssb_kind legacy_pool = {
    .name = "pool",
    .type = "lssb_pool",
    .items = "pools",
    .path = "/pools",
    .resource = LSSB_RESOURCE_POOL,
    .paging = LSSB_PAGING_CURSOR,
    .size = sizeof(lssb_pool),
    .members = legacy_pool_members,
    .member_count = sizeof legacy_pool_members / sizeof legacy_pool_members[0],
    .complete = legacy_pool_complete,
    .get = &legacy_pool_get
};

/* Seconds that a pool has for its first sandbox. */
static uint32_t legacy_pool_s(const lssb_pool_options *options)
{
    return options->timeout_s != 0 ? options->timeout_s : LEGACY_POOL_S;
}

static void legacy_pool_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_pool_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "name", options->name,
                       "name is missing or empty");
    lssb_spec_required(&json, "template_name", options->template_name,
                       "template_name is missing or empty");
    if (options->replicas < 1 && to->wrong == NULL)
        to->wrong = "replicas is less than 1";
    lssb_json_number(&json, "replicas", options->replicas);
    legacy_wait(&json, legacy_pool_s(options));
    lssb_spec_end(&json);
}

static void legacy_pool_change_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_pool_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_text(&json, "name", options->name);
    if (options->replicas < LSSB_NONE && to->wrong == NULL)
        to->wrong = "replicas is negative; LSSB_NONE is 0";
    if (options->replicas != 0)
        lssb_json_number(&json, "replicas",
                         options->replicas > 0 ? options->replicas : 0);
    lssb_spec_end(&json);
}

/* The refusals that are about a pool and its template. */
static lssb_status legacy_pool_failed(lssb_op *op, lssb_error *error)
{
    if (error->http_status == 504)
        return lssb_kind_mean(error, LSSB_E_TIMEOUT, LSSB_RESOURCE_POOL);
    if (error->http_status == 409)
        return lssb_kind_mean(error, LSSB_E_ALREADY_EXISTS,
                              LSSB_RESOURCE_POOL);
    if (error->http_status != 400)
        return lssb_kind_failed(op, error);
    if (strcmp(error->type, "TemplateNotFound") == 0)
        return lssb_kind_mean(error, LSSB_E_NOT_FOUND,
                              LSSB_RESOURCE_TEMPLATE);
    if (strcmp(error->type, "ValidationError") == 0)
        return lssb_kind_mean(error, LSSB_E_VALIDATION, LSSB_RESOURCE_NONE);
    return error->status;
}

static lssb_status legacy_pool_change_failed(lssb_op *op, lssb_error *error)
{
    if (error->http_status == 404 || error->http_status == 409)
        return lssb_kind_change_failed(op, error);
    return legacy_pool_failed(op, error);
}

static const struct lssb_exchange legacy_pool_create = {
    .name = "create pool",
    .method = "POST",
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    .kind = &legacy_pool,
    .path = lssb_kind_all_path,
    .body = legacy_pool_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = legacy_pool_failed
};

static const struct lssb_exchange legacy_pool_get = {
    .name = "get pool",
    .method = "GET",
    .resource = LSSB_RESOURCE_POOL,
    .kind = &legacy_pool,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = lssb_kind_failed
};

static const struct lssb_exchange legacy_pool_change = {
    .name = "change pool",
    .method = "PATCH",
    .meaning = LSSB_MEANING_UPDATE,
    .resource = LSSB_RESOURCE_POOL,
    .kind = &legacy_pool,
    .path = lssb_kind_path,
    .body = legacy_pool_change_body,
    .choose = lssb_kind_choose,
    .done = lssb_kind_got,
    .failed = legacy_pool_change_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_pool_delete = {
    .name = "delete pool",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_POOL,
    .kind = &legacy_pool,
    .path = lssb_kind_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_kind_delete_failed,
    .again = lssb_kind_again
};

static const struct lssb_exchange legacy_pool_list = {
    .name = "list pools",
    .method = "GET",
    .meaning = LSSB_MEANING_LIST,
    .kind = &legacy_pool,
    .path = lssb_kind_all_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .again = lssb_list_again
};

lssb_status lssb_pool_create(lssb_client *client,
                             const lssb_pool_options *options,
                             lssb_pool *pool, lssb_op *op)
{
    return legacy_create(client, &legacy_pool_create, options, pool,
                         options != NULL
                             ? legacy_attempt_ms(legacy_pool_s(options))
                             : 0,
                         op);
}

lssb_status lssb_pool_get(lssb_client *client, const char *name,
                          lssb_pool *pool, lssb_op *op)
{
    return legacy_named(client, &legacy_pool_get, name, pool, op);
}

lssb_status lssb_pool_change(lssb_client *client, const char *name,
                             const lssb_pool_options *options,
                             lssb_pool *pool, lssb_op *op)
{
    if (options == NULL ||
        (!lssb_spec_given(options->name) && options->replicas == 0 &&
         options->more == NULL))
        return lssb_pool_get(client, name, pool, op);
    return legacy_change(client, &legacy_pool_change, name, options,
                         options->name, pool, op);
}

lssb_status lssb_pool_delete(lssb_client *client, const char *name,
                             lssb_op *op)
{
    return legacy_named(client, &legacy_pool_delete, name, NULL, op);
}

lssb_status lssb_pool_next(lssb_client *client, lssb_plain_list *list,
                           lssb_pool *pools, size_t max, size_t *count,
                           lssb_op *op)
{
    return legacy_next(client, &legacy_pool_list, list, pools, max, count, op);
}
