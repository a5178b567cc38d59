/* templates.c: an image, resources and volumes under a name (PROTOCOL 2.15).
 *
 * SPDX-License-Identifier: MIT
 *
 * The image is never pulled: boxes get the default snapshot's files.
 */
#include <stdlib.h>

#include "legacy.h"

/* The template of a name. */
struct template *template_find(const struct sandboxd *d, const char *name)
{
    struct template *template = d->templates;

    while (template != NULL && strcmp(template->name, name) != 0)
        template = template->next;
    return template;
}

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
