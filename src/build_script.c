/* build_script.c: what the builder's shell is told.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 2.10, to the byte: what upstream sends, so that what works there
 * works here.
 */
#include "build.h"

/* What unpacks the context; "@" stands for the root. */
static const char build_unpack[] =
    "rm -rf '@/context' && mkdir -p '@/context' && "
    "tar -xf '@/context.tar' -C '@/context'";

/* What builds, up to the arguments that differ, and behind them. */
static const char build_begin[] =
    "set -euo pipefail\n"
    "mkdir -p '@/buildkit-root' '@/buildkit-run'\n"
    "buildkitd --addr 'unix://@/buildkit-run/buildkitd.sock'"
    " --root '@/buildkit-root' --oci-worker=true --containerd-worker=false"
    " --oci-worker-snapshotter=native --oci-worker-binary buildkit-runc"
    " > '@/buildkit-run/buildkitd.log' 2>&1 &\n"
    "buildkitd_pid=$!\n"
    "cleanup() { kill \"$buildkitd_pid\" >/dev/null 2>&1 || true; }\n"
    "trap cleanup EXIT\n"
    "for i in $(seq 1 300); do\n"
    "  if buildctl --addr 'unix://@/buildkit-run/buildkitd.sock'"
    " debug workers >/dev/null 2>&1; then break; fi\n"
    "  if ! kill -0 \"$buildkitd_pid\" >/dev/null 2>&1; then"
    " cat '@/buildkit-run/buildkitd.log'; exit 1; fi\n"
    "  if [ \"$i\" = 300 ]; then"
    " cat '@/buildkit-run/buildkitd.log'; exit 1; fi\n"
    "  sleep 0.1\n"
    "done\n"
    "for i in $(seq 1 300); do\n"
    "  if docker info >/dev/null 2>&1; then break; fi\n"
    "  if [ \"$i\" = 300 ]; then docker info; exit 1; fi\n"
    "  sleep 0.1\n"
    "done\n"
    "'buildctl' '--addr' 'unix://@/buildkit-run/buildkitd.sock' 'build'"
    " '--progress=plain' '--frontend' 'dockerfile.v0'"
    " '--local' 'context=@/context' '--local' 'dockerfile=@/context";
static const char build_end[] =
    " | docker load\n"
    "rm -rf '@/buildkit-root' || true\n";

/* Puts a script's text, the root in it. */
static void build_put(const struct build_state *state, struct lssb_writer *to,
                      const char *text)
{
    const char *at;

    while ((at = strchr(text, '@')) != NULL) {
        lssb_put(to, text, (size_t)(at - text));
        lssb_put_text(to, state->root);
        text = at + 1;
    }
    lssb_put_text(to, text);
}

/* Puts what stands between single quotes. */
static void build_quote(struct lssb_writer *to, const char *text, size_t len)
{
    while (len > 0) {
        const char *quote = memchr(text, '\'', len);
        size_t n = quote != NULL ? (size_t)(quote - text) : len;

        lssb_put(to, text, n);
        if (quote == NULL)
            return;
        lssb_put_text(to, "'\\''");
        text += n + 1;
        len -= n + 1;
    }
}

/* Puts an option of the builder: " '--opt' 'NAME=VALUE'". */
static void build_option(struct lssb_writer *to, const char *kind,
                         const char *name, const char *value)
{
    lssb_put_text(to, " '--opt' '");
    lssb_put_text(to, kind);
    build_quote(to, name, strlen(name));
    lssb_put_text(to, "=");
    build_quote(to, value, strlen(value));
    lssb_put_text(to, "'");
}

/* The build argument whose name comes next behind `last` (NULL: the first of
 * all), or NULL. */
static const lssb_pair *build_next_arg(const lssb_build_options *options,
                                       const lssb_pair *last)
{
    const lssb_pair *next = NULL, *arg = options->args;
    size_t i;

    for (i = 0; i < options->arg_count; i++, arg++)
        if ((last == NULL || strcmp(arg->name, last->name) > 0) &&
            (next == NULL || strcmp(arg->name, next->name) < 0))
            next = arg;
    return next;
}

size_t lssb_build_base(const struct build_state *state)
{
    size_t at = strlen(state->dockerfile);

    while (at > 0 && state->dockerfile[at - 1] != '/')
        at--;
    return at;
}

void lssb_build_put_script(const struct build_state *state,
                           struct lssb_writer *to)
{
    const lssb_build_options *options = state->options;
    const lssb_pair *arg = NULL;
    size_t base = lssb_build_base(state);

    build_put(state, to, build_begin);
    if (base > 0) {
        lssb_put_text(to, "/");
        build_quote(to, state->dockerfile, base - 1);
    }
    lssb_put_text(to, "'");
    build_option(to, "", "filename", state->dockerfile + base);
    lssb_put_text(to, " '--output' 'type=docker,name=");
    lssb_put_text(to, state->image);
    lssb_put_text(to, "'");
    if (options->target != NULL)
        build_option(to, "", "target", options->target);
    while ((arg = build_next_arg(options, arg)) != NULL)
        build_option(to, "build-arg:", arg->name, arg->value);
    build_put(state, to, build_end);
    lssb_put(to, "", 1);
}

void lssb_build_put_unpack(const struct build_state *state,
                           struct lssb_writer *to)
{
    build_put(state, to, build_unpack);
    lssb_put(to, "", 1);
}
