/* build.c: snapshots from a Dockerfile, on a port that is a script.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each step fails in turn; the build is canceled, late, or its client closed,
 * at every call of the port; and every call of the port fails. Whatever
 * happens, the builder is deleted, and no handle of a file is left open.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scripted_tls.h"
#include "scripted_ws.h"

#define API "/v2/sandboxes"
#define CAPTURED "{\"id\":\"s1\",\"name\":\"snap\",\"status\":\"ready\"}"

/* --------------------------------------------------------------- the files */

/* Those of this machine, counted. */
static lssb_files files;
static int files_open;

static lssb_status counted(lssb_status status)
{
    files_open += status == LSSB_OK;
    return status;
}

static lssb_status count_root(void *context, const char *path,
                              intptr_t *directory, int32_t *code)
{
    return counted(lssb_posix_files.open_root(context, path, directory, code));
}

static lssb_status count_directory(void *context, intptr_t directory,
                                   const char *name, intptr_t *opened,
                                   int32_t *code)
{
    return counted(lssb_posix_files.open_directory(context, directory, name,
                                                   opened, code));
}

static lssb_status count_file(void *context, intptr_t directory,
                              const char *name, intptr_t *file, int32_t *code)
{
    return counted(lssb_posix_files.open_file(context, directory, name, file,
                                              code));
}

static void count_close(void *context, intptr_t handle)
{
    files_open--;
    lssb_posix_files.close(context, handle);
}

static char folder[64];

static void put(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL)
        abort();
    fputs(text, file);
    fclose(file);
}

static void make_folder(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0755) != 0)
        abort();
}

/* A context with a little of everything. */
static void make_context(void)
{
    char path[256];

    strcpy(folder, "/tmp/lssb-build-XXXXXX");
    if (mkdtemp(folder) == NULL)
        abort();
    put("Dockerfile", "FROM scratch\n");
    put(".dockerignore", "left-out\n");
    make_folder("src");
    put("src/a", "hello\n");
    make_folder("left-out");
    put("left-out/b", "never\n");
    make_folder("docker");
    put("docker/own's file", "FROM scratch\n");
    snprintf(path, sizeof path, "%s/link", folder);
    if (symlink("src/a", path) != 0)
        abort();
    files = lssb_posix_files;
    files.open_root = count_root;
    files.open_directory = count_directory;
    files.open_file = count_file;
    files.close = count_close;
}

static void drop_context(void)
{
    char text[128];

    snprintf(text, sizeof text, "rm -rf %s", folder);
    if (system(text) != 0)
        printf("  %s could not be removed\n", folder);
}

/* -------------------------------------------------------------- the server */

/* What the build makes up, by the script's random numbers from 0 on. */
static char builder[80], root[80], image[120];
static char to_box[160], to_upload[240], to_capture[160], to_status[160];
static char deletion[160], box_text[600], box_failed[240];

static void hex(char *to, size_t count, uint32_t *random)
{
    while (count-- > 0) {
        *random = *random * 1103515245 + 12345;
        to += sprintf(to, "%02x", (unsigned)(*random >> 16 & 0xff));
    }
}

static void learn_names(void)
{
    char digits[40];
    uint32_t random = 0;

    hex(digits, 6, &random);
    sprintf(builder, "snapshot-builder-%s", digits);
    hex(digits, 6, &random);
    sprintf(root, "/var/lib/langsmith-build/%s", digits);
    sprintf(to_upload, "POST /box/upload?path=%%2Fvar%%2Flib%%2Flangsmith-build"
            "%%2F%s%%2Fcontext.tar", digits);
    hex(digits, 16, &random);
    sprintf(image, "langsmith-snapshot-build:%s", digits);
    sprintf(to_capture, "POST " API "/boxes/%s/snapshot", builder);
    sprintf(to_status, "GET " API "/boxes/%s/status", builder);
    sprintf(to_box, "GET " API "/boxes/%s", builder);
    sprintf(deletion, "DELETE " API "/boxes/%s", builder);
    sprintf(box_text, "{\"id\":\"b1\",\"name\":\"%s\",\"status\":\"ready\","
            "\"dataplane_url\":\"http://data.test/box\"}", builder);
    sprintf(box_failed, "{\"id\":\"b1\",\"name\":\"%s\",\"status\":"
            "\"failed\"}", builder);
}

/* The scripts that a box is to run: so much of them as the model looks at. */
static char unpack_text[200], build_text[200];

static void learn_scripts(void)
{
    char text[1000];

    sprintf(text, "rm -rf '%s/context' && mkdir -p '%s/context' && "
            "tar -xf '%s/context.tar' -C '%s/context'", root, root, root,
            root);
    memcpy(unpack_text, text, sizeof unpack_text - 1);
    sprintf(text, "set -euo pipefail\n"
            "mkdir -p '%s/buildkit-root' '%s/buildkit-run'\n"
            "buildkitd --addr 'unix://%s/buildkit-run/buildkitd.sock'", root,
            root, root);
    memcpy(build_text, text, sizeof build_text - 1);
}

static struct script_route routes[12];
static struct model_program programs[2];
static const struct model_event unpack_says[] = {
    { 1, 2, "tar: it is cut\n" }
};
static const struct model_event build_says[] = {
    { 1, 2, "#1 FROM scratch\n" }, { 2, 1, "#2 DONE\n" },
    { 400, 2, "last words\n" }
};

/* What the build says, and how its end is said where there is no WebSocket:
 * both streams at once. */
#if LSSB_WEBSOCKET
#define SAID "#1 FROM scratch\n#2 DONE\nlast words\n"
#else
#define SAID "#2 DONE\n#1 FROM scratch\nlast words\n"
#endif
static char unpacked[200], built[4000];

/* How the commands end. */
static void exits(int unpack, int built_with, const char *log)
{
    programs[0].exit_code = unpack;
    programs[0].event_count = unpack != 0;
    programs[1].exit_code = built_with;
    sprintf(unpacked, "{\"stdout\":\"\",\"stderr\":\"%s\",\"exit_code\":%d}",
            unpack != 0 ? "tar: it is cut\\n" : "", unpack);
    sprintf(built, "{\"stdout\":\"%s\",\"stderr\":\"%s\",\"exit_code\":%d}",
            log != NULL ? log : "#2 DONE\\n",
            log != NULL ? "" : "#1 FROM scratch\\nlast words\\n", built_with);
}

/* A service where everything goes well. */
static void serve(void)
{
    static const struct script_route usual[] = {
        { "POST " API "/boxes",
          { { 201, box_text, NULL, SCRIPT_LENGTH, 50 } } },
        { to_upload, { { 200, "{}", NULL, SCRIPT_LENGTH, 50 } } },
        { to_capture, { { 201, "{\"id\":\"s1\",\"name\":\"snap\",\"status\":"
                               "\"building\"}", NULL, SCRIPT_LENGTH, 50 } } },
        { "GET " API "/snapshots/s1", { { 200, CAPTURED, NULL, SCRIPT_LENGTH,
                                          50 } } },
        { deletion, { { 204, NULL, NULL, SCRIPT_LENGTH, 50 },
                      { 404, "{\"detail\":{\"error\":\"NotFound\"}}", NULL,
                        SCRIPT_LENGTH, 0 } } },
        { to_status, { { 200, "{\"status\":\"ready\"}", NULL, SCRIPT_LENGTH,
                         0 } } },
        { to_box, { { 200, box_text, NULL, SCRIPT_LENGTH, 0 } } },
        { "POST /box/execute", { { 200, unpacked, NULL, SCRIPT_LENGTH, 30 },
                                 { 200, built, NULL, SCRIPT_LENGTH, 500 } } }
    };
    static const struct model_program runs[] = {
        { MODEL_PRINTS, unpack_says, 0, 30, 0, false, unpack_text },
        { MODEL_PRINTS, build_says, 3, 500, 0, false, build_text }
    };

    memcpy(routes, usual, sizeof usual);
    memcpy(programs, runs, sizeof runs);
    script_begin(SCRIPT_WHOLE, routes, sizeof usual / sizeof usual[0]);
    peers_model(programs, 2);
    exits(0, 0, NULL);
}

/* ---------------------------------------------------------------- a build */

static struct script_client me;
static lssb_build build;
static lssb_build_options how;
static lssb_snapshot snapshot;
static lssb_op op;
static lssb_error error;
static char heard[4096];            /* of the log */
static char steps[200];             /* their names, in turn */
static int told;
static uint64_t cleaning_at;        /* when that began */

static lssb_status hear(void *user, const void *bytes, size_t len)
{
    (void)user;
    strncat(heard, bytes, len);
    return LSSB_OK;
}

static void hear_step(void *user, lssb_build_step step, uint64_t moved,
                      uint64_t total)
{
    (void)user;
    (void)total;
    if (step == LSSB_BUILD_CLEANING)
        cleaning_at = script.now;
    if (moved == 0 && strlen(steps) < 150) {
        strcat(steps, lssb_build_step_name(step));
        strcat(steps, " ");
    }
}

static void tell(lssb_op *o)
{
    (void)o;
    told++;
}

/* Makes everything ready for a client that is configured. */
static void ready_with_config(void)
{
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
    memset(&build, 0, sizeof build);
    memset(&how, 0, sizeof how);
    memset(&snapshot, 0xee, sizeof snapshot);
    memset(&op, 0, sizeof op);
    memset(&error, 0, sizeof error);
    heard[0] = steps[0] = '\0';
    told = 0;
    how.name = "snap";
    how.files = &files;
    how.context = folder;
    how.on_log = hear;
    how.progress = hear_step;
    op.error = &error;
    op.done = tell;
}

/* Opens a client, and makes everything ready. */
static void ready(void)
{
    script_config(&me.config);
    me.config.slots = 1;
    ready_with_config();
}

static lssb_status start(void)
{
    return lssb_snapshot_build(me.client, &build, &how, &snapshot, &op);
}

/* Whether an answer to the creation says that there is no builder. */
static bool says_there_is_none(int32_t status)
{
    return status == 400 || status == 401 || status == 403 || status == 404 ||
           status == 409 || status == 429;
}

/* What must hold after any build: it was told once, no file is open, and the
 * builder was deleted, or is known to be left. */
static void check(void)
{
    EXPECT_INT(told, 1);
    EXPECT_INT(files_open, 0);
    EXPECT(op.status != LSSB_PENDING);
    if (op.status < 0)
        EXPECT(error.status == op.status && error.message[0] != '\0');
    if (script_heard("POST " API "/boxes") == 0)
        EXPECT(!build.builder_left);
    else if (!says_there_is_none(error.http_status) ||
             build.step != LSSB_BUILD_CREATING)
        EXPECT(script_heard(deletion) > 0 || build.builder_left);
    if (script_heard(deletion) == 0 && op.status == LSSB_OK)
        EXPECT(build.builder_left);
}

static void finish(void)
{
    script.fail_at = 0;
    script.fail_on = false;
    script.each = NULL;
    lssb_wait(me.client, &op, LSSB_FOREVER);
    check();
    script_client_close(&me);
}

/* ----------------------------------------------------------- it goes well */

static void a_dockerfile_becomes_a_snapshot(void)
{
    serve();
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    EXPECT_STR(steps, "");          /* no callback outside of a step */
    finish();
    EXPECT_INT(op.status, LSSB_OK);
    EXPECT_STR(snapshot.id, "s1");
    EXPECT_INT(snapshot.state, LSSB_STATE_READY);
    EXPECT_STR(build.builder, builder);
    EXPECT_STR(steps, "measuring creating uploading extracting building "
                      "capturing cleaning done ");
    EXPECT_STR(heard, SAID);
    EXPECT_STR(build.log, heard);
    EXPECT_INT(build.step, LSSB_BUILD_DONE);
    EXPECT_INT(build.exit_code, 0);
    EXPECT(!build.builder_left);
    EXPECT_INT(build.context_entries, 7);
    EXPECT_INT(script_heard(deletion), 1);
    EXPECT_INT(model.created, LSSB_WEBSOCKET ? 2 : 0);
}

static void the_waiting_form_is_the_same(void)
{
    serve();
    ready();
    EXPECT_INT(lssb_snapshot_build(me.client, &build, &how, &snapshot, NULL),
               LSSB_OK);
    EXPECT_STR(snapshot.id, "s1");
    EXPECT_INT(files_open, 0);
    script_client_close(&me);
}

/* Whether a text was sent over a WebSocket, if there are any. */
static bool said(const char *text)
{
    return !LSSB_WEBSOCKET || strstr(peers.said, text) != NULL;
}

static char creation[1000], capture[1000];

/* Keeps what the builder and the snapshot are asked for with. */
static void keep_bodies(unsigned long call)
{
    (void)call;
    if (strstr(script.body, "\"name\":\"snapshot-builder") != NULL)
        snprintf(creation, sizeof creation, "%.900s", script.body);
    if (strstr(script.body, "\"docker_image\"") != NULL)
        snprintf(capture, sizeof capture, "%.900s", script.body);
}

/* Whether a body has a member, whatever stands before and behind it. */
static bool has(const char *body, const char *member)
{
    return strstr(body, member) != NULL;
}

static void options_go_where_they_belong(void)
{
    static const lssb_pair args[] = { { "ZED", "1" }, { "A", "it's" },
                                      { "B", "" }, { "AB", "x y" } };
    static const lssb_pair labels[] = { { "team", "a" } };
    char text[2000];

    serve();
    ready();
    how.dockerfile = "./docker//own's file";
    how.target = "fin'al";
    how.args = args;
    how.arg_count = 4;
    how.fs_capacity_bytes = 1000;
    how.vcpus = 3;
    how.mem_bytes = 2000;
    how.tag = "v1";
    how.labels = labels;
    how.label_count = 1;
    how.timeout_s = 90;
    how.idle_ttl_s = 120;
    how.delete_after_stop_s = 180;
    script.each = keep_bodies;
    EXPECT_INT(start(), LSSB_PENDING);
    lssb_wait(me.client, &op, LSSB_FOREVER);
    finish();
    EXPECT_INT(op.status, LSSB_OK);
    EXPECT(has(creation, "\"timeout\":90") && has(creation, "\"vcpus\":3") &&
           has(creation, "\"mem_bytes\":2000") &&
           has(creation, "\"fs_capacity_bytes\":1000") &&
           has(creation, "\"idle_ttl_seconds\":120") &&
           has(creation, "\"delete_after_stop_seconds\":180"));
    EXPECT(has(capture, "\"name\":\"snap\"") && has(capture, image) &&
           has(capture, "\"fs_capacity_bytes\":1000") &&
           has(capture, "\"tag\":\"v1\"") &&
           has(capture, "\"labels\":{\"team\":\"a\"}"));
    EXPECT(said("\"timeout_seconds\":90"));
    sprintf(text, "'--local' 'context=%s/context' '--local' 'dockerfile="
            "%s/context/docker' '--opt' 'filename=own'\\\\''s file' "
            "'--output' 'type=docker,name=%s' '--opt' 'target=fin'\\\\''al' "
            "'--opt' 'build-arg:A=it'\\\\''s' '--opt' 'build-arg:AB=x y' "
            "'--opt' 'build-arg:B=' '--opt' 'build-arg:ZED=1' | docker load\\n"
            "rm -rf '%s/buildkit-root' || true\\n\"", root, root, image, root);
    EXPECT(said(text));
}

/* Also where much is left out between two files, and each time passed over. */
static void an_upload_that_is_tried_again_sends_the_same_bytes(void)
{
    const struct script_entry *uploads[2] = { NULL, NULL };
    char name[16], path[256];
    size_t i, n = 0;

    put(".dockerignore", "left-out\nm*\n");
    for (i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "m%u", (unsigned)i);
        put(name, "");
    }
    serve();
    routes[1].replies[1] = routes[1].replies[0];
    routes[1].replies[0].status = 502;
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(op.status, LSSB_OK);
    for (i = 0; i < 200; i++) {
        snprintf(path, sizeof path, "%s/m%u", folder, (unsigned)i);
        unlink(path);
    }
    put(".dockerignore", "left-out\n");
    EXPECT_INT(build.context_entries, 7);
    for (i = 0; i < script.entry_count && n < 2; i++)
        if (strcmp(script.entries[i].line, to_upload) == 0)
            uploads[n++] = &script.entries[i];
    EXPECT_INT(n, 2);
    if (n < 2)
        return;
    EXPECT_INT(uploads[0]->content_len, build.context_bytes);
    EXPECT_INT(uploads[1]->content_len, build.context_bytes);
    EXPECT(uploads[0]->content_sum == uploads[1]->content_sum);
}

static void what_is_wrong_with_the_options_is_said_at_once(void)
{
    static const lssb_pair twice[] = { { "A", "1" }, { "A", "2" } };
    static const lssb_pair equals[] = { { "A=B", "1" } };
    static const lssb_pair none[] = { { "A", NULL } };
    static char long_value[30000];
    lssb_pair much = { "A", long_value };
    static const struct {
        const char *dockerfile, *context, *says;
    } rows[] = {
        { "none", NULL, "dockerfile: there is no such file in the context" },
        { "none/x", NULL, "dockerfile: there is no such directory" },
        { "link/x", NULL, "dockerfile: there is no such directory" },
        { "src", NULL, "dockerfile: it is no file" },
        { "/Dockerfile", NULL, "dockerfile: a path in the context" },
        { "../Dockerfile", NULL, "dockerfile: a path in the context" },
        { "src/..", NULL, "dockerfile: a path in the context" },
        { "", NULL, "dockerfile: a path in the context" },
        { "\xff", NULL, "dockerfile: a path in the context" },
        { NULL, "/nowhere/at/all", "context: it is no directory" },
        { NULL, "/dev/null", "context: it is no directory" }
    };
    size_t i;

    serve();
    ready();
    memset(long_value, 'x', sizeof long_value - 1);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].says;
        how.dockerfile = rows[i].dockerfile;
        how.context = rows[i].context != NULL ? rows[i].context : folder;
        EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
        EXPECT(strstr(error.message, rows[i].says) != NULL);
        EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    }
    test_row = "arguments";
    how.dockerfile = NULL;
    how.context = folder;
    how.arg_count = 1;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    how.args = equals;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    how.args = none;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    how.args = twice;
    how.arg_count = 2;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(strstr(error.message, "twice") != NULL);
    how.args = &much;
    how.arg_count = 1;
    EXPECT_INT(start(), LSSB_E_TOO_LONG);
    how.arg_count = 0;
    how.tag = "\xff";
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(strstr(error.message, "tag: it is no UTF-8") != NULL);
    how.tag = NULL;
    how.label_count = 1;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(strstr(error.message, "label_count is not 0") != NULL);
    how.labels = none;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(strstr(error.message, "labels: a name or a value") != NULL);
    how.labels = NULL;
    how.label_count = 0;
    how.target = "";
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    how.target = NULL;
    how.name = "";
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    how.name = "snap";
    how.files = NULL;
    EXPECT_INT(start(), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_snapshot_build(me.client, NULL, &how, &snapshot, &op),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(files_open, 0);
    EXPECT_INT(told, 0);
    EXPECT_INT(script.entry_count, 0);
    script_client_close(&me);
}

static void a_struct_in_use_is_refused(void)
{
    static lssb_op other;

    serve();
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    EXPECT_INT(lssb_snapshot_build(me.client, &build, &how, &snapshot, &other),
               LSSB_E_BUSY);
    finish();
    EXPECT_INT(op.status, LSSB_OK);
}

/* ------------------------------------------------------------- each fails */

static const struct {
    const char *row;
    size_t route;                   /* 0: creation, 1: upload, 2: capture, 3:
                                       the snapshot, 4: deletion; 9: none */
    struct script_reply reply;
    int exits[2];
    lssb_status status;
    lssb_build_step step;
    unsigned deletions;             /* that are heard */
    const char *says;
} rows[] = {
    { "the name is taken", 0,
      { 409, "{\"detail\":{\"error\":\"Conflict\",\"message\":\"x\"}}", NULL,
        SCRIPT_LENGTH, 0 }, { 0, 0 }, LSSB_E_ALREADY_EXISTS,
      LSSB_BUILD_CREATING, 0, "build snapshot: creating the builder: " },
    { "no permission", 0, { 403, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_AUTH, LSSB_BUILD_CREATING, 0, "creating the builder: " },
    { "no such thing", 0, { 404, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_NOT_FOUND, LSSB_BUILD_CREATING, 0, "creating the builder: " },
    { "a bad request", 0, { 400, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_VALIDATION, LSSB_BUILD_CREATING, 0, "creating the builder: " },
    { "no key", 0, { 401, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_AUTH, LSSB_BUILD_CREATING, 0, "creating the builder: " },
    { "too many boxes", 0,
      { 429, "{\"detail\":{\"error\":\"SandboxQuotaExceeded\",\"message\":"
             "\"x\"}}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_QUOTA, LSSB_BUILD_CREATING, 0, "creating the builder: " },
    { "the builder is not ready in time", 0,
      { 408, "{\"detail\":\"Timeout waiting for sandbox to be ready\"}", NULL,
        SCRIPT_LENGTH, 0 }, { 0, 0 }, LSSB_E_TIMEOUT, LSSB_BUILD_CREATING, 1,
      "creating the builder: " },
    { "the builder's image is not there", 0,
      { 422, "{\"detail\":{\"error\":\"ImagePullFailed\",\"message\":\"x\"}}",
        NULL, SCRIPT_LENGTH, 0 }, { 0, 0 }, LSSB_E_CREATION,
      LSSB_BUILD_CREATING, 1, "creating the builder: " },
    { "the service breaks", 0, { 500, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_API, LSSB_BUILD_CREATING, 1, "creating the builder: " },
    { "no answer comes to the creation", 0,
      { 201, "", NULL, SCRIPT_GONE, 0 }, { 0, 0 }, LSSB_E_CONNECTION,
      LSSB_BUILD_CREATING, 1, "creating the builder: " },
    { "the builder fails", 0,
      { 201, box_failed, NULL, SCRIPT_LENGTH, 0 }, { 0, 0 },
      LSSB_E_CREATION, LSSB_BUILD_CREATING, 1,
      "creating the builder: " },
    { "the upload is refused", 1, { 403, "{}", NULL, SCRIPT_LENGTH, 0 },
      { 0, 0 }, LSSB_E_OPERATION, LSSB_BUILD_UPLOADING, 1,
      "build snapshot: sending the context: " },
    { "the context does not unpack", 9, { 0, NULL, NULL, SCRIPT_LENGTH, 0 },
      { 2, 0 }, LSSB_E_CREATION, LSSB_BUILD_EXTRACTING, 1,
      "build snapshot: unpacking the context: Dockerfile snapshot build "
      "failed with status 2: tar: it is cut" },
    { "the build fails", 9, { 0, NULL, NULL, SCRIPT_LENGTH, 0 }, { 0, 1 },
      LSSB_E_CREATION, LSSB_BUILD_BUILDING, 1,
      "build snapshot: building: Dockerfile snapshot build failed with status "
      "1: " SAID },
    { "the capture is refused", 2, { 500, "{}", NULL, SCRIPT_LENGTH, 0 },
      { 0, 0 }, LSSB_E_API, LSSB_BUILD_CAPTURING, 1,
      "build snapshot: capturing: " },
    { "the snapshot fails", 3,
      { 200, "{\"id\":\"s1\",\"name\":\"snap\",\"status\":\"failed\","
             "\"status_message\":\"no room\"}", NULL, SCRIPT_LENGTH, 0 },
      { 0, 0 }, LSSB_E_CREATION, LSSB_BUILD_CAPTURING, 1, "no room" },
    { "the builder cannot be deleted", 4,
      { 403, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 }, LSSB_OK,
      LSSB_BUILD_DONE, 1, NULL },
    { "somebody else has deleted it", 4,
      { 404, "{}", NULL, SCRIPT_LENGTH, 0 }, { 0, 0 }, LSSB_OK,
      LSSB_BUILD_DONE, 1, NULL }
};

static void whatever_fails_the_builder_is_deleted(void)
{
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].row;
        serve();
        if (rows[i].route < 9) {
            memset(routes[rows[i].route].replies, 0,
                   sizeof routes[rows[i].route].replies);
            routes[rows[i].route].replies[0] = rows[i].reply;
        }
        if (rows[i].reply.body == box_failed)
            routes[5].replies[0].body = "{\"status\":\"failed\"}";
        exits(rows[i].exits[0], rows[i].exits[1], NULL);
        ready();
        EXPECT_INT(start(), LSSB_PENDING);
        finish();
        EXPECT_INT(op.status, rows[i].status);
        EXPECT_INT(build.step, rows[i].step);
        EXPECT_INT(script_heard(deletion), rows[i].deletions);
        EXPECT_INT(build.builder_left, rows[i].reply.status == 403 &&
                                           rows[i].route == 4);
        if (rows[i].says != NULL) {
            strcat(error.message, "\n");    /* the last one of a log went */
            EXPECT(strstr(error.message, rows[i].says) != NULL);
        }
    }
}

/* A TLS backend that fails once, in the handshake or behind a request. */
static enum { TLS_NEVER, TLS_HANDSHAKE, TLS_REQUEST } tls_fails;

static lssb_status tls_pump_fails(void *session)
{
    struct script_tls *tls = session;
    lssb_status status;

    if (tls_fails == TLS_HANDSHAKE)
        tls->dead = LSSB_E_PROTOCOL;
    status = script_tls_pump(session);
    if (tls_fails == TLS_REQUEST && tls->setup->send_buffer[0] == 23 &&
        tls->out_from == tls->out_to)
        status = tls->dead = LSSB_E_PROTOCOL;
    if (tls->dead != LSSB_OK)
        tls_fails = TLS_NEVER;
    return status;
}

static void a_builder_is_looked_for_if_tls_fails_once_it_was_asked_for(void)
{
    lssb_tls_backend backend = script_tls;
    int when;

    backend.pump = tls_pump_fails;
    for (when = TLS_HANDSHAKE; when <= TLS_REQUEST; when++) {
        test_row = when == TLS_HANDSHAKE ? "handshake" : "request";
        serve();
        script_config(&me.config);
        me.config.endpoint = "https://api.test";
        me.config.tls = &backend;
        script.records = true;
        tls_fails = when == TLS_HANDSHAKE ? TLS_HANDSHAKE : TLS_REQUEST;
        ready_with_config();
        EXPECT_INT(start(), LSSB_PENDING);
        finish();
        EXPECT_INT(op.status, LSSB_E_PROTOCOL);
        EXPECT_INT(error.layer, LSSB_LAYER_TLS);
        EXPECT_INT(build.step, LSSB_BUILD_CREATING);
        EXPECT_INT(script_heard("POST " API "/boxes"), when == TLS_REQUEST);
        EXPECT_INT(script_heard(deletion), when == TLS_REQUEST);
        EXPECT(!build.builder_left);
    }
}

static void a_build_that_went_well_leaves_no_words_of_a_failure(void)
{
    char before[LSSB_MESSAGE_SIZE];
    lssb_sandbox box;

    serve();
    routes[4].replies[0].status = 403;
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    lssb_wait(me.client, &op, LSSB_FOREVER);
    EXPECT_INT(op.status, LSSB_OK);
    EXPECT(build.builder_left);
    EXPECT_STR(lssb_error_text(me.client), "");
    EXPECT_INT(lssb_last_error(me.client)->status, LSSB_OK);
    finish();

    serve();
    routes[4].replies[0].status = 403;
    ready();
    EXPECT(lssb_sandbox_get(me.client, "", &box, NULL) < 0);
    strcpy(before, lssb_error_text(me.client));
    EXPECT(before[0] != '\0');
    EXPECT_INT(start(), LSSB_PENDING);
    lssb_wait(me.client, &op, LSSB_FOREVER);
    EXPECT_INT(op.status, LSSB_OK);
    EXPECT_STR(lssb_error_text(me.client), before);
    finish();
}

static void a_server_that_is_silent_is_waited_for_half_a_minute(void)
{
    serve();
    routes[4].replies[0].how = SCRIPT_SILENT;
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(op.status, LSSB_OK);
    EXPECT(build.builder_left);
    EXPECT_INT(script.now - cleaning_at, 30000);
}

static void a_builder_that_may_come_to_be_yet_is_looked_for_again(void)
{
    static const struct script_reply none = { 404, "{}", NULL, SCRIPT_LENGTH,
                                              0 };

    serve();
    routes[0].replies[0].how = SCRIPT_GONE;
    routes[4].replies[0] = none;
    routes[4].replies[1] = none;
    routes[4].replies[2].status = 204;
    routes[4].replies[2].how = SCRIPT_LENGTH;
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(op.status, LSSB_E_CONNECTION);
    EXPECT_INT(script_heard(deletion), 3);
    EXPECT(!build.builder_left);

    serve();
    routes[0].replies[0].how = SCRIPT_GONE;
    routes[4].replies[0] = none;
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(script_heard(deletion), 4);
    EXPECT(!build.builder_left);
    EXPECT(script.now < 15000);
}

static void the_error_has_the_last_lines_of_a_long_log(void)
{
    static char line[2600], escaped[3000];
    static struct model_event much[] = { { 1, 1, line } };
    size_t i;

    for (i = 0; i < 100; i++)
        sprintf(line + strlen(line), "line %zu \xc3\xa4\xc3\xb6\xc3\xbc\n", i);
    strcat(line, "\n\n");
    for (i = 0; line[i] != '\0'; i++)
        sprintf(escaped + strlen(escaped), line[i] == '\n' ? "\\n" : "%c",
                line[i]);
    serve();
    programs[1].events = much;
    programs[1].event_count = 1;
    exits(0, 3, escaped);
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(op.status, LSSB_E_CREATION);
    EXPECT_INT(build.exit_code, 3);
    EXPECT_STR(heard, line);
    EXPECT(strlen(build.log) >= LSSB_BUILD_LOG - 4 &&
           strcmp(build.log, line + strlen(line) - strlen(build.log)) == 0);
    EXPECT(strstr(error.message, "status 3: line 8") != NULL);
    i = strlen(error.message);
    EXPECT_STR(error.message + i - 14, "line 99 \xc3\xa4\xc3\xb6\xc3\xbc");
}

/* As one piece that is longer than what is kept, or as several, beginning
 * anywhere in a character. */
static void a_log_is_kept_from_a_whole_character_on(void)
{
    static char line[2600];
    static struct model_event much[] = { { 1, 1, line } };
    size_t i, n, len;

    for (i = 0; i < 6; i++) {
        for (n = 0, line[0] = '\0'; n < 800; n++)
            strcat(line, "\xe2\x82\xac");
        for (n = 0; n < i % 3; n++)
            strcat(line, "x");
        serve();
        programs[1].events = much;
        programs[1].event_count = 1;
        model.slice = i < 3 ? MODEL_TEXT : 100;
        exits(0, 3, line);
        ready();
        EXPECT_INT(start(), LSSB_PENDING);
        finish();
        EXPECT_INT(op.status, LSSB_E_CREATION);
        len = strlen(build.log);
        EXPECT(len > LSSB_BUILD_LOG - 4 && len < LSSB_BUILD_LOG);
        EXPECT_INT(len % 3, i % 3);
        EXPECT_INT(lssb_utf8_valid(build.log, len), len);
        EXPECT_INT(lssb_utf8_valid(error.message, strlen(error.message)),
                   strlen(error.message));
    }
}

static lssb_status stop(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    return LSSB_E_STOPPED;
}

static void who_hears_the_log_may_stop_the_build(void)
{
    serve();
    ready();
    how.on_log = stop;
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    EXPECT_INT(op.status, LSSB_E_STOPPED);
    EXPECT_INT(build.step, LSSB_BUILD_BUILDING);
    EXPECT_INT(script_heard(deletion), 1);
}

static void a_bad_dockerignore_ends_the_build_before_it_costs_anything(void)
{
    serve();
    put(".dockerignore", "a\nb[\n");
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    finish();
    put(".dockerignore", "left-out\n");
    EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_STR(error.message, "build snapshot: the context: .dockerignore, "
                              "line 2: a pattern is malformed");
    EXPECT_INT(script.entry_count, 0);
}

/* Changes the context as soon as the builder is asked for. */
static void change(unsigned long call)
{
    (void)call;
    if (script_heard("POST " API "/boxes") > 0)
        put("src/a", "this is more than it was before, and needs two blocks "
                     "where one was enough, so that the archive that was "
                     "measured is too short for it: "
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "...................................................."
                     "....................................................");
}

static void a_context_that_changes_ends_the_build(void)
{
    serve();
    ready();
    script.each = change;
    EXPECT_INT(start(), LSSB_PENDING);
    while (op.status == LSSB_PENDING)
        lssb_wait(me.client, &op, LSSB_FOREVER);
    finish();
    put("src/a", "hello\n");
    EXPECT_INT(op.status, LSSB_E_STOPPED);
    EXPECT_INT(build.step, LSSB_BUILD_UPLOADING);
    EXPECT(strstr(error.message, "the tree changed while it was read") != NULL);
    EXPECT_INT(script_heard(deletion), 1);
}

/* ---------------------------------------------------- ended from outside */

static unsigned long cancel_at;

static void cancel(unsigned long call)
{
    if (call == cancel_at)
        lssb_cancel(&op);
}

static void canceled_at_any_call_of_the_port_it_cleans_up(void)
{
    char row[64];
    unsigned canceled = 0, done = 0;
    unsigned seen = 0;

    for (cancel_at = 1; done == 0; cancel_at++) {
        sprintf(row, "call %lu", cancel_at);
        test_row = row;
        serve();
        ready();
        script.each = cancel;
        EXPECT_INT(start(), LSSB_PENDING);
        lssb_wait(me.client, &op, LSSB_FOREVER);
        done = script.calls < cancel_at;
        finish();
        EXPECT(op.status == LSSB_E_CANCELED || op.status == LSSB_OK);
        EXPECT(!build.builder_left);
        EXPECT(op.status == LSSB_OK || snapshot.state != LSSB_STATE_READY);
        canceled += op.status == LSSB_E_CANCELED;
        seen |= 1u << build.step;
        if (test_failures > 3)
            break;
    }
    test_row = "";
    EXPECT(canceled > 50);
    EXPECT((seen & 0xfc) == 0xfc - (1u << LSSB_BUILD_CLEANING) ||
           (seen & 0x7c) == 0x7c);
}

static void canceled_at_once_nothing_was_asked_for(void)
{
    serve();
    ready();
    EXPECT_INT(start(), LSSB_PENDING);
    lssb_cancel(&op);
    finish();
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_INT(script.entry_count, 0);
    EXPECT_STR(error.message, "build snapshot: the context: canceled");
}

static void late_at_any_time_it_cleans_up(void)
{
    char row[64];
    uint32_t ms;
    bool late = true;

    for (ms = 1; late; ms += 7) {
        sprintf(row, "%u ms", (unsigned)ms);
        test_row = row;
        serve();
        ready();
        op.deadline_ms = ms;
        EXPECT_INT(start(), LSSB_PENDING);
        finish();
        late = op.status == LSSB_E_DEADLINE;
        EXPECT(late || op.status == LSSB_OK);
        EXPECT(!build.builder_left);
        if (test_failures > 3)
            break;
    }
    test_row = "";
    EXPECT(ms > 500);
}

static void a_client_that_is_closed_leaves_the_builder_and_says_so(void)
{
    char row[64];
    unsigned steps_left, n, left = 0;
    bool ended = false;

    for (n = 0; !ended; n++) {
        sprintf(row, "step %u", n);
        test_row = row;
        serve();
        ready();
        EXPECT_INT(start(), LSSB_PENDING);
        for (steps_left = n; steps_left > 0 && op.status == LSSB_PENDING;
             steps_left--)
            lssb_wait(me.client, &op, 5);
        ended = op.status != LSSB_PENDING;
        script_client_close(&me);
        EXPECT(op.status == LSSB_E_CANCELED || op.status == LSSB_OK);
        check();
        left += build.builder_left;
        if (test_failures > 3)
            break;
    }
    test_row = "";
    EXPECT(left > 10);
}

static void every_call_of_the_port_may_fail(void)
{
    static const int ios[] = { LSSB_IO_RESET, SCRIPT_END_OF_STREAM,
                               LSSB_IO_REFUSED };
    char row[64];
    unsigned long at;
    size_t i;
    bool more;

    for (i = 0; i < 6; i++) {
        unsigned failed = 0;

        more = true;
        for (at = 1; more; at += i < 3 ? 1 : 5) {
            sprintf(row, "call %lu, failure %zu", at, i);
            test_row = row;
            serve();
            ready();
            script.fail_at = at;
            script.fail_io = ios[i % 3];
            script.fail_on = i >= 3;
            start();
            if (op.status == LSSB_PENDING) {
                lssb_wait(me.client, &op, LSSB_FOREVER);
                more = script.failed != SCRIPT_NOTHING;
                finish();
            } else {
                EXPECT_INT(op.status, LSSB_E_UNSUPPORTED);
                EXPECT_INT(files_open, 0);
                script.fail_at = 0;
                script.fail_on = false;
                script_client_close(&me);
            }
            failed += op.status < 0;
            EXPECT(script.now < 400000);
            if (test_failures > 3)
                break;
        }
        EXPECT(failed > 0);
        if (test_failures > 3)
            break;
    }
    test_row = "";
}

static const struct test tests[] = {
    TEST(a_dockerfile_becomes_a_snapshot),
    TEST(the_waiting_form_is_the_same),
    TEST(options_go_where_they_belong),
    TEST(an_upload_that_is_tried_again_sends_the_same_bytes),
    TEST(what_is_wrong_with_the_options_is_said_at_once),
    TEST(a_struct_in_use_is_refused),
    TEST(whatever_fails_the_builder_is_deleted),
    TEST(a_builder_is_looked_for_if_tls_fails_once_it_was_asked_for),
    TEST(a_build_that_went_well_leaves_no_words_of_a_failure),
    TEST(a_server_that_is_silent_is_waited_for_half_a_minute),
    TEST(a_builder_that_may_come_to_be_yet_is_looked_for_again),
    TEST(the_error_has_the_last_lines_of_a_long_log),
    TEST(a_log_is_kept_from_a_whole_character_on),
    TEST(who_hears_the_log_may_stop_the_build),
    TEST(a_bad_dockerignore_ends_the_build_before_it_costs_anything),
    TEST(a_context_that_changes_ends_the_build),
    TEST(canceled_at_any_call_of_the_port_it_cleans_up),
    TEST(canceled_at_once_nothing_was_asked_for),
    TEST(late_at_any_time_it_cleans_up),
    TEST(a_client_that_is_closed_leaves_the_builder_and_says_so),
    TEST(every_call_of_the_port_may_fail)
};

int main(void)
{
    int failed;

    make_context();
    learn_names();
    learn_scripts();
    failed = TEST_MAIN(tests);
    drop_context();
    return failed;
}
