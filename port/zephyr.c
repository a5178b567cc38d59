/* zephyr.c: the port for Zephyr's sockets.
 *
 * SPDX-License-Identifier: MIT
 *
 * Wants CONFIG_NET_SOCKETS, CONFIG_NET_TCP, and an entropy source, so that
 * there is CONFIG_CSPRNG_ENABLED; from Zephyr 4.4 on also
 * CONFIG_NET_NAMESPACE_COMPAT_MODE, which is on by default. Resolves names with
 * CONFIG_DNS_RESOLVER, one address each: IPv4 where there is CONFIG_NET_IPV4.
 * CONFIG_ZVFS_POLL_MAX (CONFIG_NET_SOCKETS_POLL_MAX in older trees) has to be
 * one more than twice lssb_config.slots and lssb_config.streams at least. The
 * firmware gives the clock (device.h).
 *
 * With CONFIG_ZVFS_EVENTFD (Zephyr 3.7 and up) a wake and a resolver's answer
 * end a wait by themselves, and each client takes one such descriptor; without
 * it `wait` looks around every LSSB_WAKE_MS.
 *
 * Zephyr's own TCP ends both halves of a connection or none (shutdown() for
 * writing is ENOTSUP), so that there are no listeners of tunnels; and it has no
 * SO_LINGER: what is reset here says goodbye there. Written by Zephyr's
 * documentation and sources; compiled against headers of the same shape, not
 * run.
 */
#include <errno.h>
#include <fcntl.h>
#include <zephyr/kernel.h>
#include <zephyr/net/socket.h>
#include <zephyr/random/random.h>
#if defined(CONFIG_DNS_RESOLVER)
#include <zephyr/net/dns_resolve.h>
#endif
#if defined(CONFIG_ZVFS_EVENTFD)
#include <zephyr/zvfs/eventfd.h>
#endif

#include <stdbool.h>

#define SOCKETS(name) zsock_##name
#define sockets_pollfd zsock_pollfd
#define SOCKETS_POLLIN ZSOCK_POLLIN
#define SOCKETS_POLLOUT ZSOCK_POLLOUT
#define SOCKETS_LISTENERS 0
#if defined(CONFIG_NET_IPV6)
#define SOCKETS_IPV6 1
#else
#define SOCKETS_IPV6 0
#endif
#if defined(CONFIG_DNS_RESOLVER)
#define SOCKETS_NAMES 1
#else
#define SOCKETS_NAMES 0
#endif

#if defined(CONFIG_ZVFS_EVENTFD)
#define SOCKETS_EVENTS 1
#ifndef LSSB_WAKE_MS
#define LSSB_WAKE_MS 3600000        /* an event is never lost */
#endif
#else
#define SOCKETS_EVENTS 0
#endif

typedef int sockets_count;

#if SOCKETS_NAMES

typedef k_spinlock_key_t sockets_key;

static struct k_spinlock zephyr_lock;

static sockets_key sockets_lock(void)
{
    return k_spin_lock(&zephyr_lock);
}

static void sockets_unlock(sockets_key key)
{
    k_spin_unlock(&zephyr_lock, key);
}

#endif

#if SOCKETS_EVENTS

struct sockets_event {
    int fd;
};

static bool sockets_event_open(struct sockets_event *event)
{
    event->fd = zvfs_eventfd(0, ZVFS_EFD_NONBLOCK);
    return event->fd >= 0;
}

static void sockets_event_close(struct sockets_event *event)
{
    zsock_close(event->fd);
}

/* One that does not block is written to under a spinlock alone: by threads and
 * interrupts. */
static void sockets_event_raise(struct sockets_event *event)
{
    int error = errno;

    zvfs_eventfd_write(event->fd, 1);
    errno = error;
}

static void sockets_event_lower(struct sockets_event *event)
{
    zvfs_eventfd_t count;

    zvfs_eventfd_read(event->fd, &count);
}

#if SOCKETS_NAMES
#define sockets_event_answer sockets_event_raise
#endif

#endif

static uint64_t sockets_now_ms(void *context);
static void sockets_reset(int s);

#include "small_sockets.c"

static uint64_t sockets_now_ms(void *context)
{
    (void)context;
    return (uint64_t)k_uptime_get();
}

/* For network processors that know it. */
static void sockets_reset(int s)
{
#ifdef SO_LINGER
    struct {
        int on;
        int seconds;
    } now = { 1, 0 };

    zsock_setsockopt(s, SOL_SOCKET, SO_LINGER, &now, (socklen_t)sizeof now);
#else
    (void)s;
#endif
}

bool lssb_device_random(void *bytes, size_t len)
{
    return sys_csrand_get(bytes, len) == 0;
}

/* ---------------------------------------------------------------- names -- */

#if SOCKETS_NAMES

#define ZEPHYR_RESOLVE_MS 10000

/* Takes one of Zephyr's addresses over. */
static void zephyr_address(lssb_address *to, const struct dns_addrinfo *from)
{
    union sockets_address address;

    memcpy(&address, &from->ai_addr,
           sizeof address < sizeof from->ai_addr ? sizeof address
                                                 : sizeof from->ai_addr);
    memset(to, 0, sizeof *to);
    if (address.any.sa_family == AF_INET) {
        to->family = 4;
        memcpy(to->bytes, &address.in.sin_addr, 4);
    }
#if SOCKETS_IPV6
    if (address.any.sa_family == AF_INET6) {
        to->family = 6;
        memcpy(to->bytes, &address.in6.sin6_addr, 16);
    }
#endif
}

/* Says in the port's words what the resolver says. */
static lssb_io zephyr_io(enum dns_resolve_status status)
{
    switch ((int)status) {
    case DNS_EAI_NODATA:
    case DNS_EAI_NONAME:
        return LSSB_IO_NOT_FOUND;
    case DNS_EAI_AGAIN:
    case DNS_EAI_CANCELED:          /* so it calls its own end of time */
        return LSSB_IO_TIMED_OUT;
    case DNS_EAI_MEMORY:
        return LSSB_IO_LIMIT;
    default:
        return LSSB_IO_FAILED;
    }
}

/* Hears from the resolver: each address, then the end. The first is kept. */
static void zephyr_heard(enum dns_resolve_status status,
                         struct dns_addrinfo *found, void *ctx)
{
    struct sockets_job *job = ctx;

    if (status == DNS_EAI_INPROGRESS) {
        if (found != NULL && job->address.family == 0)
            zephyr_address(&job->address, found);
        return;
    }
    if (status == DNS_EAI_ALLDONE)
        sockets_answer(job, job->address.family != 0 ? LSSB_IO_OK
                                                     : LSSB_IO_NOT_FOUND,
                       0, NULL);
    else
        sockets_answer(job, zephyr_io(status), (int32_t)status, NULL);
}

/* Asks; the name stays where it is until the answer has come. */
static lssb_io sockets_ask(struct sockets_job *job, int32_t *code)
{
#if defined(CONFIG_NET_IPV4)
    enum dns_query_type type = DNS_QUERY_TYPE_A;
#else
    enum dns_query_type type = DNS_QUERY_TYPE_AAAA;
#endif
    int error = dns_get_addr_info(job->name, type, NULL, zephyr_heard, job,
                                  ZEPHYR_RESOLVE_MS);

    *code = (int32_t)error;
    if (error == 0)
        return LSSB_IO_OK;
    return error == -EAGAIN || error == -ENOMEM ? LSSB_IO_LIMIT
                                                : LSSB_IO_FAILED;
}

#endif
