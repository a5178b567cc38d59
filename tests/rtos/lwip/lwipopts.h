/* lwipopts.h: what port/lwip.c wants of lwIP, as a firmware would set it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS 0
#define SYS_LIGHTWEIGHT_PROT 1
#define LWIP_SOCKET 1
#define LWIP_SOCKET_POLL 1
#define LWIP_SOCKET_SELECT 0
#ifndef LWIP_COMPAT_SOCKETS
#define LWIP_COMPAT_SOCKETS 0
#endif
#define LWIP_SO_LINGER 1
#define SO_REUSE 1
#ifndef LWIP_DNS
#define LWIP_DNS 1
#endif
#ifndef LWIP_IPV6
#define LWIP_IPV6 1
#endif
#ifndef LWIP_TCPIP_CORE_LOCKING
#define LWIP_TCPIP_CORE_LOCKING 1
#endif
#ifdef LSSB_IN_INTERRUPT
int lwip_is_interrupted(void);
#endif
#define MEM_ALIGNMENT 4
#define MEM_SIZE 16384
#define TCP_MSS 536
#define TCP_SND_BUF (4 * TCP_MSS)
#define TCP_WND (4 * TCP_MSS)
#define TCPIP_MBOX_SIZE 8
#define DEFAULT_TCP_RECVMBOX_SIZE 8
#define DEFAULT_ACCEPTMBOX_SIZE 4

#endif
