/* freertos_states.c: what port/freertos_tcp.c makes of the states that
 * FreeRTOS-Plus-TCP tells, by a stand-in that has states and a clock, and
 * nothing else.
 *
 * SPDX-License-Identifier: MIT
 *
 * The stand-in keeps to what the sources of FreeRTOS-Plus-TCP do: a socket that
 * is being connected is writable from the start, for it has room; a refusal
 * (an RST, eCLOSED) wakes nobody; three SYNs without an answer, and an end by
 * both sides, lead to eCLOSE_WAIT, which wakes whoever asked for exceptions; a
 * signal ends a select without looking at the sockets.
 */
#include "FreeRTOS.h"
#include "task.h"

#include "FreeRTOS_IP.h"
#include "FreeRTOS_Sockets.h"
#include "FreeRTOS_DNS.h"

#include "../../port/device.h"
#include "../../port/port.h"
#include "../test.h"

struct xSOCKET_SET {
    int interrupted;
    int exists;
};

struct xSOCKET {
    int exists;
    int state;
    TickType_t change;              /* when the state becomes `next` */
    int next;
    int bytes;                      /* that wait to be read */
    EventBits_t asked;
    EventBits_t told;
    SocketSet_t set;
};

static TickType_t ticks;
static TickType_t interrupt_at;     /* when a signal comes; 0: none does */
static unsigned selects;
static struct xSOCKET sockets[8];
static struct xSOCKET_SET the_set;

static const lssb_port *const port = &lssb_default_port;
static uint64_t context_room[64];
static void *const context = context_room;

/* ---------------------------------------------------------- the stand-in -- */

bool lssb_device_random(void *bytes, size_t len)
{
    memset(bytes, 7, len);
    return true;
}

int64_t lssb_device_wall_s(void)
{
    return 0;
}

TickType_t xTaskGetTickCount(void)
{
    return ticks;
}

/* Brings a socket to what it is by now; true: that wakes somebody. */
static int socket_step(struct xSOCKET *s)
{
    int before = s->state;

    if (s->change == 0 || ticks < s->change)
        return 0;
    s->state = s->next;
    s->change = 0;
    if (s->state == eCLOSED && before == eCONNECT_SYN)
        return 0;
    return s->state == eCLOSED || s->state == eCLOSE_WAIT ||
           (s->state == eESTABLISHED && (s->asked & eSELECT_WRITE) != 0);
}

static void socket_look(struct xSOCKET *s)
{
    s->told = 0;
    if (s->bytes > 0)
        s->told |= s->asked & eSELECT_READ;
    if (s->state == eCLOSED || s->state == eCLOSE_WAIT)
        s->told |= s->asked & eSELECT_EXCEPT;
    s->told |= s->asked & eSELECT_WRITE;
}

static EventBits_t set_look(SocketSet_t set)
{
    EventBits_t all = 0;
    size_t i;

    for (i = 0; i < 8; i++)
        if (sockets[i].exists && sockets[i].set == set) {
            socket_look(&sockets[i]);
            all |= sockets[i].told;
        }
    return all;
}

/* One step of time; true: somebody is woken. */
static int tick(void)
{
    int wakes = 0;
    size_t i;

    ticks++;
    for (i = 0; i < 8; i++)
        wakes |= sockets[i].exists && socket_step(&sockets[i]);
    if (interrupt_at != 0 && ticks >= interrupt_at) {
        interrupt_at = 0;
        port->wake(context);
    }
    return wakes;
}

BaseType_t FreeRTOS_select(SocketSet_t set, TickType_t most)
{
    EventBits_t bits = set_look(set);
    int wakes = 0;

    selects++;
    while (bits == 0 && !set->interrupted && !wakes && most-- > 0)
        wakes = tick();
    if (set->interrupted) {
        set->interrupted = 0;
        return eSELECT_INTR;
    }
    return (BaseType_t)set_look(set);
}

SocketSet_t FreeRTOS_CreateSocketSet(void)
{
    the_set.exists++;
    return &the_set;
}

void FreeRTOS_DeleteSocketSet(SocketSet_t set)
{
    set->exists--;
}

void FreeRTOS_FD_SET(Socket_t s, SocketSet_t set, EventBits_t events)
{
    s->asked |= events;
    s->set = set;
    set_look(set);
}

void FreeRTOS_FD_CLR(Socket_t s, SocketSet_t set, EventBits_t events)
{
    (void)set;
    s->asked &= ~events;
    if (s->asked == 0)
        s->set = NULL;
}

EventBits_t FreeRTOS_FD_ISSET(ConstSocket_t s, SocketSet_t set)
{
    return s->set == set ? s->told : 0;
}

#ifdef ipconfigSUPPORT_SIGNALS
BaseType_t FreeRTOS_SignalSocket(Socket_t s)
{
    if (s->set != NULL)
        s->set->interrupted = 1;
    return 0;
}

BaseType_t FreeRTOS_SignalSocketFromISR(Socket_t s, BaseType_t *switches)
{
    *switches = pdTRUE;
    return FreeRTOS_SignalSocket(s);
}
#endif

Socket_t FreeRTOS_socket(BaseType_t domain, BaseType_t type,
                         BaseType_t protocol)
{
    size_t i;

    (void)domain;
    (void)type;
    (void)protocol;
    for (i = 0; i < 8; i++)
        if (!sockets[i].exists) {
            memset(&sockets[i], 0, sizeof sockets[i]);
            sockets[i].exists = 1;
            return &sockets[i];
        }
    return NULL;
}

BaseType_t FreeRTOS_setsockopt(Socket_t s, int32_t level, int32_t name,
                               const void *value, size_t len)
{
    (void)s;
    (void)level;
    (void)name;
    (void)value;
    (void)len;
    return 0;
}

BaseType_t FreeRTOS_connect(Socket_t s, const struct freertos_sockaddr *to,
                            socklen_t len)
{
    (void)to;
    (void)len;
    s->state = eCONNECT_SYN;
    return -pdFREERTOS_ERRNO_EWOULDBLOCK;
}

BaseType_t FreeRTOS_connstatus(ConstSocket_t s)
{
    return s->state;
}

BaseType_t FreeRTOS_rx_size(ConstSocket_t s)
{
    return s->bytes;
}

BaseType_t FreeRTOS_send(Socket_t s, const void *bytes, size_t len,
                         BaseType_t flags)
{
    (void)bytes;
    (void)flags;
    return s->state == eESTABLISHED ? (BaseType_t)len
                                    : -pdFREERTOS_ERRNO_ENOTCONN;
}

BaseType_t FreeRTOS_recv(Socket_t s, void *bytes, size_t len, BaseType_t flags)
{
    int n = s->bytes < (int)len ? s->bytes : (int)len;

    (void)flags;
    memset(bytes, 'x', (size_t)n);
    s->bytes -= n;
    if (n == 0 && (s->state == eCLOSED || s->state == eCLOSE_WAIT))
        return -pdFREERTOS_ERRNO_ENOTCONN;
    return n;
}

BaseType_t FreeRTOS_shutdown(Socket_t s, BaseType_t how)
{
    (void)s;
    (void)how;
    return 0;
}

BaseType_t FreeRTOS_closesocket(Socket_t s)
{
    s->exists = 0;
    return 0;
}

uint32_t FreeRTOS_gethostbyname(const char *name)
{
    return name[0] == 'n' ? 0 : 0x0100007f;
}

/* --------------------------------------------------------------- helpers -- */

static const lssb_address somewhere = { 4, { 10, 0, 0, 1 }, 443, 0 };

/* A connection that is being made, and comes to `state` after some ticks. */
static lssb_handle dial(int state, TickType_t after)
{
    lssb_handle handle = LSSB_NO_HANDLE;
    int32_t code = 0;

    EXPECT_INT(port->connect(context, &somewhere, &handle, &code), LSSB_IO_OK);
    ((Socket_t)handle)->next = state;
    ((Socket_t)handle)->change = ticks + after;
    return handle;
}

/* Waits for it until `wait` calls it ready; what it is then. */
static lssb_io outcome(lssb_handle handle)
{
    lssb_poll one = { 0, false, true, false, 0 };
    int32_t code = 0;

    one.handle = handle;
    while (!one.ready)
        EXPECT_INT(port->wait(context, &one, 1, 60000, &code), LSSB_IO_OK);
    return port->connected(context, handle, &code);
}

static uint32_t ms(uint32_t count)
{
    return count * 1000 / configTICK_RATE_HZ;
}

/* ----------------------------------------------------------------- tests -- */

static void connections_come_to_what_they_come_to(void)
{
    static const struct {
        const char *name;
        int state;
        TickType_t seconds;
        int bytes;
        lssb_io is;
    } rows[] = {
        { "made", eESTABLISHED, 0, 0, LSSB_IO_OK },
        { "refused", eCLOSED, 0, 0, LSSB_IO_REFUSED },
        { "refused late", eCLOSED, 5, 0, LSSB_IO_REFUSED },
        { "no answer", eCLOSE_WAIT, 20, 0, LSSB_IO_TIMED_OUT },
        { "made, and closed by the peer", eCLOSE_WAIT, 0, 0, LSSB_IO_OK },
        { "made, and closing", eLAST_ACK, 0, 0, LSSB_IO_OK },
        { "made, late, closed behind bytes", eCLOSE_WAIT, 5, 9, LSSB_IO_OK },
        { "made, reset behind bytes", eCLOSED, 0, 9, LSSB_IO_OK }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_handle handle;

        test_row = rows[i].name;
        handle = dial(rows[i].state,
                      rows[i].seconds * configTICK_RATE_HZ + 3);
        ((Socket_t)handle)->bytes = rows[i].bytes;
        EXPECT_INT(outcome(handle), rows[i].is);
        port->close_handle(context, handle, true);
    }
    test_row = "";
}

static void a_connection_that_is_being_made_is_not_ready(void)
{
    lssb_handle handle = dial(eESTABLISHED, 2 * configTICK_RATE_HZ);
    lssb_poll one = { 0, false, true, false, 0 };
    TickType_t start = ticks;
    int32_t code = 0;

    one.handle = handle;
    selects = 0;
    EXPECT_INT(port->wait(context, &one, 1, 1000, &code), LSSB_IO_OK);
    EXPECT(!one.ready);
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_AGAIN);
    EXPECT(ticks - start >= configTICK_RATE_HZ);
    EXPECT(selects <= 101);
    EXPECT_INT(outcome(handle), LSSB_IO_OK);
    EXPECT(ticks - start <= 2 * configTICK_RATE_HZ + configTICK_RATE_HZ / 50);
    port->close_handle(context, handle, true);
}

static void an_open_connection_that_ends_is_not_broken_and_one_that_is_reset_is(
    void)
{
    static const struct {
        int state;
        lssb_io is;
        ptrdiff_t received;
    } rows[] = {
        { eCLOSE_WAIT, LSSB_IO_OK, 0 },
        { eCLOSED, LSSB_IO_RESET, LSSB_IO_RESET }
    };
    size_t i;

    for (i = 0; i < 2; i++) {
        lssb_handle handle = dial(eESTABLISHED, 1);
        char bytes[8];
        int32_t code = 0;

        EXPECT_INT(outcome(handle), LSSB_IO_OK);
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code),
                   LSSB_IO_AGAIN);
        ((Socket_t)handle)->bytes = 3;
        ((Socket_t)handle)->state = rows[i].state;
        ticks += 30 * configTICK_RATE_HZ;
        EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_OK);
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 3);
        EXPECT_INT(port->connected(context, handle, &code), rows[i].is);
        EXPECT_INT(port->receive(context, handle, bytes, 8, &code),
                   rows[i].received);
        port->close_handle(context, handle, false);
    }
}

static void more_connections_than_are_known_may_be_made(void)
{
    lssb_handle handles[6];
    int round, i;

    for (round = 0; round < 10; round++) {
        for (i = 0; i < 6; i++)
            handles[i] = dial(i % 2 == 0 ? eESTABLISHED : eCLOSED, 4);
        for (i = 0; i < 6; i++)
            if (round % 2 == 0)
                EXPECT_INT(outcome(handles[i]),
                           i % 2 == 0 ? LSSB_IO_OK : LSSB_IO_REFUSED);
        for (i = 0; i < 6; i++)
            port->close_handle(context, handles[i], true);
    }
}

static void a_wait_below_a_tick_sleeps_for_one(void)
{
    TickType_t start = ticks;
    int32_t code = 0;

    selects = 0;
    EXPECT_INT(port->wait(context, NULL, 0, 1, &code), LSSB_IO_OK);
    EXPECT(ticks > start);
    EXPECT(selects <= 2);
    start = ticks;
    EXPECT_INT(port->wait(context, NULL, 0, ms(7), &code), LSSB_IO_OK);
    EXPECT(ticks - start >= 7 && ticks - start <= 8);
    start = ticks;
    EXPECT_INT(port->wait(context, NULL, 0, 0, &code), LSSB_IO_OK);
    EXPECT_INT(ticks - start, 0);
}

static void a_wake_ends_a_wait_or_the_next_one(void)
{
    TickType_t start;
    int32_t code = 0;

    port->wake(context);
    start = ticks;
    EXPECT_INT(port->wait(context, NULL, 0, 60000, &code), LSSB_IO_OK);
    EXPECT_INT(ticks - start, 0);
    selects = 0;
    interrupt_at = ticks + configTICK_RATE_HZ / 2;
    start = ticks;
    EXPECT_INT(port->wait(context, NULL, 0, UINT32_MAX, &code), LSSB_IO_OK);
#ifdef LSSB_IN_INTERRUPT
    EXPECT_INT(ticks - start, configTICK_RATE_HZ / 2);
    EXPECT(selects <= 2);
#else
    EXPECT(ticks - start <= configTICK_RATE_HZ / 2 + configTICK_RATE_HZ / 20);
#endif
}

static void names_have_one_address_and_it_is_there_at_once(void)
{
    lssb_address found;
    lssb_handle job = LSSB_NO_HANDLE;
    lssb_poll one = { 0, true, false, false, 0 };
    size_t count = 0;
    int32_t code = 0;

    EXPECT_INT(port->resolve(context, "nobody", &job, &code),
               LSSB_IO_NOT_FOUND);
    EXPECT_INT(port->resolve(context, "here", &job, &code), LSSB_IO_OK);
    one.handle = job;
    EXPECT_INT(port->wait(context, &one, 1, 60000, &code), LSSB_IO_OK);
    EXPECT(one.ready);
    EXPECT_INT(port->resolved(context, job, &found, 1, &count, &code),
               LSSB_IO_OK);
    EXPECT_INT(count, 1);
    port->close_handle(context, job, false);
}

static const struct test tests[] = {
    TEST(connections_come_to_what_they_come_to),
    TEST(a_connection_that_is_being_made_is_not_ready),
    TEST(an_open_connection_that_ends_is_not_broken_and_one_that_is_reset_is),
    TEST(more_connections_than_are_known_may_be_made),
    TEST(a_wait_below_a_tick_sleeps_for_one),
    TEST(a_wake_ends_a_wait_or_the_next_one),
    TEST(names_have_one_address_and_it_is_there_at_once)
};

int main(void)
{
    int32_t code = 0;
    int failed, i;

    if (port->context_size > sizeof context_room ||
        port->open(context, &code) != LSSB_IO_OK)
        return 1;
    failed = TEST_MAIN(tests);
    port->close(context, false);
    for (i = 0; i < 8; i++)
        if (sockets[i].exists || the_set.exists != 0)
            return 1;
    return failed;
}
