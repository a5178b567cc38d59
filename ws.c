/* ws.c: what runs on an upgraded connection, one translation unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * The WebSocket protocol (RFC 6455) and yamux, streams over one connection,
 * both in both roles: engines without I/O. They know nothing of sandboxes, and
 * of HTTP only which headers upgrade. The parts in src/ compile by themselves,
 * too.
 */
#include "src/websocket.c"
#include "src/channel.c"
#include "src/yamux.c"
