/* command.c: one command: its input, its output, its end.
 *
 * SPDX-License-Identifier: MIT
 *
 * Output is read as fast as it comes: kept up to a limit, or handed on piece
 * by piece. A command is over when its process has ended and its output, too;
 * what processes that it left behind still print is waited for only shortly,
 * then read and dropped, so that they do not break.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxd.h"

#define COMMAND_GRACE_MS 100        /* for output behind a command's end */
#define COMMAND_DRAINS 64           /* ended ones whose output is still open */
#define COMMAND_PIECE 16384
#define COMMAND_LAST 256            /* reads at a command's end, at most */

/* Stops watching one of the streams. */
static void command_shut(struct command *command, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    loop_unwatch(&command->d->loop, watch);
    close(watch->fd);
    watch->fd = -1;
}

/* Gives up what was not written, and closes the input. */
static void command_shut_input(struct command *command)
{
    command_shut(command, &command->in);
    bytes_free(&command->in_bytes);
    command->in_from = 0;
}

/* Forgets a command; its process has ended, or is nobody's any more. */
void command_free(struct command *command)
{
    struct sandboxd *d = command->d;
    struct command **link = &d->commands;

    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    command_shut_input(command);
    command_shut(command, &command->out);
    command_shut(command, &command->err);
    loop_cancel(&d->loop, &command->timeout);
    loop_cancel(&d->loop, &command->grace);
    bytes_free(&command->out_bytes);
    bytes_free(&command->err_bytes);
    free(command);
}

/* Of the ended commands whose output somebody still holds open, lets the
 * oldest go when there are too many. */
static void command_limit_drains(struct sandboxd *d)
{
    struct command *command, *oldest = NULL;
    size_t count = 0;

    for (command = d->commands; command != NULL; command = command->next) {
        if (command->finished &&
            (command->out.fd >= 0 || command->err.fd >= 0)) {
            oldest = command;
            count++;
        }
    }
    if (count > COMMAND_DRAINS)
        command_free(oldest);
}

/* A command is over: tells its owner. */
static void command_finish(struct command *command)
{
    struct sandboxd *d = command->d;

    if (command->finished)
        return;
    command->finished = true;
    d->command_count--;
    loop_cancel(&d->loop, &command->timeout);
    loop_cancel(&d->loop, &command->grace);
    command_shut_input(command);
    if (command->box != NULL) {
        command->box->commands--;
        box_touch(command->box);
    }
    if (command->owner != NULL)
        command->done(command);
    command->owner = NULL;
    command->out.read = command->err.read = true;
    bytes_free(&command->out_bytes);
    bytes_free(&command->err_bytes);
    command_limit_drains(d);
}

/* Sees whether a command is over: it has exited and its output has ended. */
static void command_check(struct command *command)
{
    if (!command->exited || command->out.fd >= 0 || command->err.fd >= 0)
        return;
    command_finish(command);
    command_free(command);
}

/* Hands a piece of output on, or keeps it, as much as is allowed. */
static void command_take(struct command *command, bool is_err,
                         const char *piece, size_t len)
{
    struct bytes *bytes =
        is_err ? &command->err_bytes : &command->out_bytes;

    if (command->finished || command->overflowed)
        return;
    if (command->output != NULL) {
        if (command->owner != NULL)
            command->output(command, is_err, piece, len);
        return;
    }
    if (bytes->len + len > command->d->settings.max_output) {
        command->overflowed = true;
        kill(-command->pid, SIGKILL);
        return;
    }
    bytes_add(bytes, piece, len);
}

/* Reads once; whether there may be more at once. At its end the stream is
 * shut. (A terminal that nobody has open any more says EIO.) */
static bool command_read(struct command *command, struct watch *watch)
{
    char piece[COMMAND_PIECE];
    ssize_t got;

    if (watch->fd < 0 || !watch->read)
        return false;
    got = read(watch->fd, piece, command->piece);
    if (got > 0) {
        command_take(command, watch == &command->err, piece, (size_t)got);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        command_shut(command, watch);
    return false;
}

/* One of the outputs can be read. */
static void command_readable(struct watch *watch, bool readable,
                             bool writable)
{
    struct command *command = watch->owner;

    (void)readable;
    (void)writable;
    command_read(command, watch);
    if (watch->fd < 0)
        command_check(command);
}

/* The command's time is up. */
static void command_late(struct timer *timer)
{
    struct command *command = timer->owner;

    command->timed_out = true;
    kill(-command->pid, SIGKILL);
}

/* Holds an output up, or lets it come. */
void command_hold(struct command *command, bool is_err, bool held)
{
    struct watch *watch = is_err ? &command->err : &command->out;

    watch->read = !held;
}

/* The time for output behind the end is up: what is there by now counts. What
 * is held up is waited for. */
static void command_graced(struct timer *timer)
{
    struct command *command = timer->owner;
    int i;

    for (i = 0; i < COMMAND_LAST && command_read(command, &command->out); i++)
        ;
    for (i = 0; i < COMMAND_LAST && command_read(command, &command->err); i++)
        ;
    if ((command->out.fd >= 0 && !command->out.read) ||
        (command->err.fd >= 0 && !command->err.read))
        loop_at(&command->d->loop, timer, now_ms() + COMMAND_GRACE_MS);
    else if (command->out.fd < 0 && command->err.fd < 0)
        command_check(command);
    else
        command_finish(command);
}

/* A process of ours has ended. */
void command_exited(struct sandboxd *d, pid_t pid, int status)
{
    struct command *command = d->commands;

    while (command != NULL && (command->pid != pid || command->exited))
        command = command->next;
    if (command == NULL)
        return;
    command->exited = true;
    command->exit_code = WIFEXITED(status) ? WEXITSTATUS(status)
                                           : 128 + WTERMSIG(status);
    loop_cancel(&d->loop, &command->timeout);
    loop_at(&d->loop, &command->grace, now_ms() + COMMAND_GRACE_MS);
    command_check(command);
}

/* ------------------------------------------------------------------- input */

/* Writes what waits, as far as the command reads. */
static void command_put(struct command *command)
{
    while (command_unwritten(command) > 0) {
        ssize_t put = write(command->in.fd,
                            command->in_bytes.at + command->in_from,
                            command_unwritten(command));

        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (put < 0) {              /* it does not read any more */
            command_shut_input(command);
            return;
        }
        command->in_from += (size_t)put;
    }
    if (command_unwritten(command) == 0) {
        bytes_free(&command->in_bytes);
        command->in_from = 0;
        if (command->in_ended)
            command_shut_input(command);
    }
    command->in.write = command_unwritten(command) > 0;
}

/* That, and the owner hears of it: whoever was held up may be so no longer,
 * whichever of the calls got the bytes through. */
static void command_flush(struct command *command)
{
    command_put(command);
    if (command->owner != NULL && command->drained != NULL)
        command->drained(command);
}

/* The command reads. */
static void command_writable(struct watch *watch, bool readable,
                             bool writable)
{
    (void)readable;
    (void)writable;
    command_flush(watch->owner);
}

/* Bytes of input that the command has not taken. */
size_t command_unwritten(const struct command *command)
{
    return command->in_bytes.len - command->in_from;
}

/* Gives the command input; none after its end. */
void command_write(struct command *command, const char *bytes, size_t len)
{
    if (command->in.fd < 0 || command->in_ended)
        return;
    if (command->in_from > 0) {
        command->in_bytes.len -= command->in_from;
        memmove(command->in_bytes.at,
                command->in_bytes.at + command->in_from,
                command->in_bytes.len);
        command->in_from = 0;
    }
    bytes_add(&command->in_bytes, bytes, len);
    command_flush(command);
}

/* Ends the input behind what was given. A terminal's does not end so. */
void command_end_input(struct command *command)
{
    if (command->pty || command->in.fd < 0)
        return;
    command->in_ended = true;
    command_flush(command);
}

/* Tells the terminal its size. */
void command_resize(struct command *command, uint16_t cols, uint16_t rows)
{
    struct winsize size = {0, 0, 0, 0};

    size.ws_col = cols;
    size.ws_row = rows;
    if (command->pty && command->in.fd >= 0)
        ioctl(command->in.fd, TIOCSWINSZ, &size);
}

/* Kills a command's group. When its leader has gone, the group is known to be
 * there still only while somebody holds the output open. */
void command_kill(const struct command *command)
{
    if (!command->exited)
        kill(command->pid, SIGKILL);
    if (!command->exited || command->out.fd >= 0 || command->err.fd >= 0)
        kill(-command->pid, SIGKILL);
}

/* --------------------------------------------------------------- beginning */

/* Watches one of the streams, if there is one. */
static void command_watch(struct command *command, struct watch *watch, int fd)
{
    bool input = watch == &command->in;

    watch->fd = fd;
    watch->read = !input;
    watch->owner = command;
    watch->ready = input ? command_writable : command_readable;
    if (fd >= 0)
        loop_watch(&command->d->loop, watch);
}

/* Enters a command that has been started into the books. */
static struct command *command_new(struct box *box,
                                   const struct spawned *spawned,
                                   const struct command_options *options)
{
    struct sandboxd *d = box->d;
    struct command *command = take(sizeof *command);

    command->box = box;
    command->d = d;
    command->pid = spawned->pid;
    command->pty = options->pty;
    command->output = options->output;
    command->drained = options->drained;
    command->piece = COMMAND_PIECE;
    command->timeout.owner = command;
    command->timeout.fire = command_late;
    command->grace.owner = command;
    command->grace.fire = command_graced;
    command_watch(command, &command->in, spawned->in);
    command_watch(command, &command->out, spawned->out);
    command_watch(command, &command->err, spawned->err);
    if (options->timeout_s > 0)
        loop_at(&d->loop, &command->timeout,
                now_ms() + (uint64_t)options->timeout_s * 1000);
    command->next = d->commands;
    d->commands = command;
    d->command_count++;
    box->commands++;
    box_touch(box);
    return command;
}

/* Starts a command. NULL: it could not be; *why says so, taken. */
struct command *command_start(struct box *box,
                              const struct command_options *options,
                              char **why)
{
    struct spawned spawned;

    if (!spawn(box, options, &spawned, why))
        return NULL;
    return command_new(box, &spawned, options);
}
