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
 * Threads. A client belongs to one thread at a time. lssb_post_cancel is the
 * one function that another thread or a signal handler may call. Two clients
 * share nothing.
 *
 * Callbacks run inside lssb_step, lssb_wait and waiting calls only. In one you
 * may start calls with an operation and cancel; a waiting call, lssb_step,
 * lssb_wait and lssb_close return LSSB_E_IN_CALLBACK there.
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
    LSSB_E_OPERATION = -42          /* SandboxOperationError: operation, type */
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
    LSSB_LAYER_SERVICE              /* what the service answered */
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
 * Never holds a key, a token or a request's body. */
typedef struct lssb_error {
    lssb_status status;
    lssb_layer layer;
    lssb_resource resource;
    int32_t http_status;            /* of the reply, if there was one */
    int32_t tls_code;               /* BearSSL's or mbedTLS's own */
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
    char message[LSSB_MESSAGE_SIZE];    /* a sentence for a person */
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
                                       ALL_PROXY, NO_PROXY (either case) */
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
                                       about 36 KB with TLS; `make size` */
    lssb_trust trust;
    void *memory;                   /* the block, aligned for a uint64_t, a
                                       pointer and a long double; NULL: the
                                       port's, taken once */
    size_t memory_size;             /* at least lssb_memory_needed */
    const struct lssb_port *port;   /* NULL: this build's */
    const struct lssb_tls_backend *tls;     /* NULL: this build's */
    void (*trace)(void *user, const lssb_trace_event *);
    void *trace_user;
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
 * after `wait_ms`. With op NULL: until no operation is under way (LSSB_OK). */
lssb_status lssb_wait(lssb_client *client, lssb_op *op, uint32_t wait_ms);

/* One socket for a poll() or select() of your own. */
typedef struct lssb_socket {
    intptr_t handle;                /* a descriptor; a SOCKET on Windows */
    bool read;
    bool write;
} lssb_socket;

/* For an event loop of your own: stores up to `max` sockets and what each
 * waits for, returns how many there are (never more than 2 for each slot and
 * 1; of more than `max` the rest is not stored), and in *timeout_ms how long
 * the loop may sleep (0: not at all; LSSB_FOREVER). Call lssb_step after the
 * loop's poll, then ask again. */
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

typedef struct lssb_sandbox_options {
    const char *name;               /* NULL: the server makes one up */
    const char *snapshot_id;        /* at most one of these two; neither: the */
    const char *snapshot_name;      /* server's default. "name" or "name:tag" */
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

/* A walk through the list of sandboxes. All zeros, then set filters. */
typedef struct lssb_sandbox_list {
    const char *name_contains;      /* ignoring case */
    const char *status;             /* "ready", … */
    const char *created_by;         /* "me" */
    const char *const *labels;      /* "key" or "key=value"; all must match */
    size_t label_count;
    const char *sort_by;            /* "name", "status", "created_at", … */
    const char *sort_order;         /* "asc", "desc" */
    struct {
        char cursor[LSSB_URL_SIZE];
        uint64_t offset;
        uint32_t skip;
        uint8_t mode;
    } reserved;
} lssb_sandbox_list;

/* Stores the next sandboxes of the walk, at most `max`, and their number.
 * LSSB_OK when there was at least one, LSSB_END when there are no more (at
 * once, without `done`, when that is known already). Any number can be walked
 * with room for one. Pages by cursor with servers that know it, by offset with
 * others (protocol 2.4). What the filters point to is borrowed until the walk
 * is over. LSSB_E_API: not a sandbox API. */
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
} lssb_sandbox_update;

/* Changes a sandbox and stores what it is afterwards in *box, which also says
 * which one. With nothing to change, describes it. LSSB_E_NAME_CONFLICT. */
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
                                       may be NULL */
    size_t deleted;                 /* set: how many were */
    size_t skipped_count;           /* set: how many were not */
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

/* Takes output as it arrives. LSSB_OK: go on. LSSB_AGAIN: nothing was taken,
 * offer the same bytes again later. Anything else ends the call with
 * LSSB_E_STOPPED. */
typedef lssb_status (*lssb_take_fn)(void *user, const void *bytes, size_t len);

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
} lssb_run_options;

/* How a command ended. */
typedef struct lssb_result {
    int32_t exit_code;              /* -1 if the server did not say */
    uint64_t out_len;               /* bytes of stdout, all of them: more */
    uint64_t err_len;               /* than your buffer held is no error */
    bool out_cut;                   /* some did not fit `out` */
    bool err_cut;
} lssb_result;

/* Runs a command by a shell and waits for its end. An exit code that is not 0
 * is a result, not an error. Output beyond a buffer is counted and dropped;
 * callbacks get everything. The command's stdin is empty. By default the call
 * may take timeout_s + 10 s; with LSSB_NO_LIMIT it may take for ever. Never
 * tried again once it may have reached the server. LSSB_E_OPERATION,
 * LSSB_E_NOT_READY, LSSB_E_NOT_CONFIGURED. */
lssb_status lssb_run(const lssb_sandbox *box, const char *command,
                     const lssb_run_options *options, lssb_result *result,
                     lssb_op *op);

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

#ifdef __cplusplus
}
#endif

#endif
