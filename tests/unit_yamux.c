/* unit_yamux.c: yamux sessions of both sides.
 *
 * SPDX-License-Identifier: MIT
 *
 * Most rows are frames, and the story that the engine tells of them. A frame
 * is "D" (data), "W" (window), "P" (ping) or "G" (go away), its flags out of
 * "SAFR" or "-", the stream and the length; data comes with it. Every row is
 * fed whole, byte by byte, and in two pieces split at every place; each piece
 * in memory of exactly its size; data of one stream is told as one. The last
 * part joins two sessions and walks at random.
 */
#include <stdlib.h>

#include "test.h"

#include "src/internal.h"

/* --------------------------------------------------------------------- text */

/* What is told, and what was sent. */
struct story {
    char text[4096];
    size_t len;
};

static void tell(struct story *story, const char *format, const char *word,
                 unsigned long a, unsigned long b)
{
    size_t room = sizeof story->text - story->len;
    int n;

    if (story->len > 0 && room > 3) {
        memcpy(story->text + story->len, " | ", 4);
        story->len += 3;
        room -= 3;
    }
    n = snprintf(story->text + story->len, room, format, word, a, b);
    if (n > 0)
        story->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void put32(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 24);
    at[1] = (uint8_t)(number >> 16);
    at[2] = (uint8_t)(number >> 8);
    at[3] = (uint8_t)number;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
           (uint32_t)at[2] << 8 | at[3];
}

/* The bytes of frames in words; their length. "V" has version 1, "T" type 4,
 * "d" is data of which only the header comes. */
static size_t frames(uint8_t *out, size_t room, const char *text)
{
    static const char types[] = "DWPG", flags[] = "SAFR";
    size_t len = 0;
    char type, flag[8];
    unsigned long id, length, i;
    int n;

    while (sscanf(text, " %c %7s %lu %lu%n", &type, flag, &id, &length, &n) ==
           4) {
        const char *kind = strchr(types, type);
        const char *f;

        if (len + 12 + (type == 'D' ? length : 0) > room)
            break;
        memset(out + len, 0, 12);
        out[len] = type == 'V';
        out[len + 1] = (uint8_t)(kind != NULL  ? kind - types
                                 : type == 'T' ? 4
                                               : 0);
        for (f = flag; *f != '\0'; f++)
            if (strchr(flags, *f) != NULL)
                out[len + 3] = (uint8_t)(out[len + 3] |
                                         1 << (strchr(flags, *f) - flags));
        put32(out + len + 4, (uint32_t)id);
        put32(out + len + 8, (uint32_t)length);
        len += 12;
        for (i = 0; type == 'D' && i < length; i++)
            out[len++] = (uint8_t)i;
        text += n;
        text += strspn(text, " |");
    }
    EXPECT_STR(text, "");
    return len;
}

/* Tells frames that were sent. */
static void tell_frames(struct story *story, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at + 12 <= len) {
        char word[16];
        int n = 0, i;

        word[n++] = bytes[at + 1] < 4 ? "DWPG"[bytes[at + 1]] : '?';
        word[n++] = ' ';
        for (i = 0; i < 4; i++)
            if ((bytes[at + 3] & 1 << i) != 0)
                word[n++] = "SAFR"[i];
        if (n == 2)
            word[n++] = '-';
        word[n] = '\0';
        EXPECT_INT(bytes[at], 0);
        EXPECT_INT(bytes[at + 2], 0);
        tell(story, "%s %lu %lu", word, get32(bytes + at + 4),
             get32(bytes + at + 8));
        at += 12 + (bytes[at + 1] == 0 ? get32(bytes + at + 8) : 0);
    }
    EXPECT_INT(at, len);
}

/* ------------------------------------------------------------------ a table */

enum {
    SERVER = 1,
    ACCEPT = 2,                     /* what the peer opens, three at most */
    FINISH = 4,                     /* each stream, when the peer has */
    FINISH_FIRST = 8,               /* those we open, at once */
    RESET_ON_DATA = 16,
    RESET_ON_OPEN = 32,
    KEEP = 64,                      /* taken, never consumed */
    LEAVE = 128,                    /* going away from the beginning */
    QUIET = 256,                    /* the opening's frames are not told */
    RESET_FIRST = 512,              /* those we open, at once, SYN sent */
    UP = 1024 | QUIET               /* those we open have their ACK */
};

struct row {
    int how;
    int open;                       /* streams that we open first */
    const char *input;
    const char *story;
    const char *sent;
};

struct user {
    struct lssb_yamux session;
    struct lssb_yamux_stream streams[3];
    int how;
    struct story story;
    struct story sent;
    uint32_t data_id;               /* whose data is being told */
    unsigned long data_len;
};

static void send_control(struct user *user, bool told)
{
    uint8_t out[12 * 40];
    size_t len;

    while ((len = lssb_yamux_control(&user->session, out, sizeof out)) > 0)
        if (told)
            tell_frames(&user->sent, out, len);
    EXPECT(!lssb_yamux_has_control(&user->session));
}

static void tell_data(struct user *user)
{
    if (user->data_len > 0)
        tell(&user->story, "%s %lu: %lu", "data", user->data_id,
             user->data_len);
    user->data_len = 0;
}

static void on_opened(struct user *user)
{
    struct lssb_yamux_stream *stream = NULL;
    int i;

    tell(&user->story, "%s %lu", "opened", user->session.id, 0);
    for (i = 0; i < 3; i++)
        if (user->streams[i].id == 0)
            stream = &user->streams[i];
    if ((user->how & ACCEPT) == 0 || stream == NULL)
        return;
    memset(stream, 0, sizeof *stream);
    lssb_yamux_accept(&user->session, stream);
    EXPECT_INT(stream->id, user->session.id);
    EXPECT(stream->acked && user->session.stream == stream);
    if ((user->how & RESET_ON_OPEN) != 0)
        lssb_yamux_reset(&user->session, stream);
}

static size_t on_data(struct user *user)
{
    struct lssb_yamux_stream *stream = user->session.stream;
    size_t len = user->session.data_len;

    EXPECT(len > 0);
    if (user->data_id != user->session.id)
        tell_data(user);
    user->data_id = user->session.id;
    if ((user->how & RESET_ON_DATA) != 0) {
        tell(&user->story, "%s %lu", "reset by us", user->session.id, 0);
        lssb_yamux_reset(&user->session, stream);
        return 0;
    }
    user->data_len += (unsigned long)len;
    EXPECT_INT(lssb_yamux_take(&user->session, len), len);
    EXPECT_INT(user->session.data_len, 0);
    if ((user->how & KEEP) == 0)
        lssb_yamux_consumed(&user->session, stream, len);
    return len;
}

/* What an event is called; those of no stream have no id. */
static void tell_event(struct user *user, enum lssb_yamux_event event)
{
    struct lssb_yamux *session = &user->session;

    switch (event) {
    case LSSB_YAMUX_ACKED:
        tell(&user->story, "%s %lu", "acked", session->id, 0);
        EXPECT(session->stream->acked);
        break;
    case LSSB_YAMUX_FINISHED:
        tell(&user->story, "%s %lu%c", "finished", session->id,
             session->stream->id == 0 ? '.' : ' ');
        if ((user->how & FINISH) != 0)
            lssb_yamux_finish(session, session->stream);
        break;
    case LSSB_YAMUX_RESET:
        tell(&user->story, "%s %lu", "reset", session->id, 0);
        EXPECT_INT(session->stream->id, 0);
        break;
    case LSSB_YAMUX_WRITABLE:
        tell(&user->story, "%s %lu", "writable", session->id, 0);
        break;
    case LSSB_YAMUX_PONG:
        tell(&user->story, "%s %lu", "pong", session->value, 0);
        break;
    case LSSB_YAMUX_GO_AWAY:
        tell(&user->story, "%s %lu", "go away", session->code, 0);
        EXPECT(session->going_away);
        break;
    case LSSB_YAMUX_WRONG:
        tell(&user->story, "wrong: %s", session->wrong, 0, 0);
        break;
    case LSSB_YAMUX_OPENED:
    case LSSB_YAMUX_DATA:
    case LSSB_YAMUX_FULL:
    case LSSB_YAMUX_MORE:
        break;
    }
}

/* One call with a piece; the bytes that are used, *again: call again. */
static size_t feed_once(struct user *user, const uint8_t *piece, size_t len,
                        bool *again)
{
    size_t used;
    enum lssb_yamux_event event =
        lssb_yamux_next(&user->session, piece, len, &used);

    EXPECT(used <= len);
    *again = event != LSSB_YAMUX_MORE && event != LSSB_YAMUX_WRONG;
    if (event == LSSB_YAMUX_MORE)
        EXPECT_INT(used, len);
    else if (event == LSSB_YAMUX_FULL)
        send_control(user, true);
    else if (event != LSSB_YAMUX_DATA)
        tell_data(user);
    if (event == LSSB_YAMUX_OPENED)
        on_opened(user);
    else if (event == LSSB_YAMUX_DATA)
        used += on_data(user);
    else if (user->story.text[0] == '\0' || event != LSSB_YAMUX_WRONG ||
             strstr(user->story.text, "wrong") == NULL)
        tell_event(user, event);
    return used;
}

static void feed(struct user *user, const uint8_t *bytes, size_t len)
{
    uint8_t *piece = malloc(len > 0 ? len : 1);
    size_t at = 0;
    bool again = true;

    if (piece == NULL)
        return;
    memcpy(piece, bytes, len);
    while (again)
        at += feed_once(user, piece + at, len - at, &again);
    free(piece);
}

/* Every stream of ours is accepted; nothing is told of it. */
static void ack_all(struct user *user)
{
    uint8_t bytes[36];
    char words[32];
    int i;

    for (i = 0; i < 3 && user->streams[i].id != 0; i++) {
        snprintf(words, sizeof words, "W A %lu 0",
                 (unsigned long)user->streams[i].id);
        feed(user, bytes, frames(bytes, sizeof bytes, words));
    }
    EXPECT_INT(user->session.unacked, 0);
    user->story.len = 0;
    user->story.text[0] = '\0';
}

static void begin(struct user *user, const struct row *row)
{
    int i;

    memset(user, 0, sizeof *user);
    user->how = row->how;
    lssb_yamux_start(&user->session, (row->how & SERVER) != 0, 0);
    user->session.ping_interval_ms = 0;
    for (i = 0; i < row->open; i++) {
        EXPECT_INT(lssb_yamux_open(&user->session, &user->streams[i]),
                   LSSB_YAMUX_OPEN);
        if ((row->how & FINISH_FIRST) != 0)
            lssb_yamux_finish(&user->session, &user->streams[i]);
    }
    send_control(user, (row->how & QUIET) == 0);
    if ((row->how & UP) == UP)
        ack_all(user);
    for (i = 0; i < row->open && (row->how & RESET_FIRST) != 0; i++)
        lssb_yamux_reset(&user->session, &user->streams[i]);
    if ((row->how & LEAVE) != 0)
        lssb_yamux_go_away(&user->session, LSSB_YAMUX_NORMAL);
}

static void finish(struct user *user, const struct row *row)
{
    char name[300];

    snprintf(name, sizeof name, "%s", row->input);
    test_row = name;
    tell_data(user);
    send_control(user, true);
    EXPECT_STR(user->story.text, row->story);
    EXPECT_STR(user->sent.text, row->sent);
    test_row = "";
}

static void check_row(const struct row *row)
{
    static uint8_t bytes[300000];
    static struct user user;
    size_t len = frames(bytes, sizeof bytes, row->input), split, i;

    for (split = 0; split <= len && split < 400; split++) {
        begin(&user, row);
        feed(&user, bytes, split);
        feed(&user, bytes + split, len - split);
        finish(&user, row);
        if (test_failures > 0)
            return;
    }
    begin(&user, row);
    for (i = 0; i < len && i < 3000; i++)
        feed(&user, bytes + i, 1);
    feed(&user, bytes + i, len - i);
    finish(&user, row);
}

#define CHECK(rows) \
    do { \
        size_t check_i; \
        for (check_i = 0; check_i < sizeof(rows) / sizeof(rows)[0]; check_i++) \
            check_row(&(rows)[check_i]); \
    } while (0)

static void streams_that_we_open(void)
{
    static const struct row rows[] = {
        { 0, 1, "", "", "W S 1 0" },
        { 0, 2, "W A 1 0 | W A 3 0", "acked 1 | acked 3",
          "W S 1 0 | W S 3 0" },
        { QUIET, 1, "D A 1 5", "acked 1 | data 1: 5", "" },
        /* Data before its ACK, and an ACK that comes twice. */
        { QUIET, 1, "D - 1 5 | W A 1 0 | W A 1 0 | D A 1 3",
          "acked 1 | data 1: 8", "" },
        /* None at all: any frame says that the peer has accepted it. */
        { QUIET, 3, "D - 1 5 | W F 3 0 | W - 5 1",
          "acked 1 | data 1: 5 | acked 3 | finished 3  | acked 5", "" },
        { QUIET, 2, "D A 3 2 | D A 1 2 | D - 3 1",
          "acked 3 | data 3: 2 | acked 1 | data 1: 2 | data 3: 1", "" },
        /* Refused. */
        { UP, 1, "W R 1 0 | D - 1 9 | W - 1 1", "reset 1", "" },
        { UP, 1, "W AR 1 0", "reset 1", "" },
        /* A server opens even ones. */
        { SERVER, 2, "W A 2 0 | D A 4 1", "acked 2 | acked 4 | data 4: 1",
          "W S 2 0 | W S 4 0" }
    };

    CHECK(rows);
}

static void streams_that_the_peer_opens(void)
{
    static const struct row rows[] = {
        { SERVER | ACCEPT, 0, "W S 1 0", "opened 1", "W A 1 0" },
        { SERVER | ACCEPT, 0, "D S 1 3 | D - 1 2",
          "opened 1 | data 1: 5", "W A 1 5" },
        { SERVER | ACCEPT, 0, "W S 5 0 | W S 3 100000",
          "opened 5 | opened 3", "W A 5 0 | W A 3 0" },
        { SERVER | ACCEPT | FINISH, 0, "D SF 1 4", "opened 1 | data 1: 4 | "
          "finished 1 ", "W A 1 0 | W F 1 0" },
        /* Not accepted: its data is swallowed. */
        { SERVER, 0, "W S 1 0 | D - 1 7 | W - 1 9 | W F 1 0", "opened 1",
          "W R 1 0" },
        { SERVER, 0, "D S 1 30", "opened 1", "W R 1 0" },
        /* More than there is room for. */
        { SERVER | ACCEPT, 0, "W S 1 0 | W S 3 0 | W S 5 0 | W S 7 0 | D - 7 2 "
          "| D - 1 2",
          "opened 1 | opened 3 | opened 5 | opened 7 | data 1: 2",
          "W R 7 0 | W A 1 2 | W A 3 0 | W A 5 0" },
        /* An id that was used may be used again: one cannot know. */
        { SERVER | ACCEPT, 0, "W S 1 0 | W R 1 0 | W S 1 0",
          "opened 1 | reset 1 | opened 1", "W A 1 0" },
        { SERVER | ACCEPT, 0, "W SR 1 0 | D SR 3 5 | W - 1 1", "", "" },
        { SERVER | ACCEPT | RESET_ON_OPEN, 0, "D SF 1 5 | D - 1 3",
          "opened 1", "W R 1 0" },
        /* A client expects none, and a server that goes away neither. */
        { ACCEPT, 0, "W S 2 0 | D - 2 4 | D S 4 9", "", "W R 2 0 | W R 4 0" },
        { SERVER | ACCEPT | LEAVE, 0, "W S 1 0 | D - 1 5", "",
          "G - 0 0 | W R 1 0" }
    };

    CHECK(rows);
}

static void each_direction_ends_by_itself_and_once(void)
{
    static const struct row rows[] = {
        { QUIET, 1, "W AF 1 0", "acked 1 | finished 1 ", "" },
        { UP, 1, "D F 1 0 | D - 1 0 | W - 1 9", "finished 1 ", "" },
        { UP, 1, "D F 1 5", "data 1: 5 | finished 1 ", "" },
        { UP | FINISH, 1, "D F 1 5", "data 1: 5 | finished 1 ",
          "W F 1 0" },
        /* A second one. */
        { UP, 1, "W F 1 0 | W F 1 0 | D F 1 0", "finished 1 ", "" },
        { UP | FINISH, 1, "W F 1 0 | D F 1 0 | D - 1 4", "finished 1  | "
          "reset 1", "W R 1 0" },
        /* Close before ACK: data still comes, and FIN ends it. */
        { FINISH_FIRST | FINISH, 1, "D A 1 4 | D F 1 3 | D - 1 6",
          "acked 1 | data 1: 7 | finished 1.",
          "W S 1 0 | W F 1 0" },
        { FINISH_FIRST | UP, 1, "W F 1 0 | W A 1 0 | W R 1 0",
          "finished 1.", "" },
        /* Data behind a FIN. */
        { UP, 2, "W F 1 0 | D - 3 1 | D - 1 4 | D - 3 1",
          "finished 1  | data 3: 1 | reset 1 | data 3: 1", "W R 1 0" },
        { UP, 1, "W F 1 0 | D - 1 4 | W - 1 8", "finished 1  | reset 1",
          "W R 1 0" },
        { FINISH_FIRST | UP, 1, "W - 1 4294705151 | W F 1 0",
          "finished 1.", "" }
    };

    CHECK(rows);
}

static void a_reset_ends_both_directions(void)
{
    static const struct row rows[] = {
        { UP, 2, "D R 1 5 | D - 3 1", "reset 1 | data 3: 1", "" },
        { UP, 1, "W RF 1 5 | D - 1 1 | W F 1 0 | W A 1 0", "reset 1", "" },
        { UP, 1, "W F 1 0 | W R 1 0", "finished 1  | reset 1", "" },
        { FINISH_FIRST | UP, 1, "W R 1 0", "reset 1", "" },
        { SERVER | ACCEPT, 0, "W S 1 0 | W R 1 0 | W R 1 0", "opened 1 | "
          "reset 1", "" },
        { SERVER | ACCEPT, 0, "D S 1 9 | W R 1 0", "opened 1 | data 1: 9 | "
          "reset 1", "" },
        /* Ours: its data is swallowed from there on, other streams go on. */
        { UP | RESET_ON_DATA, 1, "D - 1 100 | D - 1 8 | W F 1 0",
          "reset by us 1", "W R 1 0" },
        { UP | RESET_FIRST, 1, "D A 1 9 | W - 1 1 | W F 1 0", "",
          "W R 1 0" },
        /* Both at once. */
        { UP | RESET_FIRST, 1, "W R 1 0 | D - 1 1", "", "" },
        { SERVER | ACCEPT | RESET_ON_OPEN, 0, "W S 1 0 | D - 1 5 | W R 1 0 | "
          "W S 3 0", "opened 1 | opened 3", "W R 3 0" }
    };

    CHECK(rows);
}

static void pings_are_answered_and_go_aways_told(void)
{
    static const struct row rows[] = {
        { 0, 0, "P S 0 7 | P S 0 4294967295", "",
          "P A 0 7 | P A 0 4294967295" },
        { SERVER, 0, "P S 0 0 | W S 1 0", "opened 1", "P A 0 0 | W R 1 0" },
        { 0, 0, "P A 0 1 | P - 0 3", "", "" },
        { QUIET, 1, "G - 0 0 | D A 1 4 | D F 1 1",
          "go away 0 | acked 1 | data 1: 5 | finished 1 ", "" },
        { UP, 1, "G - 0 2 | G - 0 99", "go away 2 | go away 99", "" },
        { SERVER | ACCEPT, 0, "G - 0 0 | W S 1 0", "go away 0 | opened 1",
          "W A 1 0" },
        /* More than the engine keeps: the input waits, and nothing is lost. */
        { 0, 0, "P S 0 1 | P S 0 2 | P S 0 3 | P S 0 4 | P S 0 5 | P S 0 6 | "
          "P S 0 7 | P S 0 8 | P S 0 9 | P S 0 10 | P S 0 11 | W S 12 0 | "
          "P S 0 13 | P S 0 14 | P S 0 15 | P S 0 16 | P S 0 17 | W S 18 0", "",
          "P A 0 1 | P A 0 2 | P A 0 3 | P A 0 4 | P A 0 5 | P A 0 6 | "
          "P A 0 7 | P A 0 8 | P A 0 9 | P A 0 10 | P A 0 11 | W R 12 0 | "
          "P A 0 13 | P A 0 14 | P A 0 15 | P A 0 16 | P A 0 17 | W R 18 0" },
        { SERVER, 0, "W S 1 0 | W S 3 0 | W S 5 0 | W S 7 0 | W S 9 0 | "
          "W S 11 0 | W S 13 0 | W S 15 0 | W S 17 0 | W S 19 0 | W S 21 0 | "
          "W S 23 0 | W S 25 0 | W S 27 0 | W S 29 0 | W S 31 0 | D S 33 1",
          "opened 1 | opened 3 | opened 5 | opened 7 | opened 9 | opened 11 | "
          "opened 13 | opened 15 | opened 17 | opened 19 | opened 21 | "
          "opened 23 | opened 25 | opened 27 | opened 29 | opened 31 | "
          "opened 33",
          "W R 1 0 | W R 3 0 | W R 5 0 | W R 7 0 | W R 9 0 | W R 11 0 | "
          "W R 13 0 | W R 15 0 | W R 17 0 | W R 19 0 | W R 21 0 | W R 23 0 | "
          "W R 25 0 | W R 27 0 | W R 29 0 | W R 31 0 | W R 33 0" },
        { UP, 1, "W F 1 0 | P S 0 1 | P S 0 2 | P S 0 3 | P S 0 4 | P S 0 5 | "
          "P S 0 6 | P S 0 7 | P S 0 8 | P S 0 9 | P S 0 10 | P S 0 11 | "
          "P S 0 12 | P S 0 13 | P S 0 14 | P S 0 15 | P S 0 16 | D - 1 5",
          "finished 1  | reset 1",
          "P A 0 1 | P A 0 2 | P A 0 3 | P A 0 4 | P A 0 5 | P A 0 6 | "
          "P A 0 7 | P A 0 8 | P A 0 9 | P A 0 10 | P A 0 11 | P A 0 12 | "
          "P A 0 13 | P A 0 14 | P A 0 15 | P A 0 16 | W R 1 0" }
    };

    CHECK(rows);
}

static void streams_that_are_over_are_no_harm(void)
{
    static const struct row rows[] = {
        { UP, 1, "W R 1 0 | D - 1 200 | W - 1 4294967295 | W - 1 "
          "4294967295 | D FR 1 1 | W A 1 0 | P S 0 1", "reset 1", "P A 0 1" },
        { UP | FINISH_FIRST, 1, "W F 1 0 | D - 1 9 | W F 1 0", "finished 1.",
          "" },
        { SERVER, 0, "D - 1 50 | W - 99 7 | W F 5 0 | W R 7 0 | P S 0 1", "",
          "P A 0 1" },
        { 0, 0, "D - 2 50 | W FR 8 7", "", "" }
    };

    CHECK(rows);
}

#define WRONG_IS "G - 0 1"

static void what_is_out_of_step_ends_the_session(void)
{
    static const struct row rows[] = {
        { UP, 1, "V - 1 0", "wrong: a frame's version is not 0", WRONG_IS },
        { UP, 1, "T - 1 0", "wrong: a frame has an unknown type", WRONG_IS },
        { UP, 1, "D - 0 5", "wrong: data or credit is for stream 0",
          WRONG_IS },
        { UP, 1, "W - 0 5", "wrong: data or credit is for stream 0",
          WRONG_IS },
        { UP, 1, "W S 0 5", "wrong: data or credit is for stream 0",
          WRONG_IS },
        { UP, 1, "P S 1 5", "wrong: a ping or go away is for a stream",
          WRONG_IS },
        { UP, 1, "G - 1 0", "wrong: a ping or go away is for a stream",
          WRONG_IS },
        { UP, 1, "D - 3 0", "wrong: a frame is for a stream never opened",
          WRONG_IS },
        { SERVER, 0, "W R 2 0", "wrong: a frame is for a stream never opened",
          WRONG_IS },
        { UP, 1, "W S 1 0", "wrong: a stream is opened with an id of ours",
          WRONG_IS },
        { SERVER, 0, "W S 2 0", "wrong: a stream is opened with an id of ours",
          WRONG_IS },
        { SERVER | ACCEPT, 0, "W S 1 0 | D - 1 2 | W S 1 0",
          "opened 1 | data 1: 2 | wrong: a stream is opened twice", WRONG_IS },
        /* Nothing goes out any more but the go away, nothing comes in. */
        { 0, 0, "P S 0 1 | V - 0 0 | P S 0 2 | D - 1 4",
          "wrong: a frame's version is not 0", WRONG_IS },
        { SERVER | ACCEPT, 0, "W S 1 0 | D - 0 0 | W S 3 0",
          "opened 1 | wrong: data or credit is for stream 0", WRONG_IS }
    };

    CHECK(rows);
}

static void windows_are_enforced_both_ways(void)
{
#define OVERRUN "wrong: a stream's data overruns its window"
    static const struct row rows[] = {
        { UP, 1, "d - 1 262145", OVERRUN, WRONG_IS },
        { UP, 1, "d - 1 4294967295", OVERRUN, WRONG_IS },
        { UP | KEEP, 1, "D - 1 200000 | d - 1 62145",
          "data 1: 200000 | " OVERRUN, WRONG_IS },
        { UP | KEEP, 1, "D - 1 262144 | D - 1 0 | D F 1 0",
          "data 1: 262144 | finished 1 ", "" },
        { UP | KEEP, 1, "D - 1 262144 | d - 1 1",
          "data 1: 262144 | " OVERRUN, WRONG_IS },
        { SERVER | ACCEPT, 0, "d S 1 262145", "opened 1 | " OVERRUN,
          WRONG_IS },
        /* Nobody accepted it: it is no stream that could overrun. */
        { SERVER, 0, "d S 1 262145", "opened 1", "W R 1 0" },
        /* What was consumed is not granted until the frame is written. */
        { UP, 1, "D - 1 262144 | d - 1 1", "data 1: 262144 | " OVERRUN,
          WRONG_IS },
        { UP, 1, "D - 1 65535", "data 1: 65535", "" },
        { UP, 1, "D - 1 65536", "data 1: 65536", "W - 1 65536" },
        { UP, 1, "D - 1 65536 | D - 1 9", "data 1: 65545", "W - 1 65545" },
        /* Nobody needs credit who sends no more. */
        { UP, 1, "D F 1 65536", "data 1: 65536 | finished 1 ", "" },
        { UP | KEEP, 1, "D - 1 65536", "data 1: 65536", "" },
        { UP, 1, "W - 1 4294705151", "", "" },
        { UP, 1, "W - 1 4294705152",
          "wrong: a window is larger than 2^32-1", WRONG_IS },
        { QUIET, 1, "W - 1 4294705150 | W A 1 1 | W F 1 1",
          "acked 1 | wrong: a window is larger than 2^32-1", WRONG_IS },
        { SERVER | ACCEPT, 0, "W S 1 4294705152",
          "opened 1 | wrong: a window is larger than 2^32-1", WRONG_IS }
    };

    CHECK(rows);
}

/* -------------------------------------------------------------- known traps */

static void data_may_come_before_the_ack(void)
{
    static const struct row rows[] = {
        { QUIET, 1, "D - 1 5 | W A 1 0 | D - 1 2",
          "acked 1 | data 1: 7", "" },
        { QUIET, 1, "D F 1 5", "acked 1 | data 1: 5 | finished 1 ", "" },
        { QUIET, 1, "D - 1 262144 | W A 1 0", "acked 1 | data 1: 262144",
          "W - 1 262144" }
    };

    CHECK(rows);
}

static void a_stream_may_be_closed_before_its_ack(void)
{
    static const struct row rows[] = {
        { FINISH_FIRST, 1, "W A 1 0 | D - 1 3 | W F 1 0",
          "acked 1 | data 1: 3 | finished 1.", "W S 1 0 | W F 1 0" },
        { FINISH_FIRST, 1, "W F 1 0 | W A 1 0", "acked 1 | finished 1.",
          "W S 1 0 | W F 1 0" },
        { QUIET | RESET_FIRST, 1, "W A 1 0 | D - 1 3 | W F 1 0", "",
          "W R 1 0" },
        { FINISH_FIRST | QUIET, 1, "W R 1 0", "reset 1", "" }
    };

    CHECK(rows);
}

static void who_has_finished_goes_on_reading(void)
{
    static const struct row rows[] = {
        { FINISH_FIRST | UP, 1, "D - 1 65536 | D - 1 1",
          "data 1: 65537", "W - 1 65537" },
        { FINISH_FIRST | UP, 1, "D - 1 9 | D F 1 1 | D - 1 1",
          "data 1: 10 | finished 1.", "" }
    };

    CHECK(rows);
}

static void a_fin_or_a_reset_may_come_with_either_type(void)
{
    static const struct row rows[] = {
        { UP, 1, "W F 1 0", "finished 1 ", "" },
        { UP, 1, "W F 1 7", "finished 1 ", "" },
        { UP, 1, "D F 1 0", "finished 1 ", "" },
        { UP, 1, "D F 1 7", "data 1: 7 | finished 1 ", "" },
        { UP, 1, "W R 1 0", "reset 1", "" },
        { UP, 1, "W R 1 7", "reset 1", "" },
        { UP, 1, "D R 1 0", "reset 1", "" },
        { UP, 2, "D R 1 7 | D - 3 1", "reset 1 | data 3: 1", "" }
    };

    CHECK(rows);
}

static void a_second_fin_is_no_news(void)
{
    static const struct row rows[] = {
        { UP, 1, "W F 1 0 | W F 1 0 | D F 1 0 | P S 0 1", "finished 1 ",
          "P A 0 1" },
        { UP | FINISH, 1, "W F 1 0 | W F 1 0 | P S 0 1", "finished 1 ",
          "P A 0 1 | W F 1 0" },
        { FINISH_FIRST | UP, 1, "W F 1 0 | W F 1 0 | P S 0 1", "finished 1.",
          "P A 0 1" }
    };

    CHECK(rows);
}

static void credit_for_a_stream_that_is_closed_is_no_harm(void)
{
    static const struct row rows[] = {
        { UP, 1, "W R 1 0 | W - 1 262144 | P S 0 1", "reset 1", "P A 0 1" },
        { FINISH_FIRST | UP, 1, "W - 1 5 | W F 1 0 | W - 1 262144",
          "finished 1.", "" },
        { UP | RESET_FIRST, 1, "W - 1 4294967295 | W - 1 4294967295", "",
          "W R 1 0" }
    };

    CHECK(rows);
}

static void a_go_away_in_mid_stream_loses_nothing(void)
{
    static const struct row rows[] = {
        { UP, 2, "D - 1 9 | D - 3 2 | G - 0 0 | D - 1 9 | W - 3 1 | D F 1 1 | "
          "W F 3 0",
          "data 1: 9 | data 3: 2 | go away 0 | data 1: 10 | finished 1  | "
          "finished 3 ", "" },
        { UP | FINISH, 1, "G - 0 0 | D - 1 65536 | D F 1 0",
          "go away 0 | data 1: 65536 | finished 1 ", "W F 1 0" }
    };

    CHECK(rows);
}

/* ---------------------------------------------------------------- by itself */

/* Feeds frames in words, told or not. */
static void feed_words(struct user *user, const char *words)
{
    static uint8_t bytes[300000];

    feed(user, bytes, frames(bytes, sizeof bytes, words));
}

static void start(struct user *user, int how)
{
    struct row row = { 0, 0, "", "", "" };

    row.how = how;
    begin(user, &row);
}

/* What was sent since the last call. */
static const char *sent(struct user *user)
{
    user->sent.len = 0;
    user->sent.text[0] = '\0';
    send_control(user, true);
    return user->sent.text;
}

static const char *told(struct user *user)
{
    static struct story story;

    tell_data(user);
    story = user->story;
    user->story.len = 0;
    user->story.text[0] = '\0';
    return story.text;
}

static struct user one;

static void data_goes_out_in_turns_and_within_windows(void)
{
    uint8_t header[12];
    uint32_t most;
    int i;

    start(&one, 0);
    for (i = 0; i < 3; i++) {
        EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[i]), 0);
        lssb_yamux_want(&one.session, &one.streams[i], true);
    }
    /* Not before their SYN. */
    EXPECT(lssb_yamux_turn(&one.session, &most) == NULL);
    EXPECT_STR(sent(&one), "W S 1 0 | W S 3 0 | W S 5 0");
    for (i = 0; i < 6; i++) {
        EXPECT(lssb_yamux_turn(&one.session, &most) == &one.streams[i % 3]);
        EXPECT_INT(most, i < 3 ? 262144 : 262044);
        lssb_yamux_commit(&one.session, 100, header);
        EXPECT_INT(get32(header), 0);
        EXPECT_INT(get32(header + 4), one.streams[i % 3].id);
        EXPECT_INT(get32(header + 8), 100);
    }
    /* Control frames go first. */
    feed_words(&one, "P S 0 5");
    EXPECT(lssb_yamux_turn(&one.session, &most) == NULL);
    EXPECT_STR(sent(&one), "P A 0 5");
    /* One that has nothing more, one that has used up its window. */
    lssb_yamux_want(&one.session, &one.streams[1], false);
    EXPECT(lssb_yamux_turn(&one.session, &most) == &one.streams[0]);
    lssb_yamux_commit(&one.session, most, header);
    EXPECT_INT(one.streams[0].send_window, 0);
    EXPECT(lssb_yamux_turn(&one.session, &most) == &one.streams[2]);
    lssb_yamux_finish(&one.session, &one.streams[2]);
    EXPECT_STR(sent(&one), "W F 5 0");
    EXPECT(lssb_yamux_turn(&one.session, &most) == NULL);
    EXPECT_INT(most, 0);
    /* A FIN is sent once, and nobody wants to send behind it. */
    lssb_yamux_finish(&one.session, &one.streams[2]);
    lssb_yamux_want(&one.session, &one.streams[2], true);
    EXPECT(lssb_yamux_turn(&one.session, &most) == NULL);
    EXPECT_STR(sent(&one), "");
    feed_words(&one, "W - 1 5000 | W - 1 1 | W - 5 1");
    EXPECT_STR(told(&one), "acked 1 | writable 1 | acked 5");
    EXPECT(lssb_yamux_turn(&one.session, &most) == &one.streams[0]);
    EXPECT_INT(most, 5001);
    lssb_yamux_reset(&one.session, &one.streams[0]);
    EXPECT_STR(sent(&one), "W R 1 0");
    EXPECT_INT(one.streams[0].id, 0);
    EXPECT(lssb_yamux_turn(&one.session, &most) == NULL);
}

static void control_frames_are_written_whole_or_not_at_all(void)
{
    uint8_t out[40];
    int i;

    start(&one, 0);
    for (i = 0; i < 3; i++)
        lssb_yamux_open(&one.session, &one.streams[i]);
    memset(out, 0xEE, sizeof out);
    EXPECT_INT(lssb_yamux_control(&one.session, out, 11), 0);
    EXPECT_INT(out[0], 0xEE);
    EXPECT(lssb_yamux_has_control(&one.session));
    EXPECT_INT(lssb_yamux_control(&one.session, out, 35), 24);
    EXPECT_INT(out[24], 0xEE);
    EXPECT_INT(lssb_yamux_control(&one.session, out, 12), 12);
    EXPECT_INT(lssb_yamux_control(&one.session, out, 12), 0);
    EXPECT(!lssb_yamux_has_control(&one.session));
}

static void a_stream_reset_before_its_syn_leaves_no_trace(void)
{
    start(&one, 0);
    lssb_yamux_open(&one.session, &one.streams[0]);
    lssb_yamux_open(&one.session, &one.streams[1]);
    lssb_yamux_want(&one.session, &one.streams[0], true);
    lssb_yamux_reset(&one.session, &one.streams[0]);
    EXPECT_INT(one.streams[0].id, 0);
    EXPECT_INT(one.session.streams, 1);
    EXPECT_INT(one.session.unacked, 1);
    EXPECT_STR(sent(&one), "W S 3 0");
    /* Calls on a stream that is no more have no effect. */
    lssb_yamux_reset(&one.session, &one.streams[0]);
    lssb_yamux_finish(&one.session, &one.streams[0]);
    lssb_yamux_want(&one.session, &one.streams[0], true);
    lssb_yamux_consumed(&one.session, &one.streams[0], 500000);
    lssb_yamux_set_window(&one.session, &one.streams[0], 500000);
    EXPECT_STR(sent(&one), "");
}

/* What the peer cannot know of it cannot speak of; a reset in the middle of
 * such data would have nobody to take the rest. */
static void a_frame_before_the_syn_ends_the_session(void)
{
    static const char *const rows[] = { "D - 1 5", "W A 1 0", "W R 1 0",
                                        "D F 1 0", "D A 1 5" };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i];
        start(&one, RESET_ON_DATA);
        lssb_yamux_open(&one.session, &one.streams[0]);
        feed_words(&one, rows[i]);
        EXPECT_STR(told(&one),
                   "wrong: a frame is for a stream never opened");
        EXPECT_STR(sent(&one), WRONG_IS);
    }
    test_row = "";
}

static void a_stream_begins_anew_whatever_its_memory_held(void)
{
    int mark;

    start(&one, SERVER);
    memset(&one.streams[0], 0xA5, sizeof one.streams[0]);
    one.streams[0].user = &mark;
    one.streams[0].window = 0;
    one.streams[0].window_most = 77;
    /* Only what was just told can be accepted. */
    one.streams[1].id = 0;
    lssb_yamux_accept(&one.session, &one.streams[1]);
    EXPECT_INT(one.streams[1].id, 0);
    EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[0]),
               LSSB_YAMUX_OPEN);
    EXPECT(one.streams[0].user == &mark);
    EXPECT_INT(one.streams[0].id, 2);
    EXPECT_INT(one.streams[0].window, 262144);
    EXPECT_INT(one.streams[0].window_most, 77);
    EXPECT_INT(one.streams[0].send_window, 262144);
    EXPECT_INT(one.streams[0].unconsumed, 0);
    EXPECT(!one.streams[0].acked && !one.streams[0].finished);
    EXPECT(!one.streams[0].peer_finished);
    EXPECT_STR(sent(&one), "W S 2 0");
    feed_words(&one, "D AF 2 9");
    EXPECT_STR(told(&one), "acked 2 | data 2: 9 | finished 2 ");
}

static void streams_that_wait_for_their_ack_are_few(void)
{
    static struct lssb_yamux_stream streams[LSSB_YAMUX_UNACKED + 4];
    struct lssb_yamux_stream *next = &streams[LSSB_YAMUX_UNACKED];
    int i;

    memset(streams, 0, sizeof streams);
    start(&one, QUIET);
    for (i = 0; i < LSSB_YAMUX_UNACKED; i++)
        EXPECT_INT(lssb_yamux_open(&one.session, &streams[i]),
                   LSSB_YAMUX_OPEN);
    send_control(&one, false);
    EXPECT_INT(lssb_yamux_open(&one.session, next), LSSB_YAMUX_LATER);
    EXPECT_INT(next->id, 0);
    feed_words(&one, "W A 5 0");
    EXPECT_INT(lssb_yamux_open(&one.session, next), LSSB_YAMUX_OPEN);
    EXPECT_INT(lssb_yamux_open(&one.session, next + 1), LSSB_YAMUX_LATER);
    /* A refusal makes room, too, and so does a reset of ours, once sent. */
    feed_words(&one, "W R 7 0 | W A 5 0");
    EXPECT_INT(lssb_yamux_open(&one.session, next + 1), LSSB_YAMUX_OPEN);
    lssb_yamux_reset(&one.session, &streams[0]);
    EXPECT_INT(lssb_yamux_open(&one.session, next + 2), LSSB_YAMUX_LATER);
    send_control(&one, false);
    EXPECT_INT(lssb_yamux_open(&one.session, next + 2), LSSB_YAMUX_OPEN);
    EXPECT_INT(one.session.unacked, LSSB_YAMUX_UNACKED);
}

static void ids_are_used_once_and_run_out(void)
{
    int server, i;

    for (server = 0; server < 2; server++) {
        uint32_t last = server ? UINT32_MAX - 1 : UINT32_MAX;

        start(&one, server ? SERVER : 0);
        one.session.own.next_id = last - 2;
        for (i = 0; i < 2; i++)
            EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[i]),
                       LSSB_YAMUX_OPEN);
        EXPECT_INT(one.streams[1].id, last);
        EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[2]),
                   LSSB_YAMUX_NO_IDS);
        send_control(&one, false);
        /* Every id of ours was used: none was never opened. */
        feed_words(&one, server ? "D - 2 1 | W A 4294967294 0"
                                : "D - 1 1 | W A 4294967295 0");
        EXPECT_STR(told(&one), server ? "acked 4294967294"
                                      : "acked 4294967295");
    }
}

static void after_a_go_away_nothing_is_opened(void)
{
    start(&one, 0);
    lssb_yamux_open(&one.session, &one.streams[0]);
    send_control(&one, false);
    feed_words(&one, "G - 0 0");
    EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[1]),
               LSSB_YAMUX_CLOSED);
    /* What exists goes on. */
    feed_words(&one, "D A 1 5");
    EXPECT_STR(told(&one), "go away 0 | acked 1 | data 1: 5");
    start(&one, 0);
    lssb_yamux_go_away(&one.session, LSSB_YAMUX_INTERNAL);
    EXPECT_STR(sent(&one), "G - 0 2");
    EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[1]),
               LSSB_YAMUX_CLOSED);
    start(&one, 0);
    feed_words(&one, "V - 0 0");
    EXPECT(lssb_yamux_has_control(&one.session));
    lssb_yamux_go_away(&one.session, LSSB_YAMUX_NORMAL);
    EXPECT_STR(sent(&one), "G - 0 1");
    EXPECT_INT(lssb_yamux_open(&one.session, &one.streams[1]),
               LSSB_YAMUX_CLOSED);
}

static void a_peer_that_answers_no_ping_is_dead(void)
{
    start(&one, 0);
    one.session.ping_interval_ms = 30000;
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 0);
    EXPECT(lssb_yamux_tick(&one.session, 1000));
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 21000);
    EXPECT_STR(sent(&one), "P S 0 1");
    EXPECT(lssb_yamux_tick(&one.session, 1040));
    /* An answer to something else is none; the right one measures. */
    feed_words(&one, "P A 0 2");
    EXPECT_STR(told(&one), "");
    feed_words(&one, "P A 0 1");
    EXPECT_STR(told(&one), "pong 1");
    EXPECT_INT(one.session.round_trip_ms, 40);
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 31000);
    feed_words(&one, "P A 0 1");
    EXPECT_STR(told(&one), "");
    EXPECT(lssb_yamux_tick(&one.session, 30999));
    EXPECT_STR(sent(&one), "");
    EXPECT(lssb_yamux_tick(&one.session, 31000));
    EXPECT_STR(sent(&one), "P S 0 2");
    /* Any byte shows that the peer lives, at most for as long again. */
    EXPECT(lssb_yamux_tick(&one.session, 50998));
    feed(&one, (const uint8_t *)"", 0);
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 51000);
    EXPECT(lssb_yamux_tick(&one.session, 50999));
    feed(&one, (const uint8_t *)"", 1);
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 70999);
    EXPECT(lssb_yamux_tick(&one.session, 70998));
    /* When the time is up an answer may still wait to be read: one step. */
    EXPECT(lssb_yamux_tick(&one.session, 80000));
    EXPECT(!lssb_yamux_tick(&one.session, 80000));
    EXPECT(!lssb_yamux_tick(&one.session, 80001));
}

static void a_session_begins_with_a_ping_and_its_defaults(void)
{
    memset(&one, 0xA5, sizeof one);
    lssb_yamux_start(&one.session, true, 777000);
    EXPECT_INT(one.session.ping_interval_ms, 30000);
    EXPECT_INT(one.session.ping_timeout_ms, 20000);
    EXPECT(one.session.accepts && one.session.server);
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 777000);
    lssb_yamux_ping(&one.session);
    EXPECT_INT(lssb_yamux_wake_at(&one.session), 797000);
    EXPECT_INT(one.session.streams, 0);
    EXPECT_INT(one.session.unacked, 0);
    one.sent.text[0] = '\0';
    EXPECT_STR(sent(&one), "P S 0 1");
    lssb_yamux_start(&one.session, false, 0);
    EXPECT(!one.session.accepts && !one.session.server);
}

static void an_answer_that_was_read_late_still_counts(void)
{
    start(&one, 0);
    one.session.ping_interval_ms = 30000;
    lssb_yamux_tick(&one.session, 0);
    EXPECT_STR(sent(&one), "P S 0 1");
    EXPECT(lssb_yamux_tick(&one.session, 500000));
    feed_words(&one, "P A 0 1");
    EXPECT(lssb_yamux_tick(&one.session, 500000));
    EXPECT(lssb_yamux_tick(&one.session, 500000));
    EXPECT_STR(sent(&one), "P S 0 2");
}

static void a_ping_that_never_went_out_is_missed_too(void)
{
    start(&one, 0);
    one.session.ping_interval_ms = 30000;
    EXPECT(lssb_yamux_tick(&one.session, 0));
    EXPECT(lssb_yamux_tick(&one.session, 20000));
    EXPECT(!lssb_yamux_tick(&one.session, 20000));
    start(&one, 0);
    one.session.ping_timeout_ms = 0;
    EXPECT_INT(lssb_yamux_wake_at(&one.session) == UINT64_MAX, 1);
    lssb_yamux_ping(&one.session);
    lssb_yamux_ping(&one.session);
    EXPECT_STR(sent(&one), "P S 0 1");
    EXPECT(lssb_yamux_tick(&one.session, UINT64_MAX / 2));
    EXPECT(lssb_yamux_tick(&one.session, UINT64_MAX / 2));
    EXPECT(lssb_yamux_wake_at(&one.session) == UINT64_MAX);
}

/* ------------------------------------------------------------------ windows */

static void a_larger_window_is_granted_with_the_opening(void)
{
    start(&one, 0);
    one.streams[0].window = 1048576;
    lssb_yamux_open(&one.session, &one.streams[0]);
    EXPECT_STR(sent(&one), "W S 1 786432");
    feed_words(&one, "D A 1 130000");
    feed_words(&one, "D - 1 130000");
    EXPECT_STR(told(&one), "acked 1 | data 1: 260000");
    EXPECT_STR(sent(&one), "");
    feed_words(&one, "D - 1 200000");
    EXPECT_STR(sent(&one), "W - 1 460000");
    lssb_yamux_set_window(&one.session, &one.streams[0], 4194304);
    EXPECT_STR(sent(&one), "W - 1 3145728");
    lssb_yamux_set_window(&one.session, &one.streams[0], UINT32_MAX);
    EXPECT_STR(sent(&one), "W - 1 4290772991");
}

static void only_what_was_consumed_becomes_credit(void)
{
    start(&one, KEEP);
    lssb_yamux_open(&one.session, &one.streams[0]);
    send_control(&one, false);
    feed_words(&one, "D - 1 200000");
    EXPECT_INT(one.streams[0].unconsumed, 200000);
    lssb_yamux_consumed(&one.session, &one.streams[0], 65535);
    EXPECT_STR(sent(&one), "");
    lssb_yamux_consumed(&one.session, &one.streams[0], 1);
    EXPECT_STR(sent(&one), "W - 1 65536");
    lssb_yamux_consumed(&one.session, &one.streams[0], 65535);
    EXPECT_STR(sent(&one), "");
    feed_words(&one, "d - 1 127681");
    EXPECT_STR(told(&one), "acked 1 | data 1: 200000 | "
                           "wrong: a stream's data overruns its window");
}

static void a_smaller_window_counts_once_the_first_is_used_up(void)
{
    start(&one, KEEP);
    one.streams[0].window = 10000;
    lssb_yamux_open(&one.session, &one.streams[0]);
    EXPECT_STR(sent(&one), "W S 1 0");
    feed_words(&one, "D - 1 250000");
    lssb_yamux_consumed(&one.session, &one.streams[0], 250000);
    EXPECT_STR(sent(&one), "");
    feed_words(&one, "D - 1 10000");
    lssb_yamux_consumed(&one.session, &one.streams[0], 5000);
    EXPECT_STR(sent(&one), "");
    lssb_yamux_consumed(&one.session, &one.streams[0], 5000);
    EXPECT_STR(sent(&one), "W - 1 7856");
    feed_words(&one, "D - 1 10000");
    told(&one);
    lssb_yamux_consumed(&one.session, &one.streams[0], 99999);
    EXPECT_STR(sent(&one), "W - 1 10000");
    EXPECT_INT(one.streams[0].unconsumed, 0);
    feed_words(&one, "d - 1 10001");
    EXPECT_STR(told(&one), "wrong: a stream's data overruns its window");
}

/* A round trip of `ms`, as a ping measures it. */
static void measure(struct user *user, uint64_t ms)
{
    lssb_yamux_ping(&user->session);
    send_control(user, false);
    lssb_yamux_tick(&user->session, user->session.own.now + ms);
    feed_words(user, "P A 0 1");
}

static void a_window_grows_when_the_round_trip_limits_the_peer(void)
{
    static const struct {
        const char *name;
        uint64_t round_trip;
        uint64_t ms;                /* for each quarter of a window */
        uint32_t most;
        uint32_t window;            /* after four of them */
    } rows[] = {
        { "fast", 100, 99, 1u << 30, 4194304 },
        { "at most so large", 100, 75, 700000, 700000 },
        { "never", 100, 75, 0, 262144 },
        { "slow", 100, 100, 1u << 30, 262144 },
        { "three milliseconds", 3, 2, 1u << 30, 4194304 },
        { "twelve days", 1036800000, 0, 1u << 30, 262144 },
        { "no time at all", 0, 0, 1u << 30, 262144 }
    };
    size_t i;
    int n;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        start(&one, KEEP);
        measure(&one, rows[i].round_trip);
        one.streams[0].window_most = rows[i].most;
        lssb_yamux_open(&one.session, &one.streams[0]);
        send_control(&one, false);
        lssb_yamux_tick(&one.session,
                        one.session.own.now + rows[i].round_trip);
        feed_words(&one, "W A 1 0");
        for (n = 0; n < 4; n++) {
            struct lssb_yamux_stream *stream = &one.streams[0];
            char words[64];

            lssb_yamux_tick(&one.session, one.session.own.now + rows[i].ms);
            while (!lssb_yamux_has_control(&one.session)) {
                snprintf(words, sizeof words, "D - 1 %lu",
                         (unsigned long)((stream->window + 15) / 16));
                feed_words(&one, words);
                lssb_yamux_consumed(&one.session, stream, stream->window);
            }
            send_control(&one, false);
            EXPECT_INT(stream->own.receive_window, stream->window);
        }
        EXPECT_INT(one.streams[0].window, rows[i].window);
    }
    test_row = "";
}

/* Without pings, too, since an opening is answered as well. */
static void an_opening_and_its_ack_measure_the_round_trip(void)
{
    start(&one, 0);
    lssb_yamux_open(&one.session, &one.streams[0]);
    lssb_yamux_open(&one.session, &one.streams[1]);
    lssb_yamux_tick(&one.session, 1000);
    EXPECT_STR(sent(&one), "W S 1 0 | W S 3 0");
    lssb_yamux_tick(&one.session, 1080);
    EXPECT(one.session.least_round_trip_ms == UINT32_MAX);
    feed_words(&one, "W A 1 0");
    EXPECT_INT(one.session.least_round_trip_ms, 80);
    lssb_yamux_tick(&one.session, 1200);
    feed_words(&one, "D - 3 1");    /* as good as an ACK */
    EXPECT_INT(one.session.round_trip_ms, 200);
    EXPECT_INT(one.session.least_round_trip_ms, 80);
    lssb_yamux_tick(&one.session, 9000);
    feed_words(&one, "W A 1 0");    /* it has one already */
    EXPECT_INT(one.session.round_trip_ms, 200);
}

static void the_least_round_trip_counts(void)
{
    start(&one, 0);
    EXPECT(one.session.least_round_trip_ms == UINT32_MAX);
    measure(&one, 70);
    lssb_yamux_ping(&one.session);
    EXPECT_STR(sent(&one), "P S 0 2");
    lssb_yamux_tick(&one.session, one.session.own.now + 300);
    feed_words(&one, "P A 0 2");
    EXPECT_INT(one.session.round_trip_ms, 300);
    EXPECT_INT(one.session.least_round_trip_ms, 70);
}

/* ------------------------------------------------------------- holding back */

/* Offers a slice of a stream's data and takes n bytes of it. */
static void offer(struct user *user, size_t len, size_t n)
{
    static uint8_t bytes[262144];
    size_t used;

    EXPECT_INT(lssb_yamux_next(&user->session, bytes, len, &used),
               LSSB_YAMUX_DATA);
    EXPECT_INT(used, 0);
    EXPECT_INT(user->session.data_len, len);
    EXPECT_INT(lssb_yamux_take(&user->session, n), n);
}

/* Feeds the rest of a frame whose stream was reset. */
static void offer_rest(struct user *user, size_t len)
{
    static uint8_t bytes[1000];
    size_t used;

    EXPECT_INT(lssb_yamux_next(&user->session, bytes, len, &used),
               LSSB_YAMUX_MORE);
    EXPECT_INT(used, len);
}

static uint32_t held(struct user *user, uint64_t later, int whose)
{
    struct lssb_yamux_stream *stream;
    uint32_t ms;

    lssb_yamux_tick(&user->session, user->session.own.now + later);
    ms = lssb_yamux_held(&user->session, &stream);
    EXPECT(stream == (whose < 0 ? NULL : &user->streams[whose]));
    return ms;
}

static void hold_start(struct user *user, const char *words)
{
    static uint8_t bytes[300000];

    start(user, QUIET | KEEP);
    lssb_yamux_open(&user->session, &user->streams[0]);
    lssb_yamux_open(&user->session, &user->streams[1]);
    send_control(user, false);
    ack_all(user);
    feed(user, bytes, frames(bytes, sizeof bytes, words));
}

static void what_is_not_taken_is_offered_again(void)
{
    uint8_t bytes[64];
    size_t used, len;
    struct lssb_yamux_stream *stream;

    hold_start(&one, "");
    len = frames(bytes, sizeof bytes, "D - 1 10 | P S 0 9");
    EXPECT_INT(lssb_yamux_next(&one.session, bytes, len, &used),
               LSSB_YAMUX_DATA);
    EXPECT_INT(used, 12);
    EXPECT(one.session.data == bytes + 12);
    EXPECT_INT(one.session.data_len, 10);
    EXPECT_INT(lssb_yamux_take(&one.session, 11), 0);
    EXPECT_INT(lssb_yamux_take(&one.session, 4), 4);
    EXPECT_INT(one.session.data_len, 6);
    EXPECT_INT(lssb_yamux_take(&one.session, 2), 2);
    EXPECT(one.session.data == bytes + 18);
    EXPECT_INT(lssb_yamux_next(&one.session, bytes + 18, len - 18, &used),
               LSSB_YAMUX_DATA);
    EXPECT_INT(used, 0);
    EXPECT(one.session.data == bytes + 18);
    EXPECT_INT(one.session.data_len, 4);
    /* Only what was just offered can be taken. */
    EXPECT_INT(lssb_yamux_next(&one.session, NULL, 0, &used), LSSB_YAMUX_MORE);
    EXPECT_INT(lssb_yamux_take(&one.session, 1), 0);
    EXPECT_INT(lssb_yamux_next(&one.session, bytes + 18, len - 18, &used),
               LSSB_YAMUX_DATA);
    EXPECT_INT(lssb_yamux_take(&one.session, 0), 0);
    lssb_yamux_held(&one.session, &stream);
    EXPECT(stream == &one.streams[0]);
    EXPECT_INT(one.streams[0].unconsumed, 6);
    /* Resetting it lets what is behind it through. */
    lssb_yamux_reset(&one.session, &one.streams[0]);
    lssb_yamux_held(&one.session, &stream);
    EXPECT(stream == NULL);
    EXPECT_INT(lssb_yamux_next(&one.session, bytes + 18, len - 18, &used),
               LSSB_YAMUX_MORE);
    EXPECT_INT(used, len - 18);
    EXPECT_STR(sent(&one), "P A 0 9 | W R 1 0");
}

static void a_stream_let_go_of_in_mid_frame_is_told_nothing_more(void)
{
    uint8_t bytes[64];
    size_t used, len;

    hold_start(&one, "");
    len = frames(bytes, sizeof bytes, "D F 1 10 | D - 3 2");
    EXPECT_INT(lssb_yamux_next(&one.session, bytes, len, &used),
               LSSB_YAMUX_DATA);
    lssb_yamux_take(&one.session, 0);
    lssb_yamux_reset(&one.session, &one.streams[0]);
    EXPECT_STR(sent(&one), "W R 1 0");
    EXPECT_INT(one.streams[0].id, 0);
    EXPECT_INT(lssb_yamux_take(&one.session, 1), 0);
    lssb_yamux_open(&one.session, &one.streams[0]);
    EXPECT_INT(lssb_yamux_next(&one.session, bytes + 12, len - 12, &used),
               LSSB_YAMUX_DATA);
    EXPECT_INT(one.session.id, 3);
    EXPECT_INT(one.streams[0].unconsumed, 0);
}

static void how_long_a_stream_holds_back_is_counted(void)
{
    hold_start(&one, "d - 1 262144");
    EXPECT_INT(held(&one, 0, -1), 0);
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 0, 0), 0);
    EXPECT_INT(held(&one, 1200, 0), 1200);
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 300, 0), 1500);
    /* A little progress does not start it anew. */
    offer(&one, 1000, 10);
    EXPECT_INT(held(&one, 500, 0), 2000);
    /* While it holds nothing back, that counts down. */
    offer(&one, 990, 990);
    EXPECT_INT(held(&one, 600, -1), 0);
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 100, 0), 1500);
    offer(&one, 1000, 1000);
    EXPECT_INT(held(&one, 5000, -1), 0);
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 40, 0), 40);
}

static void the_count_begins_anew_with_a_whole_window(void)
{
    int i;

    hold_start(&one, "d - 1 262144");
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 300, 0), 300);
    /* To the byte: what was on its way then has been taken. */
    offer(&one, 262144, 262144);
    lssb_yamux_consumed(&one.session, &one.streams[0], 262144);
    send_control(&one, false);
    feed_words(&one, "d - 1 262000");
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 40, 0), 40);
    offer(&one, 262000, 261900);
    EXPECT_INT(held(&one, 100, 0), 140);
    /* Past it: from here on it is a whole window again. */
    lssb_yamux_consumed(&one.session, &one.streams[0], 262144);
    send_control(&one, false);
    offer(&one, 100, 100);
    feed_words(&one, "d - 1 100000");
    for (i = 0; i < 3; i++) {
        offer(&one, 2000, 1000);
        EXPECT_INT(held(&one, 100, 0), 100 * (i + 1));
    }
}

static void streams_that_hold_back_in_turn_are_counted_each(void)
{
    uint32_t ms = 0;
    int i;

    /* A thousand bytes in 200 ms each: while one holds back, the other's count
     * stands still. */
    hold_start(&one, "");
    for (i = 0; i < 30; i++) {
        feed_words(&one, i % 2 == 0 ? "d - 1 1000" : "d - 3 1000");
        offer(&one, 1000, 0);
        ms = held(&one, 200, i % 2);
        EXPECT_INT(ms, 200 * (i / 2 + 1));
        if (i < 28)
            offer(&one, 1000, 1000);
        else if (i == 28)
            lssb_yamux_reset(&one.session, &one.streams[0]);
        if (i == 28)
            offer_rest(&one, 1000);
    }
    EXPECT_INT(ms, 3000);
    offer(&one, 1000, 1000);
    /* Nobody holds back: it counts down. */
    EXPECT_INT(held(&one, 2900, -1), 0);
    feed_words(&one, "d - 3 1000");
    offer(&one, 1000, 0);
    EXPECT_INT(held(&one, 1, 1), 101);
}

static void a_stream_that_is_not_too_slow_may_hold_back_for_ever(void)
{
    uint32_t ms, longest = 0;
    int i;

    /* 10,000 bytes in 100 ms, ten megabytes, always behind. */
    hold_start(&one, "");
    for (i = 0; i < 1000; i++) {
        if (i % 10 == 0)
            feed_words(&one, "d - 1 100000");
        lssb_yamux_tick(&one.session, one.session.own.now + 90);
        if (i % 10 < 9)
            offer(&one, 10001, 10000);
        else
            offer(&one, 10000, 10000);
        lssb_yamux_consumed(&one.session, &one.streams[0], 10000);
        send_control(&one, false);
        ms = held(&one, 10, i % 10 < 9 ? 0 : -1);
        longest = ms > longest ? ms : longest;
    }
    EXPECT(longest > 2000 && longest < 5000);
}

/* ---------------------------------------------------------- a long pipe */

#define DELAY 50                    /* ms each way */
#define PER_MS 10000                /* bytes that the pipe takes */

/* Bytes on their way: what was sent in each of the last milliseconds. */
struct pipe {
    uint8_t bytes[DELAY][PER_MS];
    size_t len[DELAY];
};

/* Sends what one side has for one millisecond: control, then data. */
static size_t pour(struct lssb_yamux *session, uint8_t *out)
{
    size_t len = lssb_yamux_control(session, out, PER_MS);
    uint32_t most;
    struct lssb_yamux_stream *stream = lssb_yamux_turn(session, &most);

    if (stream == NULL || PER_MS - len <= 12)
        return len;
    most = most < PER_MS - len - 12 ? most : (uint32_t)(PER_MS - len - 12);
    memset(out + len + 12, 'x', most);
    lssb_yamux_commit(session, most, out + len);
    return len + 12 + most;
}

/* Takes all that has come, and consumes it; the bytes of data. */
static size_t drink(struct lssb_yamux *session,
                    struct lssb_yamux_stream *stream, const uint8_t *bytes,
                    size_t len)
{
    enum lssb_yamux_event event = LSSB_YAMUX_FULL;
    size_t at = 0, used, sum = 0;

    while (event != LSSB_YAMUX_MORE && event != LSSB_YAMUX_WRONG) {
        event = lssb_yamux_next(session, bytes + at, len - at, &used);
        at += used;
        if (event == LSSB_YAMUX_OPENED)
            lssb_yamux_accept(session, stream);
        if (event != LSSB_YAMUX_DATA)
            continue;
        used = lssb_yamux_take(session, session->data_len);
        lssb_yamux_consumed(session, stream, used);
        at += used;
        sum += used;
    }
    return sum;
}

/* Bytes that come down in the last two of five seconds. */
static size_t come_down(uint32_t window_most)
{
    static struct pipe up, down;
    static struct lssb_yamux a, b;
    static struct lssb_yamux_stream to_a, to_b;
    size_t sum = 0, n;
    uint64_t now;

    memset(&up, 0, sizeof up);
    memset(&down, 0, sizeof down);
    memset(&to_a, 0, sizeof to_a);
    memset(&to_b, 0, sizeof to_b);
    lssb_yamux_start(&a, false, 0);
    lssb_yamux_start(&b, true, 0);
    to_a.window_most = window_most;
    lssb_yamux_open(&a, &to_a);
    for (now = 0; now < 5000; now++) {
        int at = (int)(now % DELAY);

        EXPECT(lssb_yamux_tick(&a, now) && lssb_yamux_tick(&b, now));
        n = drink(&a, &to_a, down.bytes[at], down.len[at]);
        sum += now >= 3000 ? n : 0;
        drink(&b, &to_b, up.bytes[at], up.len[at]);
        lssb_yamux_want(&b, &to_b, true);
        up.len[at] = pour(&a, up.bytes[at]);
        down.len[at] = pour(&b, down.bytes[at]);
    }
    return sum;
}

static void a_window_that_grows_fills_a_long_pipe(void)
{
    size_t all = (size_t)PER_MS * 2000, fixed, grown;

    fixed = come_down(0);
    grown = come_down(1u << 24);
    EXPECT(fixed > all / 10 && fixed < all / 4);
    EXPECT(grown > all / 100 * 99);
}

/* --------------------------------------------------------- two, at random */

#define SLOTS 12
#define PIPE 5000

/* One side: a session, its streams, and the pipe that leads to it. */
struct slot {
    struct lssb_yamux_stream stream;    /* first: `user` is not needed */
    uint32_t id;
    uint64_t out;                   /* bytes sent and received on it */
    uint64_t in;
    bool used;
    bool ours;
    bool finished;                  /* told so */
    bool sure;                      /* nobody has reset it */
};

struct side {
    struct lssb_yamux session;
    struct slot slots[SLOTS];
    uint8_t pipe[PIPE];
    size_t len;
    uint32_t state;                 /* of the dice */
    unsigned long opened, finished, resets, bytes;
};

static uint32_t dice(struct side *side, uint32_t sides)
{
    side->state = side->state * UINT32_C(1664525) + UINT32_C(1013904223);
    return (side->state >> 8) % sides;
}

/* What stands at an offset of a stream's direction. */
static uint8_t byte_at(uint32_t id, bool server, uint64_t offset)
{
    return (uint8_t)(id * 31 + (server ? 101 : 7) + offset * 13 +
                     (offset >> 8));
}

static struct slot *slot_of(struct lssb_yamux_stream *stream)
{
    return (struct slot *)(void *)stream;
}

static struct slot *free_slot(struct side *side)
{
    int i;

    for (i = 0; i < SLOTS; i++)
        if (side->slots[i].stream.id == 0)
            return &side->slots[i];
    return NULL;
}

static void use_slot(struct side *side, struct slot *slot, bool ours)
{
    static const uint32_t windows[] = { 0, 5000, 262144, 400000, 1 };

    memset(slot, 0, sizeof *slot);
    slot->used = true;
    slot->ours = ours;
    slot->sure = true;
    slot->stream.window = windows[dice(side, 5)];
    slot->stream.window_most = dice(side, 2) * 600000;
}

static void walk_open(struct side *side)
{
    struct slot *slot = free_slot(side);

    if (slot == NULL)
        return;
    use_slot(side, slot, true);
    if (lssb_yamux_open(&side->session, &slot->stream) != LSSB_YAMUX_OPEN)
        slot->used = false;
    slot->id = slot->stream.id;
    side->opened++;
}

static void walk_accept(struct side *side)
{
    struct slot *slot = free_slot(side);

    if (slot == NULL || dice(side, 20) == 0)
        return;
    use_slot(side, slot, false);
    lssb_yamux_accept(&side->session, &slot->stream);
    slot->id = slot->stream.id;
}

/* Takes some of a slice, and looks at each byte. */
static size_t walk_data(struct side *side)
{
    struct slot *slot = slot_of(side->session.stream);
    size_t len = side->session.data_len, i;

    EXPECT(!slot->finished);
    if (dice(side, 3) == 0)
        len = dice(side, (uint32_t)len + 1);
    for (i = 0; i < len; i++)
        if (side->session.data[i] !=
            byte_at(slot->id, !side->session.server, slot->in + i))
            break;
    EXPECT_INT(i, len);
    slot->in += len;
    side->bytes += (unsigned long)len;
    return lssb_yamux_take(&side->session, len);
}

/* One event of what is in the pipe; false: no more for now. */
static bool walk_event(struct side *side, size_t *at, size_t len)
{
    size_t used;
    enum lssb_yamux_event event =
        lssb_yamux_next(&side->session, side->pipe + *at, len - *at, &used);
    size_t offered = side->session.data_len;

    EXPECT(event != LSSB_YAMUX_WRONG);
    *at += used;
    if (event == LSSB_YAMUX_OPENED)
        walk_accept(side);
    if (event == LSSB_YAMUX_FINISHED) {
        EXPECT(!slot_of(side->session.stream)->finished);
        slot_of(side->session.stream)->finished = true;
        side->finished++;
    }
    if (event == LSSB_YAMUX_RESET)
        side->resets++;
    if (event == LSSB_YAMUX_DATA) {
        used = walk_data(side);
        *at += used;
        return used == offered;
    }
    return event != LSSB_YAMUX_MORE && event != LSSB_YAMUX_WRONG &&
           event != LSSB_YAMUX_FULL;
}

static void walk_feed(struct side *side, bool all)
{
    size_t len = all ? side->len : dice(side, (uint32_t)side->len + 1);
    size_t at = 0;

    while (walk_event(side, &at, len))
        ;
    memmove(side->pipe, side->pipe + at, side->len - at);
    side->len -= at;
}

/* Sends data of the stream whose turn it is. */
static size_t walk_data_out(struct side *side, uint8_t *out, size_t room)
{
    uint32_t most;
    struct lssb_yamux_stream *stream = lssb_yamux_turn(&side->session, &most);
    struct slot *slot;
    size_t i, len = room > 12 ? room - 12 : 0;

    if (stream == NULL || len == 0)
        return 0;
    slot = slot_of(stream);
    len = len < most ? len : most;
    len = 1 + dice(side, (uint32_t)len);
    for (i = 0; i < len; i++)
        out[12 + i] = byte_at(slot->id, side->session.server, slot->out + i);
    lssb_yamux_commit(&side->session, len, out);
    slot->out += len;
    if (dice(side, 4) == 0)
        lssb_yamux_want(&side->session, stream, false);
    return len + 12;
}

static void walk_send(struct side *side, struct side *to)
{
    size_t room = dice(side, (uint32_t)(PIPE - to->len) + 1), n;

    n = lssb_yamux_control(&side->session, to->pipe + to->len, room);
    to->len += n;
    to->len += walk_data_out(side, to->pipe + to->len, room - n);
}

/* Something that a user may do with one of the streams. */
static void walk_act(struct side *side, bool winding_up)
{
    struct slot *slot = &side->slots[dice(side, SLOTS)];

    switch (winding_up ? 5 + dice(side, 3) : dice(side, 10)) {
    case 0:
    case 1:
    case 2:
        lssb_yamux_want(&side->session, &slot->stream, true);
        break;
    case 3:
        lssb_yamux_consumed(&side->session, &slot->stream, dice(side, 9000));
        break;
    case 5:
        if (winding_up || dice(side, 4) == 0)
            lssb_yamux_finish(&side->session, &slot->stream);
        break;
    case 6:
        if (dice(side, 30) == 0) {
            slot->sure = false;
            lssb_yamux_reset(&side->session, &slot->stream);
        }
        break;
    case 7:
        lssb_yamux_consumed(&side->session, &slot->stream,
                            slot->stream.unconsumed);
        break;
    case 8:
        walk_open(side);
        break;
    default:
        lssb_yamux_ping(&side->session);
        break;
    }
}

static void walk(uint32_t seed, struct side *a, struct side *b)
{
    struct side *sides[2];
    uint64_t now = 0;
    int steps;

    memset(a, 0, sizeof *a);
    memset(b, 0, sizeof *b);
    sides[0] = a;
    sides[1] = b;
    a->state = seed;
    b->state = ~seed;
    lssb_yamux_start(&a->session, false, 0);
    lssb_yamux_start(&b->session, true, 0);
    for (steps = 0; steps < 12000; steps++) {
        struct side *side = sides[steps & 1], *other = sides[~steps & 1];
        bool winding_up = steps > 6000;

        now += dice(side, 3);
        EXPECT(lssb_yamux_tick(&side->session, now));
        walk_act(side, winding_up);
        walk_send(side, other);
        walk_feed(side, winding_up);
        if (winding_up && a->session.streams == 0 && b->session.streams == 0)
            break;
    }
}

static void two_sessions_back_to_back_lose_nothing_at_random(void)
{
    static struct side a, b;
    unsigned long bytes = 0, finished = 0, resets = 0;
    uint32_t seed;
    char name[32];

    for (seed = 1; seed <= 150 && test_failures == 0; seed++) {
        snprintf(name, sizeof name, "seed %lu", (unsigned long)seed);
        test_row = name;
        walk(seed, &a, &b);
        EXPECT_INT(a.session.streams, 0);
        EXPECT_INT(b.session.streams, 0);
        EXPECT_INT(a.session.unacked, 0);
        bytes += a.bytes + b.bytes;
        finished += a.finished + b.finished;
        resets += a.resets + b.resets;
    }
    test_row = "";
    /* The walk went everywhere. */
    EXPECT(bytes > 10000000);
    EXPECT(finished > 1000);
    EXPECT(resets > 300);
}

int main(void)
{
    static const struct test tests[] = {
        TEST(streams_that_we_open),
        TEST(streams_that_the_peer_opens),
        TEST(each_direction_ends_by_itself_and_once),
        TEST(a_reset_ends_both_directions),
        TEST(pings_are_answered_and_go_aways_told),
        TEST(streams_that_are_over_are_no_harm),
        TEST(what_is_out_of_step_ends_the_session),
        TEST(windows_are_enforced_both_ways),
        TEST(data_may_come_before_the_ack),
        TEST(a_stream_may_be_closed_before_its_ack),
        TEST(who_has_finished_goes_on_reading),
        TEST(a_fin_or_a_reset_may_come_with_either_type),
        TEST(a_second_fin_is_no_news),
        TEST(credit_for_a_stream_that_is_closed_is_no_harm),
        TEST(a_go_away_in_mid_stream_loses_nothing),
        TEST(data_goes_out_in_turns_and_within_windows),
        TEST(control_frames_are_written_whole_or_not_at_all),
        TEST(a_stream_reset_before_its_syn_leaves_no_trace),
        TEST(a_frame_before_the_syn_ends_the_session),
        TEST(a_stream_begins_anew_whatever_its_memory_held),
        TEST(streams_that_wait_for_their_ack_are_few),
        TEST(ids_are_used_once_and_run_out),
        TEST(after_a_go_away_nothing_is_opened),
        TEST(a_peer_that_answers_no_ping_is_dead),
        TEST(a_session_begins_with_a_ping_and_its_defaults),
        TEST(an_answer_that_was_read_late_still_counts),
        TEST(a_ping_that_never_went_out_is_missed_too),
        TEST(a_larger_window_is_granted_with_the_opening),
        TEST(only_what_was_consumed_becomes_credit),
        TEST(a_smaller_window_counts_once_the_first_is_used_up),
        TEST(a_window_grows_when_the_round_trip_limits_the_peer),
        TEST(an_opening_and_its_ack_measure_the_round_trip),
        TEST(the_least_round_trip_counts),
        TEST(a_window_that_grows_fills_a_long_pipe),
        TEST(what_is_not_taken_is_offered_again),
        TEST(a_stream_let_go_of_in_mid_frame_is_told_nothing_more),
        TEST(how_long_a_stream_holds_back_is_counted),
        TEST(the_count_begins_anew_with_a_whole_window),
        TEST(streams_that_hold_back_in_turn_are_counted_each),
        TEST(a_stream_that_is_not_too_slow_may_hold_back_for_ever),
        TEST(two_sessions_back_to_back_lose_nothing_at_random)
    };

    return TEST_MAIN(tests);
}
