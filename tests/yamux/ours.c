/* ours.c: src/yamux.c over a loopback socket, for the tests of yamux.sh.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: ours serve [STREAMS]      prints its port; serves one connection after
 *                                  another, STREAMS at once on each
 *        ours dial PORT [TEST]     runs every test, or one, against peer.go
 *
 * Each stream begins with a request of 16 bytes, padded with blanks:
 *   echo     everything comes back            give N  N bytes of a pattern
 *   sink     count and hash, behind the FIN   hold    a sink, once released
 *            or, with a number, N bytes
 *   release  all that hold go on              held    bytes that are held
 *   reset    a reset is the answer            resets  that the peer has sent
 *   away     go away                          rss     resident KiB
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "src/internal.h"

#define SLOTS 320
#define BUFFER 65536
#define PERIOD 65536                /* of the pattern */
#define REQUEST 16
#define MIB ((uint64_t)1 << 20)

enum mode { WAITING = 0, ECHO, GIVE, SINK, HOLD, SAY };

/* A stream, its place in a table for the whole run. */
struct slot {
    struct lssb_yamux_stream stream;    /* first */
    enum mode mode;
    char request[REQUEST + 1];
    size_t request_len;             /* server: received */
    char head[64];                  /* to send first: a request, an answer */
    size_t head_len;
    size_t head_sent;
    uint64_t give;                  /* bytes of the pattern to send then */
    uint64_t gave;
    bool end;                       /* and then FIN */
    bool keep;                      /* received bytes are not consumed */
    bool over;                      /* the peer has finished, or reset it */
    bool reset;
    bool wrong;                     /* what came is not the pattern */
    uint64_t received;
    uint64_t wanted;                /* server: a sink answers then, if not 0 */
    uint64_t hash;
    char text[64];                  /* its first bytes */
    size_t ring_from;
    size_t ring_len;
};

static struct lssb_yamux session;
static struct slot slots[SLOTS];
static uint8_t rings[SLOTS][LSSB_YAMUX_WINDOW];
static uint8_t pattern[PERIOD * 2];
static uint8_t in[BUFFER], out[BUFFER];
static size_t in_len, out_from, out_len;
static int sock = -1;
static size_t most_slots = SLOTS;
static unsigned long resets, pongs;
static bool ended;                  /* the connection */
static int passed;

static void fail(const char *why)
{
    printf("FAILED: %s\n%d passed, 1 failed\n", why, passed);
    fflush(stdout);
    exit(1);
}

static void on_alarm(int signal)
{
    (void)signal;
    fail("a minute is up");
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t fnv(uint64_t hash, const uint8_t *bytes, size_t len)
{
    while (len-- > 0)
        hash = (hash ^ *bytes++) * UINT64_C(1099511628211);
    return hash;
}

static unsigned long rss_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (file != NULL && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* ------------------------------------------------------------------- output */

static uint64_t left_to_send(const struct slot *slot)
{
    return slot->head_len - slot->head_sent + slot->give - slot->gave +
           (slot->mode == ECHO ? slot->ring_len : 0);
}

/* Asks for a turn, or ends, as what is left to send demands. */
static void update(struct slot *slot)
{
    uint64_t left = left_to_send(slot);

    lssb_yamux_want(&session, &slot->stream, left > 0);
    if (left == 0 && slot->end)
        lssb_yamux_finish(&session, &slot->stream);
}

/* Takes bytes out of a ring. */
static size_t from_ring(struct slot *slot, uint8_t *to, size_t len)
{
    size_t room = LSSB_YAMUX_WINDOW - slot->ring_from;
    const uint8_t *ring = rings[slot - slots];

    len = len < slot->ring_len ? len : slot->ring_len;
    len = len < room ? len : room;
    memcpy(to, ring + slot->ring_from, len);
    slot->ring_from = (slot->ring_from + len) % LSSB_YAMUX_WINDOW;
    slot->ring_len -= len;
    lssb_yamux_consumed(&session, &slot->stream, len);
    return len;
}

/* The next bytes that a stream sends. */
static size_t fill(struct slot *slot, uint8_t *to, size_t len)
{
    size_t n = slot->head_len - slot->head_sent;

    if (n > 0) {
        n = n < len ? n : len;
        memcpy(to, slot->head + slot->head_sent, n);
        slot->head_sent += n;
        return n;
    }
    if (slot->mode == ECHO && slot->ring_len > 0)
        return from_ring(slot, to, len);
    len = len < PERIOD ? len : PERIOD;
    n = slot->give - slot->gave < len ? (size_t)(slot->give - slot->gave)
                                      : len;
    memcpy(to, pattern + slot->gave % PERIOD, n);
    slot->gave += n;
    return n;
}

static void fill_out(void)
{
    struct lssb_yamux_stream *stream;
    uint32_t most;

    for (;;) {
        size_t room = BUFFER - out_len, n;

        out_len += lssb_yamux_control(&session, out + out_len, room);
        room = BUFFER - out_len;
        stream = lssb_yamux_turn(&session, &most);
        if (stream == NULL || room <= LSSB_YAMUX_HEADER)
            return;
        room -= LSSB_YAMUX_HEADER;
        room = room < 16384 ? room : 16384;
        n = fill((struct slot *)(void *)stream, out + out_len + 12,
                 room < most ? room : most);
        lssb_yamux_commit(&session, n, out + out_len);
        out_len += n + LSSB_YAMUX_HEADER;
        update((struct slot *)(void *)stream);
    }
}

static void flush_out(void)
{
    ssize_t n;

    do {
        if (out_from == out_len)
            out_from = out_len = 0;
        fill_out();
        if (out_from == out_len)
            return;
        n = send(sock, out + out_from, out_len - out_from, MSG_NOSIGNAL);
        if (n > 0)
            out_from += (size_t)n;
    } while (n > 0);
}

/* --------------------------------------------------------------- the server */

static void say(struct slot *slot, const char *format, unsigned long number)
{
    slot->mode = SAY;
    snprintf(slot->head, sizeof slot->head, format, number);
    slot->head_len = strlen(slot->head);
    slot->end = true;
}

static bool asks(const struct slot *slot, const char *word)
{
    return strncmp(slot->request, word, strlen(word)) == 0;
}

/* The peer has finished, or a sink has what it wanted. */
static void serve_end(struct slot *slot)
{
    if (slot->mode == SINK && !slot->end)
        snprintf(slot->head, sizeof slot->head, "%llu %016llx",
                 (unsigned long long)slot->received,
                 (unsigned long long)slot->hash);
    slot->head_len = strlen(slot->head);
    slot->end = true;
    update(slot);
}

/* What a sink does with bytes. */
static void sink(struct slot *slot, const uint8_t *bytes, size_t len)
{
    slot->hash = fnv(slot->hash, bytes, len);
    slot->received += len;
    if (slot->mode == SINK && slot->received == slot->wanted)
        serve_end(slot);
}

/* Lets every stream that holds go on as a sink. */
static void release_all(void)
{
    static uint8_t bytes[LSSB_YAMUX_WINDOW];
    struct slot *slot;
    size_t n;

    for (slot = slots; slot < slots + SLOTS; slot++) {
        if (slot->mode != HOLD || slot->stream.id == 0)
            continue;
        slot->mode = SINK;
        while ((n = from_ring(slot, bytes, sizeof bytes)) > 0)
            sink(slot, bytes, n);
    }
}

static unsigned long count_held(void)
{
    unsigned long held = 0;
    struct slot *slot;

    for (slot = slots; slot < slots + SLOTS; slot++)
        if (slot->mode == HOLD && slot->stream.id != 0)
            held += (unsigned long)slot->ring_len;
    return held;
}

static void begin_request(struct slot *slot)
{
    slot->wanted = strtoull(slot->request + 4, NULL, 10);
    if (asks(slot, "echo")) {
        slot->mode = ECHO;
    } else if (asks(slot, "give")) {
        slot->mode = GIVE;
        slot->give = slot->wanted;
        slot->end = true;
    } else if (asks(slot, "sink")) {
        slot->mode = SINK;
    } else if (asks(slot, "hold")) {
        slot->mode = HOLD;
    } else if (asks(slot, "held")) {
        say(slot, "%lu", count_held());
    } else if (asks(slot, "resets")) {
        say(slot, "%lu", resets);
    } else if (asks(slot, "reset")) {
        lssb_yamux_reset(&session, &slot->stream);
    } else if (asks(slot, "release")) {
        release_all();
        say(slot, "ok", 0);
    } else if (asks(slot, "away")) {
        lssb_yamux_go_away(&session, LSSB_YAMUX_NORMAL);
        say(slot, "ok", 0);
    } else if (asks(slot, "rss")) {
        say(slot, "%lu", rss_kib());
    } else {
        say(slot, "what?", 0);
    }
}

/* Puts bytes into a ring: there is always room, a window is no larger. */
static void into_ring(struct slot *slot, const uint8_t *bytes, size_t len)
{
    uint8_t *ring = rings[slot - slots];

    while (len-- > 0)
        ring[(slot->ring_from + slot->ring_len++) % LSSB_YAMUX_WINDOW] =
            *bytes++;
}

static void serve_data(struct slot *slot, const uint8_t *bytes, size_t len)
{
    size_t n = REQUEST - slot->request_len;

    n = n < len ? n : len;
    memcpy(slot->request + slot->request_len, bytes, n);
    slot->request_len += n;
    lssb_yamux_consumed(&session, &slot->stream, n);
    if (n > 0 && slot->request_len == REQUEST)
        begin_request(slot);
    if (slot->mode == ECHO || slot->mode == HOLD) {
        into_ring(slot, bytes + n, len - n);
    } else {
        lssb_yamux_consumed(&session, &slot->stream, len - n);
        sink(slot, bytes + n, len - n);
    }
    update(slot);
}

/* -------------------------------------------------------------------- input */

/* A place for a stream. One that dials takes them in turn, so that what came
 * on a stream that has ended can be looked at. */
static struct slot *free_slot(void)
{
    static size_t next;
    size_t n, i = 0;

    for (n = 0; n < most_slots; n++) {
        i = session.server ? n : (next + n) % most_slots;
        if (slots[i].stream.id == 0)
            break;
    }
    if (n == most_slots)
        return NULL;
    next = i + 1;
    memset(&slots[i], 0, sizeof slots[i]);
    slots[i].hash = UINT64_C(14695981039346656037);
    return &slots[i];
}

static void dial_data(struct slot *slot, const uint8_t *bytes, size_t len)
{
    size_t at = 0, n;

    if (slot->received < sizeof slot->text - 1) {
        n = sizeof slot->text - 1 - (size_t)slot->received;
        memcpy(slot->text + slot->received, bytes, n < len ? n : len);
    }
    while (at < len) {
        n = len - at < PERIOD ? len - at : PERIOD;
        if (memcmp(bytes + at, pattern + slot->received % PERIOD, n) != 0)
            slot->wrong = true;
        slot->received += n;
        at += n;
    }
    if (!slot->keep)
        lssb_yamux_consumed(&session, &slot->stream, len);
}

static void on_event(enum lssb_yamux_event event)
{
    struct slot *slot = (struct slot *)(void *)session.stream;

    if (event == LSSB_YAMUX_OPENED && (slot = free_slot()) != NULL)
        lssb_yamux_accept(&session, &slot->stream);
    if (event == LSSB_YAMUX_RESET)
        slot->reset = slot->over = true;
    if (event == LSSB_YAMUX_RESET)
        resets++;
    if (event == LSSB_YAMUX_FINISHED)
        slot->over = true;
    if (event == LSSB_YAMUX_FINISHED && session.server)
        serve_end(slot);
    if (event == LSSB_YAMUX_PONG)
        pongs++;
}

static void feed(void)
{
    enum lssb_yamux_event event = LSSB_YAMUX_FULL;
    size_t at = 0, used;

    while (event != LSSB_YAMUX_MORE) {
        event = lssb_yamux_next(&session, in + at, in_len - at, &used);
        at += used;
        if (event == LSSB_YAMUX_WRONG)
            fprintf(stderr, "ours: %s\n", session.wrong);
        if (event == LSSB_YAMUX_WRONG && !session.server)
            fail(session.wrong);
        if (event == LSSB_YAMUX_FULL || event == LSSB_YAMUX_WRONG)
            break;
        if (event != LSSB_YAMUX_DATA) {
            on_event(event);
            continue;
        }
        used = lssb_yamux_take(&session, session.data_len);
        if (session.server)
            serve_data((struct slot *)(void *)session.stream, in + at, used);
        else
            dial_data((struct slot *)(void *)session.stream, in + at, used);
        at += used;
    }
    ended = ended || event == LSSB_YAMUX_WRONG;
    memmove(in, in + at, in_len - at);
    in_len -= at;
}

/* Waits until something can be done, and does it. */
static void pump(void)
{
    struct pollfd p;
    ssize_t n;

    flush_out();
    p.fd = sock;
    p.events = (short)(POLLIN | (out_len > out_from ? POLLOUT : 0));
    if (poll(&p, 1, 1000) < 0)
        fail("poll");
    if (!lssb_yamux_tick(&session, now_ms()))
        fail("the peer is dead");
    if (in_len < BUFFER && (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        n = recv(sock, in + in_len, BUFFER - in_len, 0);
        ended = ended || n == 0;
        if (n > 0)
            in_len += (size_t)n;
    }
    feed();
    flush_out();
}

/* ------------------------------------------------------------------ sockets */

static void begin(int fd, bool server)
{
    int on = 1;

    sock = fd;
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(sock, F_SETFL, O_NONBLOCK);
    memset(slots, 0, sizeof slots);
    in_len = out_from = out_len = 0;
    ended = false;
    resets = pongs = 0;
    lssb_yamux_start(&session, server, now_ms());
}

static int serve(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    struct sockaddr_in address;
    socklen_t len = sizeof address;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        begin(fd, true);
        while (!ended)
            pump();
        flush_out();
        close(fd);
    }
    return 1;
}

static void dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    begin(fd, false);
}

/* ---------------------------------------------------------------- the tests */

static void must(bool condition, const char *why)
{
    if (!condition)
        fail(why);
}

/* Opens a stream with a request, `give` bytes and a FIN behind it. */
static struct slot *ask_with(const char *request, uint64_t give, bool end,
                             uint32_t window)
{
    struct slot *slot = free_slot();
    size_t len = strlen(request);

    must(slot != NULL, "no slot is free");
    memset(slot->head, ' ', REQUEST);
    memcpy(slot->head, request, len);
    slot->head_len = REQUEST;
    slot->give = give;
    slot->end = end;
    slot->stream.window = window;
    while (session.unacked >= LSSB_YAMUX_UNACKED)
        pump();
    must(lssb_yamux_open(&session, &slot->stream) == LSSB_YAMUX_OPEN,
         "a stream could not be opened");
    update(slot);
    return slot;
}

static struct slot *ask(const char *request, uint64_t give)
{
    return ask_with(request, give, true, 0);
}

static void wait_for(const bool *flag)
{
    while (!*flag) {
        must(!ended, "the connection ended");
        pump();
    }
}

/* The text that answers a request. */
static const char *answer(const char *request)
{
    struct slot *slot = ask(request, 0);

    wait_for(&slot->over);
    return slot->text;
}

/* What a sink says of n bytes of the pattern. */
static const char *sum(uint64_t n)
{
    static char text[64];
    uint64_t hash = UINT64_C(14695981039346656037), at;

    for (at = 0; at < n; at += PERIOD)
        hash = fnv(hash, pattern, n - at < PERIOD ? (size_t)(n - at) : PERIOD);
    snprintf(text, sizeof text, "%llu %016llx", (unsigned long long)n,
             (unsigned long long)hash);
    return text;
}

static void echo_works(void)
{
    struct slot *slot = ask("echo", 100000);

    wait_for(&slot->over);
    must(slot->received == 100000 && !slot->wrong, "the echo is another");
    while (slot->stream.id != 0)
        pump();
    must(session.streams == 0, "the stream is still there");
}

static void half_close_leaves_the_other_direction_open(void)
{
    struct slot *slot = ask("sink", 3000000);

    wait_for(&slot->over);
    must(!slot->reset && strcmp(slot->text, sum(3000000)) == 0,
         "the answer behind the FIN is another");
}

/* Prints a speed. */
static void speed(const char *what, uint64_t bytes, uint64_t since)
{
    uint64_t ms = now_ms() - since;

    printf("  %s: %lu MiB/s\n", what,
           (unsigned long)(bytes * 1000 / (ms > 0 ? ms : 1) / MIB));
}

static void bytes_go_up_whole(void)
{
    uint64_t since = now_ms();
    struct slot *slot = ask("sink", 512 * MIB);

    wait_for(&slot->over);
    speed("up", 512 * MIB, since);
    must(strcmp(slot->text, sum(512 * MIB)) == 0, "the hash is another");
}

static void bytes_come_down_whole(void)
{
    uint64_t since = now_ms();
    struct slot *slot = ask("give 536870912", 0);

    wait_for(&slot->over);
    speed("down", 512 * MIB, since);
    must(slot->received == 512 * MIB && !slot->wrong, "they are others");
}

static void both_directions_at_once(void)
{
    struct slot *slot = ask("echo", 128 * MIB);

    wait_for(&slot->over);
    must(slot->received == 128 * MIB && !slot->wrong, "they are others");
}

static void two_hundred_streams_at_once(void)
{
    struct slot *all[200];
    int i;

    for (i = 0; i < 200; i++)
        all[i] = ask("echo", 300000);
    for (i = 0; i < 200; i++) {
        wait_for(&all[i]->over);
        must(all[i]->received == 300000 && !all[i]->wrong,
             "an echo is another");
    }
}

static void ten_thousand_streams_in_turn_in_flat_memory(void)
{
    unsigned long early = 0;
    int i;

    for (i = 0; i < 10000; i++) {
        struct slot *slot = ask("echo", 100);

        wait_for(&slot->over);
        must(slot->received == 100 && !slot->wrong, "an echo is another");
        early = i == 1000 ? rss_kib() : early;
    }
    must(rss_kib() <= early + 512, "the memory has grown");
    must(session.streams <= 1 && session.unacked == 0, "streams are left");
}

static void a_ping_is_answered(void)
{
    unsigned long before = pongs;

    lssb_yamux_ping(&session);
    while (pongs == before)
        pump();
    must(session.least_round_trip_ms < 5000, "the round trip is no number");
}

static void a_reset_of_ours_ends_the_peers_writing(void)
{
    struct slot *slot = ask("give 1000000000", 0);

    while (slot->received < MIB)
        pump();
    lssb_yamux_reset(&session, &slot->stream);
    while (strcmp(answer("resets"), "1") != 0)
        must(slot->stream.id == 0, "the reset was not sent");
    echo_works();
}

static void a_peers_window_is_respected(void)
{
    struct slot *slot = ask("hold", MIB);

    while (slot->stream.send_window > 0)
        pump();
    a_ping_is_answered();
    must(slot->gave == LSSB_YAMUX_WINDOW - REQUEST && !slot->over,
         "more was sent than the window allows");
    must(strcmp(answer("release"), "ok") == 0, "nothing was released");
    wait_for(&slot->over);
    must(strcmp(slot->text, sum(MIB)) == 0, "the hash is another");
}

/* Lets nothing be consumed until the window is used up, twice over. */
static void stop_at_window(uint32_t window)
{
    struct slot *slot = ask_with("give 10000000", 0, true, window);

    slot->keep = true;
    while (slot->received < window)
        pump();
    a_ping_is_answered();
    must(slot->received == window, "the peer sends beyond its window");
    slot->keep = false;
    lssb_yamux_consumed(&session, &slot->stream, window);
    wait_for(&slot->over);
    must(slot->received == 10000000 && !slot->wrong, "they are others");
}

static void the_peer_stops_when_nothing_is_consumed(void)
{
    stop_at_window(LSSB_YAMUX_WINDOW);
}

static void larger_windows_are_used(void)
{
    stop_at_window(4 * (uint32_t)MIB);
}

static void what_the_peer_opens_is_refused(void)
{
    must(strcmp(answer("open"), "reset") == 0, answer("open"));
    echo_works();
}

static void a_go_away_of_the_peer_lets_streams_finish(void)
{
    struct slot *slot = ask_with("echo", 1000, false, 0);
    struct slot *late = free_slot();

    while (slot->received < 1000)
        pump();
    must(strcmp(answer("away"), "ok") == 0, "it did not go away");
    while (!session.going_away)
        pump();
    must(lssb_yamux_open(&session, &late->stream) == LSSB_YAMUX_CLOSED,
         "a stream was opened");
    slot->give = 200000;
    slot->end = true;
    update(slot);
    wait_for(&slot->over);
    must(slot->received == 200000 && !slot->wrong, "the echo is another");
}

static void a_go_away_of_ours_is_understood(void)
{
    struct slot *slot = ask_with("open later", 0, false, 0);

    while (!slot->stream.acked)
        pump();
    lssb_yamux_go_away(&session, LSSB_YAMUX_NORMAL);
    wait_for(&slot->over);
    must(strcmp(slot->text, "refused") == 0, slot->text);
}

static void a_full_backlog_resets(void)
{
    int i;

    for (i = 0; i < 40; i++)
        ask("echo", 5);
    while (resets < 24)
        pump();
    a_ping_is_answered();
    must(resets == 24 && session.streams == 16 && session.unacked == 16,
         "not all but 16 were reset");
}

static void more_than_256_wait_for_their_ack_no_more(void)
{
    struct slot *all[300];
    int i;

    for (i = 0; i < 300; i++)
        all[i] = ask("echo", 5);
    for (i = 0; i < 300; i++) {
        wait_for(&all[i]->over);
        must(!all[i]->reset && all[i]->received == 5, "one was refused");
    }
}

#define TEST(name) { #name, name }

static const struct test {
    const char *name;
    void (*run)(void);
} tests[] = {
    TEST(echo_works),
    TEST(half_close_leaves_the_other_direction_open),
    TEST(bytes_go_up_whole),
    TEST(bytes_come_down_whole),
    TEST(both_directions_at_once),
    TEST(two_hundred_streams_at_once),
    TEST(ten_thousand_streams_in_turn_in_flat_memory),
    TEST(a_ping_is_answered),
    TEST(a_reset_of_ours_ends_the_peers_writing),
    TEST(a_peers_window_is_respected),
    TEST(the_peer_stops_when_nothing_is_consumed),
    TEST(larger_windows_are_used),
    TEST(what_the_peer_opens_is_refused),
    TEST(a_go_away_of_the_peer_lets_streams_finish),
    TEST(a_go_away_of_ours_is_understood),
    TEST(more_than_256_wait_for_their_ack_no_more),
    TEST(a_full_backlog_resets)     /* the last: only when it is named */
};

/* Each test has a connection, and a minute, of its own. */
static int dial_tests(int port, const char *only)
{
    size_t count = sizeof tests / sizeof tests[0], i;

    signal(SIGALRM, on_alarm);
    for (i = 0; i < count; i++) {
        if (only == NULL ? i == count - 1 : strcmp(tests[i].name, only) != 0)
            continue;
        printf("%s\n", tests[i].name);
        fflush(stdout);
        alarm(60);
        dial(port);
        tests[i].run();
        close(sock);
        passed++;
    }
    printf("%d passed, 0 failed\n", passed);
    return passed == 0;
}

int main(int argc, char **argv)
{
    size_t i;

    for (i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + (i >> 8));
    if (argc >= 2 && strcmp(argv[1], "serve") == 0) {
        if (argc > 2)
            most_slots = strtoul(argv[2], NULL, 10);
        return serve();
    }
    if (argc >= 3 && strcmp(argv[1], "dial") == 0)
        return dial_tests(atoi(argv[2]), argc > 3 ? argv[3] : NULL);
    fprintf(stderr, "usage: ours serve [STREAMS] | ours dial PORT [TEST]\n");
    return 2;
}
