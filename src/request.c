/* request.c: where a request goes, and the head it is sent with.
 *
 * SPDX-License-Identifier: MIT
 *
 * Headers merge as protocol 1.4 recommends: the client's own, the
 * configuration's, the call's, the request's; a later one replaces an earlier
 * one of the same name, whatever the case, so that no name is sent twice.
 */
#include "internal.h"

/* --------------------------------------------------------------- targets -- */

/* A header that carries a credential, as far as names tell. */
static bool request_is_secret(const char *name)
{
    static const char *const names[] = { "X-Api-Key", "X-Service-Key",
                                         "Authorization", "Cookie",
                                         "X-Langsmith-Sandbox-Service-Token" };
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (lssb_same_name(name, strlen(name), names[i], strlen(names[i])))
            return true;
    return false;
}

/* Whether any of these pairs is a credential. */
static bool request_any_secret(const lssb_pair *pairs, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (request_is_secret(pairs[i].name))
            return true;
    return false;
}

/* Whether nothing of a request leaves this machine. */
static bool request_stays_here(const lssb_client *client,
                               const struct lssb_target *target)
{
    const struct lssb_proxy *proxy = lssb_request_proxy(client, target);

    return lssb_is_loopback(target->host, target->host_len) &&
           (proxy == NULL ||
            lssb_is_loopback(proxy->host, strlen(proxy->host)));
}

/* NULL, or why this call's credentials must not go to this target. */
static const char *request_exposes(const lssb_op *op,
                                   const struct lssb_exchange *x,
                                   const struct lssb_target *target)
{
    const lssb_client *client = lssb_call_client(op);

    if (target->tls || client->allow_cleartext ||
        request_stays_here(client, target))
        return NULL;
    if (x->url != NULL)
        return "a token would go over http:// in clear text; only https:// "
               "keeps it, or set allow_cleartext";
    if (client->api_key == NULL &&
        !request_any_secret(client->headers, client->header_count) &&
        !request_any_secret(op->headers, op->header_count))
        return NULL;
    return "a key would go over http:// in clear text; use https://, or set "
           "allow_cleartext";
}

/* The target at a URL: the sandbox's that a call is about, or its own. */
static const char *request_at(const lssb_op *op, const struct lssb_exchange *x,
                              const char *text, struct lssb_target *target)
{
    struct lssb_url url;
    const char *wrong = lssb_url_parse(&url, text, strlen(text), false);

    if (wrong != NULL)
        return wrong;
    target->host = url.host;
    target->host_len = url.host_len;
    target->host_is_v6 = url.host_is_v6;
    target->port = url.port;
    target->tls = url.tls;
    target->base = url.path;
    target->base_len = x->sealed ? 0 : url.path_len;
    return request_exposes(op, x, target);
}

/* Takes the base's own part off its end: "/v2/sandboxes", and "/api". */
static void request_root(struct lssb_target *target)
{
    static const char *const ends[] = { "/v2/sandboxes", "/api" };
    size_t i;

    for (i = 0; i < 2; i++) {
        size_t len = strlen(ends[i]);

        if (target->base_len < len ||
            memcmp(target->base + target->base_len - len, ends[i], len) != 0)
            return;
        target->base_len -= len;
    }
}

const char *lssb_request_target(const lssb_op *op,
                                const struct lssb_exchange *x,
                                struct lssb_target *target)
{
    const lssb_client *client = lssb_call_client(op);
    const lssb_sandbox *box = op->reserved.state.box;

    target->tunnel = x->upgrade;
    if (x->url != NULL)
        return request_at(op, x, x->url(op), target);
    if (x->dataplane)
        return request_at(op, x, box->dataplane_url, target);
    target->host = client->host;
    target->host_len = strlen(client->host);
    target->host_is_v6 = strchr(client->host, ':') != NULL;
    target->port = client->host_port;
    target->tls = client->host_tls;
    target->base = client->base;
    target->base_len = strlen(client->base);
    if (x->root)
        request_root(target);
    return request_exposes(op, x, target);
}

const struct lssb_proxy *lssb_request_proxy(const lssb_client *client,
                                            const struct lssb_target *target)
{
    const struct lssb_proxy *proxy = &client->proxies[target->tls];

    if (proxy->host == NULL)
        return NULL;
    if (proxy->from_environment &&
        lssb_is_loopback(target->host, target->host_len))
        return NULL;
    if (client->no_proxy != NULL &&
        lssb_no_proxy(client->no_proxy, target->host, target->host_len,
                      target->port))
        return NULL;
    return proxy;
}

/* --------------------------------------------------------------- headers -- */

const char *lssb_request_method(const lssb_op *op,
                                const struct lssb_exchange *x)
{
    return x->verb != NULL ? x->verb(op) : x->method;
}

/* The pair at an index of all the candidates, or false at their end. One whose
 * value is NULL is not there. */
static bool request_candidate(const lssb_op *op, const struct lssb_exchange *x,
                              size_t index, lssb_pair *pair)
{
    const lssb_client *client = lssb_call_client(op);
    const lssb_pair own[] = { { "User-Agent", client->user_agent },
                              { "X-Api-Key", client->api_key },
                              { "X-Tenant-Id", client->tenant_id } };
    const size_t own_count = sizeof own / sizeof own[0];

    if (x->url != NULL && index > 0)
        return x->pairs(op, index - 1, pair);
    if (index < own_count)
        *pair = own[index];
    else if (index - own_count < client->header_count)
        *pair = client->headers[index - own_count];
    else if (index - own_count - client->header_count < op->header_count)
        *pair = op->headers[index - own_count - client->header_count];
    else
        return false;
    return true;
}

/* Whether a credential's parts are apart here. */
static bool request_parts(char c)
{
    return c == ' ' || c == ',' || c == ';' || c == '&' || c == '=';
}

/* Hides a credential; one of parts without the first, which is a scheme or a
 * name, as in "Bearer x" or "a=x; b=y", and then each that is no name. */
static void request_hide_parts(lssb_error *error, const char *text, size_t len)
{
    const char *end, *at, *part = text;

    while (len > 0 && text[len - 1] == '=')
        len--;                      /* Base64 may end so */
    end = text + len;
    while (part < end && !request_parts(*part))
        part++;
    part = part < end ? part + 1 : text;
    lssb_error_hide(error, part, (size_t)(end - part));
    for (at = part; at < end; at++) {
        if (!request_parts(*at))
            continue;
        if (*at != '=' || at[1] == '=')
            lssb_error_hide(error, part, (size_t)(at - part));
        part = at + 1;
    }
    lssb_error_hide(error, part, (size_t)(end - part));
}

/* Hides what of these pairs is a credential. */
static void request_hide(lssb_error *error, const lssb_pair *pair)
{
    if (pair->value != NULL && request_is_secret(pair->name))
        request_hide_parts(error, pair->value, strlen(pair->value));
}

/* Hides what a link leads to: the path, its last segment, the query. */
static void request_hide_link(lssb_error *error, const char *text)
{
    struct lssb_url url;
    const char *last, *end;

    if (lssb_url_parse(&url, text, strlen(text), false) != NULL)
        return;
    if (url.query != NULL)
        request_hide_parts(error, url.query, url.query_len);
    if (url.path_len == 0)
        return;
    lssb_error_hide(error, url.path + 1, url.path_len - 1);
    last = end = url.path + url.path_len;
    while (last[-1] != '/')
        last--;
    lssb_error_hide(error, last, (size_t)(end - last));
}

/* Hides the password for a proxy, and what it stands in. */
static void request_hide_proxy(lssb_error *error, const char *userinfo)
{
    const char *password;

    if (userinfo == NULL)
        return;
    lssb_error_hide(error, userinfo, strlen(userinfo));
    password = strchr(userinfo, ':');
    if (password != NULL)
        lssb_error_hide(error, password + 1, strlen(password + 1));
}

void lssb_request_hide(const lssb_client *client, const lssb_op *op,
                       lssb_error *error)
{
    const struct lssb_exchange *x = lssb_call_exchange(op);
    lssb_pair pair;
    size_t i;

    if (client->api_key != NULL)
        lssb_error_hide(error, client->api_key, strlen(client->api_key));
    for (i = 0; i < 2; i++)
        request_hide_proxy(error, client->proxies[i].userinfo);
    for (i = 0; i < client->header_count; i++)
        request_hide(error, &client->headers[i]);
    if (x == NULL || x->path == NULL)
        return;                     /* no request: its headers do not count */
    for (i = 0; i < op->header_count; i++)
        request_hide(error, &op->headers[i]);
    if (x->url == NULL)
        return;
    for (i = 0; x->pairs(op, i, &pair); i++)
        request_hide(error, &pair);
    if (x->sealed)
        request_hide_link(error, x->url(op));
}

/* Whether a later candidate has the name. */
static bool request_replaced(const lssb_op *op, const struct lssb_exchange *x,
                             size_t index, const char *name)
{
    lssb_pair later;
    size_t i;

    for (i = index + 1; request_candidate(op, x, i, &later); i++)
        if (later.value != NULL && lssb_same_name(name, strlen(name),
                                                  later.name,
                                                  strlen(later.name)))
            return true;
    return false;
}

/* The names that a request with conditions of its own sends itself. */
static bool request_is_own(const struct lssb_exchange *x, const char *name)
{
    static const char *const names[] = { "Range", "If-Range", "If-None-Match",
                                         "Accept-Encoding" };
    size_t i;

    if (x->headers == NULL)
        return false;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (lssb_same_name(name, strlen(name), names[i], strlen(names[i])))
            return true;
    return false;
}

/* The merged headers. */
static void request_headers(const lssb_op *op, const struct lssb_exchange *x,
                            struct lssb_writer *to)
{
    lssb_pair pair;
    size_t i;

    for (i = 0; request_candidate(op, x, i, &pair); i++)
        if (pair.value != NULL && !request_is_own(x, pair.name) &&
            !request_replaced(op, x, i, pair.name))
            lssb_put_header(to, pair.name, pair.value);
    if (x->headers != NULL)
        x->headers(op, to);
}

/* The credentials for a proxy that sees the request itself. */
static void request_proxy_header(const struct lssb_proxy *proxy,
                                 struct lssb_writer *to)
{
    if (proxy->userinfo == NULL)
        return;
    lssb_put_text(to, "Proxy-Authorization: Basic ");
    lssb_put_base64(to, proxy->userinfo, strlen(proxy->userinfo));
    lssb_put_text(to, "\r\n");
}

void lssb_put_boundary(const lssb_op *op, struct lssb_writer *to)
{
    static const char digits[] = "0123456789abcdef";
    const struct lssb_slot *slot = lssb_call_slot(op);
    char hex[32];
    size_t i;

    memset(hex, '0', sizeof hex);
    for (i = 0; slot != NULL && i < sizeof slot->boundary; i++) {
        hex[2 * i] = digits[slot->boundary[i] >> 4];
        hex[2 * i + 1] = digits[slot->boundary[i] & 15];
    }
    lssb_put_text(to, "lssb-");
    lssb_put(to, hex, sizeof hex);
}

/* Whether a method wants to hear that there is no body (RFC 9110 8.6). */
static bool request_wants_length(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* The same lines for a body that is not ours: its length, if it has one. */
static void request_length(const char *method, uint64_t body_len,
                           struct lssb_writer *to)
{
    if (body_len == LSSB_BODY_UNKNOWN) {
        lssb_put_text(to, "Transfer-Encoding: chunked\r\n");
    } else if (body_len > 0 || request_wants_length(method)) {
        lssb_put_text(to, "Content-Length: ");
        lssb_put_u64(to, body_len);
        lssb_put_text(to, "\r\n");
    }
}

/* The header lines that describe the body. */
static void request_body_headers(const lssb_op *op,
                                 const struct lssb_exchange *x,
                                 uint64_t body_len, struct lssb_writer *to)
{
    if (x->body == NULL)
        return;
    if (x->url != NULL) {
        request_length(lssb_request_method(op, x), body_len, to);
        return;
    }
    lssb_put_text(to, "Content-Type: ");
    if (x->multipart) {
        lssb_put_text(to, "multipart/form-data; boundary=");
        lssb_put_boundary(op, to);
    } else {
        lssb_put_text(to, "application/json");
    }
    lssb_put_text(to, "\r\nContent-Length: ");
    lssb_put_u64(to, body_len);
    lssb_put_text(to, "\r\n");
}

void lssb_request_head(const lssb_op *op, const struct lssb_exchange *x,
                       uint64_t body_len, struct lssb_writer *to)
{
    char host[LSSB_HOST_SIZE];
    struct lssb_target target;
    const struct lssb_proxy *proxy;
    const char *wrong = lssb_request_target(op, x, &target);

    if (wrong == NULL &&
        !lssb_copy(host, sizeof host, target.host, target.host_len))
        wrong = "the host name is longer than 255 bytes";
    if (wrong != NULL) {
        to->wrong = wrong;
        return;
    }
    proxy = target.tls || x->upgrade ? NULL
                       : lssb_request_proxy(lssb_call_client(op), &target);
    lssb_put_text(to, lssb_request_method(op, x));
    lssb_put_text(to, " ");
    if (proxy != NULL) {
        lssb_put_text(to, "http://");
        lssb_put_authority(to, host, target.tls, target.port, false);
    }
    lssb_put(to, target.base, target.base_len);
    x->path(op, to);
    lssb_put_text(to, " HTTP/1.1\r\nHost: ");
    lssb_put_authority(to, host, target.tls, target.port, false);
    lssb_put_text(to, "\r\n");
    if (proxy != NULL)
        request_proxy_header(proxy, to);
    request_headers(op, x, to);
    request_body_headers(op, x, body_len, to);
    lssb_put_text(to, "\r\n");
}
