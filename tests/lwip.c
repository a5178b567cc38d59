/* lwip.c: port/lwip.c, run: lwIP in this process, the host's own sockets as its
 * peer, a tap device in between.
 *
 * SPDX-License-Identifier: MIT
 *
 * `make test-lwip` makes the tap device in a network namespace of its own
 * (tests/lwip.sh). Frames are copied into one PBUF_RAM each. The lwIP of this
 * system was built without its resolver: the one below stands in for it, with
 * its interface, its thread and its habits, so that what is tested is the
 * port's side of it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/sys.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"

#include "../lssb.h"
#include "../port/device.h"
#include "../port/port.h"
#include "test.h"

#define HOST "10.77.0.1"            /* this system, as lwIP sees it */

/* ------------------------------------------------------------ the device -- */

bool lssb_device_random(void *bytes, size_t len)
{
    int fd = open("/dev/urandom", O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, bytes, len) : -1;

    close(fd);
    return n == (ssize_t)len;
}

int64_t lssb_device_wall_s(void)
{
    return (int64_t)time(NULL);
}

/* --------------------------------------------------------- the interface -- */

static int tap = -1;
static struct netif interface;

/* Sends a frame. */
static err_t tap_send(struct netif *netif, struct pbuf *frame)
{
    unsigned char bytes[1600];
    u16_t len = pbuf_copy_partial(frame, bytes, sizeof bytes, 0);

    (void)netif;
    return write(tap, bytes, len) == (ssize_t)len ? ERR_OK : ERR_IF;
}

static err_t tap_start(struct netif *netif)
{
    static const u8_t address[] = { 2, 0, 0, 0, 0, 7 };

    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->output = etharp_output;
    netif->linkoutput = tap_send;
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof address;
    memcpy(netif->hwaddr, address, sizeof address);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
                   NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

/* Receives frames for ever. */
static void *tap_receive(void *unused)
{
    unsigned char bytes[1600];

    (void)unused;
    for (;;) {
        ssize_t n = read(tap, bytes, sizeof bytes);
        struct pbuf *frame;

        if (n <= 0)
            return NULL;
        frame = pbuf_alloc(PBUF_RAW, (u16_t)n, PBUF_RAM);
        if (frame == NULL)
            continue;
        pbuf_take(frame, bytes, (u16_t)n);
        if (interface.input(frame, &interface) != ERR_OK)
            pbuf_free(frame);
    }
}

/* Starts lwIP, with the address next to the host's. */
static void stack_ready(void *semaphore)
{
    ip4_addr_t address, mask, gateway;

    IP4_ADDR(&address, 10, 77, 0, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 0, 0, 0, 0);
    netif_add(&interface, &address, &mask, &gateway, NULL, tap_start,
              tcpip_input);
    netif_set_up(&interface);
    sys_sem_signal(semaphore);
}

static int stack_start(const char *device)
{
    struct ifreq request;
    pthread_t thread;
    sys_sem_t ready;

    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    tap = open("/dev/net/tun", O_RDWR);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0)
        return 0;
    sys_sem_new(&ready, 0);
    tcpip_init(stack_ready, &ready);
    sys_arch_sem_wait(&ready, 0);
    sys_sem_free(&ready);
    return pthread_create(&thread, NULL, tap_receive, NULL) == 0;
}

/* ---------------------------------------------------------- the resolver -- */

/* What was asked, to be answered by lwIP's thread later. */
struct question {
    char name[64];
    dns_found_callback found;
    void *ctx;
};
static struct question questions[8];
static size_t question_count;
static unsigned answers_given;

static void question_answer(void *ctx)
{
    struct question *question = ctx;
    ip_addr_t address;

    IP_ADDR4(&address, 10, 77, 0, 1);
    question->found(question->name,
                    strcmp(question->name, "nowhere.test") == 0 ? NULL
                                                                : &address,
                    question->ctx);
    __atomic_add_fetch(&answers_given, 1, __ATOMIC_RELEASE);
}

/* As lwIP's: what it has is said at once, what it can ask about later, and what
 * is silly is an error. */
err_t dns_gethostbyname_addrtype(const char *name, ip_addr_t *address,
                                 dns_found_callback found, void *ctx,
                                 u8_t type)
{
    struct question *question = &questions[question_count++ % 8];

    (void)type;
    if (strcmp(name, "known.test") == 0) {
        IP_ADDR4(address, 10, 77, 0, 1);
        return ERR_OK;
    }
    if (strcmp(name, "full.test") == 0)
        return ERR_MEM;
    if (strcmp(name, "noserver.test") == 0)
        return ERR_VAL;
    strcpy(question->name, name);
    question->found = found;
    question->ctx = ctx;
    sys_timeout(30, question_answer, question);
    return ERR_INPROGRESS;
}

/* --------------------------------------------------------------- helpers -- */

static const lssb_port *const port = &lssb_default_port;
static const lssb_listen_port *const listens = &lssb_default_listen_port;
static uint64_t context_room[16];
static void *const context = context_room;

#define PATIENCE 10000              /* ms, for what is sure to happen */

static lssb_address host_address(uint16_t number)
{
    lssb_address address = { 4, { 10, 77, 0, 1 }, 0, 0 };

    address.port = number;
    return address;
}

/* A socket of the host's that listens at HOST, and its port. */
static int host_listen(uint16_t *number)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int s = socket(AF_INET, SOCK_STREAM, 0);

    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    inet_pton(AF_INET, HOST, &at.sin_addr);
    if (bind(s, (struct sockaddr *)&at, len) != 0 || listen(s, 8) != 0 ||
        getsockname(s, (struct sockaddr *)&at, &len) != 0)
        return -1;
    *number = ntohs(at.sin_port);
    return s;
}

/* Waits for one handle; true: it is ready. */
static bool ready(lssb_handle handle, bool read, bool write)
{
    lssb_poll one = { handle, read, write, false, 0 };
    uint64_t end = port->now_ms(context) + PATIENCE;
    int32_t code = 0;

    do {
        if (port->wait(context, &one, 1, PATIENCE, &code) != LSSB_IO_OK)
            return false;
    } while (!one.ready && port->now_ms(context) < end);
    return one.ready;
}

/* What a connection that was started comes to. */
static lssb_io outcome(lssb_handle handle)
{
    int32_t code = 0;
    lssb_io io;

    do {
        if (!ready(handle, false, true))
            return LSSB_IO_AGAIN;
        io = port->connected(context, handle, &code);
    } while (io == LSSB_IO_AGAIN);
    return io;
}

/* A connection between lwIP and the host. */
struct pair {
    lssb_handle ours;
    int theirs;
};

static bool pair_make(struct pair *pair)
{
    uint16_t number = 0;
    int listener = host_listen(&number);
    lssb_address to = host_address(number);
    int32_t code = 0;
    bool well;

    well = port->connect(context, &to, &pair->ours, &code) == LSSB_IO_OK &&
           outcome(pair->ours) == LSSB_IO_OK;
    pair->theirs = well ? accept(listener, NULL, NULL) : -1;
    close(listener);
    return well;
}

static void pair_close(struct pair *pair)
{
    port->close_handle(context, pair->ours, false);
    close(pair->theirs);
}

/* -------------------------------------------------------- tests: sockets -- */

static void a_connection_carries_bytes_both_ways_and_ends(void)
{
    struct pair pair;
    char bytes[8];
    int32_t code = 0;

    EXPECT(pair_make(&pair));
    EXPECT_INT(port->receive(context, pair.ours, bytes, 8, &code),
               LSSB_IO_AGAIN);
    EXPECT_INT(port->send(context, pair.ours, "hello", 5, &code), 5);
    EXPECT_INT(recv(pair.theirs, bytes, 5, MSG_WAITALL), 5);
    EXPECT(memcmp(bytes, "hello", 5) == 0);
    EXPECT_INT(send(pair.theirs, "good", 4, 0), 4);
    EXPECT(ready(pair.ours, true, false));
    EXPECT_INT(port->receive(context, pair.ours, bytes, 8, &code), 4);
    shutdown(pair.theirs, SHUT_WR);
    EXPECT(ready(pair.ours, true, false));
    EXPECT_INT(port->receive(context, pair.ours, bytes, 8, &code), 0);
    EXPECT_INT(listens->finish(context, pair.ours, &code), LSSB_IO_OK);
    EXPECT_INT(recv(pair.theirs, bytes, 8, 0), 0);
    pair_close(&pair);
}

static void a_port_where_nobody_listens_refuses(void)
{
    uint16_t number = 0;
    int listener = host_listen(&number);
    lssb_address to = host_address(number);
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;

    close(listener);
    EXPECT_INT(port->connect(context, &to, &handle, &code), LSSB_IO_OK);
    EXPECT_INT(outcome(handle), LSSB_IO_REFUSED);
    port->close_handle(context, handle, true);
}

static void a_network_without_a_route_is_unreachable(void)
{
    lssb_address to = { 4, { 203, 0, 113, 1 }, 443, 0 };
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;
    lssb_io io = port->connect(context, &to, &handle, &code);

    if (io == LSSB_IO_OK) {
        io = outcome(handle);
        port->close_handle(context, handle, true);
    }
    EXPECT_INT(io, LSSB_IO_UNREACHABLE);
    EXPECT(code != 0);
}

static void a_reset_is_told_as_one_and_given_as_one(void)
{
    struct linger now = { 1, 0 };
    struct pair pair;
    char bytes[8];
    int32_t code = 0;

    EXPECT(pair_make(&pair));
    setsockopt(pair.theirs, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(pair.theirs);
    EXPECT(ready(pair.ours, true, false));
    EXPECT_INT(port->receive(context, pair.ours, bytes, 8, &code),
               LSSB_IO_RESET);
    EXPECT_INT(port->receive(context, pair.ours, bytes, 8, &code),
               LSSB_IO_RESET);
    port->close_handle(context, pair.ours, true);
    EXPECT(pair_make(&pair));
    EXPECT_INT(port->connected(context, pair.ours, &code), LSSB_IO_OK);
    setsockopt(pair.theirs, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(pair.theirs);
    EXPECT(ready(pair.ours, true, false));
    EXPECT(port->connected(context, pair.ours, &code) < LSSB_IO_AGAIN);
    port->close_handle(context, pair.ours, true);
    EXPECT(pair_make(&pair));
    port->close_handle(context, pair.ours, true);
    EXPECT_INT(recv(pair.theirs, bytes, 8, 0), -1);
    EXPECT_INT(errno, ECONNRESET);
    close(pair.theirs);
}

/* Reads `left` bytes from the host's end and checks them. */
static size_t drain(int s, size_t at, size_t left)
{
    unsigned char bytes[4096];
    size_t wrong = 0, i;

    while (left > 0) {
        ssize_t n = recv(s, bytes, left < sizeof bytes ? left : sizeof bytes,
                         0);

        if (n <= 0)
            return wrong + left;
        for (i = 0; i < (size_t)n; i++, at++)
            wrong += bytes[i] != (unsigned char)(at * 31 + at / 251);
        left -= (size_t)n;
    }
    return wrong;
}

static void sending_says_again_when_the_peer_does_not_read(void)
{
    static unsigned char bytes[1460];
    struct pair pair;
    size_t sent = 0, i;
    ptrdiff_t n;
    int32_t code = 0;
    int rounds;

    EXPECT(pair_make(&pair));
    for (rounds = 0; rounds < 3; rounds++) {
        size_t before = sent;

        do {
            for (i = 0; i < sizeof bytes; i++)
                bytes[i] =
                    (unsigned char)((sent + i) * 31 + (sent + i) / 251);
            n = port->send(context, pair.ours, bytes, sizeof bytes, &code);
            sent += n > 0 ? (size_t)n : 0;
        } while (n > 0 && sent < 64u << 20);
        EXPECT_INT(n, LSSB_IO_AGAIN);
        EXPECT_INT(drain(pair.theirs, before, sent - before), 0);
        EXPECT(ready(pair.ours, false, true));
    }
    pair_close(&pair);
}

/* ------------------------------------------------------ tests: listening -- */

static void a_listener_takes_what_connects_and_its_port_is_taken(void)
{
    lssb_address at = { 4, { 0 }, 0, 0 };
    struct sockaddr_in to;
    lssb_handle listener = LSSB_NO_HANDLE, second, ours = LSSB_NO_HANDLE;
    uint16_t number = 0, other;
    int32_t code = 0;
    char bytes[4];
    int s = socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_INT(listens->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    EXPECT(number != 0);
    at.port = number;
    EXPECT_INT(listens->listen(context, &at, &second, &other, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(listens->accept(context, listener, &ours, &code),
               LSSB_IO_AGAIN);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(number);
    inet_pton(AF_INET, "10.77.0.2", &to.sin_addr);
    EXPECT_INT(connect(s, (struct sockaddr *)&to, sizeof to), 0);
    EXPECT(ready(listener, true, false));
    EXPECT_INT(listens->accept(context, listener, &ours, &code), LSSB_IO_OK);
    EXPECT_INT(port->receive(context, ours, bytes, 4, &code), LSSB_IO_AGAIN);
    EXPECT_INT(send(s, "abc", 3, 0), 3);
    EXPECT(ready(ours, true, false));
    EXPECT_INT(port->receive(context, ours, bytes, 4, &code), 3);
    port->close_handle(context, ours, false);
    port->close_handle(context, listener, false);
    close(s);
}

/* -------------------------------------------------------- tests: waiting -- */

static void waiting_leaves_the_list_as_it_was(void)
{
    lssb_poll list[6], before[6];
    struct pair pair;
    lssb_handle job = LSSB_NO_HANDLE;
    int32_t code = 0;
    size_t i;

    EXPECT(pair_make(&pair));
    EXPECT_INT(port->resolve(context, "somewhere.test", &job, &code),
               LSSB_IO_OK);
    memset(list, 0, sizeof list);
    for (i = 0; i < 6; i++)
        list[i].handle = pair.ours;
    list[0].read = true;            /* nothing to read */
    list[1].write = true;           /* ready */
    list[2].handle = job;
    list[2].read = true;            /* not yet, or ready */
    list[4].handle = LSSB_NO_HANDLE;
    list[4].read = true;
    list[5].read = list[5].write = true;
    memcpy(before, list, sizeof list);
    EXPECT_INT(port->wait(context, list, 6, PATIENCE, &code), LSSB_IO_OK);
    for (i = 0; i < 6; i++) {
        EXPECT_INT(list[i].handle, before[i].handle);
        EXPECT_INT(list[i].read, before[i].read);
        EXPECT_INT(list[i].write, before[i].write);
        EXPECT(i == 2 || list[i].ready == (i == 1 || i == 5));
    }
    EXPECT(ready(job, true, false));
    port->close_handle(context, job, false);
    pair_close(&pair);
}

static void waiting_ends_when_its_time_is_up(void)
{
    uint64_t start = port->now_ms(context);
    int32_t code = 0;

    EXPECT_INT(port->wait(context, NULL, 0, 120, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start >= 110);
    EXPECT_INT(port->wait(context, NULL, 0, 0, &code), LSSB_IO_OK);
}

static void *wake_it(void *unused)
{
    (void)unused;
    sys_msleep(20);                 /* more likely into the wait than before */
    port->wake(context);
    return NULL;
}

static void raise_it(void *flag)
{
    sys_sem_signal(flag);
}

/* Until lwIP's thread has done all that it was asked for before. */
static void settle(void)
{
    sys_sem_t done;

    EXPECT_INT(sys_sem_new(&done, 0), ERR_OK);
    EXPECT_INT(tcpip_callback(raise_it, &done), ERR_OK);
    sys_sem_wait(&done);
    sys_sem_free(&done);
}

static void a_wake_ends_a_wait_or_the_next_one(void)
{
    uint64_t start = port->now_ms(context);
    pthread_t thread;
    int32_t code = 0;

    port->wake(context);
    port->wake(context);
    EXPECT_INT(port->wait(context, NULL, 0, 60000, &code), LSSB_IO_OK);
    pthread_create(&thread, NULL, wake_it, NULL);
    EXPECT_INT(port->wait(context, NULL, 0, 60000, &code), LSSB_IO_OK);
    pthread_join(thread, NULL);
    EXPECT(port->now_ms(context) - start < 30000);
    port->wake(context);
    settle();                       /* else the event may come afterwards */
    port->wake_clear(context);
    start = port->now_ms(context);
    EXPECT_INT(port->wait(context, NULL, 0, 60, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start >= 50);
}

#ifdef LSSB_IN_INTERRUPT

/* How many times a wait looks around is how late it notices a flag; an event
 * ends a single look. */
static void a_wake_is_an_event_that_others_may_wait_for(void)
{
    struct lwip_pollfd {
        int fd;
        short events;
        short revents;
    } one = { 0, 1, 0 };            /* POLLIN of lwIP's */
    int lwip_poll(struct lwip_pollfd *list, unsigned count, int timeout);
    pthread_t thread;
    int i;

    one.fd = (int)port->wake_handle(context);
    EXPECT(one.fd >= 0);
    for (i = 0; i < 50; i++) {
        EXPECT_INT(lwip_poll(&one, 1, 0), 0);
        pthread_create(&thread, NULL, wake_it, NULL);
        EXPECT_INT(lwip_poll(&one, 1, PATIENCE), 1);
        pthread_join(thread, NULL);
        port->wake(context);        /* raised once, however many there are */
        settle();
        port->wake_clear(context);
    }
}

static void a_resolver_s_answer_is_an_event(void)
{
    lssb_handle job = LSSB_NO_HANDLE;
    uint64_t start, fastest = PATIENCE;
    int32_t code = 0;
    int i;

    for (i = 0; i < 10; i++) {
        EXPECT_INT(port->resolve(context, "somewhere.test", &job, &code),
                   LSSB_IO_OK);
        start = port->now_ms(context);
        EXPECT(ready(job, true, false));
        if (port->now_ms(context) - start < fastest)
            fastest = port->now_ms(context) - start;
        port->close_handle(context, job, false);
    }
    EXPECT(fastest < 500);          /* not found by looking around */
}

static void contexts_come_and_go_with_wakes_on_their_way(void)
{
    static uint64_t room[16];
    int32_t code = 0;
    int i;

    for (i = 0; i < 200; i++) {
        memset(room, 0, sizeof room);
        EXPECT_INT(port->open(room, &code), LSSB_IO_OK);
        port->wake(room);
        port->close(room, false);
    }
}

#endif

/* ---------------------------------------------------------- tests: names -- */

static void names_are_resolved_behind_your_back(void)
{
    static const struct {
        const char *name;
        lssb_io starts, ends;
    } rows[] = {
        { "somewhere.test", LSSB_IO_OK, LSSB_IO_OK },
        { "known.test", LSSB_IO_OK, LSSB_IO_OK },
        { "nowhere.test", LSSB_IO_OK, LSSB_IO_NOT_FOUND },
        { "full.test", LSSB_IO_OK, LSSB_IO_LIMIT },
        { "noserver.test", LSSB_IO_OK, LSSB_IO_FAILED },
        { "", LSSB_IO_NOT_FOUND, LSSB_IO_OK }
    };
    lssb_address found[2];
    size_t i, count;
    int32_t code = 0;
    lssb_io io;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_handle job = LSSB_NO_HANDLE;

        test_row = rows[i].name;
        EXPECT_INT(port->resolve(context, rows[i].name, &job, &code),
                   rows[i].starts);
        if (rows[i].starts != LSSB_IO_OK)
            continue;
        while ((io = port->resolved(context, job, found, 2, &count,
                                    &code)) == LSSB_IO_AGAIN)
            EXPECT(ready(job, true, false));
        EXPECT_INT(io, rows[i].ends);
        if (io == LSSB_IO_OK) {
            EXPECT_INT(count, 1);
            EXPECT_INT(found[0].family, 4);
            EXPECT(memcmp(found[0].bytes, "\012\115\0\001", 4) == 0);
            EXPECT_INT(found[0].port, 0);
        }
        port->close_handle(context, job, false);
    }
    test_row = "";
}

/* Whether a name can be asked about. */
static bool can_ask(void)
{
    lssb_handle job = LSSB_NO_HANDLE;
    int32_t code = 0;

    if (port->resolve(context, "known.test", &job, &code) != LSSB_IO_OK)
        return false;
    port->close_handle(context, job, false);
    return true;
}

static void questions_that_nobody_waits_for_any_more_are_given_up(void)
{
    lssb_handle jobs[2] = { LSSB_NO_HANDLE, LSSB_NO_HANDLE };
    unsigned before = __atomic_load_n(&answers_given, __ATOMIC_ACQUIRE);
    uint64_t end = port->now_ms(context) + PATIENCE;
    int32_t code = 0;

    EXPECT_INT(port->resolve(context, "a.test", &jobs[0], &code), LSSB_IO_OK);
    EXPECT_INT(port->resolve(context, "b.test", &jobs[1], &code), LSSB_IO_OK);
    EXPECT(!can_ask());             /* LSSB_RESOLVER_JOBS */
    port->close_handle(context, jobs[0], false);
    port->close_handle(context, jobs[1], false);
    while (__atomic_load_n(&answers_given, __ATOMIC_ACQUIRE) < before + 2 &&
           port->now_ms(context) < end)
        port->wait(context, NULL, 0, 5, &code);
    EXPECT(can_ask());
}

/* ------------------------------------------------------ tests: sandboxes -- */

static lssb_client *client;
static lssb_sandbox box;

static lssb_status count_bytes(void *user, const void *bytes, size_t len)
{
    (void)bytes;
    *(size_t *)user += len;
    return LSSB_OK;
}

static void a_sandbox_is_created_over_tls(void)
{
    EXPECT_INT(lssb_sandbox_create(client, NULL, &box, NULL), LSSB_OK);
    EXPECT_STR(lssb_error_text(client), "");
}

static void commands_run_and_stream(void)
{
    char out[64];
    size_t streamed = 0;
    lssb_run_options how = { 0 };
    lssb_result result;

    how.out = out;
    how.out_size = sizeof out;
    EXPECT_INT(lssb_run(&box, "echo $((6 * 7))", &how, &result, NULL),
               LSSB_OK);
    EXPECT_STR(out, "42\n");
    how.out = NULL;
    how.on_out = count_bytes;
    how.user = &streamed;
    EXPECT_INT(lssb_run(&box, "head -c 3000000 /dev/zero | tr '\\0' x; "
                              "exit 3", &how, &result, NULL), LSSB_OK);
    EXPECT_INT(streamed, 3000000);
    EXPECT_INT(result.exit_code, 3);
}

static void files_go_and_come(void)
{
    static char bytes[500000], back[500000];
    size_t i, len = 0;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    EXPECT_INT(lssb_file_write(&box, "/tmp/file", bytes, sizeof bytes, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_file_read(&box, "/tmp/file", back, sizeof back, &len,
                              NULL), LSSB_OK);
    EXPECT_INT(len, sizeof bytes);
    EXPECT(memcmp(bytes, back, sizeof bytes) == 0);
}

/* Sends `size` bytes through a stream to a port that sends them back. */
static void exchange(lssb_tunnel *tunnel, uint16_t number, size_t size)
{
    static char bytes[8192], back[8192];
    lssb_tunnel_stream stream = { 0 };
    lssb_status status = LSSB_OK;
    size_t sent = 0, got = 0, wrong = 0, n, i;

    EXPECT_INT(lssb_tunnel_connect(tunnel, number, &stream, NULL), LSSB_OK);
    while (status == LSSB_OK || status == LSSB_AGAIN) {
        if (sent < size) {
            for (i = 0; i < sizeof bytes; i++)
                bytes[i] = (char)((sent + i) * 7);
            n = size - sent < sizeof bytes ? size - sent : sizeof bytes;
            if (lssb_tunnel_write(&stream, bytes, n, &n, 0) == LSSB_OK)
                sent += n;
            if (sent == size)
                lssb_tunnel_finish(&stream);
        }
        n = 0;
        status = lssb_tunnel_read(&stream, back, sizeof back, &n, 5);
        for (i = 0; i < n; i++)
            wrong += back[i] != (char)((got + i) * 7);
        got += n;
    }
    EXPECT_INT(status, LSSB_END);
    EXPECT_INT(got, size);
    EXPECT_INT(wrong, 0);
    lssb_tunnel_stream_close(&stream);
}

/* Sends bytes back, to one connection, and says first on which port. */
static const char echo_server[] =
    "exec python3 -uc \"\n"
    "import socket\n"
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "print(s.getsockname()[1])\n"
    "c = s.accept()[0]\n"
    "while True:\n"
    "    b = c.recv(65536)\n"
    "    if not b: break\n"
    "    c.sendall(b)\n"
    "c.close()\n\"\n";

static void a_tunnel_carries_bytes_both_ways(void)
{
    static lssb_tunnel tunnel;
    lssb_command command = { 0 };
    lssb_chunk chunk;
    long number = 0;

    EXPECT_INT(lssb_command_start(&command, &box, echo_server, NULL, NULL),
               LSSB_OK);
    EXPECT_INT(lssb_command_next(&command, &chunk, PATIENCE), LSSB_OK);
    if (chunk.len > 0 && chunk.len < 8)
        number = strtol(chunk.bytes, NULL, 10);
    EXPECT(number > 0);
    EXPECT_INT(lssb_tunnel_open(&tunnel, &box, NULL, NULL), LSSB_OK);
    exchange(&tunnel, (uint16_t)number, 2000000);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(lssb_command_wait(&command, NULL, NULL), LSSB_OK);
    lssb_command_close(&command, NULL);
}

static void a_box_is_deleted(void)
{
    EXPECT_INT(lssb_sandbox_delete(&box, NULL), LSSB_OK);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
}

static void a_name_that_leads_nowhere_is_told(void)
{
    static uint64_t memory[40000];
    lssb_config config = { 0 };
    lssb_client *other = NULL;
    lssb_sandbox none;

    config.endpoint = "https://nowhere.test";
    config.slots = 1;
    config.retries = LSSB_NONE;
    config.memory = memory;
    config.memory_size = sizeof memory;
    EXPECT_INT(lssb_open(&other, &config), LSSB_OK);
    EXPECT_INT(lssb_sandbox_get(other, "a", &none, NULL), LSSB_E_CONNECTION);
    EXPECT_STR(lssb_error_text(other),
               "cannot resolve nowhere.test: no such name");
    lssb_close(other, NULL);
}

/* Opens the client that the tests above share. */
static void a_client_opens_in_the_memory_it_says(void)
{
    static char anchors[4096];
    lssb_config config = { 0 };
    FILE *ca = fopen(getenv("LSSB_TEST_CA"), "rb");

    config.endpoint = getenv("LSSB_TEST_ENDPOINT");
    config.api_key = getenv("LSSB_TEST_KEY");
    config.slots = 3;
    config.streams = 2;
    config.trust.anchors = anchors;
    config.trust.anchors_len = fread(anchors, 1, sizeof anchors, ca);
    config.trust.only = true;
    fclose(ca);
    config.memory_size = lssb_memory_needed(&config);
    config.memory = malloc(config.memory_size);
    EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
}

static const struct test tests[] = {
    TEST(a_connection_carries_bytes_both_ways_and_ends),
    TEST(a_port_where_nobody_listens_refuses),
    TEST(a_network_without_a_route_is_unreachable),
    TEST(a_reset_is_told_as_one_and_given_as_one),
    TEST(sending_says_again_when_the_peer_does_not_read),
    TEST(a_listener_takes_what_connects_and_its_port_is_taken),
    TEST(waiting_leaves_the_list_as_it_was),
    TEST(waiting_ends_when_its_time_is_up),
    TEST(a_wake_ends_a_wait_or_the_next_one),
#ifdef LSSB_IN_INTERRUPT
    TEST(a_wake_is_an_event_that_others_may_wait_for),
    TEST(a_resolver_s_answer_is_an_event),
    TEST(contexts_come_and_go_with_wakes_on_their_way),
#endif
    TEST(names_are_resolved_behind_your_back),
    TEST(questions_that_nobody_waits_for_any_more_are_given_up),
    TEST(a_name_that_leads_nowhere_is_told),
    TEST(a_client_opens_in_the_memory_it_says),
    TEST(a_sandbox_is_created_over_tls),
    TEST(commands_run_and_stream),
    TEST(files_go_and_come),
    TEST(a_tunnel_carries_bytes_both_ways),
    TEST(a_box_is_deleted)
};

int main(int argc, char **argv)
{
    int32_t code = 0;
    int failed;

    if (argc != 2 || !stack_start(argv[1]) ||
        (port->open != NULL && port->open(context, &code) != LSSB_IO_OK)) {
        printf("%s: no tap device\n", argv[0]);
        return 1;
    }
    failed = TEST_MAIN(tests);
    if (port->close != NULL)
        port->close(context, false);
    return failed;
}
