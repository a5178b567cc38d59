/* members.c: the members of a request's body, or a 422 that names the one that
 * is not what it must be (PROTOCOL 9.2).
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdarg.h>
#include <stdlib.h>

#include "control.h"

#define MEMBERS_CENTURY INT64_C(3155760000)

/* The body itself. */
void object_top(struct object *top, struct exchange *exchange,
                struct value body)
{
    memset(top, 0, sizeof *top);
    top->exchange = exchange;
    top->value = body;
}

/* The place of a member, as the reply says it. */
static void object_place(const struct object *object, const char *name,
                         char place[256])
{
    size_t len;

    snprintf(place, 256, "%s%s", object->where, name);
    len = strlen(place);
    if (*name == '\0' && len > 0)
        place[len - 1] = '\0';      /* the object itself */
}

/* Replies that a member is not acceptable; "" is the object itself. */
bool object_problem(const struct object *object, const char *name,
                    const char *format, ...)
{
    char place[256], message[256];
    va_list args;

    object_place(object, name, place);
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    reply_problem(object->exchange, place, "%s", message);
    return false;
}

/* Replies that a member is missing. */
bool object_missing(const struct object *object, const char *name)
{
    char place[256];

    object_place(object, name, place);
    reply_missing(object->exchange, place);
    return false;
}

/* Whether a member is there, and not null. */
bool object_has(const struct object *object, const char *name)
{
    return !value_is_null(value_get(object->value, name));
}

/* An integer within bounds. */
bool object_integer(const struct object *object, const char *name,
                    int64_t least, int64_t most, int64_t *number)
{
    struct value value = value_get(object->value, name);
    int64_t got;

    if (value_is_null(value))
        return true;
    if (!value_integer(value, &got))
        return object_problem(object, name, "value is not a valid integer");
    if (got < least || got > most)
        return object_problem(object, name, "must be between %lld and %lld",
                              (long long)least, (long long)most);
    *number = got;
    return true;
}

/* True or false. */
bool object_bool(const struct object *object, const char *name, bool *flag)
{
    struct value value = value_get(object->value, name);

    return value_is_null(value) || value_bool(value, flag) ||
           object_problem(object, name,
                          "value could not be parsed to a boolean");
}

/* A string; an empty one counts as missing. */
bool object_text(const struct object *object, const char *name, char **text)
{
    struct value value = value_get(object->value, name);
    char *got;

    if (value_is_null(value))
        return true;
    got = value_text(value);
    if (got == NULL)
        return object_problem(object, name, "str type expected");
    if (*got == '\0') {
        free(got);
        return true;
    }
    free(*text);
    *text = got;
    return true;
}

/* A lifetime: not negative, whole minutes, a century at most. */
bool object_ttl(const struct object *object, const char *name,
                int64_t *seconds)
{
    int64_t got = UNSET;

    if (!object_integer(object, name, 0, MEMBERS_CENTURY, &got))
        return false;
    if (got != UNSET && got % 60 != 0)
        return object_problem(object, name, "must be a multiple of 60");
    move_number(seconds, got);
    return true;
}

/* A map of strings. */
bool object_map(const struct object *object, const char *name,
                struct map *map)
{
    struct value value = value_get(object->value, name);

    return value_is_null(value) || value_map(value, map) ||
           object_problem(object, name, "an object of strings is expected");
}

/* A map of variables: names without '=', not empty. */
bool object_env(const struct object *object, const char *name,
                struct map *map)
{
    size_t i;

    if (!object_map(object, name, map))
        return false;
    for (i = 0; i < map->count; i++) {
        const char *variable = map->pairs[i].name;

        if (*variable == '\0' || strchr(variable, '=') != NULL)
            return object_problem(object, name,
                                  "a variable cannot be named '%s'",
                                  variable);
    }
    return true;
}

/* Whether a text is there and consists of these characters only. */
bool consists_of(const char *text, const char *characters)
{
    return text != NULL && *text != '\0' &&
           text[strspn(text, characters)] == '\0';
}

/* Labels: lower case letters, digits, '.', '-'; not the service's own. */
bool object_labels(const struct object *object, const char *name,
                   struct map *map)
{
    size_t i;

    if (!object_map(object, name, map))
        return false;
    for (i = 0; i < map->count; i++) {
        const char *key = map->pairs[i].name;

        if (!consists_of(key, "abcdefghijklmnopqrstuvwxyz0123456789.-") ||
            strncmp(key, "com.langchain", 13) == 0)
            return object_problem(object, name, "'%s' cannot be a key", key);
    }
    return true;
}

/* A name: some text that a URL can carry as one segment. */
bool object_name(const struct object *object, bool needed, char **name)
{
    const char *at;

    if (!object_text(object, "name", name))
        return false;
    if (*name == NULL)
        return !needed || object_missing(object, "name");
    for (at = *name; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            return object_problem(object, "name",
                                  "holds a control character");
    }
    if (strlen(*name) > CONTROL_NAME || strcmp(*name, ".") == 0 ||
        strcmp(*name, "..") == 0)
        return object_problem(object, "name",
                              "must be 1 to %d bytes, and not '.' or '..'",
                              CONTROL_NAME);
    return true;
}

/* Enters a member or an element; its place must be short enough to be told. */
static bool object_enter(const struct object *object, const char *name,
                         struct value value, struct object *inside)
{
    int len;

    inside->exchange = object->exchange;
    inside->value = value;
    len = snprintf(inside->where, sizeof inside->where, "%s%s.",
                   object->where, name);
    if ((size_t)len < sizeof inside->where)
        return true;
    return object_problem(object, name, "is nested too deeply");
}

/* A member that is an object or an array. */
bool object_inside(const struct object *object, const char *name, char kind,
                   struct object *inside)
{
    struct value value = value_get(object->value, name);

    memset(inside, 0, sizeof *inside);
    if (value_is_null(value)) {
        inside->exchange = object->exchange;
        return true;
    }
    if (!value_is(value, kind))
        return object_problem(object, name, "an %s is expected",
                              kind == '{' ? "object" : "array");
    return object_enter(object, name, value, inside);
}

/* The next element of an array. */
int object_each(const struct object *array, size_t *place, size_t *index,
                char kind, struct object *element)
{
    struct value key, value;
    char name[24];

    if (*place == 0)
        *index = 0;
    else
        ++*index;
    if (!value_next(array->value, place, &key, &value))
        return 0;
    snprintf(name, sizeof name, "%zu", *index);
    if (!value_is(value, kind)) {
        object_problem(array, name, kind == '{' ? "an object is expected"
                                                : "str type expected");
        return -1;
    }
    return object_enter(array, name, value, element) ? 1 : -1;
}

/* Whether a string is one of a list that ends with NULL. */
bool is_one_of(const char *word, const char *const *words)
{
    while (word != NULL && *words != NULL) {
        if (strcmp(word, *words++) == 0)
            return true;
    }
    return false;
}

/* Moves a string, if there is one. */
void move_text(char **to, char **from)
{
    if (*from == NULL)
        return;
    free(*to);
    *to = *from;
    *from = NULL;
}

/* Moves a number, if it was given. */
void move_number(int64_t *to, int64_t from)
{
    if (from != UNSET)
        *to = from;
}
