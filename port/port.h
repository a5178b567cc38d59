/* port.h: what a platform provides. Porting lssb means writing one struct.
 *
 * SPDX-License-Identifier: MIT
 *
 * A port is a constant struct of functions. A client calls them from its own
 * thread only, `wake` excepted. None of them may block, `wait` excepted, and
 * `resolve` where its comment says so. README.md beside this file is a guide.
 *
 * Handles are the platform's: descriptors, sockets, indices into a table.
 * What a function says beyond its result is an lssb_io; `code`, never NULL, is
 * set to the system's own number whenever the result is a failure.
 */
#ifndef LSSB_PORT_H
#define LSSB_PORT_H

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LSSB_PORT_VERSION 1

typedef intptr_t lssb_handle;
#define LSSB_NO_HANDLE ((lssb_handle)-1)

/* What became of a call. Failures are negative. */
typedef enum lssb_io {
    LSSB_IO_OK = 0,
    LSSB_IO_AGAIN = -1,             /* not now: wait, then ask again */
    LSSB_IO_RESET = -2,             /* the peer cut the connection */
    LSSB_IO_REFUSED = -3,           /* nothing listens there */
    LSSB_IO_UNREACHABLE = -4,       /* no way to that address */
    LSSB_IO_TIMED_OUT = -5,         /* the system gave up */
    LSSB_IO_NOT_FOUND = -6,         /* no such name, no such file */
    LSSB_IO_LIMIT = -7,             /* out of descriptors, memory, threads */
    LSSB_IO_IN_USE = -8,            /* that address is taken */
    LSSB_IO_UNSUPPORTED = -9,       /* this port cannot */
    LSSB_IO_FAILED = -10            /* anything else */
} lssb_io;

typedef struct lssb_address {
    uint8_t family;                 /* 4 or 6 */
    uint8_t bytes[16];              /* network order; 4 or 16 of them */
    uint16_t port;
    uint32_t scope;                 /* of a link-local IPv6 address, else 0 */
} lssb_address;

#define LSSB_MAX_ADDRESSES 16

/* What to wait for, and what came of it. One that wants neither to read nor
 * to write is not waited for, and never ready. */
typedef struct lssb_poll {
    lssb_handle handle;
    bool read;                      /* wanted */
    bool write;
    bool ready;                     /* set by wait: anything at all, errors
                                       and the end of the stream included */
    uintptr_t scratch;              /* room for the port while it waits: with
                                       it the list is large enough to become
                                       the system's own list in place */
} lssb_poll;

/* Bytes at rest: the system's certificates. read_at returns how many bytes it
 * stored from `offset` on, 0 at the end, less than 0 on failure. */
typedef struct lssb_blob {
    ptrdiff_t (*read_at)(void *ctx, uint64_t offset, void *bytes, size_t len);
    void (*close)(void *ctx);       /* may be NULL */
    void *ctx;
} lssb_blob;

typedef struct lssb_port {
    uint32_t version;               /* LSSB_PORT_VERSION */

    /* The first argument of every function below but take and give. NULL: the
     * client's block holds `context_size` zeroed bytes for it. */
    void *context;
    size_t context_size;

    /* Prepares the context for one client, and undoes that. `forked` is true
     * in the child of a fork: only descriptors are to be closed. May be
     * NULL. */
    lssb_io (*open)(void *context, int32_t *code);
    void (*close)(void *context, bool forked);

    /* One block for a client whose caller gave none, aligned for any type and
     * zeroed. NULL, the member or the result: there is none. */
    void *(*take)(size_t size);
    void (*give)(void *block, size_t size);

    /* Milliseconds that never go back, sleep of the machine included. */
    uint64_t (*now_ms)(void *context);

    /* Seconds since 1970-01-01 UTC; 0 or less when the clock is not set. */
    int64_t (*wall_s)(void *context);

    /* Bytes that nobody can foretell. */
    lssb_io (*random)(void *context, void *bytes, size_t len);

    /* A variable of the environment, or NULL. The one place that reads it;
     * called by lssb_open and lssb_memory_needed only, and by each with an
     * empty name at its end: what this thread was given is not looked at any
     * more. May be NULL. */
    const char *(*environment)(void *context, const char *name);

    /* Starts to resolve `name` (a host name, never a literal address), which
     * is read during this call only. OK: the job's handle is stored, and
     * waited on for reading. A port whose system can only block does so here,
     * and says so in its comment. */
    lssb_io (*resolve)(void *context, const char *name, lssb_handle *job,
                       int32_t *code);

    /* The job's outcome: AGAIN, or OK with up to `max` addresses (their ports
     * are 0), in the system's order of preference, or a failure (NOT_FOUND).
     * The handle lives until `close_handle` either way; closing it early
     * abandons the job. */
    lssb_io (*resolved)(void *context, lssb_handle job,
                        lssb_address *addresses, size_t max, size_t *count,
                        int32_t *code);

    /* Starts a TCP connection. OK: under way or done; waited on for writing,
     * then `connected` is asked. The socket never raises a signal, is not
     * inherited by other programs and sends small packets at once.
     *
     * `connected` is asked of open connections as well, those that were
     * accepted among them, while nothing is received: it then tells whether
     * the connection broke, as far as the system knows (SO_ERROR). */
    lssb_io (*connect)(void *context, const lssb_address *to,
                       lssb_handle *handle, int32_t *code);
    lssb_io (*connected)(void *context, lssb_handle handle, int32_t *code);

    /* Bytes moved, at least 1; for `receive` 0 is the end of the stream; else
     * an lssb_io. `len` is never 0. */
    ptrdiff_t (*send)(void *context, lssb_handle handle, const void *bytes,
                      size_t len, int32_t *code);
    ptrdiff_t (*receive)(void *context, lssb_handle handle, void *bytes,
                         size_t len, int32_t *code);

    /* Closes a socket or a resolver's job; `reset`: as a connection that broke,
     * what was not sent yet is dropped. */
    void (*close_handle)(void *context, lssb_handle handle, bool reset);

    /* Sleeps until one of the handles is ready, `wake` is called, or
     * timeout_ms (UINT32_MAX: without end) have passed; sets `ready` of each.
     * May return early for no reason. */
    lssb_io (*wait)(void *context, lssb_poll *list, size_t count,
                    uint32_t timeout_ms, int32_t *code);

    /* Ends the `wait` of this context, the next one if none is going on. From
     * any thread, and from a signal handler. */
    void (*wake)(void *context);

    /* The handle that becomes readable with `wake`, for callers with a loop of
     * their own, or LSSB_NO_HANDLE; and what takes it back. */
    lssb_handle (*wake_handle)(void *context);
    void (*wake_clear)(void *context);

    /* Opens the system's certificates (`path` NULL: the usual places), or those
     * of a file. May be NULL. */
    lssb_io (*certificates)(void *context, const char *path, lssb_blob *out,
                            int32_t *code);
} lssb_port;

/* This build's own port: POSIX, Windows, … */
extern const lssb_port lssb_default_port;

/* What listeners of tunnels need beside that; without them nobody asks for it.
 * `context` is the port's, and so are the handles: they are waited for, read,
 * written and closed by its functions. */
typedef struct lssb_listen_port {
    uint32_t version;               /* LSSB_PORT_VERSION */

    /* Listens on an address and port (0: one that the system picks, which is
     * stored in *local_port), with a backlog of 128. IN_USE: somebody listens
     * there already; a connection that lingers from before is no obstacle.
     * UNREACHABLE: no such address here. */
    lssb_io (*listen)(void *context, const lssb_address *at,
                      lssb_handle *handle, uint16_t *local_port,
                      int32_t *code);

    /* The same at a path, as a Unix socket that only this user may connect to.
     * Where something is: IN_USE, but a socket of this user's that nobody
     * listens on gives way. UNREACHABLE: the path is too long. `remove_path`
     * removes what it has left there, unless something else has taken its
     * place. NULL: this system has none. */
    lssb_io (*listen_path)(void *context, const char *path,
                           lssb_handle *handle, int32_t *code);
    void (*remove_path)(void *context, const char *path);

    /* A connection that came: a socket as `connect` makes them. AGAIN: none. */
    lssb_io (*accept)(void *context, lssb_handle listener, lssb_handle *handle,
                      int32_t *code);

    /* Ends what is sent on a connection; receiving goes on. */
    lssb_io (*finish)(void *context, lssb_handle handle, int32_t *code);
} lssb_listen_port;

/* This build's own. */
extern const lssb_listen_port lssb_default_listen_port;

#ifdef __cplusplus
}
#endif

#endif
