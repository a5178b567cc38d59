/* small_sockets.c: a port over the sockets of a small system.
 *
 * SPDX-License-Identifier: MIT
 *
 * Included by lwip.c and zephyr.c, which say how the calls are spelled there:
 *
 *   SOCKETS(name)          the call of that name: lwip_##name
 *   struct sockets_pollfd  by #define, and SOCKETS_POLLIN, SOCKETS_POLLOUT,
 *                          SOCKETS_SHUT_WR
 *   SOCKETS_IPV6           1 if there are IPv6 addresses, else 0
 *   SOCKETS_NAMES          1 if there is a resolver, else 0
 *   sockets_now_ms         a function of the port
 *   sockets_reset          makes the close that follows a reset, as far as
 *                          that can be done
 *   SOCKETS_LISTENERS      1 if half of a connection can be ended, as the
 *                          listeners of tunnels do, else 0
 *   sockets_lock, _unlock  guard a few instructions against the thread or the
 *                          interrupt that the resolver's answers come from
 *   sockets_ask            starts to resolve a job's name; its answer goes to
 *                          sockets_answer, from any thread, once
 *   SOCKETS_EVENTS         1 if there is something in each context that poll()
 *                          waits for and that can be raised from elsewhere;
 *                          then also:
 *     struct sockets_event            what it takes; fd: what poll() waits for
 *     sockets_event_open, _close      make it, undo that
 *     sockets_event_raise             from any thread and interrupt
 *     sockets_event_answer            from the resolver, while it is locked
 *     sockets_event_lower             takes it back
 *
 * Needed are sockets that can be made not to block, and poll(); no select, no
 * pipes, no signals. `wake` sets a flag, and raises the event. Without events
 * `wait` looks at the flag every LSSB_WAKE_MS, since nothing else that ends a
 * poll may be called by an interrupt.
 */
#include "device.h"
#include "port.h"

#include <limits.h>
#include <string.h>

/* LSSB_WAKE_MS and LSSB_RESOLVER_JOBS: src/config.h says what they cost. */
#ifndef LSSB_WAKE_MS
#define LSSB_WAKE_MS (SOCKETS_EVENTS ? 1000 : 50)
#endif
#ifndef LSSB_RESOLVER_JOBS
#define LSSB_RESOLVER_JOBS 2
#endif

#define SOCKETS_BACKLOG 128
#define SOCKETS_RESOLVER_MS 10      /* between looks for a resolver's answer,
                                       where that is no event */
#define SOCKETS_STARVED_MS 10       /* after a send for which the system had no
                                       memory */

struct sockets_context {
    uint64_t now;                   /* of sockets_now_ms */
    uint32_t ticks;
    volatile uint8_t woken;
    uint8_t starved;
#if SOCKETS_EVENTS
    struct sockets_event event;
#endif
};

/* --------------------------------------------------------------- errors -- */

/* Says in the port's words what errno says. */
static lssb_io sockets_io(int error)
{
    switch (error) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
    case EINTR:
        return LSSB_IO_AGAIN;
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:                  /* a reset that was told before */
    case EPIPE:
        return LSSB_IO_RESET;
    case ECONNREFUSED:
        return LSSB_IO_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return LSSB_IO_UNREACHABLE;
    case ETIMEDOUT:
        return LSSB_IO_TIMED_OUT;
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
static lssb_io sockets_failed(int32_t *code)
{
    int error = errno;

    *code = (int32_t)error;
    return sockets_io(error);
}

/* --------------------------------------------------------- time, chance -- */

static int64_t sockets_wall_s(void *context)
{
    (void)context;
    return lssb_device_wall_s();
}

static lssb_io sockets_random(void *context, void *bytes, size_t len)
{
    (void)context;
    return lssb_device_random(bytes, len) ? LSSB_IO_OK : LSSB_IO_FAILED;
}

/* ---------------------------------------------------------------- names -- */

/* A job's handle is less than LSSB_NO_HANDLE, a socket's is not negative. */
#define SOCKETS_FIRST_JOB (-2)

#if SOCKETS_NAMES

enum sockets_job_state {
    SOCKETS_JOB_FREE = 0,
    SOCKETS_JOB_ASKED,
    SOCKETS_JOB_ANSWERED,
    SOCKETS_JOB_FORGOTTEN           /* asked; nobody waits for it any more */
};

struct sockets_job {
    enum sockets_job_state state;
    struct sockets_context *asker;  /* while it is not forgotten */
    lssb_io io;
    int32_t code;
    lssb_address address;
    char name[256];
};

/* The one thing that clients share: an answer cannot be called off, and comes
 * even when the client that asked is gone; so what it is written to is not a
 * client's. */
static struct sockets_job sockets_jobs[LSSB_RESOLVER_JOBS];

static lssb_io sockets_ask(struct sockets_job *job, int32_t *code);

/* A job's state, as it is now. */
static enum sockets_job_state sockets_job_state(struct sockets_job *job)
{
    sockets_key key = sockets_lock();
    enum sockets_job_state state = job->state;

    sockets_unlock(key);
    return state;
}

/* Takes a job that is free, or NULL. */
static struct sockets_job *sockets_take_job(struct sockets_context *asker)
{
    struct sockets_job *job = NULL;
    sockets_key key = sockets_lock();
    size_t i;

    for (i = 0; i < LSSB_RESOLVER_JOBS && job == NULL; i++)
        if (sockets_jobs[i].state == SOCKETS_JOB_FREE)
            job = &sockets_jobs[i];
    if (job != NULL) {
        job->state = SOCKETS_JOB_ASKED;
        job->asker = asker;
    }
    sockets_unlock(key);
    return job;
}

/* Stores an answer: an address, or why there is none. Whoever asked is there
 * still while the lock is held. */
static void sockets_answer(struct sockets_job *job, lssb_io io, int32_t code,
                           const lssb_address *address)
{
    sockets_key key = sockets_lock();

    job->io = io;
    job->code = code;
    if (address != NULL)
        job->address = *address;
    job->state = job->state == SOCKETS_JOB_FORGOTTEN ? SOCKETS_JOB_FREE
                                                     : SOCKETS_JOB_ANSWERED;
#if SOCKETS_EVENTS
    if (job->state == SOCKETS_JOB_ANSWERED)
        sockets_event_answer(&job->asker->event);
#endif
    sockets_unlock(key);
}

/* Changes what a job is. */
static void sockets_set_job(struct sockets_job *job,
                            enum sockets_job_state state)
{
    sockets_key key = sockets_lock();

    job->state = state;
    sockets_unlock(key);
}

/* Lets a job go: now, or when its answer has come. */
static void sockets_leave_job(struct sockets_job *job)
{
    sockets_key key = sockets_lock();

    job->state = job->state == SOCKETS_JOB_ASKED ? SOCKETS_JOB_FORGOTTEN
                                                 : SOCKETS_JOB_FREE;
    sockets_unlock(key);
}

static struct sockets_job *sockets_job(lssb_handle handle)
{
    return &sockets_jobs[SOCKETS_FIRST_JOB - handle];
}

/* Starts to resolve a name: at once, but as many as there are jobs. */
static lssb_io sockets_resolve(void *context, const char *name,
                               lssb_handle *handle, int32_t *code)
{
    struct sockets_job *job;
    size_t len = strlen(name);
    lssb_io io;

    *code = 0;
    if (len == 0 || len >= sizeof job->name)
        return LSSB_IO_NOT_FOUND;
    job = sockets_take_job(context);
    if (job == NULL)
        return LSSB_IO_LIMIT;
    memcpy(job->name, name, len + 1);
    memset(&job->address, 0, sizeof job->address);
    io = sockets_ask(job, code);
    if (io != LSSB_IO_OK) {
        sockets_set_job(job, SOCKETS_JOB_FREE);
        return io;
    }
    *handle = SOCKETS_FIRST_JOB - (lssb_handle)(job - sockets_jobs);
    return LSSB_IO_OK;
}

/* The one address that the resolver keeps. */
static lssb_io sockets_resolved(void *context, lssb_handle handle,
                                lssb_address *addresses, size_t max,
                                size_t *count, int32_t *code)
{
    struct sockets_job *job = sockets_job(handle);

    (void)context;
    if (sockets_job_state(job) != SOCKETS_JOB_ANSWERED)
        return LSSB_IO_AGAIN;
    *code = job->code;
    if (job->io != LSSB_IO_OK)
        return job->io;
    *count = max > 0;
    if (max > 0)
        addresses[0] = job->address;
    return LSSB_IO_OK;
}

/* Marks the jobs of a list that are answered; true if there is one. *asked: one
 * is not. */
static bool sockets_jobs_ready(lssb_poll *list, size_t count, bool *asked)
{
    bool any = false;
    size_t i;

    *asked = false;
    for (i = 0; i < count; i++) {
        if (list[i].handle > SOCKETS_FIRST_JOB || !list[i].read)
            continue;
        list[i].ready = sockets_job_state(sockets_job(list[i].handle)) ==
                        SOCKETS_JOB_ANSWERED;
        any = any || list[i].ready;
        *asked = *asked || !list[i].ready;
    }
    return any;
}

#else

/* There is no resolver: addresses only. */
static lssb_io sockets_resolve(void *context, const char *name,
                               lssb_handle *handle, int32_t *code)
{
    (void)context;
    (void)name;
    (void)handle;
    *code = 0;
    return LSSB_IO_UNSUPPORTED;
}

static lssb_io sockets_resolved(void *context, lssb_handle handle,
                                lssb_address *addresses, size_t max,
                                size_t *count, int32_t *code)
{
    (void)context;
    (void)handle;
    (void)addresses;
    (void)max;
    (void)count;
    *code = 0;
    return LSSB_IO_UNSUPPORTED;
}

static bool sockets_jobs_ready(lssb_poll *list, size_t count, bool *asked)
{
    (void)list;
    (void)count;
    *asked = false;
    return false;
}

#endif

/* -------------------------------------------------------------- sockets -- */

union sockets_address {
    struct sockaddr any;
    struct sockaddr_in in;
#if SOCKETS_IPV6
    struct sockaddr_in6 in6;
#endif
};

/* Writes an address as the system wants it; returns its length, 0 if it knows
 * none of that family. */
static socklen_t sockets_address(union sockets_address *to,
                                 const lssb_address *from)
{
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        to->in.sin_family = AF_INET;
        to->in.sin_port = htons(from->port);
        memcpy(&to->in.sin_addr, from->bytes, 4);
        return (socklen_t)sizeof to->in;
    }
#if SOCKETS_IPV6
    to->in6.sin6_family = AF_INET6;
    to->in6.sin6_port = htons(from->port);
    to->in6.sin6_scope_id = from->scope;
    memcpy(&to->in6.sin6_addr, from->bytes, 16);
    return (socklen_t)sizeof to->in6;
#else
    return 0;
#endif
}

/* Makes a socket one that does not block and sends small packets at once. */
static bool sockets_tame(int s)
{
    int on = 1;

    SOCKETS(setsockopt)(s, IPPROTO_TCP, TCP_NODELAY, &on,
                        (socklen_t)sizeof on);
    return SOCKETS(fcntl)(s, F_SETFL, O_NONBLOCK) >= 0;
}

/* Closes without losing errno, which says why. */
static void sockets_drop(int s)
{
    int error = errno;

    SOCKETS(close)(s);
    errno = error;
}

/* Makes a TCP socket for an address; -1: errno says why. */
static int sockets_make(const union sockets_address *address)
{
    int s = SOCKETS(socket)(address->any.sa_family, SOCK_STREAM, IPPROTO_TCP);

    if (s < 0 || sockets_tame(s))
        return s;
    sockets_drop(s);
    return -1;
}

/* Starts a connection. */
static lssb_io sockets_connect(void *context, const lssb_address *address,
                               lssb_handle *handle, int32_t *code)
{
    union sockets_address to;
    socklen_t len = sockets_address(&to, address);
    int s;

    (void)context;
    *code = EAFNOSUPPORT;
    if (len == 0)
        return LSSB_IO_UNREACHABLE;
    s = sockets_make(&to);
    if (s < 0)
        return sockets_failed(code);
    if (SOCKETS(connect)(s, &to.any, len) != 0 && errno != EINPROGRESS) {
        sockets_drop(s);
        return sockets_failed(code);
    }
    *handle = s;
    return LSSB_IO_OK;
}

/* Asks what became of it: writable means decided, SO_ERROR says how. Some call
 * a refusal a reset, since that is what has come, and silence an abort. */
static lssb_io sockets_connected(void *context, lssb_handle handle,
                                 int32_t *code)
{
    struct sockets_pollfd one;
    int error = 0, n;
    socklen_t len = (socklen_t)sizeof error;

    (void)context;
    memset(&one, 0, sizeof one);
    one.fd = (int)handle;
    one.events = SOCKETS_POLLOUT;
    n = SOCKETS(poll)(&one, 1, 0);
    if (n == 0 || (n < 0 && errno == EINTR))
        return LSSB_IO_AGAIN;
    if (n < 0 || SOCKETS(getsockopt)(one.fd, SOL_SOCKET, SO_ERROR, &error,
                                     &len) != 0)
        return sockets_failed(code);
    if (error == 0)
        return LSSB_IO_OK;
    if (error == EINPROGRESS || error == EALREADY)
        return LSSB_IO_AGAIN;
    *code = (int32_t)error;
    if (error == ECONNRESET)
        return LSSB_IO_REFUSED;
    if (error == ECONNABORTED || error == EAGAIN || error == EWOULDBLOCK)
        return LSSB_IO_TIMED_OUT;
    return sockets_io(error);
}

/* Sends what fits. Small systems are out of packets now and then, and poll()
 * does not tell when there are some again: `wait` lets a moment pass then. */
static ptrdiff_t sockets_send(void *context, lssb_handle handle,
                              const void *bytes, size_t len, int32_t *code)
{
    ptrdiff_t n = (ptrdiff_t)SOCKETS(send)((int)handle, bytes, len, 0);

    if (n > 0)
        return n;
    if (n < 0 && errno != ENOBUFS && errno != ENOMEM)
        return sockets_failed(code);
    if (n < 0)
        ((struct sockets_context *)context)->starved = 1;
    return LSSB_IO_AGAIN;
}

/* Receives what is there. */
static ptrdiff_t sockets_receive(void *context, lssb_handle handle,
                                 void *bytes, size_t len, int32_t *code)
{
    ptrdiff_t n = (ptrdiff_t)SOCKETS(recv)((int)handle, bytes, len, 0);

    (void)context;
    return n >= 0 ? n : (ptrdiff_t)sockets_failed(code);
}

/* Closes. */
static void sockets_close_handle(void *context, lssb_handle handle, bool reset)
{
    (void)context;
#if SOCKETS_NAMES
    if (handle <= SOCKETS_FIRST_JOB) {
        sockets_leave_job(sockets_job(handle));
        return;
    }
#endif
    if (reset)
        sockets_reset((int)handle);
    SOCKETS(close)((int)handle);
}

/* ------------------------------------------------------------ listening -- */

#if SOCKETS_LISTENERS

/* Binds a socket and listens; false: errno says why. */
static bool sockets_bind(int s, const union sockets_address *at, socklen_t len)
{
    int on = 1;

#ifdef SO_REUSEADDR
    SOCKETS(setsockopt)(s, SOL_SOCKET, SO_REUSEADDR, &on,
                        (socklen_t)sizeof on);
#endif
#if SOCKETS_IPV6 && defined(IPV6_V6ONLY)
    if (at->any.sa_family == AF_INET6)
        SOCKETS(setsockopt)(s, IPPROTO_IPV6, IPV6_V6ONLY, &on,
                            (socklen_t)sizeof on);
#endif
    (void)on;
    return SOCKETS(bind)(s, &at->any, len) == 0 &&
           SOCKETS(listen)(s, SOCKETS_BACKLOG) == 0;
}

/* The port that a socket was bound to. */
static uint16_t sockets_local_port(int s)
{
    union sockets_address at;
    socklen_t len = (socklen_t)sizeof at;

    memset(&at, 0, sizeof at);
    if (SOCKETS(getsockname)(s, &at.any, &len) != 0)
        return 0;
#if SOCKETS_IPV6
    if (at.any.sa_family == AF_INET6)
        return ntohs(at.in6.sin6_port);
#endif
    return ntohs(at.in.sin_port);
}

/* Listens on an address. */
static lssb_io sockets_listen(void *context, const lssb_address *address,
                              lssb_handle *handle, uint16_t *local_port,
                              int32_t *code)
{
    union sockets_address at;
    socklen_t len = sockets_address(&at, address);
    int s;

    (void)context;
    *code = EAFNOSUPPORT;
    if (len == 0)
        return LSSB_IO_UNREACHABLE;
    s = sockets_make(&at);
    if (s < 0)
        return sockets_failed(code);
    if (!sockets_bind(s, &at, len)) {
        sockets_drop(s);
        return sockets_failed(code);
    }
    *local_port = sockets_local_port(s);
    *handle = s;
    return LSSB_IO_OK;
}

/* Accepts, with what every socket of this port has from the start. */
static lssb_io sockets_accept(void *context, lssb_handle listener,
                              lssb_handle *handle, int32_t *code)
{
    int s = SOCKETS(accept)((int)listener, NULL, NULL);

    (void)context;
    if (s < 0)
        return sockets_failed(code);
    if (!sockets_tame(s)) {
        sockets_drop(s);
        return sockets_failed(code);
    }
    *handle = s;
    return LSSB_IO_OK;
}

static lssb_io sockets_finish(void *context, lssb_handle handle, int32_t *code)
{
    (void)context;
    return SOCKETS(shutdown)((int)handle, SOCKETS_SHUT_WR) == 0
               ? LSSB_IO_OK
               : sockets_failed(code);
}

#endif

/* -------------------------------------------------------------- waiting -- */

#define SOCKETS_FEW 2               /* handles that are waited for without
                                       touching the caller's list */

/* poll() wants a list of its own. An lssb_poll is larger, so a longer list
 * becomes poll's in place, from its front, and itself again, from its end. What
 * comes last, in the room that this leaves, is the event. */
typedef char sockets_list_has_room[
    sizeof(lssb_poll) >= sizeof(struct sockets_pollfd) &&
    sizeof(lssb_poll) * (SOCKETS_FEW + 1) >=
        sizeof(struct sockets_pollfd) * (SOCKETS_FEW + 1 + SOCKETS_EVENTS)
        ? 1 : -1];

/* What stands for a socket that is not to be polled: poll skips what is
 * negative, and this can be told back. */
#define SOCKETS_ASIDE(handle) (INT_MIN + 1 + (int)(handle))
#define SOCKETS_IS_ASIDE(fd) ((fd) < INT_MIN / 2)

/* Writes the list's entry i as poll wants it. */
static void sockets_put_entry(unsigned char *place, size_t i,
                              const lssb_poll *from)
{
    struct sockets_pollfd entry;

    memset(&entry, 0, sizeof entry);
    entry.fd = (int)from->handle;
    if (from->read)
        entry.events = SOCKETS_POLLIN;
    if (from->write)
        entry.events = (short)(entry.events | SOCKETS_POLLOUT);
    if (entry.fd >= LSSB_NO_HANDLE &&
        (entry.events == 0 || entry.fd == LSSB_NO_HANDLE))
        entry.fd = SOCKETS_ASIDE(from->handle);
    memcpy(place + i * sizeof entry, &entry, sizeof entry);
}

/* Reads the entry i back. */
static lssb_poll sockets_get_entry(const unsigned char *place, size_t i)
{
    struct sockets_pollfd entry;
    lssb_poll to;

    memcpy(&entry, place + i * sizeof entry, sizeof entry);
    memset(&to, 0, sizeof to);
    to.handle = entry.fd;
    if (SOCKETS_IS_ASIDE(entry.fd))
        to.handle = entry.fd - (INT_MIN + 1);
    to.read = (entry.events & SOCKETS_POLLIN) != 0;
    to.write = (entry.events & SOCKETS_POLLOUT) != 0;
    to.ready = entry.fd >= 0 && entry.revents != 0;
    return to;
}

/* Polls a list once, and the event; true: something is ready, or it failed. */
static bool sockets_poll_once(struct sockets_context *sockets, lssb_poll *list,
                              size_t count, uint32_t ms, lssb_io *io,
                              int32_t *code)
{
    struct sockets_pollfd few[SOCKETS_FEW + SOCKETS_EVENTS];
    unsigned char *place = (unsigned char *)few;
    lssb_poll item;
    size_t i;
    int n;

    if (count > SOCKETS_FEW)
        place = (unsigned char *)list;
    for (i = 0; i < count; i++) {
        item = list[i];
        sockets_put_entry(place, i, &item);
    }
#if SOCKETS_EVENTS
    memset(&item, 0, sizeof item);
    item.handle = sockets->event.fd;
    item.read = true;
    sockets_put_entry(place, count, &item);
#else
    (void)sockets;
#endif
    n = SOCKETS(poll)(count + SOCKETS_EVENTS > 0
                          ? (struct sockets_pollfd *)(void *)place
                          : NULL,
                      (sockets_count)(count + SOCKETS_EVENTS), (int)ms);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        *io = sockets_failed(code);
    for (i = count; i-- > 0;)
        list[i] = sockets_get_entry(place, i);
    return n > 0 || *io != LSSB_IO_OK;
}

/* Takes all wakes back. (The flag last: one that comes meanwhile leaves the
 * event raised, and the next wait is a short one.) */
static void sockets_wake_clear(void *context)
{
    struct sockets_context *sockets = context;

#if SOCKETS_EVENTS
    sockets_event_lower(&sockets->event);
#endif
    sockets->woken = 0;
}

/* Lets the system find memory for what was refused. */
static void sockets_recover(struct sockets_context *sockets, uint32_t left)
{
    lssb_io io = LSSB_IO_OK;
    int32_t code = 0;

    sockets->starved = 0;
    sockets_poll_once(sockets, NULL, 0,
                      left < SOCKETS_STARVED_MS ? left : SOCKETS_STARVED_MS,
                      &io, &code);
}

/* Waits, in slices: there is always something that ends none. */
static lssb_io sockets_wait(void *context, lssb_poll *list, size_t count,
                            uint32_t timeout_ms, int32_t *code)
{
    struct sockets_context *sockets = context;
    lssb_io io = LSSB_IO_OK;
    uint64_t now, end;
    bool asked, over;

    if (sockets->starved)
        sockets_recover(sockets, timeout_ms);
    now = sockets_now_ms(context);
    end = timeout_ms == UINT32_MAX ? UINT64_MAX : now + timeout_ms;
    do {
        bool answered = sockets_jobs_ready(list, count, &asked);
        uint64_t slice = LSSB_WAKE_MS;

        if (asked && !SOCKETS_EVENTS)
            slice = SOCKETS_RESOLVER_MS;
        if (slice > end - now)
            slice = end - now;
        if (answered || sockets->woken)
            slice = 0;
        over = sockets_poll_once(sockets, list, count, (uint32_t)slice, &io,
                                 code);
        over = sockets_jobs_ready(list, count, &asked) || over;
        now = sockets_now_ms(context);
    } while (!over && !sockets->woken && now < end);
    sockets_wake_clear(context);
    return io;
}

/* Leaves a flag, and ends the wait that is going on. */
static void sockets_wake(void *context)
{
    struct sockets_context *sockets = context;

    sockets->woken = 1;
#if SOCKETS_EVENTS
    sockets_event_raise(&sockets->event);
#endif
}

/* What a poll of the caller's can wait for, where there is such a thing. */
static lssb_handle sockets_wake_handle(void *context)
{
#if SOCKETS_EVENTS
    return ((const struct sockets_context *)context)->event.fd;
#else
    (void)context;
    return LSSB_NO_HANDLE;
#endif
}

/* ------------------------------------------------------------- contexts -- */

#if SOCKETS_EVENTS

static lssb_io sockets_open(void *context, int32_t *code)
{
    if (sockets_event_open(&((struct sockets_context *)context)->event))
        return LSSB_IO_OK;
    return sockets_failed(code);
}

static void sockets_close_context(void *context, bool forked)
{
    (void)forked;
    sockets_event_close(&((struct sockets_context *)context)->event);
}

#else
#define sockets_open NULL
#define sockets_close_context NULL
#endif

const lssb_port lssb_default_port = {
    LSSB_PORT_VERSION,
    NULL,
    sizeof(struct sockets_context),
    sockets_open,
    sockets_close_context,
    NULL,                           /* the caller brings the memory */
    NULL,
    sockets_now_ms,
    sockets_wall_s,
    sockets_random,
    NULL,
    sockets_resolve,
    sockets_resolved,
    sockets_connect,
    sockets_connected,
    sockets_send,
    sockets_receive,
    sockets_close_handle,
    sockets_wait,
    sockets_wake,
    sockets_wake_handle,
    sockets_wake_clear,
    NULL                            /* and the anchors: config.trust */
};

#if SOCKETS_LISTENERS
const lssb_listen_port lssb_default_listen_port = {
    LSSB_PORT_VERSION,
    sockets_listen,
    NULL,
    NULL,
    sockets_accept,
    sockets_finish
};
#else
const lssb_listen_port lssb_default_listen_port = {
    0, NULL, NULL, NULL, NULL, NULL
};
#endif
