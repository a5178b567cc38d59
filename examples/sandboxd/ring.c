/* ring.c: the last bytes of an output, and text made of them.
 *
 * SPDX-License-Identifier: MIT
 *
 * A ring takes everything and keeps what fits: the oldest bytes give way, so
 * that nobody who reads slowly, or not at all, holds a command up. Places in
 * it are offsets in bytes since the output began (PROTOCOL 5.6).
 */
#include <stdlib.h>

#include "sandboxd.h"

/* Copies bytes of the ring, from a place on. */
static void ring_copy(const struct ring *ring, uint64_t at, char *to,
                      size_t len)
{
    size_t place = (size_t)(at % ring->size);
    size_t first = ring->size - place < len ? ring->size - place : len;

    memcpy(to, ring->at + place, first);
    memcpy(to + first, ring->at, len - first);
}

/* Takes output in. Memory comes with the first of it. */
void ring_add(struct ring *ring, const char *bytes, size_t len)
{
    if (ring->at == NULL)
        ring->at = take(ring->size);
    while (len > 0) {
        size_t place = (size_t)(ring->to % ring->size);
        size_t room = ring->size - place;
        size_t piece = len < room ? len : room;

        memcpy(ring->at + place, bytes, piece);
        ring->to += piece;
        bytes += piece;
        len -= piece;
    }
    if (ring->to - ring->from > ring->size)
        ring->from = ring->to - ring->size;
}

/* Forgets the oldest bytes. */
void ring_drop(struct ring *ring, uint64_t len)
{
    uint64_t held = ring->to - ring->from;

    ring->from += len < held ? len : held;
}

/* Forgets everything. */
void ring_free(struct ring *ring)
{
    free(ring->at);
    ring->at = NULL;
    ring->from = ring->to;
}

/* Whether bytes begin a character that more bytes could complete. */
static bool ring_is_part(const char *bytes, size_t len)
{
    const uint8_t *at = (const uint8_t *)bytes;
    uint8_t left, low, most;
    size_t i;

    if (at[0] < 0x80 || !lssb_json_utf8_lead(at[0], &left, &low, &most) ||
        len > left)
        return false;
    for (i = 1; i < len; i++) {
        if (at[i] < (i == 1 ? low : 0x80) || at[i] > (i == 1 ? most : 0xBF))
            return false;
    }
    return true;
}

/* A place that the ring still has, for one up to its end; behind dropped
 * bytes, at the beginning of a character if one is near. */
static uint64_t ring_place(const struct ring *ring, uint64_t at)
{
    int i;
    char byte;

    if (at >= ring->from)
        return at;
    at = ring->from;
    for (i = 0; i < 3 && at < ring->to; i++) {
        ring_copy(ring, at, &byte, 1);
        if (((uint8_t)byte & 0xC0) != 0x80)
            break;
        at++;
    }
    return i < 3 ? at : ring->from;
}

/* Makes text of what lies behind *at, at most `most` bytes (4 or more) of whole
 * characters; each byte that belongs to none is a U+FFFD, as Go's JSON encoder
 * does it. *at moves to where the text begins; returns how many bytes of
 * output it stands for, 0 when there is none. A character that is not whole
 * yet is waited for, unless the output has ended. */
size_t ring_text(const struct ring *ring, uint64_t *at, size_t most,
                 bool ended, struct bytes *text)
{
    size_t len, used = 0;
    char *bytes;

    *at = ring_place(ring, *at);
    text->len = 0;
    len = ring->to - *at < most ? (size_t)(ring->to - *at) : most;
    ended = ended && *at + len == ring->to;
    bytes = take(len);
    if (len > 0)
        ring_copy(ring, *at, bytes, len);
    while (used < len) {
        size_t good = lssb_utf8_valid(bytes + used, len - used);

        if (good > most - text->len) {
            good = most - text->len;
            good = lssb_utf8_valid(bytes + used, good);
        }
        bytes_add(text, bytes + used, good);
        used += good;
        if (used == len || text->len + 3 > most ||
            (!ended && ring_is_part(bytes + used, len - used)))
            break;
        if (lssb_utf8_valid(bytes + used, len - used) == 0) {
            bytes_add(text, "\xEF\xBF\xBD", 3);
            used++;
        } else if (good == 0) {
            break;                  /* a character that has no room now */
        }
    }
    free(bytes);
    return used;
}
