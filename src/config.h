/* config.h: what a builder may set, all in one place: -DNAME=VALUE.
 *
 * SPDX-License-Identifier: MIT
 *
 * Macro                 default  unit    what it costs, and what it is for
 *
 * Code is measured on a Cortex-M4 at -Os, without TLS; `make size` measures the
 * rest, machine by machine.
 */
#ifndef LSSB_CONFIG_H
#define LSSB_CONFIG_H

/* LSSB_RECEIVE_BUFFER   16,709   bytes   per slot. One TLS record of the
 * largest size and its overhead. 837 to 4,421 do with servers that honour the
 * maximum fragment length extension (RFC 6066): records of 512 to 4,096; less
 * does without TLS. At least 837 with BearSSL, 512 without. */
#ifndef LSSB_RECEIVE_BUFFER
#define LSSB_RECEIVE_BUFFER 16709
#endif
#if LSSB_RECEIVE_BUFFER < 512
#error "LSSB_RECEIVE_BUFFER is below 512"
#endif

/* LSSB_SEND_BUFFER       1,117   bytes   per slot. A record of 1 KiB. Larger
 * ones make uploads cheaper: 16,469 is a whole record. At least 597 with
 * BearSSL, 512 without. */
#ifndef LSSB_SEND_BUFFER
#define LSSB_SEND_BUFFER 1117
#endif
#if LSSB_SEND_BUFFER < 512
#error "LSSB_SEND_BUFFER is below 512"
#endif

/* LSSB_ELEMENT           4,096   bytes   per slot. What is kept of one element
 * of a list, of one object, of an error; a header field. At least 256. */
#ifndef LSSB_ELEMENT
#define LSSB_ELEMENT 4096
#endif
#if LSSB_ELEMENT < 256
#error "LSSB_ELEMENT is below 256"
#endif

/* LSSB_HOLD            65,536   bytes   per slot. Decoded output of a command
 * on its way to the caller: the largest piece that is delivered, and what may
 * precede the `type` of its message. Memory that a desktop system only gives
 * when it is used. At least 1,024. */
#ifndef LSSB_HOLD
#define LSSB_HOLD 65536
#endif
#if LSSB_HOLD < 1024
#error "LSSB_HOLD is below 1024"
#endif

/* LSSB_WEBSOCKET             1   0 or 1  commands that are followed: streams,
 * input, kill, PTY; about 25 KB of code. Without it lssb_run asks once, over
 * HTTP. */
#ifndef LSSB_WEBSOCKET
#define LSSB_WEBSOCKET 1
#endif

/* LSSB_TUNNEL                1   0 or 1  tunnels into a box; about 15 KB of
 * code, which a program that opens none does not have. */
#ifndef LSSB_TUNNEL
#define LSSB_TUNNEL 1
#endif

/* LSSB_TOKENS              128   tokens  16 bytes each, on the stack of one
 * function, while an element is read: what takes the most stack without TLS.
 * An object with more names and values that this library knows is refused: a
 * sandbox has 47, so 64 is the least. */
#ifndef LSSB_TOKENS
#define LSSB_TOKENS 128
#endif
#if LSSB_TOKENS < 64
#error "LSSB_TOKENS is below 64"
#endif

/* LSSB_CLOCK_FLOOR   2026-11-01  seconds since 1970. A clock that shows less is
 * not set: no certificate can be judged. Raised with each release. */
#ifndef LSSB_CLOCK_FLOOR
#define LSSB_CLOCK_FLOOR INT64_C(1793491200)
#endif

/* LSSB_TRACE                 1   0 or 1  the trace hook; about 0.5 KB of code. */
#ifndef LSSB_TRACE
#define LSSB_TRACE 1
#endif

/* What ports take. They include nothing but port.h, so that what is not given
 * is set there.
 *
 * LSSB_IN_INTERRUPT          -   an expression that is true in an interrupt's
 * handler: xPortIsInsideInterrupt() on FreeRTOS, 0 where none ever wakes a
 * client. With it lwip.c and freertos_tcp.c end a wait by an event; without,
 * wakes are looked for every LSSB_WAKE_MS. About 350 bytes of code with lwIP,
 * and a socket that is never connected for each client.
 *
 * LSSB_WAKE_MS              50   ms      how late those ports notice a wake that
 * is no event. Each such period of a wait costs a look; where nothing is ever
 * posted from elsewhere, make it large. Where wakes are events 1,000, for one
 * that the system's own thread had no room for; where those are never lost
 * (Zephyr) an hour.
 *
 * LSSB_RESOLVER_JOBS         2   names   that lwip.c and zephyr.c resolve at
 * once, in all clients; 300 bytes of memory each, which no client owns.
 *
 * LSSB_NO_THREADS            -   defined: posix.c makes no thread; names are
 * resolved in `resolve`, which blocks for as long as the system's resolver
 * does.
 *
 * LSSB_POSIX_PROBE           -   defined: posix.c asks whether somebody listens
 * on a port before it does, as on every POSIX system but Linux, where a port
 * can be taken twice: up to 50 ms for each listener. */

#endif
