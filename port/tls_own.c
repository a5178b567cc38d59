/* tls_own.c: reading the client's own certificate and key, for the backends,
 * which include this.
 *
 * SPDX-License-Identifier: MIT
 *
 * They come as PEM or DER. DER is used where it lies; PEM is decoded to where
 * the backend wants it.
 */

/* A chain of certificates that is being read. What is NULL is not stored. */
struct own_reader {
    struct x509_slice *chain;       /* TLS_OWN_LIMIT of them */
    uint8_t *to;                    /* decoded bytes, `size` at most */
    size_t size;
    struct x509_walk *walk;         /* to try each of them */
    struct x509_copy key;           /* of the first, if there is a walk */
    size_t count;
    size_t len;                     /* decoded bytes, stored or not */
    bool der;
    bool complete;                  /* by the walk */
    const char *wrong;
};

/* Begins a certificate. */
static void own_begin(struct own_reader *reader)
{
    if (reader->count == TLS_OWN_LIMIT) {
        reader->wrong = "trust.certificate holds too many certificates";
        return;
    }
    if (reader->walk != NULL) {
        x509_start(reader->walk);
        reader->walk->key = reader->key;
        reader->complete = false;
    }
    if (reader->chain != NULL) {
        reader->chain[reader->count].at =
            reader->to != NULL ? reader->to + reader->len : NULL;
        reader->chain[reader->count].len = 0;
    }
}

/* Takes in a piece of a certificate. */
static void own_piece(struct own_reader *reader, const uint8_t *bytes,
                      size_t len)
{
    enum x509_event event;
    size_t at = 0, used;

    while (reader->walk != NULL && at < len && reader->wrong == NULL) {
        event = reader->complete
                    ? X509_WRONG
                    : x509_next(reader->walk, bytes + at, len - at, &used);
        if (event == X509_WRONG) {
            reader->wrong = "trust.certificate cannot be read";
            return;
        }
        reader->complete = event == X509_DONE;
        at += used;
    }
    if (!reader->der && reader->to != NULL && reader->len + len <= reader->size)
        memcpy(reader->to + reader->len, bytes, len);
    if (reader->chain != NULL)
        reader->chain[reader->count].len += len;
    if (!reader->der)
        reader->len += len;
}

/* Ends a certificate. */
static void own_end(struct own_reader *reader, bool broken)
{
    if (broken || (reader->walk != NULL && !reader->complete))
        reader->wrong = "trust.certificate cannot be read";
    if (reader->walk != NULL && reader->count == 0)
        reader->key = reader->walk->key;
    reader->key.size = 0;
    reader->count++;
}

/* Reads certificates in DER, one after the other. */
static void own_read_der(struct own_reader *reader, struct x509_slice all)
{
    struct x509_slice content;
    const uint8_t *from;

    while (all.len > 0 && reader->wrong == NULL) {
        from = all.at;
        if (!x509_take(&all, 0x30, &content)) {
            reader->wrong = "trust.certificate cannot be read";
            return;
        }
        own_begin(reader);
        if (reader->wrong != NULL)
            return;
        if (reader->chain != NULL)
            reader->chain[reader->count].at = from;
        own_piece(reader, from, (size_t)(all.at - from));
        own_end(reader, false);
    }
}

/* Reads certificates in PEM. */
static void own_read_pem(struct own_reader *reader, const uint8_t *text,
                         size_t len)
{
    struct pem pem;
    enum pem_event event;
    size_t at = 0, used;

    pem_start(&pem);
    do {
        event = at < len ? pem_next(&pem, text + at, len - at, &used)
                         : pem_end(&pem);
        if (at == len && event != PEM_END)
            break;
        at += at < len ? used : 0;
        if (event == PEM_BEGIN) {
            pem.skip = strcmp(pem.label, "CERTIFICATE") != 0;
            if (!pem.skip)
                own_begin(reader);
        } else if (event == PEM_DATA) {
            own_piece(reader, pem.data, pem.data_len);
        } else if (event == PEM_END && !pem.skip) {
            own_end(reader, pem.broken);
        }
    } while (reader->wrong == NULL);
}

/* Reads trust->certificate. */
static void own_read(struct own_reader *reader, const lssb_trust *trust)
{
    struct x509_slice all;

    all.at = trust->certificate;
    all.len = trust->certificate_len;
    reader->der = x509_is_der(all.at, all.len);
    if (reader->der)
        own_read_der(reader, all);
    else
        own_read_pem(reader, all.at, all.len);
    if (reader->wrong == NULL && reader->count == 0)
        reader->wrong = "trust.certificate holds no certificate";
}

/* Tries trust->certificate; NULL, or what is wrong. Its key goes to `info`. */
static const char *own_try_certificate(const lssb_trust *trust, uint8_t *info,
                                       size_t size, size_t *len)
{
    struct x509_walk walk;
    struct own_reader reader;

    memset(&reader, 0, sizeof reader);
    reader.walk = &walk;
    reader.key.at = info;
    reader.key.size = size;
    own_read(&reader, trust);
    *len = reader.key.len;
    return reader.wrong;
}

#define OWN_NO_KEY "trust.key cannot be read: PKCS #8, PKCS #1 or SEC 1, not " \
                   "encrypted, RSA or EC"
#define OWN_OTHER_KEY "trust.key does not belong to trust.certificate"
#define OWN_ODD_KEY "trust.certificate has a key of a kind that is not " \
                    "supported"

/* Decodes a key in PEM, the first that is one; its bytes go to `take`. */
static const char *own_key_pem(const uint8_t *text, size_t len,
                               void (*take)(void *to, const uint8_t *bytes,
                                            size_t len), void *to)
{
    struct pem pem;
    enum pem_event event;
    size_t at = 0, used;
    bool found = false;

    pem_start(&pem);
    while (at < len) {
        event = pem_next(&pem, text + at, len - at, &used);
        at += used;
        if (event == PEM_BEGIN) {
            if (strcmp(pem.label, "ENCRYPTED PRIVATE KEY") == 0)
                return "trust.key is encrypted";
            found = strcmp(pem.label, "PRIVATE KEY") == 0 ||
                    strcmp(pem.label, "RSA PRIVATE KEY") == 0 ||
                    strcmp(pem.label, "EC PRIVATE KEY") == 0;
            pem.skip = !found;
        } else if (event == PEM_DATA) {
            take(to, pem.data, pem.data_len);
            lssb_wipe(pem.data, sizeof pem.data);
        } else if (event == PEM_END && found) {
            break;
        }
    }
    lssb_wipe(&pem, sizeof pem);
    return found ? NULL : "trust.key holds no private key";
}

/* What is wrong with the client's certificate, or NULL. Its key goes to
 * `info`. */
static const char *own_certificate_wrong(const lssb_trust *trust,
                                         uint8_t *info, size_t size,
                                         struct x509_public *key)
{
    struct x509_slice slice;
    const char *wrong;

    if (trust->certificate == NULL || trust->key == NULL)
        return "trust.certificate and trust.key need each other";
    slice.at = info;
    wrong = own_try_certificate(trust, info, size, &slice.len);
    if (wrong == NULL && (slice.len > size || !x509_key(slice, key)))
        wrong = OWN_ODD_KEY;
    return wrong;
}
