/* build.c: a snapshot from a Dockerfile.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.10: a procedure over the public calls. One operation of the
 * caller's carries it; the calls that it is made of have another, in the
 * caller's struct, one after the other. Whatever ends a step, the last one
 * deletes the builder.
 */
#include "internal.h"

#define BUILD_TIMEOUT_S 60          /* of a step */
#define BUILD_CLEAN_MS 30000        /* for deleting the builder, all of it */
#define BUILD_PATH 512              /* bytes of the Dockerfile's path */
#define BUILD_TAIL 240              /* bytes of the log in a message */
#define BUILD_LOOKS 3               /* times to look for a builder again that
                                       may come to be yet */

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
    lssb_error error;               /* why the build fails */
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

/* The public struct has room for it on every machine. */
typedef char build_state_fits[sizeof(struct build_state) <=
                                      sizeof(((lssb_build *)0)->reserved)
                                  ? 1
                                  : -1];

static struct build_state *build_of(lssb_op *op)
{
    lssb_build *build = op->reserved.state.extra;

    return (struct build_state *)(void *)&build->reserved;
}

const char *lssb_build_step_name(lssb_build_step step)
{
    static const char *const names[] = {
        "idle",       "measuring", "creating",  "uploading", "extracting",
        "building",   "capturing", "cleaning",  "done"
    };

    return step >= LSSB_BUILD_IDLE && step <= LSSB_BUILD_DONE ? names[step]
                                                              : "unknown";
}

/* ----------------------------------------------------------- the outcome -- */

/* Begins a step. */
static void build_step(struct build_state *state, lssb_build_step step)
{
    const lssb_build_options *options = state->options;

    state->build->step = step;
    if (options->progress != NULL)
        options->progress(options->user, step, 0,
                          step == LSSB_BUILD_UPLOADING
                              ? state->of.context.pack.size
                              : LSSB_SIZE_UNKNOWN);
}

/* The build fails: state->error says why, but for the step. */
static void build_fail(struct build_state *state)
{
    static const char *const doing[] = {
        "",
        "the context: ",
        "creating the builder: ",
        "sending the context: ",
        "unpacking the context: ",
        "building: ",
        "capturing: ",
        "",
        ""
    };

    lssb_error_prefix(&state->error, "build snapshot: ",
                      doing[state->build->step], NULL);
    state->status = state->error.status;
}

/* The same because the call under way failed. */
static void build_inner_failed(struct build_state *state)
{
    state->error = state->inner_error;
    state->error.status = state->inner.status;
    build_fail(state);
}

/* The same because the caller wants it to end, or its time is up. */
static void build_left(struct build_state *state)
{
    bool late = state->why == LSSB_E_DEADLINE;

    lssb_fail(&state->error, state->why,
              late ? LSSB_LAYER_CLIENT : LSSB_LAYER_CALLER,
              late ? "the deadline passed" : "canceled", NULL);
    build_fail(state);
}

/* The same because of the files of the context. */
static void build_context_failed(struct build_state *state,
                                 lssb_status status)
{
    const struct lssb_pack *pack = &state->of.context.pack;
    const struct lssb_ignore *ignore = &state->of.context.ignore;
    char line[12];
    struct lssb_text text;

    if (ignore->wrong != NULL) {
        lssb_text_start(&text, line, sizeof line);
        lssb_text_add_u64(&text, ignore->line);
        lssb_fail(&state->error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                  ".dockerignore, line ", line, ": ", ignore->wrong, NULL);
        state->error.system_code = ignore->code;
    } else {
        lssb_fail(&state->error,
                  status == LSSB_E_TOO_LONG ? status : LSSB_E_STOPPED,
                  LSSB_LAYER_CALLER, pack->path[0] != '\0' ? pack->path : ".",
                  ": ", pack->wrong, NULL);
        state->error.system_code = pack->code;
    }
    build_fail(state);
}

/* Tells the outcome. */
static void build_finish(lssb_op *op)
{
    struct build_state *state = build_of(op);

    if (state->status == LSSB_OK)
        build_step(state, LSSB_BUILD_DONE);
    else
        state->client->error = state->error;
    op->reserved.state.attempt = (uint16_t)state->error.attempts;
    lssb_call_finish(op, state->status);
}

/* --------------------------------------------------------------- the log -- */

/* The first whole character at or behind `at`. */
static size_t build_char(const char *bytes, size_t len, size_t at)
{
    while (at < len && ((uint8_t)bytes[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* Keeps the last of what was said. */
static void build_keep(lssb_build *build, const char *bytes, size_t len)
{
    size_t have = strlen(build->log), room = sizeof build->log - 1, gone;
    const char *nul = memchr(bytes, '\0', len);

    if (nul != NULL)                /* a text ends there */
        len = (size_t)(nul - bytes);
    if (len > room) {
        gone = build_char(bytes, len, len - room);
        bytes += gone;
        len -= gone;
        have = 0;
    } else if (have + len > room) {
        gone = build_char(build->log, have, have + len - room);
        memmove(build->log, build->log + gone, have - gone);
        have -= gone;
    }
    memcpy(build->log + have, bytes, len);
    build->log[have + len] = '\0';
}

/* The last lines of it, as many as a message holds. */
static const char *build_tail(const lssb_build *build)
{
    size_t len = strlen(build->log), from = 0;
    const char *line;

    while (len > 0 && build->log[len - 1] == '\n')
        len--;
    if (len > BUILD_TAIL)
        from = build_char(build->log, len, len - BUILD_TAIL);
    if (from == 0)
        return build->log;
    line = memchr(build->log + from, '\n', len - from);
    return line != NULL ? line + 1 : build->log + from;
}

/* A command in the builder says something; the caller hears of the build. */
static lssb_status build_hears(void *user, const void *bytes, size_t len)
{
    struct build_state *state = user;
    const lssb_build_options *options = state->options;
    lssb_status said = LSSB_OK;

    if (options->on_log != NULL && state->build->step == LSSB_BUILD_BUILDING)
        said = options->on_log(options->user, bytes, len);
    if (said == LSSB_OK)
        build_keep(state->build, bytes, len);
    return said;
}

/* A command in the builder ended with a status that is not 0. */
static void build_command_failed(struct build_state *state)
{
    char code[12];
    struct lssb_text text;
    size_t len;

    lssb_text_start(&text, code, sizeof code);
    lssb_text_add_i64(&text, state->result.exit_code);
    lssb_fail(&state->error, LSSB_E_CREATION, LSSB_LAYER_SERVICE,
              "Dockerfile snapshot build failed with status ", code,
              state->build->log[0] != '\0' ? ": " : "",
              build_tail(state->build), NULL);
    len = strlen(state->error.message);
    while (len > 0 && state->error.message[len - 1] == '\n')
        state->error.message[--len] = '\0';
    state->error.resource = LSSB_RESOURCE_SNAPSHOT;
    build_fail(state);
}

/* ----------------------------------------------------------- the scripts -- */

/* What unpacks the context; "@" stands for the root. */
static const char build_unpack[] =
    "rm -rf '@/context' && mkdir -p '@/context' && "
    "tar -xf '@/context.tar' -C '@/context'";

/* What builds, up to the arguments that differ, and behind them. */
static const char build_begin[] =
    "set -euo pipefail\n"
    "mkdir -p '@/buildkit-root' '@/buildkit-run'\n"
    "buildkitd --addr 'unix://@/buildkit-run/buildkitd.sock'"
    " --root '@/buildkit-root' --oci-worker=true --containerd-worker=false"
    " --oci-worker-snapshotter=native --oci-worker-binary buildkit-runc"
    " > '@/buildkit-run/buildkitd.log' 2>&1 &\n"
    "buildkitd_pid=$!\n"
    "cleanup() { kill \"$buildkitd_pid\" >/dev/null 2>&1 || true; }\n"
    "trap cleanup EXIT\n"
    "for i in $(seq 1 300); do\n"
    "  if buildctl --addr 'unix://@/buildkit-run/buildkitd.sock'"
    " debug workers >/dev/null 2>&1; then break; fi\n"
    "  if ! kill -0 \"$buildkitd_pid\" >/dev/null 2>&1; then"
    " cat '@/buildkit-run/buildkitd.log'; exit 1; fi\n"
    "  if [ \"$i\" = 300 ]; then"
    " cat '@/buildkit-run/buildkitd.log'; exit 1; fi\n"
    "  sleep 0.1\n"
    "done\n"
    "for i in $(seq 1 300); do\n"
    "  if docker info >/dev/null 2>&1; then break; fi\n"
    "  if [ \"$i\" = 300 ]; then docker info; exit 1; fi\n"
    "  sleep 0.1\n"
    "done\n"
    "'buildctl' '--addr' 'unix://@/buildkit-run/buildkitd.sock' 'build'"
    " '--progress=plain' '--frontend' 'dockerfile.v0'"
    " '--local' 'context=@/context' '--local' 'dockerfile=@/context";
static const char build_end[] =
    " | docker load\n"
    "rm -rf '@/buildkit-root' || true\n";

/* Puts a script's text, the root in it. */
static void build_put(const struct build_state *state, struct lssb_writer *to,
                      const char *text)
{
    const char *at;

    while ((at = strchr(text, '@')) != NULL) {
        lssb_put(to, text, (size_t)(at - text));
        lssb_put_text(to, state->root);
        text = at + 1;
    }
    lssb_put_text(to, text);
}

/* Puts what stands between single quotes. */
static void build_quote(struct lssb_writer *to, const char *text, size_t len)
{
    while (len > 0) {
        const char *quote = memchr(text, '\'', len);
        size_t n = quote != NULL ? (size_t)(quote - text) : len;

        lssb_put(to, text, n);
        if (quote == NULL)
            return;
        lssb_put_text(to, "'\\''");
        text += n + 1;
        len -= n + 1;
    }
}

/* Puts an option of the builder: " '--opt' 'NAME=VALUE'". */
static void build_option(struct lssb_writer *to, const char *kind,
                         const char *name, const char *value)
{
    lssb_put_text(to, " '--opt' '");
    lssb_put_text(to, kind);
    build_quote(to, name, strlen(name));
    lssb_put_text(to, "=");
    build_quote(to, value, strlen(value));
    lssb_put_text(to, "'");
}

/* The build argument whose name comes next behind `last` (NULL: the first of
 * all), or NULL. */
static const lssb_pair *build_next_arg(const lssb_build_options *options,
                                       const lssb_pair *last)
{
    const lssb_pair *next = NULL, *arg = options->args;
    size_t i;

    for (i = 0; i < options->arg_count; i++, arg++)
        if ((last == NULL || strcmp(arg->name, last->name) > 0) &&
            (next == NULL || strcmp(arg->name, next->name) < 0))
            next = arg;
    return next;
}

/* Where the last component of the Dockerfile's path begins. */
static size_t build_base(const struct build_state *state)
{
    size_t at = strlen(state->dockerfile);

    while (at > 0 && state->dockerfile[at - 1] != '/')
        at--;
    return at;
}

/* Puts the whole of the script that builds, and a NUL. */
static void build_script(const struct build_state *state,
                         struct lssb_writer *to)
{
    const lssb_build_options *options = state->options;
    const lssb_pair *arg = NULL;
    size_t base = build_base(state);

    build_put(state, to, build_begin);
    if (base > 0) {
        lssb_put_text(to, "/");
        build_quote(to, state->dockerfile, base - 1);
    }
    lssb_put_text(to, "'");
    build_option(to, "", "filename", state->dockerfile + base);
    lssb_put_text(to, " '--output' 'type=docker,name=");
    lssb_put_text(to, state->image);
    lssb_put_text(to, "'");
    if (options->target != NULL)
        build_option(to, "", "target", options->target);
    while ((arg = build_next_arg(options, arg)) != NULL)
        build_option(to, "build-arg:", arg->name, arg->value);
    build_put(state, to, build_end);
    lssb_put(to, "", 1);
}

/* ------------------------------------------------------------- the steps -- */

static uint32_t build_timeout(const struct build_state *state)
{
    uint32_t timeout = state->options->timeout_s;

    return timeout != 0 ? timeout : BUILD_TIMEOUT_S;
}

/* Where another call begins. What it says at once is in inner.status, too. */
static lssb_op *build_inner(struct build_state *state)
{
    memset(&state->inner_error, 0, sizeof state->inner_error);
    state->inner.error = &state->inner_error;
    return &state->inner;
}

/* What the call said at once. */
static void build_begun(struct build_state *state, lssb_status status)
{
    if (status != LSSB_PENDING)
        state->inner.status = status;
}

static void build_create(struct build_state *state)
{
    const lssb_build_options *options = state->options;
    lssb_sandbox_options *creation = &state->creation;

    build_step(state, LSSB_BUILD_CREATING);
    memset(creation, 0, sizeof *creation);
    creation->name = state->build->builder;
    creation->timeout_s = build_timeout(state);
    creation->fs_capacity_bytes = options->fs_capacity_bytes;
    creation->vcpus = options->vcpus;
    creation->mem_bytes = options->mem_bytes;
    creation->idle_ttl_s = options->idle_ttl_s;
    creation->delete_after_stop_s = options->delete_after_stop_s;
    build_begun(state, lssb_sandbox_create(state->client, creation,
                                           &state->box, build_inner(state)));
}

/* Bytes of the context's archive. */
static ptrdiff_t build_read(void *ctx, uint64_t offset, void *bytes,
                            size_t len)
{
    struct build_state *state = ctx;

    return lssb_pack_read(&state->of.context.pack, offset, bytes, len);
}

static void build_moved(void *user, uint64_t moved, uint64_t total)
{
    struct build_state *state = user;

    if (state->options->progress != NULL)
        state->options->progress(state->options->user, LSSB_BUILD_UPLOADING,
                                 moved, total);
}

static void build_upload(struct build_state *state)
{
    build_step(state, LSSB_BUILD_UPLOADING);
    state->source.read_at = build_read;
    state->source.ctx = state;
    state->source.size = state->of.context.pack.size;
    state->transfer.progress = build_moved;
    state->transfer.user = state;
    build_begun(state, lssb_file_upload(&state->box, state->archive,
                                        &state->source, &state->transfer,
                                        build_inner(state)));
}

/* Closes what the context holds. */
static void build_close(struct build_state *state)
{
    if (!state->reading)
        return;
    lssb_pack_end(&state->of.context.pack);
    lssb_ignore_end(&state->of.context.ignore);
    state->reading = false;
}

/* Runs the script that is there. */
static void build_run(struct build_state *state, lssb_build_step step)
{
    lssb_run_options *run = &state->run;
    uint32_t timeout = build_timeout(state);

    build_step(state, step);
    state->build->log[0] = '\0';
    memset(run, 0, sizeof *run);
    run->timeout_s = timeout < INT32_MAX ? (int32_t)timeout : INT32_MAX;
    run->on_out = build_hears;
    run->on_err = build_hears;
    run->user = state;
    build_begun(state, lssb_run(&state->box, state->of.script, run,
                                &state->result, build_inner(state)));
}

static void build_extract(struct build_state *state)
{
    struct lssb_writer writer;

    build_close(state);
    lssb_writer_start(&writer, state->of.script, sizeof state->of.script, 0);
    build_put(state, &writer, build_unpack);
    lssb_put(&writer, "", 1);
    build_run(state, LSSB_BUILD_EXTRACTING);
}

static void build_build(struct build_state *state)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, state->of.script, sizeof state->of.script, 0);
    build_script(state, &writer);
    build_run(state, LSSB_BUILD_BUILDING);
}

static void build_capture(struct build_state *state)
{
    const lssb_build_options *options = state->options;
    lssb_capture_options *capture = &state->capture;

    build_step(state, LSSB_BUILD_CAPTURING);
    memset(capture, 0, sizeof *capture);
    capture->name = options->name;
    capture->docker_image = state->image;
    capture->fs_capacity_bytes = options->fs_capacity_bytes;
    capture->tag = options->tag;
    capture->labels = options->labels;
    capture->label_count = options->label_count;
    capture->timeout_s = build_timeout(state);
    build_begun(state, lssb_snapshot_capture(&state->box, capture,
                                             state->snapshot,
                                             build_inner(state)));
}

/* -------------------------------------------------------------- cleaning -- */

/* Whether a request cannot have reached the service. */
static bool build_was_unsent(const lssb_error *error)
{
    if (error->http_status == 0 && error->status > LSSB_E_CANCELED)
        return true;                /* found before anything was sent */
    return error->status == LSSB_E_NO_SLOT ||
           error->layer == LSSB_LAYER_RESOLVE ||
           error->layer == LSSB_LAYER_CONNECT ||
           error->layer == LSSB_LAYER_PROXY || error->layer == LSSB_LAYER_TLS;
}

/* What the creation's end says of the builder: it is there; there is none; or
 * nobody knows, since no answer came. */
static void build_note_builder(struct build_state *state)
{
    const lssb_error *error = &state->inner_error;

    state->made = true;
    if (state->inner.status == LSSB_OK || state->box.id[0] != '\0' ||
        state->box.name[0] != '\0')
        return;
    if (build_was_unsent(error) ||
        (error->http_status >= 400 && error->http_status < 500))
        state->made = false;
    state->uncertain = error->http_status == 0;
}

static void build_delete(struct build_state *state)
{
    lssb_client *client = state->client;

    state->look_at = 0;
    state->inner.deadline_ms = client->now < state->clean_by
                                   ? (uint32_t)(state->clean_by - client->now)
                                   : 1;
    build_begun(state,
                lssb_sandbox_delete_named(client, state->build->builder,
                                          build_inner(state)));
}

/* All is over but for the builder. True: that, too. */
static bool build_clean(lssb_op *op)
{
    struct build_state *state = build_of(op);

    build_close(state);
    if (!state->made) {
        build_finish(op);
        return true;
    }
    state->tried = state->build->step;
    state->looks = state->uncertain ? BUILD_LOOKS : 0;
    state->clean_by = state->client->now + BUILD_CLEAN_MS;
    build_step(state, LSSB_BUILD_CLEANING);
    build_delete(state);
    return false;
}

/* The deletion has ended. One that nobody knows of may come to be yet. */
static bool build_cleaned(lssb_op *op)
{
    struct build_state *state = build_of(op);
    uint64_t ms = UINT64_C(4000) >> state->looks;
    bool gone = state->inner.status == LSSB_OK ||
                state->inner.status == LSSB_E_NOT_FOUND;

    if (state->inner.status == LSSB_E_NOT_FOUND && state->looks > 0 &&
        !state->client->closing) {
        state->looks--;
        state->look_at = state->client->now + ms;
        return false;
    }
    state->build->builder_left = !gone;
    state->build->step = state->tried;
    build_finish(op);
    return true;
}

/* ------------------------------------------------------------ the course -- */

/* A step went well: the next one. False: it was the last, or the build
 * failed. */
static bool build_next(struct build_state *state)
{
    switch (state->build->step) {
    case LSSB_BUILD_CREATING:
        build_upload(state);
        return true;
    case LSSB_BUILD_UPLOADING:
        build_extract(state);
        return true;
    case LSSB_BUILD_EXTRACTING:
    case LSSB_BUILD_BUILDING:
        if (state->build->step == LSSB_BUILD_BUILDING)
            state->build->exit_code = state->result.exit_code;
        if (state->result.exit_code != 0) {
            build_command_failed(state);
            return false;
        }
        if (state->build->step == LSSB_BUILD_EXTRACTING)
            build_build(state);
        else
            build_capture(state);
        return true;
    case LSSB_BUILD_IDLE:
    case LSSB_BUILD_MEASURING:
    case LSSB_BUILD_CAPTURING:
    case LSSB_BUILD_CLEANING:
    case LSSB_BUILD_DONE:
        break;
    }
    return false;
}

/* The call under way has ended. True: so has all of it. */
static bool build_went(lssb_op *op)
{
    struct build_state *state = build_of(op);
    bool fine = state->inner.status == LSSB_OK;

    if (state->build->step == LSSB_BUILD_CLEANING)
        return build_cleaned(op);
    if (state->build->step == LSSB_BUILD_CREATING)
        build_note_builder(state);
    if (fine && state->build->step == LSSB_BUILD_CAPTURING)
        return build_clean(op);     /* however late that is */
    if (state->why != LSSB_OK)
        build_left(state);
    else if (state->reading && (state->of.context.pack.wrong != NULL ||
                                state->of.context.ignore.wrong != NULL))
        build_context_failed(state, LSSB_E_STOPPED);
    else if (!fine)
        build_inner_failed(state);
    else if (build_next(state))
        return false;
    return build_clean(op);
}

/* Looks at some more of the context. */
static bool build_measure(lssb_op *op)
{
    struct build_state *state = build_of(op);
    lssb_status status = LSSB_OK;

    if (state->why != LSSB_OK) {
        build_left(state);
        return build_clean(op);
    }
    status = lssb_pack_measure(&state->of.context.pack);
    if (status == LSSB_AGAIN) {
        state->client->at_once = true;
        return false;
    }
    if (status != LSSB_OK) {
        build_context_failed(state, status);
        return build_clean(op);
    }
    state->build->context_entries = state->of.context.pack.entries;
    state->build->context_bytes = state->of.context.pack.size;
    build_create(state);
    return false;
}

static bool build_watch(lssb_op *op)
{
    struct build_state *state = build_of(op);

    if (state->build->step == LSSB_BUILD_MEASURING)
        return build_measure(op);
    if (state->look_at != 0) {
        if (!state->client->closing && state->client->now < state->look_at)
            return false;
        build_delete(state);
    }
    while (state->inner.status != LSSB_PENDING && state->look_at == 0)
        if (build_went(op))
            return true;
    return false;
}

static void build_waits(const lssb_op *op, uint64_t *wake_at)
{
    const lssb_build *build = op->reserved.state.extra;
    const struct build_state *state =
        (const struct build_state *)(const void *)&build->reserved;

    if (state->look_at != 0 && state->look_at < *wake_at)
        *wake_at = state->look_at;
}

/* It is to end: when the call under way has, and the builder is gone. */
static bool build_leave(lssb_op *op, lssb_status why)
{
    struct build_state *state = build_of(op);

    if (state->build->step != LSSB_BUILD_CLEANING) {
        state->why = why;
        lssb_cancel(&state->inner);
    }
    return true;
}

static void build_ended(lssb_op *op, lssb_status outcome)
{
    (void)outcome;
    build_of(op)->active = false;
}

static const struct lssb_exchange build_exchange = {
    .name = "build snapshot",
    .awaits = "waiting for the builder",
    .watch = build_watch,
    .waits = build_waits,
    .leave = build_leave,
    .ended = build_ended
};

/* ------------------------------------------------------------- beginning -- */

/* Whether a text is there, and may stand in JSON. */
static bool build_is_text(const char *text)
{
    return text != NULL && text[0] != '\0' &&
           lssb_utf8_valid(text, strlen(text)) == strlen(text);
}

/* What is wrong with the build arguments, or NULL. */
static const char *build_args_wrong(const lssb_build_options *options)
{
    const lssb_pair *arg;
    size_t i, k;

    if (options->arg_count > 0 && options->args == NULL)
        return "args: NULL, but arg_count is not 0";
    for (i = 0; i < options->arg_count; i++) {
        arg = &options->args[i];
        if (!build_is_text(arg->name) || strchr(arg->name, '=') != NULL)
            return "args: a name is empty, holds a '=' or is no UTF-8";
        if (arg->value == NULL ||
            (arg->value[0] != '\0' && !build_is_text(arg->value)))
            return "args: a value is NULL or no UTF-8";
        for (k = 0; k < i; k++)
            if (strcmp(options->args[k].name, arg->name) == 0)
                return "args: a name stands there twice";
    }
    return NULL;
}

/* What is wrong with what only the last step is told, or NULL. */
static const char *build_capture_wrong(const lssb_build_options *options)
{
    size_t i;

    if (!build_is_text(options->name))
        return "name: it is missing, or no UTF-8";
    if (options->tag != NULL && options->tag[0] != '\0' &&
        !build_is_text(options->tag))
        return "tag: it is no UTF-8";
    if (options->label_count > 0 && options->labels == NULL)
        return "labels: NULL, but label_count is not 0";
    for (i = 0; i < options->label_count; i++)
        if (!build_is_text(options->labels[i].name) ||
            options->labels[i].value == NULL ||
            (options->labels[i].value[0] != '\0' &&
             !build_is_text(options->labels[i].value)))
            return "labels: a name or a value is missing, or no UTF-8";
    return NULL;
}

/* Cleans the Dockerfile's path; false: it leads out of the context, or cannot
 * stand in a command. */
static bool build_clean_path(struct build_state *state, const char *path)
{
    size_t len = 0, n;

    if (!build_is_text(path) || path[0] == '/' || strlen(path) >= BUILD_PATH)
        return false;
    for (; *path != '\0'; path += n + (path[n] == '/')) {
        const char *slash = strchr(path, '/');

        n = slash != NULL ? (size_t)(slash - path) : strlen(path);
        if (n == 0 || (n == 1 && path[0] == '.'))
            continue;
        if (n == 2 && path[0] == '.' && path[1] == '.')
            return false;
        if (len > 0)
            state->dockerfile[len++] = '/';
        memcpy(state->dockerfile + len, path, n);
        len += n;
    }
    state->dockerfile[len] = '\0';
    return len > 0;
}

/* What is wrong with the options, or NULL; cleans the Dockerfile's path. */
static const char *build_wrong(struct build_state *state)
{
    const lssb_build_options *options = state->options;
    const char *path = options->dockerfile, *wrong;

    if (options->files == NULL ||
        options->files->version != LSSB_FILES_VERSION)
        return "files: NULL, or of another version";
    wrong = build_capture_wrong(options);
    if (wrong == NULL)
        wrong = build_args_wrong(options);
    if (wrong != NULL)
        return wrong;
    if (options->target != NULL && !build_is_text(options->target))
        return "target: it is empty, or no UTF-8";
    if (!build_clean_path(state, path != NULL ? path : "Dockerfile"))
        return "dockerfile: a path in the context was expected, relative, "
               "without \"..\", UTF-8, of less than 512 bytes";
    return NULL;
}

/* The directory that the Dockerfile is in; it is the caller's to close, unless
 * it is the root. False: there is none. */
static bool build_find_directory(struct build_state *state, intptr_t root,
                                 intptr_t *directory, int32_t *code)
{
    const lssb_files *files = state->options->files;
    char *name = state->dockerfile, *slash;

    *directory = root;
    while ((slash = strchr(name, '/')) != NULL) {
        intptr_t opened;
        lssb_status status;

        *slash = '\0';
        status = files->open_directory(files->context, *directory, name,
                                       &opened, code);
        *slash = '/';
        if (*directory != root)
            files->close(files->context, *directory);
        if (status != LSSB_OK)
            return false;
        *directory = opened;
        name = slash + 1;
    }
    return true;
}

/* Opens the Dockerfile's own .dockerignore, or the context's, if there is one.
 * NULL, or what is wrong. */
static const char *build_open_ignore(struct build_state *state, intptr_t root,
                                     intptr_t directory, int32_t *code)
{
    const lssb_files *files = state->options->files;
    struct lssb_ignore *ignore = &state->of.context.ignore;
    size_t len = strlen(state->dockerfile);
    intptr_t file;
    lssb_status status;

    memcpy(state->dockerfile + len, ".dockerignore", sizeof ".dockerignore");
    status = files->open_file(files->context, directory,
                              state->dockerfile + build_base(state), &file,
                              code);
    state->dockerfile[len] = '\0';
    if (status == LSSB_E_NOT_FOUND)
        status = files->open_file(files->context, root, ".dockerignore", &file,
                                  code);
    if (status != LSSB_OK && status != LSSB_E_NOT_FOUND)
        return ".dockerignore: it is no file, or cannot be opened";
    lssb_ignore_start(ignore, files, status == LSSB_OK ? &file : NULL,
                      state->dockerfile);
    return NULL;
}

/* Looks for the Dockerfile, and for what says which files are sent. NULL, or
 * what is wrong. */
static const char *build_look(struct build_state *state, int32_t *code)
{
    const lssb_files *files = state->options->files;
    intptr_t root = state->of.context.pack.own.levels[0].directory, directory;
    const char *wrong = NULL;
    lssb_local_info info;

    if (!build_find_directory(state, root, &directory, code))
        return "dockerfile: there is no such directory in the context";
    if (files->info(files->context, directory,
                    state->dockerfile + build_base(state), &info,
                    code) != LSSB_OK)
        wrong = "dockerfile: there is no such file in the context";
    else if (info.kind != LSSB_ENTRY_FILE && info.kind != LSSB_ENTRY_SYMLINK)
        wrong = "dockerfile: it is no file";
    else
        wrong = build_open_ignore(state, root, directory, code);
    if (directory != root)
        files->close(files->context, directory);
    return wrong;
}

/* What becomes of an entry of the context. */
static enum lssb_pack_choice build_choose(void *user, const char *path,
                                          const lssb_local_info *info)
{
    struct build_state *state = user;

    return lssb_ignore_choose(&state->of.context.ignore, path,
                              info->kind == LSSB_ENTRY_DIRECTORY);
}

/* Opens the context. NULL, or what is wrong. */
static const char *build_open(struct build_state *state, int32_t *code)
{
    const lssb_build_options *options = state->options;
    struct lssb_pack *pack = &state->of.context.pack;
    const char *wrong;

    if (lssb_pack_start(pack, options->files,
                        options->context != NULL ? options->context : ".") !=
        LSSB_OK) {
        *code = pack->code;
        return "context: it is no directory, or cannot be opened";
    }
    wrong = build_look(state, code);
    if (wrong != NULL) {
        lssb_pack_end(pack);
        return wrong;
    }
    pack->choose = build_choose;
    pack->user = state;
    state->reading = true;
    return NULL;
}

/* Puts `count` random bytes in hexadecimal behind a text; false: the port has
 * none. */
static bool build_random(struct build_state *state, char *to, size_t size,
                         const char *before, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    lssb_client *client = state->client;
    uint8_t bytes[16];
    char hex[2 * sizeof bytes];
    struct lssb_text text;
    size_t i;

    if (client->port->random(client->port_context, bytes, count) != LSSB_IO_OK)
        return false;
    for (i = 0; i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    lssb_text_start(&text, to, size);
    lssb_text_add(&text, before);
    lssb_text_add_n(&text, hex, 2 * count);
    return true;
}

/* Makes up the names of this build. */
static bool build_names(struct build_state *state)
{
    struct lssb_text text;

    if (!build_random(state, state->build->builder,
                      sizeof state->build->builder, BUILD_BUILDER, 6) ||
        !build_random(state, state->root, sizeof state->root, BUILD_ROOT, 6) ||
        !build_random(state, state->image, sizeof state->image, BUILD_IMAGE,
                      16))
        return false;
    lssb_text_start(&text, state->archive, sizeof state->archive);
    lssb_text_add(&text, state->root);
    lssb_text_add(&text, "/context.tar");
    return true;
}

/* Refuses a call, as lssb_refuse, with another status. */
static lssb_status build_refuse(lssb_op *call, lssb_status status,
                                int32_t code, const char *wrong)
{
    lssb_client *client = lssb_call_client(call);

    lssb_refuse(client, call, "build snapshot: ", wrong, NULL);
    client->error.status = status;
    client->error.system_code = code;
    if (call->error != NULL)
        *call->error = client->error;
    return call->status = status;
}

/* Whether the script fits where it is put. */
static bool build_fits(const struct build_state *state)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, NULL, 0, 0);
    build_script(state, &writer);
    return writer.total <= sizeof state->of.script;
}

/* Fills the struct for a new build; LSSB_OK, or why not. */
static lssb_status build_begin_all(struct build_state *state, lssb_op *call)
{
    const char *wrong = build_wrong(state);
    int32_t code = 0;

    if (wrong != NULL)
        return build_refuse(call, LSSB_E_INVALID_ARGUMENT, 0, wrong);
    if (!build_names(state))
        return build_refuse(call, LSSB_E_UNSUPPORTED, 0,
                            "the port has no random bytes for its names");
    if (!build_fits(state))
        return build_refuse(call, LSSB_E_TOO_LONG, 0,
                            "args: there are too many, or they are too long");
    wrong = build_open(state, &code);
    if (wrong != NULL)
        return build_refuse(call, LSSB_E_INVALID_ARGUMENT, code, wrong);
    return LSSB_OK;
}

lssb_status lssb_snapshot_build(lssb_client *client, lssb_build *build,
                                const lssb_build_options *options,
                                lssb_snapshot *snapshot, lssb_op *op)
{
    struct build_state *state;
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);

    if (call == NULL)
        return status;
    if (build == NULL || options == NULL || snapshot == NULL)
        return build_refuse(call, LSSB_E_INVALID_ARGUMENT, 0,
                            "build, options or snapshot: NULL");
    state = (struct build_state *)(void *)&build->reserved;
    if (state->active)
        return build_refuse(call, LSSB_E_BUSY, 0,
                            "this lssb_build is in use by another call");
    memset(build, 0, sizeof *build);
    memset(snapshot, 0, sizeof *snapshot);
    build->exit_code = -1;
    state->client = client;
    state->build = build;
    state->options = options;
    state->snapshot = snapshot;
    status = build_begin_all(state, call);
    if (status != LSSB_OK)
        return status;
    call->reserved.state.extra = build;
    state->active = true;
    state->inner.headers = call->headers;
    state->inner.header_count = call->header_count;
    build_step(state, LSSB_BUILD_MEASURING);
    return lssb_call_attend(call, op == NULL, &build_exchange);
}
