/* live_tree.c: a box's own tools, in boxes of a sandboxd: any name, every
 * helper, whole trees.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: LANGSMITH_ENDPOINT=… LANGSMITH_API_KEY=… [BUSYBOX=…] live_tree
 *
 * With BUSYBOX, which is its path in the box, the box's PATH has nothing but
 * its applets.
 */
#include <stdlib.h>

#include "../lssb.h"
#include "test.h"

static lssb_client *client;
static lssb_sandbox box;
static lssb_tools tools;

#define HOME "/home/user/"

/* Says what went wrong, where that was not expected. */
static void expect(lssb_status status, lssb_status expected)
{
    EXPECT_STR(lssb_status_name(status), lssb_status_name(expected));
    if (status != expected && status < 0)
        printf("  %s\n", lssb_error_text(client));
}

/* Runs a command, for what a test needs. */
static void sh(const char *command)
{
    lssb_run_options how = { 0 };
    lssb_result result;
    char err[256];

    how.err = err;
    how.err_size = sizeof err;
    how.shell = "/bin/sh";
    expect(lssb_run(&box, command, &how, &result, NULL), LSSB_OK);
    EXPECT_INT(result.exit_code, 0);
    if (result.exit_code != 0)
        printf("  %s: %s\n", command, err);
}

static bool exists(const char *path)
{
    bool there = false;

    expect(lssb_path_exists(&tools, path, &there, NULL), LSSB_OK);
    return there;
}

/* Names that a shell, a listing or JSON may trip over. */
static const char *const names[] = {
    "plain", " lead", "trail ", "in side", "a\nb", "trail\n", "\n", "quo'te",
    "dou\"ble", "back\\slash", "\\0101", "-rf", "--", "*", "$HOME", "`id`",
    "$(id)", "#b", "~", "!", "\xFF\xFE", "a\xC3", "\xC3\xA9", "\x01\x7F", "%n",
    "a\n b", "x\n.y", "\t", "\xE2\x80\xA8", "=", "tab\there", ";", "&", "|",
    "caf\xE9\\n"
};

#define NAMES (sizeof names / sizeof names[0])

struct seen {
    const char *const *names;
    size_t count;                   /* of names */
    size_t entries;
    unsigned times[64];             /* each name */
    int again;                      /* refuse so many first */
    uint64_t bytes;
};

static lssb_status see(void *user, const lssb_entry *entry)
{
    struct seen *seen = user;
    size_t i;

    if (seen->again > 0) {
        seen->again--;
        return LSSB_AGAIN;
    }
    for (i = 0; i < seen->count; i++)
        if (strcmp(entry->name, seen->names[i]) == 0)
            seen->times[i]++;
    seen->entries++;
    seen->bytes += entry->size;
    return LSSB_OK;
}

/* A path below the home directory. */
static const char *in(const char *directory, const char *name)
{
    static char paths[2][300];
    static int turn;

    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], HOME "%s/%s", directory, name);
    return paths[turn];
}

static void any_name_is_made_listed_described_moved_copied_and_removed(void)
{
    size_t i;
    struct seen seen = { names, NAMES, 0, { 0 }, 3, 0 };
    lssb_entry entry;

    expect(lssb_path_make(&tools, HOME "names", 0, 0, NULL), LSSB_OK);
    for (i = 0; i < NAMES; i++) {
        test_row = names[i];
        expect(lssb_file_write(&box, in("names", names[i]), "xyz", 3, NULL),
               LSSB_OK);
        expect(lssb_path_stat(&tools, in("names", names[i]), 0, &entry, NULL),
               LSSB_OK);
        EXPECT_INT(entry.size, 3);
        EXPECT_INT(entry.kind, LSSB_ENTRY_FILE);
        EXPECT(entry.letter == '-');
    }
    test_row = "";
    expect(lssb_path_list(&tools, HOME "names", 0, see, &seen, NULL), LSSB_OK);
    EXPECT_INT(seen.entries, NAMES);
    EXPECT_INT(seen.bytes, 3 * NAMES);
    for (i = 0; i < NAMES; i++) {
        test_row = names[i];
        EXPECT_INT(seen.times[i], 1);
        expect(lssb_path_copy(&tools, in("names", names[i]),
                              in("names", "copy"), LSSB_REPLACE, NULL),
               LSSB_OK);
        expect(lssb_path_remove(&tools, in("names", names[i]), 0, NULL),
               LSSB_OK);
        expect(lssb_path_rename(&tools, in("names", "copy"),
                                in("names", names[i]), 0, NULL), LSSB_OK);
        EXPECT(exists(in("names", names[i])));
        expect(lssb_path_remove(&tools, in("names", names[i]), 0, NULL),
               LSSB_OK);
        expect(lssb_path_make(&tools, in("names", names[i]), 0, 0, NULL),
               LSSB_OK);
        expect(lssb_path_list(&tools, in("names", names[i]), 0, see, &seen,
                              NULL), LSSB_OK);
    }
    test_row = "";
    expect(lssb_path_remove(&tools, HOME "names", LSSB_RECURSIVE, NULL),
           LSSB_OK);
    EXPECT(!exists(HOME "names"));
}

static void every_failure_has_its_status(void)
{
    lssb_entry entry;
    struct seen seen = { NULL, 0, 0, { 0 }, 0, 0 };
    size_t i;

    sh("cd /home/user && mkdir -p f/d/sub f/e && echo hi >f/file && "
       "ln -s file f/link && ln -s nowhere f/dangling && ln -s loop f/loop && "
       "ln -s d f/dirlink");
    struct { const char *name; lssb_status got, want; } rows[] = {
        { "list nothing", lssb_path_list(&tools, HOME "f/no", 0, see, &seen,
                                         NULL), LSSB_E_NOT_FOUND },
        { "list a file", lssb_path_list(&tools, HOME "f/file", 0, see, &seen,
                                        NULL), LSSB_E_NOT_DIRECTORY },
        { "stat nothing", lssb_path_stat(&tools, HOME "f/no", 0, &entry, NULL),
          LSSB_E_NOT_FOUND },
        { "stat in a file", lssb_path_stat(&tools, HOME "f/file/x", 0, &entry,
                                           NULL), LSSB_E_NOT_DIRECTORY },
        { "stat behind a dangling link",
          lssb_path_stat(&tools, HOME "f/dangling", LSSB_FOLLOW, &entry, NULL),
          LSSB_E_NOT_FOUND },
        { "stat behind a loop", lssb_path_stat(&tools, HOME "f/loop",
                                               LSSB_FOLLOW, &entry, NULL),
          LSSB_E_OPERATION },
        { "make what is there", lssb_path_make(&tools, HOME "f/d", 0, 0, NULL),
          LSSB_E_ALREADY_EXISTS },
        { "make without parents",
          lssb_path_make(&tools, HOME "f/x/y", 0, 0, NULL),
          LSSB_E_NOT_FOUND },
        { "make in a file", lssb_path_make(&tools, HOME "f/file/y", 0, 0,
                                           NULL), LSSB_E_NOT_DIRECTORY },
        { "make over a file", lssb_path_make(&tools, HOME "f/file", 0,
                                             LSSB_RECURSIVE, NULL),
          LSSB_E_ALREADY_EXISTS },
        { "remove nothing", lssb_path_remove(&tools, HOME "f/no", 0, NULL),
          LSSB_E_NOT_FOUND },
        { "remove nothing, with all", lssb_path_remove(&tools, HOME "f/no",
                                                       LSSB_RECURSIVE, NULL),
          LSSB_E_NOT_FOUND },
        { "remove a full directory", lssb_path_remove(&tools, HOME "f/d", 0,
                                                      NULL),
          LSSB_E_NOT_EMPTY },
        { "remove the root", lssb_path_remove(&tools, "/", LSSB_RECURSIVE,
                                              NULL), LSSB_E_PERMISSION },
        { "remove the root, another way", lssb_path_remove(&tools, "/home/..",
                                              LSSB_RECURSIVE, NULL),
          LSSB_E_PERMISSION },
        { "rename nothing", lssb_path_rename(&tools, HOME "f/no", HOME "f/a",
                                             0, NULL), LSSB_E_NOT_FOUND },
        { "rename to nowhere", lssb_path_rename(&tools, HOME "f/file",
                                                HOME "f/no/a", 0, NULL),
          LSSB_E_NOT_FOUND },
        { "rename over", lssb_path_rename(&tools, HOME "f/d", HOME "f/e", 0,
                                          NULL), LSSB_E_ALREADY_EXISTS },
        { "rename over a directory", lssb_path_rename(&tools, HOME "f/file",
                                          HOME "f/e", LSSB_REPLACE, NULL),
          LSSB_E_IS_DIRECTORY },
        { "rename a directory over a file",
          lssb_path_rename(&tools, HOME "f/d", HOME "f/file", LSSB_REPLACE,
                           NULL), LSSB_E_NOT_DIRECTORY },
        { "copy a directory without all of it",
          lssb_path_copy(&tools, HOME "f/d", HOME "f/c", 0, NULL),
          LSSB_E_IS_DIRECTORY },
        { "copy over", lssb_path_copy(&tools, HOME "f/file", HOME "f/link", 0,
                                      NULL), LSSB_E_ALREADY_EXISTS },
        { "copy nothing", lssb_path_copy(&tools, HOME "f/no", HOME "f/c", 0,
                                         NULL), LSSB_E_NOT_FOUND },
        { "chmod nothing", lssb_path_chmod(&tools, HOME "f/no", 0600, 0,
                                           NULL), LSSB_E_NOT_FOUND },
        { "a name too long", lssb_path_make(&tools, HOME
          "0123456789012345678901234567890123456789012345678901234567890123456"
          "7890123456789012345678901234567890123456789012345678901234567890123"
          "4567890123456789012345678901234567890123456789012345678901234567890"
          "12345678901234567890123456789012345678901234567890123456789", 0, 0,
                                            NULL), LSSB_E_TOO_LONG },
        { "no process", lssb_process_signal(&tools, 999999999, "TERM", 0,
                                            NULL), LSSB_E_NOT_FOUND }
    };

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        expect(rows[i].got, rows[i].want);
    }
    test_row = "";
    expect(lssb_path_remove(&tools, HOME "f/no/such", 0, NULL),
           LSSB_E_NOT_FOUND);
    EXPECT(strstr(lssb_error_text(client), "/home/user/f/no/such") != NULL);
    EXPECT_STR(lssb_last_error(client)->operation, "remove");
    EXPECT_INT(lssb_last_error(client)->resource, LSSB_RESOURCE_FILE);
    EXPECT(exists(HOME "f/dangling"));
    EXPECT(!exists(HOME "f/file/x"));
}

/* One that is not root. */
static void what_is_not_allowed_is_told_as_such(void)
{
    lssb_tools nobody = { 0 };
    struct seen seen = { NULL, 0, 0, { 0 }, 0, 0 };
    lssb_entry entry;

    sh("cd /home/user && mkdir -p p/closed/in p/open && echo >p/closed/f && "
       "chmod 700 p/closed && chmod 755 . p p/open");
    nobody.box = &box;
    nobody.as_user = "nobody";
    expect(lssb_path_list(&nobody, HOME "p/closed", 0, see, &seen, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_path_stat(&nobody, HOME "p/closed/f", 0, &entry, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_path_make(&nobody, HOME "p/open/x", 0, 0, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_path_remove(&nobody, HOME "p/open", 0, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_path_chmod(&nobody, HOME "p/open", 0777, 0, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_process_signal(&nobody, 1, "TERM", 0, NULL),
           LSSB_E_PERMISSION);
    expect(lssb_path_list(&nobody, HOME "p", LSSB_RECURSIVE, see, &seen, NULL),
           LSSB_E_PERMISSION);
    EXPECT_INT(seen.entries, 2);    /* what can be seen is told all the same */
}

static void what_is_there_is_described(void)
{
    lssb_entry entry;

    sh("cd /home/user && mkdir s && cd s && ln -s 'to //\n' link && "
       "mkfifo pipe && printf 12345 >file && chmod 4751 file && "
       "touch -d '1960-01-02 00:00:00 UTC' old 2>/dev/null || "
       "touch -d '1960-01-02 00:00:00' old");
    expect(lssb_path_stat(&tools, "s/link", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_SYMLINK);
    EXPECT_STR(entry.target, "to //\n");
    EXPECT_STR(entry.name, "");
    expect(lssb_path_stat(&tools, "s/pipe", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_OTHER);
    EXPECT(entry.letter == 'p');
    expect(lssb_path_stat(&tools, "s/file", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.mode, 04751);
    EXPECT_INT(entry.size, 5);
    EXPECT_INT(entry.links, 1);
    EXPECT(entry.mtime_s > 1700000000 && entry.inode > 0);
    expect(lssb_path_stat(&tools, "s/old", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.mtime_s, -315532800);
    expect(lssb_path_chmod(&tools, "s/file", 0640, 0, NULL), LSSB_OK);
    expect(lssb_path_stat(&tools, "s/file", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.mode, 0640);
    expect(lssb_path_make(&tools, "s/a/b", 02700, LSSB_RECURSIVE, NULL),
           LSSB_OK);
    expect(lssb_path_stat(&tools, "s/a/b/", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.mode, 02700);
    EXPECT_INT(entry.kind, LSSB_ENTRY_DIRECTORY);
    expect(lssb_path_chmod(&tools, "s/a", 0700, LSSB_RECURSIVE, NULL),
           LSSB_OK);
    expect(lssb_path_stat(&tools, "s/a/b", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.mode, 0700);
}

static void directories_are_moved_and_copied_whole(void)
{
    static const char *const inside[] = { "sub", "sub/x", "sub/to" };
    struct seen seen = { inside, 3, 0, { 0 }, 0, 0 };
    lssb_entry entry;

    sh("cd /home/user && mkdir -p t/sub t/full && echo 1 >t/sub/x && "
       "ln -s x t/sub/to && mkdir t2");
    expect(lssb_path_copy(&tools, "t", "u", LSSB_RECURSIVE, NULL), LSSB_OK);
    expect(lssb_path_list(&tools, "u", LSSB_RECURSIVE, see, &seen, NULL),
           LSSB_OK);
    EXPECT_INT(seen.entries, 4);
    EXPECT_INT(seen.times[0] + seen.times[1] + seen.times[2], 3);
    expect(lssb_path_stat(&tools, "u/sub/to", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "x");
    expect(lssb_path_copy(&tools, "t", "t2", LSSB_RECURSIVE, NULL),
           LSSB_E_ALREADY_EXISTS);
    expect(lssb_path_rename(&tools, "u", "v", 0, NULL), LSSB_OK);
    EXPECT(exists("v/sub/x") && !exists("u"));
    sh("cd /home/user && ln -s t vlink");
    expect(lssb_path_rename(&tools, "v/sub/x", "vlink", LSSB_REPLACE, NULL),
           LSSB_OK);                /* the link is replaced, not followed */
    expect(lssb_path_stat(&tools, "vlink", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_FILE);
    expect(lssb_path_remove(&tools, "v", LSSB_RECURSIVE, NULL), LSSB_OK);
}

static void a_link_to_a_directory_is_removed_alone(void)
{
    sh("cd /home/user && mkdir -p l/d/x && ln -s d l/link");
    expect(lssb_path_remove(&tools, "l/link", LSSB_RECURSIVE, NULL), LSSB_OK);
    EXPECT(exists("l/d/x") && !exists("l/link"));
}

static void a_slash_behind_a_link_does_not_lead_through_it(void)
{
    lssb_entry entry;

    sh("cd /home/user && mkdir -p b/d/x b/e && ln -s d b/1 && ln -s d b/2 && "
       "ln -s d b/3 && ln -s d b/4");
    expect(lssb_path_stat(&tools, "b/1/", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_SYMLINK);
    expect(lssb_path_remove(&tools, "b/1/", LSSB_RECURSIVE, NULL), LSSB_OK);
    expect(lssb_path_remove(&tools, "b/2///", 0, NULL), LSSB_OK);
    EXPECT(!exists("b/1") && !exists("b/2"));
    expect(lssb_path_rename(&tools, "b/3/", "b/5/", 0, NULL), LSSB_OK);
    expect(lssb_path_stat(&tools, "b/5", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "d");
    expect(lssb_path_copy(&tools, "b/4/", "b/6/", LSSB_RECURSIVE, NULL),
           LSSB_OK);
    expect(lssb_path_stat(&tools, "b/6", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "d");
    expect(lssb_path_chmod(&tools, "b/d/", 0750, LSSB_RECURSIVE, NULL),
           LSSB_OK);
    EXPECT(exists("b/d/x"));
    expect(lssb_path_remove(&tools, "//", LSSB_RECURSIVE, NULL),
           LSSB_E_PERMISSION);
}

static void a_link_is_replaced_or_stays(void)
{
    lssb_entry entry;

    sh("cd /home/user && mkdir -p r/d/x r/from r/e && ln -s d r/l && "
       "ln -s d r/to && ln -s no r/dangling && echo 1 >r/f && ln r/f r/g");
    expect(lssb_path_rename(&tools, "r/l", "r/./l", LSSB_REPLACE, NULL),
           LSSB_OK);
    expect(lssb_path_rename(&tools, "r/f", "r/d/../f", LSSB_REPLACE, NULL),
           LSSB_OK);
    expect(lssb_path_rename(&tools, "r/d", "r//d/", LSSB_REPLACE, NULL),
           LSSB_OK);
    expect(lssb_path_rename(&tools, "r/l", "r/l", 0, NULL),
           LSSB_E_ALREADY_EXISTS);
    expect(lssb_path_stat(&tools, "r/l", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "d");
    EXPECT(exists("r/f") && exists("r/d/x"));
    expect(lssb_path_rename(&tools, "r/l", "r/to", LSSB_REPLACE, NULL),
           LSSB_OK);
    EXPECT(!exists("r/l") && !exists("r/d/l"));
    expect(lssb_path_stat(&tools, "r/to", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "d");
    sh("cd /home/user && ln -s f r/lf");
    expect(lssb_path_copy(&tools, "r/f", "r/lf", LSSB_REPLACE, NULL),
           LSSB_E_OPERATION);       /* busybox would empty it */
    expect(lssb_path_stat(&tools, "r/f", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.size, 2);
    expect(lssb_path_rename(&tools, "r/d", "r/d/y/z", 0, NULL),
           LSSB_E_NOT_FOUND);
    sh("cd /home/user && ln -s ../d r/d/in");
    EXPECT(lssb_path_rename(&tools, "r/d", "r/d/in", LSSB_REPLACE, NULL) < 0);
    expect(lssb_path_stat(&tools, "r/d/in", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, "../d");   /* mv failed: it is there still */
    expect(lssb_path_rename(&tools, "r/from", "r/dangling", LSSB_REPLACE,
                            NULL), LSSB_OK);
    expect(lssb_path_stat(&tools, "r/dangling", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_DIRECTORY);
    expect(lssb_path_rename(&tools, "r/e", "r/to", LSSB_REPLACE, NULL),
           LSSB_OK);
    expect(lssb_path_stat(&tools, "r/to", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_DIRECTORY);
    EXPECT(!exists("r/d/e"));
}

static void a_hundred_thousand_names_pass_in_the_memory_of_one(void)
{
    struct seen seen = { NULL, 0, 0, { 0 }, 0, 0 };

    sh("mkdir /home/user/many && cd /home/user/many && "
       "i=0; while [ $i -lt 100 ]; do mkdir $i; i=$((i + 1)); done; "
       "for d in *; do (cd $d; i=0; a=; while [ $i -lt 999 ]; do "
       "a=\"$a $i\"; i=$((i + 1)); done; touch $a); done");
    expect(lssb_path_list(&tools, "many", LSSB_RECURSIVE, see, &seen, NULL),
           LSSB_OK);
    EXPECT_INT(seen.entries, 100000);
    expect(lssb_path_remove(&tools, "many", LSSB_RECURSIVE, NULL), LSSB_OK);
}

/* ------------------------------------------------------------ processes -- */

struct found {
    const char *argument;           /* of the process that is looked for */
    lssb_process process;
    size_t count;
    size_t all;
};

static lssb_status find_process(void *user, const lssb_process *process)
{
    struct found *found = user;
    size_t len = strlen(found->argument), i;

    found->all++;
    for (i = 0; i + len < process->arguments_len; i++)
        if (memcmp(process->arguments + i, found->argument, len + 1) == 0) {
            found->process = *process;
            found->count++;
            break;
        }
    return LSSB_OK;
}

static void processes_are_listed_and_signalled(void)
{
    lssb_run_options how = { 0 };
    lssb_command command = { 0 };
    lssb_chunk chunk;
    struct found found = { "od\nd\xFF @. (1) S", { 0 }, 0, 0 };

    how.shell = "/bin/sh";
    how.timeout_s = 60;
    expect(lssb_command_start(&command, &box,
                              "trap 'echo usr; exit 7' USR1; "
                              "(trap - USR1; exec sh -c 'echo up; "
                              "while :; do sleep 1; done' "
                              "\"$(printf 'od\\nd\\377 @. (1) S')\") & "
                              "while :; do wait; done", &how, NULL), LSSB_OK);
    expect(lssb_command_next(&command, &chunk, 10000), LSSB_OK);
    expect(lssb_process_list(&tools, find_process, &found, NULL), LSSB_OK);
    EXPECT_INT(found.count, 1);
    EXPECT(found.all >= 2 && found.all < 100);
    EXPECT_INT(found.process.group, command.pid);
    EXPECT(found.process.started_ms > 0 && found.process.memory_bytes > 0);
    EXPECT_INT(found.process.uid, 0);
    expect(lssb_process_signal(&tools, found.process.pid, "SIGKILL", 0, NULL),
           LSSB_OK);
    expect(lssb_command_signal(&tools, &command, "USR1", NULL), LSSB_OK);
    expect(lssb_command_wait(&command, NULL, NULL), LSSB_OK);
    EXPECT_INT(command.exit_code, 7);
    lssb_command_close(&command, NULL);
}

static void a_command_without_a_pid_is_found_by_its_id(void)
{
    lssb_pair env = { "LSSB_COMMAND_ID", "my command" };
    lssb_run_options how = { 0 };
    lssb_command command = { 0 };
    lssb_chunk chunk;

    how.shell = "/bin/sh";
    how.command_id = env.value;
    how.env = &env;
    how.env_count = 1;
    expect(lssb_command_start(&command, &box, "trap 'exit 9' TERM; echo up; "
                              "while :; do sleep 1; done", &how, NULL),
           LSSB_OK);
    expect(lssb_command_next(&command, &chunk, 10000), LSSB_OK);
    command.pid = LSSB_UNKNOWN;     /* as after lssb_command_reattach */
    expect(lssb_command_signal(&tools, &command, "TERM", NULL), LSSB_OK);
    expect(lssb_command_wait(&command, NULL, NULL), LSSB_OK);
    EXPECT_INT(command.exit_code, 9);
    expect(lssb_command_signal(&tools, &command, "TERM", NULL),
           LSSB_E_NOT_FOUND);
    lssb_command_close(&command, NULL);
}

static lssb_status find_name(void *user, const lssb_process *process)
{
    struct found *found = user;

    found->all++;
    found->count += strcmp(process->name, found->argument) == 0;
    return LSSB_OK;
}

static void a_process_with_a_newline_in_its_name_is_listed(void)
{
    lssb_run_options how = { 0 };
    lssb_command command = { 0 };
    lssb_chunk chunk;
    struct found found = { "a\n@.\\n b", { 0 }, 0, 0 };

    how.shell = "/bin/sh";
    how.timeout_s = 60;
    expect(lssb_command_start(&command, &box,
                              "printf 'a\\n@.\\\\n b' >/proc/$$/comm; "
                              "echo up; while :; do sleep 1; done", &how,
                              NULL), LSSB_OK);
    expect(lssb_command_next(&command, &chunk, 10000), LSSB_OK);
    expect(lssb_process_list(&tools, find_name, &found, NULL), LSSB_OK);
    EXPECT_INT(found.count, 1);
    EXPECT(found.all >= 2);
    lssb_command_kill(&command);
    expect(lssb_command_wait(&command, NULL, NULL), LSSB_OK);
    expect(lssb_command_signal(&tools, &command, "TERM", NULL),
           LSSB_E_NOT_FOUND);
    lssb_command_close(&command, NULL);
}

/* -------------------------------------------------------------- watching -- */

/* What happens to a name, told as it happens. */
struct watch {
    lssb_change changes[16];
    char names[16][32];
    size_t count;
};

static lssb_status note(void *user, lssb_change change,
                        const lssb_entry *entry)
{
    struct watch *watch = user;

    if (watch->count < 16) {
        watch->changes[watch->count] = change;
        snprintf(watch->names[watch->count++], 32, "%s", entry->name);
    }
    return LSSB_OK;
}

/* Waits until so many changes were told. */
static void until(struct watch *watch, size_t count, lssb_op *op)
{
    int rounds = 0;

    while (watch->count < count && op->status == LSSB_PENDING &&
           rounds++ < 200)
        lssb_wait(client, op, 100);
    EXPECT_INT(watch->count, count);
}

static void a_directory_is_watched_until_it_is_gone(void)
{
    lssb_tools watcher = { 0 };
    struct watch watch = { { 0 }, { { 0 } }, 0 };
    lssb_error error;
    lssb_op op = { 0 };

    sh("mkdir /home/user/w && "
       "echo 1 >\"/home/user/w/$(printf 'old\\n\\377')\"");
    watcher.box = &box;
    op.error = &error;
    expect(lssb_path_watch(&watcher, "w", 0, 100, note, &watch, &op),
           LSSB_PENDING);
    until(&watch, 1, &op);
    EXPECT_INT(watch.changes[0], LSSB_WATCHING);
    expect(lssb_file_write(&box, "w/new\n name", "1", 1, NULL), LSSB_OK);
    until(&watch, 2, &op);
    EXPECT_INT(watch.changes[1], LSSB_ADDED);
    EXPECT_STR(watch.names[1], "new\n name");
    sh("echo longer >\"/home/user/w/$(printf 'old\\n\\377')\"");
    until(&watch, 3, &op);
    EXPECT_INT(watch.changes[2], LSSB_CHANGED);
    EXPECT_STR(watch.names[2], "old\n\xFF");
    expect(lssb_path_remove(&tools, "w/new\n name", 0, NULL), LSSB_OK);
    until(&watch, 4, &op);
    EXPECT_INT(watch.changes[3], LSSB_REMOVED);
    EXPECT_STR(watch.names[3], "new\n name");
    expect(lssb_path_remove(&tools, "w", LSSB_RECURSIVE, NULL), LSSB_OK);
    expect(lssb_wait(client, &op, 20000), LSSB_E_NOT_FOUND);
}

static size_t times_added(const struct watch *watch)
{
    size_t i, times = 0;

    for (i = 0; i < watch->count; i++)
        times += watch->changes[i] == LSSB_ADDED;
    return times;
}

static void newlines_about_slashes_are_watched(void)
{
    static const char *const made[] = { "\nx", "d\n/y", "d\n/\n/ z" };
    lssb_tools watcher = { 0 };
    struct watch watch = { { 0 }, { { 0 } }, 0 };
    lssb_op op = { 0 };
    size_t i, j, times;

    sh("mkdir -p \"$(printf '/home/user/w3/d\\n/\\n/')\"");
    watcher.box = &box;
    expect(lssb_path_watch(&watcher, "w3", LSSB_RECURSIVE, 100, note, &watch,
                           &op), LSSB_PENDING);
    until(&watch, 1, &op);
    sh("cd /home/user/w3 && echo 1 >\"$(printf '\\nx')\" && "
       "echo 2 >\"$(printf 'd\\n/y')\" && "
       "echo 3 >\"$(printf 'd\\n/\\n/ z')\"");
    for (i = 0; i < 200 && op.status == LSSB_PENDING && times_added(&watch) < 3;
         i++)
        lssb_wait(client, &op, 100);
    for (i = 0; i < 3; i++) {
        test_row = made[i];
        for (times = j = 0; j < watch.count; j++)
            times += watch.changes[j] == LSSB_ADDED &&
                     strcmp(watch.names[j], made[i]) == 0;
        EXPECT_INT(times, 1);
    }
    test_row = "";
    lssb_cancel(&op);
    expect(lssb_wait(client, &op, 20000), LSSB_E_CANCELED);
}

static void a_watch_is_canceled(void)
{
    lssb_tools watcher = { 0 };
    struct watch watch = { { 0 }, { { 0 } }, 0 };
    lssb_op op = { 0 };

    sh("mkdir -p /home/user/w2");
    watcher.box = &box;
    expect(lssb_path_watch(&watcher, "w2", LSSB_RECURSIVE, 0, note, &watch,
                           &op), LSSB_PENDING);
    until(&watch, 1, &op);
    expect(lssb_path_watch(&watcher, "w2", 0, 0, note, &watch, NULL),
           LSSB_E_BUSY);
    lssb_cancel(&op);
    expect(lssb_wait(client, &op, 20000), LSSB_E_CANCELED);
    op.deadline_ms = 300;
    expect(lssb_path_watch(&watcher, "w2", 0, 0, note, &watch, &op),
           LSSB_PENDING);
    expect(lssb_wait(client, &op, 20000), LSSB_E_DEADLINE);
}

/* ----------------------------------------------------------------- trees -- */

/* A local directory for one test. */
static char here[64];

/* Runs a local command in it; what it printed, its last line break off. */
static const char *local(const char *command)
{
    static char out[2048];
    char text[2048];
    size_t len;
    FILE *pipe;

    snprintf(text, sizeof text, "cd '%s' && { %s\n}", here, command);
    pipe = popen(text, "r");
    if (pipe == NULL)
        return "popen failed";
    len = fread(out, 1, sizeof out - 1, pipe);
    while (len > 0 && out[len - 1] == '\n')
        len--;
    out[len] = '\0';
    EXPECT_INT(pclose(pipe), 0);
    return out;
}

/* A path in it. */
static const char *at(const char *name)
{
    static char paths[2][128];
    static int turn;

    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", here, name);
    return paths[turn];
}

static void make_here(void)
{
    strcpy(here, "/tmp/live_tree.XXXXXX");
    EXPECT(mkdtemp(here) != NULL);
}

struct moved {
    uint64_t calls;
    uint64_t last;
    uint64_t total;
};

static void count_moved(void *user, uint64_t moved, uint64_t total)
{
    struct moved *count = user;

    EXPECT(moved >= count->last);
    count->calls++;
    count->last = moved;
    count->total = total;
}

/* Says what of a tree matters: names, kinds, modes, sizes, targets, times of
 * files, content. */
#define DESCRIBE \
    "cd %s && { find . ! -name . ! -type l -exec stat -c '%%n %%f' {} + ; " \
    "find . -type l -exec stat -c '%%N' {} + ; " \
    "find . -type f -exec stat -c '%%n %%s %%Y' {} + ; " \
    "find . -type f -exec cksum {} + ; } | LC_ALL=C sort | cksum"

static void a_tree_goes_up_and_comes_down_the_same(void)
{
    static lssb_tree tree;
    struct moved moved = { 0, 0, 0 };
    char command[600], up[100];

    make_here();
    memset(&tree, 0, sizeof tree);
    local("mkdir -p src/sub/deep src/empty down; cd src; umask 022\n"
          "head -c 3000001 /dev/urandom >big; : >nothing; echo x >run; "
          "chmod 750 run; chmod 700 sub; echo 1 >\"$(printf 'odd\\n\\377')\"; "
          "echo 2 >' -rf'; ln -s ../big sub/up; ln -s deep sub/side; "
          "echo 3 >sub/deep/$(printf %0200d 7); chmod 400 nothing; "
          "touch -d '2001-02-03 04:05:06 UTC' big; ln big sub/again");
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    tree.progress = count_moved;
    tree.user = &moved;
    expect(lssb_tree_upload(&tree, at("src"), "trees/a b", NULL), LSSB_OK);
    EXPECT_INT(tree.entries, 12);
    EXPECT_INT(tree.left_out, 0);
    EXPECT(moved.calls > 1 && moved.last == moved.total &&
           moved.total > 6000000);
    memset(&moved, 0, sizeof moved);
    expect(lssb_tree_download(&tree, "trees/a b", at("down"), NULL), LSSB_OK);
    EXPECT_INT(tree.entries, 12);
    EXPECT_INT(tree.bytes, 6000002 + 2 + 2 + 2 + 2);
    EXPECT(moved.calls > 1 && moved.total == LSSB_SIZE_UNKNOWN);
    snprintf(command, sizeof command, DESCRIBE, "src");
    snprintf(up, sizeof up, "%s", local(command));
    snprintf(command, sizeof command, DESCRIBE, "down");
    EXPECT_STR(local(command), up);
    tree.progress = NULL;
    expect(lssb_tree_download(&tree, "trees/a b", at("down"), NULL),
           LSSB_E_ALREADY_EXISTS);
    EXPECT(strstr(lssb_error_text(client), "there already") != NULL);
    local("echo other >down/run; rm down/sub/side; echo y >down/sub/side");
    tree.replace = true;
    expect(lssb_tree_download(&tree, "trees/a b", at("down"), NULL), LSSB_OK);
    EXPECT_STR(local(command), up);
    EXPECT_STR(local("ls -A down | wc -l"), "8");
    local("rm -rf \"$PWD\"");
}

static bool no_git(void *user, const char *path, const lssb_local_info *info)
{
    (void)user;
    (void)info;
    return strstr(path, ".git") == NULL;
}

static void a_part_of_a_tree_moves_and_failures_are_told(void)
{
    static lssb_tree tree;

    make_here();
    memset(&tree, 0, sizeof tree);
    local("mkdir -p src/.git/x src/a down; echo 1 >src/.git/x/y; "
          "echo 2 >src/a/b; mkfifo src/pipe; echo 3 >file");
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    tree.wanted = no_git;
    expect(lssb_tree_upload(&tree, at("src"), "part", NULL), LSSB_OK);
    EXPECT_INT(tree.entries, 2);
    EXPECT_INT(tree.left_out, 2);
    EXPECT(exists("part/a/b") && !exists("part/.git") && !exists("part/pipe"));
    sh("cd /home/user/part && mkdir -p .git/x d && echo 1 >.git/x/y && "
       "mkfifo d/pipe && ln -s /etc/passwd d/absolute && "
       "ln -s ../../x d/above && ln -s ../a/b d/inside && "
       "ln -s d/../../x winding && chmod 4755 a/b && ln d/inside d/second");
    expect(lssb_tree_download(&tree, "part", at("down"), NULL), LSSB_OK);
    EXPECT_STR(local("cd down && find . | LC_ALL=C sort | tr '\\n' ' '"),
               ". ./a ./a/b ./d ./d/inside ");
    EXPECT_INT(tree.left_out, 8);   /* three in .git, four in d, one */
    EXPECT_STR(local("stat -c %a down/a/b"), "755");
    expect(lssb_tree_upload(&tree, at("nowhere"), "x", NULL),
           LSSB_E_NOT_FOUND);
    expect(lssb_tree_upload(&tree, at("file"), "x", NULL), LSSB_E_REFUSED);
    expect(lssb_tree_upload(&tree, at("src"), "/proc/x", NULL),
           LSSB_E_NOT_FOUND);
    expect(lssb_tree_upload(&tree, at("src"), "part/a/b", NULL),
           LSSB_E_ALREADY_EXISTS);
    expect(lssb_tree_download(&tree, "nowhere", at("down"), NULL),
           LSSB_E_NOT_FOUND);
    expect(lssb_tree_download(&tree, "part/a/b", at("down"), NULL),
           LSSB_E_NOT_DIRECTORY);
    expect(lssb_tree_download(&tree, "part", at("down/no"), NULL),
           LSSB_E_NOT_FOUND);
    tree.most_entries = 2;
    tree.replace = true;
    expect(lssb_tree_download(&tree, "part", at("down"), NULL),
           LSSB_E_UNSAFE);
    tree.most_entries = 0;
    tree.most_bytes = 1;
    expect(lssb_tree_download(&tree, "part", at("down"), NULL),
           LSSB_E_UNSAFE);
    local("rm -rf \"$PWD\"");
}

/* Where base64 is missing od does, but for what goes up. */
static void a_box_without_base64_does_with_od(void)
{
    const char *busybox = getenv("BUSYBOX");
    struct seen seen = { names, NAMES, 0, { 0 }, 0, 0 };
    static lssb_tree tree;
    lssb_status status;
    lssb_entry entry;

    if (busybox == NULL || *busybox == '\0') {
        SKIP("only in a box whose programs are its own");
        return;
    }
    make_here();
    local("mkdir src down; echo x >src/f");
    sh("rm /home/user/.applets/base64; mkdir /home/user/od && "
       "echo 12 >'/home/user/od/a\n b' && ln -s 'a\n b' /home/user/od/l");
    expect(lssb_path_list(&tools, "od", 0, see, &seen, NULL), LSSB_OK);
    EXPECT_INT(seen.entries, 2);
    EXPECT_INT(seen.times[25], 1);
    expect(lssb_path_stat(&tools, "od/l", 0, &entry, NULL), LSSB_OK);
    EXPECT_STR(entry.target, names[25]);
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    expect(lssb_tree_download(&tree, "od", at("down"), NULL), LSSB_OK);
    EXPECT_STR(local("cat down/l"), "12");
    status = lssb_tree_upload(&tree, at("src"), "od", NULL);
    if (status != LSSB_OK)          /* a shell may have it built in */
        expect(status, LSSB_E_UNSUPPORTED);
    local("rm -rf \"$PWD\"");
}

/* What is made has the permissions of what it is made of, whoever makes it and
 * whatever the umask is there. */
static void a_tree_of_another_user_has_the_rights_of_the_local_one(void)
{
    static lssb_tree tree;
    lssb_entry entry;
    size_t i;
    static const struct {
        const char *path;
        uint32_t mode;
    } rows[] = { { "um/d", 0777 }, { "um/f", 0666 }, { "um/d/x", 0755 } };

    make_here();
    local("mkdir -p src/d; echo >src/f; echo >src/d/x; chmod 666 src/f; "
          "chmod 777 src/d; chmod 755 src/d/x");
    sh("mkdir um; chown nobody um; chmod 755 . um");
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.tools.as_user = "nobody";
    tree.files = &lssb_posix_files;
    expect(lssb_tree_upload(&tree, at("src"), "um", NULL), LSSB_OK);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].path;
        expect(lssb_path_stat(&tools, rows[i].path, 0, &entry, NULL), LSSB_OK);
        EXPECT_INT(entry.mode, rows[i].mode);
    }
    local("rm -rf \"$PWD\"");
}

/* Not every tar puts a directory in the place of a link to one. */
static void a_tree_is_not_written_through_a_link_that_is_there(void)
{
    const char *busybox = getenv("BUSYBOX");
    static lssb_tree tree;

    make_here();
    local("mkdir -p src/d; echo >src/d/f; echo >src/file");
    sh("mkdir -p ln/to out && ln -s to ln/d && ln -s nowhere ln/x && "
       "echo kept >out/file && ln -s ../out/file ln/file");
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    if (busybox != NULL && *busybox != '\0') {
        expect(lssb_tree_upload(&tree, at("src"), "ln", NULL),
               LSSB_E_UNSUPPORTED);
        EXPECT(strstr(lssb_error_text(client), "./d") != NULL);
        EXPECT(exists("ln/d"));
        sh("rm ln/d");
    }
    expect(lssb_tree_upload(&tree, at("src"), "ln", NULL), LSSB_OK);
    sh("[ ! -e ln/to/f ]&&[ ! -h ln/d ]&&[ -f ln/d/f ]&&[ ! -h ln/file ]&&"
       "read -r l <out/file&&[ \"$l\" = kept ]");
    local("rm -rf \"$PWD\"");
}

/* What cannot be sent is counted, and the caller is asked about it. */
static bool count_others(void *user, const char *path,
                         const lssb_local_info *info)
{
    (void)path;
    *(unsigned *)user += info->kind == LSSB_ENTRY_OTHER;
    return true;
}

static void a_pipe_is_left_out_and_counted(void)
{
    static lssb_tree tree;
    unsigned others = 0;

    make_here();
    local("mkdir -p src/d; mkfifo src/a src/d/b; echo >src/f");
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    expect(lssb_tree_upload(&tree, at("src"), "pipes", NULL), LSSB_OK);
    EXPECT_INT(tree.entries, 2);
    EXPECT_INT(tree.left_out, 2);
    tree.wanted = count_others;
    tree.user = &others;
    expect(lssb_tree_upload(&tree, at("src"), "pipes", NULL), LSSB_OK);
    EXPECT_INT(tree.left_out, 2);
    EXPECT(others >= 2);
    EXPECT(!exists("pipes/a") && exists("pipes/d"));
    local("rm -rf \"$PWD\"");
}

/* As long as a file system has them, without a byte of UTF-8. */
static void the_longest_names_are_taken(void)
{
    static char from[300], to[300], listed[300];
    const char *const wanted[] = { listed };
    struct seen seen = { wanted, 1, 0, { 0 }, 0, 0 };

    memcpy(from, "long/", 6);
    memcpy(to, "long/", 6);
    memset(from + 5, 0xFF, 255);
    memset(to + 5, 0xE9, 255);
    memset(listed, 0xE9, 255);
    expect(lssb_path_make(&tools, "long", 0, 0, NULL), LSSB_OK);
    expect(lssb_path_make(&tools, from, 0, 0, NULL), LSSB_OK);
    expect(lssb_path_rename(&tools, from, to, 0, NULL), LSSB_OK);
    expect(lssb_path_list(&tools, "long", 0, see, &seen, NULL), LSSB_OK);
    EXPECT_INT(seen.entries, 1);
    EXPECT_INT(seen.times[0], 1);
    expect(lssb_path_remove(&tools, to, 0, NULL), LSSB_OK);
}

/* ------------------------------------------------------- missing programs -- */

/* Whether the box's shell knows a tool, be it its own. */
static bool knows(const char *tool)
{
    lssb_run_options how = { 0 };
    lssb_result result;
    char command[64];

    how.shell = "/bin/sh";
    snprintf(command, sizeof command, "command -v %s >/dev/null", tool);
    expect(lssb_run(&box, command, &how, &result, NULL), LSSB_OK);
    return result.exit_code == 0;
}

static lssb_status stop_watching(void *user, lssb_change change,
                                 const lssb_entry *entry)
{
    (void)user;
    (void)change;
    (void)entry;
    return LSSB_E_STOPPED;
}

static lssb_status any_process(void *user, const lssb_process *process)
{
    (void)user;
    (void)process;
    return LSSB_OK;
}

enum call {
    LIST, STAT, EXISTS, MAKE, REMOVE, REMOVE_ALL, RENAME, COPY, CHMOD, WATCH,
    PROCESSES, SIGNAL, UP, DOWN
};

static lssb_status ask(enum call call)
{
    static lssb_tree tree;
    struct seen seen = { NULL, 0, 0, { 0 }, 0, 0 };
    lssb_command command = { 0 };
    lssb_entry entry;
    bool there;

    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_posix_files;
    strcpy(command.id, "x");
    command.pid = LSSB_UNKNOWN;
    command.status = LSSB_PENDING;
    switch (call) {
    case LIST:
        return lssb_path_list(&tools, "less", 0, see, &seen, NULL);
    case STAT:
        return lssb_path_stat(&tools, "less/link", 0, &entry, NULL);
    case EXISTS:
        return lssb_path_exists(&tools, "less/no", &there, NULL);
    case MAKE:
        return lssb_path_make(&tools, "less/new", 0, 0, NULL);
    case REMOVE:
        return lssb_path_remove(&tools, "less/empty", 0, NULL);
    case REMOVE_ALL:
        return lssb_path_remove(&tools, "less/full", LSSB_RECURSIVE, NULL);
    case RENAME:
        return lssb_path_rename(&tools, "less/file", "less/b", 0, NULL);
    case COPY:
        return lssb_path_copy(&tools, "less/file", "less/c", 0, NULL);
    case CHMOD:
        return lssb_path_chmod(&tools, "less/file", 0600, 0, NULL);
    case WATCH:
        return lssb_path_watch(&tools, "less", 0, 0, stop_watching, NULL,
                               NULL);
    case PROCESSES:
        return lssb_process_list(&tools, any_process, NULL, NULL);
    case SIGNAL:
        return lssb_command_signal(&tools, &command, "TERM", NULL);
    case UP:
        return lssb_tree_upload(&tree, at("src"), "less/up", NULL);
    case DOWN:
        return lssb_tree_download(&tree, "less/full", at("down"), NULL);
    }
    return LSSB_OK;
}

/* Takes a tool from the box, or gives it back. */
static void hide(const char *tool, bool back)
{
    char command[300];

    snprintf(command, sizeof command, "%s mv /home/user/.applets/%s%s "
             "/home/user/.applets/%s%s", getenv("BUSYBOX"), tool,
             back ? ".hidden" : "", tool, back ? "" : ".hidden");
    sh(command);
}

static void a_tool_that_the_box_lacks_is_named(void)
{
    static const struct {
        enum call call;
        const char *tool, *too;
    } rows[] = {
        { LIST, "find", NULL }, { LIST, "stat", NULL },
        { LIST, "od", "base64" }, { STAT, "stat", NULL },
        { STAT, "readlink", NULL }, { STAT, "od", "base64" },
        { EXISTS, "stat", NULL }, { MAKE, "mkdir", NULL },
        { REMOVE, "rmdir", NULL }, { REMOVE_ALL, "rm", NULL },
        { RENAME, "mv", NULL }, { COPY, "cp", NULL },
        { CHMOD, "chmod", NULL }, { WATCH, "find", NULL },
        { WATCH, "stat", NULL }, { WATCH, "sed", NULL },
        { WATCH, "awk", NULL }, { WATCH, "sleep", NULL },
        { WATCH, "od", "base64" }, { PROCESSES, "od", NULL },
        { SIGNAL, "tr", NULL }, { SIGNAL, "grep", NULL },
        { UP, "mkdir", NULL }, { UP, "sed", NULL }, { UP, "base64", NULL },
        { UP, "tar", NULL }, { UP, "find", NULL }, { DOWN, "tar", NULL },
        { DOWN, "stat", NULL }, { DOWN, "od", "base64" }
    };
    const char *busybox = getenv("BUSYBOX");
    size_t i;

    if (busybox == NULL || *busybox == '\0') {
        SKIP("only in a box whose programs are its own");
        return;
    }
    make_here();
    local("mkdir src down; echo >src/x");
    sh("mkdir -p less/empty less/full/x && echo >less/file && "
       "ln -s file less/link");
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char row[64];

        snprintf(row, sizeof row, "%d without %s", rows[i].call, rows[i].tool);
        test_row = row;
        hide(rows[i].tool, false);
        if (rows[i].too != NULL)
            hide(rows[i].too, false);
        if (!knows(rows[i].tool)) { /* a shell may have it built in */
            expect(ask(rows[i].call), LSSB_E_UNSUPPORTED);
            EXPECT(strstr(lssb_error_text(client), rows[i].tool) != NULL);
        }
        hide(rows[i].tool, true);
        if (rows[i].too != NULL)
            hide(rows[i].too, true);
    }
    test_row = NULL;
    local("rm -rf \"$PWD\"");
}

/* ------------------------------------------------------------------ main -- */

/* A box; with BUSYBOX one whose PATH leads to its applets only. */
static bool make_box(void)
{
    const char *busybox = getenv("BUSYBOX");   /* "" is none */
    lssb_pair path = { "PATH", "/home/user/.applets" };
    lssb_sandbox_options options = { 0 };
    char command[600];

    if (busybox != NULL && *busybox != '\0') {
        options.env = &path;
        options.env_count = 1;
    }
    expect(lssb_sandbox_create(client, &options, &box, NULL), LSSB_OK);
    tools.box = &box;
    if (busybox != NULL && *busybox != '\0') {
        snprintf(command, sizeof command, "%s mkdir -p /home/user/.applets && "
                 "%s --install -s /home/user/.applets", busybox, busybox);
        sh(command);
    }
    return test_failures == 0;
}

int main(void)
{
    static const struct test tests[] = {
        TEST(any_name_is_made_listed_described_moved_copied_and_removed),
        TEST(every_failure_has_its_status),
        TEST(what_is_not_allowed_is_told_as_such),
        TEST(what_is_there_is_described),
        TEST(directories_are_moved_and_copied_whole),
        TEST(a_link_to_a_directory_is_removed_alone),
        TEST(a_slash_behind_a_link_does_not_lead_through_it),
        TEST(a_link_is_replaced_or_stays),
        TEST(a_hundred_thousand_names_pass_in_the_memory_of_one),
        TEST(processes_are_listed_and_signalled),
        TEST(a_command_without_a_pid_is_found_by_its_id),
        TEST(a_process_with_a_newline_in_its_name_is_listed),
        TEST(a_directory_is_watched_until_it_is_gone),
        TEST(newlines_about_slashes_are_watched),
        TEST(a_watch_is_canceled),
        TEST(a_tree_goes_up_and_comes_down_the_same),
        TEST(a_part_of_a_tree_moves_and_failures_are_told),
        TEST(a_tree_of_another_user_has_the_rights_of_the_local_one),
        TEST(a_tree_is_not_written_through_a_link_that_is_there),
        TEST(a_pipe_is_left_out_and_counted),
        TEST(the_longest_names_are_taken),
        TEST(a_tool_that_the_box_lacks_is_named),
        TEST(a_box_without_base64_does_with_od)
    };
    lssb_error why;
    int failed;

    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        printf("%s\n0 passed, 1 failed\n", why.message);
        return 1;
    }
    if (!make_box())
        return 1;
    failed = TEST_MAIN(tests);
    lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return failed;
}
