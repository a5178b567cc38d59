/* command.c: commands over a WebSocket, from the client's side (protocol 5).
 *
 * SPDX-License-Identifier: MIT
 *
 * What is expected here is written from the protocol reference, section by
 * section. The servers are scripts and a model (scripted_ws.h), in this
 * process and on a clock that stands still while nobody waits.
 */
#include "scripted_tls.h"
#include "scripted_ws.h"

#if LSSB_WEBSOCKET

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* ------------------------------------------------------------ transcripts -- */

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

/* ------------------------------------------------- the upgrade (5.1, 1.4) -- */

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
                       "\"work_dir\":\"/srv\",\"env_vars\":{\"A\":\"1\"}}"),
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

/* ------------------------------------------------ what the server says (5.5) -- */

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
          "@text  { \"x\" : [ {\"type\":\"exit\",\"data\":\"no\"} ] , \"type\" :\t"
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

static const struct test tests[] = {
    TEST(the_upgrade_is_asked_for_as_the_reference_says),
    TEST(a_dataplane_url_keeps_its_path_and_drops_its_query),
    TEST(a_command_is_asked_for_as_the_reference_says),
    TEST(another_shell_is_asked_for_by_its_path),
    TEST(a_forwarded_agent_is_asked_for),
    TEST(what_makes_no_sense_is_refused_unsent),
    TEST(an_id_is_made_up_as_a_uuid_of_version_7),
    TEST(messages_mean_what_the_reference_says),
    TEST(offsets_are_where_the_reference_says),
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
