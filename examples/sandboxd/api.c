/* api.c: who goes where.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "control.h"

#define API_SEGMENTS 8

/* There is no such thing. */
void api_no_route(struct exchange *exchange)
{
    reply_error(exchange, 404, "not_found", "not found");
}

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
bool api_method(const struct exchange *exchange, const char *method)
{
    return strcmp(exchange->method, method) == 0 ||
           (exchange->is_head && strcmp(method, "GET") == 0);
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
        boxes_no_box(exchange, segments[0]);
    else
        dataplane_request(exchange, box, operation);
    free(operation);
}

static const struct {
    const char *word;
    void (*route)(struct exchange *exchange, char **segments, size_t count);
} api_kinds[] = {{"boxes", boxes_route},
                 {"snapshots", snapshots_route},
                 {"snapshots-by-name", snapshots_route},
                 {"registries", registries_route},
                 {"templates", templates_route},
                 {"volumes", volumes_route},
                 {"pools", pools_route}};

/* What is below the base URL. */
static void api_route(struct exchange *exchange, char **segments, size_t count)
{
    size_t i;

    for (i = 0; i < sizeof api_kinds / sizeof api_kinds[0]; i++) {
        if (strcmp(segments[0], api_kinds[i].word) == 0) {
            api_kinds[i].route(exchange, segments, count);
            return;
        }
    }
    if (count == 1 && strcmp(segments[0], "usage") == 0)
        usage_reply(exchange);
    else if (count > 1)
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

    if (links_request(exchange))
        return;
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
