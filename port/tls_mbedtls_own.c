/* tls_mbedtls_own.c: the client's own certificate and key, for tls_mbedtls.c,
 * which includes this.
 *
 * SPDX-License-Identifier: MIT
 *
 * PEM is decoded by tls_own.c, for mbedTLS wants a NUL behind it that nobody
 * promised, and then given to mbedTLS as DER.
 */

struct tls_own {
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
};

static void own_init(struct tls_own *own)
{
    mbedtls_x509_crt_init(&own->certificate);
    mbedtls_pk_init(&own->key);
}

static void own_free(struct tls_own *own)
{
    mbedtls_x509_crt_free(&own->certificate);
    mbedtls_pk_free(&own->key);
}

/* Room for what is decoded. */
struct own_room {
    uint8_t *at;
    size_t size;
    size_t len;
};

/* Takes room; NULL is no memory. */
static bool own_take(struct own_room *room, size_t size)
{
    room->at = mbedtls_calloc(1, size > 0 ? size : 1);
    room->size = room->at != NULL ? size : 0;
    room->len = 0;
    return room->at != NULL;
}

static void own_give(struct own_room *room)
{
    if (room->at != NULL)
        lssb_wipe(room->at, room->size);
    mbedtls_free(room->at);
}

#define OWN_NO_MEMORY "there is no memory for trust.certificate and trust.key"

/* Gives trust->certificate to mbedTLS; NULL, or what is wrong. */
static const char *own_load_certificate(struct tls_own *own,
                                        const lssb_trust *trust)
{
    struct x509_slice chain[TLS_OWN_LIMIT];
    struct own_reader reader;
    struct own_room room;
    size_t i;

    if (!own_take(&room, trust->certificate_len))
        return OWN_NO_MEMORY;
    memset(&reader, 0, sizeof reader);
    reader.chain = chain;
    reader.to = room.at;
    reader.size = room.size;
    own_read(&reader, trust);
    for (i = 0; reader.wrong == NULL && i < reader.count; i++)
        if (mbedtls_x509_crt_parse_der(&own->certificate, chain[i].at,
                                       chain[i].len) != 0)
            reader.wrong = "trust.certificate cannot be read";
    own_give(&room);
    return reader.wrong;
}

/* Takes in decoded bytes of a key. */
static void own_key_piece(void *to, const uint8_t *bytes, size_t len)
{
    struct own_room *room = to;

    if (len > room->size - room->len)
        return;
    memcpy(room->at + room->len, bytes, len);
    room->len += len;
}

/* Randomness to hide a key behind while it is computed with. */
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#define OWN_RANDOM(random, ctx) , random, ctx
#else
#define OWN_RANDOM(random, ctx)
#endif

typedef int (*own_random)(void *ctx, unsigned char *bytes, size_t len);

/* Gives a key in DER to mbedTLS, which must be all of it. */
static const char *own_parse_key(struct tls_own *own, struct x509_slice der,
                                 own_random random, void *ctx)
{
    struct x509_slice rest = der, content;

    (void)random;
    (void)ctx;
    if (!x509_take(&rest, 0x30, &content) || rest.len != 0 ||
        mbedtls_pk_parse_key(&own->key, der.at, der.len, NULL, 0
                             OWN_RANDOM(random, ctx)) != 0)
        return OWN_NO_KEY;
    return NULL;
}

/* Gives trust->key to mbedTLS; NULL, or what is wrong. */
static const char *own_load_key(struct tls_own *own, const lssb_trust *trust,
                                own_random random, void *ctx)
{
    struct x509_slice der;
    struct own_room room;
    const char *wrong;

    der.at = trust->key;
    der.len = trust->key_len;
    if (der.len > 0 && der.at[0] == 0x30)
        return own_parse_key(own, der, random, ctx);
    if (!own_take(&room, trust->key_len))
        return OWN_NO_MEMORY;
    wrong = own_key_pem(der.at, der.len, own_key_piece, &room);
    der.at = room.at;
    der.len = room.len;
    if (wrong == NULL)
        wrong = own_parse_key(own, der, random, ctx);
    own_give(&room);
    return wrong;
}

/* Gives both to mbedTLS; NULL, or what is wrong. */
static const char *own_load(struct tls_own *own, const lssb_trust *trust,
                            own_random random, void *ctx)
{
    const char *wrong = own_load_certificate(own, trust);

    if (wrong == NULL)
        wrong = own_load_key(own, trust, random, ctx);
    if (wrong == NULL &&
        mbedtls_pk_check_pair(&own->certificate.pk, &own->key
                              OWN_RANDOM(random, ctx)) != 0)
        wrong = OWN_OTHER_KEY;
    return wrong;
}

/* Numbers to try a key with while there is no port to ask: nobody is there to
 * watch, and they are used for nothing else. */
static int own_count(void *ctx, unsigned char *bytes, size_t len)
{
    uint32_t *state = ctx;

    while (len-- > 0)
        *bytes++ = (uint8_t)((*state = *state * 69069u + 12345u) >> 24);
    return 0;
}

/* What is wrong with the client's certificate and key, or NULL. */
static const char *own_wrong(const lssb_trust *trust)
{
    uint8_t info[X509_SLOT_KEY];
    struct x509_public key;
    struct tls_own own;
    uint32_t state = 1;
    const char *wrong;

    if (trust->certificate == NULL && trust->key == NULL)
        return NULL;
    wrong = own_certificate_wrong(trust, info, sizeof info, &key);
    if (wrong != NULL)
        return wrong;
    own_init(&own);
    wrong = own_load(&own, trust, own_count, &state);
    own_free(&own);
    return wrong;
}
