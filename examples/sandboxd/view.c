/* view.c: what commands see of the file system.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where the system lets this process have mount namespaces (root, or user
 * namespaces), each command runs with the box's directory as its root: the
 * host's programs and libraries are bound into it for reading, /proc, /dev and
 * /sys as they are; all else, /home, /root, /tmp, /srv, /var, …, is the box's
 * own. The API's paths and the commands' then name the same files. The mounts
 * live in the command's own namespace, and go with its last process. Elsewhere
 * commands see the host's files ("isolation":"none").
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
#include <sys/mount.h>
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

/* A namespace of mounts, by way of one of users where this is not root. */
static bool view_unshare(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (uid == 0)
        return unshare(CLONE_NEWNS) == 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
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

/* Called in the child: makes the box's root its own. */
bool view_enter(const struct box *box, const char **step)
{
    char root[PATH_MAX];
    size_t i;

    *step = "a mount namespace";
    if (!view_unshare() ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    for (i = 0; i < COUNT(view_host); i++) {
        *step = view_host[i];
        if (!view_bind(box->dir, view_host[i], true))
            return false;
    }
    for (i = 0; i < COUNT(view_kernel); i++) {
        *step = view_kernel[i];
        if (!view_bind(box->dir, view_kernel[i], false))
            return false;
    }
    *step = "its root";
    snprintf(root, sizeof root, "%s/root", box->dir);
    return chroot(root) == 0 && chdir("/") == 0;
}

/* Tries the view out: whether a shell runs in it. */
bool view_probe(struct sandboxd *d)
{
    struct box *box = box_new(d);
    const char *step;
    int status = -1;
    pid_t pid;

    d->view = true;
    free(box->dir);
    box->dir = take_format("%s/probe", d->data);
    d->view = view_prepare(box);
    pid = d->view ? fork() : -1;
    if (pid == 0) {
        if (view_enter(box, &step))
            execl("/bin/sh", "sh", "-c", "test -d /home/user", (char *)NULL);
        _exit(1);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    d->view = pid > 0 && status == 0;
    process_remove_tree(d, box->dir);
    box_free(box);
    return d->view;
}

#else

bool view_enter(const struct box *box, const char **step)
{
    (void)box;
    *step = "a view, which this system does not have";
    return false;
}

bool view_probe(struct sandboxd *d)
{
    d->view = false;
    return false;
}

#endif
