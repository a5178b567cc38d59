/* freertos_tcp.c: the port for FreeRTOS-Plus-TCP (3 and 4), over IPv4.
 *
 * SPDX-License-Identifier: MIT
 *
 * Wants ipconfigUSE_TCP, ipconfigSUPPORT_SELECT_FUNCTION,
 * ipconfigALLOW_SOCKET_SEND_WITHOUT_BIND and ipconfigUSE_DNS. The firmware
 * gives what device.h says. FreeRTOS-Plus-TCP has a heap of its own, from
 * which each client takes a socket set, and each connection a socket.
 *
 * With ipconfigSUPPORT_SIGNALS and LSSB_IN_INTERRUPT a wake ends a wait by
 * itself; each client takes a TCP socket more then, which is never connected,
 * and lssb_open wants FreeRTOS_IPInit behind it. Without them `wait` looks
 * around every LSSB_WAKE_MS.
 *
 * What it cannot do: `resolve` blocks as long as FreeRTOS_gethostbyname does
 * (its configuration says how long), and a name server that does not answer is
 * told as a name that is not there; half of a connection cannot be ended, so
 * there are no listeners of tunnels; a refusal is no event, so that while a
 * connection is made `wait` looks around every FREERTOS_DIAL_MS. Written by its
 * documentation and sources; run against a stand-in of the same shape only.
 */
#include "FreeRTOS.h"
#include "task.h"

#include "FreeRTOS_IP.h"
#include "FreeRTOS_Sockets.h"
#include "FreeRTOS_DNS.h"

#include <string.h>

#include "device.h"
#include "port.h"

#if defined(LSSB_IN_INTERRUPT) && ipconfigSUPPORT_SIGNALS == 1
#define FREERTOS_SIGNALS 1
#else
#define FREERTOS_SIGNALS 0
#endif

/* src/config.h says what it costs. A signal is lost only when it comes from an
 * interrupt and the IP task's queue is full. */
#ifndef LSSB_WAKE_MS
#define LSSB_WAKE_MS (FREERTOS_SIGNALS ? 1000 : 50)
#endif

#define FREERTOS_JOBS 4             /* answers that were not taken yet */
#define FREERTOS_DIALS 16           /* connections being made whose start is
                                       known */
#define FREERTOS_DIAL_MS 10         /* between looks at what becomes of them */
#define FREERTOS_GIVES_UP_MS 1000   /* not before that: three times it asks for
                                       the hardware's address, or sends a SYN */

/* A connection whose end nobody has been told yet. */
struct freertos_dial {
    Socket_t socket;                /* NULL: none */
    TickType_t since;
};

struct freertos_context {
    uint64_t now;
    TickType_t ticks;
    SocketSet_t set;
#if FREERTOS_SIGNALS
    Socket_t signal;                /* in the set, for signals alone */
#endif
    struct freertos_dial dials[FREERTOS_DIALS];
    volatile uint8_t woken;
    uint8_t taken[FREERTOS_JOBS];
    uint32_t answers[FREERTOS_JOBS];    /* in network order */
};

/* A job's handle is 1 to FREERTOS_JOBS; a socket's is its address. */
static bool freertos_is_job(lssb_handle handle)
{
    return handle >= 1 && handle <= FREERTOS_JOBS;
}

static Socket_t freertos_socket(lssb_handle handle)
{
    return (Socket_t)handle;
}

/* Says in the port's words what a call returned, which is less than 0. */
static lssb_io freertos_failed(BaseType_t result, int32_t *code)
{
    *code = (int32_t)-result;
    switch (-result) {
    case pdFREERTOS_ERRNO_EWOULDBLOCK:
    case pdFREERTOS_ERRNO_EINTR:
    case pdFREERTOS_ERRNO_ENOSPC:
        return LSSB_IO_AGAIN;
    case pdFREERTOS_ERRNO_ENOTCONN:
        return LSSB_IO_RESET;
    case pdFREERTOS_ERRNO_ENOMEM:
    case pdFREERTOS_ERRNO_ENOBUFS:
        return LSSB_IO_LIMIT;
    case pdFREERTOS_ERRNO_ETIMEDOUT:
        return LSSB_IO_TIMED_OUT;
    case pdFREERTOS_ERRNO_EADDRNOTAVAIL:
    case pdFREERTOS_ERRNO_ENETUNREACH:
        return LSSB_IO_UNREACHABLE;
    default:
        return LSSB_IO_FAILED;
    }
}

/* ------------------------------------------------------- context, time -- */

static Socket_t freertos_make(void);

#if FREERTOS_SIGNALS

/* Puts a socket into the set for signals to be sent to. */
static bool freertos_open_signal(struct freertos_context *freertos)
{
    freertos->signal = freertos_make();
    if (freertos->signal == NULL)
        return false;
    FreeRTOS_FD_SET(freertos->signal, freertos->set, eSELECT_READ);
    return true;
}

static void freertos_close_signal(struct freertos_context *freertos)
{
    FreeRTOS_FD_CLR(freertos->signal, freertos->set, eSELECT_READ);
    FreeRTOS_closesocket(freertos->signal);
}

/* Ends the select that is going on, or the next one. After an interrupt the
 * task runs when the scheduler is next asked: at the next tick. */
static void freertos_signal(struct freertos_context *freertos)
{
    BaseType_t switches = pdFALSE;

    if (LSSB_IN_INTERRUPT)
        FreeRTOS_SignalSocketFromISR(freertos->signal, &switches);
    else
        FreeRTOS_SignalSocket(freertos->signal);
}

#else

static bool freertos_open_signal(struct freertos_context *freertos)
{
    (void)freertos;
    return true;
}

static void freertos_close_signal(struct freertos_context *freertos)
{
    (void)freertos;
}

static void freertos_signal(struct freertos_context *freertos)
{
    (void)freertos;
}

#endif

static lssb_io freertos_open(void *context, int32_t *code)
{
    struct freertos_context *freertos = context;

    *code = 0;
    freertos->set = FreeRTOS_CreateSocketSet();
    if (freertos->set == NULL)
        return LSSB_IO_LIMIT;
    if (freertos_open_signal(freertos))
        return LSSB_IO_OK;
    FreeRTOS_DeleteSocketSet(freertos->set);
    return LSSB_IO_LIMIT;
}

static void freertos_close(void *context, bool forked)
{
    (void)forked;
    freertos_close_signal(context);
    FreeRTOS_DeleteSocketSet(((struct freertos_context *)context)->set);
}

/* Extends the tick count: who asks once before it wraps loses no time. */
static uint64_t freertos_now_ms(void *context)
{
    struct freertos_context *freertos = context;
    TickType_t ticks = xTaskGetTickCount();

    freertos->now += (TickType_t)(ticks - freertos->ticks);
    freertos->ticks = ticks;
    return freertos->now * 1000 / configTICK_RATE_HZ;
}

static int64_t freertos_wall_s(void *context)
{
    (void)context;
    return lssb_device_wall_s();
}

static lssb_io freertos_random(void *context, void *bytes, size_t len)
{
    (void)context;
    return lssb_device_random(bytes, len) ? LSSB_IO_OK : LSSB_IO_FAILED;
}

/* ---------------------------------------------------------------- names -- */

/* Resolves, and blocks meanwhile. */
static lssb_io freertos_resolve(void *context, const char *name,
                                lssb_handle *job, int32_t *code)
{
    struct freertos_context *freertos = context;
    int i;

    *code = 0;
    for (i = 0; i < FREERTOS_JOBS && freertos->taken[i] != 0; i++)
        continue;
    if (i == FREERTOS_JOBS)
        return LSSB_IO_LIMIT;
    freertos->answers[i] = FreeRTOS_gethostbyname(name);
    if (freertos->answers[i] == 0)
        return LSSB_IO_NOT_FOUND;
    freertos->taken[i] = 1;
    *job = i + 1;
    return LSSB_IO_OK;
}

static lssb_io freertos_resolved(void *context, lssb_handle job,
                                 lssb_address *addresses, size_t max,
                                 size_t *count, int32_t *code)
{
    struct freertos_context *freertos = context;

    *code = 0;
    *count = max > 0;
    if (max > 0) {
        memset(addresses, 0, sizeof *addresses);
        addresses->family = 4;
        memcpy(addresses->bytes, &freertos->answers[job - 1], 4);
    }
    return LSSB_IO_OK;
}

/* -------------------------------------------------------------- sockets -- */

/* The entry of a connection that is being made; NULL finds a free one. */
static struct freertos_dial *freertos_dial(struct freertos_context *freertos,
                                           Socket_t socket)
{
    int i;

    for (i = 0; i < FREERTOS_DIALS; i++)
        if (freertos->dials[i].socket == socket)
            return &freertos->dials[i];
    return NULL;
}

/* Forgets a connection that is made, or is no more. */
static void freertos_forget(struct freertos_context *freertos, Socket_t socket)
{
    struct freertos_dial *dial = freertos_dial(freertos, socket);

    if (dial != NULL)
        dial->socket = NULL;
}

/* Makes a socket whose calls do not wait. (Small packets go at once: there is
 * no Nagle here.) */
static Socket_t freertos_make(void)
{
    Socket_t s = FreeRTOS_socket(FREERTOS_AF_INET, FREERTOS_SOCK_STREAM,
                                 FREERTOS_IPPROTO_TCP);
    TickType_t none = 0;

    if (s == NULL || s == FREERTOS_INVALID_SOCKET)
        return NULL;
    FreeRTOS_setsockopt(s, 0, FREERTOS_SO_RCVTIMEO, &none, sizeof none);
    FreeRTOS_setsockopt(s, 0, FREERTOS_SO_SNDTIMEO, &none, sizeof none);
    return s;
}

static lssb_io freertos_connect(void *context, const lssb_address *address,
                                lssb_handle *handle, int32_t *code)
{
    struct freertos_dial *dial = freertos_dial(context, NULL);
    struct freertos_sockaddr to;
    BaseType_t result;
    Socket_t s;

    *code = 0;
    if (address->family != 4)
        return LSSB_IO_UNREACHABLE;
    s = freertos_make();
    if (s == NULL)
        return LSSB_IO_LIMIT;
    memset(&to, 0, sizeof to);
    to.sin_family = FREERTOS_AF_INET;
    to.sin_port = FreeRTOS_htons(address->port);
#if defined(ipFR_TCP_VERSION_MAJOR) && ipFR_TCP_VERSION_MAJOR >= 4
    memcpy(&to.sin_address.ulIP_IPv4, address->bytes, 4);
#else
    memcpy(&to.sin_addr, address->bytes, 4);
#endif
    result = FreeRTOS_connect(s, &to, sizeof to);
    if (result != 0 && result != -pdFREERTOS_ERRNO_EWOULDBLOCK &&
        result != -pdFREERTOS_ERRNO_EINPROGRESS) {
        FreeRTOS_closesocket(s);
        return freertos_failed(result, code);
    }
    if (dial != NULL) {
        dial->socket = s;
        dial->since = xTaskGetTickCount();
    }
    *handle = (lssb_handle)s;
    return LSSB_IO_OK;
}

/* Whether a connection is neither made nor failed. */
static bool freertos_is_dialing(Socket_t socket)
{
    BaseType_t state = FreeRTOS_connstatus(socket);

    return state >= eCONNECT_SYN && state < eESTABLISHED;
}

/* What became of a connection that is in eCLOSE_WAIT: the peer has closed it,
 * or it was never made, which takes a while to find out. */
static lssb_io freertos_closed(const struct freertos_dial *dial)
{
    TickType_t passed;

    if (dial == NULL)
        return LSSB_IO_OK;
    passed = (TickType_t)(xTaskGetTickCount() - dial->since);
    return (uint64_t)passed * 1000 / configTICK_RATE_HZ < FREERTOS_GIVES_UP_MS
               ? LSSB_IO_OK
               : LSSB_IO_TIMED_OUT;
}

/* Asks for the state. eCLOSED is where an RST leads; with bytes to be read, or
 * past eESTABLISHED, it was a connection, and `receive` tells its end. */
static lssb_io freertos_connected(void *context, lssb_handle handle,
                                  int32_t *code)
{
    Socket_t s = freertos_socket(handle);
    struct freertos_dial *dial = freertos_dial(context, s);
    BaseType_t state = FreeRTOS_connstatus(s);
    lssb_io io = LSSB_IO_OK;

    *code = (int32_t)state;
    if (state < 0)
        return LSSB_IO_FAILED;
    if (state >= eCONNECT_SYN && state < eESTABLISHED)
        return LSSB_IO_AGAIN;
    if (FreeRTOS_rx_size(s) > 0)
        io = LSSB_IO_OK;
    else if (state == eCLOSED)
        io = dial != NULL ? LSSB_IO_REFUSED : LSSB_IO_RESET;
    else if (state == eCLOSE_WAIT)
        io = freertos_closed(dial);
    freertos_forget(context, s);
    return io;
}

static ptrdiff_t freertos_send(void *context, lssb_handle handle,
                               const void *bytes, size_t len, int32_t *code)
{
    BaseType_t n = FreeRTOS_send(freertos_socket(handle), bytes, len, 0);

    (void)context;
    if (n > 0)
        return (ptrdiff_t)n;
    if (n == 0)
        return LSSB_IO_AGAIN;
    return freertos_failed(n, code);
}

/* 0 is "nothing now" there, and "not connected" the end: after an RST the state
 * is eCLOSED. */
static ptrdiff_t freertos_receive(void *context, lssb_handle handle,
                                  void *bytes, size_t len, int32_t *code)
{
    BaseType_t n = FreeRTOS_recv(freertos_socket(handle), bytes, len, 0);

    (void)context;
    if (n > 0)
        return (ptrdiff_t)n;
    if (n == 0)
        return LSSB_IO_AGAIN;
    if (n == -pdFREERTOS_ERRNO_ENOTCONN &&
        FreeRTOS_connstatus(freertos_socket(handle)) != eCLOSED)
        return 0;
    return freertos_failed(n, code);
}

/* Closes: a FIN is asked for first, but what is unsent then may be lost. That
 * is no more than close_notify: whoever closes has its answer. */
static void freertos_close_handle(void *context, lssb_handle handle,
                                  bool reset)
{
    struct freertos_context *freertos = context;

    if (freertos_is_job(handle)) {
        freertos->taken[handle - 1] = 0;
        return;
    }
    freertos_forget(freertos, freertos_socket(handle));
    if (!reset)
        FreeRTOS_shutdown(freertos_socket(handle), FREERTOS_SHUT_RDWR);
    FreeRTOS_closesocket(freertos_socket(handle));
}

/* -------------------------------------------------------------- waiting -- */

#define FREERTOS_EVENTS (eSELECT_READ | eSELECT_WRITE | eSELECT_EXCEPT)

/* What a socket is put into the set for. One that is being connected counts as
 * writable there from the start: it has room for bytes. */
static EventBits_t freertos_events(const lssb_poll *entry, bool dialing)
{
    EventBits_t events = eSELECT_EXCEPT;

    if (entry->read)
        events |= eSELECT_READ;
    if (entry->write && !dialing)
        events |= eSELECT_WRITE;
    return events;
}

/* Puts the sockets of a list into the set; `scratch` says which of them are
 * being connected, and so does the result. *over: a name is among them, which
 * has its answer. */
static bool freertos_watch(struct freertos_context *freertos, lssb_poll *list,
                           size_t count, bool *over)
{
    bool dialing = false;
    size_t i;

    *over = false;
    for (i = 0; i < count; i++) {
        Socket_t s = freertos_socket(list[i].handle);

        list[i].ready = false;
        list[i].scratch = 0;
        if (!list[i].read && !list[i].write)
            continue;
        if (freertos_is_job(list[i].handle)) {
            list[i].ready = true;
            *over = true;
            continue;
        }
        list[i].scratch = freertos_is_dialing(s);
        dialing = dialing || list[i].scratch != 0;
        FreeRTOS_FD_SET(s, freertos->set,
                        freertos_events(&list[i], list[i].scratch != 0));
    }
    return dialing;
}

/* Whether one of the connections of a list is made now, or has failed. */
static bool freertos_is_decided(const lssb_poll *list, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (list[i].scratch != 0 &&
            !freertos_is_dialing(freertos_socket(list[i].handle)))
            return true;
    return false;
}

/* Says what came of the sockets, then takes them out of the set: one may be in
 * the list twice. */
static void freertos_unwatch(struct freertos_context *freertos,
                             lssb_poll *list, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        Socket_t s = freertos_socket(list[i].handle);

        if ((!list[i].read && !list[i].write) ||
            freertos_is_job(list[i].handle))
            continue;
        list[i].ready = FreeRTOS_FD_ISSET(s, freertos->set) != 0 ||
                        (list[i].scratch != 0 && !freertos_is_dialing(s));
    }
    for (i = 0; i < count; i++)
        if ((list[i].read || list[i].write) &&
            !freertos_is_job(list[i].handle))
            FreeRTOS_FD_CLR(freertos_socket(list[i].handle), freertos->set,
                            FREERTOS_EVENTS);
}

/* Waits, in slices: there is always something that ends none. A part of a tick
 * is a whole one, or the processor would be kept busy until it has passed. */
static lssb_io freertos_wait(void *context, lssb_poll *list, size_t count,
                             uint32_t timeout_ms, int32_t *code)
{
    struct freertos_context *freertos = context;
    uint64_t now = freertos_now_ms(context), end = now + timeout_ms;
    bool over, dialing = freertos_watch(freertos, list, count, &over);

    *code = 0;
    if (timeout_ms == UINT32_MAX)
        end = UINT64_MAX;
    do {
        uint64_t slice = dialing ? FREERTOS_DIAL_MS : LSSB_WAKE_MS;

        if (slice > end - now)
            slice = end - now;
        if (over || freertos->woken != 0)
            slice = 0;
        if (FreeRTOS_select(freertos->set,
                            (TickType_t)((slice * configTICK_RATE_HZ + 999) /
                                         1000)) != 0)
            over = true;
        over = over || freertos_is_decided(list, count);
        now = freertos_now_ms(context);
    } while (!over && freertos->woken == 0 && now < end);
    freertos_unwatch(freertos, list, count);
    freertos->woken = 0;
    return LSSB_IO_OK;
}

/* Leaves a flag, and ends the wait that is going on. */
static void freertos_wake(void *context)
{
    struct freertos_context *freertos = context;

    freertos->woken = 1;
    freertos_signal(freertos);
}

static lssb_handle freertos_wake_handle(void *context)
{
    (void)context;
    return LSSB_NO_HANDLE;
}

static void freertos_wake_clear(void *context)
{
    ((struct freertos_context *)context)->woken = 0;
}

const lssb_port lssb_default_port = {
    LSSB_PORT_VERSION,
    NULL,
    sizeof(struct freertos_context),
    freertos_open,
    freertos_close,
    NULL,                           /* the caller brings the memory */
    NULL,
    freertos_now_ms,
    freertos_wall_s,
    freertos_random,
    NULL,
    freertos_resolve,
    freertos_resolved,
    freertos_connect,
    freertos_connected,
    freertos_send,
    freertos_receive,
    freertos_close_handle,
    freertos_wait,
    freertos_wake,
    freertos_wake_handle,
    freertos_wake_clear,
    NULL                            /* and the anchors: config.trust */
};

/* None: see above. */
const lssb_listen_port lssb_default_listen_port = {
    0, NULL, NULL, NULL, NULL, NULL
};
