/* stream.c: a command's output as it comes, and its end.
 *
 * SPDX-License-Identifier: MIT
 *
 *     stream 'make -j4 && ./run-tests'
 *
 * runs the command in a sandbox of its own, writes its stdout to stdout and
 * its stderr to stderr, piece by piece, and exits with its code. Ctrl-C kills
 * the command, and its exit code still comes. Lost connections are replaced;
 * a line on stderr says when output was lost with one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

static lssb_command command;

/* Ctrl-C: lssb_post_kill may be called from a signal handler. */
static void interrupted(int number)
{
    (void)number;
    lssb_post_kill(&command);
}

/* Copies the output until the command has ended; LSSB_END if it did so in
 * order. */
static lssb_status follow(void)
{
    lssb_chunk chunk;
    lssb_status status;

    while ((status = lssb_command_next(&command, &chunk, LSSB_FOREVER)) ==
           LSSB_OK) {
        FILE *to = chunk.stream == LSSB_STDERR ? stderr : stdout;

        if (chunk.lost > 0)
            fprintf(stderr, "[%llu bytes were lost here]\n",
                    (unsigned long long)chunk.lost);
        fwrite(chunk.bytes, 1, chunk.len, to);
        fflush(to);
    }
    return status;
}

/* Runs the command in a box; returns what the program returns. */
static int run(const lssb_sandbox *box, const char *text)
{
    lssb_run_options how = { 0 };
    lssb_error why = { 0 };
    int code = 1;

    how.timeout_s = LSSB_NO_LIMIT;
    how.kill_on_disconnect = false; /* a lost connection is not the end */
    how.error = &why;
    if (lssb_command_start(&command, box, text, &how, NULL) != LSSB_OK) {
        fprintf(stderr, "%s\n", lssb_error_text(box->client));
        return 1;
    }
    signal(SIGINT, interrupted);
    if (follow() == LSSB_END)
        code = command.exit_code;
    else
        fprintf(stderr, "%s\n", why.message);
    signal(SIGINT, SIG_DFL);
    lssb_command_close(&command, NULL);
    return code;
}

int main(int argc, char **argv)
{
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box = { 0 };
    lssb_error why;
    int code = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s COMMAND\n", argv[0]);
        return 2;
    }
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK)
        code = run(&box, argv[1]);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (box.name[0] != '\0')
        lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return code;
}
