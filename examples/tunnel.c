/* tunnel.c: a port of a sandbox, as if it were here.
 *
 * SPDX-License-Identifier: MIT
 *
 *     tunnel BOX 5432 &
 *     psql -h 127.0.0.1 -p 5432
 *
 * bridges what connects to the local port until Ctrl-C, and says on stderr
 * what happens. A third argument is the local port (0: one that is free) or
 * the path of a Unix socket.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Reads the third argument. */
static void read_local(lssb_listen_options *where, const char *text)
{
    if (text[0] == '/')
        where->address = text;
    else
        where->local_port = atoi(text) != 0 ? atoi(text) : LSSB_ANY_PORT;
}

int main(int argc, char **argv)
{
    lssb_config config = { 0 };
    lssb_listen_options where = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_error why;
    lssb_status status;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s BOX PORT [LOCAL]\n", argv[0]);
        return 2;
    }
    where.port = (uint16_t)atoi(argv[2]);
    if (argc == 4)
        read_local(&where, argv[3]);
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
