/* size.c: what a client costs in memory, and the structs that callers keep.
 *
 * SPDX-License-Identifier: MIT
 *
 * Part of `make size`.
 */
#include "src/internal.h"

#include <stdio.h>

/* One row of the table. */
static void row(const char *what, size_t bytes)
{
    printf("  %-46s %7lu\n", what, (unsigned long)bytes);
}

/* The block for so many slots. */
static size_t block(uint32_t slots, const char *endpoint)
{
    lssb_config config = { 0 };

    config.endpoint = endpoint;
    config.slots = slots;
    config.no_environment = true;
    return lssb_memory_needed(&config);
}

int main(void)
{
    printf("bytes of memory\n");
    row("a client with 1 slot, everything in it", block(1, NULL));
    row("each further slot", block(2, NULL) - block(1, NULL));
    row("  of it receive buffer (LSSB_RECEIVE_BUFFER)", LSSB_RECEIVE_BUFFER);
    row("  of it send buffer (LSSB_SEND_BUFFER)", LSSB_SEND_BUFFER);
    row("  of it what is kept of a reply (LSSB_ELEMENT)", LSSB_ELEMENT);
    if (LSSB_WEBSOCKET)
        row("  of it output on its way (LSSB_HOLD), if used", LSSB_HOLD);
    if (lssb_default_tls != NULL) {
        static const lssb_trust trust;

        row("  of it the TLS session",
            lssb_default_tls->session_size(&trust));
    }
    row("an lssb_sandbox", sizeof(lssb_sandbox));
    row("an lssb_command", sizeof(lssb_command));
    row("an lssb_op", sizeof(lssb_op));
    row("an lssb_error", sizeof(lssb_error));
    return 0;
}
