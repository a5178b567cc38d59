/* build_begin.c: what a build is checked for before it begins.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything that can be found out here is, before a builder costs anything:
 * the options, also those that only the last step needs, the context, the
 * Dockerfile in it, what says which of its files are sent.
 */
#include "build.h"

/* Whether a text is there, and may stand in JSON. */
static bool build_is_text(const char *text)
{
    return text != NULL && text[0] != '\0' &&
           lssb_utf8_valid(text, strlen(text)) == strlen(text);
}

/* What is wrong with the build arguments, or NULL. */
static const char *build_args_wrong(const lssb_build_options *options)
{
    const lssb_pair *arg;
    size_t i, k;

    if (options->arg_count > 0 && options->args == NULL)
        return "args: NULL, but arg_count is not 0";
    for (i = 0; i < options->arg_count; i++) {
        arg = &options->args[i];
        if (!build_is_text(arg->name) || strchr(arg->name, '=') != NULL)
            return "args: a name is empty, holds a '=' or is no UTF-8";
        if (arg->value == NULL ||
            (arg->value[0] != '\0' && !build_is_text(arg->value)))
            return "args: a value is NULL or no UTF-8";
        for (k = 0; k < i; k++)
            if (strcmp(options->args[k].name, arg->name) == 0)
                return "args: a name stands there twice";
    }
    return NULL;
}

/* What is wrong with what only the last step is told, or NULL. */
static const char *build_capture_wrong(const lssb_build_options *options)
{
    size_t i;

    if (!build_is_text(options->name))
        return "name: it is missing, or no UTF-8";
    if (options->tag != NULL && options->tag[0] != '\0' &&
        !build_is_text(options->tag))
        return "tag: it is no UTF-8";
    if (options->label_count > 0 && options->labels == NULL)
        return "labels: NULL, but label_count is not 0";
    for (i = 0; i < options->label_count; i++)
        if (!build_is_text(options->labels[i].name) ||
            options->labels[i].value == NULL ||
            (options->labels[i].value[0] != '\0' &&
             !build_is_text(options->labels[i].value)))
            return "labels: a name or a value is missing, or no UTF-8";
    return NULL;
}

/* Cleans the Dockerfile's path; false: it leads out of the context, or cannot
 * stand in a command. */
static bool build_clean_path(struct build_state *state, const char *path)
{
    size_t len = 0, n;

    if (!build_is_text(path) || path[0] == '/' || strlen(path) >= BUILD_PATH)
        return false;
    for (; *path != '\0'; path += n + (path[n] == '/')) {
        const char *slash = strchr(path, '/');

        n = slash != NULL ? (size_t)(slash - path) : strlen(path);
        if (n == 0 || (n == 1 && path[0] == '.'))
            continue;
        if (n == 2 && path[0] == '.' && path[1] == '.')
            return false;
        if (len > 0)
            state->dockerfile[len++] = '/';
        memcpy(state->dockerfile + len, path, n);
        len += n;
    }
    state->dockerfile[len] = '\0';
    return len > 0;
}

/* What is wrong with the options, or NULL; cleans the Dockerfile's path. */
static const char *build_wrong(struct build_state *state)
{
    const lssb_build_options *options = state->options;
    const char *path = options->dockerfile, *wrong;

    if (options->files == NULL ||
        options->files->version != LSSB_FILES_VERSION)
        return "files: NULL, or of another version";
    wrong = build_capture_wrong(options);
    if (wrong == NULL)
        wrong = build_args_wrong(options);
    if (wrong != NULL)
        return wrong;
    if (options->target != NULL && !build_is_text(options->target))
        return "target: it is empty, or no UTF-8";
    if (!build_clean_path(state, path != NULL ? path : "Dockerfile"))
        return "dockerfile: a path in the context was expected, relative, "
               "without \"..\", UTF-8, of less than 512 bytes";
    return NULL;
}

/* The directory that the Dockerfile is in; it is the caller's to close, unless
 * it is the root. False: there is none. */
static bool build_find_directory(struct build_state *state, intptr_t root,
                                 intptr_t *directory, int32_t *code)
{
    const lssb_files *files = state->options->files;
    char *name = state->dockerfile, *slash;

    *directory = root;
    while ((slash = strchr(name, '/')) != NULL) {
        intptr_t opened;
        lssb_status status;

        *slash = '\0';
        status = files->open_directory(files->context, *directory, name,
                                       &opened, code);
        *slash = '/';
        if (*directory != root)
            files->close(files->context, *directory);
        if (status != LSSB_OK)
            return false;
        *directory = opened;
        name = slash + 1;
    }
    return true;
}

/* Opens the Dockerfile's own .dockerignore, or the context's, if there is one.
 * NULL, or what is wrong. */
static const char *build_open_ignore(struct build_state *state, intptr_t root,
                                     intptr_t directory, int32_t *code)
{
    const lssb_files *files = state->options->files;
    struct lssb_ignore *ignore = &state->of.context.ignore;
    size_t len = strlen(state->dockerfile);
    intptr_t file;
    lssb_status status;

    memcpy(state->dockerfile + len, ".dockerignore", sizeof ".dockerignore");
    status = files->open_file(files->context, directory,
                              state->dockerfile + lssb_build_base(state), &file,
                              code);
    state->dockerfile[len] = '\0';
    if (status == LSSB_E_NOT_FOUND)
        status = files->open_file(files->context, root, ".dockerignore", &file,
                                  code);
    if (status != LSSB_OK && status != LSSB_E_NOT_FOUND)
        return ".dockerignore: it is no file, or cannot be opened";
    lssb_ignore_start(ignore, files, status == LSSB_OK ? &file : NULL,
                      state->dockerfile);
    return NULL;
}

/* Looks for the Dockerfile, and for what says which files are sent. NULL, or
 * what is wrong. */
static const char *build_look(struct build_state *state, int32_t *code)
{
    const lssb_files *files = state->options->files;
    intptr_t root = state->of.context.pack.own.levels[0].directory, directory;
    const char *wrong = NULL;
    lssb_local_info info;

    if (!build_find_directory(state, root, &directory, code))
        return "dockerfile: there is no such directory in the context";
    if (files->info(files->context, directory,
                    state->dockerfile + lssb_build_base(state), &info,
                    code) != LSSB_OK)
        wrong = "dockerfile: there is no such file in the context";
    else if (info.kind != LSSB_ENTRY_FILE && info.kind != LSSB_ENTRY_SYMLINK)
        wrong = "dockerfile: it is no file";
    else
        wrong = build_open_ignore(state, root, directory, code);
    if (directory != root)
        files->close(files->context, directory);
    return wrong;
}

/* What becomes of an entry of the context. */
static enum lssb_pack_choice build_choose(void *user, const char *path,
                                          const lssb_local_info *info)
{
    struct build_state *state = user;
    struct lssb_ignore *ignore = &state->of.context.ignore;

    if (info->kind == LSSB_ENTRY_OTHER)
        return LSSB_PACK_DROP;
    if (!state->of.context.pack.own.asking)
        ignore->own.asked = false;  /* another path than the last time */
    return lssb_ignore_choose(ignore, path,
                              info->kind == LSSB_ENTRY_DIRECTORY);
}

/* Opens the context. NULL, or what is wrong. */
static const char *build_open(struct build_state *state, int32_t *code)
{
    const lssb_build_options *options = state->options;
    struct lssb_pack *pack = &state->of.context.pack;
    const char *wrong;

    if (lssb_pack_start(pack, options->files,
                        options->context != NULL ? options->context : ".") !=
        LSSB_OK) {
        *code = pack->code;
        return "context: it is no directory, or cannot be opened";
    }
    wrong = build_look(state, code);
    if (wrong != NULL) {
        lssb_pack_end(pack);
        return wrong;
    }
    pack->choose = build_choose;
    pack->user = state;
    state->reading = true;
    return NULL;
}

/* Puts `count` random bytes in hexadecimal behind a text; false: the port has
 * none. */
static bool build_random(struct build_state *state, char *to, size_t size,
                         const char *before, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    lssb_client *client = state->client;
    uint8_t bytes[16];
    char hex[2 * sizeof bytes];
    struct lssb_text text;
    size_t i;

    if (client->port->random(client->port_context, bytes, count) != LSSB_IO_OK)
        return false;
    for (i = 0; i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    lssb_text_start(&text, to, size);
    lssb_text_add(&text, before);
    lssb_text_add_n(&text, hex, 2 * count);
    return true;
}

/* Makes up the names of this build. */
static bool build_names(struct build_state *state)
{
    struct lssb_text text;

    if (!build_random(state, state->build->builder,
                      sizeof state->build->builder, BUILD_BUILDER, 6) ||
        !build_random(state, state->root, sizeof state->root, BUILD_ROOT, 6) ||
        !build_random(state, state->image, sizeof state->image, BUILD_IMAGE,
                      16))
        return false;
    lssb_text_start(&text, state->archive, sizeof state->archive);
    lssb_text_add(&text, state->root);
    lssb_text_add(&text, "/context.tar");
    return true;
}

lssb_status lssb_build_refuse(lssb_op *call, lssb_status status, int32_t code,
                              const char *wrong)
{
    lssb_client *client = lssb_call_client(call);

    lssb_refuse_as(client, call, status, "build snapshot: ", wrong, NULL);
    client->error.system_code = code;
    if (call->error != NULL)
        call->error->system_code = code;
    return status;
}

/* Whether the script fits where it is put. */
static bool build_fits(const struct build_state *state)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, NULL, 0, 0);
    lssb_build_put_script(state, &writer);
    return writer.total <= sizeof state->of.script;
}

lssb_status lssb_build_prepare(struct build_state *state, lssb_op *call)
{
    const char *wrong = build_wrong(state);
    int32_t code = 0;

    if (wrong != NULL)
        return lssb_build_refuse(call, LSSB_E_INVALID_ARGUMENT, 0, wrong);
    if (!build_names(state))
        return lssb_build_refuse(call, LSSB_E_UNSUPPORTED, 0,
                            "the port has no random bytes for its names");
    if (!build_fits(state))
        return lssb_build_refuse(call, LSSB_E_TOO_LONG, 0,
                            "args: there are too many, or they are too long");
    wrong = build_open(state, &code);
    if (wrong != NULL)
        return lssb_build_refuse(call, LSSB_E_INVALID_ARGUMENT, code, wrong);
    return LSSB_OK;
}
