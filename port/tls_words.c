/* tls_words.c: failures in words, for the backends, which include this.
 *
 * SPDX-License-Identifier: MIT
 *
 * What goes wrong sounds the same with every backend, and has the same code
 * where it is about a certificate (enum tls_code) or an alert (256 and its
 * number). All other codes are the library's own.
 */

/* Why a certificate is refused. The numbers are BearSSL's. */
enum tls_code {
    TLS_KEY_NOT_FOR_TLS = 28,
    TLS_UNREADABLE = 33,
    TLS_NO_CERTIFICATE = 35,
    TLS_UNSUPPORTED = 49,
    TLS_TOO_MUCH = 50,
    TLS_WRONG_KEY = 51,
    TLS_BAD_SIGNATURE = 52,
    TLS_NO_CLOCK = 53,
    TLS_NOT_NOW = 54,
    TLS_OUT_OF_ORDER = 55,
    TLS_OTHER_HOST = 56,
    TLS_CRITICAL = 57,
    TLS_NO_AUTHORITY = 58,
    TLS_NOT_FOR_THAT = 59,
    TLS_WEAK_KEY = 60,
    TLS_UNTRUSTED = 62,

    TLS_ALERT = 256                 /* and the alert's number */
};

/* What goes wrong with a handshake or a record, after "TLS with HOST failed".
 * These are of general interest; the rest is in the backend. */
#define TLS_NO_TLS "the server does not speak TLS"
#define TLS_OLD_VERSION "the server speaks no TLS 1.2, but an older version"
#define TLS_TAMPERED "a record was tampered with"
#define TLS_NO_KEY "the server does not have its certificate's key"

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

/* Alerts (RFC 5246 7.2, RFC 6066, RFC 7301, RFC 8446). */
static const struct tls_words tls_alert_words[] = {
    { 10, "unexpected message" },
    { 20, "bad record MAC" },
    { 21, "decryption failed" },
    { 22, "record overflow" },
    { 30, "decompression failure" },
    { 40, "handshake failure; no common version or cipher suite, perhaps, or "
          "it wants a client certificate" },
    { 41, "no certificate" },
    { 42, "bad certificate" },
    { 43, "unsupported certificate" },
    { 44, "certificate revoked" },
    { 45, "certificate expired" },
    { 46, "certificate unknown" },
    { 47, "illegal parameter" },
    { 48, "unknown authority" },
    { 49, "access denied" },
    { 50, "decode error" },
    { 51, "decrypt error" },
    { 60, "export restriction" },
    { 70, "protocol version; it does not speak TLS 1.2, perhaps" },
    { 71, "insufficient security" },
    { 80, "internal error" },
    { 86, "inappropriate fallback" },
    { 90, "user canceled" },
    { 100, "no renegotiation" },
    { 109, "missing extension" },
    { 110, "unsupported extension" },
    { 112, "unrecognized name" },
    { 113, "bad certificate status response" },
    { 115, "unknown PSK identity" },
    { 116, "certificate required; it wants a client certificate" },
    { 120, "no application protocol" }
};

/* Says what an alert of the server's means. */
static void tls_say_alert(const lssb_tls_setup *setup, int32_t alert)
{
    const char *words = TLS_WORDS(tls_alert_words, alert);
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_PROTOCOL, TLS_ALERT + alert);
    lssb_text_add(&text, "the server ended TLS with alert ");
    lssb_text_add_i64(&text, alert);
    lssb_text_add(&text, ": ");
    lssb_text_add(&text, words != NULL ? words : "unknown");
}

/* Says how TCP ended under a session: a port's result. */
static void tls_say_cut(const lssb_tls_setup *setup, ptrdiff_t io, bool open)
{
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_CONNECTION, 0);
    lssb_text_add(&text, setup->host);
    lssb_text_add(&text, io == 0               ? " ended the connection"
                         : io == LSSB_IO_RESET ? " reset the connection"
                                               : ": the connection failed");
    if (!open)
        lssb_text_add(&text, " during the TLS handshake");
    else if (io == 0)
        lssb_text_add(&text, " without a word (no close_notify)");
}

/* Says how the handshake or the record layer failed; without words, by the
 * library's name and its code. */
static void tls_say_failed(const lssb_tls_setup *setup, int32_t code,
                           const char *words, const char *library)
{
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_PROTOCOL, code);
    lssb_text_add(&text, "TLS with ");
    lssb_text_add(&text, setup->host);
    lssb_text_add(&text, " failed: ");
    if (words != NULL) {
        lssb_text_add(&text, words);
        return;
    }
    lssb_text_add(&text, library);
    lssb_text_add(&text, "'s error ");
    lssb_text_add_i64(&text, code);
}

/* The session's memory does not hold it. */
static lssb_status tls_say_no_memory(const lssb_tls_setup *setup)
{
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_NO_MEMORY, 0);
    lssb_text_add(&text, "the TLS session has too little memory");
    return LSSB_E_NO_MEMORY;
}

/* Without randomness, or with an absurd host, nothing starts. */
static lssb_status tls_say_no_start(const lssb_tls_setup *setup, int32_t code)
{
    struct lssb_text text;

    tls_error(setup, &text, LSSB_E_PROTOCOL, code);
    lssb_text_add(&text, "TLS could not start: no randomness, or a host name "
                         "that is too long");
    return LSSB_E_PROTOCOL;
}

/* What is wrong with trust beside the client's own certificate, or NULL. */
static const char *tls_trust_wrong(const lssb_trust *trust)
{
    if ((trust->anchors == NULL) != (trust->anchors_len == 0))
        return "trust.anchors and trust.anchors_len need each other";
    if (trust->only && trust->anchors == NULL && trust->file == NULL)
        return "trust.only leaves nobody to trust: set file or anchors";
    if (trust->pin_count > 0 && trust->pins == NULL)
        return "trust.pins is NULL, but trust.pin_count is not 0";
    return NULL;
}

/* Says what is wrong with trust, if anything. */
static lssb_status tls_say_invalid(const char *wrong, lssb_error *error)
{
    struct lssb_text text;

    if (wrong == NULL)
        return LSSB_OK;
    memset(error, 0, sizeof *error);
    error->status = LSSB_E_INVALID_ARGUMENT;
    error->layer = LSSB_LAYER_CALLER;
    lssb_text_start(&text, error->message, sizeof error->message);
    lssb_text_add(&text, wrong);
    return LSSB_E_INVALID_ARGUMENT;
}
