/* unit_pipe.c: the port over a byte pipe: one connection, dialled and hung up,
 * and a client that goes through it.
 *
 * SPDX-License-Identifier: MIT
 *
 * The pipe's far end is in this program: a modem that takes some turns to dial,
 * and a server of one reply. It links port/pipe.c instead of this system's own
 * port.
 */
#include "../port/pipe.c"

#include "../lssb.h"
#include "test.h"

/* ----------------------------------------------------------- the far end -- */

static struct far_end {
    int dial_turns;                 /* before it is connected */
    lssb_io dial_io;                /* what dialling comes to */
    bool full;                      /* takes nothing */
    bool lost;                      /* the line is dead */
    bool no_end;                    /* cannot tell the end of a connection */
    bool clock;

    char dialled[256];
    unsigned dialled_port, dials, hang_ups, sleeps;
    bool slept_to_send;
    uint32_t slept_ms, ticks;
    char heard[4096];
    size_t heard_len;
    const char *reply;              /* sent once a whole head was heard */
    size_t replied;
} far_end;

static lssb_pipe pipe;

static ptrdiff_t far_send(void *user, const void *bytes, size_t len)
{
    (void)user;
    if (far_end.lost)
        return LSSB_IO_RESET;
    if (far_end.full || far_end.heard_len + 1 == sizeof far_end.heard)
        return LSSB_IO_AGAIN;
    if (len > 7)
        len = 7;                    /* a small FIFO */
    if (len > sizeof far_end.heard - 1 - far_end.heard_len)
        len = sizeof far_end.heard - 1 - far_end.heard_len;
    memcpy(far_end.heard + far_end.heard_len, bytes, len);
    far_end.heard_len += len;
    return (ptrdiff_t)len;
}

static ptrdiff_t far_receive(void *user, void *bytes, size_t len)
{
    (void)user;
    if (far_end.lost)
        return LSSB_IO_RESET;
    if (far_end.reply == NULL || strstr(far_end.heard, "\r\n\r\n") == NULL)
        return LSSB_IO_AGAIN;
    if (len > 5)
        len = 5;
    if (len > strlen(far_end.reply + far_end.replied))
        len = strlen(far_end.reply + far_end.replied);
    memcpy(bytes, far_end.reply + far_end.replied, len);
    far_end.replied += len;
    if (len == 0 && far_end.no_end)
        return LSSB_IO_AGAIN;
    return (ptrdiff_t)len;
}

static lssb_io far_dial(void *user, const char *host, uint16_t port)
{
    (void)user;
    strcpy(far_end.dialled, host);
    far_end.dialled_port = port;
    if (far_end.dial_turns-- > 0)
        return LSSB_IO_AGAIN;
    far_end.dials++;
    return far_end.dial_io;
}

static void far_hang_up(void *user)
{
    (void)user;
    far_end.hang_ups++;
}

/* The clock moves while it sleeps. */
static void far_sleep(void *user, bool to_send, uint32_t ms)
{
    (void)user;
    far_end.sleeps++;
    far_end.slept_to_send = to_send;
    far_end.slept_ms = ms;
    far_end.ticks += ms < 1000 ? ms : 1000;
}

static uint32_t far_ticks(void *user)
{
    (void)user;
    return far_end.ticks;
}

static int64_t far_wall(void *user)
{
    (void)user;
    return far_end.clock ? 1800000000 : 0;
}

static bool far_random(void *user, void *bytes, size_t len)
{
    (void)user;
    memset(bytes, 7, len);
    return true;
}

lssb_pipe lssb_device_pipe;         /* of the port that has no other */

/* The port over the pipe above, whose far end is as a test says. */
static const lssb_port *start(void)
{
    static lssb_port port;
    int32_t code = 1;

    memset(&pipe, 0, sizeof pipe);
    pipe.send = far_send;
    pipe.receive = far_receive;
    pipe.dial = far_dial;
    pipe.hang_up = far_hang_up;
    pipe.sleep = far_sleep;
    pipe.ticks_ms = far_ticks;
    pipe.wall_s = far_wall;
    pipe.random = far_random;
    port = lssb_default_port;
    port.context = &pipe;
    EXPECT_INT(port.open(&pipe, &code), LSSB_IO_OK);
    return &port;
}

static void clean(void)
{
    memset(&far_end, 0, sizeof far_end);
}

/* ---------------------------------------------------------- tests: dialling */

static void names_and_addresses_are_dialled_as_they_are(void)
{
    static const struct {
        const char *name;           /* NULL: the address */
        lssb_address address;
        const char *dialled;
    } rows[] = {
        { "sandbox.example", { 0, { 0 }, 0, 0 }, "sandbox.example" },
        { "a", { 0, { 0 }, 0, 0 }, "a" },
        { NULL, { 4, { 192, 0, 2, 10 }, 0, 0 }, "192.0.2.10" },
        { NULL, { 4, { 255, 100, 9, 0 }, 0, 0 }, "255.100.9.0" },
        { NULL, { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, 0, 0 },
          "2001:db8:0:0:0:0:0:1" }
    };
    size_t i, count;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const lssb_port *port;
        lssb_address to = rows[i].address, found[2];
        lssb_handle job, handle = LSSB_NO_HANDLE;
        int32_t code = 1;

        test_row = rows[i].dialled;
        clean();
        far_end.dial_turns = 2;
        port = start();
        if (rows[i].name != NULL) {
            EXPECT_INT(port->resolve(&pipe, rows[i].name, &job, &code),
                       LSSB_IO_OK);
            EXPECT_INT(port->resolved(&pipe, job, found, 2, &count, &code),
                       LSSB_IO_OK);
            EXPECT_INT(count, 1);
            port->close_handle(&pipe, job, false);
            to = found[0];
        }
        to.port = 8443;
        EXPECT_INT(port->connect(&pipe, &to, &handle, &code), LSSB_IO_OK);
        EXPECT_INT(far_end.dials, 0);
        EXPECT_INT(port->connected(&pipe, handle, &code), LSSB_IO_AGAIN);
        EXPECT_INT(port->connected(&pipe, handle, &code), LSSB_IO_AGAIN);
        EXPECT_INT(port->connected(&pipe, handle, &code), LSSB_IO_OK);
        EXPECT_INT(port->connected(&pipe, handle, &code), LSSB_IO_OK);
        EXPECT_STR(far_end.dialled, rows[i].dialled);
        EXPECT_INT(far_end.dialled_port, 8443);
        EXPECT_INT(far_end.dials, 1);
        port->close_handle(&pipe, handle, false);
        EXPECT_INT(far_end.hang_ups, 1);
        port->close(&pipe, false);
        EXPECT_INT(far_end.hang_ups, 1);
    }
    test_row = "";
}

static void there_is_one_connection_at_a_time(void)
{
    lssb_address to = { 4, { 192, 0, 2, 10 }, 443, 0 }, first[1], second[1];
    lssb_handle one, two, job;
    const lssb_port *port;
    int32_t code = 1;
    size_t count;

    clean();
    port = start();
    EXPECT_INT(port->connect(&pipe, &to, &one, &code), LSSB_IO_OK);
    EXPECT_INT(port->connect(&pipe, &to, &two, &code), LSSB_IO_LIMIT);
    EXPECT_INT(port->resolve(&pipe, "b", &job, &code), LSSB_IO_LIMIT);
    EXPECT_INT(port->connected(&pipe, one, &code), LSSB_IO_OK);
    EXPECT_INT(port->connect(&pipe, &to, &two, &code), LSSB_IO_LIMIT);
    port->close(&pipe, false);
    EXPECT_INT(far_end.hang_ups, 1);
    EXPECT_INT(port->resolve(&pipe, "a", &job, &code), LSSB_IO_OK);
    port->resolved(&pipe, job, first, 1, &count, &code);
    EXPECT_INT(port->resolve(&pipe, "b", &job, &code), LSSB_IO_OK);
    port->resolved(&pipe, job, second, 1, &count, &code);
    EXPECT_INT(port->connect(&pipe, first, &one, &code), LSSB_IO_LIMIT);
    EXPECT_INT(port->connect(&pipe, second, &one, &code), LSSB_IO_OK);
    EXPECT_INT(port->connected(&pipe, one, &code), LSSB_IO_OK);
    EXPECT_STR(far_end.dialled, "b");
}

static void names_that_are_none_are_refused(void)
{
    char name[300];
    lssb_handle job;
    const lssb_port *port;
    int32_t code = 1;

    clean();
    port = start();
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    EXPECT_INT(port->resolve(&pipe, name, &job, &code), LSSB_IO_NOT_FOUND);
    EXPECT_INT(port->resolve(&pipe, name + 256, &job, &code),
               LSSB_IO_NOT_FOUND);
    EXPECT_INT(port->resolve(&pipe, name + 1, &job, &code), LSSB_IO_OK);
}

/* ----------------------------------------------------------- tests: waiting */

static void waiting_sleeps_no_longer_than_it_makes_sense(void)
{
    lssb_address to = { 4, { 192, 0, 2, 10 }, 443, 0 };
    lssb_poll list[2] = { { PIPE_CONNECTION, true, true, false, 0 },
                          { PIPE_CONNECTION, false, false, true, 0 } };
    lssb_poll job = { 5, true, false, false, 0 };
    lssb_handle handle;
    const lssb_port *port;
    int32_t code = 1;
    char bytes[4];

    clean();
    port = start();
    EXPECT_INT(port->wait(&pipe, &job, 1, 5000, &code), LSSB_IO_OK);
    EXPECT(job.ready);
    EXPECT_INT(far_end.sleeps, 0);
    port->connect(&pipe, &to, &handle, &code);
    port->wait(&pipe, list, 2, UINT32_MAX, &code);
    EXPECT_INT(far_end.slept_ms, 10);       /* while it dials */
    EXPECT(!far_end.slept_to_send);
    EXPECT(list[0].ready && !list[1].ready);
    port->connected(&pipe, handle, &code);
    port->wait(&pipe, list, 2, UINT32_MAX, &code);
    EXPECT_INT(far_end.slept_ms, UINT32_MAX);
    EXPECT(!far_end.slept_to_send);         /* there was room */
    far_end.full = true;
    EXPECT_INT(port->send(&pipe, handle, "abc", 3, &code), LSSB_IO_AGAIN);
    port->wait(&pipe, list, 2, 70, &code);
    EXPECT(far_end.slept_to_send);
    EXPECT_INT(far_end.slept_ms, 70);
    far_end.full = false;
    EXPECT_INT(port->send(&pipe, handle, "abc", 3, &code), 3);
    port->wait(&pipe, list, 2, 70, &code);
    EXPECT(!far_end.slept_to_send);
    EXPECT_INT(port->receive(&pipe, handle, bytes, 4, &code), LSSB_IO_AGAIN);
    EXPECT_INT(port->wait(&pipe, list, 0, 0, &code), LSSB_IO_OK);
    EXPECT_INT(far_end.sleeps, 4);
}

static void a_wake_ends_the_next_wait(void)
{
    const lssb_port *port;
    int32_t code = 1;

    clean();
    port = start();
    EXPECT(!lssb_pipe_is_woken(&pipe));
    port->wake(&pipe);
    port->wake(&pipe);
    EXPECT(lssb_pipe_is_woken(&pipe));      /* for `sleep` to look at */
    EXPECT_INT(port->wait(&pipe, NULL, 0, 5000, &code), LSSB_IO_OK);
    EXPECT_INT(far_end.sleeps, 0);
    EXPECT(!lssb_pipe_is_woken(&pipe));
    port->wait(&pipe, NULL, 0, 5000, &code);
    EXPECT_INT(far_end.sleeps, 1);
    port->wake(&pipe);
    port->wake_clear(&pipe);
    port->wait(&pipe, NULL, 0, 5000, &code);
    EXPECT_INT(far_end.sleeps, 2);
    EXPECT_INT(port->wake_handle(&pipe), LSSB_NO_HANDLE);
}

static void a_clock_of_32_bits_is_extended(void)
{
    const lssb_port *port;

    clean();
    far_end.ticks = UINT32_MAX - 5;
    port = start();
    EXPECT(port->now_ms(&pipe) == UINT32_MAX - 5);
    far_end.ticks += 10;
    EXPECT(port->now_ms(&pipe) == (uint64_t)UINT32_MAX + 5);
}

static void what_is_missing_is_said(void)
{
    const lssb_port *port;
    int32_t code = 1;
    char bytes[4];

    clean();
    port = start();
    EXPECT_INT(port->random(&pipe, bytes, 4), LSSB_IO_OK);
    pipe.random = NULL;
    pipe.wall_s = NULL;
    EXPECT_INT(port->random(&pipe, bytes, 4), LSSB_IO_FAILED);
    EXPECT_INT(port->wall_s(&pipe), 0);
    pipe.receive = NULL;
    EXPECT_INT(port->open(&pipe, &code), LSSB_IO_UNSUPPORTED);
    EXPECT_INT(lssb_default_listen_port.version, 0);
}

/* ----------------------------------------------------- tests: with a client */

static uint64_t memory[20000];

/* Opens a client that goes through the pipe. */
static lssb_client *client_open(const lssb_port *port, const char *endpoint)
{
    lssb_config config = { 0 };
    lssb_client *client = NULL;

    config.endpoint = endpoint;
    config.slots = 1;
    config.retries = LSSB_NONE;
    config.allow_cleartext = true;
    config.port = port;
    config.memory = memory;
    config.memory_size = sizeof memory;
    EXPECT_INT(lssb_open(&client, &config), LSSB_OK);
    return client;
}

static const char a_box[] =
    "{\"id\":\"1\",\"name\":\"one\",\"status\":\"ready\",\"dataplane_url\":"
    "\"http://box.example/dp\"}";

/* A reply with a body, until its length or the end. */
static const char *reply(bool length)
{
    static char text[512];

    sprintf(text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
    if (length)
        sprintf(text + strlen(text), "Content-Length: %u\r\n",
                (unsigned)strlen(a_box));
    sprintf(text + strlen(text), "\r\n%s", a_box);
    return text;
}

static void a_client_speaks_through_a_pipe(void)
{
    static const struct {
        const char *name;
        const char *endpoint, *dialled;
        unsigned port;
        bool length, leads_to_one;
    } rows[] = {
        { "a name", "http://api.example:8080", "api.example", 8080, true,
          false },
        { "an address", "http://[2001:db8::7]", "2001:db8:0:0:0:0:0:7", 80,
          true, false },
        { "the end is told", "http://api.example", "api.example", 80, false,
          false },
        { "nothing to dial", "http://api.example", "", 0, true, true }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const lssb_port *port;
        lssb_client *client;
        lssb_sandbox box;

        test_row = rows[i].name;
        clean();
        far_end.dial_turns = 3;
        far_end.reply = reply(rows[i].length);
        far_end.no_end = rows[i].length;
        port = start();
        if (rows[i].leads_to_one) {
            pipe.dial = NULL;
            pipe.hang_up = NULL;
        }
        client = client_open(port, rows[i].endpoint);
        EXPECT_INT(lssb_sandbox_get(client, "one", &box, NULL), LSSB_OK);
        EXPECT_STR(lssb_error_text(client), "");
        EXPECT_STR(box.dataplane_url, "http://box.example/dp");
        EXPECT_STR(far_end.dialled, rows[i].dialled);
        EXPECT_INT(far_end.dialled_port, rows[i].port);
        EXPECT(strstr(far_end.heard, "GET /v2/sandboxes/boxes/one ") ==
               far_end.heard);
        EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
        EXPECT_INT(far_end.hang_ups, rows[i].leads_to_one ? 0 : 1);
    }
    test_row = "";
}

static void what_goes_wrong_is_told(void)
{
    static const struct {
        const char *name;
        lssb_io dials;
        bool lost;
        const char *message;
    } rows[] = {
        { "no such name", LSSB_IO_NOT_FOUND, false,
          "cannot connect to 0.0.0.1:80 (api.example): no such name" },
        { "refused", LSSB_IO_REFUSED, false,
          "cannot connect to 0.0.0.1:80 (api.example): connection refused" },
        { "the line is lost", LSSB_IO_OK, true,
          "the connection to api.example:80 failed: connection reset" }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_client *client;
        lssb_sandbox box;

        test_row = rows[i].name;
        clean();
        far_end.dial_io = rows[i].dials;
        far_end.lost = rows[i].lost;
        client = client_open(start(), "http://api.example");
        EXPECT_INT(lssb_sandbox_get(client, "one", &box, NULL),
                   LSSB_E_CONNECTION);
        EXPECT_STR(lssb_error_text(client), rows[i].message);
        EXPECT_INT(far_end.hang_ups, 1);
        lssb_close(client, NULL);
    }
    test_row = "";
}

static void silence_ends_by_the_clock(void)
{
    lssb_client *client;
    lssb_sandbox box;

    clean();
    client = client_open(start(), "http://api.example");
    EXPECT_INT(lssb_sandbox_get(client, "one", &box, NULL), LSSB_E_DEADLINE);
    EXPECT(far_end.ticks >= 10000 && far_end.ticks < 15000);
    EXPECT(far_end.sleeps < 30);
    lssb_close(client, NULL);
}

static const struct test tests[] = {
    TEST(names_and_addresses_are_dialled_as_they_are),
    TEST(there_is_one_connection_at_a_time),
    TEST(names_that_are_none_are_refused),
    TEST(waiting_sleeps_no_longer_than_it_makes_sense),
    TEST(a_wake_ends_the_next_wait),
    TEST(a_clock_of_32_bits_is_extended),
    TEST(what_is_missing_is_said),
    TEST(a_client_speaks_through_a_pipe),
    TEST(what_goes_wrong_is_told),
    TEST(silence_ends_by_the_clock)
};

int main(void)
{
    return TEST_MAIN(tests);
}
