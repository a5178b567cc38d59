/* lwip.c: the port for lwIP's sockets (2.1 and up).
 *
 * SPDX-License-Identifier: MIT
 *
 * Wants NO_SYS 0, LWIP_SOCKET, LWIP_SOCKET_POLL and LWIP_TCP; uses LWIP_DNS,
 * LWIP_IPV6, LWIP_SO_LINGER and SO_REUSE where they are there. Select,
 * timeouts of sockets and a loopback interface are not needed. The firmware
 * gives what device.h says. In lwIP's own memory each connection takes a
 * netconn and a TCP control block, and each `wait` a semaphore: a client has
 * at most LSSB_CONN_RACE of them for each slot while it connects, and one
 * afterwards.
 *
 * lwIP resolves a name to one address; its resolver tells "no such name" and
 * "no answer" as one, NOT_FOUND. With LWIP_DNS 0 addresses work, and names are
 * LSSB_IO_UNSUPPORTED.
 */
#include "lwip/opt.h"
#include "lwip/sockets.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"
#if LWIP_TCPIP_CORE_LOCKING
#include "lwip/api.h"
#include "lwip/priv/sockets_priv.h"
#endif
#if LWIP_DNS
#include "lwip/dns.h"
#endif

#include <errno.h>

#define SOCKETS(name) lwip_##name
#define sockets_pollfd pollfd
#define SOCKETS_POLLIN POLLIN
#define SOCKETS_POLLOUT POLLOUT
#define SOCKETS_SHUT_WR SHUT_WR
#define SOCKETS_IPV6 LWIP_IPV6
#define SOCKETS_NAMES LWIP_DNS

typedef nfds_t sockets_count;

#if LWIP_DNS

typedef sys_prot_t sockets_key;

static sockets_key sockets_lock(void)
{
    return sys_arch_protect();
}

static void sockets_unlock(sockets_key key)
{
    sys_arch_unprotect(key);
}

#endif

static uint64_t sockets_now_ms(void *context);
static void sockets_reset(int s);

#include "small_sockets.c"

/* Extends lwIP's 32 bits: who asks once in 49 days loses no time. */
static uint64_t sockets_now_ms(void *context)
{
    struct sockets_context *sockets = context;
    uint32_t ticks = sys_now();

    sockets->now += (uint32_t)(ticks - sockets->ticks);
    sockets->ticks = ticks;
    return sockets->now;
}

/* Aborts a connection. SO_LINGER alone does so only while something is not
 * acknowledged yet, and says goodbye otherwise: then what was cut would look
 * complete. Without LWIP_TCPIP_CORE_LOCKING it has to do. */
static void sockets_reset(int s)
{
#if LWIP_TCPIP_CORE_LOCKING
    struct lwip_sock *sock;

    LOCK_TCPIP_CORE();
    sock = lwip_socket_dbg_get_socket(s);
    if (sock != NULL && sock->conn != NULL && sock->conn->pcb.tcp != NULL &&
        sock->conn->state != NETCONN_LISTEN)
        tcp_abort(sock->conn->pcb.tcp);
    UNLOCK_TCPIP_CORE();
#elif LWIP_SO_LINGER
    struct linger now;

    now.l_onoff = 1;
    now.l_linger = 0;
    lwip_setsockopt(s, SOL_SOCKET, SO_LINGER, &now, (socklen_t)sizeof now);
#else
    (void)s;
#endif
}

/* ---------------------------------------------------------------- names -- */

#if LWIP_DNS

/* Takes one of lwIP's addresses over. */
static void lwip_address(lssb_address *to, const ip_addr_t *from)
{
    memset(to, 0, sizeof *to);
    to->family = IP_IS_V6(from) ? 6 : 4;
#if LWIP_IPV4
    if (IP_IS_V4(from))
        memcpy(to->bytes, &ip_2_ip4(from)->addr, 4);
#endif
#if LWIP_IPV6
    if (IP_IS_V6(from))
        memcpy(to->bytes, ip_2_ip6(from)->addr, 16);
#endif
}

/* Hears from lwIP, in its thread. */
static void lwip_found(const char *name, const ip_addr_t *found, void *ctx)
{
    lssb_address address;

    (void)name;
    if (found == NULL) {
        sockets_answer(ctx, LSSB_IO_NOT_FOUND, 0, NULL);
        return;
    }
    lwip_address(&address, found);
    sockets_answer(ctx, LSSB_IO_OK, 0, &address);
}

/* Asks lwIP, in its thread. What is in its table already it says at once. */
static void lwip_ask(void *ctx)
{
    struct sockets_job *job = ctx;
    ip_addr_t found;
    err_t error = dns_gethostbyname_addrtype(job->name, &found, lwip_found,
                                             job, LWIP_DNS_ADDRTYPE_DEFAULT);

    if (error == ERR_OK)
        lwip_found(job->name, &found, job);
    else if (error != ERR_INPROGRESS)
        sockets_answer(job, error == ERR_MEM ? LSSB_IO_LIMIT : LSSB_IO_FAILED,
                       (int32_t)error, NULL);
}

/* Sends a job to lwIP's thread, which alone may use its resolver. */
static lssb_io sockets_ask(struct sockets_job *job, int32_t *code)
{
    err_t error = tcpip_callback(lwip_ask, job);

    *code = (int32_t)error;
    return error == ERR_OK ? LSSB_IO_OK : LSSB_IO_LIMIT;
}

#endif
