/* service.c: requests to services in a box.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 7.1. A call goes with one lssb_service from its beginning to its
 * end, which is in its own response: what others make of theirs meanwhile does
 * not touch a request of which a part is sent already. A service that is made
 * anew is complete there before the caller's is replaced, all of it at once.
 */
#include "internal.h"

#define SERVICE_MARGIN_S 60         /* what is left when it is made again */
#define SERVICE_CHUNK 65535         /* most bytes of a chunk */
#define SERVICE_FRAME 8             /* bytes around them */

static const char service_token[] = "X-Langsmith-Sandbox-Service-Token";

static struct lssb_response_state *service_of(const lssb_op *op)
{
    lssb_response *response = op->reserved.state.extra;

    return &response->reserved.state;
}

static lssb_response *service_response(const lssb_op *op)
{
    return op->reserved.state.extra;
}

/* ------------------------------------------------------------- arguments -- */

/* Whether a byte may stand in a path or a query as it is (RFC 3986 3.3). */
static bool service_is_path(char c)
{
    static const char marks[] = "/?-._~!$&'()*+,;=:@[]";

    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') ||
           (c != '\0' && memchr(marks, c, sizeof marks - 1) != NULL);
}

/* NULL, or what is wrong with a path. */
static const char *service_path_wrong(const char *path)
{
    size_t i;

    for (i = 0; path != NULL && path[i] != '\0'; i++) {
        if (path[i] == '%' && lssb_json_hex((uint8_t)path[i + 1]) >= 0 &&
            lssb_json_hex((uint8_t)path[i + 2]) >= 0)
            continue;
        if (!service_is_path(path[i]))
            return "path: it holds what has to be percent-encoded";
    }
    return NULL;
}

/* NULL, or what is wrong with the query. */
static const char *service_query_wrong(const lssb_pair *query, size_t count)
{
    size_t i;

    if (query == NULL && count > 0)
        return "query: NULL, but query_count is not 0";
    for (i = 0; i < count; i++)
        if (query[i].name == NULL || query[i].value == NULL)
            return "query: a name or a value is NULL";
    return NULL;
}

/* NULL, or what is wrong with a header for the service. */
static const char *service_header_wrong(const lssb_client *client,
                                        const lssb_pair *header)
{
    const char *name = header->name;

    if (name != NULL && lssb_same_name(name, strlen(name), "Content-Type", 12))
        name = "Type";              /* here it is the caller's */
    if (lssb_link_shows_key(client, header))
        return "headers: the API key, and X-Api-Key, are not for services";
    return lssb_header_wrong(name, header->value);
}

const char *lssb_service_wrong(const lssb_client *client,
                               const lssb_service_options *options,
                               const lssb_service *service,
                               const struct lssb_service_call *call)
{
    const char *wrong = service_path_wrong(call->path);
    size_t i;

    if (options == NULL)
        return "options: NULL";
    if (options->access != LSSB_ACCESS_TOKEN)
        return "access: a service behind a login is for people; a program "
               "needs a token";
    if (service != NULL && service->token[0] == '\0' &&
        service->browser_url[0] != '\0')
        return "service: it is behind a login, which is for people";
    if (wrong == NULL)
        wrong = lssb_link_service_wrong(options);
    if (wrong == NULL)
        wrong = service_query_wrong(call->query, call->query_count);
    if (wrong == NULL && call->headers == NULL && call->header_count > 0)
        wrong = "headers: NULL, but header_count is not 0";
    for (i = 0; i < call->header_count && wrong == NULL; i++)
        wrong = service_header_wrong(client, &call->headers[i]);
    return wrong;
}

/* ------------------------------------------------------- what both share -- */

bool lssb_service_holds(const lssb_client *client,
                        const lssb_service_options *options,
                        const lssb_service *service)
{
    int64_t now = client->port->wall_s(client->port_context), until;
    int64_t margin = options->expires_in_s != 0 ? options->expires_in_s
                                                : LSSB_SERVICE_S;

    margin /= 2;
    if (margin > SERVICE_MARGIN_S)
        margin = SERVICE_MARGIN_S;
    return service != NULL && service->service_url[0] != '\0' &&
           service->token[0] != '\0' && now > 0 &&
           lssb_parse_http_date(service->expires_at,
                                strlen(service->expires_at), &until) &&
           until - now > margin;
}

void lssb_service_put_path(const struct lssb_service_call *call,
                           struct lssb_writer *to)
{
    const char *path = call->path != NULL ? call->path : "";
    char before = strchr(path, '?') != NULL ? '&' : '?';
    size_t i;

    while (*path == '/')
        path++;
    lssb_put_text(to, "/");
    lssb_put_text(to, path);
    for (i = 0; i < call->query_count; i++) {
        lssb_put(to, &before, 1);
        lssb_put_query(to, call->query[i].name);
        lssb_put_text(to, "=");
        lssb_put_query(to, call->query[i].value);
        before = '&';
    }
}

bool lssb_service_pair(const struct lssb_service_call *call,
                       const lssb_service *service, size_t index,
                       lssb_pair *pair)
{
    if (index < call->header_count) {
        *pair = call->headers[index];
        return true;
    }
    pair->name = service_token;
    pair->value = service->token;
    return index == call->header_count;
}

lssb_status lssb_service_made(lssb_op *op, lssb_service *service,
                              const char *text, size_t len)
{
    const lssb_service *made = op->reserved.state.out;
    lssb_client *client = lssb_call_client(op);
    lssb_status status = lssb_link_service_got(op, text, len);
    struct lssb_url url;
    const char *wrong;

    if (status != LSSB_OK)
        return status;
    wrong = lssb_url_parse(&url, made->service_url, strlen(made->service_url),
                           false);
    if (wrong == NULL)
        wrong = lssb_header_wrong(service_token, made->token);
    if (wrong != NULL)
        return lssb_fail(&client->error, LSSB_E_PROTOCOL, LSSB_LAYER_SERVICE,
                         lssb_call_exchange(op)->name,
                         ": the reply's service_url or token: ", wrong, NULL);
    if (service != NULL)
        *service = *made;
    return LSSB_OK;
}

/* ----------------------------------------------------------- the request -- */

static const char *service_url(const lssb_op *op)
{
    return service_of(op)->used.service_url;
}

/* The caller's method, or what goes with the body. */
static const char *service_verb(const lssb_op *op)
{
    const lssb_request *request = service_of(op)->request;

    if (request->method != NULL)
        return request->method;
    return request->body != NULL || request->source != NULL ? "POST" : "GET";
}

/* What of a request a WebSocket has as well. */
static struct lssb_service_call service_call(const lssb_request *request)
{
    struct lssb_service_call call;

    call.path = request->path;
    call.query = request->query;
    call.query_count = request->query_count;
    call.headers = request->headers;
    call.header_count = request->header_count;
    return call;
}

static bool service_pair(const lssb_op *op, size_t index, lssb_pair *pair)
{
    struct lssb_service_call call = service_call(service_of(op)->request);

    return lssb_service_pair(&call, &service_of(op)->used, index, pair);
}

static void service_path(const lssb_op *op, struct lssb_writer *to)
{
    struct lssb_service_call call = service_call(service_of(op)->request);

    lssb_service_put_path(&call, to);
}

/* The next chunk of a source that has no size, whole, or the end of them. Its
 * length is put in four digits, known only behind its bytes. */
static void service_chunk(const lssb_op *op, struct lssb_writer *to)
{
    static const char digits[] = "0123456789abcdef";
    static const char last[] = "0\r\n\r\n";
    struct lssb_response_state *state = service_of(op);
    const lssb_source *source = state->request->source;
    struct lssb_slot *slot = lssb_call_slot(op);
    size_t room = to->room - SERVICE_FRAME;
    uint8_t *out = to->out;
    ptrdiff_t n;
    int i;

    if (room > SERVICE_CHUNK)
        room = SERVICE_CHUNK;
    n = source->read_at(source->ctx, state->sent, out + 6, room);
    if (n < 0 || (size_t)n > room) {
        to->wrong = "the source could not be read";
    } else if (n == 0) {
        memcpy(out, last, sizeof last - 1);
        to->len = sizeof last - 1;
        slot->request_len = slot->written + to->len;
    } else {
        for (i = 0; i < 4; i++)
            out[i] = (uint8_t)digits[((size_t)n >> (12 - 4 * i)) & 15];
        memcpy(out + 4, "\r\n", 2);
        memcpy(out + 6 + n, "\r\n", 2);
        to->len = (size_t)n + SERVICE_FRAME;
        state->sent += (uint64_t)n;
    }
}

/* Whether the body is sent in chunks. */
static bool service_is_chunked(const lssb_request *request)
{
    return request->source != NULL &&
           request->source->size == LSSB_SIZE_UNKNOWN;
}

static void service_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_request *request = service_of(op)->request;
    const struct lssb_slot *slot = lssb_call_slot(op);

    if (!service_is_chunked(request)) {
        if (request->source != NULL)
            lssb_put_source(request->source, to);
        else
            lssb_put(to, request->body, request->body_len);
    } else if (to->room == 0 || slot == NULL ||
               slot->written < slot->head_len) {
        to->total += LSSB_BODY_UNKNOWN;     /* chunks begin a window */
    } else {
        service_chunk(op, to);
    }
}

/* ------------------------------------------------------------- the reply -- */

/* All of them, but what the protocol does not allow here, and what a proxy on
 * the way says of itself. */
static bool service_accepts(const lssb_op *op, int status)
{
    const struct lssb_slot *slot = lssb_call_slot(op);

    return status != 101 &&
           !(status == 407 && slot->conn.proxied && !slot->conn.host_tls);
}

/* The status comes with whatever is told first. */
static lssb_status service_status(lssb_op *op, int status)
{
    const lssb_request *request = service_of(op)->request;
    lssb_response *response = service_response(op);

    if (response->status != 0)
        return LSSB_OK;
    response->status = status;
    if (request->on_status == NULL)
        return LSSB_OK;
    return lssb_call_heard(op, request->on_status(request->user, status));
}

static lssb_status service_header(lssb_op *op, int status, const char *name,
                                  const char *value, size_t len)
{
    const lssb_request *request = service_of(op)->request;
    lssb_response *response = service_response(op);
    lssb_status said = service_status(op, status);
    struct lssb_text text;

    if (said != LSSB_OK)
        return said;
    if (lssb_same_name(name, strlen(name), "Content-Type", 12)) {
        lssb_text_start(&text, response->content_type,
                        sizeof response->content_type);
        lssb_text_add_n(&text, value, len);
    }
    if (request->on_header == NULL)
        return LSSB_OK;
    return lssb_call_heard(op,
                           request->on_header(request->user, name, value));
}

static lssb_status service_head(lssb_op *op, int status,
                                const struct lssb_http *http)
{
    (void)http;
    return service_status(op, status);
}

/* Bytes of the body into the caller's memory, as far as they fit. */
static void service_store(const lssb_request *request, lssb_response *response,
                          const uint8_t *bytes, size_t len)
{
    size_t room;

    if (request->out_size == 0)
        return;
    room = response->len < request->out_size - 1
               ? request->out_size - 1 - (size_t)response->len
               : 0;
    if (len > room) {
        response->cut = true;
        len = room;
    }
    if (len == 0)
        return;
    memcpy(request->out + response->len, bytes, len);
    request->out[response->len + len] = '\0';
}

static lssb_status service_take(lssb_op *op, const uint8_t *bytes, size_t len)
{
    const lssb_request *request = service_of(op)->request;
    lssb_response *response = service_response(op);
    lssb_status status = LSSB_OK;

    if (request->on_body != NULL)
        status = lssb_call_stopped(op,
                                   request->on_body(request->user, bytes, len));
    if (status != LSSB_OK)
        return status;
    service_store(request, response, bytes, len);
    response->len += len;
    return LSSB_OK;
}

static lssb_status service_done(lssb_op *op, const char *text, size_t len)
{
    (void)op;
    (void)text;
    (void)len;
    return LSSB_OK;
}

/* Nothing is tried again that may have arrived. */
static lssb_status service_lost(lssb_op *op)
{
    return lssb_call_client(op)->error.status;
}

/* A source in chunks is read once. */
static bool service_again(lssb_op *op)
{
    return service_of(op)->sent == 0;
}

/* The request's own time begins when there is a slot for it. */
static lssb_status service_taken(lssb_op *op)
{
    uint32_t ms = service_of(op)->request->quiet_ms;

    if (ms == 0)
        ms = lssb_call_client(op)->transfer_timeout_ms;
    if (op->deadline_ms == 0)
        op->reserved.state.attempt_ms = ms == LSSB_FOREVER ? 0 : ms;
    return LSSB_OK;
}

static void service_ended(lssb_op *op, lssb_status outcome)
{
    (void)outcome;
    lssb_wipe(&service_of(op)->used, sizeof service_of(op)->used);
}

#define SERVICE_REQUEST \
    .name = "service request", \
    .transfer = true, \
    .url = service_url, \
    .verb = service_verb, \
    .pairs = service_pair, \
    .path = service_path, \
    .body = service_body, \
    .accepts = service_accepts, \
    .header = service_header, \
    .head = service_head, \
    .raw = service_take, \
    .done = service_done, \
    .taken = service_taken, \
    .lost = service_lost, \
    .ended = service_ended, \
    .again = service_again

/* What may be asked twice, and what acts. */
static const struct lssb_exchange service_repeatable = {
    SERVICE_REQUEST
};

static const struct lssb_exchange service_acting = {
    .retry = LSSB_RETRY_UNSENT,
    .fresh = true,
    SERVICE_REQUEST
};

/* Methods that are idempotent (RFC 9110 9.2.2). */
static const struct lssb_exchange *service_exchange(const lssb_op *op)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE",
                                           "OPTIONS", "TRACE" };
    const char *method = service_verb(op);
    size_t i;

    for (i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i], method) == 0)
            return &service_repeatable;
    return &service_acting;
}

/* ---------------------------------------------------------- the service URL */

/* A new one is there: the request follows. */
static lssb_status service_made(lssb_op *op, const char *text, size_t len)
{
    lssb_status status =
        lssb_service_made(op, service_of(op)->service, text, len);

    if (status != LSSB_OK)
        return status;
    return lssb_call_next(op, service_exchange(op), 0);
}

static const struct lssb_exchange service_making = {
    .name = "create service URL",
    .method = "POST",
    .quota_is_final = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_link_service,
    .path = lssb_link_service_path,
    .body = lssb_link_service_body,
    .choose = lssb_kind_choose,
    .done = service_made,
    .failed = lssb_link_service_failed,
    .ended = service_ended
};

/* ------------------------------------------------------------- beginning -- */

/* NULL, or what is wrong with the method. */
static const char *service_method_wrong(const char *method)
{
    if (method == NULL)
        return NULL;
    if (lssb_header_wrong(method, "") != NULL)
        return "method: it is no token";
    if (strcmp(method, "CONNECT") == 0)
        return "method: CONNECT is for proxies";
    return NULL;
}

/* NULL, or what is wrong with the body, or with the place for the reply's. */
static const char *service_body_wrong(const lssb_request *request)
{
    const lssb_source *source = request->source;

    if (request->body == NULL && request->body_len > 0)
        return "body: NULL, but body_len is not 0";
    if (source != NULL && request->body != NULL)
        return "body and source: there is one body";
    if (source != NULL && source->read_at == NULL && source->size > 0)
        return "source: it has no read_at";
    if (source != NULL && source->size >= INT64_MAX &&
        source->size != LSSB_SIZE_UNKNOWN)
        return "source: its size is 2^63-1 or more";
    if (request->out == NULL && request->out_size > 0)
        return "out: NULL, but out_size is not 0";
    return NULL;
}

/* NULL, or what is wrong with the arguments. */
static const char *service_wrong(const lssb_client *client,
                                 const lssb_service_options *options,
                                 const lssb_service *service,
                                 const lssb_request *request,
                                 const lssb_response *response)
{
    struct lssb_service_call call;
    const char *wrong;

    if (request == NULL)
        return "request: NULL";
    if (response == NULL)
        return "response: NULL";
    call = service_call(request);
    wrong = lssb_service_wrong(client, options, service, &call);
    if (wrong == NULL)
        wrong = service_method_wrong(request->method);
    return wrong != NULL ? wrong : service_body_wrong(request);
}

lssb_status lssb_service_request(const lssb_sandbox *box,
                                 const lssb_service_options *options,
                                 lssb_service *service,
                                 const lssb_request *request,
                                 lssb_response *response, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    struct lssb_response_state *state;
    const char *wrong;

    if (response != NULL && status != LSSB_E_BUSY)
        memset(response, 0, sizeof *response);
    if (call == NULL)
        return status;
    wrong = service_wrong(box->client, options, service, request, response);
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "service request: ", wrong,
                           NULL);
    state = &response->reserved.state;
    state->request = request;
    state->service = service;
    if (request->out_size > 0)
        request->out[0] = '\0';
    call->reserved.state.options = options;
    call->reserved.state.out = &state->used;
    call->reserved.state.extra = response;
    if (lssb_service_holds(box->client, options, service)) {
        state->used = *service;
        status = lssb_call_go(call, op == NULL, service_exchange(call), 0);
    } else {
        status = lssb_call_go(call, op == NULL, &service_making, 0);
    }
    if (status < 0)                 /* perhaps before it began */
        lssb_wipe(&state->used, sizeof state->used);
    return status;
}
