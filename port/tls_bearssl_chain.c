/* tls_bearssl_chain.c: the judge of a chain, for tls_bearssl.c, which includes
 * this.
 *
 * SPDX-License-Identifier: MIT
 *
 * A br_x509_class around br_x509_minimal. Each certificate passes through the
 * walk first, which has the anchors searched that minimal needs by its end,
 * and then through minimal. Both must be content. The rules, with the test of
 * each, are in SECURITY.md.
 */

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

/* -------------------------------------------------------------- the chain */

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
    if (chain->search.count > 0 &&
        (chain->search.anchors[0].flags & BR_X509_TA_CA) != 0) {
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
    struct x509_slice algorithm, oid;
    struct lssb_text text;
    size_t i;

    algorithm.at = chain->walk.algorithm;
    algorithm.len = sizeof chain->walk.algorithm;
    oid.len = 0;
    x509_take(&algorithm, 0x06, &oid);
    tls_refuse(chain, BR_ERR_X509_UNSUPPORTED, &text);
    for (i = 0; i < sizeof tls_algorithms / sizeof tls_algorithms[0]; i++) {
        if (x509_is(&oid, tls_algorithms[i].oid, tls_algorithms[i].len)) {
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
