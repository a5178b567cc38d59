/* eventloop.c: thirty commands at once from one thread, in a poll() of one's
 * own.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each command is an operation; more of them than the client has connections
 * simply take turns. Where a command's end starts the next thing to do, it
 * does so in its `done`.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lssb.h"

#define COMMANDS 30
#define SLOTS 8
#define SOCKETS (2 * SLOTS + 1)

/* One command and what becomes of it. */
struct job {
    lssb_op op;
    lssb_run_options how;
    lssb_result result;
    char command[64];
    char out[64];
    int *left;
};

/* Called when a command has ended, from lssb_step. */
static void job_done(lssb_op *op)
{
    struct job *job = op->user;

    if (op->status == LSSB_OK)
        printf("  %-28s %s", job->command, job->out);
    else
        printf("  %-28s %s\n", job->command, lssb_status_name(op->status));
    --*job->left;
}

/* Starts command number `i`. */
static lssb_status job_start(struct job *job, const lssb_sandbox *box, int i,
                             int *left)
{
    memset(job, 0, sizeof *job);
    snprintf(job->command, sizeof job->command,
             "sleep 0.%d; echo number %d", i % 10, i);
    job->how.out = job->out;
    job->how.out_size = sizeof job->out;
    job->left = left;
    job->op.user = job;
    job->op.done = job_done;
    return lssb_run(box, job->command, &job->how, &job->result, &job->op);
}

/* The loop: sockets of the client, and whatever else a program waits for. */
static void loop(lssb_client *client, const int *left)
{
    while (*left > 0) {
        lssb_socket sockets[SOCKETS];
        struct pollfd polls[SOCKETS];
        uint32_t timeout_ms;
        size_t count =
            lssb_sockets(client, sockets, SOCKETS, &timeout_ms), i;

        for (i = 0; i < count; i++) {
            polls[i].fd = (int)sockets[i].handle;
            polls[i].events = (short)((sockets[i].read ? POLLIN : 0) |
                                      (sockets[i].write ? POLLOUT : 0));
            polls[i].revents = 0;
        }
        poll(polls, (nfds_t)count,
             timeout_ms > 60000 ? 60000 : (int)timeout_ms);
        lssb_step(client);
    }
}

int main(void)
{
    static struct job jobs[COMMANDS];
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    int left = 0, i;

    config.slots = SLOTS;
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    if (lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK) {
        fprintf(stderr, "%s\n", lssb_error_text(client));
        lssb_close(client, NULL);
        return 1;
    }
    for (i = 0; i < COMMANDS; i++)
        if (job_start(&jobs[i], &box, i, &left) == LSSB_PENDING)
            left++;
    loop(client, &left);
    lssb_sandbox_delete(&box, NULL);
    return lssb_close(client, NULL) != LSSB_OK;
}
