/* fuzz_spec.c: mounts, the proxy and further members from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte picks what the strings become: JSON of
 * the caller's, or members of the structs. What is not refused is a JSON
 * object, and is the same through any window.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* What is made of the input. */
struct made {
    lssb_mount_config mounts;
    lssb_proxy_config proxy;
    const char *more;
    bool update;
};

static void put(const struct made *made, struct lssb_writer *to)
{
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, made->more);
    lssb_spec_mounts(&json,
                     made->mounts.mounts != NULL || made->mounts.json != NULL
                         ? &made->mounts
                         : NULL,
                     &made->proxy);
    lssb_spec_proxy(&json, &made->proxy, made->update);
    lssb_spec_end(&json);
    must(to->wrong != NULL || lssb_json_complete(&json));
}

static enum lssb_json_take skip(void *ctx, int depth, const char *parent,
                                const char *key)
{
    (void)ctx;
    (void)depth;
    (void)parent;
    (void)key;
    return LSSB_JSON_SKIP;
}

/* The whole is JSON, unless it is deeper than a reader has to go. */
static void check_json(const uint8_t *text, size_t len)
{
    struct lssb_json json;
    char buffer[256];
    size_t at = 0, used;

    memset(&json, 0, sizeof json);
    json.choose = skip;
    lssb_json_start(&json, buffer, sizeof buffer);
    while (at < len) {
        if (lssb_json_next(&json, text + at, len - at, &used) ==
            LSSB_JSON_WRONG) {
            must(strstr(json.wrong, "nest") != NULL ||
                 strstr(json.wrong, "deep") != NULL);
            return;
        }
        at += used;
    }
    must(lssb_json_end(&json) == LSSB_JSON_DONE);
}

/* The same bytes through windows of `room`. */
static void check_windows(const struct made *made, const uint8_t *whole,
                          size_t len, size_t room)
{
    uint8_t piece[64];
    struct lssb_mark mark;
    size_t at = 0;

    memset(&mark, 0, sizeof mark);
    while (at < len) {
        struct lssb_writer to;

        lssb_writer_start(&to, piece, room, at);
        to.mark = &mark;
        put(made, &to);
        must(to.wrong == NULL && to.len > 0 && to.len <= len - at);
        must(memcmp(piece, whole + at, to.len) == 0);
        at += to.len;
    }
}

static void check(const struct made *made, size_t room)
{
    static uint8_t whole[65536];
    struct lssb_writer to;

    lssb_writer_start(&to, whole, sizeof whole, 0);
    put(made, &to);
    if (to.wrong != NULL || to.total > sizeof whole)
        return;
    check_json(whole, to.len);
    check_windows(made, whole, to.len, room);
}

/* The next string of the input; "" at its end. */
static const char *next(const char **text, const char *end)
{
    const char *at = *text;

    if (at >= end)
        return "";
    *text += strlen(at) + 1;
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    const char *text = copy, *end = copy + size, *hosts[1];
    struct made made;
    lssb_mount mount;
    lssb_proxy_rule rule;
    lssb_proxy_header header;
    lssb_pair env;
    lssb_aws aws;
    lssb_git git;
    lssb_s3 s3;
    uint8_t kind;

    memcpy(copy, data, size);
    copy[size] = '\0';
    memset(&made, 0, sizeof made);
    memset(&mount, 0, sizeof mount);
    memset(&rule, 0, sizeof rule);
    memset(&aws, 0, sizeof aws);
    memset(&git, 0, sizeof git);
    memset(&s3, 0, sizeof s3);
    kind = size > 0 ? data[0] : 0;
    if (size > 0)
        text++;
    made.update = (kind & 1) != 0;
    if ((kind & 2) != 0)
        made.more = next(&text, end);
    if ((kind & 4) != 0)
        made.proxy.json = next(&text, end);
    if ((kind & 8) != 0)
        made.mounts.json = next(&text, end);
    rule.name = next(&text, end);
    if ((kind & 16) != 0)
        rule.json = next(&text, end);
    hosts[0] = next(&text, end);
    rule.match_hosts = hosts;
    rule.match_host_count = 1;
    header.name = next(&text, end);
    header.value.kind = (lssb_secret_kind)(kind >> 6);
    header.value.value = next(&text, end);
    rule.headers = &header;
    rule.header_count = 1;
    env.name = next(&text, end);
    env.value = next(&text, end);
    rule.env = &env;
    rule.env_count = 1;
    made.proxy.rules = &rule;
    made.proxy.rule_count = 1;
    mount.id = next(&text, end);
    mount.path = next(&text, end);
    aws.access_key_id.kind = (lssb_secret_kind)(1 + (kind >> 7));
    aws.access_key_id.value = next(&text, end);
    aws.secret_access_key = aws.access_key_id;
    s3.bucket = next(&text, end);
    git.remote_url = s3.bucket;
    git.branch = mount.id;
    if ((kind & 32) != 0) {
        mount.s3 = &s3;
        made.mounts.aws = &aws;
    } else {
        mount.git = &git;
    }
    if (rule.json != NULL && (kind & 64) != 0)
        mount.json = rule.json;
    made.mounts.mounts = &mount;
    made.mounts.mount_count = 1;
    check(&made, 1 + size % 60);
    free(copy);
    return 0;
}
