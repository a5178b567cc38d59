/* service.c: requests and WebSockets to services, and links fetched, byte by
 * byte.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, its sections
 * 1.4, 4.6 and 7, from RFC 9112 and RFC 6455, and from the header's promises.
 */
#include "../src/config.h"
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
        { "all that needs no escape", NULL, "/azAZ09-._~!$&'()*+,;=:@[]?/%aF%F0",
          NULL, NULL, 0, NULL, 0, NULL,
          "GET /azAZ09-._~!$&'()*+,;=:@[]?/%aF%F0", AGENT_LINE TOKEN_LINE },
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
          "GET /", "user-agent: mine/1\r\nA: 2\r\n" TOKEN_LINE }
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

#define SECRET_TIME "0000000000111111111122222222223333333333"
#define SECRET(members) \
    RH(200, "Connection: close\r\n", "{\"token\":\"secret-1\"," members "}")

/* Neither the caller's struct nor the client's memory has it any more. */
static void what_is_no_link_is_forgotten_with_its_token(void)
{
    static const struct {
        const char *name;
        lssb_access access;
        struct rec_reply reply;
        lssb_status outcome;
        bool to_a_file;
    } rows[] = {
        { "a service", LSSB_ACCESS_TOKEN,
          SECRET("\"browser_url\":\"b\",\"service_url\":\"s\","
                 "\"expires_at\":\"e\""), LSSB_OK, false },
        { "a time that does not fit", LSSB_ACCESS_TOKEN,
          SECRET("\"browser_url\":\"b\",\"service_url\":\"s\","
                 "\"expires_at\":\"" SECRET_TIME "\""), LSSB_E_TOO_LONG,
          false },
        { "no service_url", LSSB_ACCESS_TOKEN, SECRET("\"browser_url\":"
          "\"b\",\"expires_at\":\"e\""), LSSB_E_REFUSED, false },
        { "an open link", LSSB_ACCESS_RESTRICTED, SECRET("\"browser_url\":"
          "\"b\",\"service_url\":\"s\""), LSSB_E_REFUSED, false },
        { "a file", LSSB_ACCESS_TOKEN, SECRET("\"download_url\":\"d\""),
          LSSB_OK, true },
        { "a file's time that does not fit", LSSB_ACCESS_TOKEN,
          SECRET("\"download_url\":\"d\",\"expires_at\":\"" SECRET_TIME
                 "\""), LSSB_E_TOO_LONG, true },
        { "no download_url", LSSB_ACCESS_TOKEN, SECRET("\"expires_at\":"
          "\"e\""), LSSB_E_REFUSED, true }
    };
    lssb_link_options file = {0};
    lssb_link link;
    size_t i;

    file.path = "/f";
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin();
        where.access = rows[i].access;
        rec_serve(&rows[i].reply, 1);
        memset(&link, 0, sizeof link);
        EXPECT_INT(finish(rows[i].to_a_file
                              ? lssb_download_url(&box, &file, &link, fresh())
                              : lssb_service_url(&box, &where, &service,
                                                 fresh())), rows[i].outcome);
        if (rows[i].outcome != LSSB_OK) {
            EXPECT(!holds(&link, sizeof link, "secret-1"));
            EXPECT(!holds(&service, sizeof service, "secret-1"));
        }
        EXPECT(!holds(&memory, sizeof memory, "secret-1"));
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
    static const lssb_pair bearer = { "Authorization", "Bearer key-1;x" };
    static const lssb_pair other = { "x-API-key", "another" };
    static const lssb_pair framing = { "Content-Length", "5" };
    static const lssb_pair split = { "A", "b\r\nC: d" };
    static const lssb_pair no_name = { NULL, "b" }, no_value = { "a", NULL };
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
        { "an escape of one digit", { .path = "/%2g" }, "percent-encoded" },
        { "an escape of no digit", { .path = "/%g2" }, "percent-encoded" },
        { "a quote", { .path = "/\"" }, "percent-encoded" },
        { "a bracket", { .path = "/<" }, "percent-encoded" },
        { "a backslash", { .path = "/\\" }, "percent-encoded" },
        { "a caret", { .path = "/^" }, "percent-encoded" },
        { "a back quote", { .path = "/`" }, "percent-encoded" },
        { "a brace", { .path = "/{" }, "percent-encoded" },
        { "a bar", { .path = "/|" }, "percent-encoded" },
        { "a control character", { .path = "/\x7f" }, "percent-encoded" },
        { "a query without a name", { .query = &no_name, .query_count = 1 },
          "query" },
        { "a query without a value", { .query = &no_value, .query_count = 1 },
          "query" },
        { "CONNECT", { .method = "CONNECT" }, "method" },
        { "a method of two words", { .method = "GET /x" }, "method" },
        { "no method", { .method = "" }, "method" },
        { "the key", { .headers = &key, .header_count = 1 }, "API key" },
        { "the key among other things", { .headers = &bearer,
          .header_count = 1 }, "API key" },
        { "another key", { .headers = &other, .header_count = 1 },
          "X-Api-Key" },
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
        memset(&response, 0x5A, sizeof response);
        EXPECT_INT(ask(), LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(response.status, 0);
        EXPECT(contains(failure.message, rows[i].words));
        EXPECT(!contains(failure.message, "token-1"));
        EXPECT(!contains(failure.message, "key-1"));
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
    EXPECT_INT(lssb_service_request(&box, &where, NULL, &request, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_service_request(&box, NULL, NULL, &request, &response,
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
        config.api_key = NULL;      /* the token is enough of a secret */
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

static void the_structs_have_room_for_what_is_the_librarys(void)
{
    EXPECT(sizeof(struct lssb_response_state) <=
           sizeof response.reserved.size);
    EXPECT(sizeof(struct lssb_websocket_state) <=
           sizeof((lssb_websocket *)0)->reserved.size);
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
                request.method = known ? "PUT" : NULL;
                SERVE(RF(201, "Content-Length: 0\r\n", "", REC_BARE, 0));
                EXPECT_INT(ask(), LSSB_OK);
                EXPECT(memcmp(rec.requests[0].text, known ? "PUT " : "POST ",
                              4) == 0);
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
    } rows[] = { { 200, 0 },
                 { 200, -1 },
                 { 200, 100000 },
                 { LSSB_SIZE_UNKNOWN, -1 },
                 { LSSB_SIZE_UNKNOWN, 100000 } };
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

/* One of a known size may be read again, chunks may not. */
static void a_source_in_chunks_is_read_once(void)
{
    lssb_source from = { read_at, NULL, 0 };
    int known;

    for (known = 0; known < 2; known++) {
        begin();
        if (known)
            SERVE(R(200, "before"), LOST, R(200, "after"));
        else
            SERVE(R(200, "before"), LOST);
        EXPECT_INT(ask(), LSSB_OK);
        source_is(100, 100);
        from.size = known ? 100 : LSSB_SIZE_UNKNOWN;
        request.source = &from;
        request.method = "PUT";
        EXPECT_INT(ask(), known ? LSSB_OK : LSSB_E_CONNECTION);
        EXPECT_INT(source.in_order, !known);
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
#define DATED_LATER "Date: Mon, 21 Sep 2026 14:14:20 GMT\r\n"
#define DATED_SOON "Date: Mon, 21 Sep 2026 14:14:19 GMT\r\n"

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
        { "by its time", DATED_LATER "Last-Modified: " CHANGED "\r\n",
          "Range: bytes=2-\r\nIf-Range: " CHANGED "\r\n",
          RH(206, "Last-Modified: " CHANGED "\r\nContent-Range: bytes 2-4/5"
             "\r\n", "llo"), LSSB_OK },
        { "by its time, told first", "Last-Modified: " CHANGED "\r\n"
          DATED_LATER,
          "Range: bytes=2-\r\nIf-Range: " CHANGED "\r\n",
          RH(206, "Last-Modified: " CHANGED "\r\nContent-Range: bytes 2-4/*"
             "\r\n", "llo"), LSSB_OK },
        { "a time within a minute says too little", "Last-Modified: " CHANGED
          "\r\n" DATED_SOON, NULL, { 0, NULL, NULL, REC_LENGTH, 0 },
          LSSB_E_CONNECTION },
        { "a time without that of the reply, too", "Last-Modified: " CHANGED
          "\r\n", NULL, { 0, NULL, NULL, REC_LENGTH, 0 },
          LSSB_E_CONNECTION },
        { "a part of one of another size", "ETag: \"1\"\r\n",
          "If-Range: \"1\"\r\n",
          RH(206, "ETag: \"1\"\r\nContent-Range: bytes 2-4/6\r\n", "llo"),
          LSSB_E_CONNECTION },
        { "it has changed: the whole comes", "ETag: \"1\"\r\n",
          "If-Range: \"1\"\r\n", R(200, "other"), LSSB_E_CONNECTION },
        { "a part of another", "ETag: \"1\"\r\n", "If-Range: \"1\"\r\n",
          RH(206, "ETag: \"2\"\r\nContent-Range: bytes 2-4/5\r\n", "xyz"),
          LSSB_E_CONNECTION },
        { "a part of one that has changed since", DATED_LATER "Last-Modified: "
          CHANGED "\r\n", "If-Range: " CHANGED "\r\n",
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
    static const lssb_pair keys[] = { { "X-Any", "key-1" },
                                      { "Authorization", "Bearer key-1" },
                                      { "x-api-key", "another" } };
    size_t i;

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
    for (i = 0; i < COUNT(keys); i++) {
        fresh()->headers = &keys[i];
        op.header_count = 1;
        EXPECT_INT(lssb_link_stat(client, LINK, &file, &op),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT(contains(failure.message, "API key"));
    }
    end();
}

/* Whether what was refused is said of the call that was made. */
static bool is_said_of(const char *call)
{
    return strncmp(failure.message, call, strlen(call)) == 0;
}

static void each_call_about_a_link_is_told_by_its_own_name(void)
{
    static const char *const calls[] = { "download link: ", "download file: " };
    static const char mine[] = "Content-Range: bytes 1-4/5\r\n";
    size_t i;

    begin_link();
    rec_serve(NULL, 0);
    EXPECT_INT(lssb_service_url(&box, NULL, &service, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(is_said_of("create service URL: "));
    where.port = 0;
    EXPECT_INT(lssb_service_url(&box, &where, &service, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(is_said_of("create service URL: "));
    EXPECT_INT(lssb_download_url(&box, NULL, NULL, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT(is_said_of("create download link: "));
    strcpy(box.dataplane_url, "http://d.example.com");
    download.range.start = 2;
    for (i = 0; i < COUNT(calls); i++) {
        test_row = calls[i];
        SERVE(RH(206, mine, "ello"));   /* another part */
        EXPECT_INT(i == 0 ? fetch()
                          : finish(lssb_file_download(&box, "/a", &download,
                                                      &file, fresh())),
                   LSSB_E_CONNECTION);
        EXPECT(is_said_of(calls[i]));
    }
    end();
}

/* ----------------------------------------------------------- credentials -- */

#define API_KEY "lsv2_pt_0123456789"
#define BEARER "bearer-0123456789"
#define COOKIE "cookie-0123456789"
#define ALL_OF_THEM "a " API_KEY " b " BEARER " c " COOKIE " d " API_KEY
#define HIDDEN "a *** b *** c *** d ***"

/* A client with credentials of each kind. */
static void begin_with_credentials(void)
{
    static const lssb_pair mine = { "authorization", "Bearer " BEARER };

    configure();
    config.api_key = API_KEY;
    config.headers = &mine;
    config.header_count = 1;
    open_client();
}

/* Whether anything that was told holds one of them, or most of one. */
static bool tells_credentials(void)
{
    static const char *const parts[] = { "lsv2_pt_0123", "bearer-01234",
                                         "cookie-01234" };
    bool told = false;
    size_t i;

    for (i = 0; i < COUNT(parts); i++)
        told = told || contains(traced, parts[i]) ||
               holds(&failure, sizeof failure, parts[i]);
    return told;
}

static void credentials_that_a_server_sends_back_are_not_told(void)
{
    static const lssb_pair cookie = { "Cookie", COOKIE };
    static const char words[] =
        "{\"detail\":{\"error\":\"E " API_KEY "\",\"message\":\""
        ALL_OF_THEM "\",\"error_id\":\"" API_KEY "\"}}";
    static const char problems[] =
        "{\"detail\":[{\"loc\":[\"body\",\"" API_KEY "\"],\"msg\":\""
        ALL_OF_THEM "\",\"type\":\"" BEARER "\"}]}";

    begin_with_credentials();
    SERVE(R(503, words), R(422, problems));
    fresh()->headers = &cookie;
    op.header_count = 1;
    EXPECT_INT(finish(lssb_sandbox_get(client, "box-1", &box, &op)),
               LSSB_E_VALIDATION);
    EXPECT(contains(traced, HIDDEN));
    EXPECT(contains(failure.message, HIDDEN));
    EXPECT_STR(failure.field, "***");
    EXPECT_STR(failure.problems[0].where, "body.***");
    EXPECT_STR(failure.problems[0].type, "***");
    EXPECT(!tells_credentials());
    SERVE(R(422, words));
    fresh()->headers = &cookie;
    op.header_count = 1;
    EXPECT_INT(finish(lssb_sandbox_get(client, "box-1", &box, &op)),
               LSSB_E_VALIDATION);
    EXPECT_STR(failure.type, "E ***");
    EXPECT_STR(failure.error_id, "***");
    EXPECT(!tells_credentials());
    end();
}

/* Wherever a message is cut, what is left of a key is of no use. */
static void a_key_at_the_end_of_a_message_is_not_told(void)
{
    char body[LSSB_MESSAGE_SIZE + 128];
    size_t fill;

    for (fill = LSSB_MESSAGE_SIZE - 40; fill < LSSB_MESSAGE_SIZE; fill++) {
        begin_with_credentials();
        snprintf(body, sizeof body, "{\"detail\":\"%0*d%s\"}", (int)fill, 0,
                 API_KEY);
        SERVE(R(400, body));
        EXPECT(finish(lssb_sandbox_get(client, "box-1", &box, fresh())) < 0);
        EXPECT(strlen(failure.message) >= fill);
        EXPECT(!tells_credentials());
        end();
    }
}

static void a_link_that_a_server_sends_back_is_not_told(void)
{
    begin_link();
    SERVE(R(403, "{\"detail\":\"/eyJ.tok_en is not eyJ.tok_en\"}"));
    EXPECT_INT(fetch(), LSSB_E_AUTH);
    EXPECT(contains(failure.message, "/*** is not ***"));
    end();
}

static void what_a_link_asks_for_is_not_told(void)
{
    begin_link();
    SERVE(R(403, "{\"detail\":\"token=to_ken_1, to_ken_1, other, fi\"}"));
    EXPECT_INT(finish(lssb_link_download(
                   client, "http://550e--dl.svc.example.com/file?token="
                   "to_ken_1&x=other", &download, &file, fresh())),
               LSSB_E_AUTH);
    EXPECT(contains(failure.message, "token=***, ***, other, fi"));
    end();
}

static void parts_of_credentials_are_not_told(void)
{
    static const lssb_pair mine[] = {
        { "Cookie", "session=SESSION01; name_is_long=THE_OTHER;empty=" },
        { "Authorization", "Basic dXNlcjpwYXNzd29yZA==" }
    };

    configure();
    config.proxy = "http://somebody:pass_word@proxy.test:1";
    open_client();
    SERVE(R(400, "{\"detail\":\"bad SESSION01 THE_OTHER name_is_long "
            "dXNlcjpwYXNzd29yZA Basic pass_word session\"}"));
    fresh()->headers = mine;
    op.header_count = COUNT(mine);
    EXPECT(finish(lssb_sandbox_get(client, "box-1", &box, &op)) < 0);
    EXPECT(contains(failure.message,
                    "bad *** *** name_is_long *** Basic *** session"));
    end();
}

/* A refusal that turns out to be what was asked for is an error's text all the
 * same. */
static void what_a_success_leaves_behind_is_clean_too(void)
{
    begin_with_credentials();
    SERVE(R(503, "{}"), R(404, "{\"detail\":\"no box for " API_KEY
                               "\\u001b[31m\"}"));
    EXPECT_INT(finish(lssb_sandbox_delete(&box, fresh())), LSSB_OK);
    EXPECT(!contains(lssb_error_text(client), API_KEY));
    EXPECT(strchr(lssb_error_text(client), 27) == NULL);
    end();
}

/* ------------------------------------------------------------ WebSockets -- */

static lssb_websocket_options how;
static lssb_websocket sock;
static lssb_piece piece;

static void begin_socket(void)
{
    begin();
    memset(&how, 0, sizeof how);
    memset(&sock, 0, sizeof sock);
}

static lssb_status open_socket(void)
{
    return finish(lssb_websocket_open(&sock, &box, &where, &service, &how,
                                      fresh()));
}

#if LSSB_WEBSOCKET
#define KEY "q6urq6urq6urq6urq6urqw=="
#define ACCEPT "Connection: Upgrade\r\nUpgrade: websocket\r\n" \
               "Sec-WebSocket-Accept: 5jSu99N61NkfGRivKp2L1TNc+X8=\r\n"
#define UPGRADED(headers, frames) \
    RF(101, ACCEPT headers, frames, REC_UPGRADE, 0)

/* Bytes from the service, on the connection that was upgraded. */
static void push(const char *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < REC_CONNS; i++)
        if (rec.conns[i].open && rec.conns[i].raw) {
            if (rec.conns[i].out_at == rec.conns[i].out_len)
                rec.conns[i].out_at = rec.conns[i].out_len = 0;
            rec_append(&rec.conns[i], bytes, len);
        }
}

#define PUSH(literal) push(literal, sizeof(literal) - 1)

/* The end of that connection. */
static void hang_up(void)
{
    size_t i;

    for (i = 0; i < REC_CONNS; i++)
        if (rec.conns[i].open && rec.conns[i].raw)
            rec.conns[i].closing = true;
}

/* What the client has sent since the last look; its masks are 0. */
static void expect_sent(const char *frames, size_t len)
{
    EXPECT_INT(rec.raw_len, len);
    EXPECT(rec.raw_len == len && memcmp(rec.raw, frames, len) == 0);
    rec.raw_len = 0;
}

#define SENT(literal) expect_sent(literal, sizeof(literal) - 1)
#define MASK "\0\0\0\0"

/* Closes the socket; the service answers. */
static void leave(void)
{
    rec.raw_len = 0;
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    SENT("\x88\x82" MASK "\x03\xe8");
    PUSH("\x88\x02\x03\xe8");
    lssb_wait(client, NULL, 0);
    end();
}

static void an_upgrade_is_these_bytes(void)
{
    static const char *const protocols[] = { "chat.v2", "chat" };
    static const lssb_pair headers[] = { { "Origin", "http://x" } };
    static const lssb_pair query[] = { { "a", "b c" } };

    begin_socket();
    how.path = "live";
    how.query = query;
    how.query_count = 1;
    how.headers = headers;
    how.header_count = 1;
    how.protocols = protocols;
    how.protocol_count = 2;
    memset(&service, 0, sizeof service);
    SERVE(R(200, MADE("token-2", LATER)),
          UPGRADED("Sec-WebSocket-Protocol: chat\r\n", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    EXPECT_STR(rec.requests[1].text,
               "GET /live?a=b%20c HTTP/1.1\r\nHost: " HOST "\r\n" AGENT_LINE
               "Origin: http://x\r\n"
               "X-Langsmith-Sandbox-Service-Token: token-2\r\n"
               "Connection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n"
               "Sec-WebSocket-Protocol: chat.v2, chat\r\n\r\n");
    EXPECT_INT(sock.status, LSSB_OK);
    EXPECT_STR(sock.protocol, "chat");
    EXPECT_STR(service.token, "token-2");
    EXPECT(!holds(&sock, sizeof sock, "token-2"));
    leave();
}

static void an_answer_that_is_no_websocket_is_told(void)
{
    static const struct {
        const char *name;
        struct rec_reply reply;
        lssb_status outcome;
        int http_status;
    } rows[] = {
        { "a page", R(200, "<html>"), LSSB_E_REFUSED, 200 },
        { "401", R(401, "no"), LSSB_E_REFUSED, 401 },
        { "404", R(404, "no"), LSSB_E_REFUSED, 404 },
        { "429", R(429, "no"), LSSB_E_REFUSED, 429 },
        { "503", RH(503, "Retry-After: 1\r\n", "no"), LSSB_E_REFUSED, 503 },
        { "another key", RF(101, "Connection: Upgrade\r\nUpgrade: websocket"
                            "\r\nSec-WebSocket-Accept: x\r\n", "", REC_BARE,
                            0), LSSB_E_PROTOCOL, 0 },
        { "another protocol", RF(101, "Connection: Upgrade\r\nUpgrade: h2c\r\n",
                                 "", REC_BARE, 0), LSSB_E_PROTOCOL, 0 },
        { "a subprotocol that was not offered",
          RF(101, ACCEPT "Sec-WebSocket-Protocol: chat.v3\r\n", "", REC_BARE,
             0), LSSB_E_PROTOCOL, 0 },
        { "two of them",
          RF(101, ACCEPT "Sec-WebSocket-Protocol: chat\r\n"
             "Sec-WebSocket-Protocol: chat\r\n", "", REC_BARE, 0),
          LSSB_E_PROTOCOL, 0 },
        { "an extension", RF(101, ACCEPT "Sec-WebSocket-Extensions: x\r\n",
                             "", REC_BARE, 0), LSSB_E_PROTOCOL, 0 },
        { "the end", LOST, LSSB_E_CONNECTION, 0 },
        { "nobody there", REFUSED, LSSB_E_CONNECTION, 0 },
        { "nothing", { 0, "", "", REC_SILENT, 0 }, LSSB_E_DEADLINE, 0 }
    };
    static const char *const protocols[] = { "chat" };
    uint64_t from;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin_socket();
        how.protocols = protocols;
        how.protocol_count = 1;
        rec_serve(&rows[i].reply, 1);
        from = rec.now;
        EXPECT_INT(open_socket(), rows[i].outcome);
        EXPECT_INT(failure.http_status, rows[i].http_status);
        EXPECT_INT(sock.status, rows[i].outcome);
        EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), rows[i].outcome);
        EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL,
                                        0), rows[i].outcome);
        EXPECT(!contains(failure.message, "token-1"));
        if (rows[i].outcome == LSSB_E_DEADLINE)
            EXPECT_INT(rec.now - from, 30000);
        EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
        end();
    }
}

/* All messages that come until there are no more now: pieces joined, and each
 * message's kind before it, its end behind it. */
static void read_all(char *told, size_t size)
{
    size_t at = 0;

    told[0] = '\0';
    while (lssb_websocket_next(&sock, &piece, 1) == LSSB_OK) {
        if (piece.begins)
            told[at++] = piece.kind == LSSB_BINARY ? 'b' : 't';
        if (piece.begins)
            told[at++] = ':';
        EXPECT(piece.len > 0 || piece.ends);
        if (piece.kind == LSSB_TEXT && piece.len > 0) {
            EXPECT(((const unsigned char *)piece.bytes)[0] >> 6 != 2);
            EXPECT(((const unsigned char *)piece.bytes)[piece.len - 1] < 0xC0);
        }
        if (at + piece.len + 3 > size)
            rec_stuck("more messages than room");
        memcpy(told + at, piece.bytes, piece.len);
        at += piece.len;
        if (piece.ends)
            told[at++] = '|';
        told[at] = '\0';
    }
}

static void messages_come_the_same_in_whatever_pieces(void)
{
    static const struct {
        const char *name, *frames;
        size_t len;
        const char *told;
    } rows[] = {
#define ROW(name, frames, told) { name, frames, sizeof frames - 1, told }
        ROW("a text", "\x81\x05hello", "t:hello|"),
        ROW("two", "\x81\x02hi\x82\x03you", "t:hi|b:you|"),
        ROW("empty ones", "\x81\x00\x82\x00\x81\x01z", "t:|b:|t:z|"),
        ROW("fragments", "\x01\x02he\x00\x02ll\x80\x01o", "t:hello|"),
        ROW("an empty last one", "\x02\x02he\x00\x00\x80\x00", "b:he|"),
        ROW("a ping amidst", "\x01\x02he\x89\x01p\x80\x03llo", "t:hello|"),
        ROW("long characters", "\x81\x0a\xe2\x82\xac\xf0\x9f\x98\x80z\xc3\xa9",
            "t:\xe2\x82\xac\xf0\x9f\x98\x80z\xc3\xa9|"),
        ROW("characters across fragments",
            "\x01\x02\xe2\x82\x00\x01\xac\x80\x01!", "t:\xe2\x82\xac!|"),
        ROW("bytes that are no text", "\x82\x03\x80\xff\xc0",
            "b:\x80\xff\xc0|")
#undef ROW
    };
    char told[256];
    size_t i, p;

    for (i = 0; i < COUNT(rows); i++)
        for (p = 0; p < 6; p++) {
            test_row = rows[i].name;
            begin_socket();
            SERVE(UPGRADED("", ""));
            EXPECT_INT(open_socket(), LSSB_OK);
            rec.piece = p;
            push(rows[i].frames, rows[i].len);
            read_all(told, sizeof told);
            EXPECT_STR(told, rows[i].told);
            rec.raw_len = 0;        /* a pong */
            leave();
        }
}

static void a_message_may_come_with_the_upgrade(void)
{
    char told[64];

    begin_socket();
    SERVE(UPGRADED("", "\x81\x02hi\x01\x01y"));
    EXPECT_INT(open_socket(), LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_OK);
    EXPECT(piece.begins && piece.ends && piece.len == 2);
    read_all(told, sizeof told);
    EXPECT_STR(told, "t:y");
    PUSH("\x80\x01z");
    read_all(told, sizeof told);
    EXPECT_STR(told, "z|");
    leave();
}

/* A message larger than every buffer, whose reader is slow. */
static void a_large_message_waits_for_its_reader(void)
{
    static char part[16000];
    size_t got = 0, sent = 0, i;
    lssb_status status = LSSB_AGAIN;

    begin_socket();
    memset(part, 'x', sizeof part);
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    PUSH("\x82\x7f\x00\x00\x00\x00\x00\x04\xe2\x00");   /* 320,000 bytes */
    while (got < 320000) {
        for (i = 0; i < REC_CONNS; i++)
            if (rec.conns[i].open && rec.conns[i].raw &&
                rec.conns[i].out_at == rec.conns[i].out_len && sent < 320000) {
                push(part, sizeof part);
                sent += sizeof part;
            }
        status = lssb_websocket_next(&sock, &piece, 1);
        if (status != LSSB_OK)
            continue;
        EXPECT_INT(piece.begins, got == 0);
        got += piece.len;
        EXPECT_INT(piece.ends, got == 320000);
        EXPECT(piece.len > 0);
        for (i = 0; i < 3; i++)     /* nothing moves while it is looked at */
            lssb_step(client);
        EXPECT(sent <= got + LSSB_HOLD + 2 * sizeof part + 65536);
    }
    EXPECT_INT(got, 320000);
    leave();
}

static void what_goes_out_is_these_frames(void)
{
    char long_one[200];
    size_t taken;

    begin_socket();
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
#define WRITE(kind, text, ends) \
    EXPECT_INT(lssb_websocket_write(&sock, kind, text, sizeof text - 1, ends, \
                                    &taken, 0), LSSB_OK); \
    EXPECT_INT(taken, sizeof text - 1)
    WRITE(LSSB_TEXT, "hello", true);
    SENT("\x81\x85" MASK "hello");
    WRITE(LSSB_BINARY, "\x00\xff", true);
    SENT("\x82\x82" MASK "\x00\xff");
    WRITE(LSSB_TEXT, "", true);
    SENT("\x81\x80" MASK);
    WRITE(LSSB_TEXT, "he", false);
    WRITE(LSSB_TEXT, "", false);
    WRITE(LSSB_TEXT, "llo", false);
    WRITE(LSSB_TEXT, "", true);
    SENT("\x01\x82" MASK "he\x00\x83" MASK "llo\x80\x80" MASK);
    WRITE(LSSB_BINARY, "a", false);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "b", 1, true, &taken,
                                    0), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_BINARY, NULL, 1, true, &taken,
                                    0), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_write(&sock, (lssb_message)7, "b", 1, true,
                                    &taken, 0), LSSB_E_INVALID_ARGUMENT);
    WRITE(LSSB_BINARY, "b", true);
    SENT("\x02\x81" MASK "a\x80\x81" MASK "b");
    memset(long_one, 'y', sizeof long_one);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_BINARY, long_one,
                                    sizeof long_one, true, NULL, LSSB_FOREVER),
               LSSB_OK);
    EXPECT_INT(rec.raw_len, sizeof long_one + 8);
    EXPECT(memcmp(rec.raw, "\x82\xfe\x00\xc8" MASK "yy", 10) == 0);
    leave();
}

static void text_goes_out_in_whole_characters(void)
{
    static const struct {
        const char *name, *text;
        bool ends;
        lssb_status status;
        size_t taken;
    } rows[] = {
        { "whole", "\xe2\x82\xac", true, LSSB_OK, 3 },
        { "cut, and more comes", "a\xe2\x82", false, LSSB_OK, 1 },
        { "only the beginning of one", "\xe2\x82", false, LSSB_AGAIN, 0 },
        { "three of four bytes", "\xf0\x9f\x98", false, LSSB_AGAIN, 0 },
        { "cut at the end of all", "a\xe2\x82", true, LSSB_E_INVALID_ARGUMENT,
          1 },
        { "no UTF-8", "a\xff" "b", true, LSSB_E_INVALID_ARGUMENT, 1 },
        { "a surrogate", "\xed\xa0\x80", false, LSSB_E_INVALID_ARGUMENT, 0 }
    };
    size_t i, taken;
    uint64_t from;

    for (i = 0; i < 2 * COUNT(rows); i++) {
        test_row = rows[i / 2].name;
        begin_socket();
        SERVE(UPGRADED("", ""));
        EXPECT_INT(open_socket(), LSSB_OK);
        from = rec.now;
        EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, rows[i / 2].text,
                                        strlen(rows[i / 2].text),
                                        rows[i / 2].ends, &taken,
                                        i % 2 ? LSSB_FOREVER : 0),
                   rows[i / 2].status);
        EXPECT_INT(taken, rows[i / 2].taken);
        EXPECT(rec.now - from < 100);   /* no rest comes by waiting */
        leave();
    }
}

/* The service takes nothing for a while: what does not fit stays untaken, and
 * goes out later, as one message. */
static void a_message_goes_out_as_there_is_room(void)
{
    static char text[20000];
    size_t done = 0, taken, at = 0, len, total = 0;
    unsigned frames = 0;

    begin_socket();
    memset(text, 'w', sizeof text);
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    rec.limited = 1;
    rec.room = 0;
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, text, sizeof text, true,
                                    &done, 0), LSSB_OK);
    EXPECT(done > 0 && done < sizeof text);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, text + done,
                                    sizeof text - done, true, &taken, 50),
               LSSB_AGAIN);
    EXPECT_INT(taken, 0);
    while (done < sizeof text) {
        rec.room = 300;
        EXPECT(lssb_websocket_write(&sock, LSSB_TEXT, text + done,
                                    sizeof text - done, true, &taken, 1) >= 0);
        done += taken;
    }
    rec.limited = 0;
    EXPECT_INT(lssb_wait(client, NULL, 1), LSSB_AGAIN);
    while (at < rec.raw_len) {
        const unsigned char *head = (const unsigned char *)rec.raw + at;

        EXPECT_INT(head[0] & 0x0F, frames == 0 ? 1 : 0);
        len = head[1] & 0x7F;
        at += 6;
        if (len == 126) {
            len = (size_t)head[2] << 8 | head[3];
            at += 2;
        }
        at += len;
        total += len;
        frames++;
        EXPECT_INT(head[0] >> 7, total == sizeof text);
    }
    EXPECT_INT(total, sizeof text);
    leave();
}

static void a_ping_is_answered_and_one_without_answer_is_a_loss(void)
{
    lssb_error why = {0};
    uint64_t from;

    begin_socket();
    how.error = &why;
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    PUSH("\x89\x03you");
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 10), LSSB_AGAIN);
    SENT("\x8a\x83" MASK "you");
    from = rec.now;
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 35000), LSSB_AGAIN);
    SENT("\x89\x80" MASK);
    PUSH("\x8a\x00");
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 35000), LSSB_AGAIN);
    SENT("\x89\x80" MASK);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, LSSB_FOREVER),
               LSSB_E_CONNECTION);
    EXPECT(rec.now - from >= 120000 && rec.now - from < 130000);
    EXPECT_INT(sock.status, LSSB_E_CONNECTION);
    EXPECT_INT(why.status, LSSB_E_CONNECTION);
    EXPECT(contains(why.message, "ping"));
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_E_CONNECTION);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    hang_up();
    end();
}

static void the_service_may_close_it(void)
{
    static const struct {
        const char *name, *frame;
        size_t len;
        uint16_t code;
        const char *reason, *answer;
        size_t answer_len;
    } rows[] = {
        { "with a reason", "\x88\x05\x0f\xa0" "bye", 7, 4000, "bye",
          "\x88\x82" MASK "\x0f\xa0", 8 },
        { "with a code", "\x88\x02\x03\xe9", 4, 1001, "",
          "\x88\x82" MASK "\x03\xe9", 8 },
        { "without one", "\x88\x00", 2, 1005, "",
          "\x88\x82" MASK "\x03\xe8", 8 }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin_socket();
        SERVE(UPGRADED("", "\x81\x02hi"));
        EXPECT_INT(open_socket(), LSSB_OK);
        push(rows[i].frame, rows[i].len);
        EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_OK);
        EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_END);
        EXPECT_INT(sock.status, LSSB_END);
        EXPECT_INT(sock.close_code, rows[i].code);
        EXPECT_STR(sock.close_reason, rows[i].reason);
        EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL,
                                        100), LSSB_END);
        EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
        expect_sent(rows[i].answer, rows[i].answer_len);
        end();
    }
}

static void a_credential_in_what_a_service_says_of_a_websocket_is_hidden(void)
{
    begin_socket();
    strcpy(service.token, "token-0123456789");
    SERVE(R(403, "{\"detail\":\"token-0123456789 has expired\"}"));
    EXPECT_INT(open_socket(), LSSB_E_REFUSED);
    EXPECT(contains(failure.message, "*** has expired"));
    EXPECT(!contains(failure.message, "token-01"));
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
    begin_with_credentials();
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    PUSH("\x88\x17\x0f\xa0no " API_KEY);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_END);
    EXPECT_STR(sock.close_reason, "no ***");
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
}

static void a_goodbye_has_a_code_and_words_that_may_be(void)
{
    static const struct {
        uint16_t code;
        size_t reason_len;
        bool right;
    } rows[] = { { 0, 0, true },     { 1, 0, false },     { 999, 0, false },
                 { 1000, 0, true },  { 1003, 0, true },   { 1004, 0, false },
                 { 1006, 0, false }, { 1007, 0, true },   { 1011, 0, true },
                 { 1012, 0, false }, { 2999, 0, false },  { 3000, 0, true },
                 { 4999, 0, true },  { 5000, 0, false },  { 65535, 0, false },
                 { 0, 123, true },   { 0, 124, false },   { 0, 200, false } };
    char reason[201];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        begin_socket();
        SERVE(UPGRADED("", ""));
        EXPECT_INT(open_socket(), LSSB_OK);
        memset(reason, 'x', sizeof reason);
        reason[rows[i].reason_len] = '\0';
        EXPECT_INT(lssb_websocket_close(&sock, rows[i].code, reason, fresh()),
                   rows[i].right ? LSSB_PENDING : LSSB_E_INVALID_ARGUMENT);
        if (rows[i].right)
            EXPECT_INT(finish(LSSB_PENDING), LSSB_OK);
        else
            EXPECT_INT(sock.status, LSSB_OK);
        EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
        client = NULL;
    }
}

static void we_may_close_it_with_words(void)
{
    begin_socket();
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    EXPECT_INT(lssb_websocket_close(&sock, 999, NULL, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_close(&sock, 1005, NULL, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_close(&sock, 5000, NULL, fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_close(&sock, 0, "\xff", fresh()),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL, 0),
               LSSB_OK);
    PUSH("\x81\x02hi");             /* nobody takes it */
    EXPECT_INT(lssb_websocket_close(&sock, 4999, "enough", fresh()),
               LSSB_PENDING);
    EXPECT_INT(finish(LSSB_PENDING), LSSB_OK);
    EXPECT_INT(sock.status, LSSB_END);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_END);
    SENT("\x81\x81" MASK "a\x88\x88" MASK "\x13\x87" "enough");
    EXPECT_INT(rec.open_now, 1);    /* its answer is waited for */
    PUSH("\x88\x02\x13\x87");
    lssb_wait(client, NULL, 0);
    lssb_step(client);
    EXPECT_INT(rec.open_now, 0);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
}

/* What was written goes out before the goodbye, if there is room in time. */
/* AddressSanitizer says so when anything is read afterwards. */
static void a_close_that_ends_early_gives_everything_back(void)
{
    static char text[20000];
    size_t taken;
    int canceled;

    for (canceled = 0; canceled < 2; canceled++) {
        lssb_websocket *own = calloc(1, sizeof *own);
        char *why = malloc(8);

        strcpy(why, "enough");
        begin_socket();
        SERVE(UPGRADED("", ""));
        EXPECT_INT(finish(lssb_websocket_open(own, &box, &where, &service,
                                              &how, fresh())), LSSB_OK);
        rec.limited = 1;
        rec.room = 0;
        EXPECT_INT(lssb_websocket_write(own, LSSB_BINARY, text, sizeof text,
                                        true, &taken, 0), LSSB_OK);
        fresh();
        op.deadline_ms = canceled ? 0 : 100;
        EXPECT_INT(lssb_websocket_close(own, 0, why, &op), LSSB_PENDING);
        if (canceled)
            lssb_cancel(&op);
        EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER),
                   canceled ? LSSB_E_CANCELED : LSSB_E_DEADLINE);
        memset(own, 0xA5, sizeof *own);
        free(own);
        free(why);
        rec.limited = 0;
        EXPECT_INT(lssb_wait(client, NULL, 20000), LSSB_OK);
        end();
    }
}

static void a_goodbye_waits_for_room(void)
{
    static char text[20000];
    size_t taken;
    uint64_t from;
    int late;

    for (late = 0; late < 2; late++) {
        begin_socket();
        SERVE(UPGRADED("", ""));
        EXPECT_INT(open_socket(), LSSB_OK);
        rec.limited = 1;
        rec.room = 0;
        EXPECT_INT(lssb_websocket_write(&sock, LSSB_BINARY, text, sizeof text,
                                        true, &taken, 0), LSSB_OK);
        from = rec.now;
        EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, fresh()),
                   LSSB_PENDING);
        EXPECT_INT(lssb_wait(client, &op, 3000), LSSB_AGAIN);
        if (!late)
            rec.limited = 0;
        EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER), LSSB_OK);
        EXPECT_INT(rec.now - from, late ? 10000 : 3000);
        rec.limited = 0;
        if (!late) {
            lssb_step(client);
            EXPECT(memcmp(rec.raw + rec.raw_len - 8,
                          "\x88\x82" MASK "\x03\xe8", 8) == 0);
            hang_up();
        }
        end();
    }
}

static void a_connection_that_ends_is_a_loss(void)
{
    begin_socket();
    SERVE(UPGRADED("", "\x01\x02hi"));
    EXPECT_INT(open_socket(), LSSB_OK);
    hang_up();
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_E_CONNECTION);
    EXPECT(contains(lssb_error_text(client), HOST));
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
}

static void rules_that_are_broken_end_it(void)
{
    static const struct {
        const char *frame;
        size_t len;
        const char *farewell;
    } rows[] = {
        { "\x81\x01\xff", 3, "\x88\x82" MASK "\x03\xef" },  /* 1007 */
        { "\x80\x01z", 3, "\x88\x82" MASK "\x03\xea" },     /* 1002 */
        { "\x81\x81" MASK "z", 7, "\x88\x82" MASK "\x03\xea" }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        begin_socket();
        SERVE(UPGRADED("", ""));
        EXPECT_INT(open_socket(), LSSB_OK);
        push(rows[i].frame, rows[i].len);
        EXPECT_INT(lssb_websocket_next(&sock, &piece, 100), LSSB_E_PROTOCOL);
        expect_sent(rows[i].farewell, 8);
        EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
        hang_up();
        end();
    }
}

/* Two of two connections are held: another call fails at once, until one is
 * let go. */
static void a_websocket_holds_its_connection(void)
{
    static lssb_websocket second;

    begin_socket();
    SERVE(UPGRADED("", ""), UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    EXPECT_INT(lssb_websocket_open(&second, &box, &where, &service, NULL,
                                   NULL), LSSB_OK);
    EXPECT_INT(ask(), LSSB_E_NO_SLOT);
    EXPECT_INT(lssb_websocket_close(&second, 0, NULL, NULL), LSSB_OK);
    hang_up();
    SERVE(R(200, "ok"));
    EXPECT_INT(ask(), LSSB_OK);
    lssb_websocket_next(&sock, &piece, 10);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
}

static void one_that_is_being_opened_can_be_closed(void)
{
    begin_socket();
    SERVE({ 0, "", "", REC_SILENT, 0 });
    EXPECT_INT(lssb_websocket_open(&sock, &box, &where, &service, &how,
                                   fresh()), LSSB_PENDING);
    EXPECT_INT(lssb_wait(client, &op, 100), LSSB_AGAIN);
    EXPECT_INT(sock.status, LSSB_PENDING);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_AGAIN);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL, 0),
               LSSB_AGAIN);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_INT(sock.status, LSSB_E_CANCELED);
    EXPECT(!holds(&sock, sizeof sock, "token-1"));
    end();
}

static void a_client_that_is_closed_ends_it(void)
{
    begin_socket();
    SERVE(UPGRADED("", ""));
    EXPECT_INT(open_socket(), LSSB_OK);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    EXPECT_INT(sock.status, LSSB_E_CANCELED);
    SENT("\x88\x82" MASK "\x03\xe8");
    EXPECT_INT(rec.open_now, 0);
}

static void (*in_callback)(void);

static lssb_status call_back(void *user, int32_t status)
{
    (void)user;
    (void)status;
    in_callback();
    return LSSB_OK;
}

static void talk(void)
{
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 1), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL, 1),
               LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL, 0),
               LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_AGAIN);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL),
               LSSB_E_IN_CALLBACK);
}

static void in_a_callback_nothing_waits(void)
{
    begin_socket();
    SERVE(UPGRADED("", ""), R(200, "ok"));
    EXPECT_INT(open_socket(), LSSB_OK);
    request.on_status = call_back;
    in_callback = talk;
    EXPECT_INT(ask(), LSSB_OK);
    SENT("\x81\x81" MASK "a");
    leave();
}

static void a_websocket_that_cannot_be_is_refused_with_words(void)
{
    static const char *const none[] = { NULL };
    static const char *const two[] = { "a, b" };
    static lssb_websocket zeros;
    char name[65] = "";
    const char *const long_one = name;

    begin_socket();
    rec_serve(NULL, 0);
    how.protocol_count = 1;
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    how.protocols = none;
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    how.protocols = two;
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "protocols"));
    memset(name, 'x', 64);
    how.protocols = &long_one;
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    name[63] = '\0';
    SERVE(R(503, "no"));
    EXPECT_INT(open_socket(), LSSB_E_REFUSED);  /* that is all it is */
    rec_serve(NULL, 0);
    how.protocol_count = 0;
    how.path = "/ ";
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    where.access = LSSB_ACCESS_RESTRICTED;
    how.path = NULL;
    EXPECT_INT(open_socket(), LSSB_E_INVALID_ARGUMENT);
    EXPECT(contains(failure.message, "login"));
    EXPECT_INT(lssb_websocket_open(NULL, &box, &where, &service, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_next(NULL, &piece, 0), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_next(&zeros, &piece, 0),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_websocket_close(&zeros, 0, NULL, NULL), LSSB_OK);
    EXPECT_INT(lssb_websocket_close(NULL, 0, NULL, NULL), LSSB_OK);
    end();
}
/* How it may be refused before anything is sent. */
static lssb_status refuse_socket(int kind)
{
    lssb_op waits = {0};

    switch (kind) {
    case 0:
        where.port = 0;
        return open_socket();
    case 1:
        return lssb_websocket_open(&sock, NULL, &where, &service, NULL,
                                   &waits);
    case 2:
        fresh()->header_count = 1;
        return lssb_websocket_open(&sock, &box, &where, &service, NULL, &op);
    case 3:
        strcpy(service.service_url, "no URL");
        return open_socket();
    default:
        return lssb_websocket_open(NULL, &box, &where, &service, NULL, NULL);
    }
}

static void one_that_was_refused_may_be_closed(void)
{
    int kind;

    for (kind = 0; kind < 4; kind++) {
        begin_socket();
        rec_serve(NULL, 0);
        memset(&sock, 0x5A, sizeof sock);   /* what lay on the stack */
        EXPECT_INT(refuse_socket(kind), LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(sock.status, LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
        EXPECT_INT(rec.request_count, 0);
        end();
    }
}

/* The waiting form in a callback. */
static void open_waiting(void)
{
    memset(&sock, 0x5A, sizeof sock);
    EXPECT_INT(lssb_websocket_open(&sock, &box, &where, &service, &how, NULL),
               LSSB_E_IN_CALLBACK);
    EXPECT_INT(sock.status, LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
}

static void one_that_may_not_wait_may_be_closed(void)
{
    begin_socket();
    SERVE(R(200, "ok"));
    request.on_status = call_back;
    in_callback = open_waiting;
    EXPECT_INT(ask(), LSSB_OK);
    end();
}

static void an_operation_that_is_used_twice_harms_nothing(void)
{
    begin_socket();
    SERVE(UPGRADED("", "\x81\x01" "a"));
    EXPECT_INT(lssb_websocket_open(&sock, &box, &where, &service, &how,
                                   fresh()), LSSB_PENDING);
    EXPECT_INT(lssb_websocket_open(&sock, &box, &where, &service, &how, &op),
               LSSB_E_BUSY);
    EXPECT_INT(lssb_service_request(&box, &where, &service, &request,
                                    &response, &op), LSSB_E_BUSY);
    EXPECT_INT(finish(LSSB_PENDING), LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&sock, &piece, LSSB_FOREVER), LSSB_OK);
    leave();
}
#else
static void a_build_without_websockets_says_so(void)
{
    begin_socket();
    rec_serve(NULL, 0);
    EXPECT_INT(open_socket(), LSSB_E_UNSUPPORTED);
    EXPECT(contains(failure.message, "LSSB_WEBSOCKET"));
    EXPECT_INT(lssb_websocket_next(&sock, &piece, 0), LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_websocket_write(&sock, LSSB_TEXT, "a", 1, true, NULL, 0),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_websocket_close(&sock, 0, NULL, NULL), LSSB_OK);
    end();
}
#endif

int main(void)
{
    static const struct test tests[] = {
        TEST(a_request_is_these_bytes_and_no_others),
        TEST(the_service_gets_nothing_of_the_clients),
        TEST(a_service_is_made_again_at_its_margin),
        TEST(a_service_of_no_place_is_made_for_each_request),
        TEST(a_service_changes_whole_or_not_at_all),
        TEST(what_is_no_link_is_forgotten_with_its_token),
    TEST(a_request_has_one_token_throughout),
        TEST(what_cannot_be_is_refused_with_words),
        TEST(a_token_goes_in_clear_text_to_loopback_only),
        TEST(the_structs_have_room_for_what_is_the_librarys),
        TEST(every_status_is_the_callers_to_read),
        TEST(a_reply_is_told_in_its_order),
        TEST(a_callback_can_stop_it),
        TEST(a_body_is_kept_as_far_as_it_fits),
        TEST(a_source_is_sent_whole),
        TEST(a_source_that_fails_stops_the_request),
        TEST(only_what_is_safe_is_asked_again),
        TEST(a_source_in_chunks_is_read_once),
        TEST(a_post_wants_a_connection_that_was_used_just_now),
        TEST(a_request_that_is_quiet_ends),
        TEST(a_proxy_that_wants_a_password_is_no_service),
        TEST(a_link_is_fetched_without_credentials),
        TEST(a_part_of_a_link_is_asked_for_and_told),
        TEST(a_link_is_gone_on_with_if_the_file_is_the_same),
        TEST(what_becomes_of_a_link_is_said_without_it),
        TEST(a_link_that_is_none_is_refused_with_words),
        TEST(each_call_about_a_link_is_told_by_its_own_name),
    TEST(credentials_that_a_server_sends_back_are_not_told),
    TEST(a_key_at_the_end_of_a_message_is_not_told),
    TEST(a_link_that_a_server_sends_back_is_not_told),
    TEST(what_a_link_asks_for_is_not_told),
    TEST(parts_of_credentials_are_not_told),
    TEST(what_a_success_leaves_behind_is_clean_too),
#if LSSB_WEBSOCKET
        TEST(an_upgrade_is_these_bytes),
        TEST(an_answer_that_is_no_websocket_is_told),
        TEST(messages_come_the_same_in_whatever_pieces),
        TEST(a_message_may_come_with_the_upgrade),
        TEST(a_large_message_waits_for_its_reader),
        TEST(what_goes_out_is_these_frames),
        TEST(text_goes_out_in_whole_characters),
        TEST(a_message_goes_out_as_there_is_room),
        TEST(a_ping_is_answered_and_one_without_answer_is_a_loss),
        TEST(the_service_may_close_it),
        TEST(a_credential_in_what_a_service_says_of_a_websocket_is_hidden),
    TEST(a_goodbye_has_a_code_and_words_that_may_be),
    TEST(we_may_close_it_with_words),
        TEST(a_close_that_ends_early_gives_everything_back),
    TEST(a_goodbye_waits_for_room),
        TEST(a_connection_that_ends_is_a_loss),
        TEST(rules_that_are_broken_end_it),
        TEST(a_websocket_holds_its_connection),
        TEST(one_that_is_being_opened_can_be_closed),
        TEST(a_client_that_is_closed_ends_it),
        TEST(in_a_callback_nothing_waits),
        TEST(a_websocket_that_cannot_be_is_refused_with_words),
        TEST(one_that_was_refused_may_be_closed),
        TEST(one_that_may_not_wait_may_be_closed),
        TEST(an_operation_that_is_used_twice_harms_nothing)
#else
        TEST(a_build_without_websockets_says_so)
#endif
    };

    return TEST_MAIN(tests);
}
