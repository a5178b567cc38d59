/* tls_bearssl_own.c: the client's own certificate and key, for tls_bearssl.c,
 * which includes this.
 *
 * SPDX-License-Identifier: MIT
 *
 * They come as PEM or DER. DER is used where it lies; PEM is decoded into the
 * session's memory, which is larger by that much.
 */

/* A chain of certificates that is being read. What is NULL is not stored. */
struct own_reader {
    br_x509_certificate *chain;     /* TLS_OWN_LIMIT of them */
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
        reader->chain[reader->count].data =
            reader->to != NULL ? reader->to + reader->len : NULL;
        reader->chain[reader->count].data_len = 0;
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
        reader->chain[reader->count].data_len += len;
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
            reader->chain[reader->count].data = x509_writable(from);
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

/* Gives bytes to BearSSL's decoder, which must not get any once it is done. */
static void own_key_piece(br_skey_decoder_context *key, const uint8_t *bytes,
                          size_t len)
{
    if (br_skey_decoder_last_error(key) == BR_ERR_X509_TRUNCATED)
        br_skey_decoder_push(key, bytes, len);
}

/* Decodes a key in PEM: the first that is one. */
static const char *own_key_pem(br_skey_decoder_context *key,
                               const uint8_t *text, size_t len)
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
            own_key_piece(key, pem.data, pem.data_len);
            lssb_wipe(pem.data, sizeof pem.data);
        } else if (event == PEM_END && found) {
            break;
        }
    }
    lssb_wipe(&pem, sizeof pem);
    return found ? NULL : "trust.key holds no private key";
}

/* Decodes trust->key; NULL, or what is wrong. */
static const char *own_key(br_skey_decoder_context *key,
                           const lssb_trust *trust)
{
    const uint8_t *at = trust->key;
    const char *wrong = NULL;

    br_skey_decoder_init(key);
    if (trust->key_len > 0 && at[0] == 0x30)
        br_skey_decoder_push(key, at, trust->key_len);
    else
        wrong = own_key_pem(key, at, trust->key_len);
    if (wrong == NULL && br_skey_decoder_last_error(key) != 0)
        wrong = "trust.key cannot be read: PKCS #8, PKCS #1 or SEC 1, not "
                "encrypted, RSA or EC";
    return wrong;
}

/* Whether a private key belongs to a public one. */
static bool own_key_fits(const br_skey_decoder_context *key,
                         const br_x509_pkey *public_key)
{
    uint8_t buffer[BR_X509_BUFSIZE_SIG];
    br_rsa_compute_modulus modulus = br_rsa_compute_modulus_get_default();
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(key);
    br_x509_pkey own;

    memset(&own, 0, sizeof own);
    own.key_type = (unsigned char)br_skey_decoder_key_type(key);
    if (own.key_type != public_key->key_type)
        return false;
    if (own.key_type == BR_KEYTYPE_EC)
        return br_ec_compute_pub(br_ec_get_default(), &own.key.ec, buffer,
                                 br_skey_decoder_get_ec(key)) > 0 &&
               x509_same_key(&own, public_key);
    own.key.rsa.nlen = modulus(NULL, rsa);
    if (own.key.rsa.nlen > sizeof buffer || modulus(buffer, rsa) == 0)
        return false;
    return own.key.rsa.nlen == public_key->key.rsa.nlen &&
           memcmp(buffer, public_key->key.rsa.n, own.key.rsa.nlen) == 0;
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

/* Tries trust->key with the certificate's. */
static const char *own_try_key(const lssb_trust *trust,
                               const br_x509_pkey *public_key)
{
    br_skey_decoder_context key;
    const char *wrong = own_key(&key, trust);

    if (wrong == NULL && !own_key_fits(&key, public_key))
        wrong = "trust.key does not belong to trust.certificate";
    lssb_wipe(&key, sizeof key);
    return wrong;
}

/* What is wrong with the client's certificate and key, or NULL. */
static const char *own_wrong(const lssb_trust *trust)
{
    uint8_t info[X509_SLOT_KEY];
    struct x509_slice slice;
    br_x509_pkey key;
    const char *wrong;

    if (trust->certificate == NULL && trust->key == NULL)
        return NULL;
    if (trust->certificate == NULL || trust->key == NULL)
        return "trust.certificate and trust.key need each other";
    slice.at = info;
    wrong = own_try_certificate(trust, info, sizeof info, &slice.len);
    if (wrong != NULL)
        return wrong;
    memset(&key, 0, sizeof key);
    if (slice.len > sizeof info || !x509_key(slice, &key))
        return "trust.certificate has a key of a kind that is not supported";
    return own_try_key(trust, &key);
}
