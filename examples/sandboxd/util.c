/* util.c: memory, growing bytes, maps, clocks, chance.
 *
 * SPDX-License-Identifier: MIT
 *
 * An application may run out of memory in one way only: it says so and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "sandboxd.h"

/* Zeroed memory, or the end of the process. */
void *take(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);

    if (memory == NULL) {
        fputs("sandboxd: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* The same memory, larger; what is new is not zeroed. */
void *take_more(void *old, size_t size)
{
    void *memory = realloc(old, size);

    if (memory == NULL) {
        fputs("sandboxd: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* A copy of bytes, with a NUL behind them. */
char *take_copy_n(const char *bytes, size_t len)
{
    char *copy = take(len + 1);

    memcpy(copy, bytes, len);
    return copy;
}

/* A copy of a string; of NULL, NULL. */
char *take_copy(const char *string)
{
    return string == NULL ? NULL : take_copy_n(string, strlen(string));
}

/* A string made by a format. */
char *take_format(const char *format, ...)
{
    va_list args;
    char *string;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    string = take((size_t)len + 1);
    va_start(args, format);
    vsnprintf(string, (size_t)len + 1, format, args);
    va_end(args);
    return string;
}

/* Appends; there is always a NUL behind the last byte. */
void bytes_add(struct bytes *bytes, const void *more, size_t len)
{
    if (bytes->len + len + 1 > bytes->size) {
        bytes->size = (bytes->len + len + 1) * 2;
        bytes->at = take_more(bytes->at, bytes->size);
    }
    if (len > 0)
        memcpy(bytes->at + bytes->len, more, len);
    bytes->len += len;
    bytes->at[bytes->len] = '\0';
}

/* Appends a string. */
void bytes_add_string(struct bytes *bytes, const char *string)
{
    bytes_add(bytes, string, strlen(string));
}

/* Frees them; they are empty again. */
void bytes_free(struct bytes *bytes)
{
    free(bytes->at);
    memset(bytes, 0, sizeof *bytes);
}

/* Sets a name's value, over the one that it had. */
void map_set(struct map *map, const char *name, const char *value)
{
    size_t i;

    for (i = 0; i < map->count; i++) {
        if (strcmp(map->pairs[i].name, name) == 0) {
            char *copy = take_copy(value);

            free(map->pairs[i].value);
            map->pairs[i].value = copy;
            return;
        }
    }
    map->pairs =
        take_more(map->pairs, (map->count + 1) * sizeof *map->pairs);
    map->pairs[map->count].name = take_copy(name);
    map->pairs[map->count].value = take_copy(value);
    map->count++;
}

/* Takes a name out, if it is there. */
void map_remove(struct map *map, const char *name)
{
    size_t i = 0;

    while (i < map->count && strcmp(map->pairs[i].name, name) != 0)
        i++;
    if (i == map->count)
        return;
    free(map->pairs[i].name);
    free(map->pairs[i].value);
    map->count--;
    memmove(map->pairs + i, map->pairs + i + 1,
            (map->count - i) * sizeof *map->pairs);
}

/* Sets all pairs of another map. */
void map_merge(struct map *over, const struct map *from)
{
    size_t i;

    for (i = 0; from != NULL && i < from->count; i++)
        map_set(over, from->pairs[i].name, from->pairs[i].value);
}

/* A name's value, or NULL. */
const char *map_get(const struct map *map, const char *name)
{
    size_t i;

    for (i = 0; i < map->count; i++) {
        if (strcmp(map->pairs[i].name, name) == 0)
            return map->pairs[i].value;
    }
    return NULL;
}

/* Frees it; it is empty again. */
void map_free(struct map *map)
{
    size_t i;

    for (i = 0; i < map->count; i++) {
        free(map->pairs[i].name);
        free(map->pairs[i].value);
    }
    free(map->pairs);
    memset(map, 0, sizeof *map);
}

/* Milliseconds that never go back. */
uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Microseconds since 1970. */
int64_t wall_us(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000000 + now.tv_usec;
}

/* Bytes that nobody can foretell, or the end of the process. */
void fill_random(void *bytes, size_t len)
{
    uint8_t *to = bytes;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && len > 0) {
        ssize_t got = read(fd, to, len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        to += got;
        len -= (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    if (len > 0) {
        fputs("sandboxd: /dev/urandom cannot be read\n", stderr);
        exit(1);
    }
}

/* Writes random hexadecimal digits and a NUL. */
void random_hex(char *to, size_t digits)
{
    uint8_t bytes[32];
    size_t i;

    fill_random(bytes, sizeof bytes);
    for (i = 0; i < digits && i < 2 * sizeof bytes; i++)
        to[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 * 4) & 15];
    to[i] = '\0';
}

/* Makes a random UUID (RFC 9562, version 4). */
void make_uuid(char to[37])
{
    char hex[33];

    random_hex(hex, 32);
    hex[12] = '4';
    hex[16] = "89ab"[hex[16] % 4];
    snprintf(to, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
}

/* An ISO 8601 time in UTC, with microseconds. */
void format_time(char to[32], int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    size_t len;

    gmtime_r(&seconds, &parts);
    len = strftime(to, 24, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(to + len, 32 - len, ".%06uZ", (unsigned)(us % 1000000));
}

/* A date as HTTP writes it (RFC 9110 5.6.7); no locale is ever set here. */
void format_http_date(char to[32], int64_t seconds)
{
    time_t time = (time_t)seconds;
    struct tm parts;

    gmtime_r(&time, &parts);
    strftime(to, 32, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

/* Compares in a time that does not tell where they differ. */
bool same_secret(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b), i;
    unsigned different = a_len != b_len;

    for (i = 0; i < a_len && b_len > 0; i++)
        different |= (unsigned)(a[i] ^ b[i % b_len]);
    return different == 0;
}

/* Appends text in which each byte that belongs to no character has become
 * U+FFFD, as Go's JSON encoder does it. */
void clean_utf8(struct bytes *out, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t good = lssb_utf8_valid(bytes, len);

        bytes_add(out, bytes, good);
        bytes += good;
        len -= good;
        if (len > 0) {
            bytes_add(out, "\xEF\xBF\xBD", 3);
            bytes++;
            len--;
        }
    }
    bytes_add(out, "", 0);
}

/* Makes a descriptor non-blocking and not inherited. */
void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}
