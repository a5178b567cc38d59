/* posix.c: the port for Linux, macOS and the BSDs.
 *
 * SPDX-License-Identifier: MIT
 *
 * Sockets that never block, poll(), mmap for the client's block. Names are
 * resolved by the system's own resolver in a short-lived thread that shares no
 * memory with anyone; with -DLSSB_NO_THREADS, or when no thread can be made,
 * `resolve` blocks for as long as getaddrinfo does. Nothing here calls malloc;
 * what getaddrinfo and pthread_create do inside is the system's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _DARWIN_C_SOURCE
#define _NETBSD_SOURCE
#if defined(__OpenBSD__)
#define _BSD_SOURCE                 /* its headers set __BSD_VISIBLE by it */
#elif !defined(__BSD_VISIBLE)
#define __BSD_VISIBLE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#endif
#ifndef LSSB_NO_THREADS
#include <pthread.h>
#endif

#include "port.h"

#ifdef SOCK_CLOEXEC
#define POSIX_SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#else
#define POSIX_SOCKET_FLAGS 0
#endif
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__)
#define POSIX_HAS_GETENTROPY
#endif
#ifdef MSG_NOSIGNAL
#define POSIX_SEND_FLAGS MSG_NOSIGNAL
#else
#define POSIX_SEND_FLAGS 0
#endif

#define POSIX_PATHS 32              /* that a client listens on at once */

/* A Unix socket that is listened on: by its path, the file that it has made. A
 * file's number may be another one's once it is gone; its time tells them
 * apart, which nothing but bind() sets. */
struct posix_made {
    uint64_t name;                  /* a number made of the path; 0: none */
    dev_t device;
    ino_t inode;
    struct timespec at;
};

/* The two ends of the wake pair, in which a byte waits after a wake; the paths
 * that are listened on. */
struct posix_context {
    int wake_out;
    int wake_in;
    struct posix_made paths[POSIX_PATHS];
};

/* --------------------------------------------------------------- errors -- */

/* Says in the port's words what errno says. */
static lssb_io posix_io(int error)
{
    switch (error) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return LSSB_IO_AGAIN;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
#if defined(__APPLE__)
    case EPROTOTYPE:                /* send() while the peer is cutting it */
#endif
        return LSSB_IO_RESET;
    case ECONNREFUSED:
        return LSSB_IO_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
#ifdef EHOSTDOWN
    case EHOSTDOWN:                 /* a neighbour that is off, to the BSDs */
#endif
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return LSSB_IO_UNREACHABLE;
    case ETIMEDOUT:
        return LSSB_IO_TIMED_OUT;
    case ENOENT:
    case ENOTDIR:
        return LSSB_IO_NOT_FOUND;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return LSSB_IO_LIMIT;
    case EADDRINUSE:
        return LSSB_IO_IN_USE;
    default:
        return LSSB_IO_FAILED;
    }
}

/* Stores errno and returns what it means. */
static lssb_io posix_failed(int32_t *code)
{
    *code = (int32_t)errno;
    return posix_io(errno);
}

/* ---------------------------------------------------------- descriptors -- */

/* Gives a new descriptor what every one of this port has: it is not inherited
 * and, but for files, never blocks or raises a signal. */
static bool posix_tame(int fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) != 0)
        return false;
#endif
    if (POSIX_SOCKET_FLAGS != 0)
        return true;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
           fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* Closes without losing errno, which says why. */
static void posix_close_fd(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
}

/* Makes two sockets that are connected to each other. */
static bool posix_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | POSIX_SOCKET_FLAGS, 0, pair) != 0)
        return false;
    if (posix_tame(pair[0]) && posix_tame(pair[1]))
        return true;
    posix_close_fd(pair[0]);
    posix_close_fd(pair[1]);
    return false;
}

/* ------------------------------------------------------ context, memory -- */

/* Makes the wake pair. */
static lssb_io posix_open(void *context, int32_t *code)
{
    struct posix_context *posix = context;
    int pair[2];

    if (!posix_pair(pair))
        return posix_failed(code);
    posix->wake_out = pair[0];
    posix->wake_in = pair[1];
    return LSSB_IO_OK;
}

/* Closes the wake pair; in the child of a fork, its copies. (musl has a
 * posix_close of its own.) */
static void posix_close_context(void *context, bool forked)
{
    struct posix_context *posix = context;

    (void)forked;
    close(posix->wake_out);
    close(posix->wake_in);
}

/* Maps a block of zeros. */
static void *posix_take(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANON, -1, 0);

    return block == MAP_FAILED ? NULL : block;
}

/* Gives a mapped block back. */
static void posix_give(void *block, size_t size)
{
    munmap(block, size);
}

/* ------------------------------------------ time, chance, environment -- */

/* Reads the clock that goes on while the machine sleeps, where there is one.
 * (macOS's and OpenBSD's monotonic clock does, and FreeBSD's from 15 on; what
 * FreeBSD has under the other name stands still.) */
static uint64_t posix_now_ms(void *context)
{
    struct timespec now = {0, 0};

    (void)context;
#if defined(CLOCK_BOOTTIME) && !defined(__FreeBSD__)
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
#endif
        clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads the calendar clock. */
static int64_t posix_wall_s(void *context)
{
    struct timespec now = {0, 0};

    (void)context;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

/* Gets up to 256 random bytes from the kernel: how many, or less than 0. */
static ptrdiff_t posix_entropy(uint8_t *bytes, size_t len)
{
    if (len > 256)
        len = 256;
#if defined(__linux__) && defined(SYS_getrandom)
    return (ptrdiff_t)syscall(SYS_getrandom, bytes, len, 0);
#elif defined(POSIX_HAS_GETENTROPY)
    return getentropy(bytes, len) == 0 ? (ptrdiff_t)len : -1;
#elif defined(__NetBSD__) || defined(__DragonFly__)
    arc4random_buf(bytes, len);     /* older ones have no getentropy */
    return (ptrdiff_t)len;
#else
    (void)bytes;
    errno = ENOSYS;
    return -1;
#endif
}

/* Fills from the device, for kernels without the call. */
static lssb_io posix_urandom(uint8_t *bytes, size_t len)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;

    if (fd < 0)
        return posix_io(errno);
    while (len > 0) {
        n = read(fd, bytes, len);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    close(fd);
    return len == 0 ? LSSB_IO_OK : LSSB_IO_FAILED;
}

/* Fills with random bytes that nobody can foretell. */
static lssb_io posix_random(void *context, void *bytes, size_t len)
{
    uint8_t *to = bytes;

    (void)context;
    while (len > 0) {
        ptrdiff_t n = posix_entropy(to, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return posix_urandom(to, len);
        to += n;
        len -= (size_t)n;
    }
    return LSSB_IO_OK;
}

/* The one place that reads the environment. */
static const char *posix_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

/* ---------------------------------------------------------------- names -- */

/* What the resolver says, in one message of one size. */
struct posix_answer {
    int32_t io;
    int32_t code;
    uint32_t count;
    lssb_address addresses[LSSB_MAX_ADDRESSES];
};

#define POSIX_NAME_SIZE 256         /* a host name and its NUL */
#define POSIX_STACK (256 * 1024)    /* of the resolver's thread; untouched
                                       pages cost nothing */

/* Takes one of the system's addresses over; false when it is no IP. */
static bool posix_address(lssb_address *to, const struct addrinfo *from)
{
    if (from->ai_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from->ai_addr, sizeof in);
        to->family = 4;
        memcpy(to->bytes, &in.sin_addr, 4);
        return true;
    }
    if (from->ai_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, from->ai_addr, sizeof in6);
        to->family = 6;
        memcpy(to->bytes, &in6.sin6_addr, 16);
        to->scope = in6.sin6_scope_id;
        return true;
    }
    return false;
}

/* Says in the port's words what getaddrinfo says. */
static lssb_io posix_resolver_io(int error)
{
    switch (error) {
    case EAI_NONAME:
#if defined(EAI_NODATA) && EAI_NODATA != EAI_NONAME
    case EAI_NODATA:
#endif
#if defined(EAI_ADDRFAMILY) && EAI_ADDRFAMILY != EAI_NONAME
    case EAI_ADDRFAMILY:            /* none of a kind that this host has */
#endif
        return LSSB_IO_NOT_FOUND;
    case EAI_AGAIN:
        return LSSB_IO_TIMED_OUT;
    case EAI_MEMORY:
        return LSSB_IO_LIMIT;
    default:
        return LSSB_IO_FAILED;
    }
}

/* Asks the system for the addresses of a name, however long that takes. */
static void posix_ask(const char *name, struct posix_answer *answer)
{
    struct addrinfo hints, *list = NULL, *item;
    int error;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    error = getaddrinfo(name, NULL, &hints, &list);
    if (error != 0) {
        answer->code = (int32_t)(error == EAI_SYSTEM ? errno : error);
        answer->io = error == EAI_SYSTEM ? posix_io(errno)
                                         : posix_resolver_io(error);
        return;
    }
    for (item = list; item != NULL && answer->count < LSSB_MAX_ADDRESSES;
         item = item->ai_next)
        if (posix_address(&answer->addresses[answer->count], item))
            answer->count++;
    freeaddrinfo(list);
    if (answer->count == 0)
        answer->io = LSSB_IO_NOT_FOUND;
}

/* Serves one name: reads it from the socket, which it owns, writes the answer
 * back and closes. Nobody may be listening any more. */
static void *posix_resolver(void *argument)
{
    int fd = (int)(intptr_t)argument;
    struct posix_answer answer;
    char name[POSIX_NAME_SIZE];
    ssize_t n;

    do {
        n = recv(fd, name, sizeof name - 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        name[n] = '\0';
        memset(&answer, 0, sizeof answer);
        posix_ask(name, &answer);
        do {
            n = send(fd, &answer, sizeof answer, POSIX_SEND_FLAGS);
        } while (n < 0 && errno == EINTR);
    }
    close(fd);
    return NULL;
}

/* Runs the resolver in a detached thread without signals; false: there can be
 * no thread. */
static bool posix_spawn_resolver(int fd)
{
#ifdef LSSB_NO_THREADS
    (void)fd;
    return false;
#else
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int error;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, POSIX_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, posix_resolver,
                           (void *)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
#endif
}

/* Starts to resolve. The name lies in the socket before the thread starts, and
 * the socket's number is all that the two share. */
static lssb_io posix_resolve(void *context, const char *name, lssb_handle *job,
                             int32_t *code)
{
    size_t len = strlen(name);
    int pair[2];

    (void)context;
    *code = 0;
    if (len == 0 || len >= POSIX_NAME_SIZE)
        return LSSB_IO_NOT_FOUND;
    if (!posix_pair(pair))
        return posix_failed(code);
    if (send(pair[0], name, len, POSIX_SEND_FLAGS) != (ssize_t)len) {
        posix_close_fd(pair[0]);
        posix_close_fd(pair[1]);
        return posix_failed(code);
    }
    if (!posix_spawn_resolver(pair[1]))
        posix_resolver((void *)(intptr_t)pair[1]);
    *job = pair[0];
    return LSSB_IO_OK;
}

/* Takes the resolver's answer, once all of it is there. */
static lssb_io posix_resolved(void *context, lssb_handle job,
                              lssb_address *addresses, size_t max,
                              size_t *count, int32_t *code)
{
    struct posix_answer answer;
    ssize_t n;

    (void)context;
    do {
        n = recv((int)job, &answer, sizeof answer, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return posix_failed(code);
    *code = 0;
    if (n == 0)
        return LSSB_IO_FAILED;
    if ((size_t)n < sizeof answer)
        return LSSB_IO_AGAIN;
    *code = answer.code;
    if (answer.io != LSSB_IO_OK)
        return (lssb_io)answer.io;
    *count = answer.count < max ? answer.count : max;
    memcpy(addresses, answer.addresses, *count * sizeof *addresses);
    return LSSB_IO_OK;
}

/* -------------------------------------------------------------- sockets -- */

/* Writes an address as the system wants it; returns its length. */
static socklen_t posix_sockaddr(struct sockaddr_storage *to,
                                const lssb_address *from)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        memset(&in, 0, sizeof in);
        in.sin_family = AF_INET;
        in.sin_port = htons(from->port);
        memcpy(&in.sin_addr, from->bytes, 4);
        memcpy(to, &in, sizeof in);
        return (socklen_t)sizeof in;
    }
    memset(&in6, 0, sizeof in6);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(from->port);
    in6.sin6_scope_id = from->scope;
    memcpy(&in6.sin6_addr, from->bytes, 16);
    memcpy(to, &in6, sizeof in6);
    return (socklen_t)sizeof in6;
}

/* Makes a TCP socket that sends small packets at once; -1: errno says why. */
static int posix_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | POSIX_SOCKET_FLAGS, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    if (posix_tame(fd) &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0)
        return fd;
    posix_close_fd(fd);
    return -1;
}

/* Starts a connection. One that a signal interrupts goes on by itself. */
static lssb_io posix_connect(void *context, const lssb_address *address,
                             lssb_handle *handle, int32_t *code)
{
    struct sockaddr_storage to;
    socklen_t len = posix_sockaddr(&to, address);
    int fd = posix_socket(address->family == 4 ? AF_INET : AF_INET6);

    (void)context;
    if (fd < 0)
        return posix_failed(code);
    if (connect(fd, (struct sockaddr *)&to, len) != 0 &&
        errno != EINPROGRESS && errno != EINTR) {
        posix_close_fd(fd);
        return posix_failed(code);
    }
    *handle = fd;
    return LSSB_IO_OK;
}

/* Asks what became of it: writable means decided, SO_ERROR says how. */
static lssb_io posix_connected(void *context, lssb_handle handle,
                               int32_t *code)
{
    struct pollfd one = {0, POLLOUT, 0};
    int error = 0, n;
    socklen_t len = (socklen_t)sizeof error;

    (void)context;
    one.fd = (int)handle;
    n = poll(&one, 1, 0);
    if (n == 0 || (n < 0 && errno == EINTR))
        return LSSB_IO_AGAIN;
    if (n < 0 || getsockopt(one.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return posix_failed(code);
    if (error == 0)
        return LSSB_IO_OK;
    *code = (int32_t)error;
    return posix_io(error);
}

/* Sends what fits. */
static ptrdiff_t posix_send(void *context, lssb_handle handle,
                            const void *bytes, size_t len, int32_t *code)
{
    ssize_t n;

    (void)context;
    do {
        n = send((int)handle, bytes, len, POSIX_SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? (ptrdiff_t)posix_failed(code) : (ptrdiff_t)n;
}

/* Receives what is there. */
static ptrdiff_t posix_receive(void *context, lssb_handle handle, void *bytes,
                               size_t len, int32_t *code)
{
    ssize_t n;

    (void)context;
    do {
        n = recv((int)handle, bytes, len, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? (ptrdiff_t)posix_failed(code) : (ptrdiff_t)n;
}

/* Closes. After EINTR the descriptor is gone nonetheless, or nobody knows. */
static void posix_close_handle(void *context, lssb_handle handle, bool reset)
{
    struct linger now = {1, 0};

    (void)context;
    if (reset)
        setsockopt((int)handle, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close((int)handle);
}

/* ------------------------------------------------------------ listening -- */

#define POSIX_BACKLOG 128

#define POSIX_PROBE_MS 50           /* an address of this machine's answers at
                                       once; what does not answer is none */

/* Where SO_REUSEADDR lets a socket be bound beside one that listens on every
 * address (the BSDs, macOS), asks first whether anybody answers there: that may
 * take POSIX_PROBE_MS, the one wait of a call that has none otherwise. */
static bool posix_is_taken(const struct sockaddr_storage *at, socklen_t len)
{
#if defined(__linux__) && !defined(LSSB_POSIX_PROBE)
    (void)at;
    (void)len;
    return false;
#else
    struct pollfd one = {0, POLLOUT, 0};
    int error = 0, ready;
    socklen_t size = (socklen_t)sizeof error;

    one.fd = posix_socket(at->ss_family);
    if (one.fd < 0)
        return false;
    if (connect(one.fd, (const struct sockaddr *)at, len) != 0)
        error = errno;
    if (error == EINPROGRESS || error == EINTR) {
        do
            ready = poll(&one, 1, POSIX_PROBE_MS);
        while (ready < 0 && errno == EINTR);
        if (ready != 1 || getsockopt(one.fd, SOL_SOCKET, SO_ERROR, &error,
                                     &size) != 0)
            error = ETIMEDOUT;
    }
    close(one.fd);
    return error == 0;
#endif
}

/* Binds a socket and listens; false: errno says why. */
static bool posix_bind(int fd, const struct sockaddr_storage *at,
                       socklen_t len)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return false;
    if (at->ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return false;
    return bind(fd, (const struct sockaddr *)at, len) == 0 &&
           listen(fd, POSIX_BACKLOG) == 0;
}

/* The port that a socket was bound to. */
static uint16_t posix_local_port(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = (socklen_t)sizeof at;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(&at, 0, sizeof at);
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    memcpy(&in, &at, sizeof in);
    memcpy(&in6, &at, sizeof in6);
    return ntohs(at.ss_family == AF_INET ? in.sin_port : in6.sin6_port);
}

/* Listens on an address. */
static lssb_io posix_listen(void *context, const lssb_address *address,
                            lssb_handle *handle, uint16_t *local_port,
                            int32_t *code)
{
    struct sockaddr_storage at;
    socklen_t len = posix_sockaddr(&at, address);
    int fd;

    (void)context;
    if (address->port != 0 && posix_is_taken(&at, len)) {
        *code = EADDRINUSE;
        return LSSB_IO_IN_USE;
    }
    fd = posix_socket(address->family == 4 ? AF_INET : AF_INET6);
    if (fd < 0)
        return posix_failed(code);
    if (!posix_bind(fd, &at, len)) {
        posix_close_fd(fd);
        return posix_failed(code);
    }
    *local_port = posix_local_port(fd);
    *handle = fd;
    return LSSB_IO_OK;
}

#define POSIX_FRESH_S 2             /* a socket this young may be about to
                                       listen */
#ifdef __APPLE__
#define POSIX_TIME st_mtimespec
#else
#define POSIX_TIME st_mtim
#endif

/* Writes a path as the system wants it; false: it is too long. */
static bool posix_path(struct sockaddr_un *to, const char *path)
{
    size_t len = strlen(path);

    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    if (len >= sizeof to->sun_path)
        return false;
    memcpy(to->sun_path, path, len);
    return true;
}

/* Makes a Unix socket; -1: errno says why. */
static int posix_unix_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | POSIX_SOCKET_FLAGS, 0);

    if (fd < 0 || posix_tame(fd))
        return fd;
    posix_close_fd(fd);
    return -1;
}

/* Whether a path is a socket of this user's that nobody listens on. Asks by
 * connecting; stores what it is. */
static bool posix_is_dead(const struct sockaddr_un *at, struct stat *what)
{
    int fd = posix_unix_socket(), error = 0;

    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)at, (socklen_t)sizeof *at) != 0)
        error = errno;
    close(fd);
    return error == ECONNREFUSED && lstat(at->sun_path, what) == 0 &&
           S_ISSOCK(what->st_mode) && what->st_uid == geteuid();
}

/* Whether a file was made so short a time ago that the process that made it may
 * not have come to listening yet. */
static bool posix_is_fresh(const struct stat *what)
{
    time_t now = time(NULL), made = what->st_mtime;

    return now - made < POSIX_FRESH_S && made - now < POSIX_FRESH_S;
}

static void posix_remember(struct posix_made *made, const struct stat *what)
{
    made->device = what->st_dev;
    made->inode = what->st_ino;
    made->at = what->POSIX_TIME;
}

static bool posix_is_the_same(const struct posix_made *made,
                              const struct stat *what)
{
    return what->st_dev == made->device && what->st_ino == made->inode &&
           what->POSIX_TIME.tv_sec == made->at.tv_sec &&
           what->POSIX_TIME.tv_nsec == made->at.tv_nsec;
}

/* Where a file goes for a moment: a name beside its own that nobody else
 * uses. */
static void posix_aside(char *to, const char *path)
{
    static const char suffix[] = ".lssb-";
    uint32_t number = (uint32_t)getpid();
    size_t len = strlen(path);

    (void)posix_random(NULL, &number, sizeof number);
    memcpy(to, path, len);
    memcpy(to + len, suffix, sizeof suffix - 1);
    len += sizeof suffix - 1;
    for (; number > 0; number /= 10)
        to[len++] = (char)('0' + number % 10);
    to[len] = '\0';
}

/* Removes a file if it is the one that was looked at: what has taken its place
 * since then is seen once it is aside, and put back. */
static bool posix_remove(const char *path, const struct posix_made *made)
{
    char aside[sizeof(struct sockaddr_un) + 32];
    struct stat what;
    bool same;

    posix_aside(aside, path);
    if (rename(path, aside) != 0)
        return false;
    same = lstat(aside, &what) == 0 && posix_is_the_same(made, &what);
    if (same || link(aside, path) == 0 || errno == EEXIST)
        unlink(aside);
    else
        (void)rename(aside, path);
    return same;
}

/* Removes what a process left that is gone. False: errno is EADDRINUSE. */
static bool posix_take_over(const struct sockaddr_un *at)
{
    struct posix_made made;
    struct stat what;

    if (posix_is_dead(at, &what) && !posix_is_fresh(&what)) {
        posix_remember(&made, &what);
        if (posix_remove(at->sun_path, &made))
            return true;
    }
    errno = EADDRINUSE;
    return false;
}

#define POSIX_LOCK_MS 200           /* for others of this library */

/* Locks a path's directory, for a moment, against others of this library that
 * take over what is dead: they look, remove and listen one after another. -1:
 * it goes on without; somebody else may have locked it for good. */
static int posix_lock(const struct sockaddr_un *at)
{
    int fd = -1;
#ifdef LOCK_EX
    char directory[sizeof at->sun_path + 1];
    const char *slash = strrchr(at->sun_path, '/');
    size_t len = slash != NULL ? (size_t)(slash - at->sun_path) + 1 : 0;
    int ms;

    memcpy(directory, at->sun_path, len);
    directory[len] = '.';
    directory[len + 1] = '\0';
    fd = open(directory, O_RDONLY | O_CLOEXEC);
    for (ms = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; ms++) {
        if (ms < POSIX_LOCK_MS && errno == EWOULDBLOCK) {
            poll(NULL, 0, 1);
            continue;
        }
        close(fd);
        fd = -1;
    }
#else
    (void)at;
#endif
    return fd;
}

/* Keeps errno. */
static void posix_unlock(int lock)
{
#ifdef LOCK_EX
    int error = errno;

    if (lock < 0)
        return;
    flock(lock, LOCK_UN);           /* a process that was forked has it, too */
    close(lock);
    errno = error;
#else
    (void)lock;
#endif
}

/* Has only this user connect: by the mode of the socket, which Linux makes the
 * file with, elsewhere by the file's; and nobody can connect before listen().
 * Stores what was made. False: errno says why. */
static bool posix_listen_there(int fd, const struct sockaddr_un *at,
                               struct posix_made *made)
{
    struct stat what;
    int error;

    if (chmod(at->sun_path, S_IRUSR | S_IWUSR) == 0 &&
        lstat(at->sun_path, &what) == 0 && listen(fd, POSIX_BACKLOG) == 0) {
        posix_remember(made, &what);
        return true;
    }
    error = errno;
    unlink(at->sun_path);
    errno = error;
    return false;
}

/* Binds to a path and listens. False: errno says why. */
static bool posix_bind_path(int fd, const struct sockaddr_un *at,
                            struct posix_made *made)
{
    const struct sockaddr *to = (const struct sockaddr *)at;
    socklen_t len = (socklen_t)sizeof *at;
    int lock = -1;
    bool bound;

    (void)fchmod(fd, S_IRUSR | S_IWUSR);
    bound = bind(fd, to, len) == 0;
    if (!bound && errno == EADDRINUSE) {
        lock = posix_lock(at);
        bound = posix_take_over(at) && bind(fd, to, len) == 0;
    }
    bound = bound && posix_listen_there(fd, at, made);
    posix_unlock(lock);
    return bound;
}

/* A number made of a path, not 0 (FNV-1a). */
static uint64_t posix_name(const char *path)
{
    uint64_t name = UINT64_C(14695981039346656037);

    for (; *path != '\0'; path++)
        name = (name ^ (unsigned char)*path) * UINT64_C(1099511628211);
    return name != 0 ? name : 1;
}

/* The place for what is made at a path, or of nothing (0); NULL: none. */
static struct posix_made *posix_find_path(struct posix_context *posix,
                                          uint64_t name)
{
    size_t i;

    for (i = 0; i < POSIX_PATHS; i++)
        if (posix->paths[i].name == name)
            return &posix->paths[i];
    return NULL;
}

/* Listens on a path, where only this user may connect. A socket that is there,
 * but that nobody listens on, gives way. */
static lssb_io posix_listen_path(void *context, const char *path,
                                 lssb_handle *handle, int32_t *code)
{
    uint64_t name = posix_name(path);
    struct posix_made *made = posix_find_path(context, 0);
    struct sockaddr_un at;
    int fd;

    if (!posix_path(&at, path)) {
        *code = ENAMETOOLONG;
        return LSSB_IO_UNREACHABLE;
    }
    if (made == NULL || posix_find_path(context, name) != NULL) {
        *code = made == NULL ? ENOBUFS : EADDRINUSE;
        return posix_io(*code);
    }
    fd = posix_unix_socket();
    if (fd < 0)
        return posix_failed(code);
    if (!posix_bind_path(fd, &at, made)) {
        posix_close_fd(fd);
        return posix_failed(code);
    }
    made->name = name;
    *handle = fd;
    return LSSB_IO_OK;
}

/* Removes the socket that was listened on. What else is there by now stays. */
static void posix_remove_path(void *context, const char *path)
{
    struct posix_made *made = posix_find_path(context, posix_name(path));
    struct sockaddr_un at;
    struct stat what;

    if (made == NULL)
        return;
    if (posix_path(&at, path) && posix_is_dead(&at, &what) &&
        posix_is_the_same(made, &what))
        posix_remove(path, made);
    made->name = 0;
}

/* Accepts, with what every socket of this port has from the start. */
static lssb_io posix_accept(void *context, lssb_handle listener,
                            lssb_handle *handle, int32_t *code)
{
    int fd, on = 1;

    (void)context;
    do {
#ifdef SOCK_CLOEXEC
        fd = accept4((int)listener, NULL, NULL, POSIX_SOCKET_FLAGS);
#else
        fd = accept((int)listener, NULL, NULL);
#endif
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return posix_failed(code);
    if (!posix_tame(fd)) {          /* macOS sets nothing on one that is cut */
        posix_close_fd(fd);
        *code = (int32_t)errno;
        return LSSB_IO_RESET;
    }
    /* A Unix socket has nothing to delay. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *handle = fd;
    return LSSB_IO_OK;
}

static lssb_io posix_finish(void *context, lssb_handle handle, int32_t *code)
{
    (void)context;
    return shutdown((int)handle, SHUT_WR) == 0 ? LSSB_IO_OK
                                               : posix_failed(code);
}

/* -------------------------------------------------------------- waiting -- */

#define POSIX_FEW 16                /* handles that are waited for without
                                       touching the caller's list */

/* poll() wants a list of its own, and there is no memory for one; but an
 * lssb_poll is larger than a struct pollfd, so a long list becomes poll's in
 * place, from its front, and itself again afterwards, from its end. What
 * comes last, in the room that this leaves, is the wake pair. */
typedef char posix_list_has_room[
    sizeof(lssb_poll) * POSIX_FEW >= sizeof(struct pollfd) * (POSIX_FEW + 1)
        ? 1 : -1];

/* Writes the place's entry i. A negative descriptor is skipped by poll; this
 * one can be told back. */
static void posix_put_entry(unsigned char *place, size_t i,
                            const lssb_poll *from)
{
    struct pollfd entry = {INT_MIN, 0, 0};

    if (from->handle >= 0)
        entry.fd = (int)from->handle;
    if (from->read)
        entry.events = POLLIN;
    if (from->write)
        entry.events = (short)(entry.events | POLLOUT);
    if (entry.events == 0 && entry.fd >= 0)
        entry.fd = ~entry.fd;
    memcpy(place + i * sizeof entry, &entry, sizeof entry);
}

/* Reads the place's entry i. */
static lssb_poll posix_get_entry(const unsigned char *place, size_t i)
{
    struct pollfd entry;
    lssb_poll to;

    memcpy(&entry, place + i * sizeof entry, sizeof entry);
    memset(&to, 0, sizeof to);
    to.handle = entry.fd;
    if (entry.fd < 0)
        to.handle = entry.fd == INT_MIN ? LSSB_NO_HANDLE : ~entry.fd;
    to.read = (entry.events & POLLIN) != 0;
    to.write = (entry.events & POLLOUT) != 0;
    to.ready = entry.revents > 0;
    return to;
}

/* The handle for callers with a loop of their own. */
static lssb_handle posix_wake_handle(void *context)
{
    return ((const struct posix_context *)context)->wake_out;
}

/* Takes all wakes back. */
static void posix_wake_clear(void *context)
{
    int fd = ((const struct posix_context *)context)->wake_out;
    char bytes[64];
    ssize_t n;

    do {
        n = recv(fd, bytes, sizeof bytes, 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
}

/* Leaves a byte in the wake pair. When it is full there are enough of them. A
 * signal handler may call this: errno stays as it is. */
static void posix_wake(void *context)
{
    int fd = ((const struct posix_context *)context)->wake_in;
    int error = errno;
    ssize_t n;

    do {
        n = send(fd, "", 1, POSIX_SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    errno = error;
}

/* Waits. A signal ends it early, as anything may. */
static lssb_io posix_wait(void *context, lssb_poll *list, size_t count,
                          uint32_t timeout_ms, int32_t *code)
{
    struct pollfd few[POSIX_FEW + 1];
    unsigned char *place = (unsigned char *)few;
    lssb_poll wake = {LSSB_NO_HANDLE, true, false, false, 0};
    int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    lssb_io io = LSSB_IO_OK;
    size_t i;

    if (count > POSIX_FEW)
        place = (unsigned char *)list;
    for (i = 0; i < count; i++) {
        lssb_poll item = list[i];

        posix_put_entry(place, i, &item);
    }
    wake.handle = posix_wake_handle(context);
    posix_put_entry(place, count, &wake);
    if (timeout_ms == UINT32_MAX)
        timeout = -1;
    if (poll((struct pollfd *)(void *)place, (nfds_t)(count + 1),
             timeout) < 0 && errno != EINTR)
        io = posix_failed(code);
    wake = posix_get_entry(place, count);
    for (i = count; i-- > 0;)
        list[i] = posix_get_entry(place, i);
    if (wake.ready)
        posix_wake_clear(context);
    return io;
}

/* --------------------------------------------------------- certificates -- */

/* Where systems keep their certificates, the most common first. */
static const char *const posix_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",       /* Debian, Arch, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",         /* Fedora, RHEL */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",                   /* SUSE */
    "/etc/ssl/cert.pem",                        /* OpenBSD, macOS, FreeBSD */
    "/usr/local/share/certs/ca-root-nss.crt",   /* FreeBSD's package */
    "/usr/local/etc/ssl/cert.pem",
    "/etc/openssl/certs/ca-certificates.crt",   /* NetBSD */
    "/usr/share/ssl/certs/ca-bundle.crt"
};

/* Reads a file at an offset. */
static ptrdiff_t posix_read_at(void *ctx, uint64_t offset, void *bytes,
                               size_t len)
{
    ssize_t n;

    if (offset > INT64_MAX)
        return 0;
    do {
        n = pread((int)(intptr_t)ctx, bytes, len, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return (ptrdiff_t)n;
}

/* Closes a file. */
static void posix_close_blob(void *ctx)
{
    close((int)(intptr_t)ctx);
}

/* Opens a regular file; a pipe of that name does not hold us up. */
static lssb_io posix_open_blob(const char *path, lssb_blob *out, int32_t *code)
{
    struct stat what;
    int fd;

    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return posix_failed(code);
    if (fstat(fd, &what) != 0 || !S_ISREG(what.st_mode)) {
        close(fd);
        *code = EISDIR;
        return LSSB_IO_FAILED;
    }
    out->read_at = posix_read_at;
    out->close = posix_close_blob;
    out->ctx = (void *)(intptr_t)fd;
    return LSSB_IO_OK;
}

/* Opens the certificates: a given file and no other, else the first of the
 * usual places that is there. */
static lssb_io posix_certificates(void *context, const char *path,
                                  lssb_blob *out, int32_t *code)
{
    lssb_io io = LSSB_IO_NOT_FOUND;
    size_t i;

    (void)context;
    if (path != NULL)
        return posix_open_blob(path, out, code);
    for (i = 0; i < sizeof posix_bundles / sizeof posix_bundles[0]; i++) {
        io = posix_open_blob(posix_bundles[i], out, code);
        if (io == LSSB_IO_OK)
            break;
    }
    return io;
}

const lssb_port lssb_default_port = {
    LSSB_PORT_VERSION,
    NULL,
    sizeof(struct posix_context),
    posix_open,
    posix_close_context,
    posix_take,
    posix_give,
    posix_now_ms,
    posix_wall_s,
    posix_random,
    posix_environment,
    posix_resolve,
    posix_resolved,
    posix_connect,
    posix_connected,
    posix_send,
    posix_receive,
    posix_close_handle,
    posix_wait,
    posix_wake,
    posix_wake_handle,
    posix_wake_clear,
    posix_certificates
};

const lssb_listen_port lssb_default_listen_port = {
    LSSB_PORT_VERSION,
    posix_listen,
    posix_listen_path,
    posix_remove_path,
    posix_accept,
    posix_finish
};
