/* execute.c: commands over HTTP, in a build without WebSocket (protocol 4.1).
 *
 * SPDX-License-Identifier: MIT
 *
 * One request, one reply, no way back to a command whose connection broke: so
 * it is never tried again once it may have arrived, and what it cannot do is
 * refused.
 */
#include "internal.h"

#if !LSSB_WEBSOCKET

#define EXECUTE_GRACE_S 10          /* HTTP's time beyond the command's */
#define EXECUTE_TIMEOUT_S 60

static struct lssb_op_state *execute_of(lssb_op *op)
{
    return &op->reserved.state;
}

static void execute_path(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "/execute");
}

/* Seconds that the server gives the command; 0: no end. */
static int32_t execute_timeout(const lssb_run_options *options)
{
    if (options->timeout_s == 0)
        return EXECUTE_TIMEOUT_S;
    return options->timeout_s > 0 ? options->timeout_s : 0;
}

static void execute_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_run_options *options = op->reserved.state.options;
    struct lssb_json_writer json;

    lssb_json_write(&json, to);
    lssb_json_object(&json, NULL);
    lssb_json_string(&json, "command", op->reserved.state.text);
    lssb_json_number(&json, "timeout", execute_timeout(options));
    lssb_json_string(&json, "shell",
                     options->shell != NULL ? options->shell : "/bin/bash");
    lssb_run_put_config(&json, options);
    lssb_json_close(&json);
}

static enum lssb_json_take execute_choose(void *ctx, int depth,
                                           const char *parent,
                                           const char *key)
{
    (void)ctx;
    (void)depth;
    (void)parent;
    if (strcmp(key, "stdout") == 0 || strcmp(key, "stderr") == 0)
        return LSSB_JSON_STREAM;
    return strcmp(key, "exit_code") == 0 ? LSSB_JSON_KEEP : LSSB_JSON_SKIP;
}

/* A slice of output: to the callback, then to the buffer. */
static lssb_status execute_event(lssb_op *op, struct lssb_json *json,
                                  enum lssb_json_event event)
{
    const lssb_run_options *options = execute_of(op)->options;
    lssb_result *result = execute_of(op)->out;
    bool err = strcmp(json->key, "stderr") == 0;
    lssb_take_fn take = err ? options->on_err : options->on_out;
    lssb_status status = LSSB_OK;

    if (event != LSSB_JSON_SLICE)
        return LSSB_OK;
    if (take != NULL)
        status = lssb_call_stopped(
            op, take(options->user, json->slice, json->slice_len));
    if (status != LSSB_OK)
        return status;
    if (err)
        lssb_run_store(options->err, options->err_size, result->err_len,
                       json->slice, json->slice_len, &result->err_cut);
    else
        lssb_run_store(options->out, options->out_size, result->out_len,
                       json->slice, json->slice_len, &result->out_cut);
    *(err ? &result->err_len : &result->out_len) += json->slice_len;
    return LSSB_OK;
}

static const struct lssb_json_member execute_members[] = {
    { "exit_code", LSSB_JSON_I32, (uint16_t)offsetof(lssb_result, exit_code),
      0 }
};

static lssb_status execute_done(lssb_op *op, const char *text, size_t len)
{
    const char *key;

    if (text == NULL || lssb_json_fill(text, len, execute_members, 1,
                                       execute_of(op)->out, &key) != LSSB_OK)
        return lssb_fail(&lssb_call_client(op)->error, LSSB_E_PROTOCOL,
                         LSSB_LAYER_JSON, "run: a JSON object was expected in "
                         "the reply", NULL);
    return LSSB_OK;
}

static const struct lssb_exchange execute_run = {
    .name = "run",
    .method = "POST",
    .retry = LSSB_RETRY_EXECUTE,
    .fresh = true,
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .path = execute_path,
    .body = execute_body,
    .choose = execute_choose,
    .event = execute_event,
    .may_hold = true,
    .done = execute_done
};

/* Milliseconds that one attempt may take. */
static uint32_t execute_ms(const lssb_run_options *options)
{
    uint64_t seconds = (uint64_t)execute_timeout(options);

    if (seconds == 0)
        return LSSB_FOREVER;
    seconds = (seconds + EXECUTE_GRACE_S) * 1000;
    return seconds < LSSB_FOREVER ? (uint32_t)seconds : LSSB_FOREVER - 1;
}

/* Whether an option is asked for that HTTP has no way to say. */
static bool execute_lacks(const lssb_run_options *options)
{
    return options->command_id != NULL || options->idle_timeout_s != 0 ||
           options->keep_s != 0 || options->kill_on_disconnect ||
           options->open_stdin || options->input != NULL || options->pty ||
           options->columns != 0 || options->rows != 0 || options->ssh_agent;
}

lssb_status lssb_run(const lssb_sandbox *box, const char *command,
                     const lssb_run_options *options, lssb_result *result,
                     lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    if (command == NULL || result == NULL)
        return lssb_refuse(box->client, call, "run: ",
                           command == NULL ? "command" : "result", ": NULL",
                           NULL);
    if (options->timeout_s < LSSB_NO_LIMIT)
        return lssb_refuse(box->client, call, "run: timeout_s is negative; "
                           "LSSB_NO_LIMIT switches it off", NULL);
    if (execute_lacks(options))
        return lssb_refuse_as(box->client, call, LSSB_E_UNSUPPORTED,
                              "run: an option of this call needs a build with "
                              "LSSB_WEBSOCKET 1", NULL);
    memset(result, 0, sizeof *result);
    result->exit_code = -1;
    lssb_run_clear(options);
    execute_of(call)->text = command;
    execute_of(call)->options = options;
    execute_of(call)->out = result;
    return lssb_call_go(call, op == NULL, &execute_run, execute_ms(options));
}

void lssb_run_kill(lssb_op *op)
{
    (void)op;                       /* there is no way to say it */
}

/* What the other functions say of this build. */
static lssb_status execute_unsupported(lssb_client *client, lssb_op *op)
{
    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    return lssb_refuse_as(client, op, LSSB_E_UNSUPPORTED, "commands that are "
                          "followed need a build with LSSB_WEBSOCKET 1", NULL);
}

/* The client of a command, or NULL. */
static lssb_client *execute_client(const lssb_command *command)
{
    return command != NULL ? command->client : NULL;
}

lssb_status lssb_command_start(lssb_command *command, const lssb_sandbox *box,
                               const char *text,
                               const lssb_run_options *options, lssb_op *op)
{
    (void)command;
    (void)text;
    (void)options;
    return execute_unsupported(box != NULL ? box->client : NULL, op);
}

lssb_status lssb_command_reattach(lssb_command *command,
                                  const lssb_sandbox *box, const char *id,
                                  uint64_t out_offset, uint64_t err_offset,
                                  const lssb_run_options *options,
                                  lssb_op *op)
{
    (void)command;
    (void)id;
    (void)out_offset;
    (void)err_offset;
    (void)options;
    return execute_unsupported(box != NULL ? box->client : NULL, op);
}

lssb_status lssb_command_next(lssb_command *command, lssb_chunk *chunk,
                              uint32_t wait_ms)
{
    (void)chunk;
    (void)wait_ms;
    return execute_unsupported(execute_client(command), NULL);
}

lssb_status lssb_command_wait(lssb_command *command, lssb_result *result,
                              lssb_op *op)
{
    (void)result;
    return execute_unsupported(execute_client(command), op);
}

lssb_status lssb_command_write(lssb_command *command, const void *bytes,
                               size_t len, size_t *taken, uint32_t wait_ms)
{
    (void)bytes;
    (void)len;
    (void)wait_ms;
    if (taken != NULL)
        *taken = 0;
    return execute_unsupported(execute_client(command), NULL);
}

lssb_status lssb_command_close_stdin(lssb_command *command)
{
    return execute_unsupported(execute_client(command), NULL);
}

lssb_status lssb_command_resize(lssb_command *command, uint32_t columns,
                                uint32_t rows)
{
    (void)columns;
    (void)rows;
    return execute_unsupported(execute_client(command), NULL);
}

lssb_status lssb_command_kill(lssb_command *command)
{
    return execute_unsupported(execute_client(command), NULL);
}

void lssb_post_kill(lssb_command *command)
{
    (void)command;
}

lssb_status lssb_command_agent_write(lssb_command *command,
                                     const char *channel, const void *bytes,
                                     size_t len, size_t *taken,
                                     uint32_t wait_ms)
{
    (void)channel;
    return lssb_command_write(command, bytes, len, taken, wait_ms);
}

lssb_status lssb_command_agent_close(lssb_command *command,
                                     const char *channel, uint32_t wait_ms)
{
    (void)channel;
    (void)wait_ms;
    return execute_unsupported(execute_client(command), NULL);
}

lssb_status lssb_command_close(lssb_command *command, lssb_op *op)
{
    if (command == NULL || command->client == NULL)
        return LSSB_OK;
    return execute_unsupported(command->client, op);
}

#endif
