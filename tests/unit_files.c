/* unit_files.c: this system's own files, by what lssb.h promises of them.
 *
 * SPDX-License-Identifier: MIT
 *
 * One list for every system: what makes things behind the table's back, and the
 * names that Windows refuses, are all that differs.
 */
#define _FILE_OFFSET_BITS 64
#if defined(_WIN32)
#include "../port/files_windows.c"  /* what Wine cannot do is tried in parts */
#endif
#include "local.h"
#include "test.h"

#if !defined(_WIN32)
#include <dirent.h>
#endif

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static intptr_t root;

/* ----------------------------------------------------- the system itself -- */

#if defined(_WIN32)

#define DEEP 30                     /* Wine's own paths end at 4,096 bytes */

/* Sets the size of a file that is open for writing. */
static bool grow(intptr_t file, uint64_t size)
{
    LARGE_INTEGER at;

    at.QuadPart = (LONGLONG)size;
    return SetFilePointerEx((HANDLE)file, at, NULL, FILE_BEGIN) &&
           SetEndOfFile((HANDLE)file);
}

static long open_handles(void)
{
    typedef BOOL(WINAPI *count_fn)(HANDLE, DWORD *);
    count_fn count = (count_fn)(void (*)(void))GetProcAddress(
        GetModuleHandleA("kernel32.dll"), "GetProcessHandleCount");
    DWORD n = 0;

    return count != NULL && count(GetCurrentProcess(), &n) ? (long)n : -1;
}

#else

#define DEEP 60

static bool grow(intptr_t file, uint64_t size)
{
    return (uint64_t)(off_t)size == size &&
           ftruncate((int)file, (off_t)size) == 0;
}

static long open_handles(void)
{
    DIR *dir = opendir("/proc/self/fd");
    long count = 0;

    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

#endif

/* --------------------------------------------------------------- helpers -- */

static void begin(void)
{
    EXPECT(make_here());
    EXPECT(open_here("", &root));
}

static void end(void)
{
    files->close(files->context, root);
    EXPECT(remove_here());
}

/* Makes a file with that content. */
static lssb_status put(intptr_t at, const char *name, const char *content)
{
    intptr_t file = 0;
    int32_t code = 0;
    lssb_status status =
        files->create_file(files->context, at, name, 0644, &file, &code);

    if (status != LSSB_OK)
        return status;
    status = files->write(files->context, file, content, strlen(content),
                          &code);
    files->close(files->context, file);
    return status;
}

/* What is in a file. */
static const char *get(intptr_t at, const char *name)
{
    static char content[64];
    intptr_t file = 0;
    int32_t code = 0;
    ptrdiff_t n;

    if (files->open_file(files->context, at, name, &file, &code) != LSSB_OK)
        return "(none)";
    n = files->read_at(files->context, file, 0, content, sizeof content - 1,
                       &code);
    content[n > 0 ? n : 0] = '\0';
    files->close(files->context, file);
    return content;
}

static lssb_status make(intptr_t at, const char *name)
{
    int32_t code = 0;

    return files->make_directory(files->context, at, name, 0755, &code);
}

static lssb_status enter(intptr_t at, const char *name, intptr_t *opened)
{
    int32_t code = 0;

    return files->open_directory(files->context, at, name, opened, &code);
}

static lssb_status gone(intptr_t at, const char *name, bool is_directory)
{
    int32_t code = 0;

    return files->remove(files->context, at, name, is_directory, &code);
}

/* What a name stands for; -1: nothing. */
static int kind(intptr_t at, const char *name)
{
    lssb_local_info info;
    int32_t code = 0;

    return files->info(files->context, at, name, &info, &code) == LSSB_OK
               ? (int)info.kind
               : -1;
}

/* Makes a link; false, and the test is skipped: there are none here. */
static bool ties(const char *name, const char *target)
{
    int32_t code = 0;
    lssb_status status = files->make_symlink(files->context, root, name,
                                             target, &code);

    if (status == LSSB_E_UNSUPPORTED)
        SKIP("no links here, or no right to make any");
    else
        EXPECT_INT(status, LSSB_OK);
    return status == LSSB_OK;
}

/* ----------------------------------------------------------------- tests -- */

static void a_file_is_written_behind_itself_and_read_anywhere(void)
{
    intptr_t file = 0;
    char bytes[8] = "";
    int32_t code = 0;

    begin();
    EXPECT_INT(files->create_file(files->context, root, "f", 0644, &file,
                                  &code), LSSB_OK);
    EXPECT_INT(files->write(files->context, file, "abc", 3, &code), LSSB_OK);
    EXPECT_INT(files->write(files->context, file, "", 0, &code), LSSB_OK);
    EXPECT_INT(files->write(files->context, file, "defg", 4, &code), LSSB_OK);
    files->close(files->context, file);
    EXPECT_STR(get(root, "f"), "abcdefg");
    EXPECT_INT(files->open_file(files->context, root, "f", &file, &code),
               LSSB_OK);
    EXPECT_INT(files->read_at(files->context, file, 5, bytes, 8, &code), 2);
    EXPECT_STR(bytes, "fg");
    EXPECT_INT(files->read_at(files->context, file, 1, bytes, 2, &code), 2);
    EXPECT(memcmp(bytes, "bc", 2) == 0);
    EXPECT_INT(files->read_at(files->context, file, 7, bytes, 8, &code), 0);
    EXPECT_INT(files->read_at(files->context, file, 700, bytes, 8, &code), 0);
    code = 0;
    EXPECT(files->read_at(files->context, file, UINT64_MAX, bytes, 8, &code) <
           0);
    EXPECT(code != 0);
    code = 0;
    EXPECT(files->write(files->context, file, "x", 1, &code) < 0);
    EXPECT(code != 0);
    files->close(files->context, file);
    end();
}

static void a_file_may_be_larger_than_four_gibibytes(void)
{
    const uint64_t size = (UINT64_C(1) << 32) + 9;
    lssb_local_info info;
    intptr_t file = 0;
    char bytes[16];
    int32_t code = 0;

    begin();
    EXPECT_INT(files->create_file(files->context, root, "f", 0644, &file,
                                  &code), LSSB_OK);
    EXPECT_INT(files->write(files->context, file, "start", 5, &code), LSSB_OK);
    if (!grow(file, size)) {
        SKIP("no file of that size here");
        files->close(files->context, file);
        end();
        return;
    }
    files->close(files->context, file);
    EXPECT_INT(files->info(files->context, root, "f", &info, &code), LSSB_OK);
    EXPECT(info.size == size);
    EXPECT_INT(files->open_file(files->context, root, "f", &file, &code),
               LSSB_OK);
    memset(bytes, 'x', sizeof bytes);
    EXPECT_INT(files->read_at(files->context, file, size - 9, bytes, 16,
                              &code), 9);
    EXPECT(bytes[0] == 0 && bytes[8] == 0 && bytes[9] == 'x');
    EXPECT_INT(files->read_at(files->context, file, size, bytes, 16, &code),
               0);
    files->close(files->context, file);
    end();
}

static void what_is_there_is_not_made_again(void)
{
    static const char *const names[] = { "f", "d" };
    intptr_t file = 0;
    int32_t code;
    size_t i;

    begin();
    EXPECT_INT(put(root, "f", "mine"), LSSB_OK);
    EXPECT_INT(make(root, "d"), LSSB_OK);
    for (i = 0; i < COUNT(names); i++) {
        test_row = names[i];
        code = 0;
        EXPECT_INT(files->create_file(files->context, root, names[i], 0644,
                                      &file, &code), LSSB_E_ALREADY_EXISTS);
        EXPECT(code != 0);
        code = 0;
        EXPECT_INT(files->make_directory(files->context, root, names[i], 0755,
                                         &code), LSSB_E_ALREADY_EXISTS);
        EXPECT(code != 0);
        EXPECT_INT(files->make_symlink(files->context, root, names[i], "x",
                                       &code), LSSB_E_ALREADY_EXISTS);
    }
    EXPECT_STR(get(root, "f"), "mine");
    EXPECT_INT(kind(root, "d"), LSSB_ENTRY_DIRECTORY);
    end();
}

static void nothing_is_not_found_by_any_function(void)
{
    static const char *const names[] = { "none", "n\xC3\xB6ne", "NONE~1" };
    lssb_local_info info;
    intptr_t handle = 0;
    char text[8];
    int32_t code;
    size_t i;

    begin();
    for (i = 0; i < COUNT(names); i++) {
        const char *name = names[i];

        test_row = name;
        code = 0;
        EXPECT_INT(files->info(files->context, root, name, &info, &code),
                   LSSB_E_NOT_FOUND);
        EXPECT(code != 0);
        EXPECT_INT(enter(root, name, &handle), LSSB_E_NOT_FOUND);
        EXPECT_INT(files->open_file(files->context, root, name, &handle,
                                    &code), LSSB_E_NOT_FOUND);
        EXPECT_INT(files->read_link(files->context, root, name, text, 8,
                                    &code), LSSB_E_NOT_FOUND);
        EXPECT_INT(gone(root, name, false), LSSB_E_NOT_FOUND);
        EXPECT_INT(gone(root, name, true), LSSB_E_NOT_FOUND);
    }
    EXPECT_INT(files->open_root(files->context, "", &handle, &code),
               LSSB_E_NOT_FOUND);
    EXPECT_INT(files->open_root(files->context, at("none"), &handle, &code),
               LSSB_E_NOT_FOUND);
    end();
}

static void each_function_refuses_what_it_is_not_for(void)
{
    intptr_t handle = 0;
    char text[8];
    int32_t code = 0;

    begin();
    EXPECT_INT(put(root, "f", "x"), LSSB_OK);
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(enter(root, "f", &handle), LSSB_E_REFUSED);
    EXPECT_INT(files->open_file(files->context, root, "d", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT(code != 0);
    EXPECT_INT(files->read_link(files->context, root, "f", text, 8, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->read_link(files->context, root, "d", text, 8, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(gone(root, "f", true), LSSB_E_REFUSED);
    EXPECT_INT(gone(root, "d", false), LSSB_E_REFUSED);
    EXPECT_INT(kind(root, "f"), LSSB_ENTRY_FILE);
    EXPECT_INT(kind(root, "d"), LSSB_ENTRY_DIRECTORY);
    code = 0;
    EXPECT_INT(files->open_root(files->context, at("f"), &handle, &code),
               LSSB_E_REFUSED);
    EXPECT(code != 0);
    end();
}

/* Whether no function does anything with a name, but says this. */
static void refuses(const char *name, lssb_status status)
{
    lssb_local_info info;
    intptr_t handle = 0;
    char text[8];
    int32_t code = 0;

    test_row = name;
    EXPECT_INT(files->create_file(files->context, root, name, 0644, &handle,
                                  &code), status);
    EXPECT(code != 0);
    EXPECT_INT(make(root, name), status);
    EXPECT_INT(files->make_symlink(files->context, root, name, "x", &code),
               status);
    EXPECT_INT(enter(root, name, &handle), status);
    EXPECT_INT(files->open_file(files->context, root, name, &handle, &code),
               status);
    EXPECT_INT(files->info(files->context, root, name, &info, &code), status);
    EXPECT_INT(files->read_link(files->context, root, name, text, 8, &code),
               status);
    EXPECT_INT(gone(root, name, false), status);
    EXPECT_INT(gone(root, name, true), status);
}

static void what_is_no_component_is_refused(void)
{
    static const char *const names[] = { "", ".", "..", "/", "a/b", "d/",
                                         "/etc", "../x", "d/.." };
    size_t i;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    for (i = 0; i < COUNT(names); i++)
        refuses(names[i], LSSB_E_REFUSED);
    end();
}

static void a_component_has_255_units_at_most(void)
{
    char name[300];

    begin();
    memset(name, 'x', sizeof name);
    name[255] = '\0';
    EXPECT_INT(put(root, name, "long"), LSSB_OK);
    EXPECT_STR(get(root, name), "long");
    name[255] = 'x';
    name[256] = '\0';
    refuses(name, LSSB_E_TOO_LONG);
    end();
}

/* Counts names, each of which ends in a number. */
struct counted {
    unsigned seen[300];
    unsigned stop_at, count;
    intptr_t within;                /* is listed as well, each time */
};

static bool count(void *user, const char *name)
{
    struct counted *counted = user;
    long number = strtol(name + strlen(name) - 3, NULL, 10);
    int32_t code = 0;

    if (number >= 0 && number < 300)
        counted->seen[number]++;
    if (counted->within != 0) {
        char other[1024];

        EXPECT_INT(files->list(files->context, counted->within, first_name,
                               other, &code), LSSB_OK);
    }
    return ++counted->count != counted->stop_at;
}

static void every_name_is_told_once_as_often_as_is_asked(void)
{
    static const char *const prefixes[] = {
        "n", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "with blanks ",
        "a-name-that-takes-a-place-of-some-size-in-the-answer-of-the-system-"
    };
    struct counted counted;
    char name[128];
    int32_t code = 0;
    unsigned i, times;

    begin();
    memset(&counted, 0, sizeof counted);
    EXPECT_INT(files->list(files->context, root, count, &counted, &code),
               LSSB_OK);
    EXPECT_INT(counted.count, 0);
    for (i = 0; i < 300; i++) {
        sprintf(name, "%s%03u", prefixes[i % COUNT(prefixes)], i);
        EXPECT_INT(i % 5 == 0 ? make(root, name) : put(root, name, ""),
                   LSSB_OK);
    }
    for (times = 0; times < 3; times++) {
        memset(&counted, 0, sizeof counted);
        counted.within = times == 1 ? root : 0;
        counted.stop_at = times == 2 ? 7 : 0;
        EXPECT_INT(files->list(files->context, root, count, &counted, &code),
                   LSSB_OK);
        EXPECT_INT(counted.count, times == 2 ? 7 : 300);
        for (i = 0; times < 2 && i < 300; i++)
            EXPECT_INT(counted.seen[i], 1);
    }
    end();
}

static void a_name_comes_back_as_it_was_given(void)
{
    static const char *const names[] = {
        "plain", "Case", "with blank", "\xC3\xA9t\xC3\xA9", "e\xCC\x81",
        "\xE4\xB8\xAD\xE6\x96\x87", "\xF0\x9F\x98\x80.txt", "-rf", ".hidden",
        "a~1", "$x", "%TEMP%", "x.y.z", "'q'", "{}[]();,+=&^!@#`"
    };
    char name[1024];
    size_t i;
    int32_t code = 0;

    for (i = 0; i < COUNT(names); i++) {
        test_row = names[i];
        begin();
        EXPECT_INT(put(root, names[i], names[i]), LSSB_OK);
        EXPECT_STR(get(root, names[i]), names[i]);
        EXPECT_INT(files->list(files->context, root, first_name, name, &code),
                   LSSB_OK);
        EXPECT_STR(name, names[i]);
        end();
    }
}

static void times_and_sizes_are_kept(void)
{
    static const struct {
        int64_t seconds;
        uint32_t nanoseconds;
    } rows[] = { { 1000000000, 0 }, { 1700000000, 123456700 }, { 0, 0 },
                 { -86400, 0 }, { 2147483646, 999999900 } };
    lssb_local_info info;
    intptr_t handles[3];
    int32_t code = 0;
    size_t i, j;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(put(root, "r", "four"), LSSB_OK);
    EXPECT_INT(enter(root, "d", &handles[0]), LSSB_OK);
    EXPECT_INT(files->open_file(files->context, root, "r", &handles[1],
                                &code), LSSB_OK);
    EXPECT_INT(files->create_file(files->context, root, "w", 0444,
                                  &handles[2], &code), LSSB_OK);
    for (i = 0; i < COUNT(rows); i++)
        for (j = 0; j < 3; j++) {
            static const char *const names[] = { "d", "r", "w" };

            test_row = names[j];
            EXPECT_INT(files->set_mtime(files->context, handles[j],
                                        rows[i].seconds, rows[i].nanoseconds,
                                        &code), LSSB_OK);
            EXPECT_INT(files->info(files->context, root, names[j], &info,
                                   &code), LSSB_OK);
            EXPECT_INT(info.mtime_s, rows[i].seconds);
            EXPECT_INT(info.mtime_ns, rows[i].nanoseconds);
            EXPECT_INT(info.kind, j == 0 ? LSSB_ENTRY_DIRECTORY
                                         : LSSB_ENTRY_FILE);
            if (j > 0)
                EXPECT_INT(info.size, j == 1 ? 4 : 0);
        }
    for (j = 0; j < 3; j++)
        files->close(files->context, handles[j]);
    end();
}

static void what_may_not_be_written_is_made_so_and_goes_all_the_same(void)
{
    lssb_local_info info;
    intptr_t file = 0;
    int32_t code = 0;

    begin();
    EXPECT_INT(put(root, "w", "x"), LSSB_OK);
    EXPECT_INT(files->info(files->context, root, "w", &info, &code), LSSB_OK);
    EXPECT_INT(info.mode & 0200, 0200);
    EXPECT_INT(info.mode & ~(uint32_t)07777, 0);
    EXPECT_INT(files->create_file(files->context, root, "r", 0444, &file,
                                  &code), LSSB_OK);
    EXPECT_INT(files->write(files->context, file, "x", 1, &code), LSSB_OK);
    files->close(files->context, file);
    EXPECT_INT(files->info(files->context, root, "r", &info, &code), LSSB_OK);
    EXPECT_INT(info.mode & 0222, 0);
    EXPECT_INT(info.mode & 0400, 0400);
    EXPECT_INT(gone(root, "r", false), LSSB_OK);
    EXPECT_INT(kind(root, "r"), -1);
    end();
}

static void a_directory_goes_when_it_is_empty(void)
{
    intptr_t inner = 0;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(enter(root, "d", &inner), LSSB_OK);
    EXPECT_INT(put(inner, "f", ""), LSSB_OK);
    EXPECT_INT(gone(root, "d", true), LSSB_E_REFUSED);
    EXPECT_INT(kind(inner, "f"), LSSB_ENTRY_FILE);
    EXPECT_INT(gone(inner, "f", false), LSSB_OK);
    files->close(files->context, inner);
    EXPECT_INT(gone(root, "d", true), LSSB_OK);
    EXPECT_INT(kind(root, "d"), -1);
    end();
}

/* DEEP directories within one another, of 120 letters each. */
static void a_tree_may_be_deeper_than_a_path_is_long(void)
{
    char name[121];
    intptr_t at = root, next = 0;
    int i;

    begin();
    at = root;
    memset(name, 'd', 120);
    name[120] = '\0';
    for (i = 0; i < DEEP; i++) {
        EXPECT_INT(make(at, name), LSSB_OK);
        EXPECT_INT(enter(at, name, &next), LSSB_OK);
        if (at != root)
            files->close(files->context, at);
        at = next;
    }
    EXPECT_INT(put(at, "f", "deep"), LSSB_OK);
    EXPECT_STR(get(at, "f"), "deep");
    files->close(files->context, at);
    end();
}

static void a_root_may_have_a_long_path(void)
{
    static char path[3000];
    intptr_t at = root, next = 0;
    int32_t code = 0;
    size_t len;
    int i;

    begin();
    strcpy(path, here);
    at = root;
    for (i = 0; i < 8; i++) {
        len = strlen(path);
        path[len] = '/';
        memset(path + len + 1, 'a' + i, 100);
        path[len + 101] = '\0';
        EXPECT_INT(make(at, path + len + 1), LSSB_OK);
        EXPECT_INT(enter(at, path + len + 1, &next), LSSB_OK);
        if (at != root)
            files->close(files->context, at);
        at = next;
    }
    EXPECT_INT(put(at, "f", "far"), LSSB_OK);
    files->close(files->context, at);
    strcat(path, "/../");
    len = strlen(path);
    memset(path + len, 'h', 100);
    path[len + 100] = '\0';
    EXPECT_INT(files->open_root(files->context, path, &at, &code), LSSB_OK);
    EXPECT_STR(get(at, "f"), "far");
    files->close(files->context, at);
    end();
}

/* A directory that is open stays the same one, wherever it goes. */
static void an_open_directory_is_not_changed_by_what_takes_its_name(void)
{
    char from[400], to[400];
    intptr_t inner = 0, other = 0;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(enter(root, "d", &inner), LSSB_OK);
    sprintf(from, "%s/d", here);
    sprintf(to, "%s/e", here);
    if (rename(from, to) != 0) {
        SKIP("a directory that is open cannot be renamed here");
        files->close(files->context, inner);
        end();
        return;
    }
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(put(inner, "f", "x"), LSSB_OK);
    EXPECT_INT(enter(root, "d", &other), LSSB_OK);
    EXPECT_INT(kind(other, "f"), -1);
    files->close(files->context, other);
    files->close(files->context, inner);
    EXPECT_INT(enter(root, "e", &other), LSSB_OK);
    EXPECT_STR(get(other, "f"), "x");
    files->close(files->context, other);
    end();
}

static void no_handle_is_left(void)
{
    long before = open_handles();
    int i;

    if (before < 0) {
        SKIP("this system does not count them");
        return;
    }
    for (i = 0; i < 3; i++) {
        nothing_is_not_found_by_any_function();
        each_function_refuses_what_it_is_not_for();
        what_is_there_is_not_made_again();
        what_is_no_component_is_refused();
        times_and_sizes_are_kept();
        a_directory_goes_when_it_is_empty();
        if (i == 0)                 /* the system has its own by now */
            before = open_handles();
    }
    EXPECT(open_handles() <= before);
}

/* ----------------------------------------------------------------- links -- */

static void a_link_is_told_and_never_followed(void)
{
    lssb_local_info info;
    intptr_t handle = 0;
    char target[16];
    int32_t code = 0;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(put(root, "f", "x"), LSSB_OK);
    if (!ties("l", "d") || !ties("k", "f") || !ties("m", "./no/../such")) {
        end();
        return;
    }
    EXPECT_INT(files->info(files->context, root, "l", &info, &code), LSSB_OK);
    EXPECT_INT(info.kind, LSSB_ENTRY_SYMLINK);
    EXPECT_INT(info.size, 1);
    EXPECT_INT(files->read_link(files->context, root, "m", target, 13, &code),
               LSSB_OK);
    EXPECT_STR(target, "./no/../such");
    EXPECT_INT(files->read_link(files->context, root, "m", target, 12, &code),
               LSSB_E_TOO_LONG);
    EXPECT_STR(target, "");
    EXPECT_INT(enter(root, "l", &handle), LSSB_E_REFUSED);
    EXPECT_INT(files->open_file(files->context, root, "k", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->create_file(files->context, root, "m", 0644, &handle,
                                  &code), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(make(root, "m"), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(gone(root, "l", true), LSSB_E_REFUSED);
    EXPECT_INT(gone(root, "l", false), LSSB_OK);
    EXPECT_INT(gone(root, "k", false), LSSB_OK);
    EXPECT_INT(kind(root, "d"), LSSB_ENTRY_DIRECTORY);
    EXPECT_STR(get(root, "f"), "x");
    ties("x", "d");
    EXPECT(open_here("x", &handle));    /* the caller's own words */
    files->close(files->context, handle);
    end();
}

/* --------------------------------------------------------------- Windows -- */

#if defined(_WIN32)

static void names_with_another_meaning_are_refused(void)
{
    static const char *const names[] = {
        "a\\b", "\\", "..\\x", "C:", "C:x", "f:stream", "f::$DATA",
        "d:$I30:$INDEX_ALLOCATION", ":x", "x:", "f.", "f ", "f. .", "...",
        "d. ", " ."
    };
    size_t i;

    begin();
    EXPECT_INT(put(root, "f", "mine"), LSSB_OK);
    EXPECT_INT(make(root, "d"), LSSB_OK);
    for (i = 0; i < COUNT(names); i++)
        refuses(names[i], LSSB_E_REFUSED);
    EXPECT_STR(get(root, "f"), "mine");
    end();
}

static void names_that_are_not_utf_8_are_refused(void)
{
    static const char *const names[] = {
        "\xFF", "a\x80", "\xC3", "\xC0\xAE\xC0\xAE", "\xC1\x9C",
        "\xE0\x80\xAF", "\xED\xA0\x80", "\xED\xB0\x80", "\xF4\x90\x80\x80",
        "\xF8\x88\x80\x80\x80", "caf\xE9"
    };
    size_t i;

    begin();
    for (i = 0; i < COUNT(names); i++)
        refuses(names[i], LSSB_E_REFUSED);
    end();
}

static void devices_and_what_is_not_allowed_are_not_made(void)
{
    static const char *const names[] = {
        "CON", "con", "NUL", "nul.txt", "AUX.tar.gz", "aux .x", "PRN", "COM1",
        "com9.log", "COM0", "LPT1", "lpt3.x", "COM\xC2\xB9", "lpt\xC2\xB3.a",
        "CONIN$", "conout$", "a*", "a?", "\"", "<", ">", "|", "a\nb", "\x01",
        "\x1F.txt", "NUL.", "CON "
    };
    static const char *const fine[] = { "CONS", "COM", "COM10", "LPTX", "NULL",
                                        "xCON", "x.nul", "AUXX.c", ".con",
                                        "COM\xC2\xB4", "\x7F" };
    intptr_t file = 0;
    int32_t code;
    size_t i;

    begin();
    for (i = 0; i < COUNT(names); i++) {
        test_row = names[i];
        code = 0;
        EXPECT_INT(files->create_file(files->context, root, names[i], 0644,
                                      &file, &code), LSSB_E_REFUSED);
        EXPECT(code != 0);
        EXPECT_INT(make(root, names[i]), LSSB_E_REFUSED);
        EXPECT_INT(files->make_symlink(files->context, root, names[i], "x",
                                       &code), LSSB_E_REFUSED);
    }
    for (i = 0; i < COUNT(fine); i++) {
        test_row = fine[i];
        EXPECT_INT(put(root, fine[i], "x"), LSSB_OK);
        EXPECT_STR(get(root, fine[i]), "x");
    }
    end();
}

static void names_that_differ_in_case_are_one(void)
{
    intptr_t inner = 0, file = 0;
    int32_t code = 0;

    begin();
    EXPECT_INT(put(root, "File", "mine"), LSSB_OK);
    EXPECT_INT(make(root, "Folder"), LSSB_OK);
    EXPECT_INT(files->create_file(files->context, root, "fILE", 0644, &file,
                                  &code), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(make(root, "FILE"), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(make(root, "folder"), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(enter(root, "FOLDER", &inner), LSSB_OK);
    files->close(files->context, inner);
    EXPECT_STR(get(root, "FILE"), "mine");
    EXPECT_INT(gone(root, "file", false), LSSB_OK);
    EXPECT_INT(kind(root, "File"), -1);
    end();
}

/* What the system gave a second name is not to be had by that, nor is anything
 * made of that name. */
static void a_short_name_is_nobodys(void)
{
    char path[400], brief[400];
    const char *name;
    lssb_local_info info;
    intptr_t handle = 0;
    int32_t code = 0;

    begin();
    EXPECT_INT(put(root, "a long name of a file.text", "mine"), LSSB_OK);
    sprintf(path, "%s\\a long name of a file.text", here);
    name = GetShortPathNameA(path, brief, sizeof brief) > 0
               ? strrchr(brief, '\\')
               : NULL;
    if (name == NULL || strchr(name, '~') == NULL) {
        SKIP("no short names here");
        end();
        return;
    }
    name++;
    EXPECT_INT(put(root, name, "x"), LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(files->info(files->context, root, name, &info, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->open_file(files->context, root, name, &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(gone(root, name, false), LSSB_E_REFUSED);
    EXPECT_STR(get(root, "a long name of a file.text"), "mine");
    end();
}

static void links_that_lead_elsewhere_are_refused(void)
{
    static const char *const targets[] = {
        "", "/", "/etc/passwd", "\\\\host\\share", "\\x", "..\\..\\x", "C:x",
        "C:/x", "a:b", "a/b:c", "\xFF", "a/NUL", "a/b.", "a//?/b"
    };
    int32_t code;
    size_t i;

    begin();
    for (i = 0; i < COUNT(targets); i++) {
        test_row = targets[i];
        code = 0;
        EXPECT_INT(files->make_symlink(files->context, root, "l", targets[i],
                                       &code), LSSB_E_REFUSED);
        EXPECT(code != 0);
        EXPECT_INT(kind(root, "l"), -1);
    }
    end();
}

/* No ".." of a link leads from there to another machine. */
static void what_is_no_directory_of_a_path_is_told(void)
{
    static const struct {
        WCHAR path[24];
        size_t root;
    } rows[] = {
        { L"\\\\?\\C:\\dir\\x", 6 }, { L"\\\\?\\C:", 6 },
        { L"\\\\?\\UNC\\host\\share\\x", 18 },
        { L"\\\\?\\UNC\\host\\share", 18 }, { L"\\\\?\\UNC\\h", 9 }
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        EXPECT_INT(files_root_len(rows[i].path, wcslen(rows[i].path)),
                   rows[i].root);
}

/* What the system is given for a link. */
static void a_link_is_written_as_windows_keeps_it(void)
{
    static struct files_link link;
    const uint8_t *bytes = (const uint8_t *)&link;
    static const uint8_t head[] = { 0x0C, 0, 0, 0xA0, 36, 0, 0, 0, 0, 0,
                                    12, 0, 12, 0, 12, 0, 1, 0, 0, 0 };
    char target[8];
    size_t len = 0;
    int32_t code = 0;

    memset(&link, 0, sizeof link);
    EXPECT_INT(files_put_target(&link, "../b/c", &code), LSSB_OK);
    EXPECT(memcmp(bytes, head, sizeof head) == 0);
    EXPECT(memcmp(bytes + 20, ".\0.\0\\\0b\0\\\0c\0", 12) == 0);
    EXPECT(memcmp(bytes + 32, bytes + 20, 12) == 0);
    memset(target, 0, sizeof target);
    EXPECT_INT(files_tell_target(&link, target, 8, &len, &code), LSSB_OK);
    EXPECT_INT(len, 6);
    EXPECT_STR(target, "../b/c");
    EXPECT_INT(files_tell_target(&link, NULL, 0, &len, &code), LSSB_OK);
    EXPECT_INT(len, 6);
    EXPECT_INT(files_tell_target(&link, target, 5, &len, &code),
               LSSB_E_TOO_LONG);
    link.shown_len = 0;             /* by its other name, then */
    EXPECT_INT(files_tell_target(&link, target, 8, &len, &code), LSSB_OK);
    link.name_at = 16384 - 20;
    EXPECT_INT(files_tell_target(&link, target, 8, &len, &code),
               LSSB_E_OPERATION);
    link.name_at = 0;
    link.text[2] = 0xD800;
    EXPECT_INT(files_tell_target(&link, target, 8, &len, &code),
               LSSB_E_REFUSED);
    link.tag = 0xA0000003;
    EXPECT_INT(files_tell_target(&link, target, 8, &len, &code),
               LSSB_E_REFUSED);
}

static void a_target_has_a_length_that_windows_keeps(void)
{
    static struct files_link link;
    static char target[5000];
    int32_t code = 0;

    memset(target, 'x', FILES_LINK);
    EXPECT_INT(files_put_target(&link, target, &code), LSSB_OK);
    EXPECT((size_t)link.len + FILES_LINK_HEAD <= sizeof link);
    target[FILES_LINK] = 'x';
    EXPECT_INT(files_put_target(&link, target, &code), LSSB_E_TOO_LONG);
}

static void a_link_is_one_to_a_directory_if_that_is_there(void)
{
    static const struct {
        const char *target;
        bool leads;
    } rows[] = {
        { "d", true }, { "f", false }, { "none", false }, { "./d", true },
        { "d/", true }, { "d//e", true }, { "d/f", false }, { "d/..", true },
        { ".", true }, { "..", true }, { "../d", false },
        { "../../../../../../../../../../../../../../..", false },
    };
    static struct files_link link;
    int32_t code = 0;
    intptr_t inner = 0;
    size_t i;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(put(root, "f", ""), LSSB_OK);
    EXPECT_INT(enter(root, "d", &inner), LSSB_OK);
    EXPECT_INT(make(inner, "e"), LSSB_OK);
    EXPECT_INT(put(inner, "f", ""), LSSB_OK);
    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].target;
        EXPECT_INT(files_put_target(&link, rows[i].target, &code), LSSB_OK);
        EXPECT_INT(files_leads_to_directory((HANDLE)root, &link),
                   rows[i].leads);
    }
    EXPECT_INT(files_put_target(&link, "../d/e", &code), LSSB_OK);
    EXPECT(files_leads_to_directory((HANDLE)inner, &link));
    files->close(files->context, inner);
    end();
}

static void tags_say_what_is_stored_and_what_is_not(void)
{
    static const struct {
        ULONG tag;
        bool stored;
    } rows[] = { { 0x80000013, true },      /* deduplicated */
                 { 0x9000001A, true },      /* in a cloud */
                 { 0xC0000004, true },      /* on a tape */
                 { 0x80000017, true },      /* compressed */
                 { IO_REPARSE_TAG_SYMLINK, false },
                 { 0xA0000003, false },     /* a junction */
                 { 0xA000001D, false },     /* a link of Linux */
                 { 0x80000014, false }, { 0x8000001B, false },
                 { 0x80000023, false }, { 0x80000024, false },
                 { 0x80000025, false }, { 0x80000026, false } };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        EXPECT_INT(files_is_stored(rows[i].tag), rows[i].stored);
}

/* A directory that leads to another one by its whole path, as every user may
 * make. */
static bool junction(const char *name, const char *to)
{
    struct {
        ULONG tag;
        USHORT len, reserved, name_at, name_len, shown_at, shown_len;
        WCHAR text[600];
    } data;
    char path[400], target[400];
    HANDLE handle;
    DWORD got;
    BOOL made;
    int n;

    sprintf(path, "%s\\%s", here, name);
    sprintf(target, "\\??\\%s\\%s", here, to);
    memset(&data, 0, sizeof data);
    n = MultiByteToWideChar(CP_UTF8, 0, target, -1, data.text, 400) - 1;
    data.tag = 0xA0000003;
    data.name_len = (USHORT)(n * 2);
    data.shown_at = (USHORT)(n * 2 + 2);
    data.len = (USHORT)(8 + n * 2 + 4);
    CreateDirectoryA(path, NULL);
    handle = CreateFileA(path, GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                         FILE_FLAG_BACKUP_SEMANTICS | 0x00200000, NULL);
    made = DeviceIoControl(handle, 0x900A4, &data, (DWORD)data.len + 8, NULL,
                           0, &got, NULL);
    CloseHandle(handle);
    return made != 0;
}

static void a_junction_is_not_followed_and_goes_alone(void)
{
    intptr_t handle = 0;

    begin();
    EXPECT_INT(make(root, "d"), LSSB_OK);
    EXPECT_INT(enter(root, "d", &handle), LSSB_OK);
    EXPECT_INT(put(handle, "f", "x"), LSSB_OK);
    files->close(files->context, handle);
    if (!junction("j", "d")) {
        SKIP("no junctions here");
        end();
        return;
    }
    EXPECT_INT(kind(root, "j"), LSSB_ENTRY_OTHER);
    EXPECT_INT(enter(root, "j", &handle), LSSB_E_REFUSED);
    EXPECT_INT(gone(root, "j", true), LSSB_E_REFUSED);
    EXPECT_INT(gone(root, "j", false), LSSB_OK);
    EXPECT_INT(kind(root, "j"), -1);
    EXPECT_INT(enter(root, "d", &handle), LSSB_OK);
    EXPECT_STR(get(handle, "f"), "x");
    files->close(files->context, handle);
    end();
}

static void a_root_is_a_directory_on_a_disk(void)
{
    static const char *const paths[] = { "NUL", "CON", "\\\\.\\pipe\\",
                                         "C:\\no\\such", "\xFF",
                                         "C:\\windows\\win.ini" };
    intptr_t handle;
    int32_t code;
    size_t i;

    for (i = 0; i < COUNT(paths); i++) {
        test_row = paths[i];
        code = 0;
        handle = 0;
        EXPECT(files->open_root(files->context, paths[i], &handle, &code) < 0);
        EXPECT(code != 0);
        EXPECT_INT(handle, -1);
    }
}

#endif

static const struct test tests[] = {
    TEST(a_file_is_written_behind_itself_and_read_anywhere),
    TEST(a_file_may_be_larger_than_four_gibibytes),
    TEST(what_is_there_is_not_made_again),
    TEST(nothing_is_not_found_by_any_function),
    TEST(each_function_refuses_what_it_is_not_for),
    TEST(what_is_no_component_is_refused),
    TEST(a_component_has_255_units_at_most),
    TEST(every_name_is_told_once_as_often_as_is_asked),
    TEST(a_name_comes_back_as_it_was_given),
    TEST(times_and_sizes_are_kept),
    TEST(what_may_not_be_written_is_made_so_and_goes_all_the_same),
    TEST(a_directory_goes_when_it_is_empty),
    TEST(a_tree_may_be_deeper_than_a_path_is_long),
    TEST(a_root_may_have_a_long_path),
    TEST(an_open_directory_is_not_changed_by_what_takes_its_name),
    TEST(no_handle_is_left),
    TEST(a_link_is_told_and_never_followed),
#if defined(_WIN32)
    TEST(names_with_another_meaning_are_refused),
    TEST(names_that_are_not_utf_8_are_refused),
    TEST(devices_and_what_is_not_allowed_are_not_made),
    TEST(names_that_differ_in_case_are_one),
    TEST(a_short_name_is_nobodys),
    TEST(links_that_lead_elsewhere_are_refused),
    TEST(what_is_no_directory_of_a_path_is_told),
    TEST(a_link_is_written_as_windows_keeps_it),
    TEST(a_target_has_a_length_that_windows_keeps),
    TEST(a_link_is_one_to_a_directory_if_that_is_there),
    TEST(tags_say_what_is_stored_and_what_is_not),
    TEST(a_junction_is_not_followed_and_goes_alone),
    TEST(a_root_is_a_directory_on_a_disk),
#endif
};

int main(void)
{
    return TEST_MAIN(tests);
}
