/* tunnel.c: connections to a box's ports, through a WebSocket (PROTOCOL 6).
 *
 * SPDX-License-Identifier: MIT
 *
 * A session of streams (src/yamux.c, in the server's role); each stream is
 * bridged to a TCP connection of its own. Ends and resets go through in both
 * directions. A service is read only when the client can take what comes; what
 * the client sends is stored as far as its stream's window goes, until the
 * service takes it, so that a slow service slows its own stream alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

#define TUNNEL_PIECE 16384          /* bytes of a frame, about */
#define TUNNEL_OUT (TUNNEL_PIECE + 64 * LSSB_YAMUX_HEADER)
#define TUNNEL_BACKLOG 256          /* streams whose ACK has not been sent */
#define TUNNEL_HEADER_MS 30000      /* for the connect header */
#define TUNNEL_DIAL_MS 10000        /* for the service to accept */
#define TUNNEL_END_MS 10000         /* for the client's end, once refused */
#define TUNNEL_WIDE 16              /* streams whose windows may grow, … */
#define TUNNEL_WINDOW_MOST (4 * 1024 * 1024)    /* … so far */

/* The connect header: a version, a port. */
#define TUNNEL_HEADER 3
#define TUNNEL_VERSION 1

/* The first byte of an answer. */
enum tunnel_status {
    TUNNEL_CONNECTED = 0,
    TUNNEL_NOT_ALLOWED = 1,
    TUNNEL_NOT_DIALED = 2,
    TUNNEL_WRONG_VERSION = 3
};

enum bridge_state {
    BRIDGE_HEADER,                  /* waits for the connect header */
    BRIDGE_DIALING,
    BRIDGE_OPEN,
    BRIDGE_REFUSED,                 /* what still comes is thrown away */
    BRIDGE_OVER                     /* its stream may have a frame to send */
};

/* A stream, and its connection. */
struct bridge {
    struct lssb_yamux_stream stream;
    struct bridge *next;
    struct tunnel *tunnel;
    struct watch watch;             /* its fd is -1 without a connection */
    struct timer timer;
    enum bridge_state state;
    uint8_t header[TUNNEL_HEADER];
    size_t header_len;
    uint8_t status;
    bool due;                       /* the status is to be sent */
    bool answered;                  /* it is sent */
    bool v6;                        /* ::1 is dialed, 127.0.0.1 was */
    bool faulty;                    /* it meets the connection's fault */
    bool ended;                     /* the service sends no more */
    bool shut;                      /* it was told that the client does not */
    bool deaf;                      /* it takes no more */
    uint64_t sent;                  /* bytes to the client */
    struct bytes unsent;            /* to the service */
    size_t unsent_from;
};

/* A WebSocket, and its streams. */
struct tunnel {
    struct tunnel *next;
    struct sandboxd *d;
    struct box *box;
    struct websocket *socket;
    struct lssb_yamux session;
    struct timer timer;             /* pings */
    struct timer farewell;          /* the end of leaving */
    struct bridge *bridges;
    size_t count;
    size_t unacked;                 /* of them, without their ACK */
    size_t over;                    /* of them, to be freed */
    int64_t met;                    /* of them, with a fault */
    bool leaving;                   /* go away was said */
    bool stuck;                     /* input waits for room for output */
    struct bytes held;              /* what of it came already */
    uint8_t out[TUNNEL_OUT];
};

/* ------------------------------------------------------------------- ports */

/* The next entry of a list, "80" or "8000-8999"; false: it is none. */
static bool ports_next(const char **list, uint64_t *from, uint64_t *to)
{
    size_t len = strcspn(*list, ","), dash = strcspn(*list, "-,");
    const char *entry = *list;

    *list += len;
    if (**list == ',')
        (*list)++;
    if (!lssb_parse_u64(entry, dash, from))
        return false;
    *to = *from;
    if (dash < len && !lssb_parse_u64(entry + dash + 1, len - dash - 1, to))
        return false;
    return *from > 0 && *from <= *to && *to <= 65535;
}

/* Whether a text is a list of ports. One that is empty allows none. */
bool tunnel_ports_valid(const char *list)
{
    uint64_t from, to;

    while (*list != '\0') {
        if (!ports_next(&list, &from, &to))
            return false;
    }
    return true;
}

/* Whether a list (NULL: all there are) has the port. */
static bool ports_have(const char *list, uint16_t port)
{
    uint64_t from, to;

    if (list == NULL)
        return port != 0;
    while (*list != '\0') {
        if (ports_next(&list, &from, &to) && port >= from && port <= to)
            return true;
    }
    return false;
}

/* ----------------------------------------------------------------- bridges */

/* The stream's side of what the tunnel is told to do wrong; NULL: nothing. */
static const struct fault *bridge_fault(const struct bridge *bridge,
                                        const char *what)
{
    const struct fault *fault = bridge->tunnel->socket->exchange->fault;

    return bridge->faulty && strcmp(fault->stream, what) == 0 ? fault : NULL;
}

/* Closes the connection: in order, or with a reset. */
static void bridge_hang_up(struct bridge *bridge, bool reset)
{
    struct linger hard = {1, 0};

    if (bridge->watch.fd < 0)
        return;
    loop_unwatch(&bridge->tunnel->d->loop, &bridge->watch);
    if (reset)
        setsockopt(bridge->watch.fd, SOL_SOCKET, SO_LINGER, &hard,
                   sizeof hard);
    close(bridge->watch.fd);
    bridge->watch.fd = -1;
    bridge->watch.read = bridge->watch.write = false;
}

/* Ends a bridge; it is freed when its stream has nothing to send any more. A
 * box is idle only when none is open. */
static void bridge_end(struct bridge *bridge, bool reset)
{
    struct box *box = bridge->tunnel->box;

    if (bridge->state == BRIDGE_OVER)
        return;
    bridge_hang_up(bridge, reset);
    loop_cancel(&bridge->tunnel->d->loop, &bridge->timer);
    bytes_free(&bridge->unsent);
    if (bridge->state == BRIDGE_OPEN) {
        box->bridges--;
        box_touch(box);
    }
    bridge->state = BRIDGE_OVER;
    bridge->tunnel->over++;
}

/* Resets both the stream and the connection. */
static void bridge_reset(struct bridge *bridge)
{
    lssb_yamux_reset(&bridge->tunnel->session, &bridge->stream);
    bridge_end(bridge, true);
}

/* Ends the bridge once nothing can come or go on it. */
static void bridge_look(struct bridge *bridge)
{
    bool stored = bridge->unsent_from < bridge->unsent.len;

    if (bridge->state == BRIDGE_REFUSED && bridge->answered &&
        bridge->stream.peer_finished)
        bridge_end(bridge, false);
    if (bridge->state != BRIDGE_OPEN)
        return;
    bridge->watch.write = stored;
    if (stored || !bridge->stream.peer_finished)
        return;
    if (!bridge->shut)
        shutdown(bridge->watch.fd, SHUT_WR);
    bridge->shut = true;
    if (bridge->ended)
        bridge_end(bridge, false);
}

/* The status may go now. A fault puts something else in its place. */
static void bridge_answer_now(struct bridge *bridge)
{
    struct lssb_yamux *session = &bridge->tunnel->session;
    const struct fault *fault = bridge_fault(bridge, "status");

    if (fault != NULL)
        bridge->status = (uint8_t)fault->code;
    fault = bridge_fault(bridge, "reset");
    if (fault != NULL && fault->after <= 0) {
        bridge_reset(bridge);
        return;
    }
    fault = bridge_fault(bridge, "finish");
    if (fault != NULL && fault->after <= 0) {
        lssb_yamux_finish(session, &bridge->stream);
        bridge_end(bridge, true);
        return;
    }
    bridge->due = true;
    lssb_yamux_want(session, &bridge->stream, true);
}

/* The stream's state is decided, and its status. */
static void bridge_answer(struct bridge *bridge, enum tunnel_status status)
{
    struct sandboxd *d = bridge->tunnel->d;
    const struct fault *fault = bridge_fault(bridge, "slow");

    bridge->status = (uint8_t)status;
    if (status == TUNNEL_CONNECTED) {
        bridge->state = BRIDGE_OPEN;
        bridge->tunnel->box->bridges++;
        box_touch(bridge->tunnel->box);
    } else {
        bridge->state = BRIDGE_REFUSED;
        bridge_hang_up(bridge, true);
        lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream,
                            bridge->unsent.len);
        bytes_free(&bridge->unsent);
    }
    loop_cancel(&d->loop, &bridge->timer);
    if (fault != NULL)
        loop_at(&d->loop, &bridge->timer, now_ms() + (uint64_t)fault->delay);
    else
        bridge_answer_now(bridge);
}

/* ----------------------------------------------------------------- dialing */

/* Begins to connect to one of the loopback addresses. */
static bool bridge_connect(struct bridge *bridge)
{
    uint16_t port = (uint16_t)(bridge->header[1] << 8 | bridge->header[2]);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int one = 1, fd, got;

    memset(&v4, 0, sizeof v4);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&v6, 0, sizeof v6);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    fd = socket(bridge->v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    set_nonblocking(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    got = bridge->v6 ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
                     : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    if (got != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    bridge->watch.fd = fd;
    bridge->watch.write = true;
    loop_watch(&bridge->tunnel->d->loop, &bridge->watch);
    return true;
}

/* Dials the next address; with none left, says so. */
static void bridge_dial(struct bridge *bridge, bool again)
{
    bridge_hang_up(bridge, false);
    if (!again && bridge_connect(bridge))
        return;
    if (!bridge->v6) {
        bridge->v6 = true;
        if (bridge_connect(bridge))
            return;
    }
    bridge_answer(bridge, TUNNEL_NOT_DIALED);
}

/* The connection has come about, or not. */
static void bridge_dialed(struct bridge *bridge)
{
    int why = 0;
    socklen_t len = sizeof why;

    if (getsockopt(bridge->watch.fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0 ||
        why != 0) {
        bridge_dial(bridge, true);
        return;
    }
    bridge_answer(bridge, TUNNEL_CONNECTED);
}

/* The header is there. */
static void bridge_header(struct bridge *bridge)
{
    struct tunnel *tunnel = bridge->tunnel;
    uint16_t port = (uint16_t)(bridge->header[1] << 8 | bridge->header[2]);

    if (bridge->header[0] != TUNNEL_VERSION) {
        bridge_answer(bridge, TUNNEL_WRONG_VERSION);
    } else if (!ports_have(tunnel->d->settings.tunnel_ports, port)) {
        bridge_answer(bridge, TUNNEL_NOT_ALLOWED);
    } else {
        bridge->state = BRIDGE_DIALING;
        loop_at(&tunnel->d->loop, &bridge->timer, now_ms() + TUNNEL_DIAL_MS);
        bridge_dial(bridge, false);
    }
}

/* ------------------------------------------------- from client to service */

/* The service takes no more bytes. What it still says is passed on; when it
 * has said all, the client is told that its bytes are lost. */
static void bridge_deafen(struct bridge *bridge)
{
    lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream,
                        bridge->unsent.len - bridge->unsent_from);
    bytes_free(&bridge->unsent);
    bridge->unsent_from = 0;
    bridge->deaf = true;
    if (bridge->ended)
        bridge_reset(bridge);
}

/* Sends bytes to the service; how many it has taken. */
static size_t bridge_put(struct bridge *bridge, const uint8_t *bytes,
                         size_t len)
{
    size_t at = 0;

    while (at < len && !bridge->deaf) {
        ssize_t put = send(bridge->watch.fd, bytes + at, len - at, 0);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (put < 0)
            bridge_deafen(bridge);
        else
            at += (size_t)put;
    }
    lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream, at);
    return at;
}

/* Sends what is stored. */
static void bridge_flush(struct bridge *bridge)
{
    size_t len = bridge->unsent.len - bridge->unsent_from;
    const char *at = bridge->unsent.at;

    if (len == 0)
        return;
    bridge->unsent_from +=
        bridge_put(bridge, (const uint8_t *)at + bridge->unsent_from, len);
    if (bridge->unsent_from >= bridge->unsent.len) {
        bytes_free(&bridge->unsent);
        bridge->unsent_from = 0;
    }
}

/* Stores bytes. What was sent gives way, so that a window is enough. */
static void bridge_store(struct bridge *bridge, const uint8_t *bytes,
                         size_t len)
{
    struct bytes *unsent = &bridge->unsent;

    if (len == 0)
        return;
    if (bridge->unsent_from > unsent->len / 2) {
        unsent->len -= bridge->unsent_from;
        memmove(unsent->at, unsent->at + bridge->unsent_from, unsent->len);
        bridge->unsent_from = 0;
    }
    bytes_add(unsent, bytes, len);
}

/* Bytes for the service, which is there. */
static void bridge_pass(struct bridge *bridge, const uint8_t *bytes,
                        size_t len)
{
    size_t put = 0;

    if (bridge->unsent.len == 0)
        put = bridge_put(bridge, bytes, len);
    if (!bridge->deaf)
        bridge_store(bridge, bytes + put, len - put);
    else if (bridge->ended)
        bridge_reset(bridge);
    else
        lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream,
                            len - put);
}

/* Bytes have come on a stream. */
static void bridge_take(struct bridge *bridge, const uint8_t *bytes,
                        size_t len)
{
    size_t n = 0;

    if (bridge->state == BRIDGE_HEADER) {
        n = TUNNEL_HEADER - bridge->header_len;
        n = n < len ? n : len;
        memcpy(bridge->header + bridge->header_len, bytes, n);
        bridge->header_len += n;
        lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream, n);
        if (bridge->header_len < TUNNEL_HEADER)
            return;
        bridge_header(bridge);
    }
    if (bridge->state == BRIDGE_DIALING)
        bridge_store(bridge, bytes + n, len - n);
    else if (bridge->state == BRIDGE_OPEN && len > n)
        bridge_pass(bridge, bytes + n, len - n);
    else
        lssb_yamux_consumed(&bridge->tunnel->session, &bridge->stream,
                            len - n);
}

/* ------------------------------------------------- from service to client */

/* Reads from the service: what it gave, behind `len` bytes; the end and errors
 * are taken note of. *more: there may be more at once. */
static size_t bridge_read(struct bridge *bridge, uint8_t *to, size_t room,
                          bool *more, bool *broken)
{
    ssize_t got;

    *more = *broken = false;
    if (bridge->state != BRIDGE_OPEN || bridge->ended)
        return 0;
    *more = true;
    if (room == 0)
        return 0;
    got = recv(bridge->watch.fd, to, room, 0);
    if (got > 0)
        return (size_t)got;
    if (got < 0 && errno == EINTR)
        return 0;
    *more = false;
    if (got == 0)
        bridge->ended = true;
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        *broken = true;
    else
        bridge->watch.read = true;
    return 0;
}

/* A stream that was reset, or ended early, on purpose. */
static void bridge_misbehave(struct bridge *bridge)
{
    struct lssb_yamux *session = &bridge->tunnel->session;
    const struct fault *fault = bridge_fault(bridge, "reset");

    if (fault != NULL && bridge->sent >= (uint64_t)fault->after) {
        bridge_reset(bridge);
        return;
    }
    fault = bridge_fault(bridge, "finish");
    if (fault != NULL && bridge->sent >= (uint64_t)fault->after) {
        lssb_yamux_finish(session, &bridge->stream);
        bridge_end(bridge, true);
        return;
    }
    fault = bridge_fault(bridge, "away");
    if (fault != NULL && bridge->sent >= (uint64_t)fault->after &&
        !session->going_away)
        lssb_yamux_go_away(session, (enum lssb_yamux_code)fault->code);
}

/* The stream's turn: writes a frame, unless there is nothing to say. Returns
 * its length. */
static size_t bridge_send(struct bridge *bridge, uint8_t *out, size_t room,
                          size_t most)
{
    struct lssb_yamux *session = &bridge->tunnel->session;
    uint8_t *data = out + LSSB_YAMUX_HEADER;
    size_t len = 0;
    bool more, broken;

    most = most < room - LSSB_YAMUX_HEADER ? most : room - LSSB_YAMUX_HEADER;
    if (bridge->due) {
        data[len++] = bridge->status;
        bridge->due = false;
        bridge->answered = true;
    }
    len += bridge_read(bridge, data + len, most - len, &more, &broken);
    if (len > 0)
        lssb_yamux_commit(session, len, out);
    bridge->sent += len;
    if (broken) {
        bridge_reset(bridge);
    } else if (bridge->ended || bridge->state == BRIDGE_REFUSED) {
        lssb_yamux_finish(session, &bridge->stream);
        if (bridge->state == BRIDGE_REFUSED)
            loop_at(&bridge->tunnel->d->loop, &bridge->timer,
                    now_ms() + TUNNEL_END_MS);
    } else if (!more) {
        lssb_yamux_want(session, &bridge->stream, false);
    }
    bridge_misbehave(bridge);
    bridge_look(bridge);
    return len > 0 ? len + LSSB_YAMUX_HEADER : 0;
}

/* ----------------------------------------------------------------- tunnels */

/* Sends a message; a fault may ask for shorter ones. */
static void tunnel_say(struct tunnel *tunnel, size_t len)
{
    const struct fault *fault = tunnel->socket->exchange->fault;
    size_t most = fault != NULL && fault->messages > 0
                      ? (size_t)fault->messages
                      : sizeof tunnel->out;
    size_t at = 0;

    for (; len - at > most; at += most)
        socket_send(tunnel->socket, LSSB_WS_BINARY, tunnel->out + at, most);
    socket_send(tunnel->socket, LSSB_WS_BINARY, tunnel->out + at, len - at);
}

/* Sends what there is, as far as there is room: whole frames. */
static void tunnel_pump(struct tunnel *tunnel)
{
    struct lssb_yamux *session = &tunnel->session;
    struct lssb_yamux_stream *stream;
    uint32_t most;
    size_t n;

    while (socket_room(tunnel->socket) > 0) {
        n = lssb_yamux_control(session, tunnel->out, sizeof tunnel->out);
        if (!lssb_yamux_has_control(session))
            tunnel->unacked = 0;
        stream = lssb_yamux_turn(session, &most);
        if (stream != NULL && sizeof tunnel->out - n > LSSB_YAMUX_HEADER)
            n += bridge_send(stream->user, tunnel->out + n,
                             sizeof tunnel->out - n, most);
        else if (n == 0)
            break;
        if (n > 0)
            tunnel_say(tunnel, n);
    }
}

/* Frees the bridges that are over, or all. */
static void tunnel_sweep(struct tunnel *tunnel, bool all)
{
    struct bridge **link = &tunnel->bridges, *bridge;

    if (tunnel->over == 0 && !all)
        return;
    while ((bridge = *link) != NULL) {
        if (all)
            bridge_end(bridge, true);
        if (bridge->state != BRIDGE_OVER || (bridge->stream.id != 0 && !all)) {
            link = &bridge->next;
            continue;
        }
        *link = bridge->next;
        tunnel->over--;
        tunnel->count--;
        free(bridge);
    }
}

/* Frees a tunnel: every connection is reset. */
static void tunnel_free(struct tunnel *tunnel)
{
    struct tunnel **link = &tunnel->d->tunnels;

    while (*link != tunnel)
        link = &(*link)->next;
    *link = tunnel->next;
    tunnel_sweep(tunnel, true);
    loop_cancel(&tunnel->d->loop, &tunnel->timer);
    loop_cancel(&tunnel->d->loop, &tunnel->farewell);
    bytes_free(&tunnel->held);
    free(tunnel);
}

/* Ends a tunnel: its streams are reset, its WebSocket is closed. */
static void tunnel_end(struct tunnel *tunnel, uint16_t code,
                       const char *reason)
{
    struct bridge *bridge;

    for (bridge = tunnel->bridges; bridge != NULL; bridge = bridge->next)
        lssb_yamux_reset(&tunnel->session, &bridge->stream);
    tunnel_pump(tunnel);
    socket_close(tunnel->socket, code, reason);
    tunnel_free(tunnel);
}

/* Sends, tidies up, waits; what every event ends with. The tunnel may be gone
 * then. */
static void tunnel_settle(struct tunnel *tunnel)
{
    struct loop *loop = &tunnel->d->loop;
    uint64_t at;

    tunnel_pump(tunnel);
    tunnel_sweep(tunnel, false);
    if (tunnel->leaving && tunnel->count == 0 &&
        !lssb_yamux_has_control(&tunnel->session)) {
        tunnel_end(tunnel, LSSB_WS_GOING_AWAY, "the server goes away");
        return;
    }
    at = lssb_yamux_wake_at(&tunnel->session);
    if (at == UINT64_MAX)
        loop_cancel(loop, &tunnel->timer);
    else if (!tunnel->timer.armed || tunnel->timer.at != at)
        loop_at(loop, &tunnel->timer, at);
}

/* The loop says that something can be done for a connection. */
static void bridge_ready(struct watch *watch, bool readable, bool writable)
{
    struct bridge *bridge = watch->owner;
    struct tunnel *tunnel = bridge->tunnel;

    lssb_yamux_tick(&tunnel->session, now_ms());
    if (bridge->state == BRIDGE_DIALING)
        bridge_dialed(bridge);
    if (bridge->state == BRIDGE_OPEN && writable)
        bridge_flush(bridge);
    if (bridge->state == BRIDGE_OPEN && watch->read && readable) {
        watch->read = false;
        lssb_yamux_want(&tunnel->session, &bridge->stream, true);
    }
    bridge_look(bridge);
    tunnel_settle(tunnel);
}

/* Its time is up: for the header, the service, a fault, or the client's end. */
static void bridge_late(struct timer *timer)
{
    struct bridge *bridge = timer->owner;
    struct tunnel *tunnel = bridge->tunnel;

    lssb_yamux_tick(&tunnel->session, now_ms());
    if (bridge->state == BRIDGE_DIALING)
        bridge_answer(bridge, TUNNEL_NOT_DIALED);
    else if (bridge->state == BRIDGE_HEADER || bridge->answered)
        bridge_reset(bridge);
    else
        bridge_answer_now(bridge);
    bridge_look(bridge);
    tunnel_settle(tunnel);
}

/* ------------------------------------------------------------------ events */

/* A stream is opened: one more bridge, or it is refused. A client that waits
 * for ACKs, as it should, never has too many without one. */
static void tunnel_opened(struct tunnel *tunnel)
{
    const struct fault *fault = tunnel->socket->exchange->fault;
    struct bridge *bridge;

    if (tunnel->count >= tunnel->d->settings.max_streams ||
        tunnel->unacked >= TUNNEL_BACKLOG)
        return;
    bridge = take(sizeof *bridge);
    bridge->tunnel = tunnel;
    bridge->stream.user = bridge;
    if (tunnel->count < TUNNEL_WIDE)
        bridge->stream.window_most = TUNNEL_WINDOW_MOST;
    bridge->faulty = fault != NULL && fault->stream != NULL &&
                     (fault->streams == 0 || tunnel->met++ < fault->streams);
    bridge->watch.fd = -1;
    bridge->watch.owner = bridge->timer.owner = bridge;
    bridge->watch.ready = bridge_ready;
    bridge->timer.fire = bridge_late;
    loop_at(&tunnel->d->loop, &bridge->timer, now_ms() + TUNNEL_HEADER_MS);
    bridge->next = tunnel->bridges;
    tunnel->bridges = bridge;
    tunnel->count++;
    tunnel->unacked++;
    lssb_yamux_accept(&tunnel->session, &bridge->stream);
}

/* Bytes of a stream: there is always a place for them. */
static size_t tunnel_data(struct tunnel *tunnel)
{
    struct bridge *bridge = tunnel->session.stream->user;
    const uint8_t *bytes = tunnel->session.data;
    size_t len = lssb_yamux_take(&tunnel->session, tunnel->session.data_len);

    bridge_take(bridge, bytes, len);
    bridge_look(bridge);
    return len;
}

/* The client sends no more on a stream; a header that is not complete never
 * will be. */
static void tunnel_finished(struct tunnel *tunnel)
{
    struct bridge *bridge = tunnel->session.stream->user;

    if (bridge->state == BRIDGE_HEADER)
        bridge_reset(bridge);
    else
        bridge_look(bridge);
}

/* Keeps input for when the client reads what is there for it. */
static void tunnel_hold(struct tunnel *tunnel, const uint8_t *bytes,
                        size_t len)
{
    tunnel->stuck = true;
    bytes_add(&tunnel->held, bytes, len);
    socket_pause(tunnel->socket, true);
}

/* Takes bytes in; false: the client has broken the rules. */
static bool tunnel_take_in(struct tunnel *tunnel, const uint8_t *bytes,
                           size_t len)
{
    struct lssb_yamux *session = &tunnel->session;
    enum lssb_yamux_event event;
    size_t used;

    do {
        event = lssb_yamux_next(session, bytes, len, &used);
        if (event == LSSB_YAMUX_OPENED)
            tunnel_opened(tunnel);
        else if (event == LSSB_YAMUX_DATA)
            used += tunnel_data(tunnel);
        else if (event == LSSB_YAMUX_FINISHED)
            tunnel_finished(tunnel);
        else if (event == LSSB_YAMUX_RESET)
            bridge_end(session->stream->user, true);
        bytes += used;
        len -= used;
        if (event == LSSB_YAMUX_FULL) {
            tunnel_pump(tunnel);
            if (lssb_yamux_has_control(session)) {
                tunnel_hold(tunnel, bytes, len);
                return true;
            }
        }
    } while (event != LSSB_YAMUX_MORE && event != LSSB_YAMUX_WRONG);
    return event != LSSB_YAMUX_WRONG;
}

/* Takes bytes in, and does what follows from them. */
static void tunnel_bytes(struct tunnel *tunnel, const uint8_t *bytes,
                         size_t len)
{
    lssb_yamux_tick(&tunnel->session, now_ms());
    if (tunnel_take_in(tunnel, bytes, len))
        tunnel_settle(tunnel);
    else
        tunnel_end(tunnel, LSSB_WS_PROTOCOL_ERROR, tunnel->session.wrong);
}

/* A piece of a message has come: where messages end means nothing. */
static void tunnel_piece(struct websocket *socket, const uint8_t *bytes,
                         size_t len, bool ends)
{
    struct tunnel *tunnel = socket->owner;

    (void)ends;
    if (len > 0 && tunnel->stuck)
        tunnel_hold(tunnel, bytes, len);
    else if (len > 0)
        tunnel_bytes(tunnel, bytes, len);
}

/* There is room: for what was to be sent, then for input that waited. */
static void tunnel_room(struct websocket *socket)
{
    struct tunnel *tunnel = socket->owner;
    struct bytes held = tunnel->held;

    if (!tunnel->stuck) {
        tunnel_settle(tunnel);
        return;
    }
    tunnel->stuck = false;
    memset(&tunnel->held, 0, sizeof tunnel->held);
    socket_pause(socket, false);
    tunnel_bytes(tunnel, (const uint8_t *)held.at, held.len);
    bytes_free(&held);
}

/* The client has left. */
static void tunnel_over(struct websocket *socket)
{
    tunnel_free(socket->owner);
}

/* It is time for a ping, or the client has not answered one. */
static void tunnel_tick(struct timer *timer)
{
    struct tunnel *tunnel = timer->owner;

    if (lssb_yamux_tick(&tunnel->session, now_ms()))
        tunnel_settle(tunnel);
    else
        tunnel_end(tunnel, 1008, "no answer to a ping");
}

/* The streams have had their time. */
static void tunnel_late(struct timer *timer)
{
    tunnel_end(timer->owner, LSSB_WS_GOING_AWAY, "the server goes away");
}

/* Every client is told to open no more streams. Those that there are may
 * finish, for a while. */
void tunnels_go_away(struct sandboxd *d)
{
    struct tunnel *tunnel = d->tunnels, *next;

    for (; tunnel != NULL; tunnel = next) {
        next = tunnel->next;
        if (tunnel->leaving)
            continue;
        tunnel->leaving = true;
        loop_at(&d->loop, &tunnel->farewell, now_ms() + d->settings.drain_ms);
        lssb_yamux_go_away(&tunnel->session, LSSB_YAMUX_NORMAL);
        tunnel_settle(tunnel);
    }
}

/* A box stops: its tunnels end at once. */
void tunnels_end(struct box *box)
{
    struct tunnel *tunnel = box->d->tunnels, *next;

    for (; tunnel != NULL; tunnel = next) {
        next = tunnel->next;
        if (tunnel->box != box)
            continue;
        lssb_yamux_go_away(&tunnel->session, LSSB_YAMUX_NORMAL);
        tunnel_end(tunnel, LSSB_WS_GOING_AWAY, "the sandbox has stopped");
    }
}

/* GET …/tunnel */
void tunnel_start(struct exchange *exchange, struct box *box)
{
    struct websocket *socket = socket_accept(exchange);
    struct sandboxd *d = exchange->d;
    struct tunnel *tunnel;

    if (socket == NULL)
        return;
    tunnel = take(sizeof *tunnel);
    tunnel->d = d;
    tunnel->box = box;
    tunnel->socket = socket;
    tunnel->timer.owner = tunnel->farewell.owner = tunnel;
    tunnel->timer.fire = tunnel_tick;
    tunnel->farewell.fire = tunnel_late;
    tunnel->next = d->tunnels;
    d->tunnels = tunnel;
    lssb_yamux_start(&tunnel->session, true, now_ms());
    tunnel->session.ping_interval_ms = (uint32_t)d->settings.tunnel_ping_ms;
    tunnel->session.ping_timeout_ms = (uint32_t)d->settings.tunnel_ping_ms;
    socket->owner = tunnel;
    socket->lasts = true;
    socket->on_piece = tunnel_piece;
    socket->on_room = tunnel_room;
    socket->on_over = tunnel_over;
    socket_begin(socket);
    lssb_yamux_tick(&tunnel->session, now_ms());
    tunnel_settle(tunnel);
}
