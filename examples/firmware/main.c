/* main.c: a sandbox from a microcontroller: created, a command run with its
 * output as it comes, a file written and read, over TLS.
 *
 * SPDX-License-Identifier: MIT
 *
 * The network is a UART with a bridge at its end (link.h); a board with sockets
 * of its own takes another port and leaves link.c away. `make test-firmware`
 * runs this in an emulator against a sandboxd.
 */
#include <string.h>

#include "board.h"
#include "link.h"
#include "lssb.h"

/* The authority that signed the server's certificate, as DER: anchor.c, which
 * `make firmware CA=FILE` makes of a PEM or DER file. */
extern const unsigned char anchor[];
extern const unsigned anchor_len;

/* ----------------------------------------------------------- the network -- */

static void pipe_sleep(void *user, bool to_send, uint32_t ms)
{
    uint32_t start = board_ticks_ms();

    (void)user;
    (void)to_send;                  /* this UART has room at any time */
    do
        board_sleep();
    while (board_ticks_ms() - start < (ms < 1 ? ms : 1));
}

static uint32_t pipe_ticks_ms(void *user)
{
    (void)user;
    return board_ticks_ms();
}

static int64_t pipe_wall_s(void *user)
{
    (void)user;
    return board_wall_s();
}

static bool pipe_random(void *user, void *bytes, size_t len)
{
    (void)user;
    return board_random(bytes, len);
}

lssb_pipe lssb_device_pipe = {
    NULL, link_send, link_receive, link_dial, link_hang_up, pipe_sleep,
    pipe_ticks_ms, pipe_wall_s, pipe_random, { 0 }
};

/* ----------------------------------------------------------- the console -- */

static void print_number(uint64_t number)
{
    char digits[24];
    char *at = digits + sizeof digits - 1;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    board_print(at);
}

/* A line with a number in it. */
static void print_count(const char *before, uint64_t number,
                        const char *after)
{
    board_print(before);
    print_number(number);
    board_print(after);
}

/* A sentence about a step; true when it went well. */
static bool step(const lssb_client *client, const char *what,
                 lssb_status status)
{
    board_print(status == LSSB_OK ? "  ok    " : "  FAIL  ");
    board_print(what);
    if (status != LSSB_OK) {
        board_print(": ");
        board_print(lssb_status_name(status));
        board_print(": ");
        board_print(lssb_error_text(client));
    }
    board_print("\n");
    return status == LSSB_OK;
}

/* ----------------------------------------------------------- the program -- */

/* Output as it comes, a line at a time or less. */
static lssb_status show(void *user, const void *bytes, size_t len)
{
    char text[64];
    const char *from = bytes;
    size_t n;

    (void)user;
    for (; len > 0; len -= n, from += n) {
        n = len < sizeof text - 1 ? len : sizeof text - 1;
        memcpy(text, from, n);
        text[n] = '\0';
        board_print(text);
    }
    return LSSB_OK;
}

/* A command, followed. */
static bool run(const lssb_sandbox *box)
{
    static lssb_result result;
    lssb_run_options how = { 0 };
    bool well;

    how.on_out = show;
    well = step(box->client, "run",
                lssb_run(box, "for i in 1 2 3; do echo \"  line $i of 3\"; "
                              "sleep 0.2; done; echo \"  measured: $(cat "
                              "/tmp/measured)\"; exit 7",
                         &how, &result, NULL));
    if (well)
        print_count("  exit code ", (uint64_t)result.exit_code, "\n");
    return well && result.exit_code == 7;
}

/* A file there, and a file back. */
static bool put(const lssb_sandbox *box)
{
    static const char measured[] = "21.5 degrees";

    return step(box->client, "write a file",
                lssb_file_write(box, "/tmp/measured", measured,
                                sizeof measured - 1, NULL));
}

static bool get(const lssb_sandbox *box)
{
    static char back[64];
    size_t len = 0;

    if (!step(box->client, "read it back",
              lssb_file_read(box, "/tmp/measured", back, sizeof back - 1,
                             &len, NULL)))
        return false;
    back[len] = '\0';
    board_print("  ");
    board_print(back);
    board_print("\n");
    return strcmp(back, "21.5 degrees") == 0;
}

/* A client in memory that is its own: opened, used, closed. */
static bool live(const lssb_config *config)
{
    static lssb_sandbox box;
    static lssb_error why;
    lssb_client *client;
    bool well;

    if (lssb_open_why(&client, config, &why) != LSSB_OK) {
        board_print("cannot open a client: ");
        board_print(why.message);
        board_print("\n");
        return false;
    }
    well = step(client, "create a sandbox",
                lssb_sandbox_create(client, NULL, &box, NULL));
    well = well && put(&box) && run(&box) && get(&box);
    if (box.name[0] != '\0')
        well = step(client, "delete the sandbox",
                    lssb_sandbox_delete(&box, NULL)) && well;
    lssb_close(client, NULL);
    return well;
}

int main(void)
{
    static char endpoint[128], key[128];
    static uint64_t memory[CLIENT_MEMORY / 8];
    static lssb_config config;
    bool well;

    if (!board_setting(0, endpoint, sizeof endpoint) ||
        !board_setting(1, key, sizeof key)) {
        board_print("no endpoint, no key: see README.md\n");
        return 1;
    }
    config.endpoint = endpoint;
    config.api_key = key;
    config.slots = 1;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.trust.anchors = anchor;
    config.trust.anchors_len = anchor_len;
    config.trust.only = true;
    well = live(&config);
    print_count("  memory of the client: ", lssb_memory_needed(&config), "");
    print_count(" of ", sizeof memory, " bytes\n");
    print_count("  deepest stack:        ", board_stack_used(), "");
    print_count(" of ", board_stack_size(), " bytes\n");
    print_count("  RAM in all:           ", board_ram_size(), " bytes\n");
    board_print(well ? "done\n" : "failed\n");
    return !well;
}
