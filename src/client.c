/* client.c: a client's configuration, its block of memory, and the loop.
 *
 * SPDX-License-Identifier: MIT
 *
 * The block holds, one behind the other: the client, the port's context, the
 * list for poll, the slots, what each slot's connection needs, and copies of
 * the configuration's strings. Opening runs the same layout twice, first to
 * measure it.
 */
#include "internal.h"

#define CLIENT_ENDPOINT "https://api.smith.langchain.com"
#define CLIENT_CLOSE_MS 2000
#define CLIENT_SLOTS 4
#define CLIENT_MAX_SLOTS 65535
#define CLIENT_RETRIES 3
#define CLIENT_MAX_RETRIES 10000
#define CLIENT_TIMEOUT_MS 10000
#define CLIENT_TRANSFER_TIMEOUT_MS 60000
#define CLIENT_MAX_STREAMS 65535
#define CLIENT_STREAM_BUFFER 262144
#define CLIENT_MOST_STREAM_BUFFER 16777216

/* --------------------------------------------------------- configuration -- */

/* A string of the configuration or the environment, without the white space
 * around it. `at` NULL: there is none. */
struct client_string {
    const char *at;
    size_t len;
};

/* The configuration with the environment's part and the defaults. */
struct client_setup {
    const lssb_config *config;
    const lssb_port *port;
    const lssb_tls_backend *tls;
    struct client_string endpoint;
    struct client_string api_key;
    struct client_string tenant_id;
    struct client_string user_agent;
    struct client_string proxies[2];    /* for http, for https */
    struct client_string no_proxy;
    struct client_string system_file;
    bool proxy_from_environment;
    struct lssb_url url;                /* of the endpoint */
    bool base_complete;                 /* it ends in /v2/sandboxes */
    uint32_t slots;
    uint32_t streams;
    uint32_t stream_buffer;
};

/* Trims; what is blank is not there. */
static struct client_string client_trim(const char *text)
{
    struct client_string string = { NULL, 0 };
    size_t len;

    if (text == NULL)
        return string;
    while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
        text++;
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' ||
                       (text[len - 1] >= '\t' && text[len - 1] <= '\r')))
        len--;
    if (len > 0) {
        string.at = text;
        string.len = len;
    }
    return string;
}

/* A variable of the environment, if this configuration looks there. */
static struct client_string client_variable(const struct client_setup *setup,
                                            const char *name)
{
    const lssb_port *port = setup->port;

    if (setup->config->no_environment || port->environment == NULL)
        return client_trim(NULL);
    return client_trim(port->environment(port->context, name));
}

/* What is given, or else the first of these variables that is set: their names
 * one behind the other, an empty one at the end. */
static struct client_string client_first(const struct client_setup *setup,
                                         const char *given, const char *names)
{
    struct client_string string = client_trim(given);

    for (; *names != '\0' && given == NULL && string.at == NULL;
         names += strlen(names) + 1)
        string = client_variable(setup, names);
    return string;
}

/* What the port has handed out of the environment is copied, or not wanted any
 * more. */
static void client_forget(const struct client_setup *setup)
{
    const lssb_port *port = setup->port;

    if (port->version == LSSB_PORT_VERSION && port->environment != NULL &&
        !setup->config->no_environment)
        port->environment(port->context, "");
}

/* Proxies: the configuration's for both, or the environment's. In a CGI
 * program HTTP_PROXY is what the header "Proxy" of a request says, and no
 * variable of this machine's. */
static void client_setup_proxies(struct client_setup *setup)
{
    static const char http[] = "http_proxy\0HTTP_PROXY\0all_proxy\0ALL_PROXY\0";
    static const char in_cgi[] = "http_proxy\0all_proxy\0ALL_PROXY\0";
    static const char in_any_case[] = "all_proxy\0";
    static const char https[] =
        "https_proxy\0HTTPS_PROXY\0all_proxy\0ALL_PROXY\0";
    const char *given = setup->config->proxy;

    setup->no_proxy = client_first(setup, setup->config->no_proxy,
                                   "no_proxy\0NO_PROXY\0");
    if (given != NULL) {
        setup->proxies[0] = setup->proxies[1] = client_trim(given);
        return;
    }
    setup->proxy_from_environment = true;
    setup->proxies[0] =
        client_variable(setup, "REQUEST_METHOD").at == NULL
            ? client_first(setup, NULL, http)
        : client_variable(setup, "request_method").at == NULL
            ? client_first(setup, NULL, in_cgi)
            : client_first(setup, NULL, in_any_case);
    setup->proxies[1] = client_first(setup, NULL, https);
}

/* Whether a path ends as the base of the sandbox API does. */
static bool client_is_base(const struct lssb_url *url)
{
    static const char suffix[] = "/v2/sandboxes";
    const size_t len = sizeof suffix - 1;

    return url->path_len >= len &&
           memcmp(url->path + url->path_len - len, suffix, len) == 0;
}

/* NULL, or what is wrong with a configured header. */
static const char *client_check_headers(const lssb_config *config)
{
    const char *wrong = NULL;
    size_t i;

    if (config->header_count > 0 && config->headers == NULL)
        return "NULL, but header_count is not 0";
    for (i = 0; i < config->header_count && wrong == NULL; i++)
        wrong = lssb_header_wrong(config->headers[i].name,
                                  config->headers[i].value);
    return wrong;
}

/* How many streams there may be, and their buffers. */
static lssb_status client_setup_streams(struct client_setup *setup,
                                        lssb_error *error)
{
    const char *wrong = NULL;

    setup->streams = setup->config->streams;
    setup->stream_buffer = setup->config->stream_buffer != 0
                               ? setup->config->stream_buffer
                               : CLIENT_STREAM_BUFFER;
    if (setup->streams > 0 && !LSSB_TUNNEL)
        return lssb_fail(error, LSSB_E_UNSUPPORTED, LSSB_LAYER_CALLER,
                         "streams: this build has no tunnels (LSSB_TUNNEL=0)",
                         NULL);
    if (setup->streams > CLIENT_MAX_STREAMS)
        wrong = "streams: more than 65,535";
    else if (setup->stream_buffer < LSSB_STREAM_BUFFER_LEAST ||
             setup->stream_buffer > CLIENT_MOST_STREAM_BUFFER)
        wrong = "stream_buffer: 1,024 to 16,777,216 were expected";
    else if ((uint64_t)setup->streams * setup->stream_buffer > SIZE_MAX / 2)
        wrong = "streams: their buffers are more than can be addressed";
    if (wrong != NULL)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         wrong, NULL);
    return LSSB_OK;
}

/* Collects the configuration; LSSB_OK, or what is wrong with it in `error`. */
static lssb_status client_setup(struct client_setup *setup,
                                const lssb_config *config, lssb_error *error)
{
    static const char endpoint[] = "LANGSMITH_ENDPOINT\0LANGCHAIN_ENDPOINT\0";
    static const char key[] = "LANGSMITH_API_KEY\0LANGCHAIN_API_KEY\0";
    static const char tenant[] =
        "LANGSMITH_TENANT_ID\0LANGCHAIN_TENANT_ID\0"
        "LANGSMITH_WORKSPACE_ID\0LANGCHAIN_WORKSPACE_ID\0";
    const char *wrong;

    memset(setup, 0, sizeof *setup);
    setup->config = config;
    setup->port = config->port != NULL ? config->port : &lssb_default_port;
    setup->tls = config->tls != NULL ? config->tls : lssb_default_tls;
    if (setup->port->version != LSSB_PORT_VERSION ||
        (setup->tls != NULL && setup->tls->version != LSSB_TLS_VERSION))
        return lssb_fail(error, LSSB_E_UNSUPPORTED, LSSB_LAYER_CALLER,
                         "the port or the TLS backend was written for another "
                         "version of this library", NULL);
    setup->slots = config->slots != 0 ? config->slots : CLIENT_SLOTS;
    setup->endpoint = client_first(setup, config->endpoint, endpoint);
    if (setup->endpoint.at == NULL)
        setup->endpoint = client_trim(CLIENT_ENDPOINT);
    setup->api_key = client_first(setup, config->api_key, key);
    setup->tenant_id = client_first(setup, config->tenant_id, tenant);
    setup->system_file =
        client_first(setup, config->trust.system_file, "SSL_CERT_FILE\0");
    setup->user_agent = client_trim(config->user_agent);
    if (setup->user_agent.at == NULL)
        setup->user_agent = client_trim("lssb/" LSSB_VERSION);
    client_setup_proxies(setup);
    wrong = lssb_url_parse(&setup->url, setup->endpoint.at,
                           setup->endpoint.len, false);
    if (wrong == NULL && setup->url.query != NULL)
        wrong = "it must have no query";
    if (wrong == NULL && setup->url.host_len >= LSSB_HOST_SIZE)
        wrong = "the host name is longer than 255 bytes";
    if (wrong != NULL)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "endpoint: ", wrong, NULL);
    if (setup->slots > CLIENT_MAX_SLOTS)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "slots: more than 65,535", NULL);
    setup->base_complete = client_is_base(&setup->url);
    wrong = client_check_headers(config);
    if (wrong != NULL)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "headers: ", wrong, NULL);
    return client_setup_streams(setup, error);
}

/* ------------------------------------------------------------ the layout -- */

/* As strict as anything in the block may be. */
union client_strictest {
    uint64_t number;
    void *pointer;
    void (*function)(void);
    long double real;
};
struct client_aligned {
    char first;
    union client_strictest second;
};
#define CLIENT_ALIGN offsetof(struct client_aligned, second)

/* A place in the block, aligned for any type. `at` NULL: only measured. */
struct client_layout {
    uint8_t *at;
    size_t used;
    size_t plain;                   /* of it, all before the slots' holds */
};

static void *client_place(struct client_layout *layout, size_t size)
{
    const size_t align = CLIENT_ALIGN;
    size_t from = (layout->used + align - 1) / align * align;

    layout->used = from + size;
    return layout->at != NULL ? layout->at + from : NULL;
}

/* A copy of a string; NULL where there is none. */
static const char *client_copy(struct client_layout *layout,
                               struct client_string string)
{
    char *to;

    if (string.at == NULL)
        return NULL;
    to = client_place(layout, string.len + 1);
    if (to != NULL) {
        memcpy(to, string.at, string.len);
        to[string.len] = '\0';
    }
    return to;
}

/* The base path, completed. */
static const char *client_copy_base(struct client_layout *layout,
                                    const struct client_setup *setup)
{
    static const char suffix[] = "/v2/sandboxes";
    size_t len = setup->url.path_len;
    char *to = client_place(layout, len + sizeof suffix);

    if (to == NULL)
        return NULL;
    memcpy(to, setup->url.path, len);
    if (setup->base_complete)
        to[len] = '\0';
    else
        memcpy(to + len, suffix, sizeof suffix);
    return to;
}

/* The configured headers. */
static const lssb_pair *client_copy_headers(struct client_layout *layout,
                                            const lssb_config *config)
{
    lssb_pair *pairs =
        client_place(layout, config->header_count * sizeof *pairs);
    size_t i;

    for (i = 0; i < config->header_count; i++) {
        struct client_string name, value;
        const char *name_copy, *value_copy;

        name.at = config->headers[i].name;
        name.len = strlen(name.at);
        value.at = config->headers[i].value;
        value.len = strlen(value.at);
        name_copy = client_copy(layout, name);
        value_copy = client_copy(layout, value);
        if (pairs != NULL) {
            pairs[i].name = name_copy;
            pairs[i].value = value_copy;
        }
    }
    return pairs;
}

/* One proxy of the configuration. */
static const char *client_copy_proxy(struct client_layout *layout,
                                     struct client_string string,
                                     struct lssb_proxy *proxy)
{
    struct client_string host;
    struct lssb_url url;
    const char *wrong;

    memset(proxy, 0, sizeof *proxy);
    if (string.at == NULL)
        return NULL;
    wrong = lssb_url_parse(&url, string.at, string.len, true);
    if (wrong != NULL)
        return wrong;
    if (url.tls)
        return "only proxies at http:// URLs are supported";
    if (url.host_len >= LSSB_HOST_SIZE)
        return "the host name is longer than 255 bytes";
    host.at = url.host;
    host.len = url.host_len;
    proxy->host = client_copy(layout, host);
    proxy->port = url.port;
    if (url.userinfo != NULL) {
        char *decoded = client_place(layout, url.userinfo_len + 1);

        proxy->userinfo = decoded;
        if (decoded != NULL &&
            !lssb_percent_decode(decoded, url.userinfo_len + 1, url.userinfo,
                                 url.userinfo_len))
            return "the user or the password holds a NUL";
    }
    return NULL;
}

/* What is in the block behind the client. All NULL while it is measured. */
struct client_parts {
    void *context;                  /* the port's */
    lssb_poll *polls;
    struct lssb_slot *slots;
    struct lssb_bridge *bridges;
    const char *host;
    const char *base;
    const char *api_key;
    const char *tenant_id;
    const char *user_agent;
    const char *no_proxy;
    const char *system_file;
    const lssb_pair *headers;
    struct lssb_proxy proxies[2];
};

/* Lays out one slot. */
static void client_lay_slot(struct client_layout *layout,
                            const struct client_setup *setup,
                            struct lssb_slot *slot)
{
    bool encrypts = setup->tls != NULL;
    size_t session =
        encrypts ? setup->tls->session_size(&setup->config->trust) : 0;
    void *memory = client_place(layout, session);
    uint8_t *receive = client_place(layout, LSSB_RECEIVE_BUFFER);
    uint8_t *send = client_place(layout, LSSB_SEND_BUFFER);

    if (slot == NULL)
        return;
    slot->conn.receive_buffer = receive;
    slot->conn.send_buffer = send;
    slot->conn.session = memory;
    slot->conn.session_size = session;
}

/* The strings of the configuration. */
static lssb_status client_lay_strings(struct client_layout *layout,
                                      const struct client_setup *setup,
                                      struct client_parts *parts,
                                      lssb_error *error)
{
    struct client_string host;
    const char *wrong;
    int i;

    host.at = setup->url.host;
    host.len = setup->url.host_len;
    parts->host = client_copy(layout, host);
    parts->base = client_copy_base(layout, setup);
    parts->api_key = client_copy(layout, setup->api_key);
    parts->tenant_id = client_copy(layout, setup->tenant_id);
    parts->user_agent = client_copy(layout, setup->user_agent);
    parts->no_proxy = client_copy(layout, setup->no_proxy);
    parts->system_file = client_copy(layout, setup->system_file);
    parts->headers = client_copy_headers(layout, setup->config);
    for (i = 0; i < 2; i++) {
        wrong = client_copy_proxy(layout, setup->proxies[i],
                                  &parts->proxies[i]);
        if (wrong != NULL)
            return lssb_fail(error, LSSB_E_INVALID_ARGUMENT,
                             LSSB_LAYER_CALLER, i == 0 ? "proxy for http: "
                                                       : "proxy for https: ",
                             wrong, NULL);
        parts->proxies[i].from_environment = setup->proxy_from_environment;
    }
    return LSSB_OK;
}

/* The places for what waits, behind all else: they are large, and not touched
 * before they are used. */
static void client_lay_holds(struct client_layout *layout,
                             const struct client_setup *setup,
                             struct client_parts *parts)
{
    uint32_t i;

    layout->plain = layout->used;
    for (i = 0; i < setup->streams; i++) {
        uint8_t *buffer = client_place(layout, setup->stream_buffer);

        if (parts->bridges != NULL)
            parts->bridges[i].buffer = buffer;
    }
    for (i = 0; LSSB_WEBSOCKET && i < setup->slots; i++) {
        char *hold = client_place(layout, LSSB_HOLD);

        if (parts->slots != NULL)
            parts->slots[i].hold = hold;
    }
}

/* Lays out everything. */
static lssb_status client_lay(struct client_layout *layout,
                              const struct client_setup *setup,
                              struct client_parts *parts, lssb_error *error)
{
    lssb_status status;
    uint32_t i;

    memset(parts, 0, sizeof *parts);
    client_place(layout, sizeof(lssb_client));
    parts->context = client_place(layout, setup->port->context_size);
    parts->polls = client_place(layout, (2 * (size_t)setup->slots +
                                         setup->streams + 1) *
                                            sizeof *parts->polls);
    parts->slots = client_place(layout, setup->slots * sizeof *parts->slots);
    for (i = 0; i < setup->slots; i++)
        client_lay_slot(layout, setup,
                        parts->slots != NULL ? &parts->slots[i] : NULL);
    parts->bridges =
        client_place(layout, setup->streams * sizeof *parts->bridges);
    status = client_lay_strings(layout, setup, parts, error);
    if (status == LSSB_OK)
        client_lay_holds(layout, setup, parts);
    return status;
}

/* Measures the block. */
static lssb_status client_measure(struct client_layout *layout,
                                  const struct client_setup *setup,
                                  lssb_error *error)
{
    struct client_parts parts;

    memset(layout, 0, sizeof *layout);
    return client_lay(layout, setup, &parts, error);
}

size_t lssb_memory_needed(const lssb_config *config)
{
    static const lssb_config defaults;
    struct client_layout layout;
    struct client_setup setup;

    if (config == NULL)
        config = &defaults;
    if (client_setup(&setup, config, NULL) != LSSB_OK ||
        client_measure(&layout, &setup, NULL) != LSSB_OK)
        layout.used = 0;
    client_forget(&setup);
    return layout.used;
}

/* --------------------------------------------------------------- opening -- */

/* The block: the caller's, or the port's, of the size that was measured. */
static lssb_status client_block(const struct client_setup *setup,
                                const struct client_layout *measured,
                                void **block, lssb_error *error)
{
    const lssb_config *config = setup->config;
    size_t size = measured->used;

    *block = config->memory;
    if (config->memory != NULL && config->memory_size < size) {
        struct lssb_text text;

        lssb_fail(error, LSSB_E_NO_MEMORY, LSSB_LAYER_CALLER,
                  "memory: the block is too small; needed are ", NULL);
        if (error == NULL)
            return LSSB_E_NO_MEMORY;
        lssb_text_start(&text, error->message + strlen(error->message),
                        sizeof error->message - strlen(error->message));
        lssb_text_add_u64(&text, size);
        lssb_text_add(&text, " bytes");
        return LSSB_E_NO_MEMORY;
    }
    if ((uintptr_t)config->memory % CLIENT_ALIGN != 0)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "memory: the block is not aligned as a uint64_t, a "
                         "pointer and a long double want it", NULL);
    if (config->memory != NULL) {
        memset(config->memory, 0, measured->plain);
        return LSSB_OK;
    }
    if (setup->port->take != NULL)
        *block = setup->port->take(size);
    if (*block == NULL)
        return lssb_fail(error, LSSB_E_NO_MEMORY, LSSB_LAYER_CALLER,
                         "memory: none was given, and the port has none",
                         NULL);
    return LSSB_OK;
}

/* NULL, or why this configuration would show its key to everybody. */
static const char *client_exposes(lssb_client *client)
{
    lssb_op op;
    struct lssb_exchange x;
    struct lssb_target target;

    memset(&op, 0, sizeof op);
    memset(&x, 0, sizeof x);
    op.reserved.state.client = client;
    return lssb_request_target(&op, &x, &target);
}

/* Checks what a configuration says of headers, keys and trust. */
static lssb_status client_check(lssb_client *client, lssb_error *error)
{
    const char *wrong = client_exposes(client);

    if (wrong != NULL)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "endpoint: ", wrong, NULL);
    if (client->host_tls && client->tls == NULL)
        return lssb_fail(error, LSSB_E_UNSUPPORTED, LSSB_LAYER_CALLER,
                         "endpoint: this build has no TLS (TLS=none), and "
                         "https:// needs it", NULL);
    if (client->api_key != NULL)
        wrong = lssb_header_wrong("X-Api-Key", client->api_key);
    if (wrong == NULL && client->tenant_id != NULL)
        wrong = lssb_header_wrong("X-Tenant-Id", client->tenant_id);
    if (wrong == NULL)
        wrong = lssb_header_wrong("User-Agent", client->user_agent);
    if (wrong != NULL)
        return lssb_fail(error, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "api_key, tenant_id or user_agent: ", wrong, NULL);
    if (client->tls != NULL)
        return client->tls->check(&client->trust, error);
    return LSSB_OK;
}

/* The plain values of a configuration. */
static void client_settings(lssb_client *client, const lssb_config *config)
{
    client->trust = config->trust;
    client->trace = config->trace;
    client->trace_user = config->trace_user;
    client->allow_cleartext = config->allow_cleartext;
    client->timeout_ms =
        config->timeout_ms != 0 ? config->timeout_ms : CLIENT_TIMEOUT_MS;
    client->transfer_timeout_ms = config->transfer_timeout_ms != 0
                                      ? config->transfer_timeout_ms
                                      : CLIENT_TRANSFER_TIMEOUT_MS;
    client->retries =
        config->retries == 0 ? CLIENT_RETRIES : (uint32_t)config->retries;
    if (config->retries < 0)
        client->retries = 0;
    if (client->retries > CLIENT_MAX_RETRIES)
        client->retries = CLIENT_MAX_RETRIES;
}

/* Wipes the block and gives it back to the port, if it is the port's. */
static void client_give(lssb_client *client)
{
    const lssb_port *port = client->port;
    void *given = client->given;
    size_t size = client->size;
    uint32_t i;

    for (i = 0; client->slots != NULL && i < client->slot_count; i++)
        lssb_wipe(client->slots[i].hold, client->slots[i].hold_high);
    for (i = 0; client->bridges != NULL && i < client->bridge_count; i++)
        lssb_wipe(client->bridges[i].buffer, client->bridges[i].high);
    lssb_wipe(client, client->plain_size);
    if (given != NULL && port->give != NULL)
        port->give(given, size);
}

/* Makes the parts of a block the client's. */
static void client_adopt(lssb_client *client, const struct client_setup *setup,
                         const struct client_parts *parts)
{
    const lssb_port *port = setup->port;
    uint32_t i;

    client->port_context =
        port->context != NULL ? port->context : parts->context;
    client->host = parts->host;
    client->host_port = setup->url.port;
    client->host_tls = setup->url.tls;
    client->base = parts->base;
    client->api_key = parts->api_key;
    client->tenant_id = parts->tenant_id;
    client->user_agent = parts->user_agent;
    client->no_proxy = parts->no_proxy;
    client->trust.system_file = parts->system_file;
    client->headers = parts->headers;
    client->header_count = setup->config->header_count;
    memcpy(client->proxies, parts->proxies, sizeof client->proxies);
    client->polls = parts->polls;
    client->slots = parts->slots;
    client->slot_count = setup->slots;
    client->bridges = parts->bridges;
    client->bridge_count = setup->streams;
    client->stream_buffer = setup->stream_buffer;
    for (i = 0; i < client->slot_count; i++) {
        struct lssb_conn *conn = &client->slots[i].conn;

        conn->port = port;
        conn->port_context = client->port_context;
        conn->tls = client->tls;
        conn->trust = &client->trust;
        conn->handle = LSSB_NO_HANDLE;
    }
    for (i = client->bridge_count; i-- > 0;) {
        client->bridges[i].handle = LSSB_NO_HANDLE;
        client->bridges[i].next = client->free_bridges;
        client->free_bridges = &client->bridges[i];
    }
}

/* Fills a block with a client. */
static lssb_status client_start(lssb_client **out, void *block,
                                const struct client_layout *measured,
                                const struct client_setup *setup,
                                lssb_error *error)
{
    struct client_layout layout = { NULL, 0, 0 };
    struct client_parts parts;
    lssb_client *client = block;
    lssb_status status;
    int32_t code = 0;

    layout.at = block;
    client->port = setup->port;
    client->tls = setup->tls;
    client->size = measured->used;
    client->plain_size = measured->plain;
    client->given = setup->config->memory == NULL ? block : NULL;
    client_settings(client, setup->config);
    if (error == NULL)
        error = &client->error;
    status = client_lay(&layout, setup, &parts, error);
    client_adopt(client, setup, &parts);
    if (status == LSSB_OK)
        status = client_check(client, error);
    if (status == LSSB_OK && client->port->open != NULL &&
        client->port->open(client->port_context, &code) != LSSB_IO_OK) {
        status = lssb_fail(error, LSSB_E_NO_MEMORY, LSSB_LAYER_CALLER,
                           "the port could not be opened", NULL);
        error->system_code = code;
    }
    if (status != LSSB_OK) {
        client_give(client);
        return status;
    }
    client->now = client->port->now_ms(client->port_context);
    client->stats.slots = client->slot_count;
    *out = client;
    return LSSB_OK;
}

lssb_status lssb_open_why(lssb_client **client, const lssb_config *config,
                          lssb_error *why)
{
    static const lssb_config defaults;
    struct client_layout measured;
    struct client_setup setup;
    lssb_status status;
    void *block;

    if (client == NULL)
        return lssb_fail(why, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                         "client: NULL", NULL);
    *client = NULL;
    status = client_setup(&setup, config != NULL ? config : &defaults, why);
    if (status == LSSB_OK)
        status = client_measure(&measured, &setup, why);
    if (status == LSSB_OK)
        status = client_block(&setup, &measured, &block, why);
    if (status == LSSB_OK)
        status = client_start(client, block, &measured, &setup, why);
    client_forget(&setup);
    return status;
}

lssb_status lssb_open(lssb_client **client, const lssb_config *config)
{
    return lssb_open_why(client, config, NULL);
}

/* -------------------------------------------------------------- the loop -- */

/* Takes an operation that has ended out of the list; `before` is the one that
 * stands before it there, or NULL. */
static void client_retire(lssb_client *client, lssb_op *before, lssb_op *op)
{
    lssb_op *next = op->reserved.state.next;

    if (before != NULL)
        before->reserved.state.next = next;
    else
        client->first = next;
    if (client->last == op)
        client->last = before;
    op->reserved.state.next = NULL;
    if (client->finished_last != NULL)
        client->finished_last->reserved.state.next = op;
    else
        client->finished = op;
    client->finished_last = op;
    client->operations--;
}

/* Steps every operation, also those that callbacks start meanwhile; those that
 * end are to be told, in their order. */
static void client_step_all(lssb_client *client)
{
    lssb_op *before = NULL, *op = client->first;

    while (op != NULL) {
        client->calls->step(op);
        if (op->reserved.state.phase == LSSB_PHASE_FINISHED)
            client_retire(client, before, op);
        else
            before = op;
        op = before != NULL ? before->reserved.state.next : client->first;
    }
}

/* Tells the finished operations, each last of all. */
static void client_tell(lssb_client *client)
{
    lssb_op *op;

    while ((op = client->finished) != NULL) {
        client->finished = op->reserved.state.next;
        if (client->finished == NULL)
            client->finished_last = NULL;
        op->status = (lssb_status)op->reserved.state.outcome;
        if (client->first != NULL)
            client->at_once = true; /* others may have waited for that */
        if (op == client->awaited) {    /* `done` may free it */
            client->awaited = NULL;
            *client->awaited_status = op->status;
        }
        if (op->done == NULL)
            continue;
        op->done(op);
    }
}

/* Ends every connection now. */
static void client_drop_all(lssb_client *client)
{
    uint32_t i;

    for (i = 0; client->calls != NULL && i < client->slot_count; i++)
        client->calls->drop(&client->slots[i].conn, false);
}

/* The end of a client whose connections are closed, or late. */
static void client_end(lssb_client *client)
{
    const lssb_port *port = client->port;
    void *context = client->port_context;
    lssb_op *closer = client->closer;

    client_drop_all(client);
    if (port->close != NULL)
        port->close(context, false);
    client_give(client);
    closer->status = LSSB_OK;
    if (closer->done != NULL)
        closer->done(closer);
}

/* Whether a closing client is through: nothing under way, nothing open. */
static bool client_closed(const lssb_client *client)
{
    uint32_t i;

    if (!client->closing || client->first != NULL)
        return false;
    for (i = 0; i < client->slot_count; i++)
        if (client->slots[i].conn.phase != LSSB_CONN_CLOSED &&
            client->now < client->close_at)
            return false;
    return true;
}

lssb_status lssb_client_step(lssb_client *client, bool *gone)
{
    const lssb_port *port = client->port;

    *gone = false;
    if (client->woken) {
        client->woken = false;
        port->wake_clear(client->port_context);
    }
    client->now = port->now_ms(client->port_context);
    client->at_once = false;
    client->ready_known = client->polled;
    client->polled = false;
    client->in_callback = true;
    client_step_all(client);
    if (client->calls != NULL)
        client->calls->step_slots(client);
    client_tell(client);
    client->in_callback = false;
    if (client_closed(client)) {
        *gone = true;
        client_end(client);
        return LSSB_END;
    }
    if (client->at_once)
        return LSSB_OK;
    return client->first != NULL || client->closing ? LSSB_AGAIN : LSSB_END;
}

lssb_status lssb_step(lssb_client *client)
{
    bool gone;

    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    if (client->in_callback)
        return LSSB_E_IN_CALLBACK;
    return lssb_client_step(client, &gone);
}

/* Milliseconds from now until a time. */
static uint32_t client_until(const lssb_client *client, uint64_t at)
{
    if (at == UINT64_MAX)
        return LSSB_FOREVER;
    if (at <= client->now)
        return 0;
    return at - client->now < LSSB_FOREVER ? (uint32_t)(at - client->now)
                                           : LSSB_FOREVER - 1;
}

/* Lists what to poll, and lowers *wake_at. */
static size_t client_waits(lssb_client *client, uint64_t *wake_at)
{
    size_t count = 0;
    uint32_t i;
    lssb_op *op;

    for (op = client->first; op != NULL; op = op->reserved.state.next) {
        client->calls->waits(op, wake_at);
        if (lssb_call_exchange(op)->polls != NULL)
            count += lssb_call_exchange(op)->polls(op, client->polls + count);
    }
    for (i = 0; i < client->slot_count; i++) {
        struct lssb_slot *slot = &client->slots[i];

        if (slot->conn.phase != LSSB_CONN_CLOSED)
            count += client->calls->conn_waits(&slot->conn,
                                               slot->held == 0 && !slot->full,
                                               client->polls + count, wake_at);
        if (slot->leave != NULL && slot->leave_by < *wake_at)
            *wake_at = slot->leave_by;
    }
    if (client->closing && client->close_at < *wake_at)
        *wake_at = client->close_at;
    if (client->at_once)
        *wake_at = 0;
    return count;
}

size_t lssb_sockets(lssb_client *client, lssb_socket *sockets, size_t max,
                    uint32_t *timeout_ms)
{
    lssb_handle wake = client->port->wake_handle(client->port_context);
    uint64_t wake_at = UINT64_MAX;
    size_t count, i;

    client->now = client->port->now_ms(client->port_context);
    client->woken = true;           /* who knows what that poll will find */
    count = client_waits(client, &wake_at);
    if (wake != LSSB_NO_HANDLE) {
        client->polls[count].handle = wake;
        client->polls[count].read = true;
        client->polls[count].write = false;
        count++;
    }
    for (i = 0; i < count && i < max; i++) {
        sockets[i].handle = client->polls[i].handle;
        sockets[i].read = client->polls[i].read;
        sockets[i].write = client->polls[i].write;
    }
    if (timeout_ms != NULL)
        *timeout_ms = client_until(client, wake_at);
    return count;
}

void lssb_client_sleep(lssb_client *client, uint64_t end_at)
{
    uint64_t wake_at = end_at;
    size_t count = client_waits(client, &wake_at);
    uint32_t ms;
    int32_t code = 0;

    client->now = client->port->now_ms(client->port_context);
    ms = client_until(client, wake_at);
    if (ms > 0 || client->free_bridges != client->bridges)
        client->polled = client->port->wait(client->port_context,
                                            client->polls, count, ms,
                                            &code) == LSSB_IO_OK;
}

lssb_status lssb_wait(lssb_client *client, lssb_op *op, uint32_t wait_ms)
{
    uint64_t end_at = UINT64_MAX;
    lssb_status status = LSSB_PENDING;
    bool gone;

    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    if (client->in_callback)
        return LSSB_E_IN_CALLBACK;
    if (wait_ms != LSSB_FOREVER)
        end_at = client->port->now_ms(client->port_context) + wait_ms;
    if (op != NULL && op->status != LSSB_PENDING)
        return op->status;
    client->awaited = op;
    client->awaited_status = &status;
    for (;;) {
        lssb_client_step(client, &gone);
        if (status != LSSB_PENDING)
            return status;
        if (gone)
            return LSSB_OK;
        if (op == NULL && client->first == NULL && !client->closing)
            return LSSB_OK;
        if (client->now >= end_at)
            break;
        lssb_client_sleep(client, end_at);
    }
    client->awaited = NULL;
    return LSSB_AGAIN;
}

/* ------------------------------------------------------ ending, counting -- */

/* Marks an operation; its own thread may be looking at that moment. */
static void client_mark_canceled(lssb_op *op)
{
#if defined(__GNUC__)
    __atomic_store_n(&op->reserved.state.canceled, 1, __ATOMIC_RELEASE);
#else
    op->reserved.state.canceled = 1;
#endif
}

void lssb_cancel(lssb_op *op)
{
    if (op == NULL || op->status != LSSB_PENDING ||
        op->reserved.state.client == NULL)
        return;
    client_mark_canceled(op);
    op->reserved.state.client->at_once = true;
}

void lssb_post_cancel(lssb_op *op)
{
    lssb_client *client;

    if (op == NULL)
        return;
    client = op->reserved.state.client;
    if (client == NULL)
        return;
    client_mark_canceled(op);
    client->port->wake(client->port_context);
}

lssb_status lssb_close(lssb_client *client, lssb_op *op)
{
    lssb_op own, *closer = op != NULL ? op : &own, *each;
    uint32_t i;

    if (client == NULL)
        return LSSB_OK;
    if (client->in_callback)
        return LSSB_E_IN_CALLBACK;
    if (client->closing || (op != NULL && op->status == LSSB_PENDING))
        return LSSB_E_BUSY;
    if (op == NULL)
        memset(&own, 0, sizeof own);
    memset(&closer->reserved, 0, sizeof closer->reserved);
    closer->status = LSSB_PENDING;
    client->closer = closer;
    client->closing = true;
    client->now = client->port->now_ms(client->port_context);
    client->close_at = client->now + CLIENT_CLOSE_MS;
    for (each = client->first; each != NULL; each = each->reserved.state.next)
        lssb_cancel(each);
    for (i = 0; client->calls != NULL && i < client->slot_count; i++)
        if (client->slots[i].op == NULL)
            client->calls->close(&client->slots[i].conn, client->close_at);
    client->at_once = true;
    return op != NULL ? LSSB_PENDING : lssb_wait(client, closer, LSSB_FOREVER);
}

void lssb_abandon(lssb_client *client)
{
    uint32_t i;

    if (client == NULL)
        return;
    client_drop_all(client);
    for (i = 0; i < client->bridge_count; i++)
        if (client->bridges[i].handle != LSSB_NO_HANDLE)
            client->port->close_handle(client->port_context,
                                       client->bridges[i].handle, false);
    if (client->port->close != NULL)
        client->port->close(client->port_context, true);
    client_give(client);
}

const lssb_error *lssb_last_error(const lssb_client *client)
{
    static const lssb_error none;

    return client != NULL ? &client->error : &none;
}

const char *lssb_error_text(const lssb_client *client)
{
    return client != NULL ? client->error.message : "";
}

void lssb_features(lssb_feature_list *features)
{
    memset(features, 0, sizeof *features);
    features->version = LSSB_VERSION;
    features->tls = lssb_default_tls != NULL ? lssb_default_tls->name : "none";
    features->receive_buffer = LSSB_RECEIVE_BUFFER;
    features->send_buffer = LSSB_SEND_BUFFER;
    features->element = LSSB_ELEMENT;
    features->trace = LSSB_TRACE != 0;
    features->hold = LSSB_HOLD;
    features->websocket = LSSB_WEBSOCKET != 0;
    features->tunnel = LSSB_TUNNEL != 0;
}

void lssb_stats(const lssb_client *client, lssb_stats_list *stats)
{
    memset(stats, 0, sizeof *stats);
    if (client != NULL)
        *stats = client->stats;
}
