/* tree.c: a directory to a sandbox, a command in it, and what came of it back.
 *
 * SPDX-License-Identifier: MIT
 *
 *     tree src 'make -C /home/user/work' out
 *
 * sends the directory src to a sandbox of its own as /home/user/work, without
 * what begins with a dot, runs the command, lists what is there afterwards,
 * and brings all of it into the directory out, which must be there. Nothing
 * that the sandbox sends is written outside of it.
 */
#include <stdio.h>
#include <string.h>

#include "lssb.h"

#define WORK "/home/user/work"

/* Whether an entry goes along: none that is hidden. */
static bool is_plain(void *user, const char *path, const lssb_local_info *info)
{
    const char *slash = strrchr(path, '/');

    (void)user;
    (void)info;
    return (slash != NULL ? slash + 1 : path)[0] != '.';
}

/* Prints an entry as ls -l does, more or less. */
static lssb_status print(void *user, const lssb_entry *entry)
{
    (void)user;
    printf("%c%03o %10llu %s\n", entry->letter, (unsigned)entry->mode & 0777,
           (unsigned long long)entry->size, entry->name);
    return LSSB_OK;
}

/* Runs the command; its output is ours. */
static lssb_status run(const lssb_sandbox *box, const char *command)
{
    lssb_run_options how = { 0 };
    lssb_result result;
    char out[8192], err[8192];
    lssb_status status;

    how.out = out;
    how.out_size = sizeof out;
    how.err = err;
    how.err_size = sizeof err;
    status = lssb_run(box, command, &how, &result, NULL);
    if (status == LSSB_OK) {
        fputs(out, stdout);
        fputs(err, stderr);
        printf("exit %d\n", (int)result.exit_code);
    }
    return status;
}

static lssb_status work(lssb_sandbox *box, char **argv)
{
    static lssb_tree tree;          /* about 30 KB: not for every stack */
    lssb_status status;

    tree.tools.box = box;
    tree.files = &lssb_default_files;
    tree.wanted = is_plain;
    status = lssb_tree_upload(&tree, argv[1], WORK, NULL);
    if (status != LSSB_OK)
        return status;
    printf("sent %llu entries, %llu bytes\n",
           (unsigned long long)tree.entries, (unsigned long long)tree.bytes);
    status = run(box, argv[2]);
    if (status == LSSB_OK)
        status = lssb_path_list(&tree.tools, WORK, LSSB_RECURSIVE, print,
                                NULL, NULL);
    tree.replace = true;
    if (status == LSSB_OK)
        status = lssb_tree_download(&tree, WORK, argv[3], NULL);
    if (status == LSSB_OK)
        printf("got %llu entries, %llu bytes, left out %llu\n",
               (unsigned long long)tree.entries,
               (unsigned long long)tree.bytes,
               (unsigned long long)tree.left_out);
    return status;
}

int main(int argc, char **argv)
{
    lssb_client *client;
    lssb_sandbox box = { 0 };
    lssb_error why;
    lssb_status status;

    if (argc != 4) {
        fprintf(stderr, "usage: %s DIRECTORY COMMAND DIRECTORY\n", argv[0]);
        return 2;
    }
    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    status = lssb_sandbox_create(client, NULL, &box, NULL);
    if (status == LSSB_OK)
        status = work(&box, argv);
    if (status != LSSB_OK)
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (box.name[0] != '\0')
        lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
