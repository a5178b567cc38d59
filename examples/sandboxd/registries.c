/* registries.c: private image registries (PROTOCOL 2.11).
 *
 * SPDX-License-Identifier: MIT
 *
 * Who they belong to is kept, and never told: nothing is ever pulled, so what
 * a registry needs to let somebody in is read, checked and forgotten.
 */
#include <stdlib.h>

#include "control.h"

struct registry {
    struct registry *next;
    uint64_t sequence;
    char id[37];
    char *name;
    char *url;
    int64_t created_us;
    int64_t updated_us;
};

/* A registry object. */
static void registry_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct registry *registry = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", registry->id);
    lssb_json_string(json, "name", registry->name);
    lssb_json_string(json, "url", registry->url);
    json_time(json, "created_at", registry->created_us);
    lssb_json_string(json, "created_by", control_user);
    json_time(json, "updated_at", registry->updated_us);
    lssb_json_string(json, "updated_by", control_user);
    lssb_json_close(json);
}

/* Frees one that is in no list. */
static void registry_free(struct registry *registry)
{
    free(registry->name);
    free(registry->url);
    free(registry);
}

/* The link to the registry of a name, or to the list's end. */
static struct registry **registry_link(struct sandboxd *d, const char *name)
{
    struct registry **link = &d->registries;

    while (*link != NULL && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

/* Whether there is one of that id. */
bool registry_known(const struct sandboxd *d, const char *id)
{
    const struct registry *registry = d->registries;

    while (registry != NULL && strcmp(registry->id, id) != 0)
        registry = registry->next;
    return registry != NULL;
}

/* How many there are. */
int64_t registries_count(const struct sandboxd *d)
{
    const struct registry *registry = d->registries;
    int64_t count = 0;

    for (; registry != NULL; registry = registry->next)
        count++;
    return count;
}

/* A member that is secret: whether it is as it must be. */
static bool registry_secret(const struct object *body, const char *name,
                            bool needed)
{
    char *text = NULL;
    bool fine = object_text(body, name, &text);

    if (fine && needed && text == NULL)
        fine = object_missing(body, name);
    if (text != NULL)
        lssb_wipe(text, strlen(text));
    free(text);
    return fine;
}

/* Reads a body; all members are needed at creation. */
static bool registry_read(const struct object *body, bool needed,
                          struct registry *registry)
{
    return object_name(body, needed, &registry->name) &&
           object_text(body, "url", &registry->url) &&
           (registry->url != NULL || !needed ||
            object_missing(body, "url")) &&
           registry_secret(body, "username", needed) &&
           registry_secret(body, "password", needed);
}

/* Replies that the name is another's; whether it is. */
static bool registry_taken(struct exchange *exchange, const char *name,
                           const struct registry *self)
{
    const struct registry *other =
        name == NULL ? NULL : *registry_link(exchange->d, name);

    if (other == NULL || other == self)
        return false;
    reply_error(exchange, 409, "Conflict",
                "A registry named '%s' already exists", name);
    return true;
}

/* POST …/registries */
static void registry_create(struct exchange *exchange, struct value body)
{
    struct registry *registry = take(sizeof *registry);
    struct sandboxd *d = exchange->d;
    struct object top;

    object_top(&top, exchange, body);
    if (!registry_read(&top, true, registry) ||
        registry_taken(exchange, registry->name, NULL)) {
        registry_free(registry);
        return;
    }
    make_uuid(registry->id);
    registry->sequence = ++d->sequence;
    registry->created_us = registry->updated_us = wall_us();
    registry->next = d->registries;
    d->registries = registry;
    reply_json(exchange, 201, registry_write, registry);
}

/* There is none of that name. */
static void registry_none(struct exchange *exchange, const char *name)
{
    reply_error(exchange, 404, "NotFound", "Registry '%s' not found", name);
}

/* PATCH …/registries/{name} */
static void registry_update(struct exchange *exchange, struct value body)
{
    char *name = exchange->state;
    struct registry *registry = *registry_link(exchange->d, name);
    struct registry *update = take(sizeof *update);
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (registry == NULL) {
        registry_none(exchange, name);
    } else if (registry_read(&top, false, update) &&
               !registry_taken(exchange, update->name, registry)) {
        move_text(&registry->name, &update->name);
        move_text(&registry->url, &update->url);
        registry->updated_us = wall_us();
        reply_json(exchange, 200, registry_write, registry);
    }
    registry_free(update);
    free(name);
}

/* GET …/registries */
static void registry_list(struct exchange *exchange)
{
    static const char *const sorts[] = {"name", "created_at", NULL};
    static const struct list_kind kind = {"registries", false, sorts, NULL,
                                          NULL, registry_write};
    const struct registry *registry = exchange->d->registries;
    struct listed *things;
    size_t count = 0;

    for (; registry != NULL; registry = registry->next)
        count++;
    things = take((count + 1) * sizeof *things);
    count = 0;
    for (registry = exchange->d->registries; registry != NULL;
         registry = registry->next) {
        things[count].thing = registry;
        things[count].sequence = registry->sequence;
        things[count++].name = registry->name;
    }
    list_reply(exchange, &kind, things, count);
    free(things);
}

/* …/registries/{name} */
static void registry_one(struct exchange *exchange, const char *name)
{
    struct registry **link = registry_link(exchange->d, name);
    struct registry *registry = *link;

    if (!api_method(exchange, "GET") && !api_method(exchange, "PATCH") &&
        !api_method(exchange, "DELETE")) {
        reply_allow(exchange, "GET, HEAD, PATCH, DELETE");
    } else if (registry == NULL) {
        registry_none(exchange, name);
    } else if (api_method(exchange, "GET")) {
        reply_json(exchange, 200, registry_write, registry);
    } else if (api_method(exchange, "PATCH")) {
        collect_named(exchange, name, registry_update);
    } else {
        *link = registry->next;
        registry_free(registry);
        reply_empty(exchange, 204);
    }
}

/* /registries, /registries/{name} */
void registries_route(struct exchange *exchange, char **segments,
                      size_t count)
{
    if (count > 2)
        api_no_route(exchange);
    else if (count == 2)
        registry_one(exchange, segments[1]);
    else if (api_method(exchange, "GET"))
        registry_list(exchange);
    else if (api_method(exchange, "POST"))
        collect_json(exchange, registry_create);
    else
        reply_allow(exchange, "GET, HEAD, POST");
}
