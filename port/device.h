/* device.h: what a firmware gives to the ports of small systems.
 *
 * SPDX-License-Identifier: MIT
 *
 * lwip.c, freertos_tcp.c and zephyr.c bring sockets; a clock and chance are the
 * board's. A firmware that is built with one of them defines these two
 * functions, and is not linked without them. (With zephyr.c only the clock: it
 * takes chance from Zephyr's own generator.)
 */
#ifndef LSSB_DEVICE_H
#define LSSB_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Fills with bytes that nobody can foretell, from a generator in hardware or
 * one that was seeded by such; false: there are none (yet), and no TLS then.
 * Never the time, a serial number or a constant. */
bool lssb_device_random(void *bytes, size_t len);

/* Seconds since 1970-01-01 UTC: a battery-backed clock, or what SNTP, the
 * network's operator or a signed message said. 0: not known yet, and no TLS
 * then. */
int64_t lssb_device_wall_s(void);

#ifdef __cplusplus
}
#endif

#endif
