/* files_windows.c: files of Windows, Vista and later, as lssb.h wants them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every step goes from the handle of a directory to one name in it, by
 * NtCreateFile, which alone can do that, and opens what stands there itself:
 * no symbolic link, no junction is followed, whoever puts one in the way. Names
 * are UTF-8 outside and UTF-16 here, strictly. A name that Windows would take
 * for another one (a stream, a device, trailing dots, a short name) is
 * refused. Link with ntdll, kernel32 and advapi32. What is too large for the
 * stack stands in pages of its own until the call returns.
 */
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0600
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif

#include <windows.h>
#include <winternl.h>
#include <winioctl.h>

#include <string.h>

#include "../lssb.h"

/* What headers of some kits lack. */
#ifndef FILE_OPEN_REPARSE_POINT
#define FILE_OPEN_REPARSE_POINT 0x00200000
#endif
#ifndef OBJ_CASE_INSENSITIVE
#define OBJ_CASE_INSENSITIVE 0x40
#endif
#ifndef IO_REPARSE_TAG_SYMLINK
#define IO_REPARSE_TAG_SYMLINK 0xA000000C
#endif
#ifndef FSCTL_SET_REPARSE_POINT
#define FSCTL_SET_REPARSE_POINT 0x900A4
#endif
#ifndef FSCTL_GET_REPARSE_POINT
#define FSCTL_GET_REPARSE_POINT 0x900A8
#endif
#ifndef ERROR_DIRECTORY_NOT_SUPPORTED
#define ERROR_DIRECTORY_NOT_SUPPORTED 336
#endif
#ifndef ERROR_REPARSE_POINT_ENCOUNTERED
#define ERROR_REPARSE_POINT_ENCOUNTERED 4395
#endif

#define FILES_DONT_REPARSE 0x1000   /* OBJ_DONT_REPARSE, Windows 10 1607 */
#define FILES_MOST ((size_t)1 << 30)    /* bytes that one system call moves */
#define FILES_NAME 256              /* of a component, and its NUL */
#define FILES_PATH 32768            /* of a path, and its NUL */
#define FILES_LINK 4091             /* of a link's target, twice in its data */

/* A component as the system wants it. */
struct files_name {
    WCHAR text[FILES_NAME];
    size_t len;
};

/* How a name is opened. */
struct files_wish {
    ACCESS_MASK access;
    ULONG disposition;
    ULONG options;
};

#define FILES_OPTIONS (FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_REPARSE_POINT)

static const struct files_wish files_look = {
    FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_OPEN, FILES_OPTIONS
};
static const struct files_wish files_enter = {
    FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
    FILE_OPEN, FILES_OPTIONS | FILE_DIRECTORY_FILE
};
static const struct files_wish files_read = {
    FILE_GENERIC_READ, FILE_OPEN, FILES_OPTIONS | FILE_NON_DIRECTORY_FILE
};
static const struct files_wish files_make = {
    FILE_GENERIC_WRITE, FILE_CREATE, FILES_OPTIONS | FILE_NON_DIRECTORY_FILE
};
static const struct files_wish files_make_folder = {
    FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_CREATE,
    FILES_OPTIONS | FILE_DIRECTORY_FILE
};
static const struct files_wish files_delete = {
    DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_OPEN, FILES_OPTIONS
};
static const struct files_wish files_change = {
    FILE_WRITE_ATTRIBUTES | SYNCHRONIZE, FILE_OPEN, FILES_OPTIONS
};

/* --------------------------------------------------------------- errors -- */

/* What an error of Windows says, in the words of the contract. */
static lssb_status files_wrong(int32_t *code, DWORD error)
{
    *code = (int32_t)error;
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return LSSB_E_NOT_FOUND;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
        return LSSB_E_ALREADY_EXISTS;
    case ERROR_DIRECTORY:
    case ERROR_DIRECTORY_NOT_SUPPORTED:
    case ERROR_DIR_NOT_EMPTY:
    case ERROR_INVALID_NAME:
    case ERROR_NO_UNICODE_TRANSLATION:
    case ERROR_NOT_A_REPARSE_POINT:
    case ERROR_REPARSE_POINT_ENCOUNTERED:
        return LSSB_E_REFUSED;
    case ERROR_FILENAME_EXCED_RANGE:
    case ERROR_BUFFER_OVERFLOW:
        return LSSB_E_TOO_LONG;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED:
    case ERROR_CALL_NOT_IMPLEMENTED:
        return LSSB_E_UNSUPPORTED;
    default:
        return LSSB_E_OPERATION;
    }
}

/* The same of the last error. */
static lssb_status files_failed(int32_t *code)
{
    return files_wrong(code, GetLastError());
}

/* The same of what the system's innermost calls return. A directory in place
 * of a file would be "access denied" in the words of the outer ones. */
static lssb_status files_status(int32_t *code, NTSTATUS status)
{
    if ((ULONG)status == 0xC00000BA)        /* STATUS_FILE_IS_A_DIRECTORY */
        return files_wrong(code, ERROR_DIRECTORY_NOT_SUPPORTED);
    return files_wrong(code, RtlNtStatusToDosError(status));
}

/* ---------------------------------------------------------------- names -- */

/* Pages of zeros, and their return. */
static void *files_take(size_t size)
{
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static void files_give(void *pages)
{
    VirtualFree(pages, 0, MEM_RELEASE);
}

static HANDLE files_handle(intptr_t handle)
{
    return (HANDLE)handle;
}

/* Whether a name has no part that leads elsewhere: a path, a stream. Dots and
 * blanks at its end are dropped by what opens it later. */
static bool files_name_is_plain(const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (name[i] == '/' || name[i] == '\\' || name[i] == ':')
            return false;
    return len > 0 && name[len - 1] != '.' && name[len - 1] != ' ';
}

/* The same letter, if it is one of these, in upper case. */
static char files_upper(char letter)
{
    return letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A')
                                          : letter;
}

/* Whether the first `len` bytes of a name are this word. */
static bool files_is_word(const char *name, size_t len, const char *word)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (word[i] == '\0' || files_upper(name[i]) != word[i])
            return false;
    return word[len] == '\0';
}

/* Whether Windows takes a name for a device, in any directory: by what is in
 * front of its first dot, less the blanks there. The digits of COM and LPT may
 * be raised. */
static bool files_is_device(const char *name, size_t len)
{
    static const char *const words[] = { "CON", "PRN", "AUX", "NUL", "CONIN$",
                                         "CONOUT$" };
    size_t end = 0, i;

    while (end < len && name[end] != '.')
        end++;
    while (end > 0 && name[end - 1] == ' ')
        end--;
    for (i = 0; i < sizeof words / sizeof words[0]; i++)
        if (files_is_word(name, end, words[i]))
            return true;
    if (end < 4 ||
        (!files_is_word(name, 3, "COM") && !files_is_word(name, 3, "LPT")))
        return false;
    if (end == 4)
        return name[3] >= '0' && name[3] <= '9';
    return end == 5 && (memcmp(name + 3, "\xC2\xB9", 2) == 0 ||
                        memcmp(name + 3, "\xC2\xB2", 2) == 0 ||
                        memcmp(name + 3, "\xC2\xB3", 2) == 0);
}

/* Whether a name may be given to what is made: every program of Windows can
 * then open it, and means the same by it. */
static bool files_may_be_made(const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if ((unsigned char)name[i] < ' ' || strchr("\"*<>?|", name[i]) != NULL)
            return false;
    return files_name_is_plain(name, len) && !files_is_device(name, len);
}

/* Writes a component as the system wants it. */
static lssb_status files_convert(struct files_name *to, const char *name,
                                 bool made, int32_t *code)
{
    size_t len = strlen(name);
    int n;

    if (!files_name_is_plain(name, len) ||
        (made && !files_may_be_made(name, len)))
        return files_wrong(code, ERROR_INVALID_NAME);
    if (len >= 3 * FILES_NAME)
        return files_wrong(code, ERROR_FILENAME_EXCED_RANGE);
    n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, to->text,
                            FILES_NAME);
    if (n <= 0 && GetLastError() == ERROR_INSUFFICIENT_BUFFER)
        return files_wrong(code, ERROR_FILENAME_EXCED_RANGE);
    if (n <= 0)
        return files_failed(code);
    to->len = (size_t)n - 1;
    return LSSB_OK;
}

/* -------------------------------------------------------------- opening -- */

/* Opens a name in a directory; without a name, what the handle stands for. A
 * system that knows the word for it makes sure that nothing is followed. */
static NTSTATUS files_create(HANDLE at, const struct files_name *name,
                             const struct files_wish *wish, ULONG attributes,
                             HANDLE *opened)
{
    ULONG flags[2] = { OBJ_CASE_INSENSITIVE | FILES_DONT_REPARSE,
                       OBJ_CASE_INSENSITIVE };
    NTSTATUS status = 0;
    size_t i;

    for (i = 0; i < 2; i++) {
        OBJECT_ATTRIBUTES object;
        IO_STATUS_BLOCK io;
        UNICODE_STRING text;

        memset(&text, 0, sizeof text);
        if (name != NULL) {
            text.Buffer = (WCHAR *)(uintptr_t)name->text;
            text.Length = (USHORT)(name->len * sizeof(WCHAR));
            text.MaximumLength = text.Length;
        }
        memset(&object, 0, sizeof object);
        object.Length = (ULONG)sizeof object;
        object.RootDirectory = at;
        object.ObjectName = &text;
        object.Attributes = flags[i];
        status = NtCreateFile(opened, wish->access, &object, &io, NULL,
                              attributes,
                              FILE_SHARE_READ | FILE_SHARE_WRITE |
                                  FILE_SHARE_DELETE,
                              wish->disposition, wish->options, NULL, 0);
        if ((ULONG)status != 0xC000000D)    /* STATUS_INVALID_PARAMETER */
            break;
    }
    return status;
}

/* Opens once more what a handle stands for. */
static lssb_status files_again(HANDLE at, const struct files_wish *wish,
                               HANDLE *opened, int32_t *code)
{
    NTSTATUS status = files_create(at, NULL, wish, 0, opened);

    return status >= 0 ? LSSB_OK : files_status(code, status);
}

/* Whether what was opened bears that name itself, in whatever case: Windows
 * finds it by a second, short name as well, which looks like "PROGRA~1". */
static bool files_bears(HANDLE handle, const struct files_name *name)
{
    WCHAR *path;
    DWORD len;
    bool same;

    if (memchr(name->text, '~', sizeof name->text) == NULL)
        return true;                /* most names go by fast */
    path = files_take(FILES_PATH * sizeof *path);
    if (path == NULL)
        return false;
    len = GetFinalPathNameByHandleW(handle, path, FILES_PATH, VOLUME_NAME_NONE);
    same = len > name->len && len < FILES_PATH &&
           path[len - name->len - 1] == '\\' &&
           CompareStringOrdinal(path + len - name->len, (int)name->len,
                                name->text, (int)name->len,
                                TRUE) == CSTR_EQUAL;
    files_give(path);
    return same;
}

/* Opens a name that is there. */
static lssb_status files_open(intptr_t directory, const char *name,
                              const struct files_wish *wish, HANDLE *opened,
                              int32_t *code)
{
    struct files_name wide;
    lssb_status status;
    NTSTATUS result;

    memset(&wide, 0, sizeof wide);
    status = files_convert(&wide, name, false, code);
    if (status != LSSB_OK)
        return status;
    result = files_create(files_handle(directory), &wide, wish, 0, opened);
    if (result < 0)
        return files_status(code, result);
    if (files_bears(*opened, &wide))
        return LSSB_OK;
    CloseHandle(*opened);
    return files_wrong(code, ERROR_INVALID_NAME);
}

/* Makes what is not there. */
static lssb_status files_new(intptr_t directory, const char *name,
                             const struct files_wish *wish, ULONG attributes,
                             HANDLE *made, int32_t *code)
{
    struct files_name wide;
    lssb_status status = files_convert(&wide, name, true, code);
    NTSTATUS result;

    if (status != LSSB_OK)
        return status;
    result = files_create(files_handle(directory), &wide, wish, attributes,
                          made);
    if (result >= 0)
        return LSSB_OK;
    status = files_status(code, result);
    if (*code == ERROR_DIRECTORY || *code == ERROR_DIRECTORY_NOT_SUPPORTED)
        return LSSB_E_ALREADY_EXISTS;       /* as the other kind of thing */
    return status;
}

/* ----------------------------------------------------------------- kinds -- */

#define FILES_SURROGATE 0x20000000  /* a tag of what stands for another name */

/* Whether what has that tag is a file or a directory all the same, whose bytes
 * some driver has elsewhere (deduplicated, in a cloud), and no socket, pipe or
 * device. */
static bool files_is_stored(ULONG tag)
{
    switch (tag) {
    case 0x80000014:                /* NFS: devices, pipes, sockets */
    case 0x8000001B:                /* an alias of a program */
    case 0x80000023:                /* a Unix socket */
    case 0x80000024:                /* a pipe of Linux */
    case 0x80000025:                /* its devices */
    case 0x80000026:
        return false;
    default:
        return (tag & FILES_SURROGATE) == 0;
    }
}

/* What an open handle stands for; *tag is 0 where there is none. A file system
 * without tags need not know how to tell them. */
static lssb_status files_kind(HANDLE handle, lssb_entry_kind *kind, ULONG *tag,
                              int32_t *code)
{
    BY_HANDLE_FILE_INFORMATION what;
    FILE_ATTRIBUTE_TAG_INFO info;

    *tag = 0;
    if (!GetFileInformationByHandle(handle, &what))
        return files_failed(code);
    *kind = (what.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0
                ? LSSB_ENTRY_DIRECTORY
                : LSSB_ENTRY_FILE;
    if ((what.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) == 0)
        return LSSB_OK;
    if (!GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &info,
                                      (DWORD)sizeof info))
        return files_failed(code);
    *tag = info.ReparseTag;
    if (*tag == IO_REPARSE_TAG_SYMLINK)
        *kind = LSSB_ENTRY_SYMLINK;
    else if (!files_is_stored(*tag))
        *kind = LSSB_ENTRY_OTHER;
    return LSSB_OK;
}

/* Whether two handles stand for the same file. */
static bool files_are_one(HANDLE one, HANDLE other)
{
    BY_HANDLE_FILE_INFORMATION a, b;

    return GetFileInformationByHandle(one, &a) &&
           GetFileInformationByHandle(other, &b) &&
           a.dwVolumeSerialNumber == b.dwVolumeSerialNumber &&
           a.nFileIndexHigh == b.nFileIndexHigh &&
           a.nFileIndexLow == b.nFileIndexLow;
}

/* Has the driver that keeps the bytes of a file give them: it is opened once
 * more, not as a reparse point, and is still the same. */
static lssb_status files_through(HANDLE *handle, const struct files_wish *wish,
                                 int32_t *code)
{
    struct files_wish through = *wish;
    HANDLE other = NULL;
    lssb_status status;

    through.options &= ~(ULONG)FILE_OPEN_REPARSE_POINT;
    status = files_again(*handle, &through, &other, code);
    if (status != LSSB_OK)
        return status;
    if (!files_are_one(*handle, other)) {
        CloseHandle(other);
        return files_wrong(code, ERROR_REPARSE_POINT_ENCOUNTERED);
    }
    CloseHandle(*handle);
    *handle = other;
    return LSSB_OK;
}

/* Opens a name that is to be of a kind. */
static lssb_status files_open_kind(intptr_t directory, const char *name,
                                   const struct files_wish *wish,
                                   lssb_entry_kind wanted, intptr_t *opened,
                                   int32_t *code)
{
    lssb_entry_kind kind;
    HANDLE handle = NULL;
    ULONG tag;
    lssb_status status = files_open(directory, name, wish, &handle, code);

    *opened = -1;
    if (status != LSSB_OK)
        return status;
    status = files_kind(handle, &kind, &tag, code);
    if (status == LSSB_OK && kind != wanted)
        status = files_wrong(code, ERROR_REPARSE_POINT_ENCOUNTERED);
    if (status == LSSB_OK && tag != 0)
        status = files_through(&handle, wish, code);
    if (status != LSSB_OK) {
        CloseHandle(handle);
        return status;
    }
    *opened = (intptr_t)handle;
    return LSSB_OK;
}

/* ---------------------------------------------------------- directories -- */

/* A path as it may be of any length: whole, and marked so. Room for the mark is
 * in front. NULL: GetLastError() says why. */
static WCHAR *files_whole(WCHAR *pages, const WCHAR *path)
{
    static const WCHAR mark[] = { '\\', '\\', '?', '\\', 'U', 'N', 'C' };
    WCHAR *at = pages + 8;
    DWORD len = GetFullPathNameW(path, FILES_PATH, at, NULL);

    if (len >= FILES_PATH)
        SetLastError(ERROR_FILENAME_EXCED_RANGE);
    if (len == 0 || len >= FILES_PATH)
        return NULL;
    if (at[0] == '\\' && at[1] == '\\' && (at[2] == '?' || at[2] == '.') &&
        at[3] == '\\')
        return at;
    if (at[0] == '\\' && at[1] == '\\') {
        memcpy(at - 6, mark, sizeof mark);  /* over one of the two */
        return at - 6;
    }
    memcpy(at - 4, mark, 4 * sizeof *mark);
    return at - 4;
}

/* Opens a path that is the caller's own. */
static HANDLE files_open_path(const char *path)
{
    WCHAR *pages = files_take((2 * FILES_PATH + 8) * sizeof *pages);
    WCHAR *whole = NULL, *wide;
    HANDLE handle = INVALID_HANDLE_VALUE;
    DWORD error;

    if (pages == NULL)
        return handle;
    wide = pages + FILES_PATH + 8;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide,
                            FILES_PATH) > 0)
        whole = files_whole(pages, wide);
    else if (GetLastError() == ERROR_INSUFFICIENT_BUFFER)
        SetLastError(ERROR_FILENAME_EXCED_RANGE);
    if (whole != NULL)
        handle = CreateFileW(whole, FILE_LIST_DIRECTORY | FILE_TRAVERSE |
                                        FILE_READ_ATTRIBUTES,
                             FILE_SHARE_READ | FILE_SHARE_WRITE |
                                 FILE_SHARE_DELETE,
                             NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS,
                             NULL);
    error = GetLastError();
    files_give(pages);
    SetLastError(error);
    return handle;
}

static lssb_status files_open_root(void *context, const char *path,
                                   intptr_t *directory, int32_t *code)
{
    HANDLE handle;
    lssb_entry_kind kind;
    ULONG tag;
    lssb_status status;

    (void)context;
    *directory = -1;
    if (path[0] == '\0')
        return files_wrong(code, ERROR_PATH_NOT_FOUND);
    handle = files_open_path(path);
    if (handle == INVALID_HANDLE_VALUE)
        return files_failed(code);
    status = files_kind(handle, &kind, &tag, code);
    if (status == LSSB_OK && (kind != LSSB_ENTRY_DIRECTORY ||
                              GetFileType(handle) != FILE_TYPE_DISK))
        status = files_wrong(code, ERROR_DIRECTORY);
    if (status != LSSB_OK) {
        CloseHandle(handle);
        return status;
    }
    *directory = (intptr_t)handle;
    return LSSB_OK;
}

static lssb_status files_open_directory(void *context, intptr_t directory,
                                        const char *name, intptr_t *opened,
                                        int32_t *code)
{
    (void)context;
    return files_open_kind(directory, name, &files_enter,
                           LSSB_ENTRY_DIRECTORY, opened, code);
}

/* Tells one name as UTF-8; false: no more is wanted, or *status says why. */
static bool files_tell(const FILE_ID_BOTH_DIR_INFO *entry,
                       bool (*take)(void *user, const char *name), void *user,
                       lssb_status *status, int32_t *code)
{
    size_t len = entry->FileNameLength / sizeof(WCHAR);
    char name[3 * FILES_NAME];
    int n;

    if (entry->FileName[0] == '.' &&
        (len == 1 || (len == 2 && entry->FileName[1] == '.')))
        return true;
    n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, entry->FileName,
                            (int)len, name, (int)sizeof name - 1, NULL, NULL);
    if (n <= 0) {                   /* half a character: it has no name here */
        *status = files_failed(code);
        return false;
    }
    name[n] = '\0';
    return take(user, name);
}

/* Tells the names of one answer of the system. */
static bool files_tell_all(const char *bytes,
                           bool (*take)(void *user, const char *name),
                           void *user, lssb_status *status, int32_t *code)
{
    for (;;) {
        const FILE_ID_BOTH_DIR_INFO *entry =
            (const FILE_ID_BOTH_DIR_INFO *)(const void *)bytes;

        if (!files_tell(entry, take, user, status, code))
            return false;
        if (entry->NextEntryOffset == 0)
            return true;
        bytes += entry->NextEntryOffset;
    }
}

/* Through a handle of its own: that of the caller keeps its place. */
static lssb_status files_list(void *context, intptr_t directory,
                              bool (*take)(void *user, const char *name),
                              void *user, int32_t *code)
{
    uint64_t room[512];
    HANDLE handle = NULL;
    lssb_status status = files_again(files_handle(directory), &files_enter,
                                     &handle, code);

    (void)context;
    if (status != LSSB_OK)
        return status;
    do {
        if (!GetFileInformationByHandleEx(handle, FileIdBothDirectoryInfo,
                                          room, (DWORD)sizeof room)) {
            /* The root of a disk may have no names at all. */
            if (GetLastError() != ERROR_NO_MORE_FILES &&
                GetLastError() != ERROR_FILE_NOT_FOUND)
                status = files_failed(code);
            break;
        }
    } while (files_tell_all((const char *)room, take, user, &status, code));
    CloseHandle(handle);
    return status;
}

/* ----------------------------------------------------------------- links -- */

/* A symbolic link as the file system keeps it. Places and lengths are bytes. */
struct files_link {
    ULONG tag;
    USHORT len;                     /* of what follows behind `reserved` */
    USHORT reserved;
    USHORT name_at;
    USHORT name_len;
    USHORT shown_at;
    USHORT shown_len;
    ULONG flags;                    /* 1: relative */
    WCHAR text[8182];
};

typedef char files_link_fits[sizeof(struct files_link) == 16384 ? 1 : -1];

#define FILES_LINK_HEAD 8           /* bytes of it that `len` leaves out */
#define FILES_LINK_PLACES 12        /* and those in front of the text */

/* A link's target, with slashes; its length in bytes. Without a place, the
 * length alone. */
static lssb_status files_tell_target(struct files_link *link, char *target,
                                     size_t size, size_t *len, int32_t *code)
{
    bool shown = link->shown_len > 0;
    size_t from = (shown ? link->shown_at : link->name_at) / sizeof(WCHAR);
    size_t count = (shown ? link->shown_len : link->name_len) / sizeof(WCHAR);
    size_t i;
    int n;

    *len = 0;
    if (link->tag != IO_REPARSE_TAG_SYMLINK)
        return files_wrong(code, ERROR_NOT_A_REPARSE_POINT);
    if (from + count > sizeof link->text / sizeof(WCHAR))
        return files_wrong(code, ERROR_INVALID_DATA);
    if (count == 0)
        return LSSB_OK;
    for (i = from; i < from + count; i++)
        if (link->text[i] == '\\')
            link->text[i] = '/';
    n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, link->text + from,
                            (int)count, target,
                            target != NULL ? (int)size : 0, NULL, NULL);
    if (n <= 0 && GetLastError() == ERROR_INSUFFICIENT_BUFFER)
        return files_wrong(code, ERROR_FILENAME_EXCED_RANGE);
    if (n <= 0)
        return files_failed(code);
    *len = (size_t)n;
    return LSSB_OK;
}

/* The same of an open link. */
static lssb_status files_target(HANDLE handle, char *target, size_t size,
                                size_t *len, int32_t *code)
{
    struct files_link *link = files_take(sizeof *link);
    lssb_status status;
    DWORD got = 0;

    if (link == NULL)
        return files_failed(code);
    if (DeviceIoControl(handle, FSCTL_GET_REPARSE_POINT, NULL, 0, link,
                        (DWORD)sizeof *link, &got, NULL))
        status = files_tell_target(link, target, size, len, code);
    else
        status = files_failed(code);
    files_give(link);
    return status;
}

static lssb_status files_read_link(void *context, intptr_t directory,
                                   const char *name, char *target, size_t size,
                                   int32_t *code)
{
    HANDLE handle = NULL;
    lssb_status status = files_open(directory, name, &files_look, &handle,
                                    code);
    size_t len = 0;

    (void)context;
    target[0] = '\0';
    if (status != LSSB_OK)
        return status;
    if (size > FILES_PATH)
        size = FILES_PATH;
    status = files_target(handle, target, size, &len, code);
    CloseHandle(handle);
    if (status == LSSB_OK && len >= size)
        status = files_wrong(code, ERROR_FILENAME_EXCED_RANGE);
    target[status == LSSB_OK ? len : 0] = '\0';
    return status;
}

/* Writes a target as Windows has it: relative, each component a name that may
 * be, or dots. Anything else could lead Windows to another machine. */
static lssb_status files_put_target(struct files_link *link,
                                    const char *target, int32_t *code)
{
    const char *at = target;
    size_t len, i, count;
    int n;

    if (*at == '\0' || *at == '/')
        return files_wrong(code, ERROR_INVALID_NAME);
    for (; *at != '\0'; at += len + (at[len] == '/')) {
        for (len = 0; at[len] != '\0' && at[len] != '/'; len++)
            continue;
        if (len > 0 && !files_is_word(at, len, ".") &&
            !files_is_word(at, len, "..") && !files_may_be_made(at, len))
            return files_wrong(code, ERROR_INVALID_NAME);
    }
    n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, target, -1,
                            link->text, FILES_LINK + 1);
    if (n <= 0 && GetLastError() == ERROR_INSUFFICIENT_BUFFER)
        return files_wrong(code, ERROR_FILENAME_EXCED_RANGE);
    if (n <= 0)
        return files_failed(code);
    count = (size_t)n - 1;
    for (i = 0; i < count; i++)
        if (link->text[i] == '/')
            link->text[i] = '\\';
    memcpy(link->text + count, link->text, count * sizeof(WCHAR));
    link->tag = IO_REPARSE_TAG_SYMLINK;
    link->name_len = link->shown_len = (USHORT)(count * sizeof(WCHAR));
    link->shown_at = link->name_len;
    link->len = (USHORT)(FILES_LINK_PLACES + 2 * count * sizeof(WCHAR));
    link->flags = 1;
    return LSSB_OK;
}

/* The length of a path less its last component. */
static size_t files_above(const WCHAR *path, size_t len)
{
    while (len > 0 && path[--len] != '\\')
        ;
    return len;
}

/* The length of what is no component of a final path: "\\?\C:" or
 * "\\?\UNC\server\share". */
static size_t files_root_len(const WCHAR *path, size_t len)
{
    static const WCHAR unc[] = { '\\', '\\', '?', '\\', 'U', 'N', 'C', '\\' };
    size_t mark = sizeof unc / sizeof *unc, n = 4, names = 1;

    if (len > mark && memcmp(path, unc, sizeof unc) == 0) {
        n = mark;
        names = 2;
    }
    for (; n < len && names > 0; n++)
        if (path[n] == '\\' && --names == 0)
            break;
    return n < len ? n : len;
}

/* Whether a link in a directory would lead to a directory, as far as there is
 * one now: Windows has two kinds of links. */
static bool files_leads_to_directory(HANDLE directory,
                                     const struct files_link *link)
{
    WCHAR *path = files_take((FILES_PATH + FILES_LINK + 2) * sizeof *path);
    const WCHAR *at = link->text, *end = at + link->name_len / sizeof *at;
    DWORD attributes = INVALID_FILE_ATTRIBUTES;
    size_t len, root;

    if (path == NULL)
        return false;
    len = GetFinalPathNameByHandleW(directory, path, FILES_PATH, 0);
    len = len < FILES_PATH ? len : 0;
    if (len > 0 && path[len - 1] == '\\')
        len--;                      /* the root of a disk */
    root = files_root_len(path, len);
    while (at < end) {              /* paths of this length know no dots */
        size_t n = 0;

        while (at + n < end && at[n] != '\\')
            n++;
        if (n == 2 && at[0] == '.' && at[1] == '.')
            len = len > root ? files_above(path, len) : 0;
        else if (n > 0 && len > 0 && !(n == 1 && at[0] == '.')) {
            path[len++] = '\\';
            memcpy(path + len, at, n * sizeof *at);
            len += n;
        }
        at += n + (at + n < end);
    }
    path[len] = '\0';
    if (len > 0)
        attributes = GetFileAttributesW(path);
    files_give(path);
    return attributes != INVALID_FILE_ATTRIBUTES &&
           (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/* Lets this thread make links, if its user may: an administrator has to say
 * so. False: it may not, or acts for somebody else. */
static bool files_may_link(void)
{
    TOKEN_PRIVILEGES wanted;
    HANDLE token;
    bool may;

    if (OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, &token)) {
        CloseHandle(token);
        return false;
    }
    if (!ImpersonateSelf(SecurityImpersonation))
        return false;
    wanted.PrivilegeCount = 1;
    wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    may = LookupPrivilegeValueA(NULL, "SeCreateSymbolicLinkPrivilege",
                                &wanted.Privileges[0].Luid) &&
          OpenThreadToken(GetCurrentThread(), TOKEN_ADJUST_PRIVILEGES, TRUE,
                          &token);
    if (may) {
        may = AdjustTokenPrivileges(token, FALSE, &wanted, 0, NULL, NULL) &&
              GetLastError() == ERROR_SUCCESS;
        CloseHandle(token);
    }
    if (!may)
        RevertToSelf();
    return may;
}

/* Makes a link of an empty file or directory; 0, or the system's number. */
static DWORD files_set_link(HANDLE handle, struct files_link *link)
{
    DWORD len = (DWORD)link->len + FILES_LINK_HEAD, got, error = 0;

    if (DeviceIoControl(handle, FSCTL_SET_REPARSE_POINT, link, len, NULL, 0,
                        &got, NULL))
        return 0;
    error = GetLastError();
    if (error != ERROR_PRIVILEGE_NOT_HELD || !files_may_link())
        return error;
    error = DeviceIoControl(handle, FSCTL_SET_REPARSE_POINT, link, len, NULL,
                            0, &got, NULL)
                ? 0
                : GetLastError();
    RevertToSelf();
    return error;
}

/* -------------------------------------------------------------- removing -- */

#define FILES_DISPOSE ((FILE_INFO_BY_HANDLE_CLASS)21)

/* Asks for a file to be gone, the newer way: flags of the system's. */
static bool files_dispose(HANDLE handle, ULONG flags)
{
    return SetFileInformationByHandle(handle, FILES_DISPOSE, &flags,
                                      (DWORD)sizeof flags) != 0;
}

/* Lets a file be written again, as far as that can be. */
static void files_unlock(HANDLE handle)
{
    FILE_BASIC_INFO plain;
    HANDLE other = NULL;
    int32_t code;

    memset(&plain, 0, sizeof plain);
    plain.FileAttributes = FILE_ATTRIBUTE_NORMAL;
    if (files_again(handle, &files_change, &other, &code) != LSSB_OK)
        return;
    SetFileInformationByHandle(other, FileBasicInfo, &plain,
                               (DWORD)sizeof plain);
    CloseHandle(other);
}

/* Removes what is open for it. The newer way (Windows 10 1607) lets the name go
 * at once, even while others have the file open; it may be read-only from 1809
 * on. */
static bool files_unlink(HANDLE handle)
{
    ULONG gone = 1;                 /* of it a byte is read */

    if (files_dispose(handle, 0x13))
        return true;
    if (GetLastError() == ERROR_DIR_NOT_EMPTY)
        return false;
    files_unlock(handle);
    return files_dispose(handle, 0x03) ||
           SetFileInformationByHandle(handle, FileDispositionInfo, &gone,
                                      (DWORD)sizeof gone) != 0;
}

static lssb_status files_remove(void *context, intptr_t directory,
                                const char *name, bool is_directory,
                                int32_t *code)
{
    HANDLE handle = NULL;
    lssb_status status = files_open(directory, name, &files_delete, &handle,
                                    code);
    lssb_entry_kind kind;
    ULONG tag;

    (void)context;
    if (status != LSSB_OK)
        return status;
    status = files_kind(handle, &kind, &tag, code);
    if (status == LSSB_OK && is_directory != (kind == LSSB_ENTRY_DIRECTORY))
        status = files_wrong(code, ERROR_DIRECTORY);
    if (status == LSSB_OK && !files_unlink(handle))
        status = files_failed(code);
    CloseHandle(handle);
    return status;
}

/* -------------------------------------------------------------- looking -- */

#define FILES_SECOND 10000000       /* steps of 100 ns */
#define FILES_EPOCH INT64_C(11644473600)    /* seconds from 1601 to 1970 */

/* Windows has one permission of those: that a file may be written. As it does
 * not say what may be run, everything may. */
static uint32_t files_mode(DWORD attributes)
{
    return (attributes & FILE_ATTRIBUTE_READONLY) != 0 &&
                   (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0
               ? 0555
               : 0755;
}

/* What is known of an open handle. */
static lssb_status files_describe(HANDLE handle, lssb_local_info *info,
                                  int32_t *code)
{
    BY_HANDLE_FILE_INFORMATION what;
    uint64_t steps;
    ULONG tag;
    size_t len = 0;
    lssb_status status = files_kind(handle, &info->kind, &tag, code);

    if (status != LSSB_OK)
        return status;
    if (!GetFileInformationByHandle(handle, &what))
        return files_failed(code);
    steps = (uint64_t)what.ftLastWriteTime.dwHighDateTime << 32 |
            what.ftLastWriteTime.dwLowDateTime;
    info->mtime_s = (int64_t)(steps / FILES_SECOND) - FILES_EPOCH;
    info->mtime_ns = (uint32_t)(steps % FILES_SECOND * 100);
    info->mode = files_mode(what.dwFileAttributes);
    if (info->kind == LSSB_ENTRY_FILE)
        info->size = (uint64_t)what.nFileSizeHigh << 32 | what.nFileSizeLow;
    if (info->kind == LSSB_ENTRY_SYMLINK) {
        status = files_target(handle, NULL, 0, &len, code);
        info->mode = 0777;
        info->size = len;
    }
    return status;
}

static lssb_status files_info(void *context, intptr_t directory,
                              const char *name, lssb_local_info *info,
                              int32_t *code)
{
    HANDLE handle = NULL;
    lssb_status status = files_open(directory, name, &files_look, &handle,
                                    code);

    (void)context;
    memset(info, 0, sizeof *info);
    if (status != LSSB_OK)
        return status;
    status = files_describe(handle, info, code);
    CloseHandle(handle);
    return status;
}

/* ----------------------------------------------------------------- files -- */

static lssb_status files_open_file(void *context, intptr_t directory,
                                   const char *name, intptr_t *file,
                                   int32_t *code)
{
    (void)context;
    return files_open_kind(directory, name, &files_read, LSSB_ENTRY_FILE,
                           file, code);
}

static ptrdiff_t files_read_at(void *context, intptr_t file, uint64_t offset,
                               void *bytes, size_t len, int32_t *code)
{
    OVERLAPPED where;
    DWORD n = 0;

    (void)context;
    memset(&where, 0, sizeof where);
    where.Offset = (DWORD)(offset & 0xFFFFFFFF);
    where.OffsetHigh = (DWORD)(offset >> 32);
    if (offset > INT64_MAX)
        SetLastError(ERROR_NEGATIVE_SEEK);
    else if (ReadFile(files_handle(file), bytes,
                      (DWORD)(len < FILES_MOST ? len : FILES_MOST), &n,
                      &where))
        return (ptrdiff_t)n;
    else if (GetLastError() == ERROR_HANDLE_EOF)
        return 0;
    files_failed(code);
    return -1;
}

static lssb_status files_create_file(void *context, intptr_t directory,
                                     const char *name, uint32_t mode,
                                     intptr_t *file, int32_t *code)
{
    HANDLE handle = NULL;
    lssb_status status =
        files_new(directory, name, &files_make,
                  (mode & 0200) != 0 ? FILE_ATTRIBUTE_NORMAL
                                     : FILE_ATTRIBUTE_READONLY,
                  &handle, code);

    (void)context;
    *file = status == LSSB_OK ? (intptr_t)handle : -1;
    return status;
}

static lssb_status files_write(void *context, intptr_t file, const void *bytes,
                               size_t len, int32_t *code)
{
    const char *from = bytes;
    DWORD n;

    (void)context;
    while (len > 0) {
        if (!WriteFile(files_handle(file), from,
                       (DWORD)(len < FILES_MOST ? len : FILES_MOST), &n,
                       NULL))
            return files_failed(code);
        if (n == 0)                 /* it would go on for ever */
            return files_wrong(code, ERROR_WRITE_FAULT);
        from += n;
        len -= n;
    }
    return LSSB_OK;
}

static lssb_status files_make_directory(void *context, intptr_t directory,
                                        const char *name, uint32_t mode,
                                        int32_t *code)
{
    HANDLE handle = NULL;
    lssb_status status = files_new(directory, name, &files_make_folder,
                                   FILE_ATTRIBUTE_NORMAL, &handle, code);

    (void)context;
    (void)mode;                     /* it is open to whom its parent is */
    if (status == LSSB_OK)
        CloseHandle(handle);
    return status;
}

/* Makes an empty file or directory, and a link of it: so that no path is
 * needed, in which somebody could put another link. */
static lssb_status files_link_at(intptr_t directory, const char *name,
                                 struct files_link *link, int32_t *code)
{
    bool leads = files_leads_to_directory(files_handle(directory), link);
    struct files_wish wish = leads ? files_make_folder : files_make;
    HANDLE handle = NULL;
    lssb_status status;
    DWORD error;

    wish.access = FILE_GENERIC_WRITE | DELETE;
    status = files_new(directory, name, &wish, FILE_ATTRIBUTE_NORMAL, &handle,
                       code);
    if (status != LSSB_OK)
        return status;
    error = files_set_link(handle, link);
    if (error != 0) {
        status = files_wrong(code, error);
        files_unlink(handle);
    }
    CloseHandle(handle);
    return error == ERROR_PRIVILEGE_NOT_HELD ? LSSB_E_UNSUPPORTED : status;
}

static lssb_status files_make_symlink(void *context, intptr_t directory,
                                      const char *name, const char *target,
                                      int32_t *code)
{
    struct files_link *link = files_take(sizeof *link);
    lssb_status status;

    (void)context;
    if (link == NULL)
        return files_failed(code);
    status = files_put_target(link, target, code);
    if (status == LSSB_OK)
        status = files_link_at(directory, name, link, code);
    files_give(link);
    return status;
}

/* The least and the most of them have meanings of their own. */
static lssb_status files_set_mtime(void *context, intptr_t handle,
                                   int64_t seconds, uint32_t nanoseconds,
                                   int32_t *code)
{
    lssb_status status = LSSB_OK;
    HANDLE other = NULL;
    FILETIME time;
    uint64_t steps;

    (void)context;
    if (seconds <= -FILES_EPOCH ||
        seconds >= INT64_MAX / FILES_SECOND - FILES_EPOCH)
        return files_wrong(code, ERROR_INVALID_TIME);
    steps = (uint64_t)(seconds + FILES_EPOCH) * FILES_SECOND +
            nanoseconds / 100;
    time.dwHighDateTime = (DWORD)(steps >> 32);
    time.dwLowDateTime = (DWORD)(steps & 0xFFFFFFFF);
    if (SetFileTime(files_handle(handle), NULL, NULL, &time))
        return LSSB_OK;
    status = files_again(files_handle(handle), &files_change, &other, code);
    if (status != LSSB_OK)
        return status;
    if (!SetFileTime(other, NULL, NULL, &time))
        status = files_failed(code);
    CloseHandle(other);
    return status;
}

static void files_close(void *context, intptr_t handle)
{
    (void)context;
    CloseHandle(files_handle(handle));
}

const lssb_files lssb_windows_files = {
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
