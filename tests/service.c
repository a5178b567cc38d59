/* service.c: requests and WebSockets to services, and links fetched, byte by
 * byte.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, its sections
 * 1.4, 4.6 and 7, from RFC 9112 and RFC 6455, and from the header's promises.
 */
#include "recorder.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define HOST "550e--8000.svc.example.com"
#define TOKEN_LINE "X-Langsmith-Sandbox-Service-Token: token-1\r\n"
#define AGENT_LINE "User-Agent: lssb/" LSSB_VERSION "\r\n"
#define WALL 1790000000             /* 2026-09-21T14:13:20Z */
#define MADE(token, expires) \
    "{\"browser_url\":\"https://b.example.com/_svc/auth?token=" token "\"," \
    "\"service_url\":\"http://" HOST "/\",\"token\":\"" token "\"," \
    "\"expires_at\":\"" expires "\"}"
#define LATER "2026-09-21T15:13:20Z"    /* in an hour */

static union {
    uint64_t align;
    void *pointer;
    long double widest;
    char bytes[4 * 1024 * 1024];
} memory;
static lssb_client *client;
static lssb_sandbox box;
static lssb_error failure;
static lssb_op op;
static lssb_service service;
static lssb_service_options where;
static lssb_request request;
static lssb_response response;
static lssb_config config;
static char traced[4096];

/* Keeps what the trace says. */
static void trace(void *user, const lssb_trace_event *event)
{
    size_t len = strlen(traced);

    (void)user;
    snprintf(traced + len, sizeof traced - len, "%s|%s\n", event->host,
             event->text);
}

/* The configuration of the tests, to be changed before `open_client`. */
static void configure(void)
{
    memset(&rec, 0, sizeof rec);
    rec.now = 1000;
    rec.wall = WALL - 1;            /* which is WALL then */
    memset(&config, 0, sizeof config);
    config.endpoint = "http://api.example.com";
    config.api_key = "key-1";
    config.no_environment = true;
    config.allow_cleartext = true;
    config.memory = &memory;
    config.memory_size = sizeof memory;
    config.port = &rec_port;
    config.slots = 2;
    config.trace = trace;
    traced[0] = '\0';
}

/* A client, a box of it, a service that holds for an hour, and no request. */
static void open_client(void)
{
    EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
    memset(&box, 0, sizeof box);
    box.client = client;
    memcpy(box.name, "box-1", 6);
    memset(&service, 0, sizeof service);
    strcpy(service.service_url, "http://" HOST "/");
    strcpy(service.browser_url, "https://b.example.com/");
    strcpy(service.token, "token-1");
    strcpy(service.expires_at, LATER);
    memset(&where, 0, sizeof where);
    where.port = 8000;
    memset(&request, 0, sizeof request);
    memset(&response, 0, sizeof response);
}

static void begin(void)
{
    configure();
    open_client();
}

/* Closes the client; nothing may be left open, no reply unused. */
static void end(void)
{
    EXPECT_INT(rec.reply_at, rec.reply_count);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    EXPECT_INT(rec.open_now, 0);
    client = NULL;
}

/* An operation that keeps its error in `failure`. */
static lssb_op *fresh(void)
{
    memset(&op, 0, sizeof op);
    memset(&failure, 0, sizeof failure);
    op.error = &failure;
    return &op;
}

/* The status of a call that was begun with `op`, once it is final. */
static lssb_status finish(lssb_status begun)
{
    return begun == LSSB_PENDING ? lssb_wait(client, &op, LSSB_FOREVER)
                                 : begun;
}

/* The request of the tests, made and finished. */
static lssb_status ask(void)
{
    return finish(lssb_service_request(&box, &where, &service, &request,
                                       &response, fresh()));
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* Whether bytes are anywhere in an object. */
static bool holds(const void *object, size_t size, const char *text)
{
    const char *bytes = object;
    size_t i, len = strlen(text);

    for (i = 0; i + len <= size; i++)
        if (memcmp(bytes + i, text, len) == 0)
            return true;
    return false;
}

/* -------------------------------------------------------------- requests -- */

#define PAIRS(...) \
    (const lssb_pair[]){ __VA_ARGS__ }, \
        sizeof(const lssb_pair[]){ __VA_ARGS__ } / sizeof(lssb_pair)

static void a_request_is_these_bytes_and_no_others(void)
{
    const struct {
        const char *name, *method, *path;
        const char *base;
        const lssb_pair *query;
        size_t query_count;
        const lssb_pair *headers;
        size_t header_count;
        const char *body;
        const char *line, *lines;
    } rows[] = {
        { "nothing said", NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, "GET /",
          AGENT_LINE TOKEN_LINE },
        { "a path", NULL, "/a%20b/c", NULL, NULL, 0, NULL, 0, NULL,
          "GET /a%20b/c", AGENT_LINE TOKEN_LINE },
        { "a path without a slash", NULL, "a", NULL, NULL, 0, NULL, 0, NULL,
          "GET /a", AGENT_LINE TOKEN_LINE },
        { "slashes on both sides", NULL, "//a/", "http://" HOST "/p//", NULL,
          0, NULL, 0, NULL, "GET /p/a/", AGENT_LINE TOKEN_LINE },
        { "a base without a slash", NULL, NULL, "http://" HOST "/p", NULL, 0,
          NULL, 0, NULL, "GET /p/", AGENT_LINE TOKEN_LINE },
        { "a query", NULL, "/a", NULL, PAIRS({ "q", "a b&c" }, { "r", "" }),
          NULL, 0, NULL, "GET /a?q=a%20b%26c&r=", AGENT_LINE TOKEN_LINE },
        { "two queries", NULL, "/a?x=1", NULL, PAIRS({ "\xc3\xa9", "2" }),
          NULL, 0, NULL, "GET /a?x=1&%C3%A9=2", AGENT_LINE TOKEN_LINE },
        { "HEAD", "HEAD", NULL, NULL, NULL, 0, NULL, 0, NULL, "HEAD /",
          AGENT_LINE TOKEN_LINE },
        { "OPTIONS", "OPTIONS", NULL, NULL, NULL, 0, NULL, 0, NULL,
          "OPTIONS /", AGENT_LINE TOKEN_LINE },
        { "DELETE", "DELETE", "/a", NULL, NULL, 0, NULL, 0, NULL,
          "DELETE /a", AGENT_LINE TOKEN_LINE },
        { "a method of one's own", "PROPFIND", "/", NULL, NULL, 0, NULL, 0,
          "<a/>", "PROPFIND /",
          AGENT_LINE TOKEN_LINE "Content-Length: 4\r\n" },
        { "a body alone is a POST", NULL, "/", NULL, NULL, 0,
          PAIRS({ "Content-Type", "text/plain" }), "abc", "POST /",
          AGENT_LINE "Content-Type: text/plain\r\n" TOKEN_LINE
          "Content-Length: 3\r\n" },
        { "PUT", "PUT", "/", NULL, NULL, 0, NULL, 0, "abc", "PUT /",
          AGENT_LINE TOKEN_LINE "Content-Length: 3\r\n" },
        { "PATCH without a body", "PATCH", "/", NULL, NULL, 0, NULL, 0, NULL,
          "PATCH /", AGENT_LINE TOKEN_LINE "Content-Length: 0\r\n" },
        { "a token of the caller's is replaced", NULL, "/", NULL, NULL, 0,
          PAIRS({ "x-langsmith-SANDBOX-service-token", "forged" },
                { "X-Langsmith-Sandbox-Service-Token", "too" },
                { "A", "b" }),
          NULL, "GET /", AGENT_LINE "A: b\r\n" TOKEN_LINE },
        { "a name said twice", NULL, "/", NULL, NULL, 0,
          PAIRS({ "user-agent", "mine/1" }, { "a", "1" }, { "A", "2" }), NULL,
          "GET /", "user-agent: mine/1\r\nA: 2\r\n" TOKEN_LINE },
        { "another key under the key's name", NULL, "/", NULL, NULL, 0,
          PAIRS({ "X-Api-Key", "of the service" }), NULL, "GET /",
          AGENT_LINE "X-Api-Key: of the service\r\n" TOKEN_LINE }
    };
    char expected[REC_TEXT];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        if (rows[i].base != NULL)
            strcpy(service.service_url, rows[i].base);
        request.method = rows[i].method;
        request.path = rows[i].path;
        request.query = rows[i].query;
        request.query_count = rows[i].query_count;
        request.headers = rows[i].headers;
        request.header_count = rows[i].header_count;
        request.body = rows[i].body;
        request.body_len = rows[i].body != NULL ? strlen(rows[i].body) : 0;
        SERVE(RF(204, "", "", REC_BARE, 0));
        EXPECT_INT(ask(), LSSB_OK);
        EXPECT_INT(response.status, 204);
        snprintf(expected, sizeof expected,
                 "%s HTTP/1.1\r\nHost: " HOST "\r\n%s\r\n%s", rows[i].line,
                 rows[i].lines, rows[i].body != NULL ? rows[i].body : "");
        EXPECT_STR(rec.requests[0].text, expected);
        end();
    }
}

static void the_service_gets_nothing_of_the_clients(void)
{
    static const lssb_pair all[] = { { "X-Of-Client", "c" },
                                     { "Authorization", "secret-c" } };
    static const lssb_pair call[] = { { "X-Of-Call", "d" } };

    configure();
    config.headers = all;
    config.header_count = 2;
    config.tenant_id = "tenant-1";
    open_client();
    memset(&service, 0, sizeof service);
    SERVE(R(200, MADE("token-2", LATER)), R(200, "ok"));
    fresh()->headers = call;
    op.header_count = 1;
    EXPECT_INT(finish(lssb_service_request(&box, &where, &service, &request,
                                           &response, &op)),
               LSSB_OK);
    EXPECT_STR(rec.requests[0].host, "api.example.com");
    EXPECT(contains(rec.requests[0].text, "POST /v2/sandboxes/boxes/box-1/"
                                          "service-url HTTP/1.1\r\n"));
    EXPECT(contains(rec.requests[0].text, "X-Api-Key: key-1\r\n"));
    EXPECT(contains(rec.requests[0].text, "X-Of-Client: c\r\n"));
    EXPECT(contains(rec.requests[0].text, "X-Of-Call: d\r\n"));
    EXPECT(contains(rec.requests[0].text,
                    "{\"port\":8000,\"expires_in_seconds\":600}"));
    EXPECT_STR(rec.requests[1].host, HOST);
    EXPECT_STR(rec.requests[1].text,
               "GET / HTTP/1.1\r\nHost: " HOST "\r\n" AGENT_LINE
               "X-Langsmith-Sandbox-Service-Token: token-2\r\n\r\n");
    EXPECT_STR(service.token, "token-2");
    EXPECT_STR(service.service_url, "http://" HOST "/");
    EXPECT_STR(service.expires_at, LATER);
    EXPECT(contains(service.browser_url, "token=token-2"));
    EXPECT(!holds(&response, sizeof response, "token-2"));
    EXPECT(!contains(traced, "token-2"));
    end();
}

static void a_service_is_made_again_at_its_margin(void)
{
    static const struct {
        const char *name;
        uint32_t lifetime_s;
        const char *expires_at;
        int64_t wall;
        bool made;
    } rows[] = {
        { "61 s of 600", 0, "2026-09-21T14:14:21Z", WALL, false },
        { "60 s of 600", 0, "2026-09-21T14:14:20Z", WALL, true },
        { "a fraction more than 60 s", 0, "2026-09-21T14:14:20.999999999Z",
          WALL, true },
        { "with an offset", 0, "2026-09-21T16:14:21+02:00", WALL, false },
        { "without a zone: UTC", 0, "2026-09-21T14:14:21", WALL, false },
        { "21 s of 40", 40, "2026-09-21T14:13:41Z", WALL, false },
        { "20 s of 40", 40, "2026-09-21T14:13:40Z", WALL, true },
        { "1 s of 1", 1, "2026-09-21T14:13:21Z", WALL, false },
        { "over", 0, "2026-09-21T14:13:19Z", WALL, true },
        { "no time", 0, "", WALL, true },
        { "no time that one can read", 0, "tomorrow", WALL, true },
        { "a clock that is not set", 0, LATER, 0, true }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        rec.wall = rows[i].wall != 0 ? rows[i].wall - 1 : -1000;
        where.expires_in_s = rows[i].lifetime_s;
        strcpy(service.expires_at, rows[i].expires_at);
        if (rows[i].made)
            SERVE(R(200, MADE("token-2", "2026-09-21T14:13:21Z")),
                  R(200, "ok"));
        else
            SERVE(R(200, "ok"));
        EXPECT_INT(ask(), LSSB_OK);
        EXPECT_INT(rec.request_count, rows[i].made ? 2 : 1);
        EXPECT_STR(service.token, rows[i].made ? "token-2" : "token-1");
        end();
    }
}

static void a_service_of_no_place_is_made_for_each_request(void)
{
    int i;

    begin();
    SERVE(R(200, MADE("token-2", LATER)), R(200, "ok"),
          R(200, MADE("token-3", LATER)), R(200, "ok"));
    for (i = 0; i < 2; i++)
        EXPECT_INT(finish(lssb_service_request(&box, &where, NULL, &request,
                                               &response, fresh())),
                   LSSB_OK);
    EXPECT(contains(rec.requests[1].text, "Token: token-2\r\n"));
    EXPECT(contains(rec.requests[3].text, "Token: token-3\r\n"));
    end();
}

static void a_service_changes_whole_or_not_at_all(void)
{
    static const struct {
        const char *name;
        int status;
        const char *reply;
        lssb_status outcome;
    } rows[] = {
        { "no token", 200, "{\"browser_url\":\"b\",\"service_url\":\"http://"
          "x/\",\"expires_at\":\"" LATER "\"}", LSSB_E_REFUSED },
        { "no time", 200, "{\"browser_url\":\"b\",\"service_url\":\"http://x/"
          "\",\"token\":\"t\"}", LSSB_E_REFUSED },
        { "no JSON", 200, "<html>", LSSB_E_PROTOCOL },
        { "a URL that is none", 200, "{\"browser_url\":\"b\",\"service_url\":"
          "\"nowhere\",\"token\":\"t\",\"expires_at\":\"" LATER "\"}",
          LSSB_E_PROTOCOL },
        { "a token that is no header", 200, "{\"browser_url\":\"b\","
          "\"service_url\":\"http://x/\",\"token\":\"a\\r\\nb\","
          "\"expires_at\":\"" LATER "\"}", LSSB_E_PROTOCOL },
        { "a time that does not fit", 200, "{\"browser_url\":\"b\","
          "\"service_url\":\"http://x/\",\"token\":\"t\",\"expires_at\":"
          "\"0000000000111111111122222222223333333333\"}", LSSB_E_TOO_LONG },
        { "a login in place", 409, "{\"detail\":\"no\"}", LSSB_E_REFUSED },
        { "no such box", 404, "{\"detail\":\"no\"}", LSSB_E_NOT_FOUND }
    };
    lssb_service before;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        strcpy(service.expires_at, "2026-09-21T14:13:20Z");
        before = service;
        SERVE(R(rows[i].status, rows[i].reply));
        EXPECT_INT(ask(), rows[i].outcome);
        EXPECT(memcmp(&service, &before, sizeof service) == 0);
        EXPECT_INT(response.status, 0);
        EXPECT(!holds(&response.reserved.state.used, sizeof(lssb_service),
                      "http"));
        end();
    }
}

/* A request of which half is sent keeps its token while another one gets a new
 * one for both. */
static void a_request_has_one_token_throughout(void)
{
    static const lssb_request plain;
    static char filler[2500];
    lssb_pair header = { "A", filler };
    lssb_op other = {0};
    lssb_response second;

    begin();
    memset(filler, 'f', sizeof filler - 1);
    request.headers = &header;
    request.header_count = 1;
    SERVE(R(200, MADE("token-2", LATER)), R(200, "one"), R(200, "two"));
    rec.limited = 1;                /* of its head no more than this */
    rec.room = 100;
    EXPECT_INT(lssb_service_request(&box, &where, &service, &request,
                                    &response, fresh()), LSSB_PENDING);
    EXPECT_INT(lssb_wait(client, &op, 0), LSSB_AGAIN);
    while (rec.room > 0)
        EXPECT_INT(lssb_wait(client, &op, 1), LSSB_AGAIN);
    strcpy(service.expires_at, "");
    EXPECT_INT(lssb_service_request(&box, &where, &service, &plain, &second,
                                    &other), LSSB_PENDING);
    EXPECT_INT(lssb_wait(client, &other, LSSB_FOREVER), LSSB_OK);
    EXPECT_STR(service.token, "token-2");
    EXPECT_INT(op.status, LSSB_PENDING);
    rec.limited = 0;
    EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER), LSSB_OK);
    EXPECT(contains(rec.requests[0].text, TOKEN_LINE "\r\n"));
    EXPECT(contains(rec.requests[2].text, "Token: token-2\r\n"));
    end();
}

static void what_cannot_be_is_refused_with_words(void)
{
    static const lssb_source no_reader = { NULL, NULL, 5 };
    static const lssb_pair key = { "X-Any", "key-1" };
    static const lssb_pair framing = { "Content-Length", "5" };
    static const lssb_pair split = { "A", "b\r\nC: d" };
    static const struct {
        const char *name;
        lssb_request request;
        const char *words;
    } rows[] = {
        { "a path with a blank", { .path = "/a b" }, "percent-encoded" },
        { "a path with a line's end", { .path = "/a\r\nB: c" },
          "percent-encoded" },
        { "a path beyond ASCII", { .path = "/\xc3\xa9" }, "percent-encoded" },
        { "a fragment", { .path = "/a#b" }, "percent-encoded" },
        { "an escape that is none", { .path = "/%2" }, "percent-encoded" },
        { "CONNECT", { .method = "CONNECT" }, "method" },
        { "a method of two words", { .method = "GET /x" }, "method" },
        { "no method", { .method = "" }, "method" },
        { "the key", { .headers = &key, .header_count = 1 }, "API key" },
        { "framing", { .headers = &framing, .header_count = 1 },
          "library's own" },
        { "two headers in one", { .headers = &split, .header_count = 1 },
          "header" },
        { "no headers", { .header_count = 1 }, "headers" },
        { "no query", { .query_count = 1 }, "query" },
        { "no body", { .body_len = 1 }, "body" },
        { "two bodies", { .body = "a", .body_len = 1, .source = &no_reader },
          "one body" },
        { "nothing to read with", { .source = &no_reader }, "read_at" },
        { "no place", { .out_size = 1 }, "out" }
    };
    size_t i;

    begin();
    rec_serve(NULL, 0);
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        request = rows[i].request;
        EXPECT_INT(ask(), LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, rows[i].words));
        EXPECT(!contains(failure.message, "token-1"));
    }
    test_row = "a login is asked for";
    memset(&request, 0, sizeof request);
    where.access = LSSB_ACCESS_WORKSPACE;
    EXPECT_INT(ask(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "login"));
    test_row = "a service behind a login";
    where.access = LSSB_ACCESS_TOKEN;
    service.token[0] = '\0';
    EXPECT_INT(ask(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "login"));
    test_row = "no port";
    memset(&service, 0, sizeof service);
    where.port = 0;
    EXPECT_INT(ask(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "port"));
    EXPECT_INT(lssb_service_request(&box, &where, NULL, NULL, &response,
                                    NULL), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_service_request(NULL, &where, NULL, &request, &response,
                                    NULL), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(rec.request_count, 0);
    end();
}

static void a_token_goes_in_clear_text_to_loopback_only(void)
{
    static const struct {
        const char *url;
        bool allowed;
    } rows[] = { { "http://svc.example.com/", false },
                 { "http://127.0.0.1:99/", true },
                 { "http://box.localhost/", true } };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].url;
        configure();
        config.endpoint = "http://127.0.0.1:1";
        config.allow_cleartext = false;
        open_client();
        strcpy(service.service_url, rows[i].url);
        if (rows[i].allowed)
            SERVE(R(200, "ok"));
        else
            rec_serve(NULL, 0);
        EXPECT_INT(ask(), rows[i].allowed ? LSSB_OK : LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(rec.request_count, rows[i].allowed ? 1 : 0);
        if (!rows[i].allowed)
            EXPECT(contains(failure.message, "clear text"));
        end();
    }
}

static void every_status_is_the_callers_to_read(void)
{
    static const int statuses[] = { 200, 201, 204, 206, 301, 304, 400, 401,
                                    403, 404, 407, 409, 416, 429, 500, 502,
                                    503, 504, 599 };
    size_t i;

    for (i = 0; i < COUNT(statuses); i++) {
        begin();
        SERVE(RF(statuses[i], "Content-Length: 0\r\nRetry-After: 1\r\n"
                 "Location: /x\r\n", "", REC_BARE, 0));
        EXPECT_INT(ask(), LSSB_OK);
        EXPECT_INT(response.status, statuses[i]);
        EXPECT_INT(rec.request_count, 1);
        end();
    }
}

/* --------------------------------------------------------------- replies -- */

static struct {
    char text[4096];
    unsigned held;                  /* so often is the body put off */
    lssb_status status_says, header_says, body_says;
} heard;

static void hear(const char *text, size_t len)
{
    size_t at = strlen(heard.text);

    if (at + len < sizeof heard.text) {
        memcpy(heard.text + at, text, len);
        heard.text[at + len] = '\0';
    }
}

static lssb_status on_status(void *user, int32_t status)
{
    char line[32];

    (void)user;
    snprintf(line, sizeof line, "[%d]", (int)status);
    hear(line, strlen(line));
    return heard.status_says;
}

static lssb_status on_header(void *user, const char *name, const char *value)
{
    (void)user;
    hear(name, strlen(name));
    hear("=", 1);
    hear(value, strlen(value));
    hear(";", 1);
    return heard.header_says;
}

static lssb_status on_body(void *user, const void *bytes, size_t len)
{
    (void)user;
    if (heard.held > 0) {
        heard.held--;
        return LSSB_AGAIN;
    }
    hear(bytes, len);
    return heard.body_says;
}

/* A request that hears all of the reply. */
static void listen(void)
{
    memset(&heard, 0, sizeof heard);
    request.on_status = on_status;
    request.on_header = on_header;
    request.on_body = on_body;
}

static void a_reply_is_told_in_its_order(void)
{
    static const struct {
        const char *name;
        struct rec_reply reply;
        const char *told;
    } rows[] = {
        { "with a length", RH(404, "A: b\r\nContent-Type: text/x\r\n",
                              "hello"),
          "[404]A=b;Content-Type=text/x;Content-Length=5;hello" },
        { "in chunks", RF(200, "A: b\r\n", "hello, world", REC_CHUNKED, 0),
          "[200]A=b;Transfer-Encoding=chunked;hello, world" },
        { "to the end", RF(200, "", "hello", REC_CLOSE, 0), "[200]hello" },
        { "compressed: as it is", RH(200, "Content-Encoding: gzip\r\n",
                                     "\x1f\x8b"),
          "[200]Content-Encoding=gzip;Content-Length=2;\x1f\x8b" },
        { "no body", RF(204, "", "", REC_BARE, 0), "[204]" },
        { "behind a 100", RF(100, "\r\nHTTP/1.1 200 OK\r\n"
                             "Content-Length: 2\r\n", "ok", REC_BARE, 0),
          "[200]Content-Length=2;ok" }
    };
    size_t i, piece;
    unsigned held;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = 0; piece < 3; piece++)
            for (held = 0; held < 3; held++) {
                test_row = rows[i].name;
                begin();
                listen();
                heard.held = held;
                rec.piece = piece;
                rec_serve(&rows[i].reply, 1);
                EXPECT_INT(ask(), LSSB_OK);
                EXPECT_STR(heard.text, rows[i].told);
                end();
            }
}

static void a_callback_can_stop_it(void)
{
    int i;

    for (i = 0; i < 3; i++) {
        begin();
        listen();
        *(i == 0 ? &heard.status_says
                 : i == 1 ? &heard.header_says : &heard.body_says) =
            LSSB_E_STOPPED;
        SERVE(R(200, "hello"));
        EXPECT_INT(ask(), LSSB_E_STOPPED);
        end();
    }
}

static void a_body_is_kept_as_far_as_it_fits(void)
{
    static const struct {
        size_t size;
        const char *kept;
        bool cut;
    } rows[] = { { 0, NULL, false }, { 1, "", true }, { 5, "hell", true },
                 { 6, "hello", false }, { 20, "hello", false } };
    size_t i, piece;
    char out[21];

    for (i = 0; i < COUNT(rows); i++)
        for (piece = 0; piece < 2; piece++) {
            begin();
            memset(out, '!', sizeof out);
            rec.piece = piece;
            request.out = rows[i].size > 0 ? out : NULL;
            request.out_size = rows[i].size;
            SERVE(RH(200, "Content-Type: text/html\r\n", "hello"));
            EXPECT_INT(ask(), LSSB_OK);
            EXPECT_INT(response.len, 5);
            EXPECT_INT(response.cut, rows[i].cut);
            EXPECT_STR(response.content_type, "text/html");
            if (rows[i].kept != NULL)
                EXPECT_STR(out, rows[i].kept);
            EXPECT_INT(out[rows[i].size], '!');
            end();
        }
}

/* ---------------------------------------------------------------- bodies -- */

static struct {
    size_t size, most, asked;
    uint64_t next;                  /* the byte that is to be asked for */
    bool in_order;
    ptrdiff_t says;                 /* not 0: at the end instead */
} source;

static ptrdiff_t read_at(void *ctx, uint64_t offset, void *bytes, size_t len)
{
    size_t i;

    (void)ctx;
    source.in_order = source.in_order && offset == source.next;
    source.asked++;
    if (offset >= source.size)
        return source.says;
    if (len > source.most)
        len = source.most;
    if (len > source.size - offset)
        len = source.size - (size_t)offset;
    for (i = 0; i < len; i++)
        ((char *)bytes)[i] = (char)('a' + (offset + i) % 26);
    source.next = offset + len;
    return (ptrdiff_t)len;
}

static void source_is(size_t size, size_t most)
{
    memset(&source, 0, sizeof source);
    source.size = size;
    source.most = most;
    source.in_order = true;
}

/* Undoes the chunks of a body in place; false when they are none. */
static bool unchunk(char *body, size_t *len)
{
    char *at = body, *to = body, *rest;
    unsigned long size;

    for (;;) {
        size = strtoul(at, &rest, 16);
        if (rest == at || memcmp(rest, "\r\n", 2) != 0)
            return false;
        at = rest + 2;
        if (size == 0)
            break;
        memmove(to, at, size);
        to += size;
        at += size;
        if (memcmp(at, "\r\n", 2) != 0)
            return false;
        at += 2;
    }
    *len = (size_t)(to - body);
    return strcmp(at, "\r\n") == 0;
}

static void a_source_is_sent_whole(void)
{
    static const size_t sizes[] = { 0, 1, 56, 57, 1000, 1117, 2500 };
    static const size_t mosts[] = { 1, 7, 100000 };
    lssb_source from = { read_at, NULL, 0 };
    size_t i, j, known, len;
    char *body, *head_end;

    for (i = 0; i < COUNT(sizes); i++)
        for (j = 0; j < COUNT(mosts); j++)
            for (known = 0; known < 2; known++) {
                if (!known && sizes[i] * 9 / mosts[j] > REC_TEXT / 2)
                    continue;       /* more frames than room */
                begin();
                source_is(sizes[i], mosts[j]);
                from.size = known ? sizes[i] : LSSB_SIZE_UNKNOWN;
                request.source = &from;
                request.method = "PUT";
                SERVE(RF(201, "Content-Length: 0\r\n", "", REC_BARE, 0));
                EXPECT_INT(ask(), LSSB_OK);
                body = strstr(rec.requests[0].text, "\r\n\r\n") + 4;
                head_end = strstr(rec.requests[0].text, "Transfer-Encoding: "
                                                        "chunked\r\n\r\n");
                len = rec.requests[0].len -
                      (size_t)(body - rec.requests[0].text);
                EXPECT_INT(head_end != NULL, !known);
                if (!known)
                    EXPECT(unchunk(body, &len));
                EXPECT_INT(len, sizes[i]);
                EXPECT(source.in_order);
                if (len > 27)
                    EXPECT(memcmp(body + 20, "uvwxyz", 6) == 0);
                end();
            }
}

static void a_source_that_fails_stops_the_request(void)
{
    static const struct {
        uint64_t size;
        ptrdiff_t says;
    } rows[] = { { 200, 0 }, { 200, -1 }, { LSSB_SIZE_UNKNOWN, -1 } };
    lssb_source from = { read_at, NULL, 0 };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        begin();
        source_is(100, 50);
        source.says = rows[i].says;
        from.size = rows[i].size;
        request.source = &from;
        rec_serve(NULL, 0);
        EXPECT_INT(ask(), LSSB_E_STOPPED);
        EXPECT(contains(failure.message, "source"));
        end();
    }
}

/* ---------------------------------------------------------------- losses -- */

static void only_what_is_safe_is_asked_again(void)
{
    static const struct {
        const char *name, *method;
        bool kept;                  /* on a connection from before */
        struct rec_reply reply;
        bool again;
        lssb_status outcome;
    } rows[] = {
        { "GET, kept", "GET", true, LOST, true, LSSB_OK },
        { "PUT, kept", "PUT", true, LOST, true, LSSB_OK },
        { "DELETE, kept", "DELETE", true, LOST, true, LSSB_OK },
        { "POST, kept", "POST", true, LOST, false, LSSB_E_CONNECTION },
        { "PATCH, kept", "PATCH", true, LOST, false, LSSB_E_CONNECTION },
        { "a method of one's own, kept", "MOVE", true, LOST, false,
          LSSB_E_CONNECTION },
        { "GET, new", "GET", false, LOST, false, LSSB_E_CONNECTION },
        { "GET, refused", "GET", false, REFUSED, false, LSSB_E_CONNECTION },
        { "GET, kept, cut in its reply", "GET", true,
          RF(200, "", "hello", REC_CUT, 2), false, LSSB_E_CONNECTION },
        { "GET, kept, no HTTP", "GET", true,
          RF(200, "Content-Length: x\r\n", "", REC_BARE, 0), false,
          LSSB_E_PROTOCOL }
    };
    struct rec_reply replies[3];
    size_t i, count;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        count = 0;
        if (rows[i].kept)
            replies[count++] = (struct rec_reply)R(200, "before");
        replies[count++] = rows[i].reply;
        if (rows[i].again)
            replies[count++] = (struct rec_reply)R(200, "after");
        rec_serve(replies, count);
        if (rows[i].kept)
            EXPECT_INT(ask(), LSSB_OK);
        request.method = rows[i].method;
        EXPECT_INT(ask(), rows[i].outcome);
        end();
    }
}

static void a_post_wants_a_connection_that_was_used_just_now(void)
{
    begin();
    SERVE(R(200, "a"), R(200, "b"), R(200, "c"));
    EXPECT_INT(ask(), LSSB_OK);
    rec.now += 1500;
    EXPECT_INT(ask(), LSSB_OK);
    EXPECT_INT(rec.conns_made, 1);
    rec.now += 1500;
    request.method = "POST";
    EXPECT_INT(ask(), LSSB_OK);
    EXPECT_INT(rec.conns_made, 2);
    end();
}

static void a_request_that_is_quiet_ends(void)
{
    static const struct {
        const char *name;
        uint32_t quiet_ms, deadline_ms;
        uint64_t ms;
    } rows[] = { { "by default", 0, 0, 60000 }, { "as said", 500, 0, 500 },
                 { "the whole", 500, 5000, 5000 },
                 { "the whole, without a limit", LSSB_FOREVER, 7000, 7000 } };
    uint64_t from;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        SERVE({ 0, "", "", REC_SILENT, 0 });
        request.quiet_ms = rows[i].quiet_ms;
        fresh()->deadline_ms = rows[i].deadline_ms;
        from = rec.now;
        EXPECT_INT(finish(lssb_service_request(&box, &where, &service,
                                               &request, &response, &op)),
                   LSSB_E_DEADLINE);
        EXPECT_INT(rec.now - from, rows[i].ms);
        EXPECT_INT(failure.attempts, 1);
        end();
    }
}

static void a_proxy_that_wants_a_password_is_no_service(void)
{
    configure();
    config.proxy = "http://proxy.example.com:3128";
    open_client();
    SERVE(R(407, "who are you?"));
    EXPECT_INT(ask(), LSSB_E_PROXY);
    EXPECT(contains(rec.requests[0].text, "GET http://" HOST "/ HTTP/1.1"));
    end();
}

/* ----------------------------------------------------------------- links -- */

#define LINK "http://550e--dl.svc.example.com/eyJ.tok_en"

static lssb_download download;
static lssb_file file;

static lssb_status fetch(void)
{
    return finish(lssb_link_download(client, LINK, &download, &file,
                                     fresh()));
}

static void begin_link(void)
{
    static const lssb_pair all = { "X-Of-Client", "c" };

    configure();
    config.headers = &all;
    config.header_count = 1;
    config.tenant_id = "tenant-1";
    open_client();
    memset(&heard, 0, sizeof heard);
    memset(&download, 0, sizeof download);
    download.take = on_body;
}

static void a_link_is_fetched_without_credentials(void)
{
    static const char head[] = "Host: 550e--dl.svc.example.com\r\n"
                               AGENT_LINE;
    static const lssb_pair mine = { "X-Mine", "m" };
    char expected[REC_TEXT];

    begin_link();
    SERVE(RH(200, "ETag: \"1\"\r\nContent-Type: text/x\r\n", "hello"));
    EXPECT_INT(fetch(), LSSB_OK);
    snprintf(expected, sizeof expected, "GET /eyJ.tok_en HTTP/1.1\r\n%s"
             "Accept-Encoding: identity\r\n\r\n", head);
    EXPECT_STR(rec.requests[0].text, expected);
    EXPECT_STR(heard.text, "hello");
    EXPECT_INT(file.size, 5);
    EXPECT_STR(file.etag, "\"1\"");
    EXPECT_STR(file.content_type, "text/x");
    EXPECT(!contains(traced, "tok_en"));
    EXPECT(contains(traced, "GET /..."));
    SERVE(RF(200, "Content-Length: 70\r\nLast-Modified: Mon, 21 Sep 2026 "
             "14:13:20 GMT\r\n", "", REC_BARE, 0));
    fresh()->headers = &mine;
    op.header_count = 1;
    EXPECT_INT(finish(lssb_link_stat(client, LINK "/?a=b#c", &file, &op)),
               LSSB_OK);
    snprintf(expected, sizeof expected, "HEAD /eyJ.tok_en/?a=b HTTP/1.1\r\n"
             "%sX-Mine: m\r\nAccept-Encoding: identity\r\n\r\n", head);
    EXPECT_STR(rec.requests[0].text, expected);
    EXPECT_INT(file.size, 70);
    EXPECT_STR(file.last_modified, "Mon, 21 Sep 2026 14:13:20 GMT");
    end();
}

static void a_part_of_a_link_is_asked_for_and_told(void)
{
    begin_link();
    download.range.start = 2;
    download.range.length = 3;
    download.range.if_range = "\"1\"";
    SERVE(RH(206, "ETag: \"1\"\r\nContent-Range: bytes 2-4/9\r\n", "llo"));
    EXPECT_INT(fetch(), LSSB_OK);
    EXPECT(contains(rec.requests[0].text, "Range: bytes=2-4\r\n"
                                          "If-Range: \"1\"\r\n"));
    EXPECT_INT(file.size, 9);
    EXPECT(file.partial);
    SERVE(RH(416, "Content-Range: bytes */2\r\n", "no"));
    EXPECT_INT(fetch(), LSSB_E_OPERATION);
    EXPECT_INT(failure.http_status, 416);
    EXPECT(!contains(failure.message, "tok_en"));
    end();
}

#define CHANGED "Mon, 21 Sep 2026 14:13:20 GMT"
#define CHANGED_SINCE "Mon, 21 Sep 2026 14:13:21 GMT"

static void a_link_is_gone_on_with_if_the_file_is_the_same(void)
{
    static const struct {
        const char *name, *headers, *condition;
        struct rec_reply rest;
        lssb_status outcome;
    } rows[] = {
        { "by its ETag", "ETag: \"1\"\r\nLast-Modified: " CHANGED "\r\n",
          "Range: bytes=2-\r\nIf-Range: \"1\"\r\n",
          RH(206, "ETag: \"1\"\r\nContent-Range: bytes 2-4/5\r\n", "llo"),
          LSSB_OK },
        { "by its time", "Last-Modified: " CHANGED "\r\n",
          "Range: bytes=2-\r\nIf-Range: " CHANGED "\r\n",
          RH(206, "Last-Modified: " CHANGED "\r\nContent-Range: bytes 2-4/5"
             "\r\n", "llo"), LSSB_OK },
        { "it has changed: the whole comes", "ETag: \"1\"\r\n",
          "If-Range: \"1\"\r\n", R(200, "other"), LSSB_E_CONNECTION },
        { "a part of another", "ETag: \"1\"\r\n", "If-Range: \"1\"\r\n",
          RH(206, "ETag: \"2\"\r\nContent-Range: bytes 2-4/5\r\n", "xyz"),
          LSSB_E_CONNECTION },
        { "a part of one that has changed since", "Last-Modified: " CHANGED
          "\r\n", "If-Range: " CHANGED "\r\n",
          RH(206, "Last-Modified: " CHANGED_SINCE "\r\nContent-Range: bytes "
             "2-4/5\r\n", "xyz"), LSSB_E_CONNECTION },
        { "another part", "ETag: \"1\"\r\n", "If-Range: \"1\"\r\n",
          RH(206, "ETag: \"1\"\r\nContent-Range: bytes 1-4/5\r\n", "ello"),
          LSSB_E_CONNECTION },
        { "a weak ETag says too little", "ETag: W/\"1\"\r\nLast-Modified: "
          CHANGED "\r\n", NULL, { 0, NULL, NULL, REC_LENGTH, 0 },
          LSSB_E_CONNECTION },
        { "nothing to go by", "", NULL, { 0, NULL, NULL, REC_LENGTH, 0 },
          LSSB_E_CONNECTION }
    };
    struct rec_reply replies[2];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin_link();
        replies[0] = (struct rec_reply)RF(200, rows[i].headers, "hello",
                                          REC_CUT, 2);
        replies[1] = rows[i].rest;
        rec_serve(replies, rows[i].condition != NULL ? 2 : 1);
        EXPECT_INT(fetch(), rows[i].outcome);
        if (rows[i].condition != NULL)
            EXPECT(contains(rec.requests[1].text, rows[i].condition));
        EXPECT_STR(heard.text, rows[i].outcome == LSSB_OK ? "hello" : "he");
        EXPECT(!contains(failure.message, "tok_en"));
        end();
    }
}

static void what_becomes_of_a_link_is_said_without_it(void)
{
    static const struct {
        int status;
        lssb_status outcome;
    } rows[] = { { 403, LSSB_E_AUTH }, { 401, LSSB_E_AUTH },
                 { 404, LSSB_E_NOT_FOUND }, { 405, LSSB_E_REFUSED },
                 { 418, LSSB_E_REFUSED } };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        begin_link();
        SERVE(R(rows[i].status, "<html>"), R(rows[i].status, ""));
        EXPECT_INT(fetch(), rows[i].outcome);
        EXPECT_INT(failure.http_status, rows[i].status);
        EXPECT(failure.message[0] != '\0');
        EXPECT(!contains(failure.message, "tok_en"));
        EXPECT_INT(finish(lssb_link_stat(client, LINK, &file, fresh())),
                   rows[i].outcome);
        EXPECT(!contains(failure.message, "tok_en"));
        end();
    }
}

static void a_link_that_is_none_is_refused_with_words(void)
{
    static const lssb_pair key = { "X-Api-Key", "key-1" };

    begin_link();
    rec_serve(NULL, 0);
    EXPECT_INT(lssb_link_stat(client, NULL, &file, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_link_stat(client, "", &file, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_link_stat(client, "tok_en", &file, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(!contains(failure.message, "tok_en"));
    EXPECT_INT(lssb_link_stat(client, LINK, NULL, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_link_stat(NULL, LINK, &file, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_link_download(client, LINK, NULL, &file, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    fresh()->headers = &key;
    op.header_count = 1;
    EXPECT_INT(lssb_link_stat(client, LINK, &file, &op),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "key"));
    end();
}

int main(void)
{
    static const struct test tests[] = {
        TEST(a_request_is_these_bytes_and_no_others),
        TEST(the_service_gets_nothing_of_the_clients),
        TEST(a_service_is_made_again_at_its_margin),
        TEST(a_service_of_no_place_is_made_for_each_request),
        TEST(a_service_changes_whole_or_not_at_all),
        TEST(a_request_has_one_token_throughout),
        TEST(what_cannot_be_is_refused_with_words),
        TEST(a_token_goes_in_clear_text_to_loopback_only),
        TEST(every_status_is_the_callers_to_read),
        TEST(a_reply_is_told_in_its_order),
        TEST(a_callback_can_stop_it),
        TEST(a_body_is_kept_as_far_as_it_fits),
        TEST(a_source_is_sent_whole),
        TEST(a_source_that_fails_stops_the_request),
        TEST(only_what_is_safe_is_asked_again),
        TEST(a_post_wants_a_connection_that_was_used_just_now),
        TEST(a_request_that_is_quiet_ends),
        TEST(a_proxy_that_wants_a_password_is_no_service),
        TEST(a_link_is_fetched_without_credentials),
        TEST(a_part_of_a_link_is_asked_for_and_told),
        TEST(a_link_is_gone_on_with_if_the_file_is_the_same),
        TEST(what_becomes_of_a_link_is_said_without_it),
        TEST(a_link_that_is_none_is_refused_with_words)
    };

    return TEST_MAIN(tests);
}
