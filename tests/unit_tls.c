/* unit_tls.c: the TLS backends: who is trusted, and how bytes move.
 *
 * SPDX-License-Identifier: MIT
 *
 * One program for each backend, the same tests for both; where they differ, a
 * table says how. The server is BearSSL's own, in this process, and the wire a
 * piece of memory; for TLS 1.3, which BearSSL does not have, it is OpenSSL's.
 * Certificates are made by tests/certs.sh, into the folder LSSB_CERTS or one of
 * its own; the clock says 2027-06-01. The backend's source is part of this
 * program, so that its inner parts can be tried by themselves.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bearssl.h>

#ifdef LSSB_TEST_MBEDTLS
#include "port/tls_mbedtls.c"
#define MBEDTLS true
#define TLS tls_mbedtls
#else
#include "port/tls_bearssl.c"
#define MBEDTLS false
#define TLS tls_bearssl
#endif
#ifdef TLS_HAS_1_3
#define SUITES_OF_1_3 3u            /* they come first */
#else
#define SUITES_OF_1_3 0u
#endif
#include "test.h"

/* ------------------------------------------------------------------ files */

static char certs_dir[256];
static uint8_t file_room[2][1 << 19];

/* Adds a file of the folder to a place. */
static size_t load(const char *name, const char *suffix, uint8_t *to,
                   size_t size)
{
    char path[600];
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "%s%s%s%s", *name == '/' ? "" : certs_dir,
             *name == '/' ? "" : "/", name, suffix);
    file = fopen(path, "rb");
    if (file == NULL) {
        printf("  cannot read %s\n", path);
        test_failures++;
        return 0;
    }
    n = fread(to, 1, size, file);
    fclose(file);
    return n;
}

/* Adds the files of a list of names, "good int". */
static size_t load_list(const char *names, const char *suffix, uint8_t *to,
                        size_t size)
{
    char name[200];
    size_t len = 0, n;

    while (*names != '\0') {
        n = strcspn(names, " ");
        memcpy(name, names, n);
        name[n] = '\0';
        len += load(name, *name == '/' ? "" : suffix, to + len, size - len);
        names += n + (names[n] == ' ');
    }
    return len;
}

/* ------------------------------------------------------------------- port */

/* 2027-06-01 */
#define NOW INT64_C(1811808000)

static struct {
    int64_t wall;
    bool no_randomness;
    const char *bundle;             /* the system's: a list of files */
    bool bundle_broken;
    size_t read_max;                /* of one read_at; 0: no limit */
    unsigned opened, closed;
    uint32_t seed;
} port_state;

static int64_t test_wall(void *context)
{
    (void)context;
    return port_state.wall;
}

static lssb_io test_random(void *context, void *bytes, size_t len)
{
    uint8_t *at = bytes;

    (void)context;
    while (len-- > 0)
        *at++ = (uint8_t)(port_state.seed = port_state.seed * 69069u + 12345u,
                          port_state.seed >> 24);
    return port_state.no_randomness ? LSSB_IO_FAILED : LSSB_IO_OK;
}

static struct {
    uint8_t bytes[1 << 19];
    size_t len;
} test_blob;

static ptrdiff_t test_read_at(void *ctx, uint64_t offset, void *bytes,
                              size_t len)
{
    (void)ctx;
    if (port_state.bundle_broken && offset > 100)
        return -1;
    if (offset >= test_blob.len)
        return 0;
    if (len > test_blob.len - (size_t)offset)
        len = test_blob.len - (size_t)offset;
    if (port_state.read_max > 0 && len > port_state.read_max)
        len = port_state.read_max;
    memcpy(bytes, test_blob.bytes + offset, len);
    return (ptrdiff_t)len;
}

static void test_close_blob(void *ctx)
{
    (void)ctx;
    port_state.closed++;
}

static lssb_io test_certificates(void *context, const char *path,
                                 lssb_blob *out, int32_t *code)
{
    (void)context;
    if (path == NULL)
        path = port_state.bundle;
    *code = 2;
    if (path == NULL || strcmp(path, "missing") == 0)
        return LSSB_IO_NOT_FOUND;
    test_blob.len = load_list(path, ".crt", test_blob.bytes,
                              sizeof test_blob.bytes);
    out->read_at = test_read_at;
    out->close = test_close_blob;
    port_state.opened++;
    return LSSB_IO_OK;
}

/* ------------------------------------------------------------- the server */

#define PIPE_SIZE (1 << 18)

struct test_pipe {
    uint8_t bytes[PIPE_SIZE];
    size_t from, to;
    bool closed;
    bool broken;
};

static struct test_pipe up, down;
static br_ssl_server_context server;
static br_ssl_session_cache_lru cache;
static uint8_t cache_room[2000];
static br_skey_decoder_context server_key;
static br_x509_certificate server_chain[16];
static size_t server_count;
static uint8_t server_in[BR_SSL_BUFSIZE_INPUT];
static uint8_t server_out[BR_SSL_BUFSIZE_OUTPUT];
static uint8_t server_der[1 << 18];
static bool server_echo;
static unsigned server_entropy;     /* no two servers choose the same ids */

/* Decodes certificates in PEM for the server to send. */
static void server_load(const char *names)
{
    size_t len = load_list(names, ".crt", file_room[0], sizeof file_room[0]);
    size_t at = 0, used, der = 0;
    struct pem pem;
    enum pem_event event;

    server_count = 0;
    pem_start(&pem);
    while (at < len) {
        event = pem_next(&pem, file_room[0] + at, len - at, &used);
        at += used;
        if (event == PEM_BEGIN)
            server_chain[server_count].data = server_der + der;
        if (event == PEM_DATA) {
            memcpy(server_der + der, pem.data, pem.data_len);
            der += pem.data_len;
        }
        if (event == PEM_END) {
            server_chain[server_count].data_len =
                (size_t)(server_der + der - server_chain[server_count].data);
            server_count++;
        }
    }
}

/* A piece of the server's key. */
static void server_key_piece(void *to, const uint8_t *bytes, size_t len)
{
    br_skey_decoder_push(to, bytes, len);
}

static void server_start(const char *names, const char *key)
{
    size_t len;

    server_load(names);
    len = load(key, ".key", file_room[0], sizeof file_room[0]);
    br_skey_decoder_init(&server_key);
    EXPECT(own_key_pem(file_room[0], len, server_key_piece, &server_key) ==
           NULL);
    EXPECT_INT(br_skey_decoder_last_error(&server_key), 0);
    if (br_skey_decoder_key_type(&server_key) == BR_KEYTYPE_RSA)
        br_ssl_server_init_full_rsa(&server, server_chain, server_count,
                                    br_skey_decoder_get_rsa(&server_key));
    else
        br_ssl_server_init_full_ec(&server, server_chain, server_count,
                                   BR_KEYTYPE_EC,
                                   br_skey_decoder_get_ec(&server_key));
    br_ssl_engine_set_buffers_bidi(&server.eng, server_in, sizeof server_in,
                                   server_out, sizeof server_out);
    br_ssl_server_set_cache(&server, &cache.vtable);
    br_ssl_engine_inject_entropy(&server.eng, &server_entropy,
                                 sizeof server_entropy);
    server_entropy++;
    server.eng.rng_os_rand_done = 1;
    server_echo = true;
}

/* Lets the server do what it can; what comes in goes out again. */
static void server_run(void)
{
    unsigned state;
    size_t len, room;
    uint8_t *bytes, *to;

    for (;;) {
        state = br_ssl_engine_current_state(&server.eng);
        if (state & BR_SSL_SENDREC) {
            bytes = br_ssl_engine_sendrec_buf(&server.eng, &len);
            if (len > PIPE_SIZE - down.to)
                return;
            memcpy(down.bytes + down.to, bytes, len);
            down.to += len;
            br_ssl_engine_sendrec_ack(&server.eng, len);
        } else if ((state & BR_SSL_RECVAPP) && (state & BR_SSL_SENDAPP) &&
                   server_echo) {
            bytes = br_ssl_engine_recvapp_buf(&server.eng, &len);
            to = br_ssl_engine_sendapp_buf(&server.eng, &room);
            if (len > room)
                len = room;
            memcpy(to, bytes, len);
            br_ssl_engine_recvapp_ack(&server.eng, len);
            br_ssl_engine_sendapp_ack(&server.eng, len);
            br_ssl_engine_flush(&server.eng, 0);
        } else if ((state & BR_SSL_RECVREC) && up.from < up.to) {
            bytes = br_ssl_engine_recvrec_buf(&server.eng, &len);
            if (len > up.to - up.from)
                len = up.to - up.from;
            memcpy(bytes, up.bytes + up.from, len);
            up.from += len;
            br_ssl_engine_recvrec_ack(&server.eng, len);
        } else {
            break;
        }
    }
    if (up.from == up.to)
        up.from = up.to = 0;
}

/* ------------------------------------------------------------- the client */

static lssb_port port;
static lssb_trust trust;
static lssb_error error;
static lssb_tls_setup setup;
static uint64_t memory[4096];
static uint8_t receive_room[16709];
static uint8_t send_room[1117];
static size_t wire_max;             /* bytes of one send or receive; 0: all */
static bool wire_stutters;          /* every other call would block */
static unsigned wire_calls;
static size_t wire_sent;            /* bytes that the client has sent */
static uint8_t pins[3][32];

static ptrdiff_t wire_limit(size_t len)
{
    if (wire_stutters && wire_calls++ % 2 == 0)
        return LSSB_IO_AGAIN;
    return (ptrdiff_t)(wire_max > 0 && len > wire_max ? wire_max : len);
}

static ptrdiff_t wire_send(void *ctx, const void *bytes, size_t len)
{
    ptrdiff_t n = wire_limit(len);

    (void)ctx;
    if (up.broken)
        return LSSB_IO_RESET;
    if (n > 0 && up.to + (size_t)n > PIPE_SIZE)
        return LSSB_IO_AGAIN;
    if (n > 0) {
        memcpy(up.bytes + up.to, bytes, (size_t)n);
        up.to += (size_t)n;
        wire_sent += (size_t)n;
    }
    return n;
}

static ptrdiff_t wire_receive(void *ctx, void *bytes, size_t len)
{
    ptrdiff_t n;

    (void)ctx;
    if (down.from == down.to) {
        down.from = down.to = 0;
        return down.closed ? 0 : down.broken ? LSSB_IO_RESET : LSSB_IO_AGAIN;
    }
    if (len > down.to - down.from)
        len = down.to - down.from;
    n = wire_limit(len);
    if (n > 0) {
        memcpy(bytes, down.bytes + down.from, (size_t)n);
        down.from += (size_t)n;
    }
    return n;
}

/* Everything as most tests want it: a server that is trusted. */
static void world(const char *names, const char *key, const char *host,
                  const char *anchors)
{
    memset(&port_state, 0, sizeof port_state);
    port_state.wall = NOW;
    port_state.seed = 1;
    memset(&port, 0, sizeof port);
    port.wall_s = test_wall;
    port.random = test_random;
    port.certificates = test_certificates;
    memset(&trust, 0, sizeof trust);
    trust.only = true;
    if (anchors != NULL) {
        trust.anchors = file_room[1];
        trust.anchors_len = load_list(anchors, ".crt", file_room[1],
                                      sizeof file_room[1]);
    }
    memset(&error, 0, sizeof error);
    memset(&setup, 0, sizeof setup);
    setup.host = host;
    setup.trust = &trust;
    setup.port = &port;
    setup.io.send = wire_send;
    setup.io.receive = wire_receive;
    setup.error = &error;
    setup.memory = (uint8_t *)memory;
    setup.memory_size = sizeof memory;
    setup.receive_buffer = receive_room;
    setup.receive_size = sizeof receive_room;
    setup.send_buffer = send_room;
    setup.send_size = sizeof send_room;
    wire_max = 0;
    wire_stutters = false;
    if (names != NULL)
        server_start(names, key);
}

/* Adds a pin: the key of a certificate. */
static void pin(const char *name)
{
    load(name, ".pin", pins[trust.pin_count++], 32);
    trust.pins = (const uint8_t(*)[32])pins;
}

static const lssb_tls_backend *const tls = &TLS;
static bool started;                /* a session that was not ended yet */

/* Ends the session before, if there is one. */
static void end(void)
{
    if (started && tls->end != NULL)
        tls->end(memory);
    started = false;
}

/* Whether the last session has seen a chain of certificates. */
static bool *judged(void)
{
#ifdef LSSB_TEST_MBEDTLS
    return &((struct tls_session *)(void *)memory)->judge.started;
#else
    return &((struct tls_session *)(void *)memory)->chain.judge.started;
#endif
}

/* Starts a session. */
static lssb_status start(void)
{
    lssb_status status;

    end();
    memset(memory, 0xA5, sizeof memory);
    status = tls->start(memory, &setup);
    started = status == LSSB_OK;
    return status;
}

/* Starts the client, against a server that begins anew. */
static lssb_status begin(void)
{
    up.from = up.to = down.from = down.to = 0;
    up.closed = up.broken = down.closed = down.broken = false;
    br_ssl_server_reset(&server);
    return start();
}

/* Goes on until the client is ready, or it ends; or nothing moves. */
static lssb_status shake(void)
{
    lssb_status status = LSSB_OK;
    unsigned round;

    for (round = 0; round < 200000 && status == LSSB_OK &&
                    !tls->ready(memory); round++) {
        status = tls->pump(memory);
        server_run();
    }
    return status;
}

/* A whole handshake. */
static lssb_status handshake(void)
{
    lssb_status status = begin();

    return status == LSSB_OK ? shake() : status;
}

/* Whether a message comes there and back. */
static bool talks(void)
{
    const uint8_t *got;
    uint8_t *to;
    size_t len = 0, room;
    unsigned round;

    to = tls->reserve(memory, &room);
    if (to == NULL || room < 5)
        return false;
    memcpy(to, "hello", 5);
    tls->commit(memory, 5);
    tls->flush(memory);
    for (round = 0; round < 10000 && len < 5; round++) {
        if (tls->pump(memory) != LSSB_OK)
            return false;
        server_run();
        got = tls->look(memory, &len);
    }
    got = tls->look(memory, &len);
    return len == 5 && memcmp(got, "hello", 5) == 0;
}

/* A handshake that works, and a message there and back. */
static bool works(void)
{
    return handshake() == LSSB_OK && tls->ready(memory) && talks();
}

/* ------------------------------------------------------- the table of trust */

struct verdict {
    const char *name;
    const char *chain;              /* what the server sends */
    const char *key;
    const char *host;
    const char *anchors;
    const char *pin;                /* certificates whose keys are pinned */
    const char *message;            /* NULL: accepted */
    int32_t code;                   /* enum tls_code */
};

#define GOOD "good.example"

static const struct verdict verdicts[] = {
    { "a chain of RSA", "good int", "server", GOOD, "root", "", NULL, 0 },
    { "a leaf below the root", "direct", "server", GOOD, "root", "", NULL, 0 },
    { "two intermediates", "deep int2 int", "server", GOOD, "root", "", NULL,
      0 },
    { "the root is sent, too", "good int root", "server", GOOD, "root", "",
      NULL, 0 },
    { "a root of RSA 4096", "large", "server", GOOD, "root4096", "", NULL, 0 },
    { "a chain of curves", "curved", "serverec", GOOD, "rootec", "", NULL, 0 },
    { "a leaf on P-521", "curved521", "server521", GOOD, "root", "", NULL, 0 },
    { "a certificate of 23 KB", "huge", "server", GOOD, "root", "", NULL, 0 },
    { "one anchor of many", "good int", "server", GOOD,
      "other root4096 rootec root", "", NULL, 0 },
    { "an intermediate is the anchor", "good", "server", GOOD, "int", "", NULL,
      0 },
    { "an intermediate is the anchor, and sent", "good int", "server", GOOD,
      "int", "", NULL, 0 },

    { "an expired leaf", "expired", "server", GOOD, "root", "",
      "the certificate of good.example expired on 2027-01-01", 54 },
    { "a leaf not yet valid", "future", "server", GOOD, "root", "",
      "the certificate of good.example is not valid before 2028-01-01; the "
      "clock says 2027-06-01", 54 },
    { "an expired intermediate", "good intold", "server", GOOD, "root", "",
      "the certificate of \"CN=Test Intermediate\", in the chain of "
      "good.example, expired on 2027-01-01", 54 },
    { "an expired anchor", "direct", "server", GOOD, "rootold", "",
      "the trusted certificate of \"CN=Test Root, O=lssb\", above "
      "good.example, expired on 2027-01-01", 62 },
    { "an anchor not yet valid", "direct", "server", GOOD, "rootsoon", "",
      "is not valid before 2028-01-01", 62 },
    { "an expired anchor beside a valid one", "direct", "server", GOOD,
      "rootold root", "", NULL, 0 },
    { "an expired leaf as the anchor", "expired", "server", GOOD, "expired",
      "", "expired on 2027-01-01", 54 },

    { "another host's name", "named", "server", GOOD, "root", "",
      "the certificate is for a.example, b.example, not for good.example",
      56 },
    { "the second name", "named", "server", "b.example", "root", "", NULL, 0 },
    { "a name in capitals", "named", "server", "B.Example", "root", "", NULL,
      0 },
    { "a name with its last dot", "named", "server", "b.example.", "root", "",
      NULL, 0 },
    { "a longer name", "named", "server", "xb.example", "root", "",
      "not for xb.example", 56 },
    { "a wildcard", "wild", "server", "a.wild.example", "root", "", NULL, 0 },
    { "a wildcard for two labels", "wild", "server", "a.b.wild.example",
      "root", "", "is for *.wild.example, not for a.b.wild.example", 56 },
    { "a wildcard for none", "wild", "server", "wild.example", "root", "",
      "not for wild.example", 56 },
    { "a wildcard below a top domain", "wide", "server", GOOD, "root", "",
      "is for *.example, not for good.example", 56 },
    { "a wildcard in a label", "half", "server", "good.wild.example", "root",
      "", "is for g*.wild.example, not for", 56 },
    { "a label where a wildcard might be", "single", "server",
      "a.wild.example", "root", "", "is for x.wild.example, not for", 56 },
    { "an address that spells a name", "spelled", "server", "97.98.99.100",
      "root", "", "is for abcd, not for 97.98.99.100", 56 },
    { "an address in the certificate", "address", "server", "127.0.0.1",
      "root", "", NULL, 0 },
    { "the other address", "address", "server", "192.0.2.7", "root", "", NULL,
      0 },
    { "an IPv6 address", "address", "server", "::1", "root", "", NULL, 0 },
    { "an IPv6 address, written otherwise", "address", "server",
      "0:0:0:0::0001", "root", "", NULL, 0 },
    { "an address not in the certificate", "address", "server", "127.0.0.2",
      "root", "", "is for 127.0.0.1, 0000:0000:0000:0000:0000:0000:0000:0001, "
      "192.0.2.7, not for 127.0.0.2", 56 },
    { "an address, and a certificate for names", "named", "server",
      "127.0.0.1", "root", "", "is for a.example, b.example, not for "
      "127.0.0.1", 56 },
    { "an address as a name", "textual", "server", "127.0.0.1", "root", "",
      "is for 127.0.0.1, not for 127.0.0.1", 56 },
    { "an address in IPv6 clothes", "address", "server", "::ffff:127.0.0.1",
      "root", "", "not for ::ffff:127.0.0.1", 56 },
    { "a common name only", "common", "server", GOOD, "root", "",
      "names no host (a common name does not count), not for good.example",
      56 },
    { "other kinds of names", "otherwise", "server", GOOD, "root", "",
      "names no host", 56 },
    { "a name in pieces", "pieces", "server", GOOD, "root", "",
      "the certificate of good.example cannot be read", 33 },
    { "control characters in a name", "escape", "server", GOOD, "root", "",
      "is for evil?[1m.test, not for", 56 },

    { "for clients only", "clientonly", "server", GOOD, "root", "",
      "the certificate of good.example is not for servers (extended key "
      "usage)", 59 },
    { "for any purpose", "anyuse", "server", GOOD, "root", "", NULL, 0 },
    { "for no named purpose", "nouse", "server", GOOD, "root", "", NULL, 0 },
    { "an intermediate for clients only", "good inteku", "server", GOOD,
      "root", "", "the certificate of \"CN=Test Intermediate\", in the chain "
      "of good.example, is not for servers", 59 },
    { "an intermediate for servers, too", "good intweb", "server", GOOD,
      "root", "", NULL, 0 },
    { "an anchor for clients only", "direct", "server", GOOD, "rooteku", "",
      "the trusted certificate of \"CN=Test Root, O=lssb\", above "
      "good.example, is not for servers", 62 },
    { "a critical extended key usage", "critical", "server", GOOD, "root", "",
      "has an extended key usage that is marked critical", 57 },
    { "a key for encryption only", "encipher", "server", GOOD, "root", "",
      "has a key that is not for TLS (key usage)", 28 },

    { "plain name constraints", "good intnc", "server", GOOD, "root", "",
      "in the chain of good.example, has name constraints, which are not "
      "supported", 57 },
    { "critical name constraints", "good intncc", "server", GOOD, "root", "",
      "has name constraints, which are not supported", 57 },
    { "name constraints in the leaf", "constrained", "server", GOOD, "root",
      "", "has name constraints, which are not supported", 57 },
    { "name constraints in the anchor", "direct", "server", GOOD, "rootnc", "",
      "has name constraints, which are not supported", 62 },
    { "a critical extension that is not known", "strange", "server", GOOD,
      "root", "", "has a critical extension that is not known", 57 },

    { "a critical policy", "policy", "server", GOOD, "root", "", NULL, 0 },
    { "a policy", "policies", "server", GOOD, "root", "", NULL, 0 },

    { "an unknown issuer", "unknown", "server", GOOD, "root", "",
      "the certificate of good.example is issued by \"CN=Other Root, "
      "O=lssb\", which is not trusted", 62 },
    { "an unknown issuer, further up", "good int", "server", GOOD, "other", "",
      "the certificate of \"CN=Test Intermediate\", in the chain of "
      "good.example, is issued by \"CN=Test Root, O=lssb\", which is not "
      "trusted", 62 },
    { "the intermediate is missing", "good", "server", GOOD, "root", "",
      "is issued by \"CN=Test Intermediate\", which is not trusted", 62 },
    { "self-signed", "self", "server", GOOD, "root", "",
      "the certificate of good.example is self-signed, and not trusted", 62 },
    { "self-signed, and the anchor", "self", "server", GOOD, "self", "", NULL,
      0 },
    { "self-signed as an authority, and the anchor", "selfca", "server", GOOD,
      "selfca", "", NULL, 0 },
    { "self-signed, and another of its name is the anchor", "selfca", "server",
      GOOD, "selfother", "", "is self-signed, and not trusted", 62 },
    { "the leaf is the anchor", "good", "server", GOOD, "good", "", NULL, 0 },
    { "the leaf is the anchor, for another host", "named", "server", GOOD,
      "named", "", "is for a.example", 56 },
    { "the leaf is the anchor, for clients", "clientonly", "server", GOOD,
      "clientonly", "", "is not for servers", 59 },
    { "an authority of the same name", "bytwin", "server", GOOD, "root", "",
      "names as its issuer \"CN=Test Root, O=lssb\", which did not sign it",
      62 },
    { "two anchors of one name", "bytwin", "server", GOOD, "root twin", "",
      NULL, 0 },
    { "two anchors of one name, the other way", "bytwin", "server", GOOD,
      "twin root", "", NULL, 0 },
    { "one anchor twice, then its namesake", "bytwin", "server", GOOD,
      "root root root twin", "", NULL, 0 },
    { "an expired namesake and others", "bytwin", "server", GOOD,
      "rootold rootold twinold root twin", "", NULL, 0 },
    { "an anchor with a weak key", "byevil", "server", GOOD, "eviltwin", "",
      "has a key that is not supported", 62 },
    { "an anchor without the right to sign", "direct", "server", GOOD,
      "rootnosign", "", "is issued by \"CN=Test Root, O=lssb\", which is not "
      "trusted", 62 },
    { "an anchor that is no authority", "direct", "server", GOOD, "rootnoca",
      "", "is issued by \"CN=Test Root, O=lssb\", which is not trusted", 62 },
    { "an anchor that allows no intermediate", "good int", "server", GOOD,
      "rootshort", "", "allows fewer certificates below it", 62 },
    { "an anchor that allows no intermediate, and none", "direct", "server",
      GOOD, "rootshort", "", NULL, 0 },

    { "an intermediate that is no authority", "good intnoca", "server", GOOD,
      "root", "", "is signed by one that is no authority", 58 },
    { "an intermediate without basic constraints", "good intnobc", "server",
      GOOD, "root", "", "is signed by one that is no authority", 58 },
    { "an intermediate that may not sign", "good intnosign", "server", GOOD,
      "root", "", "a key that is not for that (key usage)", 59 },
    { "an intermediate that allows none below", "deep int2 int0", "server",
      GOOD, "root", "", "is signed by one that is no authority", 58 },
    { "certificates that are no chain", "good other", "server", GOOD, "root",
      "", "is not followed by its issuer's", 55 },
    { "a chain out of order", "deep int int2", "server", GOOD, "root", "",
      "is not followed by its issuer's", 55 },
    { "eleven certificates", "unknown other other other other other other "
      "other other other other", "server", GOOD, "root", "",
      "is one of more than 10", 50 },
    { "a signature with Ed25519", "byedwards", "server", GOOD, "edwards", "",
      "is signed by way of Ed25519, which is not taken", 49 },
    { "a certificate with Ed25519 within a chain", "good edwards int",
      "server", GOOD, "root", "", "is not followed by its issuer's", 55 },
    { "a signature with SHA-1", "sha1", "server", GOOD, "root", "",
      "the certificate of good.example is signed by way of SHA-1, which is "
      "not taken", 49 },
    { "a signature with RSA-PSS", "pss", "server", GOOD, "root", "",
      "is signed by way of RSA-PSS, which is not taken", 49 },
    { "a key of 1024 bits", "weak", "weak", GOOD, "root", "",
      "has a key of less than 2048 bits", 60 },

    { "a key of 4104 bits", "byvast intvast", "server", GOOD, "root", "",
      "in the chain of good.example, has a key of more than 4096 bits", 50 },
    { "an anchor's key of 4104 bits", "byvast", "server", GOOD, "intvast", "",
      "has a key of more than 4096 bits", 50 },
    { "an anchor with a compressed point", "bypressed", "server", GOOD,
      "pressed", "", "has a key that is not supported", 62 },

    { "the leaf is pinned", "good int", "server", GOOD, "root", "good", NULL,
      0 },
    { "the intermediate is pinned", "good int", "server", GOOD, "root", "int",
      NULL, 0 },
    { "the root is pinned", "good int", "server", GOOD, "root", "root", NULL,
      0 },
    { "one of three is pinned", "good int", "server", GOOD, "root",
      "other large int", NULL, 0 },
    { "another key is pinned", "good int", "server", GOOD, "root", "other",
      "none of the pinned keys is on the path of good.example", 62 },
    { "junk with the pinned key behind", "good int other", "server", GOOD,
      "root", "other", "is not followed by its issuer's", 55 },
    { "junk with the pinned key behind the root", "good int root other",
      "server", GOOD, "root other", "other",
      "is not followed by its issuer's", 55 },
    { "junk behind a good chain", "good int other intnc expired", "server",
      GOOD, "root", "", NULL, 0 },
    { "odd junk behind a good chain", "good int intncc", "server", GOOD,
      "root", "", NULL, 0 },
    { "a pinned namesake of the anchor", "direct", "server", GOOD,
      "root twin", "twin", "which did not sign it", 62 },
    { "a pinned anchor above one that is not", "good int", "server", GOOD,
      "int root", "root", NULL, 0 },
    { "a pinned key of an authority that is not trusted", "unknown other",
      "server", GOOD, "root", "other",
      "is self-signed, and not trusted", 62 }
};

/* Where mbedTLS refuses what BearSSL takes, or finds other words. */
static const struct otherwise {
    const char *name;
    lssb_status status;
    const char *message;
    int32_t code;
} otherwise[] = {
    { "a certificate of 23 KB", LSSB_E_PROTOCOL, "a handshake message "
      "is larger than a record",
#if defined(LSSB_TEST_MBEDTLS) && MBEDTLS_VERSION_NUMBER >= 0x03060300
      MBEDTLS_ERR_SSL_BAD_INPUT_DATA
#else
      -0x7080
#endif
    },
    { "a signature with Ed25519", LSSB_E_CERTIFICATE, "a certificate in the "
      "chain of good.example is signed in a way that is not supported", 49 },
    { "a certificate with Ed25519 within a chain", LSSB_E_CERTIFICATE,
      "a certificate in the chain of good.example is signed in a way that is "
      "not supported", 49 },
    { "odd junk behind a good chain", LSSB_E_CERTIFICATE, "a certificate in "
      "the chain of good.example has a critical extension that is not known",
      57 },
    { "critical name constraints", LSSB_E_CERTIFICATE, "a certificate in the "
      "chain of good.example has a critical extension that is not known", 57 },
    { "a critical policy", LSSB_E_CERTIFICATE, "a certificate in the chain of "
      "good.example has a critical extension that is not known", 57 },
    { "an anchor's key of 4104 bits", LSSB_E_CERTIFICATE, "the trusted "
      "certificate of \"CN=Vast Intermediate\", above good.example, has a key "
      "that is not supported", 62 },
    { "eleven certificates", LSSB_E_CERTIFICATE, "a certificate in the chain "
      "of good.example is one of too many", 50 }
};

/* How a row goes with this backend. */
static struct otherwise expected(const struct verdict *row)
{
    struct otherwise out = { NULL, LSSB_E_CERTIFICATE, NULL, 0 };
    size_t i;

    out.message = row->message;
    out.code = row->code;
    for (i = 0; MBEDTLS && i < sizeof otherwise / sizeof otherwise[0]; i++)
        if (strcmp(otherwise[i].name, row->name) == 0)
            out = otherwise[i];
    return out;
}

/* Adds the pins of a list. */
static void pin_list(const char *names)
{
    char name[40];
    size_t n;

    while (*names != '\0') {
        n = strcspn(names, " ");
        memcpy(name, names, n);
        name[n] = '\0';
        pin(name);
        names += n + (names[n] == ' ');
    }
}

/* Whether a handshake that ended so is what the row says. */
static void check_verdict(const struct verdict *row, lssb_status status)
{
    const struct otherwise right = expected(row);

    if (right.message == NULL) {
        if (status != LSSB_OK) {
            printf("  %s: refused: %s\n", row->name, error.message);
            test_failures++;
        }
        return;
    }
    EXPECT_INT(status, right.status);
    EXPECT_INT(error.status, right.status);
    EXPECT_INT(error.layer, LSSB_LAYER_TLS);
    EXPECT_INT(error.tls_code, right.code);
    EXPECT(!tls->ready(memory));
    if (strstr(error.message, right.message) == NULL) {
        printf("  %s: \"%s\", not \"%s\"\n", row->name, error.message,
               right.message);
        test_failures++;
    }
    EXPECT_INT(tls->pump(memory), right.status);
}

static void try_verdict(const struct verdict *row)
{
    lssb_status status;

    test_row = row->name;
    world(row->chain, row->key, row->host, row->anchors);
    pin_list(row->pin);
    status = handshake();
    check_verdict(row, status);
    EXPECT(status != LSSB_OK || talks());
}

static void certificates_are_judged_as_the_table_says(void)
{
    size_t i;

    for (i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        try_verdict(&verdicts[i]);
}

/* ------------------------------------------------------------- the bundles */

/* Tries a bundle as trust.anchors, and as a file that is read in small
 * pieces. */
static void try_bundle(const uint8_t *bytes, size_t len, bool good)
{
    static const size_t pieces[] = { 0, 1, 2, 7, 511 };
    size_t i;

    memmove(file_room[1], bytes, len);
    trust.anchors = file_room[1];
    trust.anchors_len = len;
    EXPECT_INT(works(), good);
    trust.anchors = NULL;
    trust.anchors_len = 0;
    trust.file = "test";
    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        port_state.read_max = pieces[i];
        EXPECT_INT(works(), good);
    }
    EXPECT_INT(port_state.opened, port_state.closed);
    trust.file = NULL;
}

static void the_systems_certificates_may_be_a_file(void)
{
    world("good int", "server", GOOD, NULL);
    trust.system_file = "root";
    EXPECT(!works());               /* trust.only */
    EXPECT_INT(port_state.opened, 0);
    trust.only = false;
    EXPECT(works());
    EXPECT(port_state.opened > 0);
    trust.system_file = "other";
    EXPECT(!works());
    trust.system_file = NULL;
    EXPECT(!works());
}

/* A file that is what was loaded last. */
static lssb_io same_certificates(void *context, const char *path,
                                 lssb_blob *out, int32_t *code)
{
    (void)context;
    (void)path;
    (void)code;
    out->read_at = test_read_at;
    out->close = test_close_blob;
    port_state.opened++;
    return LSSB_IO_OK;
}

/* Makes one text of several. */
static size_t text_bundle(const char *const *parts, size_t count)
{
    size_t i, len = 0;

    for (i = 0; i < count; i++) {
        if (strncmp(parts[i], "file:", 5) == 0) {
            len += load(parts[i] + 5, "", test_blob.bytes + len,
                        sizeof test_blob.bytes - len);
        } else {
            memcpy(test_blob.bytes + len, parts[i], strlen(parts[i]));
            len += strlen(parts[i]);
        }
    }
    return test_blob.len = len;
}

static void bundles_are_read_however_they_are_written(void)
{
    static const struct {
        const char *name;
        const char *parts[5];
        bool good;
    } rows[] = {
        { "PEM", { "file:other.crt", "file:root.crt" }, true },
        { "DER", { "file:root.der" }, true },
        { "DER, two of them", { "file:both.der" }, true },
        { "text around it", { "# 0-- -----BEGIN", "\n------BEGIN\n",
          "file:root.crt", "-----" }, true },
        { "a key before it", { "file:other.key", "file:root.crt" }, true },
        { "rubbish before it", { "-----BEGIN CERTIFICATE-----\nMIIB\n"
          "-----END CERTIFICATE-----\n", "file:root.crt" }, true },
        { "no base64 before it", { "-----BEGIN CERTIFICATE-----\n{}%\n"
          "-----END CERTIFICATE-----\n", "file:root.crt" }, true },
        { "an open end before it", { "-----BEGIN CERTIFICATE-----\nMIIB\n",
          "file:other.crt", "file:root.crt" }, true },
        { "empty", { "" }, false },
        { "another one", { "file:other.crt" }, false },
        { "rubbish in DER before it", { "0\202\1\2xxxx", "file:root.der" },
          false },
        { "half of DER", { "0\202\3" }, false }
    };
    size_t i, count;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        world("good int", "server", GOOD, NULL);
        port.certificates = same_certificates;
        for (count = 0; count < 5 && rows[i].parts[count] != NULL; count++)
            ;
        text_bundle(rows[i].parts, count);
        try_bundle(test_blob.bytes, test_blob.len, rows[i].good);
    }
}

static void a_bundle_in_any_line_ends_is_read(void)
{
    uint8_t plain[4096];
    size_t len, i, to;

    world("good int", "server", GOOD, NULL);
    port.certificates = same_certificates;
    len = load("root", ".crt", plain, sizeof plain);
    for (i = to = 0; i < len; i++) {
        if (plain[i] == '\n')
            test_blob.bytes[to++] = '\r';
        test_blob.bytes[to++] = plain[i];
    }
    test_blob.len = to;
    try_bundle(test_blob.bytes, to, true);
    test_blob.len = to - 2;             /* no end of the last line */
    try_bundle(test_blob.bytes, to - 2, true);
    test_blob.len = to - 30;            /* no last line */
    try_bundle(test_blob.bytes, to - 30, false);
    memcpy(test_blob.bytes + to - 28, "%\n-----END CERTIFICATE-----\n", 28);
    test_blob.len = to;                 /* no base64 behind it all */
    try_bundle(test_blob.bytes, to, false);
}

static void an_anchor_is_found_among_the_systems_certificates(void)
{
    world("good int", "server", GOOD, NULL);
    trust.only = false;
    port_state.bundle = "/etc/ssl/certs/ca-certificates.crt root";
    EXPECT(works());
    EXPECT(port_state.opened == 2 && port_state.closed == 2);
    port_state.bundle = "/etc/ssl/certs/ca-certificates.crt";
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    world("good int", "server", GOOD, "root");
    port_state.bundle = "other";
    trust.only = false;
    EXPECT(works());
}

static void only_keeps_the_systems_certificates_out(void)
{
    world("good int", "server", GOOD, "other");
    port_state.bundle = "root";
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT_INT(port_state.opened, 0);
    trust.only = false;
    EXPECT(works());
    trust.only = true;
    trust.file = "root";
    EXPECT(works());
}

static void certificates_that_cannot_be_read_are_said(void)
{
    world("good int", "server", GOOD, NULL);
    trust.file = "missing";
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT(strstr(error.message, "; the certificates in missing could not be "
                  "read") != NULL);
    EXPECT_INT(error.system_code, 2);
    trust.file = NULL;
    trust.only = false;
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT(strstr(error.message, "; the system's certificates could not be "
                  "read") != NULL);
    port_state.bundle = "/etc/ssl/certs/ca-certificates.crt root";
    port_state.bundle_broken = true;
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT(strstr(error.message, "could not be read") != NULL);
    port.certificates = NULL;
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT(strstr(error.message, "could not be read") != NULL);
}

/* ----------------------------------------------------- one chain by itself */

#ifdef LSSB_TEST_MBEDTLS

/* Gives a chain to the judge, without TLS; 0, or why it is refused. It has
 * been parsed before: there are no pieces. */
static unsigned judge(const br_x509_certificate *chain, size_t count,
                      size_t piece)
{
    static struct tls_session session;
    struct tls_judge *judge = &session.judge;
    mbedtls_x509_crt parsed;
    uint32_t flags = 1;
    size_t i;
    int code = 0;

    (void)piece;
    mbedtls_x509_crt_init(&parsed);
    session.wire.certificates = 3;
    for (i = 0; i < count && code == 0; i++) {
        code = mbedtls_x509_crt_parse_der(&parsed, chain[i].data,
                                          chain[i].data_len);
        session.wire.certificates += 3 + (uint32_t)chain[i].data_len;
    }
    tls_judge_prepare(judge, &setup, NOW);
    if (code == 0)
        code = tls_verify(&session, &parsed, 0, &flags);
    else
        judge->refused = TLS_UNREADABLE;
    if ((code == 0) != (judge->refused == 0) || (code == 0) != (flags == 0))
        test_failures++;
    mbedtls_x509_crt_free(&parsed);
    return (unsigned)judge->refused;
}

#else

/* Gives a chain to the wrapper, without TLS. */
static unsigned judge(const br_x509_certificate *chain, size_t count,
                      size_t piece)
{
    static struct tls_chain wrapper;
    const br_x509_class **ctx = &wrapper.vtable;
    size_t i, at, n;
    unsigned usages, verdict;

    tls_chain_prepare(&wrapper, &setup, NOW);
    (*ctx)->start_chain(ctx, GOOD);
    for (i = 0; i < count; i++) {
        (*ctx)->start_cert(ctx, (uint32_t)chain[i].data_len);
        for (at = 0; at < chain[i].data_len; at += n) {
            n = chain[i].data_len - at < piece ? chain[i].data_len - at
                                               : piece;
            (*ctx)->append(ctx, chain[i].data + at, n);
        }
        (*ctx)->end_cert(ctx);
    }
    verdict = (*ctx)->end_chain(ctx);
    if ((verdict == 0) != ((*ctx)->get_pkey(ctx, &usages) != NULL))
        test_failures++;
    return verdict;
}

#endif

static void no_byte_of_a_chain_can_be_changed(void)
{
    size_t i, at, changed = 0;
    uint8_t flip;

    world("good int", "server", GOOD, "root");
    EXPECT_INT(judge(server_chain, 2, 100000), 0);
    for (i = 0; i < 2; i++) {
        for (at = 0; at < server_chain[i].data_len; at++) {
            flip = (uint8_t)(1 << at % 8);
            server_chain[i].data[at] ^= flip;
            if (judge(server_chain, 2, 100000) == 0) {
                printf("  byte %u of certificate %u\n", (unsigned)at,
                       (unsigned)i);
                test_failures++;
            }
            server_chain[i].data[at] ^= flip;
            changed++;
        }
    }
    EXPECT(changed > 1000);
    EXPECT_INT(judge(server_chain, 2, 100000), 0);
}

static void a_chain_in_pieces_of_any_size_is_judged_the_same(void)
{
    static const struct {
        const char *chain;
        unsigned verdict;
    } rows[] = {
        { "good int", 0 }, { "good intnc", 57 }, { "good inteku", 59 },
        { "named", 56 }, { "expired", 54 }, { "unknown", 62 }, { "huge", 0 }
    };
    size_t i, piece;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].chain;
        world(rows[i].chain, "server", GOOD, "root");
        for (piece = 1; piece < 40; piece++)
            EXPECT_INT(judge(server_chain, server_count, piece),
                       rows[i].verdict);
    }
}

static void a_certificate_that_is_cut_or_followed_by_more_is_refused(void)
{
    size_t len, cut;

    world("direct", "server", GOOD, "root");
    len = server_chain[0].data_len;
    for (cut = 0; cut < len; cut++) {
        server_chain[0].data_len = cut;
        EXPECT(judge(server_chain, 1, 100000) != 0);
    }
    server_chain[0].data[len] = 0;
    server_chain[0].data_len = len + 1;
    EXPECT(judge(server_chain, 1, 100000) != 0);
    EXPECT(judge(server_chain, 0, 1) != 0);
    EXPECT(strstr(error.message, "is missing") != NULL);
}

/* Whether a walk over one certificate reaches its end. */
static bool walks(const uint8_t *der, size_t len)
{
    static struct x509_walk walk;
    enum x509_event event = X509_MORE;
    size_t at = 0, used;

    x509_start(&walk);
    while (at < len && event != X509_DONE && event != X509_WRONG) {
        event = x509_next(&walk, der + at, len - at, &used);
        at += used;
    }
    return event == X509_DONE && at == len;
}

/* Replaces bytes where they first occur. */
static void patch(uint8_t *der, size_t len, const char *from, const char *to,
                  size_t count)
{
    size_t i;

    for (i = 0; i + count <= len; i++) {
        if (memcmp(der + i, from, count) == 0) {
            memcpy(der + i, to, count);
            return;
        }
    }
    EXPECT(i + count <= len);
}

static void what_is_no_der_is_refused(void)
{
    static const struct {
        const char *name;
        const char *from, *to;
        size_t len;
    } rows[] = {
        { "as it is", "\x30\x82", "\x30\x82", 2 },
        { "an indefinite length", "\x30\x0D\x06\x09", "\x30\x80\x06\x09", 4 },
        { "a long form for a short length", "\x30\x0D\x06\x09",
          "\x30\x81\x0D\x09", 4 },
        { "a tag of many bytes", "\x30\x0D\x06\x09", "\x3F\x0D\x06\x09", 4 },
        { "an extension twice", "\x06\x03\x55\x1D\x25",
          "\x06\x03\x55\x1D\x11", 5 },
        { "a child longer than its parent", "\x06\x03\x55\x1D\x25",
          "\x06\x7F\x55\x1D\x25", 5 },
        { "an extension without an OID", "\x06\x03\x55\x1D\x25",
          "\x04\x03\x55\x1D\x25", 5 },
        { "a date without a zone", "0000Z\x17", "00000\x17", 6 },
        { "a thirteenth month", "\x17\x0D""2601", "\x17\x0D""2613", 6 },
        { "no date", "\x17\x0D""2601", "\x16\x0D""2601", 6 },
        { "a serial number that is none", "\xA0\x03\x02\x01\x02\x02",
          "\xA0\x03\x02\x01\x02\x04", 6 },
        { "a version that is none", "\xA0\x03\x02\x01\x02\x02",
          "\xA4\x03\x02\x01\x02\x02", 6 },
        { "extensions in another place", "\xA3\x81", "\xA4\x81", 2 },
        { "two algorithms", "\x01\x01\x0B\x05\x00",
          "\x01\x01\x0C\x05\x00", 5 }
    };
    static uint8_t der[4096];
    size_t i, len;

    world("direct", "server", GOOD, "root");
    len = server_chain[0].data_len;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        memcpy(der, server_chain[0].data, len);
        patch(der, len, rows[i].from, rows[i].to, rows[i].len);
        EXPECT_INT(walks(der, len), i == 0);
    }
}

/* The signature comes last: its length and the whole's are all that counts. */
static void a_length_in_more_bytes_than_it_needs_is_refused(void)
{
    static uint8_t der[4096];
    size_t len, sig;

    world("direct", "server", GOOD, "root");
    len = server_chain[0].data_len;
    sig = len - 261;                    /* 03 82 01 01 00, 256 bytes */
    memcpy(der, server_chain[0].data, len);
    EXPECT(memcmp(der + sig, "\x03\x82\x01\x01\x00", 5) == 0);
    EXPECT(walks(der, len));
    memmove(der + sig + 3, der + sig + 2, len - sig - 2);
    memcpy(der + sig, "\x03\x83\x00\x01\x01", 5);
    der[3]++;
    EXPECT(!walks(der, len + 1));
}

static void no_more_than_ten_certificates_are_judged(void)
{
    static struct tls_judge judge;
    unsigned i;

    world(NULL, NULL, GOOD, "root");
    tls_judge_prepare(&judge, &setup, NOW);
    tls_judge_begin(&judge);
    for (i = 0; i < 10; i++)
        EXPECT(tls_judge_next(&judge));
    EXPECT(!tls_judge_next(&judge));
    EXPECT_INT(judge.refused, TLS_TOO_MUCH);
}

/* The key of a certificate, taken out by how it begins, and changed. */
static void keys_are_taken_in_one_form_only(void)
{
    static const struct {
        const char *name, *chain, *server_key;
        const char *begins;
        size_t len;
        const char *from, *to;
        size_t count;
        bool taken;
    } rows[] = {
        { "RSA", "direct", "server", "\x30\x82\x01\x22", 294, "\x30", "\x30",
          1, true },
        { "a modulus below zero", "direct", "server", "\x30\x82\x01\x22", 294,
          "\x02\x82\x01\x01\x00", "\x02\x82\x01\x01\x80", 5, false },
        { "an exponent below zero", "direct", "server", "\x30\x82\x01\x22",
          294, "\x02\x03\x01", "\x02\x03\x81", 3, false },
        { "a curve", "curved", "serverec", "\x30\x59\x30\x13", 91, "\x30",
          "\x30", 1, true },
        { "a point that is compressed", "curved", "serverec",
          "\x30\x59\x30\x13", 91, "\x03\x42\x00\x04", "\x03\x42\x00\x02",
          4, false },
        { "a point that is half compressed", "curved", "serverec",
          "\x30\x59\x30\x13", 91, "\x03\x42\x00\x04", "\x03\x42\x00\x06",
          4, false }
    };
    struct x509_slice info;
    struct x509_public key;
    uint8_t *at;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        world(rows[i].chain, rows[i].server_key, GOOD, "root");
        at = server_chain[0].data;
        while (memcmp(at, rows[i].begins, 4) != 0 &&
               at + rows[i].len < server_chain[0].data +
                                  server_chain[0].data_len)
            at++;
        patch(at, rows[i].len, rows[i].from, rows[i].to, rows[i].count);
        info.at = at;
        info.len = rows[i].len;
        EXPECT_INT(x509_key(info, &key), rows[i].taken);
    }
}

#ifdef LSSB_TEST_MBEDTLS

/* Adds an element whose length is written in so many bytes more. */
static uint8_t *add_element(uint8_t *to, uint8_t tag, unsigned more,
                            struct x509_slice content)
{
    *to++ = tag;
    if (more > 0)
        *to++ = (uint8_t)(0x80 + more);
    if (more > 1)
        *to++ = 0;
    *to++ = (uint8_t)content.len;
    memcpy(to, content.at, content.len);
    return to + content.len;
}

static void a_signature_is_taken_as_bearssl_takes_it(void)
{
    static const struct {
        unsigned whole, first, second;  /* more bytes for its length */
        bool taken;
    } rows[] = {
        { 0, 0, 0, true }, { 1, 0, 0, true }, { 2, 0, 0, false },
        { 0, 1, 0, false }, { 0, 0, 1, false }, { 0, 2, 0, false }
    };
    uint8_t inner[200], bits[200], copy[200], *end;
    struct x509_slice pair, first, second;
    mbedtls_x509_crt leaf, root;
    struct tls_signed parts;
    size_t i;

    mbedtls_x509_crt_init(&leaf);
    mbedtls_x509_crt_init(&root);
    world("curved rootec", "serverec", GOOD, "rootec");
    EXPECT_INT(mbedtls_x509_crt_parse_der(&leaf, server_chain[0].data,
                                          server_chain[0].data_len), 0);
    EXPECT_INT(mbedtls_x509_crt_parse_der(&root, server_chain[1].data,
                                          server_chain[1].data_len), 0);
    EXPECT(tls_take_apart(&leaf, &parts));
    EXPECT(x509_take(&parts.bits, 0x30, &pair) &&
           x509_take(&pair, 0x02, &first) && x509_take(&pair, 0x02, &second));
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end = add_element(inner, 0x02, rows[i].first, first);
        end = add_element(end, 0x02, rows[i].second, second);
        pair.at = inner;
        pair.len = (size_t)(end - inner);
        end = add_element(bits, 0x30, rows[i].whole, pair);
        parts.bits.at = bits;
        parts.bits.len = (size_t)(end - bits);
        memcpy(copy, bits, parts.bits.len);
        EXPECT_INT(tls_has_signed(tls_slice(&root.pk_raw), &parts) == 0,
                   rows[i].taken);
        EXPECT_INT(br_ecdsa_asn1_to_raw(copy, parts.bits.len) != 0,
                   rows[i].taken);
    }
    mbedtls_x509_crt_free(&leaf);
    mbedtls_x509_crt_free(&root);
}

#endif

static void random_bytes_are_walked_without_harm(void)
{
    static uint8_t der[4096];
    uint32_t seed = 7, i;
    size_t len, at;

    world("direct", "server", GOOD, "root");
    len = server_chain[0].data_len;
    for (i = 0; i < 20000; i++) {
        memcpy(der, server_chain[0].data, len);
        for (at = 0; at < 4; at++) {
            seed = seed * 1664525u + 1013904223u;
            der[(seed >> 8) % len] = (uint8_t)(seed >> 24);
        }
        walks(der, len);
    }
}

/* ------------------------------------------------------------- the session */

static void a_session_works_with_every_split_of_the_wire(void)
{
    static const size_t sizes[] = { 1, 2, 3, 5, 16, 100, 1000 };
    size_t i;

    for (i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        world(MBEDTLS ? "good int" : "huge", "server", GOOD, "root");
        wire_max = sizes[i / 2];
        wire_stutters = i % 2 == 1;
        EXPECT(works());
    }
}

static void a_clock_that_is_not_set_is_said(void)
{
    world("good int", "server", GOOD, "root");
    port_state.wall = 0;
    EXPECT_INT(begin(), LSSB_E_CERTIFICATE);
    EXPECT_STR(error.message, "the clock is not set: it says 1970-01-01");
    EXPECT_INT(error.tls_code, TLS_NO_CLOCK);
    EXPECT_INT(error.layer, LSSB_LAYER_TLS);
    EXPECT_INT(tls->pump(memory), LSSB_E_CERTIFICATE);
    port_state.wall = LSSB_CLOCK_FLOOR - 1;
    EXPECT_INT(begin(), LSSB_E_CERTIFICATE);
    EXPECT_STR(error.message, "the clock is not set: it says 2026-10-31");
    port_state.wall = LSSB_CLOCK_FLOOR;
    EXPECT_INT(begin(), LSSB_OK);
    port_state.wall = -1;
    EXPECT_INT(begin(), LSSB_E_CERTIFICATE);
    EXPECT_STR(error.message, "the clock is not set: it says 1969-12-31");
}

static void without_randomness_or_memory_nothing_starts(void)
{
    world("good int", "server", GOOD, "root");
    port_state.no_randomness = true;
    EXPECT_INT(begin(), LSSB_E_PROTOCOL);
    EXPECT(strstr(error.message, "randomness") != NULL);
    port_state.no_randomness = false;
    setup.memory_size = tls->session_size(&trust) - 1;
    EXPECT_INT(begin(), LSSB_E_NO_MEMORY);
    setup.memory_size++;
    EXPECT(works());
}

static void dates_are_right(void)
{
    static const struct {
        int64_t seconds;
        const char *date;
    } rows[] = {
        { 0, "1970-01-01" }, { 951782399, "2000-02-28" },
        { 951782400, "2000-02-29" }, { 951868800, "2000-03-01" },
        { 1709164800, "2024-02-29" }, { 1735689599, "2024-12-31" },
        { 4102444799, "2099-12-31" }, { 4107542400, "2100-03-01" },
        { 253402300799, "9999-12-31" }, { -1, "1969-12-31" },
        { -86401, "1969-12-30" }, { INT64_MAX, "9999-12-31" },
        { INT64_MIN, "1-01-01" }
    };
    char room[32];
    struct lssb_text text;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_text_start(&text, room, sizeof room);
        x509_say_date(&text, rows[i].seconds);
        EXPECT_STR(room, rows[i].date);
    }
}

static void a_session_is_resumed_when_the_server_has_it(void)
{
    lssb_tls_ticket ticket;

    world("good int", "server", GOOD, "root");
    EXPECT(works());
    EXPECT(!tls->resumed(memory));
    EXPECT(tls->save(memory, &ticket));
    EXPECT(ticket.len > 0 && ticket.len <= LSSB_TLS_TICKET_SIZE);
    setup.ticket = &ticket;
    EXPECT(works());
    EXPECT(tls->resumed(memory));
    br_ssl_session_cache_lru_init(&cache, cache_room, sizeof cache_room);
    EXPECT(works());
    EXPECT(!tls->resumed(memory));
    EXPECT(tls->save(memory, &ticket));
    EXPECT(works());
    EXPECT(tls->resumed(memory));
    trust.no_resumption = true;
    EXPECT(works());
    EXPECT(!tls->resumed(memory));
    EXPECT(!tls->save(memory, &ticket));
    EXPECT_INT(ticket.len, 0);
}

static void a_ticket_does_not_make_a_bad_certificate_good(void)
{
    lssb_tls_ticket ticket;

    world("good int", "server", GOOD, "root");
    EXPECT(works() && tls->save(memory, &ticket));
    br_ssl_session_cache_lru_init(&cache, cache_room, sizeof cache_room);
    world("unknown", "server", GOOD, "root");
    setup.ticket = &ticket;
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    EXPECT(!tls->save(memory, &ticket));
}

/* Bytes through the echo and back, all of them. */
static bool echoes(size_t count)
{
    size_t sent = 0, got = 0, len, i;
    const uint8_t *at;
    uint8_t *to;
    unsigned idle = 0;

    while (got < count && idle < 100) {
        idle++;
        while (sent < count && (to = tls->reserve(memory, &len)) != NULL) {
            for (i = 0; i < len && sent < count; i++)
                to[i] = (uint8_t)(sent++ * 7 >> 3);
            tls->commit(memory, i);
            idle = 0;
        }
        tls->flush(memory);
        if (tls->pump(memory) != LSSB_OK)
            return false;
        server_run();
        while ((at = tls->look(memory, &len)) != NULL) {
            for (i = 0; i < len; i++)
                if (at[i] != (uint8_t)(got++ * 7 >> 3))
                    return false;
            tls->consume(memory, len);
            idle = 0;
            if (tls->pump(memory) != LSSB_OK)
                return false;
        }
    }
    return got == count;
}

static void megabytes_go_there_and_back(void)
{
    world("good int", "server", GOOD, "root");
    EXPECT(works());
    tls->consume(memory, 5);
    EXPECT(echoes(2000000));
    world("curved", "serverec", GOOD, "rootec");
    EXPECT(works());
    tls->consume(memory, 5);
    wire_max = 77;
    wire_stutters = true;
    EXPECT(echoes(100000));
    EXPECT(tls->sent(memory));
}

static void both_orders_of_suites_work(void)
{
    size_t i;
    uint16_t suite;

    for (i = 0; i < 6; i++) {
        world("good int", "server", GOOD, "root");
        suite = (uint16_t)tls_suites_aes[SUITES_OF_1_3 + i];
        br_ssl_engine_set_suites(&server.eng, &suite, 1);
        EXPECT_INT(works(), i % 2 == 1);
        world("curved", "serverec", GOOD, "rootec");
        suite = (uint16_t)tls_suites_chacha[SUITES_OF_1_3 + i];
        br_ssl_engine_set_suites(&server.eng, &suite, 1);
        EXPECT_INT(works(), i % 2 == 0);
    }
}

static void a_small_send_buffer_does_not_make_records_small(void)
{
    size_t len = 0, i;
    uint8_t *to;

    world("good int", "server", GOOD, "root");
    EXPECT(works());
    tls->consume(memory, 5);
    server_echo = false;
    to = br_ssl_engine_sendapp_buf(&server.eng, &len);
    EXPECT_INT(len, 16384);
    for (i = 0; i < len; i++)
        to[i] = 'x';
    br_ssl_engine_sendapp_ack(&server.eng, len);
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->look(memory, &len) != NULL);
    EXPECT_INT(len, 16384);
}

static void small_buffers_ask_for_small_records(void)
{
    size_t len = 0;

    if (MBEDTLS)
        return;                     /* its buffers are its own */
    world("good int", "server", GOOD, "root");
    setup.receive_size = 2048 + 325;
    EXPECT(works());
    br_ssl_engine_sendapp_buf(&server.eng, &len);
    EXPECT_INT(len, 1024);
}

static void a_record_larger_than_the_buffer_comes_without_a_pump(void)
{
    size_t len = 0, got = 0, i;
    const uint8_t *bytes;
    uint8_t *to;

    if (!MBEDTLS)
        return;                     /* asks for smaller records */
    world("good int", "server", GOOD, "root");
    setup.receive_size = 1000;
    EXPECT(works());
    tls->consume(memory, 5);
    server_echo = false;
    to = br_ssl_engine_sendapp_buf(&server.eng, &len);
    for (i = 0; i < len; i++)
        to[i] = (uint8_t)i;
    br_ssl_engine_sendapp_ack(&server.eng, len);
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    while ((bytes = tls->look(memory, &len)) != NULL) {
        EXPECT(len <= 1000);
        for (i = 0; i < len; i++)
            if (bytes[i] != (uint8_t)(got + i))
                test_failures++;
        got += len;
        tls->consume(memory, len);
    }
    EXPECT_INT(got, 16384);
}

/* A session at work, with nothing under way. */
static void at_work(void)
{
    world("good int", "server", GOOD, "root");
    EXPECT(works());
    tls->consume(memory, 5);
}

/* The server says something. */
static void server_says(const char *words)
{
    size_t len;
    uint8_t *to = br_ssl_engine_sendapp_buf(&server.eng, &len);

    memcpy(to, words, strlen(words));
    br_ssl_engine_sendapp_ack(&server.eng, strlen(words));
    br_ssl_engine_flush(&server.eng, 0);
    server_run();
}

static void the_servers_orderly_end_comes_after_its_data(void)
{
    size_t len;

    at_work();
    server_says("the last words");
    br_ssl_engine_close(&server.eng);
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->look(memory, &len) != NULL && len == 14);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->look(memory, &len) != NULL && len == 14);
    tls->consume(memory, 4);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    tls->consume(memory, 10);
    EXPECT_INT(tls->pump(memory), LSSB_END);
    EXPECT(tls->look(memory, &len) == NULL && len == 0);
    EXPECT(tls->reserve(memory, &len) == NULL && len == 0);
    EXPECT_INT(tls->pump(memory), LSSB_END);
}

static void a_cut_is_no_orderly_end(void)
{
    size_t len;

    at_work();
    server_says("half a wor");
    down.closed = true;
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->look(memory, &len) != NULL && len == 10);
    tls->consume(memory, 10);
    EXPECT_INT(tls->pump(memory), LSSB_E_CONNECTION);
    EXPECT_INT(error.status, LSSB_E_CONNECTION);
    EXPECT_INT(error.layer, LSSB_LAYER_TRANSPORT);
    EXPECT_STR(error.message, "good.example ended the connection without a "
               "word (no close_notify)");
    EXPECT_INT(tls->pump(memory), LSSB_E_CONNECTION);
    at_work();
    down.broken = true;
    EXPECT_INT(tls->pump(memory), LSSB_E_CONNECTION);
    EXPECT_STR(error.message, "good.example reset the connection");
}

static void a_cut_in_the_handshake_is_said(void)
{
    world("good int", "server", GOOD, "root");
    EXPECT_INT(begin(), LSSB_OK);
    down.closed = true;
    EXPECT_INT(tls->pump(memory), LSSB_E_CONNECTION);
    EXPECT_STR(error.message, "good.example ended the connection during the "
               "TLS handshake");
}

static void reading_goes_on_when_writing_fails(void)
{
    size_t len;
    bool read, write;

    at_work();
    server_says("413");
    up.broken = true;
    tls->reserve(memory, &len);
    tls->commit(memory, len);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->look(memory, &len) != NULL && len == 3);
    EXPECT(tls->reserve(memory, &len) == NULL);
    tls->consume(memory, 3);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    tls->wants(memory, &read, &write);
    EXPECT(read && !write);
    EXPECT(!tls->sent(memory));
    br_ssl_engine_close(&server.eng);
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_END);
}

static void the_client_ends_in_order(void)
{
    bool read, write;

    at_work();
    tls->close(memory);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(tls->sent(memory));
    tls->wants(memory, &read, &write);
    EXPECT(read && !write);
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_END);
    EXPECT_INT(br_ssl_engine_current_state(&server.eng), BR_SSL_CLOSED);
    EXPECT_INT(br_ssl_engine_last_error(&server.eng), 0);
}

static void what_is_wanted_is_what_would_block(void)
{
    bool read, write;
    size_t len;

    at_work();
    tls->wants(memory, &read, &write);
    EXPECT(read && !write);
    tls->reserve(memory, &len);
    tls->commit(memory, len);
    up.to = PIPE_SIZE;
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    tls->wants(memory, &read, &write);
    EXPECT(read && write);
    EXPECT(!tls->sent(memory));
    EXPECT(tls->reserve(memory, &len) == NULL && len == 0);
}

static void a_record_that_was_tampered_with_is_refused(void)
{
    at_work();
    server_says("payload");
    down.bytes[down.to - 1] ^= 1;
    EXPECT_INT(tls->pump(memory), LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, MBEDTLS ? -0x7180 : BR_ERR_BAD_MAC);
    EXPECT_INT(error.layer, LSSB_LAYER_TLS);
    EXPECT_STR(error.message, "TLS with good.example failed: a record was "
               "tampered with");
}

static void a_server_without_tls_is_said(void)
{
    static const char page[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

    world("good int", "server", GOOD, "root");
    EXPECT_INT(begin(), LSSB_OK);
    memcpy(down.bytes, page, sizeof page);
    down.to = sizeof page;
    EXPECT_INT(tls->pump(memory), LSSB_E_PROTOCOL);
    EXPECT(strstr(error.message, "does not speak TLS") != NULL);
}

static void versions_and_suites_that_do_not_meet_are_said(void)
{
    static const uint16_t cbc[] = { BR_TLS_RSA_WITH_AES_128_CBC_SHA };
    static const uint8_t hello[] = {    /* ServerHello of TLS 1.1 */
        0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
        11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
        29, 30, 31, 32, 0, 0, 0x2F, 0
    };

    world("good int", "server", GOOD, "root");
    EXPECT_INT(begin(), LSSB_OK);
    memcpy(down.bytes, hello, sizeof hello);
    down.to = sizeof hello;
    EXPECT_INT(tls->pump(memory), LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, MBEDTLS ? -0x6E80
                                       : BR_ERR_UNSUPPORTED_VERSION);
    EXPECT(strstr(error.message, "the server speaks no TLS 1.2, but an older "
                  "version") != NULL);
    world("good int", "server", GOOD, "root");
    br_ssl_engine_set_suites(&server.eng, cbc, 1);
    EXPECT_INT(handshake(), LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, TLS_ALERT + 40);
    EXPECT(strstr(error.message, "the server ended TLS with alert 40: "
                  "handshake failure") != NULL);
}

static void http_1_1_is_asked_for_and_another_answer_tolerated(void)
{
    const char *names[] = { "h2", "http/1.1" };

    world("good int", "server", GOOD, "root");
    br_ssl_engine_set_protocol_names(&server.eng, names, 2);
    EXPECT(works());
    EXPECT_STR(br_ssl_engine_get_selected_protocol(&server.eng), "http/1.1");
    EXPECT_STR(br_ssl_engine_get_server_name(&server.eng), GOOD);
    world("good int", "server", GOOD, "root");
    br_ssl_engine_set_protocol_names(&server.eng, names, 1);
    EXPECT(works());
    world("address", "server", "127.0.0.1", "root");
    EXPECT(works());
    EXPECT_STR(br_ssl_engine_get_server_name(&server.eng), "");
}

static void renegotiation_is_refused(void)
{
    at_work();
    *judged() = false;
    EXPECT(br_ssl_engine_renegotiate(&server.eng));
    server_run();
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    server_run();
    EXPECT_INT(br_ssl_engine_last_error(&server.eng),
               BR_ERR_RECV_FATAL_ALERT + 100);
    EXPECT(!*judged());
    EXPECT(echoes(0));
}

static void the_key_must_belong_to_the_certificate(void)
{
#ifdef LSSB_TEST_MBEDTLS
    int i = 40;     /* a signature in fifty is a number above the modulus */
#else
    int i = 1;
#endif

    for (; i > 0; i--) {
        world("good int", "client", GOOD, "root");
        EXPECT_INT(handshake(), LSSB_E_PROTOCOL);
        EXPECT(strstr(error.message, "the server does not have its "
                      "certificate's key") != NULL);
    }
}

static void a_pump_ends_though_the_server_never_does(void)
{
    uint8_t *bytes;
    size_t i, len;

    at_work();
    for (i = 0; i < 1000; i++) {
        br_ssl_engine_flush(&server.eng, 1);
        server_run();
    }
    i = down.to;
    wire_max = 10;
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(down.from > 0 && down.from < i);
    at_work();
    for (i = 0; i < 10; i++) {
        bytes = br_ssl_engine_sendapp_buf(&server.eng, &len);
        EXPECT(bytes != NULL);
        memset(bytes, 'x', len);
        br_ssl_engine_sendapp_ack(&server.eng, len);
        br_ssl_engine_flush(&server.eng, 0);
        server_run();
    }
    i = down.to;
    wire_max = 10;
    tls->close(memory);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    EXPECT(down.from > 0 && down.from < i / 10);
}

static void who_is_refused_is_not_told_why(void)
{
    world("unknown", "server", GOOD, "root");
    EXPECT_INT(begin(), LSSB_OK);
    EXPECT_INT(tls->pump(memory), LSSB_OK);
    server_run();
    wire_sent = 0;
    EXPECT_INT(shake(), LSSB_E_CERTIFICATE);
    EXPECT_INT(wire_sent, 0);
}

static void a_send_buffer_may_be_larger_than_a_record(void)
{
    static uint8_t room[20000];

    world("good int", "server", GOOD, "root");
    setup.send_buffer = room;
    setup.send_size = sizeof room;
    EXPECT(works());
    tls->consume(memory, 5);
    wire_max = 5000;
    wire_stutters = true;
    EXPECT(echoes(200000));
}

/* ---------------------------------------------------------------- the heap */

#ifdef LSSB_TEST_MBEDTLS

/* The linker puts these in the way of whoever asks for memory (--wrap). */
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);

static unsigned heap_taken, heap_given;
static unsigned heap_fails_at;      /* 0: never */

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = NULL;

    if (heap_fails_at != 1)
        block = __real_calloc(count, size);
    heap_fails_at -= heap_fails_at > 0;
    heap_taken += block != NULL;
    return block;
}

void __wrap_free(void *block)
{
    heap_given += block != NULL;
    __real_free(block);
}

/* Ends the session before, and what mbedTLS 3.x holds for the process. */
static void end_all(void)
{
    end();
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_PSA_CRYPTO_C)
    mbedtls_psa_crypto_free();
#endif
}

static void no_heap_is_taken_while_data_flows(void)
{
    unsigned taken, given, round;

    at_work();
    taken = heap_taken;
    given = heap_given;
    EXPECT(taken > given);
    EXPECT(echoes(500000));
    wire_max = 100;
    wire_stutters = true;
    EXPECT(echoes(20000));
    tls->close(memory);
    for (round = 0; round < 10000 && tls->pump(memory) == LSSB_OK; round++)
        server_run();
    EXPECT_INT(tls->pump(memory), LSSB_END);
    EXPECT_INT(heap_taken, taken);
    EXPECT_INT(heap_given, given);
    end_all();
    EXPECT_INT(heap_taken, heap_given);
}

static void all_of_the_heap_is_given_back(void)
{
    static uint8_t certificate[8192], key[8192];
    lssb_tls_ticket ticket;

    end_all();
    heap_taken = heap_given = 0;
    world("named", "server", GOOD, "root");
    EXPECT_INT(handshake(), LSSB_E_CERTIFICATE);
    world("good int", "server", GOOD, "root");
    EXPECT(works() && tls->save(memory, &ticket));
    setup.ticket = &ticket;
    EXPECT(works());
    port_state.no_randomness = true;
    EXPECT_INT(begin(), LSSB_E_PROTOCOL);
    port_state.no_randomness = false;
    trust.certificate = certificate;
    trust.certificate_len = load("client.chain", "", certificate,
                                 sizeof certificate);
    trust.key = key;
    trust.key_len = load("client.p8", "", key, sizeof key);
    EXPECT_INT(tls->check(&trust, &error), LSSB_OK);
    EXPECT(works());
    EXPECT_INT(begin(), LSSB_OK);
    end_all();
    EXPECT(heap_taken > 100);
    EXPECT_INT(heap_taken, heap_given);
}

/* A handshake for each of the first blocks that it asks for, when contexts are
 * made, then for one in so many of those that large numbers grow by: of some
 * thousands. There are still fewer where the processor is emulated
 * (LSSB_EMULATED), and with 3.x, which asks more often. */
static void a_heap_that_is_used_up_is_said(void)
{
    unsigned each = MBEDTLS_VERSION_NUMBER >= 0x03000000 ||
                    getenv("LSSB_EMULATED") != NULL ? 40 : 200;
    lssb_status status;
    unsigned at, failed = 0, told = 0;

    end_all();
    for (at = 1; heap_fails_at == 0 && at < 100000; at += 1 + at / each) {
        world("good int", "server", GOOD, "root");
        heap_taken = heap_given = 0;
        heap_fails_at = at;
        status = handshake();
        EXPECT(status == LSSB_OK || error.message[0] != '\0');
        EXPECT(status == LSSB_OK || !tls->ready(memory));
        failed += status != LSSB_OK;
        told += status != LSSB_OK && strstr(error.message, "memory") != NULL;
        end_all();
        EXPECT_INT(heap_taken, heap_given);
    }
    heap_fails_at = 0;
    EXPECT(told > failed / 10 * 9);     /* mbedTLS forgets some reasons */
    EXPECT(failed > 100);
    EXPECT(failed < at);
}

#endif

/* ---------------------------------------------------- the client's own keys */

static void bad_client_certificates_and_trust_are_said_beforehand(void)
{
    static const struct {
        const char *certificate;
        const char *key;
        const char *message;        /* NULL: fine */
    } rows[] = {
        { "client.crt", "client.key", NULL },
        { "client.chain", "client.p8", NULL },
        { "client.der", "client.keyder", NULL },
        { "client.der", "client.key", NULL },
        { "both.der", "root.key", "trust.key does not belong to "
          "trust.certificate" },
        { "clientec.crt", "clientec.key", NULL },
        { "clientec.crt", "clientec.keyder", NULL },
        { "client.crt", "clientec.key", "trust.key does not belong to "
          "trust.certificate" },
        { "clientec.crt", "serverec.key", "trust.key does not belong to "
          "trust.certificate" },
        { "client.crt", "server.key", "trust.key does not belong to "
          "trust.certificate" },
        { "client.crt", "client.enc", "trust.key is encrypted" },
        { "client.crt", "client.crt", "trust.key holds no private key" },
        { "client.key", "client.key", "trust.certificate holds no "
          "certificate" },
        { "certs.cut", "client.key", "trust.certificate cannot be read" },
        { "client.crt", "key.cut", "trust.key cannot be read" },
        { "clientec.crt", "clientec.long", "trust.key cannot be read" },
        { "client.crt", NULL, "trust.certificate and trust.key need each "
          "other" },
        { NULL, "client.key", "trust.certificate and trust.key need each "
          "other" }
    };
    static uint8_t certificate[20000], key[20000];
    size_t i, len;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world(NULL, NULL, GOOD, "root");
        if (rows[i].certificate != NULL) {
            test_row = rows[i].message ? rows[i].message : rows[i].certificate;
            len = strcmp(rows[i].certificate, "certs.cut") == 0
                      ? load("client.crt", "", certificate, 400)
                      : load(rows[i].certificate, "", certificate,
                             sizeof certificate);
            trust.certificate = certificate;
            trust.certificate_len = len;
        }
        if (rows[i].key != NULL) {
            len = strcmp(rows[i].key, "key.cut") == 0
                      ? load("client.key", "", key, 500)
                      : load(rows[i].key, "", key, sizeof key);
            trust.key = key;
            trust.key_len = len;
        }
        EXPECT_INT(tls->check(&trust, &error),
                   rows[i].message ? LSSB_E_INVALID_ARGUMENT : LSSB_OK);
        EXPECT(rows[i].message == NULL ||
               strstr(error.message, rows[i].message) != NULL);
    }
}

static void trust_that_leaves_nobody_is_said_beforehand(void)
{
    world(NULL, NULL, GOOD, NULL);
    EXPECT_INT(tls->check(&trust, &error), LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(error.layer, LSSB_LAYER_CALLER);
    EXPECT(strstr(error.message, "trust.only leaves nobody") != NULL);
    trust.only = false;
    EXPECT_INT(tls->check(&trust, &error), LSSB_OK);
    trust.pin_count = 1;
    EXPECT_INT(tls->check(&trust, &error), LSSB_E_INVALID_ARGUMENT);
    trust.pin_count = 0;
    trust.anchors_len = 1;
    EXPECT_INT(tls->check(&trust, &error), LSSB_E_INVALID_ARGUMENT);
}

/* ------------------------------------------------------- openssl s_server */

static struct {
    pid_t pid;
    int commands;                   /* its stdin */
    int output;
    uint16_t number;                /* the port it listens on */
} openssl;
static int wire_socket = -1;
static size_t socket_received;

/* Reads what s_server prints until it says where it listens. */
static bool openssl_listens(void)
{
    char line[4096];
    const char *at;
    size_t len = 0;
    ssize_t n;

    while (len < sizeof line - 1 &&
           (n = read(openssl.output, line + len, 1)) > 0) {
        len += (size_t)n;
        line[len] = '\0';
        at = strstr(line, "ACCEPT 127.0.0.1:");
        if (at != NULL && line[len - 1] == '\n') {
            openssl.number = (uint16_t)atoi(at + 17);
            return openssl.number != 0;
        }
    }
    return false;
}

/* Starts a server with these options beside its certificate; they are parted
 * by blanks. */
static bool openssl_start_alone(const char *certificate, const char *key,
                                const char *options)
{
    char command[1500];
    int in[2], out[2];

    if (pipe(in) != 0 || pipe(out) != 0)
        return false;
    snprintf(command, sizeof command, "cd '%s' && exec openssl s_server "
             "-accept 127.0.0.1:0 -cert %s.crt -key %s.key %s 2>&1", certs_dir,
             certificate, key, options);
    openssl.pid = fork();
    if (openssl.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    openssl.commands = in[1];
    openssl.output = out[0];
    return openssl.pid > 0 && openssl_listens();
}

/* The same, with the intermediate certificate. */
static bool openssl_start(const char *certificate, const char *key,
                          const char *options)
{
    char all[300];

    snprintf(all, sizeof all, "-cert_chain int.crt -CAfile root.crt %s",
             options);
    return openssl_start_alone(certificate, key, all);
}

static void openssl_stop(void)
{
    if (wire_socket >= 0)
        close(wire_socket);
    wire_socket = -1;
    kill(openssl.pid, SIGKILL);
    waitpid(openssl.pid, NULL, 0);
    close(openssl.commands);
    close(openssl.output);
}

static ptrdiff_t socket_result(ssize_t n)
{
    if (n >= 0)
        return (ptrdiff_t)n;
    return errno == EAGAIN || errno == EINTR ? LSSB_IO_AGAIN : LSSB_IO_RESET;
}

static ptrdiff_t socket_send(void *ctx, const void *bytes, size_t len)
{
    (void)ctx;
    return socket_result(send(wire_socket, bytes, len, MSG_NOSIGNAL));
}

static ptrdiff_t socket_receive(void *ctx, void *bytes, size_t len)
{
    ptrdiff_t n = socket_result(recv(wire_socket, bytes, len, 0));

    (void)ctx;
    socket_received += n > 0 ? (size_t)n : 0;
    return n;
}

/* Waits for what the session wants, and pumps. */
static lssb_status socket_pump(void)
{
    lssb_status status = tls->pump(memory);
    struct pollfd wait;
    bool read, write;

    tls->wants(memory, &read, &write);
    wait.fd = wire_socket;
    wait.events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0));
    if (status == LSSB_OK && wait.events != 0 && poll(&wait, 1, 10000) == 1)
        status = tls->pump(memory);
    return status;
}

/* Connects to the server and shakes hands. */
static lssb_status socket_handshake(void)
{
    struct sockaddr_in to;
    lssb_status status;

    if (wire_socket >= 0)
        close(wire_socket);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(openssl.number);
    wire_socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(wire_socket, (struct sockaddr *)&to, sizeof to) != 0)
        return LSSB_E_CONNECTION;
    fcntl(wire_socket, F_SETFL, O_NONBLOCK);
    setup.io.send = socket_send;
    setup.io.receive = socket_receive;
    status = start();
    while (status == LSSB_OK && !tls->ready(memory))
        status = socket_pump();
    return status;
}

/* Sends a line to a server that turns lines around, and reads the answer. */
static bool socket_turns(void)
{
    size_t len = 0;
    uint8_t *to = tls->reserve(memory, &len);
    const uint8_t *got = NULL;

    if (to == NULL)
        return false;
    memcpy(to, "hello\n", 6);
    tls->commit(memory, 6);
    tls->flush(memory);
    while (got == NULL && socket_pump() == LSSB_OK)
        got = tls->look(memory, &len);
    return len == 6 && memcmp(got, "olleh\n", 6) == 0;
}

/* Which version the session has; BearSSL's is 1.2. */
static const char *version(void)
{
#ifdef LSSB_TEST_MBEDTLS
    return mbedtls_ssl_get_version(
        &((struct tls_session *)(void *)memory)->ssl);
#else
    return "TLSv1.2";
#endif
}

static void openssl_speaks_the_newest_version_that_both_have(void)
{
    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-rev"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT_STR(version(), SUITES_OF_1_3 > 0 ? "TLSv1.3" : "TLSv1.2");
    EXPECT(socket_turns());
    openssl_stop();
    EXPECT(openssl_start("good", "server", "-rev -tls1_2 "
                         "-sigalgs RSA-PSS+SHA256:RSA+SHA512"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT_STR(version(), "TLSv1.2");
    EXPECT(socket_turns());
    openssl_stop();
    EXPECT(openssl_start("good", "server", "-rev -tls1_2 -serverpref"));
#if defined(LSSB_TEST_MBEDTLS) && MBEDTLS_VERSION_NUMBER == 0x03060600
    EXPECT_INT(socket_handshake(), LSSB_E_PROTOCOL);   /* SECURITY.md */
#else
    EXPECT_INT(socket_handshake(), LSSB_OK);
#endif
    openssl_stop();
}

static void openssl_resumes_a_session(void)
{
    lssb_tls_ticket ticket;

    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-rev -tls1_2"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT(socket_turns());
    EXPECT(!tls->resumed(memory));
    EXPECT(tls->save(memory, &ticket));
    tls->consume(memory, 6);
    tls->close(memory);                 /* a cut one, OpenSSL forgets */
    while (tls->pump(memory) == LSSB_OK)
        socket_pump();
    setup.ticket = &ticket;
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT(tls->resumed(memory));
    EXPECT(socket_turns());
    openssl_stop();
}

static void servers_of_another_version_are_refused_in_words(void)
{
    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server",
                         "-rev -tls1_1 -cipher ALL:@SECLEVEL=0"));
    EXPECT_INT(socket_handshake(), LSSB_E_PROTOCOL);
    EXPECT(strstr(error.message, "version") != NULL);
    openssl_stop();
    if (SUITES_OF_1_3 > 0)
        return;
    EXPECT(openssl_start("good", "server", "-rev -tls1_3"));
    EXPECT_INT(socket_handshake(), LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, TLS_ALERT + 70);
    EXPECT(strstr(error.message, "it does not speak TLS 1.2, perhaps") !=
           NULL);
    openssl_stop();
}

static void openssl_takes_a_client_certificate(void)
{
    static const struct {
        const char *certificate;
        const char *key;
    } rows[] = {
        { "client.chain", "client.p8" }, { "client.chain", "client.keyder" },
        { "client.der", "client.key" }, { "clientec.crt", "clientec.key" },
        { "clientec.crt", "clientec.keyder" }
    };
    static uint8_t certificate[8192], key[8192];
    size_t i;

    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-rev -Verify 3 "
                         "-verify_return_error -CAfile known.crt"));
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].certificate;
        trust.certificate = certificate;
        trust.certificate_len = load(rows[i].certificate, "", certificate,
                                     sizeof certificate);
        trust.key = key;
        trust.key_len = load(rows[i].key, "", key, sizeof key);
        EXPECT_INT(tls->check(&trust, &error), LSSB_OK);
        setup.memory_size = tls->session_size(&trust);
        EXPECT(setup.memory_size <= sizeof memory);
        EXPECT_INT(socket_handshake(), LSSB_OK);
        EXPECT(socket_turns());
    }
    openssl_stop();
}

/* In TLS 1.3 it may do so when the handshake is over for us. */
static void openssl_says_that_it_wants_a_client_certificate(void)
{
    lssb_status status;

    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-rev -Verify 3 "
                         "-verify_return_error"));
    status = socket_handshake();
    EXPECT(status != LSSB_OK || SUITES_OF_1_3 > 0);
    while (status == LSSB_OK)
        status = socket_pump();
    EXPECT_INT(status, LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, TLS_ALERT + (SUITES_OF_1_3 > 0 ? 116 : 40));
    EXPECT(strstr(error.message, "it wants a client certificate") != NULL);
    openssl_stop();
}

static void openssl_cannot_renegotiate(void)
{
    size_t before;

    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-tls1_2"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    *judged() = false;
    before = socket_received;
    EXPECT(write(openssl.commands, "r\n", 2) == 2);
    while (socket_received == before && socket_pump() == LSSB_OK)
        ;
    EXPECT(socket_received > before);
    while (socket_pump() == LSSB_OK && socket_received < before + 64)
        ;
    EXPECT(!*judged());
    openssl_stop();
}

/* ---------------------------------------------------------------- TLS 1.3 */

#ifdef TLS_HAS_1_3

/* Starts a server of TLS 1.3 that sends these certificates, as they are. */
static bool newer_start(const char *names, const char *key,
                        const char *options)
{
    char all[200], leaf[100], path[400];
    FILE *file;
    size_t len, n = strcspn(names, " ");

    snprintf(leaf, sizeof leaf, "%.*s", (int)n, names);
    names += n + (names[n] == ' ');
    len = load_list(names, ".crt", file_room[0], sizeof file_room[0]);
    snprintf(path, sizeof path, "%s/above", certs_dir);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(file_room[0], 1, len, file) != len ||
        fclose(file) != 0)
        return false;
    snprintf(all, sizeof all, "-tls1_3 -cipher DEFAULT:@SECLEVEL=0 "
             "-no-CAfile -no-CApath -no-CAstore %s %s",
             len > 0 ? "-cert_chain above" : "", options);
    return openssl_start_alone(leaf, key, all);
}

static void certificates_are_judged_the_same_in_tls_1_3(void)
{
    const struct verdict *row;
    lssb_status status;
    size_t i;

    for (i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        row = &verdicts[i];
        test_row = row->name;
        world(NULL, NULL, row->host, row->anchors);
        pin_list(row->pin);
        EXPECT(newer_start(row->chain, row->key, "-rev"));
        status = socket_handshake();
        check_verdict(row, status);
        if (status == LSSB_OK) {
            EXPECT_STR(version(), "TLSv1.3");
            EXPECT(socket_turns());
        }
        openssl_stop();
    }
}

static void a_server_of_tls_1_3_may_do_it_in_any_way(void)
{
    static const char *const ways[] = {
        "-ciphersuites TLS_AES_128_GCM_SHA256",
        "-ciphersuites TLS_AES_256_GCM_SHA384",
        "-ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        "-groups P-256", "-groups P-384", "-groups P-521",  /* asks again */
        "-no_middlebox", "-num_tickets 9", "-num_tickets 0", "-no_ticket",
        "-max_send_frag 512", "-alpn http/1.1", "-alpn h2,http/1.1",
        "-sigalgs RSA-PSS+SHA512"
    };
    char options[100];
    lssb_tls_ticket ticket;
    size_t i;

    for (i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        test_row = ways[i];
        world(NULL, NULL, GOOD, "root");
        snprintf(options, sizeof options, "-rev %s", ways[i]);
        EXPECT(newer_start("good int", "server", options));
        EXPECT_INT(socket_handshake(), LSSB_OK);
        EXPECT_STR(version(), "TLSv1.3");
        EXPECT(socket_turns());
        EXPECT(!tls->resumed(memory));
        EXPECT(!tls->save(memory, &ticket));
        openssl_stop();
    }
}

/* mbedTLS offers no other version than the session's. */
static void a_ticket_of_tls_1_2_asks_for_1_2(void)
{
    lssb_tls_ticket ticket;

    world(NULL, NULL, GOOD, "root");
    EXPECT(openssl_start("good", "server", "-rev -tls1_2"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT(tls->save(memory, &ticket));
    openssl_stop();
    setup.ticket = &ticket;
    EXPECT(openssl_start("good", "server", "-rev"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT_STR(version(), "TLSv1.2");
    EXPECT(!tls->resumed(memory));
    EXPECT(socket_turns());
    openssl_stop();
    EXPECT(newer_start("good int", "server", "-rev"));
    EXPECT_INT(socket_handshake(), LSSB_E_PROTOCOL);
    EXPECT_INT(error.tls_code, TLS_ALERT + 70);
    EXPECT(!tls->save(memory, &ticket));
    setup.ticket = NULL;
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT_STR(version(), "TLSv1.3");
    openssl_stop();
}

/* Lines to a server that turns them around, and back: so many bytes. */
static bool socket_flows(size_t count)
{
    size_t sent = 0, got = 0, len, i;
    uint8_t *to;

    while (got < count) {
        while (sent < count && sent - got < 60000 &&
               (to = tls->reserve(memory, &len)) != NULL) {
            for (i = 0; i < len && sent < count; i++)
                to[i] = ++sent % 100 == 0 ? '\n' : 'x';
            tls->commit(memory, i);
        }
        tls->flush(memory);
        if (socket_pump() != LSSB_OK)
            return false;
        while (tls->look(memory, &len) != NULL) {
            got += len;
            tls->consume(memory, len);
            if (tls->pump(memory) != LSSB_OK)
                return false;
        }
    }
    return got == count;
}

static void no_heap_is_taken_while_data_flows_in_tls_1_3(void)
{
    unsigned taken, given;

    end_all();
    heap_taken = heap_given = 0;
    world(NULL, NULL, GOOD, "root");
    EXPECT(newer_start("good int", "server", "-rev -num_tickets 20"));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    taken = heap_taken;
    given = heap_given;
    EXPECT(taken > given);
    EXPECT(socket_flows(1000000));
    EXPECT_INT(heap_taken, taken);
    EXPECT_INT(heap_given, given);
    tls->close(memory);
    while (tls->pump(memory) == LSSB_OK && !tls->sent(memory))
        socket_pump();
    EXPECT_INT(heap_taken, taken);
    openssl_stop();
    end_all();
    EXPECT_INT(heap_taken, heap_given);
}

static void a_heap_that_is_used_up_is_said_in_tls_1_3(void)
{
    lssb_status status;
    unsigned at, failed = 0;

    world(NULL, NULL, GOOD, "root");
    EXPECT(newer_start("good int", "server", "-rev"));
    end_all();
    for (at = 1; heap_fails_at == 0 && at < 100000; at += 53) {
        heap_taken = heap_given = 0;
        heap_fails_at = at;
        memset(&error, 0, sizeof error);
        status = socket_handshake();
        EXPECT(status == LSSB_OK || error.message[0] != '\0');
        EXPECT(status == LSSB_OK || !tls->ready(memory));
        failed += status != LSSB_OK;
        end_all();
        EXPECT_INT(heap_taken, heap_given);
    }
    heap_fails_at = 0;
    EXPECT(failed > 20);
    openssl_stop();
}

static void a_server_that_changes_keys_is_said(void)
{
    lssb_status status;

    world(NULL, NULL, GOOD, "root");
    EXPECT(newer_start("good int", "server", ""));
    EXPECT_INT(socket_handshake(), LSSB_OK);
    EXPECT(write(openssl.commands, "k\n", 2) == 2);
    do {
        status = socket_pump();
    } while (status == LSSB_OK);
    EXPECT_INT(status, LSSB_E_PROTOCOL);
    EXPECT(strstr(error.message, "a message came out of turn") != NULL);
    openssl_stop();
}

#endif

/* ------------------------------------------------------------------ main */

#ifdef TLS_HAS_1_3
#define OPENSSL_TESTS 12            /* at the end of the list; without them: */
#else
#define OPENSSL_TESTS 6             /* "unit_tls alone" */
#endif

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(certificates_are_judged_as_the_table_says),
        TEST(the_systems_certificates_may_be_a_file),
        TEST(bundles_are_read_however_they_are_written),
        TEST(a_bundle_in_any_line_ends_is_read),
        TEST(an_anchor_is_found_among_the_systems_certificates),
        TEST(only_keeps_the_systems_certificates_out),
        TEST(certificates_that_cannot_be_read_are_said),
        TEST(no_byte_of_a_chain_can_be_changed),
        TEST(a_chain_in_pieces_of_any_size_is_judged_the_same),
        TEST(a_certificate_that_is_cut_or_followed_by_more_is_refused),
        TEST(what_is_no_der_is_refused),
        TEST(a_length_in_more_bytes_than_it_needs_is_refused),
        TEST(no_more_than_ten_certificates_are_judged),
        TEST(keys_are_taken_in_one_form_only),
#ifdef LSSB_TEST_MBEDTLS
        TEST(a_signature_is_taken_as_bearssl_takes_it),
#endif
        TEST(random_bytes_are_walked_without_harm),
        TEST(a_session_works_with_every_split_of_the_wire),
        TEST(a_clock_that_is_not_set_is_said),
        TEST(without_randomness_or_memory_nothing_starts),
        TEST(dates_are_right),
        TEST(a_session_is_resumed_when_the_server_has_it),
        TEST(a_ticket_does_not_make_a_bad_certificate_good),
        TEST(megabytes_go_there_and_back),
        TEST(both_orders_of_suites_work),
        TEST(a_small_send_buffer_does_not_make_records_small),
        TEST(small_buffers_ask_for_small_records),
        TEST(a_record_larger_than_the_buffer_comes_without_a_pump),
        TEST(the_servers_orderly_end_comes_after_its_data),
        TEST(a_cut_is_no_orderly_end),
        TEST(a_cut_in_the_handshake_is_said),
        TEST(reading_goes_on_when_writing_fails),
        TEST(the_client_ends_in_order),
        TEST(what_is_wanted_is_what_would_block),
        TEST(a_record_that_was_tampered_with_is_refused),
        TEST(a_server_without_tls_is_said),
        TEST(versions_and_suites_that_do_not_meet_are_said),
        TEST(http_1_1_is_asked_for_and_another_answer_tolerated),
        TEST(renegotiation_is_refused),
        TEST(the_key_must_belong_to_the_certificate),
        TEST(a_pump_ends_though_the_server_never_does),
        TEST(who_is_refused_is_not_told_why),
        TEST(a_send_buffer_may_be_larger_than_a_record),
#ifdef LSSB_TEST_MBEDTLS
        TEST(no_heap_is_taken_while_data_flows),
        TEST(all_of_the_heap_is_given_back),
        TEST(a_heap_that_is_used_up_is_said),
#endif
        TEST(bad_client_certificates_and_trust_are_said_beforehand),
        TEST(trust_that_leaves_nobody_is_said_beforehand),
        TEST(openssl_speaks_the_newest_version_that_both_have),
        TEST(openssl_resumes_a_session),
        TEST(servers_of_another_version_are_refused_in_words),
        TEST(openssl_takes_a_client_certificate),
        TEST(openssl_says_that_it_wants_a_client_certificate),
        TEST(openssl_cannot_renegotiate),
#ifdef TLS_HAS_1_3
        TEST(certificates_are_judged_the_same_in_tls_1_3),
        TEST(a_server_of_tls_1_3_may_do_it_in_any_way),
        TEST(a_ticket_of_tls_1_2_asks_for_1_2),
        TEST(no_heap_is_taken_while_data_flows_in_tls_1_3),
        TEST(a_heap_that_is_used_up_is_said_in_tls_1_3),
        TEST(a_server_that_changes_keys_is_said),
#endif
    };
    const char *dir = getenv("LSSB_CERTS");
    char command[600];

    snprintf(certs_dir, sizeof certs_dir, "%s",
             dir != NULL ? dir : "build/tests/certs");
    snprintf(command, sizeof command, "sh tests/certs.sh '%s'", certs_dir);
    if (system(command) != 0)
        return 1;
    br_ssl_session_cache_lru_init(&cache, cache_room, sizeof cache_room);
    if (argc > 1 && strcmp(argv[1], "alone") == 0)
        return test_main(tests, sizeof tests / sizeof tests[0] - OPENSSL_TESTS);
    return TEST_MAIN(tests);
}
