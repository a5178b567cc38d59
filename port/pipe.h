/* pipe.h: a byte pipe as the network, for devices without an IP stack.
 *
 * SPDX-License-Identifier: MIT
 *
 * A UART with a modem or another computer at its end, a radio behind SPI, a
 * cellular module: whatever carries the bytes of one TCP connection at a time.
 * A firmware that is built with pipe.c fills one struct and calls it
 * lssb_device_pipe:
 *
 *     lssb_pipe lssb_device_pipe = {
 *         NULL, uart_send, uart_receive, modem_dial, modem_hang_up, uart_sleep,
 *         board_ticks_ms, board_wall_s, board_random
 *     };
 *
 * None of its functions may block, `sleep` excepted. There is one connection
 * at a time, so set lssb_config.slots to 1. The far end gets names as the URL
 * has them: no resolver is needed here.
 *
 * A second pipe is a second port: a copy of lssb_default_port whose context is
 * that pipe, given to its client by lssb_config.port.
 */
#ifndef LSSB_PIPE_H
#define LSSB_PIPE_H

#include "port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What pipe.c remembers; zeros at first. */
struct lssb_pipe_state {
    uint64_t now;
    uint32_t ticks;
    uint8_t phase;
    volatile uint8_t woken;
    bool sending;                   /* what was offered did not fit */
    uint16_t port;
    uint16_t name;                  /* the number of the last name */
    char host[256];                 /* it, or an address */
};

typedef struct lssb_pipe {
    void *user;                     /* first argument of all that follows */

    /* Moves bytes: how many, at least 1, or an lssb_io: LSSB_IO_AGAIN when
     * there is no room, or nothing has come. For `receive` 0 is the end of the
     * connection, if the far end can tell it. Bytes of a connection that was
     * hung up must not reach the next one. */
    ptrdiff_t (*send)(void *user, const void *bytes, size_t len);
    ptrdiff_t (*receive)(void *user, void *bytes, size_t len);

    /* Connects the far end to a host (a name, or a literal address without
     * brackets) and a port. Called until it says something other than
     * LSSB_IO_AGAIN; `host` stays the same meanwhile. LSSB_IO_OK: connected;
     * NOT_FOUND, REFUSED, UNREACHABLE, TIMED_OUT, …: not. NULL: the pipe leads
     * to one server, and is always connected. */
    lssb_io (*dial)(void *user, const char *host, uint16_t port);

    /* Ends a connection, or an attempt to dial. What `send` took still goes
     * out. What takes time is the next `dial`'s to wait for. May be NULL. */
    void (*hang_up)(void *user);

    /* Sleeps until something may have come, until there is room again if
     * `to_send`, until lssb_device_pipe is woken, but for `ms` milliseconds at
     * most (UINT32_MAX: without end). May always return early: the end of any
     * interrupt will do, so one WFI is a good body. To miss nothing, look for
     * received bytes and at lssb_pipe_is_woken with interrupts masked, then
     * sleep (WFI wakes up for an interrupt that is masked). NULL: never
     * sleeps. */
    void (*sleep)(void *user, bool to_send, uint32_t ms);

    /* Milliseconds that go on and wrap at 32 bits; sleep counts. */
    uint32_t (*ticks_ms)(void *user);

    /* As lssb_device_wall_s and lssb_device_random in device.h. NULL: there is
     * no clock, there is no chance; hence no TLS. */
    int64_t (*wall_s)(void *user);
    bool (*random)(void *user, void *bytes, size_t len);

    struct lssb_pipe_state own;     /* zeros */
} lssb_pipe;

/* The firmware's pipe: what lssb_default_port goes through. */
extern lssb_pipe lssb_device_pipe;

/* Whether a wake has come that `wait` has not seen. */
bool lssb_pipe_is_woken(const lssb_pipe *pipe);

#ifdef __cplusplus
}
#endif

#endif
