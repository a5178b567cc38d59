/* link.c: URLs into a box: of its services, of its files.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 7.1 and 7.2: making, listing and revoking them. What was kept of a
 * reply is wiped as soon as the caller has it, for it is a credential.
 */
#include "internal.h"

#define LINK_LONGEST_S 86400

static struct lssb_op_state *link_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* The reply breaks what was asked for; what came of it is dropped. */
static lssb_status link_refuse(lssb_op *op, void *out, size_t size,
                               const char *why)
{
    lssb_wipe(out, size);
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_REFUSED,
                     LSSB_LAYER_SERVICE, lssb_call_exchange(op)->name, ": ",
                     why, NULL);
}

/* Fills the struct, then forgets what was kept of the reply; all of it if some
 * of it does not fit. */
static lssb_status link_got(lssb_op *op, const char *text, size_t len)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_status status = lssb_kind_got(op, text, len);

    lssb_wipe(slot->element, sizeof slot->element);
    if (status < 0)
        lssb_wipe(link_of(op)->out, lssb_call_exchange(op)->kind->size);
    return status;
}

/* Whether a text contains another one, which is not empty. */
static bool link_contains(const char *text, const char *part)
{
    size_t len = strlen(part);

    for (; len > 0 && *text != '\0'; text++)
        if (strncmp(text, part, len) == 0)
            return true;
    return false;
}

bool lssb_link_shows_key(const lssb_client *client, const lssb_pair *header)
{
    return (header->name != NULL &&
            lssb_same_name(header->name, strlen(header->name), "X-Api-Key",
                           9)) ||
           (client->api_key != NULL && header->value != NULL &&
            link_contains(header->value, client->api_key));
}

/* ---------------------------------------------------------- service URLs -- */

#define LINK_SERVICE(key) \
    { #key, LSSB_JSON_TEXT, (uint16_t)offsetof(lssb_service, key), \
      (uint16_t)sizeof(((lssb_service *)0)->key) }

static const struct lssb_json_member link_service_members[] = {
    LINK_SERVICE(browser_url),
    LINK_SERVICE(service_url),
    LINK_SERVICE(token),
    LINK_SERVICE(expires_at),
    LINK_SERVICE(access)
};

const struct lssb_kind lssb_link_service = {
    .name = "service URL",
    .type = "lssb_service",
    .resource = LSSB_RESOURCE_SANDBOX,
    .size = sizeof(lssb_service),
    .members = link_service_members,
    .member_count =
        sizeof link_service_members / sizeof link_service_members[0]
};

/* The word for a kind of access. */
static const char *link_access(lssb_access access)
{
    switch (access) {
    case LSSB_ACCESS_TOKEN: return "token";
    case LSSB_ACCESS_RESTRICTED: return "restricted";
    case LSSB_ACCESS_WORKSPACE: return "workspace";
    case LSSB_ACCESS_OFF: return "off";
    }
    return NULL;
}

void lssb_link_service_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_sandbox_path(op, to);
    lssb_put_text(to, "/service-url");
}

void lssb_link_service_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_service_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_json_number(&json, "port", options->port);
    if (options->access == LSSB_ACCESS_TOKEN)
        lssb_json_number(&json, "expires_in_seconds",
                         options->expires_in_s != 0 ? options->expires_in_s
                                                    : LSSB_SERVICE_S);
    else
        lssb_json_string(&json, "access", link_access(options->access));
    lssb_spec_end(&json);
}

/* A token, and all that goes with it. */
static lssb_status link_check_token(lssb_op *op, lssb_service *service)
{
    const char *missing = NULL;

    if (service->expires_at[0] == '\0')
        missing = "the reply has no expires_at";
    if (service->token[0] == '\0')
        missing = "the reply has no token";
    if (service->service_url[0] == '\0')
        missing = "the reply has no service_url";
    if (service->browser_url[0] == '\0')
        missing = "the reply has no browser_url";
    return missing == NULL
               ? LSSB_OK
               : link_refuse(op, service, sizeof *service, missing);
}

/* A login as it was asked for, not an open link. */
static lssb_status link_check_login(lssb_op *op, lssb_service *service,
                                    const char *access)
{
    if (service->token[0] != '\0')
        return link_refuse(op, service, sizeof *service, "this server knows no "
                           "logins: it made an open link, which is not "
                           "handed out");
    if (service->access[0] != '\0' && strcmp(service->access, access) != 0)
        return link_refuse(op, service, sizeof *service,
                           "the server granted another access than was asked "
                           "for");
    lssb_kind_default(service->browser_url, sizeof service->browser_url,
                      service->service_url);
    if (service->browser_url[0] == '\0')
        return link_refuse(op, service, sizeof *service,
                           "the reply has no browser_url");
    return LSSB_OK;
}

lssb_status lssb_link_service_got(lssb_op *op, const char *text, size_t len)
{
    const lssb_service_options *options = link_of(op)->options;
    lssb_service *service = link_of(op)->out;
    lssb_status status;

    if (options->access == LSSB_ACCESS_OFF && text == NULL)
        return LSSB_OK;             /* nothing is left to be described */
    status = link_got(op, text, len);
    if (status != LSSB_OK || options->access == LSSB_ACCESS_OFF)
        return status;
    return options->access == LSSB_ACCESS_TOKEN
               ? link_check_token(op, service)
               : link_check_login(op, service, link_access(options->access));
}

/* A token is refused as long as a login is in place. */
lssb_status lssb_link_service_failed(lssb_op *op, lssb_error *error)
{
    const lssb_service_options *options = link_of(op)->options;

    if (error->http_status == 409 && options->access == LSSB_ACCESS_TOKEN)
        lssb_error_prefix(error, "no token while a login is in place for the "
                          "port (access off, or lssb_service_revoke, takes it "
                          "away): ", NULL);
    return lssb_sandbox_failed(op, error);
}

static const struct lssb_exchange link_service_url = {
    .name = "create service URL",
    .method = "POST",
    .quota_is_final = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &lssb_link_service,
    .path = lssb_link_service_path,
    .body = lssb_link_service_body,
    .choose = lssb_kind_choose,
    .done = lssb_link_service_got,
    .failed = lssb_link_service_failed
};

/* NULL, or what is wrong with the options. */
const char *lssb_link_service_wrong(const lssb_service_options *options)
{
    if (options->port < 1 || options->port > 65535)
        return "port is not between 1 and 65535";
    if (link_access(options->access) == NULL)
        return "access is none of its constants";
    if (options->access != LSSB_ACCESS_TOKEN && options->expires_in_s != 0)
        return "expires_in_s goes with a token, not with a login";
    return options->expires_in_s > LINK_LONGEST_S
               ? "expires_in_s is not between 1 and 86400"
               : NULL;
}

lssb_status lssb_service_url(const lssb_sandbox *box,
                             const lssb_service_options *options,
                             lssb_service *service, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL || service == NULL)
        return lssb_refuse(box->client, call, "create service URL: ",
                           options == NULL ? "options" : "service", ": NULL",
                           NULL);
    wrong = lssb_link_service_wrong(options);
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "create service URL: ", wrong,
                           NULL);
    memset(service, 0, sizeof *service);
    link_of(call)->options = options;
    link_of(call)->out = service;
    return lssb_call_go(call, op == NULL, &link_service_url, 0);
}

/* ---------------------------------------------------------- shared ports -- */

#define LINK_SHARED(key, kind, size) \
    { #key, kind, (uint16_t)offsetof(lssb_shared_port, key), size }

static const struct lssb_json_member link_shared_members[] = {
    LINK_SHARED(port, LSSB_JSON_I32, 0),
    LINK_SHARED(access, LSSB_JSON_TEXT_CUT, 16),
    LINK_SHARED(created_at, LSSB_JSON_TEXT, LSSB_TIME_SIZE),
    LINK_SHARED(created_by, LSSB_JSON_TEXT, LSSB_ID_SIZE),
    LINK_SHARED(expires_at, LSSB_JSON_TEXT, LSSB_TIME_SIZE)
};

static const struct lssb_kind link_shared = {
    .name = "shared port",
    .type = "lssb_shared_port",
    .items = "items",
    .resource = LSSB_RESOURCE_SANDBOX,
    .paging = LSSB_PAGING_CURSOR,
    .size = sizeof(lssb_shared_port),
    .members = link_shared_members,
    .member_count = sizeof link_shared_members / sizeof link_shared_members[0]
};

static void link_shared_path(const lssb_op *op, struct lssb_writer *to)
{
    bool first = true;

    lssb_sandbox_path(op, to);
    lssb_put_text(to, "/service-urls");
    lssb_list_query(op, to, &first);
}

static void link_revoke_path(const lssb_op *op, struct lssb_writer *to)
{
    bool first = true;

    lssb_sandbox_path(op, to);
    lssb_put_text(to, "/service-urls");
    if (op->reserved.state.size != 0)
        lssb_list_number(to, &first, "port", op->reserved.state.size);
}

static const struct lssb_exchange link_shared_list = {
    .name = "list service URLs",
    .method = "GET",
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &link_shared,
    .path = link_shared_path,
    .choose = lssb_list_choose,
    .event = lssb_list_event,
    .done = lssb_list_done,
    .failed = lssb_sandbox_failed,
    .again = lssb_list_again
};

static const struct lssb_exchange link_revoke = {
    .name = "revoke service URL",
    .method = "DELETE",
    .resource = LSSB_RESOURCE_SANDBOX,
    .path = link_revoke_path,
    .choose = lssb_kind_choose_none,
    .done = lssb_kind_done,
    .failed = lssb_sandbox_failed
};

lssb_status lssb_service_next(const lssb_sandbox *box, lssb_plain_list *list,
                              lssb_shared_port *ports, size_t max,
                              size_t *count, lssb_op *op)
{
    struct lssb_walk walk = { NULL, NULL, box, ports, max, count, 0,
                              NULL };

    if (list != NULL) {
        walk.page = &list->reserved;
        walk.details = list->details;
    }
    return lssb_list_next(box != NULL ? box->client : NULL, &link_shared_list,
                          &walk, op);
}

lssb_status lssb_service_revoke(const lssb_sandbox *box, uint32_t port,
                                lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (port > 65535)
        return lssb_refuse(box->client, call, "revoke service URL: port is not "
                           "between 1 and 65535", NULL);
    link_of(call)->size = port;
    return lssb_call_go(call, op == NULL, &link_revoke, 0);
}

/* -------------------------------------------------------- download links -- */

static const struct lssb_json_member link_file_members[] = {
    { "download_url", LSSB_JSON_TEXT, (uint16_t)offsetof(lssb_link, url),
      LSSB_LINK_SIZE },
    { "token", LSSB_JSON_TEXT, (uint16_t)offsetof(lssb_link, token),
      LSSB_TOKEN_SIZE },
    { "expires_at", LSSB_JSON_TEXT, (uint16_t)offsetof(lssb_link, expires_at),
      LSSB_TIME_SIZE }
};

static const struct lssb_kind link_file = {
    .name = "download link",
    .type = "lssb_link",
    .resource = LSSB_RESOURCE_SANDBOX,
    .size = sizeof(lssb_link),
    .members = link_file_members,
    .member_count = sizeof link_file_members / sizeof link_file_members[0]
};

static void link_file_path(const lssb_op *op, struct lssb_writer *to)
{
    lssb_sandbox_path(op, to);
    lssb_put_text(to, "/download-url");
}

static void link_file_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_link_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_spec_begin(&json, to, options->more);
    lssb_spec_required(&json, "path", options->path,
                       "path is missing or empty");
    lssb_spec_number(&json, "expires_in_seconds", options->expires_in_s);
    lssb_spec_text(&json, "content_type", options->content_type);
    switch (options->disposition) {
    case LSSB_DISPOSITION_UNSET:
        break;
    case LSSB_DISPOSITION_ATTACHMENT:
        lssb_json_string(&json, "content_disposition", "attachment");
        break;
    case LSSB_DISPOSITION_INLINE:
        lssb_json_string(&json, "content_disposition", "inline");
        break;
    }
    lssb_spec_end(&json);
}

static lssb_status link_file_got(lssb_op *op, const char *text, size_t len)
{
    lssb_link *link = link_of(op)->out;
    lssb_status status = link_got(op, text, len);

    if (status == LSSB_OK && link->url[0] == '\0')
        return link_refuse(op, link, sizeof *link,
                           "the reply has no download_url");
    return status;
}

static const struct lssb_exchange link_download_url = {
    .name = "create download link",
    .method = "POST",
    .quota_is_final = true,
    .resource = LSSB_RESOURCE_SANDBOX,
    .kind = &link_file,
    .path = link_file_path,
    .body = link_file_body,
    .choose = lssb_kind_choose,
    .done = link_file_got,
    .failed = lssb_sandbox_failed
};

lssb_status lssb_download_url(const lssb_sandbox *box,
                              const lssb_link_options *options,
                              lssb_link *link, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (options == NULL || link == NULL)
        return lssb_refuse(box->client, call, "create download link: ",
                           options == NULL ? "options" : "link", ": NULL",
                           NULL);
    memset(link, 0, sizeof *link);
    link_of(call)->options = options;
    link_of(call)->out = link;
    return lssb_call_go(call, op == NULL, &link_download_url, 0);
}
