#!/bin/sh
# Takes the checks of port/tls_bearssl*.c out, one at a time, and expects the
# unit tests of TLS to turn red for each. Builds in the folder given.
#
#     tests/mutants.sh build/mutants
#
# A line of the list: the file (tls_bearssl_….c, or "-"), what is taken out, and
# a sed command that does so, parted by "|".
#
# SPDX-License-Identifier: MIT
set -eu
dir=$1
cc=${CC:-cc}
certs=${LSSB_CERTS:-build/tests/certs}
include=${BEARSSL_INCLUDE:-/usr/include/bearssl}
mkdir -p "$dir"
sh tests/certs.sh "$certs"

build() {
    $cc -std=c99 -O1 -D_POSIX_C_SOURCE=200809L -isystem "$include" \
        -I"$dir/tree" -o "$dir/unit_tls" "$dir/tree/tests/unit_tls.c" \
        "$dir/text.o" "$dir/url.o" -lbearssl
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
    case $part in "" | "#"*) continue ;; esac
    file=port/tls_bearssl${part#-}.c
    fresh
    sed "$command" "$file" > "$dir/tree/$file"
    if cmp -s "$file" "$dir/tree/$file"; then
        echo "NOTHING TAKEN OUT: $what"
        survived=$((survived + 1))
    elif ! build 2> "$dir/log"; then
        echo "DOES NOT BUILD: $what"
        survived=$((survived + 1))
    elif LSSB_CERTS=$certs timeout 60 "$dir/unit_tls" alone > "$dir/log" 2>&1; then
        echo "STILL GREEN: $what"
        survived=$((survived + 1))
    else
        killed=$((killed + 1))
    fi
done <<'LIST'
_chain|the dates of a chain|s/if (chain->now >= walk->from .*/if (walk != NULL)/
_chain|the host's name|s/chain->count == 1 && !chain->host_found/false/
_chain|names for names, addresses for addresses|s/if (walk->is_address != chain->by_address)/if (false)/
_chain|the address itself|s/memcmp(walk->value, chain->address.bytes, len) == 0/true/
_chain|wildcards stay below two labels|s/memchr(name + 2, '.', len - 2) == NULL/false/
_chain|a wildcard is a whole label|s/name\[0\] != '\*' ||/false ||/
_chain|extended key usage|s/walk->purposes \&\& !walk->for_servers/false/
_chain|name constraints|s/    if (walk->constrained)/    if (false)/
_chain|junk behind the path|s/return chain->refused != 0 || chain->trusted;/return chain->refused != 0;/
_chain|how many certificates|s/chain->count > TLS_CHAIN_LIMIT/false/
_chain|pins need a pinned path|s/search->only_pinned = .*/search->only_pinned = false;/
_chain|pins are compared|s/x509_pinned(chain->setup->trust, chain->walk.hash))/true)/
_chain|a refused chain gives no success|s/return (unsigned)chain->refused;/return code;/
_chain|keys of 1024 bits|s/br_x509_minimal_set_minrsa(minimal, X509_MIN_RSA);//
_chain|SHA-1|s/br_x509_minimal_set_hash(minimal, br_sha512_ID, &br_sha512_vtable);/&br_x509_minimal_set_hash(minimal, br_sha1_ID, \&br_sha1_vtable);/
_chain|the leaf's name only for direct trust|s/chain->count == 1 && subject->len <= subject->size/false/
_chain|certificates below an anchor|s/search->below = chain->count - 1;/search->below = 0;/
_trust|an anchor's expiry|s/search->now > walk->until/false/
_trust|an anchor's first day|s/search->now < walk->from/false/
_trust|an anchor's constraints|s/    if (walk->constrained)/    if (false)/
_trust|an anchor's extended key usage|s/walk->purposes \&\& !walk->for_servers/false/
_trust|an anchor's path length|s/ca && walk->has_path && walk->path < search->below/false/
_trust|an anchor's pin|s/search->only_pinned && !x509_pinned(search->trust, walk->hash)/false/
_trust|an anchor is an authority|s/bool ca = walk->authority \&\&/bool ca =/
_trust|an anchor may sign|s/(!walk->usage || walk->may_sign)/true/
_trust|an anchor's key is strong|s/key.key.rsa.nlen < X509_MIN_RSA/false/
_trust|an anchor counts once|s/if (x509_same_key(&search->anchors\[i\].pkey, &key))/if (false)/
_trust|a leaf as anchor is no authority|s/ca ? BR_X509_TA_CA : 0/BR_X509_TA_CA/
_trust|only|s/if (!trust->only)/if (true)/
_trust|broken base64|s/if (search->complete && !pem->broken)/if (search->complete)/
_x509|two algorithms are one|s/return walk->value_len == walk->algorithm_len \&\&/return true ||/
_x509|an extension occurs once|s/(walk->seen & bit) != 0/false/
_x509|lengths are short|s/\*len < 0x80 || \*len >> 8 \* (more - 1) == 0 ? -1 : 1/1/
_x509|the fields' order|s/if (field > X509_EXTENSIONS || tag != rows\[field\].tag)/if (field > X509_EXTENSIONS)/
_x509|control characters|s/bytes\[i\] < 0x20 || bytes\[i\] >= 0x7F ? '?' : (char)bytes\[i\]/(char)bytes[i]/
-|the clock's floor|s/if (now < LSSB_CLOCK_FLOOR)/if (false)/
-|TLS 1.2 only|s/br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12)/br_ssl_engine_set_versions(engine, BR_TLS10, BR_TLS12)/
-|no renegotiation|s/br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);//
-|no session for who wants none|s/        session->setup->trust->no_resumption)/        false)/
-|no server name for an address|s/if (session->chain.by_address)/if (false)/
-|large records|s/engine->log_max_frag_len = 14;/;/
-|a cut is no end|s/return tls_cut(session, n);/return session->ended = LSSB_END;/
-|reading goes on when writing fails|s/session->write_failed = n != LSSB_IO_AGAIN;/if (n != LSSB_IO_AGAIN) session->ended = LSSB_E_CONNECTION;/
-|a pump ends|s/ && round < TLS_ROUNDS//
_own|the key belongs to the certificate|s/wrong == NULL && !own_key_fits(&key, public_key)/false/
_own|an encrypted key|s/"ENCRYPTED PRIVATE KEY"/"X"/
_own|nothing for a decoder that is done|s/if (br_skey_decoder_last_error(key) == BR_ERR_X509_TRUNCATED)/if (true)/
LIST
echo "$killed turned red, $survived did not"
test "$survived" = 0
