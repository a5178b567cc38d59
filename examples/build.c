/* build.c: a snapshot from a Dockerfile.
 *
 * SPDX-License-Identifier: MIT
 *
 *     build NAME [CONTEXT [DOCKERFILE [STAGE [ARG=VALUE...]]]]
 *
 * Prints what the build says, then the id of the snapshot. Ctrl-C ends it in
 * order: the box that it builds in is deleted first.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lssb.h"

#define MAX_ARGS 32

static lssb_op op;                  /* the handler's, too */

static void interrupted(int signal_number)
{
    (void)signal_number;
    lssb_post_cancel(&op);
}

/* Takes a piece of the build's log. */
static lssb_status print(void *user, const void *bytes, size_t len)
{
    (void)user;
    fwrite(bytes, 1, len, stderr);
    return LSSB_OK;
}

/* Says what is being done, and how far the upload is. */
static void progress(void *user, lssb_build_step step, uint64_t moved,
                     uint64_t total)
{
    (void)user;
    if (moved == 0)
        fprintf(stderr, "== %s\n", lssb_build_step_name(step));
    else if (moved == total)
        fprintf(stderr, "%llu bytes sent\n", (unsigned long long)total);
}

/* Splits "NAME=VALUE" in place. */
static size_t arguments(lssb_pair *args, char **words, int count)
{
    size_t n = 0;

    for (; count > 0 && n < MAX_ARGS; count--, words++) {
        char *equals = strchr(*words, '=');

        if (equals == NULL)
            continue;
        *equals = '\0';
        args[n].name = *words;
        args[n++].value = equals + 1;
    }
    return n;
}

int main(int argc, char **argv)
{
    static lssb_build build;
    lssb_pair args[MAX_ARGS];
    lssb_build_options how = {0};
    lssb_snapshot snapshot;
    lssb_client *client;
    lssb_status status;

    if (argc < 2 || lssb_open(&client, NULL) != LSSB_OK) {
        fputs("usage: build NAME [CONTEXT [DOCKERFILE [STAGE [ARG=VALUE...]]]]"
              "\nLANGSMITH_ENDPOINT and LANGSMITH_API_KEY say where\n", stderr);
        return 2;
    }
    how.name = argv[1];
    how.files = &lssb_default_files;
    how.context = argc > 2 ? argv[2] : NULL;
    how.dockerfile = argc > 3 ? argv[3] : NULL;
    how.target = argc > 4 && argv[4][0] != '\0' ? argv[4] : NULL;
    how.args = args;
    how.arg_count = arguments(args, argv + 5, argc - 5);
    how.timeout_s = 1800;
    how.on_log = print;
    how.progress = progress;

    status = lssb_snapshot_build(client, &build, &how, &snapshot, &op);
    signal(SIGINT, interrupted);
    if (status == LSSB_PENDING)
        status = lssb_wait(client, &op, LSSB_FOREVER);
    signal(SIGINT, SIG_DFL);
    if (status == LSSB_OK)
        printf("%s\n", snapshot.id);
    else
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (build.builder_left)
        fprintf(stderr, "%s is left: delete it\n", build.builder);
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
