/* yamux.c: streams over one connection (the yamux protocol, version 0).
 *
 * SPDX-License-Identifier: MIT
 *
 * An engine for both sides: bytes in, events and bytes out. Frames are read
 * into nothing but their header of 12 bytes; data is passed on as it lies in
 * the input. A stream stands in a table by its id, and in up to two lines:
 * those with frames that go before all data, and those that may send data.
 */
#include "internal.h"

enum { YAMUX_DATA = 0, YAMUX_WINDOW = 1, YAMUX_PING = 2, YAMUX_GO_AWAY = 3 };

enum { YAMUX_SYN = 1, YAMUX_ACK = 2, YAMUX_FIN = 4, YAMUX_RST = 8 };

/* What is next of the input. */
enum yamux_state {
    YAMUX_IN_HEADER = 0,
    YAMUX_IN_FRAME,                 /* its flags are still to be told */
    YAMUX_IN_OPENING,               /* told, and not accepted */
    YAMUX_IN_DATA,
    YAMUX_IN_SWALLOWED,             /* data that nobody waits for */
    YAMUX_BROKEN
};

/* The lines that streams stand in. */
enum { YAMUX_CONTROL = 0, YAMUX_SENDING = 1 };

/* Frames of a stream that are to go, in this order; RST instead of the rest. */
enum {
    YAMUX_DUE_SYN = 1,
    YAMUX_DUE_ACK = 2,
    YAMUX_DUE_CREDIT = 4,
    YAMUX_DUE_FIN = 8,
    YAMUX_DUE_RST = 16
};

#define YAMUX_WORTH 16384           /* bytes of credit that are worth a frame,
                                       although more could be collected */
#define YAMUX_ENDLESS (1u << 28)    /* ms: a round trip that is none */
#define YAMUX_CUTS 6                /* of patience, each to a quarter */
#define YAMUX_FLOWS_MS 1000         /* without holding back: it flows on */

/* A ping, or a go away, of ours. */
enum { YAMUX_NONE = 0, YAMUX_QUEUED, YAMUX_SENT };

/* ------------------------------------------------------- streams, in lines */

/* Puts a stream at the end of a line, unless it stands there. */
static void yamux_join(struct lssb_yamux *session,
                       struct lssb_yamux_stream *stream, int line)
{
    struct lssb_yamux_stream *last = session->own.last[line];

    if ((stream->own.queued & 1 << line) != 0)
        return;
    stream->own.queued = (uint8_t)(stream->own.queued | 1 << line);
    stream->own.before[line] = last;
    stream->own.behind[line] = NULL;
    if (last == NULL)
        session->own.first[line] = stream;
    else
        last->own.behind[line] = stream;
    session->own.last[line] = stream;
}

/* Takes a stream out of a line, if it stands there. */
static void yamux_leave(struct lssb_yamux *session,
                        struct lssb_yamux_stream *stream, int line)
{
    struct lssb_yamux_stream *before = stream->own.before[line];
    struct lssb_yamux_stream *behind = stream->own.behind[line];

    if ((stream->own.queued & 1 << line) == 0)
        return;
    stream->own.queued = (uint8_t)(stream->own.queued & ~(1 << line));
    if (before == NULL)
        session->own.first[line] = behind;
    else
        before->own.behind[line] = behind;
    if (behind == NULL)
        session->own.last[line] = before;
    else
        behind->own.before[line] = before;
}

/* Where the table's chain for an id begins. */
static struct lssb_yamux_stream **yamux_chain(struct lssb_yamux *session,
                                              uint32_t id)
{
    return &session->own.table[(id >> 1) % LSSB_YAMUX_BUCKETS];
}

/* The stream with an id, or NULL. */
static struct lssb_yamux_stream *yamux_find(struct lssb_yamux *session,
                                            uint32_t id)
{
    struct lssb_yamux_stream *stream = *yamux_chain(session, id);

    while (stream != NULL && stream->id != id)
        stream = stream->own.chain;
    return stream;
}

/* Makes a stream the session's; what the user has set stays. */
static void yamux_attach(struct lssb_yamux *session,
                         struct lssb_yamux_stream *stream, uint32_t id)
{
    struct lssb_yamux_stream **chain = yamux_chain(session, id);
    struct lssb_yamux_stream fresh;

    memset(&fresh, 0, sizeof fresh);
    fresh.user = stream->user;
    fresh.window = stream->window != 0 ? stream->window : LSSB_YAMUX_WINDOW;
    fresh.window_most = stream->window_most;
    fresh.id = id;
    fresh.send_window = LSSB_YAMUX_WINDOW;
    fresh.own.receive_window = LSSB_YAMUX_WINDOW;
    fresh.own.credit_at = session->own.now;
    fresh.own.chain = *chain;
    *stream = fresh;
    *chain = stream;
    session->streams++;
}

/* The stream has got its ACK, or needs it no more. */
static void yamux_settle(struct lssb_yamux *session,
                         struct lssb_yamux_stream *stream)
{
    if (stream->own.unacked)
        session->unacked--;
    stream->own.unacked = false;
}

/* Lets go of a stream: from here on its memory is the user's. */
static void yamux_release(struct lssb_yamux *session,
                          struct lssb_yamux_stream *stream)
{
    struct lssb_yamux_stream **at = yamux_chain(session, stream->id);

    while (*at != stream)
        at = &(*at)->own.chain;
    *at = stream->own.chain;
    yamux_leave(session, stream, YAMUX_CONTROL);
    yamux_leave(session, stream, YAMUX_SENDING);
    yamux_settle(session, stream);
    if (session->own.in == stream)
        session->own.in = NULL;
    stream->id = 0;
    session->streams--;
}

/* Lets go of it once both directions are finished and our FIN is written. */
static void yamux_release_finished(struct lssb_yamux *session,
                                   struct lssb_yamux_stream *stream)
{
    if (stream->finished && stream->peer_finished && stream->own.due == 0)
        yamux_release(session, stream);
}

/* A frame of the stream is to go. */
static void yamux_due(struct lssb_yamux *session,
                      struct lssb_yamux_stream *stream, int due)
{
    stream->own.due = (uint8_t)(stream->own.due | due);
    yamux_join(session, stream, YAMUX_CONTROL);
}

/* Whether the stream may send data now: then it stands in the line. */
static void yamux_line_up(struct lssb_yamux *session,
                          struct lssb_yamux_stream *stream)
{
    if (stream->own.wants && stream->send_window > 0)
        yamux_join(session, stream, YAMUX_SENDING);
    else
        yamux_leave(session, stream, YAMUX_SENDING);
}

/* ------------------------------------------------------------------ session */

void lssb_yamux_start(struct lssb_yamux *session, bool server, uint64_t now)
{
    memset(session, 0, sizeof *session);
    session->server = server;
    session->accepts = server;
    session->ping_interval_ms = 30000;
    session->ping_timeout_ms = 20000;
    session->least_round_trip_ms = UINT32_MAX;
    session->own.now = now;
    session->own.heard_at = now;
    session->own.ping_at = now;
    session->own.next_id = server ? 2 : 1;
}

void lssb_yamux_ping(struct lssb_yamux *session)
{
    if (session->own.ping != YAMUX_NONE)
        return;
    session->own.ping = YAMUX_QUEUED;
    session->own.ping_value++;
    session->own.ping_at = session->own.now;
}

/* When a peer that stays silent counts as dead. */
static uint64_t yamux_dead_at(const struct lssb_yamux *session)
{
    uint64_t since = session->own.ping_at;

    if (session->ping_timeout_ms == 0)
        return UINT64_MAX;
    if (session->own.heard_at > since)
        since = session->own.heard_at;
    return since + session->ping_timeout_ms;
}

bool lssb_yamux_tick(struct lssb_yamux *session, uint64_t now)
{
    bool doubted = session->own.doubted;

    session->own.now = now;
    session->own.doubted = session->own.ping != YAMUX_NONE &&
                           now >= yamux_dead_at(session);
    if (session->own.doubted)
        return !doubted;            /* its answer may wait to be read */
    if (session->own.ping != YAMUX_NONE)
        return true;
    if (session->ping_interval_ms != 0 && now >= session->own.ping_at)
        lssb_yamux_ping(session);
    return true;
}

uint64_t lssb_yamux_wake_at(const struct lssb_yamux *session)
{
    if (session->own.ping != YAMUX_NONE)
        return yamux_dead_at(session);
    return session->ping_interval_ms != 0 ? session->own.ping_at : UINT64_MAX;
}

void lssb_yamux_go_away(struct lssb_yamux *session, enum lssb_yamux_code code)
{
    if (session->own.state == YAMUX_BROKEN)
        return;
    session->going_away = true;
    session->own.away_code = (uint32_t)code;
    session->own.away = YAMUX_QUEUED;
}

/* Ends the session for a mistake of the peer's. */
static enum lssb_yamux_event yamux_wrong(struct lssb_yamux *session,
                                         const char *wrong)
{
    lssb_yamux_go_away(session, LSSB_YAMUX_PROTOCOL);
    session->wrong = wrong;
    session->own.state = YAMUX_BROKEN;
    return LSSB_YAMUX_WRONG;
}

/* ------------------------------------------------------------- holding back */

/* What the clock shows that stands still while a stream holds back. */
static uint64_t yamux_idle_clock(const struct lssb_yamux *session)
{
    return session->own.now - session->own.held_ms;
}

/* How long the stream has held back: what was counted, and now is more or less
 * of it. */
static uint32_t yamux_held_ms(const struct lssb_yamux *session,
                              const struct lssb_yamux_stream *stream)
{
    uint64_t clock = stream->own.holding ? session->own.now
                                         : yamux_idle_clock(session);
    uint64_t passed = clock - stream->own.held_at;
    uint32_t ms = passed < UINT32_MAX ? (uint32_t)passed : UINT32_MAX;

    if (!stream->own.holding)
        return ms < stream->own.held_ms ? stream->own.held_ms - ms : 0;
    return ms < UINT32_MAX - stream->own.held_ms ? stream->own.held_ms + ms
                                                 : UINT32_MAX;
}

/* Begins or ends to count. Once what the peer could have sent when it began
 * has been taken, whatever waited behind it has been read, and the count
 * begins anew: a stream that is slow, but not too slow, may go on for ever. */
static void yamux_hold(struct lssb_yamux *session,
                       struct lssb_yamux_stream *stream, uint32_t took,
                       bool holding)
{
    if (took == 0 && holding == stream->own.holding)
        return;
    stream->own.held_ms = yamux_held_ms(session, stream);
    if (stream->own.holding) {
        session->own.held_ms += session->own.now - stream->own.held_at;
        session->own.free_at = session->own.now;
    } else if (holding &&
               session->own.now - session->own.free_at >= YAMUX_FLOWS_MS) {
        session->own.cuts = 0;
    }
    stream->own.holding = holding;
    stream->own.held_at =
        holding ? session->own.now : yamux_idle_clock(session);
    if (took < stream->own.held_left) {
        stream->own.held_left -= took;
    } else {
        if (stream->own.held_left > 0)
            session->own.cuts = 0;
        stream->own.held_ms = 0;
        stream->own.held_left = 0;
    }
    if (holding && stream->own.held_left == 0)
        stream->own.held_left = stream->own.receive_window;
}

/* -------------------------------------------------------------- for streams */

enum lssb_yamux_opening lssb_yamux_open(struct lssb_yamux *session,
                                        struct lssb_yamux_stream *stream)
{
    if (session->going_away)
        return LSSB_YAMUX_CLOSED;
    if (session->own.next_id == 0)
        return LSSB_YAMUX_NO_IDS;
    if (session->unacked >= LSSB_YAMUX_UNACKED)
        return LSSB_YAMUX_LATER;
    yamux_attach(session, stream, session->own.next_id);
    session->own.next_id =
        session->own.next_id < UINT32_MAX - 1 ? session->own.next_id + 2 : 0;
    stream->own.unacked = true;
    session->unacked++;
    yamux_due(session, stream, YAMUX_DUE_SYN);
    return LSSB_YAMUX_OPEN;
}

void lssb_yamux_accept(struct lssb_yamux *session,
                       struct lssb_yamux_stream *stream)
{
    if (session->own.state != YAMUX_IN_OPENING)
        return;
    yamux_attach(session, stream, session->own.frame_id);
    stream->acked = true;
    session->own.in = stream;
    session->own.state = YAMUX_IN_FRAME;
    session->stream = stream;
    yamux_due(session, stream, YAMUX_DUE_ACK);
}

void lssb_yamux_finish(struct lssb_yamux *session,
                       struct lssb_yamux_stream *stream)
{
    if (stream->id == 0 || stream->finished || stream->own.reset)
        return;
    lssb_yamux_want(session, stream, false);
    stream->finished = true;
    yamux_due(session, stream, YAMUX_DUE_FIN);
}

void lssb_yamux_reset(struct lssb_yamux *session,
                      struct lssb_yamux_stream *stream)
{
    if (stream->id == 0 || stream->own.reset)
        return;
    if ((stream->own.due & YAMUX_DUE_SYN) != 0) {
        yamux_release(session, stream);     /* the peer has not heard of it */
        return;
    }
    stream->own.reset = true;
    yamux_hold(session, stream, 0, false);
    yamux_due(session, stream, YAMUX_DUE_RST);
}

uint32_t lssb_yamux_patience(const struct lssb_yamux *session, uint32_t ms)
{
    return ms >> 2 * session->own.cuts;
}

void lssb_yamux_cut_patience(struct lssb_yamux *session)
{
    if (session->own.cuts < YAMUX_CUTS)
        session->own.cuts++;
}

void lssb_yamux_want(struct lssb_yamux *session,
                     struct lssb_yamux_stream *stream, bool wants)
{
    if (stream->id == 0 || stream->finished || stream->own.reset)
        return;
    stream->own.wants = wants;
    yamux_line_up(session, stream);
}

/* ------------------------------------------------------------------- credit */

/* How much more the peer may send than it knows of. */
static uint32_t yamux_credit(const struct lssb_yamux_stream *stream)
{
    uint64_t given = (uint64_t)stream->own.receive_window + stream->unconsumed;

    if (stream->peer_finished || stream->own.reset || given >= stream->window)
        return 0;
    return (uint32_t)(stream->window - given);
}

/* The credit that is worth a frame: a quarter of a window, so that a peer far
 * away never waits for it; half of a small one. */
static uint32_t yamux_worth(const struct lssb_yamux_stream *stream)
{
    return stream->window / 4 >= YAMUX_WORTH ? stream->window / 4
                                             : stream->window / 2;
}

/* Lets the window grow when a quarter of it went by in less than a round trip,
 * half of it in less than two: then the peer has waited for credit, not for
 * us. */
static void yamux_grow(const struct lssb_yamux *session,
                       struct lssb_yamux_stream *stream, uint32_t credit)
{
    uint64_t took = session->own.now - stream->own.credit_at;
    uint64_t round_trip = session->least_round_trip_ms;

    stream->own.credit_at = session->own.now;
    if (stream->window >= stream->window_most ||
        round_trip >= YAMUX_ENDLESS || took / 4 > round_trip ||
        took * stream->window >= round_trip * 4 * credit)
        return;
    stream->window = stream->window < stream->window_most / 2
                         ? stream->window * 2
                         : stream->window_most;
}

/* Whether there is credit that is worth a frame. */
static bool yamux_credit_is_due(const struct lssb_yamux_stream *stream)
{
    uint32_t credit = yamux_credit(stream);

    return credit > 0 && credit >= yamux_worth(stream);
}

void lssb_yamux_consumed(struct lssb_yamux *session,
                         struct lssb_yamux_stream *stream, size_t len)
{
    if (stream->id == 0)
        return;
    stream->unconsumed -=
        len < stream->unconsumed ? (uint32_t)len : stream->unconsumed;
    if ((stream->own.due & YAMUX_DUE_CREDIT) != 0 ||
        !yamux_credit_is_due(stream))
        return;
    yamux_grow(session, stream, yamux_credit(stream));
    yamux_due(session, stream, YAMUX_DUE_CREDIT);
}

void lssb_yamux_set_window(struct lssb_yamux *session,
                           struct lssb_yamux_stream *stream, uint32_t window)
{
    stream->window = window != 0 ? window : LSSB_YAMUX_WINDOW;
    if (stream->id != 0 && yamux_credit_is_due(stream))
        yamux_due(session, stream, YAMUX_DUE_CREDIT);
}

/* ------------------------------------------------------------------- output */

static uint32_t yamux_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
           (uint32_t)at[2] << 8 | at[3];
}

static void yamux_put(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 24);
    at[1] = (uint8_t)(number >> 16);
    at[2] = (uint8_t)(number >> 8);
    at[3] = (uint8_t)number;
}

static void yamux_put_header(uint8_t *out, int type, int flags, uint32_t id,
                             uint32_t length)
{
    out[0] = 0;
    out[1] = (uint8_t)type;
    out[2] = 0;
    out[3] = (uint8_t)flags;
    yamux_put(out + 4, id);
    yamux_put(out + 8, length);
}

/* Keeps an answer that belongs to no stream here; false: no more of them. */
static bool yamux_reply(struct lssb_yamux *session, int type, int flags,
                        uint32_t value)
{
    unsigned at = session->own.reply_first + session->own.reply_count;

    if (session->own.reply_count == LSSB_YAMUX_REPLIES)
        return false;
    at %= LSSB_YAMUX_REPLIES;
    session->own.replies[at].value = value;
    session->own.replies[at].flags = (uint16_t)flags;
    session->own.replies[at].type = (uint8_t)type;
    session->own.reply_count++;
    return true;
}

/* Writes the oldest answer. */
static void yamux_write_reply(struct lssb_yamux *session, uint8_t *out)
{
    unsigned at = session->own.reply_first;
    uint32_t value = session->own.replies[at].value;
    int type = session->own.replies[at].type;
    bool is_ping = type == YAMUX_PING;

    yamux_put_header(out, type, session->own.replies[at].flags,
                     is_ping ? 0 : value, is_ping ? value : 0);
    session->own.reply_first = (uint8_t)((at + 1) % LSSB_YAMUX_REPLIES);
    session->own.reply_count--;
}

/* Writes the next frame of the stream at the head of the line; false: there
 * was none, after all. */
static bool yamux_write_stream(struct lssb_yamux *session,
                               struct lssb_yamux_stream *stream, uint8_t *out)
{
    int due = stream->own.due, flags = 0;
    uint32_t credit = 0;

    if ((due & YAMUX_DUE_RST) != 0) {
        yamux_put_header(out, YAMUX_WINDOW, YAMUX_RST, stream->id, 0);
        yamux_release(session, stream);
        return true;
    }
    if ((due & ~YAMUX_DUE_FIN) != 0) {
        credit = yamux_credit(stream);
        flags = (due & YAMUX_DUE_SYN) != 0   ? YAMUX_SYN
                : (due & YAMUX_DUE_ACK) != 0 ? YAMUX_ACK
                                             : 0;
        if (flags == YAMUX_SYN)
            stream->own.credit_at = session->own.now;   /* until its ACK */
        stream->own.due = (uint8_t)(due & YAMUX_DUE_FIN);
        stream->own.receive_window += credit;
    } else {
        flags = YAMUX_FIN;
        stream->own.due = 0;
    }
    yamux_put_header(out, YAMUX_WINDOW, flags, stream->id, credit);
    if (stream->own.due == 0)
        yamux_leave(session, stream, YAMUX_CONTROL);
    yamux_release_finished(session, stream);
    return flags != 0 || credit != 0;
}

/* Writes one frame; false: there is none. */
static bool yamux_write(struct lssb_yamux *session, uint8_t *out)
{
    if (session->own.away == YAMUX_QUEUED) {
        yamux_put_header(out, YAMUX_GO_AWAY, 0, 0, session->own.away_code);
        session->own.away = YAMUX_SENT;
        return true;
    }
    if (session->own.state == YAMUX_BROKEN)
        return false;
    if (session->own.reply_count > 0) {
        yamux_write_reply(session, out);
        return true;
    }
    if (session->own.ping == YAMUX_QUEUED) {
        yamux_put_header(out, YAMUX_PING, YAMUX_SYN, 0,
                         session->own.ping_value);
        session->own.ping = YAMUX_SENT;
        session->own.ping_sent_at = session->own.now;
        return true;
    }
    while (session->own.first[YAMUX_CONTROL] != NULL)
        if (yamux_write_stream(session, session->own.first[YAMUX_CONTROL],
                               out))
            return true;
    return false;
}

size_t lssb_yamux_control(struct lssb_yamux *session, uint8_t *out, size_t room)
{
    size_t len = 0;

    while (room - len >= LSSB_YAMUX_HEADER && yamux_write(session, out + len))
        len += LSSB_YAMUX_HEADER;
    return len;
}

bool lssb_yamux_has_control(const struct lssb_yamux *session)
{
    if (session->own.away == YAMUX_QUEUED)
        return true;
    if (session->own.state == YAMUX_BROKEN)
        return false;
    return session->own.reply_count > 0 || session->own.ping == YAMUX_QUEUED ||
           session->own.first[YAMUX_CONTROL] != NULL;
}

struct lssb_yamux_stream *lssb_yamux_turn(struct lssb_yamux *session,
                                          uint32_t *most)
{
    struct lssb_yamux_stream *stream = session->own.first[YAMUX_SENDING];

    *most = 0;
    if (stream == NULL || session->own.state == YAMUX_BROKEN ||
        lssb_yamux_has_control(session))
        return NULL;
    *most = stream->send_window;
    return stream;
}

void lssb_yamux_commit(struct lssb_yamux *session, size_t len, uint8_t *header)
{
    struct lssb_yamux_stream *stream = session->own.first[YAMUX_SENDING];

    yamux_put_header(header, YAMUX_DATA, 0, stream->id, (uint32_t)len);
    stream->send_window -= (uint32_t)len;
    yamux_leave(session, stream, YAMUX_SENDING);
    yamux_line_up(session, stream);
}

/* -------------------------------------------------------------------- input */

/* Collects a frame's header; false: more bytes, please. */
static bool yamux_collect(struct lssb_yamux *session, const uint8_t *bytes,
                          size_t len, size_t *used)
{
    size_t want = (size_t)(LSSB_YAMUX_HEADER - session->own.header_len);
    size_t n = len - *used < want ? len - *used : want;

    if (n > 0)
        memcpy(session->own.header + session->own.header_len, bytes + *used, n);
    *used += n;
    session->own.header_len = (uint8_t)(session->own.header_len + n);
    return n == want;
}

/* Reads a header. */
static enum lssb_yamux_event yamux_header(struct lssb_yamux *session)
{
    const uint8_t *header = session->own.header;

    session->own.header_len = 0;
    session->own.type = header[1];
    session->own.flags = (uint16_t)(header[2] << 8 | header[3]);
    session->own.frame_id = yamux_get(header + 4);
    session->own.left = yamux_get(header + 8);
    if (header[0] != 0)
        return yamux_wrong(session, "a frame's version is not 0");
    if (session->own.type > YAMUX_GO_AWAY)
        return yamux_wrong(session, "a frame has an unknown type");
    if (session->own.type >= YAMUX_PING && session->own.frame_id != 0)
        return yamux_wrong(session, "a ping or go away is for a stream");
    if (session->own.type < YAMUX_PING && session->own.frame_id == 0)
        return yamux_wrong(session, "data or credit is for stream 0");
    session->own.in = yamux_find(session, session->own.frame_id);
    session->own.state = YAMUX_IN_FRAME;
    return LSSB_YAMUX_MORE;
}

/* Goes on behind a frame's header, whose flags need nothing any more. */
static enum lssb_yamux_event yamux_skip(struct lssb_yamux *session)
{
    session->own.state = session->own.type == YAMUX_DATA ? YAMUX_IN_SWALLOWED
                                                         : YAMUX_IN_HEADER;
    return LSSB_YAMUX_MORE;
}

/* Tells an event of the stream whose frame it is. */
static enum lssb_yamux_event yamux_tell(struct lssb_yamux *session,
                                        enum lssb_yamux_event event)
{
    session->stream = session->own.in;
    session->id = session->own.frame_id;
    return event;
}

/* Refuses what is wrong with one stream only; the frame's data goes unread. */
static enum lssb_yamux_event yamux_refuse(struct lssb_yamux *session)
{
    if (!yamux_reply(session, YAMUX_WINDOW, YAMUX_RST, session->own.frame_id))
        return LSSB_YAMUX_FULL;
    return yamux_skip(session);
}

/* Something that was sent at a time is answered. */
static void yamux_measure(struct lssb_yamux *session, uint64_t sent_at)
{
    uint64_t took = session->own.now - sent_at;

    session->round_trip_ms = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    if (session->round_trip_ms < session->least_round_trip_ms)
        session->least_round_trip_ms = session->round_trip_ms;
}

/* A ping, or the answer to one. An answer to none is no harm. */
static enum lssb_yamux_event yamux_ping_frame(struct lssb_yamux *session)
{
    session->value = session->own.left;
    if ((session->own.flags & YAMUX_SYN) != 0) {
        if (!yamux_reply(session, YAMUX_PING, YAMUX_ACK, session->value))
            return LSSB_YAMUX_FULL;
        return yamux_skip(session);
    }
    yamux_skip(session);
    if (session->own.ping != YAMUX_SENT ||
        session->value != session->own.ping_value)
        return LSSB_YAMUX_MORE;
    session->own.ping = YAMUX_NONE;
    session->own.ping_at += session->ping_interval_ms;
    yamux_measure(session, session->own.ping_sent_at);
    return LSSB_YAMUX_PONG;
}

static enum lssb_yamux_event yamux_go_away_frame(struct lssb_yamux *session)
{
    session->going_away = true;
    session->code = session->own.left;
    yamux_skip(session);
    return LSSB_YAMUX_GO_AWAY;
}

/* A stream of the peer's. */
static enum lssb_yamux_event yamux_syn(struct lssb_yamux *session)
{
    bool even = session->own.frame_id % 2 == 0;

    if (even == session->server)
        return yamux_wrong(session, "a stream is opened with an id of ours");
    if (session->own.in != NULL)
        return yamux_wrong(session, "a stream is opened twice");
    if ((session->own.flags & YAMUX_RST) != 0)
        return yamux_skip(session);
    if (!session->accepts || session->own.away != YAMUX_NONE)
        return yamux_refuse(session);
    session->own.flags &= (uint16_t)~(YAMUX_SYN | YAMUX_ACK);
    session->own.state = YAMUX_IN_OPENING;
    return yamux_tell(session, LSSB_YAMUX_OPENED);
}

static const char yamux_never_opened[] =
    "a frame is for a stream never opened";

/* A frame for a stream that is not in use: one that has ended, most likely. */
static enum lssb_yamux_event yamux_stray(struct lssb_yamux *session)
{
    uint32_t id = session->own.frame_id, next = session->own.next_id;

    if ((id % 2 == 0) == session->server && next != 0 && id >= next)
        return yamux_wrong(session, yamux_never_opened);
    return yamux_skip(session);
}

/* The peer has reset the stream: nothing is told if so have we. */
static enum lssb_yamux_event yamux_rst(struct lssb_yamux *session)
{
    struct lssb_yamux_stream *stream = session->own.in;
    bool quiet = stream->own.reset;

    yamux_tell(session, LSSB_YAMUX_RESET);
    yamux_release(session, stream);
    yamux_skip(session);
    return quiet ? LSSB_YAMUX_MORE : LSSB_YAMUX_RESET;
}

/* Credit from the peer. */
static enum lssb_yamux_event yamux_window_frame(struct lssb_yamux *session)
{
    struct lssb_yamux_stream *stream = session->own.in;
    uint32_t window = stream->send_window, credit = session->own.left;

    session->own.left = 0;
    if (credit > UINT32_MAX - window)
        return yamux_wrong(session, "a window is larger than 2^32-1");
    if (credit == 0)
        return LSSB_YAMUX_MORE;
    stream->send_window += credit;
    yamux_line_up(session, stream);
    if (window > 0 || stream->finished)
        return LSSB_YAMUX_MORE;
    return yamux_tell(session, LSSB_YAMUX_WRITABLE);
}

/* The length of a frame with data, before any of it is read. Data behind a FIN
 * ends the stream: both sides hear of it, and no byte is missed unnoticed. */
static enum lssb_yamux_event yamux_data_frame(struct lssb_yamux *session)
{
    struct lssb_yamux_stream *stream = session->own.in;

    if (session->own.left > stream->own.receive_window)
        return yamux_wrong(session, "a stream's data overruns its window");
    if (session->own.left > 0 && stream->peer_finished) {
        yamux_tell(session, LSSB_YAMUX_RESET);
        if (yamux_refuse(session) == LSSB_YAMUX_FULL)
            return LSSB_YAMUX_FULL;
        stream->peer_finished = false;  /* that was no end, after all */
        yamux_release(session, stream);
        return LSSB_YAMUX_RESET;
    }
    session->own.state = YAMUX_IN_DATA;
    return LSSB_YAMUX_MORE;
}

/* The frame is read; its FIN, if it has one, counts from here. */
static enum lssb_yamux_event yamux_frame_end(struct lssb_yamux *session)
{
    struct lssb_yamux_stream *stream = session->own.in;
    bool news = (session->own.flags & YAMUX_FIN) != 0 && !stream->peer_finished;

    session->own.state = YAMUX_IN_HEADER;
    if (!news)
        return LSSB_YAMUX_MORE;
    stream->peer_finished = true;
    yamux_tell(session, LSSB_YAMUX_FINISHED);
    yamux_release_finished(session, stream);
    return LSSB_YAMUX_FINISHED;
}

/* A frame of a stream, flag by flag: what is told is taken off. */
static enum lssb_yamux_event yamux_stream_frame(struct lssb_yamux *session)
{
    struct lssb_yamux_stream *stream = session->own.in;
    enum lssb_yamux_event event;

    if ((session->own.flags & YAMUX_SYN) != 0)
        return yamux_syn(session);
    if (stream == NULL)
        return yamux_stray(session);
    if ((stream->own.due & YAMUX_DUE_SYN) != 0)
        return yamux_wrong(session, yamux_never_opened);
    if ((session->own.flags & YAMUX_RST) != 0)
        return yamux_rst(session);
    if (stream->own.reset)
        return yamux_skip(session);
    if (stream->own.unacked) {      /* any frame will do: a peer that got FIN
                                       early may never say ACK */
        yamux_settle(session, stream);
        yamux_measure(session, stream->own.credit_at);
        stream->own.credit_at = session->own.now;
        stream->acked = true;
        return yamux_tell(session, LSSB_YAMUX_ACKED);
    }
    if (session->own.type == YAMUX_DATA)
        return yamux_data_frame(session);
    event = yamux_window_frame(session);
    return event != LSSB_YAMUX_MORE ? event : yamux_frame_end(session);
}

/* Goes on with a frame whose header is read; MORE: there is nothing to tell. */
static enum lssb_yamux_event yamux_frame(struct lssb_yamux *session)
{
    if (session->own.type == YAMUX_PING)
        return yamux_ping_frame(session);
    if (session->own.type == YAMUX_GO_AWAY)
        return yamux_go_away_frame(session);
    return yamux_stream_frame(session);
}

/* Data that somebody waits for: offered, and consumed by lssb_yamux_take. */
static enum lssb_yamux_event yamux_data(struct lssb_yamux *session,
                                        const uint8_t *bytes, size_t len)
{
    session->data = bytes;
    session->data_len = len < session->own.left ? len : session->own.left;
    return yamux_tell(session, LSSB_YAMUX_DATA);
}

/* Passes over data; whether that was all of it. */
static bool yamux_swallow(struct lssb_yamux *session, size_t len, size_t *used)
{
    uint32_t left = session->own.left;
    size_t n = len - *used < left ? len - *used : left;

    *used += n;
    session->own.left -= (uint32_t)n;
    if (session->own.left == 0)
        session->own.state = YAMUX_IN_HEADER;
    return session->own.left == 0;
}

enum lssb_yamux_event lssb_yamux_next(struct lssb_yamux *session,
                                      const uint8_t *bytes, size_t len,
                                      size_t *used)
{
    enum lssb_yamux_event event = LSSB_YAMUX_MORE;

    *used = 0;
    session->data_len = 0;
    if (len > 0)
        session->own.heard_at = session->own.now;
    while (event == LSSB_YAMUX_MORE) {
        struct lssb_yamux_stream *in = session->own.in;

        switch ((enum yamux_state)session->own.state) {
        case YAMUX_IN_HEADER:
            if (!yamux_collect(session, bytes, len, used))
                return LSSB_YAMUX_MORE;
            event = yamux_header(session);
            break;
        case YAMUX_IN_OPENING:
            event = yamux_refuse(session);
            break;
        case YAMUX_IN_FRAME:
            event = yamux_frame(session);
            break;
        case YAMUX_IN_DATA:
            if (in == NULL || in->own.reset)
                yamux_skip(session);
            else if (session->own.left == 0)
                event = yamux_frame_end(session);
            else if (*used == len)
                return LSSB_YAMUX_MORE;
            else
                event = yamux_data(session, bytes + *used, len - *used);
            break;
        case YAMUX_IN_SWALLOWED:
            if (!yamux_swallow(session, len, used))
                return LSSB_YAMUX_MORE;
            break;
        case YAMUX_BROKEN:
            return LSSB_YAMUX_WRONG;
        }
    }
    return event;
}

size_t lssb_yamux_take(struct lssb_yamux *session, size_t len)
{
    struct lssb_yamux_stream *stream = session->own.in;
    uint32_t took = (uint32_t)len;

    if (stream == NULL || session->own.state != YAMUX_IN_DATA ||
        len > session->data_len)
        return 0;
    session->own.left -= took;
    stream->own.receive_window -= took;
    stream->unconsumed += took;
    yamux_hold(session, stream, took, len < session->data_len);
    session->data += len;
    session->data_len -= len;
    return len;
}

uint32_t lssb_yamux_held(const struct lssb_yamux *session,
                         struct lssb_yamux_stream **stream)
{
    struct lssb_yamux_stream *in = session->own.in;

    *stream = NULL;
    if (in == NULL || session->own.state != YAMUX_IN_DATA || !in->own.holding)
        return 0;
    *stream = in;
    return yamux_held_ms(session, in);
}
