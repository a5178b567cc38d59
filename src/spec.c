/* spec.c: what a request says of a sandbox's storage, its way out, its rights.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.13, 2.14, 2.18, 2.19: from the caller's structs to JSON, with the
 * rules that need no server. A rule that is broken is the writer's mistake, so
 * that it is found by the trial that every call begins with. What is given as
 * JSON goes through as it is, once it is known to be JSON.
 */
#include "internal.h"

/* The writer's mistake; the first one stays. */
static void spec_wrong(struct lssb_json_writer *json, const char *wrong)
{
    if (json->to->wrong == NULL)
        json->to->wrong = wrong;
}

/* --------------------------------------------------------- small members -- */

bool lssb_spec_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

void lssb_spec_text(struct lssb_json_writer *json, const char *name,
                    const char *text)
{
    if (lssb_spec_given(text))
        lssb_json_string(json, name, text);
}

void lssb_spec_required(struct lssb_json_writer *json, const char *name,
                        const char *text, const char *wrong)
{
    if (lssb_spec_given(text))
        lssb_json_string(json, name, text);
    else
        spec_wrong(json, wrong);
}

void lssb_spec_number(struct lssb_json_writer *json, const char *name,
                      uint64_t number)
{
    if (number > INT64_MAX)
        spec_wrong(json, "a number is larger than 2^63-1");
    else if (number != 0)
        lssb_json_number(json, name, (int64_t)number);
}

void lssb_spec_ttl(struct lssb_json_writer *json, const char *name,
                   int64_t seconds)
{
    if (seconds != 0)
        lssb_json_number(json, name, seconds == LSSB_NEVER ? 0 : seconds);
}

void lssb_spec_run_config(struct lssb_json_writer *json,
                          const lssb_run_config *config)
{
    if (config == NULL)
        return;
    lssb_json_object(json, "run_config");
    lssb_spec_text(json, "user", config->user);
    lssb_spec_text(json, "work_dir", config->work_dir);
    if (config->env_count > 0)
        lssb_json_pairs(json, "env_vars", config->env, config->env_count);
    lssb_json_close(json);
}

void lssb_spec_strings(struct lssb_json_writer *json, const char *name,
                       const char *const *strings, size_t count)
{
    size_t i;

    if (count > 0 && strings == NULL) {
        spec_wrong(json, "a count is not 0, but what it counts is NULL");
        return;
    }
    lssb_json_array(json, name);
    for (i = 0; i < count; i++)
        lssb_json_string(json, NULL, strings[i]);
    lssb_json_close(json);
}

/* ------------------------------------------------ texts with their rules -- */

/* White space in JSON, and in what an address must not hold. */
static bool spec_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The length of a text without blanks at its ends, which *text then skips. */
static size_t spec_trim(const char **text)
{
    size_t len;

    if (*text == NULL)
        return 0;
    len = strlen(*text);
    *text = lssb_trim(*text, &len);
    return len;
}

/* A text that must be there, without the blanks at its ends. */
static void spec_required(struct lssb_json_writer *json, const char *name,
                          const char *text, const char *wrong)
{
    size_t len = spec_trim(&text);

    if (len == 0)
        spec_wrong(json, wrong);
    else
        lssb_json_string_n(json, name, text, len);
}

/* The same of each of several, at least one. */
static void spec_required_list(struct lssb_json_writer *json, const char *name,
                               const char *const *texts, size_t count,
                               const char *wrong)
{
    size_t i;

    if (texts == NULL || count == 0) {
        spec_wrong(json, wrong);
        return;
    }
    lssb_json_array(json, name);
    for (i = 0; i < count; i++)
        spec_required(json, NULL, texts[i], wrong);
    lssb_json_close(json);
}

/* A number that is sent if it is set; LSSB_NONE is 0. */
static void spec_count(struct lssb_json_writer *json, const char *name,
                       int64_t number, const char *wrong)
{
    if (number < LSSB_NONE)
        spec_wrong(json, wrong);
    else if (number != 0)
        lssb_json_number(json, name, number == LSSB_NONE ? 0 : number);
}

/* Whether a list is given without what it counts. */
static bool spec_is_broken(struct lssb_json_writer *json, const void *list,
                           size_t count)
{
    if (count == 0 || list != NULL)
        return false;
    spec_wrong(json, "a count is not 0, but what it counts is NULL");
    return true;
}

/* --------------------------------------------------------- given as JSON -- */

/* Skips every member: nothing has to be kept to see whether it is JSON. */
static enum lssb_json_take spec_choose_none(void *ctx, int depth,
                                            const char *parent,
                                            const char *key)
{
    (void)ctx;
    (void)depth;
    (void)parent;
    (void)key;
    return LSSB_JSON_SKIP;
}

/* Whether a text is one JSON object, and nothing else. */
static bool spec_is_object(const char *text)
{
    struct lssb_json scanner;
    char buffer[256];
    size_t len = strlen(text), at = 0, used;
    enum lssb_json_event event = LSSB_JSON_MORE;

    memset(&scanner, 0, sizeof scanner);
    scanner.choose = spec_choose_none;
    lssb_json_start(&scanner, buffer, sizeof buffer);
    while (at < len && event != LSSB_JSON_WRONG) {
        event = lssb_json_next(&scanner, (const uint8_t *)text + at, len - at,
                               &used);
        at += used;
    }
    return event != LSSB_JSON_WRONG &&
           lssb_json_end(&scanner) == LSSB_JSON_DONE &&
           scanner.text_len > 0 && scanner.text[0] == '{';
}

/* A value that the caller gives as a JSON object. What was measured before has
 * been checked, too. */
static void spec_raw(struct lssb_json_writer *json, const char *name,
                     const char *text, const char *wrong)
{
    if (json->to->mark == NULL && !spec_is_object(text))
        spec_wrong(json, wrong);
    else
        lssb_json_raw(json, name, text, strlen(text));
}

/* How deep it goes on behind a byte that is in no string. */
static int spec_depth(char c, int depth)
{
    if (c == '{' || c == '[')
        return depth + 1;
    return c == '}' || c == ']' ? depth - 1 : depth;
}

/* Whether a JSON text has a member of that name, at any depth or (`outer`) in
 * the outermost object. */
static bool spec_names(const char *text, size_t len, const char *name,
                       bool outer)
{
    const char *after = text + len, *end;
    int depth = 0;
    char key[32];

    for (; text < after; text = end + 1) {
        if (*text != '"') {
            depth = spec_depth(*text, depth);
            end = text;
            continue;
        }
        for (end = text + 1; end < after && *end != '"'; end++)
            if (*end == '\\')
                end++;
        if (end >= after)
            return false;
        lssb_json_decode(text, (size_t)(end - text) + 1, key, sizeof key);
        for (text = end + 1; text < after && spec_is_blank(*text); text++)
            continue;
        if (text < after && *text == ':' && (!outer || depth == 1) &&
            strcmp(key, name) == 0)
            return true;
    }
    return false;
}

/* Whether what is given beside a call's own members has one of that name. */
static bool spec_has(const char *more, const char *name)
{
    return spec_names(more, strlen(more), name, true);
}

void lssb_spec_begin(struct lssb_json_writer *json, struct lssb_writer *to,
                     const char *more)
{
    lssb_json_write(json, to);
    lssb_json_object(json, NULL);
    json->more = more;
    if (more == NULL || to->mark != NULL)
        return;
    if (spec_is_object(more))
        json->has = spec_has;
    else
        spec_wrong(json, "more: a JSON object was expected");
}

void lssb_spec_end(struct lssb_json_writer *json)
{
    if (json->more != NULL && json->to->wrong == NULL)
        lssb_json_members(json, json->more, strlen(json->more));
    lssb_json_close(json);
}

/* Whether a mount that is given as JSON holds a provider's credentials. */
static bool spec_has_credentials(const char *text, size_t len)
{
    static const char *const names[] = {
        "access_key_id", "secret_access_key", "session_token",
        "service_account_json", "access_token", "refresh_token",
        "credentials", "credential"
    };
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (spec_names(text, len, names[i], false))
            return true;
    return false;
}

/* Whether the value at a path of a JSON text is that word, quotes included. */
static bool spec_is_at(const char *text, const char *path, const char *word)
{
    size_t len;
    const char *raw = lssb_json_find(text, strlen(text), path, &len);

    return raw != NULL && len == strlen(word) && memcmp(raw, word, len) == 0;
}

/* --------------------------------------------------------------- secrets -- */

/* A bare name as a reference to it. */
static void spec_braces(struct lssb_json_writer *json, const char *name,
                        size_t len)
{
    char text[LSSB_NAME_SIZE + 2];

    if (len >= LSSB_NAME_SIZE) {
        spec_wrong(json, "a workspace secret's name is longer than 127 bytes");
        return;
    }
    text[0] = '{';
    memcpy(text + 1, name, len);
    text[len + 1] = '}';
    lssb_json_string_n(json, "value", text, len + 2);
}

/* The reference to a workspace's secret. */
static void spec_reference(struct lssb_json_writer *json, const char *value,
                           size_t len, bool in_header)
{
    const char *open = memchr(value, '{', len);
    const char *close = memchr(value, '}', len);
    const char *name;

    if (open == NULL && close == NULL) {
        spec_braces(json, value, len);
        return;
    }
    if (open == NULL || close == NULL || close < open ||
        (!in_header && (open != value || value[len - 1] != '}'))) {
        spec_wrong(json, "a workspace secret is a name or {NAME}");
        return;
    }
    for (name = open + 1; name < close && spec_is_blank(*name); name++)
        continue;
    if (name == close)
        spec_wrong(json, "a workspace secret's reference holds no name");
    else
        lssb_json_string_n(json, "value", value, len);
}

/* Type and value of a secret, into the object at hand. */
static void spec_secret_members(struct lssb_json_writer *json,
                                const lssb_secret *secret, bool in_header)
{
    const char *value = secret->value;
    size_t len = spec_trim(&value);

    if (len == 0) {
        spec_wrong(json, "a secret's value is missing or blank");
        return;
    }
    if (secret->kind == LSSB_SECRET_WORKSPACE) {
        lssb_json_string(json, "type", "workspace_secret");
        spec_reference(json, value, len, in_header);
    } else if (secret->kind == LSSB_SECRET_OPAQUE) {
        lssb_json_string(json, "type", "opaque");
        lssb_json_string_n(json, "value", value, len);
    } else {
        spec_wrong(json, "a secret's kind is neither workspace nor opaque");
    }
}

/* A secret as an object; `wrong` says which one is not given. */
static void spec_secret(struct lssb_json_writer *json, const char *name,
                        const lssb_secret *secret, const char *wrong)
{
    if (secret->kind == LSSB_SECRET_UNSET) {
        spec_wrong(json, wrong);
        return;
    }
    lssb_json_object(json, name);
    spec_secret_members(json, secret, false);
    lssb_json_close(json);
}

/* Headers, each a name and what it holds. */
static void spec_headers(struct lssb_json_writer *json, const char *name,
                         const lssb_proxy_header *headers, size_t count,
                         bool update)
{
    size_t i;

    if (count == 0 || spec_is_broken(json, headers, count))
        return;
    lssb_json_array(json, name);
    for (i = 0; i < count; i++) {
        const lssb_secret *value = &headers[i].value;

        lssb_json_object(json, NULL);
        spec_required(json, "name", headers[i].name,
                      "a header's name is missing or blank");
        if (value->kind == LSSB_SECRET_PLAINTEXT) {
            lssb_json_string(json, "type", "plaintext");
            lssb_json_string(json, "value", value->value);
        } else if (update && value->kind == LSSB_SECRET_OPAQUE &&
                   value->value == NULL) {
            lssb_json_string(json, "type", "opaque");
        } else {
            spec_secret_members(json, value, true);
        }
        lssb_json_close(json);
    }
    lssb_json_close(json);
}

/* Who AWS requests are from. */
static void spec_aws(struct lssb_json_writer *json, const lssb_aws *aws)
{
    bool keys = aws->access_key_id.kind != LSSB_SECRET_UNSET ||
                aws->secret_access_key.kind != LSSB_SECRET_UNSET;

    lssb_json_object(json, "aws");
    if (aws->role_arn == NULL || aws->role_arn[0] == '\0') {
        if (aws->subject_scope != NULL)
            spec_wrong(json, "aws: subject_scope goes with role_arn only");
        spec_secret(json, "access_key_id", &aws->access_key_id,
                    "aws: both keys or a role_arn are expected");
        spec_secret(json, "secret_access_key", &aws->secret_access_key,
                    "aws: both keys or a role_arn are expected");
    } else if (keys) {
        spec_wrong(json, "aws: role_arn stands alone, without keys");
    } else {
        spec_required(json, "role_arn", aws->role_arn,
                      "aws: role_arn is blank");
        lssb_spec_text(json, "subject_scope", aws->subject_scope);
    }
    lssb_json_close(json);
}

/* The account that Google's tokens are made for. */
static void spec_gcp(struct lssb_json_writer *json, const lssb_gcp *gcp,
                     bool scopes)
{
    lssb_json_object(json, "gcp");
    spec_secret(json, "service_account_json", &gcp->service_account_json,
                "gcp: service_account_json is missing");
    if (scopes)
        spec_required_list(json, "scopes", gcp->scopes, gcp->scope_count,
                           "gcp: scopes: at least one is expected in a proxy "
                           "rule, none blank");
    lssb_json_close(json);
}

/* ---------------------------------------------------------------- mounts -- */

static void spec_s3(struct lssb_json_writer *json, const lssb_s3 *s3)
{
    lssb_json_object(json, "s3");
    spec_required(json, "endpoint_url",
                  s3->endpoint_url != NULL ? s3->endpoint_url
                                           : "https://s3.amazonaws.com",
                  "s3: endpoint_url is blank");
    spec_required(json, "region", s3->region != NULL ? s3->region
                                                     : "us-east-1",
                  "s3: region is blank");
    spec_required(json, "bucket", s3->bucket,
                  "s3: bucket is missing or blank");
    lssb_json_bool(json, "path_style", s3->path_style);
    if (s3->prefix != NULL)
        spec_required(json, "prefix", s3->prefix, "s3: prefix is blank");
    lssb_json_close(json);
}

static void spec_gcs(struct lssb_json_writer *json, const lssb_gcs *gcs)
{
    lssb_json_object(json, "gcs");
    spec_required(json, "bucket", gcs->bucket,
                  "gcs: bucket is missing or blank");
    if (gcs->prefix != NULL)
        spec_required(json, "prefix", gcs->prefix, "gcs: prefix is blank");
    lssb_json_close(json);
}

/* Whether a path is the root, however it says so. */
static bool spec_is_root(const char *path, size_t len)
{
    size_t i, at = 0;

    for (i = 0; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        if (!(i - at < 3 && memcmp(path + at, "..", i - at) == 0))
            return false;
        at = i + 1;
    }
    return true;
}

/* NULL, or what is wrong with the address of a repository. */
static const char *spec_remote_wrong(const char *text)
{
    struct lssb_url url;
    size_t i, len;

    if (text == NULL || text[0] == '\0')
        return "git: remote_url is missing";
    len = strlen(text);
    for (i = 0; i < len; i++)
        if (spec_is_blank(text[i]))
            return "git: remote_url holds white space";
    if (len < 8 || !lssb_same_name(text, 8, "https://", 8))
        return "git: remote_url does not begin with https://";
    if (memchr(text, '?', len) != NULL || memchr(text, '#', len) != NULL)
        return "git: remote_url has a query or a fragment";
    if (lssb_url_parse(&url, text, len, false) != NULL)
        return "git: remote_url is no URL of a host, without user and "
               "password";
    return spec_is_root(url.path, url.path_len) ? "git: remote_url has no path"
                                                : NULL;
}

static void spec_git(struct lssb_json_writer *json, const lssb_git *git)
{
    const char *wrong = spec_remote_wrong(git->remote_url);

    if (wrong == NULL && git->branch != NULL && git->tag != NULL)
        wrong = "git: branch and tag are both given; give one";
    if (wrong != NULL) {
        spec_wrong(json, wrong);
        return;
    }
    lssb_json_object(json, "git");
    lssb_json_string(json, "remote_url", git->remote_url);
    if (git->branch != NULL || git->tag != NULL) {
        lssb_json_object(json, "ref");
        lssb_json_string(json, "type", git->tag != NULL ? "tag" : "branch");
        spec_required(json, "name", git->tag != NULL ? git->tag : git->branch,
                      "git: the branch or the tag is blank");
        lssb_json_close(json);
    }
    lssb_spec_number(json, "refresh_interval_seconds",
                     git->refresh_interval_s);
    lssb_json_close(json);
}

static void spec_contexthub(struct lssb_json_writer *json,
                            const lssb_contexthub *hub)
{
    lssb_json_object(json, "contexthub");
    spec_required(json, "repo", hub->repo,
                  "contexthub: repo is missing or blank");
    if (hub->initial_pull_only)
        lssb_json_bool(json, "initial_pull_only", true);
    lssb_json_close(json);
}

/* What only buckets have: how they are written to and cached. */
static void spec_bucket(struct lssb_json_writer *json, const lssb_mount *mount)
{
    if (mount->read_only != 0)
        lssb_json_bool(json, "read_only", mount->read_only > 0);
    if (mount->cache == NULL)
        return;
    lssb_json_object(json, "cache");
    spec_count(json, "max_size_bytes", mount->cache->max_size_bytes,
               "cache: max_size_bytes is negative; LSSB_NONE is 0");
    spec_count(json, "writeback_seconds", mount->cache->writeback_s,
               "cache: writeback_s is negative; LSSB_NONE is 0");
    lssb_json_close(json);
}

/* The word for a mount's kind; NULL: it has none, or several. */
static const char *spec_mount_type(const lssb_mount *mount)
{
    int kinds = (mount->s3 != NULL) + (mount->gcs != NULL) +
                (mount->git != NULL) + (mount->contexthub != NULL);

    if (kinds != 1)
        return NULL;
    if (mount->s3 != NULL)
        return "s3";
    if (mount->gcs != NULL)
        return "gcs";
    return mount->git != NULL ? "git" : "contexthub";
}

#define SPEC_CREDENTIALS \
    "a mount's json holds a provider's credentials, which belong into the " \
    "mount_config"

/* One mount that is given as JSON. */
static void spec_raw_mount(struct lssb_json_writer *json, const char *text)
{
    spec_raw(json, NULL, text, "a mount's json: a JSON object was expected");
    if (json->to->mark == NULL && json->to->wrong == NULL &&
        spec_has_credentials(text, strlen(text)))
        spec_wrong(json, SPEC_CREDENTIALS);
}

static void spec_mount(struct lssb_json_writer *json, const lssb_mount *mount)
{
    const char *type = spec_mount_type(mount);

    if (mount->json != NULL) {
        spec_raw_mount(json, mount->json);
        return;
    }
    if (type == NULL) {
        spec_wrong(json, "a mount is exactly one of s3, gcs, git, "
                         "contexthub");
        return;
    }
    lssb_json_object(json, NULL);
    spec_required(json, "id", mount->id, "a mount's id is missing or blank");
    lssb_json_string(json, "type", type);
    spec_required(json, "mount_path", mount->path,
                  "a mount's path is missing or blank");
    if (mount->s3 != NULL || mount->gcs != NULL)
        spec_bucket(json, mount);
    else if (mount->read_only != 0 || mount->cache != NULL)
        spec_wrong(json, "a mount's read_only and cache are for buckets");
    if (mount->s3 != NULL)
        spec_s3(json, mount->s3);
    if (mount->gcs != NULL)
        spec_gcs(json, mount->gcs);
    if (mount->git != NULL)
        spec_git(json, mount->git);
    if (mount->contexthub != NULL)
        spec_contexthub(json, mount->contexthub);
    lssb_json_close(json);
}

/* The mount at an index of a configuration that is given as JSON, or NULL. */
static const char *spec_mount_at(const char *text, uint64_t index, size_t *len)
{
    char path[32];
    struct lssb_text to;

    lssb_text_start(&to, path, sizeof path);
    lssb_text_add(&to, "mounts/");
    lssb_text_add_u64(&to, index);
    return lssb_json_find(text, strlen(text), path, len);
}

/* NULL, or what is wrong with the mounts of such a configuration. */
static const char *spec_raw_mounts_wrong(const char *text)
{
    uint64_t i;
    size_t len;
    const char *mount;

    for (i = 0; (mount = spec_mount_at(text, i, &len)) != NULL; i++)
        if (spec_has_credentials(mount, len))
            return SPEC_CREDENTIALS;
    return i == 0 ? "mount_config: at least one mount is expected" : NULL;
}

/* Whether any mount of such a configuration is of a kind. */
static bool spec_any_raw_mount(const char *text, const char *word)
{
    uint64_t i;
    size_t len, type_len;
    const char *mount, *type;

    for (i = 0; (mount = spec_mount_at(text, i, &len)) != NULL; i++) {
        type = lssb_json_find(mount, len, "type", &type_len);
        if (type != NULL && type_len == strlen(word) &&
            memcmp(type, word, type_len) == 0)
            return true;
    }
    return false;
}

/* Whether any mount is of a provider's kind. */
static bool spec_any_mount(const lssb_mount_config *config, bool s3)
{
    const char *word = s3 ? "\"s3\"" : "\"gcs\"";
    size_t i;

    if (config->json != NULL)
        return spec_any_raw_mount(config->json, word);
    for (i = 0; i < config->mount_count; i++) {
        const lssb_mount *mount = &config->mounts[i];

        if (mount->json != NULL ? spec_is_at(mount->json, "type", word)
            : s3                ? mount->s3 != NULL
                                : mount->gcs != NULL)
            return true;
    }
    return false;
}

/* Whether a rule is one for AWS (or for Google); `in_force`: and enabled. */
static bool spec_rule_is(const lssb_proxy_rule *rule, bool aws, bool in_force)
{
    if (rule->json != NULL)
        return spec_is_at(rule->json, "type", aws ? "\"aws\"" : "\"gcp\"") &&
               (!in_force || spec_is_at(rule->json, "enabled", "true"));
    return (aws ? rule->aws != NULL : rule->gcp != NULL) &&
           (!in_force || !rule->disabled);
}

/* The same of the rule at an index of a configuration that is given as JSON;
 * *more: there is one. */
static bool spec_raw_rule_is(const char *text, uint64_t index, bool aws,
                             bool in_force, bool *more)
{
    char path[48];
    struct lssb_text to;
    size_t base, len;

    lssb_text_start(&to, path, sizeof path);
    lssb_text_add(&to, "rules/");
    lssb_text_add_u64(&to, index);
    *more = lssb_json_find(text, strlen(text), path, &len) != NULL;
    if (!*more)
        return false;
    base = to.len;
    lssb_text_add(&to, "/type");
    if (!spec_is_at(text, path, aws ? "\"aws\"" : "\"gcp\""))
        return false;
    lssb_text_start(&to, path + base, sizeof path - base);
    lssb_text_add(&to, "/enabled");
    return !in_force || spec_is_at(text, path, "true");
}

/* Whether the proxy has a rule for AWS (or for Google). */
static bool spec_any_rule(const lssb_proxy_config *proxy, bool aws,
                          bool in_force)
{
    bool more = true;
    size_t i;

    if (proxy == NULL)
        return false;
    if (proxy->json != NULL) {
        for (i = 0; more; i++)
            if (spec_raw_rule_is(proxy->json, i, aws, in_force, &more))
                return true;
        return false;
    }
    for (i = 0; i < proxy->rule_count && proxy->rules != NULL; i++)
        if (spec_rule_is(&proxy->rules[i], aws, in_force))
            return true;
    return false;
}

/* Whether the mounts may do what AWS (or Google) asks an account for. */
static bool spec_has_auth(const lssb_mount_config *config, bool aws)
{
    const char *raw;
    size_t len;

    if (config->json == NULL)
        return aws ? config->aws != NULL : config->gcp != NULL;
    raw = lssb_json_find(config->json, strlen(config->json),
                         aws ? "auth/aws" : "auth/gcp", &len);
    return raw != NULL && *raw != 'n';
}

/* NULL, or what is wrong with the mounts by themselves. A configuration as
 * JSON without the member is of a shape that is not known here. */
static const char *spec_mounts_wrong(const lssb_mount_config *config,
                                     bool *known)
{
    size_t len;

    *known = config->json == NULL ||
             lssb_json_find(config->json, strlen(config->json), "mounts",
                            &len) != NULL;
    if (config->json != NULL)
        return *known ? spec_raw_mounts_wrong(config->json) : NULL;
    return config->mounts == NULL || config->mount_count == 0
               ? "mount_config: at least one mount is expected"
               : NULL;
}

/* NULL, or why credentials and mounts do not go together. */
static const char *spec_auth_wrong(const lssb_mount_config *config,
                                   const lssb_proxy_config *proxy)
{
    bool known, aws = spec_has_auth(config, true);
    bool gcp = spec_has_auth(config, false);
    const char *wrong = spec_mounts_wrong(config, &known);

    if (wrong != NULL || !known)
        return wrong;
    if (spec_any_mount(config, true) && !aws &&
        !spec_any_rule(proxy, true, true))
        return "mount_config: an s3 mount wants aws";
    if (spec_any_mount(config, false) && !gcp)
        return "mount_config: a gcs mount wants gcp";
    if (aws && !spec_any_mount(config, true))
        return "mount_config: aws is given, but no mount is s3";
    if (gcp && !spec_any_mount(config, false))
        return "mount_config: gcp is given, but no mount is gcs";
    return NULL;
}

/* Refuses credentials that both the mounts and the proxy have. */
static void spec_check_providers(struct lssb_json_writer *json,
                                 const lssb_mount_config *config,
                                 const lssb_proxy_config *proxy)
{
    if (spec_has_auth(config, true) && spec_any_rule(proxy, true, false))
        spec_wrong(json, "aws is in both mount_config and proxy_config");
    if (spec_has_auth(config, false) && spec_any_rule(proxy, false, false))
        spec_wrong(json, "gcp is in both mount_config and proxy_config");
}

/* The mounts and what they may do, built from the structs. */
static void spec_mount_config(struct lssb_json_writer *json,
                              const lssb_mount_config *config,
                              const lssb_proxy_config *proxy)
{
    const char *wrong = spec_auth_wrong(config, proxy);
    size_t i;

    if (wrong != NULL) {
        spec_wrong(json, wrong);
        return;
    }
    lssb_json_object(json, "mount_config");
    lssb_json_object(json, "auth");
    if (config->aws != NULL)
        spec_aws(json, config->aws);
    if (config->gcp != NULL)
        spec_gcp(json, config->gcp, false);
    lssb_json_close(json);
    lssb_json_array(json, "mounts");
    for (i = 0; i < config->mount_count; i++)
        spec_mount(json, &config->mounts[i]);
    lssb_json_close(json);
    lssb_json_close(json);
}

/* The same given as JSON. What was measured before has been checked, too. */
static void spec_raw_mount_config(struct lssb_json_writer *json,
                                  const lssb_mount_config *config,
                                  const lssb_proxy_config *proxy)
{
    const char *wrong;

    spec_raw(json, "mount_config", config->json,
             "mount_config: json: a JSON object was expected");
    if (json->to->mark != NULL || json->to->wrong != NULL)
        return;
    wrong = spec_auth_wrong(config, proxy);
    if (wrong != NULL)
        spec_wrong(json, wrong);
}

void lssb_spec_mounts(struct lssb_json_writer *json,
                      const lssb_mount_config *config,
                      const lssb_proxy_config *proxy)
{
    if (config == NULL)
        return;
    if (config->json != NULL)
        spec_raw_mount_config(json, config, proxy);
    else
        spec_mount_config(json, config, proxy);
    if (json->to->wrong == NULL)
        spec_check_providers(json, config, proxy);
}

/* ------------------------------------------------------------- the proxy -- */

/* A string under a name that ends before its NUL, perhaps. */
static void spec_named(struct lssb_json_writer *json, const char *name,
                       size_t len, const char *value)
{
    char copy[LSSB_NAME_SIZE];

    if (name[len] == '\0')
        lssb_json_string(json, name, value);
    else if (lssb_copy(copy, sizeof copy, name, len))
        lssb_json_string(json, copy, value);
    else
        spec_wrong(json, "a rule's env: a name is longer than 127 bytes");
}

/* Placeholders: names without blanks at their ends, values as they are. */
static void spec_placeholders(struct lssb_json_writer *json,
                              const lssb_pair *env, size_t count)
{
    size_t i;

    if (count == 0 || spec_is_broken(json, env, count))
        return;
    lssb_json_object(json, "env_vars");
    for (i = 0; i < count; i++) {
        const char *name = env[i].name, *value = env[i].value;
        size_t len = spec_trim(&name);

        if (len == 0 || spec_trim(&value) == 0) {
            spec_wrong(json, "a rule's env: a name or a value is missing or "
                             "blank");
            return;
        }
        spec_named(json, name, len, env[i].value);
    }
    lssb_json_close(json);
}

/* A rule's name, its kind, and whether it is in force. */
static void spec_rule_front(struct lssb_json_writer *json,
                            const lssb_proxy_rule *rule)
{
    const char *type = rule->aws != NULL   ? "aws"
                       : rule->gcp != NULL ? "gcp"
                                           : "headers";
    const char *name = rule->name;

    if (name == NULL && (rule->aws != NULL || rule->gcp != NULL))
        name = type;
    spec_required(json, "name", name,
                  "a proxy rule's name is missing or blank");
    lssb_json_string(json, "type", type);
    lssb_json_bool(json, "enabled", !rule->disabled);
}

/* What a header rule looks for, and adds. */
static void spec_header_rule(struct lssb_json_writer *json,
                             const lssb_proxy_rule *rule, bool update)
{
    if (rule->match_host_count > 0)
        spec_required_list(json, "match_hosts", rule->match_hosts,
                           rule->match_host_count,
                           "a proxy rule's match_hosts: a pattern is missing "
                           "or blank");
    if (rule->match_path_count > 0)
        spec_required_list(json, "match_paths", rule->match_paths,
                           rule->match_path_count,
                           "a proxy rule's match_paths: a pattern is missing "
                           "or blank");
    spec_headers(json, "headers", rule->headers, rule->header_count, update);
}

static void spec_rule(struct lssb_json_writer *json,
                      const lssb_proxy_rule *rule, bool update)
{
    if (rule->json != NULL) {
        spec_raw(json, NULL, rule->json,
                 "a proxy rule's json: a JSON object was expected");
        return;
    }
    if ((rule->aws != NULL && rule->gcp != NULL) ||
        ((rule->aws != NULL || rule->gcp != NULL) &&
         (rule->match_host_count | rule->match_path_count |
          rule->header_count) != 0)) {
        spec_wrong(json, "a proxy rule is one of aws, gcp, and headers with "
                         "what they match");
        return;
    }
    lssb_json_object(json, NULL);
    spec_rule_front(json, rule);
    if (rule->aws != NULL)
        spec_aws(json, rule->aws);
    else if (rule->gcp != NULL)
        spec_gcp(json, rule->gcp, true);
    else
        spec_header_rule(json, rule, update);
    spec_placeholders(json, rule->env, rule->env_count);
    lssb_json_close(json);
}

/* Who may be talked to. */
static void spec_access(struct lssb_json_writer *json,
                        const lssb_proxy_config *config)
{
    if (spec_is_broken(json, config->allow, config->allow_count) ||
        spec_is_broken(json, config->deny, config->deny_count) ||
        (config->allow == NULL && config->deny == NULL))
        return;
    if (config->allow != NULL && config->deny != NULL) {
        spec_wrong(json, "proxy_config: allow and deny are both given; give "
                         "one");
        return;
    }
    lssb_json_object(json, "access_control");
    if (config->allow != NULL)
        lssb_spec_strings(json, "allow_list", config->allow,
                          config->allow_count);
    else
        lssb_spec_strings(json, "deny_list", config->deny,
                          config->deny_count);
    lssb_json_close(json);
}

static void spec_callback(struct lssb_json_writer *json,
                          const lssb_proxy_callback *callback, bool update)
{
    if (callback->ttl_s < 60 || callback->ttl_s > 3600) {
        spec_wrong(json, "a proxy callback's ttl_s is not between 60 and "
                         "3600");
        return;
    }
    lssb_json_object(json, NULL);
    spec_required_list(json, "match_hosts", callback->match_hosts,
                       callback->match_host_count,
                       "a proxy callback's match_hosts: at least one is "
                       "expected, none blank");
    spec_required(json, "url", callback->url,
                  "a proxy callback's url is missing or blank");
    lssb_json_number(json, "ttl_seconds", callback->ttl_s);
    if (callback->full_request)
        lssb_json_bool(json, "full_request", true);
    spec_headers(json, "request_headers", callback->request_headers,
                 callback->request_header_count, update);
    lssb_json_close(json);
}

/* The proxy's configuration, built from the structs. */
static void spec_proxy_config(struct lssb_json_writer *json,
                              const lssb_proxy_config *config, bool update)
{
    size_t i;

    if (spec_is_broken(json, config->rules, config->rule_count) ||
        spec_is_broken(json, config->callbacks, config->callback_count))
        return;
    lssb_json_object(json, "proxy_config");
    lssb_json_array(json, "rules");
    for (i = 0; i < config->rule_count; i++)
        spec_rule(json, &config->rules[i], update);
    lssb_json_close(json);
    spec_access(json, config);
    if (config->callback_count > 0)
        lssb_json_array(json, "callbacks");
    for (i = 0; i < config->callback_count; i++)
        spec_callback(json, &config->callbacks[i], update);
    if (config->callback_count > 0)
        lssb_json_close(json);
    lssb_json_close(json);
}

void lssb_spec_proxy(struct lssb_json_writer *json,
                     const lssb_proxy_config *config, bool update)
{
    if (config != NULL && config->json != NULL)
        spec_raw(json, "proxy_config", config->json,
                 "proxy_config: json: a JSON object was expected");
    else if (config != NULL)
        spec_proxy_config(json, config, update);
}

/* ------------------------------------------------------------ delegation -- */

void lssb_spec_delegation(struct lssb_json_writer *json,
                          const lssb_access_delegation *delegation)
{
    if (delegation == NULL)
        return;
    if (delegation->inherit != (delegation->permission_count == 0)) {
        spec_wrong(json, delegation->inherit
                             ? "access_delegation: permissions do not go "
                               "with inherit"
                             : "access_delegation: at least one permission "
                               "is expected, or inherit");
        return;
    }
    lssb_json_object(json, "access_delegation");
    lssb_json_string(json, "mode",
                     delegation->inherit ? "INHERIT" : "EXPLICIT");
    if (!delegation->inherit)
        lssb_spec_strings(json, "permissions", delegation->permissions,
                          delegation->permission_count);
    lssb_json_close(json);
}
