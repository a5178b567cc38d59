/* reattach.c: a command that outlives the program that started it.
 *
 * SPDX-License-Identifier: MIT
 *
 *     reattach FILE 'long command'     starts it, follows it
 *     reattach FILE                    goes on where that stopped
 *
 * FILE keeps the names of the box and of the command and how much of the
 * output was written, so that a program that crashed, was killed, or lost its
 * machine's network for an hour goes on to the byte. It is written before the
 * command is started: an id of one's own makes starting it twice the same as
 * starting it once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lssb.h"

/* What is to be remembered. */
struct place {
    char box[LSSB_NAME_SIZE];
    char id[LSSB_ID_SIZE];
    unsigned long long out, err;    /* bytes that were written */
};

/* Replaces the file, all of it or not at all. */
static int save(const char *path, const struct place *place)
{
    char draft[1024];
    FILE *file;
    int well;

    snprintf(draft, sizeof draft, "%s.new", path);
    file = fopen(draft, "w");
    if (file == NULL)
        return 0;
    well = fprintf(file, "%s\n%s\n%llu %llu\n", place->box, place->id,
                   place->out, place->err) > 0;
    well = fclose(file) == 0 && well;
    return well && rename(draft, path) == 0;
}

/* Reads it; false if there is none. */
static int load(const char *path, struct place *place)
{
    FILE *file = fopen(path, "r");
    int count;

    if (file == NULL)
        return 0;
    count = fscanf(file, "%127s %63s %llu %llu", place->box, place->id,
                   &place->out, &place->err);
    fclose(file);
    return count == 4;
}

/* Writes the output, and after each piece how far it got. */
static lssb_status follow(lssb_command *command, const char *path,
                          struct place *place)
{
    lssb_chunk chunk;
    lssb_status status;

    while ((status = lssb_command_next(command, &chunk, LSSB_FOREVER)) ==
           LSSB_OK) {
        FILE *to = chunk.stream == LSSB_STDERR ? stderr : stdout;

        fwrite(chunk.bytes, 1, chunk.len, to);
        fflush(to);
        place->out = command->out_offset;
        place->err = command->err_offset;
        if (!save(path, place))
            perror(path);
    }
    return status;
}

/* Starts the command in a new box, under an id that is on disk before. */
static lssb_status start(lssb_client *client, const char *path,
                         const char *text, const lssb_run_options *how,
                         struct place *place, lssb_sandbox *box,
                         lssb_command *command)
{
    lssb_status status = lssb_sandbox_create(client, NULL, box, NULL);

    if (status != LSSB_OK)
        return status;
    snprintf(place->box, sizeof place->box, "%s", box->name);
    snprintf(place->id, sizeof place->id, "%s", how->command_id);
    if (!save(path, place)) {
        perror(path);
        return LSSB_E_INVALID_ARGUMENT;
    }
    return lssb_command_start(command, box, text, how, NULL);
}

/* Goes on with the command that the file names. */
static lssb_status resume(lssb_client *client, const lssb_run_options *how,
                          const struct place *place, lssb_sandbox *box,
                          lssb_command *command)
{
    lssb_status status = lssb_sandbox_get(client, place->box, box, NULL);

    if (status != LSSB_OK)
        return status;
    return lssb_command_reattach(command, box, place->id, place->out,
                                 place->err, how, NULL);
}

int main(int argc, char **argv)
{
    lssb_config config = { 0 };
    lssb_run_options how = { 0 };
    struct place place = { 0 };
    lssb_client *client;
    lssb_sandbox box;
    lssb_command command = { 0 };
    lssb_status status;
    int code = 1;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s FILE [COMMAND]\n", argv[0]);
        return 2;
    }
    config.trust.file = getenv("LSSB_CA");
    if (lssb_open(&client, &config) != LSSB_OK)
        return 1;
    how.timeout_s = LSSB_NO_LIMIT;
    how.idle_timeout_s = 3600;      /* nobody there for an hour: then killed */
    how.command_id = "the-one-and-only";
    if (argc == 3)
        status = start(client, argv[1], argv[2], &how, &place, &box, &command);
    else if (load(argv[1], &place))
        status = resume(client, &how, &place, &box, &command);
    else
        status = LSSB_E_NOT_FOUND;
    if (status == LSSB_OK)
        status = follow(&command, argv[1], &place);
    if (status == LSSB_END) {
        code = command.exit_code;
        remove(argv[1]);
        lssb_sandbox_delete(&box, NULL);
    } else {
        fprintf(stderr, "%s: %s\n", lssb_status_name(status),
                lssb_error_text(client));
    }
    lssb_command_close(&command, NULL);
    lssb_close(client, NULL);
    return code;
}
