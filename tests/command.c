/* command.c: commands over a WebSocket, from the client's side (protocol 5).
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, section by
 * section. The servers are scripts and a model (scripted_ws.h), in this
 * process and on a clock that stands still while nobody waits.
 */
#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "scripted_tls.h"
#include "scripted_ws.h"

#if LSSB_WEBSOCKET

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* ---------------------------------------------------------- transcripts -- */

#define ID "id-1"
#define STARTED \
    "{\"type\":\"started\",\"command_id\":\"" ID "\",\"pid\":42}\n"
#define OUT(data, offset) \
    "{\"type\":\"stdout\",\"data\":\"" data "\",\"offset\":" #offset "}\n"
#define ERR(data, offset) \
    "{\"type\":\"stderr\",\"data\":\"" data "\",\"offset\":" #offset "}\n"
#define EXIT(code) "{\"type\":\"exit\",\"exit_code\":" #code "}\n"
#define FAILS(type, text) \
    "{\"type\":\"error\",\"error_type\":\"" type "\",\"error\":\"" text \
    "\"}\n"
#define EXECUTE(command, seconds, idle, kill, ttl, more) \
    "{\"type\":\"execute\",\"command\":\"" command "\",\"timeout_seconds\":" \
    #seconds ",\"shell\":\"/bin/bash\",\"idle_timeout_seconds\":" #idle \
    ",\"kill_on_disconnect\":" #kill ",\"ttl_seconds\":" #ttl more \
    ",\"command_id\":\"" ID "\"}\n"
#define NO_INPUT ",\"close_stdin\":true"
#define EXEC EXECUTE("x", 60, 300, false, 600, NO_INPUT)
#define EXEC_OPEN EXECUTE("x", 60, 300, false, 600, "")
#define EXEC_PTY EXECUTE("x", 60, 300, false, 600, ",\"pty\":true")
#define RECONNECT(out, err) \
    "{\"type\":\"reconnect\",\"command_id\":\"" ID "\",\"stdout_offset\":" \
    #out ",\"stderr_offset\":" #err "}\n"

static struct script_client me;
static lssb_sandbox box;
static bool over_tls;
static bool counts_agree = true;    /* the server counts what is UTF-8 */
static enum script_mode mode;

/* How output is taken. */
enum way {
    BY_RUN = 0,                     /* lssb_run, into buffers and callbacks */
    BY_NEXT,                        /* lssb_command_next */
    BY_WAIT,                        /* callbacks, and lssb_command_wait */
    WAYS
};

/* What came of a command. */
static struct outcome {
    lssb_status status;
    lssb_result result;
    lssb_error error;
    char text[2][MODEL_TEXT];       /* as it was delivered */
    size_t len[2];
    uint64_t at[2];                 /* offset behind that */
    unsigned pieces, gaps;
    uint64_t lost[2];
    char buffer[2][MODEL_TEXT];
    int64_t pid;
    uint64_t took_ms;
} outcome;

static void seen(int err, const void *bytes, size_t len)
{
    struct outcome *o = &outcome;

    EXPECT(o->len[err] + len < MODEL_TEXT);
    if (o->len[err] + len >= MODEL_TEXT)
        return;
    EXPECT(lssb_utf8_valid(bytes, len) == len);
    if (peers.model && model.created == 1 &&
        o->at[err] + len <= model_commands[0].len[err])
        EXPECT(memcmp(model_commands[0].text[err] + o->at[err], bytes, len) ==
               0);
    memcpy(o->text[err] + o->len[err], bytes, len);
    o->len[err] += len;
    o->at[err] += len;
    o->pieces++;
}

static lssb_status take_out(void *user, const void *bytes, size_t len)
{
    (void)user;
    EXPECT(len > 0);
    seen(0, bytes, len);
    return LSSB_OK;
}

static lssb_status take_err(void *user, const void *bytes, size_t len)
{
    (void)user;
    EXPECT(len > 0);
    seen(1, bytes, len);
    return LSSB_OK;
}

static void take_gap(void *user, lssb_stream stream, uint64_t offset,
                     uint64_t lost)
{
    struct outcome *o = &outcome;
    int err = stream == LSSB_STDERR;

    (void)user;
    if (counts_agree)
        EXPECT(offset == o->at[err]);
    EXPECT(lost > 0);
    o->gaps++;
    o->lost[err] += lost;
    o->at[err] = offset + lost;
}

static void opens(void)
{
    script.records = over_tls;
    if (over_tls) {
        me.config.endpoint = "https://api.test";
        me.config.tls = &script_tls;
    }
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
    memset(&box, 0, sizeof box);
    box.client = me.client;
    strcpy(box.name, "b");
    sprintf(box.dataplane_url, "http%s://data.test/b", over_tls ? "s" : "");
}

/* A script whose server plays these legs; the client is still to be opened. */
static void begin(const char *const *legs, size_t count)
{
    script_begin(mode, NULL, 0);
    peers_play(legs, count);
    script_config(&me.config);
    me.config.slots = 1;
    memset(&outcome, 0, sizeof outcome);
}

static void closes(void)
{
    script_client_close(&me);
}

/* The options of a way of taking output. */
static lssb_run_options taking(enum way way, const lssb_run_options *options)
{
    lssb_run_options how = { 0 };

    if (options != NULL)
        how = *options;
    if (how.command_id == NULL)
        how.command_id = ID;
    how.on_gap = take_gap;
    if (way == BY_NEXT)
        return how;
    how.on_out = take_out;
    how.on_err = take_err;
    how.out = outcome.buffer[0];
    how.out_size = sizeof outcome.buffer[0];
    how.err = outcome.buffer[1];
    how.err_size = sizeof outcome.buffer[1];
    return how;
}

/* Takes all output piece by piece. */
static lssb_status take_all(lssb_command *command)
{
    lssb_chunk chunk;
    lssb_status status;

    for (;;) {
        status = lssb_command_next(command, &chunk, LSSB_FOREVER);
        if (status != LSSB_OK)
            return status;
        EXPECT(chunk.len > 0 || chunk.lost > 0);
        if (counts_agree)
            EXPECT(chunk.offset == outcome.at[chunk.stream == LSSB_STDERR]);
        outcome.at[chunk.stream == LSSB_STDERR] = chunk.offset;
        if (chunk.len > 0)
            seen(chunk.stream == LSSB_STDERR, chunk.bytes, chunk.len);
        EXPECT(outcome.at[0] == command->out_offset ||
               chunk.stream == LSSB_STDERR);
        EXPECT(outcome.at[1] == command->err_offset ||
               chunk.stream == LSSB_STDOUT);
    }
}

/* What an lssb_command that is over says about itself. */
static void note_command(const lssb_command *command)
{
    lssb_result *result = &outcome.result;

    result->exit_code = command->exit_code;
    result->out_len = outcome.len[0];
    result->err_len = outcome.len[1];
    strcpy(result->command_id, command->id);
    result->out_offset = command->out_offset;
    result->err_offset = command->err_offset;
    result->out_lost = command->out_lost;
    result->err_lost = command->err_lost;
    result->reattached = command->reattached;
    result->input_uncertain = command->input_uncertain;
    outcome.pid = command->pid;
}

/* Follows a command that was started, or found, to its end. */
static lssb_status follow(lssb_command *command, enum way way)
{
    lssb_status status;

    if (way == BY_NEXT) {
        status = take_all(command);
        note_command(command);
        EXPECT_INT(lssb_command_close(command, NULL), LSSB_OK);
        return status == LSSB_END ? LSSB_OK : status;
    }
    status = lssb_command_wait(command, &outcome.result, NULL);
    outcome.pid = command->pid;
    if (status < 0)
        EXPECT_INT(lssb_last_error(me.client)->status, status);
    EXPECT_INT(lssb_command_close(command, NULL), LSSB_OK);
    return status;
}

/* Runs a command in one of the ways, and waits for it. */
static lssb_status perform(enum way way, const char *text,
                           const lssb_run_options *options)
{
    static lssb_run_options how;
    static lssb_command command;
    uint64_t since = script.now;
    lssb_status status;

    how = taking(way, options);
    how.error = &outcome.error;
    if (way == BY_RUN) {
        status = lssb_run(&box, text, &how, &outcome.result, NULL);
    } else {
        status = lssb_command_start(&command, &box, text, &how, NULL);
        if (status == LSSB_OK)
            status = follow(&command, way);
        else
            strcpy(outcome.result.command_id, command.id);
    }
    if (status < 0 && outcome.error.status == LSSB_OK)
        outcome.error = *lssb_last_error(me.client);
    outcome.status = status;
    outcome.took_ms = script.now - since;
    return status;
}

/* What the client said, without its close frames: where bytes trickle, one
 * that answers the server's may not get through. */
static char *without_closes(const char *said)
{
    static char left[PEER_SAID];
    char *to = left;

    while (*said != '\0') {
        const char *end = strchr(said, '\n') + 1;

        if (strncmp(said, "close", 5) != 0) {
            memcpy(to, said, (size_t)(end - said));
            to += end - said;
        }
        said = end;
    }
    *to = '\0';
    return left;
}

/* Whether the client said this, all told. */
static void expect_said(const char *said)
{
    static char right[PEER_SAID];

    if (mode == SCRIPT_WHOLE) {
        EXPECT_STR(peers.said, said);
        return;
    }
    strcpy(right, without_closes(said));
    EXPECT_STR(without_closes(peers.said), right);
}

static void expect_texts(const char *out, const char *err, enum way way)
{
    outcome.text[0][outcome.len[0]] = '\0';
    outcome.text[1][outcome.len[1]] = '\0';
    EXPECT_STR(outcome.text[0], out);
    EXPECT_STR(outcome.text[1], err);
    if (way == BY_NEXT)
        return;
    EXPECT_STR(outcome.buffer[0], out);
    EXPECT_STR(outcome.buffer[1], err);
}

/* A session, and what must come of it, whichever way. */
struct row {
    const char *name;
    const char *legs[8];
    lssb_status status;
    const char *out, *err;
    const char *said;               /* NULL: not looked at */
    int exit_code;
    const char *type;               /* of the error; NULL: not looked at */
    const char *message;            /* a part of it */
    uint32_t out_lost, err_lost;
    uint32_t reattached;
};

static size_t leg_count(const struct row *row)
{
    size_t n = 0;

    while (n < COUNT(row->legs) && row->legs[n] != NULL)
        n++;
    return n;
}

static void check_error(const struct row *row)
{
    EXPECT_INT(outcome.error.status, row->status);
    EXPECT(outcome.error.message[0] != '\0');
    if (row->type != NULL)
        EXPECT_STR(outcome.error.type, row->type);
    if (row->message != NULL && strstr(outcome.error.message,
                                       row->message) == NULL) {
        printf("  not in \"%s\": %s (row %s)\n", outcome.error.message,
               row->message, row->name);
        test_failures++;
    }
}

static void check_row(const struct row *row, enum way way,
                      const lssb_run_options *how)
{
    size_t count = leg_count(row);
    char name[120];

    sprintf(name, "%.60s, way %d, mode %d%s", row->name, (int)way, (int)mode,
            over_tls ? ", TLS" : "");
    test_row = name;
    begin(row->legs, count);
    opens();
    EXPECT_INT(perform(way, "x", how), row->status);
    expect_texts(row->out != NULL ? row->out : "",
                 row->err != NULL ? row->err : "", way);
    if (row->status == LSSB_OK)
        EXPECT_INT(outcome.result.exit_code, row->exit_code);
    else
        check_error(row);
    EXPECT_INT(outcome.lost[0], row->out_lost);
    EXPECT_INT(outcome.lost[1], row->err_lost);
    EXPECT_INT(outcome.result.out_lost, row->out_lost);
    EXPECT_INT(outcome.result.err_lost, row->err_lost);
    EXPECT_INT(outcome.result.reattached, row->reattached);
    EXPECT_STR(outcome.result.command_id, ID);
    EXPECT_INT(peers.count, count);
    closes();
    if (row->said != NULL)
        expect_said(row->said);
    test_row = "";
}

static void check_rows(const struct row *rows, size_t count,
                       const lssb_run_options *how)
{
    size_t i;
    int way, m;

    for (i = 0; i < count; i++)
        for (m = 0; m < 2 * SCRIPT_MODES; m++)
            for (way = 0; way < WAYS; way++) {
                mode = (enum script_mode)(m % SCRIPT_MODES);
                over_tls = m >= SCRIPT_MODES;
                check_row(&rows[i], (enum way)way, how);
            }
    mode = SCRIPT_WHOLE;
    over_tls = false;
}

#define CHECK_ROWS(rows) check_rows(rows, COUNT(rows), NULL)

/* ----------------------------------------------- the upgrade (5.1, 1.4) -- */

static void the_upgrade_is_asked_for_as_the_reference_says(void)
{
    static const char *const legs[] = { STARTED "@end\n", STARTED EXIT(0) };
    static const lssb_pair more[] = { { "X-Trace", "t1" } };
    const char *head =
        "GET /b/execute/ws HTTP/1.1\r\nHost: data.test\r\n"
        "User-Agent: lssb/" LSSB_VERSION "\r\nX-Api-Key: key-1\r\n"
        "X-Trace: t1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
    char key[2][64];
    lssb_op op = { 0 };
    lssb_run_options how = taking(BY_RUN, NULL);
    size_t i;

    begin(legs, 2);
    opens();
    op.headers = more;
    op.header_count = 1;
    EXPECT_INT(lssb_run(&box, "x", &how, &outcome.result, &op), LSSB_PENDING);
    for (i = 0; i < 2; i++) {
        while (peers.count <= i && op.status == LSSB_PENDING)
            lssb_wait(me.client, &op, 1);
        EXPECT(strncmp(script.head, head, strlen(head)) == 0);
        EXPECT_INT(strlen(script.head), strlen(head) + 24 + 4);
        EXPECT_STR(script.head + strlen(script.head) - 4, "\r\n\r\n");
        EXPECT_INT(script_header("Sec-WebSocket-Key", key[i], 64), 1);
        EXPECT_INT(strlen(key[i]), 24);
        EXPECT_STR(key[i] + 22, "==");
    }
    EXPECT(strcmp(key[0], key[1]) != 0);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    closes();
}

static void a_dataplane_url_keeps_its_path_and_drops_its_query(void)
{
    static const struct {
        const char *url, *line;
    } rows[] = {
        { "http://data.test", "GET /execute/ws" },
        { "http://data.test/", "GET /execute/ws" },
        { "http://data.test///", "GET /execute/ws" },
        { "http://data.test/https/http//", "GET /https/http/execute/ws" },
        { "http://data.test/a?x=1#y", "GET /a/execute/ws" },
        { "ws://data.test/a", "GET /a/execute/ws" },
    };
    static const char *const legs[] = { STARTED EXIT(0) };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].url;
        begin(legs, 1);
        opens();
        strcpy(box.dataplane_url, rows[i].url);
        EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_OK);
        EXPECT_INT(script_heard(rows[i].line), 1);
        closes();
    }
}

/* --------------------------------------------------------- execute (5.3) -- */

static void a_command_is_asked_for_as_the_reference_says(void)
{
    static const lssb_pair env[] = { { "A", "1" }, { "B\"", "\xc3\xa9\n" } };
    static const struct {
        const char *text, *said;
        lssb_run_options how;
    } rows[] = {
        { "x", EXEC, { 0 } },
        { "echo hi; sleep 1; echo ho >&2",
          EXECUTE("echo hi; sleep 1; echo ho >&2", 60, 300, false, 600,
                  NO_INPUT), { 0 } },
        { "a\"b\\c\nd\t\x01\x1f\x7f/\xc3\xa9\xf0\x9f\x98\x80",
          EXECUTE("a\\\"b\\\\c\\nd\\t\\u0001\\u001f\x7f/\xc3\xa9"
                  "\xf0\x9f\x98\x80", 60, 300, false, 600, NO_INPUT), { 0 } },
        { "x", EXECUTE("x", 5, 300, false, 600, NO_INPUT),
          { .timeout_s = 5 } },
        { "x", EXECUTE("x", 0, 300, false, 600, NO_INPUT),
          { .timeout_s = LSSB_NO_LIMIT } },
        { "x", EXECUTE("x", 60, 1, false, 600, NO_INPUT),
          { .idle_timeout_s = 1 } },
        { "x", EXECUTE("x", 60, -1, false, 600, NO_INPUT),
          { .idle_timeout_s = LSSB_NEVER } },
        { "x", EXECUTE("x", 60, 300, true, 600, NO_INPUT),
          { .kill_on_disconnect = true } },
        { "x", EXECUTE("x", 60, 300, false, 7, NO_INPUT), { .keep_s = 7 } },
        { "x", EXECUTE("x", 60, 300, false, -1, NO_INPUT),
          { .keep_s = LSSB_NEVER } },
        { "x", EXECUTE("x", 60, 300, false, 600,
                       NO_INPUT ",\"env\":{\"A\":\"1\","
                       "\"B\\\"\":\"\xc3\xa9\\n\"}"),
          { .env = env, .env_count = 2 } },
        { "x", EXECUTE("x", 60, 300, false, 600, NO_INPUT
                       ",\"cwd\":\"/srv\""), { .cwd = "/srv" } },
        { "x", EXEC, { .cwd = "" } },
        { "x", EXECUTE("x", 60, 300, false, 600, NO_INPUT
                       ",\"run_config\":{\"user\":\"app\"}"),
          { .as_user = "app" } },
        { "x", EXECUTE("x", 60, 300, false, 600, NO_INPUT
                       ",\"run_config\":{\"user\":\"app\","
                       "\"env_vars\":{\"A\":\"1\"},\"work_dir\":\"/srv\"}"),
          { .as_user = "app", .cwd = "/srv", .env = env, .env_count = 1 } },
        { "x", EXEC_PTY, { .pty = true } },
        { "x", EXEC_PTY "{\"type\":\"resize\",\"cols\":80,\"rows\":24}\n",
          { .pty = true, .columns = 80, .rows = 24 } },
        { NULL, EXECUTE("", 60, 300, false, 600, ",\"pty\":true"),
          { .pty = true } },
        { "", EXECUTE("", 60, 300, false, 600, ",\"pty\":true"),
          { .pty = true } },
        { "x", EXEC_OPEN "{\"type\":\"input\",\"data\":\"b\\na\\n\"}\n"
          "{\"type\":\"close_stdin\"}\n",
          { .input = "b\na\n", .input_len = 4 } },
        { "x", EXEC_OPEN "{\"type\":\"close_stdin\"}\n",
          { .input = "", .input_len = 0 } },
        { "x", EXEC_PTY "{\"type\":\"input\",\"data\":\"ls\\n\\u0004\"}\n",
          { .pty = true, .input = "ls\n\004", .input_len = 4 } },
    };
    static const char *const legs[] = { STARTED "@wait 50\n" EXIT(0) };
    char said[1000];
    size_t i;
    int m;

    for (i = 0; i < COUNT(rows); i++)
        for (m = 0; m < SCRIPT_MODES; m++) {
            mode = (enum script_mode)m;
            test_row = rows[i].said;
            begin(legs, 1);
            opens();
            EXPECT_INT(perform(BY_RUN, rows[i].text, &rows[i].how), LSSB_OK);
            closes();
            sprintf(said, "#1\n%sclose 1000\n", rows[i].said);
            expect_said(said);
        }
    mode = SCRIPT_WHOLE;
}

static void another_shell_is_asked_for_by_its_path(void)
{
    static const char *const legs[] = { STARTED EXIT(0) };
    lssb_run_options how = { 0 };

    begin(legs, 1);
    opens();
    how.shell = "/bin/sh";
    EXPECT_INT(perform(BY_RUN, "x", &how), LSSB_OK);
    EXPECT(strstr(peers.said, ",\"shell\":\"/bin/sh\",") != NULL);
    closes();
}

static lssb_status take_agent(void *user, const char *channel,
                              const void *bytes, size_t len)
{
    (void)user;
    (void)channel;
    (void)bytes;
    (void)len;
    return LSSB_OK;
}

static void a_forwarded_agent_is_asked_for(void)
{
    static const char *const legs[] = { STARTED EXIT(0) };
    lssb_run_options how = { 0 };

    begin(legs, 1);
    opens();
    how.ssh_agent = true;
    how.on_agent = take_agent;
    EXPECT_INT(perform(BY_RUN, "x", &how), LSSB_OK);
    closes();
    EXPECT_STR(peers.said,
               "#1\n" EXECUTE("x", 60, 300, false, 600, NO_INPUT
                              ",\"ssh_agent_forward\":true") "close 1000\n");
}

static void what_makes_no_sense_is_refused_unsent(void)
{
    static const lssb_pair env[] = { { "A", "\xff" } };
    static const char long_id[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    static const struct {
        const char *name, *text;
        lssb_run_options how;
        bool run_only;
    } rows[] = {
        { "no command", NULL, { 0 }, false },
        { "an empty command", "", { 0 }, false },
        { "a command that is not UTF-8", "\xff", { 0 }, false },
        { "a negative time", "x", { .timeout_s = -2 }, false },
        { "a negative idle time", "x", { .idle_timeout_s = -2 }, false },
        { "a negative time to keep", "x", { .keep_s = -2 }, false },
        { "an empty id", "x", { .command_id = "" }, false },
        { "a long id", "x", { .command_id = long_id }, false },
        { "an id that is not UTF-8", "x", { .command_id = "\xc3" }, false },
        { "input without bytes", "x", { .input_len = 1 }, false },
        { "input that is not UTF-8", "x",
          { .input = "a\xff", .input_len = 2 }, false },
        { "input, and open", "x",
          { .input = "a", .input_len = 1, .open_stdin = true }, false },
        { "columns without rows", "x", { .pty = true, .columns = 80 }, false },
        { "columns without a pty", "x", { .columns = 80, .rows = 24 },
          false },
        { "too many columns", "x",
          { .pty = true, .columns = 65536, .rows = 24 }, false },
        { "an agent without a callback", "x", { .ssh_agent = true }, false },
        { "variables without an array", "x", { .env_count = 1 }, false },
        { "a variable that is not UTF-8", "x", { .env = env, .env_count = 1 },
          false },
        { "a shell that is not UTF-8", "x", { .shell = "\xff" }, false },
        { "lssb_run with an open stdin", "x", { .open_stdin = true }, true },
    };
    size_t i;
    lssb_command command;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        begin(NULL, 0);
        opens();
        EXPECT_INT(lssb_run(&box, rows[i].text, &rows[i].how, &outcome.result,
                            NULL), LSSB_E_INVALID_ARGUMENT);
        EXPECT(lssb_error_text(me.client)[0] != '\0');
        if (!rows[i].run_only)
            EXPECT_INT(lssb_command_start(&command, &box, rows[i].text,
                                          &rows[i].how, NULL),
                       LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(script.opened, 0);
        closes();
    }
}

static void text_that_is_not_utf8_is_named(void)
{
    static const lssb_pair value[] = { { "A", "\xff" } };
    static const lssb_pair name[] = { { "\xff", "a" } };
    static const struct {
        const char *names, *text;
        lssb_run_options how;
    } rows[] = {
        { "command: A string ", "echo \xff", { 0 } },
        { "shell: A string ", "x", { .shell = "\xff" } },
        { "cwd: A string ", "x", { .cwd = "\xff" } },
        { "env: A string ", "x", { .env = value, .env_count = 1 } },
        { "env: A name ", "x", { .env = name, .env_count = 1 } },
        { "run_config: A string ", "x", { .as_user = "\xff" } }
    };
    char expected[64];
    size_t i;
    lssb_command command;

    begin(NULL, 0);
    opens();
    for (i = 0; i < COUNT(rows); i++) {
        sprintf(expected, "run: %sin JSON is not UTF-8", rows[i].names);
        EXPECT_INT(lssb_run(&box, rows[i].text, &rows[i].how, &outcome.result,
                            NULL), LSSB_E_INVALID_ARGUMENT);
        EXPECT_STR(lssb_last_error(me.client)->message, expected);
        sprintf(expected, "start command: %sin JSON is not UTF-8",
                rows[i].names);
        EXPECT_INT(lssb_command_start(&command, &box, rows[i].text,
                                      &rows[i].how, NULL),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT_STR(lssb_last_error(me.client)->message, expected);
    }
    closes();
}

static void an_id_is_made_up_as_a_uuid_of_version_7(void)
{
    static const char *const legs[] = {
        "{\"type\":\"started\"}\n" EXIT(0), "{\"type\":\"started\"}\n" EXIT(0)
    };
    lssb_result result[2];
    lssb_run_options how = { 0 };
    char said[100];
    size_t i, j;

    begin(legs, 2);
    opens();
    for (i = 0; i < 2; i++) {
        const char *id = result[i].command_id;

        EXPECT_INT(lssb_run(&box, "x", &how, &result[i], NULL), LSSB_OK);
        EXPECT_INT(strlen(id), 36);
        for (j = 0; j < 36; j++)
            EXPECT(j == 8 || j == 13 || j == 18 || j == 23
                       ? id[j] == '-'
                       : strchr("0123456789abcdef", id[j]) != NULL);
        EXPECT_INT(id[14], '7');
        EXPECT(strchr("89ab", id[19]) != NULL);
        EXPECT(strncmp(id, "01a318dd", 5) == 0);    /* 1.8e12 ms */
        sprintf(said, "\"command_id\":\"%s\"}\n", id);
        EXPECT(strstr(peers.said, said) != NULL);
    }
    EXPECT(strcmp(result[0].command_id, result[1].command_id) != 0);
    closes();
}

/* ------------------------------------------- what the server says (5.5) -- */

static void messages_mean_what_the_reference_says(void)
{
    static const struct row rows[] = {
        { "the transcript", { STARTED OUT("hi\\n", 0) ERR("ho\\n", 0)
          EXIT(0) }, LSSB_OK, "hi\n", "ho\n",
          "#1\n" EXEC "close 1000\n", 0, 0, 0, 0, 0, 0 },
        { "an exit code", { STARTED EXIT(3) }, LSSB_OK, "", "", NULL, 3,
          0, 0, 0, 0, 0 },
        { "a negative exit code", { STARTED EXIT(-9) }, LSSB_OK, "", "", NULL,
          -9, 0, 0, 0, 0, 0 },
        { "no exit code", { STARTED "{\"type\":\"exit\"}\n" }, LSSB_OK, "",
          "", NULL, -1, 0, 0, 0, 0, 0 },
        { "an exit code of null", { STARTED
          "{\"type\":\"exit\",\"exit_code\":null}\n" }, LSSB_OK, "", "",
          NULL, -1, 0, 0, 0, 0, 0 },
        { "a huge exit code", { STARTED
          "{\"type\":\"exit\",\"exit_code\":4294967296}\n" }, LSSB_OK, "",
          "", NULL, -1, 0, 0, 0, 0, 0 },
        { "a pid beside an exit code", { STARTED
          "{\"type\":\"exit\",\"exit_code\":3,\"pid\":42}\n" }, LSSB_OK, "",
          "", NULL, 3, 0, 0, 0, 0, 0 },
        { "a pid instead of an exit code", { STARTED
          "{\"type\":\"exit\",\"pid\":42}\n" }, LSSB_OK, "", "", NULL, -1, 0,
          0, 0, 0, 0 },
        { "an exit code within another member", { STARTED
          "{\"exit_code\":3,\"pid\":{\"exit_code\":4},\"type\":\"exit\"}\n" },
          LSSB_OK, "", "", NULL, 3, 0, 0, 0, 0, 0 },
        { "no pid", { "{\"type\":\"started\",\"command_id\":\"" ID "\"}\n"
          EXIT(0) }, LSSB_OK, "", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "no id", { "{\"type\":\"started\"}\n" EXIT(0) }, LSSB_OK, "", "",
          NULL, 0, 0, 0, 0, 0, 0 },
        { "members in other orders", {
          "{\"pid\":42,\"command_id\":\"" ID "\",\"type\":\"started\"}\n"
          "{\"offset\":0,\"data\":\"a\",\"type\":\"stdout\"}\n"
          "{\"data\":\"b\",\"type\":\"stdout\",\"offset\":1}\n"
          "{\"data\":\"c\",\"offset\":2,\"type\":\"stdout\"}\n"
          "{\"type\":\"stdout\",\"offset\":3,\"data\":\"d\"}\n"
          "{\"offset\":4,\"type\":\"stdout\",\"data\":\"e\"}\n"
          "{\"offset\":0,\"data\":\"f\",\"type\":\"stderr\"}\n"
          "{\"exit_code\":5,\"type\":\"exit\"}\n" }, LSSB_OK, "abcde", "f",
          NULL, 5, 0, 0, 0, 0, 0 },
        { "blanks and members nobody knows", {
          "@text  { \"x\" : [ {\"type\":\"exit\",\"data\":\"no\"} ] , "
          "\"type\" :\t"
          "\"started\" , \"command_id\" : \"" ID "\" } \n"
          "{ \"type\":\"stdout\",\"y\":{\"data\":\"no\",\"offset\":9},"
          "\"data\":\"a\",\"offset\":0 }\n" EXIT(0) }, LSSB_OK, "a", "",
          NULL, 0, 0, 0, 0, 0, 0 },
        { "types nobody knows", { STARTED "{\"type\":\"new\"}\n"
          "{\"type\":7}\n{}\n{\"data\":\"x\"}\n{\"type\":\"stdoutx\","
          "\"data\":\"x\"}\n{\"type\":\"a word that is much longer than "
          "every type there is\",\"data\":\"x\"}\n" OUT("a", 0) EXIT(0) },
          LSSB_OK, "a", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "a second started", { STARTED OUT("a", 0) STARTED OUT("b", 1)
          "{\"type\":\"started\",\"command_id\":\"id-2\"}\n" OUT("c", 2)
          EXIT(0) }, LSSB_OK, "abc", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "binary messages", { "@binary {\"type\":\"started\"}\n@binary "
          OUT("\xc3\xa9", 0) "@binary " EXIT(0) }, LSSB_OK, "\xc3\xa9", "",
          NULL, 0, 0, 0, 0, 0, 0 },
        { "empty and missing data", { STARTED OUT("", 0)
          "{\"type\":\"stdout\",\"offset\":0}\n"
          "{\"type\":\"stdout\",\"data\":null,\"offset\":0}\n"
          "{\"type\":\"stderr\",\"data\":5,\"offset\":0}\n" OUT("a", 0)
          EXIT(0) }, LSSB_OK, "a", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "escapes", { STARTED "{\"type\":\"stdout\",\"data\":\"\\u0000"
          "\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"}\n" EXIT(0) },
          LSSB_OK, "", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "pings and pongs", { "@ping a\n@pong b\n" STARTED "@ping \n"
          OUT("a", 0) "@pong \n" EXIT(0) }, LSSB_OK, "a", "", NULL, 0,
          0, 0, 0, 0, 0 },
        { "nothing is heard after the exit", { STARTED EXIT(4) OUT("a", 0)
          EXIT(5) "{\n" }, LSSB_OK, "", "", "#1\n" EXEC "close 1000\n", 4,
          0, 0, 0, 0, 0 },
        { "frames behind the 101", { "@now\n@ping early\n@hear\n" STARTED
          EXIT(0) }, LSSB_OK, "", "", NULL, 0, 0, 0, 0, 0, 0 },
        { "started behind the 101", { "@now\n" STARTED OUT("a", 0)
          "@hear\n" EXIT(0) }, LSSB_OK, "a", "", NULL, 0, 0, 0, 0, 0, 0 },
        /* Errors. */
        { "a timeout", { STARTED OUT("a", 0)
          FAILS("CommandTimeout", "after 60 s") }, LSSB_E_COMMAND_TIMEOUT,
          "a", "", "#1\n" EXEC "close 1000\n", 0, "CommandTimeout",
          "after 60 s", 0, 0, 0 },
        { "an error", { STARTED FAILS("CommandError", "it broke") },
          LSSB_E_OPERATION, "", "", NULL, 0, "CommandError", "it broke", 0,
          0, 0 },
        { "an error instead of started", { FAILS("CommandError", "no shell")
          }, LSSB_E_OPERATION, "", "", "#1\n" EXEC "close 1000\n", 0,
          "CommandError", "no shell", 0, 0, 0 },
        { "an error nobody knows", { FAILS("Brandnew", "w\\u00f6rds") },
          LSSB_E_OPERATION, "", "", NULL, 0, "Brandnew", "w\xc3\xb6rds", 0,
          0, 0 },
        { "an error without a type", { STARTED
          "{\"type\":\"error\",\"error\":\"why\"}\n" }, LSSB_E_OPERATION, "",
          "", NULL, 0, "CommandError", "why", 0, 0, 0 },
        { "an error without words", { STARTED
          "{\"type\":\"error\",\"error_type\":\"CommandError\"}\n" },
          LSSB_E_OPERATION, "", "", NULL, 0, "CommandError",
          "Unknown error", 0, 0, 0 },
        { "an error of nothing", { STARTED "{\"type\":\"error\"}\n" },
          LSSB_E_OPERATION, "", "", NULL, 0, "CommandError",
          "Unknown error", 0, 0, 0 },
        { "an error in another order", { STARTED "{\"error\":\"why\","
          "\"error_type\":\"CommandTimeout\",\"type\":\"error\"}\n" },
          LSSB_E_COMMAND_TIMEOUT, "", "", NULL, 0, "CommandTimeout", "why",
          0, 0, 0 },
        /* First messages. */
        { "output before started", { OUT("a", 0) STARTED EXIT(0) },
          LSSB_E_OPERATION, "", "", "#1\n" EXEC "close 1000\n", 0, NULL,
          "expected 'started'", 0, 0, 0 },
        { "an exit before started", { EXIT(0) }, LSSB_E_OPERATION, "", "",
          NULL, 0, NULL, "expected 'started'", 0, 0, 0 },
        { "nothing known before started", { "{\"type\":\"hello\"}\n"
          STARTED }, LSSB_E_OPERATION, "", "", NULL, 0, NULL,
          "expected 'started'", 0, 0, 0 },
        { "an empty object before started", { "{}\n" STARTED },
          LSSB_E_OPERATION, "", "", NULL, 0, NULL, "expected 'started'", 0,
          0, 0 },
        /* What breaks the rules is final: it would be replayed. */
        { "no JSON", { STARTED OUT("a", 0) "@text hello\n" },
          LSSB_E_PROTOCOL, "a", "", NULL, 0, NULL, "not valid JSON", 0, 0,
          0 },
        { "JSON that is cut", { STARTED "@text {\"type\":\"exit\"\n" },
          LSSB_E_PROTOCOL, "", "", NULL, 0, NULL, "not valid JSON", 0, 0,
          0 },
        { "two objects", { STARTED "@text {}{}\n" }, LSSB_E_PROTOCOL, "",
          "", NULL, 0, NULL, "not valid JSON", 0, 0, 0 },
        { "an empty message", { STARTED "@text \n" }, LSSB_E_PROTOCOL, "",
          "", NULL, 0, NULL, NULL, 0, 0, 0 },
        { "an array", { STARTED "[]\n" }, LSSB_E_PROTOCOL, "", "", NULL, 0,
          NULL, "no JSON object", 0, 0, 0 },
        { "a string", { STARTED "\"exit\"\n" }, LSSB_E_PROTOCOL, "", "",
          NULL, 0, NULL, "no JSON object", 0, 0, 0 },
        { "no JSON at first", { "@text hello\n" }, LSSB_E_PROTOCOL, "", "",
          "#1\n" EXEC "close 1000\n", 0, NULL, "not valid JSON", 0, 0, 0 },
        { "binary that is not UTF-8", { STARTED "@raw 8203" "7bff7d\n" },
          LSSB_E_PROTOCOL, "", "", NULL, 0, NULL, NULL, 0, 0, 0 },
        { "text that is not UTF-8", { STARTED "@raw 8103" "7bff7d\n" },
          LSSB_E_PROTOCOL, "", "", "#1\n" EXEC "close 1007\n", 0, NULL,
          "WebSocket", 0, 0, 0 },
        { "a masked frame", { STARTED "@raw 8182" "00000000" "7b7d\n" },
          LSSB_E_PROTOCOL, "", "", "#1\n" EXEC "close 1002\n", 0, NULL,
          "WebSocket", 0, 0, 0 },
        { "a reserved bit", { STARTED "@raw c100\n" }, LSSB_E_PROTOCOL, "",
          "", "#1\n" EXEC "close 1002\n", 0, NULL, "WebSocket", 0, 0, 0 },
        { "a reserved opcode at first", { "@raw 8300\n" }, LSSB_E_PROTOCOL,
          "", "", "#1\n" EXEC "close 1002\n", 0, NULL, "WebSocket", 0, 0,
          0 },
        { "another id after execute", {
          "{\"type\":\"started\",\"command_id\":\"id-2\"}\n" EXIT(0) },
          LSSB_E_PROTOCOL, "", "", NULL, 0, NULL, "another command", 0, 0,
          0 },
    };

    CHECK_ROWS(rows);
}

/* One that begins with ours, too, and one that nothing has room for. */
static void an_id_of_any_length_after_execute_is_ours_or_refused(void)
{
    static const size_t lengths[] = { 62, 63, 64, 200, 20000 };
    static char leg[21000], id[64];
    const char *legs[] = { leg };
    lssb_run_options how = { .command_id = id };
    size_t i, at;

    memset(id, 'x', 63);
    for (i = 0; i < COUNT(lengths); i++) {
        begin(legs, 1);
        opens();
        at = (size_t)sprintf(leg, "{\"type\":\"started\",\"command_id\":\"");
        memset(leg + at, 'x', lengths[i]);
        strcpy(leg + at + lengths[i], "\"}\n" EXIT(0));
        EXPECT_INT(perform(BY_RUN, "x", &how),
                   lengths[i] == 63 ? LSSB_OK : LSSB_E_PROTOCOL);
        closes();
    }
}

/* ------------------------------------------------------- offsets (5.6) -- */

static void offsets_are_where_the_reference_says(void)
{
    static const struct row rows[] = {
        { "the transcript of a reload", { STARTED OUT("caf\xc3\xa9\\n", 0)
          "@close 1001\n", STARTED OUT("more\\n", 6) EXIT(3) }, LSSB_OK,
          "caf\xc3\xa9\nmore\n", "", "#1\n" EXEC "close 1001\n#2\n"
          RECONNECT(6, 0) "close 1000\n", 3, 0, 0, 0, 0, 1 },
        { "escapes count as what they stand for", { STARTED
          "{\"type\":\"stdout\",\"data\":\"\\u00e9\\n\\ud83d\\ude00\\\"\","
          "\"offset\":0}\n" "@end\n", STARTED EXIT(0) }, LSSB_OK,
          "\xc3\xa9\n\xf0\x9f\x98\x80\"", "",
          "#1\n" EXEC "#2\n" RECONNECT(8, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "a lone surrogate is a U+FFFD of three bytes, which may be one",
          { STARTED OUT("ab", 0)
          "{\"type\":\"stdout\",\"data\":\"c\\ud800d\",\"offset\":2}\n"
          "@end\n", STARTED
          "{\"type\":\"stdout\",\"data\":\"c\\ud800de\",\"offset\":2}\n"
          EXIT(0) }, LSSB_OK, "abc\xef\xbf\xbd" "de", "",
          "#1\n" EXEC "#2\n" RECONNECT(2, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "both streams resume", { STARTED OUT("a", 0) ERR("bcd", 0)
          OUT("ef", 1) "@reset\n", STARTED ERR("g", 3) OUT("h", 3)
          EXIT(0) }, LSSB_OK, "aefh", "bcdg",
          "#1\n" EXEC "#2\n" RECONNECT(3, 3) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "a gap at once", { STARTED OUT("a", 7) EXIT(0) }, LSSB_OK, "a",
          "", NULL, 0, 0, 0, 7, 0, 0 },
        { "a gap later", { STARTED OUT("a", 0) ERR("b", 0) OUT("c", 5)
          ERR("d", 3) EXIT(0) }, LSSB_OK, "ac", "bd", NULL, 0, 0, 0, 4, 2,
          0 },
        { "a gap after a loss", { STARTED OUT("abc", 0) "@end\n",
          STARTED OUT("x", 1003) EXIT(0) }, LSSB_OK, "abcx", "",
          "#1\n" EXEC "#2\n" RECONNECT(3, 0) "close 1000\n", 0, 0, 0, 1000,
          0, 1 },
        { "a gap without data", { STARTED OUT("abc", 0) "@end\n",
          STARTED OUT("", 5) EXIT(0) }, LSSB_OK, "abc", "", NULL, 0, 0, 0,
          2, 0, 1 },
        { "an overlap after a loss", { STARTED OUT("abc", 0) "@end\n",
          STARTED OUT("bcde", 1) EXIT(0) }, LSSB_OK, "abcde", "", NULL, 0,
          0, 0, 0, 0, 1 },
        { "an overlap of everything", { STARTED OUT("abc", 0) "@end\n",
          STARTED OUT("abc", 0) OUT("d", 3) EXIT(0) }, LSSB_OK, "abcd", "",
          NULL, 0, 0, 0, 0, 0, 1 },
        { "an overlap of several messages", { STARTED OUT("abc", 0)
          "@end\n", STARTED OUT("a", 0) OUT("bcd", 1) EXIT(0) }, LSSB_OK,
          "abcd", "", NULL, 0, 0, 0, 0, 0, 1 },
        { "a gap within an overlap that was not through", { STARTED
          OUT("abcdefghij", 0) "@end\n", STARTED OUT("ab", 0) OUT("fghijk", 5)
          EXIT(0) }, LSSB_OK, "abcdefghijk", "", NULL, 0, 0, 0, 0, 0, 1 },
        { "a gap beyond an overlap that was not through", { STARTED
          OUT("abcdefghij", 0) "@end\n", STARTED OUT("ab", 0) OUT("xy", 14)
          EXIT(0) }, LSSB_OK, "abcdefghijxy", "", NULL, 0, 0, 0, 4, 0, 1 },
        { "an overlap in one stream alone", { STARTED OUT("abc", 0)
          ERR("xyz", 0) "@end\n", STARTED ERR("yz1", 1) OUT("d", 3)
          EXIT(0) }, LSSB_OK, "abcd", "xyz1", NULL, 0, 0, 0, 0, 0, 1 },
        { "smaller offsets on the same connection are no overlap", { STARTED
          OUT("abcdef", 0) OUT("gh", 2) OUT("ij", 4) "@end\n",
          STARTED OUT("k", 6) EXIT(0) }, LSSB_OK, "abcdefghijk", "",
          "#1\n" EXEC "#2\n" RECONNECT(6, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "a missing offset is the expected one", { STARTED
          "{\"type\":\"stdout\",\"data\":\"ab\"}\n"
          "{\"type\":\"stdout\",\"data\":\"cd\"}\n" OUT("e", 4) "@end\n",
          STARTED "{\"type\":\"stdout\",\"data\":\"f\"}\n" OUT("g", 6)
          EXIT(0) }, LSSB_OK, "abcdefg", "",
          "#1\n" EXEC "#2\n" RECONNECT(5, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "a negative offset is a missing one", { STARTED OUT("ab", -1)
          OUT("c", 2) EXIT(0) }, LSSB_OK, "abc", "", NULL, 0, 0, 0, 0, 0,
          0 },
        { "an offset of another kind is a missing one", { STARTED
          OUT("ab", "x") OUT("c", null) OUT("d", {}) OUT("e", [5])
          OUT("f", 1.5) OUT("g", 6) EXIT(0) }, LSSB_OK, "abcdefg", "", NULL,
          0, 0, 0, 0, 0, 0 },
        { "a whole number may have a point", { STARTED OUT("a", 3.0)
          EXIT(0) }, LSSB_OK, "a", "", NULL, 0, 0, 0, 3, 0, 0 },
        { "what is not UTF-8 counts more here than there", { STARTED
          OUT("ab", 0) OUT("\xef\xbf\xbd\xef\xbf\xbdz", 2) "@end\n",
          STARTED OUT("\xef\xbf\xbd\xef\xbf\xbdzcd", 2) EXIT(0) }, LSSB_OK,
          "ab\xef\xbf\xbd\xef\xbf\xbdzcd", "",
          "#1\n" EXEC "#2\n" RECONNECT(2, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "the replay of an anchor in several messages", { STARTED
          OUT("\xef\xbf\xbd" "ab", 0) "@end\n",
          STARTED OUT("\xef\xbf\xbd", 0) OUT("a", 1) OUT("bcd", 2)
          EXIT(0) }, LSSB_OK, "\xef\xbf\xbd" "abcd", "",
          "#1\n" EXEC "#2\n" RECONNECT(0, 0) "close 1000\n", 0, 0, 0, 0, 0,
          1 },
        { "the replay of an anchor that is lost again", { STARTED
          OUT("\xef\xbf\xbd" "ab", 0) "@end\n",
          STARTED OUT("\xef\xbf\xbd", 0) "@end\n",
          STARTED OUT("\xef\xbf\xbd" "abc", 0) EXIT(0) }, LSSB_OK,
          "\xef\xbf\xbd" "abc", "", NULL, 0, 0, 0, 0, 0, 2 },
        { "the next message's offset corrects the count", { STARTED
          OUT("\xef\xbf\xbd" "a", 0) OUT("b", 2) "@end\n",
          STARTED OUT("c", 3) EXIT(0) }, LSSB_OK,
          "\xef\xbf\xbd" "abc", "", "#1\n" EXEC "#2\n" RECONNECT(3, 0)
          "close 1000\n", 0, 0, 0, 0, 0, 1 },
        { "lost several times", { STARTED OUT("a", 0) "@end\n",
          STARTED OUT("b", 1) "@reset\n", STARTED OUT("c", 2)
          "@close 1000\n", STARTED OUT("d", 3) "@close 1011 why\n",
          OUT("e", 4) "@close 0\n", STARTED OUT("f", 5) "@raw 8801ff\n" },
          LSSB_E_PROTOCOL, "abcdef", "", NULL, 0, NULL, NULL, 0, 0, 5 },
        { "an output that was cut comes again", { STARTED OUT("a", 0)
          "@raw 81407b2274797065223a227374646f7574222c2264617461223a22"
          "6263\n@end\n", STARTED OUT("bcd", 1) EXIT(0) }, LSSB_OK, "abcd",
          "", "#1\n" EXEC "#2\n" RECONNECT(1, 0) "close 1000\n", 0, 0, 0, 0,
          0, 1 },
    };

    counts_agree = false;
    CHECK_ROWS(rows);
    counts_agree = true;
}

/* -------------------------------------------------- the open phase (5.7) -- */

#define REPLY(status, headers) \
    "HTTP/1.1 " #status " Words\r\n" headers "Content-Length: 0\r\n\r\n"
#define SLOW_MS 200                 /* that connecting may take, all told */

/* One way in which an opening fails. */
struct opening {
    const char *name;
    const char *leg;
    lssb_io resolves, connects;
    enum { TLS_FINE, TLS_UNTRUSTED, TLS_BROKEN } tls;
    lssb_status status;             /* when it is given up */
    bool final, jitter;
    int http_status;
    const char *message;
    uint32_t pause_ms;              /* other than the back-off */
    bool at_once;
};

static lssb_status fail_tls(void *session, lssb_status status)
{
    const struct script_tls *tls = session;

    tls->setup->error->status = status;
    tls->setup->error->layer = LSSB_LAYER_TLS;
    strcpy(tls->setup->error->message, "the test says so");
    return status;
}

static lssb_status tls_untrusted(void *session)
{
    return fail_tls(session, LSSB_E_CERTIFICATE);
}

static lssb_status tls_broken(void *session)
{
    return fail_tls(session, LSSB_E_PROTOCOL);
}

/* A client to which the first `fails` openings happen; then it goes well. */
static void begin_opening(const struct opening *row, size_t fails)
{
    static const char *legs[10];
    static lssb_io ios[10];
    static lssb_tls_backend backend;
    size_t i, n = 0;

    for (i = 0; i < 10; i++)
        ios[i] = i < fails ? row->connects : LSSB_IO_OK;
    for (i = 0; i < fails && row->leg != NULL; i++)
        legs[n++] = row->leg;
    legs[n++] = STARTED OUT("a", 0) EXIT(0);
    over_tls = row->tls != TLS_FINE;
    begin(legs, n);
    script.resolve_io = row->resolves;
    script.connect_plan = ios;
    script.connect_plan_count = 10;
    opens();
    over_tls = false;
    if (row->tls == TLS_FINE)
        return;
    script_client_close(&me);
    backend = script_tls;
    backend.pump = row->tls == TLS_BROKEN ? tls_broken : tls_untrusted;
    me.config.tls = &backend;
    script_client_open(&me);
    box.client = me.client;
}

/* The least and the most that pauses may take, `count` of them. */
static uint32_t pauses(const struct opening *row, unsigned count, bool least)
{
    uint32_t ms = 0, one = 500;
    unsigned i;

    for (i = 0; i < count; i++, one *= 2)
        ms += row->at_once ? 0 : row->pause_ms != 0 ? row->pause_ms : one;
    return least && row->jitter ? ms / 10 * 8 : ms;
}

static void expect_pauses(const struct opening *row, unsigned count)
{
    EXPECT(outcome.took_ms >= pauses(row, count, true));
    EXPECT(outcome.took_ms <= pauses(row, count, false) + SLOW_MS);
}

static const struct opening openings[] = {
    { "no such name", NULL, LSSB_IO_NOT_FOUND, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECT_TIMEOUT, false, true, 0, NULL, 0, false },
    { "refused", NULL, LSSB_IO_OK, LSSB_IO_REFUSED, TLS_FINE,
      LSSB_E_CONNECT_TIMEOUT, false, true, 0, NULL, 0, false },
    { "unreachable", NULL, LSSB_IO_OK, LSSB_IO_UNREACHABLE, TLS_FINE,
      LSSB_E_CONNECT_TIMEOUT, false, true, 0, NULL, 0, false },
    { "a handshake that fails", NULL, LSSB_IO_OK, LSSB_IO_OK, TLS_BROKEN,
      LSSB_E_CONNECT_TIMEOUT, false, true, 0, NULL, 0, false },
    { "a certificate", NULL, LSSB_IO_OK, LSSB_IO_OK, TLS_UNTRUSTED,
      LSSB_E_CERTIFICATE, true, false, 0, NULL, 0, false },
    { "500", REPLY(500, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_UNAVAILABLE, false, true, 500, NULL, 0, false },
    { "502", REPLY(502, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_UNAVAILABLE, false, true, 502, NULL, 0, false },
    { "503", REPLY(503, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_UNAVAILABLE, false, true, 503, NULL, 0, false },
    { "504", REPLY(504, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_UNAVAILABLE, false, true, 504, NULL, 0, false },
    { "429", REPLY(429, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_UNAVAILABLE, false, true, 429, NULL, 0, false },
    { "404", REPLY(404, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 404,
      "does not support WebSocket commands", 0, false },
    { "401", REPLY(401, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE, LSSB_E_AUTH,
      true, false, 401, NULL, 0, false },
    { "403", REPLY(403, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE, LSSB_E_AUTH,
      true, false, 403, NULL, 0, false },
    { "400", REPLY(400, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 400, NULL, 0, false },
    { "409", REPLY(409, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 409, NULL, 0, false },
    { "426", REPLY(426, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 426, NULL, 0, false },
    { "501", REPLY(501, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 501, NULL, 0, false },
    { "505", REPLY(505, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 505, NULL, 0, false },
    { "200", REPLY(200, ""), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 200, NULL, 0, false },
    { "204", "HTTP/1.1 204 Nothing\r\n\r\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 204, NULL, 0, false },
    { "302", REPLY(302, "Location: /\r\n"), LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 302, NULL, 0, false },
    { "the end instead of a reply", "@gone", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "a reset instead of a reply", "@cut", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "half a reply", "HTTP/1.1 101 Switch", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "no HTTP", "SSH-2.0-OpenSSH\r\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "a wrong accept", "@accept", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, true, false, 0, "upgrade", 0, false },
    { "101 without its headers", "HTTP/1.1 101 Words\r\n\r\n", LSSB_IO_OK,
      LSSB_IO_OK, TLS_FINE, LSSB_E_CONNECTION, true, false, 0, "upgrade", 0,
      false },
    { "closed with 1000", "@close 1000\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_NOT_STARTED, false, false, 0, NULL, 0, false },
    { "closed without a code", "@close 0\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_NOT_STARTED, false, false, 0, NULL, 0, false },
    { "closed with 1001", "@close 1001\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_SERVER_RELOAD, false, false, 0, NULL, 0, true },
    { "closed with 1011", "@close 1011 a fault\n", LSSB_IO_OK, LSSB_IO_OK,
      TLS_FINE, LSSB_E_CONNECTION, false, false, 0, "a fault", 0, false },
    { "closed with 4000", "@close 4000\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, "4000", 0, false },
    { "the end", "@end\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "a reset", "@reset\n", LSSB_IO_OK, LSSB_IO_OK, TLS_FINE,
      LSSB_E_CONNECTION, false, false, 0, NULL, 0, false },
    { "the end in started", "@raw 817e0100" "7b2274\n@end\n", LSSB_IO_OK,
      LSSB_IO_OK, TLS_FINE, LSSB_E_CONNECTION, false, false, 0, NULL, 0,
      false },
    { "a time to wait", REPLY(503, "Retry-After: 2\r\n"), LSSB_IO_OK,
      LSSB_IO_OK, TLS_FINE, LSSB_E_UNAVAILABLE, false, false, 503, NULL, 2000,
      false },
    { "at once", REPLY(429, "Retry-After: 0\r\n"), LSSB_IO_OK, LSSB_IO_OK,
      TLS_FINE, LSSB_E_UNAVAILABLE, false, false, 429, NULL, 100, false },
    { "a fraction", REPLY(500, "Retry-After: 0.5\r\n"), LSSB_IO_OK,
      LSSB_IO_OK, TLS_FINE, LSSB_E_UNAVAILABLE, false, false, 500, NULL, 500,
      false },
    { "a date", REPLY(502, "Retry-After: Fri, 15 Jan 2027 08:00:03 GMT\r\n"),
      LSSB_IO_OK, LSSB_IO_OK, TLS_FINE, LSSB_E_UNAVAILABLE, false, false, 502,
      NULL, 3000, false },
    { "a negative time", REPLY(503, "Retry-After: -5\r\n"), LSSB_IO_OK,
      LSSB_IO_OK, TLS_FINE, LSSB_E_UNAVAILABLE, false, true, 503, NULL, 0,
      false },
    { "no time", REPLY(503, "Retry-After: soon\r\n"), LSSB_IO_OK, LSSB_IO_OK,
      TLS_FINE, LSSB_E_UNAVAILABLE, false, true, 503, NULL, 0, false },
    { "a time with another status", REPLY(400, "Retry-After: 1\r\n"),
      LSSB_IO_OK, LSSB_IO_OK, TLS_FINE, LSSB_E_CONNECTION, true, false, 400,
      NULL, 0, false },
};

static void check_opening_once(const struct opening *row, enum way way)
{
    begin_opening(row, 1);
    perform(way, "x", NULL);
    if (row->final) {
        EXPECT_INT(outcome.status, row->status);
        EXPECT(outcome.took_ms <= SLOW_MS);
        EXPECT_INT(outcome.error.attempts, 1);
    } else if (row->resolves == LSSB_IO_OK && row->tls == TLS_FINE) {
        EXPECT_INT(outcome.status, LSSB_OK);
        expect_texts("a", "", way);
        expect_pauses(row, 1);
    }
    closes();
}

static void an_opening_that_fails_is_made_again_where_that_helps(void)
{
    size_t i;
    int way, m;

    for (i = 0; i < COUNT(openings); i++)
        for (m = 0; m < SCRIPT_MODES; m++)
            for (way = 0; way < WAYS; way++) {
                mode = (enum script_mode)m;
                test_row = openings[i].name;
                check_opening_once(&openings[i], (enum way)way);
            }
    mode = SCRIPT_WHOLE;
}

static void an_opening_that_keeps_failing_is_given_up_after_six(void)
{
    size_t i;
    int way;

    for (i = 0; i < COUNT(openings); i++)
        for (way = 0; way < WAYS && !openings[i].final; way++) {
            const struct opening *row = &openings[i];

            test_row = row->name;
            begin_opening(row, 6);
            EXPECT_INT(perform((enum way)way, "x", NULL), row->status);
            EXPECT_INT(outcome.error.status, row->status);
            EXPECT_INT(outcome.error.attempts, 6);
            EXPECT_INT(outcome.error.http_status, row->http_status);
            EXPECT_STR(outcome.result.command_id, ID);
            if (row->message != NULL)
                EXPECT(strstr(outcome.error.message, row->message) != NULL);
            expect_pauses(row, 5);
            if (row->leg != NULL)
                EXPECT_INT(peers.count, 6);
            closes();
        }
}

static void every_attempt_asks_for_the_same_command(void)
{
    static const char *const legs[] = { "@end\n", "@close 1000\n", "@reset\n",
                                        "@close 1001\n", STARTED EXIT(7) };
    int way;

    for (way = 0; way < WAYS; way++) {
        begin(legs, 5);
        opens();
        EXPECT_INT(perform((enum way)way, "x", NULL), LSSB_OK);
        EXPECT_INT(outcome.result.exit_code, 7);
        EXPECT_INT(outcome.result.reattached, 0);
        closes();
        EXPECT_STR(peers.said, "#1\n" EXEC "#2\n" EXEC "close 1000\n#3\n" EXEC
                               "#4\n" EXEC "close 1001\n#5\n" EXEC
                               "close 1000\n");
    }
}

static void the_pauses_spread(void)
{
    uint64_t least = UINT64_MAX, most = 0;
    int i;

    for (i = 0; i < 20; i++) {
        begin_opening(&openings[1], 1);
        script.random = (uint32_t)i * 77777;
        EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_OK);
        least = outcome.took_ms < least ? outcome.took_ms : least;
        most = outcome.took_ms > most ? outcome.took_ms : most;
        closes();
    }
    EXPECT(least >= 400);
    EXPECT(most - least > 40);
}

static void openings_stay_inside_their_budget(void)
{
    static const struct {
        const char *name, *leg;
        bool stuck;                 /* connecting */
        uint32_t open_ms;
        lssb_status status;
        uint32_t from_ms, to_ms;
        unsigned attempts;
    } rows[] = {
        { "no reply", "@mute", false, 0, LSSB_E_CONNECT_TIMEOUT, 120000,
          120050, 4 },
        { "no connection", NULL, true, 0, LSSB_E_CONNECT_TIMEOUT, 119000,
          120050, 4 },
        { "no started", "@ping a\n", false, 0, LSSB_E_CONNECT_TIMEOUT, 120000,
          120050, 1 },
        { "no reply in less time", "@mute", false, 3000,
          LSSB_E_CONNECT_TIMEOUT, 3000, 3050, 1 },
        { "no started in less time", "@ping a\n", false, 3000,
          LSSB_E_CONNECT_TIMEOUT, 3000, 3050, 1 },
        { "the end, in little time", "@end\n", false, 1400,
          LSSB_E_CONNECTION, 500, 550, 2 },
        { "the end, in very little time", "@end\n", false, 400,
          LSSB_E_CONNECTION, 0, 50, 1 },
        { "a time to wait beyond it", REPLY(503, "Retry-After: 3600\r\n"),
          false, 0, LSSB_E_UNAVAILABLE, 0, 50, 1 },
        { "a time to wait far beyond it",
          REPLY(503, "Retry-After: 9000000\r\n"), false, 0,
          LSSB_E_UNAVAILABLE, 0, 50, 1 },
        { "a date far beyond it",
          REPLY(503, "Retry-After: Fri, 15 Jan 2077 08:00:03 GMT\r\n"), false,
          0, LSSB_E_UNAVAILABLE, 0, 50, 1 },
        { "a time to wait twice beyond it",
          REPLY(503, "Retry-After: 50\r\n"), false, 0, LSSB_E_UNAVAILABLE,
          100000, 100050, 3 },
        { "a time to wait, no budget", REPLY(503, "Retry-After: 3600\r\n"),
          false, LSSB_FOREVER, LSSB_E_UNAVAILABLE, 300000, 300050, 6 },
        { "no reply, no budget", "@mute", false, LSSB_FOREVER,
          LSSB_E_CONNECT_TIMEOUT, 192400, 195550, 6 },
    };
    size_t i;
    int way;

    for (i = 0; i < COUNT(rows); i++)
        for (way = 0; way < WAYS; way++) {
            const char *legs[6];
            lssb_run_options how = { 0 };
            size_t n;

            test_row = rows[i].name;
            for (n = 0; n < 6; n++)
                legs[n] = rows[i].leg;
            begin(legs, 6);
            script.stuck_connecting = rows[i].stuck;
            opens();
            how.open_ms = rows[i].open_ms;
            EXPECT_INT(perform((enum way)way, "x", &how), rows[i].status);
            EXPECT(outcome.took_ms >= rows[i].from_ms);
            EXPECT(outcome.took_ms <= rows[i].to_ms);
            EXPECT_INT(outcome.error.attempts, rows[i].attempts);
            if (rows[i].leg != NULL)
                EXPECT_INT(peers.count, rows[i].attempts);
            closes();
        }
}

static void a_refusal_says_what_the_server_said(void)
{
#define LENGTH(n) "Content-Length: " #n "\r\n\r\n"
    static const struct {
        const char *leg;
        const char *shown, *hidden;
        lssb_status status;
        const char *error_id;
        uint32_t retry_after_ms;
    } rows[] = {
        { "HTTP/1.1 400 Bad\r\n" LENGTH(42)
          "{\"detail\":{\"message\":\"no such sandbox\"}}", "no such sandbox",
          NULL, LSSB_E_CONNECTION, "", 0 },
        { "HTTP/1.1 403 No\r\n" LENGTH(52)
          "{\"detail\":{\"message\":\"not yours\",\"error_id\":\"e-1\"}}",
          "not yours (error_id=e-1)", NULL, LSSB_E_AUTH, "e-1", 0 },
        { "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
          "a\r\n{\"detail\":\r\n11\r\n{\"message\":\"mm\"}}\r\n0\r\n\r\n",
          "mm", NULL, LSSB_E_CONNECTION, "", 0 },
        { "HTTP/1.1 400 Bad\r\n\r\n<html>secret</html>", NULL, "secret",
          LSSB_E_CONNECTION, "", 0 },
        { "HTTP/1.1 400 Bad\r\n" LENGTH(99)
          "{\"detail\":{\"message\":\"cut", NULL, NULL, LSSB_E_CONNECTION, "",
          0 },
        { "HTTP/1.1 404 Gone\r\n" LENGTH(34)
          "{\"detail\":{\"message\":\"who is that?\"}}", NULL, NULL,
          LSSB_E_CONNECTION, "", 0 },
    };
    size_t i;
    int way, m;

    for (i = 0; i < COUNT(rows); i++)
        for (m = 0; m < SCRIPT_MODES; m++)
            for (way = 0; way < WAYS; way++) {
                mode = (enum script_mode)m;
                test_row = rows[i].leg;
                begin(&rows[i].leg, 1);
                opens();
                EXPECT_INT(perform((enum way)way, "x", NULL), rows[i].status);
                EXPECT_INT(outcome.error.layer, LSSB_LAYER_WEBSOCKET);
                EXPECT_STR(outcome.error.error_id, rows[i].error_id);
                if (rows[i].shown != NULL)
                    EXPECT(strstr(outcome.error.message, rows[i].shown) !=
                           NULL);
                if (rows[i].hidden != NULL)
                    EXPECT(strstr(outcome.error.message, rows[i].hidden) ==
                           NULL);
                closes();
            }
    mode = SCRIPT_WHOLE;
}

static void the_body_of_a_refusal_is_read_only_so_far(void)
{
    static char leg[200000];
    const char *legs[1];
    lssb_stats_list stats;
    size_t n = (size_t)sprintf(leg, "HTTP/1.1 400 Bad\r\nContent-Length: "
                               "1000000\r\n\r\n{\"detail\":{\"x\":\"");

    memset(leg + n, 'x', sizeof leg - n - 1);
    leg[sizeof leg - 1] = '\0';
    legs[0] = leg;
    begin(legs, 1);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_E_CONNECTION);
    EXPECT_INT(outcome.error.http_status, 400);
    EXPECT(outcome.took_ms < SLOW_MS);
    lssb_stats(me.client, &stats);
    EXPECT(stats.received_bytes < 64 * 1024);
    closes();
}

static void a_refusal_carries_the_time_it_asked_for(void)
{
    static const char *const legs[] = {
        REPLY(429, "Retry-After: 3600\r\n")
    };

    begin(legs, 1);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_E_UNAVAILABLE);
    EXPECT_INT(outcome.error.retry_after_ms, 3600000);
    EXPECT_INT(outcome.error.http_status, 429);
    closes();
}

/* ------------------------------------- losing and finding it (5.8, 5.9) -- */

/* A session, and how long it takes. */
struct timed {
    struct row row;
    uint32_t from_ms, to_ms;
    lssb_io connects[8];            /* of each connection */
};

static void check_timed(const struct timed *rows, size_t count)
{
    size_t i;
    int way;

    for (i = 0; i < count; i++)
        for (way = 0; way < WAYS; way++) {
            const struct row *row = &rows[i].row;
            char name[120];

            sprintf(name, "%.80s, way %d", row->name, way);
            test_row = name;
            begin(row->legs, leg_count(row));
            script.connect_plan = rows[i].connects;
            script.connect_plan_count = 8;
            opens();
            EXPECT_INT(perform((enum way)way, "x", NULL), row->status);
            expect_texts(row->out != NULL ? row->out : "", "", (enum way)way);
            if (row->status != LSSB_OK)
                check_error(row);
            EXPECT_INT(outcome.result.reattached, row->reattached);
            EXPECT(outcome.took_ms >= rows[i].from_ms);
            EXPECT(outcome.took_ms <= rows[i].to_ms);
            EXPECT_INT(peers.count, leg_count(row));
            closes();
            if (row->said != NULL)
                EXPECT_STR(peers.said, row->said);
        }
}

static void a_command_that_was_lost_is_found_as_the_reference_says(void)
{
    static const struct timed rows[] = {
        { { .name = "six losses in a row", .legs = { STARTED "@end\n",
            "@end\n", "@reset\n", "@close 1000\n", "@gone", "@cut" },
            .status = LSSB_E_CONNECTION,
            .message = "failed to reattach 6 times in succession" },
          15500, 15700, { LSSB_IO_OK } },
        { { .name = "five losses in a row", .legs = { STARTED "@end\n",
            "@end\n", "@reset\n", "@close 1000\n", "@gone",
            STARTED EXIT(0) }, .reattached = 1 }, 15500, 15700,
          { LSSB_IO_OK } },
        { { .name = "reloads are found at once", .legs = {
            STARTED "@close 1001\n", "@close 1001\n", "@close 1001\n",
            STARTED EXIT(0) }, .reattached = 1 }, 0, 100, { LSSB_IO_OK } },
        { { .name = "but they count", .legs = { STARTED "@close 1001\n",
            "@close 1001\n", "@close 1001\n", "@close 1001\n",
            "@close 1001\n", "@close 1001\n" }, .status = LSSB_E_CONNECTION,
            .message = "failed to reattach 6 times in succession" }, 0, 100,
          { LSSB_IO_OK } },
        { { .name = "a greeting forgives", .legs = { STARTED "@end\n",
            STARTED "@end\n", STARTED "@end\n", STARTED "@end\n",
            STARTED "@end\n", STARTED "@end\n", STARTED "@end\n",
            STARTED EXIT(0) }, .reattached = 7 }, 3500, 3700,
          { LSSB_IO_OK } },
        { { .name = "output forgives", .legs = { STARTED "@end\n",
            OUT("a", 0) "@end\n", OUT("b", 1) "@end\n", OUT("c", 2) "@end\n",
            OUT("d", 3) "@end\n", OUT("e", 4) "@end\n", OUT("f", 5) "@end\n",
            EXIT(0) }, .out = "abcdef", .reattached = 7 }, 3500, 3700,
          { LSSB_IO_OK } },
        { { .name = "another's greeting does not", .legs = { STARTED "@end\n",
            "{\"type\":\"started\",\"command_id\":\"id-2\"}\n@end\n",
            "{\"type\":\"started\",\"command_id\":\"id-2\"}\n@end\n",
            "{\"type\":\"started\",\"command_id\":\"id-2\"}\n@end\n",
            "{\"type\":\"started\",\"command_id\":\"id-2\"}\n@end\n",
            "{\"type\":\"started\",\"command_id\":\"id-2\"}\n@end\n" },
            .status = LSSB_E_CONNECTION,
            .message = "failed to reattach 6 times in succession" },
          15500, 15700, { LSSB_IO_OK } },
        { { .name = "an exit without a greeting", .legs = { STARTED "@end\n",
            EXIT(0) }, .reattached = 1,
            .said = "#1\n" EXEC "#2\n" RECONNECT(0, 0) "close 1000\n" },
          500, 600, { LSSB_IO_OK } },
        { { .name = "nobody there for a while", .legs = { STARTED "@end\n",
            STARTED EXIT(0) }, .reattached = 1 }, 3500, 3700,
          { LSSB_IO_OK, LSSB_IO_REFUSED, LSSB_IO_UNREACHABLE, LSSB_IO_OK } },
        { { .name = "no reply for a while", .legs = { STARTED "@end\n",
            "@mute", STARTED EXIT(0) }, .reattached = 1 }, 31500, 31700,
          { LSSB_IO_OK } },
        { { .name = "refused for a while", .legs = { STARTED "@end\n",
            REPLY(503, ""), REPLY(429, ""), REPLY(500, ""),
            STARTED EXIT(0) }, .reattached = 1 }, 7500, 7700,
          { LSSB_IO_OK } },
        { { .name = "refused with a time", .legs = { STARTED "@end\n",
            REPLY(503, "Retry-After: 30\r\n"), STARTED EXIT(0) },
            .reattached = 1 }, 30500, 30700, { LSSB_IO_OK } },
        { { .name = "refused with a very long time", .legs = {
            STARTED "@end\n", REPLY(503, "Retry-After: 86400\r\n"),
            STARTED EXIT(0) }, .reattached = 1 }, 60500, 60700,
          { LSSB_IO_OK } },
        { { .name = "refused for good", .legs = { STARTED "@end\n",
            REPLY(404, "") }, .status = LSSB_E_CONNECTION }, 500, 600,
          { LSSB_IO_OK } },
        { { .name = "refused for want of a key", .legs = { STARTED "@end\n",
            REPLY(401, "") }, .status = LSSB_E_AUTH }, 500, 600,
          { LSSB_IO_OK } },
        { { .name = "refused too often", .legs = { STARTED "@end\n",
            REPLY(503, ""), REPLY(503, ""), REPLY(503, ""), REPLY(503, ""),
            REPLY(503, "") }, .status = LSSB_E_CONNECTION,
            .message = "failed to reattach 6 times in succession" }, 15500,
          15700, { LSSB_IO_OK } },
        { { .name = "upgraded wrongly", .legs = { STARTED "@end\n",
            "@accept" }, .status = LSSB_E_CONNECTION }, 500, 600,
          { LSSB_IO_OK } },
        { { .name = "the command is not known any more", .legs = {
            STARTED OUT("a", 0) "@end\n", FAILS("CommandNotFound", "x") },
            .status = LSSB_E_OPERATION, .out = "a",
            .type = "CommandNotFound", .message = "Command not found: " ID,
            .said = "#1\n" EXEC "#2\n" RECONNECT(1, 0) "close 1000\n" }, 500,
          600, { LSSB_IO_OK } },
        { { .name = "its time is over", .legs = { STARTED "@end\n",
            FAILS("SessionExpired", "x") }, .status = LSSB_E_OPERATION,
            .type = "SessionExpired", .message = "Session expired: " ID },
          500, 600, { LSSB_IO_OK } },
        { { .name = "an unknown first message after reconnect", .legs = {
            STARTED "@end\n", "{\"type\":\"hello\"}\n" OUT("a", 0) EXIT(0) },
            .out = "a", .reattached = 1 }, 500, 600, { LSSB_IO_OK } },
    };

    check_timed(rows, COUNT(rows));
}

static void a_failure_after_a_loss_is_one_of_reconnecting(void)
{
    static const char *const legs[] = {
        STARTED "@end\n", FAILS("CommandNotFound", "x")
    };

    begin(legs, 2);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_E_OPERATION);
    EXPECT_STR(outcome.error.operation, "reconnect");
    closes();
    begin(legs + 1, 1);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_E_OPERATION);
    EXPECT_STR(outcome.error.operation, "command");
    closes();
}

/* Comes back to a command. */
static lssb_status come_back(enum way way, uint64_t out_offset,
                             uint64_t err_offset)
{
    static lssb_run_options how;
    static lssb_command command;
    lssb_status status;
    uint64_t since = script.now;

    how = taking(way, NULL);
    how.command_id = NULL;
    how.error = &outcome.error;
    outcome.at[0] = out_offset;
    outcome.at[1] = err_offset;
    status = lssb_command_reattach(&command, &box, ID, out_offset, err_offset,
                                   &how, NULL);
    if (status == LSSB_OK)
        status = follow(&command, way);
    else
        outcome.error = *lssb_last_error(me.client);
    outcome.took_ms = script.now - since;
    return status;
}

static void a_command_is_come_back_to_by_its_id(void)
{
    static const struct {
        struct row row;
        unsigned out, err;
    } rows[] = {
        { { .name = "from the beginning", .legs = { STARTED OUT("abc", 0)
            EXIT(1) }, .out = "abc", .exit_code = 1,
            .said = "#1\n" RECONNECT(0, 0) "close 1000\n" }, 0, 0 },
        { { .name = "from where somebody was", .legs = { STARTED OUT("c", 2)
            ERR("f", 7) EXIT(1) }, .out = "c", .err = "f", .exit_code = 1,
            .said = "#1\n" RECONNECT(2, 7) "close 1000\n" }, 2, 7 },
        { { .name = "from what is gone", .legs = { STARTED OUT("c", 200)
            EXIT(0) }, .out = "c", .out_lost = 198 }, 2, 0 },
        { { .name = "the server begins earlier", .legs = { STARTED
            OUT("abc", 0) OUT("d", 3) EXIT(0) }, .out = "cd" }, 2, 0 },
        { { .name = "without a greeting", .legs = { OUT("abc", 0) EXIT(0) },
            .out = "abc" }, 0, 0 },
        { { .name = "only its exit", .legs = { EXIT(4) }, .exit_code = 4 }, 0,
          0 },
        { { .name = "lost again", .legs = { STARTED OUT("abc", 0) "@end\n",
            STARTED OUT("d", 3) EXIT(0) }, .out = "abcd", .reattached = 1,
            .said = "#1\n" RECONNECT(0, 0) "#2\n" RECONNECT(3, 0)
            "close 1000\n" }, 0, 0 },
        { { .name = "not known", .legs = { FAILS("CommandNotFound", "x") },
            .status = LSSB_E_OPERATION, .type = "CommandNotFound",
            .message = "Command not found: " ID }, 0, 0 },
        { { .name = "too late", .legs = {
            FAILS("SessionExpired", "session expired") },
            .status = LSSB_E_OPERATION, .type = "SessionExpired",
            .message = "Session expired: " ID,
            .said = "#1\n" RECONNECT(0, 0) "close 1000\n" }, 0, 0 },
        { { .name = "an opening that fails is not made again", .legs = {
            "@end\n" }, .status = LSSB_E_CONNECTION }, 0, 0 },
        { { .name = "nor one that is refused", .legs = { REPLY(503, "") },
            .status = LSSB_E_UNAVAILABLE }, 0, 0 },
        { { .name = "nor at a reload", .legs = { "@close 1001\n" },
            .status = LSSB_E_SERVER_RELOAD }, 0, 0 },
    };
    size_t i;
    int way, m;

    for (i = 0; i < COUNT(rows); i++)
        for (m = 0; m < SCRIPT_MODES; m++)
            for (way = BY_NEXT; way < WAYS; way++) {
                const struct row *row = &rows[i].row;

                mode = (enum script_mode)m;
                test_row = row->name;
                begin(row->legs, leg_count(row));
                opens();
                EXPECT_INT(come_back((enum way)way, rows[i].out, rows[i].err),
                           row->status);
                outcome.text[0][outcome.len[0]] = '\0';
                EXPECT_STR(outcome.text[0], row->out ? row->out : "");
                EXPECT_STR(outcome.text[1], row->err ? row->err : "");
                if (row->status == LSSB_OK)
                    EXPECT_INT(outcome.result.exit_code, row->exit_code);
                else
                    check_error(row);
                if (row->status == LSSB_E_OPERATION)
                    EXPECT_STR(outcome.error.operation, "reconnect");
                EXPECT_INT(outcome.lost[0], row->out_lost);
                EXPECT_INT(outcome.result.reattached, row->reattached);
                EXPECT_INT(peers.count, leg_count(row));
                closes();
                if (row->said != NULL)
                    expect_said(row->said);
            }
    mode = SCRIPT_WHOLE;
}

static void coming_back_is_tried_for_half_a_minute(void)
{
    static const char *const legs[] = { "@mute" };

    begin(legs, 1);
    opens();
    EXPECT_INT(come_back(BY_NEXT, 0, 0), LSSB_E_CONNECT_TIMEOUT);
    EXPECT(outcome.took_ms >= 30000 && outcome.took_ms <= 30100);
    closes();
}

static void coming_back_needs_no_greeting(void)
{
    static const char *const legs[] = { "@wait 60000\n" OUT("a", 0) EXIT(0) };

    begin(legs, 1);
    opens();
    EXPECT_INT(come_back(BY_NEXT, 0, 0), LSSB_OK);
    expect_texts("a", "", BY_NEXT);
    closes();
}

/* ------------------------------------------------------- cut everywhere -- */

/* A session with the model that may be cut anywhere. */
struct session {
    const char *name;
    struct model_program program;
    lssb_run_options how;
    enum way way;
    uint32_t kill_ms;               /* 0: it is not killed */
    uint32_t exact_ms;              /* how long it takes undisturbed, at most */
};

static const struct model_event both_streams[] = {
    { 0, 1, "caf\xc3\xa9\n" },
    { 0, 2, "\xe2\x82\xac\xf0\x9f\x98\x80 costs\n" },
    { 20, 1, "\"quoted\" \\ and \t more\n" },
    { 20, 1, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80" },
    { 60, 2, "e" },
    { 200, 1, "the end\n" },
};

static const struct session sessions[] = {
    { "output on both streams", { MODEL_PRINTS, both_streams, 6, 250, 3,
      false, NULL }, { 0 }, BY_RUN, 0, 300 },
    { "the same, piece by piece", { MODEL_PRINTS, both_streams, 6, 250, 3,
      false, NULL }, { 0 }, BY_NEXT, 0, 300 },
    { "the same of an older server", { MODEL_PRINTS, both_streams, 6, 250, 3,
      true, NULL }, { 0 }, BY_WAIT, 0, 300 },
    { "input and its end", { MODEL_SORT, NULL, 0, 0, 0, false, NULL },
      { .input = "b\xc3\xa9\na\n\"q\"\n", .input_len = 10 }, BY_RUN, 0, 100 },
    { "a terminal", { MODEL_TERMINAL, NULL, 0, 0, 0, false, NULL },
      { .pty = true, .columns = 80, .rows = 24, .input = "ls\n\004",
        .input_len = 4 }, BY_NEXT, 0, 100 },
    { "a kill", { MODEL_PRINTS, both_streams, 6, 2000000000, 3, false,
      NULL },
      { .timeout_s = LSSB_NO_LIMIT }, BY_NEXT, 120, 200 },
};

/* Takes all output, kills when it is time, and types again what a terminal
 * has lost. */
static lssb_status attend(lssb_command *command, const struct session *what,
                          uint64_t since)
{
    uint64_t quiet_since = script.now;
    bool killed = what->kill_ms == 0;
    lssb_chunk chunk;
    lssb_status status;

    for (;;) {
        status = lssb_command_next(command, &chunk, 10);
        if (status == LSSB_OK) {
            seen(chunk.stream == LSSB_STDERR, chunk.bytes, chunk.len);
            quiet_since = script.now;
        } else if (status != LSSB_AGAIN) {
            return status;
        }
        if (!killed && script.now - since >= what->kill_ms) {
            EXPECT_INT(lssb_command_kill(command), LSSB_OK);
            killed = true;
        }
        if (what->how.pty && script.now - quiet_since > 10000 &&
            lssb_command_write(command, "\004", 1, NULL, 0) == LSSB_OK)
            quiet_since = script.now;
        if (script.now - since > 400000)
            script_stuck("a session that does not end");
    }
}

static lssb_status play(const struct session *what)
{
    static lssb_run_options how;
    static lssb_command command;
    uint64_t since = script.now;
    lssb_status status;

    if (what->way != BY_NEXT)
        return perform(what->way, "x", &what->how);
    how = taking(BY_NEXT, &what->how);
    how.error = &outcome.error;
    status = lssb_command_start(&command, &box, "x", &how, NULL);
    if (status == LSSB_OK)
        status = attend(&command, what, since);
    else
        outcome.error = *lssb_last_error(me.client);
    note_command(&command);
    EXPECT_INT(lssb_command_close(&command, NULL), LSSB_OK);
    outcome.status = status == LSSB_END ? LSSB_OK : status;
    outcome.took_ms = script.now - since;
    return outcome.status;
}

static void begin_session(const struct session *what, size_t ring)
{
    begin(NULL, 0);
    peers_model(&what->program, 1);
    model.slice = 5;
    if (ring != 0)
        model.ring = ring;
    opens();
}

/* What must hold of a session however it was cut. */
static void check_session(const struct session *what)
{
    const struct model_command *command = &model_commands[0];
    int err;

    EXPECT_INT(model.created, 1);
    EXPECT_INT(peers.model, true);
    if (what->kill_ms != 0 && outcome.status == LSSB_E_CONNECTION) {
        EXPECT(script.cuts > 0);
        return;
    }
    EXPECT_INT(outcome.status, LSSB_OK);
    EXPECT_INT(outcome.result.exit_code,
               what->kill_ms != 0 ? 137 : what->program.exit_code);
    for (err = 0; err < 2; err++) {
        EXPECT_INT(outcome.len[err], command->len[err]);
        EXPECT(memcmp(outcome.text[err], command->text[err],
                      command->len[err]) == 0);
        EXPECT_INT(outcome.lost[err], 0);
    }
    EXPECT_INT(outcome.result.out_offset, command->len[0]);
    EXPECT_INT(outcome.result.err_offset, command->len[1]);
    if (command->input_len != what->how.input_len ||
        (command->input_len > 0 &&
         memcmp(command->input, what->how.input, command->input_len) != 0))
        EXPECT(outcome.result.input_uncertain);
}

/* How many bytes go out (or come in) if nothing is cut. */
static size_t session_bytes(const struct session *what, bool sent)
{
    size_t bytes;

    begin_session(what, 0);
    script.cut_sent = script.cut_received = SIZE_MAX;
    play(what);
    bytes = sent ? script.moved_sent : script.moved_received;
    EXPECT(outcome.took_ms <= what->exact_ms);
    check_session(what);
    closes();
    return bytes;
}

/* Cuts a session at each byte that goes out, or comes in. */
static void cut_each(const struct session *what, enum script_cut cut,
                     bool sent, size_t stride)
{
    size_t at, bytes = session_bytes(what, sent);
    char row[160];

    EXPECT(bytes > 300);
    for (at = 1; at <= bytes && test_failures < 5; at += stride) {
        sprintf(row, "%s, cut %d at byte %u %s, mode %d%s", what->name,
                (int)cut, (unsigned)at, sent ? "sent" : "received", (int)mode,
                over_tls ? ", TLS" : "");
        test_row = row;
        begin_session(what, 0);
        script.cut = cut;
        *(sent ? &script.cut_sent : &script.cut_received) = at;
        play(what);
        check_session(what);
        EXPECT(script.cuts == 1 || at == bytes);
        EXPECT(outcome.took_ms <= (cut == SCRIPT_CUT_SILENCE ? 125000u
                                                             : 22000u));
        closes();
    }
    test_row = "";
}

static void cut_all(size_t stride)
{
    size_t i;
    int cut, sent;

    for (i = 0; i < COUNT(sessions); i++)
        for (cut = 0; cut < SCRIPT_CUTS; cut++)
            for (sent = 0; sent < 2; sent++)
                cut_each(&sessions[i], (enum script_cut)cut, sent, stride);
}

static void a_session_cut_at_any_byte_is_complete_all_the_same(void)
{
    cut_all(1);
}

static void a_session_over_tls_cut_at_any_byte_is_complete_all_the_same(void)
{
    over_tls = true;
    cut_all(7);
    over_tls = false;
}

static void a_trickling_session_cut_at_any_byte_is_complete(void)
{
    for (mode = SCRIPT_BYTE; mode < SCRIPT_MODES; mode++)
        cut_all(61);
    over_tls = true;
    for (mode = SCRIPT_BYTE; mode < SCRIPT_MODES; mode++)
        cut_all(97);
    over_tls = false;
    mode = SCRIPT_WHOLE;
}

static void a_session_cut_again_and_again_loses_and_repeats_nothing(void)
{
    unsigned well = 0, given_up = 0;
    size_t every;
    int i, sent;
    char row[80];

    for (i = 0; i < 3; i++)
        for (sent = 0; sent < 2; sent++)
            for (every = 150; every < 900; every += 3) {
                if (!sent && every > 170 && every < 270)
                    continue;       /* a greeting, and nothing more, for ever */
                sprintf(row, "session %d, cut every %u bytes", i,
                        (unsigned)every);
                test_row = row;
                begin_session(&sessions[i], 0);
                script.cut = (enum script_cut)(every % 2);
                script.cut_every = every;
                *(sent ? &script.cut_sent : &script.cut_received) = every;
                play(&sessions[i]);
                if (outcome.status == LSSB_OK) {
                    check_session(&sessions[i]);
                    well++;
                } else {
                    EXPECT_INT(outcome.status, LSSB_E_CONNECTION);
                    EXPECT(model.created <= 1);
                    given_up++;
                }
                closes();
            }
    EXPECT(well > 100);
    EXPECT(given_up > 100);
}

/* What a small ring buffer has dropped meanwhile is told as a gap, and all
 * else is right; `seen` looks at every byte. */
static void what_the_server_did_not_keep_is_told_and_no_more(void)
{
    const struct session *what = &sessions[0];
    size_t at, bytes = session_bytes(what, false), ring;
    unsigned gaps = 0;
    char row[80];
    int err, way;

    for (ring = 4; ring < 40; ring += 5)
        for (at = 130; at < bytes; at++)
            for (way = 0; way < 2; way++) {
                sprintf(row, "ring of %u, cut at %u, way %d", (unsigned)ring,
                        (unsigned)at, way);
                test_row = row;
                begin_session(&sessions[way], ring);
                script.cut = SCRIPT_CUT_RESET;
                script.cut_received = at;
                EXPECT_INT(play(&sessions[way]), LSSB_OK);
                for (err = 0; err < 2; err++) {
                    EXPECT_INT(outcome.len[err] + outcome.lost[err],
                               model_commands[0].len[err]);
                    EXPECT_INT(outcome.at[err], model_commands[0].len[err]);
                }
                EXPECT_INT(outcome.result.out_lost, outcome.lost[0]);
                EXPECT_INT(outcome.result.err_lost, outcome.lost[1]);
                gaps += outcome.gaps;
                closes();
            }
    EXPECT(gaps > 100);
}

/* ------------------------------------------ kill, input, its end (5.10) -- */

#define KILL "{\"type\":\"kill\"}\n"
#define INPUT(data) "{\"type\":\"input\",\"data\":\"" data "\"}\n"
#define END_INPUT "{\"type\":\"close_stdin\"}\n"

static lssb_run_options held_how;
static lssb_command held;

/* A client with a command that somebody holds, started. */
static void begin_held(const char *const *legs, size_t count,
                       const lssb_run_options *options)
{
    begin(legs, count);
    opens();
    held_how = taking(BY_NEXT, options);
    held_how.error = &outcome.error;
    EXPECT_INT(lssb_command_start(&held, &box, "x", &held_how, NULL),
               LSSB_OK);
}

/* Lets time pass, with callbacks. */
static void pass(uint32_t ms)
{
    uint64_t until = script.now + ms;

    while (script.now < until)
        lssb_wait(me.client, NULL, (uint32_t)(until - script.now));
}

static void end_held(lssb_status status, int exit_code, const char *said)
{
    uint64_t since = script.now;

    outcome.status = follow(&held, BY_NEXT);
    outcome.took_ms = script.now - since;
    EXPECT_INT(outcome.status, status);
    if (status == LSSB_OK)
        EXPECT_INT(outcome.result.exit_code, exit_code);
    else
        EXPECT_INT(outcome.error.status, status);
    closes();
    if (said != NULL)
        expect_said(said);
}

static void a_kill_brings_the_exit_code(void)
{
    static const char *const legs[] = { STARTED OUT("a", 0) "@hear\n"
                                        OUT("b", 1) EXIT(137) };
    int m, how;

    for (m = 0; m < SCRIPT_MODES; m++)
        for (how = 0; how < 3; how++) {
            mode = (enum script_mode)m;
            begin_held(legs, 1, NULL);
            if (how == 0)
                EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
            else
                lssb_post_kill(&held);
            if (how == 2)
                EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
            end_held(LSSB_OK, 137, "#1\n" EXEC KILL "close 1000\n");
            EXPECT(strncmp(outcome.text[0], "ab", 2) == 0);
        }
    mode = SCRIPT_WHOLE;
}

static void a_kill_of_what_has_ended_does_nothing(void)
{
    static const char *const legs[] = { STARTED EXIT(3) };
    lssb_chunk chunk;

    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_END);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    lssb_post_kill(&held);
    EXPECT_INT(lssb_command_resize(&held, 1, 1), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
    end_held(LSSB_OK, 3, "#1\n" EXEC "close 1000\n");
}

static void a_kill_before_the_start_is_sent_behind_it(void)
{
    static const char *const legs[] = { "@wait 100\n@end\n",
                                        "@wait 100\n" STARTED "@hear\n"
                                        EXIT(137) };
    unsigned steps;

    for (steps = 0; steps < 20; steps++) {
        lssb_op op = { 0 };
        unsigned i;

        begin(legs, 2);
        opens();
        held_how = taking(BY_NEXT, NULL);
        EXPECT_INT(lssb_command_start(&held, &box, "x", &held_how, &op),
                   LSSB_PENDING);
        for (i = 0; i < steps && op.status == LSSB_PENDING; i++)
            lssb_wait(me.client, &op, 50);
        EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
        end_held(LSSB_OK, 137, "#1\n" EXEC "#2\n" EXEC KILL "close 1000\n");
    }
}

static void a_kill_is_sent_before_its_command_is_let_go_of(void)
{
    static const char *const legs[] = { STARTED "@hear\n" };
    static const char *const lost[] = { STARTED "@end\n", STARTED "@hear\n" };
    int i;

    for (i = 0; i < 2; i++) {
        begin_held(i == 0 ? legs : lost, i == 0 ? 1 : 2, NULL);
        if (i == 1)
            pass(100);
        EXPECT_INT(held.attached, i == 0);
        EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
        EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
        EXPECT_INT(held.status, LSSB_END);
        closes();
        expect_said(i == 0 ? "#1\n" EXEC KILL "close 1000\n"
                           : "#1\n" EXEC "#2\n" RECONNECT(0, 0) KILL
                             "close 1000\n");
    }
}

/* A kill holds up the close; AddressSanitizer says so when anything is read
 * afterwards. */
static void a_close_that_ends_early_gives_everything_back(void)
{
    static const char *const legs[] = { STARTED "@end\n", "@mute" };
    int canceled;

    for (canceled = 0; canceled < 2; canceled++) {
        lssb_command *own = calloc(1, sizeof *own);
        lssb_op op = { 0 };

        begin(legs, 2);
        opens();
        held_how = taking(BY_NEXT, NULL);
        EXPECT_INT(lssb_command_start(own, &box, "x", &held_how, NULL),
                   LSSB_OK);
        pass(100);
        EXPECT_INT(lssb_command_kill(own), LSSB_OK);
        op.deadline_ms = canceled ? 0 : 100;
        EXPECT_INT(lssb_command_close(own, &op), LSSB_PENDING);
        if (canceled)
            lssb_cancel(&op);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER),
                   canceled ? LSSB_E_CANCELED : LSSB_E_DEADLINE);
        memset(own, 0xA5, sizeof *own);
        free(own);
        EXPECT_INT(lssb_wait(me.client, NULL, 20000), LSSB_OK);
        closes();
    }
}

static void the_error_of_a_start_that_failed_is_kept(void)
{
    static const char *const legs[] = { FAILS("CommandError", "no shell") };
    lssb_error why = { 0 };
    lssb_op op = { 0 };

    begin(legs, 1);
    opens();
    memset(&held, 0, sizeof held);
    held_how = taking(BY_NEXT, NULL);
    held_how.error = &why;
    EXPECT_INT(lssb_command_start(&held, &box, "x", &held_how, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_command_start(&held, &box, "x", &held_how, NULL),
               LSSB_E_BUSY);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_OPERATION);
    EXPECT_STR(why.operation, "command");
    EXPECT(strstr(why.message, "no shell") != NULL);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    closes();
}

static void a_kill_while_detached_is_sent_behind_the_greeting(void)
{
    static const char *const legs[] = { STARTED "@end\n",
                                        STARTED "@hear\n" EXIT(137) };

    begin_held(legs, 2, NULL);
    pass(100);
    EXPECT(!held.attached);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    end_held(LSSB_OK, 137, "#1\n" EXEC "#2\n" RECONNECT(0, 0) KILL
                           "close 1000\n");
}

static void a_kill_of_an_older_servers_silent_command_is_sent(void)
{
    static const char *const legs[] = { STARTED "@end\n",
                                        "@hear\n" EXIT(137) };

    begin_held(legs, 2, NULL);
    pass(100);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    end_held(LSSB_OK, 137, "#1\n" EXEC "#2\n" RECONNECT(0, 0) KILL
                           "close 1000\n");
    EXPECT(outcome.took_ms >= 2000 && outcome.took_ms < 3000);
}

static void a_loss_after_a_kill_is_the_end(void)
{
    static const char *const legs[] = { STARTED "@hear\n@end\n" };

    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    end_held(LSSB_E_CONNECTION, 0, "#1\n" EXEC KILL);
    EXPECT_INT(peers.count, 1);
}

static void a_kill_without_an_exit_code_ends_after_ten_seconds(void)
{
    static const char *const legs[] = { STARTED "@hear\n" OUT("a", 0) };

    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    end_held(LSSB_E_CONNECTION, 0, "#1\n" EXEC KILL "close 1000\n");
    EXPECT(outcome.took_ms >= 10000 && outcome.took_ms < 10100);
    EXPECT_INT(outcome.len[0], 1);
}

static void the_transcript_of_input_that_was_lost_once(void)
{
    static const char *const legs[] = {
        STARTED "@hear\n@hear\n@end\n",
        STARTED "@hear\n" OUT("a\\nb\\n", 0) EXIT(0)
    };
    lssb_run_options how = { 0 };
    int way, m;

    how.as_user = "app";
    how.cwd = "/srv";
    how.input = "b\na\n";
    how.input_len = 4;
    for (m = 0; m < SCRIPT_MODES; m++)
        for (way = 0; way < WAYS; way++) {
            mode = (enum script_mode)m;
            begin(legs, 2);
            opens();
            EXPECT_INT(perform((enum way)way, "sort", &how), LSSB_OK);
            expect_texts("a\nb\n", "", (enum way)way);
            EXPECT(outcome.result.input_uncertain);
            closes();
            expect_said("#1\n" EXECUTE("sort", 60, 300, false, 600,
                        ",\"run_config\":{\"user\":\"app\",\"work_dir\":"
                        "\"/srv\"}") INPUT("b\\na\\n") END_INPUT
                        "#2\n" RECONNECT(0, 0) END_INPUT "close 1000\n");
        }
    mode = SCRIPT_WHOLE;
}

static void input_goes_out_as_it_is_written(void)
{
    static const char *const legs[] = {
        STARTED "@hear\n@hear\n@hear\n" OUT("a", 0) EXIT(0)
    };
    static const lssb_run_options open_how = { .open_stdin = true };
    size_t taken;
    int m;

    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        begin_held(legs, 1, &open_how);
        EXPECT_INT(lssb_command_write(&held, "a\"b\\\n", 5, &taken,
                                      LSSB_FOREVER), LSSB_OK);
        EXPECT_INT(taken, 5);
        EXPECT_INT(lssb_command_write(&held, "", 0, &taken, 0), LSSB_OK);
        EXPECT_INT(lssb_command_write(&held, "\xc3\xa9\xe2", 3, &taken, 1000),
                   LSSB_OK);
        EXPECT_INT(taken, 2);
        EXPECT_INT(lssb_command_write(&held, "\xff", 1, &taken, 0),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(taken, 0);
        EXPECT_INT(lssb_command_write(&held, NULL, 1, &taken, 0),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
        EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
        EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 0),
                   LSSB_E_OPERATION);
        EXPECT_STR(lssb_last_error(me.client)->operation, "sendInput");
        end_held(LSSB_OK, 0, "#1\n" EXEC_OPEN INPUT("a\\\"b\\\\\\n")
                             INPUT("\xc3\xa9") END_INPUT "close 1000\n");
        EXPECT(!outcome.result.input_uncertain);
    }
    mode = SCRIPT_WHOLE;
}

static void input_needs_an_open_stdin(void)
{
    static const char *const legs[] = { STARTED "@wait 100\n" EXIT(0) };
    static const lssb_run_options pty = { .pty = true };
    size_t taken = 9;

    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 0),
               LSSB_E_OPERATION);
    EXPECT_INT(taken, 0);
    EXPECT(strstr(lssb_error_text(me.client), "open_stdin") != NULL);
    EXPECT_INT(lssb_command_resize(&held, 80, 24), LSSB_E_INVALID_ARGUMENT);
    end_held(LSSB_OK, 0, "#1\n" EXEC "close 1000\n");
    begin_held(legs, 1, &pty);
    EXPECT_INT(lssb_command_close_stdin(&held), LSSB_E_OPERATION);
    EXPECT(strstr(lssb_error_text(me.client), "\\004") != NULL);
    EXPECT_INT(lssb_command_resize(&held, 0, 24), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_resize(&held, 80, 65536),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_write(&held, "\004", 1, &taken, 100), LSSB_OK);
    end_held(LSSB_OK, 0, "#1\n" EXEC_PTY INPUT("\\u0004") "close 1000\n");
}

static void a_terminal_hears_its_last_size_on_every_connection(void)
{
    static const char *const legs[] = { STARTED "@wait 300\n@end\n",
                                        STARTED "@wait 100\n" EXIT(0) };
    static const lssb_run_options pty = { .pty = true, .columns = 80,
                                          .rows = 24 };
#define RESIZE(c, r) \
    "{\"type\":\"resize\",\"cols\":" #c ",\"rows\":" #r "}\n"

    begin_held(legs, 2, &pty);
    pass(50);
    EXPECT_INT(lssb_command_resize(&held, 100, 30), LSSB_OK);
    pass(50);
    EXPECT_INT(lssb_command_resize(&held, 101, 31), LSSB_OK);
    EXPECT_INT(lssb_command_resize(&held, 102, 32), LSSB_OK);
    end_held(LSSB_OK, 0, "#1\n" EXEC_PTY RESIZE(80, 24) RESIZE(100, 30)
             RESIZE(102, 32) "#2\n" RECONNECT(0, 0) RESIZE(102, 32)
             "close 1000\n");
}

static void input_while_detached_is_not_taken(void)
{
    static const char *const legs[] = { STARTED "@end\n",
                                        STARTED "@hear\n@hear\n" EXIT(0) };
    static const lssb_run_options open_how = { .open_stdin = true };
    size_t taken;

    begin_held(legs, 2, &open_how);
    pass(100);
    EXPECT(!held.attached);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 0), LSSB_AGAIN);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 10), LSSB_AGAIN);
    EXPECT_INT(lssb_command_write(&held, "y", 1, &taken, LSSB_FOREVER),
               LSSB_OK);
    EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
    end_held(LSSB_OK, 0, "#1\n" EXEC_OPEN "#2\n" RECONNECT(0, 0) INPUT("y")
                         END_INPUT "close 1000\n");
    EXPECT(!outcome.result.input_uncertain);
}

static void the_end_of_input_while_detached_is_remembered(void)
{
    static const char *const legs[] = { STARTED "@end\n",
                                        STARTED "@hear\n@end\n",
                                        STARTED "@hear\n" EXIT(0) };
    static const lssb_run_options open_how = { .open_stdin = true };

    begin_held(legs, 3, &open_how);
    pass(100);
    EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
    end_held(LSSB_OK, 0, "#1\n" EXEC_OPEN "#2\n" RECONNECT(0, 0) END_INPUT
                         "#3\n" RECONNECT(0, 0) END_INPUT "close 1000\n");
}

static void what_a_found_command_is_told_comes_behind_the_greeting(void)
{
    static const char *const legs[] = {
        "@wait 100\n" STARTED "@hear\n@hear\n" EXIT(0)
    };
    lssb_run_options how = { .open_stdin = true };
    lssb_op op = { 0 };

    begin(legs, 1);
    opens();
    held_how = taking(BY_NEXT, &how);
    EXPECT_INT(lssb_command_reattach(&held, &box, ID, 0, 0, &held_how, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_command_close_stdin(&held), LSSB_OK);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    end_held(LSSB_OK, 0, "#1\n" RECONNECT(0, 0) KILL END_INPUT
                         "close 1000\n");
}

static void writing_to_what_has_ended_says_so(void)
{
    static const char *const legs[] = { STARTED EXIT(0) };
    static const lssb_run_options open_how = { .open_stdin = true };
    lssb_chunk chunk;
    size_t taken;

    begin_held(legs, 1, &open_how);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_END);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 0), LSSB_END);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, LSSB_FOREVER),
               LSSB_END);
    end_held(LSSB_OK, 0, NULL);
}

/* All input that the server got, put together. */
static size_t input_heard(char *to, size_t size)
{
    const char *line = peers.said;
    char type[32];
    size_t len = 0;

    while (*line != '\0') {
        model_member(line, "type", type, sizeof type);
        if (strcmp(type, "input") == 0 && line[0] == '{')
            len += model_member(line, "data", to + len, size - len);
        line = strchr(line, '\n') + 1;
    }
    return len;
}

#define LONG_INPUT 20000

static void long_input_is_split_between_characters(void)
{
    static const char *const legs[] = {
        STARTED "@wait 2000\n" EXIT(0)
    };
    static const char piece[] = "\xf0\x9f\x98\x80\"\\\n\xc3\xa9x\x01";
    static char input[LONG_INPUT + 16], heard[LONG_INPUT + 16];
    lssb_run_options how = { 0 };
    int way, m;
    size_t n;

    for (n = 0; n < LONG_INPUT; n += sizeof piece - 1)
        memcpy(input + n, piece, sizeof piece);
    how.input = input;
    how.input_len = n;
    for (m = 0; m < SCRIPT_MODES; m++)
        for (way = 0; way < WAYS; way++) {
            mode = (enum script_mode)m;
            over_tls = way == BY_WAIT;
            begin(legs, 1);
            opens();
            EXPECT_INT(perform((enum way)way, "x", &how), LSSB_OK);
            closes();
            EXPECT_INT(input_heard(heard, sizeof heard), n);
            EXPECT(memcmp(heard, input, n) == 0);
            EXPECT(strstr(peers.said, "\n" END_INPUT "close") != NULL);
            EXPECT(peers.largest_frame <= LSSB_WS_FRAME);
        }
    mode = SCRIPT_WHOLE;
    over_tls = false;
}

static void a_long_command_goes_out_in_fragments(void)
{
    static const char *const legs[] = { STARTED EXIT(5) };
    static char text[40001], heard[40002];
    size_t i;
    int m;

    for (i = 0; i < 40000; i++)
        text[i] = i % 50 == 0 ? '"' : (char)('a' + i % 26);
    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        begin(legs, 1);
        opens();
        EXPECT_INT(perform(BY_RUN, text, NULL), LSSB_OK);
        EXPECT_INT(outcome.result.exit_code, 5);
        closes();
        EXPECT_INT(model_member(peers.said, "command", heard, sizeof heard),
                   40000);
        EXPECT_STR(heard, text);
        EXPECT(peers.largest_frame <= LSSB_WS_FRAME);
    }
    mode = SCRIPT_WHOLE;
}

/* --------------------------------------------------------- pings (5.11) -- */

static void a_quiet_command_is_pinged_every_half_minute(void)
{
    static const char *const legs[] = {
        STARTED "@wait 55000\n@ping hello\n@wait 100000\n" EXIT(0)
    };
    static const struct {
        uint32_t ping_ms;
        unsigned pings;
    } rows[] = { { 0, 5 }, { 1000, 155 }, { LSSB_FOREVER, 0 } };
    lssb_run_options how = { .timeout_s = 600 };
    size_t i;
    int way;

    for (i = 0; i < COUNT(rows); i++)
        for (way = 0; way < WAYS; way++) {
            begin(legs, 1);
            opens();
            how.ping_ms = rows[i].ping_ms;
            EXPECT_INT(perform((enum way)way, "x", &how), LSSB_OK);
            EXPECT(peers.pings + 2 >= rows[i].pings &&
                   peers.pings <= rows[i].pings);
            EXPECT_INT(peers.pongs, 1);
            closes();
        }
}

static void a_ping_without_an_answer_is_a_loss(void)
{
    static const char *const legs[] = { STARTED "@deaf\n",
                                        STARTED EXIT(2) };
    static const struct {
        uint32_t ping_ms, took_ms;
    } rows[] = { { 0, 90500 }, { 1000, 3500 } };
    lssb_run_options how = { .timeout_s = 600 };
    size_t i;
    int way;

    for (i = 0; i < COUNT(rows); i++)
        for (way = 0; way < WAYS; way++) {
            begin(legs, 2);
            opens();
            how.ping_ms = rows[i].ping_ms;
            EXPECT_INT(perform((enum way)way, "x", &how), LSSB_OK);
            EXPECT_INT(outcome.result.reattached, 1);
            EXPECT(outcome.took_ms >= rows[i].took_ms &&
                   outcome.took_ms <= rows[i].took_ms + 100);
            closes();
        }
}

static void a_slow_reader_is_not_a_dead_peer(void)
{
    static const char *const legs[] = {
        STARTED OUT("a", 0) OUT("b", 1) "@wait 900000\n" OUT("c", 2) EXIT(0)
    };

    begin_held(legs, 1, NULL);
    pass(500000);
    EXPECT(held.attached);
    EXPECT_INT(held.reattached, 0);
    end_held(LSSB_OK, 0, NULL);
    EXPECT(strncmp(outcome.text[0], "abc", 3) == 0);
    EXPECT_INT(outcome.result.reattached, 0);
}

static void a_server_that_does_not_answer_the_close_holds_nobody_up(void)
{
    static const char *const legs[] = {
        STARTED "@deaf\n" EXIT(1), STARTED "@deaf\n" EXIT(2)
    };
    uint64_t since;

    begin(legs, 2);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_OK);
    EXPECT_INT(perform(BY_RUN, "x", NULL), LSSB_OK);
    EXPECT_INT(outcome.result.exit_code, 2);
    EXPECT(outcome.took_ms < 100);
    since = script.now;
    closes();
    EXPECT(script.now - since <= 2100);
}

/* ------------------------------------------- long messages and the hold -- */

static size_t long_from, long_len;  /* what came of a long output so far */
static unsigned long_wrong, long_gaps;

static lssb_status take_long(void *user, const void *bytes, size_t len)
{
    static char right[LSSB_HOLD];

    (void)user;
    EXPECT(len <= LSSB_HOLD);
    long_text(right, long_from + long_len, len);
    long_wrong += memcmp(right, bytes, len) != 0;
    long_len += len;
    return LSSB_OK;
}

static void take_long_gap(void *user, lssb_stream stream, uint64_t offset,
                          uint64_t lost)
{
    (void)user;
    EXPECT_INT(stream, LSSB_STDOUT);
    EXPECT(offset == long_from + long_len || long_gaps == 0);
    long_from += (size_t)lost;
    long_gaps++;
}

/* Runs what prints long messages; checks every byte. */
static lssb_status run_long(const char *const *legs, size_t count,
                            lssb_result *result)
{
    lssb_run_options how = { 0 };
    lssb_status status;

    long_from = long_len = long_wrong = long_gaps = 0;
    begin(legs, count);
    opens();
    how.command_id = ID;
    how.on_out = take_long;
    how.on_gap = take_long_gap;
    status = lssb_run(&box, "x", &how, result, NULL);
    outcome.error = *lssb_last_error(me.client);
    closes();
    return status;
}

static void a_message_of_a_mebibyte_passes_through_the_same_buffers(void)
{
    static const char *const legs[] = { STARTED "@long stdout 0 1048576\n"
                                        EXIT(0) };
    static const char *const middle[] = { STARTED "@middle stdout 0 1048576\n"
                                          EXIT(0) };
    lssb_result result;
    int m;

    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        over_tls = m == 0 || m == 2;
        EXPECT_INT(run_long(m % 2 ? legs : middle, 1, &result), LSSB_OK);
        EXPECT_INT(long_len, 1048576);
        EXPECT_INT(long_wrong, 0);
        EXPECT_INT(result.out_offset, 1048576);
        EXPECT_INT(long_gaps, 0);
    }
    mode = SCRIPT_WHOLE;
    over_tls = false;
}

/* The longest data that may stand before its type, and one that is too long. */
#define HELD (LSSB_HOLD - 64)
#define TOO_LONG (LSSB_HOLD + 64)

static void data_before_its_type_must_fit_the_hold(void)
{
    char fits[200], too_long[200];
    const char *legs[1];
    lssb_result result;
    int m;

    sprintf(fits, STARTED "@late stdout 0 %u\n@late stdout %u 10\n" EXIT(0),
            (unsigned)HELD, (unsigned)HELD);
    sprintf(too_long, STARTED "@late stdout 0 %u\n" EXIT(0),
            (unsigned)TOO_LONG);
    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        legs[0] = fits;
        EXPECT_INT(run_long(legs, 1, &result), LSSB_OK);
        EXPECT_INT(long_len, HELD + 10);
        EXPECT_INT(long_wrong, 0);
        legs[0] = too_long;
        EXPECT_INT(run_long(legs, 1, &result), LSSB_E_TOO_LONG);
        EXPECT_INT(long_len, 0);
        EXPECT(strstr(outcome.error.message, "LSSB_HOLD") != NULL);
        EXPECT_STR(result.command_id, ID);
        EXPECT_INT(result.out_offset, 0);
    }
    mode = SCRIPT_WHOLE;
}

/* An offset behind more data than the hold has room for. */
static void an_offset_that_comes_late_is_told_or_refused(void)
{
    static const struct {
        const char *name;
        const char *format;         /* of the legs: the length of the message */
        lssb_status status;
        uint64_t lost;
        size_t first;
    } rows[] = {
        { "as expected", STARTED "@middle stdout 0 %u\n" EXIT(0), LSSB_OK, 0,
          0 },
        { "an overlap without a loss", STARTED OUT("abc", 0) OUT("", 3)
          "@middle stdout 3 %u\n" EXIT(0), LSSB_OK, 0, 3 },
    };
    char leg[300];
    const char *legs[2];
    lssb_result result;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].name;
        sprintf(leg, rows[i].format, (unsigned)TOO_LONG);
        legs[0] = leg;
        EXPECT_INT(run_long(legs, 1, &result), rows[i].status);
        EXPECT_INT(long_wrong, 0);
        EXPECT_INT(long_len, TOO_LONG + rows[i].first);
        EXPECT_INT(result.out_lost, rows[i].lost);
    }
    test_row = "a replay that says so too late";
    legs[0] = STARTED "@long stdout 0 26\n@end\n";
    sprintf(leg, STARTED "@middle stdout 0 %u\n" EXIT(0), (unsigned)TOO_LONG);
    legs[1] = leg;
    EXPECT_INT(run_long(legs, 2, &result), LSSB_E_TOO_LONG);
    EXPECT(strstr(outcome.error.message, "LSSB_HOLD") != NULL);
    EXPECT_STR(result.command_id, ID);
}

static void messages_in_fragments_with_pings_between_are_the_same(void)
{
    static const struct row rows[] = {
        { .name = "of one byte", .legs = { "@split 1 " STARTED "@split 1 "
          OUT("caf\xc3\xa9 \\ud83d\\ude00", 0) "@split 1 " EXIT(3) },
          .out = "caf\xc3\xa9 \xf0\x9f\x98\x80", .exit_code = 3 },
        { .name = "of seven bytes", .legs = { "@split 7 " STARTED "@split 7 "
          OUT("caf\xc3\xa9 \\ud83d\\ude00", 0) "@split 7 " EXIT(3) },
          .out = "caf\xc3\xa9 \xf0\x9f\x98\x80", .exit_code = 3 },
        { .name = "lost between two", .legs = { STARTED OUT("a", 0)
          "@raw 01057b22747970\n@end\n", STARTED OUT("b", 1) EXIT(3) },
          .out = "ab", .exit_code = 3, .reattached = 1 },
    };

    CHECK_ROWS(rows);
}

static void output_beyond_a_buffer_is_counted_and_dropped(void)
{
    static const struct {
        size_t size;
        const char *out;
        bool cut;
    } rows[] = {
        { 1, "", true }, { 2, "a", true }, { 3, "a", true },
        { 4, "a\xc3\xa9", true }, { 5, "a\xc3\xa9" "b", true },
        { 6, "a\xc3\xa9" "b", true }, { 7, "a\xc3\xa9" "b\xc3\xa9", false },
        { 100, "a\xc3\xa9" "b\xc3\xa9", false },
    };
    static const char *const legs[] = {
        STARTED OUT("a\xc3\xa9", 0) ERR("xyz", 0) OUT("b\xc3\xa9", 3) EXIT(0)
    };
    char out[101], err[3];
    size_t i;
    int m;

    for (i = 0; i < COUNT(rows); i++)
        for (m = 0; m < SCRIPT_MODES; m++) {
            lssb_run_options how = { 0 };
            lssb_result result;

            mode = (enum script_mode)m;
            begin(legs, 1);
            opens();
            memset(out, 'Z', sizeof out);
            how.command_id = ID;
            how.out = out;
            how.out_size = rows[i].size;
            how.err = err;
            how.err_size = sizeof err;
            EXPECT_INT(lssb_run(&box, "x", &how, &result, NULL), LSSB_OK);
            EXPECT_STR(out, rows[i].out);
            EXPECT_INT(out[rows[i].size], 'Z');
            EXPECT_INT(result.out_cut, rows[i].cut);
            EXPECT_INT(result.out_len, 6);
            EXPECT_STR(err, "xy");
            EXPECT(result.err_cut);
            EXPECT_INT(result.err_len, 3);
            closes();
        }
    mode = SCRIPT_WHOLE;
}

static void an_output_with_nuls_arrives_whole(void)
{
    static const char *const legs[] = { STARTED OUT("a\\u0000b\\u0000", 0)
                                        EXIT(0) };
    int way;

    for (way = 0; way < WAYS; way++) {
        begin(legs, 1);
        opens();
        EXPECT_INT(perform((enum way)way, "x", NULL), LSSB_OK);
        EXPECT_INT(outcome.len[0], 4);
        EXPECT(memcmp(outcome.text[0], "a\0b\0", 4) == 0);
        closes();
    }
}

/* ------------------------------------------ callbacks, deadlines, slots -- */

/* What a callback does at its `at`th call. */
static struct {
    enum { SAY_AGAIN, SAY_END, SAY_FAILURE, CANCEL, OTHERS } what;
    unsigned at, calls, again;
    lssb_op *op;
    char seen[100];
    size_t len;
    lssb_op more;
    lssb_result more_result;
} odd;

static void odd_others(void)
{
    lssb_result result;
    lssb_chunk chunk;
    static lssb_run_options how = { .command_id = ID };

    EXPECT_INT(lssb_run(&box, "x", NULL, &result, NULL), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_step(me.client), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_wait(me.client, NULL, 0), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_close(me.client, NULL), LSSB_E_IN_CALLBACK);
    if (held.client != NULL) {
        EXPECT_INT(lssb_command_next(&held, &chunk, 1), LSSB_E_IN_CALLBACK);
        EXPECT_INT(lssb_command_write(&held, "x", 1, NULL, 1),
                   LSSB_E_IN_CALLBACK);
        EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_E_IN_CALLBACK);
        EXPECT_INT(lssb_command_close(&held, NULL), LSSB_E_IN_CALLBACK);
    }
    EXPECT_INT(lssb_run(&box, "y", &how, &odd.more_result, &odd.more),
               LSSB_PENDING);
}

static lssb_status take_oddly(void *user, const void *bytes, size_t len)
{
    (void)user;
    odd.calls++;
    if (odd.what == SAY_AGAIN && odd.again < 3) {
        odd.again++;
        return LSSB_AGAIN;
    }
    odd.again = 0;
    if (odd.calls == odd.at) {
        if (odd.what == SAY_END)
            return LSSB_END;
        if (odd.what == SAY_FAILURE)
            return LSSB_E_QUOTA;
        if (odd.what == CANCEL)
            lssb_cancel(odd.op);
        if (odd.what == OTHERS)
            odd_others();
    }
    EXPECT(odd.len + len < sizeof odd.seen);
    memcpy(odd.seen + odd.len, bytes, len);
    odd.len += len;
    return LSSB_OK;
}

/* Runs the legs with the odd callback; by lssb_run or by lssb_command_wait. */
static lssb_status run_oddly(bool run)
{
    static lssb_run_options how;
    lssb_op op = { 0 };

    memset(&how, 0, sizeof how);
    memset(&outcome, 0, sizeof outcome);
    how.command_id = ID;
    how.on_out = take_oddly;
    how.error = &outcome.error;
    odd.op = &op;
    if (run) {
        memset(&held, 0, sizeof held);
        EXPECT_INT(lssb_run(&box, "x", &how, &outcome.result, &op),
                   LSSB_PENDING);
        return lssb_wait(me.client, &op, LSSB_FOREVER);
    }
    EXPECT_INT(lssb_command_start(&held, &box, "x", &how, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_wait(&held, &outcome.result, &op), LSSB_PENDING);
    return lssb_wait(me.client, &op, LSSB_FOREVER);
}

static const char *const odd_legs[] = {
    STARTED OUT("ab", 0) OUT("cd", 2) OUT("ef", 4) "@wait 50\n" OUT("gh", 6)
    "@wait 50\n" EXIT(0), STARTED EXIT(9)
};

static void begin_oddly(unsigned what, unsigned at)
{
    memset(&odd, 0, sizeof odd);
    odd.what = what;
    odd.at = at;
    begin(odd_legs, what == OTHERS ? 2 : 1);
    me.config.slots = 2;
    opens();
}

static void what_is_not_taken_is_offered_again(void)
{
    int m, run;

    for (m = 0; m < SCRIPT_MODES; m++)
        for (run = 0; run < 2; run++) {
            mode = (enum script_mode)m;
            begin_oddly(SAY_AGAIN, 0);
            EXPECT_INT(run_oddly(run), LSSB_OK);
            EXPECT_INT(odd.len, 8);
            EXPECT(memcmp(odd.seen, "abcdefgh", 8) == 0);
            EXPECT(odd.calls >= 16);
            EXPECT_INT(outcome.result.out_len, 8);
            if (!run)
                EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
            closes();
        }
    mode = SCRIPT_WHOLE;
}

static void a_callback_may_stop_its_command(void)
{
    int m, run;
    unsigned at;

    for (m = 0; m < SCRIPT_MODES; m++)
        for (run = 0; run < 2; run++)
            for (at = 1; at <= 4; at++) {
                mode = (enum script_mode)m;
                begin_oddly(at % 2 ? SAY_END : SAY_FAILURE, at);
                EXPECT_INT(run_oddly(run), LSSB_E_STOPPED);
                EXPECT_INT(odd.len, 2 * (at - 1));
                EXPECT_INT(odd.calls, at);
                EXPECT_INT(lssb_last_error(me.client)->layer,
                           LSSB_LAYER_CALLER);
                if (!run)
                    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
                closes();
            }
    mode = SCRIPT_WHOLE;
}

static void a_callback_may_cancel_its_call(void)
{
    unsigned at;

    for (at = 1; at <= 4; at++) {
        begin_oddly(CANCEL, at);
        EXPECT_INT(run_oddly(true), LSSB_E_CANCELED);
        EXPECT(odd.len <= 2 * at);
        closes();
        begin_oddly(CANCEL, 4);     /* ends the waiting only */
        EXPECT_INT(run_oddly(false), LSSB_E_CANCELED);
        EXPECT_INT(held.status, LSSB_PENDING);
        EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_OK);
        EXPECT_INT(odd.len, 8);
        EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
        closes();
    }
}

static void a_callback_may_start_others_but_not_wait(void)
{
    int run;

    for (run = 0; run < 2; run++) {
        begin_oddly(OTHERS, 2);
        EXPECT_INT(run_oddly(run), LSSB_OK);
        EXPECT_INT(lssb_wait(me.client, &odd.more, LSSB_FOREVER), LSSB_OK);
        EXPECT_INT(odd.more_result.exit_code, 9);
        if (!run)
            EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
        closes();
    }
}

static lssb_op closing;

static lssb_status take_and_let_go(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    odd.calls++;
    EXPECT_INT(lssb_command_write(&held, "x", 1, NULL, 0), LSSB_OK);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    EXPECT_INT(lssb_command_close(&held, &closing), LSSB_PENDING);
    return LSSB_OK;
}

static void a_callback_may_write_kill_and_close(void)
{
    static lssb_run_options how;
    int m;

    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        memset(&odd, 0, sizeof odd);
        memset(&closing, 0, sizeof closing);
        begin(odd_legs, 1);
        opens();
        memset(&how, 0, sizeof how);
        how.command_id = ID;
        how.on_out = take_and_let_go;
        how.open_stdin = true;
        EXPECT_INT(lssb_command_start(&held, &box, "x", &how, NULL), LSSB_OK);
        EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_E_CANCELED);
        EXPECT_INT(lssb_wait(me.client, &closing, LSSB_FOREVER), LSSB_OK);
        EXPECT_INT(odd.calls, 1);
        closes();
    }
    mode = SCRIPT_WHOLE;
}

static void a_deadline_ends_a_run_but_only_the_wait_of_a_held_one(void)
{
    static const char *const legs[] = { STARTED "@wait 5000\n" EXIT(0) };
    lssb_op op = { 0 };
    lssb_run_options how = taking(BY_RUN, NULL);

    begin(legs, 1);
    opens();
    op.deadline_ms = 1000;
    EXPECT_INT(lssb_run(&box, "x", &how, &outcome.result, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
    EXPECT_STR(outcome.result.command_id, ID);
    closes();
    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_wait(&held, NULL, &op), LSSB_PENDING);
    EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
    EXPECT_INT(held.status, LSSB_PENDING);
    EXPECT_INT(lssb_command_wait(&held, NULL, &op), LSSB_PENDING);
    lssb_cancel(&op);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    EXPECT_INT(held.status, LSSB_PENDING);
    EXPECT_INT(lssb_command_wait(&held, &outcome.result, NULL), LSSB_OK);
    EXPECT_INT(outcome.result.exit_code, 0);
    EXPECT_INT(lssb_command_wait(&held, &outcome.result, NULL), LSSB_OK);
    end_held(LSSB_OK, 0, NULL);
}

static void a_deadline_between_two_attempts_tells_what_the_last_one_met(void)
{
    static const lssb_io refused[] = { LSSB_IO_REFUSED, LSSB_IO_REFUSED };
    static const struct {
        const char *leg;            /* NULL: nobody listens */
        const char *message;
        lssb_layer layer;
        int32_t http_status;
    } rows[] = {
        { NULL, "cannot connect to 10.0.0.0:80 (data.test): connection refused",
          LSSB_LAYER_CONNECT, 0 },
        { REPLY(503, ""), "the server refused the WebSocket: the service "
          "answered 503 to GET http://data.test/b/execute/ws",
          LSSB_LAYER_WEBSOCKET, 503 },
        { "@gone", "data.test ended the connection without a reply",
          LSSB_LAYER_TRANSPORT, 0 },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        const char *legs[] = { rows[i].leg, rows[i].leg };
        lssb_run_options how = taking(BY_RUN, NULL);
        char message[256] = "run: the deadline passed while waiting to try "
                            "again: ";
        lssb_op op = { 0 };

        test_row = rows[i].message;
        begin(legs, rows[i].leg != NULL ? 2 : 0);
        script.connect_plan = refused;
        script.connect_plan_count = rows[i].leg == NULL ? 2 : 0;
        opens();
        op.deadline_ms = 700;
        op.error = &outcome.error;
        EXPECT_INT(lssb_run(&box, "x", &how, &outcome.result, &op),
                   LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
        EXPECT_STR(outcome.error.message, strcat(message, rows[i].message));
        EXPECT_INT(outcome.error.status, LSSB_E_DEADLINE);
        EXPECT_INT(outcome.error.layer, rows[i].layer);
        EXPECT_INT(outcome.error.http_status, rows[i].http_status);
        EXPECT_INT(outcome.error.attempts, 2);
        closes();
    }
}

static void a_run_has_a_deadline_of_its_own(void)
{
    static const char *const legs[] = { STARTED "@wait 999999\n" EXIT(0) };
    lssb_run_options how = { .timeout_s = 5 };

    begin(legs, 1);
    opens();
    EXPECT_INT(perform(BY_RUN, "x", &how), LSSB_E_DEADLINE);
    EXPECT(outcome.took_ms >= 185000 && outcome.took_ms < 185100);
    closes();
    begin(legs, 1);
    opens();
    how.timeout_s = LSSB_NO_LIMIT;
    EXPECT_INT(perform(BY_RUN, "x", &how), LSSB_OK);
    closes();
}

static void waiting_drops_and_counts_what_nobody_takes(void)
{
    static const char *const legs[] = { STARTED OUT("abc", 0) ERR("de", 0)
                                        OUT("f", 3) EXIT(4) };
    lssb_chunk chunk;
    int m;

    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        begin_held(legs, 1, NULL);
        EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_OK);
        EXPECT_INT(chunk.len, 3);
        EXPECT_INT(lssb_command_wait(&held, &outcome.result, NULL), LSSB_OK);
        EXPECT_INT(outcome.result.out_len, 4);
        EXPECT_INT(outcome.result.err_len, 2);
        EXPECT_INT(outcome.result.out_offset, 4);
        EXPECT_INT(outcome.result.exit_code, 4);
        EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_END);
        EXPECT_INT(lssb_command_next(&held, &chunk, 0), LSSB_END);
        EXPECT_INT(held.exit_code, 4);
        end_held(LSSB_OK, 4, NULL);
    }
    mode = SCRIPT_WHOLE;
}

static void what_callbacks_take_is_not_there_for_next(void)
{
    static const char *const legs[] = { STARTED OUT("ab", 0) ERR("c", 0)
                                        EXIT(4) };
    static const lssb_run_options told = { .on_out = take_out,
                                           .on_err = take_err };
    lssb_chunk chunk;

    begin_held(legs, 1, &told);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_END);
    outcome.text[0][outcome.len[0]] = '\0';
    outcome.text[1][outcome.len[1]] = '\0';
    EXPECT_STR(outcome.text[0], "ab");
    EXPECT_STR(outcome.text[1], "c");
    end_held(LSSB_OK, 4, NULL);
}

static void who_waits_for_what_is_let_go_of_hears_why(void)
{
    static const char *const legs[] = { STARTED "@hear\n" };
    lssb_error why = { 0 };
    lssb_result result;
    lssb_op op = { 0 };

    begin_held(legs, 1, NULL);
    op.error = &why;
    EXPECT_INT(lssb_command_wait(&held, &result, &op), LSSB_PENDING);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_STR(why.message, "wait for command: the command was let go of");
    EXPECT_INT(result.exit_code, -1);
    closes();
}

/* AddressSanitizer says so when they are read all the same. */
static void the_options_are_the_callers_again_at_the_end(void)
{
    static const char *const legs[] = { STARTED OUT("a", 0) EXIT(4) };
    lssb_run_options *how = malloc(sizeof *how);
    lssb_chunk chunk;
    size_t taken;

    begin(legs, 1);
    opens();
    *how = taking(BY_NEXT, NULL);
    how->open_stdin = true;
    memset(&held, 0, sizeof held);
    EXPECT_INT(lssb_command_start(&held, &box, "x", how, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_wait(&held, &outcome.result, NULL), LSSB_OK);
    memset(how, 0xA5, sizeof *how);
    free(how);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_END);
    EXPECT_INT(lssb_command_write(&held, "x", 1, &taken, 0), LSSB_END);
    EXPECT_INT(lssb_command_agent_write(&held, "ch", "x", 1, &taken, 0),
               LSSB_END);
    EXPECT_INT(lssb_command_agent_close(&held, "ch", 0), LSSB_END);
    EXPECT_INT(lssb_command_kill(&held), LSSB_OK);
    EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    closes();
}

/* An older server, in the middle of whose message the ten seconds are over
 * after which a command counts as found: the operation that found it is gone
 * when the rest comes. */
static void a_message_outlives_the_operation_that_came_back(void)
{
    static const char *const legs[] = {
        "@raw 812c7b2274797065223a227374646f7574222c2264617461223a2261"
        "6263\n"
        "@wait 12000\n@raw 646566222c226f6666736574223a307d\n" EXIT(0)
    };
    lssb_op *op = calloc(1, sizeof *op);

    begin(legs, 1);
    opens();
    memset(&held, 0, sizeof held);
    held_how = taking(BY_NEXT, NULL);
    EXPECT_INT(lssb_command_reattach(&held, &box, ID, 0, 0, &held_how, op),
               LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, op, LSSB_FOREVER), LSSB_OK);
    memset(op, 0xA5, sizeof *op);
    free(op);
    EXPECT_INT(take_all(&held), LSSB_END);
    expect_texts("abcdef", "", BY_NEXT);
    EXPECT_INT(held.exit_code, 0);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    closes();
}

static void looking_without_time_steps_nothing(void)
{
    static const char *const legs[] = { STARTED "@wait 10\n" OUT("a", 0)
                                        "@wait 10\n" EXIT(0) };
    lssb_chunk chunk;
    unsigned long calls;

    begin_held(legs, 1, NULL);
    calls = script.waits;
    EXPECT_INT(lssb_command_next(&held, &chunk, 0), LSSB_AGAIN);
    EXPECT_INT(script.waits, calls);
    EXPECT_INT(lssb_command_next(&held, &chunk, 5), LSSB_AGAIN);
    EXPECT_INT(lssb_command_next(&held, &chunk, 500), LSSB_OK);
    EXPECT_INT(lssb_command_next(&held, NULL, 0), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_next(&held, &chunk, 500), LSSB_END);
    end_held(LSSB_OK, 0, NULL);
}

static void a_failure_is_told_as_often_as_it_is_asked_for(void)
{
    static const char *const legs[] = { STARTED OUT("a", 0)
                                        FAILS("CommandTimeout", "late") };
    lssb_chunk chunk;
    int i;

    begin_held(legs, 1, NULL);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER), LSSB_OK);
    for (i = 0; i < 3; i++) {
        EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER),
                   LSSB_E_COMMAND_TIMEOUT);
        EXPECT_INT(lssb_command_wait(&held, NULL, NULL),
                   LSSB_E_COMMAND_TIMEOUT);
        EXPECT_STR(lssb_last_error(me.client)->type, "CommandTimeout");
    }
    end_held(LSSB_E_COMMAND_TIMEOUT, 0, NULL);
}

static void commands_that_hold_every_slot_leave_none(void)
{
    static const char *const legs[] = { STARTED "@wait 100\n@end\n",
                                        STARTED "@wait 1000\n" EXIT(1) };
    lssb_sandbox other;
    lssb_result result;
    uint64_t since;

    begin_held(legs, 2, NULL);
    since = script.now;
    EXPECT_INT(lssb_sandbox_get(me.client, "x", &other, NULL), LSSB_E_NO_SLOT);
    EXPECT_INT(lssb_run(&box, "x", NULL, &result, NULL), LSSB_E_NO_SLOT);
    EXPECT(script.now == since);
    pass(200);
    EXPECT(!held.attached);         /* it keeps its claim */
    EXPECT_INT(lssb_sandbox_get(me.client, "x", &other, NULL), LSSB_E_NO_SLOT);
    end_held(LSSB_OK, 1, NULL);
}

static void a_slot_is_free_again_once_a_command_has_ended(void)
{
    static const struct script_route routes[] = {
        { "GET /v2/sandboxes/boxes/x",
          { { 200, "{\"name\":\"x\"}", NULL, SCRIPT_LENGTH, 0 } } },
    };
    static const char *const legs[] = { STARTED EXIT(1), STARTED EXIT(2),
                                        STARTED "@wait 100\n" EXIT(3) };
    lssb_sandbox other;
    lssb_chunk chunk;
    lssb_op get = { 0 };
    int i;

    begin(legs, 3);
    script_also(routes, 1);
    opens();
    for (i = 0; i < 2; i++) {
        EXPECT_INT(lssb_sandbox_get(me.client, "x", &other, NULL), LSSB_OK);
        EXPECT_INT(perform(i ? BY_NEXT : BY_RUN, "x", NULL), LSSB_OK);
        EXPECT_INT(lssb_sandbox_get(me.client, "x", &other, NULL), LSSB_OK);
    }
    held_how = taking(BY_NEXT, NULL);
    EXPECT_INT(lssb_command_start(&held, &box, "x", &held_how, NULL),
               LSSB_OK);
    while (lssb_command_next(&held, &chunk, LSSB_FOREVER) != LSSB_END)
        continue;                   /* it is not closed, but it has ended */
    EXPECT_INT(lssb_sandbox_get(me.client, "x", &other, &get), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &get, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    closes();
}

/* ------------------------------------------------- letting go, anywhere -- */

static const struct model_program long_one = {
    MODEL_PRINTS, both_streams, 6, 2000, 3, false, NULL
};

/* Starts a command, goes on for so many steps, then ends it in a way; false
 * when it was over before. */
static bool let_go_after(unsigned steps, int how, enum script_cut cut)
{
    lssb_op start = { 0 }, op = { 0 };
    lssb_status status;
    bool over = false;
    unsigned i;

    begin(NULL, 0);
    peers_model(&long_one, 1);
    model.slice = 5;
    script.cut = cut;
    script.cut_received = 400;
    opens();
    held_how = taking(steps % 2 ? BY_NEXT : BY_WAIT, NULL);
    status = lssb_command_start(&held, &box, "x", &held_how, &start);
    EXPECT_INT(status, LSSB_PENDING);
    for (i = 0; i < steps && !over; i++) {
        lssb_chunk chunk;

        if (start.status == LSSB_PENDING)
            lssb_step(me.client);
        else if (steps % 2 == 0)
            lssb_wait(me.client, NULL, 20);
        else
            over = lssb_command_next(&held, &chunk, 20) < LSSB_OK;
        if (start.status == LSSB_PENDING && i % 2)
            lssb_wait(me.client, &start, 1);
        over = over || held.status != LSSB_PENDING;
    }
    if (how == 0) {
        EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    } else if (how == 1) {
        EXPECT_INT(lssb_command_close(&held, &op), LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    } else if (how == 2) {
        lssb_cancel(&start);
        if (start.status == LSSB_PENDING)
            EXPECT_INT(lssb_wait(me.client, &start, LSSB_FOREVER),
                       LSSB_E_CANCELED);
        EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    } else if (how == 3) {
        EXPECT_INT(lssb_command_wait(&held, NULL, &op), LSSB_PENDING);
    }
    closes();
    EXPECT(start.status == LSSB_OK || start.status == LSSB_E_CANCELED);
    if (how == 3)
        EXPECT(op.status == LSSB_E_CANCELED || op.status == LSSB_OK);
    return !over;
}

static void a_command_may_be_let_go_of_at_any_moment(void)
{
    char row[80];
    unsigned steps;
    int how, m, cut;

    for (m = 0; m < 2 * SCRIPT_MODES; m++)
        for (how = 0; how < 5; how++)
            for (cut = 0; cut < 2; cut++)
                for (steps = 0; steps < 300; steps += m % 4 == 1 ? 7 : 1) {
                    sprintf(row, "mode %d, %u steps, way %d", m, steps, how);
                    test_row = row;
                    mode = (enum script_mode)(m % SCRIPT_MODES);
                    over_tls = m >= SCRIPT_MODES;
                    if (!let_go_after(steps, how, (enum script_cut)cut) ||
                        test_failures > 10)
                        break;
                }
    mode = SCRIPT_WHOLE;
    over_tls = false;
}

static void a_command_of_zeros_is_closed_already(void)
{
    lssb_command nothing;
    lssb_op op = { 0 };

    memset(&nothing, 0, sizeof nothing);
    EXPECT_INT(lssb_command_close(&nothing, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_close(&nothing, &op), LSSB_OK);
    EXPECT_INT(lssb_command_close(NULL, NULL), LSSB_OK);
    lssb_post_kill(&nothing);
    lssb_post_kill(NULL);
    EXPECT_INT(lssb_command_kill(&nothing), LSSB_E_INVALID_ARGUMENT);
}

static void a_command_that_could_not_start_is_closed_all_the_same(void)
{
    static const char *const legs[] = { REPLY(404, ""), STARTED EXIT(3) };
    lssb_run_options how = taking(BY_NEXT, NULL);
    lssb_chunk chunk;

    begin(legs, 2);
    opens();
    EXPECT_INT(lssb_command_start(&held, &box, "x", &how, NULL),
               LSSB_E_CONNECTION);
    EXPECT_INT(held.status, LSSB_E_CONNECTION);
    EXPECT_INT(lssb_command_next(&held, &chunk, LSSB_FOREVER),
               LSSB_E_CONNECTION);
    EXPECT_INT(lssb_command_wait(&held, NULL, NULL), LSSB_E_CONNECTION);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_start(&held, &box, "x", &how, NULL), LSSB_OK);
    EXPECT_INT(take_all(&held), LSSB_END);
    EXPECT_INT(held.exit_code, 3);
    EXPECT_INT(lssb_command_close(&held, NULL), LSSB_OK);
    closes();
}

/* ---------------------------------------------------- a hundred at once -- */

#define MANY 100

static struct {
    lssb_command command;
    lssb_run_options how;
    lssb_op op;
    char id[16];
    char text[200];
    size_t len;
} many[MANY];
static size_t many_killed;

static lssb_status take_many(void *user, const void *bytes, size_t len)
{
    size_t i = (size_t)((char *)user - (char *)many) / sizeof many[0];

    EXPECT(many[i].len + len < sizeof many[i].text);
    memcpy(many[i].text + many[i].len, bytes, len);
    many[i].len += len;
    return LSSB_OK;
}

/* Kills ten of them while the others are at work, as a signal would. */
static void kill_ten(unsigned long call)
{
    if (script.now > 1500 && many_killed < 10 && call % 5 == 0)
        lssb_post_kill(&many[10 * many_killed++ + 3].command);
}

static void start_many(void)
{
    size_t i;

    memset(many, 0, sizeof many);
    many_killed = 0;
    for (i = 0; i < MANY; i++) {
        sprintf(many[i].id, "many-%u", (unsigned)i);
        many[i].how.command_id = many[i].id;
        many[i].how.on_out = take_many;
        many[i].how.user = &many[i];
        EXPECT_INT(lssb_command_start(&many[i].command, &box, "x",
                                      &many[i].how, &many[i].op),
                   LSSB_PENDING);
    }
}

static void a_hundred_commands_run_side_by_side(void)
{
    static const struct model_event events[] = {
        { 0, 1, "one " }, { 300, 1, "two " }, { 3000, 1, "three" },
    };
    static const struct model_program program = {
        MODEL_PRINTS, events, 3, 4000, 7, false, NULL
    };
    unsigned killed = 0, whole = 0;
    lssb_stats_list stats;
    size_t i;
    int m;

    for (m = 0; m < SCRIPT_MODES; m++) {
        mode = (enum script_mode)m;
        killed = whole = 0;
        begin(NULL, 0);
        peers_model(&program, 1);
        me.config.slots = MANY;
        opens();
        start_many();
        script.each = kill_ten;
        for (i = 0; i < MANY; i++) {
            EXPECT(lssb_command_wait(&many[i].command, NULL, NULL) ==
                   LSSB_OK);
            killed += many[i].command.exit_code == 137;
            whole += many[i].command.exit_code == 7 && many[i].len == 13 &&
                     memcmp(many[i].text, "one two three", 13) == 0;
        }
        script.each = NULL;
        EXPECT_INT(killed + whole, MANY);
        EXPECT_INT(killed, 10);
        EXPECT_INT(model.created, MANY);
        EXPECT_INT(script.open_most, MANY);
        lssb_stats(me.client, &stats);
        EXPECT_INT(stats.slots_high, MANY);
        EXPECT(script.now < 20000);
        closes();
    }
    mode = SCRIPT_WHOLE;
}

/* -------------------------------------------- every call of the port fails */

/* Plays a session with a failure of one call of the port, or of it and all of
 * its kind behind it; false when there was no such call. */
static bool fail_one(const struct session *what, unsigned long at, int io,
                     bool on)
{
    bool failed;

    begin_session(what, 0);
    script.fail_at = script.calls + at;
    script.fail_io = io;
    script.fail_on = on;
    play(what);
    failed = script.failed != SCRIPT_NOTHING;
    script.fail_at = 0;
    script.fail_on = false;
    EXPECT(model.created <= 1);
    if (outcome.status != LSSB_OK) {
        EXPECT(on || script.failed == SCRIPT_RANDOM || what->kill_ms != 0);
        EXPECT(outcome.status == LSSB_E_CONNECTION ||
               outcome.status == LSSB_E_CONNECT_TIMEOUT ||
               script.failed == SCRIPT_RANDOM);
        EXPECT_INT(outcome.error.status, outcome.status);
        EXPECT(outcome.error.message[0] != '\0');
    } else {
        script.cuts = 1;
        check_session(what);
    }
    EXPECT(outcome.took_ms < 125000);
    closes();
    return failed;
}

static void one_failure_of_the_port_disturbs_no_session(void)
{
    static const int ios[] = { LSSB_IO_RESET, LSSB_IO_LIMIT,
                               SCRIPT_END_OF_STREAM };
    char row[120];
    unsigned long at;
    size_t i, j;
    int on, m;

    for (m = 0; m < SCRIPT_MODES; m++)
        for (i = 0; i < COUNT(sessions); i++)
            for (j = 0; j < COUNT(ios); j++)
                for (on = 0; on < 2; on++)
                    for (at = 1; test_failures < 5;
                         at += m % 2 ? 31 : m == 2 ? 3 : 1) {
                        if (on && sessions[i].how.pty)
                            break;  /* nobody types for ever */
                        mode = (enum script_mode)m;
                        over_tls = j == 0 && m != 0;
                        sprintf(row, "%s, call %lu, failure %d%s, mode %d",
                                sessions[i].name, at, ios[j],
                                on ? " from there on" : "", m);
                        test_row = row;
                        if (!fail_one(&sessions[i], at, ios[j], on))
                            break;
                    }
    mode = SCRIPT_WHOLE;
    over_tls = false;
    test_row = "";
}

#if !defined(_WIN32)
/* Kills ten of them from another thread. */
static void *kill_from_a_thread(void *unused)
{
    size_t i;

    (void)unused;
    for (i = 0; i < MANY; i += 10)
        lssb_post_kill(&many[i].command);
    return NULL;
}

static void another_thread_may_kill(void)
{
    static const struct model_program program = {
        MODEL_PRINTS, NULL, 0, 2000000000, 7, false, NULL
    };
    pthread_t thread;
    size_t i, started = 0, killed = 0;

    begin(NULL, 0);
    peers_model(&program, 1);
    me.config.slots = MANY;
    opens();
    start_many();
    while (started < MANY) {
        lssb_wait(me.client, NULL, 1);
        for (started = 0, i = 0; i < MANY; i++)
            started += many[i].op.status == LSSB_OK;
    }
    EXPECT_INT(pthread_create(&thread, NULL, kill_from_a_thread, NULL), 0);
    while (killed < 10) {           /* the clock stands still meanwhile */
        lssb_step(me.client);
        for (killed = 0, i = 0; i < MANY; i++)
            killed += many[i].command.status != LSSB_PENDING;
    }
    EXPECT_INT(pthread_join(thread, NULL), 0);
    for (i = 0; i < MANY; i++) {
        EXPECT_INT(many[i].command.status,
                   i % 10 == 0 ? LSSB_OK : LSSB_PENDING);
        EXPECT_INT(many[i].command.exit_code, i % 10 == 0 ? 137 : -1);
    }
    closes();
}
#endif

static const struct test tests[] = {
    TEST(the_upgrade_is_asked_for_as_the_reference_says),
    TEST(a_dataplane_url_keeps_its_path_and_drops_its_query),
    TEST(a_command_is_asked_for_as_the_reference_says),
    TEST(another_shell_is_asked_for_by_its_path),
    TEST(a_forwarded_agent_is_asked_for),
    TEST(what_makes_no_sense_is_refused_unsent),
    TEST(text_that_is_not_utf8_is_named),
    TEST(an_id_is_made_up_as_a_uuid_of_version_7),
    TEST(messages_mean_what_the_reference_says),
    TEST(an_id_of_any_length_after_execute_is_ours_or_refused),
    TEST(offsets_are_where_the_reference_says),
    TEST(an_opening_that_fails_is_made_again_where_that_helps),
    TEST(an_opening_that_keeps_failing_is_given_up_after_six),
    TEST(every_attempt_asks_for_the_same_command),
    TEST(the_pauses_spread),
    TEST(openings_stay_inside_their_budget),
    TEST(a_refusal_says_what_the_server_said),
    TEST(the_body_of_a_refusal_is_read_only_so_far),
    TEST(a_refusal_carries_the_time_it_asked_for),
    TEST(a_command_that_was_lost_is_found_as_the_reference_says),
    TEST(a_failure_after_a_loss_is_one_of_reconnecting),
    TEST(a_command_is_come_back_to_by_its_id),
    TEST(coming_back_is_tried_for_half_a_minute),
    TEST(coming_back_needs_no_greeting),
    TEST(a_session_cut_at_any_byte_is_complete_all_the_same),
    TEST(a_session_over_tls_cut_at_any_byte_is_complete_all_the_same),
    TEST(a_trickling_session_cut_at_any_byte_is_complete),
    TEST(a_session_cut_again_and_again_loses_and_repeats_nothing),
    TEST(what_the_server_did_not_keep_is_told_and_no_more),
    TEST(a_kill_brings_the_exit_code),
    TEST(a_kill_of_what_has_ended_does_nothing),
    TEST(a_kill_before_the_start_is_sent_behind_it),
    TEST(a_kill_is_sent_before_its_command_is_let_go_of),
    TEST(a_close_that_ends_early_gives_everything_back),
    TEST(the_error_of_a_start_that_failed_is_kept),
    TEST(a_kill_while_detached_is_sent_behind_the_greeting),
    TEST(a_kill_of_an_older_servers_silent_command_is_sent),
    TEST(a_loss_after_a_kill_is_the_end),
    TEST(a_kill_without_an_exit_code_ends_after_ten_seconds),
    TEST(the_transcript_of_input_that_was_lost_once),
    TEST(input_goes_out_as_it_is_written),
    TEST(input_needs_an_open_stdin),
    TEST(a_terminal_hears_its_last_size_on_every_connection),
    TEST(input_while_detached_is_not_taken),
    TEST(the_end_of_input_while_detached_is_remembered),
    TEST(what_a_found_command_is_told_comes_behind_the_greeting),
    TEST(writing_to_what_has_ended_says_so),
    TEST(long_input_is_split_between_characters),
    TEST(a_long_command_goes_out_in_fragments),
    TEST(a_quiet_command_is_pinged_every_half_minute),
    TEST(a_ping_without_an_answer_is_a_loss),
    TEST(a_slow_reader_is_not_a_dead_peer),
    TEST(a_server_that_does_not_answer_the_close_holds_nobody_up),
    TEST(a_message_of_a_mebibyte_passes_through_the_same_buffers),
    TEST(data_before_its_type_must_fit_the_hold),
    TEST(an_offset_that_comes_late_is_told_or_refused),
    TEST(messages_in_fragments_with_pings_between_are_the_same),
    TEST(output_beyond_a_buffer_is_counted_and_dropped),
    TEST(an_output_with_nuls_arrives_whole),
    TEST(what_is_not_taken_is_offered_again),
    TEST(a_callback_may_stop_its_command),
    TEST(a_callback_may_cancel_its_call),
    TEST(a_callback_may_start_others_but_not_wait),
    TEST(a_callback_may_write_kill_and_close),
    TEST(a_deadline_ends_a_run_but_only_the_wait_of_a_held_one),
    TEST(a_deadline_between_two_attempts_tells_what_the_last_one_met),
    TEST(a_run_has_a_deadline_of_its_own),
    TEST(waiting_drops_and_counts_what_nobody_takes),
    TEST(what_callbacks_take_is_not_there_for_next),
    TEST(who_waits_for_what_is_let_go_of_hears_why),
    TEST(the_options_are_the_callers_again_at_the_end),
    TEST(a_message_outlives_the_operation_that_came_back),
    TEST(looking_without_time_steps_nothing),
    TEST(a_failure_is_told_as_often_as_it_is_asked_for),
    TEST(commands_that_hold_every_slot_leave_none),
    TEST(a_slot_is_free_again_once_a_command_has_ended),
    TEST(a_command_may_be_let_go_of_at_any_moment),
    TEST(a_command_of_zeros_is_closed_already),
    TEST(a_command_that_could_not_start_is_closed_all_the_same),
    TEST(a_hundred_commands_run_side_by_side),
    TEST(one_failure_of_the_port_disturbs_no_session),
#if !defined(_WIN32)
    TEST(another_thread_may_kill),
#endif
};

#else

static void there_is_no_websocket_in_this_build(void)
{
    lssb_feature_list features;

    lssb_features(&features);
    EXPECT(!features.websocket);
}

static const struct test tests[] = {
    TEST(there_is_no_websocket_in_this_build),
};

#endif

int main(void)
{
    return TEST_MAIN(tests);
}
