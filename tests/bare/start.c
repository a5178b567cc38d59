/* start.c: what a test program needs on a bare Cortex-M, in an emulator: a
 * vector table, printf by semihosting (newlib's librdimon), and no port.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "../../port/port.h"

/* Tests bring their own; this one is of no version that anybody would use. */
__attribute__((weak)) const lssb_port lssb_default_port = { 0 };
__attribute__((weak)) const lssb_listen_port lssb_default_listen_port = { 0 };

extern char bare_stack_end[];
void initialise_monitor_handles(void);
void bare_reset(void);
int main(int argc, char **argv);

void bare_reset(void)
{
    static char name[] = "test";
    static char *words[] = { name, NULL };

    initialise_monitor_handles();
    exit(main(1, words));
}

/* Ends with a failure, instead of an endless silence. */
static void fault(void)
{
    abort();
}

__attribute__((section(".vectors"), used))
static const struct {
    char *stack;
    void (*handlers[15])(void);
} vectors = {
    bare_stack_end,
    { bare_reset, fault, fault, fault, fault, fault }
};
