/* fuzz_x509.c: certificates and bundles from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target, for either backend. The first byte chooses: a chain of one certificate for
 * the judge, a bundle for the search, or a client's own certificate and key.
 * A walk must tell the same wherever its input is split, and nothing that a
 * fuzzer makes up may be trusted.
 */
#include <stdlib.h>

#ifdef LSSB_TEST_MBEDTLS
#include "port/tls_mbedtls.c"
#else
#include "port/tls_bearssl.c"
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

static uint8_t no_name[] = { 0x30, 0 };

/* A number that tells one course of events from another. */
static uint64_t walk_all(const uint8_t *data, size_t size, size_t piece)
{
    static struct x509_walk walk;
    static uint8_t key[X509_SLOT_KEY], names[2][X509_VALUE];
    enum x509_event event = X509_MORE;
    uint64_t course = 1;
    size_t at = 0, n, used;

    x509_start(&walk);
    walk.key.at = key;
    walk.key.size = sizeof key;
    walk.issuer.at = names[0];
    walk.subject.at = names[1];
    walk.issuer.size = walk.subject.size = X509_VALUE;
    while (at < size && event != X509_DONE && event != X509_WRONG) {
        n = size - at < piece ? size - at : piece;
        event = x509_next(&walk, data + at, n, &used);
        must(used <= n && (used == n || event != X509_MORE));
        at += used;
        if (event != X509_MORE)
            course = (course * 31 + (uint64_t)event) * 31 + at;
    }
    return course * 31 + walk.hash[0] + (uint64_t)walk.until +
           walk.purposes + walk.constrained * 2u + walk.authority * 4u;
}

static lssb_error error;
static lssb_trust trust;
static lssb_port port;
static lssb_tls_setup setup;

/* Judges the bytes as the only certificate of a chain. */
#ifdef LSSB_TEST_MBEDTLS

static bool judged(const uint8_t *data, size_t size)
{
    static struct tls_session session;
    mbedtls_x509_crt parsed;
    uint32_t flags = 1;
    bool good = false;

    mbedtls_x509_crt_init(&parsed);
    session.wire.certificates = (uint32_t)size + 6;
    tls_judge_prepare(&session.judge, &setup, INT64_C(1811808000));
    tls_error(&setup, &session.judge.hosts, LSSB_E_CERTIFICATE, 0);
    if (mbedtls_x509_crt_parse_der(&parsed, data, size) == 0)
        good = tls_verify(&session, &parsed, 0, &flags) == 0;
    else
        lssb_text_add(&session.judge.hosts, "not parsed");
    mbedtls_x509_crt_free(&parsed);
    return good;
}

#else

static bool judged(const uint8_t *data, size_t size)
{
    static struct tls_chain chain;
    const br_x509_class **ctx = &chain.vtable;

    tls_chain_prepare(&chain, &setup, INT64_C(1811808000));
    (*ctx)->start_chain(ctx, setup.host);
    (*ctx)->start_cert(ctx, (uint32_t)size);
    (*ctx)->append(ctx, data, size);
    (*ctx)->end_cert(ctx);
    return (*ctx)->end_chain(ctx) == 0;
}

#endif

/* Gives the bytes to the judge as a certificate, and as its own anchor. */
static void judge(const uint8_t *data, size_t size)
{
    setup.host = "good.example";
    setup.trust = &trust;
    setup.port = &port;
    setup.error = &error;
    trust.anchors = data;
    trust.anchors_len = size;
    trust.only = true;
    must(judged(data, size) || error.message[0] != '\0');
    must(lssb_utf8_valid(error.message, strlen(error.message)) ==
         strlen(error.message));
}

/* Searches the bytes as a bundle, in memory. */
static void search_bundle(const uint8_t *data, size_t size)
{
    static struct x509_search search;

    memset(&search, 0, sizeof search);
    search.trust = &trust;
    search.issuer.at = search.subject.at = no_name;
    search.issuer.len = search.subject.len = sizeof no_name;
    search.now = INT64_C(1811808000);
    trust.anchors = data;
    trust.anchors_len = size;
    trust.only = true;
    x509_search_run(&search, &port, NULL);
    must(search.count <= X509_SLOTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t half;

    memset(&trust, 0, sizeof trust);
    if (size < 2)
        return 0;
    switch (data[0] % 4) {
    case 0:
        must(walk_all(data + 1, size - 1, size) ==
             walk_all(data + 1, size - 1, 1));
        must(walk_all(data + 1, size - 1, size) ==
             walk_all(data + 1, size - 1, data[1] % 16 + 1u));
        break;
    case 1:
        judge(data + 1, size - 1);
        break;
    case 2:
        search_bundle(data + 1, size - 1);
        break;
    default:
        half = data[1] * (size - 2) / 255;
        trust.certificate = data + 2;
        trust.certificate_len = half;
        trust.key = data + 2 + half;
        trust.key_len = size - 2 - half;
        tls_check(&trust, &error);
        tls_session_size(&trust);
        break;
    }
    return 0;
}
