/* unit_conn.c: one connection over a port that is a script.
 *
 * SPDX-License-Identifier: MIT
 *
 * Time, the resolver, addresses and the peer are a script; nothing here waits.
 * A test that drives a connection sleeps as a client does: on what the
 * connection says it waits for, and on nothing else. So a handle that it
 * forgets to wait for is a test that gets stuck, and fails.
 */
#include "test.h"
#include "../src/internal.h"

/* ----------------------------------------------------------- the script -- */

#define NEVER UINT32_MAX
#define FIRST_HANDLE 100
#define HANDLES 32
#define JOB (-1)

/* An address, and how connecting to it goes. */
struct place {
    uint8_t family;
    uint8_t id;                     /* the address's last byte */
    lssb_io at_once;                /* connect()'s outcome */
    uint32_t after_ms;              /* when the rest is decided */
    lssb_io in_the_end;
};

static struct script {
    uint64_t now;
    uint32_t resolve_ms;
    lssb_io resolve_io;
    struct place places[8];
    size_t place_count;

    uint8_t in[40000];              /* what the peer says */
    size_t in_len, in_at;
    size_t in_split;                /* a receive never crosses this */
    size_t in_chunk;                /* most bytes of a receive, or 0 */
    lssb_io in_end;                 /* then: AGAIN, OK (the end), a failure */
    uint8_t out[40000];             /* what it hears */
    size_t out_len;
    size_t out_chunk;
    size_t out_room;                /* bytes until it takes no more */
    size_t out_fail_at;             /* bytes until sending fails */
    lssb_io out_fail;
    bool every_other;               /* every other send and receive: AGAIN */
    unsigned turn;

    struct {
        bool open;
        int place;
        uint64_t at;
    } handles[HANDLES];
    size_t handle_count;
    size_t resets;
    unsigned calls, fail_at;        /* which call of the port fails */
    unsigned receives;
    char order[32];                 /* ids of addresses, as they were tried */
    char resolved[64];
    uint16_t port;
} script;

static uint8_t receive_buffer[LSSB_RECEIVE_BUFFER];
static uint8_t send_buffer[LSSB_SEND_BUFFER];
static uint64_t session[32];

/* Whether this call of the port is the one that fails. */
static bool fails(int32_t *code)
{
    *code = 0;
    if (++script.calls != script.fail_at)
        return false;
    *code = 77;
    return true;
}

static lssb_handle new_handle(int place)
{
    size_t i = script.handle_count++;

    script.handles[i].open = true;
    script.handles[i].place = place;
    script.handles[i].at = script.now;
    return (lssb_handle)(FIRST_HANDLE + i);
}

static lssb_io script_resolve(void *context, const char *name,
                              lssb_handle *job, int32_t *code)
{
    (void)context;
    if (fails(code))
        return LSSB_IO_FAILED;
    lssb_copy(script.resolved, sizeof script.resolved, name, strlen(name));
    *job = new_handle(JOB);
    return LSSB_IO_OK;
}

static lssb_io script_resolved(void *context, lssb_handle job,
                               lssb_address *addresses, size_t max,
                               size_t *count, int32_t *code)
{
    size_t i;

    (void)context;
    if (fails(code))
        return LSSB_IO_FAILED;
    if (script.now < script.handles[job - FIRST_HANDLE].at + script.resolve_ms)
        return LSSB_IO_AGAIN;
    *code = script.resolve_io != LSSB_IO_OK ? 55 : 0;
    if (script.resolve_io != LSSB_IO_OK)
        return script.resolve_io;
    for (i = 0; i < script.place_count && i < max; i++) {
        memset(&addresses[i], 0, sizeof addresses[i]);
        addresses[i].family = script.places[i].family;
        addresses[i].bytes[0] = script.places[i].family == 4 ? 10 : 0xfd;
        addresses[i].bytes[script.places[i].family == 4 ? 3 : 15] =
            script.places[i].id;
    }
    *count = script.place_count;
    return LSSB_IO_OK;
}

static lssb_io script_connect(void *context, const lssb_address *to,
                              lssb_handle *handle, int32_t *code)
{
    uint8_t id = to->bytes[to->family == 4 ? 3 : 15];
    size_t i, len = strlen(script.order);

    (void)context;
    if (fails(code))
        return LSSB_IO_FAILED;
    script.order[len] = (char)('0' + id);
    script.port = to->port;
    for (i = 0; script.places[i].id != id; i++)
        continue;
    if (script.places[i].at_once != LSSB_IO_OK) {
        *code = 44;
        return script.places[i].at_once;
    }
    *handle = new_handle((int)i);
    return LSSB_IO_OK;
}

/* Whether it is decided yet what becomes of an attempt. */
static bool decided(lssb_handle handle)
{
    const struct place *place =
        &script.places[script.handles[handle - FIRST_HANDLE].place];

    return place->after_ms != NEVER &&
           script.now >=
               script.handles[handle - FIRST_HANDLE].at + place->after_ms;
}

static lssb_io script_connected(void *context, lssb_handle handle,
                                int32_t *code)
{
    const struct place *place =
        &script.places[script.handles[handle - FIRST_HANDLE].place];

    (void)context;
    if (fails(code))
        return LSSB_IO_FAILED;
    if (!decided(handle))
        return LSSB_IO_AGAIN;
    *code = place->in_the_end != LSSB_IO_OK ? 111 : 0;
    return place->in_the_end;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ptrdiff_t script_send(void *context, lssb_handle handle,
                             const void *bytes, size_t len, int32_t *code)
{
    (void)context;
    (void)handle;
    if (fails(code))
        return LSSB_IO_FAILED;
    if (script.every_other && script.turn++ % 2 == 0)
        return LSSB_IO_AGAIN;
    if (script.out_len >= script.out_fail_at) {
        *code = 32;
        return script.out_fail;
    }
    len = least(len, script.out_fail_at - script.out_len);
    len = least(len, script.out_room - script.out_len);
    len = least(len, sizeof script.out - script.out_len);
    if (script.out_chunk > 0)
        len = least(len, script.out_chunk);
    memcpy(script.out + script.out_len, bytes, len);
    script.out_len += len;
    return len > 0 ? (ptrdiff_t)len : LSSB_IO_AGAIN;
}

static ptrdiff_t script_receive(void *context, lssb_handle handle,
                                void *bytes, size_t len, int32_t *code)
{
    (void)context;
    (void)handle;
    script.receives++;
    if (fails(code))
        return LSSB_IO_FAILED;
    if (script.every_other && script.turn++ % 2 == 0)
        return LSSB_IO_AGAIN;
    *code = script.in_end == LSSB_IO_RESET ? 104 : 0;
    if (script.in_at == script.in_len)
        return script.in_end;
    len = least(len, script.in_len - script.in_at);
    if (script.in_at < script.in_split)
        len = least(len, script.in_split - script.in_at);
    if (script.in_chunk > 0)
        len = least(len, script.in_chunk);
    memcpy(bytes, script.in + script.in_at, len);
    script.in_at += len;
    return (ptrdiff_t)len;
}

static void script_close_handle(void *context, lssb_handle handle, bool reset)
{
    (void)context;
    EXPECT(handle >= FIRST_HANDLE &&
           handle < FIRST_HANDLE + (lssb_handle)script.handle_count);
    EXPECT(script.handles[handle - FIRST_HANDLE].open);
    script.handles[handle - FIRST_HANDLE].open = false;
    script.resets += reset;
}

static const lssb_port script_port = {
    .version = LSSB_PORT_VERSION,
    .resolve = script_resolve,
    .resolved = script_resolved,
    .connect = script_connect,
    .connected = script_connected,
    .send = script_send,
    .receive = script_receive,
    .close_handle = script_close_handle,
};

static size_t open_handles(void)
{
    size_t i, count = 0;

    for (i = 0; i < script.handle_count; i++)
        count += script.handles[i].open;
    return count;
}

/* Whether poll() would call a handle ready. */
static bool is_ready(const lssb_poll *item)
{
    size_t i = (size_t)(item->handle - FIRST_HANDLE);

    EXPECT(i < script.handle_count && script.handles[i].open);
    if (script.handles[i].place == JOB)
        return item->read &&
               script.now >= script.handles[i].at + script.resolve_ms;
    if (!decided(item->handle))
        return false;
    return (item->read && (script.in_at < script.in_len ||
                           script.in_end != LSSB_IO_AGAIN)) ||
           (item->write && script.out_len < script.out_room);
}

/* When something happens on a handle that is not ready now. */
static uint64_t happens_at(const lssb_poll *item)
{
    size_t i = (size_t)(item->handle - FIRST_HANDLE);
    int place = script.handles[i].place;
    uint32_t after =
        place == JOB ? script.resolve_ms : script.places[place].after_ms;

    if (after == NEVER || script.handles[i].at + after <= script.now)
        return UINT64_MAX;
    return script.handles[i].at + after;
}

/* Sleeps as a client does; false: for ever. */
static bool sleeps(struct lssb_conn *conn, bool want_read)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;
    size_t i, count = lssb_conn_waits(conn, want_read, list, &wake_at);

    EXPECT(count <= LSSB_CONN_RACE);
    for (i = 0; i < count; i++)
        if (is_ready(&list[i]))
            return true;
    for (i = 0; i < count; i++)
        if (happens_at(&list[i]) < wake_at)
            wake_at = happens_at(&list[i]);
    if (wake_at == UINT64_MAX)
        return false;
    if (wake_at > script.now)
        script.now = wake_at;
    return true;
}

/* -------------------------------------------------------------- fake TLS -- */

/* Records with a type, a version and a length, their bytes flipped. A hello
 * each way opens it, and a bye ends it. */
#define FAKE_RECORD 100

struct fake {
    const lssb_tls_setup *setup;
    size_t in_have, in_from, in_to;
    size_t out_from, out_to, open_len;
    lssb_status dead;
    bool ready, ended, closing, said_bye;
};

static lssb_status fake_start_status;
static unsigned fake_starts;        /* that went well … */
static unsigned fake_ends;          /* … and what became of them */

static size_t fake_record(uint8_t *to, uint8_t type, size_t len)
{
    size_t i;

    to[0] = type;
    to[1] = to[2] = 3;
    to[3] = (uint8_t)(len >> 8);
    to[4] = (uint8_t)len;
    for (i = 0; i < len; i++)
        to[5 + i] ^= 0x5a;
    return 5 + len;
}

static size_t fake_session_size(const lssb_trust *trust)
{
    (void)trust;
    return sizeof(struct fake);
}

static void fake_say(struct fake *fake, uint8_t type, const char *text)
{
    memcpy(fake->setup->send_buffer + 5, text, strlen(text));
    fake->out_to = fake_record(fake->setup->send_buffer, type, strlen(text));
}

static lssb_status fake_start(void *memory, const lssb_tls_setup *setup)
{
    struct fake *fake = memory;

    memset(fake, 0, sizeof *fake);
    fake->setup = setup;
    EXPECT_STR(setup->host, "box.example");
    fake_say(fake, 22, "hello");
    fake_starts += fake_start_status == LSSB_OK;
    return fake_start_status;
}

static void fake_flush(void *memory)
{
    struct fake *fake = memory;

    if (fake->open_len == 0)
        return;
    fake->out_to = fake_record(fake->setup->send_buffer, 23, fake->open_len);
    fake->open_len = 0;
}

/* Sends what there is to send; what fails is told by reading. */
static bool fake_send(struct fake *fake)
{
    const lssb_tls_io *io = &fake->setup->io;
    bool moved = false;

    while (fake->out_from < fake->out_to) {
        ptrdiff_t n = io->send(io->ctx,
                               fake->setup->send_buffer + fake->out_from,
                               fake->out_to - fake->out_from);

        if (n < 0)
            return moved;
        fake->out_from += (size_t)n;
        moved = true;
    }
    fake->out_from = fake->out_to = 0;
    if (!fake->closing || fake->said_bye)
        return moved;
    fake_say(fake, 21, "bye");
    fake->said_bye = true;
    return true;
}

/* A record is complete. */
static void fake_take(struct fake *fake, size_t len)
{
    uint8_t *bytes = fake->setup->receive_buffer;
    size_t i;

    for (i = 0; i < len; i++)
        bytes[5 + i] ^= 0x5a;
    fake->in_have = 0;
    if (bytes[0] == 22) {
        fake->ready = true;
    } else if (bytes[0] == 23) {
        fake->in_from = 5;
        fake->in_to = 5 + len;
    } else if (bytes[0] == 21) {
        fake->ended = true;
    } else {
        fake->dead = LSSB_E_PROTOCOL;
        fake->setup->error->status = LSSB_E_PROTOCOL;
        fake->setup->error->layer = LSSB_LAYER_TLS;
    }
}

/* Receives; true when something moved. */
static bool fake_receive(struct fake *fake)
{
    const lssb_tls_io *io = &fake->setup->io;
    uint8_t *bytes = fake->setup->receive_buffer;
    size_t len = fake->in_have < 5 ? 0 : (size_t)bytes[3] << 8 | bytes[4];
    ptrdiff_t n;

    n = io->receive(io->ctx, bytes + fake->in_have, 5 + len - fake->in_have);
    if (n == LSSB_IO_AGAIN)
        return false;
    if (n <= 0) {
        fake->dead = LSSB_E_CONNECTION;
        return false;
    }
    fake->in_have += (size_t)n;
    if (fake->in_have >= 5) {
        len = (size_t)bytes[3] << 8 | bytes[4];
        if (fake->in_have == 5 + len)
            fake_take(fake, len);
    }
    return true;
}

static lssb_status fake_pump(void *memory)
{
    struct fake *fake = memory;
    bool moved = true;

    while (moved && fake->dead == LSSB_OK) {
        moved = fake_send(fake);
        if (fake->in_from < fake->in_to)
            return LSSB_OK;
        if (fake->ended)
            return LSSB_END;
        moved = fake_receive(fake) || moved;
    }
    return fake->dead;
}

static bool fake_ready(const void *memory)
{
    return ((const struct fake *)memory)->ready;
}

static void fake_wants(const void *memory, bool *read, bool *write)
{
    const struct fake *fake = memory;

    *read = fake->in_from == fake->in_to && !fake->ended;
    *write = fake->out_from < fake->out_to;
}

static const uint8_t *fake_look(void *memory, size_t *len)
{
    struct fake *fake = memory;

    *len = fake->in_to - fake->in_from;
    return *len > 0 ? fake->setup->receive_buffer + fake->in_from : NULL;
}

static void fake_consume(void *memory, size_t len)
{
    ((struct fake *)memory)->in_from += len;
}

static uint8_t *fake_reserve(void *memory, size_t *len)
{
    struct fake *fake = memory;

    *len = 0;
    if (!fake->ready || fake->out_from < fake->out_to)
        return NULL;
    *len = FAKE_RECORD - fake->open_len;
    return fake->setup->send_buffer + 5 + fake->open_len;
}

static void fake_commit(void *memory, size_t len)
{
    struct fake *fake = memory;

    fake->open_len += len;
    if (fake->open_len == FAKE_RECORD)
        fake_flush(fake);
}

static bool fake_sent(const void *memory)
{
    const struct fake *fake = memory;

    return fake->out_from == fake->out_to && fake->open_len == 0;
}

static void fake_end(void *memory)
{
    EXPECT(((struct fake *)memory)->setup != NULL);
    fake_ends++;
}

static void fake_close(void *memory)
{
    ((struct fake *)memory)->closing = true;
}

static const lssb_tls_backend fake_tls = {
    .version = LSSB_TLS_VERSION,
    .name = "fake",
    .session_size = fake_session_size,
    .start = fake_start,
    .pump = fake_pump,
    .ready = fake_ready,
    .wants = fake_wants,
    .look = fake_look,
    .consume = fake_consume,
    .reserve = fake_reserve,
    .commit = fake_commit,
    .flush = fake_flush,
    .sent = fake_sent,
    .close = fake_close,
    .end = fake_end,
};

/* -------------------------------------------------------------- helpers -- */

static struct lssb_conn conn;

/* A script without surprises: one address, at once, and a silent peer. */
static void begin(void)
{
    if (conn.port != NULL)
        lssb_conn_drop(&conn, true);
    EXPECT_INT(fake_ends, fake_starts);     /* in every test */
    memset(&script, 0, sizeof script);
    memset(&conn, 0, sizeof conn);
    fake_start_status = LSSB_OK;
    script.now = 1000000;
    script.places[0].family = 4;
    script.places[0].id = 1;
    script.place_count = 1;
    script.in_end = LSSB_IO_AGAIN;
    script.out_room = sizeof script.out;
    script.out_fail_at = sizeof script.out;
    conn.port = &script_port;
    conn.tls = &fake_tls;
    conn.receive_buffer = receive_buffer;
    conn.send_buffer = send_buffer;
    conn.session = session;
    conn.session_size = sizeof session;
}

static void add_place(uint8_t family, uint8_t id, lssb_io at_once,
                      uint32_t after_ms, lssb_io in_the_end)
{
    struct place *place = &script.places[script.place_count++];

    place->family = family;
    place->id = id;
    place->at_once = at_once;
    place->after_ms = after_ms;
    place->in_the_end = in_the_end;
}

/* The peer says something, in clear text or as a record. */
static void peer(const char *text)
{
    memcpy(script.in + script.in_len, text, strlen(text));
    script.in_len += strlen(text);
}

static void peer_record(uint8_t type, const char *text)
{
    uint8_t *to = script.in + script.in_len;

    memcpy(to + 5, text, strlen(text));
    script.in_len += fake_record(to, type, strlen(text));
}

/* Application data in the records that went out. */
static size_t records_heard(char *to)
{
    size_t at = 0, len = 0, i;

    while (at + 5 <= script.out_len) {
        size_t n = (size_t)script.out[at + 3] << 8 | script.out[at + 4];

        for (i = 0; i < n && script.out[at] == 23; i++)
            to[len++] = (char)(script.out[at + 5 + i] ^ 0x5a);
        at += 5 + n;
    }
    to[len] = '\0';
    return len;
}

/* Steps until the connection is open, or has failed. */
static lssb_status goes_on(void)
{
    lssb_status status;

    do {
        status = lssb_conn_step(&conn, script.now);
    } while (status == LSSB_PENDING && sleeps(&conn, false));
    return status;
}

static lssb_status opens(const char *host, uint16_t port, bool tls)
{
    struct lssb_conn_target target;
    lssb_status status;

    memset(&target, 0, sizeof target);
    target.host = host;
    target.port = port;
    target.tls = tls;
    status = lssb_conn_open(&conn, &target, NULL, script.now);
    return status == LSSB_PENDING ? goes_on() : status;
}

static lssb_status opens_by_proxy(bool tls, const char *userinfo)
{
    struct lssb_conn_target target;
    lssb_status status;

    memset(&target, 0, sizeof target);
    target.host = "box.example";
    target.port = 443;
    target.tls = tls;
    target.proxy_host = "proxy.example";
    target.proxy_port = 3128;
    target.proxy_userinfo = userinfo;
    status = lssb_conn_open(&conn, &target, NULL, script.now);
    return status == LSSB_PENDING ? goes_on() : status;
}

/* Commits a text, in as many pieces as it takes; false: stuck. */
static bool says(const char *text)
{
    size_t len = strlen(text), room;

    while (len > 0) {
        uint8_t *to = lssb_conn_reserve(&conn, &room);

        if (to == NULL) {
            if (conn.own.write_io != LSSB_IO_OK || !sleeps(&conn, false))
                return false;
            lssb_conn_step(&conn, script.now);
            continue;
        }
        room = least(room, len);
        memcpy(to, text, room);
        lssb_conn_commit(&conn, room);
        text += room;
        len -= room;
    }
    lssb_conn_flush(&conn);
    return true;
}

static char heard[40000];

/* Reads to the end, or until it would sleep for ever. */
static lssb_status reads(void)
{
    size_t len, at = 0;
    const uint8_t *bytes;
    lssb_status status;

    do {
        status = lssb_conn_step(&conn, script.now);
        bytes = lssb_conn_look(&conn, &len);
        if (bytes != NULL) {
            EXPECT_INT(status, LSSB_OK);
            memcpy(heard + at, bytes, len);
            at += len;
            lssb_conn_consume(&conn, len);
        }
        heard[at] = '\0';
    } while (status == LSSB_OK && sleeps(&conn, true));
    return status;
}

/* -------------------------------------------------------- finding a way -- */

static void a_literal_address_is_not_resolved(void)
{
    static const char *const hosts[] = { "10.0.0.1", "fd00::1" };
    size_t i;

    for (i = 0; i < 2; i++) {
        begin();
        script.places[0].family = i == 0 ? 4 : 6;
        EXPECT_INT(opens(hosts[i], 8080, false), LSSB_OK);
        EXPECT_STR(script.resolved, "");
        EXPECT_STR(script.order, "1");
        EXPECT_INT(script.port, 8080);
    }
}

static void a_name_is_resolved_however_long_that_takes(void)
{
    uint64_t start;

    begin();
    start = script.now;
    script.resolve_ms = 30000;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
    EXPECT_STR(script.resolved, "box.example");
    EXPECT_INT(script.now - start, 30000);
    EXPECT_INT(open_handles(), 1);
}

static void a_name_that_leads_nowhere_says_why(void)
{
    static const struct {
        lssb_io io;
        const char *message;
    } table[] = {
        { LSSB_IO_NOT_FOUND, "cannot resolve box.example: no such name" },
        { LSSB_IO_TIMED_OUT,
          "cannot resolve box.example: no name server answered" },
        { LSSB_IO_LIMIT,
          "cannot resolve box.example: out of descriptors or memory" },
        { LSSB_IO_UNSUPPORTED,
          "cannot resolve box.example: not supported by this port" },
        { LSSB_IO_FAILED, "cannot resolve box.example: system error 55" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].message;
        begin();
        script.resolve_io = table[i].io;
        EXPECT_INT(opens("box.example", 80, false), LSSB_E_CONNECTION);
        EXPECT_INT(conn.failure.layer, LSSB_LAYER_RESOLVE);
        EXPECT_INT(conn.failure.system_code, 55);
        EXPECT_STR(conn.failure.message, table[i].message);
        EXPECT_INT(conn.phase, LSSB_CONN_CLOSED);
        EXPECT_INT(open_handles(), 0);
    }
}

static void a_name_without_addresses_is_no_such_name(void)
{
    begin();
    script.place_count = 0;
    EXPECT_INT(opens("box.example", 80, false), LSSB_E_CONNECTION);
    EXPECT_STR(conn.failure.message,
               "cannot resolve box.example: no such name");
}

static void families_take_turns_beginning_with_the_first(void)
{
    static const struct {
        const char *families;
        const char *order;
    } table[] = {
        { "6644", "1324" }, { "4466", "1324" }, { "6664", "1423" },
        { "4", "1" },       { "444", "123" },   { "6444", "1234" },
    };
    size_t i, k;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].families;
        begin();
        script.place_count = 0;
        for (k = 0; table[i].families[k] != '\0'; k++)
            add_place((uint8_t)(table[i].families[k] - '0'), (uint8_t)(k + 1),
                      LSSB_IO_OK, 0, LSSB_IO_REFUSED);
        EXPECT_INT(opens("box.example", 80, false), LSSB_E_CONNECTION);
        EXPECT_STR(script.order, table[i].order);
    }
}

static void a_dead_address_costs_a_quarter_of_a_second(void)
{
    uint64_t start;

    begin();
    script.place_count = 0;
    add_place(6, 1, LSSB_IO_OK, NEVER, LSSB_IO_OK);
    add_place(4, 2, LSSB_IO_OK, 10, LSSB_IO_OK);
    start = script.now;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
    EXPECT_INT(script.now - start, 260);
    EXPECT_INT(open_handles(), 1);
    EXPECT_STR(conn.failure.message, "");
}

static void a_slow_first_address_may_still_win(void)
{
    uint64_t start;

    begin();
    script.place_count = 0;
    add_place(6, 1, LSSB_IO_OK, 300, LSSB_IO_OK);
    add_place(4, 2, LSSB_IO_OK, 400, LSSB_IO_OK);
    start = script.now;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
    EXPECT_INT(script.now - start, 300);
    EXPECT_INT(conn.handle, FIRST_HANDLE + 1);
    EXPECT_INT(open_handles(), 1);
}

static void after_a_refusal_the_next_address_is_tried_at_once(void)
{
    static const lssb_io at_once[] = { LSSB_IO_OK, LSSB_IO_UNREACHABLE };
    uint64_t start;
    size_t i;

    for (i = 0; i < 2; i++) {
        begin();
        script.place_count = 0;
        add_place(6, 1, at_once[i], 0, LSSB_IO_REFUSED);
        add_place(4, 2, LSSB_IO_OK, 3, LSSB_IO_OK);
        start = script.now;
        EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
        EXPECT_INT(script.now - start, 3);
    }
}

static void a_refusal_does_not_wait_for_an_attempt_that_is_slow(void)
{
    uint64_t start;

    begin();
    script.place_count = 0;
    add_place(4, 1, LSSB_IO_OK, NEVER, LSSB_IO_OK);
    add_place(4, 2, LSSB_IO_OK, 10, LSSB_IO_REFUSED);
    add_place(4, 3, LSSB_IO_OK, 0, LSSB_IO_OK);
    start = script.now;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
    EXPECT_INT(script.now - start, 260);
}

static void dead_addresses_give_way_to_those_that_wait(void)
{
    uint64_t start;

    begin();
    script.place_count = 0;
    add_place(4, 1, LSSB_IO_OK, NEVER, LSSB_IO_OK);
    add_place(4, 2, LSSB_IO_OK, NEVER, LSSB_IO_OK);
    add_place(4, 3, LSSB_IO_OK, 5, LSSB_IO_OK);
    start = script.now;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
    EXPECT_INT(script.now - start, 4005);
    EXPECT_INT(open_handles(), 1);
}

static void the_last_attempts_run_as_long_as_the_caller_lets_them(void)
{
    begin();
    script.places[0].after_ms = 100000;
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
}

static void when_all_addresses_fail_the_last_one_is_told(void)
{
    static const struct {
        const char *families;
        lssb_io io;
        const char *message;
    } table[] = {
        { "4", LSSB_IO_REFUSED,
          "cannot connect to 10.0.0.1:443 (box.example): connection refused" },
        { "464", LSSB_IO_REFUSED,
          "cannot connect to 10.0.0.3:443 (the last of 3 addresses of "
          "box.example): connection refused" },
        { "6", LSSB_IO_UNREACHABLE,
          "cannot connect to [fd00::1]:443 (box.example): address "
          "unreachable" },
        { "4", LSSB_IO_FAILED,
          "cannot connect to 10.0.0.1:443 (box.example): system error 111" },
    };
    size_t i, k;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].message;
        begin();
        script.place_count = 0;
        for (k = 0; table[i].families[k] != '\0'; k++)
            add_place((uint8_t)(table[i].families[k] - '0'), (uint8_t)(k + 1),
                      LSSB_IO_OK, 0, table[i].io);
        EXPECT_INT(opens("box.example", 443, true), LSSB_E_CONNECTION);
        EXPECT_INT(conn.failure.layer, LSSB_LAYER_CONNECT);
        EXPECT_INT(conn.failure.status, LSSB_E_CONNECTION);
        EXPECT_INT(conn.failure.system_code, 111);
        EXPECT_STR(conn.failure.message, table[i].message);
        EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_E_CONNECTION);
        EXPECT_INT(open_handles(), 0);
    }
}

static void a_literal_address_is_told_once(void)
{
    begin();
    script.places[0].in_the_end = LSSB_IO_REFUSED;
    EXPECT_INT(opens("10.0.0.1", 443, true), LSSB_E_CONNECTION);
    EXPECT_STR(conn.failure.message,
               "cannot connect to 10.0.0.1:443: connection refused");
}

static void ipv6_addresses_are_written_the_short_way(void)
{
    static const char *const table[] = {
        "::1",  "1::",         "1:2:3:4:5:6:7:1",  "2001:db8::1:0:0:1",
        "::",   "1:0:2::1",    "1:2:3:4:5:6:0:1",  "fe80::a0b:1%3",
        "1::8", "0:2:3::7:0:1", "::2:3:4:5:6:1",
    };
    char expected[128];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct lssb_text text;

        test_row = table[i];
        begin();
        script.places[0].family = 6;
        script.places[0].id = (uint8_t)(table[i][strlen(table[i]) - 1] - '0');
        if (strchr(table[i], '%') != NULL)
            script.places[0].id = 1;
        if (script.places[0].id > 9)
            script.places[0].id = 0;
        script.places[0].at_once = LSSB_IO_REFUSED;
        lssb_text_start(&text, expected, sizeof expected);
        lssb_text_add(&text, "cannot connect to [");
        lssb_text_add(&text, table[i]);
        lssb_text_add(&text, "]:1: connection refused");
        EXPECT_INT(opens(table[i], 1, false), LSSB_E_CONNECTION);
        EXPECT_STR(conn.failure.message, expected);
    }
}

static void a_build_without_tls_says_so_before_it_connects(void)
{
    begin();
    conn.tls = NULL;
    EXPECT_INT(opens("box.example", 443, true), LSSB_E_UNSUPPORTED);
    EXPECT_INT(conn.failure.status, LSSB_E_UNSUPPORTED);
    EXPECT(strstr(conn.failure.message, "TLS=bearssl") != NULL);
    EXPECT_INT(script.calls, 0);
    EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
}

static void a_host_name_that_is_too_long_is_refused(void)
{
    char host[300];

    begin();
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    EXPECT_INT(opens(host, 80, false), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(conn.failure.layer, LSSB_LAYER_CALLER);
    EXPECT_INT(script.calls, 0);
}

/* ---------------------------------------------------------- moving bytes -- */

/* Sizes of pieces in which the script moves bytes. */
static const struct {
    const char *row;
    size_t in, out;
    bool every_other;
} pieces[] = {
    { "whole", 0, 0, false },          { "one byte each", 1, 1, false },
    { "threes and sevens", 3, 7, false }, { "every other", 0, 0, true },
    { "one byte every other", 1, 1, true },
};

/* A long text; no two of its stretches are alike. */
static const char *long_text(void)
{
    static char text[20001];
    size_t i;

    for (i = 0; i + 1 < sizeof text; i++)
        text[i] = (char)('a' + (i * i + i / 26) % 26);
    return text;
}

static void set_pieces(size_t i)
{
    test_row = pieces[i].row;
    script.in_chunk = pieces[i].in;
    script.out_chunk = pieces[i].out;
    script.every_other = pieces[i].every_other;
}

static void bytes_pass_in_clear_text_in_any_pieces(void)
{
    size_t i;

    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        begin();
        set_pieces(i);
        peer(long_text());
        script.in_end = LSSB_IO_OK;
        EXPECT_INT(opens("box.example", 80, false), LSSB_OK);
        EXPECT(says(long_text()));
        EXPECT_INT(reads(), LSSB_END);
        EXPECT(strcmp(heard, long_text()) == 0);
        EXPECT(lssb_conn_sent(&conn));
        EXPECT_INT(script.out_len, strlen(long_text()));
        EXPECT(memcmp(script.out, long_text(), script.out_len) == 0);
        EXPECT(conn.ended && conn.sent_any);
        lssb_conn_drop(&conn, false);
        EXPECT_INT(open_handles(), 0);
    }
}

static void bytes_pass_over_tls_in_any_pieces(void)
{
    static char told[40000];
    size_t i;

    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        begin();
        set_pieces(i);
        peer_record(22, "hi");
        peer_record(23, "first,");
        peer_record(23, long_text() + 5000);
        peer_record(23, "last");
        peer_record(21, "bye");
        EXPECT_INT(opens("box.example", 443, true), LSSB_OK);
        EXPECT(!conn.sent_any);
        EXPECT(says(long_text()));
        EXPECT_INT(reads(), LSSB_END);
        EXPECT(strncmp(heard, "first,", 6) == 0);
        EXPECT_INT(strlen(heard), 6 + 15000 + 4);
        EXPECT(lssb_conn_sent(&conn));
        EXPECT_INT(records_heard(told), strlen(long_text()));
        EXPECT(strcmp(told, long_text()) == 0);
        EXPECT(conn.ended && conn.sent_any);
        lssb_conn_drop(&conn, false);
        EXPECT_INT(open_handles(), 0);
    }
}

static void committed_bytes_wait_for_a_flush_or_a_full_buffer(void)
{
    size_t room;
    uint8_t *to;

    begin();
    opens("box.example", 80, false);
    to = lssb_conn_reserve(&conn, &room);
    EXPECT_INT(room, LSSB_SEND_BUFFER);
    memset(to, 'x', room);
    lssb_conn_commit(&conn, 10);
    lssb_conn_step(&conn, script.now);
    EXPECT_INT(script.out_len, 0);
    EXPECT(!lssb_conn_sent(&conn) && !conn.sent_any);
    lssb_conn_flush(&conn);
    EXPECT_INT(script.out_len, 10);
    EXPECT(lssb_conn_sent(&conn) && conn.sent_any);
    lssb_conn_reserve(&conn, &room);
    lssb_conn_commit(&conn, room);
    EXPECT_INT(script.out_len, 10);
    lssb_conn_step(&conn, script.now);
    EXPECT_INT(script.out_len, 10 + LSSB_SEND_BUFFER);
}

static void nobody_sleeps_on_unsent_bytes(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;
    int tls;

    for (tls = 0; tls < 2; tls++) {
        size_t before, room;

        begin();
        peer_record(22, "hi");
        opens("box.example", 443, tls == 1);
        before = script.out_len;
        *lssb_conn_reserve(&conn, &room) = 'x';
        lssb_conn_commit(&conn, 1);
        lssb_conn_waits(&conn, true, list, &wake_at);
        EXPECT(script.out_len > before);
        EXPECT(lssb_conn_sent(&conn));
    }
}

static void a_full_socket_is_waited_for_in_both_directions(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;

    begin();
    opens("box.example", 80, false);
    script.out_room = 4;
    EXPECT(says("six..."));
    EXPECT(!lssb_conn_sent(&conn));
    EXPECT_INT(lssb_conn_waits(&conn, true, list, &wake_at), 1);
    EXPECT(list[0].read && list[0].write);
    EXPECT(wake_at == UINT64_MAX);
    script.out_room = 100;
    lssb_conn_step(&conn, script.now);
    EXPECT(lssb_conn_sent(&conn));
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT(list[0].read && !list[0].write);
    EXPECT_INT(lssb_conn_waits(&conn, false, list, &wake_at), 0);
}

static void a_reader_who_takes_nothing_holds_the_peer_back(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;
    size_t len;

    begin();
    peer(long_text());
    opens("box.example", 80, false);
    lssb_conn_step(&conn, script.now);
    lssb_conn_look(&conn, &len);
    EXPECT_INT(len, LSSB_RECEIVE_BUFFER);
    EXPECT_INT(lssb_conn_waits(&conn, false, list, &wake_at), 0);
    EXPECT(wake_at == UINT64_MAX);
    EXPECT_INT(script.in_at, LSSB_RECEIVE_BUFFER);
    script.out_fail_at = 0;
    script.out_fail = LSSB_IO_RESET;
    says("x");
    EXPECT_INT(lssb_conn_waits(&conn, false, list, &wake_at), 0);
}

static void nobody_sleeps_while_there_is_something_to_read(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;
    size_t len;

    begin();
    peer_record(22, "hi");
    peer_record(23, "one");
    peer_record(23, "two");
    opens("box.example", 443, true);
    lssb_conn_step(&conn, script.now);
    EXPECT(lssb_conn_look(&conn, &len) != NULL);
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT_INT(wake_at, 0);
    lssb_conn_consume(&conn, len);
    wake_at = UINT64_MAX;
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT_INT(wake_at, 0);
    lssb_conn_step(&conn, script.now);
    EXPECT(lssb_conn_look(&conn, &len) != NULL);
    lssb_conn_consume(&conn, len);
    lssb_conn_step(&conn, script.now);
    wake_at = UINT64_MAX;
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT(wake_at == UINT64_MAX);
    begin();
    peer("one");
    opens("box.example", 80, false);
    lssb_conn_step(&conn, script.now);
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT_INT(wake_at, 0);
}

static void one_step_does_a_bounded_amount(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;

    begin();
    peer(long_text());
    script.in_chunk = 1;
    opens("box.example", 80, false);
    lssb_conn_step(&conn, script.now);
    EXPECT(script.receives < 200);
    lssb_conn_waits(&conn, true, list, &wake_at);
    EXPECT_INT(wake_at, 0);
}

/* --------------------------------------------------------------- trouble -- */

static void an_answer_behind_a_broken_pipe_is_heard(void)
{
    int tls, any;

    for (tls = 0; tls < 2; tls++) {
        for (any = 0; any < 2; any++) {
            begin();
            if (tls == 1) {
                peer_record(22, "hi");
                peer_record(23, "413 too large");
            } else {
                peer("413 too large");
            }
            script.in_end = LSSB_IO_OK;
            EXPECT_INT(opens("box.example", 443, tls == 1), LSSB_OK);
            script.out_fail_at = script.out_len + (any == 1 ? 5 : 0);
            script.out_fail = LSSB_IO_RESET;
            says("a request");
            EXPECT_INT(conn.sent_any, any);
            EXPECT_INT(reads(), LSSB_E_CONNECTION);
            EXPECT_STR(heard, "413 too large");
            EXPECT(!conn.ended && !lssb_conn_sent(&conn));
            EXPECT_INT(conn.failure.layer, LSSB_LAYER_TRANSPORT);
            EXPECT_INT(conn.failure.system_code, 32);
            EXPECT_STR(conn.failure.message, "the connection to "
                       "box.example:443 failed: connection reset");
        }
    }
}

static void after_a_broken_pipe_silence_lasts_two_seconds(void)
{
    uint64_t start;
    int tls;

    for (tls = 0; tls < 2; tls++) {
        begin();
        peer_record(22, "hi");
        opens("box.example", 443, tls == 1);
        if (tls == 0)
            reads();
        script.out_fail_at = script.out_len;
        script.out_fail = LSSB_IO_FAILED;
        start = script.now;
        says("a request");
        EXPECT_INT(reads(), LSSB_E_CONNECTION);
        EXPECT_INT(script.now - start, 2000);
        EXPECT_STR(conn.failure.message, "the connection to box.example:443 "
                   "failed: system error 32");
    }
}

static void after_a_broken_pipe_a_peer_may_take_its_time_to_talk(void)
{
    size_t len;
    int i;

    begin();
    opens("box.example", 80, false);
    script.out_fail_at = 0;
    script.out_fail = LSSB_IO_RESET;
    says("a request");
    for (i = 0; i < 4; i++) {
        EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_OK);
        lssb_conn_look(&conn, &len);
        lssb_conn_consume(&conn, len);
        script.now += 1500;
        peer("x");
    }
    lssb_conn_step(&conn, script.now);
    lssb_conn_consume(&conn, 1);
    script.now += 2000;
    EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_E_CONNECTION);
}

static void after_a_failed_write_there_is_room_for_nothing(void)
{
    size_t room = 1;

    begin();
    opens("box.example", 80, false);
    script.out_fail_at = 0;
    script.out_fail = LSSB_IO_RESET;
    says("x");
    EXPECT(lssb_conn_reserve(&conn, &room) == NULL);
    EXPECT_INT(room, 0);
}

static void a_reset_is_told_after_the_bytes_before_it(void)
{
    int tls;

    for (tls = 0; tls < 2; tls++) {
        begin();
        if (tls == 1)
            peer_record(22, "hi");
        if (tls == 1)
            peer_record(23, "half a rep");
        else
            peer("half a rep");
        script.in_end = LSSB_IO_RESET;
        EXPECT_INT(opens("box.example", 443, tls == 1), LSSB_OK);
        EXPECT_INT(reads(), LSSB_E_CONNECTION);
        EXPECT_STR(heard, "half a rep");
        EXPECT_INT(conn.failure.system_code, 104);
        EXPECT_STR(conn.failure.message, "the connection to box.example:443 "
                   "failed: connection reset");
        EXPECT(!conn.ended);
    }
}

static void an_end_without_close_notify_is_a_cut(void)
{
    begin();
    peer_record(22, "hi");
    peer_record(23, "half a rep");
    script.in_end = LSSB_IO_OK;
    EXPECT_INT(opens("box.example", 443, true), LSSB_OK);
    EXPECT_INT(reads(), LSSB_E_CONNECTION);
    EXPECT_STR(heard, "half a rep");
    EXPECT(!conn.ended);
    EXPECT_INT(conn.failure.layer, LSSB_LAYER_TRANSPORT);
    EXPECT_STR(conn.failure.message, "the connection to box.example:443 was "
               "closed by the peer, without the end that TLS asks for");
}

static void a_peer_that_has_ended_can_still_be_written_to(void)
{
    begin();
    script.in_end = LSSB_IO_OK;
    opens("box.example", 80, false);
    EXPECT_INT(reads(), LSSB_END);
    EXPECT(conn.ended);
    EXPECT(says("more"));
    EXPECT(lssb_conn_sent(&conn));
    EXPECT_INT(script.out_len, 4);
}

static void a_failed_handshake_says_who_ended_it(void)
{
    static const struct {
        const char *row;
        lssb_io end;
        uint8_t record;
        lssb_status status;
        lssb_layer layer;
        const char *message;
    } table[] = {
        { "end", LSSB_IO_OK, 0, LSSB_E_CONNECTION, LSSB_LAYER_TRANSPORT,
          "the connection to box.example:443 was closed by the peer, during "
          "the TLS handshake" },
        { "reset", LSSB_IO_RESET, 0, LSSB_E_CONNECTION, LSSB_LAYER_TRANSPORT,
          "the connection to box.example:443 failed: connection reset, "
          "during the TLS handshake" },
        { "close_notify", LSSB_IO_AGAIN, 21, LSSB_E_CONNECTION,
          LSSB_LAYER_TRANSPORT,
          "the connection to box.example:443 was closed by the peer, during "
          "the TLS handshake" },
        { "nonsense", LSSB_IO_AGAIN, 99, LSSB_E_PROTOCOL, LSSB_LAYER_TLS,
          "" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].row;
        begin();
        script.in_end = table[i].end;
        if (table[i].record != 0)
            peer_record(table[i].record, "?");
        EXPECT_INT(opens("box.example", 443, true), table[i].status);
        EXPECT_INT(conn.failure.layer, table[i].layer);
        EXPECT_STR(conn.failure.message, table[i].message);
        EXPECT(!conn.sent_any && !conn.ended);
        EXPECT_INT(open_handles(), 0);
    }
}

static void a_session_that_cannot_start_closes_everything(void)
{
    begin();
    fake_start_status = LSSB_E_CERTIFICATE;
    EXPECT_INT(opens("box.example", 443, true), LSSB_E_CERTIFICATE);
    EXPECT_INT(conn.failure.layer, LSSB_LAYER_TLS);
    EXPECT_STR(conn.failure.message, "TLS failed with box.example:443");
    EXPECT_INT(open_handles(), 0);
}

static void only_application_data_counts_as_sent(void)
{
    size_t room;

    begin();
    peer_record(22, "hi");
    opens("box.example", 443, true);
    EXPECT(script.out_len > 0 && !conn.sent_any);
    script.out_room = script.out_len;
    *lssb_conn_reserve(&conn, &room) = 'x';
    lssb_conn_commit(&conn, 1);
    lssb_conn_flush(&conn);
    EXPECT(!conn.sent_any);
    script.out_room++;
    lssb_conn_step(&conn, script.now);
    EXPECT(conn.sent_any);
    script.out_room = 1000;
    lssb_conn_step(&conn, script.now);
    conn.sent_any = false;
    lssb_conn_close(&conn, script.now + 500);
    lssb_conn_step(&conn, script.now);
    EXPECT(script.out[script.out_len - 8] == 21 && !conn.sent_any);
}

static void a_handshake_in_pieces_that_fill_the_socket_goes_on(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;

    begin();
    script.out_room = 3;
    peer_record(22, "hi");
    script.in_len -= 2;
    EXPECT_INT(opens("box.example", 443, true), LSSB_PENDING);
    lssb_conn_waits(&conn, false, list, &wake_at);
    EXPECT(list[0].read && list[0].write);
    script.in_len += 2;
    script.out_room = 1000;
    EXPECT_INT(goes_on(), LSSB_OK);
}

static void a_quiet_connection_may_serve_again(void)
{
    static const struct {
        const char *row;
        const char *in;
        lssb_io end;
        bool quiet;
    } table[] = {
        { "nothing", "", LSSB_IO_AGAIN, true },
        { "a byte", "x", LSSB_IO_AGAIN, false },
        { "an end", "", LSSB_IO_OK, false },
        { "a reset", "", LSSB_IO_RESET, false },
    };
    size_t i;
    int tls;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (tls = 0; tls < 2; tls++) {
            test_row = table[i].row;
            begin();
            if (tls == 1)
                peer_record(22, "hi");
            opens("box.example", 443, tls == 1);
            if (tls == 1 && *table[i].in != '\0')
                peer_record(23, table[i].in);
            else
                peer(table[i].in);
            script.in_end = table[i].end;
            EXPECT_INT(lssb_conn_quiet(&conn, script.now), table[i].quiet);
        }
    }
}

/* ------------------------------------------------------------- the proxy -- */

#define CONNECT "CONNECT box.example:443 HTTP/1.1\r\n" \
                "Host: box.example:443\r\n"

static void a_proxy_is_asked_by_connect(void)
{
    static const struct {
        const char *userinfo;
        const char *request;
    } table[] = {
        { NULL, CONNECT "\r\n" },
        { "Aladdin:open sesame", CONNECT "Proxy-Authorization: Basic "
          "QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n" },
    };
    size_t i, len;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        begin();
        peer("HTTP/1.1 200 Connection established\r\n\r\n");
        peer_record(22, "hi");
        EXPECT_INT(opens_by_proxy(true, table[i].userinfo), LSSB_OK);
        EXPECT_STR(script.resolved, "proxy.example");
        EXPECT_INT(script.port, 3128);
        len = strlen(table[i].request);
        EXPECT(script.out_len > len);
        EXPECT(memcmp(script.out, table[i].request, len) == 0);
        EXPECT_INT(script.out[len], 22);
        EXPECT(conn.proxied && conn.host_tls && !conn.sent_any);
        EXPECT_STR(conn.host, "box.example");
    }
}

static void a_proxys_reply_split_anywhere_is_the_same(void)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nVia: 1.1 x\r\n\r\n";
    size_t i;

    for (i = 1; i < 80; i++) {
        begin();
        peer("HTTP/1.1 100 Continue\r\n\r\n");
        peer(reply);
        peer_record(22, "hi");
        peer_record(23, "data");
        peer_record(21, "");
        script.in_split = i;
        EXPECT_INT(opens_by_proxy(true, NULL), LSSB_OK);
        EXPECT_INT(reads(), LSSB_END);
        EXPECT_STR(heard, "data");
    }
}

static void a_proxys_reply_passes_in_any_pieces(void)
{
    size_t i;

    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        begin();
        set_pieces(i);
        peer("HTTP/1.0 200 OK\r\nX-Long: ");
        peer(long_text() + 18000);
        peer("\r\n\r\n");
        peer_record(22, "hi");
        EXPECT_INT(opens_by_proxy(true, long_text() + 18000), LSSB_OK);
    }
}

static void much_behind_a_proxys_reply_is_kept(void)
{
    begin();
    peer("HTTP/1.1 200 OK\r\n\r\n");
    peer_record(22, "hi");
    peer_record(23, long_text() + 10000);
    peer_record(21, "");
    EXPECT_INT(opens_by_proxy(true, NULL), LSSB_OK);
    EXPECT_INT(reads(), LSSB_END);
    EXPECT(strcmp(heard, long_text() + 10000) == 0);
}

static void a_proxy_that_refuses_is_quoted(void)
{
    static const struct {
        const char *reply;
        const char *userinfo;
        lssb_io end;
        lssb_status status;
        int32_t http_status;
        const char *message;
    } table[] = {
        { "HTTP/1.1 407 Auth\r\n", NULL, LSSB_IO_AGAIN, LSSB_E_PROXY, 407,
          "the proxy proxy.example:3128 asks for a user name and a password "
          "(HTTP 407)" },
        { "HTTP/1.1 407 Auth\r\n", "a:b", LSSB_IO_AGAIN, LSSB_E_PROXY, 407,
          "the proxy proxy.example:3128 does not accept the user name and "
          "password (HTTP 407)" },
        { "HTTP/1.0 401 Unauthorized\r\n", "a:b", LSSB_IO_AGAIN, LSSB_E_PROXY,
          401, "the proxy proxy.example:3128 does not accept the user name and "
          "password (HTTP 401)" },
        { "HTTP/1.1 502 Bad\r\n", NULL, LSSB_IO_AGAIN, LSSB_E_PROXY, 502,
          "the proxy proxy.example:3128 refused to connect to "
          "box.example:443 (HTTP 502)" },
        { "HTTP/1.1 301 Moved\r\n", NULL, LSSB_IO_AGAIN, LSSB_E_PROXY, 301,
          "the proxy proxy.example:3128 refused to connect to "
          "box.example:443 (HTTP 301)" },
        { "", NULL, LSSB_IO_OK, LSSB_E_CONNECTION, 0,
          "the connection to the proxy proxy.example:3128 was closed by the "
          "peer, before the proxy answered" },
        { "HTTP/1.1 200 OK\r\nA: b\r\n", NULL, LSSB_IO_RESET,
          LSSB_E_CONNECTION, 0,
          "the connection to the proxy proxy.example:3128 failed: connection "
          "reset, before the proxy answered" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].message;
        begin();
        peer(table[i].reply);
        script.in_end = table[i].end;
        EXPECT_INT(opens_by_proxy(true, table[i].userinfo), table[i].status);
        EXPECT_INT(conn.failure.status, table[i].status);
        EXPECT_INT(conn.failure.layer, LSSB_LAYER_PROXY);
        EXPECT_INT(conn.failure.http_status, table[i].http_status);
        EXPECT_STR(conn.failure.message, table[i].message);
        EXPECT_INT(open_handles(), 0);
    }
}

static void a_proxy_that_speaks_no_http_is_found_out(void)
{
    begin();
    peer("SSH-2.0-OpenSSH_9.2\r\n");
    EXPECT_INT(opens_by_proxy(true, NULL), LSSB_E_PROTOCOL);
    EXPECT_INT(conn.failure.layer, LSSB_LAYER_PROXY);
    EXPECT(strstr(conn.failure.message, "the proxy proxy.example:3128 does "
                  "not speak HTTP: ") != NULL);
    EXPECT_INT(open_handles(), 0);
}

static void a_proxy_that_cannot_be_reached_is_named(void)
{
    begin();
    script.places[0].in_the_end = LSSB_IO_REFUSED;
    EXPECT_INT(opens_by_proxy(true, NULL), LSSB_E_CONNECTION);
    EXPECT_INT(conn.failure.layer, LSSB_LAYER_CONNECT);
    EXPECT_STR(conn.failure.message, "cannot connect to the proxy "
               "10.0.0.1:3128 (proxy.example): connection refused");
    begin();
    script.resolve_io = LSSB_IO_NOT_FOUND;
    EXPECT_INT(opens_by_proxy(true, NULL), LSSB_E_CONNECTION);
    EXPECT_STR(conn.failure.message,
               "cannot resolve the proxy proxy.example: no such name");
}

static void clear_text_goes_to_the_proxy_itself(void)
{
    begin();
    EXPECT_INT(opens_by_proxy(false, "a:b"), LSSB_OK);
    EXPECT(conn.proxied && !conn.host_tls);
    EXPECT_INT(script.out_len, 0);
    EXPECT_INT(script.port, 3128);
}

/* --------------------------------------------------------------- the end -- */

static void an_orderly_end_waits_for_the_peers(void)
{
    begin();
    peer_record(22, "hi");
    opens("box.example", 443, true);
    says("last words");
    peer_record(23, "too late");
    lssb_conn_close(&conn, script.now + 500);
    EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_PENDING);
    EXPECT_INT(script.out[script.out_len - 8], 21);
    EXPECT(sleeps(&conn, false));
    lssb_conn_step(&conn, script.now);
    peer_record(21, "bye");
    EXPECT_INT(goes_on(), LSSB_END);
    EXPECT_INT(conn.phase, LSSB_CONN_CLOSED);
    EXPECT_INT(open_handles(), 0);
    EXPECT_INT(script.resets, 0);
}

static void an_orderly_end_is_bounded(void)
{
    uint64_t start;
    int stuck;

    for (stuck = 0; stuck < 2; stuck++) {
        begin();
        peer_record(22, "hi");
        opens("box.example", 443, true);
        if (stuck == 1)
            script.out_room = script.out_len;
        says("last words");
        start = script.now;
        lssb_conn_close(&conn, script.now + 500);
        EXPECT_INT(goes_on(), LSSB_END);
        EXPECT_INT(script.now - start, 500);
        EXPECT_INT(open_handles(), 0);
    }
}

static void committed_bytes_go_out_before_the_end(void)
{
    lssb_poll list[LSSB_CONN_RACE];
    uint64_t wake_at = UINT64_MAX;
    char told[16];
    size_t room;

    begin();
    peer_record(22, "hi");
    opens("box.example", 443, true);
    memcpy(lssb_conn_reserve(&conn, &room), "bye", 3);
    lssb_conn_commit(&conn, 3);
    lssb_conn_close(&conn, script.now + 500);
    lssb_conn_step(&conn, script.now);
    EXPECT_INT(records_heard(told), 3);
    begin();
    opens("box.example", 80, false);
    script.out_room = 0;
    memcpy(lssb_conn_reserve(&conn, &room), "bye", 3);
    lssb_conn_commit(&conn, 3);
    lssb_conn_close(&conn, script.now + 500);
    EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_PENDING);
    lssb_conn_waits(&conn, false, list, &wake_at);
    EXPECT_INT(wake_at, script.now + 500);
    script.out_room = 100;
    EXPECT(sleeps(&conn, false));
    EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_END);
    EXPECT_INT(script.out_len, 3);
    EXPECT_INT(open_handles(), 0);
}

static void a_connection_that_is_not_open_ends_at_once(void)
{
    static const struct {
        const char *row;
        uint32_t resolve_ms, connect_ms;
        bool proxy;
        enum lssb_conn_phase phase;
    } table[] = {
        { "resolving", 100, 0, false, LSSB_CONN_RESOLVING },
        { "connecting", 0, 100, false, LSSB_CONN_CONNECTING },
        { "proxy", 0, 0, true, LSSB_CONN_PROXY },
        { "handshake", 0, 0, false, LSSB_CONN_HANDSHAKE },
    };
    struct lssb_conn_target target;
    size_t i;
    int k;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_row = table[i].row;
        begin();
        script.resolve_ms = table[i].resolve_ms;
        script.places[0].after_ms = table[i].connect_ms;
        memset(&target, 0, sizeof target);
        target.host = "box.example";
        target.port = 443;
        target.tls = true;
        target.proxy_host = table[i].proxy ? "proxy.example" : NULL;
        lssb_conn_open(&conn, &target, NULL, script.now);
        for (k = 0; k < 4; k++)
            lssb_conn_step(&conn, script.now);
        EXPECT_INT(conn.phase, table[i].phase);
        EXPECT_INT(open_handles(), 1);
        lssb_conn_close(&conn, script.now + 500);
        EXPECT_INT(lssb_conn_step(&conn, script.now), LSSB_END);
        EXPECT_INT(open_handles(), 0);
    }
}

static void nothing_secret_is_left_behind(void)
{
    size_t i, left = 0;

    begin();
    peer("a token");
    opens("box.example", 80, false);
    says("a key");
    lssb_conn_step(&conn, script.now);
    lssb_conn_drop(&conn, false);
    for (i = 0; i < sizeof send_buffer; i++)
        left += send_buffer[i] != 0;
    for (i = 0; i < sizeof receive_buffer; i++)
        left += receive_buffer[i] != 0;
    EXPECT_INT(left, 0);
    EXPECT(conn.sent_any);
    lssb_conn_drop(&conn, false);
    EXPECT_INT(open_handles(), 0);
}

/* A whole life, by way of everything there is. */
static lssb_status live(int tls, bool proxy)
{
    lssb_status status;

    if (proxy)
        peer("HTTP/1.1 200 OK\r\n\r\n");
    if (tls == 1)
        peer_record(22, "hi");
    if (tls == 1)
        peer_record(23, "reply");
    else
        peer("reply");
    if (tls == 1)
        peer_record(21, "");
    script.in_end = LSSB_IO_OK;
    status = proxy ? opens_by_proxy(true, "a:b")
                   : opens("box.example", 443, tls == 1);
    if (status == LSSB_OK && says("request"))
        status = reads();
    else if (status == LSSB_OK)
        status = reads();
    if (conn.phase != LSSB_CONN_CLOSED && status == LSSB_END) {
        lssb_conn_close(&conn, script.now + 100);
        goes_on();
    }
    lssb_conn_drop(&conn, true);
    return status;
}

static void whatever_call_of_the_port_fails_nothing_leaks(void)
{
    static const char *const rows[] = { "plain", "tls", "proxy" };
    int way;

    for (way = 0; way < 3; way++) {
        lssb_status status;
        unsigned fail_at = 0;

        test_row = rows[way];
        do {
            fail_at++;
            begin();
            script.place_count = 0;
            add_place(6, 1, LSSB_IO_OK, 9000, LSSB_IO_REFUSED);
            add_place(4, 2, LSSB_IO_OK, 5, LSSB_IO_OK);
            script.fail_at = fail_at;
            status = live(way > 0, way == 2);
            EXPECT(status == LSSB_END || status == LSSB_E_CONNECTION);
            if (status == LSSB_E_CONNECTION)
                EXPECT(conn.failure.layer != LSSB_LAYER_NONE &&
                       (conn.failure.system_code == 77 ||
                        conn.failure.system_code == 111) &&
                       conn.failure.message[0] != '\0');
            EXPECT_INT(open_handles(), 0);
        } while (script.calls >= fail_at);
        EXPECT_INT(status, LSSB_END);
        EXPECT(fail_at > 8);
    }
}

static const struct test tests[] = {
    TEST(a_literal_address_is_not_resolved),
    TEST(a_name_is_resolved_however_long_that_takes),
    TEST(a_name_that_leads_nowhere_says_why),
    TEST(a_name_without_addresses_is_no_such_name),
    TEST(families_take_turns_beginning_with_the_first),
    TEST(a_dead_address_costs_a_quarter_of_a_second),
    TEST(a_slow_first_address_may_still_win),
    TEST(after_a_refusal_the_next_address_is_tried_at_once),
    TEST(a_refusal_does_not_wait_for_an_attempt_that_is_slow),
    TEST(dead_addresses_give_way_to_those_that_wait),
    TEST(the_last_attempts_run_as_long_as_the_caller_lets_them),
    TEST(when_all_addresses_fail_the_last_one_is_told),
    TEST(a_literal_address_is_told_once),
    TEST(ipv6_addresses_are_written_the_short_way),
    TEST(a_build_without_tls_says_so_before_it_connects),
    TEST(a_host_name_that_is_too_long_is_refused),
    TEST(bytes_pass_in_clear_text_in_any_pieces),
    TEST(bytes_pass_over_tls_in_any_pieces),
    TEST(committed_bytes_wait_for_a_flush_or_a_full_buffer),
    TEST(nobody_sleeps_on_unsent_bytes),
    TEST(a_full_socket_is_waited_for_in_both_directions),
    TEST(a_reader_who_takes_nothing_holds_the_peer_back),
    TEST(nobody_sleeps_while_there_is_something_to_read),
    TEST(one_step_does_a_bounded_amount),
    TEST(an_answer_behind_a_broken_pipe_is_heard),
    TEST(after_a_broken_pipe_silence_lasts_two_seconds),
    TEST(after_a_broken_pipe_a_peer_may_take_its_time_to_talk),
    TEST(after_a_failed_write_there_is_room_for_nothing),
    TEST(a_reset_is_told_after_the_bytes_before_it),
    TEST(an_end_without_close_notify_is_a_cut),
    TEST(a_peer_that_has_ended_can_still_be_written_to),
    TEST(a_failed_handshake_says_who_ended_it),
    TEST(a_session_that_cannot_start_closes_everything),
    TEST(only_application_data_counts_as_sent),
    TEST(a_handshake_in_pieces_that_fill_the_socket_goes_on),
    TEST(a_quiet_connection_may_serve_again),
    TEST(a_proxy_is_asked_by_connect),
    TEST(a_proxys_reply_split_anywhere_is_the_same),
    TEST(a_proxys_reply_passes_in_any_pieces),
    TEST(much_behind_a_proxys_reply_is_kept),
    TEST(a_proxy_that_refuses_is_quoted),
    TEST(a_proxy_that_speaks_no_http_is_found_out),
    TEST(a_proxy_that_cannot_be_reached_is_named),
    TEST(clear_text_goes_to_the_proxy_itself),
    TEST(an_orderly_end_waits_for_the_peers),
    TEST(an_orderly_end_is_bounded),
    TEST(committed_bytes_go_out_before_the_end),
    TEST(a_connection_that_is_not_open_ends_at_once),
    TEST(nothing_secret_is_left_behind),
    TEST(whatever_call_of_the_port_fails_nothing_leaks),
};

int main(void)
{
    return TEST_MAIN(tests);
}
