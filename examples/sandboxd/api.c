/* api.c: the control plane (PROTOCOL 2.3 to 2.6, 2.12), and who goes where.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "sandboxd.h"

#define API_SEGMENTS 8
#define API_NAME 127                /* bytes of a box's name */
#define API_CREATE_S 30             /* how long a creation waits */
#define API_IDLE_S 600
#define API_STOPPED_S 1209600
#define API_GIB ((int64_t)1 << 30)

/* ----------------------------------------------------------------- replies -- */

/* The resolved configuration of a box's commands. */
static void api_write_run(struct lssb_json_writer *json, const struct box *box)
{
    lssb_json_object(json, "run_config");
    if (box->run.user != NULL)
        lssb_json_string(json, "user", box->run.user);
    lssb_json_string(json, "work_dir", box->run.work_dir != NULL
                                           ? box->run.work_dir
                                           : "/home/user");
    json_map(json, "env_vars", &box->run.env);
    lssb_json_close(json);
}

/* Its lifetimes. */
static void api_write_times(struct lssb_json_writer *json,
                            const struct box *box)
{
    json_time(json, "created_at", box->created_us);
    json_time(json, "updated_at", box->updated_us);
    json_time(json, "stopped_at", box->stopped_us);
    json_optional(json, "idle_ttl_seconds", box->idle_ttl_s);
    json_optional(json, "delete_after_stop_seconds",
                  box->delete_after_stop_s);
    if (box->ttl_s == UNSET)
        return;
    lssb_json_number(json, "ttl_seconds", box->ttl_s);
    json_time(json, "expires_at",
              box->ttl_s > 0 ? box->created_us + box->ttl_s * 1000000 : 0);
}

/* What it was given. */
static void api_write_resources(struct lssb_json_writer *json,
                                const struct box *box)
{
    lssb_json_string(json, "snapshot_id", box_default_snapshot);
    lssb_json_number(json, "vcpus", (box->cpu_millicores + 999) / 1000);
    lssb_json_number(json, "cpu_millicores", box->cpu_millicores);
    lssb_json_number(json, "mem_bytes", box->mem_bytes);
    lssb_json_number(json, "fs_capacity_bytes", box->fs_capacity_bytes);
    json_map(json, "labels", &box->labels);
    lssb_json_bool(json, "preserve_memory_on_stop", box->preserve_memory);
    json_redacted(json, "mount_config", box->mount_config);
    json_redacted(json, "proxy_config", box->proxy_config);
    if (box->access_delegation != NULL)
        json_redacted(json, "access_delegation", box->access_delegation);
}

/* A sandbox object (PROTOCOL 2.3), in an array or at the top. */
static void api_write_box(struct lssb_json_writer *json, const void *ctx)
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
    lssb_json_string(json, "status", box_status_name(box->status));
    if (box->status_message != NULL)
        lssb_json_string(json, "status_message", box->status_message);
    else
        lssb_json_null(json, "status_message");
    api_write_times(json, box);
    api_write_resources(json, box);
    api_write_run(json, box);
    lssb_json_close(json);
}

/* {"status":…,"status_message":…} */
static void api_write_status(struct lssb_json_writer *json, const void *ctx)
{
    const struct box *box = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "status", box_status_name(box->status));
    if (box->status_message != NULL)
        lssb_json_string(json, "status_message", box->status_message);
    else
        lssb_json_null(json, "status_message");
    lssb_json_close(json);
}

/* There is no such box. */
static void api_no_box(struct exchange *exchange, const char *name)
{
    reply_error(exchange, 404, "NotFound", "Sandbox '%s' not found", name);
}

/* There is no such thing. */
static void api_no_route(struct exchange *exchange)
{
    reply_error(exchange, 404, "not_found", "not found");
}

/* ---------------------------------------------------------------- members -- */

/* A member that is an integer within bounds; missing and null leave it. */
static bool api_integer(struct exchange *exchange, struct value body,
                        const char *name, int64_t least, int64_t most,
                        int64_t *number)
{
    struct value value = value_get(body, name);
    int64_t got;

    if (value_is_null(value))
        return true;
    if (!value_integer(value, &got)) {
        reply_problem(exchange, name, "value is not a valid integer");
        return false;
    }
    if (got < least || got > most) {
        reply_problem(exchange, name, "must be between %lld and %lld",
                      (long long)least, (long long)most);
        return false;
    }
    *number = got;
    return true;
}

/* A lifetime: not negative, whole minutes, a century at most. */
static bool api_ttl(struct exchange *exchange, struct value body,
                    const char *name, int64_t *seconds)
{
    int64_t got = UNSET;

    if (!api_integer(exchange, body, name, 0, INT64_C(3155760000), &got))
        return false;
    if (got != UNSET && got % 60 != 0) {
        reply_problem(exchange, name, "must be a multiple of 60");
        return false;
    }
    if (got != UNSET)
        *seconds = got;
    return true;
}

/* A member that is a string; missing, null and empty give NULL. */
static bool api_text(struct exchange *exchange, struct value body,
                     const char *name, char **text)
{
    struct value value = value_get(body, name);

    if (value_is_null(value))
        return true;
    *text = value_text(value);
    if (*text == NULL) {
        reply_problem(exchange, name, "str type expected");
        return false;
    }
    if (**text == '\0') {
        free(*text);
        *text = NULL;
    }
    return true;
}

/* A member that is a map of strings. */
static bool api_map(struct exchange *exchange, struct value body,
                    const char *name, struct map *map)
{
    struct value value = value_get(body, name);

    if (value_is_null(value) || value_map(value, map))
        return true;
    reply_problem(exchange, name, "an object of strings is expected");
    return false;
}

/* Moves a string, if there is one. */
static void api_move(char **to, char **from)
{
    if (*from == NULL)
        return;
    free(*to);
    *to = *from;
    *from = NULL;
}

/* A map of variables: names without '=', not empty. */
static bool api_env(struct exchange *exchange, struct value body,
                    const char *name, struct map *map)
{
    size_t i;

    if (!api_map(exchange, body, name, map))
        return false;
    for (i = 0; i < map->count; i++) {
        const char *variable = map->pairs[i].name;

        if (*variable == '\0' || strchr(variable, '=') != NULL) {
            reply_problem(exchange, name, "a variable cannot be named '%s'",
                          variable);
            return false;
        }
    }
    return true;
}

/* A member that is an object, kept as it is. */
static bool api_object(struct exchange *exchange, struct value body,
                       const char *name, char **kept)
{
    struct value value = value_get(body, name);

    if (value_is_null(value))
        return true;
    if (!value_is(value, '{')) {
        reply_problem(exchange, name, "an object is expected");
        return false;
    }
    *kept = take_copy_n(value.at, value.len);
    return true;
}

/* ------------------------------------------------------------- the content -- */

/* A name: some text that a URL can carry as one segment. */
static bool api_name(struct exchange *exchange, struct box *box,
                     struct value body)
{
    const char *at;

    if (!api_text(exchange, body, "name", &box->name))
        return false;
    for (at = box->name; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            reply_problem(exchange, "name", "holds a control character");
            return false;
        }
    }
    if (box->name == NULL)
        return true;
    if (strlen(box->name) > API_NAME || strcmp(box->name, ".") == 0 ||
        strcmp(box->name, "..") == 0) {
        reply_problem(exchange, "name",
                      "must be 1 to %d bytes, and not '.' or '..'", API_NAME);
        return false;
    }
    return true;
}

/* Labels: lower case letters, digits, '.', '-'; not the service's own. */
static bool api_labels(struct exchange *exchange, struct box *box,
                       struct value body)
{
    size_t i;

    if (!api_map(exchange, body, "labels", &box->labels))
        return false;
    for (i = 0; i < box->labels.count; i++) {
        const char *name = box->labels.pairs[i].name;

        if (name[0] == '\0' ||
            name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")] !=
                '\0' ||
            strncmp(name, "com.langchain", 13) == 0) {
            reply_problem(exchange, "labels", "'%s' cannot be a key", name);
            return false;
        }
    }
    return true;
}

/* run_config: who, where, with which environment. */
static bool api_run_config(struct exchange *exchange, struct box *box,
                           struct value body)
{
    struct value config = value_get(body, "run_config");

    if (value_is_null(config))
        return true;
    if (!value_is(config, '{')) {
        reply_problem(exchange, "run_config", "an object is expected");
        return false;
    }
    if (!api_text(exchange, config, "user", &box->run.user) ||
        !api_text(exchange, config, "work_dir", &box->run.work_dir) ||
        !api_env(exchange, config, "env_vars", &box->run.env))
        return false;
    if (box->run.work_dir != NULL && box->run.work_dir[0] != '/') {
        reply_error(exchange, 400, "InvalidRequest",
                    "work_dir must be absolute");
        return false;
    }
    if (box->run.user != NULL && !user_possible(box->run.user)) {
        reply_error(exchange, 400, "InvalidRequest",
                    "commands cannot run as user %s here", box->run.user);
        return false;
    }
    return true;
}

/* cpu_millicores wins over vcpus. */
static bool api_resources(struct exchange *exchange, struct box *box,
                          struct value body)
{
    int64_t vcpus = UNSET;

    if (!api_integer(exchange, body, "vcpus", 1, 16, &vcpus) ||
        !api_integer(exchange, body, "cpu_millicores", 1, 16000,
                     &box->cpu_millicores) ||
        !api_integer(exchange, body, "mem_bytes", 1, 64 * API_GIB,
                     &box->mem_bytes) ||
        !api_integer(exchange, body, "fs_capacity_bytes", 1, INT64_MAX,
                     &box->fs_capacity_bytes))
        return false;
    if (box->cpu_millicores == UNSET && vcpus != UNSET)
        box->cpu_millicores = vcpus * 1000;
    return true;
}

/* What a creation and an update have in common, into a new box. */
static bool api_common(struct exchange *exchange, struct box *box,
                       struct value body)
{
    return api_name(exchange, box, body) &&
           api_ttl(exchange, body, "idle_ttl_seconds", &box->idle_ttl_s) &&
           api_ttl(exchange, body, "delete_after_stop_seconds",
                   &box->delete_after_stop_s) &&
           api_ttl(exchange, body, "ttl_seconds", &box->ttl_s) &&
           api_resources(exchange, box, body) &&
           api_run_config(exchange, box, body) &&
           api_object(exchange, body, "proxy_config", &box->proxy_config);
}

/* ---------------------------------------------------------------- creation -- */

/* Memory follows the CPU at 4 GiB each, or the CPU the memory. */
static bool api_ratio(struct exchange *exchange, struct box *box)
{
    int64_t fair;

    if (box->cpu_millicores == UNSET && box->mem_bytes == UNSET)
        box->cpu_millicores = 1000;
    if (box->cpu_millicores == UNSET) {
        box->cpu_millicores =
            (box->mem_bytes + 4 * API_GIB - 1) / (4 * API_GIB) * 1000;
        return true;
    }
    fair = box->cpu_millicores * 4 * (API_GIB / 1000);
    if (box->cpu_millicores % 1000 == 0)
        fair = box->cpu_millicores / 1000 * 4 * API_GIB;
    if (box->mem_bytes == UNSET)
        box->mem_bytes = fair;
    if (box->mem_bytes >= fair / 2 && box->mem_bytes <= fair / 2 * 3)
        return true;
    reply_problem(exchange, "mem_bytes",
                  "must be within 50%% of 4 GiB per vCPU");
    return false;
}

/* What is left out gets the service's defaults. */
static void api_defaults(struct box *box)
{
    if (box->idle_ttl_s == UNSET)
        box->idle_ttl_s = API_IDLE_S;
    if (box->delete_after_stop_s == UNSET)
        box->delete_after_stop_s = API_STOPPED_S;
    if (box->fs_capacity_bytes == UNSET)
        box->fs_capacity_bytes = 4 * API_GIB;
}

/* access_delegation: one of two modes (PROTOCOL 2.19). */
static bool api_delegation(struct exchange *exchange, struct box *box,
                           struct value body)
{
    struct value object, permissions, name, first;
    size_t place = 0;
    char *mode;
    bool some, fine;

    if (!api_object(exchange, body, "access_delegation",
                    &box->access_delegation))
        return false;
    if (box->access_delegation == NULL)
        return true;
    object = value_get(body, "access_delegation");
    permissions = value_get(object, "permissions");
    some = value_is(permissions, '[') &&
           value_next(permissions, &place, &name, &first);
    mode = value_text(value_get(object, "mode"));
    fine = mode != NULL &&
           ((strcmp(mode, "INHERIT") == 0 && !some) ||
            (strcmp(mode, "EXPLICIT") == 0 && some));
    free(mode);
    if (!fine)
        reply_problem(exchange, "access_delegation",
                      "mode must be INHERIT, or EXPLICIT with permissions");
    return fine;
}

/* The members that only a creation has. */
static bool api_creation(struct exchange *exchange, struct box *box,
                         struct value body)
{
    struct value preserve = value_get(body, "preserve_memory_on_stop");
    struct value restore = value_get(body, "restore_memory");
    bool flag = false;

    if (!value_is_null(preserve) &&
        !value_bool(preserve, &box->preserve_memory)) {
        reply_problem(exchange, "preserve_memory_on_stop",
                      "value could not be parsed to a boolean");
        return false;
    }
    if (!value_is_null(restore) && (!value_bool(restore, &flag) || flag)) {
        reply_problem(exchange, "restore_memory",
                      "the snapshot has no memory image");
        return false;
    }
    return api_env(exchange, body, "env_vars", &box->env) &&
           api_labels(exchange, box, body) &&
           api_object(exchange, body, "mount_config", &box->mount_config) &&
           api_delegation(exchange, box, body) && api_ratio(exchange, box);
}

/* Whether a snapshot of that name or id is there: only the default one is. */
static bool api_snapshot_known(const char *name)
{
    return strcmp(name, "default") == 0 ||
           strcmp(name, "default:latest") == 0 ||
           strcmp(name, box_default_snapshot) == 0;
}

/* The members that say what a box is made from: one at most. */
static bool api_source(struct exchange *exchange, struct value body)
{
    static const char *const names[] = {"snapshot_id", "snapshot_name",
                                        "snapshot", "template_name"};
    char *source = NULL, *text;
    bool is_template = false, fine = true;
    size_t i;

    for (i = 0; fine && i < sizeof names / sizeof names[0]; i++) {
        text = NULL;
        fine = api_text(exchange, body, names[i], &text);
        if (text != NULL && source != NULL) {
            reply_error(exchange, 400, "InvalidRequest",
                        "more than one snapshot is named");
            fine = false;
        }
        is_template = is_template || (text != NULL && i == 3);
        api_move(&source, &text);
    }
    if (fine && source != NULL &&
        (is_template || !api_snapshot_known(source))) {
        reply_error(exchange, 400, "NotFound", "%s '%s' not found",
                    is_template ? "Template" : "Snapshot", source);
        fine = false;
    }
    free(source);
    return fine;
}

/* Somebody waits for the box that he creates. */
struct api_wait {
    struct box_wait wait;
    struct exchange *exchange;
};

/* The exchange is over, the wait with it. */
static void api_wait_over(struct exchange *exchange)
{
    struct api_wait *wait = exchange->state;

    box_wait_end(&wait->wait);
    free(wait);
}

/* The box is ready, or will not be in time. */
static void api_wait_done(struct box_wait *wait, struct box *box)
{
    struct exchange *exchange = ((struct api_wait *)wait->owner)->exchange;

    if (box == NULL)
        reply_error(exchange, 404, "NotFound", "the sandbox was deleted");
    else if (box->status == BOX_READY)
        reply_json(exchange, 201, api_write_box, box);
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
static void api_wait(struct exchange *exchange, struct box *box,
                     int64_t timeout_s)
{
    struct api_wait *wait = take(sizeof *wait);

    wait->exchange = exchange;
    wait->wait.owner = wait;
    wait->wait.done = api_wait_done;
    exchange->state = wait;
    exchange->on_over = api_wait_over;
    box_wait_start(&wait->wait, box, (uint32_t)(timeout_s * 1000));
}

/* Whether there may be one more box, of that name. */
static bool api_admit(struct exchange *exchange, const struct box *box)
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
    return true;
}

/* POST /boxes */
static void api_create(struct exchange *exchange, struct value body)
{
    struct value wait = value_get(body, "wait_for_ready");
    struct box *box = box_new(exchange->d);
    int64_t timeout_s = API_CREATE_S;
    const char *why;
    bool waiting = true;

    if (!value_is_null(wait) && !value_bool(wait, &waiting)) {
        reply_problem(exchange, "wait_for_ready",
                      "value could not be parsed to a boolean");
        box_free(box);
        return;
    }
    if (!api_integer(exchange, body, "timeout", 0, 3600, &timeout_s) ||
        !api_common(exchange, box, body) ||
        !api_creation(exchange, box, body) || !api_source(exchange, body) ||
        !api_admit(exchange, box)) {
        box_free(box);
        return;
    }
    api_defaults(box);
    if (!box_add(box, &why)) {
        reply_error(exchange, 422, "SandboxConfig", "%s", why);
        box_free(box);
        return;
    }
    if (waiting)
        api_wait(exchange, box, timeout_s);
    else
        reply_json(exchange, 201, api_write_box, box);
}

/* ------------------------------------------------------------------ update -- */

/* Moves a number, if it was given. */
static void api_move_number(int64_t *to, int64_t from)
{
    if (from != UNSET)
        *to = from;
}

/* Lays what an update gave over what a box has. */
static void api_apply(struct box *box, struct box *update)
{
    api_move(&box->name, &update->name);
    api_move(&box->proxy_config, &update->proxy_config);
    api_move(&box->run.user, &update->run.user);
    api_move(&box->run.work_dir, &update->run.work_dir);
    map_merge(&box->run.env, &update->run.env);
    api_move_number(&box->idle_ttl_s, update->idle_ttl_s);
    api_move_number(&box->delete_after_stop_s, update->delete_after_stop_s);
    api_move_number(&box->ttl_s, update->ttl_s);
    api_move_number(&box->cpu_millicores, update->cpu_millicores);
    api_move_number(&box->mem_bytes, update->mem_bytes);
    api_move_number(&box->fs_capacity_bytes, update->fs_capacity_bytes);
    box->updated_us = wall_us();
    box_timers(box);
}

/* PATCH /boxes/{name}: all of it, or nothing. */
static void api_update(struct exchange *exchange, struct value body)
{
    char *name = exchange->state;
    struct box *box = box_find(exchange->d, name);
    struct box *update = box_new(exchange->d), *other;

    if (box == NULL) {
        api_no_box(exchange, name);
    } else if (api_common(exchange, update, body)) {
        other = update->name == NULL ? NULL
                                     : box_find(exchange->d, update->name);
        if (other != NULL && other != box) {
            reply_error(exchange, 409, "Conflict", "Name already in use");
        } else if (update->run.work_dir != NULL &&
                   !path_make_dir(box, update->run.work_dir)) {
            reply_error(exchange, 400, "InvalidRequest",
                        "work_dir cannot be made");
        } else {
            api_apply(box, update);
            reply_json(exchange, 200, api_write_box, box);
        }
    }
    box_free(update);
    free(name);
}

/* ------------------------------------------------------------------- lists -- */

/* What a list is asked for. */
struct api_list {
    bool modern;                    /* page_size, cursor, sort_order */
    bool deprecated;                /* limit, offset, sort_direction */
    int64_t size;
    int64_t offset;
    char *sort_by;
    bool ascending;
    char *name_contains;
    char *status;
    char *labels[16];
    size_t label_count;
    char *cursor;
    const char *wrong;
};

/* A box, and what it is sorted by: text of which the order is the boxes'. */
struct api_entry {
    const struct box *box;
    char key[192];
};

/* A page, as its writer needs it. */
struct api_page {
    struct api_entry **entries;
    size_t count;
    int64_t offset;                 /* the next one; 0: none */
    char *cursor;
};

static const char *const api_sorts[] = {"name", "status", "created_at",
                                        "stopped_at", "idle_ttl_seconds",
                                        "delete_after_stop_seconds"};

/* Sets a number of the query. */
static void api_list_number(struct api_list *list, const char *text,
                            int64_t least, int64_t most, int64_t *number)
{
    uint64_t got;

    if (!lssb_parse_u64(text, strlen(text), &got) || got > (uint64_t)most ||
        got < (uint64_t)least)
        list->wrong = "a number of the query is out of bounds";
    else
        *number = (int64_t)got;
}

/* Sets the direction. */
static void api_list_order(struct api_list *list, const char *text)
{
    list->ascending = strcmp(text, "asc") == 0;
    if (!list->ascending && strcmp(text, "desc") != 0)
        list->wrong = "the order must be asc or desc";
}

/* Keeps a string of the query; false if there is one already. */
static void api_list_keep(char **place, const char *text)
{
    free(*place);
    *place = take_copy(text);
}

/* Takes one member of the query; others than these are ignored. */
static void api_list_member(struct api_list *list, const char *name,
                            const char *text)
{
    if (strcmp(name, "page_size") == 0 || strcmp(name, "cursor") == 0 ||
        strcmp(name, "sort_order") == 0)
        list->modern = true;
    if (strcmp(name, "limit") == 0 || strcmp(name, "offset") == 0 ||
        strcmp(name, "sort_direction") == 0)
        list->deprecated = true;
    if (strcmp(name, "page_size") == 0)
        api_list_number(list, text, 1, 100, &list->size);
    else if (strcmp(name, "limit") == 0)
        api_list_number(list, text, 1, 500, &list->size);
    else if (strcmp(name, "offset") == 0)
        api_list_number(list, text, 0, INT64_MAX, &list->offset);
    else if (strcmp(name, "sort_order") == 0 ||
             strcmp(name, "sort_direction") == 0)
        api_list_order(list, text);
    else if (strcmp(name, "sort_by") == 0)
        api_list_keep(&list->sort_by, text);
    else if (strcmp(name, "cursor") == 0 && *text != '\0')
        api_list_keep(&list->cursor, text);
    else if (strcmp(name, "name_contains") == 0)
        api_list_keep(&list->name_contains, text);
    else if (strcmp(name, "status") == 0)
        api_list_keep(&list->status, text);
    else if (strcmp(name, "created_by") == 0 && strcmp(text, "me") != 0)
        list->wrong = "created_by must be me";
    else if (strcmp(name, "label") == 0 && list->label_count == 16)
        list->wrong = "there are too many labels";
    else if (strcmp(name, "label") == 0)
        list->labels[list->label_count++] = take_copy(text);
}

/* Whether a word is one of a few. */
static bool api_is_one_of(const char *word, const char *const *words,
                          size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

/* Reads the query; false, and a reply, when it makes no sense. */
static bool api_list_read(struct exchange *exchange, struct api_list *list)
{
    static const char *const statuses[] = {"provisioning", "ready", "failed",
                                           "stopped", "deleting"};
    const char *query = exchange->query;
    char *name, *text;

    while (form_next(&query, &name, &text)) {
        if (text == NULL || lssb_utf8_valid(text, strlen(text)) < strlen(text))
            list->wrong = "the query is not form-encoded UTF-8";
        else
            api_list_member(list, name, text);
        free(name);
        free(text);
    }
    if (list->modern && list->deprecated)
        list->wrong = "page_size, cursor and sort_order cannot be combined "
                      "with limit, offset and sort_direction";
    if (list->sort_by != NULL && !api_is_one_of(list->sort_by, api_sorts, 6))
        list->wrong = "sort_by names nothing that can be sorted by";
    if (list->status != NULL && !api_is_one_of(list->status, statuses, 5))
        list->wrong = "status names no status";
    if (list->size == 0)
        list->size = list->modern ? 20 : 50;
    if (list->sort_by == NULL)
        list->sort_by = take_copy("created_at");
    if (list->wrong != NULL)
        reply_error(exchange, 400, "InvalidRequest", "%s", list->wrong);
    return list->wrong == NULL;
}

/* Whether a name contains a text, without regard to ASCII case. */
static bool api_contains(const char *name, const char *text)
{
    size_t len = strlen(text);

    for (; strlen(name) >= len; name++) {
        if (lssb_same_name(name, len, text, len))
            return true;
        if (*name == '\0')
            break;
    }
    return false;
}

/* Whether a box has a label, "key" or "key=value". */
static bool api_has_label(const struct box *box, const char *label)
{
    char *key = take_copy_n(label, strcspn(label, "="));
    const char *value = map_get(&box->labels, key);

    free(key);
    return value != NULL && (strchr(label, '=') == NULL ||
                             strcmp(strchr(label, '=') + 1, value) == 0);
}

/* Whether a list asks for a box. */
static bool api_list_wants(const struct api_list *list, const struct box *box)
{
    size_t i;

    for (i = 0; i < list->label_count; i++) {
        if (!api_has_label(box, list->labels[i]))
            return false;
    }
    return (list->status == NULL ||
            strcmp(list->status, box_status_name(box->status)) == 0) &&
           (list->name_contains == NULL ||
            api_contains(box->name, list->name_contains));
}

/* Makes the text that a box is sorted by. Its age in the list ends it, so that
 * no two are the same, and a cursor can be a text of this kind. */
static void api_key(const char *sort_by, const struct box *box, char key[192])
{
    int64_t number = 0;

    key[0] = '\0';
    if (strcmp(sort_by, "name") == 0)
        snprintf(key, 129, "%s", box->name);
    else if (strcmp(sort_by, "status") == 0)
        snprintf(key, 129, "%s", box_status_name(box->status));
    else if (strcmp(sort_by, "stopped_at") == 0)
        number = box->stopped_us;
    else if (strcmp(sort_by, "idle_ttl_seconds") == 0)
        number = box->idle_ttl_s;
    else if (strcmp(sort_by, "delete_after_stop_seconds") == 0)
        number = box->delete_after_stop_s;
    snprintf(key + strlen(key), 192 - strlen(key), "\x01%016llx%016llx",
             (unsigned long long)number, (unsigned long long)box->sequence);
}

/* Orders entries by their texts, for qsort. */
static int api_compare(const void *a, const void *b)
{
    return strcmp((*(struct api_entry *const *)a)->key,
                  (*(struct api_entry *const *)b)->key);
}

/* Makes a cursor: what the list was sorted by and where the page ended. */
static char *api_cursor(const struct api_list *list, const char *key)
{
    char *plain = take_format("%s %s %s", list->ascending ? "a" : "d",
                              list->sort_by, key);
    size_t i, len = strlen(plain);
    char *cursor = take(2 * len + 1);

    for (i = 0; i < len; i++)
        snprintf(cursor + 2 * i, 3, "%02x", (unsigned char)plain[i]);
    free(plain);
    return cursor;
}

/* Reads a cursor into the list and a key, taken; NULL if it is none. */
static char *api_cursor_read(struct api_list *list)
{
    size_t len = strlen(list->cursor), i;
    char *plain = take(len / 2 + 1), *key = NULL, *end;

    for (i = 0; i + 1 < len; i += 2) {
        char digits[3] = {list->cursor[i], list->cursor[i + 1], '\0'};

        plain[i / 2] = (char)strtol(digits, NULL, 16);
    }
    if ((plain[0] == 'a' || plain[0] == 'd') && plain[1] == ' ' &&
        (end = strchr(plain + 2, ' ')) != NULL) {
        *end = '\0';
        if (api_is_one_of(plain + 2, api_sorts, 6)) {
            list->ascending = plain[0] == 'a';
            api_list_keep(&list->sort_by, plain + 2);
            key = take_copy(end + 1);
        }
    }
    free(plain);
    return key;
}

/* All entries that the list asks for, in its order. */
static struct api_entry **api_collect(const struct sandboxd *d,
                                      const struct api_list *list,
                                      size_t *count)
{
    struct api_entry **entries = take((d->box_count + 1) * sizeof *entries);
    const struct box *box;
    size_t i;

    *count = 0;
    for (box = d->boxes; box != NULL; box = box->next) {
        if (!api_list_wants(list, box))
            continue;
        entries[*count] = take(sizeof **entries);
        entries[*count]->box = box;
        api_key(list->sort_by, box, entries[(*count)++]->key);
    }
    qsort(entries, *count, sizeof *entries, api_compare);
    for (i = 0; !list->ascending && i < *count / 2; i++) {
        struct api_entry *other = entries[i];

        entries[i] = entries[*count - 1 - i];
        entries[*count - 1 - i] = other;
    }
    return entries;
}

/* Puts the boxes of a page. */
static void api_write_boxes(struct lssb_json_writer *json, const char *name,
                            const struct api_page *page)
{
    size_t i;

    lssb_json_array(json, name);
    for (i = 0; i < page->count; i++)
        api_write_box(json, page->entries[i]->box);
    lssb_json_close(json);
}

/* A page: the old members and the new ones (PROTOCOL 2.4). */
static void api_write_page(struct lssb_json_writer *json, const void *ctx)
{
    const struct api_page *page = ctx;

    lssb_json_object(json, NULL);
    api_write_boxes(json, "items", page);
    if (page->cursor != NULL)
        lssb_json_string(json, "next_cursor", page->cursor);
    else
        lssb_json_null(json, "next_cursor");
    api_write_boxes(json, "sandboxes", page);
    lssb_json_number(json, "offset", page->offset);
    lssb_json_close(json);
}

/* Where a page begins: at its offset, or behind its cursor. */
static size_t api_page_start(const struct api_list *list, const char *key,
                             struct api_entry **entries, size_t count)
{
    size_t i = 0;

    if (key == NULL)
        return (uint64_t)list->offset < count ? (size_t)list->offset : count;
    while (i < count && (list->ascending ? strcmp(entries[i]->key, key) <= 0
                                         : strcmp(entries[i]->key, key) >= 0))
        i++;
    return i;
}

/* Replies with the page that was asked for. */
static void api_list_reply(struct exchange *exchange, struct api_list *list,
                           const char *key)
{
    struct api_page page;
    size_t count, start, i;
    struct api_entry **entries = api_collect(exchange->d, list, &count);

    start = api_page_start(list, key, entries, count);
    memset(&page, 0, sizeof page);
    page.entries = entries + start;
    page.count = count - start < (size_t)list->size ? count - start
                                                    : (size_t)list->size;
    if (start + page.count < count) {
        page.offset = (int64_t)(start + page.count);
        page.cursor = api_cursor(list, entries[start + page.count - 1]->key);
    }
    reply_json(exchange, 200, api_write_page, &page);
    free(page.cursor);
    for (i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

/* GET /boxes */
static void api_list(struct exchange *exchange)
{
    struct api_list list;
    char *key = NULL;
    size_t i;

    memset(&list, 0, sizeof list);
    if (api_list_read(exchange, &list)) {
        if (list.cursor != NULL)
            key = api_cursor_read(&list);
        if (list.cursor != NULL && key == NULL)
            reply_error(exchange, 400, "InvalidRequest",
                        "the cursor is none of this endpoint's");
        else
            api_list_reply(exchange, &list, key);
    }
    free(key);
    free(list.sort_by);
    free(list.name_contains);
    free(list.status);
    free(list.cursor);
    for (i = 0; i < list.label_count; i++)
        free(list.labels[i]);
}

/* ------------------------------------------------------------------ others -- */

/* POST /boxes/{name}/start */
static void api_start(struct exchange *exchange, struct box *box)
{
    if (box->status != BOX_STOPPED && box->status != BOX_FAILED) {
        reply_error(exchange, 409, "Conflict", "the sandbox is %s",
                    box_status_name(box->status));
        return;
    }
    box_start(box);
    reply_json(exchange, 202, api_write_box, box);
}

/* POST /boxes/{name}/stop */
static void api_stop(struct exchange *exchange, struct box *box)
{
    if (box->status == BOX_STOPPED) {
        reply_error(exchange, 409, "Conflict", "the sandbox is stopped");
        return;
    }
    box_stop(box);
    reply_empty(exchange, 204);
}

/* Counts boxes of a status. */
static int64_t api_count(const struct sandboxd *d, enum box_status status)
{
    const struct box *box;
    int64_t count = 0;

    for (box = d->boxes; box != NULL; box = box->next)
        count += box->status == status;
    return count;
}

/* What the boxes were given, altogether. */
static void api_write_usage(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;
    const struct box *box;
    int64_t cpu = 0, memory = 0, limit = (int64_t)d->settings.max_boxes;

    for (box = d->boxes; box != NULL; box = box->next) {
        if (box->status == BOX_READY || box->status == BOX_PROVISIONING) {
            cpu += box->cpu_millicores;
            memory += box->mem_bytes;
        }
    }
    lssb_json_object(json, NULL);
    lssb_json_number(json, "cpu_limit_millicores", limit * 16000);
    lssb_json_number(json, "cpu_used_millicores", cpu);
    lssb_json_number(json, "memory_limit_bytes", limit * 64 * API_GIB);
    lssb_json_number(json, "memory_used_bytes", memory);
    lssb_json_number(json, "pools_count", 0);
    lssb_json_number(json, "registries_count", 0);
    lssb_json_number(json, "sandbox_direct_count", (int64_t)d->box_count);
    lssb_json_number(json, "sandbox_pool_replicas_count", 0);
    lssb_json_number(json, "sandbox_running_count", api_count(d, BOX_READY));
    lssb_json_number(json, "sandbox_stopped_count",
                     api_count(d, BOX_STOPPED));
    lssb_json_number(json, "sandboxes_limit", limit);
    lssb_json_number(json, "sandboxes_used", (int64_t)d->box_count);
    lssb_json_number(json, "snapshots_count", 1);
    lssb_json_number(json, "templates_count", 0);
    lssb_json_close(json);
}

/* What became of a batch. */
struct api_batch {
    struct map done;                /* name -> "" , or the reason */
};

/* {"deleted":[…],"skipped":[{"name":…,"reason":…}]} */
static void api_write_batch(struct lssb_json_writer *json, const void *ctx)
{
    const struct api_batch *batch = ctx;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "deleted");
    for (i = 0; i < batch->done.count; i++) {
        if (batch->done.pairs[i].value[0] == '\0')
            lssb_json_string(json, NULL, batch->done.pairs[i].name);
    }
    lssb_json_close(json);
    lssb_json_array(json, "skipped");
    for (i = 0; i < batch->done.count; i++) {
        if (batch->done.pairs[i].value[0] == '\0')
            continue;
        lssb_json_object(json, NULL);
        lssb_json_string(json, "name", batch->done.pairs[i].name);
        lssb_json_string(json, "reason", batch->done.pairs[i].value);
        lssb_json_close(json);
    }
    lssb_json_close(json);
    lssb_json_close(json);
}

/* POST /boxes/batch-delete. A name that comes twice is deleted once. */
static void api_batch_delete(struct exchange *exchange, struct value body)
{
    struct value names = value_get(body, "names"), key, value;
    struct api_batch batch;
    size_t place = 0;

    memset(&batch, 0, sizeof batch);
    while (value_next(names, &place, &key, &value)) {
        char *name = value_text(value);
        struct box *box = name == NULL ? NULL : box_find(exchange->d, name);

        if (box != NULL)
            box_delete(box);
        if (name != NULL && map_get(&batch.done, name) == NULL)
            map_set(&batch.done, name, box != NULL ? "" : "not found");
        free(name);
    }
    if (value_is(names, '['))
        reply_json(exchange, 200, api_write_batch, &batch);
    else
        reply_problem(exchange, "names", "an array of names is expected");
    map_free(&batch.done);
}

/* ----------------------------------------------------------------- routing -- */

/* A path in its segments, decoded. */
struct api_path {
    char *segments[API_SEGMENTS];
    size_t count;
    bool wrong;
};

/* Splits a path. */
static void api_split(const char *path, struct api_path *out)
{
    memset(out, 0, sizeof *out);
    while (*path == '/') {
        size_t len = strcspn(++path, "/");
        char *segment = percent_decode(path, len, false);

        if (segment == NULL || *segment == '\0' ||
            lssb_utf8_valid(segment, strlen(segment)) < strlen(segment) ||
            out->count == API_SEGMENTS) {
            free(segment);
            out->wrong = true;
            return;
        }
        out->segments[out->count++] = segment;
        path += len;
    }
}

/* Whether the method is that one; GET serves HEAD, too. */
static bool api_method(const struct exchange *exchange, const char *method)
{
    return strcmp(exchange->method, method) == 0 ||
           (exchange->is_head && strcmp(method, "GET") == 0);
}

/* /boxes/{name} */
static void api_box(struct exchange *exchange, const char *name)
{
    struct box *box = box_find(exchange->d, name);

    if (!api_method(exchange, "GET") && !api_method(exchange, "PATCH") &&
        !api_method(exchange, "DELETE")) {
        reply_allow(exchange, "GET, HEAD, PATCH, DELETE");
    } else if (box == NULL) {
        api_no_box(exchange, name);
    } else if (api_method(exchange, "GET")) {
        reply_json(exchange, 200, api_write_box, box);
    } else if (api_method(exchange, "DELETE")) {
        box_delete(box);
        reply_empty(exchange, 204);
    } else {
        collect_named(exchange, name, api_update);
    }
}

/* /boxes/{name}/{action} */
static void api_action(struct exchange *exchange, const char *name,
                       const char *action)
{
    struct box *box = box_find(exchange->d, name);
    bool status = strcmp(action, "status") == 0;
    bool start = strcmp(action, "start") == 0;

    if (!status && !start && strcmp(action, "stop") != 0)
        api_no_route(exchange);
    else if (!api_method(exchange, status ? "GET" : "POST"))
        reply_allow(exchange, status ? "GET, HEAD" : "POST");
    else if (box == NULL)
        api_no_box(exchange, name);
    else if (status)
        reply_json(exchange, 200, api_write_status, box);
    else if (start)
        api_start(exchange, box);
    else
        api_stop(exchange, box);
}

/* /boxes */
static void api_boxes(struct exchange *exchange)
{
    if (api_method(exchange, "GET"))
        api_list(exchange);
    else if (api_method(exchange, "POST"))
        collect_json(exchange, api_create);
    else
        reply_allow(exchange, "GET, HEAD, POST");
}

/* The dataplane of a box: an operation of one segment or two. */
static void api_dataplane(struct exchange *exchange, char **segments,
                          size_t count)
{
    struct box *box = box_find(exchange->d, segments[0]);
    char *operation = take_format("%s%s%s", segments[1], count > 2 ? "/" : "",
                                  count > 2 ? segments[2] : "");

    if (count > 3 || !dataplane_knows(operation))
        api_no_route(exchange);
    else if (box == NULL)
        api_no_box(exchange, segments[0]);
    else
        dataplane_request(exchange, box, operation);
    free(operation);
}

/* What is below the base URL. */
static void api_route(struct exchange *exchange, char **segments, size_t count)
{
    bool boxes = strcmp(segments[0], "boxes") == 0;

    if (boxes && count == 1)
        api_boxes(exchange);
    else if (boxes && count == 2 && api_method(exchange, "POST") &&
             strcmp(segments[1], "batch-delete") == 0)
        collect_json(exchange, api_batch_delete);
    else if (boxes && count == 2)
        api_box(exchange, segments[1]);
    else if (boxes && count == 3)
        api_action(exchange, segments[1], segments[2]);
    else if (count == 1 && strcmp(segments[0], "usage") == 0 &&
             api_method(exchange, "GET"))
        reply_json(exchange, 200, api_write_usage, exchange->d);
    else if (count == 1 && strcmp(segments[0], "usage") == 0)
        reply_allow(exchange, "GET, HEAD");
    else if (count > 1 && !boxes)
        api_dataplane(exchange, segments, count);
    else
        api_no_route(exchange);
}

/* {"detail":"Invalid API key"} */
static void api_write_unauthorized(struct lssb_json_writer *json,
                                   const void *ctx)
{
    (void)ctx;
    lssb_json_object(json, NULL);
    lssb_json_string(json, "detail", "Invalid API key");
    lssb_json_close(json);
}

/* A request begins. */
void api_request(struct exchange *exchange)
{
    const char *key = exchange_header(exchange, "X-Api-Key");
    struct api_path path;
    char **at = path.segments;
    size_t count;

    if (key == NULL || !same_secret(key, exchange->d->api_key)) {
        reply_json(exchange, 401, api_write_unauthorized, NULL);
        return;
    }
    api_split(exchange->path, &path);
    count = path.count;
    if (count > 3 && strcmp(at[0], "api") == 0) {
        at++;
        count--;
    }
    if (path.wrong)
        api_no_route(exchange);
    else if (count > 2 && at == path.segments && strcmp(at[0], "dp") == 0)
        api_dataplane(exchange, at + 1, count - 1);
    else if (count > 2 && strcmp(at[0], "v2") == 0 &&
             strcmp(at[1], "sandboxes") == 0)
        api_route(exchange, at + 2, count - 2);
    else
        api_no_route(exchange);
    for (count = 0; count < path.count; count++)
        free(path.segments[count]);
}
