/* attach.c: clients at commands: the messages of /execute/ws (PROTOCOL 5).
 *
 * SPDX-License-Identifier: MIT
 *
 * A client is sent what the rings hold behind its own two places, as fast as
 * it reads: nothing is stored for it but the messages that are on their way.
 */
#include <stdlib.h>

#include "sandboxd.h"

#define ATTACH_FIRST_MS 60000       /* for the first message */
#define ATTACH_LAST_MS 10000        /* for the client's close, at the end */
#define ATTACH_MEMBERS 4

/* A member of a message that is sent: a text, or a number. */
struct member {
    const char *name;
    const char *text;               /* NULL: a number */
    size_t len;
    int64_t number;
};

/* ----------------------------------------------------------------- sending */

/* Puts one member. */
static void attachment_put(struct lssb_json_writer *json,
                           const struct member *member)
{
    if (member->text != NULL)
        lssb_json_string_n(json, member->name, member->text, member->len);
    else
        lssb_json_number(json, member->name, member->number);
}

/* Puts the members, those that are listed first. */
static void attachment_put_all(struct lssb_json_writer *json,
                               const char *order,
                               const struct member *members, size_t count)
{
    bool put[ATTACH_MEMBERS] = {false, false, false, false};
    size_t i, len;

    lssb_json_object(json, NULL);
    for (; order != NULL && *order != '\0'; order += len) {
        order += strspn(order, ",");
        len = strcspn(order, ",");
        for (i = 0; i < count; i++) {
            if (put[i] || strlen(members[i].name) != len ||
                strncmp(members[i].name, order, len) != 0)
                continue;
            attachment_put(json, &members[i]);
            put[i] = true;
        }
    }
    for (i = 0; i < count; i++) {
        if (!put[i])
            attachment_put(json, &members[i]);
    }
    lssb_json_close(json);
}

/* Sends a message. */
static void attachment_send(struct attachment *client,
                            const struct member *members, size_t count)
{
    const struct fault *fault = client->socket->exchange->fault;
    const char *order = fault != NULL && fault->order != NULL
                            ? fault->order
                            : client->d->settings.member_order;
    struct lssb_writer writer;
    struct lssb_json_writer json;
    size_t size = 256, i;
    char *text;

    for (i = 0; i < count; i++)
        size += 6 * members[i].len + 64;
    text = take(size);
    lssb_writer_start(&writer, text, size, 0);
    lssb_json_write(&json, &writer);
    attachment_put_all(&json, order, members, count);
    if (lssb_json_complete(&json) && writer.wrong == NULL)
        socket_send(client->socket, LSSB_WS_TEXT, text, writer.len);
    free(text);
}

/* A member with a text. */
static struct member text_member(const char *name, const char *text)
{
    struct member member = {name, text, strlen(text), 0};

    return member;
}

/* A member with a number. */
static struct member number_member(const char *name, int64_t number)
{
    struct member member = {name, NULL, 0, number};

    return member;
}

/* The last message has been sent: the client closes, or it is closed. */
static void attachment_end(struct attachment *client)
{
    client->ended = true;
    loop_at(&client->d->loop, &client->timer, now_ms() + ATTACH_LAST_MS);
}

/* Sends an error: the stream ends with it. */
static void attachment_error(struct attachment *client, const char *type,
                             const char *text)
{
    struct bytes clean = {0};
    struct member members[3];

    clean_utf8(&clean, text, strlen(text));
    members[0] = text_member("type", "error");
    members[1] = text_member("error_type", type);
    members[2] = text_member("error", clean.at);
    attachment_send(client, members, 3);
    bytes_free(&clean);
    attachment_end(client);
}

/* Sends a piece of one output; whether there was one. */
static bool attachment_slice(struct attachment *client, bool is_err)
{
    const struct session *session = client->session;
    const struct ring *ring = is_err ? &session->err : &session->out;
    uint64_t *at = is_err ? &client->err_at : &client->out_at;
    struct bytes text = {0};
    struct member members[3];
    size_t used;

    if (*at >= ring->to)
        return false;
    used = ring_text(ring, at, (size_t)client->d->settings.message_bytes,
                     session->over, &text);
    members[0] = text_member("type", is_err ? "stderr" : "stdout");
    members[1].name = "data";
    members[1].text = text.at;
    members[1].len = text.len;
    members[2] = number_member("offset", (int64_t)*at);
    *at += used;
    if (used > 0)
        attachment_send(client, members, 3);
    bytes_free(&text);
    return used > 0;
}

/* Sends how the command ended. */
static void attachment_outcome(struct attachment *client)
{
    const struct session *session = client->session;
    struct member members[2];

    if (session->timed_out) {
        attachment_error(client, "CommandTimeout", "the command timed out");
        return;
    }
    members[0] = text_member("type", "exit");
    members[1] = number_member("exit_code", session->exit_code);
    attachment_send(client, members, 2);
    attachment_end(client);
}

/* Sends what there is, as far as there is room: the outputs by turns, the end
 * behind all of them. */
void attachment_pump(struct attachment *client)
{
    bool more = true, progress = false;

    while (more && !client->ended && client->session != NULL &&
           client->started && socket_room(client->socket) > 0) {
        more = attachment_slice(client, false);
        more = attachment_slice(client, true) || more;
        progress = progress || more;
        if (!more && client->session->over)
            attachment_outcome(client);
    }
    if (progress && !more)
        client->late = false;       /* it has all that there is */
    if (progress)
        session_flow(client->session, true);
}

/* Sends bytes of an agent's channel. */
void attachment_agent(struct attachment *client, const char *channel,
                      const void *bytes, size_t len)
{
    struct lssb_writer writer;
    struct member members[3];
    char *text = take(len / 3 * 4 + 8);

    lssb_writer_start(&writer, text, len / 3 * 4 + 8, 0);
    lssb_put_base64(&writer, bytes, len);
    members[0] = text_member("type", len > 0 ? "ssh_agent_data"
                                             : "ssh_agent_close");
    members[1] = text_member("channel_id", channel);
    members[2].name = "data";
    members[2].text = text;
    members[2].len = writer.len;
    attachment_send(client, members, len > 0 ? 3 : 2);
    free(text);
}

/* --------------------------------------------------------------- receiving */

/* The text of a string, which may hold NULs, taken; NULL when it is none. */
static char *attachment_text(struct value value, size_t *len)
{
    char *text;

    if (!value_is(value, '"'))
        return NULL;
    text = take(value.len * 2 + 4);
    *len = lssb_json_decode(value.at, value.len, text, value.len * 2 + 4);
    if (*len != SIZE_MAX)
        return text;
    free(text);
    return NULL;
}

/* Holds input for a command that is not there yet. */
static void attachment_hold(struct attachment *client, const char *text,
                            size_t len)
{
    if (client->held_end)
        return;
    if (client->held.len + len > client->d->settings.max_message)
        attachment_error(client, "CommandError",
                         "too much input before execute");
    else
        bytes_add(&client->held, text, len);
}

/* Input: for the command, or held until there is one. While the command does
 * not read, no more is taken from the client. */
static void attachment_input(struct attachment *client, struct value body)
{
    struct session *session = client->session;
    size_t len;
    char *text = attachment_text(value_get(body, "data"), &len);

    if (text != NULL && session == NULL)
        attachment_hold(client, text, len);
    if (text != NULL && session != NULL && session->command != NULL) {
        command_write(session->command, text, len);
        if (command_unwritten(session->command) > SESSION_INPUT)
            socket_pause(client->socket, true);
    }
    free(text);
}

/* The command reads again, or is over. */
void attachment_resume(struct attachment *client)
{
    socket_pause(client->socket, false);
}

/* The end of the input. */
static void attachment_end_input(struct attachment *client)
{
    if (client->session == NULL)
        client->held_end = true;
    else if (client->session->command != NULL)
        command_end_input(client->session->command);
}

/* Kill. */
static void attachment_kill(struct attachment *client)
{
    if (client->session == NULL)
        client->held_kill = true;
    else if (client->session->command != NULL)
        command_kill(client->session->command);
}

/* Does what came before the first message. */
static void attachment_unhold(struct attachment *client)
{
    struct command *command = client->session->command;

    if (command != NULL && client->held.len > 0)
        command_write(command, client->held.at, client->held.len);
    if (command != NULL && client->held_end)
        command_end_input(command);
    if (command != NULL && client->held_kill)
        command_kill(command);
    bytes_free(&client->held);
}

/* Sends `started`, and all that there is. */
static void attachment_started(struct attachment *client)
{
    const struct fault *fault = client->socket->exchange->fault;
    struct session *session = client->session;
    struct member members[3];

    if (fault != NULL && fault->drop > 0) {
        ring_drop(&session->out, (uint64_t)fault->drop);
        ring_drop(&session->err, (uint64_t)fault->drop);
    }
    loop_cancel(&client->d->loop, &client->timer);
    members[0] = text_member("type", "started");
    members[1] = text_member("command_id", session->id);
    members[2] = number_member("pid", session->pid);
    attachment_send(client, members, 3);
    client->started = true;
    attachment_unhold(client);
    attachment_pump(client);
}

/* Answers for a session that is none, or none any more. */
static void attachment_missing(struct attachment *client, const char *id)
{
    bool gone = session_is_gone(client->d, client->box_id, id) ||
                session_find(client->d, client->box_id, id) != NULL;
    char *text = take_format("%s: %s",
                             gone ? "Session expired" : "Command not found",
                             id);

    attachment_error(client, gone ? "SessionExpired" : "CommandNotFound",
                     text);
    free(text);
}

/* execute: a new command, or the one that has this id. */
static void attachment_execute(struct attachment *client, struct value body)
{
    struct sandboxd *d = client->d;
    struct box *box = box_find(d, client->box_id);
    struct value given = value_get(body, "command_id");
    char *id = value_text(given), *why = NULL, made[37];
    struct session *session;

    make_uuid(made);
    if (id == NULL && value_is_null(given))
        id = take_copy(made);
    session = id == NULL ? NULL : session_find(d, client->box_id, id);
    if (id == NULL) {
        attachment_error(client, "CommandError", "command_id is no string");
    } else if (session != NULL ? session->expired
                               : session_is_gone(d, client->box_id, id)) {
        attachment_missing(client, id);
    } else if (session == NULL && (box == NULL || box->status != BOX_READY)) {
        attachment_error(client, "CommandError", "the sandbox is not ready");
    } else {
        if (session == NULL)
            session = session_start(box, id, body, &why);
        if (session != NULL) {
            session_attach(session, client);
            attachment_started(client);
        } else {
            attachment_error(client, "CommandError", why);
        }
    }
    free(why);
    free(id);
}

/* An offset: 0 when it is missing or none, the end when it lies beyond. */
static uint64_t attachment_offset(struct value body, const char *name,
                                  const struct ring *ring)
{
    int64_t number = 0;

    if (!value_integer(value_get(body, name), &number) || number < 0)
        return 0;
    return (uint64_t)number < ring->to ? (uint64_t)number : ring->to;
}

/* reconnect. */
static void attachment_reconnect(struct attachment *client, struct value body)
{
    char *id = value_text(value_get(body, "command_id"));
    struct session *session =
        id == NULL ? NULL : session_find(client->d, client->box_id, id);

    if (session == NULL || session->expired) {
        attachment_missing(client, id == NULL ? "" : id);
    } else {
        client->out_at =
            attachment_offset(body, "stdout_offset", &session->out);
        client->err_at =
            attachment_offset(body, "stderr_offset", &session->err);
        session_attach(session, client);
        attachment_started(client);
    }
    free(id);
}

/* execute, reconnect: once per connection. */
static void attachment_first(struct attachment *client, struct value body,
                             bool again)
{
    if (client->session != NULL || client->ended)
        attachment_error(client, "CommandError",
                         "this connection has its command");
    else if (again)
        attachment_reconnect(client, body);
    else
        attachment_execute(client, body);
}

/* resize. */
static void attachment_resize(struct attachment *client, struct value body)
{
    int64_t cols, rows;

    if (client->session != NULL && client->session->command != NULL &&
        value_integer(value_get(body, "cols"), &cols) &&
        value_integer(value_get(body, "rows"), &rows) && cols > 0 &&
        cols <= 65535 && rows > 0 && rows <= 65535)
        command_resize(client->session->command, (uint16_t)cols,
                       (uint16_t)rows);
}

/* A message has come whole. Types that are not known are ignored. */
static void attachment_message(struct attachment *client, struct value body)
{
    char *type = value_text(value_get(body, "type"));

    if (type == NULL)
        attachment_error(client, "CommandError", "a message has no type");
    else if (strcmp(type, "execute") == 0 || strcmp(type, "reconnect") == 0)
        attachment_first(client, body, type[0] == 'r');
    else if (strcmp(type, "input") == 0)
        attachment_input(client, body);
    else if (strcmp(type, "close_stdin") == 0)
        attachment_end_input(client);
    else if (strcmp(type, "kill") == 0)
        attachment_kill(client);
    else if (strcmp(type, "resize") == 0)
        attachment_resize(client, body);
    else if (strcmp(type, "ssh_agent_data") == 0 ||
             strcmp(type, "ssh_agent_close") == 0)
        agent_message(client, body, type[10] == 'c');
    free(type);
}

/* A piece of a message has come. */
static void attachment_piece(struct websocket *socket, const uint8_t *bytes,
                             size_t len, bool ends)
{
    struct attachment *client = socket->owner;
    const char *wrong;
    struct value body;

    if (client->ended)
        return;
    if (client->message.len + len > client->d->settings.max_message) {
        attachment_error(client, "CommandError", "a message is too long");
        bytes_free(&client->message);
        return;
    }
    bytes_add(&client->message, bytes, len);
    if (!ends)
        return;
    body.at = client->message.at;
    body.len = client->message.len;
    wrong = value_check(body.at, body.len);
    if (wrong != NULL) {
        attachment_error(client, "CommandError",
                         "a message is no JSON object");
    } else {
        while (*body.at != '{') {
            body.at++;
            body.len--;
        }
        attachment_message(client, body);
    }
    bytes_free(&client->message);
}

/* --------------------------------------------------------------- beginning */

/* There is room. */
static void attachment_room(struct websocket *socket)
{
    struct attachment *client = socket->owner;

    attachment_pump(client);
    if (client->session != NULL)
        agent_room(client->session, client);
}

/* Frees a client that has left. */
static void attachment_free(struct attachment *client)
{
    if (client->session != NULL)
        session_detach(client->session, client);
    loop_cancel(&client->d->loop, &client->timer);
    bytes_free(&client->message);
    bytes_free(&client->held);
    free(client->box_id);
    free(client);
}

/* The client has left. */
static void attachment_over(struct websocket *socket)
{
    attachment_free(socket->owner);
}

/* The client has said nothing yet, or has not closed behind the end. */
static void attachment_late(struct timer *timer)
{
    struct attachment *client = timer->owner;

    if (client->ended)
        socket_close(client->socket, LSSB_WS_NORMAL, NULL);
    else
        socket_close(client->socket, 1008, "no execute has come");
    attachment_free(client);
}

/* GET …/execute/ws */
void attachment_start(struct exchange *exchange, struct box *box)
{
    struct websocket *socket = socket_accept(exchange);
    struct attachment *client;

    if (socket == NULL)
        return;
    client = take(sizeof *client);
    client->d = exchange->d;
    client->socket = socket;
    client->box_id = take_copy(box->id);
    client->timer.owner = client;
    client->timer.fire = attachment_late;
    loop_at(&client->d->loop, &client->timer, now_ms() + ATTACH_FIRST_MS);
    socket->owner = client;
    socket->on_piece = attachment_piece;
    socket->on_room = attachment_room;
    socket->on_over = attachment_over;
    socket_begin(socket);
}
