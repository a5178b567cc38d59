/* badnet.c: a network that misbehaves: a TCP relay in front of any server.
 *
 * SPDX-License-Identifier: MIT
 *
 * It delays, slows down, splits, swallows and cuts what passes. Options say
 * what happens to every connection or to the Nth; a client can say what happens
 * to its own by a header of its first request (see badnet_usage). Bytes count
 * from the first of the connection in that direction: "up" goes to the server,
 * "down" comes from it.
 *
 * One thread, one poll(). Bytes wait in a queue for each direction, with the
 * time at which they are due: a delay costs no throughput.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define HEAD_MAX 16384              /* of a first request */
#define PIECE 65536                 /* read at once */
#define QUEUE_MAX ((size_t)1 << 18) /* waiting, in one direction */
#define DELAYED_MAX ((size_t)1 << 24)   /* the same where there is a delay */
#define TRICKLE_US 1000             /* between two trickled pieces */
#define CLOSING_US 2000000          /* for the peers to take note of a cut */
#define RESET_US 200000             /* for what comes before a reset */
#define SILENCE_US 60000000         /* a silenced one outlives its peers */
#define PARENT_MS 500
#define NEVER UINT64_MAX

static const char badnet_usage[] =
    "badnet: a TCP relay that misbehaves\n"
    "  --to HOST:PORT       the server\n"
    "  --listen HOST:PORT   default 127.0.0.1:0, a port that the system picks\n"
    "  --log FILE           a JSON line for every connection that has ended;\n"
    "                       -: behind the ready line\n"
    "  --raw                X-Badnet is not looked for\n"
    "  --refuse             nobody listens\n"
    "  --die-with-parent    stop when the parent process has ended\n"
    "  --connection N       what follows is for the Nth connection only, with\n"
    "                       what was said for all\n"
    "faults, by options (--delay 50) or by a header of a connection's first\n"
    "request (X-Badnet: cut-down=123; delay=50; id=7), which is honoured once\n"
    "for each distinct value:\n"
    "  delay MS             for every byte, each way\n"
    "  rate N               bytes per second, each way\n"
    "  trickle N            pieces of N bytes, a millisecond apart\n"
    "  cut-up N, cut-down N       the connection ends after byte N\n"
    "  reset-up N, reset-down N   the same by a reset\n"
    "  silent-up N, silent-down N nothing passes after byte N, nobody is told\n"
    "SIGUSR1 resets every connection there is.\n";

enum { UP, DOWN };                  /* also: from the client, from the server */

/* What is to happen to a connection. NEVER: it does not. */
struct faults {
    uint64_t delay_ms;
    uint64_t rate;
    uint64_t trickle;
    uint64_t cut[2];
    uint64_t reset[2];
    uint64_t silent[2];
};

/* Bytes that wait, or, with none, the end of the stream. */
struct chunk {
    struct chunk *next;
    uint64_t due_us;
    size_t len;
    size_t at;
    bool reset;                     /* the end was one */
    char bytes[];
};

/* One direction of a connection. */
struct flow {
    struct chunk *first;
    struct chunk *last;
    size_t queued;
    uint64_t passed;                /* bytes that went on */
    uint64_t next_us;               /* not before, for rate and trickle */
    bool ended;                     /* nothing more will be read */
    bool done;                      /* and the other side knows */
    bool deaf;                      /* the other side takes nothing any more */
};

struct link {
    struct link *next;
    uint64_t number;
    int fd[2];                      /* the client, the server; -1: closed */
    bool up;                        /* the server's is connected */
    struct flow flow[2];
    struct faults faults;
    const char *why;                /* it was ended by; NULL: by the peers */
    uint64_t close_us;              /* and is over then; NEVER: it lives */
    uint64_t silent_us;             /* a peer that was told nothing is kept */
    bool by_reset;
    bool holding;                   /* the first request, to read its header */
    size_t head_len;
    char *head;
    uint64_t accepted_us;
};

/* The faults of one connection, by its number; 0: of every one. */
struct rule {
    uint64_t number;
    struct faults faults;
};

static struct {
    struct sockaddr_storage to;
    socklen_t to_len;
    int listener;
    int log;
    bool raw;
    bool refuse;
    bool die_with_parent;
    struct rule rules[64];
    size_t rule_count;
    uint64_t accepted;
    struct link *links;
    uint64_t *seen;                 /* hashes of the headers met so far */
    size_t seen_count, seen_room;
    struct pollfd *polls;
    size_t poll_room;
} net;

static int net_wake[2];             /* a byte in it: SIGUSR1 has come */

/* ----------------------------------------------------------- small ones -- */

static void __attribute__((noreturn)) fail(const char *what, const char *why)
{
    fprintf(stderr, "badnet: %s: %s\n", what, why);
    exit(1);
}

static void *take(void *block, size_t size)
{
    block = realloc(block, size);
    if (block == NULL)
        fail("memory", strerror(errno));
    return block;
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A descriptor that never blocks, delays or is inherited. */
static void prepare(int fd)
{
    int one = 1;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* --------------------------------------------------------------- faults -- */

static const struct faults no_faults = {
    0, 0, 0, { NEVER, NEVER }, { NEVER, NEVER }, { NEVER, NEVER }
};

/* Sets one fault by its name; false if there is none of that name, or the
 * number is none. */
static bool faults_set(struct faults *f, const char *name, size_t len,
                       const char *number)
{
    struct {
        const char *name;
        uint64_t *value;
    } words[] = {
        { "delay", &f->delay_ms },        { "delay-ms", &f->delay_ms },
        { "rate", &f->rate },             { "trickle", &f->trickle },
        { "cut-up", &f->cut[UP] },        { "cut-down", &f->cut[DOWN] },
        { "reset-up", &f->reset[UP] },    { "reset-down", &f->reset[DOWN] },
        { "silent-up", &f->silent[UP] },  { "silent-down", &f->silent[DOWN] }
    };
    size_t i, digits = strspn(number, "0123456789");

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].name) != len ||
            memcmp(words[i].name, name, len) != 0)
            continue;
        *words[i].value = strtoull(number, NULL, 10);
        return digits > 0 && digits < 19;
    }
    return false;
}

/* The faults of a new connection: those of its number, else of every one. */
static struct faults faults_of(uint64_t number)
{
    const struct faults *found = &no_faults;
    size_t i;

    for (i = 0; i < net.rule_count; i++) {
        if (net.rules[i].number == 0 && found == &no_faults)
            found = &net.rules[i].faults;
        if (net.rules[i].number == number)
            found = &net.rules[i].faults;
    }
    return *found;
}

/* Reads a header's value, "cut-down=123; id=7"; false if a word in it is
 * unknown, so that a misspelt fault is not one that never comes. */
static bool faults_read(struct faults *f, const char *text)
{
    while (*text != '\0') {
        size_t name, word;

        text += strspn(text, "; \t");
        word = strcspn(text, ";");
        name = strcspn(text, "=;");
        if (word == 0)
            break;
        if (name == word)
            return false;
        if (!(name == 2 && memcmp(text, "id", 2) == 0) &&
            !faults_set(f, text, name, text + name + 1))
            return false;
        text += word;
    }
    return true;
}

/* Notes a value; false if it was met before. */
static bool faults_new(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    size_t i;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    for (i = 0; i < net.seen_count; i++) {
        if (net.seen[i] == hash)
            return false;
    }
    if (net.seen_count == net.seen_room) {
        net.seen_room = net.seen_room * 2 + 64;
        net.seen = take(net.seen, net.seen_room * sizeof *net.seen);
    }
    net.seen[net.seen_count++] = hash;
    return true;
}

/* ---------------------------------------------------------------- flows -- */

/* Puts bytes, or the end with none, behind what waits. The first bytes of a
 * delayed connection pay for its handshake, too. */
static void flow_add(struct link *l, int way, const char *bytes, size_t len,
                     bool reset)
{
    struct flow *f = &l->flow[way];
    struct chunk *c = take(NULL, sizeof *c + len);
    uint64_t delay = l->faults.delay_ms * 1000;

    memset(c, 0, sizeof *c);
    c->due_us = now_us() + delay;
    if (way == UP && delay > 0 && c->due_us < l->accepted_us + 3 * delay)
        c->due_us = l->accepted_us + 3 * delay;
    if (f->last != NULL && c->due_us < f->last->due_us)
        c->due_us = f->last->due_us;
    c->len = len;
    c->reset = reset;
    if (len > 0)
        memcpy(c->bytes, bytes, len);
    if (f->last != NULL)
        f->last->next = c;
    else
        f->first = c;
    f->last = c;
    f->queued += len;
}

static void flow_drop_first(struct flow *f)
{
    struct chunk *c = f->first;

    f->first = c->next;
    if (f->first == NULL)
        f->last = NULL;
    f->queued -= c->len - c->at;
    free(c);
}

static void flow_clear(struct flow *f)
{
    while (f->first != NULL)
        flow_drop_first(f);
}

/* When its first chunk may go; NEVER without one. */
static uint64_t flow_due(const struct flow *f)
{
    if (f->first == NULL)
        return NEVER;
    return f->first->due_us > f->next_us ? f->first->due_us : f->next_us;
}

/* The fault that stops this direction first, and after how many bytes. */
static uint64_t flow_limit(const struct link *l, int way)
{
    const struct faults *f = &l->faults;

    return least(f->cut[way], least(f->reset[way], f->silent[way]));
}

static bool flow_silent(const struct link *l, int way)
{
    return l->flow[way].deaf || (flow_limit(l, way) == l->faults.silent[way] &&
                                 l->flow[way].passed == l->faults.silent[way]);
}

/* ---------------------------------------------------------------- links -- */

static void link_close_fd(struct link *l, int side)
{
    if (l->fd[side] >= 0)
        close(l->fd[side]);
    l->fd[side] = -1;
}

/* The line of a connection that has ended. */
static void link_log(const struct link *l)
{
    char line[256];
    int len = snprintf(line, sizeof line,
                       "{\"connection\":%llu,\"up\":%llu,\"down\":%llu,"
                       "\"end\":\"%s\"}\n",
                       (unsigned long long)l->number,
                       (unsigned long long)l->flow[UP].passed,
                       (unsigned long long)l->flow[DOWN].passed,
                       l->why != NULL ? l->why : "peers");

    if (net.log >= 0 && write(net.log, line, (size_t)len) < 0)
        fail("--log", strerror(errno));
}

/* Ends the connection on purpose: it lingers until the peers know. */
static void link_end(struct link *l, const char *why, bool reset)
{
    int side;

    l->why = why;
    l->by_reset = reset;
    l->close_us = now_us() + (reset ? RESET_US : CLOSING_US);
    l->holding = false;
    link_log(l);
    for (side = 0; side < 2; side++) {
        flow_clear(&l->flow[side]);
        if (!reset && l->fd[side] >= 0)
            shutdown(l->fd[side], SHUT_WR);
    }
}

/* Whether all that was sent to a peer has reached it. */
static bool link_sent(const struct link *l, int side)
{
    int waiting = 0;

    return l->fd[side] < 0 ||
           ioctl(l->fd[side], TIOCOUTQ, &waiting) != 0 || waiting == 0;
}

/* A reset goes out once what precedes it has arrived: at once as a rule. */
static void link_reset(struct link *l)
{
    struct linger now = { 1, 0 };
    int side;

    if ((!link_sent(l, 0) || !link_sent(l, 1)) && now_us() < l->close_us)
        return;
    for (side = 0; side < 2; side++) {
        if (l->fd[side] >= 0)
            setsockopt(l->fd[side], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        link_close_fd(l, side);
    }
}

static void link_free(struct link *l)
{
    if (l->close_us == NEVER)
        link_log(l);
    link_close_fd(l, 0);
    link_close_fd(l, 1);
    flow_clear(&l->flow[UP]);
    flow_clear(&l->flow[DOWN]);
    free(l->head);
    free(l);
}

/* Begins to connect to the server. */
static void link_connect(struct link *l)
{
    l->fd[1] = socket(net.to.ss_family, SOCK_STREAM, 0);
    if (l->fd[1] < 0) {
        link_end(l, "no descriptor", true);
        return;
    }
    prepare(l->fd[1]);
    if (connect(l->fd[1], (struct sockaddr *)&net.to, net.to_len) != 0 &&
        errno != EINPROGRESS)
        link_end(l, "no server", true);
}

/* A client has come. */
static void link_accept(int fd)
{
    struct link *l = take(NULL, sizeof *l);

    memset(l, 0, sizeof *l);
    prepare(fd);
    l->next = net.links;
    net.links = l;
    l->number = ++net.accepted;
    l->fd[0] = fd;
    l->fd[1] = -1;
    l->close_us = NEVER;
    l->silent_us = 0;
    l->accepted_us = now_us();
    l->faults = faults_of(l->number);
    l->holding = !net.raw;
    if (l->holding)
        l->head = take(NULL, HEAD_MAX + 1);
    link_connect(l);
}

/* ---------------------------------------------------- the first request -- */

/* Whether these bytes may begin a request: a method, a blank, a slash. */
static bool head_plausible(const char *head, size_t len)
{
    size_t i = 0;

    while (i < len && head[i] >= 'A' && head[i] <= 'Z')
        i++;
    if (i > 10 || (i == 0 && len > 0))
        return false;
    if (i < len && head[i] != ' ')
        return false;
    return i + 1 >= len || head[i + 1] == '/';
}

/* Copies the value of X-Badnet into `value`; false if there is none. */
static bool head_value(const char *head, char *value, size_t size)
{
    static const char name[] = "\r\nx-badnet:";
    const char *at;
    size_t i;

    for (at = head; *at != '\0'; at++) {
        for (i = 0; name[i] != '\0'; i++) {
            char c = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] + 32) : at[i];

            if (c != name[i])
                break;
        }
        if (name[i] != '\0')
            continue;
        at += i;
        at += strspn(at, " \t");
        snprintf(value, size, "%.*s", (int)strcspn(at, "\r"), at);
        return true;
    }
    return false;
}

/* Lets go of what was held, with the faults that it asks for. */
static void head_release(struct link *l)
{
    char value[256];

    l->holding = false;
    l->head[l->head_len] = '\0';
    if (head_value(l->head, value, sizeof value) && faults_new(value) &&
        !faults_read(&l->faults, value)) {
        fprintf(stderr, "badnet: not a fault: %s\n", value);
        link_end(l, "not a fault", true);
        return;
    }
    if (l->head_len > 0)
        flow_add(l, UP, l->head, l->head_len, false);
}

/* Holds the client's first bytes until its header has come, or cannot. */
static void head_add(struct link *l, const char *bytes, size_t len)
{
    size_t part = len;

    if (part > HEAD_MAX - l->head_len)
        part = HEAD_MAX - l->head_len;
    memcpy(l->head + l->head_len, bytes, part);
    l->head_len += part;
    l->head[l->head_len] = '\0';
    if (l->head_len < HEAD_MAX && head_plausible(l->head, l->head_len) &&
        strstr(l->head, "\r\n\r\n") == NULL)
        return;
    head_release(l);
    if (part < len && l->close_us == NEVER)
        flow_add(l, UP, bytes + part, len - part, false);
}

/* --------------------------------------------------------------- moving -- */

static bool link_wants_read(const struct link *l, int way)
{
    const struct flow *f = &l->flow[way];

    if (l->fd[way] < 0)
        return false;
    if (l->close_us != NEVER)
        return !l->by_reset && !f->ended;
    return !f->ended && (way == UP || l->up) &&
           f->queued < (l->faults.delay_ms > 0 ? DELAYED_MAX : QUEUE_MAX);
}

static bool link_wants_write(const struct link *l, int way)
{
    if (l->fd[!way] < 0 || l->close_us != NEVER)
        return false;
    if (way == UP && !l->up)
        return true;
    return flow_due(&l->flow[way]) <= now_us();
}

/* Takes in what a peer has sent. */
static void link_read(struct link *l, int way)
{
    static char bytes[PIECE];
    struct flow *f = &l->flow[way];
    ssize_t n = recv(l->fd[way], bytes, sizeof bytes, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        bool reset = n < 0;

        f->ended = true;
        if (l->close_us != NEVER)
            return;
        if (way == UP && l->holding)
            head_release(l);
        if (l->close_us == NEVER)
            flow_add(l, way, NULL, 0, reset);
    } else if (l->close_us == NEVER) {
        if (way == UP && l->holding)
            head_add(l, bytes, (size_t)n);
        else
            flow_add(l, way, bytes, (size_t)n, false);
    }
}

/* How much of a chunk may go now. */
static size_t link_portion(const struct link *l, int way,
                           const struct chunk *c)
{
    uint64_t n = c->len - c->at;

    n = least(n, flow_limit(l, way) - l->flow[way].passed);
    if (l->faults.trickle > 0)
        n = least(n, l->faults.trickle);
    if (l->faults.rate > 0)
        n = least(n, l->faults.rate / 100 + 1);
    return (size_t)n;
}

/* Ends the connection if a direction has had all that it may have. */
static void link_limit(struct link *l, int way)
{
    static const char *const cut[] = { "cut-up", "cut-down" };
    static const char *const reset[] = { "reset-up", "reset-down" };
    uint64_t passed = l->flow[way].passed;

    if (l->faults.cut[way] == passed)
        link_end(l, cut[way], false);
    else if (l->faults.reset[way] == passed)
        link_end(l, reset[way], true);
}

/* Passes on the end of a direction. */
static void link_pass_end(struct link *l, int way)
{
    struct flow *f = &l->flow[way];
    bool reset = f->first->reset;

    flow_drop_first(f);
    f->done = true;
    if (!f->deaf && flow_silent(l, way))
        l->silent_us = now_us() + SILENCE_US;
    if (flow_silent(l, way))
        return;
    if (reset)
        link_end(l, NULL, true);
    else
        shutdown(l->fd[!way], SHUT_WR);
}

/* Sets when the next bytes may go. */
static void link_pace(struct link *l, int way, size_t sent)
{
    uint64_t now = now_us(), *next = &l->flow[way].next_us;

    if (l->faults.rate > 0)
        *next = (*next + 20000 > now ? *next : now) +
                (uint64_t)sent * 1000000 / l->faults.rate;
    if (l->faults.trickle > 0 && *next < now + TRICKLE_US)
        *next = now + TRICKLE_US;
}

/* Passes on what is due in a direction; false when it has to wait. */
static bool link_write_some(struct link *l, int way)
{
    struct flow *f = &l->flow[way];
    struct chunk *c = f->first;
    ssize_t n;
    size_t len;

    if (l->close_us != NEVER || flow_due(f) > now_us())
        return false;
    if (c->len == 0) {
        link_pass_end(l, way);
        return true;
    }
    if (flow_silent(l, way)) {
        flow_drop_first(f);
        return true;
    }
    len = link_portion(l, way, c);
    n = len == 0 ? 0 : send(l->fd[!way], c->bytes + c->at, len, MSG_NOSIGNAL);
    if (n < 0) {
        f->deaf = errno != EAGAIN && errno != EINTR;
        return f->deaf;
    }
    c->at += (size_t)n;
    f->queued -= (size_t)n;
    f->passed += (uint64_t)n;
    link_pace(l, way, (size_t)n);
    if (c->at == c->len)
        flow_drop_first(f);
    link_limit(l, way);
    return true;
}

/* The server's connection is there, or is not to be had. */
static void link_connected(struct link *l)
{
    int code = 0;
    socklen_t len = sizeof code;

    getsockopt(l->fd[1], SOL_SOCKET, SO_ERROR, &code, &len);
    if (code != 0)
        link_end(l, "no server", true);
    else
        l->up = true;
}

/* Does what can be done for a connection. */
static void link_step(struct link *l, const short ready[2])
{
    int way;

    if (!l->up && l->fd[1] >= 0 && l->close_us == NEVER && ready[1] != 0)
        link_connected(l);
    for (way = UP; way <= DOWN; way++) {
        if (ready[way] != 0 && link_wants_read(l, way))
            link_read(l, way);
        while (l->up && link_write_some(l, way))
            ;
    }
    if (l->close_us == NEVER && l->up && !l->holding &&
        (l->faults.cut[UP] == 0 || l->faults.reset[UP] == 0))
        link_limit(l, UP);
    if (l->close_us != NEVER && l->by_reset)
        link_reset(l);
}

/* Whether nothing can come of a connection any more. */
static bool link_over(const struct link *l)
{
    if (l->close_us == NEVER)
        return l->flow[UP].done && l->flow[DOWN].done &&
               now_us() >= l->silent_us;
    if (l->by_reset)
        return l->fd[0] < 0 && l->fd[1] < 0;
    return (l->flow[UP].ended && l->flow[DOWN].ended) ||
           now_us() >= l->close_us;
}

/* ----------------------------------------------------------------- loop -- */

/* Lists what is waited for; returns how many there are. */
static size_t loop_list(void)
{
    size_t count = 2, room = 2;
    struct link *l;

    for (l = net.links; l != NULL; l = l->next)
        room += 2;
    if (room > net.poll_room) {
        net.poll_room = room * 2;
        net.polls = take(net.polls, net.poll_room * sizeof *net.polls);
    }
    net.polls[0].fd = net.listener;
    net.polls[1].fd = net_wake[0];
    net.polls[0].events = net.polls[1].events = POLLIN;
    net.polls[0].revents = net.polls[1].revents = 0;
    for (l = net.links; l != NULL; l = l->next) {
        int side;

        for (side = 0; side < 2; side++, count++) {
            struct pollfd *p = &net.polls[count];

            p->events = (short)((link_wants_read(l, side) ? POLLIN : 0) |
                                (link_wants_write(l, !side) ? POLLOUT : 0));
            p->fd = p->events != 0 ? l->fd[side] : -1;
            p->revents = 0;
        }
    }
    return count;
}

/* How long the loop may sleep. */
static int loop_timeout(void)
{
    uint64_t due = NEVER, now = now_us();
    struct link *l;

    for (l = net.links; l != NULL; l = l->next) {
        if (l->close_us != NEVER) {
            due = least(due, l->by_reset ? now + 1000 : l->close_us);
            continue;
        }
        if (l->silent_us > now)
            due = least(due, l->silent_us);
        if (!l->up)
            continue;
        if (flow_due(&l->flow[UP]) > now)
            due = least(due, flow_due(&l->flow[UP]));
        if (flow_due(&l->flow[DOWN]) > now)
            due = least(due, flow_due(&l->flow[DOWN]));
    }
    if (due == NEVER)
        return net.die_with_parent ? PARENT_MS : -1;
    if (due <= now)
        return 0;
    return (int)least((due - now + 999) / 1000, PARENT_MS);
}

static void loop_accept(void)
{
    int fd;

    while ((fd = accept(net.listener, NULL, NULL)) >= 0)
        link_accept(fd);
}

/* One round: waits, serves every connection, forgets those that are over. */
static void loop_round(void)
{
    size_t count = loop_list(), i = 2;
    struct link **at = &net.links;
    char byte;
    bool drop;

    if (poll(net.polls, (nfds_t)count, loop_timeout()) < 0 && errno != EINTR)
        fail("poll", strerror(errno));
    drop = read(net_wake[0], &byte, 1) == 1;
    while (*at != NULL) {
        struct link *l = *at;
        short ready[2];

        ready[0] = net.polls[i++].revents;
        ready[1] = net.polls[i++].revents;
        if (drop && l->close_us == NEVER)
            link_end(l, "signal", true);
        link_step(l, ready);
        if (!link_over(l)) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        link_free(l);
    }
    if (net.polls[0].revents != 0)
        loop_accept();
}

/* ---------------------------------------------------------------- start -- */

/* Splits HOST:PORT, [HOST]:PORT too, and looks the address up. */
static socklen_t start_address(const char *text, struct sockaddr_storage *out)
{
    const char *colon = strrchr(text, ':');
    struct addrinfo hints, *found;
    char host[256];
    bool quoted = text[0] == '[';
    socklen_t len;
    int code;

    if (colon == NULL)
        fail(text, "HOST:PORT is expected");
    snprintf(host, sizeof host, "%.*s",
             (int)(colon - text) - (quoted ? 2 : 0), text + quoted);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code != 0)
        fail(text, gai_strerror(code));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    len = found->ai_addrlen;
    freeaddrinfo(found);
    return len;
}

/* Binds, listens (unless nobody is to be there) and says where. */
static void start_listen(const char *text)
{
    struct sockaddr_storage address;
    socklen_t len = start_address(text, &address);
    char port[16];
    int one = 1;

    net.listener = socket(address.ss_family, SOCK_STREAM, 0);
    if (net.listener < 0)
        fail("socket", strerror(errno));
    setsockopt(net.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    prepare(net.listener);
    if (bind(net.listener, (struct sockaddr *)&address, len) != 0 ||
        (!net.refuse && listen(net.listener, 1024) != 0) ||
        getsockname(net.listener, (struct sockaddr *)&address, &len) != 0)
        fail(text, strerror(errno));
    if (getnameinfo((struct sockaddr *)&address, len, NULL, 0, port,
                    sizeof port, NI_NUMERICSERV) != 0)
        fail(text, "no port");
    printf("{\"port\":%s,\"pid\":%ld}\n", port, (long)getpid());
    fflush(stdout);
}

/* The rule that options go to. */
static struct faults *start_rule(uint64_t number)
{
    if (net.rule_count == sizeof net.rules / sizeof net.rules[0])
        fail("--connection", "too many");
    net.rules[net.rule_count].number = number;
    net.rules[net.rule_count].faults =
        number == 0 ? no_faults : net.rules[0].faults;
    return &net.rules[net.rule_count++].faults;
}

static void on_drop(int signal_number)
{
    int code = errno;

    (void)signal_number;
    if (write(net_wake[1], "", 1) < 0)
        errno = code;               /* full: there are enough in it */
}

/* Signals and limits. */
static void start_process(void)
{
    struct sigaction action;
    struct rlimit limit;

    if (pipe(net_wake) != 0)
        fail("pipe", strerror(errno));
    prepare(net_wake[0]);
    prepare(net_wake[1]);
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_drop;
    sigaction(SIGUSR1, &action, NULL);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
#ifdef __linux__
    if (net.die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
}

/* Where the lines of connections go. */
static int start_log(const char *path)
{
    int fd = strcmp(path, "-") == 0
                 ? 1
                 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0)
        fail(path, strerror(errno));
    return fd;
}

/* Reads the options; returns where to listen. */
static const char *start_options(int argc, char **argv)
{
    const char *where = "127.0.0.1:0";
    struct faults *faults = start_rule(0);
    int i;

    for (i = 1; i < argc; i++) {
        const char *name = argv[i], *value;

        if (strcmp(name, "--raw") == 0)
            net.raw = true;
        else if (strcmp(name, "--refuse") == 0)
            net.refuse = true;
        else if (strcmp(name, "--die-with-parent") == 0)
            net.die_with_parent = true;
        if (strcmp(name, "--raw") == 0 || strcmp(name, "--refuse") == 0 ||
            strcmp(name, "--die-with-parent") == 0)
            continue;
        value = ++i < argc ? argv[i] : "";
        if (strcmp(name, "--to") == 0)
            net.to_len = start_address(value, &net.to);
        else if (strcmp(name, "--listen") == 0)
            where = value;
        else if (strcmp(name, "--log") == 0)
            net.log = start_log(value);
        else if (strcmp(name, "--connection") == 0)
            faults = start_rule(strtoull(value, NULL, 10));
        else if (strncmp(name, "--", 2) != 0 ||
                 !faults_set(faults, name + 2, strlen(name + 2), value)) {
            fputs(badnet_usage, stderr);
            exit(2);
        }
    }
    return where;
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    const char *where;

    net.log = -1;
    where = start_options(argc, argv);
    if (net.to_len == 0 && !net.refuse)
        fail("--to", "HOST:PORT is expected");
    start_process();
    start_listen(where);
    while (!net.die_with_parent || getppid() == parent) {
        if (net.refuse)
            poll(NULL, 0, PARENT_MS);
        else
            loop_round();
    }
    return 0;
}
