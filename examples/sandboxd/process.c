/* process.c: commands as real processes, and their end.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each command leads a session and process group of its own. Its end is told
 * by SIGCHLD through a pipe to the loop. Processes that leave the group are
 * found, on Linux, by this process being the reaper of their orphans, and by
 * the variable SANDBOXD_BOX, which every process of a box inherits.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "sandboxd.h"

#define PROCESS_GRACE_MS 100        /* for output behind a command's end */
#define PROCESS_DRAINS 64           /* ended ones whose output is still open */
#define PROCESS_PATH \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

static int process_signals[2];
static struct watch process_watch;

/* Passes a signal on to the loop. */
static void process_signal(int number)
{
    unsigned char byte = (unsigned char)number;
    int why = errno;

    if (write(process_signals[1], &byte, 1) < 0)
        why = why + 0;              /* full: the loop is awake anyway */
    errno = why;
}

/* ------------------------------------------------------------------ users -- */

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

/* --------------------------------------------------------------- spawning -- */

/* What the child needs, made ready before the fork. */
struct process_plan {
    struct box *box;
    char **argv;
    char **env;
    char *cwd;                      /* in the view, or the host's path */
    bool switch_user;
    struct user_ids ids;
    int out[2];
    int err[2];
};

/* Lays the environment's layers over one another. */
static void process_environment(const struct box *box,
                                const struct command_options *options,
                                const char *home, const char *cwd,
                                struct map *env)
{
    const char *path = getenv("PATH");

    map_set(env, "PATH",
            box->d->view || path == NULL ? PROCESS_PATH : path);
    map_set(env, "HOME", home);
    map_set(env, "LANG", "C.UTF-8");
    map_set(env, "PWD", cwd);
    if (!box->d->view) {
        char *tmp = take_format("%s/root/tmp", box->dir);

        map_set(env, "TMPDIR", tmp);
        free(tmp);
    }
    map_merge(env, &box->run.env);
    map_merge(env, &box->env);
    map_merge(env, options->env);
    map_set(env, "SANDBOXD_BOX", box->id);
}

/* The environment as execve wants it. */
static char **process_strings(const struct map *env)
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
static char *process_directory(const struct box *box, const char *cwd)
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
static void process_complain(const char *what)
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
static void process_stage(const struct process_plan *plan)
{
    struct sigaction plain;
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), number;

    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    for (number = 1; number < 32; number++)
        sigaction(number, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(022);
    dup2(null, 0);
    dup2(plan->out[1], 1);
    dup2(plan->err[1], 2);
}

/* Called in the child: becomes the command. 126, 127: it could not. */
static void process_become(const struct process_plan *plan)
{
    const char *step;

    process_stage(plan);
    if (plan->box->d->view && !view_enter(plan->box, &step)) {
        process_complain(step);
        _exit(126);
    }
    if (plan->switch_user && !user_become(&plan->ids)) {
        process_complain("its user");
        _exit(126);
    }
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (chdir(plan->cwd) != 0) {
        process_complain(plan->cwd);
        _exit(126);
    }
    environ = plan->env;
    execvp(plan->argv[0], plan->argv);
    process_complain(plan->argv[0]);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Opens a pipe whose ends are not inherited. */
static bool process_pipe(int ends[2])
{
    if (pipe(ends) != 0)
        return false;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return true;
}

/* Opens both pipes and forks; the child's id, or -1. */
static pid_t process_fork(struct process_plan *plan)
{
    pid_t pid = -1;

    if (!process_pipe(plan->out))
        return -1;
    if (process_pipe(plan->err)) {
        pid = fork();
        if (pid == 0)
            process_become(plan);
        close(plan->err[1]);
        if (pid < 0)
            close(plan->err[0]);
    }
    close(plan->out[1]);
    if (pid < 0)
        close(plan->out[0]);
    return pid;
}

/* --------------------------------------------------------------- commands -- */

/* Stops watching one of the outputs. */
static void command_shut(struct command *command, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    loop_unwatch(&command->d->loop, watch);
    close(watch->fd);
    watch->fd = -1;
}

/* Forgets a command; its process has ended, or is nobody's any more. */
static void command_free(struct command *command)
{
    struct sandboxd *d = command->d;
    struct command **link = &d->commands;

    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    command_shut(command, &command->out);
    command_shut(command, &command->err);
    loop_cancel(&d->loop, &command->timeout);
    loop_cancel(&d->loop, &command->grace);
    bytes_free(&command->out_bytes);
    bytes_free(&command->err_bytes);
    free(command);
}

/* Of the ended commands whose output somebody still holds open, lets the
 * oldest go when there are too many. */
static void command_limit_drains(struct sandboxd *d)
{
    struct command *command, *oldest = NULL;
    size_t count = 0;

    for (command = d->commands; command != NULL; command = command->next) {
        if (command->finished && command->exited) {
            oldest = command;
            count++;
        }
    }
    if (count > PROCESS_DRAINS)
        command_free(oldest);
}

/* A command is over: tells its owner. What processes that it left behind
 * still print is read and dropped, so that they do not break. */
static void command_finish(struct command *command)
{
    struct sandboxd *d = command->d;

    if (command->finished)
        return;
    command->finished = true;
    d->command_count--;
    loop_cancel(&d->loop, &command->timeout);
    loop_cancel(&d->loop, &command->grace);
    if (command->box != NULL) {
        command->box->commands--;
        box_touch(command->box);
    }
    if (command->owner != NULL)
        command->done(command);
    command->owner = NULL;
    bytes_free(&command->out_bytes);
    bytes_free(&command->err_bytes);
    command_limit_drains(d);
}

/* Sees whether a command is over: it has exited and its output has ended. */
static void command_check(struct command *command)
{
    if (!command->exited || command->out.fd >= 0 || command->err.fd >= 0)
        return;
    command_finish(command);
    command_free(command);
}

/* Keeps a piece of output, as much as is allowed. */
static void command_keep(struct command *command, struct bytes *bytes,
                         const char *piece, size_t len)
{
    if (command->finished || command->overflowed)
        return;
    if (bytes->len + len > command->d->settings.max_output) {
        command->overflowed = true;
        kill(-command->pid, SIGKILL);
        return;
    }
    bytes_add(bytes, piece, len);
}

/* One of the outputs can be read. */
static void command_readable(struct watch *watch, bool readable,
                             bool writable)
{
    struct command *command = watch->owner;
    char piece[16384];
    ssize_t got = read(watch->fd, piece, sizeof piece);

    (void)readable;
    (void)writable;
    if (got > 0)
        command_keep(command,
                     watch == &command->out ? &command->out_bytes
                                            : &command->err_bytes,
                     piece, (size_t)got);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    command_shut(command, watch);
    command_check(command);
}

/* The command's time is up. */
static void command_late(struct timer *timer)
{
    struct command *command = timer->owner;

    command->timed_out = true;
    kill(-command->pid, SIGKILL);
}

/* The time for output behind the end is up. */
static void command_graced(struct timer *timer)
{
    command_finish(timer->owner);
}

/* A process of ours has ended. */
static void command_exited(struct sandboxd *d, pid_t pid, int status)
{
    struct command *command = d->commands;

    while (command != NULL && (command->pid != pid || command->exited))
        command = command->next;
    if (command == NULL)
        return;
    command->exited = true;
    command->exit_code = WIFEXITED(status) ? WEXITSTATUS(status)
                                           : 128 + WTERMSIG(status);
    loop_cancel(&d->loop, &command->timeout);
    loop_at(&d->loop, &command->grace, now_ms() + PROCESS_GRACE_MS);
    command_check(command);
}

/* Watches one of the outputs. */
static void command_watch(struct command *command, struct watch *watch,
                          int fd)
{
    watch->fd = fd;
    watch->read = true;
    watch->owner = command;
    watch->ready = command_readable;
    loop_watch(&command->d->loop, watch);
}

/* Enters a command that has been started into the books. */
static struct command *command_new(struct box *box, pid_t pid,
                                   const struct process_plan *plan,
                                   uint32_t timeout_s)
{
    struct sandboxd *d = box->d;
    struct command *command = take(sizeof *command);

    command->box = box;
    command->d = d;
    command->pid = pid;
    command->timeout.owner = command;
    command->timeout.fire = command_late;
    command->grace.owner = command;
    command->grace.fire = command_graced;
    command_watch(command, &command->out, plan->out[0]);
    command_watch(command, &command->err, plan->err[0]);
    if (timeout_s > 0)
        loop_at(&d->loop, &command->timeout,
                now_ms() + (uint64_t)timeout_s * 1000);
    command->next = d->commands;
    d->commands = command;
    d->command_count++;
    box->commands++;
    box_touch(box);
    return command;
}

/* Makes the plan's parts that can be wrong; NULL, or what is, taken. */
static char *process_plan(struct process_plan *plan, struct box *box,
                          const struct command_options *options)
{
    const char *user =
        options->user != NULL ? options->user : box->run.user;
    const char *cwd = options->cwd != NULL ? options->cwd
                      : box->run.work_dir != NULL ? box->run.work_dir
                                                   : "/home/user";

    memset(plan, 0, sizeof *plan);
    plan->box = box;
    plan->argv = options->argv;
    plan->switch_user = user != NULL;
    if (user != NULL &&
        (!user_possible(user) || !user_find(user, &plan->ids)))
        return take_format("commands cannot run as user %s here", user);
    plan->cwd = process_directory(box, cwd);
    if (plan->cwd == NULL)
        return take_format("working directory %s: %s", cwd, strerror(errno));
    return NULL;
}

/* Starts a command. NULL: it could not be; *why says so, taken. */
struct command *command_start(struct box *box,
                              const struct command_options *options,
                              char **why)
{
    struct process_plan plan;
    struct map env = {0};
    char *home = box->d->view ? take_copy("/home/user")
                              : take_format("%s/root/home/user", box->dir);
    pid_t pid = -1;
    size_t i;

    *why = process_plan(&plan, box, options);
    if (*why == NULL) {
        process_environment(box, options, home, plan.cwd, &env);
        plan.env = process_strings(&env);
        pid = process_fork(&plan);
        if (pid < 0)
            *why = take_format("no process: %s", strerror(errno));
        for (i = 0; i < env.count; i++)
            free(plan.env[i]);
        free(plan.env);
    }
    map_free(&env);
    free(plan.cwd);
    free(home);
    return pid < 0 ? NULL : command_new(box, pid, &plan, options->timeout_s);
}

/* ----------------------------------------------------------------- the end -- */

#ifdef __linux__

/* One process of the system. */
struct process_entry {
    pid_t pid;
    pid_t parent;
    pid_t session;
    bool ours;
};

/* Reads a process's line; false if it has gone or is a zombie. */
static bool process_read(const char *name, struct process_entry *entry)
{
    char path[64], line[512], state;
    const char *at;
    int parent, group, session;
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    line[len > 0 ? len : 0] = '\0';
    at = strrchr(line, ')');
    if (at == NULL || sscanf(at + 1, " %c %d %d %d", &state, &parent, &group,
                             &session) != 4 ||
        state == 'Z')
        return false;
    entry->pid = (pid_t)strtol(name, NULL, 10);
    entry->parent = (pid_t)parent;
    entry->session = (pid_t)session;
    entry->ours = false;
    return true;
}

/* All processes that descend from this one are marked as ours. */
static void process_mark(struct process_entry *list, size_t count)
{
    pid_t self = getpid();
    bool found = true;
    size_t i, k;

    while (found) {
        found = false;
        for (i = 0; i < count; i++) {
            bool child = list[i].parent == self;

            for (k = 0; !list[i].ours && !child && k < count; k++)
                child = list[k].ours && list[k].pid == list[i].parent;
            if (child && !list[i].ours) {
                list[i].ours = true;
                found = true;
            }
        }
    }
}

/* The list of all processes, taken. */
static struct process_entry *process_list(size_t *count)
{
    struct process_entry *list = NULL, entry;
    const struct dirent *item;
    DIR *dir = opendir("/proc");
    size_t size = 0;

    *count = 0;
    while (dir != NULL && (item = readdir(dir)) != NULL) {
        if (!isdigit((unsigned char)item->d_name[0]) ||
            !process_read(item->d_name, &entry))
            continue;
        if (*count == size) {
            size = size * 2 + 64;
            list = take_more(list, size * sizeof *list);
        }
        list[(*count)++] = entry;
    }
    if (dir != NULL)
        closedir(dir);
    return list;
}

/* Whether a process carries the box's variable. */
static bool process_carries(pid_t pid, const char *id)
{
    char path[64], mark[64], *text = take(65536);
    ssize_t len, at = 0, n;
    int fd;

    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    snprintf(mark, sizeof mark, "SANDBOXD_BOX=%s", id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? 0 : read(fd, text, 65535);
    if (fd >= 0)
        close(fd);
    while (at < len && strcmp(text + at, mark) != 0) {
        n = (ssize_t)strlen(text + at) + 1;
        at += n;
    }
    free(text);
    return at < len;
}

/* Whether a session is that of a command of the box. */
static bool process_session_of(const struct box *box, pid_t session)
{
    const struct command *command;

    for (command = box->d->commands; command != NULL; command = command->next)
        if (command->box == box && command->pid == session)
            return true;
    return false;
}

/* Kills what descends from this process and belongs to the box (NULL: all);
 * how many there were. */
static size_t process_kill_strays(const struct box *box)
{
    size_t count, i, killed = 0;
    struct process_entry *list = process_list(&count);

    process_mark(list, count);
    for (i = 0; i < count; i++) {
        if (!list[i].ours ||
            (box != NULL && !process_session_of(box, list[i].session) &&
             !process_carries(list[i].pid, box->id)))
            continue;
        kill(list[i].pid, SIGKILL);
        killed++;
    }
    free(list);
    return killed;
}

#else

static size_t process_kill_strays(const struct box *box)
{
    (void)box;
    return 0;
}

#endif

/* Sleeps for a moment, at the end of everything or of a box. */
static void process_pause(void)
{
    struct timespec moment = {0, 2000000};

    nanosleep(&moment, NULL);
}

/* Collects what has ended; false when there are no children at all. */
static bool process_reap(struct sandboxd *d)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        command_exited(d, pid, status);
    return pid == 0;
}

/* Kills a command's group. When its leader has gone, the group is known to be
 * there still only while somebody holds the output open. */
static void command_kill(const struct command *command)
{
    if (!command->exited)
        kill(command->pid, SIGKILL);
    if (!command->exited || command->out.fd >= 0 || command->err.fd >= 0)
        kill(-command->pid, SIGKILL);
}

/* Kills every process of a box: those that fork meanwhile, too. */
void commands_kill(struct box *box)
{
    struct command *command;
    int turn;

    for (command = box->d->commands; command != NULL; command = command->next)
        if (command->box == box)
            command_kill(command);
    for (turn = 0; turn < 50 && process_kill_strays(box) > 0; turn++)
        process_pause();
}

/* Kills every process that there is below this one, and waits for their
 * ends. */
void commands_end(struct sandboxd *d)
{
    struct command *command;
    uint64_t until = now_ms() + 5000;

    for (command = d->commands; command != NULL; command = command->next) {
        command->owner = NULL;
        command_kill(command);
    }
    do {
        process_kill_strays(NULL);
        if (!process_reap(d))
            break;
        process_pause();
    } while (now_ms() < until);
    while (d->commands != NULL) {
        d->commands->owner = NULL;
        command_free(d->commands);
    }
}

/* ----------------------------------------------------------------- helpers -- */

/* The loop hears of signals. */
static void process_heard(struct watch *watch, bool readable, bool writable)
{
    struct sandboxd *d = watch->owner;
    unsigned char bytes[64];
    ssize_t got = read(watch->fd, bytes, sizeof bytes), i;

    (void)readable;
    (void)writable;
    for (i = 0; i < got; i++) {
        if (bytes[i] != SIGCHLD)
            d->loop.stopping = true;
    }
    process_reap(d);
}

/* Starts to listen to signals, and becomes the reaper of orphans. */
void process_start(struct sandboxd *d)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    struct sigaction action;
    size_t i;

    if (pipe(process_signals) != 0) {
        fputs("sandboxd: no pipe\n", stderr);
        exit(1);
    }
    set_nonblocking(process_signals[0]);
    set_nonblocking(process_signals[1]);
    process_watch.fd = process_signals[0];
    process_watch.read = true;
    process_watch.owner = d;
    process_watch.ready = process_heard;
    loop_watch(&d->loop, &process_watch);
    memset(&action, 0, sizeof action);
    action.sa_handler = process_signal;
    action.sa_flags = SA_RESTART;
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
#ifdef __linux__
    prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
}

/* Called in a child that is no command: runs a program, silently. */
static void process_exec(const char *const *argv, const char *dir)
{
    char *copy[32];
    size_t i;
    int null = open("/dev/null", O_RDWR);

    for (i = 0; argv[i] != NULL && i < 31; i++)
        copy[i] = take_copy(argv[i]);
    copy[i] = NULL;
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    if (dir == NULL || chdir(dir) == 0)
        execvp(copy[0], copy);
    _exit(127);
}

/* Runs a program to its end, before the loop begins; whether it succeeded. */
bool process_run(const char *const *argv, const char *dir)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        process_exec(argv, dir);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && status == 0;
}

/* Removes a directory with all that is in it, beside the loop. */
void process_remove_tree(struct sandboxd *d, const char *path)
{
    const char *argv[] = {"rm", "-rf", "--", NULL, NULL};

    (void)d;
    argv[3] = path;
    if (fork() == 0)
        process_exec(argv, NULL);
}
