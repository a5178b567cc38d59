/* command.c: commands that are followed over a WebSocket (protocol 5).
 *
 * SPDX-License-Identifier: MIT
 *
 * A command in the box outlives its connections. Here it is an operation that
 * keeps its slot: it opens a WebSocket, sends `execute`, and once `started`
 * has come it follows the output; when the connection is lost it opens another
 * one and sends `reconnect` from where the output stopped. lssb_run is such an
 * operation; an lssb_command has one inside, its carrier.
 */
#include "command.h"

#if LSSB_WEBSOCKET

/* What all operations that follow a command do on their connection. */
#define COMMAND_FOLLOWS \
    .method = "GET", \
    .meaning = LSSB_MEANING_DATAPLANE, \
    .dataplane = true, \
    .upgrade = true, \
    .path = lssb_command_path, \
    .headers = lssb_upgrade_headers, \
    .header = lssb_upgrade_header, \
    .head = lssb_command_head, \
    .done = lssb_command_upgraded, \
    .failed = lssb_command_refused, \
    .watch = lssb_command_watch, \
    .step = lssb_command_step, \
    .waits = lssb_command_waits, \
    .lost = lssb_command_lost

/* -------------------------------------------------------------- beginning */

/* Makes up an id: a UUIDv7 (RFC 9562 5.7). */
static lssb_status command_make_id(lssb_client *client, char *id)
{
    static const char digits[] = "0123456789abcdef";
    int64_t seconds = client->port->wall_s(client->port_context);
    uint64_t ms = client->port->now_ms(client->port_context) % 1000;
    uint8_t bytes[16];
    size_t i, at = 0;

    if (client->port->random(client->port_context, bytes, sizeof bytes) !=
        LSSB_IO_OK)
        return LSSB_E_UNSUPPORTED;
    ms += seconds > 0 ? (uint64_t)seconds * 1000 : 0;
    for (i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0F));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3F));
    for (i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            id[at++] = '-';
        id[at++] = digits[bytes[i] >> 4];
        id[at++] = digits[bytes[i] & 15];
    }
    id[at] = '\0';
    return LSSB_OK;
}

/* NULL, or what is wrong with what concerns stdin. */
static const char *command_wrong_input(const lssb_run_options *options)
{
    if (options->input == NULL && options->input_len > 0)
        return "input: NULL, but input_len is not 0";
    if (options->input != NULL && options->open_stdin)
        return "input is all of stdin: it excludes open_stdin";
    if (options->input != NULL &&
        lssb_utf8_valid(options->input, options->input_len) !=
            options->input_len)
        return "input: it is not UTF-8, which is all that stdin takes; upload "
               "a file and redirect from it";
    if ((options->columns == 0) != (options->rows == 0))
        return "columns and rows: one of them is 0";
    if (options->columns > 0 && !options->pty)
        return "columns and rows: there is no pty";
    if (options->columns > 65535 || options->rows > 65535)
        return "columns and rows: more than 65,535";
    if (options->ssh_agent && options->on_agent == NULL)
        return "ssh_agent: on_agent is NULL";
    return NULL;
}

/* NULL, or what is wrong with the options. */
static const char *command_wrong(const lssb_run_options *options)
{
    if (options->timeout_s < LSSB_NO_LIMIT)
        return "timeout_s is negative; LSSB_NO_LIMIT switches it off";
    if (options->idle_timeout_s < LSSB_NEVER)
        return "idle_timeout_s is negative; LSSB_NEVER switches it off";
    if (options->keep_s < LSSB_NEVER)
        return "keep_s is negative; LSSB_NEVER keeps it for good";
    if (options->env == NULL && options->env_count > 0)
        return "env: NULL, but env_count is not 0";
    if (options->command_id != NULL &&
        (options->command_id[0] == '\0' ||
         strlen(options->command_id) >= LSSB_ID_SIZE))
        return "command_id: 1 to 63 bytes were expected";
    return command_wrong_input(options);
}

/* NULL, or what is wrong with a command and its options, and with which member
 * of the message that carries them ("": `wrong` says all). */
static const char *command_wrong_start(const char *text,
                                       const lssb_run_options *options,
                                       const char **name)
{
    const char *wrong = command_wrong(options);
    struct lssb_json_writer json;
    struct lssb_writer to;

    *name = "";
    if (wrong != NULL)
        return wrong;
    if ((text == NULL || text[0] == '\0') && !options->pty)
        return text == NULL ? "the command is NULL, and there is no pty"
                            : "the command is empty, and there is no pty";
    lssb_writer_start(&to, NULL, 0, 0);
    lssb_json_write(&json, &to);
    lssb_json_object(&json, NULL);
    lssb_command_put_execute(
        &json, options->command_id != NULL ? options->command_id : "", text,
        options);
    lssb_json_close(&json);
    if (to.wrong != NULL && to.wrong_name != NULL)
        *name = to.wrong_name;
    return to.wrong;
}

/* Fills in a command that is about to be started or found. */
static void command_prepare(lssb_command *command, lssb_client *client,
                            const lssb_sandbox *box, const char *text,
                            const lssb_run_options *options)
{
    struct lssb_command_state *state = &command->reserved.state;

    memset(command, 0, sizeof *command);
    command->client = client;
    command->pid = LSSB_UNKNOWN;
    command->exit_code = -1;
    command->status = LSSB_PENDING;
    state->box = box;
    state->text = text;
    state->options = options;
    state->streams[0].fresh = true;
    state->streams[1].fresh = true;
    state->columns = options->columns;
    state->rows = options->rows;
    if (options->columns > 0)
        state->flags |= COMMAND_RESIZE;
    if (options->pty)
        state->flags |= COMMAND_PTY | COMMAND_INPUT_OPEN;
    if (options->open_stdin)
        state->flags |= COMMAND_INPUT_OPEN;
    if (options->input != NULL && !options->pty)
        state->flags |= COMMAND_END_INPUT;
    if (options->on_out != NULL || options->on_err != NULL ||
        options->out != NULL || options->err != NULL)
        state->flags |= COMMAND_PUSH;
    lssb_run_clear(options);
}

/* The caller's id, or one of ours. */
static lssb_status command_choose_id(lssb_command *command)
{
    const char *id = command->reserved.state.options->command_id;

    if (id == NULL)
        return command_make_id(command->client, command->id);
    lssb_copy(command->id, sizeof command->id, id, strlen(id));
    return LSSB_OK;
}

/* The time to start a command begins when there is a connection for it. */
static void command_open_until(lssb_op *op)
{
    struct lssb_command_state *state = lssb_command_state_of(op);
    uint32_t ms = state->options->open_ms;

    if (ms == 0)
        ms = COMMAND_OPEN_MS;
    state->open_end_at =
        ms == LSSB_FOREVER ? 0 : lssb_call_client(op)->now + ms;
    op->reserved.state.attempt_ms =
        ms < LSSB_UPGRADE_ATTEMPT_MS ? ms : LSSB_UPGRADE_ATTEMPT_MS;
}

/* What came of a command, for whoever waits. */
void lssb_command_result(const lssb_command *command, lssb_result *result)
{
    const struct lssb_command_state *state = &command->reserved.state;

    result->exit_code = command->exit_code;
    result->out_len = state->len[0];
    result->err_len = state->len[1];
    result->out_cut = state->cut[0];
    result->err_cut = state->cut[1];
    memcpy(result->command_id, command->id, sizeof result->command_id);
    result->out_offset = command->out_offset;
    result->err_offset = command->err_offset;
    result->out_lost = command->out_lost;
    result->err_lost = command->err_lost;
    result->reattached = command->reattached;
    result->input_uncertain = command->input_uncertain;
}

/* ------------------------------------------------------------ lssb_run */

/* Its command lives in the slot. */
static lssb_status command_run_taken(lssb_op *op)
{
    lssb_command *command = &lssb_call_slot(op)->own.command;
    lssb_result *result = op->reserved.state.out;

    command_prepare(command, lssb_call_client(op), op->reserved.state.box,
                    op->reserved.state.text, op->reserved.state.options);
    command->reserved.state.flags |= COMMAND_PUSH;
    op->reserved.state.extra = command;
    if (command_choose_id(command) != LSSB_OK)
        return lssb_command_fail(
            op, LSSB_E_UNSUPPORTED, LSSB_LAYER_CLIENT,
            "the port has no random bytes for a command id", NULL);
    memcpy(result->command_id, command->id, sizeof command->id);
    command_open_until(op);
    return LSSB_OK;
}

static void command_run_ended(lssb_op *op, lssb_status outcome)
{
    (void)outcome;
    if (lssb_command_of(op) == NULL)
        return;
    lssb_command_farewell(op);
    lssb_command_result(lssb_command_of(op), op->reserved.state.out);
}

static const struct lssb_exchange command_run = {
    .name = "run",
    COMMAND_FOLLOWS,
    .fresh = true,
    .taken = command_run_taken,
    .ended = command_run_ended
};

/* Milliseconds that all of it may take. */
static uint32_t command_whole_ms(const lssb_run_options *options)
{
    uint64_t ms = options->open_ms != 0 ? options->open_ms : COMMAND_OPEN_MS;

    if (options->timeout_s < 0 || options->open_ms == LSSB_FOREVER)
        return LSSB_FOREVER;
    ms += COMMAND_GRACE_MS +
          UINT64_C(1000) * (uint64_t)lssb_command_seconds(options->timeout_s,
                                                          COMMAND_TIMEOUT_S, 0);
    return ms < LSSB_FOREVER ? (uint32_t)ms : LSSB_FOREVER - 1;
}

lssb_status lssb_run(const lssb_sandbox *box, const char *command,
                     const lssb_run_options *options, lssb_result *result,
                     lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong, *name;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    if (result != NULL)
        memset(result, 0, sizeof *result);
    lssb_run_clear(options);
    wrong = command_wrong_start(command, options, &name);
    if (wrong == NULL && options->open_stdin)
        wrong = "open_stdin: there is nobody to write; use "
                "lssb_command_start";
    if (wrong == NULL && result == NULL)
        wrong = "result: NULL";
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "run: ", name,
                           name[0] != '\0' ? ": " : "", wrong, NULL);
    result->exit_code = -1;
    call->reserved.state.text = command;
    call->reserved.state.options = options;
    call->reserved.state.out = result;
    return lssb_call_go(call, op == NULL, &command_run,
                        command_whole_ms(options));
}

void lssb_run_kill(lssb_op *op)
{
    if (op->status == LSSB_PENDING && lssb_command_of(op) != NULL)
        lssb_command_state_of(op)->flags |= COMMAND_KILL;
}

/* -------------------------------------------------------- lssb_command */

static lssb_status command_start_taken(lssb_op *op)
{
    if (lssb_command_state_of(op)->phase == COMMAND_OPENING)
        command_open_until(op);
    else
        op->reserved.state.attempt_ms = LSSB_UPGRADE_ATTEMPT_MS;
    return LSSB_OK;
}

/* Ends the wait for a command whose outcome is known. */
void lssb_command_waited(lssb_op *op, lssb_status outcome)
{
    if (outcome == LSSB_END)
        outcome = lssb_fail(&lssb_call_client(op)->error, LSSB_E_CANCELED,
                            LSSB_LAYER_CALLER,
                            "wait for command: the command was let go of",
                            NULL);
    lssb_call_finish(op, outcome);
}

/* Tells whoever waits for the end of a command. */
static void command_tell_waiter(lssb_command *command, lssb_status outcome)
{
    lssb_op *waiter = command->reserved.state.waiter;

    command->client->at_once = true;
    if (waiter == NULL)
        return;
    if (waiter->reserved.state.out != NULL)
        lssb_command_result(command, waiter->reserved.state.out);
    lssb_command_waited(waiter, outcome);
}

/* It has started, or will not. */
static void command_start_ended(lssb_op *op, lssb_status outcome)
{
    lssb_command *command = lssb_command_of(op);
    const lssb_run_options *options = command->reserved.state.options;

    command->reserved.state.starter = NULL;
    if (outcome == LSSB_OK)
        return;
    if (options->error != NULL)
        *options->error = lssb_call_client(op)->error;
    lssb_command_farewell(op);
    command->attached = false;
    command->status = outcome;
    command_tell_waiter(command, outcome);
    if (lssb_call_client(op)->closing)
        command->client = NULL;     /* which is about to go */
}

static const struct lssb_exchange command_start = {
    .name = "start command",
    COMMAND_FOLLOWS,
    .fresh = true,
    .taken = command_start_taken,
    .ended = command_start_ended
};

static const struct lssb_exchange command_reattach = {
    .name = "reattach",
    COMMAND_FOLLOWS,
    .fresh = true,
    .taken = command_start_taken,
    .ended = command_start_ended
};

/* It has ended, or is followed no longer. */
static void command_carrier_ended(lssb_op *op, lssb_status outcome)
{
    lssb_command *command = lssb_command_of(op);

    lssb_command_farewell(op);
    command->attached = false;
    command->status = outcome;
    command->reserved.state.flags &= ~COMMAND_READY;
    command_tell_waiter(command, outcome);
    if (lssb_call_client(op)->closing)
        command->client = NULL;     /* which is about to go */
}

const struct lssb_exchange lssb_command_carrier = {
    .name = "command",
    COMMAND_FOLLOWS,
    .ended = command_carrier_ended
};

/* Whether a command's struct is in use. */
bool lssb_command_in_use(const lssb_command *command)
{
    return command->reserved.state.starter != NULL ||
           command->reserved.state.carrier.status == LSSB_PENDING;
}

/* The struct is a command's that has not ended, or is not all zeros. */
static lssb_status command_busy(lssb_op *call)
{
    return lssb_refuse_as(lssb_call_client(call), call, LSSB_E_BUSY,
                          "command: the struct is in use: close it first, or "
                          "make it all zeros", NULL);
}

/* Begins a call that starts or finds a command. */
static lssb_status command_go(lssb_command *command, const lssb_sandbox *box,
                              lssb_op *call, bool wait)
{
    lssb_status status;

    call->reserved.state.box = box;
    call->reserved.state.extra = command;
    command->reserved.state.flags |= COMMAND_HELD;
    command->reserved.state.starter = call;
    status = lssb_call_go(call, wait,
                          command->reserved.state.phase == COMMAND_ATTACHING
                              ? &command_reattach
                              : &command_start,
                          LSSB_FOREVER);
    if (status != LSSB_PENDING && command->status == LSSB_PENDING &&
        command->reserved.state.starter != NULL) {
        if (command->reserved.state.options->error != NULL)
            *command->reserved.state.options->error = box->client->error;
        command->reserved.state.starter = NULL; /* it never began */
        command->status = status;
    }
    return status;
}

lssb_status lssb_command_start(lssb_command *command, const lssb_sandbox *box,
                               const char *text,
                               const lssb_run_options *options, lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong, *name;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = command_wrong_start(text, options, &name);
    if (command == NULL) {
        name = "";
        wrong = "command: NULL";
    }
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "start command: ", name,
                           name[0] != '\0' ? ": " : "", wrong, NULL);
    if (lssb_command_in_use(command))
        return command_busy(call);
    command_prepare(command, box->client, box, text, options);
    if (command_choose_id(command) != LSSB_OK)
        return lssb_refuse(box->client, call,
                           "start command: the port has no "
                           "random bytes for a command id",
                           NULL);
    return command_go(command, box, call, op == NULL);
}

lssb_status lssb_command_reattach(lssb_command *command,
                                  const lssb_sandbox *box, const char *id,
                                  uint64_t out_offset, uint64_t err_offset,
                                  const lssb_run_options *options, lssb_op *op)
{
    static const lssb_run_options defaults;
    lssb_status status;
    lssb_op own, *call = lssb_sandbox_begin(box, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    if (options == NULL)
        options = &defaults;
    wrong = command_wrong(options);
    if (wrong == NULL && options->input != NULL)
        wrong = "input is for the start of a command; write to it instead";
    if (wrong == NULL && (out_offset > INT64_MAX || err_offset > INT64_MAX))
        wrong = "an offset is larger than 2^63-1";
    if (id == NULL || id[0] == '\0' || strlen(id) >= LSSB_ID_SIZE ||
        lssb_utf8_valid(id, strlen(id)) != strlen(id))
        wrong = "id: 1 to 63 bytes of UTF-8 were expected";
    if (command == NULL)
        wrong = "command: NULL";
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "reattach: ", wrong, NULL);
    if (lssb_command_in_use(command))
        return command_busy(call);
    command_prepare(command, box->client, box, NULL, options);
    lssb_copy(command->id, sizeof command->id, id, strlen(id));
    command->out_offset = out_offset;
    command->err_offset = err_offset;
    command->reserved.state.streams[0].anchor = out_offset;
    command->reserved.state.streams[1].anchor = err_offset;
    command->reserved.state.phase = COMMAND_ATTACHING;
    command->reserved.state.flags |= COMMAND_REATTACH;
    return command_go(command, box, call, op == NULL);
}

#endif
