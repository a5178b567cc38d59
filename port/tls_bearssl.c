/* tls_bearssl.c: TLS 1.2 by BearSSL (0.6), without a heap.
 *
 * SPDX-License-Identifier: MIT
 *
 * The record engine, the handshake and the signatures are BearSSL's. This file
 * moves its bytes, decides what is offered and who is trusted, and says in
 * words what went wrong. Whom it trusts is in SECURITY.md; the rules are those
 * of tls_judge.c, which searches anchors by tls_anchors.c and reads
 * certificates by tls_x509.c.
 *
 * All state is in the session's memory: about 10 KB, and the two buffers.
 */
#include <bearssl.h>

#include "../src/internal.h"

/* The least that BearSSL takes: a record of 512 bytes, and what is around it. */
#if LSSB_RECEIVE_BUFFER < 837
#error "LSSB_RECEIVE_BUFFER is below 837, which BearSSL needs"
#endif
#if LSSB_SEND_BUFFER < 597
#error "LSSB_SEND_BUFFER is below 597, which BearSSL needs"
#endif

/* BearSSL wants pointers to what it only reads without `const`. */
static unsigned char *x509_writable(const void *bytes)
{
    union {
        const void *from;
        void *to;
    } pointer;

    pointer.from = bytes;
    return pointer.to;
}

#define TLS_CHAIN_LIMIT 10          /* certificates that a server may send */
#define TLS_OWN_LIMIT 6             /* and that a client may have */
#define TLS_ROUNDS 64               /* of one pump, so that it ends */

/* SHA-256, for tls_x509.c. */
typedef br_sha256_context x509_hash;

static void x509_hash_start(x509_hash *hash)
{
    br_sha256_init(hash);
}

static void x509_hash_add(x509_hash *hash, const void *bytes, size_t len)
{
    br_sha256_update(hash, bytes, len);
}

static void x509_hash_end(x509_hash *hash, uint8_t out[32])
{
    br_sha256_out(hash, out);
}

#include "tls_words.c"
#include "tls_x509.c"
#include "tls_anchors.c"
#include "tls_judge.c"
#include "tls_own.c"
#include "tls_bearssl_chain.c"
#include "tls_bearssl_own.c"

/* ------------------------------------------------------------------ words */

/* How the handshake or the record layer failed. */
static const struct tls_words tls_engine_words[] = {
    { BR_ERR_BAD_PARAM, "TLS was set up wrongly" },
    { BR_ERR_BAD_STATE, "TLS was used wrongly" },
    { BR_ERR_UNSUPPORTED_VERSION, TLS_OLD_VERSION },
    { BR_ERR_BAD_VERSION, "the server changed its version" },
    { BR_ERR_BAD_LENGTH, "a record has a bad length" },
    { BR_ERR_TOO_LARGE, "a record is larger than the receive buffer" },
    { BR_ERR_BAD_MAC, TLS_TAMPERED },
    { BR_ERR_NO_RANDOM, "there is no randomness" },
    { BR_ERR_UNKNOWN_TYPE, TLS_NO_TLS },
    { BR_ERR_UNEXPECTED, "a message came out of turn" },
    { BR_ERR_BAD_ALERT, "an alert makes no sense" },
    { BR_ERR_BAD_HANDSHAKE, "a handshake message makes no sense" },
    { BR_ERR_BAD_CIPHER_SUITE, "the server chose a cipher suite that was not "
                               "offered" },
    { BR_ERR_BAD_FRAGLEN, "the server chose a record size that was not "
                          "offered" },
    { BR_ERR_BAD_SECRENEG, "the secure renegotiation data is wrong" },
    { BR_ERR_EXTRA_EXTENSION, "the server sent an extension that was not "
                              "offered" },
    { BR_ERR_LIMIT_EXCEEDED, "a key or signature is too large" },
    { BR_ERR_BAD_FINISHED, "the handshake was tampered with" },
    { BR_ERR_RESUME_MISMATCH, "the server resumed another session" },
    { BR_ERR_INVALID_ALGORITHM, "the server uses an algorithm that was not "
                                "offered" },
    { BR_ERR_BAD_SIGNATURE, TLS_NO_KEY }
};

/* -------------------------------------------------------------- sessions */

struct tls_session {
    br_ssl_client_context client;
    struct tls_chain chain;
    const lssb_tls_setup *setup;
    const char *protocols[1];
    lssb_status ended;              /* LSSB_OK: it lives */
    bool open;                      /* the handshake is over */
    bool resuming;                  /* a ticket was offered */
    bool write_failed;
    bool heard_tls;                 /* the first byte was a handshake's */
    bool heard;
};

/* A session with a client certificate; decoded PEM follows. */
struct tls_own_session {
    struct tls_session session;     /* first */
    br_skey_decoder_context key;
    br_x509_certificate chain[TLS_OWN_LIMIT];
};

/* What is offered, and why no more, is in SECURITY.md. With AES in the CPU GCM
 * is several times faster than ChaCha20, without it several times slower. */
static const uint16_t tls_suites_aes[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
};
static const uint16_t tls_suites_chacha[] = {
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
};
#define TLS_SUITES (sizeof tls_suites_aes / sizeof tls_suites_aes[0])

static size_t tls_session_size(const lssb_trust *trust)
{
    struct own_reader reader;

    if (trust->certificate == NULL || trust->key == NULL)
        return sizeof(struct tls_session);
    memset(&reader, 0, sizeof reader);
    own_read(&reader, trust);
    return sizeof(struct tls_own_session) + reader.len;
}

static lssb_status tls_check(const lssb_trust *trust, lssb_error *error)
{
    const char *wrong = own_wrong(trust);

    return tls_say_invalid(wrong != NULL ? wrong : tls_trust_wrong(trust),
                           error);
}

/* Links what BearSSL needs for the suites above, and nothing else. */
static void tls_prepare_engine(br_ssl_engine_context *engine)
{
    bool aes = br_aes_x86ni_ctr_get_vtable() != NULL ||
               br_aes_pwr8_ctr_get_vtable() != NULL;

    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_set_suites(engine, aes ? tls_suites_aes : tls_suites_chacha,
                             TLS_SUITES);
    br_ssl_engine_set_default_aes_gcm(engine);
    br_ssl_engine_set_default_chapol(engine);
    br_ssl_engine_set_default_ec(engine);
    br_ssl_engine_set_default_rsavrfy(engine);
    br_ssl_engine_set_default_ecdsa(engine);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(engine, br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, br_tls12_sha384_prf);
}

/* Gives the engine its buffers. BearSSL derives the maximum fragment length
 * that it asks the server for (RFC 6066) from the smaller of the two; a small
 * send buffer would so make all that is received come in small records. With
 * a receive buffer for any record there is nothing to ask for. */
static void tls_prepare_buffers(br_ssl_engine_context *engine,
                                const lssb_tls_setup *setup)
{
    br_ssl_engine_set_buffers_bidi(engine, setup->receive_buffer,
                                   setup->receive_size, setup->send_buffer,
                                   setup->send_size);
    if (setup->receive_size >= BR_SSL_BUFSIZE_INPUT)
        engine->log_max_frag_len = 14;
}

/* Seeds the engine from the port, and from nothing else: BearSSL would ask the
 * system or the CPU by itself. */
static bool tls_prepare_randomness(br_ssl_engine_context *engine,
                                   const lssb_tls_setup *setup)
{
    uint8_t seed[48];
    bool ok = setup->port->random(setup->port_context, seed, sizeof seed) ==
              LSSB_IO_OK;

    engine->rng_os_rand_done = 1;
    if (ok)
        br_ssl_engine_inject_entropy(engine, seed, sizeof seed);
    lssb_wipe(seed, sizeof seed);
    return ok;
}

/* Sets up the client's own certificate; `check` has tried it. */
static void tls_prepare_own(struct tls_own_session *own, size_t room)
{
    const lssb_trust *trust = own->session.setup->trust;
    br_ssl_client_context *client = &own->session.client;
    struct x509_slice chain[TLS_OWN_LIMIT];
    struct own_reader reader;
    size_t i;

    memset(&reader, 0, sizeof reader);
    reader.chain = chain;
    reader.to = (uint8_t *)(own + 1);
    reader.size = room;
    own_read(&reader, trust);
    if (reader.wrong != NULL || reader.len > room ||
        own_key(&own->key, trust) != NULL)
        return;
    for (i = 0; i < reader.count; i++) {
        own->chain[i].data = x509_writable(chain[i].at);
        own->chain[i].data_len = chain[i].len;
    }
    if (br_skey_decoder_key_type(&own->key) == BR_KEYTYPE_RSA)
        br_ssl_client_set_single_rsa(client, own->chain, reader.count,
                                     br_skey_decoder_get_rsa(&own->key),
                                     br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_client_set_single_ec(client, own->chain, reader.count,
                                    br_skey_decoder_get_ec(&own->key),
                                    BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
                                    br_ec_get_default(),
                                    br_ecdsa_sign_asn1_get_default());
}

/* Offers a session to resume. */
static void tls_prepare_ticket(struct tls_session *session)
{
    const lssb_tls_ticket *ticket = session->setup->ticket;
    br_ssl_session_parameters parameters;

    if (ticket == NULL || ticket->len != sizeof parameters ||
        session->setup->trust->no_resumption)
        return;
    memcpy(&parameters, ticket->bytes, sizeof parameters);
    br_ssl_engine_set_session_parameters(&session->client.eng, &parameters);
    session->resuming = true;
    lssb_wipe(&parameters, sizeof parameters);
}

/* Begins the handshake. A literal address is no server name (RFC 6066 3), and
 * neither is the dot that may end a name. */
static bool tls_begin(struct tls_session *session)
{
    const char *host = session->setup->host;
    char *name = (char *)session->chain.judge.subject;

    if (session->chain.judge.by_address)
        host = NULL;
    else if (lssb_copy(name, sizeof session->chain.judge.subject, host,
                       tls_host_len(host)))
        host = name;
    else
        return false;
    return br_ssl_client_reset(&session->client, host, session->resuming) != 0;
}

static lssb_status tls_start(void *memory, const lssb_tls_setup *setup)
{
    struct tls_session *session = memory;
    br_ssl_engine_context *engine = &session->client.eng;
    int64_t now = setup->port->wall_s(setup->port_context);

    memset(session, 0, sizeof *session);
    session->setup = setup;
    session->protocols[0] = "http/1.1";
    if (setup->memory_size < tls_session_size(setup->trust))
        return session->ended = tls_say_no_memory(setup);
    if (now < LSSB_CLOCK_FLOOR)
        return session->ended = tls_say_no_clock(setup, now);
    br_ssl_client_zero(&session->client);
    tls_prepare_engine(engine);
    tls_prepare_buffers(engine, setup);
    br_ssl_engine_set_protocol_names(engine, session->protocols, 1);
    tls_chain_prepare(&session->chain, setup, now);
    br_ssl_engine_set_x509(engine, &session->chain.vtable);
    if (setup->trust->certificate != NULL && setup->trust->key != NULL)
        tls_prepare_own(memory,
                        setup->memory_size - sizeof(struct tls_own_session));
    tls_prepare_ticket(session);
    if (tls_prepare_randomness(engine, setup) && tls_begin(session))
        return LSSB_OK;
    return session->ended =
        tls_say_no_start(setup, br_ssl_engine_last_error(engine));
}

/* ------------------------------------------------------------ moving bytes */

/* TCP ended under a session. */
static lssb_status tls_cut(struct tls_session *session, ptrdiff_t io)
{
    tls_say_cut(session->setup, io, session->open);
    return session->ended = LSSB_E_CONNECTION;
}

/* Says how the engine ended. A chain that was refused has said it already. */
static lssb_status tls_closed(struct tls_session *session)
{
    int32_t code = br_ssl_engine_last_error(&session->client.eng);
    const char *words = TLS_WORDS(tls_engine_words, code);

    if (code == BR_ERR_OK && session->open)
        return session->ended = LSSB_END;
    if (code == BR_ERR_OK)
        return tls_cut(session, 0);
    if (session->chain.judge.refused != 0)
        return session->ended = LSSB_E_CERTIFICATE;
    if (code == BR_ERR_WRONG_KEY_USAGE) {
        tls_refuse_code(&session->chain.judge, code);
        return session->ended = LSSB_E_CERTIFICATE;
    }
    session->ended = LSSB_E_PROTOCOL;
    if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT)
        tls_say_alert(session->setup, code - BR_ERR_RECV_FATAL_ALERT);
    else
        tls_say_failed(session->setup, code, session->heard &&
                       !session->heard_tls ? TLS_NO_TLS : words, "BearSSL");
    return session->ended;
}

/* Sends records; true if a byte moved. When sending fails, receiving goes on:
 * what the server said before it hung up is worth more than the failure. */
static bool tls_send_some(struct tls_session *session)
{
    br_ssl_engine_context *engine = &session->client.eng;
    const lssb_tls_io *io = &session->setup->io;
    size_t len;
    const uint8_t *bytes = br_ssl_engine_sendrec_buf(engine, &len);
    ptrdiff_t n;

    if (bytes == NULL || session->write_failed)
        return false;
    n = io->send(io->ctx, bytes, len);
    if (n > 0)
        br_ssl_engine_sendrec_ack(engine, (size_t)n);
    else
        session->write_failed = n != LSSB_IO_AGAIN;
    return n > 0;
}

/* Receives records, when there is room: bytes, 0 for the end, an lssb_io. */
static ptrdiff_t tls_receive_some(struct tls_session *session)
{
    br_ssl_engine_context *engine = &session->client.eng;
    const lssb_tls_io *io = &session->setup->io;
    size_t len;
    uint8_t *room = br_ssl_engine_recvrec_buf(engine, &len);
    ptrdiff_t n;

    if (room == NULL)
        return LSSB_IO_AGAIN;
    n = io->receive(io->ctx, room, len);
    if (n > 0 && !session->heard)
        session->heard_tls = room[0] == 0x15 || room[0] == 0x16;
    if (n > 0) {
        session->heard = true;
        br_ssl_engine_recvrec_ack(engine, (size_t)n);
    }
    return n;
}

static lssb_status tls_pump(void *memory)
{
    struct tls_session *session = memory;
    br_ssl_engine_context *engine = &session->client.eng;
    unsigned state, round;
    ptrdiff_t n;
    bool moved;

    for (round = 0; session->ended == LSSB_OK && round < TLS_ROUNDS; round++) {
        moved = tls_send_some(session);
        state = br_ssl_engine_current_state(engine);
        session->open |= (state & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0;
        if (state == BR_SSL_CLOSED)
            return tls_closed(session);
        if ((state & BR_SSL_RECVAPP) == 0) {
            /* After a close_notify nothing is read; our own need not go. */
            if (engine->shutdown_recv != 0 && session->open)
                return session->ended = LSSB_END;
            n = tls_receive_some(session);
            if (n <= 0 && n != LSSB_IO_AGAIN)
                return tls_cut(session, n);
            moved |= n > 0;
        }
        if (!moved)
            break;
    }
    return session->ended;
}

static bool tls_ready(const void *memory)
{
    const struct tls_session *session = memory;

    return session->open;
}

static bool tls_resumed(const void *memory)
{
    const struct tls_session *session = memory;

    return session->open && session->resuming && !session->chain.judge.started;
}

static void tls_wants(const void *memory, bool *read, bool *write)
{
    const struct tls_session *session = memory;
    unsigned state = br_ssl_engine_current_state(&session->client.eng);
    bool lives = session->ended == LSSB_OK;

    *read = lives && (state & BR_SSL_RECVREC) != 0;
    *write = lives && (state & BR_SSL_SENDREC) != 0 && !session->write_failed;
}

static const uint8_t *tls_look(void *memory, size_t *len)
{
    struct tls_session *session = memory;

    return br_ssl_engine_recvapp_buf(&session->client.eng, len);
}

static void tls_consume(void *memory, size_t len)
{
    struct tls_session *session = memory;

    if (len > 0)
        br_ssl_engine_recvapp_ack(&session->client.eng, len);
}

static uint8_t *tls_reserve(void *memory, size_t *len)
{
    struct tls_session *session = memory;

    *len = 0;
    if (session->ended != LSSB_OK || session->write_failed)
        return NULL;
    return br_ssl_engine_sendapp_buf(&session->client.eng, len);
}

static void tls_commit(void *memory, size_t len)
{
    struct tls_session *session = memory;

    if (len > 0)
        br_ssl_engine_sendapp_ack(&session->client.eng, len);
}

static void tls_flush(void *memory)
{
    struct tls_session *session = memory;

    br_ssl_engine_flush(&session->client.eng, 0);
}

static bool tls_sent(const void *memory)
{
    const struct tls_session *session = memory;
    unsigned state = br_ssl_engine_current_state(&session->client.eng);

    return (state & BR_SSL_SENDREC) == 0;
}

static void tls_close(void *memory)
{
    struct tls_session *session = memory;

    if (session->ended == LSSB_OK) {
        br_ssl_engine_flush(&session->client.eng, 0);
        br_ssl_engine_close(&session->client.eng);
    }
}

static bool tls_save(const void *memory, lssb_tls_ticket *ticket)
{
    const struct tls_session *session = memory;
    br_ssl_session_parameters parameters;

    lssb_wipe(ticket, sizeof *ticket);
    if (!session->open || session->setup->trust->no_resumption)
        return false;
    br_ssl_engine_get_session_parameters(&session->client.eng, &parameters);
    if (parameters.session_id_len > 0) {
        memcpy(ticket->bytes, &parameters, sizeof parameters);
        ticket->len = sizeof parameters;
    }
    lssb_wipe(&parameters, sizeof parameters);
    return ticket->len > 0;
}

static const lssb_tls_backend tls_bearssl = {
    LSSB_TLS_VERSION, "BearSSL", tls_session_size, tls_check, tls_start,
    tls_pump, tls_ready, tls_resumed, tls_wants, tls_look, tls_consume,
    tls_reserve, tls_commit, tls_flush, tls_sent, tls_close, tls_save, NULL
};

const lssb_tls_backend *const lssb_default_tls = &tls_bearssl;
