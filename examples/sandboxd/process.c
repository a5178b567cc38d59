/* process.c: signals, and the end of processes.
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
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "sandboxd.h"

#define PROCESS_FILES 65536         /* descriptors, if the system lets us */

static struct rlimit process_files;
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

/* ------------------------------------------------------------------ limits */

/* Lets this process have as many descriptors as the system allows: each
 * command takes up to four. Commands themselves start with what was there. */
static void process_limits_raise(void)
{
    struct rlimit more;

    if (getrlimit(RLIMIT_NOFILE, &process_files) != 0)
        return;
    more = process_files;
    more.rlim_cur = more.rlim_max < PROCESS_FILES ? more.rlim_max
                                                  : PROCESS_FILES;
    if (more.rlim_cur > process_files.rlim_cur)
        setrlimit(RLIMIT_NOFILE, &more);
}

/* Called in the child: the limits as they were. */
void process_limits_restore(void)
{
    if (process_files.rlim_max > 0)
        setrlimit(RLIMIT_NOFILE, &process_files);
}

/* ----------------------------------------------------------------- the end */

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

/* Collects what has ended; false when there are no children at all. A view
 * that has ended is made anew by the box's next command. */
static bool process_reap(struct sandboxd *d)
{
    struct box *box;
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        command_exited(d, pid, status);
        for (box = d->boxes; box != NULL; box = box->next) {
            if (box->view.keeper == pid)
                view_close(box);
        }
    }
    return pid == 0;
}

/* Kills every process of a box: those that fork meanwhile, too. */
void commands_kill(struct box *box)
{
    struct command *command;
    int turn;

    for (command = box->d->commands; command != NULL; command = command->next)
        if (command->box == box)
            command_kill(command);
    view_close(box);
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

/* ----------------------------------------------------------------- helpers */

/* The loop hears of signals. */
static void process_heard(struct watch *watch, bool readable, bool writable)
{
    struct sandboxd *d = watch->owner;
    unsigned char bytes[64];
    ssize_t got = read(watch->fd, bytes, sizeof bytes), i;

    (void)readable;
    (void)writable;
    for (i = 0; i < got; i++) {
        if (bytes[i] == SIGHUP) {
            sockets_close(d, LSSB_WS_GOING_AWAY, "the server reloads");
            tunnels_go_away(d);
        } else if (bytes[i] == SIGUSR1) {
            sockets_cut(d);
        } else if (bytes[i] != SIGCHLD) {
            d->loop.stopping = true;
        }
    }
    process_reap(d);
}

/* Starts to listen to signals, and becomes the reaper of orphans. */
void process_start(struct sandboxd *d)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP,
                                  SIGUSR1};
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
    process_limits_raise();
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
