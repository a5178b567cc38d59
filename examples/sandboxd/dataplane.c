/* dataplane.c: what is asked of one box (PROTOCOL 4).
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "control.h"

#define DATAPLANE_TIMED_OUT 124     /* the exit code, as timeout(1) has it */

/* -------------------------------------------------------------- execute -- */

/* One execute under way. */
struct execution {
    struct exchange *exchange;
    struct command *command;
};

/* A result, as its writer needs it. */
struct execution_result {
    struct bytes out;
    struct bytes err;
    int exit_code;
};

/* {"stdout":…,"stderr":…,"exit_code":…} */
static void execute_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct execution_result *result = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string_n(json, "stdout", result->out.at, result->out.len);
    lssb_json_string_n(json, "stderr", result->err.at, result->err.len);
    lssb_json_number(json, "exit_code", result->exit_code);
    lssb_json_close(json);
}

/* The command is over. */
static void execute_done(struct command *command)
{
    struct execution *execution = command->owner;
    struct exchange *exchange = execution->exchange;
    struct execution_result result;

    execution->command = NULL;
    if (command->overflowed) {
        reply_error(exchange, 500, "CommandError",
                    "the command was killed: it wrote more than %llu bytes",
                    (unsigned long long)exchange->d->settings.max_output);
        return;
    }
    memset(&result, 0, sizeof result);
    clean_utf8(&result.out, command->out_bytes.at, command->out_bytes.len);
    clean_utf8(&result.err, command->err_bytes.at, command->err_bytes.len);
    result.exit_code =
        command->timed_out ? DATAPLANE_TIMED_OUT : command->exit_code;
    reply_json(exchange, 200, execute_write, &result);
    bytes_free(&result.out);
    bytes_free(&result.err);
}

/* The exchange is over. A command that runs on does so for nobody. */
static void execute_over(struct exchange *exchange)
{
    struct execution *execution = exchange->state;

    if (execution->command != NULL)
        execution->command->owner = NULL;
    free(execution);
}

/* Starts what was asked for. */
static void execute_start(struct exchange *exchange, struct box *box,
                          const struct run_request *request)
{
    struct execution *execution;
    struct command_options options;
    struct command *command;
    char *why;

    memset(&options, 0, sizeof options);
    options.argv = request->argv;
    options.env = &request->env;
    options.cwd = request->cwd;
    options.user = request->user;
    options.timeout_s = (uint32_t)request->timeout_s;
    command = command_start(box, &options, &why);
    if (command == NULL) {
        reply_error(exchange, 500, "CommandError", "%s", why);
        free(why);
        return;
    }
    execution = take(sizeof *execution);
    execution->exchange = exchange;
    execution->command = command;
    command->owner = execution;
    command->done = execute_done;
    exchange->state = execution;
    exchange->on_over = execute_over;
}

/* POST /execute: the body is there. */
static void execute_body(struct exchange *exchange, struct value body)
{
    char *id = exchange->state;
    struct sandboxd *d = exchange->d;
    struct box *box = box_find(d, id);
    struct run_request request;

    free(id);
    exchange->state = NULL;
    run_request_read(&request, body, false);
    if (request.wrong != NULL)
        reply_error(exchange, 400, "InvalidRequest", "%s", request.wrong);
    else if (box == NULL || box->status != BOX_READY)
        reply_error(exchange, 400, "NotReady", "the sandbox is not ready");
    else if (request.user != NULL && !user_possible(request.user))
        reply_error(exchange, 400, "InvalidRequest",
                    "commands cannot run as user %s here", request.user);
    else if (d->command_count >= d->settings.max_commands)
        reply_error(exchange, 429, "QuotaExceeded",
                    "%llu commands run already",
                    (unsigned long long)d->command_count);
    else
        execute_start(exchange, box, &request);
    run_request_free(&request);
}

/* POST /execute */
static void execute_begin(struct exchange *exchange, struct box *box)
{
    collect_named(exchange, box->id, execute_body);
}

/* ----------------------------------------------------------- operations -- */

static const struct {
    const char *name;
    const char *methods;
    operation_fn *go;
} dataplane_operations[] = {{"execute", "POST", execute_begin},
                            {"execute/ws", "GET", attachment_start},
                            {"tunnel", "GET", tunnel_start},
                            {"upload", "POST", upload_start},
                            {"download", "GET, HEAD", download_start},
                            {"glob", "POST", search_glob},
                            {"grep", "POST", search_grep}};

/* Which one it is; SIZE_MAX for none. */
static size_t dataplane_find(const char *operation)
{
    size_t i = sizeof dataplane_operations / sizeof dataplane_operations[0];

    while (i-- > 0) {
        if (strcmp(dataplane_operations[i].name, operation) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* Whether a list of methods, "GET, HEAD", has this one. */
static bool dataplane_allows(const char *methods, const char *method)
{
    size_t len = strlen(method);

    while (*methods != '\0') {
        size_t word = strcspn(methods, ",");

        if (word == len && strncmp(methods, method, len) == 0)
            return true;
        methods += word;
        methods += strspn(methods, ", ");
    }
    return false;
}

/* Whether there is such an operation. */
bool dataplane_knows(const char *operation)
{
    return dataplane_find(operation) != SIZE_MAX;
}

/* A request for a box, with an operation that is known. */
void dataplane_request(struct exchange *exchange, struct box *box,
                       const char *operation)
{
    size_t i = dataplane_find(operation);
    const char *methods = dataplane_operations[i].methods;

    if (!dataplane_allows(methods, exchange->method))
        reply_allow(exchange, methods);
    else
        box_awake(exchange, box, dataplane_operations[i].go);
}
