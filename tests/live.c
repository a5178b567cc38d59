/* live.c: the control plane against a sandboxd: what one makes, the other
 * takes.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: LANGSMITH_ENDPOINT=… LANGSMITH_API_KEY=… live
 */
#include "../lssb.h"
#include "test.h"

static lssb_client *client;
static lssb_sandbox box;

static lssb_status count_one(void *user, const lssb_match *match)
{
    size_t *count = user;

    (void)match;
    (*count)++;
    return LSSB_OK;
}

static lssb_status count_tag(void *user, const char *tag, const char *id)
{
    (void)id;
    return strcmp(tag, user) == 0 ? LSSB_OK : LSSB_E_STOPPED;
}

static void registries_are_made_changed_listed_and_deleted(void)
{
    lssb_registry_options all = { "internal", "r.example.com", "robot", "s",
                                  NULL };
    lssb_registry_options moved = { NULL, "r2.example.com", NULL, NULL, NULL };
    lssb_registry_list list;
    lssb_registry registry;
    size_t count;

    memset(&list, 0, sizeof list);
    EXPECT_INT(lssb_registry_create(client, &all, &registry, NULL), LSSB_OK);
    EXPECT_INT(lssb_registry_create(client, &all, &registry, NULL),
               LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(lssb_registry_change(client, "internal", &moved, &registry,
                                    NULL), LSSB_OK);
    EXPECT_STR(registry.url, "r2.example.com");
    EXPECT_INT(lssb_registry_next(client, &list, &registry, 1, &count, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_registry_next(client, &list, &registry, 1, &count, NULL),
               LSSB_END);
    EXPECT_INT(lssb_registry_delete(client, "internal", NULL), LSSB_OK);
    EXPECT_INT(lssb_registry_get(client, "internal", &registry, NULL),
               LSSB_E_NOT_FOUND);
}

static void templates_volumes_and_pools_depend_on_one_another(void)
{
    lssb_volume_options size = { "vol", "10Gi", 0, NULL };
    lssb_volume_options less = { NULL, "5Gi", 0, NULL };
    lssb_volume_mount mount = { "vol", "/data" };
    lssb_template_options plain, with;
    lssb_pool_options options = { "pool", "plain", 1, 0, NULL };
    lssb_pool_options none = { NULL, NULL, LSSB_NONE, 0, NULL };
    lssb_template made;
    lssb_volume volume;
    lssb_pool pool;

    memset(&plain, 0, sizeof plain);
    plain.name = "first";
    plain.image = "python:3.12-slim";
    with = plain;
    with.name = "with";
    with.volume_mounts = &mount;
    with.volume_mount_count = 1;
    EXPECT_INT(lssb_volume_create(client, &size, &volume, NULL), LSSB_OK);
    EXPECT_INT(lssb_volume_change(client, "vol", &less, &volume, NULL),
               LSSB_E_VALIDATION);
    EXPECT_INT(lssb_template_create(client, &plain, &made, NULL), LSSB_OK);
    EXPECT_INT(lssb_template_create(client, &with, &made, NULL), LSSB_OK);
    EXPECT_INT(lssb_template_rename(client, "first", "plain", &made, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_pool_create(client, &options, &pool, NULL), LSSB_OK);
    options.name = "other";
    options.template_name = "with";
    EXPECT_INT(lssb_pool_create(client, &options, &pool, NULL),
               LSSB_E_VALIDATION);
    options.template_name = "nowhere";
    EXPECT_INT(lssb_pool_create(client, &options, &pool, NULL),
               LSSB_E_NOT_FOUND);
    EXPECT_INT(lssb_template_delete(client, "plain", NULL), LSSB_E_IN_USE);
    EXPECT_INT(lssb_pool_change(client, "pool", &none, &pool, NULL), LSSB_OK);
    EXPECT_INT(pool.replicas, 0);
    EXPECT_INT(lssb_pool_delete(client, "pool", NULL), LSSB_OK);
    EXPECT_INT(lssb_volume_delete(client, "vol", NULL), LSSB_E_IN_USE);
    EXPECT_INT(lssb_template_delete(client, "plain", NULL), LSSB_OK);
    EXPECT_INT(lssb_template_delete(client, "with", NULL), LSSB_OK);
    EXPECT_INT(lssb_volume_delete(client, "vol", NULL), LSSB_OK);
}

static void a_box_has_mounts_a_proxy_and_rights_and_is_searched(void)
{
    static const char *const hosts[] = { "api.example.com" };
    static const lssb_access_delegation all = { true, NULL, 0 };
    lssb_proxy_header header = { "Authorization",
                                 { LSSB_SECRET_OPAQUE, "key" } };
    lssb_git git = { "https://git.example.com/o/r.git", "main", NULL, 60 };
    lssb_proxy_rule rule;
    lssb_proxy_config proxy;
    lssb_mount mount;
    lssb_mount_config mounts;
    lssb_sandbox_options options;
    lssb_sandbox_update update;
    lssb_search search;
    size_t count = 0;

    memset(&rule, 0, sizeof rule);
    memset(&proxy, 0, sizeof proxy);
    memset(&mount, 0, sizeof mount);
    memset(&mounts, 0, sizeof mounts);
    memset(&options, 0, sizeof options);
    memset(&update, 0, sizeof update);
    memset(&search, 0, sizeof search);
    rule.name = "api";
    rule.match_hosts = hosts;
    rule.match_host_count = 1;
    rule.headers = &header;
    rule.header_count = 1;
    proxy.rules = &rule;
    proxy.rule_count = 1;
    mount.id = "src";
    mount.path = "/mnt/mounts/src";
    mount.git = &git;
    mounts.mounts = &mount;
    mounts.mount_count = 1;
    options.mount_config = &mounts;
    options.proxy_config = &proxy;
    options.access_delegation = &all;
    EXPECT_INT(lssb_sandbox_create(client, &options, &box, NULL), LSSB_OK);
    header.value.value = NULL;      /* the stored one stays */
    update.proxy_config = &proxy;
    EXPECT_INT(lssb_sandbox_change(&box, &update, NULL), LSSB_OK);
    EXPECT_INT(lssb_file_write(&box, "/root/a b", "one\nTODO\n", 9, NULL),
               LSSB_OK);
    search.pattern = "TODO";
    search.path = "/root";
    search.take = count_one;
    search.user = &count;
    EXPECT_INT(lssb_grep(&box, &search, NULL), LSSB_OK);
    EXPECT_INT(count, 1);
    search.path = "/nowhere";
    EXPECT_INT(lssb_glob(&box, &search, NULL), LSSB_E_NOT_FOUND);
}

static void a_service_is_shared_by_token_or_by_login(void)
{
    lssb_service_options options = { 3000, 0, LSSB_ACCESS_TOKEN, NULL };
    lssb_link_options to = { "/root/a b", 60, NULL, LSSB_DISPOSITION_UNSET,
                             NULL };
    lssb_plain_list list;
    lssb_shared_port port;
    lssb_service service;
    lssb_link link;
    size_t count;

    memset(&list, 0, sizeof list);
    EXPECT_INT(lssb_service_url(&box, &options, &service, NULL), LSSB_OK);
    options.access = LSSB_ACCESS_RESTRICTED;
    EXPECT_INT(lssb_service_url(&box, &options, &service, NULL), LSSB_OK);
    options.access = LSSB_ACCESS_TOKEN;
    EXPECT_INT(lssb_service_url(&box, &options, &service, NULL),
               LSSB_E_REFUSED);
    EXPECT_INT(lssb_service_next(&box, &list, &port, 1, &count, NULL),
               LSSB_OK);
    EXPECT_INT(port.port, 3000);
    EXPECT_STR(port.access, "restricted");
    EXPECT_INT(lssb_service_revoke(&box, 3000, NULL), LSSB_OK);
    EXPECT_INT(lssb_service_url(&box, &options, &service, NULL), LSSB_OK);
    EXPECT_INT(lssb_download_url(&box, &to, &link, NULL), LSSB_OK);
    EXPECT(link.expires_at[0] != '\0');
}

static void a_snapshot_is_captured_tagged_and_deleted(void)
{
    static char tag[] = "v1";
    lssb_capture_options options;
    lssb_snapshot snapshot;
    lssb_tag_list tags;

    memset(&options, 0, sizeof options);
    memset(&tags, 0, sizeof tags);
    options.name = "live";
    options.tag = tag;
    EXPECT_INT(lssb_snapshot_capture(&box, &options, &snapshot, NULL),
               LSSB_OK);
    EXPECT_INT(snapshot.state, LSSB_STATE_READY);
    tags.take = count_tag;
    tags.user = tag;
    EXPECT_INT(lssb_snapshot_tags(client, "live", &tags, NULL), LSSB_OK);
    EXPECT_INT(tags.count, 1);
    EXPECT_INT(lssb_snapshot_get(client, "live:v1", &snapshot, NULL, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_snapshot_delete(&snapshot, NULL), LSSB_OK);
    EXPECT_INT(lssb_snapshot_wait(&snapshot, 1, NULL), LSSB_E_NOT_FOUND);
    EXPECT_INT(lssb_sandbox_delete(&box, NULL), LSSB_OK);
}

int main(void)
{
    static const struct test tests[] = {
        TEST(registries_are_made_changed_listed_and_deleted),
        TEST(templates_volumes_and_pools_depend_on_one_another),
        TEST(a_box_has_mounts_a_proxy_and_rights_and_is_searched),
        TEST(a_service_is_shared_by_token_or_by_login),
        TEST(a_snapshot_is_captured_tagged_and_deleted)
    };
    lssb_error why;
    int failed;

    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        printf("%s\n0 passed, 1 failed\n", why.message);
        return 1;
    }
    failed = TEST_MAIN(tests);
    lssb_close(client, NULL);
    return failed;
}
