/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_FREERTOS_SOCKETS_H
#define STAND_IN_FREERTOS_SOCKETS_H

typedef struct xSOCKET *Socket_t;
typedef struct xSOCKET const *ConstSocket_t;
typedef struct xSOCKET_SET *SocketSet_t;
#define socklen_t uint32_t

#define FREERTOS_INVALID_SOCKET ((Socket_t)~0U)
#define FREERTOS_AF_INET 2
#define FREERTOS_SOCK_STREAM 1
#define FREERTOS_IPPROTO_TCP 6
#define FREERTOS_SO_RCVTIMEO 0
#define FREERTOS_SO_SNDTIMEO 1
#define FREERTOS_SHUT_RDWR 2
#define FreeRTOS_htons(port) \
    ((uint16_t)((uint16_t)((port) << 8) | (uint16_t)((port) >> 8)))

typedef enum eSELECT_EVENT {
    eSELECT_READ = 1,
    eSELECT_WRITE = 2,
    eSELECT_EXCEPT = 4,
    eSELECT_INTR = 8
} eSelectEvent_t;

struct freertos_sockaddr {
    uint8_t sin_len;
    uint8_t sin_family;
    uint16_t sin_port;
#if ipFR_TCP_VERSION_MAJOR >= 4
    uint32_t sin_flowinfo;
    union {
        uint32_t ulIP_IPv4;
        uint8_t xIP_IPv6[16];
    } sin_address;
#else
    uint32_t sin_addr;
#endif
};

Socket_t FreeRTOS_socket(BaseType_t domain, BaseType_t type,
                         BaseType_t protocol);
BaseType_t FreeRTOS_setsockopt(Socket_t socket, int32_t level, int32_t name,
                               const void *value, size_t len);
BaseType_t FreeRTOS_connect(Socket_t socket,
                            const struct freertos_sockaddr *address,
                            socklen_t len);
BaseType_t FreeRTOS_connstatus(ConstSocket_t socket);
BaseType_t FreeRTOS_rx_size(ConstSocket_t socket);
BaseType_t FreeRTOS_send(Socket_t socket, const void *bytes, size_t len,
                         BaseType_t flags);
BaseType_t FreeRTOS_recv(Socket_t socket, void *bytes, size_t len,
                         BaseType_t flags);
BaseType_t FreeRTOS_shutdown(Socket_t socket, BaseType_t how);
BaseType_t FreeRTOS_closesocket(Socket_t socket);
SocketSet_t FreeRTOS_CreateSocketSet(void);
void FreeRTOS_DeleteSocketSet(SocketSet_t set);
void FreeRTOS_FD_SET(Socket_t socket, SocketSet_t set, EventBits_t events);
void FreeRTOS_FD_CLR(Socket_t socket, SocketSet_t set, EventBits_t events);
EventBits_t FreeRTOS_FD_ISSET(ConstSocket_t socket, SocketSet_t set);
BaseType_t FreeRTOS_select(SocketSet_t set, TickType_t ticks);
#ifdef ipconfigSUPPORT_SIGNALS
BaseType_t FreeRTOS_SignalSocket(Socket_t socket);
BaseType_t FreeRTOS_SignalSocketFromISR(Socket_t socket, BaseType_t *switches);
#endif

#endif
