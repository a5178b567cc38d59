/* unit_pack.c: files of this machine, and a directory of it as an archive.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/internal.h"
#include "tests/test.h"

/* The same files where write(2) takes nothing, openat(2) fails as it is told,
 * and time_t has 32 bits. */
static int open_errno;

static ssize_t write_nothing(int fd, const void *bytes, size_t len)
{
    (void)fd;
    (void)bytes;
    (void)len;
    return 0;
}

static int open_nothing(int fd, const char *name, int flags, ...)
{
    (void)fd;
    (void)name;
    (void)flags;
    errno = open_errno;
    return -1;
}

#define lssb_posix_files strange_files
#define write(fd, bytes, len) write_nothing(fd, bytes, len)
#define openat(...) open_nothing(__VA_ARGS__)
#define time_t int32_t
extern const lssb_files strange_files;
#include "port/files_posix.c"
#undef lssb_posix_files
#undef write
#undef openat
#undef time_t

static char folder[64];

/* Runs a command in the folder; its exit status. */
static int run(const char *command)
{
    char text[8192];

    snprintf(text, sizeof text, "cd %s && %s", folder, command);
    return system(text);
}

static void begin_folder(void)
{
    strcpy(folder, "/tmp/lssb-pack-XXXXXX");
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

/* ----------------------------------------------------------------- files -- */

static const lssb_files *files = &lssb_posix_files;
static int32_t code;

static intptr_t open_folder(const char *name)
{
    char path[128];
    intptr_t opened = -1;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    EXPECT_INT(files->open_root(files->context, path, &opened, &code),
               LSSB_OK);
    return opened;
}

static void no_step_follows_a_link_or_leaves_its_directory(void)
{
    static const char *const names[] = { "", ".", "..", "a/b", "/etc",
                                         "../out" };
    lssb_local_info info;
    intptr_t root, handle;
    char target[16];
    size_t i;

    begin_folder();
    EXPECT_INT(run("mkdir in out && echo x >out/f && ln -s ../out in/d && "
                   "ln -s ../out/f in/f && mkfifo in/p && mkdir in/a && "
                   "echo y >in/a/b"), 0);
    root = open_folder("in");
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        test_row = names[i];
        EXPECT_INT(files->open_directory(NULL, root, names[i], &handle, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->open_file(NULL, root, names[i], &handle, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->create_file(NULL, root, names[i], 0600, &handle,
                                      &code), LSSB_E_REFUSED);
        EXPECT_INT(files->info(NULL, root, names[i], &info, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->read_link(NULL, root, names[i], target, 16, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->make_directory(NULL, root, names[i], 0700, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->make_symlink(NULL, root, names[i], "x", &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->remove(NULL, root, names[i], false, &code),
                   LSSB_E_REFUSED);
        EXPECT_INT(files->remove(NULL, root, names[i], true, &code),
                   LSSB_E_REFUSED);
    }
    test_row = "links";
    EXPECT_INT(files->open_directory(NULL, root, "d", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->open_file(NULL, root, "f", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->create_file(NULL, root, "f", 0600, &handle, &code),
               LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(files->make_directory(NULL, root, "d", 0700, &code),
               LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(files->make_symlink(NULL, root, "d", "x", &code),
               LSSB_E_ALREADY_EXISTS);
    EXPECT_INT(files->info(NULL, root, "d", &info, &code), LSSB_OK);
    EXPECT_INT(info.kind, LSSB_ENTRY_SYMLINK);
    EXPECT_INT(files->info(NULL, root, "none", &info, &code),
               LSSB_E_NOT_FOUND);
    test_row = "kinds";
    EXPECT_INT(files->open_file(NULL, root, "p", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->open_file(NULL, root, "a", &handle, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->remove(NULL, root, "a", false, &code), LSSB_E_REFUSED);
    EXPECT_INT(files->remove(NULL, root, "a", true, &code), LSSB_E_REFUSED);
    EXPECT_INT(files->read_link(NULL, root, "d", target, 7, &code), LSSB_OK);
    EXPECT_STR(target, "../out");
    EXPECT_INT(files->read_link(NULL, root, "d", target, 6, &code),
               LSSB_E_TOO_LONG);
    EXPECT_INT(files->read_link(NULL, root, "a", target, 6, &code),
               LSSB_E_REFUSED);
    EXPECT_INT(files->remove(NULL, root, "d", false, &code), LSSB_OK);
    EXPECT_INT(run("test -e out/f -a ! -e in/d"), 0);
    files->close(NULL, root);
    end_folder();
}

static void files_are_made_written_and_read(void)
{
    intptr_t root, dir, file;
    lssb_local_info info;
    char bytes[8];

    begin_folder();
    root = open_folder(".");
    EXPECT_INT(files->make_directory(NULL, root, "d", 0700, &code), LSSB_OK);
    EXPECT_INT(files->open_directory(NULL, root, "d", &dir, &code), LSSB_OK);
    EXPECT_INT(files->create_file(NULL, dir, "f", 0600, &file, &code),
               LSSB_OK);
    EXPECT_INT(files->write(NULL, file, "abc", 3, &code), LSSB_OK);
    EXPECT_INT(files->write(NULL, file, "def", 3, &code), LSSB_OK);
    EXPECT_INT(files->set_mtime(NULL, file, -5, 250000000, &code), LSSB_OK);
    files->close(NULL, file);
    EXPECT_INT(files->info(NULL, dir, "f", &info, &code), LSSB_OK);
    EXPECT(info.kind == LSSB_ENTRY_FILE && info.mode == 0600 &&
           info.size == 6 && info.mtime_s == -5);
    EXPECT_INT(files->set_mtime(NULL, dir, 1000000000, 0, &code), LSSB_OK);
    EXPECT_INT(files->info(NULL, root, "d", &info, &code), LSSB_OK);
    EXPECT_INT(info.mtime_s, 1000000000);
    EXPECT_INT(files->open_file(NULL, dir, "f", &file, &code), LSSB_OK);
    EXPECT_INT(files->read_at(NULL, file, 2, bytes, 8, &code), 4);
    EXPECT(memcmp(bytes, "cdef", 4) == 0);
    EXPECT_INT(files->read_at(NULL, file, 6, bytes, 8, &code), 0);
    files->close(NULL, file);
    EXPECT_INT(files->make_symlink(NULL, dir, "l", "f", &code), LSSB_OK);
    EXPECT_INT(files->remove(NULL, dir, "l", false, &code), LSSB_OK);
    EXPECT_INT(run("test \"$(ls d)\" = f"), 0);
    EXPECT_INT(files->remove(NULL, dir, "f", false, &code), LSSB_OK);
    files->close(NULL, dir);
    EXPECT_INT(files->remove(NULL, root, "d", true, &code), LSSB_OK);
    files->close(NULL, root);
    end_folder();
}

static void what_a_system_says_otherwise_is_understood(void)
{
    static const struct {
        int number;
        lssb_status status;
    } rows[] = {
        { ELOOP, LSSB_E_REFUSED }, { EMLINK, LSSB_E_REFUSED },
#ifdef EFTYPE
        { EFTYPE, LSSB_E_REFUSED },
#endif
        { ENOENT, LSSB_E_NOT_FOUND }, { EIO, LSSB_E_OPERATION }
    };
    intptr_t handle;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_errno = rows[i].number;
        EXPECT_INT(strange_files.open_directory(NULL, 0, "d", &handle, &code),
                   rows[i].status);
        EXPECT_INT(code, rows[i].number);
    }
    EXPECT_INT(strange_files.write(NULL, 0, "abc", 3, &code),
               LSSB_E_OPERATION);
    EXPECT_INT(code, EIO);
    EXPECT_INT(strange_files.set_mtime(NULL, 0, INT64_C(4294967296), 0, &code),
               LSSB_E_OPERATION);
    EXPECT_INT(code, EOVERFLOW);
}

/* -------------------------------------------------------------- archives -- */

static struct lssb_pack pack;

/* Starts and measures the folder's directory `name`. */
static lssb_status measure(const char *name)
{
    char path[128];
    lssb_status status;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    status = lssb_pack_start(&pack, files, path);
    if (status != LSSB_OK)
        return status;
    while ((status = lssb_pack_measure(&pack)) == LSSB_AGAIN)
        ;
    return status;
}

/* Bytes of the archive, however often it takes to ask; 0: it failed, or that is
 * its end. */
static ptrdiff_t read_now(uint64_t offset, void *bytes, size_t len)
{
    size_t done = 0;
    ptrdiff_t n = 1;

    while (done < len && n != 0) {
        n = lssb_pack_read(&pack, offset + done, (char *)bytes + done,
                           len - done);
        if (n != LSSB_SOURCE_LATER)
            done += (size_t)n;
    }
    return pack.wrong != NULL ? 0 : (ptrdiff_t)done;
}

/* Reads the archive by pieces of `step` bytes into a.tar; its size. */
static uint64_t save(size_t step)
{
    static char bytes[65536];
    char path[128];
    uint64_t at = 0;
    ptrdiff_t n;
    FILE *out;

    snprintf(path, sizeof path, "%s/a.tar", folder);
    out = fopen(path, "wb");
    while ((n = read_now(at, bytes, step)) > 0) {
        fwrite(bytes, 1, (size_t)n, out);
        at += (uint64_t)n;
    }
    fclose(out);
    return at;
}

/* What python would pack: sorted by bytes, each directory before its content,
 * as "kind mode size mtime name" and a checksum. */
static const char python_list[] =
    "cat >list.py <<'EOF'\n"
    "import os, sys, stat, hashlib, tarfile\n"
    "def sha(b): return hashlib.sha256(b).hexdigest()\n"
    "def walk(d, r):\n"
    "    for n in sorted(os.listdir(d)):\n"
    "        p = os.path.join(d, n); st = os.lstat(p); m = st.st_mode\n"
    "        q = r + n\n"
    "        if stat.S_ISDIR(m):\n"
    "            print('d', m & 0o777, 0, int(st.st_mtime // 1), q)\n"
    "            walk(p, q + b'/')\n"
    "        elif stat.S_ISLNK(m):\n"
    "            print('s', m & 0o777, 0, int(st.st_mtime // 1), q,\n"
    "                  os.readlink(p))\n"
    "        elif stat.S_ISREG(m):\n"
    "            print('f', m & 0o777, st.st_size, int(st.st_mtime // 1), q,\n"
    "                  sha(open(p, 'rb').read()))\n"
    "def tar(p):\n"
    "    t = tarfile.open(p)\n"
    "    for m in t:\n"
    "        q = os.fsencode(m.name)\n"
    "        assert (m.uid, m.gid) == (0, 0)\n"
    "        if m.isdir(): print('d', m.mode, 0, m.mtime, q)\n"
    "        elif m.issym(): print('s', m.mode, 0, m.mtime, q,\n"
    "                              os.fsencode(m.linkname))\n"
    "        else: print('f', m.mode, m.size, m.mtime, q,\n"
    "                    sha(t.extractfile(m).read()))\n"
    "if sys.argv[1] == 'tar': tar(sys.argv[2])\n"
    "else: walk(os.fsencode(sys.argv[2]), b'')\n"
    "EOF\n";

static void an_archive_is_the_tree_in_the_order_of_names(void)
{
    begin_folder();
    EXPECT_INT(run("mkdir -p x/b/c x/a-dir x/z && cd x && "
                   "echo 1 >a && echo 2 >a-dir/f && echo 3 >b/c/d && "
                   "ln -s ../nowhere b/link && mkfifo b/pipe && "
                   "echo 4 >\"$(printf 'n\\377\\nl')\" && "
                   "head -c 100000 /dev/urandom >z/big && : >z/empty && "
                   "echo 5 >$(printf '%0200d' 7) && chmod 4711 b/c/d && "
                   "ln -s $(printf '%0300d' 7) z/far && ln z/big z/hard && "
                   "touch -d @-1.5 z/empty && echo 6 >aa && echo 7 >a.b"), 0);
    EXPECT_INT(run(python_list), 0);
    EXPECT_INT(measure("x"), LSSB_OK);
    EXPECT(save(1000) == pack.size);
    EXPECT_INT(run("PYTHONUTF8=1 python3 list.py tar a.tar >got && "
                   "PYTHONUTF8=1 python3 list.py tree x >want && "
                   "diff want got"), 0);
    EXPECT_INT(pack.entries, 16);
    lssb_pack_end(&pack);
    lssb_pack_end(&pack);
    end_folder();
}

static void pieces_of_any_size_and_at_any_place_are_the_same(void)
{
    static uint8_t whole[40000], again[40000];
    static const size_t steps[] = { 1, 7, 100, 511, 512, 513, 3000, 40000 };
    size_t i;
    uint64_t at;

    begin_folder();
    EXPECT_INT(run("mkdir -p x/a/b && head -c 5000 /dev/urandom >x/a/f && "
                   "head -c 512 /dev/urandom >x/a/b/g && echo 1 >x/h && "
                   "ln -s h x/l"), 0);
    EXPECT_INT(measure("x"), LSSB_OK);
    EXPECT(pack.size < sizeof whole);
    EXPECT_INT(read_now(0, whole, sizeof whole), pack.size);
    for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        ptrdiff_t n;

        memset(again, 0xee, sizeof again);
        for (at = 0; at < pack.size; at += (uint64_t)n) {
            n = read_now(at, again + at, steps[i]);
            if (n <= 0)
                break;
        }
        EXPECT(at == pack.size && memcmp(whole, again, (size_t)at) == 0);
    }
    for (at = pack.size; at-- > 0;)
        if (read_now(at, again, 1) != 1 || again[0] != whole[at])
            break;
    EXPECT(at == UINT64_MAX);
    EXPECT_INT(read_now(pack.size, again, 1), 0);
    lssb_pack_end(&pack);
    end_folder();
}

static void names_that_do_not_fit_are_listed_again(void)
{
    begin_folder();
    EXPECT_INT(run("python3 -c '"
                   "import os\n"
                   "for d in range(30):\n"
                   "    os.makedirs(\"x/%d-%s/%s\" % (d, \"d\" * 200,"
                   " \"e\" * 200))\n"
                   "    for n in range(40):\n"
                   "        open(\"x/%d-%s/%s/%d\" % (d, \"d\" * 200,"
                   " \"e\" * 200, n * 7919 % 1000), \"w\").write(\"x\" * n)\n"
                   "for n in range(5000): open(\"x/%d\" % (n * 7919), \"w\")\n"
                   "d = \"x/7-%s/\" % (\"d\" * 200)\n"
                   "for d in d, d + \"e\" * 200 + \"/\":\n"
                   "    os.makedirs(d + \"e\" * 200 + \"/e\", exist_ok=True)\n"
                   "    for n in range(80): open(d + \"f%d%0100d\""
                   " % (n * 7919 % 1000, 7), \"w\")"
                   "'"), 0);
    EXPECT_INT(run(python_list), 0);
    EXPECT_INT(measure("x"), LSSB_OK);
    EXPECT_INT(pack.entries, 30 * 42 + 5000 + 163);
    EXPECT(save(16384) == pack.size);
    EXPECT_INT(run("python3 list.py tar a.tar >got && "
                   "python3 list.py tree x >want && cmp want got"), 0);
    lssb_pack_end(&pack);
    end_folder();
}

/* Looks into "maybe" for what is called "yes"; keeps all else but "no". */
static enum lssb_pack_choice choose(void *user, const char *path,
                                    const lssb_local_info *info)
{
    const char *base = strrchr(path, '/');

    (void)user;
    base = base != NULL ? base + 1 : path;
    if (strcmp(base, "stop") == 0)
        return LSSB_PACK_STOP;
    if (strcmp(base, "no") == 0)
        return LSSB_PACK_DROP;
    if (strcmp(base, "yes") == 0 || strstr(path, "maybe") == NULL)
        return LSSB_PACK_KEEP;
    return info->kind == LSSB_ENTRY_DIRECTORY ? LSSB_PACK_LOOK
                                              : LSSB_PACK_DROP;
}

static unsigned put_off;            /* how often, for each path, before */
static unsigned asked;

/* The same, once it was asked often enough. */
static enum lssb_pack_choice choose_later(void *user, const char *path,
                                          const lssb_local_info *info)
{
    if (asked++ < put_off)
        return LSSB_PACK_LATER;
    asked = 0;
    return choose(user, path, info);
}

static void what_is_not_chosen_is_left_out(void)
{
    char path[128];
    unsigned turns;

    begin_folder();
    EXPECT_INT(run("mkdir -p x/no/a x/maybe/b/c x/maybe/empty/d x/maybe/yes/e "
                   "x/maybe/b/d/yes x/z && "
                   "touch x/no/f x/maybe/f x/maybe/b/c/yes x/maybe/b/c/other "
                   "x/maybe/yes/yes x/maybe/yes/g x/z/no x/z/f"), 0);
    snprintf(path, sizeof path, "%s/x", folder);
    EXPECT_INT(lssb_pack_start(&pack, files, path), LSSB_OK);
    pack.choose = choose;
    while (lssb_pack_measure(&pack) == LSSB_AGAIN)
        ;
    EXPECT(save(100) == pack.size);
    EXPECT_INT(run("tar -tf a.tar >got && printf '%s\\n' maybe/ maybe/b/ "
                   "maybe/b/c/ maybe/b/c/yes maybe/b/d/ maybe/b/d/yes/ "
                   "maybe/yes/ maybe/yes/yes z/ z/f >want && diff want got"),
               0);
    lssb_pack_end(&pack);
    test_row = "put off";
    put_off = 2;
    asked = 0;
    EXPECT_INT(lssb_pack_start(&pack, files, path), LSSB_OK);
    pack.choose = choose_later;
    for (turns = 0; lssb_pack_measure(&pack) == LSSB_AGAIN; turns++)
        ;
    EXPECT_INT(turns, 2 * 18);      /* what is below "no" is not asked for */
    EXPECT_INT(pack.entries, 10);
    EXPECT(save(100) == pack.size);
    EXPECT_INT(run("tar -tf a.tar >got && cmp want got"), 0);
    lssb_pack_end(&pack);
    test_row = "";
    EXPECT_INT(run("touch x/z/stop"), 0);
    EXPECT_INT(lssb_pack_start(&pack, files, path), LSSB_OK);
    pack.choose = choose;
    EXPECT_INT(lssb_pack_measure(&pack), LSSB_E_STOPPED);
    EXPECT_STR(pack.path, "z/stop");
    lssb_pack_end(&pack);
    end_folder();
}

/* Drops what begins with "m", and counts. */
static enum lssb_pack_choice drop_many(void *user, const char *path,
                                       const lssb_local_info *info)
{
    (void)user;
    (void)info;
    asked++;
    return path[0] == 'm' ? LSSB_PACK_DROP : LSSB_PACK_KEEP;
}

static void what_is_left_out_between_two_files_is_passed_over_in_steps(void)
{
    static uint8_t bytes[8192];
    char path[128];
    unsigned turns = 0, most = 0;
    uint64_t at = 0;
    ptrdiff_t n;

    begin_folder();
    EXPECT_INT(run("mkdir x && cd x && touch a z && for i in 1 2 3 4 5; do "
                   "for j in 1 2 3 4 5 6 7 8 9; do "
                   "touch m$i$j m1$i$j m2$i$j m3$i$j m4$i$j m5$i$j; done; "
                   "done"), 0);
    snprintf(path, sizeof path, "%s/x", folder);
    EXPECT_INT(lssb_pack_start(&pack, files, path), LSSB_OK);
    pack.choose = drop_many;
    while (lssb_pack_measure(&pack) == LSSB_AGAIN)
        ;
    EXPECT_INT(pack.entries, 2);
    for (at = 0; at < pack.size; turns++) {
        asked = 0;
        n = lssb_pack_read(&pack, at, bytes, sizeof bytes);
        most = asked > most ? asked : most;
        if (n == LSSB_SOURCE_LATER)
            continue;
        EXPECT(n > 0);
        if (n <= 0)
            break;
        at += (uint64_t)n;
    }
    EXPECT_INT(at, pack.size);
    EXPECT(most > 8 && most <= 64);
    EXPECT(turns > 5 && turns < 50);
    lssb_pack_end(&pack);
    end_folder();
}

static void a_tree_that_changes_is_noticed(void)
{
    static const struct {
        const char *change, *wrong;
    } rows[] = {
        { "rm x/b", "the tree changed while it was read" },
        { "touch x/d/f", "the tree changed while it was read" },
        { "head -c 9000 /dev/zero >x/b", "the tree changed while it was read" },
        { "rm x/b && ln -s a x/b", "the tree changed while it was read" },
        { "rm -r x/d && ln -s .. x/d", "the tree changed while it was read" }
    };
    static char bytes[65536];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].change;
        begin_folder();
        EXPECT_INT(run("mkdir -p x/d && echo 1 >x/a && echo 2 >x/b && "
                       "echo 3 >x/d/e"), 0);
        EXPECT_INT(measure("x"), LSSB_OK);
        EXPECT(read_now(0, bytes, 100) == 100);
        EXPECT_INT(run(rows[i].change), 0);
        EXPECT_INT(read_now(100, bytes, sizeof bytes), 0);
        EXPECT_STR(pack.wrong, rows[i].wrong);
        lssb_pack_end(&pack);
        end_folder();
    }
}

static void a_file_that_grows_while_it_is_read_is_noticed(void)
{
    static char bytes[65536];

    begin_folder();
    EXPECT_INT(run("mkdir x && head -c 5000 /dev/zero >x/f"), 0);
    EXPECT_INT(measure("x"), LSSB_OK);
    EXPECT_INT(read_now(0, bytes, 1000), 1000);
    EXPECT_INT(run("echo more >>x/f"), 0);
    EXPECT_INT(read_now(1000, bytes, sizeof bytes), 0);
    EXPECT_STR(pack.wrong, "the file became longer while it was read");
    lssb_pack_end(&pack);
    end_folder();
}

static void a_file_that_shrinks_while_it_is_read_is_noticed(void)
{
    static char bytes[65536];

    begin_folder();
    EXPECT_INT(run("mkdir x && head -c 5000 /dev/zero >x/f"), 0);
    EXPECT_INT(measure("x"), LSSB_OK);
    EXPECT_INT(read_now(0, bytes, 1000), 1000);
    EXPECT_INT(run(": >x/f"), 0);
    EXPECT_INT(read_now(1000, bytes, 1000), 0);
    EXPECT_STR(pack.wrong, "the file became shorter while it was read");
    lssb_pack_end(&pack);
    end_folder();
}

static void failures_name_the_place(void)
{
    begin_folder();
    EXPECT_INT(measure("none"), LSSB_E_NOT_FOUND);
    EXPECT_STR(pack.wrong, "the directory cannot be opened");
    EXPECT_INT(run("d=$(printf 'd/%.0s' $(seq 64)) && mkdir -p x/$d && "
                   "touch x/$d/f"), 0);
    EXPECT_INT(measure("x"), LSSB_E_TOO_LONG);
    EXPECT_STR(pack.wrong, "directories are nested too deep");
    lssb_pack_end(&pack);
    EXPECT_INT(run("mkdir y && python3 -c 'import os\n"
                   "os.chdir(\"y\")\n"
                   "for i in range(20):\n"
                   "    os.mkdir(\"d\" * 210); os.chdir(\"d\" * 210)'"), 0);
    EXPECT_INT(measure("y"), LSSB_E_TOO_LONG);
    EXPECT_STR(pack.wrong, "a path is too long");
    lssb_pack_end(&pack);
    end_folder();
}

/* The same files, of which one call fails. */
static lssb_files frail;
static unsigned frail_calls, frail_at, frail_handles;

static bool fails(int32_t *number)
{
    if (frail_calls++ != frail_at)
        return false;
    *number = 5;
    return true;
}

static lssb_status frail_root(void *context, const char *path,
                              intptr_t *opened, int32_t *number)
{
    lssb_status status = LSSB_E_OPERATION;

    *opened = -1;
    if (!fails(number))
        status = files->open_root(context, path, opened, number);
    frail_handles += status == LSSB_OK;
    return status;
}

static lssb_status frail_directory(void *context, intptr_t directory,
                                   const char *name, intptr_t *opened,
                                   int32_t *number)
{
    lssb_status status = LSSB_E_OPERATION;

    *opened = -1;
    if (!fails(number))
        status = files->open_directory(context, directory, name, opened,
                                       number);
    frail_handles += status == LSSB_OK;
    return status;
}

static lssb_status frail_file(void *context, intptr_t directory,
                              const char *name, intptr_t *opened,
                              int32_t *number)
{
    lssb_status status = LSSB_E_OPERATION;

    *opened = -1;
    if (!fails(number))
        status = files->open_file(context, directory, name, opened, number);
    frail_handles += status == LSSB_OK;
    return status;
}

static lssb_status frail_list(void *context, intptr_t directory,
                              bool (*take)(void *user, const char *name),
                              void *user, int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->list(context, directory, take, user, number);
}

static lssb_status frail_info(void *context, intptr_t directory,
                              const char *name, lssb_local_info *info,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->info(context, directory, name, info, number);
}

static lssb_status frail_link(void *context, intptr_t directory,
                              const char *name, char *target, size_t size,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->read_link(context, directory, name, target,
                                            size, number);
}

static ptrdiff_t frail_read(void *context, intptr_t file, uint64_t offset,
                            void *bytes, size_t len, int32_t *number)
{
    return fails(number) ? -1
                         : files->read_at(context, file, offset, bytes, len,
                                          number);
}

static void frail_close(void *context, intptr_t handle)
{
    frail_handles--;
    files->close(context, handle);
}

/* Packs and reads the folder's directory "x" by those; its last status. */
static lssb_status pack_frail(const uint8_t *whole)
{
    static uint8_t bytes[1000];
    char path[128];
    uint64_t at = 0;
    ptrdiff_t n = 0;
    lssb_status status;

    snprintf(path, sizeof path, "%s/x", folder);
    frail_calls = 0;
    status = lssb_pack_start(&pack, &frail, path);
    if (status == LSSB_OK) {
        pack.choose = choose;
        while ((status = lssb_pack_measure(&pack)) == LSSB_AGAIN)
            ;
    }
    while (status == LSSB_OK && (n = read_now(at, bytes, sizeof bytes)) > 0) {
        EXPECT(memcmp(bytes, whole + at, (size_t)n) == 0);
        at += (uint64_t)n;
    }
    if (status == LSSB_OK && at < pack.size)
        status = LSSB_E_STOPPED;
    lssb_pack_end(&pack);
    return status;
}

static void a_call_that_fails_is_told_and_nothing_stays_open(void)
{
    static uint8_t whole[20000];
    char path[128];
    lssb_status status = LSSB_E_OPERATION;

    frail = *files;
    frail.open_root = frail_root;
    frail.open_directory = frail_directory;
    frail.open_file = frail_file;
    frail.list = frail_list;
    frail.info = frail_info;
    frail.read_link = frail_link;
    frail.read_at = frail_read;
    frail.close = frail_close;
    begin_folder();
    EXPECT_INT(run("mkdir -p x/maybe/b x/c && touch x/maybe/b/yes x/maybe/f &&"
                   " ln -s a x/c/l && head -c 2000 /dev/urandom >x/c/z"), 0);
    snprintf(path, sizeof path, "%s/x", folder);
    EXPECT_INT(lssb_pack_start(&pack, files, path), LSSB_OK);
    pack.choose = choose;
    while (lssb_pack_measure(&pack) == LSSB_AGAIN)
        ;
    EXPECT(pack.size < sizeof whole);
    EXPECT_INT(read_now(0, whole, sizeof whole), pack.size);
    lssb_pack_end(&pack);
    for (frail_at = 0; frail_at < 200 && status != LSSB_OK; frail_at++) {
        status = pack_frail(whole);
        EXPECT(status == LSSB_OK ? frail_calls <= frail_at
                                 : pack.wrong != NULL && pack.code == 5);
        EXPECT_INT(frail_handles, 0);
    }
    EXPECT(frail_at > 30 && frail_at < 200);
    end_folder();
}

static const struct test tests[] = {
    TEST(no_step_follows_a_link_or_leaves_its_directory),
    TEST(files_are_made_written_and_read),
    TEST(what_a_system_says_otherwise_is_understood),
    TEST(an_archive_is_the_tree_in_the_order_of_names),
    TEST(pieces_of_any_size_and_at_any_place_are_the_same),
    TEST(names_that_do_not_fit_are_listed_again),
    TEST(what_is_not_chosen_is_left_out),
    TEST(what_is_left_out_between_two_files_is_passed_over_in_steps),
    TEST(a_tree_that_changes_is_noticed),
    TEST(a_file_that_grows_while_it_is_read_is_noticed),
    TEST(a_file_that_shrinks_while_it_is_read_is_noticed),
    TEST(failures_name_the_place),
    TEST(a_call_that_fails_is_told_and_nothing_stays_open)
};

int main(void)
{
    return TEST_MAIN(tests);
}
