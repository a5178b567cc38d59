/* error.c: what a failure is called, and what a reply's failure means.
 *
 * SPDX-License-Identifier: MIT
 *
 * The tables of protocol 9 and of the endpoints that differ from it (2.3, 2.4,
 * 2.5, 4.4). A reply's body is read by the scanner as it arrives; what it says
 * is kept in an lssb_error and gets its meaning when the reply is complete.
 */
#include "internal.h"

#include <stdarg.h>

/* ----------------------------------------------------------------- names -- */

/* The names are in the table, not pointed to: a linker drops them with it. */
#define ERROR_NAME(status) { LSSB_##status, "LSSB_" #status }
static const struct {
    int8_t status;
    char name[24];
} error_names[] = {
    ERROR_NAME(OK),
    ERROR_NAME(PENDING),
    ERROR_NAME(AGAIN),
    ERROR_NAME(END),
    ERROR_NAME(E_INVALID_ARGUMENT),
    ERROR_NAME(E_NO_MEMORY),
    ERROR_NAME(E_UNSUPPORTED),
    ERROR_NAME(E_IN_CALLBACK),
    ERROR_NAME(E_BUSY),
    ERROR_NAME(E_NOT_CONFIGURED),
    ERROR_NAME(E_CANCELED),
    ERROR_NAME(E_DEADLINE),
    ERROR_NAME(E_NO_SLOT),
    ERROR_NAME(E_STOPPED),
    ERROR_NAME(E_TOO_LONG),
    ERROR_NAME(E_CONNECTION),
    ERROR_NAME(E_CERTIFICATE),
    ERROR_NAME(E_PROTOCOL),
    ERROR_NAME(E_PROXY),
    ERROR_NAME(E_REFUSED),
    ERROR_NAME(E_API),
    ERROR_NAME(E_AUTH),
    ERROR_NAME(E_NOT_FOUND),
    ERROR_NAME(E_TIMEOUT),
    ERROR_NAME(E_IN_USE),
    ERROR_NAME(E_ALREADY_EXISTS),
    ERROR_NAME(E_NAME_CONFLICT),
    ERROR_NAME(E_VALIDATION),
    ERROR_NAME(E_QUOTA),
    ERROR_NAME(E_CREATION),
    ERROR_NAME(E_NOT_READY),
    ERROR_NAME(E_OPERATION),
    ERROR_NAME(E_COMMAND_TIMEOUT),
    ERROR_NAME(E_CONNECT_TIMEOUT),
    ERROR_NAME(E_UNAVAILABLE),
    ERROR_NAME(E_SERVER_RELOAD),
    ERROR_NAME(E_NOT_STARTED),
    ERROR_NAME(E_TUNNEL),
    ERROR_NAME(E_TUNNEL_PORT),
    ERROR_NAME(E_TUNNEL_REFUSED),
    ERROR_NAME(E_TUNNEL_VERSION),
    ERROR_NAME(E_PORT_IN_USE),
    ERROR_NAME(E_NOT_DIRECTORY),
    ERROR_NAME(E_IS_DIRECTORY),
    ERROR_NAME(E_NOT_EMPTY),
    ERROR_NAME(E_PERMISSION),
    ERROR_NAME(E_NO_SPACE),
    ERROR_NAME(E_READ_ONLY),
    ERROR_NAME(E_UNSAFE)
};

const char *lssb_status_name(lssb_status status)
{
    size_t i;

    for (i = 0; i < sizeof error_names / sizeof error_names[0]; i++)
        if (error_names[i].status == (int)status)
            return error_names[i].name;
    return "unknown status";
}

const char *lssb_layer_name(lssb_layer layer)
{
    switch (layer) {
    case LSSB_LAYER_NONE: return "none";
    case LSSB_LAYER_CALLER: return "caller";
    case LSSB_LAYER_CLIENT: return "client";
    case LSSB_LAYER_RESOLVE: return "resolve";
    case LSSB_LAYER_CONNECT: return "connect";
    case LSSB_LAYER_PROXY: return "proxy";
    case LSSB_LAYER_TLS: return "tls";
    case LSSB_LAYER_TRANSPORT: return "transport";
    case LSSB_LAYER_HTTP: return "http";
    case LSSB_LAYER_JSON: return "json";
    case LSSB_LAYER_SERVICE: return "service";
    case LSSB_LAYER_WEBSOCKET: return "websocket";
    case LSSB_LAYER_TUNNEL: return "tunnel";
    }
    return "unknown layer";
}

const char *lssb_resource_name(lssb_resource resource)
{
    switch (resource) {
    case LSSB_RESOURCE_NONE: return "none";
    case LSSB_RESOURCE_SANDBOX: return "sandbox";
    case LSSB_RESOURCE_SNAPSHOT: return "snapshot";
    case LSSB_RESOURCE_FILE: return "file";
    case LSSB_RESOURCE_TEMPLATE: return "template";
    case LSSB_RESOURCE_VOLUME: return "volume";
    case LSSB_RESOURCE_POOL: return "pool";
    case LSSB_RESOURCE_REGISTRY: return "registry";
    }
    return "unknown resource";
}

/* -------------------------------------------------------- local failures -- */

/* The pieces of a sentence, up to a NULL, into the message. */
static void error_say(lssb_error *error, const char *first, va_list pieces)
{
    struct lssb_text text;
    const char *piece;

    lssb_text_start(&text, error->message, sizeof error->message);
    for (piece = first; piece != NULL; piece = va_arg(pieces, const char *))
        lssb_text_add(&text, piece);
}

lssb_status lssb_fail(lssb_error *error, lssb_status status, lssb_layer layer,
                      const char *first, ...)
{
    va_list pieces;

    if (error == NULL)
        return status;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->layer = layer;
    va_start(pieces, first);
    error_say(error, first, pieces);
    va_end(pieces);
    return status;
}

static lssb_status error_refuse(lssb_client *client, lssb_op *op,
                                lssb_status status, const char *first,
                                va_list pieces)
{
    lssb_error *error = &client->error;

    memset(error, 0, sizeof *error);
    error->status = status;
    error->layer = LSSB_LAYER_CALLER;
    error_say(error, first, pieces);
    if (op != NULL && op->error != NULL)
        *op->error = *error;
    if (op != NULL)
        op->status = status;
    return status;
}

lssb_status lssb_refuse(lssb_client *client, lssb_op *op, const char *first,
                        ...)
{
    va_list pieces;

    va_start(pieces, first);
    error_refuse(client, op, LSSB_E_INVALID_ARGUMENT, first, pieces);
    va_end(pieces);
    return LSSB_E_INVALID_ARGUMENT;
}

lssb_status lssb_refuse_as(lssb_client *client, lssb_op *op,
                           lssb_status status, const char *first, ...)
{
    va_list pieces;

    va_start(pieces, first);
    error_refuse(client, op, status, first, pieces);
    va_end(pieces);
    return status;
}

/* ------------------------------------------------- what a reply's body says */

/* Adds to the message. */
static void error_append(lssb_error *error, const char *string)
{
    size_t len = strlen(error->message);
    struct lssb_text text;

    lssb_text_start(&text, error->message + len,
                    sizeof error->message - len);
    lssb_text_add(&text, string);
}

enum lssb_json_take lssb_error_choose(void *ctx, int depth, const char *parent,
                                      const char *key)
{
    static const char *const texts[] = { "error", "message", "error_id",
                                         "type", "msg", "loc" };
    size_t i;

    (void)ctx;
    (void)parent;
    if (depth == 1 && strcmp(key, "detail") == 0)
        return LSSB_JSON_ENTER;
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(key, texts[i]) == 0)
            return LSSB_JSON_CUT;
    return LSSB_JSON_SKIP;
}

/* A string at a path of what was kept; false when there is none. */
static bool error_text(const char *text, size_t len, const char *path,
                       char *to, size_t size)
{
    size_t raw_len;
    const char *raw = lssb_json_find(text, len, path, &raw_len);

    return raw != NULL &&
           lssb_json_decode(raw, raw_len, to, size) != SIZE_MAX;
}

/* The elements of a `loc` array, joined with dots; the last is the field. */
static void error_location(lssb_error *error, lssb_problem *problem,
                           const char *text, size_t len)
{
    struct lssb_text where;
    char path[16], part[64];
    unsigned i;

    lssb_text_start(&where, problem->where, sizeof problem->where);
    for (i = 0; i < 10; i++) {
        size_t raw_len;
        const char *raw;

        memcpy(path, "loc/0", 6);
        path[4] = (char)('0' + i);
        raw = lssb_json_find(text, len, path, &raw_len);
        if (raw == NULL)
            break;
        if (lssb_json_decode(raw, raw_len, part, sizeof part) == SIZE_MAX &&
            !lssb_copy(part, sizeof part, raw, raw_len))
            continue;
        if (where.len > 0)
            lssb_text_add(&where, ".");
        lssb_text_add(&where, part);
        if (error->problem_count == 1)
            lssb_copy(error->field, sizeof error->field, part, strlen(part));
    }
}

/* What an entry says: its msg, itself if it is a string, else all that was
 * kept of it. */
static void error_sentence(lssb_error *error, lssb_problem *problem,
                           const char *text, size_t len)
{
    size_t at = strlen(error->message), room = sizeof error->message - at;
    size_t raw_len = len;
    const char *raw = lssb_json_find(text, len, "msg", &raw_len);
    struct lssb_text cut;

    if (raw == NULL || *raw != '"') {
        raw = text;
        raw_len = len;
    }
    lssb_text_start(&cut, problem->message, sizeof problem->message);
    if (lssb_json_decode(raw, raw_len, problem->message,
                         sizeof problem->message) == SIZE_MAX) {
        lssb_text_add_n(&cut, raw, raw_len);
        error_append(error, problem->message);
        return;
    }
    lssb_json_decode(raw, raw_len, error->message + at, room);
}

void lssb_error_element(lssb_error *error, const char *text, size_t len)
{
    lssb_problem spare, *problem = &spare;

    memset(&spare, 0, sizeof spare);
    if (error->problem_count < LSSB_PROBLEMS)
        problem = &error->problems[error->problem_count];
    error->problem_count++;
    error_location(error, problem, text, len);
    error_text(text, len, "type", problem->type, sizeof problem->type);
    if (problem->where[0] != '\0' ||
        strcmp(problem->type, "value_error") == 0)
        error->status = LSSB_E_VALIDATION;  /* so far; see error_create */
    if (error->message[0] != '\0')
        error_append(error, "; ");
    error_sentence(error, problem, text, len);
}

/* The members of {"error", "message", "error_id"}, below `prefix`. */
static void error_members(lssb_error *error, const char *text, size_t len,
                          bool detail)
{
    error_text(text, len, detail ? "detail/error" : "error", error->type,
               sizeof error->type);
    error_text(text, len, detail ? "detail/message" : "message",
               error->message, sizeof error->message);
    error_text(text, len, detail ? "detail/error_id" : "error_id",
               error->error_id, sizeof error->error_id);
}

void lssb_error_body(lssb_error *error, const char *text, size_t len)
{
    size_t raw_len;
    const char *detail = lssb_json_find(text, len, "detail", &raw_len);

    if (detail == NULL || *detail == 'n')
        error_members(error, text, len, false);
    else if (*detail == '"')
        lssb_json_decode(detail, raw_len, error->message,
                         sizeof error->message);
    else if (*detail == '{')
        error_members(error, text, len, true);
}

/* ----------------------------------------------------------- its meaning -- */

/* Whether `text` holds `word`, without regard to case (ASCII). */
static bool error_mentions(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (; *text != '\0'; text++)
        if (strlen(text) >= len && lssb_same_name(text, len, word, len))
            return true;
    return false;
}

/* Protocol 9.3: the quota that a message is about; the first rule wins. */
static const char *error_quota(const char *message)
{
    if (error_mentions(message, "sandbox") &&
        (error_mentions(message, "count") || error_mentions(message, "limit")))
        return "sandbox_count";
    if (error_mentions(message, "cpu"))
        return "cpu";
    if (error_mentions(message, "memory"))
        return "memory";
    if (error_mentions(message, "volume") &&
        (error_mentions(message, "count") || error_mentions(message, "limit")))
        return "volume_count";
    if (error_mentions(message, "storage"))
        return "storage";
    return "";
}

/* Protocol 9.4. */
static lssb_status error_generic(const lssb_error *error, int status)
{
    switch (status) {
    case 401:
    case 403:
        return LSSB_E_AUTH;
    case 404:
        return LSSB_E_NOT_FOUND;
    case 422:
        return LSSB_E_VALIDATION;
    case 429:
        return LSSB_E_QUOTA;
    case 500:
        return LSSB_E_API;
    case 502:
        if (strcmp(error->type, "ConnectionError") == 0)
            return LSSB_E_CONNECTION;
        return LSSB_E_REFUSED;
    default:
        return LSSB_E_REFUSED;
    }
}

/* Protocol 2.3. */
static lssb_status error_create(lssb_error *error, int status)
{
    static const char unschedulable[] = "Unschedulable";

    switch (status) {
    case 408:
    case 504:
        return LSSB_E_TIMEOUT;
    case 409:
        return LSSB_E_ALREADY_EXISTS;
    case 422:
        return error->status == LSSB_E_VALIDATION ? LSSB_E_VALIDATION
                                                  : LSSB_E_CREATION;
    case 503:
        if (error->type[0] == '\0')
            memcpy(error->type, unschedulable, sizeof unschedulable);
        return LSSB_E_CREATION;
    case 400:
        if (error_mentions(error->type, "notfound") ||
            error_mentions(error->type, "not_found")) {
            error->resource = LSSB_RESOURCE_SNAPSHOT;
            return LSSB_E_NOT_FOUND;
        }
        return LSSB_E_VALIDATION;
    default:
        return error_generic(error, status);
    }
}

/* The operation that an error type of the dataplane names, or NULL. */
static const char *error_operation(const char *type)
{
    if (strcmp(type, "WriteError") == 0)
        return "write";
    if (strcmp(type, "ReadError") == 0)
        return "read";
    if (strcmp(type, "CommandError") == 0)
        return "command";
    return NULL;
}

/* Protocol 4.4, in its order. */
static lssb_status error_dataplane(lssb_error *error, int status)
{
    const char *operation = error_operation(error->type);

    if (operation != NULL) {
        lssb_copy(error->operation, sizeof error->operation, operation,
                  strlen(operation));
        return LSSB_E_OPERATION;
    }
    if (status == 403) {
        lssb_copy(error->type, sizeof error->type, "PermissionDenied", 16);
        return LSSB_E_OPERATION;
    }
    if (status == 502 && strcmp(error->type, "ConnectionError") == 0)
        return LSSB_E_CONNECTION;
    if ((status == 400 && strcmp(error->type, "NotReady") == 0) ||
        (status == 503 && strcmp(error->type, "ServiceUnavailable") == 0))
        return LSSB_E_NOT_READY;
    if (status == 404 || strcmp(error->type, "FileNotFound") == 0)
        return LSSB_E_NOT_FOUND;
    if (status == 416) {
        lssb_copy(error->operation, sizeof error->operation, "read", 4);
        return LSSB_E_OPERATION;
    }
    return status == 401 ? LSSB_E_AUTH : LSSB_E_REFUSED;
}

/* The status that a reply means at this endpoint. */
static lssb_status error_status(lssb_error *error,
                                enum lssb_meaning meaning, int status)
{
    switch (meaning) {
    case LSSB_MEANING_GENERIC:
        break;
    case LSSB_MEANING_LIST:
        if (status == 404)
            return LSSB_E_API;
        break;
    case LSSB_MEANING_UPDATE:
        if (status == 409)
            return LSSB_E_NAME_CONFLICT;
        break;
    case LSSB_MEANING_CREATE:
        return error_create(error, status);
    case LSSB_MEANING_DATAPLANE:
        return error_dataplane(error, status);
    }
    return error_generic(error, status);
}

/* Whether a failure is about a resource, and so names it. */
static bool error_has_resource(lssb_status status)
{
    return status == LSSB_E_NOT_FOUND || status == LSSB_E_TIMEOUT ||
           status == LSSB_E_CREATION || status == LSSB_E_ALREADY_EXISTS ||
           status == LSSB_E_NAME_CONFLICT || status == LSSB_E_IN_USE;
}

/* Where a request went, up to its path. */
static void error_add_target(struct lssb_text *text,
                             const struct lssb_target *target)
{
    lssb_text_add(text, target->tls ? "https://" : "http://");
    lssb_text_add(text, target->host_is_v6 ? "[" : "");
    lssb_text_add_n(text, target->host, target->host_len);
    lssb_text_add(text, target->host_is_v6 ? "]" : "");
    if (target->port != (target->tls ? 443 : 80)) {
        lssb_text_add(text, ":");
        lssb_text_add_u64(text, target->port);
    }
    lssb_text_add_n(text, target->base, target->base_len);
}

/* A sentence for a reply that had none: what was asked, what came. */
static void error_default(lssb_error *error, const struct lssb_exchange *x,
                          const lssb_op *op, int http_status)
{
    struct lssb_target target;
    struct lssb_text text;
    struct lssb_writer writer;
    char path[128];
    size_t len = 0;

    lssb_writer_start(&writer, path, sizeof path - 1, 0);
    if (x->sealed)
        lssb_put_text(&writer, "/...");
    else
        x->path(op, &writer);
    while (len < writer.len && path[len] != '?')
        len++;
    path[len] = '\0';
    lssb_text_start(&text, error->message, sizeof error->message);
    lssb_text_add(&text, "the service answered ");
    lssb_text_add_i64(&text, http_status);
    lssb_text_add(&text, " to ");
    lssb_text_add(&text, lssb_request_method(op, x));
    lssb_text_add(&text, " ");
    if (lssb_request_target(op, x, &target) == NULL)
        error_add_target(&text, &target);
    lssb_text_add(&text, path);
}

void lssb_error_prefix(lssb_error *error, const char *first, ...)
{
    char said[LSSB_MESSAGE_SIZE];
    struct lssb_text text;
    const char *piece;
    va_list pieces;

    memcpy(said, error->message, sizeof said);
    lssb_text_start(&text, error->message, sizeof error->message);
    va_start(pieces, first);
    for (piece = first; piece != NULL; piece = va_arg(pieces, const char *))
        lssb_text_add(&text, piece);
    va_end(pieces);
    lssb_text_add(&text, said);
}

/* Makes question marks of control characters, but the end of a line and a tab
 * where a text may have them: what a server says may be shown by a terminal. */
static void error_plain(char *text, bool lines)
{
    for (; *text != '\0'; text++)
        if (((uint8_t)*text < 0x20 || *text == 0x7F) &&
            !(lines && (*text == '\n' || *text == '\t')))
            *text = '?';
}

void lssb_error_hide(lssb_error *error, const char *secret, size_t len)
{
    size_t i;

    lssb_text_hide(error->message, secret, len);
    lssb_text_hide(error->error_id, secret, len);
    lssb_text_hide(error->type, secret, len);
    lssb_text_hide(error->field, secret, len);
    lssb_text_hide(error->last_status, secret, len);
    for (i = 0; i < LSSB_PROBLEMS; i++) {
        lssb_text_hide(error->problems[i].where, secret, len);
        lssb_text_hide(error->problems[i].message, secret, len);
        lssb_text_hide(error->problems[i].type, secret, len);
    }
}

void lssb_error_clean(lssb_client *client, const lssb_op *op)
{
    lssb_error *error = &client->error;
    size_t i;

    lssb_request_hide(client, op, error);
    error_plain(error->message, true);
    error_plain(error->error_id, false);
    error_plain(error->type, false);
    for (i = 0; i < LSSB_PROBLEMS; i++) {
        error_plain(error->problems[i].where, false);
        error_plain(error->problems[i].message, true);
        error_plain(error->problems[i].type, false);
    }
}

/* Adds the service's id of the failure, for its support to find it. */
static void error_add_id(lssb_error *error)
{
    if (error->error_id[0] == '\0')
        return;
    error_append(error, " (error_id=");
    error_append(error, error->error_id);
    error_append(error, ")");
}

void lssb_error_mean(lssb_error *error, const struct lssb_exchange *exchange,
                     const lssb_op *op, int http_status)
{
    const char *quota;

    error->layer = LSSB_LAYER_SERVICE;
    error->http_status = http_status;
    error->resource = LSSB_RESOURCE_NONE;
    error->status = error_status(error, exchange->meaning, http_status);
    if (!error_has_resource(error->status) ||
        (exchange->meaning == LSSB_MEANING_CREATE && http_status == 404))
        error->resource = LSSB_RESOURCE_NONE;
    else if (error->resource == LSSB_RESOURCE_NONE)
        error->resource = exchange->resource;
    if (http_status == 429) {
        quota = error_quota(error->message);
        lssb_copy(error->quota, sizeof error->quota, quota, strlen(quota));
    }
    if (error->message[0] == '\0')
        error_default(error, exchange, op, http_status);
    if (error->status == LSSB_E_API && http_status == 404)
        lssb_error_prefix(error,
                          "API endpoint not found, check the endpoint: ",
                          NULL);
    error_add_id(error);
}
