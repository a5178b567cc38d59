/* local.h: a folder of a test's own, on whatever system it runs.
 *
 * SPDX-License-Identifier: MIT
 *
 * Paths are ASCII, below `here`. What the C library cannot do is done by the
 * system's own table of files.
 */
#ifndef LOCAL_H
#define LOCAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <unistd.h>
#endif

#include "../lssb.h"

static const lssb_files *const files = &lssb_default_files;
static char here[300];

/* Makes a folder that was not there before. */
static bool make_here(void)
{
#if defined(_WIN32)
    static unsigned number;
    unsigned last = number + 1000;
    char folder[200];

    if (GetTempPathA((DWORD)sizeof folder, folder) == 0)
        return false;
    do {
        sprintf(here, "%slssb-%lu-%u", folder,
                (unsigned long)GetCurrentProcessId(), number++);
        if (CreateDirectoryA(here, NULL))
            return true;
    } while (number < last);
    return false;
#else
    strcpy(here, "/tmp/lssb-XXXXXX");
    return mkdtemp(here) != NULL;
#endif
}

/* A path below it; "": itself. Good until the next one is asked for. */
static const char *at(const char *path)
{
    static char whole[sizeof here + 256];

    snprintf(whole, sizeof whole, "%s%s%s", here, *path != '\0' ? "/" : "",
             path);
    return whole;
}

/* The first name of a directory. */
static bool first_name(void *user, const char *name)
{
    strcpy(user, name);
    return false;
}

/* Removes all that is in an open directory. */
static void empty(intptr_t directory)
{
    lssb_local_info info;
    intptr_t inner;
    int32_t code = 0;
    char name[1024];
    bool folder;

    for (;;) {
        name[0] = '\0';
        if (files->list(files->context, directory, first_name, name, &code) !=
                LSSB_OK ||
            name[0] == '\0' ||
            files->info(files->context, directory, name, &info, &code) !=
                LSSB_OK)
            return;
        folder = info.kind == LSSB_ENTRY_DIRECTORY;
        if (folder &&
            files->open_directory(files->context, directory, name, &inner,
                                  &code) == LSSB_OK) {
            empty(inner);
            files->close(files->context, inner);
        }
        if (files->remove(files->context, directory, name, folder, &code) !=
            LSSB_OK)
            return;
    }
}

/* Opens a directory below it. */
static bool open_here(const char *path, intptr_t *directory)
{
    int32_t code = 0;

    return files->open_root(files->context, at(path), directory, &code) ==
           LSSB_OK;
}

/* Removes all that is below a path. */
static void clear(const char *path)
{
    intptr_t directory;

    if (!open_here(path, &directory))
        return;
    empty(directory);
    files->close(files->context, directory);
}

/* Removes the folder with all that is in it. */
static bool remove_here(void)
{
    clear("");
#if defined(_WIN32)
    return RemoveDirectoryA(here) != 0;
#else
    return rmdir(here) == 0;
#endif
}

#endif
