/* unit_port.h: what every port with sockets must do, against the system itself,
 * on loopback. unit_posix.c and unit_windows.c add what is their system's own.
 *
 * SPDX-License-Identifier: MIT
 *
 * Tests wait for events. The longest time in here, PATIENCE, is how long an
 * event may fail to come before the test fails. The peers are sockets of the
 * system, by its own calls.
 */
#ifndef UNIT_PORT_H
#define UNIT_PORT_H

#include "../port/port.h"
#include "test.h"

#define PATIENCE 30000

static const lssb_port *const port = &lssb_default_port;
static const lssb_listen_port *const listening = &lssb_default_listen_port;
static uint64_t context[512];

/* ----------------------------------------------------- the system itself -- */

#if defined(_WIN32)

#define TICK 16                     /* of the clock, rounded up */
#define WAKES 3000
#define PAIRS 200
#define CODE_REFUSED WSAECONNREFUSED
#define CODE_RESET WSAECONNRESET

typedef SOCKET peer;
#define NO_PEER INVALID_SOCKET

static void hangs_up(peer at)
{
    closesocket(at);
}

static int last_error(void)
{
    return WSAGetLastError();
}

static bool makes_pair(peer pair[2])
{
    return windows_pair(pair);
}

static DWORD WINAPI runs(void *run)
{
    ((void (*)(void))(uintptr_t)run)();
    return 0;
}

/* Runs a function in another thread, while this one does the other. */
static void side_by_side(void (*there)(void), void (*here)(void))
{
    HANDLE thread =
        CreateThread(NULL, 0, runs, (void *)(uintptr_t)there, 0, NULL);

    here();
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

/* Whether this is Wine, whose sockets say goodbye before they break: a peer may
 * see an orderly end before the reset. */
static bool says_goodbye(void)
{
    return GetProcAddress(GetModuleHandleA("ntdll.dll"),
                          "wine_get_version") != NULL;
}

static bool refusals_are_told(void)
{
    return true;
}

/* Waits until an urgent byte has come. */
static bool hears_urgently(peer at)
{
    fd_set urgent;

    urgent.fd_count = 1;
    urgent.fd_array[0] = at;
    return select(0, NULL, NULL, &urgent, NULL) == 1;
}

#else

#define TICK 1
#define WAKES 100000
#define PAIRS 300
#define CODE_REFUSED ECONNREFUSED
#define CODE_RESET ECONNRESET

typedef int peer;
#define NO_PEER (-1)

static void hangs_up(peer at)
{
    close(at);
}

static int last_error(void)
{
    return errno;
}

static bool makes_pair(peer pair[2])
{
    struct rlimit limit = { 2048, 2048 };

    setrlimit(RLIMIT_NOFILE, &limit);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}

static void *runs(void *run)
{
    (*(void (**)(void))run)();
    return NULL;
}

static void side_by_side(void (*there)(void), void (*here)(void))
{
    pthread_t thread;

    EXPECT_INT(pthread_create(&thread, NULL, runs, (void *)&there), 0);
    here();
    pthread_join(thread, NULL);
}

static bool says_goodbye(void)
{
    return false;
}

/* Whether the system tells of a refusal by its own number. An emulator may hand
 * out the number of the machine that it runs on. */
static bool refusals_are_told(void)
{
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    int code = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd wait;

    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd, (struct sockaddr *)&to, sizeof to);
    getsockname(fd, (struct sockaddr *)&to, &len);
    close(fd);                      /* nobody listens there */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ||
        errno != EINPROGRESS) {
        close(fd);
        return true;
    }
    wait.fd = fd;
    wait.events = POLLOUT;
    poll(&wait, 1, -1);
    len = sizeof code;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len);
    close(fd);
    return code == ECONNREFUSED;
}

static bool hears_urgently(peer at)
{
    struct pollfd wait = { at, POLLPRI, 0 };

    return poll(&wait, 1, -1) == 1;
}

#endif

/* --------------------------------------------------------------- helpers -- */

static void begin(void)
{
    int32_t code;

    EXPECT(port->context_size <= sizeof context);
    memset(context, 0, sizeof context);
    EXPECT_INT(port->open(context, &code), LSSB_IO_OK);
}

static void end(void)
{
    port->close(context, false);
}

/* An address of this machine. */
static lssb_address loopback(uint8_t family, uint16_t number)
{
    lssb_address at;

    memset(&at, 0, sizeof at);
    at.family = family;
    at.port = number;
    if (family == 4)
        memcpy(at.bytes, "\x7F\0\0\1", 4);
    else
        at.bytes[15] = 1;
    return at;
}

/* Listens on a port that the system picks, by the system's own calls. */
static peer listens(lssb_address *address, uint8_t family)
{
    struct sockaddr_storage any;
    socklen_t len = family == 4 ? sizeof(struct sockaddr_in)
                                : sizeof(struct sockaddr_in6);
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    peer at = socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);

    *address = loopback(family, 0);
    memset(&any, 0, sizeof any);
    memset(&in, 0, sizeof in);
    memset(&in6, 0, sizeof in6);
    in.sin_family = AF_INET;
    memcpy(&in.sin_addr, address->bytes, 4);
    in6.sin6_family = AF_INET6;
    memcpy(&in6.sin6_addr, address->bytes, 16);
    if (family == 4)
        memcpy(&any, &in, sizeof in);
    else
        memcpy(&any, &in6, sizeof in6);
    if (at == NO_PEER || bind(at, (struct sockaddr *)&any, len) != 0 ||
        listen(at, 16) != 0) {
        hangs_up(at);
        return NO_PEER;
    }
    getsockname(at, (struct sockaddr *)&any, &len);
    memcpy(&in, &any, sizeof in);
    memcpy(&in6, &any, sizeof in6);
    address->port = ntohs(family == 4 ? in.sin_port : in6.sin6_port);
    return at;
}

/* Waits until one handle is ready; false: it never was. */
static bool waits(lssb_handle handle, bool read, bool write)
{
    lssb_poll one = { LSSB_NO_HANDLE, false, false, false, 0 };
    uint64_t until = port->now_ms(context) + PATIENCE;
    int32_t code;

    one.handle = handle;
    one.read = read;
    one.write = write;
    while (!one.ready && port->now_ms(context) < until)
        EXPECT_INT(port->wait(context, &one, 1, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(one.handle == handle && one.read == read && one.write == write);
    return one.ready;
}

/* Connects to a listener; both ends, the port's own first. */
static lssb_handle connects(peer listener, const lssb_address *address,
                            peer *other)
{
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;

    EXPECT_INT(port->connect(context, address, &handle, &code), LSSB_IO_OK);
    EXPECT(waits(handle, false, true));
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_OK);
    *other = accept(listener, NULL, NULL);
    EXPECT(*other != NO_PEER);
    return handle;
}

/* Accepts what has been connected. */
static lssb_handle accepts(lssb_handle listener)
{
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;

    EXPECT(waits(listener, true, false));
    EXPECT_INT(listening->accept(context, listener, &handle, &code),
               LSSB_IO_OK);
    return handle;
}

/* Resolves a name to the end. */
static lssb_io resolves(const char *name, lssb_address *list, size_t max,
                        size_t *count, int32_t *code)
{
    lssb_handle job;
    lssb_io io = port->resolve(context, name, &job, code);

    if (io != LSSB_IO_OK)
        return io;
    do {
        EXPECT(waits(job, true, false));
        io = port->resolved(context, job, list, max, count, code);
    } while (io == LSSB_IO_AGAIN);
    port->close_handle(context, job, false);
    return io;
}

/* Bytes pass between two sockets; then one ends, and the other goes on. */
static void half_closes(lssb_handle one, lssb_handle other)
{
    char bytes[8];
    int32_t code = 0;

    EXPECT_INT(port->receive(context, other, bytes, 8, &code), LSSB_IO_AGAIN);
    EXPECT_INT(port->send(context, one, "hello", 5, &code), 5);
    EXPECT_INT(listening->finish(context, one, &code), LSSB_IO_OK);
    EXPECT(waits(other, true, false));
    EXPECT_INT(port->receive(context, other, bytes, 8, &code), 5);
    EXPECT(waits(other, true, false));
    EXPECT_INT(port->receive(context, other, bytes, 8, &code), 0);
    EXPECT_INT(port->send(context, other, "bye", 3, &code), 3);
    EXPECT(waits(one, true, false));
    EXPECT_INT(port->receive(context, one, bytes, 8, &code), 3);
}

/* -------------------------------------------------------------- sockets -- */

static void bytes_pass_both_ways_over_both_families(void)
{
    uint8_t family;

    for (family = 4; family <= 6; family += 2) {
        lssb_address address;
        char bytes[8] = "";
        int32_t code;
        peer other, listener;
        lssb_handle handle;

        begin();
        listener = listens(&address, family);
        if (listener == NO_PEER && family == 6) {
            end();
            continue;               /* a machine without IPv6 */
        }
        handle = connects(listener, &address, &other);
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code),
                   LSSB_IO_AGAIN);
        EXPECT_INT(port->send(context, handle, "ping", 4, &code), 4);
        EXPECT_INT(recv(other, bytes, 4, MSG_WAITALL), 4);
        EXPECT_STR(bytes, "ping");
        EXPECT_INT(send(other, "pong", 4, 0), 4);
        EXPECT(waits(handle, true, false));
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 4);
        EXPECT_STR(bytes, "pong");
        hangs_up(other);
        EXPECT(waits(handle, true, false));
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 0);
        port->close_handle(context, handle, false);
        hangs_up(listener);
        end();
    }
}

/* Windows itself tries for two seconds. */
static void a_port_without_a_listener_refuses(void)
{
    lssb_address address;
    lssb_handle handle;
    int32_t code = 0;
    lssb_io io;

    begin();
    if (!refusals_are_told()) {
        SKIP("this system tells of a refusal by another system's number");
        end();
        return;
    }
    hangs_up(listens(&address, 4));
    io = port->connect(context, &address, &handle, &code);
    if (io == LSSB_IO_OK) {
        EXPECT(waits(handle, false, true));
        io = port->connected(context, handle, &code);
        port->close_handle(context, handle, false);
    }
    EXPECT_INT(io, LSSB_IO_REFUSED);
    EXPECT_INT(code, CODE_REFUSED);
    end();
}

static void a_reset_is_told_and_raises_no_signal(void)
{
    struct linger now = { 1, 0 };
    lssb_address address;
    char bytes[8];
    int32_t code = 0;
    peer other, listener;
    lssb_handle handle;
    ptrdiff_t n;

    begin();
#if !defined(_WIN32)
    signal(SIGPIPE, SIG_DFL);
#endif
    listener = listens(&address, 4);
    handle = connects(listener, &address, &other);
    setsockopt(other, SOL_SOCKET, SO_LINGER, (const char *)&now, sizeof now);
    hangs_up(other);
    EXPECT(waits(handle, true, false));
    n = port->receive(context, handle, bytes, 8, &code);
    EXPECT(n == LSSB_IO_RESET || (n == 0 && says_goodbye()));
    if (n == LSSB_IO_RESET)
        EXPECT_INT(code, CODE_RESET);
    EXPECT(waits(handle, false, true));
    code = 0;
    EXPECT_INT(port->send(context, handle, "x", 1, &code), LSSB_IO_RESET);
    EXPECT(code != 0);
    port->close_handle(context, handle, false);
    hangs_up(listener);
    end();
}

static void a_reset_of_ours_reaches_the_peer(void)
{
    lssb_address address;
    char byte;
    peer other, listener;
    long n;

    begin();
    listener = listens(&address, 4);
    port->close_handle(context, connects(listener, &address, &other), true);
    n = (long)recv(other, &byte, 1, 0);
    EXPECT(n == -1 || (n == 0 && says_goodbye()));
    if (n == -1)
        EXPECT_INT(last_error(), CODE_RESET);
    hangs_up(other);
    hangs_up(listener);
    end();
}

/* Windows shows it where it shows that a connection failed. */
static void an_urgent_byte_is_no_broken_connection(void)
{
    lssb_address address;
    char bytes[8];
    int32_t code = 0;
    peer other, listener;
    lssb_handle handle;

    begin();
    listener = listens(&address, 4);
    handle = connects(listener, &address, &other);
    EXPECT_INT(send(other, "!", 1, MSG_OOB), 1);
    EXPECT(hears_urgently((peer)handle));
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_OK);
    EXPECT_INT(send(other, "later", 5, 0), 5);
    EXPECT(waits(handle, true, false));
    EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 5);
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_OK);
    port->close_handle(context, handle, false);
    hangs_up(other);
    hangs_up(listener);
    end();
}

static void a_full_socket_says_again_and_is_waited_for(void)
{
    static char bytes[65536];
    lssb_address address;
    int32_t code;
    peer other, listener;
    lssb_handle handle;
    ptrdiff_t n;
    int i;

    begin();
    listener = listens(&address, 4);
    handle = connects(listener, &address, &other);
    for (i = 0, n = 1; i < 100000 && n > 0; i++)
        n = port->send(context, handle, bytes, sizeof bytes, &code);
    EXPECT_INT(n, LSSB_IO_AGAIN);
    hangs_up(other);
    EXPECT(waits(handle, false, true));
    port->close_handle(context, handle, true);
    hangs_up(listener);
    end();
}

/* -------------------------------------------------------------- waiting -- */

static void wakes(void)
{
    port->wake(context);
}

static void waits_for_it(void)
{
    int32_t code;

    EXPECT_INT(port->wait(context, NULL, 0, UINT32_MAX, &code), LSSB_IO_OK);
}

static void another_thread_ends_a_wait(void)
{
    begin();
    side_by_side(wakes, waits_for_it);
    end();
}

static void a_wake_before_the_wait_ends_it_and_only_that_one(void)
{
    uint64_t start;
    int32_t code;
    int i;

    begin();
    for (i = 0; i < WAKES; i++)
        port->wake(context);
    waits_for_it();
#if defined(_WIN32)                 /* what was on its way over loopback */
    port->wait(context, NULL, 0, 30, &code);
#endif
    start = port->now_ms(context);
    EXPECT_INT(port->wait(context, NULL, 0, 60, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start >= 60 - TICK);
    end();
}

/* Whether a byte waits at the handle of the wake. */
static bool is_awake(lssb_handle handle)
{
    char byte;

    return recv((peer)handle, &byte, 1, MSG_PEEK) == 1;
}

static void a_loop_of_its_own_sees_the_wake_and_takes_it_back(void)
{
    lssb_handle handle;
    uint64_t until;

    begin();
    handle = port->wake_handle(context);
    EXPECT(!is_awake(handle));
    port->wake(context);
    EXPECT(waits(handle, true, false));     /* it takes the wake back, too */
    port->wake(context);
    until = port->now_ms(context) + PATIENCE;
    while (!is_awake(handle) && port->now_ms(context) < until)
        continue;
    EXPECT(is_awake(handle));
    port->wake_clear(context);
    EXPECT(!is_awake(handle));
    end();
}

static void lists_of_any_length_keep_their_entries(void)
{
    static const size_t counts[] = { 0, 1, 2, 15, 16, 17, 18, 64, PAIRS };
    static lssb_poll list[PAIRS];
    static peer pairs[PAIRS][2];
    size_t i, k, n;
    int32_t code;

    begin();
    for (i = 0; i < PAIRS && makes_pair(pairs[i]); i++)
        continue;
    if (i < PAIRS) {
        SKIP("too few descriptors here");
        while (i-- > 0) {
            hangs_up(pairs[i][0]);
            hangs_up(pairs[i][1]);
        }
        end();
        return;
    }
    EXPECT_INT(send(pairs[PAIRS - 1][1], "x", 1, 0), 1);
    EXPECT_INT(send(pairs[14][1], "x", 1, 0), 1);
    EXPECT(waits((lssb_handle)pairs[PAIRS - 1][0], true, false));
    EXPECT(waits((lssb_handle)pairs[14][0], true, false));
    for (k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        memset(list, 0xff, sizeof list);
        for (n = 0; n < counts[k]; n++) {
            list[n].handle = n % 7 == 5 ? LSSB_NO_HANDLE
                                        : (lssb_handle)pairs[n][0];
            list[n].read = n % 3 != 1;
            list[n].write = n % 5 == 4;
            list[n].ready = true;
        }
        port->wake(context);
        EXPECT_INT(port->wait(context, list, counts[k], 0, &code),
                   LSSB_IO_OK);
        for (n = 0; n < counts[k]; n++) {
            bool known = n % 7 != 5, read = n % 3 != 1, write = n % 5 == 4;
            bool data = n == 14 || n == PAIRS - 1;

            EXPECT(list[n].handle ==
                   (known ? (lssb_handle)pairs[n][0] : LSSB_NO_HANDLE));
            EXPECT(list[n].read == read && list[n].write == write);
            EXPECT_INT(list[n].ready, known && (write || (read && data)));
        }
    }
    for (i = 0; i < PAIRS; i++) {
        hangs_up(pairs[i][0]);
        hangs_up(pairs[i][1]);
    }
    end();
}

static void what_is_wanted_for_nothing_is_not_waited_for(void)
{
    lssb_poll one = { LSSB_NO_HANDLE, false, false, true, 0 };
    peer pair[2];
    int32_t code;

    begin();
    EXPECT(makes_pair(pair));
    hangs_up(pair[1]);
    one.handle = (lssb_handle)pair[0];
    EXPECT_INT(port->wait(context, &one, 1, 20, &code), LSSB_IO_OK);
    EXPECT(!one.ready);
    one.read = true;
    EXPECT_INT(port->wait(context, &one, 1, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(one.ready);
    hangs_up(pair[0]);
    end();
}

/* ---------------------------------------------------------------- names -- */

static void localhost_is_this_machine(void)
{
    lssb_address list[LSSB_MAX_ADDRESSES];
    size_t count = 0, i;
    int32_t code;

    begin();
    EXPECT_INT(resolves("localhost", list, LSSB_MAX_ADDRESSES, &count, &code),
               LSSB_IO_OK);
    EXPECT(count > 0);
    for (i = 0; i < count; i++) {
        EXPECT(list[i].family == 4 ? list[i].bytes[0] == 127
                                   : list[i].bytes[15] == 1);
        EXPECT_INT(list[i].port, 0);
    }
    count = 0;
    EXPECT_INT(resolves("localhost", list, 1, &count, &code), LSSB_IO_OK);
    EXPECT_INT(count, 1);
    end();
}

static void a_name_that_is_not_there_fails(void)
{
    lssb_address list[4];
    size_t count = 0;
    char name[300];
    int32_t code = 0;
    lssb_io io;

    begin();
    /* TIMED_OUT is what a machine without name servers says. */
    io = resolves("nonexistent.invalid", list, 4, &count, &code);
    EXPECT(io == LSSB_IO_NOT_FOUND || io == LSSB_IO_TIMED_OUT);
    EXPECT(code != 0);
    EXPECT_INT(count, 0);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    EXPECT_INT(resolves(name, list, 4, &count, &code), LSSB_IO_NOT_FOUND);
    EXPECT_INT(resolves("", list, 4, &count, &code), LSSB_IO_NOT_FOUND);
    EXPECT(resolves("\xff", list, 4, &count, &code) != LSSB_IO_OK);
    end();
}

static void a_job_outlives_the_client_that_asked(void)
{
    lssb_handle job;
    int32_t code;
    int i;

    for (i = 0; i < 20; i++) {
        begin();
        EXPECT_INT(port->resolve(context, i % 2 == 0 ? "localhost"
                                                     : "nonexistent.invalid",
                                 &job, &code), LSSB_IO_OK);
        port->close_handle(context, job, i % 3 == 0);
        end();
    }
    localhost_is_this_machine();
}

/* ------------------------------------------------------------- the rest -- */

static void memory_is_zeroed_and_aligned(void)
{
    unsigned char *block = port->take(100000);
    size_t i, other = 0;

    EXPECT(block != NULL && (uintptr_t)block % 16 == 0);
    for (i = 0; i < 100000; i++)
        other += block[i] != 0;
    EXPECT_INT(other, 0);
    memset(block, 1, 100000);
    port->give(block, 100000);
}

static void random_bytes_fill_the_place_and_nothing_else(void)
{
    static const size_t sizes[] = { 1, 16, 256, 257, 1000, 70000 };
    static uint8_t a[70002], b[70002];
    size_t i;

    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(a, 7, sizeof a);
        memset(b, 7, sizeof b);
        EXPECT_INT(port->random(context, a, sizes[i]), LSSB_IO_OK);
        EXPECT_INT(port->random(context, b, sizes[i]), LSSB_IO_OK);
        EXPECT(sizes[i] < 16 || memcmp(a, b, sizes[i]) != 0);
        EXPECT(sizes[i] < 16 || memcmp(a + sizes[i] - 12,
                                       b + sizes[i] - 12, 12) != 0);
        EXPECT(a[sizes[i]] == 7 && b[sizes[i]] == 7);
    }
}

static void clocks_go_forward(void)
{
    uint64_t now = port->now_ms(context);

    EXPECT(now > 0);
    EXPECT(port->now_ms(context) >= now);
    EXPECT(port->wall_s(context) > 1700000000);
    EXPECT(port->wall_s(context) < INT64_C(7000000000));
}

static void a_listener_hands_out_connections_over_both_families(void)
{
    uint8_t family;

    begin();
    for (family = 4; family <= 6; family += 2) {
        lssb_address at = loopback(family, 0);
        lssb_handle listener = LSSB_NO_HANDLE, client, server;
        int32_t code = 0;
        uint16_t number = 0;
        lssb_io io =
            listening->listen(context, &at, &listener, &number, &code);

        if (family == 6 && io == LSSB_IO_UNREACHABLE)
            continue;
        EXPECT_INT(io, LSSB_IO_OK);
        EXPECT(number != 0);
        EXPECT_INT(listening->accept(context, listener, &server, &code),
                   LSSB_IO_AGAIN);
        at.port = number;
        EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
        server = accepts(listener);
        EXPECT(waits(client, false, true));
        half_closes(client, server);
        port->close_handle(context, client, false);
        port->close_handle(context, server, false);
        port->close_handle(context, listener, false);
    }
    end();
}

#define PORT_TESTS \
    TEST(bytes_pass_both_ways_over_both_families), \
    TEST(a_port_without_a_listener_refuses), \
    TEST(a_reset_is_told_and_raises_no_signal), \
    TEST(a_reset_of_ours_reaches_the_peer), \
    TEST(an_urgent_byte_is_no_broken_connection), \
    TEST(a_full_socket_says_again_and_is_waited_for), \
    TEST(another_thread_ends_a_wait), \
    TEST(a_wake_before_the_wait_ends_it_and_only_that_one), \
    TEST(a_loop_of_its_own_sees_the_wake_and_takes_it_back), \
    TEST(lists_of_any_length_keep_their_entries), \
    TEST(what_is_wanted_for_nothing_is_not_waited_for), \
    TEST(localhost_is_this_machine), \
    TEST(a_name_that_is_not_there_fails), \
    TEST(a_job_outlives_the_client_that_asked), \
    TEST(memory_is_zeroed_and_aligned), \
    TEST(random_bytes_fill_the_place_and_nothing_else), \
    TEST(clocks_go_forward), \
    TEST(a_listener_hands_out_connections_over_both_families)

#endif
