/* tls.h: what a TLS backend provides.
 *
 * SPDX-License-Identifier: MIT
 *
 * A backend is a constant struct of functions over a session, a piece of memory
 * whose size it names. It does no I/O of its own: wire bytes go through the
 * two functions of lssb_tls_io. Rules that every backend keeps: TLS 1.2 and
 * up, no renegotiation, certificates and names always verified (DESIGN's rules
 * are in SECURITY.md), ALPN "http/1.1", fatal errors stay.
 */
#ifndef LSSB_TLS_H
#define LSSB_TLS_H

#include "../lssb.h"
#include "port.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LSSB_TLS_VERSION 1

/* How wire bytes move. Results as the port's send and receive: bytes, 0 for
 * the end of the stream, or an lssb_io. They are called from `pump` only. */
typedef struct lssb_tls_io {
    ptrdiff_t (*send)(void *ctx, const void *bytes, size_t len);
    ptrdiff_t (*receive)(void *ctx, void *bytes, size_t len);
    void *ctx;
} lssb_tls_io;

/* A session to resume, kept by the client per host, port and trust. Opaque;
 * wiped when it is dropped. */
#define LSSB_TLS_TICKET_SIZE 128
typedef struct lssb_tls_ticket {
    uint32_t len;                   /* 0: none */
    uint8_t bytes[LSSB_TLS_TICKET_SIZE];
} lssb_tls_ticket;

/* What a session is started with. Borrowed, and unchanged, until the session's
 * memory is used for something else. */
typedef struct lssb_tls_setup {
    const char *host;               /* DNS name, or literal address without
                                       brackets: checked against the
                                       certificate accordingly */
    const lssb_trust *trust;
    const lssb_port *port;          /* time, entropy, certificates */
    void *port_context;
    lssb_tls_io io;
    const lssb_tls_ticket *ticket;  /* to resume, or NULL */
    lssb_error *error;              /* where a failure's details go: status,
                                       layer, tls_code, message; system_code
                                       when certificates cannot be read. The
                                       rest is left as it is */
    uint8_t *memory;                /* session_size() bytes, aligned for any
                                       type */
    size_t memory_size;
    uint8_t *receive_buffer;        /* LSSB_RECEIVE_BUFFER bytes */
    size_t receive_size;
    uint8_t *send_buffer;           /* LSSB_SEND_BUFFER bytes */
    size_t send_size;
} lssb_tls_setup;

/* A session lives in setup->memory from `start` on. When it is of no more use,
 * failed or not, whoever gave the memory calls `end`, if the backend has one
 * and `start` went well, and wipes the memory and both buffers (lssb_wipe).
 *
 * `pump` returns LSSB_OK while the session lives, whatever it did; LSSB_END
 * once the peer has closed it in an orderly way (close_notify);
 * LSSB_E_CONNECTION (layer transport) when TCP ended or failed;
 * LSSB_E_CERTIFICATE or LSSB_E_PROTOCOL (layer TLS) when TLS did. All but
 * LSSB_OK is final and comes after the data: while something waits in `look`,
 * pump returns LSSB_OK. When io.send fails nothing more is sent, `reserve`
 * gives nothing, `sent` stays false, and reading goes on until it ends, too:
 * only that is reported. A peer that is refused need not be told why: hang
 * up. */
typedef struct lssb_tls_backend {
    uint32_t version;               /* LSSB_TLS_VERSION */
    const char *name;

    /* Bytes of session memory, the buffers not included; with what `trust`
     * asks for (a client certificate). */
    size_t (*session_size)(const lssb_trust *trust);

    /* Checks what can be checked beforehand: a client certificate and key that
     * cannot be read or do not belong together, trust that leaves nobody.
     * LSSB_E_INVALID_ARGUMENT with a message. Files are read later, when a
     * certificate is judged. */
    lssb_status (*check)(const lssb_trust *trust, lssb_error *error);

    /* Starts a session in setup->memory; that address is the session. Fails
     * without a clock (LSSB_E_CERTIFICATE), randomness (LSSB_E_PROTOCOL) or
     * enough memory (LSSB_E_NO_MEMORY). */
    lssb_status (*start)(void *session, const lssb_tls_setup *setup);

    /* Moves wire bytes both ways until nothing moves any more, data waits in
     * `look`, or it has done enough for one call. */
    lssb_status (*pump)(void *session);

    /* Whether the handshake is over; whether it resumed a session. */
    bool (*ready)(const void *session);
    bool (*resumed)(const void *session);

    /* What `pump` waits for, after it ran: readable, writable. Neither when
     * data waits in `look` and everything is sent. */
    void (*wants)(const void *session, bool *read, bool *write);

    /* Received bytes, decrypted and verified, valid until the next call on
     * this session other than `consume`; NULL with *len 0: none. */
    const uint8_t *(*look)(void *session, size_t *len);
    void (*consume)(void *session, size_t len);

    /* Room for bytes to send; NULL with *len 0: none now. `commit` takes the
     * first `len` of them; `flush` makes a record of what was committed. */
    uint8_t *(*reserve)(void *session, size_t *len);
    void (*commit)(void *session, size_t len);
    void (*flush)(void *session);

    /* Whether all that was committed and flushed has gone to the socket. */
    bool (*sent)(const void *session);

    /* Starts the orderly end: what was committed, then close_notify; data in
     * `look` is dropped. Pump on until `sent`, or until LSSB_END, or until
     * patience ends. */
    void (*close)(void *session);

    /* The session's ticket, if it can be resumed: true. */
    bool (*save)(const void *session, lssb_tls_ticket *ticket);

    /* Gives back what the session holds beside its memory: a heap, of a library
     * that has one. Sends nothing. Once for every `start` that returned
     * LSSB_OK, failed sessions included. NULL: there is nothing to do. */
    void (*end)(void *session);
} lssb_tls_backend;

/* This build's own backend; NULL in a build with TLS=none. */
extern const lssb_tls_backend *const lssb_default_tls;

#ifdef __cplusplus
}
#endif

#endif
