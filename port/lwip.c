/* lwip.c: the port for lwIP's sockets (2.1 and up).
 *
 * SPDX-License-Identifier: MIT
 *
 * Wants NO_SYS 0, LWIP_SOCKET, LWIP_SOCKET_POLL and LWIP_TCP; uses LWIP_DNS,
 * LWIP_IPV6, LWIP_SO_LINGER and SO_REUSE where they are there. Select,
 * timeouts of sockets and a loopback interface are not needed. The firmware
 * gives what device.h says. In lwIP's own memory each connection takes a
 * netconn and a TCP control block, and each `wait` a semaphore: a client has
 * at most two connections for each slot while it connects, and one afterwards.
 *
 * With LSSB_IN_INTERRUPT a wake and a resolver's answer end a wait by
 * themselves: through lwIP's thread, and a socket that is never connected,
 * which poll() waits for. A client takes a socket, a netconn, a protocol
 * control block (UDP's where there is UDP) and a message to that thread more
 * then, and sys_arch has sys_mbox_trypost_fromisr. Without it `wait` looks
 * around every LSSB_WAKE_MS.
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
#if LWIP_TCPIP_CORE_LOCKING || defined(LSSB_IN_INTERRUPT)
#include "lwip/api.h"
#include "lwip/priv/sockets_priv.h"
#endif
#if LWIP_DNS
#include "lwip/dns.h"
#endif

#include <errno.h>
#include <stdbool.h>

#define SOCKETS(name) lwip_##name
#define sockets_pollfd pollfd
#define SOCKETS_POLLIN POLLIN
#define SOCKETS_POLLOUT POLLOUT
#define SOCKETS_SHUT_WR SHUT_WR
#define SOCKETS_IPV6 LWIP_IPV6
#define SOCKETS_NAMES LWIP_DNS
#define SOCKETS_LISTENERS 1
#if defined(LSSB_IN_INTERRUPT)
#define SOCKETS_EVENTS 1
#else
#define SOCKETS_EVENTS 0
#endif

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

#if SOCKETS_EVENTS

struct sockets_event {
    int fd;
    struct netconn *conn;           /* of fd */
    struct tcpip_callback_msg *post;
    volatile uint8_t posted;        /* it is on its way to lwIP's thread */
    volatile uint8_t raised;
    volatile uint8_t flushed;
};

static bool sockets_event_open(struct sockets_event *event);
static void sockets_event_close(struct sockets_event *event);
static void sockets_event_raise(struct sockets_event *event);
static void sockets_event_lower(struct sockets_event *event);
#if LWIP_DNS
static void sockets_event_answer(struct sockets_event *event);
#endif

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

/* --------------------------------------------------------------- events -- */

#if SOCKETS_EVENTS

#if LWIP_UDP
#define LWIP_EVENT_TYPE SOCK_DGRAM
#else
#define LWIP_EVENT_TYPE SOCK_STREAM
#endif
#if LWIP_IPV4
#define LWIP_EVENT_FAMILY AF_INET
#else
#define LWIP_EVENT_FAMILY AF_INET6
#endif

/* Changes whether the event is raised; true: it was not so before. */
static bool lwip_event_turn(struct sockets_event *event, uint8_t raised)
{
    SYS_ARCH_DECL_PROTECT(level);
    bool turns;

    SYS_ARCH_PROTECT(level);
    turns = event->raised != raised;
    event->raised = raised;
    SYS_ARCH_UNPROTECT(level);
    return turns;
}

/* Raises the event, in lwIP's thread: tells the socket that something has come,
 * as lwIP does for a packet; whoever polls it wakes up. */
static void lwip_event_up(void *ctx)
{
    struct sockets_event *event = ctx;

    event->posted = 0;
    if (lwip_event_turn(event, 1))
        event->conn->callback(event->conn, NETCONN_EVT_RCVPLUS, 0);
}

/* Lowers it: what has come was taken. */
static void sockets_event_lower(struct sockets_event *event)
{
    if (lwip_event_turn(event, 0))
        event->conn->callback(event->conn, NETCONN_EVT_RCVMINUS, 0);
}

/* Asks lwIP's thread to raise it, once for as many as ask until it does. A
 * thread whose mailbox is full is asked by the next one, or `wait` looks: a loop
 * of one's own had better step every LSSB_WAKE_MS, too. */
static void sockets_event_raise(struct sockets_event *event)
{
    err_t error;

    if (event->posted != 0)
        return;
    event->posted = 1;
    if (LSSB_IN_INTERRUPT)
        error = tcpip_callbackmsg_trycallback_fromisr(event->post);
    else
        error = tcpip_callbackmsg_trycallback(event->post);
    if (error == ERR_MEM)
        event->posted = 0;
}

#if LWIP_DNS

/* The resolver's answers come in lwIP's thread. */
static void sockets_event_answer(struct sockets_event *event)
{
    if (lwip_event_turn(event, 1))
        event->conn->callback(event->conn, NETCONN_EVT_RCVPLUS, 0);
}

#endif

static bool sockets_event_open(struct sockets_event *event)
{
    event->fd = lwip_socket(LWIP_EVENT_FAMILY, LWIP_EVENT_TYPE, 0);
    if (event->fd < 0)
        return false;
    event->conn = lwip_socket_dbg_get_socket(event->fd)->conn;
    event->post = tcpip_callbackmsg_new(lwip_event_up, event);
    if (event->post != NULL)
        return true;
    lwip_close(event->fd);
    errno = ENOMEM;
    return false;
}

static void lwip_event_flushed(void *ctx)
{
    ((struct sockets_event *)ctx)->flushed = 1;
}

/* Undoes it, when what was on its way to lwIP's thread has come there: messages
 * keep their order. */
static void sockets_event_close(struct sockets_event *event)
{
    while (tcpip_callback(lwip_event_flushed, event) != ERR_OK)
        sys_msleep(1);
    while (event->flushed == 0)
        sys_msleep(1);
    tcpip_callbackmsg_delete(event->post);
    lwip_close(event->fd);
}

#endif

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
