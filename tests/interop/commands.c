/* commands.c: commands of every kind, run by lssb on whatever server there is:
 * sandboxd, one on npm's ws, one on python3-websockets.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: commands [gaps]. LANGSMITH_ENDPOINT, LANGSMITH_API_KEY say where the
 * server is, SERVER_PID which process; RELAY is the port of a badnet before it;
 * PTY is set where it has terminals. "gaps" is for a server with rings of 4096
 * bytes. Nothing waits for a fixed time, but for what is about time itself.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "lssb.h"
#include "tests/test.h"

#define SLOTS 48
#define TEXT 16384
#define LIMIT_MS 60000              /* no test needs that long */
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static lssb_client *client;
static lssb_sandbox box;
static char own[32];                /* for names that nobody else uses */

/* -------------------------------------------------------------- helpers -- */

/* What was seen of one stream. */
struct seen {
    char text[TEXT];
    size_t kept;
    uint64_t len;
    uint64_t others;                /* bytes that differ from `fill` */
    uint64_t lost;
    char fill;
};

/* A command under way. */
struct job {
    lssb_op op;
    lssb_run_options how;
    lssb_result result;
    lssb_error error;
    lssb_pair header;
    lssb_command command;
    struct seen out;
    struct seen err;
};

static lssb_status take_in(struct seen *seen, const char *bytes, size_t len)
{
    size_t room = sizeof seen->text - 1 - seen->kept;
    size_t part = len < room ? len : room, i;

    memcpy(seen->text + seen->kept, bytes, part);
    seen->kept += part;
    seen->text[seen->kept] = '\0';
    for (i = 0; seen->fill != '\0' && i < len; i++)
        seen->others += bytes[i] != seen->fill;
    seen->len += len;
    return LSSB_OK;
}

static lssb_status take_out(void *user, const void *bytes, size_t len)
{
    return take_in(&((struct job *)user)->out, bytes, len);
}

static lssb_status take_err(void *user, const void *bytes, size_t len)
{
    return take_in(&((struct job *)user)->err, bytes, len);
}

static void take_gap(void *user, lssb_stream stream, uint64_t offset,
                     uint64_t lost)
{
    struct job *job = user;
    struct seen *seen = stream == LSSB_STDOUT ? &job->out : &job->err;

    EXPECT_INT(offset, seen->len + seen->lost);
    seen->lost += lost;
}

/* A new job, whose output is kept. */
static struct job *job_new(void)
{
    struct job *job = calloc(1, sizeof *job);

    if (job == NULL)
        abort();
    job->how.on_out = take_out;
    job->how.on_err = take_err;
    job->how.on_gap = take_gap;
    job->how.user = job;
    job->how.error = &job->error;
    job->op.error = &job->error;
    job->op.deadline_ms = LIMIT_MS;
    return job;
}

/* A new job whose output is asked for by lssb_command_next. */
static struct job *job_pulled(void)
{
    struct job *job = job_new();

    job->how.on_out = job->how.on_err = NULL;
    job->how.on_gap = NULL;
    return job;
}

static void job_run(struct job *job, const lssb_sandbox *where,
                    const char *text)
{
    lssb_status status = lssb_run(where, text, &job->how, &job->result,
                                  &job->op);

    EXPECT_INT(status, LSSB_PENDING);
}

static void job_wait(struct job *job)
{
    lssb_status status = lssb_wait(client, &job->op, LIMIT_MS);

    if (status != LSSB_OK && job->error.message[0] != '\0')
        printf("  %s: %s\n", lssb_status_name(status), job->error.message);
}

static void job_start(struct job *job, const lssb_sandbox *where,
                      const char *text)
{
    EXPECT_INT(lssb_command_start(&job->command, where, text, &job->how,
                                  &job->op), LSSB_PENDING);
    job_wait(job);
    EXPECT_INT(job->op.status, LSSB_OK);
}

/* Adds what comes to what was seen, until `text` is in it (NULL: to the end);
 * the final status. */
static lssb_status job_until(struct job *job, const char *text)
{
    lssb_chunk chunk;
    lssb_status status = LSSB_OK;

    while (text == NULL || strstr(job->out.text, text) == NULL) {
        struct seen *seen;

        status = lssb_command_next(&job->command, &chunk, LIMIT_MS);
        if (status != LSSB_OK)
            break;
        seen = chunk.stream == LSSB_STDOUT ? &job->out : &job->err;
        EXPECT_INT(chunk.offset - chunk.lost, seen->len + seen->lost);
        seen->lost += chunk.lost;
        take_in(seen, chunk.bytes, chunk.len);
    }
    if (status != LSSB_OK && status != LSSB_END)
        printf("  %s: %s\n", lssb_status_name(status), job->error.message);
    return status;
}

/* Gives all of it to the command. */
static void job_write(struct job *job, const char *bytes, size_t len)
{
    size_t taken;

    while (len > 0) {
        lssb_status status = lssb_command_write(&job->command, bytes, len,
                                                &taken, LIMIT_MS);

        if (status != LSSB_OK) {
            EXPECT_INT(status, LSSB_OK);
            return;
        }
        bytes += taken;
        len -= taken;
    }
}

static void job_say(struct job *job, const char *text)
{
    job_write(job, text, strlen(text));
}

/* Lets go of the command, and of the job. */
static void job_end(struct job *job)
{
    EXPECT_INT(lssb_command_close(&job->command, NULL), LSSB_OK);
    free(job);
}

/* The whole of a command with a bound; its output without the newline is put
 * into `out`. */
static void ask(const char *text, char *out, size_t size)
{
    struct job *job = job_new();

    job_run(job, &box, text);
    job_wait(job);
    EXPECT_INT(job->result.exit_code, 0);
    snprintf(out, size, "%.*s", (int)strcspn(job->out.text, "\n"),
             job->out.text);
    free(job);
}

/* The same box behind the relay, which does this to the job's connection. */
static lssb_sandbox relayed(struct job *job, char *fault)
{
    lssb_sandbox other = box;
    const char *path = strstr(box.dataplane_url, "://");

    path = path != NULL ? strchr(path + 3, '/') : NULL;
    snprintf(other.dataplane_url, sizeof other.dataplane_url,
             "http://127.0.0.1:%s%s", getenv("RELAY"),
             path != NULL ? path : "");
    job->header.name = "X-Badnet";
    job->header.value = fault;
    job->op.headers = &job->header;
    job->op.header_count = 1;
    return other;
}

/* A fault that the relay has not met before. */
static void fault_name(char *fault, size_t size, const char *what)
{
    static int count;

    snprintf(fault, size, "%s; id=%s-%d", what, own, ++count);
}

/* Ends every connection of the server with 1001. */
static void reload(void)
{
    kill((pid_t)atol(getenv("SERVER_PID")), SIGHUP);
}

/* --------------------------------------------------------------- results -- */

static const lssb_pair variables[] = {
    { "A", "\xc3\xa4 \"'$\\" }, { "EMPTY", "" }
};

/* What runs, and what must come of it. */
static const struct row {
    const char *name;
    const char *text;
    const char *out;                /* NULL: `len` times `fill` */
    const char *err;
    int32_t exit_code;
    lssb_run_options how;
    uint64_t len;
    char fill;
} rows[] = {
    { "output", "echo hello", "hello\n", "", 0, { 0 }, 0, 0 },
    { "both streams", "echo o; echo e >&2; exit 3", "o\n", "e\n", 3, { 0 }, 0,
      0 },
    { "the highest exit code", "exit 255", "", "", 255, { 0 }, 0, 0 },
    { "a signal", "kill -9 $$", "", "", 137, { 0 }, 0, 0 },
    { "nothing", "true", "", "", 0, { 0 }, 0, 0 },
    { "no newline", "printf abc", "abc", "", 0, { 0 }, 0, 0 },
    { "characters of 2, 3 and 4 bytes", "printf '\xc3\xa4\xe2\x82\xac"
      "\xf0\x9f\x98\x80'", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "", 0,
      { 0 }, 0, 0 },
    { "what JSON escapes", "printf '\\001\\t\"\\\\\\r\\n\\177/'",
      "\x01\t\"\\\r\n\x7f/", "", 0, { 0 }, 0, 0 },
    { "U+2028 and a BOM", "printf '\\342\\200\\250\\357\\273\\277'",
      "\xe2\x80\xa8\xef\xbb\xbf", "", 0, { 0 }, 0, 0 },
    { "bytes that are no UTF-8", "printf 'a\\377\\300\\200b'",
      "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "b", "", 0, { 0 }, 0, 0 },
    { "a character cut by the end", "printf 'a\\303'", "a\xef\xbf\xbd", "", 0,
      { 0 }, 0, 0 },
    { "a character in three writes",
      "printf '\\342'; sleep 0.05; printf '\\202'; sleep 0.05; printf '\\254'",
      "\xe2\x82\xac", "", 0, { 0 }, 0, 0 },
    { "10 MB on one line", "head -c 10000000 /dev/zero | tr '\\0' x", NULL,
      "", 0, { 0 }, 10000000, 'x' },
    { "10 MB of NULs", "head -c 10000000 /dev/zero", NULL, "", 0, { 0 },
      10000000, '\0' },
    { "an empty stdin", "cat; echo end", "end\n", "", 0, { 0 }, 0, 0 },
    { "stdin from memory", "sort", "\xc3\xa4\n\xe2\x82\xac\n", "", 0,
      { .input = "\xe2\x82\xac\n\xc3\xa4\n", .input_len = 7 }, 0, 0 },
    { "variables", "printf '%s|' \"$A\" \"${EMPTY-unset}\"",
      "\xc3\xa4 \"'$\\||", "", 0, { .env = variables, .env_count = 2 }, 0, 0 },
    { "a directory", "pwd", "/tmp\n", "", 0, { .cwd = "/tmp" }, 0, 0 },
    { "a shell", "echo ${BASH_VERSION-none}", "none\n", "", 0,
      { .shell = "/bin/sh" }, 0, 0 },
    { "a user", "id -u; id -g", "65534\n65534\n", "", 0,
      { .as_user = "65534:65534" }, 0, 0 },
    { "a user with all", "id -u; pwd; echo \"$A\"",
      "65534\n/tmp\n\xc3\xa4 \"'$\\\n", "", 0, { .as_user = "65534:65534",
      .cwd = "/tmp", .env = variables, .env_count = 2 }, 0, 0 },
    { "no limit of time", "echo x", "x\n", "", 0,
      { .timeout_s = LSSB_NO_LIMIT }, 0, 0 },
    { "a child that keeps the output open", "sleep 20 & echo first",
      "first\n", "", 0, { 0 }, 0, 0 },
    { "many small writes", "for i in {1..400}; do echo -n $((i % 10)); done",
      NULL, "", 0, { 0 }, 400, '\0' },
};

static void check_row(const struct row *row, const struct job *job)
{
    test_row = row->name;
    EXPECT_INT(job->op.status, LSSB_OK);
    EXPECT_INT(job->result.exit_code, row->exit_code);
    if (row->out != NULL)
        EXPECT_STR(job->out.text, row->out);
    else
        EXPECT_INT(job->out.len, row->len);
    EXPECT_INT(job->out.others, 0);
    EXPECT_INT(job->result.out_len, job->out.len);
    EXPECT_STR(job->err.text, row->err);
    EXPECT_INT(job->result.err_len, job->err.len);
    EXPECT_INT(job->result.reattached, 0);
    EXPECT_INT(job->out.lost + job->err.lost, 0);
    if (job->op.status != LSSB_OK)
        printf("  %s\n", job->error.message);
}

static void silence_for_longer_than_pings_is_no_loss(void)
{
    struct job *job = job_new();

    job->how.ping_ms = 300;
    job_run(job, &box, "sleep 1.5; echo x");
    job_wait(job);
    EXPECT_STR(job->out.text, "x\n");
    EXPECT_INT(job->result.reattached, 0);
    free(job);
}

/* All at once, on one client. */
static void every_command_comes_to_what_it_should(void)
{
    struct job *jobs[COUNT(rows)];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        jobs[i] = job_new();
        jobs[i]->how = rows[i].how;
        jobs[i]->how.on_out = take_out;
        jobs[i]->how.on_err = take_err;
        jobs[i]->how.user = jobs[i];
        jobs[i]->out.fill = rows[i].fill;
        job_run(jobs[i], &box, rows[i].text);
    }
    EXPECT_INT(lssb_wait(client, NULL, LIMIT_MS), LSSB_OK);
    for (i = 0; i < COUNT(rows); i++) {
        check_row(&rows[i], jobs[i]);
        free(jobs[i]);
    }
}

static void a_hundred_commands_share_the_slots_that_there_are(void)
{
    static const char text[] = "echo $N; echo $N >&2; exit $N";
    static struct job *jobs[100];
    static char numbers[100][4];
    static lssb_pair env[100];
    char line[8];
    int i;

    for (i = 0; i < 100; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%d", i);
        env[i].name = "N";
        env[i].value = numbers[i];
        jobs[i] = job_new();
        jobs[i]->how.env = &env[i];
        jobs[i]->how.env_count = 1;
        job_run(jobs[i], &box, text);
    }
    EXPECT_INT(lssb_wait(client, NULL, LIMIT_MS), LSSB_OK);
    for (i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        EXPECT_INT(jobs[i]->op.status, LSSB_OK);
        EXPECT_INT(jobs[i]->result.exit_code, i);
        EXPECT_STR(jobs[i]->out.text, line);
        EXPECT_STR(jobs[i]->err.text, line);
        free(jobs[i]);
    }
}

/* ----------------------------------------------------------------- input -- */

static void a_conversation_goes_line_by_line(void)
{
    struct job *job = job_pulled();
    char line[32], answer[32];
    int i;

    job->how.open_stdin = true;
    job_start(job, &box, "while read -r x; do echo \"[$x]\"; done; exit 4");
    for (i = 0; i < 20; i++) {
        snprintf(line, sizeof line, "line \xe2\x82\xac %d\n", i);
        snprintf(answer, sizeof answer, "[line \xe2\x82\xac %d]\n", i);
        job_say(job, line);
        job->out.kept = 0;
        job->out.text[0] = '\0';
        job_until(job, answer);
        EXPECT_STR(job->out.text, answer);
    }
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_OK);
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_OK);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_INT(job->command.exit_code, 4);
    job_end(job);
}

static void ten_megabytes_of_input_arrive_whole(void)
{
    static char block[65536];
    struct job *job = job_pulled();
    char expected[64];
    size_t i;

    ask("yes '0123456789abcde' | head -c 10485760 | cksum", expected,
        sizeof expected);
    for (i = 0; i < sizeof block; i++)
        block[i] = "0123456789abcde\n"[i % 16];
    job->how.open_stdin = true;
    job_start(job, &box, "cksum");
    for (i = 0; i < 160; i++)
        job_write(job, block, sizeof block);
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_OK);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    job->out.text[strcspn(job->out.text, "\n")] = '\0';
    EXPECT_STR(job->out.text, expected);
    job_end(job);
}

static void input_that_nobody_reads_yet_waits(void)
{
    static char block[1 << 20];
    struct job *job = job_pulled();

    memset(block, 'i', sizeof block);
    job->how.open_stdin = true;
    job_start(job, &box, "echo up; read -n 1 x </dev/null; sleep 0.3; wc -c");
    job_until(job, "up");
    job_write(job, block, sizeof block);
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_OK);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_STR(job->out.text, "up\n1048576\n");
    job_end(job);
}

/* ------------------------------------------------------------------ kill -- */

static void a_kill_ends_the_command_and_all_that_it_started(void)
{
    struct job *job = job_pulled();
    char text[256], out[16];

    job->how.open_stdin = true;
    snprintf(text, sizeof text,
             "exec 9>/tmp/%s-kill; flock 9; trap '' TERM; sleep 300 & "
             "echo up; wait", own);
    job_start(job, &box, text);
    job_until(job, "up");
    EXPECT_INT(lssb_command_kill(&job->command), LSSB_OK);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_INT(job->command.exit_code, 137);
    job_end(job);
    snprintf(text, sizeof text, "flock /tmp/%s-kill echo free", own);
    ask(text, out, sizeof out);
    EXPECT_STR(out, "free");
}

static void *kill_some(void *commands)
{
    struct job **jobs = commands;
    int i;

    for (i = 0; i < 30; i += 3)
        lssb_post_kill(&jobs[i]->command);
    return NULL;
}

static void another_thread_kills_ten_of_thirty(void)
{
    static struct job *jobs[30];
    pthread_t thread;
    int i;

    for (i = 0; i < 30; i++) {
        jobs[i] = job_pulled();
        jobs[i]->how.open_stdin = true;
        job_start(jobs[i], &box, "read x; exit 5");
    }
    EXPECT_INT(pthread_create(&thread, NULL, kill_some, jobs), 0);
    for (i = 0; i < 30; i += 3) {
        EXPECT_INT(job_until(jobs[i], NULL), LSSB_END);
        EXPECT_INT(jobs[i]->command.exit_code, 137);
    }
    pthread_join(thread, NULL);
    for (i = 0; i < 30; i++) {
        if (i % 3 != 0) {
            job_say(jobs[i], "\n");
            EXPECT_INT(job_until(jobs[i], NULL), LSSB_END);
            EXPECT_INT(jobs[i]->command.exit_code, 5);
        }
        job_end(jobs[i]);
    }
}

/* ----------------------------------------------------------- coming back -- */

static void another_client_comes_back_by_id_and_offsets(void)
{
    struct job *job = job_pulled(), *again = job_pulled();
    lssb_client *first = client, *second;
    lssb_sandbox other = box;
    char id[LSSB_ID_SIZE];
    uint64_t at;

    job->how.open_stdin = true;
    job_start(job, &box, "echo \xc3\xb6ne; echo e >&2; read x; "
                         "echo \"two $x\"; exit 6");
    job_until(job, "ne\n");
    at = job->command.out_offset;
    EXPECT_INT(at, 5);
    strcpy(id, job->command.id);
    job_end(job);
    EXPECT_INT(lssb_open(&second, NULL), LSSB_OK);
    client = other.client = second;
    again->how.open_stdin = true;
    EXPECT_INT(lssb_command_reattach(&again->command, &other, id, at, 0,
                                     &again->how, &again->op), LSSB_PENDING);
    job_wait(again);
    again->out.len = at;
    job_say(again, "answer\n");
    EXPECT_INT(job_until(again, NULL), LSSB_END);
    EXPECT_STR(again->out.text, "two answer\n");
    EXPECT_STR(again->err.text, "e\n");
    EXPECT_INT(again->command.exit_code, 6);
    job_end(again);
    EXPECT_INT(lssb_close(second, NULL), LSSB_OK);
    client = first;
}

static void one_that_has_ended_is_told_again_from_any_offset(void)
{
    static const struct {
        const char *name;
        uint64_t out;
        uint64_t err;
        const char *out_text;
        const char *err_text;
    } offsets[] = {
        { "all", 0, 0, "abc\xc3\xa9", "err" },
        { "some", 1, 2, "bc\xc3\xa9", "r" },
        { "a character", 3, 3, "\xc3\xa9", "" },
        { "nothing", 5, 3, "", "" },
    };
    struct job *job = job_new();
    size_t i;

    job_run(job, &box, "printf abc\xc3\xa9; printf err >&2; exit 9");
    job_wait(job);
    for (i = 0; i < COUNT(offsets); i++) {
        struct job *again = job_pulled();

        test_row = offsets[i].name;
        lssb_command_reattach(&again->command, &box, job->result.command_id,
                              offsets[i].out, offsets[i].err, &again->how,
                              &again->op);
        job_wait(again);
        again->out.len = offsets[i].out;
        again->err.len = offsets[i].err;
        EXPECT_INT(job_until(again, NULL), LSSB_END);
        EXPECT_STR(again->out.text, offsets[i].out_text);
        EXPECT_STR(again->err.text, offsets[i].err_text);
        EXPECT_INT(again->command.exit_code, 9);
        job_end(again);
    }
    free(job);
}

static void the_same_id_is_the_same_command_and_runs_once(void)
{
    struct job *jobs[4];
    char id[64], text[160];
    size_t i;

    snprintf(id, sizeof id, "%s-once", own);
    snprintf(text, sizeof text, "echo x >>/tmp/%s; cat /tmp/%s; exit 3", id,
             id);
    for (i = 0; i < 4; i++) {
        jobs[i] = job_new();
        jobs[i]->how.command_id = id;
        job_run(jobs[i], &box, text);
        if (i == 0)
            job_wait(jobs[i]);
    }
    for (i = 0; i < 4; i++) {
        job_wait(jobs[i]);
        EXPECT_STR(jobs[i]->out.text, "x\n");
        EXPECT_INT(jobs[i]->result.exit_code, 3);
        EXPECT_STR(jobs[i]->result.command_id, id);
        free(jobs[i]);
    }
}

static void an_id_that_nobody_knows_is_told_apart(void)
{
    struct job *job = job_pulled();
    lssb_status status;

    status = lssb_command_reattach(&job->command, &box, "no-such-id", 0, 0,
                                   &job->how, NULL);
    EXPECT_INT(status, LSSB_E_OPERATION);
    EXPECT_STR(lssb_last_error(client)->type, "CommandNotFound");
    EXPECT_STR(lssb_last_error(client)->operation, "reconnect");
    job_end(job);
}

static void one_that_has_ended_is_forgotten_after_its_time(void)
{
    struct job *job = job_new();
    lssb_status status = LSSB_OK;
    int tries = 0;

    job->how.keep_s = 1;
    job_run(job, &box, "echo x");
    job_wait(job);
    while (status == LSSB_OK && tries++ < 2000) {
        lssb_chunk chunk;
        lssb_command again;

        memset(&again, 0, sizeof again);
        status = lssb_command_reattach(&again, &box, job->result.command_id, 0,
                                       0, NULL, NULL);
        while (status == LSSB_OK &&
               lssb_command_next(&again, &chunk, LIMIT_MS) == LSSB_OK)
            ;
        if (status == LSSB_OK)
            poll(NULL, 0, 5);
        lssb_command_close(&again, NULL);
    }
    EXPECT_INT(status, LSSB_E_OPERATION);
    free(job);
}

/* ---------------------------------------------------------------- limits -- */

static void one_that_takes_too_long_is_killed_and_what_it_wrote_is_kept(void)
{
    struct job *job = job_new();

    job->how.timeout_s = 1;
    job_run(job, &box, "echo begun; sleep 300");
    lssb_wait(client, &job->op, LIMIT_MS);
    EXPECT_INT(job->op.status, LSSB_E_COMMAND_TIMEOUT);
    EXPECT_STR(job->error.type, "CommandTimeout");
    EXPECT_STR(job->out.text, "begun\n");
    free(job);
}

/* Leaves a command that holds a lock; it must be killed for that. */
static void left_alone(struct job *job, const char *name)
{
    char text[256], out[16], id[LSSB_ID_SIZE];
    struct job *again = job_pulled();

    job->how.open_stdin = true;
    snprintf(text, sizeof text, "exec 9>/tmp/%s-%s; flock 9; echo up; sleep "
                                "300", own, name);
    job_start(job, &box, text);
    job_until(job, "up");
    strcpy(id, job->command.id);
    job_end(job);
    snprintf(text, sizeof text, "flock /tmp/%s-%s echo free", own, name);
    ask(text, out, sizeof out);
    EXPECT_STR(out, "free");
    EXPECT_INT(lssb_command_reattach(&again->command, &box, id, 0, 0,
                                     &again->how, NULL), LSSB_OK);
    EXPECT_INT(job_until(again, NULL), LSSB_END);
    EXPECT_INT(again->command.exit_code, 137);
    job_end(again);
}

static void one_that_nobody_follows_is_killed_after_its_idle_timeout(void)
{
    struct job *job = job_pulled();

    job->how.idle_timeout_s = 1;
    left_alone(job, "idle");
}

static void one_that_asks_for_it_is_killed_when_its_client_leaves(void)
{
    struct job *job = job_pulled();

    job->how.kill_on_disconnect = true;
    left_alone(job, "leave");
}

static void a_command_that_cannot_run_is_an_error_of_the_command(void)
{
    struct job *job = job_new();

    job->how.as_user = "no-such-user-here";
    job_run(job, &box, "true");
    lssb_wait(client, &job->op, LIMIT_MS);
    EXPECT_INT(job->op.status, LSSB_E_OPERATION);
    EXPECT_STR(job->error.operation, "command");
    free(job);
}

static void without_the_key_the_upgrade_is_refused(void)
{
    lssb_client *stranger;
    lssb_config config;
    lssb_sandbox other = box;
    lssb_result result;

    memset(&config, 0, sizeof config);
    config.api_key = "wrong";
    EXPECT_INT(lssb_open(&stranger, &config), LSSB_OK);
    other.client = stranger;
    EXPECT_INT(lssb_run(&other, "true", NULL, &result, NULL), LSSB_E_AUTH);
    lssb_close(stranger, NULL);
}

static void elsewhere_the_upgrade_is_refused_for_good(void)
{
    lssb_sandbox other = box;
    lssb_result result;

    strcat(other.dataplane_url, "-not");
    EXPECT_INT(lssb_run(&other, "true", NULL, &result, NULL),
               LSSB_E_CONNECTION);
    EXPECT_INT(lssb_last_error(client)->http_status, 404);
    EXPECT_INT(lssb_last_error(client)->attempts, 1);
}

/* ------------------------------------------------------------- terminals -- */

static void a_terminal_has_a_size_an_echo_and_an_end(void)
{
    struct job *job = job_pulled();

    job->how.pty = true;
    job->how.columns = 91;
    job->how.rows = 33;
    /* The size is sent behind the start: the shell asks when it is told. */
    job_start(job, &box, "echo up; read x; stty size; read x; stty size; "
                         "echo err >&2; cat; exit 5");
    job_until(job, "up\r\n");
    job_say(job, "one\n");
    job_until(job, "33 91\r\n");
    EXPECT_INT(lssb_command_resize(&job->command, 44, 22), LSSB_OK);
    job_say(job, "two\n");
    job_until(job, "22 44\r\n");
    job_until(job, "err\r\n");
    job_say(job, "three\n\004");
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_E_OPERATION);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_INT(job->command.exit_code, 5);
    EXPECT_STR(job->err.text, "");
    EXPECT(strstr(job->out.text, "three\r\nthree\r\n") != NULL);
    job_end(job);
}

static void an_interactive_shell_takes_commands(void)
{
    struct job *job = job_pulled();

    job->how.pty = true;
    job_start(job, &box, NULL);
    job_until(job, geteuid() == 0 ? "# " : "$ ");   /* it has the terminal */
    job_say(job, "echo $((6 * 7))-$-\n");
    job_until(job, "42-");          /* the echo of the input has no 42 */
    job_say(job, "case $- in *i*) exit 3; esac; exit 4\n");
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_INT(job->command.exit_code, 3);
    job_end(job);
}

/* ---------------------------------------------------------- bad networks -- */

#define LINES 60
#define TALK \
    "for i in $(seq 60); do echo \"l\xc3\xadnea $i\"; " \
    "echo \"\xe2\x82\xac $i\" >&2; sleep 0.01; done; exit 6"

static void check_talk(const struct job *job)
{
    char out[TEXT], err[TEXT];
    size_t o = 0, e = 0;
    int i;

    for (i = 1; i <= LINES; i++) {
        o += (size_t)snprintf(out + o, sizeof out - o, "l\xc3\xadnea %d\n", i);
        e += (size_t)snprintf(err + e, sizeof err - e, "\xe2\x82\xac %d\n", i);
    }
    EXPECT_INT(job->op.status, LSSB_OK);
    EXPECT_STR(job->out.text, out);
    EXPECT_STR(job->err.text, err);
    EXPECT_INT(job->result.exit_code, 6);
    EXPECT_INT(job->out.lost + job->err.lost, 0);
    if (job->op.status != LSSB_OK)
        printf("  %s\n", job->error.message);
}

static void output_is_whole_on_a_bad_network(void)
{
    static const struct {
        const char *fault;
        uint32_t ping_ms;
        bool reattached;
    } faults[] = {
        { "cut-down=700", 0, true },    { "cut-down=1000", 0, true },
        { "cut-down=1333", 0, true },   { "reset-down=800", 0, true },
        { "reset-down=1201", 0, true }, { "cut-down=60", 0, false },
        { "reset-down=0", 0, false },   { "cut-up=10", 0, false },
        { "cut-up=0", 0, false },       { "reset-up=300", 0, false },
        { "trickle=5", 0, false },      { "delay=30", 0, false },
        { "rate=30000", 0, false },     { "silent-down=900", 1000, true },
        { "cut-down=900; trickle=3", 0, true },
    };
    struct job *jobs[COUNT(faults)];
    static char names[COUNT(faults)][96];
    static lssb_sandbox where[COUNT(faults)];
    size_t i;

    for (i = 0; i < COUNT(faults); i++) {
        jobs[i] = job_new();
        fault_name(names[i], sizeof names[i], faults[i].fault);
        where[i] = relayed(jobs[i], names[i]);
        jobs[i]->how.ping_ms = faults[i].ping_ms;
        job_run(jobs[i], &where[i], TALK);
    }
    EXPECT_INT(lssb_wait(client, NULL, LIMIT_MS), LSSB_OK);
    for (i = 0; i < COUNT(faults); i++) {
        test_row = faults[i].fault;
        check_talk(jobs[i]);
        EXPECT_INT(jobs[i]->result.reattached > 0, faults[i].reattached);
        free(jobs[i]);
    }
}

static void a_network_that_falls_silent_is_noticed_by_its_pongs(void)
{
    static const char *const faults[] = { "silent-up=660", "silent-down=330" };
    size_t i;

    for (i = 0; i < COUNT(faults); i++) {
        struct job *job = job_pulled();
        lssb_chunk chunk;
        lssb_sandbox where;
        lssb_status status = LSSB_AGAIN;
        char fault[96];

        test_row = faults[i];
        fault_name(fault, sizeof fault, faults[i]);
        where = relayed(job, fault);
        job->how.open_stdin = true;
        job->how.ping_ms = 500;
        job_start(job, &where, "read x; echo \"got $x\"");
        while (status == LSSB_AGAIN &&
               (job->command.reattached == 0 || !job->command.attached))
            status = lssb_command_next(&job->command, &chunk, 20);
        job_say(job, "it\n");
        EXPECT_INT(job_until(job, NULL), LSSB_END);
        EXPECT_STR(job->out.text, "got it\n");
        job_end(job);
    }
}

static void input_goes_on_over_the_next_connection(void)
{
    struct job *job = job_pulled();
    char fault[96];
    lssb_sandbox where;

    fault_name(fault, sizeof fault, "cut-down=1500");
    where = relayed(job, fault);
    job->how.open_stdin = true;
    job_start(job, &where, "seq 1000; read x; echo \"got $x\"; cat; exit 2");
    job_until(job, "1000\n");
    EXPECT_INT(job->command.reattached, 1);
    job_say(job, "this\n");
    job_until(job, "got this\n");
    EXPECT_INT(lssb_command_close_stdin(&job->command), LSSB_OK);
    EXPECT_INT(job_until(job, NULL), LSSB_END);
    EXPECT_INT(job->command.exit_code, 2);
    job_end(job);
}

static void bytes_that_are_no_text_stay_whole_over_a_cut(void)
{
    struct job *job = job_new();
    char fault[96];
    lssb_sandbox where;
    size_t i, bad = 0;

    fault_name(fault, sizeof fault, "cut-down=1500");
    where = relayed(job, fault);
    job_run(job, &where,
            "for i in {1..100}; do printf '<\\377\\200>'; sleep 0.005; done");
    job_wait(job);
    EXPECT_INT(job->result.out_len, 800);
    for (i = 0; i + 8 <= job->out.kept; i += 8)
        bad += memcmp(job->out.text + i, "<\xef\xbf\xbd\xef\xbf\xbd>", 8) != 0;
    EXPECT_INT(bad, 0);
    EXPECT_INT(job->result.reattached, 1);
    free(job);
}

static void a_reload_of_the_server_loses_nothing(void)
{
    struct job *jobs[10], *quiet = job_pulled();
    uint32_t reattached = 0;
    int round, i;

    quiet->how.open_stdin = true;
    job_start(quiet, &box, "read x; echo \"$x\"");
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 10; i++) {
            jobs[i] = job_new();
            job_run(jobs[i], &box, TALK);
        }
        for (i = 0; i < 10; i++) {
            while (jobs[i]->out.kept == 0 &&
                   jobs[i]->op.status == LSSB_PENDING)
                lssb_wait(client, &jobs[i]->op, 10);
        }
        reload();
        for (i = 0; i < 10; i++) {
            job_wait(jobs[i]);
            check_talk(jobs[i]);
            reattached += jobs[i]->result.reattached;
            free(jobs[i]);
        }
    }
    EXPECT(reattached > 0);
    job_say(quiet, "patient\n");
    EXPECT_INT(job_until(quiet, NULL), LSSB_END);
    EXPECT_STR(quiet->out.text, "patient\n");
    EXPECT_INT(quiet->command.reattached, 3);
    job_end(quiet);
}

static void a_server_that_is_not_there_is_given_up(void)
{
    struct job *job = job_new();
    lssb_sandbox other = box;

    strcpy(other.dataplane_url, "http://127.0.0.1:1/dp");
    job->how.open_ms = 700;
    job_run(job, &other, "true");
    lssb_wait(client, &job->op, LIMIT_MS);
    EXPECT_INT(job->op.status, LSSB_E_CONNECT_TIMEOUT);
    EXPECT_INT(job->error.attempts, 2);
    free(job);
}

/* ------------------------------------------------------------------ gaps -- */

static void what_the_ring_has_dropped_is_reported(void)
{
    struct job *job = job_new();
    struct job *again = job_pulled();
    uint64_t len = 100000;

    job_run(job, &box, "head -c 100000 /dev/zero | tr '\\0' g; printf e >&2");
    job_wait(job);
    EXPECT_INT(job->out.len + job->out.lost, len);
    EXPECT_INT(job->result.out_lost, job->out.lost);
    lssb_command_reattach(&again->command, &box, job->result.command_id, 0, 0,
                          &again->how, &again->op);
    job_wait(again);
    EXPECT_INT(job_until(again, NULL), LSSB_END);
    EXPECT_INT(again->out.len + again->command.out_lost, len);
    EXPECT(again->command.out_lost >= len - 4096);
    EXPECT_INT(again->command.err_lost, 0);
    EXPECT_STR(again->err.text, "e");
    job_end(again);
    free(job);
}

static const struct test gaps[] = {
    TEST(what_the_ring_has_dropped_is_reported),
};

static const struct test tests[] = {
    TEST(every_command_comes_to_what_it_should),
    TEST(silence_for_longer_than_pings_is_no_loss),
    TEST(a_hundred_commands_share_the_slots_that_there_are),
    TEST(a_conversation_goes_line_by_line),
    TEST(ten_megabytes_of_input_arrive_whole),
    TEST(input_that_nobody_reads_yet_waits),
    TEST(a_kill_ends_the_command_and_all_that_it_started),
    TEST(another_thread_kills_ten_of_thirty),
    TEST(another_client_comes_back_by_id_and_offsets),
    TEST(one_that_has_ended_is_told_again_from_any_offset),
    TEST(the_same_id_is_the_same_command_and_runs_once),
    TEST(an_id_that_nobody_knows_is_told_apart),
    TEST(one_that_has_ended_is_forgotten_after_its_time),
    TEST(one_that_takes_too_long_is_killed_and_what_it_wrote_is_kept),
    TEST(one_that_nobody_follows_is_killed_after_its_idle_timeout),
    TEST(one_that_asks_for_it_is_killed_when_its_client_leaves),
    TEST(a_command_that_cannot_run_is_an_error_of_the_command),
    TEST(without_the_key_the_upgrade_is_refused),
    TEST(elsewhere_the_upgrade_is_refused_for_good),
    TEST(output_is_whole_on_a_bad_network),
    TEST(a_network_that_falls_silent_is_noticed_by_its_pongs),
    TEST(input_goes_on_over_the_next_connection),
    TEST(bytes_that_are_no_text_stay_whole_over_a_cut),
    TEST(a_reload_of_the_server_loses_nothing),
    TEST(a_server_that_is_not_there_is_given_up),
    TEST(a_terminal_has_a_size_an_echo_and_an_end),     /* with PTY only */
    TEST(an_interactive_shell_takes_commands),
};

#define TERMINALS 2                 /* the last so many of them */

int main(int argc, char **argv)
{
    lssb_config config;
    int failed;

    memset(&config, 0, sizeof config);
    config.slots = SLOTS;
    snprintf(own, sizeof own, "c-%ld", (long)getpid());
    if (lssb_open(&client, &config) != LSSB_OK ||
        lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK) {
        printf("%s\n0 passed, 1 failed\n", lssb_error_text(client));
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "gaps") == 0)
        failed = TEST_MAIN(gaps);
    else
        failed = test_main(tests, COUNT(tests) - (getenv("PTY") != NULL
                                                      ? 0
                                                      : TERMINALS));
    lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return failed;
}
