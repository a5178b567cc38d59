/* session.c: commands that outlive connections (PROTOCOL 5.3, 5.4, 5.9).
 *
 * SPDX-License-Identifier: MIT
 *
 * A session is a command under the id that its client gave it, with the last
 * of its output. Clients come and go (attach.c); the command goes on, until
 * nobody has been there for too long. When it is over, the session waits for
 * those who come late, then only its id is remembered.
 */
#include <stdlib.h>

#include "sandboxd.h"

#define SESSION_KEPT 1000           /* of those that are over */
#define SESSION_GONE 1000           /* ids that are remembered */
#define SESSION_IDLE_S 300
#define SESSION_TTL_S 600

/* ----------------------------------------------------------------- finding */

/* The session of an id in a box, or NULL. */
struct session *session_find(struct sandboxd *d, const char *box_id,
                             const char *id)
{
    struct session *session = d->sessions;

    while (session != NULL && (strcmp(session->id, id) != 0 ||
                               strcmp(session->box_id, box_id) != 0))
        session = session->next;
    return session;
}

/* Whether there was one once. */
bool session_is_gone(struct sandboxd *d, const char *box_id, const char *id)
{
    const struct session_gone *gone = d->gone;

    while (gone != NULL && (strcmp(gone->id, id) != 0 ||
                            strcmp(gone->box_id, box_id) != 0))
        gone = gone->next;
    return gone != NULL;
}

/* Remembers an id, and forgets the oldest when there are too many. */
static void session_remember(struct session *session)
{
    struct sandboxd *d = session->d;
    struct session_gone *gone = take(sizeof *gone), **link = &d->gone;
    size_t count;

    gone->id = take_copy(session->id);
    gone->box_id = take_copy(session->box_id);
    gone->next = d->gone;
    d->gone = gone;
    for (count = 0; *link != NULL && count < SESSION_GONE; count++)
        link = &(*link)->next;
    while ((gone = *link) != NULL) {
        *link = gone->next;
        free(gone->id);
        free(gone->box_id);
        free(gone);
    }
}

/* -------------------------------------------------------------------- ends */

/* Frees a session that nobody is attached to. */
static void session_free(struct session *session)
{
    struct session **link = &session->d->sessions;

    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    loop_cancel(&session->d->loop, &session->timer);
    loop_cancel(&session->d->loop, &session->patience);
    if (session->command != NULL)
        session->command->owner = NULL;
    agent_free(session);
    ring_free(&session->out);
    ring_free(&session->err);
    free(session->id);
    free(session->box_id);
    free(session);
}

/* A session's time is over: those who are attached get what is left. */
static void session_expire(struct session *session)
{
    session->expired = true;
    loop_cancel(&session->d->loop, &session->timer);
    if (session->clients != NULL)
        return;
    session_remember(session);
    session_free(session);
}

/* Of the sessions that are over, lets those of deleted boxes go, and the
 * oldest when there are too many. */
static void session_trim(struct sandboxd *d)
{
    struct session *session = d->sessions, *next;
    size_t count = 0;

    for (; session != NULL; session = next) {
        next = session->next;
        if (session->over && session->clients == NULL &&
            (count++ >= SESSION_KEPT ||
             box_find(d, session->box_id) == NULL))
            session_expire(session);
    }
}

/* Nobody has been attached for too long, or the time of what is over is up. */
static void session_late(struct timer *timer)
{
    struct session *session = timer->owner;

    if (session->over)
        session_expire(session);
    else if (session->command != NULL)
        command_kill(session->command);
}

/* Arms the timer: a number of seconds; -1 for ever. */
static void session_arm(struct session *session, int64_t seconds)
{
    if (seconds >= 0)
        loop_at(&session->d->loop, &session->timer,
                now_ms() + (uint64_t)seconds * session->d->settings.second_ms);
}

/* The command is over: so are its outputs, once they are told. */
static void session_done(struct command *command)
{
    struct session *session = command->owner;
    struct attachment *client, *next;

    session->over = true;
    session->timed_out = command->timed_out;
    session->exit_code = command->exit_code;
    session->command = NULL;
    loop_cancel(&session->d->loop, &session->timer);
    loop_cancel(&session->d->loop, &session->patience);
    agent_free(session);
    session_arm(session, session->ttl_s);
    for (client = session->clients; client != NULL; client = next) {
        next = client->next;
        attachment_pump(client);
        attachment_resume(client);
    }
}

/* Frees all sessions; nobody is attached any more. */
void sessions_end(struct sandboxd *d)
{
    struct session_gone *gone;

    while (d->sessions != NULL)
        session_free(d->sessions);
    while ((gone = d->gone) != NULL) {
        d->gone = gone->next;
        free(gone->id);
        free(gone->box_id);
        free(gone);
    }
}

/* -------------------------------------------------------------------- flow */

/* Whether the next piece of an output would take bytes away from a client
 * that is still to get them. */
static bool session_is_full(const struct session *session, bool is_err)
{
    const struct ring *ring = is_err ? &session->err : &session->out;
    const struct attachment *client = session->clients;

    for (; client != NULL; client = client->next) {
        uint64_t at = is_err ? client->err_at : client->out_at;

        if (client->started && !client->ended && !client->late &&
            at < ring->to &&
            ring->to - at + session->command->piece > ring->size)
            return true;
    }
    return false;
}

/* Holds the command up while a client is behind, as long as it reads; lets it
 * go on otherwise. */
void session_flow(struct session *session, bool progress)
{
    struct sandboxd *d = session->d;
    bool out, err;

    if (session->command == NULL || d->settings.hold_ms == 0)
        return;
    out = session_is_full(session, false);
    err = session_is_full(session, true);
    command_hold(session->command, false, out);
    command_hold(session->command, true, err);
    if (!out && !err)
        loop_cancel(&d->loop, &session->patience);
    else if (progress || !session->patience.armed)
        loop_at(&d->loop, &session->patience, now_ms() + d->settings.hold_ms);
}

/* Those who are behind do not read: they will miss something. */
static void session_impatient(struct timer *timer)
{
    struct session *session = timer->owner;
    struct attachment *client = session->clients;

    for (; client != NULL; client = client->next)
        client->late = true;
    session_flow(session, false);
}

/* ----------------------------------------------------------------- clients */

/* The command has written something. */
static void session_output(struct command *command, bool is_err,
                           const char *bytes, size_t len)
{
    struct session *session = command->owner;
    struct attachment *client, *next;

    ring_add(is_err ? &session->err : &session->out, bytes, len);
    for (client = session->clients; client != NULL; client = next) {
        next = client->next;
        attachment_pump(client);
    }
    session_flow(session, false);
}

/* The command has read something. */
static void session_drained(struct command *command)
{
    struct session *session = command->owner;
    struct attachment *client, *next;

    if (command_unwritten(command) > SESSION_INPUT / 2)
        return;
    for (client = session->clients; client != NULL; client = next) {
        next = client->next;
        attachment_resume(client);
    }
}

/* Somebody is there. */
void session_attach(struct session *session, struct attachment *client)
{
    if (!session->over)
        loop_cancel(&session->d->loop, &session->timer);
    client->session = session;
    client->next = session->clients;
    session->clients = client;
}

/* Somebody leaves. */
void session_detach(struct session *session, struct attachment *client)
{
    struct attachment **link = &session->clients;

    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    client->session = NULL;
    agent_detach(session, client);
    session_flow(session, false);
    if (session->clients != NULL)
        return;
    if (session->expired)
        session_expire(session);
    else if (!session->over && session->kill_on_disconnect)
        command_kill(session->command);
    else if (!session->over)
        session_arm(session, session->idle_s);
}

/* --------------------------------------------------------------- beginning */

/* A number of seconds, -1 for ever; false when it is none. */
static bool session_seconds(struct value body, const char *name, int64_t *to)
{
    struct value value = value_get(body, name);

    return value_is_null(value) ||
           (value_integer(value, to) && *to >= -1 && *to <= 31536000);
}

/* Reads how long a session lasts; NULL, or what is wrong with it. */
static const char *session_options(struct session *session, struct value body)
{
    session->idle_s = SESSION_IDLE_S;
    session->ttl_s = SESSION_TTL_S;
    if (!session_seconds(body, "idle_timeout_seconds", &session->idle_s))
        return "idle_timeout_seconds must be a number of seconds, -1 for none";
    if (!session_seconds(body, "ttl_seconds", &session->ttl_s))
        return "ttl_seconds must be a number of seconds, -1 for ever";
    if (session->idle_s == 0)
        session->idle_s = SESSION_IDLE_S;
    value_bool(value_get(body, "kill_on_disconnect"),
               &session->kill_on_disconnect);
    return NULL;
}

/* Starts the command; false: *why says why not, taken. */
static bool session_run(struct session *session, struct box *box,
                        const struct run_request *request, struct value body,
                        char **why)
{
    struct command_options options;
    struct map agent = {0};
    bool closed = false, forward = false;

    memset(&options, 0, sizeof options);
    value_bool(value_get(body, "close_stdin"), &closed);
    value_bool(value_get(body, "ssh_agent_forward"), &forward);
    options.argv = request->argv;
    options.env = &request->env;
    options.own_env = &agent;
    options.cwd = request->cwd;
    options.user = request->user;
    options.timeout_s = (uint32_t)request->timeout_s;
    options.pty = request->pty;
    options.input = !closed;
    options.output = session_output;
    options.drained = session_drained;
    *why = forward ? agent_start(session, box, &agent, request->user) : NULL;
    if (*why == NULL)
        session->command = command_start(box, &options, why);
    map_free(&agent);
    if (session->command == NULL)
        return false;
    session->command->owner = session;
    session->command->done = session_done;
    if (session->command->piece > session->out.size / 4)
        session->command->piece = session->out.size / 4;
    session->pid = view_inner(session->command->pid);
    session->pty = options.pty;
    return true;
}

/* A session that is in the list, and has no command yet. */
static struct session *session_new(struct box *box, const char *id)
{
    struct sandboxd *d = box->d;
    struct session *session = take(sizeof *session);

    session_trim(d);
    session->d = d;
    session->id = take_copy(id);
    session->box_id = take_copy(box->id);
    session->timer.owner = session;
    session->timer.fire = session_late;
    session->patience.owner = session;
    session->patience.fire = session_impatient;
    session->out.size = session->err.size = (size_t)d->settings.ring_bytes;
    session->next = d->sessions;
    d->sessions = session;
    return session;
}

/* Starts a command under an id. NULL: it could not be; *why says so, taken. */
struct session *session_start(struct box *box, const char *id,
                              struct value body, char **why)
{
    struct sandboxd *d = box->d;
    struct session *session = session_new(box, id);
    struct run_request request;
    const char *wrong = session_options(session, body);

    run_request_read(&request, body, true);
    if (request.wrong != NULL)
        wrong = request.wrong;
    *why = NULL;
    if (wrong != NULL)
        *why = take_copy(wrong);
    else if (d->command_count >= d->settings.max_commands)
        *why = take_format("%llu commands run already",
                           (unsigned long long)d->command_count);
    else
        session_run(session, box, &request, body, why);
    run_request_free(&request);
    if (*why == NULL)
        return session;
    session_free(session);
    return NULL;
}
