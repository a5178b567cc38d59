/* tar.c: archives, read as they arrive.
 *
 * SPDX-License-Identifier: MIT
 *
 * ustar (POSIX.1-1988), pax (POSIX.1-2001), GNU's long names and numbers in
 * base 256, the format of Version 7. A scanner: it holds one block, one name
 * and one target, and believes nothing. Of two ways to read a header it takes
 * neither, so that no other program sees other files in the same bytes.
 */
#include "internal.h"

#define TAR_PAX_LIMIT (UINT64_C(1) << 20)   /* bytes of a pax header */
#define TAR_SIZE_LIMIT (UINT64_C(1) << 62)

enum tar_state {
    TAR_HEADER = 0,                 /* collects a block */
    TAR_LONG,                       /* a name or target of GNU's */
    TAR_RECORD,                     /* the length of a pax record */
    TAR_RECORD_KEY,
    TAR_VALUE,
    TAR_PADDING,
    TAR_BYTES,                      /* an entry was told; its bytes */
    TAR_OVER,
    TAR_BAD
};

enum tar_key {
    TAR_KEY_NONE = 0,               /* of no interest */
    TAR_KEY_NAME = 1,               /* these are bits of `given`, too */
    TAR_KEY_TARGET = 2,
    TAR_KEY_SIZE = 4,
    TAR_KEY_MTIME = 8
};

#define TAR_GIVEN_PAX 16            /* a pax header stands before the entry */

/* Where the numbers of a header stand. */
#define TAR_AT_MODE 100
#define TAR_AT_SIZE 124
#define TAR_AT_MTIME 136
#define TAR_AT_SUM 148
#define TAR_AT_TYPE 156
#define TAR_AT_TARGET 157
#define TAR_AT_MAGIC 257
#define TAR_AT_PREFIX 345

static enum lssb_tar_event tar_wrong(struct lssb_tar *tar, const char *why)
{
    tar->own.state = TAR_BAD;
    tar->wrong = why;
    return LSSB_TAR_WRONG;
}

void lssb_tar_start(struct lssb_tar *tar)
{
    memset(tar, 0, sizeof *tar);
    tar->most_entries = UINT64_MAX;
    tar->most_bytes = UINT64_MAX;
}

/* -------------------------------------------------------------- a header -- */

/* Digits in octal, blanks before them, a NUL or blank behind. */
static bool tar_octal(const uint8_t *field, size_t size, int64_t *number)
{
    uint64_t value = 0;
    size_t i = 0;

    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    for (; i < size; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return false;
    *number = (int64_t)value;       /* 12 digits have 36 bits */
    return true;
}

/* A number of a header, in either form. */
static bool tar_number(const uint8_t *field, size_t size, int64_t *number)
{
    bool minus = field[0] == 0xff;
    uint64_t value = minus ? UINT64_MAX : 0;
    size_t i;

    if ((field[0] & 0x80) == 0)
        return tar_octal(field, size, number);
    if (!minus && field[0] != 0x80)
        return false;
    for (i = 1; i < size; i++) {
        if (value >> 55 != (minus ? 0x1ff : 0))
            return false;
        value = value << 8 | field[i];
    }
    if (minus)
        *number = -(int64_t)(UINT64_MAX - value) - 1;
    else
        *number = (int64_t)value;
    return true;
}

/* Whether the checksum is right, by signed bytes or unsigned ones: old
 * programs did not agree. */
static bool tar_sum_fits(const uint8_t *block)
{
    int64_t given;
    int32_t plain = 0, with_sign = 0;
    size_t i;

    for (i = 0; i < LSSB_TAR_BLOCK; i++) {
        int32_t c = i >= TAR_AT_SUM && i < TAR_AT_SUM + 8 ? ' ' : block[i];

        plain += c;
        with_sign += c < 128 ? c : c - 256;
    }
    return tar_octal(block + TAR_AT_SUM, 8, &given) &&
           (given == plain || given == with_sign);
}

/* The length of a text in a field. */
static size_t tar_field_len(const uint8_t *field, size_t size)
{
    const uint8_t *end = memchr(field, '\0', size);

    return end != NULL ? (size_t)(end - field) : size;
}

/* Drops what says nothing from a name: "./", doubled slashes, one at the end;
 * false: it leads out, or holds a NUL. */
static bool tar_clean(char *name, size_t len)
{
    size_t from = 0, to = 0;

    if (name[0] == '/' || memchr(name, '\0', len) != NULL)
        return false;
    while (from < len) {
        const char *slash = memchr(name + from, '/', len - from);
        size_t n = slash != NULL ? (size_t)(slash - name) - from : len - from;

        if (n == 2 && name[from] == '.' && name[from + 1] == '.')
            return false;
        if (n > 0 && !(n == 1 && name[from] == '.')) {
            if (to > 0)
                name[to++] = '/';
            memmove(name + to, name + from, n);
            to += n;
        }
        from += n + 1;
    }
    name[to] = '\0';
    return true;
}

/* The name as the header itself has it. */
static size_t tar_own_name(struct lssb_tar *tar)
{
    const uint8_t *block = tar->own.block;
    size_t len = tar_field_len(block, 100), before = 0;

    if (memcmp(block + TAR_AT_MAGIC, "ustar", 6) == 0)
        before = tar_field_len(block + TAR_AT_PREFIX, 155);
    memcpy(tar->own.name, block + TAR_AT_PREFIX, before);
    if (before > 0)
        tar->own.name[before++] = '/';
    memcpy(tar->own.name + before, block, len);
    tar->own.name[before + len] = '\0';
    return before + len;
}

/* What kind of entry a type is; false: one that is not understood. */
static bool tar_kind(struct lssb_tar *tar, bool slash)
{
    struct lssb_tar_entry *entry = &tar->entry;

    entry->hard_link = false;
    switch (tar->own.type) {
    case '\0':
    case '0':
    case '7':
        entry->kind = slash ? LSSB_ENTRY_DIRECTORY : LSSB_ENTRY_FILE;
        return true;
    case '1':
        entry->kind = LSSB_ENTRY_FILE;
        entry->hard_link = true;
        return true;
    case '2':
        entry->kind = LSSB_ENTRY_SYMLINK;
        return true;
    case '5':
        entry->kind = LSSB_ENTRY_DIRECTORY;
        return true;
    case '3':
    case '4':
    case '6':
        entry->kind = LSSB_ENTRY_OTHER;
        return true;
    default:
        return false;
    }
}

/* Name and target of an entry; NULL, or what is wrong with them. */
static const char *tar_texts(struct lssb_tar *tar, bool *slash)
{
    const uint8_t *block = tar->own.block;
    size_t len;

    if ((tar->own.given & TAR_KEY_NAME) == 0)
        len = tar_own_name(tar);
    else
        len = strlen(tar->own.name);
    *slash = len > 0 && tar->own.name[len - 1] == '/';
    if (len == 0)
        return "an entry has no name";
    if (!tar_clean(tar->own.name, len))
        return "an entry's name leads out of the archive's root";
    if ((tar->own.given & TAR_KEY_TARGET) == 0) {
        len = tar_field_len(block + TAR_AT_TARGET, 100);
        memcpy(tar->own.target, block + TAR_AT_TARGET, len);
        tar->own.target[len] = '\0';
    }
    return NULL;
}

/* What else a kind of entry demands; NULL, or what is wrong. */
static const char *tar_check(struct lssb_tar *tar)
{
    struct lssb_tar_entry *entry = &tar->entry;
    char *target = tar->own.target;

    if (tar->own.name[0] == '\0' && entry->kind != LSSB_ENTRY_DIRECTORY)
        return "an entry that is no directory has the root's name";
    if (entry->hard_link) {
        if (target[0] == '\0' || !tar_clean(target, strlen(target)) ||
            target[0] == '\0')
            return "a hard link's target leads out of the archive's root";
    } else if (entry->kind == LSSB_ENTRY_SYMLINK) {
        if (target[0] == '\0')
            return "a symbolic link has no target";
    } else {
        target[0] = '\0';
    }
    entry->name = tar->own.name;
    entry->target = target;
    return NULL;
}

/* Size, mode and time of an entry; NULL, or what is wrong with them. */
static const char *tar_numbers(struct lssb_tar *tar)
{
    const uint8_t *block = tar->own.block;
    struct lssb_tar_entry *entry = &tar->entry;
    int64_t size, mode;

    if (!tar_number(block + TAR_AT_SIZE, 12, &size) || size < 0 ||
        !tar_number(block + TAR_AT_MODE, 8, &mode) ||
        !tar_number(block + TAR_AT_MTIME, 12, &entry->mtime_s))
        return "a header's number is none";
    entry->mode = (uint32_t)(mode & 07777);
    entry->mtime_ns = 0;
    if ((tar->own.given & TAR_KEY_MTIME) != 0) {
        entry->mtime_s = tar->own.mtime_s;
        entry->mtime_ns = tar->own.mtime_ns;
    }
    entry->size = (uint64_t)size;
    if ((tar->own.given & TAR_KEY_SIZE) != 0)
        entry->size = tar->own.size;
    if (entry->size >= TAR_SIZE_LIMIT)
        return "an entry is impossibly large";
    if (entry->size > 0 && entry->kind == LSSB_ENTRY_DIRECTORY &&
        tar->own.type != '5')
        return "a file has a directory's name";
    if (entry->kind != LSSB_ENTRY_FILE || entry->hard_link)
        entry->size = 0;            /* it may say something, and means none */
    return NULL;
}

/* Counts an entry, or the header of the whole archive. */
static bool tar_counts(struct lssb_tar *tar, uint64_t size)
{
    if (tar->entries >= tar->most_entries ||
        size > tar->most_bytes - tar->bytes)
        return false;
    tar->entries++;
    tar->bytes += size;
    return true;
}

/* The block is an entry's header. */
static enum lssb_tar_event tar_entry(struct lssb_tar *tar)
{
    const char *wrong;
    bool slash;

    wrong = tar_texts(tar, &slash);
    if (wrong == NULL && !tar_kind(tar, slash))
        wrong = "an entry is of a type that is not understood";
    if (wrong == NULL)
        wrong = tar_check(tar);
    if (wrong == NULL)
        wrong = tar_numbers(tar);
    if (wrong == NULL && !tar_counts(tar, tar->entry.size))
        wrong = "there are more entries or bytes than the limit";
    if (wrong != NULL)
        return tar_wrong(tar, wrong);
    tar->own.given = 0;
    tar->own.left = tar->entry.size;
    tar->own.padding = (uint16_t)lssb_tar_padding(tar->entry.size);
    tar->own.state = TAR_BYTES;
    return LSSB_TAR_ENTRY;
}

/* The block is the header of a long name or target of GNU's. */
static const char *tar_begin_long(struct lssb_tar *tar, int64_t size)
{
    uint8_t key = tar->own.type == 'L' ? TAR_KEY_NAME : TAR_KEY_TARGET;

    if (size < 1 || size > LSSB_TAR_PATH)
        return "a name or a target is empty or too long";
    if ((tar->own.given & key) != 0)
        return "a name or a target is given twice";
    tar->own.given |= key;
    tar->own.key = key;
    tar->own.state = TAR_LONG;
    return NULL;
}

/* The block is a pax header's own. */
static const char *tar_begin_pax(struct lssb_tar *tar, int64_t size)
{
    if ((uint64_t)size > TAR_PAX_LIMIT)
        return "a pax header is too long";
    if (tar->own.type == 'g') {
        if (!tar_counts(tar, 0))
            return "there are more entries or bytes than the limit";
    } else if ((tar->own.given & TAR_GIVEN_PAX) != 0) {
        return "a pax header is followed by another";
    } else {
        tar->own.given |= TAR_GIVEN_PAX;
    }
    tar->own.record_left = 0;
    tar->own.word_len = 0;
    tar->own.state = size > 0 ? TAR_RECORD : TAR_HEADER;
    return NULL;
}

/* What stands before an entry, to say more of it. */
static enum lssb_tar_event tar_before(struct lssb_tar *tar)
{
    int64_t size;
    const char *wrong;

    if (!tar_number(tar->own.block + TAR_AT_SIZE, 12, &size) || size < 0)
        return tar_wrong(tar, "a header's number is none");
    if (tar->own.type == 'L' || tar->own.type == 'K')
        wrong = tar_begin_long(tar, size);
    else
        wrong = tar_begin_pax(tar, size);
    if (wrong != NULL)
        return tar_wrong(tar, wrong);
    tar->own.left = (uint64_t)size;
    tar->own.padding = (uint16_t)lssb_tar_padding((uint64_t)size);
    return LSSB_TAR_MORE;
}

/* A block of zeros: two of them are the end. */
static enum lssb_tar_event tar_zeros(struct lssb_tar *tar)
{
    if (tar->own.given != 0)
        return tar_wrong(tar, "a header has no entry behind it");
    if (!tar->own.zeros) {
        tar->own.zeros = true;
        return LSSB_TAR_MORE;
    }
    tar->own.state = TAR_OVER;
    return LSSB_TAR_END;
}

/* A whole block has come where a header is due. */
static enum lssb_tar_event tar_block(struct lssb_tar *tar)
{
    const uint8_t *block = tar->own.block;
    size_t i = 0;

    tar->own.have = 0;
    while (i < LSSB_TAR_BLOCK && block[i] == 0)
        i++;
    if (i == LSSB_TAR_BLOCK)
        return tar_zeros(tar);
    if (tar->own.zeros)
        return tar_wrong(tar, "a block of zeros stands alone");
    if (!tar_sum_fits(block))
        return tar_wrong(tar, "a header's checksum is wrong");
    tar->own.type = block[TAR_AT_TYPE];
    if (tar->own.type == 'L' || tar->own.type == 'K' ||
        tar->own.type == 'x' || tar->own.type == 'g')
        return tar_before(tar);
    return tar_entry(tar);
}

/* --------------------------------------------------------- pax and GNU's -- */

/* Which key a record has, as far as it matters here. */
static const char *tar_record_key(struct lssb_tar *tar, const char *key,
                                  size_t len)
{
    static const struct {
        const char *key;
        enum tar_key means;
    } keys[] = { { "path", TAR_KEY_NAME }, { "linkpath", TAR_KEY_TARGET },
                 { "size", TAR_KEY_SIZE }, { "mtime", TAR_KEY_MTIME } };
    size_t i;

    tar->own.key = TAR_KEY_NONE;
    if (len >= 10 && memcmp(key, "GNU.sparse", 10) == 0)
        return "an entry is a sparse file";
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (len == strlen(keys[i].key) && memcmp(key, keys[i].key, len) == 0)
            tar->own.key = (uint8_t)keys[i].means;
    if (tar->own.type == 'g') {
        if (tar->own.key != TAR_KEY_NONE && tar->own.key != TAR_KEY_MTIME)
            return "a header of the whole archive names or measures entries";
        tar->own.key = TAR_KEY_NONE;
    }
    if ((tar->own.given & tar->own.key) != 0)
        return "a name, a target or a number is given twice";
    return NULL;
}

/* A record's length has come, and the blank behind it. */
static const char *tar_record(struct lssb_tar *tar)
{
    size_t len = tar->own.word_len;
    uint64_t all;

    if (!lssb_parse_u64(tar->own.word, len, &all) || all <= len + 1 ||
        all - len - 1 > tar->own.left)
        return "a pax header is malformed";
    tar->own.record_left = (uint32_t)(all - len - 1);
    tar->own.word_len = 0;
    tar->own.state = TAR_RECORD_KEY;
    return NULL;
}

/* Seconds, perhaps with a fraction: "-12.5". */
static bool tar_seconds(const char *text, size_t len, int64_t *seconds,
                        uint32_t *nanoseconds)
{
    bool minus = len > 0 && text[0] == '-';
    const char *dot = memchr(text, '.', len);
    size_t whole = dot != NULL ? (size_t)(dot - text) : len, i;
    uint64_t number;
    uint32_t unit = 100000000;

    *nanoseconds = 0;
    if (!lssb_parse_u64(text + minus, whole - minus, &number) ||
        number > INT64_MAX / 2)
        return false;
    for (i = whole + 1; i < len; i++, unit /= 10) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *nanoseconds += unit * (uint32_t)(text[i] - '0');
    }
    *seconds = minus ? -(int64_t)number : (int64_t)number;
    if (minus && *nanoseconds > 0) {
        *seconds -= 1;
        *nanoseconds = 1000000000 - *nanoseconds;
    }
    return true;
}

/* A record's value is complete. One that is empty takes back nothing here: the
 * header's own counts. */
static const char *tar_value(struct lssb_tar *tar)
{
    size_t len = tar->own.have;
    const char *word = tar->own.word;

    if (len == 0)
        return NULL;
    tar->own.given |= tar->own.key;
    if (tar->own.key == TAR_KEY_SIZE &&
        !lssb_parse_u64(word, len, &tar->own.size))
        return "a size is no number";
    if (tar->own.key == TAR_KEY_MTIME &&
        !tar_seconds(word, len, &tar->own.mtime_s, &tar->own.mtime_ns))
        return "a time is no number";
    if (tar->own.key == TAR_KEY_NAME)
        tar->own.name[len] = '\0';
    if (tar->own.key == TAR_KEY_TARGET)
        tar->own.target[len] = '\0';
    return NULL;
}

/* Keeps one byte of a text or a number; NULL, or why not. */
static const char *tar_keep(struct lssb_tar *tar, char c)
{
    bool name = tar->own.key == TAR_KEY_NAME;
    bool number = tar->own.key == TAR_KEY_SIZE ||
                  tar->own.key == TAR_KEY_MTIME;

    if (tar->own.key == TAR_KEY_NONE)
        return NULL;
    if (number && tar->own.have >= sizeof tar->own.word)
        return "a number is too long";
    if (!number && tar->own.have >= LSSB_TAR_PATH - 1)
        return "a name or a target is too long";
    if (c == '\0')
        return "a name, a target or a number holds a NUL";
    if (number)
        tar->own.word[tar->own.have++] = c;
    else if (name)
        tar->own.name[tar->own.have++] = c;
    else
        tar->own.target[tar->own.have++] = c;
    return NULL;
}

/* One byte of a long name: a NUL ends it, and nothing follows that. */
static const char *tar_long_byte(struct lssb_tar *tar, char c)
{
    const char *wrong = NULL;
    char *text = tar->own.key == TAR_KEY_NAME ? tar->own.name
                                              : tar->own.target;

    if (c == '\0')
        tar->own.word_len = 1;
    else if (tar->own.word_len == 0)
        wrong = tar_keep(tar, c);
    else
        wrong = "a name or a target goes on behind its end";
    if (wrong == NULL && tar->own.left == 0) {
        if (tar->own.have == 0)
            return "a name or a target is empty or too long";
        text[tar->own.have] = '\0';
    }
    return wrong;
}

/* One byte of a record's length. */
static const char *tar_length_byte(struct lssb_tar *tar, char c)
{
    if (c == ' ')
        return tar_record(tar);
    if (tar->own.word_len >= 8)
        return "a pax header is malformed";
    tar->own.word[tar->own.word_len++] = c;
    return NULL;
}

/* One byte of a record's key; of a long one the beginning is enough. */
static const char *tar_key_byte(struct lssb_tar *tar, char c)
{
    const char *wrong;

    if (--tar->own.record_left == 0)
        return "a pax header is malformed";
    if (c != '=') {
        if (tar->own.word_len < sizeof tar->own.word)
            tar->own.word[tar->own.word_len++] = c;
        return NULL;
    }
    wrong = tar_record_key(tar, tar->own.word, tar->own.word_len);
    tar->own.word_len = 0;
    tar->own.have = 0;
    tar->own.state = TAR_VALUE;
    return wrong;
}

/* One byte of a record's value, or the line's end behind it. */
static const char *tar_value_byte(struct lssb_tar *tar, char c)
{
    if (--tar->own.record_left > 0)
        return tar_keep(tar, c);
    if (c != '\n')
        return "a pax record does not end where it should";
    tar->own.state = TAR_RECORD;
    return tar_value(tar);
}

/* Takes one byte of what stands before an entry. */
static enum lssb_tar_event tar_before_byte(struct lssb_tar *tar, char c)
{
    const char *wrong;

    tar->own.left--;
    if (tar->own.state == TAR_LONG)
        wrong = tar_long_byte(tar, c);
    else if (tar->own.state == TAR_RECORD)
        wrong = tar_length_byte(tar, c);
    else if (tar->own.state == TAR_RECORD_KEY)
        wrong = tar_key_byte(tar, c);
    else
        wrong = tar_value_byte(tar, c);
    if (wrong == NULL && tar->own.left == 0 && tar->own.state != TAR_LONG &&
        (tar->own.state != TAR_RECORD || tar->own.word_len > 0))
        wrong = "a pax header ends within a record";
    if (wrong != NULL)
        return tar_wrong(tar, wrong);
    if (tar->own.left == 0) {
        tar->own.have = 0;
        tar->own.word_len = 0;
        tar->own.state = TAR_PADDING;
    }
    return LSSB_TAR_MORE;
}

/* ------------------------------------------------------------- the input -- */

/* What an entry's bytes are, or that they are over. */
static enum lssb_tar_event tar_bytes(struct lssb_tar *tar,
                                     const uint8_t *bytes, size_t len,
                                     size_t *used)
{
    if (tar->own.left == 0) {
        tar->own.state = TAR_PADDING;
        return LSSB_TAR_ENTRY_END;
    }
    if (len == 0)
        return LSSB_TAR_MORE;
    tar->data = bytes;
    tar->data_len = len < tar->own.left ? len : (size_t)tar->own.left;
    tar->own.left -= tar->data_len;
    *used += tar->data_len;
    return LSSB_TAR_DATA;
}

/* Collects a block, or drops padding; MORE: nothing is to be told yet. */
static enum lssb_tar_event tar_fill(struct lssb_tar *tar, const uint8_t *bytes,
                                    size_t len, size_t *used)
{
    size_t n;

    if (tar->own.state == TAR_PADDING) {
        n = len < tar->own.padding ? len : tar->own.padding;
        tar->own.padding = (uint16_t)(tar->own.padding - n);
        *used += n;
        if (tar->own.padding == 0)
            tar->own.state = TAR_HEADER;
        return LSSB_TAR_MORE;
    }
    n = LSSB_TAR_BLOCK - (size_t)tar->own.have;
    if (n > len)
        n = len;
    memcpy(tar->own.block + tar->own.have, bytes, n);
    tar->own.have = (uint16_t)(tar->own.have + n);
    *used += n;
    return tar->own.have == LSSB_TAR_BLOCK ? tar_block(tar) : LSSB_TAR_MORE;
}

enum lssb_tar_event lssb_tar_next(struct lssb_tar *tar, const uint8_t *bytes,
                                  size_t len, size_t *used)
{
    enum lssb_tar_event event = LSSB_TAR_MORE;

    *used = 0;
    while (event == LSSB_TAR_MORE) {
        size_t left = len - *used;

        switch ((enum tar_state)tar->own.state) {
        case TAR_BYTES:
            return tar_bytes(tar, left > 0 ? bytes + *used : NULL, left, used);
        case TAR_OVER:
            *used = len;
            return LSSB_TAR_END;
        case TAR_BAD:
            return LSSB_TAR_WRONG;
        case TAR_HEADER:
        case TAR_PADDING:
        case TAR_LONG:
        case TAR_RECORD:
        case TAR_RECORD_KEY:
        case TAR_VALUE:
            break;
        }
        if (left == 0)
            break;
        if (tar->own.state == TAR_HEADER || tar->own.state == TAR_PADDING)
            event = tar_fill(tar, bytes + *used, left, used);
        else
            event = tar_before_byte(tar, (char)bytes[(*used)++]);
    }
    return event;
}
