/* conn.c: one connection: a name, its addresses, a proxy, TLS, two buffers.
 *
 * SPDX-License-Identifier: MIT
 *
 * The only part that moves bytes. Everything goes through the port's functions
 * and returns at once; what has to wait is a phase, a handle and a time.
 * Addresses are raced as RFC 8305 says. Over plain TCP the user works in the
 * two buffers themselves; over TLS the backend has them, and sees the socket
 * through two functions of this file.
 *
 * Reading and writing fail apart from each other. A failed write is kept to
 * itself: what the peer said before it broke is the better answer. A failed
 * read is told when all that came before it has been consumed.
 */
#include "internal.h"

#define CONN_DELAY_MS 250           /* between two attempts (RFC 8305 5) */
#define CONN_PATIENCE_MS 4000       /* with an attempt while others wait for
                                       its place: two lost SYNs */
#define CONN_LAST_WORD_MS 2000      /* of silence, after a failed write */
#define CONN_BUDGET 64              /* receive calls in one step */

/* ------------------------------------------------------------- messages -- */

/* What an outcome is called in a message. */
static const char *conn_words(lssb_io io)
{
    switch (io) {
    case LSSB_IO_OK:
    case LSSB_IO_AGAIN:
        return "no answer";
    case LSSB_IO_RESET:
        return "connection reset";
    case LSSB_IO_REFUSED:
        return "connection refused";
    case LSSB_IO_UNREACHABLE:
        return "address unreachable";
    case LSSB_IO_TIMED_OUT:
        return "timed out";
    case LSSB_IO_NOT_FOUND:
        return "no such name";
    case LSSB_IO_LIMIT:
        return "out of descriptors or memory";
    case LSSB_IO_IN_USE:
        return "address in use";
    case LSSB_IO_UNSUPPORTED:
        return "not supported by this port";
    case LSSB_IO_FAILED:
        return "system error";
    }
    return "system error";
}

/* Adds what an outcome is called, with the system's number if the words say
 * nothing. */
static void conn_add_words(struct lssb_text *text, lssb_io io, int32_t code)
{
    lssb_text_add(text, conn_words(io));
    if (io != LSSB_IO_FAILED)
        return;
    lssb_text_add(text, " ");
    lssb_text_add_i64(text, code);
}

/* Adds "host:port", with brackets about IPv6. */
static void conn_add_host(struct lssb_text *text, const char *host,
                          uint16_t port)
{
    bool v6 = strchr(host, ':') != NULL;

    lssb_text_add(text, v6 ? "[" : "");
    lssb_text_add(text, host);
    lssb_text_add(text, v6 ? "]:" : ":");
    lssb_text_add_u64(text, port);
}

/* One of the eight groups of an IPv6 address. */
static unsigned conn_group(const lssb_address *address, int i)
{
    return (unsigned)address->bytes[2 * i] << 8 | address->bytes[2 * i + 1];
}

/* The longest run of at least two groups of zeros, the first of equals, as RFC
 * 5952 4.2 wants it: where it starts, and in *len how long it is. */
static int conn_zeros(const lssb_address *address, int *len)
{
    int i, run = 0, start = -1;

    *len = 1;
    for (i = 0; i < 8; i++) {
        run = conn_group(address, i) == 0 ? run + 1 : 0;
        if (run > *len) {
            *len = run;
            start = i - run + 1;
        }
    }
    return start;
}

/* Adds a number in hexadecimal, without leading zeros. */
static void conn_add_hex(struct lssb_text *text, unsigned number)
{
    int shift = 12;

    while (shift > 0 && number >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        lssb_text_add_n(text, &"0123456789abcdef"[number >> shift & 15], 1);
}

/* Adds an IPv6 address (RFC 5952). */
static void conn_add_v6(struct lssb_text *text, const lssb_address *address)
{
    int i = 0, len, zeros = conn_zeros(address, &len);

    while (i < 8) {
        if (i == zeros) {
            lssb_text_add(text, "::");
            i += len;
            continue;
        }
        if (i > 0 && i != zeros + len)
            lssb_text_add(text, ":");
        else if (i > 0 && zeros < 0)
            lssb_text_add(text, ":");
        conn_add_hex(text, conn_group(address, i));
        i++;
    }
    if (address->scope != 0) {
        lssb_text_add(text, "%");
        lssb_text_add_u64(text, address->scope);
    }
}

/* Adds an address and its port. */
static void conn_add_address(struct lssb_text *text,
                             const lssb_address *address)
{
    int i;

    if (address->family == 6) {
        lssb_text_add(text, "[");
        conn_add_v6(text, address);
        lssb_text_add(text, "]");
    }
    for (i = 0; i < 4 && address->family == 4; i++) {
        lssb_text_add(text, i > 0 ? "." : "");
        lssb_text_add_u64(text, address->bytes[i]);
    }
    lssb_text_add(text, ":");
    lssb_text_add_u64(text, address->port);
}

/* Begins to describe a failure; the caller adds the message. */
static void conn_fail(struct lssb_conn *conn, lssb_status status,
                      lssb_layer layer, int32_t code, struct lssb_text *text)
{
    memset(&conn->failure, 0, sizeof conn->failure);
    conn->failure.status = status;
    conn->failure.layer = layer;
    conn->failure.system_code = code;
    lssb_text_start(text, conn->failure.message, sizeof conn->failure.message);
}

/* Ends a connection that could not be opened, as conn->failure says. */
static void conn_give_up(struct lssb_conn *conn)
{
    conn->broken = conn->failure.status;
    lssb_conn_drop(conn, false);    /* an alert may be on its way */
}

/* Whom the socket leads to: the proxy, or the host itself. */
static const char *conn_peer(const struct lssb_conn *conn, uint16_t *port)
{
    const struct lssb_conn_target *target = &conn->own.target;

    *port = target->proxy_host != NULL ? target->proxy_port : conn->host_port;
    return target->proxy_host != NULL ? target->proxy_host : conn->host;
}

/* The socket ended or failed while there should have been more. When writing
 * had failed before, that is the reason: the end that follows is its echo. */
static void conn_cut(struct lssb_conn *conn)
{
    bool proxy = conn->phase == LSSB_CONN_PROXY;
    lssb_io io = conn->own.read_io;
    int32_t code = conn->own.read_code;
    struct lssb_text text;

    if (io == LSSB_IO_OK && conn->own.write_io != LSSB_IO_OK) {
        io = conn->own.write_io;
        code = conn->own.write_code;
    }
    conn_fail(conn, LSSB_E_CONNECTION,
              proxy ? LSSB_LAYER_PROXY : LSSB_LAYER_TRANSPORT, code, &text);
    lssb_text_add(&text, "the connection to ");
    if (proxy) {
        lssb_text_add(&text, "the proxy ");
        conn_add_host(&text, conn->own.target.proxy_host,
                      conn->own.target.proxy_port);
    } else {
        conn_add_host(&text, conn->host, conn->host_port);
    }
    lssb_text_add(&text, io == LSSB_IO_OK ? " was closed by the peer"
                                          : " failed: ");
    if (io != LSSB_IO_OK)
        conn_add_words(&text, io, code);
    if (proxy)
        lssb_text_add(&text, ", before the proxy answered");
    else if (conn->phase == LSSB_CONN_HANDSHAKE)
        lssb_text_add(&text, ", during the TLS handshake");
    else if (conn->host_tls && io == LSSB_IO_OK)
        lssb_text_add(&text, ", without the end that TLS asks for");
}

/* ----------------------------------------------------------- the socket -- */

/* Receives, within the step's budget; the end and failures stay. */
static ptrdiff_t conn_receive(struct lssb_conn *conn, void *bytes, size_t len)
{
    int32_t code = 0;
    ptrdiff_t n;

    if (conn->own.read_over)
        return conn->own.read_io;
    conn->own.more = true;
    if (conn->own.budget == 0)
        return LSSB_IO_AGAIN;
    conn->own.budget--;
    n = conn->port->receive(conn->port_context, conn->handle, bytes, len,
                            &code);
    conn->own.more = n > 0;
    if (n > 0) {
        conn->own.moved = true;
    } else if (n != LSSB_IO_AGAIN) {
        conn->own.read_over = true;
        conn->own.read_io = (lssb_io)n;
        conn->own.read_code = n == 0 ? 0 : code;
    }
    return n;
}

/* Sends; a failure stays, and looks like a socket that takes nothing now. */
static ptrdiff_t conn_send(struct lssb_conn *conn, const void *bytes,
                           size_t len)
{
    int32_t code = 0;
    ptrdiff_t n;

    if (conn->own.write_io != LSSB_IO_OK)
        return LSSB_IO_AGAIN;
    n = conn->port->send(conn->port_context, conn->handle, bytes, len, &code);
    if (n < 0 && n != LSSB_IO_AGAIN) {
        conn->own.write_io = (lssb_io)n;
        conn->own.write_code = code;
    }
    return n > 0 ? n : LSSB_IO_AGAIN;
}

/* Sends what is between send_from and send_to; true when that is all gone. */
static bool conn_send_buffer(struct lssb_conn *conn)
{
    while (conn->own.send_from < conn->own.send_to) {
        ptrdiff_t n = conn_send(conn, conn->send_buffer + conn->own.send_from,
                                conn->own.send_to - conn->own.send_from);

        if (n < 0)
            return false;
        conn->own.send_from += (size_t)n;
        if (conn->phase >= LSSB_CONN_OPEN)
            conn->sent_any = true;
    }
    conn->own.send_from = 0;
    conn->own.send_to = 0;
    return true;
}

/* Receives straight into the buffer, until it is full or nothing comes. */
static void conn_receive_buffer(struct lssb_conn *conn)
{
    while (!conn->ended && conn->broken == LSSB_OK &&
           conn->own.receive_to < LSSB_RECEIVE_BUFFER) {
        ptrdiff_t n = conn_receive(
            conn, conn->receive_buffer + conn->own.receive_to,
            LSSB_RECEIVE_BUFFER - conn->own.receive_to);

        if (n == LSSB_IO_AGAIN)
            return;
        if (n > 0) {
            conn->own.receive_to += (size_t)n;
        } else if (n == 0 && conn->own.write_io == LSSB_IO_OK) {
            conn->ended = true;
        } else {
            conn_cut(conn);
            conn->broken = conn->failure.status;
        }
    }
}

/* ------------------------------------------------------------------ TLS -- */

/* Follows the records that go out, to know of application data (RFC 5246
 * 6.2.1: a type, a version, a length). */
static void conn_follow(struct lssb_conn *conn, const uint8_t *wire,
                        size_t len)
{
    while (len > 0) {
        if (conn->own.wire_have == 0)
            conn->own.wire_type = *wire;
        if (conn->own.wire_type == 23 && conn->own.committed)
            conn->sent_any = true;
        if (conn->own.wire_have < 5) {
            conn->own.wire_have++;
            conn->own.wire_left =
                (uint16_t)(conn->own.wire_left << 8 | *wire);
            wire++;
            len--;
        } else {
            size_t n = len < conn->own.wire_left ? len : conn->own.wire_left;

            conn->own.wire_left = (uint16_t)(conn->own.wire_left - n);
            wire += n;
            len -= n;
        }
        if (conn->own.wire_have == 5 && conn->own.wire_left == 0)
            conn->own.wire_have = 0;
    }
}

/* How the backend sends. */
static ptrdiff_t conn_tls_send(void *ctx, const void *bytes, size_t len)
{
    struct lssb_conn *conn = ctx;
    ptrdiff_t n = conn_send(conn, bytes, len);

    if (n > 0)
        conn_follow(conn, bytes, (size_t)n);
    return n;
}

/* How the backend receives: first what came behind the proxy's reply. */
static ptrdiff_t conn_tls_receive(void *ctx, void *bytes, size_t len)
{
    struct lssb_conn *conn = ctx;
    size_t left = conn->own.receive_to - conn->own.receive_from;

    if (left == 0)
        return conn_receive(conn, bytes, len);
    if (left > len)
        left = len;
    memcpy(bytes, conn->own.line + conn->own.receive_from, left);
    conn->own.receive_from += left;
    return (ptrdiff_t)left;
}

/* Whether the backend has data for the user. */
static bool conn_tls_waiting(struct lssb_conn *conn)
{
    size_t len;

    return conn->tls->look(conn->session, &len) != NULL && len > 0;
}

/* Makes sure that a failure of TLS says something. */
static void conn_tls_failed(struct lssb_conn *conn, lssb_status status)
{
    struct lssb_text text;

    if (status == LSSB_E_CONNECTION) {
        conn_cut(conn);
        return;
    }
    if (conn->failure.status == status)
        return;
    conn_fail(conn, status, LSSB_LAYER_TLS, 0, &text);
    lssb_text_add(&text, "TLS failed with ");
    conn_add_host(&text, conn->host, conn->host_port);
}

/* Lets the backend move bytes, and keeps what that told. */
static void conn_pump(struct lssb_conn *conn)
{
    lssb_status status = conn->tls->pump(conn->session);

    if (!conn_tls_waiting(conn) && conn->own.budget > 0)
        conn->own.more = false;
    if (status == LSSB_OK)
        return;
    if (status == LSSB_END) {
        conn->ended = true;
        return;
    }
    conn_tls_failed(conn, status);
    conn->broken = status;
}

/* The connection may be used: what was borrowed for opening it is let go. */
static void conn_opened(struct lssb_conn *conn)
{
    conn->phase = LSSB_CONN_OPEN;
    memset(&conn->own.target, 0, sizeof conn->own.target);
}

/* Starts the handshake. */
static void conn_start_tls(struct lssb_conn *conn)
{
    lssb_tls_setup *setup = &conn->own.setup;
    lssb_status status;

    memset(setup, 0, sizeof *setup);
    setup->host = conn->host;
    setup->trust = conn->trust;
    setup->port = conn->port;
    setup->port_context = conn->port_context;
    setup->io.send = conn_tls_send;
    setup->io.receive = conn_tls_receive;
    setup->io.ctx = conn;
    setup->ticket = conn->own.ticket.len > 0 ? &conn->own.ticket : NULL;
    setup->error = &conn->failure;
    setup->memory = conn->session;
    setup->memory_size = conn->session_size;
    setup->receive_buffer = conn->receive_buffer;
    setup->receive_size = LSSB_RECEIVE_BUFFER;
    setup->send_buffer = conn->send_buffer;
    setup->send_size = LSSB_SEND_BUFFER;
    conn->phase = LSSB_CONN_HANDSHAKE;
    status = conn->tls->start(conn->session, setup);
    if (status == LSSB_OK)
        return;
    conn_tls_failed(conn, status);
    conn_give_up(conn);
}

/* Goes on with the handshake. An end here is a cut, however orderly. */
static void conn_handshake_step(struct lssb_conn *conn)
{
    conn_pump(conn);
    if (conn->broken == LSSB_OK && conn->tls->ready(conn->session)) {
        conn_opened(conn);
        return;
    }
    if (conn->ended)
        conn_cut(conn);
    if (conn->ended || conn->broken != LSSB_OK)
        conn_give_up(conn);
    conn->ended = false;
}

/* ------------------------------------------------------------ the proxy -- */

/* Puts the CONNECT request (RFC 9110 9.3.6). */
static void conn_put_connect(struct lssb_conn *conn,
                             struct lssb_writer *writer)
{
    const char *userinfo = conn->own.target.proxy_userinfo;

    lssb_put_text(writer, "CONNECT ");
    lssb_put_authority(writer, conn->host, true, conn->host_port, true);
    lssb_put_text(writer, " HTTP/1.1\r\nHost: ");
    lssb_put_authority(writer, conn->host, true, conn->host_port, true);
    if (userinfo != NULL) {
        lssb_put_text(writer, "\r\nProxy-Authorization: Basic ");
        lssb_put_base64(writer, userinfo, strlen(userinfo));
    }
    lssb_put_text(writer, "\r\n\r\n");
}

/* Sends the request, a buffer at a time: each is made again from the start,
 * and its beginning skipped. */
static void conn_proxy_send(struct lssb_conn *conn)
{
    struct lssb_writer writer;

    while (conn_send_buffer(conn)) {
        lssb_writer_start(&writer, conn->send_buffer, LSSB_SEND_BUFFER,
                          conn->own.proxy_put);
        conn_put_connect(conn, &writer);
        conn->own.proxy_put += writer.len;
        conn->own.send_to = writer.len;
        if (writer.len == 0)
            return;
    }
}

/* Begins to describe what the proxy did: "the proxy host:port". */
static void conn_proxy_fail(struct lssb_conn *conn, lssb_status status,
                            struct lssb_text *text)
{
    conn_fail(conn, status, LSSB_LAYER_PROXY, 0, text);
    conn->failure.http_status = conn->own.reply.status;
    lssb_text_add(text, "the proxy ");
    conn_add_host(text, conn->own.target.proxy_host,
                  conn->own.target.proxy_port);
}

/* The proxy answered, but not with success. */
static void conn_proxy_refused(struct lssb_conn *conn)
{
    struct lssb_text text;

    conn_proxy_fail(conn, LSSB_E_PROXY, &text);
    if (conn->own.reply.status == 407 &&
        conn->own.target.proxy_userinfo == NULL) {
        lssb_text_add(&text, " asks for a user name and a password");
    } else if (conn->own.reply.status == 407) {
        lssb_text_add(&text, " does not accept the user name and password");
    } else {
        lssb_text_add(&text, " refused to connect to ");
        conn_add_host(&text, conn->host, conn->host_port);
    }
    lssb_text_add(&text, " (HTTP ");
    lssb_text_add_i64(&text, conn->own.reply.status);
    lssb_text_add(&text, ")");
    conn_give_up(conn);
}

/* What the proxy sent is no HTTP. */
static void conn_proxy_wrong(struct lssb_conn *conn)
{
    const char *wrong = conn->own.reply.wrong;
    struct lssb_text text;

    conn_proxy_fail(conn, LSSB_E_PROTOCOL, &text);
    lssb_text_add(&text, " does not speak HTTP: ");
    lssb_text_add(&text, wrong != NULL ? wrong : "a reply without an end");
    conn_give_up(conn);
}

/* The tunnel is there. What came behind the head is TLS's, which is about to
 * take the buffers: it moves to where the head's lines were. */
static void conn_proxy_done(struct lssb_conn *conn, const uint8_t *rest,
                            size_t len)
{
    memcpy(conn->own.line, rest, len);
    conn->own.receive_to = len;
    conn->own.send_from = 0;
    conn->own.send_to = 0;
    lssb_wipe(conn->send_buffer, LSSB_SEND_BUFFER);
    conn_start_tls(conn);
}

/* Reads a part of the proxy's reply; false when that decides. */
static bool conn_proxy_read(struct lssb_conn *conn, const uint8_t *bytes,
                            size_t len)
{
    struct lssb_http *reply = &conn->own.reply;
    enum lssb_http_event event;
    size_t used;

    do {
        event = lssb_http_next(reply, bytes, len, &used);
        bytes += used;
        len -= used;
        if (event == LSSB_HTTP_START && reply->status / 100 != 2) {
            conn_proxy_refused(conn);
            return false;
        }
        if (event == LSSB_HTTP_HEAD || event == LSSB_HTTP_DONE) {
            conn_proxy_done(conn, bytes, len);
            return false;
        }
        if (event == LSSB_HTTP_WRONG || event == LSSB_HTTP_BODY) {
            conn_proxy_wrong(conn);
            return false;
        }
    } while (event != LSSB_HTTP_MORE);
    return true;
}

/* Goes on with CONNECT. Never receives more than `line` can keep. */
static void conn_proxy_step(struct lssb_conn *conn)
{
    ptrdiff_t n;

    conn_proxy_send(conn);
    do {
        n = conn_receive(conn, conn->receive_buffer, sizeof conn->own.line);
        if (n == LSSB_IO_AGAIN)
            return;
        if (n <= 0) {
            conn_cut(conn);
            conn_give_up(conn);
            return;
        }
    } while (conn_proxy_read(conn, conn->receive_buffer, (size_t)n));
}

/* Starts what follows when TCP is there. */
static void conn_connected(struct lssb_conn *conn)
{
    if (!conn->host_tls) {
        conn_opened(conn);
        return;
    }
    if (!conn->proxied) {
        conn_start_tls(conn);
        return;
    }
    lssb_http_start(&conn->own.reply, false, conn->own.line,
                    sizeof conn->own.line);
    conn->own.reply.connect_request = true;
    conn->phase = LSSB_CONN_PROXY;
}

/* ------------------------------------------------------------- the race -- */

/* Puts the families in turn, the first one first, each in its own order. */
static void conn_interleave(lssb_address *list, size_t count)
{
    size_t i, j;

    for (i = 1; i < count; i++) {
        lssb_address next;

        for (j = i; j < count && list[j].family == list[i - 1].family; j++)
            continue;
        if (j == count)
            return;
        next = list[j];
        memmove(list + i + 1, list + i, (j - i) * sizeof *list);
        list[i] = next;
    }
}

/* Says which address failed how. Every failure does: the last one stays. */
static void conn_address_failed(struct lssb_conn *conn, uint8_t which,
                                lssb_io io, int32_t code)
{
    uint16_t port;
    const char *peer = conn_peer(conn, &port);
    lssb_address literal;
    struct lssb_text text;

    conn_fail(conn, LSSB_E_CONNECTION, LSSB_LAYER_CONNECT, code, &text);
    lssb_text_add(&text, "cannot connect to ");
    lssb_text_add(&text,
                  conn->own.target.proxy_host != NULL ? "the proxy " : "");
    conn_add_address(&text, &conn->own.addresses[which]);
    if (!lssb_parse_address(peer, strlen(peer), &literal)) {
        lssb_text_add(&text, " (");
        if (conn->own.address_count > 1) {
            lssb_text_add(&text, "the last of ");
            lssb_text_add_u64(&text, conn->own.address_count);
            lssb_text_add(&text, " addresses of ");
        }
        lssb_text_add(&text, peer);
        lssb_text_add(&text, ")");
    }
    lssb_text_add(&text, ": ");
    conn_add_words(&text, io, code);
    conn->own.race_at = 0;
}

/* Takes an attempt out of the race. */
static void conn_race_leave(struct lssb_conn *conn, int i)
{
    conn->port->close_handle(conn->port_context, conn->own.race[i], true);
    conn->own.race[i] = LSSB_NO_HANDLE;
}

/* Ends the race: one is the connection, the others are closed. */
static void conn_race_won(struct lssb_conn *conn, int winner)
{
    int i;

    conn->handle = conn->own.race[winner];
    conn->own.race[winner] = LSSB_NO_HANDLE;
    for (i = 0; i < LSSB_CONN_RACE; i++)
        if (conn->own.race[i] != LSSB_NO_HANDLE)
            conn_race_leave(conn, i);
    memset(&conn->failure, 0, sizeof conn->failure);
    conn_connected(conn);
}

/* Asks each attempt what became of it; true when one has won. */
static bool conn_race_ask(struct lssb_conn *conn)
{
    int i;

    for (i = 0; i < LSSB_CONN_RACE; i++) {
        int32_t code = 0;
        lssb_io io;

        if (conn->own.race[i] == LSSB_NO_HANDLE)
            continue;
        io = conn->port->connected(conn->port_context, conn->own.race[i],
                                   &code);
        if (io == LSSB_IO_OK) {
            conn_race_won(conn, i);
            return true;
        }
        if (io == LSSB_IO_AGAIN)
            continue;
        conn_race_leave(conn, i);
        conn_address_failed(conn, conn->own.race_address[i], io, code);
    }
    return false;
}

/* How many attempts are under way; a free place, or -1; the oldest. */
static int conn_race_count(const struct lssb_conn *conn, int *free_place,
                           int *oldest)
{
    int i, count = 0;

    *free_place = -1;
    *oldest = 0;
    for (i = 0; i < LSSB_CONN_RACE; i++) {
        if (conn->own.race[i] == LSSB_NO_HANDLE)
            *free_place = i;
        else
            count++;
        if (conn->own.race_since[i] < conn->own.race_since[*oldest])
            *oldest = i;
    }
    return count;
}

/* Starts an attempt with the next address. */
static void conn_race_start(struct lssb_conn *conn, int place, uint64_t now)
{
    uint8_t which = conn->own.next_address++;
    int32_t code = 0;
    lssb_io io = conn->port->connect(conn->port_context,
                                     &conn->own.addresses[which],
                                     &conn->own.race[place], &code);

    if (io != LSSB_IO_OK) {
        conn->own.race[place] = LSSB_NO_HANDLE;
        conn_address_failed(conn, which, io, code);
        return;
    }
    conn->own.race_address[place] = which;
    conn->own.race_since[place] = now;
    conn->own.race_at = now + CONN_DELAY_MS;
}

/* Goes on with the race. When every place is taken and addresses are left, the
 * oldest attempt gives way in the end; the last ones run as long as the caller
 * lets them. */
static void conn_race_step(struct lssb_conn *conn, uint64_t now)
{
    int place, oldest, count;

    if (conn_race_ask(conn))
        return;
    for (;;) {
        count = conn_race_count(conn, &place, &oldest);
        if (conn->own.next_address == conn->own.address_count)
            break;
        if (count > 0 && now < conn->own.race_at)
            return;
        if (place >= 0) {
            conn_race_start(conn, place, now);
        } else if (now - conn->own.race_since[oldest] >= CONN_PATIENCE_MS) {
            conn_race_leave(conn, oldest);
            conn_address_failed(conn, conn->own.race_address[oldest],
                                LSSB_IO_TIMED_OUT, 0);
        } else {
            conn->own.race_at = conn->own.race_since[oldest] + CONN_PATIENCE_MS;
        }
    }
    if (count == 0)
        conn_give_up(conn);
}

/* Starts the race over the addresses that are known now. */
static void conn_race_begin(struct lssb_conn *conn, size_t count)
{
    uint16_t port;
    size_t i;

    conn_peer(conn, &port);
    for (i = 0; i < count; i++)
        conn->own.addresses[i].port = port;
    conn_interleave(conn->own.addresses, count);
    conn->own.address_count = (uint8_t)count;
    conn->phase = LSSB_CONN_CONNECTING;
}

/* ------------------------------------------------------------- the name -- */

/* The name leads nowhere. */
static void conn_not_resolved(struct lssb_conn *conn, lssb_io io, int32_t code)
{
    uint16_t port;
    const char *peer = conn_peer(conn, &port);
    struct lssb_text text;

    conn_fail(conn, LSSB_E_CONNECTION, LSSB_LAYER_RESOLVE, code, &text);
    lssb_text_add(&text, "cannot resolve ");
    lssb_text_add(&text,
                  conn->own.target.proxy_host != NULL ? "the proxy " : "");
    lssb_text_add(&text, peer);
    lssb_text_add(&text, ": ");
    if (io == LSSB_IO_TIMED_OUT)
        lssb_text_add(&text, "no name server answered");
    else
        conn_add_words(&text, io, code);
    conn_give_up(conn);
}

/* Closes the resolver's job. */
static void conn_close_job(struct lssb_conn *conn)
{
    conn->port->close_handle(conn->port_context, conn->own.job, false);
    conn->own.job = LSSB_NO_HANDLE;
}

/* Asks the resolver. */
static void conn_resolve_step(struct lssb_conn *conn)
{
    size_t count = 0;
    int32_t code = 0;
    lssb_io io = conn->port->resolved(conn->port_context, conn->own.job,
                                      conn->own.addresses, LSSB_MAX_ADDRESSES,
                                      &count, &code);

    if (io == LSSB_IO_AGAIN)
        return;
    conn_close_job(conn);
    if (io == LSSB_IO_OK && count == 0)
        io = LSSB_IO_NOT_FOUND;
    if (io == LSSB_IO_OK)
        conn_race_begin(conn, count);
    else
        conn_not_resolved(conn, io, code);
}

/* Begins with a literal address, or with a name. */
static void conn_find(struct lssb_conn *conn)
{
    uint16_t port;
    const char *peer = conn_peer(conn, &port);
    int32_t code = 0;
    lssb_io io;

    if (lssb_parse_address(peer, strlen(peer), &conn->own.addresses[0])) {
        conn_race_begin(conn, 1);
        return;
    }
    conn->phase = LSSB_CONN_RESOLVING;
    io = conn->port->resolve(conn->port_context, peer, &conn->own.job, &code);
    if (io == LSSB_IO_OK)
        return;
    conn->own.job = LSSB_NO_HANDLE;
    conn_not_resolved(conn, io, code);
}

/* -------------------------------------------------------------- opening -- */

/* Forgets what was, but for what the client has set once. */
static void conn_clear(struct lssb_conn *conn)
{
    int i;

    lssb_conn_drop(conn, true);
    conn->sent_any = false;
    conn->ended = false;
    conn->broken = LSSB_OK;
    memset(&conn->failure, 0, sizeof conn->failure);
    memset(&conn->own, 0, sizeof conn->own);
    conn->handle = LSSB_NO_HANDLE;
    conn->own.job = LSSB_NO_HANDLE;
    for (i = 0; i < LSSB_CONN_RACE; i++)
        conn->own.race[i] = LSSB_NO_HANDLE;
}

/* Refuses a target that cannot work, with the reason. */
static lssb_status conn_refuse(struct lssb_conn *conn, lssb_status status,
                               lssb_layer layer, const char *why)
{
    struct lssb_text text;

    conn_fail(conn, status, layer, 0, &text);
    lssb_text_add(&text, why);
    conn->broken = status;
    return status;
}

lssb_status lssb_conn_open(struct lssb_conn *conn,
                           const struct lssb_conn_target *target,
                           const lssb_tls_ticket *ticket, uint64_t now)
{
    conn_clear(conn);
    conn->own.target = *target;
    conn->host_port = target->port;
    conn->host_tls = target->tls;
    conn->proxied = target->proxy_host != NULL;
    if (!lssb_copy(conn->host, sizeof conn->host, target->host,
                   strlen(target->host)))
        return conn_refuse(conn, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                           "the URL's host name is longer than 255 bytes");
    conn->own.target.host = conn->host;
    if (target->tls && conn->tls == NULL)
        return conn_refuse(conn, LSSB_E_UNSUPPORTED, LSSB_LAYER_TLS,
                           "https needs TLS, which this build lacks: build "
                           "with TLS=bearssl or TLS=mbedtls");
    if (ticket != NULL)
        conn->own.ticket = *ticket;
    conn_find(conn);
    if (conn->phase == LSSB_CONN_CONNECTING)
        conn_race_step(conn, now);
    return conn->phase == LSSB_CONN_CLOSED ? conn->broken : LSSB_PENDING;
}

/* ------------------------------------------------------------- stepping -- */

/* After a failed write reading goes on, until nothing has come for a while:
 * then what made the write fail is all that there is to say. */
static void conn_last_word(struct lssb_conn *conn, uint64_t now)
{
    size_t len;
    bool opening = conn->phase == LSSB_CONN_PROXY ||
                   conn->phase == LSSB_CONN_HANDSHAKE;

    if (conn->own.write_io == LSSB_IO_OK || conn->broken != LSSB_OK ||
        conn->ended || (!opening && conn->phase != LSSB_CONN_OPEN))
        return;
    if (conn->own.give_up_at == 0 || conn->own.moved || conn->own.more ||
        lssb_conn_look(conn, &len) != NULL)
        conn->own.give_up_at = now + CONN_LAST_WORD_MS;
    if (now < conn->own.give_up_at)
        return;
    conn_cut(conn);
    conn->broken = conn->failure.status;
    if (opening)
        conn_give_up(conn);
}

/* Moves bytes both ways on an open connection. */
static void conn_move(struct lssb_conn *conn)
{
    if (conn->host_tls) {
        if (!conn->ended && conn->broken == LSSB_OK)
            conn_pump(conn);
        return;
    }
    if (!conn->own.dirty || conn->own.send_to == LSSB_SEND_BUFFER)
        conn_send_buffer(conn);
    conn_receive_buffer(conn);
}

/* Goes on with the end: what was committed, and close_notify both ways. */
static void conn_close_step(struct lssb_conn *conn, uint64_t now)
{
    bool over = now >= conn->own.close_at || conn->own.write_io != LSSB_IO_OK;
    size_t len;

    if (!over && conn->host_tls) {
        conn_pump(conn);
        while (conn->tls->look(conn->session, &len) != NULL && len > 0)
            conn->tls->consume(conn->session, len);
        over = conn->ended || conn->broken != LSSB_OK;
    } else if (!over) {
        over = conn_send_buffer(conn);
    }
    if (!over && conn->own.write_io == LSSB_IO_OK)
        return;
    conn->broken = LSSB_OK;
    lssb_conn_drop(conn, false);
}

/* Goes on with one phase. */
static void conn_step_phase(struct lssb_conn *conn, uint64_t now)
{
    switch (conn->phase) {
    case LSSB_CONN_CLOSED:
        break;
    case LSSB_CONN_RESOLVING:
        conn_resolve_step(conn);
        break;
    case LSSB_CONN_CONNECTING:
        conn_race_step(conn, now);
        break;
    case LSSB_CONN_PROXY:
        conn_proxy_step(conn);
        break;
    case LSSB_CONN_HANDSHAKE:
        conn_handshake_step(conn);
        break;
    case LSSB_CONN_OPEN:
        conn_move(conn);
        break;
    case LSSB_CONN_CLOSING:
        conn_close_step(conn, now);
        break;
    }
}

/* What there is to say about where it stands. */
static lssb_status conn_status(struct lssb_conn *conn)
{
    size_t len;

    if (conn->phase == LSSB_CONN_CLOSED)
        return conn->broken != LSSB_OK ? conn->broken : LSSB_END;
    if (conn->phase != LSSB_CONN_OPEN)
        return LSSB_PENDING;
    if (lssb_conn_look(conn, &len) != NULL)
        return LSSB_OK;
    if (conn->broken != LSSB_OK)
        return conn->broken;
    return conn->ended ? LSSB_END : LSSB_OK;
}

lssb_status lssb_conn_step(struct lssb_conn *conn, uint64_t now)
{
    enum lssb_conn_phase before;

    conn->own.budget = CONN_BUDGET;
    conn->own.moved = false;
    do {
        before = conn->phase;
        conn_step_phase(conn, now);
    } while (conn->phase != before && conn->phase != LSSB_CONN_OPEN);
    conn_last_word(conn, now);
    return conn_status(conn);
}

/* ---------------------------------------------------------------- bytes -- */

const uint8_t *lssb_conn_look(struct lssb_conn *conn, size_t *len)
{
    *len = 0;
    if (conn->phase != LSSB_CONN_OPEN)
        return NULL;
    if (conn->host_tls) {
        const uint8_t *bytes = conn->tls->look(conn->session, len);

        return *len > 0 ? bytes : NULL;
    }
    *len = conn->own.receive_to - conn->own.receive_from;
    return *len > 0 ? conn->receive_buffer + conn->own.receive_from : NULL;
}

void lssb_conn_consume(struct lssb_conn *conn, size_t len)
{
    if (conn->phase != LSSB_CONN_OPEN || len == 0)
        return;
    if (conn->host_tls) {
        conn->tls->consume(conn->session, len);
        return;
    }
    conn->own.receive_from += len;
    if (conn->own.receive_from < conn->own.receive_to)
        return;
    conn->own.receive_from = 0;
    conn->own.receive_to = 0;
}

/* Whether it makes sense to give it more to send. */
static bool conn_takes(const struct lssb_conn *conn)
{
    return conn->phase == LSSB_CONN_OPEN && conn->broken == LSSB_OK &&
           conn->own.write_io == LSSB_IO_OK &&
           !(conn->host_tls && conn->ended);
}

uint8_t *lssb_conn_reserve(struct lssb_conn *conn, size_t *len)
{
    *len = 0;
    if (!conn_takes(conn))
        return NULL;
    if (conn->host_tls) {
        uint8_t *room = conn->tls->reserve(conn->session, len);

        return *len > 0 ? room : NULL;
    }
    *len = LSSB_SEND_BUFFER - conn->own.send_to;
    return *len > 0 ? conn->send_buffer + conn->own.send_to : NULL;
}

void lssb_conn_commit(struct lssb_conn *conn, size_t len)
{
    if (!conn_takes(conn) || len == 0)
        return;
    conn->own.dirty = true;
    conn->own.committed = true;
    if (conn->host_tls)
        conn->tls->commit(conn->session, len);
    else
        conn->own.send_to += len;
}

void lssb_conn_flush(struct lssb_conn *conn)
{
    if (!conn_takes(conn) || !conn->own.dirty)
        return;
    conn->own.dirty = false;
    if (conn->host_tls) {
        conn->tls->flush(conn->session);
        conn_pump(conn);
    } else {
        conn_send_buffer(conn);
    }
}

bool lssb_conn_sent(const struct lssb_conn *conn)
{
    if (conn->own.write_io != LSSB_IO_OK || conn->own.dirty)
        return false;
    if (conn->phase == LSSB_CONN_OPEN && conn->host_tls)
        return conn->tls->sent(conn->session);
    return conn->own.send_from == conn->own.send_to;
}

bool lssb_conn_quiet(struct lssb_conn *conn, uint64_t now)
{
    size_t len;

    return lssb_conn_step(conn, now) == LSSB_OK && !conn->ended &&
           conn->broken == LSSB_OK && conn->own.write_io == LSSB_IO_OK &&
           lssb_conn_look(conn, &len) == NULL;
}

/* -------------------------------------------------------------- waiting -- */

/* Lowers a time. */
static void conn_lower(uint64_t *wake_at, uint64_t time)
{
    if (time < *wake_at)
        *wake_at = time;
}

/* Stores what one handle waits for, if for anything; returns how many. */
static size_t conn_wait_for(lssb_poll *list, lssb_handle handle, bool read,
                            bool write)
{
    if (!read && !write)
        return 0;
    memset(list, 0, sizeof *list);
    list->handle = handle;
    list->read = read;
    list->write = write;
    return 1;
}

/* What a race waits for: every attempt, and the time for another one. */
static size_t conn_race_waits(const struct lssb_conn *conn, lssb_poll *list,
                              uint64_t *wake_at)
{
    size_t count = 0;
    int i;

    for (i = 0; i < LSSB_CONN_RACE; i++)
        if (conn->own.race[i] != LSSB_NO_HANDLE)
            count += conn_wait_for(list + count, conn->own.race[i], false,
                                   true);
    if (conn->own.next_address < conn->own.address_count)
        conn_lower(wake_at, conn->own.race_at);
    return count;
}

/* What an open connection wants of its socket: what TLS says it wants, or what
 * there is room and data for; and nothing that is over. */
static void conn_wants(struct lssb_conn *conn, bool want_read, bool *read,
                       bool *write)
{
    bool over = conn->ended || conn->broken != LSSB_OK;

    if (conn->host_tls) {
        conn->tls->wants(conn->session, read, write);
        *write = *write && !over;
    } else {
        *read = (want_read || conn->own.write_io != LSSB_IO_OK) &&
                conn->own.receive_to < LSSB_RECEIVE_BUFFER;
        *write = conn->own.send_from < conn->own.send_to &&
                 conn->broken == LSSB_OK;
    }
    *read = *read && !over && !conn->own.read_over;
    *write = *write && conn->own.write_io == LSSB_IO_OK;
}

/* What an open connection waits for. Nobody sleeps while there is something
 * for a reader who wants it: bytes, an end, or a socket that was left before
 * it said that there is nothing more. */
static size_t conn_open_waits(struct lssb_conn *conn, bool want_read,
                              lssb_poll *list, uint64_t *wake_at)
{
    bool over, read, write, dirty = conn->own.dirty;
    size_t len;

    lssb_conn_flush(conn);
    if (dirty && lssb_conn_sent(conn))
        *wake_at = 0;               /* there is room that was not there */
    over = conn->ended || conn->broken != LSSB_OK;
    conn_wants(conn, want_read, &read, &write);
    if (want_read && (over || lssb_conn_look(conn, &len) != NULL ||
                      (conn->own.more && !conn->own.read_over)))
        *wake_at = 0;
    if (conn->own.write_io != LSSB_IO_OK && !over)
        conn_lower(wake_at, conn->own.give_up_at);
    return conn_wait_for(list, conn->handle, read, write);
}

/* What the phases before and after that wait for. */
static size_t conn_busy_waits(struct lssb_conn *conn, lssb_poll *list,
                              uint64_t *wake_at)
{
    bool read = conn->phase == LSSB_CONN_PROXY;
    bool write = conn->own.send_from < conn->own.send_to;

    if (conn->phase == LSSB_CONN_HANDSHAKE ||
        (conn->phase == LSSB_CONN_CLOSING && conn->host_tls))
        conn->tls->wants(conn->session, &read, &write);
    if (conn->own.write_io != LSSB_IO_OK) {
        write = false;
        conn_lower(wake_at, conn->own.give_up_at);
    }
    if (conn->phase == LSSB_CONN_CLOSING)
        conn_lower(wake_at, conn->own.close_at);
    if (conn->own.more)
        *wake_at = 0;
    return conn_wait_for(list, conn->handle, read, write);
}

size_t lssb_conn_waits(struct lssb_conn *conn, bool want_read, lssb_poll *list,
                       uint64_t *wake_at)
{
    switch (conn->phase) {
    case LSSB_CONN_CLOSED:
        return 0;
    case LSSB_CONN_RESOLVING:
        return conn_wait_for(list, conn->own.job, true, false);
    case LSSB_CONN_CONNECTING:
        return conn_race_waits(conn, list, wake_at);
    case LSSB_CONN_OPEN:
        return conn_open_waits(conn, want_read, list, wake_at);
    case LSSB_CONN_PROXY:
    case LSSB_CONN_HANDSHAKE:
    case LSSB_CONN_CLOSING:
        return conn_busy_waits(conn, list, wake_at);
    }
    return 0;
}

/* ------------------------------------------------------------- the end -- */

void lssb_conn_close(struct lssb_conn *conn, uint64_t until)
{
    lssb_conn_flush(conn);
    if (conn->phase == LSSB_CONN_CLOSING || conn->phase == LSSB_CONN_CLOSED)
        return;
    if (conn->phase != LSSB_CONN_OPEN || conn->broken != LSSB_OK ||
        conn->own.write_io != LSSB_IO_OK || (conn->host_tls && conn->ended)) {
        lssb_conn_drop(conn, conn->phase != LSSB_CONN_OPEN);
        return;
    }
    if (conn->host_tls)
        conn->tls->close(conn->session);
    conn->own.close_at = until;
    conn->own.more = conn->host_tls;    /* step on: there is an end to send */
    conn->phase = LSSB_CONN_CLOSING;
}

/* Overwrites what may be secret: keys, requests, replies. */
static void conn_wipe(struct lssb_conn *conn)
{
    if (conn->host_tls && conn->session != NULL)
        lssb_wipe(conn->session, conn->session_size);
    lssb_wipe(conn->send_buffer, LSSB_SEND_BUFFER);
    lssb_wipe(conn->receive_buffer, LSSB_RECEIVE_BUFFER);
    lssb_wipe(&conn->own, sizeof conn->own);
}

void lssb_conn_drop(struct lssb_conn *conn, bool reset)
{
    int i;

    if (conn->phase == LSSB_CONN_CLOSED)
        return;
    if (conn->own.job != LSSB_NO_HANDLE)
        conn_close_job(conn);
    for (i = 0; i < LSSB_CONN_RACE; i++)
        if (conn->own.race[i] != LSSB_NO_HANDLE)
            conn_race_leave(conn, i);
    if (conn->handle != LSSB_NO_HANDLE)
        conn->port->close_handle(conn->port_context, conn->handle, reset);
    conn->handle = LSSB_NO_HANDLE;
    conn->phase = LSSB_CONN_CLOSED;
    conn_wipe(conn);
}
