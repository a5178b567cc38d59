/* run.c: what running a command takes over HTTP and over a WebSocket alike.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

void lssb_run_put_config(struct lssb_json_writer *json,
                         const lssb_run_options *options)
{
    bool newer = options->as_user != NULL && options->as_user[0] != '\0';

    if (newer) {
        lssb_json_object(json, "run_config");
        lssb_json_string(json, "user", options->as_user);
    }
    if (options->env_count > 0)
        lssb_json_pairs(json, newer ? "env_vars" : "env", options->env,
                        options->env_count);
    if (options->cwd != NULL && options->cwd[0] != '\0')
        lssb_json_string(json, newer ? "work_dir" : "cwd", options->cwd);
    if (newer)
        lssb_json_close(json);
}

void lssb_run_clear(const lssb_run_options *options)
{
    if (options->out != NULL && options->out_size > 0)
        options->out[0] = '\0';
    if (options->err != NULL && options->err_size > 0)
        options->err[0] = '\0';
}

void lssb_run_store(char *buffer, size_t size, uint64_t at, const char *bytes,
                    size_t len, bool *cut)
{
    if (buffer == NULL || size == 0)
        return;
    if (at >= size - 1 || *cut) {
        *cut = true;
        return;
    }
    if (len > size - 1 - (size_t)at) {
        len = size - 1 - (size_t)at;
        while (len > 0 && ((uint8_t)bytes[len] & 0xC0) == 0x80)
            len--;                  /* not in the middle of a character */
        *cut = true;
    }
    memcpy(buffer + at, bytes, len);
    buffer[at + len] = '\0';
}
