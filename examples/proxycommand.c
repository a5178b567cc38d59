/* proxycommand.c: one stream to a port of a sandbox, over stdin and stdout.
 *
 * SPDX-License-Identifier: MIT
 *
 *     ssh -o ProxyCommand='proxycommand BOX %p' user@box
 *
 * No local port, no listener: a loop of its own around poll(), which waits for
 * the library's sockets and for stdin side by side.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lssb.h"

#define SOCKETS 4                   /* 2 for the slot, 1 for the stream, 1 */

/* Bytes of stdin on their way into the box. */
static char up[65536];
static size_t up_at, up_len;
static int up_ended, down_ended;

/* Writes all of it to stdout; 0: nobody reads it. */
static int put(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);

        if (n <= 0)
            return 0;
        bytes += n;
        len -= (size_t)n;
    }
    return 1;
}

/* Hands out what has come from the box. */
static lssb_status down(lssb_tunnel_stream *stream)
{
    static char bytes[65536];
    lssb_status status = LSSB_END;
    size_t len;

    while (!down_ended && (status = lssb_tunnel_read(stream, bytes,
                                                     sizeof bytes, &len,
                                                     0)) == LSSB_OK)
        if (!put(bytes, len))
            return LSSB_E_STOPPED;
    if (status == LSSB_END && !down_ended)
        close(STDOUT_FILENO);
    down_ended = down_ended || status == LSSB_END;
    return status < 0 ? status : LSSB_OK;
}

/* Sends what stdin gave, and its end behind it. */
static lssb_status send_up(lssb_tunnel_stream *stream)
{
    lssb_status status = LSSB_OK;
    size_t taken = 0;

    if (up_at < up_len)
        status = lssb_tunnel_write(stream, up + up_at, up_len - up_at, &taken,
                                   0);
    up_at += taken;
    if (up_at == up_len && up_ended && status >= 0)
        status = lssb_tunnel_finish(stream);
    return status < 0 ? status : LSSB_OK;
}

/* Sleeps until something can go on, and does that. */
static void turn(lssb_client *client)
{
    struct pollfd fds[SOCKETS + 1];
    lssb_socket sockets[SOCKETS];
    uint32_t timeout_ms;
    size_t count = lssb_sockets(client, sockets, SOCKETS, &timeout_ms), i;

    memset(fds, 0, sizeof fds);
    for (i = 0; i < count && i < SOCKETS; i++) {
        fds[i].fd = (int)sockets[i].handle;
        fds[i].events = (short)((sockets[i].read ? POLLIN : 0) |
                                (sockets[i].write ? POLLOUT : 0));
    }
    fds[i].fd = up_at < up_len || up_ended ? -1 : STDIN_FILENO;
    fds[i].events = POLLIN;
    poll(fds, (nfds_t)i + 1,
         timeout_ms > 3600000 ? 3600000 : (int)timeout_ms);
    if (fds[i].revents != 0) {
        ssize_t n = read(STDIN_FILENO, up, sizeof up);

        up_at = 0;
        up_len = n > 0 ? (size_t)n : 0;
        up_ended = n <= 0;
    }
    lssb_step(client);
}

/* Relays until both directions have ended. */
static lssb_status relay(const lssb_sandbox *box, uint16_t port)
{
    lssb_tunnel tunnel;
    lssb_tunnel_stream stream;
    lssb_status status = lssb_tunnel_open(&tunnel, box, NULL, NULL);

    if (status == LSSB_OK)
        status = lssb_tunnel_connect(&tunnel, port, &stream, NULL);
    while (status == LSSB_OK && !(up_ended && up_at == up_len && down_ended)) {
        turn(box->client);
        status = send_up(&stream);
        if (status == LSSB_OK)
            status = down(&stream);
    }
    if (status < 0)
        fprintf(stderr, "%s\n", lssb_error_text(box->client));
    lssb_tunnel_close(&tunnel, NULL);
    return status;
}

/* Reads a port, and nothing behind it; 0: it is none. */
static uint16_t read_port(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number > 65535)
        return 0;
    return (uint16_t)number;
}

int main(int argc, char **argv)
{
    uint16_t port = argc == 3 ? read_port(argv[2]) : 0;
    lssb_config config = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    lssb_status status;

    if (port == 0) {
        fprintf(stderr, "usage: %s BOX PORT\n", argv[0]);
        return 2;
    }
    config.slots = 1;
    config.streams = 1;
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    status = lssb_sandbox_get(client, argv[1], &box, NULL);
    if (status == LSSB_OK)
        status = relay(&box, port);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
