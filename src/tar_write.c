/* tar_write.c: entries of an archive, written.
 *
 * SPDX-License-Identifier: MIT
 *
 * A header is made anew from its entry each time it is asked for, through
 * whichever window, so an archive needs no memory while it goes out.
 */
#include "internal.h"

#define TAR_NAME 100                /* bytes of the fields of a header */
#define TAR_PREFIX 155
#define TAR_OCTAL_LIMIT (UINT64_C(1) << 33) /* eleven octal digits */

/* A header on its way: summed first, then put. */
struct tar_head {
    struct lssb_writer *to;         /* NULL: only summed */
    uint32_t sum;
};

/* What one block of a header says. */
struct tar_block {
    const char *name;
    size_t name_len;
    const char *prefix;
    size_t prefix_len;
    const char *target;
    size_t target_len;
    uint32_t mode;
    uint64_t size;
    int64_t mtime_s;
    char type;
};

static void tar_put(struct tar_head *head, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    size_t i;

    for (i = 0; i < len; i++)
        head->sum += from[i];
    if (head->to != NULL)
        lssb_put(head->to, bytes, len);
}

static void tar_put_zeros(struct tar_head *head, size_t len)
{
    static const uint8_t zeros[64];

    while (len > 0) {
        size_t n = len < sizeof zeros ? len : sizeof zeros;

        tar_put(head, zeros, n);
        len -= n;
    }
}

/* Bytes, and zeros up to the field's size. */
static void tar_put_field(struct tar_head *head, const char *bytes, size_t len,
                          size_t size)
{
    tar_put(head, bytes, len);
    tar_put_zeros(head, size - len);
}

/* Octal digits that fill the field but for a NUL. */
static void tar_put_octal(struct tar_head *head, uint64_t number, size_t size)
{
    char digits[12];
    size_t i;

    for (i = size - 1; i-- > 0; number >>= 3)
        digits[i] = (char)('0' + (number & 7));
    digits[size - 1] = '\0';
    tar_put(head, digits, size);
}

/* A number of 12 bytes: in octal or, where that cannot be, in base 256. */
static void tar_put_number(struct tar_head *head, int64_t number)
{
    uint8_t bytes[12];
    uint64_t rest = (uint64_t)number;
    size_t i;

    if (number >= 0 && rest < TAR_OCTAL_LIMIT) {
        tar_put_octal(head, rest, sizeof bytes);
        return;
    }
    for (i = sizeof bytes; i-- > 4; rest >>= 8)
        bytes[i] = (uint8_t)(rest & 0xff);
    memset(bytes, number < 0 ? 0xff : 0, 4);
    bytes[0] |= 0x80;
    tar_put(head, bytes, sizeof bytes);
}

/* The fields of a block; the checksum is what they sum up to with blanks in
 * its place. */
static void tar_put_fields(struct tar_head *head, const struct tar_block *b,
                           const uint32_t *sum)
{
    tar_put_field(head, b->name, b->name_len, TAR_NAME);
    tar_put_octal(head, b->mode & 07777, 8);
    tar_put_octal(head, 0, 8);      /* the owner: root */
    tar_put_octal(head, 0, 8);
    tar_put_number(head, (int64_t)b->size);
    tar_put_number(head, b->mtime_s);
    if (sum != NULL) {
        tar_put_octal(head, *sum, 7);
        tar_put(head, " ", 1);
    } else {
        tar_put(head, "        ", 8);
    }
    tar_put(head, &b->type, 1);
    tar_put_field(head, b->target, b->target_len, TAR_NAME);
    tar_put(head, "ustar\0" "00", 8);
    tar_put_zeros(head, 80);        /* names of owners, numbers of devices */
    tar_put_field(head, b->prefix, b->prefix_len, TAR_PREFIX);
    tar_put_zeros(head, 12);
}

static void tar_put_block(struct lssb_writer *to, const struct tar_block *b)
{
    struct tar_head head;
    uint32_t sum;

    head.to = NULL;
    head.sum = 0;
    tar_put_fields(&head, b, NULL);
    sum = head.sum;
    head.to = to;
    tar_put_fields(&head, b, &sum);
}

/* A name or target that its header has no room for, in an entry of its own:
 * with a NUL behind it. */
static void tar_put_long(struct lssb_writer *to, char type, const char *text,
                         size_t len, bool slash)
{
    struct tar_head head;
    struct tar_block b;
    uint64_t size = (uint64_t)len + slash + 1;

    memset(&b, 0, sizeof b);
    b.name = "././@LongLink";
    b.name_len = 13;
    b.prefix = b.target = "";
    b.size = size;
    b.type = type;
    tar_put_block(to, &b);
    head.to = to;
    head.sum = 0;
    tar_put(&head, text, len);
    tar_put(&head, "/", slash);
    tar_put_zeros(&head, 1 + lssb_tar_padding(size));
}

/* Where a name is parted into a prefix and the rest: at the first slash that
 * leaves no more than fits. False: nowhere. */
static bool tar_split(const char *name, size_t len, bool slash, size_t *at)
{
    size_t i;

    for (i = 1; i + 1 < len && i <= TAR_PREFIX; i++)
        if (name[i] == '/' && len - i - 1 + slash <= TAR_NAME) {
            *at = i;
            return true;
        }
    return false;
}

/* The name's part of the header; the slash that ends a directory's name. */
static void tar_put_name(struct lssb_writer *to, struct tar_block *b,
                         const char *name, bool slash)
{
    char last[TAR_NAME];
    size_t len = strlen(name), at = 0;
    bool whole = len + slash <= TAR_NAME;
    bool split = !whole && tar_split(name, len, slash, &at);

    if (split) {
        b->prefix = name;
        b->prefix_len = at;
        name += at + 1;
        len -= at + 1;
    } else if (!whole) {
        tar_put_long(to, 'L', name, len, slash);
        len = TAR_NAME - slash;     /* for readers that know no better */
    }
    memcpy(last, name, len);
    if (slash)
        last[len++] = '/';
    b->name = last;
    b->name_len = len;
    tar_put_block(to, b);
}

/* The type of an entry, by the letter that the header has for it. */
static char tar_type(const struct lssb_tar_entry *entry)
{
    switch (entry->kind) {
    case LSSB_ENTRY_DIRECTORY:
        return '5';
    case LSSB_ENTRY_SYMLINK:
        return '2';
    case LSSB_ENTRY_FILE:
    case LSSB_ENTRY_OTHER:          /* there is nothing that could be put */
        break;
    }
    return entry->hard_link ? '1' : '0';
}

void lssb_put_tar_head(struct lssb_writer *to,
                       const struct lssb_tar_entry *entry)
{
    struct tar_block b;
    bool link = entry->kind == LSSB_ENTRY_SYMLINK || entry->hard_link;

    memset(&b, 0, sizeof b);
    b.prefix = "";
    b.target = link ? entry->target : "";
    b.target_len = strlen(b.target);
    b.mode = entry->mode;
    b.mtime_s = entry->mtime_s;
    b.type = tar_type(entry);
    b.size = b.type == '0' ? entry->size : 0;
    if (b.target_len > TAR_NAME) {
        tar_put_long(to, 'K', b.target, b.target_len, false);
        b.target_len = TAR_NAME;
    }
    tar_put_name(to, &b, entry->name, entry->kind == LSSB_ENTRY_DIRECTORY);
}

uint64_t lssb_tar_head_len(const struct lssb_tar_entry *entry)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, NULL, 0, 0);
    lssb_put_tar_head(&writer, entry);
    return writer.total;
}

void lssb_put_tar_end(struct lssb_writer *to)
{
    struct tar_head head;

    head.to = to;
    head.sum = 0;
    tar_put_zeros(&head, LSSB_TAR_END_LEN);
}

uint32_t lssb_tar_padding(uint64_t size)
{
    return (uint32_t)((LSSB_TAR_BLOCK - size % LSSB_TAR_BLOCK) %
                      LSSB_TAR_BLOCK);
}
