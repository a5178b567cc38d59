/* hosted.c: what an archive asks for that was compiled for a hosted system.
 *
 * SPDX-License-Identifier: MIT
 *
 * Debian's libbearssl.a for armhf is code that a Cortex-M with an FPU can run,
 * but it was hardened for Linux and may ask its kernel for time and chance.
 * With a BearSSL of your own build (FIRMWARE_BEARSSL=) none of this is linked.
 */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "board.h"

uintptr_t __stack_chk_guard = 0x5AFEC0DE;
int *__errno_location(void);
int open(const char *path, int flags, ...);
int close(int fd);
ptrdiff_t read(int fd, void *bytes, size_t len);
void __stack_chk_fail(void);
void *__memcpy_chk(void *to, const void *from, size_t len, size_t room);
void *__memmove_chk(void *to, const void *from, size_t len, size_t room);
void *__memset_chk(void *to, int byte, size_t len, size_t room);

void __stack_chk_fail(void)
{
    board_print("\nthe stack was overwritten\n");
    board_exit(false);
}

void *__memcpy_chk(void *to, const void *from, size_t len, size_t room)
{
    if (len > room)
        __stack_chk_fail();
    return memcpy(to, from, len);
}

void *__memmove_chk(void *to, const void *from, size_t len, size_t room)
{
    if (len > room)
        __stack_chk_fail();
    return memmove(to, from, len);
}

void *__memset_chk(void *to, int byte, size_t len, size_t room)
{
    if (len > room)
        __stack_chk_fail();
    return memset(to, byte, len);
}

/* There is no /dev/urandom: lssb gives its own chance, and its own time. */
int open(const char *path, int flags, ...)
{
    (void)path;
    (void)flags;
    return -1;
}

int close(int fd)
{
    (void)fd;
    return -1;
}

ptrdiff_t read(int fd, void *bytes, size_t len)
{
    (void)fd;
    (void)bytes;
    (void)len;
    return -1;
}

int *__errno_location(void)
{
    static int error;

    return &error;
}

time_t time(time_t *out)
{
    time_t now = (time_t)board_wall_s();

    if (out != NULL)
        *out = now;
    return now;
}
