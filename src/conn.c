/* conn.c: one connection once TCP is there: TLS, two buffers, the end.
 *
 * SPDX-License-Identifier: MIT
 *
 * The only part that moves bytes. Everything goes through the port's functions
 * and returns at once; what has to wait is a phase, a handle and a time. How a
 * connection comes about is dial.c's. Over plain TCP the user works in the two
 * buffers themselves; over TLS the backend has them, and sees the socket
 * through two functions of this file.
 *
 * Reading and writing fail apart from each other. A failed write is kept to
 * itself: what the peer said before it broke is the better answer. A failed
 * read is told when all that came before it has been consumed.
 */
#include "internal.h"

#define CONN_LAST_WORD_MS 2000      /* of silence, after a failed write */
#define CONN_BUDGET 64              /* receive calls in one step */

/* ----------------------------------------------------------- the socket -- */

ptrdiff_t lssb_conn_receive(struct lssb_conn *conn, void *bytes, size_t len)
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

bool lssb_conn_send_buffer(struct lssb_conn *conn)
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
        ptrdiff_t n = lssb_conn_receive(
            conn, conn->receive_buffer + conn->own.receive_to,
            LSSB_RECEIVE_BUFFER - conn->own.receive_to);

        if (n == LSSB_IO_AGAIN)
            return;
        if (n > 0) {
            conn->own.receive_to += (size_t)n;
        } else if (n == 0 && conn->own.write_io == LSSB_IO_OK) {
            conn->ended = true;
        } else {
            lssb_dial_cut(conn);
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
        return lssb_conn_receive(conn, bytes, len);
    if (left > len)
        left = len;
    memcpy(bytes, conn->own.dial.proxy.line + conn->own.receive_from, left);
    conn->own.receive_from += left;
    return (ptrdiff_t)left;
}

/* Whether the backend has data for the user. */
static bool conn_tls_waiting(struct lssb_conn *conn)
{
    size_t len;

    return conn->tls->look(conn->session, &len) != NULL && len > 0;
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
    lssb_dial_tls_failed(conn, status);
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
    setup->memory = NULL;           /* no session, no end */
    lssb_dial_tls_failed(conn, status);
    lssb_dial_give_up(conn);
}

void lssb_conn_begin(struct lssb_conn *conn)
{
    if (conn->host_tls)
        conn_start_tls(conn);
    else
        conn_opened(conn);
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
        lssb_dial_cut(conn);
    if (conn->ended || conn->broken != LSSB_OK)
        lssb_dial_give_up(conn);
    conn->ended = false;
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
    lssb_dial_cut(conn);
    conn->broken = conn->failure.status;
    if (opening)
        lssb_dial_give_up(conn);
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
        lssb_conn_send_buffer(conn);
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
        over = lssb_conn_send_buffer(conn);
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
    case LSSB_CONN_CONNECTING:
    case LSSB_CONN_PROXY:
        lssb_dial_step(conn, now);
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
        lssb_conn_send_buffer(conn);
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
        conn_lower(wake_at, conn->own.dial.race.next_at);
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
    /* Step on: there is an end to send, or nothing more to wait for. */
    conn->own.more = conn->host_tls || lssb_conn_sent(conn);
    conn->phase = LSSB_CONN_CLOSING;
}

/* Ends a session that was started, and overwrites what may be secret: keys,
 * requests, replies. */
static void conn_wipe(struct lssb_conn *conn)
{
    if (conn->own.setup.memory != NULL && conn->tls->end != NULL)
        conn->tls->end(conn->session);
    if (conn->host_tls && conn->session != NULL)
        lssb_wipe(conn->session, conn->session_size);
    lssb_wipe(conn->send_buffer, LSSB_SEND_BUFFER);
    lssb_wipe(conn->receive_buffer, LSSB_RECEIVE_BUFFER);
    lssb_wipe(&conn->own, sizeof conn->own);
}

void lssb_conn_drop(struct lssb_conn *conn, bool reset)
{
    if (conn->phase == LSSB_CONN_CLOSED)
        return;
    lssb_dial_drop(conn, reset);
    if (conn->handle != LSSB_NO_HANDLE)
        conn->port->close_handle(conn->port_context, conn->handle, reset);
    conn->handle = LSSB_NO_HANDLE;
    conn->phase = LSSB_CONN_CLOSED;
    conn_wipe(conn);
}
