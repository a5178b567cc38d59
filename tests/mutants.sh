#!/bin/sh
# Takes the checks of a TLS backend out, one at a time, and expects the unit
# tests of TLS to turn red for each. Builds in the folder given.
#
#     tests/mutants.sh build/mutants bearssl
#     tests/mutants.sh build/mutants mbedtls
#
# A line of the list: the file (port/tls_….c), what is taken out, and a sed
# command that does so, parted by "|". The other backend's files are passed
# over.
#
# SPDX-License-Identifier: MIT
set -eu
dir=$1
tls=${2:-bearssl}
cc=${CC:-cc}
certs=${LSSB_CERTS:-build/tests/certs}
include=${BEARSSL_INCLUDE:-/usr/include/bearssl}
other=mbedtls_ flags= libs=
if [ "$tls" = mbedtls ]; then
    other=bearssl_
    flags=-DLSSB_TEST_MBEDTLS
    libs='-Wl,--wrap=calloc,--wrap=free
        -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic'
fi
mkdir -p "$dir"
sh tests/certs.sh "$certs"

build() {
    # shellcheck disable=SC2086
    $cc -std=c99 -O1 -D_POSIX_C_SOURCE=200809L $flags -isystem "$include" \
        -I"$dir/tree" -o "$dir/unit_tls" "$dir/tree/tests/unit_tls.c" \
        "$dir/text.o" "$dir/url.o" $libs -lbearssl
}

fresh() {
    rm -rf "$dir/tree"
    mkdir -p "$dir/tree/tests"
    cp -r port src lssb.h "$dir/tree"
    cp tests/unit_tls.c tests/test.h "$dir/tree/tests"
}

for part in text url; do
    $cc -std=c99 -O1 -c -o "$dir/$part.o" src/$part.c
done
fresh
build
LSSB_CERTS=$certs "$dir/unit_tls" alone > "$dir/log" ||
    { cat "$dir/log"; echo "red before anything was taken out"; exit 1; }

killed=0
survived=0
while IFS='|' read -r part what command; do
    case ${part}_ in _ | "#"* | "$other"*) continue ;; esac
    file=port/tls_$part.c
    fresh
    sed "$command" "$file" > "$dir/tree/$file"
    if cmp -s "$file" "$dir/tree/$file"; then
        echo "NOTHING TAKEN OUT: $what"
        survived=$((survived + 1))
    elif ! build 2> "$dir/log"; then
        echo "DOES NOT BUILD: $what"
        survived=$((survived + 1))
    elif (ulimit -t 60 && LSSB_CERTS=$certs exec "$dir/unit_tls" alone) > "$dir/log" 2>&1; then
        echo "STILL GREEN: $what"
        survived=$((survived + 1))
    else
        killed=$((killed + 1))
    fi
done <<'LIST'
judge|the dates of a chain|s/if (judge->now >= walk->from .*/if (walk != NULL)/
judge|the host's name|s/judge->count == 1 && !judge->host_found/false/
judge|names for names, addresses for addresses|s/if (walk->is_address != judge->by_address)/if (false)/
judge|the address itself|s/memcmp(walk->value, judge->address.bytes, len) == 0/true/
judge|wildcards stay below two labels|s/memchr(name + 2, '.', len - 2) == NULL/false/
judge|a wildcard is a whole label|s/name\[0\] != '\*' ||/false ||/
judge|extended key usage|s/walk->purposes \&\& !walk->for_servers/false/
judge|name constraints|s/    if (walk->constrained)/    if (false)/
judge|junk behind the path|s/return judge->refused != 0 || judge->trusted;/return judge->refused != 0;/
judge|how many certificates|s/judge->count > TLS_CHAIN_LIMIT/false/
judge|pins need a pinned path|s/search->only_pinned = .*/search->only_pinned = false;/
judge|pins are compared|s/x509_pinned(judge->setup->trust, judge->walk.hash))/true)/
judge|the leaf's name only for direct trust|s/judge->count == 1 && subject->len <= subject->size/false/
judge|certificates below an anchor|s/search->below = judge->count - 1;/search->below = 0;/
anchors|an anchor's expiry|s/search->now > walk->until/false/
anchors|an anchor's first day|s/search->now < walk->from/false/
anchors|an anchor's constraints|s/    if (walk->constrained)/    if (false)/
anchors|an anchor's extended key usage|s/walk->purposes \&\& !walk->for_servers/false/
anchors|an anchor's path length|s/ca && walk->has_path && walk->path < search->below/false/
anchors|an anchor's pin|s/search->only_pinned && !x509_pinned(search->trust, walk->hash)/false/
anchors|an anchor is an authority|s/anchor.ca = walk->authority \&\&/anchor.ca =/
anchors|an anchor may sign|s/(!walk->usage || walk->may_sign)/true/
anchors|an anchor's key is strong|s/|| x509_is_weak(&anchor.key)//
anchors|an anchor counts once|s/if (x509_same_key(&search->anchors\[i\].key, &anchor.key))/if (false)/
anchors|only|s/if (!trust->only)/if (true)/
anchors|broken base64|s/if (search->complete && !pem->broken)/if (search->complete)/
x509|two algorithms are one|s/return walk->value_len == walk->algorithm_len \&\&/return true ||/
x509|an extension occurs once|s/(walk->seen & bit) != 0/false/
x509|lengths are short|s/\*len < 0x80 || \*len >> 8 \* (more - 1) == 0 ? -1 : 1/1/
x509|the fields' order|s/if (field > X509_EXTENSIONS || tag != rows\[field\].tag)/if (field > X509_EXTENSIONS)/
x509|control characters|s/bytes\[i\] < 0x20 || bytes\[i\] >= 0x7F ? '?' : (char)bytes\[i\]/(char)bytes[i]/
x509|numbers of keys are positive|s/ || out->at\[0\] >= 0x80//
x509|points are written whole|s/return point.len == sizes.*/return true;/
x509|names are in one piece|s/if (tag == 0xA1 || tag == 0xA2 || tag == 0xA6)/if (false)/
own|an encrypted key|s/"ENCRYPTED PRIVATE KEY"/"X"/
bearssl|the clock's floor|s/if (now < LSSB_CLOCK_FLOOR)/if (false)/
bearssl|TLS 1.2 only|s/br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12)/br_ssl_engine_set_versions(engine, BR_TLS10, BR_TLS12)/
bearssl|no renegotiation|s/br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);//
bearssl|no session for who wants none|s/        session->setup->trust->no_resumption)/        false)/
bearssl|no server name for an address|s/if (session->chain.judge.by_address)/if (false)/
bearssl|large records|s/engine->log_max_frag_len = 14;/;/
bearssl|a cut is no end|s/return tls_cut(session, n);/return session->ended = LSSB_END;/
bearssl|reading goes on when writing fails|s/session->write_failed = n != LSSB_IO_AGAIN;/if (n != LSSB_IO_AGAIN) session->ended = LSSB_E_CONNECTION;/
bearssl|a pump ends|s/ && round < TLS_ROUNDS//
bearssl_chain|a refused chain gives no success|s/return (unsigned)judge->refused;/return code;/
bearssl_chain|keys of 1024 bits|s/br_x509_minimal_set_minrsa(minimal, X509_MIN_RSA);//
bearssl_chain|SHA-1|s/br_x509_minimal_set_hash(minimal, br_sha512_ID, &br_sha512_vtable);/&br_x509_minimal_set_hash(minimal, br_sha1_ID, \&br_sha1_vtable);/
bearssl_chain|a leaf as anchor is no authority|s/search->anchors\[i\].ca ? BR_X509_TA_CA : 0/BR_X509_TA_CA/
bearssl_own|the key belongs to the certificate|s/wrong == NULL && !own_key_fits(&key, public_key)/false/
bearssl_own|nothing for a decoder that is done|s/if (br_skey_decoder_last_error(key) == BR_ERR_X509_TRUNCATED)/if (true)/
mbedtls_chain|names follow one another|s/    if (!x509_same(&wanted, &name))/    if (false)/
mbedtls_chain|an issuer is an authority|s/    if (!walk->authority ||/    if (false ||/
mbedtls_chain|an issuer's path length|s/(walk->has_path && walk->path < judge->count - 2)/false/
mbedtls_chain|an issuer may sign|s/    if (walk->usage && !walk->may_sign)/    if (false)/
mbedtls_chain|an issuer has signed|s/tls_signature_wrong(tls_has_signed(tls_slice(&issuer->pk_raw),/(0 * tls_has_signed(tls_slice(\&issuer->pk_raw),/
mbedtls_chain|an anchor has signed|s/judge->trusted = code == 0;/judge->trusted = true;/
mbedtls_chain|a signature is verified|s/code = mbedtls_pk_verify(&key, what->by->hash, digest, 0,/code = (int)(0 */;s/what->bits.at, what->bits.len);/what->bits.len);/
mbedtls_chain|the leaf's key for direct trust|s/judge->trusted = x509_same_key(.*/judge->trusted = true;/
mbedtls_chain|critical extensions|s/walk->critical_purposes || walk->critical_other/false/
mbedtls_chain|keys of 1024 bits|s/    if (x509_is_weak(key))/    if (false)/
mbedtls_chain|keys above 4096 bits|s/    if (key->n.len > X509_MAX_RSA)/    if (false)/
mbedtls_chain|signatures that are not taken|s/    if (parts->by == NULL)/    if (false)/;s/    if (what->by == NULL)/    if (false)/
mbedtls_chain|SHA-1|s/{ .*x0B", 9, true, MBEDTLS_MD_SHA256 },/&{ "\\x2A\\x86\\x48\\x86\\xF7\\x0D\\x01\\x01\\x05", 9, true, MBEDTLS_MD_SHA1 },/
mbedtls_chain|a key for TLS|s/judge->count == 1 && walk->usage && !walk->for_tls/false/
mbedtls_chain|what mbedTLS passes over|s/!tls_is_all(session, certificate)/false/
mbedtls_chain|no trust is no success|s/if (judge->refused != 0 || !judge->trusted)/if (false)/
mbedtls_chain|signatures are short|s/ || (!what->by->rsa \&\& !tls_is_short(what->bits))//
mbedtls|a used-up heap is said|s/    if (tls_is_starved(code))$/    if (false)/
mbedtls|the clock's floor|s/if (now < LSSB_CLOCK_FLOOR)/if (false)/
mbedtls|TLS 1.2 only|s/mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,/&MBEDTLS_SSL_MINOR_VERSION_1);if (0) mbedtls_ssl_conf_min_version(config, 3,/
mbedtls|no renegotiation|s/MBEDTLS_SSL_RENEGOTIATION_DISABLED/MBEDTLS_SSL_RENEGOTIATION_ENABLED/
mbedtls|the judge is asked|s/mbedtls_ssl_conf_verify(config, tls_verify, session);//
mbedtls|a handshake needs the judge's word|s/mbedtls_ssl_conf_verify(config, tls_verify, session);//;s/if (!resumed && !session->judge.trusted)/if (false)/
mbedtls|no session for who wants none|s/    if (session->setup->trust->no_resumption ||/    if (false ||/
mbedtls|no ticket for who wants none|s/        session->setup->trust->no_resumption)/        false)/
mbedtls|no server name for an address|s/if (session->judge.by_address)/if (false)/
mbedtls|who is refused is not told why|s/if (session->write_failed || session->judge.refused != 0)/if (session->write_failed)/
mbedtls|a cut is no end|s/return tls_cut(session, session->read_io);/return session->ended = LSSB_END;/
mbedtls|reading goes on when writing fails|s/    session->write_failed = true;/    session->ended = LSSB_E_CONNECTION;/
mbedtls|a pump ends|s/    session->rounds--;//
mbedtls|the same bytes are offered again|s/session->committed -$/session->committed * 0 + session->committed -/;s/session->writing == 0 \&\&/true \&\&/
mbedtls|an end gives the heap back|s/    own_free(&session->own);//
mbedtls_own|the key belongs to the certificate|s/    if (wrong == NULL \&\&$/    if (false \&\&/
mbedtls_own|a key is all of it|s/ || rest.len != 0 ||/ ||/
LIST
echo "$killed turned red, $survived did not"
test "$survived" = 0
