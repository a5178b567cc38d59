/* unit_tar.c: archives, written and read: by ourselves, with GNU tar, Python's
 * tarfile and busybox in both directions, and hostile ones.
 *
 * SPDX-License-Identifier: MIT
 */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64               /* files that are large, and from later */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/internal.h"
#include "tests/test.h"

#define BLOCK LSSB_TAR_BLOCK

/* --------------------------------------------------------------- helpers -- */

/* An archive that is being made, or was read. */
static uint8_t archive[1 << 20];
static size_t archive_len;

/* What a reader told, one line an entry. */
static char told[1 << 20];
static size_t told_len;

static void tell(const char *text, size_t len)
{
    if (told_len + len >= sizeof told)
        abort();
    memcpy(told + told_len, text, len);
    told_len += len;
    told[told_len] = '\0';
}

static void tell_entry(const struct lssb_tar_entry *entry)
{
    static const char letters[] = "ofds";
    char text[256];

    snprintf(text, sizeof text, "%c %o %llu %lld.%09lu ",
             entry->hard_link ? 'h' : letters[entry->kind],
             (unsigned)entry->mode, (unsigned long long)entry->size,
             (long long)entry->mtime_s, (unsigned long)entry->mtime_ns);
    tell(text, strlen(text));
    tell(entry->name, strlen(entry->name));
    if (entry->target[0] != '\0') {
        tell(" > ", 3);
        tell(entry->target, strlen(entry->target));
    }
    tell(":", 1);
}

/* Takes what an event says; false: it was the last one. */
static bool tell_event(const struct lssb_tar *tar, enum lssb_tar_event event)
{
    switch (event) {
    case LSSB_TAR_MORE:
        return true;
    case LSSB_TAR_ENTRY:
        tell_entry(&tar->entry);
        return true;
    case LSSB_TAR_DATA:
        tell((const char *)tar->data, tar->data_len);
        return true;
    case LSSB_TAR_ENTRY_END:
        tell("\n", 1);
        return true;
    case LSSB_TAR_END:
        tell("end", 3);
        return false;
    case LSSB_TAR_WRONG:
        tell("wrong: ", 7);
        tell(tar->wrong, strlen(tar->wrong));
        return false;
    }
    return false;
}

/* Reads bytes in pieces of `step` (0: all at once) into `told`. */
static void read_limited(const uint8_t *bytes, size_t len, size_t step,
                         uint64_t most_entries, uint64_t most_bytes)
{
    static struct lssb_tar tar;
    size_t at = 0, used;

    told_len = 0;
    told[0] = '\0';
    lssb_tar_start(&tar);
    tar.most_entries = most_entries;
    tar.most_bytes = most_bytes;
    while (at < len) {
        size_t end = step == 0 || len - at < step ? len : at + step;
        enum lssb_tar_event event = LSSB_TAR_ENTRY;

        while (event != LSSB_TAR_MORE) {
            event = lssb_tar_next(&tar, bytes + at, end - at, &used);
            at += used;
            if (!tell_event(&tar, event))
                return;
        }
        EXPECT(at == end);
    }
    tell("more", 4);
}

static void read_all(const uint8_t *bytes, size_t len, size_t step)
{
    read_limited(bytes, len, step, UINT64_MAX, UINT64_MAX);
}

/* Adds an entry with its bytes, through windows of `window` bytes. */
static void add(const struct lssb_tar_entry *entry, const char *bytes,
                size_t window)
{
    uint64_t len = lssb_tar_head_len(entry), at;
    struct lssb_writer writer;

    for (at = 0; at < len; at += writer.len) {
        lssb_writer_start(&writer, archive + archive_len + at,
                          window, at);
        lssb_put_tar_head(&writer, entry);
        if (writer.len == 0 || writer.wrong != NULL)
            abort();
    }
    archive_len += (size_t)len;
    if (bytes == NULL)
        return;
    memcpy(archive + archive_len, bytes, (size_t)entry->size);
    archive_len += (size_t)entry->size;
    memset(archive + archive_len, 0, lssb_tar_padding(entry->size));
    archive_len += lssb_tar_padding(entry->size);
}

static void add_end(void)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, archive + archive_len, LSSB_TAR_END_LEN, 0);
    lssb_put_tar_end(&writer);
    archive_len += writer.len;
}

#define TEN(x) x x x x x x x x x x
#define N99 TEN("123456789") "12345678/"
#define D99 TEN("123456789") "12345678/"

/* Entries of all kinds; names and targets at every edge of the fields. */
static const struct {
    struct lssb_tar_entry entry;
    const char *bytes;
} rows[] = {
    { { LSSB_ENTRY_DIRECTORY, false, "dir", "", 0, 0755, 1000, 0 }, NULL },
    { { LSSB_ENTRY_FILE, false, "dir/empty", "", 0, 0644, 0, 0 }, NULL },
    { { LSSB_ENTRY_FILE, false, "dir/one", "", 1, 0600, 2147483648, 0 },
      "x" },
    { { LSSB_ENTRY_FILE, false, "dir/a b\n'\"\\\t$(x)", "", 2, 04711, 1, 0 },
      "ab" },
    { { LSSB_ENTRY_FILE, false, "-rf", "", 3, 0644, 2, 0 }, "abc" },
    { { LSSB_ENTRY_FILE, false, "gr\xc3\xb6\xc3\x9f" "e\xf0\x9f\x98\x80", "",
        3, 0644, 2, 0 }, "abc" },
    { { LSSB_ENTRY_FILE, false, "not\xff" "utf\xfe-8\x80", "", 3, 0644, 2, 0 },
      "abc" },
    { { LSSB_ENTRY_FILE, false, TEN("123456789") "0123456789", "", 1, 0644, 7,
        0 }, "1" },             /* 100 bytes */
    { { LSSB_ENTRY_FILE, false, TEN("123456789") "0123456789!", "", 1, 0644, 7,
        0 }, "2" },             /* 101, and no slash */
    { { LSSB_ENTRY_FILE, false, "p/" TEN("123456789") "0123456789", "", 1,
        0644, 7, 0 }, "3" },    /* split behind p */
    { { LSSB_ENTRY_DIRECTORY, false, TEN("123456789") "012345678", "", 0,
        0755, 7, 0 }, NULL },   /* 99, and its slash */
    { { LSSB_ENTRY_DIRECTORY, false, TEN("1.3456789") "0123456789", "", 0,
        0755, 7, 0 }, NULL },   /* 100, and a slash too many */
    { { LSSB_ENTRY_FILE, false,
        TEN("1234567/9") "123456789/" TEN("12345/789") "1/3456789", "", 1,
        0644, 7, 0 }, "4" },
    { { LSSB_ENTRY_FILE, false,
        TEN("1234567/9") "123456789/" TEN("12345/789") TEN("12345/789")
        TEN("12345/789") "1/3456789", "", 1, 0644, 7, 0 }, "5" },
    { { LSSB_ENTRY_SYMLINK, false, "link", "dir/one", 0, 0777, 3, 0 }, NULL },
    { { LSSB_ENTRY_SYMLINK, false, "up", "../../etc//passwd/./", 0, 0777, 3,
        0 }, NULL },
    { { LSSB_ENTRY_SYMLINK, false, "l100", TEN("123456789") "0123456789", 0,
        0777, 3, 0 }, NULL },
    { { LSSB_ENTRY_SYMLINK, false, "l101", TEN("123456789") "0123456789!", 0,
        0777, 3, 0 }, NULL },
    { { LSSB_ENTRY_SYMLINK, false, TEN("x23456789") "0123456789!",
        TEN("123456789") TEN("\xff" "23456789") "0123456789!", 0, 0777, 3, 0 },
      NULL },
    { { LSSB_ENTRY_FILE, true, "hard", "dir/one", 0, 0600, 2147483648, 0 },
      NULL },
    { { LSSB_ENTRY_FILE, false, "old", "", 3, 0644, -1, 0 }, "abc" },
    { { LSSB_ENTRY_FILE, false, "older", "", 3, 0644, -2147483648, 0 },
      "abc" },
    { { LSSB_ENTRY_FILE, false, "later", "", 3, 0644, 8589934592, 0 }, "abc" }
};
#define ROWS (sizeof rows / sizeof rows[0])

/* All rows as an archive, and as what is to be told of it. */
static char expected[1 << 16];

static void write_rows(size_t window)
{
    size_t i;

    archive_len = 0;
    told_len = 0;
    for (i = 0; i < ROWS; i++) {
        add(&rows[i].entry, rows[i].bytes, window);
        tell_entry(&rows[i].entry);
        if (rows[i].bytes != NULL)
            tell(rows[i].bytes, (size_t)rows[i].entry.size);
        tell("\n", 1);
    }
    add_end();
    tell("end", 3);
    memcpy(expected, told, told_len + 1);
}

/* ---------------------------------------------------- by ourselves alone -- */

static void what_was_written_is_read_back(void)
{
    write_rows(sizeof archive);
    EXPECT_INT(archive_len % BLOCK, 0);
    read_all(archive, archive_len, 0);
    EXPECT_STR(told, expected);
}

static void every_split_of_the_input_tells_the_same(void)
{
    size_t step;

    write_rows(sizeof archive);
    for (step = 1; step < 1100; step = step < 20 ? step + 1 : step + 97) {
        read_all(archive, archive_len, step);
        EXPECT_STR(told, expected);
    }
}

static void a_head_is_the_same_through_any_window(void)
{
    static uint8_t whole[sizeof archive];
    size_t window, len;

    write_rows(sizeof archive);
    len = archive_len;
    memcpy(whole, archive, len);
    for (window = 1; window < 700; window += 13) {
        memset(archive, 0xee, len);
        write_rows(window);
        EXPECT(archive_len == len && memcmp(archive, whole, len) == 0);
    }
}

static void sizes_beyond_eight_gibibytes_are_kept(void)
{
    static const uint64_t sizes[] = { 8589934591, 8589934592, 10000000000000,
                                      UINT64_C(1) << 61 };
    struct lssb_tar_entry entry = rows[1].entry;
    static struct lssb_tar tar;
    size_t i, used;

    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        entry.size = sizes[i];
        archive_len = 0;
        add(&entry, NULL, sizeof archive);
        EXPECT_INT(archive_len, BLOCK);
        lssb_tar_start(&tar);
        EXPECT_INT(lssb_tar_next(&tar, archive, archive_len, &used),
                   LSSB_TAR_ENTRY);
        EXPECT(tar.entry.size == sizes[i]);
    }
}

static void an_archive_that_is_cut_wants_more(void)
{
    size_t len;

    write_rows(sizeof archive);
    for (len = 0; len < archive_len - BLOCK; len += 37) {
        read_all(archive, len, 0);
        EXPECT(strcmp(told + told_len - 4, "more") == 0);
    }
}

static void limits_of_entries_and_bytes_are_kept(void)
{
    uint64_t bytes = 0;
    size_t i;

    write_rows(sizeof archive);
    for (i = 0; i < ROWS; i++)
        bytes += rows[i].entry.size;
    read_limited(archive, archive_len, 0, ROWS, bytes);
    EXPECT_STR(told, expected);
    read_limited(archive, archive_len, 0, ROWS - 1, bytes);
    EXPECT(strstr(told, "wrong: there are more entries or bytes") != NULL);
    read_limited(archive, archive_len, 0, ROWS, bytes - 1);
    EXPECT(strstr(told, "wrong: there are more entries or bytes") != NULL);
}

static void what_follows_the_end_is_swallowed(void)
{
    static struct lssb_tar tar;
    uint8_t junk[3] = { 1, 2, 3 };
    size_t used;

    archive_len = 0;
    add_end();
    lssb_tar_start(&tar);
    EXPECT_INT(lssb_tar_next(&tar, archive, archive_len, &used),
               LSSB_TAR_END);
    EXPECT_INT(used, 1024);
    EXPECT_INT(lssb_tar_next(&tar, junk, 3, &used), LSSB_TAR_END);
    EXPECT_INT(used, 3);
    EXPECT_INT(lssb_tar_next(&tar, NULL, 0, &used), LSSB_TAR_END);
}

/* ------------------------------------------------------ hostile archives -- */

/* A header by hand: fields as text, the checksum right unless it is spoilt. */
struct craft {
    const char *name;
    char type;
    const char *size;               /* octal text */
    const char *target;
    const char *body;               /* behind it, padded */
    size_t body_len;                /* 0: strlen */
    char magic;                     /* 0: ustar, 'g': GNU's, '7': none */
    char spoil;                     /* 's': checksum, 'm': mode, 't': time,
                                       'n': size negative in base 256,
                                       'h': size huge in base 256,
                                       'e': size in a base that is none;
                                       'b': mode with blanks, no spoil;
                                       '-': a sum of signed bytes, neither */
};

static void craft_sum(uint8_t *block, bool with_sign)
{
    unsigned sum = 0;
    size_t i;
    char text[8];

    memset(block + 148, ' ', 8);
    for (i = 0; i < BLOCK; i++)
        sum += block[i] - (with_sign && block[i] > 127 ? 256u : 0u);
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + 148, text, 7);
}

static void craft(const struct craft *c)
{
    uint8_t *block = archive + archive_len;
    size_t len = c->body_len;

    memset(block, 0, BLOCK);
    memcpy(block, c->name, strlen(c->name) < 100 ? strlen(c->name) : 100);
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 124, c->size != NULL ? c->size : "00000000000",
           strlen(c->size != NULL ? c->size : "00000000000"));
    memcpy(block + 136, "00000000017", 12);
    block[156] = (uint8_t)c->type;
    if (c->target != NULL)
        memcpy(block + 157, c->target, strlen(c->target));
    if (c->magic == 0)
        memcpy(block + 257, "ustar\0" "00", 8);
    if (c->magic == 'g')
        memcpy(block + 257, "ustar  ", 8);
    if (c->spoil == 'm')
        memcpy(block + 100, "0000zzz", 8);
    if (c->spoil == 't')
        memcpy(block + 136, "1 2", 4);
    if (c->spoil == 'n')
        memset(block + 124, 0xff, 12);
    if (c->spoil == 'h')
        memcpy(block + 124, "\x80\0\0\1\0\0\0\0\0\0\0\0", 12);
    if (c->spoil == 'e')
        memcpy(block + 124, "\x81\0\0\0\0\0\0\0\0\0\0\0", 12);
    if (c->spoil == 'b')
        memcpy(block + 100, "   640 ", 8);
    craft_sum(block, c->spoil == '-');
    if (c->spoil == 's')
        block[0] ^= 1;
    archive_len += BLOCK;
    if (c->body == NULL)
        return;
    if (len == 0)
        len = strlen(c->body);
    memset(archive + archive_len, 0, len + BLOCK);
    memcpy(archive + archive_len, c->body, len);
    archive_len += len + lssb_tar_padding(len);
}

#define LONG_SIZE "00000000145"     /* 101 */

static const struct {
    const char *row;
    struct craft craft[4];
    const char *says;
} hostile[] = {
    { "absolute", { { .name = "/etc/passwd", .type = '0' } },
      "wrong: an entry's name leads out" },
    { "dot dot", { { .name = "../x", .type = '0' } },
      "wrong: an entry's name leads out" },
    { "dot dot within", { { .name = "a/../../x", .type = '0' } },
      "wrong: an entry's name leads out" },
    { "dot dot at the end", { { .name = "a/..", .type = '5' } },
      "wrong: an entry's name leads out" },
    { "dot dot alone", { { .name = "..", .type = '5' } },
      "wrong: an entry's name leads out" },
    { "no name", { { .name = "", .type = '0' } },
      "wrong: an entry has no name" },
    { "a file for the root", { { .name = "./", .type = '0' } },
      "d 644 0 15.000000000 :" },
    { "a link for the root", { { .name = ".", .type = '2', .target = "x" } },
      "wrong: an entry that is no directory has the root's name" },
    { "a device for the root", { { .name = "./.", .type = '3' } },
      "wrong: an entry that is no directory has the root's name" },
    { "three dots are a name", { { .name = "...", .type = '0' } },
      "f 644 0 15.000000000 ...:" },
    { "what says nothing", { { .name = ".//a/./b//", .type = '5' } },
      "d 644 0 15.000000000 a/b:" },
    { "a file with bytes, named as a directory",
      { { .name = "a/", .type = '0', .size = "1", .body = "x" } },
      "wrong: a file has a directory's name" },
    { "a directory by its name alone", { { .name = "a/", .magic = '7' } },
      "d 644 0 15.000000000 a:" },
    { "a symbolic link to nothing", { { .name = "a", .type = '2' } },
      "wrong: a symbolic link has no target" },
    { "a hard link to nothing", { { .name = "a", .type = '1' } },
      "wrong: a hard link's target" },
    { "a hard link out",
      { { .name = "a", .type = '1', .target = "../x" } },
      "wrong: a hard link's target" },
    { "a hard link to a root",
      { { .name = "a", .type = '1', .target = "/x" } },
      "wrong: a hard link's target" },
    { "a device", { { .name = "a", .type = '3' } },
      "o 644 0 15.000000000 a:" },
    { "a pipe", { { .name = "a", .type = '6' } }, "o 644 0 15.000000000 a:" },
    { "a sparse file of GNU's", { { .name = "a", .type = 'S' } },
      "wrong: an entry is of a type" },
    { "a part of a volume", { { .name = "a", .type = 'M' } },
      "wrong: an entry is of a type" },
    { "a volume's label", { { .name = "a", .type = 'V' } },
      "wrong: an entry is of a type" },
    { "an unknown type", { { .name = "a", .type = 'Z' } },
      "wrong: an entry is of a type" },
    { "a wrong checksum", { { .name = "a", .type = '0', .spoil = 's' } },
      "wrong: a header's checksum" },
    { "a mode that is no number",
      { { .name = "a", .type = '0', .spoil = 'm' } },
      "wrong: a header's number" },
    { "a time that is no number",
      { { .name = "a", .type = '0', .spoil = 't' } },
      "wrong: a header's number" },
    { "a size that is no number",
      { { .name = "a", .type = '0', .size = "12x" } },
      "wrong: a header's number" },
    { "a negative size", { { .name = "a", .type = '0', .spoil = 'n' } },
      "wrong: a header's number" },
    { "a size that no number can hold",
      { { .name = "a", .type = '0', .spoil = 'h' } },
      "wrong: a header's number" },
    { "a size in a base that is none",
      { { .name = "a", .type = '0', .spoil = 'e' } },
      "wrong: a header's number" },
    { "a size that fills its field",
      { { .name = "a", .type = '0', .size = "000000000002", .body = "xy" } },
      "f 644 2 15.000000000 a:xy\n" },
    { "a mode with blanks about it",
      { { .name = "a", .type = '0', .spoil = 'b' } },
      "f 640 0 15.000000000 a:" },
    { "a checksum of signed bytes",
      { { .name = "a\x80\xff", .type = '0', .spoil = '-' } },
      "f 644 0 15.000000000 a\x80\xff:" },
    { "a name that begins with a dot", { { .name = "./.b/.c", .type = '0' } },
      "f 644 0 15.000000000 .b/.c:" },
    { "a file with a target", { { .name = "a", .type = '0', .target = "b" } },
      "f 644 0 15.000000000 a:\n" },
    { "a hard link behind a directory",
      { { .name = "a", .type = '5' },
        { .name = "b", .type = '1', .target = "./c" } },
      "d 644 0 15.000000000 a:\nh 644 0 15.000000000 b > c:\n" },
    { "a link, a directory, a hard link and a device have no bytes",
      { { .name = "a", .type = '2', .size = "1", .target = "b" },
        { .name = "c", .type = '5', .size = "1" },
        { .name = "d", .type = '1', .size = "1", .target = "e" },
        { .name = "f", .type = '3', .size = "1" } },
      "s 644 0 15.000000000 a > b:\nd 644 0 15.000000000 c:\n"
      "h 644 0 15.000000000 d > e:\no 644 0 15.000000000 f:\n" },
    { "a negative size of a long name",
      { { .name = "a", .type = 'L', .spoil = 'n' } },
      "wrong: a header's number" },
    { "a long name that leads out",
      { { .name = "L", .type = 'L', .size = "6", .body = "../ab" },
        { .name = "a", .type = '0' } },
      "wrong: an entry's name leads out" },
    { "a long name without bytes",
      { { .name = "L", .type = 'L', .size = "0" } },
      "wrong: a name or a target is empty" },
    { "a long name of a NUL alone",
      { { .name = "L", .type = 'L', .size = "1", .body = "\0",
          .body_len = 1 } },
      "wrong: a name or a target is empty" },
    { "a long name with a NUL within",
      { { .name = "L", .type = 'L', .size = "4", .body = "a\0b",
          .body_len = 4 } },
      "wrong: a name or a target goes on" },
    { "too long a name", { { .name = "L", .type = 'L', .size = "10001" } },
      "wrong: a name or a target is empty or too long" },
    { "a long name twice",
      { { .name = "L", .type = 'L', .size = "2", .body = "a" },
        { .name = "L", .type = 'L', .size = "2", .body = "b" } },
      "wrong: a name or a target is given twice" },
    { "a name by pax and by GNU",
      { { .name = "L", .type = 'L', .size = "2", .body = "a" },
        { .name = "x", .type = 'x', .size = "12", .body = "10 path=b\n" } },
      "wrong: a name, a target or a number is given twice" },
    { "a name by GNU and by pax",
      { { .name = "x", .type = 'x', .size = "12", .body = "10 path=b\n" },
        { .name = "L", .type = 'L', .size = "2", .body = "a" } },
      "wrong: a name or a target is given twice" },
    { "a name twice in one header",
      { { .name = "x", .type = 'x', .size = "24",
          .body = "10 path=a\n10 path=b\n" } },
      "wrong: a name, a target or a number is given twice" },
    { "a pax name", { { .name = "x", .type = 'x', .size = "12",
                        .body = "10 path=b\n" },
                      { .name = "a", .type = '0' } },
      "f 644 0 15.000000000 b:" },
    { "a pax name that leads out",
      { { .name = "x", .type = 'x', .size = "15", .body = "13 path=a/..\n" },
        { .name = "a", .type = '0' } },
      "wrong: an entry's name leads out" },
    { "a pax name with a NUL",
      { { .name = "x", .type = 'x', .size = "14", .body = "12 path=a\0b\n",
          .body_len = 12 } },
      "wrong: a name, a target or a number holds a NUL" },
    { "an empty pax name: the header's counts",
      { { .name = "x", .type = 'x', .size = "10", .body = "8 path=\n" },
        { .name = "a", .type = '0' } },
      "f 644 0 15.000000000 a:" },
    { "a pax target",
      { { .name = "x", .type = 'x', .size = "16", .body = "14 linkpath=b\n" },
        { .name = "a", .type = '2', .target = "c" } },
      "s 644 0 15.000000000 a > b:" },
    { "a pax size",
      { { .name = "x", .type = 'x', .size = "12", .body = "10 size=2\n" },
        { .name = "a", .type = '0', .size = "7", .body = "xy" } },
      "f 644 2 15.000000000 a:xy\n" },
    { "a pax size that is none",
      { { .name = "x", .type = 'x', .size = "13", .body = "11 size=-2\n" } },
      "wrong: a size is no number" },
    { "a pax size that is too large",
      { { .name = "x", .type = 'x', .size = "35",
          .body = "29 size=18446744073709551615\n" },
        { .name = "a", .type = '0' } },
      "wrong: an entry is impossibly large" },
    { "a pax size that overflows",
      { { .name = "x", .type = 'x', .size = "35",
          .body = "29 size=18446744073709551616\n" } },
      "wrong: a size is no number" },
    { "a pax time", { { .name = "x", .type = 'x', .size = "17",
                        .body = "15 mtime=-1.25\n" },
                      { .name = "a", .type = '0' } },
      "f 644 0 -2.750000000 a:" },
    { "a pax time that is none",
      { { .name = "x", .type = 'x', .size = "17",
          .body = "15 mtime=-1x25\n" } },
      "wrong: a time is no number" },
    { "a part of a second that is none",
      { { .name = "x", .type = 'x', .size = "16",
          .body = "14 mtime=1.5:\n" } },
      "wrong: a time is no number" },
    { "another one",
      { { .name = "x", .type = 'x', .size = "16",
          .body = "14 mtime=1.5/\n" } },
      "wrong: a time is no number" },
    { "a pax number without an end",
      { { .name = "x", .type = 'x', .size = "53",
          .body = "43 mtime=111111111111111111111111111111111\n" } },
      "wrong: a number is too long" },
    { "a sparse file by pax",
      { { .name = "x", .type = 'x', .size = "26",
          .body = "22 GNU.sparse.major=1\n" } },
      "wrong: an entry is a sparse file" },
    { "pax keys of no interest, long ones, too",
      { { .name = "x", .type = 'x', .size = "130",
          .body = "11 uid=123\n67 SCHILY.xattr.a.very.long.key.that.nobody"
                  ".has.ever.heard.of.=a=b\n10 path=b\n" },
        { .name = "a", .type = '0' } },
      "f 644 0 15.000000000 b:" },
    { "a pax length that is none",
      { { .name = "x", .type = 'x', .size = "12", .body = "1x path=b\n" } },
      "wrong: a pax header is malformed" },
    { "a pax length that leads out of the header",
      { { .name = "x", .type = 'x', .size = "12", .body = "11 path=b\n" } },
      "wrong: a pax header is malformed" },
    { "a pax length of itself",
      { { .name = "x", .type = 'x', .size = "3", .body = "2 " } },
      "wrong: a pax header is malformed" },
    { "a pax length without an end",
      { { .name = "x", .type = 'x', .size = "12",
          .body = "1111111111" } },
      "wrong: a pax header is malformed" },
    { "a pax record that ends within its key",
      { { .name = "x", .type = 'x', .size = "12", .body = "6 path=b\n" } },
      "wrong: a pax header is malformed" },
    { "a pax record that ends elsewhere",
      { { .name = "x", .type = 'x', .size = "13", .body = "10 path=bc\n" } },
      "wrong: a pax record does not end" },
    { "a pax header that ends within a record",
      { { .name = "x", .type = 'x', .size = "14", .body = "10 path=b\n10" } },
      "wrong: a pax header ends within a record" },
    { "two pax headers",
      { { .name = "x", .type = 'x', .size = "13", .body = "11 uid=123\n" },
        { .name = "x", .type = 'x', .size = "13", .body = "11 uid=123\n" } },
      "wrong: a pax header is followed by another" },
    { "too long a pax header",
      { { .name = "x", .type = 'x', .size = "4000001" } },
      "wrong: a pax header is too long" },
    { "a pax header of the whole archive",
      { { .name = "g", .type = 'g', .size = "21",
          .body = "17 comment=a b c\n" },
        { .name = "a", .type = '0' } },
      "f 644 0 15.000000000 a:" },
    { "one that names something",
      { { .name = "g", .type = 'g', .size = "12", .body = "10 path=b\n" } },
      "wrong: a header of the whole archive" },
    { "one that measures something",
      { { .name = "g", .type = 'g', .size = "12", .body = "10 size=2\n" } },
      "wrong: a header of the whole archive" },
    { "GNU's magic has no prefix",
      { { .name = "a", .type = '0', .magic = 'g' } },
      "f 644 0 15.000000000 a:" },
    { "text", { { .name = "a", .type = '0', .spoil = 's', .magic = '7' } },
      "wrong: a header's checksum" }
};

static void hostile_archives_are_refused(void)
{
    size_t i, k, step;

    for (i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        test_row = hostile[i].row;
        for (step = 0; step < 4; step++) {
            archive_len = 0;
            for (k = 0; k < 4 && hostile[i].craft[k].name != NULL; k++)
                craft(&hostile[i].craft[k]);
            read_all(archive, archive_len, step);
            EXPECT(strncmp(told, hostile[i].says,
                           strlen(hostile[i].says)) == 0);
            if (strncmp(told, hostile[i].says, strlen(hostile[i].says)) != 0)
                printf("  told: %s\n", told);
        }
    }
}

static void nothing_is_read_behind_what_is_wrong(void)
{
    static const struct craft bad = { .name = "a", .type = 'Z' },
                              good = { .name = "b", .type = '0' };
    static struct lssb_tar tar;
    size_t used;

    archive_len = 0;
    craft(&bad);
    craft(&good);
    lssb_tar_start(&tar);
    EXPECT_INT(lssb_tar_next(&tar, archive, archive_len, &used),
               LSSB_TAR_WRONG);
    EXPECT_INT(used, BLOCK);
    EXPECT_INT(lssb_tar_next(&tar, archive + BLOCK, BLOCK, &used),
               LSSB_TAR_WRONG);
    EXPECT_INT(used, 0);
    EXPECT(strncmp(tar.wrong, "an entry is of a type", 21) == 0);
}

static void headers_that_have_no_entry_behind_them_are_refused(void)
{
    static const struct craft pax = { .name = "x", .type = 'x', .size = "12",
                                      .body = "10 path=b\n" };
    static const struct craft name = { .name = "L", .type = 'L', .size = "2",
                                       .body = "a" };

    archive_len = 0;
    craft(&pax);
    add_end();
    read_all(archive, archive_len, 0);
    EXPECT_STR(told, "wrong: a header has no entry behind it");
    archive_len = 0;
    craft(&name);
    add_end();
    read_all(archive, archive_len, 0);
    EXPECT_STR(told, "wrong: a header has no entry behind it");
}

static void a_lone_block_of_zeros_is_refused(void)
{
    static const struct craft file = { .name = "a", .type = '0' };

    memset(archive, 0, BLOCK);
    archive_len = BLOCK;
    craft(&file);
    read_all(archive, archive_len, 0);
    EXPECT_STR(told, "wrong: a block of zeros stands alone");
}

static void headers_of_the_whole_archive_count_as_entries(void)
{
    static const struct craft global = { .name = "g", .type = 'g',
                                         .size = "21",
                                         .body = "17 comment=a b c\n" };

    archive_len = 0;
    craft(&global);
    craft(&global);
    read_limited(archive, archive_len, 0, 1, UINT64_MAX);
    EXPECT(strstr(told, "wrong: there are more entries") != NULL);
}

/* -------------------------------------------------------- other programs -- */

static char folder[64];

/* Runs a command in the folder; its exit status. */
static int run(const char *command)
{
    char text[8192];

    snprintf(text, sizeof text, "cd %s && %s", folder, command);
    return system(text);
}

static bool have(const char *program)
{
    char text[256];

    snprintf(text, sizeof text, "command -v %s >/dev/null 2>&1", program);
    return system(text) == 0;
}

static void begin_folder(void)
{
    strcpy(folder, "/tmp/lssb-tar-XXXXXX");
    if (mkdtemp(folder) == NULL)
        abort();
}

static void end_folder(void)
{
    char text[256];

    snprintf(text, sizeof text, "chmod -R u+rwx %s; rm -rf %s", folder, folder);
    if (system(text) != 0)
        printf("  %s could not be removed\n", folder);
}

static void save_archive(const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(archive, 1, archive_len, file) != archive_len)
        abort();
    fclose(file);
}

static void load_archive(const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL)
        abort();
    archive_len = fread(archive, 1, sizeof archive, file);
    fclose(file);
}

/* Whether what was extracted into `into` is the rows. */
static void expect_rows(const char *into)
{
    char path[2048], target[1024];
    struct stat st;
    size_t i;

    for (i = 0; i < ROWS; i++) {
        const struct lssb_tar_entry *entry = &rows[i].entry;
        int fd;

        test_row = entry->name;
        snprintf(path, sizeof path, "%s/%s/%s", folder, into, entry->name);
        EXPECT_INT(lstat(path, &st), 0);
        if (entry->kind == LSSB_ENTRY_DIRECTORY) {
            EXPECT(S_ISDIR(st.st_mode));
        } else if (entry->kind == LSSB_ENTRY_SYMLINK) {
            ssize_t n = readlink(path, target, sizeof target - 1);

            EXPECT(S_ISLNK(st.st_mode) && n >= 0);
            target[n < 0 ? 0 : n] = '\0';
            EXPECT_STR(target, entry->target);
        } else {
            EXPECT(S_ISREG(st.st_mode));
            EXPECT_INT(st.st_size, entry->hard_link ? 1 : entry->size);
            EXPECT_INT(st.st_mtime, entry->mtime_s);
            fd = open(path, O_RDONLY);
            EXPECT(read(fd, target, sizeof target) == (ssize_t)st.st_size &&
                   (rows[i].bytes == NULL ||
                    memcmp(target, rows[i].bytes,
                           (size_t)entry->size) == 0));
            close(fd);
        }
        if (entry->kind == LSSB_ENTRY_FILE)
            EXPECT_INT(st.st_mode & 0777, entry->mode & 0777);
    }
    test_row = "";
}

static void gnu_tar_reads_what_is_written(void)
{
    if (!have("tar")) {
        SKIP("no tar");
        return;
    }
    begin_folder();
    write_rows(sizeof archive);
    save_archive("a.tar");
    EXPECT_INT(run("mkdir x && tar -xpf a.tar -C x 2>err"), 0);
    EXPECT_INT(run("! grep -v 'time stamp' err"), 0);
    expect_rows("x");
    EXPECT_INT(run("test \"$(stat -c %a 'x/dir/a b\n'\\''\"\\\t$(x)')\" "
                   "= 4711"), 0);
    end_folder();
}

static void busybox_reads_what_is_written(void)
{
    if (!have("busybox")) {
        SKIP("no busybox");
        return;
    }
    begin_folder();
    write_rows(sizeof archive);
    save_archive("a.tar");
    EXPECT_INT(run("mkdir x && busybox tar -xpf a.tar -C x 2>err"), 0);
    expect_rows("x");
    end_folder();
}

static void python_reads_what_is_written(void)
{
    if (!have("python3")) {
        SKIP("no python3");
        return;
    }
    begin_folder();
    write_rows(sizeof archive);
    save_archive("a.tar");
    EXPECT_INT(run("mkdir x && python3 -c '"
                   "import tarfile; "
                   "t = tarfile.open(\"a.tar\", errorlevel=2); "
                   "[t.extract(m, \"x\") for m in t]'"), 0);
    expect_rows("x");
    end_folder();
}

/* A file with 9 GiB of nothing in it: only its header is in memory. */
static void others_read_sizes_beyond_eight_gibibytes(void)
{
    struct lssb_tar_entry entry = rows[1].entry;
    char path[128];
    int fd;

    if (!have("tar") || !have("python3")) {
        SKIP("no tar, or no python3");
        return;
    }
    begin_folder();
    entry.size = UINT64_C(9) << 30;
    archive_len = 0;
    add(&entry, NULL, sizeof archive);
    save_archive("a.tar");
    snprintf(path, sizeof path, "%s/a.tar", folder);
    fd = open(path, O_WRONLY);
    EXPECT_INT(ftruncate(fd, (off_t)(entry.size + 512)), 0);
    archive_len = 0;
    add(&rows[2].entry, rows[2].bytes, sizeof archive);
    add_end();
    EXPECT(pwrite(fd, archive, archive_len, (off_t)(entry.size + 512)) ==
           (ssize_t)archive_len);
    close(fd);
    EXPECT_INT(run("test \"$(tar -tvf a.tar | awk '{ print $3, $6 }')\" = "
                   "'9663676416 dir/empty\n1 dir/one'"), 0);
    EXPECT_INT(run("test \"$(python3 -c 'import tarfile; print([(m.size,"
                   " m.name) for m in tarfile.open(\"a.tar\")])')\" = \""
                   "[(9663676416, 'dir/empty'), (1, 'dir/one')]\""), 0);
    end_folder();
}

/* What a tree is made of that others put into archives. */
static const char tree[] =
    "mkdir -p x/d/empty && cd x && printf abc >d/f && ln d/f hard &&"
    " chmod 640 d/f && ln -s d/f link && mkfifo pipe &&"
    " ln -s /%0150d/ far && printf x >\"$(printf '\\377')\" &&"
    " printf x >\"$(printf 'gr\\303\\266\\303\\237e')\" &&"
    " mkdir -p %0120d/%0120d/%0120d &&"
    " printf deep >%0120d/%0120d/%0120d/file &&"
    " touch -d @-5 d/f && touch -d @1000000000 d d/empty pipe";

/* The line that was told of an entry; "" if there is none. */
static const char *line_of(const char *name)
{
    static char line[4096];
    char *at = strstr(told, name), *from, *end;

    line[0] = '\0';
    if (at == NULL)
        return line;
    for (from = at; from > told && from[-1] != '\n'; from--)
        ;
    end = strchr(at, '\n');
    snprintf(line, sizeof line, "%.*s", (int)(end - from), from);
    return line;
}

/* Reads what another program made of that tree. */
static void expect_tree(bool long_names)
{
    load_archive("a.tar");
    read_all(archive, archive_len, 0);
    EXPECT(told_len > 3 && strcmp(told + told_len - 3, "end") == 0);
    EXPECT_STR(line_of(" d/empty:"), "d 755 0 1000000000.000000000 d/empty:");
    EXPECT(strstr(told, "f 640 3 -5.000000000 d/f:abc\n") != NULL ||
           strstr(told, "f 640 3 -5.000000000 hard:abc\n") != NULL);
    EXPECT(strstr(told, " hard > d/f:\n") != NULL ||
           strstr(told, " d/f > hard:\n") != NULL);
    EXPECT(strstr(told, " link > d/f:\n") != NULL);
    EXPECT_STR(line_of(" pipe:"), "o 644 0 1000000000.000000000 pipe:");
    EXPECT(strstr(told, " gr\xc3\xb6\xc3\x9f" "e:x\n") != NULL);
    EXPECT(strstr(told, " \xff:x\n") != NULL);
    if (!long_names)
        return;
    EXPECT(strstr(told, "/file:deep\n") != NULL);
    EXPECT(strstr(told, " far > /") != NULL &&
           strlen(line_of(" far > ")) > 150);
}

static void make_tree(void)
{
    char text[4096];

    begin_folder();
    snprintf(text, sizeof text, tree, 1, 2, 3, 4, 2, 3, 4);
    if (run(text) != 0)
        EXPECT(false);
}

static void what_gnu_tar_writes_is_read(void)
{
    static const char *const formats[] = { "gnu", "oldgnu", "pax", "v7",
                                           "ustar" };
    char text[256];
    size_t i;

    if (!have("tar")) {
        SKIP("no tar");
        return;
    }
    make_tree();
    for (i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        bool long_names = i < 3;

        test_row = formats[i];
        snprintf(text, sizeof text,
                 "tar -C x --format=%s %s -cf a.tar . 2>/dev/null",
                 formats[i],
                 long_names ? "" : "--exclude=far --exclude=pipe "
                                   "--exclude='*000*'");
        run(i >= 3 ? "touch -d @0 x/d/f" : "true");
        EXPECT_INT(run(text), 0);
        if (i < 3)
            expect_tree(true);
        load_archive("a.tar");
        read_all(archive, archive_len, 0);
        EXPECT(told_len > 3 && strcmp(told + told_len - 3, "end") == 0);
    }
    end_folder();
}

static void what_python_writes_is_read(void)
{
    static const char *const formats[] = { "GNU", "PAX" };
    char text[512];
    size_t i;

    if (!have("python3")) {
        SKIP("no python3");
        return;
    }
    make_tree();
    for (i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        test_row = formats[i];
        snprintf(text, sizeof text,
                 "python3 -c 'import tarfile; t = tarfile.open(\"a.tar\","
                 " \"w\", format=tarfile.%s_FORMAT); t.add(\"x\", \".\");"
                 " t.close()'", formats[i]);
        EXPECT_INT(run(text), 0);
        expect_tree(true);
    }
    end_folder();
}

static const struct test tests[] = {
    TEST(what_was_written_is_read_back),
    TEST(every_split_of_the_input_tells_the_same),
    TEST(a_head_is_the_same_through_any_window),
    TEST(sizes_beyond_eight_gibibytes_are_kept),
    TEST(an_archive_that_is_cut_wants_more),
    TEST(limits_of_entries_and_bytes_are_kept),
    TEST(what_follows_the_end_is_swallowed),
    TEST(hostile_archives_are_refused),
    TEST(nothing_is_read_behind_what_is_wrong),
    TEST(headers_that_have_no_entry_behind_them_are_refused),
    TEST(a_lone_block_of_zeros_is_refused),
    TEST(headers_of_the_whole_archive_count_as_entries),
    TEST(gnu_tar_reads_what_is_written),
    TEST(busybox_reads_what_is_written),
    TEST(python_reads_what_is_written),
    TEST(others_read_sizes_beyond_eight_gibibytes),
    TEST(what_gnu_tar_writes_is_read),
    TEST(what_python_writes_is_read)
};

int main(void)
{
    return TEST_MAIN(tests);
}
