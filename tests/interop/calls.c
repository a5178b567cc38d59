/* calls.c: one call of lssb each, for compare.mjs, which makes the same call
 * with the official JS SDK and compares what a server gets of the two.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: calls NAME; LANGSMITH_ENDPOINT, LANGSMITH_API_KEY and DATAPLANE, the
 * URL of the sandbox "box-1", come from the environment. The exit code is 0
 * when the call went well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

static const lssb_pair pairs[] = {
    {"A", "1"}, {"EMPTY", ""}, {"UML", "\xc3\xa4 \"\\\t"}
};
static const lssb_run_config run_config = {"1000:1000", "/srv", pairs, 3};
static const lssb_run_config only_user = {"nobody", NULL, NULL, 0};

/* ------------------------------------------------------------- sandboxes -- */

static lssb_status create(lssb_sandbox *box,
                          const lssb_sandbox_options *options)
{
    return lssb_sandbox_create(box->client, options, box, NULL);
}

static lssb_status create_default(lssb_sandbox *box)
{
    return create(box, NULL);
}

static lssb_status create_named(lssb_sandbox *box)
{
    lssb_sandbox_options options = {0};

    options.name = "\xc3\xa4 \"quoted\" \\ \xf0\x9f\x98\x80/x";
    options.snapshot_name = "default:latest";
    options.timeout_s = 45;
    return create(box, &options);
}

static lssb_status create_no_wait(lssb_sandbox *box)
{
    lssb_sandbox_options options = {0};

    options.no_wait = true;
    options.timeout_s = 45;
    return create(box, &options);
}

static lssb_status create_sized(lssb_sandbox *box)
{
    lssb_sandbox_options options = {0};

    options.snapshot_id = "5f0c0b9e-0000-4000-8000-000000000001";
    options.idle_ttl_s = 120;
    options.delete_after_stop_s = 3600;
    options.vcpus = 2;
    options.mem_bytes = UINT64_C(8589934592);
    options.fs_capacity_bytes = UINT64_C(9007199254740991);
    return create(box, &options);
}

static lssb_status create_without_end(lssb_sandbox *box)
{
    lssb_sandbox_options options = {0};

    options.idle_ttl_s = LSSB_NEVER;
    options.delete_after_stop_s = LSSB_NEVER;
    return create(box, &options);
}

static lssb_status create_run_config(lssb_sandbox *box)
{
    lssb_sandbox_options options = {0};

    options.run_config = &run_config;
    return create(box, &options);
}

static lssb_status get(lssb_sandbox *box)
{
    return lssb_sandbox_get(box->client, "box-1", box, NULL);
}

static lssb_status get_encoded(lssb_sandbox *box)
{
    return lssb_sandbox_get(box->client, "a b/\xc3\xa4?c#d%2F&+=@:", box, NULL);
}

static lssb_status get_marks(lssb_sandbox *box)
{
    return lssb_sandbox_get(box->client, "it's!(a)*", box, NULL);
}

static lssb_status list(lssb_sandbox *box)
{
    lssb_sandbox_list walk;
    lssb_sandbox boxes[2];
    size_t count;

    memset(&walk, 0, sizeof walk);
    return lssb_sandbox_next(box->client, &walk, boxes, 2, &count, NULL);
}

static lssb_status change(lssb_sandbox *box, const lssb_sandbox_update *update)
{
    return lssb_sandbox_change(box, update, NULL);
}

static lssb_status update_name(lssb_sandbox *box)
{
    lssb_sandbox_update update = {0};

    update.name = "other/\xc3\xa4";
    return change(box, &update);
}

static lssb_status update_ttl(lssb_sandbox *box)
{
    lssb_sandbox_update update = {0};

    update.idle_ttl_s = 180;
    update.delete_after_stop_s = LSSB_NEVER;
    return change(box, &update);
}

static lssb_status update_run_config(lssb_sandbox *box)
{
    lssb_sandbox_update update = {0};

    update.run_config = &run_config;
    return change(box, &update);
}

static lssb_status update_nothing(lssb_sandbox *box)
{
    lssb_sandbox_update update = {0};

    return change(box, &update);
}

static lssb_status delete_box(lssb_sandbox *box)
{
    return lssb_sandbox_delete(box, NULL);
}

static lssb_status delete_named(lssb_sandbox *box)
{
    return lssb_sandbox_delete_named(box->client, "x y", NULL);
}

static lssb_status status(lssb_sandbox *box)
{
    return lssb_sandbox_status(box, NULL);
}

static lssb_status wait_ready(lssb_sandbox *box)
{
    return lssb_sandbox_wait(box, 10, NULL);
}

static lssb_status start(lssb_sandbox *box)
{
    return lssb_sandbox_start(box, 10, NULL);
}

static lssb_status stop(lssb_sandbox *box)
{
    return lssb_sandbox_stop(box, NULL);
}

/* -------------------------------------------------------------- commands -- */

static lssb_status run(lssb_sandbox *box, const char *command,
                       const lssb_run_options *options)
{
    lssb_result result;

    return lssb_run(box, command, options, &result, NULL);
}

static lssb_status run_default(lssb_sandbox *box)
{
    return run(box, "echo hello", NULL);
}

static lssb_status run_escapes(lssb_sandbox *box)
{
    return run(box, "printf '\"\\\t\n\r\x01\x7f </script> \xe2\x80\xa8 "
                    "\xf0\x9f\x98\x80'", NULL);
}

static lssb_status run_options(lssb_sandbox *box)
{
    lssb_run_options options = {0};

    options.timeout_s = 5;
    options.shell = "/bin/sh";
    options.cwd = "/srv";
    options.env = pairs;
    options.env_count = 3;
    return run(box, "true", &options);
}

static lssb_status run_env(lssb_sandbox *box)
{
    lssb_run_options options = {0};

    options.env = pairs;
    options.env_count = 1;
    return run(box, "true", &options);
}

static lssb_status run_cwd(lssb_sandbox *box)
{
    lssb_run_options options = {0};

    options.cwd = "/srv/\xc3\xa4";
    return run(box, "true", &options);
}

static lssb_status run_user(lssb_sandbox *box)
{
    lssb_run_options options = {0};

    options.as_user = "1000:1000";
    options.cwd = "/srv";
    options.env = pairs;
    options.env_count = 3;
    return run(box, "true", &options);
}

static lssb_status run_only_user(lssb_sandbox *box)
{
    lssb_run_options options = {0};

    options.as_user = only_user.user;
    return run(box, "true", &options);
}

static lssb_status run_slash(lssb_sandbox *box)
{
    strcat(box->dataplane_url, "/");
    return run(box, "true", NULL);
}

/* ----------------------------------------------------------------- files -- */

static lssb_status write_text(lssb_sandbox *box)
{
    static const char text[] = "Gr\xc3\xbc\xc3\x9f" "e\n";

    return lssb_file_write(box, "/tmp/a.txt", text, sizeof text - 1, NULL);
}

static lssb_status write_empty(lssb_sandbox *box)
{
    return lssb_file_write(box, "relative", NULL, 0, NULL);
}

static lssb_status write_binary(lssb_sandbox *box)
{
    static unsigned char bytes[100000];
    size_t i;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 >> 3);
    return lssb_file_write(box, "/\xc3\xa4 b/+&=?#%41\"\\.bin", bytes,
                           sizeof bytes, NULL);
}

static lssb_status write_marks(lssb_sandbox *box)
{
    return lssb_file_write(box, "/it's!(a)*", "x", 1, NULL);
}

static lssb_status read_whole(lssb_sandbox *box)
{
    char bytes[64];
    size_t len;

    return lssb_file_read(box, "/\xc3\xa4 b/c", bytes, sizeof bytes, &len,
                          NULL);
}

static lssb_status stat_file(lssb_sandbox *box)
{
    lssb_file file;

    return lssb_file_stat(box, "/tmp/a.txt", &file, NULL);
}

static lssb_status take(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    return LSSB_OK;
}

/* A download of a part, under conditions. */
static lssb_status part(lssb_sandbox *box, uint64_t first, uint64_t length,
                        uint64_t last, const char *if_range,
                        const char *if_none_match)
{
    lssb_download download;
    lssb_file file;

    memset(&download, 0, sizeof download);
    download.range.start = first;
    download.range.length = length;
    download.range.last = last;
    download.range.if_range = if_range;
    download.range.if_none_match = if_none_match;
    download.take = take;
    return lssb_file_download(box, "/tmp/a.txt", &download, &file, NULL);
}

static lssb_status range_closed(lssb_sandbox *box)
{
    return part(box, 2, 3, 0, NULL, NULL);
}

static lssb_status range_open(lssb_sandbox *box)
{
    return part(box, 4, 0, 0, NULL, NULL);
}

static lssb_status range_last(lssb_sandbox *box)
{
    return part(box, 0, 0, 3, NULL, NULL);
}

static lssb_status range_if_range(lssb_sandbox *box)
{
    return part(box, 4, 0, 0, "\"e1\"", NULL);
}

static lssb_status range_if_none_match(lssb_sandbox *box)
{
    return part(box, 4, 0, 0, NULL, "\"e1\"");
}

static lssb_status range_both(lssb_sandbox *box)
{
    return part(box, 1, 1, 0, "\"e1\"", "\"e0\"");
}

/* ------------------------------------------------------------------ main -- */

static const struct {
    const char *name;
    lssb_status (*make)(lssb_sandbox *box);
} calls[] = {
    {"create", create_default},
    {"create named", create_named},
    {"create, not waiting", create_no_wait},
    {"create, sized", create_sized},
    {"create, without end", create_without_end},
    {"create with run_config", create_run_config},
    {"get", get},
    {"get, encoded", get_encoded},
    {"get, marks", get_marks},
    {"list", list},
    {"update the name", update_name},
    {"update the TTLs", update_ttl},
    {"update run_config", update_run_config},
    {"update nothing", update_nothing},
    {"delete", delete_box},
    {"delete by name", delete_named},
    {"status", status},
    {"wait", wait_ready},
    {"start", start},
    {"stop", stop},
    {"run", run_default},
    {"run, escapes", run_escapes},
    {"run with all options", run_options},
    {"run with a variable", run_env},
    {"run in a directory", run_cwd},
    {"run as a user, with all", run_user},
    {"run as a user", run_only_user},
    {"run, URL with a slash", run_slash},
    {"write text", write_text},
    {"write nothing", write_empty},
    {"write 100,000 bytes", write_binary},
    {"write, marks", write_marks},
    {"read", read_whole},
    {"stat", stat_file},
    {"range A-B", range_closed},
    {"range A-", range_open},
    {"range -N", range_last},
    {"range, If-Range", range_if_range},
    {"range, If-None-Match", range_if_none_match},
    {"range, both", range_both},
    {"headers of one's own", get},
};

/* Opens a client as the call's name wants it, and the sandbox. */
static lssb_status open_box(const char *name, lssb_sandbox *box)
{
    static const lssb_pair header = {"X-Service-Key", "s-1"};
    lssb_config config;

    memset(&config, 0, sizeof config);
    if (strcmp(name, "headers of one's own") == 0) {
        config.tenant_id = "t-1";
        config.headers = &header;
        config.header_count = 1;
    }
    memset(box, 0, sizeof *box);
    strcpy(box->name, "box-1");
    snprintf(box->dataplane_url, sizeof box->dataplane_url - 1, "%s",
             getenv("DATAPLANE") != NULL ? getenv("DATAPLANE") : "");
    return lssb_open(&box->client, &config);
}

int main(int argc, char **argv)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_status outcome = LSSB_E_INVALID_ARGUMENT;
    size_t i;

    if (argc != 2 || open_box(argv[1], &box) != LSSB_OK)
        return 2;
    client = box.client;
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(calls[i].name, argv[1]) == 0)
            outcome = calls[i].make(&box);
    }
    fprintf(stderr, "%s %s\n", lssb_status_name(outcome),
            lssb_error_text(client));
    lssb_close(client, NULL);
    return outcome != LSSB_OK && outcome != LSSB_END;
}
