/* waking.c: requests that wait until their box is awake.
 *
 * SPDX-License-Identifier: MIT
 *
 * A stopped box is woken by what is asked of it; the request's body waits in
 * the socket meanwhile.
 */
#include <stdlib.h>

#include "control.h"

#define WAKING_MS 30000

/* A request that waits for its box. */
struct waking {
    struct box_wait wait;
    struct exchange *exchange;
    operation_fn *go;
};

/* The exchange has ended while it waited. */
static void waking_over(struct exchange *exchange)
{
    struct waking *waking = exchange->state;

    box_wait_end(&waking->wait);
    free(waking);
}

/* The box is awake, or will not be. */
static void waking_done(struct box_wait *wait, struct box *box)
{
    struct waking *waking = wait->owner;
    struct exchange *exchange = waking->exchange;
    operation_fn *go = waking->go;

    exchange_resume(exchange);
    if (box == NULL) {
        reply_error(exchange, 404, "NotFound", "the sandbox was deleted");
    } else if (box->status != BOX_READY) {
        reply_error(exchange, 503, "ServiceUnavailable",
                    "Sandbox is starting: %s", box->name);
    } else {
        exchange->state = NULL;
        exchange->on_over = NULL;
        free(waking);
        box_touch(box);
        go(exchange, box);
    }
}

/* Holds a request until its box is awake. */
static void waking_start(struct exchange *exchange, struct box *box,
                         operation_fn *go)
{
    struct waking *waking = take(sizeof *waking);

    if (box->status == BOX_STOPPED)
        box_start(box);
    waking->exchange = exchange;
    waking->go = go;
    waking->wait.owner = waking;
    waking->wait.done = waking_done;
    exchange->state = waking;
    exchange->on_over = waking_over;
    exchange->paused = true;
    box_wait_start(&waking->wait, box, WAKING_MS);
}

/* Lets an operation go on once its box is ready; replies if that cannot be. */
void box_awake(struct exchange *exchange, struct box *box, operation_fn *go)
{
    if (box->status == BOX_READY) {
        box_touch(box);
        go(exchange, box);
    } else if (box->status == BOX_FAILED) {
        reply_error(exchange, 400, "NotReady", "the sandbox has failed");
    } else if (!box->was_ready) {
        reply_error(exchange, 503, "ServiceUnavailable",
                    "Sandbox is starting: %s", box->name);
    } else {
        waking_start(exchange, box, go);
    }
}
