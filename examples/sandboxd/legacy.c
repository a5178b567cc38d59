/* legacy.c: templates, volumes and pools, the older way to say what boxes are
 * made from (PROTOCOL 2.15 to 2.17).
 *
 * SPDX-License-Identifier: MIT
 *
 * A template names an image, which is never pulled, resources, and volumes. A
 * volume is a directory. A pool is a number: boxes of its template need no
 * time to start.
 */
#include <stdlib.h>

#include "control.h"

struct template {
    struct template *next;
    uint64_t sequence;
    char id[37];
    char *name;
    char *image;
    char *cpu;
    char *memory;
    char *storage;                  /* NULL: none */
    struct map mounts;              /* path -> volume */
    int64_t created_us;
    int64_t updated_us;
};

struct volume {
    struct volume *next;
    uint64_t sequence;
    char id[37];
    char *name;
    char *size;
    char *dir;
    int64_t created_us;
    int64_t updated_us;
};

struct pool {
    struct pool *next;
    uint64_t sequence;
    char id[37];
    char *name;
    char *template_name;
    int64_t replicas;
    int64_t created_us;
    int64_t updated_us;
};

/* ------------------------------------------------------------- quantities -- */

/* Reads "10Gi", "500m", "1.5": the number in thousandths, the rest of it. */
static bool quantity_number(const char *text, int64_t *thousandths,
                            const char **rest)
{
    size_t whole = strspn(text, "0123456789"), fraction = 0, i;
    uint64_t number;

    if (!lssb_parse_u64(text, whole, &number) || number > 1000000000000u)
        return false;
    *thousandths = (int64_t)number * 1000;
    text += whole;
    if (*text == '.') {
        static const int64_t place[] = {100, 10, 1};

        fraction = strspn(++text, "0123456789");
        for (i = 0; i < fraction && i < 3; i++)
            *thousandths += (text[i] - '0') * place[i];
        if (fraction == 0)
            return false;
    }
    *rest = text + fraction;
    return true;
}

/* Reads a size in bytes; false when it is none, or 0. */
static bool quantity_bytes(const char *text, int64_t *bytes)
{
    static const struct {
        const char *suffix;
        int64_t unit;
    } units[] = {{"", 1}, {"Ki", INT64_C(1) << 10}, {"Mi", INT64_C(1) << 20},
                 {"Gi", INT64_C(1) << 30}, {"Ti", INT64_C(1) << 40},
                 {"K", 1000}, {"k", 1000}, {"M", 1000000},
                 {"G", 1000000000}, {"T", INT64_C(1000000000000)}};
    int64_t thousandths;
    const char *rest;
    size_t i;

    if (!quantity_number(text, &thousandths, &rest))
        return false;
    for (i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].suffix) != 0)
            continue;
        if (thousandths > INT64_MAX / units[i].unit)
            return false;
        *bytes = thousandths * units[i].unit / 1000;
        return *bytes > 0;
    }
    return false;
}

/* Reads a share of CPUs, in thousandths. */
static bool quantity_cpu(const char *text, int64_t *millicores)
{
    const char *rest;

    if (!quantity_number(text, millicores, &rest))
        return false;
    if (strcmp(rest, "m") == 0)
        *millicores /= 1000;
    else if (*rest != '\0')
        return false;
    return *millicores > 0 && *millicores <= 1000000;
}

/* A member that is a quantity; `fallback` when it is missing. */
static bool quantity_read(const struct object *object, const char *name,
                          const char *fallback,
                          bool (*check)(const char *text, int64_t *number),
                          char **kept)
{
    int64_t number;

    if (!object_text(object, name, kept))
        return false;
    if (*kept == NULL)
        *kept = take_copy(fallback);
    return *kept == NULL || check(*kept, &number) ||
           object_problem(object, name, "is no quantity");
}

/* ------------------------------------------------------------------ finding -- */

/* The template of a name. */
struct template *template_find(const struct sandboxd *d, const char *name)
{
    struct template *template = d->templates;

    while (template != NULL && strcmp(template->name, name) != 0)
        template = template->next;
    return template;
}

/* The volume of a name. */
static struct volume *volume_find(const struct sandboxd *d, const char *name)
{
    struct volume *volume = d->volumes;

    while (volume != NULL && strcmp(volume->name, name) != 0)
        volume = volume->next;
    return volume;
}

/* The pool of a name. */
static struct pool *pool_find(const struct sandboxd *d, const char *name)
{
    struct pool *pool = d->pools;

    while (pool != NULL && strcmp(pool->name, name) != 0)
        pool = pool->next;
    return pool;
}

/* There is no such thing. */
static void legacy_none(struct exchange *exchange, const char *kind,
                        const char *name)
{
    reply_error(exchange, 404, "NotFound", "%s '%s' not found", kind, name);
}

/* There is one of that name already. */
static void legacy_taken(struct exchange *exchange, const char *kind,
                         const char *name)
{
    reply_error(exchange, 409, "Conflict", "%s '%s' already exists", kind,
                name);
}

/* Adds a user to a list of them. */
static void legacy_user(struct bytes *users, const char *name)
{
    bytes_add_string(users, users->len > 0 ? ", " : "");
    bytes_add_string(users, name);
}

/* ---------------------------------------------------------------- templates -- */

/* A template object, in an array or at the top. */
static void template_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct template *template = ctx;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", template->id);
    lssb_json_string(json, "name", template->name);
    lssb_json_string(json, "image", template->image);
    lssb_json_object(json, "resources");
    lssb_json_string(json, "cpu", template->cpu);
    lssb_json_string(json, "memory", template->memory);
    if (template->storage != NULL)
        lssb_json_string(json, "storage", template->storage);
    lssb_json_close(json);
    lssb_json_array(json, "volume_mounts");
    for (i = 0; i < template->mounts.count; i++) {
        lssb_json_object(json, NULL);
        lssb_json_string(json, "volume_name", template->mounts.pairs[i].value);
        lssb_json_string(json, "mount_path", template->mounts.pairs[i].name);
        lssb_json_close(json);
    }
    lssb_json_close(json);
    json_time(json, "created_at", template->created_us);
    json_time(json, "updated_at", template->updated_us);
    lssb_json_close(json);
}

/* {"templates":[…]} */
static void templates_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;
    const struct template *template;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "templates");
    for (template = d->templates; template != NULL; template = template->next)
        template_write(json, template);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Frees one that is in no list. */
static void template_free(struct template *template)
{
    free(template->name);
    free(template->image);
    free(template->cpu);
    free(template->memory);
    free(template->storage);
    map_free(&template->mounts);
    free(template);
}

/* Whether a path can be mounted on: absolute, plain, not the root. */
static bool template_path(const char *path)
{
    return path[0] == '/' && path[1] != '\0' && strstr(path, "//") == NULL &&
           strstr(path, "/.") == NULL && path[strlen(path) - 1] != '/' &&
           strlen(path) < 1024;
}

/* One of volume_mounts. */
static bool template_read_mount(const struct object *mount,
                                struct template *template)
{
    char *volume = NULL, *path = NULL;
    bool fine = object_text(mount, "volume_name", &volume) &&
                object_text(mount, "mount_path", &path);

    if (fine && volume == NULL)
        fine = object_missing(mount, "volume_name");
    if (fine && path == NULL)
        fine = object_missing(mount, "mount_path");
    if (fine && (!template_path(path) ||
                 map_get(&template->mounts, path) != NULL))
        fine = object_problem(mount, "mount_path",
                              "must be absolute, plain, and used once");
    if (fine && volume_find(mount->exchange->d, volume) == NULL) {
        reply_error(mount->exchange, 400, "VolumeNotFound",
                    "Volume '%s' not found", volume);
        fine = false;
    }
    if (fine)
        map_set(&template->mounts, path, volume);
    free(volume);
    free(path);
    return fine;
}

/* Reads what a template is. */
static bool template_read(const struct object *body,
                          struct template *template)
{
    struct object resources, mounts, mount;
    size_t place = 0, index = 0;
    int more;

    if (!object_name(body, true, &template->name) ||
        !object_text(body, "image", &template->image) ||
        (template->image == NULL && !object_missing(body, "image")) ||
        !object_inside(body, "resources", '{', &resources) ||
        !quantity_read(&resources, "cpu", "500m", quantity_cpu,
                       &template->cpu) ||
        !quantity_read(&resources, "memory", "512Mi", quantity_bytes,
                       &template->memory) ||
        !quantity_read(&resources, "storage", NULL, quantity_bytes,
                       &template->storage) ||
        !object_inside(body, "volume_mounts", '[', &mounts))
        return false;
    while ((more = object_each(&mounts, &place, &index, '{', &mount)) > 0) {
        if (!template_read_mount(&mount, template))
            return false;
    }
    return more == 0;
}

/* POST /templates */
static void template_create(struct exchange *exchange, struct value body)
{
    struct sandboxd *d = exchange->d;
    struct template *template = take(sizeof *template);
    struct object top;

    object_top(&top, exchange, body);
    if (!template_read(&top, template)) {
        template_free(template);
        return;
    }
    if (template_find(d, template->name) != NULL) {
        legacy_taken(exchange, "Template", template->name);
        template_free(template);
        return;
    }
    make_uuid(template->id);
    template->sequence = ++d->sequence;
    template->created_us = template->updated_us = wall_us();
    template->next = d->templates;
    d->templates = template;
    reply_json(exchange, 201, template_write, template);
}

/* Renames it, and what refers to it. */
static void template_rename(struct sandboxd *d, struct template *template,
                            char **name)
{
    struct box *box;
    struct pool *pool;

    for (box = d->boxes; box != NULL; box = box->next) {
        if (box->template_name != NULL &&
            strcmp(box->template_name, template->name) == 0) {
            free(box->template_name);
            box->template_name = take_copy(*name);
        }
    }
    for (pool = d->pools; pool != NULL; pool = pool->next) {
        if (strcmp(pool->template_name, template->name) == 0) {
            free(pool->template_name);
            pool->template_name = take_copy(*name);
        }
    }
    move_text(&template->name, name);
    template->updated_us = wall_us();
}

/* PATCH /templates/{name} */
static void template_update(struct exchange *exchange, struct value body)
{
    struct sandboxd *d = exchange->d;
    char *old = exchange->state, *name = NULL;
    struct template *template = template_find(d, old), *other;
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (template == NULL) {
        legacy_none(exchange, "Template", old);
    } else if (object_name(&top, false, &name)) {
        other = name == NULL ? NULL : template_find(d, name);
        if (other != NULL && other != template) {
            legacy_taken(exchange, "Template", name);
        } else {
            if (name != NULL)
                template_rename(d, template, &name);
            reply_json(exchange, 200, template_write, template);
        }
    }
    free(name);
    free(old);
}

/* What needs a template, taken: "sandboxes: a; pools: b", or "". */
static char *template_users(const struct sandboxd *d, const char *name)
{
    struct bytes boxes = {0}, pools = {0};
    const struct box *box;
    const struct pool *pool;
    char *users;

    for (box = d->boxes; box != NULL; box = box->next) {
        if (box->template_name != NULL &&
            strcmp(box->template_name, name) == 0)
            legacy_user(&boxes, box->name);
    }
    for (pool = d->pools; pool != NULL; pool = pool->next) {
        if (strcmp(pool->template_name, name) == 0)
            legacy_user(&pools, pool->name);
    }
    users = take_format("%s%s%s%s%s", boxes.len > 0 ? "sandboxes: " : "",
                        boxes.len > 0 ? boxes.at : "",
                        boxes.len > 0 && pools.len > 0 ? "; " : "",
                        pools.len > 0 ? "pools: " : "",
                        pools.len > 0 ? pools.at : "");
    bytes_free(&boxes);
    bytes_free(&pools);
    return users;
}

/* DELETE /templates/{name} */
static void template_delete(struct exchange *exchange,
                            struct template *template)
{
    struct template **link = &exchange->d->templates;
    char *users = template_users(exchange->d, template->name);

    if (*users != '\0') {
        reply_error(exchange, 409, "Conflict",
                    "Template '%s' is in use by %s. Delete the dependent "
                    "resources first.",
                    template->name, users);
    } else {
        while (*link != template)
            link = &(*link)->next;
        *link = template->next;
        template_free(template);
        reply_empty(exchange, 204);
    }
    free(users);
}

/* The kinds have their routes in common. */
struct legacy_routes {
    json_fn *list;
    json_fn *write;
    void (*create)(struct exchange *exchange, struct value body);
    void (*update)(struct exchange *exchange, struct value body);
    const char *kind;
};

/* Whether the request is for the list, or for nothing that there is; then it
 * is answered. */
static bool legacy_route(struct exchange *exchange,
                         const struct legacy_routes *routes, char **segments,
                         size_t count, const void *thing)
{
    if (count > 2)
        api_no_route(exchange);
    else if (count == 1 && api_method(exchange, "GET"))
        reply_json(exchange, 200, routes->list, exchange->d);
    else if (count == 1 && api_method(exchange, "POST"))
        collect_json(exchange, routes->create);
    else if (count == 1)
        reply_allow(exchange, "GET, HEAD, POST");
    else if (!api_method(exchange, "GET") && !api_method(exchange, "PATCH") &&
             !api_method(exchange, "DELETE"))
        reply_allow(exchange, "GET, HEAD, PATCH, DELETE");
    else if (thing == NULL)
        legacy_none(exchange, routes->kind, segments[1]);
    else if (api_method(exchange, "GET"))
        reply_json(exchange, 200, routes->write, thing);
    else if (api_method(exchange, "PATCH"))
        collect_named(exchange, segments[1], routes->update);
    else
        return false;
    return true;
}

/* /templates, /templates/{name} */
void templates_route(struct exchange *exchange, char **segments, size_t count)
{
    static const struct legacy_routes routes = {
        templates_write, template_write, template_create, template_update,
        "Template"};
    struct template *template =
        count == 2 ? template_find(exchange->d, segments[1]) : NULL;

    if (!legacy_route(exchange, &routes, segments, count, template))
        template_delete(exchange, template);
}

/* What a box of a template has. */
void template_resources(const struct template *template, int64_t *millicores,
                        int64_t *memory, int64_t *storage)
{
    quantity_cpu(template->cpu, millicores);
    quantity_bytes(template->memory, memory);
    if (template->storage != NULL && *storage == UNSET)
        quantity_bytes(template->storage, storage);
}

/* Gives a box the template's volumes. */
void template_mount(const struct template *template, struct box *box)
{
    size_t i;

    for (i = 0; i < template->mounts.count; i++) {
        const struct map_pair *mount = &template->mounts.pairs[i];
        const struct volume *volume = volume_find(box->d, mount->value);

        if (volume != NULL)
            map_set(&box->mounts, mount->name, volume->dir);
    }
}

/* Whether boxes of a template are there already. */
bool template_pooled(const struct sandboxd *d, const char *name)
{
    const struct pool *pool = d->pools;

    while (pool != NULL && (pool->replicas == 0 ||
                            strcmp(pool->template_name, name) != 0))
        pool = pool->next;
    return pool != NULL;
}

/* ------------------------------------------------------------------ volumes -- */

/* A volume object. */
static void volume_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct volume *volume = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", volume->id);
    lssb_json_string(json, "name", volume->name);
    lssb_json_string(json, "size", volume->size);
    lssb_json_string(json, "storage_class", "gp3");
    json_time(json, "created_at", volume->created_us);
    json_time(json, "updated_at", volume->updated_us);
    lssb_json_close(json);
}

/* {"volumes":[…]} */
static void volumes_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;
    const struct volume *volume;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "volumes");
    for (volume = d->volumes; volume != NULL; volume = volume->next)
        volume_write(json, volume);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Frees one that is in no list, with its files. */
static void volume_free(struct sandboxd *d, struct volume *volume)
{
    if (volume->dir != NULL)
        process_remove_tree(d, volume->dir);
    free(volume->name);
    free(volume->size);
    free(volume->dir);
    free(volume);
}

/* wait_for_ready and timeout of a volume or a pool. */
static bool legacy_patience(const struct object *body, int64_t least,
                            int64_t most, bool *wait, int64_t *timeout_s)
{
    return object_bool(body, "wait_for_ready", wait) &&
           object_integer(body, "timeout", least, most, timeout_s);
}

/* The volume is there, and so is the time for its reply. */
static void volume_made(struct exchange *exchange, const char *name)
{
    const struct volume *volume = volume_find(exchange->d, name);

    if (volume == NULL)
        legacy_none(exchange, "Volume", name);
    else
        reply_json(exchange, 201, volume_write, volume);
}

/* The volume takes longer than its creator waits. */
static void volume_late(struct exchange *exchange, const char *name)
{
    reply_error(exchange, 504, "Timeout",
                "Volume '%s' did not become ready in time", name);
}

/* Whether there may be one more volume, of that name. */
static bool volume_admit(struct exchange *exchange,
                         const struct volume *volume)
{
    const struct sandboxd *d = exchange->d;
    const struct volume *other;
    size_t count = 0;

    if (volume_find(d, volume->name) != NULL) {
        legacy_taken(exchange, "Volume", volume->name);
        return false;
    }
    for (other = d->volumes; other != NULL; other = other->next)
        count++;
    if (count < d->settings.max_volumes)
        return true;
    reply_error(exchange, 429, "QuotaExceeded",
                "Limit of %llu volume(s) exceeded",
                (unsigned long long)d->settings.max_volumes);
    return false;
}

/* Makes the directory, enters it into the list; false: it cannot. */
static bool volume_add(struct sandboxd *d, struct volume *volume)
{
    char *dir;

    make_uuid(volume->id);
    dir = take_format("%s/volume-%s", d->data, volume->id);
    if (mkdir(dir, 0777) != 0 || chmod(dir, 0777) != 0) {
        free(dir);
        return false;
    }
    volume->dir = dir;
    volume->sequence = ++d->sequence;
    volume->created_us = volume->updated_us = wall_us();
    volume->next = d->volumes;
    d->volumes = volume;
    return true;
}

/* POST /volumes */
static void volume_create(struct exchange *exchange, struct value body)
{
    struct sandboxd *d = exchange->d;
    struct volume *volume = take(sizeof *volume);
    struct object top;
    int64_t timeout_s = 60;
    bool wait = true;
    uint64_t ms = d->settings.provision_ms;

    object_top(&top, exchange, body);
    if (!object_name(&top, true, &volume->name) ||
        !quantity_read(&top, "size", NULL, quantity_bytes, &volume->size) ||
        (volume->size == NULL && !object_missing(&top, "size")) ||
        !legacy_patience(&top, 5, 300, &wait, &timeout_s) ||
        !volume_admit(exchange, volume)) {
        volume_free(d, volume);
    } else if (!volume_add(d, volume)) {
        reply_error(exchange, 503, "VolumeProvisioning",
                    "Volume '%s' cannot be made", volume->name);
        volume_free(d, volume);
    } else if (!wait) {
        volume_made(exchange, volume->name);
    } else if (ms > (uint64_t)timeout_s * d->settings.second_ms) {
        reply_later(exchange, (uint64_t)timeout_s * d->settings.second_ms,
                    volume->name, volume_late);
    } else {
        reply_later(exchange, ms, volume->name, volume_made);
    }
}

/* Replies that a volume does not shrink. */
static void volume_shrinks(struct exchange *exchange, const char *name,
                           int64_t now, int64_t wanted)
{
    reply_error(exchange, 400, "ResizeError",
                "Volume '%s' resize failed: Storage cannot be decreased. "
                "Current: %.2fGi, Requested: %.2fGi",
                name, (double)now / (double)CONTROL_GIB,
                (double)wanted / (double)CONTROL_GIB);
}

/* Renames it, and what refers to it. */
static void volume_rename(struct sandboxd *d, struct volume *volume,
                          char **name)
{
    struct template *template;
    size_t i;

    for (template = d->templates; template != NULL;
         template = template->next) {
        for (i = 0; i < template->mounts.count; i++) {
            struct map_pair *mount = &template->mounts.pairs[i];

            if (strcmp(mount->value, volume->name) == 0) {
                free(mount->value);
                mount->value = take_copy(*name);
            }
        }
    }
    move_text(&volume->name, name);
}

/* Lays an update that was read over a volume, if it can be. */
static void volume_apply(struct exchange *exchange, struct volume *volume,
                         char **name, char **size)
{
    const struct volume *other =
        *name == NULL ? NULL : volume_find(exchange->d, *name);
    int64_t now = 0, wanted = INT64_MAX;

    quantity_bytes(volume->size, &now);
    if (*size != NULL)
        quantity_bytes(*size, &wanted);
    if (other != NULL && other != volume) {
        legacy_taken(exchange, "Volume", *name);
    } else if (wanted < now) {
        volume_shrinks(exchange, volume->name, now, wanted);
    } else {
        if (*name != NULL)
            volume_rename(exchange->d, volume, name);
        move_text(&volume->size, size);
        volume->updated_us = wall_us();
        reply_json(exchange, 200, volume_write, volume);
    }
}

/* PATCH /volumes/{name} */
static void volume_update(struct exchange *exchange, struct value body)
{
    char *old = exchange->state, *name = NULL, *size = NULL;
    struct volume *volume = volume_find(exchange->d, old);
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (volume == NULL)
        legacy_none(exchange, "Volume", old);
    else if (object_name(&top, false, &name) &&
             quantity_read(&top, "size", NULL, quantity_bytes, &size))
        volume_apply(exchange, volume, &name, &size);
    free(name);
    free(size);
    free(old);
}

/* Whether a box has a directory mounted. */
static bool volume_in_box(const struct volume *volume, const struct box *box)
{
    size_t i;

    for (i = 0; i < box->mounts.count; i++) {
        if (strcmp(box->mounts.pairs[i].value, volume->dir) == 0)
            return true;
    }
    return false;
}

/* What needs a volume, taken: "templates: a", "sandboxes: a", or "". */
static char *volume_users(const struct sandboxd *d,
                          const struct volume *volume)
{
    struct bytes users = {0};
    const struct template *template;
    const struct box *box;
    char *text;
    size_t i;

    for (template = d->templates; template != NULL;
         template = template->next) {
        for (i = 0; i < template->mounts.count; i++) {
            if (strcmp(template->mounts.pairs[i].value, volume->name) == 0)
                legacy_user(&users, template->name);
        }
    }
    text = users.len > 0 ? take_format("templates: %s", users.at) : NULL;
    bytes_free(&users);
    for (box = d->boxes; text == NULL && box != NULL; box = box->next) {
        if (volume_in_box(volume, box))
            legacy_user(&users, box->name);
    }
    if (text == NULL)
        text = users.len > 0 ? take_format("sandboxes: %s", users.at)
                             : take_copy("");
    bytes_free(&users);
    return text;
}

/* DELETE /volumes/{name} */
static void volume_delete(struct exchange *exchange, struct volume *volume)
{
    struct volume **link = &exchange->d->volumes;
    char *users = volume_users(exchange->d, volume);

    if (*users != '\0') {
        reply_error(exchange, 409, "Conflict",
                    "Volume '%s' is in use by %s. Delete the dependent "
                    "resources first.",
                    volume->name, users);
    } else {
        while (*link != volume)
            link = &(*link)->next;
        *link = volume->next;
        volume_free(exchange->d, volume);
        reply_empty(exchange, 204);
    }
    free(users);
}

/* /volumes, /volumes/{name} */
void volumes_route(struct exchange *exchange, char **segments, size_t count)
{
    static const struct legacy_routes routes = {volumes_write, volume_write,
                                                volume_create, volume_update,
                                                "Volume"};
    struct volume *volume =
        count == 2 ? volume_find(exchange->d, segments[1]) : NULL;

    if (!legacy_route(exchange, &routes, segments, count, volume))
        volume_delete(exchange, volume);
}

/* -------------------------------------------------------------------- pools -- */

/* A pool object. */
static void pool_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct pool *pool = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", pool->id);
    lssb_json_string(json, "name", pool->name);
    lssb_json_string(json, "template_name", pool->template_name);
    lssb_json_number(json, "replicas", pool->replicas);
    json_time(json, "created_at", pool->created_us);
    json_time(json, "updated_at", pool->updated_us);
    lssb_json_close(json);
}

/* {"pools":[…]} */
static void pools_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;
    const struct pool *pool;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "pools");
    for (pool = d->pools; pool != NULL; pool = pool->next)
        pool_write(json, pool);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* Frees one that is in no list. */
static void pool_free(struct pool *pool)
{
    free(pool->name);
    free(pool->template_name);
    free(pool);
}

/* All replicas of all pools. */
static int64_t pool_replicas(const struct sandboxd *d)
{
    const struct pool *pool;
    int64_t replicas = 0;

    for (pool = d->pools; pool != NULL; pool = pool->next)
        replicas += pool->replicas;
    return replicas;
}

/* Whether so many more replicas may be. */
static bool pool_afford(struct exchange *exchange, int64_t more)
{
    const struct sandboxd *d = exchange->d;
    int64_t used = (int64_t)d->box_count + pool_replicas(d);

    if (more <= 0 || used + more <= (int64_t)d->settings.max_boxes)
        return true;
    reply_error(exchange, 429, "QuotaExceeded",
                "Limit of %llu sandbox(es) exceeded. Current usage: %lld "
                "sandboxes, Requested: %lld additional.",
                (unsigned long long)d->settings.max_boxes, (long long)used,
                (long long)more);
    return false;
}

/* The name of a pool is a part of host names. */
static bool pool_name(const struct object *body, bool needed, char **name)
{
    return object_name(body, needed, name) &&
           (*name == NULL ||
            (strlen(*name) <= 63 &&
             consists_of(*name, "abcdefghijklmnopqrstuvwxyz0123456789-")) ||
            object_problem(body, "name", "lower case letters, digits and "
                                         "'-', at most 63 of them"));
}

/* Whether the template of a pool is there, and fit for one. */
static bool pool_template(struct exchange *exchange, const struct pool *pool)
{
    const struct template *template =
        template_find(exchange->d, pool->template_name);

    if (template == NULL) {
        reply_error(exchange, 400, "TemplateNotFound",
                    "Template '%s' not found", pool->template_name);
        return false;
    }
    if (template->mounts.count == 0)
        return true;
    reply_error(exchange, 400, "ValidationError",
                "Template '%s' has volume mounts, which a pool cannot have",
                template->name);
    return false;
}

/* Reads what a pool is, and sees whether it can be. */
static bool pool_read(const struct object *body, struct pool *pool)
{
    struct exchange *exchange = body->exchange;

    if (!pool_name(body, true, &pool->name) ||
        !object_text(body, "template_name", &pool->template_name) ||
        (pool->template_name == NULL &&
         !object_missing(body, "template_name")) ||
        !object_integer(body, "replicas", 1, 100, &pool->replicas) ||
        (pool->replicas == 0 && !object_missing(body, "replicas")))
        return false;
    if (pool_find(exchange->d, pool->name) != NULL) {
        legacy_taken(exchange, "Pool", pool->name);
        return false;
    }
    return pool_template(exchange, pool) &&
           pool_afford(exchange, pool->replicas);
}

/* The pool is there, and so is the time for its reply. */
static void pool_made(struct exchange *exchange, const char *name)
{
    const struct pool *pool = pool_find(exchange->d, name);

    if (pool == NULL)
        legacy_none(exchange, "Pool", name);
    else
        reply_json(exchange, 201, pool_write, pool);
}

/* The pool takes longer than its creator waits. */
static void pool_late(struct exchange *exchange, const char *name)
{
    reply_error(exchange, 504, "Timeout",
                "Pool '%s' did not reach 1 ready replica(s) in time", name);
}

/* POST /pools */
static void pool_create(struct exchange *exchange, struct value body)
{
    struct sandboxd *d = exchange->d;
    struct pool *pool = take(sizeof *pool);
    struct object top;
    int64_t timeout_s = 30;
    bool wait = true;
    uint64_t ms = d->settings.provision_ms, patience;

    object_top(&top, exchange, body);
    if (!legacy_patience(&top, 10, 600, &wait, &timeout_s) ||
        !pool_read(&top, pool)) {
        pool_free(pool);
        return;
    }
    patience = (uint64_t)timeout_s * d->settings.second_ms;
    make_uuid(pool->id);
    pool->sequence = ++d->sequence;
    pool->created_us = pool->updated_us = wall_us();
    pool->next = d->pools;
    d->pools = pool;
    if (!wait)
        pool_made(exchange, pool->name);
    else
        reply_later(exchange, ms < patience ? ms : patience, pool->name,
                    ms <= patience ? pool_made : pool_late);
}

/* Lays an update that was read over a pool, if it can be. */
static void pool_apply(struct exchange *exchange, struct pool *pool,
                       char **name, int64_t replicas)
{
    const struct pool *other =
        *name == NULL ? NULL : pool_find(exchange->d, *name);

    if (other != NULL && other != pool) {
        legacy_taken(exchange, "Pool", *name);
    } else if (replicas == UNSET ||
               pool_afford(exchange, replicas - pool->replicas)) {
        move_text(&pool->name, name);
        move_number(&pool->replicas, replicas);
        pool->updated_us = wall_us();
        reply_json(exchange, 200, pool_write, pool);
    }
}

/* PATCH /pools/{name} */
static void pool_update(struct exchange *exchange, struct value body)
{
    char *old = exchange->state, *name = NULL;
    struct pool *pool = pool_find(exchange->d, old);
    struct object top;
    int64_t replicas = UNSET;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (pool == NULL)
        legacy_none(exchange, "Pool", old);
    else if (pool_name(&top, false, &name) &&
             object_integer(&top, "replicas", 0, 100, &replicas))
        pool_apply(exchange, pool, &name, replicas);
    free(name);
    free(old);
}

/* /pools, /pools/{name} */
void pools_route(struct exchange *exchange, char **segments, size_t count)
{
    static const struct legacy_routes routes = {pools_write, pool_write,
                                                pool_create, pool_update,
                                                "Pool"};
    struct pool *pool =
        count == 2 ? pool_find(exchange->d, segments[1]) : NULL;
    struct pool **link = &exchange->d->pools;

    if (legacy_route(exchange, &routes, segments, count, pool))
        return;
    while (*link != pool)
        link = &(*link)->next;
    *link = pool->next;
    pool_free(pool);
    reply_empty(exchange, 204);
}

/* Counts it all, for the usage. */
void legacy_count(const struct sandboxd *d, struct legacy_counts *counts)
{
    const struct template *template;
    const struct pool *pool;

    memset(counts, 0, sizeof *counts);
    for (template = d->templates; template != NULL; template = template->next)
        counts->templates++;
    for (pool = d->pools; pool != NULL; pool = pool->next)
        counts->pools++;
    counts->replicas = pool_replicas(d);
    counts->registries = registries_count(d);
    counts->snapshots = (int64_t)d->snapshot_count;
}
