/* tls_bearssl_own.c: the client's own key, for tls_bearssl.c, which includes
 * this.
 *
 * SPDX-License-Identifier: MIT
 */

/* Gives bytes to BearSSL's decoder, which must not get any once it is done. */
static void own_key_piece(void *to, const uint8_t *bytes, size_t len)
{
    br_skey_decoder_context *key = to;

    if (br_skey_decoder_last_error(key) == BR_ERR_X509_TRUNCATED)
        br_skey_decoder_push(key, bytes, len);
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
        wrong = own_key_pem(at, trust->key_len, own_key_piece, key);
    if (wrong == NULL && br_skey_decoder_last_error(key) != 0)
        wrong = OWN_NO_KEY;
    return wrong;
}

/* Whether a private key belongs to a public one. */
static bool own_key_fits(const br_skey_decoder_context *key,
                         const struct x509_public *public_key)
{
    uint8_t buffer[BR_X509_BUFSIZE_SIG];
    br_rsa_compute_modulus modulus = br_rsa_compute_modulus_get_default();
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(key);
    br_x509_pkey wanted;
    br_ec_public_key point;

    tls_bearssl_key(public_key, &wanted);
    if (wanted.key_type != (unsigned char)br_skey_decoder_key_type(key))
        return false;
    if (wanted.key_type == BR_KEYTYPE_EC)
        return br_ec_compute_pub(br_ec_get_default(), &point, buffer,
                                 br_skey_decoder_get_ec(key)) > 0 &&
               point.curve == wanted.key.ec.curve &&
               point.qlen == wanted.key.ec.qlen &&
               memcmp(point.q, wanted.key.ec.q, point.qlen) == 0;
    return wanted.key.rsa.nlen <= sizeof buffer &&
           modulus(NULL, rsa) == wanted.key.rsa.nlen &&
           modulus(buffer, rsa) != 0 &&
           memcmp(buffer, wanted.key.rsa.n, wanted.key.rsa.nlen) == 0;
}

/* Tries trust->key with the certificate's. */
static const char *own_try_key(const lssb_trust *trust,
                               const struct x509_public *public_key)
{
    br_skey_decoder_context key;
    const char *wrong = own_key(&key, trust);

    if (wrong == NULL && !own_key_fits(&key, public_key))
        wrong = OWN_OTHER_KEY;
    lssb_wipe(&key, sizeof key);
    return wrong;
}

/* What is wrong with the client's certificate and key, or NULL. */
static const char *own_wrong(const lssb_trust *trust)
{
    uint8_t info[X509_SLOT_KEY];
    struct x509_public key;
    const char *wrong;

    if (trust->certificate == NULL && trust->key == NULL)
        return NULL;
    wrong = own_certificate_wrong(trust, info, sizeof info, &key);
    return wrong != NULL ? wrong : own_try_key(trust, &key);
}
