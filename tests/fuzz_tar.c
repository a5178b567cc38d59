/* fuzz_tar.c: archives and .dockerignore files of any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is read must be the same wherever it is split, never lead out of its
 * root, and be read again the same when it is written. What a .dockerignore
 * file says of a path must be the same however it is read, and every time.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static uint64_t sum_of(uint64_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len-- > 0)
        sum = (sum ^ *p++) * UINT64_C(1099511628211);
    return sum;
}

/* A name leads nowhere but down. */
static void check_name(const char *name)
{
    MUST(name[0] != '/' && strlen(name) < LSSB_TAR_PATH);
    while (*name != '\0') {
        size_t n = strcspn(name, "/");

        MUST(n > 0 && !(n == 1 && name[0] == '.') &&
             !(n == 2 && name[0] == '.' && name[1] == '.'));
        name += n;
        if (*name == '/') {
            name++;
            MUST(*name != '\0');
        }
    }
}

/* The entry, written, is read again as it was. */
static void check_again(const struct lssb_tar_entry *entry)
{
    static uint8_t head[4 * LSSB_TAR_PATH];
    static struct lssb_tar again;
    struct lssb_writer writer;
    uint64_t len = lssb_tar_head_len(entry);
    size_t used;

    if (entry->kind == LSSB_ENTRY_OTHER || entry->name[0] == '\0')
        return;
    MUST(len % LSSB_TAR_BLOCK == 0 && len <= sizeof head);
    lssb_writer_start(&writer, head, sizeof head, 0);
    lssb_put_tar_head(&writer, entry);
    MUST(writer.len == len && writer.wrong == NULL);
    lssb_tar_start(&again);
    MUST(lssb_tar_next(&again, head, (size_t)len, &used) == LSSB_TAR_ENTRY);
    MUST(used == len && again.entry.kind == entry->kind &&
         again.entry.hard_link == entry->hard_link &&
         again.entry.size == entry->size && again.entry.mode == entry->mode &&
         again.entry.mtime_s == entry->mtime_s &&
         strcmp(again.entry.name, entry->name) == 0 &&
         strcmp(again.entry.target, entry->target) == 0);
}

static void check_entry(const struct lssb_tar_entry *entry)
{
    check_name(entry->name);
    if (entry->hard_link)
        check_name(entry->target);
    MUST(entry->mode <= 07777 && entry->mtime_ns < 1000000000);
    if (entry->kind != LSSB_ENTRY_FILE || entry->hard_link)
        MUST(entry->size == 0);
    check_again(entry);
}

/* Reads all in pieces of `step`; a checksum of what was told. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t step)
{
    static struct lssb_tar tar;
    uint64_t sum = UINT64_C(14695981039346656037), left = 0;
    size_t at = 0, used;

    lssb_tar_start(&tar);
    tar.most_entries = 100;
    while (at < size) {
        size_t end = size - at < step ? size : at + step;
        enum lssb_tar_event event = LSSB_TAR_ENTRY;

        while (event != LSSB_TAR_MORE) {
            event = lssb_tar_next(&tar, data + at, end - at, &used);
            MUST(used <= end - at);
            at += used;
            if (event != LSSB_TAR_MORE && event != LSSB_TAR_DATA)
                sum = sum_of(sum, &event, sizeof event);
            if (event == LSSB_TAR_ENTRY) {
                check_entry(&tar.entry);
                left = tar.entry.size;
                sum = sum_of(sum, tar.entry.name, strlen(tar.entry.name));
                sum = sum_of(sum, tar.entry.target, strlen(tar.entry.target));
                sum = sum_of(sum, &left, sizeof left);
            } else if (event == LSSB_TAR_DATA) {
                MUST(tar.data_len > 0 && tar.data_len <= left);
                left -= tar.data_len;
                sum = sum_of(sum, tar.data, tar.data_len);
            } else if (event == LSSB_TAR_ENTRY_END) {
                MUST(left == 0);
            } else if (event == LSSB_TAR_END || event == LSSB_TAR_WRONG) {
                return event == LSSB_TAR_WRONG
                           ? sum_of(sum, tar.wrong, strlen(tar.wrong))
                           : sum;
            }
        }
        MUST(at == end);
    }
    return sum;
}

/* Repairs the checksums, so that what is behind them is reached. */
static void repair(uint8_t *data, size_t size)
{
    size_t block, i;

    for (block = 0; block + LSSB_TAR_BLOCK <= size; block += LSSB_TAR_BLOCK) {
        uint8_t *at = data + block;
        uint32_t sum = 8 * ' ', digit;

        if (at[148] != 'S')
            continue;
        for (i = 0; i < LSSB_TAR_BLOCK; i++)
            sum += i >= 148 && i < 156 ? 0 : at[i];
        for (i = 0; i < 6; i++) {
            digit = sum >> (3 * (5 - i)) & 7;
            at[148 + i] = (uint8_t)('0' + digit);
        }
        at[154] = 0;
        at[155] = ' ';
    }
}

/* The .dockerignore file, and how much of it is read at once. */
static const uint8_t *lines;
static size_t lines_len;
static size_t piece;

static ptrdiff_t read_lines(void *context, intptr_t file, uint64_t offset,
                            void *bytes, size_t len, int32_t *code)
{
    (void)context;
    (void)file;
    (void)code;
    if (offset >= lines_len)
        return 0;
    if (len > lines_len - offset)
        len = lines_len - (size_t)offset;
    if (len > piece)
        len = piece;
    memcpy(bytes, lines + offset, len);
    return (ptrdiff_t)len;
}

static void close_lines(void *context, intptr_t file)
{
    (void)context;
    (void)file;
}

static const lssb_files files = { .version = LSSB_FILES_VERSION,
                                  .read_at = read_lines,
                                  .close = close_lines };

/* What becomes of a path, and why. */
static enum lssb_pack_choice choose(struct lssb_ignore *ignore,
                                    const char *path)
{
    enum lssb_pack_choice choice;

    do
        choice = lssb_ignore_choose(ignore, path, false);
    while (choice == LSSB_PACK_LATER);
    MUST((choice == LSSB_PACK_STOP) == (ignore->wrong != NULL));
    MUST(choice != LSSB_PACK_LOOK);
    return choice;
}

/* Lines before the last NUL, a path behind it. */
static void ignore_lines(const uint8_t *data, size_t size, size_t step)
{
    static struct lssb_ignore whole, pieces;
    static const intptr_t file = 1;
    char path[256];
    enum lssb_pack_choice choice;
    size_t len = size;

    while (len > 0 && data[len - 1] != 0)
        len--;
    if (len == 0 || len == size || size - len >= sizeof path)
        return;
    memcpy(path, data + len, size - len);
    path[size - len] = '\0';
    lines = data;
    lines_len = len - 1;
    piece = SIZE_MAX;
    lssb_ignore_start(&whole, &files, &file, "Dockerfile");
    choice = choose(&whole, path);
    piece = step;
    lssb_ignore_start(&pieces, &files, &file, "Dockerfile");
    MUST(choose(&pieces, path) == choice);
    MUST(whole.line == pieces.line);
    if (choice != LSSB_PACK_STOP)
        MUST(choose(&whole, path) == choice);
    lssb_ignore_end(&whole);
    lssb_ignore_end(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[1 << 16];
    size_t step;
    uint64_t sum;

    if (size < 1 || size > sizeof copy)
        return 0;
    step = data[0];
    memcpy(copy, data + 1, --size);
    if (step >= 128) {
        ignore_lines(copy, size, step - 127);
        return 0;
    }
    step++;
    repair(copy, size);
    sum = read_all(copy, size, sizeof copy);
    MUST(read_all(copy, size, step) == sum);
    return 0;
}
