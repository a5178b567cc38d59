/* boxes.c: boxes as the control plane has them (PROTOCOL 2.3 to 2.6).
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "control.h"

#define BOXES_CREATE_S 30           /* how long a creation waits */
#define BOXES_IDLE_S 600
#define BOXES_STOPPED_S 1209600

static const char *const boxes_statuses[] = {"provisioning", "ready",
                                             "failed", "stopped", "deleting",
                                             NULL};
static const char *const boxes_sorts[] = {
    "name", "status", "created_at", "stopped_at", "idle_ttl_seconds",
    "delete_after_stop_seconds", NULL};

/* -------------------------------------------------------------- replies -- */

/* Its lifetimes. */
static void box_write_times(struct lssb_json_writer *json,
                            const struct box *box)
{
    json_time(json, "created_at", box->created_us);
    json_time(json, "updated_at", box->updated_us);
    json_time(json, "stopped_at", box->stopped_us);
    lssb_json_string(json, "created_by", control_user);
    lssb_json_string(json, "updated_by", control_user);
    json_optional(json, "idle_ttl_seconds", box->idle_ttl_s);
    json_optional(json, "delete_after_stop_seconds",
                  box->delete_after_stop_s);
    if (box->ttl_s == UNSET)
        return;
    lssb_json_number(json, "ttl_seconds", box->ttl_s);
    json_time(json, "expires_at",
              box->ttl_s > 0 ? box->created_us + box->ttl_s * 1000000 : 0);
}

/* The word for its size. */
static const char *box_size_class(const struct box *box)
{
    return box->cpu_millicores <= 1000   ? "small"
           : box->cpu_millicores <= 4000 ? "medium"
                                         : "large";
}

/* What it was given. */
static void box_write_resources(struct lssb_json_writer *json,
                                const struct box *box)
{
    if (box->template_name != NULL)
        lssb_json_string(json, "template_name", box->template_name);
    lssb_json_string(json, "snapshot_id", box->snapshot_id);
    lssb_json_number(json, "vcpus", (box->cpu_millicores + 999) / 1000);
    lssb_json_number(json, "cpu_millicores", box->cpu_millicores);
    lssb_json_number(json, "mem_bytes", box->mem_bytes);
    lssb_json_number(json, "fs_capacity_bytes", box->fs_capacity_bytes);
    lssb_json_string(json, "size_class", box_size_class(box));
    json_map(json, "labels", &box->labels);
    lssb_json_bool(json, "preserve_memory_on_stop", box->preserve_memory);
    json_redacted(json, "mount_config", box->mount_config);
    json_redacted(json, "proxy_config", box->proxy_config);
    if (box->access_delegation != NULL)
        json_redacted(json, "access_delegation", box->access_delegation);
}

/* status and status_message. */
static void box_write_state(struct lssb_json_writer *json,
                            const struct box *box)
{
    lssb_json_string(json, "status", box_status_name(box->status));
    if (box->status_message != NULL)
        lssb_json_string(json, "status_message", box->status_message);
    else
        lssb_json_null(json, "status_message");
}

/* A sandbox object, in an array or at the top. */
static void box_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct box *box = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", box->id);
    lssb_json_string(json, "name", box->name);
    if (box->status == BOX_PROVISIONING && !box->was_ready) {
        lssb_json_null(json, "dataplane_url");
    } else {
        char url[400];

        snprintf(url, sizeof url, "%s/dp/%s", box->d->endpoint, box->id);
        lssb_json_string(json, "dataplane_url", url);
    }
    box_write_state(json, box);
    box_write_times(json, box);
    box_write_resources(json, box);
    run_config_write(json, &box->run, "/home/user");
    lssb_json_close(json);
}

/* {"status":…,"status_message":…} */
static void box_write_status(struct lssb_json_writer *json, const void *ctx)
{
    lssb_json_object(json, NULL);
    box_write_state(json, ctx);
    lssb_json_close(json);
}

/* There is no such box. */
void boxes_no_box(struct exchange *exchange, const char *name)
{
    reply_error(exchange, 404, "NotFound", "Sandbox '%s' not found", name);
}

/* ---------------------------------------------------------- the content -- */

/* cpu_millicores wins over vcpus. */
static bool box_read_resources(const struct object *body, struct box *box)
{
    int64_t vcpus = UNSET;

    if (!object_integer(body, "vcpus", 1, 16, &vcpus) ||
        !object_integer(body, "cpu_millicores", 1, 16000,
                        &box->cpu_millicores) ||
        !object_integer(body, "mem_bytes", 1, 64 * CONTROL_GIB,
                        &box->mem_bytes) ||
        !object_integer(body, "fs_capacity_bytes", 1, INT64_MAX,
                        &box->fs_capacity_bytes))
        return false;
    if (box->cpu_millicores == UNSET && vcpus != UNSET)
        box->cpu_millicores = vcpus * 1000;
    return true;
}

/* tag_value_ids: an array of strings, which nothing here asks for again. */
static bool box_read_tags(const struct object *body)
{
    struct object array;
    struct value key, value;
    size_t place = 0;

    if (!object_inside(body, "tag_value_ids", '[', &array))
        return false;
    while (value_next(array.value, &place, &key, &value)) {
        if (!value_is(value, '"'))
            return object_problem(body, "tag_value_ids",
                                  "an array of strings is expected");
    }
    return true;
}

/* What a creation and an update have in common, into a new box. */
static bool box_read(const struct object *body, const char *proxy_before,
                     struct box *box)
{
    return object_name(body, false, &box->name) &&
           object_ttl(body, "idle_ttl_seconds", &box->idle_ttl_s) &&
           object_ttl(body, "delete_after_stop_seconds",
                      &box->delete_after_stop_s) &&
           object_ttl(body, "ttl_seconds", &box->ttl_s) &&
           box_read_resources(body, box) && box_read_tags(body) &&
           spec_run_config(body, &box->run) &&
           spec_proxy(body, proxy_before, &box->proxy_config);
}

/* ------------------------------------------------------------- creation -- */

/* Memory follows the CPU at 4 GiB each, or the CPU the memory. */
static bool box_ratio(const struct object *body, struct box *box)
{
    int64_t fair;

    if (box->cpu_millicores == UNSET && box->mem_bytes == UNSET)
        box->cpu_millicores = 1000;
    if (box->cpu_millicores == UNSET) {
        box->cpu_millicores =
            (box->mem_bytes + 4 * CONTROL_GIB - 1) / (4 * CONTROL_GIB) * 1000;
        return true;
    }
    fair = box->cpu_millicores * (4 * CONTROL_GIB / 1000);
    if (box->cpu_millicores % 1000 == 0)
        fair = box->cpu_millicores / 1000 * 4 * CONTROL_GIB;
    if (box->mem_bytes == UNSET)
        box->mem_bytes = fair;
    if (box->mem_bytes >= fair / 2 && box->mem_bytes <= fair / 2 * 3)
        return true;
    return object_problem(body, "mem_bytes",
                          "must be within 50%% of 4 GiB per vCPU");
}

/* The members that only a creation has. */
static bool box_read_creation(const struct object *body, struct box *box)
{
    return object_bool(body, "preserve_memory_on_stop",
                       &box->preserve_memory) &&
           object_env(body, "env_vars", &box->env) &&
           object_labels(body, "labels", &box->labels) &&
           spec_mounts(body, &box->mount_config) &&
           !spec_conflicts(body, box->mount_config, box->proxy_config) &&
           spec_delegation(body, &box->access_delegation);
}

/* Takes over what the template says. */
static bool box_from_template(const struct object *body, struct box *box,
                              const char *name)
{
    const struct template *template = template_find(box->d, name);

    if (template == NULL) {
        reply_error(body->exchange, 400, "NotFound",
                    "Template '%s' not found", name);
        return false;
    }
    box->template_name = take_copy(name);
    if (box->cpu_millicores == UNSET && box->mem_bytes == UNSET)
        template_resources(template, &box->cpu_millicores, &box->mem_bytes,
                           &box->fs_capacity_bytes);
    template_mount(template, box);
    box->at_once = template_pooled(box->d, name);
    return true;
}

/* Takes over what the snapshot says, below what was asked for. */
static void box_inherit(struct box *box, const struct snapshot *snapshot)
{
    struct map labels = {0};
    struct run_config run = {0};

    map_merge(&labels, &snapshot->labels);
    map_merge(&labels, &box->labels);
    map_free(&box->labels);
    box->labels = labels;
    run_config_merge(&run, &snapshot->run);
    run_config_merge(&run, &box->run);
    run_config_free(&box->run);
    box->run = run;
    if (box->fs_capacity_bytes == UNSET)
        box->fs_capacity_bytes = snapshot->fs_capacity_bytes;
    box->source = take_copy(snapshot->dir);
    free(box->snapshot_id);
    box->snapshot_id = take_copy(snapshot->id);
}

/* Whether the snapshot's memory is what restore_memory wants. */
static bool box_memory(const struct object *body,
                       const struct snapshot *snapshot)
{
    bool restore = false;

    if (!object_bool(body, "restore_memory", &restore))
        return false;
    return !restore || snapshot->memory_bytes > 0 ||
           object_problem(body, "restore_memory",
                          "the snapshot has no memory image");
}

/* Takes over what the snapshot of a name says. */
static bool box_from_snapshot(const struct object *body, struct box *box,
                              const char *name)
{
    const struct snapshot *snapshot = snapshot_find(box->d, name);

    if (snapshot == NULL) {
        reply_error(body->exchange, 400, "NotFound",
                    "Snapshot '%s' not found", name);
        return false;
    }
    if (snapshot->status != SNAPSHOT_READY) {
        reply_error(body->exchange, 400, "InvalidRequest",
                    "Snapshot '%s' is not ready", name);
        return false;
    }
    if (!box_memory(body, snapshot))
        return false;
    box_inherit(box, snapshot);
    return true;
}

/* The members that say what a box is made from: one at most. */
static bool box_source(const struct object *body, struct box *box)
{
    static const char *const names[] = {"snapshot_id", "snapshot_name",
                                        "snapshot", "template_name"};
    char *source = NULL, *text;
    bool is_template = false, fine = true;
    size_t i;

    for (i = 0; fine && i < sizeof names / sizeof names[0]; i++) {
        text = NULL;
        fine = object_text(body, names[i], &text);
        if (text != NULL && source != NULL) {
            reply_error(body->exchange, 400, "InvalidRequest",
                        "more than one snapshot is named");
            fine = false;
        }
        is_template = is_template || (text != NULL && i == 3);
        move_text(&source, &text);
        free(text);
    }
    if (fine && is_template)
        fine = box_from_template(body, box, source);
    if (fine)
        fine = box_from_snapshot(body, box, source == NULL || is_template
                                                ? box_default_snapshot
                                                : source);
    free(source);
    return fine;
}

/* Somebody waits for the box that he creates. */
struct box_creation {
    struct box_wait wait;
    struct exchange *exchange;
};

/* The exchange is over, the wait with it. */
static void creation_over(struct exchange *exchange)
{
    struct box_creation *creation = exchange->state;

    box_wait_end(&creation->wait);
    free(creation);
}

/* The box is ready, or will not be in time. */
static void creation_done(struct box_wait *wait, struct box *box)
{
    struct exchange *exchange =
        ((struct box_creation *)wait->owner)->exchange;

    if (box == NULL)
        reply_error(exchange, 404, "NotFound", "the sandbox was deleted");
    else if (box->status == BOX_READY)
        reply_json(exchange, 201, box_write, box);
    else if (box->status == BOX_PROVISIONING)
        reply_error(exchange, 408, "Timeout",
                    "Timeout waiting for sandbox to be ready (status: "
                    "provisioning)");
    else
        reply_error(exchange, 422, "SandboxConfig", "%s",
                    box->status_message != NULL
                        ? box->status_message
                        : "Sandbox provisioning failed");
}

/* Holds the reply until the box is ready. */
static void creation_wait(struct exchange *exchange, struct box *box,
                          int64_t timeout_s)
{
    struct box_creation *creation = take(sizeof *creation);

    creation->exchange = exchange;
    creation->wait.owner = creation;
    creation->wait.done = creation_done;
    exchange->state = creation;
    exchange->on_over = creation_over;
    box_wait_start(&creation->wait, box, (uint32_t)(timeout_s * 1000));
}

/* What the boxes that run were given, altogether. */
static void boxes_used(const struct sandboxd *d, int64_t *millicores,
                       int64_t *memory)
{
    const struct box *box;

    *millicores = *memory = 0;
    for (box = d->boxes; box != NULL; box = box->next) {
        if (box->status == BOX_READY || box->status == BOX_PROVISIONING) {
            *millicores += box->cpu_millicores;
            *memory += box->mem_bytes;
        }
    }
}

/* Whether there are resources for one more; else says what is used up. */
static bool box_afford(struct exchange *exchange, const struct box *box)
{
    const struct settings *s = &exchange->d->settings;
    int64_t millicores, memory;

    boxes_used(exchange->d, &millicores, &memory);
    if (s->max_millicores > 0 &&
        millicores + box->cpu_millicores > (int64_t)s->max_millicores)
        reply_error(exchange, 429, "QuotaExceeded",
                    "CPU quota exceeded: %lld of %llu millicores are in use",
                    (long long)millicores,
                    (unsigned long long)s->max_millicores);
    else if (s->max_memory > 0 &&
             memory + box->mem_bytes > (int64_t)s->max_memory)
        reply_error(exchange, 429, "QuotaExceeded",
                    "Memory quota exceeded: %lld of %llu bytes are in use",
                    (long long)memory, (unsigned long long)s->max_memory);
    else
        return true;
    return false;
}

/* Whether there may be one more box, of that name. */
static bool box_admit(struct exchange *exchange, const struct box *box)
{
    struct sandboxd *d = exchange->d;

    if (box->name != NULL && box_find(d, box->name) != NULL) {
        reply_error(exchange, 409, "Conflict",
                    "A sandbox named '%s' already exists", box->name);
        return false;
    }
    if (d->box_count >= d->settings.max_boxes) {
        reply_error(exchange, 429, "QuotaExceeded",
                    "Limit of %llu sandbox(es) exceeded. Current usage: %llu "
                    "sandboxes, Requested: 1 additional.",
                    (unsigned long long)d->settings.max_boxes,
                    (unsigned long long)d->box_count);
        return false;
    }
    return box_afford(exchange, box);
}

/* What is left out gets the service's defaults. */
static void box_defaults(struct box *box)
{
    if (box->idle_ttl_s == UNSET)
        box->idle_ttl_s = BOXES_IDLE_S;
    if (box->delete_after_stop_s == UNSET)
        box->delete_after_stop_s = BOXES_STOPPED_S;
    spec_rule_env(box->proxy_config, &box->rule_env);
}

/* POST /boxes */
static void box_create(struct exchange *exchange, struct value body)
{
    struct box *box = box_new(exchange->d);
    struct object top;
    int64_t timeout_s = BOXES_CREATE_S;
    const char *why;
    bool waiting = true;

    object_top(&top, exchange, body);
    if (!object_bool(&top, "wait_for_ready", &waiting) ||
        !object_integer(&top, "timeout", 0, 3600, &timeout_s) ||
        !box_read(&top, NULL, box) || !box_read_creation(&top, box) ||
        !box_source(&top, box) ||
        (box->template_name == NULL && !box_ratio(&top, box)) ||
        !box_admit(exchange, box)) {
        box_free(box);
        return;
    }
    box_defaults(box);
    if (!box_add(box, &why)) {
        reply_error(exchange, 422, "SandboxConfig", "%s", why);
        box_free(box);
        return;
    }
    if (waiting)
        creation_wait(exchange, box, timeout_s);
    else
        reply_json(exchange, 201, box_write, box);
}

/* --------------------------------------------------------------- update -- */

/* Lays what an update gave over what a box has. */
static void box_apply(struct box *box, struct box *update)
{
    move_text(&box->name, &update->name);
    move_text(&box->proxy_config, &update->proxy_config);
    run_config_merge(&box->run, &update->run);
    move_number(&box->idle_ttl_s, update->idle_ttl_s);
    move_number(&box->delete_after_stop_s, update->delete_after_stop_s);
    move_number(&box->ttl_s, update->ttl_s);
    move_number(&box->cpu_millicores, update->cpu_millicores);
    move_number(&box->mem_bytes, update->mem_bytes);
    move_number(&box->fs_capacity_bytes, update->fs_capacity_bytes);
    spec_rule_env(box->proxy_config, &box->rule_env);
    box->updated_us = wall_us();
    box_timers(box);
}

/* Whether an update that was read can be made. */
static bool box_may_apply(const struct object *body, struct box *box,
                          const struct box *update)
{
    const struct box *other =
        update->name == NULL ? NULL : box_find(box->d, update->name);

    if (other != NULL && other != box) {
        reply_error(body->exchange, 409, "Conflict", "Name already in use");
        return false;
    }
    if (spec_conflicts(body, box->mount_config, update->proxy_config) ||
        spec_new_role(body, box->proxy_config, update->proxy_config))
        return false;
    if (update->run.work_dir == NULL ||
        path_make_dir(box, update->run.work_dir))
        return true;
    reply_error(body->exchange, 400, "InvalidRequest",
                "work_dir cannot be made");
    return false;
}

/* PATCH /boxes/{name}: all of it, or nothing. */
static void box_update(struct exchange *exchange, struct value body)
{
    char *name = exchange->state;
    struct box *box = box_find(exchange->d, name);
    struct box *update = box_new(exchange->d);
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (box == NULL) {
        boxes_no_box(exchange, name);
    } else if (box_read(&top, box->proxy_config, update) &&
               box_may_apply(&top, box, update)) {
        box_apply(box, update);
        reply_json(exchange, 200, box_write, box);
    }
    box_free(update);
    free(name);
}

/* ---------------------------------------------------------------- lists -- */

/* What a box is sorted by, when that is a number. */
static int64_t box_number(const void *thing, const char *sort_by)
{
    const struct box *box = thing;

    if (strcmp(sort_by, "stopped_at") == 0)
        return box->stopped_us;
    if (strcmp(sort_by, "idle_ttl_seconds") == 0)
        return box->idle_ttl_s;
    if (strcmp(sort_by, "delete_after_stop_seconds") == 0)
        return box->delete_after_stop_s;
    return 0;
}

/* GET /boxes */
static void boxes_list(struct exchange *exchange)
{
    static const struct list_kind kind = {"sandboxes", true, boxes_sorts,
                                          boxes_statuses, box_number,
                                          box_write};
    struct listed *things =
        take((exchange->d->box_count + 1) * sizeof *things);
    const struct box *box;
    size_t count = 0;

    for (box = exchange->d->boxes; box != NULL; box = box->next) {
        things[count].thing = box;
        things[count].sequence = box->sequence;
        things[count].name = box->name;
        things[count].status = box_status_name(box->status);
        things[count++].labels = &box->labels;
    }
    list_reply(exchange, &kind, things, count);
    free(things);
}

/* --------------------------------------------------------------- others -- */

/* POST /boxes/{name}/start */
static void box_begin(struct exchange *exchange, struct box *box)
{
    if (box->status != BOX_STOPPED && box->status != BOX_FAILED) {
        reply_error(exchange, 409, "Conflict", "the sandbox is %s",
                    box_status_name(box->status));
        return;
    }
    box_start(box);
    reply_json(exchange, 202, box_write, box);
}

/* POST /boxes/{name}/stop */
static void box_end(struct exchange *exchange, struct box *box)
{
    if (box->status == BOX_STOPPED) {
        reply_error(exchange, 409, "Conflict", "the sandbox is stopped");
        return;
    }
    box_stop(box);
    reply_empty(exchange, 204);
}

/* Counts boxes of a status; of any template, or of none. */
static int64_t boxes_count(const struct sandboxd *d, enum box_status status)
{
    const struct box *box;
    int64_t count = 0;

    for (box = d->boxes; box != NULL; box = box->next)
        count += box->status == status;
    return count;
}

/* What there is of everything, and what there may be. */
static void usage_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;
    const struct settings *s = &d->settings;
    struct legacy_counts counts;
    int64_t millicores, memory, limit = (int64_t)s->max_boxes;

    boxes_used(d, &millicores, &memory);
    legacy_count(d, &counts);
    lssb_json_object(json, NULL);
    lssb_json_number(json, "cpu_limit_millicores",
                     s->max_millicores > 0 ? (int64_t)s->max_millicores
                                           : limit * 16000);
    lssb_json_number(json, "cpu_used_millicores", millicores);
    lssb_json_number(json, "memory_limit_bytes",
                     s->max_memory > 0 ? (int64_t)s->max_memory
                                       : limit * 64 * CONTROL_GIB);
    lssb_json_number(json, "memory_used_bytes", memory);
    lssb_json_number(json, "pools_count", counts.pools);
    lssb_json_number(json, "registries_count", counts.registries);
    lssb_json_number(json, "sandbox_direct_count", (int64_t)d->box_count);
    lssb_json_number(json, "sandbox_pool_replicas_count", counts.replicas);
    lssb_json_number(json, "sandbox_running_count",
                     boxes_count(d, BOX_READY));
    lssb_json_number(json, "sandbox_stopped_count",
                     boxes_count(d, BOX_STOPPED));
    lssb_json_number(json, "sandboxes_limit", limit);
    lssb_json_number(json, "sandboxes_used", (int64_t)d->box_count);
    lssb_json_number(json, "snapshots_count", counts.snapshots);
    lssb_json_number(json, "templates_count", counts.templates);
    lssb_json_close(json);
}

/* GET /usage */
void usage_reply(struct exchange *exchange)
{
    if (api_method(exchange, "GET"))
        reply_json(exchange, 200, usage_write, exchange->d);
    else
        reply_allow(exchange, "GET, HEAD");
}

/* {"deleted":[…],"skipped":[{"name":…,"reason":…}]}, of a map from each name
 * to the reason, or to "". */
static void batch_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct map *done = ctx;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "deleted");
    for (i = 0; i < done->count; i++) {
        if (done->pairs[i].value[0] == '\0')
            lssb_json_string(json, NULL, done->pairs[i].name);
    }
    lssb_json_close(json);
    lssb_json_array(json, "skipped");
    for (i = 0; i < done->count; i++) {
        if (done->pairs[i].value[0] == '\0')
            continue;
        lssb_json_object(json, NULL);
        lssb_json_string(json, "name", done->pairs[i].name);
        lssb_json_string(json, "reason", done->pairs[i].value);
        lssb_json_close(json);
    }
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Whether an array holds strings only. */
static bool batch_check(const struct object *names)
{
    struct object name;
    size_t place = 0, index = 0;
    int more;

    while ((more = object_each(names, &place, &index, '"', &name)) > 0)
        ;
    return more == 0;
}

/* POST /boxes/batch-delete. A name that comes twice is deleted once. */
static void batch_delete(struct exchange *exchange, struct value body)
{
    struct object top, names;
    struct value key, value;
    struct map done = {0};
    size_t place = 0;

    object_top(&top, exchange, body);
    if (!object_inside(&top, "names", '[', &names) || !batch_check(&names))
        return;
    if (names.value.at == NULL) {
        object_missing(&top, "names");
        return;
    }
    while (value_next(names.value, &place, &key, &value)) {
        char *name = value_text(value);
        struct box *box = name == NULL ? NULL : box_find(exchange->d, name);

        if (box != NULL)
            box_delete(box);
        if (name != NULL && map_get(&done, name) == NULL)
            map_set(&done, name, box != NULL ? "" : "not found");
        free(name);
    }
    reply_json(exchange, 200, batch_write, &done);
    map_free(&done);
}

/* -------------------------------------------------------------- routing -- */

/* /boxes/{name} */
static void boxes_one(struct exchange *exchange, const char *name)
{
    struct box *box = box_find(exchange->d, name);

    if (!api_method(exchange, "GET") && !api_method(exchange, "PATCH") &&
        !api_method(exchange, "DELETE")) {
        reply_allow(exchange, "GET, HEAD, PATCH, DELETE");
    } else if (box == NULL) {
        boxes_no_box(exchange, name);
    } else if (api_method(exchange, "GET")) {
        reply_json(exchange, 200, box_write, box);
    } else if (api_method(exchange, "DELETE")) {
        box_delete(box);
        reply_empty(exchange, 204);
    } else {
        collect_named(exchange, name, box_update);
    }
}

/* /boxes/{name}/start, …/stop */
static void boxes_turn(struct exchange *exchange, const char *name,
                       bool start)
{
    struct box *box = box_find(exchange->d, name);

    if (!api_method(exchange, "POST"))
        reply_allow(exchange, "POST");
    else if (box == NULL)
        boxes_no_box(exchange, name);
    else if (start)
        box_begin(exchange, box);
    else
        box_end(exchange, box);
}

/* /boxes/{name}/status */
static void boxes_status(struct exchange *exchange, const char *name)
{
    struct box *box = box_find(exchange->d, name);

    if (!api_method(exchange, "GET"))
        reply_allow(exchange, "GET, HEAD");
    else if (box == NULL)
        boxes_no_box(exchange, name);
    else
        reply_json(exchange, 200, box_write_status, box);
}

/* /boxes/{name}/{action} */
static void boxes_action(struct exchange *exchange, const char *name,
                         const char *action)
{
    if (strcmp(action, "status") == 0)
        boxes_status(exchange, name);
    else if (strcmp(action, "start") == 0 || strcmp(action, "stop") == 0)
        boxes_turn(exchange, name, strcmp(action, "start") == 0);
    else if (strcmp(action, "service-url") == 0)
        links_service(exchange, name);
    else if (strcmp(action, "service-urls") == 0)
        links_services(exchange, name);
    else if (strcmp(action, "download-url") == 0)
        links_download(exchange, name);
    else if (strcmp(action, "snapshot") != 0)
        api_no_route(exchange);
    else if (!api_method(exchange, "POST"))
        reply_allow(exchange, "POST");
    else
        collect_named(exchange, name, snapshot_capture);
}

/* /boxes and what is below it. */
void boxes_route(struct exchange *exchange, char **segments, size_t count)
{
    if (count == 2 && api_method(exchange, "POST") &&
        strcmp(segments[1], "batch-delete") == 0)
        collect_json(exchange, batch_delete);
    else if (count == 2)
        boxes_one(exchange, segments[1]);
    else if (count == 3)
        boxes_action(exchange, segments[1], segments[2]);
    else if (count > 3)
        api_no_route(exchange);
    else if (api_method(exchange, "GET"))
        boxes_list(exchange);
    else if (api_method(exchange, "POST"))
        collect_json(exchange, box_create);
    else
        reply_allow(exchange, "GET, HEAD, POST");
}
