/* lssb.c: the client and what it does, one translation unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * From the bottom up: JSON, how a call is made, what a sandbox is. Above
 * http.c, which moves the bytes. The parts in src/ compile by themselves, too.
 */
#include "src/json.c"
#include "src/client.c"
#include "src/sandbox.c"
