/* lssb.h: the LangSmith Sandbox SDK in C. This header is the manual.
 *
 * SPDX-License-Identifier: MIT
 *
 * A client talks to the LangSmith Sandbox service: it creates sandboxes, runs
 * commands in them and moves files. Everything that a client needs lives in
 * one block of memory, taken once when it is opened; nothing here ever calls
 * malloc.
 *
 *     lssb_client *client;
 *     lssb_sandbox box;
 *     lssb_result result;
 *     char out[4096];
 *     lssb_run_options how = {0};
 *
 *     if (lssb_open(&client, NULL) != LSSB_OK)
 *         return 1;
 *     how.out = out;
 *     how.out_size = sizeof out;
 *     if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK) {
 *         if (lssb_run(&box, "echo hello", &how, &result, NULL) == LSSB_OK)
 *             printf("exit %d: %s", (int)result.exit_code, out);
 *         lssb_sandbox_delete(&box, NULL);
 *     }
 *     lssb_close(client, NULL);
 *
 * Calls. Every call that talks to the network takes an operation last. With
 * NULL the call waits and returns its final status. With an lssb_op the call
 * returns LSSB_PENDING at once and is carried on by lssb_step or lssb_wait,
 * which store the final status in op->status and then call op->done. A local
 * mistake (a bad argument) is returned at once in either form; the operation
 * is then final and `done` is not called. Many operations run side by side on
 * one client and one thread.
 *
 * What you pass is borrowed, not copied, until the call is final: the
 * operation, every string and option struct, and the place for the result.
 * Exceptions say so. What you get is yours: plain structs, strings inside.
 *
 * Threads. A client belongs to one thread at a time. lssb_post_cancel and
 * lssb_post_kill are the functions that another thread or a signal handler may
 * call. Two clients share nothing.
 *
 * Callbacks run inside lssb_step, lssb_wait and waiting calls only. In one you
 * may start calls with an operation, cancel, write to a command, kill and
 * close it; a waiting call, lssb_step, lssb_wait and lssb_close return
 * LSSB_E_IN_CALLBACK there.
 *
 * Zero is the default. An options struct of zeros means the documented
 * defaults, NULL options mean the same; "none" and "no limit" have names.
 * Structs grow at their end only.
 *
 * Strings are UTF-8 and end with a NUL. One that you pass must be valid UTF-8
 * without CR, LF or NUL where it goes into a header or a URL. One that you get
 * and that must be exact (an id, a name, a URL) either fits or fails the call
 * with LSSB_E_TOO_LONG; one that is for reading (a message) is cut at a
 * character boundary.
 *
 * Errors. LSSB_OK is 0, the other outcomes that are no failure are positive,
 * failures are negative. lssb_last_error has the details of the client's last
 * failure, op->error those of one operation.
 */
#ifndef LSSB_H
#define LSSB_H

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LSSB_VERSION "0.1.0"

/* ------------------------------------------------------------- outcomes -- */

/* What became of a call. One value per kind of failure that a program would
 * treat differently; lssb_error says the rest. */
typedef enum lssb_status {
    LSSB_OK = 0,
    LSSB_PENDING = 1,               /* under way; look again after lssb_step */
    LSSB_AGAIN = 2,                 /* nothing now; later perhaps */
    LSSB_END = 3,                   /* there is no more */

    /* Found before anything was sent. */
    LSSB_E_INVALID_ARGUMENT = -1,   /* a bad argument; the message names it */
    LSSB_E_NO_MEMORY = -2,          /* the block is too small, or not given */
    LSSB_E_UNSUPPORTED = -3,        /* this build or port lacks it */
    LSSB_E_IN_CALLBACK = -4,        /* a waiting call inside a callback */
    LSSB_E_BUSY = -5,               /* that operation is under way already */
    LSSB_E_NOT_CONFIGURED = -6,     /* the sandbox has no dataplane URL */

    /* The call ended by itself, or by its caller. */
    LSSB_E_CANCELED = -10,          /* lssb_cancel, or the client was closed */
    LSSB_E_DEADLINE = -11,          /* the call's time was up */
    LSSB_E_NO_SLOT = -12,           /* every slot is held for good */
    LSSB_E_STOPPED = -13,           /* a callback of yours said stop */
    LSSB_E_TOO_LONG = -14,          /* a string, an element or a file does not
                                       fit the place that was given for it */

    /* The way to the server. */
    LSSB_E_CONNECTION = -20,        /* resolving, connecting, losing */
    LSSB_E_CERTIFICATE = -21,       /* the server is not who it should be */
    LSSB_E_PROTOCOL = -22,          /* the peer broke HTTP, TLS or JSON rules */
    LSSB_E_PROXY = -23,             /* the proxy refused */

    /* The service's answers (its SDKs' names beside them). */
    LSSB_E_REFUSED = -30,           /* SandboxClientError: any other status */
    LSSB_E_API = -31,               /* SandboxAPIError: 500, or a wrong URL */
    LSSB_E_AUTH = -32,              /* SandboxAuthenticationError */
    LSSB_E_NOT_FOUND = -33,         /* ResourceNotFoundError */
    LSSB_E_TIMEOUT = -34,           /* ResourceTimeoutError: not in time */
    LSSB_E_IN_USE = -35,            /* ResourceInUseError */
    LSSB_E_ALREADY_EXISTS = -36,    /* ResourceAlreadyExistsError */
    LSSB_E_NAME_CONFLICT = -37,     /* ResourceNameConflictError */
    LSSB_E_VALIDATION = -38,        /* ValidationError: field, details */
    LSSB_E_QUOTA = -39,             /* QuotaExceededError: quota */
    LSSB_E_CREATION = -40,          /* ResourceCreationError: type */
    LSSB_E_NOT_READY = -41,         /* SandboxNotReadyError */
    LSSB_E_OPERATION = -42,         /* SandboxOperationError: operation, type */

    /* Commands, over their WebSocket (the SDKs' parents behind a colon). */
    LSSB_E_COMMAND_TIMEOUT = -50,   /* CommandTimeoutError: operation */
    LSSB_E_CONNECT_TIMEOUT = -51,   /* SandboxConnectTimeoutError: it could not
                                       be opened, whatever the cause */
    LSSB_E_UNAVAILABLE = -52,       /* SandboxRetryableConnectionError: the
                                       service refused it for now */
    LSSB_E_SERVER_RELOAD = -53,     /* SandboxServerReloadError: connection */
    LSSB_E_NOT_STARTED = -54,       /* StreamEndedBeforeStarted: operation */

    /* Tunnels. */
    LSSB_E_TUNNEL = -60,            /* TunnelError: a stream or its connection
                                       was lost */
    LSSB_E_TUNNEL_PORT = -61,       /* TunnelPortNotAllowedError */
    LSSB_E_TUNNEL_REFUSED = -62,    /* TunnelConnectionRefusedError: nothing
                                       listens on that port in the box */
    LSSB_E_TUNNEL_VERSION = -63,    /* TunnelUnsupportedVersionError */
    LSSB_E_PORT_IN_USE = -64,       /* a local port is taken */

    /* A box's files. */
    LSSB_E_NOT_DIRECTORY = -70,
    LSSB_E_IS_DIRECTORY = -71,
    LSSB_E_NOT_EMPTY = -72,         /* a directory that has something in it */
    LSSB_E_PERMISSION = -73,
    LSSB_E_NO_SPACE = -74,          /* the disk, or a quota, is full */
    LSSB_E_READ_ONLY = -75,         /* the file system is */
    LSSB_E_UNSAFE = -76             /* a tree from a box holds what must not be
                                       written */
} lssb_status;

/* Where a failure arose. */
typedef enum lssb_layer {
    LSSB_LAYER_NONE = 0,
    LSSB_LAYER_CALLER,              /* an argument, a callback, the memory */
    LSSB_LAYER_CLIENT,              /* this library: deadlines, slots */
    LSSB_LAYER_RESOLVE,             /* the name */
    LSSB_LAYER_CONNECT,             /* TCP */
    LSSB_LAYER_PROXY,               /* the HTTP proxy */
    LSSB_LAYER_TLS,                 /* the handshake, a certificate, a record */
    LSSB_LAYER_TRANSPORT,           /* sending or receiving on a connection */
    LSSB_LAYER_HTTP,                /* the framing of a reply */
    LSSB_LAYER_JSON,                /* the content of a reply */
    LSSB_LAYER_SERVICE,             /* what the service answered */
    LSSB_LAYER_WEBSOCKET,           /* the upgrade, its frames, its end */
    LSSB_LAYER_TUNNEL               /* its streams, its local ends */
} lssb_layer;

/* What a failure is about. */
typedef enum lssb_resource {
    LSSB_RESOURCE_NONE = 0,
    LSSB_RESOURCE_SANDBOX,
    LSSB_RESOURCE_SNAPSHOT,
    LSSB_RESOURCE_FILE,
    LSSB_RESOURCE_TEMPLATE,
    LSSB_RESOURCE_VOLUME,
    LSSB_RESOURCE_POOL,
    LSSB_RESOURCE_REGISTRY
} lssb_resource;

/* One of the service's complaints about a request (422). */
typedef struct lssb_problem {
    char where[64];                 /* "body.vcpus" */
    char message[96];
    char type[40];                  /* "value_error" */
} lssb_problem;

#define LSSB_MESSAGE_SIZE 384
#define LSSB_PROBLEMS 3

/* The details of a failure. A member that does not apply is zero or empty.
 * Never holds a key or a token: where a server sends back a credential of 8
 * bytes or more that went along in a header, for a proxy or in a link, "***".
 * Credentials in a request's body, as a registry's password, are not looked
 * for: a server's words are told as they are. */
typedef struct lssb_error {
    lssb_status status;
    lssb_layer layer;
    lssb_resource resource;
    int32_t http_status;            /* of the reply, if there was one */
    int32_t tls_code;               /* of certificates and alerts the same with
                                       both libraries; else their own */
    int32_t system_code;            /* errno, WSAGetLastError, EAI_… */
    uint32_t attempts;              /* how often the request was tried */
    uint32_t retry_after_ms;        /* what the server asked for */
    char operation[16];             /* "read", "write", "command" */
    char type[64];                  /* the service's error type: an open set */
    char error_id[64];              /* the service's id of this failure */
    char field[64];                 /* the member that was refused */
    char quota[16];                 /* "sandbox_count", "cpu", … */
    char last_status[16];           /* the resource's, when a wait ended */
    uint32_t problem_count;         /* all of them; the first are below */
    lssb_problem problems[LSSB_PROBLEMS];
    char message[LSSB_MESSAGE_SIZE];    /* a sentence for a person, without
                                       control characters but ends of lines
                                       and tabs */
} lssb_error;

/* The constant's name, "LSSB_E_NOT_FOUND". Never NULL. */
const char *lssb_status_name(lssb_status status);
const char *lssb_layer_name(lssb_layer layer);
const char *lssb_resource_name(lssb_resource resource);

/* ------------------------------------------------------------ constants -- */

#define LSSB_FOREVER UINT32_C(0xFFFFFFFF)   /* a wait without end */
#define LSSB_NO_LIMIT (-1)                  /* a limit that is switched off */
#define LSSB_NEVER (-1)                     /* a lifetime without end */
#define LSSB_NONE (-1)                      /* a count of none */
#define LSSB_UNKNOWN (-1)                   /* a number the server left out */

#define LSSB_ID_SIZE 64
#define LSSB_NAME_SIZE 128
#define LSSB_URL_SIZE 512
#define LSSB_TIME_SIZE 40                   /* ISO 8601, as it was sent */

/* A name and a value: a header, a variable, a label. */
typedef struct lssb_pair {
    const char *name;
    const char *value;
} lssb_pair;

/* ----------------------------------------------------------- operations -- */

typedef struct lssb_client lssb_client;
struct lssb_op;

/* The library's own part of an operation; not for you. */
struct lssb_op_state {
    lssb_client *client;
    struct lssb_op *next;
    const void *exchange;           /* the request that is under way */
    void *slot;                     /* what it has of a connection */
    const void *box;                /* the call's arguments */
    const void *text;
    const void *options;
    void *out;
    void *extra;
    uint64_t end_at;                /* the whole call's end; 0: none */
    uint64_t attempt_end_at;
    uint64_t wake_at;               /* of a back-off or a poll interval */
    uint64_t wait_end_at;           /* of a wait for a state */
    uint64_t progress;
    uint64_t size;
    uint32_t attempt_ms;
    volatile uint32_t canceled;
    int32_t outcome;                /* final, but not told yet */
    uint16_t attempt;
    uint8_t phase;
    uint8_t step;
    uint8_t sent;                   /* at its end: a byte was */
};

/* One call under way. Yours, all zeros before its first use; it may be used
 * again once it is final, without being cleared. Set what you like before the
 * call:
 *
 *     lssb_op op = {0};
 *
 *     op.deadline_ms = 5000;
 *     lssb_sandbox_get(client, "box-1", &box, &op);
 *     status = lssb_wait(client, &op, LSSB_FOREVER);
 */
typedef struct lssb_op {
    lssb_status status;             /* LSSB_PENDING, then final */
    uint32_t deadline_ms;           /* for the whole call, retries and waits
                                       included, instead of every other limit
                                       of time; 0: what the call documents;
                                       LSSB_FOREVER */
    void (*done)(struct lssb_op *); /* may be NULL. The operation is final and
                                       may be reused or freed in there */
    void *user;                     /* yours */
    lssb_error *error;              /* may be NULL. Written when it fails */
    const lssb_pair *headers;       /* for this call, over the client's */
    size_t header_count;
    union {
        struct lssb_op_state state;
        uint64_t size[24];          /* the same size in every build */
    } reserved;
} lssb_op;

/* Asks for an operation to end: with LSSB_E_CANCELED, in the next lssb_step
 * or lssb_wait, unless it is final by then. What the server was already told
 * is not undone. Does nothing to an operation that is final. */
void lssb_cancel(lssb_op *op);

/* The same from another thread or a signal handler: sets a flag and wakes the
 * client's wait. The operation must be under way, or final but untouched. */
void lssb_post_cancel(lssb_op *op);

/* -------------------------------------------------------------- clients -- */

/* Whom to trust, beyond and beside the system's certificates. All that is
 * pointed to is borrowed until the client is closed. PEM or DER, told apart by
 * the first byte; several certificates may follow one another. */
typedef struct lssb_trust {
    const char *file;               /* a bundle, by the port's files */
    const void *anchors;            /* a bundle in memory or flash */
    size_t anchors_len;
    bool only;                      /* true: these instead of the system's */
    const char *system_file;        /* for the system's: this file. NULL:
                                       SSL_CERT_FILE of the environment, else
                                       the usual places. Copied */
    const uint8_t (*pins)[32];      /* SHA-256 of a SubjectPublicKeyInfo; one
                                       must be on the verified path */
    size_t pin_count;
    const void *certificate;        /* a client certificate and its chain */
    size_t certificate_len;
    const void *key;                /* its key: PKCS #8, PKCS #1 or SEC 1 */
    size_t key_len;
    bool no_resumption;             /* true: a full handshake every time */
} lssb_trust;

/* What a client did, for those who watch. Text is for reading; keys, tokens
 * and bodies never appear. Valid during the callback only; call nothing of this
 * library in there. */
typedef enum lssb_trace_kind {
    LSSB_TRACE_CONNECT = 1,         /* host: a connection is being made */
    LSSB_TRACE_CONNECTED,           /* host: it is there, and encrypted */
    LSSB_TRACE_REUSED,              /* host: a kept-alive one serves again */
    LSSB_TRACE_CLOSED,              /* host: a connection ended */
    LSSB_TRACE_REQUEST,             /* text: method and path without query */
    LSSB_TRACE_RESPONSE,            /* text: the same; number: the status */
    LSSB_TRACE_RETRY                /* text: why; number: ms until then */
} lssb_trace_kind;

typedef struct lssb_trace_event {
    lssb_trace_kind kind;
    const char *host;
    const char *text;
    int64_t number;
} lssb_trace_event;

struct lssb_port;                   /* port/port.h */
struct lssb_tls_backend;            /* port/tls.h */

/* How a client is set up. Strings are copied into its block, but for `trust`.
 * A string that is NULL (not "") is looked up in the environment (each name X
 * as LANGSMITH_X, then LANGCHAIN_X; blank counts as unset; surrounding white
 * space is dropped) unless `no_environment` is true or the port has none. */
typedef struct lssb_config {
    const char *endpoint;           /* the API's root, as LANGSMITH_ENDPOINT;
                                       default https://api.smith.langchain.com.
                                       "/v2/sandboxes" is added unless it ends
                                       so already */
    const char *api_key;            /* LANGSMITH_API_KEY. None is no error: no
                                       X-Api-Key is sent */
    const char *tenant_id;          /* LANGSMITH_TENANT_ID, else
                                       LANGSMITH_WORKSPACE_ID: X-Tenant-Id */
    const char *user_agent;         /* default "lssb/" LSSB_VERSION */
    const lssb_pair *headers;       /* added to every request of the API */
    size_t header_count;
    const char *proxy;              /* "http://user:password@host:port", or ""
                                       for none; else HTTPS_PROXY, HTTP_PROXY,
                                       ALL_PROXY, NO_PROXY (either case; in a
                                       CGI program, where a request's header
                                       sets it, not HTTP_PROXY in capitals) */
    const char *no_proxy;           /* hosts, domains, addresses, "*" */
    bool no_environment;
    bool allow_cleartext;           /* true: the key may go over http:// to
                                       more than loopback */
    uint32_t timeout_ms;            /* one attempt of a small call; 0: 10,000 */
    uint32_t transfer_timeout_ms;   /* a file transfer without a byte moving;
                                       0: 60,000 */
    int32_t retries;                /* after the first attempt; 0: 3;
                                       LSSB_NONE: never */
    uint32_t slots;                 /* connections at once; 0: 4. Each costs
                                       about 38 KB with TLS, and LSSB_HOLD: 64
                                       KB that are only touched by output;
                                       `make size` */
    lssb_trust trust;
    void *memory;                   /* the block, aligned for a uint64_t, a
                                       pointer and a long double; NULL: the
                                       port's, taken once */
    size_t memory_size;             /* at least lssb_memory_needed */
    const struct lssb_port *port;   /* NULL: this build's */
    const struct lssb_tls_backend *tls;     /* NULL: this build's */
    void (*trace)(void *user, const lssb_trace_event *);
    void *trace_user;
    uint32_t streams;               /* of all tunnels: streams and listeners at
                                       once, 65,535 at most; 0: none. Each
                                       costs what its buffer does, and about
                                       300 bytes */
    uint32_t stream_buffer;         /* bytes for what came on a stream and is
                                       not read yet: 1,024 to 16,777,216; 0:
                                       262,144. Touched when it is used */
} lssb_config;

/* Bytes of memory that lssb_open will want for this configuration, the
 * environment's part included; 0 if the configuration cannot work. */
size_t lssb_memory_needed(const lssb_config *config);

/* Opens a client; config NULL: everything by default and by the environment.
 * Connects to nothing. On failure *client is NULL, and `why`, if given, has
 * the reason: LSSB_E_INVALID_ARGUMENT (a bad URL, header, certificate;
 * a key over clear text), LSSB_E_NO_MEMORY, LSSB_E_UNSUPPORTED. */
lssb_status lssb_open(lssb_client **client, const lssb_config *config);
lssb_status lssb_open_why(lssb_client **client, const lssb_config *config,
                          lssb_error *why);

/* Cancels what is under way (those calls end with LSSB_E_CANCELED), closes the
 * connections, for at most two seconds, wipes and gives back the block. With
 * an operation the client is gone when `done` runs. NULL is allowed. */
lssb_status lssb_close(lssb_client *client, lssb_op *op);

/* In the child of a fork: closes this process's descriptors and gives back the
 * block, without a word to any server. Nothing else may be called there. */
void lssb_abandon(lssb_client *client);

/* Does what can be done without waiting: a bounded amount. Callbacks run here.
 * Returns LSSB_OK when work is left that can go on at once, LSSB_AGAIN when
 * everything waits, LSSB_END when nothing is under way. */
lssb_status lssb_step(lssb_client *client);

/* Steps and sleeps until `op` is final, and returns its status; LSSB_AGAIN
 * after `wait_ms`. With op NULL: until no operation is under way (LSSB_OK); a
 * command, a tunnel or a WebSocket that is held counts as one until it is over
 * or closed. */
lssb_status lssb_wait(lssb_client *client, lssb_op *op, uint32_t wait_ms);

/* One socket for a poll() or select() of your own. */
typedef struct lssb_socket {
    intptr_t handle;                /* a descriptor; a SOCKET on Windows; what
                                       no poll() knows with ports for lwIP,
                                       Zephyr, FreeRTOS, a byte pipe */
    bool read;
    bool write;
} lssb_socket;

/* For an event loop of your own: stores up to `max` sockets and what each
 * waits for, returns how many there are (never more than 2 for each slot, 1 for
 * each of lssb_config.streams and 1; of more than `max` the rest is not
 * stored), and in *timeout_ms how long the loop may sleep (0: not at all;
 * LSSB_FOREVER). Call lssb_step after the loop's poll, then ask again. Where no
 * poll() knows the handles (names that are being resolved, wakes) call
 * lssb_step every 50 ms, or let lssb_wait sleep. */
size_t lssb_sockets(lssb_client *client, lssb_socket *sockets, size_t max,
                    uint32_t *timeout_ms);

/* The client's last failure; all zeros if there was none. Valid until the
 * next call on this client. */
const lssb_error *lssb_last_error(const lssb_client *client);

/* Its message, never NULL: "" when there was no failure. */
const char *lssb_error_text(const lssb_client *client);

/* What this build has: each 0 or 1, or a number of bytes. */
typedef struct lssb_feature_list {
    const char *version;
    const char *tls;                /* "bearssl", "mbedtls", "none" */
    uint32_t receive_buffer;        /* LSSB_RECEIVE_BUFFER */
    uint32_t send_buffer;           /* LSSB_SEND_BUFFER */
    uint32_t element;               /* LSSB_ELEMENT */
    bool trace;                     /* LSSB_TRACE */
    uint32_t hold;                  /* LSSB_HOLD */
    bool websocket;                 /* LSSB_WEBSOCKET */
    bool tunnel;                    /* LSSB_TUNNEL */
} lssb_feature_list;

void lssb_features(lssb_feature_list *features);

/* Counters since the client was opened. */
typedef struct lssb_stats_list {
    uint64_t requests;              /* sent, retries included */
    uint64_t retries;
    uint64_t connections;           /* opened */
    uint64_t reused;                /* requests on a kept-alive connection */
    uint64_t resumed;               /* TLS sessions resumed */
    uint64_t sent_bytes;            /* of HTTP, before encryption */
    uint64_t received_bytes;
    uint32_t slots;
    uint32_t slots_high;            /* most in use at once */
    uint32_t operations_high;       /* most under way at once */
    uint32_t element_high;          /* largest JSON element, bytes */
} lssb_stats_list;

void lssb_stats(const lssb_client *client, lssb_stats_list *stats);

/* ------------------------------------------------------------ sandboxes -- */

typedef enum lssb_state {
    LSSB_STATE_OTHER = 0,           /* a word this release does not know */
    LSSB_STATE_PROVISIONING,
    LSSB_STATE_READY,
    LSSB_STATE_FAILED,
    LSSB_STATE_STOPPED,
    LSSB_STATE_DELETING,
    LSSB_STATE_BUILDING             /* snapshots only */
} lssb_state;

/* A sandbox as the service last described it. A plain value: copy it, keep
 * it, drop it; it stays usable as long as its client is open. Numbers that the
 * server left out are LSSB_UNKNOWN, strings empty. */
typedef struct lssb_sandbox {
    lssb_client *client;
    lssb_state state;
    char status[16];                /* the word itself */
    char id[LSSB_ID_SIZE];
    char name[LSSB_NAME_SIZE];
    char dataplane_url[LSSB_URL_SIZE];
    char status_message[256];       /* may be cut */
    char snapshot_id[LSSB_ID_SIZE];
    char created_at[LSSB_TIME_SIZE];
    char updated_at[LSSB_TIME_SIZE];
    char stopped_at[LSSB_TIME_SIZE];
    char created_by[LSSB_ID_SIZE];
    char updated_by[LSSB_ID_SIZE];
    char size_class[32];
    int64_t idle_ttl_s;             /* 0: never stopped */
    int64_t delete_after_stop_s;    /* 0: never deleted */
    int64_t vcpus;
    int64_t cpu_millicores;
    int64_t mem_bytes;
    int64_t fs_capacity_bytes;
    int32_t preserve_memory_on_stop;    /* 0, 1, LSSB_UNKNOWN */
    bool has_run_config;            /* the reply had one */
    char template_name[LSSB_NAME_SIZE];     /* this and below: older servers */
    char expires_at[LSSB_TIME_SIZE];
    int64_t ttl_s;                  /* from its creation on; 0: no end */
} lssb_sandbox;

/* Who runs commands, where, and with which variables (a layer over the
 * snapshot's). Members left NULL keep what is below. */
typedef struct lssb_run_config {
    const char *user;               /* name, uid, name:group, uid:gid */
    const char *work_dir;           /* absolute */
    const lssb_pair *env;
    size_t env_count;
} lssb_run_config;

/* Gets the members of a reply that a struct has no room for, one value at a
 * time: `path` is a JSON pointer (RFC 6901), "/labels/team" or
 * "/proxy_config/rules/0/name"; `value` the text of a string, number, boolean
 * or null. Both are valid during the call only; a value longer than
 * LSSB_ELEMENT allows ends the call with LSSB_E_TOO_LONG. Returns LSSB_OK to
 * go on. A value may come twice: when a request had to be made again, or the
 * box had to be waited for. */
typedef struct lssb_details {
    lssb_status (*take)(void *user, const char *path, const char *value,
                        size_t len);
    void *user;
} lssb_details;

/* The same of a list: `index` is the thing's in the array that the call fills.
 * A `path` that is NULL: what this call told before does not count, for the
 * page is read anew; nor does, in the end, what is not below *count. */
typedef struct lssb_list_details {
    lssb_status (*take)(void *user, size_t index, const char *path,
                        const char *value, size_t len);
    void *user;
} lssb_list_details;

struct lssb_mount_config;           /* see "mounts and the proxy" */
struct lssb_proxy_config;

/* Access to the LangSmith API for code inside a box, as its creator: whatever
 * the creator may do, or these permissions at most. */
typedef struct lssb_access_delegation {
    bool inherit;                   /* true: all of it, and no permissions */
    const char *const *permissions; /* "sandboxes:read", …; at least one */
    size_t permission_count;
} lssb_access_delegation;

typedef struct lssb_sandbox_options {
    const char *name;               /* NULL: the server makes one up */
    const char *snapshot_id;        /* at most one of these two, `snapshot` */
    const char *snapshot_name;      /* and template_name; none: the server's
                                       default. "name" or "name:tag" */
    bool no_wait;                   /* true: return while it is provisioning */
    uint32_t timeout_s;             /* for becoming ready; 0: 30 */
    int64_t idle_ttl_s;             /* stop after so much inactivity: a
                                       multiple of 60; 0: the server's default
                                       (600); LSSB_NEVER */
    int64_t delete_after_stop_s;    /* the same for deletion once stopped */
    uint32_t vcpus;                 /* 0: not sent, here and below */
    uint32_t cpu_millicores;        /* wins over vcpus */
    uint64_t mem_bytes;
    uint64_t fs_capacity_bytes;
    const lssb_run_config *run_config;
    const lssb_pair *env;           /* for every command in the box */
    size_t env_count;
    const lssb_pair *labels;
    size_t label_count;
    const char *const *tag_value_ids;
    size_t tag_value_id_count;
    bool preserve_memory_on_stop;
    int32_t restore_memory;         /* 0: if the snapshot has an image; 1:
                                       always; LSSB_NONE: never */
    const lssb_details *details;    /* of the reply; may be NULL */
    const struct lssb_mount_config *mount_config;   /* storage in the box */
    const struct lssb_proxy_config *proxy_config;   /* its way out */
    const lssb_access_delegation *access_delegation;
    const char *template_name;      /* older servers: instead of a snapshot */
    int64_t ttl_s;                  /* older servers: the longest life, a
                                       multiple of 60; LSSB_NEVER */
    const char *more;               /* a JSON object: its members are sent
                                       along as they are, for what this release
                                       does not know. One that the call sends
                                       by itself is an error */
    const char *snapshot;           /* newer servers: instead of snapshot_name,
                                       with the same meaning */
} lssb_sandbox_options;

/* Creates a sandbox and, unless no_wait, waits until it is ready. *box is
 * filled as soon as the server has named it, also when waiting then fails, so
 * that it can be deleted. Each attempt may take timeout_s + 30 s; by default
 * so may the call. Not idempotent: after a lost connection it is not tried
 * again; give a `name` to find out by a second call whether the first one came
 * through. LSSB_E_ALREADY_EXISTS, LSSB_E_CREATION (type: ImagePull,
 * Unschedulable, …), LSSB_E_QUOTA, LSSB_E_TIMEOUT, LSSB_E_VALIDATION. */
lssb_status lssb_sandbox_create(lssb_client *client,
                                const lssb_sandbox_options *options,
                                lssb_sandbox *box, lssb_op *op);

/* Describes a sandbox, by name or id. LSSB_E_NOT_FOUND. */
lssb_status lssb_sandbox_get(lssb_client *client, const char *name,
                             lssb_sandbox *box, lssb_op *op);

/* The same with the members that the struct has no room for. */
lssb_status lssb_sandbox_get_details(lssb_client *client, const char *name,
                                     lssb_sandbox *box,
                                     const lssb_details *details,
                                     lssb_op *op);

/* The library's own part of a walk through a list; not for you. */
struct lssb_page {
    char cursor[LSSB_URL_SIZE];
    uint64_t offset;
    uint32_t skip;
    uint8_t mode;
    uint8_t repeats;
    char first[LSSB_NAME_SIZE];     /* what the walk began with */
    const lssb_list_details *details;
};

/* A walk through the list of sandboxes. All zeros, then set filters. */
typedef struct lssb_sandbox_list {
    const char *name_contains;      /* ignoring case */
    const char *status;             /* "ready", … */
    const char *created_by;         /* "me" */
    const char *const *labels;      /* "key" or "key=value"; all must match */
    size_t label_count;
    const char *sort_by;            /* "name", "status", "created_at", … */
    const char *sort_order;         /* "asc", "desc" */
    struct lssb_page reserved;
    const lssb_list_details *details;   /* "/labels/team", …; may be NULL */
} lssb_sandbox_list;

/* Stores the next sandboxes of the walk, at most `max`, and their number.
 * LSSB_OK when there was at least one, LSSB_END when there are no more (at
 * once, without `done`, when that is known already). Any number can be walked
 * with room for one. Pages by cursor with servers that know it, by offset with
 * others (protocol 2.4); one that knows neither tells all of them at once, and
 * each is stored once. What the list points to is borrowed until the walk is
 * over. LSSB_E_API: not a sandbox API. */
lssb_status lssb_sandbox_next(lssb_client *client, lssb_sandbox_list *list,
                              lssb_sandbox *boxes, size_t max, size_t *count,
                              lssb_op *op);

typedef struct lssb_sandbox_update {
    const char *name;               /* a new one; NULL: keep */
    int64_t idle_ttl_s;             /* 0: keep; LSSB_NEVER */
    int64_t delete_after_stop_s;    /* 0: keep; LSSB_NEVER */
    uint32_t vcpus;                 /* 0: keep, here and below; from the next */
    uint32_t cpu_millicores;        /* start on */
    uint64_t mem_bytes;
    uint64_t fs_capacity_bytes;
    const lssb_run_config *run_config;  /* merged into the box's */
    const char *const *tag_value_ids;
    size_t tag_value_id_count;
    const struct lssb_proxy_config *proxy_config;   /* replaces all of it; a
                                       header whose secret is opaque and NULL
                                       keeps its stored value */
    int64_t ttl_s;                  /* older servers; 0: keep; LSSB_NEVER */
    const char *more;               /* a JSON object of further members */
} lssb_sandbox_update;

/* Changes a sandbox and stores what it is afterwards in *box, which also says
 * which one. With nothing to change, describes it. LSSB_E_NAME_CONFLICT;
 * LSSB_E_NOT_READY: this server changes the proxy of a box that is ready only,
 * so start it first. */
lssb_status lssb_sandbox_change(lssb_sandbox *box,
                                const lssb_sandbox_update *update,
                                lssb_op *op);

/* Deletes a sandbox and all that is in it. LSSB_E_NOT_FOUND. */
lssb_status lssb_sandbox_delete(const lssb_sandbox *box, lssb_op *op);

/* The same by name or id. */
lssb_status lssb_sandbox_delete_named(lssb_client *client, const char *name,
                                      lssb_op *op);

/* Many to delete at once, and what became of them. */
typedef struct lssb_deletion {
    const char *const *names;
    size_t name_count;
    void (*skipped)(void *user, const char *name, const char *reason);
    void *user;                     /* skipped: for each that was not deleted;
                                       may be NULL. A reason of more than
                                       LSSB_MESSAGE_SIZE - 1 bytes is cut. The
                                       texts are valid during the call only */
    size_t deleted;                 /* set: how many were */
    size_t skipped_count;           /* set: how many were not */
    void (*gone)(void *user, const char *name);
                                    /* for each that was deleted; may be NULL */
} lssb_deletion;

/* Deletes many sandboxes at once. That some were skipped is no failure. */
lssb_status lssb_sandbox_delete_many(lssb_client *client,
                                     lssb_deletion *deletion, lssb_op *op);

/* Asks for the state alone, and stores it and its message in *box. */
lssb_status lssb_sandbox_status(lssb_sandbox *box, lssb_op *op);

/* Polls until the box is ready, about once a second, and stores the whole of
 * it. timeout_s 0: 120. It polls at least once. LSSB_E_CREATION: it failed,
 * or is being deleted; LSSB_E_TIMEOUT: last_status has its state. */
lssb_status lssb_sandbox_wait(lssb_sandbox *box, uint32_t timeout_s,
                              lssb_op *op);

/* Starts a stopped or failed sandbox and waits until it is ready, as above.
 * (A command or file call wakes a stopped box by itself.) */
lssb_status lssb_sandbox_start(lssb_sandbox *box, uint32_t timeout_s,
                               lssb_op *op);

/* Stops a sandbox; its files stay. box->state becomes stopped. */
lssb_status lssb_sandbox_stop(lssb_sandbox *box, lssb_op *op);

/* What the workspace uses, and may use. LSSB_UNKNOWN where left out. */
typedef struct lssb_usage {
    int64_t cpu_limit_millicores;
    int64_t cpu_used_millicores;
    int64_t memory_limit_bytes;
    int64_t memory_used_bytes;
    int64_t pools_count;
    int64_t registries_count;
    int64_t sandbox_direct_count;
    int64_t sandbox_pool_replicas_count;
    int64_t sandbox_running_count;
    int64_t sandbox_stopped_count;
    int64_t sandboxes_limit;
    int64_t sandboxes_used;
    int64_t snapshots_count;
    int64_t templates_count;
} lssb_usage;

lssb_status lssb_usage_get(lssb_client *client, lssb_usage *usage,
                           lssb_op *op);

/* ------------------------------------------------------------- commands -- */

/* A command runs in the box whether anybody is connected to it or not. Here it
 * is followed over a WebSocket (protocol 5); when that breaks, the library
 * attaches to the command again where the output stopped, by itself. No byte
 * is delivered twice; what the server could not keep is reported as lost.
 *
 * lssb_run runs one to its end. With an lssb_command you hold it while it
 * runs: take its output piece by piece, write to its stdin, kill it, leave it
 * and come back to it by its id, from any process.
 *
 * It does so after 0.5, 1, 2, 4 and 8 seconds, at once when the server says
 * that it reloads, and gives up when the sixth attempt in a row has failed; the
 * command goes on by its idle_timeout_s, and lssb_command_reattach finds it.
 *
 * Output is text: the service sends UTF-8, with U+FFFD for each byte that is
 * none. Offsets count its bytes; behind output that was no UTF-8 the server may
 * count otherwise, which the library allows for as long as it follows the
 * command: an offset that is kept for later is exact where the output is. */

/* Takes output as it arrives: whole characters. LSSB_OK: go on. LSSB_AGAIN:
 * nothing was taken, offer the same bytes again later; the command's output
 * waits meanwhile. Anything else ends the call with LSSB_E_STOPPED. */
typedef lssb_status (*lssb_take_fn)(void *user, const void *bytes, size_t len);

typedef enum lssb_stream {
    LSSB_STDOUT = 1,                /* with a PTY: everything */
    LSSB_STDERR = 2
} lssb_stream;

/* Hears that output is missing: `lost` bytes of a stream from `offset` on,
 * because the server no longer had them. */
typedef void (*lssb_gap_fn)(void *user, lssb_stream stream, uint64_t offset,
                            uint64_t lost);

/* Takes what comes on a channel of a forwarded ssh-agent, from the box to the
 * agent: `channel` is the server's name for it. `bytes` NULL: the channel was
 * closed. Answer with lssb_command_agent_write. The status as above, but
 * LSSB_AGAIN, which ends the call. */
typedef lssb_status (*lssb_agent_fn)(void *user, const char *channel,
                                     const void *bytes, size_t len);

/* All zeros: a command with an empty stdin and 60 seconds of time. */
typedef struct lssb_run_options {
    char *out;                      /* stdout goes here, with a NUL behind it */
    size_t out_size;
    char *err;                      /* stderr */
    size_t err_size;
    lssb_take_fn on_out;            /* and here, all of it; may be NULL */
    lssb_take_fn on_err;
    void *user;
    int32_t timeout_s;              /* the server kills the command then;
                                       0: 60; LSSB_NO_LIMIT */
    const char *shell;              /* NULL: "/bin/bash" */
    const char *cwd;                /* NULL: the server's */
    const char *as_user;            /* NULL: the box's. Newer servers only */
    const lssb_pair *env;           /* over the box's variables */
    size_t env_count;

    const char *command_id;         /* NULL: one is made up. Unique within the
                                       box; the same one again means the same
                                       command (protocol 5.4) */
    int32_t idle_timeout_s;         /* the server kills the command after so
                                       long without any client; 0: 300;
                                       LSSB_NEVER */
    int32_t keep_s;                 /* how long one may come back to it after
                                       its end; 0: 600; LSSB_NEVER: no end */
    bool kill_on_disconnect;        /* the server kills it as soon as the last
                                       client is gone, also when a connection
                                       breaks */
    bool open_stdin;                /* true: lssb_command_write is going to be
                                       used, and lssb_command_close_stdin */
    const char *input;              /* all of stdin, UTF-8; excludes
                                       open_stdin */
    size_t input_len;
    bool pty;                       /* a terminal: stdin is open, input is
                                       echoed, stderr comes with stdout */
    uint32_t columns;               /* its size; 0: the server's */
    uint32_t rows;
    bool ssh_agent;                 /* forwards an ssh-agent: on_agent */
    lssb_agent_fn on_agent;
    lssb_gap_fn on_gap;             /* may be NULL */
    uint32_t open_ms;               /* for the command to begin, all attempts
                                       of it; 0: 120,000; LSSB_FOREVER */
    uint32_t ping_ms;               /* between pings; twice as long without an
                                       answer is a broken connection; 0:
                                       30,000; LSSB_FOREVER: none */
    lssb_error *error;              /* why a command that is held failed; may
                                       be NULL (lssb_run: op->error) */
} lssb_run_options;

/* How a command ended. */
typedef struct lssb_result {
    int32_t exit_code;              /* -1 if the server did not say */
    uint64_t out_len;               /* bytes of stdout, all of them: more */
    uint64_t err_len;               /* than your buffer held is no error */
    bool out_cut;                   /* some did not fit `out` */
    bool err_cut;
    char command_id[LSSB_ID_SIZE];  /* set as soon as it is known, also when
                                       the call fails: to come back with */
    uint64_t out_offset;            /* behind the last byte that came */
    uint64_t err_offset;
    uint64_t out_lost;              /* bytes that the server did not keep */
    uint64_t err_lost;
    uint32_t reattached;            /* how often the connection was replaced */
    bool input_uncertain;           /* a connection broke after input had gone
                                       out on it: some may be missing */
} lssb_result;

/* Runs a command by a shell and waits for its end. An exit code that is not 0
 * is a result, not an error. Output beyond a buffer is counted and dropped;
 * callbacks get everything. By default the call may take open_ms, timeout_s
 * and a minute; with LSSB_NO_LIMIT it may take for ever. Canceled, or out of
 * time, it leaves the command to the server and its limits. Starting is tried
 * again up to five times, under the same id, so that it runs once.
 *
 * An older server does not know how to give a command an empty stdin: one that
 * reads it waits there for its timeout_s; "exec </dev/null; …" helps.
 *
 * LSSB_E_COMMAND_TIMEOUT, LSSB_E_OPERATION (what the server said, type),
 * LSSB_E_CONNECTION (lost for good; result->command_id is how to come back),
 * LSSB_E_CONNECT_TIMEOUT, LSSB_E_UNAVAILABLE, LSSB_E_SERVER_RELOAD,
 * LSSB_E_NOT_STARTED (could not be started), LSSB_E_PROTOCOL,
 * LSSB_E_NOT_CONFIGURED. A build with LSSB_WEBSOCKET 0 asks by POST /execute
 * instead (protocol 4.1): once, without most of the options. */
lssb_status lssb_run(const lssb_sandbox *box, const char *command,
                     const lssb_run_options *options, lssb_result *result,
                     lssb_op *op);

/* A piece of output. */
typedef struct lssb_chunk {
    lssb_stream stream;
    const char *bytes;              /* whole characters; no NUL behind them */
    size_t len;                     /* may be 0 if `lost` is not */
    uint64_t offset;                /* of the first byte, in its stream */
    uint64_t lost;                  /* bytes just before that which the server
                                       no longer had */
} lssb_chunk;

/* What is known of one stream; not for you. */
struct lssb_command_stream {
    uint64_t anchor;                /* offset of the last message */
    uint64_t text;                  /* bytes of it that were delivered */
    uint64_t drop;                  /* to be dropped of a replay */
    bool approximate;               /* that text holds a U+FFFD */
    bool fresh;                     /* nothing came yet on this connection */
};

/* The library's own part of a command; not for you. */
struct lssb_command_state {
    lssb_op carrier;                /* follows it, once it has started */
    lssb_op *starter;               /* until then */
    lssb_op *waiter;                /* lssb_command_wait */
    const lssb_sandbox *box;
    const char *text;
    const lssb_run_options *options;
    struct lssb_command_stream streams[2];
    uint64_t len[2];                /* delivered, or dropped as unwanted */
    uint64_t open_end_at;
    uint64_t kill_end_at;
    uint64_t reload_at;             /* the last close for a reload */
    uint64_t input_sent;            /* bytes of options->input */
    uint64_t gap;                   /* lost before the chunk at hand */
    uint64_t offset;                /* of the message at hand */
    int64_t exit_code;              /* of it, and its pid, if it has them */
    int64_t pid;
    volatile uint32_t kill_posted;
    uint32_t held;                  /* decoded bytes that wait */
    uint32_t columns;
    uint32_t rows;
    uint32_t said_columns;          /* in the message on its way */
    uint32_t said_rows;
    uint32_t flags;
    uint16_t failures;
    uint8_t phase;
    uint8_t sending;
    uint8_t type;                   /* of the message at hand */
    uint8_t stream;
    uint8_t word_len;
    bool given;                     /* the caller looks at what is held */
    bool cut[2];
    char word[24];                  /* its type, as it comes */
};

/* A command that somebody holds. Yours, all zeros before its first use; it must
 * stay where it is, and its members are read only, until lssb_command_close is
 * final. Close it before its client: what lssb_close ends is gone. */
typedef struct lssb_command {
    lssb_client *client;
    char id[LSSB_ID_SIZE];          /* known before the first attempt */
    int64_t pid;                    /* LSSB_UNKNOWN until the server says it */
    lssb_status status;             /* LSSB_PENDING while it is followed;
                                       LSSB_OK: it ended, exit_code; LSSB_END:
                                       it was closed; else why it is followed
                                       no longer */
    int32_t exit_code;              /* -1 if the server did not say */
    bool attached;                  /* a connection is there now */
    bool input_uncertain;           /* as in lssb_result, with what follows */
    uint32_t reattached;
    uint64_t out_offset;            /* behind the last byte that you got */
    uint64_t err_offset;
    uint64_t out_lost;
    uint64_t err_lost;
    union {
        struct lssb_command_state state;
        uint64_t size[96];          /* the same size in every build */
    } reserved;
} lssb_command;

/* Starts a command; done when the server says that it runs. From then on the
 * command holds a connection of the client's, one of lssb_config.slots, until
 * it has ended and you have taken its output, or until you close it. Borrowed
 * until then: `box`, `options` with everything in it, the operation's headers;
 * `text` only until this call is done. NULL or "" for `text` with a PTY: an
 * interactive shell.
 *
 * If options have on_out, on_err, out or err, output goes there as with
 * lssb_run; otherwise to lssb_command_next. Failures as with lssb_run. */
lssb_status lssb_command_start(lssb_command *command, const lssb_sandbox *box,
                               const char *text,
                               const lssb_run_options *options, lssb_op *op);

/* Comes back to a command by its id, from whichever process: options as far as
 * they concern output, pings, stdin (open_stdin, pty: what you started it
 * with) and the agent. Output begins at the offsets: 0 for all that the server
 * still has, or out_offset and err_offset of whoever followed it before. One
 * that has ended gives the rest of its output and its exit code. Several
 * clients may follow one command. Tried once, for at most 30 s. Failures as
 * with lssb_run; LSSB_E_OPERATION with type CommandNotFound or SessionExpired:
 * the server does not know it any more. */
lssb_status lssb_command_reattach(lssb_command *command,
                                  const lssb_sandbox *box, const char *id,
                                  uint64_t out_offset, uint64_t err_offset,
                                  const lssb_run_options *options,
                                  lssb_op *op);

/* The next piece of output, valid until the next call of this function or of
 * lssb_command_wait for this command, or its close. LSSB_AGAIN: none within
 * `wait_ms` (0: looks at what has arrived, which may call on_gap and on_agent,
 * and steps nothing; the one that is allowed in a callback). LSSB_END: the
 * command has ended, and exit_code says how. Otherwise the failure that ended
 * it, as often as it is asked for. */
lssb_status lssb_command_next(lssb_command *command, lssb_chunk *chunk,
                              uint32_t wait_ms);

/* Waits for the end of a command. Output that nobody takes is counted and
 * dropped meanwhile, also when the waiting ends early: result->out_len is what
 * was delivered and what was dropped. `result` may be NULL. The failure that
 * ended the command is this call's; a deadline or a cancel ends the waiting
 * only. */
lssb_status lssb_command_wait(lssb_command *command, lssb_result *result,
                              lssb_op *op);

/* Gives input to a command: text, whole UTF-8 characters; one that is cut at
 * the end stays untaken. Stores in *taken (which may be NULL) how much was
 * taken: all of it, or what there was room for within `wait_ms`. LSSB_OK if it
 * was any, LSSB_AGAIN if nothing can be sent just now (no room, or no
 * connection), LSSB_END when the command has ended, LSSB_E_INVALID_ARGUMENT if
 * what follows is no UTF-8 or nothing but the beginning of a character.
 * Input is not acknowledged: what was sent just before a connection broke may
 * be lost, and command->input_uncertain says so. For input that has to be
 * complete upload a file and redirect from it. LSSB_E_OPERATION: its stdin is
 * not open. */
lssb_status lssb_command_write(lssb_command *command, const void *bytes,
                               size_t len, size_t *taken, uint32_t wait_ms);

/* Ends the input: the command reads end-of-file after what was written. Queued,
 * and said again on every new connection. With a PTY write "\004" instead:
 * LSSB_E_OPERATION. A second time it does nothing. An older server ignores
 * it. */
lssb_status lssb_command_close_stdin(lssb_command *command);

/* Tells a PTY its size, both at least 1. Queued; the last one counts. */
lssb_status lssb_command_resize(lssb_command *command, uint32_t columns,
                                uint32_t rows);

/* Kills the command and its process group (SIGKILL). Queued, also before it
 * has started and while there is no connection; lssb_command_close waits until
 * it has gone out, ten seconds at most. Ten seconds after the server was told,
 * if no exit code has come (and no output waits to be taken), the command ends
 * with LSSB_E_CONNECTION; at once, if the connection breaks then: whether the
 * kill has arrived nobody knows (protocol 5.10). lssb_command_reattach finds
 * out, and a second kill does no harm. */
lssb_status lssb_command_kill(lssb_command *command);

/* The same from another thread or a signal handler: a flag and a wake. The
 * command must have been started, and not closed. */
void lssb_post_kill(lssb_command *command);

/* Answers on a channel of a forwarded ssh-agent, and ends one. *taken and
 * `wait_ms` as with lssb_command_write. */
lssb_status lssb_command_agent_write(lssb_command *command,
                                     const char *channel, const void *bytes,
                                     size_t len, size_t *taken,
                                     uint32_t wait_ms);
lssb_status lssb_command_agent_close(lssb_command *command,
                                     const char *channel, uint32_t wait_ms);

/* Lets go of a command: gives its connection back. One that still runs goes on
 * in the box by its limits (idle_timeout_s, kill_on_disconnect). When this is
 * final the struct is yours again, also when it was canceled or late: then the
 * connection was dropped, and a kill that waited may not have been sent. All
 * zeros is allowed, and nothing to do. */
lssb_status lssb_command_close(lssb_command *command, lssb_op *op);

/* ---------------------------------------------------------------- files -- */

#define LSSB_SIZE_UNKNOWN UINT64_MAX

/* Bytes to send. read_at stores at most `len` bytes from `offset` on and
 * returns their number, at least 1; 0 or less ends the call with
 * LSSB_E_STOPPED. It may be asked for the same bytes again. */
typedef struct lssb_source {
    ptrdiff_t (*read_at)(void *ctx, uint64_t offset, void *bytes, size_t len);
    void *ctx;
    uint64_t size;                  /* known beforehand, exact */
} lssb_source;

/* A part of a file, and conditions. All zeros: the whole file. */
typedef struct lssb_range {
    uint64_t start;                 /* the first byte */
    uint64_t length;                /* 0: to the end, as is more than it has */
    uint64_t last;                  /* not 0: the last so many bytes instead */
    const char *if_range;           /* an ETag: the part, if it is still that
                                       file, else the whole one */
    const char *if_none_match;      /* an ETag: nothing, if it is still that */
} lssb_range;

/* What is known of a file. */
typedef struct lssb_file {
    uint64_t size;                  /* of the whole; or LSSB_SIZE_UNKNOWN */
    uint64_t start;                 /* of the part that came */
    uint64_t length;                /* bytes that came */
    bool partial;                   /* a part came, as asked (206) */
    bool unchanged;                 /* if_none_match held: nothing came (304) */
    char etag[128];                 /* "" if the server sent none that fits */
    char last_modified[LSSB_TIME_SIZE];
    char content_type[96];          /* may be cut */
} lssb_file;

/* How a transfer is watched. */
typedef struct lssb_transfer {
    void (*progress)(void *user, uint64_t moved, uint64_t total);
    void *user;                     /* total: LSSB_SIZE_UNKNOWN if not known */
} lssb_transfer;

/* All file calls: paths are absolute, or relative to /home/user; any bytes
 * but NUL. No limit of time as a whole by default, but transfer_timeout_ms
 * without a byte moving. They are idempotent and tried again (protocol 8).
 * LSSB_E_NOT_FOUND (file), LSSB_E_OPERATION (read, write), LSSB_E_NOT_READY,
 * LSSB_E_NOT_CONFIGURED. */

/* Writes a file from memory, over what was there. */
lssb_status lssb_file_write(const lssb_sandbox *box, const char *path,
                            const void *bytes, size_t len, lssb_op *op);

/* Reads a whole file into memory; *len gets its size. One that is larger than
 * `size` fails with LSSB_E_TOO_LONG, and *len says how large, if known (it is
 * larger than `size` in any case). */
lssb_status lssb_file_read(const lssb_sandbox *box, const char *path,
                           void *bytes, size_t size, size_t *len,
                           lssb_op *op);

/* Writes a file of any size from a source. `how` may be NULL. */
lssb_status lssb_file_upload(const lssb_sandbox *box, const char *path,
                             const lssb_source *source,
                             const lssb_transfer *how, lssb_op *op);

/* Reads a file of any size, or a part of it, piece by piece. After a lost
 * connection it goes on where it stopped if the file is still the same (its
 * ETag), and fails otherwise: `take` never gets a byte twice. When a part was
 * asked for the whole may come all the same (if_range did not hold, or the
 * server knows no ranges): then file->partial is false and file->start 0, so
 * start over. `begin`, which may be NULL, is called with that before the first
 * byte, and again if another attempt has to be made before one has come.
 * LSSB_E_OPERATION (read, HTTP status 416): the part begins past the end. */
typedef struct lssb_download {
    lssb_range range;
    lssb_status (*begin)(void *user, const lssb_file *file);
    lssb_take_fn take;
    void *user;
    lssb_transfer how;
} lssb_download;

lssb_status lssb_file_download(const lssb_sandbox *box, const char *path,
                               const lssb_download *download, lssb_file *file,
                               lssb_op *op);

/* Size and validators of a file, without its bytes. */
lssb_status lssb_file_stat(const lssb_sandbox *box, const char *path,
                           lssb_file *file, lssb_op *op);

/* ------------------------------------------------- mounts and the proxy -- */

/* What the service puts where a secret belongs. It is sent once, never shown
 * again, and never part of an error or a trace. Blanks around it do not
 * count. */
typedef enum lssb_secret_kind {
    LSSB_SECRET_UNSET = 0,
    LSSB_SECRET_WORKSPACE,          /* a secret of the workspace by its name,
                                       "NAME" or "{NAME}"; in a header also
                                       within text, "Bearer {NAME}" */
    LSSB_SECRET_OPAQUE,             /* the value itself, write-only */
    LSSB_SECRET_PLAINTEXT           /* readable, as it is: headers only */
} lssb_secret_kind;

typedef struct lssb_secret {
    lssb_secret_kind kind;
    const char *value;
} lssb_secret;

/* Who an AWS request is from: both keys, or a role alone. */
typedef struct lssb_aws {
    lssb_secret access_key_id;
    lssb_secret secret_access_key;
    const char *role_arn;           /* "arn:aws:iam::…:role/…"; at creation
                                       only. Newer servers */
    const char *subject_scope;      /* with a role: "workspace" or "tag:" and
                                       one of the box's tag_value_ids; NULL:
                                       the server's default */
} lssb_aws;

typedef struct lssb_gcp {
    lssb_secret service_account_json;
    const char *const *scopes;      /* at least one in a proxy rule; in a mount
                                       configuration they do not count */
    size_t scope_count;
} lssb_gcp;

/* Kinds of storage. A mount has one of them. */
typedef struct lssb_s3 {
    const char *bucket;
    const char *region;             /* NULL: "us-east-1" */
    const char *endpoint_url;       /* NULL: "https://s3.amazonaws.com" */
    const char *prefix;             /* NULL: all of the bucket */
    bool path_style;
} lssb_s3;

typedef struct lssb_gcs {
    const char *bucket;
    const char *prefix;             /* NULL: all of the bucket */
} lssb_gcs;

typedef struct lssb_git {
    const char *remote_url;         /* https, a host and a path; no user, no
                                       query */
    const char *branch;             /* at most one of these two; neither: the */
    const char *tag;                /* remote's default */
    uint32_t refresh_interval_s;    /* 0: the server's */
} lssb_git;

typedef struct lssb_contexthub {
    const char *repo;               /* "owner/repo"; "-/repo": this workspace's
                                       own */
    bool initial_pull_only;         /* true: not kept up to date */
} lssb_contexthub;

/* How a bucket is cached. 0: the server's; LSSB_NONE: 0. */
typedef struct lssb_mount_cache {
    int64_t max_size_bytes;
    int64_t writeback_s;
} lssb_mount_cache;

typedef struct lssb_mount {
    const char *id;                 /* letters, digits, '_', '-'; unique */
    const char *path;               /* where in the box: buckets and git below
                                       /mnt/mounts */
    const lssb_s3 *s3;              /* one of these four */
    const lssb_gcs *gcs;
    const lssb_git *git;
    const lssb_contexthub *contexthub;
    int32_t read_only;              /* buckets: 1: yes; LSSB_NONE: no; 0: the
                                       server's default */
    const lssb_mount_cache *cache;  /* buckets */
    const char *json;               /* instead of all the above: the mount as a
                                       JSON object, for kinds that this release
                                       does not know */
} lssb_mount;

/* Storage in a box. S3 wants `aws` here or an enabled AWS rule in the proxy's
 * configuration, GCS wants `gcp`; what no mount needs, or what the proxy has a
 * rule for as well, is refused. */
typedef struct lssb_mount_config {
    const lssb_mount *mounts;
    size_t mount_count;             /* at least 1 */
    const lssb_aws *aws;            /* what these mounts may do; or NULL */
    const lssb_gcp *gcp;
    const char *json;               /* instead of all the above: the whole as a
                                       JSON object. Checked are which mounts
                                       and credentials go together, and that no
                                       mount holds any; what else is in it is
                                       the caller's to get right, here as in
                                       every other `json` */
} lssb_mount_config;

typedef struct lssb_proxy_header {
    const char *name;
    lssb_secret value;
} lssb_proxy_header;

/* What the proxy does to requests. With `aws` or `gcp` it signs those to AWS
 * or Google (name NULL: "aws", "gcp"); otherwise it adds headers to those that
 * match. A host pattern is a domain, "*.example.com", an address, a CIDR
 * block, "~regex" or "host:port". */
typedef struct lssb_proxy_rule {
    const char *name;
    bool disabled;                  /* true: kept, but not in force */
    const char *const *match_hosts; /* these three: header rules only */
    size_t match_host_count;
    const char *const *match_paths;
    size_t match_path_count;
    const lssb_proxy_header *headers;
    size_t header_count;
    const lssb_aws *aws;
    const lssb_gcp *gcp;
    const lssb_pair *env;           /* placeholders for every command, for
                                       programs that want a key to be set */
    size_t env_count;
    const char *json;               /* instead of all the above: the rule as a
                                       JSON object */
} lssb_proxy_rule;

/* Where the proxy asks for credentials. */
typedef struct lssb_proxy_callback {
    const char *const *match_hosts; /* at least 1 */
    size_t match_host_count;
    const char *url;
    uint32_t ttl_s;                 /* 60 to 3600 */
    bool full_request;
    const lssb_proxy_header *request_headers;
    size_t request_header_count;
} lssb_proxy_callback;

/* A box's way out. All zeros: no rules. Of the two lists at most one is not
 * NULL; one with a count of 0 lets nothing through, or refuses nothing. By
 * default HTTP and HTTPS may go anywhere, other ports want an entry with the
 * port in `allow`. */
typedef struct lssb_proxy_config {
    const lssb_proxy_rule *rules;
    size_t rule_count;
    const char *const *allow;       /* host patterns */
    size_t allow_count;
    const char *const *deny;
    size_t deny_count;
    const lssb_proxy_callback *callbacks;
    size_t callback_count;
    const char *json;               /* instead of all the above: the whole as a
                                       JSON object */
} lssb_proxy_config;

/* ------------------------------------------------------------ snapshots -- */

/* What boxes start from, as the service last described it: a file system, and
 * perhaps a memory. A plain value, as an lssb_sandbox is. */
typedef struct lssb_snapshot {
    lssb_client *client;
    lssb_state state;               /* building, ready, failed, deleting */
    char status[16];                /* the word itself */
    char id[LSSB_ID_SIZE];
    char name[LSSB_NAME_SIZE];
    char status_message[256];       /* may be cut */
    char docker_image[LSSB_URL_SIZE];
    char image_digest[128];
    char source_sandbox_id[LSSB_ID_SIZE];
    char registry_id[LSSB_ID_SIZE];
    char created_by[LSSB_ID_SIZE];
    char created_at[LSSB_TIME_SIZE];
    char updated_at[LSSB_TIME_SIZE];
    int64_t fs_capacity_bytes;      /* 0 if the server did not say */
    int64_t fs_used_bytes;          /* LSSB_UNKNOWN, as is the next */
    int64_t memory_snapshot_size_bytes;
    bool has_run_config;            /* what its boxes run with is known */
} lssb_snapshot;

/* A snapshot from an image of a registry. */
typedef struct lssb_snapshot_options {
    const char *name;
    const char *docker_image;       /* "python:3.12-slim" */
    uint64_t fs_capacity_bytes;     /* of the boxes' file system; these three
                                       are required */
    const char *registry_id;        /* of a private registry */
    const char *tag;                /* of the name; NULL: "latest" */
    const lssb_run_config *run_config;  /* over the image's own */
    const lssb_pair *labels;
    size_t label_count;
    bool no_wait;                   /* true: return while it is being built */
    uint32_t timeout_s;             /* for becoming ready; 0: 60 */
    const char *registry_url;       /* these three: older servers, instead of */
    const char *registry_username;  /* a registry_id */
    const char *registry_password;
    const char *more;               /* a JSON object of further members */
    const lssb_details *details;    /* "/labels/team", "/tags/0", … */
} lssb_snapshot_options;

/* Creates a snapshot from an image and, unless no_wait, waits until it is
 * ready. *snapshot is filled as soon as the server has named it, also when
 * waiting then fails. Not idempotent, as lssb_sandbox_create. LSSB_E_CREATION:
 * the build failed; LSSB_E_TIMEOUT: last_status has its state. */
lssb_status lssb_snapshot_create(lssb_client *client,
                                 const lssb_snapshot_options *options,
                                 lssb_snapshot *snapshot, lssb_op *op);

/* A snapshot of a box that is there. */
typedef struct lssb_capture_options {
    const char *name;               /* required */
    const char *docker_image;       /* an image of the Docker daemon inside the
                                       box, instead of the box's files */
    uint64_t fs_capacity_bytes;     /* for such an image; 0: the server's */
    const char *tag;                /* of the name; NULL: "latest" */
    bool include_memory;            /* what runs goes on in the new boxes */
    const lssb_run_config *run_config;  /* over the box's own */
    const lssb_pair *labels;
    size_t label_count;
    bool no_wait;
    uint32_t timeout_s;             /* for becoming ready; 0: 60 */
    const char *checkpoint;         /* older servers: the time of one */
    const char *more;               /* a JSON object of further members */
    const lssb_details *details;
} lssb_capture_options;

/* Captures the files of a box (but for /tmp, which is memory) and, unless
 * no_wait, waits until the snapshot is ready. The rest is as above.
 * LSSB_E_NOT_FOUND (sandbox). */
lssb_status lssb_snapshot_capture(const lssb_sandbox *box,
                                  const lssb_capture_options *options,
                                  lssb_snapshot *snapshot, lssb_op *op);

/* Describes a snapshot, by its id, "name" or "name:tag"; `details` (may be
 * NULL) gets what the struct has no room for. LSSB_E_NOT_FOUND. */
lssb_status lssb_snapshot_get(lssb_client *client, const char *name,
                              lssb_snapshot *snapshot,
                              const lssb_details *details, lssb_op *op);

/* Polls until the snapshot is ready, about every two seconds, and stores the
 * whole of it. timeout_s 0: 300. It polls at least once. LSSB_E_CREATION: it
 * failed, or is being deleted; LSSB_E_TIMEOUT: last_status has its state. */
lssb_status lssb_snapshot_wait(lssb_snapshot *snapshot, uint32_t timeout_s,
                               lssb_op *op);

/* Deletes a snapshot; and the same by id or name. LSSB_E_NOT_FOUND,
 * LSSB_E_IN_USE. */
lssb_status lssb_snapshot_delete(const lssb_snapshot *snapshot, lssb_op *op);
lssb_status lssb_snapshot_delete_named(lssb_client *client, const char *name,
                                       lssb_op *op);

/* A walk through the list of snapshots. All zeros, then set filters. */
typedef lssb_sandbox_list lssb_snapshot_list;   /* the same filters */

/* Stores the next snapshots of the walk; as lssb_sandbox_next. */
lssb_status lssb_snapshot_next(lssb_client *client, lssb_snapshot_list *list,
                               lssb_snapshot *snapshots, size_t max,
                               size_t *count, lssb_op *op);

/* Takes the tags of a name, each with the id of the snapshot that it means.
 * Returns LSSB_OK to go on. Both texts are valid during the call only. */
typedef struct lssb_tag_list {
    lssb_status (*take)(void *user, const char *tag, const char *snapshot_id);
    void *user;
    size_t count;                   /* set: how many there were */
} lssb_tag_list;

/* Tells all tags of a snapshot's name. Newer servers. LSSB_E_NOT_FOUND. */
lssb_status lssb_snapshot_tags(lssb_client *client, const char *name,
                               lssb_tag_list *tags, lssb_op *op);

/* ----------------------------------------------------------- registries -- */

/* Where private images come from. Its user and password never come back. */
typedef struct lssb_registry {
    char id[LSSB_ID_SIZE];          /* for lssb_snapshot_options */
    char name[LSSB_NAME_SIZE];
    char url[LSSB_URL_SIZE];
    char created_at[LSSB_TIME_SIZE];
    char created_by[LSSB_ID_SIZE];
    char updated_at[LSSB_TIME_SIZE];
    char updated_by[LSSB_ID_SIZE];
} lssb_registry;

typedef struct lssb_registry_options {
    const char *name;               /* all four are required at creation; with
                                       a change, NULL: keep */
    const char *url;
    const char *username;
    const char *password;
    const char *more;               /* a JSON object of further members */
} lssb_registry_options;

/* All of these: 90 s by default. LSSB_E_ALREADY_EXISTS. */
lssb_status lssb_registry_create(lssb_client *client,
                                 const lssb_registry_options *options,
                                 lssb_registry *registry, lssb_op *op);
/* LSSB_E_NOT_FOUND, here and below. */
lssb_status lssb_registry_get(lssb_client *client, const char *name,
                              lssb_registry *registry, lssb_op *op);
/* Changes what is set. With nothing set, describes it. LSSB_E_NAME_CONFLICT. */
lssb_status lssb_registry_change(lssb_client *client, const char *name,
                                 const lssb_registry_options *options,
                                 lssb_registry *registry, lssb_op *op);
lssb_status lssb_registry_delete(lssb_client *client, const char *name,
                                 lssb_op *op);

typedef struct lssb_registry_list {
    const char *name_contains;
    struct lssb_page reserved;
    const lssb_list_details *details;
} lssb_registry_list;

/* Stores the next registries of the walk; as lssb_sandbox_next, but the service
 * pages them by offset only: what is deleted or made meanwhile shifts the rest,
 * so that some may be missed or told twice. */
lssb_status lssb_registry_next(lssb_client *client, lssb_registry_list *list,
                               lssb_registry *registries, size_t max,
                               size_t *count, lssb_op *op);

/* -------------------------------------------- templates, volumes, pools -- */

/* What older servers had before snapshots; where they are gone, a list fails
 * with LSSB_E_API and all else with LSSB_E_NOT_FOUND. A box is made from a
 * template by lssb_sandbox_options, template_name.
 *
 * A walk through such a list: all zeros, then `details`, or not. */
typedef struct lssb_plain_list {
    struct lssb_page reserved;
    const lssb_list_details *details;   /* "/volume_mounts/0/mount_path", … */
} lssb_plain_list;

typedef struct lssb_volume_mount {
    const char *volume_name;
    const char *mount_path;
} lssb_volume_mount;

typedef struct lssb_template_options {
    const char *name;               /* required, as is the image */
    const char *image;
    const char *cpu;                /* NULL: "500m" */
    const char *memory;             /* NULL: "512Mi" */
    const char *storage;            /* NULL: not sent */
    const lssb_volume_mount *volume_mounts;
    size_t volume_mount_count;
    const lssb_details *details;    /* "/volume_mounts/0/mount_path", … */
    const char *more;               /* a JSON object of further members */
} lssb_template_options;

typedef struct lssb_template {
    char id[LSSB_ID_SIZE];
    char name[LSSB_NAME_SIZE];
    char image[LSSB_URL_SIZE];      /* "unknown" if the server did not say */
    char cpu[32];                   /* "500m" */
    char memory[32];                /* "512Mi" */
    char storage[32];
    char created_at[LSSB_TIME_SIZE];
    char updated_at[LSSB_TIME_SIZE];
} lssb_template;

lssb_status lssb_template_create(lssb_client *client,
                                 const lssb_template_options *options,
                                 lssb_template *created, lssb_op *op);
/* `details` may be NULL. LSSB_E_NOT_FOUND, here and below. */
lssb_status lssb_template_get(lssb_client *client, const char *name,
                              lssb_template *found,
                              const lssb_details *details, lssb_op *op);
/* LSSB_E_NAME_CONFLICT. */
lssb_status lssb_template_rename(lssb_client *client, const char *name,
                                 const char *new_name, lssb_template *renamed,
                                 lssb_op *op);
/* LSSB_E_IN_USE: a sandbox or a pool is made from it. */
lssb_status lssb_template_delete(lssb_client *client, const char *name,
                                 lssb_op *op);
/* Stores the next templates of the walk; as lssb_sandbox_next. */
lssb_status lssb_template_next(lssb_client *client, lssb_plain_list *list,
                               lssb_template *templates, size_t max,
                               size_t *count, lssb_op *op);

typedef struct lssb_volume_options {
    const char *name;               /* required, as is the size */
    const char *size;               /* "10Gi"; with a change, only more */
    uint32_t timeout_s;             /* for becoming ready; 0: 60. Not with a
                                       change */
    const char *more;               /* a JSON object of further members */
} lssb_volume_options;

typedef struct lssb_volume {
    char id[LSSB_ID_SIZE];
    char name[LSSB_NAME_SIZE];
    char size[32];                  /* "unknown" if the server did not say */
    char storage_class[64];         /* "default" */
    char created_at[LSSB_TIME_SIZE];
    char updated_at[LSSB_TIME_SIZE];
} lssb_volume;

/* Waits on the server until the volume is there, for timeout_s + 30 s at most;
 * not idempotent. LSSB_E_CREATION, LSSB_E_TIMEOUT. */
lssb_status lssb_volume_create(lssb_client *client,
                               const lssb_volume_options *options,
                               lssb_volume *volume, lssb_op *op);
lssb_status lssb_volume_get(lssb_client *client, const char *name,
                            lssb_volume *volume, lssb_op *op);
/* Changes the members that are not NULL; with none, describes it.
 * LSSB_E_NAME_CONFLICT, LSSB_E_QUOTA, LSSB_E_VALIDATION (type: VolumeResize:
 * it cannot become smaller). */
lssb_status lssb_volume_change(lssb_client *client, const char *name,
                               const lssb_volume_options *options,
                               lssb_volume *volume, lssb_op *op);
/* LSSB_E_IN_USE. */
lssb_status lssb_volume_delete(lssb_client *client, const char *name,
                               lssb_op *op);
lssb_status lssb_volume_next(lssb_client *client, lssb_plain_list *list,
                             lssb_volume *volumes, size_t max, size_t *count,
                             lssb_op *op);

/* Sandboxes of one template that stand ready. */
typedef struct lssb_pool_options {
    const char *name;               /* required, as are the next two */
    const char *template_name;      /* one without volumes */
    int32_t replicas;               /* with a change, 0: keep; LSSB_NONE: none,
                                       which pauses the pool */
    uint32_t timeout_s;             /* until the first is ready; 0: 30 */
    const char *more;               /* a JSON object of further members */
} lssb_pool_options;

typedef struct lssb_pool {
    char id[LSSB_ID_SIZE];
    char name[LSSB_NAME_SIZE];
    char template_name[LSSB_NAME_SIZE];
    int64_t replicas;               /* 0 if the server did not say */
    char created_at[LSSB_TIME_SIZE];
    char updated_at[LSSB_TIME_SIZE];
} lssb_pool;

/* Waits on the server until one is ready, for timeout_s + 30 s at most; not
 * idempotent. LSSB_E_NOT_FOUND (template), LSSB_E_VALIDATION (it has volumes),
 * LSSB_E_ALREADY_EXISTS, LSSB_E_QUOTA, LSSB_E_TIMEOUT. */
lssb_status lssb_pool_create(lssb_client *client,
                             const lssb_pool_options *options,
                             lssb_pool *pool, lssb_op *op);
lssb_status lssb_pool_get(lssb_client *client, const char *name,
                          lssb_pool *pool, lssb_op *op);
/* Changes name and replicas, if they are set, and what `more` says; with
 * nothing, describes it. The other members are not looked at. The errors of a
 * creation, and LSSB_E_NAME_CONFLICT. */
lssb_status lssb_pool_change(lssb_client *client, const char *name,
                             const lssb_pool_options *options,
                             lssb_pool *pool, lssb_op *op);
/* Ends its sandboxes, too. */
lssb_status lssb_pool_delete(lssb_client *client, const char *name,
                             lssb_op *op);
lssb_status lssb_pool_next(lssb_client *client, lssb_plain_list *list,
                           lssb_pool *pools, size_t max, size_t *count,
                           lssb_op *op);

/* ------------------------------------------------------------- searches -- */

/* What was found: an entry of a directory (glob), or a line (grep). Its texts
 * are valid during the call of `take` only. */
typedef struct lssb_match {
    const char *path;               /* absolute */
    bool is_dir;                    /* glob */
    int64_t size_bytes;             /* glob; LSSB_UNKNOWN */
    const char *modified_at;        /* glob: RFC 3339; "" if not known */
    int64_t line;                   /* grep: from 1; LSSB_UNKNOWN */
    const char *text;               /* grep: the line; a long one is cut, at
                                       about half of LSSB_ELEMENT */
    size_t text_len;                /* it may hold a NUL */
} lssb_match;

typedef struct lssb_search {
    const char *pattern;            /* glob: paths relative to `path`, "**" for
                                       any number of segments, "*", "?",
                                       "[...]" within one. grep: a text, not a
                                       regular expression */
    const char *path;               /* the directory, absolute */
    const char *glob;               /* grep: in which files, "*.py"; NULL */
    uint32_t limit;                 /* at most so many; 0: the server's */
    lssb_status (*take)(void *user, const lssb_match *match);
                                    /* returns LSSB_OK to go on */
    void *user;
    uint64_t count;                 /* set: matches that were told */
    bool truncated;                 /* set: the server stopped early; what was
                                       told is a part: ask more narrowly */
} lssb_search;

/* Finds files and directories ("*": those in the directory itself). No limit
 * of time as a whole by default, but transfer_timeout_ms without a byte. Tried
 * again only as long as no match was told: none is told twice.
 * LSSB_E_NOT_FOUND (file): no such directory, or a server without searches;
 * else as file calls. */
lssb_status lssb_glob(const lssb_sandbox *box, lssb_search *search,
                      lssb_op *op);

/* Finds lines that hold a text. The rest is as above. */
lssb_status lssb_grep(const lssb_sandbox *box, lssb_search *search,
                      lssb_op *op);

/* ---------------------------------------------------------- local files -- */

/* What a name in a directory stands for. */
typedef enum lssb_entry_kind {
    LSSB_ENTRY_OTHER = 0,           /* a device, a pipe, a socket */
    LSSB_ENTRY_FILE,
    LSSB_ENTRY_DIRECTORY,
    LSSB_ENTRY_SYMLINK
} lssb_entry_kind;

/* What is known of it. */
typedef struct lssb_local_info {
    lssb_entry_kind kind;
    uint32_t mode;                  /* permissions: 07777 at most */
    uint64_t size;                  /* bytes of a file, of a link's target */
    int64_t mtime_s;                /* since 1970 */
    uint32_t mtime_ns;
} lssb_local_info;

#define LSSB_FILES_VERSION 1

/* Files of the machine that this runs on. The library touches none by itself:
 * the calls that want some take this table, `&lssb_default_files` or one of
 * your own. Add port/files_posix.c or port/files_windows.c to your build for
 * it.
 *
 * Every step but the first goes from an open directory to one name in it: a
 * component of a path, never empty, "." or "..", without '/' and NUL. No step
 * follows a link. So whoever may write into a tree while it is read or written
 * cannot lead a step out of it. A system with other separators or reserved
 * names refuses those with LSSB_E_REFUSED.
 *
 * Each function returns at once, for what a disk calls so: LSSB_OK;
 * LSSB_E_NOT_FOUND: there is none of that name; LSSB_E_ALREADY_EXISTS;
 * LSSB_E_REFUSED: it is not what the function is for (a link, not a directory,
 * not a file); LSSB_E_UNSUPPORTED: this system has none; LSSB_E_TOO_LONG; else
 * LSSB_E_OPERATION. With a failure *code (never NULL) is the system's own
 * number. Handles are the table's; `context` is the first argument of all. */
typedef struct lssb_files {
    uint32_t version;               /* LSSB_FILES_VERSION */
    void *context;

    /* Opens a directory by a path, as the system understands that, links
     * followed: the caller's own words. */
    lssb_status (*open_root)(void *context, const char *path,
                             intptr_t *directory, int32_t *code);

    /* Opens a directory in a directory. */
    lssb_status (*open_directory)(void *context, intptr_t directory,
                                  const char *name, intptr_t *opened,
                                  int32_t *code);

    /* Tells every name in a directory once, but "." and "..", in any order,
     * until `take` returns false, which is LSSB_OK, too. From the beginning,
     * as often as it is called. */
    lssb_status (*list)(void *context, intptr_t directory,
                        bool (*take)(void *user, const char *name), void *user,
                        int32_t *code);

    lssb_status (*info)(void *context, intptr_t directory, const char *name,
                        lssb_local_info *info, int32_t *code);

    /* A link's target, with a NUL behind it: whole, or LSSB_E_TOO_LONG. */
    lssb_status (*read_link)(void *context, intptr_t directory,
                             const char *name, char *target, size_t size,
                             int32_t *code);

    /* Opens a file for reading; never waits for the other end of a pipe. */
    lssb_status (*open_file)(void *context, intptr_t directory,
                             const char *name, intptr_t *file, int32_t *code);

    /* Stores up to `len` bytes (at least 1) from `offset` on: how many, 0 at
     * the end, less than 0 on failure. */
    ptrdiff_t (*read_at)(void *context, intptr_t file, uint64_t offset,
                         void *bytes, size_t len, int32_t *code);

    /* Makes a file where there is nothing of that name, not even a link, and
     * opens it for writing. */
    lssb_status (*create_file)(void *context, intptr_t directory,
                               const char *name, uint32_t mode,
                               intptr_t *file, int32_t *code);

    /* Writes all of `len` bytes behind what was written before. */
    lssb_status (*write)(void *context, intptr_t file, const void *bytes,
                         size_t len, int32_t *code);

    /* These two also only where there is nothing. */
    lssb_status (*make_directory)(void *context, intptr_t directory,
                                  const char *name, uint32_t mode,
                                  int32_t *code);
    lssb_status (*make_symlink)(void *context, intptr_t directory,
                                const char *name, const char *target,
                                int32_t *code);

    /* Removes a name: that of a directory, which must be empty, if
     * `is_directory`, else any other. */
    lssb_status (*remove)(void *context, intptr_t directory, const char *name,
                          bool is_directory, int32_t *code);

    /* The time of the last change of an open file or directory. */
    lssb_status (*set_mtime)(void *context, intptr_t handle, int64_t seconds,
                             uint32_t nanoseconds, int32_t *code);

    void (*close)(void *context, intptr_t handle);
} lssb_files;

/* Those of a POSIX system. A file or directory is a descriptor, closed when
 * another program is executed; `list` has a stream of the C library's open
 * while it runs, which takes memory of its own. */
extern const lssb_files lssb_posix_files;

/* Those of Windows, Vista and later. Names that Windows has another meaning for
 * (a:b, CON, NUL.txt, what ends in a dot or a blank) or does not allow, and
 * what is no UTF-8, are LSSB_E_REFUSED, like the short names of others
 * (PROGRA~1); names that differ in case are one. A junction is LSSB_ENTRY_OTHER. Of a
 * mode only 0200 counts, for a file; whatever is there is 0755, or 0555. Links
 * are relative and lead to names that may be, else they are refused; one leads
 * to a directory if that is there before it. Whoever may not make links gets
 * LSSB_E_UNSUPPORTED: an administrator may, and everybody in developer mode.
 * Before Windows 10 1607 a file that is open keeps its name when it is removed,
 * until it is closed. */
extern const lssb_files lssb_windows_files;

/* This system's own. */
#if defined(_WIN32)
#define lssb_default_files lssb_windows_files
#else
#define lssb_default_files lssb_posix_files
#endif

/* --------------------------------------------- snapshots from a Dockerfile */

/* A Dockerfile becomes a snapshot: a box is made for the purpose, the context
 * is sent there as it is read, BuildKit builds in it, what came of it is
 * captured, and the box is deleted, whatever happened (protocol 2.10).
 *
 *     static lssb_build build;
 *     lssb_build_options how = {0};
 *     lssb_snapshot snapshot;
 *
 *     how.name = "my-tools";
 *     how.files = &lssb_default_files;
 *     how.context = "tools";
 *     how.timeout_s = 1800;
 *     how.on_log = print;
 *     status = lssb_snapshot_build(client, &build, &how, &snapshot, NULL);
 */

/* What is being done. */
typedef enum lssb_build_step {
    LSSB_BUILD_IDLE = 0,
    LSSB_BUILD_MEASURING,           /* looks through the context */
    LSSB_BUILD_CREATING,            /* the box, the "builder" */
    LSSB_BUILD_UPLOADING,           /* the context */
    LSSB_BUILD_EXTRACTING,          /* it there */
    LSSB_BUILD_BUILDING,            /* by BuildKit */
    LSSB_BUILD_CAPTURING,           /* the snapshot */
    LSSB_BUILD_CLEANING,            /* deletes the box */
    LSSB_BUILD_DONE
} lssb_build_step;

const char *lssb_build_step_name(lssb_build_step step); /* "uploading" */

typedef struct lssb_build_options {
    const char *name;               /* of the snapshot; required */
    const lssb_files *files;        /* where the context is; required */
    const char *context;            /* a directory; NULL: "." */
    const char *dockerfile;         /* in it, by a relative path; NULL:
                                       "Dockerfile" */
    const char *target;             /* the stage to build; NULL: the last */
    const lssb_pair *args;          /* build arguments, each name once */
    size_t arg_count;
    uint64_t fs_capacity_bytes;     /* of the builder and of the snapshot's
                                       boxes; 0: the server's default */
    uint32_t vcpus;                 /* of the builder; 0: the server's, one: a
                                       build is slow with that */
    uint64_t mem_bytes;
    uint32_t timeout_s;             /* for each step by itself; of the upload,
                                       without progress; 0: 60, which is little
                                       for a build */
    lssb_take_fn on_log;            /* hears what the build says, UTF-8; may be
                                       NULL */
    void (*progress)(void *user, lssb_build_step step, uint64_t moved,
                     uint64_t total);
                                    /* hears of each step, and of the bytes of
                                       the upload; may be NULL */
    void *user;                     /* of both */
    const char *tag;                /* of the snapshot, as with a capture */
    const lssb_pair *labels;
    size_t label_count;
    int64_t idle_ttl_s;             /* of the builder, as with a sandbox: for */
    int64_t delete_after_stop_s;    /* when nobody is left to delete it */
} lssb_build_options;

#define LSSB_BUILD_LOG 1024

/* A build under way, about 31 KB. Yours, all zeros or as an earlier build left
 * it; its members are read only until the call is final. */
typedef struct lssb_build {
    lssb_build_step step;           /* now; when it is final, the last one that
                                       was tried, or DONE */
    char builder[LSSB_NAME_SIZE];   /* the box's name, "snapshot-builder-…" */
    bool builder_left;              /* it could not be deleted: do it by that
                                       name, later */
    uint64_t context_entries;       /* files, directories and links */
    uint64_t context_bytes;         /* of their archive */
    int32_t exit_code;              /* of the build; -1: it has none */
    char log[LSSB_BUILD_LOG];       /* the last of what was said there */
    union {
        uint64_t align;
        void *pointer;
        char bytes[29696];          /* the same size in every build; char, for
                                       what may be looked at as anything */
    } reserved;
} lssb_build;

/* Builds a snapshot. What is sent of the context is what .dockerignore leaves
 * (its rules, and FILE.dockerignore before it for a Dockerfile named FILE, are
 * Docker's), without the ".git" at its top (a line "!.git" takes that back),
 * and without devices, pipes and sockets: sorted, owned by root, links as
 * links. It is read twice, first to measure it, through fixed buffers, with a
 * handle for every directory on the way (64 at most); one that changes
 * meanwhile ends the build.
 *
 * Disk calls are made in lssb_step: 100,000 files take a second, in one
 * directory alone twenty, since its names are listed again for each 3 KB of
 * them. While the context is measured, one lssb_step looks at 32 entries, or
 * fewer where the patterns of .dockerignore take long. While it is sent, one
 * passes over all that is left out between two files that are not: leave out
 * directories rather than thousands of files by their names.
 *
 * There is no limit of time as a whole by default. Canceled, or late, the call
 * ends as soon as the builder is deleted: that takes 30 s at most, and if the
 * server cannot be reached, or the client is closed, it stays: builder_left.
 * Deleting it is no reason to fail. *snapshot is filled as soon as it has a
 * name, also when waiting for it fails; it is not deleted then.
 *
 * All that is given is borrowed until the call is final. LSSB_E_CREATION
 * (snapshot): the context could not be unpacked, or the build failed; the
 * message ends with the last lines of its log. LSSB_E_INVALID_ARGUMENT: the
 * context is no directory, the Dockerfile no file in it, .dockerignore is
 * malformed, or larger than 64 KiB. LSSB_E_TOO_LONG: a path, directories within
 * one another, or build arguments of more than about 15 KB. LSSB_E_STOPPED: the
 * context cannot be read, or changed; on_log said so. Else as
 * lssb_sandbox_create, lssb_file_upload, lssb_run, lssb_snapshot_capture;
 * messages begin with the step. */
lssb_status lssb_snapshot_build(lssb_client *client, lssb_build *build,
                                const lssb_build_options *options,
                                lssb_snapshot *snapshot, lssb_op *op);

/* ----------------------------------------------------- a box's own tools -- */

/* What the service has no call for: directories, processes, signals, whole
 * trees. The box's own programs do it: /bin/sh, find, stat, rm and the like,
 * of coreutils or of busybox, and tar for trees. Each call is one command in
 * the box, with a command's cost and a connection while it runs:
 *
 *     lssb_tools tools = {0};
 *
 *     tools.box = &box;
 *     lssb_path_make(&tools, "/home/user/a/b", LSSB_RECURSIVE, NULL);
 *     lssb_path_list(&tools, "/home/user", 0, print, NULL, NULL);
 *
 * Paths are absolute, or relative to /home/user, as with files; any bytes but
 * NUL: blanks, newlines, quotes, what is no UTF-8. Slashes at the end do not
 * count: behind a link they do not mean what it leads to. Paths never become
 * part of the text that the shell reads. Names come back byte by byte, too.
 * A path has at most 4,095 bytes. In one that is no UTF-8 the bytes that are
 * none count five times, backslashes twice, and such paths of a call have 2,900
 * bytes together: two names as long as names may be, and their directories.
 *
 * Failures: LSSB_E_NOT_FOUND (file), LSSB_E_ALREADY_EXISTS,
 * LSSB_E_NOT_DIRECTORY, LSSB_E_IS_DIRECTORY, LSSB_E_NOT_EMPTY,
 * LSSB_E_PERMISSION, LSSB_E_NO_SPACE, LSSB_E_READ_ONLY, LSSB_E_IN_USE,
 * LSSB_E_TOO_LONG; LSSB_E_OPERATION for what else the tools may say;
 * LSSB_E_UNSUPPORTED: the box lacks one of them; and those of lssb_run. The
 * message names the path and has the tool's own words; they are asked to speak
 * English (LC_ALL=C), whatever the box's language is.
 *
 * A call that fails may have done a part: see each. One that is canceled, late
 * or stopped by a callback is killed in the box, with all that it started, once
 * the box has said that it runs. One that ends before that, whose connection
 * broke, or whose client was closed, has run once, or goes on in the box for
 * its 60 seconds at most. */

/* The library's own part of these calls; not for you. */
struct lssb_tools_state {
    lssb_op op;                     /* the command */
    lssb_run_options options;
    lssb_result result;
    lssb_error error;               /* of the command */
    lssb_pair env[8];
    const void *job;                /* what kind of call this is */
    const char *stopped;            /* why this library ended it; static */
    lssb_op *outer;
    void *out;
    void *user;
    void (*take)(void);
    uint64_t numbers[10];           /* of the record at hand */
    size_t offered;                 /* bytes of the last slice that are used */
    lssb_status failure;
    lssb_status why;                /* it is to end: canceled, late */
    lssb_status over;               /* what came of the command */
    uint64_t moved;                 /* bytes of an archive */
    int32_t system_code;
    uint32_t flags;
    uint16_t env_count;
    uint16_t escaped_len;
    uint16_t name_len;
    uint16_t word_len;
    uint16_t line_len;
    uint16_t said_len;
    uint8_t coding;
    uint8_t state;
    uint8_t mark;                   /* what a record begins with */
    uint8_t field;
    uint8_t bit_count;
    bool negative;
    bool waiting;                   /* an entry was not taken yet */
    bool ended;                     /* the last record has come */
    uint32_t bits;
    char said[256];                 /* what the tool said first */
    char line[96];                  /* the end of its line at hand */
    char text[24];                  /* a number for the environment */
    char escaped[2944];
    char name[4104];
};

/* The tools of a box: one call at a time, as many of these structs as are
 * wanted at once. Yours, all zeros; then set `box`. About 9 KB. */
typedef struct lssb_tools {
    const lssb_sandbox *box;
    const char *as_user;            /* who does it; NULL: the box's. Newer
                                       servers only */
    int32_t timeout_s;              /* for each call; 0: 60; LSSB_NO_LIMIT */
    union {
        struct lssb_tools_state state;
        uint64_t size[1200];        /* the same size in every build */
    } reserved;
} lssb_tools;

/* How it is done; together by `|`. */
#define LSSB_RECURSIVE 1u           /* with all that is in a directory; a
                                       directory with its parents */
#define LSSB_REPLACE 2u             /* over what is there already */
#define LSSB_FOLLOW 4u              /* if the path is a link: what it leads
                                       to */
#define LSSB_GROUP 8u               /* a process with all of its group */

/* What a path names. */
typedef struct lssb_entry {
    const char *name;               /* from the directory that was asked for
                                       on: "b", "a/b" */
    lssb_entry_kind kind;
    char letter;                    /* the same as ls has it: '-', 'd', 'l',
                                       'p', 's', 'b', 'c'; '?' */
    uint32_t mode;                  /* permissions: 07777 at most */
    uint64_t size;
    int64_t mtime_s;                /* since 1970: of its content, */
    int64_t ctime_s;                /* of anything about it */
    uint64_t inode;
    uint64_t uid;
    uint64_t gid;
    uint64_t links;                 /* names that it has */
    const char *target;             /* of a link, by lssb_path_stat; else "" */
} lssb_entry;

/* Takes one entry, valid during the call only. LSSB_OK: go on; LSSB_AGAIN: it
 * was not taken, offer it again later, and the box waits; else the call ends
 * with LSSB_E_STOPPED. */
typedef lssb_status (*lssb_entry_fn)(void *user, const lssb_entry *entry);

/* Tells what is in a directory, in no order; with LSSB_RECURSIVE what is below
 * it, too, no link being followed. As they come, in the memory of one entry,
 * however many there are. What comes or goes meanwhile may be told or not. A
 * directory below that cannot be read is left out, and is the call's failure
 * at its end. */
lssb_status lssb_path_list(lssb_tools *tools, const char *path, uint32_t flags,
                           lssb_entry_fn take, void *user, lssb_op *op);

/* Describes what a path names; a link itself, or with LSSB_FOLLOW what it
 * leads to. `name` is "", `target` valid until the next call with `tools`. */
lssb_status lssb_path_stat(lssb_tools *tools, const char *path, uint32_t flags,
                           lssb_entry *entry, lssb_op *op);

/* Whether a path names anything; a link does that leads nowhere. LSSB_OK
 * either way. */
lssb_status lssb_path_exists(lssb_tools *tools, const char *path, bool *exists,
                             lssb_op *op);

/* Makes a directory. With LSSB_RECURSIVE its parents, too, and one that is
 * there is as good; without LSSB_E_ALREADY_EXISTS. `mode`: its permissions; 0:
 * the box's default. */
lssb_status lssb_path_make(lssb_tools *tools, const char *path, uint32_t mode,
                           uint32_t flags, lssb_op *op);

/* Removes a file, a link or an empty directory (else LSSB_E_NOT_EMPTY); with
 * LSSB_RECURSIVE a directory and all that is in it, no link being followed.
 * Never "/". If that fails in the middle a part is gone. */
lssb_status lssb_path_remove(lssb_tools *tools, const char *path,
                             uint32_t flags, lssb_op *op);

/* Gives what `from` names the path `to`, a directory as well: never into a
 * directory that is there. Where something is: LSSB_E_ALREADY_EXISTS, found by
 * looking first; with LSSB_REPLACE a file or link there is replaced (in one
 * step; a link to a directory in three, where mv has no -T, and any link by a
 * directory), a directory not: LSSB_E_IS_DIRECTORY; and to rename something to
 * itself does nothing. From one file system to another it is copied and
 * removed. */
lssb_status lssb_path_rename(lssb_tools *tools, const char *from,
                             const char *to, uint32_t flags, lssb_op *op);

/* Copies a file with its permissions and times, with LSSB_RECURSIVE a directory
 * and all that is in it (links stay links); else as above. LSSB_REPLACE writes
 * into the file that is there. */
lssb_status lssb_path_copy(lssb_tools *tools, const char *from, const char *to,
                           uint32_t flags, lssb_op *op);

/* Sets permissions (07777 at most), those of what a link leads to; with
 * LSSB_RECURSIVE of all that is in a directory, links left out. */
lssb_status lssb_path_chmod(lssb_tools *tools, const char *path, uint32_t mode,
                            uint32_t flags, lssb_op *op);

typedef enum lssb_change {
    LSSB_WATCHING = 1,              /* what happens from now on is told */
    LSSB_ADDED,
    LSSB_CHANGED,                   /* content, permissions, owner, times */
    LSSB_REMOVED                    /* the entry is what it was */
} lssb_change;

/* Takes one change; as lssb_entry_fn. The entry of LSSB_WATCHING is empty. */
typedef lssb_status (*lssb_change_fn)(void *user, lssb_change change,
                                      const lssb_entry *entry);

/* Watches a directory, and with LSSB_RECURSIVE what is below it, until it is
 * canceled, late, stopped by `take`, or the directory is gone. There is no
 * end of it by default, and none by tools->timeout_s.
 *
 * The box looks, every interval_ms (0: 1,000; not every box can do less), at
 * all of it, and compares with what was there before: about a second of its
 * CPU for each 100,000 entries, and 150 bytes of its memory for each. What is
 * undone within the interval, and a change within the same second that keeps
 * size and inode, is not seen; a new name is LSSB_REMOVED and LSSB_ADDED, with
 * the same inode. It holds a connection; when that is lost it comes back, and
 * nothing is missed. When nobody comes back the box stops looking after 30
 * seconds. The box needs awk, too, the build LSSB_WEBSOCKET
 * 1. */
lssb_status lssb_path_watch(lssb_tools *tools, const char *path,
                            uint32_t flags, uint32_t interval_ms,
                            lssb_change_fn take, void *user, lssb_op *op);

/* A process in a box, by its /proc. */
typedef struct lssb_process {
    int64_t pid;
    int64_t parent;
    int64_t group;
    int64_t session;
    uint64_t uid;
    char state;                     /* 'R', 'S', 'D', 'T', 'Z', … */
    uint64_t cpu_ms;                /* used so far */
    uint64_t started_ms;            /* after the machine was started */
    uint64_t memory_bytes;          /* resident */
    const char *name;               /* for reading, as are the next: 15 bytes
                                       at most */
    const char *arguments;          /* each with a NUL behind it; "" for what
                                       the kernel runs, and for zombies */
    size_t arguments_len;           /* 4,000 at most: the rest is cut */
} lssb_process;

/* Takes one process; as lssb_entry_fn. */
typedef lssb_status (*lssb_process_fn)(void *user,
                                       const lssb_process *process);

/* Tells the processes that a box's commands see, in no order: not those that
 * the list itself needs. */
lssb_status lssb_process_list(lssb_tools *tools, lssb_process_fn take,
                              void *user, lssb_op *op);

/* Sends a signal ("TERM", "SIGTERM", "USR1", …, "RTMIN+1"; another name is
 * LSSB_E_INVALID_ARGUMENT) to a process, or with LSSB_GROUP to its whole group,
 * of which it must be the first (as the shell of each command is).
 * LSSB_E_NOT_FOUND: there is none. Numbers are used again: ask soon. */
lssb_status lssb_process_signal(lssb_tools *tools, int64_t pid,
                                const char *signal, uint32_t flags,
                                lssb_op *op);

/* Sends a signal to a command and all of its group. By its pid, if the server
 * has told it; after lssb_command_reattach, or with a server that does not tell
 * it, by the id that the command was started with, if it was put into its
 * environment as well:
 *
 *     lssb_pair env = { "LSSB_COMMAND_ID", "my-command" };
 *
 *     how.command_id = env.value;
 *     how.env = &env;
 *     how.env_count = 1;
 *
 * LSSB_E_NOT_FOUND: it has ended, or cannot be found; of one whose status is
 * LSSB_OK that is known, and the box is not asked. An id with a newline cannot
 * be looked for: LSSB_E_INVALID_ARGUMENT. SIGKILL needs none of this:
 * lssb_command_kill. */
lssb_status lssb_command_signal(lssb_tools *tools, const lssb_command *command,
                                const char *signal, lssb_op *op);

/* Whole trees, to a box and from it. They go as an archive (tar) through a
 * command's input or output, in base64, so a third more than their bytes: none
 * of it is ever held, here or on the box's disk, and a file of any size passes
 * through the struct. In return what broke begins anew: a connection that is
 * lost is replaced on the way down, on the way up the call fails.
 *
 *     lssb_tree tree = {0};
 *
 *     tree.tools.box = &box;
 *     tree.files = &lssb_default_files;
 *     lssb_tree_upload(&tree, "src", "/home/user/src", NULL);
 *     lssb_tree_download(&tree, "/home/user/out", "out", NULL);
 */
typedef struct lssb_tree {
    lssb_tools tools;               /* set its box, and as_user; its timeout_s
                                       does not count: there is no limit of
                                       time by default */
    const lssb_files *files;        /* of this machine */
    bool (*wanted)(void *user, const char *path, const lssb_local_info *info);
                                    /* asked for each entry, its path from the
                                       top on; false: without it, and without
                                       what is below it. Down: also for each
                                       directory on its way that has, or had,
                                       no entry (mode 0755 then), and again
                                       where entries are in no order. NULL: all
                                       of them */
    void (*progress)(void *user, uint64_t moved, uint64_t total);
                                    /* bytes of the archive; may be NULL. total:
                                       LSSB_SIZE_UNKNOWN on the way down */
    void *user;
    bool replace;                   /* down: over what is there already */
    uint64_t most_entries;          /* down; 0: 1,000,000; UINT64_MAX: any */
    uint64_t most_bytes;            /* down, of all files together; 0: 64 GiB;
                                       UINT64_MAX: any */

    /* Set by the calls. */
    uint64_t entries;               /* files, directories and links */
    uint64_t bytes;                 /* of all files */
    uint64_t left_out;              /* what was not wanted, or may not be */
    union {
        uint64_t align;
        void *pointer;
        char bytes[20480];          /* the same size in every build; char, as
                                       above */
    } reserved;                     /* not for you */
} lssb_tree;                        /* about 30 KB */

/* Sends what is in a local directory into one of the box, which is made if it
 * is missing, with its parents. Files, directories and links, by the order of
 * their names; permissions (0777), times in whole seconds; the rest is left
 * out. What is there stays, unless it has the same name: then it is replaced, a
 * link as well. Where the box's tar would go through a link to a directory
 * instead (busybox's), and there is one, nothing is sent: LSSB_E_UNSUPPORTED,
 * the message names it.
 * If the call fails a part has been written. LSSB_E_CONNECTION: the connection
 * was lost while input was on its way. LSSB_E_STOPPED: a local file changed
 * meanwhile, or could not be read: the message names it. Directories 63 deep at
 * most. The box needs tar, base64, sed and find, the build LSSB_WEBSOCKET 1. */
lssb_status lssb_tree_upload(lssb_tree *tree, const char *local,
                             const char *path, lssb_op *op);

/* Brings what is in a directory of the box into a local one, which must be
 * there. A box may be hostile, and what it sends is not trusted:
 *
 * - nothing is written outside of that directory, and no link is ever followed,
 *   whether it was there before or has just come; a path through one, an
 *   absolute one, or one with ".." ends the call with LSSB_E_UNSAFE;
 * - a link is made only if it stays inside: its target is relative, and has
 *   ".." at its beginning only, no more of them than there are directories
 *   above the link; others are left out;
 * - devices, pipes and sockets are left out; permissions are 0777 at most,
 *   less your umask, never setuid, setgid or sticky, and a directory is always
 *   open to its owner; owners are yours;
 * - files have their times; directories and links have that of their making:
 *   tar sends a directory before what is in it, which would change it again;
 * - entries, bytes, names (4,095 bytes) and depth (64) have limits.
 *
 * Where something has the same name: LSSB_E_ALREADY_EXISTS, or with `replace`
 * it is removed first; a directory stays one, with what is in it. A second name
 * of a file (a hard link) becomes a copy, with no more permissions than that
 * has; one of a link is left out. If the call fails what is complete stays, and
 * no file is there in part.
 * LSSB_E_UNSAFE also for what is no archive at all, or exceeds a limit;
 * LSSB_E_REFUSED, LSSB_E_OPERATION: a local file cannot be made or written, or
 * not read where it has a second name: the path in the message, system_code.
 * LSSB_E_NOT_FOUND (file: in the box; else `local`), and the box's other
 * failures. The box needs tar. */
lssb_status lssb_tree_download(lssb_tree *tree, const char *path,
                               const char *local, lssb_op *op);

/* -------------------------------------------------------------- tunnels -- */

/* TCP into a box. A tunnel is one connection of the client's, one of
 * lssb_config.slots, for as long as it is open; on it, any number of streams to
 * any number of ports in the box, opened one by one as a program speaks a
 * protocol itself, or by listeners, each of which bridges what connects to a
 * local port. Every stream and every listener takes one of lssb_config.streams;
 * every stream has a buffer of lssb_config.stream_buffer bytes.
 *
 *     config.streams = 64;
 *     ...
 *     lssb_tunnel_open(&tunnel, &box, NULL, NULL);
 *     how.port = 5432;
 *     lssb_tunnel_listen(&tunnel, &how, &listener);
 *     lssb_wait(client, NULL, LSSB_FOREVER);
 *
 * Bytes move in lssb_step, lssb_wait and waiting calls, as everything does.
 * Local programs that connect while the tunnel connects again wait for that.
 *
 * The end of one direction of a stream is passed on as such (half-close), and
 * a reset as a reset: what was cut never looks complete. A slow reader slows
 * down its own stream only, as long as the buffer holds a whole window
 * (262,144 bytes, or more: then the window is up to 1 MiB of it at once, and
 * grows with the round trip, which is what far downloads need). With a
 * smaller one it holds back the others, the answers to the server's pings
 * among them, for at most five seconds; then it is reset. The next one in the
 * way then has a quarter of that, and so on: seven seconds in all, until
 * nothing was held back for a second. A server that gives a ping less time
 * than that takes the tunnel for dead. */

/* What happened on a tunnel. */
typedef enum lssb_tunnel_kind {
    LSSB_TUNNEL_LOST = 1,           /* the connection: every stream was reset;
                                       status, message */
    LSSB_TUNNEL_RECONNECTED,        /* a stream asked for it */
    LSSB_TUNNEL_GOING_AWAY,         /* the server takes no new streams on this
                                       connection; those that exist may
                                       finish, then there is another one: new
                                       streams wait for it, status_ms long */
    LSSB_TUNNEL_OPENED,             /* a local connection is bridged */
    LSSB_TUNNEL_REFUSED,            /* it could not be: status, message */
    LSSB_TUNNEL_ENDED,              /* both directions finished in order */
    LSSB_TUNNEL_RESET               /* it was cut: status, message */
} lssb_tunnel_kind;

/* The last four kinds are of connections to listeners only: who opens a stream
 * by itself knows what becomes of it. */
typedef struct lssb_tunnel_event {
    lssb_tunnel_kind kind;
    uint16_t port;                  /* in the box; 0: the whole tunnel */
    lssb_status status;
    const char *message;            /* for a person; valid in the callback */
    uint64_t sent_bytes;            /* into the box; of an end or a reset */
    uint64_t received_bytes;
} lssb_tunnel_event;

typedef struct lssb_tunnel_options {
    int32_t reconnects;             /* attempts, when a stream finds the
                                       connection lost; 0: 3; LSSB_NONE */
    uint32_t ping_ms;               /* between pings; without an answer, or any
                                       other byte, for 20 s after one the
                                       connection is lost; 0: 30,000;
                                       LSSB_FOREVER: none; windows grow all
                                       the same */
    uint32_t status_ms;             /* for a port in the box to answer, since
                                       there is a connection; 0: 30,000;
                                       LSSB_FOREVER */
    void (*event)(void *user, const lssb_tunnel_event *event);
    void *user;                     /* event: may be NULL */
} lssb_tunnel_options;

/* The library's own part of a tunnel; not for you. */
struct lssb_tunnel_state {
    lssb_op carrier;                /* holds its connection, once it is open */
    lssb_op *starter;               /* until then */
    const lssb_sandbox *box;
    const struct lssb_tunnel_options *options;
    void *bridges;                  /* streams and listeners, a list */
    uint64_t open_end_at;
    uint64_t close_by;
    uint64_t ask_at;                /* local sockets how they are */
    uint32_t flags;
    uint32_t queued;                /* streams that wait to be opened */
    uint32_t losses;                /* of connections */
    int32_t lost_status;            /* of the last one, and in words */
    char lost[256];
};

/* A tunnel. Yours, and it need not be zeroed before lssb_tunnel_open (nor the
 * structs of its streams and listeners before theirs); it must stay where it
 * is, and its members are read only, until lssb_tunnel_close is final. */
typedef struct lssb_tunnel {
    lssb_client *client;
    lssb_status status;             /* LSSB_PENDING: it is being opened;
                                       LSSB_OK: open, perhaps to be connected
                                       again when a stream asks for it;
                                       LSSB_END: closed; else why it is not
                                       open */
    bool connected;
    uint32_t streams;               /* that exist */
    uint32_t reconnected;
    uint64_t sent_bytes;            /* of all streams, into the box */
    uint64_t received_bytes;
    lssb_error error;               /* the last failure of any of it */
    union {
        struct lssb_tunnel_state state;
        uint64_t size[96];          /* the same size in every build */
    } reserved;
} lssb_tunnel;

/* Opens a tunnel: done when its connection is there. Tried again like the
 * start of a command (two minutes, six attempts), and with the same failures.
 * Borrowed until the tunnel is closed: `box`, `options`, the operation's
 * headers. LSSB_E_NO_MEMORY: lssb_config.streams is 0. */
lssb_status lssb_tunnel_open(lssb_tunnel *tunnel, const lssb_sandbox *box,
                             const lssb_tunnel_options *options, lssb_op *op);

/* Closes listeners, resets what is bridged, says goodbye and gives the
 * connection back: within five seconds; canceled or late it drops the
 * connection at once. Streams that you hold end with LSSB_E_CANCELED and need
 * no close of their own. All zeros is allowed. */
lssb_status lssb_tunnel_close(lssb_tunnel *tunnel, lssb_op *op);

/* One stream, to a port in the box. Yours; it must stay where it is until it
 * is closed. */
typedef struct lssb_tunnel_stream {
    lssb_tunnel *tunnel;
    void *bridge;                   /* the library's */
    lssb_status status;             /* LSSB_PENDING: connecting; LSSB_OK: open;
                                       else why it is not, or no longer:
                                       what came before can still be read */
} lssb_tunnel_stream;

/* Connects to a port: done when the box says that it is. LSSB_E_TUNNEL_PORT
 * (not allowed), LSSB_E_TUNNEL_REFUSED (nothing listens there),
 * LSSB_E_TUNNEL_VERSION, LSSB_E_TUNNEL (the stream or the connection was lost),
 * LSSB_E_NO_MEMORY (every one of lssb_config.streams is taken), LSSB_E_TIMEOUT
 * (status_ms); LSSB_E_AUTH and the other failures of lssb_tunnel_open, when it
 * had to be connected again. A stream that failed needs no close, and may be
 * closed. */
lssb_status lssb_tunnel_connect(lssb_tunnel *tunnel, uint16_t port,
                                lssb_tunnel_stream *stream, lssb_op *op);

/* What has come, as read(2) would say it: up to `size` bytes in *len. LSSB_OK;
 * LSSB_AGAIN: nothing within `wait_ms` (0: looks only, steps nothing; the one
 * that is allowed in a callback). LSSB_END: the other side has finished, and
 * all is read; LSSB_E_TUNNEL: all is read that came before the stream was
 * reset, or its connection lost. */
lssb_status lssb_tunnel_read(lssb_tunnel_stream *stream, void *bytes,
                             size_t size, size_t *len, uint32_t wait_ms);

/* Sends; *taken (which may be NULL) is how much of it: all, or what there was
 * room for within `wait_ms`. LSSB_OK if it was any, else LSSB_AGAIN.
 * LSSB_E_OPERATION: after lssb_tunnel_finish. LSSB_E_TUNNEL as above. */
lssb_status lssb_tunnel_write(lssb_tunnel_stream *stream, const void *bytes,
                              size_t len, size_t *taken, uint32_t wait_ms);

/* Sends no more: the other side reads its end, of a stream that is not open yet
 * once it is. Reading goes on. */
lssb_status lssb_tunnel_finish(lssb_tunnel_stream *stream);

/* Lets go of a stream: one that has not finished in both directions is reset;
 * connecting ends with LSSB_E_CANCELED. Never waits. All zeros, and one that
 * was closed, are allowed. */
void lssb_tunnel_stream_close(lssb_tunnel_stream *stream);

#define LSSB_ANY_PORT (-1)

struct lssb_listen_port;            /* port/port.h */

/* How local programs reach a port. */
typedef struct lssb_listen_options {
    uint16_t port;                  /* in the box */
    const char *address;            /* NULL: "127.0.0.1"; "::1", another
                                       address of this machine, or the path of
                                       a Unix socket ("/…"), where a reset
                                       looks like an end */
    int32_t local_port;             /* 0: the same number as `port`;
                                       LSSB_ANY_PORT: one that is free */
    uint32_t most;                  /* connections at once; 0: as many as there
                                       are streams. More wait in the backlog */
    const struct lssb_listen_port *listen;  /* NULL: this build's */
} lssb_listen_options;

/* A listener. Yours; it must stay where it is until it, or its tunnel, is
 * closed. */
typedef struct lssb_listener {
    lssb_tunnel *tunnel;
    uint16_t port;                  /* the local one; 0: a Unix socket */
    void *bridge;                   /* the library's; NULL: closed */
} lssb_listener;

/* Listens at once; borrowed of the options: `listen`, until the tunnel is
 * closed. What connects waits for the port in the box, then is bridged; what
 * cannot be is reset, and an event says why. To a Unix socket only this user
 * may connect, whatever the umask (mode 0600). One that is there already gives way if it is this user's, two
 * seconds old, and nobody listens on it: a dead process left it.
 *
 * LSSB_OK, LSSB_E_PORT_IN_USE (of a path: by a live listener, or by what is no
 * such socket), LSSB_E_UNSUPPORTED (the port layer cannot listen),
 * LSSB_E_CONNECTION (no such address or folder here, a path that is too long
 * for a socket, or not allowed), LSSB_E_INVALID_ARGUMENT, LSSB_E_NO_MEMORY
 * (every one of lssb_config.streams is taken), LSSB_E_TUNNEL (the tunnel is not
 * open). */
lssb_status lssb_tunnel_listen(lssb_tunnel *tunnel,
                               const lssb_listen_options *options,
                               lssb_listener *listener);

/* Stops listening; what is bridged goes on. The Unix socket is removed, but not
 * what has taken its place. All zeros, and one that was closed, are allowed. */
void lssb_listener_close(lssb_listener *listener);

/* ---------------------------------------------------------------- links -- */

#define LSSB_TOKEN_SIZE 1024
#define LSSB_LINK_SIZE 1536         /* a URL with a token in it */

/* Who gets through to a service in a box. */
typedef enum lssb_access {
    LSSB_ACCESS_TOKEN = 0,          /* whoever has the token, for a time */
    LSSB_ACCESS_RESTRICTED,         /* a login: who may run commands in it */
    LSSB_ACCESS_WORKSPACE,          /* a login: every member of the workspace */
    LSSB_ACCESS_OFF                 /* nobody: takes a login away */
} lssb_access;

typedef struct lssb_service_options {
    uint32_t port;                  /* where it listens in the box */
    uint32_t expires_in_s;          /* 1 to 86,400; 0: 600. Tokens only */
    lssb_access access;
    const char *more;               /* a JSON object of further members */
} lssb_service_options;

/* The way to a service. With a token: for programs `service_url`, with the
 * token in the header X-Langsmith-Sandbox-Service-Token (and no API key, ever);
 * for people `browser_url`, which holds it. With a login: `browser_url` only,
 * for people. The token is a secret: wipe it when it has served. */
typedef struct lssb_service {
    char browser_url[LSSB_LINK_SIZE];
    char service_url[LSSB_URL_SIZE];
    char token[LSSB_TOKEN_SIZE];    /* "" with a login */
    char expires_at[LSSB_TIME_SIZE];
    char access[16];                /* "restricted", "workspace"; "" */
} lssb_service;

/* Makes a URL for an HTTP service inside a box. LSSB_E_NOT_FOUND (sandbox);
 * LSSB_E_VALIDATION; LSSB_E_REFUSED: a login is in place, so there are no
 * tokens (HTTP status 409); the deployment has no domain for services (501); a
 * login was asked for, but an older server made an open link, which is then
 * not handed out. */
lssb_status lssb_service_url(const lssb_sandbox *box,
                             const lssb_service_options *options,
                             lssb_service *service, lssb_op *op);

/* A port that is shared. */
typedef struct lssb_shared_port {
    int32_t port;                   /* LSSB_UNKNOWN */
    char access[16];                /* "token", "restricted", "workspace" */
    char created_at[LSSB_TIME_SIZE];
    char created_by[LSSB_ID_SIZE];
    char expires_at[LSSB_TIME_SIZE];    /* tokens only */
} lssb_shared_port;

/* Stores the next shared ports of a box; as lssb_sandbox_next. `list`: all
 * zeros. The newest servers only. LSSB_E_NOT_FOUND (sandbox). */
lssb_status lssb_service_next(const lssb_sandbox *box, lssb_plain_list *list,
                              lssb_shared_port *ports, size_t max,
                              size_t *count, lssb_op *op);

/* Stops sharing a port (0: every port of the box). A login ends at once; a
 * token that was made is good until it expires. The newest servers only. */
lssb_status lssb_service_revoke(const lssb_sandbox *box, uint32_t port,
                                lssb_op *op);

/* What a browser does with a file: as the server has it; saves it; shows it. */
typedef enum lssb_disposition {
    LSSB_DISPOSITION_UNSET = 0,
    LSSB_DISPOSITION_ATTACHMENT,
    LSSB_DISPOSITION_INLINE
} lssb_disposition;

/* What a link to a file is to be. */
typedef struct lssb_link_options {
    const char *path;               /* of the file */
    uint32_t expires_in_s;          /* 0: never */
    const char *content_type;       /* what to serve it as; NULL: the server's
                                       choice */
    lssb_disposition disposition;
    const char *more;               /* a JSON object of further members */
} lssb_link_options;

/* A link to one file. It holds its own credential (send none with it), wakes
 * the box, answers GET and HEAD, ranges too. The URL is a secret. */
typedef struct lssb_link {
    char url[LSSB_LINK_SIZE];
    char token[LSSB_TOKEN_SIZE];
    char expires_at[LSSB_TIME_SIZE];    /* "": never */
} lssb_link;

/* Makes a link that downloads a file. LSSB_E_NOT_FOUND (sandbox);
 * LSSB_E_REFUSED: the deployment has no domain for links (501). */
lssb_status lssb_download_url(const lssb_sandbox *box,
                              const lssb_link_options *options,
                              lssb_link *link, lssb_op *op);

/* Fetches the file behind a link, which is all that it takes: no key, no
 * sandbox. `url` is lssb_link.url, from whichever program made it. As
 * lssb_file_download otherwise: parts, conditions, tried again, gone on with
 * after a loss if the file is the same, by its ETag or, if it has none, by the
 * date of its last change, a minute or more before the reply's. The operation's
 * headers go to it, but X-Api-Key and what contains the API key:
 * LSSB_E_INVALID_ARGUMENT. LSSB_E_AUTH: the link has
 * expired, or is none; LSSB_E_NOT_FOUND (file). Messages never hold the URL. */
lssb_status lssb_link_download(lssb_client *client, const char *url,
                               const lssb_download *download, lssb_file *file,
                               lssb_op *op);

/* Size, validators and type of that file, without its bytes. */
lssb_status lssb_link_stat(lssb_client *client, const char *url,
                           lssb_file *file, lssb_op *op);

/* ------------------------------------------------- requests to services -- */

/* An HTTP request to a service in a box, through its service URL, which is
 * made when there is none yet and made anew before it expires:
 *
 *     lssb_service_options where = {0};
 *     lssb_service service = {0};
 *     lssb_request request = {0};
 *     lssb_response response;
 *
 *     where.port = 8000;
 *     request.path = "/report";
 *     request.out = page;
 *     request.out_size = sizeof page;
 *     if (lssb_service_request(&box, &where, &service, &request, &response,
 *                              NULL) == LSSB_OK)
 *         printf("%d: %s", (int)response.status, page);
 *
 * Every reply is a success of the call, a 404 or a 502 as well: it is yours to
 * read. Redirects are not followed. */

/* All zeros: GET of "/", and the body of the reply is dropped. */
typedef struct lssb_request {
    const char *method;             /* NULL: "GET", or "POST" with a body. Not
                                       CONNECT */
    const char *path;               /* NULL: "/". As it is to be sent: what
                                       needs it is percent-encoded already; it
                                       may hold a query ("/a%20b?c=d") */
    const lssb_pair *query;         /* added to that; encoded here */
    size_t query_count;
    const lssb_pair *headers;       /* for the service; Content-Type, too */
    size_t header_count;
    const void *body;               /* the body, from memory */
    size_t body_len;
    const lssb_source *source;      /* or from a source: of a known size, or of
                                       LSSB_SIZE_UNKNOWN: then it is sent in
                                       chunks until read_at returns 0, and each
                                       byte is asked for once, in order */
    uint32_t quiet_ms;              /* without a byte moving; 0: the client's
                                       transfer_timeout_ms; LSSB_FOREVER */

    /* The reply. Each of these may be NULL; each returns LSSB_OK to go on,
     * on_body also LSSB_AGAIN; anything else is LSSB_E_STOPPED. */
    lssb_status (*on_status)(void *user, int32_t status);
    lssb_status (*on_header)(void *user, const char *name, const char *value);
                                    /* one by one; a value longer than
                                       LSSB_ELEMENT is cut */
    lssb_take_fn on_body;           /* as it was sent: who asks for gzip gets
                                       gzip */
    void *user;
    char *out;                      /* the body goes here, too, as far as it */
    size_t out_size;                /* fits, with a NUL behind it */
} lssb_request;

/* The library's own part of a request; not for you. */
struct lssb_response_state {
    const lssb_request *request;
    lssb_service *service;
    uint64_t sent;                  /* bytes of the source, in chunks */
    lssb_service used;              /* where it goes, wiped at its end */
};

/* What came of a request; about 3.5 KB. */
typedef struct lssb_response {
    int32_t status;                 /* 200, 404, …; 0: no reply has come */
    char content_type[96];          /* may be cut */
    uint64_t len;                   /* bytes of the body, all of them */
    bool cut;                       /* some did not fit `out` */
    union {
        struct lssb_response_state state;
        uint64_t size[404];         /* the same size in every build */
    } reserved;
} lssb_response;

/* Makes a request to the service at options->port. `service`: all zeros at
 * first, or what lssb_service_url made for the same box and port; if it holds
 * for less than a minute, or half of its time if that is less, or nobody knows
 * how long, it is made again first, and all of it replaced in one step (so
 * several requests may share one). NULL: one is made for this request alone.
 *
 * The service gets the headers of `request`, User-Agent, and the token, in the
 * place of any that they hold under that name. It never gets the API key, nor
 * the client's headers; the operation's go with the making of the URL. A header
 * X-Api-Key, whatever is in it, and one whose value contains the API key are
 * LSSB_E_INVALID_ARGUMENT.
 *
 * Making the URL is tried again as usual; the request is not, but for a
 * connection that was kept from before and ended without a byte of reply, if
 * its method may be repeated (GET, HEAD, PUT, DELETE, OPTIONS, TRACE) or
 * nothing of it was sent. By default there is no limit of time as a whole.
 *
 * Failures are those of lssb_service_url, and of the way to the service.
 * LSSB_E_INVALID_ARGUMENT: a login was asked for, or `service` is behind one:
 * no program gets past that; the URL is http://, and not loopback; arguments,
 * of which the message names one. */
lssb_status lssb_service_request(const lssb_sandbox *box,
                                 const lssb_service_options *options,
                                 lssb_service *service,
                                 const lssb_request *request,
                                 lssb_response *response, lssb_op *op);

/* ------------------------------------------------- WebSockets to services */

/* A WebSocket to a service. It holds a connection of the client's, one of
 * lssb_config.slots, from when it is open until it has ended, or is closed.
 * Messages of any size come and go in pieces:
 *
 *     lssb_websocket_open(&socket, &box, &where, &service, NULL, NULL);
 *     lssb_websocket_write(&socket, LSSB_TEXT, "hi", 2, true, NULL,
 *                          LSSB_FOREVER);
 *     while (lssb_websocket_next(&socket, &piece, LSSB_FOREVER) == LSSB_OK)
 *         fwrite(piece.bytes, 1, piece.len, stdout);
 *     lssb_websocket_close(&socket, 0, NULL, NULL);
 *
 * One that is lost stays lost: only you know what was said on it. A build with
 * LSSB_WEBSOCKET 0 has none: LSSB_E_UNSUPPORTED. */
typedef enum lssb_message {
    LSSB_TEXT = 1,                  /* UTF-8 */
    LSSB_BINARY = 2
} lssb_message;

/* All zeros: "/", nothing special. */
typedef struct lssb_websocket_options {
    const char *path;               /* as in lssb_request */
    const lssb_pair *query;
    size_t query_count;
    const lssb_pair *headers;
    size_t header_count;
    const char *const *protocols;   /* subprotocols to offer, the best first */
    size_t protocol_count;
    uint32_t open_ms;               /* for connection and answer; 0: 30,000;
                                       LSSB_FOREVER */
    uint32_t ping_ms;               /* between pings; twice as long without an
                                       answer is a loss; 0: 30,000;
                                       LSSB_FOREVER: none */
    lssb_error *error;              /* why it was lost, later; may be NULL */
} lssb_websocket_options;

/* The library's own part of a WebSocket; not for you. */
struct lssb_websocket_state {
    lssb_op carrier;                /* holds its connection, once it is open */
    lssb_op *starter;               /* until then */
    const lssb_websocket_options *options;
    lssb_service *service;
    const char *farewell;           /* the reason to close it with */
    uint64_t close_by;
    uint32_t held;                  /* bytes that have come */
    uint32_t ready;                 /* of them, those to hand out */
    uint32_t flags;
    uint16_t code;                  /* to close it with */
    lssb_service used;              /* where it is opened, wiped then */
};

/* A WebSocket, about 4 KB. Yours, and it need not be zeroed before
 * lssb_websocket_open; it must stay where it is, and its members are read only,
 * until lssb_websocket_close is final. */
typedef struct lssb_websocket {
    lssb_client *client;
    lssb_status status;             /* LSSB_PENDING: it is being opened;
                                       LSSB_OK: open; LSSB_END: closed in order;
                                       else why it is not open */
    uint16_t close_code;            /* what the service closed it with; 1005:
                                       without one; 0: it has not */
    char close_reason[124];         /* the API key in it is "***" */
    char protocol[64];              /* the subprotocol it chose; "": none */
    union {
        struct lssb_websocket_state state;
        uint64_t size[480];         /* the same size in every build */
    } reserved;
} lssb_websocket;

/* Opens a WebSocket; done when it is there. Tried once. `service`, the
 * credentials, and headers as with lssb_service_request. Borrowed until it is
 * closed: `options`. One that was refused at once may be closed, too, and need
 * not be (LSSB_E_BUSY: it is left as it was). LSSB_E_REFUSED: the service
 * answered otherwise (http_status); LSSB_E_PROTOCOL: its answer breaks RFC
 * 6455, or chooses a subprotocol that was not offered; else as there. */
lssb_status lssb_websocket_open(lssb_websocket *socket,
                                const lssb_sandbox *box,
                                const lssb_service_options *where,
                                lssb_service *service,
                                const lssb_websocket_options *options,
                                lssb_op *op);

/* A piece of a message. */
typedef struct lssb_piece {
    lssb_message kind;
    bool begins;                    /* the first of its message */
    bool ends;                      /* the last */
    const void *bytes;              /* of text whole characters; no NUL */
    size_t len;                     /* 0 only where it ends */
} lssb_piece;

/* The next piece of a message, valid until the next call of this function for
 * this WebSocket, or its close. LSSB_AGAIN: none within `wait_ms` (0: looks
 * only, steps nothing; the one that is allowed in a callback). LSSB_END: it
 * was closed, close_code; else the failure that ended it. What is not taken is
 * not read: the service waits. */
lssb_status lssb_websocket_next(lssb_websocket *socket, lssb_piece *piece,
                                uint32_t wait_ms);

/* Sends bytes of a message, its last ones if `ends`. *taken (which may be
 * NULL) is how much was taken: all of it, or what there was room for within
 * `wait_ms`; come again with the rest, and with the same `ends`. Text is whole
 * characters; one that is cut at the end stays untaken. LSSB_OK: all of it, or
 * some; LSSB_AGAIN: nothing; LSSB_END: it is closed; LSSB_E_INVALID_ARGUMENT:
 * no UTF-8, or another `kind` before the last message has ended. */
lssb_status lssb_websocket_write(lssb_websocket *socket, lssb_message kind,
                                 const void *bytes, size_t len, bool ends,
                                 size_t *taken, uint32_t wait_ms);

/* Closes a WebSocket: after what was written, with a code (0: 1000; 1000 to
 * 1003, 1007 to 1011, 3000 to 4999) and a reason (NULL, or up to 123 bytes),
 * within ten seconds; the answer is waited for behind your back. Canceled or
 * late the connection is dropped at once. What has come and was not taken is
 * dropped. One that ended by itself only gives back its struct. All zeros is
 * allowed, and nothing to do. */
lssb_status lssb_websocket_close(lssb_websocket *socket, uint16_t code,
                                 const char *reason, lssb_op *op);

#ifdef __cplusplus
}
#endif

#endif
