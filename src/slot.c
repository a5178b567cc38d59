/* slot.c: the connections of a client, and which of them a call gets.
 *
 * SPDX-License-Identifier: MIT
 *
 * A slot is a connection with its buffers. An idle one that leads where a call
 * wants to go serves again while it is young and quiet; otherwise it gives way.
 */
#include "internal.h"

#define SLOT_FRESH_MS 1000          /* idle for less: fit for what must not be
                                       sent twice */

/* Ends a slot's connection and leaves the slot free. An idle one says goodbye,
 * as far as that takes no waiting. */
static void slot_drop(lssb_client *client, struct lssb_slot *slot)
{
    if (slot->conn.phase == LSSB_CONN_CLOSED)
        return;
    slot->leave = NULL;
    if (slot->conn.phase == LSSB_CONN_OPEN && slot->op == NULL) {
        lssb_conn_close(&slot->conn, client->now + 1);
        lssb_conn_step(&slot->conn, client->now);
    }
    lssb_conn_drop(&slot->conn, false);
    lssb_trace(client, LSSB_TRACE_CLOSED, slot->conn.host, "", 0);
}

/* Whether a connection leads where a target is. */
static bool slot_leads(const struct lssb_slot *slot,
                       const struct lssb_target *target)
{
    return slot->conn.host_port == target->port &&
           slot->conn.host_tls == target->tls &&
           lssb_same_name(slot->conn.host, strlen(slot->conn.host),
                          target->host, target->host_len);
}

/* Whether an idle connection may serve once more: young enough for the server
 * and for the request, and quiet. */
static bool slot_serves(lssb_client *client, struct lssb_slot *slot,
                        const struct lssb_target *target, bool fresh)
{
    uint64_t age = client->now - slot->idle_since;

    if (slot->op != NULL || slot->conn.phase != LSSB_CONN_OPEN ||
        slot->leave != NULL || !slot_leads(slot, target) ||
        (target->tunnel && slot->conn.proxied && !slot->conn.host_tls))
        return false;
    if (age >= slot->keep_alive_ms || (fresh && age >= SLOT_FRESH_MS) ||
        !lssb_conn_quiet(&slot->conn, client->now)) {
        slot_drop(client, slot);
        return false;
    }
    return true;
}

/* An idle connection to the target, or NULL. */
struct lssb_slot *lssb_slot_reuse(lssb_client *client,
                                    const struct lssb_target *target,
                                    bool fresh)
{
    uint32_t i;

    for (i = 0; i < client->slot_count; i++)
        if (slot_serves(client, &client->slots[i], target, fresh))
            return &client->slots[i];
    return NULL;
}

/* A slot for a new connection: an empty one, else the one that has been idle
 * the longest gives way; NULL when all are at work. */
struct lssb_slot *lssb_slot_free(lssb_client *client)
{
    struct lssb_slot *found = NULL;
    uint32_t i;

    for (i = 0; i < client->slot_count; i++) {
        struct lssb_slot *slot = &client->slots[i];

        if (slot->op != NULL)
            continue;
        if (slot->conn.phase == LSSB_CONN_CLOSED)
            return slot;
        if (found == NULL || slot->idle_since < found->idle_since)
            found = slot;
    }
    if (found != NULL)
        slot_drop(client, found);
    return found;
}

bool lssb_slots_claimed(const lssb_client *client)
{
    uint32_t i;

    for (i = 0; i < client->slot_count; i++)
        if (!client->slots[i].claimed)
            return false;
    return true;
}

/* A session to resume at the target, from whichever slot was there last. */
const lssb_tls_ticket *lssb_slot_ticket(lssb_client *client,
                                          const struct lssb_target *target)
{
    uint32_t i;

    if (!target->tls || client->trust.no_resumption)
        return NULL;
    for (i = 0; i < client->slot_count; i++)
        if (client->slots[i].ticket.len > 0 &&
            slot_leads(&client->slots[i], target))
            return &client->slots[i].ticket;
    return NULL;
}

/* Counts the slots at work, for the high-water mark. */
void lssb_slot_note_use(lssb_client *client)
{
    uint32_t i, busy = 0;

    for (i = 0; i < client->slot_count; i++)
        busy += client->slots[i].op != NULL;
    if (busy > client->stats.slots_high)
        client->stats.slots_high = busy;
}

/* Gives an operation's slot back: as an idle connection, or closed. */
void lssb_slot_release(lssb_op *op, bool keep)
{
    struct lssb_slot *slot = lssb_call_slot(op);
    lssb_client *client = lssb_call_client(op);

    if (slot == NULL)
        return;
    op->reserved.state.slot = NULL;
    op->reserved.state.sent = slot->conn.sent_any;
    slot->op = NULL;
    slot->claimed = false;
    slot->full = false;
    slot->idle_since = client->now;
    client->at_once = true;         /* another may be waiting for it */
    if (!keep && slot->leave == NULL)
        slot_drop(client, slot);
}

/* Closes a connection once its farewell is answered, or it is time. */
static void slot_leave(lssb_client *client, struct lssb_slot *slot)
{
    if (!slot->leave(&slot->channel, client->now) &&
        client->now < slot->leave_by)
        return;
    slot->leave = NULL;
    lssb_conn_close(&slot->conn, slot->leave_by);
}

void lssb_slots_step(lssb_client *client)
{
    uint32_t i;

    for (i = 0; i < client->slot_count; i++) {
        struct lssb_slot *slot = &client->slots[i];

        if (slot->op != NULL || slot->conn.phase == LSSB_CONN_CLOSED)
            continue;
        if (slot->conn.phase == LSSB_CONN_CLOSING)
            lssb_conn_step(&slot->conn, client->now);
        else if (slot->leave != NULL)
            slot_leave(client, slot);
        else if (client->now - slot->idle_since >= slot->keep_alive_ms ||
                 !lssb_conn_quiet(&slot->conn, client->now))
            slot_drop(client, slot);
    }
}
