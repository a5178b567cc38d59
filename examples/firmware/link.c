/* link.c: connections over a line of bytes; link.h has the format.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "board.h"
#include "link.h"

static struct {
    /* What goes out: the rest of a frame that the line did not take yet. */
    uint8_t out[3 + 255];
    uint16_t out_at, out_len;

    /* What comes in: the frame at hand. */
    uint8_t head[3];
    uint8_t head_len;
    uint8_t left;                   /* bytes of it that are to come */

    uint8_t number;                 /* of the connection */
    bool dialling;
    bool answered;                  /* by O or F: `answer` */
    lssb_io answer;
    bool ended;
    bool hang_up;                   /* to be sent when there is room */
} line;

/* Sends what waits; true: nothing does any more. */
static bool link_flush(void)
{
    line.out_at = (uint16_t)(line.out_at +
                             board_line_send(line.out + line.out_at,
                                             (size_t)(line.out_len -
                                                      line.out_at)));
    if (line.out_at < line.out_len)
        return false;
    line.out_at = 0;
    line.out_len = 0;
    if (!line.hang_up)
        return true;
    line.hang_up = false;
    line.out[0] = 'C';
    line.out[1] = line.number;
    line.out[2] = 0;
    line.out_len = 3;
    return link_flush();
}

/* Begins a frame; false: the one before it is still on its way. */
static bool link_put(uint8_t kind, const void *bytes, size_t len)
{
    if (!link_flush())
        return false;
    line.out[0] = kind;
    line.out[1] = line.number;
    line.out[2] = (uint8_t)len;
    memcpy(line.out + 3, bytes, len);
    line.out_len = (uint16_t)(3 + len);
    link_flush();
    return true;
}

/* Reads up to a frame's content; true: there is some, in line.left. */
static bool link_next(void)
{
    while (line.left == 0) {
        line.head_len = (uint8_t)(line.head_len +
                                  board_line_receive(
                                      line.head + line.head_len,
                                      (size_t)(3 - line.head_len)));
        if (line.head_len < 3)
            return false;
        line.head_len = 0;
        line.left = line.head[2];
        if (line.head[1] != line.number)
            continue;
        if (line.head[0] == 'O') {
            line.answered = true;
            line.answer = LSSB_IO_OK;
        } else if (line.head[0] == 'C') {
            line.ended = true;
        }
    }
    return true;
}

/* Drops content that nobody wants, and hears why dialling failed. */
static void link_hear(void)
{
    uint8_t byte;

    while (link_next()) {
        if (line.head[1] == line.number && line.head[0] == 'D')
            return;
        if (board_line_receive(&byte, 1) == 0)
            return;
        line.left--;
        if (line.head[1] == line.number && line.head[0] == 'F') {
            line.answered = true;
            line.answer = (lssb_io)-(int)byte;
        }
    }
}

/* Asks for a connection, once; then waits for the answer. */
lssb_io link_dial(void *user, const char *host, uint16_t port)
{
    char target[255];
    size_t len = strlen(host), digits = 1;
    unsigned limit = 10, rest = port;

    (void)user;
    if (!line.dialling) {
        while (rest >= limit && digits < 5) {
            limit *= 10;
            digits++;
        }
        if (len + 1 + digits > sizeof target)
            return LSSB_IO_NOT_FOUND;
        memcpy(target, host, len);
        target[len] = ':';
        for (limit = (unsigned)digits; limit > 0; limit--, rest /= 10)
            target[len + limit] = (char)('0' + rest % 10);
        if (!link_flush())
            return LSSB_IO_AGAIN;
        line.number++;
        line.dialling = true;
        line.answered = false;
        line.ended = false;
        link_put('O', target, len + 1 + digits);
    }
    link_flush();
    link_hear();
    if (!line.answered)
        return LSSB_IO_AGAIN;
    line.dialling = false;
    return line.answer;
}

void link_hang_up(void *user)
{
    (void)user;
    line.dialling = false;
    line.ended = true;
    line.hang_up = true;
    link_flush();
}

ptrdiff_t link_send(void *user, const void *bytes, size_t len)
{
    (void)user;
    if (len > 255)
        len = 255;
    return link_put('D', bytes, len) ? (ptrdiff_t)len
                                     : (ptrdiff_t)LSSB_IO_AGAIN;
}

ptrdiff_t link_receive(void *user, void *bytes, size_t len)
{
    size_t n;

    (void)user;
    link_flush();
    link_hear();
    if (line.left == 0 || line.head[0] != 'D' ||
        line.head[1] != line.number)
        return line.ended ? 0 : (ptrdiff_t)LSSB_IO_AGAIN;
    n = board_line_receive(bytes, len < line.left ? len : line.left);
    line.left = (uint8_t)(line.left - n);
    return n > 0 ? (ptrdiff_t)n : (ptrdiff_t)LSSB_IO_AGAIN;
}
