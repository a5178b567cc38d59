/* link.h: connections over a line of bytes, for lssb_pipe.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both ends send frames: a kind, the number of a connection, the length of what
 * follows, and that (0 to 255 bytes).
 *
 *   kind  from the device                   from the bridge
 *   'O'   connect to "host:port"            it is connected
 *   'F'                                     it cannot be: an lssb_io, negated
 *   'D'   bytes                             bytes
 *   'C'   hang up, after what was sent      the other side has ended
 *
 * Frames of an older number are dropped, so nothing of one connection gets into
 * the next. What the line loses or changes is TLS's to find out.
 */
#ifndef LINK_H
#define LINK_H

#include "port/pipe.h"

/* The functions of an lssb_pipe; their `user` is not used. */
ptrdiff_t link_send(void *user, const void *bytes, size_t len);
ptrdiff_t link_receive(void *user, void *bytes, size_t len);
lssb_io link_dial(void *user, const char *host, uint16_t port);
void link_hang_up(void *user);

#endif
