/* plain.h: a POSIX system as plain as macOS and the BSDs can be, played on
 * Linux: included before all else it takes away what Linux has beyond that.
 *
 * SPDX-License-Identifier: MIT
 *
 * No flags at the making of a socket, no accept4, no clock that is named for
 * counting sleep, FreeBSD's getentropy instead of a system call (or, with
 * PLAIN_UNKNOWN, a system that the port has not heard of), and a port may be
 * bound beside one that listens, so that the port has to look first.
 */
#ifndef PLAIN_H
#define PLAIN_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#undef __linux__
#ifndef PLAIN_UNKNOWN
#define POSIX_HAS_GETENTROPY
#endif
#undef SOCK_CLOEXEC
#undef CLOCK_BOOTTIME
#define accept4 plain_systems_have_none
#define getrandom plain_systems_have_none
#undef SYS_getrandom

/* macOS has a socket option instead of a flag for each call. (Only compiled: on
 * Linux nothing would keep the signal away.) */
#ifdef PLAIN_SOCKET_OPTION
#undef MSG_NOSIGNAL
#define SO_NOSIGPIPE SO_KEEPALIVE
#endif

#endif
