/* eventloop.c: fifty commands at once from one thread, in a loop of one's own.
 *
 * SPDX-License-Identifier: MIT
 *
 *     eventloop [poll | epoll | uv]
 *
 * Each command is an operation, and has a connection of its own; its output
 * arrives in callbacks, its end in `done`. A loop of one's own asks
 * lssb_sockets what to wait for and for how long, waits, and calls lssb_step:
 * by poll(), by epoll (Linux), or in a libuv loop beside whatever else lives
 * there (where it was built with -DWITH_UV).
 */
#ifdef __linux__
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <unistd.h>
#endif
#ifdef WITH_UV
#include <uv.h>
#endif

#include "lssb.h"

#define COMMANDS 50
#define SLOTS 50
#define SOCKETS (2 * SLOTS + 1)

/* One command and what becomes of it. */
struct job {
    lssb_op op;
    lssb_run_options how;
    lssb_result result;
    char command[96];
    unsigned lines;
    int *left;
    int *failed;
};

/* Called with output, from lssb_step. */
static lssb_status job_output(void *user, const void *bytes, size_t len)
{
    struct job *job = user;
    const char *text = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        job->lines += text[i] == '\n';
    return LSSB_OK;
}

/* Called when a command has ended, from lssb_step. */
static void job_done(lssb_op *op)
{
    struct job *job = op->user;

    if (op->status == LSSB_OK)
        printf("  %u lines, exit code %d: %s\n", job->lines,
               (int)job->result.exit_code, job->command);
    else
        printf("  %s: %s\n", lssb_status_name(op->status), job->command);
    *job->failed += op->status != LSSB_OK;
    --*job->left;
}

/* Starts command number `i`. */
static lssb_status job_start(struct job *job, const lssb_sandbox *box, int i)
{
    snprintf(job->command, sizeof job->command,
             "for n in 1 2 3; do echo $n; sleep 0.%d; done; exit %d", i % 10,
             i % 3);
    job->how.on_out = job_output;
    job->how.user = job;
    job->op.user = job;
    job->op.done = job_done;
    return lssb_run(box, job->command, &job->how, &job->result, &job->op);
}

/* ------------------------------------------------------------------- poll */

static void loop_poll(lssb_client *client, const int *left)
{
    while (*left > 0) {
        lssb_socket sockets[SOCKETS];
        struct pollfd polls[SOCKETS];
        uint32_t timeout_ms;
        size_t count = lssb_sockets(client, sockets, SOCKETS, &timeout_ms), i;

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

/* ------------------------------------------------------------------ epoll */

#ifdef __linux__
/* Tells epoll what has changed since the last round: a socket that was closed
 * has left it by itself, and its number may be another one's now. */
static void epoll_update(int epoll, const lssb_socket *now, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        struct epoll_event event;
        int fd = (int)now[i].handle;

        memset(&event, 0, sizeof event);
        event.events = (now[i].read ? (uint32_t)EPOLLIN : 0) |
                       (now[i].write ? (uint32_t)EPOLLOUT : 0) |
                       (uint32_t)EPOLLONESHOT;
        event.data.fd = fd;
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0)
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* One-shot interest, said anew in each round: what the client does not wait
 * for any more cannot wake the loop a second time. */
static void loop_epoll(lssb_client *client, const int *left)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    while (epoll >= 0 && *left > 0) {
        lssb_socket sockets[SOCKETS];
        struct epoll_event events[SOCKETS];
        uint32_t timeout_ms;
        size_t count = lssb_sockets(client, sockets, SOCKETS, &timeout_ms);

        epoll_update(epoll, sockets, count);
        epoll_wait(epoll, events, SOCKETS,
                   timeout_ms > 60000 ? 60000 : (int)timeout_ms);
        lssb_step(client);
    }
    if (epoll >= 0)
        close(epoll);
}
#endif

/* ------------------------------------------------------------------ libuv */

#ifdef WITH_UV
/* A client in a libuv loop: a handle for each descriptor, made when it is
 * first seen, and a timer. */
struct in_uv {
    lssb_client *client;
    const int *left;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_poll_t polls[SOCKETS];
    int fds[SOCKETS];               /* -1: free */
};

/* A descriptor is ready, or it is time. */
static void uv_go(struct in_uv *me)
{
    lssb_step(me->client);
    if (*me->left == 0)
        uv_stop(me->loop);
}

static void uv_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    uv_go(poll->data);
}

static void uv_late(uv_timer_t *timer)
{
    uv_go(timer->data);
}

/* A poll handle that was stopped is free to be used again. */
static void uv_poll_closed(uv_handle_t *handle)
{
    struct in_uv *me = handle->data;
    long i = (uv_poll_t *)handle - me->polls;

    me->fds[i] = -1;
}

/* Watches one socket: with the handle that it has, or a free one. */
static void uv_watch(struct in_uv *me, const lssb_socket *socket, bool *kept)
{
    int events = (socket->read ? UV_READABLE : 0) |
                 (socket->write ? UV_WRITABLE : 0);
    int fd = (int)socket->handle, i, found = -1;

    for (i = 0; i < SOCKETS && found < 0; i++)
        if (me->fds[i] == fd && !uv_is_closing((uv_handle_t *)&me->polls[i]))
            found = i;
    for (i = 0; i < SOCKETS && found < 0; i++)
        if (me->fds[i] == -1 &&
            uv_poll_init(me->loop, &me->polls[i], fd) == 0) {
            me->polls[i].data = me;
            me->fds[i] = fd;
            found = i;
        }
    if (found < 0)
        return;
    kept[found] = true;
    uv_poll_start(&me->polls[found], events, uv_ready);
}

/* Before the loop sleeps: what to wait for, and how long. */
static void uv_before(uv_prepare_t *prepare)
{
    struct in_uv *me = prepare->data;
    lssb_socket sockets[SOCKETS];
    bool kept[SOCKETS] = { false };
    uint32_t timeout_ms;
    size_t count = lssb_sockets(me->client, sockets, SOCKETS, &timeout_ms), i;

    for (i = 0; i < count; i++)
        uv_watch(me, &sockets[i], kept);
    for (i = 0; i < SOCKETS; i++)
        if (me->fds[i] != -1 && !kept[i] &&
            !uv_is_closing((uv_handle_t *)&me->polls[i]))
            uv_close((uv_handle_t *)&me->polls[i], uv_poll_closed);
    uv_timer_start(&me->timer, uv_late,
                   timeout_ms > 60000 ? 60000 : timeout_ms, 0);
}

/* Everything that is left is closed. */
static void uv_close_all(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void loop_uv(lssb_client *client, const int *left)
{
    static struct in_uv me;
    int i;

    me.client = client;
    me.left = left;
    me.loop = uv_default_loop();
    for (i = 0; i < SOCKETS; i++)
        me.fds[i] = -1;
    uv_timer_init(me.loop, &me.timer);
    uv_prepare_init(me.loop, &me.prepare);
    me.timer.data = &me;
    me.prepare.data = &me;
    uv_prepare_start(&me.prepare, uv_before);
    uv_run(me.loop, UV_RUN_DEFAULT);
    uv_walk(me.loop, uv_close_all, NULL);
    uv_run(me.loop, UV_RUN_DEFAULT);
    uv_loop_close(me.loop);
}
#endif

/* -------------------------------------------------------------------- main */

/* The loop of that name, or NULL. */
static void (*loop_named(const char *name))(lssb_client *, const int *)
{
    if (strcmp(name, "poll") == 0)
        return loop_poll;
#ifdef __linux__
    if (strcmp(name, "epoll") == 0)
        return loop_epoll;
#endif
#ifdef WITH_UV
    if (strcmp(name, "uv") == 0)
        return loop_uv;
#endif
    return NULL;
}

int main(int argc, char **argv)
{
    static struct job jobs[COMMANDS];
    void (*loop)(lssb_client *, const int *) =
        loop_named(argc > 1 ? argv[1] : "poll");
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    int left = 0, failed = 0, i;

    if (loop == NULL) {
        fprintf(stderr, "this build has no such loop\n");
        return 2;
    }
    config.slots = SLOTS;
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    if (lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK) {
        fprintf(stderr, "%s\n", lssb_error_text(client));
        lssb_close(client, NULL);
        return 1;
    }
    for (i = 0; i < COMMANDS; i++) {
        jobs[i].left = &left;
        jobs[i].failed = &failed;
        if (job_start(&jobs[i], &box, i) == LSSB_PENDING)
            left++;
        else
            failed++;
    }
    loop(client, &left);
    lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return left > 0 || failed > 0;
}
