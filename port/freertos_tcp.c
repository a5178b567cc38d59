/* freertos_tcp.c: the port for FreeRTOS-Plus-TCP (3 and 4), over IPv4.
 *
 * SPDX-License-Identifier: MIT
 *
 * Wants ipconfigUSE_TCP, ipconfigSUPPORT_SELECT_FUNCTION,
 * ipconfigALLOW_SOCKET_SEND_WITHOUT_BIND and ipconfigUSE_DNS. The firmware
 * gives what device.h says. FreeRTOS-Plus-TCP has a heap of its own, from
 * which each client takes a socket set, and each connection a socket.
 *
 * What it cannot do: `resolve` blocks as long as FreeRTOS_gethostbyname does
 * (its configuration says how long); the end of a connection and a reset look
 * the same, so that what ends without close_notify or a length is told as cut
 * by the layers above; half of a connection cannot be ended, so there are no
 * listeners of tunnels. Written by its documentation and headers; compiled
 * against headers of the same shape, not run.
 */
#include "FreeRTOS.h"
#include "task.h"

#include "FreeRTOS_IP.h"
#include "FreeRTOS_Sockets.h"
#include "FreeRTOS_DNS.h"

#include <string.h>

#include "device.h"
#include "port.h"

/* LSSB_WAKE_MS   50   how late a wake may be noticed. */
#ifndef LSSB_WAKE_MS
#define LSSB_WAKE_MS 50
#endif

#define FREERTOS_JOBS 4             /* answers that were not taken yet */

struct freertos_context {
    uint64_t now;
    TickType_t ticks;
    SocketSet_t set;
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

static lssb_io freertos_open(void *context, int32_t *code)
{
    struct freertos_context *freertos = context;

    *code = 0;
    freertos->set = FreeRTOS_CreateSocketSet();
    return freertos->set != NULL ? LSSB_IO_OK : LSSB_IO_LIMIT;
}

static void freertos_close(void *context, bool forked)
{
    (void)forked;
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
    struct freertos_sockaddr to;
    BaseType_t result;
    Socket_t s;

    (void)context;
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
    *handle = (lssb_handle)s;
    return LSSB_IO_OK;
}

/* Asks for the state: a refusal closes it; three SYNs without an answer make it
 * wait to be closed. */
static lssb_io freertos_connected(void *context, lssb_handle handle,
                                  int32_t *code)
{
    BaseType_t state = FreeRTOS_connstatus(freertos_socket(handle));

    (void)context;
    *code = (int32_t)state;
    if (state < 0)
        return LSSB_IO_FAILED;
    if (state == eCLOSED)
        return LSSB_IO_REFUSED;
    if (state < eESTABLISHED)
        return LSSB_IO_AGAIN;
    if (FreeRTOS_issocketconnected(freertos_socket(handle)) == pdTRUE)
        return LSSB_IO_OK;
    return LSSB_IO_TIMED_OUT;
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

/* 0 is "nothing now" there, and "not connected" the end. */
static ptrdiff_t freertos_receive(void *context, lssb_handle handle,
                                  void *bytes, size_t len, int32_t *code)
{
    BaseType_t n = FreeRTOS_recv(freertos_socket(handle), bytes, len, 0);

    (void)context;
    if (n > 0)
        return (ptrdiff_t)n;
    if (n == 0)
        return LSSB_IO_AGAIN;
    if (n == -pdFREERTOS_ERRNO_ENOTCONN)
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
    if (!reset)
        FreeRTOS_shutdown(freertos_socket(handle), FREERTOS_SHUT_RDWR);
    FreeRTOS_closesocket(freertos_socket(handle));
}

/* -------------------------------------------------------------- waiting -- */

#define FREERTOS_EVENTS (eSELECT_READ | eSELECT_WRITE | eSELECT_EXCEPT)

/* Puts the sockets of a list into the set, each with what it waits for; true:
 * a name is among them, which has its answer. */
static bool freertos_watch(struct freertos_context *freertos, lssb_poll *list,
                           size_t count)
{
    bool answered = false;
    size_t i;

    for (i = 0; i < count; i++) {
        EventBits_t events = eSELECT_EXCEPT;

        list[i].ready = false;
        if (!list[i].read && !list[i].write)
            continue;
        if (freertos_is_job(list[i].handle)) {
            list[i].ready = true;
            answered = true;
            continue;
        }
        if (list[i].read)
            events |= eSELECT_READ;
        if (list[i].write)
            events |= eSELECT_WRITE;
        FreeRTOS_FD_SET(freertos_socket(list[i].handle), freertos->set,
                        events);
    }
    return answered;
}

/* Takes them out again, with what came of it. */
static void freertos_unwatch(struct freertos_context *freertos,
                             lssb_poll *list, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        Socket_t s = freertos_socket(list[i].handle);

        if ((!list[i].read && !list[i].write) ||
            freertos_is_job(list[i].handle))
            continue;
        list[i].ready = FreeRTOS_FD_ISSET(s, freertos->set) != 0;
        FreeRTOS_FD_CLR(s, freertos->set, FREERTOS_EVENTS);
    }
}

/* Waits, in slices: a wake ends none. */
static lssb_io freertos_wait(void *context, lssb_poll *list, size_t count,
                             uint32_t timeout_ms, int32_t *code)
{
    struct freertos_context *freertos = context;
    uint64_t now = freertos_now_ms(context), end = now + timeout_ms;
    bool over = freertos_watch(freertos, list, count);

    *code = 0;
    if (timeout_ms == UINT32_MAX)
        end = UINT64_MAX;
    do {
        uint64_t slice = end - now < LSSB_WAKE_MS ? end - now : LSSB_WAKE_MS;

        if (over || freertos->woken != 0)
            slice = 0;
        if (FreeRTOS_select(freertos->set,
                            pdMS_TO_TICKS((TickType_t)slice)) != 0)
            over = true;
        now = freertos_now_ms(context);
    } while (!over && freertos->woken == 0 && now < end);
    freertos_unwatch(freertos, list, count);
    freertos->woken = 0;
    return LSSB_IO_OK;
}

/* Leaves a flag. */
static void freertos_wake(void *context)
{
    ((struct freertos_context *)context)->woken = 1;
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
