/* sandboxd.h: what the parts of the development server share.
 *
 * SPDX-License-Identifier: MIT
 *
 * One process, one thread, one poll() loop. From the bottom up: util, loop,
 * value (JSON), server (connections, HTTP; tls below it), paths and view (a
 * box's files), process (commands), box (lives), api and dataplane (what is
 * asked), faults (what goes wrong on purpose), main. The engines that
 * understand HTTP, JSON and URLs are the library's own, in the other role.
 * control.h has what the parts of the control plane share.
 */
#ifndef SANDBOXD_H
#define SANDBOXD_H

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "src/internal.h"

struct sandboxd;

/* ------------------------------------------------------------------- util */

/* Bytes that grow. All zeros is an empty one. */
struct bytes {
    char *at;
    size_t len;
    size_t size;
};

/* Names and values, in order. All zeros is an empty one. */
struct map {
    struct map_pair {
        char *name;
        char *value;
    } *pairs;
    size_t count;
};

void *take(size_t size);
void *take_more(void *old, size_t size);
char *take_copy(const char *string);
char *take_copy_n(const char *bytes, size_t len);
char *take_format(const char *format, ...)
    __attribute__((format(printf, 1, 2), nonnull(1)));
void bytes_add(struct bytes *bytes, const void *more, size_t len);
void bytes_add_string(struct bytes *bytes, const char *string);
void bytes_free(struct bytes *bytes);
void map_set(struct map *map, const char *name, const char *value);
void map_remove(struct map *map, const char *name);
void map_merge(struct map *over, const struct map *from);
const char *map_get(const struct map *map, const char *name);
void map_free(struct map *map);
uint64_t now_ms(void);
int64_t wall_us(void);
void fill_random(void *bytes, size_t len);
void random_hex(char *to, size_t digits);
void make_uuid(char to[37]);
void format_time(char to[32], int64_t us);
void format_http_date(char to[32], int64_t seconds);
bool same_secret(const char *a, const char *b);
void clean_utf8(struct bytes *out, const char *bytes, size_t len);
void set_nonblocking(int fd);

/* ------------------------------------------------------------------- loop */

/* A descriptor and what it waits for; yours, unwatched before it dies. */
struct watch {
    int fd;
    bool read;
    bool write;
    bool hangup;                    /* the peer's end, while nothing is read */
    void (*ready)(struct watch *watch, bool readable, bool writable);
    void *owner;
};

/* Something that happens at a time; yours, canceled before it dies. */
struct timer {
    uint64_t at;
    void (*fire)(struct timer *timer);
    void *owner;
    bool armed;
    struct timer *next;
};

struct loop {
    struct watch **watches;
    size_t count;
    size_t size;
    struct timer *timers;
    bool stopping;
};

void loop_watch(struct loop *loop, struct watch *watch);
void loop_unwatch(struct loop *loop, struct watch *watch);
void loop_at(struct loop *loop, struct timer *timer, uint64_t at);
void loop_cancel(struct loop *loop, struct timer *timer);
void loop_turn(struct loop *loop);

/* ------------------------------------------------------------------ value */

/* A slice of JSON text that has been validated: one value. */
struct value {
    const char *at;                 /* NULL: there is none */
    size_t len;
};

/* NULL when the text is one JSON object; else what is wrong with it. */
const char *value_check(const char *text, size_t len);
struct value value_get(struct value object, const char *name);
bool value_next(struct value container, size_t *place, struct value *name,
                struct value *value);
bool value_is(struct value value, char first);
bool value_is_null(struct value value);
char *value_text(struct value string);
bool value_integer(struct value value, int64_t *number);
bool value_bool(struct value value, bool *flag);
bool value_map(struct value value, struct map *map);

typedef void json_fn(struct lssb_json_writer *json, const void *ctx);
char *json_text(json_fn *write, const void *ctx, size_t *len);
void json_redacted(struct lssb_json_writer *json, const char *name,
                   const char *raw);
void json_map(struct lssb_json_writer *json, const char *name,
              const struct map *map);
void json_time(struct lssb_json_writer *json, const char *name, int64_t us);
void json_optional(struct lssb_json_writer *json, const char *name,
                   int64_t number);

/* -------------------------------------------------------------------- tls */

struct tls_server;
struct tls_link;

#define LINK_AGAIN (-1)             /* nothing moved; wait */
#define LINK_BROKEN (-2)

struct tls_server *tls_server_new(const char *cert, const char *key,
                                  const char **why);
void tls_server_free(struct tls_server *server);
struct tls_link *tls_link_new(struct tls_server *server);
void tls_link_free(struct tls_link *link);
ptrdiff_t tls_link_read(struct tls_link *link, int fd, void *to, size_t len);
ptrdiff_t tls_link_write(struct tls_link *link, int fd, const void *from,
                         size_t len);
bool tls_link_flush(struct tls_link *link, int fd);
void tls_link_wants(struct tls_link *link, bool *read, bool *write);
bool tls_link_close(struct tls_link *link, int fd);
bool tls_make_files(const char *dir, char **ca, char **cert, char **key);

/* ----------------------------------------------------------------- server */

#define MAX_HEADERS 100

struct connection;
struct fault;

/* A request and its answer. A handler is started when the head is there; it
 * sets what it wants to hear of, and replies at once or later. */
struct exchange {
    struct sandboxd *d;
    struct connection *connection;
    char method[16];
    char *target;
    char *path;                     /* as sent, without the query */
    char *query;                    /* "" when there is none */
    struct map headers;
    size_t header_bytes;
    bool is_head;
    bool has_length;
    uint64_t length;

    /* The handler's. */
    void (*on_body)(struct exchange *exchange, const uint8_t *bytes,
                    size_t len);
    void (*on_end)(struct exchange *exchange);      /* the body is complete */
    void (*on_room)(struct exchange *exchange);     /* more can be written */
    void (*on_over)(struct exchange *exchange);     /* however it ended; once */
    void *state;
    bool paused;                    /* the body waits; see exchange_resume */
    bool duplex;                    /* it goes on while the reply is given */

    /* The server's. */
    struct fault *fault;
    bool complete;                  /* the request has come whole */
    bool replying;                  /* the reply's head is written */
    bool replied;                   /* the reply is written whole */
    bool close;                     /* the connection ends with it */
    bool continued;                 /* 100 was sent, or not asked for */
    bool chunked;                   /* its length shows at its end only */
    bool raw;                       /* it is a stream of bytes: reply_raw */
    uint64_t body_left;             /* of the reply's declared length */
    uint64_t cut_at;                /* a fault: bytes of the body until then */
    uint64_t discarded;
};

struct server {
    struct sandboxd *d;
    struct watch listener;
    struct tls_server *tls;
    struct connection *connections;
    size_t count;
};

bool server_listen(struct sandboxd *d, const char *host, uint16_t port,
                   char *endpoint, size_t endpoint_size);
void server_close(struct sandboxd *d);
const char *exchange_header(const struct exchange *exchange,
                            const char *name);
void exchange_resume(struct exchange *exchange);
bool form_value(const char *query, const char *name, char **value);
bool form_next(const char **query, char **name, char **value);
char *percent_decode(const char *from, size_t len, bool plus);

void reply_begin(struct exchange *exchange, int status);
void reply_header(struct exchange *exchange, const char *name,
                  const char *value);
void reply_length(struct exchange *exchange, uint64_t length);
void reply_no_body(struct exchange *exchange);
void reply_chunked(struct exchange *exchange);
void reply_raw(struct exchange *exchange);
void reply_finish(struct exchange *exchange);
size_t reply_room(const struct exchange *exchange);
void reply_body(struct exchange *exchange, const void *bytes, size_t len);
void reply_cut(struct exchange *exchange);
void reply_whole(struct exchange *exchange, int status, const char *type,
                 const void *bytes, size_t len);
void reply_empty(struct exchange *exchange, int status);
void reply_json(struct exchange *exchange, int status, json_fn *write,
                const void *ctx);
void reply_error(struct exchange *exchange, int status, const char *type,
                 const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void reply_problem(struct exchange *exchange, const char *field,
                   const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reply_missing(struct exchange *exchange, const char *field);
void reply_allow(struct exchange *exchange, const char *methods);

/* Collects a JSON body, bounded, then calls `then` with it; "{}" when the
 * body is empty. Replies by itself when it is too long or no object. */
void collect_json(struct exchange *exchange,
                  void (*then)(struct exchange *exchange, struct value body));

/* The same; `then` finds the name as the exchange's state, and frees it. */
void collect_named(struct exchange *exchange, const char *name,
                   void (*then)(struct exchange *exchange,
                                struct value body));

/* -------------------------------------------------------------- multipart */

#define MULTIPART_BOUNDARY 70
#define MULTIPART_HEADERS 8192

/* A multipart body (RFC 2046 5.1), parsed as it arrives. */
struct multipart {
    void (*on_part)(struct multipart *multipart, const char *name);
    void (*on_data)(struct multipart *multipart, const uint8_t *bytes,
                    size_t len);
    void *owner;
    const char *wrong;
    bool complete;
    char delimiter[4 + MULTIPART_BOUNDARY + 1];
    size_t delimiter_len;
    size_t matched;
    int state;
    char *headers;
    size_t header_len;
};

bool multipart_start(struct multipart *multipart, const char *content_type);
bool multipart_feed(struct multipart *multipart, const uint8_t *bytes,
                    size_t len);
void multipart_free(struct multipart *multipart);

/* ----------------------------------------------------------------- socket */

/* A WebSocket connection, which a request has become. It is the server's: the
 * owner sets these after socket_accept, and forgets it when on_over is called
 * or when it has called socket_close. */
struct websocket {
    void *owner;
    void (*on_piece)(struct websocket *socket, const uint8_t *bytes,
                     size_t len, bool ends);        /* of a message */
    void (*on_room)(struct websocket *socket);      /* room was 0 */
    void (*on_over)(struct websocket *socket);      /* once; see `code` */
    uint16_t code;                  /* the peer's close; 1006: there was none */
    struct exchange *exchange;

    /* Its own. */
    struct sandboxd *d;
    struct websocket *next;
    struct lssb_ws ws;
    struct timer timer;             /* the next ping; the end of a close */
    struct timer doom;              /* a fault */
    bool lasts;                     /* sockets_close leaves it to its owner */
    bool closing;                   /* a close frame was sent */
    bool pong_due;
    uint8_t pong[LSSB_WS_CONTROL];
    size_t pong_len;
    int64_t sent;                   /* messages */
    bool met;                       /* the fault has happened */
    bool doomed;                    /* … and ends it in a moment */
    bool mute;                      /* … and nothing is said or heard any more */
};

struct websocket *socket_accept(struct exchange *exchange);
void socket_begin(struct websocket *socket);
size_t socket_room(const struct websocket *socket);
void socket_send(struct websocket *socket, enum lssb_ws_opcode opcode,
                 const void *bytes, size_t len);
void socket_pause(struct websocket *socket, bool paused);
void socket_close(struct websocket *socket, uint16_t code,
                  const char *reason);
void sockets_close(struct sandboxd *d, uint16_t code, const char *reason);
void sockets_cut(struct sandboxd *d);
bool sockets_closing(const struct sandboxd *d);

/* ------------------------------------------------------------------ boxes */

struct grant;
struct job;

enum box_status {
    BOX_PROVISIONING,
    BOX_READY,
    BOX_FAILED,
    BOX_STOPPED
};

/* Who runs the commands, where, and with which environment. */
struct run_config {
    char *user;                     /* NULL: the server's own */
    char *work_dir;                 /* NULL: /home/user */
    struct map env;
};

/* What commands see instead of the host's files and processes (view.c). */
struct view {
    pid_t keeper;                   /* 0: there is none */
    int doors[3];                   /* its namespaces; -1: not its own */
};

#define UNSET INT64_MIN             /* a number that was not given */

struct box {
    struct sandboxd *d;
    struct box *next;
    uint64_t sequence;              /* order of creation */
    char id[37];
    char *name;
    char *dir;                      /* holds root/ */
    enum box_status status;
    bool was_ready;
    char *status_message;
    int64_t created_us;
    int64_t updated_us;
    int64_t stopped_us;
    int64_t idle_ttl_s;
    int64_t delete_after_stop_s;
    int64_t ttl_s;
    int64_t cpu_millicores;
    int64_t mem_bytes;
    int64_t fs_capacity_bytes;
    bool preserve_memory;
    struct map labels;
    struct map env;
    struct run_config run;
    char *snapshot_id;              /* what it was made from */
    char *source;                   /* the snapshot's files, or NULL */
    char *template_name;            /* NULL: it was made from none */
    struct map mounts;              /* volumes: path in it -> directory */
    struct map rule_env;            /* of its proxy's rules */
    struct grant *grants;           /* what is shared of it */
    struct job *filling;            /* gets the snapshot's files */
    bool at_once;                   /* it takes no time to start */
    char *mount_config;             /* JSON, or NULL */
    char *proxy_config;
    char *access_delegation;
    struct timer provisioned;
    struct timer idle;
    struct timer removal;           /* after a stop, or at the end of ttl_s */
    uint64_t used_at;
    uint64_t stopped_at;
    uint64_t created_at;
    size_t commands;                /* under way */
    size_t bridges;                 /* connections through tunnels */
    struct view view;
};

/* Somebody who waits until a box is ready, has failed or is gone. */
struct box_wait {
    struct box_wait *next;
    struct box *box;
    struct timer timer;
    void (*done)(struct box_wait *wait, struct box *box);   /* NULL: it is
                                       gone; not ready: its time was up */
    void *owner;
};

extern const char box_default_snapshot[];

struct box *box_new(struct sandboxd *d);
void box_free(struct box *box);
bool box_add(struct box *box, const char **why);
struct box *box_find(struct sandboxd *d, const char *name_or_id);
struct box *box_find_name(struct sandboxd *d, const char *name);
const char *box_status_name(enum box_status status);
void box_start(struct box *box);
void box_stop(struct box *box);
void box_delete(struct box *box);
void box_touch(struct box *box);
void box_timers(struct box *box);
void box_wait_start(struct box_wait *wait, struct box *box,
                    uint32_t timeout_ms);
void box_wait_end(struct box_wait *wait);
void run_config_free(struct run_config *run);
void grants_free(struct box *box);

/* ------------------------------------------------------------------ files */

/* Where a path of the API leads: an open directory and a name in it. */
struct place {
    int dir;
    char name[256];
    bool host;                      /* below a directory of the host's own */
};

bool path_find(const struct box *box, const char *path, bool make_parents,
               struct place *place);
bool path_make_dir(const struct box *box, const char *path);
void place_close(struct place *place);

/* How commands see files: in a view of their own, or the host's. */
bool view_probe(struct sandboxd *d);
bool view_prepare(const struct box *box);
bool view_provides(const char *name);
bool view_open(struct box *box, char **why);
void view_close(struct box *box);
pid_t view_enter(const struct box *box);
pid_t view_inner(pid_t pid);

/* --------------------------------------------------------------- commands */

struct command;

struct command_options {
    char **argv;
    const struct map *env;          /* over the box's */
    const struct map *own_env;      /* over that; may be NULL */
    const char *cwd;                /* NULL: the box's */
    const char *user;               /* NULL: the box's */
    uint32_t timeout_s;             /* 0: none */
    bool input;                     /* its input is not empty: command_write */
    bool pty;                       /* it has a terminal */

    /* NULL: the output is kept, up to settings.max_output. */
    void (*output)(struct command *command, bool is_err, const char *bytes,
                   size_t len);
    void (*drained)(struct command *command);   /* it has read some input */
};

struct command {
    struct command *next;
    struct box *box;                /* NULL when it is gone */
    struct sandboxd *d;
    pid_t pid;
    bool pty;
    size_t piece;                   /* most bytes of output at once */
    struct watch in;
    struct watch out;
    struct watch err;
    struct bytes in_bytes;
    size_t in_from;
    bool in_ended;                  /* behind what is in in_bytes */
    struct bytes out_bytes;
    struct bytes err_bytes;
    struct timer timeout;
    struct timer grace;             /* for output after the end */
    bool exited;
    bool finished;                  /* `done` was called; only drained now */
    bool timed_out;
    bool overflowed;
    int exit_code;
    void (*output)(struct command *command, bool is_err, const char *bytes,
                   size_t len);
    void (*drained)(struct command *command);
    void (*done)(struct command *command);  /* once */
    void *owner;                    /* NULL: nobody cares any more */
};

/* What a request to run something asks for, taken apart. */
struct run_request {
    char **argv;
    bool pty;
    struct map env;
    char *cwd;
    char *user;
    int64_t timeout_s;
    const char *wrong;              /* NULL, or what is not acceptable */
};

/* A process that was started; descriptors may be -1. */
struct spawned {
    pid_t pid;
    int in;
    int out;
    int err;
};

struct user_ids {
    uid_t uid;
    gid_t gid;
    char name[64];
};

bool user_find(const char *user, struct user_ids *ids);
bool user_possible(const char *user);
bool spawn(struct box *box, const struct command_options *options,
           struct spawned *spawned, char **why);
void run_request_read(struct run_request *request, struct value body,
                      bool stream);
void run_request_free(struct run_request *request);
void command_write(struct command *command, const char *bytes, size_t len);
size_t command_unwritten(const struct command *command);
void command_end_input(struct command *command);
void command_resize(struct command *command, uint16_t cols, uint16_t rows);
void command_hold(struct command *command, bool is_err, bool held);
void command_kill(const struct command *command);
void command_exited(struct sandboxd *d, pid_t pid, int status);
void command_free(struct command *command);
void process_limits_restore(void);
struct command *command_start(struct box *box,
                              const struct command_options *options,
                              char **why);
void commands_kill(struct box *box);
void commands_end(struct sandboxd *d);
void process_start(struct sandboxd *d);
bool process_run(const char *const *argv, const char *dir);
void process_remove_tree(struct sandboxd *d, const char *path);

/* --------------------------------------------------------------- sessions */

#define SESSION_INPUT (256 * 1024)  /* that a command has not read, before its
                                       clients are held up */

/* The last bytes of an output. Places are offsets since it began. */
struct ring {
    char *at;                       /* NULL: nothing has come */
    size_t size;
    uint64_t from;                  /* the oldest that is there */
    uint64_t to;
};

void ring_add(struct ring *ring, const char *bytes, size_t len);
void ring_drop(struct ring *ring, uint64_t len);
void ring_free(struct ring *ring);
size_t ring_text(const struct ring *ring, uint64_t *at, size_t most,
                 bool ended, struct bytes *text);

struct agent;

/* A command under an id, with the last of its output. */
struct session {
    struct session *next;
    struct sandboxd *d;
    char *id;
    char *box_id;
    struct command *command;        /* NULL when it is over */
    int64_t pid;
    bool pty;
    struct ring out;
    struct ring err;
    struct attachment *clients;     /* the last one first */
    struct agent *agent;            /* NULL: no ssh-agent */
    struct timer timer;             /* nobody is there; then: its time */
    struct timer patience;          /* with clients that do not read */
    int64_t idle_s;                 /* -1: never */
    int64_t ttl_s;
    bool kill_on_disconnect;
    bool over;
    bool timed_out;
    bool expired;                   /* gone when its last client leaves */
    int exit_code;
};

/* One that has expired. */
struct session_gone {
    struct session_gone *next;
    char *id;
    char *box_id;
};

/* A client, at a command or about to be. */
struct attachment {
    struct attachment *next;
    struct sandboxd *d;
    struct websocket *socket;
    struct session *session;        /* NULL before its first message */
    char *box_id;
    uint64_t out_at;                /* sent as far as there */
    uint64_t err_at;
    bool late;                      /* it reads too slowly to be waited for */
    bool started;
    bool ended;                     /* the last message was sent */
    struct bytes message;           /* that is coming in */
    struct bytes held;              /* input before the first message */
    bool held_end;
    bool held_kill;
    struct timer timer;
};

struct session *session_find(struct sandboxd *d, const char *box_id,
                             const char *id);
bool session_is_gone(struct sandboxd *d, const char *box_id, const char *id);
struct session *session_start(struct box *box, const char *id,
                              struct value body, char **why);
void session_attach(struct session *session, struct attachment *client);
void session_detach(struct session *session, struct attachment *client);
void session_flow(struct session *session, bool progress);
void sessions_end(struct sandboxd *d);

void attachment_start(struct exchange *exchange, struct box *box);
void attachment_pump(struct attachment *client);
void attachment_resume(struct attachment *client);
void attachment_agent(struct attachment *client, const char *channel,
                      const void *bytes, size_t len);

char *agent_start(struct session *session, const struct box *box,
                  struct map *env, const char *user);
void agent_message(struct attachment *client, struct value body, bool ends);
void agent_room(struct session *session, struct attachment *client);
void agent_detach(struct session *session, struct attachment *client);
void agent_free(struct session *session);

/* ---------------------------------------------------------------- tunnels */

bool tunnel_ports_valid(const char *list);
void tunnels_go_away(struct sandboxd *d);
void tunnels_end(struct box *box);

/* ----------------------------------------------------------------- faults */

/* What shall go wrong, how often, with which requests. */
struct fault {
    struct fault *next;
    char *match;
    int64_t times;
    int64_t status;                 /* 0: none */
    struct map headers;
    char *body;
    char *close;                    /* "before-reply", … or NULL */
    char *provision;                /* "fail", "hang", or NULL */
    char *message;
    char *socket;                   /* what a WebSocket does, or NULL: "close",
                                       "cut", "silent", "text", "binary",
                                       "bytes", "accept" */
    int64_t after;                  /* … once so many messages are sent */
    int64_t code;                   /* of the close; 0: none */
    int64_t frames;                 /* most bytes of a frame; 0: no limit */
    int64_t drop;                   /* bytes that the rings lose */
    char *order;                    /* "data,offset,type" */
    bool hex;                       /* `body` is written in hexadecimal */
    char *stream;                   /* what a tunnel's streams do, or NULL:
                                       "status", "slow", "reset", "finish",
                                       "away"; `after` so many bytes */
    int64_t streams;                /* so many of them; 0: all */
    int64_t delay;                  /* "slow": milliseconds */
    int64_t messages;               /* most bytes of one; 0: no limit */
};

struct fault *faults_take(struct sandboxd *d, const char *method,
                          const char *path, bool provision);
void fault_free(struct fault *fault);
void faults_request(struct exchange *exchange);
void faults_clear(struct sandboxd *d);

/* -------------------------------------------------------------- api, main */

void api_request(struct exchange *exchange);
bool dataplane_knows(const char *operation);
void dataplane_request(struct exchange *exchange, struct box *box,
                       const char *operation);

struct settings {
    const char *listen;
    const char *api_key;
    bool tls;
    const char *cert;
    const char *key;
    const char *ca;
    const char *data;
    bool keep;
    bool die_with_parent;
    bool faults;
    const char *isolation;          /* "auto", "view", "none" */
    const char *member_order;       /* of streamed messages, or NULL */
    uint64_t provision_ms;
    uint64_t second_ms;             /* how long a second of a TTL lasts */
    uint64_t max_connections;
    uint64_t max_boxes;
    uint64_t max_millicores;        /* 0: no limit */
    uint64_t max_memory;            /* 0: no limit */
    uint64_t max_snapshots;
    uint64_t max_volumes;
    bool no_services;               /* links are answered by 501 */
    const char *service_domain;     /* of links; NULL: paths of this server */
    uint64_t max_commands;
    uint64_t max_output;
    uint64_t max_json;
    uint64_t max_upload;            /* 0: no limit */
    uint64_t max_message;           /* bytes of a WebSocket message */
    uint64_t ring_bytes;            /* that are kept of each output */
    uint64_t message_bytes;         /* of output in a message, at most */
    const char *tunnel_ports;       /* NULL: all */
    uint64_t tunnel_ping_ms;
    uint64_t max_streams;           /* of a tunnel */
    uint64_t drain_ms;              /* for streams, once go away is said */
    uint64_t ping_ms;
    uint64_t hold_ms;               /* that a command waits for its reader */
};

struct sandboxd {
    struct settings settings;
    struct loop loop;
    struct server server;
    char *data;                     /* the directory of everything */
    bool made_data;
    char endpoint[320];
    char api_key[128];
    bool view;                      /* commands run in a view of their own */
    struct box *boxes;              /* newest first */
    size_t box_count;
    struct snapshot *snapshots;     /* newest first, as all of these */
    size_t snapshot_count;
    struct registry *registries;
    struct template *templates;
    struct volume *volumes;
    struct pool *pools;
    uint8_t token_key[32];
    bool own_mounts;                /* in a mount namespace of its own */
    uint64_t sequence;
    struct box_wait *waits;
    struct command *commands;
    size_t command_count;           /* not finished */
    struct websocket *sockets;
    struct tunnel *tunnels;
    struct session *sessions;       /* newest first */
    struct session_gone *gone;      /* newest first */
    struct fault *faults;
};

#endif
