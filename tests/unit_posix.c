/* unit_posix.c: the POSIX port against the system itself, on loopback.
 *
 * SPDX-License-Identifier: MIT
 *
 * What unit_port.h asks of every port, and what POSIX has of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit_port.h"

/* Descriptors that are open, and those of them that a program would inherit;
 * -1 where the system does not say. */
static int descriptors(int *inherited)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    if (dir == NULL)
        return -1;
    *inherited = 0;
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] == '.' || fd == dirfd(dir))
            continue;
        count++;
        *inherited += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
    }
    closedir(dir);
    return count;
}

static int descriptors_first;       /* before the first test */

/* Threads of earlier tests close their own descriptors when they get to it;
 * waits until they have. */
static void settle(void)
{
    int inherited, tries;

    for (tries = 0; tries < PATIENCE / 5; tries++)
        if (descriptors(&inherited) <= descriptors_first)
            return;
        else
            poll(NULL, 0, 5);
}

/* -------------------------------------------------------------- sockets -- */

static void an_attempt_that_is_not_decided_says_again(void)
{
    lssb_address address;
    lssb_handle handles[64];
    int32_t code = 0;
    int listener, i, count = 0, undecided = 0;

    begin();
    listener = listens(&address, 4);
    listen(listener, 0);
    for (i = 0; i < 64 && undecided == 0; i++) {
        if (port->connect(context, &address, &handles[count], &code) !=
            LSSB_IO_OK)
            break;
        undecided = port->connected(context, handles[count], &code) ==
                    LSSB_IO_AGAIN;
        count++;
    }
    if (undecided == 0)
        SKIP("this system's backlog has no end");
    while (count > 0)
        port->close_handle(context, handles[--count], true);
    close(listener);
    end();
}

/* -------------------------------------------------------------- waiting -- */

static void on_alarm(int number)
{
    (void)number;
    port->wake(context);
}

static void a_signal_handler_ends_a_wait(void)
{
    struct itimerval soon = { { 0, 0 }, { 0, 20000 } };
    struct sigaction action, before;
    uint64_t start;
    int32_t code;

    begin();
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, &before);
    start = port->now_ms(context);
    setitimer(ITIMER_REAL, &soon, NULL);
    EXPECT_INT(port->wait(context, NULL, 0, PATIENCE, &code), LSSB_IO_OK);
    EXPECT(port->now_ms(context) - start < PATIENCE);
    sigaction(SIGALRM, &before, NULL);
    end();
}

/* ---------------------------------------------------------------- names -- */

static void an_abandoned_job_leaves_nothing_behind(void)
{
    uint64_t until;
    int before, now, inherited, i;
    int32_t code;

    settle();
    begin();
    before = descriptors(&inherited);
    for (i = 0; i < 20; i++) {
        lssb_handle job;

        EXPECT_INT(port->resolve(context, i % 2 == 0 ? "localhost"
                                                     : "nonexistent.invalid",
                                 &job, &code), LSSB_IO_OK);
        port->close_handle(context, job, i % 3 == 0);
    }
    until = port->now_ms(context) + PATIENCE;
    do {
        port->wait(context, NULL, 0, 5, &code);
        now = descriptors(&inherited);
    } while (now > before && port->now_ms(context) < until);
    EXPECT(now <= before);
    end();
}

/* ---------------------------------------------------------- descriptors -- */

static void no_descriptor_is_inherited_and_none_is_left(void)
{
    lssb_address address;
    lssb_handle handle, job;
    lssb_blob blob;
    int first, before, now, inherited, inherited_before, listener;
    bool blob_open;
    int32_t code;

    if (descriptors(&inherited) < 0) {
        SKIP("no /proc/self/fd here");
        return;
    }
    settle();
    listener = listens(&address, 4);
    before = descriptors(&inherited_before);
    begin();
    first = descriptors(&inherited);
    EXPECT(first > before);
    EXPECT_INT(port->connect(context, &address, &handle, &code), LSSB_IO_OK);
    EXPECT_INT(port->resolve(context, "localhost", &job, &code), LSSB_IO_OK);
    blob_open =
        port->certificates(context, "/etc/passwd", &blob, &code) == LSSB_IO_OK;
    EXPECT(descriptors(&inherited) >= first + 2);
    EXPECT_INT(inherited, inherited_before);
    if (blob_open)
        blob.close(blob.ctx);
    EXPECT(waits(job, true, false));
    port->close_handle(context, job, false);
    port->close_handle(context, handle, false);
    end();
    do {
        now = descriptors(&inherited);      /* the thread closes its own */
    } while (now > before);
    EXPECT_INT(now, before);
    close(listener);
}

/* ----------------------------------------------- files and the rest -- */

static void certificates_are_read_anywhere_in_the_file(void)
{
    static const char text[] = "-----BEGIN CERTIFICATE-----";
    char path[] = "/tmp/lssb_unit_posix_XXXXXX", bytes[64] = "";
    int fd = mkstemp(path);
    lssb_blob blob;
    int32_t code;

    begin();
    EXPECT_INT(write(fd, text, sizeof text - 1), (int)sizeof text - 1);
    close(fd);
    EXPECT_INT(port->certificates(context, path, &blob, &code), LSSB_IO_OK);
    EXPECT_INT(blob.read_at(blob.ctx, 11, bytes, 11), 11);
    EXPECT_STR(bytes, "CERTIFICATE");
    EXPECT_INT(blob.read_at(blob.ctx, sizeof text - 1, bytes, 8), 0);
    EXPECT_INT(blob.read_at(blob.ctx, UINT64_MAX, bytes, 8), 0);
    blob.close(blob.ctx);
    unlink(path);
    EXPECT_INT(port->certificates(context, path, &blob, &code),
               LSSB_IO_NOT_FOUND);
    EXPECT_INT(code, ENOENT);
    EXPECT_INT(port->certificates(context, "/tmp", &blob, &code),
               LSSB_IO_FAILED);
    end();
}

static void the_environment_is_read(void)
{
    setenv("LSSB_UNIT_POSIX", "here", 1);
    EXPECT_STR(port->environment(context, "LSSB_UNIT_POSIX"), "here");
    unsetenv("LSSB_UNIT_POSIX");
    EXPECT(port->environment(context, "LSSB_UNIT_POSIX") == NULL);
}

/* ------------------------------------------------------------ listening -- */

static void a_port_that_is_listened_on_is_in_use(void)
{
    lssb_address at = loopback(4, 0), nowhere = loopback(4, 0);
    lssb_handle listener, client, server, second;
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(listening->listen(context, &at, &second, &number, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(code, EADDRINUSE);
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    port->close_handle(context, listener, false);
    port->close_handle(context, server, false);     /* it lingers */
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    EXPECT_INT(number, at.port);
    port->close_handle(context, client, false);
    port->close_handle(context, listener, false);
    memcpy(nowhere.bytes, "\xC0\0\2\1", 4);
    EXPECT_INT(listening->listen(context, &nowhere, &second, &number, &code),
               LSSB_IO_UNREACHABLE);
    end();
}

/* ---------------------------------------------------------- Unix sockets -- */

static char folder[32], path[64];

/* A folder for a test, and a path in it. */
static void begin_path(void)
{
    begin();
    strcpy(folder, "/tmp/lssb-unit-XXXXXX");
    EXPECT(mkdtemp(folder) != NULL);
    sprintf(path, "%s/socket", folder);
}

static void end_path(void)
{
    unlink(path);
    EXPECT_INT(rmdir(folder), 0);
    end();
}

/* The path of the tests as the system wants it. */
static struct sockaddr_un path_address(void)
{
    struct sockaddr_un un;

    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path, path);
    return un;
}

/* Connects to the path; the system's error, or 0 and the descriptor. */
static int dials(int *client)
{
    struct sockaddr_un un = path_address();

    *client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return connect(*client, (struct sockaddr *)&un, sizeof un) == 0 ? 0
                                                                    : errno;
}

/* Somebody else's socket at the path, which listens if there is a backlog. */
static int others_socket(int backlog)
{
    struct sockaddr_un un = path_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    EXPECT_INT(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    if (backlog >= 0)
        EXPECT_INT(listen(fd, backlog), 0);
    return fd;
}

/* The mode of what is at the path; 0: nothing. */
static mode_t mode_there(void)
{
    struct stat what;

    return lstat(path, &what) == 0 ? what.st_mode : 0;
}

static void a_path_is_listened_on_and_removed(void)
{
    lssb_handle listener, second, server;
    int32_t code = 0;
    int client;

    begin_path();
    EXPECT_INT(listening->listen_path(context, path, &listener, &code),
               LSSB_IO_OK);
    EXPECT_INT(dials(&client), 0);
    server = accepts(listener);
    half_closes(client, server);
    close(client);
    port->close_handle(context, server, false);
    EXPECT_INT(listening->listen_path(context, path, &second, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(code, EADDRINUSE);
    port->close_handle(context, listener, false);
    EXPECT(S_ISSOCK(mode_there()));
    listening->remove_path(context, path);
    EXPECT_INT(mode_there(), 0);
    listening->remove_path(context, path);
    end_path();
}

static void only_the_user_may_connect_whatever_the_umask(void)
{
    static const mode_t masks[] = { 0, 022, 077, 0777 };
    lssb_handle listener;
    int32_t code = 0;
    int client;
    size_t i;

    begin_path();
    for (i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        mode_t before = umask(masks[i]);
        lssb_io io = listening->listen_path(context, path, &listener, &code);

        EXPECT_INT(umask(before), masks[i]);
        EXPECT_INT(io, LSSB_IO_OK);
        EXPECT_INT(mode_there(), S_IFSOCK | 0600);
        EXPECT_INT(dials(&client), 0);
        close(client);
        port->close_handle(context, listener, false);
        listening->remove_path(context, path);
    }
    end_path();
}

/* Tries until the socket is no longer fresh. */
static lssb_io listens_at_last(lssb_handle *listener, int32_t *code)
{
    uint64_t until = port->now_ms(context) + PATIENCE;
    int32_t ignored;
    lssb_io io;

    do {
        io = listening->listen_path(context, path, listener, code);
        port->wait(context, NULL, 0, 10, &ignored);
    } while (io == LSSB_IO_IN_USE && port->now_ms(context) < until);
    return io;
}

static void what_a_dead_process_left_is_taken_over(void)
{
    lssb_handle listener;
    int32_t code = 0;
    int client;

    begin_path();
    close(others_socket(5));
    EXPECT_INT(dials(&client), ECONNREFUSED);
    close(client);
    EXPECT_INT(listening->listen_path(context, path, &listener, &code),
               LSSB_IO_IN_USE);     /* it may be about to listen */
    EXPECT_INT(listens_at_last(&listener, &code), LSSB_IO_OK);
    EXPECT_INT(mode_there(), S_IFSOCK | 0600);
    EXPECT_INT(dials(&client), 0);
    close(client);
    port->close_handle(context, listener, false);
    listening->remove_path(context, path);
    EXPECT_INT(mode_there(), 0);
    end_path();
}

/* Puts something at the path: returns a descriptor to be closed, or -1. */
static int put_there(int kind)
{
    int fd;

    switch (kind) {
    case 0:
        return others_socket(5);
    case 1:                         /* its backlog is full */
        fd = others_socket(0);
        while (dials(&kind) == 0)
            ;                       /* closed with the process */
        close(kind);
        return fd;
    case 2:
        return open(path, O_CREAT | O_WRONLY, 0600);
    case 3:
        EXPECT_INT(mkfifo(path, 0600), 0);
        return -1;
    default:
        EXPECT_INT(symlink("nowhere", path), 0);
        return -1;
    }
}

static void what_else_is_at_the_path_stays(void)
{
    lssb_handle listener;
    int32_t code = 0;
    mode_t mode;
    int kind, fd;

    begin_path();
    for (kind = 0; kind < 5; kind++) {
        fd = put_there(kind);
        mode = mode_there();
        EXPECT_INT(listening->listen_path(context, path, &listener, &code),
                   LSSB_IO_IN_USE);
        EXPECT_INT(code, EADDRINUSE);
        listening->remove_path(context, path);
        EXPECT_INT(mode_there(), mode);
        close(fd);
        unlink(path);
    }
    end_path();
}

static void what_took_its_place_is_not_removed(void)
{
    lssb_handle listener;
    int32_t code = 0;
    int kind, fd;

    begin_path();
    for (kind = 0; kind < 5; kind++) {
        EXPECT_INT(listening->listen_path(context, path, &listener, &code),
                   LSSB_IO_OK);
        unlink(path);
        fd = put_there(kind);
        port->close_handle(context, listener, false);
        listening->remove_path(context, path);
        EXPECT(mode_there() != 0);
        close(fd);
        unlink(path);
    }
    end_path();
}

/* Waits until what is made now is told apart by its time. */
static void time_passes(void)
{
    int32_t code;

    port->wait(context, NULL, 0, 50, &code);
}

/* Makes a socket that nobody listens on, an hour old. */
static void leave_dead(void)
{
    struct timespec times[2];

    close(others_socket(5));
    memset(times, 0, sizeof times);
    times[0].tv_sec = times[1].tv_sec = time(NULL) - 3600;
    EXPECT_INT(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* The file of a socket that is closed has a number that another file may get:
 * that of a process that has bound, and not come to listening yet. */
static void a_socket_that_was_bound_there_just_now_is_not_removed(void)
{
    lssb_handle listener;
    int32_t code = 0;
    int round, fd;

    begin_path();
    for (round = 0; round < 5; round++) {
        EXPECT_INT(listening->listen_path(context, path, &listener, &code),
                   LSSB_IO_OK);
        time_passes();
        port->close_handle(context, listener, false);
        unlink(path);
        fd = others_socket(-1);
        listening->remove_path(context, path);
        EXPECT(S_ISSOCK(mode_there()));
        close(fd);
        listening->remove_path(context, path);  /* it has forgotten */
        EXPECT(S_ISSOCK(mode_there()));
        unlink(path);
    }
    end_path();
}

static void who_is_let_in_later_does_not_keep_the_path(void)
{
    lssb_handle listener;
    int32_t code = 0;

    begin_path();
    EXPECT_INT(listening->listen_path(context, path, &listener, &code),
               LSSB_IO_OK);
    time_passes();
    EXPECT_INT(chmod(path, 0660), 0);
    port->close_handle(context, listener, false);
    listening->remove_path(context, path);
    EXPECT_INT(mode_there(), 0);
    end_path();
}

#define MANY 32                     /* paths at once, for one client */

static void a_path_is_listened_on_once_and_many_are(void)
{
    lssb_handle listeners[MANY], more;
    char there[64];
    int32_t code = 0;
    size_t i;

    begin_path();
    for (i = 0; i < MANY; i++) {
        sprintf(there, "%s/%u", folder, (unsigned)i);
        EXPECT_INT(listening->listen_path(context, there, &listeners[i],
                                          &code),
                   LSSB_IO_OK);
    }
    EXPECT_INT(listening->listen_path(context, path, &more, &code),
               LSSB_IO_LIMIT);
    for (i = 0; i < MANY; i++) {
        sprintf(there, "%s/%u", folder, (unsigned)i);
        port->close_handle(context, listeners[i], false);
        listening->remove_path(context, there);
    }
    EXPECT_INT(listening->listen_path(context, path, &more, &code),
               LSSB_IO_OK);
    unlink(path);
    EXPECT_INT(listening->listen_path(context, path, &listeners[0], &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(code, EADDRINUSE);
    port->close_handle(context, more, false);
    listening->remove_path(context, path);
    end_path();
}

#define RIVALS 2
#define DEAD 400

/* A rival: tries to take every path over as soon as it is told to, and writes
 * the numbers of those that it has got, and DEAD when it is through. */
static void takes_what_it_can(int go, int tell)
{
    lssb_handle listener;
    int32_t code = 0;
    unsigned number;
    char byte;

    (void)!read(go, &byte, 1);
    for (number = 0; number < DEAD; number++) {
        if (number % MANY == 0)
            begin();                /* another client */
        sprintf(path, "%s/%u", folder, number);
        if (listening->listen_path(context, path, &listener, &code) ==
            LSSB_IO_OK)
            (void)!write(tell, &number, sizeof number);
    }
    (void)!write(tell, &number, sizeof number);
    pause();                        /* it listens until it is killed */
}

static void what_is_dead_is_taken_over_by_one(void)
{
    unsigned got[DEAD + 1] = { 0 }, i, number;
    int go[2], tell[2], client;
    pid_t rivals[RIVALS];

    begin_path();
    EXPECT(pipe(go) == 0 && pipe(tell) == 0);
    for (i = 0; i < DEAD; i++) {
        sprintf(path, "%s/%u", folder, i);
        leave_dead();
    }
    for (i = 0; i < RIVALS; i++) {
        rivals[i] = fork();
        if (rivals[i] == 0)
            takes_what_it_can(go[0], tell[1]);
    }
    EXPECT_INT(write(go[1], "go", RIVALS), RIVALS);
    while (got[DEAD] < RIVALS && read(tell[0], &number, sizeof number) > 0)
        got[number]++;
    for (i = 0; i < DEAD; i++) {
        sprintf(path, "%s/%u", folder, i);
        EXPECT_INT(got[i], 1);
        EXPECT_INT(dials(&client), 0);
        close(client);
        unlink(path);
    }
    for (i = 0; i < RIVALS; i++) {
        kill(rivals[i], SIGKILL);
        waitpid(rivals[i], NULL, 0);
    }
    for (i = 0; i < 2; i++) {
        close(go[i]);
        close(tell[i]);
    }
    end_path();
}

static void a_path_that_cannot_be_is_told_apart(void)
{
    static const struct {
        const char *path;
        lssb_io io;
        int code;
    } rows[] = { { "%s/none/socket", LSSB_IO_NOT_FOUND, ENOENT },
                 { "%s/file/socket", LSSB_IO_NOT_FOUND, ENOTDIR },
                 { "%s/socket/0123456789012345678901234567890123456789012345"
                   "678901234567890123456789012345678901234567890123456789",
                   LSSB_IO_UNREACHABLE, ENAMETOOLONG } };
    char file[64], bad[200];
    lssb_handle listener;
    int32_t code;
    size_t i;

    begin_path();
    sprintf(file, "%s/file", folder);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].path;
        sprintf(bad, rows[i].path, folder);
        code = 0;
        EXPECT_INT(listening->listen_path(context, bad, &listener, &code),
                   rows[i].io);
        EXPECT_INT(code, rows[i].code);
        listening->remove_path(context, bad);
    }
    unlink(file);
    end_path();
}

static void what_was_accepted_is_not_inherited(void)
{
    lssb_address at = loopback(4, 0);
    lssb_handle listener, client, server;
    int before, after, inherited;
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    before = descriptors(&inherited);
    if (before < 0) {
        SKIP("/proc/self/fd is not there");
        end();
        return;
    }
    after = inherited;
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    EXPECT_INT(descriptors(&inherited), before + 3);
    EXPECT_INT(inherited, after);
    port->close_handle(context, client, false);
    port->close_handle(context, server, false);
    port->close_handle(context, listener, false);
    end();
}

static const struct test tests[] = {
    PORT_TESTS,
    TEST(an_attempt_that_is_not_decided_says_again),
    TEST(a_signal_handler_ends_a_wait),
    TEST(an_abandoned_job_leaves_nothing_behind),
    TEST(no_descriptor_is_inherited_and_none_is_left),
    TEST(certificates_are_read_anywhere_in_the_file),
    TEST(the_environment_is_read),
    TEST(a_port_that_is_listened_on_is_in_use),
    TEST(a_path_is_listened_on_and_removed),
    TEST(only_the_user_may_connect_whatever_the_umask),
    TEST(what_a_dead_process_left_is_taken_over),
    TEST(what_else_is_at_the_path_stays),
    TEST(what_took_its_place_is_not_removed),
    TEST(a_socket_that_was_bound_there_just_now_is_not_removed),
    TEST(who_is_let_in_later_does_not_keep_the_path),
    TEST(a_path_is_listened_on_once_and_many_are),
    TEST(what_is_dead_is_taken_over_by_one),
    TEST(a_path_that_cannot_be_is_told_apart),
    TEST(what_was_accepted_is_not_inherited),
};

int main(void)
{
    int inherited;

    descriptors_first = descriptors(&inherited);
    return TEST_MAIN(tests);
}
