/* fuzz_told.c: what a box's tools may tell, of any kind: nothing breaks, and
 * the same is told wherever the text is split.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "../src/internal.h"

/* What was told, as a sum. */
struct told {
    uint64_t sum;
    unsigned events;
    bool wrong;
};

static void add(struct told *told, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        told->sum = (told->sum ^ from[i]) * UINT64_C(1099511628211);
}

static void check(bool right)
{
    if (!right)
        abort();
}

/* One record, as the caller would get it. */
static void tell(struct lssb_tools_state *state, bool processes,
                 struct told *told)
{
    lssb_process process;
    lssb_entry entry;

    told->events++;
    if (processes) {
        lssb_told_fill(state, &process);
        check(strlen(process.name) <= LSSB_TOLD_PROCESS_NAME);
        check(process.arguments[process.arguments_len] == '\0');
        add(told, process.name, strlen(process.name));
        add(told, process.arguments, process.arguments_len);
        add(told, &process.cpu_ms, sizeof process.cpu_ms);
        return;
    }
    lssb_told_entry(state, &entry);
    check(strlen(entry.name) < sizeof state->name);
    check(strstr(entry.name, "//") == NULL);
    add(told, entry.name, strlen(entry.name));
    add(told, &entry.size, sizeof entry.size);
    add(told, &entry.mtime_s, sizeof entry.mtime_s);
}

/* Tells a text that comes in pieces of so many characters. */
static struct told run(const char *text, size_t len, size_t piece,
                       uint32_t flags, bool processes)
{
    static struct lssb_tools_state state;
    struct told told = { 0, 0, false };
    size_t from = 0;

    memset(&state, 0, sizeof state);
    state.flags = flags;
    while (from < len && !told.wrong) {
        size_t used, now = len - from < piece ? len - from : piece;
        char *copy = malloc(now);   /* so that one too far is found out */
        enum lssb_told event;

        memcpy(copy, text + from, now);
        event = (processes ? lssb_told_process : lssb_told_next)(
            &state, copy, now, &used);
        check(used <= now);
        free(copy);
        from += used;
        if (event == LSSB_TOLD_ENTRY)
            tell(&state, processes, &told);
        told.wrong = event == LSSB_TOLD_WRONG;
    }
    lssb_told_complaint(&state, text, len);
    lssb_told_last(&state);
    check(strlen(state.said) == state.said_len);
    check(lssb_utf8_valid(state.said, state.said_len) == state.said_len);
    add(&told, &state.failure, sizeof state.failure);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t kinds[] = { 0, LSSB_TOLD_MARKED, LSSB_TOLD_TARGET,
                                      0 };
    static char encoded[20000];
    struct lssb_writer writer;
    const char *text;
    struct told whole, split;
    bool processes;
    size_t piece;

    if (size < 2 || size > 8000)
        return 0;
    piece = 1 + data[1] % 16;
    processes = (data[0] & 3) == 3;
    text = (const char *)data + 2;
    size -= 2;
    if ((data[0] & 4) != 0) {       /* records, past the decoder */
        lssb_writer_start(&writer, encoded, sizeof encoded, 0);
        lssb_put_text(&writer, "#b");
        lssb_put_base64(&writer, text, size);
        text = encoded;
        size = writer.len;
    }
    whole = run(text, size, size, kinds[data[0] & 3], processes);
    split = run(text, size, piece, kinds[data[0] & 3], processes);
    check(whole.sum == split.sum && whole.events == split.events &&
          whole.wrong == split.wrong);
    return 0;
}
