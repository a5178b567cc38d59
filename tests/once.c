/* once.c: creates a sandbox, runs a command in it, by default `true`, takes its
 * output in a callback, and deletes it; for bench.py.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lssb.h"

/* Looks at the output. */
static lssb_status take(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    return LSSB_OK;
}

int main(int argc, char **argv)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_run_options how = { 0 };
    lssb_result result;
    int well = 0;

    how.on_out = take;
    if (lssb_open(&client, NULL) != LSSB_OK)
        return 1;
    if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK) {
        well = lssb_run(&box, argc > 1 ? argv[1] : "true", &how, &result,
                        NULL) == LSSB_OK &&
               result.exit_code == 0;
        well &= lssb_sandbox_delete(&box, NULL) == LSSB_OK;
    }
    lssb_close(client, NULL);
    return !well;
}
