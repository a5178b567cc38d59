/* view.c: what commands see of the file system.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where the system lets this process have namespaces of mounts and processes
 * (root, or user namespaces), the commands of a box run with its directory as
 * their root: the host's programs and libraries are bound into it for reading,
 * /dev and /sys as they are; all else, /home, /root, /tmp, /srv, /var, …, is
 * the box's own. The API's paths and the commands' then name the same files,
 * and a box's commands see each other in /proc, and nobody else. The first
 * command makes the view; a process that sleeps keeps it until the box stops,
 * and takes all others with it. Elsewhere commands see the host's files
 * ("isolation":"none").
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "sandboxd.h"

/* What a box has of its own. */
static const struct {
    const char *path;
    mode_t mode;
} view_own[] = {
    {"root", 0755}, {"root/home", 0755}, {"root/home/user", 0755},
    {"root/tmp", 01777}, {"root/root", 0700}, {"root/srv", 0755},
    {"root/mnt", 0755}, {"root/media", 0755}, {"root/app", 0755},
    {"root/run", 0755}, {"root/var", 0755}, {"root/var/tmp", 01777},
    {"root/var/log", 0755}, {"root/var/lib", 0755}, {"root/var/cache", 0755}};

/* What it has of the host's, if the host has it. */
static const char *const view_host[] = {"bin", "etc", "gnu", "lib", "lib32",
                                        "lib64", "libx32", "nix", "opt",
                                        "sbin", "usr"};
static const char *const view_kernel[] = {"dev", "proc", "sys"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Whether a name in the root is the host's directory. Its links are copied
 * into the box instead. */
bool view_provides(const char *name)
{
    struct stat info;
    size_t i;

    for (i = 0; i < COUNT(view_host); i++) {
        if (strcmp(name, view_host[i]) == 0) {
            char path[16];

            snprintf(path, sizeof path, "/%s", name);
            return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
        }
    }
    return false;
}

/* Makes the place for one of the host's directories, or copies its link. */
static bool view_place(const char *root, const char *name)
{
    char *from = take_format("/%s", name), *to;
    char text[256];
    struct stat info;
    ssize_t len;
    bool fine = true;

    to = take_format("%s/root/%s", root, name);
    memset(&info, 0, sizeof info);
    if (lstat(from, &info) == 0 && S_ISLNK(info.st_mode)) {
        len = readlink(from, text, sizeof text - 1);
        text[len > 0 ? len : 0] = '\0';
        fine = symlink(text, to) == 0;
    } else if (S_ISDIR(info.st_mode)) {
        fine = mkdir(to, 0755) == 0;
    }
    free(from);
    free(to);
    return fine;
}

/* Copies the resolver's configuration where /etc/resolv.conf leads into /run,
 * which is the box's own. What fails is only a name that does not resolve. */
static void view_resolver(const struct box *box)
{
    char real[PATH_MAX], piece[4096];
    struct place place;
    FILE *from;
    size_t len;
    int to;

    if (realpath("/etc/resolv.conf", real) == NULL ||
        strncmp(real, "/run/", 5) != 0 || (from = fopen(real, "r")) == NULL)
        return;
    len = fread(piece, 1, sizeof piece, from);
    fclose(from);
    if (!path_find(box, real, true, &place))
        return;
    to = openat(place.dir, place.name,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (to >= 0) {
        if (write(to, piece, len) < 0)
            unlinkat(place.dir, place.name, 0);
        close(to);
    }
    place_close(&place);
}

/* Makes a box's directories. */
bool view_prepare(const struct box *box)
{
    size_t i;
    bool fine = mkdir(box->dir, 0711) == 0;

    for (i = 0; fine && i < COUNT(view_own); i++) {
        char *path = take_format("%s/%s", box->dir, view_own[i].path);

        fine = mkdir(path, view_own[i].mode) == 0 &&
               chmod(path, view_own[i].mode) == 0;
        free(path);
    }
    if (!box->d->view)
        return fine;
    for (i = 0; fine && i < COUNT(view_host); i++)
        fine = view_place(box->dir, view_host[i]);
    for (i = 0; fine && i < COUNT(view_kernel); i++)
        fine = view_place(box->dir, view_kernel[i]);
    if (fine)
        view_resolver(box);
    return fine;
}

#ifdef __linux__

/* Writes a short text into a file of /proc. */
static bool view_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool fine = fd >= 0 && write(fd, text, strlen(text)) > 0;

    if (fd >= 0)
        close(fd);
    return fine;
}

/* A fork with flags of clone(2); its arguments have another order there. */
static pid_t view_clone(unsigned long flags)
{
#ifdef __s390__
    return (pid_t)syscall(SYS_clone, 0ul, flags | SIGCHLD, 0ul, 0ul, 0ul);
#else
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0ul, 0ul, 0ul, 0ul);
#endif
}

/* Called in a namespace of users: this user is itself in it. */
static bool view_map_user(uid_t uid, gid_t gid)
{
    char map[64];

    snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
    if (!view_write("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof map, "%u %u 1", (unsigned)gid, (unsigned)gid);
    return view_write("/proc/self/setgroups", "deny") &&
           view_write("/proc/self/gid_map", map);
}

/* The flags of a mount that a later remount has to repeat. */
static unsigned long view_flags(const char *path)
{
    struct statvfs info;
    unsigned long flags = 0;

    if (statvfs(path, &info) != 0)
        return 0;
    flags |= (info.f_flag & ST_NOSUID) != 0 ? MS_NOSUID : 0;
    flags |= (info.f_flag & ST_NODEV) != 0 ? MS_NODEV : 0;
    flags |= (info.f_flag & ST_NOEXEC) != 0 ? MS_NOEXEC : 0;
    flags |= (info.f_flag & ST_NOATIME) != 0 ? MS_NOATIME : 0;
    flags |= (info.f_flag & ST_NODIRATIME) != 0 ? MS_NODIRATIME : 0;
    flags |= (info.f_flag & ST_RELATIME) != 0 ? MS_RELATIME : 0;
    return flags;
}

/* Binds one of the host's directories into the box. Root gets it for reading
 * only; others are held back by the files' modes, where a remount fails. */
static bool view_bind(const char *root, const char *name, bool read_only)
{
    char from[32], to[PATH_MAX];
    struct stat info;

    snprintf(from, sizeof from, "/%s", name);
    snprintf(to, sizeof to, "%s/root/%s", root, name);
    if (lstat(from, &info) != 0 || !S_ISDIR(info.st_mode))
        return true;
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        return false;
    return !read_only ||
           mount(NULL, to, NULL,
                 MS_REMOUNT | MS_BIND | MS_RDONLY | view_flags(to),
                 NULL) == 0 ||
           geteuid() != 0;
}

/* Shows the view's own processes; where that is not allowed, the host's. */
static bool view_mount_proc(const char *root)
{
    char to[PATH_MAX];

    snprintf(to, sizeof to, "%s/root/proc", root);
    return mount("proc", to, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 NULL) == 0 ||
           view_bind(root, "proc", false);
}

/* Called in the view's first process: lays the mounts. */
static bool view_mount(const struct box *box, const char **step)
{
    size_t i;

    *step = "private mounts";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    for (i = 0; i < COUNT(view_host); i++) {
        *step = view_host[i];
        if (!view_bind(box->dir, view_host[i], true))
            return false;
    }
    for (i = 0; i < COUNT(view_kernel); i++) {
        *step = view_kernel[i];
        if (strcmp(view_kernel[i], "proc") == 0
                ? !view_mount_proc(box->dir)
                : !view_bind(box->dir, view_kernel[i], false))
            return false;
    }
    return true;
}

/* Makes the box's directory the root. */
static bool view_root(const struct box *box)
{
    char root[PATH_MAX];

    snprintf(root, sizeof root, "%s/root", box->dir);
    return chroot(root) == 0 && chdir("/") == 0;
}

/* Called in the view's first process: sets the view up, then sleeps. It keeps
 * the view, and is the parent of its orphans; they vanish when they end, since
 * nobody asks for their status. What fails is told through the pipe, which
 * else ends. */
static void view_keep(const struct box *box, uid_t uid, gid_t gid, int tell)
{
    char *argv[] = {take_copy("sleep"), take_copy("2147483647"), NULL};
    char *env[] = {take_format("SANDBOXD_BOX=%s", box->id), NULL};
    const char *step = "a namespace of users";
    int null = open("/dev/null", O_RDWR);

    signal(SIGCHLD, SIG_IGN);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    if ((uid == 0 || view_map_user(uid, gid)) && view_mount(box, &step)) {
        step = "its root";
        if (view_root(box)) {
            step = "sleep";
            execve("/bin/sleep", argv, env);
            execve("/usr/bin/sleep", argv, env);
        }
    }
    if (write(tell, step, strlen(step)) < 0)
        _exit(2);
    _exit(1);
}

/* Opens the doors to a view's namespaces; there is none of users for root. */
static bool view_doors(struct view *view, bool root)
{
    static const char *const names[] = {"user", "pid", "mnt"};
    char path[64];
    size_t i;

    for (i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "/proc/%ld/ns/%s", (long)view->keeper,
                 names[i]);
        view->doors[i] = i == 0 && root ? -1
                                        : open(path, O_RDONLY | O_CLOEXEC);
        if (view->doors[i] < 0 && (i > 0 || !root))
            return false;
    }
    return true;
}

/* Makes the box's view, if it has none yet; false: *why says why not, taken. */
bool view_open(struct box *box, char **why)
{
    struct view *view = &box->view;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char step[64];
    ssize_t got;
    int tell[2];

    if (view->keeper > 0)
        return true;
    if (pipe(tell) != 0) {
        *why = take_format("no view: %s", strerror(errno));
        return false;
    }
    fcntl(tell[1], F_SETFD, FD_CLOEXEC);
    fcntl(tell[0], F_SETFD, FD_CLOEXEC);
    view->keeper = view_clone(CLONE_NEWNS | CLONE_NEWPID |
                              (uid == 0 ? 0 : CLONE_NEWUSER));
    if (view->keeper == 0)
        view_keep(box, uid, gid, tell[1]);
    close(tell[1]);
    while ((got = read(tell[0], step, sizeof step)) < 0 && errno == EINTR)
        ;
    close(tell[0]);
    view->doors[0] = view->doors[1] = view->doors[2] = -1;
    if (view->keeper > 0 && got == 0 && view_doors(view, uid == 0))
        return true;
    *why = got > 0 ? take_format("no view: %.*s", (int)got, step)
                   : take_format("no view: %s", strerror(errno));
    view_close(box);
    return false;
}

/* Ends a view, with every process in it; harmless if there is none. */
void view_close(struct box *box)
{
    struct view *view = &box->view;
    size_t i;

    if (view->keeper > 0) {
        kill(view->keeper, SIGKILL);
        for (i = 0; i < COUNT(view->doors); i++) {
            if (view->doors[i] >= 0)
                close(view->doors[i]);
        }
    }
    view->keeper = 0;
}

/* Called in a child: goes into the view, and forks there a child of its own
 * parent: only children are in a namespace of processes. 0 in the child; its
 * id, as the parent knows it; -1. */
pid_t view_enter(const struct box *box)
{
    size_t i;

    for (i = 0; i < COUNT(box->view.doors); i++) {
        if (box->view.doors[i] >= 0 && setns(box->view.doors[i], 0) != 0)
            return -1;
    }
    return view_root(box) ? view_clone(CLONE_PARENT) : -1;
}

/* The id that a process has in its own view. */
pid_t view_inner(pid_t pid)
{
    char path[64], line[256];
    const char *last;
    long inner = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    file = fopen(path, "r");
    while (file != NULL && inner == 0 &&
           fgets(line, sizeof line, file) != NULL) {
        last = strncmp(line, "NSpid:", 6) == 0 ? strrchr(line, '\t') : NULL;
        if (last != NULL)
            inner = strtol(last, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return inner > 0 ? (pid_t)inner : pid;
}

/* Whether a shell runs in a box's view, and finds what is its own. */
static bool view_works(struct box *box)
{
    struct command_options options;
    struct spawned spawned;
    char *argv[] = {take_copy("/bin/sh"), take_copy("-c"),
                    take_copy("test -d /home/user"), NULL};
    char *why = NULL;
    int status = -1;
    size_t i;

    memset(&options, 0, sizeof options);
    options.argv = argv;
    if (spawn(box, &options, &spawned, &why)) {
        while (waitpid(spawned.pid, &status, 0) < 0 && errno == EINTR)
            ;
        close(spawned.out);
        close(spawned.err);
    }
    for (i = 0; i < 3; i++)
        free(argv[i]);
    free(why);
    return status == 0;
}

/* Tries the view out. */
bool view_probe(struct sandboxd *d)
{
    struct box *box = box_new(d);

    free(box->dir);
    box->dir = take_format("%s/probe", d->data);
    d->view = true;
    d->view = view_prepare(box) && view_works(box);
    view_close(box);
    process_remove_tree(d, box->dir);
    box_free(box);
    return d->view;
}

#else

bool view_open(struct box *box, char **why)
{
    (void)box;
    *why = take_copy("this system has no views");
    return false;
}

void view_close(struct box *box)
{
    (void)box;
}

pid_t view_enter(const struct box *box)
{
    (void)box;
    return -1;
}

pid_t view_inner(pid_t pid)
{
    return pid;
}

bool view_probe(struct sandboxd *d)
{
    d->view = false;
    return false;
}

#endif
