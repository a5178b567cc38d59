/* anywhere.c: what a client is for, once, against a sandboxd: for every machine
 * that the library is built for.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: LANGSMITH_ENDPOINT=… LANGSMITH_API_KEY=… anywhere
 * SSL_CERT_FILE names the certificate of a server that speaks TLS. Needs no
 * more than the library, its port, and a C library; in the box, python3.
 */
#include <stdlib.h>

#include "../lssb.h"
#include "../port/port.h"
#include "test.h"

#define PATIENCE 60000              /* no answer takes that long */
#define BIG 2000000u                /* bytes, more than any buffer holds */
#define LOCAL 4                     /* connections through a listener */

static lssb_client *client;
static lssb_sandbox box;
static char out[4096], err[1024];

/* The i-th byte of a file or a stream that shows what is missing in it. */
static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)((i * 31 + (i >> 8)) & 0xFF);
}

/* Counts bytes that come, and those of them that are wrong. */
struct counted {
    uint64_t len;
    uint64_t wrong;
};

static lssb_status count(void *user, const void *bytes, size_t len)
{
    struct counted *counted = user;
    const uint8_t *from = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        counted->wrong += from[i] != byte_at(counted->len + i);
    counted->len += len;
    return LSSB_OK;
}

/* Says why a call failed, if it did. */
static int went_well(lssb_status status)
{
    EXPECT_INT(status, LSSB_OK);
    if (status != LSSB_OK)
        printf("  %s\n", lssb_error_text(client));
    return status == LSSB_OK;
}

/* ------------------------------------------------------------- commands -- */

static void a_command_tells_its_output_and_its_exit_code(void)
{
    lssb_run_options how;
    lssb_result result;

    memset(&how, 0, sizeof how);
    how.out = out;
    how.out_size = sizeof out;
    how.err = err;
    how.err_size = sizeof err;
    if (!went_well(lssb_run(&box, "echo caf\xC3\xA9; echo bad >&2; exit 7",
                            &how, &result, NULL)))
        return;
    EXPECT_STR(out, "caf\xC3\xA9\n");
    EXPECT_STR(err, "bad\n");
    EXPECT_INT(result.exit_code, 7);
}

/* Counts an output of one letter. */
static lssb_status count_letters(void *user, const void *bytes, size_t len)
{
    struct counted *counted = user;
    const char *from = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        counted->wrong += from[i] != 'x';
    counted->len += len;
    return LSSB_OK;
}

static void a_long_output_comes_whole(void)
{
    struct counted counted = { 0, 0 };
    lssb_run_options how;
    lssb_result result;

    memset(&how, 0, sizeof how);
    how.on_out = count_letters;
    how.user = &counted;
    if (!went_well(lssb_run(&box, "head -c 2000000 /dev/zero | tr '\\0' x",
                            &how, &result, NULL)))
        return;
    EXPECT_INT(counted.len, BIG);
    EXPECT_INT(counted.wrong, 0);
    EXPECT_INT(result.out_len, BIG);
}

/* Adds what a command says to `out`, until there are that many bytes. */
static void listens_to(lssb_command *command, size_t least)
{
    size_t len = strlen(out);
    lssb_chunk chunk;

    while (len < least &&
           lssb_command_next(command, &chunk, PATIENCE) == LSSB_OK) {
        if (chunk.len > sizeof out - 1 - len)
            return;
        memcpy(out + len, chunk.bytes, chunk.len);
        len += chunk.len;
        out[len] = '\0';
    }
}

static void a_command_is_asked_and_answers(void)
{
    lssb_run_options how;
    lssb_command command;

    memset(&how, 0, sizeof how);
    memset(&command, 0, sizeof command);
    how.open_stdin = true;
    out[0] = '\0';
    if (!went_well(lssb_command_start(&command, &box,
                                      "while read x; do echo \"<$x>\"; done; "
                                      "echo end; exit 3", &how, NULL)))
        return;
    EXPECT_INT(lssb_command_write(&command, "one\n", 4, NULL, PATIENCE),
               LSSB_OK);
    listens_to(&command, 6);
    EXPECT_STR(out, "<one>\n");
    EXPECT_INT(lssb_command_write(&command, "two\n", 4, NULL, PATIENCE),
               LSSB_OK);
    EXPECT_INT(lssb_command_close_stdin(&command), LSSB_OK);
    listens_to(&command, sizeof out);
    EXPECT_STR(out, "<one>\n<two>\nend\n");
    EXPECT_INT(command.exit_code, 3);
    EXPECT_INT(lssb_command_close(&command, NULL), LSSB_OK);
}

static void a_command_is_killed(void)
{
    lssb_command command;
    lssb_result result;

    memset(&command, 0, sizeof command);
    if (!went_well(lssb_command_start(&command, &box, "sleep 1000", NULL,
                                      NULL)))
        return;
    EXPECT_INT(lssb_command_kill(&command), LSSB_OK);
    EXPECT_INT(lssb_command_wait(&command, &result, NULL), LSSB_OK);
    EXPECT_INT(result.exit_code, 137);
    EXPECT_INT(lssb_command_close(&command, NULL), LSSB_OK);
}

/* ---------------------------------------------------------------- files -- */

static ptrdiff_t read_bytes(void *ctx, uint64_t offset, void *bytes,
                            size_t len)
{
    uint8_t *to = bytes;
    size_t i;

    (void)ctx;
    for (i = 0; i < len && offset + i < BIG; i++)
        to[i] = byte_at(offset + i);
    return (ptrdiff_t)i;
}

static void a_file_goes_up_and_comes_back(void)
{
    static const char path[] = "/root/a b/\xC3\xA9";
    struct counted counted = { 0, 0 };
    lssb_source source;
    lssb_download how;
    lssb_file file;
    size_t len;

    memset(&source, 0, sizeof source);
    memset(&how, 0, sizeof how);
    source.read_at = read_bytes;
    source.size = BIG;
    how.take = count;
    how.user = &counted;
    if (!went_well(lssb_file_upload(&box, path, &source, NULL, NULL)) ||
        !went_well(lssb_file_download(&box, path, &how, &file, NULL)))
        return;
    EXPECT_INT(counted.len, BIG);
    EXPECT_INT(counted.wrong, 0);
    EXPECT_INT(file.size, BIG);
    EXPECT_INT(lssb_file_read(&box, path, out, sizeof out, &len, NULL),
               LSSB_E_TOO_LONG);
    EXPECT_INT(lssb_file_read(&box, "/root/none", out, sizeof out, &len,
                              NULL), LSSB_E_NOT_FOUND);
}

/* -------------------------------------------------------------- tunnels -- */

/* Sends back what comes, with its end behind it. */
static const char echo_program[] =
    "import socket, threading\n"
    "def serve(c):\n"
    "    while True:\n"
    "        d = c.recv(65536)\n"
    "        if not d: break\n"
    "        c.sendall(d)\n"
    "    c.close()\n"
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "print(s.getsockname()[1], flush=True)\n"
    "while True:\n"
    "    c = s.accept()[0]\n"
    "    threading.Thread(target=serve, args=(c,)).start()\n";

static lssb_command server;

/* Starts that in the box; its port, or 0. */
static uint16_t serves(void)
{
    memset(&server, 0, sizeof server);
    out[0] = '\0';
    if (!went_well(lssb_file_write(&box, "/root/echo.py", echo_program,
                                   strlen(echo_program), NULL)) ||
        !went_well(lssb_command_start(&server, &box, "python3 /root/echo.py",
                                      NULL, NULL)))
        return 0;
    while (strchr(out, '\n') == NULL && server.status == LSSB_PENDING)
        listens_to(&server, strlen(out) + 1);
    return (uint16_t)strtoul(out, NULL, 10);
}

static void serves_no_more(void)
{
    EXPECT_INT(lssb_command_kill(&server), LSSB_OK);
    lssb_command_wait(&server, NULL, NULL);
    EXPECT_INT(lssb_command_close(&server, NULL), LSSB_OK);
}

/* Sends what there is room for. */
static lssb_status sends(lssb_tunnel_stream *stream, uint64_t *sent)
{
    uint8_t piece[1000];
    size_t len, taken = 0;
    lssb_status status;

    for (len = 0; len < sizeof piece && *sent + len < BIG; len++)
        piece[len] = byte_at(*sent + len);
    if (len == 0)
        return LSSB_OK;
    status = lssb_tunnel_write(stream, piece, len, &taken, 0);
    *sent += taken;
    if (*sent == BIG)
        EXPECT_INT(lssb_tunnel_finish(stream), LSSB_OK);
    return status;
}

static void a_stream_carries_both_ways_at_once(void)
{
    struct counted counted = { 0, 0 };
    lssb_tunnel tunnel;
    lssb_tunnel_stream stream;
    lssb_status status;
    uint64_t sent = 0;
    uint16_t port = serves();
    size_t len;

    memset(&tunnel, 0, sizeof tunnel);
    memset(&stream, 0, sizeof stream);
    if (port != 0 && went_well(lssb_tunnel_open(&tunnel, &box, NULL, NULL)) &&
        went_well(lssb_tunnel_connect(&tunnel, port, &stream, NULL))) {
        do {
            status = sends(&stream, &sent);
            if (status >= 0)
                status = lssb_tunnel_read(&stream, out, sizeof out, &len,
                                          status == LSSB_AGAIN || sent == BIG
                                              ? 1000 : 0);
            if (status == LSSB_OK)
                count(&counted, out, len);
            else if (status == LSSB_AGAIN)
                lssb_step(client);
        } while (status == LSSB_OK || status == LSSB_AGAIN);
        EXPECT_INT(status, LSSB_END);
        EXPECT_INT(counted.len, BIG);
        EXPECT_INT(counted.wrong, 0);
    }
    lssb_tunnel_stream_close(&stream);
    lssb_tunnel_close(&tunnel, NULL);
    serves_no_more();
}

/* A local program's end of a connection: the port's own sockets. */
struct local {
    lssb_handle handle;
    uint64_t sent;
    struct counted counted;
    bool connected;
    bool over;
};

#define EACH 300000u                /* bytes through each of them */

static const lssb_port *const net = &lssb_default_port;
static const lssb_listen_port *const listening = &lssb_default_listen_port;
static uint64_t context[8];

/* Goes on with one of them; false: it failed. */
static bool goes_on(struct local *one)
{
    uint8_t piece[8192];
    int32_t code = 0;
    ptrdiff_t n = LSSB_IO_OK;
    size_t len;

    if (!one->connected) {
        n = net->connected(context, one->handle, &code);
        one->connected = n == LSSB_IO_OK;
        return n == LSSB_IO_OK || n == LSSB_IO_AGAIN;
    }
    for (len = 0; len < sizeof piece && one->sent + len < EACH; len++)
        piece[len] = byte_at(one->sent + len);
    if (len > 0) {
        n = net->send(context, one->handle, piece, len, &code);
        one->sent += n > 0 ? (uint64_t)n : 0;
        if (one->sent == EACH)
            listening->finish(context, one->handle, &code);
    }
    if (n >= 0 || n == LSSB_IO_AGAIN) {
        n = net->receive(context, one->handle, piece, sizeof piece, &code);
        if (n > 0)
            count(&one->counted, piece, (size_t)n);
        one->over = n == 0;
    }
    return n >= 0 || n == LSSB_IO_AGAIN;
}

/* Takes all of them to their ends. */
static void go_on(struct local *all)
{
    uint64_t until = net->now_ms(context) + PATIENCE;
    size_t i, over = 0;
    bool well = true;

    while (well && over < LOCAL && net->now_ms(context) < until) {
        if (lssb_step(client) != LSSB_OK)
            lssb_wait(client, NULL, 1);
        for (over = 0, i = 0; i < LOCAL && well; i++) {
            if (!all[i].over)
                well = goes_on(&all[i]);
            over += all[i].over;
        }
    }
    EXPECT(well);
    EXPECT_INT(over, LOCAL);
}

static void local_programs_reach_a_port_of_the_box(void)
{
    struct local all[LOCAL];
    lssb_tunnel tunnel;
    lssb_listener listener;
    lssb_listen_options where;
    lssb_address at;
    int32_t code = 0;
    size_t i;

    memset(all, 0, sizeof all);
    memset(&tunnel, 0, sizeof tunnel);
    memset(&where, 0, sizeof where);
    memset(&at, 0, sizeof at);
    memset(context, 0, sizeof context);
    where.port = serves();
    where.local_port = LSSB_ANY_PORT;
    EXPECT_INT(net->open(context, &code), LSSB_IO_OK);
    if (where.port != 0 &&
        went_well(lssb_tunnel_open(&tunnel, &box, NULL, NULL)) &&
        went_well(lssb_tunnel_listen(&tunnel, &where, &listener))) {
        at.family = 4;
        memcpy(at.bytes, "\x7F\0\0\1", 4);
        at.port = listener.port;
        for (i = 0; i < LOCAL; i++)
            EXPECT_INT(net->connect(context, &at, &all[i].handle, &code),
                       LSSB_IO_OK);
        go_on(all);
        for (i = 0; i < LOCAL; i++) {
            EXPECT_INT(all[i].counted.len, EACH);
            EXPECT_INT(all[i].counted.wrong, 0);
            net->close_handle(context, all[i].handle, false);
        }
    }
    lssb_tunnel_close(&tunnel, NULL);
    net->close(context, false);
    serves_no_more();
}

/* ---------------------------------------------------- names, keys, trust -- */

/* Another client, that asks for the box once. */
static lssb_status asks(const lssb_config *config)
{
    lssb_client *other;
    lssb_sandbox same;
    lssb_status status = lssb_open(&other, config);

    if (status != LSSB_OK)
        return status;
    status = lssb_sandbox_get(other, box.name, &same, NULL);
    if (status != LSSB_OK)
        printf("  %s\n", lssb_error_text(other));
    lssb_close(other, NULL);
    return status;
}

static void the_server_has_a_name(void)
{
    const char *endpoint = getenv("LANGSMITH_ENDPOINT"), *host;
    lssb_config config;
    char named[128];

    memset(&config, 0, sizeof config);
    host = strstr(endpoint, "127.0.0.1");
    if (host == NULL || strlen(endpoint) > 100) {
        SKIP("the server is not on this machine");
        return;
    }
    memcpy(named, endpoint, (size_t)(host - endpoint));
    strcpy(named + (host - endpoint), "localhost");
    strcat(named, host + 9);
    config.endpoint = named;
    EXPECT_INT(asks(&config), LSSB_OK);
}

static void a_wrong_key_is_refused(void)
{
    lssb_config config;

    memset(&config, 0, sizeof config);
    config.api_key = "wrong";
    EXPECT_INT(asks(&config), LSSB_E_AUTH);
}

static void a_certificate_that_nobody_vouches_for_is_refused(void)
{
    lssb_config config;

    memset(&config, 0, sizeof config);
    config.endpoint = getenv("LANGSMITH_ENDPOINT");
    config.api_key = getenv("LANGSMITH_API_KEY");
    config.no_environment = true;   /* the system's certificates only */
    if (strncmp(config.endpoint, "https:", 6) != 0) {
        SKIP("the server has no certificate");
        return;
    }
    EXPECT_INT(asks(&config), LSSB_E_CERTIFICATE);
}

int main(void)
{
    static const struct test tests[] = {
        TEST(a_command_tells_its_output_and_its_exit_code),
        TEST(a_long_output_comes_whole),
        TEST(a_command_is_asked_and_answers),
        TEST(a_command_is_killed),
        TEST(a_file_goes_up_and_comes_back),
        TEST(a_stream_carries_both_ways_at_once),
        TEST(local_programs_reach_a_port_of_the_box),
        TEST(the_server_has_a_name),
        TEST(a_wrong_key_is_refused),
        TEST(a_certificate_that_nobody_vouches_for_is_refused)
    };
    lssb_config config;
    lssb_error why;
    int failed;

    memset(&config, 0, sizeof config);
    config.streams = 8;
    if (lssb_open_why(&client, &config, &why) != LSSB_OK ||
        lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK) {
        printf("%s\n0 passed, 1 failed\n",
               client != NULL ? lssb_error_text(client) : why.message);
        return 1;
    }
    failed = TEST_MAIN(tests);
    EXPECT_INT(lssb_sandbox_delete(&box, NULL), LSSB_OK);
    lssb_close(client, NULL);
    return failed;
}
