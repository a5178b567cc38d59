/* client.c: what a client promises beyond single calls: retries, deadlines,
 * callbacks, its end, its memory, its configuration.
 *
 * SPDX-License-Identifier: MIT
 *
 * Through lssb.h only, over the scripted port; what threads and signals do is
 * shown on the port of this build.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "scenarios.h"
#include "scripted_tls.h"

#if !defined(_WIN32)
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

static struct script_client me;
static struct script_route routes[8];

/* A new script, with the routes that follow in `routes`. */
static void begin(enum script_mode mode)
{
    memset(routes, 0, sizeof routes);
    scenario_begin(mode);
    script_also(routes, 8);
    script_config(&me.config);
}

/* Sets one of the routes. */
static void route(size_t i, const char *request, size_t count,
                  const struct script_reply *replies)
{
    routes[i].request = request;
    memcpy(routes[i].replies, replies, count * sizeof *replies);
}

static void route_one(size_t i, const char *request, int status,
                      const char *body, const char *headers,
                      enum script_how how)
{
    struct script_reply reply = { 0, NULL, NULL, SCRIPT_LENGTH, 0 };

    reply.status = status;
    reply.body = body;
    reply.headers = headers;
    reply.how = how;
    route(i, request, 1, &reply);
}

static void opens(void)
{
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
}

static void closes(void)
{
    script_client_close(&me);
}

/* A box as if it had been created. */
static lssb_sandbox the_box(const char *name)
{
    lssb_sandbox box;

    memset(&box, 0, sizeof box);
    box.client = me.client;
    strcpy(box.name, name);
    sprintf(box.dataplane_url, "http://data.test/%s", name);
    return box;
}

/* --------------------------------------------------------------- retries -- */

enum what { GET, CREATE, CHANGE, DELETE, STOP, RUN, WRITE, READ };

static const char *const requests[] = {
    "GET " API "/boxes/r", "POST " API "/boxes", "PATCH " API "/boxes/r",
    "DELETE " API "/boxes/r", "POST " API "/boxes/r/stop", "POST /r/execute",
    "POST /r/upload?path=f", "GET /r/download?path=f"
};

/* Makes a call about the box r. */
static lssb_status make(enum what what, lssb_op *op)
{
    static lssb_sandbox box, out;
    static lssb_sandbox_options options;
    static lssb_sandbox_update update;
    static lssb_result result;
    static char bytes[2000];
    static size_t len;

    box = the_box("r");
    options.no_wait = true;
    update.vcpus = 2;
    switch (what) {
    case GET: return lssb_sandbox_get(me.client, "r", &out, op);
    case CREATE: return lssb_sandbox_create(me.client, &options, &out, op);
    case CHANGE: return lssb_sandbox_change(&box, &update, op);
    case DELETE: return lssb_sandbox_delete(&box, op);
    case STOP: return lssb_sandbox_stop(&box, op);
    case RUN: return lssb_run(&box, "true", NULL, &result, op);
    case WRITE: return lssb_file_write(&box, "f", "abc", 3, op);
    case READ:
        return lssb_file_read(&box, "f", bytes, sizeof bytes, &len, op);
    }
    return LSSB_E_UNSUPPORTED;
}

#define FINE { 200, BOX("r", "ready"), NULL, SCRIPT_LENGTH, 0 }
#define SAYS(status, error) \
    { status, "{\"detail\":{\"error\":\"" error "\",\"message\":\"m\"}}", \
      NULL, SCRIPT_LENGTH, 0 }
#define DOES(how) { 200, BOX("r", "ready"), NULL, how, 0 }
#define LATER(message, after) \
    { 429, "{\"detail\":{\"message\":\"" message "\"}}", after, \
      SCRIPT_LENGTH, 0 }

static void what_may_act_twice_is_not_tried_again(void)
{
    static const struct {
        const char *name;
        enum what what;
        struct script_reply first, then;
        lssb_status status;
        unsigned requests;
    } rows[] = {
        { "get 502", GET, SAYS(502, "x"), FINE, LSSB_OK, 2 },
        { "get 503", GET, SAYS(503, "x"), FINE, LSSB_OK, 2 },
        { "get 504", GET, SAYS(504, "x"), FINE, LSSB_OK, 2 },
        { "get 500", GET, SAYS(500, "x"), FINE, LSSB_E_API, 1 },
        { "get 404", GET, SAYS(404, "x"), FINE, LSSB_E_NOT_FOUND, 1 },
        { "get 302", GET, SAYS(302, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "get 429", GET, LATER("slow", NULL), FINE, LSSB_OK, 2 },
        { "get gone", GET, DOES(SCRIPT_GONE), FINE, LSSB_OK, 2 },
        { "get cut", GET, DOES(SCRIPT_CUT), FINE, LSSB_OK, 2 },
        { "get reset", GET, DOES(SCRIPT_RESET), FINE, LSSB_OK, 2 },
        { "change 502", CHANGE, SAYS(502, "x"), FINE, LSSB_OK, 2 },
        { "change gone", CHANGE, DOES(SCRIPT_GONE), FINE, LSSB_OK, 2 },
        { "delete 503", DELETE, SAYS(503, "x"), FINE, LSSB_OK, 2 },
        { "delete gone, then 404", DELETE, DOES(SCRIPT_GONE),
          SAYS(404, "x"), LSSB_OK, 2 },
        { "delete 504, then 404", DELETE, SAYS(504, "x"), SAYS(404, "x"),
          LSSB_OK, 2 },
        { "delete 404", DELETE, SAYS(404, "x"), FINE, LSSB_E_NOT_FOUND, 1 },
        { "write 503", WRITE, SAYS(503, "x"), FINE, LSSB_OK, 2 },
        { "write gone", WRITE, DOES(SCRIPT_GONE), FINE, LSSB_OK, 2 },
        { "read cut", READ, DOES(SCRIPT_CUT), FINE, LSSB_OK, 2 },
        { "create 502", CREATE, SAYS(502, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "create 503", CREATE, SAYS(503, "x"), FINE, LSSB_E_CREATION, 1 },
        { "create 504", CREATE, SAYS(504, "x"), FINE, LSSB_E_TIMEOUT, 1 },
        { "create 429", CREATE, LATER("slow", NULL), FINE, LSSB_E_QUOTA, 1 },
        { "create 429 with a time", CREATE,
          LATER("slow", "Retry-After: 2\r\n"), FINE, LSSB_OK, 2 },
        { "create 429 of a quota", CREATE,
          LATER("sandbox count", "Retry-After: 2\r\n"), FINE, LSSB_E_QUOTA,
          1 },
        { "create gone", CREATE, DOES(SCRIPT_GONE), FINE, LSSB_E_CONNECTION,
          1 },
        { "create cut", CREATE, DOES(SCRIPT_CUT), FINE, LSSB_E_CONNECTION,
          1 },
        { "stop 503", STOP, SAYS(503, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "stop gone", STOP, DOES(SCRIPT_GONE), FINE, LSSB_E_CONNECTION, 1 },
#if !LSSB_WEBSOCKET
        { "run 503 unavailable", RUN, SAYS(503, "ServiceUnavailable"), FINE,
          LSSB_OK, 2 },
        { "run 400 not ready", RUN, SAYS(400, "NotReady"), FINE, LSSB_OK, 2 },
        { "run 503", RUN, SAYS(503, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "run 502", RUN, SAYS(502, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "run 504", RUN, SAYS(504, "x"), FINE, LSSB_E_REFUSED, 1 },
        { "run gone", RUN, DOES(SCRIPT_GONE), FINE, LSSB_E_CONNECTION, 1 },
        { "run cut", RUN, DOES(SCRIPT_CUT), FINE, LSSB_E_CONNECTION, 1 },
#endif
    };
    struct script_reply replies[2];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.route_count[0] = 0;
        replies[0] = rows[i].first;
        replies[1] = rows[i].then;
        route(0, requests[rows[i].what], 2, replies);
        opens();
        EXPECT_INT(make(rows[i].what, NULL), rows[i].status);
        EXPECT_INT(script.entry_count, rows[i].requests);
        EXPECT_INT(script_heard(requests[rows[i].what]), rows[i].requests);
        closes();
    }
}

static void retry_after_is_kept_and_capped(void)
{
    static const struct {
        const char *header;
        unsigned least, most;
    } rows[] = {
        { NULL, 1000, 2000 },
        { "Retry-After: 2\r\n", 2000, 2000 },
        { "Retry-After: 0.5\r\n", 500, 500 },
        { "Retry-After: 120\r\n", 60000, 60000 },
        { "Retry-After: 99999999999999999999\r\n", 1000, 2000 },
        { "Retry-After: Fri, 15 Jan 2027 08:00:30 GMT\r\n", 30000, 30000 },
        { "Retry-After: Fri, 15 Jan 2027 07:59:50 GMT\r\n", 0, 2000 },
        { "Retry-After: 0\r\n", 0, 2000 },
        { "Retry-After: soon\r\n", 1000, 2000 },
        { "Retry-After: -5\r\n", 1000, 2000 },
    };
    struct script_reply replies[2] = { LATER("slow", NULL), FINE };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned gap;

        test_row = rows[i].header != NULL ? rows[i].header : "none";
        begin(SCRIPT_WHOLE);
        replies[0].headers = rows[i].header;
        route(0, requests[GET], 2, replies);
        opens();
        EXPECT_INT(make(GET, NULL), LSSB_OK);
        gap = (unsigned)(script.entries[1].at - script.entries[0].at);
        EXPECT(gap >= rows[i].least && gap <= rows[i].most + 10);
        closes();
    }
}

static void pauses_double_and_end_after_the_last_attempt(void)
{
    lssb_stats_list stats;
    size_t i;

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 503, NULL, NULL, SCRIPT_LENGTH);
    opens();
    EXPECT_INT(make(GET, NULL), LSSB_E_REFUSED);
    EXPECT_INT(script.entry_count, 4);
    for (i = 0; i < 3; i++) {
        uint64_t gap = script.entries[i + 1].at - script.entries[i].at;

        EXPECT(gap >= (UINT64_C(1000) << i) &&
               gap <= (UINT64_C(1000) << i) + 1010);
    }
    EXPECT_INT(lssb_last_error(me.client)->attempts, 4);
    EXPECT_INT(lssb_last_error(me.client)->http_status, 503);
    lssb_stats(me.client, &stats);
    EXPECT_INT(stats.retries, 3);
    EXPECT_INT(stats.requests, 4);
    closes();
}

static void the_most_retries_are_no_fewer(void)
{
    static const struct script_reply replies[] = {
        SAYS(503, "x"), SAYS(503, "x"), SAYS(503, "x"), SAYS(503, "x"), FINE
    };

    begin(SCRIPT_WHOLE);
    route(0, requests[GET], 5, replies);
    me.config.retries = INT32_MAX;
    opens();
    EXPECT_INT(make(GET, NULL), LSSB_OK);
    EXPECT_INT(script.entry_count, 5);
    closes();
}

static void a_deletion_that_could_not_have_arrived_is_not_done(void)
{
    begin(SCRIPT_WHOLE);
    route_one(0, requests[DELETE], 404, NULL, NULL, SCRIPT_LENGTH);
    opens();
    script.fail_at = script.calls + 1;  /* the resolver */
    script.fail_io = LSSB_IO_LIMIT;
    EXPECT_INT(make(DELETE, NULL), LSSB_E_NOT_FOUND);
    EXPECT_INT(script.failed, SCRIPT_RESOLVE);
    closes();
}

static void a_deletion_whose_reused_connection_ended_may_be_done(void)
{
    static const struct script_reply replies[] = { DOES(SCRIPT_GONE),
                                                   SAYS(404, "x") };

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, BOX("r", "ready"), NULL, SCRIPT_LENGTH);
    route(1, requests[DELETE], 2, replies);
    opens();
    EXPECT_INT(make(GET, NULL), LSSB_OK);
    EXPECT_INT(make(DELETE, NULL), LSSB_OK);
    EXPECT_INT(script_heard(requests[DELETE]), 2);
    closes();
}

/* ----------------------------------------------------------- connections -- */

static void a_reused_connection_that_ended_is_replaced_uncounted(void)
{
    static const struct script_reply replies[] = { DOES(SCRIPT_GONE), FINE };
    lssb_stats_list stats;
    uint64_t start;

    begin(SCRIPT_WHOLE);
    me.config.retries = LSSB_NONE;
    route(0, requests[CHANGE], 2, replies);
    route_one(1, requests[GET], 200, BOX("r", "ready"), NULL, SCRIPT_LENGTH);
    opens();
    EXPECT_INT(make(GET, NULL), LSSB_OK);
    start = script.now;
    EXPECT_INT(make(CHANGE, NULL), LSSB_OK);
    EXPECT_INT(script_heard(requests[CHANGE]), 2);
    EXPECT(script.now - start < 100);
    lssb_stats(me.client, &stats);
    EXPECT_INT(stats.retries, 0);
    EXPECT_INT(stats.reused, 1);
    EXPECT_INT(stats.connections, 2);
    closes();
}

#if !LSSB_WEBSOCKET
static void a_command_on_a_reused_connection_that_ended_is_not_repeated(void)
{
    begin(SCRIPT_WHOLE);
    route_one(0, requests[RUN], 200, "{}", NULL, SCRIPT_GONE);
    route_one(1, requests[READ], 200, "x", NULL, SCRIPT_LENGTH);
    opens();
    EXPECT_INT(make(READ, NULL), LSSB_OK);
    EXPECT_INT(make(RUN, NULL), LSSB_E_CONNECTION);
    EXPECT_INT(script_heard(requests[RUN]), 1);
    EXPECT_INT(lssb_last_error(me.client)->layer, LSSB_LAYER_TRANSPORT);
    closes();
}
#endif

static void connections_are_reused_while_they_are_young(void)
{
    static const struct {
        const char *name, *header;
        enum what second;
        uint32_t idle_ms;
        unsigned connections;
    } rows[] = {
        { "at once", NULL, GET, 0, 1 },
        { "14 s", NULL, GET, 14000, 1 },
        { "16 s", NULL, GET, 16000, 2 },
        { "the server's 3 s", "Keep-Alive: timeout=3\r\n", GET, 3000, 2 },
        { "within the server's 30 s", "Keep-Alive: timeout=30\r\n", GET,
          29000, 1 },
        { "the server's end", "Connection: close\r\n", GET, 0, 2 },
        { "a creation at once", NULL, CREATE, 0, 1 },
        { "a creation after 0.9 s", NULL, CREATE, 900, 1 },
        { "a creation after 1 s", NULL, CREATE, 1000, 2 },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_stats_list stats;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        route_one(0, requests[GET], 200, BOX("r", "ready"), rows[i].header,
                  SCRIPT_LENGTH);
        opens();
        EXPECT_INT(make(GET, NULL), LSSB_OK);
        script.now += rows[i].idle_ms;
        EXPECT_INT(make(rows[i].second, NULL), LSSB_OK);
        lssb_stats(me.client, &stats);
        EXPECT_INT(stats.connections, rows[i].connections);
        closes();
    }
}

static void the_bytes_of_replies_are_counted(void)
{
    static const char reply[] =
        "HTTP/1.1 200 Said\r\nContent-Length: 603\r\n\r\n" BIG;
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        lssb_stats_list stats;

        begin((enum script_mode)mode);
        route_one(0, requests[READ], 200, BIG, NULL, SCRIPT_LENGTH);
        opens();
        EXPECT_INT(make(READ, NULL), LSSB_OK);
        lssb_stats(me.client, &stats);
        EXPECT_INT(stats.received_bytes, sizeof reply - 1);
        EXPECT_INT(make(READ, NULL), LSSB_OK);
        lssb_stats(me.client, &stats);
        EXPECT_INT(stats.received_bytes, 2 * (sizeof reply - 1));
        closes();
    }
}

/* A TLS backend that says when it ends, and what was heard of that. */
static unsigned tls_closes, tls_goodbyes;

static void tls_close_told(void *session)
{
    struct script_tls *tls = session;

    tls_closes++;
    script_tls_flush(session);
    tls->setup->send_buffer[5] = 0;
    tls->open = 1;
    script_tls_record(tls, 21);
}

static lssb_status tls_pump_told(void *session)
{
    struct script_tls *tls = session;
    bool had = tls->out_from < tls->out_to;
    lssb_status status = script_tls_pump(session);

    if (had && tls->out_from == tls->out_to)
        tls_goodbyes += tls->setup->send_buffer[0] == 21;
    return status;
}

static void an_idle_connection_says_goodbye_when_it_gives_way(void)
{
    lssb_tls_backend backend = script_tls;
    lssb_sandbox box;
    lssb_file file;
    int mode;

    backend.close = tls_close_told;
    backend.pump = tls_pump_told;
    for (mode = SCRIPT_WHOLE; mode <= SCRIPT_BYTE; mode++) {
        begin((enum script_mode)mode);
        script.records = true;
        me.config.endpoint = "https://api.test";
        me.config.tls = &backend;
        me.config.slots = 1;
        tls_closes = tls_goodbyes = 0;
        route_one(0, requests[GET], 200, BOX("r", "ready"), NULL,
                  SCRIPT_LENGTH);
        opens();
        EXPECT_INT(make(GET, NULL), LSSB_OK);
        EXPECT_INT(tls_closes, 0);
        box = the_box("n");
        strcpy(box.dataplane_url, "https://data.test/n");
        EXPECT_INT(lssb_file_stat(&box, "n", &file, NULL), LSSB_OK);
        EXPECT_INT(tls_closes, 1);
        EXPECT_INT(tls_goodbyes, 1);
        closes();
        EXPECT_INT(tls_goodbyes, 2);
    }
}

/* ------------------------------------------------------------ deadlines -- */

static void a_deadline_says_what_was_going_on(void)
{
    static const struct {
        const char *name;
        enum { SLOT, RESOLVE, CONNECT, PROXY, TLS, SEND, REPLY, BODY, POLL }
            phase;
        lssb_layer layer;
        const char *says;
    } rows[] = {
        { "slot", SLOT, LSSB_LAYER_CLIENT, "waiting for a free slot" },
        { "resolve", RESOLVE, LSSB_LAYER_RESOLVE,
          "resolving the name of api.test" },
        { "connect", CONNECT, LSSB_LAYER_CONNECT, "connecting to api.test" },
        { "proxy", PROXY, LSSB_LAYER_PROXY,
          "waiting for the proxy to reach api.test" },
        { "tls", TLS, LSSB_LAYER_TLS, "agreeing on TLS with api.test" },
        { "send", SEND, LSSB_LAYER_TRANSPORT,
          "sending the request to api.test" },
        { "reply", REPLY, LSSB_LAYER_TRANSPORT,
          "waiting for the reply of api.test" },
        { "body", BODY, LSSB_LAYER_TRANSPORT,
          "receiving the reply of api.test" },
        { "poll", POLL, LSSB_LAYER_CLIENT, "waiting to ask again" },
    };
    lssb_feature_list features;
    size_t i;

    lssb_features(&features);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_op op = { 0 }, other = { 0 };
        lssb_error error = { 0 };
        lssb_sandbox box;
        bool tls = rows[i].phase == PROXY || rows[i].phase == TLS;
        uint64_t start;

        if (tls && strcmp(features.tls, "none") == 0)
            continue;
        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        me.config.slots = 1;
        if (tls)
            me.config.endpoint = "https://api.test";
        if (rows[i].phase == PROXY)
            me.config.proxy = "http://proxy.test:3128";
        route_one(0, requests[GET], 200, BOX("r", "ready"), NULL,
                  rows[i].phase == BODY ? SCRIPT_HALF : SCRIPT_SILENT);
        route_one(1, "CONNECT api.test:443", 200, NULL, NULL, SCRIPT_SILENT);
        route_one(2, "GET " API "/boxes/r/status", 200, "{}", NULL,
                  SCRIPT_LENGTH);
        opens();
        script.stuck_resolving = rows[i].phase == RESOLVE;
        script.stuck_connecting = rows[i].phase == CONNECT;
        script.stuck_sending = rows[i].phase == SEND;
        box = the_box("r");
        if (rows[i].phase == SLOT)
            EXPECT_INT(make(GET, &other), LSSB_PENDING);
        start = script.now;
        op.deadline_ms = 700;
        op.error = &error;
        if (rows[i].phase == POLL)
            EXPECT_INT(lssb_sandbox_wait(&box, 0, &op), LSSB_PENDING);
        else
            EXPECT_INT(make(GET, &op), LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
        EXPECT_INT(script.now - start, 700);
        EXPECT_INT(error.status, LSSB_E_DEADLINE);
        EXPECT_INT(error.layer, rows[i].layer);
        if (strstr(error.message, rows[i].says) == NULL)
            EXPECT_STR(error.message, rows[i].says);
        closes();
    }
}

static void a_retry_that_would_not_fit_the_deadline_is_not_begun(void)
{
    lssb_op op = { 0 };
    uint64_t start;

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 503, NULL, NULL, SCRIPT_LENGTH);
    opens();
    start = script.now;
    op.deadline_ms = 3500;
    make(GET, &op);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_REFUSED);
    EXPECT(script.now - start < 3500);
    EXPECT(script.entry_count == 2 || script.entry_count == 3);
    EXPECT_INT(lssb_last_error(me.client)->http_status, 503);
    closes();
}

static void an_attempt_has_its_time_and_is_tried_again(void)
{
    static const struct {
        const char *name;
        enum what what;
        bool connect;               /* connecting hangs, else the reply */
        lssb_status status;
        unsigned requests, connections;
    } rows[] = {
        { "get without a reply", GET, false, LSSB_OK, 2, 2 },
        { "stop without a reply", STOP, false, LSSB_E_DEADLINE, 1, 1 },
        { "get without a connection", GET, true, LSSB_E_DEADLINE, 0, 4 },
        { "stop without a connection", STOP, true, LSSB_E_DEADLINE, 0, 4 },
        { "write without a reply", WRITE, false, LSSB_OK, 2, 2 },
    };
    static const struct script_reply replies[] = { DOES(SCRIPT_SILENT),
                                                   FINE };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_stats_list stats;
        lssb_status status;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        me.config.timeout_ms = 400;
        me.config.transfer_timeout_ms = 800;
        route(0, requests[rows[i].what], 2, replies);
        opens();
        script.stuck_connecting = rows[i].connect;
        status = make(rows[i].what, NULL);
        EXPECT_INT(status, rows[i].status);
        EXPECT_INT(script.entry_count, rows[i].requests);
        lssb_stats(me.client, &stats);
        EXPECT_INT(stats.connections, rows[i].connections);
        if (status != LSSB_OK)
            EXPECT(strstr(lssb_error_text(me.client),
                          "time for one attempt") != NULL);
        closes();
    }
}

static void the_time_of_a_call_is_that_of_all_its_attempts(void)
{
    static const struct {
        const char *name;
        enum what what;
        bool resolve, connect;      /* what hangs; neither: the reply */
        uint32_t most_ms;
    } rows[] = {
#if !LSSB_WEBSOCKET
        { "run without a name", RUN, true, false, 11000 },
        { "run without a connection", RUN, false, true, 11000 },
        { "run without a reply", RUN, false, false, 11000 },
#endif
        { "create without a name", CREATE, true, false, 31000 },
        { "create without a connection", CREATE, false, true, 31000 },
        { "create without a reply", CREATE, false, false, 31000 },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_sandbox_options options = { 0 };
        lssb_run_options how = { 0 };
        lssb_sandbox box, out;
        lssb_result result;
        uint64_t start;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.route_count[0] = 0;
        route_one(0, requests[rows[i].what], 200, NULL, NULL, SCRIPT_SILENT);
        opens();
        script.stuck_resolving = rows[i].resolve;
        script.stuck_connecting = rows[i].connect;
        box = the_box("r");
        options.timeout_s = 1;
        how.timeout_s = 1;
        start = script.now;
        EXPECT_INT(rows[i].what == RUN
                       ? lssb_run(&box, "true", &how, &result, NULL)
                       : lssb_sandbox_create(me.client, &options, &out, NULL),
                   LSSB_E_DEADLINE);
        EXPECT(script.now - start <= rows[i].most_ms);
        closes();
    }
}

/* ------------------------------------------------------------- callbacks -- */

static lssb_op second;
static lssb_sandbox second_box;
static unsigned told;

static void told_more(lssb_op *op)
{
    lssb_sandbox box;
    lssb_usage usage;

    (void)op;
    told++;
    EXPECT_INT(lssb_usage_get(me.client, &usage, NULL), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &box, NULL),
               LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_step(me.client), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_wait(me.client, NULL, 0), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_close(me.client, NULL), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &second_box, &second),
               LSSB_PENDING);
}

static void a_callback_may_start_calls_but_not_wait(void)
{
    lssb_op op = { 0 };
    lssb_sandbox box;

    begin(SCRIPT_WHOLE);
    opens();
    memset(&second, 0, sizeof second);
    told = 0;
    op.done = told_more;
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &box, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(told, 1);
    EXPECT_INT(second.status, LSSB_OK);
    EXPECT_STR(second_box.name, "a");
    closes();
}

static void told_again(lssb_op *op)
{
    if (++told < 5)
        EXPECT_INT(lssb_sandbox_get(me.client, "a", &second_box, op),
                   LSSB_PENDING);
}

static void an_operation_may_be_used_again_in_its_own_done(void)
{
    lssb_op op = { 0 };

    begin(SCRIPT_WHOLE);
    opens();
    told = 0;
    op.done = told_again;
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &second_box, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &second_box, &op),
               LSSB_E_BUSY);
    EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(told, 5);
    EXPECT_INT(script_heard("GET " API "/boxes/a"), 5);
    closes();
}

/* Takes bytes as it is told to: not now, stop, cancel. */
static struct taker {
    char seen[1000];
    size_t len;
    unsigned calls;
    unsigned again_every;           /* 0: never */
    unsigned odd_at;                /* the call that does something else */
    lssb_status odd;
    lssb_op *cancel;
    char offered;                   /* the first byte that was not taken */
    bool refused;
} taker;

static lssb_status take_some(void *user, const void *bytes, size_t len)
{
    struct taker *t = user;

    t->calls++;
    EXPECT(len > 0 && t->len + len < sizeof t->seen);
    if (t->refused)
        EXPECT_INT(*(const char *)bytes, t->offered);
    t->refused = false;
    if (t->cancel != NULL && t->calls == t->odd_at)
        lssb_cancel(t->cancel);
    else if (t->calls == t->odd_at)
        return t->odd;
    if (t->again_every != 0 && t->calls % t->again_every != 0) {
        t->refused = true;
        t->offered = *(const char *)bytes;
        return LSSB_AGAIN;
    }
    memcpy(t->seen + t->len, bytes, len);
    t->len += len;
    return LSSB_OK;
}

/* Runs a command, or downloads a file, into the taker. */
static lssb_status take_by(bool run, lssb_op *op)
{
    static lssb_sandbox box;
    static lssb_run_options how;
    static lssb_result result;
    static lssb_download download;
    static lssb_file file;

    memset(&how, 0, sizeof how);
    memset(&download, 0, sizeof download);
    how.on_out = download.take = take_some;
    how.user = download.user = &taker;
    box = the_box(run ? "i" : "m");
    if (run)
        return lssb_run(&box, "seq", &how, &result, op);
    return lssb_file_download(&box, "m", &download, &file, op);
}

static void what_is_not_taken_is_offered_again(void)
{
    int mode, run;
    unsigned every;

    for (mode = 0; mode < SCRIPT_MODES; mode++)
        for (run = 0; run < 2; run++)
            for (every = 2; every < 5; every++) {
                begin((enum script_mode)mode);
                memset(&taker, 0, sizeof taker);
                taker.again_every = every;
                opens();
                EXPECT_INT(take_by(run, NULL), LSSB_OK);
                EXPECT_INT(taker.len, 603);
                EXPECT(memcmp(taker.seen, BIG, 603) == 0);
                EXPECT(taker.calls >= every);
                closes();
            }
}

static void a_callback_may_stop_its_call(void)
{
    int run;

    for (run = 0; run < 2; run++) {
        begin(SCRIPT_BYTE);
        model.slice = 20;
        memset(&taker, 0, sizeof taker);
        taker.odd_at = 7;
        taker.odd = run ? LSSB_END : LSSB_E_QUOTA;
        opens();
        EXPECT_INT(take_by(run, NULL), LSSB_E_STOPPED);
        EXPECT_INT(taker.calls, 7);
        EXPECT_INT(lssb_last_error(me.client)->layer, LSSB_LAYER_CALLER);
        closes();
    }
}

static lssb_status begin_later(void *user, const lssb_file *file)
{
    (void)user;
    (void)file;
    return LSSB_AGAIN;
}

static lssb_status detail_later(void *user, const char *path,
                                const char *value, size_t len)
{
    (void)user;
    (void)path;
    (void)value;
    (void)len;
    return LSSB_AGAIN;
}

static void only_output_can_be_offered_again(void)
{
    lssb_details details = { detail_later, NULL };
    lssb_download download = { 0 };
    lssb_sandbox box, out;
    lssb_file file;
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        begin((enum script_mode)mode);
        memset(&taker, 0, sizeof taker);
        opens();
        box = the_box("m");
        download.begin = begin_later;
        download.take = take_some;
        download.user = &taker;
        EXPECT_INT(lssb_file_download(&box, "m", &download, &file, NULL),
                   LSSB_E_STOPPED);
        EXPECT_INT(taker.calls, 0);
        EXPECT_INT(script.entry_count, 1);
        EXPECT_INT(lssb_sandbox_get_details(me.client, "a", &out, &details,
                                            NULL), LSSB_E_STOPPED);
        EXPECT_INT(script_heard("GET " API "/boxes/a"), 1);
        closes();
    }
}

static void what_is_never_taken_ends_after_a_transfers_time(void)
{
    uint64_t start;

    begin(SCRIPT_WHOLE);
    memset(&taker, 0, sizeof taker);
    taker.again_every = 1000000000;
    me.config.transfer_timeout_ms = 800;
    me.config.retries = LSSB_NONE;
    opens();
    start = script.now;
    EXPECT_INT(take_by(false, NULL), LSSB_E_DEADLINE);
    EXPECT_INT(taker.len, 0);
    EXPECT(script.now - start >= 800 && script.now - start < 1000);
    closes();
}

static void told_and_freed(lssb_op *op)
{
    told++;
    free(op);
}

static void an_operation_may_be_freed_in_its_own_done(void)
{
    static const enum what rows[] = { GET, DELETE };
    size_t i;

    for (i = 0; i < 2; i++) {
        lssb_op *op = calloc(1, sizeof *op);

        begin(SCRIPT_WHOLE);
        route_one(0, requests[GET], 200, BOX("r", "ready"), NULL,
                  SCRIPT_LENGTH);
        opens();
        told = 0;
        op->done = told_and_freed;
        EXPECT_INT(make(rows[i], op), LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, op, LSSB_FOREVER),
                   rows[i] == GET ? LSSB_OK : LSSB_E_NOT_FOUND);
        EXPECT_INT(told, 1);
        closes();
    }
}

static void a_callback_may_cancel_its_call_and_others(void)
{
    int run, self;

    for (run = 0; run < 2; run++)
        for (self = 0; self < 2; self++) {
            lssb_op op = { 0 }, other = { 0 };

            begin(SCRIPT_BYTE);
            model.slice = 20;
            route_one(0, requests[GET], 200, NULL, NULL, SCRIPT_SILENT);
            memset(&taker, 0, sizeof taker);
            taker.odd_at = 5;
            taker.cancel = self ? &op : &other;
            opens();
            EXPECT_INT(make(GET, &other), LSSB_PENDING);
            EXPECT_INT(take_by(run, &op), LSSB_PENDING);
            EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER),
                       self ? LSSB_E_CANCELED : LSSB_OK);
            lssb_cancel(&other);
            EXPECT_INT(lssb_wait(me.client, &other, LSSB_FOREVER),
                       LSSB_E_CANCELED);
            EXPECT_INT(taker.len == 603, !self);
            closes();
        }
}

static ptrdiff_t source_broken(void *ctx, uint64_t offset, void *bytes,
                               size_t len)
{
    (void)bytes;
    (void)len;
    return offset == 0 ? 1 : *(const int *)ctx;
}

static void a_source_that_fails_stops_its_upload(void)
{
    int said;

    for (said = -1; said < 1; said++) {
        lssb_sandbox box;
        lssb_source source;

        begin(SCRIPT_WHOLE);
        opens();
        box = the_box("l");
        source.read_at = source_broken;
        source.ctx = &said;
        source.size = 10;
        EXPECT_INT(lssb_file_upload(&box, "/l", &source, NULL, NULL),
                   LSSB_E_STOPPED);
        EXPECT_INT(script_heard("POST /l/upload?path=%2Fl"), 1);
        EXPECT(!script.entries[0].whole);
        closes();
    }
}

static void a_download_goes_on_where_it_was_lost(void)
{
    static const struct {
        const char *name, *etag;
        enum script_how then;
        lssb_status status;
        size_t len;
    } rows[] = {
        { "the same file", "ETag: \"e\"\r\n", SCRIPT_RANGES, LSSB_OK, 603 },
        { "no validator", NULL, SCRIPT_RANGES, LSSB_E_CONNECTION, 301 },
        { "a weak validator", "ETag: W/\"e\"\r\n", SCRIPT_RANGES,
          LSSB_E_CONNECTION, 301 },
        { "another file", "ETag: \"e\"\r\n", SCRIPT_LENGTH,
          LSSB_E_CONNECTION, 301 },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct script_reply replies[] = {
            { 200, BIG, NULL, SCRIPT_CUT, 0 }, { 200, BIG, NULL, 0, 0 }
        };

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.route_count[0] = 0;
        replies[0].headers = replies[1].headers = rows[i].etag;
        replies[1].how = rows[i].then;
        route(0, "GET /m/download?path=m", 2, replies);
        memset(&taker, 0, sizeof taker);
        opens();
        EXPECT_INT(take_by(false, NULL), rows[i].status);
        EXPECT_INT(taker.len, rows[i].len);
        EXPECT(memcmp(taker.seen, BIG, rows[i].len) == 0);
        closes();
    }
}

static char begins[64];

static lssb_status begin_noted(void *user, const lssb_file *file)
{
    (void)user;
    sprintf(begins + strlen(begins), "%s at %u; ",
            file->partial ? "part" : "whole", (unsigned)file->start);
    return LSSB_OK;
}

static void each_reply_is_told_until_a_byte_has_come(void)
{
    static const struct script_reply replies[] = {
        { 206, "f", "ETag: \"e\"\r\nContent-Range: bytes 5-5/10\r\n",
          SCRIPT_CUT, 0 },
        { 200, DIGITS, NULL, SCRIPT_LENGTH, 0 },
    };
    lssb_download download;
    lssb_file file;
    lssb_sandbox box;

    begin(SCRIPT_WHOLE);
    script.route_count[0] = 0;
    route(0, "GET /m/download?path=m", 2, replies);
    memset(&download, 0, sizeof download);
    memset(&taker, 0, sizeof taker);
    begins[0] = '\0';
    download.range.start = 5;
    download.range.length = 1;
    download.begin = begin_noted;
    download.take = take_some;
    download.user = &taker;
    opens();
    box = the_box("m");
    EXPECT_INT(lssb_file_download(&box, "m", &download, &file, NULL),
               LSSB_OK);
    EXPECT_STR(begins, "part at 5; whole at 0; ");
    EXPECT_INT(taker.len, 10);
    EXPECT(!file.partial);
    EXPECT_STR(file.etag, "");
    closes();
}

static void the_whole_instead_of_a_part_goes_on_as_the_whole(void)
{
    static const struct script_reply replies[] = {
        { 200, "64\r\n" HUNDRED "\r\n",
          "ETag: \"e\"\r\nTransfer-Encoding: chunked\r\n", SCRIPT_CLOSE, 0 },
        { 200, BIG, "ETag: \"e\"\r\n", SCRIPT_RANGES, 0 },
    };
    static const lssb_range ranges[] = {
        { 5, 10, 0, NULL, NULL }, { 5, 0, 0, NULL, NULL },
        { 0, 0, 7, NULL, NULL },
    };
    size_t i;

    for (i = 0; i < 3; i++) {
        lssb_download download = { 0 };
        lssb_file file;
        lssb_sandbox box;
        char range[64];

        begin(SCRIPT_WHOLE);
        script.route_count[0] = 0;
        route(0, "GET /m/download?path=m", 2, replies);
        memset(&taker, 0, sizeof taker);
        download.range = ranges[i];
        download.take = take_some;
        download.user = &taker;
        opens();
        box = the_box("m");
        EXPECT_INT(lssb_file_download(&box, "m", &download, &file, NULL),
                   LSSB_OK);
        EXPECT_INT(script.entry_count, 2);
        EXPECT_INT(script_header("Range", range, sizeof range), 1);
        EXPECT_STR(range, "bytes=100-");
        EXPECT_INT(taker.len, 603);
        EXPECT(memcmp(taker.seen, BIG, 603) == 0);
        EXPECT(!file.partial);
        EXPECT_INT(file.size, 603);
        closes();
    }
}

static void a_part_is_not_longer_than_was_asked_for(void)
{
    static const struct {
        const char *name, *headers, *body;
        lssb_status status;
    } rows[] = {
        { "the part", "Content-Range: bytes 5-6/10\r\n", "56", LSSB_OK },
        { "a longer part", "Content-Range: bytes 5-9/10\r\n", "56789",
          LSSB_E_CONNECTION },
        { "more than it says", "Content-Range: bytes 5-6/10\r\n", "56789",
          LSSB_E_CONNECTION },
        { "less than it says", "Content-Range: bytes 5-6/10\r\n", "5",
          LSSB_E_CONNECTION },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_download download = { 0 };
        lssb_file file;
        lssb_sandbox box;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.route_count[0] = 0;
        route_one(0, "GET /m/download?path=m", 206, rows[i].body,
                  rows[i].headers, SCRIPT_LENGTH);
        memset(&taker, 0, sizeof taker);
        download.range.start = 5;
        download.range.length = 2;
        download.take = take_some;
        download.user = &taker;
        opens();
        box = the_box("m");
        EXPECT_INT(lssb_file_download(&box, "m", &download, &file, NULL),
                   rows[i].status);
        EXPECT(taker.len <= 2);
        closes();
    }
}

static void a_form_needs_a_boundary_that_nobody_foresees(void)
{
    begin(SCRIPT_WHOLE);
    route_one(0, requests[WRITE], 200, "{}", NULL, SCRIPT_LENGTH);
    route_one(1, requests[GET], 200, BOX("r", "ready"), NULL, SCRIPT_LENGTH);
    opens();
    script.failed = SCRIPT_RANDOM;
    script.fail_on = true;
    EXPECT_INT(make(GET, NULL), LSSB_OK);
    EXPECT_INT(make(WRITE, NULL), LSSB_E_UNSUPPORTED);
    EXPECT(strstr(lssb_error_text(me.client), "random") != NULL);
    EXPECT_INT(script_heard(requests[WRITE]), 0);
    closes();
}

/* ------------------------------------------------------------ the end -- */

static void told_gone(lssb_op *op)
{
    (void)op;
    told++;
    EXPECT(!script.port_open);
    EXPECT_INT(script.open_now, 0);
}

static void a_client_can_be_closed_by_an_operation(void)
{
    lssb_op closer = { 0 }, op = { 0 }, late = { 0 };

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, NULL, NULL, SCRIPT_SILENT);
    opens();
    told = 0;
    closer.done = told_gone;
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &second_box, NULL), LSSB_OK);
    EXPECT_INT(make(GET, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 100), LSSB_AGAIN);
    EXPECT_INT(lssb_close(me.client, &closer), LSSB_PENDING);
    EXPECT_INT(lssb_close(me.client, NULL), LSSB_E_BUSY);
    EXPECT_INT(make(GET, &late), LSSB_E_CANCELED);
    EXPECT_INT(late.status, LSSB_E_CANCELED);
    while (lssb_step(me.client) != LSSB_END)
        continue;
    EXPECT_INT(told, 1);
    EXPECT_INT(closer.status, LSSB_OK);
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    script_client_gone(&me);
    EXPECT_INT(lssb_close(NULL, NULL), LSSB_OK);
}

static void waiting_for_a_call_of_a_closing_client_tells_its_end(void)
{
    lssb_op closer = { 0 }, op = { 0 };

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, NULL, NULL, SCRIPT_SILENT);
    opens();
    EXPECT_INT(make(GET, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 100), LSSB_AGAIN);
    EXPECT_INT(lssb_close(me.client, &closer), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    if (closer.status == LSSB_PENDING)
        lssb_wait(me.client, &closer, LSSB_FOREVER);
    EXPECT_INT(closer.status, LSSB_OK);
    script_client_gone(&me);
}

static lssb_io cannot_open(void *context, int32_t *code)
{
    (void)context;
    *code = 24;
    return LSSB_IO_LIMIT;
}

static void a_port_that_cannot_be_opened_leaves_nothing(void)
{
    static lssb_port port;
    lssb_error why;

    begin(SCRIPT_WHOLE);
    port = script_port;
    port.open = cannot_open;
    me.config.port = &port;
    me.size = lssb_memory_needed(&me.config);
    me.block = malloc(me.size);
    me.config.memory = me.block;
    me.config.memory_size = me.size;
    EXPECT_INT(lssb_open_why(&me.client, &me.config, &why), LSSB_E_NO_MEMORY);
    EXPECT(me.client == NULL);
    EXPECT_INT(why.system_code, 24);
    free(me.block);
    port.version = LSSB_PORT_VERSION + 1;
    EXPECT_INT(lssb_open_why(&me.client, &me.config, &why),
               LSSB_E_UNSUPPORTED);
}

static void sockets_without_room_are_counted_only(void)
{
    lssb_socket sockets[2];
    lssb_op op = { 0 };
    uint32_t timeout_ms;

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, NULL, NULL, SCRIPT_SILENT);
    opens();
    op.deadline_ms = 5000;
    EXPECT_INT(lssb_sockets(me.client, sockets, 2, &timeout_ms), 0);
    EXPECT_INT(timeout_ms, LSSB_FOREVER);
    EXPECT_INT(make(GET, &op), LSSB_PENDING);
    EXPECT_INT(lssb_sockets(me.client, sockets, 2, &timeout_ms), 0);
    EXPECT_INT(timeout_ms, 0);
    EXPECT_INT(lssb_wait(me.client, &op, 100), LSSB_AGAIN);
    EXPECT_INT(lssb_sockets(me.client, NULL, 0, &timeout_ms), 1);
    EXPECT_INT(timeout_ms, 4900);
    EXPECT_INT(lssb_sockets(me.client, sockets, 2, &timeout_ms), 1);
    EXPECT(sockets[0].read && !sockets[0].write);
    closes();
    EXPECT_INT(op.status, LSSB_E_CANCELED);
}

static void a_wait_ends_after_its_time(void)
{
    lssb_op op = { 0 };
    uint64_t start;

    begin(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, NULL, NULL, SCRIPT_SILENT);
    opens();
    EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(make(GET, &op), LSSB_PENDING);
    start = script.now;
    EXPECT_INT(lssb_wait(me.client, &op, 1234), LSSB_AGAIN);
    EXPECT_INT(script.now - start, 1234);
    EXPECT_INT(lssb_wait(me.client, NULL, 0), LSSB_AGAIN);
    EXPECT_INT(script.now - start, 1234);
    lssb_cancel(&op);
    EXPECT_INT(lssb_wait(me.client, NULL, LSSB_FOREVER), LSSB_OK);
    closes();
}

#if !defined(_WIN32)

static lssb_op *posted;

static void on_signal(int number)
{
    (void)number;
    lssb_post_cancel(posted);
}

static void *post_cancel(void *by_signal)
{
    if (by_signal != NULL)
        pthread_kill(*(pthread_t *)by_signal, SIGUSR1);
    else
        lssb_post_cancel(posted);
    return NULL;
}

/* Steps by poll() until an operation is final. */
static void poll_until_final(lssb_client *client, const lssb_op *op)
{
    while (op->status == LSSB_PENDING) {
        lssb_socket sockets[16];
        struct pollfd list[16];
        uint32_t timeout_ms;
        size_t i, count = lssb_sockets(client, sockets, 16, &timeout_ms);

        EXPECT(count > 0 && count <= 16);
        for (i = 0; i < count; i++) {
            list[i].fd = (int)sockets[i].handle;
            list[i].events = (short)((sockets[i].read ? POLLIN : 0) |
                                     (sockets[i].write ? POLLOUT : 0));
        }
        poll(list, (nfds_t)count,
             timeout_ms == LSSB_FOREVER ? -1 : (int)timeout_ms);
        lssb_step(client);
    }
}

/* A socket that takes connections, and says nothing. */
static int silent_server(char *endpoint)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int server = socket(AF_INET, SOCK_STREAM, 0);

    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(server, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(server, 4) != 0 ||
        getsockname(server, (struct sockaddr *)&at, &len) != 0)
        script_stuck("no server");
    sprintf(endpoint, "http://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    return server;
}

static void threads_and_signals_may_cancel(void)
{
    struct sigaction action;
    pthread_t self = pthread_self(), thread;
    char endpoint[64];
    int i, server = silent_server(endpoint);

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    for (i = 0; i < 20; i++) {
        lssb_config config = { 0 };
        lssb_client *client;
        lssb_sandbox box;
        lssb_op op = { 0 };

        config.endpoint = endpoint;
        config.no_environment = true;
        EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
        EXPECT_INT(lssb_sandbox_get(client, "a", &box, &op), LSSB_PENDING);
        posted = &op;
        EXPECT_INT(pthread_create(&thread, NULL, post_cancel,
                                  i % 2 ? &self : NULL), 0);
        if (i % 4 < 2)
            poll_until_final(client, &op);
        EXPECT_INT(lssb_wait(client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
        pthread_join(thread, NULL);
        EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    }
    close(server);
}

#endif

/* ---------------------------------------------------------------- memory -- */

static void the_memory_that_is_needed_is_exact(void)
{
    static const lssb_pair headers[] = { { "X-A", "1" }, { "X-B", "" } };
    static const char *const environment[] = {
        "LANGSMITH_API_KEY", " key from the environment ", "HTTP_PROXY",
        "http://user:pass%20word@proxy.test:8080", "NO_PROXY", "a,b,c", NULL
    };
    static const uint32_t slots[] = { 1, 2, 3, 4, 7, 16, 64 };
    size_t i;
    int how;

    for (i = 0; i < sizeof slots / sizeof slots[0]; i++)
        for (how = 0; how < 8; how++) {
            lssb_client *client;
            lssb_error why;

            begin(SCRIPT_WHOLE);
            me.config.slots = slots[i];
            me.config.endpoint = how & 1 ? "http://api.test/v2/sandboxes"
                                         : "http://api.test";
            if (how & 2) {
                me.config.headers = headers;
                me.config.header_count = 2;
                me.config.tenant_id = "tenant";
            }
            script.environment = environment;
            me.config.no_environment = (how & 4) == 0;
            if (how & 4)
                me.config.api_key = NULL;
            opens();
            EXPECT_INT(lssb_usage_get(me.client, &(lssb_usage){ 0 }, NULL),
                       how & 4 ? LSSB_E_NOT_FOUND : LSSB_OK);
            closes();
            me.block = malloc(me.size - 1);
            me.config.memory = me.block;
            me.config.memory_size = me.size - 1;
            EXPECT_INT(lssb_open_why(&client, &me.config, &why),
                       LSSB_E_NO_MEMORY);
            EXPECT(client == NULL);
            EXPECT(why.message[0] != '\0');
            free(me.block);
        }
}

static void without_memory_there_is_no_client(void)
{
    lssb_client *client = (lssb_client *)&client;
    lssb_error why;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_open_why(&client, &me.config, &why), LSSB_E_NO_MEMORY);
    EXPECT(client == NULL);
}

static void a_block_is_aligned_for_any_type(void)
{
    union any {
        uint64_t number;
        void *pointer;
        long double real;
    };
    struct apart {
        char byte;
        union any any;
    };
    const size_t align = offsetof(struct apart, any);
    uint8_t *block;
    size_t i;

    begin(SCRIPT_WHOLE);
    me.size = lssb_memory_needed(&me.config);
    block = malloc(me.size + 2 * align);
    for (i = 0; i < 2 * align; i++) {
        uint8_t *at = block + i;
        lssb_error why;

        me.config.memory = at;
        me.config.memory_size = me.size;
        if ((uintptr_t)at % align == 0) {
            EXPECT_INT(lssb_open_why(&me.client, &me.config, &why), LSSB_OK);
            EXPECT_INT(lssb_close(me.client, NULL), LSSB_OK);
            continue;
        }
        EXPECT_INT(lssb_open_why(&me.client, &me.config, &why),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT(strstr(why.message, "aligned") != NULL);
    }
    free(block);
}

/* Whether nothing of an error is left but its status, layer and message. */
static bool error_is_bare(const lssb_error *error)
{
    static lssb_error bare;
    const char *end = memchr(error->message, '\0', sizeof error->message);

    memset(&bare, 0, sizeof bare);
    return end != NULL && error->resource == 0 && error->http_status == 0 &&
           error->tls_code == 0 && error->system_code == 0 &&
           error->attempts == 0 && error->retry_after_ms == 0 &&
           error->problem_count == 0 && error->operation[0] == '\0' &&
           error->type[0] == '\0' && error->error_id[0] == '\0' &&
           error->field[0] == '\0' && error->quota[0] == '\0' &&
           error->last_status[0] == '\0' &&
           memcmp(error->problems, bare.problems, sizeof bare.problems) == 0;
}

static void why_a_client_does_not_open_holds_nothing_else(void)
{
    enum { PINS, MEMORY, ENDPOINT, HEADER, ROWS };
    static const lssb_pair header = { "A B", "1" };
    lssb_feature_list features;
    int i;

    lssb_features(&features);
    for (i = 0; i < ROWS; i++) {
        lssb_error why;

        if (i == PINS && strcmp(features.tls, "none") == 0)
            continue;
        begin(SCRIPT_WHOLE);
        if (i == PINS)
            me.config.endpoint = "https://api.test";
        me.config.trust.pin_count = i == PINS;
        if (i == ENDPOINT)
            me.config.endpoint = "nowhere";
        me.config.headers = &header;
        me.config.header_count = i == HEADER;
        memset(&why, 0x55, sizeof why);
        EXPECT(lssb_open_why(&me.client, &me.config, &why) < 0);
        EXPECT(why.status < 0);
        EXPECT_INT(why.layer, LSSB_LAYER_CALLER);
        EXPECT(why.message[0] != '\0' && why.message[0] != 0x55);
        EXPECT(error_is_bare(&why));
    }
}

/* --------------------------------------------------------- configuration -- */

/* What one request of a client looked like. */
static char seen_line[256], seen_host[128], seen_key[128];

/* Opens a client as me.config says and lets it ask for the usage. */
static lssb_status ask(lssb_error *why)
{
    lssb_usage usage;
    lssb_status status;

    seen_line[0] = seen_host[0] = seen_key[0] = '\0';
    me.size = lssb_memory_needed(&me.config);
    me.block = malloc(me.size + 1);
    me.config.memory = me.block;
    me.config.memory_size = me.size;
    if (me.size == 0)
        me.config.memory = NULL;
    status = lssb_open_why(&me.client, &me.config, why);
    if (status == LSSB_OK) {
        lssb_usage_get(me.client, &usage, NULL);
        if (script.entry_count > 0)
            strcpy(seen_line, script.entries[0].line);
        script_header("Host", seen_host, sizeof seen_host);
        script_header("X-Api-Key", seen_key, sizeof seen_key);
        EXPECT_INT(lssb_close(me.client, NULL), LSSB_OK);
    } else {
        EXPECT(me.client == NULL);
        EXPECT_INT(why->status, status);
        EXPECT(why->message[0] != '\0');
    }
    free(me.block);
    EXPECT_INT(script.open_now, 0);
    return status;
}

static void endpoints_are_completed(void)
{
    static const struct {
        const char *endpoint, *line, *host;
        uint16_t port;
    } rows[] = {
        { "http://api.test", "GET /v2/sandboxes/usage", "api.test", 80 },
        { "http://api.test/", "GET /v2/sandboxes/usage", "api.test", 80 },
        { " http://api.test:8080/\t\n", "GET /v2/sandboxes/usage",
          "api.test:8080", 8080 },
        { "http://api.test/v2/sandboxes", "GET /v2/sandboxes/usage",
          "api.test", 80 },
        { "http://api.test/v2/sandboxes///", "GET /v2/sandboxes/usage",
          "api.test", 80 },
        { "http://api.test/api/v2/sandboxes/",
          "GET /api/v2/sandboxes/usage", "api.test", 80 },
        { "http://api.test/some/where/",
          "GET /some/where/v2/sandboxes/usage", "api.test", 80 },
        { "HTTP://api.test", "GET /v2/sandboxes/usage", "api.test", 80 },
        { "http://[::1]:81", "GET /v2/sandboxes/usage", "[::1]:81", 81 },
        { "ftp://api.test", NULL, NULL, 0 },
        { "api.test", NULL, NULL, 0 },
        { "http://", NULL, NULL, 0 },
        { "http://user:secret@api.test", NULL, NULL, 0 },
        { "http://api.test/?a=b", NULL, NULL, 0 },
        { "http://api.test:0", NULL, NULL, 0 },
        { "http://api.test:65536", NULL, NULL, 0 },
        { "http://a b/", NULL, NULL, 0 },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_error why;
        lssb_status status;

        test_row = rows[i].endpoint;
        begin(SCRIPT_WHOLE);
        me.config.endpoint = rows[i].endpoint;
        status = ask(&why);
        EXPECT_INT(status, rows[i].line != NULL ? LSSB_OK
                                                : LSSB_E_INVALID_ARGUMENT);
        if (status != LSSB_OK) {
            EXPECT_INT(lssb_memory_needed(&me.config), 0);
            EXPECT(strstr(why.message, "secret") == NULL);
            continue;
        }
        EXPECT_STR(seen_line, rows[i].line);
        EXPECT_STR(seen_host, rows[i].host);
        EXPECT_INT(script.port, rows[i].port);
    }
}

static void the_environment_fills_what_is_not_given(void)
{
    static const struct {
        const char *name;
        const char *environment[9];
        const char *endpoint, *api_key, *tenant;    /* of the config */
        const char *host, *key, *tenant_sent;
    } rows[] = {
        { "langsmith", { "LANGSMITH_ENDPOINT", "http://env.test",
                         "LANGSMITH_API_KEY", "k1", NULL },
          NULL, NULL, NULL, "env.test", "k1", NULL },
        { "langchain", { "LANGCHAIN_ENDPOINT", "http://old.test",
                         "LANGCHAIN_API_KEY", "k2", NULL },
          NULL, NULL, NULL, "old.test", "k2", NULL },
        { "langsmith first", { "LANGCHAIN_ENDPOINT", "http://old.test",
                               "LANGSMITH_ENDPOINT", "http://new.test",
                               NULL },
          NULL, NULL, NULL, "new.test", "", NULL },
        { "blank is unset", { "LANGSMITH_ENDPOINT", " \t",
                              "LANGCHAIN_ENDPOINT", " http://old.test\n",
                              "LANGSMITH_API_KEY", "", "LANGCHAIN_API_KEY",
                              " k3 ", NULL },
          NULL, NULL, NULL, "old.test", "k3", NULL },
        { "given wins", { "LANGSMITH_ENDPOINT", "http://env.test",
                          "LANGSMITH_API_KEY", "k1", NULL },
          "http://given.test", "k4", NULL, "given.test", "k4", NULL },
        { "an empty key is none", { "LANGSMITH_API_KEY", "k1", NULL },
          "http://given.test", "", NULL, "given.test", "", NULL },
        { "tenant", { "LANGSMITH_TENANT_ID", "t1", "LANGSMITH_WORKSPACE_ID",
                      "w1", NULL },
          "http://given.test", NULL, NULL, "given.test", "", "t1" },
        { "workspace", { "LANGSMITH_WORKSPACE_ID", "w1", NULL },
          "http://given.test", NULL, NULL, "given.test", "", "w1" },
        { "tenant given", { "LANGSMITH_TENANT_ID", "t1", NULL },
          "http://given.test", NULL, "t2", "given.test", "", "t2" },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char tenant[64];
        lssb_error why;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.environment = rows[i].environment;
        me.config.no_environment = false;
        me.config.endpoint = rows[i].endpoint;
        me.config.api_key = rows[i].api_key;
        me.config.tenant_id = rows[i].tenant;
        EXPECT_INT(ask(&why), LSSB_OK);
        EXPECT_STR(seen_host, rows[i].host);
        EXPECT_STR(seen_key, rows[i].key);
        EXPECT_INT(script_header("X-Tenant-Id", tenant, sizeof tenant),
                   rows[i].tenant_sent != NULL);
        EXPECT_STR(tenant,
                   rows[i].tenant_sent != NULL ? rows[i].tenant_sent : "");
    }
    test_row = "no_environment";
    begin(SCRIPT_WHOLE);
    script.environment = rows[0].environment;
    me.config.api_key = NULL;
    EXPECT_INT(ask(&(lssb_error){ 0 }), LSSB_OK);
    EXPECT_STR(seen_host, "api.test");
    EXPECT_STR(seen_key, "");
}

static void the_environment_is_given_back_whatever_became_of_it(void)
{
    lssb_client *client;
    lssb_error why;

    begin(SCRIPT_WHOLE);
    me.config.no_environment = false;
    me.config.endpoint = "ftp://api.test";
    script.forgotten = 0;
    EXPECT_INT(lssb_open_why(&client, &me.config, &why),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(script.forgotten, 1);
    EXPECT_INT(lssb_memory_needed(&me.config), 0);
    EXPECT_INT(script.forgotten, 2);
    me.config.endpoint = "http://api.test";
    EXPECT(lssb_memory_needed(&me.config) > 0);
    EXPECT_INT(script.forgotten, 3);
    EXPECT_INT(ask(&why), LSSB_OK);
    EXPECT(script.forgotten > 3);
}

/* What a TLS backend was told to take for the system's certificates. */
static char system_file[64];

static lssb_status tls_start_told(void *session, const lssb_tls_setup *setup)
{
    const char *file = setup->trust->system_file;

    strcpy(system_file, file != NULL ? file : "NULL");
    return script_tls_start(session, setup);
}

static void the_systems_certificates_are_where_they_are_said_to_be(void)
{
    static const char *const environment[] = { "SSL_CERT_FILE", "/env.pem",
                                               NULL };
    static const char *const blank[] = { "SSL_CERT_FILE", " ", NULL };
    static const struct {
        const char *name;
        const char *const *environment;
        bool no_environment;
        const char *given, *right;
    } rows[] = {
        { "nothing said", NULL, false, NULL, "NULL" },
        { "by the environment", environment, false, NULL, "/env.pem" },
        { "blank", blank, false, NULL, "NULL" },
        { "without the environment", environment, true, NULL, "NULL" },
        { "given", environment, false, "/given.pem", "/given.pem" },
        { "given alone", environment, true, "/given.pem", "/given.pem" },
    };
    lssb_tls_backend backend = script_tls;
    size_t i;

    backend.start = tls_start_told;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char given[16] = "";
        lssb_error why;

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.records = true;
        script.environment = rows[i].environment;
        me.config.endpoint = "https://api.test";
        me.config.tls = &backend;
        me.config.no_environment = rows[i].no_environment;
        if (rows[i].given != NULL)
            me.config.trust.system_file = strcpy(given, rows[i].given);
        strcpy(system_file, "not asked");
        EXPECT_INT(ask(&why), LSSB_OK);
        EXPECT_STR(system_file, rows[i].right);
    }
}

static void a_key_is_not_shown_to_everybody(void)
{
    static const lssb_pair none[] = { { "X-Other", "1" } },
                           secret[] = { { "authorization", "Bearer 1" } },
                           service[] = { { "x-service-key", "1" } };
    static const struct {
        const char *endpoint, *key;
        const lssb_pair *header;
        lssb_status status;
    } rows[] = {
        { "http://api.test", "k", none, LSSB_E_INVALID_ARGUMENT },
        { "http://api.test", NULL, none, LSSB_OK },
        { "http://api.test", NULL, secret, LSSB_E_INVALID_ARGUMENT },
        { "http://api.test", NULL, service, LSSB_E_INVALID_ARGUMENT },
        { "http://127.0.0.1", "k", secret, LSSB_OK },
        { "http://127.9.9.9:1", "k", none, LSSB_OK },
        { "http://[::1]", "k", none, LSSB_OK },
        { "http://localhost", "k", none, LSSB_OK },
        { "http://localhost.evil.test", "k", none, LSSB_E_INVALID_ARGUMENT },
        { "http://10.0.0.1", "k", none, LSSB_E_INVALID_ARGUMENT },
    };
    lssb_sandbox box;
    lssb_result result;
    lssb_op op = { 0 };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_error why;

        test_row = rows[i].endpoint;
        begin(SCRIPT_WHOLE);
        me.config.allow_cleartext = false;
        me.config.endpoint = rows[i].endpoint;
        me.config.api_key = rows[i].key;
        me.config.headers = rows[i].header;
        me.config.header_count = 1;
        EXPECT_INT(ask(&why), rows[i].status);
        if (rows[i].status != LSSB_OK)
            EXPECT_INT(script.opened, 0);
    }
    test_row = "a box in clear text";
    begin(SCRIPT_WHOLE);
    me.config.allow_cleartext = false;
    me.config.endpoint = "http://127.0.0.1";
    opens();
    box = the_box("h");
    EXPECT_INT(lssb_run(&box, "true", NULL, &result, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(script.opened, 0);
    closes();
    test_row = "a call's header";
    begin(SCRIPT_WHOLE);
    me.config.allow_cleartext = false;
    me.config.api_key = NULL;
    opens();
    op.headers = secret;
    op.header_count = 1;
    EXPECT_INT(make(GET, &op), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(script.opened, 0);
    closes();
}

static void a_key_is_not_shown_to_a_proxy(void)
{
    static const struct {
        const char *endpoint, *proxy, *key;
        bool allow;
        lssb_status status;
    } rows[] = {
        { "http://localhost:9", "http://proxy.test:3128", "k", false,
          LSSB_E_INVALID_ARGUMENT },
        { "http://127.0.0.1:9", "http://10.0.0.1:3128", "k", false,
          LSSB_E_INVALID_ARGUMENT },
        { "http://localhost:9", "http://proxy.test:3128", "k", true,
          LSSB_OK },
        { "http://localhost:9", "http://proxy.test:3128", "", false,
          LSSB_OK },
        { "http://localhost:9", "http://127.0.0.1:3128", "k", false,
          LSSB_OK },
        { "http://localhost:9", "http://localhost:3128", "k", false,
          LSSB_OK },
        { "http://localhost:9", "", "k", false, LSSB_OK },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_error why;

        test_row = rows[i].proxy;
        begin(SCRIPT_WHOLE);
        me.config.allow_cleartext = rows[i].allow;
        me.config.endpoint = rows[i].endpoint;
        me.config.proxy = rows[i].proxy;
        me.config.api_key = rows[i].key;
        EXPECT_INT(ask(&why), rows[i].status);
        if (rows[i].status != LSSB_OK)
            EXPECT_INT(script.opened, 0);
    }
}

static void a_later_header_replaces_an_earlier_one(void)
{
    static const struct {
        const char *name;
        lssb_pair config[2], call[2];
        const char *header, *value;
        unsigned count;
    } rows[] = {
        { "the key", { { 0 } }, { { 0 } }, "X-Api-Key", "key-1", 1 },
        { "the key by config", { { "x-api-key", "c" } }, { { 0 } },
          "X-Api-Key", "c", 1 },
        { "the key by call", { { "x-api-key", "c" } },
          { { "X-API-KEY", "d" } }, "X-Api-Key", "d", 1 },
        { "the agent", { { 0 } }, { { 0 } }, "User-Agent",
          "lssb/" LSSB_VERSION, 1 },
        { "the agent by config", { { "user-agent", "me/1" } }, { { 0 } },
          "User-Agent", "me/1", 1 },
        { "the agent by call", { { 0 } }, { { "User-agent", "me/2" } },
          "User-Agent", "me/2", 1 },
        { "twice in one list", { { "A", "1" }, { "a", "2" } }, { { 0 } },
          "A", "2", 1 },
        { "config and call", { { "A", "1" }, { "B", "2" } },
          { { "b", "3" }, { "C", "4" } }, "B", "3", 1 },
        { "an empty value", { { "A", "" } }, { { 0 } }, "A", "", 1 },
        { "another name", { { "AB", "1" } }, { { 0 } }, "A", "", 0 },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_op op = { 0 };
        char value[64];

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        me.config.headers = rows[i].config;
        while (me.config.header_count < 2 &&
               rows[i].config[me.config.header_count].name != NULL)
            me.config.header_count++;
        op.headers = rows[i].call;
        while (op.header_count < 2 &&
               rows[i].call[op.header_count].name != NULL)
            op.header_count++;
        opens();
        EXPECT_INT(make(GET, &op), LSSB_PENDING);
        lssb_wait(me.client, &op, LSSB_FOREVER);
        EXPECT_INT(script_header(rows[i].header, value, sizeof value),
                   rows[i].count);
        EXPECT_STR(value, rows[i].value);
        closes();
    }
}

static void headers_that_would_break_a_request_are_refused(void)
{
    static const lssb_pair rows[] = {
        { "A", "1\r\nB: 2" }, { "A", "1\n" }, { "A", "1\r" }, { "A\r\nB", "1" },
        { "A B", "1" }, { "A:", "1" }, { "", "1" }, { NULL, "1" },
        { "A", NULL }, { "Host", "x" }, { "content-length", "3" },
        { "Transfer-Encoding", "chunked" }, { "Connection", "close" },
        { "Content-Type", "text/plain" }, { "A", "\x01" },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_op op = { 0 };
        lssb_error why;

        test_row = rows[i].name != NULL ? rows[i].name : "NULL";
        begin(SCRIPT_WHOLE);
        me.config.headers = &rows[i];
        me.config.header_count = 1;
        EXPECT_INT(ask(&why), LSSB_E_INVALID_ARGUMENT);
        begin(SCRIPT_WHOLE);
        opens();
        op.headers = &rows[i];
        op.header_count = 1;
        op.error = &why;
        EXPECT_INT(make(GET, &op), LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(why.status, LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(script.entry_count, 0);
        closes();
    }
    test_row = "the key";
    begin(SCRIPT_WHOLE);
    me.config.api_key = "a\nb";
    EXPECT_INT(ask(&(lssb_error){ 0 }), LSSB_E_INVALID_ARGUMENT);
}

static void proxies_are_used_where_they_should_be(void)
{
    static const struct {
        const char *name;
        const char *environment[7];
        const char *proxy, *endpoint;
        const char *resolved, *line;
        uint16_t port;
        const char *authorization;
    } rows[] = {
        { "given", { NULL }, "http://proxy.test:3128", "http://api.test",
          "proxy.test", "GET http://api.test/v2/sandboxes/usage", 3128, "" },
        { "with a password", { NULL }, "http://user:pass@proxy.test:3128",
          "http://api.test:81", "proxy.test",
          "GET http://api.test:81/v2/sandboxes/usage", 3128,
          "Basic dXNlcjpwYXNz" },
        { "of the environment", { "HTTP_PROXY", "http://proxy.test:1", NULL },
          NULL, "http://api.test", "proxy.test",
          "GET http://api.test/v2/sandboxes/usage", 1, "" },
        { "in small letters", { "http_proxy", "http://proxy.test:1", NULL },
          NULL, "http://api.test", "proxy.test",
          "GET http://api.test/v2/sandboxes/usage", 1, "" },
        { "of a header, in CGI", { "REQUEST_METHOD", "GET", "HTTP_PROXY",
                                   "http://proxy.test:1", NULL },
          NULL, "http://api.test", "api.test", "GET /v2/sandboxes/usage", 80,
          "" },
        { "in small letters, in CGI", { "REQUEST_METHOD", "GET", "http_proxy",
                                        "http://proxy.test:1", NULL },
          NULL, "http://api.test", "proxy.test",
          "GET http://api.test/v2/sandboxes/usage", 1, "" },
        { "in CGI where names ignore case", { "REQUEST_METHOD", "GET",
                                              "request_method", "GET",
                                              "http_proxy",
                                              "http://proxy.test:1", NULL },
          NULL, "http://api.test", "api.test", "GET /v2/sandboxes/usage", 80,
          "" },
        { "for all", { "ALL_PROXY", "http://proxy.test:1", NULL }, NULL,
          "http://api.test", "proxy.test",
          "GET http://api.test/v2/sandboxes/usage", 1, "" },
        { "for the other scheme", { "HTTPS_PROXY", "http://proxy.test:1",
                                    NULL },
          NULL, "http://api.test", "api.test", "GET /v2/sandboxes/usage", 80,
          "" },
        { "switched off", { "HTTP_PROXY", "http://proxy.test:1", NULL }, "",
          "http://api.test", "api.test", "GET /v2/sandboxes/usage", 80, "" },
        { "not for this one", { "HTTP_PROXY", "http://proxy.test:1",
                                "NO_PROXY", "other,.test", NULL },
          NULL, "http://api.test", "api.test", "GET /v2/sandboxes/usage", 80,
          "" },
        { "not for loopback", { "HTTP_PROXY", "http://proxy.test:1", NULL },
          NULL, "http://localhost", "localhost", "GET /v2/sandboxes/usage",
          80, "" },
        { "by CONNECT", { "HTTPS_PROXY", "http://proxy.test:1", NULL }, NULL,
          "https://api.test", "proxy.test", "CONNECT api.test:443", 1, "" },
    };
    lssb_feature_list features;
    size_t i;

    lssb_features(&features);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char value[64];
        lssb_error why;

        if (strncmp(rows[i].endpoint, "https", 5) == 0 &&
            strcmp(features.tls, "none") == 0)
            continue;
        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        script.environment = rows[i].environment;
        me.config.no_environment = false;
        me.config.proxy = rows[i].proxy;
        me.config.endpoint = rows[i].endpoint;
        EXPECT_INT(ask(&why), LSSB_OK);
        EXPECT_STR(script.name, rows[i].resolved);
        EXPECT_STR(seen_line, rows[i].line);
        EXPECT_INT(script.port, rows[i].port);
        EXPECT_INT(script_header("Proxy-Authorization", value, sizeof value),
                   rows[i].authorization[0] != '\0');
        EXPECT_STR(value, rows[i].authorization);
    }
}

/* ------------------------------------------------------------- walking -- */

/* Walks the whole list with room for `max`, and says what came. */
static void walk(size_t max, char *to)
{
    lssb_sandbox_list list;
    lssb_sandbox boxes[3];
    lssb_status status;
    size_t count, i;

    memset(&list, 0, sizeof list);
    *to = '\0';
    while ((status = lssb_sandbox_next(me.client, &list, boxes, max, &count,
                                       NULL)) == LSSB_OK)
        for (i = 0; i < count && strlen(to) < 60; i++)
            strcat(to, boxes[i].name);
    EXPECT_INT(status, LSSB_END);
    EXPECT_INT(lssb_sandbox_next(me.client, &list, boxes, max, &count, NULL),
               LSSB_END);
}

#define R(name) BOX(name, "ready")
#define ITEMS(boxes, cursor) \
    "{\"items\":[" boxes "],\"next_cursor\":" cursor ",\"sandboxes\":[" boxes \
    "],\"offset\":0}"

static void lists_are_walked_by_cursor(void)
{
    char seen[64];
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        begin((enum script_mode)mode);
        script.route_count[0] = 0;
        route_one(0, "GET " API "/boxes?page_size=2", 200,
                  ITEMS(R("p") "," R("q"), "\"c/1\""), NULL, SCRIPT_LENGTH);
        route_one(1, "GET " API "/boxes?page_size=2&cursor=c%2F1", 200,
                  ITEMS(R("r"), "\"c2\""), NULL, SCRIPT_CHUNKED);
        route_one(2, "GET " API "/boxes?page_size=2&cursor=c2", 200,
                  ITEMS(R("s"), "\"c2\""), NULL, SCRIPT_CLOSE);
        opens();
        walk(2, seen);
        EXPECT_STR(seen, "pqrs");
        EXPECT_INT(script.entry_count, 3);
        closes();
    }
}

static void a_page_that_is_larger_than_the_room_is_asked_for_again(void)
{
    char seen[64];

    begin(SCRIPT_WHOLE);
    script.route_count[0] = 0;
    route_one(0, "GET " API "/boxes?page_size=1", 200,
              ITEMS(R("p") "," R("q") "," R("r"), "\"c1\""), NULL,
              SCRIPT_LENGTH);
    route_one(1, "GET " API "/boxes?page_size=1&cursor=c1", 200,
              ITEMS(R("s") "," R("t"), "null"), NULL, SCRIPT_LENGTH);
    opens();
    walk(1, seen);
    EXPECT_STR(seen, "pqrst");
    closes();
}

static void lists_of_older_servers_are_walked_by_offset(void)
{
    char seen[64];
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        begin((enum script_mode)mode);
        script.route_count[0] = 0;
        route_one(0, "GET " API "/boxes?page_size=2", 200,
                  "{\"sandboxes\":[" R("p") "," R("q") "," R("r")
                  "],\"offset\":0}", NULL, SCRIPT_LENGTH);
        route_one(1, "GET " API "/boxes?limit=2&offset=2", 200,
                  "{\"offset\":9,\"sandboxes\":[" R("r") "," R("s") "]}",
                  NULL, SCRIPT_LENGTH);
        route_one(2, "GET " API "/boxes?limit=2&offset=4", 200,
                  "{\"sandboxes\":[" R("t") "]}", NULL, SCRIPT_LENGTH);
        opens();
        walk(2, seen);
        EXPECT_STR(seen, "pqrst");
        closes();
    }
}

static void filters_are_sent_encoded(void)
{
    static const char *const labels[] = { "a=b c", "d" };
    lssb_sandbox_list list;
    lssb_sandbox boxes[1];
    size_t count;

    begin(SCRIPT_WHOLE);
    memset(&list, 0, sizeof list);
    list.name_contains = "x/y&z";
    list.status = "ready";
    list.created_by = "me";
    list.labels = labels;
    list.label_count = 2;
    list.sort_by = "name";
    list.sort_order = "asc";
    route_one(0, "GET " API "/boxes?page_size=1&name_contains=x%2Fy%26z"
              "&status=ready&created_by=me&label=a%3Db%20c&label=d"
              "&sort_by=name&sort_order=asc", 200, "{\"items\":[]}", NULL,
              SCRIPT_LENGTH);
    opens();
    EXPECT_INT(lssb_sandbox_next(me.client, &list, boxes, 1, &count, NULL),
               LSSB_END);
    EXPECT_INT(count, 0);
    closes();
}

/* ------------------------------------------------------- what is replied -- */

#define LONG_PROBLEM(where) \
    "{\"loc\":[\"body\",\"" where "\"],\"msg\":\"" HUNDRED HUNDRED \
    "\",\"type\":\"t-" where "\"}"

static void every_problem_is_told(void)
{
    static const char *const wheres[] = { "body.a", "body.b", "body.c" };
    static const char *const types[] = { "t-a", "t-b", "t-c" };
    const lssb_error *error;
    size_t i;
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        begin((enum script_mode)mode);
        route_one(0, requests[GET], 422,
                  "{\"detail\":[" LONG_PROBLEM("a") "," LONG_PROBLEM("b")
                  "," LONG_PROBLEM("c") "," LONG_PROBLEM("d") "]}", NULL,
                  SCRIPT_LENGTH);
        opens();
        EXPECT_INT(make(GET, NULL), LSSB_E_VALIDATION);
        error = lssb_last_error(me.client);
        EXPECT_INT(error->problem_count, 4);
        for (i = 0; i < LSSB_PROBLEMS; i++) {
            const lssb_problem *problem = &error->problems[i];

            EXPECT_STR(problem->where, wheres[i]);
            EXPECT_STR(problem->type, types[i]);
            EXPECT_INT(strlen(problem->message), sizeof problem->message - 1);
            EXPECT(strncmp(problem->message, HUNDRED,
                           sizeof problem->message - 1) == 0);
        }
        closes();
    }
}

static void a_box_stays_what_it_is_when_the_reply_is_none(void)
{
    static const char *const bodies[] = { "[]", "null", "1", "{" };
    size_t i;

    for (i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        lssb_sandbox_update update = { 0 };
        lssb_sandbox box;

        test_row = bodies[i];
        begin(SCRIPT_WHOLE);
        route_one(0, requests[CHANGE], 200, bodies[i], NULL, SCRIPT_LENGTH);
        opens();
        box = the_box("r");
        strcpy(box.id, "id-r");
        update.vcpus = 2;
        EXPECT_INT(lssb_sandbox_change(&box, &update, NULL),
                   LSSB_E_PROTOCOL);
        EXPECT(box.client == me.client);
        EXPECT_STR(box.id, "id-r");
        EXPECT_STR(box.name, "r");
        EXPECT_STR(box.dataplane_url, "http://data.test/r");
        closes();
    }
}

static void a_box_of_no_client_is_refused(void)
{
    lssb_sandbox box;
    lssb_result result;
    lssb_error error = { 0 };
    lssb_op op = { 0 };

    memset(&box, 0, sizeof box);
    op.error = &error;
    EXPECT_INT(lssb_run(&box, "true", NULL, &result, &op),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(op.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_run(&box, "true", NULL, &result, NULL),
               LSSB_E_INVALID_ARGUMENT);
}

/* -------------------------------------------------------- long requests -- */

#define LONG_COMMAND (1024 * 1024)

/* What was posted to the box r: a request that is too large for the script. */
static struct {
    char *bytes;
    size_t len, whole;              /* whole: 0 until the head is there */
    lssb_handle handle;
} sink;

/* Sets the length of the whole request once its head has come. */
static void sink_measure(void)
{
    const char *blank = strstr(sink.bytes, "\r\n\r\n");

    if (blank != NULL)
        sink.whole = (size_t)(blank - sink.bytes) + 4 +
                     script_length(sink.bytes);
}

/* Takes what the box r is sent; everything else is the script's. */
static ptrdiff_t sink_send(void *context, lssb_handle handle,
                           const void *bytes, size_t len, int32_t *code)
{
    struct script_handle *at = script_handle(handle);

    if (sink.handle != handle &&
        (sink.handle != 0 || at->in_len > 0 || *(const char *)bytes != 'P'))
        return script_send(context, handle, bytes, len, code);
    sink.handle = handle;
    *code = 0;
    if (script_blocks(&at->sends))
        return LSSB_IO_AGAIN;
    len = script_piece(len);
    if (sink.len + len >= 8 * LONG_COMMAND)
        script_stuck("a command that is too long");
    memcpy(sink.bytes + sink.len, bytes, len);
    sink.len += len;
    sink.bytes[sink.len] = '\0';
    if (sink.whole == 0)
        sink_measure();
    if (sink.whole == sink.len) {
        static const char reply[] =
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"exit_code\":5}";

        script_out(at, reply, sizeof reply - 1);
    }
    return (ptrdiff_t)len;
}

#if !LSSB_WEBSOCKET
/* One character of a JSON string of ours; returns what is behind it. */
static const char *unescape(const char *from, char *to)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    const char *escape;
    char hex[5] = "";

    *to = *from;
    if (*from != '\\')
        return from + 1;
    if (from[1] == 'u') {
        memcpy(hex, from + 2, 4);
        *to = (char)strtoul(hex, NULL, 16);     /* controls only */
        return from + 6;
    }
    escape = strchr(escapes, from[1]);
    EXPECT(escape != NULL);
    *to = escape != NULL ? bytes[escape - escapes] : '\0';
    return from + 2;
}

/* How much of `text` is the string behind `from`, and nothing else. */
static size_t same_string(const char *from, const char *text)
{
    size_t i = 0;
    char c;

    while (*from != '"' && *from != '\0') {
        from = unescape(from, &c);
        if (c != text[i])
            return i;
        i++;
    }
    return i;
}
#endif

/* A command with all that JSON has to escape, and more. */
static char *long_command(size_t least)
{
    static const char piece[] =
        "echo \"a\\b\" 'c/d' caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"
        "\t\x01\x1F\x7F\r\n";
    char *command = malloc(least + sizeof piece);
    size_t len = 0;

    while (len < least) {
        memcpy(command + len, piece, sizeof piece);
        len += sizeof piece - 1;
    }
    return command;
}

/* A script whose port takes long requests. */
static void begin_long(enum script_mode mode)
{
    static lssb_port port;

    begin(mode);
    port = script_port;
    port.send = sink_send;
    me.config.port = &port;
    sink.len = sink.whole = 0;
    sink.handle = 0;
    sink.bytes = malloc(8 * LONG_COMMAND);
    sink.bytes[0] = '\0';
}

#if !LSSB_WEBSOCKET
static void a_long_command_arrives_as_it_is(void)
{
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        bool bytes = mode == SCRIPT_BYTE || mode == SCRIPT_BYTE_EVERY_OTHER;
        char *command = long_command(bytes ? LONG_COMMAND / 16
                                           : LONG_COMMAND);
        lssb_sandbox box;
        lssb_result result;
        const char *at;

        begin_long((enum script_mode)mode);
        opens();
        box = the_box("r");
        EXPECT_INT(lssb_run(&box, command, NULL, &result, NULL), LSSB_OK);
        EXPECT_INT(result.exit_code, 5);
        EXPECT_INT(sink.len, sink.whole);
        at = strstr(sink.bytes, "\"command\":\"");
        EXPECT(at != NULL);
        if (at != NULL)
            EXPECT_INT(same_string(at + 11, command), strlen(command));
        closes();
        free(sink.bytes);
        free(command);
    }
}
#endif

static void a_long_upload_leaves_others_their_turn(void)
{
    char *file = long_command(LONG_COMMAND);
    lssb_op upload = { 0 }, get = { 0 };
    lssb_sandbox box;

    begin_long(SCRIPT_WHOLE);
    route_one(0, requests[GET], 200, BOX("r", "ready"), NULL, SCRIPT_LENGTH);
    opens();
    box = the_box("r");
    EXPECT_INT(lssb_file_write(&box, "f", file, strlen(file), &upload),
               LSSB_PENDING);
    EXPECT_INT(make(GET, &get), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &get, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(upload.status, LSSB_PENDING);
    EXPECT(sink.whole == 0 || sink.len < sink.whole);
    EXPECT_INT(lssb_wait(me.client, &upload, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(sink.len, sink.whole);
    closes();
    free(sink.bytes);
    free(file);
}

static const struct test tests[] = {
    TEST(what_may_act_twice_is_not_tried_again),
    TEST(retry_after_is_kept_and_capped),
    TEST(pauses_double_and_end_after_the_last_attempt),
    TEST(the_most_retries_are_no_fewer),
    TEST(a_deletion_that_could_not_have_arrived_is_not_done),
    TEST(a_deletion_whose_reused_connection_ended_may_be_done),
    TEST(a_reused_connection_that_ended_is_replaced_uncounted),
#if !LSSB_WEBSOCKET
    TEST(a_command_on_a_reused_connection_that_ended_is_not_repeated),
#endif
    TEST(connections_are_reused_while_they_are_young),
    TEST(the_bytes_of_replies_are_counted),
    TEST(an_idle_connection_says_goodbye_when_it_gives_way),
    TEST(a_deadline_says_what_was_going_on),
    TEST(a_retry_that_would_not_fit_the_deadline_is_not_begun),
    TEST(an_attempt_has_its_time_and_is_tried_again),
    TEST(the_time_of_a_call_is_that_of_all_its_attempts),
    TEST(a_callback_may_start_calls_but_not_wait),
    TEST(an_operation_may_be_used_again_in_its_own_done),
    TEST(what_is_not_taken_is_offered_again),
    TEST(a_callback_may_stop_its_call),
    TEST(only_output_can_be_offered_again),
    TEST(what_is_never_taken_ends_after_a_transfers_time),
    TEST(an_operation_may_be_freed_in_its_own_done),
    TEST(a_callback_may_cancel_its_call_and_others),
    TEST(a_source_that_fails_stops_its_upload),
    TEST(a_download_goes_on_where_it_was_lost),
    TEST(each_reply_is_told_until_a_byte_has_come),
    TEST(the_whole_instead_of_a_part_goes_on_as_the_whole),
    TEST(a_part_is_not_longer_than_was_asked_for),
    TEST(a_form_needs_a_boundary_that_nobody_foresees),
    TEST(a_client_can_be_closed_by_an_operation),
    TEST(waiting_for_a_call_of_a_closing_client_tells_its_end),
    TEST(a_wait_ends_after_its_time),
    TEST(a_port_that_cannot_be_opened_leaves_nothing),
    TEST(sockets_without_room_are_counted_only),
#if !defined(_WIN32)
    TEST(threads_and_signals_may_cancel),
#endif
    TEST(the_memory_that_is_needed_is_exact),
    TEST(without_memory_there_is_no_client),
    TEST(a_block_is_aligned_for_any_type),
    TEST(why_a_client_does_not_open_holds_nothing_else),
    TEST(endpoints_are_completed),
    TEST(the_environment_fills_what_is_not_given),
    TEST(the_environment_is_given_back_whatever_became_of_it),
    TEST(the_systems_certificates_are_where_they_are_said_to_be),
    TEST(a_key_is_not_shown_to_everybody),
    TEST(a_key_is_not_shown_to_a_proxy),
    TEST(a_later_header_replaces_an_earlier_one),
    TEST(headers_that_would_break_a_request_are_refused),
    TEST(proxies_are_used_where_they_should_be),
    TEST(lists_are_walked_by_cursor),
    TEST(a_page_that_is_larger_than_the_room_is_asked_for_again),
    TEST(lists_of_older_servers_are_walked_by_offset),
    TEST(filters_are_sent_encoded),
    TEST(every_problem_is_told),
    TEST(a_box_stays_what_it_is_when_the_reply_is_none),
    TEST(a_box_of_no_client_is_refused),
#if !LSSB_WEBSOCKET
    TEST(a_long_command_arrives_as_it_is),
#endif
    TEST(a_long_upload_leaves_others_their_turn),
};

int main(void)
{
    return TEST_MAIN(tests);
}
