/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_SOCKET_H
#define STAND_IN_SOCKET_H

#include <sys/types.h>

typedef unsigned short int sa_family_t;
typedef size_t socklen_t;

struct sockaddr {
    sa_family_t sa_family;
    char data[24];
};
struct in_addr {
    uint32_t s_addr;
};
struct sockaddr_in {
    sa_family_t sin_family;
    uint16_t sin_port;
    struct in_addr sin_addr;
};
struct in6_addr {
    uint8_t s6_addr[16];
};
struct sockaddr_in6 {
    sa_family_t sin6_family;
    uint16_t sin6_port;
    struct in6_addr sin6_addr;
    uint8_t sin6_scope_id;
};

#define AF_INET 1
#define AF_INET6 2
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_IPV6 41
#define TCP_NODELAY 1
#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SO_ERROR 4
#define SO_LINGER 13
#define IPV6_V6ONLY 26
#define ZSOCK_SHUT_WR 1
#define ZSOCK_POLLIN 1
#define ZSOCK_POLLOUT 4

uint16_t htons(uint16_t port);
uint16_t ntohs(uint16_t port);

struct zsock_pollfd {
    int fd;
    short events;
    short revents;
};

int zsock_socket(int family, int type, int protocol);
int zsock_close(int s);
int zsock_shutdown(int s, int how);
int zsock_bind(int s, const struct sockaddr *address, socklen_t len);
int zsock_connect(int s, const struct sockaddr *address, socklen_t len);
int zsock_listen(int s, int backlog);
int zsock_accept(int s, struct sockaddr *address, socklen_t *len);
ssize_t zsock_send(int s, const void *bytes, size_t len, int flags);
ssize_t zsock_recv(int s, void *bytes, size_t len, int flags);
int zsock_fcntl(int s, int command, int flags);
int zsock_poll(struct zsock_pollfd *list, int count, int timeout);
int zsock_getsockopt(int s, int level, int name, void *value, socklen_t *len);
int zsock_setsockopt(int s, int level, int name, const void *value,
                     socklen_t len);
int zsock_getsockname(int s, struct sockaddr *address, socklen_t *len);

#endif
