/* scripted_tls.h: a TLS backend without secrets, for the scripted port.
 *
 * SPDX-License-Identifier: MIT
 *
 * What it sends has the frame of TLS records, for conn.c looks at them; what
 * it receives is taken as it is. It never sends and holds back like a real
 * one: one record at a time, and no room while that is on its way.
 */
#ifndef SCRIPTED_TLS_H
#define SCRIPTED_TLS_H

#include "../port/tls.h"
#include "scripted.h"

#define SCRIPT_RECORD 200

struct script_tls {
    const lssb_tls_setup *setup;
    size_t in_from, in_to, out_from, out_to, open;
    lssb_status dead;
    bool ready, ended, resumed;
};

static size_t script_tls_size(const lssb_trust *trust)
{
    (void)trust;
    return sizeof(struct script_tls);
}

static lssb_status script_tls_check(const lssb_trust *trust,
                                    lssb_error *error)
{
    (void)trust;
    (void)error;
    return LSSB_OK;
}

/* Makes a record of what is open. */
static void script_tls_record(struct script_tls *tls, uint8_t type)
{
    uint8_t *out = tls->setup->send_buffer;

    out[0] = type;
    out[1] = out[2] = 3;
    out[3] = (uint8_t)(tls->open >> 8);
    out[4] = (uint8_t)tls->open;
    tls->out_from = 0;
    tls->out_to = 5 + tls->open;
    tls->open = 0;
}

static lssb_status script_tls_start(void *session, const lssb_tls_setup *setup)
{
    struct script_tls *tls = session;

    memset(tls, 0, sizeof *tls);
    tls->setup = setup;
    tls->resumed = setup->ticket != NULL && setup->ticket->bytes[0] == 42;
    tls->open = 1;                  /* a hello */
    setup->send_buffer[5] = '?';
    script_tls_record(tls, 22);
    return LSSB_OK;
}

static lssb_status script_tls_pump(void *session)
{
    struct script_tls *tls = session;
    const lssb_tls_io *io = &tls->setup->io;
    ptrdiff_t n = 1;

    while (tls->out_from < tls->out_to && n > 0) {
        n = io->send(io->ctx, tls->setup->send_buffer + tls->out_from,
                     tls->out_to - tls->out_from);
        if (n > 0)
            tls->out_from += (size_t)n;
    }
    tls->ready = tls->ready || tls->out_from == tls->out_to;
    if (tls->in_from < tls->in_to)
        return LSSB_OK;
    if (tls->dead != LSSB_OK || tls->ended)
        return tls->ended ? LSSB_END : tls->dead;
    n = io->receive(io->ctx, tls->setup->receive_buffer, SCRIPT_RECORD);
    tls->in_from = 0;
    tls->in_to = n > 0 ? (size_t)n : 0;
    tls->ended = n == 0;
    if (n < 0 && n != LSSB_IO_AGAIN)
        tls->dead = LSSB_E_CONNECTION;
    return tls->ended ? LSSB_END : tls->dead;
}

static bool script_tls_ready(const void *session)
{
    return ((const struct script_tls *)session)->ready;
}

static bool script_tls_resumed(const void *session)
{
    return ((const struct script_tls *)session)->resumed;
}

static void script_tls_wants(const void *session, bool *read, bool *write)
{
    const struct script_tls *tls = session;

    *read = tls->in_from == tls->in_to && !tls->ended;
    *write = tls->out_from < tls->out_to;
}

static const uint8_t *script_tls_look(void *session, size_t *len)
{
    struct script_tls *tls = session;

    *len = tls->in_to - tls->in_from;
    return *len > 0 ? tls->setup->receive_buffer + tls->in_from : NULL;
}

static void script_tls_consume(void *session, size_t len)
{
    struct script_tls *tls = session;

    EXPECT(len <= tls->in_to - tls->in_from);
    tls->in_from += len;
}

static uint8_t *script_tls_reserve(void *session, size_t *len)
{
    struct script_tls *tls = session;

    *len = tls->out_from < tls->out_to || !tls->ready
               ? 0
               : SCRIPT_RECORD - tls->open;
    return *len > 0 ? tls->setup->send_buffer + 5 + tls->open : NULL;
}

static void script_tls_commit(void *session, size_t len)
{
    struct script_tls *tls = session;

    EXPECT(len <= SCRIPT_RECORD - tls->open);
    tls->open += len;
}

static void script_tls_flush(void *session)
{
    struct script_tls *tls = session;

    if (tls->open > 0)
        script_tls_record(tls, 23);
}

static bool script_tls_sent(const void *session)
{
    const struct script_tls *tls = session;

    return tls->open == 0 && tls->out_from == tls->out_to;
}

static void script_tls_close(void *session)
{
    (void)session;
}

static bool script_tls_save(const void *session, lssb_tls_ticket *ticket)
{
    (void)session;
    ticket->len = 1;
    ticket->bytes[0] = 42;
    return true;
}

static const lssb_tls_backend script_tls = {
    LSSB_TLS_VERSION, "script", script_tls_size, script_tls_check,
    script_tls_start, script_tls_pump, script_tls_ready, script_tls_resumed,
    script_tls_wants, script_tls_look, script_tls_consume, script_tls_reserve,
    script_tls_commit, script_tls_flush, script_tls_sent, script_tls_close,
    script_tls_save, NULL
};

#endif
