/* http.c: HTTP/1.1 and the connection beneath it, one translation unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * From the bottom up: text in fixed places, URLs (RFC 3986), messages (RFC
 * 9112), and one connection: names, addresses, a proxy, TLS, buffers. Knows
 * nothing of sandboxes. The parts in src/ compile by themselves, too.
 */
#include "src/text.c"
#include "src/url.c"
#include "src/http1.c"
#include "src/conn.c"
#include "src/dial.c"
