/* legacy.c: what templates, volumes and pools, the older way to say what boxes
 * are made from (PROTOCOL 2.15 to 2.17), have in common.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "legacy.h"

/* ----------------------------------------------------------- quantities -- */

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
bool quantity_bytes(const char *text, int64_t *bytes)
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
bool quantity_cpu(const char *text, int64_t *millicores)
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
bool quantity_read(const struct object *object, const char *name,
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

/* -------------------------------------------------------------- replies -- */

/* There is no such thing. */
void legacy_none(struct exchange *exchange, const char *kind,
                 const char *name)
{
    reply_error(exchange, 404, "NotFound", "%s '%s' not found", kind, name);
}

/* There is one of that name already. */
void legacy_taken(struct exchange *exchange, const char *kind,
                  const char *name)
{
    reply_error(exchange, 409, "Conflict", "%s '%s' already exists", kind,
                name);
}

/* Adds a user to a list of them. */
void legacy_user(struct bytes *users, const char *name)
{
    bytes_add_string(users, users->len > 0 ? ", " : "");
    bytes_add_string(users, name);
}

/* wait_for_ready and timeout of a volume or a pool. */
bool legacy_patience(const struct object *body, int64_t least, int64_t most,
                     bool *wait, int64_t *timeout_s)
{
    return object_bool(body, "wait_for_ready", wait) &&
           object_integer(body, "timeout", least, most, timeout_s);
}

/* Whether the request is for the list, or for nothing that there is; then it
 * is answered. */
bool legacy_route(struct exchange *exchange,
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
