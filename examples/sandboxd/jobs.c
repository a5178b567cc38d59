/* jobs.c: what runs beside the loop, and what is answered later.
 *
 * SPDX-License-Identifier: MIT
 *
 * A job is a program of the host's, in a process group of its own. That it has
 * ended is seen by the end of its output; that it succeeded, by its last word.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"

#define JOBS_SAID 4096              /* bytes of what a job says */

/* Whether the last line is "done"; cuts it off. */
static bool job_said_done(struct job *job)
{
    size_t len = job->said.len;

    if (len < 5 || memcmp(job->said.at + len - 5, "done\n", 5) != 0 ||
        (len > 5 && job->said.at[len - 6] != '\n'))
        return false;
    job->said.len -= 5;
    job->said.at[job->said.len] = '\0';
    return true;
}

/* Forgets a job. */
static void job_free(struct job *job)
{
    loop_unwatch(&job->d->loop, &job->out);
    close(job->out.fd);
    bytes_free(&job->said);
    free(job);
}

/* A job has said something, or has ended. */
static void job_readable(struct watch *watch, bool readable, bool writable)
{
    struct job *job = watch->owner;
    char piece[512];
    ssize_t got = read(watch->fd, piece, sizeof piece);

    (void)readable;
    (void)writable;
    if (got > 0 && job->said.len + (size_t)got <= JOBS_SAID)
        bytes_add(&job->said, piece, (size_t)got);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    bytes_add(&job->said, "", 0);
    job->done(job, job_said_done(job));
    job_free(job);
}

/* Called in the child: becomes the program. */
static void job_become(const char *const *argv, int out)
{
    char *copy[64];
    size_t i;
    sigset_t none;

    for (i = 0; argv[i] != NULL && i < 63; i++)
        copy[i] = take_copy(argv[i]);
    copy[i] = NULL;
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(out, 1) == 1)
        execvp(copy[0], copy);
    _exit(127);
}

/* Starts a program, of at most 63 words. NULL: it could not be. */
struct job *job_start(struct sandboxd *d, const char *const *argv,
                      void (*done)(struct job *job, bool fine), void *owner)
{
    struct job *job;
    int ends[2];
    pid_t pid;

    if (pipe(ends) != 0)
        return NULL;
    set_nonblocking(ends[0]);
    pid = fork();
    if (pid == 0)
        job_become(argv, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return NULL;
    }
    job = take(sizeof *job);
    job->d = d;
    job->pid = pid;
    job->done = done;
    job->owner = owner;
    job->out.fd = ends[0];
    job->out.read = true;
    job->out.owner = job;
    job->out.ready = job_readable;
    loop_watch(&d->loop, &job->out);
    return job;
}

/* Ends a job whose outcome nobody wants any more. */
void job_cancel(struct job *job)
{
    if (job == NULL)
        return;
    kill(-job->pid, SIGKILL);
    kill(job->pid, SIGKILL);        /* it may have no group yet */
    while (waitpid(job->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    job_free(job);
}

/* -------------------------------------------------------- later replies -- */

struct later {
    struct timer timer;
    struct exchange *exchange;
    char *name;
    void (*then)(struct exchange *exchange, const char *name);
};

/* The exchange is over, before or after. */
static void later_over(struct exchange *exchange)
{
    struct later *later = exchange->state;

    loop_cancel(&exchange->d->loop, &later->timer);
    free(later->name);
    free(later);
}

/* The time has come. */
static void later_fire(struct timer *timer)
{
    struct later *later = timer->owner;

    later->then(later->exchange, later->name);
}

/* Has `then` called with a name after a while: it replies. */
void reply_later(struct exchange *exchange, uint64_t ms, const char *name,
                 void (*then)(struct exchange *exchange, const char *name))
{
    struct later *later = take(sizeof *later);

    later->exchange = exchange;
    later->name = take_copy(name);
    later->then = then;
    later->timer.owner = later;
    later->timer.fire = later_fire;
    exchange->state = later;
    exchange->on_over = later_over;
    loop_at(&exchange->d->loop, &later->timer, now_ms() + ms);
}
