/* tunnel_none.c: what the calls for tunnels say in a build without them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

#if !LSSB_TUNNEL

/* What every function says of this build. */
static lssb_status tunnel_unsupported(lssb_client *client, lssb_op *op)
{
    if (client == NULL)
        return LSSB_E_INVALID_ARGUMENT;
    return lssb_refuse_as(client, op, LSSB_E_UNSUPPORTED,
                          "tunnels need a build with LSSB_TUNNEL 1", NULL);
}

static lssb_client *tunnel_client(const lssb_tunnel *tunnel)
{
    return tunnel != NULL ? tunnel->client : NULL;
}

lssb_status lssb_tunnel_open(lssb_tunnel *tunnel, const lssb_sandbox *box,
                             const lssb_tunnel_options *options, lssb_op *op)
{
    (void)options;
    if (tunnel != NULL)
        memset(tunnel, 0, sizeof *tunnel);
    if (tunnel != NULL)
        tunnel->status = LSSB_E_UNSUPPORTED;
    return tunnel_unsupported(box != NULL ? box->client : NULL, op);
}

lssb_status lssb_tunnel_close(lssb_tunnel *tunnel, lssb_op *op)
{
    (void)tunnel;
    if (op != NULL)
        op->status = LSSB_OK;
    return LSSB_OK;
}

lssb_status lssb_tunnel_connect(lssb_tunnel *tunnel, uint16_t port,
                                lssb_tunnel_stream *stream, lssb_op *op)
{
    (void)port;
    if (stream != NULL) {
        memset(stream, 0, sizeof *stream);
        stream->tunnel = tunnel;
        stream->status = LSSB_E_UNSUPPORTED;
    }
    return tunnel_unsupported(tunnel_client(tunnel), op);
}

lssb_status lssb_tunnel_read(lssb_tunnel_stream *stream, void *bytes,
                             size_t size, size_t *len, uint32_t wait_ms)
{
    (void)bytes;
    (void)size;
    (void)len;
    (void)wait_ms;
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

lssb_status lssb_tunnel_write(lssb_tunnel_stream *stream, const void *bytes,
                              size_t len, size_t *taken, uint32_t wait_ms)
{
    (void)bytes;
    (void)len;
    (void)taken;
    (void)wait_ms;
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

lssb_status lssb_tunnel_finish(lssb_tunnel_stream *stream)
{
    return tunnel_unsupported(
        tunnel_client(stream != NULL ? stream->tunnel : NULL), NULL);
}

void lssb_tunnel_stream_close(lssb_tunnel_stream *stream)
{
    (void)stream;
}

lssb_status lssb_tunnel_listen(lssb_tunnel *tunnel,
                               const lssb_listen_options *options,
                               lssb_listener *listener)
{
    (void)options;
    if (listener != NULL)
        memset(listener, 0, sizeof *listener);
    return tunnel_unsupported(tunnel_client(tunnel), NULL);
}

void lssb_listener_close(lssb_listener *listener)
{
    (void)listener;
}

#endif
