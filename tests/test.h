/* test.h: what a test program needs, and nothing that a bare board lacks.
 *
 * SPDX-License-Identifier: MIT
 *
 * A test is a function without arguments; its name is a sentence. A program
 * lists its tests in a table and returns test_main's result. The last line it
 * prints is "N passed, N failed", with ", N skipped" if some were.
 */
#ifndef TEST_H
#define TEST_H

#include <stdio.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) { #name, name }

static int test_failures;           /* of the test that runs */
static int test_skip;
static const char *test_row = "";   /* of a table, for messages */

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            printf("  %s:%d: %s%s%s\n", __FILE__, __LINE__, #condition, \
                   *test_row ? ", row " : "", test_row); \
            test_failures++; \
        } \
    } while (0)

#define EXPECT_INT(actual, expected) \
    do { \
        long long test_a = (long long)(actual), test_e = (long long)(expected); \
        if (test_a != test_e) { \
            printf("  %s:%d: %s is %lld, not %lld%s%s\n", __FILE__, __LINE__, \
                   #actual, test_a, test_e, *test_row ? ", row " : "", \
                   test_row); \
            test_failures++; \
        } \
    } while (0)

#define EXPECT_STR(actual, expected) \
    do { \
        const char *test_a = (actual), *test_e = (expected); \
        if (test_a == NULL || strcmp(test_a, test_e) != 0) { \
            printf("  %s:%d: %s is \"%s\", not \"%s\"%s%s\n", __FILE__, \
                   __LINE__, #actual, test_a ? test_a : "(null)", test_e, \
                   *test_row ? ", row " : "", test_row); \
            test_failures++; \
        } \
    } while (0)

/* Says why a test cannot run here; return after it. */
#define SKIP(reason) \
    do { \
        printf("  skipped: %s\n", reason); \
        test_skip = 1; \
    } while (0)

static int test_main(const struct test *tests, size_t count)
{
    size_t i;
    int passed = 0, failed = 0, skipped = 0;

    for (i = 0; i < count; i++) {
        test_failures = 0;
        test_skip = 0;
        test_row = "";
        tests[i].run();
        if (test_failures > 0)
            printf("FAILED %s\n", tests[i].name);
        if (test_failures > 0)
            failed++;
        else if (test_skip)
            skipped++;
        else
            passed++;
    }
    if (skipped > 0)
        printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    else
        printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}

#define TEST_MAIN(tests) test_main(tests, sizeof(tests) / sizeof(tests)[0])

#endif
