#!/bin/sh
# mbedTLS 3.x, which Debian 12 does not have: fetches a later Debian's package
# by the system's own mirror, leaves the system as it is, and runs the test
# programs and the servers' tests with it: sh tests/mbedtls3.sh FOLDER
#
# SUITE names another release of Debian; MBEDTLS=DIR says that mbedTLS is there
# and nothing is to be fetched. The package's static archives are used where
# they can be linked, else its source is built.
#
# SPDX-License-Identifier: MIT
set -u
mkdir -p "$1"
folder=$(cd "$1" && pwd)
suite=${SUITE:-trixie}
tree=${MBEDTLS:-$folder/$suite}
make=${MAKE:-make}

# skip REASON: nothing of this can be run here.
skip() {
    echo "  skipped: $1"
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
}

# The mirror of Debian that the system uses.
mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}

# apt_for SUITE: a configuration for apt that knows this suite alone.
apt_for() {
    cat >"$folder/sources" <<END
deb $from $1 main
deb-src $from $1 main
END
    cat >"$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources";
Dir::Etc::sourceparts "/dev/null";
Acquire::Retries "0";
Acquire::http::Timeout "20";
END
}

# links: whether the archives can be linked on this machine.
links() {
    echo '#include <mbedtls/ssl.h>
int main(void) { mbedtls_ssl_context x; mbedtls_ssl_init(&x); return mbedtls_ssl_handshake(&x) == 0; }' \
        >"$folder/links.c"
    ${CC:-cc} -isystem "$tree/include" -o "$folder/links" "$folder/links.c" \
        "$tree/library/libmbedtls.a" "$tree/library/libmbedx509.a" \
        "$tree/library/libmbedcrypto.a" >>"$folder/log" 2>&1
}

# from_package: the headers and archives of libmbedtls-dev.
from_package() {
    APT_CONFIG=$folder/apt.conf sh tests/sysroot.sh "$(dpkg --print-architecture)" \
        "$folder/root" libmbedtls-dev >>"$folder/log" 2>&1 || return
    mkdir -p "$tree" && ln -sfn "$folder/root/usr/include" "$tree/include" &&
        ln -sfn "$(echo "$folder"/root/usr/lib/*-linux-gnu*)" "$tree/library"
}

# from_source: the same, built here.
from_source() {
    rm -rf "$tree" "$folder/source"
    mkdir -p "$folder/source/lists/partial" "$folder/source/cache" "$tree"
    (
        cd "$folder/source" || exit 1
        export APT_CONFIG="$folder/apt.conf"
        own="-o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache -o APT::Sandbox::User=root"
        # shellcheck disable=SC2086
        apt-get -q $own update && apt-get -q $own --download-only source mbedtls &&
            tar xf mbedtls_*.orig.tar.* && cd mbedtls-*/ && make -j2 lib &&
            cp -r include library "$tree"
    ) >>"$folder/log" 2>&1
}

# fetch: mbedTLS 3.x into $tree.
fetch() {
    command -v apt-get >/dev/null 2>&1 || skip 'mbedTLS 3.x: this is not Debian'
    from=$(mirror 2>/dev/null)
    [ -n "$from" ] || skip 'mbedTLS 3.x: no mirror of Debian is known'
    rm -rf "$tree"
    : >"$folder/log"
    apt_for "$suite"
    { from_package && links; } || { from_source && links; } ||
        skip "mbedTLS 3.x: $suite's package cannot be had ($folder/log)"
    touch "$tree/ready"
}

[ -n "${MBEDTLS:-}" ] || [ -e "$tree/ready" ] || fetch
version=$(sed -n 's/.*MBEDTLS_VERSION_STRING  *"\(.*\)"/\1/p' \
    "$tree/include/mbedtls/build_info.h" "$tree/include/mbedtls/version.h" 2>/dev/null)
case $version in 3.*) ;; *) skip "mbedTLS 3.x: $suite has ${version:-no} mbedTLS" ;; esac

with="$make TLS=mbedtls MBEDTLS=$tree BUILD=$folder/build"
sh tests/run.sh \
    "mbedTLS $version" "$with programs WERROR=-Werror && $with unit" \
    "mbedTLS $version: symbols" "$with symbols" \
    "mbedTLS $version: servers with TLS 1.2" \
    "PROTOCOLS=TLSv1.2 BIG=16 $with test-servers" \
    "mbedTLS $version: servers with TLS 1.3" \
    "PROTOCOLS=TLSv1.3 BIG=16 $with test-servers"
