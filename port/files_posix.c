/* files_posix.c: files of a POSIX system, as lssb.h wants them.
 *
 * SPDX-License-Identifier: MIT
 *
 * A handle is a descriptor. Every step goes from an open directory to a name
 * in it, by the calls of POSIX.1-2008 that end in "at", and follows no link.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64        /* large files on 32-bit machines */
#endif
#define _DARWIN_C_SOURCE            /* times below seconds in struct stat */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lssb.h"

#define FILES_MOST ((size_t)1 << 30)    /* bytes that one system call moves */

/* What errno says, in the words of the contract. */
static lssb_status files_failed(int32_t *code)
{
    *code = errno;
    switch (errno) {
    case ENOENT:
        return LSSB_E_NOT_FOUND;
    case EEXIST:
        return LSSB_E_ALREADY_EXISTS;
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
        return LSSB_E_REFUSED;
    case ENAMETOOLONG:
        return LSSB_E_TOO_LONG;
    case ENOSYS:
    case ENOTSUP:
        return LSSB_E_UNSUPPORTED;
    default:
        return LSSB_E_OPERATION;
    }
}

/* The same of what this file finds by itself. */
static lssb_status files_refused(int32_t *code, int number)
{
    errno = number;
    *code = number;
    return LSSB_E_REFUSED;
}

static lssb_status files_outcome(int result, int32_t *code)
{
    return result == 0 ? LSSB_OK : files_failed(code);
}

/* The same of opening what may be a link: the BSDs have numbers of their own
 * for that. */
static lssb_status files_open_failed(int32_t *code)
{
    lssb_status status = files_failed(code);

    if (*code == EMLINK)            /* FreeBSD */
        return LSSB_E_REFUSED;
#ifdef EFTYPE
    if (*code == EFTYPE)            /* NetBSD */
        return LSSB_E_REFUSED;
#endif
    return status;
}

/* Whether a name is one component that stays in its directory. */
static bool files_name_is_plain(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

/* Opens a name in a directory. */
static lssb_status files_open(intptr_t directory, const char *name, int flags,
                              uint32_t mode, intptr_t *handle, int32_t *code)
{
    int fd;

    *handle = -1;
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    do
        fd = openat((int)directory, name, flags | O_NOFOLLOW | O_CLOEXEC,
                    (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return files_open_failed(code);
    *handle = fd;
    return LSSB_OK;
}

static lssb_status files_open_root(void *context, const char *path,
                                   intptr_t *directory, int32_t *code)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)context;
    *directory = fd;
    return fd < 0 ? files_failed(code) : LSSB_OK;
}

static lssb_status files_open_directory(void *context, intptr_t directory,
                                        const char *name, intptr_t *opened,
                                        int32_t *code)
{
    (void)context;
    return files_open(directory, name, O_RDONLY | O_DIRECTORY, 0, opened,
                      code);
}

/* Through a descriptor of its own: that of the caller keeps its place. */
static lssb_status files_list(void *context, intptr_t directory,
                              bool (*take)(void *user, const char *name),
                              void *user, int32_t *code)
{
    int fd = openat((int)directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    lssb_status status = LSSB_OK;

    (void)context;
    if (stream == NULL) {
        status = files_failed(code);
        if (fd >= 0)
            close(fd);
        return status;
    }
    do {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL && errno != 0)
            status = files_failed(code);
    } while (entry != NULL &&
             (!files_name_is_plain(entry->d_name) ||
              take(user, entry->d_name)));
    closedir(stream);
    return status;
}

static lssb_entry_kind files_kind(mode_t mode)
{
    if (S_ISREG(mode))
        return LSSB_ENTRY_FILE;
    if (S_ISDIR(mode))
        return LSSB_ENTRY_DIRECTORY;
    return S_ISLNK(mode) ? LSSB_ENTRY_SYMLINK : LSSB_ENTRY_OTHER;
}

static lssb_status files_info(void *context, intptr_t directory,
                              const char *name, lssb_local_info *info,
                              int32_t *code)
{
    struct stat st;

    (void)context;
    memset(info, 0, sizeof *info);
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    if (fstatat((int)directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return files_failed(code);
    info->kind = files_kind(st.st_mode);
    info->mode = (uint32_t)(st.st_mode & 07777);
    info->size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
#ifdef __APPLE__
    info->mtime_s = st.st_mtimespec.tv_sec;
    info->mtime_ns = (uint32_t)st.st_mtimespec.tv_nsec;
#else
    info->mtime_s = st.st_mtim.tv_sec;
    info->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
#endif
    return LSSB_OK;
}

static lssb_status files_read_link(void *context, intptr_t directory,
                                   const char *name, char *target, size_t size,
                                   int32_t *code)
{
    ssize_t n;

    (void)context;
    target[0] = '\0';
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    n = readlinkat((int)directory, name, target, size);
    if (n < 0 && errno == EINVAL)
        return files_refused(code, EINVAL); /* no link */
    if (n < 0)
        return files_failed(code);
    if ((size_t)n >= size) {
        target[0] = '\0';
        *code = ENAMETOOLONG;
        return LSSB_E_TOO_LONG;
    }
    target[n] = '\0';
    return LSSB_OK;
}

/* A device may act upon being opened, a pipe waits for its other end: looked
 * at before, and again when it is open. */
static lssb_status files_open_file(void *context, intptr_t directory,
                                   const char *name, intptr_t *file,
                                   int32_t *code)
{
    lssb_local_info info;
    lssb_status status = files_info(context, directory, name, &info, code);
    struct stat st;

    *file = -1;
    if (status != LSSB_OK)
        return status;
    if (info.kind != LSSB_ENTRY_FILE)
        return files_refused(code, EINVAL);
    status = files_open(directory, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                        file, code);
    if (status != LSSB_OK)
        return status;
    if (fstat((int)*file, &st) == 0 && S_ISREG(st.st_mode))
        return LSSB_OK;
    close((int)*file);
    *file = -1;
    return files_refused(code, EINVAL);
}

static ptrdiff_t files_read_at(void *context, intptr_t file, uint64_t offset,
                               void *bytes, size_t len, int32_t *code)
{
    ssize_t n;

    (void)context;
    if (len > FILES_MOST)
        len = FILES_MOST;
    do
        n = pread((int)file, bytes, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        *code = errno;
    return n;
}

static lssb_status files_create_file(void *context, intptr_t directory,
                                     const char *name, uint32_t mode,
                                     intptr_t *file, int32_t *code)
{
    (void)context;
    return files_open(directory, name, O_WRONLY | O_CREAT | O_EXCL, mode,
                      file, code);
}

static lssb_status files_write(void *context, intptr_t file, const void *bytes,
                               size_t len, int32_t *code)
{
    const char *from = bytes;

    (void)context;
    while (len > 0) {
        ssize_t n = write((int)file, from, len < FILES_MOST ? len : FILES_MOST);

        if (n == 0)                 /* it would go on for ever */
            errno = EIO;
        if (n == 0 || (n < 0 && errno != EINTR))
            return files_failed(code);
        if (n > 0) {
            from += n;
            len -= (size_t)n;
        }
    }
    return LSSB_OK;
}

static lssb_status files_make_directory(void *context, intptr_t directory,
                                        const char *name, uint32_t mode,
                                        int32_t *code)
{
    (void)context;
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    return files_outcome(mkdirat((int)directory, name, (mode_t)mode), code);
}

static lssb_status files_make_symlink(void *context, intptr_t directory,
                                      const char *name, const char *target,
                                      int32_t *code)
{
    (void)context;
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    return files_outcome(symlinkat(target, (int)directory, name), code);
}

static lssb_status files_remove(void *context, intptr_t directory,
                                const char *name, bool is_directory,
                                int32_t *code)
{
    lssb_local_info info;
    lssb_status status;

    /* On some systems the superuser may unlink a directory with all in it. */
    if (!is_directory) {
        status = files_info(context, directory, name, &info, code);
        if (status != LSSB_OK)
            return status;
        if (info.kind == LSSB_ENTRY_DIRECTORY)
            return files_refused(code, EISDIR);
    }
    if (!files_name_is_plain(name))
        return files_refused(code, EINVAL);
    return files_outcome(unlinkat((int)directory, name,
                                  is_directory ? AT_REMOVEDIR : 0), code);
}

static lssb_status files_set_mtime(void *context, intptr_t handle,
                                   int64_t seconds, uint32_t nanoseconds,
                                   int32_t *code)
{
    struct timespec times[2];

    (void)context;
    memset(times, 0, sizeof times);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = (time_t)seconds;
    if ((int64_t)times[1].tv_sec != seconds) {  /* 32 bits, behind 2038 */
        errno = EOVERFLOW;
        return files_failed(code);
    }
    times[1].tv_nsec = (long)nanoseconds;
    return files_outcome(futimens((int)handle, times), code);
}

static void files_close(void *context, intptr_t handle)
{
    (void)context;
    close((int)handle);
}

const lssb_files lssb_posix_files = {
    .version = LSSB_FILES_VERSION,
    .open_root = files_open_root,
    .open_directory = files_open_directory,
    .list = files_list,
    .info = files_info,
    .read_link = files_read_link,
    .open_file = files_open_file,
    .read_at = files_read_at,
    .create_file = files_create_file,
    .write = files_write,
    .make_directory = files_make_directory,
    .make_symlink = files_make_symlink,
    .remove = files_remove,
    .set_mtime = files_set_mtime,
    .close = files_close
};
