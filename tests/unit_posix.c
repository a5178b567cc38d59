/* unit_posix.c: the POSIX port against the system itself, on loopback.
 *
 * SPDX-License-Identifier: MIT
 *
 * Tests wait for events. The longest time in here, PATIENCE, is how long an
 * event may fail to come before the test fails.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../port/port.h"
#include "test.h"

#define PATIENCE 30000

static const lssb_port *const port = &lssb_default_port;
static uint64_t context[8];

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

/* Listens on a port that the system picks. */
static int listens(lssb_address *address, int family)
{
    struct sockaddr_storage any;
    socklen_t len = sizeof any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    int fd = socket(family, SOCK_STREAM, 0), result;

    memset(address, 0, sizeof *address);
    memset(&any, 0, sizeof any);
    any.ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        memset(&in, 0, sizeof in);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        result = bind(fd, (struct sockaddr *)&in, sizeof in);
    } else {
        memset(&in6, 0, sizeof in6);
        in6.sin6_family = AF_INET6;
        in6.sin6_addr = in6addr_loopback;
        result = bind(fd, (struct sockaddr *)&in6, sizeof in6);
    }
    if (fd < 0 || result != 0 || listen(fd, 16) != 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&any, &len);
    address->family = family == AF_INET ? 4 : 6;
    if (family == AF_INET) {
        memcpy(&in, &any, sizeof in);
        memcpy(address->bytes, &in.sin_addr, 4);
        address->port = ntohs(in.sin_port);
    } else {
        memcpy(&in6, &any, sizeof in6);
        memcpy(address->bytes, &in6.sin6_addr, 16);
        address->port = ntohs(in6.sin6_port);
    }
    return fd;
}

/* Waits until one handle is ready; false: it never was. */
static bool waits(lssb_handle handle, bool read, bool write)
{
    lssb_poll one = { handle, read, write, false, 0 };
    uint64_t until = port->now_ms(context) + PATIENCE;
    int32_t code;

    while (!one.ready && port->now_ms(context) < until)
        EXPECT_INT(port->wait(context, &one, 1, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(one.handle == handle && one.read == read && one.write == write);
    return one.ready;
}

/* Connects to a listener; both ends, the port's own first. */
static lssb_handle connects(int listener, const lssb_address *address,
                            int *other)
{
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;

    EXPECT_INT(port->connect(context, address, &handle, &code), LSSB_IO_OK);
    EXPECT(waits(handle, false, true));
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_OK);
    *other = accept(listener, NULL, NULL);
    EXPECT(*other >= 0);
    return handle;
}

/* Descriptors that are open, and those of them that a program would inherit;
 * -1 where the system does not say. */
static int descriptors(int *inherited)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    if (dir == NULL)
        return -1;
    *inherited = 0;
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] == '.' || fd == dirfd(dir))
            continue;
        count++;
        *inherited += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
    }
    closedir(dir);
    return count;
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

/* -------------------------------------------------------------- sockets -- */

static void bytes_pass_both_ways_over_both_families(void)
{
    static const int families[] = { AF_INET, AF_INET6 };
    size_t i;

    for (i = 0; i < 2; i++) {
        lssb_address address;
        char bytes[8] = "";
        int32_t code;
        int other, listener;
        lssb_handle handle;

        begin();
        listener = listens(&address, families[i]);
        if (listener < 0 && families[i] == AF_INET6) {
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
        close(other);
        EXPECT(waits(handle, true, false));
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 0);
        port->close_handle(context, handle, false);
        close(listener);
        end();
    }
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

static void a_port_without_a_listener_refuses(void)
{
    lssb_address address;
    lssb_handle handle;
    int32_t code = 0;
    lssb_io io;

    if (!refusals_are_told()) {
        SKIP("this system tells of a refusal by another system's number");
        return;
    }
    begin();
    close(listens(&address, AF_INET));
    io = port->connect(context, &address, &handle, &code);
    if (io == LSSB_IO_OK) {
        EXPECT(waits(handle, false, true));
        io = port->connected(context, handle, &code);
        port->close_handle(context, handle, false);
    }
    EXPECT_INT(io, LSSB_IO_REFUSED);
    EXPECT_INT(code, ECONNREFUSED);
    end();
}

static void an_attempt_that_is_not_decided_says_again(void)
{
    lssb_address address;
    lssb_handle handles[64];
    int32_t code = 0;
    int listener, i, count = 0, undecided = 0;

    begin();
    listener = listens(&address, AF_INET);
    listen(listener, 0);
    for (i = 0; i < 64 && undecided == 0; i++) {
        if (port->connect(context, &address, &handles[count], &code) !=
            LSSB_IO_OK)
            break;
        undecided = port->connected(context, handles[count], &code) ==
                    LSSB_IO_AGAIN;
        count++;
    }
    if (undecided == 0)
        SKIP("this system's backlog has no end");
    while (count > 0)
        port->close_handle(context, handles[--count], true);
    close(listener);
    end();
}

static void a_reset_is_told_and_raises_no_signal(void)
{
    struct linger now = { 1, 0 };
    lssb_address address;
    char bytes[8];
    int32_t code = 0;
    int other, listener;
    lssb_handle handle;

    begin();
    signal(SIGPIPE, SIG_DFL);
    listener = listens(&address, AF_INET);
    handle = connects(listener, &address, &other);
    setsockopt(other, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(other);
    EXPECT(waits(handle, true, false));
    EXPECT_INT(port->receive(context, handle, bytes, 8, &code),
               LSSB_IO_RESET);
    EXPECT_INT(code, ECONNRESET);
    EXPECT_INT(port->send(context, handle, "x", 1, &code), LSSB_IO_RESET);
    EXPECT_INT(code, EPIPE);
    port->close_handle(context, handle, false);
    close(listener);
    end();
}

static void a_reset_of_ours_reaches_the_peer(void)
{
    lssb_address address;
    char byte;
    int other, listener;

    begin();
    listener = listens(&address, AF_INET);
    port->close_handle(context, connects(listener, &address, &other), true);
    EXPECT_INT(recv(other, &byte, 1, 0), -1);
    EXPECT_INT(errno, ECONNRESET);
    close(other);
    close(listener);
    end();
}

static void a_full_socket_says_again_and_is_waited_for(void)
{
    static char bytes[65536];
    lssb_address address;
    int32_t code;
    int other, listener;
    lssb_handle handle;
    ptrdiff_t n;

    begin();
    listener = listens(&address, AF_INET);
    handle = connects(listener, &address, &other);
    do {
        n = port->send(context, handle, bytes, sizeof bytes, &code);
    } while (n > 0);
    EXPECT_INT(n, LSSB_IO_AGAIN);
    close(other);
    EXPECT(waits(handle, false, true));
    port->close_handle(context, handle, true);
    close(listener);
    end();
}

/* -------------------------------------------------------------- waiting -- */

static void *wakes(void *unused)
{
    port->wake(context);
    return unused;
}

static void another_thread_ends_a_wait(void)
{
    pthread_t thread;
    int32_t code;

    begin();
    pthread_create(&thread, NULL, wakes, NULL);
    EXPECT_INT(port->wait(context, NULL, 0, UINT32_MAX, &code), LSSB_IO_OK);
    pthread_join(thread, NULL);
    end();
}

static void on_alarm(int number)
{
    (void)number;
    port->wake(context);
}

static void a_signal_handler_ends_a_wait(void)
{
    struct itimerval soon = { { 0, 0 }, { 0, 20000 } };
    struct sigaction action, before;
    uint64_t start;
    int32_t code;

    begin();
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, &before);
    start = port->now_ms(context);
    setitimer(ITIMER_REAL, &soon, NULL);
    EXPECT_INT(port->wait(context, NULL, 0, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start < PATIENCE);
    sigaction(SIGALRM, &before, NULL);
    end();
}

static void a_wake_before_the_wait_ends_it_and_only_that_one(void)
{
    uint64_t start;
    int32_t code;
    int i;

    begin();
    for (i = 0; i < 100000; i++)
        port->wake(context);
    EXPECT_INT(port->wait(context, NULL, 0, UINT32_MAX, &code), LSSB_IO_OK);
    start = port->now_ms(context);
    EXPECT_INT(port->wait(context, NULL, 0, 30, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start >= 29);
    end();
}

static void a_loop_of_its_own_sees_the_wake_and_takes_it_back(void)
{
    lssb_handle handle;
    char byte;

    begin();
    handle = port->wake_handle(context);
    EXPECT_INT(recv((int)handle, &byte, 1, MSG_PEEK), -1);
    port->wake(context);
    EXPECT_INT(recv((int)handle, &byte, 1, MSG_PEEK), 1);
    port->wake_clear(context);
    EXPECT_INT(recv((int)handle, &byte, 1, MSG_PEEK), -1);
    end();
}

static void lists_of_any_length_keep_their_entries(void)
{
    static const size_t counts[] = { 0, 1, 2, 15, 16, 17, 18, 64, 300 };
    static lssb_poll list[300];
    struct rlimit limit = { 2048, 2048 };
    int pairs[300][2], i;
    size_t k, n;
    int32_t code;

    begin();
    setrlimit(RLIMIT_NOFILE, &limit);
    for (i = 0; i < 300; i++)
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) != 0)
            break;
    if (i < 300) {
        SKIP("too few descriptors here");
        while (i-- > 0) {
            close(pairs[i][0]);
            close(pairs[i][1]);
        }
        end();
        return;
    }
    EXPECT_INT(send(pairs[299][1], "x", 1, 0), 1);
    EXPECT_INT(send(pairs[14][1], "x", 1, 0), 1);
    for (k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        memset(list, 0xff, sizeof list);
        for (n = 0; n < counts[k]; n++) {
            list[n].handle = n % 7 == 5 ? LSSB_NO_HANDLE : pairs[n][0];
            list[n].read = n % 3 != 1;
            list[n].write = n % 5 == 4;
            list[n].ready = true;
        }
        port->wake(context);
        EXPECT_INT(port->wait(context, list, counts[k], 0, &code),
                   LSSB_IO_OK);
        for (n = 0; n < counts[k]; n++) {
            bool known = n % 7 != 5, read = n % 3 != 1, write = n % 5 == 4;
            bool data = n == 14 || n == 299;

            EXPECT(list[n].handle == (known ? pairs[n][0] : LSSB_NO_HANDLE));
            EXPECT(list[n].read == read && list[n].write == write);
            EXPECT_INT(list[n].ready, known && (write || (read && data)));
        }
    }
    for (i = 0; i < 300; i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    end();
}

static void what_is_wanted_for_nothing_is_not_waited_for(void)
{
    lssb_poll one = { 0, false, false, true, 0 };
    int pair[2];
    int32_t code;

    begin();
    EXPECT_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    one.handle = pair[0];
    EXPECT_INT(port->wait(context, &one, 1, 20, &code), LSSB_IO_OK);
    EXPECT(!one.ready);
    one.read = true;
    EXPECT_INT(port->wait(context, &one, 1, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(one.ready);
    close(pair[0]);
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
    end();
}

static void an_abandoned_job_leaves_nothing_behind(void)
{
    uint64_t until;
    int before, now, inherited, i;
    int32_t code;

    begin();
    before = descriptors(&inherited);
    for (i = 0; i < 20; i++) {
        lssb_handle job;

        EXPECT_INT(port->resolve(context, i % 2 == 0 ? "localhost"
                                                     : "nonexistent.invalid",
                                 &job, &code), LSSB_IO_OK);
        port->close_handle(context, job, i % 3 == 0);
    }
    until = port->now_ms(context) + PATIENCE;
    do {
        port->wait(context, NULL, 0, 5, &code);
        now = descriptors(&inherited);
    } while (now > before && port->now_ms(context) < until);
    EXPECT(now <= before);
    end();
}

/* ---------------------------------------------------------- descriptors -- */

static void no_descriptor_is_inherited_and_none_is_left(void)
{
    lssb_address address;
    lssb_handle handle, job;
    lssb_blob blob;
    int first, before, now, inherited, inherited_before, listener;
    bool blob_open;
    int32_t code;

    if (descriptors(&inherited) < 0) {
        SKIP("no /proc/self/fd here");
        return;
    }
    listener = listens(&address, AF_INET);
    before = descriptors(&inherited_before);
    begin();
    first = descriptors(&inherited);
    EXPECT(first > before);
    EXPECT_INT(port->connect(context, &address, &handle, &code), LSSB_IO_OK);
    EXPECT_INT(port->resolve(context, "localhost", &job, &code), LSSB_IO_OK);
    blob_open =
        port->certificates(context, "/etc/passwd", &blob, &code) == LSSB_IO_OK;
    EXPECT(descriptors(&inherited) >= first + 2);
    EXPECT_INT(inherited, inherited_before);
    if (blob_open)
        blob.close(blob.ctx);
    EXPECT(waits(job, true, false));
    port->close_handle(context, job, false);
    port->close_handle(context, handle, false);
    end();
    do {
        now = descriptors(&inherited);      /* the thread closes its own */
    } while (now > before);
    EXPECT_INT(now, before);
    close(listener);
}

/* ----------------------------------------------- files and the rest -- */

static void certificates_are_read_anywhere_in_the_file(void)
{
    static const char text[] = "-----BEGIN CERTIFICATE-----";
    char path[] = "/tmp/lssb_unit_posix_XXXXXX", bytes[64] = "";
    int fd = mkstemp(path);
    lssb_blob blob;
    int32_t code;

    begin();
    EXPECT_INT(write(fd, text, sizeof text - 1), (int)sizeof text - 1);
    close(fd);
    EXPECT_INT(port->certificates(context, path, &blob, &code), LSSB_IO_OK);
    EXPECT_INT(blob.read_at(blob.ctx, 11, bytes, 11), 11);
    EXPECT_STR(bytes, "CERTIFICATE");
    EXPECT_INT(blob.read_at(blob.ctx, sizeof text - 1, bytes, 8), 0);
    EXPECT_INT(blob.read_at(blob.ctx, UINT64_MAX, bytes, 8), 0);
    blob.close(blob.ctx);
    unlink(path);
    EXPECT_INT(port->certificates(context, path, &blob, &code),
               LSSB_IO_NOT_FOUND);
    EXPECT_INT(code, ENOENT);
    EXPECT_INT(port->certificates(context, "/tmp", &blob, &code),
               LSSB_IO_FAILED);
    end();
}

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
    static const size_t sizes[] = { 1, 16, 256, 257, 1000 };
    static uint8_t a[1002], b[1002];
    size_t i;

    for (i = 0; i < 5; i++) {
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
}

static void the_environment_is_read(void)
{
    setenv("LSSB_UNIT_POSIX", "here", 1);
    EXPECT_STR(port->environment(context, "LSSB_UNIT_POSIX"), "here");
    unsetenv("LSSB_UNIT_POSIX");
    EXPECT(port->environment(context, "LSSB_UNIT_POSIX") == NULL);
}

/* ------------------------------------------------------------ listening -- */

static const lssb_listen_port *const listening = &lssb_default_listen_port;

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

static void a_port_that_is_listened_on_is_in_use(void)
{
    lssb_address at = loopback(4, 0), nowhere = loopback(4, 0);
    lssb_handle listener, client, server, second;
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(listening->listen(context, &at, &second, &number, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(code, EADDRINUSE);
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    port->close_handle(context, listener, false);
    port->close_handle(context, server, false);     /* it lingers */
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    EXPECT_INT(number, at.port);
    port->close_handle(context, client, false);
    port->close_handle(context, listener, false);
    memcpy(nowhere.bytes, "\xC0\0\2\1", 4);
    EXPECT_INT(listening->listen(context, &nowhere, &second, &number, &code),
               LSSB_IO_UNREACHABLE);
    end();
}

/* ---------------------------------------------------------- Unix sockets -- */

static char folder[32], path[64];

/* A folder for a test, and a path in it. */
static void begin_path(void)
{
    begin();
    strcpy(folder, "/tmp/lssb-unit-XXXXXX");
    EXPECT(mkdtemp(folder) != NULL);
    sprintf(path, "%s/socket", folder);
}

static void end_path(void)
{
    unlink(path);
    EXPECT_INT(rmdir(folder), 0);
    end();
}

/* The path of the tests as the system wants it. */
static struct sockaddr_un path_address(void)
{
    struct sockaddr_un un;

    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path, path);
    return un;
}

/* Connects to the path; the system's error, or 0 and the descriptor. */
static int dials(int *client)
{
    struct sockaddr_un un = path_address();

    *client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return connect(*client, (struct sockaddr *)&un, sizeof un) == 0 ? 0
                                                                    : errno;
}

/* Somebody else's socket at the path, which listens if there is a backlog. */
static int others_socket(int backlog)
{
    struct sockaddr_un un = path_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    EXPECT_INT(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    if (backlog >= 0)
        EXPECT_INT(listen(fd, backlog), 0);
    return fd;
}

/* The mode of what is at the path; 0: nothing. */
static mode_t mode_there(void)
{
    struct stat what;

    return lstat(path, &what) == 0 ? what.st_mode : 0;
}

static void a_path_is_listened_on_and_removed(void)
{
    lssb_handle listener, second, server;
    int32_t code = 0;
    int client;

    begin_path();
    EXPECT_INT(listening->listen_path(context, path, &listener, &code),
               LSSB_IO_OK);
    EXPECT_INT(dials(&client), 0);
    server = accepts(listener);
    half_closes(client, server);
    close(client);
    port->close_handle(context, server, false);
    EXPECT_INT(listening->listen_path(context, path, &second, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(code, EADDRINUSE);
    port->close_handle(context, listener, false);
    EXPECT(S_ISSOCK(mode_there()));
    listening->remove_path(context, path);
    EXPECT_INT(mode_there(), 0);
    listening->remove_path(context, path);
    end_path();
}

static void only_the_user_may_connect_whatever_the_umask(void)
{
    static const mode_t masks[] = { 0, 022, 077, 0777 };
    lssb_handle listener;
    int32_t code = 0;
    int client;
    size_t i;

    begin_path();
    for (i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        mode_t before = umask(masks[i]);
        lssb_io io = listening->listen_path(context, path, &listener, &code);

        EXPECT_INT(umask(before), masks[i]);
        EXPECT_INT(io, LSSB_IO_OK);
        EXPECT_INT(mode_there(), S_IFSOCK | 0600);
        EXPECT_INT(dials(&client), 0);
        close(client);
        port->close_handle(context, listener, false);
        listening->remove_path(context, path);
    }
    end_path();
}

/* Tries until the socket is no longer fresh. */
static lssb_io listens_at_last(lssb_handle *listener, int32_t *code)
{
    uint64_t until = port->now_ms(context) + PATIENCE;
    int32_t ignored;
    lssb_io io;

    do {
        io = listening->listen_path(context, path, listener, code);
        port->wait(context, NULL, 0, 10, &ignored);
    } while (io == LSSB_IO_IN_USE && port->now_ms(context) < until);
    return io;
}

static void what_a_dead_process_left_is_taken_over(void)
{
    lssb_handle listener;
    int32_t code = 0;
    int client;

    begin_path();
    close(others_socket(5));
    EXPECT_INT(dials(&client), ECONNREFUSED);
    close(client);
    EXPECT_INT(listening->listen_path(context, path, &listener, &code),
               LSSB_IO_IN_USE);     /* it may be about to listen */
    EXPECT_INT(listens_at_last(&listener, &code), LSSB_IO_OK);
    EXPECT_INT(mode_there(), S_IFSOCK | 0600);
    EXPECT_INT(dials(&client), 0);
    close(client);
    port->close_handle(context, listener, false);
    listening->remove_path(context, path);
    EXPECT_INT(mode_there(), 0);
    end_path();
}

/* Puts something at the path: returns a descriptor to be closed, or -1. */
static int put_there(int kind)
{
    int fd;

    switch (kind) {
    case 0:
        return others_socket(5);
    case 1:                         /* its backlog is full */
        fd = others_socket(0);
        while (dials(&kind) == 0)
            ;                       /* closed with the process */
        close(kind);
        return fd;
    case 2:
        return open(path, O_CREAT | O_WRONLY, 0600);
    case 3:
        EXPECT_INT(mkfifo(path, 0600), 0);
        return -1;
    default:
        EXPECT_INT(symlink("nowhere", path), 0);
        return -1;
    }
}

static void what_else_is_at_the_path_stays(void)
{
    lssb_handle listener;
    int32_t code = 0;
    mode_t mode;
    int kind, fd;

    begin_path();
    for (kind = 0; kind < 5; kind++) {
        fd = put_there(kind);
        mode = mode_there();
        EXPECT_INT(listening->listen_path(context, path, &listener, &code),
                   LSSB_IO_IN_USE);
        EXPECT_INT(code, EADDRINUSE);
        listening->remove_path(context, path);
        EXPECT_INT(mode_there(), mode);
        close(fd);
        unlink(path);
    }
    end_path();
}

static void what_took_its_place_is_not_removed(void)
{
    lssb_handle listener;
    int32_t code = 0;
    int kind, fd;

    begin_path();
    for (kind = 0; kind < 5; kind++) {
        EXPECT_INT(listening->listen_path(context, path, &listener, &code),
                   LSSB_IO_OK);
        unlink(path);
        fd = put_there(kind);
        port->close_handle(context, listener, false);
        listening->remove_path(context, path);
        EXPECT(mode_there() != 0);
        close(fd);
        unlink(path);
    }
    end_path();
}

static void a_path_that_cannot_be_is_told_apart(void)
{
    static const struct {
        const char *path;
        lssb_io io;
        int code;
    } rows[] = { { "%s/none/socket", LSSB_IO_NOT_FOUND, ENOENT },
                 { "%s/file/socket", LSSB_IO_NOT_FOUND, ENOTDIR },
                 { "%s/socket/0123456789012345678901234567890123456789012345"
                   "678901234567890123456789012345678901234567890123456789",
                   LSSB_IO_UNREACHABLE, ENAMETOOLONG } };
    char file[64], bad[200];
    lssb_handle listener;
    int32_t code;
    size_t i;

    begin_path();
    sprintf(file, "%s/file", folder);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].path;
        sprintf(bad, rows[i].path, folder);
        code = 0;
        EXPECT_INT(listening->listen_path(context, bad, &listener, &code),
                   rows[i].io);
        EXPECT_INT(code, rows[i].code);
        listening->remove_path(context, bad);
    }
    unlink(file);
    end_path();
}

static void what_was_accepted_is_not_inherited(void)
{
    lssb_address at = loopback(4, 0);
    lssb_handle listener, client, server;
    int before, after, inherited;
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    before = descriptors(&inherited);
    if (before < 0) {
        SKIP("/proc/self/fd is not there");
        end();
        return;
    }
    after = inherited;
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    EXPECT_INT(descriptors(&inherited), before + 3);
    EXPECT_INT(inherited, after);
    port->close_handle(context, client, false);
    port->close_handle(context, server, false);
    port->close_handle(context, listener, false);
    end();
}

static const struct test tests[] = {
    TEST(bytes_pass_both_ways_over_both_families),
    TEST(a_port_without_a_listener_refuses),
    TEST(an_attempt_that_is_not_decided_says_again),
    TEST(a_reset_is_told_and_raises_no_signal),
    TEST(a_reset_of_ours_reaches_the_peer),
    TEST(a_full_socket_says_again_and_is_waited_for),
    TEST(another_thread_ends_a_wait),
    TEST(a_signal_handler_ends_a_wait),
    TEST(a_wake_before_the_wait_ends_it_and_only_that_one),
    TEST(a_loop_of_its_own_sees_the_wake_and_takes_it_back),
    TEST(lists_of_any_length_keep_their_entries),
    TEST(what_is_wanted_for_nothing_is_not_waited_for),
    TEST(localhost_is_this_machine),
    TEST(a_name_that_is_not_there_fails),
    TEST(an_abandoned_job_leaves_nothing_behind),
    TEST(no_descriptor_is_inherited_and_none_is_left),
    TEST(certificates_are_read_anywhere_in_the_file),
    TEST(memory_is_zeroed_and_aligned),
    TEST(random_bytes_fill_the_place_and_nothing_else),
    TEST(clocks_go_forward),
    TEST(the_environment_is_read),
    TEST(a_listener_hands_out_connections_over_both_families),
    TEST(a_port_that_is_listened_on_is_in_use),
    TEST(a_path_is_listened_on_and_removed),
    TEST(only_the_user_may_connect_whatever_the_umask),
    TEST(what_a_dead_process_left_is_taken_over),
    TEST(what_else_is_at_the_path_stays),
    TEST(what_took_its_place_is_not_removed),
    TEST(a_path_that_cannot_be_is_told_apart),
    TEST(what_was_accepted_is_not_inherited),
};

int main(void)
{
    return TEST_MAIN(tests);
}
