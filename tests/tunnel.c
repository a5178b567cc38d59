/* tunnel.c: tunnels over the scripted port, rule by rule (protocol 6).
 *
 * SPDX-License-Identifier: MIT
 */
#include "../src/internal.h"
#include "scripted.h"

#if LSSB_TUNNEL
#include "scripted_tls.h"
#include "scripted_tunnel.h"

static struct script_client me;
static lssb_sandbox sandbox;
static lssb_tunnel tunnel;
static lssb_tunnel_options how;
static lssb_listener listener;
static lssb_tunnel_stream stream;
static char events[4096];           /* what was told: "opened 7\n" … */
static char last_message[LSSB_MESSAGE_SIZE];
static uint64_t sent_bytes, received_bytes;     /* of the last end */
static lssb_status last_status;
static uint64_t reset_at;           /* when a reset was told */
static lssb_status dials_in_callback;       /* and expects that */
static lssb_tunnel_kind dials_at;
static lssb_op callback_op;
static lssb_tunnel_stream callback_stream;

static lssb_port box_port;

/* Hears events. */
static void hears(void *user, const lssb_tunnel_event *event)
{
    static const char *const names[] = { "?", "lost", "back", "away", "opened",
                                         "refused", "ended", "reset" };
    size_t len = strlen(events);
    lssb_status dials;

    EXPECT(user == &how);
    if (len + 32 < sizeof events)
        sprintf(events + len, "%s %u\n", names[event->kind],
                (unsigned)event->port);
    EXPECT(strlen(event->message) < sizeof last_message);
    strcpy(last_message, event->message);
    last_status = event->status;
    if (event->kind == LSSB_TUNNEL_RESET)
        reset_at = script.now;
    sent_bytes = event->sent_bytes;
    received_bytes = event->received_bytes;
    dials = dials_in_callback;
    if (dials == LSSB_OK || event->kind != dials_at)
        return;
    dials_in_callback = LSSB_OK;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &callback_stream, NULL),
               LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_E_IN_CALLBACK);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &callback_stream,
                                   &callback_op),
               dials);
}

/* A client, and a box that is there. */
static void prepare(enum script_mode mode)
{
    script_begin(mode, NULL, 0);
    memset(&box, 0, sizeof box);
    memset(&how, 0, sizeof how);
    memset(&me, 0, sizeof me);
    memset(&callback_op, 0, sizeof callback_op);
    events[0] = '\0';
    script.peers = &box_peers;
    box_port = script_port;
    box_port.send = box_send;
    box_port.connected = box_connected;
    box_port.close_handle = box_close_handle;
    box_port.wait = box_wait;
    how.event = hears;
    how.user = &how;
    script_config(&me.config);
    me.config.port = &box_port;
    me.config.slots = 2;
    me.config.streams = 8;
}

static void begin_as_prepared(void)
{
    script_client_open(&me);
    memset(&sandbox, 0, sizeof sandbox);
    sandbox.client = me.client;
    strcpy(sandbox.dataplane_url,
           script.records ? "https://box.test/d" : "http://box.test/d");
}

static void begin(enum script_mode mode)
{
    prepare(mode);
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    EXPECT_INT(tunnel.status, LSSB_OK);
    EXPECT(tunnel.connected);
}

/* Closes all; nothing must be left. */
static void end(void)
{
    size_t i;

    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(tunnel.streams, 0);
    script_client_close(&me);
    for (i = 0; i < LOCALS; i++)
        free(box.locals[i].got);
    memset(&tunnel, 0, sizeof tunnel);
}

/* Listens for a port in the box. */
static void listens(uint16_t port)
{
    lssb_listen_options where = { 0 };

    where.port = port;
    where.listen = &box_listen_port;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
}

/* Steps until nothing moves any more, without letting time pass. */
static void settle(void)
{
    int i;

    for (i = 0; i < 5000; i++) {
        uint32_t ms;
        lssb_socket sockets[32];

        if (lssb_step(me.client) == LSSB_OK)
            continue;
        lssb_sockets(me.client, sockets, 32, &ms);
        lssb_wait(me.client, NULL, 0);
        if (ms > 0 && i > 200)
            return;
    }
}

/* Lets so much time pass. */
static void passes(uint32_t ms)
{
    uint64_t until = script.now + ms;

    while (script.now < until)
        if (lssb_wait(me.client, NULL, (uint32_t)(until - script.now)) ==
            LSSB_OK)
            script.now = until;     /* nothing is under way */
}

/* Reads all there is, to the end; its length. */
static size_t reads_all(lssb_tunnel_stream *from, char *to, size_t size,
                        lssb_status *last)
{
    size_t len = 0, n;

    while ((*last = lssb_tunnel_read(from, to + len, size - len, &n, 60000)) ==
           LSSB_OK)
        len += n;
    return len;
}

static size_t count_of(const char *word)
{
    const char *at = events;
    size_t count = 0;

    while ((at = strstr(at, word)) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* ----------------------------------------------------------- single streams */

static void what_is_written_comes_back_however_bytes_arrive(void)
{
    static const char *const names[] = { "whole", "bytes", "every other",
                                         "both" };
    static char text[3000], got[3000];
    unsigned mode, i;

    for (i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 23);
    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        lssb_status last;
        size_t n;

        test_row = names[mode];
        begin((enum script_mode)mode);
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   LSSB_OK);
        EXPECT_INT(tunnel.streams, 1);
        EXPECT_INT(lssb_tunnel_write(&stream, text, sizeof text, &n,
                                     LSSB_FOREVER),
                   LSSB_OK);
        EXPECT_INT(n, sizeof text);
        EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_OK);
        EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_OK);   /* once */
        EXPECT_INT(reads_all(&stream, got, sizeof got, &last), sizeof got);
        EXPECT_INT(last, LSSB_E_INVALID_ARGUMENT);  /* there is no room */
        EXPECT_INT(lssb_tunnel_read(&stream, got, 1, &n, 60000), LSSB_END);
        EXPECT(memcmp(text, got, sizeof text) == 0);
        EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, &n, 0),
                   LSSB_E_OPERATION);
        lssb_tunnel_stream_close(&stream);
        lssb_tunnel_stream_close(&stream);
        EXPECT_INT(tunnel.sent_bytes, sizeof text);
        EXPECT_INT(tunnel.received_bytes, sizeof text);
        settle();
        EXPECT_INT(box.resets, 0);
        EXPECT_INT(box.ends, 1);
        end();
        EXPECT_INT(box.aways, 1);
        EXPECT_INT(box.closes, 1);
    }
    test_row = "";
}

static void a_port_that_does_not_answer_well_is_told_apart(void)
{
    static const struct {
        const char *name;
        uint16_t port;
        lssb_status status;
    } rows[] = { { "not allowed", BOX_NOT_ALLOWED, LSSB_E_TUNNEL_PORT },
                 { "refused", BOX_REFUSED, LSSB_E_TUNNEL_REFUSED },
                 { "version", BOX_VERSION, LSSB_E_TUNNEL_VERSION },
                 { "strange", BOX_STRANGE, LSSB_E_TUNNEL },
                 { "reset", BOX_RESETS, LSSB_E_TUNNEL },
                 { "ended", BOX_ENDS, LSSB_E_TUNNEL },
                 { "silent", BOX_SILENT, LSSB_E_TIMEOUT } };
    struct local *local;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_op op = { 0 };
        lssb_error error;
        char word[32];

        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        op.error = &error;
        EXPECT_INT(lssb_tunnel_connect(&tunnel, rows[i].port, &stream, &op),
                   LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), rows[i].status);
        EXPECT_INT(error.status, rows[i].status);
        EXPECT_INT(error.layer, LSSB_LAYER_TUNNEL);
        EXPECT_INT(tunnel.error.status, rows[i].status);
        EXPECT_INT(stream.status, rows[i].status);
        EXPECT_INT(box.opened, 1);
        EXPECT(strstr(error.message, "tunnel to port ") == error.message);
        EXPECT_INT(tunnel.streams, 0);
        listens(rows[i].port);
        local = local_connects("x", 1, false);
        passes(31000);
        EXPECT(local->closed && local->was_reset);
        EXPECT_INT(local->got_len, 0);
        sprintf(word, "refused %u\n", (unsigned)rows[i].port);
        EXPECT_STR(events, word);
        EXPECT_INT(last_status, rows[i].status);
        EXPECT(tunnel.connected);
        end();
    }
    test_row = "";
}

static void reading_does_not_step_and_writing_takes_what_fits(void)
{
    static char much[300000];
    char byte;
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_read(&stream, &byte, 1, &n, 0), LSSB_AGAIN);
    EXPECT_INT(lssb_tunnel_read(&stream, &byte, 0, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_read(&stream, NULL, 1, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_write(&stream, NULL, 1, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_write(&stream, much, 0, &n, 0), LSSB_OK);
    EXPECT_INT(lssb_tunnel_write(&stream, much, sizeof much, &n, 1000),
               LSSB_OK);
    EXPECT_INT(n, LSSB_YAMUX_WINDOW);   /* the ACK had credit for the header */
    EXPECT_INT(lssb_tunnel_write(&stream, much, 1, &n, 0), LSSB_AGAIN);
    EXPECT_INT(n, 0);
    lssb_tunnel_stream_close(&stream);
    settle();
    EXPECT_INT(box.resets, 1);
    end();
}

static void a_stream_may_be_finished_before_it_is_open(void)
{
    lssb_op op = { 0 };
    lssb_status last;
    char got[16];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GREET, &stream, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_OK);
    EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, &n, 0), LSSB_E_OPERATION);
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_OK);
    EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 8);
    EXPECT_INT(last, LSSB_END);
    EXPECT_INT(box.ends, 1);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void a_connect_ends_when_it_is_canceled_or_late(void)
{
    lssb_op op = { 0 };

    begin(SCRIPT_WHOLE);
    op.deadline_ms = 500;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
    EXPECT(strstr(lssb_error_text(me.client), "the port in the box") != NULL);
    EXPECT(stream.bridge == NULL);
    op.deadline_ms = 0;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
               LSSB_PENDING);
    settle();
    lssb_cancel(&op);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
               LSSB_PENDING);
    settle();
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    EXPECT_STR(lssb_error_text(me.client), "connect through tunnel: the "
               "stream was closed before it was open");
    settle();
    EXPECT_INT(box.resets, 3);
    EXPECT_INT(tunnel.streams, 0);
    end();
}

static void a_stream_that_is_closed_half_way_is_reset(void)
{
    lssb_status last;
    char got[64];
    int both;

    for (both = 0; both < 2; both++) {
        begin(SCRIPT_WHOLE);
        box.give = 20;
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stream, NULL),
                   LSSB_OK);
        if (both)
            EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_OK);
        EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 20);
        EXPECT_INT(last, LSSB_END);
        lssb_tunnel_stream_close(&stream);
        settle();
        EXPECT_INT(box.resets, both ? 0 : 1);
        end();
    }
}

static void there_are_no_more_streams_than_were_asked_for(void)
{
    lssb_tunnel_stream streams[9];
    size_t i;
    int round;

    begin(SCRIPT_WHOLE);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 8; i++)
            EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &streams[i],
                                           NULL),
                       LSSB_OK);
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &streams[8], NULL),
                   LSSB_E_NO_MEMORY);
        lssb_tunnel_stream_close(&streams[3]);  /* there is room at once */
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &streams[3], NULL),
                   LSSB_OK);
        for (i = 0; i < 8; i++)
            lssb_tunnel_stream_close(&streams[i]);
    }
    end();
}

static void a_reset_is_no_end(void)
{
    char got[16];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_CUT, &stream, NULL), LSSB_OK);
    settle();
    EXPECT_INT(stream.status, LSSB_E_TUNNEL);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 16, &n, 1000), LSSB_OK);
    EXPECT_INT(n, 3);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 16, &n, 1000), LSSB_E_TUNNEL);
    EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, &n, 1000), LSSB_E_TUNNEL);
    EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_E_TUNNEL);
    EXPECT_STR(lssb_error_text(me.client),
               "tunnel to port 21: the connection was reset at its other "
               "end");
    lssb_tunnel_stream_close(&stream);
    end();
}

/* ---------------------------------------------------------- local programs */

static void half_close_goes_through_both_ways(void)
{
    unsigned mode;

    for (mode = 0; mode < SCRIPT_MODES; mode++) {
        struct local *local;

        begin((enum script_mode)mode);
        listens(BOX_GREET);
        EXPECT_INT(listener.port, BOX_GREET);
        local = local_connects("GET /\r\n", 7, true);
        passes(2000);
        EXPECT_INT(local->got_len, 8);
        EXPECT(memcmp(local->got, "hellobye", 8) == 0);
        EXPECT(local->finished && local->closed && !local->was_reset);
        EXPECT_STR(events, "opened 20\nended 20\n");
        EXPECT_INT(sent_bytes, 7);
        EXPECT_INT(received_bytes, 8);
        EXPECT_INT(box.ends, 1);
        EXPECT_INT(tunnel.streams, 0);
        end();
        EXPECT_INT(box.resets, 0);
    }
}

static void the_other_end_may_finish_first(void)
{
    struct local *local;

    begin(SCRIPT_WHOLE);
    box.give = 300000;
    listens(BOX_GIVE);
    local = local_connects(NULL, 0, false);
    passes(2000);
    EXPECT_INT(local->got_len, box.give);
    EXPECT(local->finished && !local->closed);
    local->say = "still here";
    local->say_len = 10;
    local->ends = true;
    passes(1000);
    EXPECT(local->closed && !local->was_reset);
    EXPECT_INT(tunnel.sent_bytes, 10);
    EXPECT_INT(box.ends, 1);
    end();
    EXPECT_INT(box.resets, 0);
}

static void resets_go_through_both_ways(void)
{
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_CUT);
    local = local_connects("x", 1, false);
    settle();
    EXPECT(local->closed && local->was_reset && !local->finished);
    EXPECT_STR(events, "opened 21\nreset 21\n");
    EXPECT_STR(last_message, "tunnel to port 21: the connection was reset at "
                             "its other end");
    lssb_listener_close(&listener);
    lssb_listener_close(&listener);
    EXPECT(!box.listening);
    EXPECT_INT(box.removed, 0);     /* no path */
    events[0] = '\0';
    listens(BOX_ECHO);
    local = local_connects("abc", 3, false);
    local->resets = true;
    settle();
    EXPECT(local->closed && local->was_reset);
    EXPECT_INT(box.resets, 1);
    EXPECT_STR(events, "opened 7\nreset 7\n");
    EXPECT_STR(last_message,
               "tunnel to port 7: the local connection was reset");
    EXPECT_INT(tunnel.streams, 0);
    EXPECT(tunnel.connected);
    end();
}

/* Whether all that was given arrived, and in order. */
static bool is_pattern(const struct local *local)
{
    size_t i;

    for (i = 0; i < local->got_len; i++)
        if ((uint8_t)local->got[i] != box_pattern(i))
            return false;
    return true;
}

static void a_local_reset_is_noticed_when_nothing_is_read_or_written(void)
{
    static char much[300000];
    static const struct {
        const char *name;
        uint16_t port;
        size_t len;
        bool ends;
        unsigned resets;
        const char *events;
    } rows[] = { { "it has finished", BOX_STAY, 3, true, 1,
                   "opened 11\nreset 11\n" },
                 { "the window is used up", BOX_HOLD, sizeof much, false, 1,
                   "opened 10\nreset 10\n" },
                 { "the port has not answered", BOX_SILENT, 3, false, 1,
                   "refused 8\n" } };
    struct local *local;
    unsigned long waits;
    uint64_t broken_at;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        listens(rows[i].port);
        local = local_connects(much, rows[i].len, rows[i].ends);
        settle();
        waits = script.waits;
        passes(20000);
        EXPECT(script.waits - waits < 60);  /* without turning in a circle */
        EXPECT(!local->closed);
        local->handle->broken = true;
        broken_at = script.now;
        passes(5000);
        EXPECT(local->closed && local->was_reset);
        EXPECT(local->closed_at - broken_at <= 1000);
        settle();
        EXPECT_STR(events, rows[i].events);
        EXPECT(strstr(last_message, "the local connection was reset") != NULL);
        EXPECT_INT(box.resets, rows[i].resets);
        EXPECT_INT(tunnel.streams, 0);
        end();
    }
    test_row = "";
}

static void nobody_is_asked_who_can_speak_for_himself(void)
{
    struct local *local;
    unsigned long waits;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    local = local_connects("abc", 3, false);
    settle();
    box.asked = 0;
    waits = script.waits;
    passes(100000);
    EXPECT_INT(box.asked, 0);
    EXPECT(script.waits - waits < 20);  /* for pings */
    EXPECT_INT(local->got_len, 3);
    end();
}

/* Writes a byte and reads it again, so often. */
static void echoes(lssb_tunnel_stream *over, int times)
{
    char got[4];
    size_t n;

    while (times-- > 0) {
        EXPECT_INT(lssb_tunnel_write(over, "x", 1, &n, 1000), LSSB_OK);
        EXPECT_INT(lssb_tunnel_read(over, got, 4, &n, 1000), LSSB_OK);
    }
}

/* Whatever the others have to say. */
static void local_programs_that_say_nothing_are_left_alone(void)
{
    static char much[3000];
    struct local *quiet, *stuck, *busy;
    unsigned receives;

    begin(SCRIPT_BYTE_EVERY_OTHER);
    listens(BOX_STAY);
    stuck = local_connects("abc", 3, true);     /* nothing to wait for */
    settle();
    lssb_listener_close(&listener);
    listens(BOX_ECHO);
    quiet = local_connects("abc", 3, false);
    passes(100);
    busy = local_connects(much, sizeof much, false);
    receives = quiet->handle->receives;
    box.asked = 0;
    passes(100);
    EXPECT_INT(busy->got_len, sizeof much);
    EXPECT(quiet->handle->receives - receives <= 2);
    EXPECT(box.asked <= 1);
    EXPECT(!quiet->closed && !stuck->closed);
    end();
}

static void a_local_reset_is_noticed_when_the_connection_takes_nothing(void)
{
    static char much[300000];
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_SINK);
    local = local_connects(much, sizeof much, false);
    while (tunnel.sent_bytes == 0)
        lssb_wait(me.client, NULL, 0);
    script.stuck_sending = true;
    passes(3000);
    EXPECT(!local->closed);
    local->handle->broken = true;
    local->handle->out_at = local->handle->out_len = 0;
    passes(1000);
    EXPECT(local->closed && local->was_reset);
    EXPECT_INT(tunnel.streams, 0);
    end();
}

/* Nobody says anything meanwhile: it goes on by itself. */
static void an_upload_goes_on_as_long_as_there_is_room(void)
{
    static char much[LSSB_YAMUX_WINDOW];

    begin(SCRIPT_WHOLE);
    listens(BOX_HOLD);
    settle();
    local_connects(much, sizeof much, false);
    passes(50);
    EXPECT_INT(tunnel.sent_bytes, sizeof much);
    end();
}

static void credit_is_for_what_was_consumed(void)
{
    struct box_stream *given;
    struct local *local;

    begin(SCRIPT_WHOLE);
    box.give = 390000;
    listens(BOX_GIVE);
    local = local_connects(NULL, 0, true);
    local->room = 1000;
    settle();
    passes(20000);
    given = &box.now->streams[0];
    EXPECT_INT(local->got_len, 1000);
    /* One window beyond what the local program has taken, and no more. */
    EXPECT(box.give - given->left <= 1000 + LSSB_YAMUX_WINDOW);
    EXPECT(box.give - given->left >= LSSB_YAMUX_WINDOW - 1);
    local->room = SIZE_MAX;
    passes(2000);
    EXPECT_INT(local->got_len, box.give);
    EXPECT(is_pattern(local));
    EXPECT(local->closed && !local->was_reset);
    end();
}

static void a_large_buffer_is_a_large_window_at_once(void)
{
    static const struct {
        const char *name;
        uint32_t buffer, window;
    } rows[] = { { "small", 1024, 262144 },
                 { "default", 0, 262144 },
                 { "larger", 300000, 300000 },
                 { "large", 4194304, 1048576 } };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        prepare(SCRIPT_WHOLE);
        me.config.stream_buffer = rows[i].buffer;
        me.config.streams = 1;      /* a small board has room for it */
        begin_as_prepared();
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   LSSB_OK);
        EXPECT_INT(box.now->streams[0].stream.send_window,
                   rows[i].window - 1);     /* the status */
        lssb_tunnel_stream_close(&stream);
        end();
    }
    test_row = "";
}

static void a_slow_reader_slows_down_itself_only(void)
{
    struct local *slow, *fast;

    begin(SCRIPT_WHOLE);
    box.give = 390000;
    listens(BOX_GIVE);
    slow = local_connects(NULL, 0, true);
    slow->room = 0;
    settle();
    fast = local_connects(NULL, 0, true);
    passes(1000);
    EXPECT_INT(fast->got_len, box.give);
    EXPECT_INT(slow->got_len, 0);
    passes(60000);
    EXPECT(!slow->closed);
    slow->room = SIZE_MAX;
    passes(1000);
    EXPECT_INT(slow->got_len, box.give);
    EXPECT(is_pattern(slow) && is_pattern(fast));
    end();
}

static void a_small_buffer_holds_back_for_five_seconds(void)
{
    struct local *stuck, *other;
    uint64_t began;

    prepare(SCRIPT_WHOLE);
    me.config.stream_buffer = 1024;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.give = 390000;
    listens(BOX_GIVE);
    stuck = local_connects(NULL, 0, true);
    stuck->room = 100;
    settle();
    other = local_connects(NULL, 0, true);
    began = script.now;
    passes(5900);
    EXPECT(reset_at - began >= 4900 && reset_at - began <= 5200);
    EXPECT(stuck->was_reset);
    EXPECT_INT(stuck->got_len, 100);
    EXPECT(strstr(tunnel.error.message, "too slow") != NULL);
    passes(5000);
    EXPECT_INT(other->got_len, box.give);
    EXPECT(is_pattern(other));
    EXPECT(tunnel.connected);
    end();
}

/* Each that is in the way after another one has a quarter of its time. */
static void stuck_readers_share_the_time_that_they_hold_back(void)
{
    struct local *stuck[3], *other;
    uint64_t began, held;
    int i;

    prepare(SCRIPT_WHOLE);
    me.config.stream_buffer = 1024;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.give = 300000;
    listens(BOX_GIVE);
    for (i = 0; i < 3; i++) {
        stuck[i] = local_connects(NULL, 0, true);
        stuck[i]->room = 100;
    }
    settle();
    other = local_connects(NULL, 0, true);
    began = script.now;
    while (other->got_len < box.give && script.now < began + 60000)
        lssb_wait(me.client, NULL, 100);
    held = script.now - began;
    EXPECT(held >= 4900 && held <= 7000);
    for (i = 0; i < 3; i++)
        EXPECT(stuck[i]->closed && stuck[i]->was_reset);
    EXPECT(is_pattern(other));
    passes(10000);                  /* it flows on: all the time again */
    stuck[0] = local_connects(NULL, 0, true);
    stuck[0]->room = 100;
    began = script.now;
    while (!stuck[0]->closed && script.now < began + 60000)
        lssb_wait(me.client, NULL, 100);
    EXPECT(script.now - began >= 4900);
    end();
}

static void what_comes_is_read_in_order_whatever_is_read_at_once(void)
{
    static const size_t sizes[] = { 1, 7, 100, 333, 1000, 1024, 2000 };
    char got[2000];
    size_t at = 0, n, i, j;

    prepare(SCRIPT_WHOLE);
    me.config.stream_buffer = 1024;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.give = 100000;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stream, NULL), LSSB_OK);
    for (i = 0; lssb_tunnel_read(&stream, got, sizes[i % 7], &n, 1000) ==
                LSSB_OK; i++) {
        for (j = 0; j < n; j++, at++)
            EXPECT((uint8_t)got[j] == box_pattern(at));
        if (i % 3 != 0)
            settle();
    }
    EXPECT_INT(at, box.give);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* Nothing but its clock says that it has held back for long enough: no local
 * socket, no bytes. */
static void a_stream_that_is_not_read_is_let_go_in_time(void)
{
    lssb_tunnel_stream stuck[2];
    lssb_op op = { 0 };
    uint64_t began;

    prepare(SCRIPT_WHOLE);
    me.config.stream_buffer = 1024;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.give = 200000;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stuck[0], NULL),
               LSSB_OK);
    settle();
    began = script.now;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stuck[1], NULL),
               LSSB_OK);
    EXPECT_INT(script.now - began, 5000);
    EXPECT_INT(stuck[0].status, LSSB_E_TUNNEL);
    began = script.now;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    EXPECT_INT(script.now - began, 1250);       /* a quarter */
    EXPECT_INT(stuck[1].status, LSSB_E_TUNNEL);
    echoes(&stream, 1);
    lssb_tunnel_stream_close(&stuck[0]);
    lssb_tunnel_stream_close(&stuck[1]);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* The next connection does not begin held back. */
static void a_connection_may_be_lost_while_a_stream_holds_it_back(void)
{
    lssb_tunnel_stream stuck;

    prepare(SCRIPT_WHOLE);
    me.config.stream_buffer = 1024;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.give = 200000;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stuck, NULL), LSSB_OK);
    settle();
    script.stuck_sending = true;    /* so that it is noticed */
    box.deaf = true;
    while (tunnel.connected)
        lssb_wait(me.client, NULL, 100);
    script.stuck_sending = box.deaf = false;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    echoes(&stream, 3);
    lssb_tunnel_stream_close(&stuck);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void memory_is_used_again(void)
{
    char got[8];
    size_t n;
    int i;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 1;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    for (i = 0; i < 300; i++) {
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   LSSB_OK);
        lssb_tunnel_write(&stream, "ping", 4, &n, 1000);
        EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_OK);
        if (i % 2 == 0)
            lssb_tunnel_finish(&stream);
        if (i % 4 == 0)
            EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_END);
        lssb_tunnel_stream_close(&stream);
    }
    EXPECT_INT(box.opened, 300);
    EXPECT(me.client->bridges->high <= 4);  /* the same bytes of it */
    settle();
    EXPECT_INT(lssb_call_slot(&tunnel.reserved.state.carrier)
                   ->own.session.streams, 0);
    end();
}

static void more_connections_than_allowed_wait(void)
{
    lssb_listen_options where = { 0 };
    struct local *locals[4], *other;
    unsigned long waits;
    int i;

    begin(SCRIPT_WHOLE);
    where.port = BOX_ECHO;
    where.local_port = LSSB_ANY_PORT;
    where.listen = &box_listen_port;
    where.most = 2;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
    EXPECT_INT(listener.port, 40000);
    for (i = 0; i < 4; i++)
        locals[i] = local_connects("hi", 2, false);
    settle();
    EXPECT_INT(tunnel.streams, 2);
    EXPECT(locals[1]->used && !locals[2]->used);
    waits = script.waits;
    passes(10000);
    EXPECT(script.waits - waits < 10);  /* without turning in a circle */
    locals[0]->ends = true;
    passes(100);
    EXPECT(locals[0]->closed && locals[2]->used && !locals[3]->used);
    EXPECT_INT(tunnel.streams, 2);
    lssb_listener_close(&listener);     /* those that are bridged go on */
    settle();
    where.most = 1;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
    locals[2]->ends = true;
    passes(100);
    box.accepted = 4;                   /* the one in the backlog is gone */
    other = local_connects("hi", 2, true);
    passes(100);
    EXPECT_INT(other->got_len, 2);      /* they count for the first one only */
    EXPECT_INT(locals[2]->got_len, 2);
    EXPECT(locals[2]->closed && !locals[2]->was_reset);
    EXPECT(!locals[1]->closed);
    end();
    EXPECT(locals[1]->was_reset);
}

static void listeners_count_their_own_connections(void)
{
    lssb_listen_options where = { 0 };
    struct local *first, *next;
    lssb_listener other;

    begin(SCRIPT_WHOLE);
    where.port = BOX_GREET;
    where.listen = &box_listen_port;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &other), LSSB_OK);
    where.port = BOX_ECHO;
    where.most = 1;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
    first = local_connects("abc", 3, false);
    settle();
    next = local_connects("abc", 3, true);
    settle();
    EXPECT(first->used && !next->used);
    lssb_listener_close(&other);
    first->ends = true;
    passes(1000);
    EXPECT(first->closed && next->used && next->closed);
    EXPECT_INT(next->got_len, 3);
    end();
}

static struct local *comer;

/* Has a program connect in a wait. */
static void connects_in_a_wait(unsigned long call)
{
    static unsigned long waits;

    (void)call;
    if (comer == NULL && script.waits > waits && waits > 0)
        comer = local_connects("abc", 3, true);
    waits = comer == NULL ? script.waits : 0;
}

static void who_connects_while_it_waits_is_served_at_once(void)
{
    uint64_t began;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    settle();
    began = script.now;
    comer = NULL;
    script.each = connects_in_a_wait;
    passes(20000);
    script.each = NULL;
    EXPECT(comer != NULL && comer->closed);
    if (comer != NULL)
        EXPECT(comer->closed_at - began < 10);
    end();
}

/* Nothing but the timer says that there is room: the reset goes out a step
 * after it. */
static void a_bridge_that_is_given_back_is_for_the_next_connection(void)
{
    struct local *first, *second;
    uint64_t began;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 2;
    begin_as_prepared();
    how.status_ms = 200;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    listens(BOX_SILENT);
    began = script.now;
    first = local_connects("x", 1, false);
    second = local_connects("x", 1, false);
    passes(150);
    EXPECT(first->used && !second->used);
    box.opened = 0;
    passes(2000);
    EXPECT(first->closed && first->was_reset);
    EXPECT(second->closed && second->was_reset);
    EXPECT_INT(box.opened, 1);
    EXPECT(box.opened_at - began <= 210);
    end();
}

/* The reset of one that was late makes room for an answer more. */
static void a_place_among_the_unanswered_is_for_who_waits(void)
{
    lssb_tunnel_stream late;
    lssb_op first = { 0 }, second = { 0 };
    uint64_t began;

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    how.status_ms = 200;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.deaf = true;
    began = script.now;
    lssb_call_slot(&tunnel.reserved.state.carrier)->own.session.unacked =
        LSSB_YAMUX_UNACKED - 1;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &first),
               LSSB_PENDING);
    passes(100);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &late, &second),
               LSSB_PENDING);
    passes(50);
    EXPECT_INT(box.opened, 1);
    passes(2000);
    EXPECT_INT(first.status, LSSB_E_TIMEOUT);
    EXPECT_INT(box.opened, 2);
    EXPECT(box.opened_at - began <= 210);
    lssb_tunnel_stream_close(&late);
    end();
}

static void a_place_among_the_unanswered_is_waited_for_in_time(void)
{
    begin(SCRIPT_WHOLE);
    lssb_call_slot(&tunnel.reserved.state.carrier)->own.session.unacked =
        LSSB_YAMUX_UNACKED;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
               LSSB_E_TIMEOUT);
    EXPECT_STR(lssb_error_text(me.client),
               "tunnel to port 7: too many streams wait for the box to accept "
               "them");
    EXPECT_INT(box.opened, 0);
    end();
}

static void a_system_without_room_is_asked_again(void)
{
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    box.accept_io = LSSB_IO_LIMIT;
    local = local_connects("hi", 2, true);
    passes(1000);
    EXPECT(!local->used);
    EXPECT(script.waits < 200);         /* without turning in a circle */
    box.accept_io = LSSB_IO_OK;
    passes(1000);
    EXPECT_INT(local->got_len, 2);
    end();
}

static void a_listener_needs_a_port_a_stream_and_a_tunnel(void)
{
    lssb_listen_port old = box_listen_port, pathless = box_listen_port;
    lssb_listen_options where = { 0 };
    lssb_listener second;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 1;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    old.version = LSSB_PORT_VERSION + 1;
    pathless.listen_path = NULL;
    where.port = BOX_ECHO;
    where.listen = &old;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener),
               LSSB_E_UNSUPPORTED);
    where.address = "/tmp/a socket";
    where.listen = &pathless;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener),
               LSSB_E_UNSUPPORTED);
    where.address = NULL;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &second), LSSB_E_NO_MEMORY);
    lssb_listener_close(&second);
    EXPECT(box.listening);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_E_TUNNEL);
    EXPECT(!box.listening);
    end();
}

static void a_listener_says_what_is_wrong(void)
{
    static const struct {
        const char *name;
        uint16_t port;
        const char *address;
        int32_t local_port;
        lssb_io io;
        lssb_status status;
    } rows[] = {
        { "port 0", 0, NULL, 0, LSSB_IO_OK, LSSB_E_INVALID_ARGUMENT },
        { "port -2", 1, NULL, -2, LSSB_IO_OK, LSSB_E_INVALID_ARGUMENT },
        { "port 65536", 1, NULL, 65536, LSSB_IO_OK, LSSB_E_INVALID_ARGUMENT },
        { "a name", 1, "localhost", 0, LSSB_IO_OK, LSSB_E_INVALID_ARGUMENT },
        { "taken", 1, NULL, 0, LSSB_IO_IN_USE, LSSB_E_PORT_IN_USE },
        { "foreign", 1, "192.0.2.1", 0, LSSB_IO_UNREACHABLE,
          LSSB_E_CONNECTION },
        { "not here", 1, "::1", 0, LSSB_IO_UNSUPPORTED, LSSB_E_UNSUPPORTED }
    };
    lssb_listen_options where;
    size_t i;

    begin(SCRIPT_WHOLE);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        memset(&where, 0, sizeof where);
        where.port = rows[i].port;
        where.address = rows[i].address;
        where.local_port = rows[i].local_port;
        where.listen = &box_listen_port;
        box.listen_io = rows[i].io;
        EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener),
                   rows[i].status);
        EXPECT_INT(lssb_last_error(me.client)->status, rows[i].status);
        EXPECT(listener.bridge == NULL);
        if (rows[i].io == LSSB_IO_IN_USE)
            EXPECT_STR(lssb_error_text(me.client),
                       "listen at 127.0.0.1, port 1: the local address is in "
                       "use");
    }
    test_row = "";
    EXPECT_INT(lssb_tunnel_listen(&tunnel, NULL, &listener),
               LSSB_E_INVALID_ARGUMENT);
    box.listen_io = LSSB_IO_OK;
    where.address = "/tmp/a socket";
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener), LSSB_OK);
    EXPECT_INT(listener.port, 0);
    EXPECT_STR(box.listen_path, "/tmp/a socket");
    end();
    EXPECT_INT(box.removed, 1);
    EXPECT(listener.bridge == NULL);
}

/* ---------------------------------------------------------------- the rules */

static void what_breaks_the_rules_ends_the_connection(void)
{
    static const struct {
        const char *name;
        unsigned type, flags;
        uint32_t id, length;
    } rows[] = { { "more than the window", 0, 0, 1, 262144 },
                 { "four GiB", 0, 0, 1, UINT32_MAX },
                 { "another version", 0x100, 0, 1, 0 },
                 { "an unknown type", 4, 0, 1, 0 },
                 { "data for the session", 0, 0, 0, 1 },
                 { "credit for the session", 1, 0, 0, 1 },
                 { "a ping for a stream", 2, 1, 1, 1 },
                 { "an id of ours", 1, 1, 3, 0 },
                 { "credit beyond all bounds", 1, 0, 1, UINT32_MAX } };
    char got[8];
    size_t i, n;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        begin(SCRIPT_WHOLE);
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   LSSB_OK);
        box_frame(box.now, rows[i].type, rows[i].flags, rows[i].id,
                  rows[i].length, NULL);
        settle();
        EXPECT(!tunnel.connected);
        EXPECT_INT(tunnel.status, LSSB_OK);
        EXPECT_INT(tunnel.error.status, LSSB_E_PROTOCOL);
        EXPECT_STR(events, "lost 0\n");
        EXPECT_INT(box.aways, 1);
        EXPECT_INT(box.away_code, LSSB_YAMUX_PROTOCOL);
        EXPECT_INT(box.closes, 1);
        EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 0), LSSB_E_TUNNEL);
        EXPECT(strstr(lssb_error_text(me.client), "rules of yamux") != NULL);
        lssb_tunnel_stream_close(&stream);
        end();
    }
    test_row = "";
}

static void what_may_be_strange_is_harmless(void)
{
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    box.text = true;                /* text messages are their bytes */
    box.piece = 1;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    box_frame(box.now, 1, 1, 2, 0, NULL);       /* a stream of the server's */
    box.now->session.own.next_id = 4;
    box_frame(box.now, 2, 2, 0, 99, NULL);      /* an answer to no ping */
    box_frame(box.now, 1, 0, 2, 5, NULL);       /* credit for no stream */
    EXPECT_INT(lssb_tunnel_write(&stream, "abc", 3, &n, 1000), LSSB_OK);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_OK);
    settle();
    EXPECT(tunnel.connected);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void a_flood_of_pings_holds_up_nothing(void)
{
    char got[8];
    size_t n;
    int i;

    begin(SCRIPT_WHOLE);
    box.piece = 65536;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    settle();
    for (i = 0; i < 200; i++)
        box_frame(box.now, 2, 1, 0, (uint32_t)i, NULL);
    EXPECT_INT(lssb_tunnel_write(&stream, "abc", 3, &n, 1000), LSSB_OK);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_OK);
    EXPECT_INT(box.pongs, 200);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* However many they are: the last one may be the first that has to wait, with
 * nothing behind it. */
static void pings_are_answered_once_the_connection_takes_answers(void)
{
    unsigned many, i;

    begin(SCRIPT_WHOLE);
    settle();
    for (many = 1; many < 40 && test_failures == 0; many++) {
        box.pongs = 0;
        script.stuck_sending = true;
        for (i = 0; i < many; i++)
            box_frame(box.now, 2, 1, 0, i, NULL);
        settle();
        EXPECT_INT(box.pongs, 0);
        script.stuck_sending = false;
        passes(100);
        EXPECT_INT(box.pongs, many);
    }
    end();
}

/* Once there is room, and nothing else happens. */
static void a_ping_of_the_websockets_is_answered_as_well(void)
{
    static char much[10000];
    uint8_t head[LSSB_WS_HEADER];

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    settle();
    script.stuck_sending = true;
    lssb_tunnel_write(&stream, much, sizeof much, NULL, 0);
    box_bytes(box.now, head,
              lssb_ws_head(head, LSSB_WS_PING, true, 2, NULL));
    box_bytes(box.now, "hi", 2);
    settle();
    EXPECT_INT(box.ws_pongs, 0);
    script.stuck_sending = false;
    settle();
    EXPECT_INT(box.ws_pongs, 1);
    lssb_tunnel_stream_close(&stream);
    end();
}

static bool no_random;

static lssb_io box_random(void *context, void *bytes, size_t len)
{
    return no_random ? LSSB_IO_FAILED : script_random(context, bytes, len);
}

/* Nothing goes out that anybody could foresee. */
static void a_port_without_random_bytes_ends_the_connection(void)
{
    prepare(SCRIPT_WHOLE);
    no_random = false;
    box_port.random = box_random;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    settle();
    box.messages = 0;               /* there was a ping */
    no_random = true;
    EXPECT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL) < 0);
    EXPECT_STR(events, "lost 0\n");
    EXPECT(strstr(last_message, "no random bytes") != NULL);
    EXPECT_INT(box.messages, 0);
    no_random = false;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    echoes(&stream, 1);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* What comes for a local program that is gone: the box hears of it. */
static void what_a_local_program_does_not_take_any_more_is_reset(void)
{
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_STAY);
    local = local_connects("x", 1, true);       /* nothing to read from it */
    settle();
    local->handle->broken = true;
    box_frame(box.now, 0, 0, 1, 3, "abc");
    EXPECT(!local->closed);
    settle();
    EXPECT(local->closed && local->was_reset);
    EXPECT_STR(events, "opened 11\nreset 11\n");
    EXPECT_INT(received_bytes, 3);
    EXPECT_INT(box.resets, 1);
    EXPECT(tunnel.connected);
    end();
}

/* What comes behind a refusal is nobody's. */
static void a_refusal_is_the_last_word(void)
{
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_SILENT);
    local = local_connects("x", 1, false);
    settle();
    box_frame(box.now, 0, 0, 1, 5, "\2junk");
    settle();
    EXPECT_STR(events, "refused 8\n");
    EXPECT(local->closed);
    EXPECT_INT(local->got_len, 0);
    EXPECT(tunnel.connected);
    end();
}

static void a_dead_peer_is_noticed(void)
{
    uint64_t began;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    settle();
    passes(100000);
    EXPECT(tunnel.connected);       /* pings are answered */
    box.deaf = true;
    began = script.now;
    while (tunnel.connected && script.now < began + 100000)
        lssb_wait(me.client, NULL, 100);
    EXPECT(script.now - began >= 19000 && script.now - began <= 51000);
    EXPECT_STR(events, "lost 0\n");
    EXPECT_INT(last_status, LSSB_E_CONNECTION);
    EXPECT(strstr(last_message, "did not answer a ping") != NULL);
    EXPECT_INT(stream.status, LSSB_E_TUNNEL);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* It is given 20 s for an answer. */
static void how_often_a_peer_is_asked_is_the_callers_to_say(void)
{
    static const struct {
        const char *name;
        uint32_t ping_ms;
        uint64_t least_ms, most_ms;
    } rows[] = { { "default", 0, 19000, 51000 },
                 { "often", 1000, 19000, 21100 },
                 { "seldom", 200000, 150000, 220100 },
                 { "never", LSSB_FOREVER, 1000000, 1000100 } };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t began;

        test_row = rows[i].name;
        prepare(SCRIPT_WHOLE);
        begin_as_prepared();
        how.ping_ms = rows[i].ping_ms;
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
        passes(50000);
        EXPECT(tunnel.connected);
        box.deaf = true;
        began = script.now;
        while (tunnel.connected && script.now < began + 1000000)
            lssb_wait(me.client, NULL, 100);
        EXPECT(script.now - began >= rows[i].least_ms &&
               script.now - began <= rows[i].most_ms);
        end();
    }
    test_row = "";
}

static void going_away_lets_streams_finish(void)
{
    lssb_tunnel_stream late;
    lssb_op op = { 0 };
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    box_frame(box.now, 3, 0, 0, 0, NULL);
    settle();
    box_frame(box.now, 3, 0, 0, 0, NULL);       /* it is said once */
    settle();
    EXPECT_STR(events, "away 0\n");
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &late, &op),
               LSSB_PENDING);
    settle();
    EXPECT_INT(op.status, LSSB_PENDING);
    EXPECT_INT(lssb_tunnel_write(&stream, "abc", 3, &n, 1000), LSSB_OK);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_OK);
    EXPECT_INT(n, 3);
    lssb_tunnel_finish(&stream);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_END);
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(lssb_wait(me.client, &op, 10000), LSSB_OK);
    EXPECT_INT(box.connections, 2);
    EXPECT_INT(tunnel.reconnected, 1);
    EXPECT_STR(events, "away 0\nback 0\n");
    EXPECT_INT(box.resets, 0);
    EXPECT_INT(box.closes, 1);      /* the first one was left politely */
    lssb_tunnel_stream_close(&late);
    end();
}

static void who_goes_away_is_left_when_somebody_asks_for_more(void)
{
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    box_frame(box.now, 3, 0, 0, 0, NULL);
    settle();
    box_frame(box.now, 1, 8, 1, 0, NULL);       /* and resets what is open */
    settle();
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 0), LSSB_E_TUNNEL);
    EXPECT_INT(box.opened, 1);      /* it is not opened again */
    lssb_tunnel_stream_close(&stream);
    passes(10000);
    EXPECT(tunnel.connected);
    EXPECT_INT(box.connections, 1);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    EXPECT_INT(box.connections, 2);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* The server has said that it goes away, and refuses what it hears then: not
 * more than the header was sent, so the next connection has it. */
static void a_stream_that_crosses_a_going_away_is_opened_again(void)
{
    lssb_op op = { 0 };
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    box.crossing = 1;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 10000), LSSB_OK);
    EXPECT_INT(box.connections, 2);
    EXPECT_INT(tunnel.streams, 1);
    EXPECT_STR(events, "away 0\nback 0\n");
    EXPECT_INT(lssb_tunnel_write(&stream, "abc", 3, &n, 1000), LSSB_OK);
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, 1000), LSSB_OK);
    EXPECT_INT(n, 3);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void a_server_that_always_goes_away_is_not_asked_for_ever(void)
{
    begin(SCRIPT_WHOLE);
    box.crossing = 100;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
               LSSB_E_TUNNEL);
    EXPECT_INT(box.connections, 4);
    EXPECT(strstr(lssb_error_text(me.client), "instead of answering") != NULL);
    EXPECT_INT(tunnel.streams, 0);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void who_waits_for_the_others_does_not_wait_for_ever(void)
{
    lssb_tunnel_stream late;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    box_frame(box.now, 3, 0, 0, 0, NULL);
    settle();
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &late, NULL),
               LSSB_E_TIMEOUT);
    EXPECT_STR(lssb_error_text(me.client),
               "tunnel to port 7: the server is going away, and streams that "
               "are still open keep its connection in use");
    EXPECT_INT(box.connections, 1);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* The time for its answer is that of the connection that it gets. */
static void who_waited_for_the_others_has_all_the_time_then(void)
{
    lssb_tunnel_stream late;
    lssb_op op = { 0 };

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    box_frame(box.now, 3, 0, 0, 0, NULL);
    settle();
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &late, &op),
               LSSB_PENDING);
    passes(25000);
    script.connect_ms = 10000;
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    lssb_tunnel_stream_close(&late);
    end();
}

static void ids_that_are_used_up_need_another_connection(void)
{
    begin(SCRIPT_WHOLE);
    lssb_call_slot(&tunnel.reserved.state.carrier)->own.session.own.next_id =
        UINT32_MAX;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    EXPECT_INT(box.connections, 2);
    EXPECT_STR(events, "back 0\n");
    lssb_tunnel_stream_close(&stream);
    end();
}

/* --------------------------------------------------- opening, and again */

#define LATER(seconds) \
    "HTTP/1.1 503 No\r\nRetry-After: " seconds "\r\nContent-Length: 0\r\n\r\n"
#define REFUSAL(status) "HTTP/1.1 " status " No\r\nContent-Length: 0\r\n\r\n"

static void opening_is_tried_again_like_a_command(void)
{
    static const struct {
        const char *name;
        const char *replies[7];
        lssb_status status;
        unsigned connections;
    } rows[] = {
        { "503", { REFUSAL("503"), REFUSAL("503") }, LSSB_OK, 3 },
        { "429", { REFUSAL("429") }, LSSB_OK, 2 },
        { "gone", { "", "" }, LSSB_OK, 3 },
        { "502 for ever",
          { REFUSAL("502"), REFUSAL("502"), REFUSAL("502"), REFUSAL("502"),
            REFUSAL("502"), REFUSAL("502") },
          LSSB_E_UNAVAILABLE, 6 },
        { "gone for ever", { "", "", "", "", "", "" }, LSSB_E_CONNECTION, 6 },
        { "it asks for an hour", { LATER("3600") }, LSSB_E_UNAVAILABLE, 1 },
        { "401", { REFUSAL("401") }, LSSB_E_AUTH, 1 },
        { "403", { REFUSAL("403") }, LSSB_E_AUTH, 1 },
        { "404", { REFUSAL("404") }, LSSB_E_CONNECTION, 1 },
        { "200", { REFUSAL("200") }, LSSB_E_CONNECTION, 1 },
        { "a wrong accept",
          { "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n" },
          LSSB_E_CONNECTION, 1 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        prepare(SCRIPT_WHOLE);
        begin_as_prepared();
        memcpy(box.replies, rows[i].replies, sizeof rows[i].replies);
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL),
                   rows[i].status);
        EXPECT_INT(tunnel.status, rows[i].status);
        EXPECT_INT(tunnel.error.status, rows[i].status);
        EXPECT_INT(box.connections, rows[i].connections);
        end();
    }
    test_row = "";
}

static void opening_does_not_take_for_ever(void)
{
    uint64_t began;

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    script.stuck_connecting = true;
    began = script.now;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL),
               LSSB_E_CONNECT_TIMEOUT);
    EXPECT(script.now - began >= 90000 && script.now - began <= 120000);
    end();
}

/* Not what the opening had left. */
static void connecting_again_has_all_the_time_of_an_attempt(void)
{
    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    box.replies[0] = box.replies[1] = LATER("55");
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    box.now->handle->broken = true;
    settle();
    script.connect_ms = 25000;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    EXPECT_INT(box.connections, 4);
    end();
}

/* The box's time for an answer begins when it can give one. */
static void who_waited_for_a_connection_waits_as_long_for_an_answer(void)
{
    static const struct {
        const char *name;
        uint32_t status_ms;
        uint64_t ms;
    } rows[] = { { "default", 0, 30000 },
                 { "a second", 1000, 1000 },
                 { "for ever", LSSB_FOREVER, 1000000 } };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_op op = { 0 };
        uint64_t began;

        test_row = rows[i].name;
        prepare(SCRIPT_WHOLE);
        begin_as_prepared();
        how.status_ms = rows[i].status_ms;
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
        box.now->handle->broken = true;
        settle();
        script.connect_ms = 20000;
        began = script.now;
        op.deadline_ms = 1020000;
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
                   LSSB_PENDING);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER),
                   rows[i].ms < 1000000 ? LSSB_E_TIMEOUT : LSSB_E_DEADLINE);
        EXPECT(script.now - began >= 20000 + rows[i].ms &&
               script.now - began <= 20010 + rows[i].ms);
        EXPECT(tunnel.connected);
        began = script.now;         /* who did not wait, too */
        op.deadline_ms = 1000000;
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
                   LSSB_PENDING);
        lssb_wait(me.client, &op, LSSB_FOREVER);
        EXPECT_INT(script.now - began, rows[i].ms);
        end();
    }
    test_row = "";
}

/* A TLS backend that finds the certificate wrong, at times. */
static bool tls_is_wrong;

static lssb_status wrong_tls_pump(void *session)
{
    return tls_is_wrong ? LSSB_E_CERTIFICATE : script_tls_pump(session);
}

static void what_would_only_fail_again_is_not_tried_again(void)
{
    lssb_tls_backend tls = script_tls;

    tls.pump = wrong_tls_pump;
    prepare(SCRIPT_WHOLE);
    script.records = true;
    me.config.endpoint = "https://api.test";
    me.config.tls = &tls;
    begin_as_prepared();
    tls_is_wrong = true;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL),
               LSSB_E_CERTIFICATE);
    EXPECT_INT(script.connect_count, 1);
    tls_is_wrong = false;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    EXPECT_INT(script.connect_count, 2);
    tls_is_wrong = true;
    settle();
    EXPECT(!tunnel.connected);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
               LSSB_E_CERTIFICATE);
    EXPECT_INT(script.connect_count, 3);
    tls_is_wrong = false;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    EXPECT_INT(script.connect_count, 4);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void every_header_goes_along(void)
{
    static const lssb_pair pair = { "X-Own", "value-7" };
    lssb_op op = { 0 };

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    op.headers = &pair;
    op.header_count = 1;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, NULL, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    EXPECT(strstr(box.head, "GET /d/tunnel HTTP/1.1\r\n") == box.head);
    EXPECT(strstr(box.head, "\r\nX-Api-Key: key-1\r\n") != NULL);
    EXPECT(strstr(box.head, "\r\nX-Own: value-7\r\n") != NULL);
    box_close(box.now, 1001);
    settle();
    EXPECT(!tunnel.connected);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    EXPECT_INT(box.connections, 2);
    EXPECT(strstr(box.head, "\r\nX-Own: value-7\r\n") != NULL);
    end();
}

static void a_lost_connection_resets_what_is_on_it_and_comes_back(void)
{
    struct local *first, *second;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    first = local_connects("abc", 3, false);
    settle();
    EXPECT_INT(first->got_len, 3);
    box.now->handle->broken = true;
    settle();
    EXPECT(first->closed && first->was_reset);
    EXPECT_STR(events, "opened 7\nlost 0\nreset 7\n");
    passes(100000);
    EXPECT_INT(box.connections, 1);     /* nobody asked */
    second = local_connects("defg", 4, true);
    passes(1000);
    EXPECT_INT(second->got_len, 4);
    EXPECT_INT(box.connections, 2);
    EXPECT_INT(tunnel.reconnected, 1);
    EXPECT_STR(events, "opened 7\nlost 0\nreset 7\nback 0\nopened 7\n"
                       "ended 7\n");
    end();
}

static void a_lost_connection_keeps_no_memory(void)
{
    int i;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 1;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    for (i = 0; i < 5; i++) {
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   LSSB_OK);
        box.now->handle->broken = true;
        settle();
        EXPECT_INT(stream.status, LSSB_E_TUNNEL);
        lssb_tunnel_stream_close(&stream);
    }
    EXPECT_INT(tunnel.reconnected, 4);
    end();
}

static void what_was_complete_survives_its_connection(void)
{
    char got[64];
    lssb_status last;

    begin(SCRIPT_WHOLE);
    box.give = 20;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stream, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_OK);
    settle();
    box.now->handle->broken = true;
    settle();
    EXPECT(!tunnel.connected);
    EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 20);
    EXPECT_INT(last, LSSB_END);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void a_write_that_waits_ends_when_the_connection_dies(void)
{
    static char much[300000];
    uint64_t began;
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    settle();
    box.deaf = true;
    began = script.now;
    EXPECT_INT(lssb_tunnel_write(&stream, much, sizeof much, &n,
                                 LSSB_FOREVER),
               LSSB_E_TUNNEL);
    EXPECT_INT(n, LSSB_YAMUX_WINDOW);
    EXPECT(script.now - began <= 51000);
    EXPECT(strstr(lssb_error_text(me.client), "a ping in time") != NULL);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void a_read_that_waits_ends_when_the_connection_dies(void)
{
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    settle();
    box.deaf = true;
    EXPECT_INT(lssb_tunnel_read(&stream, got, 8, &n, LSSB_FOREVER),
               LSSB_E_TUNNEL);
    lssb_tunnel_stream_close(&stream);
    end();
}

/* What a program writes and nobody has taken is not lost unnoticed. */
static void a_local_program_is_reset_when_the_connection_dies(void)
{
    static char much[300000];
    struct local *local;

    begin(SCRIPT_WHOLE);
    listens(BOX_HOLD);
    local = local_connects(much, sizeof much, true);
    settle();
    EXPECT_INT(tunnel.sent_bytes, LSSB_YAMUX_WINDOW);
    box.deaf = true;
    passes(60000);
    EXPECT(local->closed && local->was_reset && !local->finished);
    EXPECT_STR(events, "opened 10\nlost 0\nreset 10\n");
    EXPECT_INT(sent_bytes, LSSB_YAMUX_WINDOW);
    end();
}

/* Each of those that are in line waits for one record of the upload. */
static void pings_are_answered_while_an_upload_fills_the_connection(void)
{
    static char much[LSSB_YAMUX_WINDOW];
    uint64_t sent;
    int i;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SINK, &stream, NULL), LSSB_OK);
    settle();
    for (i = 0; i < 20; i++) {
        box_frame(box.now, 2, 1, 0, (uint32_t)i, NULL);
        sent = tunnel.sent_bytes;
        EXPECT_INT(lssb_tunnel_write(&stream, much, sizeof much, NULL, 0),
                   LSSB_OK);
        lssb_step(me.client);
        EXPECT(tunnel.sent_bytes > sent);
        EXPECT_INT(box.pongs, i + 1);
        settle();
    }
    lssb_tunnel_stream_close(&stream);
    end();
}

static void what_came_before_a_loss_is_read_first(void)
{
    char got[64];
    lssb_status last;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GREET, &stream, NULL),
               LSSB_OK);
    settle();
    box.now->handle->broken = true;
    settle();
    EXPECT_INT(stream.status, LSSB_E_TUNNEL);
    EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, NULL, 0), LSSB_E_TUNNEL);
    EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_E_TUNNEL);
    EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 5);
    EXPECT_INT(last, LSSB_E_TUNNEL);
    EXPECT(memcmp(got, "hello", 5) == 0);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void an_end_that_came_is_an_end_after_a_loss_too(void)
{
    char got[64];
    lssb_status last;

    begin(SCRIPT_WHOLE);
    box.give = 20;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GIVE, &stream, NULL), LSSB_OK);
    settle();
    box.now->handle->broken = true;
    settle();
    EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, NULL, 0), LSSB_E_TUNNEL);
    EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 20);
    EXPECT_INT(last, LSSB_END);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void data_behind_an_end_is_no_end(void)
{
    char got[64];
    lssb_status last;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_GREET, &stream, NULL),
               LSSB_OK);
    settle();
    box_frame(box.now, 0, 4, 1, 0, NULL);
    box_frame(box.now, 0, 0, 1, 1, "x");
    settle();
    EXPECT_INT(reads_all(&stream, got, sizeof got, &last), 5);
    EXPECT_INT(last, LSSB_E_TUNNEL);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void each_lost_stream_says_what_it_was_lost_by(void)
{
    static const char *const ended = "tunnel: box.test ended the connection";
    lssb_tunnel_stream first, second, third;
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &first, NULL), LSSB_OK);
    box.now->handle->ended = true;
    settle();
    EXPECT_STR(last_message, ended);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_REFUSED, &second, NULL),
               LSSB_E_TUNNEL_REFUSED);
    EXPECT_INT(lssb_tunnel_read(&first, got, 8, &n, 0), LSSB_E_TUNNEL);
    EXPECT_STR(lssb_error_text(me.client), ended);
    EXPECT_INT(lssb_last_error(me.client)->layer, LSSB_LAYER_TUNNEL);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &second, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_CUT, &third, NULL), LSSB_OK);
    settle();
    box_frame(box.now, 0x100, 0, 1, 0, NULL);
    settle();
    EXPECT_INT(lssb_tunnel_read(&second, got, 8, &n, 0), LSSB_E_TUNNEL);
    EXPECT_STR(lssb_error_text(me.client), "tunnel: the server broke the "
               "rules of yamux: a frame's version is not 0");
    EXPECT_INT(lssb_tunnel_read(&first, got, 8, &n, 0), LSSB_E_TUNNEL);
    EXPECT_STR(lssb_error_text(me.client),
               "tunnel to port 7: the connection was lost");
    EXPECT_INT(lssb_tunnel_write(&third, got, 8, &n, 0), LSSB_E_TUNNEL);
    EXPECT_STR(lssb_error_text(me.client),
               "tunnel to port 21: the connection was reset at its other "
               "end");
    lssb_tunnel_stream_close(&first);
    lssb_tunnel_stream_close(&second);
    lssb_tunnel_stream_close(&third);
    end();
}

/* One has all it needs of a connection that is gone, and takes it slowly; one
 * asks for another, others come while that takes its time. */
static void local_programs_are_served_while_it_connects_again(void)
{
    struct local *slow, *asks, *comes, *leaves;

    begin(SCRIPT_WHOLE);
    box.give = 200000;
    listens(BOX_GIVE);
    slow = local_connects(NULL, 0, true);
    slow->room = 1000;
    settle();
    box.now->handle->broken = true;
    settle();
    EXPECT(!tunnel.connected && !slow->closed);
    script.connect_ms = 5000;
    asks = local_connects(NULL, 0, true);
    passes(100);
    EXPECT(asks->used);
    slow->room = SIZE_MAX;
    comes = local_connects(NULL, 0, true);
    leaves = local_connects(NULL, 0, true);
    passes(2000);
    EXPECT_INT(slow->got_len, box.give);
    EXPECT(slow->closed && !slow->was_reset && is_pattern(slow));
    EXPECT_STR(events, "opened 19\nlost 0\nended 19\n");
    EXPECT(comes->used && leaves->used && !comes->closed);
    leaves->handle->broken = true;
    passes(1000);
    EXPECT(leaves->closed && leaves->was_reset);
    EXPECT_INT(box.connections, 1);
    passes(4000);
    EXPECT_INT(asks->got_len, box.give);
    EXPECT_INT(comes->got_len, box.give);
    EXPECT_INT(box.connections, 2);
    end();
}

static void who_waits_for_a_connection_does_not_wait_for_ever(void)
{
    struct local *asks, *comes;
    uint64_t began;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    box.now->handle->broken = true;
    settle();
    script.stuck_connecting = true;
    asks = local_connects("abc", 3, true);
    passes(1000);
    comes = local_connects("abc", 3, true);
    began = script.now;
    while (!comes->closed && script.now < began + 1000000)
        lssb_wait(me.client, NULL, 1000);
    EXPECT(script.now - began > 80000 && script.now - began < 95000);
    EXPECT(asks->was_reset && comes->was_reset);
    EXPECT_INT(count_of("refused 7"), 2);
    EXPECT(strstr(last_message, "connecting to box.test") != NULL);
    end();
}

/* Nobody's terminal is told what to do by a server. */
static void what_a_server_says_reaches_events_as_text(void)
{
    struct local *next;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    box.replies[1] = "HTTP/1.1 403 No\r\nContent-Type: application/json\r\n"
                     "Content-Length: 28\r\n\r\n"
                     "{\"message\":\"no\\u001b[2Jway\"}";
    box.now->handle->broken = true;
    passes(10);
    local_connects("x", 1, false);
    passes(1000);
    EXPECT_STR(events, "lost 0\nrefused 7\n");
    EXPECT(strstr(last_message, "no?[2Jway") != NULL);
    EXPECT(strstr(tunnel.error.message, "no?[2Jway") != NULL);
    next = local_connects("yes", 3, true);      /* it listens all the same */
    passes(1000);
    EXPECT_INT(next->got_len, 3);
    end();
}

static void credentials_that_come_back_are_in_no_event(void)
{
    static const lssb_pair pair = { "Authorization", "Bearer secret-7" };
    lssb_op op = { 0 };

    prepare(SCRIPT_WHOLE);
    me.config.api_key = "key-of-the-client";
    begin_as_prepared();
    op.headers = &pair;
    op.header_count = 1;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    listens(BOX_ECHO);
    box.replies[1] = "HTTP/1.1 403 No\r\nContent-Length: 47\r\n\r\n"
                     "{\"message\":\"no key-of-the-client, no secret-7\"}";
    box.now->handle->broken = true;
    passes(10);
    local_connects("x", 1, false);
    passes(1000);
    EXPECT(strstr(last_message, "no ***, no ***") != NULL);
    EXPECT(strstr(tunnel.error.message, "no ***, no ***") != NULL);
    end();
}

/* A call without a request asks for none of its operation's headers. */
static void headers_that_are_not_there_harm_no_stream(void)
{
    lssb_op op = { 0 };

    begin(SCRIPT_WHOLE);
    op.header_count = 1;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, 1, &stream, &op), LSSB_PENDING);
    lssb_cancel(&op);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    lssb_tunnel_stream_close(&stream);
    end();
}

static void connecting_again_is_bounded(void)
{
    static const struct {
        const char *name;
        int32_t reconnects;
        const char *replies[6];     /* behind the first connection */
        lssb_status status;
        unsigned connections;
        uint64_t least_ms, most_ms;
    } rows[] = {
        { "three", 0, { REFUSAL("503"), REFUSAL("503"), REFUSAL("503") },
          LSSB_E_TUNNEL, 4, 1500, 1700 },
        { "one", 1, { REFUSAL("503"), REFUSAL("503") }, LSSB_E_TUNNEL, 2, 0,
          100 },
        { "none", LSSB_NONE, { NULL }, LSSB_E_TUNNEL, 1, 0, 10 },
        { "401", 0, { REFUSAL("401") }, LSSB_E_AUTH, 2, 0, 100 },
        { "404", 0, { REFUSAL("404") }, LSSB_E_CONNECTION, 2, 0, 100 },
        { "the second", 0, { REFUSAL("503") }, LSSB_OK, 3, 500, 700 },
        { "it asks for 2 s", 0, { LATER("2") }, LSSB_OK, 3, 2000, 2100 },
        { "it asks for an hour", 0, { LATER("3600") }, LSSB_OK, 3, 60000,
          60100 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t began;

        test_row = rows[i].name;
        prepare(SCRIPT_WHOLE);
        begin_as_prepared();
        how.reconnects = rows[i].reconnects;
        memcpy(box.replies + 1, rows[i].replies, sizeof rows[i].replies);
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
        box.now->handle->broken = true;
        settle();
        EXPECT(!tunnel.connected);
        began = script.now;
        EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                   rows[i].status);
        EXPECT(script.now - began >= rows[i].least_ms &&
               script.now - began <= rows[i].most_ms);
        EXPECT_INT(box.connections, rows[i].connections);
        EXPECT_INT(tunnel.status, LSSB_OK);
        if (rows[i].status < 0)
            EXPECT_INT(tunnel.error.status, rows[i].status);
        memset(box.replies, 0, sizeof box.replies);
        if (rows[i].status < 0 && rows[i].reconnects >= 0)
            EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL),
                       LSSB_OK);    /* the next one tries again */
        end();
    }
    test_row = "";
}

/* ------------------------------------------------------------------ closing */

static void a_closed_tunnel_ends_all_and_never_comes_back(void)
{
    lssb_tunnel_stream held;
    lssb_op pending = { 0 }, closing = { 0 };
    struct local *local;
    char got[8];
    size_t n;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    local = local_connects("abc", 3, false);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &held, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &pending),
               LSSB_PENDING);
    settle();
    EXPECT_INT(tunnel.streams, 3);
    EXPECT_INT(lssb_tunnel_close(&tunnel, &closing), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &closing, 5000), LSSB_OK);
    EXPECT_INT(tunnel.status, LSSB_END);
    EXPECT_INT(tunnel.error.status, LSSB_OK);
    EXPECT(!tunnel.connected);
    EXPECT(local->was_reset && !box.listening);
    EXPECT_INT(pending.status, LSSB_E_CANCELED);
    EXPECT_INT(held.status, LSSB_E_CANCELED);
    EXPECT_INT(lssb_tunnel_read(&held, got, 8, &n, 0), LSSB_E_CANCELED);
    lssb_tunnel_stream_close(&held);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &held, NULL),
               LSSB_E_TUNNEL);
    EXPECT_INT(count_of("reset 7"), 1);
    settle();
    EXPECT_INT(box.resets, 3);
    EXPECT_INT(box.aways, 1);
    EXPECT_INT(box.away_code, LSSB_YAMUX_NORMAL);
    EXPECT_INT(box.closes, 1);
    EXPECT_INT(box.connections, 1);
    end();
}

static void a_closed_tunnel_gives_its_streams_back(void)
{
    lssb_tunnel_stream streams[8];
    char got[8];
    size_t n, i;
    int round;

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    for (round = 0; round < 3; round++) {
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
        for (i = 0; i < 8; i++)
            EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &streams[i],
                                           NULL),
                       LSSB_OK);
        EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
        for (i = 0; i < 8; i++)
            EXPECT_INT(lssb_tunnel_read(&streams[i], got, 8, &n, 0),
                       LSSB_E_CANCELED);
    }
    end();
}

static void a_tunnel_is_closed_while_nobody_lets_it_connect(void)
{
    uint64_t began = 0;
    lssb_op op = { 0 };

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    script.stuck_connecting = true;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_PENDING);
    EXPECT_INT(tunnel.status, LSSB_PENDING);
    passes(1000);
    EXPECT_INT(op.status, LSSB_PENDING);
    began = script.now;
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(script.now - began, 0);
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_INT(tunnel.status, LSSB_E_CANCELED);
    end();
}

/* The time that its opening was given is not the tunnel's. */
static void an_open_tunnel_outlives_the_deadline_of_its_opening(void)
{
    lssb_op op = { 0 };

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    op.deadline_ms = 5000;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    lssb_cancel(&op);
    passes(10000);
    EXPECT(tunnel.connected);
    EXPECT_STR(events, "");
    end();
}

static void a_connection_that_ends_while_it_is_closed_is_not_lost(void)
{
    lssb_op op = { 0 };

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    script.stuck_sending = true;
    lssb_tunnel_write(&stream, last_message, sizeof last_message, NULL, 100);
    lssb_tunnel_write(&stream, events, sizeof events, NULL, 100);
    EXPECT_INT(lssb_tunnel_close(&tunnel, &op), LSSB_PENDING);
    lssb_step(me.client);
    EXPECT_INT(op.status, LSSB_PENDING);
    box.now->over = true;
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_OK);
    EXPECT_STR(events, "");
    EXPECT_INT(tunnel.status, LSSB_END);
    end();
}

static void a_close_is_bounded_when_nothing_goes_out(void)
{
    uint64_t began;

    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_HOLD, &stream, NULL), LSSB_OK);
    script.stuck_sending = true;
    lssb_tunnel_write(&stream, events, sizeof events, NULL, 100);
    began = script.now;
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT(script.now - began <= 5100);
    EXPECT_INT(stream.status, LSSB_E_CANCELED);
    end();
}

/* AddressSanitizer says so when anything is read afterwards. */
static void a_close_that_ends_early_gives_everything_back(void)
{
    int canceled;

    for (canceled = 0; canceled < 2; canceled++) {
        lssb_tunnel *own = calloc(1, sizeof *own);
        lssb_op op = { 0 };

        prepare(SCRIPT_WHOLE);
        begin_as_prepared();
        EXPECT_INT(lssb_tunnel_open(own, &sandbox, &how, NULL), LSSB_OK);
        EXPECT_INT(lssb_tunnel_connect(own, BOX_HOLD, &stream, NULL), LSSB_OK);
        script.stuck_sending = true;
        lssb_tunnel_write(&stream, events, sizeof events, NULL, 100);
        op.deadline_ms = canceled ? 0 : 100;
        EXPECT_INT(lssb_tunnel_close(own, &op), LSSB_PENDING);
        if (canceled)
            lssb_cancel(&op);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER),
                   canceled ? LSSB_E_CANCELED : LSSB_E_DEADLINE);
        EXPECT_INT(own->status, LSSB_E_CANCELED);
        memset(own, 0xA5, sizeof *own);
        free(own);
        EXPECT_INT(lssb_wait(me.client, NULL, 20000), LSSB_OK);
        script_client_close(&me);
    }
}

static void a_tunnel_is_closed_in_every_phase(void)
{
    unsigned steps;

    for (steps = 0; steps < 12; steps++) {
        lssb_op op = { 0 };
        unsigned i;

        prepare(SCRIPT_BYTE_EVERY_OTHER);
        begin_as_prepared();
        EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op),
                   LSSB_PENDING);
        for (i = 0; i < steps * 3; i++)
            lssb_wait(me.client, NULL, 1);
        EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
        EXPECT(op.status == LSSB_OK || op.status == LSSB_E_CANCELED);
        EXPECT(tunnel.status == LSSB_END ||
               tunnel.status == LSSB_E_CANCELED);
        end();
    }
}

static void a_client_takes_its_tunnels_with_it(void)
{
    lssb_op op = { 0 };
    struct local *local;
    size_t i;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    local = local_connects("abc", 3, false);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_SILENT, &stream, &op),
               LSSB_PENDING);
    settle();
    script_client_close(&me);
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_INT(tunnel.status, LSSB_E_CANCELED);
    EXPECT_INT(tunnel.error.status, LSSB_E_CANCELED);
    EXPECT(!tunnel.connected);
    EXPECT(local->was_reset && !box.listening);
    EXPECT_INT(box.aways, 1);
    EXPECT_INT(box.closes, 1);
    for (i = 0; i < LOCALS; i++)
        free(box.locals[i].got);
}

static void an_abandoned_client_closes_descriptors_and_says_nothing(void)
{
    size_t i;

    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    local_connects("abc", 3, false);
    settle();
    lssb_abandon(me.client);
    script_client_gone(&me);
    EXPECT_INT(box.closes, 0);
    EXPECT_INT(box.removed, 0);
    for (i = 0; i < LOCALS; i++)
        free(box.locals[i].got);
}

static void a_tunnel_holds_its_connection(void)
{
    lssb_sandbox got;
    lssb_tunnel second;

    prepare(SCRIPT_WHOLE);
    me.config.slots = 1;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &got, NULL), LSSB_E_NO_SLOT);
    EXPECT_INT(lssb_tunnel_open(&second, &sandbox, &how, NULL),
               LSSB_E_NO_SLOT);
    EXPECT_INT(second.status, LSSB_E_NO_SLOT);
    EXPECT_INT(lssb_tunnel_close(&second, NULL), LSSB_OK);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(lssb_sandbox_get(me.client, "a", &got, NULL),
               LSSB_E_NOT_FOUND);
    end();
}

static void a_callback_may_start_but_not_wait(void)
{
    begin(SCRIPT_WHOLE);
    listens(BOX_ECHO);
    dials_in_callback = LSSB_PENDING;
    dials_at = LSSB_TUNNEL_OPENED;
    local_connects("abc", 3, true);
    EXPECT_INT(lssb_wait(me.client, NULL, 1000), LSSB_AGAIN);
    EXPECT_INT(callback_op.status, LSSB_OK);
    EXPECT_INT(callback_stream.status, LSSB_OK);
    lssb_tunnel_stream_close(&callback_stream);
    end();
}

/* Whatever a callback does, and whatever memory that would need. */
static void all_events_of_a_step_are_told_in_it(void)
{
    prepare(SCRIPT_WHOLE);
    me.config.streams = 3;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    listens(BOX_ECHO);
    local_connects("abc", 3, false);
    local_connects("abc", 3, false);
    settle();
    EXPECT_STR(events, "opened 7\nopened 7\n");
    events[0] = '\0';
    dials_in_callback = LSSB_E_NO_MEMORY;
    dials_at = LSSB_TUNNEL_RESET;
    box.now->handle->broken = true;
    while (count_of("reset") == 0)
        lssb_wait(me.client, NULL, 0);
    EXPECT_STR(events, "lost 0\nreset 7\nreset 7\n");
    end();
}

/* The next connection needs the memory of one whose end is not told yet. */
static void no_end_goes_untold_when_memory_is_short(void)
{
    lssb_listen_options where = { 0 };
    lssb_listener second;
    struct local *ends, *next;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 3;
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, NULL), LSSB_OK);
    listens(BOX_GREET);
    ends = local_connects(NULL, 0, false);
    ends->room = 0;
    settle();
    where.port = BOX_ECHO;
    where.listen = &box_listen_port;
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &second), LSSB_OK);
    settle();
    next = local_connects("abc", 3, false);
    ends->room = SIZE_MAX;
    ends->handle->broken = true;
    passes(1000);
    EXPECT_STR(events, "opened 20\nreset 20\nopened 7\n");
    EXPECT_INT(next->got_len, 3);
    end();
}

static void arguments_are_checked(void)
{
    lssb_tunnel_options wrong = { 0 };
    lssb_op op = { 0 };
    lssb_error why = { 0 };
    char byte;
    size_t n;

    prepare(SCRIPT_WHOLE);
    me.config.streams = 0;
    begin_as_prepared();
    op.error = &why;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, NULL, &op),
               LSSB_E_NO_MEMORY);
    EXPECT_INT(op.status, LSSB_E_NO_MEMORY);
    EXPECT_STR(why.message, "open tunnel: lssb_config.streams is 0");
    script_client_close(&me);
    begin(SCRIPT_WHOLE);
    EXPECT_INT(lssb_tunnel_open(NULL, &sandbox, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, 0, &stream, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, 1, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_connect(NULL, 1, &stream, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_read(NULL, &byte, 1, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    memset(&stream, 0, sizeof stream);
    EXPECT_INT(lssb_tunnel_write(&stream, "x", 1, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    lssb_tunnel_stream_close(&stream);
    lssb_tunnel_stream_close(NULL);
    lssb_listener_close(NULL);
    EXPECT_INT(lssb_tunnel_close(NULL, NULL), LSSB_OK);
    end();
    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    wrong.reconnects = -2;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &wrong, NULL),
               LSSB_E_INVALID_ARGUMENT);
    script_client_close(&me);
    me.config.stream_buffer = 1023;
    EXPECT_INT(lssb_memory_needed(&me.config), 0);
    me.config.stream_buffer = 16777217;
    EXPECT_INT(lssb_memory_needed(&me.config), 0);
    me.config.stream_buffer = 0;
    me.config.streams = 65536;
    EXPECT_INT(lssb_memory_needed(&me.config), 0);
}

/* Whatever stood in its memory before. */
static void what_was_refused_can_be_closed(void)
{
    static lssb_tunnel refused;
    lssb_tunnel_options wrong = { 0 };
    lssb_listen_options where = { 0 };
    lssb_tunnel_stream no_stream;
    lssb_listener no_listener;
    lssb_op op = { 0 };
    size_t n;

    begin(SCRIPT_WHOLE);
    wrong.reconnects = -2;
    memset(&refused, 0xA5, sizeof refused);
    EXPECT_INT(lssb_tunnel_open(&refused, &sandbox, &wrong, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(refused.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_connect(&refused, 7, &no_stream, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_close(&refused, NULL), LSSB_OK);
    memset(&refused, 0xA5, sizeof refused);
    EXPECT_INT(lssb_tunnel_open(&refused, NULL, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(refused.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_close(&refused, NULL), LSSB_OK);
    memset(&no_stream, 0xA5, sizeof no_stream);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, 0, &no_stream, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(no_stream.status, LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_tunnel_read(&no_stream, &n, 1, &n, 0),
               LSSB_E_INVALID_ARGUMENT);
    lssb_tunnel_stream_close(&no_stream);
    memset(&no_stream, 0xA5, sizeof no_stream);
    EXPECT_INT(lssb_tunnel_connect(NULL, 7, &no_stream, NULL),
               LSSB_E_INVALID_ARGUMENT);
    lssb_tunnel_stream_close(&no_stream);
    memset(&no_listener, 0xA5, sizeof no_listener);
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &no_listener),
               LSSB_E_INVALID_ARGUMENT);
    lssb_listener_close(&no_listener);
    memset(&no_listener, 0xA5, sizeof no_listener);
    EXPECT_INT(lssb_tunnel_listen(NULL, &where, &no_listener),
               LSSB_E_INVALID_ARGUMENT);
    lssb_listener_close(&no_listener);
    /* What is under way is left alone. */
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &op),
               LSSB_PENDING);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &op),
               LSSB_E_BUSY);
    EXPECT_INT(stream.status, LSSB_PENDING);
    memset(&no_stream, 0xA5, sizeof no_stream);     /* but for another's */
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &no_stream, &op),
               LSSB_E_BUSY);
    EXPECT_INT(no_stream.status, LSSB_E_BUSY);
    lssb_tunnel_stream_close(&no_stream);
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_OK);
    EXPECT_INT(stream.status, LSSB_OK);
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(tunnel.streams, 0);
    end();
}

static void an_opening_that_is_under_way_is_left_alone(void)
{
    static const lssb_pair pair = { "X-Own", "two\nlines" };
    lssb_op op = { 0 };

    prepare(SCRIPT_WHOLE);
    begin_as_prepared();
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_PENDING);
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_E_BUSY);
    EXPECT_INT(tunnel.status, LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_OK);
    EXPECT_INT(tunnel.status, LSSB_OK);
    EXPECT_INT(lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, NULL), LSSB_OK);
    echoes(&stream, 1);
    lssb_tunnel_stream_close(&stream);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(tunnel.sent_bytes, 1);
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op), LSSB_PENDING);
    EXPECT_INT(tunnel.sent_bytes, 0);       /* all over again */
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_OK);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    op.headers = &pair;
    op.header_count = 1;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &sandbox, &how, &op),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(tunnel.status, LSSB_E_INVALID_ARGUMENT);
    end();
}

/* ------------------------------------------------------------- what fails */

/* What fails on a day: the port's call of that number. */
struct day {
    enum script_mode mode;
    bool tls;
    unsigned long fail_at;
    int fail_io;
    bool fail_on;
};

/* What goes wrong must have been made to. */
static void a_day_expects(bool right)
{
    if (!right)
        EXPECT(script.failed != SCRIPT_NOTHING);
}

/* A stream that says three bytes and hears them again. */
static void a_day_stream(void)
{
    lssb_op op = { 0 };
    lssb_status last = LSSB_E_TUNNEL;
    char got[64];
    size_t n, len = 0;

    op.deadline_ms = 200000;
    lssb_tunnel_connect(&tunnel, BOX_ECHO, &stream, &op);
    if (lssb_wait(me.client, &op, LSSB_FOREVER) == LSSB_OK) {
        lssb_tunnel_write(&stream, "abc", 3, &n, 1000);
        lssb_tunnel_finish(&stream);
        len = reads_all(&stream, got, sizeof got, &last);
    }
    a_day_expects(len == 3 && last == LSSB_END);
    lssb_tunnel_stream_close(&stream);
}

/* A local program that says ten bytes, ends, and hears hello and bye. */
static void a_day_program(void)
{
    lssb_listen_options where = { 0 };
    struct local *local;

    where.port = BOX_GREET;
    where.listen = &box_listen_port;
    if (lssb_tunnel_listen(&tunnel, &where, &listener) != LSSB_OK) {
        a_day_expects(false);
        return;
    }
    local = local_connects("0123456789", 10, true);
    passes(6000);
    a_day_expects(local->closed && !local->was_reset);
    if (local->closed && !local->was_reset)
        EXPECT_INT(local->got_len, 8);
}

/* A bit of everything, and again after a loss; whatever fails, it ends. */
static void a_day(const struct day *day)
{
    lssb_op op = { 0 };
    size_t i;

    prepare(day->mode);
    script.fail_at = day->fail_at;
    script.fail_io = day->fail_io;
    script.fail_on = day->fail_on;
    script.records = day->tls;
    if (day->tls) {
        me.config.endpoint = "https://api.test";
        me.config.tls = &script_tls;
    }
    how.ping_ms = 5000;
    begin_as_prepared();
    op.deadline_ms = 60000;
    lssb_tunnel_open(&tunnel, &sandbox, &how, &op);
    lssb_wait(me.client, &op, LSSB_FOREVER);
    a_day_expects(tunnel.status == LSSB_OK);
    if (tunnel.status == LSSB_OK) {
        a_day_program();
        a_day_stream();
        if (box.now != NULL)
            box.now->handle->broken = true;
        passes(10);
        a_day_stream();
    }
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    EXPECT_INT(tunnel.streams, 0);
    script_client_close(&me);
    for (i = 0; i < LOCALS; i++)
        free(box.locals[i].got);
}

/* A day for each call of the port, or every so manyth, that fails on it. */
static void every_call_fails(enum script_mode mode, bool tls,
                             unsigned long stride)
{
    static const struct {
        const char *name;
        int io;
        bool on;
    } rows[] = { { "again", LSSB_IO_AGAIN, false },
                 { "reset", LSSB_IO_RESET, false },
                 { "end", SCRIPT_END_OF_STREAM, false },
                 { "limit", LSSB_IO_LIMIT, false },
                 { "failed, for good", LSSB_IO_FAILED, true } };
    char row[64];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0] && test_failures == 0; i++) {
        struct day day = { mode, tls, 0, rows[i].io, rows[i].on };
        unsigned long calls;

        test_row = rows[i].name;
        a_day(&day);
        calls = script.calls;
        EXPECT(calls > 60);
        for (day.fail_at = 1 + (unsigned long)i;
             day.fail_at <= calls && test_failures == 0;
             day.fail_at += stride) {
            sprintf(row, "%s, call %lu", rows[i].name, day.fail_at);
            test_row = row;
            a_day(&day);
        }
    }
    test_row = "";
}

static void every_call_of_the_port_may_fail(void)
{
    every_call_fails(SCRIPT_WHOLE, false, 1);
    every_call_fails(SCRIPT_EVERY_OTHER, false, 11);
    every_call_fails(SCRIPT_BYTE, false, 61);
}

static void every_call_of_the_port_may_fail_over_tls(void)
{
    every_call_fails(SCRIPT_WHOLE, true, 1);
    every_call_fails(SCRIPT_EVERY_OTHER, true, 13);
    every_call_fails(SCRIPT_BYTE, true, 71);
    every_call_fails(SCRIPT_BYTE_EVERY_OTHER, true, 97);
}

static const struct test tests[] = {
    TEST(what_is_written_comes_back_however_bytes_arrive),
    TEST(a_port_that_does_not_answer_well_is_told_apart),
    TEST(reading_does_not_step_and_writing_takes_what_fits),
    TEST(a_stream_may_be_finished_before_it_is_open),
    TEST(a_connect_ends_when_it_is_canceled_or_late),
    TEST(a_stream_that_is_closed_half_way_is_reset),
    TEST(there_are_no_more_streams_than_were_asked_for),
    TEST(a_reset_is_no_end),
    TEST(half_close_goes_through_both_ways),
    TEST(the_other_end_may_finish_first),
    TEST(resets_go_through_both_ways),
    TEST(a_local_reset_is_noticed_when_nothing_is_read_or_written),
    TEST(nobody_is_asked_who_can_speak_for_himself),
    TEST(local_programs_that_say_nothing_are_left_alone),
    TEST(a_local_reset_is_noticed_when_the_connection_takes_nothing),
    TEST(an_upload_goes_on_as_long_as_there_is_room),
    TEST(credit_is_for_what_was_consumed),
    TEST(a_large_buffer_is_a_large_window_at_once),
    TEST(a_slow_reader_slows_down_itself_only),
    TEST(a_small_buffer_holds_back_for_five_seconds),
    TEST(stuck_readers_share_the_time_that_they_hold_back),
    TEST(what_comes_is_read_in_order_whatever_is_read_at_once),
    TEST(a_stream_that_is_not_read_is_let_go_in_time),
    TEST(a_connection_may_be_lost_while_a_stream_holds_it_back),
    TEST(memory_is_used_again),
    TEST(more_connections_than_allowed_wait),
    TEST(listeners_count_their_own_connections),
    TEST(who_connects_while_it_waits_is_served_at_once),
    TEST(a_bridge_that_is_given_back_is_for_the_next_connection),
    TEST(a_place_among_the_unanswered_is_for_who_waits),
    TEST(a_place_among_the_unanswered_is_waited_for_in_time),
    TEST(a_system_without_room_is_asked_again),
    TEST(a_listener_needs_a_port_a_stream_and_a_tunnel),
    TEST(a_listener_says_what_is_wrong),
    TEST(what_breaks_the_rules_ends_the_connection),
    TEST(what_may_be_strange_is_harmless),
    TEST(a_flood_of_pings_holds_up_nothing),
    TEST(pings_are_answered_once_the_connection_takes_answers),
    TEST(a_ping_of_the_websockets_is_answered_as_well),
    TEST(a_port_without_random_bytes_ends_the_connection),
    TEST(what_a_local_program_does_not_take_any_more_is_reset),
    TEST(a_refusal_is_the_last_word),
    TEST(a_dead_peer_is_noticed),
    TEST(how_often_a_peer_is_asked_is_the_callers_to_say),
    TEST(going_away_lets_streams_finish),
    TEST(who_goes_away_is_left_when_somebody_asks_for_more),
    TEST(a_stream_that_crosses_a_going_away_is_opened_again),
    TEST(a_server_that_always_goes_away_is_not_asked_for_ever),
    TEST(who_waits_for_the_others_does_not_wait_for_ever),
    TEST(who_waited_for_the_others_has_all_the_time_then),
    TEST(ids_that_are_used_up_need_another_connection),
    TEST(opening_is_tried_again_like_a_command),
    TEST(opening_does_not_take_for_ever),
    TEST(connecting_again_has_all_the_time_of_an_attempt),
    TEST(who_waited_for_a_connection_waits_as_long_for_an_answer),
    TEST(what_would_only_fail_again_is_not_tried_again),
    TEST(every_header_goes_along),
    TEST(a_lost_connection_resets_what_is_on_it_and_comes_back),
    TEST(a_lost_connection_keeps_no_memory),
    TEST(what_was_complete_survives_its_connection),
    TEST(a_write_that_waits_ends_when_the_connection_dies),
    TEST(a_read_that_waits_ends_when_the_connection_dies),
    TEST(a_local_program_is_reset_when_the_connection_dies),
    TEST(pings_are_answered_while_an_upload_fills_the_connection),
    TEST(what_came_before_a_loss_is_read_first),
    TEST(an_end_that_came_is_an_end_after_a_loss_too),
    TEST(data_behind_an_end_is_no_end),
    TEST(each_lost_stream_says_what_it_was_lost_by),
    TEST(local_programs_are_served_while_it_connects_again),
    TEST(who_waits_for_a_connection_does_not_wait_for_ever),
    TEST(what_a_server_says_reaches_events_as_text),
    TEST(credentials_that_come_back_are_in_no_event),
    TEST(headers_that_are_not_there_harm_no_stream),
    TEST(connecting_again_is_bounded),
    TEST(a_closed_tunnel_ends_all_and_never_comes_back),
    TEST(a_closed_tunnel_gives_its_streams_back),
    TEST(a_tunnel_is_closed_while_nobody_lets_it_connect),
    TEST(an_open_tunnel_outlives_the_deadline_of_its_opening),
    TEST(a_connection_that_ends_while_it_is_closed_is_not_lost),
    TEST(a_close_is_bounded_when_nothing_goes_out),
    TEST(a_close_that_ends_early_gives_everything_back),
    TEST(a_tunnel_is_closed_in_every_phase),
    TEST(a_client_takes_its_tunnels_with_it),
    TEST(an_abandoned_client_closes_descriptors_and_says_nothing),
    TEST(a_tunnel_holds_its_connection),
    TEST(a_callback_may_start_but_not_wait),
    TEST(all_events_of_a_step_are_told_in_it),
    TEST(no_end_goes_untold_when_memory_is_short),
    TEST(arguments_are_checked),
    TEST(what_was_refused_can_be_closed),
    TEST(an_opening_that_is_under_way_is_left_alone),
    TEST(every_call_of_the_port_may_fail),
    TEST(every_call_of_the_port_may_fail_over_tls),
};

#else

static void every_call_says_that_this_build_has_no_tunnels(void)
{
    struct script_client me;
    lssb_listen_options where = { 0 };
    lssb_listener listener = { 0 };
    lssb_tunnel_stream stream = { 0 };
    lssb_tunnel tunnel;
    lssb_sandbox box;
    lssb_op op = { 0 };
    lssb_error why = { 0 };
    char byte;
    size_t n;

    script_begin(SCRIPT_WHOLE, NULL, 0);
    memset(&box, 0, sizeof box);
    script_config(&me.config);
    script_client_open(&me);
    box.client = me.client;
    op.error = &why;
    EXPECT_INT(lssb_tunnel_open(&tunnel, &box, NULL, &op),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(op.status, LSSB_E_UNSUPPORTED);
    EXPECT(strstr(why.message, "LSSB_TUNNEL") != NULL);
    tunnel.client = me.client;
    stream.tunnel = &tunnel;
    EXPECT_INT(lssb_tunnel_connect(&tunnel, 1, &stream, NULL),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_tunnel_listen(&tunnel, &where, &listener),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_tunnel_read(&stream, &byte, 1, &n, 0),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_tunnel_write(&stream, &byte, 1, &n, 0),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_tunnel_finish(&stream), LSSB_E_UNSUPPORTED);
    lssb_tunnel_stream_close(&stream);
    lssb_listener_close(&listener);
    EXPECT_INT(lssb_tunnel_close(&tunnel, NULL), LSSB_OK);
    script_client_close(&me);
    me.config.streams = 1;
    EXPECT_INT(lssb_memory_needed(&me.config), 0);
}

static const struct test tests[] = {
    TEST(every_call_says_that_this_build_has_no_tunnels),
};

#endif

int main(void)
{
    return TEST_MAIN(tests);
}
