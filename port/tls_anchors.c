/* tls_anchors.c: the search for trust anchors, for the backends, which include
 * this.
 *
 * SPDX-License-Identifier: MIT
 *
 * A bundle is read from front to back for each certificate of a chain, and
 * only what has the name of that certificate's issuer is kept: a pass over
 * 200 KB of PEM takes about a millisecond, the whole of it decoded about 100
 * KB. PEM (RFC 7468) and base64 are decoded as they are read.
 */

/* ------------------------------------------------------------------ PEM */

enum pem_event {
    PEM_MORE = 0,                   /* all consumed; more text, please */
    PEM_BEGIN,                      /* label: what follows */
    PEM_DATA,                       /* data, data_len: a piece of it, decoded */
    PEM_END                         /* it is over; broken: it cannot be used */
};

enum pem_state { PEM_OUTSIDE = 0, PEM_LABEL, PEM_BODY, PEM_LAST_LINE };

struct pem {
    char label[24];                 /* "CERTIFICATE"; cut if longer */
    uint8_t data[192];
    size_t data_len;
    bool broken;
    bool skip;                      /* set by the caller: no more PEM_DATA of
                                       this one, please */
    uint8_t state;
    uint8_t match;                  /* of "-----BEGIN " */
    uint8_t label_len;
    uint8_t sextets;                /* in `bits` */
    bool padded;
    uint32_t bits;
};

/* Prepares for a text. */
static void pem_start(struct pem *pem)
{
    memset(pem, 0, sizeof *pem);
}

/* Looks for the line that begins something. */
static enum pem_event pem_outside(struct pem *pem, char c)
{
    static const char begin[] = "-----BEGIN ";

    if (c == begin[pem->match])
        pem->match++;
    else if (c != '-')
        pem->match = 0;
    else if (pem->match != 5)
        pem->match = 1;
    if (pem->match == sizeof begin - 1) {
        pem->match = pem->label_len = 0;
        pem->state = PEM_LABEL;
    }
    return PEM_MORE;
}

/* Reads the label, up to the dashes and past them. */
static enum pem_event pem_label(struct pem *pem, char c)
{
    if (c == '-' || c == '\r') {
        pem->match = 1;
    } else if (c == '\n') {
        pem->label[pem->label_len] = '\0';
        pem->state = PEM_BODY;
        pem->sextets = 0;
        pem->bits = 0;
        pem->broken = pem->skip = pem->padded = false;
        pem->match = 0;
        return PEM_BEGIN;
    } else if (pem->match == 0 && pem->label_len < sizeof pem->label - 1) {
        pem->label[pem->label_len++] = c;
    }
    return PEM_MORE;
}

/* The value of a base64 digit (RFC 4648 4), 64 for '=', 65 for white space, 66
 * for what is neither. */
static uint8_t pem_sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    if (c == '+' || c == '/')
        return c == '+' ? 62 : 63;
    if (c == '=')
        return 64;
    return c == '\n' || c == '\r' || c == ' ' || c == '\t' ? 65 : 66;
}

/* Adds the bytes of a last, incomplete group. */
static void pem_finish(struct pem *pem)
{
    if (pem->sextets == 1)
        pem->broken = true;
    if (pem->sextets >= 2)
        pem->data[pem->data_len++] =
            (uint8_t)(pem->bits >> (pem->sextets == 2 ? 4 : 10));
    if (pem->sextets == 3)
        pem->data[pem->data_len++] = (uint8_t)(pem->bits >> 2);
    pem->sextets = 0;
}

/* Decodes a byte of the body. */
static enum pem_event pem_body(struct pem *pem, char c)
{
    uint8_t sextet;

    if (c == '-') {
        pem_finish(pem);
        pem->state = PEM_LAST_LINE;
        return pem->data_len > 0 && !pem->skip ? PEM_DATA : PEM_MORE;
    }
    sextet = pem_sextet(c);
    if (sextet == 66 || (sextet < 64 && pem->padded))
        pem->broken = true;
    pem->padded |= sextet == 64;
    if (sextet >= 64 || pem->broken)
        return PEM_MORE;
    pem->bits = pem->bits << 6 | sextet;
    if (++pem->sextets < 4)
        return PEM_MORE;
    pem->data[pem->data_len++] = (uint8_t)(pem->bits >> 16);
    pem->data[pem->data_len++] = (uint8_t)(pem->bits >> 8);
    pem->data[pem->data_len++] = (uint8_t)pem->bits;
    pem->sextets = 0;
    return pem->data_len > sizeof pem->data - 3 ? PEM_DATA : PEM_MORE;
}

/* Takes in one character. */
static enum pem_event pem_char(struct pem *pem, char c)
{
    switch ((enum pem_state)pem->state) {
    case PEM_OUTSIDE:
        return pem_outside(pem, c);
    case PEM_LABEL:
        return pem_label(pem, c);
    case PEM_BODY:
        return pem_body(pem, c);
    case PEM_LAST_LINE:
        if (c != '\n')
            return PEM_MORE;
        pem->state = PEM_OUTSIDE;
        return PEM_END;
    }
    return PEM_MORE;
}

/* Looks at `len` characters, consumes *used of them, says what it found. What
 * stands between is skipped in a stride: most of a bundle is. */
static enum pem_event pem_next(struct pem *pem, const uint8_t *text,
                               size_t len, size_t *used)
{
    enum pem_event event = PEM_MORE;
    const uint8_t *dash;
    size_t at = 0;

    pem->data_len = 0;
    while (at < len && event == PEM_MORE) {
        if ((pem->state == PEM_OUTSIDE && pem->match == 0) ||
            (pem->state == PEM_BODY && pem->skip)) {
            dash = memchr(text + at, '-', len - at);
            at = dash != NULL ? (size_t)(dash - text) : len;
            pem->sextets = 0;
            pem->data_len = 0;
            if (at == len)
                break;
        }
        event = pem_char(pem, (char)text[at++]);
    }
    *used = at;
    if (event == PEM_MORE && pem->data_len > 0)
        event = PEM_DATA;
    return event;
}

/* The text is over: the same, for a last line without its end. */
static enum pem_event pem_end(struct pem *pem)
{
    bool last = pem->state == PEM_LAST_LINE;

    pem->broken |= pem->state == PEM_BODY;
    last |= pem->state == PEM_BODY;
    pem->data_len = 0;
    pem->state = PEM_OUTSIDE;
    return last ? PEM_END : PEM_MORE;
}

/* Whether a bundle is DER: a SEQUENCE with a long length. No text is. */
static bool x509_is_der(const uint8_t *bytes, size_t len)
{
    return len >= 2 && bytes[0] == 0x30 && bytes[1] > 0x80;
}

/* ------------------------------------------------------------- the search */

#define X509_SLOTS 2                /* anchors of one name; bundles have two */
#define X509_SLOT_KEY 560           /* a SubjectPublicKeyInfo of RSA, 4096 */
#define X509_MIN_RSA 256            /* bytes of a modulus */
#define X509_MAX_RSA 512

/* Why an anchor of the right name did not count; of several, the last here
 * is told. */
enum x509_reject {
    X509_FINE = 0, X509_UNUSABLE, X509_NOT_PINNED, X509_NOT_FOR_SERVERS,
    X509_CONSTRAINED, X509_TOO_LONG, X509_TOO_EARLY, X509_TOO_LATE
};

/* An anchor that was found. */
struct x509_anchor {
    bool ca;                        /* it has the issuer's name; else it has
                                       the subject's, and is no authority */
    struct x509_slice info;         /* its SubjectPublicKeyInfo … */
    struct x509_public key;         /* … which this points into */
};

/* What is asked for, and what was found: the anchors that may have issued one
 * certificate, or that are it. */
struct x509_search {
    /* Set by the caller. */
    struct x509_slice issuer;       /* CA anchors of that name */
    struct x509_slice subject;      /* len 0, or anchors that are no CA */
    uint32_t below;                 /* CA certificates below the anchor */
    int64_t now;
    bool only_pinned;
    const lssb_trust *trust;

    /* Found. */
    struct x509_anchor anchors[X509_SLOTS];
    size_t count;
    enum x509_reject reject;
    int64_t reject_time;
    lssb_io io;                     /* what became of reading, the worst */
    bool file_failed;               /* it was trust->file */
    int32_t io_code;

    /* The search's own. */
    struct x509_walk walk;
    struct pem pem;
    bool der;
    bool begun;                     /* der is known */
    bool reading;                   /* a certificate is under way */
    bool complete;                  /* all of it has been read */
    bool as_issuer;                 /* it has the name that is asked for */
    bool as_subject;
    bool stop;                      /* the rest of the source is no use */
    uint8_t slots[X509_SLOTS][X509_SLOT_KEY];
    uint8_t piece[512];
};

/* Whether a hash is among the pins. */
static bool x509_pinned(const lssb_trust *trust, const uint8_t hash[32])
{
    size_t i;

    for (i = 0; i < trust->pin_count; i++)
        if (memcmp(trust->pins[i], hash, 32) == 0)
            return true;
    return false;
}

/* Prepares to read one certificate into a free slot. */
static void x509_search_begin(struct x509_search *search)
{
    x509_start(&search->walk);
    search->walk.subject.at = search->walk.value;
    search->walk.subject.size = sizeof search->walk.value;
    if (search->count < X509_SLOTS) {
        search->walk.key.at = search->slots[search->count];
        search->walk.key.size = X509_SLOT_KEY;
    }
    search->reading = true;
    search->complete = search->as_issuer = search->as_subject = false;
}

/* Notes whether the name just read is asked for, and as what. It is gone when
 * the next value is read. */
static void x509_search_name(struct x509_search *search)
{
    const struct x509_copy *name = &search->walk.subject;

    if (name->len > name->size)
        return;
    search->as_issuer = name->len == search->issuer.len &&
                        memcmp(name->at, search->issuer.at, name->len) == 0;
    search->as_subject = name->len == search->subject.len &&
                         memcmp(name->at, search->subject.at, name->len) == 0;
}

/* Why an anchor does not count: the rules of a path, for its end. */
static enum x509_reject x509_judge(const struct x509_search *search, bool ca)
{
    const struct x509_walk *walk = &search->walk;

    if (search->now > walk->until)
        return X509_TOO_LATE;       /* an anchor's own expiry */
    if (search->now < walk->from)
        return X509_TOO_EARLY;
    if (walk->constrained)
        return X509_CONSTRAINED;    /* an anchor's constraints */
    if (walk->purposes && !walk->for_servers)
        return X509_NOT_FOR_SERVERS;
    if (ca && walk->has_path && walk->path < search->below)
        return X509_TOO_LONG;
    if (search->only_pinned && !x509_pinned(search->trust, walk->hash))
        return X509_NOT_PINNED;     /* an anchor's pin */
    return X509_FINE;
}

/* Notes why an anchor of the right name does not count. */
static void x509_reject(struct x509_search *search, enum x509_reject reject)
{
    if (reject <= search->reject)
        return;
    search->reject = reject;
    search->reject_time = reject == X509_TOO_EARLY ? search->walk.from
                                                   : search->walk.until;
}

/* Whether a key is too short. */
static bool x509_is_weak(const struct x509_public *key)
{
    return key->curve == X509_NO_CURVE && key->n.len < X509_MIN_RSA;
}

/* Keeps an anchor of the right name, if it counts and is new. */
static void x509_search_keep(struct x509_search *search)
{
    struct x509_walk *walk = &search->walk;
    struct x509_anchor anchor;
    enum x509_reject reject;
    size_t i;

    anchor.ca = walk->authority && (!walk->usage || walk->may_sign);
    anchor.info.at = walk->key.at;
    anchor.info.len = walk->key.len;
    reject = x509_judge(search, anchor.ca);
    if (reject == X509_FINE &&
        (walk->key.len > walk->key.size ||
         !x509_key(anchor.info, &anchor.key) || x509_is_weak(&anchor.key) ||
         anchor.key.n.len > X509_MAX_RSA))
        reject = X509_UNUSABLE;
    if (!(anchor.ca ? search->as_issuer : search->as_subject))
        return;
    if (reject != X509_FINE) {
        x509_reject(search, reject);
        return;
    }
    for (i = 0; i < search->count; i++)
        if (x509_same_key(&search->anchors[i].key, &anchor.key))
            return;
    search->anchors[search->count++] = anchor;
}

/* Walks on through one certificate; bytes used of the piece. */
static size_t x509_search_walk(struct x509_search *search,
                               const uint8_t *bytes, size_t len)
{
    enum x509_event event = X509_MORE;
    size_t at = 0, used;

    while (at < len && event != X509_DONE && event != X509_WRONG) {
        event = x509_next(&search->walk, bytes + at, len - at, &used);
        at += used;
        if (event == X509_SUBJECT)
            x509_search_name(search);
    }
    search->complete = event == X509_DONE;
    search->reading = event != X509_DONE && event != X509_WRONG;
    if (search->complete && at < len && !search->der)
        search->complete = false;   /* something behind it: no certificate */
    search->stop = search->der && event == X509_WRONG;
    return at;
}

/* Takes in a piece of a bundle in DER: certificates, one after the other. */
static void x509_search_der(struct x509_search *search, const uint8_t *bytes,
                            size_t len)
{
    size_t at = 0;

    while (at < len && search->count < X509_SLOTS && !search->stop) {
        if (!search->reading)
            x509_search_begin(search);
        at += x509_search_walk(search, bytes + at, len - at);
        if (search->complete)
            x509_search_keep(search);
    }
}

/* Takes in what PEM is found to hold. */
static void x509_search_pem_event(struct x509_search *search,
                                  enum pem_event event)
{
    struct pem *pem = &search->pem;
    bool late;

    if (event == PEM_BEGIN) {
        pem->skip = strcmp(pem->label, "CERTIFICATE") != 0;
        if (!pem->skip)
            x509_search_begin(search);
    } else if (event == PEM_DATA) {
        late = search->complete;
        if (search->reading)
            x509_search_walk(search, pem->data, pem->data_len);
        search->complete = search->complete && !late;
        if (search->walk.field > X509_OWNER && !search->as_issuer &&
            !search->as_subject)
            search->reading = search->complete = false;
        pem->skip = !search->reading && !search->complete;
    } else if (event == PEM_END) {
        if (search->complete && !pem->broken)
            x509_search_keep(search);
        search->reading = search->complete = false;
    }
}

/* Takes in a piece of a bundle. */
static void x509_search_piece(struct x509_search *search, const uint8_t *bytes,
                              size_t len)
{
    enum pem_event event;
    size_t at = 0, used;

    if (!search->begun) {
        search->begun = true;
        search->der = x509_is_der(bytes, len);
        pem_start(&search->pem);
    }
    if (search->der) {
        x509_search_der(search, bytes, len);
        return;
    }
    while (at < len && search->count < X509_SLOTS) {
        event = pem_next(&search->pem, bytes + at, len - at, &used);
        at += used;
        x509_search_pem_event(search, event);
    }
}

/* Ends a source. */
static void x509_search_end(struct x509_search *search)
{
    if (search->begun && !search->der && search->count < X509_SLOTS)
        x509_search_pem_event(search, pem_end(&search->pem));
    search->begun = search->reading = search->complete = search->stop = false;
}

/* Reads a piece, two bytes at least if there are two. */
static ptrdiff_t x509_search_read(struct x509_search *search,
                                  const lssb_blob *blob, uint64_t offset)
{
    ptrdiff_t n = blob->read_at(blob->ctx, offset, search->piece,
                                sizeof search->piece);
    ptrdiff_t more;

    if (n != 1)
        return n;
    more = blob->read_at(blob->ctx, offset + 1, search->piece + 1,
                         sizeof search->piece - 1);
    return more > 0 ? n + more : more < 0 ? more : n;
}

/* Searches a file, or the system's certificates. */
static void x509_search_file(struct x509_search *search,
                             const lssb_port *port, void *context,
                             const char *path)
{
    lssb_blob blob;
    lssb_io io = LSSB_IO_UNSUPPORTED;
    int32_t code = 0;
    uint64_t offset = 0;
    ptrdiff_t n = 0;

    if (search->count == X509_SLOTS)
        return;
    memset(&blob, 0, sizeof blob);
    if (port->certificates != NULL)
        io = port->certificates(context, path, &blob, &code);
    if (io == LSSB_IO_OK) {
        while (search->count < X509_SLOTS && !search->stop &&
               (n = x509_search_read(search, &blob, offset)) > 0) {
            x509_search_piece(search, search->piece, (size_t)n);
            offset += (uint64_t)n;
        }
        if (blob.close != NULL)
            blob.close(blob.ctx);
        x509_search_end(search);
        io = n < 0 ? LSSB_IO_FAILED : LSSB_IO_OK;
    }
    if (io != LSSB_IO_OK && !search->file_failed) {
        search->io = io;
        search->io_code = code;
        search->file_failed = path != NULL;
    }
}

/* Searches all that is trusted, the caller's own before the system's. */
static void x509_search_run(struct x509_search *search, const lssb_port *port,
                            void *context)
{
    const lssb_trust *trust = search->trust;

    search->count = 0;
    search->reject = X509_FINE;
    search->io = LSSB_IO_OK;
    search->file_failed = search->begun = search->reading = false;
    if (trust->anchors != NULL && trust->anchors_len > 0) {
        x509_search_piece(search, trust->anchors, trust->anchors_len);
        x509_search_end(search);
    }
    if (trust->file != NULL)
        x509_search_file(search, port, context, trust->file);
    if (!trust->only)
        x509_search_file(search, port, context, trust->system_file);
}
