/* tunnel.h: what the parts of tunnels share; of those alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LSSB_TUNNEL_H
#define LSSB_TUNNEL_H

#include "internal.h"

#if LSSB_TUNNEL

#define TUNNEL_STATUS_MS 30000
#define TUNNEL_HELD_MS 5000         /* a stream may hold back the others */
#define TUNNEL_ASK_MS 1000          /* between questions whether local sockets
                                       that are not waited for still are */

/* In `flags`. */
#define TUNNEL_LEAVE 0x1u           /* the caller closes it */
#define TUNNEL_TELLING 0x2u         /* callbacks are running */
#define TUNNEL_TELL_LOST 0x4u       /* events that are to be told */
#define TUNNEL_TELL_AWAY 0x8u
#define TUNNEL_TELL_BACK 0x10u
/* Of its connection. */
#define TUNNEL_LEAVING 0x100u       /* goodbyes are on their way */
#define TUNNEL_BLOCKED 0x200u       /* it takes nothing now */
#define TUNNEL_PENDING 0x400u       /* the engine has more to tell of what was
                                       consumed */
#define TUNNEL_RENEW 0x800u         /* new streams need another one */
#define TUNNEL_CONNECTION \
    (TUNNEL_LEAVING | TUNNEL_BLOCKED | TUNNEL_PENDING | TUNNEL_RENEW)

static inline lssb_tunnel *tunnel_of(const lssb_op *op)
{
    return op->reserved.state.extra;
}

static inline struct lssb_tunnel_state *tunnel_state(lssb_tunnel *tunnel)
{
    return &tunnel->reserved.state;
}

static inline struct lssb_bridge *tunnel_bridges(const lssb_tunnel *tunnel)
{
    return tunnel->reserved.state.bridges;
}

/* The session; of a tunnel that is connected. */
static inline struct lssb_yamux *tunnel_session(lssb_tunnel *tunnel)
{
    return &lssb_call_slot(&tunnel_state(tunnel)->carrier)->own.session;
}

/* Milliseconds of an option: `fallback` for 0, 0 for LSSB_FOREVER. */
static inline uint32_t tunnel_ms(uint32_t ms, uint32_t fallback)
{
    if (ms == 0)
        return fallback;
    return ms != LSSB_FOREVER ? ms : 0;
}

/* tunnel_bridge.c: ends every bridge that is on the connection, or all of
 * them; those that wait for one. */
LSSB_PRIVATE void lssb_tunnel_end_bridges(lssb_tunnel *tunnel, bool all,
                                          lssb_status status, const char *why);
LSSB_PRIVATE void lssb_tunnel_end_queued(lssb_tunnel *tunnel,
                                         lssb_status status, const char *why);
/* Takes every bridge away from its owner, and gives it back. */
LSSB_PRIVATE void lssb_tunnel_release_all(lssb_tunnel *tunnel);
/* Remembers why a connection was lost, or could not be made, for those whom
 * that ends: as the client's error says, with another status. */
LSSB_PRIVATE void lssb_tunnel_note_loss(lssb_tunnel *tunnel,
                                        lssb_status status);
/* Tells what has happened since; of what is through the memory is given
 * back. */
LSSB_PRIVATE void lssb_tunnel_tell(lssb_tunnel *tunnel);

/* tunnel_flow.c: moves bytes both ways; of a tunnel that is connected. */
LSSB_PRIVATE void lssb_tunnel_move(lssb_op *op);

/* tunnel_link.c: begins to connect again, because streams wait for it. */
LSSB_PRIVATE void lssb_tunnel_connect_again(lssb_op *op);
/* Leaves a connection that takes no new streams, and has none left. */
LSSB_PRIVATE void lssb_tunnel_renew(lssb_op *op);
/* The members of an exchange: both of the opening and of the carrier. */
LSSB_PRIVATE void lssb_tunnel_path(const lssb_op *op, struct lssb_writer *to);
LSSB_PRIVATE lssb_status lssb_tunnel_taken(lssb_op *op);
LSSB_PRIVATE lssb_status lssb_tunnel_upgraded(lssb_op *op, const char *text,
                                              size_t len);
LSSB_PRIVATE lssb_status lssb_tunnel_refused(lssb_op *op, lssb_error *error);
LSSB_PRIVATE lssb_status lssb_tunnel_lost(lssb_op *op);

#endif

#endif
