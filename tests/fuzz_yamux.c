/* fuzz_yamux.c: yamux sessions of both sides, their peers and their users.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte chooses the side, the second how the
 * input is split; the rest is a script of frames that come, of bytes that come
 * as they are, and of what the user does. However it is split, what is told and
 * what is sent is the same; the promises of the contract hold after every call.
 */
#include <stdlib.h>

#include "src/internal.h"

#define STREAMS 6
#define ROOM 600000                 /* for bytes that wait to be taken */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* A session's user: what was told and sent, as hashes, and what may be told of
 * each stream. */
struct user {
    struct lssb_yamux session;
    struct lssb_yamux_stream streams[STREAMS];
    bool finished[STREAMS];
    bool holding[STREAMS];          /* takes nothing */
    bool quiet[STREAMS];            /* reset: nothing more is told */
    uint64_t now;
    uint64_t told;
    uint64_t sent;
    uint64_t taken;
    size_t first;                   /* bytes of the first piece */
    size_t singly;                  /* bytes that then come one by one */
    bool wrong;
    size_t in_len;
    uint8_t in[ROOM];
};

static void mix(uint64_t *hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len-- > 0)
        *hash = (*hash ^ *at++) * UINT64_C(1099511628211);
}

static void mix_number(uint64_t *hash, uint64_t number)
{
    mix(hash, &number, sizeof number);
}

/* ---------------------------------------------------------------- the user */

/* What holds at any time. */
static void check(const struct user *user)
{
    uint32_t count = 0, unacked = 0;
    int i;

    for (i = 0; i < STREAMS; i++) {
        const struct lssb_yamux_stream *stream = &user->streams[i];

        if (stream->id == 0)
            continue;
        count++;
        unacked += stream->own.unacked;
        must(!(stream->finished && stream->peer_finished &&
               stream->own.due == 0));
    }
    must(count == user->session.streams);
    must(unacked == user->session.unacked);
    must(unacked <= LSSB_YAMUX_UNACKED);
    must(user->session.own.reply_count <= LSSB_YAMUX_REPLIES);
}

/* A place for a stream, or NULL. */
static struct lssb_yamux_stream *place(struct user *user, uint8_t how)
{
    static const uint32_t windows[] = { 0, 1, 30000, 1u << 20 };
    int i;

    for (i = 0; i < STREAMS; i++)
        if (user->streams[i].id == 0)
            break;
    if (i == STREAMS)
        return NULL;
    memset(&user->streams[i], 0, sizeof user->streams[i]);
    user->streams[i].window = windows[how & 3];
    user->streams[i].window_most = (how & 4) != 0 ? UINT32_MAX : 0;
    user->finished[i] = user->holding[i] = user->quiet[i] = false;
    return &user->streams[i];
}

/* Sends whatever there is, control frames before data. */
static void send_all(struct user *user)
{
    uint8_t out[12 * 5];
    struct lssb_yamux_stream *stream;
    uint32_t most;
    size_t len;
    int turns = 0;

    while ((len = lssb_yamux_control(&user->session, out, sizeof out)) > 0) {
        must(len % 12 == 0 && len <= sizeof out);
        mix(&user->sent, out, len);
        check(user);
    }
    must(!lssb_yamux_has_control(&user->session));
    while (turns++ < 3 &&
           (stream = lssb_yamux_turn(&user->session, &most)) != NULL) {
        must(most > 0 && most == stream->send_window && !stream->finished);
        len = most < 70000 ? most : 70000;
        lssb_yamux_commit(&user->session, len, out);
        must(stream->send_window == most - len);
        mix(&user->sent, out, 12);
    }
}

/* What the user does with one of its streams, or with the session. */
static void act(struct user *user, uint8_t what, uint8_t which)
{
    struct lssb_yamux *session = &user->session;
    int i = which % STREAMS;
    struct lssb_yamux_stream *stream = &user->streams[i];

    switch (what % 12) {
    case 0:
        if ((stream = place(user, which)) != NULL)
            mix_number(&user->told, lssb_yamux_open(session, stream));
        break;
    case 1:
        lssb_yamux_want(session, stream, (which & 64) == 0);
        break;
    case 2:
        lssb_yamux_finish(session, stream);
        break;
    case 3:
        user->quiet[i] = true;
        lssb_yamux_reset(session, stream);
        break;
    case 4:
        lssb_yamux_consumed(session, stream, (size_t)which << 12);
        break;
    case 5:
        lssb_yamux_set_window(session, stream, (uint32_t)which << 14);
        break;
    case 6:
        user->holding[i] = !user->holding[i];
        break;
    case 7:
        user->now += (uint64_t)which * 200;
        mix_number(&user->told, lssb_yamux_tick(session, user->now));
        break;
    case 8:
        lssb_yamux_ping(session);
        break;
    case 9:
        if (which > 250)
            lssb_yamux_go_away(session, LSSB_YAMUX_NORMAL);
        break;
    default:
        send_all(user);
        break;
    }
    mix_number(&user->told, lssb_yamux_wake_at(session));
    check(user);
}

/* --------------------------------------------------------------- the input */

/* Data: taken in two parts, or not at all. */
static size_t on_data(struct user *user, const uint8_t *piece, size_t len)
{
    struct lssb_yamux *session = &user->session;
    struct lssb_yamux_stream *stream = session->stream;
    size_t offered = session->data_len, first = offered / 2;
    size_t i = (size_t)(stream - user->streams);

    must(session->data >= piece && session->data + offered <= piece + len);
    must(offered > 0 && !user->finished[i] && !user->quiet[i]);
    must(offered <= stream->own.receive_window);
    if (user->holding[i]) {
        must(lssb_yamux_take(session, 0) == 0);
        must(lssb_yamux_held(session, &stream) < UINT32_MAX);
        must(stream == session->stream);
        return 0;
    }
    must(lssb_yamux_take(session, first) == first);
    must(lssb_yamux_take(session, offered - first) == offered - first);
    must(stream->unconsumed >= offered);
    user->taken += offered;
    return offered;
}

/* What was told goes into the hash; data only as its sum, at other events. */
static void note(struct user *user, enum lssb_yamux_event event)
{
    struct lssb_yamux *session = &user->session;
    struct lssb_yamux_stream *stream = session->stream;

    if (event == LSSB_YAMUX_FULL || event == LSSB_YAMUX_MORE ||
        event == LSSB_YAMUX_DATA)
        return;
    mix_number(&user->told, (uint64_t)event);
    mix_number(&user->told, user->taken);
    if (event == LSSB_YAMUX_GO_AWAY)
        mix_number(&user->told, session->code);
    else if (event == LSSB_YAMUX_WRONG)
        mix(&user->told, session->wrong, strlen(session->wrong));
    else if (event != LSSB_YAMUX_PONG)
        mix_number(&user->told, session->id);
    if (event == LSSB_YAMUX_FINISHED || event == LSSB_YAMUX_RESET ||
        event == LSSB_YAMUX_ACKED || event == LSSB_YAMUX_WRITABLE)
        must(!user->quiet[stream - user->streams]);
    if (event == LSSB_YAMUX_FINISHED) {
        must(!user->finished[stream - user->streams]);
        user->finished[stream - user->streams] = true;
    }
    must(event != LSSB_YAMUX_RESET || stream->id == 0);
}

/* Feeds one piece, in memory of exactly its size; the bytes that were used. */
static size_t feed(struct user *user, const uint8_t *bytes, size_t len)
{
    uint8_t *piece = malloc(len);
    enum lssb_yamux_event event = LSSB_YAMUX_FULL;
    struct lssb_yamux_stream *stream;
    size_t at = 0, used;

    if (piece == NULL)
        abort();
    memcpy(piece, bytes, len);
    while (event != LSSB_YAMUX_MORE && !user->wrong) {
        event = lssb_yamux_next(&user->session, piece + at, len - at, &used);
        must(used <= len - at);
        at += used;
        user->wrong = event == LSSB_YAMUX_WRONG;
        note(user, event);
        if (event == LSSB_YAMUX_DATA) {
            used = on_data(user, piece, len);
            at += used;
            if (used == 0)
                break;
        } else if (event == LSSB_YAMUX_OPENED && user->session.id % 11 != 0 &&
                   (stream = place(user, (uint8_t)user->session.id)) != NULL) {
            lssb_yamux_accept(&user->session, stream);
            must(stream->id == user->session.id);
        } else if (event == LSSB_YAMUX_FULL) {
            send_all(user);
        }
        check(user);
    }
    must(event != LSSB_YAMUX_MORE || at == len);
    free(piece);
    return at;
}

/* Feeds what waits: a first piece, some byte by byte, then the rest. */
static void drain(struct user *user)
{
    size_t at = 0, n = user->first, used;

    while (at < user->in_len && !user->wrong) {
        n = n > 0 && n < user->in_len - at ? n : user->in_len - at;
        used = feed(user, user->in + at, n);
        at += used;
        if (used < n)
            break;
        n = at < user->first + user->singly ? 1 : user->in_len;
    }
    memmove(user->in, user->in + at, user->in_len - at);
    user->in_len -= at;
}

static void come(struct user *user, const uint8_t *bytes, size_t len)
{
    if (len > ROOM - user->in_len)
        return;
    if (bytes != NULL)
        memcpy(user->in + user->in_len, bytes, len);
    else
        memset(user->in + user->in_len, 0, len);
    user->in_len += len;
    drain(user);
}

/* A frame: type and flags, id, and which of the lengths. */
static void come_frame(struct user *user, const uint8_t *script)
{
    static const uint32_t lengths[] = { 0,      1,      2,      5000,
                                        131072, 131071, 262144, 262145,
                                        70000,  12,     1u << 31, UINT32_MAX,
                                        UINT32_MAX - 262144 };
    uint32_t length = lengths[script[2] % 13];
    uint8_t frame[12] = { 0 };

    frame[1] = script[0] % 4;
    frame[3] = script[0] >> 2 & 15;
    frame[7] = frame[1] < 2 ? script[1] % 32 : 0;
    frame[8] = (uint8_t)(length >> 24);
    frame[9] = (uint8_t)(length >> 16);
    frame[10] = (uint8_t)(length >> 8);
    frame[11] = (uint8_t)length;
    come(user, frame, sizeof frame);
    if (frame[1] == 0 && length < ROOM)
        come(user, NULL, length);
}

/* ---------------------------------------------------------------- one input */

/* Runs a script: pieces of four bytes, or bytes as they are. */
static void run(struct user *user, uint8_t how, const uint8_t *script,
                size_t len, size_t first, size_t singly)
{
    memset(user, 0, offsetof(struct user, in));
    user->first = first;
    user->singly = singly;
    lssb_yamux_start(&user->session, (how & 1) != 0, 0);
    for (; len >= 4; script += 4, len -= 4) {
        size_t n = script[1] % 32;

        if (script[0] % 8 < 5)
            come_frame(user, script + 1);
        else if (script[0] % 8 < 7)
            act(user, script[1], script[2]);
        else if (n <= len - 4) {
            come(user, script + 4, n);
            script += n;
            len -= n;
        }
    }
    drain(user);
    send_all(user);
    check(user);
}

static void must_be_same(const struct user *a, const struct user *b)
{
    must(a->told == b->told && a->sent == b->sent);
    must(a->taken == b->taken && a->wrong == b->wrong);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct user whole, split, bytes;

    if (size < 6 || size > 1000)
        return 0;
    run(&whole, data[0], data + 2, size - 2, 0, 0);
    run(&split, data[0], data + 2, size - 2, data[1], 0);
    run(&bytes, data[0], data + 2, size - 2, 1, 40);
    must_be_same(&whole, &split);
    must_be_same(&whole, &bytes);
    return 0;
}
