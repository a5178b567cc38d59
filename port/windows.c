/* windows.c: the port for Windows, Vista and later.
 *
 * SPDX-License-Identifier: MIT
 *
 * Winsock sockets that never block, WSAPoll, VirtualAlloc for the client's
 * block. Names are resolved by the system's own resolver in a short-lived
 * thread that shares no memory with anyone; when no thread can be made,
 * `resolve` blocks for as long as GetAddrInfoW does. Every string is UTF-8.
 * Link with ws2_32, bcrypt, crypt32 and advapi32. No function of the C library
 * that keeps anything is called: it does not matter which one a program has.
 */
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0600
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <bcrypt.h>
#include <wincrypt.h>

#include <limits.h>
#include <string.h>

#include "port.h"

/* What headers of older kits lack. */
#ifndef WSA_FLAG_NO_HANDLE_INHERIT
#define WSA_FLAG_NO_HANDLE_INHERIT 0x80
#endif
#ifndef CERT_DISALLOWED_FILETIME_PROP_ID
#define CERT_DISALLOWED_FILETIME_PROP_ID 104
#endif
#ifndef CERT_NOT_BEFORE_FILETIME_PROP_ID
#define CERT_NOT_BEFORE_FILETIME_PROP_ID 126
#endif

/* The two ends of the wake pair; a byte waits in it after a wake. */
struct windows_context {
    SOCKET wake_out;
    SOCKET wake_in;
};

/* --------------------------------------------------------------- errors -- */

/* Says in the port's words what an error of Winsock or Windows says. */
static lssb_io windows_io(int error)
{
    switch (error) {
    case WSAEWOULDBLOCK:
        return LSSB_IO_AGAIN;
    case WSAECONNRESET:
    case WSAECONNABORTED:
    case WSAENETRESET:
    case WSAESHUTDOWN:
        return LSSB_IO_RESET;
    case WSAECONNREFUSED:
        return LSSB_IO_REFUSED;
    case WSAENETUNREACH:
    case WSAEHOSTUNREACH:
    case WSAENETDOWN:
    case WSAEADDRNOTAVAIL:
    case WSAEAFNOSUPPORT:
        return LSSB_IO_UNREACHABLE;
    case WSAETIMEDOUT:
        return LSSB_IO_TIMED_OUT;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_NETPATH:
        return LSSB_IO_NOT_FOUND;
    case WSAEMFILE:
    case WSAENOBUFS:
    case WSASYSNOTREADY:
    case WSAEPROCLIM:
    case ERROR_TOO_MANY_OPEN_FILES:
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
        return LSSB_IO_LIMIT;
    case WSAEADDRINUSE:
        return LSSB_IO_IN_USE;
    default:
        return LSSB_IO_FAILED;
    }
}

/* Stores Winsock's last error and returns what it means. */
static lssb_io windows_failed(int32_t *code)
{
    int error = WSAGetLastError();

    *code = (int32_t)error;
    return windows_io(error);
}

/* The same for calls of Windows itself. */
static lssb_io windows_system_failed(int32_t *code)
{
    DWORD error = GetLastError();

    *code = (int32_t)error;
    return windows_io((int)error);
}

/* --------------------------------------------------------------- memory -- */

/* Takes pages of zeros. */
static void *windows_take(size_t size)
{
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

/* Gives pages back. */
static void windows_give(void *block, size_t size)
{
    (void)size;
    VirtualFree(block, 0, MEM_RELEASE);
}

/* A string as UTF-16, in pages of its own; NULL, GetLastError() says why. */
static WCHAR *windows_wide(const char *text)
{
    int len = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1,
                                  NULL, 0);
    WCHAR *wide;

    if (len <= 0)
        return NULL;
    wide = windows_take((size_t)len * sizeof *wide);
    if (wide != NULL)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide,
                            len);
    return wide;
}

/* -------------------------------------------------------------- sockets -- */

/* Closes without losing the error, which says why. */
static void windows_close_socket(SOCKET at)
{
    int error = WSAGetLastError();

    closesocket(at);
    WSASetLastError(error);
}

/* Lets a socket block, or not. */
static bool windows_set_blocking(SOCKET at, bool blocking)
{
    u_long no = blocking ? 0 : 1;

    return ioctlsocket(at, (LONG)FIONBIO, &no) == 0;
}

/* Sets an option that is a number. */
static bool windows_set(SOCKET at, int level, int option, int value)
{
    return setsockopt(at, level, option, (const char *)&value,
                      (int)sizeof value) == 0;
}

/* Gives a new socket what every one of this port has: it is not inherited and
 * never blocks. A layered provider's socket may be no handle of the system's;
 * then nobody inherits it. */
static bool windows_tame(SOCKET at)
{
    SetHandleInformation((HANDLE)at, HANDLE_FLAG_INHERIT, 0);
    return windows_set_blocking(at, false);
}

/* Makes a socket that no program which another thread starts right now
 * inherits either, where the system has that (Windows 7 SP1). */
static SOCKET windows_new_socket(int family, int protocol)
{
    SOCKET at = WSASocketW(family, SOCK_STREAM, protocol, NULL, 0,
                           WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);

    if (at == INVALID_SOCKET && WSAGetLastError() == WSAEINVAL)
        at = WSASocketW(family, SOCK_STREAM, protocol, NULL, 0,
                        WSA_FLAG_OVERLAPPED);
    if (at != INVALID_SOCKET && !windows_tame(at)) {
        windows_close_socket(at);
        at = INVALID_SOCKET;
    }
    return at;
}

/* Makes a TCP socket that sends small packets at once. */
static SOCKET windows_socket(int family)
{
    SOCKET at = windows_new_socket(family, IPPROTO_TCP);

    if (at != INVALID_SOCKET &&
        !windows_set(at, IPPROTO_TCP, TCP_NODELAY, 1)) {
        windows_close_socket(at);
        at = INVALID_SOCKET;
    }
    return at;
}

/* Writes an address as the system wants it; returns its length. */
static int windows_sockaddr(struct sockaddr_storage *to,
                            const lssb_address *from)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        memset(&in, 0, sizeof in);
        in.sin_family = AF_INET;
        in.sin_port = htons(from->port);
        memcpy(&in.sin_addr, from->bytes, 4);
        memcpy(to, &in, sizeof in);
        return (int)sizeof in;
    }
    memset(&in6, 0, sizeof in6);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(from->port);
    in6.sin6_scope_id = from->scope;
    memcpy(&in6.sin6_addr, from->bytes, 16);
    memcpy(to, &in6, sizeof in6);
    return (int)sizeof in6;
}

/* ----------------------------------------------- a pair of sockets -- */

/* Where a socket of this machine's own is bound. */
static bool windows_local(SOCKET at, struct sockaddr_in *local)
{
    int len = (int)sizeof *local;

    return getsockname(at, (struct sockaddr *)local, &len) == 0;
}

/* Listens on loopback for the other end of a pair. */
static SOCKET windows_pair_listener(struct sockaddr_in *at)
{
    SOCKET listener = windows_socket(AF_INET);

    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener != INVALID_SOCKET &&
        (!windows_set_blocking(listener, true) ||
         !windows_set(listener, SOL_SOCKET, (int)SO_EXCLUSIVEADDRUSE, 1) ||
         bind(listener, (struct sockaddr *)at, (int)sizeof *at) != 0 ||
         listen(listener, 8) != 0 || !windows_local(listener, at))) {
        windows_close_socket(listener);
        listener = INVALID_SOCKET;
    }
    return listener;
}

/* Accepts the connection that comes from one of our own sockets: another
 * program may have found the listener first. */
static SOCKET windows_accept_own(SOCKET listener,
                                 const struct sockaddr_in *own)
{
    struct sockaddr_in from;
    SOCKET at;
    int len, i;

    for (i = 0; i < 8; i++) {
        len = (int)sizeof from;
        memset(&from, 0, sizeof from);
        at = accept(listener, (struct sockaddr *)&from, &len);
        if (at == INVALID_SOCKET)
            return at;
        if (from.sin_port == own->sin_port &&
            from.sin_addr.s_addr == own->sin_addr.s_addr)
            return at;
        closesocket(at);
    }
    WSASetLastError(WSAECONNREFUSED);
    return INVALID_SOCKET;
}

/* Makes two sockets that are connected to each other, over loopback: Windows
 * has no other pair that WSAPoll waits for. */
static bool windows_pair(SOCKET pair[2])
{
    struct sockaddr_in at, own;
    SOCKET listener = windows_pair_listener(&at);

    if (listener == INVALID_SOCKET)
        return false;
    pair[1] = INVALID_SOCKET;
    pair[0] = windows_socket(AF_INET);
    if (pair[0] != INVALID_SOCKET && windows_set_blocking(pair[0], true) &&
        connect(pair[0], (struct sockaddr *)&at, (int)sizeof at) == 0 &&
        windows_local(pair[0], &own))
        pair[1] = windows_accept_own(listener, &own);
    windows_close_socket(listener);
    if (pair[1] != INVALID_SOCKET && windows_set_blocking(pair[0], false) &&
        windows_tame(pair[1]) &&
        windows_set(pair[1], IPPROTO_TCP, TCP_NODELAY, 1))
        return true;
    if (pair[0] != INVALID_SOCKET)
        windows_close_socket(pair[0]);
    if (pair[1] != INVALID_SOCKET)
        windows_close_socket(pair[1]);
    return false;
}

/* ---------------------------------------------------------- environment -- */

/* Windows keeps its environment in UTF-16; what is handed out as UTF-8 has to
 * stand somewhere, and is asked for before there is a client. It stands in
 * pages of its own, for the thread that asked, until that thread has asked for
 * all: the client has its copies then, and what was here, keys among it, is
 * wiped. */
#define WINDOWS_VARIABLE 32         /* bytes of a name, and its NUL */

struct windows_variable {
    struct windows_variable *next;
    size_t size;                    /* of the value, and its NUL */
    DWORD thread;
    char name[WINDOWS_VARIABLE];
    char value[];
};

static struct windows_variable *windows_variables;
static SRWLOCK windows_variables_lock = SRWLOCK_INIT;

/* Wipes a value and gives its pages back. */
static void windows_drop(struct windows_variable *variable)
{
    size_t size = sizeof *variable + variable->size;

    SecureZeroMemory(variable, size);
    windows_give(variable, size);
}

/* A value as UTF-8; NULL: no memory. */
static struct windows_variable *windows_narrow(const char *name,
                                               const WCHAR *wide)
{
    int len = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    struct windows_variable *variable =
        len > 0 ? windows_take(sizeof *variable + (size_t)len) : NULL;

    if (variable == NULL)
        return NULL;
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, variable->value, len, NULL,
                        NULL);
    variable->size = (size_t)len;
    variable->thread = GetCurrentThreadId();
    memcpy(variable->name, name, strlen(name));
    return variable;
}

/* Reads a variable; NULL: there is none. */
static struct windows_variable *windows_read_variable(const char *name)
{
    struct windows_variable *variable = NULL;
    WCHAR key[WINDOWS_VARIABLE], *wide;
    DWORD room, len;

    if (strlen(name) >= WINDOWS_VARIABLE ||
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, key,
                            WINDOWS_VARIABLE) <= 0)
        return NULL;
    room = GetEnvironmentVariableW(key, NULL, 0);
    if (room == 0)
        return NULL;
    wide = windows_take(room * sizeof *wide);
    if (wide == NULL)
        return NULL;
    len = GetEnvironmentVariableW(key, wide, room);
    if (len < room)
        variable = windows_narrow(name, wide);
    SecureZeroMemory(wide, room * sizeof *wide);
    windows_give(wide, 0);
    return variable;
}

/* Whether a value is here already, for the same thread. */
static bool windows_is_kept(const struct windows_variable *kept,
                            const struct windows_variable *variable)
{
    return kept->thread == variable->thread && kept->size == variable->size &&
           strcmp(kept->name, variable->name) == 0 &&
           memcmp(kept->value, variable->value, kept->size) == 0;
}

/* Forgets what this thread has read. */
static void windows_forget(void)
{
    struct windows_variable **at = &windows_variables, *variable;
    DWORD thread = GetCurrentThreadId();

    AcquireSRWLockExclusive(&windows_variables_lock);
    while ((variable = *at) != NULL) {
        if (variable->thread != thread) {
            at = &variable->next;
            continue;
        }
        *at = variable->next;
        windows_drop(variable);
    }
    ReleaseSRWLockExclusive(&windows_variables_lock);
}

/* The one place that reads the environment. A string is good until its thread
 * asks for the name "". */
static const char *windows_environment(void *context, const char *name)
{
    struct windows_variable *variable, *kept;

    (void)context;
    if (name[0] == '\0') {
        windows_forget();
        return NULL;
    }
    variable = windows_read_variable(name);
    if (variable == NULL)
        return NULL;
    AcquireSRWLockExclusive(&windows_variables_lock);
    kept = windows_variables;
    while (kept != NULL && !windows_is_kept(kept, variable))
        kept = kept->next;
    if (kept == NULL) {
        variable->next = windows_variables;
        windows_variables = variable;
    }
    ReleaseSRWLockExclusive(&windows_variables_lock);
    if (kept == NULL)
        return variable->value;
    windows_drop(variable);
    return kept->value;
}

/* -------------------------------------------------------------- context -- */

/* Asks for Winsock 2.2; each time is undone by one WSACleanup. */
static lssb_io windows_startup(int32_t *code)
{
    WSADATA data;
    int error = WSAStartup(MAKEWORD(2, 2), &data);

    *code = (int32_t)error;
    return error == 0 ? LSSB_IO_OK : windows_io(error);
}

/* Starts Winsock and makes the wake pair. */
static lssb_io windows_open(void *context, int32_t *code)
{
    struct windows_context *windows = context;
    lssb_io io = windows_startup(code);
    SOCKET pair[2];

    if (io != LSSB_IO_OK)
        return io;
    if (!windows_pair(pair)) {
        io = windows_failed(code);
        WSACleanup();
        return io;
    }
    windows->wake_out = pair[0];
    windows->wake_in = pair[1];
    return LSSB_IO_OK;
}

/* Closes the wake pair. There is no fork here. */
static void windows_close(void *context, bool forked)
{
    struct windows_context *windows = context;

    (void)forked;
    closesocket(windows->wake_out);
    closesocket(windows->wake_in);
    WSACleanup();
}

/* -------------------------------------------------------- time, chance -- */

/* Milliseconds since the machine was started, its sleep included. They go on in
 * steps of 10 to 16, which is as exact as the waits of this system are. */
static uint64_t windows_now_ms(void *context)
{
    (void)context;
    return GetTickCount64();
}

/* Reads the calendar clock, which counts from 1601 in steps of 100 ns. */
static int64_t windows_wall_s(void *context)
{
    FILETIME now;
    uint64_t steps;

    (void)context;
    GetSystemTimeAsFileTime(&now);
    steps = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (int64_t)(steps / 10000000) - INT64_C(11644473600);
}

/* Fills with random bytes that nobody can foretell. */
static lssb_io windows_random(void *context, void *bytes, size_t len)
{
    uint8_t *to = bytes;
    ULONG n;

    (void)context;
    while (len > 0) {
        n = len > 65536 ? 65536 : (ULONG)len;
        if (BCryptGenRandom(NULL, to, n, BCRYPT_USE_SYSTEM_PREFERRED_RNG) < 0)
            return LSSB_IO_FAILED;
        to += n;
        len -= n;
    }
    return LSSB_IO_OK;
}

/* ---------------------------------------------------------------- names -- */

/* What the resolver says, in one message of one size. */
struct windows_answer {
    int32_t io;
    int32_t code;
    uint32_t count;
    lssb_address addresses[LSSB_MAX_ADDRESSES];
};

#define WINDOWS_NAME_SIZE 256       /* a host name and its NUL */
#define WINDOWS_STACK (256 * 1024)  /* of the resolver's thread: reserved, and
                                       used as far as it is needed */

/* Takes one of the system's addresses over; false when it is no IP. */
static bool windows_address(lssb_address *to, const ADDRINFOW *from)
{
    if (from->ai_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from->ai_addr, sizeof in);
        to->family = 4;
        memcpy(to->bytes, &in.sin_addr, 4);
        return true;
    }
    if (from->ai_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, from->ai_addr, sizeof in6);
        to->family = 6;
        memcpy(to->bytes, &in6.sin6_addr, 16);
        to->scope = in6.sin6_scope_id;
        return true;
    }
    return false;
}

/* Says in the port's words what GetAddrInfoW says. */
static lssb_io windows_resolver_io(int error)
{
    switch (error) {
    case WSAHOST_NOT_FOUND:
    case WSANO_DATA:
        return LSSB_IO_NOT_FOUND;
    case WSATRY_AGAIN:
        return LSSB_IO_TIMED_OUT;
    case WSA_NOT_ENOUGH_MEMORY:
        return LSSB_IO_LIMIT;
    default:
        return LSSB_IO_FAILED;
    }
}

/* Asks the system for the addresses of a name, however long that takes.
 * AI_ADDRCONFIG would forget loopback on a machine that is not connected. */
static void windows_ask(const char *name, struct windows_answer *answer)
{
    WCHAR wide[WINDOWS_NAME_SIZE];
    ADDRINFOW hints, *list = NULL, *item;
    int error = WSAHOST_NOT_FOUND;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide,
                            WINDOWS_NAME_SIZE) > 0)
        error = GetAddrInfoW(wide, NULL, &hints, &list);
    if (error != 0) {
        answer->code = (int32_t)error;
        answer->io = windows_resolver_io(error);
        return;
    }
    for (item = list; item != NULL && answer->count < LSSB_MAX_ADDRESSES;
         item = item->ai_next)
        if (windows_address(&answer->addresses[answer->count], item))
            answer->count++;
    FreeAddrInfoW(list);
    if (answer->count == 0)
        answer->io = LSSB_IO_NOT_FOUND;
}

/* Serves one name: reads it from the socket, which it owns, writes the answer
 * back and closes. Nobody may be listening any more. Winsock is kept running by
 * a start of its own: the client that asked may be gone. */
static DWORD WINAPI windows_resolver(void *argument)
{
    SOCKET at = (SOCKET)(uintptr_t)argument;
    struct windows_answer answer;
    char name[WINDOWS_NAME_SIZE];
    int n;

    n = recv(at, name, (int)sizeof name - 1, 0);
    if (n > 0) {
        name[n] = '\0';
        memset(&answer, 0, sizeof answer);
        windows_ask(name, &answer);
        send(at, (const char *)&answer, (int)sizeof answer, 0);
    }
    closesocket(at);
    WSACleanup();
    return 0;
}

/* Runs the resolver in a thread, or, when there can be none, here. */
static void windows_spawn_resolver(SOCKET at)
{
    void *argument = (void *)(uintptr_t)at;
    HANDLE thread = CreateThread(NULL, WINDOWS_STACK, windows_resolver,
                                 argument, STACK_SIZE_PARAM_IS_A_RESERVATION,
                                 NULL);

    if (thread != NULL)
        CloseHandle(thread);
    else
        windows_resolver(argument);
}

/* Starts to resolve. The name lies in the socket before the thread starts, and
 * the socket's number is all that the two share. */
static lssb_io windows_resolve(void *context, const char *name,
                               lssb_handle *job, int32_t *code)
{
    size_t len = strlen(name);
    lssb_io io;
    SOCKET pair[2];

    (void)context;
    *code = 0;
    if (len == 0 || len >= WINDOWS_NAME_SIZE)
        return LSSB_IO_NOT_FOUND;
    io = windows_startup(code);
    if (io != LSSB_IO_OK)
        return io;
    if (!windows_pair(pair)) {
        io = windows_failed(code);
        WSACleanup();
        return io;
    }
    if (!windows_set_blocking(pair[1], true) ||
        send(pair[0], name, (int)len, 0) != (int)len) {
        io = windows_failed(code);
        closesocket(pair[0]);
        closesocket(pair[1]);
        WSACleanup();
        return io;
    }
    windows_spawn_resolver(pair[1]);
    *job = (lssb_handle)pair[0];
    return LSSB_IO_OK;
}

/* Takes the resolver's answer, once all of it is there. */
static lssb_io windows_resolved(void *context, lssb_handle job,
                                lssb_address *addresses, size_t max,
                                size_t *count, int32_t *code)
{
    struct windows_answer answer;
    int n = recv((SOCKET)job, (char *)&answer, (int)sizeof answer, MSG_PEEK);

    (void)context;
    if (n < 0)
        return windows_failed(code);
    *code = 0;
    if (n == 0)
        return LSSB_IO_FAILED;
    if ((size_t)n < sizeof answer)
        return LSSB_IO_AGAIN;
    *code = answer.code;
    if (answer.io != LSSB_IO_OK)
        return (lssb_io)answer.io;
    *count = answer.count < max ? answer.count : max;
    memcpy(addresses, answer.addresses, *count * sizeof *addresses);
    return LSSB_IO_OK;
}

/* ---------------------------------------------------------- connections -- */

/* Starts a connection. */
static lssb_io windows_connect(void *context, const lssb_address *address,
                               lssb_handle *handle, int32_t *code)
{
    struct sockaddr_storage to;
    int len = windows_sockaddr(&to, address);
    SOCKET at = windows_socket(address->family == 4 ? AF_INET : AF_INET6);

    (void)context;
    if (at == INVALID_SOCKET)
        return windows_failed(code);
    if (connect(at, (struct sockaddr *)&to, len) != 0 &&
        WSAGetLastError() != WSAEWOULDBLOCK) {
        windows_close_socket(at);
        return windows_failed(code);
    }
    *handle = (lssb_handle)at;
    return LSSB_IO_OK;
}

/* Whether a connection is there, or was. */
static bool windows_has_peer(SOCKET at)
{
    struct sockaddr_storage name;
    int len = (int)sizeof name;

    return getpeername(at, (struct sockaddr *)&name, &len) == 0;
}

/* What became of a connection that was started: 1, it is there; -1, it failed;
 * 0, nothing yet. select() tells all three, which WSAPoll does not before
 * Windows 10 2004, and takes no error away. It tells of an urgent byte as of a
 * failure, but only where a connection is. */
static int windows_outcome(SOCKET at)
{
    struct timeval now = { 0, 0 };
    fd_set writable, failed;

    writable.fd_count = failed.fd_count = 1;
    writable.fd_array[0] = failed.fd_array[0] = at;
    if (select(0, NULL, &writable, &failed, &now) <= 0)
        return 0;
    return failed.fd_count > 0 && !windows_has_peer(at) ? -1 : 1;
}

/* Asks what became of it. */
static lssb_io windows_connected(void *context, lssb_handle handle,
                                 int32_t *code)
{
    SOCKET at = (SOCKET)handle;
    int error = 0, len = (int)sizeof error, outcome = windows_outcome(at);

    (void)context;
    if (outcome == 0)
        return LSSB_IO_AGAIN;
    if (getsockopt(at, SOL_SOCKET, SO_ERROR, (char *)&error, &len) != 0)
        return windows_failed(code);
    if (error == 0 && outcome > 0)
        return LSSB_IO_OK;
    *code = (int32_t)error;
    return windows_io(error);
}

/* Sends what fits. */
static ptrdiff_t windows_send(void *context, lssb_handle handle,
                              const void *bytes, size_t len, int32_t *code)
{
    int n = send((SOCKET)handle, bytes, len > INT_MAX ? INT_MAX : (int)len, 0);

    (void)context;
    return n < 0 ? (ptrdiff_t)windows_failed(code) : (ptrdiff_t)n;
}

/* Receives what is there. */
static ptrdiff_t windows_receive(void *context, lssb_handle handle,
                                 void *bytes, size_t len, int32_t *code)
{
    int n = recv((SOCKET)handle, bytes, len > INT_MAX ? INT_MAX : (int)len, 0);

    (void)context;
    return n < 0 ? (ptrdiff_t)windows_failed(code) : (ptrdiff_t)n;
}

/* Closes; what was sent goes on its way, unless it is to be dropped. */
static void windows_close_handle(void *context, lssb_handle handle,
                                 bool reset)
{
    struct linger now = { 1, 0 };

    (void)context;
    if (reset)
        setsockopt((SOCKET)handle, SOL_SOCKET, SO_LINGER, (const char *)&now,
                   (int)sizeof now);
    closesocket((SOCKET)handle);
}

/* ------------------------------------------------------------ listening -- */

#define WINDOWS_BACKLOG 128

/* Binds a socket and listens. Here SO_REUSEADDR would let any program take the
 * port from us; this option lets none. */
static bool windows_bind(SOCKET at, const struct sockaddr *name, int len)
{
    if (!windows_set(at, SOL_SOCKET, (int)SO_EXCLUSIVEADDRUSE, 1))
        return false;
    if (name->sa_family == AF_INET6 &&
        !windows_set(at, IPPROTO_IPV6, IPV6_V6ONLY, 1))
        return false;
    return bind(at, name, len) == 0 && listen(at, WINDOWS_BACKLOG) == 0;
}

/* The port that a socket was bound to. */
static uint16_t windows_local_port(SOCKET at)
{
    struct sockaddr_storage name;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    int len = (int)sizeof name;

    memset(&name, 0, sizeof name);
    if (getsockname(at, (struct sockaddr *)&name, &len) != 0)
        return 0;
    memcpy(&in, &name, sizeof in);
    memcpy(&in6, &name, sizeof in6);
    return ntohs(name.ss_family == AF_INET ? in.sin_port : in6.sin6_port);
}

/* What binding says: a port that a program has to itself is in use, too. */
static lssb_io windows_bind_failed(int32_t *code)
{
    lssb_io io = windows_failed(code);

    return *code == WSAEACCES ? LSSB_IO_IN_USE : io;
}

/* Listens on an address. */
static lssb_io windows_listen(void *context, const lssb_address *address,
                              lssb_handle *handle, uint16_t *local_port,
                              int32_t *code)
{
    struct sockaddr_storage name;
    int len = windows_sockaddr(&name, address);
    SOCKET at = windows_socket(address->family == 4 ? AF_INET : AF_INET6);

    (void)context;
    if (at == INVALID_SOCKET)
        return windows_failed(code);
    if (!windows_bind(at, (struct sockaddr *)&name, len)) {
        windows_close_socket(at);
        return windows_bind_failed(code);
    }
    *local_port = windows_local_port(at);
    *handle = (lssb_handle)at;
    return LSSB_IO_OK;
}

/* A Unix socket's name, as Windows 10 1803 and later have it. */
struct windows_unix {
    unsigned short family;
    char path[108];                 /* UTF-8 */
};

#define WINDOWS_FRESH_MS 2000       /* a socket this young may be about to
                                       listen */
#define WINDOWS_UNIX_TAG 0x80000023 /* of the file that it is */

/* Writes a path as the system wants it; false: it is too long. */
static bool windows_path(struct windows_unix *to, const char *path)
{
    size_t len = strlen(path);

    memset(to, 0, sizeof *to);
    to->family = AF_UNIX;
    if (len >= sizeof to->path)
        return false;
    memcpy(to->path, path, len);
    return true;
}

/* The user that this process runs as; false: the system does not say. */
static bool windows_user(TOKEN_USER *user, DWORD size)
{
    HANDLE token;
    bool known;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return false;
    known = GetTokenInformation(token, TokenUser, user, size, &size) != 0;
    CloseHandle(token);
    return known;
}

/* Lets only this user open a file; what its folder passes on is dropped. */
static bool windows_own(const WCHAR *path)
{
    uintptr_t user_room[32], list_room[32];
    TOKEN_USER *user = (TOKEN_USER *)(void *)user_room;
    ACL *list = (ACL *)(void *)list_room;
    SECURITY_DESCRIPTOR rights;

    return windows_user(user, (DWORD)sizeof user_room) &&
           InitializeAcl(list, (DWORD)sizeof list_room, ACL_REVISION) &&
           AddAccessAllowedAce(list, ACL_REVISION, FILE_ALL_ACCESS,
                               user->User.Sid) &&
           InitializeSecurityDescriptor(&rights,
                                        SECURITY_DESCRIPTOR_REVISION) &&
           SetSecurityDescriptorDacl(&rights, TRUE, list, FALSE) &&
           SetSecurityDescriptorControl(&rights, SE_DACL_PROTECTED,
                                        SE_DACL_PROTECTED) &&
           SetFileSecurityW(path, DACL_SECURITY_INFORMATION, &rights);
}

/* Whether nobody listens at a path any more. One that cannot be asked at once
 * is alive. */
static bool windows_is_deaf(const struct windows_unix *name)
{
    SOCKET at = windows_new_socket(AF_UNIX, 0);
    int error = 0;

    if (at == INVALID_SOCKET)
        return false;
    if (connect(at, (const struct sockaddr *)(const void *)name,
                (int)sizeof *name) != 0)
        error = WSAGetLastError();
    closesocket(at);
    return error == WSAECONNREFUSED;
}

/* Whether a file is a Unix socket; stores how long ago it was made, in ms. */
static bool windows_is_unix(const WCHAR *path, uint64_t *age)
{
    WIN32_FIND_DATAW what;
    HANDLE search = FindFirstFileW(path, &what);
    FILETIME now;
    uint64_t then, at;

    if (search == INVALID_HANDLE_VALUE)
        return false;
    FindClose(search);
    GetSystemTimeAsFileTime(&now);
    at = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    then = (uint64_t)what.ftLastWriteTime.dwHighDateTime << 32 |
           what.ftLastWriteTime.dwLowDateTime;
    *age = (at > then ? at - then : then - at) / 10000;
    return (what.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 &&
           what.dwReserved0 == WINDOWS_UNIX_TAG;
}

/* Removes a Unix socket that is at least that old and that nobody listens on;
 * anything else stays, and the result is false. */
static bool windows_remove(const struct windows_unix *name,
                           const WCHAR *path, uint64_t least_age)
{
    uint64_t age = 0;

    return windows_is_unix(path, &age) && age >= least_age &&
           windows_is_deaf(name) && DeleteFileW(path);
}

/* Binds, and has only this user connect: nobody can before listen(). What a
 * process left that is gone gives way. */
static lssb_io windows_bind_path(SOCKET at, const struct windows_unix *name,
                                 const WCHAR *path, int32_t *code)
{
    const struct sockaddr *to = (const struct sockaddr *)(const void *)name;
    int len = (int)sizeof *name;

    if (bind(at, to, len) != 0) {
        lssb_io io = windows_failed(code);

        if (io != LSSB_IO_IN_USE ||
            !windows_remove(name, path, WINDOWS_FRESH_MS))
            return io;
        if (bind(at, to, len) != 0)
            return windows_failed(code);
    }
    if (!windows_own(path)) {
        lssb_io io = windows_system_failed(code);

        DeleteFileW(path);
        return io;
    }
    if (listen(at, WINDOWS_BACKLOG) == 0)
        return LSSB_IO_OK;
    windows_failed(code);
    DeleteFileW(path);
    return windows_io(*code);
}

/* Listens on a path, where only this user may connect. Windows without Unix
 * sockets says UNSUPPORTED. */
static lssb_io windows_listen_path(void *context, const char *path,
                                   lssb_handle *handle, int32_t *code)
{
    struct windows_unix name;
    WCHAR *wide;
    lssb_io io;
    SOCKET at;

    (void)context;
    if (!windows_path(&name, path)) {
        *code = ERROR_FILENAME_EXCED_RANGE;
        return LSSB_IO_UNREACHABLE;
    }
    at = windows_new_socket(AF_UNIX, 0);
    if (at == INVALID_SOCKET) {
        io = windows_failed(code);
        return io == LSSB_IO_LIMIT ? io : LSSB_IO_UNSUPPORTED;
    }
    wide = windows_wide(path);
    io = wide != NULL ? windows_bind_path(at, &name, wide, code)
                      : windows_system_failed(code);
    if (wide != NULL)
        windows_give(wide, 0);
    if (io != LSSB_IO_OK)
        closesocket(at);
    else
        *handle = (lssb_handle)at;
    return io;
}

/* Removes what a Unix socket has left. What else is there by now stays. */
static void windows_remove_path(void *context, const char *path)
{
    struct windows_unix name;
    WCHAR *wide = windows_wide(path);

    (void)context;
    if (wide == NULL)
        return;
    if (windows_path(&name, path))
        windows_remove(&name, wide, 0);
    windows_give(wide, 0);
}

/* Accepts, with what every socket of this port has from the start. */
static lssb_io windows_accept(void *context, lssb_handle listener,
                              lssb_handle *handle, int32_t *code)
{
    SOCKET at = accept((SOCKET)listener, NULL, NULL);

    (void)context;
    if (at == INVALID_SOCKET)
        return windows_failed(code);
    if (!windows_tame(at)) {
        windows_close_socket(at);
        return windows_failed(code);
    }
    /* A Unix socket has nothing to delay. */
    windows_set(at, IPPROTO_TCP, TCP_NODELAY, 1);
    *handle = (lssb_handle)at;
    return LSSB_IO_OK;
}

/* Ends what is sent. */
static lssb_io windows_finish(void *context, lssb_handle handle,
                              int32_t *code)
{
    (void)context;
    return shutdown((SOCKET)handle, SD_SEND) == 0 ? LSSB_IO_OK
                                                  : windows_failed(code);
}

/* -------------------------------------------------------------- waiting -- */

#define WINDOWS_FEW 16              /* handles that are waited for without
                                       touching the caller's list */
#define WINDOWS_CONNECT_MS 50       /* how often connects are looked at */
#define WINDOWS_HANG_UP_MS 10       /* how often ends are told that a writer
                                       cannot take note of */

/* WSAPoll wants a list of its own, and there is no memory for one; but an
 * lssb_poll is larger than a WSAPOLLFD, so a long list becomes WSAPoll's in
 * place, from its front, and itself again afterwards, from its end. What
 * comes last, in the room that this leaves, is the wake pair. */
typedef char windows_list_has_room[
    sizeof(lssb_poll) * WINDOWS_FEW >= sizeof(WSAPOLLFD) * (WINDOWS_FEW + 1)
        ? 1 : -1];

/* Writes the place's entry i. WSAPoll leaves negative handles out; these can
 * be told back. */
static void windows_put_entry(WSAPOLLFD *place, size_t i,
                              const lssb_poll *from)
{
    WSAPOLLFD entry;
    lssb_handle handle = from->handle >= 0 ? from->handle : INTPTR_MIN;

    memset(&entry, 0, sizeof entry);
    if (from->read)
        entry.events = POLLRDNORM;
    if (from->write)
        entry.events = (SHORT)(entry.events | POLLWRNORM);
    if (entry.events == 0 && handle >= 0)
        handle = ~handle;
    entry.fd = (SOCKET)handle;
    memcpy((char *)place + i * sizeof entry, &entry, sizeof entry);
}

/* Reads the place's entry i. One that wanted something and was left out by
 * windows_only_ends is ready. */
static lssb_poll windows_get_entry(const WSAPOLLFD *place, size_t i)
{
    WSAPOLLFD entry;
    lssb_poll to;

    memcpy(&entry, (const char *)place + i * sizeof entry, sizeof entry);
    memset(&to, 0, sizeof to);
    to.handle = (lssb_handle)entry.fd;
    to.ready = to.handle >= 0 ? entry.revents != 0
                              : to.handle != INTPTR_MIN && entry.events != 0;
    if (to.handle < 0)
        to.handle = to.handle == INTPTR_MIN ? LSSB_NO_HANDLE : ~to.handle;
    to.read = (entry.events & POLLRDNORM) != 0;
    to.write = (entry.events & POLLWRNORM) != 0;
    return to;
}

/* Whether an entry waits for a connection that is not there yet. */
static bool windows_connects(const lssb_poll *item)
{
    return item->write && item->handle >= 0 &&
           !windows_has_peer((SOCKET)item->handle);
}

/* The handle for callers with a loop of their own. */
static lssb_handle windows_wake_handle(void *context)
{
    return (lssb_handle)((const struct windows_context *)context)->wake_out;
}

/* Takes all wakes back. */
static void windows_wake_clear(void *context)
{
    SOCKET at = ((const struct windows_context *)context)->wake_out;
    char bytes[64];

    while (recv(at, bytes, (int)sizeof bytes, 0) > 0)
        continue;
}

/* Leaves a byte in the wake pair. When it is full there are enough of them. The
 * thread that calls keeps its errors. */
static void windows_wake(void *context)
{
    SOCKET at = ((const struct windows_context *)context)->wake_in;
    int socket_error = WSAGetLastError();
    DWORD error = GetLastError();

    send(at, "", 1, 0);
    WSASetLastError(socket_error);
    SetLastError(error);
}

/* Whether WSAPoll came back for nothing but ends of streams whose entries want
 * to write: it says those for ever, and a writer that has to wait cannot take
 * note of them. Leaves these entries out from now on. */
static bool windows_only_ends(WSAPOLLFD *place, size_t count)
{
    size_t i, ends = 0;

    for (i = 0; i < count; i++)
        if ((lssb_handle)place[i].fd >= 0 && place[i].revents != 0) {
            if (place[i].revents != POLLHUP || place[i].events != POLLWRNORM)
                return false;
            ends++;
        }
    if (ends == 0)
        return false;
    for (i = 0; i < count; i++)
        if ((lssb_handle)place[i].fd >= 0 && place[i].revents != 0)
            place[i].fd = ~place[i].fd;
    return true;
}

/* Polls. Ends of streams that only writers have are told after a pause, in case
 * they are more than that. */
static int windows_poll(WSAPOLLFD *place, size_t count, int timeout)
{
    int n = WSAPoll(place, (ULONG)count, timeout);

    if (n <= 0 || !windows_only_ends(place, count))
        return n;
    if (timeout < 0 || timeout > WINDOWS_HANG_UP_MS)
        timeout = WINDOWS_HANG_UP_MS;
    return WSAPoll(place, (ULONG)count, timeout);
}

/* Waits. While a connection is under way it returns early every now and then,
 * and looks at the connection itself: WSAPoll may not tell that it failed. */
static lssb_io windows_wait(void *context, lssb_poll *list, size_t count,
                            uint32_t timeout_ms, int32_t *code)
{
    WSAPOLLFD few[WINDOWS_FEW + 1], *place = few;
    lssb_poll wake = { LSSB_NO_HANDLE, true, false, false, 0 };
    int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    bool connecting = false;
    lssb_io io = LSSB_IO_OK;
    size_t i;

    if (timeout_ms == UINT32_MAX)
        timeout = -1;
    if (count > WINDOWS_FEW)
        place = (WSAPOLLFD *)(void *)list;
    for (i = 0; i < count; i++) {
        lssb_poll item = list[i];

        connecting = connecting || windows_connects(&item);
        windows_put_entry(place, i, &item);
    }
    wake.handle = windows_wake_handle(context);
    windows_put_entry(place, count, &wake);
    if (connecting && (timeout < 0 || timeout > WINDOWS_CONNECT_MS))
        timeout = WINDOWS_CONNECT_MS;
    if (windows_poll(place, count + 1, timeout) < 0)
        io = windows_failed(code);
    wake = windows_get_entry(place, count);
    for (i = count; i-- > 0;) {
        list[i] = windows_get_entry(place, i);
        if (connecting && !list[i].ready && windows_connects(&list[i]))
            list[i].ready = windows_outcome((SOCKET)list[i].handle) != 0;
    }
    if (wake.ready)
        windows_wake_clear(context);
    return io;
}

/* --------------------------------------------- the system's certificates -- */

/* The store of roots, as one file in PEM: a certificate in it that cannot be
 * read spoils no other. */
struct windows_store {
    HCERTSTORE roots;
    HCERTSTORE distrusted;          /* NULL: there is none */
    PCCERT_CONTEXT at;              /* the certificate that is being read */
    uint64_t begin;                 /* where it begins in that file */
};

static const char windows_pem_begin[] = "-----BEGIN CERTIFICATE-----\n";
static const char windows_pem_end[] = "\n-----END CERTIFICATE-----\n";

#define WINDOWS_PEM_LINE 64

/* The length of base64 in lines; their ends are between them. */
static uint64_t windows_base64_len(DWORD len)
{
    uint64_t chars = ((uint64_t)len + 2) / 3 * 4;

    return chars + (chars > 0 ? (chars - 1) / WINDOWS_PEM_LINE : 0);
}

/* The character at a place of base64 in lines. */
static char windows_base64_at(const uint8_t *bytes, DWORD len, uint64_t place)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t line = place / (WINDOWS_PEM_LINE + 1);
    uint64_t i = place - line;
    size_t from = (size_t)(i / 4 * 3);
    uint32_t word;

    if (place % (WINDOWS_PEM_LINE + 1) == WINDOWS_PEM_LINE)
        return '\n';
    if (from + i % 4 > len)
        return '=';
    word = (uint32_t)bytes[from] << 16;
    if (from + 1 < len)
        word |= (uint32_t)bytes[from + 1] << 8;
    if (from + 2 < len)
        word |= bytes[from + 2];
    return digits[word >> (18 - 6 * (i % 4)) & 63];
}

/* The length of one certificate in PEM. */
static uint64_t windows_pem_len(PCCERT_CONTEXT certificate)
{
    return sizeof windows_pem_begin - 1 + sizeof windows_pem_end - 1 +
           windows_base64_len(certificate->cbCertEncoded);
}

/* The character at a place of one certificate in PEM. */
static char windows_pem_at(PCCERT_CONTEXT certificate, uint64_t place)
{
    uint64_t body = windows_base64_len(certificate->cbCertEncoded);

    if (place < sizeof windows_pem_begin - 1)
        return windows_pem_begin[place];
    place -= sizeof windows_pem_begin - 1;
    if (place < body)
        return windows_base64_at(certificate->pbCertEncoded,
                                 certificate->cbCertEncoded, place);
    return windows_pem_end[place - body];
}

/* Whether a date that Windows keeps with a root, from which on it is not to be
 * trusted, is there and past. */
static bool windows_is_past(PCCERT_CONTEXT certificate, DWORD property)
{
    FILETIME date, now;
    DWORD size = (DWORD)sizeof date;

    if (!CertGetCertificateContextProperty(certificate, property, &date,
                                           &size))
        return GetLastError() != (DWORD)CRYPT_E_NOT_FOUND;
    GetSystemTimeAsFileTime(&now);
    return size != sizeof date || CompareFileTime(&date, &now) <= 0;
}

/* Whether the purposes that Windows allows a root for include servers. Without
 * the property all are allowed; with more of them than there is room for,
 * which no root has, none is. */
static bool windows_is_for_servers(PCCERT_CONTEXT certificate)
{
    uintptr_t room[256];
    CERT_ENHKEY_USAGE *usage = (CERT_ENHKEY_USAGE *)(void *)room;
    DWORD size = (DWORD)sizeof room, i;

    if (!CertGetEnhancedKeyUsage(certificate,
                                 CERT_FIND_PROP_ONLY_ENHKEY_USAGE_FLAG, usage,
                                 &size))
        return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
    if (usage->cUsageIdentifier == 0)
        return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
    for (i = 0; i < usage->cUsageIdentifier; i++)
        if (strcmp(usage->rgpszUsageIdentifier[i], szOID_PKIX_KP_SERVER_AUTH)
            == 0)
            return true;
    return false;
}

/* Whether a root is trusted for servers: what Windows only allows for other
 * things, or not any more, is left out. */
static bool windows_is_trusted(const struct windows_store *store,
                               PCCERT_CONTEXT certificate)
{
    PCCERT_CONTEXT same = NULL;

    if ((certificate->dwCertEncodingType & X509_ASN_ENCODING) == 0 ||
        windows_is_past(certificate, CERT_DISALLOWED_FILETIME_PROP_ID) ||
        windows_is_past(certificate, CERT_NOT_BEFORE_FILETIME_PROP_ID) ||
        !windows_is_for_servers(certificate))
        return false;
    if (store->distrusted != NULL)
        same = CertFindCertificateInStore(store->distrusted,
                                          X509_ASN_ENCODING, 0,
                                          CERT_FIND_EXISTING, certificate,
                                          NULL);
    if (same != NULL)
        CertFreeCertificateContext(same);
    return same == NULL;
}

/* Goes on to the next trusted root; false: that was the last. */
static bool windows_store_next(struct windows_store *store)
{
    if (store->at != NULL)
        store->begin += windows_pem_len(store->at);
    do {
        store->at = CertEnumCertificatesInStore(store->roots, store->at);
    } while (store->at != NULL && !windows_is_trusted(store, store->at));
    return store->at != NULL;
}

/* Goes back to the first one. */
static void windows_store_rewind(struct windows_store *store)
{
    if (store->at != NULL)
        CertFreeCertificateContext(store->at);
    store->at = NULL;
    store->begin = 0;
}

/* Finds the root that the offset is in; false: it is beyond the end. */
static bool windows_store_seek(struct windows_store *store, uint64_t offset)
{
    if (store->at == NULL || offset < store->begin) {
        windows_store_rewind(store);
        if (!windows_store_next(store))
            return false;
    }
    while (offset - store->begin >= windows_pem_len(store->at))
        if (!windows_store_next(store))
            return false;
    return true;
}

/* Reads the store from an offset on, as far as the certificate there goes. */
static ptrdiff_t windows_store_read(void *ctx, uint64_t offset, void *bytes,
                                    size_t len)
{
    struct windows_store *store = ctx;
    char *to = bytes;
    uint64_t place, end;
    size_t n = 0;

    if (!windows_store_seek(store, offset))
        return 0;
    end = windows_pem_len(store->at);
    for (place = offset - store->begin; place < end && n < len; place++)
        to[n++] = windows_pem_at(store->at, place);
    return (ptrdiff_t)n;
}

/* Closes the store. */
static void windows_store_close(void *ctx)
{
    struct windows_store *store = ctx;

    windows_store_rewind(store);
    CertCloseStore(store->roots, 0);
    if (store->distrusted != NULL)
        CertCloseStore(store->distrusted, 0);
    windows_give(store, sizeof *store);
}

/* Opens the roots that this user and this machine trust. Windows fetches some
 * of them only when one of its own programs needs them: those are not there
 * before. */
static lssb_io windows_open_store(lssb_blob *out, int32_t *code)
{
    struct windows_store *store = windows_take(sizeof *store);

    if (store == NULL)
        return windows_system_failed(code);
    store->roots = CertOpenSystemStoreA(0, "ROOT");
    if (store->roots == NULL) {
        lssb_io io = windows_system_failed(code);

        windows_give(store, sizeof *store);
        return io;
    }
    store->distrusted = CertOpenSystemStoreA(0, "Disallowed");
    out->read_at = windows_store_read;
    out->close = windows_store_close;
    out->ctx = store;
    return LSSB_IO_OK;
}

/* ---------------------------------------------------------------- files -- */

/* Reads a file at an offset. */
static ptrdiff_t windows_read_at(void *ctx, uint64_t offset, void *bytes,
                                 size_t len)
{
    OVERLAPPED where;
    DWORD n = 0;

    if (offset > INT64_MAX)
        return 0;
    memset(&where, 0, sizeof where);
    where.Offset = (DWORD)(offset & 0xFFFFFFFF);
    where.OffsetHigh = (DWORD)(offset >> 32);
    if (ReadFile((HANDLE)ctx, bytes, len > INT_MAX ? INT_MAX : (DWORD)len, &n,
                 &where))
        return (ptrdiff_t)n;
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : -1;
}

/* Closes a file. */
static void windows_close_blob(void *ctx)
{
    CloseHandle((HANDLE)ctx);
}

/* Opens a file on a disk: no device, no pipe of that name. */
static lssb_io windows_open_blob(const char *path, lssb_blob *out,
                                 int32_t *code)
{
    WCHAR *wide = windows_wide(path);
    HANDLE file;
    lssb_io io;

    if (wide == NULL)
        return windows_system_failed(code);
    file = CreateFileW(wide, GENERIC_READ,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    io = file == INVALID_HANDLE_VALUE ? windows_system_failed(code)
                                      : LSSB_IO_OK;
    windows_give(wide, 0);
    if (io != LSSB_IO_OK)
        return io;
    if (GetFileType(file) != FILE_TYPE_DISK) {
        CloseHandle(file);
        *code = ERROR_ACCESS_DENIED;
        return LSSB_IO_FAILED;
    }
    out->read_at = windows_read_at;
    out->close = windows_close_blob;
    out->ctx = file;
    return LSSB_IO_OK;
}

/* Opens the certificates: a given file and no other, else the system's. */
static lssb_io windows_certificates(void *context, const char *path,
                                    lssb_blob *out, int32_t *code)
{
    (void)context;
    return path != NULL ? windows_open_blob(path, out, code)
                        : windows_open_store(out, code);
}

const lssb_port lssb_default_port = {
    LSSB_PORT_VERSION,
    NULL,
    sizeof(struct windows_context),
    windows_open,
    windows_close,
    windows_take,
    windows_give,
    windows_now_ms,
    windows_wall_s,
    windows_random,
    windows_environment,
    windows_resolve,
    windows_resolved,
    windows_connect,
    windows_connected,
    windows_send,
    windows_receive,
    windows_close_handle,
    windows_wait,
    windows_wake,
    windows_wake_handle,
    windows_wake_clear,
    windows_certificates
};

const lssb_listen_port lssb_default_listen_port = {
    LSSB_PORT_VERSION,
    windows_listen,
    windows_listen_path,
    windows_remove_path,
    windows_accept,
    windows_finish
};
