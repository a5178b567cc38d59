/* loop.c: one thread waits for descriptors and times.
 *
 * SPDX-License-Identifier: MIT
 *
 * A callback may watch, unwatch, arm and cancel anything, itself included:
 * what is unwatched leaves a hole until the turn is over.
 */
#include <poll.h>
#include <stdlib.h>

#include "sandboxd.h"

#ifdef POLLRDHUP
#define LOOP_HANGUP POLLRDHUP
#else
#define LOOP_HANGUP 0               /* POLLHUP comes uncalled */
#endif

/* Starts to watch. */
void loop_watch(struct loop *loop, struct watch *watch)
{
    if (loop->count == loop->size) {
        loop->size = loop->size * 2 + 16;
        loop->watches =
            take_more(loop->watches, loop->size * sizeof *loop->watches);
    }
    loop->watches[loop->count++] = watch;
}

/* Stops watching; harmless if it is not watched. */
void loop_unwatch(struct loop *loop, struct watch *watch)
{
    size_t i;

    for (i = 0; i < loop->count; i++) {
        if (loop->watches[i] == watch)
            loop->watches[i] = NULL;
    }
}

/* Arms a timer, over what it was set to. */
void loop_at(struct loop *loop, struct timer *timer, uint64_t at)
{
    loop_cancel(loop, timer);
    timer->at = at;
    timer->armed = true;
    timer->next = loop->timers;
    loop->timers = timer;
}

/* Disarms a timer; harmless if it is not armed. */
void loop_cancel(struct loop *loop, struct timer *timer)
{
    struct timer **link = &loop->timers;

    if (!timer->armed)
        return;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->armed = false;
}

/* Closes the holes that unwatching left. */
static void loop_compact(struct loop *loop)
{
    size_t from, to = 0;

    for (from = 0; from < loop->count; from++) {
        if (loop->watches[from] != NULL)
            loop->watches[to++] = loop->watches[from];
    }
    loop->count = to;
}

/* How long poll may sleep. */
static int loop_patience(const struct loop *loop)
{
    const struct timer *timer;
    uint64_t now = now_ms(), least = 60000;

    for (timer = loop->timers; timer != NULL; timer = timer->next) {
        if (timer->at <= now)
            return 0;
        if (timer->at - now < least)
            least = timer->at - now;
    }
    return (int)least;
}

/* Fires what is due; each callback may change the list. */
static void loop_fire(struct loop *loop)
{
    uint64_t now = now_ms();
    struct timer *timer = loop->timers;

    while (timer != NULL) {
        if (timer->at <= now) {
            loop_cancel(loop, timer);
            timer->fire(timer);
            timer = loop->timers;
        } else {
            timer = timer->next;
        }
    }
}

/* One turn: waits, then tells what happened. A descriptor that waits for
 * nothing is left out, or its hang-up would be reported for ever; one that
 * waits for that alone is told of it as if it were readable. */
void loop_turn(struct loop *loop)
{
    struct pollfd *fds;
    size_t count, i;

    loop_compact(loop);
    count = loop->count;
    fds = take((count + 1) * sizeof *fds);
    for (i = 0; i < count; i++) {
        const struct watch *watch = loop->watches[i];

        fds[i].fd =
            watch->read || watch->write || watch->hangup ? watch->fd : -1;
        fds[i].events = (short)((watch->read ? POLLIN : 0) |
                                (watch->write ? POLLOUT : 0) |
                                (watch->hangup ? LOOP_HANGUP : 0));
    }
    if (poll(fds, (nfds_t)count, loop_patience(loop)) > 0) {
        for (i = 0; i < count; i++) {
            short got = fds[i].revents;

            if (got != 0 && loop->watches[i] != NULL)
                loop->watches[i]->ready(
                    loop->watches[i],
                    (got & (POLLIN | POLLHUP | POLLERR | LOOP_HANGUP)) != 0,
                    (got & (POLLOUT | POLLHUP | POLLERR)) != 0);
        }
    }
    free(fds);
    loop_fire(loop);
}
