/* build.c: a snapshot from a Dockerfile.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.10: a procedure over the public calls. One operation of the
 * caller's carries it; the calls that it is made of have another, in the
 * caller's struct, one after the other. Whatever ends a step, the last one
 * deletes the builder.
 */
#include "build.h"

#define BUILD_TIMEOUT_S 60          /* of a step */
#define BUILD_CLEAN_MS 30000        /* for deleting the builder, all of it */
#define BUILD_TAIL 240              /* bytes of the log in a message */
#define BUILD_LOOKS 3               /* times to look for a builder again that
                                       may come to be yet */

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

    return (unsigned)step <= LSSB_BUILD_DONE ? names[step] : "unknown";
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

/* Tells the outcome. The client's last failure is that of the build or, if it
 * went well, the one that it was before the builder was deleted. */
static void build_finish(lssb_op *op)
{
    struct build_state *state = build_of(op);

    if (state->status == LSSB_OK)
        build_step(state, LSSB_BUILD_DONE);
    state->client->error = state->error;
    if (state->status != LSSB_OK)
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
    build_begun(state, lssb_file_archive(&state->box, state->archive,
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
    lssb_build_put_unpack(state, &writer);
    build_run(state, LSSB_BUILD_EXTRACTING);
}

static void build_build(struct build_state *state)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, state->of.script, sizeof state->of.script, 0);
    lssb_build_put_script(state, &writer);
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

/* Whether an answer to the creation says that nothing was made. Any other may
 * leave a box behind: one that was not ready in time (408), one that failed
 * (422). */
static bool build_is_refusal(const lssb_error *error)
{
    switch (error->http_status) {
    case 400:
    case 401:
    case 403:
    case 404:
    case 409:
    case 429:
        return true;
    default:
        return error->status == LSSB_E_PROXY;
    }
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
    state->made = lssb_call_was_sent(&state->inner) && !build_is_refusal(error);
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
    if (state->status == LSSB_OK)   /* what fails from here on is no failure */
        state->error = state->client->error;
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
    if (!state->announced)          /* no callback before the first step */
        build_step(state, LSSB_BUILD_MEASURING);
    state->announced = true;
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
        return lssb_build_refuse(call, LSSB_E_INVALID_ARGUMENT, 0,
                            "build, options or snapshot: NULL");
    state = (struct build_state *)(void *)&build->reserved;
    if (state->active)
        return lssb_build_refuse(call, LSSB_E_BUSY, 0,
                            "this lssb_build is in use by another call");
    memset(build, 0, sizeof *build);
    memset(snapshot, 0, sizeof *snapshot);
    build->exit_code = -1;
    state->client = client;
    state->build = build;
    state->options = options;
    state->snapshot = snapshot;
    status = lssb_build_prepare(state, call);
    if (status != LSSB_OK)
        return status;
    call->reserved.state.extra = build;
    state->active = true;
    state->inner.headers = call->headers;
    state->inner.header_count = call->header_count;
    build->step = LSSB_BUILD_MEASURING;
    return lssb_call_attend(call, op == NULL, &build_exchange);
}
