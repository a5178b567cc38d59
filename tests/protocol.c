/* protocol.c: requests and replies, byte by byte, against transcripts.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, section by
 * section, never from what the library or sandboxd does. The numbers beside
 * the banners are its sections.
 */
#include "../src/config.h"
#include "recorder.h"

#define BASE "/v2/sandboxes"
#define AGENT "User-Agent: lssb/" LSSB_VERSION "\r\n"
#define API_HEAD "Host: api.example.com\r\n" AGENT "X-Api-Key: key-1\r\n"
#define BOX_HEAD "Host: router.example.com\r\n" AGENT "X-Api-Key: key-1\r\n"
#define IDENTITY "Accept-Encoding: identity\r\n"
#define BOUNDARY "lssb-abababababababababababababababab"
#define MINIMAL "{\"name\":\"box-1\"}"
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* --------------------------------------------------------------- clients -- */

static union {
    uint64_t align;
    void *pointer;
    long double number;
    char bytes[8 * 65536];
} memory;
static lssb_client *client;
static lssb_sandbox box, other;
static lssb_error failure;
static lssb_op op;

/* What a test's client is made of, unless it says otherwise. */
static void config_default(lssb_config *config)
{
    memset(config, 0, sizeof *config);
    config->endpoint = "http://api.example.com";
    config->api_key = "key-1";
    config->no_environment = true;
    config->allow_cleartext = true;
    config->memory = &memory;
    config->memory_size = sizeof memory;
    config->port = &rec_port;
}

/* A client, and a box of it as a creation would have left it. */
static void begin_with(const lssb_config *config)
{
    memset(&rec, 0, sizeof rec);
    rec.now = 1000;
    rec.wall = 1790000000;
    EXPECT_INT(lssb_open(&client, config), LSSB_OK);
    memset(&box, 0, sizeof box);
    box.client = client;
    box.state = LSSB_STATE_READY;
    memcpy(box.status, "ready", 6);
    memcpy(box.name, "box-1", 6);
    memcpy(box.dataplane_url, "http://router.example.com/sb-123", 33);
}

static void begin(void)
{
    lssb_config config;

    config_default(&config);
    config.slots = 2;
    begin_with(&config);
}

/* Closes the client; nothing may be left open, no reply unused. */
static void end(void)
{
    EXPECT_INT(rec.reply_at, rec.reply_count);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    EXPECT_INT(rec.open_now, 0);
    EXPECT(!rec.job);
    client = NULL;
}

/* Waits for a call that was begun with `op`, and keeps its error. */
static lssb_status finish(lssb_status begun)
{
    if (begun != LSSB_PENDING)
        return begun;
    return lssb_wait(client, &op, LSSB_FOREVER);
}

/* An operation that keeps its error in `failure`. */
static lssb_op *fresh(void)
{
    memset(&op, 0, sizeof op);
    memset(&failure, 0, sizeof failure);
    op.error = &failure;
    return &op;
}

/* The request of that number is these bytes, and no others. */
static void expect_sent(size_t index, const char *expected)
{
    EXPECT(index < rec.request_count);
    if (index < rec.request_count)
        EXPECT_STR(rec.requests[index].text, expected);
}

/* The same of a request of the API with a JSON body, or none. */
static void expect_api(size_t index, const char *method, const char *path,
                       const char *body)
{
    char expected[REC_TEXT], length[96] = "";

    if (body != NULL)
        snprintf(length, sizeof length, "Content-Type: application/json\r\n"
                 "Content-Length: %u\r\n", (unsigned)strlen(body));
    snprintf(expected, sizeof expected, "%s " BASE "%s HTTP/1.1\r\n" API_HEAD
             "%s\r\n%s", method, path, length, body != NULL ? body : "");
    expect_sent(index, expected);
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* -------------------------------------------------- names in paths (2.1) -- */

static void a_name_is_one_encoded_segment_of_the_path(void)
{
    static const struct {
        const char *name, *path;
    } rows[] = {
        { "box-1", "/boxes/box-1" },
        { "a/b", "/boxes/a%2Fb" },
        { "\xc3\xbc", "/boxes/%C3%BC" },
        { "x?y#z", "/boxes/x%3Fy%23z" },
        { "a b+c", "/boxes/a%20b%2Bc" },
        { "!'()*", "/boxes/%21%27%28%29%2A" },
        { "AZaz09-._~", "/boxes/AZaz09-._~" },
        { "../x", "/boxes/..%2Fx" },
        { "%2e%2e", "/boxes/%252e%252e" },
        { "...", "/boxes/..." }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        SERVE(R(200, MINIMAL));
        EXPECT_INT(lssb_sandbox_get(client, rows[i].name, &other, NULL),
                   LSSB_OK);
        expect_api(0, "GET", rows[i].path, NULL);
    }
    end();
}

static void a_name_that_would_walk_the_path_is_refused_unsent(void)
{
    static const char *const rows[] = { "", ".", ".." };
    lssb_deletion many = { 0 };
    size_t i;

    begin();
    SERVE(R(500, ""));
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        EXPECT_INT(lssb_sandbox_get(client, rows[i], &other, NULL),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(lssb_sandbox_delete_named(client, rows[i], NULL),
                   LSSB_E_INVALID_ARGUMENT);
    }
    many.names = rows;
    many.name_count = 1;
    EXPECT_INT(lssb_sandbox_delete_many(client, &many, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(rec.request_count, 0);
    rec.reply_at = 1;
    end();
}

/* --------------------------------------------------------- headers (1.4) -- */

static void headers_merge_ignoring_case_and_none_is_sent_twice(void)
{
    static const lssb_pair mine[] = { { "X-Team", "infra" },
                                      { "x-api-key", "other" } };
    static const lssb_pair calls[] = { { "x-TEAM", "ops" },
                                       { "user-agent", "me/1" } };
    lssb_config config;

    config_default(&config);
    config.tenant_id = "t-1";
    config.headers = mine;
    config.header_count = 2;
    begin_with(&config);
    SERVE(R(200, MINIMAL), R(200, MINIMAL), R(200, ""));
    EXPECT_INT(lssb_sandbox_get(client, "a", &other, NULL), LSSB_OK);
    expect_sent(0, "GET " BASE "/boxes/a HTTP/1.1\r\nHost: api.example.com\r\n"
                   AGENT "X-Tenant-Id: t-1\r\nX-Team: infra\r\n"
                   "x-api-key: other\r\n\r\n");
    fresh();
    op.headers = calls;
    op.header_count = 2;
    EXPECT_INT(finish(lssb_sandbox_get(client, "a", &other, &op)), LSSB_OK);
    expect_sent(1, "GET " BASE "/boxes/a HTTP/1.1\r\nHost: api.example.com\r\n"
                   "X-Tenant-Id: t-1\r\nx-api-key: other\r\n"
                   "x-TEAM: ops\r\nuser-agent: me/1\r\n\r\n");
    EXPECT_INT(finish(lssb_file_read(&box, "/a", &memory, 0,
                                     &(size_t){ 0 }, &op)), LSSB_OK);
    expect_sent(2, "GET /sb-123/download?path=%2Fa HTTP/1.1\r\n"
                   "Host: router.example.com\r\n"
                   "X-Tenant-Id: t-1\r\nx-api-key: other\r\n"
                   "x-TEAM: ops\r\nuser-agent: me/1\r\n\r\n");
    end();
}

static void without_a_key_no_key_is_sent(void)
{
    lssb_config config;

    config_default(&config);
    config.api_key = NULL;
    config.user_agent = "fw/7";
    config.endpoint = "http://api.example.com:8080/root/v2/sandboxes/";
    begin_with(&config);
    SERVE(R(200, MINIMAL));
    EXPECT_INT(lssb_sandbox_get(client, "a", &other, NULL), LSSB_OK);
    expect_sent(0, "GET /root/v2/sandboxes/boxes/a HTTP/1.1\r\n"
                   "Host: api.example.com:8080\r\nUser-Agent: fw/7\r\n\r\n");
    end();
}

/* ---------------------------------------------------------- create (2.3) -- */

static const lssb_pair env_pairs[] = { { "A", "1" }, { "B", "x\"y\n" } };
static const char *const tag_ids[] = { "t1", "t2" };
static const lssb_run_config app_config = { .user = "app:app",
                                            .work_dir = "/srv",
                                            .env = env_pairs, .env_count = 1 };
static const lssb_run_config srv_config = { .work_dir = "/srv" };
static const lssb_run_config empty_config = { 0 };

static void a_creation_sends_what_is_set_and_nothing_else(void)
{
    static const struct {
        const char *body;
        lssb_sandbox_options options;
    } rows[] = {
        { "{\"wait_for_ready\":true,\"timeout\":30}", { 0 } },
        { "{\"wait_for_ready\":true,\"snapshot_name\":\"python:latest\","
          "\"timeout\":60,\"name\":\"box-1\","
          "\"idle_ttl_seconds\":600,\"delete_after_stop_seconds\":86400,"
          "\"vcpus\":2,\"mem_bytes\":8589934592,"
          "\"fs_capacity_bytes\":4294967296}",
          { .snapshot_name = "python:latest", .timeout_s = 60,
            .name = "box-1", .idle_ttl_s = 600, .delete_after_stop_s = 86400,
            .vcpus = 2, .mem_bytes = UINT64_C(8589934592),
            .fs_capacity_bytes = UINT64_C(4294967296) } },
        { "{\"wait_for_ready\":false,\"snapshot_id\":\"7f0c\"}",
          { .no_wait = true, .snapshot_id = "7f0c", .timeout_s = 60 } },
        { "{\"wait_for_ready\":true,\"timeout\":30,\"run_config\":"
          "{\"user\":\"app:app\",\"work_dir\":\"/srv\",\"env_vars\":"
          "{\"A\":\"1\"}}}", { .run_config = &app_config } },
        { "{\"wait_for_ready\":true,\"timeout\":30,\"run_config\":{}}",
          { .run_config = &empty_config } },
        { "{\"wait_for_ready\":true,\"timeout\":30,\"idle_ttl_seconds\":0,"
          "\"delete_after_stop_seconds\":0}",
          { .idle_ttl_s = LSSB_NEVER, .delete_after_stop_s = LSSB_NEVER } },
        { "{\"wait_for_ready\":true,\"timeout\":30}",
          { .snapshot_id = "", .snapshot_name = "", .name = "" } },
        { "{\"wait_for_ready\":true,\"snapshot\":\"python:3\",\"timeout\":30}",
          { .snapshot = "python:3" } },
        { "{\"wait_for_ready\":true,\"timeout\":30,\"cpu_millicores\":500,"
          "\"env_vars\":{\"A\":\"1\",\"B\":\"x\\\"y\\n\"},"
          "\"labels\":{\"A\":\"1\"},\"tag_value_ids\":[\"t1\",\"t2\"],"
          "\"preserve_memory_on_stop\":true,\"restore_memory\":true}",
          { .cpu_millicores = 500, .env = env_pairs, .env_count = 2,
            .labels = env_pairs, .label_count = 1, .tag_value_ids = tag_ids,
            .tag_value_id_count = 2, .preserve_memory_on_stop = true,
            .restore_memory = 1 } },
        { "{\"wait_for_ready\":true,\"timeout\":30,"
          "\"mem_bytes\":9223372036854775807,\"restore_memory\":false}",
          { .mem_bytes = INT64_MAX, .restore_memory = LSSB_NONE } }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        SERVE(R(201, "{\"name\":\"box-1\"}"));
        EXPECT_INT(lssb_sandbox_create(client, &rows[i].options, &other, NULL),
                   LSSB_OK);
        expect_api(0, "POST", "/boxes", rows[i].body);
    }
    SERVE(R(201, MINIMAL));
    EXPECT_INT(lssb_sandbox_create(client, NULL, &other, NULL), LSSB_OK);
    expect_api(0, "POST", "/boxes", rows[0].body);
    end();
}

static void a_creation_that_cannot_work_is_refused_unsent(void)
{
    static const struct {
        const char *names;
        lssb_sandbox_options options;
    } rows[] = {
        { "snapshot", { .snapshot_id = "a", .snapshot_name = "b" } },
        { "snapshot", { .snapshot_name = "a", .snapshot = "b" } },
        { "idle_ttl_s", { .idle_ttl_s = 61 } },
        { "idle_ttl_s", { .idle_ttl_s = -60 } },
        { "delete_after_stop_s", { .delete_after_stop_s = 30 } },
        { "delete_after_stop_s", { .delete_after_stop_s = -2 } },
        { "mem_bytes", { .mem_bytes = UINT64_MAX } },
        { "UTF-8", { .name = "\xff" } }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].names;
        EXPECT_INT(lssb_sandbox_create(client, &rows[i].options, &other,
                                       fresh()), LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, rows[i].names));
        EXPECT_INT(failure.layer, LSSB_LAYER_CALLER);
    }
    EXPECT_INT(rec.request_count, 0);
    end();
}

/* ---------------------------------- update, delete, … (2.5, 2.6, 2.12) -- */

static void an_update_sends_what_is_set_and_nothing_else(void)
{
    static const struct {
        const char *body;
        lssb_sandbox_update update;
    } rows[] = {
        { "{\"name\":\"box-2\",\"idle_ttl_seconds\":1200,"
          "\"delete_after_stop_seconds\":7200}",
          { .name = "box-2", .idle_ttl_s = 1200,
            .delete_after_stop_s = 7200 } },
        { "{\"name\":\"box-2\"}", { .name = "box-2" } },
        { "{\"idle_ttl_seconds\":0}", { .idle_ttl_s = LSSB_NEVER } },
        { "{\"delete_after_stop_seconds\":0}",
          { .delete_after_stop_s = LSSB_NEVER } },
        { "{\"run_config\":{\"work_dir\":\"/srv\"}}",
          { .run_config = &srv_config } },
        { "{\"run_config\":{}}", { .run_config = &empty_config } },
        { "{\"vcpus\":4,\"cpu_millicores\":4000,\"mem_bytes\":17179869184,"
          "\"fs_capacity_bytes\":8589934592,\"tag_value_ids\":[\"t1\"]}",
          { .vcpus = 4, .cpu_millicores = 4000,
            .mem_bytes = UINT64_C(17179869184),
            .fs_capacity_bytes = UINT64_C(8589934592),
            .tag_value_ids = tag_ids, .tag_value_id_count = 1 } }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        SERVE(R(200, "{\"name\":\"box-2\",\"id\":\"i\"}"));
        other = box;
        EXPECT_INT(lssb_sandbox_change(&other, &rows[i].update, NULL),
                   LSSB_OK);
        expect_api(0, "PATCH", "/boxes/box-1", rows[i].body);
        EXPECT_STR(other.name, "box-2");
    }
    end();
}

static void an_update_of_nothing_is_a_get_and_an_empty_reply_asks_for_the_box(
    void)
{
    static const lssb_sandbox_update none = { 0 }, rename = { .name = "b/2" },
                                     ttl = { .idle_ttl_s = 60 };

    begin();
    SERVE(R(200, MINIMAL), R(200, MINIMAL));
    EXPECT_INT(lssb_sandbox_change(&box, &none, NULL), LSSB_OK);
    EXPECT_INT(lssb_sandbox_change(&box, NULL, NULL), LSSB_OK);
    expect_api(0, "GET", "/boxes/box-1", NULL);
    expect_api(1, "GET", "/boxes/box-1", NULL);
    SERVE(R(200, ""), R(200, "{\"name\":\"box-1\",\"idle_ttl_seconds\":60}"));
    EXPECT_INT(lssb_sandbox_change(&box, &ttl, NULL), LSSB_OK);
    expect_api(1, "GET", "/boxes/box-1", NULL);
    EXPECT_INT(box.idle_ttl_s, 60);
    SERVE(R(200, ""), R(200, "{\"name\":\"b/2\"}"));
    EXPECT_INT(lssb_sandbox_change(&box, &rename, NULL), LSSB_OK);
    expect_api(0, "PATCH", "/boxes/box-1", "{\"name\":\"b/2\"}");
    expect_api(1, "GET", "/boxes/b%2F2", NULL);
    EXPECT_STR(box.name, "b/2");
    end();
}

static void the_small_calls_are_sent_as_the_tables_say(void)
{
    lssb_usage usage;

    begin();
    SERVE({ 204, "", "", REC_BARE, 0 }, { 204, "", "", REC_BARE, 0 },
          R(200, "{\"status\":\"ready\"}"), { 204, "", "", REC_BARE, 0 },
          R(200, "{}"));
    EXPECT_INT(lssb_sandbox_delete(&box, NULL), LSSB_OK);
    expect_api(0, "DELETE", "/boxes/box-1", NULL);
    EXPECT_INT(lssb_sandbox_delete_named(client, "a/b", NULL), LSSB_OK);
    expect_api(1, "DELETE", "/boxes/a%2Fb", NULL);
    EXPECT_INT(lssb_sandbox_status(&box, NULL), LSSB_OK);
    expect_api(2, "GET", "/boxes/box-1/status", NULL);
    EXPECT_INT(lssb_sandbox_stop(&box, NULL), LSSB_OK);
    expect_api(3, "POST", "/boxes/box-1/stop", "{}");
    EXPECT_INT(box.state, LSSB_STATE_STOPPED);
    EXPECT_STR(box.dataplane_url, "http://router.example.com/sb-123");
    EXPECT_INT(lssb_usage_get(client, &usage, NULL), LSSB_OK);
    expect_api(4, "GET", "/usage", NULL);
    EXPECT_INT(usage.templates_count, LSSB_UNKNOWN);
    end();
}

static void a_start_posts_then_polls_then_gets_whatever_its_reply_says(void)
{
    static const char *const replies[] = {
        "{\"name\":\"box-1\",\"status\":\"failed\"}", "", "[1]", "{}"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(replies); i++) {
        test_row = replies[i];
        SERVE(R(202, replies[i]), R(200, "{\"status\":\"stopped\"}"),
              R(200, "{\"status\":\"ready\"}"),
              R(200, "{\"name\":\"box-1\",\"dataplane_url\":\"https://n/\"}"));
        other = box;
        EXPECT_INT(lssb_sandbox_start(&other, 0, NULL), LSSB_OK);
        expect_api(0, "POST", "/boxes/box-1/start", "{}");
        expect_api(1, "GET", "/boxes/box-1/status", NULL);
        expect_api(2, "GET", "/boxes/box-1/status", NULL);
        expect_api(3, "GET", "/boxes/box-1", NULL);
        EXPECT_STR(other.dataplane_url, "https://n/");
        EXPECT_INT(other.state, LSSB_STATE_READY);
    }
    end();
}

struct skips {
    int count;
    char text[256];
};

static void note_skip(void *user, const char *name, const char *reason)
{
    struct skips *skips = user;
    size_t len = strlen(skips->text);

    skips->count++;
    snprintf(skips->text + len, sizeof skips->text - len, "%s:%s;", name,
             reason);
}

static void note_gone(void *user, const char *name)
{
    struct skips *skips = user;
    size_t len = strlen(skips->text);

    snprintf(skips->text + len, sizeof skips->text - len, "%s gone;", name);
}

static void many_are_deleted_at_once_and_each_is_told(void)
{
    static const char *const names[] = { "a", "b", "c\"d" };
    struct skips skips = { 0, "" };
    lssb_deletion many = { 0 };

    many.names = names;
    many.name_count = 3;
    many.skipped = note_skip;
    many.gone = note_gone;
    many.user = &skips;
    begin();
    SERVE(R(200, "{\"deleted\":[\"a\\n\",7],\"skipped\":[{\"name\":\"b\",\"reason\":"
                 "\"in use\"},{\"reason\":null},{\"name\":\"c\\\"d\","
                 "\"x\":[{}]}],\"more\":{\"deleted\":[1,2]}}"));
    EXPECT_INT(lssb_sandbox_delete_many(client, &many, NULL), LSSB_OK);
    expect_api(0, "POST", "/boxes/batch-delete",
               "{\"names\":[\"a\",\"b\",\"c\\\"d\"]}");
    EXPECT_INT(many.deleted, 2);
    EXPECT_INT(many.skipped_count, 3);
    EXPECT_STR(skips.text, "a\n gone; gone;b:in use;:;c\"d:;");
    SERVE(R(200, "{\"deleted\":null}"));
    many.skipped = NULL;
    many.gone = NULL;
    EXPECT_INT(lssb_sandbox_delete_many(client, &many, NULL), LSSB_OK);
    EXPECT_INT(many.deleted, 0);
    EXPECT_INT(many.skipped_count, 0);
    end();
}

/* How long the last reason was. */
static void note_length(void *user, const char *name, const char *reason)
{
    (void)name;
    *(size_t *)user = strlen(reason);
}

static void a_reason_arrives_whole_up_to_the_size_of_a_message(void)
{
    static const struct {
        int sent;
        size_t told;
    } rows[] = { { 127, 127 }, { 128, 128 }, { 383, 383 }, { 384, 383 } };
    static const char *const names[] = { "a" };
    char reply[512];
    lssb_deletion many = { 0 };
    size_t i, told;

    many.names = names;
    many.name_count = 1;
    many.skipped = note_length;
    many.user = &told;
    begin();
    for (i = 0; i < COUNT(rows); i++) {
        snprintf(reply, sizeof reply, "{\"deleted\":[],\"skipped\":[{"
                 "\"name\":\"a\",\"reason\":\"%0*d\"}]}", rows[i].sent, 0);
        SERVE(R(200, reply));
        told = 0;
        EXPECT_INT(lssb_sandbox_delete_many(client, &many, NULL), LSSB_OK);
        EXPECT_INT(told, rows[i].told);
    }
    end();
}

static void usage_arrives_whole(void)
{
    lssb_usage usage;

    begin();
    SERVE(R(200, "{\"cpu_limit_millicores\":1,\"cpu_used_millicores\":2,"
                 "\"memory_limit_bytes\":9007199254740993,"
                 "\"memory_used_bytes\":4.0,\"pools_count\":5,"
                 "\"registries_count\":6,\"sandbox_direct_count\":7,"
                 "\"sandbox_pool_replicas_count\":8,"
                 "\"sandbox_running_count\":9,\"sandbox_stopped_count\":10,"
                 "\"sandboxes_limit\":11,\"sandboxes_used\":12,"
                 "\"snapshots_count\":13,\"templates_count\":14,\"new\":{}}"));
    EXPECT_INT(lssb_usage_get(client, &usage, NULL), LSSB_OK);
    EXPECT_INT(usage.cpu_limit_millicores, 1);
    EXPECT_INT(usage.cpu_used_millicores, 2);
    EXPECT_INT(usage.memory_limit_bytes, INT64_C(9007199254740993));
    EXPECT_INT(usage.memory_used_bytes, 4);
    EXPECT_INT(usage.pools_count, 5);
    EXPECT_INT(usage.registries_count, 6);
    EXPECT_INT(usage.sandbox_direct_count, 7);
    EXPECT_INT(usage.sandbox_pool_replicas_count, 8);
    EXPECT_INT(usage.sandbox_running_count, 9);
    EXPECT_INT(usage.sandbox_stopped_count, 10);
    EXPECT_INT(usage.sandboxes_limit, 11);
    EXPECT_INT(usage.sandboxes_used, 12);
    EXPECT_INT(usage.snapshots_count, 13);
    EXPECT_INT(usage.templates_count, 14);
    end();
}

/* -------------------------------------------- sandbox objects (2.3, A.1) -- */

static const char complete[] =
    "{\n  \"id\": \"550e8400-e29b-41d4-a716-446655440003\",\n"
    "  \"name\": \"box-1\",\n"
    "  \"dataplane_url\": \"https://router.example.com/sb-123\",\n"
    "  \"status\": \"ready\",\n  \"status_message\": null,\n"
    "  \"created_at\": \"2026-08-01T10:00:00Z\",\n"
    "  \"updated_at\": \"2026-08-01T10:00:05.123456Z\",\n"
    "  \"idle_ttl_seconds\": 600,\n"
    "  \"delete_after_stop_seconds\": 1209600,\n  \"stopped_at\": null,\n"
    "  \"snapshot_id\": \"7f0c2a4e-0d0b-4f55-9f0a-7d9d0c3a1b22\",\n"
    "  \"vcpus\": 2,\n  \"cpu_millicores\": 2000,\n"
    "  \"mem_bytes\": 8589934592,\n  \"fs_capacity_bytes\": 4294967296,\n"
    "  \"labels\": {\"team\": \"infra\"},\n"
    "  \"run_config\": {\"user\": \"app:app\", \"work_dir\": \"/srv\", "
    "\"env_vars\": {\"LANG\": \"C.UTF-8\", \"A\": \"1\"}},\n"
    "  \"access_delegation\": {\"mode\": \"EXPLICIT\", \"permissions\": "
    "[\"sandboxes:read\"]},\n  \"preserve_memory_on_stop\": false,\n"
    "  \"size_class\": \"medium\",\n  \"created_by\": \"6e1f\",\n"
    "  \"updated_by\": null,\n  \"mount_config\": null,\n"
    "  \"proxy_config\": {\"rules\": [{\"name\": \"api\", \"match_hosts\": "
    "[\"api.example.com\"], \"headers\": [{\"name\": \"Authorization\", "
    "\"type\": \"opaque\", \"is_set\": true}]}]}\n}\n";

/* The box of the appendix, member by member. */
static void expect_complete(const lssb_sandbox *got)
{
    EXPECT(got->client == client);
    EXPECT_INT(got->state, LSSB_STATE_READY);
    EXPECT_STR(got->status, "ready");
    EXPECT_STR(got->id, "550e8400-e29b-41d4-a716-446655440003");
    EXPECT_STR(got->name, "box-1");
    EXPECT_STR(got->dataplane_url, "https://router.example.com/sb-123");
    EXPECT_STR(got->status_message, "");
    EXPECT_STR(got->snapshot_id, "7f0c2a4e-0d0b-4f55-9f0a-7d9d0c3a1b22");
    EXPECT_STR(got->created_at, "2026-08-01T10:00:00Z");
    EXPECT_STR(got->updated_at, "2026-08-01T10:00:05.123456Z");
    EXPECT_STR(got->stopped_at, "");
    EXPECT_STR(got->created_by, "6e1f");
    EXPECT_STR(got->updated_by, "");
    EXPECT_STR(got->size_class, "medium");
    EXPECT_INT(got->idle_ttl_s, 600);
    EXPECT_INT(got->delete_after_stop_s, 1209600);
    EXPECT_INT(got->vcpus, 2);
    EXPECT_INT(got->cpu_millicores, 2000);
    EXPECT_INT(got->mem_bytes, INT64_C(8589934592));
    EXPECT_INT(got->fs_capacity_bytes, INT64_C(4294967296));
    EXPECT_INT(got->preserve_memory_on_stop, 0);
    EXPECT(got->has_run_config);
}

static void a_complete_box_arrives_however_it_is_framed(void)
{
    begin();
    SERVE(R(201, complete), RF(200, "", complete, REC_CHUNKED, 0),
          RF(200, "", complete, REC_CLOSE, 0));
    EXPECT_INT(lssb_sandbox_create(client, NULL, &other, NULL), LSSB_OK);
    expect_complete(&other);
    EXPECT_INT(lssb_sandbox_get(client, "box-1", &other, NULL), LSSB_OK);
    expect_complete(&other);
    EXPECT_INT(lssb_sandbox_get(client, "box-1", &other, NULL), LSSB_OK);
    expect_complete(&other);
    end();
}

static void a_reply_split_anywhere_is_the_same(void)
{
    static const enum rec_fate fates[] = { REC_LENGTH, REC_CHUNKED };
    size_t i;

    begin();
    for (i = 0; i < 2; i++) {
        for (rec.split = 1; rec.split < sizeof complete + 400; rec.split++) {
            SERVE({ 200, "", complete, fates[i], 0 });
            EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
            EXPECT_INT(other.fs_capacity_bytes, INT64_C(4294967296));
            EXPECT_INT(other.has_run_config, 1);
        }
        rec.split = 0;
        rec.piece = 1;
        SERVE({ 200, "", complete, fates[i], 0 });
        EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
        expect_complete(&other);
        rec.piece = 0;
    }
    end();
}

/* A box of which the reply says nothing. */
static void expect_nothing_known(const lssb_sandbox *got)
{
    EXPECT_INT(got->state, LSSB_STATE_READY);
    EXPECT_STR(got->status, "ready");
    EXPECT_STR(got->id, "");
    EXPECT_STR(got->name, "");
    EXPECT_STR(got->dataplane_url, "");
    EXPECT_STR(got->status_message, "");
    EXPECT_STR(got->snapshot_id, "");
    EXPECT_STR(got->created_at, "");
    EXPECT_STR(got->updated_at, "");
    EXPECT_STR(got->stopped_at, "");
    EXPECT_STR(got->created_by, "");
    EXPECT_STR(got->updated_by, "");
    EXPECT_STR(got->size_class, "");
    EXPECT_INT(got->idle_ttl_s, LSSB_UNKNOWN);
    EXPECT_INT(got->delete_after_stop_s, LSSB_UNKNOWN);
    EXPECT_INT(got->vcpus, LSSB_UNKNOWN);
    EXPECT_INT(got->cpu_millicores, LSSB_UNKNOWN);
    EXPECT_INT(got->mem_bytes, LSSB_UNKNOWN);
    EXPECT_INT(got->fs_capacity_bytes, LSSB_UNKNOWN);
    EXPECT_INT(got->preserve_memory_on_stop, LSSB_UNKNOWN);
    EXPECT(!got->has_run_config);
}

static void missing_null_and_strange_members_get_their_defaults(void)
{
    static const char *const rows[] = {
        "{}",
        "{\"id\":null,\"name\":null,\"dataplane_url\":null,\"status\":null,"
        "\"status_message\":null,\"created_at\":null,\"updated_at\":null,"
        "\"stopped_at\":null,\"idle_ttl_seconds\":null,"
        "\"delete_after_stop_seconds\":null,\"snapshot_id\":null,"
        "\"vcpus\":null,\"mem_bytes\":null,\"fs_capacity_bytes\":null,"
        "\"run_config\":null,\"cpu_millicores\":null,\"created_by\":null,"
        "\"updated_by\":null,\"preserve_memory_on_stop\":null,"
        "\"size_class\":null}",
        "{\"x\":1,\"y\":-1.5e300,\"z\":true,\"w\":null,\"v\":\"name\",\"u\":"
        "{\"name\":\"no\",\"status\":\"failed\",\"o\":{\"id\":\"no\"}},\"t\":"
        "[[{\"vcpus\":7}],[],{}],\"labels\":{\"name\":\"no\"},"
        "\"access_delegation\":{\"status\":\"failed\"}}"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        memset(&other, 0x55, sizeof other);
        SERVE(R(200, rows[i]));
        EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
        expect_nothing_known(&other);
    }
    end();
}

static void numbers_are_64_bits_and_integral_floats_count(void)
{
    begin();
    SERVE(R(200, "{\"mem_bytes\":9223372036854775807,\"vcpus\":2.0,"
                 "\"fs_capacity_bytes\":4.294967296e9,"
                 "\"cpu_millicores\":9007199254740993,"
                 "\"idle_ttl_seconds\":0,\"delete_after_stop_seconds\":0e0,"
                 "\"preserve_memory_on_stop\":true}"));
    EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
    EXPECT_INT(other.mem_bytes, INT64_MAX);
    EXPECT_INT(other.vcpus, 2);
    EXPECT_INT(other.fs_capacity_bytes, INT64_C(4294967296));
    EXPECT_INT(other.cpu_millicores, INT64_C(9007199254740993));
    EXPECT_INT(other.idle_ttl_s, 0);
    EXPECT_INT(other.delete_after_stop_s, 0);
    EXPECT_INT(other.preserve_memory_on_stop, 1);
    end();
}

static void status_words_name_states_and_new_words_are_kept(void)
{
    static const struct {
        const char *word;
        lssb_state state;
        const char *kept;
    } rows[] = {
        { "provisioning", LSSB_STATE_PROVISIONING, "provisioning" },
        { "ready", LSSB_STATE_READY, "ready" },
        { "failed", LSSB_STATE_FAILED, "failed" },
        { "stopped", LSSB_STATE_STOPPED, "stopped" },
        { "deleting", LSSB_STATE_DELETING, "deleting" },
        { "hibernating", LSSB_STATE_OTHER, "hibernating" },
        { "Ready", LSSB_STATE_OTHER, "Ready" },
        { "a-word-that-is-too-long", LSSB_STATE_OTHER, "a-word-that-is-" }
    };
    char body[128];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].word;
        snprintf(body, sizeof body, "{\"status\":\"%s\"}", rows[i].word);
        SERVE(R(200, body), R(200, body));
        EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
        EXPECT_INT(other.state, rows[i].state);
        EXPECT_STR(other.status, rows[i].kept);
        EXPECT_INT(lssb_sandbox_status(&box, NULL), LSSB_OK);
        EXPECT_INT(box.state, rows[i].state);
    }
    end();
}

static void a_status_without_a_word_is_provisioning(void)
{
    static const char *const rows[] = { "{}", "{\"status\":null}" };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(R(200, rows[i]));
        EXPECT_INT(lssb_sandbox_status(&box, NULL), LSSB_OK);
        EXPECT_INT(box.state, LSSB_STATE_PROVISIONING);
        EXPECT_STR(box.name, "box-1");
    }
    SERVE(R(200, "{\"status\":\"failed\",\"status_message\":"
                 "\"No capacity available\"}"));
    EXPECT_INT(lssb_sandbox_status(&box, NULL), LSSB_OK);
    EXPECT_STR(box.status_message, "No capacity available");
    end();
}

static void a_string_that_does_not_fit_fails_and_is_named(void)
{
    static const struct {
        const char *member;
        size_t room;
    } rows[] = {
        { "id", LSSB_ID_SIZE }, { "name", LSSB_NAME_SIZE },
        { "dataplane_url", LSSB_URL_SIZE }, { "snapshot_id", LSSB_ID_SIZE },
        { "created_at", LSSB_TIME_SIZE }, { "updated_at", LSSB_TIME_SIZE },
        { "stopped_at", LSSB_TIME_SIZE }, { "created_by", LSSB_ID_SIZE },
        { "updated_by", LSSB_ID_SIZE }
    };
    char body[1024], text[LSSB_URL_SIZE + 1], quoted[40];
    size_t i, extra;

    begin();
    for (i = 0; i < COUNT(rows); i++)
        for (extra = 0; extra < 2; extra++) {
            test_row = rows[i].member;
            memset(text, 'x', sizeof text);
            text[rows[i].room - 1 + extra] = '\0';
            snprintf(body, sizeof body, "{\"%s\":\"%s\"}", rows[i].member,
                     text);
            snprintf(quoted, sizeof quoted, "\"%s\"", rows[i].member);
            SERVE(R(200, body));
            EXPECT_INT(finish(lssb_sandbox_get(client, "b", &other, fresh())),
                       extra == 0 ? LSSB_OK : LSSB_E_TOO_LONG);
            if (extra == 1)
                EXPECT(contains(failure.message, quoted));
        }
    end();
}

static void a_long_message_is_cut_between_characters(void)
{
    char body[1024] = "{\"status_message\":\"x";
    size_t i;

    for (i = 0; i < 200; i++)
        strcat(body, "\xc3\xbc");
    strcat(body, "\"}");
    begin();
    SERVE(R(200, body));
    EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
    EXPECT_INT(strlen(other.status_message), 255);
    EXPECT_INT((uint8_t)other.status_message[254], 0xbc);
    end();
}

static void a_reply_that_is_no_box_is_a_protocol_failure(void)
{
    static const char *const rows[] = { "", "[]", "null", "7", "\"box\"",
                                        "{\"name\":", "<html>", "{}{}" };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(R(200, rows[i]));
        EXPECT_INT(finish(lssb_sandbox_get(client, "b", &other, fresh())),
                   LSSB_E_PROTOCOL);
        EXPECT_INT(failure.layer, LSSB_LAYER_JSON);
    }
    end();
}

static void a_box_that_cannot_be_read_says_why(void)
{
    char body[2048], *at;
    size_t i;

    begin();
    SERVE(R(200, "{\"id\":\"i\",\"name\":\"a\\u0000b\"}"));
    EXPECT_INT(finish(lssb_sandbox_get(client, "b", &other, fresh())),
               LSSB_E_PROTOCOL);
    EXPECT_STR(failure.message,
               "the sandbox's \"name\" in the reply has a NUL in it");
    at = body + sprintf(body, "{\"name\":{");
    for (i = 0; i < LSSB_TOKENS; i++)
        at += sprintf(at, "\"%u\":1,", (unsigned)i);
    strcpy(at - 1, "}}");
    SERVE(R(200, body));
    EXPECT_INT(finish(lssb_sandbox_get(client, "b", &other, fresh())),
               LSSB_E_PROTOCOL);
    EXPECT(contains(failure.message, "the sandbox in the reply has more"));
    EXPECT(contains(failure.message, "LSSB_TOKENS"));
    end();
}

static void interim_replies_are_skipped(void)
{
    begin();
    SERVE({ 103, "Link: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\n",
            MINIMAL, REC_BARE, 0 });
    EXPECT_INT(lssb_sandbox_get(client, "b", &other, NULL), LSSB_OK);
    EXPECT_STR(other.name, "box-1");
    end();
}

struct details_text {
    char text[1024];
};

static lssb_status note_detail(void *user, const char *path, const char *value,
                               size_t len)
{
    struct details_text *into = user;
    size_t at = strlen(into->text);

    snprintf(into->text + at, sizeof into->text - at, "%s=%.*s\n", path,
             (int)len, value);
    return LSSB_OK;
}

static void members_without_a_place_go_to_the_callback(void)
{
    struct details_text into = { "" };
    lssb_details details = { note_detail, NULL };

    details.user = &into;
    begin();
    SERVE(R(200, complete));
    EXPECT_INT(lssb_sandbox_get_details(client, "b", &other, &details, NULL),
               LSSB_OK);
    expect_complete(&other);
    EXPECT_STR(into.text,
               "/labels/team=infra\n/run_config/user=app:app\n"
               "/run_config/work_dir=/srv\n/run_config/env_vars/LANG=C.UTF-8\n"
               "/run_config/env_vars/A=1\n/access_delegation/mode=EXPLICIT\n"
               "/access_delegation/permissions/0=sandboxes:read\n"
               "/mount_config=null\n/proxy_config/rules/0/name=api\n"
               "/proxy_config/rules/0/match_hosts/0=api.example.com\n"
               "/proxy_config/rules/0/headers/0/name=Authorization\n"
               "/proxy_config/rules/0/headers/0/type=opaque\n"
               "/proxy_config/rules/0/headers/0/is_set=true\n");
    end();
}

/* ------------------------------------------------------- errors (9, 2.3) -- */

enum endpoint { CREATE, GET, LIST, CHANGE, DELETE, STATUS, START, STOP, MANY,
                USAGE, RUN, WRITE, READ, DOWNLOAD, STAT, WAIT };

static lssb_status take_nothing(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    return LSSB_OK;
}

static lssb_result run_result;
static lssb_file file;
static char room[64];
static size_t room_len;

/* Makes a call with `op`, retries or not. */
static lssb_status call(enum endpoint which)
{
    static const lssb_sandbox_update rename = { .name = "box-2" };
    static const char *const names[] = { "a" };
    static lssb_usage usage;
    static lssb_deletion many = { .names = names, .name_count = 1 };
    static lssb_sandbox_list list;
    static lssb_download download = { .take = take_nothing };
    static size_t count;

    fresh();
    memset(&list, 0, sizeof list);
    switch (which) {
    case CREATE: return finish(lssb_sandbox_create(client, NULL, &other, &op));
    case GET: return finish(lssb_sandbox_get(client, "box-1", &other, &op));
    case LIST:
        return finish(lssb_sandbox_next(client, &list, &other, 1, &count,
                                        &op));
    case CHANGE: return finish(lssb_sandbox_change(&box, &rename, &op));
    case DELETE: return finish(lssb_sandbox_delete(&box, &op));
    case STATUS: return finish(lssb_sandbox_status(&box, &op));
    case START: return finish(lssb_sandbox_start(&box, 0, &op));
    case STOP: return finish(lssb_sandbox_stop(&box, &op));
    case MANY: return finish(lssb_sandbox_delete_many(client, &many, &op));
    case USAGE: return finish(lssb_usage_get(client, &usage, &op));
    case RUN: return finish(lssb_run(&box, "true", NULL, &run_result, &op));
    case WRITE: return finish(lssb_file_write(&box, "/f", "abc", 3, &op));
    case READ:
        return finish(lssb_file_read(&box, "/f", room, sizeof room, &room_len,
                                     &op));
    case DOWNLOAD:
        return finish(lssb_file_download(&box, "/f", &download, &file, &op));
    case STAT: return finish(lssb_file_stat(&box, "/f", &file, &op));
    case WAIT: return finish(lssb_sandbox_wait(&box, 0, &op));
    }
    return LSSB_E_UNSUPPORTED;
}

struct refusal {
    enum endpoint endpoint;
    int status;
    const char *body;
    lssb_status means;
    lssb_resource resource;
    const char *type, *field, *quota, *operation, *message;
};

#define NONE LSSB_RESOURCE_NONE
#define SANDBOX LSSB_RESOURCE_SANDBOX
#define SNAPSHOT LSSB_RESOURCE_SNAPSHOT
#define IN_FILE LSSB_RESOURCE_FILE
#define NOT_FOUND LSSB_E_NOT_FOUND
#define DETAIL(type, message) \
    "{\"detail\":{\"error\":\"" type "\",\"message\":\"" message "\"}}"

/* NULL for a message: any text that is no part of the body. */
static const struct refusal refusals[] = {
    /* Creation errors of A.1 and 2.3. */
    { CREATE, 408, "{\"detail\":\"Timeout waiting for sandbox to be ready\"}",
      LSSB_E_TIMEOUT, SANDBOX, "", "", "", "",
      "Timeout waiting for sandbox to be ready" },
    { CREATE, 504, "{\"detail\":\"late\"}", LSSB_E_TIMEOUT, SANDBOX, "", "",
      "", "", "late" },
    { CREATE, 422, "{\"detail\":[{\"loc\":[\"body\",\"vcpus\"],\"msg\":"
      "\"ensure this value is greater than 0\",\"type\":\"value_error\"}]}",
      LSSB_E_VALIDATION, NONE, "", "vcpus", "", "",
      "ensure this value is greater than 0" },
    { CREATE, 422, "{\"detail\":[{\"loc\":[\"body\",\"name\"],\"msg\":"
      "\"field required\",\"type\":\"value_error.missing\"}]}",
      LSSB_E_VALIDATION, NONE, "", "name", "", "", "field required" },
    { CREATE, 422, "{\"detail\":[{\"msg\":\"bad\",\"type\":\"value_error\"}]}",
      LSSB_E_VALIDATION, NONE, "", "", "", "", "bad" },
    { CREATE, 422, "{\"detail\":[{\"msg\":\"a\",\"type\":\"x\"},{\"msg\":\"b\","
      "\"type\":\"x\"},{\"msg\":\"c\",\"type\":\"x\"},{\"msg\":\"d\",\"type\":"
      "\"value_error\"}]}",
      LSSB_E_VALIDATION, NONE, "", "", "", "", "a; b; c; d" },
    { CREATE, 422, "{\"detail\":[{\"msg\":\"bad\",\"type\":\"other\"}]}",
      LSSB_E_CREATION, SANDBOX, "", "", "", "", "bad" },
    { CREATE, 422, DETAIL("ImagePullFailed", "Failed to pull image foo:latest"),
      LSSB_E_CREATION, SANDBOX, "ImagePullFailed", "", "", "",
      "Failed to pull image foo:latest" },
    { CREATE, 429, DETAIL("QuotaExceeded", "Limit of 10 sandbox(es) per "
      "organization exceeded. Current usage: 8 sandboxes, Requested: 5 "
      "additional."), LSSB_E_QUOTA, NONE, "QuotaExceeded", "",
      "sandbox_count", "", "Limit of 10 sandbox(es) per organization exceeded. "
      "Current usage: 8 sandboxes, Requested: 5 additional." },
    { CREATE, 429, "{\"detail\":\"CPU exceeded\"}", LSSB_E_QUOTA, NONE, "", "",
      "cpu", "", "CPU exceeded" },
    { CREATE, 503, "{\"detail\":{\"message\":\"No nodes available\"}}",
      LSSB_E_CREATION, SANDBOX, "Unschedulable", "", "", "",
      "No nodes available" },
    { CREATE, 503, DETAIL("VolumeProvisioning", "m"), LSSB_E_CREATION, SANDBOX,
      "VolumeProvisioning", "", "", "", "m" },
    { CREATE, 401, "{\"detail\":\"Invalid API key\"}", LSSB_E_AUTH, NONE, "",
      "", "", "", "Invalid API key" },
    { CREATE, 403, DETAIL("Forbidden", "sandbox access denied: not the "
      "creator and missing sandboxes:exec"), LSSB_E_AUTH, NONE, "Forbidden",
      "", "", "", "sandbox access denied: not the creator and missing "
      "sandboxes:exec" },
    { CREATE, 404, DETAIL("not_found", "not found"), NOT_FOUND, NONE,
      "not_found", "", "", "", "not found" },
    { CREATE, 409, DETAIL("Conflict", "taken"), LSSB_E_ALREADY_EXISTS, SANDBOX,
      "Conflict", "", "", "", "taken" },
    { CREATE, 400, DETAIL("SnapshotNotFound", "no such snapshot"), NOT_FOUND,
      SNAPSHOT, "SnapshotNotFound", "", "", "", "no such snapshot" },
    { CREATE, 400, "{\"detail\":{\"error\":\"InvalidRequest\",\"message\":"
      "\"work_dir must be absolute\",\"error_id\":\"e-7\"}}",
      LSSB_E_VALIDATION, NONE, "InvalidRequest", "", "", "",
      "work_dir must be absolute (error_id=e-7)" },
    { CREATE, 500, "{\"detail\":\"boom\"}", LSSB_E_API, NONE, "", "", "", "",
      "boom" },
    { CREATE, 502, DETAIL("ConnectionError", "gone"), LSSB_E_CONNECTION, NONE,
      "ConnectionError", "", "", "", "gone" },
    { CREATE, 502, "<html>Bad Gateway</html>", LSSB_E_REFUSED, NONE, "", "",
      "", "", NULL },
    { CREATE, 418, "{\"detail\":\"teapot\"}", LSSB_E_REFUSED, NONE, "", "", "",
      "", "teapot" },
    /* 2.4 to 2.6. */
    { LIST, 404, "{\"detail\":\"Not Found\"}", LSSB_E_API, NONE, "", "", "",
      "", "API endpoint not found, check the endpoint: Not Found" },
    { LIST, 404, "", LSSB_E_API, NONE, "", "", "", "", NULL },
    { LIST, 400, "{\"detail\":\"mixed\"}", LSSB_E_REFUSED, NONE, "", "", "",
      "", "mixed" },
    { GET, 404, "{\"detail\":\"Sandbox 'box-1' not found\"}", NOT_FOUND,
      SANDBOX, "", "", "", "", "sandbox box-1: Sandbox 'box-1' not found" },
    { STATUS, 404, "", NOT_FOUND, SANDBOX, "", "", "", "", NULL },
    { DELETE, 404, "", NOT_FOUND, SANDBOX, "", "", "", "", NULL },
    { START, 404, "", NOT_FOUND, SANDBOX, "", "", "", "", NULL },
    { START, 409, "{\"detail\":\"running\"}", LSSB_E_REFUSED, NONE, "", "", "",
      "", "running" },
    { STOP, 404, "", NOT_FOUND, SANDBOX, "", "", "", "", NULL },
    { CHANGE, 404, "", NOT_FOUND, SANDBOX, "", "", "", "", NULL },
    { CHANGE, 409, DETAIL("Conflict", "Name already in use"),
      LSSB_E_NAME_CONFLICT, SANDBOX, "Conflict", "", "", "",
      "Name already in use" },
    { CHANGE, 400, DETAIL("InvalidRequest", "no"), LSSB_E_REFUSED, NONE,
      "InvalidRequest", "", "", "", "no" },
    { CHANGE, 422, "{\"detail\":[{\"loc\":[\"body\",\"tags\",2],\"msg\":\"m\"}"
      "]}", LSSB_E_VALIDATION, NONE, "", "2", "", "", "m" },
    { USAGE, 404, "", NOT_FOUND, NONE, "", "", "", "", NULL },
    { MANY, 404, "", NOT_FOUND, NONE, "", "", "", "", NULL },
    /* 9.4. */
    { GET, 401, "", LSSB_E_AUTH, NONE, "", "", "", "", NULL },
    { GET, 403, "", LSSB_E_AUTH, NONE, "", "", "", "", NULL },
    { GET, 422, "", LSSB_E_VALIDATION, NONE, "", "", "", "", NULL },
    { GET, 429, "", LSSB_E_QUOTA, NONE, "", "", "", "", NULL },
    { GET, 500, "", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 502, DETAIL("ConnectionError", "m"), LSSB_E_CONNECTION, NONE,
      "ConnectionError", "", "", "", "m" },
    { GET, 502, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 400, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 405, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 408, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 409, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 410, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 413, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 503, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 504, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 301, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 302, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { GET, 304, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    /* 9.3: the rules, and their order. */
    { GET, 429, "{\"detail\":\"Sandbox LIMIT\"}", LSSB_E_QUOTA, NONE, "", "",
      "sandbox_count", "", "Sandbox LIMIT" },
    { GET, 429, "{\"detail\":\"sandbox count\"}", LSSB_E_QUOTA, NONE, "", "",
      "sandbox_count", "", "sandbox count" },
    { GET, 429, "{\"detail\":\"CPU limit for sandboxes exceeded\"}",
      LSSB_E_QUOTA, NONE, "", "", "sandbox_count", "",
      "CPU limit for sandboxes exceeded" },
    { GET, 429, "{\"detail\":\"cpu and memory\"}", LSSB_E_QUOTA, NONE, "", "",
      "cpu", "", "cpu and memory" },
    { GET, 429, "{\"detail\":\"Memory of storage volume limit\"}",
      LSSB_E_QUOTA, NONE, "", "", "memory", "",
      "Memory of storage volume limit" },
    { GET, 429, "{\"detail\":\"volume count of storage\"}", LSSB_E_QUOTA, NONE,
      "", "", "volume_count", "", "volume count of storage" },
    { GET, 429, "{\"detail\":\"volume storage\"}", LSSB_E_QUOTA, NONE, "", "",
      "storage", "", "volume storage" },
    { GET, 429, "{\"detail\":\"slow down\"}", LSSB_E_QUOTA, NONE, "", "", "",
      "", "slow down" },
    { GET, 429, "{\"detail\":{\"message\":\"slow down\",\"error_id\":\"cpu\"}}",
      LSSB_E_QUOTA, NONE, "", "", "", "", "slow down (error_id=cpu)" },
    /* 9.2: every form of a body. */
    { GET, 500, "{\"detail\":[{\"loc\":[\"body\",\"a\"],\"msg\":\"m1\",\"type\""
      ":\"value_error\"},{\"loc\":[\"query\"],\"msg\":\"m2\"}]}", LSSB_E_API,
      NONE, "", "a", "", "", "m1; m2" },
    { GET, 500, "{\"detail\":[\"one\",\"two\"]}", LSSB_E_API, NONE, "", "", "",
      "", "one; two" },
    { GET, 500, "{\"detail\":[]}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":{}}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":\"\"}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":null}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":17}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":true}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":[[1],{\"a\":{}},null,3]}", LSSB_E_API, NONE, "",
      "", "", "", "" },
    { GET, 500, "{\"detail\":{\"error\":[1],\"message\":{\"a\":\"b\"},"
      "\"error_id\":5}}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":{\"error\":\"T\"}}", LSSB_E_API, NONE, "T", "",
      "", "", NULL },
    { GET, 500, "{\"error\":\"T\",\"message\":\"M\"}", LSSB_E_API, NONE, "T",
      "", "", "", "M" },
    { GET, 500, "{}", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "[1,2]", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "null", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "not json", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":\"cut", LSSB_E_API, NONE, "", "", "", "", NULL },
    { GET, 500, "{\"detail\":\"\\u00fc \\\"q\\\"\"}", LSSB_E_API, NONE, "", "",
      "", "", "\xc3\xbc \"q\"" },
    /* 4.4, in its order. */
#if !LSSB_WEBSOCKET
    { RUN, 500, DETAIL("CommandError", "m"), LSSB_E_OPERATION, NONE,
      "CommandError", "", "", "command", "m" },
#endif
    { WRITE, 500, DETAIL("WriteError", "disk full"), LSSB_E_OPERATION, NONE,
      "WriteError", "", "", "write", "disk full" },
    { READ, 500, DETAIL("ReadError", "is a directory"), LSSB_E_OPERATION, NONE,
      "ReadError", "", "", "read", "is a directory" },
    { WRITE, 403, DETAIL("WriteError", "m"), LSSB_E_OPERATION, NONE,
      "WriteError", "", "", "write", "m" },
    { WRITE, 404, DETAIL("WriteError", "m"), LSSB_E_OPERATION, NONE,
      "WriteError", "", "", "write", "m" },
    { WRITE, 403, DETAIL("FileNotFound", "m"), LSSB_E_OPERATION, NONE,
      "PermissionDenied", "", "", "", "m" },
#if !LSSB_WEBSOCKET
    { RUN, 502, DETAIL("ConnectionError", "m"), LSSB_E_CONNECTION, NONE,
      "ConnectionError", "", "", "", "m" },
    { RUN, 400, DETAIL("NotReady", "m"), LSSB_E_NOT_READY, NONE, "NotReady",
      "", "", "", "m" },
#endif
    { READ, 503, DETAIL("ServiceUnavailable", "Sandbox is starting: sb-123"),
      LSSB_E_NOT_READY, NONE, "ServiceUnavailable", "", "", "",
      "Sandbox is starting: sb-123" },
    { READ, 503, DETAIL("NotReady", "m"), LSSB_E_REFUSED, NONE, "NotReady", "",
      "", "", "m" },
    { READ, 404, "{\"error\":\"NotFound\",\"message\":\"file not found\"}",
      NOT_FOUND, IN_FILE, "NotFound", "", "", "",
      "file /f in sandbox box-1: file not found" },
    { READ, 500, DETAIL("FileNotFound", "m"), NOT_FOUND, IN_FILE,
      "FileNotFound", "", "", "", "file /f in sandbox box-1: m" },
#if !LSSB_WEBSOCKET
    { RUN, 404, "", NOT_FOUND, IN_FILE, "", "", "", "", NULL },
    { RUN, 401, "{\"detail\":\"key\"}", LSSB_E_AUTH, NONE, "", "", "", "",
      "key" },
    { RUN, 400, DETAIL("InvalidRequest", "run_config cannot be combined with "
      "env or cwd"), LSSB_E_REFUSED, NONE, "InvalidRequest", "", "", "",
      "run_config cannot be combined with env or cwd" },
    { RUN, 422, "{\"detail\":\"m\"}", LSSB_E_REFUSED, NONE, "", "", "", "",
      "m" },
    { RUN, 500, "{\"detail\":\"m\"}", LSSB_E_REFUSED, NONE, "", "", "", "",
      "m" },
#endif
    { WRITE, 413, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { STAT, 404, "", NOT_FOUND, IN_FILE, "", "", "", "", NULL },
    { STAT, 403, "", LSSB_E_OPERATION, NONE, "PermissionDenied", "", "", "",
      NULL },
    { STAT, 500, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { DOWNLOAD, 404, "", NOT_FOUND, IN_FILE, "", "", "", "", NULL },
    { DOWNLOAD, 304, "", LSSB_E_REFUSED, NONE, "", "", "", "", NULL },
    { DOWNLOAD, 416, "invalid range", LSSB_E_OPERATION, NONE, "", "", "",
      "read", NULL }
};

static void every_refusal_means_what_the_tables_say(void)
{
    lssb_config config;
    char label[64], status[16];
    size_t i;

    config_default(&config);
    config.slots = 2;
    config.retries = LSSB_NONE;
    begin_with(&config);
    for (i = 0; i < COUNT(refusals); i++) {
        const struct refusal *row = &refusals[i];
        lssb_sandbox before = box;

        snprintf(label, sizeof label, "%u: %d %.30s", (unsigned)i, row->status,
                 row->body);
        snprintf(status, sizeof status, " %d ", row->status);
        test_row = label;
        if (row->endpoint == STAT || row->status == 304)
            SERVE({ row->status, "", "", REC_BARE, 0 });
        else
            SERVE(R(row->status, row->body));
        EXPECT_STR(lssb_status_name(call(row->endpoint)),
                   lssb_status_name(row->means));
        EXPECT_INT(failure.status, row->means);
        EXPECT_INT(failure.http_status, row->status);
        EXPECT_INT(failure.layer, LSSB_LAYER_SERVICE);
        EXPECT_STR(lssb_resource_name(failure.resource),
                   lssb_resource_name(row->resource));
        EXPECT_STR(failure.type, row->type);
        EXPECT_STR(failure.field, row->field);
        EXPECT_STR(failure.quota, row->quota);
        EXPECT_STR(failure.operation, row->operation);
        EXPECT_INT(failure.attempts, 1);
        if (row->message != NULL && row->message[0] != '\0')
            EXPECT_STR(failure.message, row->message);
        if (row->message == NULL) {     /* a default: the status, the place */
            EXPECT(contains(failure.message, status));
            EXPECT(contains(failure.message, "example.com/"));
            EXPECT(row->body[0] == '\0' ||
                   !contains(failure.message, row->body));
        }
        EXPECT(failure.message[0] != '\0');
        EXPECT_STR(lssb_error_text(client), failure.message);
        EXPECT_INT(rec.request_count, 1);
        EXPECT_STR(box.name, before.name);
        EXPECT_STR(box.status, before.status);
    }
    end();
}

static void a_wrapped_message_of_any_length_is_bounded(void)
{
    static char body[24000];
    lssb_config config;
    size_t i;

    config_default(&config);
    config.retries = LSSB_NONE;
    begin_with(&config);
    memset(body, 'x', 20480);       /* HTML, as good as */
    SERVE(R(500, body));
    EXPECT_INT(call(GET), LSSB_E_API);
    EXPECT(!contains(failure.message, "xxxx"));
    EXPECT(contains(failure.message, " 500 "));
    strcpy(body, "{\"detail\":\"");
    for (i = 0; i < 4000; i++)
        strcat(body, "\xc3\xbc");
    strcat(body, "\"}");
    SERVE(R(404, body));
    EXPECT_INT(call(LIST), LSSB_E_API);
    EXPECT(strlen(failure.message) < LSSB_MESSAGE_SIZE);
    EXPECT(strlen(failure.message) > LSSB_MESSAGE_SIZE - 4);
    i = strlen(failure.message);
    EXPECT_INT((uint8_t)failure.message[i - 1], 0xbc);
    end();
}

static void problems_are_kept_and_counted(void)
{
    begin();
    SERVE(R(422, "{\"detail\":["
                 "{\"loc\":[\"body\",\"vcpus\"],\"msg\":\"m1\","
                 "\"type\":\"t1\"},"
                 "{\"loc\":[\"body\",\"tags\",0],\"msg\":\"m2\",\"type\":\"t2\"},"
                 "{\"loc\":[],\"msg\":\"m3\"},{\"msg\":\"m4\"},\"m5\"]}"));
    EXPECT_INT(call(CREATE), LSSB_E_VALIDATION);
    EXPECT_INT(failure.problem_count, 5);
    EXPECT_STR(failure.problems[0].where, "body.vcpus");
    EXPECT_STR(failure.problems[0].message, "m1");
    EXPECT_STR(failure.problems[0].type, "t1");
    EXPECT_STR(failure.problems[1].where, "body.tags.0");
    EXPECT_STR(failure.problems[2].where, "");
    EXPECT_STR(failure.problems[2].message, "m3");
    EXPECT_STR(failure.field, "vcpus");
    EXPECT_STR(failure.message, "m1; m2; m3; m4; m5");
    end();
}

static void what_a_server_says_steers_no_terminal(void)
{
    begin();
    SERVE(R(500, "{\"detail\":{\"message\":\"a\\u001b[31mb\\u0007\\n"
                 "c\\td\\u007f\",\"error_id\":\"e\\n\\r1\"}}"));
    EXPECT_INT(call(USAGE), LSSB_E_API);
    EXPECT(contains(failure.message, "a?[31mb?\nc\td? (error_id=e"));
    EXPECT_STR(failure.error_id, "e??1");
    SERVE(R(422, "{\"detail\":[{\"loc\":[\"body\",\"\\u001bx\"],"
                 "\"msg\":\"\\u001b[2J\",\"type\":\"t\\u0001\"}]}"));
    EXPECT(call(USAGE) < 0);
    EXPECT_STR(failure.problems[0].where, "body.?x");
    EXPECT_STR(failure.problems[0].message, "?[2J");
    EXPECT_STR(failure.problems[0].type, "t?");
    end();
}

static void the_id_of_an_error_is_kept_and_shown(void)
{
    static const struct {
        const char *body, *id, *ends;
    } rows[] = {
        { "{\"detail\":{\"message\":\"M\",\"error_id\":\"e-1\"}}", "e-1",
          "M (error_id=e-1)" },
        { "{\"detail\":{\"error_id\":\"e-2\"}}", "e-2", " (error_id=e-2)" },
        { "{\"detail\":{\"message\":\"M\",\"error_id\":\"\"}}", "", "M" },
        { "{\"detail\":{\"message\":\"M\",\"error_id\":null}}", "", "M" }
    };
    size_t i, len;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        SERVE(R(500, rows[i].body));
        EXPECT_INT(call(USAGE), LSSB_E_API);
        EXPECT_STR(failure.error_id, rows[i].id);
        len = strlen(failure.message) - strlen(rows[i].ends);
        EXPECT_STR(failure.message + len, rows[i].ends);
    }
    EXPECT_STR(failure.message, "M");
    end();
}

/* ----------------------------------------------------------- retries (8) -- */

#define BUSY DETAIL("Busy", "m")
#define STARTING DETAIL("ServiceUnavailable", "m")
#define UNREADY DETAIL("NotReady", "m")
#define OVER DETAIL("QuotaExceeded", "cpu limit")
#define AFTER_7 "Retry-After: 7\r\n"

/* Whether a first failure of a kind is followed by a second request. */
static void retries_follow_the_table_row_by_row(void)
{
    static const struct {
        const char *name;
        struct rec_reply first;
        bool idempotent, creates, execute;
    } rows[] = {
        { "refused", REFUSED, true, true, true },
        { "lost", LOST, true, false, false },
        { "cut", RF(200, "", "{\"name\":\"a\"}", REC_CUT, 5), true, false,
          false },
        { "502", R(502, ""), true, false, false },
        { "503", R(503, BUSY), true, false, false },
        { "503 ServiceUnavailable", R(503, STARTING), true, false, true },
        { "400 NotReady", R(400, UNREADY), false, false, true },
        { "504", R(504, ""), true, false, false },
        { "429", R(429, BUSY), true, false, false },
        { "429, Retry-After", RH(429, AFTER_7, BUSY), true, true, true },
        { "429, Retry-After, quota", RH(429, AFTER_7, OVER), true, false,
          false },
        { "500", R(500, BUSY), false, false, false },
        { "401", R(401, ""), false, false, false },
        { "404", R(404, ""), false, false, false },
        { "409", R(409, ""), false, false, false }
    };
    static const struct {
        enum endpoint endpoint;
        char kind;                  /* a column */
        struct rec_reply after;
        size_t more;                /* requests after a success */
    } calls[] = {
        { GET, 'i', R(200, MINIMAL), 0 },
        { LIST, 'i', R(200, "{\"items\":[{}]}"), 0 },
        { CHANGE, 'i', R(200, MINIMAL), 0 },
        { DELETE, 'i', R(200, ""), 0 },
        { STATUS, 'i', R(200, "{}"), 0 },
        { USAGE, 'i', R(200, "{}"), 0 },
        { WRITE, 'i', R(200, "{}"), 0 },
        { READ, 'i', R(200, "{}"), 0 },
        { DOWNLOAD, 'i', R(200, "{}"), 0 },
        { STAT, 'i', RF(200, "Content-Length: 1\r\n", "", REC_BARE, 0), 0 },
        { CREATE, 'c', R(201, MINIMAL), 0 },
        { STOP, 'c', R(200, ""), 0 },
        { MANY, 'c', R(200, "{}"), 0 },
#if !LSSB_WEBSOCKET
        { RUN, 'e', R(200, "{}"), 0 }
#endif
    };
    char label[64];
    size_t i, j;

    for (i = 0; i < COUNT(rows); i++)
        for (j = 0; j < COUNT(calls); j++) {
            bool again = calls[j].kind == 'i'   ? rows[i].idempotent
                         : calls[j].kind == 'c' ? rows[i].creates
                                                : rows[i].execute;
            struct rec_reply first = rows[i].first;
            lssb_status status;
            uint64_t took;

            snprintf(label, sizeof label, "%s, endpoint %d", rows[i].name,
                     (int)calls[j].endpoint);
            test_row = label;
            if ((calls[j].endpoint == STAT || calls[j].endpoint == DOWNLOAD) &&
                first.fate == REC_CUT)
                continue;           /* no body to cut; see 4.6 below */
            if (calls[j].endpoint == STAT && first.fate == REC_LENGTH) {
                first.fate = REC_BARE;
                first.body = "";
            }
            begin();
            SERVE(first, calls[j].after);
            if (!again)
                rec.reply_count = 1;
            took = rec.now;
            status = call(calls[j].endpoint);
            took = rec.now - took;
            EXPECT_INT(status >= 0, again);
            EXPECT_INT(rec.request_count + (first.fate == REC_REFUSED),
                       again ? 2 : 1);
            if (again && strstr(first.headers, "Retry-After") != NULL)
                EXPECT(took >= 7000 && took < 8100);
            else if (again)
                EXPECT(took >= 1000 && took <= 2000);
            else
                EXPECT(took < 1000);
            end();
        }
}

static void attempts_are_four_with_pauses_of_the_table(void)
{
    static const uint32_t randoms[] = { 0, 999 };
    uint64_t from;
    size_t i;

    for (i = 0; i < 2; i++) {
        begin();
        rec.random = randoms[i];
        SERVE(R(503, BUSY), R(502, BUSY), R(504, BUSY), R(503, BUSY));
        EXPECT_INT(call(GET), LSSB_E_REFUSED);
        EXPECT_INT(failure.attempts, 4);
        EXPECT_INT(failure.http_status, 503);
        from = rec.requests[0].at;
        EXPECT_INT(rec.requests[1].at - from, 1000 + randoms[i]);
        from = rec.requests[1].at;
        EXPECT_INT(rec.requests[2].at - from, 2000 + randoms[i]);
        from = rec.requests[2].at;
        EXPECT_INT(rec.requests[3].at - from, 4000 + randoms[i]);
        end();
        begin();
        rec.random = randoms[i];
        SERVE(REFUSED, REFUSED, REFUSED, REFUSED);
        EXPECT_INT(call(CREATE), LSSB_E_CONNECTION);
        EXPECT_INT(failure.attempts, 4);
        EXPECT_INT(failure.layer, LSSB_LAYER_CONNECT);
        EXPECT(rec.now >= 8000 + 3 * randoms[i]);
        end();
    }
}

static void long_waits_are_capped(void)
{
    lssb_config config;
    size_t i;

    config_default(&config);
    config.retries = 7;
    begin_with(&config);
    rec.random = 999;
    SERVE(REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED,
          R(200, MINIMAL));
    EXPECT_INT(call(GET), LSSB_OK);
    EXPECT(rec.now >= 1000 + 1999 + 2999 + 4999 + 8999 + 3 * 10000);
    EXPECT(rec.now < 1000 + 1999 + 2999 + 4999 + 8999 + 3 * 10000 + 2500);
    SERVE(RH(429, "Retry-After: 86400\r\n", BUSY), R(200, MINIMAL));
    EXPECT_INT(call(GET), LSSB_OK);
    EXPECT_INT(rec.requests[1].at - rec.requests[0].at, 60000);
    i = rec.request_count;
    EXPECT_INT(i, 2);
    end();
}

static void a_retry_after_is_read_in_every_form(void)
{
    static const struct {
        const char *value;
        uint32_t least, most;
    } rows[] = {
        { "0", 0, 1 }, { "3", 3000, 3000 }, { "0.5", 500, 500 },
        { "Sat, 21 Nov 2026 02:00:10 GMT", 9000, 10000 },
        { "-5", 1000, 2000 }, { "soon", 1000, 2000 }, { "", 1000, 2000 },
        { "1e3", 1000, 2000 }
    };
    char header[64];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        uint64_t took;

        test_row = rows[i].value;
        snprintf(header, sizeof header, "Retry-After: %s\r\n", rows[i].value);
        rec.wall = 1795226400 - (int64_t)(rec.now / 1000);
        SERVE(RH(429, header, BUSY), R(200, MINIMAL));
        EXPECT_INT(call(GET), LSSB_OK);
        took = rec.requests[1].at - rec.requests[0].at;
        EXPECT(took >= rows[i].least && took <= rows[i].most);
    }
    end();
}

static void a_retry_stays_inside_the_callers_deadline(void)
{
    begin();
    SERVE(RH(429, AFTER_7, BUSY));
    fresh();
    op.deadline_ms = 7000;
    EXPECT_INT(finish(lssb_sandbox_get(client, "b", &other, &op)),
               LSSB_E_QUOTA);
    EXPECT_INT(failure.retry_after_ms, 7000);
    EXPECT_INT(rec.request_count, 1);
    EXPECT(rec.now < 1100);
    end();
}

static void a_repeated_delete_that_finds_nothing_has_succeeded(void)
{
    begin();
    SERVE(LOST, R(404, ""));
    EXPECT_INT(call(DELETE), LSSB_OK);
    end();
    begin();                        /* nothing arrived before: it is not there */
    SERVE(REFUSED, R(404, ""));
    EXPECT_INT(call(DELETE), LSSB_E_NOT_FOUND);
    SERVE(RH(429, AFTER_7, BUSY), R(404, ""));
    EXPECT_INT(call(DELETE), LSSB_E_NOT_FOUND);
    end();
    begin();                        /* a connection that was kept too long */
    SERVE(R(200, MINIMAL), LOST, R(404, ""));
    EXPECT_INT(call(GET), LSSB_OK);
    EXPECT_INT(call(DELETE), LSSB_OK);
    EXPECT_INT(rec.request_count, 3);
    end();
}

static void a_repeated_rename_that_finds_its_own_work_has_succeeded(void)
{
    static const int statuses[] = { 404, 409 };
    size_t i;

    for (i = 0; i < 2; i++) {
        begin();
        memcpy(box.id, "id-1", 5);
        SERVE(LOST, R(statuses[i], ""),
              R(200, "{\"name\":\"box-2\",\"id\":\"id-1\"}"));
        EXPECT_INT(call(CHANGE), LSSB_OK);
        expect_api(2, "GET", "/boxes/box-2", NULL);
        EXPECT_STR(box.name, "box-2");
        end();
        begin();                    /* the name is another's */
        memcpy(box.id, "id-1", 5);
        SERVE(LOST, R(statuses[i], ""),
              R(200, "{\"name\":\"box-2\",\"id\":\"id-9\"}"));
        EXPECT_INT(call(CHANGE), statuses[i] == 404 ? LSSB_E_NOT_FOUND
                                                    : LSSB_E_NAME_CONFLICT);
        EXPECT_STR(box.name, "box-1");
        EXPECT_STR(box.id, "id-1");
        EXPECT_INT(failure.http_status, statuses[i]);
        end();
        begin();                    /* nothing was sent before: a true refusal */
        SERVE(REFUSED, R(statuses[i], ""));
        EXPECT(call(CHANGE) < 0);
        end();
    }
}

/* ----------------------------------------------------------- waits (3.2) -- */

#define STATE(word) R(200, "{\"status\":\"" word "\",\"status_message\":null}")

static void a_wait_polls_the_status_then_gets_the_box(void)
{
    static const uint32_t randoms[] = { 0, 199 };
    size_t i, j;

    for (j = 0; j < 2; j++) {
        begin();
        rec.random = randoms[j];
        SERVE(STATE("provisioning"), STATE("hibernating"), R(200, "{}"),
              STATE("ready"), R(200, complete));
        EXPECT_INT(lssb_sandbox_wait(&box, 0, NULL), LSSB_OK);
        for (i = 0; i < 4; i++)
            expect_api(i, "GET", "/boxes/box-1/status", NULL);
        expect_api(4, "GET", "/boxes/box-1", NULL);
        for (i = 0; i < 3; i++) {
            uint64_t pause = rec.requests[i + 1].at - rec.requests[i].at;

            EXPECT(pause >= 900 && pause <= 1100);
            EXPECT_INT(pause, 900 + randoms[j]);
        }
        EXPECT_INT(rec.requests[4].at, rec.requests[3].at);
        expect_complete(&box);
        end();
    }
}

static void a_ready_box_is_not_checked_again(void)
{
    begin();
    SERVE(STATE("ready"), R(200, "{\"status\":\"stopped\"}"));
    EXPECT_INT(lssb_sandbox_wait(&box, 1, NULL), LSSB_OK);
    EXPECT_INT(box.state, LSSB_STATE_STOPPED);
    end();
}

static void a_wait_ends_with_the_state_that_ends_it(void)
{
    static const struct {
        const char *body, *message, *last;
    } rows[] = {
        { "{\"status\":\"failed\",\"status_message\":\"No capacity available\"}",
          "No capacity available", "failed" },
        { "{\"status\":\"failed\"}", "Sandbox provisioning failed", "failed" },
        { "{\"status\":\"deleting\"}", "deleted", "deleting" },
        { "{\"status\":\"stopped\"}", "stopped", "stopped" }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        begin();
        SERVE(STATE("provisioning"), R(200, rows[i].body));
        EXPECT_INT(call(WAIT), LSSB_E_CREATION);
        EXPECT(contains(failure.message, rows[i].message));
        EXPECT_STR(failure.last_status, rows[i].last);
        EXPECT_STR(failure.type, "");
        EXPECT_INT(failure.resource, LSSB_RESOURCE_SANDBOX);
        end();
    }
}

static void a_wait_of_a_time_polls_last_at_its_end(void)
{
    uint64_t start;

    begin();
    SERVE(STATE("provisioning"), STATE("provisioning"), STATE("provisioning"),
          STATE("odd"));
    rec.random = 0;
    start = rec.now;
    fresh();
    EXPECT_INT(finish(lssb_sandbox_wait(&box, 2, &op)), LSSB_E_TIMEOUT);
    EXPECT_INT(rec.requests[3].at - start, 2000);
    EXPECT_INT(failure.resource, LSSB_RESOURCE_SANDBOX);
    EXPECT_STR(failure.last_status, "odd");
    EXPECT(contains(failure.message, "box-1"));
    EXPECT(contains(failure.message, " 2 s"));
    EXPECT(contains(failure.message, "(last_status: odd)"));
    end();
}

static void a_wait_without_a_time_lasts_two_minutes(void)
{
    struct rec_reply replies[REC_REQUESTS];
    const struct rec_reply not_yet = STATE("provisioning");
    size_t i;
    uint64_t start;

    for (i = 0; i < COUNT(replies); i++)
        replies[i] = not_yet;
    begin();
    rec_serve(replies, COUNT(replies));
    start = rec.now;
    fresh();
    EXPECT_INT(lssb_sandbox_wait(&box, 0, &op), LSSB_PENDING);
    while (lssb_wait(client, &op, 20000) == LSSB_AGAIN) {
        rec_serve(replies, COUNT(replies));
        EXPECT(rec.now - start < 120000);
    }
    EXPECT_INT(op.status, LSSB_E_TIMEOUT);
    EXPECT_INT(rec.now - start, 120000);
    EXPECT(contains(failure.message, " 120 s"));
    rec.reply_at = rec.reply_count;
    end();
}

static void a_box_that_vanishes_or_an_error_ends_a_wait(void)
{
    begin();
    SERVE(STATE("provisioning"), R(404, ""));
    EXPECT_INT(call(WAIT), LSSB_E_NOT_FOUND);
    EXPECT_INT(failure.resource, LSSB_RESOURCE_SANDBOX);
    SERVE(STATE("provisioning"), R(500, ""));
    EXPECT_INT(call(WAIT), LSSB_E_API);
    SERVE(STATE("provisioning"), R(503, ""), STATE("ready"), R(200, MINIMAL));
    EXPECT_INT(call(WAIT), LSSB_OK);
    end();
}

static void a_box_that_stays_failed_ends_the_start_at_the_fourth_poll(void)
{
    begin();
    box.state = LSSB_STATE_FAILED;
    SERVE(R(202, ""), STATE("failed"), STATE("failed"), STATE("failed"),
          STATE("failed"), STATE("ready"), R(200, MINIMAL));
    EXPECT_INT(call(START), LSSB_E_CREATION);
    EXPECT_INT(rec.request_count, 5);
    box.state = LSSB_STATE_FAILED;
    SERVE(R(202, ""), STATE("failed"), STATE("failed"), STATE("failed"),
          STATE("ready"), R(200, MINIMAL));
    EXPECT_INT(call(START), LSSB_OK);
    EXPECT_INT(rec.request_count, 6);
    end();
}

static void a_start_outlives_the_state_from_before_it(void)
{
    begin();
    box.state = LSSB_STATE_FAILED;
    SERVE(R(202, ""), STATE("failed"), STATE("provisioning"), STATE("ready"),
          R(200, MINIMAL));
    EXPECT_INT(call(START), LSSB_OK);
    box.state = LSSB_STATE_STOPPED;
    SERVE(R(202, ""), STATE("stopped"), STATE("failed"));
    EXPECT_INT(call(START), LSSB_E_CREATION);
    end();
}

static void a_creation_waits_for_a_box_that_is_not_ready_yet(void)
{
    static const lssb_sandbox_options quick = { .no_wait = true };

    begin();
    SERVE(R(201, "{\"id\":\"550e\",\"name\":\"box-1\",\"status\":"
                 "\"provisioning\",\"dataplane_url\":null}"),
          STATE("provisioning"), STATE("ready"), R(200, complete));
    EXPECT_INT(call(CREATE), LSSB_OK);
    expect_api(1, "GET", "/boxes/box-1/status", NULL);
    expect_complete(&other);
    SERVE(R(201, "{\"name\":\"box-1\",\"status\":\"provisioning\"}"));
    EXPECT_INT(lssb_sandbox_create(client, &quick, &other, NULL), LSSB_OK);
    EXPECT_INT(other.state, LSSB_STATE_PROVISIONING);
    EXPECT_INT(lssb_run(&other, "true", NULL, &run_result, NULL),
               LSSB_E_NOT_CONFIGURED);
    SERVE(R(201, "{\"name\":\"box-7\",\"status\":\"provisioning\"}"),
          R(200, "{\"status\":\"failed\",\"status_message\":\"why\"}"));
    EXPECT_INT(call(CREATE), LSSB_E_CREATION);
    EXPECT_STR(other.name, "box-7");
    end();
}

/* ----------------------------------------------------------- lists (2.4) -- */

static lssb_sandbox page[4];
static lssb_sandbox_list walk;

/* The next boxes, their names joined. */
static lssb_status next(size_t max, char *names, size_t size)
{
    size_t i, count = 99;
    lssb_status status = lssb_sandbox_next(client, &walk, page, max, &count,
                                           NULL);

    names[0] = '\0';
    for (i = 0; i < count && i < COUNT(page); i++)
        snprintf(names + strlen(names), size - strlen(names), "%s",
                 page[i].name);
    EXPECT(count <= max);
    return status;
}

static void expect_next(size_t max, const char *expected)
{
    char names[64];

    EXPECT_INT(next(max, names, sizeof names),
               expected[0] != '\0' ? LSSB_OK : LSSB_END);
    EXPECT_STR(names, expected);
}

static void every_filter_is_encoded_into_the_query(void)
{
    static const char *const labels[] = { "team=in&fra", "gpu" };

    begin();
    memset(&walk, 0, sizeof walk);
    walk.name_contains = "a b/\xc3\xbc";
    walk.status = "ready";
    walk.created_by = "me";
    walk.labels = labels;
    walk.label_count = 2;
    walk.sort_by = "name";
    walk.sort_order = "asc";
    SERVE(R(200, "{\"items\":[{\"name\":\"a\"}],\"next_cursor\":\"c+/=\"}"),
          R(200, "{\"items\":[{\"name\":\"b\"}],\"next_cursor\":null}"));
    expect_next(2, "a");
    expect_next(2, "b");
    expect_next(2, "");
    expect_api(0, "GET", "/boxes?page_size=2&name_contains=a%20b%2F%C3%BC"
               "&status=ready&created_by=me&label=team%3Din%26fra&label=gpu"
               "&sort_by=name&sort_order=asc", NULL);
    expect_api(1, "GET", "/boxes?page_size=2&cursor=c%2B%2F%3D&name_contains="
               "a%20b%2F%C3%BC&status=ready&created_by=me&label=team%3Din%26fra"
               "&label=gpu&sort_by=name&sort_order=asc", NULL);
    end();
    begin();                        /* an older server: only its own words */
    memset(&walk.reserved, 0, sizeof walk.reserved);
    SERVE(R(200, "{\"sandboxes\":[{\"name\":\"a\"}],\"offset\":0}"),
          R(200, "{\"sandboxes\":[],\"offset\":0}"));
    expect_next(2, "a");
    expect_next(2, "");
    expect_api(1, "GET", "/boxes?limit=2&offset=1&name_contains="
               "a%20b%2F%C3%BC&status=ready&created_by=me&label=team%3Din%26fra"
               "&label=gpu&sort_by=name&sort_direction=asc", NULL);
    end();
}

/* What a page may look like that is the last one. */
static void a_last_page_ends_the_walk(void)
{
    static const char *const rows[] = {
        "{\"items\":[{\"name\":\"a\"}],\"next_cursor\":null}",
        "{\"items\":[{\"name\":\"a\"}],\"next_cursor\":\"\"}",
        "{\"items\":[{\"name\":\"a\"}]}",
        "{\"items\":[{\"name\":\"a\"}],\"next_cursor\":7}",
        "{\"next_cursor\":null,\"items\":[{\"name\":\"a\"}],\"sandboxes\":"
        "[{\"name\":\"a\"}],\"offset\":0}",
        "{\"sandboxes\":[{\"name\":\"a\"}],\"offset\":0,\"items\":"
        "[{\"name\":\"a\"}],\"next_cursor\":null}",
        "{\"items\":null,\"next_cursor\":null,\"sandboxes\":[{\"name\":\"a\"}]}",
        "{\"sandboxes\":null,\"items\":[{\"name\":\"a\",\"x\":[{\"name\":"
        "\"no\"}]}],\"x\":[{\"name\":\"no\"}]}"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        memset(&walk, 0, sizeof walk);
        SERVE(R(200, rows[i]));
        expect_next(4, "a");
        expect_next(4, "");
        expect_api(0, "GET", "/boxes?page_size=4", NULL);
        EXPECT_INT(rec.request_count, 1);
    }
    end();
}

static void an_empty_list_has_no_boxes(void)
{
    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, "{\"items\":[],\"next_cursor\":\"more\"}"));
    expect_next(4, "");
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, "{\"sandboxes\":[]}"), R(200, "{}"));
    expect_next(4, "");
    rec.reply_at = rec.reply_count; /* whether it asks twice is its affair */
    end();
}

static void a_cursor_that_repeats_ends_the_walk(void)
{
    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, "{\"items\":[{\"name\":\"a\"}],\"next_cursor\":\"c1\"}"),
          R(200, "{\"items\":[{\"name\":\"b\"}],\"next_cursor\":\"c2\"}"),
          R(200, "{\"items\":[{\"name\":\"c\"}],\"next_cursor\":\"c2\"}"));
    expect_next(4, "a");
    expect_next(4, "b");
    expect_next(4, "c");
    expect_next(4, "");
    expect_api(0, "GET", "/boxes?page_size=4", NULL);
    expect_api(1, "GET", "/boxes?page_size=4&cursor=c1", NULL);
    expect_api(2, "GET", "/boxes?page_size=4&cursor=c2", NULL);
    end();
}

#define BOX(name) "{\"name\":\"" name "\"}"
#define BOXES(list) "{\"sandboxes\":[" list "]}"

static void a_server_that_does_not_page_tells_each_box_once(void)
{
    static const struct {
        const char *name, *reply;
        size_t max, requests;
        const char *steps[4];       /* the last one is empty: the end */
    } rows[] = {
        { "all at once", BOXES(BOX("a") "," BOX("b")), 4, 2, { "ab", "" } },
        { "as many as room", BOXES(BOX("a") "," BOX("b")), 2, 3,
          { "ab", "" } },
        { "one by one", BOXES(BOX("a") "," BOX("b")), 1, 2,
          { "a", "b", "" } },
        { "one", BOXES(BOX("a")), 1, 3, { "a", "" } },
        { "more than room", BOXES(BOX("a") "," BOX("b") "," BOX("c")), 2, 2,
          { "ab", "c", "" } },
        { "by the id", BOXES("{\"id\":\"1\",\"name\":\"a\"},"
          "{\"id\":\"2\",\"name\":\"a\"}"), 1, 2, { "a", "a", "" } },
        { "none", BOXES(""), 1, 2, { "" } }
    };
    size_t i, step;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        memset(&walk, 0, sizeof walk);
        SERVE(R(200, rows[i].reply), R(200, rows[i].reply),
              R(200, rows[i].reply));
        rec.reply_count = rows[i].requests;
        for (step = 0; rows[i].steps[step][0] != '\0'; step++)
            expect_next(rows[i].max, rows[i].steps[step]);
        expect_next(rows[i].max, "");
        EXPECT_INT(rec.request_count, rows[i].requests);
        end();
    }
}

static void a_box_that_comes_into_being_during_a_walk_ends_it_not(void)
{
    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, BOXES(BOX("a"))), R(200, BOXES(BOX("a"))),
          R(200, BOXES(BOX("b"))), R(200, BOXES(BOX("c"))),
          R(200, BOXES("")));
    expect_next(1, "a");
    expect_next(1, "b");
    expect_next(1, "c");
    expect_next(1, "");
    expect_api(2, "GET", "/boxes?limit=1&offset=2", NULL);
    end();
}

/* What is told of the boxes of a list. */
static lssb_status note_each(void *user, size_t index, const char *path,
                             const char *value, size_t len)
{
    struct details_text *into = user;
    size_t used = strlen(into->text);

    if (path == NULL)
        snprintf(into->text + used, sizeof into->text - used, "forget\n");
    else
        snprintf(into->text + used, sizeof into->text - used, "%u%s=%s\n",
                 (unsigned)index, path, value);
    EXPECT(path == NULL || strlen(value) == len);
    return strcmp(value != NULL ? value : "", "stop") == 0 ? LSSB_END
                                                           : LSSB_OK;
}

static void details_of_a_list_come_with_the_place_of_their_box(void)
{
    static const char first[] =
        "{\"items\":[{\"name\":\"a\",\"labels\":{\"x\":\"1\"},"
        "\"run_config\":{\"user\":\"u\"}},{\"labels\":{\"x\":\"2\"},"
        "\"name\":\"b\"},{\"name\":\"c\",\"tags\":[\"t\"],\"run_config\":"
        "null}],\"sandboxes\":[{\"name\":\"a\",\"labels\":{\"x\":\"1\"}}],"
        "\"next_cursor\":null}";
    struct details_text into = { "" };
    lssb_list_details each = { note_each, NULL };

    each.user = &into;
    begin();
    memset(&walk, 0, sizeof walk);
    walk.details = &each;
    SERVE(R(200, first), R(200, first));
    expect_next(2, "ab");
    EXPECT(page[0].has_run_config);
    EXPECT(!page[1].has_run_config);
    EXPECT_STR(into.text, "0/labels/x=1\n0/run_config/user=u\n"
               "1/labels/x=2\n");
    into.text[0] = '\0';
    expect_next(2, "c");
    EXPECT(!page[0].has_run_config);
    EXPECT_STR(into.text, "0/tags/0=t\n0/run_config=null\n");
    end();
}

static void details_that_do_not_count_are_taken_back(void)
{
    static const char both[] = BOXES("{\"name\":\"a\",\"l\":1},"
                                     "{\"name\":\"b\"},"
                                     "{\"name\":\"c\",\"l\":3}");
    struct details_text into = { "" };
    lssb_list_details each = { note_each, NULL };

    each.user = &into;
    begin();
    memset(&walk, 0, sizeof walk);
    walk.details = &each;
    SERVE(RF(200, "", both, REC_CUT, 40), R(200, both), R(200, both));
    expect_next(1, "a");
    EXPECT_STR(into.text, "0/l=1\nforget\n0/l=1\n");
    into.text[0] = '\0';
    expect_next(2, "bc");
    EXPECT_STR(into.text, "0/l=1\nforget\n1/l=3\n");
    end();
}

static void a_detail_of_a_list_may_stop_it(void)
{
    struct details_text into = { "" };
    lssb_list_details each = { note_each, NULL };
    size_t count;

    each.user = &into;
    begin();
    memset(&walk, 0, sizeof walk);
    walk.details = &each;
    SERVE(R(200, BOXES("{\"name\":\"a\",\"l\":\"stop\"}")));
    EXPECT_INT(lssb_sandbox_next(client, &walk, page, 1, &count, NULL),
               LSSB_E_STOPPED);
    end();
}

static void an_older_server_is_walked_by_an_offset_counted_here(void)
{
    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, "{\"sandboxes\":[{\"name\":\"a\"},{\"name\":\"b\"},"
                 "{\"name\":\"c\"}],\"offset\":77}"),
          R(200, "{\"sandboxes\":[{\"name\":\"d\"},{\"name\":\"e\"}],"
                 "\"offset\":0}"),
          R(200, "{\"sandboxes\":[{\"name\":\"f\"}]}"));
    rec.piece = 3;
    expect_next(4, "abc");
    expect_next(2, "de");
    expect_next(2, "f");
    expect_next(2, "");
    expect_api(0, "GET", "/boxes?page_size=4", NULL);
    expect_api(1, "GET", "/boxes?limit=2&offset=3", NULL);
    expect_api(2, "GET", "/boxes?limit=2&offset=5", NULL);
    end();
}

#define FIRST_3 \
    "[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]"
#define LAST_2 "[{\"name\":\"d\"},{\"name\":\"e\"}]"

static void pages_larger_than_the_room_lose_nothing_and_repeat_nothing(void)
{
    static const char newer_1[] = "{\"sandboxes\":" FIRST_3 ",\"offset\":3,"
                                  "\"items\":" FIRST_3 ",\"next_cursor\":\"n\"}";
    static const char newer_2[] = "{\"items\":" LAST_2 ",\"next_cursor\":null,"
                                  "\"sandboxes\":" LAST_2 ",\"offset\":0}";
    static const char *const older[] = {
        "{\"sandboxes\":" FIRST_3 "}", "{\"sandboxes\":[{\"name\":\"b\"}]}",
        "{\"sandboxes\":[{\"name\":\"c\"}]}",
        "{\"sandboxes\":[{\"name\":\"d\"}]}", "{\"sandboxes\":[{\"name\":\"e\"}]}", "{\"sandboxes\":[]}"
    };
    static const char *const names[] = { "a", "b", "c", "d", "e", "" };
    size_t i;

    begin();
    memset(&walk, 0, sizeof walk);
    for (i = 0; i < 6; i++) {
        SERVE(R(200, i < 3 ? newer_1 : newer_2));
        rec.reply_count = i < 5;
        expect_next(1, names[i]);
        if (i < 5)
            expect_api(0, "GET", i < 3 ? "/boxes?page_size=1"
                                       : "/boxes?page_size=1&cursor=n", NULL);
    }
    memset(&walk, 0, sizeof walk);
    for (i = 0; i < 6; i++) {
        char path[64] = "/boxes?page_size=1";

        if (i > 0)
            snprintf(path, sizeof path, "/boxes?limit=1&offset=%u",
                     (unsigned)i);
        SERVE(R(200, older[i]));
        expect_next(1, names[i]);
        expect_api(0, "GET", path, NULL);
    }
    end();
}

static void page_sizes_stay_within_the_servers_limit(void)
{
    static lssb_sandbox many[300];
    size_t count;

    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(R(200, "{\"items\":[{\"name\":\"a\"}]}"));
    EXPECT_INT(lssb_sandbox_next(client, &walk, many, COUNT(many), &count,
                                 NULL), LSSB_OK);
    expect_api(0, "GET", "/boxes?page_size=100", NULL);
    EXPECT_INT(count, 1);
    EXPECT_STR(many[0].name, "a");
    EXPECT_INT(many[0].state, LSSB_STATE_READY);
    EXPECT(many[0].client == client);
    end();
}

#define LONG_LIST 100000

static void a_list_of_100000_passes_through_the_same_buffers(void)
{
    static lssb_sandbox many[3000];
    char name[32];
    size_t count, first;

    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(RF(200, "", "", REC_MANY, LONG_LIST),
          RF(200, "", "", REC_MANY, LONG_LIST));
    for (first = 0; first < 6000; first += count) {
        EXPECT_INT(lssb_sandbox_next(client, &walk, many, COUNT(many), &count,
                                     NULL), LSSB_OK);
        EXPECT_INT(count, COUNT(many));
        snprintf(name, sizeof name, "box-%u", (unsigned)first);
        EXPECT_STR(many[0].name, name);
        snprintf(name, sizeof name, "box-%u", (unsigned)(first + count) - 1);
        EXPECT_STR(many[count - 1].name, name);
        if (count == 0)
            break;
    }
    expect_api(0, "GET", "/boxes?page_size=100", NULL);
    expect_api(1, "GET", "/boxes?limit=100&offset=3000", NULL);
    end();
}

static void a_lost_page_is_asked_for_again_whole(void)
{
    begin();
    memset(&walk, 0, sizeof walk);
    SERVE(RF(200, "", "{\"items\":" FIRST_3 "}", REC_CUT, 30),
          R(200, "{\"items\":" FIRST_3 "}"));
    expect_next(4, "abc");
    expect_next(4, "");
    end();
}

/* -------------------------------------------------------- commands (4.1) -- */

#if !LSSB_WEBSOCKET
static void a_command_sends_what_is_set_and_nothing_else(void)
{
    static const struct {
        const char *command, *body;
        lssb_run_options options;
    } rows[] = {
        { "pwd", "{\"command\":\"pwd\",\"timeout\":60,\"shell\":\"/bin/bash\","
          "\"env\":{\"A\":\"1\"},\"cwd\":\"/tmp\"}",
          { .env = env_pairs, .env_count = 1, .cwd = "/tmp" } },
        { "id -un", "{\"command\":\"id -un\",\"timeout\":60,\"shell\":"
          "\"/bin/bash\",\"run_config\":{\"user\":\"app\"}}",
          { .as_user = "app" } },
        { "x", "{\"command\":\"x\",\"timeout\":60,\"shell\":\"/bin/bash\"}",
          { 0 } },
        { "", "{\"command\":\"\",\"timeout\":5,\"shell\":\"/bin/sh\"}",
          { .timeout_s = 5, .shell = "/bin/sh" } },
        { "a\nb\t\"\\\x01", "{\"command\":\"a\\nb\\t\\\"\\\\\\u0001\","
          "\"timeout\":0,\"shell\":\"/bin/bash\"}",
          { .timeout_s = LSSB_NO_LIMIT } },
        { "x", "{\"command\":\"x\",\"timeout\":60,\"shell\":\"/bin/bash\","
          "\"run_config\":{\"user\":\"app\",\"env_vars\":{\"A\":\"1\"},"
          "\"work_dir\":\"/srv\"}}",
          { .as_user = "app", .env = env_pairs, .env_count = 1,
            .cwd = "/srv" } }
    };
    char expected[REC_TEXT];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        SERVE(R(200, "{\"exit_code\":0}"));
        EXPECT_INT(lssb_run(&box, rows[i].command, &rows[i].options,
                            &run_result, NULL), LSSB_OK);
        snprintf(expected, sizeof expected,
                 "POST /sb-123/execute HTTP/1.1\r\n" BOX_HEAD
                 "Content-Type: application/json\r\nContent-Length: %u\r\n\r\n"
                 "%s", (unsigned)strlen(rows[i].body), rows[i].body);
        expect_sent(0, expected);
    }
    end();
}

static void a_result_has_its_output_and_defaults(void)
{
    static const struct {
        const char *body;
        int exit_code;
        const char *out, *err;
    } rows[] = {
        { "{\"stdout\":\"/tmp\\n\",\"stderr\":\"\",\"exit_code\":0}", 0,
          "/tmp\n", "" },
        { "{\"exit_code\":137,\"stderr\":\"killed \\u00fc\"}", 137, "",
          "killed \xc3\xbc" },
        { "{}", -1, "", "" },
        { "{\"stdout\":null,\"stderr\":null,\"exit_code\":null}", -1, "", "" },
        { "{\"exit_code\":3.0,\"x\":{\"stdout\":\"no\",\"exit_code\":9},"
          "\"stdout\":\"y\"}", 3, "y", "" },
        { "{\"exit_code\":-1}", -1, "", "" }
    };
    char out[32], err[32];
    lssb_run_options how = { 0 };
    size_t i;

    how.out = out;
    how.out_size = sizeof out;
    how.err = err;
    how.err_size = sizeof err;
    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].body;
        memset(out, 'x', sizeof out);
        memset(err, 'x', sizeof err);
        for (rec.piece = 0; rec.piece < 3; rec.piece++) {
            SERVE(RF(200, "", rows[i].body, REC_CHUNKED, 0));
            EXPECT_INT(lssb_run(&box, "x", &how, &run_result, NULL), LSSB_OK);
            EXPECT_INT(run_result.exit_code, rows[i].exit_code);
            EXPECT_STR(out, rows[i].out);
            EXPECT_STR(err, rows[i].err);
            EXPECT_INT(run_result.out_len, strlen(rows[i].out));
        }
    }
    end();
}
#endif

static void a_dataplane_url_is_cleaned_up_and_keeps_its_path(void)
{
    static const struct {
        const char *url, *path, *host;
    } rows[] = {
        { "http://h.example.com", "", "h.example.com" },
        { "http://h.example.com/", "", "h.example.com" },
        { "http://h.example.com///", "", "h.example.com" },
        { "http://h.example.com:81/a/b//", "/a/b",
          "h.example.com:81" },
        { "http://h.example.com/a?x=1#y", "/a", "h.example.com" },
        { "http://h.example.com/a/?x=/", "/a", "h.example.com" }
    };
    char expected[160];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].url;
        snprintf(box.dataplane_url, sizeof box.dataplane_url, "%s",
                 rows[i].url);
        SERVE(R(200, "{}"));
        EXPECT_INT(lssb_file_read(&box, "f", room, sizeof room, &room_len,
                                  NULL), LSSB_OK);
        snprintf(expected, sizeof expected,
                 "GET %s/download?path=f HTTP/1.1\r\nHost: %s\r\n",
                 rows[i].path, rows[i].host);
        EXPECT(strncmp(rec.requests[0].text, expected, strlen(expected)) == 0);
    }
    box.dataplane_url[0] = '\0';
    EXPECT_INT(lssb_run(&box, "x", NULL, &run_result, NULL),
               LSSB_E_NOT_CONFIGURED);
    EXPECT_INT(lssb_file_read(&box, "/f", room, sizeof room, &room_len, NULL),
               LSSB_E_NOT_CONFIGURED);
    end();
}

/* ------------------------------------------------- files (4.2, 4.3, 4.5) -- */

#define FORM(content) \
    "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; " \
    "filename=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\n" \
    content "\r\n--" BOUNDARY "--\r\n"

static ptrdiff_t read_one(void *ctx, uint64_t offset, void *bytes, size_t len)
{
    const char *text = ctx;

    (void)len;
    memcpy(bytes, text + offset, 1);
    return 1;
}

static void an_upload_is_the_form_of_the_text(void)
{
    static const struct {
        const char *path, *query, *content, *form;
    } rows[] = {
        { "/app/test.txt", "%2Fapp%2Ftest.txt", "hello", FORM("hello") },
        { "a b&c=\xc3\xbc+%", "a%20b%26c%3D%C3%BC%2B%25", "\r\n--x\r\n",
          FORM("\r\n--x\r\n") },
        { "rel", "rel", "", FORM("") }
    };
    char expected[REC_TEXT];
    lssb_source source = { read_one, NULL, 0 };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].path;
        snprintf(expected, sizeof expected,
                 "POST /sb-123/upload?path=%s HTTP/1.1\r\n" BOX_HEAD
                 "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n"
                 "Content-Length: %u\r\n\r\n%s", rows[i].query,
                 (unsigned)strlen(rows[i].form), rows[i].form);
        SERVE(R(200, "{\"path\":\"/app/test.txt\",\"written\":5}"),
              R(201, "not looked at"));
        EXPECT_INT(lssb_file_write(&box, rows[i].path, rows[i].content,
                                   strlen(rows[i].content), NULL), LSSB_OK);
        expect_sent(0, expected);
        memcpy(&source.ctx, &rows[i].content, sizeof source.ctx);
        source.size = strlen(rows[i].content);
        EXPECT_INT(lssb_file_upload(&box, rows[i].path, &source, NULL, NULL),
                   LSSB_OK);
        expect_sent(1, expected);
    }
    end();
}

/* Returns the least number that there is. */
static ptrdiff_t read_least(void *ctx, uint64_t offset, void *bytes, size_t len)
{
    (void)ctx;
    (void)offset;
    (void)bytes;
    (void)len;
    return PTRDIFF_MIN;
}

static void a_source_that_fails_ends_its_upload(void)
{
    lssb_source source = { read_least, NULL, 5 };

    begin();
    EXPECT_INT(lssb_file_upload(&box, "/app/test.txt", &source, NULL, NULL),
               LSSB_E_STOPPED);
    EXPECT(contains(lssb_error_text(client), "could not be read"));
    end();
}

static void a_file_is_read_with_a_length_or_without(void)
{
    static const enum rec_fate fates[] = { REC_LENGTH, REC_CHUNKED, REC_CLOSE };
    size_t i;

    begin();
    for (i = 0; i < COUNT(fates); i++) {
        SERVE({ 200, "", "hello world", fates[i], 0 },
              { 200, "", "", fates[i], 0 });
        EXPECT_INT(lssb_file_read(&box, "/app/test.txt", room, sizeof room,
                                  &room_len, NULL), LSSB_OK);
        expect_sent(0, "GET /sb-123/download?path=%2Fapp%2Ftest.txt HTTP/1.1"
                       "\r\n" BOX_HEAD "\r\n");
        EXPECT_INT(room_len, 11);
        EXPECT(memcmp(room, "hello world", 11) == 0);
        EXPECT_INT(lssb_file_read(&box, "/empty", room, sizeof room,
                                  &room_len, NULL), LSSB_OK);
        EXPECT_INT(room_len, 0);
    }
    SERVE(R(200, "hello world"), RF(200, "", "hello world", REC_CHUNKED, 0));
    EXPECT_INT(lssb_file_read(&box, "/f", room, 10, &room_len, NULL),
               LSSB_E_TOO_LONG);
    EXPECT_INT(room_len, 11);
    EXPECT_INT(lssb_file_read(&box, "/f", room, 10, &room_len, NULL),
               LSSB_E_TOO_LONG);
    end();
}

static void a_short_body_is_a_connection_error_never_a_short_file(void)
{
    lssb_config config;

    config_default(&config);
    config.retries = LSSB_NONE;
    begin_with(&config);
    SERVE(RF(200, "", "hello world", REC_CUT, 5), LOST);
    EXPECT_INT(call(READ), LSSB_E_CONNECTION);
    EXPECT_INT(call(READ), LSSB_E_CONNECTION);
    EXPECT_INT(room_len, 0);
    end();
}

static void a_stat_reads_its_headers_and_what_is_missing_is_unknown(void)
{
    begin();
    SERVE(RF(200, "Content-Length: 100\r\nETag: \"5f-1a2b\"\r\nLast-Modified: "
                  "Sat, 21 Nov 2026 02:00:00 GMT\r\nContent-Type: "
                  "application/octet-stream\r\n", "", REC_BARE, 0),
          RF(200, "", "", REC_BARE, 0),
          RF(200, "Transfer-Encoding: chunked\r\n", "", REC_BARE, 0),
          RF(200, "Content-Length: 9223372036854775807\r\n", "", REC_BARE, 0));
    EXPECT_INT(lssb_file_stat(&box, "/big.bin", &file, NULL), LSSB_OK);
    expect_sent(0, "HEAD /sb-123/download?path=%2Fbig.bin HTTP/1.1\r\n"
                   BOX_HEAD IDENTITY "\r\n");
    EXPECT_INT(file.size, 100);
    EXPECT_STR(file.etag, "\"5f-1a2b\"");
    EXPECT_STR(file.last_modified, "Sat, 21 Nov 2026 02:00:00 GMT");
    EXPECT_STR(file.content_type, "application/octet-stream");
    EXPECT_INT(call(STAT), LSSB_OK);
    EXPECT(file.size == LSSB_SIZE_UNKNOWN);
    EXPECT_STR(file.etag, "");
    EXPECT_STR(file.last_modified, "");
    EXPECT_STR(file.content_type, "");
    EXPECT_INT(call(STAT), LSSB_OK);
    EXPECT(file.size == LSSB_SIZE_UNKNOWN);
    EXPECT_INT(call(STAT), LSSB_OK);
    EXPECT(file.size == INT64_MAX);
    end();
}

/* ---------------------------------------------------------- ranges (4.6) -- */

static struct taken {
    char text[256];
    size_t len;
    int begun;
    bool partial;
    uint64_t start, size;
} taken;

static lssb_status take(void *user, const void *bytes, size_t len)
{
    (void)user;
    memcpy(taken.text + taken.len, bytes, len);
    taken.len += len;
    taken.text[taken.len] = '\0';
    return LSSB_OK;
}

static lssb_status note_begin(void *user, const lssb_file *about)
{
    (void)user;
    EXPECT_INT(taken.len, 0);
    taken.begun++;
    taken.partial = about->partial;
    taken.start = about->start;
    taken.size = about->size;
    return LSSB_OK;
}

/* Downloads /big.bin as `range` says. */
static lssb_status download(const lssb_range *range)
{
    static lssb_download how;

    memset(&taken, 0, sizeof taken);
    memset(&how, 0, sizeof how);
    how.range = *range;
    how.take = take;
    how.begin = note_begin;
    return finish(lssb_file_download(&box, "/big.bin", &how, &file, fresh()));
}

#define ETAG "ETag: \"5f-1a2b\"\r\n"
#define PART(range) "Content-Range: bytes " range "\r\n" ETAG
#define DOWNLOAD_LINE \
    "GET /sb-123/download?path=%2Fbig.bin HTTP/1.1\r\n" BOX_HEAD

static void a_range_is_asked_for_in_its_three_forms(void)
{
    static const struct {
        lssb_range range;
        const char *headers, *part;
        uint64_t start;
    } rows[] = {
        { { .length = 10 }, "Range: bytes=0-9\r\n", PART("0-9/100"), 0 },
        { { .start = 10 }, "Range: bytes=10-\r\n", PART("10-19/20"), 10 },
        { { .last = 10 }, "Range: bytes=-10\r\n", PART("90-99/100"), 90 },
        { { .start = 5, .length = 10, .if_range = "\"5f-1a2b\"" },
          "Range: bytes=5-14\r\nIf-Range: \"5f-1a2b\"\r\n", PART("5-14/*"), 5 },
        { { .start = 5, .if_range = "", .if_none_match = "" },
          "Range: bytes=5-\r\n", PART("5-14/15"), 5 },
        { { .start = 5, .if_none_match = "\"a\"" },
          "Range: bytes=5-\r\nIf-None-Match: \"a\"\r\n", PART("5-14/15"), 5 },
        { { .start = UINT64_C(5000000000), .length = 10 },
          "Range: bytes=5000000000-5000000009\r\n",
          PART("5000000000-5000000009/6000000000"), UINT64_C(5000000000) }
    };
    char expected[REC_TEXT];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].headers;
        SERVE(RH(206, rows[i].part, "0123456789"));
        EXPECT_INT(download(&rows[i].range), LSSB_OK);
        snprintf(expected, sizeof expected, "%s%s" IDENTITY "\r\n",
                 DOWNLOAD_LINE, rows[i].headers);
        expect_sent(0, expected);
        EXPECT_STR(taken.text, "0123456789");
        EXPECT_INT(taken.begun, 1);
        EXPECT(taken.partial && file.partial && !file.unchanged);
        EXPECT_INT(taken.start, rows[i].start);
        EXPECT_INT(file.start, rows[i].start);
        EXPECT_INT(file.length, 10);
        EXPECT_STR(file.etag, "\"5f-1a2b\"");
        EXPECT_INT(file.size == LSSB_SIZE_UNKNOWN,
                   strstr(rows[i].part, "/*") != NULL);
    }
    EXPECT(file.size == UINT64_C(6000000000));
    end();
}

static void a_range_that_makes_no_sense_is_refused_unsent(void)
{
    static const lssb_range rows[] = {
        { .start = 1, .last = 1 }, { .length = 1, .last = 1 },
        { .start = UINT64_MAX, .length = 2 },
        { .if_range = "a\r\nb: c" }, { .start = 1, .if_none_match = "\n" }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++)
        EXPECT_INT(download(&rows[i]), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(rec.request_count, 0);
    end();
}

static void the_whole_file_instead_of_a_part_starts_over(void)
{
    static const lssb_range rest = { .start = 10, .if_range = "\"old\"" };

    begin();
    SERVE(RH(200, "ETag: \"60-77\"\r\n", "the whole file"));
    EXPECT_INT(download(&rest), LSSB_OK);
    EXPECT(!taken.partial && !file.partial);
    EXPECT_INT(file.start, 0);
    EXPECT_INT(file.size, 14);
    EXPECT_INT(taken.begun, 1);
    EXPECT_STR(taken.text, "the whole file");
    EXPECT_STR(file.etag, "\"60-77\"");
    SERVE(RF(200, "", "chunked file", REC_CHUNKED, 0));
    EXPECT_INT(download(&rest), LSSB_OK);
    EXPECT(taken.size == LSSB_SIZE_UNKNOWN);
    EXPECT_INT(file.size, 12);
    end();
}

static void an_unchanged_file_sends_no_bytes(void)
{
    static const lssb_range same = { .if_none_match = "\"5f-1a2b\"" };

    begin();
    SERVE({ 304, ETAG, "", REC_BARE, 0 });
    EXPECT_INT(download(&same), LSSB_OK);
    EXPECT(file.unchanged && !file.partial);
    EXPECT_INT(file.length, 0);
    EXPECT_INT(taken.len, 0);
    EXPECT_STR(file.etag, "\"5f-1a2b\"");
    EXPECT(contains(rec.requests[0].text, "If-None-Match: \"5f-1a2b\"\r\n"));
    end();
}

static void a_range_past_the_end_is_an_operation_of_reading(void)
{
    static const lssb_range far = { .start = 500 }, zero = { .length = 10 },
                            tail = { .last = 5 };

    begin();
    SERVE(RH(416, "Content-Range: bytes */100\r\n", "invalid range"));
    EXPECT_INT(download(&far), LSSB_E_OPERATION);
    EXPECT_STR(failure.operation, "read");
    EXPECT_STR(failure.type, "");
    EXPECT_INT(failure.http_status, 416);
    EXPECT(contains(failure.message, "bytes */100"));
    EXPECT(!contains(failure.message, "invalid range"));
    EXPECT_INT(taken.len, 0);
    EXPECT_INT(taken.begun, 0);
    SERVE(RH(416, "", "invalid range"));
    EXPECT_INT(download(&far), LSSB_E_OPERATION);
    SERVE(RH(416, "Content-Range: bytes */0\r\n", "invalid range"),
          RH(416, "Content-Range: bytes */0\r\n", ""), R(200, ""));
    EXPECT_INT(download(&zero), LSSB_OK);
    EXPECT_INT(file.size, 0);
    EXPECT_INT(file.length, 0);
    EXPECT_INT(download(&tail), LSSB_OK);
    EXPECT_INT(download(&zero), LSSB_OK);
    EXPECT_INT(file.size, 0);
    EXPECT_INT(taken.len, 0);
    end();
}

static void a_part_that_is_not_the_one_asked_for_is_a_broken_connection(void)
{
    static const char *const rows[] = {
        "", "Content-Range: bytes 11-19/20\r\n", "Content-Range: 10-19/20\r\n",
        "Content-Range: bytes 10-19\r\n", "Content-Range: bytes 19-10/20\r\n",
        "Content-Range: bytes */20\r\n", "Content-Range: bytes 0-9/20\r\n",
        "Content-Range: bytes x-19/20\r\n", "Content-Range: lines 10-19/20\r\n",
        "Content-Range: bytes 10-19/15\r\n"
    };
    static const lssb_range rest = { .start = 10 };
    lssb_config config;
    size_t i;

    config_default(&config);
    config.retries = LSSB_NONE;
    begin_with(&config);
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(RH(206, rows[i], "0123456789"));
        EXPECT_INT(download(&rest), LSSB_E_CONNECTION);
        EXPECT_INT(taken.len, 0);
    }
    end();
}

static void a_part_that_nobody_asked_for_is_no_file(void)
{
    static const char *const rows[] = { "", PART("0-3/11"), PART("0-10/11") };
    static const lssb_range whole;
    lssb_config config;
    size_t i;

    config_default(&config);
    config.retries = LSSB_NONE;
    begin_with(&config);
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(RH(206, rows[i], "hell"));
        EXPECT_INT(call(READ), LSSB_E_CONNECTION);
        EXPECT(contains(failure.message, "not asked for"));
        EXPECT_INT(room_len, 0);
        SERVE(RH(206, rows[i], "hell"));
        EXPECT_INT(download(&whole), LSSB_E_CONNECTION);
        EXPECT_INT(taken.len, 0);
        SERVE(RH(206, rows[i], ""));
        EXPECT_INT(call(STAT), LSSB_E_CONNECTION);
        EXPECT(contains(failure.message, "not asked for"));
    }
    end();
}

static void a_lost_download_goes_on_behind_the_last_byte(void)
{
    static const struct {
        lssb_range range;
        int status;
        const char *first, *resumed, *second;
    } rows[] = {
        { { 0 }, 200, ETAG, "Range: bytes=4-\r\n", PART("4-9/10") },
        { { .start = 10 }, 206, PART("10-19/20"), "Range: bytes=14-\r\n",
          PART("14-19/20") },
        { { .start = 10, .length = 10 }, 206, PART("10-19/99"),
          "Range: bytes=14-19\r\n", PART("14-19/99") },
        { { .start = 10, .length = 99 }, 206, PART("10-19/20"),
          "Range: bytes=14-19\r\n", PART("14-19/20") },
        { { .last = 10 }, 206, PART("90-99/100"), "Range: bytes=94-99\r\n",
          PART("94-99/100") },
        { { .start = 7, .if_range = "\"old\"" }, 200, ETAG,
          "Range: bytes=4-\r\n", PART("4-9/10") }
    };
    char expected[REC_TEXT];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].resumed;
        SERVE(RF(rows[i].status, rows[i].first, "0123456789", REC_CUT, 4),
              RH(206, rows[i].second, "456789"));
        EXPECT_INT(download(&rows[i].range), LSSB_OK);
        snprintf(expected, sizeof expected, "%s%sIf-Range: \"5f-1a2b\"\r\n"
                 IDENTITY "\r\n", DOWNLOAD_LINE, rows[i].resumed);
        expect_sent(1, expected);
        EXPECT_STR(taken.text, "0123456789");
        EXPECT_INT(taken.begun, 1);
        EXPECT_INT(file.length, 10);
        EXPECT_INT(file.partial, rows[i].status == 206);
    }
    end();
}

static void a_download_of_unknown_length_goes_on_to_the_end(void)
{
    static const lssb_range rest = { .length = 4 };

    begin();                        /* 200, chunked, cut within the body */
    SERVE(RF(200, "Transfer-Encoding: chunked\r\n" ETAG, "4\r\n0123\r\n6\r\n4",
             REC_CLOSE, 0), RH(206, PART("5-9/10"), "56789"));
    EXPECT_INT(download(&rest), LSSB_OK);
    EXPECT(contains(rec.requests[1].text, "Range: bytes=5-\r\n"));
    EXPECT_STR(taken.text, "0123456789");
    EXPECT_INT(file.size, 10);
    end();
}

static void a_file_that_changed_meanwhile_fails_and_repeats_no_byte(void)
{
    static const struct rec_reply rows[] = {
        RH(200, "ETag: \"60-77\"\r\n", "abcdefghij"),
        RH(206, "", "456789"),
        RH(206, PART("5-9/10"), "56789"),
        RH(206, PART("0-9/10"), "0123456789"),
        RH(416, "Content-Range: bytes */3\r\n", ""),
        R(404, "")
    };
    static const lssb_range whole = { 0 };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        begin();
        SERVE(RF(200, ETAG, "0123456789", REC_CUT, 4), rows[i]);
        EXPECT(download(&whole) < 0);
        EXPECT_STR(taken.text, "0123");
        EXPECT_INT(rec.request_count, 2);
        end();
    }
    begin();                        /* without a strong ETag: never again */
    SERVE(RF(200, "ETag: W/\"a\"\r\n", "0123456789", REC_CUT, 4));
    EXPECT_INT(download(&whole), LSSB_E_CONNECTION);
    EXPECT_STR(taken.text, "0123");
    end();
    begin();                        /* nothing came: from the beginning */
    SERVE(RF(200, "", "0123456789", REC_CUT, 0), R(200, "0123456789"));
    EXPECT_INT(download(&whole), LSSB_OK);
    EXPECT_STR(taken.text, "0123456789");
    end();
}

static void a_calls_own_range_wins_over_the_callers_headers(void)
{
    static const lssb_pair headers[] = { { "range", "bytes=7-" },
                                         { "ACCEPT-ENCODING", "gzip" },
                                         { "X-A", "b" } };
    static lssb_download how = { .range = { .start = 1 }, .take = take };

    begin();
    SERVE(RH(206, PART("1-2/3"), "12"));
    memset(&taken, 0, sizeof taken);
    fresh();
    op.headers = headers;
    op.header_count = 3;
    EXPECT_INT(finish(lssb_file_download(&box, "/big.bin", &how, &file, &op)),
               LSSB_OK);
    expect_sent(0, DOWNLOAD_LINE "X-A: b\r\nRange: bytes=1-\r\n" IDENTITY
                   "\r\n");
    end();
}

static const struct test tests[] = {
    TEST(a_name_is_one_encoded_segment_of_the_path),
    TEST(a_name_that_would_walk_the_path_is_refused_unsent),
    TEST(headers_merge_ignoring_case_and_none_is_sent_twice),
    TEST(without_a_key_no_key_is_sent),
    TEST(a_creation_sends_what_is_set_and_nothing_else),
    TEST(a_creation_that_cannot_work_is_refused_unsent),
    TEST(an_update_sends_what_is_set_and_nothing_else),
    TEST(an_update_of_nothing_is_a_get_and_an_empty_reply_asks_for_the_box),
    TEST(the_small_calls_are_sent_as_the_tables_say),
    TEST(a_start_posts_then_polls_then_gets_whatever_its_reply_says),
    TEST(many_are_deleted_at_once_and_each_is_told),
    TEST(a_reason_arrives_whole_up_to_the_size_of_a_message),
    TEST(usage_arrives_whole),
    TEST(a_complete_box_arrives_however_it_is_framed),
    TEST(a_reply_split_anywhere_is_the_same),
    TEST(missing_null_and_strange_members_get_their_defaults),
    TEST(numbers_are_64_bits_and_integral_floats_count),
    TEST(status_words_name_states_and_new_words_are_kept),
    TEST(a_status_without_a_word_is_provisioning),
    TEST(a_string_that_does_not_fit_fails_and_is_named),
    TEST(a_long_message_is_cut_between_characters),
    TEST(a_reply_that_is_no_box_is_a_protocol_failure),
    TEST(a_box_that_cannot_be_read_says_why),
    TEST(interim_replies_are_skipped),
    TEST(members_without_a_place_go_to_the_callback),
    TEST(every_refusal_means_what_the_tables_say),
    TEST(a_wrapped_message_of_any_length_is_bounded),
    TEST(problems_are_kept_and_counted),
    TEST(what_a_server_says_steers_no_terminal),
    TEST(the_id_of_an_error_is_kept_and_shown),
    TEST(retries_follow_the_table_row_by_row),
    TEST(attempts_are_four_with_pauses_of_the_table),
    TEST(long_waits_are_capped),
    TEST(a_retry_after_is_read_in_every_form),
    TEST(a_retry_stays_inside_the_callers_deadline),
    TEST(a_repeated_delete_that_finds_nothing_has_succeeded),
    TEST(a_repeated_rename_that_finds_its_own_work_has_succeeded),
    TEST(a_wait_polls_the_status_then_gets_the_box),
    TEST(a_ready_box_is_not_checked_again),
    TEST(a_wait_ends_with_the_state_that_ends_it),
    TEST(a_wait_of_a_time_polls_last_at_its_end),
    TEST(a_wait_without_a_time_lasts_two_minutes),
    TEST(a_box_that_vanishes_or_an_error_ends_a_wait),
    TEST(a_start_outlives_the_state_from_before_it),
    TEST(a_box_that_stays_failed_ends_the_start_at_the_fourth_poll),
    TEST(a_creation_waits_for_a_box_that_is_not_ready_yet),
    TEST(every_filter_is_encoded_into_the_query),
    TEST(a_last_page_ends_the_walk),
    TEST(an_empty_list_has_no_boxes),
    TEST(a_cursor_that_repeats_ends_the_walk),
    TEST(an_older_server_is_walked_by_an_offset_counted_here),
    TEST(a_server_that_does_not_page_tells_each_box_once),
    TEST(a_box_that_comes_into_being_during_a_walk_ends_it_not),
    TEST(details_of_a_list_come_with_the_place_of_their_box),
    TEST(details_that_do_not_count_are_taken_back),
    TEST(a_detail_of_a_list_may_stop_it),
    TEST(pages_larger_than_the_room_lose_nothing_and_repeat_nothing),
    TEST(page_sizes_stay_within_the_servers_limit),
    TEST(a_list_of_100000_passes_through_the_same_buffers),
    TEST(a_lost_page_is_asked_for_again_whole),
#if !LSSB_WEBSOCKET
    TEST(a_command_sends_what_is_set_and_nothing_else),
    TEST(a_result_has_its_output_and_defaults),
#endif
    TEST(a_dataplane_url_is_cleaned_up_and_keeps_its_path),
    TEST(an_upload_is_the_form_of_the_text),
    TEST(a_source_that_fails_ends_its_upload),
    TEST(a_file_is_read_with_a_length_or_without),
    TEST(a_short_body_is_a_connection_error_never_a_short_file),
    TEST(a_stat_reads_its_headers_and_what_is_missing_is_unknown),
    TEST(a_range_is_asked_for_in_its_three_forms),
    TEST(a_range_that_makes_no_sense_is_refused_unsent),
    TEST(the_whole_file_instead_of_a_part_starts_over),
    TEST(an_unchanged_file_sends_no_bytes),
    TEST(a_range_past_the_end_is_an_operation_of_reading),
    TEST(a_part_that_is_not_the_one_asked_for_is_a_broken_connection),
    TEST(a_part_that_nobody_asked_for_is_no_file),
    TEST(a_lost_download_goes_on_behind_the_last_byte),
    TEST(a_download_of_unknown_length_goes_on_to_the_end),
    TEST(a_file_that_changed_meanwhile_fails_and_repeats_no_byte),
    TEST(a_calls_own_range_wins_over_the_callers_headers),
};

int main(void)
{
    return TEST_MAIN(tests);
}
