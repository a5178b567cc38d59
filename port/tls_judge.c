/* tls_judge.c: the rules for a chain, for the backends, which include this.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each certificate of a chain is walked over, the server's own first, and has
 * the anchors searched that may have issued it. What a TLS library leaves open
 * is decided here: hosts and addresses, dates by the port's clock, extended
 * key usage, name constraints, pins. Signatures are the backend's business.
 * The rules, with the test of each, are in SECURITY.md.
 */

/* What a library found wrong with a certificate, after "the certificate of
 * HOST". What it shares with the checks below is told better there. */
static const struct tls_words tls_certificate_words[] = {
    { TLS_NO_CERTIFICATE, "is missing: the server sent none" },
    { TLS_TOO_MUCH, "has a key of more than 4096 bits" },
    { TLS_WRONG_KEY, "is not signed by its issuer" },
    { TLS_BAD_SIGNATURE, "is not signed by its issuer" },
    { TLS_NO_CLOCK, "cannot be judged without a clock" },
    { TLS_NOT_NOW, "is expired or not valid yet" },
    { TLS_OUT_OF_ORDER, "is not followed by its issuer's" },
    { TLS_OTHER_HOST, "is for another host" },
    { TLS_NO_AUTHORITY, "is signed by one that is no authority" },
    { TLS_NOT_FOR_THAT,
      "is signed by, or used with, a key that is not for that (key usage)" },
    { TLS_WEAK_KEY, "has a key of less than 2048 bits" },
    { TLS_KEY_NOT_FOR_TLS, "has a key that is not for TLS (key usage)" }
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

/* A chain of certificates on its way. */
struct tls_judge {
    const lssb_tls_setup *setup;
    struct x509_walk walk;
    struct x509_search search;
    int64_t now;
    uint32_t count;                 /* certificates begun */
    int32_t refused;                /* enum tls_code; 0: not refused */
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

/* Adds "the certificate of HOST", or whose above it. */
static void tls_say_whose(const struct tls_judge *judge,
                          struct lssb_text *text)
{
    lssb_text_add(text, "the certificate of ");
    if (judge->count > 1) {
        x509_say_name(text, x509_copied(&judge->walk.subject));
        lssb_text_add(text, ", in the chain of ");
    }
    lssb_text_add(text, judge->setup->host);
    lssb_text_add(text, judge->count > 1 ? ", " : " ");
}

/* Refuses the chain; the reason is added to the text. */
static void tls_refuse(struct tls_judge *judge, int32_t code,
                       struct lssb_text *text)
{
    judge->refused = code;
    tls_error(judge->setup, text, LSSB_E_CERTIFICATE, code);
    tls_say_whose(judge, text);
}

/* The same, for a reason that is said in one piece. */
static void tls_refuse_for(struct tls_judge *judge, int32_t code,
                           const char *reason)
{
    struct lssb_text text;

    tls_refuse(judge, code, &text);
    lssb_text_add(&text, reason);
}

/* Refuses a certificate that is not valid now. */
static void tls_check_dates(struct tls_judge *judge)
{
    const struct x509_walk *walk = &judge->walk;
    struct lssb_text text;

    if (judge->now >= walk->from && judge->now <= walk->until)
        return;
    tls_refuse(judge, TLS_NOT_NOW, &text);
    if (judge->now > walk->until) {
        lssb_text_add(&text, "expired on ");
        x509_say_date(&text, walk->until);
    } else {
        lssb_text_add(&text, "is not valid before ");
        x509_say_date(&text, walk->from);
        lssb_text_add(&text, "; the clock says ");
        x509_say_date(&text, judge->now);
    }
}

/* Searches the anchors that may have issued the certificate at hand, or be it.
 * While no pinned key was seen, only a pinned anchor can end the path. */
static void tls_search(struct tls_judge *judge)
{
    struct x509_search *search = &judge->search;
    const struct x509_copy *issuer = &judge->walk.issuer;
    const struct x509_copy *subject = &judge->walk.subject;

    if (judge->setup->trust->pin_count > 0 &&
        x509_pinned(judge->setup->trust, judge->walk.hash))
        judge->pinned = true;
    memset(&search->issuer, 0, sizeof search->issuer);
    memset(&search->subject, 0, sizeof search->subject);
    if (issuer->len <= issuer->size)
        search->issuer = x509_copied(issuer);
    if (judge->count == 1 && subject->len <= subject->size)
        search->subject = x509_copied(subject);
    search->below = judge->count - 1;
    search->now = judge->now;
    search->trust = judge->setup->trust;
    search->only_pinned = search->trust->pin_count > 0 && !judge->pinned;
    x509_search_run(search, judge->setup->port, judge->setup->port_context);
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
static void tls_check_host(struct tls_judge *judge)
{
    const struct x509_walk *walk = &judge->walk;
    const char *host = judge->setup->host;
    size_t len = judge->address.family == 4 ? 4 : 16;

    if (judge->hosts.len > 0)
        lssb_text_add(&judge->hosts, ", ");
    if (walk->is_address)
        tls_say_address(&judge->hosts, walk->value, walk->value_len);
    else
        x509_say_foreign(&judge->hosts, walk->value, walk->value_len);
    if (walk->is_address != judge->by_address)
        return;
    if (judge->by_address ? walk->value_len == len &&
                            memcmp(walk->value, judge->address.bytes, len) == 0
                          : tls_same_host(host, tls_host_len(host),
                                          (const char *)walk->value,
                                          walk->value_len))
        judge->host_found = true;
}

/* Refuses a certificate for other hosts: asked and found. */
static void tls_refuse_host(struct tls_judge *judge)
{
    struct lssb_text text;

    judge->refused = TLS_OTHER_HOST;
    tls_error(judge->setup, &text, LSSB_E_CERTIFICATE, judge->refused);
    if (judge->hosts.len == 0) {
        lssb_text_add(&text, "the certificate names no host (a common name "
                             "does not count), ");
    } else {
        lssb_text_add(&text, "the certificate is for ");
        lssb_text_add_n(&text, judge->hosts_text, judge->hosts.len);
        lssb_text_add(&text, judge->hosts.cut ? " and others, " : ", ");
    }
    lssb_text_add(&text, "not for ");
    lssb_text_add(&text, judge->setup->host);
}

/* The rules for a whole certificate that libraries lack. */
static void tls_check_certificate(struct tls_judge *judge)
{
    const struct x509_walk *walk = &judge->walk;

    if (walk->constrained)
        tls_refuse_for(judge, TLS_CRITICAL,
                       "has name constraints, which are not supported");
    else if (walk->purposes && !walk->for_servers)
        tls_refuse_for(judge, TLS_NOT_FOR_THAT,
                       "is not for servers (extended key usage)");
    else if (judge->count == 1 && !judge->host_found)
        tls_refuse_host(judge);
}

/* Refuses what cannot be read. */
static void tls_refuse_unread(struct tls_judge *judge)
{
    tls_refuse_for(judge, TLS_UNREADABLE, "cannot be read");
}

/* Walks over a piece of a certificate. */
static void tls_judge_walk(struct tls_judge *judge, const uint8_t *bytes,
                           size_t len)
{
    size_t at = 0, used;

    while (at < len && judge->refused == 0) {
        if (judge->complete) {
            tls_refuse_unread(judge);
            return;
        }
        switch (x509_next(&judge->walk, bytes + at, len - at, &used)) {
        case X509_MORE:
            break;
        case X509_SUBJECT:
            tls_check_dates(judge);
            break;
        case X509_KEY:
            tls_search(judge);
            break;
        case X509_NAME:
            if (judge->count == 1)
                tls_check_host(judge);
            break;
        case X509_DONE:
            judge->complete = true;
            break;
        case X509_WRONG:
            tls_refuse_unread(judge);
            break;
        }
        at += used;
    }
}

/* Whether there is nothing more to decide. */
static bool tls_decided(const struct tls_judge *judge)
{
    return judge->refused != 0 || judge->trusted;
}

/* Without a clock every certificate would look as if it were not valid
 * yet. */
static lssb_status tls_say_no_clock(const lssb_tls_setup *setup, int64_t now)
{
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_CERTIFICATE, TLS_NO_CLOCK);
    lssb_text_add(&text, "the clock is not set: it says ");
    x509_say_date(&text, now);
    return LSSB_E_CERTIFICATE;
}

/* Prepares for the handshake with a host. */
static void tls_judge_prepare(struct tls_judge *judge,
                              const lssb_tls_setup *setup, int64_t now)
{
    memset(judge, 0, sizeof *judge);
    judge->setup = setup;
    judge->now = now;
    judge->by_address = lssb_parse_address(setup->host, strlen(setup->host),
                                           &judge->address);
}

/* Begins a chain. */
static void tls_judge_begin(struct tls_judge *judge)
{
    judge->started = true;
    judge->count = 0;
    judge->refused = 0;
    judge->trusted = judge->pinned = judge->host_found = false;
    lssb_text_start(&judge->hosts, judge->hosts_text,
                    sizeof judge->hosts_text);
}

/* Begins the next certificate; false if it is one too many. */
static bool tls_judge_next(struct tls_judge *judge)
{
    struct x509_walk *walk = &judge->walk;

    judge->count++;
    judge->complete = false;
    x509_start(walk);
    walk->issuer.at = judge->issuer;
    walk->subject.at = judge->subject;
    walk->issuer.size = walk->subject.size = X509_VALUE;
    if (judge->count > TLS_CHAIN_LIMIT)
        tls_refuse_for(judge, TLS_TOO_MUCH, "is one of more than 10");
    return judge->refused == 0;
}

/* Ends a certificate. */
static void tls_judge_end(struct tls_judge *judge)
{
    if (!judge->complete)
        tls_refuse_unread(judge);
    else
        tls_check_certificate(judge);
}

/* Says why an anchor with the right name did not count. */
static void tls_say_reject(const struct tls_judge *judge,
                           struct lssb_text *text)
{
    static const char *const words[] = {
        "", "has a key that is not supported", "", "is not for servers "
        "(extended key usage)", "has name constraints, which are not "
        "supported", "allows fewer certificates below it",
        "is not valid before ", "expired on "
    };
    const struct x509_search *search = &judge->search;

    if (search->reject == X509_NOT_PINNED) {
        lssb_text_add(text, "none of the pinned keys is on the path of ");
        lssb_text_add(text, judge->setup->host);
        return;
    }
    lssb_text_add(text, "the trusted certificate of ");
    x509_say_name(text, x509_copied(&judge->walk.issuer));
    lssb_text_add(text, ", above ");
    lssb_text_add(text, judge->setup->host);
    lssb_text_add(text, ", ");
    lssb_text_add(text, words[search->reject]);
    if (search->reject == X509_TOO_LATE || search->reject == X509_TOO_EARLY)
        x509_say_date(text, search->reject_time);
}

/* Says what could not be read, if anything: it may be the reason. */
static void tls_say_unreadable(const struct tls_judge *judge,
                               struct lssb_text *text)
{
    if (judge->search.io == LSSB_IO_OK)
        return;
    judge->setup->error->system_code = judge->search.io_code;
    if (judge->search.file_failed) {
        lssb_text_add(text, "; the certificates in ");
        lssb_text_add(text, judge->setup->trust->file);
        lssb_text_add(text, " could not be read");
    } else {
        lssb_text_add(text, "; the system's certificates could not be read");
    }
}

/* Refuses a chain that led to nothing trusted: whose it is. */
static void tls_refuse_untrusted(struct tls_judge *judge)
{
    const struct x509_slice issuer = x509_copied(&judge->walk.issuer);
    const struct x509_slice subject = x509_copied(&judge->walk.subject);
    struct lssb_text text;

    judge->refused = TLS_UNTRUSTED;
    tls_error(judge->setup, &text, LSSB_E_CERTIFICATE, judge->refused);
    if (judge->search.count == 0 && judge->search.reject != X509_FINE) {
        tls_say_reject(judge, &text);
        return;
    }
    tls_say_whose(judge, &text);
    if (judge->search.count > 0 &&
        judge->search.anchors[0].ca) {
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
    tls_say_unreadable(judge, &text);
}

/* Names an algorithm that is not taken, if that was the reason. */
static void tls_refuse_unsupported(struct tls_judge *judge)
{
    struct x509_slice algorithm, oid;
    struct lssb_text text;
    size_t i;

    algorithm.at = judge->walk.algorithm;
    algorithm.len = sizeof judge->walk.algorithm;
    oid.len = 0;
    x509_take(&algorithm, 0x06, &oid);
    tls_refuse(judge, TLS_UNSUPPORTED, &text);
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

/* Puts the verdict of a library into words. */
static void tls_refuse_code(struct tls_judge *judge, int32_t code)
{
    const char *words = TLS_WORDS(tls_certificate_words, code);

    if (code == TLS_UNTRUSTED)
        tls_refuse_untrusted(judge);
    else if (code == TLS_UNSUPPORTED)
        tls_refuse_unsupported(judge);
    else if (code == TLS_CRITICAL)
        tls_refuse_for(judge, code, judge->walk.critical_purposes
                       ? "has an extended key usage that is marked critical, "
                         "which is not supported"
                       : "has a critical extension that is not known");
    else
        tls_refuse_for(judge, code, words != NULL ? words : "cannot be read");
}

