/* spawn.c: users, and how a process of a box comes to be.
 *
 * SPDX-License-Identifier: MIT
 *
 * What can be wrong is found out before the fork; what goes wrong behind it
 * is told on the command's standard error, with a shell's 126 or 127.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "sandboxd.h"

#define SPAWN_PATH \
    "/run/sandboxd:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SPAWN_COLS 80               /* of a terminal that nobody has sized */
#define SPAWN_ROWS 24

extern char **environ;

/* ------------------------------------------------------------------- users */

/* Reads one decimal number that is all of a text. */
static bool user_number(const char *text, unsigned long *number)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number < 0xFFFFFFFFul;
}

/* Finds out who "name", "uid", "name:group", "uid:gid" is; false: nobody. */
bool user_find(const char *user, struct user_ids *ids)
{
    char name[64];
    size_t len = strcspn(user, ":");
    const struct passwd *entry;
    const struct group *group;
    unsigned long number;

    if (len == 0 || len >= sizeof name)
        return false;
    memcpy(name, user, len);
    name[len] = '\0';
    memset(ids, 0, sizeof *ids);
    if (user_number(name, &number)) {
        ids->uid = (uid_t)number;
        ids->gid = (gid_t)number;
        entry = getpwuid(ids->uid);
    } else {
        entry = getpwnam(name);
        if (entry == NULL)
            return false;
    }
    if (entry != NULL) {
        ids->uid = entry->pw_uid;
        ids->gid = entry->pw_gid;
        snprintf(ids->name, sizeof ids->name, "%s", entry->pw_name);
    }
    if (user[len] == '\0')
        return true;
    group = getgrnam(user + len + 1);
    if (group == NULL && !user_number(user + len + 1, &number))
        return false;
    ids->gid = group != NULL ? group->gr_gid : (gid_t)number;
    return true;
}

/* Whether commands can run as that user: as root, anybody; else oneself. */
bool user_possible(const char *user)
{
    struct user_ids ids;

    return user_find(user, &ids) &&
           (geteuid() == 0 || (ids.uid == geteuid() && ids.gid == getegid()));
}

/* Called in the child: becomes that user. */
static bool user_become(const struct user_ids *ids)
{
    if (geteuid() != 0 || (ids->uid == 0 && ids->gid == getegid()))
        return true;
    if (ids->name[0] != '\0' ? initgroups(ids->name, ids->gid) != 0
                             : setgroups(1, &ids->gid) != 0)
        return false;
    return setgid(ids->gid) == 0 && setuid(ids->uid) == 0;
}

/* ---------------------------------------------------------------- spawning */

/* What the child needs, made ready before the fork. */
struct spawn_plan {
    struct box *box;
    const struct command_options *options;
    char **env;
    char *cwd;                      /* in the view, or the host's path */
    bool switch_user;
    struct user_ids ids;
    int in[2];                      /* pipes; -1: there is none */
    int out[2];
    int err[2];
    int terminal;                   /* the command's side of its PTY, or -1 */
    int ready[2];                   /* ends when the terminal is the child's */
};

/* Lays the environment's layers over one another. */
static void spawn_environment(const struct box *box,
                              const struct command_options *options,
                              const char *home, const char *cwd,
                              struct map *env)
{
    const char *path = getenv("PATH");

    map_set(env, "PATH", box->d->view || path == NULL ? SPAWN_PATH : path);
    map_set(env, "HOME", home);
    map_set(env, "LANG", "C.UTF-8");
    map_set(env, "PWD", cwd);
    if (options->pty)
        map_set(env, "TERM", "xterm-256color");
    if (!box->d->view) {
        char *tmp = take_format("%s/root/tmp", box->dir);

        map_set(env, "TMPDIR", tmp);
        free(tmp);
    }
    map_merge(env, &box->run.env);
    map_merge(env, &box->rule_env);
    map_merge(env, &box->env);
    map_merge(env, options->env);
    map_merge(env, options->own_env);
    map_set(env, "SANDBOXD_BOX", box->id);
}

/* The environment as execve wants it. */
static char **spawn_strings(const struct map *env)
{
    char **strings = take((env->count + 1) * sizeof *strings);
    size_t i;

    for (i = 0; i < env->count; i++)
        strings[i] = take_format("%s=%s", env->pairs[i].name,
                                 env->pairs[i].value);
    return strings;
}

/* The directory in which a command starts, as the child has to name it; NULL
 * when there is none. */
static char *spawn_directory(const struct box *box, const char *cwd)
{
    char *path = take_format("%s%s/.", cwd[0] == '/' ? "" : "/home/user/",
                             cwd);
    char *inside;
    struct place place;
    bool found = path_find(box, path, false, &place);

    if (found)
        place_close(&place);
    path[strlen(path) - 2] = '\0';
    inside = !found           ? NULL
             : box->d->view ? take_copy(path[0] != '\0' ? path : "/")
                              : take_format("%s/root%s", box->dir, path);
    free(path);
    return inside;
}

/* Says on its standard error why a command did not start, as a shell does. */
static void spawn_complain(const char *what)
{
    char text[512];
    int len = snprintf(text, sizeof text, "sandboxd: %s: %s\n", what,
                       strerror(errno));

    if (len > 0 && write(2, text, (size_t)len < sizeof text
                                      ? (size_t)len
                                      : sizeof text - 1) < 0)
        _exit(126);
}

/* Called in the child: puts the descriptors and signals into place. */
static void spawn_stage(const struct spawn_plan *plan)
{
    struct sigaction plain;
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), number;
    int terminal = plan->terminal;

    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    for (number = 1; number < 32; number++)
        sigaction(number, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(022);
    if (terminal >= 0) {
        ioctl(terminal, TIOCSCTTY, 0);
        close(plan->ready[1]);
    }
    dup2(terminal >= 0 ? terminal : plan->in[0] >= 0 ? plan->in[0] : null, 0);
    dup2(terminal >= 0 ? terminal : plan->out[1], 1);
    dup2(terminal >= 0 ? terminal : plan->err[1], 2);
}

/* Called in the child: becomes the command. 126, 127: it could not. */
static void spawn_become(const struct spawn_plan *plan)
{
    char **argv = plan->options->argv;

    spawn_stage(plan);
    process_limits_restore();
    if (plan->switch_user && !user_become(&plan->ids)) {
        spawn_complain("its user");
        _exit(126);
    }
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (chdir(plan->cwd) != 0) {
        spawn_complain(plan->cwd);
        _exit(126);
    }
    environ = plan->env;
    execvp(argv[0], argv);
    spawn_complain(argv[0]);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Opens a pipe whose ends are not inherited; the end `ours` does not block. */
static bool spawn_pipe(int ends[2], int ours)
{
    if (pipe(ends) != 0) {
        ends[0] = ends[1] = -1;
        return false;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    set_nonblocking(ends[ours]);
    return true;
}

/* Opens a terminal: our side twice, for both directions, and theirs. */
static bool spawn_terminal(struct spawn_plan *plan)
{
    struct winsize size = {SPAWN_ROWS, SPAWN_COLS, 0, 0};
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    const char *name;

    plan->out[0] = fd;
    if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 ||
        (name = ptsname(fd)) == NULL)
        return false;
    plan->terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    plan->in[1] = dup(fd);
    if (plan->terminal < 0 || plan->in[1] < 0)
        return false;
    set_nonblocking(fd);
    set_nonblocking(plan->in[1]);
    ioctl(fd, TIOCSWINSZ, &size);
    if (plan->switch_user && fchown(plan->terminal, plan->ids.uid,
                                    (gid_t)-1) != 0)
        return false;
    return true;
}

/* Opens what the command's standard streams will be. */
static bool spawn_open(struct spawn_plan *plan)
{
    plan->in[0] = plan->in[1] = plan->terminal = -1;
    plan->out[0] = plan->out[1] = plan->err[0] = plan->err[1] = -1;
    plan->ready[0] = plan->ready[1] = -1;
    if (plan->options->pty)
        return spawn_terminal(plan) && spawn_pipe(plan->ready, 1);
    return spawn_pipe(plan->out, 0) && spawn_pipe(plan->err, 0) &&
           (!plan->options->input || spawn_pipe(plan->in, 1));
}

/* Closes a descriptor that may be none. */
static void spawn_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Reads what a child tells, or that it tells nothing any more. */
static bool spawn_hear(int fd, void *bytes, size_t len)
{
    ssize_t got;

    while ((got = read(fd, bytes, len)) < 0 && errno == EINTR)
        ;
    return got == (ssize_t)len;
}

/* Waits until the child has its terminal: a ^C that is written before would
 * reach nobody. */
static void spawn_wait(const struct spawn_plan *plan)
{
    char byte;

    spawn_close(plan->ready[1]);
    if (plan->ready[0] >= 0)
        spawn_hear(plan->ready[0], &byte, 1);
    spawn_close(plan->ready[0]);
}

/* Forks in the box's view: a child goes there, and tells the id of the one
 * that it makes there in its place. */
static pid_t spawn_in_view(const struct spawn_plan *plan)
{
    pid_t pid = -1, guide;
    int tell[2];

    if (!spawn_pipe(tell, 1))
        return -1;
    guide = fork();
    if (guide == 0) {
        pid = view_enter(plan->box);
        if (pid == 0)
            spawn_become(plan);
        _exit(write(tell[1], &pid, sizeof pid) < 0);
    }
    close(tell[1]);
    if (guide > 0 && !spawn_hear(tell[0], &pid, sizeof pid))
        pid = -1;
    close(tell[0]);
    if (guide > 0)
        waitpid(guide, NULL, 0);
    return pid;
}

/* Opens the streams and forks; false: it could not. */
static bool spawn_fork(struct spawn_plan *plan, struct spawned *spawned)
{
    spawned->pid = -1;
    if (spawn_open(plan))
        spawned->pid = plan->box->d->view ? spawn_in_view(plan) : fork();
    if (spawned->pid == 0)
        spawn_become(plan);
    spawn_wait(plan);
    spawn_close(plan->in[0]);
    spawn_close(plan->out[1]);
    spawn_close(plan->err[1]);
    spawn_close(plan->terminal);
    spawned->in = plan->in[1];
    spawned->out = plan->out[0];
    spawned->err = plan->err[0];
    if (spawned->pid > 0)
        return true;
    spawn_close(spawned->in);
    spawn_close(spawned->out);
    spawn_close(spawned->err);
    return false;
}

/* Makes the plan's parts that can be wrong; NULL, or what is, taken. */
static char *spawn_plan(struct spawn_plan *plan, struct box *box,
                        const struct command_options *options)
{
    const char *user =
        options->user != NULL ? options->user : box->run.user;
    const char *cwd = options->cwd != NULL ? options->cwd
                      : box->run.work_dir != NULL ? box->run.work_dir
                                                   : "/home/user";

    memset(plan, 0, sizeof *plan);
    plan->box = box;
    plan->options = options;
    plan->switch_user = user != NULL;
    if (user != NULL &&
        (!user_possible(user) || !user_find(user, &plan->ids)))
        return take_format("commands cannot run as user %s here", user);
    plan->cwd = spawn_directory(box, cwd);
    if (plan->cwd == NULL)
        return take_format("working directory %s: %s", cwd, strerror(errno));
    return NULL;
}

/* Starts a process; false: it could not be, *why says so, taken. */
bool spawn(struct box *box, const struct command_options *options,
           struct spawned *spawned, char **why)
{
    struct spawn_plan plan;
    struct map env = {0};
    char *home = box->d->view ? take_copy("/home/user")
                              : take_format("%s/root/home/user", box->dir);
    size_t i;

    *why = spawn_plan(&plan, box, options);
    if (*why == NULL && (!box->d->view || view_open(box, why))) {
        spawn_environment(box, options, home, plan.cwd, &env);
        plan.env = spawn_strings(&env);
        if (!spawn_fork(&plan, spawned))
            *why = take_format("no process: %s", strerror(errno));
        for (i = 0; i < env.count; i++)
            free(plan.env[i]);
        free(plan.env);
    }
    map_free(&env);
    free(plan.cwd);
    free(home);
    return *why == NULL;
}
