/* pipe.c: the port over a byte pipe.
 *
 * SPDX-License-Identifier: MIT
 *
 * The firmware's functions move the bytes (pipe.h). This makes one connection
 * of them. A name is not resolved but kept for the far end; an address 0.0.N.N
 * stands for the last one meanwhile. What has come cannot be known without
 * taking it, so `wait` calls everything ready that it was asked for, and the
 * client looks.
 */
#include "pipe.h"

#include <string.h>

enum pipe_phase {
    PIPE_FREE = 0,
    PIPE_DIALING,
    PIPE_OPEN
};

/* There is one. A name's job is the name's number, which is more. */
#define PIPE_CONNECTION ((lssb_handle)0)

/* -------------------------------------------------------- open and close -- */

/* Forgets what was. */
static lssb_io pipe_open(void *context, int32_t *code)
{
    lssb_pipe *pipe = context;

    *code = 0;
    if (pipe->send == NULL || pipe->receive == NULL || pipe->ticks_ms == NULL)
        return LSSB_IO_UNSUPPORTED;
    memset(&pipe->own, 0, sizeof pipe->own);
    return LSSB_IO_OK;
}

/* Frees the pipe for the next connection. */
static void pipe_hang_up(lssb_pipe *pipe)
{
    bool dialled = pipe->own.phase != PIPE_FREE;

    pipe->own.phase = PIPE_FREE;
    pipe->own.sending = false;
    if (dialled && pipe->hang_up != NULL)
        pipe->hang_up(pipe->user);
}

/* ---------------------------------------------------------- time, chance -- */

/* Extends 32 bits of milliseconds. */
static uint64_t pipe_now_ms(void *context)
{
    lssb_pipe *pipe = context;
    uint32_t ticks = pipe->ticks_ms(pipe->user);

    pipe->own.now += (uint32_t)(ticks - pipe->own.ticks);
    pipe->own.ticks = ticks;
    return pipe->own.now;
}

static int64_t pipe_wall_s(void *context)
{
    lssb_pipe *pipe = context;

    return pipe->wall_s != NULL ? pipe->wall_s(pipe->user) : 0;
}

static lssb_io pipe_random(void *context, void *bytes, size_t len)
{
    lssb_pipe *pipe = context;

    if (pipe->random == NULL || !pipe->random(pipe->user, bytes, len))
        return LSSB_IO_FAILED;
    return LSSB_IO_OK;
}

/* ---------------------------------------------------------------- names -- */

/* Keeps a name, if nothing goes on: the last one, under a number. */
static lssb_io pipe_resolve(void *context, const char *name, lssb_handle *job,
                            int32_t *code)
{
    lssb_pipe *pipe = context;
    size_t len = strlen(name);

    *code = 0;
    if (pipe->own.phase != PIPE_FREE)
        return LSSB_IO_LIMIT;
    if (len == 0 || len >= sizeof pipe->own.host)
        return LSSB_IO_NOT_FOUND;
    memcpy(pipe->own.host, name, len + 1);
    pipe->own.name = (uint16_t)(pipe->own.name % UINT16_MAX + 1);
    *job = pipe->own.name;
    return LSSB_IO_OK;
}

/* The address that stands for a name. */
static lssb_io pipe_resolved(void *context, lssb_handle job,
                             lssb_address *addresses, size_t max,
                             size_t *count, int32_t *code)
{
    (void)context;
    *code = 0;
    *count = max > 0;
    if (max > 0) {
        memset(addresses, 0, sizeof *addresses);
        addresses->family = 4;
        addresses->bytes[2] = (uint8_t)(job >> 8 & 0xff);
        addresses->bytes[3] = (uint8_t)(job & 0xff);
    }
    return LSSB_IO_OK;
}

/* The number of the name that an address stands for; 0: it is one. */
static uint16_t pipe_name(const lssb_address *address)
{
    const uint8_t *b = address->bytes;

    if (address->family != 4 || b[0] != 0 || b[1] != 0)
        return 0;
    return (uint16_t)(b[2] << 8 | b[3]);
}

/* Puts a number in a base, without leading zeros; returns what follows. */
static char *pipe_put(char *to, unsigned number, unsigned base)
{
    if (number >= base)
        to = pipe_put(to, number / base, base);
    *to++ = "0123456789abcdef"[number % base];
    return to;
}

/* Writes a literal address as text. */
static void pipe_write_address(char *to, const lssb_address *address)
{
    const uint8_t *b = address->bytes;
    int i;

    if (address->family == 4) {
        for (i = 0; i < 4; i++) {
            to = pipe_put(to, b[i], 10);
            *to++ = '.';
        }
    } else {
        for (i = 0; i < 16; i += 2) {
            to = pipe_put(to, (unsigned)b[i] << 8 | b[i + 1], 16);
            *to++ = ':';
        }
    }
    to[-1] = '\0';
}

/* ----------------------------------------------------------- connections -- */

/* Begins to dial: an address, or the name that was kept last. */
static lssb_io pipe_connect(void *context, const lssb_address *address,
                            lssb_handle *handle, int32_t *code)
{
    lssb_pipe *pipe = context;
    uint16_t name = pipe_name(address);

    *code = 0;
    if (pipe->own.phase != PIPE_FREE ||
        (name != 0 && name != pipe->own.name))
        return LSSB_IO_LIMIT;
    if (name == 0)
        pipe_write_address(pipe->own.host, address);
    pipe->own.port = address->port;
    pipe->own.phase = PIPE_DIALING;
    *handle = PIPE_CONNECTION;
    return LSSB_IO_OK;
}

/* Goes on dialling. */
static lssb_io pipe_connected(void *context, lssb_handle handle, int32_t *code)
{
    lssb_pipe *pipe = context;
    lssb_io io = LSSB_IO_OK;

    (void)handle;
    *code = 0;
    if (pipe->own.phase == PIPE_OPEN)
        return LSSB_IO_OK;
    if (pipe->dial != NULL)
        io = pipe->dial(pipe->user, pipe->own.host, pipe->own.port);
    if (io == LSSB_IO_OK)
        pipe->own.phase = PIPE_OPEN;
    return io;
}

static ptrdiff_t pipe_send(void *context, lssb_handle handle,
                           const void *bytes, size_t len, int32_t *code)
{
    lssb_pipe *pipe = context;
    ptrdiff_t n = pipe->send(pipe->user, bytes, len);

    (void)handle;
    *code = 0;
    pipe->own.sending = n == LSSB_IO_AGAIN || n == 0;
    return n != 0 ? n : (ptrdiff_t)LSSB_IO_AGAIN;
}

static ptrdiff_t pipe_receive(void *context, lssb_handle handle, void *bytes,
                              size_t len, int32_t *code)
{
    lssb_pipe *pipe = context;

    (void)handle;
    *code = 0;
    return pipe->receive(pipe->user, bytes, len);
}

static void pipe_close_handle(void *context, lssb_handle handle, bool reset)
{
    lssb_pipe *pipe = context;

    (void)reset;
    if (handle == PIPE_CONNECTION)
        pipe_hang_up(pipe);
}

/* -------------------------------------------------------------- waiting -- */

/* Sleeps once. A name is ready at once, and who dials is asked again soon. */
static lssb_io pipe_wait(void *context, lssb_poll *list, size_t count,
                         uint32_t timeout_ms, int32_t *code)
{
    lssb_pipe *pipe = context;
    bool to_send = false;
    size_t i;

    *code = 0;
    for (i = 0; i < count; i++) {
        list[i].ready = list[i].read || list[i].write;
        to_send = to_send || list[i].write;
        if (list[i].ready && list[i].handle != PIPE_CONNECTION)
            timeout_ms = 0;
    }
    if (pipe->own.phase == PIPE_DIALING && timeout_ms > 10)
        timeout_ms = 10;
    to_send = to_send && pipe->own.phase == PIPE_OPEN && pipe->own.sending;
    if (timeout_ms > 0 && !pipe->own.woken && pipe->sleep != NULL)
        pipe->sleep(pipe->user, to_send, timeout_ms);
    pipe->own.woken = 0;
    return LSSB_IO_OK;
}

/* Leaves a flag; the interrupt that it comes from ends the sleep. */
static void pipe_wake(void *context)
{
    ((lssb_pipe *)context)->own.woken = 1;
}

bool lssb_pipe_is_woken(const lssb_pipe *pipe)
{
    return pipe->own.woken != 0;
}

static lssb_handle pipe_wake_handle(void *context)
{
    (void)context;
    return LSSB_NO_HANDLE;
}

static void pipe_wake_clear(void *context)
{
    ((lssb_pipe *)context)->own.woken = 0;
}

/* Ends what goes on with the client. */
static void pipe_close(void *context, bool forked)
{
    (void)forked;
    pipe_hang_up(context);
}

const lssb_port lssb_default_port = {
    LSSB_PORT_VERSION,
    &lssb_device_pipe,
    0,
    pipe_open,
    pipe_close,
    NULL,                           /* the caller brings the memory */
    NULL,
    pipe_now_ms,
    pipe_wall_s,
    pipe_random,
    NULL,
    pipe_resolve,
    pipe_resolved,
    pipe_connect,
    pipe_connected,
    pipe_send,
    pipe_receive,
    pipe_close_handle,
    pipe_wait,
    pipe_wake,
    pipe_wake_handle,
    pipe_wake_clear,
    NULL                            /* and the anchors: config.trust */
};

/* Nobody connects to a device by a pipe. */
const lssb_listen_port lssb_default_listen_port = {
    0, NULL, NULL, NULL, NULL, NULL
};
