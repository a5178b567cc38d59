/* hello.c: the shortest useful program.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <lssb.h>

int main(void)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_result result;
    char out[4096];
    lssb_run_options how = {0};

    if (lssb_open(&client, NULL) != LSSB_OK)        /* LANGSMITH_ENDPOINT, LANGSMITH_API_KEY */
        return 1;
    how.out = out;
    how.out_size = sizeof out;
    if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK) {
        if (lssb_run(&box, "python3 -c 'print(2 + 2)'", &how, &result, NULL) == LSSB_OK)
            printf("exit %d: %s", (int)result.exit_code, out);
        lssb_sandbox_delete(&box, NULL);
    }
    fputs(lssb_error_text(client), stderr);
    return lssb_close(client, NULL) != LSSB_OK;
}
