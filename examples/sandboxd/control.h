/* control.h: what the parts of the control plane share.
 *
 * SPDX-License-Identifier: MIT
 *
 * From the bottom up: members (what a body says, or a 422), lists (filters,
 * order, pages), jobs (a program beside the loop), spec_check (mounts, proxy,
 * run configuration), then a part for each kind of thing that the API has.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "sandboxd.h"

#define CONTROL_GIB ((int64_t)1 << 30)
#define CONTROL_NAME 127            /* bytes of a name */

extern const char control_user[];   /* who everything is created by */

/* -------------------------------------------------------------- members -- */

/* An object of a request's body, and its place there: "" at the top, else the
 * names on the way, with a point behind each: "mount_config.mounts.0.". */
struct object {
    struct exchange *exchange;
    struct value value;
    char where[160];
};

void object_top(struct object *top, struct exchange *exchange,
                struct value body);

/* Each replies 422, and returns false, when a member is not what it must be.
 * One that is missing or null is left as it was. */
bool object_problem(const struct object *object, const char *name,
                    const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool object_missing(const struct object *object, const char *name);
bool object_integer(const struct object *object, const char *name,
                    int64_t least, int64_t most, int64_t *number);
bool object_bool(const struct object *object, const char *name, bool *flag);
bool object_text(const struct object *object, const char *name, char **text);
bool object_ttl(const struct object *object, const char *name,
                int64_t *seconds);
bool object_map(const struct object *object, const char *name,
                struct map *map);
bool object_env(const struct object *object, const char *name,
                struct map *map);
bool object_labels(const struct object *object, const char *name,
                   struct map *map);
/* A name that a URL can carry as one segment. `needed`: it must be there. */
bool object_name(const struct object *object, bool needed, char **name);
/* The object (or, with '[', the array) of that name as an object of its own;
 * without any its value has no text. */
bool object_inside(const struct object *object, const char *name, char kind,
                   struct object *inside);
/* The elements of an array, all of a kind ('{', '"'); *place is 0 before the
 * first. 1: there is one; 0: no more; -1: it is of another kind, replied. */
int object_each(const struct object *array, size_t *place, size_t *index,
                char kind, struct object *element);
/* Whether a member is there, and not null. */
bool object_has(const struct object *object, const char *name);
/* Whether a string is one of a list that ends with NULL. */
bool is_one_of(const char *word, const char *const *words);
/* Whether a text is there and consists of these characters only. */
bool consists_of(const char *text, const char *characters);
/* Moves a string, a number, if there is one. */
void move_text(char **to, char **from);
void move_number(int64_t *to, int64_t from);

/* ---------------------------------------------------------------- lists -- */

/* A thing that is listed. */
struct listed {
    const void *thing;
    uint64_t sequence;              /* the order of creation */
    const char *name;
    const char *status;             /* NULL: it has none */
    const struct map *labels;       /* NULL: it has none */
};

/* What is special about a list. */
struct list_kind {
    const char *array;              /* the array's deprecated name, or NULL */
    bool modern;                    /* "items" and "next_cursor", too */
    const char *const *sorts;       /* what it may be sorted by */
    const char *const *statuses;    /* NULL: it cannot be asked for by status */
    int64_t (*number)(const void *thing, const char *sort_by);
    json_fn *write;                 /* one element */
};

/* Replies with the page that the query asks for. */
void list_reply(struct exchange *exchange, const struct list_kind *kind,
                const struct listed *things, size_t count);

/* ----------------------------------------------------------------- jobs -- */

/* A program that runs beside the loop: it succeeded if the last line that it
 * said is "done". Said is what came before. */
struct job {
    struct sandboxd *d;
    struct watch out;
    pid_t pid;
    struct bytes said;
    void (*done)(struct job *job, bool fine);   /* the job is freed behind it */
    void *owner;
};

struct job *job_start(struct sandboxd *d, const char *const *argv,
                      void (*done)(struct job *job, bool fine), void *owner);
void job_cancel(struct job *job);   /* NULL is none */

/* A reply that comes later; nothing happens when the exchange ends first. */
void reply_later(struct exchange *exchange, uint64_t ms, const char *name,
                 void (*then)(struct exchange *exchange, const char *name));

/* ----------------------------------------------------------- spec_check -- */

bool spec_mounts(const struct object *body, char **kept);
bool spec_proxy(const struct object *body, const char *before, char **kept);
bool spec_conflicts(const struct object *body, const char *mounts,
                    const char *proxy);
bool spec_new_role(const struct object *body, const char *before,
                   const char *proxy);
bool spec_delegation(const struct object *body, char **kept);
bool spec_run_config(const struct object *body, struct run_config *run);
void spec_rule_env(const char *proxy, struct map *env);
void run_config_merge(struct run_config *over, const struct run_config *from);
void run_config_write(struct lssb_json_writer *json,
                      const struct run_config *run, const char *work_dir);

/* -------------------------------------------------- the kinds of things -- */

/* What is below /boxes, /snapshots, … of the base URL: `segments` begins with
 * that word. */
void boxes_route(struct exchange *exchange, char **segments, size_t count);
void snapshots_route(struct exchange *exchange, char **segments,
                     size_t count);
void registries_route(struct exchange *exchange, char **segments,
                      size_t count);
void templates_route(struct exchange *exchange, char **segments,
                     size_t count);
void volumes_route(struct exchange *exchange, char **segments, size_t count);
void pools_route(struct exchange *exchange, char **segments, size_t count);
void usage_reply(struct exchange *exchange);

void boxes_no_box(struct exchange *exchange, const char *name);
bool api_method(const struct exchange *exchange, const char *method);
void api_no_route(struct exchange *exchange);

enum snapshot_status { SNAPSHOT_BUILDING, SNAPSHOT_READY, SNAPSHOT_FAILED };

struct snapshot {
    struct sandboxd *d;
    struct snapshot *next;
    uint64_t sequence;
    char id[37];
    char *name;
    char *tag;                      /* that it gets when it is ready */
    struct map tags;                /* that it has: names without values */
    enum snapshot_status status;
    char *status_message;
    char *docker_image;
    char *image_digest;
    char *source_id;                /* the box it was captured from */
    char *registry_id;
    char *checkpoint;
    int64_t fs_capacity_bytes;
    int64_t fs_used_bytes;
    int64_t memory_bytes;           /* of its memory image; 0: it has none */
    int64_t created_us;
    int64_t updated_us;
    struct map labels;
    struct run_config run;
    char *dir;                      /* holds what boxes get; NULL: nothing */
    struct timer built;
    bool late;                      /* the time to build it has passed */
    struct job *job;
};

void snapshots_start(struct sandboxd *d);
struct snapshot *snapshot_find(struct sandboxd *d, const char *name);
void snapshot_capture(struct exchange *exchange, struct value body);

bool registry_known(const struct sandboxd *d, const char *id);
int64_t registries_count(const struct sandboxd *d);

/* Templates, volumes, pools: what boxes get of them. */
struct template *template_find(const struct sandboxd *d, const char *name);
void template_resources(const struct template *template, int64_t *millicores,
                        int64_t *memory, int64_t *storage);
void template_mount(const struct template *template, struct box *box);
bool template_pooled(const struct sandboxd *d, const char *name);

/* Numbers for the usage. */
struct legacy_counts {
    int64_t templates;
    int64_t pools;
    int64_t replicas;
    int64_t registries;
    int64_t snapshots;
};
void legacy_count(const struct sandboxd *d, struct legacy_counts *counts);

/* ----------------------------------------------------- links and tokens -- */

#define LINKS_HEADER "X-Langsmith-Sandbox-Service-Token"

/* SHA-256 (FIPS 180-4), and what is signed with it. */
void sha256(const void *bytes, size_t len, uint8_t out[32]);
void sha256_hex(const char *text, char out[65]);
/* A token of a JSON object, taken: HS256 (RFC 7515). */
char *token_make(const struct sandboxd *d, json_fn *claims, const void *ctx);
/* Its claims, checked and taken; NULL: it is none of ours, or has expired. */
char *token_read(const struct sandboxd *d, const char *token);

void links_service(struct exchange *exchange, const char *box);
void links_services(struct exchange *exchange, const char *box);
void links_download(struct exchange *exchange, const char *box);
/* Serves what a link leads to; false: the request is not for one. */
bool links_request(struct exchange *exchange);
char *links_other_cookies(const char *cookies);
void service_pass(struct exchange *exchange, struct box *box, uint16_t port,
                  const char *target);

/* ------------------------------------------------------------ dataplane -- */

typedef void operation_fn(struct exchange *exchange, struct box *box);

/* How a file is shown to who has a link to it. */
struct file_look {
    const char *type;               /* NULL: as bytes */
    const char *disposition;        /* NULL: none */
};

bool standins_place(const struct box *box);
void box_awake(struct exchange *exchange, struct box *box, operation_fn *go);
void upload_start(struct exchange *exchange, struct box *box);
void download_start(struct exchange *exchange, struct box *box);
void file_serve(struct exchange *exchange, struct box *box, const char *path,
                const struct file_look *look);
void tunnel_start(struct exchange *exchange, struct box *box);
void search_glob(struct exchange *exchange, struct box *box);
void search_grep(struct exchange *exchange, struct box *box);

#endif
