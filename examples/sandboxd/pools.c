/* pools.c: boxes of a template that are there before they are asked for
 * (PROTOCOL 2.17).
 *
 * SPDX-License-Identifier: MIT
 *
 * A pool is a number: boxes of its template need no time to start.
 */
#include <stdlib.h>

#include "legacy.h"

/* The pool of a name. */
static struct pool *pool_find(const struct sandboxd *d, const char *name)
{
    struct pool *pool = d->pools;

    while (pool != NULL && strcmp(pool->name, name) != 0)
        pool = pool->next;
    return pool;
}

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
int64_t pool_replicas(const struct sandboxd *d)
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
