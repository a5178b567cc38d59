/* legacy.h: templates, volumes, pools, and what they share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LEGACY_H
#define LEGACY_H

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

/* A quantity, "10Gi", "500m", in bytes or in thousandths of a CPU. */
bool quantity_bytes(const char *text, int64_t *bytes);
bool quantity_cpu(const char *text, int64_t *millicores);
bool quantity_read(const struct object *object, const char *name,
                   const char *fallback,
                   bool (*check)(const char *text, int64_t *number),
                   char **kept);

void legacy_none(struct exchange *exchange, const char *kind,
                 const char *name);
void legacy_taken(struct exchange *exchange, const char *kind,
                  const char *name);
void legacy_user(struct bytes *users, const char *name);
bool legacy_patience(const struct object *body, int64_t least, int64_t most,
                     bool *wait, int64_t *timeout_s);

/* The kinds have their routes in common. */
struct legacy_routes {
    json_fn *list;
    json_fn *write;
    void (*create)(struct exchange *exchange, struct value body);
    void (*update)(struct exchange *exchange, struct value body);
    const char *kind;
};

bool legacy_route(struct exchange *exchange,
                  const struct legacy_routes *routes, char **segments,
                  size_t count, const void *thing);

struct volume *volume_find(const struct sandboxd *d, const char *name);
int64_t pool_replicas(const struct sandboxd *d);

#endif
