/* flat.c: a long output costs what a short one does: flat MEBIBYTES.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs a command that prints a mebibyte, then one that prints as many as it is
 * told, in a sandbox of LANGSMITH_ENDPOINT's. Every call of the allocator of
 * this program is counted; so are the pages that it has, once those of its code
 * and of its memory, which come when they are touched, are all there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "test.h"

#include "lssb.h"

/* -------------------------------------------------------- the allocator -- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static unsigned long allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    allocations++;
    return __libc_realloc(block, size);
}

/* The most memory that this program ever had, in KiB. */
static long resident(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* ------------------------------------------------------------- the runs -- */

static uint64_t mebibytes;
static uint64_t right;

/* Counts what is as it was printed. */
static lssb_status take(void *user, const void *bytes, size_t len)
{
    const char *at = bytes;
    size_t i;

    (void)user;
    for (i = 0; i < len && at[i] == 'a'; i++)
        continue;
    right += i;
    return i == len ? LSSB_OK : LSSB_E_STOPPED;
}

/* Prints so many mebibytes in the box. */
static void stream(const lssb_sandbox *box, uint64_t mib)
{
    lssb_run_options how = { 0 };
    lssb_result result;
    char command[100];
    lssb_status status;

    sprintf(command, "head -c %llu /dev/zero | tr '\\0' a",
            (unsigned long long)mib << 20);
    right = 0;
    how.on_out = take;
    how.timeout_s = LSSB_NO_LIMIT;
    status = lssb_run(box, command, &how, &result, NULL);
    EXPECT_INT(status, LSSB_OK);
    if (status != LSSB_OK)
        printf("  %s\n", lssb_error_text(box->client));
    EXPECT_INT(result.exit_code, 0);
    EXPECT_INT(result.out_lost, 0);
    EXPECT_INT(right, mib << 20);
}

static void a_long_output_costs_what_a_short_one_does(void)
{
    lssb_client *client;
    lssb_sandbox box;
    unsigned long before;
    long kib, locked;

    EXPECT_INT(lssb_open(&client, NULL), LSSB_OK);
    if (client == NULL)
        return;
    EXPECT_INT(lssb_sandbox_create(client, NULL, &box, NULL), LSSB_OK);
    stream(&box, 1);
    kib = resident();
    EXPECT_INT(mlockall(MCL_CURRENT), 0);
    locked = resident();
    before = allocations;
    stream(&box, mebibytes);
    EXPECT_INT(allocations - before, 0);
    EXPECT_INT(resident() - locked, 0);
    EXPECT_INT(lssb_sandbox_delete(&box, NULL), LSSB_OK);
    EXPECT_INT(lssb_close(client, NULL), LSSB_OK);
    printf("%u MiB, %lu allocations, %ld KiB\n", (unsigned)mebibytes,
           allocations - before, kib);
}

static void what_is_allocated_is_counted(void)
{
    unsigned long before = allocations;
    void *volatile block = malloc(1);

    free(block);
    EXPECT_INT(allocations - before, 1);
}

static const struct test tests[] = {
    TEST(what_is_allocated_is_counted),
    TEST(a_long_output_costs_what_a_short_one_does),
};

int main(int argc, char **argv)
{
    mebibytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (mebibytes == 0) {
        fprintf(stderr, "usage: flat MEBIBYTES\n");
        return 2;
    }
    return TEST_MAIN(tests);
}
