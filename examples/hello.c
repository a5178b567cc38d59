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
    lssb_error why;
    lssb_status status;

    /* LANGSMITH_ENDPOINT, LANGSMITH_API_KEY */
    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    how.out = out;
    how.out_size = sizeof out;
    status = lssb_sandbox_create(client, NULL, &box, NULL);
    if (status == LSSB_OK)
        status = lssb_run(&box, "python3 -c 'print(2 + 2)'", &how, &result,
                          NULL);
    if (status == LSSB_OK)
        printf("exit %d: %s", (int)result.exit_code, out);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (box.name[0] != '\0')        /* named, even if it is not ready */
        lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
