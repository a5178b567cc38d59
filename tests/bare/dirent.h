/* dirent.h: a system without folders; tests that want one are skipped.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BARE_DIRENT_H
#define BARE_DIRENT_H

#include <stddef.h>

typedef int DIR;
struct dirent {
    char d_name[1];
};

static inline DIR *opendir(const char *path)
{
    (void)path;
    return NULL;
}

static inline struct dirent *readdir(DIR *folder)
{
    (void)folder;
    return NULL;
}

static inline int closedir(DIR *folder)
{
    (void)folder;
    return 0;
}

#endif
