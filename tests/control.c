/* control.c: the control plane beside sandboxes, byte by byte.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, its sections
 * 2.3 to 2.19, 3.3, 4.7, 7 and its appendix, never from what the library or
 * sandboxd does.
 */
#include "recorder.h"

#define BASE "/v2/sandboxes"
#define ROOT "/api/v2/sandboxes/registries"
#define HEAD_LINES "User-Agent: lssb/" LSSB_VERSION "\r\nX-Api-Key: key-1\r\n"
#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define BARE(status) { status, "", "", REC_BARE, 0 }

/* --------------------------------------------------------------- clients -- */

static union {
    uint64_t align;
    void *pointer;
    long double widest;
    char bytes[4 * 65536];
} memory;
static lssb_client *client;
static lssb_sandbox box;
static lssb_error failure;
static lssb_op op;

/* A client of an endpoint, and a box of it. */
static void begin_at(const char *endpoint)
{
    lssb_config config;

    memset(&rec, 0, sizeof rec);
    rec.now = 1000;
    rec.wall = 1790000000;
    memset(&config, 0, sizeof config);
    config.endpoint = endpoint;
    config.api_key = "key-1";
    config.no_environment = true;
    config.allow_cleartext = true;
    config.memory = &memory;
    config.memory_size = sizeof memory;
    config.port = &rec_port;
    config.slots = 2;
    EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
    memset(&box, 0, sizeof box);
    box.client = client;
    memcpy(box.name, "box-1", 6);
    memcpy(box.dataplane_url, "http://router.example.com/sb-123", 33);
}

static void begin(void)
{
    begin_at("http://api.example.com");
}

/* Closes the client; nothing may be left open, no reply unused. */
static void end(void)
{
    EXPECT_INT(rec.reply_at, rec.reply_count);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    EXPECT_INT(rec.open_now, 0);
    client = NULL;
}

/* An operation that keeps its error in `failure`. */
static lssb_op *fresh(void)
{
    memset(&op, 0, sizeof op);
    memset(&failure, 0, sizeof failure);
    op.error = &failure;
    return &op;
}

/* The status of a call that was begun with `op`, once it is final. */
static lssb_status finish(lssb_status begun)
{
    return begun == LSSB_PENDING ? lssb_wait(client, &op, LSSB_FOREVER)
                                 : begun;
}

/* The request of that number is these bytes, and no others. */
static void expect_request(size_t index, const char *host, const char *method,
                           const char *path, const char *body)
{
    char expected[REC_TEXT], length[96] = "";

    if (body != NULL)
        snprintf(length, sizeof length, "Content-Type: application/json\r\n"
                 "Content-Length: %u\r\n", (unsigned)strlen(body));
    snprintf(expected, sizeof expected, "%s %s HTTP/1.1\r\nHost: %s\r\n"
             HEAD_LINES "%s\r\n%s", method, path, host, length,
             body != NULL ? body : "");
    EXPECT(index < rec.request_count);
    if (index < rec.request_count)
        EXPECT_STR(rec.requests[index].text, expected);
}

/* The same of the API. */
static void expect_api(size_t index, const char *method, const char *path,
                       const char *body)
{
    char whole[512];

    snprintf(whole, sizeof whole, "%s%s",
             strncmp(path, ROOT, strlen(ROOT)) == 0 ? "" : BASE, path);
    expect_request(index, "api.example.com", method, whole, body);
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* What a details callback got: "path=value;" each. */
static struct {
    char text[2048];
    size_t len;
} details_seen;

static lssb_status take_detail(void *user, const char *path, const char *value,
                               size_t len)
{
    int n = snprintf(details_seen.text + details_seen.len,
                     sizeof details_seen.text - details_seen.len, "%s=%s;",
                     path, value);

    (void)user;
    EXPECT_INT(strlen(value), len);
    details_seen.len += (size_t)n;
    return LSSB_OK;
}

static const lssb_details details = { take_detail, NULL };

static void forget_details(void)
{
    memset(&details_seen, 0, sizeof details_seen);
}

/* ------------------------------------------------------------- arguments -- */

static const lssb_pair env[] = { { "A", "1" } };
static const lssb_run_config root_config = { .user = "0" };
static const lssb_pair labels[] = { { "team", "infra" } };

static const lssb_snapshot_options image = {
    .name = "python", .docker_image = "python:3.12-slim",
    .fs_capacity_bytes = UINT64_C(4294967296), .registry_id = "reg-1",
    .no_wait = true
};
static const lssb_snapshot_options image_full = {
    .name = "p", .docker_image = "i", .fs_capacity_bytes = 1, .tag = "v1",
    .run_config = &root_config, .labels = labels, .label_count = 1,
    .more = " { \"new\" : [1,{\"a\":null}] } ", .no_wait = true
};
static const lssb_snapshot_options image_old = {
    .name = "p", .docker_image = "r.example.com/p:1",
    .fs_capacity_bytes = UINT64_C(4294967296), .registry_url = "r.example.com",
    .registry_username = "u", .registry_password = "p", .no_wait = true
};
static const lssb_capture_options capture = { .name = "snap",
                                              .no_wait = true };
static const lssb_capture_options capture_image = {
    .name = "snap", .docker_image = "langsmith-snapshot-build:0f",
    .fs_capacity_bytes = UINT64_C(8589934592), .no_wait = true
};
static const lssb_capture_options capture_full = {
    .name = "s", .checkpoint = "2026-04-01T12:00:00Z", .include_memory = true,
    .run_config = &root_config, .labels = labels, .label_count = 1,
    .tag = "t", .more = "{}", .no_wait = true
};
static const lssb_registry_options registry_all = {
    .name = "internal", .url = "registry.example.com", .username = "robot",
    .password = "s3cret"
};
static const lssb_registry_options registry_password = { .password = "new" };
static const lssb_volume_mount mounts[] = { { "v", "/data" } };
static const lssb_template_options template_full = {
    .name = "python-sandbox", .image = "python:3.12-slim", .storage = "1Gi",
    .volume_mounts = mounts, .volume_mount_count = 1
};
static const lssb_template_options template_sized = {
    .name = "t", .image = "i", .cpu = "2", .memory = "1Gi"
};
static const lssb_volume_options volume_new = { .name = "my-volume",
                                                .size = "10Gi" };
static const lssb_volume_options volume_size = { .size = "5Gi" };
static const lssb_pool_options pool_new = {
    .name = "python-pool", .template_name = "python-sandbox", .replicas = 5
};
static const lssb_pool_options pool_pause = { .replicas = LSSB_NONE };
static const lssb_pool_options pool_rename = { .name = "b", .replicas = 2 };

/* What the calls below fill. */
static lssb_snapshot snapshot, many[100];
static lssb_registry registry;
static lssb_template a_template;
static lssb_volume volume;
static lssb_pool pool;
static lssb_service service;
static lssb_link file_link;
static lssb_tag_list tags;
static lssb_search search;

static struct {
    char text[1024];
    int count;
    lssb_status say;
} seen;

static lssb_status take_tag(void *user, const char *tag, const char *id)
{
    size_t len = strlen(seen.text);

    (void)user;
    seen.count++;
    snprintf(seen.text + len, sizeof seen.text - len, "%s=%s;", tag, id);
    return seen.say;
}

static lssb_status take_match(void *user, const lssb_match *match)
{
    size_t len = strlen(seen.text);

    (void)user;
    seen.count++;
    EXPECT_INT(strlen(match->text), match->text_len);
    snprintf(seen.text + len, sizeof seen.text - len, "%s|%d|%lld|%s|%lld|%s;",
             match->path, match->is_dir, (long long)match->size_bytes,
             match->modified_at, (long long)match->line, match->text);
    return seen.say;
}

/* ----------------------------------------------------------------- calls -- */

static lssb_status create_image(lssb_op *o)
{
    return lssb_snapshot_create(client, &image, &snapshot, o);
}

static lssb_status create_image_full(lssb_op *o)
{
    return lssb_snapshot_create(client, &image_full, &snapshot, o);
}

static lssb_status create_image_old(lssb_op *o)
{
    return lssb_snapshot_create(client, &image_old, &snapshot, o);
}

static lssb_status capture_box(lssb_op *o)
{
    return lssb_snapshot_capture(&box, &capture, &snapshot, o);
}

static lssb_status capture_box_image(lssb_op *o)
{
    return lssb_snapshot_capture(&box, &capture_image, &snapshot, o);
}

static lssb_status capture_box_full(lssb_op *o)
{
    return lssb_snapshot_capture(&box, &capture_full, &snapshot, o);
}

static lssb_status get_snapshot(lssb_op *o)
{
    return lssb_snapshot_get(client, "name:tag/x", &snapshot, NULL, o);
}

static lssb_status delete_snapshot(lssb_op *o)
{
    return lssb_snapshot_delete_named(client, "7f0c", o);
}

static lssb_status delete_this_snapshot(lssb_op *o)
{
    static lssb_snapshot mine;

    mine.client = client;
    memcpy(mine.id, "7f0c", 5);
    memcpy(mine.name, "n", 2);
    return lssb_snapshot_delete(&mine, o);
}

static lssb_status list_snapshots(lssb_op *o)
{
    static lssb_snapshot_list list;
    static size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "py";
    list.status = "ready";
    list.created_by = "me";
    list.sort_by = "name";
    list.sort_order = "asc";
    return lssb_snapshot_next(client, &list, &snapshot, 1, &count, o);
}

static lssb_status get_tags(lssb_op *o)
{
    memset(&seen, 0, sizeof seen);
    tags.take = take_tag;
    return lssb_snapshot_tags(client, "py/thon", &tags, o);
}

static lssb_status create_registry(lssb_op *o)
{
    return lssb_registry_create(client, &registry_all, &registry, o);
}

static lssb_status get_registry(lssb_op *o)
{
    return lssb_registry_get(client, "internal", &registry, o);
}

static lssb_status change_registry(lssb_op *o)
{
    return lssb_registry_change(client, "internal", &registry_password,
                                &registry, o);
}

static lssb_status change_registry_all(lssb_op *o)
{
    return lssb_registry_change(client, "a b", &registry_all, &registry, o);
}

static lssb_status change_registry_not(lssb_op *o)
{
    return lssb_registry_change(client, "internal", NULL, &registry, o);
}

static lssb_status delete_registry(lssb_op *o)
{
    return lssb_registry_delete(client, "internal", o);
}

static lssb_status list_registries(lssb_op *o)
{
    static lssb_registry_list list;
    static size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "in";
    return lssb_registry_next(client, &list, &registry, 1, &count, o);
}

static lssb_status create_template(lssb_op *o)
{
    return lssb_template_create(client, &template_full, &a_template, o);
}

static lssb_status create_template_sized(lssb_op *o)
{
    return lssb_template_create(client, &template_sized, &a_template, o);
}

static lssb_status get_template(lssb_op *o)
{
    return lssb_template_get(client, "a/b", &a_template, NULL, o);
}

static lssb_status rename_template(lssb_op *o)
{
    return lssb_template_rename(client, "python-sandbox", "py", &a_template,
                                o);
}

static lssb_status delete_template(lssb_op *o)
{
    return lssb_template_delete(client, "python-sandbox", o);
}

static lssb_status list_templates(lssb_op *o)
{
    static lssb_plain_list list;
    static size_t count;

    memset(&list, 0, sizeof list);
    return lssb_template_next(client, &list, &a_template, 1, &count, o);
}

static lssb_status create_volume(lssb_op *o)
{
    return lssb_volume_create(client, &volume_new, &volume, o);
}

static lssb_status get_volume(lssb_op *o)
{
    return lssb_volume_get(client, "my-volume", &volume, o);
}

static lssb_status change_volume(lssb_op *o)
{
    return lssb_volume_change(client, "my-volume", &volume_size, &volume, o);
}

static lssb_status change_volume_name(lssb_op *o)
{
    return lssb_volume_change(client, "a", &volume_new, &volume, o);
}

static lssb_status change_volume_not(lssb_op *o)
{
    return lssb_volume_change(client, "a", NULL, &volume, o);
}

static lssb_status delete_volume(lssb_op *o)
{
    return lssb_volume_delete(client, "my-volume", o);
}

static lssb_status list_volumes(lssb_op *o)
{
    static lssb_plain_list list;
    static size_t count;

    memset(&list, 0, sizeof list);
    return lssb_volume_next(client, &list, &volume, 1, &count, o);
}

static lssb_status create_pool(lssb_op *o)
{
    return lssb_pool_create(client, &pool_new, &pool, o);
}

static lssb_status get_pool(lssb_op *o)
{
    return lssb_pool_get(client, "python-pool", &pool, o);
}

static lssb_status change_pool(lssb_op *o)
{
    return lssb_pool_change(client, "python-pool", &pool_pause, &pool, o);
}

static lssb_status change_pool_name(lssb_op *o)
{
    return lssb_pool_change(client, "a", &pool_rename, &pool, o);
}

static lssb_status change_pool_not(lssb_op *o)
{
    return lssb_pool_change(client, "a", NULL, &pool, o);
}

static lssb_status delete_pool(lssb_op *o)
{
    return lssb_pool_delete(client, "python-pool", o);
}

static lssb_status list_pools(lssb_op *o)
{
    static lssb_plain_list list;
    static size_t count;

    memset(&list, 0, sizeof list);
    return lssb_pool_next(client, &list, &pool, 1, &count, o);
}

static lssb_status service_with(lssb_access access, uint32_t expires_in_s,
                                lssb_op *o)
{
    static lssb_service_options options;

    options.port = 3000;
    options.access = access;
    options.expires_in_s = expires_in_s;
    return lssb_service_url(&box, &options, &service, o);
}

static lssb_status service_token(lssb_op *o)
{
    return service_with(LSSB_ACCESS_TOKEN, 0, o);
}

static lssb_status service_day(lssb_op *o)
{
    return service_with(LSSB_ACCESS_TOKEN, 86400, o);
}

static lssb_status service_login(lssb_op *o)
{
    return service_with(LSSB_ACCESS_RESTRICTED, 0, o);
}

static lssb_status service_workspace(lssb_op *o)
{
    return service_with(LSSB_ACCESS_WORKSPACE, 0, o);
}

static lssb_status service_off(lssb_op *o)
{
    return service_with(LSSB_ACCESS_OFF, 0, o);
}

static lssb_status revoke_port(lssb_op *o)
{
    return lssb_service_revoke(&box, 3000, o);
}

static lssb_status revoke_all(lssb_op *o)
{
    return lssb_service_revoke(&box, 0, o);
}

static lssb_status list_services(lssb_op *o)
{
    static lssb_plain_list list;
    static lssb_shared_port port;
    static size_t count;

    memset(&list, 0, sizeof list);
    return lssb_service_next(&box, &list, &port, 1, &count, o);
}

static lssb_status link_plain(lssb_op *o)
{
    static const lssb_link_options options = { .path = "/tmp/a" };

    return lssb_download_url(&box, &options, &file_link, o);
}

static lssb_status link_page(lssb_op *o)
{
    static const lssb_link_options options = {
        .path = "/tmp/page.html", .expires_in_s = 3600,
        .content_type = "text/html", .disposition = LSSB_DISPOSITION_INLINE
    };

    return lssb_download_url(&box, &options, &file_link, o);
}

static lssb_status link_saved(lssb_op *o)
{
    static const lssb_link_options options = {
        .path = "a", .disposition = LSSB_DISPOSITION_ATTACHMENT
    };

    return lssb_download_url(&box, &options, &file_link, o);
}

/* A search that begins anew. */
static lssb_search *search_for(const char *pattern, const char *path)
{
    memset(&seen, 0, sizeof seen);
    memset(&search, 0, sizeof search);
    search.pattern = pattern;
    search.path = path;
    search.take = take_match;
    return &search;
}

static lssb_status glob_files(lssb_op *o)
{
    search_for("**/*.py", "/srv")->limit = 200;
    return lssb_glob(&box, &search, o);
}

static lssb_status grep_files(lssb_op *o)
{
    search_for("TODO", "/srv")->glob = "*.py";
    return lssb_grep(&box, &search, o);
}

static lssb_status grep_all(lssb_op *o)
{
    return lssb_grep(&box, search_for("x", "/none"), o);
}

#define TOKEN_REPLY \
    "{\"browser_url\":\"https://550e--3000.svc.example.com/_svc/auth?token=" \
    "eyJ\",\"service_url\":\"https://550e--3000.svc.example.com/\"," \
    "\"token\":\"eyJ\",\"expires_at\":\"2099-01-01T00:00:00Z\"}"
#define LOGIN_REPLY(access) \
    "{\"browser_url\":\"https://550e--3000.svc.example.com/\"," \
    "\"service_url\":\"https://550e--3000.svc.example.com/\"," \
    "\"access\":\"" access "\"}"
#define LINK_REPLY \
    "{\"download_url\":\"https://550e--dl.svc.example.com/tok\"," \
    "\"token\":\"tok\",\"expires_at\":null}"

/* Every endpoint once, and each member of its request. */
static const struct endpoint {
    const char *name;
    lssb_status (*make)(lssb_op *o);
    const char *method, *path, *body;   /* of the one request */
    const char *reply;
} endpoints[] = {
    { "create snapshot", create_image, "POST", "/snapshots",
      "{\"name\":\"python\",\"docker_image\":\"python:3.12-slim\","
      "\"fs_capacity_bytes\":4294967296,\"registry_id\":\"reg-1\"}",
      "{\"id\":\"7f0c\",\"name\":\"python\",\"status\":\"building\"}" },
    { "create snapshot, all", create_image_full, "POST", "/snapshots",
      "{\"name\":\"p\",\"docker_image\":\"i\",\"fs_capacity_bytes\":1,"
      "\"run_config\":{\"user\":\"0\"},\"labels\":{\"team\":\"infra\"},"
      "\"tag\":\"v1\",\"new\" : [1,{\"a\":null}]}", "{}" },
    { "create snapshot, older", create_image_old, "POST", "/snapshots",
      "{\"name\":\"p\",\"docker_image\":\"r.example.com/p:1\","
      "\"fs_capacity_bytes\":4294967296,\"registry_url\":\"r.example.com\","
      "\"registry_username\":\"u\",\"registry_password\":\"p\"}", "{}" },
    { "capture", capture_box, "POST", "/boxes/box-1/snapshot",
      "{\"name\":\"snap\"}", "{}" },
    { "capture image", capture_box_image, "POST", "/boxes/box-1/snapshot",
      "{\"name\":\"snap\",\"docker_image\":\"langsmith-snapshot-build:0f\","
      "\"fs_capacity_bytes\":8589934592}", "{}" },
    { "capture, all", capture_box_full, "POST", "/boxes/box-1/snapshot",
      "{\"name\":\"s\",\"checkpoint\":\"2026-04-01T12:00:00Z\","
      "\"include_memory\":true,\"run_config\":{\"user\":\"0\"},"
      "\"labels\":{\"team\":\"infra\"},\"tag\":\"t\"}", "{}" },
    { "get snapshot", get_snapshot, "GET", "/snapshots/name%3Atag%2Fx", NULL,
      "{}" },
    { "delete snapshot", delete_snapshot, "DELETE", "/snapshots/7f0c", NULL,
      "" },
    { "delete that snapshot", delete_this_snapshot, "DELETE",
      "/snapshots/7f0c", NULL, "" },
    { "list snapshots", list_snapshots, "GET",
      "/snapshots?page_size=1&name_contains=py&status=ready&created_by=me"
      "&sort_by=name&sort_order=asc", NULL, "{\"items\":[{}]}" },
    { "tags", get_tags, "GET", "/snapshots-by-name/py%2Fthon", NULL, "{}" },
    { "create registry", create_registry, "POST", ROOT,
      "{\"name\":\"internal\",\"password\":\"s3cret\","
      "\"url\":\"registry.example.com\",\"username\":\"robot\"}", "{}" },
    { "get registry", get_registry, "GET", ROOT "/internal", NULL, "{}" },
    { "change registry", change_registry, "PATCH", ROOT "/internal",
      "{\"password\":\"new\"}", "{}" },
    { "change registry, all", change_registry_all, "PATCH", ROOT "/a%20b",
      "{\"name\":\"internal\",\"password\":\"s3cret\","
      "\"url\":\"registry.example.com\",\"username\":\"robot\"}", "{}" },
    { "change registry, nothing", change_registry_not, "GET", ROOT "/internal",
      NULL, "{}" },
    { "delete registry", delete_registry, "DELETE", ROOT "/internal", NULL,
      "" },
    { "list registries", list_registries, "GET",
      ROOT "?limit=1&offset=0&name_contains=in", NULL,
      "{\"registries\":[{}],\"offset\":0}" },
    { "create template", create_template, "POST", "/templates",
      "{\"name\":\"python-sandbox\",\"image\":\"python:3.12-slim\","
      "\"resources\":{\"cpu\":\"500m\",\"memory\":\"512Mi\","
      "\"storage\":\"1Gi\"},\"volume_mounts\":[{\"volume_name\":\"v\","
      "\"mount_path\":\"/data\"}]}", "{}" },
    { "create template, sized", create_template_sized, "POST", "/templates",
      "{\"name\":\"t\",\"image\":\"i\",\"resources\":{\"cpu\":\"2\","
      "\"memory\":\"1Gi\"}}", "{}" },
    { "get template", get_template, "GET", "/templates/a%2Fb", NULL, "{}" },
    { "rename template", rename_template, "PATCH",
      "/templates/python-sandbox", "{\"name\":\"py\"}", "{}" },
    { "delete template", delete_template, "DELETE",
      "/templates/python-sandbox", NULL, "" },
    { "list templates", list_templates, "GET", "/templates", NULL,
      "{\"templates\":[{}]}" },
    { "create volume", create_volume, "POST", "/volumes",
      "{\"name\":\"my-volume\",\"size\":\"10Gi\",\"wait_for_ready\":true,"
      "\"timeout\":60}", "{}" },
    { "get volume", get_volume, "GET", "/volumes/my-volume", NULL, "{}" },
    { "change volume", change_volume, "PATCH", "/volumes/my-volume",
      "{\"size\":\"5Gi\"}", "{}" },
    { "change volume, all", change_volume_name, "PATCH", "/volumes/a",
      "{\"name\":\"my-volume\",\"size\":\"10Gi\"}", "{}" },
    { "change volume, nothing", change_volume_not, "GET", "/volumes/a", NULL,
      "{}" },
    { "delete volume", delete_volume, "DELETE", "/volumes/my-volume", NULL,
      "" },
    { "list volumes", list_volumes, "GET", "/volumes", NULL,
      "{\"volumes\":[{}]}" },
    { "create pool", create_pool, "POST", "/pools",
      "{\"name\":\"python-pool\",\"template_name\":\"python-sandbox\","
      "\"replicas\":5,\"wait_for_ready\":true,\"timeout\":30}", "{}" },
    { "get pool", get_pool, "GET", "/pools/python-pool", NULL, "{}" },
    { "pause pool", change_pool, "PATCH", "/pools/python-pool",
      "{\"replicas\":0}", "{}" },
    { "change pool", change_pool_name, "PATCH", "/pools/a",
      "{\"name\":\"b\",\"replicas\":2}", "{}" },
    { "change pool, nothing", change_pool_not, "GET", "/pools/a", NULL, "{}" },
    { "delete pool", delete_pool, "DELETE", "/pools/python-pool", NULL, "" },
    { "list pools", list_pools, "GET", "/pools", NULL, "{\"pools\":[{}]}" },
    { "service URL", service_token, "POST", "/boxes/box-1/service-url",
      "{\"port\":3000,\"expires_in_seconds\":600}", TOKEN_REPLY },
    { "service URL, a day", service_day, "POST", "/boxes/box-1/service-url",
      "{\"port\":3000,\"expires_in_seconds\":86400}", TOKEN_REPLY },
    { "service URL, restricted", service_login, "POST",
      "/boxes/box-1/service-url", "{\"port\":3000,\"access\":\"restricted\"}",
      LOGIN_REPLY("restricted") },
    { "service URL, workspace", service_workspace, "POST",
      "/boxes/box-1/service-url", "{\"port\":3000,\"access\":\"workspace\"}",
      LOGIN_REPLY("workspace") },
    { "service URL, off", service_off, "POST", "/boxes/box-1/service-url",
      "{\"port\":3000,\"access\":\"off\"}", "" },
    { "revoke a port", revoke_port, "DELETE",
      "/boxes/box-1/service-urls?port=3000", NULL, "" },
    { "revoke all ports", revoke_all, "DELETE", "/boxes/box-1/service-urls",
      NULL, "" },
    { "list service URLs", list_services, "GET",
      "/boxes/box-1/service-urls?page_size=1", NULL, "{\"items\":[{}]}" },
    { "link", link_plain, "POST", "/boxes/box-1/download-url",
      "{\"path\":\"/tmp/a\"}", LINK_REPLY },
    { "link, page", link_page, "POST", "/boxes/box-1/download-url",
      "{\"path\":\"/tmp/page.html\",\"expires_in_seconds\":3600,"
      "\"content_type\":\"text/html\",\"content_disposition\":\"inline\"}",
      LINK_REPLY },
    { "link, saved", link_saved, "POST", "/boxes/box-1/download-url",
      "{\"path\":\"a\",\"content_disposition\":\"attachment\"}", LINK_REPLY }
};

static void every_endpoint_gets_its_request_byte_for_byte(void)
{
    size_t i;

    begin();
    for (i = 0; i < COUNT(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];

        test_row = e->name;
        SERVE(R(200, e->reply));
        EXPECT_INT(e->make(NULL), LSSB_OK);
        EXPECT_INT(rec.request_count, 1);
        expect_api(0, e->method, e->path, e->body);
    }
    end();
}

static void every_endpoint_may_be_started_and_finished_later(void)
{
    size_t i;

    begin();
    for (i = 0; i < COUNT(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];

        test_row = e->name;
        SERVE(RF(201, "", e->reply, REC_CHUNKED, 0));
        rec.piece = 7;
        EXPECT_INT(e->make(fresh()), LSSB_PENDING);
        EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER), LSSB_OK);
        expect_api(0, e->method, e->path, e->body);
    }
    end();
}

/* Protocol 8: what reads, changes or deletes is asked again; what makes
 * something is not, once it may have arrived. Links are asked again, too. */
static void what_may_have_arrived_is_asked_again_only_if_that_is_safe(void)
{
    size_t i;

    begin();
    for (i = 0; i < COUNT(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        bool creates = strcmp(e->method, "POST") == 0 &&
                       !contains(e->path, "-url");

        test_row = e->name;
        SERVE(LOST, R(200, e->reply));
        EXPECT_INT(finish(e->make(fresh())),
                   creates ? LSSB_E_CONNECTION : LSSB_OK);
        if (creates)
            rec.reply_at = rec.reply_count;
        EXPECT_INT(rec.request_count, creates ? 1 : 2);
        SERVE(R(504, "{}"), R(200, e->reply));
        EXPECT_INT(finish(e->make(fresh())) == LSSB_OK, !creates);
        if (creates)
            rec.reply_at = rec.reply_count;
    }
    end();
}

static void what_cannot_have_arrived_is_asked_again(void)
{
    size_t i;

    for (i = 0; i < COUNT(endpoints); i++) {
        test_row = endpoints[i].name;
        begin();
        SERVE(REFUSED, R(200, endpoints[i].reply));
        EXPECT_INT(endpoints[i].make(NULL), LSSB_OK);
        end();
    }
}

static void a_name_that_is_missing_or_would_walk_the_path_is_refused(void)
{
    static const char *const names[] = { NULL, "", ".", ".." };
    size_t i;

    begin();
    for (i = 0; i < COUNT(names); i++) {
        const char *name = names[i];

        test_row = name != NULL ? name : "NULL";
#define REFUSED_CALL(call) EXPECT_INT(call, LSSB_E_INVALID_ARGUMENT)
        REFUSED_CALL(lssb_snapshot_get(client, name, &snapshot, NULL, NULL));
        REFUSED_CALL(lssb_snapshot_delete_named(client, name, NULL));
        tags.take = take_tag;
        REFUSED_CALL(lssb_snapshot_tags(client, name, &tags, NULL));
        REFUSED_CALL(lssb_registry_get(client, name, &registry, NULL));
        REFUSED_CALL(lssb_registry_change(client, name, &registry_all,
                                          &registry, NULL));
        REFUSED_CALL(lssb_registry_delete(client, name, NULL));
        REFUSED_CALL(lssb_template_get(client, name, &a_template, NULL, NULL));
        REFUSED_CALL(lssb_template_rename(client, name, "b", &a_template,
                                          NULL));
        REFUSED_CALL(lssb_template_delete(client, name, NULL));
        REFUSED_CALL(lssb_volume_get(client, name, &volume, NULL));
        REFUSED_CALL(lssb_volume_change(client, name, &volume_new, &volume,
                                        NULL));
        REFUSED_CALL(lssb_volume_delete(client, name, NULL));
        REFUSED_CALL(lssb_pool_get(client, name, &pool, NULL));
        REFUSED_CALL(lssb_pool_change(client, name, &pool_new, &pool, NULL));
        REFUSED_CALL(lssb_pool_delete(client, name, NULL));
    }
    EXPECT_INT(rec.request_count, 0);
    end();
}

static void an_argument_that_is_missing_is_refused_in_words(void)
{
    static lssb_snapshot nobody;
    lssb_snapshot_list list;
    lssb_search empty;
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    memset(&empty, 0, sizeof empty);
    nobody.client = client;
#define REFUSED_WORDS(call, words) \
    do { \
        test_row = words; \
        EXPECT_INT(call, LSSB_E_INVALID_ARGUMENT); \
        EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT); \
        EXPECT(contains(failure.message, words)); \
    } while (0)
    REFUSED_WORDS(lssb_snapshot_create(client, NULL, &snapshot, fresh()),
                  "options");
    REFUSED_WORDS(lssb_snapshot_create(client, &image, NULL, fresh()),
                  "result");
    REFUSED_WORDS(lssb_snapshot_capture(&box, NULL, &snapshot, fresh()),
                  "options");
    REFUSED_WORDS(lssb_snapshot_capture(&box, &capture, NULL, fresh()),
                  "snapshot: NULL");
    REFUSED_WORDS(lssb_snapshot_get(client, "a", NULL, NULL, fresh()),
                  "result");
    REFUSED_WORDS(lssb_snapshot_tags(client, "a", NULL, fresh()), "result");
    REFUSED_WORDS(lssb_snapshot_next(client, NULL, &snapshot, 1, &count,
                                     fresh()), "NULL");
    REFUSED_WORDS(lssb_snapshot_next(client, &list, &snapshot, 0, &count,
                                     fresh()), "max is 0");
    REFUSED_WORDS(lssb_snapshot_delete(&nobody, fresh()), "empty");
    REFUSED_WORDS(lssb_registry_create(client, NULL, &registry, fresh()),
                  "options");
    REFUSED_WORDS(lssb_template_rename(client, "a", NULL, &a_template,
                                       fresh()), "new name");
    REFUSED_WORDS(lssb_volume_create(client, &volume_size, &volume, fresh()),
                  "name is missing");
    REFUSED_WORDS(lssb_pool_create(client, &pool_pause, &pool, fresh()),
                  "name is missing");
    REFUSED_WORDS(lssb_service_url(&box, NULL, &service, fresh()), "options");
    REFUSED_WORDS(lssb_download_url(&box, NULL, &file_link, fresh()),
                  "options");
    REFUSED_WORDS(lssb_glob(&box, &empty, fresh()), "pattern");
    EXPECT_INT(lssb_snapshot_delete(NULL, fresh()), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_snapshot_wait(NULL, 0, NULL), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_service_next(NULL, NULL, NULL, 1, &count, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(rec.request_count, 0);
    end();
}

/* ---------------------------------------------------------------- errors -- */

/* What each refusal means at each endpoint (2.7 to 2.17, 4.7, 7, 9.4). */
static void every_refusal_means_what_its_table_says(void)
{
    static const struct {
        const char *name;
        lssb_status (*make)(lssb_op *o);
        int http;
        const char *body;
        lssb_status status;
        lssb_resource resource;
        const char *type, *words;
    } rows[] = {
        { "401", get_snapshot, 401, "{\"detail\":\"Invalid API key\"}",
          LSSB_E_AUTH, LSSB_RESOURCE_NONE, "", "Invalid API key" },
        { "403", create_image, 403, "{\"detail\":{\"error\":\"Forbidden\","
          "\"message\":\"no\"}}", LSSB_E_AUTH, LSSB_RESOURCE_NONE, "Forbidden",
          "no" },
        { "create snapshot 422", create_image, 422, "{\"detail\":[{\"loc\":["
          "\"body\",\"name\"],\"msg\":\"bad\",\"type\":\"value_error\"}]}",
          LSSB_E_VALIDATION, LSSB_RESOURCE_NONE, "", "bad" },
        { "create snapshot 429", create_image, 429, "{\"detail\":\"storage\"}",
          LSSB_E_QUOTA, LSSB_RESOURCE_NONE, "", "storage" },
        { "create snapshot 500", create_image, 500, "{\"detail\":\"boom\"}",
          LSSB_E_API, LSSB_RESOURCE_NONE, "", "boom" },
        { "create snapshot 503", create_image, 503, "", LSSB_E_REFUSED,
          LSSB_RESOURCE_NONE, "", "503" },
        { "create snapshot 504", create_image, 504, "<html>", LSSB_E_REFUSED,
          LSSB_RESOURCE_NONE, "", "504" },
        { "create snapshot 409", create_image, 409, "{\"detail\":\"x\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "x" },
        { "create snapshot 404", create_image, 404, "{\"detail\":\"x\"}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_NONE, "", "x" },
        { "capture 409", capture_box, 409, "{\"detail\":\"x\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "x" },
        { "delete registry 409", delete_registry, 409, "{\"detail\":\"x\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "x" },
        { "delete pool 409", delete_pool, 409, "{\"detail\":\"x\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "x" },
        { "create template 404", create_template, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_NONE, "", "404" },
        { "service URL 429", service_token, 429, "{}", LSSB_E_QUOTA,
          LSSB_RESOURCE_NONE, "", "429" },
        { "link 429", link_plain, 429, "{}", LSSB_E_QUOTA, LSSB_RESOURCE_NONE,
          "", "429" },
        { "get snapshot 404", get_snapshot, 404, "{\"detail\":{\"error\":"
          "\"not_found\",\"message\":\"not found\"}}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_SNAPSHOT, "not_found",
          "snapshot name:tag/x: not found" },
        { "capture 404", capture_box, 404, "{\"detail\":\"gone\"}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_SANDBOX, "",
          "sandbox box-1: gone" },
        { "delete snapshot 404", delete_snapshot, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_SNAPSHOT, "", "7f0c" },
        { "delete snapshot 409", delete_snapshot, 409, "{\"detail\":\"boxes "
          "use it\"}", LSSB_E_IN_USE, LSSB_RESOURCE_SNAPSHOT, "",
          "boxes use it" },
        { "list snapshots 404", list_snapshots, 404, "{}", LSSB_E_API,
          LSSB_RESOURCE_NONE, "", "check the endpoint" },
        { "tags 404", get_tags, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_SNAPSHOT, "", "py/thon" },
        { "registry 404", get_registry, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_REGISTRY, "", "registry internal: " },
        { "create registry 409", create_registry, 409, "{\"detail\":\"x\"}",
          LSSB_E_ALREADY_EXISTS, LSSB_RESOURCE_REGISTRY, "", "x" },
        { "change registry 409", change_registry_all, 409,
          "{\"detail\":\"x\"}", LSSB_E_NAME_CONFLICT, LSSB_RESOURCE_REGISTRY,
          "", "x" },
        { "delete registry 404", delete_registry, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_REGISTRY, "", "internal" },
        { "list registries 404", list_registries, 404, "{}", LSSB_E_API,
          LSSB_RESOURCE_NONE, "", "check the endpoint" },
        { "template 404", get_template, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_TEMPLATE, "", "template a/b: " },
        { "rename template 404", rename_template, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_TEMPLATE, "", "python-sandbox" },
        { "rename template 409", rename_template, 409, "{}",
          LSSB_E_NAME_CONFLICT, LSSB_RESOURCE_TEMPLATE, "", "409" },
        { "delete template 409", delete_template, 409, "{\"detail\":{"
          "\"error\":\"Conflict\",\"message\":\"in use by sandboxes\"}}",
          LSSB_E_IN_USE, LSSB_RESOURCE_TEMPLATE, "Conflict",
          "in use by sandboxes" },
        { "delete template 404", delete_template, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_TEMPLATE, "", "python-sandbox" },
        { "list templates 404", list_templates, 404, "{}", LSSB_E_API,
          LSSB_RESOURCE_NONE, "", "check the endpoint" },
        { "create volume 503", create_volume, 503, "{\"detail\":{\"error\":"
          "\"Other\",\"message\":\"m\"}}", LSSB_E_CREATION,
          LSSB_RESOURCE_VOLUME, "VolumeProvisioning", "m" },
        { "create volume 504", create_volume, 504, "{\"detail\":\"slow\"}",
          LSSB_E_TIMEOUT, LSSB_RESOURCE_VOLUME, "", "slow" },
        { "create volume 429", create_volume, 429,
          "{\"detail\":\"volume limit\"}", LSSB_E_QUOTA, LSSB_RESOURCE_NONE,
          "", "volume limit" },
        { "change volume 400", change_volume, 400, "{\"detail\":{\"error\":"
          "\"ResizeError\",\"message\":\"cannot be decreased\"}}",
          LSSB_E_VALIDATION, LSSB_RESOURCE_NONE, "VolumeResize",
          "cannot be decreased" },
        { "change volume 404", change_volume, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_VOLUME, "", "my-volume" },
        { "change volume 409", change_volume, 409, "{}", LSSB_E_NAME_CONFLICT,
          LSSB_RESOURCE_VOLUME, "", "409" },
        { "change volume 429", change_volume, 429, "{\"detail\":\"storage\"}",
          LSSB_E_QUOTA, LSSB_RESOURCE_NONE, "", "storage" },
        { "delete volume 409", delete_volume, 409, "{}", LSSB_E_IN_USE,
          LSSB_RESOURCE_VOLUME, "", "409" },
        { "list volumes 404", list_volumes, 404, "{}", LSSB_E_API,
          LSSB_RESOURCE_NONE, "", "check the endpoint" },
        { "create pool 400 template", create_pool, 400, "{\"detail\":{"
          "\"error\":\"TemplateNotFound\",\"message\":\"m\"}}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_TEMPLATE, "TemplateNotFound", "m" },
        { "create pool 400 volumes", create_pool, 400, "{\"detail\":{"
          "\"error\":\"ValidationError\",\"message\":\"m\"}}",
          LSSB_E_VALIDATION, LSSB_RESOURCE_NONE, "ValidationError", "m" },
        { "create pool 400 other", create_pool, 400, "{\"detail\":\"m\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "m" },
        { "create pool 409", create_pool, 409, "{}", LSSB_E_ALREADY_EXISTS,
          LSSB_RESOURCE_POOL, "", "409" },
        { "create pool 504", create_pool, 504, "{\"detail\":{\"error\":"
          "\"Timeout\",\"message\":\"within 30 seconds\"}}", LSSB_E_TIMEOUT,
          LSSB_RESOURCE_POOL, "Timeout", "within 30 seconds" },
        { "change pool 409", change_pool, 409, "{}", LSSB_E_NAME_CONFLICT,
          LSSB_RESOURCE_POOL, "", "409" },
        { "change pool 404", change_pool, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_POOL, "", "python-pool" },
        { "change pool 400", change_pool, 400, "{\"detail\":{\"error\":"
          "\"ValidationError\"}}", LSSB_E_VALIDATION, LSSB_RESOURCE_NONE,
          "ValidationError", "400" },
        { "delete pool 404", delete_pool, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_POOL, "", "python-pool" },
        { "list pools 404", list_pools, 404, "{}", LSSB_E_API,
          LSSB_RESOURCE_NONE, "", "check the endpoint" },
        { "service URL 404", service_token, 404, "{\"detail\":\"no\"}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_SANDBOX, "", "sandbox box-1: no" },
        { "service URL 422", service_token, 422, "{\"detail\":\"no\"}",
          LSSB_E_VALIDATION, LSSB_RESOURCE_NONE, "", "no" },
        { "service URL 409", service_token, 409, "{\"detail\":{\"error\":"
          "\"Conflict\",\"message\":\"a LangSmith login grant is in place\","
          "\"error_id\":\"e-1\"}}", LSSB_E_REFUSED, LSSB_RESOURCE_NONE,
          "Conflict", "no token while a login is in place" },
        { "service URL 501", service_login, 501, "{\"detail\":\"no domain\"}",
          LSSB_E_REFUSED, LSSB_RESOURCE_NONE, "", "no domain" },
        { "service URLs 404", list_services, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_SANDBOX, "", "box-1" },
        { "link 404", link_plain, 404, "{}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_SANDBOX, "", "box-1" },
        { "link 501", link_plain, 501, "{}", LSSB_E_REFUSED,
          LSSB_RESOURCE_NONE, "", "501" },
        { "glob 404 file", glob_files, 404, "{\"detail\":{\"error\":"
          "\"FileNotFound\",\"message\":\"no such directory\"}}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_FILE, "FileNotFound",
          "file /srv in sandbox box-1: no such directory" },
        { "glob 404", glob_files, 404, "{\"detail\":\"Not Found\"}",
          LSSB_E_NOT_FOUND, LSSB_RESOURCE_FILE, "", "has no searches" },
        { "grep 404 type", grep_files, 404, "{\"detail\":{\"error\":"
          "\"ReadError\",\"message\":\"m\"}}", LSSB_E_NOT_FOUND,
          LSSB_RESOURCE_FILE, "ReadError", "/srv" },
        { "grep 405", grep_files, 405, "{}", LSSB_E_REFUSED,
          LSSB_RESOURCE_NONE, "", "has no searches" },
        { "grep read", grep_files, 500, "{\"detail\":{\"error\":\"ReadError\","
          "\"message\":\"m\"}}", LSSB_E_OPERATION, LSSB_RESOURCE_NONE,
          "ReadError", "m" },
        { "grep 403", grep_files, 403, "{}", LSSB_E_OPERATION,
          LSSB_RESOURCE_NONE, "PermissionDenied", "403" },
        { "grep 400", grep_files, 400, "{\"detail\":{\"error\":\"NotReady\","
          "\"message\":\"m\"}}", LSSB_E_NOT_READY, LSSB_RESOURCE_NONE,
          "NotReady", "m" }
    };
    size_t i, k;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        struct rec_reply same[4];

        test_row = rows[i].name;
        memset(same, 0, sizeof same);
        for (k = 0; k < 4; k++) {   /* some are asked again */
            same[k].status = rows[i].http;
            same[k].headers = "";
            same[k].body = rows[i].body;
        }
        rec_serve(same, 4);
        EXPECT_INT(finish(rows[i].make(fresh())), rows[i].status);
        rec.reply_at = rec.reply_count;
        EXPECT_INT(failure.status, rows[i].status);
        EXPECT_INT(failure.http_status, rows[i].http);
        EXPECT_INT(failure.resource, rows[i].resource);
        EXPECT_STR(failure.type, rows[i].type);
        EXPECT(contains(failure.message, rows[i].words));
        EXPECT_INT(rec.request_count,
                   strcmp(rows[i].name, "change volume 429") == 0 ? 4 : 1);
    }
    end();
}

/* Protocol 8: the first attempt may have done it, and its reply was lost. */
static void what_was_done_before_its_reply_was_lost_is_done(void)
{
    static lssb_status (*const deletions[])(lssb_op *o) = {
        delete_snapshot, delete_registry, delete_template, delete_volume,
        delete_pool
    };
    static const struct {
        lssb_status (*make)(lssb_op *o);
        const char *path;
    } renames[] = { { change_registry_all, ROOT "/internal" },
                    { rename_template, "/templates/py" },
                    { change_volume_name, "/volumes/my-volume" },
                    { change_pool_name, "/pools/b" } };
    size_t i;

    begin();
    for (i = 0; i < COUNT(deletions); i++) {
        SERVE(LOST, R(404, "{}"));
        EXPECT_INT(deletions[i](NULL), LSSB_OK);
        SERVE(R(404, "{}"));
        EXPECT_INT(deletions[i](NULL), LSSB_E_NOT_FOUND);
    }
    for (i = 0; i < COUNT(renames); i++) {
        test_row = renames[i].path;
        SERVE(LOST, R(404, "{}"), R(200, "{}"));
        EXPECT_INT(renames[i].make(NULL), LSSB_OK);
        expect_api(2, "GET", renames[i].path, NULL);
        SERVE(LOST, R(404, "{}"), R(404, "{}"));
        EXPECT_INT(renames[i].make(NULL), LSSB_E_NOT_FOUND);
    }
    SERVE(LOST, R(404, "{}"));
    EXPECT_INT(change_registry(NULL), LSSB_E_NOT_FOUND);
    end();
}

/* ------------------------------------------- snapshots (2.7 to 2.9, A.2) -- */

static const char snapshot_complete[] =
    "{\"id\":\"7f0c\",\"name\":\"python\",\"status\":\"ready\","
    "\"fs_capacity_bytes\":4294967296,\"fs_used_bytes\":130023424,"
    "\"docker_image\":\"python:3.12-slim\",\"image_digest\":\"sha256:ab\","
    "\"source_sandbox_id\":\"b-1\",\"status_message\":\"m\","
    "\"registry_id\":\"reg-1\",\"created_by\":\"6e1f\","
    "\"created_at\":\"2026-08-01T10:00:00Z\",\"updated_at\":\"t2\","
    "\"run_config\":{\"user\":\"0\",\"work_dir\":\"/\",\"env_vars\":"
    "{\"PYTHON_VERSION\":\"3.12.8\"}},\"labels\":{\"team\":\"infra\"},"
    "\"tags\":[\"latest\",\"v1\"],\"memory_snapshot_size_bytes\":7,"
    "\"unknown\":{\"name\":\"no\",\"id\":[1]}}";

static void expect_snapshot_complete(const lssb_snapshot *s)
{
    EXPECT(s->client == client);
    EXPECT_INT(s->state, LSSB_STATE_READY);
    EXPECT_STR(s->status, "ready");
    EXPECT_STR(s->id, "7f0c");
    EXPECT_STR(s->name, "python");
    EXPECT_STR(s->status_message, "m");
    EXPECT_STR(s->docker_image, "python:3.12-slim");
    EXPECT_STR(s->image_digest, "sha256:ab");
    EXPECT_STR(s->source_sandbox_id, "b-1");
    EXPECT_STR(s->registry_id, "reg-1");
    EXPECT_STR(s->created_by, "6e1f");
    EXPECT_STR(s->created_at, "2026-08-01T10:00:00Z");
    EXPECT_STR(s->updated_at, "t2");
    EXPECT_INT(s->fs_capacity_bytes, INT64_C(4294967296));
    EXPECT_INT(s->fs_used_bytes, 130023424);
    EXPECT_INT(s->memory_snapshot_size_bytes, 7);
    EXPECT(s->has_run_config);
}

static void a_complete_snapshot_arrives_split_anywhere(void)
{
    begin();
    for (rec.split = 1; rec.split < sizeof snapshot_complete + 80;
         rec.split++) {
        memset(&snapshot, 0x55, sizeof snapshot);
        SERVE(R(200, snapshot_complete));
        EXPECT_INT(get_snapshot(NULL), LSSB_OK);
        expect_snapshot_complete(&snapshot);
    }
    rec.split = 0;
    SERVE(RF(200, "", snapshot_complete, REC_CHUNKED, 0));
    EXPECT_INT(get_snapshot(NULL), LSSB_OK);
    expect_snapshot_complete(&snapshot);
    SERVE(R(201, snapshot_complete));
    EXPECT_INT(capture_box(NULL), LSSB_OK);
    expect_snapshot_complete(&snapshot);
    end();
}

static void what_a_snapshot_has_no_room_for_goes_to_the_details(void)
{
    begin();
    forget_details();
    SERVE(R(200, snapshot_complete));
    EXPECT_INT(lssb_snapshot_get(client, "a", &snapshot, &details, NULL),
               LSSB_OK);
    EXPECT_STR(details_seen.text,
               "/run_config/user=0;/run_config/work_dir=/;"
               "/run_config/env_vars/PYTHON_VERSION=3.12.8;"
               "/labels/team=infra;/tags/0=latest;/tags/1=v1;"
               "/unknown/name=no;/unknown/id/0=1;");
    expect_snapshot_complete(&snapshot);
    forget_details();
    SERVE(R(200, "{\"labels\":{\"run_config\":\"no\"},\"run_config\":null}"));
    EXPECT_INT(lssb_snapshot_get(client, "a", &snapshot, &details, NULL),
               LSSB_OK);
    EXPECT_STR(details_seen.text, "/labels/run_config=no;/run_config=null;");
    EXPECT(!snapshot.has_run_config);
    SERVE(RF(200, "", snapshot_complete, REC_CUT,
             sizeof snapshot_complete - 9), R(200, "{}"));
    EXPECT_INT(lssb_snapshot_get(client, "a", &snapshot, &details, NULL),
               LSSB_OK);
    EXPECT(!snapshot.has_run_config);
    end();
}

static void a_snapshot_of_which_nothing_is_said_has_the_defaults(void)
{
    static const char *const rows[] = {
        "{}",
        "{\"id\":null,\"name\":null,\"status\":null,\"docker_image\":null,"
        "\"fs_capacity_bytes\":null,\"fs_used_bytes\":null,"
        "\"run_config\":null,\"labels\":null,\"tags\":null,"
        "\"memory_snapshot_size_bytes\":null,\"image_digest\":null}",
        "{\"x\":[{\"id\":\"no\"}],\"run_config\":[1,{\"id\":\"no\"}]}"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        memset(&snapshot, 0x55, sizeof snapshot);
        SERVE(R(200, rows[i]));
        EXPECT_INT(get_snapshot(NULL), LSSB_OK);
        EXPECT_INT(snapshot.state, LSSB_STATE_BUILDING);
        EXPECT_STR(snapshot.status, "building");
        EXPECT_STR(snapshot.id, "");
        EXPECT_STR(snapshot.name, "");
        EXPECT_STR(snapshot.docker_image, "");
        EXPECT_STR(snapshot.image_digest, "");
        EXPECT_STR(snapshot.updated_at, "");
        EXPECT_INT(snapshot.fs_capacity_bytes, 0);
        EXPECT_INT(snapshot.fs_used_bytes, LSSB_UNKNOWN);
        EXPECT_INT(snapshot.memory_snapshot_size_bytes, LSSB_UNKNOWN);
        EXPECT_INT(snapshot.has_run_config, i == 2);
    }
    end();
}

static void a_reply_that_is_no_object_breaks_the_protocol(void)
{
    static const char *const rows[] = { "", "[]", "1", "null", "\"x\"" };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(R(200, rows[i]), R(200, rows[i]), R(200, rows[i]),
              R(200, rows[i]), R(200, rows[i]));
        EXPECT_INT(get_snapshot(NULL), LSSB_E_PROTOCOL);
        EXPECT_INT(get_template(NULL), LSSB_E_PROTOCOL);
        EXPECT_INT(service_token(NULL), LSSB_E_PROTOCOL);
        EXPECT_INT(glob_files(NULL), LSSB_E_PROTOCOL);
        EXPECT_INT(get_tags(NULL), LSSB_E_PROTOCOL);
    }
    end();
}

static void a_creation_that_lacks_what_it_needs_is_refused_in_words(void)
{
    static const struct {
        const char *words;
        lssb_snapshot_options options;
    } rows[] = {
        { "name is missing", { .docker_image = "i", .fs_capacity_bytes = 1 } },
        { "docker_image is missing", { .name = "n", .docker_image = "",
                                       .fs_capacity_bytes = 1 } },
        { "fs_capacity_bytes is missing", { .name = "n",
                                            .docker_image = "i" } },
        { "2^63-1", { .name = "n", .docker_image = "i",
                      .fs_capacity_bytes = UINT64_MAX } },
        { "more: a JSON object", { .name = "n", .docker_image = "i",
                                   .fs_capacity_bytes = 1, .more = "[]" } }
    };
    static const lssb_registry_options registries[] = {
        { "n", "u", "us", NULL, NULL }, { "n", "u", "", "p", NULL },
        { "n", NULL, "us", "p", NULL }, { NULL, "u", "us", "p", NULL }
    };
    lssb_template_options t = { .name = "n" };
    lssb_pool_options p = { .name = "n", .template_name = "t" };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].words;
        EXPECT_INT(lssb_snapshot_create(client, &rows[i].options, &snapshot,
                                        fresh()), LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, rows[i].words));
    }
    for (i = 0; i < COUNT(registries); i++) {
        EXPECT_INT(lssb_registry_create(client, &registries[i], &registry,
                                        fresh()), LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, "is missing or empty"));
    }
    EXPECT_INT(lssb_template_create(client, &t, &a_template, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "image is missing"));
    t.image = "i";
    t.volume_mount_count = 1;
    EXPECT_INT(lssb_template_create(client, &t, &a_template, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "volume_mounts"));
    EXPECT_INT(lssb_pool_create(client, &p, &pool, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "replicas"));
    p.replicas = -7;
    EXPECT_INT(lssb_pool_change(client, "n", &p, &pool, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "replicas"));
    EXPECT_INT(rec.request_count, 0);
    end();
}

/* --------------------------------------------------------- waiting (3.3) -- */

static void a_creation_polls_by_id_every_two_seconds_until_it_is_ready(void)
{
    lssb_snapshot_options options = image;
    size_t i;

    begin();
    options.no_wait = false;
    options.details = &details;
    rec.random = 200;               /* of 400: in the middle */
    forget_details();
    SERVE(R(201, "{\"id\":\"7f0c\",\"labels\":{\"a\":\"1\"}}"),
          R(200, "{\"id\":\"7f0c\",\"status\":\"building\",\"tags\":[1]}"),
          R(200, "{\"id\":\"7f0c\",\"status\":\"strange\",\"tags\":[2]}"),
          R(200, "{\"status\":\"ready\",\"tags\":[3]}"),
          R(200, snapshot_complete));
    EXPECT_INT(lssb_snapshot_create(client, &options, &snapshot, NULL),
               LSSB_OK);
    for (i = 1; i < 5; i++)
        expect_api(i, "GET", "/snapshots/7f0c", NULL);
    EXPECT_INT(rec.requests[1].at - rec.requests[0].at, 0);
    EXPECT_INT(rec.requests[2].at - rec.requests[1].at, 2000);
    EXPECT_INT(rec.requests[3].at - rec.requests[2].at, 2000);
    EXPECT(contains(details_seen.text, "/tags/1=v1;"));
    EXPECT(!contains(details_seen.text, "/tags/0=2;"));
    expect_snapshot_complete(&snapshot);
    end();
}

static void a_capture_waits_too_and_a_reply_without_an_id_is_asked_by_name(
    void)
{
    lssb_capture_options options = capture;

    begin();
    options.no_wait = false;
    SERVE(R(201, "{\"name\":\"sn/ap\"}"), R(200, "{\"status\":\"ready\"}"));
    EXPECT_INT(lssb_snapshot_capture(&box, &options, &snapshot, NULL),
               LSSB_OK);
    expect_api(1, "GET", "/snapshots/sn%2Fap", NULL);
    SERVE(R(201, "{}"), R(500, "{}"), R(500, "{}"));
    EXPECT_INT(lssb_snapshot_capture(&box, &options, &snapshot, NULL),
               LSSB_E_PROTOCOL);
    memset(&snapshot, 0x55, sizeof snapshot);   /* nothing was made */
    EXPECT_INT(lssb_snapshot_capture(&box, &options, &snapshot, NULL),
               LSSB_E_API);
    EXPECT_STR(snapshot.id, "");
    memset(&snapshot, 0x55, sizeof snapshot);
    EXPECT_INT(create_image(NULL), LSSB_E_API);
    EXPECT_STR(snapshot.id, "");
    end();
}

static void a_wait_ends_as_its_state_or_its_time_says(void)
{
    static const struct {
        const char *name, *reply;
        lssb_status status;
        const char *words, *last;
    } rows[] = {
        { "failed", "{\"id\":\"7f0c\",\"status\":\"failed\",\"status_message\""
          ":\"Docker pull failed\"}", LSSB_E_CREATION,
          "snapshot 7f0c: Docker pull failed", "failed" },
        { "failed, mute", "{\"status\":\"failed\"}", LSSB_E_CREATION,
          "Snapshot build failed", "failed" },
        { "deleting", "{\"status\":\"deleting\"}", LSSB_E_CREATION,
          "being deleted", "deleting" },
        { "building", "{\"status\":\"building\"}", LSSB_E_TIMEOUT,
          "not ready after 3 s (last_status: building)", "building" },
        { "nothing", "{}", LSSB_E_TIMEOUT, "last_status: building",
          "building" }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        uint64_t from = rec.now;

        test_row = rows[i].name;
        memset(&snapshot, 0, sizeof snapshot);
        snapshot.client = client;
        memcpy(snapshot.id, "7f0c", 5);
        rec.random = 200;
        SERVE(R(200, rows[i].reply), R(200, rows[i].reply),
              R(200, rows[i].reply));
        EXPECT_INT(finish(lssb_snapshot_wait(&snapshot, 3, fresh())),
                   rows[i].status);
        EXPECT(contains(failure.message, rows[i].words));
        EXPECT_STR(failure.last_status, rows[i].last);
        EXPECT_INT(failure.resource, LSSB_RESOURCE_SNAPSHOT);
        EXPECT_STR(snapshot.id, "7f0c");
        if (rows[i].status == LSSB_E_TIMEOUT) {
            EXPECT_INT(rec.request_count, 3);
            EXPECT_INT(rec.now - from, 3000);
        } else {
            EXPECT_INT(rec.request_count, 1);
        }
        rec.reply_at = rec.reply_count;
    }
    SERVE(R(404, "{}"));
    EXPECT_INT(finish(lssb_snapshot_wait(&snapshot, 0, fresh())),
               LSSB_E_NOT_FOUND);
    EXPECT(contains(failure.message, "snapshot 7f0c: "));
    end();
}

static void the_default_times_of_waits_are_the_protocols(void)
{
    lssb_snapshot_options options = image;
    struct rec_reply replies[REC_REQUESTS];
    size_t i;
    uint64_t from;

    begin();
    options.no_wait = false;
    rec.random = 200;
    for (i = 0; i < REC_REQUESTS; i++)
        replies[i] = (struct rec_reply)R(200, "{\"id\":\"i\"}");
    rec_serve(replies, REC_REQUESTS);
    from = rec.now;
    EXPECT_INT(lssb_snapshot_create(client, &options, &snapshot, NULL),
               LSSB_E_TIMEOUT);
    EXPECT_INT(rec.now - from, 60000);
    options.timeout_s = 10;
    rec_serve(replies, REC_REQUESTS);
    from = rec.now;
    EXPECT_INT(lssb_snapshot_create(client, &options, &snapshot, NULL),
               LSSB_E_TIMEOUT);
    EXPECT_INT(rec.now - from, 10000);
    rec.reply_at = rec.reply_count;
    end();
}

/* --------------------------------------------------- lists (2.4, 2.9) -- */

static void snapshots_page_by_cursor_and_by_offset(void)
{
    static const char *const label_filters[] = { "a", "b=c" };
    lssb_snapshot_list list;
    lssb_snapshot got[2];
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    list.labels = label_filters;
    list.label_count = 2;
    list.sort_order = "desc";
    SERVE(R(200, "{\"items\":[{\"id\":\"1\"},{\"id\":\"2\"}],"
                 "\"next_cursor\":\"c/1\",\"snapshots\":[{\"id\":\"1\"},"
                 "{\"id\":\"2\"}],\"offset\":2}"),
          R(200, "{\"items\":[{\"id\":\"3\"}],\"next_cursor\":null}"));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 2);
    EXPECT_STR(got[1].id, "2");
    EXPECT(!got[0].has_run_config);
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 1);
    EXPECT_STR(got[0].id, "3");
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_END);
    expect_api(0, "GET", "/snapshots?page_size=2&label=a&label=b%3Dc"
               "&sort_order=desc", NULL);
    expect_api(1, "GET", "/snapshots?page_size=2&cursor=c%2F1&label=a"
               "&label=b%3Dc&sort_order=desc", NULL);

    memset(&list, 0, sizeof list);
    list.sort_order = "desc";
    SERVE(R(200, "{\"snapshots\":[{\"id\":\"1\",\"run_config\":{\"user\":"
                 "\"0\"}},{\"id\":\"2\"},{\"id\":\"3\"}],\"offset\":0}"),
          R(200, "{\"snapshots\":[{\"id\":\"3\"}],\"offset\":0}"));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 2);
    EXPECT(got[0].has_run_config);
    EXPECT(!got[1].has_run_config);
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 1);
    EXPECT_STR(got[0].id, "3");
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, fresh()),
               LSSB_END);
    expect_api(1, "GET", "/snapshots?limit=2&offset=2&sort_direction=desc",
               NULL);
    end();
}

static void a_page_that_was_cut_is_forgotten_and_a_cursor_alone_is_one(void)
{
    static const char cut[] = "{\"items\":[{\"id\":\"1\"},{\"id\":\"2\"}],"
                              "\"next_cursor\":\"c\"}";
    static char cursor[LSSB_URL_SIZE + 1], reply[LSSB_URL_SIZE + 50];
    lssb_snapshot_list list;
    lssb_snapshot got[2];
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    SERVE(RF(200, "", cut, REC_CUT, 22),
          R(200, "{\"snapshots\":[{\"id\":\"7\"}]}"), R(200, "{}"));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 1);
    EXPECT_STR(got[0].id, "7");
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_END);
    expect_api(2, "GET", "/snapshots?limit=2&offset=1", NULL);
    memset(&list, 0, sizeof list);
    SERVE(R(200, "{\"next_cursor\":\"c\",\"snapshots\":[{},{}]}"),
          R(200, "{\"snapshots\":[{}],\"next_cursor\":\"\"}"));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 1);
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_END);
    expect_api(1, "GET", "/snapshots?page_size=2&cursor=c", NULL);
    memset(&list, 0, sizeof list);  /* longer than the array, then shorter */
    SERVE(R(200, "{\"items\":[{},{},{}],\"next_cursor\":\"c\"}"),
          R(200, "{\"items\":[{},{}],\"next_cursor\":\"c\"}"),
          R(200, "{\"items\":[{\"id\":\"4\"}],\"next_cursor\":null}"));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 2);
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 1);
    EXPECT_STR(got[0].id, "4");
    expect_api(1, "GET", "/snapshots?page_size=2", NULL);
    expect_api(2, "GET", "/snapshots?page_size=2&cursor=c", NULL);
    memset(&list, 0, sizeof list);  /* too long a cursor to keep */
    memset(cursor, 'c', sizeof cursor - 1);
    snprintf(reply, sizeof reply, "{\"items\":[{}],\"next_cursor\":\"%s\"}",
             cursor);
    SERVE(R(200, reply));
    EXPECT_INT(lssb_snapshot_next(client, &list, got, 2, &count, NULL),
               LSSB_E_TOO_LONG);
    EXPECT(contains(lssb_error_text(client), "cursor"));
    end();
}

static void a_hundred_thousand_snapshots_pass_in_the_room_of_one(void)
{
    lssb_snapshot_list list;
    lssb_stats_list stats;
    size_t count, all = 0, wrong = 0;
    char id[16];

    begin();
    rec.total = 100000;
    memset(&list, 0, sizeof list);
    while (lssb_snapshot_next(client, &list, many, COUNT(many), &count,
                              NULL) == LSSB_OK) {
        snprintf(id, sizeof id, "%u", (unsigned)all);
        wrong += strcmp(many[0].id, id) != 0;
        all += count;
    }
    EXPECT_INT(all, 100000);
    EXPECT_INT(wrong, 0);
    lssb_stats(client, &stats);
    EXPECT(stats.element_high < 200);
    EXPECT_INT(stats.requests, 1000);
    end();
}

static void lists_that_do_not_page_pass_through_an_array_of_one(void)
{
    static const char three[] = "{\"volumes\":[{\"name\":\"a\"},{\"name\":"
                                "\"b\"},{\"name\":\"c\"}]}";
    lssb_plain_list list;
    char all[16] = "";
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    SERVE(R(200, three), R(200, three), R(200, three));
    while (lssb_volume_next(client, &list, &volume, 1, &count, NULL) ==
           LSSB_OK)
        strcat(all, volume.name);
    EXPECT_STR(all, "abc");
    EXPECT_INT(rec.request_count, 3);
    expect_api(2, "GET", "/volumes", NULL);
    memset(&list, 0, sizeof list);
    SERVE(R(200, "{\"volumes\":null}"));
    EXPECT_INT(lssb_volume_next(client, &list, &volume, 1, &count, NULL),
               LSSB_END);
    EXPECT_INT(count, 0);
    memset(&list, 0, sizeof list);
    SERVE(R(200, "{}"));
    EXPECT_INT(lssb_pool_next(client, &list, &pool, 1, &count, NULL),
               LSSB_END);
    end();
}

static void registries_page_by_offset_from_the_start(void)
{
    lssb_registry_list list;
    lssb_registry got[2];
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    SERVE(R(200, "{\"registries\":[{\"id\":\"1\"},{\"id\":\"2\"}],"
                 "\"offset\":0}"),
          R(200, "{\"registries\":[{\"id\":\"3\"}],\"offset\":2}"));
    EXPECT_INT(lssb_registry_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_registry_next(client, &list, got, 2, &count, NULL),
               LSSB_OK);
    EXPECT_STR(got[0].id, "3");
    EXPECT_INT(lssb_registry_next(client, &list, got, 2, &count, NULL),
               LSSB_END);
    expect_api(0, "GET", ROOT "?limit=2&offset=0", NULL);
    expect_api(1, "GET", ROOT "?limit=2&offset=2", NULL);
    end();
}

static void tags_are_told_one_by_one_and_never_twice(void)
{
    static const char two[] =
        "{\"name\":\"python\",\"tags\":[{\"tag\":\"latest\",\"snapshot_id\":"
        "\"7f0c\"},{\"x\":1,\"snapshot_id\":\"8\",\"tag\":\"v\\\"1\"}]}";

    begin();
    SERVE(R(200, two));
    EXPECT_INT(get_tags(NULL), LSSB_OK);
    EXPECT_STR(seen.text, "latest=7f0c;v\"1=8;");
    EXPECT_INT(tags.count, 2);
    SERVE(RF(200, "", two, REC_CUT, 40), R(200, two));
    EXPECT_INT(get_tags(NULL), LSSB_OK);
    EXPECT_INT(seen.count, 2);
    SERVE(RF(200, "", two, REC_CUT, sizeof two - 3));
    EXPECT_INT(get_tags(NULL), LSSB_E_CONNECTION);
    EXPECT_INT(seen.count, 2);
    SERVE(R(200, "{\"tags\":[\"latest\"]}"));
    EXPECT_INT(get_tags(NULL), LSSB_E_PROTOCOL);
    end();
}

/* ---------------------------------------------------- registries (2.11) -- */

static void a_registry_arrives_whole(void)
{
    begin();
    memset(&registry, 0x55, sizeof registry);
    SERVE(R(200, "{\"id\":\"reg-1\",\"name\":\"internal\",\"url\":\"r.e\","
                 "\"created_at\":\"c\",\"created_by\":\"cb\",\"updated_at\":"
                 "\"u\",\"updated_by\":\"ub\",\"more\":{\"id\":\"no\"}}"),
          R(200, "{\"id\":null}"));
    EXPECT_INT(get_registry(NULL), LSSB_OK);
    EXPECT_STR(registry.id, "reg-1");
    EXPECT_STR(registry.name, "internal");
    EXPECT_STR(registry.url, "r.e");
    EXPECT_STR(registry.created_at, "c");
    EXPECT_STR(registry.created_by, "cb");
    EXPECT_STR(registry.updated_at, "u");
    EXPECT_STR(registry.updated_by, "ub");
    EXPECT_INT(get_registry(NULL), LSSB_OK);
    EXPECT_STR(registry.id, "");
    EXPECT_STR(registry.updated_by, "");
    end();
}

/* Protocol 1.2. */
static void registries_are_below_the_root_of_the_api_whatever_the_base(void)
{
    static const struct {
        const char *endpoint, *path;
    } rows[] = {
        { "http://api.example.com", ROOT "/internal" },
        { "http://api.example.com/v2/sandboxes/", ROOT "/internal" },
        { "http://api.example.com/api/v2/sandboxes", ROOT "/internal" },
        { "http://api.example.com/x/v2/sandboxes", "/x" ROOT "/internal" },
        { "http://api.example.com/x/api/v2/sandboxes", "/x" ROOT "/internal" },
        { "http://api.example.com/myapi", "/myapi" ROOT "/internal" }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].endpoint;
        begin_at(rows[i].endpoint);
        SERVE(R(200, "{}"));
        EXPECT_INT(get_registry(NULL), LSSB_OK);
        expect_request(0, "api.example.com", "GET", rows[i].path, NULL);
        end();
    }
}

static char traced[4096];

/* Everything that a trace says. */
static void take_trace(void *user, const lssb_trace_event *event)
{
    size_t len = strlen(traced);

    (void)user;
    snprintf(traced + len, sizeof traced - len, "%s %s;", event->host,
             event->text);
}

static void secrets_are_in_no_error_and_no_trace(void)
{
    static const struct {
        lssb_status (*make)(lssb_op *o);
        const char *secret;
    } rows[] = { { create_registry, "s3cret" }, { service_token, "eyJ" },
                 { link_plain, "tok" } };
    lssb_config config;
    size_t i;

    memset(&rec, 0, sizeof rec);
    memset(&config, 0, sizeof config);
    config.endpoint = "http://127.0.0.1";
    config.no_environment = true;
    config.memory = &memory;
    config.memory_size = sizeof memory;
    config.port = &rec_port;
    config.trace = take_trace;
    config.slots = 1;
    EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
    box.client = client;
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].secret;
        traced[0] = '\0';
        SERVE(R(200, "{\"browser_url\":\"eyJ\",\"token\":\"eyJ\"}"),
              R(422, "{\"detail\":\"bad\"}"),
              R(200, "{\"download_url\":\"tok\",\"token\":1}"));
        rows[i].make(fresh());
        finish(LSSB_PENDING);
        EXPECT(!contains(failure.message, rows[i].secret));
        rows[i].make(fresh());
        EXPECT(finish(LSSB_PENDING) < 0);
        EXPECT(!contains(failure.message, rows[i].secret));
        rows[i].make(fresh());
        finish(LSSB_PENDING);
        EXPECT(!contains(traced, rows[i].secret));
        EXPECT(contains(traced, "POST /"));
    }
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
}

/* ---------------------------------- templates, volumes, pools (2.15 …) -- */

static void a_template_arrives_whole_and_has_the_defaults(void)
{
    lssb_template_options with_details = template_sized;
    size_t i;

    begin();
    forget_details();
    SERVE(R(200, "{\"id\":\"i\",\"name\":\"n\",\"image\":\"im\","
                 "\"resources\":{\"cpu\":\"2\",\"memory\":\"1Gi\",\"storage\":"
                 "\"5Gi\",\"x\":1},\"volume_mounts\":[{\"volume_name\":\"v\","
                 "\"mount_path\":\"/d\"}],\"created_at\":\"c\","
                 "\"updated_at\":\"u\"}"),
          R(201, "{\"new\":1}"),
          R(200, "{}"), R(200, "{\"image\":null,\"resources\":null}"),
          R(200, "{\"resources\":{\"storage\":null,\"cpu\":null}}"));
    EXPECT_INT(lssb_template_get(client, "n", &a_template, &details, NULL),
               LSSB_OK);
    EXPECT_STR(a_template.id, "i");
    EXPECT_STR(a_template.name, "n");
    EXPECT_STR(a_template.image, "im");
    EXPECT_STR(a_template.cpu, "2");
    EXPECT_STR(a_template.memory, "1Gi");
    EXPECT_STR(a_template.storage, "5Gi");
    EXPECT_STR(a_template.created_at, "c");
    EXPECT_STR(a_template.updated_at, "u");
    EXPECT_STR(details_seen.text, "/volume_mounts/0/volume_name=v;"
                                  "/volume_mounts/0/mount_path=/d;");
    forget_details();
    with_details.details = &details;
    EXPECT_INT(lssb_template_create(client, &with_details, &a_template, NULL),
               LSSB_OK);
    EXPECT_STR(details_seen.text, "/new=1;");
    for (i = 0; i < 3; i++) {
        memset(&a_template, 0x55, sizeof a_template);
        EXPECT_INT(get_template(NULL), LSSB_OK);
        EXPECT_STR(a_template.id, "");
        EXPECT_STR(a_template.name, "");
        EXPECT_STR(a_template.image, "unknown");
        EXPECT_STR(a_template.cpu, "500m");
        EXPECT_STR(a_template.memory, "512Mi");
        EXPECT_STR(a_template.storage, "");
        EXPECT_STR(a_template.updated_at, "");
    }
    end();
}

static void volumes_and_pools_arrive_whole_and_have_the_defaults(void)
{
    begin();
    SERVE(R(200, "{\"id\":\"i\",\"name\":\"n\",\"size\":\"10Gi\","
                 "\"storage_class\":\"gp3\",\"created_at\":\"c\","
                 "\"updated_at\":\"u\"}"),
          R(200, "{\"size\":null,\"x\":{}}"),
          R(200, "{\"id\":\"i\",\"name\":\"n\",\"template_name\":\"t\","
                 "\"replicas\":5.0,\"created_at\":\"c\",\"updated_at\":"
                 "\"u\"}"),
          R(200, "{\"replicas\":null}"));
    EXPECT_INT(get_volume(NULL), LSSB_OK);
    EXPECT_STR(volume.id, "i");
    EXPECT_STR(volume.name, "n");
    EXPECT_STR(volume.size, "10Gi");
    EXPECT_STR(volume.storage_class, "gp3");
    EXPECT_STR(volume.created_at, "c");
    EXPECT_STR(volume.updated_at, "u");
    EXPECT_INT(get_volume(NULL), LSSB_OK);
    EXPECT_STR(volume.id, "");
    EXPECT_STR(volume.size, "unknown");
    EXPECT_STR(volume.storage_class, "default");
    EXPECT_INT(get_pool(NULL), LSSB_OK);
    EXPECT_STR(pool.id, "i");
    EXPECT_STR(pool.name, "n");
    EXPECT_STR(pool.template_name, "t");
    EXPECT_INT(pool.replicas, 5);
    EXPECT_STR(pool.created_at, "c");
    EXPECT_STR(pool.updated_at, "u");
    EXPECT_INT(get_pool(NULL), LSSB_OK);
    EXPECT_STR(pool.name, "");
    EXPECT_INT(pool.replicas, 0);
    end();
}

static void a_creation_that_waits_on_the_server_has_thirty_seconds_more(void)
{
    lssb_volume_options slow = volume_new;
    lssb_pool_options slow_pool = pool_new;
    uint64_t from;

    begin();
    slow.timeout_s = 300;
    slow_pool.timeout_s = 7;
    SERVE({ 0, "", "", REC_SILENT, 0 }, { 0, "", "", REC_SILENT, 0 });
    from = rec.now;
    EXPECT_INT(lssb_volume_create(client, &slow, &volume, NULL),
               LSSB_E_DEADLINE);
    EXPECT_INT(rec.now - from, 330000);
    EXPECT(contains(rec.requests[0].text, "\"timeout\":300}"));
    from = rec.now;
    EXPECT_INT(lssb_pool_create(client, &slow_pool, &pool, NULL),
               LSSB_E_DEADLINE);
    EXPECT_INT(rec.now - from, 37000);
    EXPECT(contains(rec.requests[1].text, "\"timeout\":7}"));
    end();
}

static void a_box_from_a_template_has_the_older_lifetimes(void)
{
    static const lssb_sandbox_options options = {
        .template_name = "python-sandbox", .ttl_s = 3600, .idle_ttl_s = 600
    };
    static const lssb_sandbox_options wrong[] = {
        { .ttl_s = 61 }, { .ttl_s = -2 },
        { .template_name = "t", .snapshot_id = "s" },
        { .template_name = "t", .snapshot_name = "s" }
    };
    static const lssb_sandbox_update never = { .ttl_s = LSSB_NEVER };
    lssb_sandbox got;
    size_t i;

    begin();
    SERVE(R(201, "{\"name\":\"box-1\",\"template_name\":\"python-sandbox\","
                 "\"dataplane_url\":\"https://d\",\"ttl_seconds\":3600,"
                 "\"idle_ttl_seconds\":600,\"expires_at\":"
                 "\"2026-04-01T12:00:00Z\"}"),
          R(200, "{\"name\":\"box-1\"}"));
    EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL), LSSB_OK);
    expect_api(0, "POST", "/boxes", "{\"wait_for_ready\":true,"
               "\"template_name\":\"python-sandbox\",\"timeout\":30,"
               "\"idle_ttl_seconds\":600,\"ttl_seconds\":3600}");
    EXPECT_STR(got.template_name, "python-sandbox");
    EXPECT_INT(got.ttl_s, 3600);
    EXPECT_STR(got.expires_at, "2026-04-01T12:00:00Z");
    EXPECT_INT(lssb_sandbox_change(&got, &never, NULL), LSSB_OK);
    expect_api(1, "PATCH", "/boxes/box-1", "{\"ttl_seconds\":0}");
    EXPECT_INT(got.ttl_s, LSSB_UNKNOWN);
    EXPECT_STR(got.template_name, "");
    EXPECT_STR(got.expires_at, "");
    for (i = 0; i < COUNT(wrong); i++)
        EXPECT_INT(lssb_sandbox_create(client, &wrong[i], &got, NULL),
                   LSSB_E_INVALID_ARGUMENT);
    end();
}

/* -------------------------------------------------------- links (7, A.1) -- */

static void a_token_arrives_whole_or_not_at_all(void)
{
    static const char *const rows[] = {
        "{\"service_url\":\"s\",\"token\":\"t\",\"expires_at\":\"e\"}",
        "{\"browser_url\":\"b\",\"token\":\"t\",\"expires_at\":\"e\"}",
        "{\"browser_url\":\"b\",\"service_url\":\"s\",\"expires_at\":\"e\"}",
        "{\"browser_url\":\"b\",\"service_url\":\"s\",\"token\":\"t\"}",
        "{\"browser_url\":\"b\",\"service_url\":\"s\",\"token\":\"\"}"
    };
    size_t i;

    begin();
    SERVE(R(200, TOKEN_REPLY));
    EXPECT_INT(service_token(NULL), LSSB_OK);
    EXPECT_STR(service.browser_url, "https://550e--3000.svc.example.com/_svc/"
                                    "auth?token=eyJ");
    EXPECT_STR(service.service_url, "https://550e--3000.svc.example.com/");
    EXPECT_STR(service.token, "eyJ");
    EXPECT_STR(service.expires_at, "2099-01-01T00:00:00Z");
    EXPECT_STR(service.access, "");
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i];
        SERVE(R(200, rows[i]));
        EXPECT_INT(finish(service_token(fresh())), LSSB_E_REFUSED);
        EXPECT(contains(failure.message, "the reply has no "));
        EXPECT_STR(service.token, "");
        EXPECT_STR(service.service_url, "");
    }
    end();
}

static void a_login_that_is_none_is_not_handed_out(void)
{
    begin();
    SERVE(R(200, LOGIN_REPLY("restricted")), R(200, TOKEN_REPLY),
          R(200, LOGIN_REPLY("workspace")),
          R(200, "{\"service_url\":\"s\",\"access\":\"restricted\","
                 "\"token\":null,\"expires_at\":\"\"}"),
          R(200, "{\"browser_url\":\"b\"}"), R(200, "{}"));
    EXPECT_INT(service_login(NULL), LSSB_OK);
    EXPECT_STR(service.browser_url, "https://550e--3000.svc.example.com/");
    EXPECT_STR(service.token, "");
    EXPECT_STR(service.expires_at, "");
    EXPECT_STR(service.access, "restricted");
    EXPECT_INT(finish(service_login(fresh())), LSSB_E_REFUSED);
    EXPECT(contains(failure.message, "knows no logins"));
    EXPECT_STR(service.browser_url, "");
    EXPECT_STR(service.token, "");
    EXPECT_INT(finish(service_login(fresh())), LSSB_E_REFUSED);
    EXPECT(contains(failure.message, "another access"));
    EXPECT_INT(service_login(NULL), LSSB_OK);
    EXPECT_STR(service.browser_url, "s");
    EXPECT_INT(service_login(NULL), LSSB_OK);
    EXPECT_STR(service.browser_url, "b");
    EXPECT_INT(service_login(NULL), LSSB_E_REFUSED);
    end();
}

static void a_service_that_cannot_be_is_refused_unsent(void)
{
    static const struct {
        const char *words;
        lssb_service_options options;
    } rows[] = {
        { "port", { 0, 0, LSSB_ACCESS_TOKEN, NULL } },
        { "port", { 65536, 0, LSSB_ACCESS_TOKEN, NULL } },
        { "expires_in_s", { 1, 86401, LSSB_ACCESS_TOKEN, NULL } },
        { "expires_in_s", { 1, 60, LSSB_ACCESS_RESTRICTED, NULL } },
        { "access", { 1, 0, (lssb_access)9, NULL } },
        { "more: ", { 1, 0, LSSB_ACCESS_TOKEN, "[]" } }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        EXPECT_INT(lssb_service_url(&box, &rows[i].options, &service,
                                    fresh()), LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, rows[i].words));
    }
    EXPECT_INT(lssb_service_revoke(&box, 65536, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(rec.request_count, 0);
    end();
}

static void shared_ports_are_listed_page_by_page(void)
{
    lssb_plain_list list;
    lssb_shared_port ports[2];
    size_t count;

    begin();
    memset(&list, 0, sizeof list);
    SERVE(R(200, "{\"items\":[{\"port\":3000,\"access\":\"restricted\","
                 "\"created_at\":\"c\",\"created_by\":\"6e1f\"},{\"port\":80,"
                 "\"access\":\"token\",\"expires_at\":\"e\"}],"
                 "\"next_cursor\":\"n\"}"),
          R(200, "{\"items\":[{}],\"next_cursor\":null}"));
    EXPECT_INT(lssb_service_next(&box, &list, ports, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(count, 2);
    EXPECT_INT(ports[0].port, 3000);
    EXPECT_STR(ports[0].access, "restricted");
    EXPECT_STR(ports[0].created_at, "c");
    EXPECT_STR(ports[0].created_by, "6e1f");
    EXPECT_STR(ports[0].expires_at, "");
    EXPECT_INT(ports[1].port, 80);
    EXPECT_STR(ports[1].expires_at, "e");
    EXPECT_INT(lssb_service_next(&box, &list, ports, 2, &count, NULL),
               LSSB_OK);
    EXPECT_INT(ports[0].port, LSSB_UNKNOWN);
    EXPECT_STR(ports[0].access, "");
    EXPECT_INT(lssb_service_next(&box, &list, ports, 2, &count, NULL),
               LSSB_END);
    expect_api(0, "GET", "/boxes/box-1/service-urls?page_size=2", NULL);
    expect_api(1, "GET", "/boxes/box-1/service-urls?page_size=2&cursor=n",
               NULL);
    end();
}

static void a_link_arrives_whole(void)
{
    begin();
    SERVE(R(200, LINK_REPLY), R(200, "{\"download_url\":\"u\",\"expires_at\":"
                                     "\"2099-01-01T00:00:00Z\"}"),
          R(200, "{\"token\":\"t\"}"));
    EXPECT_INT(link_plain(NULL), LSSB_OK);
    EXPECT_STR(file_link.url, "https://550e--dl.svc.example.com/tok");
    EXPECT_STR(file_link.token, "tok");
    EXPECT_STR(file_link.expires_at, "");
    EXPECT_INT(link_plain(NULL), LSSB_OK);
    EXPECT_STR(file_link.token, "");
    EXPECT_STR(file_link.expires_at, "2099-01-01T00:00:00Z");
    EXPECT_INT(link_plain(NULL), LSSB_E_REFUSED);
    EXPECT_STR(file_link.token, "");
    end();
}

/* -------------------------------------------------------- searches (4.7) -- */

static void a_search_is_sent_to_the_box_and_its_matches_told(void)
{
    static const char globbed[] =
        "{\"matches\":[{\"path\":\"/srv/app.py\",\"is_dir\":false,"
        "\"size_bytes\":12,\"modified_at\":\"2026-11-21T02:00:00Z\"},"
        "{\"is_dir\":true,\"path\":\"/srv/a \\\"\\u00e9\\ud83d\\ude00\\\\\","
        "\"size_bytes\":4096.0,\"x\":{\"path\":\"no\"}},{}],"
        "\"truncated\":true}";
    static const char globbed_told[] =
        "/srv/app.py|0|12|2026-11-21T02:00:00Z|-1|;"
        "/srv/a \"\xc3\xa9\xf0\x9f\x98\x80\\|1|4096||-1|;|0|-1||-1|;";
    size_t split;

    begin();
    SERVE(R(200, globbed));
    EXPECT_INT(glob_files(NULL), LSSB_OK);
    expect_request(0, "router.example.com", "POST", "/sb-123/glob",
                   "{\"pattern\":\"**/*.py\",\"path\":\"/srv\",\"limit\":200}");
    EXPECT_STR(seen.text, globbed_told);
    EXPECT_INT(search.count, 3);
    EXPECT(search.truncated);
    SERVE(R(200, "{\"matches\":[{\"path\":\"/srv/app.py\",\"line\":12,"
                 "\"text\":\"# TODO:\\tlater\"}],\"truncated\":false}"));
    EXPECT_INT(grep_files(NULL), LSSB_OK);
    expect_request(0, "router.example.com", "POST", "/sb-123/grep",
                   "{\"pattern\":\"TODO\",\"path\":\"/srv\",\"glob\":"
                   "\"*.py\"}");
    EXPECT_STR(seen.text, "/srv/app.py|0|-1||12|# TODO:\tlater;");
    EXPECT(!search.truncated);
    for (split = 1; split < sizeof globbed + 80; split++) {
        rec.split = split;
        SERVE(R(200, globbed));
        EXPECT_INT(glob_files(NULL), LSSB_OK);
        EXPECT_STR(seen.text, globbed_told);
    }
    end();
}

static void a_search_that_found_nothing_is_no_failure(void)
{
    static const char *const rows[] = {
        "{}", "{\"matches\":[],\"truncated\":false}",
        "{\"matches\":null,\"truncated\":null}"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        SERVE(R(200, rows[i]));
        EXPECT_INT(grep_all(NULL), LSSB_OK);
        EXPECT_INT(search.count, 0);
        EXPECT(!search.truncated);
    }
    expect_request(0, "router.example.com", "POST", "/sb-123/grep",
                   "{\"pattern\":\"x\",\"path\":\"/none\"}");
    end();
}

static void a_search_is_tried_again_until_a_match_was_told(void)
{
    static const char found[] = "{\"matches\":[{\"path\":\"/a\"},{\"path\":"
                                "\"/b\"}],\"truncated\":false}";

    begin();
    SERVE(LOST, R(503, ""), RF(200, "", found, REC_CUT, 20), R(200, found));
    EXPECT_INT(glob_files(NULL), LSSB_OK);
    EXPECT_INT(seen.count, 2);
    SERVE(RF(200, "", found, REC_CUT, 45));
    EXPECT_INT(glob_files(NULL), LSSB_E_CONNECTION);
    EXPECT_INT(seen.count, 2);
    end();
}

static lssb_status take_none(void *user, const lssb_match *match)
{
    (void)user;
    (void)match;
    return LSSB_E_STOPPED;
}

static void a_search_can_be_stopped_and_a_match_that_is_none_breaks_it(void)
{
    static char line[20000];
    char body[20200];

    begin();
    SERVE(R(200, "{\"matches\":[{\"path\":\"/a\"},{\"path\":\"/b\"}]}"),
          R(200, "{\"matches\":[\"/a\"]}"),
          R(200, "{\"matches\":[{\"path\":7,\"is_dir\":\"true\",\"line\":-3,"
                 "\"text\":null}]}"));
    search_for("x", "/")->take = take_none;
    EXPECT_INT(lssb_grep(&box, &search, NULL), LSSB_E_STOPPED);
    EXPECT_INT(search.count, 1);
    EXPECT_INT(grep_all(NULL), LSSB_E_PROTOCOL);
    EXPECT_INT(grep_all(NULL), LSSB_OK);
    EXPECT_STR(seen.text, "|0|-1||-1|;");
    memset(line, 'x', sizeof line - 1);
    snprintf(body, sizeof body, "{\"matches\":[{\"text\":\"%s\",\"path\":"
             "\"/a\",\"line\":1}]}", line);
    SERVE(R(200, body));
    EXPECT_INT(grep_all(NULL), LSSB_OK);
    EXPECT(strncmp(seen.text, "/a|0|-1||1|xxxx", 15) == 0);
    snprintf(body, sizeof body, "{\"matches\":[{\"new\":\"%s\",\"path\":"
             "\"/a\"}],\"new\":[\"%.99s\"]}", line, line);
    SERVE(R(200, body));
    EXPECT_INT(grep_all(NULL), LSSB_OK);
    EXPECT_STR(seen.text, "/a|0|-1||-1|;");
    box.dataplane_url[0] = '\0';
    EXPECT_INT(grep_all(NULL), LSSB_E_NOT_CONFIGURED);
    end();
}

/* --------------------------------- mounts, the proxy (2.13, 2.14, A.4) -- */

static const lssb_aws aws_keys = {
    { LSSB_SECRET_WORKSPACE, " AWS_ACCESS_KEY_ID " },
    { LSSB_SECRET_OPAQUE, " wJalr\" " }, NULL, NULL
};
static const lssb_aws aws_role = {
    { LSSB_SECRET_UNSET, NULL }, { LSSB_SECRET_UNSET, NULL },
    " arn:aws:iam::123456789012:role/sandbox", NULL
};
static const lssb_aws aws_scoped = {
    { LSSB_SECRET_UNSET, NULL }, { LSSB_SECRET_UNSET, NULL }, "arn",
    "workspace"
};
static const char *const scopes[] = { "https://www.googleapis.com/auth/rw" };
static const lssb_gcp gcp_account = {
    { LSSB_SECRET_WORKSPACE, "{GCP_SA}" }, scopes, 1
};
static const lssb_s3 s3 = { .bucket = " b ", .prefix = "datasets/x" };
static const lssb_s3 s3_own = { .bucket = "b", .region = "r",
                                .endpoint_url = "http://minio",
                                .path_style = true };
static const lssb_gcs gcs = { "m", NULL };
static const lssb_gcs gcs_part = { "m", "p" };
static const lssb_git git = { .remote_url = "https://github.com/o/r.git",
                              .branch = " main ", .refresh_interval_s = 60 };
static const lssb_git git_tag = { .remote_url = "https://h:8443/r",
                                  .tag = "v1" };
static const lssb_contexthub hub = { "-/notes", true };
static const lssb_contexthub hub_synced = { "o/r", false };
static const lssb_mount_cache cache = { 12345, 7 };
static const lssb_mount_cache cache_none = { 0, LSSB_NONE };
static const lssb_mount four[] = {
    { .id = " data ", .path = " /mnt/mounts/data", .s3 = &s3, .read_only = 1,
      .cache = &cache },
    { .id = "models", .path = "/mnt/mounts/models", .gcs = &gcs },
    { .id = "src", .path = "/mnt/mounts/src", .git = &git },
    { .id = "ctx", .path = "/ctx", .contexthub = &hub }
};
static const lssb_mount others[] = {
    { .id = "a", .path = "/a", .s3 = &s3_own, .read_only = LSSB_NONE,
      .cache = &cache_none },
    { .id = "b", .path = "/b", .git = &git_tag },
    { .id = "c", .path = "/c", .contexthub = &hub_synced },
    { .json = "{\"id\":\"z\",\"type\":\"azure\",\"azure\":{\"c\":1}}" }
};
static const lssb_mount one_s3[] = { { .id = "a", .path = "/a",
                                       .s3 = &s3_own } };
static const lssb_mount one_gcs[] = { { .id = "a", .path = "/a",
                                        .gcs = &gcs_part } };
static const lssb_mount one_git[] = { { .id = "a", .path = "/a",
                                        .git = &git_tag } };
static const lssb_mount raw_s3[] = { { .json = "{\"type\":\"s3\"}" } };

static const char *const hosts[] = { " api.example.com", "*.example.org" };
static const char *const paths[] = { "/v1" };
static const char *const allowed[] = {
    "github.com", "10.0.0.0/8", "~^cdn[0-9]+\\.example\\.net$",
    "db.example.com:5432"
};
static const lssb_proxy_header injected[] = {
    { " Authorization ", { LSSB_SECRET_WORKSPACE, "Bearer {API_KEY}" } },
    { "X-Env", { LSSB_SECRET_PLAINTEXT, " test " } },
    { "X-A", { LSSB_SECRET_WORKSPACE, "NAME" } },
    { "X-B", { LSSB_SECRET_OPAQUE, "o" } }
};
static const lssb_proxy_header kept[] = {
    { "Authorization", { LSSB_SECRET_OPAQUE, NULL } }
};
static const lssb_pair placeholders[] = { { " API_KEY ", " placeholder " } };
static const lssb_proxy_rule rules[] = {
    { .name = "api", .match_hosts = hosts, .match_host_count = 2,
      .match_paths = paths, .match_path_count = 1, .headers = injected,
      .header_count = 4, .env = placeholders, .env_count = 1 }
};
static const lssb_proxy_rule rule_kept[] = {
    { .name = "api", .headers = kept, .header_count = 1 }
};
static const lssb_proxy_rule rule_aws[] = { { .aws = &aws_role } };
static const lssb_proxy_rule rule_aws_off[] = { { .aws = &aws_role,
                                                  .disabled = true } };
static const lssb_proxy_rule rule_gcp[] = {
    { .name = "google", .gcp = &gcp_account, .disabled = true }
};
static const lssb_proxy_rule rule_raw[] = {
    { .json = "{\"type\":\"aws\",\"enabled\":true}" }
};
static const lssb_proxy_callback callbacks[] = {
    { .match_hosts = hosts, .match_host_count = 1, .url = "https://c/",
      .ttl_s = 60, .full_request = true, .request_headers = injected,
      .request_header_count = 1 }
};

#define CREATED "{\"wait_for_ready\":true,\"timeout\":30,"
#define KEYS \
    "{\"access_key_id\":{\"type\":\"workspace_secret\",\"value\":" \
    "\"{AWS_ACCESS_KEY_ID}\"},\"secret_access_key\":{\"type\":\"opaque\"," \
    "\"value\":\"wJalr\\\"\"}}"
#define OWN_S3 \
    "{\"id\":\"a\",\"type\":\"s3\",\"mount_path\":\"/a\",\"s3\":" \
    "{\"endpoint_url\":\"http://minio\",\"region\":\"r\",\"bucket\":\"b\"," \
    "\"path_style\":true}}"
#define ROLE "{\"role_arn\":\"arn:aws:iam::123456789012:role/sandbox\"}"
#define AUTHORIZATION \
    "{\"name\":\"Authorization\",\"type\":\"workspace_secret\",\"value\":" \
    "\"Bearer {API_KEY}\"}"

static void mounts_are_sent_as_they_are_written_down(void)
{
    static const struct {
        const char *name, *body;
        lssb_mount_config mounts;
        lssb_proxy_config proxy;
        bool has_proxy;
    } rows[] = {
        { "all four",
          CREATED "\"mount_config\":{\"auth\":{\"aws\":" KEYS ",\"gcp\":{"
          "\"service_account_json\":{\"type\":\"workspace_secret\",\"value\":"
          "\"{GCP_SA}\"}}},\"mounts\":["
          "{\"id\":\"data\",\"type\":\"s3\",\"mount_path\":"
          "\"/mnt/mounts/data\",\"read_only\":true,\"cache\":"
          "{\"max_size_bytes\":12345,\"writeback_seconds\":7},\"s3\":"
          "{\"endpoint_url\":\"https://s3.amazonaws.com\",\"region\":"
          "\"us-east-1\",\"bucket\":\"b\",\"path_style\":false,\"prefix\":"
          "\"datasets/x\"}},{\"id\":\"models\",\"type\":\"gcs\","
          "\"mount_path\":\"/mnt/mounts/models\",\"gcs\":{\"bucket\":\"m\"}},"
          "{\"id\":\"src\",\"type\":\"git\",\"mount_path\":"
          "\"/mnt/mounts/src\",\"git\":{\"remote_url\":"
          "\"https://github.com/o/r.git\",\"ref\":{\"type\":\"branch\","
          "\"name\":\"main\"},\"refresh_interval_seconds\":60}},"
          "{\"id\":\"ctx\",\"type\":\"contexthub\",\"mount_path\":\"/ctx\","
          "\"contexthub\":{\"repo\":\"-/notes\",\"initial_pull_only\":true}}"
          "]}}",
          { .mounts = four, .mount_count = 4, .aws = &aws_keys,
            .gcp = &gcp_account }, { 0 }, false },
        { "all else",
          CREATED "\"mount_config\":{\"auth\":{\"aws\":" ROLE "},"
          "\"mounts\":[{\"id\":\"a\",\"type\":\"s3\",\"mount_path\":\"/a\","
          "\"read_only\":false,\"cache\":{\"writeback_seconds\":0},\"s3\":"
          "{\"endpoint_url\":\"http://minio\",\"region\":\"r\",\"bucket\":"
          "\"b\",\"path_style\":true}},{\"id\":\"b\",\"type\":\"git\","
          "\"mount_path\":\"/b\",\"git\":{\"remote_url\":"
          "\"https://h:8443/r\",\"ref\":{\"type\":\"tag\",\"name\":\"v1\"}}},"
          "{\"id\":\"c\",\"type\":\"contexthub\",\"mount_path\":\"/c\","
          "\"contexthub\":{\"repo\":\"o/r\"}},"
          "{\"id\":\"z\",\"type\":\"azure\",\"azure\":{\"c\":1}}]}}",
          { .mounts = others, .mount_count = 4, .aws = &aws_role }, { 0 },
          false },
        { "a role with a scope",
          CREATED "\"mount_config\":{\"auth\":{\"aws\":{\"role_arn\":\"arn\","
          "\"subject_scope\":\"workspace\"}},\"mounts\":[" OWN_S3 "]}}",
          { .mounts = one_s3, .mount_count = 1, .aws = &aws_scoped }, { 0 },
          false },
        { "a part of a bucket",
          CREATED "\"mount_config\":{\"auth\":{\"gcp\":{"
          "\"service_account_json\":{\"type\":\"workspace_secret\",\"value\":"
          "\"{GCP_SA}\"}}},\"mounts\":[{\"id\":\"a\",\"type\":\"gcs\","
          "\"mount_path\":\"/a\",\"gcs\":{\"bucket\":\"m\",\"prefix\":"
          "\"p\"}}]}}", { .mounts = one_gcs, .mount_count = 1,
                         .gcp = &gcp_account }, { 0 }, false },
        { "nothing to authorise",
          CREATED "\"mount_config\":{\"auth\":{},\"mounts\":[{\"id\":\"a\","
          "\"type\":\"git\",\"mount_path\":\"/a\",\"git\":{\"remote_url\":"
          "\"https://h:8443/r\",\"ref\":{\"type\":\"tag\",\"name\":\"v1\"}}}]"
          "}}", { .mounts = one_git, .mount_count = 1 }, { 0 }, false },
        { "the proxy's rule is enough",
          CREATED "\"mount_config\":{\"auth\":{},\"mounts\":[" OWN_S3 "]},"
          "\"proxy_config\":{\"rules\":[{\"name\":\"aws\",\"type\":\"aws\","
          "\"enabled\":true,\"aws\":" ROLE "}]}}",
          { .mounts = one_s3, .mount_count = 1 },
          { .rules = rule_aws, .rule_count = 1 }, true },
        { "a raw rule is enough for a raw mount",
          CREATED "\"mount_config\":{\"auth\":{},\"mounts\":[{\"type\":\"s3\""
          "}]},\"proxy_config\":{\"rules\":[{\"type\":\"aws\",\"enabled\":"
          "true}]}}", { .mounts = raw_s3, .mount_count = 1 },
          { .rules = rule_raw, .rule_count = 1 }, true },
        { "a raw proxy is enough",
          CREATED "\"mount_config\":{\"auth\":{},\"mounts\":[" OWN_S3 "]},"
          "\"proxy_config\":{\"rules\":[{},{\"type\":\"aws\",\"enabled\":"
          "true}]}}", { .mounts = one_s3, .mount_count = 1 },
          { .json = "{\"rules\":[{},{\"type\":\"aws\",\"enabled\":true}]}" },
          true },
        { "raw, whole", CREATED "\"mount_config\":{\"auth\":{\"aws\":{"
          "\"access_key_id\":{}}},\"mounts\":[{\"type\":\"s3\"},{\"type\":"
          "\"new\"}]}}",
          { .json = "{\"auth\":{\"aws\":{\"access_key_id\":{}}},\"mounts\":[{"
            "\"type\":\"s3\"},{\"type\":\"new\"}]}" }, { 0 }, false },
        { "raw", CREATED "\"mount_config\":{\"x\": [1]}}",
          { .json = "{\"x\": [1]}" }, { 0 }, false }
    };
    lssb_sandbox got;
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        lssb_sandbox_options options = { 0 };

        test_row = rows[i].name;
        options.mount_config = &rows[i].mounts;
        options.proxy_config = rows[i].has_proxy ? &rows[i].proxy : NULL;
        SERVE(R(201, "{}"));
        EXPECT_INT(finish(lssb_sandbox_create(client, &options, &got,
                                              fresh())), LSSB_OK);
        EXPECT_STR(failure.message, "");
        expect_api(0, "POST", "/boxes", rows[i].body);
    }
    end();
}

static void the_proxy_is_sent_as_it_is_written_down(void)
{
    static const lssb_pair two_names[] = { { " A", "1" }, { "B", "2" } };
    static const lssb_proxy_rule of_two = { .name = "r", .env = two_names,
                                            .env_count = 2 };
    static const lssb_proxy_callback two_callbacks[] = {
        { .match_hosts = hosts, .match_host_count = 1, .url = "u",
          .ttl_s = 60 },
        { .match_hosts = hosts, .match_host_count = 1, .url = "v",
          .ttl_s = 3600 }
    };
    static const struct {
        const char *name, *body;
        lssb_proxy_config proxy;
    } rows[] = {
        { "nothing", "{\"rules\":[]}", { 0 } },
        { "headers",
          "{\"rules\":[{\"name\":\"api\",\"type\":\"headers\",\"enabled\":true,"
          "\"match_hosts\":[\"api.example.com\",\"*.example.org\"],"
          "\"match_paths\":[\"/v1\"],\"headers\":[" AUTHORIZATION ","
          "{\"name\":\"X-Env\",\"type\":\"plaintext\",\"value\":\" test \"},"
          "{\"name\":\"X-A\",\"type\":\"workspace_secret\",\"value\":"
          "\"{NAME}\"},{\"name\":\"X-B\",\"type\":\"opaque\",\"value\":\"o\"}"
          "],\"env_vars\":{\"API_KEY\":\" placeholder \"}}],"
          "\"access_control\":{\"allow_list\":[\"github.com\","
          "\"10.0.0.0/8\",\"~^cdn[0-9]+\\\\.example\\\\.net$\","
          "\"db.example.com:5432\"]}}",
          { .rules = rules, .rule_count = 1, .allow = allowed,
            .allow_count = 4 } },
        { "google, off",
          "{\"rules\":[{\"name\":\"google\",\"type\":\"gcp\",\"enabled\":false,"
          "\"gcp\":{\"service_account_json\":{\"type\":\"workspace_secret\","
          "\"value\":\"{GCP_SA}\"},\"scopes\":["
          "\"https://www.googleapis.com/auth/rw\"]}}],\"access_control\":"
          "{\"deny_list\":[\"github.com\"]}}",
          { .rules = rule_gcp, .rule_count = 1, .deny = allowed,
            .deny_count = 1 } },
        { "nothing may pass", "{\"rules\":[],\"access_control\":"
          "{\"allow_list\":[]}}", { .allow = allowed } },
        { "callbacks",
          "{\"rules\":[],\"callbacks\":[{\"match_hosts\":["
          "\"api.example.com\"],\"url\":\"https://c/\",\"ttl_seconds\":60,"
          "\"full_request\":true,\"request_headers\":[" AUTHORIZATION "]}]}",
          { .callbacks = callbacks, .callback_count = 1 } },
        { "two of each",
          "{\"rules\":[{\"name\":\"r\",\"type\":\"headers\",\"enabled\":true,"
          "\"env_vars\":{\"A\":\"1\",\"B\":\"2\"}}],\"callbacks\":["
          "{\"match_hosts\":[\"api.example.com\"],\"url\":\"u\","
          "\"ttl_seconds\":60},{\"match_hosts\":[\"api.example.com\"],"
          "\"url\":\"v\",\"ttl_seconds\":3600}]}",
          { .rules = &of_two, .rule_count = 1, .callbacks = two_callbacks,
            .callback_count = 2 } },
        { "raw", "{\"rules\" : []}", { .json = "{\"rules\" : []}" } }
    };
    lssb_sandbox got;
    char body[1024];
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        lssb_sandbox_options options = { 0 };
        lssb_sandbox_update update = { 0 };

        test_row = rows[i].name;
        options.proxy_config = update.proxy_config = &rows[i].proxy;
        SERVE(R(201, "{\"name\":\"n\"}"), R(200, "{\"name\":\"n\"}"));
        EXPECT_INT(finish(lssb_sandbox_create(client, &options, &got,
                                              fresh())), LSSB_OK);
        EXPECT_STR(failure.message, "");
        EXPECT_INT(lssb_sandbox_change(&got, &update, NULL), LSSB_OK);
        snprintf(body, sizeof body, CREATED "\"proxy_config\":%s}",
                 rows[i].body);
        expect_api(0, "POST", "/boxes", body);
        snprintf(body, sizeof body, "{\"proxy_config\":%s}", rows[i].body);
        expect_api(1, "PATCH", "/boxes/n", body);
    }
    end();
}

static void an_update_may_leave_a_stored_secret_where_it_is(void)
{
    static const lssb_proxy_config proxy = { .rules = rule_kept,
                                             .rule_count = 1 };
    lssb_sandbox_update update = { 0 };
    lssb_sandbox_options options = { 0 };
    lssb_sandbox got;

    begin();
    update.proxy_config = options.proxy_config = &proxy;
    SERVE(R(200, "{}"));
    got = box;
    EXPECT_INT(lssb_sandbox_change(&got, &update, NULL), LSSB_OK);
    expect_api(0, "PATCH", "/boxes/box-1", "{\"proxy_config\":{\"rules\":[{"
               "\"name\":\"api\",\"type\":\"headers\",\"enabled\":true,"
               "\"headers\":[{\"name\":\"Authorization\",\"type\":\"opaque\""
               "}]}]}}");
    EXPECT_INT(lssb_sandbox_create(client, &options, &got, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "value is missing"));
    end();
}

/* Protocol 2.5: 400 InvalidRequest, if the request had proxy_config. */
static void a_proxy_that_cannot_be_changed_now_is_not_ready(void)
{
    static const char refused[] = "{\"detail\":{\"error\":\"InvalidRequest\","
                                  "\"message\":\"sandbox is not ready\"}}";
    static const lssb_proxy_config proxy = { 0 };
    lssb_sandbox_update update = { 0 };

    begin();
    update.proxy_config = &proxy;
    SERVE(R(400, refused), R(400, "{\"detail\":\"x\"}"), R(400, refused));
    EXPECT_INT(finish(lssb_sandbox_change(&box, &update, fresh())),
               LSSB_E_NOT_READY);
    EXPECT_STR(failure.message, "sandbox is not ready");
    EXPECT_INT(lssb_sandbox_change(&box, &update, NULL), LSSB_E_REFUSED);
    update.proxy_config = NULL;
    update.vcpus = 1;
    EXPECT_INT(lssb_sandbox_change(&box, &update, NULL), LSSB_E_REFUSED);
    end();
}

/* What the official SDKs let through goes through, byte by byte. */
static void what_is_odd_but_allowed_is_sent_as_it_is(void)
{
    static const char *const remotes[] = {
        "HTTPS://h/r", "hTTps://H.Example/r.git", "https://h:/r",
        "https://h:443/r", "https://h./r", "https://[::1]/r", "https://h/a/../r"
    };
    static const char *const patterns[] = { "", " ", "a b", "x\ny" };
    static const lssb_proxy_header odd[] = {
        { "X\nY", { LSSB_SECRET_PLAINTEXT, "a\r\nb" } },
        { "\xc2\xa0X ", { LSSB_SECRET_OPAQUE, "\xe2\x80\x83o\xc2\xa0" } }
    };
    static const lssb_proxy_rule rule = { .name = "\xe3\x80\x80" "a",
                                          .headers = odd, .header_count = 2 };
    lssb_git remote = { .remote_url = NULL };
    lssb_mount mount = { .id = "a", .path = "/a", .git = &remote };
    lssb_mount_config config = { .mounts = &mount, .mount_count = 1 };
    lssb_proxy_config proxy = { .rules = &rule, .rule_count = 1,
                                .allow = patterns, .allow_count = 4 };
    lssb_sandbox_options options = { 0 };
    lssb_sandbox got;
    char body[512];
    size_t i;

    begin();
    options.mount_config = &config;
    for (i = 0; i < COUNT(remotes); i++) {
        test_row = remote.remote_url = remotes[i];
        SERVE(R(201, "{}"));
        EXPECT_INT(finish(lssb_sandbox_create(client, &options, &got,
                                              fresh())), LSSB_OK);
        EXPECT_STR(failure.message, "");
        snprintf(body, sizeof body, CREATED "\"mount_config\":{\"auth\":{},"
                 "\"mounts\":[{\"id\":\"a\",\"type\":\"git\","
                 "\"mount_path\":\"/a\",\"git\":{\"remote_url\":\"%s\"}}]}}",
                 remotes[i]);
        expect_api(0, "POST", "/boxes", body);
    }
    options.mount_config = NULL;
    options.proxy_config = &proxy;
    SERVE(R(201, "{}"));
    EXPECT_INT(finish(lssb_sandbox_create(client, &options, &got, fresh())),
               LSSB_OK);
    expect_api(0, "POST", "/boxes", CREATED "\"proxy_config\":{\"rules\":[{"
               "\"name\":\"a\",\"type\":\"headers\",\"enabled\":true,"
               "\"headers\":[{\"name\":\"X\\nY\",\"type\":\"plaintext\","
               "\"value\":\"a\\r\\nb\"},{\"name\":\"X\",\"type\":"
               "\"opaque\",\"value\":\"o\"}]}],\"access_control\":{"
               "\"allow_list\":[\"\",\" \",\"a b\",\"x\\ny\"]}}}");
    end();
}

/* A creation with these is refused, and the message holds the words. */
static void expect_refused(const lssb_mount_config *m,
                           const lssb_proxy_config *p, const char *words)
{
    lssb_sandbox_options options = { 0 };
    lssb_sandbox got;

    test_row = words;
    options.mount_config = m;
    options.proxy_config = p;
    EXPECT_INT(lssb_sandbox_create(client, &options, &got, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, words));
    if (!contains(failure.message, words))
        printf("    %s\n", failure.message);
    EXPECT(!contains(failure.message, "wJalr"));
}

static void mounts_that_break_a_rule_are_refused_in_words(void)
{
    static const struct {
        const char *words;
        lssb_mount mount;
    } rows[] = {
        { "exactly one of", { .id = "a", .path = "/a" } },
        { "exactly one of", { .id = "a", .path = "/a", .git = &git,
                              .contexthub = &hub } },
        { "id is missing", { .path = "/a", .git = &git } },
        { "id is missing", { .id = " \t", .path = "/a", .git = &git } },
        { "id is missing", { .id = "\xc2\xa0", .path = "/a", .git = &git } },
        { "path is missing", { .id = "a", .git = &git } },
        { "path is missing", { .id = "a", .path = " ", .git = &git } },
        { "are for buckets", { .id = "a", .path = "/a", .git = &git,
                               .read_only = 1 } },
        { "are for buckets", { .id = "a", .path = "/a", .contexthub = &hub,
                               .cache = &cache } },
        { "json", { .json = "[]" } },
        { "json", { .json = "{\"a\":1} x" } },
        { "json", { .json = "{\"a\":" } },
        { "json", { .json = "" } },
        { "credentials",
          { .json = "{\"a\":[{\"b\":{\"access_key_id\" :1}}]}" } },
        { "credentials", { .json = "{\"\\u0063redential\":{}}" } },
        { "credentials", { .json = "{\"session_token\":\"\"}" } }
    };
    static const struct {
        const char *words;
        lssb_git git;
    } remotes[] = {
        { "remote_url is missing", { .remote_url = NULL } },
        { "remote_url is missing", { .remote_url = "" } },
        { "white space", { .remote_url = " https://h/r" } },
        { "white space", { .remote_url = "https://h/r\n" } },
        { "white space", { .remote_url = "https://h/\tr" } },
        { "white space", { .remote_url = "https://h/r\r" } },
        { "no path", { .remote_url = "https://h/.." } },
        { "remote_url", { .remote_url = "https://h/r\xc2\xa0" } },
        { "remote_url", { .remote_url = "https://h/a\xe2\x80\x83r" } },
        { "remote_url", { .remote_url = "https://h/\xef\xbb\xbfr" } },
        { "remote_url", { .remote_url = "https://h/r\x1c" } },
        { "https://", { .remote_url = "http://h/r" } },
        { "https://", { .remote_url = "ssh://h/r" } },
        { "https://", { .remote_url = "h/r" } },
        { "user", { .remote_url = "https://u@h/r" } },
        { "user", { .remote_url = "https://u:p@h/r" } },
        { "host", { .remote_url = "https:///r" } },
        { "no path", { .remote_url = "https://h" } },
        { "no path", { .remote_url = "https://h/" } },
        { "no path", { .remote_url = "https://h:/" } },
        { "no path", { .remote_url = "https://h/." } },
        { "no path", { .remote_url = "https://h/.././" } },
        { "query or a fragment", { .remote_url = "https://h/r?a=b" } },
        { "query or a fragment", { .remote_url = "https://h/r#a" } },
        { "both given", { .remote_url = "https://h/r", .branch = "a",
                          .tag = "b" } },
        { "blank", { .remote_url = "https://h/r", .branch = " " } }
    };
    static const struct {
        const char *words;
        lssb_s3 s3;
    } buckets[] = {
        { "bucket is missing", { .region = "r" } },
        { "bucket is missing", { .bucket = " " } },
        { "region is blank", { .bucket = "b", .region = "" } },
        { "endpoint_url is blank", { .bucket = "b", .endpoint_url = " " } },
        { "prefix is blank", { .bucket = "b", .prefix = "" } }
    };
    lssb_mount mount = { .id = "a", .path = "/a" };
    lssb_mount_cache bad = { -2, 0 };
    lssb_contexthub nowhere = { " ", false };
    lssb_mount_config config = { .mount_count = 1 };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        config.mounts = &rows[i].mount;
        expect_refused(&config, NULL, rows[i].words);
    }
    config.mounts = &mount;
    for (i = 0; i < COUNT(remotes); i++) {
        mount.git = &remotes[i].git;
        expect_refused(&config, NULL, remotes[i].words);
    }
    mount.git = NULL;
    config.aws = &aws_keys;
    for (i = 0; i < COUNT(buckets); i++) {
        mount.s3 = &buckets[i].s3;
        expect_refused(&config, NULL, buckets[i].words);
    }
    mount.s3 = &s3;
    mount.cache = &bad;
    expect_refused(&config, NULL, "max_size_bytes is negative");
    memset(&mount, 0, sizeof mount);
    mount.id = mount.path = "a";
    mount.contexthub = &nowhere;
    config.aws = NULL;
    expect_refused(&config, NULL, "repo is missing");
    EXPECT_INT(rec.request_count, 0);
    end();
}

static void credentials_go_with_what_needs_them_and_to_one_place_only(void)
{
    static const lssb_proxy_config has_aws = { .rules = rule_aws,
                                               .rule_count = 1 },
                                   has_aws_off = { .rules = rule_aws_off,
                                                   .rule_count = 1 },
                                   has_gcp = { .rules = rule_gcp,
                                               .rule_count = 1 },
                                   raw_aws = { .rules = rule_raw,
                                               .rule_count = 1 },
                                   all_raw = { .json = "{\"rules\":[{\"type\":"
                                               "\"gcp\"}]}" };
    static const struct {
        const char *words;
        lssb_mount_config mounts;
        const lssb_proxy_config *proxy;
    } rows[] = {
        { "at least one mount", { 0 }, NULL },
        { "at least one mount", { .mount_count = 1 }, NULL },
        { "s3 mount wants aws", { .mounts = one_s3, .mount_count = 1 },
          NULL },
        { "s3 mount wants aws", { .mounts = raw_s3, .mount_count = 1 },
          NULL },
        { "s3 mount wants aws", { .mounts = one_s3, .mount_count = 1 },
          &has_aws_off },
        { "s3 mount wants aws", { .mounts = one_s3, .mount_count = 1 },
          &all_raw },
        { "gcs mount wants gcp", { .mounts = one_gcs, .mount_count = 1 },
          &has_gcp },
        { "no mount is s3", { .mounts = one_git, .mount_count = 1,
                              .aws = &aws_keys }, NULL },
        { "no mount is gcs", { .mounts = one_git, .mount_count = 1,
                               .gcp = &gcp_account }, NULL },
        { "aws is in both", { .mounts = one_s3, .mount_count = 1,
                              .aws = &aws_keys }, &has_aws },
        { "aws is in both", { .mounts = one_s3, .mount_count = 1,
                              .aws = &aws_keys }, &has_aws_off },
        { "aws is in both", { .mounts = one_s3, .mount_count = 1,
                              .aws = &aws_keys }, &raw_aws },
        { "gcp is in both", { .mounts = one_gcs, .mount_count = 1,
                              .gcp = &gcp_account }, &has_gcp },
        { "gcp is in both", { .mounts = one_gcs, .mount_count = 1,
                              .gcp = &gcp_account }, &all_raw },
        { "gcp is in both", { .json = "{\"auth\":{\"gcp\":{}}}" }, &all_raw },
        { "mount_config: json", { .json = "nonsense" }, NULL },
        { "at least one mount", { .json = "{\"mounts\":[]}" }, NULL },
        { "at least one mount", { .json = "{\"mounts\":null}" }, NULL },
        { "credentials", { .json = "{\"mounts\":[{\"a\":1},{\"type\":\"x\","
          "\"x\":{\"session\\u005ftoken\" : 1}}]}" }, NULL },
        { "s3 mount wants aws", { .json = "{\"mounts\":[{\"type\":\"git\"},"
          "{\"type\":\"s3\"}]}" }, NULL },
        { "s3 mount wants aws", { .json = "{\"auth\":{\"aws\":null},"
          "\"mounts\":[{\"type\":\"s3\"}]}" }, &has_aws_off },
        { "gcs mount wants gcp", { .json = "{\"mounts\":[{\"type\":"
          "\"gcs\"}]}" }, &has_gcp },
        { "no mount is s3", { .json = "{\"auth\":{\"aws\":{}},\"mounts\":["
          "{\"type\":\"git\"}]}" }, NULL },
        { "no mount is gcs", { .json = "{\"auth\":{\"gcp\":{}},\"mounts\":["
          "{\"type\":\"git\"}]}" }, NULL }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++)
        expect_refused(&rows[i].mounts, rows[i].proxy, rows[i].words);
    EXPECT_INT(rec.request_count, 0);
    end();
}

/* A rule that is in force stands for the mount's own. */
static void an_s3_mount_may_lean_on_a_rule_of_the_proxy(void)
{
    static const lssb_proxy_rule json[] = {
        { .json = "{\"type\":\"aws\",\"enabled\":true}" },
        { .json = "{\"type\":\"aws\",\"enabled\":false}" },
        { .json = "{\"type\":\"headers\",\"enabled\":true}" }
    };
    static const lssb_proxy_rule two[] = {
        { .name = "a" }, { .json = "{\"type\":\"aws\",\"enabled\":true}" }
    };
    static const struct {
        bool enough;
        lssb_proxy_config proxy;
    } rows[] = {
        { true, { .rules = rule_aws, .rule_count = 1 } },
        { true, { .rules = &json[0], .rule_count = 1 } },
        { false, { .rules = &json[1], .rule_count = 1 } },
        { false, { .rules = &json[2], .rule_count = 1 } },
        { true, { .rules = two, .rule_count = 2 } },
        { false, { .rules = two, .rule_count = 1 } },
        { true, { .json = "{\"rules\":[{\"type\":\"headers\",\"enabled\":"
                  "true},{\"type\":\"aws\",\"enabled\":true}]}" } },
        { false, { .json = "{\"rules\":[{\"type\":\"aws\",\"enabled\":"
                   "false},{\"type\":\"gcp\",\"enabled\":true}]}" } }
    };
    lssb_mount_config config = { .mounts = one_s3, .mount_count = 1 };
    lssb_sandbox_options options = { 0 };
    lssb_sandbox got;
    size_t i;

    begin();
    options.mount_config = &config;
    for (i = 0; i < COUNT(rows); i++) {
        if (!rows[i].enough) {
            expect_refused(&config, &rows[i].proxy, "s3 mount wants aws");
            continue;
        }
        options.proxy_config = &rows[i].proxy;
        SERVE(R(201, "{}"));
        EXPECT_INT(finish(lssb_sandbox_create(client, &options, &got,
                                              fresh())), LSSB_OK);
        EXPECT_STR(failure.message, "");
    }
    end();
}

static void a_proxy_that_breaks_a_rule_is_refused_in_words(void)
{
    static const char *const blank[] = { " " };
    static const lssb_pair no_name[] = { { " ", "x" } };
    static const lssb_pair no_value[] = { { "A", " " } };
    static const lssb_aws half = { { LSSB_SECRET_OPAQUE, "k" },
                                   { LSSB_SECRET_UNSET, NULL }, "", NULL };
    static const lssb_aws both = { { LSSB_SECRET_OPAQUE, "wJalr" },
                                   { LSSB_SECRET_OPAQUE, "k" }, "arn", NULL };
    static const lssb_aws one = { { LSSB_SECRET_OPAQUE, "wJalr" },
                                  { LSSB_SECRET_UNSET, NULL }, "arn", NULL };
    static const lssb_aws other = { { LSSB_SECRET_UNSET, NULL },
                                    { LSSB_SECRET_OPAQUE, "k" }, "arn", NULL };
    static const lssb_aws plain = { { LSSB_SECRET_PLAINTEXT, "wJalr" },
                                    { LSSB_SECRET_OPAQUE, "k" }, NULL, NULL };
    static const lssb_aws empty = { { LSSB_SECRET_OPAQUE, " " },
                                    { LSSB_SECRET_OPAQUE, "k" }, NULL, NULL };
    static const lssb_aws blank_role = { { LSSB_SECRET_UNSET, NULL },
                                         { LSSB_SECRET_UNSET, NULL }, " ",
                                         NULL };
    static const lssb_aws scope = { { LSSB_SECRET_OPAQUE, "wJalr" },
                                    { LSSB_SECRET_OPAQUE, "k" }, NULL,
                                    "workspace" };
    static const lssb_aws names[] = {
        { { LSSB_SECRET_WORKSPACE, "{A" }, { LSSB_SECRET_OPAQUE, "k" }, NULL,
          NULL },
        { { LSSB_SECRET_WORKSPACE, "A}" }, { LSSB_SECRET_OPAQUE, "k" }, NULL,
          NULL },
        { { LSSB_SECRET_WORKSPACE, "{}" }, { LSSB_SECRET_OPAQUE, "k" }, NULL,
          NULL },
        { { LSSB_SECRET_WORKSPACE, "{ }" }, { LSSB_SECRET_OPAQUE, "k" }, NULL,
          NULL },
        { { LSSB_SECRET_WORKSPACE, "x{A}" }, { LSSB_SECRET_OPAQUE, "k" },
          NULL, NULL }
    };
    static const lssb_gcp no_scopes = { { LSSB_SECRET_OPAQUE, "k" }, NULL,
                                        0 };
    static const lssb_gcp blank_scope = { { LSSB_SECRET_OPAQUE, "k" }, blank,
                                          1 };
    static const lssb_gcp nobody = { { LSSB_SECRET_UNSET, NULL }, scopes, 1 };
    static const lssb_proxy_header bad_headers[] = {
        { NULL, { LSSB_SECRET_OPAQUE, "x" } },
        { "A", { LSSB_SECRET_UNSET, "x" } },
        { "A", { LSSB_SECRET_WORKSPACE, "Bearer {KEY" } },
        { "A", { LSSB_SECRET_WORKSPACE, "Bearer { }" } },
        { "A", { LSSB_SECRET_WORKSPACE, "Bearer KEY}" } },
        { "A", { LSSB_SECRET_WORKSPACE, "Bearer }KEY{" } }
    };
    static const struct {
        const char *words;
        lssb_proxy_rule rule;
    } rows[] = {
        { "name is missing", { .match_hosts = hosts, .match_host_count = 1 } },
        { "name is missing", { .name = " " } },
        { "name is missing", { .name = "", .aws = &aws_role } },
        { "match_hosts", { .name = "a", .match_hosts = blank,
                           .match_host_count = 1 } },
        { "match_hosts", { .name = "a", .match_host_count = 1 } },
        { "match_paths", { .name = "a", .match_paths = blank,
                           .match_path_count = 1 } },
        { "is one of", { .aws = &aws_role, .gcp = &gcp_account } },
        { "is one of", { .aws = &aws_role, .match_hosts = hosts,
                         .match_host_count = 1 } },
        { "is one of", { .gcp = &gcp_account, .headers = injected,
                         .header_count = 1 } },
        { "both keys or a role_arn", { .aws = &half } },
        { "stands alone", { .aws = &both } },
        { "stands alone", { .aws = &one } },
        { "stands alone", { .aws = &other } },
        { "neither workspace nor opaque", { .aws = &plain } },
        { "value is missing or blank", { .aws = &empty } },
        { "role_arn is blank", { .aws = &blank_role } },
        { "subject_scope", { .aws = &scope } },
        { "a name or {NAME}", { .aws = &names[0] } },
        { "a name or {NAME}", { .aws = &names[1] } },
        { "holds no name", { .aws = &names[2] } },
        { "holds no name", { .aws = &names[3] } },
        { "a name or {NAME}", { .aws = &names[4] } },
        { "scopes", { .gcp = &no_scopes } },
        { "scopes", { .gcp = &blank_scope } },
        { "service_account_json is missing", { .gcp = &nobody } },
        { "header's name", { .name = "a", .headers = &bad_headers[0],
                             .header_count = 1 } },
        { "neither workspace nor opaque", { .name = "a",
                                            .headers = &bad_headers[1],
                                            .header_count = 1 } },
        { "a name or {NAME}", { .name = "a", .headers = &bad_headers[2],
                                .header_count = 1 } },
        { "holds no name", { .name = "a", .headers = &bad_headers[3],
                             .header_count = 1 } },
        { "a name or {NAME}", { .name = "a", .headers = &bad_headers[4],
                                .header_count = 1 } },
        { "a name or {NAME}", { .name = "a", .headers = &bad_headers[5],
                                .header_count = 1 } },
        { "NULL", { .name = "a", .header_count = 1 } },
        { "env", { .name = "a", .env = no_name, .env_count = 1 } },
        { "env", { .name = "a", .env = no_value, .env_count = 1 } },
        { "NULL", { .name = "a", .env_count = 1 } },
        { "rule's json", { .json = "7" } }
    };
    static char long_name[200];
    lssb_pair long_env = { long_name, "v" };
    lssb_aws long_aws = { { LSSB_SECRET_WORKSPACE, "" },
                          { LSSB_SECRET_OPAQUE, "k" }, NULL, NULL };
    lssb_proxy_rule rule = { .name = "a" };
    lssb_proxy_config config = { 0 };
    lssb_sandbox_options fits = { .proxy_config = &config };
    lssb_proxy_callback callback = callbacks[0];
    size_t i;

    begin();
    config.rule_count = 1;
    expect_refused(NULL, &config, "NULL");
    for (i = 0; i < COUNT(rows); i++) {
        config.rules = &rows[i].rule;
        expect_refused(NULL, &config, rows[i].words);
    }
    memset(long_name, 'x', sizeof long_name - 2);
    long_aws.access_key_id.value = long_name;
    rule.aws = &long_aws;
    config.rules = &rule;
    expect_refused(NULL, &config, "longer than 127 bytes");
    long_name[128] = '\0';
    expect_refused(NULL, &config, "longer than 127 bytes");
    long_name[127] = '\0';
    EXPECT_INT(lssb_sandbox_create(client, &fits, &box, fresh()),
               LSSB_PENDING);          /* as it is, it would be sent */
    lssb_cancel(&op);
    EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    long_name[127] = long_name[128] = ' ';
    rule.aws = &aws_role;
    rule.env = &long_env;
    rule.env_count = 1;
    long_name[sizeof long_name - 2] = ' ';
    expect_refused(NULL, &config, "longer than 127 bytes");
    config.rule_count = 0;
    config.allow = config.deny = allowed;
    expect_refused(NULL, &config, "allow and deny");
    config.allow = config.deny = NULL;
    config.deny_count = 1;
    expect_refused(NULL, &config, "NULL");
    config.deny_count = 0;
    config.callbacks = &callback;
    config.callback_count = 1;
    callback.ttl_s = 59;
    expect_refused(NULL, &config, "between 60 and 3600");
    callback.ttl_s = 3601;
    expect_refused(NULL, &config, "between 60 and 3600");
    callback.ttl_s = 3600;
    callback.url = "";
    expect_refused(NULL, &config, "url");
    callback.url = "u";
    callback.match_host_count = 0;
    expect_refused(NULL, &config, "match_hosts");
    config.json = "{\"rules\":[}";
    expect_refused(NULL, &config, "proxy_config: json");
    EXPECT_INT(rec.request_count, 0);
    end();
}

/* ------------------------------------------- delegation, further members -- */

static void delegation_is_all_or_a_list(void)
{
    static const char *const permissions[] = { "sandboxes:read", "x" };
    static const struct {
        const char *body;
        lssb_access_delegation delegation;
    } rows[] = {
        { CREATED "\"access_delegation\":{\"mode\":\"INHERIT\"}}",
          { true, NULL, 0 } },
        { CREATED "\"access_delegation\":{\"mode\":\"EXPLICIT\","
          "\"permissions\":[\"sandboxes:read\",\"x\"]}}",
          { false, permissions, 2 } },
        { NULL, { true, permissions, 1 } },
        { NULL, { false, permissions, 0 } },
        { NULL, { false, NULL, 1 } }
    };
    lssb_sandbox got;
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        lssb_sandbox_options options = { 0 };

        options.access_delegation = &rows[i].delegation;
        if (rows[i].body == NULL) {
            EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL),
                       LSSB_E_INVALID_ARGUMENT);
            continue;
        }
        SERVE(R(201, "{}"));
        EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL),
                   LSSB_OK);
        expect_api(0, "POST", "/boxes", rows[i].body);
    }
    end();
}

#define NEW "\"new_one\" : [1, {}]"
#define MORE "{ " NEW " }"

/* Requests whose options hold one further member and what they must. */
static lssb_status more_of_registry(lssb_op *o)
{
    static const lssb_registry_options options = { "n", "u", "us", "p", MORE };

    return lssb_registry_create(client, &options, &registry, o);
}

static lssb_status more_to_registry(lssb_op *o)
{
    static const lssb_registry_options options = { .more = MORE };

    return lssb_registry_change(client, "n", &options, &registry, o);
}

static lssb_status more_of_template(lssb_op *o)
{
    static const lssb_template_options options = {
        .name = "n", .image = "i", .more = MORE
    };

    return lssb_template_create(client, &options, &a_template, o);
}

static lssb_status more_of_volume(lssb_op *o)
{
    static const lssb_volume_options options = { "n", "1Gi", 5, MORE };

    return lssb_volume_create(client, &options, &volume, o);
}

static lssb_status more_to_volume(lssb_op *o)
{
    static const lssb_volume_options options = { .more = MORE };

    return lssb_volume_change(client, "n", &options, &volume, o);
}

static lssb_status more_of_pool(lssb_op *o)
{
    static const lssb_pool_options options = { "n", "t", 1, 5, MORE };

    return lssb_pool_create(client, &options, &pool, o);
}

static lssb_status more_to_pool(lssb_op *o)
{
    static const lssb_pool_options options = { .more = MORE };

    return lssb_pool_change(client, "n", &options, &pool, o);
}

static lssb_status more_of_service(lssb_op *o)
{
    static const lssb_service_options options = {
        80, 5, LSSB_ACCESS_TOKEN, MORE
    };
    return lssb_service_url(&box, &options, &service, o);
}

static lssb_status more_of_link(lssb_op *o)
{
    static const lssb_link_options options = {
        "/a", 0, NULL, LSSB_DISPOSITION_UNSET, MORE
    };
    static lssb_link made;

    return lssb_download_url(&box, &options, &made, o);
}

static void every_request_with_a_body_takes_further_members(void)
{
    static const struct {
        const char *name;
        lssb_status (*call)(lssb_op *);
        const char *method, *path, *body;
    } rows[] = {
        { "registry", more_of_registry, "POST", ROOT, "{\"name\":\"n\","
          "\"password\":\"p\",\"url\":\"u\",\"username\":\"us\"," NEW "}" },
        { "change registry", more_to_registry, "PATCH", ROOT "/n",
          "{" NEW "}" },
        { "template", more_of_template, "POST", "/templates", "{\"name\":"
          "\"n\",\"image\":\"i\",\"resources\":{\"cpu\":\"500m\","
          "\"memory\":\"512Mi\"}," NEW "}" },
        { "volume", more_of_volume, "POST", "/volumes", "{\"name\":\"n\","
          "\"size\":\"1Gi\",\"wait_for_ready\":true,\"timeout\":5," NEW "}" },
        { "change volume", more_to_volume, "PATCH", "/volumes/n",
          "{" NEW "}" },
        { "pool", more_of_pool, "POST", "/pools", "{\"name\":\"n\","
          "\"template_name\":\"t\",\"replicas\":1,\"wait_for_ready\":true,"
          "\"timeout\":5," NEW "}" },
        { "change pool", more_to_pool, "PATCH", "/pools/n", "{" NEW "}" },
        { "service URL", more_of_service, "POST", "/boxes/box-1/service-url",
          "{\"port\":80,\"expires_in_seconds\":5," NEW "}" },
        { "link", more_of_link, "POST", "/boxes/box-1/download-url",
          "{\"path\":\"/a\"," NEW "}" }
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        SERVE(R(200, "{\"download_url\":\"u\",\"browser_url\":\"b\","
                     "\"service_url\":\"s\",\"token\":\"t\","
                     "\"expires_at\":\"e\"}"));
        EXPECT_INT(rows[i].call(NULL), LSSB_OK);
        expect_api(0, rows[i].method, rows[i].path, rows[i].body);
    }
    end();
}

static void a_further_member_that_the_call_sends_itself_is_refused(void)
{
    static const struct {
        const char *more, *clashes;     /* NULL: it goes along */
    } rows[] = {
        { "{\"vcpus\":4}", "vcpus" },
        { "{\"a\":[],\"v\\u0063pus\" : 4}", "vcpus" },
        { "{\"a\":{\"b\":[{}]},\"env_vars\":{}}", "env_vars" },
        { "{\"timeout\":4}", "timeout" },
        { "{\"Vcpus\":4,\"vcpusx\":4,\"vcpu\":4}", NULL },
        { "{\"a\":{\"vcpus\":4},\"b\":[{\"vcpus\":4}]}", NULL },
        { "{\"a\":\"vcpus\",\"b\":\"\\\"vcpus\\\":{\"}", NULL },
        { "{\"mem_bytes\":4}", NULL }     /* which is not set */
    };
    char expected[96];
    lssb_sandbox got;
    size_t i;

    begin();
    for (i = 0; i < COUNT(rows); i++) {
        lssb_sandbox_options options = { .vcpus = 2, .env = env,
                                         .env_count = 1 };

        test_row = rows[i].more;
        options.more = rows[i].more;
        SERVE(R(201, "{\"status\":\"ready\"}"));
        if (rows[i].clashes == NULL) {
            EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL),
                       LSSB_OK);
            continue;
        }
        rec_serve(NULL, 0);
        EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL),
                   LSSB_E_INVALID_ARGUMENT);
        sprintf(expected, "create sandbox: %s: more has a member of that name, "
                "too", rows[i].clashes);
        EXPECT_STR(lssb_last_error(client)->message, expected);
    }
    end();
}

static void further_members_go_along_as_they_are(void)
{
    static const struct {
        const char *more, *members;
    } rows[] = {
        { "{}", "" }, { " { } ", "" },
        { "{\"a\":1}", "\"a\":1" },
        { "\n{ \"a\" : {\"b\":[]} , \"c\":null }\n",
          "\"a\" : {\"b\":[]} , \"c\":null" }
    };
    static const char *const wrong[] = { "", "1", "[{}]", "{", "{\"a\":1}}",
                                         "{\"a\":\"\xff\"}", "{a:1}" };
    lssb_sandbox_options options = { 0 };
    lssb_sandbox_update update = { 0 };
    lssb_sandbox got;
    char body[256];
    size_t i;

    begin();
    options.env = env;
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].more;
        options.more = update.more = rows[i].more;
        SERVE(R(201, "{\"name\":\"n\"}"), R(200, "{}"));
        EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL),
                   LSSB_OK);
        EXPECT_INT(lssb_sandbox_change(&got, &update, NULL), LSSB_OK);
        snprintf(body, sizeof body, "{\"wait_for_ready\":true,\"timeout\":30"
                 "%s%s}", rows[i].members[0] != '\0' ? "," : "",
                 rows[i].members);
        expect_api(0, "POST", "/boxes", body);
        snprintf(body, sizeof body, "{%s}", rows[i].members);
        expect_api(1, "PATCH", "/boxes/n", body);
    }
    for (i = 0; i < COUNT(wrong); i++) {
        test_row = wrong[i];
        options.more = wrong[i];
        EXPECT_INT(lssb_sandbox_create(client, &options, &got, fresh()),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, "more: "));
    }
    end();
}

/* Longer than any send buffer: it is made again for each piece. */
static void a_long_configuration_arrives_whole_through_a_small_buffer(void)
{
    static char raw[3000];
    char body[REC_TEXT];
    lssb_mount mount = { .json = raw };
    lssb_mount_config config = { .mounts = &mount, .mount_count = 1 };
    lssb_sandbox_options options = { 0 };
    lssb_sandbox got;
    size_t len;

    begin();
    len = (size_t)snprintf(raw, sizeof raw, "{\"type\":\"new\",\"x\":\"");
    for (; len < sizeof raw - 8; len += 2)
        memcpy(raw + len, "\\n", 2);
    memcpy(raw + len, "\"}", 3);
    options.mount_config = &config;
    snprintf(body, sizeof body, CREATED "\"mount_config\":{\"auth\":{},"
             "\"mounts\":[%s]}}", raw);
    SERVE(R(201, "{}"));
    EXPECT_INT(lssb_sandbox_create(client, &options, &got, NULL), LSSB_OK);
    expect_api(0, "POST", "/boxes", body);
    end();
}

int main(void)
{
    static const struct test tests[] = {
        TEST(every_endpoint_gets_its_request_byte_for_byte),
        TEST(every_endpoint_may_be_started_and_finished_later),
        TEST(what_may_have_arrived_is_asked_again_only_if_that_is_safe),
        TEST(what_cannot_have_arrived_is_asked_again),
        TEST(a_name_that_is_missing_or_would_walk_the_path_is_refused),
        TEST(an_argument_that_is_missing_is_refused_in_words),
        TEST(every_refusal_means_what_its_table_says),
        TEST(what_was_done_before_its_reply_was_lost_is_done),
        TEST(a_complete_snapshot_arrives_split_anywhere),
        TEST(what_a_snapshot_has_no_room_for_goes_to_the_details),
        TEST(a_snapshot_of_which_nothing_is_said_has_the_defaults),
        TEST(a_reply_that_is_no_object_breaks_the_protocol),
        TEST(a_creation_that_lacks_what_it_needs_is_refused_in_words),
        TEST(a_creation_polls_by_id_every_two_seconds_until_it_is_ready),
        TEST(a_capture_waits_too_and_a_reply_without_an_id_is_asked_by_name),
        TEST(a_wait_ends_as_its_state_or_its_time_says),
        TEST(the_default_times_of_waits_are_the_protocols),
        TEST(snapshots_page_by_cursor_and_by_offset),
        TEST(a_page_that_was_cut_is_forgotten_and_a_cursor_alone_is_one),
        TEST(a_hundred_thousand_snapshots_pass_in_the_room_of_one),
        TEST(lists_that_do_not_page_pass_through_an_array_of_one),
        TEST(registries_page_by_offset_from_the_start),
        TEST(tags_are_told_one_by_one_and_never_twice),
        TEST(a_registry_arrives_whole),
        TEST(registries_are_below_the_root_of_the_api_whatever_the_base),
        TEST(secrets_are_in_no_error_and_no_trace),
        TEST(a_template_arrives_whole_and_has_the_defaults),
        TEST(volumes_and_pools_arrive_whole_and_have_the_defaults),
        TEST(a_creation_that_waits_on_the_server_has_thirty_seconds_more),
        TEST(a_box_from_a_template_has_the_older_lifetimes),
        TEST(a_token_arrives_whole_or_not_at_all),
        TEST(a_login_that_is_none_is_not_handed_out),
        TEST(a_service_that_cannot_be_is_refused_unsent),
        TEST(shared_ports_are_listed_page_by_page),
        TEST(a_link_arrives_whole),
        TEST(a_search_is_sent_to_the_box_and_its_matches_told),
        TEST(a_search_that_found_nothing_is_no_failure),
        TEST(a_search_is_tried_again_until_a_match_was_told),
        TEST(a_search_can_be_stopped_and_a_match_that_is_none_breaks_it),
        TEST(mounts_are_sent_as_they_are_written_down),
        TEST(the_proxy_is_sent_as_it_is_written_down),
        TEST(an_update_may_leave_a_stored_secret_where_it_is),
        TEST(a_proxy_that_cannot_be_changed_now_is_not_ready),
        TEST(mounts_that_break_a_rule_are_refused_in_words),
        TEST(credentials_go_with_what_needs_them_and_to_one_place_only),
        TEST(an_s3_mount_may_lean_on_a_rule_of_the_proxy),
        TEST(what_is_odd_but_allowed_is_sent_as_it_is),
        TEST(a_proxy_that_breaks_a_rule_is_refused_in_words),
        TEST(delegation_is_all_or_a_list),
        TEST(a_further_member_that_the_call_sends_itself_is_refused),
    TEST(further_members_go_along_as_they_are),
        TEST(every_request_with_a_body_takes_further_members),
        TEST(a_long_configuration_arrives_whole_through_a_small_buffer)
    };

    return TEST_MAIN(tests);
}
