/* tls_bearssl_chain.c: BearSSL's part in judging a chain, for tls_bearssl.c,
 * which includes this.
 *
 * SPDX-License-Identifier: MIT
 *
 * A br_x509_class around br_x509_minimal. Each certificate passes through the
 * rules of tls_judge.c first, which have the anchors searched that minimal
 * needs by its end, and then through minimal. Both must be content.
 */

struct tls_chain {
    const br_x509_class *vtable;    /* first, as BearSSL wants it */
    br_x509_minimal_context minimal;
    br_x509_trust_anchor anchors[X509_SLOTS];   /* minimal's */
    struct tls_judge judge;
};

/* A key as BearSSL has it. */
static void tls_bearssl_key(const struct x509_public *from, br_x509_pkey *to)
{
    static const uint8_t curves[] = {
        0, BR_EC_secp256r1, BR_EC_secp384r1, BR_EC_secp521r1
    };

    memset(to, 0, sizeof *to);
    if (from->curve != X509_NO_CURVE) {
        to->key_type = BR_KEYTYPE_EC;
        to->key.ec.curve = curves[from->curve];
        to->key.ec.q = x509_writable(from->point.at);
        to->key.ec.qlen = from->point.len;
        return;
    }
    to->key_type = BR_KEYTYPE_RSA;
    to->key.rsa.n = x509_writable(from->n.at);
    to->key.rsa.nlen = from->n.len;
    to->key.rsa.e = x509_writable(from->e.at);
    to->key.rsa.elen = from->e.len;
}

/* Gives minimal the anchors that a search found. An empty one matches
 * nothing. */
static void tls_bearssl_anchors(struct tls_chain *chain)
{
    const struct x509_search *search = &chain->judge.search;
    const struct x509_slice *name;
    br_x509_trust_anchor *to = chain->anchors;
    size_t i;

    memset(chain->anchors, 0, sizeof chain->anchors);
    for (i = 0; i < search->count; i++, to++) {
        name = search->anchors[i].ca ? &search->issuer : &search->subject;
        to->dn.data = x509_writable(name->at);
        to->dn.len = name->len;
        to->flags = search->anchors[i].ca ? BR_X509_TA_CA : 0;
        tls_bearssl_key(&search->anchors[i].key, &to->pkey);
    }
}

/* The wrapper, from the pointer that BearSSL has to it. */
static struct tls_chain *tls_chain_of(const br_x509_class **ctx)
{
    return (struct tls_chain *)(void *)ctx;
}

static void tls_start_chain(const br_x509_class **ctx, const char *name)
{
    struct tls_chain *chain = tls_chain_of(ctx);

    tls_judge_begin(&chain->judge);
    chain->minimal.vtable->start_chain(&chain->minimal.vtable, name);
}

static void tls_start_certificate(const br_x509_class **ctx, uint32_t len)
{
    struct tls_chain *chain = tls_chain_of(ctx);

    if (!tls_decided(&chain->judge) && tls_judge_next(&chain->judge))
        chain->minimal.vtable->start_cert(&chain->minimal.vtable, len);
}

/* The walk goes first: it searches the anchors that minimal needs by the end
 * of the certificate. */
static void tls_append(const br_x509_class **ctx, const unsigned char *bytes,
                       size_t len)
{
    struct tls_chain *chain = tls_chain_of(ctx);

    if (tls_decided(&chain->judge))
        return;
    tls_judge_walk(&chain->judge, bytes, len);
    tls_bearssl_anchors(chain);
    if (chain->judge.refused == 0)
        chain->minimal.vtable->append(&chain->minimal.vtable, bytes, len);
}

/* Before the end of the chain, minimal gives a key only when it has reached an
 * anchor: what the server sends behind that certificate is on no path. */
static void tls_end_certificate(const br_x509_class **ctx)
{
    struct tls_chain *chain = tls_chain_of(ctx);
    const br_x509_class **minimal = &chain->minimal.vtable;
    unsigned usages;

    if (tls_decided(&chain->judge))
        return;
    tls_judge_end(&chain->judge);
    (*minimal)->end_cert(minimal);
    if (chain->judge.refused == 0 &&
        (*minimal)->get_pkey(minimal, &usages) != NULL)
        chain->judge.trusted = true;
}

static unsigned tls_end_chain(const br_x509_class **ctx)
{
    struct tls_chain *chain = tls_chain_of(ctx);
    struct tls_judge *judge = &chain->judge;
    const br_x509_class **minimal = &chain->minimal.vtable;
    unsigned code = (*minimal)->end_chain(minimal);

    if (judge->refused == 0 && code != 0)
        tls_refuse_code(judge, (int32_t)code);
    else if (judge->refused == 0 && !judge->trusted)
        tls_refuse_untrusted(judge);
    return (unsigned)judge->refused;
}

/* The server's key: of a chain that holds, only. */
static const br_x509_pkey *tls_get_key(const br_x509_class *const *ctx,
                                       unsigned *usages)
{
    const struct tls_chain *chain = (const void *)ctx;

    if (chain->judge.refused != 0 || !chain->judge.trusted)
        return NULL;
    return chain->minimal.vtable->get_pkey(&chain->minimal.vtable, usages);
}

static const br_x509_class tls_chain_class = {
    sizeof(struct tls_chain), tls_start_chain, tls_start_certificate,
    tls_append, tls_end_certificate, tls_end_chain, tls_get_key
};

/* Prepares the wrapper, and minimal inside it. SHA-1 is not among the
 * hashes. */
static void tls_chain_prepare(struct tls_chain *chain,
                              const lssb_tls_setup *setup, int64_t now)
{
    br_x509_minimal_context *minimal = &chain->minimal;

    memset(chain, 0, sizeof *chain);
    chain->vtable = &tls_chain_class;
    tls_judge_prepare(&chain->judge, setup, now);
    br_x509_minimal_init(minimal, &br_sha256_vtable, chain->anchors,
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
