/* command_calls.c: one use of a command each, for compare_ws.mjs, which makes
 * the same with the official JS SDK and compares what a server gets of the two.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: command_calls NAME; LANGSMITH_ENDPOINT, LANGSMITH_API_KEY and
 * DATAPLANE, the URL of the sandbox "box-1", come from the environment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

#define WAIT_MS 20000

static const lssb_pair pairs[] = {
    { "A", "1" }, { "EMPTY", "" }, { "UML", "\xc3\xa4 \"\\\t" }
};

/* What a call is made with. */
static const struct call {
    const char *name;
    const char *text;               /* NULL: comes back to "id-1" */
    lssb_run_options how;
    const char *input;              /* by lssb_command_write */
    bool end;                       /* closes stdin then */
    bool kill;
} calls[] = {
    { "default", "echo hello", { 0 }, NULL, false, false },
    { "escapes", "printf '\"\\\t\n\r\x01\x7f </script> \xe2\x80\xa8 "
      "\xf0\x9f\x98\x80'", { 0 }, NULL, false, false },
    { "every option", "true", { .timeout_s = 5, .shell = "/bin/sh",
      .cwd = "/srv", .env = pairs, .env_count = 3, .command_id = "own-id",
      .idle_timeout_s = 7, .keep_s = 8, .kill_on_disconnect = true }, NULL,
      false, false },
    { "no limits", "true", { .timeout_s = LSSB_NO_LIMIT,
      .idle_timeout_s = LSSB_NEVER, .keep_s = LSSB_NEVER }, NULL, false,
      false },
    { "a user", "true", { .as_user = "nobody" }, NULL, false, false },
    { "a user with all", "true", { .as_user = "1000:1000", .cwd = "/srv",
      .env = pairs, .env_count = 3 }, NULL, false, false },
    { "a terminal", "tty", { .pty = true }, NULL, false, false },
    { "input and its end", "sort", { .open_stdin = true }, "b\n\xc3\xa4\n",
      true, false },
    { "kill", "sleep 9", { .open_stdin = true }, NULL, false, true },
    { "reconnect", NULL, { 0 }, NULL, false, false },
    { "reload", "reload", { 0 }, NULL, false, false },
    { "slash", "true", { 0 }, NULL, false, false },
};

static lssb_status make(const struct call *call, const lssb_sandbox *box)
{
    lssb_command command;
    lssb_chunk chunk;
    lssb_status status;
    size_t taken;

    memset(&command, 0, sizeof command);
    status = call->text != NULL
                 ? lssb_command_start(&command, box, call->text, &call->how,
                                      NULL)
                 : lssb_command_reattach(&command, box, "id-1", 3, 4,
                                         &call->how, NULL);
    if (status == LSSB_OK && call->input != NULL)
        status = lssb_command_write(&command, call->input, strlen(call->input),
                                    &taken, WAIT_MS);
    if (status == LSSB_OK && call->end)
        status = lssb_command_close_stdin(&command);
    if (status == LSSB_OK && call->kill)
        status = lssb_command_kill(&command);
    while (status == LSSB_OK)
        status = lssb_command_next(&command, &chunk, WAIT_MS);
    lssb_command_close(&command, NULL);
    return status;
}

int main(int argc, char **argv)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_status outcome = LSSB_E_INVALID_ARGUMENT;
    size_t i;

    memset(&box, 0, sizeof box);
    if (argc != 2 || lssb_open(&client, NULL) != LSSB_OK)
        return 2;
    box.client = client;
    strcpy(box.name, "box-1");
    snprintf(box.dataplane_url, sizeof box.dataplane_url, "%s%s",
             getenv("DATAPLANE"), strcmp(argv[1], "slash") == 0 ? "/" : "");
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(calls[i].name, argv[1]) == 0)
            outcome = make(&calls[i], &box);
    }
    fprintf(stderr, "%s %s\n", lssb_status_name(outcome),
            lssb_error_text(client));
    lssb_close(client, NULL);
    return outcome != LSSB_END;
}
