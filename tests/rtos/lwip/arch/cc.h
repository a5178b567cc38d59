/* cc.h: lwIP on newlib.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef ARCH_CC_H
#define ARCH_CC_H

#include <sys/time.h>

#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_ERRNO_INCLUDE <errno.h>
#define LWIP_ERRNO_STDINCLUDE 1

typedef unsigned int sys_prot_t;

#endif
