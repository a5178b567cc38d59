/* build.h: what the parts of a build share; of those alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LSSB_BUILD_H
#define LSSB_BUILD_H

#include "internal.h"

#define BUILD_PATH 512              /* bytes of the Dockerfile's path */

#define BUILD_ROOT "/var/lib/langsmith-build/"
#define BUILD_IMAGE "langsmith-snapshot-build:"
#define BUILD_BUILDER "snapshot-builder-"

/* The context, until it is sent. */
struct build_context {
    struct lssb_pack pack;
    struct lssb_ignore ignore;
};

/* What is behind lssb_build.reserved. */
struct build_state {
    lssb_op inner;                  /* the call under way */
    lssb_error inner_error;
    lssb_error error;               /* why the build fails; if it does not, the
                                       client's last failure before cleaning */
    lssb_status status;             /* the same; LSSB_OK: it does not */
    lssb_status why;                /* it is to end: canceled, late; or OK */
    lssb_client *client;
    lssb_build *build;
    const lssb_build_options *options;
    lssb_snapshot *snapshot;
    uint64_t clean_by;
    uint64_t look_at;               /* when to look for the builder again; 0:
                                       that is under way */
    uint32_t looks;                 /* how often, still */
    lssb_build_step tried;          /* before cleaning */
    bool active;
    bool announced;                 /* the first step is */
    bool reading;                   /* the context is open */
    bool made;                      /* the builder exists, or may */
    bool uncertain;                 /* or may come to be */
    lssb_sandbox box;
    lssb_sandbox_options creation;
    lssb_source source;
    lssb_transfer transfer;
    lssb_run_options run;
    lssb_result result;
    lssb_capture_options capture;
    char root[sizeof BUILD_ROOT + 12];
    char archive[sizeof BUILD_ROOT + 12 + sizeof "/context.tar"];
    char image[sizeof BUILD_IMAGE + 32];
    char dockerfile[BUILD_PATH + sizeof ".dockerignore"];    /* cleaned */
    union {                         /* one after the other */
        struct build_context context;
        char script[sizeof(struct build_context)];
    } of;
};

/* The public struct has room for it on every machine, at a place that is its
 * own: alignments of both are powers of two. */
struct build_place {
    char before;
    struct build_state state;
};
struct build_room {
    char before;
    lssb_build build;
};
typedef char build_state_fits[sizeof(struct build_state) <=
                                      sizeof(((lssb_build *)0)->reserved)
                                  ? 1
                                  : -1];
typedef char build_state_is_aligned
    [offsetof(struct build_place, state) <=
             offsetof(struct build_room, build) &&
             offsetof(lssb_build, reserved) %
                     offsetof(struct build_place, state) == 0
         ? 1
         : -1];

/* build_begin.c: fills the struct for a new build, whose client, build,
 * options and snapshot are set; LSSB_OK, or why the call is refused. */
LSSB_PRIVATE lssb_status lssb_build_prepare(struct build_state *state,
                                            lssb_op *call);
/* Refuses a call, as lssb_refuse, with another status. */
LSSB_PRIVATE lssb_status lssb_build_refuse(lssb_op *call, lssb_status status,
                                           int32_t code, const char *wrong);

/* build_script.c: where the last component of the Dockerfile's path begins; the
 * scripts that unpack the context and that build, a NUL behind each. */
LSSB_PRIVATE size_t lssb_build_base(const struct build_state *state);
LSSB_PRIVATE void lssb_build_put_unpack(const struct build_state *state,
                                        struct lssb_writer *to);
LSSB_PRIVATE void lssb_build_put_script(const struct build_state *state,
                                        struct lssb_writer *to);

#endif
