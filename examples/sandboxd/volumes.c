/* volumes.c: directories that boxes of a template share (PROTOCOL 2.16).
 *
 * SPDX-License-Identifier: MIT
 *
 * A size is a number that is told; nothing is limited by it.
 */
#include <stdlib.h>

#include "legacy.h"

/* The volume of a name. */
struct volume *volume_find(const struct sandboxd *d, const char *name)
{
    struct volume *volume = d->volumes;

    while (volume != NULL && strcmp(volume->name, name) != 0)
        volume = volume->next;
    return volume;
}

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
