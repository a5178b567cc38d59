/* cuts.c: the connection of a command is cut at every byte.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: cuts [STEP]. A session is recorded through a relay (badnet.c): a
 * command writes text that is not ASCII to both streams, asks, gets an answer,
 * writes more and ends. Then as many sessions run as it has bytes in both
 * directions, hundreds at a time, and the Nth is cut, or reset, behind byte N
 * (with a STEP, every so many bytes only). Each must end in time with exactly
 * that output and that exit code, and each command must have run once.
 *
 * LANGSMITH_ENDPOINT and LANGSMITH_API_KEY say where the server is, RELAY is
 * the port of the relay before it, RELAY_LOG the file of its log.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lssb.h"

#define GROUP 128                   /* sessions at a time */
#define LATE_MS 60000               /* for one, on a machine that is busy */
#define REPORTS 20                  /* failures that are described */

static const char expected_out[] =
    "d\xc3\xa9" "but \xe2\x82\xac \xf0\x9f\x98\x80\n"
    "re\xc3\xa7u: r\xc3\xa9ponse\n"
    "l\xc3\xadnea 1\nl\xc3\xadnea 2\nl\xc3\xadnea 3\n";
static const char expected_err[] =
    "erreur \xe2\x82\xac\n"
    "\xe2\x82\xac 1\n\xe2\x82\xac 2\n\xe2\x82\xac 3\nfin \xc3\xb1\n";
static const char answer[] = "r\xc3\xa9ponse\n";

struct session {
    bool used;
    bool closing;
    char fault[48];
    char text[400];
    lssb_op op;
    lssb_op close_op;
    lssb_pair header;
    lssb_run_options how;
    lssb_error error;
    lssb_command command;
    uint32_t answered;              /* connections that the answer went to, */
    bool answered_once;             /* after the first */
    char out[256];
    char err[256];
    size_t out_len;
    size_t err_len;
    uint64_t begun_ms;
};

static struct session sessions[GROUP];
static lssb_client *client;
static lssb_sandbox box;
static char folder[32];
static unsigned failures;
static uint64_t slowest_ms;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void report(const struct session *s, const char *what,
                   const char *detail)
{
    if (failures++ < REPORTS)
        printf("  %s: %s %s\n", s->fault, what, detail);
}

/* ---------------------------------------------------------------- sessions */

/* Starts a session with that fault. */
static void session_start(struct session *s, const char *fault, unsigned id)
{
    lssb_status status;

    memset(s, 0, sizeof *s);
    s->used = true;
    s->begun_ms = now_ms();
    snprintf(s->fault, sizeof s->fault, "%s; id=%05u", fault, id);
    snprintf(s->text, sizeof s->text,
             "echo x >>%s/%05u; echo 'd\xc3\xa9" "but \xe2\x82\xac "
             "\xf0\x9f\x98\x80'; echo 'erreur \xe2\x82\xac' >&2; read -r x; "
             "echo \"re\xc3\xa7u: $x\"; for i in 1 2 3; do "
             "echo \"l\xc3\xadnea $i\"; echo \"\xe2\x82\xac $i\" >&2; done; "
             "echo 'fin \xc3\xb1' >&2; exit 7", folder, id);
    s->header.name = "X-Badnet";
    s->header.value = s->fault;
    s->op.headers = &s->header;
    s->op.header_count = 1;
    s->op.error = &s->error;
    s->how.open_stdin = true;
    s->how.error = &s->error;
    s->how.keep_s = 120;
    status = lssb_command_start(&s->command, &box, s->text, &s->how, &s->op);
    if (status != LSSB_PENDING)
        report(s, "start:", lssb_status_name(status));
}

/* Adds a piece of output. */
static void session_take(struct session *s, const lssb_chunk *chunk)
{
    bool out = chunk->stream == LSSB_STDOUT;
    char *to = out ? s->out : s->err;
    size_t *len = out ? &s->out_len : &s->err_len;
    size_t part = chunk->len;

    if (chunk->lost > 0)
        report(s, "a gap in", out ? "stdout" : "stderr");
    if (chunk->offset != *len)
        report(s, "a wrong offset in", out ? "stdout" : "stderr");
    if (part > sizeof s->out - 1 - *len)
        part = sizeof s->out - 1 - *len;
    memcpy(to + *len, chunk->bytes, part);
    *len += part;
}

/* Answers, and again on every new connection: nobody knows whether the first
 * answer arrived, and the command reads one line only. */
static void session_answer(struct session *s)
{
    size_t taken = 0;

    if (!s->command.attached || s->command.status != LSSB_PENDING ||
        (s->answered_once && s->answered == s->command.reattached))
        return;
    if (lssb_command_write(&s->command, answer, sizeof answer - 1, &taken,
                           0) == LSSB_OK && taken == sizeof answer - 1) {
        s->answered_once = true;
        s->answered = s->command.reattached;
    }
}

/* Checks a session that has ended, and lets go of it. */
static void session_end(struct session *s, lssb_status status)
{
    if (status != LSSB_END)
        report(s, lssb_status_name(status), s->error.message);
    else if (s->command.exit_code != 7)
        report(s, "a wrong exit code", "");
    if (strcmp(s->out, expected_out) != 0)
        report(s, "stdout is", s->out);
    if (strcmp(s->err, expected_err) != 0)
        report(s, "stderr is", s->err);
    if (now_ms() - s->begun_ms > slowest_ms)
        slowest_ms = now_ms() - s->begun_ms;
    if (now_ms() - s->begun_ms > LATE_MS)
        report(s, "it took too long", "");
    s->closing = true;
    lssb_command_close(&s->command, &s->close_op);
}

/* Goes on with a session; false when it is over. */
static bool session_step(struct session *s)
{
    lssb_chunk chunk;
    lssb_status status;

    if (s->closing)
        return s->close_op.status == LSSB_PENDING;
    if (s->op.status == LSSB_PENDING)
        return true;
    if (s->op.status != LSSB_OK) {
        session_end(s, s->op.status);
        return true;
    }
    while ((status = lssb_command_next(&s->command, &chunk, 0)) == LSSB_OK)
        session_take(s, &chunk);
    if (status == LSSB_AGAIN)
        session_answer(s);
    else
        session_end(s, status);
    return true;
}

/* Sleeps until something happens, or so long, and lets the client work. */
static void turn(uint32_t most_ms)
{
    static lssb_socket list[2 * GROUP + 1];
    static struct pollfd polls[2 * GROUP + 1];
    uint32_t timeout_ms;
    size_t count = lssb_sockets(client, list, 2 * GROUP + 1, &timeout_ms), i;

    for (i = 0; i < count; i++) {
        polls[i].fd = (int)list[i].handle;
        polls[i].events = (short)((list[i].read ? POLLIN : 0) |
                                  (list[i].write ? POLLOUT : 0));
    }
    poll(polls, (nfds_t)count,
         (int)(timeout_ms > most_ms ? most_ms : timeout_ms));
    while (lssb_step(client) == LSSB_OK)
        ;
}

/* -------------------------------------------------------------- the relay */

/* Counts the log's lines with that end; `up` and `down` get the last one's. */
static unsigned log_count(const char *end, unsigned *up, unsigned *down)
{
    FILE *file = fopen(getenv("RELAY_LOG"), "r");
    char line[256], word[32];
    unsigned count = 0, number, u, d;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "{\"connection\":%u,\"up\":%u,\"down\":%u,"
                         "\"end\":\"%31[^\"]", &number, &u, &d, word) != 4 ||
            strcmp(word, end) != 0)
            continue;
        count++;
        *up = u;
        *down = d;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

/* Runs one session without a fault: how many bytes go up, and down. */
static bool record(unsigned *up, unsigned *down)
{
    session_start(&sessions[0], "delay=0000", 0);
    while (session_step(&sessions[0]))
        turn(1000);
    /* The connection says goodbye behind the end of the session. */
    while (failures == 0 && log_count("peers", up, down) == 0)
        turn(5);
    return failures == 0;
}

/* ---------------------------------------------------------------- the test */

/* The fault of the Nth session; false when there is none any more. */
static bool fault_of(unsigned n, unsigned step, unsigned up, unsigned down,
                     char *fault, size_t size)
{
    static const char *const kinds[] = { "cut-down", "reset-down", "cut-up",
                                         "reset-up" };
    unsigned kind;

    for (kind = 0; kind < 4; kind++) {
        unsigned bytes = kind < 2 ? down : up;
        unsigned count = (bytes + step - 1) / step;

        if (n < count) {
            snprintf(fault, size, "%s=%04u", kinds[kind], n * step);
            return true;
        }
        n -= count;
    }
    return false;
}

/* Runs all of them, a group at a time; returns how many there were. */
static unsigned run_all(unsigned step, unsigned up, unsigned down)
{
    unsigned n = 0, running = 0, i;
    char fault[32];

    do {
        running = 0;
        for (i = 0; i < GROUP; i++) {
            struct session *s = &sessions[i];

            if (s->used && !session_step(s))
                s->used = false;
            if (!s->used &&
                fault_of(n, step, up, down, fault, sizeof fault))
                session_start(s, fault, ++n);
            running += s->used;
        }
        turn(1000);
    } while (running > 0);
    return n;
}

/* Asks the server how often each command ran: `n` of them, once each. */
static void check_once(unsigned n)
{
    lssb_run_options how = { 0 };
    lssb_result result;
    char text[160], out[64], wanted[64];

    how.out = out;
    how.out_size = sizeof out;
    snprintf(text, sizeof text, "cd %s && ls | wc -l && cat * | wc -l; "
                                "rm -r %s", folder, folder);
    snprintf(wanted, sizeof wanted, "%u\n%u\n", n, n);
    if (lssb_run(&box, text, &how, &result, NULL) == LSSB_OK &&
        strcmp(out, wanted) == 0)
        return;
    failures++;
    printf("  files, lines: %s, not %s  %s\n", out, wanted,
           lssb_error_text(client));
}

/* Opens a client, makes a box, and looks at it through the relay. */
static bool prepare(void)
{
    lssb_config config;
    lssb_result result;
    char text[96], url[LSSB_URL_SIZE];
    const char *path;

    memset(&config, 0, sizeof config);
    config.slots = GROUP;
    snprintf(folder, sizeof folder, "/tmp/cuts-%ld", (long)getpid());
    snprintf(text, sizeof text, "mkdir %s && chmod 777 %s", folder, folder);
    if (lssb_open(&client, &config) != LSSB_OK ||
        lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK ||
        lssb_run(&box, text, NULL, &result, NULL) != LSSB_OK)
        return false;
    path = strstr(box.dataplane_url, "://");
    path = path != NULL ? strchr(path + 3, '/') : NULL;
    snprintf(url, sizeof url, "http://127.0.0.1:%s%s", getenv("RELAY"),
             path != NULL ? path : "");
    strcpy(box.dataplane_url, url);
    return true;
}

int main(int argc, char **argv)
{
    unsigned step = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    unsigned up = 0, down = 0, n, cut = 0, u, d;
    uint64_t begun = now_ms();

    if (!prepare() || !record(&up, &down)) {
        printf("%s\n0 passed, 1 failed\n", lssb_error_text(client));
        return 1;
    }
    n = run_all(step, up, down);
    check_once(n + 1);
    cut = log_count("cut-down", &u, &d) + log_count("reset-down", &u, &d) +
          log_count("cut-up", &u, &d) + log_count("reset-up", &u, &d);
    printf("%u sessions of %u bytes up, %u down; %u were cut; %.1f s, the "
           "slowest took %.1f\n", n, up, down, cut,
           (double)(now_ms() - begun) / 1000, (double)slowest_ms / 1000);
    /* Output that comes in fewer messages is shorter than what was recorded. */
    if (cut < n / 2) {
        failures++;
        printf("  too few were cut\n");
    }
    lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    printf("%u passed, %u failed\n", failures == 0, failures);
    return failures > 0;
}
