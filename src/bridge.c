/* bridge.c: local sockets at the near end of a tunnel's streams.
 *
 * SPDX-License-Identifier: MIT
 *
 * A listener makes a bridge of every connection that it accepts. Bytes from a
 * local socket are received straight into the connection's record, bytes for
 * it are sent straight from what was received; only what it does not take at
 * once waits in the bridge's buffer. An end is passed on as an end, a reset as
 * a reset.
 */
#include "internal.h"

#if LSSB_TUNNEL

#define BRIDGE_ACCEPTS 16           /* in a row, before others' turn */
#define BRIDGE_ADDRESS "127.0.0.1"  /* where it listens if nobody says */
#define BRIDGE_PAUSE_MS 100         /* when the system has no room for more */

static lssb_client *bridge_client(const struct lssb_bridge *bridge)
{
    return bridge->tunnel->client;
}

/* ------------------------------------------------------------ local sockets */

/* The local socket failed. */
static void bridge_broke(struct lssb_bridge *bridge)
{
    lssb_bridge_end(bridge, LSSB_E_TUNNEL, "the local connection was reset");
}

/* Sends to the local socket; how many bytes it took, less than 0: it failed. */
static ptrdiff_t bridge_send(struct lssb_bridge *bridge, const uint8_t *bytes,
                             size_t len)
{
    lssb_client *client = bridge_client(bridge);
    int32_t code = 0;
    size_t done = 0;

    while (done < len && bridge->writable) {
        ptrdiff_t n = client->port->send(client->port_context, bridge->handle,
                                         bytes + done, len - done, &code);

        if (n < 0 && n != LSSB_IO_AGAIN)
            return n;
        if (n > 0)
            done += (size_t)n;
        else
            bridge->writable = false;
    }
    return (ptrdiff_t)done;
}

/* Bytes for the local socket: what it does not take now goes behind what
 * waits already. */
static size_t bridge_take(struct lssb_bridge *bridge, const uint8_t *bytes,
                          size_t len, size_t *gone)
{
    ptrdiff_t sent = 0;

    if (bridge->len == 0)
        sent = bridge_send(bridge, bytes, len);
    if (sent < 0) {
        bridge_broke(bridge);
        *gone = len;
        return len;
    }
    *gone = (size_t)sent;
    return *gone + lssb_bridge_store(bridge, bytes + *gone, len - *gone);
}

/* Sends what waits; false: the socket failed. */
static bool bridge_flush(struct lssb_bridge *bridge)
{
    while (bridge->len > 0 && bridge->writable) {
        size_t len;
        const uint8_t *look = lssb_bridge_look(bridge, &len);
        ptrdiff_t sent = bridge_send(bridge, look, len);

        if (sent < 0)
            return false;
        lssb_bridge_consumed(bridge, (size_t)sent);
    }
    return true;
}

/* Passes the peer's end on, behind all that came before it. */
static bool bridge_pass_end(struct lssb_bridge *bridge)
{
    lssb_client *client = bridge_client(bridge);
    int32_t code = 0;

    if (!bridge->stream.peer_finished || bridge->len > 0 || bridge->shut)
        return true;
    bridge->shut = true;
    return bridge->listen->finish(client->port_context, bridge->handle,
                                  &code) == LSSB_IO_OK;
}

static void bridge_step(struct lssb_bridge *bridge)
{
    if (!bridge_flush(bridge) || !bridge_pass_end(bridge)) {
        bridge_broke(bridge);
        return;
    }
    if (bridge->shut && bridge->stream.finished) {
        lssb_bridge_end(bridge, LSSB_OK, NULL);
        return;
    }
    if (bridge->readable && bridge->tunnel->connected)
        lssb_yamux_want(lssb_bridge_session(bridge), &bridge->stream, true);
}

/* Bytes of the local socket that are to go. */
static ptrdiff_t bridge_pull(struct lssb_bridge *bridge, uint8_t *room,
                             size_t len)
{
    lssb_client *client = bridge_client(bridge);
    int32_t code = 0;
    ptrdiff_t n = client->port->receive(client->port_context, bridge->handle,
                                        room, len, &code);

    if (n == LSSB_IO_AGAIN)
        bridge->readable = false;
    return n;
}

static bool bridge_poll(const struct lssb_bridge *bridge, lssb_poll *entry)
{
    if (bridge->phase != LSSB_BRIDGE_OPEN)
        return false;
    entry->write = bridge->len > 0 && !bridge->writable;
    entry->read = !bridge->readable && !bridge->stream.finished &&
                  bridge->stream.send_window > 0;
    return entry->read || entry->write;
}

/* Whether the local socket was reset: a socket that is open takes the question
 * of one that connects. */
static bool bridge_is_broken(const struct lssb_bridge *bridge)
{
    lssb_client *client = bridge_client(bridge);
    int32_t code = 0;
    lssb_io io = client->port->connected(client->port_context, bridge->handle,
                                         &code);

    return io != LSSB_IO_OK && io != LSSB_IO_AGAIN;
}

static void bridge_close(struct lssb_bridge *bridge, bool reset)
{
    lssb_client *client = bridge_client(bridge);

    client->port->close_handle(client->port_context, bridge->handle, reset);
    bridge->handle = LSSB_NO_HANDLE;
    if (bridge->listener != NULL)
        bridge->listener->active--;
    bridge->listener = NULL;
}

static const struct lssb_bridge_kind bridge_kind = {
    .announced = true,
    .step = bridge_step,
    .take = bridge_take,
    .pull = bridge_pull,
    .poll = bridge_poll,
    .is_broken = bridge_is_broken,
    .end = bridge_close
};

/* -------------------------------------------------------------- listeners */

/* Whether there is room for one more connection. */
static bool bridge_may_accept(const struct lssb_bridge *listener)
{
    return listener->due_at == 0 &&
           (listener->most == 0 || listener->active < listener->most) &&
           lssb_bridge_any(listener->tunnel);
}

/* Takes over a connection that was accepted. */
static void bridge_begin(struct lssb_bridge *listener, lssb_handle handle)
{
    struct lssb_bridge *bridge =
        lssb_bridge_take(listener->tunnel, &bridge_kind, listener->port);

    if (bridge == NULL) {
        bridge_client(listener)->port->close_handle(
            bridge_client(listener)->port_context, handle, true);
        return;
    }
    bridge->handle = handle;
    bridge->listen = listener->listen;
    bridge->listener = listener;
    bridge->readable = true;
    bridge->writable = true;
    listener->active++;
    lssb_bridge_queue(bridge);
}

static void bridge_accept(struct lssb_bridge *listener)
{
    lssb_client *client = bridge_client(listener);
    lssb_handle handle;
    int32_t code = 0;
    int i;

    for (i = 0; i < BRIDGE_ACCEPTS && listener->readable; i++) {
        lssb_io io;

        if (!bridge_may_accept(listener))
            return;
        io = listener->listen->accept(client->port_context, listener->handle,
                                      &handle, &code);
        if (io == LSSB_IO_OK)
            bridge_begin(listener, handle);
        else if (io != LSSB_IO_RESET)
            listener->readable = false;
        if (io != LSSB_IO_OK && io != LSSB_IO_RESET && io != LSSB_IO_AGAIN)
            listener->due_at = client->now + BRIDGE_PAUSE_MS;
    }
    if (listener->readable)
        client->at_once = true;
}

static bool bridge_poll_listener(const struct lssb_bridge *listener,
                                 lssb_poll *entry)
{
    entry->read = !listener->readable && bridge_may_accept(listener);
    return entry->read;
}

static void bridge_close_listener(struct lssb_bridge *listener, bool reset)
{
    lssb_client *client = bridge_client(listener);
    lssb_listener *owner = listener->owner;
    struct lssb_bridge *bridge = listener->tunnel->reserved.state.bridges;

    (void)reset;
    client->port->close_handle(client->port_context, listener->handle, false);
    listener->handle = LSSB_NO_HANDLE;
    if (listener->buffer[0] != '\0')
        listener->listen->remove_path(client->port_context,
                                      (const char *)listener->buffer);
    for (; bridge != NULL; bridge = bridge->next)
        if (bridge->listener == listener)
            bridge->listener = NULL;
    if (owner != NULL)
        owner->bridge = NULL;
    listener->owner = NULL;
}

static const struct lssb_bridge_kind bridge_listener_kind = {
    .step = bridge_accept,
    .poll = bridge_poll_listener,
    .end = bridge_close_listener
};

/* What is wrong with the options of a listener, or NULL. Reads the address; of
 * a Unix socket its family is 0. */
static const char *bridge_wrong(const lssb_listen_options *options,
                                lssb_address *address)
{
    const char *text = options->address;

    memset(address, 0, sizeof *address);
    if (options->port == 0)
        return "port: a port in the box, 1 to 65,535, was expected";
    if (options->local_port < LSSB_ANY_PORT || options->local_port > 65535)
        return "local_port: 0 to 65,535, or LSSB_ANY_PORT, was expected";
    if (text != NULL && text[0] == '/')
        return strlen(text) < LSSB_STREAM_BUFFER_LEAST
                   ? NULL
                   : "address: the path is too long";
    if (text == NULL)
        text = BRIDGE_ADDRESS;
    if (!lssb_parse_address(text, strlen(text), address))
        return "address: an IP address, or a path that begins with a slash, "
               "was expected";
    address->port = options->port;
    if (options->local_port != 0)
        address->port = (uint16_t)(options->local_port == LSSB_ANY_PORT
                                       ? 0
                                       : options->local_port);
    return NULL;
}

/* Why a socket does not listen, in words: at an address, or at a path. */
static const char *bridge_no_listener(lssb_io io, bool at_path)
{
    switch ((int)io) {
    case LSSB_IO_IN_USE:
        return at_path ? "the path is taken: by a socket that is listened on, "
                         "or was made a moment ago, or by what is no socket "
                         "of this user's"
                       : "the local address is in use";
    case LSSB_IO_UNSUPPORTED:
        return "the port layer cannot listen there";
    case LSSB_IO_UNREACHABLE:
        return at_path ? "the path is too long for a Unix socket"
                       : "this machine has no such address";
    case LSSB_IO_NOT_FOUND:
        return "the folder that the Unix socket was to be in is not there";
    case LSSB_IO_LIMIT:
        return "the system has no room for another socket";
    }
    return at_path ? "the system refuses a Unix socket there"
                   : "the system refuses that address";
}

/* Where it was to listen: "listen at 127.0.0.1, port 80", or at a path. */
static void bridge_where(char *place, size_t size,
                         const lssb_listen_options *options,
                         const lssb_address *address)
{
    struct lssb_text text;

    lssb_text_start(&text, place, size);
    lssb_text_add(&text, "listen at ");
    lssb_text_add(&text, options->address != NULL ? options->address
                                                  : BRIDGE_ADDRESS);
    if (address->family == 0)
        return;
    lssb_text_add(&text, ", port ");
    lssb_text_add_u64(&text, address->port);
}

/* Why a socket does not listen. */
static lssb_status bridge_not_listening(lssb_client *client,
                                        const lssb_listen_options *options,
                                        const lssb_address *address,
                                        lssb_io io, int32_t code)
{
    lssb_status status = LSSB_E_CONNECTION;
    char where[128];

    if (io == LSSB_IO_IN_USE)
        status = LSSB_E_PORT_IN_USE;
    else if (io == LSSB_IO_UNSUPPORTED)
        status = LSSB_E_UNSUPPORTED;
    bridge_where(where, sizeof where, options, address);
    lssb_tunnel_refuse(client, NULL, status, where,
                       bridge_no_listener(io, address->family == 0));
    client->error.layer = LSSB_LAYER_TUNNEL;
    client->error.system_code = code;
    return status;
}

/* Has the port listen. */
static lssb_io bridge_listen(lssb_client *client,
                             const struct lssb_listen_port *listen,
                             const char *path, const lssb_address *address,
                             lssb_handle *handle, uint16_t *port,
                             int32_t *code)
{
    if (listen->version != LSSB_PORT_VERSION)
        return LSSB_IO_UNSUPPORTED;
    if (address->family != 0)
        return listen->listen(client->port_context, address, handle, port,
                              code);
    if (listen->listen_path == NULL)
        return LSSB_IO_UNSUPPORTED;
    return listen->listen_path(client->port_context, path, handle, code);
}

/* Fills in a bridge that listens. */
static void bridge_set_up(struct lssb_bridge *bridge,
                          const lssb_listen_options *options,
                          const char *path, lssb_listener *listener)
{
    size_t len = path != NULL ? strlen(path) : 0;

    if (len > 0)
        memcpy(bridge->buffer, path, len);
    bridge->buffer[len] = '\0';
    if (bridge->high < len + 1)
        bridge->high = (uint32_t)len + 1;
    bridge->phase = LSSB_BRIDGE_LISTENING;
    bridge->most = options->most;
    bridge->owner = listener;
    bridge->readable = true;
    listener->bridge = bridge;
    bridge_client(bridge)->at_once = true;
}

lssb_status lssb_tunnel_listen(lssb_tunnel *tunnel,
                               const lssb_listen_options *options,
                               lssb_listener *listener)
{
    const struct lssb_listen_port *listen;
    lssb_client *client = tunnel != NULL ? tunnel->client : NULL;
    struct lssb_bridge *bridge;
    lssb_address address;
    const char *wrong;
    int32_t code = 0;
    lssb_io io;

    if (listener != NULL)
        memset(listener, 0, sizeof *listener);
    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    wrong = options == NULL    ? "options: NULL"
            : listener == NULL ? "listener: NULL"
                               : bridge_wrong(options, &address);
    if (wrong != NULL)
        return lssb_tunnel_refuse(client, NULL, LSSB_E_INVALID_ARGUMENT,
                                  "listen", wrong);
    if (tunnel->status != LSSB_OK || client->closing)
        return lssb_tunnel_refuse(client, NULL, LSSB_E_TUNNEL, "listen",
                                  "the tunnel is not open");
    listener->tunnel = tunnel;
    bridge = lssb_bridge_take(tunnel, &bridge_listener_kind, options->port);
    if (bridge == NULL)
        return lssb_tunnel_refuse(client, NULL, LSSB_E_NO_MEMORY, "listen",
                                  "every one of lssb_config.streams is taken");
    listen = options->listen != NULL ? options->listen
                                     : &lssb_default_listen_port;
    bridge->listen = listen;
    io = bridge_listen(client, listen, options->address, &address,
                       &bridge->handle, &listener->port, &code);
    if (io == LSSB_IO_OK) {
        bridge_set_up(bridge, options,
                      address.family == 0 ? options->address : NULL, listener);
        return LSSB_OK;
    }
    bridge->phase = LSSB_BRIDGE_OVER;   /* swept with the others */
    return bridge_not_listening(client, options, &address, io, code);
}

void lssb_listener_close(lssb_listener *listener)
{
    struct lssb_bridge *bridge;

    if (listener == NULL || listener->bridge == NULL)
        return;
    bridge = listener->bridge;
    lssb_bridge_end(bridge, LSSB_OK, NULL);
    lssb_tunnel_push(bridge->tunnel);
}

#endif
