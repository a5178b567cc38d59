/* torture.c: every call of the port fails once, in every call of the library.
 *
 * SPDX-License-Identifier: MIT
 *
 * Also here: that pieces and blocking sockets change nothing, and that the
 * waiting form of a call is the other form and a wait.
 */
#include "scenarios.h"
#include "scripted_tls.h"

/* ------------------------------------------------------------ one run -- */

struct run {
    enum script_mode mode;
    unsigned long fail_at;
    bool fail_on;
    int fail_io;
    int32_t retries;
    bool waiting;
    bool tls;
};

/* Opens a client whose port fails as the run says, from here on. */
static void run_begin(const struct run *run, struct script_client *me)
{
    scenario_begin(run->mode);
    script_config(&me->config);
    me->config.retries = run->retries;
    me->config.slots = 1;
    script.records = run->tls;
    if (run->tls) {
        me->config.endpoint = "https://api.test";
        me->config.tls = &script_tls;
    }
    if (script_client_open(me) != LSSB_OK)
        script_stuck("no client");
    script.fail_at = run->fail_at;
    script.fail_on = run->fail_on;
    script.fail_io = run->fail_io;
}

/* Closes it, with a port that fails no more. */
static void run_end(struct script_client *me)
{
    script.fail_at = 0;
    script.fail_on = false;
    script_client_close(me);
}

/* What one call comes to, with what it did to the port. */
static void run_call(const struct scenario *what, const struct run *run,
                     struct call *call)
{
    static struct script_client me;

    run_begin(run, &me);
    call_begin(call, what);
    if (run->waiting) {
        call_wait(call, me.client);
    } else {
        call_start(call, me.client);
        lssb_wait(me.client, &call->op, LSSB_FOREVER);
        EXPECT_INT(call->told, 1);
    }
    run_end(&me);
}

static void every_call_comes_to_the_same_in_every_mode_of_the_port(void)
{
    struct run run = { SCRIPT_WHOLE, 0, false, 0, 0, false, false };
    struct call call;
    size_t i;
    int mode;

    for (i = 0; i < SCENARIOS; i++)
        for (mode = 0; mode < 2 * SCRIPT_MODES; mode++) {
            test_row = scenarios[i].name;
            run.mode = (enum script_mode)(mode % SCRIPT_MODES);
            run.tls = mode >= SCRIPT_MODES;
            run.waiting = i % 2 != 0;
            run_call(&scenarios[i], &run, &call);
            EXPECT_STR(call.said, scenarios[i].right);
            EXPECT(scenarios[i].once == NULL ||
                   script_heard(scenarios[i].once) == 1);
        }
}

static void a_waiting_call_is_the_other_form_and_a_wait(void)
{
    struct run run = { SCRIPT_WHOLE, 0, false, 0, 0, true, false };
    struct call call;
    uint64_t bytes, calls;
    size_t i;
    int mode;

    for (i = 0; i < SCENARIOS; i++)
        for (mode = 0; mode < SCRIPT_MODES; mode++) {
            test_row = scenarios[i].name;
            run.mode = (enum script_mode)mode;
            run.waiting = true;
            run_call(&scenarios[i], &run, &call);
            bytes = script.bytes_sum;
            calls = script.calls_sum;
            run.waiting = false;
            run_call(&scenarios[i], &run, &call);
            EXPECT(bytes == script.bytes_sum);
            EXPECT(calls == script.calls_sum);
        }
}

/* ----------------------------------------------------------- the torture -- */

static const struct {
    const char *name;
    int io;
} failures[] = { { "reset", LSSB_IO_RESET },
                 { "refused", LSSB_IO_REFUSED },
                 { "unreachable", LSSB_IO_UNREACHABLE },
                 { "timed out", LSSB_IO_TIMED_OUT },
                 { "not found", LSSB_IO_NOT_FOUND },
                 { "limit", LSSB_IO_LIMIT },
                 { "end", SCRIPT_END_OF_STREAM } };
#define FAILURES (sizeof failures / sizeof failures[0])

/* Where a failure of this call of the port arises. */
static lssb_layer layer_of(enum script_kind kind)
{
    switch (kind) {
    case SCRIPT_RESOLVE:
    case SCRIPT_RESOLVED:
        return LSSB_LAYER_RESOLVE;
    case SCRIPT_CONNECT:
    case SCRIPT_CONNECTED:
        return LSSB_LAYER_CONNECT;
    case SCRIPT_SEND:
    case SCRIPT_RECEIVE:
        return LSSB_LAYER_TRANSPORT;
    case SCRIPT_NOTHING:
    case SCRIPT_WAIT:
    case SCRIPT_RANDOM:
    case SCRIPT_KINDS:
        break;
    }
    return LSSB_LAYER_NONE;
}

/* Whether a call must come to its right end although a call of the port
 * failed once: it may be tried again, and still can. */
static bool must_recover(const struct scenario *what, const struct run *run)
{
    if (layer_of(script.failed) == LSSB_LAYER_NONE)
        return script.failed != SCRIPT_RANDOM;
    if (run->fail_on)
        return false;
    if (scenario_is_command(what))
        return true;                /* its attempts are not the client's */
    if (run->retries == LSSB_NONE || scenario_is_foreign(what))
        return false;
    return what->once == NULL || script.failed_after == 0 ||
           script.failed_after > 1;
}

/* What must hold after any run. */
static void check_run(const struct scenario *what, const struct run *run,
                      const struct call *call)
{
    bool right = strcmp(call->said, what->right) == 0;

    EXPECT(script.now < 200000);
    EXPECT(model.created <= scenario_is_command(what));
    if (what->once != NULL)
        EXPECT(script_heard(what->once) <= 1);
    if (right)
        return;
    EXPECT(!must_recover(what, run));
    EXPECT(call->returned == LSSB_E_CONNECTION ||
           (scenario_is_command(what) &&
            call->returned == LSSB_E_CONNECT_TIMEOUT) ||
           script.failed == SCRIPT_RANDOM);
    EXPECT_INT(call->error.status, call->returned);
    EXPECT(call->error.message[0] != '\0');
    if (script.failed != SCRIPT_RANDOM &&
        !(scenario_is_command(what) &&
          call->error.layer == LSSB_LAYER_WEBSOCKET))
        EXPECT_INT(call->error.layer, layer_of(script.failed));
}

/* Fails the Nth call of the port for each N, until there is none. Returns how
 * many runs went wrong as they may. */
static unsigned torture(const struct scenario *what, struct run run,
                        unsigned long stride, const char *how)
{
    char row[128];
    struct call call;
    unsigned failed = 0;
    int before = test_failures;

    for (run.fail_at = 1;; run.fail_at += stride) {
        sprintf(row, "%s, call %lu, %s%s", what->name, run.fail_at, how,
                run.fail_on ? " from there on" : "");
        test_row = row;
        run.waiting = !run.waiting;
        run_call(what, &run, &call);
        check_run(what, &run, &call);
        failed += call.returned < 0;
        if (test_failures > before + 3)
            printf("    -> %s: %s\n", call.said, call.error.message);
        if (script.failed == SCRIPT_NOTHING || test_failures > before + 3)
            break;
    }
    test_row = "";
    return failed;
}

static bool torture_tls;

static void torture_all(enum script_mode mode, bool fail_on, int32_t retries,
                        unsigned long stride, size_t step)
{
    struct run run = { SCRIPT_WHOLE, 0, false, 0, 0, false, false };
    size_t i, j;

    run.mode = mode;
    run.fail_on = fail_on;
    run.retries = retries;
    run.tls = torture_tls;
    for (i = 0; i < SCENARIOS; i++) {
        unsigned failed = 0;

        for (j = i % step; j < FAILURES; j += step) {
            run.fail_io = failures[j].io;
            failed += torture(&scenarios[i], run, stride, failures[j].name);
        }
        test_row = scenarios[i].name;
        if (fail_on || (retries == LSSB_NONE &&
                        !scenario_is_command(&scenarios[i])))
            EXPECT(failed > 0);
    }
}

static void one_failure_is_made_good_where_that_is_safe(void)
{
    torture_all(SCRIPT_WHOLE, false, 0, 1, 1);
}

static void without_retries_one_failure_names_its_layer(void)
{
    torture_all(SCRIPT_WHOLE, false, LSSB_NONE, 1, 1);
}

static void what_keeps_failing_names_its_layer_in_the_end(void)
{
    torture_all(SCRIPT_WHOLE, true, 0, 1, 1);
}

static void failures_between_single_bytes_are_no_different(void)
{
    torture_all(SCRIPT_BYTE, false, 0, 7, 2);
    torture_all(SCRIPT_BYTE, true, 0, 31, 3);
}

static void failures_between_blocking_calls_are_no_different(void)
{
    torture_all(SCRIPT_EVERY_OTHER, false, 0, 1, 2);
    torture_all(SCRIPT_EVERY_OTHER, true, 0, 1, 3);
    torture_all(SCRIPT_BYTE_EVERY_OTHER, false, LSSB_NONE, 37, 3);
}

static void over_tls_failures_are_no_different(void)
{
    torture_tls = true;
    torture_all(SCRIPT_WHOLE, false, 0, 1, 2);
    torture_all(SCRIPT_WHOLE, true, 0, 1, 3);
    torture_all(SCRIPT_EVERY_OTHER, false, LSSB_NONE, 1, 3);
    torture_all(SCRIPT_BYTE, false, 0, 23, 3);
    torture_tls = false;
}

/* Makes every call, one after the other, on one client. True while there was
 * a call of the port to fail. */
static bool run_in_a_row(enum script_mode mode, unsigned long fail_at,
                         int fail_io, unsigned *failed)
{
    static struct script_client me;
    struct call call;
    unsigned wrong = 0;
    size_t i;

    scenario_begin(mode);
    script_config(&me.config);
    me.config.slots = 2;
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
    script.fail_at = fail_at;
    script.fail_io = fail_io;
    for (i = 0; i < SCENARIOS; i++) {
        const struct scenario *what = &scenarios[i];

        script.heard_from = script.entry_count;
        call_begin(&call, what);
        call_wait(&call, me.client);
        if (what->once != NULL)
            EXPECT(script_heard(what->once) <= 1);
        if (strcmp(call.said, what->right) == 0)
            continue;
        wrong++;
        if (script.failed == SCRIPT_RANDOM)
            continue;
        EXPECT(what->once != NULL);
        EXPECT(script_heard(what->once) == 1);
        EXPECT_INT(call.returned, LSSB_E_CONNECTION);
        EXPECT_INT(call.error.layer, LSSB_LAYER_TRANSPORT);
    }
    EXPECT(wrong <= 1);
    EXPECT(script.failed != SCRIPT_NOTHING || wrong == 0);
    *failed += wrong;
    script.fail_at = 0;
    script_client_close(&me);
    return script.failed != SCRIPT_NOTHING;
}

static void one_failure_hurts_one_call_of_many_at_most(void)
{
    static const unsigned long strides[] = { 1, 2003, 7, 4001 };
    char row[64];
    size_t j;
    int mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++)
        for (j = 0; j < FAILURES; j++) {
            unsigned failed = 0;
            unsigned long at = 1 + (unsigned long)j;

            do {
                sprintf(row, "mode %d, call %lu, %s", mode, at,
                        failures[j].name);
                test_row = row;
            } while (run_in_a_row((enum script_mode)mode, at,
                                  failures[j].io, &failed) &&
                     (at += strides[mode]) > 0 && test_failures == 0);
            test_row = "";
            EXPECT(failed > 0 || strides[mode] > 1);
        }
}

/* ------------------------------------------- a WebSocket to a service -- */

#if LSSB_WEBSOCKET
#define WORDS 3000                  /* bytes of a message */

/* Says a message, in two writes. */
static lssb_status say_words(lssb_websocket *socket, const char *words)
{
    lssb_status status = LSSB_OK;
    size_t at = 0, taken;

    while (at < WORDS && status == LSSB_OK) {
        bool last = at >= WORDS / 2;

        status = lssb_websocket_write(socket, LSSB_TEXT, words + at,
                                      (last ? WORDS : WORDS / 2) - at, last,
                                      &taken, LSSB_FOREVER);
        at += taken;
    }
    return status;
}

/* Hears it again. */
static lssb_status hear_words(lssb_websocket *socket, const char *words)
{
    lssb_status status = LSSB_OK;
    lssb_piece piece = {0};
    size_t at = 0;

    while (!piece.ends && status == LSSB_OK) {
        status = lssb_websocket_next(socket, &piece, LSSB_FOREVER);
        EXPECT(at + piece.len <= WORDS &&
               (piece.len == 0 ||
                memcmp(words + at, piece.bytes, piece.len) == 0));
        at += piece.len;
    }
    EXPECT(status != LSSB_OK || at == WORDS);
    return status;
}

/* A conversation from the opening to the close; the failure that ended it. */
static lssb_status converse(lssb_client *client, lssb_error *error)
{
    static char words[WORDS];
    lssb_sandbox box = {0};
    lssb_service service = {0};
    lssb_service_options where = {0};
    lssb_websocket_options how = {0};
    lssb_websocket socket;
    lssb_status status;

    memset(words, 'w', sizeof words);
    box.client = client;
    strcpy(box.name, "u");
    where.port = 3000;
    sprintf(service.service_url, "http%s://data.test/",
            script.records ? "s" : "");
    strcpy(service.token, "t");
    strcpy(service.expires_at, "2099-01-01T00:00:00Z");
    how.path = "/echo";
    how.error = error;
    status = lssb_websocket_open(&socket, &box, &where, &service, &how, NULL);
    if (status < 0)
        *error = *lssb_last_error(client);
    else
        status = say_words(&socket, words);
    if (status == LSSB_OK)
        status = hear_words(&socket, words);
    EXPECT_INT(lssb_websocket_close(&socket, 0, NULL, NULL), LSSB_OK);
    return status;
}

/* One conversation, of which a call of the port fails. */
static lssb_status run_converse(const struct run *run, lssb_error *error)
{
    static struct script_client me;
    lssb_status status;

    memset(error, 0, sizeof *error);
    run_begin(run, &me);
    status = converse(me.client, error);
    run_end(&me);
    return status;
}

/* Fails the Nth call of the port for each N, until there is none. */
static void torture_converse(struct run run, unsigned long stride)
{
    lssb_status status = LSSB_OK;
    lssb_error error;
    unsigned failed = 0;
    char row[64];

    for (run.fail_at = 1; test_failures == 0; run.fail_at += stride) {
        sprintf(row, "mode %d, call %lu%s%s", (int)run.mode, run.fail_at,
                run.fail_on ? " on" : "", run.tls ? ", TLS" : "");
        test_row = row;
        status = run_converse(&run, &error);
        EXPECT(script.now < 200000);
        if (script.failed == SCRIPT_NOTHING)
            break;
        if (status == LSSB_OK)      /* it failed behind the last word */
            continue;
        failed++;
        EXPECT(status == LSSB_E_CONNECTION || script.failed == SCRIPT_RANDOM);
        EXPECT_INT(error.status, status);
        EXPECT(error.message[0] != '\0');
        if (script.failed != SCRIPT_RANDOM &&
            error.layer != LSSB_LAYER_WEBSOCKET)
            EXPECT_INT(error.layer, layer_of(script.failed));
    }
    EXPECT(failed > 0);
    EXPECT_INT(status, LSSB_OK);    /* when nothing failed any more */
    test_row = "";
}

static void a_websocket_that_breaks_anywhere_says_why(void)
{
    static const unsigned long strides[] = { 1, 53, 1, 97 };
    struct run run = { SCRIPT_WHOLE, 0, false, 0, 0, false, false };
    int round, mode;
    size_t j;

    for (round = 0; round < 4; round++)
        for (mode = 0; mode < SCRIPT_MODES; mode++)
            for (j = (size_t)mode % 2; j < FAILURES; j += 2) {
                run.mode = (enum script_mode)mode;
                run.fail_on = round % 2 != 0;
                run.tls = round >= 2;
                run.fail_io = failures[j].io;
                torture_converse(run, strides[mode]);
            }
}
#endif

static const struct test tests[] = {
    TEST(every_call_comes_to_the_same_in_every_mode_of_the_port),
    TEST(a_waiting_call_is_the_other_form_and_a_wait),
    TEST(one_failure_is_made_good_where_that_is_safe),
    TEST(without_retries_one_failure_names_its_layer),
    TEST(what_keeps_failing_names_its_layer_in_the_end),
    TEST(failures_between_single_bytes_are_no_different),
    TEST(failures_between_blocking_calls_are_no_different),
    TEST(over_tls_failures_are_no_different),
    TEST(one_failure_hurts_one_call_of_many_at_most),
#if LSSB_WEBSOCKET
    TEST(a_websocket_that_breaks_anywhere_says_why),
#endif
};

int main(void)
{
    return TEST_MAIN(tests);
}
