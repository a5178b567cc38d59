/* service.c: a web server in a sandbox, asked from outside.
 *
 * SPDX-License-Identifier: MIT
 *
 *     service
 *
 * Starts `python3 -m http.server` in a new box, asks it for a page until it is
 * up, and prints what came. LANGSMITH_ENDPOINT and LANGSMITH_API_KEY say where.
 */
#include <stdio.h>

#include "lssb.h"

#define PORT 8000

/* Writes a page, and starts to serve it. The command goes on in the box. */
static lssb_status serve(const lssb_sandbox *box, lssb_command *server)
{
    static const char page[] = "<h1>Hello from the sandbox</h1>\n";
    lssb_status status =
        lssb_file_write(box, "site/index.html", page, sizeof page - 1, NULL);

    if (status != LSSB_OK)
        return status;
    return lssb_command_start(server, box,
                              "cd site && exec python3 -m http.server 8000",
                              NULL, NULL);
}

/* Asks for the page. 502 and the like: nobody listens there yet. */
static lssb_status ask(const lssb_sandbox *box, char *page, size_t size,
                       lssb_response *response)
{
    lssb_client *client = box->client;
    lssb_service_options where = {0};
    lssb_service service = {0};
    lssb_request request = {0};
    lssb_status status;
    int tries = 0;

    where.port = PORT;
    request.path = "/index.html";
    request.out = page;
    request.out_size = size;
    do {
        status = lssb_service_request(box, &where, &service, &request,
                                      response, NULL);
        if (status != LSSB_OK || response->status < 500)
            break;
        lssb_wait(client, NULL, 100);       /* the command's, meanwhile */
    } while (tries++ < 100);
    return status;
}

int main(void)
{
    lssb_client *client;
    lssb_sandbox box;
    lssb_command server = {0};
    lssb_response response = {0};
    char page[4096] = "";
    lssb_error why;

    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    if (lssb_sandbox_create(client, NULL, &box, NULL) == LSSB_OK) {
        if (serve(&box, &server) == LSSB_OK &&
            ask(&box, page, sizeof page, &response) == LSSB_OK)
            printf("%d %s\n%s", (int)response.status, response.content_type,
                   page);
        lssb_command_kill(&server);
        lssb_command_close(&server, NULL);
        lssb_sandbox_delete(&box, NULL);
    }
    if (response.status != 200)
        fprintf(stderr, "%s\n", lssb_error_text(client));
    lssb_close(client, NULL);
    return response.status != 200;
}
