/* fuzz_yamux.c: yamux sessions of both sides from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte chooses the side and what its user does,
 * the second where the input is split; the rest is what the peer sends. What
 * is told, and what is sent, is the same however it is split; every promise of
 * the contract holds after every call.
 */
#include <stdlib.h>

#include "src/internal.h"

#define STREAMS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* A session's user: what was told and sent, as hashes, and a model of what may
 * be told of each stream. */
struct user {
    struct lssb_yamux session;
    struct lssb_yamux_stream streams[STREAMS];
    bool finished[STREAMS];
    uint64_t told;
    uint64_t sent;
    uint64_t taken;
    uint8_t how;
    bool wrong;
};

static void mix(uint64_t *hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len-- > 0)
        *hash = (*hash ^ *at++) * UINT64_C(1099511628211);
}

static void mix_number(uint64_t *hash, uint32_t number)
{
    mix(hash, &number, sizeof number);
}

static void open_stream(struct user *user, int i)
{
    memset(&user->streams[i], 0, sizeof user->streams[i]);
    user->streams[i].window = (user->how & 4) != 0 ? 20 : 0;
    user->streams[i].window_most = (user->how & 8) != 0 ? UINT32_MAX : 0;
    user->finished[i] = false;
    lssb_yamux_open(&user->session, &user->streams[i]);
}

/* Accepts into a place that is free, if there is one. */
static void accept_stream(struct user *user)
{
    int i;

    for (i = 0; i < STREAMS; i++)
        if (user->streams[i].id == 0)
            break;
    if (i == STREAMS)
        return;
    memset(&user->streams[i], 0, sizeof user->streams[i]);
    user->finished[i] = false;
    lssb_yamux_accept(&user->session, &user->streams[i]);
    must(user->streams[i].id == user->session.id);
}

/* Sends whatever there is, control frames before data. */
static void send_all(struct user *user)
{
    uint8_t out[12 * 5];
    uint32_t most;
    struct lssb_yamux_stream *stream;
    size_t len;
    int turns = 0;

    while ((len = lssb_yamux_control(&user->session, out, sizeof out)) > 0) {
        must(len % 12 == 0 && len <= sizeof out);
        mix(&user->sent, out, len);
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

/* What a user does because of an event. */
static void act(struct user *user, enum lssb_yamux_event event)
{
    struct lssb_yamux_stream *stream = user->session.stream;

    if (event == LSSB_YAMUX_OPENED && user->session.id % 5 != 0)
        accept_stream(user);
    if (event == LSSB_YAMUX_ACKED)
        lssb_yamux_want(&user->session, stream, true);
    if (event == LSSB_YAMUX_FINISHED && (user->how & 16) != 0)
        lssb_yamux_finish(&user->session, stream);
    if (event == LSSB_YAMUX_WRITABLE && (user->how & 32) != 0)
        lssb_yamux_reset(&user->session, stream);
    if (event == LSSB_YAMUX_FULL)
        send_all(user);
}

/* Data: taken in part first, and consumed or not. */
static size_t on_data(struct user *user, const uint8_t *piece, size_t len)
{
    struct lssb_yamux *session = &user->session;
    struct lssb_yamux_stream *stream = session->stream;
    size_t offered = session->data_len, first = offered / 2;

    must(session->data >= piece && session->data + offered <= piece + len);
    must(offered > 0 && !user->finished[stream - user->streams]);
    must(lssb_yamux_take(session, first) == first);
    must(lssb_yamux_take(session, offered - first) == offered - first);
    must(stream->unconsumed >= offered || (user->how & 64) != 0);
    if ((user->how & 64) != 0)
        lssb_yamux_consumed(session, stream, offered);
    user->taken += offered;
    return offered;
}

/* What was told goes into the hash; data only as its sum, at other events. */
static void note(struct user *user, enum lssb_yamux_event event)
{
    struct lssb_yamux *session = &user->session;

    if (event == LSSB_YAMUX_FULL || event == LSSB_YAMUX_MORE)
        return;
    mix_number(&user->told, (uint32_t)event);
    mix(&user->told, &user->taken, sizeof user->taken);
    if (event == LSSB_YAMUX_GO_AWAY)
        mix_number(&user->told, session->code);
    else if (event == LSSB_YAMUX_WRONG)
        mix(&user->told, session->wrong, strlen(session->wrong));
    else if (event != LSSB_YAMUX_PONG)
        mix_number(&user->told, session->id);
    if (event == LSSB_YAMUX_FINISHED) {
        must(!user->finished[session->stream - user->streams]);
        user->finished[session->stream - user->streams] = true;
    }
    must(event != LSSB_YAMUX_RESET || session->stream->id == 0);
}

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
        must((uint64_t)stream->own.receive_window + stream->unconsumed <=
             (stream->window > 262144 ? stream->window : 262144));
    }
    must(count == user->session.streams);
    must(unacked == user->session.unacked);
}

/* Feeds one piece, in memory of exactly its size. */
static void feed(struct user *user, const uint8_t *bytes, size_t len)
{
    uint8_t *piece = malloc(len > 0 ? len : 1);
    enum lssb_yamux_event event = LSSB_YAMUX_FULL;
    size_t at = 0, used;

    if (piece == NULL)
        return;
    memcpy(piece, bytes, len);
    while (event != LSSB_YAMUX_MORE && !user->wrong) {
        event = lssb_yamux_next(&user->session, piece + at, len - at, &used);
        must(used <= len - at);
        at += used;
        user->wrong = event == LSSB_YAMUX_WRONG;
        if (event == LSSB_YAMUX_DATA)
            at += on_data(user, piece, len);
        else
            note(user, event);
        act(user, event);
        check(user);
    }
    must(user->wrong || at == len);
    free(piece);
}

/* A session that is fed the input in pieces: a first one, then others. */
static void run(struct user *user, uint8_t how, const uint8_t *data,
                size_t size, size_t first, size_t rest)
{
    size_t at = 0, len = first;
    int i;

    memset(user, 0, sizeof *user);
    user->how = how;
    lssb_yamux_start(&user->session, (how & 1) != 0, 0);
    lssb_yamux_tick(&user->session, 5);
    for (i = 0; (how & 2) != 0 && i < 3; i++)
        open_stream(user, i);
    send_all(user);
    while (at < size && !user->wrong) {
        len = len < size - at ? len : size - at;
        feed(user, data + at, len);
        at += len;
        len = rest;
    }
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
    size_t first;

    if (size < 3)
        return 0;
    first = 1 + data[1] % (size - 2);
    run(&whole, data[0], data + 2, size - 2, size - 2, size - 2);
    run(&split, data[0], data + 2, size - 2, first, size - 2);
    run(&bytes, data[0], data + 2, size - 2, 1, 1);
    must_be_same(&whole, &split);
    must_be_same(&whole, &bytes);
    return 0;
}
