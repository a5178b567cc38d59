/* dial.c: how a connection is opened, and what is said when it is not.
 *
 * SPDX-License-Identifier: MIT
 *
 * A name becomes addresses, and addresses are raced (RFC 8305): families in
 * turn, the next one when the last has failed or has kept silent for a while.
 * Then a proxy is asked for a tunnel, if there is one (RFC 9110 9.3.6). What
 * follows, TLS or the user's bytes, is conn.c's. Every failure is told in a
 * sentence that names the host, the address or the proxy.
 */
#include "internal.h"

#define DIAL_DELAY_MS 250           /* between two attempts (RFC 8305 5) */
#define DIAL_PATIENCE_MS 4000       /* with an attempt while others wait for
                                       its place: two lost SYNs */

/* ------------------------------------------------------------- messages -- */

/* What an outcome is called in a message. */
static const char *dial_words(lssb_io io)
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
static void dial_add_words(struct lssb_text *text, lssb_io io, int32_t code)
{
    lssb_text_add(text, dial_words(io));
    if (io != LSSB_IO_FAILED)
        return;
    lssb_text_add(text, " ");
    lssb_text_add_i64(text, code);
}

/* Adds "host:port", with brackets about IPv6. */
static void dial_add_host(struct lssb_text *text, const char *host,
                          uint16_t port)
{
    bool v6 = strchr(host, ':') != NULL;

    lssb_text_add(text, v6 ? "[" : "");
    lssb_text_add(text, host);
    lssb_text_add(text, v6 ? "]:" : ":");
    lssb_text_add_u64(text, port);
}

/* One of the eight groups of an IPv6 address. */
static unsigned dial_group(const lssb_address *address, int i)
{
    return (unsigned)address->bytes[2 * i] << 8 | address->bytes[2 * i + 1];
}

/* The longest run of at least two groups of zeros, the first of equals, as RFC
 * 5952 4.2 wants it: where it starts, and in *len how long it is. */
static int dial_zeros(const lssb_address *address, int *len)
{
    int i, run = 0, start = -1;

    *len = 1;
    for (i = 0; i < 8; i++) {
        run = dial_group(address, i) == 0 ? run + 1 : 0;
        if (run > *len) {
            *len = run;
            start = i - run + 1;
        }
    }
    return start;
}

/* Adds a number in hexadecimal, without leading zeros. */
static void dial_add_hex(struct lssb_text *text, unsigned number)
{
    int shift = 12;

    while (shift > 0 && number >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        lssb_text_add_n(text, &"0123456789abcdef"[number >> shift & 15], 1);
}

/* Adds an IPv6 address (RFC 5952). */
static void dial_add_v6(struct lssb_text *text, const lssb_address *address)
{
    int i = 0, len, zeros = dial_zeros(address, &len);

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
        dial_add_hex(text, dial_group(address, i));
        i++;
    }
    if (address->scope != 0) {
        lssb_text_add(text, "%");
        lssb_text_add_u64(text, address->scope);
    }
}

/* Adds an address and its port. */
static void dial_add_address(struct lssb_text *text,
                             const lssb_address *address)
{
    int i;

    if (address->family == 6) {
        lssb_text_add(text, "[");
        dial_add_v6(text, address);
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
static void dial_fail(struct lssb_conn *conn, lssb_status status,
                      lssb_layer layer, int32_t code, struct lssb_text *text)
{
    memset(&conn->failure, 0, sizeof conn->failure);
    conn->failure.status = status;
    conn->failure.layer = layer;
    conn->failure.system_code = code;
    lssb_text_start(text, conn->failure.message, sizeof conn->failure.message);
}

void lssb_dial_give_up(struct lssb_conn *conn)
{
    conn->broken = conn->failure.status;
    lssb_conn_drop(conn, false);    /* an alert may be on its way */
}

/* Whom the socket leads to: the proxy, or the host itself. */
static const char *dial_peer(const struct lssb_conn *conn, uint16_t *port)
{
    const struct lssb_conn_target *target = &conn->own.target;

    *port = target->proxy_host != NULL ? target->proxy_port : conn->host_port;
    return target->proxy_host != NULL ? target->proxy_host : conn->host;
}

void lssb_dial_cut(struct lssb_conn *conn)
{
    bool proxy = conn->phase == LSSB_CONN_PROXY;
    lssb_io io = conn->own.read_io;
    int32_t code = conn->own.read_code;
    struct lssb_text text;

    if (io == LSSB_IO_OK && conn->own.write_io != LSSB_IO_OK) {
        io = conn->own.write_io;
        code = conn->own.write_code;
    }
    dial_fail(conn, LSSB_E_CONNECTION,
              proxy ? LSSB_LAYER_PROXY : LSSB_LAYER_TRANSPORT, code, &text);
    lssb_text_add(&text, "the connection to ");
    if (proxy) {
        lssb_text_add(&text, "the proxy ");
        dial_add_host(&text, conn->own.target.proxy_host,
                      conn->own.target.proxy_port);
    } else {
        dial_add_host(&text, conn->host, conn->host_port);
    }
    lssb_text_add(&text, io == LSSB_IO_OK ? " was closed by the peer"
                                          : " failed: ");
    if (io != LSSB_IO_OK)
        dial_add_words(&text, io, code);
    if (proxy)
        lssb_text_add(&text, ", before the proxy answered");
    else if (conn->phase == LSSB_CONN_HANDSHAKE)
        lssb_text_add(&text, ", during the TLS handshake");
    else if (conn->host_tls && io == LSSB_IO_OK)
        lssb_text_add(&text, ", without the end that TLS asks for");
}

void lssb_dial_tls_failed(struct lssb_conn *conn, lssb_status status)
{
    struct lssb_text text;

    if (status == LSSB_E_CONNECTION) {
        lssb_dial_cut(conn);
        return;
    }
    if (conn->failure.status == status)
        return;
    dial_fail(conn, status, LSSB_LAYER_TLS, 0, &text);
    lssb_text_add(&text, "TLS failed with ");
    dial_add_host(&text, conn->host, conn->host_port);
}

/* ------------------------------------------------------------ the proxy -- */

/* Puts the CONNECT request (RFC 9110 9.3.6). */
static void dial_put_connect(struct lssb_conn *conn,
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
static void dial_proxy_send(struct lssb_conn *conn)
{
    struct lssb_writer writer;

    while (lssb_conn_send_buffer(conn)) {
        lssb_writer_start(&writer, conn->send_buffer, LSSB_SEND_BUFFER,
                          conn->own.dial.proxy.put);
        dial_put_connect(conn, &writer);
        conn->own.dial.proxy.put += writer.len;
        conn->own.send_to = writer.len;
        if (writer.len == 0)
            return;
    }
}

/* Begins to describe what the proxy did: "the proxy host:port". */
static void dial_proxy_fail(struct lssb_conn *conn, lssb_status status,
                            struct lssb_text *text)
{
    dial_fail(conn, status, LSSB_LAYER_PROXY, 0, text);
    conn->failure.http_status = conn->own.dial.proxy.reply.status;
    lssb_text_add(text, "the proxy ");
    dial_add_host(text, conn->own.target.proxy_host,
                  conn->own.target.proxy_port);
}

/* The proxy answered, but not with success. */
static void dial_proxy_refused(struct lssb_conn *conn)
{
    int status = conn->own.dial.proxy.reply.status;
    bool known = conn->own.target.proxy_userinfo != NULL;
    struct lssb_text text;

    dial_proxy_fail(conn, LSSB_E_PROXY, &text);
    if (status == 407 && !known) {
        lssb_text_add(&text, " asks for a user name and a password");
    } else if (status == 407 || (status == 401 && known)) {
        /* 401 is what tinyproxy says of a wrong one */
        lssb_text_add(&text, " does not accept the user name and password");
    } else {
        lssb_text_add(&text, " refused to connect to ");
        dial_add_host(&text, conn->host, conn->host_port);
    }
    lssb_text_add(&text, " (HTTP ");
    lssb_text_add_i64(&text, status);
    lssb_text_add(&text, ")");
    lssb_dial_give_up(conn);
}

/* What the proxy sent is no HTTP. */
static void dial_proxy_wrong(struct lssb_conn *conn)
{
    const char *wrong = conn->own.dial.proxy.reply.wrong;
    struct lssb_text text;

    dial_proxy_fail(conn, LSSB_E_PROTOCOL, &text);
    lssb_text_add(&text, " does not speak HTTP: ");
    lssb_text_add(&text, wrong != NULL ? wrong : "a reply without an end");
    lssb_dial_give_up(conn);
}

/* The tunnel is there. What came behind the head is the user's, or TLS's, which
 * is about to take the buffers: then it moves to where the head's lines were.
 */
static void dial_proxy_done(struct lssb_conn *conn, const uint8_t *rest,
                            size_t len)
{
    if (conn->host_tls)
        memcpy(conn->own.dial.proxy.line, rest, len);
    else
        memmove(conn->receive_buffer, rest, len);
    conn->own.receive_to = len;
    conn->own.send_from = 0;
    conn->own.send_to = 0;
    lssb_wipe(conn->send_buffer, LSSB_SEND_BUFFER);
    lssb_conn_begin(conn);
}

/* Reads a part of the proxy's reply; false when that decides. */
static bool dial_proxy_read(struct lssb_conn *conn, const uint8_t *bytes,
                            size_t len)
{
    struct lssb_http *reply = &conn->own.dial.proxy.reply;
    enum lssb_http_event event;
    size_t used;

    do {
        event = lssb_http_next(reply, bytes, len, &used);
        bytes += used;
        len -= used;
        if (event == LSSB_HTTP_START && reply->status / 100 != 2) {
            dial_proxy_refused(conn);
            return false;
        }
        if (event == LSSB_HTTP_HEAD || event == LSSB_HTTP_DONE) {
            dial_proxy_done(conn, bytes, len);
            return false;
        }
        if (event == LSSB_HTTP_WRONG || event == LSSB_HTTP_BODY) {
            dial_proxy_wrong(conn);
            return false;
        }
    } while (event != LSSB_HTTP_MORE);
    return true;
}

/* Goes on with CONNECT. Never receives more than `line` can keep. */
static void dial_proxy_step(struct lssb_conn *conn)
{
    ptrdiff_t n;

    dial_proxy_send(conn);
    do {
        n = lssb_conn_receive(conn, conn->receive_buffer,
                              sizeof conn->own.dial.proxy.line);
        if (n == LSSB_IO_AGAIN)
            return;
        if (n <= 0) {
            lssb_dial_cut(conn);
            lssb_dial_give_up(conn);
            return;
        }
    } while (dial_proxy_read(conn, conn->receive_buffer, (size_t)n));
}

/* Starts what follows when TCP is there. The race is over: its place is the
 * proxy's now. */
static void dial_connected(struct lssb_conn *conn)
{
    struct lssb_http *reply = &conn->own.dial.proxy.reply;

    if (!conn->proxied || !(conn->host_tls || conn->own.target.tunnel)) {
        lssb_conn_begin(conn);
        return;
    }
    conn->own.dial.proxy.put = 0;
    lssb_http_start(reply, false, conn->own.dial.proxy.line,
                    sizeof conn->own.dial.proxy.line);
    reply->connect_request = true;
    conn->phase = LSSB_CONN_PROXY;
}

/* ------------------------------------------------------------- the race -- */

/* Puts the families in turn, the first one first, each in its own order. */
static void dial_interleave(lssb_address *list, size_t count)
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
static void dial_address_failed(struct lssb_conn *conn, uint8_t which,
                                lssb_io io, int32_t code)
{
    uint16_t port;
    const char *peer = dial_peer(conn, &port);
    lssb_address literal;
    struct lssb_text text;

    dial_fail(conn, LSSB_E_CONNECTION, LSSB_LAYER_CONNECT, code, &text);
    lssb_text_add(&text, "cannot connect to ");
    lssb_text_add(&text,
                  conn->own.target.proxy_host != NULL ? "the proxy " : "");
    dial_add_address(&text, &conn->own.dial.race.addresses[which]);
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
    dial_add_words(&text, io, code);
    conn->own.dial.race.next_at = 0;
}

/* Takes an attempt out of the race. */
static void dial_race_leave(struct lssb_conn *conn, int i, bool reset)
{
    conn->port->close_handle(conn->port_context, conn->own.race[i], reset);
    conn->own.race[i] = LSSB_NO_HANDLE;
}

/* Ends the race: one is the connection, the others are closed. */
static void dial_race_won(struct lssb_conn *conn, int winner)
{
    int i;

    conn->handle = conn->own.race[winner];
    conn->own.race[winner] = LSSB_NO_HANDLE;
    for (i = 0; i < LSSB_CONN_RACE; i++)
        if (conn->own.race[i] != LSSB_NO_HANDLE)
            dial_race_leave(conn, i, true);
    memset(&conn->failure, 0, sizeof conn->failure);
    dial_connected(conn);
}

/* Asks each attempt what became of it; true when one has won. */
static bool dial_race_ask(struct lssb_conn *conn)
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
            dial_race_won(conn, i);
            return true;
        }
        if (io == LSSB_IO_AGAIN)
            continue;
        dial_race_leave(conn, i, true);
        dial_address_failed(conn, conn->own.race_address[i], io, code);
    }
    return false;
}

/* How many attempts are under way; a free place, or -1; the oldest. */
static int dial_race_count(const struct lssb_conn *conn, int *free_place,
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
        if (conn->own.dial.race.since[i] < conn->own.dial.race.since[*oldest])
            *oldest = i;
    }
    return count;
}

/* Starts an attempt with the next address. */
static void dial_race_start(struct lssb_conn *conn, int place, uint64_t now)
{
    uint8_t which = conn->own.next_address++;
    int32_t code = 0;
    lssb_io io = conn->port->connect(conn->port_context,
                                     &conn->own.dial.race.addresses[which],
                                     &conn->own.race[place], &code);

    if (io != LSSB_IO_OK) {
        conn->own.race[place] = LSSB_NO_HANDLE;
        dial_address_failed(conn, which, io, code);
        return;
    }
    conn->own.race_address[place] = which;
    conn->own.dial.race.since[place] = now;
    conn->own.dial.race.next_at = now + DIAL_DELAY_MS;
}

/* Goes on with the race. When every place is taken and addresses are left, the
 * oldest attempt gives way in the end; the last ones run as long as the caller
 * lets them. */
static void dial_race_step(struct lssb_conn *conn, uint64_t now)
{
    const uint64_t *since = conn->own.dial.race.since;
    int place, oldest, count;

    if (dial_race_ask(conn))
        return;
    for (;;) {
        count = dial_race_count(conn, &place, &oldest);
        if (conn->own.next_address == conn->own.address_count)
            break;
        if (count > 0 && now < conn->own.dial.race.next_at)
            return;
        if (place >= 0) {
            dial_race_start(conn, place, now);
        } else if (now - since[oldest] >= DIAL_PATIENCE_MS) {
            dial_race_leave(conn, oldest, true);
            dial_address_failed(conn, conn->own.race_address[oldest],
                                LSSB_IO_TIMED_OUT, 0);
        } else {
            conn->own.dial.race.next_at = since[oldest] + DIAL_PATIENCE_MS;
        }
    }
    if (count == 0)
        lssb_dial_give_up(conn);
}

/* Starts the race over the addresses that are known now. */
static void dial_race_begin(struct lssb_conn *conn, size_t count)
{
    uint16_t port;
    size_t i;

    dial_peer(conn, &port);
    for (i = 0; i < count; i++)
        conn->own.dial.race.addresses[i].port = port;
    dial_interleave(conn->own.dial.race.addresses, count);
    conn->own.address_count = (uint8_t)count;
    conn->phase = LSSB_CONN_CONNECTING;
}

/* ------------------------------------------------------------- the name -- */

/* The name leads nowhere. */
static void dial_not_resolved(struct lssb_conn *conn, lssb_io io, int32_t code)
{
    uint16_t port;
    const char *peer = dial_peer(conn, &port);
    struct lssb_text text;

    dial_fail(conn, LSSB_E_CONNECTION, LSSB_LAYER_RESOLVE, code, &text);
    lssb_text_add(&text, "cannot resolve ");
    lssb_text_add(&text,
                  conn->own.target.proxy_host != NULL ? "the proxy " : "");
    lssb_text_add(&text, peer);
    lssb_text_add(&text, ": ");
    if (io == LSSB_IO_TIMED_OUT)
        lssb_text_add(&text, "no name server answered");
    else
        dial_add_words(&text, io, code);
    lssb_dial_give_up(conn);
}

/* Closes the resolver's job. */
static void dial_close_job(struct lssb_conn *conn)
{
    conn->port->close_handle(conn->port_context, conn->own.job, false);
    conn->own.job = LSSB_NO_HANDLE;
}

/* Asks the resolver. */
static void dial_resolve_step(struct lssb_conn *conn)
{
    size_t count = 0;
    int32_t code = 0;
    lssb_io io = conn->port->resolved(conn->port_context, conn->own.job,
                                      conn->own.dial.race.addresses,
                                      LSSB_MAX_ADDRESSES, &count, &code);

    if (io == LSSB_IO_AGAIN)
        return;
    dial_close_job(conn);
    if (io == LSSB_IO_OK && count == 0)
        io = LSSB_IO_NOT_FOUND;
    if (io == LSSB_IO_OK)
        dial_race_begin(conn, count);
    else
        dial_not_resolved(conn, io, code);
}

/* Begins with a literal address, or with a name. */
static void dial_find(struct lssb_conn *conn)
{
    uint16_t port;
    const char *peer = dial_peer(conn, &port);
    int32_t code = 0;
    lssb_io io;

    if (lssb_parse_address(peer, strlen(peer),
                           conn->own.dial.race.addresses)) {
        dial_race_begin(conn, 1);
        return;
    }
    conn->phase = LSSB_CONN_RESOLVING;
    io = conn->port->resolve(conn->port_context, peer, &conn->own.job, &code);
    if (io == LSSB_IO_OK)
        return;
    conn->own.job = LSSB_NO_HANDLE;
    dial_not_resolved(conn, io, code);
}

/* -------------------------------------------------------------- opening -- */

/* Forgets what was, but for what the client has set once. */
static void dial_clear(struct lssb_conn *conn)
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
static lssb_status dial_refuse(struct lssb_conn *conn, lssb_status status,
                               lssb_layer layer, const char *why)
{
    struct lssb_text text;

    dial_fail(conn, status, layer, 0, &text);
    lssb_text_add(&text, why);
    conn->broken = status;
    return status;
}

lssb_status lssb_conn_open(struct lssb_conn *conn,
                           const struct lssb_conn_target *target,
                           const lssb_tls_ticket *ticket, uint64_t now)
{
    dial_clear(conn);
    conn->own.target = *target;
    conn->host_port = target->port;
    conn->host_tls = target->tls;
    conn->proxied = target->proxy_host != NULL;
    if (!lssb_copy(conn->host, sizeof conn->host, target->host,
                   strlen(target->host)))
        return dial_refuse(conn, LSSB_E_INVALID_ARGUMENT, LSSB_LAYER_CALLER,
                           "the URL's host name is longer than 255 bytes");
    conn->own.target.host = conn->host;
    if (target->tls && conn->tls == NULL)
        return dial_refuse(conn, LSSB_E_UNSUPPORTED, LSSB_LAYER_TLS,
                           "https needs TLS, which this build lacks: build "
                           "with TLS=bearssl or TLS=mbedtls");
    if (ticket != NULL)
        conn->own.ticket = *ticket;
    dial_find(conn);
    if (conn->phase == LSSB_CONN_CONNECTING)
        dial_race_step(conn, now);
    return conn->phase == LSSB_CONN_CLOSED ? conn->broken : LSSB_PENDING;
}

/* ------------------------------------------------------------- stepping -- */

void lssb_dial_step(struct lssb_conn *conn, uint64_t now)
{
    if (conn->phase == LSSB_CONN_RESOLVING)
        dial_resolve_step(conn);
    else if (conn->phase == LSSB_CONN_CONNECTING)
        dial_race_step(conn, now);
    else if (conn->phase == LSSB_CONN_PROXY)
        dial_proxy_step(conn);
}

void lssb_dial_drop(struct lssb_conn *conn, bool reset)
{
    int i;

    if (conn->own.job != LSSB_NO_HANDLE)
        dial_close_job(conn);
    for (i = 0; i < LSSB_CONN_RACE; i++)
        if (conn->own.race[i] != LSSB_NO_HANDLE)
            dial_race_leave(conn, i, reset);
}
