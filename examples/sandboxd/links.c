/* links.c: service URLs and download links (PROTOCOL 7).
 *
 * SPDX-License-Identifier: MIT
 *
 * What a link grants is signed into its token, with its end; what is shared of
 * a box is kept beside the box, to be listed and taken away. Links lead to
 * this server itself: /svc/ID--PORT/… and /dl/TOKEN, or, with a service
 * domain, hosts of the names ID--PORT.DOMAIN and ID--dl.DOMAIN.
 */
#include <stdlib.h>

#include "control.h"

#define LINKS_SECONDS 600           /* how long a service's token holds */
#define LINKS_DAY 86400
#define LINKS_CENTURY INT64_C(3155760000)
#define LINKS_COOKIE "sandboxd_service"

/* What is shared of a box: a port. */
struct grant {
    struct grant *next;
    uint64_t sequence;
    int64_t port;
    char *access;                   /* "token", "restricted", "workspace" */
    int64_t created_us;
    int64_t expires_us;             /* tokens only */
};

/* What a token says, on its way in or out. */
struct claim {
    const char *box;
    int64_t port;                   /* a service's, or 0: a download */
    const char *path;
    const char *type;               /* NULL: as usual */
    const char *disposition;        /* NULL: none */
    int64_t exp;                    /* seconds since 1970; 0: never */
};

/* --------------------------------------------------------------- claims -- */

/* Puts claims. */
static void claim_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct claim *claim = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "sub", claim->box);
    if (claim->port > 0)
        lssb_json_number(json, "port", claim->port);
    else
        lssb_json_string(json, "path", claim->path);
    if (claim->type != NULL)
        lssb_json_string(json, "type", claim->type);
    if (claim->disposition != NULL)
        lssb_json_string(json, "disposition", claim->disposition);
    if (claim->exp > 0)
        lssb_json_number(json, "exp", claim->exp);
    lssb_json_close(json);
}

/* When something ends that lasts so long; no later than the writer of times
 * can tell. */
static int64_t claim_end(int64_t seconds)
{
    return wall_us() / 1000000 + seconds;
}

/* --------------------------------------------------------------- grants -- */

/* The grant of a port, or NULL. */
static struct grant *grant_find(const struct box *box, int64_t port)
{
    struct grant *grant = box->grants;

    while (grant != NULL && grant->port != port)
        grant = grant->next;
    return grant;
}

/* Takes away the grant of a port; 0: all. */
static void grants_remove(struct box *box, int64_t port)
{
    struct grant **link = &box->grants;

    while (*link != NULL) {
        struct grant *grant = *link;

        if (port != 0 && grant->port != port) {
            link = &grant->next;
            continue;
        }
        *link = grant->next;
        free(grant->access);
        free(grant);
    }
}

/* Frees all grants of a box. */
void grants_free(struct box *box)
{
    grants_remove(box, 0);
}

/* Whether a port is shared by login, and not by tokens. */
static bool grant_is_login(const struct grant *grant)
{
    return grant != NULL && strcmp(grant->access, "token") != 0;
}

/* Notes that a port is shared. */
static void grant_set(struct box *box, int64_t port, const char *access,
                      int64_t expires_us)
{
    struct grant *grant = grant_find(box, port);

    if (grant == NULL) {
        grant = take(sizeof *grant);
        grant->sequence = ++box->d->sequence;
        grant->port = port;
        grant->created_us = wall_us();
        grant->next = box->grants;
        box->grants = grant;
    }
    free(grant->access);
    grant->access = take_copy(access);
    if (expires_us > grant->expires_us || strcmp(access, "token") != 0)
        grant->expires_us = expires_us;
}

/* An entry of the list. */
static void grant_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct grant *grant = ctx;

    lssb_json_object(json, NULL);
    lssb_json_number(json, "port", grant->port);
    lssb_json_string(json, "access", grant->access);
    json_time(json, "created_at", grant->created_us);
    lssb_json_string(json, "created_by", control_user);
    if (!grant_is_login(grant))
        json_time(json, "expires_at", grant->expires_us);
    lssb_json_close(json);
}

/* --------------------------------------------------------- service URLs -- */

/* A reply to service-url. */
struct service_reply {
    const struct box *box;
    int64_t port;
    const char *token;              /* NULL: by login */
    const char *access;
    int64_t expires_us;
};

/* The URL of a box's port, or of what else its label says, taken. */
static char *links_url(const struct box *box, const char *label)
{
    const struct sandboxd *d = box->d;
    const char *scheme = d->endpoint, *colon = strrchr(scheme, ':');

    if (d->settings.service_domain == NULL)
        return strcmp(label, "dl") == 0
                   ? take_format("%s/dl/", d->endpoint)
                   : take_format("%s/svc/%s--%s/", d->endpoint, box->id,
                                 label);
    return take_format("%.*s//%s--%s.%s%s/",
                       (int)(strchr(scheme, ':') - scheme + 1), scheme,
                       box->id, label, d->settings.service_domain, colon);
}

/* Puts the reply to service-url. */
static void service_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct service_reply *reply = ctx;
    char label[8], *url, *browser;

    snprintf(label, sizeof label, "%d", (int)reply->port);
    url = links_url(reply->box, label);
    browser = reply->token == NULL
                  ? take_copy(url)
                  : take_format("%s_svc/auth?token=%s", url, reply->token);
    lssb_json_object(json, NULL);
    lssb_json_string(json, "browser_url", browser);
    lssb_json_string(json, "service_url", url);
    if (reply->token != NULL) {
        lssb_json_string(json, "token", reply->token);
        json_time(json, "expires_at", reply->expires_us);
    } else {
        lssb_json_string(json, "access", reply->access);
    }
    lssb_json_close(json);
    free(url);
    free(browser);
}

/* Token mode. */
static void service_by_token(struct exchange *exchange, struct box *box,
                             int64_t port, int64_t seconds)
{
    struct service_reply reply;
    struct claim claim;
    char *token;

    if (grant_is_login(grant_find(box, port))) {
        reply_error(exchange, 409, "Conflict",
                    "a LangSmith login grant is in place for port %d",
                    (int)port);
        return;
    }
    memset(&claim, 0, sizeof claim);
    claim.box = box->id;
    claim.port = port;
    claim.exp = claim_end(seconds);
    token = token_make(box->d, claim_write, &claim);
    memset(&reply, 0, sizeof reply);
    reply.box = box;
    reply.port = port;
    reply.token = token;
    reply.expires_us = claim.exp * 1000000;
    grant_set(box, port, "token", reply.expires_us);
    reply_json(exchange, 200, service_write, &reply);
    free(token);
}

/* Login mode, on or off. */
static void service_by_login(struct exchange *exchange, struct box *box,
                             int64_t port, const char *access)
{
    struct service_reply reply;

    if (strcmp(access, "off") != 0)
        grant_set(box, port, access, 0);
    else if (grant_is_login(grant_find(box, port)))
        grants_remove(box, port);
    memset(&reply, 0, sizeof reply);
    reply.box = box;
    reply.port = port;
    reply.access = access;
    reply_json(exchange, 200, service_write, &reply);
}

/* Reads what a service URL is asked for with; NULL for access: a token. */
static bool service_read(const struct object *body, int64_t *port,
                         int64_t *seconds, char **access)
{
    static const char *const levels[] = {"restricted", "workspace", "off",
                                         NULL};

    if (!object_integer(body, "port", 1, 65535, port) ||
        (*port == 0 && !object_missing(body, "port")) ||
        !object_text(body, "access", access) ||
        !object_integer(body, "expires_in_seconds", 1, LINKS_DAY, seconds))
        return false;
    if (*access == NULL)
        return true;
    if (!is_one_of(*access, levels))
        return object_problem(body, "access",
                              "must be restricted, workspace or off");
    return !object_has(body, "expires_in_seconds") ||
           object_problem(body, "expires_in_seconds",
                          "cannot be combined with access");
}

/* POST /boxes/{name}/service-url */
static void service_create(struct exchange *exchange, struct value body)
{
    char *name = exchange->state, *access = NULL;
    struct box *box = box_find(exchange->d, name);
    int64_t port = 0, seconds = LINKS_SECONDS;
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (box == NULL)
        boxes_no_box(exchange, name);
    else if (service_read(&top, &port, &seconds, &access)) {
        if (access == NULL)
            service_by_token(exchange, box, port, seconds);
        else
            service_by_login(exchange, box, port, access);
    }
    free(access);
    free(name);
}

/* Whether links are served at all. */
static bool links_served(struct exchange *exchange)
{
    if (!exchange->d->settings.no_services)
        return true;
    reply_error(exchange, 501, "NotImplemented",
                "this deployment has no service domain");
    return false;
}

/* /boxes/{name}/service-url */
void links_service(struct exchange *exchange, const char *box)
{
    if (!api_method(exchange, "POST"))
        reply_allow(exchange, "POST");
    else if (links_served(exchange))
        collect_named(exchange, box, service_create);
}

/* GET /boxes/{name}/service-urls: expired tokens are left out. */
static void services_list(struct exchange *exchange, const struct box *box)
{
    static const char *const sorts[] = {"created_at", NULL};
    static const struct list_kind kind = {"items", true, sorts, NULL, NULL,
                                          grant_write};
    const struct grant *grant;
    struct listed *things;
    size_t count = 0;

    for (grant = box->grants; grant != NULL; grant = grant->next)
        count++;
    things = take((count + 1) * sizeof *things);
    count = 0;
    for (grant = box->grants; grant != NULL; grant = grant->next) {
        if (!grant_is_login(grant) && grant->expires_us <= wall_us())
            continue;
        things[count].thing = grant;
        things[count].sequence = grant->sequence;
        things[count++].name = "";
    }
    list_reply(exchange, &kind, things, count);
    free(things);
}

/* DELETE /boxes/{name}/service-urls */
static void services_remove(struct exchange *exchange, struct box *box)
{
    char *text;
    uint64_t port = 0;

    if (form_value(exchange->query, "port", &text) &&
        (text == NULL || !lssb_parse_u64(text, strlen(text), &port) ||
         port == 0 || port > 65535)) {
        reply_error(exchange, 400, "InvalidRequest",
                    "port must be between 1 and 65535");
    } else {
        grants_remove(box, (int64_t)port);
        reply_empty(exchange, 204);
    }
    free(text);
}

/* /boxes/{name}/service-urls */
void links_services(struct exchange *exchange, const char *name)
{
    struct box *box = box_find(exchange->d, name);

    if (!api_method(exchange, "GET") && !api_method(exchange, "DELETE"))
        reply_allow(exchange, "GET, HEAD, DELETE");
    else if (box == NULL)
        boxes_no_box(exchange, name);
    else if (!links_served(exchange))
        return;
    else if (api_method(exchange, "GET"))
        services_list(exchange, box);
    else
        services_remove(exchange, box);
}

/* ------------------------------------------------------- download links -- */

/* A reply to download-url. */
struct download_reply {
    const struct box *box;
    const char *token;
    int64_t exp;
};

/* Puts it. */
static void download_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct download_reply *reply = ctx;
    char *base = links_url(reply->box, "dl");
    char *url = take_format("%s%s", base, reply->token);

    lssb_json_object(json, NULL);
    lssb_json_string(json, "download_url", url);
    lssb_json_string(json, "token", reply->token);
    json_time(json, "expires_at", reply->exp * 1000000);
    lssb_json_close(json);
    free(base);
    free(url);
}

/* Whether a text can be a header's value. */
static bool links_is_type(const char *text)
{
    const char *at;

    for (at = text; *at != '\0'; at++) {
        if (*at < 0x20 || *at > 0x7E)
            return false;
    }
    return strchr(text, '/') != NULL && strlen(text) <= 255;
}

/* Reads what a download link is asked for with. */
static bool download_read(const struct object *body, char **path, char **type,
                          char **disposition, int64_t *seconds)
{
    static const char *const ways[] = {"attachment", "inline", NULL};

    if (!object_text(body, "path", path) ||
        (*path == NULL && !object_missing(body, "path")) ||
        !object_integer(body, "expires_in_seconds", 1, INT64_MAX, seconds) ||
        !object_text(body, "content_type", type) ||
        !object_text(body, "content_disposition", disposition))
        return false;
    if (strlen(*path) > 2048)
        return object_problem(body, "path", "is too long");
    if (*type != NULL && !links_is_type(*type))
        return object_problem(body, "content_type", "is no media type");
    return *disposition == NULL || is_one_of(*disposition, ways) ||
           object_problem(body, "content_disposition",
                          "must be attachment or inline");
}

/* Makes the link. */
static void download_make(struct exchange *exchange, const struct box *box,
                          const struct claim *claim)
{
    struct download_reply reply;
    char *token = token_make(exchange->d, claim_write, claim);

    reply.box = box;
    reply.token = token;
    reply.exp = claim->exp;
    reply_json(exchange, 200, download_write, &reply);
    free(token);
}

/* POST /boxes/{name}/download-url. A century is the longest. */
static void download_create(struct exchange *exchange, struct value body)
{
    char *name = exchange->state, *path = NULL, *type = NULL, *way = NULL;
    const struct box *box = box_find(exchange->d, name);
    struct claim claim;
    struct object top;
    int64_t seconds = 0;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (box == NULL) {
        boxes_no_box(exchange, name);
    } else if (download_read(&top, &path, &type, &way, &seconds)) {
        memset(&claim, 0, sizeof claim);
        claim.box = box->id;
        claim.path = path;
        claim.type = type;
        claim.disposition = way;
        if (seconds > 0)
            claim.exp = claim_end(seconds < LINKS_CENTURY ? seconds
                                                          : LINKS_CENTURY);
        download_make(exchange, box, &claim);
    }
    free(path);
    free(type);
    free(way);
    free(name);
}

/* /boxes/{name}/download-url */
void links_download(struct exchange *exchange, const char *box)
{
    if (!api_method(exchange, "POST"))
        reply_allow(exchange, "POST");
    else if (links_served(exchange))
        collect_named(exchange, box, download_create);
}

/* -------------------------------------------------------------- serving -- */

/* Where a request goes that is for a link. */
struct link {
    char *box;                      /* an id; NULL where the token says it */
    uint16_t port;                  /* 0: a download */
    const char *rest;               /* of the path, from a slash on */
};

/* Reads "ID--PORT" or "ID--dl". */
static bool link_label(const char *label, size_t len, struct link *link)
{
    const char *tail = label + 38;
    uint64_t port = 0;

    if (len < 39 || memcmp(label + 36, "--", 2) != 0)
        return false;
    if (len != 40 || memcmp(tail, "dl", 2) != 0) {
        if (!lssb_parse_u64(tail, len - 38, &port) || port == 0 ||
            port > 65535)
            return false;
    }
    link->box = take_copy_n(label, 36);
    link->port = (uint16_t)port;
    return true;
}

/* Whether the host names a service or the downloads of a box. */
static bool link_by_host(const struct exchange *exchange, struct link *link)
{
    const char *domain = exchange->d->settings.service_domain;
    const char *host = exchange_header(exchange, "Host");
    size_t len, label;

    if (domain == NULL || host == NULL)
        return false;
    len = strcspn(host, ":");
    label = strcspn(host, ".");
    link->rest = exchange->path;
    return label < len &&
           lssb_same_name(host + label + 1, len - label - 1, domain,
                          strlen(domain)) &&
           link_label(host, label, link);
}

/* Whether the path does. */
static bool link_by_path(const struct exchange *exchange, struct link *link)
{
    const char *path = exchange->path;
    size_t len;

    if (strncmp(path, "/dl/", 4) == 0) {
        link->rest = path + 3;
        return true;
    }
    if (strncmp(path, "/svc/", 5) != 0)
        return false;
    len = strcspn(path + 5, "/");
    link->rest = path + 5 + len;
    return link_label(path + 5, len, link) && link->port != 0;
}

/* The value of our cookie, taken, or NULL. */
static char *link_cookie(const struct exchange *exchange)
{
    const char *at = exchange_header(exchange, "Cookie");
    size_t name = strlen(LINKS_COOKIE);

    while (at != NULL) {
        at += strspn(at, "; \t");
        if (strncmp(at, LINKS_COOKIE "=", name + 1) == 0)
            return take_copy_n(at + name + 1, strcspn(at + name + 1, ";"));
        at = strchr(at, ';');
    }
    return NULL;
}

/* Whether a token lets somebody in. */
static bool link_token_fits(const struct exchange *exchange,
                            const struct link *link, const char *token)
{
    char *claims = token == NULL ? NULL : token_read(exchange->d, token);
    char *box;
    struct value object = {claims, claims != NULL ? strlen(claims) : 0};
    int64_t port = 0;
    bool fits;

    value_integer(value_get(object, "port"), &port);
    box = value_text(value_get(object, "sub"));
    fits = box != NULL && strcmp(box, link->box) == 0 && port == link->port;
    free(box);
    free(claims);
    return fits;
}

/* Who opens a service without a token that holds. */
static void link_refuse(struct exchange *exchange)
{
    reply_error(exchange, 401, "Unauthorized",
                "authentication required: the token is missing, expired or "
                "for something else");
}

/* /_svc/auth?token=…: a browser gets a cookie, and is sent on. */
static void link_login(struct exchange *exchange, const struct link *link)
{
    char *token, *base, *cookie;

    form_value(exchange->query, "token", &token);
    if (!link_token_fits(exchange, link, token)) {
        link_refuse(exchange);
        free(token);
        return;
    }
    base = take_format("%.*s/", (int)(link->rest - exchange->path),
                       exchange->path);
    cookie = take_format(LINKS_COOKIE "=%s; Path=%s; HttpOnly; SameSite=Lax"
                                      "%s",
                         token, base,
                         exchange->d->settings.tls ? "; Secure" : "");
    reply_begin(exchange, 302);
    reply_header(exchange, "Set-Cookie", cookie);
    reply_header(exchange, "Cache-Control", "no-store");
    reply_header(exchange, "Location", base);
    reply_length(exchange, 0);
    free(token);
    free(base);
    free(cookie);
}

/* Finds out where a request goes; false: it is for no link. */
static bool link_find(const struct exchange *exchange, struct link *link)
{
    memset(link, 0, sizeof *link);
    return link_by_host(exchange, link) || link_by_path(exchange, link);
}

/* The box is awake: passes the request on to its service. */
static void link_pass(struct exchange *exchange, struct box *box)
{
    struct link link;
    char *target;

    if (!link_find(exchange, &link))
        return;
    target = take_format("%s%s%s%s", *link.rest == '/' ? "" : "/", link.rest,
                         *exchange->query != '\0' ? "?" : "",
                         exchange->query);
    service_pass(exchange, box, link.port, target);
    free(target);
    free(link.box);
}

/* A request for a service. */
static void link_service(struct exchange *exchange, const struct link *link)
{
    struct box *box = box_find(exchange->d, link->box);
    const char *header = exchange_header(exchange, LINKS_HEADER);
    char *cookie = link_cookie(exchange);

    if (strcmp(link->rest, "/_svc/auth") == 0)
        link_login(exchange, link);
    else if (!link_token_fits(exchange, link,
                              header != NULL ? header : cookie))
        link_refuse(exchange);
    else if (box == NULL)
        boxes_no_box(exchange, link->box);
    else
        box_awake(exchange, box, link_pass);
    free(cookie);
}

/* The box is awake: serves the file. What was checked before is so still. */
static void link_serve_file(struct exchange *exchange, struct box *box)
{
    struct link link;
    struct file_look look;
    struct value object;
    char *claims, *path, *type, *disposition;

    if (!link_find(exchange, &link))
        return;
    free(link.box);
    claims = token_read(exchange->d, link.rest + 1);
    if (claims == NULL) {
        reply_error(exchange, 403, "Forbidden", "the link has expired");
        return;
    }
    object.at = claims;
    object.len = strlen(claims);
    path = value_text(value_get(object, "path"));
    type = value_text(value_get(object, "type"));
    disposition = value_text(value_get(object, "disposition"));
    look.type = type;
    look.disposition = disposition;
    file_serve(exchange, box, path, &look);
    free(path);
    free(type);
    free(disposition);
    free(claims);
}

/* A request for a file. */
static void link_download(struct exchange *exchange, const struct link *link)
{
    char *claims = *link->rest == '/' ? token_read(exchange->d, link->rest + 1)
                                      : NULL;
    struct value object = {claims, claims != NULL ? strlen(claims) : 0};
    char *id = value_text(value_get(object, "sub"));
    struct box *box = id == NULL ? NULL : box_find(exchange->d, id);

    if (!api_method(exchange, "GET"))
        reply_allow(exchange, "GET, HEAD");
    else if (value_is_null(value_get(object, "path")) || id == NULL ||
             (link->box != NULL && strcmp(link->box, id) != 0))
        reply_error(exchange, 403, "Forbidden",
                    "the link is none, or has expired");
    else if (box == NULL)
        boxes_no_box(exchange, id);
    else
        box_awake(exchange, box, link_serve_file);
    free(id);
    free(claims);
}

/* Serves what a link leads to; false: the request is not for one. */
bool links_request(struct exchange *exchange)
{
    struct link link;

    if (exchange->d->settings.no_services || !link_find(exchange, &link))
        return false;
    if (link.port != 0)
        link_service(exchange, &link);
    else
        link_download(exchange, &link);
    free(link.box);
    return true;
}

/* A Cookie header without our own cookie, taken. */
char *links_other_cookies(const char *cookies)
{
    struct bytes out = {0};
    size_t name = strlen(LINKS_COOKIE "=");

    bytes_add(&out, "", 0);
    while (*cookies != '\0') {
        size_t len;

        cookies += strspn(cookies, "; \t");
        len = strcspn(cookies, ";");
        if (len > 0 && strncmp(cookies, LINKS_COOKIE "=", name) != 0) {
            bytes_add_string(&out, out.len > 0 ? "; " : "");
            bytes_add(&out, cookies, len);
        }
        cookies += len;
    }
    return out.at;
}
