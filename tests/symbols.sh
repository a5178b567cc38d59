#!/bin/sh
# What the library's objects ask for and hold: sh tests/symbols.sh OBJECT...
# No heap, no stdio, no errno, nothing written that is global, no name that is
# not ours. port/posix.o is the platform's and not given here. mbedTLS has a
# heap, and room for a client's key is taken from it.
# SPDX-License-Identifier: MIT
set -u
allowed='^(memcpy|memmove|memset|memcmp|bcmp|memchr|strlen|strcpy|strcmp|strncmp|strchr|br_[a-z0-9_]*|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|lssb_default_port|lssb_default_listen_port|lssb_default_tls)$'
case $* in
*tls_mbedtls.o*) allowed="$allowed|^(mbedtls_[a-z0-9_]*|psa_crypto_init|calloc|free)\$" ;;
esac
passed=0 failed=0

# check NAME FINDINGS: a test that passes when nothing was found.
check() {
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1:"
        echo "$2" | sed 's/^/  /'
    fi
}

defined=$(nm --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u)
unknown=$(nm -u "$@" | awk 'NF == 2 { print $2 }' | sort -u |
    grep -vE "$allowed" | grep -vxF "$defined")
check "the library asks for string functions and TLS only" "$unknown"
check "every external name begins with lssb_" \
    "$(nm -g --defined-only "$@" | awk 'NF == 3 { print $3 }' | grep -v '^lssb_')"
# Constant tables of pointers are .data.rel.ro: read-only once they are loaded.
check "nothing global is ever written" \
    "$(size -A "$@" | awk '$1 ~ /^\.(data|bss|tdata|tbss)/ &&
        $1 !~ /^\.data\.rel\.ro/ && $2 > 0')"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
