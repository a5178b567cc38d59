/* interactive.c: a shell in a sandbox, in this terminal.
 *
 * SPDX-License-Identifier: MIT
 *
 *     interactive [BOX]
 *
 * opens an interactive shell in a PTY, in the box of that name or in a new
 * one, which is deleted at the end. One poll() waits for the keyboard and for
 * the client's sockets; a window that changes its size tells the shell. A
 * connection that breaks is replaced while the shell goes on.
 */
#define _DEFAULT_SOURCE             /* struct winsize */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lssb.h"

#define SLOTS 2
#define SOCKETS (2 * SLOTS + 1)

static volatile sig_atomic_t resized;

static void window_changed(int number)
{
    (void)number;
    resized = 1;
}

/* The size of this terminal; 80 by 24 where there is none. */
static void window_size(uint32_t *columns, uint32_t *rows)
{
    struct winsize size;

    *columns = 80;
    *rows = 24;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 0) {
        *columns = size.ws_col;
        *rows = size.ws_row;
    }
}

/* The keys go through as they are; what was there before is stored. */
static int terminal_raw(struct termios *before)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, before) != 0)
        return 0;
    raw = *before;
    raw.c_iflag &= (tcflag_t) ~(ICRNL | IXON | BRKINT | INPCK | ISTRIP);
    raw.c_oflag &= (tcflag_t)~OPOST;
    raw.c_lflag &= (tcflag_t) ~(ECHO | ICANON | IEXTEN | ISIG);
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

/* What was typed and not sent yet: a part of a character, or what there was no
 * room for. */
struct typed {
    char bytes[4096];
    size_t len;
    int over;
};

/* Reads keys and sends what can be sent. */
static void type(lssb_command *command, struct typed *typed, int readable)
{
    size_t taken;

    if (readable && !typed->over && typed->len < sizeof typed->bytes) {
        ssize_t n = read(STDIN_FILENO, typed->bytes + typed->len,
                         sizeof typed->bytes - typed->len);

        if (n > 0) {
            typed->len += (size_t)n;
        } else if (n == 0 && typed->len < sizeof typed->bytes) {
            typed->over = 1;        /* the end: Ctrl-D, to a terminal */
            typed->bytes[typed->len++] = '\004';
        }
    }
    if (typed->len == 0 || lssb_command_write(command, typed->bytes,
                                              typed->len, &taken, 0) != LSSB_OK)
        return;
    typed->len -= taken;
    memmove(typed->bytes, typed->bytes + taken, typed->len);
}

/* Writes what has come; the status that ended it, or LSSB_AGAIN. */
static lssb_status show(lssb_command *command)
{
    lssb_chunk chunk;
    lssb_status status;

    while ((status = lssb_command_next(command, &chunk, 0)) == LSSB_OK)
        if (write(STDOUT_FILENO, chunk.bytes, chunk.len) < 0)
            return LSSB_E_STOPPED;
    return status;
}

/* Waits for the keyboard and the client, until the shell ends. */
static lssb_status loop(lssb_client *client, lssb_command *command)
{
    struct typed typed = { { 0 }, 0, 0 };
    lssb_status status;

    while ((status = show(command)) == LSSB_AGAIN) {
        lssb_socket sockets[SOCKETS];
        struct pollfd polls[SOCKETS + 1];
        uint32_t timeout_ms;
        size_t count = lssb_sockets(client, sockets, SOCKETS, &timeout_ms), i;

        polls[count].fd = typed.over || typed.len > 0 ? -1 : STDIN_FILENO;
        polls[count].events = POLLIN;
        polls[count].revents = 0;
        for (i = 0; i < count; i++) {
            polls[i].fd = (int)sockets[i].handle;
            polls[i].events = (short)((sockets[i].read ? POLLIN : 0) |
                                      (sockets[i].write ? POLLOUT : 0));
            polls[i].revents = 0;
        }
        poll(polls, (nfds_t)count + 1,
             timeout_ms > 60000 ? 60000 : (int)timeout_ms);
        if (resized) {
            uint32_t columns, rows;

            resized = 0;
            window_size(&columns, &rows);
            lssb_command_resize(command, columns, rows);
        }
        type(command, &typed, (polls[count].revents & (POLLIN | POLLHUP)) != 0);
        lssb_step(client);
    }
    return status;
}

/* The shell; returns its exit code. */
static int shell(const lssb_sandbox *box)
{
    lssb_run_options how = { 0 };
    lssb_error why = { 0 };
    lssb_command command = { 0 };
    struct termios before;
    int raw, code = 1;

    how.pty = true;
    how.timeout_s = LSSB_NO_LIMIT;
    how.error = &why;
    window_size(&how.columns, &how.rows);
    if (lssb_command_start(&command, box, NULL, &how, NULL) != LSSB_OK) {
        fprintf(stderr, "%s\n", lssb_error_text(box->client));
        return 1;
    }
    signal(SIGWINCH, window_changed);
    raw = terminal_raw(&before);
    if (loop(box->client, &command) == LSSB_END)
        code = command.exit_code;
    if (raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (command.status < 0)
        fprintf(stderr, "%s\n", why.message);
    lssb_command_close(&command, NULL);
    return code;
}

int main(int argc, char **argv)
{
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box = { 0 };
    lssb_status status;
    int code = 1;

    config.slots = SLOTS;
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open(&client, &config) != LSSB_OK)
        return 1;
    status = argc > 1 ? lssb_sandbox_get(client, argv[1], &box, NULL)
                      : lssb_sandbox_create(client, NULL, &box, NULL);
    if (status == LSSB_OK)
        code = shell(&box);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (argc == 1 && box.name[0] != '\0')
        lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return code;
}
