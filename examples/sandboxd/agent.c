/* agent.c: a client's ssh-agent, for a command (PROTOCOL 5.2, 5.5).
 *
 * SPDX-License-Identifier: MIT
 *
 * The command finds a socket by SSH_AUTH_SOCK. Each connection to it is a
 * channel to the client that was attached last; without one it ends at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sandboxd.h"

#define AGENT_CHANNELS 64
#define AGENT_PENDING (1024 * 1024) /* bytes that the command does not read */

/* One connection to the socket. */
struct agent_channel {
    struct agent_channel *next;
    struct agent *agent;
    struct attachment *client;
    char id[24];
    struct watch watch;
    struct bytes out;               /* for the command */
    bool closing;                   /* behind what is in `out` */
};

struct agent {
    struct session *session;
    struct watch listener;
    char *path;                     /* to unlink */
    struct agent_channel *channels;
    uint64_t count;                 /* of channels, ever */
};

/* Ends a channel; the client is told if it did not end it itself. */
static void agent_channel_free(struct agent_channel *channel, bool tell)
{
    struct agent_channel **link = &channel->agent->channels;

    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    loop_unwatch(&channel->agent->session->d->loop, &channel->watch);
    close(channel->watch.fd);
    if (tell)
        attachment_agent(channel->client, channel->id, NULL, 0);
    bytes_free(&channel->out);
    free(channel);
}

/* Writes to the command; false when it does not listen any more. */
static bool agent_channel_flush(struct agent_channel *channel)
{
    ssize_t put = 0;

    if (channel->out.len > 0)
        put = send(channel->watch.fd, channel->out.at, channel->out.len, 0);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    channel->out.len -= (size_t)put;
    if (channel->out.len > 0)
        memmove(channel->out.at, channel->out.at + put, channel->out.len);
    channel->watch.write = channel->out.len > 0;
    return true;
}

/* A connection to the socket can be read or written. */
static void agent_channel_ready(struct watch *watch, bool readable,
                                bool writable)
{
    struct agent_channel *channel = watch->owner;
    char piece[8192];
    ssize_t got;

    (void)readable;
    (void)writable;
    if (!agent_channel_flush(channel)) {
        agent_channel_free(channel, true);
        return;
    }
    if (channel->closing && channel->out.len == 0) {
        agent_channel_free(channel, false);
        return;
    }
    watch->read = !channel->closing &&
                  socket_room(channel->client->socket) > 0;
    got = watch->read ? recv(watch->fd, piece, sizeof piece, 0) : -1;
    if (got > 0)
        attachment_agent(channel->client, channel->id, piece, (size_t)got);
    else if (got == 0 || (watch->read && errno != EAGAIN && errno != EINTR))
        agent_channel_free(channel, true);
}

/* Somebody connects to the socket. */
static void agent_accept(struct watch *watch, bool readable, bool writable)
{
    struct agent *agent = watch->owner;
    struct attachment *client = agent->session->clients;
    struct agent_channel *channel;
    size_t open = 0;
    int fd = accept(watch->fd, NULL, NULL);

    (void)readable;
    (void)writable;
    if (fd < 0)
        return;
    for (channel = agent->channels; channel != NULL; channel = channel->next)
        open++;
    if (client == NULL || !client->started || open >= AGENT_CHANNELS) {
        close(fd);
        return;
    }
    set_nonblocking(fd);
    channel = take(sizeof *channel);
    channel->agent = agent;
    channel->client = client;
    snprintf(channel->id, sizeof channel->id, "%llu",
             (unsigned long long)++agent->count);
    channel->watch.fd = fd;
    channel->watch.read = true;
    channel->watch.owner = channel;
    channel->watch.ready = agent_channel_ready;
    channel->next = agent->channels;
    agent->channels = channel;
    loop_watch(&agent->session->d->loop, &channel->watch);
}

/* ---------------------------------------------------------------- messages */

/* Decodes base64 (RFC 4648 4), as far as it is some. */
static void agent_decode(struct bytes *out, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                 "qrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int count = 0;
    const char *digit;

    for (; *text != '\0' && (digit = strchr(digits, *text)) != NULL; text++) {
        bits = bits << 6 | (uint32_t)(digit - digits);
        if (++count % 4 != 1) {
            char byte = (char)(bits >> (6 - 2 * ((count - 1) % 4)) & 0xFF);

            bytes_add(out, &byte, 1);
        }
    }
}

/* The channel of an id that is a client's, or NULL. */
static struct agent_channel *agent_find(struct attachment *client,
                                        const char *id)
{
    struct agent_channel *channel =
        client->session == NULL || client->session->agent == NULL
            ? NULL
            : client->session->agent->channels;

    while (channel != NULL &&
           (channel->client != client || strcmp(channel->id, id) != 0))
        channel = channel->next;
    return channel;
}

/* The client's agent answers, or ends a channel. */
void agent_message(struct attachment *client, struct value body, bool ends)
{
    char *id = value_text(value_get(body, "channel_id"));
    char *data = ends ? NULL : value_text(value_get(body, "data"));
    struct agent_channel *channel =
        id == NULL ? NULL : agent_find(client, id);

    if (channel != NULL && !channel->closing) {
        if (data != NULL)
            agent_decode(&channel->out, data);
        channel->closing = ends || channel->out.len > AGENT_PENDING;
        channel->watch.write = true;
    }
    free(data);
    free(id);
}

/* A client has room again. */
void agent_room(struct session *session, struct attachment *client)
{
    struct agent_channel *channel =
        session->agent == NULL ? NULL : session->agent->channels;

    for (; channel != NULL; channel = channel->next) {
        if (channel->client == client)
            channel->watch.read = !channel->closing;
    }
}

/* A client leaves, with its channels. */
void agent_detach(struct session *session, struct attachment *client)
{
    struct agent_channel *channel =
        session->agent == NULL ? NULL : session->agent->channels, *next;

    for (; channel != NULL; channel = next) {
        next = channel->next;
        if (channel->client == client)
            agent_channel_free(channel, false);
    }
}

/* --------------------------------------------------------------- beginning */

/* Listens at a path that may be longer than a socket's address. */
static int agent_listen(const char *dir, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), at = -1;

    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dir,
                 name) >= (int)sizeof address.sun_path) {
        at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        snprintf(address.sun_path, sizeof address.sun_path,
                 "/proc/self/fd/%d/%s", at, name);
    }
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
         listen(fd, 16) != 0)) {
        close(fd);
        fd = -1;
    }
    if (at >= 0)
        close(at);
    return fd;
}

/* Makes a session's socket, and the variable that names it; NULL, or what is
 * wrong, taken. */
char *agent_start(struct session *session, const struct box *box,
                  struct map *env, const char *user)
{
    char digits[13], *name, *dir, *path;
    struct agent *agent;
    struct user_ids ids;
    int fd;

    random_hex(digits, 12);
    name = take_format("agent-%s", digits);
    dir = take_format("%s/root/tmp", box->dir);
    fd = agent_listen(dir, name);
    path = take_format("%s/%s", box->d->view ? "/tmp" : dir, name);
    if (fd >= 0) {
        agent = take(sizeof *agent);
        agent->session = session;
        agent->path = take_format("%s/%s", dir, name);
        set_nonblocking(fd);
        agent->listener.fd = fd;
        agent->listener.read = true;
        agent->listener.owner = agent;
        agent->listener.ready = agent_accept;
        loop_watch(&session->d->loop, &agent->listener);
        session->agent = agent;
        map_set(env, "SSH_AUTH_SOCK", path);
        user = user != NULL ? user : box->run.user;
        if (chmod(agent->path, 0600) != 0 ||
            (user != NULL && user_find(user, &ids) &&
             chown(agent->path, ids.uid, ids.gid) != 0))
            fprintf(stderr, "sandboxd: %s: its mode: %s\n", path,
                    strerror(errno));
    }
    free(path);
    free(dir);
    free(name);
    return fd >= 0 ? NULL
                   : take_format("no socket for an agent: %s",
                                 strerror(errno));
}

/* Ends a session's socket and channels. */
void agent_free(struct session *session)
{
    struct agent *agent = session->agent;

    if (agent == NULL)
        return;
    while (agent->channels != NULL)
        agent_channel_free(agent->channels, false);
    loop_unwatch(&session->d->loop, &agent->listener);
    close(agent->listener.fd);
    unlink(agent->path);
    free(agent->path);
    free(agent);
    session->agent = NULL;
}
