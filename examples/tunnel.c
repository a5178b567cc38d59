/* tunnel.c: a port of a sandbox, as if it were here.
 *
 * SPDX-License-Identifier: MIT
 *
 *     tunnel BOX 5432 &
 *     psql -h 127.0.0.1 -p 5432
 *
 * bridges what connects to the local port until Ctrl-C, and says on stderr
 * what happens. A third argument is the local port (0: one that is free, which
 * is printed) or, with a slash in it, the path of a Unix socket.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lssb.h"

static volatile sig_atomic_t stopped;

static void interrupted(int number)
{
    (void)number;
    stopped = 1;
}

/* Says what happened. */
static void happened(void *user, const lssb_tunnel_event *event)
{
    static const char *const words[] = {
        "", "connection lost", "connected again", "the server goes away",
        "opened", "refused", "closed", "reset"
    };

    (void)user;
    fprintf(stderr, "%s", words[event->kind]);
    if (event->message[0] != '\0')
        fprintf(stderr, ": %s", event->message);
    if (event->kind >= LSSB_TUNNEL_ENDED)
        fprintf(stderr, " (%llu bytes sent, %llu received)",
                (unsigned long long)event->sent_bytes,
                (unsigned long long)event->received_bytes);
    fputc('\n', stderr);
}

/* Bridges connections until it is told to stop. */
static lssb_status serve(const lssb_sandbox *box,
                         const lssb_listen_options *where)
{
    lssb_tunnel_options how = { 0 };
    lssb_tunnel tunnel;
    lssb_listener listener;
    lssb_status status;

    how.event = happened;
    status = lssb_tunnel_open(&tunnel, box, &how, NULL);
    if (status == LSSB_OK)
        status = lssb_tunnel_listen(&tunnel, where, &listener);
    if (status == LSSB_OK && listener.port != 0)
        printf("%u\n", (unsigned)listener.port);
    fflush(stdout);
    while (status == LSSB_OK && !stopped && tunnel.status == LSSB_OK)
        lssb_wait(box->client, NULL, 200);
    if (status != LSSB_OK)
        fprintf(stderr, "%s\n", lssb_error_text(box->client));
    lssb_tunnel_close(&tunnel, NULL);
    return status;
}

/* Reads a number from `least` to `most`, and nothing behind it; -1: none. */
static long read_number(const char *text, long least, long most)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number < least ||
        number > most)
        return -1;
    return number;
}

/* Reads a path, which the library wants from the root on; 0: too long. */
static int read_path(lssb_listen_options *where, const char *text)
{
    static char path[PATH_MAX];
    size_t len = 0;

    if (text[0] != '/') {
        if (getcwd(path, sizeof path - 1) == NULL)
            return 0;
        len = strlen(path);
        path[len++] = '/';
    }
    if (strlen(text) >= sizeof path - len)
        return 0;
    strcpy(path + len, text);
    where->address = path;
    return 1;
}

/* Reads the second and the third argument; 0: one of them is wrong. */
static int read_arguments(lssb_listen_options *where, const char *port,
                          const char *local)
{
    long number = read_number(port, 1, 65535);

    if (number < 0)
        return 0;
    where->port = (uint16_t)number;
    if (local == NULL)
        return 1;
    if (strchr(local, '/') != NULL)
        return read_path(where, local);
    number = read_number(local, 0, 65535);
    where->local_port = number == 0 ? LSSB_ANY_PORT : (int32_t)number;
    return number >= 0;
}

int main(int argc, char **argv)
{
    lssb_config config = { 0 };
    lssb_listen_options where = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    lssb_status status;

    if (argc < 3 || argc > 4 || !read_arguments(&where, argv[2], argv[3])) {
        fprintf(stderr,
                "usage: %s BOX PORT [LOCAL]\n"
                "PORT: 1 to 65535. LOCAL: 0 to 65535, or a path with a slash\n",
                argv[0]);
        return 2;
    }
    config.streams = 256;
    if (getenv("STREAM_BUFFER") != NULL)
        config.stream_buffer = (uint32_t)atoi(getenv("STREAM_BUFFER"));
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open_why(&client, &config, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    status = lssb_sandbox_get(client, argv[1], &box, NULL);
    if (status == LSSB_OK)
        status = serve(&box, &where);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
