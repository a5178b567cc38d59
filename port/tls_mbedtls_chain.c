/* tls_mbedtls_chain.c: mbedTLS's part in judging a chain, for tls_mbedtls.c,
 * which includes this.
 *
 * SPDX-License-Identifier: MIT
 *
 * The rules are those of tls_judge.c. What BearSSL's minimal engine adds with
 * that backend stands here: names that follow one another, authority, key
 * usage, strength, signatures (by mbedTLS). All is read from the bytes that
 * were sent, in their order; mbedTLS, which has parsed them before, finds no
 * paths. The anchors come from the search, a key at a time: no bundle and no
 * anchor is ever loaded.
 */

#define TLS_NO_SIGNATURE (-1)       /* no code of mbedTLS's */

/* Signatures that are taken (RFC 8017 A.2.4, RFC 5758 3.2). */
static const struct tls_signature {
    const char *oid;
    uint8_t len;
    bool rsa;
    mbedtls_md_type_t hash;
} tls_signatures[] = {
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B", 9, true, MBEDTLS_MD_SHA256 },
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0C", 9, true, MBEDTLS_MD_SHA384 },
    { "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0D", 9, true, MBEDTLS_MD_SHA512 },
    { "\x2A\x86\x48\xCE\x3D\x04\x03\x02", 8, false, MBEDTLS_MD_SHA256 },
    { "\x2A\x86\x48\xCE\x3D\x04\x03\x03", 8, false, MBEDTLS_MD_SHA384 },
    { "\x2A\x86\x48\xCE\x3D\x04\x03\x04", 8, false, MBEDTLS_MD_SHA512 }
};

/* A certificate in its three parts. */
struct tls_signed {
    struct x509_slice body;         /* what is signed, header included */
    struct x509_slice bits;         /* the signature */
    const struct tls_signature *by; /* NULL: by a way that is not taken */
};

static struct x509_slice tls_slice(const mbedtls_x509_buf *from)
{
    struct x509_slice slice;

    slice.at = from->p;
    slice.len = from->len;
    return slice;
}

/* Takes a certificate apart. */
static bool tls_take_apart(const mbedtls_x509_crt *certificate,
                           struct tls_signed *out)
{
    struct x509_slice all = tls_slice(&certificate->raw);
    struct x509_slice parts, content, algorithm, oid;
    size_t i;

    out->by = NULL;
    if (!x509_take(&all, 0x30, &parts) || all.len != 0)
        return false;
    out->body.at = parts.at;
    if (!x509_take(&parts, 0x30, &content))
        return false;
    out->body.len = (size_t)(parts.at - out->body.at);
    if (!x509_take(&parts, 0x30, &algorithm) ||
        !x509_take(&algorithm, 0x06, &oid) ||
        !x509_take(&parts, 0x03, &out->bits) || out->bits.len < 2 ||
        out->bits.at[0] != 0)
        return false;
    out->bits.at++;
    out->bits.len--;
    for (i = 0; i < sizeof tls_signatures / sizeof tls_signatures[0]; i++)
        if (x509_is(&oid, tls_signatures[i].oid, tls_signatures[i].len))
            out->by = &tls_signatures[i];
    return true;
}

/* Whether an ECDSA signature's lengths are written as BearSSL takes them, which
 * is nearly as DER wants them; mbedTLS takes longer ones, too. */
static bool tls_is_short(struct x509_slice bits)
{
    struct x509_slice pair, number;

    if (bits.len < 2 || bits.at[1] > 0x81 ||
        !x509_take(&bits, 0x30, &pair) || pair.len < 2 || pair.at[1] >= 0x80)
        return false;
    return x509_take(&pair, 0x02, &number) && pair.len >= 2 &&
           pair.at[1] < 0x80;
}

/* Whether mbedTLS failed for want of memory: the code of a module, or of what
 * it called (error.h). */
static bool tls_is_starved(int code)
{
    static const int modules[] = { 0x2880, 0x3F80, 0x4D80, 0x5180, 0x7F00 };
    size_t i;

    for (i = 0; i < sizeof modules / sizeof modules[0]; i++)
        if ((-code & 0x7F80) == modules[i])
            return true;
    return (-code & 0x7F) == 0x10 || (-code & 0x7F) == 0x6A;
}

/* Whether a key, a SubjectPublicKeyInfo, has signed a certificate: 0, or an
 * error, mbedTLS's own if it is one. */
static int tls_has_signed(struct x509_slice info,
                          const struct tls_signed *what)
{
    unsigned char *at = x509_writable(info.at);
    const mbedtls_md_info_t *hash;
    unsigned char digest[MBEDTLS_MD_MAX_SIZE];
    mbedtls_pk_context key;
    int code = TLS_NO_SIGNATURE;

    if (what->by == NULL || (!what->by->rsa && !tls_is_short(what->bits)))
        return code;
    mbedtls_pk_init(&key);
    hash = mbedtls_md_info_from_type(what->by->hash);
    if (hash != NULL)
        code = mbedtls_pk_parse_subpubkey(&at, info.at + info.len, &key);
    if (code == 0 && !mbedtls_pk_can_do(&key, what->by->rsa ? MBEDTLS_PK_RSA
                                                            : MBEDTLS_PK_ECDSA))
        code = TLS_NO_SIGNATURE;
    if (code == 0)
        code = mbedtls_md(hash, what->body.at, what->body.len, digest);
    if (code == 0)
        code = mbedtls_pk_verify(&key, what->by->hash, digest, 0,
                                 what->bits.at, what->bits.len);
    mbedtls_pk_free(&key);
    return code;
}

/* Why a certificate whose signature came to nothing is refused. */
static int32_t tls_signature_wrong(int code)
{
    return code == 0 ? 0 : tls_is_starved(code) ? MBEDTLS_ERR_SSL_ALLOC_FAILED
                                                : TLS_BAD_SIGNATURE;
}

/* What is wrong with a certificate by itself, or 0. */
static int32_t tls_certificate_wrong(const struct tls_judge *judge,
                                     const struct x509_public *key,
                                     const struct tls_signed *parts)
{
    const struct x509_walk *walk = &judge->walk;

    if (walk->critical_purposes || walk->critical_other)
        return TLS_CRITICAL;
    if (x509_is_weak(key))
        return TLS_WEAK_KEY;
    if (key->n.len > X509_MAX_RSA)
        return TLS_TOO_MUCH;
    if (parts->by == NULL)
        return TLS_UNSUPPORTED;
    if (judge->count == 1 && walk->usage && !walk->for_tls)
        return TLS_KEY_NOT_FOR_TLS;
    return 0;
}

/* What is wrong with a certificate as the issuer of the one before, or 0. The
 * authorities below it are all but the server's own. */
static int32_t tls_issuer_wrong(const struct tls_judge *judge,
                                const mbedtls_x509_crt *below,
                                const mbedtls_x509_crt *issuer)
{
    const struct x509_walk *walk = &judge->walk;
    struct x509_slice wanted = tls_slice(&below->issuer_raw);
    struct x509_slice name = tls_slice(&issuer->subject_raw);
    struct tls_signed parts;

    if (!x509_same(&wanted, &name))
        return TLS_OUT_OF_ORDER;
    if (!walk->authority ||
        (walk->has_path && walk->path < judge->count - 2))
        return TLS_NO_AUTHORITY;
    if (walk->usage && !walk->may_sign)
        return TLS_NOT_FOR_THAT;
    if (!tls_take_apart(below, &parts))
        return TLS_BAD_SIGNATURE;
    return tls_signature_wrong(tls_has_signed(tls_slice(&issuer->pk_raw),
                                              &parts));
}

/* Looks whether an anchor that was found is the certificate's issuer or, for
 * one that is no authority, has the server's own name and key. If that cannot
 * be said, the reason. */
static int32_t tls_end_path(struct tls_judge *judge,
                            const struct x509_public *key,
                            const struct tls_signed *parts)
{
    const struct x509_search *search = &judge->search;
    size_t i;
    int code;

    for (i = 0; i < search->count && !judge->trusted; i++) {
        if (search->anchors[i].ca) {
            code = tls_has_signed(search->anchors[i].info, parts);
            if (tls_is_starved(code))
                return tls_signature_wrong(code);
            judge->trusted = code == 0;
        } else {
            judge->trusted = x509_same_key(&search->anchors[i].key, key);
        }
    }
    return 0;
}

/* Judges the next certificate; `below` is the one before, or NULL. */
static void tls_judge_one(struct tls_judge *judge,
                          const mbedtls_x509_crt *below,
                          const mbedtls_x509_crt *certificate)
{
    struct x509_public key;
    struct tls_signed parts;
    int32_t wrong;

    if (!tls_judge_next(judge))
        return;
    tls_judge_walk(judge, certificate->raw.p, certificate->raw.len);
    if (judge->refused == 0)
        tls_judge_end(judge);
    if (judge->refused != 0)
        return;
    if (!tls_take_apart(certificate, &parts)) {
        tls_refuse_unread(judge);
        return;
    }
    wrong = x509_key(tls_slice(&certificate->pk_raw), &key)
                ? tls_certificate_wrong(judge, &key, &parts)
                : TLS_UNSUPPORTED;
    if (wrong == 0 && below != NULL)
        wrong = tls_issuer_wrong(judge, below, certificate);
    if (wrong == 0)
        wrong = tls_end_path(judge, &key, &parts);
    if (wrong == MBEDTLS_ERR_SSL_ALLOC_FAILED)
        tls_refuse_for(judge, wrong, "cannot be judged: " TLS_STARVED);
    else if (wrong != 0)
        tls_refuse_code(judge, wrong);
}

/* Judges what the server sent, until an anchor is reached. */
static void tls_judge_chain(struct tls_judge *judge,
                            const mbedtls_x509_crt *chain)
{
    const mbedtls_x509_crt *below = NULL;

    for (; chain != NULL && chain->raw.len > 0; chain = chain->next) {
        tls_judge_one(judge, below, chain);
        if (tls_decided(judge))
            return;
        below = chain;
    }
    if (below == NULL)
        tls_refuse_code(judge, TLS_NO_CERTIFICATE);
    else
        tls_refuse_untrusted(judge);
}

/* How long the Certificate message is that is being read, its header not
 * counted, and what comes in it with each certificate beside its length of
 * three bytes. In TLS 1.3 it is encrypted, so that mbedTLS must say it; of
 * extensions we have asked for none (RFC 8446 4.4.2). */
static size_t tls_message_len(const struct tls_session *session, size_t *extra)
{
    *extra = 0;
#ifdef TLS_HAS_1_3
    if (mbedtls_ssl_get_version_number(&session->ssl) ==
        MBEDTLS_SSL_VERSION_TLS1_3) {
        *extra = 2;
        return session->ssl.TLS_FIELD(in_hslen) - 4 - 1;
    }
#endif
    return session->wire.certificates;
}

/* Whether the certificates are all that the server sent: mbedTLS skips one
 * whose algorithm it does not know, and what stands behind one. */
static bool tls_is_all(const struct tls_session *session,
                       const mbedtls_x509_crt *chain)
{
    size_t extra, message = tls_message_len(session, &extra);
    size_t len = 3;

    for (; chain != NULL && chain->raw.len > 0; chain = chain->next)
        len += 3 + chain->raw.len + extra;
    return len == message;
}

#define TLS_SKIPPED "is signed in a way that is not supported"

/* Refuses a chain of which mbedTLS has skipped a certificate: whose it is,
 * nobody says. */
static void tls_refuse_skipped(struct tls_judge *judge)
{
    struct lssb_text text;

    judge->refused = TLS_UNSUPPORTED;
    tls_error(judge->setup, &text, LSSB_E_CERTIFICATE, judge->refused);
    lssb_text_add(&text, "a certificate in the chain of ");
    lssb_text_add(&text, judge->setup->host);
    lssb_text_add(&text, " " TLS_SKIPPED);
}

/* mbedTLS asks for each certificate of the path that it sees, the server's
 * own last: then all are judged. What it thinks of them itself, without an
 * anchor and with the system's clock, does not count. */
static int tls_verify(void *ctx, mbedtls_x509_crt *certificate, int depth,
                      uint32_t *flags)
{
    struct tls_session *session = ctx;
    struct tls_judge *judge = &session->judge;

    if (depth != 0)
        return 0;
    tls_judge_begin(judge);
    if (!tls_is_all(session, certificate))
        tls_refuse_skipped(judge);
    else
        tls_judge_chain(judge, certificate);
    if (judge->refused != 0 || !judge->trusted)
        return MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
    *flags = 0;
    return 0;
}
