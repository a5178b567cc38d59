/* tls.c: the server's side of TLS, by BearSSL's engine.
 *
 * SPDX-License-Identifier: MIT
 *
 * TLS 1.2 only, with sessions kept in a cache so that clients can resume
 * them. Without a certificate of the user's, the openssl program makes a
 * throw-away authority and a certificate for this machine's loopback names.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandboxd.h"

#ifdef SANDBOXD_NO_TLS

struct tls_server *tls_server_new(const char *cert, const char *key,
                                  const char **why)
{
    (void)cert;
    (void)key;
    *why = "this sandboxd was built without TLS (SANDBOXD_NO_TLS)";
    return NULL;
}

void tls_server_free(struct tls_server *server)
{
    (void)server;
}

struct tls_link *tls_link_new(struct tls_server *server)
{
    (void)server;
    return NULL;
}

void tls_link_free(struct tls_link *link)
{
    (void)link;
}

ptrdiff_t tls_link_read(struct tls_link *link, int fd, void *to, size_t len)
{
    (void)link;
    (void)fd;
    (void)to;
    (void)len;
    return LINK_BROKEN;
}

ptrdiff_t tls_link_write(struct tls_link *link, int fd, const void *from,
                         size_t len)
{
    (void)link;
    (void)fd;
    (void)from;
    (void)len;
    return LINK_BROKEN;
}

bool tls_link_flush(struct tls_link *link, int fd)
{
    (void)link;
    (void)fd;
    return true;
}

void tls_link_wants(struct tls_link *link, bool *read, bool *write)
{
    (void)link;
    (void)read;
    (void)write;
}

bool tls_link_close(struct tls_link *link, int fd)
{
    (void)link;
    (void)fd;
    return true;
}

#else

#include <bearssl.h>

#define TLS_CHAIN 8
#define TLS_SESSIONS (64 * 1024)

struct tls_server {
    br_x509_certificate chain[TLS_CHAIN];
    size_t chain_len;
    br_skey_decoder_context key;
    unsigned issuer_key_type;
    br_ssl_session_cache_lru sessions;
    unsigned char session_store[TLS_SESSIONS];
};

struct tls_link {
    br_ssl_server_context context;
    unsigned char buffer[BR_SSL_BUFSIZE_BIDI];
    bool ended;                     /* TCP has */
    bool broken;
};

/* Reads a file whole; false when it cannot be, or is over 1 MiB. */
static bool tls_read_file(const char *path, struct bytes *out)
{
    char piece[4096];
    size_t n;
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        return false;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 &&
           out->len < 1024 * 1024)
        bytes_add(out, piece, n);
    n = (size_t)ferror(file);
    fclose(file);
    return n == 0;
}

/* What becomes of each object of a PEM file. */
struct tls_pem {
    void (*object)(void *ctx, const char *name, const struct bytes *der);
    void *ctx;
};

/* BearSSL hands over decoded bytes. */
static void tls_append(void *ctx, const void *bytes, size_t len)
{
    bytes_add(ctx, bytes, len);
}

/* Goes through the objects of a PEM file; false when it cannot be read. */
static bool tls_each_object(const char *path, const struct tls_pem *pem)
{
    br_pem_decoder_context decoder;
    struct bytes text = {0}, der = {0};
    char name[128] = "";
    size_t at = 0;
    bool read = tls_read_file(path, &text);

    br_pem_decoder_init(&decoder);
    while (read && at < text.len) {
        int event;

        at += br_pem_decoder_push(&decoder, text.at + at, text.len - at);
        event = br_pem_decoder_event(&decoder);
        if (event == BR_PEM_BEGIN_OBJ) {
            snprintf(name, sizeof name, "%s", br_pem_decoder_name(&decoder));
            bytes_free(&der);
            br_pem_decoder_setdest(&decoder, tls_append, &der);
        } else if (event == BR_PEM_END_OBJ) {
            pem->object(pem->ctx, name, &der);
        } else if (event == BR_PEM_ERROR) {
            read = false;
        }
    }
    if (text.at != NULL)
        lssb_wipe(text.at, text.len);
    bytes_free(&text);
    bytes_free(&der);
    return read;
}

/* Takes a certificate of the chain. */
static void tls_take_certificate(void *ctx, const char *name,
                                 const struct bytes *der)
{
    struct tls_server *server = ctx;

    if (strstr(name, "CERTIFICATE") == NULL || der->at == NULL ||
        server->chain_len == TLS_CHAIN)
        return;
    server->chain[server->chain_len].data =
        (unsigned char *)take_copy_n(der->at, der->len);
    server->chain[server->chain_len].data_len = der->len;
    server->chain_len++;
}

/* Takes the private key: PKCS #1, SEC 1 or PKCS #8. */
static void tls_take_key(void *ctx, const char *name, const struct bytes *der)
{
    struct tls_server *server = ctx;

    if (strstr(name, "PRIVATE KEY") == NULL || der->at == NULL ||
        br_skey_decoder_key_type(&server->key) != 0)
        return;
    br_skey_decoder_init(&server->key);
    br_skey_decoder_push(&server->key, der->at, der->len);
    lssb_wipe(der->at, der->len);
}

/* Which kind of key signed the server's certificate. */
static unsigned tls_signer(const br_x509_certificate *certificate)
{
    br_x509_decoder_context decoder;

    br_x509_decoder_init(&decoder, NULL, NULL);
    br_x509_decoder_push(&decoder, certificate->data, certificate->data_len);
    return (unsigned)br_x509_decoder_get_signer_key_type(&decoder);
}

/* Loads a certificate chain and its key; NULL, and why, when it cannot. */
struct tls_server *tls_server_new(const char *cert, const char *key,
                                  const char **why)
{
    struct tls_server *server = take(sizeof *server);
    struct tls_pem pem;

    pem.ctx = server;
    pem.object = tls_take_certificate;
    br_skey_decoder_init(&server->key);
    *why = NULL;
    if (!tls_each_object(cert, &pem) || server->chain_len == 0)
        *why = "the certificate file cannot be read";
    pem.object = tls_take_key;
    if (*why == NULL && (!tls_each_object(key, &pem) ||
                         br_skey_decoder_key_type(&server->key) == 0))
        *why = "the key file cannot be read";
    if (*why != NULL) {
        tls_server_free(server);
        return NULL;
    }
    server->issuer_key_type = tls_signer(&server->chain[0]);
    br_ssl_session_cache_lru_init(&server->sessions, server->session_store,
                                  sizeof server->session_store);
    return server;
}

/* Frees it and forgets its key. */
void tls_server_free(struct tls_server *server)
{
    size_t i;

    if (server == NULL)
        return;
    for (i = 0; i < server->chain_len; i++)
        free(server->chain[i].data);
    lssb_wipe(server, sizeof *server);
    free(server);
}

/* Starts the server's side of a session. */
struct tls_link *tls_link_new(struct tls_server *server)
{
    static const char *protocols[] = {"http/1.1"};
    struct tls_link *link = take(sizeof *link);
    br_ssl_server_context *context = &link->context;
    unsigned char seed[32];

    if (br_skey_decoder_key_type(&server->key) == BR_KEYTYPE_EC)
        br_ssl_server_init_full_ec(context, server->chain, server->chain_len,
                                   server->issuer_key_type,
                                   br_skey_decoder_get_ec(&server->key));
    else
        br_ssl_server_init_full_rsa(context, server->chain, server->chain_len,
                                    br_skey_decoder_get_rsa(&server->key));
    br_ssl_engine_set_versions(&context->eng, BR_TLS12, BR_TLS12);
    br_ssl_engine_add_flags(&context->eng, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_set_protocol_names(&context->eng, protocols, 1);
    br_ssl_server_set_cache(context, &server->sessions.vtable);
    br_ssl_engine_set_buffer(&context->eng, link->buffer, sizeof link->buffer,
                             1);
    fill_random(seed, sizeof seed);
    br_ssl_engine_inject_entropy(&context->eng, seed, sizeof seed);
    br_ssl_server_reset(context);
    return link;
}

/* Frees it and forgets its keys. */
void tls_link_free(struct tls_link *link)
{
    if (link == NULL)
        return;
    lssb_wipe(link, sizeof *link);
    free(link);
}

/* Sends a piece of a record; whether anything moved. */
static bool tls_send(struct tls_link *link, int fd)
{
    size_t len;
    unsigned char *from = br_ssl_engine_sendrec_buf(&link->context.eng, &len);
    ssize_t moved = send(fd, from, len, 0);

    if (moved > 0) {
        br_ssl_engine_sendrec_ack(&link->context.eng, (size_t)moved);
        return true;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        link->broken = true;
    return false;
}

/* Receives a piece of a record; whether anything moved. */
static bool tls_receive(struct tls_link *link, int fd)
{
    size_t len;
    unsigned char *to = br_ssl_engine_recvrec_buf(&link->context.eng, &len);
    ssize_t moved = recv(fd, to, len, 0);

    if (moved > 0) {
        br_ssl_engine_recvrec_ack(&link->context.eng, (size_t)moved);
        return true;
    }
    if (moved == 0)
        link->ended = true;
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        link->broken = true;
    return false;
}

/* Moves wire bytes until nothing moves any more, or data waits. */
static void tls_pump(struct tls_link *link, int fd)
{
    bool moved = true;

    while (moved && !link->broken) {
        unsigned state = br_ssl_engine_current_state(&link->context.eng);

        moved = (state & BR_SSL_SENDREC) != 0 && tls_send(link, fd);
        if (!moved && (state & BR_SSL_RECVAPP) == 0 &&
            (state & BR_SSL_RECVREC) != 0 && !link->ended)
            moved = tls_receive(link, fd);
    }
}

/* Decrypted bytes; 0 at the end, or LINK_AGAIN, LINK_BROKEN. */
ptrdiff_t tls_link_read(struct tls_link *link, int fd, void *to, size_t len)
{
    br_ssl_engine_context *engine = &link->context.eng;
    unsigned char *from;
    size_t there;

    tls_pump(link, fd);
    from = br_ssl_engine_recvapp_buf(engine, &there);
    if (from != NULL) {
        there = there < len ? there : len;
        memcpy(to, from, there);
        br_ssl_engine_recvapp_ack(engine, there);
        return (ptrdiff_t)there;
    }
    if (link->broken)
        return LINK_BROKEN;
    if (br_ssl_engine_current_state(engine) == BR_SSL_CLOSED)
        return br_ssl_engine_last_error(engine) == BR_ERR_OK ? 0
                                                              : LINK_BROKEN;
    return link->ended ? 0 : LINK_AGAIN;
}

/* Encrypts and sends what fits; LINK_AGAIN, LINK_BROKEN. */
ptrdiff_t tls_link_write(struct tls_link *link, int fd, const void *from,
                         size_t len)
{
    br_ssl_engine_context *engine = &link->context.eng;
    unsigned char *to;
    size_t room;

    tls_pump(link, fd);
    if (link->broken ||
        br_ssl_engine_current_state(engine) == BR_SSL_CLOSED)
        return LINK_BROKEN;
    to = br_ssl_engine_sendapp_buf(engine, &room);
    if (to == NULL)
        return LINK_AGAIN;
    room = room < len ? room : len;
    memcpy(to, from, room);
    br_ssl_engine_sendapp_ack(engine, room);
    br_ssl_engine_flush(engine, 0);
    tls_pump(link, fd);
    return (ptrdiff_t)room;
}

/* Whether all that was written has gone to the socket. */
bool tls_link_flush(struct tls_link *link, int fd)
{
    tls_pump(link, fd);
    return (br_ssl_engine_current_state(&link->context.eng) &
            BR_SSL_SENDREC) == 0;
}

/* Adds what the engine waits for, whatever its user wants: the handshake. Data
 * that is decrypted already will not make the socket readable. */
void tls_link_wants(struct tls_link *link, bool *read, bool *write)
{
    unsigned state = br_ssl_engine_current_state(&link->context.eng);

    if ((state & (BR_SSL_SENDAPP | BR_SSL_RECVAPP | BR_SSL_SENDREC)) == 0 &&
        (state & BR_SSL_RECVREC) != 0)
        *read = true;
    if ((state & BR_SSL_SENDREC) != 0 ||
        (*read && (state & BR_SSL_RECVAPP) != 0))
        *write = true;
}

/* Sends the orderly end; whether all of it has gone. */
bool tls_link_close(struct tls_link *link, int fd)
{
    br_ssl_engine_close(&link->context.eng);
    return tls_link_flush(link, fd) || link->broken;
}

#endif

/* ------------------------------------------------- throw-away certificates -- */

static const char tls_openssl_config[] =
    "[req]\ndistinguished_name = name\nprompt = no\n"
    "[name]\nCN = localhost\n"
    "[authority]\nbasicConstraints = critical, CA:TRUE\n"
    "keyUsage = critical, keyCertSign, cRLSign\n"
    "subjectKeyIdentifier = hash\n"
    "[server]\nbasicConstraints = CA:FALSE\n"
    "keyUsage = digitalSignature\nextendedKeyUsage = serverAuth\n"
    "subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1\n";

/* The commands that make them, in a directory that holds config. */
static const char *const tls_openssl[][24] = {
    {"openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
     "ca.key"},
    {"openssl", "req", "-x509", "-new", "-key", "ca.key", "-config", "config",
     "-extensions", "authority", "-subj", "/CN=sandboxd throw-away CA",
     "-sha256", "-days", "30", "-out", "ca.pem"},
    {"openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
     "server.key"},
    {"openssl", "req", "-new", "-key", "server.key", "-config", "config",
     "-out", "server.csr"},
    {"openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem",
     "-CAkey", "ca.key", "-CAcreateserial", "-sha256", "-days", "30",
     "-extfile", "config", "-extensions", "server", "-out", "server.pem"}};

/* Makes an authority and a server's certificate in a new directory; the
 * authority's key is deleted. False when the openssl program cannot. */
bool tls_make_files(const char *dir, char **ca, char **cert, char **key)
{
    char *config = take_format("%s/config", dir);
    char *secret = take_format("%s/ca.key", dir);
    bool fine = mkdir(dir, 0700) == 0;
    FILE *file = fine ? fopen(config, "w") : NULL;
    size_t i;

    if (file != NULL) {
        fputs(tls_openssl_config, file);
        fine = fclose(file) == 0;
    }
    fine = fine && file != NULL;
    for (i = 0; fine && i < sizeof tls_openssl / sizeof tls_openssl[0]; i++)
        fine = process_run(tls_openssl[i], dir);
    unlink(secret);
    free(config);
    free(secret);
    *ca = take_format("%s/ca.pem", dir);
    *cert = take_format("%s/server.pem", dir);
    *key = take_format("%s/server.key", dir);
    return fine;
}
