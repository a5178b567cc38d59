/* ws.c: what runs on an upgraded connection, one translation unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * The WebSocket protocol (RFC 6455) in both roles, an engine without I/O. Knows
 * nothing of sandboxes, and of HTTP only which headers upgrade. The parts in
 * src/ compile by themselves, too.
 */
#include "src/websocket.c"
