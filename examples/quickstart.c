/* quickstart.c: a sandbox from its creation to its end.
 *
 * SPDX-License-Identifier: MIT
 *
 * Takes the service from LANGSMITH_ENDPOINT and LANGSMITH_API_KEY; a second
 * way to trust its certificate from LSSB_CA. `make demo` runs it against a
 * sandboxd of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

/* Prints what a step gave, or why it failed; true when it went well. */
static int step(const lssb_client *client, const char *what,
                lssb_status status)
{
    if (status == LSSB_OK) {
        printf("  ok    %s\n", what);
        return 1;
    }
    printf("  FAIL  %s: %s: %s\n", what, lssb_status_name(status),
           lssb_error_text(client));
    return 0;
}

/* Runs a command and shows its output. */
static int run(const lssb_sandbox *box, const char *command)
{
    char out[4096], err[1024];
    lssb_run_options how = { 0 };
    lssb_result result;

    how.out = out;
    how.out_size = sizeof out;
    how.err = err;
    how.err_size = sizeof err;
    printf("  $ %s\n", command);
    if (!step(box->client, "run", lssb_run(box, command, &how, &result, NULL)))
        return 0;
    printf("%s%s  exit code %d\n", out, err, (int)result.exit_code);
    return 1;
}

/* Output as it comes. */
static lssb_status show(void *user, const void *bytes, size_t len)
{
    (void)user;
    fwrite(bytes, 1, len, stdout);
    fflush(stdout);
    return LSSB_OK;
}

/* A command whose output is shown while it runs. Whatever happens to its
 * connection meanwhile: `make demo` cuts it behind the third line. */
static int stream(const lssb_sandbox *box)
{
    lssb_run_options how = { 0 };
    lssb_result result;

    how.on_out = show;
    printf("  $ for i in 1 2 3 4 5; do echo ...; sleep 0.2; done\n");
    if (!step(box->client, "streamed",
              lssb_run(box, "for i in 1 2 3 4 5; do echo \"  line $i of 5\"; "
                            "sleep 0.2; done", &how, &result, NULL)))
        return 0;
    printf("  %u bytes; connections replaced on the way: %u\n",
           (unsigned)result.out_len, (unsigned)result.reattached);
    return result.out_len == 5 * 14;
}

/* A command that asks, and is answered. */
static int answer(const lssb_sandbox *box)
{
    lssb_run_options how = { 0 };
    lssb_command command = { 0 };
    lssb_chunk chunk;
    lssb_status status;
    int asked = 0;

    how.open_stdin = true;
    if (!step(box->client, "start",
              lssb_command_start(&command, box,
                                 "printf '  What is your name? '; "
                                 "read name; echo \"Hello, $name!\"",
                                 &how, NULL)))
        return 0;
    while ((status = lssb_command_next(&command, &chunk, 10000)) == LSSB_OK) {
        fwrite(chunk.bytes, 1, chunk.len, stdout);
        if (!asked++) {
            printf("C\n  ");
            lssb_command_write(&command, "C\n", 2, NULL, 10000);
        }
    }
    lssb_command_close(&command, NULL);
    return status == LSSB_END;
}

/* A command that is killed, and says how it ended. */
static int kill_one(const lssb_sandbox *box)
{
    lssb_command command = { 0 };
    lssb_result result;
    int well;

    printf("  $ sleep 1000\n");
    if (!step(box->client, "start",
              lssb_command_start(&command, box, "sleep 1000", NULL, NULL)))
        return 0;
    lssb_command_kill(&command);
    well = step(box->client, "killed",
                lssb_command_wait(&command, &result, NULL));
    lssb_command_close(&command, NULL);
    if (well)
        printf("  exit code %d\n", (int)result.exit_code);
    return well && result.exit_code != 0;
}

/* Files: written and read back over the wire. */
static int files(const lssb_sandbox *box)
{
    static const char text[] = "print('hello from a file')\n";
    char back[256];
    size_t len;

    if (!step(box->client, "write /tmp/hello.py",
              lssb_file_write(box, "/tmp/hello.py", text, sizeof text - 1,
                              NULL)) ||
        !run(box, "python3 /tmp/hello.py | tee /tmp/out.txt") ||
        !step(box->client, "read /tmp/out.txt",
              lssb_file_read(box, "/tmp/out.txt", back, sizeof back - 1, &len,
                             NULL)))
        return 0;
    back[len] = '\0';
    printf("  %u bytes came back: %s", (unsigned)len, back);
    return 1;
}

/* All sandboxes, two at a time. */
static int list(lssb_client *client)
{
    lssb_sandbox_list walk = { 0 };
    lssb_sandbox page[2];
    size_t count, i;
    lssb_status status;

    while ((status = lssb_sandbox_next(client, &walk, page, 2, &count,
                                       NULL)) == LSSB_OK)
        for (i = 0; i < count; i++)
            printf("  %-24s %-12s %s\n", page[i].name, page[i].status,
                   page[i].created_at);
    return step(client, "list", status == LSSB_END ? LSSB_OK : status);
}

/* What a failure looks like. */
static int failure(lssb_client *client)
{
    lssb_sandbox box;
    lssb_status status =
        lssb_sandbox_get(client, "no-such-sandbox", &box, NULL);
    const lssb_error *error = lssb_last_error(client);

    printf("  %s: %s\n  (layer %s, resource %s, HTTP %d)\n",
           lssb_status_name(status), error->message,
           lssb_layer_name(error->layer), lssb_resource_name(error->resource),
           (int)error->http_status);
    return status == LSSB_E_NOT_FOUND;
}

/* The whole life of one sandbox. */
static int life(lssb_client *client, lssb_sandbox *box)
{
    printf("\nIn the sandbox %s:\n", box->name);
    if (!run(box, "echo 2 + 2 is $((2 + 2)); uname -s") ||
        !run(box, "echo a warning >&2; exit 3") || !files(box))
        return 0;
    printf("\nOutput as it comes:\n");
    if (!stream(box))
        return 0;
    printf("\nA question, answered:\n");
    if (!answer(box))
        return 0;
    printf("\nKilled:\n");
    if (!kill_one(box))
        return 0;
    printf("\nAll sandboxes:\n");
    if (!list(client))
        return 0;
    printf("\nStopped, and started again:\n");
    if (!step(client, "stop", lssb_sandbox_stop(box, NULL)) ||
        !step(client, "start", lssb_sandbox_start(box, 0, NULL)) ||
        !run(box, "cat /tmp/out.txt"))
        return 0;
    printf("\nAn error, shown:\n");
    return failure(client);
}

int main(void)
{
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    int well;

    config.trust.file = getenv("LSSB_CA");
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "cannot open a client: %s\n", why.message);
        return 1;
    }
    printf("Creating a sandbox:\n");
    well = step(client, "create",
                lssb_sandbox_create(client, NULL, &box, NULL));
    if (well) {
        well = life(client, &box);
        printf("\nDeleting it:\n");
        well &= step(client, "delete", lssb_sandbox_delete(&box, NULL));
    }
    lssb_close(client, NULL);
    return !well;
}
