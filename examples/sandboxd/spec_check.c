/* spec_check.c: what a box's mounts, its proxy, its delegation and its run
 * configuration must look like (PROTOCOL 2.13, 2.14, 2.18, 2.19).
 *
 * SPDX-License-Identifier: MIT
 *
 * Nothing is mounted and no request is intercepted here: a configuration is
 * checked as the service checks it, kept, and told without its secrets.
 */
#include <stdlib.h>

#include "control.h"

#define SPEC_DEPTH 24               /* levels that can be told again */
#define SPEC_BLANKS " \t\r\n\v\f"
#define SPEC_LETTERS \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* -------------------------------------------------------------- keeping -- */

/* A new text, and the one that it replaces. */
struct spec_pair {
    struct value value;
    struct value before;
};

/* Whether an object is a secret that is never told. */
static bool spec_opaque(struct value value)
{
    char *type = value_text(value_get(value, "type"));
    bool opaque = type != NULL && strcmp(type, "opaque") == 0;

    free(type);
    return opaque;
}

/* The element of an array that has the same name as this one; of those that
 * have none, the one at the same place. */
static struct value spec_namesake(struct value array, struct value element,
                                  size_t index)
{
    struct value key, value, found = {NULL, 0};
    char *name = value_text(value_get(element, "name"));
    size_t place = 0, i;

    for (i = 0; found.at == NULL && value_next(array, &place, &key, &value);
         i++) {
        char *other = value_text(value_get(value, "name"));

        if (name != NULL ? other != NULL && strcmp(name, other) == 0
                         : other == NULL && i == index)
            found = value;
        free(other);
    }
    free(name);
    return found;
}

static void spec_put(struct lssb_json_writer *json, const char *name,
                     struct spec_pair pair, int depth);

/* Puts the members of an object. */
static void spec_put_members(struct lssb_json_writer *json,
                             struct spec_pair pair, int depth)
{
    struct value key;
    struct spec_pair member;
    size_t place = 0;

    while (value_next(pair.value, &place, &key, &member.value)) {
        char *name = value_text(key);

        if (name == NULL)
            json->to->wrong = "A name holds a NUL";
        else if (strcmp(name, "is_set") != 0) {
            member.before = value_get(pair.before, name);
            spec_put(json, name, member, depth);
        }
        free(name);
    }
    if (spec_opaque(pair.value) && spec_opaque(pair.before) &&
        value_is_null(value_get(pair.value, "value"))) {
        struct value kept = value_get(pair.before, "value");

        if (kept.at != NULL)
            lssb_json_raw(json, "value", kept.at, kept.len);
    }
}

/* Puts one value; a secret that came without its value keeps the stored one. */
static void spec_put(struct lssb_json_writer *json, const char *name,
                     struct spec_pair pair, int depth)
{
    struct value key;
    struct spec_pair element;
    size_t place = 0, index = 0;

    if (depth > SPEC_DEPTH && json->to->wrong == NULL)
        json->to->wrong = "It is nested too deeply";
    if (json->to->wrong != NULL)
        return;
    if (value_is(pair.value, '{')) {
        lssb_json_object(json, name);
        spec_put_members(json, pair, depth + 1);
        lssb_json_close(json);
    } else if (value_is(pair.value, '[')) {
        lssb_json_array(json, name);
        while (value_next(pair.value, &place, &key, &element.value)) {
            element.before =
                spec_namesake(pair.before, element.value, index++);
            spec_put(json, NULL, element, depth + 1);
        }
        lssb_json_close(json);
    } else {
        lssb_json_raw(json, name, pair.value.at, pair.value.len);
    }
}

/* The whole, for json_text. */
static void spec_write(struct lssb_json_writer *json, const void *ctx)
{
    spec_put(json, NULL, *(const struct spec_pair *)ctx, 0);
}

/* Takes a member that is an object, over a stored text (or NULL). Its value is
 * then that of the kept text. False, and a reply, when it cannot be. */
static bool spec_keep(const struct object *body, const char *name,
                      const char *before, struct object *inside, char **kept)
{
    struct spec_pair pair;
    size_t len;

    if (!object_inside(body, name, '{', inside))
        return false;
    if (inside->value.at == NULL)
        return true;
    pair.value = inside->value;
    pair.before.at = before;
    pair.before.len = before != NULL ? strlen(before) : 0;
    *kept = json_text(spec_write, &pair, &len);
    if (*kept == NULL)
        return object_problem(body, name, "is nested too deeply, or has a "
                                          "name that holds a NUL");
    inside->value.at = *kept;
    inside->value.len = len;
    return true;
}

/* -------------------------------------------------------------- members -- */

/* A member that is a string with more than blanks in it. The caller frees it;
 * NULL when it is missing and need not be there. */
static bool spec_text(const struct object *object, const char *name,
                      bool needed, char **text)
{
    struct value value = value_get(object->value, name);

    *text = NULL;
    if (value_is_null(value))
        return !needed || object_missing(object, name);
    *text = value_text(value);
    if (*text == NULL)
        return object_problem(object, name, "str type expected");
    if ((*text)[strspn(*text, SPEC_BLANKS)] != '\0')
        return true;
    free(*text);
    *text = NULL;
    return object_problem(object, name, "must not be blank");
}

/* The same, when only that it is there counts. */
static bool spec_has_text(const struct object *object, const char *name,
                          bool needed)
{
    char *text;
    bool fine = spec_text(object, name, needed, &text);

    free(text);
    return fine;
}

/* A member that is an array of strings with more than blanks in them. */
static bool spec_texts(const struct object *object, const char *name,
                       bool needed)
{
    struct object array;
    struct value key, value;
    size_t place = 0, count = 0;

    if (!object_inside(object, name, '[', &array))
        return false;
    while (value_next(array.value, &place, &key, &value)) {
        char *text = value_text(value);
        bool fine =
            text != NULL && text[strspn(text, SPEC_BLANKS)] != '\0';

        free(text);
        if (!fine)
            return object_problem(object, name,
                                  "strings are expected, none of them blank");
        count++;
    }
    if (needed && array.value.at == NULL)
        return object_missing(object, name);
    return count > 0 || !needed ||
           object_problem(object, name, "must not be empty");
}

/* Whether a text refers to a secret of the workspace: "{NAME}", somewhere. */
static bool spec_refers(const char *text)
{
    const char *open = strchr(text, '{'), *end;

    end = open == NULL ? NULL : strchr(open, '}');
    return end != NULL && end > open + 1 &&
           strspn(open + 1, SPEC_BLANKS) < (size_t)(end - open - 1);
}

/* What is wrong with a secret's type and value, or NULL. */
static const char *spec_secret_wrong(const char *type, const char *value,
                                     bool plain)
{
    if (type == NULL)
        return "a secret needs a type";
    if (strcmp(type, "workspace_secret") != 0 &&
        strcmp(type, "opaque") != 0 &&
        !(plain && strcmp(type, "plaintext") == 0))
        return plain ? "type must be plaintext, opaque or workspace_secret"
                     : "type must be opaque or workspace_secret";
    if (value == NULL || value[strspn(value, SPEC_BLANKS)] == '\0')
        return "value must be a string that is not blank";
    if (strcmp(type, "workspace_secret") == 0 && !spec_refers(value))
        return "value must refer to a secret as {NAME}";
    return NULL;
}

/* An object that is a secret. */
static bool spec_is_secret(const struct object *secret, bool plain)
{
    char *type = value_text(value_get(secret->value, "type"));
    char *value = value_text(value_get(secret->value, "value"));
    const char *wrong = spec_secret_wrong(type, value, plain);

    if (value != NULL)
        lssb_wipe(value, strlen(value));
    free(type);
    free(value);
    return wrong == NULL || object_problem(secret, "", "%s", wrong);
}

/* A member that must be a secret. */
static bool spec_secret(const struct object *object, const char *name)
{
    struct object secret;

    if (!object_inside(object, name, '{', &secret))
        return false;
    return secret.value.at != NULL ? spec_is_secret(&secret, false)
                                   : object_missing(object, name);
}

/* Whether a member is an empty string: as if it were not there. */
static bool spec_empty(const struct object *object, const char *name)
{
    struct value value = value_get(object->value, name);

    return value_is_null(value) || (value.len == 2 && value.at[0] == '"');
}

/* AWS credentials: two secrets, or a role alone. */
static bool spec_aws(const struct object *aws)
{
    if (spec_empty(aws, "role_arn"))
        return spec_secret(aws, "access_key_id") &&
               spec_secret(aws, "secret_access_key");
    if (!spec_has_text(aws, "role_arn", true))
        return false;
    if (object_has(aws, "access_key_id") ||
        object_has(aws, "secret_access_key"))
        return object_problem(aws, "role_arn",
                              "excludes the keys of a static account");
    return true;
}

/* A member that is a map of strings, some of them, none blank. */
static bool spec_variables(const struct object *object, const char *name)
{
    struct map map = {0};
    bool fine = object_env(object, name, &map);
    size_t i;

    if (fine && object_has(object, name) && map.count == 0)
        fine = object_problem(object, name, "must not be empty");
    for (i = 0; fine && i < map.count; i++) {
        const char *value = map.pairs[i].value, *key = map.pairs[i].name;

        if (value[strspn(value, SPEC_BLANKS)] == '\0' ||
            strpbrk(key, SPEC_BLANKS) != NULL)
            fine = object_problem(object, name, "neither a name nor a value "
                                                "may be blank");
    }
    map_free(&map);
    return fine;
}

/* --------------------------------------------------------------- mounts -- */

/* What the mounts have in common. */
struct spec_mounts {
    struct map ids;
    struct map paths;
    bool s3;
    bool gcs;
    bool gcs_read_only;
};

/* Whether a value holds a name that only credentials have, at any depth. */
static bool spec_credentials(struct value value)
{
    static const char *const names[] = {
        "access_key_id", "secret_access_key", "session_token",
        "service_account_json", "access_token", "refresh_token",
        "credentials", "credential", NULL};
    struct value key, member;
    size_t place = 0;
    bool found = false;

    while (!found && value_next(value, &place, &key, &member)) {
        char *name = value_text(key);

        found = is_one_of(name, names) || spec_credentials(member);
        free(name);
    }
    return found;
}

/* Whether a path is in this directory, or is it. */
static bool spec_is_below(const char *path, const char *directory)
{
    size_t len = strlen(directory);

    return strncmp(path, directory, len) == 0 &&
           (path[len] == '/' || path[len] == '\0');
}

/* Whether a path is one that a Context Hub mount must not hide. */
static bool spec_is_system(const char *path)
{
    static const char *const system[] = {
        "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc",
        "/run", "/sbin", "/sys", "/usr"};
    size_t i;

    for (i = 0; i < sizeof system / sizeof system[0]; i++) {
        if (spec_is_below(path, system[i]))
            return true;
    }
    return strcmp(path, "/") == 0 || strcmp(path, "/var") == 0;
}

/* Whether a path is absolute, without empty segments or dots. */
static bool spec_is_plain_path(const char *path)
{
    if (*path != '/')
        return false;
    while (*path == '/') {
        size_t len = strcspn(++path, "/");

        if (len == 0 || (len == 1 && path[0] == '.') ||
            (len == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        path += len;
    }
    return true;
}

/* What is wrong with where a mount goes, or NULL. */
static const char *spec_path_wrong(const char *path, bool hub)
{
    if (!spec_is_plain_path(path))
        return "must be an absolute path without dots or empty segments";
    if (hub && spec_is_system(path))
        return "must not be the root or a system directory";
    if (!hub && (!spec_is_below(path, "/mnt/mounts") || path[11] == '\0'))
        return "must be below /mnt/mounts";
    return NULL;
}

/* id and mount_path. */
static bool spec_mount_place(const struct object *mount, bool hub,
                             struct spec_mounts *all)
{
    char *id = NULL, *path = NULL;
    const char *wrong;
    bool fine = spec_text(mount, "id", true, &id);

    if (fine && !consists_of(id, SPEC_LETTERS "_-"))
        fine = object_problem(mount, "id", "letters, digits, _ and - only");
    if (fine && map_get(&all->ids, id) != NULL)
        fine = object_problem(mount, "id", "is another mount's already");
    fine = fine && spec_text(mount, "mount_path", true, &path);
    wrong = fine ? spec_path_wrong(path, hub) : NULL;
    if (wrong != NULL)
        fine = object_problem(mount, "mount_path", "%s", wrong);
    if (fine && map_get(&all->paths, path) != NULL)
        fine = object_problem(mount, "mount_path",
                              "is another mount's already");
    if (fine) {
        map_set(&all->ids, id, "");
        map_set(&all->paths, path, "");
    }
    free(id);
    free(path);
    return fine;
}

/* read_only and cache, of buckets only. */
static bool spec_mount_bucket(const struct object *mount, bool bucket,
                              bool *read_only)
{
    struct object cache;
    int64_t number;

    if (!bucket && object_has(mount, "read_only"))
        return object_problem(mount, "read_only", "is for s3 and gcs only");
    if (!bucket && object_has(mount, "cache"))
        return object_problem(mount, "cache", "is for s3 and gcs only");
    return object_bool(mount, "read_only", read_only) &&
           object_inside(mount, "cache", '{', &cache) &&
           object_integer(&cache, "max_size_bytes", 1, INT64_MAX, &number) &&
           object_integer(&cache, "writeback_seconds", 0, INT64_MAX, &number);
}

/* A repository of Git: https, a host, a path, and nothing secret. */
static bool spec_remote(const struct object *git)
{
    char *text;
    struct lssb_url url;
    bool fine;

    if (!spec_text(git, "remote_url", true, &text))
        return false;
    fine = strncmp(text, "https://", 8) == 0 &&
           strpbrk(text, SPEC_BLANKS "#?@") == NULL &&
           lssb_url_parse(&url, text, strlen(text), false) == NULL &&
           url.path_len > 0;
    free(text);
    return fine || object_problem(git, "remote_url",
                                  "must be an https URL with a host and a "
                                  "path, without user, query or fragment");
}

/* The block of a Git mount. */
static bool spec_git(const struct object *git)
{
    static const char *const types[] = {"branch", "tag", NULL};
    struct object ref;
    int64_t seconds;
    char *type;
    bool fine;

    if (!spec_remote(git) || !object_inside(git, "ref", '{', &ref) ||
        !object_integer(git, "refresh_interval_seconds", 1, INT64_MAX,
                        &seconds))
        return false;
    if (ref.value.at == NULL)
        return true;
    if (!spec_text(&ref, "type", true, &type))
        return false;
    fine = is_one_of(type, types);
    free(type);
    if (!fine)
        return object_problem(&ref, "type", "must be branch or tag");
    return spec_has_text(&ref, "name", true);
}

/* The block of a Context Hub mount. */
static bool spec_hub(const struct object *hub)
{
    char *repo;
    const char *slash;
    bool fine, flag;

    if (!spec_text(hub, "repo", true, &repo))
        return false;
    slash = strchr(repo, '/');
    fine = slash != NULL && slash > repo && slash[1] != '\0' &&
           strchr(slash + 1, '/') == NULL &&
           strpbrk(repo, SPEC_BLANKS) == NULL;
    free(repo);
    if (!fine)
        return object_problem(hub, "repo", "must be owner/repo");
    return object_bool(hub, "initial_pull_only", &flag);
}

/* The block of a bucket. */
static bool spec_bucket(const struct object *block, bool s3)
{
    bool flag;

    if (!spec_has_text(block, "bucket", true) ||
        !spec_has_text(block, "prefix", false))
        return false;
    return !s3 || (spec_has_text(block, "endpoint_url", false) &&
                   spec_has_text(block, "region", false) &&
                   object_bool(block, "path_style", &flag));
}

/* The block that the type names. */
static bool spec_block(const struct object *mount, const char *type)
{
    struct object block;

    if (!object_inside(mount, type, '{', &block))
        return false;
    if (block.value.at == NULL)
        return object_missing(mount, type);
    if (strcmp(type, "git") == 0)
        return spec_git(&block);
    if (strcmp(type, "contexthub") == 0)
        return spec_hub(&block);
    return spec_bucket(&block, strcmp(type, "s3") == 0);
}

/* One mount of a known type. */
static bool spec_mount_of(const struct object *mount, const char *type,
                          struct spec_mounts *all)
{
    bool s3 = strcmp(type, "s3") == 0, gcs = strcmp(type, "gcs") == 0;
    bool read_only = false;

    if (spec_credentials(mount->value))
        return object_problem(mount, "", "credentials belong into auth");
    if (!spec_mount_place(mount, strcmp(type, "contexthub") == 0, all) ||
        !spec_mount_bucket(mount, s3 || gcs, &read_only) ||
        !spec_block(mount, type))
        return false;
    if (gcs && all->gcs && read_only != all->gcs_read_only)
        return object_problem(mount, "read_only",
                              "all gcs mounts must agree on it");
    all->s3 = all->s3 || s3;
    all->gcs = all->gcs || gcs;
    if (gcs)
        all->gcs_read_only = read_only;
    return true;
}

/* One mount. */
static bool spec_mount(const struct object *mount, struct spec_mounts *all)
{
    static const char *const types[] = {"s3", "gcs", "git", "contexthub",
                                        NULL};
    char *type;
    bool fine;

    if (!spec_text(mount, "type", true, &type))
        return false;
    fine = is_one_of(type, types)
               ? spec_mount_of(mount, type, all)
               : object_problem(mount, "type",
                                "must be s3, gcs, git or contexthub");
    free(type);
    return fine;
}

/* All mounts. */
static bool spec_each_mount(const struct object *config,
                            struct spec_mounts *all)
{
    struct object mounts, mount;
    size_t place = 0, index = 0;
    int more;

    if (!object_inside(config, "mounts", '[', &mounts))
        return false;
    if (mounts.value.at == NULL)
        return object_missing(config, "mounts");
    while ((more = object_each(&mounts, &place, &index, '{', &mount)) > 0) {
        if (!spec_mount(&mount, all))
            return false;
    }
    if (more == 0 && all->ids.count == 0)
        return object_problem(config, "mounts", "must not be empty");
    return more == 0;
}

/* Whether a proxy has a rule for a provider; `enabled`: one that is. */
static bool spec_has_rule(struct value proxy, const char *provider,
                          bool enabled)
{
    struct value rules = value_get(proxy, "rules"), key, rule;
    size_t place = 0;
    bool found = false;

    while (!found && value_next(rules, &place, &key, &rule)) {
        char *type = value_text(value_get(rule, "type"));
        bool on = false;

        value_bool(value_get(rule, "enabled"), &on);
        found = type != NULL && strcmp(type, provider) == 0 &&
                (on || !enabled);
        free(type);
    }
    return found;
}

/* auth, and that it fits the mounts. */
static bool spec_auth(const struct object *body, const struct object *config,
                      const struct spec_mounts *all)
{
    struct object auth, aws, gcp;
    struct value proxy = value_get(body->value, "proxy_config");

    if (!object_inside(config, "auth", '{', &auth) ||
        !object_inside(&auth, "aws", '{', &aws) ||
        !object_inside(&auth, "gcp", '{', &gcp))
        return false;
    if (aws.value.at != NULL && !spec_aws(&aws))
        return false;
    if (gcp.value.at != NULL && !spec_secret(&gcp, "service_account_json"))
        return false;
    if (all->s3 && aws.value.at == NULL && !spec_has_rule(proxy, "aws", true))
        return object_problem(config, "auth", "an s3 mount needs aws");
    if (all->gcs && gcp.value.at == NULL)
        return object_problem(config, "auth", "a gcs mount needs gcp");
    if (aws.value.at != NULL && !all->s3)
        return object_problem(config, "auth", "aws needs an s3 mount");
    if (gcp.value.at != NULL && !all->gcs)
        return object_problem(config, "auth", "gcp needs a gcs mount");
    return true;
}

/* mount_config of a body, kept if it is there. */
bool spec_mounts(const struct object *body, char **kept)
{
    struct object config;
    struct spec_mounts all;
    bool fine;

    memset(&all, 0, sizeof all);
    if (!spec_keep(body, "mount_config", NULL, &config, kept))
        return false;
    fine = *kept == NULL || (spec_each_mount(&config, &all) &&
                             spec_auth(body, &config, &all));
    map_free(&all.ids);
    map_free(&all.paths);
    return fine;
}

/* Whether mounts and proxy want credentials of the same provider. */
bool spec_conflicts(const struct object *body, const char *mounts,
                    const char *proxy)
{
    static const char *const providers[] = {"aws", "gcp"};
    struct value config = {mounts, mounts != NULL ? strlen(mounts) : 0};
    struct value rules = {proxy, proxy != NULL ? strlen(proxy) : 0};
    struct value auth = value_get(config, "auth");
    size_t i;

    for (i = 0; i < 2; i++) {
        if (!value_is_null(value_get(auth, providers[i])) &&
            spec_has_rule(rules, providers[i], false))
            return !object_problem(body, "mount_config.auth",
                                   "%s is in proxy_config.rules already",
                                   providers[i]);
    }
    return false;
}

/* ---------------------------------------------------------------- proxy -- */

/* An array of headers: names, and secrets or plain text. */
static bool spec_headers(const struct object *object, const char *name)
{
    struct object headers, header;
    size_t place = 0, index = 0;
    int more;

    if (!object_inside(object, name, '[', &headers))
        return false;
    while ((more = object_each(&headers, &place, &index, '{', &header)) > 0) {
        if (!spec_has_text(&header, "name", true) ||
            !spec_is_secret(&header, true))
            return false;
    }
    return more == 0;
}

/* What an aws or a gcp rule says. */
static bool spec_provider(const struct object *rule, const char *type)
{
    struct object block;

    if (object_has(rule, "match_hosts") || object_has(rule, "headers"))
        return object_problem(rule, object_has(rule, "headers")
                                        ? "headers"
                                        : "match_hosts",
                              "is for rules about headers");
    if (!object_inside(rule, type, '{', &block))
        return false;
    if (block.value.at == NULL)
        return object_missing(rule, type);
    if (strcmp(type, "aws") == 0)
        return spec_aws(&block);
    return spec_secret(&block, "service_account_json") &&
           spec_texts(&block, "scopes", true);
}

/* One rule. */
static bool spec_rule(const struct object *rule)
{
    char *type;
    bool fine, flag;

    if (!spec_has_text(rule, "name", true) ||
        !object_bool(rule, "enabled", &flag) ||
        !spec_variables(rule, "env_vars") ||
        !spec_text(rule, "type", false, &type))
        return false;
    if (type != NULL &&
        (strcmp(type, "aws") == 0 || strcmp(type, "gcp") == 0))
        fine = spec_provider(rule, type);
    else if (type == NULL || strcmp(type, "headers") == 0)
        fine = spec_texts(rule, "match_hosts", false) &&
               spec_texts(rule, "match_paths", false) &&
               spec_headers(rule, "headers");
    else
        fine = object_problem(rule, "type", "must be aws, gcp or headers");
    free(type);
    return fine;
}

/* One callback. */
static bool spec_callback(const struct object *callback)
{
    int64_t seconds = 0;
    bool flag;

    if (!spec_texts(callback, "match_hosts", true) ||
        !spec_has_text(callback, "url", true) ||
        !object_integer(callback, "ttl_seconds", 60, 3600, &seconds) ||
        !object_bool(callback, "full_request", &flag) ||
        !spec_headers(callback, "request_headers"))
        return false;
    return seconds > 0 || object_missing(callback, "ttl_seconds");
}

/* An array of objects, each checked. */
static bool spec_each(const struct object *config, const char *name,
                      bool (*check)(const struct object *element))
{
    struct object array, element;
    size_t place = 0, index = 0;
    int more;

    if (!object_inside(config, name, '[', &array))
        return false;
    while ((more = object_each(&array, &place, &index, '{', &element)) > 0) {
        if (!check(&element))
            return false;
    }
    return more == 0;
}

/* access_control: one list. */
static bool spec_access(const struct object *config)
{
    struct object access;

    if (!object_inside(config, "access_control", '{', &access))
        return false;
    if (object_has(&access, "allow_list") && object_has(&access, "deny_list"))
        return object_problem(config, "access_control",
                              "has an allow_list or a deny_list, not both");
    return spec_texts(&access, "allow_list", false) &&
           spec_texts(&access, "deny_list", false);
}

/* proxy_config of a body, kept if it is there. A secret that comes without its
 * value keeps the one of the configuration before. */
bool spec_proxy(const struct object *body, const char *before, char **kept)
{
    struct object config;

    if (!spec_keep(body, "proxy_config", before, &config, kept))
        return false;
    return *kept == NULL ||
           (spec_each(&config, "rules", spec_rule) &&
            spec_each(&config, "callbacks", spec_callback) &&
            spec_texts(&config, "no_proxy", false) && spec_access(&config));
}

/* The role that the aws rule of a name has, taken; NULL: none. */
static char *spec_role(struct value proxy, const char *name)
{
    struct value rules = value_get(proxy, "rules"), key, rule;
    size_t place = 0;
    char *role = NULL;

    while (role == NULL && value_next(rules, &place, &key, &rule)) {
        char *text = value_text(value_get(rule, "name"));

        if (text != NULL && strcmp(text, name) == 0)
            role = value_text(value_get(value_get(rule, "aws"), "role_arn"));
        free(text);
    }
    return role;
}

/* Whether an update gives a rule a role that it did not have: roles are given
 * at creation only. Then that is replied. */
bool spec_new_role(const struct object *body, const char *before,
                   const char *proxy)
{
    struct value old = {before, before != NULL ? strlen(before) : 0};
    struct value now = {proxy, proxy != NULL ? strlen(proxy) : 0};
    struct value rules = value_get(now, "rules"), key, rule;
    size_t place = 0;
    bool new_role = false;

    while (!new_role && value_next(rules, &place, &key, &rule)) {
        char *role = value_text(value_get(value_get(rule, "aws"),
                                          "role_arn"));
        char *name = value_text(value_get(rule, "name"));
        char *had = name == NULL ? NULL : spec_role(old, name);

        new_role = role != NULL && *role != '\0' &&
                   (had == NULL || strcmp(had, role) != 0);
        free(role);
        free(name);
        free(had);
    }
    if (new_role)
        reply_error(body->exchange, 400, "InvalidRequest",
                    "role_arn can be given at creation only");
    return new_role;
}

/* Sets the variables of all rules that are enabled. */
void spec_rule_env(const char *proxy, struct map *env)
{
    struct value config = {proxy, proxy != NULL ? strlen(proxy) : 0};
    struct value rules = value_get(config, "rules"), key, rule;
    size_t place = 0;

    map_free(env);
    while (value_next(rules, &place, &key, &rule)) {
        bool on = true;

        if (value_is_null(value_get(rule, "enabled")) ||
            (value_bool(value_get(rule, "enabled"), &on) && on))
            value_map(value_get(rule, "env_vars"), env);
    }
}

/* ----------------------------------------------------------- delegation -- */

/* access_delegation of a body: one of two modes, kept if it is there. */
bool spec_delegation(const struct object *body, char **kept)
{
    struct object object, permissions;
    struct value key, first;
    size_t place = 0;
    char *mode;
    bool some, fine;

    if (!spec_keep(body, "access_delegation", NULL, &object, kept))
        return false;
    if (*kept == NULL)
        return true;
    if (!spec_texts(&object, "permissions", false) ||
        !object_inside(&object, "permissions", '[', &permissions) ||
        !spec_text(&object, "mode", true, &mode))
        return false;
    some = value_next(permissions.value, &place, &key, &first);
    fine = (strcmp(mode, "INHERIT") == 0 && !some) ||
           (strcmp(mode, "EXPLICIT") == 0 && some);
    free(mode);
    return fine || object_problem(body, "access_delegation",
                                  "mode must be INHERIT, or EXPLICIT with "
                                  "permissions");
}

/* ---------------------------------------------------- run configuration -- */

/* run_config of a body, over an empty one. */
bool spec_run_config(const struct object *body, struct run_config *run)
{
    struct object config;

    if (!object_inside(body, "run_config", '{', &config))
        return false;
    if (!object_text(&config, "user", &run->user) ||
        !object_text(&config, "work_dir", &run->work_dir) ||
        !object_env(&config, "env_vars", &run->env))
        return false;
    if (run->work_dir != NULL && run->work_dir[0] != '/') {
        reply_error(body->exchange, 400, "InvalidRequest",
                    "work_dir must be absolute");
        return false;
    }
    if (run->user != NULL && !user_possible(run->user)) {
        reply_error(body->exchange, 400, "InvalidRequest",
                    "commands cannot run as user %s here", run->user);
        return false;
    }
    return true;
}

/* Lays one configuration over another. */
void run_config_merge(struct run_config *over, const struct run_config *from)
{
    char *user = take_copy(from->user), *work_dir = take_copy(from->work_dir);

    move_text(&over->user, &user);
    move_text(&over->work_dir, &work_dir);
    map_merge(&over->env, &from->env);
}

/* Puts a configuration; `work_dir` is what it has when it names none. */
void run_config_write(struct lssb_json_writer *json,
                      const struct run_config *run, const char *work_dir)
{
    lssb_json_object(json, "run_config");
    if (run->user != NULL)
        lssb_json_string(json, "user", run->user);
    if (run->work_dir != NULL)
        work_dir = run->work_dir;
    if (work_dir != NULL)
        lssb_json_string(json, "work_dir", work_dir);
    json_map(json, "env_vars", &run->env);
    lssb_json_close(json);
}
