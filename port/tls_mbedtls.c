/* tls_mbedtls.c: TLS by mbedTLS 2.28, or 3.2 and up, by its public API.
 *
 * SPDX-License-Identifier: MIT
 *
 * The record layer, the handshake and the signatures are mbedTLS's. This file
 * moves its bytes, decides what is offered and who is trusted, and says in
 * words what went wrong. Whom it trusts is in SECURITY.md; the rules are those
 * of tls_judge.c, the same as with BearSSL.
 *
 * A session is in its memory, and in a heap that mbedTLS takes when it starts
 * and during the handshake and that `end` gives back; while data flows none is
 * taken. Received data is decrypted into the receive buffer, and what is to be
 * sent waits in the send buffer; mbedTLS has two buffers for records besides.
 *
 * TLS 1.2; with mbedTLS 3.6.1 and up 1.3, too: before, its client asks nobody
 * about a certificate there. 3.x computes by way of PSA, which is one for the
 * whole process and holds some heap of its own from psa_crypto_init on. That is
 * called here and may be called twice; it is never undone, for nobody knows who
 * else in the process uses PSA: mbedtls_psa_crypto_free is the application's.
 *
 * The public API does not say which alert came, nor how long a message is: both
 * are read out of the context (TLS_FIELD). Nothing is written there.
 */
#include <mbedtls/version.h>

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_PSA_CRYPTO_C)
#include <psa/crypto.h>
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_AESNI_C) && \
    defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define TLS_ASKS_CPU
#include <cpuid.h>
#endif

#include "../src/internal.h"

#if MBEDTLS_VERSION_NUMBER < 0x021C0000 || \
    MBEDTLS_VERSION_NUMBER >= 0x04000000 || \
    (MBEDTLS_VERSION_NUMBER >= 0x03000000 && \
     MBEDTLS_VERSION_NUMBER < 0x03020000)
#error "mbedTLS 2.28, or 3.2 and up, please"
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03060100 && \
    defined(MBEDTLS_SSL_PROTO_TLS1_3) && \
    defined(MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED)
#define TLS_HAS_1_3
#endif

/* What mbedTLS 3.x calls private. */
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#define TLS_FIELD(name) MBEDTLS_PRIVATE(name)
#else
#define TLS_FIELD(name) name
#endif

/* mbedTLS wants pointers to what it only reads without `const`. */
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
#define TLS_ROUNDS 128              /* receive calls of one pump: it ends */

/* SHA-256, for tls_x509.c. */
typedef mbedtls_sha256_context x509_hash;

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#define TLS_SHA256(what) mbedtls_sha256_##what
#else
#define TLS_SHA256(what) mbedtls_sha256_##what##_ret
#endif

static void x509_hash_start(x509_hash *hash)
{
    mbedtls_sha256_init(hash);
    TLS_SHA256(starts)(hash, 0);
}

static void x509_hash_add(x509_hash *hash, const void *bytes, size_t len)
{
    TLS_SHA256(update)(hash, bytes, len);
}

static void x509_hash_end(x509_hash *hash, uint8_t out[32])
{
    TLS_SHA256(finish)(hash, out);
    mbedtls_sha256_free(hash);
}

#include "tls_words.c"
#include "tls_x509.c"
#include "tls_anchors.c"
#include "tls_judge.c"
#include "tls_own.c"
#include "tls_mbedtls_own.c"

/* ------------------------------------------------------------------ words */

/* Codes of modules that need not be built in. */
#define TLS_E_RANDOM (-0x0034)
#define TLS_E_RESET (-0x0050)
#define TLS_E_RSA_PADDING (-0x4100)
/* MBEDTLS_ERR_RSA_PUBLIC_FAILED, because of MBEDTLS_ERR_MPI_BAD_INPUT_DATA */
#define TLS_E_RSA_PUBLIC (-0x4280 - 0x0004)
#define TLS_E_RSA_VERIFY (-0x4380)
#define TLS_E_ECP_VERIFY (-0x4E00)
#define TLS_E_ECP_LENGTH (-0x4C00)

#define TLS_STARVED "mbedTLS has no memory left"
#define TLS_TOO_LARGE "a handshake message is larger than a record, or wants " \
                      "what is not there"

/* How the handshake or the record layer failed. Names differ between 2.28 and
 * 3.x, where most of the first kind became the second. */
static const struct tls_words tls_engine_words[] = {
    { TLS_E_RANDOM, "there is no randomness" },
    { TLS_E_RSA_PADDING, TLS_NO_KEY },
    { TLS_E_RSA_PUBLIC, TLS_NO_KEY },    /* no number below the modulus */
    { TLS_E_RSA_VERIFY, TLS_NO_KEY },
    { TLS_E_ECP_VERIFY, TLS_NO_KEY },
    { TLS_E_ECP_LENGTH, TLS_NO_KEY },
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    { MBEDTLS_ERR_SSL_BAD_HS_SERVER_HELLO, "the server chose something that "
      "was not offered, or its hello makes no sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE, "a handshake message makes no "
                                          "sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE_REQUEST, "a handshake message makes "
                                                  "no sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_SERVER_KEY_EXCHANGE, "the server uses an "
      "algorithm that was not offered, or its key exchange makes no sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_SERVER_HELLO_DONE, "a handshake message makes no "
                                                "sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_CHANGE_CIPHER_SPEC, "a handshake message makes "
                                                 "no sense" },
    { MBEDTLS_ERR_SSL_BAD_HS_FINISHED, "the handshake was tampered with" },
    { MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION, TLS_OLD_VERSION },
    { MBEDTLS_ERR_SSL_UNKNOWN_CIPHER, "the server chose a cipher suite that "
                                      "was not offered" },
#else
    { MBEDTLS_ERR_SSL_DECODE_ERROR, "a handshake message makes no sense" },
    { MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER, "the server chose something that was "
                                         "not offered" },
    { MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, "the handshake was tampered with" },
    { MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION, TLS_OLD_VERSION },
    { MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION, "the server sent an extension "
                                             "that was not offered" },
    { MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, "the server speaks no "
                                               "HTTP/1.1" },
#endif
    { MBEDTLS_ERR_SSL_PK_TYPE_MISMATCH, "the server's key is of another kind "
                                        "than its cipher suite" },
    { MBEDTLS_ERR_SSL_INVALID_MAC, TLS_TAMPERED },
    { MBEDTLS_ERR_SSL_INVALID_RECORD, "a record makes no sense, or is empty "
                                      "as those before" },
    { MBEDTLS_ERR_SSL_FEATURE_UNAVAILABLE, TLS_TOO_LARGE },
    { MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL, "a message is too large" },
    { MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, "a message came out of turn" },
    { MBEDTLS_ERR_SSL_COUNTER_WRAPPING, "there were too many records" },
    { MBEDTLS_ERR_SSL_ALLOC_FAILED, TLS_STARVED },
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    { MBEDTLS_ERR_SSL_BAD_INPUT_DATA, "TLS was used wrongly" },
#else
    { MBEDTLS_ERR_SSL_BAD_INPUT_DATA, TLS_TOO_LARGE },
#endif
    { MBEDTLS_ERR_SSL_INTERNAL_ERROR, "TLS was used wrongly" }
};

/* -------------------------------------------------------------- sessions */

/* What is seen of the records that come in, as long as they are in the
 * clear. */
struct tls_wire {
    uint32_t certificates;          /* length of the Certificate message; 0:
                                       none was seen */
    uint32_t message_left;
    uint16_t left;                  /* of the record */
    uint8_t have;                   /* bytes of its header */
    uint8_t type;
    uint8_t message_have;
    uint8_t message_type;
    uint8_t alert;                  /* the last byte of an alert */
    bool alerted;                   /* there is one */
};

struct tls_session {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    struct tls_own own;
    struct tls_judge judge;
    const lssb_tls_setup *setup;
    const char *protocols[2];
    lssb_tls_ticket ticket;         /* to be saved */
    lssb_status ended;              /* LSSB_OK: it lives */
    size_t from, to;                /* decrypted, in the receive buffer */
    size_t committed;               /* in the send buffer … */
    size_t writing;                 /* … of which so many belong to a write
                                       that is under way */
    ptrdiff_t read_io;              /* how receiving ended */
    uint16_t rounds;                /* receive calls left */
    struct tls_wire wire;
    bool open;                      /* the handshake is over */
    bool resuming;                  /* a ticket was offered */
    bool flushing;                  /* a record is to be made */
    bool closing;
    bool notified;                  /* the close_notify is out */
    bool blocked;                   /* sending would block */
    bool write_failed;
    bool read_over;
    bool heard_tls;                 /* the first byte was a handshake's */
    bool heard;
};

/* What is offered, and why no more, is in SECURITY.md. Without AES in the CPU,
 * or beside it, GCM is several times slower than ChaCha20. With it, it is
 * faster, but not in 2.28, which takes it block by block. */
static const int tls_suites_aes[] = {
#ifdef TLS_HAS_1_3
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0
};
static const int tls_suites_chacha[] = {
#ifdef TLS_HAS_1_3
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0
};

/* X25519 and P-256 first: mbedTLS's own order begins with P-521. */
#if MBEDTLS_VERSION_NUMBER < 0x03000000
static const mbedtls_ecp_group_id tls_curves[] = {
    MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
    MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1, MBEDTLS_ECP_DP_NONE
};
static const int tls_hashes[] = {
    MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512, MBEDTLS_MD_NONE
};
#else
static const uint16_t tls_curves[] = {
    0x001D, 0x0017, 0x0018, 0x0019, 0       /* RFC 8446 4.2.7 */
};
static const uint16_t tls_algorithms_taken[] = {    /* RFC 8446 4.2.3 */
    0x0403, 0x0401, 0x0503, 0x0501, 0x0603, 0x0601,
#ifdef TLS_HAS_1_3
    0x0804, 0x0805, 0x0806,
#endif
    0
};
#endif

/* Whether GCM is the faster one. */
static bool tls_fast_aes(void)
{
#if defined(MBEDTLS_AES_ALT) || defined(MBEDTLS_GCM_ALT) || \
    defined(MBEDTLS_AESCE_C)
    return true;
#elif defined(TLS_ASKS_CPU)
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 &&
           (c & 0x02000002) == 0x02000002;      /* AES and PCLMULQDQ */
#else
    return false;
#endif
}

/* mbedTLS 3.x computes by way of PSA, which wants to be asked in; its code. */
static int tls_begin_library(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_PSA_CRYPTO_C)
    psa_status_t status = psa_crypto_init();

    if (status != PSA_SUCCESS)
        return status == PSA_ERROR_INSUFFICIENT_MEMORY
                   ? MBEDTLS_ERR_SSL_ALLOC_FAILED : TLS_E_RANDOM;
#endif
    return 0;
}

static size_t tls_session_size(const lssb_trust *trust)
{
    (void)trust;
    return sizeof(struct tls_session);
}

static lssb_status tls_check(const lssb_trust *trust, lssb_error *error)
{
    const char *wrong = tls_begin_library() == 0 ? own_wrong(trust)
                                                 : "mbedTLS does not start";

    return tls_say_invalid(wrong != NULL ? wrong : tls_trust_wrong(trust),
                           error);
}

/* Randomness for mbedTLS: the port's, and nobody else's. */
static int tls_random(void *ctx, unsigned char *bytes, size_t len)
{
    const lssb_tls_setup *setup = ctx;

    return setup->port->random(setup->port_context, bytes, len) == LSSB_IO_OK
               ? 0 : TLS_E_RANDOM;
}

#include "tls_mbedtls_chain.c"

/* ---------------------------------------------------------------- the wire */

/* Follows the messages of a handshake (RFC 5246 7.4). */
static void tls_follow_message(struct tls_wire *wire, uint8_t byte)
{
    if (wire->message_have == 4) {
        wire->message_left--;
    } else if (wire->message_have++ == 0) {
        wire->message_type = byte;
        wire->message_left = 0;
    } else {
        wire->message_left = wire->message_left << 8 | byte;
        if (wire->message_have == 4 && wire->message_type == 11)
            wire->certificates = wire->message_left;
    }
    if (wire->message_have == 4 && wire->message_left == 0)
        wire->message_have = 0;
}

/* Follows the records that come in (RFC 5246 6.2.1). An alert of two bytes is
 * in the clear, which is how servers refuse a handshake. */
static void tls_follow(struct tls_wire *wire, const uint8_t *bytes, size_t len)
{
    for (; len > 0; bytes++, len--) {
        if (wire->have < 5) {
            if (wire->have++ == 0)
                wire->type = *bytes;
            wire->left = (uint16_t)(wire->left << 8 | *bytes);
            wire->alerted = wire->have == 5 && wire->type == 21 &&
                            wire->left == 2;
        } else {
            if (wire->type == 22)
                tls_follow_message(wire, *bytes);
            wire->alert = *bytes;
            wire->left--;
        }
        if (wire->have == 5 && wire->left == 0)
            wire->have = 0;
    }
}

/* How mbedTLS sends. A failure stays, and looks like success: what the server
 * said before it hung up is worth more. And who is refused is not told why. */
static int tls_wire_send(void *ctx, const unsigned char *bytes, size_t len)
{
    struct tls_session *session = ctx;
    const lssb_tls_io *io = &session->setup->io;
    ptrdiff_t n;

    if (session->write_failed || session->judge.refused != 0)
        return (int)len;
    n = io->send(io->ctx, bytes, len);
    if (n > 0)
        return (int)n;
    if (n == LSSB_IO_AGAIN) {
        session->blocked = true;
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    session->write_failed = true;
    return (int)len;
}

/* How mbedTLS receives: so many times in one pump. */
static int tls_wire_receive(void *ctx, unsigned char *bytes, size_t len)
{
    struct tls_session *session = ctx;
    const lssb_tls_io *io = &session->setup->io;
    ptrdiff_t n;

    if (session->read_over)
        return TLS_E_RESET;
    if (session->rounds == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    session->rounds--;
    n = io->receive(io->ctx, bytes, len);
    if (n == LSSB_IO_AGAIN)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (n <= 0) {
        session->read_over = true;
        session->read_io = n;
        return TLS_E_RESET;
    }
    if (!session->heard)
        session->heard_tls = bytes[0] == 0x15 || bytes[0] == 0x16;
    session->heard = true;
    if (!session->open)
        tls_follow(&session->wire, bytes, (size_t)n);
    return (int)n;
}

/* ----------------------------------------------------------------- the end */

/* TCP ended under a session. */
static lssb_status tls_cut(struct tls_session *session, ptrdiff_t io)
{
    tls_say_cut(session->setup, io, session->open);
    return session->ended = LSSB_E_CONNECTION;
}

/* Refuses a certificate that mbedTLS could not parse, before the judge was
 * asked: whose it is, nobody says. */
static lssb_status tls_refuse_unparsed(struct tls_session *session, int code)
{
    const lssb_tls_setup *setup = session->setup;
    int32_t why = TLS_UNREADABLE;
    const char *words = "cannot be read";
    struct lssb_text text;

    if (code == MBEDTLS_ERR_X509_FATAL_ERROR) {
        why = TLS_TOO_MUCH;
        words = "is one of too many";
    } else if (code / 128 == MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG / 128) {
        why = TLS_UNSUPPORTED;
        words = TLS_SKIPPED;
    } else if (-code >= 0x3880) {
        why = TLS_UNSUPPORTED;
        words = "has a key or a signature of a kind that is not supported";
    } else if (code == MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE ||
               code / 128 == MBEDTLS_ERR_X509_INVALID_EXTENSIONS / 128) {
        why = TLS_CRITICAL;
        words = "has a critical extension that is not known, or one that "
                "cannot be read";
    }
    tls_error(setup, &text, LSSB_E_CERTIFICATE, why);
    lssb_text_add(&text, "a certificate in the chain of ");
    lssb_text_add(&text, setup->host);
    lssb_text_add(&text, " ");
    lssb_text_add(&text, words);
    session->judge.refused = why;
    return session->ended = LSSB_E_CERTIFICATE;
}

/* Whether mbedTLS failed at reading a certificate: errors of ASN.1, X.509, keys
 * and curves, as long as no chain was complete. */
static bool tls_is_unparsed(const struct tls_session *session, int code)
{
    if (session->open || session->judge.started)
        return false;
    return (-code >= 0x0060 && -code <= 0x006C) ||
           (-code >= 0x2080 && -code <= 0x307F) ||
           (-code >= 0x3880 && -code <= 0x3FFF) ||
           (-code >= 0x4B00 && -code <= 0x4FFF);
}

/* Says which alert ended it. With TLS 1.3 mbedTLS has the same code for a server
 * that sends no certificate at all. */
static void tls_alerted(struct tls_session *session, int code)
{
    if (session->wire.alerted && !session->open)
        tls_say_alert(session->setup, session->wire.alert);
    else if (session->ssl.TLS_FIELD(in_msgtype) == MBEDTLS_SSL_MSG_ALERT)
        tls_say_alert(session->setup, session->ssl.TLS_FIELD(in_msg)[1]);
    else
        tls_say_failed(session->setup, code, "the server sent no certificate",
                       "mbedTLS");
}

/* The words for a code; of the sum of two, those for the greater part, which
 * is the one of the module that was called (error.h). */
static const char *tls_words_for(int code)
{
    const char *words = TLS_WORDS(tls_engine_words, code);

    if (tls_is_starved(code))
        return TLS_STARVED;
    return words != NULL ? words
                         : TLS_WORDS(tls_engine_words, -(-code & 0x7F80));
}

/* mbedTLS failed, for good. A chain that was refused has said why already. */
static lssb_status tls_failed(struct tls_session *session, int code)
{
    const char *words = tls_words_for(code);

    if (session->judge.refused != 0)
        return session->ended = LSSB_E_CERTIFICATE;
    if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && session->open)
        return session->ended = LSSB_END;
    if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return tls_cut(session, 0);
    if (session->read_over)
        return tls_cut(session, session->read_io);
    if (tls_is_unparsed(session, code) && !tls_is_starved(code))
        return tls_refuse_unparsed(session, code);
    session->ended = LSSB_E_PROTOCOL;
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        tls_alerted(session, code);
    else
        tls_say_failed(session->setup, code, session->heard &&
                       !session->heard_tls ? TLS_NO_TLS : words, "mbedTLS");
    return session->ended;
}

/* Whether mbedTLS only waits, or told something that is no failure. */
static bool tls_waits(int code)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        return true;
#endif
    return code == MBEDTLS_ERR_SSL_WANT_READ ||
           code == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* --------------------------------------------------------------- beginning */

/* What is offered. */
static void tls_prepare_config(struct tls_session *session)
{
    mbedtls_ssl_config *config = &session->config;

    mbedtls_ssl_conf_ciphersuites(config, tls_fast_aes() ? tls_suites_aes
                                                         : tls_suites_chacha);
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(config, tls_curves);
    mbedtls_ssl_conf_sig_hashes(config, tls_hashes);
#else
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
#ifdef TLS_HAS_1_3
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
#else
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
    mbedtls_ssl_conf_groups(config, tls_curves);
    mbedtls_ssl_conf_sig_algs(config, tls_algorithms_taken);
#endif
#ifdef TLS_HAS_1_3
    mbedtls_ssl_conf_tls13_key_exchange_modes(
        config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
#endif
#ifdef MBEDTLS_SSL_RENEGOTIATION
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
#ifdef MBEDTLS_SSL_SESSION_TICKETS
    mbedtls_ssl_conf_session_tickets(config,
                                     MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
}

/* Asks for smaller records, where mbedTLS was built with less room. */
static int tls_prepare_fragments(struct tls_session *session)
{
    (void)session;
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH) && \
    MBEDTLS_SSL_IN_CONTENT_LEN < 16384
    return mbedtls_ssl_conf_max_frag_len(
        &session->config,
        MBEDTLS_SSL_IN_CONTENT_LEN >= 4096   ? MBEDTLS_SSL_MAX_FRAG_LEN_4096
        : MBEDTLS_SSL_IN_CONTENT_LEN >= 2048 ? MBEDTLS_SSL_MAX_FRAG_LEN_2048
        : MBEDTLS_SSL_IN_CONTENT_LEN >= 1024 ? MBEDTLS_SSL_MAX_FRAG_LEN_1024
                                             : MBEDTLS_SSL_MAX_FRAG_LEN_512);
#else
    return 0;
#endif
}

/* Who is asked about certificates, about our own, and about protocols.
 * "Optional" leaves the decision to tls_verify, which is asked about every
 * chain; that it said yes is looked at when the handshake is over. */
static int tls_prepare_trust(struct tls_session *session)
{
    const lssb_trust *trust = session->setup->trust;
    mbedtls_ssl_config *config = &session->config;

    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_verify(config, tls_verify, session);
    if (trust->certificate != NULL && trust->key != NULL &&
        (own_load(&session->own, trust, tls_random,
                  x509_writable(session->setup)) != NULL ||
         mbedtls_ssl_conf_own_cert(config, &session->own.certificate,
                                   &session->own.key) != 0))
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    return mbedtls_ssl_conf_alpn_protocols(config, session->protocols);
}

/* Names the host. A literal address is no server name (RFC 6066 3), and
 * neither is the dot that may end a name. */
static int tls_prepare_host(struct tls_session *session)
{
    const char *host = session->setup->host;
    char *name = (char *)session->judge.subject;

    if (session->judge.by_address)
        return mbedtls_ssl_set_hostname(&session->ssl, NULL);
    if (!lssb_copy(name, sizeof session->judge.subject, host,
                   tls_host_len(host)))
        return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
    return mbedtls_ssl_set_hostname(&session->ssl, name);
}

/* Offers a session to resume, if it can be read. */
static void tls_prepare_ticket(struct tls_session *session)
{
    const lssb_tls_ticket *ticket = session->setup->ticket;
    mbedtls_ssl_session saved;

    if (ticket == NULL || ticket->len == 0 ||
        ticket->len > sizeof ticket->bytes ||
        session->setup->trust->no_resumption)
        return;
    mbedtls_ssl_session_init(&saved);
    session->resuming =
        mbedtls_ssl_session_load(&saved, ticket->bytes, ticket->len) == 0 &&
        mbedtls_ssl_set_session(&session->ssl, &saved) == 0;
    mbedtls_ssl_session_free(&saved);
}

/* Gives back what mbedTLS holds. Twice is no harm. */
static void tls_end(void *memory)
{
    struct tls_session *session = memory;

    mbedtls_ssl_free(&session->ssl);
    mbedtls_ssl_config_free(&session->config);
    own_free(&session->own);
}

/* Sets mbedTLS up, step by step; its code. */
static int tls_prepare(struct tls_session *session)
{
    const lssb_tls_setup *setup = session->setup;
    uint8_t probe[4];
    int code = tls_random(x509_writable(setup), probe, sizeof probe);

    if (code == 0)
        code = tls_begin_library();
    if (code == 0)
        code = mbedtls_ssl_config_defaults(
            &session->config, MBEDTLS_SSL_IS_CLIENT,
            MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&session->config, tls_random, x509_writable(setup));
    if (code == 0)
        tls_prepare_config(session);
    if (code == 0)
        code = tls_prepare_fragments(session);
    if (code == 0)
        code = tls_prepare_trust(session);
    if (code == 0)
        code = mbedtls_ssl_setup(&session->ssl, &session->config);
    if (code == 0)
        code = tls_prepare_host(session);
    if (code == 0)
        tls_prepare_ticket(session);
    mbedtls_ssl_set_bio(&session->ssl, session, tls_wire_send,
                        tls_wire_receive, NULL);
    return code;
}

static lssb_status tls_start(void *memory, const lssb_tls_setup *setup)
{
    struct tls_session *session = memory;
    int64_t now = setup->port->wall_s(setup->port_context);
    int code;

    if (setup->memory_size < sizeof *session)
        return tls_say_no_memory(setup);
    memset(session, 0, sizeof *session);
    session->setup = setup;
    session->protocols[0] = "http/1.1";
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_config_init(&session->config);
    own_init(&session->own);
    if (now < LSSB_CLOCK_FLOOR)
        return session->ended = tls_say_no_clock(setup, now);
    tls_judge_prepare(&session->judge, setup, now);
    code = tls_prepare(session);
    if (code == 0)
        return LSSB_OK;
    tls_end(session);
    return session->ended = tls_is_starved(code)
                                ? tls_say_no_memory(setup)
                                : tls_say_no_start(setup, code);
}

/* ------------------------------------------------------------ the handshake */

/* Takes the server's certificate out of a session that was written out, where
 * it stands behind its length of three bytes: a ticket has no room for it. */
static size_t tls_strip(const struct tls_session *session, uint8_t *bytes,
                        size_t len)
{
    const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&session->ssl);
    size_t at, n = peer != NULL ? peer->raw.len : 0;

    for (at = 3; n > 0 && n <= len && at <= len - n; at++) {
        if (memcmp(bytes + at, peer->raw.p, n) != 0)
            continue;
        memset(bytes + at - 3, 0, 3);
        memmove(bytes + at, bytes + at + n, len - at - n);
        return len - n;
    }
    return len;
}

/* Keeps the session as a ticket, by way of the receive buffer, in which there
 * is nothing yet. One that does not fit is not kept: TLS 1.3's, and any with a
 * certificate larger than the buffer. */
static void tls_keep_ticket(struct tls_session *session)
{
    uint8_t *room = session->setup->receive_buffer;
    mbedtls_ssl_session saved;
    size_t len = 0;

    if (session->setup->trust->no_resumption ||
        strcmp(mbedtls_ssl_get_version(&session->ssl), "TLSv1.2") != 0)
        return;
    mbedtls_ssl_session_init(&saved);
    if (mbedtls_ssl_get_session(&session->ssl, &saved) == 0 &&
        mbedtls_ssl_session_save(&saved, room, session->setup->receive_size,
                                 &len) == 0) {
        size_t short_len = tls_strip(session, room, len);

        if (short_len <= sizeof session->ticket.bytes) {
            memcpy(session->ticket.bytes, room, short_len);
            session->ticket.len = (uint32_t)short_len;
        }
        lssb_wipe(room, len);
    }
    mbedtls_ssl_session_free(&saved);
}

/* The handshake is over. A server that mbedTLS took without the judge's word
 * is refused here. */
static void tls_opened(struct tls_session *session)
{
    bool resumed = session->resuming && !session->judge.started;

    if (!resumed && !session->judge.trusted) {
        tls_refuse_code(&session->judge, TLS_NO_CERTIFICATE);
        session->ended = LSSB_E_CERTIFICATE;
        return;
    }
    session->open = true;
    tls_keep_ticket(session);
}

/* ------------------------------------------------------------ moving bytes */

/* Writes the record that is due. mbedTLS wants the same bytes again until it
 * has taken them. */
static void tls_write_some(struct tls_session *session)
{
    const lssb_tls_setup *setup = session->setup;
    int n;

    if (session->writing == 0 &&
        (session->flushing || session->committed == setup->send_size))
        session->writing = session->committed;
    while (session->writing > 0 && session->ended == LSSB_OK) {
        n = mbedtls_ssl_write(&session->ssl,
                              setup->send_buffer + session->committed -
                                  session->writing, session->writing);
        if (n > 0)
            session->writing -= (size_t)n;
        else if (tls_waits(n))
            return;
        else
            tls_failed(session, n);
        if (session->writing == 0) {
            session->committed = 0;
            session->flushing = false;
        }
    }
}

/* Sends the close_notify, once all before it is out. */
static void tls_notify(struct tls_session *session)
{
    int code;

    if (!session->closing || session->notified || session->writing > 0 ||
        session->ended != LSSB_OK)
        return;
    code = mbedtls_ssl_close_notify(&session->ssl);
    if (code == 0)
        session->notified = true;
    else if (!tls_waits(code))
        tls_failed(session, code);
}

/* Decrypts the next bytes; true if there may be more at once. */
static bool tls_read_some(struct tls_session *session)
{
    const lssb_tls_setup *setup = session->setup;
    int n = mbedtls_ssl_read(&session->ssl, setup->receive_buffer,
                             setup->receive_size);

    if (n > 0) {
        session->from = 0;
        session->to = session->closing ? 0 : (size_t)n;
        return session->closing;
    }
    if (n == 0 && !session->read_over)
        return false;
    if (n == 0 || !tls_waits(n)) {
        tls_failed(session, n);
        return false;
    }
    return n != MBEDTLS_ERR_SSL_WANT_READ && n != MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* Goes on with the handshake. */
static void tls_shake(struct tls_session *session)
{
    int code = mbedtls_ssl_handshake(&session->ssl);

    if (code == 0)
        tls_opened(session);
    else if (!tls_waits(code))
        tls_failed(session, code);
}

static lssb_status tls_pump(void *memory)
{
    struct tls_session *session = memory;

    if (session->from < session->to || session->ended != LSSB_OK) {
        if (session->ended == LSSB_OK) {
            session->blocked = false;
            tls_write_some(session);
        }
        return session->from < session->to ? LSSB_OK : session->ended;
    }
    session->rounds = TLS_ROUNDS;
    session->blocked = false;
    if (!session->open)
        tls_shake(session);
    if (session->open) {
        tls_write_some(session);
        tls_notify(session);
        while (session->ended == LSSB_OK && tls_read_some(session))
            ;
    }
    return session->from < session->to ? LSSB_OK : session->ended;
}

static bool tls_ready(const void *memory)
{
    const struct tls_session *session = memory;

    return session->open;
}

static bool tls_resumed(const void *memory)
{
    const struct tls_session *session = memory;

    return session->open && session->resuming && !session->judge.started;
}

static void tls_wants(const void *memory, bool *read, bool *write)
{
    const struct tls_session *session = memory;
    bool lives = session->ended == LSSB_OK;

    *read = lives && session->from == session->to &&
            (session->open || !session->blocked);
    *write = lives && session->blocked && !session->write_failed;
}

/* A record may be larger than the receive buffer: what mbedTLS still has of it
 * comes without a pump. */
static const uint8_t *tls_look(void *memory, size_t *len)
{
    struct tls_session *session = memory;

    if (session->from == session->to && session->ended == LSSB_OK &&
        session->open && mbedtls_ssl_get_bytes_avail(&session->ssl) > 0)
        tls_read_some(session);
    *len = session->to - session->from;
    return *len > 0 ? session->setup->receive_buffer + session->from : NULL;
}

static void tls_consume(void *memory, size_t len)
{
    struct tls_session *session = memory;

    session->from += len;
}

static uint8_t *tls_reserve(void *memory, size_t *len)
{
    struct tls_session *session = memory;

    *len = 0;
    if (session->ended != LSSB_OK || session->write_failed || !session->open ||
        session->closing || session->flushing || session->writing > 0)
        return NULL;
    *len = session->setup->send_size - session->committed;
    return *len > 0 ? session->setup->send_buffer + session->committed : NULL;
}

static void tls_commit(void *memory, size_t len)
{
    struct tls_session *session = memory;

    session->committed += len;
}

static void tls_flush(void *memory)
{
    struct tls_session *session = memory;

    session->flushing = session->committed > 0;
}

static bool tls_sent(const void *memory)
{
    const struct tls_session *session = memory;

    return !session->write_failed && !session->blocked &&
           !session->flushing && session->writing == 0 &&
           session->committed < session->setup->send_size &&
           (!session->closing || session->notified ||
            session->ended != LSSB_OK);
}

static void tls_close(void *memory)
{
    struct tls_session *session = memory;

    if (session->ended != LSSB_OK)
        return;
    if (!session->open)
        tls_cut(session, 0);
    tls_flush(session);
    session->closing = true;
    session->from = session->to = 0;
}

static bool tls_save(const void *memory, lssb_tls_ticket *ticket)
{
    const struct tls_session *session = memory;

    lssb_wipe(ticket, sizeof *ticket);
    *ticket = session->ticket;
    return ticket->len > 0;
}

static const lssb_tls_backend tls_mbedtls = {
    LSSB_TLS_VERSION, "mbedTLS", tls_session_size, tls_check, tls_start,
    tls_pump, tls_ready, tls_resumed, tls_wants, tls_look, tls_consume,
    tls_reserve, tls_commit, tls_flush, tls_sent, tls_close, tls_save, tls_end
};

const lssb_tls_backend *const lssb_default_tls = &tls_mbedtls;
