/* token.c: SHA-256, and tokens that are signed with it.
 *
 * SPDX-License-Identifier: MIT
 *
 * A token is a JWT (RFC 7519) with HS256 (RFC 7518 3.2), under a key that this
 * process makes up when it starts and never tells. The hash is here, and not
 * the TLS library's, since a build without TLS signs, too.
 */
#include <stdlib.h>

#include "control.h"

#define TOKEN_BLOCK 64

/* -------------------------------------------------------------- SHA-256 -- */

/* The first bits of the fractions of the first primes' cube roots. */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* Turns a word to the right. */
static uint32_t sha256_turn(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

/* The words of a block and those made of them. */
static void sha256_schedule(const uint8_t *block, uint32_t w[64])
{
    size_t i;

    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 |
               (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + w[i - 7] +
               (sha256_turn(a, 7) ^ sha256_turn(a, 18) ^ a >> 3) +
               (sha256_turn(b, 17) ^ sha256_turn(b, 19) ^ b >> 10);
    }
}

/* Takes in one block (6.2.2). */
static void sha256_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], v[8];
    size_t i;

    sha256_schedule(block, w);
    memcpy(v, h, sizeof v);
    for (i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t one = v[7] + sha256_k[i] + w[i] +
                       (sha256_turn(e, 6) ^ sha256_turn(e, 11) ^
                        sha256_turn(e, 25)) +
                       ((e & v[5]) ^ (~e & v[6]));
        uint32_t two = (sha256_turn(a, 2) ^ sha256_turn(a, 13) ^
                        sha256_turn(a, 22)) +
                       ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += one;
        v[0] = one + two;
    }
    for (i = 0; i < 8; i++)
        h[i] += v[i];
}

/* The hash of some bytes. */
void sha256(const void *bytes, size_t len, uint8_t out[32])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *at = bytes;
    uint8_t last[2 * TOKEN_BLOCK] = {0};
    size_t left = len % TOKEN_BLOCK, end, i;

    for (i = 0; i < len / TOKEN_BLOCK; i++)
        sha256_block(h, at + i * TOKEN_BLOCK);
    if (left > 0)
        memcpy(last, at + len - left, left);
    last[left] = 0x80;
    end = left < TOKEN_BLOCK - 8 ? TOKEN_BLOCK : 2 * TOKEN_BLOCK;
    for (i = 0; i < 8; i++)
        last[end - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    for (i = 0; i < end; i += TOKEN_BLOCK)
        sha256_block(h, last + i);
    for (i = 0; i < 32; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}

/* The hash of a text, in hexadecimal digits. */
void sha256_hex(const char *text, char out[65])
{
    uint8_t hash[32];
    size_t i;

    sha256(text, strlen(text), hash);
    for (i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* HMAC-SHA-256 (RFC 2104) under a key of 32 bytes. */
static void token_sign(const uint8_t key[32], const char *text, size_t len,
                       uint8_t out[32])
{
    uint8_t *inner = take(TOKEN_BLOCK + len);
    uint8_t outer[TOKEN_BLOCK + 32];
    size_t i;

    for (i = 0; i < TOKEN_BLOCK; i++) {
        uint8_t byte = i < 32 ? key[i] : 0;

        inner[i] = byte ^ 0x36;
        outer[i] = byte ^ 0x5c;
    }
    memcpy(inner + TOKEN_BLOCK, text, len);
    sha256(inner, TOKEN_BLOCK + len, outer + TOKEN_BLOCK);
    sha256(outer, sizeof outer, out);
    lssb_wipe(inner, TOKEN_BLOCK);
    lssb_wipe(outer, TOKEN_BLOCK);
    free(inner);
}

/* ------------------------------------------------------------ base64url -- */

static const char token_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Appends bytes in base64url, without padding (RFC 4648 5). */
static void token_encode(struct bytes *out, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint32_t bits = 0;
    unsigned count = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        bits = bits << 8 | at[i];
        for (count += 8; count >= 6; count -= 6)
            bytes_add(out, &token_digits[bits >> (count - 6) & 63], 1);
    }
    if (count > 0)
        bytes_add(out, &token_digits[bits << (6 - count) & 63], 1);
}

/* Undoes it, taken, with a NUL behind; NULL when a digit is none. */
static char *token_decode(const char *text, size_t len)
{
    char *out = take(len + 1);
    uint32_t bits = 0;
    unsigned count = 0;
    size_t i, n = 0;

    for (i = 0; i < len; i++) {
        const char *digit =
            text[i] == '\0' ? NULL : strchr(token_digits, text[i]);

        if (digit == NULL) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(digit - token_digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[n++] = (char)(bits >> count & 255);
        }
    }
    return out;
}

/* --------------------------------------------------------------- tokens -- */

/* Appends the signature of what is there. */
static void token_seal(const struct sandboxd *d, struct bytes *token)
{
    uint8_t signature[32];

    token_sign(d->token_key, token->at, token->len, signature);
    bytes_add_string(token, ".");
    token_encode(token, signature, sizeof signature);
}

/* A token of some claims, taken; NULL when they are no JSON. */
char *token_make(const struct sandboxd *d, json_fn *claims, const void *ctx)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    struct bytes token = {0};
    size_t len;
    char *text = json_text(claims, ctx, &len);

    if (text == NULL)
        return NULL;
    token_encode(&token, header, sizeof header - 1);
    bytes_add_string(&token, ".");
    token_encode(&token, text, len);
    free(text);
    token_seal(d, &token);
    return token.at;
}

/* Whether claims say that they hold no more. */
static bool token_expired(const char *claims)
{
    struct value object = {claims, strlen(claims)};
    struct value exp = value_get(object, "exp");
    int64_t seconds;

    return !value_is_null(exp) && (!value_integer(exp, &seconds) ||
                                   seconds * 1000000 <= wall_us());
}

/* The claims of a token, taken, if it is one of ours and has not expired. What
 * we signed needs no further check. */
char *token_read(const struct sandboxd *d, const char *token)
{
    const char *second = strchr(token, '.');
    const char *third = second == NULL ? NULL : strchr(second + 1, '.');
    struct bytes sealed = {0};
    char *claims = NULL;

    if (third == NULL)
        return NULL;
    bytes_add(&sealed, token, (size_t)(third - token));
    token_seal(d, &sealed);
    if (same_secret(sealed.at, token))
        claims = token_decode(second + 1, (size_t)(third - second - 1));
    bytes_free(&sealed);
    if (claims != NULL && token_expired(claims)) {
        free(claims);
        claims = NULL;
    }
    return claims;
}
