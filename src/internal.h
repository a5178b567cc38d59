/* internal.h: what the parts share. Not for applications.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every part compiles by itself and inside its unit (lssb.c, http.c, ws.c);
 * what crosses parts is LSSB_PRIVATE and declared here, in the order of the
 * house, from the bottom up: text, url, http1, conn; json, client.
 */
#ifndef LSSB_INTERNAL_H
#define LSSB_INTERNAL_H

#include <string.h>

#include "../lssb.h"
#include "../port/port.h"
#include "../port/tls.h"
#include "config.h"

#if defined(__GNUC__) && !defined(_WIN32)
#define LSSB_PRIVATE __attribute__((visibility("hidden")))
#else
#define LSSB_PRIVATE
#endif

/* ------------------------------------------------------------- http.c: text */

/* Text that is built up in a fixed place: always NUL-terminated, cut between
 * characters when the place is full. */
struct lssb_text {
    char *at;
    size_t size;                    /* of the place; at least 1 */
    size_t len;
    bool cut;
};

LSSB_PRIVATE void lssb_text_start(struct lssb_text *text, char *at,
                                  size_t size);
LSSB_PRIVATE void lssb_text_add(struct lssb_text *text, const char *string);
LSSB_PRIVATE void lssb_text_add_n(struct lssb_text *text, const char *bytes,
                                  size_t len);
LSSB_PRIVATE void lssb_text_add_u64(struct lssb_text *text, uint64_t number);
LSSB_PRIVATE void lssb_text_add_i64(struct lssb_text *text, int64_t number);

/* Makes "***" of each occurrence of a secret, and of a beginning of it, as a
 * text that was cut may have: of LSSB_SECRET_PART bytes or more anywhere, of
 * LSSB_SECRET_END at the text's end. What is shorter than LSSB_SECRET_LEAST is
 * no secret, but may be a word. */
#define LSSB_SECRET_LEAST 8
#define LSSB_SECRET_PART 12
#define LSSB_SECRET_END 4
LSSB_PRIVATE void lssb_text_hide(char *text, const char *secret, size_t len);

/* Copies a string; false, and an empty place, when it does not fit whole. */
LSSB_PRIVATE bool lssb_copy(char *to, size_t size, const char *from,
                            size_t len);

/* A text without the white space at its ends, Unicode's included. */
LSSB_PRIVATE const char *lssb_trim(const char *text, size_t *len);

/* ASCII comparison without regard to case; no locale. */
LSSB_PRIVATE bool lssb_same_name(const char *a, size_t a_len, const char *b,
                                 size_t b_len);

/* The length of the valid UTF-8 at the start of `bytes`: `len` when all of it
 * is (no overlong forms, no surrogates, nothing beyond U+10FFFF). */
LSSB_PRIVATE size_t lssb_utf8_valid(const char *bytes, size_t len);

/* Decimal digits only, no sign, no blanks; false when empty or too large. */
LSSB_PRIVATE bool lssb_parse_u64(const char *bytes, size_t len,
                                 uint64_t *number);

/* Overwrites a secret in a way that is not optimised away. */
LSSB_PRIVATE void lssb_wipe(void *bytes, size_t len);

/* Seconds since 1970 of an HTTP date (RFC 9110 5.6.7, all three forms) or of
 * an ISO 8601 time; false when it is none. */
LSSB_PRIVATE bool lssb_parse_http_date(const char *bytes, size_t len,
                                       int64_t *seconds);

/* A writer through a window: of all the bytes put, the first `skip` are only
 * counted, the next `room` are stored, the rest is only counted. What makes
 * a long message again from its arguments for each piece of a small buffer
 * needs no memory of its own; with room 0 it only measures. */
struct lssb_writer {
    uint8_t *out;
    size_t room;
    size_t len;                     /* stored */
    uint64_t skip;
    uint64_t total;                 /* put */
    const char *wrong;              /* the first mistake, or NULL */
    const char *wrong_name;         /* the member of the JSON that it is about,
                                       or NULL: `wrong` says all */
    struct lssb_mark *mark;         /* where a long string went on, or NULL */
    bool may_wait;                  /* a source may say so */
    bool later;                     /* a source has nothing yet */
};

/* What the read_at of lssb_file_archive's source may return, too: nothing yet,
 * it is to be asked again in another step. */
#define LSSB_SOURCE_LATER PTRDIFF_MIN

/* A place within a long string that has been put as far as there: the next
 * window begins with it instead of with the string's first byte. */
struct lssb_mark {
    const char *string;
    uint64_t begin;                 /* the writer's total before the string */
    size_t from;                    /* bytes of it that are put */
    uint64_t total;                 /* and the total then */
};

LSSB_PRIVATE void lssb_writer_start(struct lssb_writer *writer, void *out,
                                    size_t room, uint64_t skip);
LSSB_PRIVATE void lssb_put(struct lssb_writer *writer, const void *bytes,
                           size_t len);
/* Whether the window is full: what follows is of no use now. Never so when it
 * only measures. */
LSSB_PRIVATE bool lssb_writer_full(const struct lssb_writer *writer);
LSSB_PRIVATE void lssb_put_text(struct lssb_writer *writer,
                                const char *string);
LSSB_PRIVATE void lssb_put_u64(struct lssb_writer *writer, uint64_t number);

/* Base64 (RFC 4648 4) of bytes into the writer. */
LSSB_PRIVATE void lssb_put_base64(struct lssb_writer *writer,
                                  const void *bytes, size_t len);

/* -------------------------------------------------------------- http.c: url */

/* An http or https URL, parsed: slices of the caller's text (RFC 3986). */
struct lssb_url {
    bool tls;
    const char *host;               /* without brackets */
    size_t host_len;
    bool host_is_v6;                /* it stood in brackets */
    uint16_t port;                  /* the scheme's when none was given */
    bool port_given;
    const char *userinfo;           /* proxies only; else refused */
    size_t userinfo_len;
    const char *path;               /* begins with '/', or empty; without
                                       trailing slashes, query, fragment */
    size_t path_len;
    const char *query;              /* without '?'; NULL: none */
    size_t query_len;
};

/* Parses a URL; NULL, or what is wrong with it, without its content. ws and wss
 * are http and https here. `userinfo_allowed` is for proxies, whose scheme may
 * be missing, too: http. What RFC 3986 does not allow unescaped is refused:
 * white space, controls, bytes beyond ASCII, backslashes; so are an empty
 * host, port 0, percent signs that begin no escape, IPv6 scopes, and a host
 * that ends in a number but is no IPv4 address in full ("127.1"). The one dot
 * that may end a host is dropped. */
LSSB_PRIVATE const char *lssb_url_parse(struct lssb_url *url, const char *text,
                                        size_t len, bool userinfo_allowed);

/* The same for "host", "host:port", "[v6]:port": sets only host, host_len,
 * host_is_v6 and, if one is given, port and port_given. */
LSSB_PRIVATE const char *lssb_url_authority(struct lssb_url *url,
                                            const char *text, size_t len);

/* Undoes percent-encoding; false, and an empty place, when it does not fit
 * whole, when an escape is none, and when a NUL comes of one. */
LSSB_PRIVATE bool lssb_percent_decode(char *to, size_t size, const char *text,
                                      size_t len);

/* Puts host and port as the Host header and CONNECT want them: brackets about
 * IPv6, the port when it is not the scheme's (or always). */
LSSB_PRIVATE void lssb_put_authority(struct lssb_writer *writer,
                                     const char *host, bool tls, uint16_t port,
                                     bool always_port);

/* Percent-encodes everything but the unreserved characters. As a segment:
 * what is empty, "." or ".." is the writer's mistake. */
LSSB_PRIVATE void lssb_put_segment(struct lssb_writer *writer,
                                   const char *string);
LSSB_PRIVATE void lssb_put_query(struct lssb_writer *writer,
                                 const char *string);

/* A literal address, "127.0.0.1", "::1", "fe80::1%2" (numeric scope): true. */
LSSB_PRIVATE bool lssb_parse_address(const char *text, size_t len,
                                     lssb_address *address);

/* Whether a host is loopback: 127.0.0.0/8 (also as ::ffff:127.0.0.1), ::1,
 * localhost, *.localhost. */
LSSB_PRIVATE bool lssb_is_loopback(const char *host, size_t len);

/* Whether a NO_PROXY list names the host: comma-separated "*", "host",
 * ".domain", "*.domain" or "domain" (each: it and what is below it), an
 * address, "10.0.0.0/8", "fd00::/8", each but "*" with ":port" if it matters
 * (IPv6 then in brackets). Blanks about an entry do not count, nor does case;
 * an entry that makes no sense names nothing. */
LSSB_PRIVATE bool lssb_no_proxy(const char *list, const char *host,
                                size_t host_len, uint16_t port);

/* ------------------------------------------------------------ http.c: http1 */

/* What the parser found. */
enum lssb_http_event {
    LSSB_HTTP_MORE = 0,             /* all is consumed, and no event waits:
                                       more bytes, please */
    LSSB_HTTP_START,                /* the start line: status, or method and
                                       target; a final one, 1xx are skipped */
    LSSB_HTTP_HEADER,               /* name and value; trailers are not told */
    LSSB_HTTP_HEAD,                 /* the header block is complete */
    LSSB_HTTP_BODY,                 /* body, body_len: a slice of the input */
    LSSB_HTTP_DONE,                 /* the message is complete */
    LSSB_HTTP_WRONG                 /* `wrong` says what; final */
};

#define LSSB_HTTP_HEAD_LIMIT 65536  /* bytes of a header block, all of it */
#define LSSB_HTTP_INTERIM_LIMIT 16  /* 1xx replies before the final one */

/* One HTTP/1.1 message, parsed as it arrives (RFC 9112), strictly. It does no
 * I/O and copies only what a line needs, into the caller's `line`.
 *
 * Refused, beyond what the RFC demands: a line that ends with LF alone; a
 * Transfer-Encoding that is not exactly "chunked", once; Content-Length with
 * Transfer-Encoding; Content-Length that is repeated, or is a list, unless all
 * numbers are the same; a framing field (those two and Connection) longer than
 * `line`; a chunk's line of more than 4 KiB. */
struct lssb_http {
    /* Set by lssb_http_start. */
    bool server;                    /* parse requests instead of replies */
    char *line;                     /* for a start line or a header field */
    size_t line_size;               /* at least 256; 65,535 of it are used */

    /* Set by a client after lssb_http_start, before the first byte. */
    bool head_request;              /* the reply has no body (HEAD) */
    bool connect_request;           /* a 2xx reply ends with its head and turns
                                       the connection into a tunnel (CONNECT);
                                       so does 101 always */

    /* Set by lssb_http_next, valid until its next call. */
    int status;                     /* client: of the reply, from START on;
                                       100 to 999. Server: what to answer after
                                       WRONG: 400, 414, 431, 501 or 505 */
    const char *method;             /* server */
    const char *target;             /* server: a path, an http URL, "*" with
                                       OPTIONS, host:port with CONNECT */
    const char *name;               /* NUL-terminated, as are the above */
    const char *value;              /* without surrounding white space */
    size_t value_len;
    bool value_cut;                 /* the field was longer than `line`: this
                                       is its beginning */
    const uint8_t *body;
    size_t body_len;
    const char *wrong;              /* a sentence without the content; static */
    bool continued;                 /* client: 100 (Continue) has come */

    /* Set when LSSB_HTTP_HEAD is told. */
    bool keep_alive;                /* the connection may serve again, once the
                                       body is complete */
    uint32_t keep_alive_s;          /* Keep-Alive: timeout=; UINT32_MAX: not
                                       given */
    bool has_length;                /* Content-Length was given */
    uint64_t length;
    bool chunked;
    bool until_close;               /* the body ends with the connection */
    bool expects_continue;          /* server: Expect: 100-continue */

    struct {                        /* the parser's own */
        uint64_t left;
        uint32_t head_bytes;
        uint16_t line_len;
        uint16_t name_len;
        uint16_t interim;
        uint8_t state;
        uint8_t minor;
        uint8_t digits;
        uint8_t flags;
    } own;
};

/* Prepares for one message. `line` is used until LSSB_HTTP_HEAD is told, and
 * not after. */
LSSB_PRIVATE void lssb_http_start(struct lssb_http *http, bool server,
                                  char *line, size_t line_size);

/* Looks at `len` bytes, consumes *used of them and says what it found. Call it
 * again with the rest, also when none is left, until it says MORE: a message
 * may be DONE with no byte to come. The events are the same wherever the input
 * is split, but for the slices of the body. After LSSB_HTTP_DONE nothing
 * further is consumed: what follows belongs to the next message, or to the
 * tunnel. */
LSSB_PRIVATE enum lssb_http_event lssb_http_next(struct lssb_http *http,
                                                 const uint8_t *bytes,
                                                 size_t len, size_t *used);

/* The connection ended: LSSB_HTTP_DONE if that ends the body in order,
 * LSSB_HTTP_WRONG if it cuts the message. An end that TLS did not confirm may
 * be an attacker's: it is in order for every body but one `until_close`, for
 * which this must then not be asked. */
LSSB_PRIVATE enum lssb_http_event lssb_http_end(struct lssb_http *http);

/* Puts "Name: value\r\n". What is no token for a name, and CR, LF, NUL or
 * other controls but a tab in a value, are the writer's mistake. */
LSSB_PRIVATE void lssb_put_header(struct lssb_writer *writer, const char *name,
                                  const char *value);

/* NULL, or what is wrong with a header that a caller gives: no token, a bad
 * byte in the value, or one that frames the message and so is the library's
 * own (Host, Connection, Content-Length, Transfer-Encoding, TE, Trailer,
 * Upgrade, Expect, Keep-Alive, Proxy-Connection, Proxy-Authorization,
 * Content-Type, Sec-WebSocket-…). */
LSSB_PRIVATE const char *lssb_header_wrong(const char *name,
                                           const char *value);

/* ------------------------------------------------------------- http.c: conn */

/* What a connection leads to. All is copied but the proxy's strings, which
 * are borrowed while it is being opened. With a proxy there is a CONNECT first
 * for TLS, and for a tunnel; otherwise the connection simply leads to the
 * proxy, and the user asks it in absolute form. */
struct lssb_conn_target {
    const char *host;               /* without brackets */
    uint16_t port;
    bool tls;
    bool tunnel;                    /* not for HTTP alone (RFC 6455 4.1) */
    const char *proxy_host;         /* NULL: straight */
    uint16_t proxy_port;
    const char *proxy_userinfo;     /* "user:password", percent-decoded; NULL */
};

#define LSSB_HOST_SIZE 256
#define LSSB_CONN_RACE 2            /* addresses tried side by side */

enum lssb_conn_phase {
    LSSB_CONN_CLOSED = 0,
    LSSB_CONN_RESOLVING,
    LSSB_CONN_CONNECTING,
    LSSB_CONN_PROXY,                /* CONNECT under way */
    LSSB_CONN_HANDSHAKE,            /* TLS under way */
    LSSB_CONN_OPEN,
    LSSB_CONN_CLOSING               /* close_notify under way */
};

/* One connection: TCP, perhaps through a proxy, perhaps with TLS. The only
 * thing that moves bytes. Every function returns at once. */
struct lssb_conn {
    /* Set once, by the client. */
    const lssb_port *port;
    void *port_context;
    const lssb_tls_backend *tls;
    const lssb_trust *trust;
    uint8_t *receive_buffer;        /* LSSB_RECEIVE_BUFFER bytes */
    uint8_t *send_buffer;           /* LSSB_SEND_BUFFER bytes */
    void *session;                  /* TLS session memory */
    size_t session_size;

    /* Whom it belongs to; kept while the connection lives. */
    char host[LSSB_HOST_SIZE];
    uint16_t host_port;
    bool host_tls;
    bool proxied;                   /* speaks to a proxy (CONNECT or absolute
                                       form) */

    enum lssb_conn_phase phase;
    lssb_handle handle;
    bool sent_any;                  /* a byte of the caller's went to the
                                       socket: a request may have arrived. The
                                       user may clear it between requests */
    bool ended;                     /* the peer sent its end, in order; there
                                       may be bytes before it in `look` */
    lssb_status broken;             /* reading has failed; told after data */
    lssb_error failure;             /* why */

    struct {                        /* conn.c's and dial.c's own */
        struct lssb_conn_target target;
        lssb_tls_setup setup;
        lssb_tls_ticket ticket;
        union {                     /* one after the other */
            struct {
                lssb_address addresses[LSSB_MAX_ADDRESSES];
                uint64_t since[LSSB_CONN_RACE];
                uint64_t next_at;   /* when the next address may start */
            } race;
            struct {                /* its line stays during the handshake */
                struct lssb_http reply;
                uint64_t put;       /* bytes of the CONNECT request so far */
                char line[256];
            } proxy;
        } dial;
        lssb_handle job;
        lssb_handle race[LSSB_CONN_RACE];
        uint64_t close_at;
        uint64_t give_up_at;        /* after a failed write; 0: not known yet */
        size_t receive_from;        /* what waits in the buffer (plain TCP), or
                                       in `line` (behind the proxy's head) */
        size_t receive_to;
        size_t send_from;           /* what is to go (plain TCP, CONNECT) */
        size_t send_to;
        lssb_io read_io;            /* how reading ended; OK: by the end */
        lssb_io write_io;           /* how writing failed, or OK */
        int32_t read_code;
        int32_t write_code;
        uint16_t wire_left;         /* of the TLS record that goes out */
        uint8_t wire_have;          /* bytes of its header */
        uint8_t wire_type;
        uint8_t address_count;
        uint8_t next_address;
        uint8_t race_address[LSSB_CONN_RACE];
        uint8_t budget;             /* receive calls left in this step */
        bool read_over;             /* nothing more comes from the socket */
        bool more;                  /* the socket may have more at once */
        bool moved;                 /* something came in this step */
        bool dirty;                 /* committed, and not flushed yet */
        bool committed;             /* the user has committed something */
    } own;
};

/* dial.c: starts to connect; LSSB_PENDING, or a failure. A certificate that
 * fails and a proxy that refuses say so in conn->failure, like all else that
 * goes wrong from here on. `ticket` may be NULL; it is copied. A failure while
 * opening closes everything: nothing is left to be dropped. */
LSSB_PRIVATE lssb_status lssb_conn_open(struct lssb_conn *conn,
                                        const struct lssb_conn_target *target,
                                        const lssb_tls_ticket *ticket,
                                        uint64_t now);

/* Goes on with whatever is under way: resolving, racing addresses (RFC 8305:
 * families in turn, a next one every 250 ms or when one fails), the proxy, the
 * handshake, sending what was flushed or fills the buffer, receiving what
 * fits. LSSB_PENDING until it is open and while it is closing; LSSB_OK while
 * it is open; LSSB_END when the peer has ended it, in order, and all that came
 * before is consumed, and when it is closed; else the failure (of reading:
 * only after what arrived before has been consumed). A failed write alone
 * is no failure: the peer may have something to say yet, for two seconds. */
LSSB_PRIVATE lssb_status lssb_conn_step(struct lssb_conn *conn, uint64_t now);

/* BearSSL's shape (DESIGN "Connections"). Received bytes, valid until the next
 * call on this connection; NULL with *len 0: none. */
LSSB_PRIVATE const uint8_t *lssb_conn_look(struct lssb_conn *conn,
                                           size_t *len);
LSSB_PRIVATE void lssb_conn_consume(struct lssb_conn *conn, size_t len);

/* Room for bytes to send, until the next step; NULL with *len 0: none now, or
 * none ever again because writing has failed. `commit` takes the first `len`
 * of them and sends nothing; `flush` sends what it can at once. */
LSSB_PRIVATE uint8_t *lssb_conn_reserve(struct lssb_conn *conn, size_t *len);
LSSB_PRIVATE void lssb_conn_commit(struct lssb_conn *conn, size_t len);
LSSB_PRIVATE void lssb_conn_flush(struct lssb_conn *conn);

/* Whether all that was committed has gone to the socket. Never again true when
 * writing has failed. */
LSSB_PRIVATE bool lssb_conn_sent(const struct lssb_conn *conn);

/* Whether a kept-alive connection is still quiet: no byte, no end. */
LSSB_PRIVATE bool lssb_conn_quiet(struct lssb_conn *conn, uint64_t now);

/* What it waits for: up to LSSB_CONN_RACE handles with what each waits for
 * are stored, their number returned; *wake_at is lowered to the time at which
 * it wants to be stepped anyway (0: at once). `want_read`: the user wants more
 * data. Flushes what was committed: nobody sleeps on unsent bytes. */
LSSB_PRIVATE size_t lssb_conn_waits(struct lssb_conn *conn, bool want_read,
                                    lssb_poll *list, uint64_t *wake_at);

/* Starts an orderly end, bounded by `until`; stepping goes on until CLOSED.
 * What still arrives is dropped. One that is not open ends at once. */
LSSB_PRIVATE void lssb_conn_close(struct lssb_conn *conn, uint64_t until);

/* Ends it now. `reset` drops what is unsent. Wipes the session and both
 * buffers; `failure`, `sent_any` and `ended` stay to be read. */
LSSB_PRIVATE void lssb_conn_drop(struct lssb_conn *conn, bool reset);

/* What dial.c asks of conn.c. TCP is there, and the tunnel if there is one: it
 * starts the handshake, or is open. */
LSSB_PRIVATE void lssb_conn_begin(struct lssb_conn *conn);
/* Receives, within the step's budget; the end and failures stay. */
LSSB_PRIVATE ptrdiff_t lssb_conn_receive(struct lssb_conn *conn, void *bytes,
                                         size_t len);
/* Sends what is between send_from and send_to; true when that is all gone. */
LSSB_PRIVATE bool lssb_conn_send_buffer(struct lssb_conn *conn);

/* What conn.c asks of dial.c. Goes on with the name, the race, the proxy. */
LSSB_PRIVATE void lssb_dial_step(struct lssb_conn *conn, uint64_t now);
/* Closes what opening still holds: the resolver's job, attempts. */
LSSB_PRIVATE void lssb_dial_drop(struct lssb_conn *conn, bool reset);
/* Says that the socket ended or failed while there should have been more. When
 * writing had failed before, that is the reason: the end that follows is its
 * echo. */
LSSB_PRIVATE void lssb_dial_cut(struct lssb_conn *conn);
/* Makes sure that a failure of TLS says something. */
LSSB_PRIVATE void lssb_dial_tls_failed(struct lssb_conn *conn,
                                       lssb_status status);
/* Ends a connection that could not be opened, as conn->failure says. */
LSSB_PRIVATE void lssb_dial_give_up(struct lssb_conn *conn);

/* ------------------------------------------------------- ws.c: websocket */

/* RFC 6455, both roles, without extensions. An engine: bytes in, events and
 * bytes out. A connection is an upgrade, then frames; the upgrade itself is
 * HTTP and http1's business: what follows its header block belongs here. */

#define LSSB_WS_KEY_SIZE 25         /* of 16 bytes in base64, and a NUL */
#define LSSB_WS_ACCEPT_SIZE 29      /* of a SHA-1 in base64, and a NUL */
#define LSSB_WS_CONTROL 125         /* most bytes of a control frame (5.5) */
#define LSSB_WS_HEADER 14           /* most bytes of a frame's header */
#define LSSB_WS_FRAME 16384         /* most bytes of a data frame that goes
                                       out; proxies drop larger ones */

/* The value of Sec-WebSocket-Key for 16 random bytes, and the
 * Sec-WebSocket-Accept that answers a key (4.2.2). */
LSSB_PRIVATE void lssb_ws_key(char key[LSSB_WS_KEY_SIZE],
                              const uint8_t random[16]);
LSSB_PRIVATE void lssb_ws_accept(char accept[LSSB_WS_ACCEPT_SIZE],
                                 const char *key, size_t key_len);

/* What the headers of an upgrade say, collected one by one. */
struct lssb_ws_upgrade {
    bool server;                    /* collects a request, not a reply */
    bool upgrade;                   /* Upgrade: …, websocket, … */
    bool other;                     /* Upgrade names something else, too */
    bool connection;                /* Connection: …, upgrade, … */
    bool version;                   /* server: Sec-WebSocket-Version: 13 */
    uint8_t versions;               /* server: such headers seen */
    bool extension;                 /* client: one that was not asked for */
    bool protocol;                  /* client: a subprotocol, likewise */
    uint8_t keys;                   /* server: keys, client: accepts seen */
    char key[LSSB_WS_ACCEPT_SIZE];  /* of the peer; "" if it is malformed */
};

LSSB_PRIVATE void lssb_ws_upgrade_start(struct lssb_ws_upgrade *upgrade,
                                        bool server);
LSSB_PRIVATE void lssb_ws_upgrade_header(struct lssb_ws_upgrade *upgrade,
                                         const char *name, const char *value,
                                         size_t len);
/* All headers have come. NULL, or what is wrong with them. For a client: with
 * a reply whose status is 101; `key` is the one that it sent. For a server:
 * with a GET request of HTTP/1.1; *status is what to answer then: 400, or 426
 * with "Sec-WebSocket-Version: 13"; `key` is NULL. A client's `status` may be
 * NULL and is not set. */
LSSB_PRIVATE const char *
lssb_ws_upgrade_wrong(const struct lssb_ws_upgrade *upgrade, const char *key,
                      int *status);

enum lssb_ws_opcode {
    LSSB_WS_CONTINUATION = 0,
    LSSB_WS_TEXT = 1,
    LSSB_WS_BINARY = 2,
    LSSB_WS_CLOSE = 8,
    LSSB_WS_PING = 9,
    LSSB_WS_PONG = 10
};

/* Close codes (7.4.1) that this library sends, or treats apart. */
enum lssb_ws_code {
    LSSB_WS_NORMAL = 1000,
    LSSB_WS_GOING_AWAY = 1001,
    LSSB_WS_PROTOCOL_ERROR = 1002,
    LSSB_WS_NO_CODE = 1005,         /* never on the wire */
    LSSB_WS_NOT_UTF8 = 1007,
    LSSB_WS_TOO_BIG = 1009,
    LSSB_WS_INTERNAL_ERROR = 1011
};

enum lssb_ws_event {
    LSSB_WS_MORE = 0,               /* all consumed (after a close frame: no
                                       more than it); more bytes, please */
    LSSB_WS_PIECE,                  /* data, data_len: of a message; `begins`,
                                       `ends`; empty only where it ends */
    LSSB_WS_CONTROL_FRAME,          /* opcode, data, data_len: a whole ping,
                                       pong or close; of a close: code, and
                                       data is the reason */
    LSSB_WS_WRONG                   /* `wrong` says what, `code` what to close
                                       with; final */
};

/* What comes in, parsed as it arrives (5, 8.1): reserved bits and opcodes,
 * masks that are missing or should be, lengths that are not minimal or have
 * the highest bit set, control frames that are long or in fragments,
 * continuations of nothing and messages within messages, close codes that may
 * not be sent, and text that is not UTF-8, each as soon as it can be seen, are
 * refused. Messages have no limit: they pass by in pieces. */
struct lssb_ws {
    bool server;                    /* set by lssb_ws_start */

    /* What an event says, valid until the next call. */
    enum lssb_ws_opcode opcode;     /* of the message (TEXT or BINARY), or of
                                       the control frame */
    bool begins;                    /* the first piece of a message */
    bool ends;                      /* the last */
    const uint8_t *data;            /* of a piece: a slice of the input */
    size_t data_len;
    uint16_t code;                  /* of a close: LSSB_WS_NO_CODE if none */
    const char *wrong;              /* a sentence, static */

    struct {                        /* the parser's own */
        uint64_t left;              /* of this frame's payload */
        uint8_t mask[4];
        uint8_t head[2];            /* of the header: all but length, mask */
        uint8_t control[LSSB_WS_CONTROL];
        uint8_t have;               /* of the header, or of control */
        uint8_t state;
        uint8_t message;            /* opcode of the message under way, or 0 */
        uint8_t mask_at;
        uint8_t utf8_left;          /* of the character at hand, and what its */
        uint8_t utf8_low;           /* next byte must be */
        uint8_t utf8_most;
        bool fresh;                 /* nothing of the message was told yet */
    } own;
};

LSSB_PRIVATE void lssb_ws_start(struct lssb_ws *ws, bool server);

/* Looks at `len` bytes, consumes *used of them and says what it found. Call it
 * again with the rest, also when none is left, until it says MORE. The events
 * are the same wherever the input is split, but for the pieces, which are cut
 * anywhere, within characters too; so is what was consumed and told before
 * WRONG: all that is in order. In the server's role what comes in is unmasked
 * where it stands. After a close frame nothing more is consumed. */
LSSB_PRIVATE enum lssb_ws_event lssb_ws_next(struct lssb_ws *ws,
                                             uint8_t *bytes, size_t len,
                                             size_t *used);

/* The header of a frame that goes out, in `head`; returns its length, 2 to 14.
 * `key` NULL: not masked (a server's). Otherwise the payload has to be masked
 * with it. */
LSSB_PRIVATE size_t lssb_ws_head(uint8_t head[LSSB_WS_HEADER],
                                 enum lssb_ws_opcode opcode, bool fin,
                                 uint64_t len, const uint8_t key[4]);

/* Masks, or unmasks, bytes in place: they are those from `at` on of their
 * frame's payload (5.3). By words, at any alignment. */
LSSB_PRIVATE void lssb_ws_mask(uint8_t *bytes, size_t len,
                               const uint8_t key[4], uint64_t at);

/* The payload of a close frame; `reason` may be NULL, is UTF-8, and is cut
 * between characters. Returns its length, at most LSSB_WS_CONTROL. */
LSSB_PRIVATE size_t lssb_ws_close_payload(uint8_t payload[LSSB_WS_CONTROL],
                                          uint16_t code, const char *reason);

/* ------------------------------------------------------------- ws.c: yamux */

#define LSSB_YAMUX_HEADER 12        /* bytes of a frame's header, and of every
                                       frame but those with data */
#define LSSB_YAMUX_WINDOW 262144    /* bytes that each direction of a stream
                                       begins with */
#define LSSB_YAMUX_UNACKED 256      /* streams of ours that wait for their ACK */
#define LSSB_YAMUX_REPLIES 16       /* pongs and refusals that wait to go */
#define LSSB_YAMUX_BUCKETS 16       /* of the table of streams */

/* Go away codes. */
enum lssb_yamux_code {
    LSSB_YAMUX_NORMAL = 0,
    LSSB_YAMUX_PROTOCOL = 1,
    LSSB_YAMUX_INTERNAL = 2
};

/* What the engine found. `stream` and `id` say whose it is. */
enum lssb_yamux_event {
    LSSB_YAMUX_MORE = 0,            /* all is consumed; more bytes, please */
    LSSB_YAMUX_OPENED,              /* the peer opens stream `id`: accept it
                                       before the next call, or it is refused */
    LSSB_YAMUX_ACKED,               /* the peer has accepted ours: told before
                                       anything else of it but a reset */
    LSSB_YAMUX_DATA,                /* data, data_len: a slice of the input,
                                       which *used does not count: say with
                                       lssb_yamux_take how much you take */
    LSSB_YAMUX_FINISHED,            /* the peer sends no more on it */
    LSSB_YAMUX_RESET,               /* both directions are dead at once; the
                                       stream's memory is yours again */
    LSSB_YAMUX_WRITABLE,            /* the window for sending was used up, and
                                       is no longer */
    LSSB_YAMUX_PONG,                /* `value`, and `round_trip_ms` */
    LSSB_YAMUX_GO_AWAY,             /* `code`: no new streams; those that exist
                                       may finish */
    LSSB_YAMUX_FULL,                /* send what lssb_yamux_control has, then
                                       call again with the same bytes */
    LSSB_YAMUX_WRONG                /* `wrong` says what; final. The go away
                                       that tells the peer is in
                                       lssb_yamux_control; then close */
};

/* What became of an attempt to open a stream. */
enum lssb_yamux_opening {
    LSSB_YAMUX_OPEN = 0,
    LSSB_YAMUX_LATER,               /* too many wait for their ACK: again when
                                       one is acked, finished or reset */
    LSSB_YAMUX_NO_IDS,              /* all 2^31 ids are used: a new session */
    LSSB_YAMUX_CLOSED               /* go away was said, or the session is
                                       broken: a new session */
};

/* One stream, in memory of the user's: zeroed, the first three members set,
 * then given to lssb_yamux_open or lssb_yamux_accept. It is the session's while
 * `id` is not 0, and must not move; the session lets go of it when both
 * directions are finished or a reset was sent or came: before
 * LSSB_YAMUX_FINISHED or LSSB_YAMUX_RESET is told, in lssb_yamux_control, or in
 * lssb_yamux_reset if the peer has not heard of it yet. A session that is no
 * longer called holds nothing. About 100 bytes on a 32-bit machine. */
struct lssb_yamux_stream {
    void *user;                     /* the user's own */
    uint32_t window;                /* bytes that the peer may be ahead of what
                                       was consumed; 0: LSSB_YAMUX_WINDOW. A
                                       smaller one counts once the peer has used
                                       up what every stream begins with */
    uint32_t window_most;           /* it doubles up to this when the round
                                       trip is what limits the peer; 0: never */

    /* To be read only. */
    uint32_t id;                    /* 0: the stream is not in use */
    uint32_t send_window;           /* bytes that may be sent now */
    uint32_t unconsumed;            /* bytes taken and not consumed yet */
    bool acked;                     /* the other side has accepted it */
    bool finished;                  /* this side sends no more */
    bool peer_finished;

    struct {                        /* the engine's own */
        struct lssb_yamux_stream *chain;
        struct lssb_yamux_stream *before[2];
        struct lssb_yamux_stream *behind[2];
        uint64_t credit_at;         /* when credit was last due */
        uint64_t held_at;           /* when holding back began; when it ended,
                                       by the clock that stands still then */
        uint32_t held_ms;
        uint32_t held_left;         /* bytes until what was on its way when
                                       holding back began has been taken */
        uint32_t receive_window;    /* bytes that the peer may send */
        uint8_t due;                /* frames that are to go */
        uint8_t queued;             /* lines that it stands in */
        bool unacked;
        bool holding;
        bool wants;
        bool reset;
    } own;
};

/* One session, either side, without I/O, memory or time of its own: received
 * bytes go in at lssb_yamux_next, which tells events; what is to be sent comes
 * out of lssb_yamux_control and, for data, of lssb_yamux_turn and
 * lssb_yamux_commit. Every function returns at once. A user's step:
 *
 *     if (!lssb_yamux_tick(&session, now))
 *         ... the peer is dead: end the connection, reset every stream
 *
 *     do {
 *         bytes = look(&len);               perhaps none
 *         event = lssb_yamux_next(&session, bytes, len, &used);
 *         if (event == LSSB_YAMUX_OPENED && (mine = ... a free one))
 *             lssb_yamux_accept(&session, mine);
 *         if (event == LSSB_YAMUX_DATA) {
 *             n = ... as many of the session.data_len bytes at session.data as
 *                 session.stream->user has room for, perhaps 0
 *             used += lssb_yamux_take(&session, n);
 *         }
 *         consume(used);
 *         if (event is FULL or WRONG, or ... it took less than offered)
 *             break;                        until there is room again
 *     } while (event != LSSB_YAMUX_MORE || len > 0);
 *
 *     when a stream's user has consumed n bytes for good (at once, if take went
 *     straight to a socket): lssb_yamux_consumed(&session, stream, n)
 *
 *     when there is something to send on a stream:
 *         lssb_yamux_want(&session, stream, true)
 *     do {
 *         room = reserve(&len);
 *         n = lssb_yamux_control(&session, room, len);
 *         stream = lssb_yamux_turn(&session, &most);
 *         if (stream != NULL && len > n + 12) {
 *             got = receive(stream->user, room + n + 12, as many as there is
 *                           room for, and `most` allows);
 *             if (got > 0) {
 *                 lssb_yamux_commit(&session, got, room + n);
 *                 n += got + 12;
 *             } else if (... it has ended) {
 *                 lssb_yamux_finish(&session, stream);
 *             } else {
 *                 lssb_yamux_want(&session, stream, false);
 *             }
 *         }
 *         commit(n);
 *     } while (stream != NULL && ... there was room);
 *
 * What the peer does costs no memory beyond this struct: frames are neither
 * collected nor copied, a window that is overrun ends the session, pongs and
 * refusals that wait to be sent are few, and stop the input when they are too
 * many. Streams that the peer opens are bounded by what the user accepts. About
 * 370 bytes on a 32-bit machine. */
struct lssb_yamux {
    /* Set by lssb_yamux_start; the user may change them. */
    bool accepts;                   /* streams of the peer are told; else they
                                       are refused. Server: true */
    uint32_t ping_interval_ms;      /* 30,000; 0: only when asked */
    uint32_t ping_timeout_ms;       /* 20,000: without an answer or any other
                                       byte for so long, the peer is dead; 0:
                                       never */

    /* Set by lssb_yamux_next, valid until its next call. */
    struct lssb_yamux_stream *stream;
    uint32_t id;
    const uint8_t *data;
    size_t data_len;
    uint32_t value;
    uint32_t round_trip_ms;
    uint32_t code;                  /* of the peer's go away */
    const char *wrong;              /* a sentence; static */

    /* To be read only. */
    bool server;
    bool going_away;                /* either side has said so */
    uint32_t streams;               /* that are in use */
    uint32_t unacked;               /* of ours, LSSB_YAMUX_UNACKED at most */
    uint32_t least_round_trip_ms;   /* UINT32_MAX: not measured yet */

    struct {                        /* the engine's own */
        struct lssb_yamux_stream *table[LSSB_YAMUX_BUCKETS];
        struct lssb_yamux_stream *first[2];
        struct lssb_yamux_stream *last[2];
        struct lssb_yamux_stream *in;   /* whose frame it is */
        uint64_t now;
        uint64_t heard_at;          /* a byte came */
        uint64_t held_ms;           /* how long streams have held back, all */
        uint64_t free_at;           /* when the last one has ended to */
        uint64_t ping_at;           /* the next one; or when the one that is
                                       under way was due, and when it was sent */
        uint64_t ping_sent_at;
        struct {
            uint32_t value;
            uint16_t flags;
            uint8_t type;
        } replies[LSSB_YAMUX_REPLIES];
        uint8_t reply_first;
        uint8_t reply_count;
        uint32_t next_id;           /* 0: all are used */
        uint32_t left;              /* of the frame's length */
        uint32_t frame_id;
        uint32_t ping_value;
        uint32_t away_code;
        uint16_t flags;             /* of the frame, still to be told */
        uint8_t header[LSSB_YAMUX_HEADER];
        uint8_t header_len;
        uint8_t cuts;               /* of the patience with who holds back */
        uint8_t type;
        uint8_t state;
        uint8_t ping;
        uint8_t away;
        bool doubted;               /* the time is up; one more step */
    } own;
};

/* Starts a session at `now`. Both sides send a ping at once, which measures the
 * round trip; so does every opening, by its ACK. */
LSSB_PRIVATE void lssb_yamux_start(struct lssb_yamux *session, bool server,
                                   uint64_t now);

/* Tells the time: call it before anything else in a step. False: the peer has
 * been silent for too long after a ping, and in the step before this one, too,
 * which began when the time was up. */
LSSB_PRIVATE bool lssb_yamux_tick(struct lssb_yamux *session, uint64_t now);

/* When lssb_yamux_tick wants to be called at the latest; UINT64_MAX: never. */
LSSB_PRIVATE uint64_t lssb_yamux_wake_at(const struct lssb_yamux *session);

/* Looks at `len` bytes, consumes *used of them, says what it found. Call it
 * again with the rest, also when none is left, until it says MORE. The events
 * are the same wherever the input is split, but for the slices. */
LSSB_PRIVATE enum lssb_yamux_event lssb_yamux_next(struct lssb_yamux *session,
                                                   const uint8_t *bytes,
                                                   size_t len, size_t *used);

/* Takes the first `len` bytes of the slice just told, and returns `len`: they
 * count as used; 0 if the stream is no more, since a reset of it was written:
 * the next call swallows them. The rest is offered again by the next call, until it is
 * taken or the stream is reset: the whole session waits for it meanwhile. Call
 * it also when nothing is taken. */
LSSB_PRIVATE size_t lssb_yamux_take(struct lssb_yamux *session, size_t len);

/* For how many milliseconds *stream has held the session back; 0, and NULL, if
 * none does. Counted until the stream has taken what was on its way when it
 * began, or for as long again no stream held anything back. Resetting the
 * stream lets the session go on: the rest of its data is swallowed. */
LSSB_PRIVATE uint32_t lssb_yamux_held(const struct lssb_yamux *session,
                                      struct lssb_yamux_stream **stream);
/* How much of `ms` a stream may hold the session back for now; and the next one
 * may for a quarter of that only, since one was just reset for it. All of it
 * again when a stream has taken what was on its way when it began to hold back,
 * or none has held back for a second. So those in the way one after another
 * have, whatever their number, less than half as much again as the first. */
LSSB_PRIVATE uint32_t lssb_yamux_patience(const struct lssb_yamux *session,
                                          uint32_t ms);
LSSB_PRIVATE void lssb_yamux_cut_patience(struct lssb_yamux *session);

/* Accepts the stream just told as LSSB_YAMUX_OPENED. */
LSSB_PRIVATE void lssb_yamux_accept(struct lssb_yamux *session,
                                    struct lssb_yamux_stream *stream);

/* Opens a stream: it may send at once. */
LSSB_PRIVATE enum lssb_yamux_opening
lssb_yamux_open(struct lssb_yamux *session, struct lssb_yamux_stream *stream);

/* `len` of the bytes that were taken need no room any more: they become credit
 * for the peer, sent once it is worth a quarter of a window, or half of one
 * that is smaller than 64 KiB. No effect on a stream that is not in use. */
LSSB_PRIVATE void lssb_yamux_consumed(struct lssb_yamux *session,
                                      struct lssb_yamux_stream *stream,
                                      size_t len);

/* Sets another window. */
LSSB_PRIVATE void lssb_yamux_set_window(struct lssb_yamux *session,
                                        struct lssb_yamux_stream *stream,
                                        uint32_t window);

/* Writes what goes before all data, whole frames of 12 bytes each, as many as
 * fit into `room`: pongs, pings, go away, openings, credit, ends. Returns the
 * bytes written. The second says whether there is any. */
LSSB_PRIVATE size_t lssb_yamux_control(struct lssb_yamux *session,
                                       uint8_t *out, size_t room);
LSSB_PRIVATE bool lssb_yamux_has_control(const struct lssb_yamux *session);

/* Whether a stream has something to send. Off by itself after
 * lssb_yamux_finish. */
LSSB_PRIVATE void lssb_yamux_want(struct lssb_yamux *session,
                                  struct lssb_yamux_stream *stream, bool wants);

/* The stream whose turn it is to send, at most *most bytes; NULL: none wants
 * to and may, or control frames go first. */
LSSB_PRIVATE struct lssb_yamux_stream *
lssb_yamux_turn(struct lssb_yamux *session, uint32_t *most);

/* The stream whose turn it is sends `len` bytes, 1 to *most, right behind the
 * 12 bytes of `header`, which is written here. The next one's turn comes. */
LSSB_PRIVATE void lssb_yamux_commit(struct lssb_yamux *session, size_t len,
                                    uint8_t *header);

/* This side sends no more on the stream: FIN, once. */
LSSB_PRIVATE void lssb_yamux_finish(struct lssb_yamux *session,
                                    struct lssb_yamux_stream *stream);

/* Ends both directions at once: RST. Nothing is told of the stream from now
 * on; it is the session's until the frame is written. */
LSSB_PRIVATE void lssb_yamux_reset(struct lssb_yamux *session,
                                   struct lssb_yamux_stream *stream);

/* Sends a ping, unless one is under way. */
LSSB_PRIVATE void lssb_yamux_ping(struct lssb_yamux *session);

/* Says go away: what the peer opens from now on is refused. */
LSSB_PRIVATE void lssb_yamux_go_away(struct lssb_yamux *session,
                                     enum lssb_yamux_code code);

/* --------------------------------------------------------- ws.c: channel */

enum lssb_channel_event {
    LSSB_CHANNEL_NONE = 0,          /* nothing now */
    LSSB_CHANNEL_PIECE,             /* of a message: ws.data, ws.data_len,
                                       ws.begins, ws.ends, until `done` */
    LSSB_CHANNEL_CLOSED,            /* the peer's close frame: ws.code */
    LSSB_CHANNEL_LOST,              /* the connection ended without one, as
                                       conn->failure says */
    LSSB_CHANNEL_WRONG              /* the peer broke the rules: ws.wrong */
};

/* A WebSocket on an open connection, in the client's role: pings and their
 * answers, messages that go out through a small buffer, the closing handshake
 * (RFC 6455 5.5, 7). */
struct lssb_channel {
    struct lssb_ws ws;
    struct lssb_conn *conn;
    uint64_t ping_ms;               /* between pings; 0: none */
    uint64_t ping_at;
    uint64_t pong_by;               /* the answer is late then; 0: not asked */
    uint64_t total;                 /* of the message that goes out */
    uint64_t put;                   /* of it, to the connection */
    struct lssb_mark mark;
    size_t used;                    /* of the look, by the event at hand */
    size_t kept;                    /* of a piece that was put off, at the
                                       front of what there is to look at */
    bool kept_ends;                 /* it was its message's last */
    bool told;                      /* there may be more to tell of what was
                                       consumed */
    uint8_t pong[LSSB_WS_CONTROL];
    uint8_t pong_len;
    bool pong_due;
    bool sending;                   /* a message is under way */
    bool close_sent;
    bool closed;                    /* the peer's close frame has come */
    bool no_random;                 /* the port has none for masks: nothing
                                       goes out any more */
};

/* Begins where an upgrade has ended. */
LSSB_PRIVATE void lssb_channel_start(struct lssb_channel *channel,
                                     struct lssb_conn *conn, uint64_t ping_ms,
                                     uint64_t now);
/* Looks at what has come, at most `limit` bytes of it, and says what it is;
 * pings and pongs it deals with itself. After a PIECE the connection must not
 * be touched until `done` has consumed it. */
LSSB_PRIVATE enum lssb_channel_event
lssb_channel_next(struct lssb_channel *channel, size_t limit, uint64_t now);
LSSB_PRIVATE void lssb_channel_done(struct lssb_channel *channel);
/* Before `done`: puts off the last `len` bytes of the piece at hand, which are
 * the next piece, or the next few. */
LSSB_PRIVATE void lssb_channel_keep(struct lssb_channel *channel, size_t len);

/* Room for the payload of one frame that goes out now, or NULL: later. `want`
 * is how much would be good: a buffer that is nearly full is flushed first.
 * `commit` sends the first `len` bytes of it, masked, as a frame. */
LSSB_PRIVATE uint8_t *lssb_channel_reserve(struct lssb_channel *channel,
                                           size_t want, size_t *room);
LSSB_PRIVATE void lssb_channel_commit(struct lssb_channel *channel,
                                      enum lssb_ws_opcode opcode, bool fin,
                                      size_t len);

/* Sends a text message that `put` makes, window by window; true when all of it
 * is with the connection. Call it again with the same message until then. */
LSSB_PRIVATE bool lssb_channel_send(struct lssb_channel *channel,
                                    void (*put)(const void *ctx,
                                                struct lssb_writer *to),
                                    const void *ctx);

/* Pongs that are due, pings when it is time; false: the peer has not answered
 * one in time. `reading` false: its answer may be waiting, unread. */
LSSB_PRIVATE bool lssb_channel_tick(struct lssb_channel *channel, bool reading,
                                    uint64_t now);
/* Lowers *wake_at to when it wants that next. */
LSSB_PRIVATE void lssb_channel_waits(const struct lssb_channel *channel,
                                     bool reading, uint64_t *wake_at);

/* Sends a close frame, if nothing is in its way; with a reason. */
LSSB_PRIVATE void lssb_channel_close(struct lssb_channel *channel,
                                     uint16_t code);
LSSB_PRIVATE void lssb_channel_bye(struct lssb_channel *channel, uint16_t code,
                                   const char *reason);
/* Waits for the peer's answer to that: true when it or the end has come. */
LSSB_PRIVATE bool lssb_channel_leave(struct lssb_channel *channel,
                                     uint64_t now);

/* ------------------------------------------------------------- lssb.c: json */

/* What to do with a member, asked when its name is known. */
enum lssb_json_take {
    LSSB_JSON_SKIP = 0,             /* validate only */
    LSSB_JSON_KEEP,                 /* keep name and value, for lssb_json_fill
                                       and lssb_json_find */
    LSSB_JSON_CUT,                  /* the same; a string that is longer than
                                       half of the room that is left is cut
                                       there, between characters */
    LSSB_JSON_STREAM,               /* a string: its text, decoded, in slices.
                                       Anything else: as KEEP */
    LSSB_JSON_ENTER,                /* an object: ask for its members in turn;
                                       an array: as SPLIT. Else: as CUT */
    LSSB_JSON_SPLIT,                /* an array: its elements one at a time; of
                                       an object in it ask for the members,
                                       keep any other. Else: as KEEP */
    LSSB_JSON_VISIT                 /* everything in it, one value at a time;
                                       of what is empty, nothing */
};

enum lssb_json_event {
    LSSB_JSON_MORE = 0,             /* all consumed; more bytes, please */
    LSSB_JSON_SLICE,                /* slice, slice_len: decoded text of the
                                       streamed member `key`, at least a byte;
                                       ends between characters */
    LSSB_JSON_SLICE_END,            /* that member is complete */
    LSSB_JSON_ELEMENT,              /* text, text_len: what was kept of one
                                       element of the split array `key` ("" if
                                       that is the whole text), as a JSON
                                       value; text_len 0: it did not fit */
    LSSB_JSON_VALUE,                /* path (RFC 6901, NUL-terminated), slice,
                                       slice_len (NUL-terminated): one visited
                                       string (decoded), number, true, false or
                                       null. The path begins at the top or at
                                       the element; a NUL in it is U+FFFD */
    LSSB_JSON_DONE,                 /* text, text_len: what was kept of the
                                       text, as a JSON value; text_len 0: it
                                       did not fit. Blanks may follow; only
                                       lssb_json_end says that nothing else
                                       did, and tells DONE again */
    LSSB_JSON_WRONG                 /* `wrong` says what, `at` where; final */
};

#define LSSB_JSON_DEPTH 64          /* nested arrays and objects */
#define LSSB_JSON_KEY 64            /* bytes of a name that is told apart */
#define LSSB_JSON_LEVELS 5          /* nested objects that are asked about and
                                       arrays that are split, the whole text
                                       and elements included. What would be a
                                       deeper one is kept instead */

/* A scanner for one JSON text (RFC 8259, UTF-8, strict), fed as it arrives.
 * What is kept goes into the caller's buffer; what is not needs no memory.
 *
 * What is kept is JSON again, without blanks, its strings escaped where they
 * must be and nowhere else. Objects that were entered stand in it with what
 * was kept of them, split arrays as []. Names may repeat; the last one counts
 * (lssb_json_fill, lssb_json_find).
 *
 * Of a text that is an object the members are asked about; one that is an
 * array is split; any other is kept. Without `choose` every member is kept,
 * and an array is kept whole. */
struct lssb_json {
    /* Set before lssb_json_start, or left NULL. `depth` is 1 for a member of
     * the top-level object or of an element of a split array, one more inside
     * each entered object; `parent` is the name of the member that holds it
     * ("" at the top; the array's name within an element). A member whose name
     * is longer than LSSB_JSON_KEY, or has a NUL in it, is skipped unasked. */
    enum lssb_json_take (*choose)(void *ctx, int depth, const char *parent,
                                  const char *key);
    void *ctx;

    /* What an event says, valid until the next call. */
    char key[LSSB_JSON_KEY + 1];
    const char *slice;
    size_t slice_len;
    const char *path;
    char *text;                     /* NUL-terminated */
    size_t text_len;
    bool overflow;                  /* something to keep or to visit did not
                                       fit: that member was left out, or the
                                       rest of it. Reset by the caller */
    const char *wrong;
    uint64_t at;                    /* bytes consumed so far */
    size_t high;                    /* most of the buffer ever in use */

    struct {                        /* the scanner's own */
        char *buffer;
        size_t size;
        size_t len;                 /* of what is kept */
        size_t mark;                /* where the value at hand began in it */
        size_t part;                /* behind it: the path, or a slice; of a
                                       text that may be cut, the most */
        size_t value;               /* of the visited value */
        size_t marks[LSSB_JSON_LEVELS];     /* where elements begin */
        uint64_t nest;              /* a bit per level: 1 is an object */
        uint16_t unit;              /* of a \u escape */
        uint16_t high;              /* the surrogate that waits for its low */
        uint8_t depth;
        uint8_t levels;             /* of them, those asked about or split */
        uint8_t mode;
        uint8_t mode_depth;         /* of what holds the value at hand */
        uint8_t take;
        uint8_t state;
        uint8_t literal;
        uint8_t left;               /* of an escape, a character, a literal */
        uint8_t low;                /* what the next byte of a character */
        uint8_t most;               /* must be */
        uint8_t small_len;
        uint8_t key_len;
        bool is_name;               /* the string at hand */
        bool nameless;              /* too long a name, or a NUL in it */
        char small[4];
        char names[LSSB_JSON_LEVELS][LSSB_JSON_KEY + 1];
    } own;
};

/* Prepares for one text. `buffer` (at least 256 bytes, of which 32 stay in
 * reserve) is used until the end of the text. */
LSSB_PRIVATE void lssb_json_start(struct lssb_json *json, char *buffer,
                                  size_t size);

/* Looks at `len` bytes, consumes *used of them, says what it found; call it
 * again with the rest. The events are the same wherever the input is split,
 * but for the slices; once all is consumed, none is outstanding. Lone
 * surrogate escapes become U+FFFD. A byte order mark is refused. */
LSSB_PRIVATE enum lssb_json_event lssb_json_next(struct lssb_json *json,
                                                 const uint8_t *bytes,
                                                 size_t len, size_t *used);

/* No more bytes follow: DONE if the text is complete, else WRONG. A number at
 * the top level may end only here. */
LSSB_PRIVATE enum lssb_json_event lssb_json_end(struct lssb_json *json);

/* What a table of members says of one. */
enum lssb_json_kind {
    LSSB_JSON_TEXT,                 /* char[]: exact, or LSSB_E_TOO_LONG; ""
                                       when missing */
    LSSB_JSON_TEXT_CUT,             /* char[]: cut between characters, or where
                                       it holds a NUL */
    LSSB_JSON_I64,                  /* int64_t: integral, floats such as 1.0
                                       included; LSSB_UNKNOWN for null, for
                                       what is missing or out of range */
    LSSB_JSON_I32,
    LSSB_JSON_FLAG,                 /* int32_t: 0, 1, LSSB_UNKNOWN */
    LSSB_JSON_PRESENT               /* bool: the member is there, not null */
};

struct lssb_json_member {
    const char *key;
    enum lssb_json_kind kind;
    uint16_t offset;                /* of the struct's member */
    uint16_t size;                  /* of it, for text */
};

/* Fills a struct from the text of an object by a table, by way of jsmn. A
 * member of another JSON type counts as missing; of members of the same name
 * the last counts. LSSB_OK; LSSB_E_TOO_LONG (an exact text; it is left empty)
 * or LSSB_E_PROTOCOL (it holds a NUL) with the first such member's name in
 * *key, all else being filled; LSSB_E_PROTOCOL with *key NULL when `text` is
 * no object or has more than LSSB_TOKENS tokens: all are missing then. */
LSSB_PRIVATE lssb_status lssb_json_fill(const char *text, size_t len,
                                        const struct lssb_json_member *table,
                                        size_t count, void *out,
                                        const char **key);

/* Finds a value in a JSON text that was validated before, by a path of names
 * and indices, "detail/0/loc" (a name's own '/' is "~1", its '~' "~0"): its
 * raw text (quotes included), or NULL. No limit to what the text holds. */
LSSB_PRIVATE const char *lssb_json_find(const char *text, size_t len,
                                        const char *path, size_t *value_len);

/* Decodes a raw string (quotes included) into a place, NUL-terminated, cut
 * between characters if too long; returns its whole length, NULs in it
 * counted, or SIZE_MAX (and an empty place) when it is no string. With size 0
 * it only measures. */
LSSB_PRIVATE size_t lssb_json_decode(const char *raw, size_t raw_len, char *to,
                                     size_t size);

/* The same in its own place; NULL when it is no string, which is then lost. */
LSSB_PRIVATE char *lssb_json_decode_here(char *raw, size_t raw_len,
                                         size_t *len);

/* An integer of 64 bits, or a float without a fraction, exactly: true. */
LSSB_PRIVATE bool lssb_json_integer(const char *raw, size_t raw_len,
                                    int64_t *number);

/* Writes JSON that cannot be wrong: commas and quotes are its own, strings
 * that are NULL or no UTF-8, calls in the wrong order and more than 31 levels
 * are the writer's mistake (to->wrong); nothing is put after one. */
struct lssb_json_writer {
    struct lssb_writer *to;
    uint32_t objects;               /* a bit per level */
    uint32_t begun;                 /* something stands at this level */
    uint8_t depth;
    const char *member;             /* of the outermost object, at last */
    const char *more;               /* members that are to come last, or NULL */
    bool (*has)(const char *more, const char *name);    /* not NULL: asked
                                       before each other one is put */
};

LSSB_PRIVATE void lssb_json_write(struct lssb_json_writer *json,
                                  struct lssb_writer *to);
LSSB_PRIVATE void lssb_json_object(struct lssb_json_writer *json,
                                   const char *name);
LSSB_PRIVATE void lssb_json_array(struct lssb_json_writer *json,
                                  const char *name);
LSSB_PRIVATE void lssb_json_close(struct lssb_json_writer *json);
LSSB_PRIVATE void lssb_json_string(struct lssb_json_writer *json,
                                   const char *name, const char *string);
LSSB_PRIVATE void lssb_json_string_n(struct lssb_json_writer *json,
                                     const char *name, const char *bytes,
                                     size_t len);
LSSB_PRIVATE void lssb_json_number(struct lssb_json_writer *json,
                                   const char *name, int64_t number);
LSSB_PRIVATE void lssb_json_bool(struct lssb_json_writer *json,
                                 const char *name, bool value);
LSSB_PRIVATE void lssb_json_null(struct lssb_json_writer *json,
                                 const char *name);
/* One value that is JSON already, put as it is: the caller answers for it. */
LSSB_PRIVATE void lssb_json_raw(struct lssb_json_writer *json,
                                const char *name, const char *raw,
                                size_t len);
/* The members of an object that is JSON already, into the one at hand. */
LSSB_PRIVATE void lssb_json_members(struct lssb_json_writer *json,
                                    const char *raw, size_t len);
/* `name` is NULL inside an array and at the top. Pairs become an object. */
LSSB_PRIVATE void lssb_json_pairs(struct lssb_json_writer *json,
                                  const char *name, const lssb_pair *pairs,
                                  size_t count);
/* True when one value stands there, all that was begun is closed, and there
 * was no mistake. */
LSSB_PRIVATE bool lssb_json_complete(const struct lssb_json_writer *json);

/* json_char.c: what a first byte of a UTF-8 character says: how many follow,
 * and between which bounds the next one lies (RFC 3629 4). False: it is none.
 */
LSSB_PRIVATE bool lssb_json_utf8_lead(uint8_t c, uint8_t *left, uint8_t *low,
                                      uint8_t *most);
/* The length of the whole and valid character beyond ASCII at `p`, else 0. */
LSSB_PRIVATE size_t lssb_json_utf8_len(const uint8_t *p, const uint8_t *end);
/* Stores a code point as UTF-8, up to 4 bytes, and returns its length. */
LSSB_PRIVATE size_t lssb_json_utf8_put(uint32_t point, char *out);
/* The end of the run of whole characters that a string holds as they are. */
LSSB_PRIVATE const uint8_t *lssb_json_plain(const uint8_t *p,
                                            const uint8_t *end);
/* Stores what stands for a byte in a string, up to 6 bytes, and returns their
 * number: the byte itself, or its escape. */
LSSB_PRIVATE size_t lssb_json_escape(char c, char *out);
/* What a short escape stands for; 0 when it is none. */
LSSB_PRIVATE char lssb_json_unescape(uint8_t c);
/* The value of a hexadecimal digit, or -1. */
LSSB_PRIVATE int lssb_json_hex(uint8_t c);
/* Surrogates: the two halves, and the character that a pair stands for. */
LSSB_PRIVATE bool lssb_json_is_high(int32_t unit);
LSSB_PRIVATE bool lssb_json_is_low(int32_t unit);
LSSB_PRIVATE uint32_t lssb_json_pair(int32_t high, int32_t low);

/* -------------------------------------------------------------- lssb.c: tar */

#define LSSB_TAR_BLOCK 512
#define LSSB_TAR_PATH 4096          /* bytes of a name or a target, and a NUL */

/* One entry of an archive. Texts are bytes but NUL, in whichever encoding. */
struct lssb_tar_entry {
    lssb_entry_kind kind;
    bool hard_link;                 /* a FILE without bytes of its own: another
                                       name for the entry `target` */
    const char *name;               /* relative, segments parted by one '/',
                                       none at the end; "" is the top itself
                                       (reader only) */
    const char *target;             /* of a link; else "" */
    uint64_t size;                  /* of a FILE's bytes; else 0 */
    uint32_t mode;                  /* 07777 at most */
    int64_t mtime_s;
    uint32_t mtime_ns;              /* the writer puts none */
};

/* The writer is three functions without a memory: for an entry its head, then
 * as many bytes as it has (of a FILE) and zeros up to a whole block, and at
 * last the end. ustar (POSIX.1-1988), owner 0; names that do not fit there
 * (over 100 bytes, and not to be split) and targets over 100 bytes as GNU tar
 * has them, in an entry before ("L", "K"), sizes of 8 GiB and more and times
 * before 1970 as it has them, too (base 256): every tar reads these, busybox's
 * as well, which takes no notice of pax and would cut such a name.
 *
 * The length of the head, a multiple of 512; puts it (through whichever
 * window); puts the end, 1,024 zeros. The padding behind `size` bytes. */
LSSB_PRIVATE uint64_t lssb_tar_head_len(const struct lssb_tar_entry *entry);
LSSB_PRIVATE void lssb_put_tar_head(struct lssb_writer *to,
                                    const struct lssb_tar_entry *entry);
LSSB_PRIVATE void lssb_put_tar_end(struct lssb_writer *to);
#define LSSB_TAR_END_LEN 1024
LSSB_PRIVATE uint32_t lssb_tar_padding(uint64_t size);

enum lssb_tar_event {
    LSSB_TAR_MORE = 0,              /* all consumed; more bytes, please */
    LSSB_TAR_ENTRY,                 /* `entry`, valid until its end is told */
    LSSB_TAR_DATA,                  /* data, data_len: of a FILE, a slice of
                                       the input, at least a byte */
    LSSB_TAR_ENTRY_END,             /* once for each ENTRY, whatever it is */
    LSSB_TAR_END,                   /* the archive is complete: two blocks of
                                       zeros. What follows is padding, and
                                       swallowed: END again, for nothing */
    LSSB_TAR_WRONG                  /* `wrong` says what; final */
};

/* Reads an archive as it arrives: ustar, pax, GNU's long names and large
 * numbers, the format of Version 7. It holds nothing but one header and two
 * names. An archive is hostile until it has been read:
 *
 * Refused: a header whose checksum is wrong; a name that is absolute, holds a
 * ".." segment, a NUL or more than LSSB_TAR_PATH - 1 bytes, or is empty where
 * there is something to name, and the same of a hard link's target; a symbolic
 * link's target that is empty or too long; numbers that are none, negative
 * sizes; a name, target or size that is given twice (pax, GNU); a pax header
 * of more than 1 MiB, malformed, or without an entry behind it; one for the
 * whole archive that names or measures something; sparse files, parts of
 * volumes and other types that are not known; a lone block of zeros; more
 * entries (pax headers of the whole archive count) or bytes than the limits.
 *
 * "./", "//" and a "/" at the end are dropped from names. Directories, links
 * and devices have no bytes, whatever their headers say. Devices and pipes are
 * told as LSSB_ENTRY_OTHER; what to do with them, with links and modes is for
 * the user to say. An archive that ends before its END is for the user to see,
 * too. */
struct lssb_tar {
    /* Set after lssb_tar_start, before the first byte. */
    uint64_t most_entries;          /* UINT64_MAX: no limit, as is the next */
    uint64_t most_bytes;            /* of all files together */

    /* Set by lssb_tar_next. */
    struct lssb_tar_entry entry;
    const uint8_t *data;
    size_t data_len;
    const char *wrong;              /* a sentence without the content; static */
    uint64_t entries;               /* so far */
    uint64_t bytes;                 /* as the headers of them say */

    struct {                        /* the reader's own */
        uint64_t left;              /* of what stands behind the header */
        uint64_t size;              /* as pax says, as is the next */
        int64_t mtime_s;
        uint32_t mtime_ns;
        uint32_t record_left;       /* of a pax record */
        uint16_t have;              /* of the block, of a text */
        uint16_t padding;           /* behind what stands there */
        uint8_t state;
        uint8_t type;
        uint8_t key;                /* of a record */
        uint8_t given;              /* what pax and GNU headers have said */
        uint8_t word_len;
        bool zeros;                 /* the last block was all zeros */
        char word[32];              /* a record's length, key, number */
        uint8_t block[LSSB_TAR_BLOCK];
        char name[LSSB_TAR_PATH];
        char target[LSSB_TAR_PATH];
    } own;
};

LSSB_PRIVATE void lssb_tar_start(struct lssb_tar *tar);

/* Looks at `len` bytes, consumes *used of them, says what it found. Call it
 * again with the rest, also when none is left, until it says MORE or END. The
 * events are the same wherever the input is split, but for the slices. */
LSSB_PRIVATE enum lssb_tar_event lssb_tar_next(struct lssb_tar *tar,
                                               const uint8_t *bytes,
                                               size_t len, size_t *used);

/* ------------------------------------------------------------- lssb.c: pack */

#define LSSB_PACK_DEPTH 64          /* directories below one another, the root
                                       included; a handle each */
#define LSSB_PACK_NAMES 8192        /* bytes for names that are sorted */

/* What becomes of an entry. */
enum lssb_pack_choice {
    LSSB_PACK_KEEP = 0,
    LSSB_PACK_DROP,                 /* with all that is below it */
    LSSB_PACK_LOOK,                 /* a directory: only for the sake of what
                                       is kept below it, if anything is */
    LSSB_PACK_LATER,                /* it takes long: to be asked again */
    LSSB_PACK_STOP                  /* fail; `wrong` says why */
};

/* One of the directories on the way to the entry at hand. */
struct lssb_pack_level {
    intptr_t directory;
    uint16_t path_len;              /* of its path */
    uint16_t from;                  /* its names that wait, sorted */
    uint16_t to;
    bool begun;                     /* the path goes on with the last one that
                                       was taken */
    bool complete;                  /* there are none behind those that wait */
    bool told;                      /* it is in the archive */
};

/* A directory of this machine as an archive, made while it is read: nothing of
 * it is held but a path and some names. Names are sorted by their bytes, a
 * directory stands before what is in it; mode & 0777, owner 0, whole seconds;
 * what is neither file, directory nor link is left out.
 *
 * What it costs: a directory is listed once, once more for each 7 KB of names
 * in it (1 KB, further down) and, where those have to make room for the names
 * in a subdirectory, once more after that: the work grows with the square of
 * how many there are in one directory, most of it the system's. A tree of
 * 100,000 files in 1,000 directories takes a third of a second, 10,000 in one
 * directory a fifth, 100,000 in one directory eight seconds, in steps of a
 * twentieth of one. Twice the room would save three of them. Measuring and
 * reading both walk the tree; reading at an offset before the entry at hand
 * walks it from the start. */
struct lssb_pack {
    /* Set after lssb_pack_start; may be NULL. `path` is relative. */
    enum lssb_pack_choice (*choose)(void *user, const char *path,
                                    const lssb_local_info *info);
    void *user;

    /* To be read only. */
    uint64_t size;                  /* of the archive, once it is measured */
    uint64_t entries;               /* of it, likewise */
    const char *wrong;              /* why it failed, a sentence; static */
    int32_t code;                   /* the system's number, or 0 */
    char path[LSSB_TAR_PATH];       /* where; the entry at hand */

    struct {                        /* the packer's own */
        const lssb_files *files;
        struct lssb_pack_level levels[LSSB_PACK_DEPTH];
        uint64_t at;                /* where the entry at hand begins */
        uint64_t head_len;
        uint64_t next;              /* where it ends, padding included */
        struct lssb_tar_entry entry;
        lssb_local_info info;       /* of the last one that was found */
        intptr_t file;
        uint16_t cut;               /* the path ends here while a directory on
                                       its way is told; 0: it does not */
        uint8_t depth;              /* levels that are open */
        bool held;                  /* what was found is to be told yet */
        bool asking;                /* what becomes of it is to be asked yet */
        bool measured;
        bool file_open;
        bool over;
        char target[LSSB_TAR_PATH];
        char names[LSSB_PACK_NAMES];
    } own;
};

/* Begins with the directory at `path`: LSSB_OK, or what opening it said. */
LSSB_PRIVATE lssb_status lssb_pack_start(struct lssb_pack *pack,
                                         const lssb_files *files,
                                         const char *path);
/* Looks at some more entries: LSSB_AGAIN; LSSB_OK: pack->size is known; else
 * what the files said, LSSB_E_STOPPED or LSSB_E_TOO_LONG. */
LSSB_PRIVATE lssb_status lssb_pack_measure(struct lssb_pack *pack);
/* Once it is measured: bytes of the archive, as lssb_source's read_at. 0: it
 * failed, or the tree is not what was measured: pack->wrong.
 * LSSB_SOURCE_LATER: there was much to pass over; ask again. */
LSSB_PRIVATE ptrdiff_t lssb_pack_read(struct lssb_pack *pack, uint64_t offset,
                                      void *bytes, size_t len);
/* Closes what it holds. All zeros, and a second time, are allowed. */
LSSB_PRIVATE void lssb_pack_end(struct lssb_pack *pack);

/* ----------------------------------------------------------- lssb.c: ignore */

#define LSSB_IGNORE_LINE 1024       /* bytes of a line, its end included */
#define LSSB_IGNORE_WINDOW 4096     /* bytes of the file at once */
#define LSSB_IGNORE_MOST 65536      /* bytes of all of it */
#define LSSB_IGNORE_WORK 200000     /* steps of its patterns, and bytes of it,
                                       before the next choice is put off */

/* What a .dockerignore file says, by Docker's rules: a line is a pattern ("*",
 * "?", "[...]", "\" within a segment, "**" over any number of them), "!" in
 * front of it takes back what lines before it left out, "#" at the beginning
 * of a line is a comment; the last line that matches a path or a directory
 * that it is in counts. As if ".git" were the first line. The file is read
 * through a window, again for every path if it is larger. A choice that takes
 * long is put off between two lines. */
struct lssb_ignore {
    const char *wrong;              /* why it failed, a sentence; static */
    uint32_t line;                  /* in which line of it */
    int32_t code;                   /* the system's number, or 0 */

    struct {                        /* its own */
        const lssb_files *files;
        intptr_t file;
        bool open;
        const char *dockerfile;
        uint64_t window_at;
        size_t window_len;
        uint64_t line_at;           /* where the next line begins */
        char pattern[LSSB_IGNORE_LINE];     /* the one at hand, cleaned */
        size_t pattern_len;
        bool negated;
        bool asked;                 /* a choice was put off */
        bool below;                 /* of it: something below the path may be
                                       kept */
        uint64_t left_out;          /* a bit for each segment of the path: it
                                       is, up to there */
        size_t work;                /* since one was put off */
        char window[LSSB_IGNORE_WINDOW];
    } own;
};

/* Begins with an open file, which it closes at its end, or with none (`file`
 * NULL). `dockerfile`, its own name, and ".dockerignore" are kept whatever it
 * says: the builder reads them. */
LSSB_PRIVATE void lssb_ignore_start(struct lssb_ignore *ignore,
                                    const lssb_files *files,
                                    const intptr_t *file,
                                    const char *dockerfile);
/* What becomes of a path; LSSB_PACK_STOP: `wrong`; LSSB_PACK_LATER: the same
 * path is to be asked about again. */
LSSB_PRIVATE enum lssb_pack_choice
lssb_ignore_choose(struct lssb_ignore *ignore, const char *path,
                   bool is_directory);
LSSB_PRIVATE void lssb_ignore_end(struct lssb_ignore *ignore);

/* ------------------------------------------------------------- lssb.c: told */

/* In a tools' flags: what its output is like. */
#define LSSB_TOLD_MARKED 0x100u     /* a character before each record */
#define LSSB_TOLD_TARGET 0x200u     /* behind one record a link's target, which
                                       ends with the output, as `name` */
#define LSSB_TOLD_FIELDS 8u         /* numbers of an entry, of a process */
#define LSSB_TOLD_PROCESS_NAME 64   /* bytes of a process's name that count */

enum lssb_told {
    LSSB_TOLD_MORE = 0,             /* all consumed; more text, please */
    LSSB_TOLD_ENTRY,                /* a record: its name and numbers */
    LSSB_TOLD_END,                  /* the last one: numbers[1] is a code */
    LSSB_TOLD_WRONG                 /* this is no such output; final */
};

/* A character of what is base64 or hexadecimal, "#b" or "#o" in front: the byte
 * that it completes, -1: none, -2: it is no such text. */
LSSB_PRIVATE int lssb_told_byte(struct lssb_tools_state *told, char c);
/* Looks at `len` characters of a listing, of a process list, consumes *used of
 * them, says what it found; call it again with the rest. The events are the
 * same wherever the text is split. */
LSSB_PRIVATE enum lssb_told lssb_told_next(struct lssb_tools_state *told,
                                           const char *text, size_t len,
                                           size_t *used);
LSSB_PRIVATE enum lssb_told lssb_told_process(struct lssb_tools_state *told,
                                              const char *text, size_t len,
                                              size_t *used);
/* The record at hand, for the caller. */
LSSB_PRIVATE void lssb_told_entry(const struct lssb_tools_state *told,
                                  lssb_entry *entry);
LSSB_PRIVATE void lssb_told_fill(struct lssb_tools_state *told,
                                 lssb_process *process);
/* What a tool says on standard error; and that it will say no more: `failure`
 * is what it means, if that is known, `said` its first words. */
LSSB_PRIVATE void lssb_told_complaint(struct lssb_tools_state *told,
                                      const char *text, size_t len);
LSSB_PRIVATE void lssb_told_last(struct lssb_tools_state *told);

/* ----------------------------------------------------------- lssb.c: client */

/* What may be tried again after a failure (protocol 8). */
enum lssb_retry {
    LSSB_RETRY_ALWAYS = 0,          /* idempotent */
    LSSB_RETRY_UNSENT,              /* creates or changes: only if the request
                                       cannot have arrived */
    LSSB_RETRY_EXECUTE              /* the same, and what the service refused
                                       before the daemon saw it */
};

/* Which table of protocol 2, 4.4 or 9.4 gives a status its meaning. */
enum lssb_meaning {
    LSSB_MEANING_GENERIC = 0,
    LSSB_MEANING_LIST,              /* 404: a wrong base URL */
    LSSB_MEANING_CREATE,
    LSSB_MEANING_UPDATE,
    LSSB_MEANING_DATAPLANE
};

struct lssb_slot;

/* One request and what becomes of its reply: a constant table of functions,
 * run for an operation. What a request is made of is asked again for each
 * piece of a small send buffer, so these functions only look at the
 * operation's arguments. Members that are NULL do not apply. */
struct lssb_exchange {
    char name[24];                  /* "create sandbox": for messages. Not a
                                       pointer: a linker drops a text with the
                                       table that holds it */
    const char *awaits;             /* "waiting for the command": what one
                                       without a request does */
    const char *method;
    enum lssb_retry retry;
    enum lssb_meaning meaning;
    lssb_resource resource;
    const struct lssb_kind *kind;   /* of the thing it is about, or NULL */
    bool dataplane;                 /* at the box's URL, not the client's */
    bool root;                      /* at the root of the API, above the base */
    bool quota_is_final;            /* 429 is tried again only if the server
                                       says when, and names no quota */
    bool transfer;                  /* its time is counted without progress */
    bool fresh;                     /* wants a connection idle for < 1 s */
    bool multipart;                 /* the body is a form; else JSON */
    bool may_hold;                  /* `event` may say LSSB_AGAIN */
    bool upgrade;                   /* becomes a WebSocket: `step` follows. The
                                       operation keeps its slot to its end */
    bool sealed;                    /* its path is a secret */

    /* Of a request that goes elsewhere than to the API: to this URL, with this
     * method, with none of the client's headers but User-Agent; with these, the
     * later ones replacing the earlier (false: there are no more; one without a
     * value is none). Its body is no JSON, or not known to be; nor its reply's,
     * which goes to `raw`. */
    const char *(*url)(const lssb_op *op);
    const char *(*verb)(const lssb_op *op);
    bool (*pairs)(const lssb_op *op, size_t index, lssb_pair *pair);

    void (*path)(const lssb_op *op, struct lssb_writer *to);
    void (*headers)(const lssb_op *op, struct lssb_writer *to);
    void (*body)(const lssb_op *op, struct lssb_writer *to);

    /* Each of these that returns a failure has told it to the client's error.
     *
     * A status beside 2xx that is a success: true. */
    bool (*accepts)(const lssb_op *op, int status);
    /* A header of a successful reply, then the end of all of them. */
    lssb_status (*header)(lssb_op *op, int status, const char *name,
                          const char *value, size_t len);
    lssb_status (*head)(lssb_op *op, int status, const struct lssb_http *http);
    /* The body as it is; LSSB_AGAIN: not taken, offer it again. */
    lssb_status (*raw)(lssb_op *op, const uint8_t *bytes, size_t len);
    /* The body as JSON: which members, and what came of them. */
    enum lssb_json_take (*choose)(void *op, int depth, const char *parent,
                                  const char *key);
    lssb_status (*event)(lssb_op *op, struct lssb_json *json,
                         enum lssb_json_event event);
    /* The reply is complete; `text` is what was kept (NULL: no body). Returns
     * the call's outcome, or what lssb_call_next returns. */
    lssb_status (*done)(lssb_op *op, const char *text, size_t len);
    /* The reply was a failure, already told to `error`. Returns its status,
     * another one, or what lssb_call_next returns. */
    lssb_status (*failed)(lssb_op *op, lssb_error *error);
    /* Before another attempt: forgets what came of the last one; false when it
     * cannot be asked for again. */
    bool (*again)(lssb_op *op);

    /* Of an upgrade, and of what waits for one. A slot was got. */
    lssb_status (*taken)(lssb_op *op);
    /* Looked at in every step, whatever the phase; true: the call is over. */
    bool (*watch)(lssb_op *op);
    /* Of a call that makes others: it is to end, for this reason, canceled or
     * late. True: it will, by its `watch`, as soon as those have ended. */
    bool (*leave)(lssb_op *op, lssb_status why);
    /* A step in LSSB_PHASE_OWN, and what it waits for. */
    void (*step)(lssb_op *op);
    void (*waits)(const lssb_op *op, uint64_t *wake_at);
    /* Stores what else it waits for; at most an entry for each bridge. */
    size_t (*polls)(lssb_op *op, lssb_poll *list);
    /* An attempt failed, as the client's error says. Returns the outcome, or
     * LSSB_PENDING after lssb_call_pause. */
    lssb_status (*lost)(lssb_op *op);
    /* The call is about to end, and still has its slot. */
    void (*ended)(lssb_op *op, lssb_status outcome);
};

/* A connection and the request on it. */
struct lssb_slot {
    struct lssb_conn conn;
    lssb_op *op;                    /* whose it is now; NULL: nobody's */
    bool reused;                    /* it has served before */
    bool replied;                   /* a byte of the reply has come */
    bool json_done;                 /* a failure's body has been understood */
    bool body_seen;
    bool failing;                   /* the reply is a failure's */
    uint64_t idle_since;
    uint64_t keep_alive_ms;
    uint64_t head_len;              /* of the request */
    uint64_t request_len;
    uint64_t written;               /* of it, to the connection */
    uint64_t body_bytes;            /* of the reply, so far */
    size_t held;                    /* bytes of the body, parsed but not yet
                                       taken, at the front of what has come */
    uint32_t retry_after_ms;
    bool retry_after_given;
    lssb_tls_ticket ticket;         /* for conn.host */
    struct lssb_http http;
    struct lssb_json json;
    struct lssb_mark mark;          /* in a long string of the body */
    uint8_t boundary[16];           /* of a multipart body, of a WebSocket's
                                       key */
    char element[LSSB_ELEMENT];

    /* Of an upgrade. */
    bool claimed;                   /* held until its owner lets go */
    bool full;                      /* what came waits for its reader */
    uint64_t leave_by;              /* nobody's, but not closed before its
                                       farewell is answered, or this time */
    bool (*leave)(struct lssb_channel *channel, uint64_t now);
    struct lssb_ws_upgrade upgrade;
    struct lssb_channel channel;
    union {
        lssb_command command;       /* of lssb_run */
        struct lssb_yamux session;  /* of a tunnel */
        struct lssb_json before;    /* the event at hand, of an exchange that
                                       `may_hold`: no upgrade */
    } own;
    char *hold;                     /* LSSB_HOLD bytes; those ever used: */
    uint32_t hold_high;
};

enum lssb_bridge_phase {
    LSSB_BRIDGE_FREE = 0,
    LSSB_BRIDGE_LISTENING,
    LSSB_BRIDGE_QUEUED,             /* wants a stream */
    LSSB_BRIDGE_OPENING,            /* has one, and waits for its status */
    LSSB_BRIDGE_OPEN,
    LSSB_BRIDGE_OVER                /* finished, or failed */
};

/* What a tunnel leads to at its near end: the caller, a local socket; or where
 * local sockets come from. */
struct lssb_bridge {
    struct lssb_yamux_stream stream;
    struct lssb_bridge *next;       /* of its tunnel's, or of the free ones */
    const struct lssb_bridge_kind *kind;
    lssb_tunnel *tunnel;
    void *owner;                    /* lssb_tunnel_stream, lssb_listener; NULL:
                                       none, or it has let go */
    struct lssb_bridge *listener;   /* that it came from, if that is there */
    lssb_op *opener;                /* lssb_tunnel_connect */
    const struct lssb_listen_port *listen;
    lssb_handle handle;             /* the local socket */
    const uint8_t *write;           /* bytes that the caller wants to send */
    size_t write_len;
    uint64_t due_at;                /* the status is late then; a listener may
                                       accept again; 0: nothing is due */
    uint64_t sent;                  /* bytes into the box */
    uint64_t received;
    uint8_t *buffer;                /* client->stream_buffer bytes, a ring; a
                                       listener's path */
    uint32_t from;                  /* the first byte that waits in it */
    uint32_t len;                   /* how many do */
    uint32_t high;                  /* bytes of it that were ever used */
    uint32_t most;                  /* of a listener: connections at once */
    uint32_t active;                /* those that there are */
    uint32_t poll;                  /* its entry in client->polls, and 1 */
    lssb_status status;             /* why it is over */
    const char *why;                /* in words; NULL: the connection was lost
                                       for the `loss`th time */
    uint32_t loss;
    uint16_t port;                  /* in the box */
    uint8_t phase;
    uint8_t event;                  /* its end, to be told, or 0 */
    uint8_t crossed;                /* how often the peer refused it, going
                                       away */
    bool opened;                    /* to be told before that */
    bool greeted;                   /* the header is sent */
    bool ends;                      /* the caller sends no more on it */
    bool readable;                  /* the local socket may have something */
    bool writable;                  /* and may take something */
    bool shut;                      /* it was told the end */
};

/* What the kinds of bridges do. Members that are NULL do not apply. */
struct lssb_bridge_kind {
    bool announced;                 /* what becomes of it is an event */
    /* What can be done now, by one that listens or is open. */
    void (*step)(struct lssb_bridge *bridge);
    /* Takes bytes that came, and returns how many; *gone of them need no room
     * any more. */
    size_t (*take)(struct lssb_bridge *bridge, const uint8_t *bytes,
                   size_t len, size_t *gone);
    /* Stores bytes that are to go: how many; 0: there are no more, ever; or an
     * lssb_io. */
    ptrdiff_t (*pull)(struct lssb_bridge *bridge, uint8_t *room, size_t len);
    /* What its handle is waited for. False: it is not, and asked now and then
     * whether it is broken. */
    bool (*poll)(const struct lssb_bridge *bridge, lssb_poll *entry);
    bool (*is_broken)(const struct lssb_bridge *bridge);
    /* It is over: gives back what is local; `reset`: it was cut. */
    void (*end)(struct lssb_bridge *bridge, bool reset);
    /* The tunnel is gone, and the bridge with it: the owner is to know. */
    void (*forget)(struct lssb_bridge *bridge);
};

/* Where a proxy is; strings in the client's block. */
struct lssb_proxy {
    const char *host;               /* NULL: none */
    const char *userinfo;           /* decoded, or NULL */
    uint16_t port;
    bool from_environment;
};

/* What lssb_step asks of operations and connections: a client whose program
 * makes no call has none of it. */
struct lssb_calls {
    void (*step)(lssb_op *op);
    bool (*waits)(const lssb_op *op, uint64_t *wake_at);
    void (*step_slots)(lssb_client *client);
    size_t (*conn_waits)(struct lssb_conn *conn, bool want_read,
                         lssb_poll *list, uint64_t *wake_at);
    void (*close)(struct lssb_conn *conn, uint64_t until);
    void (*drop)(struct lssb_conn *conn, bool reset);
};

/* One per lssb_open: at the start of its block. */
struct lssb_client {
    const lssb_port *port;
    void *port_context;
    const lssb_tls_backend *tls;
    lssb_trust trust;
    void *given;                    /* the port's block; NULL: the caller's */
    size_t size;
    size_t plain_size;              /* of it, all before the slots' holds */
    void (*trace)(void *user, const lssb_trace_event *event);
    void *trace_user;

    const char *host;               /* of the control plane */
    const char *base;               /* its path, "/v2/sandboxes" */
    uint16_t host_port;
    bool host_tls;
    bool allow_cleartext;
    const char *api_key;
    const char *tenant_id;
    const char *user_agent;
    const lssb_pair *headers;
    size_t header_count;
    struct lssb_proxy proxies[2];   /* for http, for https */
    const char *no_proxy;
    uint32_t timeout_ms;
    uint32_t transfer_timeout_ms;
    uint32_t retries;

    uint64_t now;                   /* of this step */
    const struct lssb_calls *calls; /* NULL before the first one */
    lssb_op *first;                 /* under way, in the order of their start */
    lssb_op *last;
    lssb_op *finished;              /* to be told */
    lssb_op *finished_last;
    lssb_op *awaited;               /* what lssb_wait waits for */
    lssb_status *awaited_status;    /* and where it wants to know of its end */
    lssb_op *closer;
    uint64_t close_at;
    uint32_t operations;
    bool in_callback;
    bool closing;
    bool at_once;                   /* work is left that needs no waiting */
    bool woken;                     /* the wake handle may have to be cleared */
    lssb_error error;
    lssb_stats_list stats;

    lssb_poll *polls;               /* 2 for each slot, 1 for each bridge, 1 to
                                       wake by */
    bool polled;                    /* `ready` in them is news */
    bool ready_known;               /* and so it is during this step */
    struct lssb_slot *slots;
    uint32_t slot_count;
    struct lssb_bridge *bridges;    /* all of them */
    struct lssb_bridge *free_bridges;
    uint32_t bridge_count;
    uint32_t stream_buffer;         /* bytes of each one's buffer */
};

#define LSSB_STREAM_BUFFER_LEAST 1024

/* One step; *gone: the client was closed in it. A sleep until something may
 * have changed, or `end_at`. Both for calls that wait by themselves. */
LSSB_PRIVATE lssb_status lssb_client_step(lssb_client *client, bool *gone);
LSSB_PRIVATE void lssb_client_sleep(lssb_client *client, uint64_t end_at);

/* Begins a call: `waiting` is the operation of the waiting form. Returns the
 * operation to use, all its arguments cleared, or NULL with *status. */
LSSB_PRIVATE lssb_op *lssb_call_begin(lssb_client *client, lssb_op *op,
                                      lssb_op *waiting, lssb_status *status);
/* Starts it with its first request, made once for trial: what is wrong with
 * the arguments is said at once. `attempt_ms` is for one attempt, and by
 * default for the whole call; 0: the client's, for each attempt. Of an upgrade
 * it is for the whole call only: `attempt_ms` of the operation's state is set
 * by `taken`. With the waiting form it returns the outcome. */
LSSB_PRIVATE lssb_status lssb_call_go(lssb_op *op, bool wait,
                                      const struct lssb_exchange *exchange,
                                      uint32_t attempt_ms);
/* Starts a call without a request of its own: `exchange` has a `watch`. */
LSSB_PRIVATE lssb_status lssb_call_attend(lssb_op *op, bool wait,
                                          const struct lssb_exchange *exchange);
/* Goes on with another request, `after_ms` from now: LSSB_PENDING. */
LSSB_PRIVATE lssb_status lssb_call_next(lssb_op *op,
                                        const struct lssb_exchange *exchange,
                                        uint32_t after_ms);
/* What a callback of the caller's said, as an exchange says it. */
LSSB_PRIVATE lssb_status lssb_call_stopped(lssb_op *op, lssb_status said);
/* The same of a callback that cannot put off what it is told. */
LSSB_PRIVATE lssb_status lssb_call_heard(lssb_op *op, lssb_status said);
/* The client that an operation belongs to, and the slot it has. */
LSSB_PRIVATE lssb_client *lssb_call_client(const lssb_op *op);
LSSB_PRIVATE struct lssb_slot *lssb_call_slot(const lssb_op *op);
/* Once a call has ended: whether a byte of its last request was sent. */
LSSB_PRIVATE bool lssb_call_was_sent(const lssb_op *op);
/* A number below `limit`, by the port's entropy. */
LSSB_PRIVATE uint32_t lssb_random_below(lssb_client *client, uint32_t limit);

/* error.c: a failure in one sentence, pieces joined; the last is NULL. Clears
 * what `error` held; that may be NULL, for nobody wants to know. Returns
 * `status`. */
LSSB_PRIVATE lssb_status lssb_fail(lssb_error *error, lssb_status status,
                                   lssb_layer layer, const char *first, ...);
/* Puts pieces before the message, the last is NULL; its end may be cut. */
LSSB_PRIVATE void lssb_error_prefix(lssb_error *error, const char *first, ...);
/* Leaves in the client's error no control character of what a server said, but
 * ends of lines, and no credential: not the client's, nor one of the
 * operation's. */
LSSB_PRIVATE void lssb_error_clean(lssb_client *client, const lssb_op *op);
LSSB_PRIVATE void lssb_error_hide(lssb_error *error, const char *secret,
                                  size_t len);
/* A local mistake in a call: stored for the client and the operation. */
LSSB_PRIVATE lssb_status lssb_refuse(lssb_client *client, lssb_op *op,
                                     const char *first, ...);
LSSB_PRIVATE lssb_status lssb_refuse_as(lssb_client *client, lssb_op *op,
                                        lssb_status status, const char *first,
                                        ...);
/* Takes in what an error reply says, as the scanner tells it. */
LSSB_PRIVATE enum lssb_json_take lssb_error_choose(void *ctx, int depth,
                                                   const char *parent,
                                                   const char *key);
LSSB_PRIVATE void lssb_error_element(lssb_error *error, const char *text,
                                     size_t len);
LSSB_PRIVATE void lssb_error_body(lssb_error *error, const char *text,
                                  size_t len);
/* Gives a reply its meaning: status, resource, type, quota and, where the
 * reply had none, a message. */
LSSB_PRIVATE void lssb_error_mean(lssb_error *error,
                                  const struct lssb_exchange *exchange,
                                  const lssb_op *op, int http_status);

/* request.c: where a request goes, and its head. */
struct lssb_target {
    const char *host;
    size_t host_len;
    uint16_t port;
    bool tls;
    bool host_is_v6;
    bool tunnel;                    /* through a proxy by CONNECT only */
    const char *base;               /* path before the exchange's own */
    size_t base_len;
};
LSSB_PRIVATE const char *lssb_request_target(const lssb_op *op,
                                             const struct lssb_exchange *x,
                                             struct lssb_target *target);
/* The proxy for a target, or NULL. */
LSSB_PRIVATE const struct lssb_proxy *
lssb_request_proxy(const lssb_client *client,
                   const struct lssb_target *target);
/* The method of a request. */
LSSB_PRIVATE const char *lssb_request_method(const lssb_op *op,
                                             const struct lssb_exchange *x);
/* Hides in an error the client's credentials, the operation's and those of its
 * request, if it has one. */
LSSB_PRIVATE void lssb_request_hide(const lssb_client *client,
                                    const lssb_op *op, lssb_error *error);
/* A body whose length only its end tells counts so much, is sent in chunks, and
 * comes in windows that each hold a whole one, not more than the socket takes;
 * its end sets slot->request_len. */
#define LSSB_BODY_UNKNOWN ((uint64_t)INT64_MAX)
#define LSSB_CHUNK_LEAST 64         /* bytes that are worth a chunk's frame */
/* The boundary of this slot's multipart body: 128 random bits. */
LSSB_PRIVATE void lssb_put_boundary(const lssb_op *op,
                                    struct lssb_writer *to);
LSSB_PRIVATE void lssb_request_head(const lssb_op *op,
                                    const struct lssb_exchange *x,
                                    uint64_t body_len,
                                    struct lssb_writer *to);

/* slot.c: an idle connection to the target, young enough (`fresh`: very young)
 * and quiet; a slot for a new one; a session to resume there; each NULL if
 * there is none. */
LSSB_PRIVATE struct lssb_slot *
lssb_slot_reuse(lssb_client *client, const struct lssb_target *target,
                bool fresh);
LSSB_PRIVATE struct lssb_slot *lssb_slot_free(lssb_client *client);
/* Whether every slot is held for good. */
LSSB_PRIVATE bool lssb_slots_claimed(const lssb_client *client);
LSSB_PRIVATE const lssb_tls_ticket *
lssb_slot_ticket(lssb_client *client, const struct lssb_target *target);
/* Counts the slots at work, for the high-water mark. */
LSSB_PRIVATE void lssb_slot_note_use(lssb_client *client);
/* Gives an operation's slot back: as an idle connection, or closed. One that
 * has a farewell to wait for closes by itself. */
LSSB_PRIVATE void lssb_slot_release(lssb_op *op, bool keep);

/* reply.c: feeds the parser with one look. LSSB_OK: all of it was taken;
 * LSSB_AGAIN: the caller takes no more now; LSSB_END: the exchange is over. */
LSSB_PRIVATE lssb_status lssb_reply_feed(lssb_op *op, const uint8_t *bytes,
                                         size_t len);
/* The reply is complete. */
LSSB_PRIVATE void lssb_reply_complete(lssb_op *op);
/* The reply is a failure's, and as complete as it gets. */
LSSB_PRIVATE void lssb_reply_refused(lssb_op *op, bool keep);
/* Whether a reply that lasts until the end of its connection was cut short. */
LSSB_PRIVATE bool lssb_reply_cut_short(const lssb_op *op);

/* call.c: the exchange that is under way; its line for the trace; that
 * something moved, so that a transfer's time starts anew; another attempt after
 * a failure's reply, if it may be made. */
LSSB_PRIVATE const struct lssb_exchange *lssb_call_exchange(const lssb_op *op);
LSSB_PRIVATE void lssb_call_trace(lssb_op *op, lssb_trace_kind kind,
                                  int64_t number);
LSSB_PRIVATE void lssb_call_moved(lssb_op *op);
/* An attempt failed as slot->conn.failure says: `ended`, if its connection
 * did. Another one, or the end. */
LSSB_PRIVATE void lssb_call_lost(lssb_op *op, bool ended);
/* Pauses, then tries from the beginning. */
LSSB_PRIVATE void lssb_call_pause(lssb_op *op, uint64_t ms);
LSSB_PRIVATE bool lssb_call_refused_again(lssb_op *op, const lssb_error *error,
                                          bool retry_after);

/* call.c: what lssb_step does for one operation; for connections that belong
 * to none; what a slot is given back as. */
LSSB_PRIVATE void lssb_call_step(lssb_op *op);
/* What it waits for: lowers *wake_at; whether its connection should read. */
LSSB_PRIVATE bool lssb_call_waits(const lssb_op *op, uint64_t *wake_at);
/* Puts an operation among those under way. */
LSSB_PRIVATE void lssb_call_add(lssb_client *client, lssb_op *op);
LSSB_PRIVATE void lssb_call_finish(lssb_op *op, lssb_status outcome);
LSSB_PRIVATE void lssb_slots_step(lssb_client *client);
LSSB_PRIVATE void lssb_trace(lssb_client *client, lssb_trace_kind kind,
                             const char *host, const char *text,
                             int64_t number);

/* run.c: what running a command takes over HTTP and over a WebSocket alike.
 * Who, where and with what: in the spelling that every server knows, or in the
 * newer one when a user is asked for (protocol 2.18). */
LSSB_PRIVATE void lssb_run_put_config(struct lssb_json_writer *json,
                                      const lssb_run_options *options);
/* Empties the caller's buffers for output. */
LSSB_PRIVATE void lssb_run_clear(const lssb_run_options *options);
/* A command that lssb_run follows is killed when its operation lets go of it:
 * before lssb_cancel, or where a callback stops it. */
LSSB_PRIVATE void lssb_run_kill(lssb_op *op);
/* Output into a buffer, behind what is there, and a NUL behind that. */
LSSB_PRIVATE void lssb_run_store(char *buffer, size_t size, uint64_t at,
                                 const char *bytes, size_t len, bool *cut);

/* upgrade.c: what calls that become a WebSocket share. How the server ended
 * one; in the `step` of such an operation. */
enum lssb_upgrade_close {
    LSSB_CLOSE_NONE = 0,            /* it did not, or not in order */
    LSSB_CLOSE_CLEAN,               /* 1000, or no code */
    LSSB_CLOSE_RELOAD               /* 1001 */
};

#define LSSB_UPGRADE_OPEN_MS 120000 /* for all attempts to open one */
#define LSSB_UPGRADE_ATTEMPT_MS 30000   /* for one of them */
#define LSSB_UPGRADE_ATTEMPTS 6

/* Of an exchange: its headers, and each header of the reply; when all are there
 * NULL, or what is wrong with them. */
LSSB_PRIVATE void lssb_upgrade_headers(const lssb_op *op,
                                       struct lssb_writer *to);
LSSB_PRIVATE lssb_status lssb_upgrade_header(lssb_op *op, int status,
                                             const char *name,
                                             const char *value, size_t len);
LSSB_PRIVATE const char *lssb_upgrade_wrong(const lssb_op *op);

/* Whether another attempt would only meet the same; what an opening that
 * failed is called when it is given up; how long to pause before attempt
 * number `next`, without a Retry-After. */
LSSB_PRIVATE bool lssb_upgrade_is_final(const lssb_error *error);
LSSB_PRIVATE lssb_status lssb_upgrade_kind(const lssb_op *op,
                                           const lssb_error *error,
                                           enum lssb_upgrade_close closed);
LSSB_PRIVATE uint64_t lssb_upgrade_backoff(lssb_client *client, uint32_t next,
                                           bool jitter);
/* Another attempt, `ms` from now, within `end_at` (0: none): LSSB_PENDING. The
 * second, of an opening that failed: the same, or the failure; `asked`: the
 * server gave `ms`. */
LSSB_PRIVATE lssb_status lssb_upgrade_again(lssb_op *op, uint64_t ms,
                                            uint64_t end_at);
LSSB_PRIVATE lssb_status
lssb_upgrade_open_again(lssb_op *op, enum lssb_upgrade_close closed,
                        bool asked, uint64_t ms, uint64_t end_at);
/* Gives a refusal its meaning; true if it may be tried again, after *ms if a
 * Retry-After was given. `unknown` is what 404 means; `capped`: no budget ends
 * the waiting. */
LSSB_PRIVATE bool lssb_upgrade_refused(const lssb_op *op, lssb_error *error,
                                       const char *unknown, bool capped,
                                       uint64_t *ms);
/* A connection that was open is lost, `how` or as conn->failure says; the
 * server has closed it. */
LSSB_PRIVATE void lssb_upgrade_broken(lssb_op *op,
                                      enum lssb_upgrade_close closed,
                                      const char *how, const char *more);
LSSB_PRIVATE void lssb_upgrade_closed(lssb_op *op);
/* Says goodbye on a connection that is open, and leaves it to the slot. */
LSSB_PRIVATE void lssb_upgrade_farewell(lssb_op *op, uint64_t until);
/* Goes on with the client until something may have changed; LSSB_OK, or why
 * the caller must not look any further. When a wait that begins now is over. */
/* Of a call that lets go of what is held, for its `leave` and `watch`: it is to
 * end before the goodbye is said, so the connection goes now; and it is gone.
 * The caller has the struct again in either case. Both return true. */
LSSB_PRIVATE bool lssb_upgrade_leave(lssb_op *op, lssb_status why,
                                     lssb_op *starter, lssb_op *carrier);
LSSB_PRIVATE bool lssb_upgrade_left(lssb_op *op);
/* A call that looks again until there is something or its time is up. */
struct lssb_upgrade_wait {
    lssb_client *client;
    uint64_t end_at;
    uint32_t ms;                    /* 0: it looks once */
    bool slept;                     /* not the first time */
};
LSSB_PRIVATE void lssb_upgrade_wait_start(struct lssb_upgrade_wait *wait,
                                          lssb_client *client,
                                          uint32_t wait_ms);
/* Steps the client, after a sleep but the first time. LSSB_OK: look again;
 * LSSB_AGAIN: the time is up; LSSB_E_CANCELED: the client was abandoned. */
LSSB_PRIVATE lssb_status lssb_upgrade_wait(struct lssb_upgrade_wait *wait);

/* tunnel.c: holds the connection of a tunnel that is open. */
LSSB_PRIVATE extern const struct lssb_exchange lssb_tunnel_carrier;
/* Whether an operation is under way already, for this very tunnel, stream, …:
 * then that is in use. */
LSSB_PRIVATE bool lssb_tunnel_is_under_way(const lssb_op *op,
                                           const void *what);

/* tunnel_bridge.c: a bridge for a tunnel, or NULL: all are taken; whether one
 * could be had. */
LSSB_PRIVATE struct lssb_bridge *
lssb_bridge_take(lssb_tunnel *tunnel, const struct lssb_bridge_kind *kind,
                 uint16_t port);
LSSB_PRIVATE bool lssb_bridge_any(lssb_tunnel *tunnel);
/* It wants a stream. */
LSSB_PRIVATE void lssb_bridge_queue(struct lssb_bridge *bridge);
/* It is over: in order (LSSB_OK), or cut. It stays where it is until the end of
 * the step. */
LSSB_PRIVATE void lssb_bridge_end(struct lssb_bridge *bridge,
                                  lssb_status status, const char *why);
/* Why it is over: a sentence, in `place` or static. */
#define LSSB_BRIDGE_WORDS 120
LSSB_PRIVATE const char *lssb_bridge_words(const struct lssb_bridge *bridge,
                                           char *place, size_t size);
/* The caller lets go of it. Not within a step of its tunnel's. */
LSSB_PRIVATE void lssb_bridge_drop(struct lssb_bridge *bridge);
/* Bytes into its buffer: how many there was room for. What waits in it, up to
 * the end of its memory. So many of them have gone. */
LSSB_PRIVATE size_t lssb_bridge_store(struct lssb_bridge *bridge,
                                      const uint8_t *bytes, size_t len);
LSSB_PRIVATE const uint8_t *lssb_bridge_look(const struct lssb_bridge *bridge,
                                             size_t *len);
LSSB_PRIVATE void lssb_bridge_consumed(struct lssb_bridge *bridge, size_t len);
/* The session that it has a stream on; of a tunnel that is connected. */
LSSB_PRIVATE struct lssb_yamux *
lssb_bridge_session(const struct lssb_bridge *bridge);
/* tunnel_flow.c: sends what there is room for, now. Not within a step of the
 * tunnel's. */
LSSB_PRIVATE void lssb_tunnel_push(lssb_tunnel *tunnel);
/* tunnel.c: says what is wrong with a call about a tunnel. Returns `status`. */
LSSB_PRIVATE lssb_status lssb_tunnel_refuse(lssb_client *client, lssb_op *op,
                                            lssb_status status,
                                            const char *what,
                                            const char *why);

/* command.c: follows a command that an lssb_command holds. */
LSSB_PRIVATE extern const struct lssb_exchange lssb_command_carrier;

/* Phases of an operation. */
enum lssb_phase {
    LSSB_PHASE_IDLE = 0,
    LSSB_PHASE_SLOT,                /* waits for a slot */
    LSSB_PHASE_CONNECT,
    LSSB_PHASE_EXCHANGE,
    LSSB_PHASE_PAUSE,               /* until wake_at, then PHASE_SLOT */
    LSSB_PHASE_OWN,                 /* the exchange's own `step` */
    LSSB_PHASE_FINISHED             /* its outcome is to be told */
};

/* tools.c: a call that a script in the box carries out. */
/* How each script begins, and how it goes to the directory $a. */
#define LSSB_TOOLS_BEGIN "eval \"$LSSB_P\"\n"
#define LSSB_TOOLS_ENTER \
    "stat -c %f \"$a/.\" >/dev/null||exit\n" \
    "cd \"$a\" 2>/dev/null||x \"$a\" 'Permission denied'\n"

struct lssb_tools_job {
    const char *name;               /* "remove": for messages */
    const char *script;             /* LSSB_TOOLS_BEGIN gives it $a, $b, $f,
                                       x, n, o and e */
    lssb_take_fn hears;             /* its output; user: the lssb_tools */
    lssb_status (*ended)(lssb_tools *tools, int32_t code);
    void (*over)(lssb_tools *tools);    /* whatever came of it; or NULL */
    lssb_resource resource;         /* of a failure */
    uint32_t flags;                 /* LSSB_TOLD_… */
    bool endless;
};
typedef enum lssb_told (*lssb_tools_next_fn)(struct lssb_tools_state *told,
                                             const char *text, size_t len,
                                             size_t *used);
typedef lssb_status (*lssb_tools_tell_fn)(lssb_tools *tools);

/* Begins a call, as lssb_sandbox_begin; puts a variable that is borrowed, or a
 * path (NULL, or what is wrong with it); starts the script; refuses. */
LSSB_PRIVATE lssb_op *lssb_tools_begin(lssb_tools *tools,
                                       const struct lssb_tools_job *job,
                                       lssb_op *op, lssb_op *own,
                                       lssb_status *status);
LSSB_PRIVATE void lssb_tools_put(lssb_tools *tools, const char *name,
                                 const char *value);
LSSB_PRIVATE const char *lssb_tools_path(lssb_tools *tools, const char *path,
                                         bool second);
LSSB_PRIVATE lssb_status lssb_tools_go(lssb_tools *tools, lssb_op *call,
                                       bool wait);
LSSB_PRIVATE lssb_status lssb_tools_refuse(lssb_tools *tools, lssb_op *call,
                                           const char *wrong);
/* What lssb_tools_go is made of, for a call that has an operation of its own:
 * the command's options; what came of it, once `op` and `result` of the state
 * say so; what is said of a failure: `why`, or the tool's own words; that the
 * call was told to end. */
LSSB_PRIVATE void lssb_tools_prepare(lssb_tools *tools, const lssb_op *call);
LSSB_PRIVATE lssb_status lssb_tools_over(lssb_tools *tools);
LSSB_PRIVATE lssb_status lssb_tools_say(lssb_tools *tools, lssb_status status,
                                        const char *why);
LSSB_PRIVATE bool lssb_tools_leave(lssb_op *op, lssb_status why);
/* In `hears`. Ends the call with a failure, for this static reason; what a
 * callback of the caller's said; every record of an output to the caller,
 * `tell` being asked again for one that was not taken. */
LSSB_PRIVATE lssb_status lssb_tools_stop(lssb_tools *tools,
                                         lssb_status failure,
                                         const char *why);
LSSB_PRIVATE lssb_status lssb_tools_heard(lssb_tools *tools,
                                          lssb_status said);
LSSB_PRIVATE lssb_status lssb_tools_records(lssb_tools *tools,
                                            const char *text, size_t len,
                                            lssb_tools_next_fn next,
                                            lssb_tools_tell_fn tell);
/* For `ended`: by the exit code and what was said; the same for an output that
 * ends with a record. */
LSSB_PRIVATE lssb_status lssb_tools_outcome(lssb_tools *tools, int32_t code);
LSSB_PRIVATE lssb_status lssb_tools_listed(lssb_tools *tools, int32_t code);

/* sandbox.c: what calls about boxes share. `out` of the operation is the box
 * to fill; `box`, or `text`, says which; `extra` is NULL or lssb_details. */
LSSB_PRIVATE extern const struct lssb_exchange lssb_sandbox_get_exchange;
LSSB_PRIVATE extern const struct lssb_exchange lssb_sandbox_poll_exchange;
LSSB_PRIVATE lssb_op *lssb_sandbox_begin(const lssb_sandbox *box, lssb_op *op,
                                         lssb_op *own, lssb_status *status);
LSSB_PRIVATE extern const struct lssb_kind lssb_sandbox_kind;
LSSB_PRIVATE void lssb_sandbox_path(const lssb_op *op,
                                    struct lssb_writer *to);
LSSB_PRIVATE lssb_status lssb_sandbox_failed(lssb_op *op, lssb_error *error);

/* How a list pages: by cursor or, with an older server, by offset; always by
 * offset; by cursor, or not at all. */
enum lssb_paging {
    LSSB_PAGING_BOTH = 0,
    LSSB_PAGING_OFFSET,
    LSSB_PAGING_CURSOR
};

/* kind.c: a kind of thing that the service keeps, and its struct. */
struct lssb_kind {
    const char *name;               /* "snapshot": for messages */
    const char *type;               /* "lssb_snapshot" */
    const char *items;              /* its array in the list of a server that
                                       has no `items` */
    const char *path;               /* "/snapshots" */
    lssb_resource resource;
    enum lssb_paging paging;
    size_t size;                    /* of the struct */
    const struct lssb_json_member *members;     /* one that is PRESENT is an
                                       object for the caller's details */
    size_t member_count;
    const char *nested;             /* an object that `complete` reads */
    bool in_use;                    /* 409 at its deletion: something needs it */
    /* What the members do not say: defaults, states. */
    void (*complete)(lssb_op *op, void *thing, const char *text, size_t len);
    const struct lssb_exchange *get;
};

/* Of an operation's `step`; the parts have 2, 4 and from 16 on. */
#define LSSB_STEP_SAW_CONFIG 1      /* the reply has a run_config */
#define LSSB_STEP_MAY_BE_DONE 8     /* an attempt before may have arrived */

/* Whether a member of a thing is kept, visited or skipped. */
LSSB_PRIVATE enum lssb_json_take lssb_kind_keep(const struct lssb_kind *kind,
                                                const char *key,
                                                bool details);
/* A reply that is one thing: `extra` of the operation is NULL or details. */
LSSB_PRIVATE enum lssb_json_take lssb_kind_choose(void *ctx, int depth,
                                                  const char *parent,
                                                  const char *key);
LSSB_PRIVATE lssb_status lssb_kind_event(lssb_op *op, struct lssb_json *json,
                                         enum lssb_json_event event);
LSSB_PRIVATE lssb_status lssb_kind_fill(lssb_op *op,
                                        const struct lssb_kind *kind,
                                        void *thing, const char *text,
                                        size_t len);
/* Sets a text that the reply left out. */
LSSB_PRIVATE void lssb_kind_default(char *to, size_t size,
                                    const char *missing);
/* The kind's path; the same and the operation's `text`. */
LSSB_PRIVATE void lssb_kind_all_path(const lssb_op *op,
                                     struct lssb_writer *to);
LSSB_PRIVATE void lssb_kind_path(const lssb_op *op, struct lssb_writer *to);
/* The reply is the thing, for `out`; nothing in the reply matters. */
LSSB_PRIVATE lssb_status lssb_kind_got(lssb_op *op, const char *text,
                                       size_t len);
LSSB_PRIVATE lssb_status lssb_kind_done(lssb_op *op, const char *text,
                                        size_t len);
LSSB_PRIVATE enum lssb_json_take lssb_kind_choose_none(void *ctx, int depth,
                                                       const char *parent,
                                                       const char *key);
/* Another meaning for a refusal. Returns `status`. */
LSSB_PRIVATE lssb_status lssb_kind_mean(lssb_error *error, lssb_status status,
                                        lssb_resource resource);
/* Refusals: names what was not found; and 409 is "exists", is "in use", and a
 * deletion or a change of name that an earlier attempt did is none. */
LSSB_PRIVATE lssb_status lssb_kind_failed(lssb_op *op, lssb_error *error);
LSSB_PRIVATE lssb_status lssb_kind_create_failed(lssb_op *op,
                                                 lssb_error *error);
LSSB_PRIVATE lssb_status lssb_kind_delete_failed(lssb_op *op,
                                                 lssb_error *error);
LSSB_PRIVATE lssb_status lssb_kind_change_failed(lssb_op *op,
                                                 lssb_error *error);
/* Before the same is asked again: one that was answered (other than by 429),
 * or of which a byte was sent, may have been done. */
LSSB_PRIVATE bool lssb_kind_again(lssb_op *op);
LSSB_PRIVATE bool lssb_kind_may_be_done(lssb_op *op);
LSSB_PRIVATE void lssb_kind_details(lssb_op *op, const lssb_details *details);

/* The state that a word names. */
LSSB_PRIVATE lssb_state lssb_kind_state(const char *word);
/* A wait for a state: sets its end, from now on; asks again after about
 * interval_ms unless that has come; ends without the state. */
LSSB_PRIVATE void lssb_kind_wait_until(lssb_op *op, uint32_t timeout_s);
LSSB_PRIVATE lssb_status lssb_kind_wait_more(lssb_op *op,
                                             const struct lssb_exchange *poll,
                                             uint32_t interval_ms,
                                             const char *title,
                                             const char *last_status);
LSSB_PRIVATE lssb_status lssb_kind_wait_failed(lssb_op *op,
                                               lssb_status status,
                                               const char *title,
                                               const char *last_status,
                                               const char *reason);

/* Starts a call whose exchange has a kind. */
LSSB_PRIVATE lssb_status lssb_kind_go(lssb_op *op, bool wait,
                                      const struct lssb_exchange *x,
                                      uint32_t attempt_ms);
/* Begins and starts a call with these arguments; what the exchange cannot do
 * without is checked. `new_name`: the call is a change of name. */
struct lssb_arguments {
    const char *name;
    bool named;                     /* it has to be there; so it has for
                                       lssb_kind_path */
    const void *options;
    void *out;
    const lssb_details *details;
    const char *new_name;
    uint32_t attempt_ms;
};
LSSB_PRIVATE lssb_status lssb_kind_start(lssb_client *client,
                                         const struct lssb_exchange *x,
                                         const struct lssb_arguments *arguments,
                                         lssb_op *op);

/* list.c: a walk through a list. Its exchange has the kind, a path of its own
 * that puts lssb_list_query and the filters, and the functions below. */
struct lssb_walk {
    struct lssb_page *page;
    const void *filters;            /* becomes the operation's `text` */
    const lssb_sandbox *box;        /* and its `box`; may be NULL */
    void *things;
    size_t max;
    size_t *count;
    uint32_t attempt_ms;            /* 0: the client's */
    const lssb_list_details *details;   /* may be NULL */
};
LSSB_PRIVATE lssb_status lssb_list_next(lssb_client *client,
                                        const struct lssb_exchange *x,
                                        const struct lssb_walk *walk,
                                        lssb_op *op);
/* Parameters, '?' or '&' before them; a text that is NULL is left out. */
LSSB_PRIVATE void lssb_list_query(const lssb_op *op, struct lssb_writer *to,
                                  bool *first);
/* All those of a walk through sandboxes or snapshots. */
LSSB_PRIVATE void lssb_list_filters(const lssb_op *op, struct lssb_writer *to);
LSSB_PRIVATE void lssb_list_text(struct lssb_writer *to, bool *first,
                                 const char *name, const char *value);
LSSB_PRIVATE void lssb_list_number(struct lssb_writer *to, bool *first,
                                   const char *name, uint64_t number);
LSSB_PRIVATE enum lssb_json_take lssb_list_choose(void *ctx, int depth,
                                                  const char *parent,
                                                  const char *key);
LSSB_PRIVATE lssb_status lssb_list_event(lssb_op *op, struct lssb_json *json,
                                         enum lssb_json_event event);
LSSB_PRIVATE lssb_status lssb_list_done(lssb_op *op, const char *text,
                                        size_t len);
LSSB_PRIVATE bool lssb_list_again(lssb_op *op);

/* link.c: the making of a service URL, whose options are the operation's, its
 * place `out`; NULL, or what is wrong with them. */
#define LSSB_SERVICE_S 600          /* how long a token is to hold, if the
                                       caller does not say */
LSSB_PRIVATE extern const struct lssb_kind lssb_link_service;
/* Whether a header, for a service or a link, is X-Api-Key or holds the key. */
LSSB_PRIVATE bool lssb_link_shows_key(const lssb_client *client,
                                      const lssb_pair *header);
LSSB_PRIVATE const char *
lssb_link_service_wrong(const lssb_service_options *options);
LSSB_PRIVATE void lssb_link_service_path(const lssb_op *op,
                                         struct lssb_writer *to);
LSSB_PRIVATE void lssb_link_service_body(const lssb_op *op,
                                         struct lssb_writer *to);
LSSB_PRIVATE lssb_status lssb_link_service_got(lssb_op *op, const char *text,
                                               size_t len);
LSSB_PRIVATE lssb_status lssb_link_service_failed(lssb_op *op,
                                                  lssb_error *error);

/* file.c: the content of a source of a known size, read straight into the
 * window. */
LSSB_PRIVATE void lssb_put_source(const lssb_source *source,
                                  struct lssb_writer *to);
/* file.c: lssb_file_upload of a source that may have nothing yet
 * (LSSB_SOURCE_LATER); `op` is not NULL. */
LSSB_PRIVATE lssb_status lssb_file_archive(const lssb_sandbox *box,
                                           const char *path,
                                           const lssb_source *source,
                                           const lssb_transfer *how,
                                           lssb_op *op);

/* service.c: what a request to a service and a WebSocket to one share. */
struct lssb_service_call {
    const char *path;               /* all of these as in lssb_request */
    const lssb_pair *query;
    size_t query_count;
    const lssb_pair *headers;
    size_t header_count;
};
/* NULL, or what is wrong with the call, with the service that it is for. */
LSSB_PRIVATE const char *
lssb_service_wrong(const lssb_client *client,
                   const lssb_service_options *options,
                   const lssb_service *service,
                   const struct lssb_service_call *call);
/* Whether a service holds long enough; `options` say for how long it was
 * made. */
LSSB_PRIVATE bool lssb_service_holds(const lssb_client *client,
                                     const lssb_service_options *options,
                                     const lssb_service *service);
/* Of an exchange: its path; its headers, the token last. */
LSSB_PRIVATE void lssb_service_put_path(const struct lssb_service_call *call,
                                        struct lssb_writer *to);
LSSB_PRIVATE bool lssb_service_pair(const struct lssb_service_call *call,
                                    const lssb_service *service, size_t index,
                                    lssb_pair *pair);
/* A service is made: for others, too, if there is a place. */
LSSB_PRIVATE lssb_status lssb_service_made(lssb_op *op, lssb_service *service,
                                           const char *text, size_t len);

/* spec.c: members of requests that more than one call has. What is wrong with
 * them is the writer's mistake, a sentence without their content.
 *
 * Sent if it is set: a text that is not empty, a number that is not 0, a
 * lifetime in seconds (LSSB_NEVER is 0 there), a run configuration. */
LSSB_PRIVATE void lssb_spec_text(struct lssb_json_writer *json,
                                 const char *name, const char *text);
LSSB_PRIVATE void lssb_spec_number(struct lssb_json_writer *json,
                                   const char *name, uint64_t number);
LSSB_PRIVATE void lssb_spec_ttl(struct lssb_json_writer *json,
                                const char *name, int64_t seconds);
LSSB_PRIVATE void lssb_spec_run_config(struct lssb_json_writer *json,
                                       const lssb_run_config *config);
/* A text that must be set. */
LSSB_PRIVATE void lssb_spec_required(struct lssb_json_writer *json,
                                     const char *name, const char *text,
                                     const char *wrong);
LSSB_PRIVATE bool lssb_spec_given(const char *text);
/* Strings as an array, always. */
LSSB_PRIVATE void lssb_spec_strings(struct lssb_json_writer *json,
                                    const char *name,
                                    const char *const *strings, size_t count);
/* Begins an object, and ends it with further members, which are given as a JSON
 * object or NULL. One of a name that is put in between is a mistake. */
LSSB_PRIVATE void lssb_spec_begin(struct lssb_json_writer *json,
                                  struct lssb_writer *to, const char *more);
LSSB_PRIVATE void lssb_spec_end(struct lssb_json_writer *json);
/* Protocol 2.13, 2.14, 2.19; NULL: nothing is put. `proxy` is what goes along
 * with the mounts. `update`: secrets may be left out that are stored. */
LSSB_PRIVATE void lssb_spec_mounts(struct lssb_json_writer *json,
                                   const lssb_mount_config *config,
                                   const lssb_proxy_config *proxy);
LSSB_PRIVATE void lssb_spec_proxy(struct lssb_json_writer *json,
                                  const lssb_proxy_config *config,
                                  bool update);
LSSB_PRIVATE void
lssb_spec_delegation(struct lssb_json_writer *json,
                     const lssb_access_delegation *delegation);

#endif
