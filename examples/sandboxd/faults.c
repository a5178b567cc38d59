/* faults.c: what goes wrong on purpose.
 *
 * SPDX-License-Identifier: MIT
 *
 * With --faults, POST /_faults (with the API key) takes one fault, DELETE
 * /_faults forgets them all. README.md says what a fault may be.
 */
#include <fnmatch.h>
#include <stdlib.h>

#include "sandboxd.h"

/* Frees a fault; NULL is none. */
void fault_free(struct fault *fault)
{
    if (fault == NULL)
        return;
    map_free(&fault->headers);
    free(fault->match);
    free(fault->body);
    free(fault->close);
    free(fault->provision);
    free(fault->message);
    free(fault->socket);
    free(fault->order);
    free(fault->stream);
    free(fault);
}

/* A fault of one's own, like that one. */
static struct fault *fault_copy(const struct fault *from)
{
    struct fault *fault = take(sizeof *fault);

    fault->status = from->status;
    map_merge(&fault->headers, &from->headers);
    fault->match = take_copy(from->match);
    fault->body = take_copy(from->body);
    fault->close = take_copy(from->close);
    fault->provision = take_copy(from->provision);
    fault->message = take_copy(from->message);
    fault->socket = take_copy(from->socket);
    fault->order = take_copy(from->order);
    fault->after = from->after;
    fault->code = from->code;
    fault->frames = from->frames;
    fault->drop = from->drop;
    fault->hex = from->hex;
    fault->stream = take_copy(from->stream);
    fault->streams = from->streams;
    fault->delay = from->delay;
    fault->messages = from->messages;
    return fault;
}

/* The first fault that this request (or the box of this name) shall meet, as a
 * copy; it is used up by that. */
struct fault *faults_take(struct sandboxd *d, const char *method,
                          const char *path, bool provision)
{
    struct fault **link = &d->faults, *fault, *taken = NULL;
    char *subject = provision ? take_copy(path)
                              : take_format("%s %s", method, path);

    for (; taken == NULL && (fault = *link) != NULL; link = &fault->next) {
        if ((fault->provision != NULL) != provision ||
            fnmatch(fault->match, subject, 0) != 0)
            continue;
        taken = fault_copy(fault);
        if (fault->times > 0 && --fault->times == 0) {
            *link = fault->next;
            fault_free(fault);
            break;
        }
    }
    free(subject);
    return taken;
}

/* Forgets all faults. */
void faults_clear(struct sandboxd *d)
{
    while (d->faults != NULL) {
        struct fault *fault = d->faults;

        d->faults = fault->next;
        fault_free(fault);
    }
}

/* Whether a word is one of a list that ends with NULL. */
static bool fault_word(const char *word, const char *const *list)
{
    while (*list != NULL && strcmp(*list, word) != 0)
        list++;
    return *list != NULL;
}

/* Whether what it says of WebSockets can be done. */
static bool fault_is_socket(const struct fault *fault)
{
    static const char *const words[] = {"close", "cut", "silent", "text",
                                        "binary", "bytes", "accept", NULL};

    return (fault->socket == NULL || fault_word(fault->socket, words)) &&
           fault->after >= -1 && fault->code >= 0 && fault->code <= 65535 &&
           fault->frames >= 0 && fault->drop >= 0;
}

/* Whether what it says of a tunnel's streams can be done. */
static bool fault_is_stream(const struct fault *fault)
{
    static const char *const words[] = {"status", "slow", "reset", "finish",
                                        "away", NULL};

    return (fault->stream == NULL || fault_word(fault->stream, words)) &&
           fault->streams >= 0 && fault->delay >= 0 && fault->messages >= 0;
}

/* Whether a fault says something that there is. */
static bool fault_is_one(const struct fault *fault)
{
    static const char *const closes[] = {"before-reply", "lost-reply",
                                         "mid-body", NULL};

    if (fault->match == NULL || fault->times < 0 ||
        (fault->status != 0 && (fault->status < 200 || fault->status > 599)))
        return false;
    if (fault->provision != NULL)
        return strcmp(fault->provision, "fail") == 0 ||
               strcmp(fault->provision, "hang") == 0;
    if (!fault_is_socket(fault) || !fault_is_stream(fault))
        return false;
    if (fault->close != NULL)
        return fault_word(fault->close, closes);
    return fault->status != 0 || fault->socket != NULL ||
           fault->order != NULL || fault->frames > 0 || fault->drop > 0 ||
           fault->stream != NULL || fault->messages > 0;
}

/* Takes a fault from its JSON. */
static void faults_add(struct exchange *exchange, struct value body)
{
    struct fault *fault = take(sizeof *fault), **link;
    struct value content = value_get(body, "body");

    fault->match = value_text(value_get(body, "match"));
    fault->close = value_text(value_get(body, "close"));
    fault->provision = value_text(value_get(body, "provision"));
    fault->message = value_text(value_get(body, "message"));
    fault->body = value_is(content, '"') ? value_text(content)
                  : content.at != NULL ? take_copy_n(content.at, content.len)
                                       : NULL;
    fault->times = 1;
    value_integer(value_get(body, "times"), &fault->times);
    value_integer(value_get(body, "status"), &fault->status);
    fault->socket = value_text(value_get(body, "socket"));
    fault->order = value_text(value_get(body, "order"));
    value_integer(value_get(body, "after"), &fault->after);
    value_integer(value_get(body, "code"), &fault->code);
    value_integer(value_get(body, "frames"), &fault->frames);
    value_integer(value_get(body, "drop"), &fault->drop);
    value_bool(value_get(body, "hex"), &fault->hex);
    fault->stream = value_text(value_get(body, "stream"));
    value_integer(value_get(body, "streams"), &fault->streams);
    value_integer(value_get(body, "delay"), &fault->delay);
    value_integer(value_get(body, "messages"), &fault->messages);
    value_map(value_get(body, "headers"), &fault->headers);
    if (fault->match == NULL && fault->provision != NULL)
        fault->match = take_copy("*");
    if (!fault_is_one(fault)) {
        fault_free(fault);
        reply_error(exchange, 400, "InvalidRequest", "this is no fault");
        return;
    }
    for (link = &exchange->d->faults; *link != NULL; link = &(*link)->next)
        ;
    *link = fault;
    reply_empty(exchange, 204);
}

/* Replies with what the fault says. */
static void faults_reply(struct exchange *exchange)
{
    const struct fault *fault = exchange->fault;
    const char *body = fault->body != NULL ? fault->body : "";
    size_t i;

    reply_begin(exchange, (int)fault->status);
    if (map_get(&fault->headers, "Content-Type") == NULL)
        reply_header(exchange, "Content-Type", "application/json");
    for (i = 0; i < fault->headers.count; i++)
        reply_header(exchange, fault->headers.pairs[i].name,
                     fault->headers.pairs[i].value);
    if (fault->status == 204 || fault->status == 304)
        body = "";
    reply_length(exchange, strlen(body));
    reply_body(exchange, body, strlen(body));
}

/* Serves /_faults itself. */
static void faults_serve(struct exchange *exchange)
{
    const char *key = exchange_header(exchange, "X-Api-Key");

    if (key == NULL || !same_secret(key, exchange->d->api_key)) {
        reply_error(exchange, 401, "Unauthorized", "Invalid API key");
    } else if (strcmp(exchange->method, "POST") == 0) {
        collect_json(exchange, faults_add);
    } else if (strcmp(exchange->method, "DELETE") == 0) {
        faults_clear(exchange->d);
        reply_empty(exchange, 204);
    } else {
        reply_allow(exchange, "POST, DELETE");
    }
}

/* A request begins: its fault, if it has one, else the API. */
void faults_request(struct exchange *exchange)
{
    const struct fault *fault = exchange->fault;

    if (exchange->d->settings.faults &&
        strcmp(exchange->path, "/_faults") == 0)
        faults_serve(exchange);
    else if (fault != NULL && fault->close != NULL &&
             strcmp(fault->close, "before-reply") == 0)
        reply_cut(exchange);
    else if (fault != NULL && fault->status != 0)
        faults_reply(exchange);
    else
        api_request(exchange);
}
