/* stack.c: how deep the stack gets, by what a client does.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: LANGSMITH_ENDPOINT=… LANGSMITH_API_KEY=… stack
 * Part of `make size`. Each piece of work runs in a thread whose stack was
 * painted before; what is not painted any more afterwards was used. The port's
 * and the C library's own frames are counted with the library's.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../lssb.h"

#define STACK (256 * 1024)
#define PAINT 0xA5
#define ROOM 65536                  /* a client's memory is not on the stack */

static union {
    uint64_t align[2];
    unsigned char bytes[STACK];
} stack;

static lssb_client *client;
static lssb_sandbox box;
static lssb_status status;
static char bytes[ROOM];
static lssb_result result;
static lssb_run_options how;
static lssb_command command;
static lssb_tunnel tunnel;
static lssb_tunnel_stream stream;

/* Where the work begins on that stack. */
static unsigned char *base;

static void opens(void)
{
    lssb_config config;

    memset(&config, 0, sizeof config);
    config.streams = 1;
    status = lssb_open(&client, &config);
}

static void creates(void)
{
    status = lssb_sandbox_create(client, NULL, &box, NULL);
}

static void runs(void)
{
    memset(&how, 0, sizeof how);
    how.out = bytes;
    how.out_size = sizeof bytes;
    status = lssb_run(&box, "seq 1000", &how, &result, NULL);
}

static void moves_files(void)
{
    size_t len;

    status = lssb_file_write(&box, "/root/a", bytes, sizeof bytes, NULL);
    if (status == LSSB_OK)
        status = lssb_file_read(&box, "/root/a", bytes, sizeof bytes, &len,
                                NULL);
}

static void streams(void)
{
    lssb_chunk chunk;

    memset(&how, 0, sizeof how);
    how.open_stdin = true;
    status = lssb_command_start(&command, &box, "cat", &how, NULL);
    if (status == LSSB_OK)
        status = lssb_command_write(&command, "x\n", 2, NULL, 10000);
    if (status == LSSB_OK)
        status = lssb_command_next(&command, &chunk, 10000);
    lssb_command_close_stdin(&command);
    lssb_command_close(&command, NULL);
}

static void tunnels(void)
{
    status = lssb_tunnel_open(&tunnel, &box, NULL, NULL);
    if (status == LSSB_OK &&
        lssb_tunnel_connect(&tunnel, 1, &stream, NULL) == LSSB_OK)
        lssb_tunnel_stream_close(&stream);
    lssb_tunnel_close(&tunnel, NULL);
}

static void ends(void)
{
    status = lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
}

struct work {
    const char *name;
    void (*run)(void);
};

/* Does a piece of work, below where this frame begins. */
static void *does(void *argument)
{
    const struct work *work = argument;
    unsigned char here;

    base = &here;
    work->run();
    return NULL;
}

/* The bytes of stack that a piece of work used; 0: it failed. */
static unsigned long used(const struct work *work)
{
    union {
        const struct work *in;
        void *out;
    } argument;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t i = 0;

    argument.in = work;
    memset(stack.bytes, PAINT, sizeof stack.bytes);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack.bytes, STACK) != 0 ||
        pthread_create(&thread, &attributes, does, argument.out) != 0 ||
        pthread_join(thread, NULL) != 0)
        return 0;
    while (stack.bytes[i] == PAINT)
        i++;
    return status == LSSB_OK ? (unsigned long)(base - &stack.bytes[i]) : 0;
}

int main(void)
{
    static const struct work all[] = {
        { "open", opens },
        { "create", creates },
        { "run", runs },
        { "files", moves_files },
        { "stream", streams },
        { "tunnel", tunnels },
        { "end", ends }
    };
    unsigned long deepest = 0, n;
    size_t i;

    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        n = used(&all[i]);
        if (n == 0) {
            printf("%s: failed: %s\n", all[i].name,
                   client != NULL ? lssb_error_text(client) : "");
            return 1;
        }
        deepest = n > deepest ? n : deepest;
        printf("  %-46s %7lu\n", all[i].name, n);
    }
    printf("  %-46s %7lu\n", "deepest", deepest);
    return 0;
}
