/* unit_ignore.c: what a .dockerignore file leaves out.
 *
 * SPDX-License-Identifier: MIT
 */
#include "src/internal.h"
#include "tests/test.h"

/* A file in memory, read by pieces. */
static const char *text;
static size_t text_len;
static size_t piece;
static int closed;

static ptrdiff_t read_text(void *context, intptr_t file, uint64_t offset,
                           void *bytes, size_t len, int32_t *code)
{
    (void)context;
    (void)code;
    if (text == NULL || file != 1)
        return -1;
    if (offset >= text_len)
        return 0;
    if (len > text_len - offset)
        len = text_len - (size_t)offset;
    if (len > piece)
        len = piece;
    memcpy(bytes, text + offset, len);
    return (ptrdiff_t)len;
}

static void close_text(void *context, intptr_t file)
{
    (void)context;
    (void)file;
    closed++;
}

static const lssb_files files = { .version = LSSB_FILES_VERSION,
                                  .read_at = read_text,
                                  .close = close_text };

static struct lssb_ignore ignore;

static void begin(const char *lines, size_t len)
{
    static const intptr_t file = 1;

    text = lines;
    text_len = len;
    lssb_ignore_start(&ignore, &files, &file, "build/Dockerfile");
}

static unsigned put_off;            /* how often the choice was */

/* What becomes of files: "k" kept, "d" left out, "!" a mistake; of
 * directories, whose paths end with '/', also "l": looked into. */
static char decide(const char *path)
{
    static const char letters[] = "kdl?!";
    enum lssb_pack_choice choice;
    char plain[512];
    size_t len = strlen(path);
    bool directory = path[len - 1] == '/';

    memcpy(plain, path, len + 1);
    if (directory)
        plain[len - 1] = '\0';
    put_off = 0;
    while ((choice = lssb_ignore_choose(&ignore, plain, directory)) ==
           LSSB_PACK_LATER)
        put_off++;
    return letters[choice];
}

static const struct {
    const char *lines;
    const char *paths;              /* "k path", one a line */
} rows[] = {
    { "", "k a\nk a/b/\nd .git/\nd .git/x\nk a/.git/" },
    { "!.git", "k .git/\nk .git/x" },
    { "a", "d a\nd a/\nd a/b\nk ab\nk b/a" },
    { "/a", "d a\nk b/a" },
    { "a/", "d a\nd a/b" },
    { "./x/../a//b/", "d a/b\nk a\nk x" },
    { "../a\n..\n.\n/", "k a\nk b" },
    { "a/b/../c", "d a/c\nk a/b\nk c" },
    { "ab/../cd/./../ef", "d ef\nk ab\nk cd\nk ab/ef" },
    { "a/../../b", "k b\nk a" },
    { "/a/../../b", "d b\nk a" },
    { "../../a\n/..a\n..b/c", "k a\nd ..a\nd ..b/c" },
    { "a/..\n!/", "k a\nd .git/" },
    { "b\n!a", "k a\nd .git/\nd b\nd .git/" },
    { "a\n!a\n\n", "k a\nk a" },
    { "  a\t\r\n\tb ", "d a\nd b" },
    { "#a\n #b", "k a\nk #a\nd #b" },
    { "\xef\xbb\xbf" "a\n\xef\xbb\xbf" "b", "d a\nk b" },
    { "*", "d a\nd a/\nd .x\nl build/\nd build/a\nk build/Dockerfile\n"
           "k build/Dockerfile.dockerignore\nk .dockerignore\n"
           "d a/.dockerignore\nd build/Dockerfile.x" },
    { "*\n!a", "d b\nk a\nk a/b\nd b/a\nd c/" },
    { "*\n!a/b", "l a/\nk a/b\nd a/c\nd b/\nk a/b/c" },
    { "*\n!**/b", "l a/\nl a/c/\nk a/b\nk a/c/b\nd a/c/d" },
    { "a\n!a/b\na/b/c", "l a/\nk a/b/\nd a/b/c\nk a/b/d\nd a/x" },
    { "!a\na", "d a" },
    { "a\n! a", "k a" },
    { "a*", "d a\nd ab\nd a/x\nk ba\nk b/a" },
    { "*a", "d a\nd ba\nk b/a\nk ab" },
    { "*/*.o", "d a/x.o\nk x.o\nk a/b/x.o" },
    { "a?c", "d abc\nd a\xc3\xa4" "c\nd a\xff" "c\nk a/c\nk ac\nk abbc" },
    { "**", "d a\nd a/b/c" },
    { "**/a", "d a\nd b/a\nd b/c/a\nd b/a/c\nk b/ab\nk ba" },
    { "a/**", "k a\nk a/\nd a/b\nd a/b/c" },
    { "a/**/b", "d a/b\nd a/x/b\nd a/x/y/b\nk ab\nk a/bb" },
    { "**/*.go", "d x.go\nd a/x.go\nd a/b/x.go\nk x.gone" },
    { "**foo", "d foo\nd xfoo\nd a/xfoo\nk foox" },
    { "**fo[o]", "d foo\nd a/foo\nk xfoo" },
    { "a**b", "d ab\nd axx/b\nk axxb" },
    { "***", "d a\nd a/b" },
    { "*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
      "k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    { "[a-c]x", "d ax\nd cx\nk dx\nk x" },
    { "[^a-c]x", "d dx\nk ax" },
    { "[\\]\\-]x", "d ]x\nd -x\nk ax" },
    { "[\xc3\xa4-\xc3\xbc]x", "d \xc3\xb6x\nk ox\nk \xc3\xa3x\nd \xc3\xa4x\n"
                              "d \xc3\xbcx\nk \xc3\xbdx" },
    { "[\xe2\x82\xac]", "d \xe2\x82\xac\nk \xe2\x82\xad\nk \xe2\x83\xac" },
    { "[\xc2\x80-\xc2\xa0]", "d \xc2\x80\nd \xc2\x90\nk \x80\nk \x90" },
    { "[^a]", "d ^\nd b\nk a" },
    { "[a^]", "d ^\nd a\nk b" },
    { "\\*\\!", "d *!\nk a!" },
    { "\\#a", "d #a" },
    { "a.b+(c)|{d}$^", "d a.b+(c)|{d}$^\nk axb+(c)|{d}$^" },
    { "a\n!a/x\na*", "l a/\nk a/x" },   /* as Docker has it */
    { "a\r\n#b\r\n\r\n!c\r", "d a\nk b\nk c\nk \r" },
    { "\xef\xbb\xbf" "a\r\nb", "d a\nd b\nk \xef\xbb\xbf" "a" },
    { "\xef\xbb\xbf#a\nb", "k #a\nd b" },
    { "b\n\xef\xbb\xbf" "a", "k a\nd \xef\xbb\xbf" "a\nd b" },
    { "a\xc2\xa0\n\xe2\x80\x83" "b\xe3\x80\x80 ", "d a\nd b" },
    { "*\n! \xc2\x85" "a\xe2\x80\xa8\xe1\x9a\x80", "k a\nd b" },
    { "\xc2\xa0#a\n\xc2\xa0\n\xe2\x80\xaf!a", "d #a\nk a" },
    { "a\xa0\n\x85" "b\nc\xe2\x80\x8b", "d a\xa0\nk a\nd \x85" "b\nk b\nk c" },
    { "[", "! a" },
    { "[]", "! a" },
    { "[a", "! a" },
    { "[a-]", "! a" },
    { "[-a]", "! a" },
    { "[a-]]", "! a" },
    { "[]a]", "! a" },
    { "[^]", "! a" },
    { "[a\\]", "! a" },
    { "a\\", "! a" },
    { "!", "! a" }
};

static void lines_mean_what_they_mean_to_docker(void)
{
    char path[512];
    size_t i;

    for (piece = 1; piece < 5000; piece += 4998)
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            const char *at = rows[i].paths;

            begin(rows[i].lines, strlen(rows[i].lines));
            while (at != NULL) {    /* one path says nothing of the next */
                const char *end = strchr(at, '\n');

                snprintf(path, sizeof path, "%.*s",
                         (int)(end != NULL ? (size_t)(end - at)
                                           : strlen(at)), at);
                test_row = path;
                EXPECT_INT(decide(path + 2), path[0]);
                at = end != NULL ? end + 1 : NULL;
            }
            lssb_ignore_end(&ignore);
        }
}

static void a_large_file_is_read_line_by_line(void)
{
    static char lines[65536];
    size_t len = 0, i;

    piece = 1000;
    for (i = 0; len < sizeof lines - 100; i++)
        len += (size_t)snprintf(lines + len, 100, "name-%u/%0*d\n",
                                (unsigned)i, (int)(i % 60) + 1, 7);
    len += (size_t)snprintf(lines + len, 100, "last");
    begin(lines, len);
    EXPECT_INT(decide("last"), 'd');
    EXPECT_INT(decide("name-0/7"), 'd');
    EXPECT_INT(decide("name-1000/000000000000000000000000000000000000000007"),
               'k');
    EXPECT_INT(decide("name-1000/00000000000000000000000000000000000000007"),
               'd');
    EXPECT_INT(put_off, 0);
    EXPECT_INT(decide("las"), 'k');
    lssb_ignore_end(&ignore);
}

/* Patterns that are in hundreds of states at every character of a path. */
static void what_takes_long_is_put_off(void)
{
    static char lines[60001];
    char path[201];
    size_t i;

    piece = 4096;
    for (i = 0; i < 60000; i++)
        lines[i] = i % 1000 == 999 ? '\n' : i % 2 == 0 ? '*' : 'a';
    memset(path, 'a', 200);
    path[200] = '\0';
    begin(lines, 60000);
    EXPECT_INT(decide(path), 'k');
    EXPECT(put_off >= 10 && put_off <= 20);
    EXPECT_INT(decide("b"), 'k');
    EXPECT_INT(put_off, 0);
    lssb_ignore_end(&ignore);
    for (i = 0; i < 60000; i++)     /* nor are lines for nothing */
        lines[i] = i % 2 == 0 ? '#' : '\n';
    begin(lines, 60000);
    EXPECT_INT(decide("b"), 'k');
    EXPECT_INT(put_off, 1);
    lssb_ignore_end(&ignore);
}

static void mistakes_name_their_line(void)
{
    static char lines[70000];
    size_t i;

    piece = 4096;
    begin("a\n\n#x\nb[\n", 9);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "a pattern is malformed");
    EXPECT_INT(ignore.line, 4);
    lssb_ignore_end(&ignore);
    memset(lines, 'a', sizeof lines);
    for (i = 999; i < sizeof lines; i += 1000)
        lines[i] = '\n';
    begin(lines, 65000);
    EXPECT_INT(decide("c"), 'k');
    lssb_ignore_end(&ignore);
    begin(lines, 66000);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "the file is larger than 64 KiB");
    EXPECT_INT(ignore.line, 66);
    lssb_ignore_end(&ignore);
    begin(lines, 65536);
    EXPECT_INT(decide("c"), 'k');
    lssb_ignore_end(&ignore);
    begin(lines, 65537);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "the file is larger than 64 KiB");
    lssb_ignore_end(&ignore);
    memset(lines, 'a', sizeof lines);
    begin(lines, 1023);
    EXPECT_INT(decide("c"), 'k');
    lssb_ignore_end(&ignore);
    begin(lines, 1024);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "a line is longer than 1,023 bytes");
    lssb_ignore_end(&ignore);
    lines[1023] = '\n';
    begin(lines, 3000);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "a line is longer than 1,023 bytes");
    EXPECT_INT(ignore.line, 2);
    lssb_ignore_end(&ignore);
    begin(NULL, 0);
    EXPECT_INT(decide("c"), '!');
    EXPECT_STR(ignore.wrong, "the file cannot be read");
    closed = 0;
    lssb_ignore_end(&ignore);
    lssb_ignore_end(&ignore);
    EXPECT_INT(closed, 1);
}

/* As long as the file may be, with or without an end of its own. */
static void a_comment_may_be_of_any_length(void)
{
    static const size_t lengths[] = { 1022, 1023, 1024, 4094, 4095, 4096, 4097,
                                      5000, 8191, 8192, 65000 };
    static char lines[70000];
    size_t i, len, mark;

    for (piece = 1000; piece < 5000; piece += 3096)
        for (i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
            mark = i % 2 * 3;       /* a byte order mark before it */
            len = lengths[i / 2] + mark;
            memset(lines, 'c', len);
            memcpy(lines, "\xef\xbb\xbf", mark);
            lines[mark] = '#';
            memcpy(lines + len, "\na\n#", 4);
            begin(lines, len);      /* it is the last line */
            EXPECT_INT(decide("a"), 'k');
            EXPECT_INT(ignore.line, 2);
            lssb_ignore_end(&ignore);
            begin(lines, len + 4);
            EXPECT_INT(decide("a"), 'd');
            EXPECT_INT(decide("ccc"), 'k');
            EXPECT_INT(ignore.line, 4);
            lssb_ignore_end(&ignore);
        }
    piece = 4096;
    memset(lines, '#', sizeof lines);
    begin(lines, 65536);
    EXPECT_INT(decide("a"), 'k');
    lssb_ignore_end(&ignore);
    begin(lines, 65537);
    EXPECT_INT(decide("a"), '!');
    EXPECT_STR(ignore.wrong, "the file is larger than 64 KiB");
    lssb_ignore_end(&ignore);
}

static void without_a_file_all_is_kept_but_git(void)
{
    lssb_ignore_start(&ignore, &files, NULL, "Dockerfile");
    EXPECT_INT(decide("a"), 'k');
    EXPECT_INT(decide(".git/"), 'd');
    lssb_ignore_end(&ignore);
}

static const struct test tests[] = {
    TEST(lines_mean_what_they_mean_to_docker),
    TEST(a_large_file_is_read_line_by_line),
    TEST(what_takes_long_is_put_off),
    TEST(mistakes_name_their_line),
    TEST(a_comment_may_be_of_any_length),
    TEST(without_a_file_all_is_kept_but_git)
};

int main(void)
{
    return TEST_MAIN(tests);
}
