/* http1.c: HTTP/1.1 messages (RFC 9112), parsed as they arrive.
 *
 * SPDX-License-Identifier: MIT
 *
 * An engine for both roles: bytes in, events out. It is strict, because what
 * two parsers read differently is how requests are smuggled: a line ends with
 * CR LF and nothing else (2.2 would allow a bare LF), folded fields, blanks
 * before a colon and doubtful framing are refused. Heads are read byte by byte
 * by one state machine, bodies in slices; so the events cannot depend on how
 * the input is split.
 */
#include "internal.h"

#define HTTP_CHUNK_LINE_LIMIT 4096  /* bytes of a chunk's size and extensions,
                                       with the line end before them */

/* What the next byte belongs to. The states up to HTTP_IN_HEAD_LF are a
 * head's (and the trailers'), taken one byte at a time. */
enum http_state {
    HTTP_IN_START = 0,              /* the first byte of a start line */
    HTTP_IN_EMPTY_LF,               /* server: LF of an empty line before it */
    HTTP_IN_STATUS,                 /* "HTTP/1.1 200" */
    HTTP_IN_REASON,
    HTTP_IN_METHOD,
    HTTP_IN_TARGET,
    HTTP_IN_VERSION,                /* server: "HTTP/1.1" */
    HTTP_IN_START_LF,
    HTTP_IN_LINE,                   /* the first byte of a field line */
    HTTP_IN_NAME,
    HTTP_IN_BLANK,                  /* before a value */
    HTTP_IN_VALUE,
    HTTP_IN_FIELD_LF,
    HTTP_IN_HEAD_LF,                /* LF of the empty line */
    HTTP_IN_SIZE,                   /* a chunk's size */
    HTTP_IN_SIZE_BLANK,             /* blanks before a chunk's extension */
    HTTP_IN_EXTENSION,
    HTTP_IN_SIZE_LF,
    HTTP_IN_CHUNK_CR,               /* behind a chunk's data */
    HTTP_IN_CHUNK_LF,
    HTTP_IN_CHUNK,                  /* slices from here on */
    HTTP_IN_FIXED,
    HTTP_IN_REST,                   /* a body that ends with the connection */
    HTTP_FINISHED,
    HTTP_BROKEN
};

enum {
    HTTP_QUIET = 1,                 /* fields are checked, but not told: those
                                       of a 1xx reply, and trailers */
    HTTP_TRAILERS = 2,
    HTTP_SAID_CLOSE = 4,
    HTTP_SAID_KEEP = 8,
    HTTP_SAW_HOST = 16
};

/* ------------------------------------------------------------- characters */

/* RFC 9110 5.6.2. */
static bool http_is_token(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What may stand in a value or a reason: no control but the tab. */
static bool http_is_text(char c)
{
    unsigned char byte = (unsigned char)c;

    return c == '\t' || (byte >= 0x20 && byte != 0x7F);
}

/* The value of a hexadecimal digit, or 16. */
static unsigned http_hex(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

/* ----------------------------------------------------------------- helpers */

void lssb_http_start(struct lssb_http *http, bool server, char *line,
                     size_t line_size)
{
    memset(http, 0, sizeof *http);
    http->server = server;
    http->line = line;
    http->line_size = line_size < UINT16_MAX ? line_size : UINT16_MAX;
    http->keep_alive_s = UINT32_MAX;
}

/* Ends the message for good; a server answers with `status`. */
static enum lssb_http_event http_refuse(struct lssb_http *http, int status,
                                        const char *wrong)
{
    if (http->server)
        http->status = status;
    http->wrong = wrong;
    http->own.state = HTTP_BROKEN;
    http->keep_alive = false;
    return LSSB_HTTP_WRONG;
}

static enum lssb_http_event http_wrong(struct lssb_http *http,
                                       const char *wrong)
{
    return http_refuse(http, 400, wrong);
}

/* Goes on in another state. */
static enum lssb_http_event http_go(struct lssb_http *http,
                                    enum http_state state)
{
    http->own.state = (uint8_t)state;
    return LSSB_HTTP_MORE;
}

/* Keeps a byte of the line, with room left for `spare` more; false when the
 * line is full. */
static bool http_keep(struct lssb_http *http, char c, size_t spare)
{
    if (http->own.line_len + spare >= http->line_size)
        return false;
    http->line[http->own.line_len++] = c;
    return true;
}

/* Whether the message is a reply with this first digit. */
static bool http_is_class(const struct lssb_http *http, int hundreds)
{
    return !http->server && http->status / 100 == hundreds;
}

/* Whether the connection carries something else behind the head. */
static bool http_is_tunnel(const struct lssb_http *http)
{
    return !http->server && (http->status == 101 ||
                             (http->connect_request && http_is_class(http, 2)));
}

/* -------------------------------------------------------------- start lines */

/* One byte of "HTTP/1.1", at own.digits of it. */
static const char *http_version_byte(struct lssb_http *http, char c)
{
    static const char pattern[] = "HTTP/1.";
    uint8_t place = http->own.digits++;

    if (place == 7 && (c == '0' || c == '1')) {
        http->own.minor = (uint8_t)(c - '0');
        return NULL;
    }
    if (place < 7 && c == pattern[place])
        return NULL;
    if (place == 0 && (c == 0x15 || c == 0x16))
        return "TLS came where plain HTTP was expected";
    return place < 5 ? "what came is not HTTP"
                     : "the HTTP version is neither 1.0 nor 1.1";
}

/* One byte of "HTTP/1.1 200", and of what ends it. */
static enum lssb_http_event http_status_byte(struct lssb_http *http, char c)
{
    const char *wrong;

    if (http->own.digits < 8) {
        wrong = http_version_byte(http, c);
        return wrong == NULL ? LSSB_HTTP_MORE : http_wrong(http, wrong);
    }
    if (http->own.digits == 8 && c == ' ') {
        http->own.digits++;
        return LSSB_HTTP_MORE;
    }
    if (http->own.digits > 8 && http->own.digits < 12 &&
        c >= (http->own.digits == 9 ? '1' : '0') && c <= '9') {
        http->own.left = http->own.left * 10 + (uint64_t)(c - '0');
        http->own.digits++;
        return LSSB_HTTP_MORE;
    }
    if (http->own.digits == 12 && c == ' ')
        return http_go(http, HTTP_IN_REASON);
    if (http->own.digits == 12 && c == '\r')
        return http_go(http, HTTP_IN_START_LF);
    return http_wrong(http, "the status is not a number of three digits");
}

/* What is wrong with a request's target (RFC 9112 3.2). */
static const char *http_target_wrong(const char *method, const char *target)
{
    struct lssb_url url;
    size_t len = strlen(target);

    memset(&url, 0, sizeof url);
    if (strcmp(method, "CONNECT") == 0)
        return lssb_url_authority(&url, target, len) == NULL && url.port_given
                   ? NULL : "the target of CONNECT is not a host and a port";
    if (target[0] == '/')
        return NULL;
    if (strcmp(target, "*") == 0 && strcmp(method, "OPTIONS") == 0)
        return NULL;
    return lssb_url_parse(&url, target, len, false) == NULL
               ? NULL : "the target is neither a path nor an http URL";
}

/* One byte of a method. */
static enum lssb_http_event http_method_byte(struct lssb_http *http, char c)
{
    if (c == ' ' && http->own.line_len > 0) {
        (void)http_keep(http, '\0', 0);
        http->own.name_len = http->own.line_len;
        return http_go(http, HTTP_IN_TARGET);
    }
    if (!http_is_token(c))
        return http_wrong(http, http->own.line_len == 0 && (c == 0x16)
                                    ? "TLS came where plain HTTP was expected"
                                    : "the request's method is no token");
    if (!http_keep(http, c, 2))
        return http_refuse(http, 501, "the request's method is too long");
    return LSSB_HTTP_MORE;
}

/* One byte of a target. */
static enum lssb_http_event http_target_byte(struct lssb_http *http, char c)
{
    const char *wrong;

    if (c == ' ' && http->own.line_len > http->own.name_len) {
        (void)http_keep(http, '\0', 0);
        http->own.digits = 0;
        wrong = http_target_wrong(http->line, http->line + http->own.name_len);
        return wrong == NULL ? http_go(http, HTTP_IN_VERSION)
                             : http_wrong(http, wrong);
    }
    if (c == '\r')
        return http_wrong(http, "the request line has no HTTP version");
    if ((unsigned char)c <= 0x20 || (unsigned char)c >= 0x7F || c == '#')
        return http_wrong(http, "the request's target has a character that "
                                "must be percent-encoded");
    if (!http_keep(http, c, 1))
        return http_refuse(http, 414, "the request's target is too long");
    return LSSB_HTTP_MORE;
}

/* One byte of a request's version, and of what ends it. */
static enum lssb_http_event http_request_version(struct lssb_http *http, char c)
{
    const char *wrong;
    uint8_t place = http->own.digits;

    if (place < 8) {
        wrong = http_version_byte(http, c);
        if (wrong == NULL)
            return LSSB_HTTP_MORE;
        return http_refuse(http, place >= 5 && c >= '0' && c <= '9' ? 505 : 400,
                           wrong);
    }
    if (c == '\r')
        return http_go(http, HTTP_IN_START_LF);
    return http_wrong(http, "the request line goes on behind the version");
}

/* The first byte of a message. */
static enum lssb_http_event http_first_byte(struct lssb_http *http, char c)
{
    http->own.line_len = 0;
    http->own.name_len = 0;
    http->own.digits = 0;
    http->own.left = 0;
    if (http->server && c == '\r')
        return http_go(http, HTTP_IN_EMPTY_LF);
    http->own.state = http->server ? HTTP_IN_METHOD : HTTP_IN_STATUS;
    return http->server ? http_method_byte(http, c) : http_status_byte(http, c);
}

/* The start line is complete. */
static enum lssb_http_event http_started(struct lssb_http *http)
{
    http->own.state = HTTP_IN_LINE;
    if (http->server) {
        http->method = http->line;
        http->target = http->line + http->own.name_len;
        return LSSB_HTTP_START;
    }
    http->status = (int)http->own.left;
    http->own.left = 0;
    if (!http_is_class(http, 1) || http->status == 101)
        return LSSB_HTTP_START;
    http->own.flags |= HTTP_QUIET;
    return LSSB_HTTP_MORE;
}

/* ------------------------------------------------------------------ framing */

/* Cuts the next member off a comma-separated list, without blanks about it;
 * false when there is none left. */
static bool http_member(const char **list, const char **member, size_t *len)
{
    const char *from = *list;
    const char *end;

    if (from == NULL)
        return false;
    end = strchr(from, ',');
    *list = end != NULL ? end + 1 : NULL;
    if (end == NULL)
        end = from + strlen(from);
    while (from < end && http_is_blank(*from))
        from++;
    while (end > from && http_is_blank(end[-1]))
        end--;
    *member = from;
    *len = (size_t)(end - from);
    return true;
}

static bool http_is(const char *text, size_t len, const char *name)
{
    return lssb_same_name(text, len, name, strlen(name));
}

/* Content-Length: a number; the same one again does no harm (RFC 9110 8.6). */
static const char *http_content_length(struct lssb_http *http)
{
    const char *list = http->value;
    const char *member;
    uint64_t length;
    size_t len;

    while (http_member(&list, &member, &len)) {
        if (!lssb_parse_u64(member, len, &length))
            return "Content-Length is not a number";
        if (length > INT64_MAX)
            return "Content-Length is too large";
        if (http->has_length && length != http->length)
            return "two Content-Length differ";
        http->has_length = true;
        http->length = length;
    }
    return NULL;
}

/* Connection: what it says of this connection. */
static void http_connection(struct lssb_http *http)
{
    const char *list = http->value;
    const char *member;
    size_t len;

    while (http_member(&list, &member, &len)) {
        if (http_is(member, len, "close"))
            http->own.flags |= HTTP_SAID_CLOSE;
        else if (http_is(member, len, "keep-alive"))
            http->own.flags |= HTTP_SAID_KEEP;
    }
}

/* Keep-Alive: the seconds of its timeout; what makes no sense is no promise. */
static void http_keep_alive(struct lssb_http *http)
{
    const char *list = http->value;
    const char *member;
    uint64_t seconds;
    size_t len;

    while (!http->value_cut && http_member(&list, &member, &len)) {
        if (len < 8 || !http_is(member, 8, "timeout=") ||
            !lssb_parse_u64(member + 8, len - 8, &seconds))
            continue;
        http->keep_alive_s = seconds < UINT32_MAX ? (uint32_t)seconds
                                                  : UINT32_MAX - 1;
    }
}

/* Host: once, and a host it is (RFC 9112 3.2); empty where there is none. */
static const char *http_host(struct lssb_http *http)
{
    struct lssb_url url;

    if ((http->own.flags & HTTP_SAW_HOST) != 0)
        return "the request has two Host fields";
    http->own.flags |= HTTP_SAW_HOST;
    memset(&url, 0, sizeof url);
    if (http->value_cut ||
        (http->value_len > 0 &&
         lssb_url_authority(&url, http->value, http->value_len) != NULL))
        return "Host is no host";
    return NULL;
}

/* Reads a field that says where the message ends or who it is for. */
static enum lssb_http_event http_framing(struct lssb_http *http)
{
    const char *name = http->name;
    size_t len = http->own.name_len;
    bool codes = http_is(name, len, "Transfer-Encoding");
    bool sizes = http_is(name, len, "Content-Length");
    bool connection = http_is(name, len, "Connection");
    const char *wrong = NULL;

    if (http->value_cut && (codes || sizes || connection))
        return http_refuse(http, 431, "a field that frames the message is "
                                      "too long");
    if (connection)
        http_connection(http);
    else if (sizes && !http_is_tunnel(http))
        wrong = http_content_length(http);
    else if (codes && !http_is_tunnel(http)) {
        if (!http_is(http->value, http->value_len, "chunked"))
            return http_refuse(http, 501, "Transfer-Encoding is something "
                                          "other than chunked");
        if (http->chunked)
            wrong = "the message has two Transfer-Encoding";
        http->chunked = true;
    } else if (http_is(name, len, "Keep-Alive"))
        http_keep_alive(http);
    else if (http->server && http_is(name, len, "Host"))
        wrong = http_host(http);
    else if (http->server && http_is(name, len, "Expect"))
        http->expects_continue = http_is(http->value, http->value_len,
                                         "100-continue");
    return wrong == NULL ? LSSB_HTTP_HEADER : http_wrong(http, wrong);
}

/* -------------------------------------------------------------- field lines */

/* One byte of a field's name, and its colon. */
static enum lssb_http_event http_name_byte(struct lssb_http *http, char c)
{
    if (c == ':') {
        http->own.name_len = http->own.line_len;
        http->value_cut = false;
        if ((http->own.flags & HTTP_QUIET) == 0)
            (void)http_keep(http, '\0', 1);
        return http_go(http, HTTP_IN_BLANK);
    }
    if (http_is_blank(c))
        return http_wrong(http, "a field's name has a blank in it");
    if (c == '\r' || c == '\n')
        return http_wrong(http, "a field has no colon");
    if (!http_is_token(c))
        return http_wrong(http, "a field's name is no token");
    if ((http->own.flags & HTTP_QUIET) == 0 && !http_keep(http, c, 2))
        return http_refuse(http, 431, "a field's name is too long");
    return LSSB_HTTP_MORE;
}

/* One byte of a field's value, and the CR that ends it. What does not fit is
 * dropped; blanks that do not fit are missed only if something follows. */
static enum lssb_http_event http_value_byte(struct lssb_http *http, char c)
{
    if (c == '\r')
        return http_go(http, HTTP_IN_FIELD_LF);
    if (c == '\n')
        return http_wrong(http, "a line ends without CR");
    if (!http_is_text(c))
        return http_wrong(http, "a field's value has a control character");
    if (http->own.state == HTTP_IN_BLANK && http_is_blank(c))
        return LSSB_HTTP_MORE;
    http->own.state = HTTP_IN_VALUE;
    if ((http->own.flags & HTTP_QUIET) == 0 && !http->value_cut &&
        !http_keep(http, c, 1) && !http_is_blank(c))
        http->value_cut = true;
    return LSSB_HTTP_MORE;
}

/* A field is complete. */
static enum lssb_http_event http_field(struct lssb_http *http)
{
    size_t from = (size_t)http->own.name_len + 1;
    size_t end = http->own.line_len;

    http->own.state = HTTP_IN_LINE;
    if ((http->own.flags & HTTP_QUIET) != 0)
        return LSSB_HTTP_MORE;
    while (end > from && http_is_blank(http->line[end - 1]))
        end--;
    http->line[end] = '\0';
    http->name = http->line;
    http->value = http->line + from;
    http->value_len = end - from;
    return http_framing(http);
}

/* The first byte of a field line, or of the empty one. */
static enum lssb_http_event http_line_byte(struct lssb_http *http, char c)
{
    http->own.line_len = 0;
    if (c == '\r')
        return http_go(http, HTTP_IN_HEAD_LF);
    if (c == '\n')
        return http_wrong(http, "a line ends without CR");
    if (http_is_blank(c))
        return http_wrong(http, "a field is folded, or begins with a blank");
    if (c == ':')
        return http_wrong(http, "a field has no name");
    http->own.state = HTTP_IN_NAME;
    return http_name_byte(http, c);
}

/* ------------------------------------------------------------------- heads */

/* A 1xx reply is over: the next one begins. */
static enum lssb_http_event http_interim(struct lssb_http *http)
{
    if (++http->own.interim > LSSB_HTTP_INTERIM_LIMIT)
        return http_wrong(http, "there are too many interim replies");
    if (http->status == 100)
        http->continued = true;
    http->status = 0;
    http->own.head_bytes = 0;
    http->own.flags = 0;
    return http_go(http, HTTP_IN_START);
}

/* What is wrong with the fields of a head as a whole (RFC 9112 6.1, 3.2). */
static const char *http_head_wrong(const struct lssb_http *http)
{
    if (http->chunked && http->has_length)
        return "the message has Transfer-Encoding and Content-Length";
    if (http->chunked && http->own.minor == 0)
        return "the message has Transfer-Encoding, but is HTTP/1.0";
    if (http->server && http->own.minor == 1 &&
        (http->own.flags & HTTP_SAW_HOST) == 0)
        return "the request has no Host";
    return NULL;
}

/* How the body ends (RFC 9112 6.3). */
static enum http_state http_body_kind(const struct lssb_http *http)
{
    if (!http->server && (http->head_request || http->status == 204 ||
                          http->status == 304 || http_is_tunnel(http)))
        return HTTP_FINISHED;
    if (http->chunked)
        return HTTP_IN_SIZE;
    if (http->has_length)
        return HTTP_IN_FIXED;
    return http->server ? HTTP_FINISHED : HTTP_IN_REST;
}

/* Whether the connection may serve again (RFC 9112 9.3). A 204 that says it
 * has a body may be followed by one, so it may not. */
static bool http_persists(const struct lssb_http *http)
{
    if ((http->own.flags & HTTP_SAID_CLOSE) != 0 || http->until_close ||
        http_is_tunnel(http))
        return false;
    if (!http->server && http->status == 204 &&
        (http->chunked || http->length > 0))
        return false;
    return http->own.minor == 1 || (http->own.flags & HTTP_SAID_KEEP) != 0;
}

/* The header block is complete. */
static enum lssb_http_event http_head(struct lssb_http *http)
{
    const char *wrong;

    if ((http->own.flags & HTTP_TRAILERS) != 0)
        return http_go(http, HTTP_FINISHED);
    if ((http->own.flags & HTTP_QUIET) != 0)
        return http_interim(http);
    wrong = http_head_wrong(http);
    if (wrong != NULL)
        return http_wrong(http, wrong);
    http->own.state = (uint8_t)http_body_kind(http);
    http->own.left = http->own.state == HTTP_IN_FIXED ? http->length : 0;
    http->own.digits = 0;
    http->own.head_bytes = 0;
    http->until_close = http->own.state == HTTP_IN_REST;
    http->keep_alive = http_persists(http);
    http->expects_continue = http->expects_continue && http->own.minor == 1;
    return LSSB_HTTP_HEAD;
}

/* ------------------------------------------------------------------ chunks */

/* One byte of a chunk's size, or what ends it. */
static enum lssb_http_event http_size_byte(struct lssb_http *http, char c)
{
    unsigned digit = http_hex(c);

    if (digit < 16) {
        if (http->own.digits == 16)
            return http_wrong(http, "a chunk's size has too many digits");
        http->own.left = http->own.left << 4 | digit;
        http->own.digits++;
        return LSSB_HTTP_MORE;
    }
    if (http->own.digits == 0)
        return http_wrong(http, "a chunk's size is not a number");
    if (c == '\r')
        return http_go(http, HTTP_IN_SIZE_LF);
    if (c == ';')
        return http_go(http, HTTP_IN_EXTENSION);
    if (http_is_blank(c))
        return http_go(http, HTTP_IN_SIZE_BLANK);
    return http_wrong(http, "a chunk's size is not a number");
}

/* One byte of what is between a chunk's size and its end of line. */
static enum lssb_http_event http_extension_byte(struct lssb_http *http, char c)
{
    if (http->own.state == HTTP_IN_SIZE_BLANK) {
        if (http_is_blank(c))
            return LSSB_HTTP_MORE;
        return c == ';' ? http_go(http, HTTP_IN_EXTENSION)
                        : http_wrong(http, "a blank follows a chunk's size");
    }
    if (c == '\r')
        return http_go(http, HTTP_IN_SIZE_LF);
    if (!http_is_text(c))
        return http_wrong(http, "a chunk's extension has a control character");
    return LSSB_HTTP_MORE;
}

/* A chunk's size is known. The last one is followed by trailers. */
static enum lssb_http_event http_sized(struct lssb_http *http)
{
    http->own.head_bytes = 0;
    http->own.digits = 0;
    if (http->own.left > 0)
        return http_go(http, HTTP_IN_CHUNK);
    http->own.flags |= HTTP_QUIET | HTTP_TRAILERS;
    return http_go(http, HTTP_IN_LINE);
}

/* ------------------------------------------------------------------ driving */

/* An LF is due: goes on if this is one. */
static bool http_line_feed(struct lssb_http *http, char c)
{
    if (c == '\n')
        return true;
    (void)http_wrong(http, "a CR stands alone");
    return false;
}

/* Counts a byte of a head or of a chunk's line; false when it is too many. */
static bool http_count(struct lssb_http *http)
{
    bool chunk = http->own.state >= HTTP_IN_SIZE;

    if (++http->own.head_bytes <= (chunk ? HTTP_CHUNK_LINE_LIMIT
                                         : LSSB_HTTP_HEAD_LIMIT))
        return true;
    (void)http_refuse(http, 431, chunk ? "a chunk's extensions are too long"
                                       : "the header block is too long");
    return false;
}

/* Takes one byte of all that is no body. */
static enum lssb_http_event http_byte(struct lssb_http *http, char c)
{
    if (!http_count(http))
        return LSSB_HTTP_WRONG;
    switch ((enum http_state)http->own.state) {
    case HTTP_IN_START:
        return http_first_byte(http, c);
    case HTTP_IN_EMPTY_LF:
        return http_line_feed(http, c) ? http_go(http, HTTP_IN_START)
                                       : LSSB_HTTP_WRONG;
    case HTTP_IN_STATUS:
        return http_status_byte(http, c);
    case HTTP_IN_REASON:
        if (c == '\r')
            return http_go(http, HTTP_IN_START_LF);
        return http_is_text(c) ? LSSB_HTTP_MORE
                               : http_wrong(http, "the reason phrase has a "
                                                  "control character");
    case HTTP_IN_METHOD:
        return http_method_byte(http, c);
    case HTTP_IN_TARGET:
        return http_target_byte(http, c);
    case HTTP_IN_VERSION:
        return http_request_version(http, c);
    case HTTP_IN_START_LF:
        return http_line_feed(http, c) ? http_started(http) : LSSB_HTTP_WRONG;
    case HTTP_IN_LINE:
        return http_line_byte(http, c);
    case HTTP_IN_NAME:
        return http_name_byte(http, c);
    case HTTP_IN_BLANK:
    case HTTP_IN_VALUE:
        return http_value_byte(http, c);
    case HTTP_IN_FIELD_LF:
        return http_line_feed(http, c) ? http_field(http) : LSSB_HTTP_WRONG;
    case HTTP_IN_HEAD_LF:
        return http_line_feed(http, c) ? http_head(http) : LSSB_HTTP_WRONG;
    case HTTP_IN_SIZE:
        return http_size_byte(http, c);
    case HTTP_IN_SIZE_BLANK:
    case HTTP_IN_EXTENSION:
        return http_extension_byte(http, c);
    case HTTP_IN_SIZE_LF:
        return http_line_feed(http, c) ? http_sized(http) : LSSB_HTTP_WRONG;
    case HTTP_IN_CHUNK_CR:
        return c == '\r' ? http_go(http, HTTP_IN_CHUNK_LF)
                         : http_wrong(http, "a chunk is longer than its size");
    case HTTP_IN_CHUNK_LF:
        return http_line_feed(http, c) ? http_go(http, HTTP_IN_SIZE)
                                       : LSSB_HTTP_WRONG;
    case HTTP_IN_CHUNK:
    case HTTP_IN_FIXED:
    case HTTP_IN_REST:
    case HTTP_FINISHED:
    case HTTP_BROKEN:
        break;
    }
    return LSSB_HTTP_WRONG;
}

/* Gives the slice of the body that begins at *used, or notices that there is
 * none left. */
static enum lssb_http_event http_body(struct lssb_http *http,
                                      const uint8_t *bytes, size_t len,
                                      size_t *used)
{
    size_t have = len - *used;
    bool rest = http->own.state == HTTP_IN_REST;

    if (!rest && http->own.left == 0)
        return http_go(http, http->own.state == HTTP_IN_CHUNK
                                 ? HTTP_IN_CHUNK_CR : HTTP_FINISHED);
    if (have == 0)
        return LSSB_HTTP_MORE;
    if (!rest && have > http->own.left)
        have = (size_t)http->own.left;
    http->body = bytes + *used;
    http->body_len = have;
    if (!rest)
        http->own.left -= have;
    *used += have;
    return LSSB_HTTP_BODY;
}

enum lssb_http_event lssb_http_next(struct lssb_http *http,
                                    const uint8_t *bytes, size_t len,
                                    size_t *used)
{
    enum lssb_http_event event = LSSB_HTTP_MORE;
    uint8_t state;

    *used = 0;
    do {
        state = http->own.state;
        if (state == HTTP_FINISHED)
            return LSSB_HTTP_DONE;
        if (state == HTTP_BROKEN)
            return LSSB_HTTP_WRONG;
        if (state >= HTTP_IN_CHUNK) {
            event = http_body(http, bytes, len, used);
            continue;
        }
        while (event == LSSB_HTTP_MORE && *used < len &&
               http->own.state < HTTP_IN_CHUNK)
            event = http_byte(http, (char)bytes[(*used)++]);
    } while (event == LSSB_HTTP_MORE &&
             (*used < len || http->own.state != state));
    return event;
}

enum lssb_http_event lssb_http_end(struct lssb_http *http)
{
    uint8_t state = http->own.state;

    if (state == HTTP_IN_REST || (state == HTTP_IN_FIXED &&
                                  http->own.left == 0))
        http->own.state = state = HTTP_FINISHED;
    if (state == HTTP_FINISHED)
        return LSSB_HTTP_DONE;
    if (state == HTTP_BROKEN)
        return LSSB_HTTP_WRONG;
    if (state == HTTP_IN_START)
        return http_wrong(http, http->server
                                    ? "the connection ended before a request"
                                    : "the connection ended before the reply");
    return http_wrong(http, state < HTTP_IN_SIZE &&
                            (http->own.flags & HTTP_TRAILERS) == 0
                                ? "the connection ended within the head"
                                : "the connection ended within the body");
}

/* ------------------------------------------------------------------ writing */

static const char *http_name_wrong(const char *name)
{
    const char *scan;

    for (scan = name; *scan != '\0'; scan++)
        if (!http_is_token(*scan))
            break;
    return *name == '\0' || *scan != '\0' ? "a header's name is no token"
                                          : NULL;
}

static const char *http_value_wrong(const char *value)
{
    while (*value != '\0' && http_is_text(*value))
        value++;
    return *value != '\0' ? "a header's value has a control character" : NULL;
}

void lssb_put_header(struct lssb_writer *writer, const char *name,
                     const char *value)
{
    if (writer->wrong == NULL)
        writer->wrong = http_name_wrong(name);
    if (writer->wrong == NULL)
        writer->wrong = http_value_wrong(value);
    lssb_put_text(writer, name);
    lssb_put(writer, ": ", 2);
    lssb_put_text(writer, value);
    lssb_put(writer, "\r\n", 2);
}

const char *lssb_header_wrong(const char *name, const char *value)
{
    static const char own[][20] = {
        "Host", "Connection", "Content-Length", "Transfer-Encoding", "TE",
        "Trailer", "Upgrade", "Expect", "Keep-Alive", "Proxy-Connection",
        "Proxy-Authorization", "Content-Type"
    };
    static const char websocket[] = "Sec-WebSocket-";
    const size_t websocket_len = sizeof websocket - 1;
    size_t i;

    if (name == NULL || value == NULL)
        return "the name or the value is NULL";
    for (i = 0; i < sizeof own / sizeof own[0]; i++)
        if (http_is(name, strlen(name), own[i]))
            return "the header is the library's own to send";
    if (strlen(name) > websocket_len &&
        lssb_same_name(name, websocket_len, websocket, websocket_len))
        return "the header is the library's own to send";
    return http_name_wrong(name) != NULL ? http_name_wrong(name)
                                         : http_value_wrong(value);
}
