/* scripted_ws.h: the server's side of commands over a WebSocket (protocol 5),
 * behind the scripted port.
 *
 * SPDX-License-Identifier: MIT
 *
 * Two servers. One plays a leg, a script of lines, on each connection in turn,
 * and writes down all that the client says. The other one is a model: commands
 * that run by themselves, with ring buffers, found again by their id; at /echo
 * it says what it is told.
 *
 * The lines of a leg, each with its "\n":
 *
 *     {...}             a text message
 *     @hear             goes on when the client has said one more message; the
 *                       first one is waited for anyway
 *     @now              at the very beginning: does not wait for it
 *     @wait MS          goes on after that time
 *     @binary {...}     the same message, as binary
 *     @split N {...}    in fragments of N bytes, with pings between them
 *     @long S O N       N bytes of output in one message: stream S, offset O
 *     @late S O N       the same with the type and the offset behind the data
 *     @middle S O N     the same with the offset alone behind the data
 *     @ping TEXT        a ping; @pong TEXT a pong
 *     @raw HEX          bytes
 *     @close CODE WHY   a close frame; 0: without a code
 *     @deaf             answers neither pings nor a close from here on
 *     @end              the end of the stream; @reset: a reset
 *
 * A leg that begins with a capital letter is what the server sends instead of
 * an upgrade, and the end; "@accept" is a 101 with a wrong
 * Sec-WebSocket-Accept; "@gone" the end without a reply, "@cut" a reset;
 * "@mute" nothing, ever.
 */
#ifndef SCRIPTED_WS_H
#define SCRIPTED_WS_H

#include "../src/internal.h"
#include "scripted.h"

/* ----------------------------------------------------------- connections -- */

#define PEERS SCRIPT_HANDLES
#define PEER_MESSAGE (64 * 1024)
#define PEER_SAID (64 * 1024)

struct peer {
    bool used;
    struct script_handle *handle;
    struct lssb_ws ws;
    unsigned number;                /* of the connection, from 1 on */
    char *message;                  /* that arrives */
    size_t message_len;
    unsigned heard;                 /* messages */
    uint8_t *put;                   /* that is to go */
    size_t put_len, put_at, put_size;
    bool over;                      /* after that: the end, or a reset */
    bool reset;
    bool deaf;
    bool closed;                    /* a close frame went out */

    const char *at;                 /* leg: the next line */
    unsigned hears;                 /* messages that it waits for */
    uint64_t until;                 /* time that it waits for */

    struct model_command *command;  /* model */
    size_t sent[2];
    bool greeted, exit_sent;

    bool echoes;                    /* says again what it is told */
};

static struct peers {
    struct peer peers[PEERS];
    unsigned count;                 /* connections that asked for an upgrade */
    const char *const *legs;
    size_t leg_count;
    bool model;
    char said[PEER_SAID];           /* by the client */
    size_t said_len;
    uint64_t began[32];             /* when each of them asked */
    uint64_t largest_frame;
    unsigned pings, pongs;          /* of the client's */
} peers;

/* Adds to what the client has said. */
static void peer_note(const char *text, size_t len)
{
    if (peers.said_len + len + 1 > sizeof peers.said)
        return;
    memcpy(peers.said + peers.said_len, text, len);
    peers.said_len += len;
    peers.said[peers.said_len] = '\0';
}

static void peer_put(struct peer *peer, const void *bytes, size_t len)
{
    if (peer->put_at == peer->put_len)
        peer->put_at = peer->put_len = 0;
    if (peer->put_len + len > peer->put_size) {
        peer->put_size = 2 * (peer->put_len + len);
        peer->put = realloc(peer->put, peer->put_size);
    }
    memcpy(peer->put + peer->put_len, bytes, len);
    peer->put_len += len;
}

static void peer_frame(struct peer *peer, enum lssb_ws_opcode opcode, bool fin,
                       const void *payload, size_t len)
{
    uint8_t head[LSSB_WS_HEADER];
    size_t n = lssb_ws_head(head, opcode, fin, len, NULL);

    peer_put(peer, head, n);
    if (len > 0)
        peer_put(peer, payload, len);
}

static void peer_text(struct peer *peer, const char *text)
{
    peer_frame(peer, LSSB_WS_TEXT, true, text, strlen(text));
}

static void peer_close(struct peer *peer, unsigned code, const char *why)
{
    uint8_t payload[LSSB_WS_CONTROL];
    size_t len = 0;

    if (code != 0)
        len = lssb_ws_close_payload(payload, (uint16_t)code, why);
    peer_frame(peer, LSSB_WS_CLOSE, true, payload, len);
    peer->closed = true;
}

/* A control frame of the client's. */
static void peer_control(struct peer *peer)
{
    char line[64];

    if (peer->ws.opcode == LSSB_WS_PING) {
        peers.pings++;
        if (!peer->deaf)
            peer_frame(peer, LSSB_WS_PONG, true, peer->ws.data,
                       peer->ws.data_len);
    } else if (peer->ws.opcode == LSSB_WS_PONG) {
        peers.pongs++;
    } else {
        peer_note(line, (size_t)sprintf(line, "close %u\n",
                                        (unsigned)peer->ws.code));
        if (peer->deaf)
            return;
        if (!peer->closed)
            peer_close(peer, peer->ws.code, NULL);
        peer->over = true;
    }
}

static void model_message(struct peer *peer);

/* A whole message of the client's. */
static void peer_message(struct peer *peer)
{
    peer->message[peer->message_len] = '\0';
    peer->heard++;
    peer_note(peer->message, peer->message_len);
    peer_note("\n", 1);
    if (peer->echoes)
        peer_frame(peer, LSSB_WS_TEXT, true, peer->message, peer->message_len);
    else if (peers.model)
        model_message(peer);
    peer->message_len = 0;
}

/* Takes a byte that follows the upgrade. */
static void peer_hear(struct script_handle *handle, uint8_t byte)
{
    struct peer *peer = handle->peer;
    size_t used;
    enum lssb_ws_event event;

    if (peer->over)
        return;
    event = lssb_ws_next(&peer->ws, &byte, 1, &used);
    if (peer->ws.own.left > peers.largest_frame)
        peers.largest_frame = peer->ws.own.left;
    if (event == LSSB_WS_PIECE) {
        EXPECT(peer->ws.opcode == LSSB_WS_TEXT);
        if (peer->message_len + peer->ws.data_len >= PEER_MESSAGE)
            script_stuck("a message is too large");
        memcpy(peer->message + peer->message_len, peer->ws.data,
               peer->ws.data_len);
        peer->message_len += peer->ws.data_len;
        if (peer->ws.ends)
            peer_message(peer);
    } else if (event == LSSB_WS_CONTROL_FRAME) {
        peer_control(peer);
    } else if (event == LSSB_WS_WRONG) {
        printf("  the client broke WebSocket: %s\n", peer->ws.wrong);
        test_failures++;
        peer->over = true;
    }
}

static void peer_gone(struct script_handle *handle)
{
    struct peer *peer = handle->peer;

    free(peer->message);
    free(peer->put);
    peer->used = false;
    handle->peer = NULL;
}

static void peer_play(struct peer *peer);
static void model_play(struct peer *peer);

/* Puts what there is by now on its way. */
static void peer_refill(struct script_handle *handle)
{
    struct peer *peer = handle->peer;
    size_t len;

    handle->next_at = SCRIPT_NEVER;
    if (peer->put_at == peer->put_len && !peer->over && !peer->echoes) {
        if (peers.model)
            model_play(peer);
        else
            peer_play(peer);
    }
    len = peer->put_len - peer->put_at;
    if (len > SCRIPT_BUFFER / 2)
        len = SCRIPT_BUFFER / 2;
    handle->out_at = handle->out_len = 0;
    if (len > 0)
        script_out(handle, (const char *)peer->put + peer->put_at, len);
    peer->put_at += len;
    if (peer->over && peer->put_at == peer->put_len) {
        handle->broken = peer->reset;
        handle->ended = !peer->reset;
    }
}

/* The 101 that answers the request in script.head. */
static void peer_accept(struct script_handle *handle, bool right)
{
    char key[64], accept[LSSB_WS_ACCEPT_SIZE], reply[256];
    const char *at = strstr(script.head, "\r\nSec-WebSocket-Key: ");
    size_t i;

    for (i = 0; at != NULL && i + 1 < sizeof key && at[21 + i] != '\r'; i++)
        key[i] = at[21 + i];
    key[i] = '\0';
    lssb_ws_accept(accept, key, strlen(key));
    if (!right)
        accept[3] = accept[3] == 'A' ? 'B' : 'A';
    script_out(handle, reply,
               (size_t)sprintf(reply, "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: %s\r\n\r\n", accept));
}

static struct peer *peer_new(struct script_handle *handle)
{
    struct peer *peer = peers.peers;

    while (peer < peers.peers + PEERS && peer->used)
        peer++;
    if (peer == peers.peers + PEERS)
        script_stuck("too many WebSockets");
    memset(peer, 0, sizeof *peer);
    peer->used = true;
    peer->handle = handle;
    peer->number = peers.count;
    peer->message = malloc(PEER_MESSAGE);
    peer->hears = 1;
    lssb_ws_start(&peer->ws, true);
    handle->peer = peer;
    return peer;
}

/* Answers a request for an upgrade. */
static bool peer_upgrade(struct script_handle *handle)
{
    const char *leg = "";
    struct peer *peer;
    char line[16];
    bool raw;

    if (peers.count < 32)
        peers.began[peers.count] = script.now;
    peers.count++;
    peer_note(line, (size_t)sprintf(line, "#%u\n", peers.count));
    if (!peers.model && peers.count > peers.leg_count)
        script_stuck("a connection for which the test has no leg");
    if (!peers.model)
        leg = peers.legs[peers.count - 1];
    raw = leg[0] >= 'A' && leg[0] <= 'Z';
    peer = peer_new(handle);
    peer->at = leg;
    peer->echoes = strncmp(script.head, "GET /echo ", 10) == 0;
    handle->reply_at = 0;
    if (raw)
        peer_put(peer, leg, strlen(leg));
    else if (strcmp(leg, "@mute") == 0)
        return true;
    else if (leg[0] != '@' || strchr(leg, '\n') != NULL)
        peer_accept(handle, true);
    else if (strcmp(leg, "@accept") == 0)
        peer_accept(handle, false);
    peer->over = raw || (leg[0] == '@' && strchr(leg, '\n') == NULL);
    peer->reset = strcmp(leg, "@cut") == 0;
    return true;
}

static const struct script_peers peer_table = {
    peer_upgrade, peer_hear, peer_refill, peer_gone
};

/* -------------------------------------------------------------- the legs -- */

/* A long output, as it follows from its place. */
static void long_text(char *to, uint64_t offset, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        to[i] = (char)('a' + (offset + i + (offset + i) / 26) % 26);
}

/* A message of long output; how: l, type and offset first; m, the offset
 * behind the data; a, both. */
static void peer_long(struct peer *peer, char how, const char *line)
{
    char stream[16], *message;
    unsigned long offset, len;
    int n;

    if (sscanf(line, "%15s %lu %lu", stream, &offset, &len) != 3)
        script_stuck("a long line that makes no sense");
    message = malloc(len + 200);
    n = sprintf(message, how == 'a' ? "{" : "{\"type\":\"%s\",", stream);
    if (how == 'l')
        n += sprintf(message + n, "\"offset\":%lu,", offset);
    n += sprintf(message + n, "\"data\":\"");
    long_text(message + n, offset, len);
    n += (int)len;
    n += sprintf(message + n, "\"");
    if (how != 'l')
        n += sprintf(message + n, ",\"offset\":%lu", offset);
    if (how == 'a')
        n += sprintf(message + n, ",\"type\":\"%s\"", stream);
    n += sprintf(message + n, "}");
    peer_frame(peer, LSSB_WS_TEXT, true, message, (size_t)n);
    free(message);
}

/* A message in fragments, with pings between them. */
static void peer_split(struct peer *peer, const char *line, size_t len)
{
    char *end;
    size_t size = (size_t)strtoul(line, &end, 10), at, n;

    len -= (size_t)(end + 1 - line);
    line = end + 1;
    for (at = 0; at < len; at += n) {
        n = len - at < size ? len - at : size;
        peer_frame(peer, at == 0 ? LSSB_WS_TEXT : LSSB_WS_CONTINUATION,
                   at + n == len, line + at, n);
        if (at + n < len)
            peer_frame(peer, LSSB_WS_PING, true, "between", 7);
    }
}

static void peer_raw(struct peer *peer, const char *hex, size_t len)
{
    size_t i;

    for (i = 0; i + 1 < len; i += 2) {
        char two[3] = { hex[i], hex[i + 1], '\0' };
        uint8_t byte = (uint8_t)strtoul(two, NULL, 16);

        peer_put(peer, &byte, 1);
    }
}

/* Whether a line begins with this word; then *rest is behind it. */
static bool peer_is(const char *line, const char *word, const char **rest)
{
    size_t len = strlen(word);

    if (strncmp(line, word, len) != 0)
        return false;
    *rest = line[len] == ' ' ? line + len + 1 : line + len;
    return line[len] == ' ' || line[len] == '\n';
}

/* Plays one line; its end is `end`. */
static void peer_line(struct peer *peer, const char *line, const char *end)
{
    const char *rest = line;
    char why[64];

    if (*line == '{' || *line == '[' || *line == '"')
        peer_frame(peer, LSSB_WS_TEXT, true, line, (size_t)(end - line));
    else if (peer_is(line, "@hear", &rest))
        peer->hears++;
    else if (peer_is(line, "@now", &rest))
        peer->hears = 0;
    else if (peer_is(line, "@wait", &rest))
        peer->until = script.now + strtoul(rest, NULL, 10);
    else if (peer_is(line, "@binary", &rest))
        peer_frame(peer, LSSB_WS_BINARY, true, rest, (size_t)(end - rest));
    else if (peer_is(line, "@text", &rest))
        peer_frame(peer, LSSB_WS_TEXT, true, rest, (size_t)(end - rest));
    else if (peer_is(line, "@split", &rest))
        peer_split(peer, rest, (size_t)(end - rest));
    else if (peer_is(line, "@long", &rest))
        peer_long(peer, 'l', rest);
    else if (peer_is(line, "@late", &rest))
        peer_long(peer, 'a', rest);
    else if (peer_is(line, "@middle", &rest))
        peer_long(peer, 'm', rest);
    else if (peer_is(line, "@ping", &rest))
        peer_frame(peer, LSSB_WS_PING, true, rest, (size_t)(end - rest));
    else if (peer_is(line, "@pong", &rest))
        peer_frame(peer, LSSB_WS_PONG, true, rest, (size_t)(end - rest));
    else if (peer_is(line, "@raw", &rest))
        peer_raw(peer, rest, (size_t)(end - rest));
    else if (peer_is(line, "@deaf", &rest))
        peer->deaf = true;
    else if (peer_is(line, "@end", &rest))
        peer->over = true;
    else if (peer_is(line, "@reset", &rest))
        peer->over = peer->reset = true;
    else if (peer_is(line, "@close", &rest)) {
        why[0] = '\0';
        sscanf(rest, "%*u %63[^\n]", why);
        peer_close(peer, (unsigned)strtoul(rest, NULL, 10), why);
    } else {
        script_stuck("a line that makes no sense");
    }
}

/* Plays as many lines as can be played now. */
static void peer_play(struct peer *peer)
{
    if (strncmp(peer->at, "@now\n", 5) == 0) {
        peer->hears = 0;
        peer->at += 5;
    }
    while (*peer->at != '\0' && !peer->over) {
        const char *end = strchr(peer->at, '\n'), *line = peer->at;

        if (peer->heard < peer->hears)
            return;
        if (script.now < peer->until) {
            peer->handle->next_at = peer->until;
            return;
        }
        if (end == NULL)
            return;
        peer->at = end + 1;
        peer_line(peer, line, end);
    }
}

/* ------------------------------------------------------------- the model -- */

/* What a command does by itself. */
enum model_kind {
    MODEL_PRINTS = 0,               /* its events, then it exits */
    MODEL_CAT,                      /* what is in its stdin, until its end */
    MODEL_SORT,                     /* the same, all of it at the end */
    MODEL_TERMINAL                  /* like cat, to "\004"; tells its size */
};

struct model_event {
    uint32_t at_ms;                 /* after its start */
    int stream;                     /* 1, 2 */
    const char *text;
};

/* What the model runs. */
struct model_program {
    enum model_kind kind;
    const struct model_event *events;
    size_t event_count;
    uint32_t exit_ms;
    int exit_code;
    bool no_greeting;               /* an older server: no `started` after
                                       `reconnect` */
    const char *text;               /* of the command; NULL: any */
};

#define MODEL_COMMANDS 128
#define MODEL_TEXT 8192

struct model_command {
    char id[64];
    const struct model_program *program;
    uint64_t started_at;
    size_t event;                   /* the next one */
    char text[2][MODEL_TEXT];
    size_t len[2];
    char input[MODEL_TEXT];
    size_t input_len, input_seen;
    bool input_over, over, killed;
    int exit_code;
    unsigned executes, reconnects, kills;
};

static struct model_command model_commands[MODEL_COMMANDS];

static struct model {
    const struct model_program *programs;
    size_t program_count;
    size_t created;                 /* of the commands */
    size_t ring;                    /* bytes that it keeps of a stream */
    size_t slice;                   /* most bytes of a message */
    bool escapes;                   /* writes what is not ASCII as \u */
} model;

/* A string member of a message, decoded: "" if there is none. */
static size_t model_member(const char *message, const char *name, char *to,
                           size_t size)
{
    char what[64];
    const char *at;
    size_t len = 0;

    sprintf(what, "\"%s\":\"", name);
    at = strstr(message, what);
    to[0] = '\0';
    if (at == NULL)
        return 0;
    for (at += strlen(what); *at != '"' && *at != '\0' && len + 1 < size;) {
        static const char from[] = "bfnrt", bytes[] = "\b\f\n\r\t";

        if (*at != '\\') {
            to[len++] = *at++;
        } else if (at[1] == 'u') {
            char hex[5] = { at[2], at[3], at[4], at[5], '\0' };

            to[len++] = (char)strtoul(hex, NULL, 16);   /* controls only */
            at += 6;
        } else {
            const char *escape = strchr(from, at[1]);

            to[len++] = escape != NULL ? bytes[escape - from] : at[1];
            at += 2;
        }
    }
    to[len] = '\0';
    return len;
}

static size_t model_number(const char *message, const char *name)
{
    char what[64];
    const char *at;

    sprintf(what, "\"%s\":", name);
    at = strstr(message, what);
    return at != NULL ? (size_t)strtoul(at + strlen(what), NULL, 10) : 0;
}

static struct model_command *model_find(const char *id)
{
    size_t i;

    for (i = 0; i < model.created; i++)
        if (strcmp(model_commands[i].id, id) == 0)
            return &model_commands[i];
    return NULL;
}

static void model_print(struct model_command *command, int stream,
                        const char *text, size_t len)
{
    size_t *at = &command->len[stream == 2];

    if (*at + len > MODEL_TEXT)
        script_stuck("a command that prints too much");
    memcpy(command->text[stream == 2] + *at, text, len);
    *at += len;
}

static void model_exit(struct model_command *command, int exit_code)
{
    command->over = true;
    command->exit_code = exit_code;
}

/* What a command has done with its stdin by now. */
static void model_read(struct model_command *command)
{
    size_t end = command->input_len;
    const struct model_program *program = command->program;
    bool terminal = program->kind == MODEL_TERMINAL;

    if (program->kind == MODEL_PRINTS || command->over)
        return;
    if (program->kind == MODEL_SORT && !command->input_over)
        return;
    model_print(command, 1, command->input + command->input_seen,
                end - command->input_seen);
    command->input_seen = end;
    if (terminal ? memchr(command->input, 4, end) != NULL
                 : command->input_over)
        model_exit(command, program->exit_code);
}

/* Brings a command up to date; when something happens next. */
static uint64_t model_run(struct model_command *command)
{
    const struct model_program *program = command->program;
    uint64_t age = script.now - command->started_at;

    model_read(command);
    while (!command->over && command->event < program->event_count) {
        const struct model_event *event = &program->events[command->event];

        if (event->at_ms > age)
            return command->started_at + event->at_ms;
        model_print(command, event->stream, event->text, strlen(event->text));
        command->event++;
    }
    if (command->over || program->kind != MODEL_PRINTS)
        return SCRIPT_NEVER;
    if (program->exit_ms > age)
        return command->started_at + program->exit_ms;
    model_exit(command, program->exit_code);
    return SCRIPT_NEVER;
}

/* The program that a message asks for. */
static const struct model_program *model_choose(const char *message)
{
    char text[200];
    size_t i;

    model_member(message, "command", text, sizeof text);
    for (i = 0; i < model.program_count; i++)
        if (model.programs[i].text == NULL ||
            strcmp(model.programs[i].text, text) == 0)
            return &model.programs[i];
    script_stuck("a command that the model does not know");
    return NULL;
}

/* `execute`: get or create. */
static void model_execute(struct peer *peer)
{
    char id[64];
    struct model_command *command;

    model_member(peer->message, "command_id", id, sizeof id);
    command = model_find(id);
    if (command == NULL) {
        if (model.created == MODEL_COMMANDS)
            script_stuck("too many commands");
        command = &model_commands[model.created++];
        memset(command, 0, sizeof *command);
        strcpy(command->id, id);
        command->program = model_choose(peer->message);
        command->started_at = script.now;
        command->input_over =
            strstr(peer->message, "\"close_stdin\":true") != NULL;
    }
    command->executes++;
    peer->command = command;
}

static void model_reconnect(struct peer *peer)
{
    char id[64];

    model_member(peer->message, "command_id", id, sizeof id);
    peer->command = model_find(id);
    if (peer->command == NULL) {
        peer_text(peer, "{\"type\":\"error\",\"error_type\":"
                        "\"CommandNotFound\",\"error\":\"no such command\"}");
        return;
    }
    peer->command->reconnects++;
    peer->greeted = peer->command->program->no_greeting;
    peer->sent[0] = model_number(peer->message, "stdout_offset");
    peer->sent[1] = model_number(peer->message, "stderr_offset");
}

/* What a client says. */
static void model_message(struct peer *peer)
{
    struct model_command *command = peer->command;
    char type[32], size[64];

    model_member(peer->message, "type", type, sizeof type);
    EXPECT((command == NULL) == (peer->heard == 1));
    if (strcmp(type, "execute") == 0) {
        model_execute(peer);
    } else if (strcmp(type, "reconnect") == 0) {
        model_reconnect(peer);
    } else if (command == NULL || command->over) {
        return;
    } else if (strcmp(type, "input") == 0) {
        if (!command->input_over)
            command->input_len += model_member(
                peer->message, "data", command->input + command->input_len,
                MODEL_TEXT - command->input_len);
    } else if (strcmp(type, "close_stdin") == 0) {
        command->input_over = true;
    } else if (strcmp(type, "kill") == 0) {
        command->kills++;
        command->killed = true;
        model_exit(command, 137);
    } else if (strcmp(type, "resize") == 0) {
        model_print(command, 1, size,
                    (size_t)sprintf(size, "size %ux%u\n",
                                    (unsigned)model_number(peer->message,
                                                           "cols"),
                                    (unsigned)model_number(peer->message,
                                                           "rows")));
    }
}

/* Text as JSON has it; returns the bytes written. */
static size_t model_escape(char *to, const char *text, size_t len)
{
    size_t i, n = 0;

    for (i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];

        if (byte == '"' || byte == '\\' || byte < 32) {
            n += (size_t)sprintf(to + n, "\\u%04x", byte);
        } else if (model.escapes && byte >= 0xC2 && byte < 0xE0) {
            n += (size_t)sprintf(to + n, "\\u%04x",
                                 (unsigned)((byte & 0x1F) << 6 |
                                            ((uint8_t)text[i + 1] & 0x3F)));
            i++;
        } else {
            to[n++] = (char)byte;
        }
    }
    return n;
}

/* Sends a slice of a stream, whole characters; false: there is no more. */
static bool model_slice(struct peer *peer, int err)
{
    const struct model_command *command = peer->command;
    size_t from = peer->sent[err], len = command->len[err], n;
    char message[6 * 512 + 100];

    if (len > model.ring && from < len - model.ring)
        from = len - model.ring;
    while (from < len && ((uint8_t)command->text[err][from] & 0xC0) == 0x80)
        from++;
    if (from >= len)
        return false;
    len = len - from < model.slice ? len - from : model.slice;
    while (from + len < command->len[err] &&
           ((uint8_t)command->text[err][from + len] & 0xC0) == 0x80)
        len++;
    n = (size_t)sprintf(message, "{\"type\":\"%s\",\"data\":\"",
                        err ? "stderr" : "stdout");
    n += model_escape(message + n, command->text[err] + from, len);
    sprintf(message + n, "\",\"offset\":%u}", (unsigned)from);
    peer_text(peer, message);
    peer->sent[err] = from + len;
    return true;
}

/* Sends what a connection has not had yet. */
static void model_play(struct peer *peer)
{
    struct model_command *command = peer->command;
    char message[160];
    uint64_t next;
    bool more;

    if (command == NULL)
        return;
    next = model_run(command);
    if (!peer->greeted) {
        sprintf(message, "{\"type\":\"started\",\"command_id\":\"%s\","
                "\"pid\":42}", command->id);
        peer_text(peer, message);
        peer->greeted = true;
    }
    do {                            /* the streams in turn */
        more = model_slice(peer, 0);
        more = model_slice(peer, 1) || more;
    } while (more);
    if (command->over && !peer->exit_sent) {
        sprintf(message, "{\"type\":\"exit\",\"exit_code\":%d}",
                command->exit_code);
        peer_text(peer, message);
        peer->exit_sent = true;
    }
    peer->handle->next_at = next;
}

/* -------------------------------------------------------- for the tests -- */

/* From now on connections are for the legs, in their order. */
static inline void peers_play(const char *const *legs, size_t count)
{
    memset(&peers, 0, sizeof peers);
    peers.legs = legs;
    peers.leg_count = count;
    script.peers = &peer_table;
}

/* From now on they are for the model, which runs these. */
static inline void peers_model(const struct model_program *programs,
                               size_t count)
{
    memset(&peers, 0, sizeof peers);
    peers.model = true;
    memset(&model, 0, sizeof model);
    model.programs = programs;
    model.program_count = count;
    model.ring = MODEL_TEXT;
    model.slice = 512;
    script.peers = &peer_table;
}

#endif
