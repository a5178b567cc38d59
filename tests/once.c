/* once.c: creates a sandbox, runs `true` in it and deletes it; for bench.py.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lssb.h"

int main(void)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_result result;
    int well = 0;

    if (lssb_open(&client, NULL) != LSSB_OK)
        return 1;
    if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK) {
        well = lssb_run(&box, "true", NULL, &result, NULL) == LSSB_OK &&
               result.exit_code == 0;
        well &= lssb_sandbox_delete(&box, NULL) == LSSB_OK;
    }
    lssb_close(client, NULL);
    return !well;
}
