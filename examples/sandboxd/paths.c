/* paths.c: where a path of the API leads.
 *
 * SPDX-License-Identifier: MIT
 *
 * A path is walked from the box's root one name at a time, each directory
 * opened from the one before without following links: a link's text is walked
 * in its place, from the box's root if it is absolute, and ".." stops there.
 * So nothing leads out of the box, as long as nobody moves directories about
 * meanwhile: a development server, no security boundary.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandboxd.h"

#define PATH_LEVELS 256
#define PATH_LINKS 40
#define PATH_LONGEST 4096

#ifdef O_PATH
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#else
#define PATH_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#endif

/* A walk: the directories from the root down to where it stands. */
struct path_walk {
    int fds[PATH_LEVELS];
    size_t depth;                   /* fds[depth] is where it stands */
    bool host;                      /* it went into one of the host's own */
    bool view;
    bool make;
    int links;
    char rest[2 * PATH_LONGEST];    /* still to be walked */
};

/* Goes back up to a level. */
static void path_up(struct path_walk *walk, size_t depth)
{
    while (walk->depth > depth)
        close(walk->fds[walk->depth--]);
    if (depth == 0)
        walk->host = false;
}

/* Where a name is to be looked for: the box, or the host for what commands
 * see of the host. */
static int path_base(const struct path_walk *walk, const char *name, int host)
{
    return walk->view && walk->depth == 0 && view_provides(name)
               ? host
               : walk->fds[walk->depth];
}

/* Puts a link's text in front of what is left, which is empty or begins with
 * a slash. */
static bool path_link(struct path_walk *walk, const char *text, size_t len)
{
    size_t rest = strlen(walk->rest);

    if (++walk->links > PATH_LINKS || len + rest + 1 > sizeof walk->rest) {
        errno = ELOOP;
        return false;
    }
    memmove(walk->rest + len, walk->rest, rest + 1);
    memcpy(walk->rest, text, len);
    if (text[0] == '/')
        path_up(walk, 0);
    return true;
}

/* Enters a directory; makes it first if that is wanted. */
static bool path_enter(struct path_walk *walk, int base, const char *name)
{
    int fd = openat(base, name, PATH_FLAGS);
    bool host = base != walk->fds[walk->depth];

    if (fd < 0 && errno == ENOENT && walk->make && !walk->host && !host) {
        if (mkdirat(base, name, 0755) != 0 && errno != EEXIST)
            return false;
        fd = openat(base, name, PATH_FLAGS);
    }
    if (fd < 0)
        return false;
    if (walk->depth + 1 == PATH_LEVELS) {
        close(fd);
        errno = ENAMETOOLONG;
        return false;
    }
    walk->host = walk->host || host;
    walk->fds[++walk->depth] = fd;
    return true;
}

/* Takes the next name off what is left; false at its end. */
static bool path_name(struct path_walk *walk, char name[256])
{
    char *at = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(at, "/");

    name[0] = '\0';
    if (len > 255) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(name, at, len);
    name[len] = '\0';
    memmove(walk->rest, at + len, strlen(at + len) + 1);
    return true;
}

/* One step of the walk. 1: there was one; 0: it has arrived at `name` in the
 * place where it stands; -1: it failed. */
static int path_step(struct path_walk *walk, int host, char name[256])
{
    char text[PATH_LONGEST];
    ssize_t len;
    int base;

    if (!path_name(walk, name))
        return -1;
    if (name[0] == '\0') {
        strcpy(name, ".");
        return 0;
    }
    if (strcmp(name, ".") == 0)
        return 1;
    if (strcmp(name, "..") == 0) {
        path_up(walk, walk->depth > 0 ? walk->depth - 1 : 0);
        return 1;
    }
    base = path_base(walk, name, host);
    len = readlinkat(base, name, text, sizeof text);
    if (len == (ssize_t)sizeof text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (len >= 0)
        return path_link(walk, text, (size_t)len) ? 1 : -1;
    if (walk->rest[0] == '\0' && base == walk->fds[walk->depth])
        return 0;
    return path_enter(walk, base, name) ? 1 : -1;
}

/* Finds where a path of the API leads; relative ones begin at /home/user. The
 * last name need not be there; "." when the path ends with a directory's
 * slash. False: errno says why. */
bool path_find(const struct box *box, const char *path, bool make_parents,
               struct place *place)
{
    struct path_walk *walk = take(sizeof *walk);
    char *root = take_format("%s/root", box->dir);
    int host = open("/", PATH_FLAGS), step = -1, why;

    walk->view = box->d->view;
    walk->make = make_parents;
    walk->fds[0] = open(root, PATH_FLAGS);
    free(root);
    errno = ENAMETOOLONG;
    if (strlen(path) < PATH_LONGEST && walk->fds[0] >= 0) {
        snprintf(walk->rest, sizeof walk->rest, "%s%s",
                 path[0] == '/' ? "" : "/home/user/", path);
        do
            step = path_step(walk, host, place->name);
        while (step > 0);
    }
    why = errno;
    place->dir = step == 0 ? dup(walk->fds[walk->depth]) : -1;
    place->host = walk->host;
    if (place->dir >= 0)
        fcntl(place->dir, F_SETFD, FD_CLOEXEC);
    path_up(walk, 0);
    close(walk->fds[0]);
    close(host);
    free(walk);
    errno = why;
    return step == 0 && place->dir >= 0;
}

/* Makes a directory and its parents. */
bool path_make_dir(const struct box *box, const char *path)
{
    struct place place;
    char *inside = take_format("%s/.", path);
    bool made = path_find(box, inside, true, &place);

    free(inside);
    if (made)
        place_close(&place);
    return made;
}

/* Closes what was found. */
void place_close(struct place *place)
{
    if (place->dir >= 0)
        close(place->dir);
    place->dir = -1;
}
