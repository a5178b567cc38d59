/* lssb.c: the client and what it does, one translation unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * From the bottom up: JSON, how a call is made, what a sandbox is. Above
 * http.c, which moves the bytes. The parts in src/ compile by themselves, too.
 */
#include "src/json_char.c"
#include "src/json.c"
#include "src/json_read.c"
#include "src/json_write.c"
#include "src/error.c"
#include "src/request.c"
#include "src/slot.c"
#include "src/reply.c"
#include "src/call.c"
#include "src/client.c"
#include "src/kind.c"
#include "src/list.c"
#include "src/spec.c"
#include "src/sandbox.c"
#include "src/provision.c"
#include "src/snapshot.c"
#include "src/legacy.c"
#include "src/link.c"
#include "src/search.c"
#include "src/file.c"
#include "src/service.c"
#include "src/upgrade.c"
#include "src/socket.c"
#include "src/command_talk.c"
#include "src/command_hear.c"
#include "src/command_link.c"
#include "src/command.c"
#include "src/command_held.c"
#include "src/tunnel.c"
#include "src/stream.c"
#include "src/bridge.c"
#include "src/execute.c"
