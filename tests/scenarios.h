/* scenarios.h: every call of lssb.h once, with a server that answers it and
 * with what must come of it.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything that a call borrows lies in one block of its own, so that a test
 * can overwrite and free it as soon as the call is told. What came of a call
 * is a line of text, made before that.
 */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "scripted_ws.h"

#define BOX(name, status) \
    "{\"id\":\"id-" name "\",\"name\":\"" name "\",\"status\":\"" status \
    "\",\"dataplane_url\":\"http://data.test/" name \
    "\",\"idle_ttl_seconds\":600,\"unknown\":[{\"a\":null},1.5]}"
#define API "/v2/sandboxes"
#define DIGITS "0123456789"
#define HUNDRED \
    DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS
#define BIG HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "abc"   /* 603 */
#define UPLOAD_SIZE 2500

/* "./a", a file of 3 bytes, as the box tells it. */
#define LISTING "#b  Li9hLy8gODFhNCAzIDEwMCAxMDEgNyAwIDAgMQovLyAwIDAK"

static const struct script_route scenario_routes[] = {
    { "POST " API "/boxes",
      { { 201, BOX("new", "provisioning"), NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/new/status",
      { { 200, "{\"status\":\"provisioning\"}", NULL, SCRIPT_LENGTH, 0 },
        { 200, "{\"status\":\"provisioning\"}", NULL, SCRIPT_CHUNKED, 0 },
        { 200, "{\"status\":\"ready\"}", NULL, SCRIPT_BYE, 0 } } },
    { "GET " API "/boxes/new",
      { { 200, BOX("new", "ready"), NULL, SCRIPT_CLOSE, 0 } } },
    { "GET " API "/boxes/a",
      { { 200, BOX("a", "ready"), NULL, SCRIPT_CHUNKED, 0 } } },
    { "GET " API "/boxes?page_size=2",
      { { 200, "{\"items\":[" BOX("x", "ready") "," BOX("y", "failed")
          "],\"next_cursor\":null}", NULL, SCRIPT_LENGTH, 5 } } },
    { "PATCH " API "/boxes/b",
      { { 200, BOX("b2", "ready"), NULL, SCRIPT_LENGTH, 0 } } },
    { "DELETE " API "/boxes/c",
      { { 204, NULL, NULL, SCRIPT_LENGTH, 0 },
        { 404, "{\"detail\":{\"error\":\"NotFound\"}}", NULL, SCRIPT_LENGTH,
          0 } } },
    { "GET " API "/boxes/d/status",
      { { 200, "{\"status\":\"stopped\",\"status_message\":\"idle\"}", NULL,
          SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/e/status",
      { { 200, "{\"status\":\"provisioning\"}", NULL, SCRIPT_LENGTH, 0 },
        { 200, "{\"status\":\"ready\"}", NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/e",
      { { 200, BOX("e", "ready"), NULL, SCRIPT_LENGTH, 0 } } },
    { "POST " API "/boxes/f/start",
      { { 202, BOX("f", "provisioning"), NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/f/status",
      { { 200, "{\"status\":\"stopped\"}", NULL, SCRIPT_LENGTH, 0 },
        { 200, "{\"status\":\"provisioning\"}", NULL, SCRIPT_LENGTH, 0 },
        { 200, "{\"status\":\"ready\"}", NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/f",
      { { 200, BOX("f", "ready"), NULL, SCRIPT_LENGTH, 0 } } },
    { "POST " API "/boxes/g/stop",
      { { 204, NULL, NULL, SCRIPT_LENGTH, 0 } } },
    { "POST " API "/boxes/batch-delete",
      { { 200, "{\"deleted\":[\"p\",\"q\"],\"skipped\":[{\"name\":\"r\","
          "\"reason\":\"not found\"}]}", NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/usage",
      { { 200, "{\"sandboxes_used\":3,\"sandboxes_limit\":10.0}", NULL,
          SCRIPT_LENGTH, 0 } } },
#if !LSSB_WEBSOCKET
    { "POST /h/execute",
      { { 200, "{\"stdout\":\"caf\\u00e9\\n\",\"stderr\":\"" HUNDRED
          "\",\"exit_code\":3}", NULL, SCRIPT_CHUNKED, 20 } } },
    { "POST /i/execute",
      { { 200, "{\"stdout\":\"" BIG "\",\"stderr\":\"\\ud83d\\ude00\","
          "\"exit_code\":0}", NULL, SCRIPT_LENGTH, 20 } } },
    { "POST /v/execute",
      { { 200, "{\"stdout\":\"" LISTING "\",\"stderr\":\"\","
          "\"exit_code\":0}", NULL, SCRIPT_LENGTH, 20 } } },
#endif
    { "POST /j/upload?path=%2Ftmp%2Fa%20b.txt",
      { { 200, "{\"path\":\"/tmp/a b.txt\",\"written\":5}", NULL,
          SCRIPT_LENGTH, 0 } } },
    { "GET /k/download?path=notes",
      { { 200, BIG, "ETag: \"e1\"\r\n", SCRIPT_LENGTH, 0 } } },
    { "POST /l/upload?path=%2Fl",
      { { 200, "{}", NULL, SCRIPT_LENGTH, 0 } } },
    { "GET /m/download?path=m",
      { { 200, BIG, "ETag: \"e3\"\r\n"
          "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
          SCRIPT_RANGES, 0 } } },
    { "HEAD /n/download?path=n",
      { { 200, BIG, "ETag: \"e2\"\r\nContent-Type: text/plain\r\n",
          SCRIPT_LENGTH, 0 } } },
    { "GET " API "/boxes/o",
      { { 422, "{\"detail\":[{\"loc\":[\"path\",\"name\"],\"msg\":\"bad\","
          "\"type\":\"value_error\"}]}", NULL, SCRIPT_LENGTH, 0 } } },
    { "POST " API "/snapshots",
      { { 201, "{\"id\":\"s-1\",\"status\":\"building\"}", NULL,
          SCRIPT_LENGTH, 0 } } },
    { "GET " API "/snapshots/s-1",
      { { 200, "{\"id\":\"s-1\",\"status\":\"building\"}", NULL,
          SCRIPT_CHUNKED, 0 },
        { 200, "{\"id\":\"s-1\",\"status\":\"ready\",\"tags\":[\"v1\"],"
          "\"fs_capacity_bytes\":4294967296}", NULL, SCRIPT_LENGTH, 0 } } },
    { "GET " API "/snapshots?page_size=2",
      { { 200, "{\"snapshots\":[{\"id\":\"1\"},{\"id\":\"2\"},{\"id\":"
          "\"3\"}],\"offset\":0}", NULL, SCRIPT_LENGTH, 0 } } },
    { "PATCH /api/v2/sandboxes/registries/r",
      { { 200, "{\"id\":\"reg-1\",\"name\":\"r\",\"url\":\"u\"}", NULL,
          SCRIPT_LENGTH, 0 } } },
    { "POST " API "/volumes",
      { { 201, "{\"name\":\"v\",\"size\":\"10Gi\"}", NULL, SCRIPT_CLOSE,
          0 } } },
    { "POST " API "/boxes/q/service-url",
      { { 200, "{\"browser_url\":\"b\",\"service_url\":\"s\",\"token\":"
          "\"t\",\"expires_at\":\"e\"}", NULL, SCRIPT_LENGTH, 0 } } },
    { "POST /r/glob",
      { { 200, "{\"matches\":[],\"truncated\":true}", NULL, SCRIPT_CHUNKED,
          0 } } },
    { "POST /s/go?a=b",
      { { 404, "no such thing", "Content-Type: text/x\r\n", SCRIPT_CHUNKED,
          0 } } },
    { "GET /t/token",
      { { 200, BIG, "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
          "Date: Tue, 02 Jan 2024 00:00:00 GMT\r\n",
          SCRIPT_RANGES, 0 } } },
};
#define SCENARIO_ROUTES (sizeof scenario_routes / sizeof scenario_routes[0])

/* All that a call borrows. */
struct args {
    char name[16];
    char path[32];
    char text[64];
    lssb_sandbox box;
    lssb_sandbox boxes[2];
    lssb_sandbox_options create;
    lssb_pair pairs[2];
    lssb_sandbox_update update;
    lssb_sandbox_list list;
    size_t count;
    lssb_deletion deletion;
    const char *names[3];
    lssb_usage usage;
    lssb_run_options run;
    lssb_result result;
    char out[120], err[60];
    char seen[1000];
    size_t seen_len;
    char bytes[1000];
    size_t len;
    lssb_source source;
    lssb_download download;
    lssb_transfer how;
    uint64_t moved, total;
    lssb_file file;
    bool begun;
    lssb_snapshot snapshot;
    lssb_snapshot snapshots[2];
    lssb_snapshot_options image;
    lssb_details details;
    lssb_snapshot_list snapshot_list;
    lssb_registry registry;
    lssb_registry_options registry_change;
    lssb_volume volume;
    lssb_volume_options volume_new;
    lssb_service service;
    lssb_service_options service_options;
    lssb_search search;
    lssb_request request;
    lssb_response response;
    lssb_tools tools;
};

/* What the model of commands runs for the scenarios. */
static const struct model_event scenario_prints[] = {
    { 0, 1, "caf\xc3\xa9\n" }, { 20, 2, HUNDRED },
};
static const struct model_event scenario_big[] = {
    { 0, 1, BIG }, { 20, 2, "\xf0\x9f\x98\x80" },
};
static const struct model_event scenario_listing[] = {
    { 0, 1, LISTING },
};
static const struct model_program scenario_programs[] = {
    { MODEL_PRINTS, scenario_prints, 2, 30, 3, false, "echo \"caf\xc3\xa9\"" },
    { MODEL_PRINTS, scenario_big, 2, 20, 0, false, "seq" },
    { MODEL_PRINTS, scenario_listing, 1, 20, 0, false, NULL },
};
#define SCENARIO_PROGRAMS \
    (sizeof scenario_programs / sizeof scenario_programs[0])

struct scenario {
    const char *name;
    lssb_status (*start)(lssb_client *client, struct args *args, lssb_op *op);
    void (*say)(const struct args *args, char *to);
    const char *right;              /* what it says in the end */
    const char *once;               /* the request that must not go out twice */
    bool plane;                     /* the name that it resolves is data.test */
};

/* One call of a scenario. */
struct call {
    lssb_op op;
    lssb_error error;
    const struct scenario *what;
    struct args *args;
    lssb_status returned;
    unsigned told;
    char said[700];
};

/* ------------------------------------------------------------- the calls -- */

/* A box as the server would have described it. */
static void scenario_box(lssb_client *client, struct args *args,
                         const char *name)
{
    args->box.client = client;
    strcpy(args->name, name);
    strcpy(args->box.name, name);
    sprintf(args->box.dataplane_url, "http%s://data.test/%s/",
            script.records ? "s" : "", name);
}

static void say_box(const lssb_sandbox *box, char *to)
{
    sprintf(to, "%s %s %s %s %d", box->name, box->id, box->status,
            box->dataplane_url, (int)box->idle_ttl_s);
}

static void say_the_box(const struct args *args, char *to)
{
    say_box(&args->box, to);
}

static lssb_status start_create(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    strcpy(args->name, "new");
    strcpy(args->text, "team");
    args->create.name = args->name;
    args->pairs[0].name = args->text;
    args->pairs[0].value = "blue \"1\"";
    args->create.labels = args->pairs;
    args->create.label_count = 1;
    return lssb_sandbox_create(client, &args->create, &args->box, op);
}

static lssb_status start_get(lssb_client *client, struct args *args,
                             lssb_op *op)
{
    strcpy(args->name, "a");
    return lssb_sandbox_get(client, args->name, &args->box, op);
}

static lssb_status start_invalid(lssb_client *client, struct args *args,
                                 lssb_op *op)
{
    strcpy(args->name, "o");
    return lssb_sandbox_get(client, args->name, &args->box, op);
}

static void say_nothing(const struct args *args, char *to)
{
    (void)args;
    *to = '\0';
}

static lssb_status start_list(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    return lssb_sandbox_next(client, &args->list, args->boxes, 2, &args->count,
                             op);
}

static void say_list(const struct args *args, char *to)
{
    size_t i;

    to += sprintf(to, "%u", (unsigned)args->count);
    for (i = 0; i < args->count && i < 2; i++)
        to += sprintf(to, " %s %s", args->boxes[i].name,
                      args->boxes[i].status);
}

static lssb_status start_change(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    scenario_box(client, args, "b");
    strcpy(args->text, "b2");
    args->update.name = args->text;
    args->update.idle_ttl_s = LSSB_NEVER;
    return lssb_sandbox_change(&args->box, &args->update, op);
}

static lssb_status start_delete(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    scenario_box(client, args, "c");
    return lssb_sandbox_delete(&args->box, op);
}

static lssb_status start_status(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    scenario_box(client, args, "d");
    return lssb_sandbox_status(&args->box, op);
}

static void say_status(const struct args *args, char *to)
{
    sprintf(to, "%s %s %d", args->box.status, args->box.status_message,
            (int)args->box.state);
}

static lssb_status start_wait(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "e");
    return lssb_sandbox_wait(&args->box, 60, op);
}

static lssb_status start_start(lssb_client *client, struct args *args,
                               lssb_op *op)
{
    scenario_box(client, args, "f");
    return lssb_sandbox_start(&args->box, 0, op);
}

static lssb_status start_stop(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "g");
    return lssb_sandbox_stop(&args->box, op);
}

static void take_skipped(void *user, const char *name, const char *reason)
{
    struct args *args = user;

    args->seen_len = (size_t)sprintf(args->seen, "%s: %s", name, reason);
}

static lssb_status start_many(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    strcpy(args->name, "p");
    args->names[0] = args->name;
    args->names[1] = "q";
    args->names[2] = "r";
    args->deletion.names = args->names;
    args->deletion.name_count = 3;
    args->deletion.skipped = take_skipped;
    args->deletion.user = args;
    return lssb_sandbox_delete_many(client, &args->deletion, op);
}

static void say_many(const struct args *args, char *to)
{
    sprintf(to, "%u %u %s", (unsigned)args->deletion.deleted,
            (unsigned)args->deletion.skipped_count, args->seen);
}

static lssb_status start_usage(lssb_client *client, struct args *args,
                               lssb_op *op)
{
    return lssb_usage_get(client, &args->usage, op);
}

static void say_usage(const struct args *args, char *to)
{
    sprintf(to, "%d %d %d", (int)args->usage.sandboxes_used,
            (int)args->usage.sandboxes_limit,
            (int)args->usage.snapshots_count);
}

static lssb_status take_seen(void *user, const void *bytes, size_t len)
{
    struct args *args = user;

    EXPECT(len > 0 && args->seen_len + len < sizeof args->seen);
    if (args->seen_len + len >= sizeof args->seen)
        return LSSB_END;
    memcpy(args->seen + args->seen_len, bytes, len);
    args->seen_len += len;
    return LSSB_OK;
}

static lssb_status start_run(lssb_client *client, struct args *args,
                             lssb_op *op)
{
    scenario_box(client, args, "h");
    strcpy(args->text, "echo \"caf\xc3\xa9\"");
    args->run.out = args->out;
    args->run.out_size = sizeof args->out;
    args->run.err = args->err;
    args->run.err_size = sizeof args->err;
    args->pairs[0].name = "A";
    args->pairs[0].value = args->name;
    args->run.env = args->pairs;
    args->run.env_count = 1;
    return lssb_run(&args->box, args->text, &args->run, &args->result, op);
}

static void say_run(const struct args *args, char *to)
{
    sprintf(to, "%d %u%s %u%s [%s] [%s] [%s]", (int)args->result.exit_code,
            (unsigned)args->result.out_len, args->result.out_cut ? "+" : "",
            (unsigned)args->result.err_len, args->result.err_cut ? "+" : "",
            args->out, args->err, args->seen);
}

static lssb_status start_run_taking(lssb_client *client, struct args *args,
                                    lssb_op *op)
{
    scenario_box(client, args, "i");
    strcpy(args->text, "seq");
    args->run.on_out = take_seen;
    args->run.user = args;
    args->run.err = args->err;
    args->run.err_size = sizeof args->err;
    args->run.timeout_s = 5;
    return lssb_run(&args->box, args->text, &args->run, &args->result, op);
}

static void say_run_taking(const struct args *args, char *to)
{
    sprintf(to, "%d %u %s [%s]", (int)args->result.exit_code,
            (unsigned)args->seen_len,
            args->seen_len == 603 && memcmp(args->seen, BIG, 603) == 0
                ? "right"
                : "wrong",
            args->err);
}

static lssb_status start_write(lssb_client *client, struct args *args,
                               lssb_op *op)
{
    scenario_box(client, args, "j");
    strcpy(args->path, "/tmp/a b.txt");
    strcpy(args->text, "hello");
    return lssb_file_write(&args->box, args->path, args->text, 5, op);
}

/* What the server got of an upload last. */
static void say_content(const char *line, char *to)
{
    uint64_t sum = 0;
    size_t i, len = 0;

    for (i = 0; i < script.entry_count; i++)
        if (script.entries[i].whole &&
            strcmp(script.entries[i].line, line) == 0) {
            len = script.entries[i].content_len;
            sum = script.entries[i].content_sum;
        }
    sprintf(to, "%u %08x", (unsigned)len, (unsigned)(sum & 0xffffffff));
}

static void say_write(const struct args *args, char *to)
{
    (void)args;
    say_content("POST /j/upload?path=%2Ftmp%2Fa%20b.txt", to);
}

static lssb_status start_read(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "k");
    strcpy(args->path, "notes");
    return lssb_file_read(&args->box, args->path, args->bytes,
                          sizeof args->bytes, &args->len, op);
}

static void say_read(const struct args *args, char *to)
{
    sprintf(to, "%u %s", (unsigned)args->len,
            args->len == 603 && memcmp(args->bytes, BIG, 603) == 0 ? "right"
                                                                   : "wrong");
}

/* A source whose bytes follow from their place. */
static ptrdiff_t source_read_at(void *ctx, uint64_t offset, void *bytes,
                                size_t len)
{
    struct args *args = ctx;
    uint8_t *to = bytes;
    size_t i;

    EXPECT(len > 0 && offset + len <= args->source.size);
    if (len > 700)
        len = 700;
    for (i = 0; i < len; i++)
        to[i] = (uint8_t)((offset + i) * 7 + (offset + i) / 251);
    return (ptrdiff_t)len;
}

static void progress_seen(void *user, uint64_t moved, uint64_t total)
{
    struct args *args = user;

    args->moved = moved;
    args->total = total;
}

static lssb_status start_upload(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    scenario_box(client, args, "l");
    strcpy(args->path, "/l");
    args->source.read_at = source_read_at;
    args->source.ctx = args;
    args->source.size = UPLOAD_SIZE;
    args->how.progress = progress_seen;
    args->how.user = args;
    return lssb_file_upload(&args->box, args->path, &args->source, &args->how,
                            op);
}

static void say_upload(const struct args *args, char *to)
{
    to += sprintf(to, "%u %u ", (unsigned)args->moved, (unsigned)args->total);
    say_content("POST /l/upload?path=%2Fl", to);
}

static lssb_status begin_seen(void *user, const lssb_file *file)
{
    struct args *args = user;

    EXPECT(file == &args->file);
    args->begun = true;
    return LSSB_OK;
}

static lssb_status start_download(lssb_client *client, struct args *args,
                                  lssb_op *op)
{
    scenario_box(client, args, "m");
    strcpy(args->path, "m");
    args->download.begin = begin_seen;
    args->download.take = take_seen;
    args->download.user = args;
    args->download.how.progress = progress_seen;
    args->download.how.user = args;
    return lssb_file_download(&args->box, args->path, &args->download,
                              &args->file, op);
}

static void say_download(const struct args *args, char *to)
{
    sprintf(to, "%d %u %u %u %s %s", args->begun, (unsigned)args->file.size,
            (unsigned)args->file.length, (unsigned)args->moved,
            args->seen_len == 603 && memcmp(args->seen, BIG, 603) == 0
                ? "right"
                : "wrong",
            args->file.last_modified);
}

static lssb_status start_stat(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "n");
    strcpy(args->path, "n");
    return lssb_file_stat(&args->box, args->path, &args->file, op);
}

static void say_stat(const struct args *args, char *to)
{
    sprintf(to, "%u %s %s", (unsigned)args->file.size, args->file.etag,
            args->file.content_type);
}

static lssb_status detail_seen(void *user, const char *path,
                               const char *value, size_t len)
{
    struct args *args = user;

    (void)len;
    args->seen_len = (size_t)sprintf(args->seen, "%s=%s", path, value);
    return LSSB_OK;
}

static lssb_status start_snapshot(lssb_client *client, struct args *args,
                                  lssb_op *op)
{
    strcpy(args->name, "py");
    args->image.name = args->name;
    args->image.docker_image = args->name;
    args->image.fs_capacity_bytes = UINT64_C(4294967296);
    args->details.take = detail_seen;
    args->details.user = args;
    args->image.details = &args->details;
    return lssb_snapshot_create(client, &args->image, &args->snapshot, op);
}

static void say_snapshot(const struct args *args, char *to)
{
    sprintf(to, "%s %s %u %s", args->snapshot.id, args->snapshot.status,
            (unsigned)(args->snapshot.fs_capacity_bytes >> 20), args->seen);
}

static lssb_status start_snapshots(lssb_client *client, struct args *args,
                                   lssb_op *op)
{
    return lssb_snapshot_next(client, &args->snapshot_list, args->snapshots, 2,
                              &args->count, op);
}

static void say_snapshots(const struct args *args, char *to)
{
    sprintf(to, "%u %s %s", (unsigned)args->count, args->snapshots[0].id,
            args->snapshots[1].id);
}

static lssb_status start_registry(lssb_client *client, struct args *args,
                                  lssb_op *op)
{
    strcpy(args->name, "r");
    strcpy(args->text, "secret");
    args->registry_change.password = args->text;
    return lssb_registry_change(client, args->name, &args->registry_change,
                                &args->registry, op);
}

static void say_registry(const struct args *args, char *to)
{
    sprintf(to, "%s %s", args->registry.id, args->registry.url);
}

static lssb_status start_volume(lssb_client *client, struct args *args,
                                lssb_op *op)
{
    strcpy(args->name, "v");
    strcpy(args->text, "10Gi");
    args->volume_new.name = args->name;
    args->volume_new.size = args->text;
    return lssb_volume_create(client, &args->volume_new, &args->volume, op);
}

static void say_volume(const struct args *args, char *to)
{
    sprintf(to, "%s %s %s", args->volume.name, args->volume.size,
            args->volume.storage_class);
}

static lssb_status start_service(lssb_client *client, struct args *args,
                                 lssb_op *op)
{
    scenario_box(client, args, "q");
    args->service_options.port = 3000;
    return lssb_service_url(&args->box, &args->service_options,
                            &args->service, op);
}

static void say_service(const struct args *args, char *to)
{
    sprintf(to, "%s %s", args->service.service_url, args->service.token);
}

static lssb_status match_seen(void *user, const lssb_match *match)
{
    (void)user;
    (void)match;
    return LSSB_OK;
}

static lssb_status start_glob(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "r");
    strcpy(args->path, "/srv");
    args->search.pattern = "*";
    args->search.path = args->path;
    args->search.take = match_seen;
    return lssb_glob(&args->box, &args->search, op);
}

static void say_glob(const struct args *args, char *to)
{
    sprintf(to, "%u %d", (unsigned)args->search.count,
            args->search.truncated);
}

static lssb_status start_ask(lssb_client *client, struct args *args,
                             lssb_op *op)
{
    scenario_box(client, args, "s");
    args->service_options.port = 3000;
    strcpy(args->service.service_url, args->box.dataplane_url);
    strcpy(args->service.token, "t");
    strcpy(args->service.expires_at, "2099-01-01T00:00:00Z");
    strcpy(args->path, "/go?a=b");
    strcpy(args->text, "the body");
    args->request.path = args->path;
    args->request.body = args->text;
    args->request.body_len = strlen(args->text);
    args->request.out = args->out;
    args->request.out_size = sizeof args->out;
    return lssb_service_request(&args->box, &args->service_options,
                                &args->service, &args->request,
                                &args->response, op);
}

static void say_ask(const struct args *args, char *to)
{
    sprintf(to, "%d %s %s", (int)args->response.status, args->out,
            args->response.content_type);
}

static lssb_status start_link(lssb_client *client, struct args *args,
                              lssb_op *op)
{
    scenario_box(client, args, "t");
    sprintf(args->text, "http%s://data.test/t/token", script.records ? "s" : "");
    args->download.begin = begin_seen;
    args->download.take = take_seen;
    args->download.user = args;
    args->download.how.progress = progress_seen;
    args->download.how.user = args;
    return lssb_link_download(client, args->text, &args->download,
                              &args->file, op);
}

static lssb_status entry_seen(void *user, const lssb_entry *entry)
{
    struct args *args = user;

    args->len += (size_t)sprintf(args->out + args->len, "%s %u;", entry->name,
                                 (unsigned)entry->size);
    return LSSB_OK;
}

static lssb_status start_tools(lssb_client *client, struct args *args,
                               lssb_op *op)
{
    scenario_box(client, args, "v");
    strcpy(args->path, "/srv/\xFF");
    args->tools.box = &args->box;
    return lssb_path_list(&args->tools, args->path, 0, entry_seen, args, op);
}

static void say_tools(const struct args *args, char *to)
{
    strcpy(to, args->out);
}

/* Over a WebSocket a command is asked for as often as it takes, and runs once:
 * the model counts. */
#define RUN_ONCE(request) (LSSB_WEBSOCKET ? NULL : request)

static const struct scenario scenarios[] = {
    { "create", start_create, say_the_box,
      "LSSB_OK new id-new ready http://data.test/new 600",
      "POST " API "/boxes", false },
    { "run", start_run, say_run,
      "LSSB_OK 3 6 100+ [caf\xc3\xa9\n] [" DIGITS DIGITS DIGITS DIGITS DIGITS
      "012345678] []", RUN_ONCE("POST /h/execute"), true },
    { "read", start_read, say_read, "LSSB_OK 603 right", NULL, true },
    { "write", start_write, say_write, "LSSB_OK 5 80aabd0b", NULL, true },
    { "list", start_list, say_list, "LSSB_OK 2 x ready y failed", NULL,
      false },
    { "get", start_get, say_the_box,
      "LSSB_OK a id-a ready http://data.test/a 600", NULL, false },
    { "change", start_change, say_the_box,
      "LSSB_OK b2 id-b2 ready http://data.test/b2 600", NULL, false },
    { "delete", start_delete, say_nothing, "LSSB_OK ", NULL, false },
    { "status", start_status, say_status, "LSSB_OK stopped idle 4", NULL,
      false },
    { "wait", start_wait, say_the_box,
      "LSSB_OK e id-e ready http://data.test/e 600", NULL, false },
    { "start", start_start, say_the_box,
      "LSSB_OK f id-f ready http://data.test/f 600",
      "POST " API "/boxes/f/start", false },
    { "stop", start_stop, say_status, "LSSB_OK stopped  4",
      "POST " API "/boxes/g/stop", false },
    { "delete many", start_many, say_many, "LSSB_OK 2 1 r: not found",
      "POST " API "/boxes/batch-delete", false },
    { "usage", start_usage, say_usage, "LSSB_OK 3 10 -1", NULL, false },
    { "run with a callback", start_run_taking, say_run_taking,
      "LSSB_OK 0 603 right [\xf0\x9f\x98\x80]",
      RUN_ONCE("POST /i/execute"), true },
    { "upload", start_upload, say_upload, "LSSB_OK 2500 2500 2500 2eac2e6c",
      NULL, true },
    { "download", start_download, say_download,
      "LSSB_OK 1 603 603 603 right Mon, 01 Jan 2024 00:00:00 GMT", NULL,
      true },
    { "stat", start_stat, say_stat, "LSSB_OK 603 \"e2\" text/plain", NULL,
      true },
    { "invalid", start_invalid, say_nothing, "LSSB_E_VALIDATION ", NULL,
      false },
    { "create a snapshot", start_snapshot, say_snapshot,
      "LSSB_OK s-1 ready 4096 /tags/0=v1", "POST " API "/snapshots", false },
    { "list snapshots", start_snapshots, say_snapshots, "LSSB_OK 2 1 2", NULL,
      false },
    { "change a registry", start_registry, say_registry, "LSSB_OK reg-1 u",
      NULL, false },
    { "create a volume", start_volume, say_volume, "LSSB_OK v 10Gi default",
      "POST " API "/volumes", false },
    { "service URL", start_service, say_service, "LSSB_OK s t", NULL, false },
    { "glob", start_glob, say_glob, "LSSB_OK 0 1", NULL, true },
    { "service request", start_ask, say_ask,
      "LSSB_OK 404 no such thing text/x", "POST /s/go?a=b", true },
    { "link", start_link, say_download,
      "LSSB_OK 1 603 603 603 right Mon, 01 Jan 2024 00:00:00 GMT", NULL,
      true },
    { "list a directory", start_tools, say_tools, "LSSB_OK a 3;",
      RUN_ONCE("POST /v/execute"), true },
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* ------------------------------------------------------ making the calls -- */

/* Whether it is a command over a WebSocket: found again after every loss. */
static inline bool scenario_is_command(const struct scenario *what)
{
    return LSSB_WEBSOCKET &&
           (what->start == start_run || what->start == start_run_taking ||
            what->start == start_tools);
}

/* Whether it is a request that is not for the service, and so not tried again
 * after a failure. */
static inline bool scenario_is_foreign(const struct scenario *what)
{
    return what->start == start_ask;
}

/* A script whose server answers all of them. */
static inline void scenario_begin(enum script_mode mode)
{
    script_begin(mode, scenario_routes, SCENARIO_ROUTES);
    peers_model(scenario_programs, SCENARIO_PROGRAMS);
}

static inline void call_begin(struct call *call, const struct scenario *what)
{
    memset(call, 0, sizeof *call);
    call->what = what;
    call->args = calloc(1, sizeof *call->args);
    call->op.error = &call->error;
}

/* Writes down what came of a call, then spoils all that it borrowed. */
static inline void call_end(struct call *call, lssb_status status)
{
    int n = sprintf(call->said, "%s ", lssb_status_name(status));

    if (status >= 0)
        call->what->say(call->args, call->said + n);
    call->returned = status;
    memset(call->args, 0xA5, sizeof *call->args);
    free(call->args);
    call->args = NULL;
}

static inline void call_told(lssb_op *op)
{
    struct call *call = op->user;
    lssb_status status = op->status;

    call->told++;
    if (call->told > 1)
        return;
    call_end(call, status);
    memset(op, 0xA5, sizeof *op);   /* the operation is ours again, too */
    op->status = status;
}

/* Makes a call and waits for it. */
static inline void call_wait(struct call *call, lssb_client *client)
{
    lssb_status status = call->what->start(client, call->args, NULL);

    if (status < 0)
        call->error = *lssb_last_error(client);
    call_end(call, status);
}

/* Begins a call. */
static inline void call_start(struct call *call, lssb_client *client)
{
    lssb_status status;

    call->op.done = call_told;
    call->op.user = call;
    status = call->what->start(client, call->args, &call->op);
    EXPECT_INT(status, LSSB_PENDING);
    EXPECT_INT(call->op.status, LSSB_PENDING);
}

#endif
