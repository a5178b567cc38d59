/* control_calls.c: one call of lssb's control plane each, for
 * control_compare.mjs, which makes the same call with the official JS SDK.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: control_calls NAME; LANGSMITH_ENDPOINT, LANGSMITH_API_KEY and
 * DATAPLANE, the URL of the sandbox "box-1", come from the environment. The
 * exit code is 0 when the call went well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

static lssb_client *client;
static lssb_sandbox box;
static lssb_snapshot snapshot;

static const lssb_pair env[] = { { "A", "1" }, { "UML", "\xc3\xa4 \"\\\t" } };
static const lssb_run_config run_config = { "0", "/srv", env, 2 };

/* ------------------------------------------------------------- snapshots -- */

static lssb_status snapshot_create(void)
{
    lssb_snapshot_options options;

    memset(&options, 0, sizeof options);
    options.name = "py/thon \xc3\xa4";
    options.docker_image = "python:3.12-slim";
    options.fs_capacity_bytes = UINT64_C(4294967296);
    return lssb_snapshot_create(client, &options, &snapshot, NULL);
}

static lssb_status snapshot_create_all(void)
{
    lssb_snapshot_options options;

    memset(&options, 0, sizeof options);
    options.name = "n";
    options.docker_image = "r.example.com/p@sha256:0";
    options.fs_capacity_bytes = UINT64_C(9007199254740991);
    options.registry_id = "reg-1";
    options.run_config = &run_config;
    return lssb_snapshot_create(client, &options, &snapshot, NULL);
}

static lssb_status snapshot_capture(void)
{
    lssb_capture_options options;

    memset(&options, 0, sizeof options);
    options.name = "snap";
    return lssb_snapshot_capture(&box, &options, &snapshot, NULL);
}

static lssb_status snapshot_capture_all(void)
{
    lssb_capture_options options;

    memset(&options, 0, sizeof options);
    options.name = "snap";
    options.docker_image = "langsmith-snapshot-build:0f";
    options.fs_capacity_bytes = UINT64_C(8589934592);
    options.run_config = &run_config;
    return lssb_snapshot_capture(&box, &options, &snapshot, NULL);
}

static lssb_status snapshot_get(void)
{
    return lssb_snapshot_get(client, "a b:\xc3\xa4/c", &snapshot, NULL, NULL);
}

static lssb_status snapshot_delete(void)
{
    return lssb_snapshot_delete_named(client, "7f0c?x", NULL);
}

static lssb_status snapshot_list(void)
{
    lssb_snapshot_list list;
    size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "p y+&\xc3\xa4";
    return lssb_snapshot_next(client, &list, &snapshot, 1, &count, NULL);
}

static lssb_status snapshot_wait(void)
{
    memset(&snapshot, 0, sizeof snapshot);
    snapshot.client = client;
    strcpy(snapshot.id, "s-1");
    return lssb_snapshot_wait(&snapshot, 10, NULL);
}

/* ----------------------------------------------------------------- links -- */

static lssb_status service(uint32_t seconds, lssb_access access)
{
    lssb_service_options options;
    lssb_service got;

    memset(&options, 0, sizeof options);
    options.port = 3000;
    options.expires_in_s = seconds;
    options.access = access;
    return lssb_service_url(&box, &options, &got, NULL);
}

static lssb_status service_token(void)
{
    return service(900, LSSB_ACCESS_TOKEN);
}

static lssb_status service_default(void)
{
    return service(0, LSSB_ACCESS_TOKEN);
}

static lssb_status service_restricted(void)
{
    return service(0, LSSB_ACCESS_RESTRICTED);
}

static lssb_status service_workspace(void)
{
    return service(0, LSSB_ACCESS_WORKSPACE);
}

static lssb_status link_plain(void)
{
    lssb_link_options options;
    lssb_link got;

    memset(&options, 0, sizeof options);
    options.path = "/tmp/\xc3\xa4 b";
    return lssb_download_url(&box, &options, &got, NULL);
}

static lssb_status link_all(void)
{
    lssb_link_options options;
    lssb_link got;

    memset(&options, 0, sizeof options);
    options.path = "/a";
    options.expires_in_s = 3600;
    options.content_type = "text/html";
    options.disposition = LSSB_DISPOSITION_INLINE;
    return lssb_download_url(&box, &options, &got, NULL);
}

/* -------------------------------------------------------------- searches -- */

static lssb_status take(void *user, const lssb_match *match)
{
    (void)user;
    (void)match;
    return LSSB_OK;
}

static lssb_status search(lssb_status (*find)(const lssb_sandbox *,
                                              lssb_search *, lssb_op *),
                          const char *pattern, const char *glob,
                          uint32_t limit)
{
    lssb_search options;

    memset(&options, 0, sizeof options);
    options.pattern = pattern;
    options.path = "/srv/\xc3\xa4";
    options.glob = glob;
    options.limit = limit;
    options.take = take;
    return find(&box, &options, NULL);
}

static lssb_status glob_all(void)
{
    return search(lssb_glob, "**/*.[ch]", NULL, 200);
}

static lssb_status list_directory(void)
{
    return search(lssb_glob, "*", NULL, 0);
}

static lssb_status grep_plain(void)
{
    return search(lssb_grep, "TODO: \"x\"\\", NULL, 0);
}

static lssb_status grep_all(void)
{
    return search(lssb_grep, "x", "*.py", 5);
}

/* ----------------------------------------------------- mounts, the proxy -- */

static const lssb_aws keys = { { LSSB_SECRET_WORKSPACE, "AWS_KEY" },
                               { LSSB_SECRET_OPAQUE, " wJalr\" " },
                               NULL, NULL };
static const lssb_aws role = { { LSSB_SECRET_UNSET, NULL },
                               { LSSB_SECRET_UNSET, NULL },
                               "arn:aws:iam::1:role/sandbox", NULL };
static const char *const scopes[] = { "https://www.googleapis.com/auth/rw" };
static const lssb_gcp account = { { LSSB_SECRET_WORKSPACE, "{GCP_SA}" },
                                  scopes, 1 };
static const lssb_s3 s3 = { " b ", NULL, NULL, "datasets/x", false };
static const lssb_s3 s3_own = { "b", "eu-1", "http://minio:9000", NULL, true };
static const lssb_gcs gcs = { "m", "p" };
static const lssb_git git = { "https://github.com/o/r.git", "main", NULL, 60 };
static const lssb_git git_tag = { "https://h.example/r", NULL, "v1", 0 };
static const lssb_git git_plain = { "https://h.example/r", NULL, NULL, 0 };
static const lssb_contexthub hub = { "-/notes", true };
static const lssb_mount_cache cache = { 12345, 7 };

/* A mount of one kind; the others are NULL. */
static lssb_mount mount(const char *id, const char *path)
{
    lssb_mount made;

    memset(&made, 0, sizeof made);
    made.id = id;
    made.path = path;
    return made;
}

static lssb_status create(const lssb_mount_config *mounts,
                          const lssb_proxy_config *proxy,
                          const lssb_access_delegation *delegation)
{
    lssb_sandbox_options options;
    lssb_sandbox made;

    memset(&options, 0, sizeof options);
    options.mount_config = mounts;
    options.proxy_config = proxy;
    options.access_delegation = delegation;
    return lssb_sandbox_create(client, &options, &made, NULL);
}

static lssb_status create_mounts(void)
{
    lssb_mount mounts[6];
    lssb_mount_config config;

    memset(&config, 0, sizeof config);
    mounts[0] = mount(" data ", "/mnt/mounts/data");
    mounts[0].s3 = &s3;
    mounts[0].read_only = 1;
    mounts[0].cache = &cache;
    mounts[1] = mount("own", "/mnt/mounts/own");
    mounts[1].s3 = &s3_own;
    mounts[1].read_only = LSSB_NONE;
    mounts[2] = mount("models", "/mnt/mounts/models");
    mounts[2].gcs = &gcs;
    mounts[3] = mount("src", "/mnt/mounts/src");
    mounts[3].git = &git;
    mounts[4] = mount("tag", "/mnt/mounts/tag");
    mounts[4].git = &git_tag;
    mounts[5] = mount("ctx", "/ctx");
    mounts[5].contexthub = &hub;
    config.mounts = mounts;
    config.mount_count = 6;
    config.aws = &keys;
    config.gcp = &account;
    return create(&config, NULL, NULL);
}

static lssb_status create_mount_role(void)
{
    lssb_mount one = mount("a", "/a");
    lssb_mount_config config;

    memset(&config, 0, sizeof config);
    one.s3 = &s3;
    config.mounts = &one;
    config.mount_count = 1;
    config.aws = &role;
    return create(&config, NULL, NULL);
}

static lssb_status create_mount_proxy(void)
{
    lssb_mount two[2];
    lssb_mount_config config;
    lssb_proxy_rule rule;
    lssb_proxy_config proxy;

    memset(&config, 0, sizeof config);
    memset(&rule, 0, sizeof rule);
    memset(&proxy, 0, sizeof proxy);
    two[0] = mount("a", "/a");
    two[0].s3 = &s3;
    two[1] = mount("b", "/b");
    two[1].git = &git_plain;
    config.mounts = two;
    config.mount_count = 2;
    rule.aws = &role;
    proxy.rules = &rule;
    proxy.rule_count = 1;
    return create(&config, &proxy, NULL);
}

static const char *const hosts[] = { "api.example.com", "*.example.org" };
static const char *const allowed[] = { "github.com", "~^cdn[0-9]+\\.x$" };
static const lssb_pair placeholder[] = { { " AWS_REGION ", " eu " } };
static const lssb_proxy_header headers[] = {
    { "Authorization", { LSSB_SECRET_WORKSPACE, "Bearer {KEY}" } },
    { "X-Env", { LSSB_SECRET_PLAINTEXT, "test" } }
};

/* Three rules and a list of hosts. */
static void fill_proxy(lssb_proxy_config *proxy, lssb_proxy_rule *rules)
{
    memset(proxy, 0, sizeof *proxy);
    memset(rules, 0, 3 * sizeof *rules);
    rules[0].name = "api";
    rules[0].match_hosts = hosts;
    rules[0].match_host_count = 2;
    rules[0].headers = headers;
    rules[0].header_count = 2;
    rules[1].aws = &keys;
    rules[1].env = placeholder;
    rules[1].env_count = 1;
    rules[2].name = "google";
    rules[2].gcp = &account;
    rules[2].disabled = true;
    proxy->rules = rules;
    proxy->rule_count = 3;
    proxy->allow = allowed;
    proxy->allow_count = 2;
}

static lssb_status create_proxy(void)
{
    lssb_proxy_rule rules[3];
    lssb_proxy_config proxy;

    fill_proxy(&proxy, rules);
    return create(NULL, &proxy, NULL);
}

static lssb_status create_proxy_empty(void)
{
    lssb_proxy_config proxy;

    memset(&proxy, 0, sizeof proxy);
    return create(NULL, &proxy, NULL);
}

static lssb_status create_proxy_raw(void)
{
    lssb_proxy_config proxy;

    memset(&proxy, 0, sizeof proxy);
    proxy.json = "{\"rules\": [], \"new\": {\"a\": [1, null]}}";
    return create(NULL, &proxy, NULL);
}

static lssb_status update_proxy(void)
{
    lssb_proxy_rule rules[3];
    lssb_proxy_config proxy;
    lssb_sandbox_update update;

    memset(&update, 0, sizeof update);
    fill_proxy(&proxy, rules);
    update.proxy_config = &proxy;
    return lssb_sandbox_change(&box, &update, NULL);
}

static lssb_status create_inherit(void)
{
    static const lssb_access_delegation inherit = { true, NULL, 0 };

    return create(NULL, NULL, &inherit);
}

static lssb_status create_explicit(void)
{
    static const char *const permissions[] = { "sandboxes:read", "x:y" };
    static const lssb_access_delegation some = { false, permissions, 2 };

    return create(NULL, NULL, &some);
}

/* ------------------------------------------------------------ registries -- */

static const lssb_registry_options all = { "in/ternal", "registry.example.com",
                                           "robot", "s3\"cret", NULL };
static lssb_registry registry;

static lssb_status registry_create(void)
{
    return lssb_registry_create(client, &all, &registry, NULL);
}

static lssb_status registry_get(void)
{
    return lssb_registry_get(client, "a b/\xc3\xa4", &registry, NULL);
}

static lssb_status registry_change(void)
{
    lssb_registry_options options;

    memset(&options, 0, sizeof options);
    options.password = "new";
    return lssb_registry_change(client, "internal", &options, &registry, NULL);
}

static lssb_status registry_change_all(void)
{
    return lssb_registry_change(client, "internal", &all, &registry, NULL);
}

static lssb_status registry_delete(void)
{
    return lssb_registry_delete(client, "internal", NULL);
}

static lssb_status registry_list(void)
{
    lssb_registry_list list;
    lssb_registry got[2];
    size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "in";
    return lssb_registry_next(client, &list, got, 2, &count, NULL);
}

/* --------------------------------------- what the generated client calls -- */

static const char *const label_filters[] = { "team", "a=b c" };

static lssb_status walk_boxes(void)
{
    lssb_sandbox_list list;
    lssb_sandbox boxes[2];
    lssb_status status;
    size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "b";
    list.status = "ready";
    list.created_by = "me";
    list.labels = label_filters;
    list.label_count = 2;
    list.sort_by = "created_at";
    list.sort_order = "asc";
    while ((status = lssb_sandbox_next(client, &list, boxes, 2, &count,
                                       NULL)) == LSSB_OK)
        continue;
    return status;
}

static lssb_status walk_snapshots(void)
{
    lssb_snapshot_list list;
    lssb_snapshot some[2];
    lssb_status status;
    size_t count;

    memset(&list, 0, sizeof list);
    list.name_contains = "p";
    list.status = "building";
    list.created_by = "me";
    list.labels = label_filters;
    list.label_count = 2;
    list.sort_by = "name";
    list.sort_order = "desc";
    while ((status = lssb_snapshot_next(client, &list, some, 2, &count,
                                        NULL)) == LSSB_OK)
        continue;
    return status;
}

static lssb_status take_tag(void *user, const char *tag, const char *id)
{
    (void)user;
    (void)tag;
    (void)id;
    return LSSB_OK;
}

static lssb_status tags_of_a_name(void)
{
    lssb_tag_list tags;

    memset(&tags, 0, sizeof tags);
    tags.take = take_tag;
    return lssb_snapshot_tags(client, "py/thon", &tags, NULL);
}

static lssb_status capture_with_memory(void)
{
    lssb_capture_options options;

    memset(&options, 0, sizeof options);
    options.name = "snap";
    options.tag = "v1";
    options.include_memory = true;
    options.labels = env;
    options.label_count = 2;
    options.checkpoint = "2026-04-01T12:00:00Z";
    options.no_wait = true;
    return lssb_snapshot_capture(&box, &options, &snapshot, NULL);
}

static lssb_status image_with_labels(void)
{
    lssb_snapshot_options options;

    memset(&options, 0, sizeof options);
    options.name = "n";
    options.docker_image = "i";
    options.fs_capacity_bytes = 1;
    options.tag = "v1";
    options.labels = env;
    options.label_count = 2;
    options.no_wait = true;
    return lssb_snapshot_create(client, &options, &snapshot, NULL);
}

/* ------------------------------------------------------------------ main -- */

static const struct {
    const char *name;
    lssb_status (*make)(void);
} calls[] = {
    { "create a snapshot", snapshot_create },
    { "create a snapshot, all", snapshot_create_all },
    { "capture", snapshot_capture },
    { "capture, all", snapshot_capture_all },
    { "get a snapshot", snapshot_get },
    { "delete a snapshot", snapshot_delete },
    { "list snapshots", snapshot_list },
    { "wait for a snapshot", snapshot_wait },
    { "service URL", service_token },
    { "service URL, default", service_default },
    { "service URL, restricted", service_restricted },
    { "service URL, workspace", service_workspace },
    { "download link", link_plain },
    { "download link, all", link_all },
    { "glob", glob_all },
    { "list a directory", list_directory },
    { "grep", grep_plain },
    { "grep, all", grep_all },
    { "create with mounts", create_mounts },
    { "create with a mount by role", create_mount_role },
    { "create with a mount by the proxy", create_mount_proxy },
    { "create with a proxy", create_proxy },
    { "create with an empty proxy", create_proxy_empty },
    { "create with a raw proxy", create_proxy_raw },
    { "update the proxy", update_proxy },
    { "create with all delegated", create_inherit },
    { "create with some delegated", create_explicit },
    { "create a registry", registry_create },
    { "get a registry", registry_get },
    { "change a registry", registry_change },
    { "change a registry, all", registry_change_all },
    { "delete a registry", registry_delete },
    { "list registries", registry_list },
    { "walk the sandboxes", walk_boxes },
    { "walk the snapshots", walk_snapshots },
    { "tags of a name", tags_of_a_name },
    { "capture with memory", capture_with_memory },
    { "create a snapshot with labels", image_with_labels }
};

int main(int argc, char **argv)
{
    lssb_status outcome = LSSB_E_INVALID_ARGUMENT;
    size_t i;

    if (argc != 2 || lssb_open(&client, NULL) != LSSB_OK)
        return 2;
    box.client = client;
    strcpy(box.name, "box-1");
    snprintf(box.dataplane_url, sizeof box.dataplane_url, "%s",
             getenv("DATAPLANE") != NULL ? getenv("DATAPLANE") : "");
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, argv[1]) == 0)
            outcome = calls[i].make();
    fprintf(stderr, "%s %s\n", lssb_status_name(outcome),
            lssb_error_text(client));
    lssb_close(client, NULL);
    return outcome != LSSB_OK && outcome != LSSB_END;
}
