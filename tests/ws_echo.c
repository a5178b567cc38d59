/* ws_echo.c: the WebSocket engine on real sockets, for peers written elsewhere.
 *
 * SPDX-License-Identifier: MIT
 *
 * ws_echo server N prints its port, then serves N connections in turn: it
 * answers the upgrade and echoes. ws_echo client PORT upgrades, sends messages
 * of many sizes, a ping, a close, and wants the echo of each. tests/ws_echo.py
 * plays the other side. POSIX sockets that block: a test, not an example.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/internal.h"

enum { RECEIVE = 4096 };

/* One side of a connection. */
struct side {
    int fd;
    struct lssb_ws ws;
    uint8_t in[RECEIVE];
    size_t at, len;                 /* what is left of it */
    uint8_t key[4];
};

static void die(const char *why)
{
    fprintf(stderr, "ws_echo: %s\n", why);
    exit(1);
}

static void send_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

        if (sent <= 0)
            die("cannot send");
        at += sent;
        len -= (size_t)sent;
    }
}

/* False at the end of the connection. */
static bool receive(struct side *side)
{
    ssize_t got = recv(side->fd, side->in, sizeof side->in, 0);

    side->at = 0;
    side->len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

static void send_frame(struct side *side, enum lssb_ws_opcode opcode, bool fin,
                       const uint8_t *bytes, size_t len)
{
    static uint8_t frame[LSSB_WS_HEADER + LSSB_WS_FRAME];
    size_t head;

    side->key[0] = (uint8_t)(side->key[0] + 77);
    head = lssb_ws_head(frame, opcode, fin, len,
                        side->ws.server ? NULL : side->key);
    if (len > 0)
        memcpy(frame + head, bytes, len);
    if (!side->ws.server)
        lssb_ws_mask(frame + head, len, side->key, 0);
    send_all(side->fd, frame, head + len);
}

static void send_close(struct side *side, uint16_t code)
{
    uint8_t payload[LSSB_WS_CONTROL];

    send_frame(side, LSSB_WS_CLOSE, true, payload,
               lssb_ws_close_payload(payload, code, "so long"));
}

/* The next event but MORE; dies at the end of the connection. */
static enum lssb_ws_event next(struct side *side)
{
    enum lssb_ws_event event;
    size_t used;

    for (;;) {
        event = lssb_ws_next(&side->ws, side->in + side->at,
                             side->len - side->at, &used);
        side->at += used;
        if (event != LSSB_WS_MORE)
            return event;
        if (!receive(side))
            die("the connection ended before a close frame");
    }
}

/* Reads the head of a message, and what it says of the upgrade. */
static void read_head(struct side *side, bool server, const char *key,
                      struct lssb_ws_upgrade *upgrade, const char **wrong,
                      int *status)
{
    static char line[1024];
    struct lssb_http http;
    enum lssb_http_event event;
    size_t used;

    lssb_http_start(&http, server, line, sizeof line);
    lssb_ws_upgrade_start(upgrade, server);
    do {
        event = lssb_http_next(&http, side->in + side->at,
                               side->len - side->at, &used);
        side->at += used;
        if (event == LSSB_HTTP_HEADER)
            lssb_ws_upgrade_header(upgrade, http.name, http.value,
                                   http.value_len);
        else if (event == LSSB_HTTP_MORE && !receive(side))
            die("the connection ended in a head");
        else if (event == LSSB_HTTP_WRONG)
            die(http.wrong);
    } while (event != LSSB_HTTP_HEAD);
    if (!server && http.status != 101)
        die("the status is not 101");
    *wrong = lssb_ws_upgrade_wrong(upgrade, key, status);
}

/* ----------------------------------------------------------------- server */

static void serve(int fd)
{
    static struct side side;
    struct lssb_ws_upgrade upgrade;
    char accepted[LSSB_WS_ACCEPT_SIZE], reply[256];
    const char *wrong;
    enum lssb_ws_event event;
    int status = 0;

    memset(&side, 0, sizeof side);
    side.fd = fd;
    read_head(&side, true, NULL, &upgrade, &wrong, &status);
    if (wrong != NULL) {
        sprintf(reply, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n"
                "Connection: close\r\n\r\n", status);
        send_all(fd, reply, strlen(reply));
        return;
    }
    lssb_ws_accept(accepted, upgrade.key, strlen(upgrade.key));
    sprintf(reply, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
            accepted);
    send_all(fd, reply, strlen(reply));
    lssb_ws_start(&side.ws, true);
    for (;;) {
        const struct lssb_ws *ws = &side.ws;

        event = next(&side);
        if (event == LSSB_WS_PIECE)
            send_frame(&side, ws->begins ? ws->opcode : LSSB_WS_CONTINUATION,
                       ws->ends, ws->data, ws->data_len);
        else if (event == LSSB_WS_WRONG || ws->opcode == LSSB_WS_CLOSE)
            break;
        else if (ws->opcode == LSSB_WS_PING)
            send_frame(&side, LSSB_WS_PONG, true, ws->data, ws->data_len);
    }
    send_close(&side, side.ws.code);
    /* Reads until the peer has closed, too: no reset over the last frame. */
    shutdown(fd, SHUT_WR);
    while (receive(&side))
        continue;
}

static void be_server(int connections)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        die("cannot listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while (connections-- > 0) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("cannot accept");
        serve(fd);
        close(fd);
    }
    close(listener);
}

/* ----------------------------------------------------------------- client */

static uint8_t byte_at(size_t at)
{
    return (uint8_t)("the quick brown fox "[at % 20]);
}

/* Sends a message in fragments of at most LSSB_WS_FRAME, and wants it back. */
static void exchange(struct side *side, enum lssb_ws_opcode opcode, size_t len)
{
    static uint8_t part[LSSB_WS_FRAME];
    size_t at = 0, size, i;
    bool ended = false;

    do {
        size = len - at < sizeof part ? len - at : sizeof part;
        for (i = 0; i < size; i++)
            part[i] = byte_at(at + i);
        send_frame(side, at == 0 ? opcode : LSSB_WS_CONTINUATION,
                   at + size == len, part, size);
        at += size;
    } while (at < len);
    for (at = 0; !ended; ended = side->ws.ends) {
        if (next(side) != LSSB_WS_PIECE || side->ws.opcode != opcode)
            die("no echo");
        for (i = 0; i < side->ws.data_len; i++)
            if (side->ws.data[i] != byte_at(at++))
                die("another echo");
    }
    if (at != len)
        die("an echo of another length");
}

static void be_client(int port)
{
    static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536,
                                    1048576 };
    static struct side side;
    struct sockaddr_in address;
    struct lssb_ws_upgrade upgrade;
    char key[LSSB_WS_KEY_SIZE], request[256];
    const char *wrong;
    size_t i;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    side.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(side.fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect");
    lssb_ws_key(key, (const uint8_t *)"sixteen bytes ..");
    sprintf(request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
            port, key);
    send_all(side.fd, request, strlen(request));
    read_head(&side, false, key, &upgrade, &wrong, NULL);
    if (wrong != NULL)
        die(wrong);
    lssb_ws_start(&side.ws, false);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        exchange(&side, LSSB_WS_TEXT, sizes[i]);
        exchange(&side, LSSB_WS_BINARY, sizes[i]);
    }
    send_frame(&side, LSSB_WS_PING, true, (const uint8_t *)"are you there", 13);
    if (next(&side) != LSSB_WS_CONTROL_FRAME ||
        side.ws.opcode != LSSB_WS_PONG || side.ws.data_len != 13 ||
        memcmp(side.ws.data, "are you there", 13) != 0)
        die("no pong");
    send_close(&side, LSSB_WS_NORMAL);
    if (next(&side) != LSSB_WS_CONTROL_FRAME ||
        side.ws.opcode != LSSB_WS_CLOSE || side.ws.code != LSSB_WS_NORMAL)
        die("no close");
    close(side.fd);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "server") == 0)
        be_server(atoi(argv[2]));
    else if (argc == 3 && strcmp(argv[1], "client") == 0)
        be_client(atoi(argv[2]));
    else
        die("ws_echo server CONNECTIONS | client PORT");
    return 0;
}
