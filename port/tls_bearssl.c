/* tls_bearssl.c: TLS 1.2 by BearSSL (0.6), without a heap.
 *
 * SPDX-License-Identifier: MIT
 *
 * The record engine, the handshake and the signatures are BearSSL's. This file
 * moves its bytes, decides what is offered and who is trusted, and says in
 * words what went wrong. Whom it trusts is in SECURITY.md: a chain passes
 * through here on its way to br_x509_minimal, certificate by certificate; the
 * anchors that it asks for are searched meanwhile (tls_bearssl_trust.c), and
 * what minimal does not check is checked (tls_bearssl_x509.c).
 *
 * All state is in the session's memory: about 10 KB, and the two buffers.
 */
#include <bearssl.h>

#include "../src/internal.h"

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

#include "tls_bearssl_x509.c"
#include "tls_bearssl_trust.c"
#include "tls_bearssl_own.c"

/* No clock shows less: 2026-11-01, before this release. */
#ifndef LSSB_CLOCK_FLOOR
#define LSSB_CLOCK_FLOOR INT64_C(1793491200)
#endif

/* ---------------------------------------------------------------- errors */

/* Starts an error; its message is added to the text. */
static void tls_error(const lssb_tls_setup *setup, struct lssb_text *text,
                      lssb_status status, int32_t code)
{
    setup->error->status = status;
    setup->error->layer = status == LSSB_E_CONNECTION ? LSSB_LAYER_TRANSPORT
                                                      : LSSB_LAYER_TLS;
    setup->error->tls_code = code;
    lssb_text_start(text, setup->error->message,
                    sizeof setup->error->message);
}

struct tls_words {
    int16_t code;
    const char *text;
};

/* The words for a code, or NULL. */
static const char *tls_words_of(const struct tls_words *rows, size_t count,
                                int32_t code)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (rows[i].code == code)
            return rows[i].text;
    return NULL;
}

#define TLS_WORDS(rows, code) \
    tls_words_of(rows, sizeof rows / sizeof rows[0], code)

/* What minimal found wrong with a certificate, after "the certificate of HOST".
 * What it shares with the checks below is told better there. */
static const struct tls_words tls_certificate_words[] = {
    { BR_ERR_X509_EMPTY_CHAIN, "is missing: the server sent none" },
    { BR_ERR_X509_LIMIT_EXCEEDED, "has a key of more than 4096 bits" },
    { BR_ERR_X509_WRONG_KEY_TYPE, "is not signed by its issuer" },
    { BR_ERR_X509_BAD_SIGNATURE, "is not signed by its issuer" },
    { BR_ERR_X509_TIME_UNKNOWN, "cannot be judged without a clock" },
    { BR_ERR_X509_EXPIRED, "is expired or not valid yet" },
    { BR_ERR_X509_DN_MISMATCH, "is not followed by its issuer's" },
    { BR_ERR_X509_BAD_SERVER_NAME, "is for another host" },
    { BR_ERR_X509_NOT_CA, "is signed by one that is no authority" },
    { BR_ERR_X509_FORBIDDEN_KEY_USAGE,
      "is signed by, or used with, a key that is not for that (key usage)" },
    { BR_ERR_X509_WEAK_PUBLIC_KEY, "has a key of less than 2048 bits" },
    { BR_ERR_WRONG_KEY_USAGE, "has a key that is not for TLS (key usage)" }
};

/* How the handshake or the record layer failed. */
static const struct tls_words tls_engine_words[] = {
    { BR_ERR_BAD_PARAM, "TLS was set up wrongly" },
    { BR_ERR_BAD_STATE, "TLS was used wrongly" },
    { BR_ERR_UNSUPPORTED_VERSION,
      "the server speaks no TLS 1.2, but an older version" },
    { BR_ERR_BAD_VERSION, "the server does not speak TLS, or changed its "
                          "version" },
    { BR_ERR_BAD_LENGTH, "a record has a bad length" },
    { BR_ERR_TOO_LARGE, "a record is larger than the receive buffer" },
    { BR_ERR_BAD_MAC, "a record was tampered with" },
    { BR_ERR_NO_RANDOM, "there is no randomness" },
    { BR_ERR_UNKNOWN_TYPE, "the server does not speak TLS" },
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
    { BR_ERR_BAD_SIGNATURE, "the server does not have its certificate's key" }
};

/* Alerts (RFC 5246 7.2, RFC 6066, RFC 7301, RFC 8446). */
static const struct tls_words tls_alert_words[] = {
    { 10, "unexpected message" },
    { 20, "bad record MAC" },
    { 21, "decryption failed" },
    { 22, "record overflow" },
    { 30, "decompression failure" },
    { 40, "handshake failure; no common cipher suite, perhaps, or it wants a "
          "client certificate" },
    { 41, "no certificate" },
    { 42, "bad certificate" },
    { 43, "unsupported certificate" },
    { 44, "certificate revoked" },
    { 45, "certificate expired" },
    { 46, "certificate unknown" },
    { 47, "illegal parameter" },
    { 48, "unknown authority" },
    { 49, "access denied" },
    { 50, "decode error" },
    { 51, "decrypt error" },
    { 60, "export restriction" },
    { 70, "protocol version; it does not speak TLS 1.2, perhaps" },
    { 71, "insufficient security" },
    { 80, "internal error" },
    { 86, "inappropriate fallback" },
    { 90, "user canceled" },
    { 100, "no renegotiation" },
    { 109, "missing extension" },
    { 110, "unsupported extension" },
    { 112, "unrecognized name" },
    { 113, "bad certificate status response" },
    { 115, "unknown PSK identity" },
    { 116, "certificate required; it wants a client certificate" },
    { 120, "no application protocol" }
};

/* Algorithms of signatures that are not taken, or not known, by their OID. */
static const struct {
    const char *oid;
    uint8_t len;
    const char *name;
} tls_algorithms[] = {
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x04", 9, "MD5" },
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x05", 9, "SHA-1" },
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A", 9, "RSA-PSS" },
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0E", 9, "SHA-224" },
    { "\x2A\x86\x48\xCE\x3D\x04\x01", 7, "SHA-1" },
    { "\x2A\x86\x48\xCE\x3D\x04\x03\x01", 8, "SHA-224" },
    { "\x2B\x65\x70", 3, "Ed25519" },
    { "\x2B\x65\x71", 3, "Ed448" }
};

/* --------------------------------------------------------------- a chain */

/* The wrapper of br_x509_minimal: a chain of certificates on its way. */
struct tls_chain {
    const br_x509_class *vtable;    /* first, as BearSSL wants it */
    br_x509_minimal_context minimal;
    const lssb_tls_setup *setup;
    struct x509_walk walk;
    struct x509_search search;
    int64_t now;
    uint32_t count;                 /* certificates begun */
    int32_t refused;                /* BearSSL's code for it; 0: not refused */
    bool started;
    bool complete;                  /* the walk reached its end */
    bool trusted;                   /* an anchor was reached: what follows is
                                       junk */
    bool pinned;                    /* a pinned key was seen on the way */
    bool by_address;                /* the host is a literal address */
    bool host_found;                /* the host's own certificate names it */
    lssb_address address;
    struct lssb_text hosts;         /* whom it names */
    char hosts_text[160];
    uint8_t issuer[X509_VALUE];     /* of the certificate at hand */
    uint8_t subject[X509_VALUE];
};

/* What was copied of a name. */
static struct x509_slice tls_copied(const struct x509_copy *copy)
{
    struct x509_slice slice;

    slice.at = copy->at;
    slice.len = copy->len < copy->size ? copy->len : copy->size;
    return slice;
}

/* Adds "the certificate of HOST", or whose above it. */
static void tls_say_whose(const struct tls_chain *chain,
                          struct lssb_text *text)
{
    lssb_text_add(text, "the certificate of ");
    if (chain->count > 1) {
        x509_say_name(text, tls_copied(&chain->walk.subject));
        lssb_text_add(text, ", in the chain of ");
    }
    lssb_text_add(text, chain->setup->host);
    lssb_text_add(text, chain->count > 1 ? ", " : " ");
}

/* Refuses the chain; the reason is added to the text. */
static void tls_refuse(struct tls_chain *chain, int32_t code,
                       struct lssb_text *text)
{
    chain->refused = code;
    tls_error(chain->setup, text, LSSB_E_CERTIFICATE, code);
    tls_say_whose(chain, text);
}

/* The same, for a reason that is said in one piece. */
static void tls_refuse_for(struct tls_chain *chain, int32_t code,
                           const char *reason)
{
    struct lssb_text text;

    tls_refuse(chain, code, &text);
    lssb_text_add(&text, reason);
}

/* Refuses a certificate that is not valid now. */
static void tls_check_dates(struct tls_chain *chain)
{
    const struct x509_walk *walk = &chain->walk;
    struct lssb_text text;

    if (chain->now >= walk->from && chain->now <= walk->until)
        return;
    tls_refuse(chain, BR_ERR_X509_EXPIRED, &text);
    if (chain->now > walk->until) {
        lssb_text_add(&text, "expired on ");
        x509_say_date(&text, walk->until);
    } else {
        lssb_text_add(&text, "is not valid before ");
        x509_say_date(&text, walk->from);
        lssb_text_add(&text, "; the clock says ");
        x509_say_date(&text, chain->now);
    }
}

/* Searches the anchors that may have issued the certificate at hand, or be it.
 * While no pinned key was seen, only a pinned anchor can end the path. */
static void tls_search(struct tls_chain *chain)
{
    struct x509_search *search = &chain->search;
    const struct x509_copy *issuer = &chain->walk.issuer;
    const struct x509_copy *subject = &chain->walk.subject;

    if (chain->setup->trust->pin_count > 0 &&
        x509_pinned(chain->setup->trust, chain->walk.hash))
        chain->pinned = true;
    memset(&search->issuer, 0, sizeof search->issuer);
    memset(&search->subject, 0, sizeof search->subject);
    if (issuer->len <= issuer->size)
        search->issuer = tls_copied(issuer);
    if (chain->count == 1 && subject->len <= subject->size)
        search->subject = tls_copied(subject);
    search->below = chain->count - 1;
    search->now = chain->now;
    search->trust = chain->setup->trust;
    search->only_pinned = search->trust->pin_count > 0 && !chain->pinned;
    x509_search_run(search, chain->setup->port, chain->setup->port_context);
}

/* Whether a name of a certificate is the host's (RFC 6125 6.4): the same, or
 * with "*" as the whole of its first label, and two labels after it. */
static bool tls_same_host(const char *host, size_t host_len, const char *name,
                          size_t len)
{
    const char *rest = memchr(host, '.', host_len);
    size_t rest_len;

    if (lssb_same_name(host, host_len, name, len))
        return true;
    if (rest == NULL || rest == host || len < 3 || name[0] != '*' ||
        name[1] != '.' || memchr(name + 2, '.', len - 2) == NULL)
        return false;
    rest_len = host_len - (size_t)(rest - host);
    return lssb_same_name(rest, rest_len, name + 1, len - 1);
}

/* Adds an address of a certificate to those that it is for. */
static void tls_say_address(struct lssb_text *text, const uint8_t *bytes,
                            size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char digits[5];
    size_t i;

    for (i = 0; len == 4 && i < 4; i++) {
        lssb_text_add(text, i > 0 ? "." : "");
        lssb_text_add_u64(text, bytes[i]);
    }
    for (i = 0; len == 16 && i < 16; i += 2) {
        digits[0] = hex[bytes[i] >> 4];
        digits[1] = hex[bytes[i] & 15];
        digits[2] = hex[bytes[i + 1] >> 4];
        digits[3] = hex[bytes[i + 1] & 15];
        digits[4] = i < 14 ? ':' : '\0';
        lssb_text_add_n(text, digits, i < 14 ? 5 : 4);
    }
    if (len != 4 && len != 16)
        lssb_text_add(text, "an address of no known kind");
}

/* Length of the host without the dot that may end it. */
static size_t tls_host_len(const char *host)
{
    size_t len = strlen(host);

    return len > 1 && host[len - 1] == '.' ? len - 1 : len;
}

/* Compares a name of the host's own certificate with the host. An address
 * counts for an address only, a name for a name. */
static void tls_check_host(struct tls_chain *chain)
{
    const struct x509_walk *walk = &chain->walk;
    const char *host = chain->setup->host;
    size_t len = chain->address.family == 4 ? 4 : 16;

    if (chain->hosts.len > 0)
        lssb_text_add(&chain->hosts, ", ");
    if (walk->is_address)
        tls_say_address(&chain->hosts, walk->value, walk->value_len);
    else
        x509_say_foreign(&chain->hosts, walk->value, walk->value_len);
    if (walk->is_address != chain->by_address)
        return;
    if (chain->by_address ? walk->value_len == len &&
                            memcmp(walk->value, chain->address.bytes, len) == 0
                          : tls_same_host(host, tls_host_len(host),
                                          (const char *)walk->value,
                                          walk->value_len))
        chain->host_found = true;
}

/* Refuses a certificate for other hosts: asked and found. */
static void tls_refuse_host(struct tls_chain *chain)
{
    struct lssb_text text;

    chain->refused = BR_ERR_X509_BAD_SERVER_NAME;
    tls_error(chain->setup, &text, LSSB_E_CERTIFICATE, chain->refused);
    if (chain->hosts.len == 0) {
        lssb_text_add(&text, "the certificate names no host (a common name "
                             "does not count), ");
    } else {
        lssb_text_add(&text, "the certificate is for ");
        lssb_text_add_n(&text, chain->hosts_text, chain->hosts.len);
        lssb_text_add(&text, chain->hosts.cut ? " and others, " : ", ");
    }
    lssb_text_add(&text, "not for ");
    lssb_text_add(&text, chain->setup->host);
}

/* The rules for a whole certificate that minimal lacks. */
static void tls_check_certificate(struct tls_chain *chain)
{
    const struct x509_walk *walk = &chain->walk;

    if (walk->constrained)
        tls_refuse_for(chain, BR_ERR_X509_CRITICAL_EXTENSION,
                       "has name constraints, which are not supported");
    else if (walk->purposes && !walk->for_servers)
        tls_refuse_for(chain, BR_ERR_X509_FORBIDDEN_KEY_USAGE,
                       "is not for servers (extended key usage)");
    else if (chain->count == 1 && !chain->host_found)
        tls_refuse_host(chain);
}

/* Refuses what cannot be read. */
static void tls_refuse_unread(struct tls_chain *chain)
{
    tls_refuse_for(chain, BR_ERR_X509_INVALID_VALUE, "cannot be read");
}

/* Walks over a piece of a certificate. */
static void tls_chain_walk(struct tls_chain *chain, const uint8_t *bytes,
                           size_t len)
{
    size_t at = 0, used;

    while (at < len && chain->refused == 0) {
        if (chain->complete) {
            tls_refuse_unread(chain);
            return;
        }
        switch (x509_next(&chain->walk, bytes + at, len - at, &used)) {
        case X509_MORE:
            break;
        case X509_SUBJECT:
            tls_check_dates(chain);
            break;
        case X509_KEY:
            tls_search(chain);
            break;
        case X509_NAME:
            if (chain->count == 1)
                tls_check_host(chain);
            break;
        case X509_DONE:
            chain->complete = true;
            break;
        case X509_WRONG:
            tls_refuse_unread(chain);
            break;
        }
        at += used;
    }
}

/* Whether there is nothing more to decide. */
static bool tls_decided(const struct tls_chain *chain)
{
    return chain->refused != 0 || chain->trusted;
}

/* The wrapper, from the pointer that BearSSL has to it. */
static struct tls_chain *tls_chain_of(const br_x509_class **ctx)
{
    return (struct tls_chain *)(void *)ctx;
}

static void tls_start_chain(const br_x509_class **ctx, const char *name)
{
    struct tls_chain *chain = tls_chain_of(ctx);

    chain->started = true;
    chain->count = 0;
    chain->refused = 0;
    chain->trusted = chain->pinned = chain->host_found = false;
    lssb_text_start(&chain->hosts, chain->hosts_text,
                    sizeof chain->hosts_text);
    chain->minimal.vtable->start_chain(&chain->minimal.vtable, name);
}

static void tls_start_certificate(const br_x509_class **ctx, uint32_t len)
{
    struct tls_chain *chain = tls_chain_of(ctx);
    struct x509_walk *walk = &chain->walk;

    if (tls_decided(chain))
        return;
    chain->count++;
    chain->complete = false;
    x509_start(walk);
    walk->issuer.at = chain->issuer;
    walk->subject.at = chain->subject;
    walk->issuer.size = walk->subject.size = X509_VALUE;
    if (chain->count > TLS_CHAIN_LIMIT)
        tls_refuse_for(chain, BR_ERR_X509_LIMIT_EXCEEDED,
                       "is one of more than 10");
    else
        chain->minimal.vtable->start_cert(&chain->minimal.vtable, len);
}

/* The walk goes first: it searches the anchors that minimal needs by the end
 * of the certificate. */
static void tls_append(const br_x509_class **ctx, const unsigned char *bytes,
                       size_t len)
{
    struct tls_chain *chain = tls_chain_of(ctx);

    if (tls_decided(chain))
        return;
    tls_chain_walk(chain, bytes, len);
    if (chain->refused == 0)
        chain->minimal.vtable->append(&chain->minimal.vtable, bytes, len);
}

/* Before the end of the chain, minimal gives a key only when it has reached an
 * anchor: what the server sends behind that certificate is on no path. */
static void tls_end_certificate(const br_x509_class **ctx)
{
    struct tls_chain *chain = tls_chain_of(ctx);
    const br_x509_class **minimal = &chain->minimal.vtable;
    unsigned usages;

    if (tls_decided(chain))
        return;
    if (!chain->complete)
        tls_refuse_unread(chain);
    else
        tls_check_certificate(chain);
    (*minimal)->end_cert(minimal);
    if (chain->refused == 0 && (*minimal)->get_pkey(minimal, &usages) != NULL)
        chain->trusted = true;
}

/* Says why an anchor with the right name did not count. */
static void tls_say_reject(const struct tls_chain *chain,
                           struct lssb_text *text)
{
    static const char *const words[] = {
        "", "has a key that is not supported", "", "is not for servers "
        "(extended key usage)", "has name constraints, which are not "
        "supported", "allows fewer certificates below it",
        "is not valid before ", "expired on "
    };
    const struct x509_search *search = &chain->search;

    if (search->reject == X509_NOT_PINNED) {
        lssb_text_add(text, "none of the pinned keys is on the path of ");
        lssb_text_add(text, chain->setup->host);
        return;
    }
    lssb_text_add(text, "the trusted certificate of ");
    x509_say_name(text, tls_copied(&chain->walk.issuer));
    lssb_text_add(text, ", above ");
    lssb_text_add(text, chain->setup->host);
    lssb_text_add(text, ", ");
    lssb_text_add(text, words[search->reject]);
    if (search->reject == X509_TOO_LATE || search->reject == X509_TOO_EARLY)
        x509_say_date(text, search->reject_time);
}

/* Says what could not be read, if anything: it may be the reason. */
static void tls_say_unreadable(const struct tls_chain *chain,
                               struct lssb_text *text)
{
    if (chain->search.io == LSSB_IO_OK)
        return;
    chain->setup->error->system_code = chain->search.io_code;
    if (chain->search.file_failed) {
        lssb_text_add(text, "; the certificates in ");
        lssb_text_add(text, chain->setup->trust->file);
        lssb_text_add(text, " could not be read");
    } else {
        lssb_text_add(text, "; the system's certificates could not be read");
    }
}

/* Refuses a chain that led to nothing trusted: whose it is. */
static void tls_refuse_untrusted(struct tls_chain *chain)
{
    const struct x509_slice issuer = tls_copied(&chain->walk.issuer);
    const struct x509_slice subject = tls_copied(&chain->walk.subject);
    struct lssb_text text;

    chain->refused = BR_ERR_X509_NOT_TRUSTED;
    tls_error(chain->setup, &text, LSSB_E_CERTIFICATE, chain->refused);
    if (chain->search.count == 0 && chain->search.reject != X509_FINE) {
        tls_say_reject(chain, &text);
        return;
    }
    tls_say_whose(chain, &text);
    if (chain->search.count > 0) {
        lssb_text_add(&text, "names as its issuer ");
        x509_say_name(&text, issuer);
        lssb_text_add(&text, ", which did not sign it");
    } else if (issuer.len == subject.len &&
               memcmp(issuer.at, subject.at, issuer.len) == 0) {
        lssb_text_add(&text, "is self-signed, and not trusted");
    } else {
        lssb_text_add(&text, "is issued by ");
        x509_say_name(&text, issuer);
        lssb_text_add(&text, ", which is not trusted");
    }
    tls_say_unreadable(chain, &text);
}

/* Names an algorithm that minimal does not take, if that was the reason. */
static void tls_refuse_unsupported(struct tls_chain *chain)
{
    const struct x509_walk *walk = &chain->walk;
    struct lssb_text text;
    size_t i;

    tls_refuse(chain, BR_ERR_X509_UNSUPPORTED, &text);
    for (i = 0; i < sizeof tls_algorithms / sizeof tls_algorithms[0]; i++) {
        if (walk->algorithm_len == tls_algorithms[i].len &&
            memcmp(walk->algorithm, tls_algorithms[i].oid,
                   walk->algorithm_len) == 0) {
            lssb_text_add(&text, "is signed by way of ");
            lssb_text_add(&text, tls_algorithms[i].name);
            lssb_text_add(&text, ", which is not taken");
            return;
        }
    }
    lssb_text_add(&text, "has a key or a signature of a kind that is not "
                         "supported");
}

/* Puts minimal's verdict into words. */
static void tls_refuse_code(struct tls_chain *chain, int32_t code)
{
    const char *words = TLS_WORDS(tls_certificate_words, code);

    if (code == BR_ERR_X509_NOT_TRUSTED)
        tls_refuse_untrusted(chain);
    else if (code == BR_ERR_X509_UNSUPPORTED)
        tls_refuse_unsupported(chain);
    else if (code == BR_ERR_X509_CRITICAL_EXTENSION)
        tls_refuse_for(chain, code, chain->walk.critical_purposes
                       ? "has an extended key usage that is marked critical, "
                         "which is not supported"
                       : "has a critical extension that is not known");
    else
        tls_refuse_for(chain, code, words != NULL ? words : "cannot be read");
}

static unsigned tls_end_chain(const br_x509_class **ctx)
{
    struct tls_chain *chain = tls_chain_of(ctx);
    const br_x509_class **minimal = &chain->minimal.vtable;
    unsigned code = (*minimal)->end_chain(minimal);

    if (chain->refused == 0 && code != 0)
        tls_refuse_code(chain, (int32_t)code);
    else if (chain->refused == 0 && !chain->trusted)
        tls_refuse_untrusted(chain);
    return (unsigned)chain->refused;
}

/* The server's key: of a chain that holds, only. */
static const br_x509_pkey *tls_get_key(const br_x509_class *const *ctx,
                                       unsigned *usages)
{
    const struct tls_chain *chain = (const void *)ctx;

    if (chain->refused != 0 || !chain->trusted)
        return NULL;
    return chain->minimal.vtable->get_pkey(&chain->minimal.vtable, usages);
}

static const br_x509_class tls_chain_class = {
    sizeof(struct tls_chain), tls_start_chain, tls_start_certificate,
    tls_append, tls_end_certificate, tls_end_chain, tls_get_key
};

/* Prepares the wrapper, and minimal inside it. The slots of the search are
 * minimal's anchors from the start; an empty one matches nothing. SHA-1 is
 * not among the hashes. */
static void tls_chain_prepare(struct tls_chain *chain,
                              const lssb_tls_setup *setup, int64_t now)
{
    br_x509_minimal_context *minimal = &chain->minimal;

    memset(chain, 0, sizeof *chain);
    chain->vtable = &tls_chain_class;
    chain->setup = setup;
    chain->now = now;
    chain->by_address = lssb_parse_address(setup->host, strlen(setup->host),
                                           &chain->address);
    br_x509_minimal_init(minimal, &br_sha256_vtable, chain->search.anchors,
                         X509_SLOTS);
    br_x509_minimal_set_hash(minimal, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(minimal, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(minimal, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_rsa(minimal, br_rsa_pkcs1_vrfy_get_default());
    br_x509_minimal_set_ecdsa(minimal, br_ec_get_default(),
                              br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_minrsa(minimal, X509_MIN_RSA);
    br_x509_minimal_set_time(minimal, (uint32_t)(now / 86400 + 719528),
                             (uint32_t)(now % 86400));
}

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
    struct lssb_text text;

    if (wrong == NULL && (trust->anchors == NULL) != (trust->anchors_len == 0))
        wrong = "trust.anchors and trust.anchors_len need each other";
    if (wrong == NULL && trust->only && trust->anchors == NULL &&
        trust->file == NULL)
        wrong = "trust.only leaves nobody to trust: set file or anchors";
    if (wrong == NULL && trust->pin_count > 0 && trust->pins == NULL)
        wrong = "trust.pins is NULL, but trust.pin_count is not 0";
    if (wrong == NULL)
        return LSSB_OK;
    error->status = LSSB_E_INVALID_ARGUMENT;
    error->layer = LSSB_LAYER_CALLER;
    lssb_text_start(&text, error->message, sizeof error->message);
    lssb_text_add(&text, wrong);
    return LSSB_E_INVALID_ARGUMENT;
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
    struct own_reader reader;

    memset(&reader, 0, sizeof reader);
    reader.chain = own->chain;
    reader.to = (uint8_t *)(own + 1);
    reader.size = room;
    own_read(&reader, trust);
    if (reader.wrong != NULL || reader.len > room ||
        own_key(&own->key, trust) != NULL)
        return;
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

/* Ends a session with an error, for good. */
static lssb_status tls_fail(struct tls_session *session,
                            struct lssb_text *text, lssb_status status,
                            int32_t code)
{
    session->ended = status;
    tls_error(session->setup, text, status, code);
    return status;
}

/* Refuses to start without a clock: every certificate would look as if it
 * were not valid yet. */
static lssb_status tls_no_clock(struct tls_session *session, int64_t now)
{
    struct lssb_text text;

    tls_fail(session, &text, LSSB_E_CERTIFICATE, BR_ERR_X509_TIME_UNKNOWN);
    lssb_text_add(&text, "the clock is not set: it says ");
    x509_say_date(&text, now);
    return session->ended;
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
    char *name = (char *)session->chain.subject;

    if (session->chain.by_address)
        host = NULL;
    else if (lssb_copy(name, sizeof session->chain.subject, host,
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
    struct lssb_text text;

    memset(session, 0, sizeof *session);
    session->setup = setup;
    session->protocols[0] = "http/1.1";
    if (setup->memory_size < tls_session_size(setup->trust)) {
        tls_fail(session, &text, LSSB_E_NO_MEMORY, 0);
        lssb_text_add(&text, "the TLS session has too little memory");
        return session->ended;
    }
    if (now < LSSB_CLOCK_FLOOR)
        return tls_no_clock(session, now);
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
    tls_fail(session, &text, LSSB_E_PROTOCOL, br_ssl_engine_last_error(engine));
    lssb_text_add(&text, "TLS could not start: no randomness, or a host name "
                         "that is too long");
    return session->ended;
}

/* ------------------------------------------------------------ moving bytes */

/* Says how TCP ended under a session. */
static lssb_status tls_cut(struct tls_session *session, ptrdiff_t io)
{
    struct lssb_text text;

    tls_fail(session, &text, LSSB_E_CONNECTION, 0);
    lssb_text_add(&text, session->setup->host);
    lssb_text_add(&text, io == 0               ? " ended the connection"
                         : io == LSSB_IO_RESET ? " reset the connection"
                                               : ": the connection failed");
    if (!session->open)
        lssb_text_add(&text, " during the TLS handshake");
    else if (io == 0)
        lssb_text_add(&text, " without a word (no close_notify)");
    return session->ended;
}

/* Says what an alert of the server's means. */
static void tls_say_alert(struct lssb_text *text, int32_t alert)
{
    const char *words = TLS_WORDS(tls_alert_words, alert);

    lssb_text_add(text, "the server ended TLS with alert ");
    lssb_text_add_i64(text, alert);
    lssb_text_add(text, ": ");
    lssb_text_add(text, words != NULL ? words : "unknown");
}

/* Says how the engine ended. A chain that was refused has said it already. */
static lssb_status tls_closed(struct tls_session *session)
{
    int32_t code = br_ssl_engine_last_error(&session->client.eng);
    const char *words = TLS_WORDS(tls_engine_words, code);
    struct lssb_text text;

    if (code == BR_ERR_OK && session->open)
        return session->ended = LSSB_END;
    if (code == BR_ERR_OK)
        return tls_cut(session, 0);
    if (session->chain.refused != 0)
        return session->ended = LSSB_E_CERTIFICATE;
    if (code == BR_ERR_WRONG_KEY_USAGE) {
        tls_refuse_code(&session->chain, code);
        return session->ended = LSSB_E_CERTIFICATE;
    }
    tls_fail(session, &text, LSSB_E_PROTOCOL, code);
    if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT) {
        tls_say_alert(&text, code - BR_ERR_RECV_FATAL_ALERT);
    } else {
        lssb_text_add(&text, "TLS with ");
        lssb_text_add(&text, session->setup->host);
        lssb_text_add(&text, " failed: ");
        lssb_text_add(&text, words != NULL ? words : "BearSSL's error ");
        if (words == NULL)
            lssb_text_add_i64(&text, code);
    }
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
    if (n > 0)
        br_ssl_engine_recvrec_ack(engine, (size_t)n);
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

    return session->open && session->resuming && !session->chain.started;
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
    tls_reserve, tls_commit, tls_flush, tls_sent, tls_close, tls_save
};

const lssb_tls_backend *const lssb_default_tls = &tls_bearssl;
