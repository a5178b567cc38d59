/* run_request.c: what a request to run something asks for (PROTOCOL 4.1, 5.3).
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "sandboxd.h"

#define RUN_TIMEOUT_S 60

/* Frees what was taken apart. */
void run_request_free(struct run_request *request)
{
    size_t i;

    for (i = 0; request->argv != NULL && request->argv[i] != NULL; i++)
        free(request->argv[i]);
    free(request->argv);
    map_free(&request->env);
    free(request->cwd);
    free(request->user);
}

/* A member that is a string, or missing. */
static char *run_request_text(struct run_request *request,
                              struct value object, const char *name,
                              const char *wrong)
{
    struct value value = value_get(object, name);
    char *text = value_is_null(value) ? NULL : value_text(value);

    if (!value_is_null(value) && text == NULL)
        request->wrong = wrong;
    if (text != NULL && *text == '\0') {
        free(text);
        text = NULL;
    }
    return text;
}

/* The command: words, or a line for the shell; none: a shell. */
static void run_request_argv(struct run_request *request, struct value body)
{
    struct value command = value_get(body, "command"), name, word;
    char *shell = run_request_text(request, body, "shell",
                                   "shell must be a string");
    size_t place = 0, count = 0;

    request->argv = take((command.len + 4) * sizeof *request->argv);
    if (request->pty && (value_is_null(command) || command.len == 2)) {
        request->argv[0] = shell != NULL ? shell : take_copy("/bin/bash");
        shell = NULL;
    } else if (value_is(command, '"')) {
        request->argv[0] =
            shell != NULL ? shell : take_copy("/bin/bash");
        request->argv[1] = take_copy("-c");
        request->argv[2] = value_text(command);
        shell = NULL;
        if (request->argv[2] == NULL)
            request->wrong = "command holds a NUL";
    } else if (value_is(command, '[')) {
        while (request->wrong == NULL &&
               value_next(command, &place, &name, &word)) {
            request->argv[count] = value_text(word);
            if (request->argv[count++] == NULL)
                request->wrong = "command must hold strings";
        }
    }
    free(shell);
    if (request->wrong == NULL && request->argv[0] == NULL)
        request->wrong = "command must be a string or an array of strings";
}

/* env, cwd and run_config; the two spellings exclude each other. */
static void run_request_surroundings(struct run_request *request,
                                     struct value body)
{
    struct value config = value_get(body, "run_config");
    struct value env = value_get(body, "env");

    if (!value_is_null(config)) {
        if (!value_is_null(env) || !value_is_null(value_get(body, "cwd"))) {
            request->wrong = "run_config cannot be combined with env or cwd";
            return;
        }
        request->user = run_request_text(request, config, "user",
                                         "user must be a string");
        env = value_get(config, "env_vars");
        request->cwd = run_request_text(request, config, "work_dir",
                                        "work_dir must be a string");
        if (request->cwd != NULL && request->cwd[0] != '/')
            request->wrong = "work_dir must be absolute";
        if (!value_is(config, '{'))
            request->wrong = "run_config must be an object";
    } else {
        request->cwd = run_request_text(request, body, "cwd",
                                        "cwd must be a string");
    }
    if (!value_is_null(env) && !value_map(env, &request->env))
        request->wrong = "the environment must be an object of strings";
}

/* The time, in either spelling. */
static void run_request_timeout(struct run_request *request,
                                struct value body)
{
    struct value value = value_get(body, "timeout");

    if (value_is_null(value))
        value = value_get(body, "timeout_seconds");
    request->timeout_s = RUN_TIMEOUT_S;
    if (!value_is_null(value) &&
        (!value_integer(value, &request->timeout_s) ||
         request->timeout_s < 0 || request->timeout_s > 31536000))
        request->wrong = "timeout must be a number of seconds, 0 for none";
}

/* Takes a request apart; `wrong` says what is not acceptable in it. One for a
 * stream may ask for a terminal, and for a shell in it by no command. */
void run_request_read(struct run_request *request, struct value body,
                      bool stream)
{
    memset(request, 0, sizeof *request);
    if (stream)
        value_bool(value_get(body, "pty"), &request->pty);
    run_request_timeout(request, body);
    run_request_argv(request, body);
    run_request_surroundings(request, body);
}
