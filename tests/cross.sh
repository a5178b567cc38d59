#!/bin/sh
# Builds for other machines, and runs the test programs there, as far as this
# machine can: sh tests/cross.sh WHAT BUILD-FOLDER [TARGET...]
#   build    every test program for every target
#   check    the same, and runs them: each target's result on one line
#   quick    a big-endian 32-bit target and Windows: what is tested in a minute
# from the root of the tree; SANDBOXD is the server that programs talk to, this
# machine's own. `make deps cross` installs what it needs. Foreign
# TLS libraries come from Debian, into BUILD-FOLDER/sysroot: they are not
# installed. A target whose compiler is not there is skipped.
# SPDX-License-Identifier: MIT
set -u
what=$1 build=$2
shift 2
case $build in /*) ;; *) build=$PWD/$build ;; esac
mkdir -p "$build" || exit 1
MAKEFLAGS=
WINEDEBUG=-all WINEPREFIX=$build/wine
export MAKEFLAGS WINEDEBUG WINEPREFIX
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
wine=/usr/lib/wine/wine64
sandboxd=${SANDBOXD:-build/sandboxd}
quick=

all="musl armhf armhf-mbedtls arm64 arm64-mbedtls s390x s390x-mbedtls
    mips powerpc riscv64 i386 windows winelib cortex-m0+ cortex-m3 cortex-m4 cortex-m7"

# target NAME: what a target is. $cc, $ar, $tls, $run (what runs its programs),
# $flags (further variables of the Makefile), $suite (what is run there), $only
# (the test programs that are enough, where not all are).
target() {
    prefix= arch= tls=none run= flags= exe= only= suite="unit live"
    case $1 in
    musl) tls=bearssl suite="unit slow live secure own" ;;
    armhf*) arch=armhf prefix=arm-linux-gnueabihf- run=qemu-arm-static ;;
    arm64*) arch=arm64 prefix=aarch64-linux-gnu- run=qemu-aarch64-static ;;
    s390x*) arch=s390x prefix=s390x-linux-gnu- run=qemu-s390x-static ;;
    mips) prefix=mips-linux-gnu- run=qemu-mips-static ;;
    powerpc) prefix=powerpc-linux-gnu- run=qemu-ppc-static ;;
    riscv64) prefix=riscv64-linux-gnu- run=qemu-riscv64-static ;;
    i386) prefix=i686-linux-gnu- suite="unit slow live"
        run="/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib" ;;
    windows) prefix=x86_64-w64-mingw32- run=$wine exe=.exe suite="unit slow live"
        flags=PORT=windows ;;
    winelib) tls=bearssl run=$wine exe=.exe.so suite="unit live secure"
        flags='PORT=windows EXE=.exe.so CPPFLAGS=-D_DEFAULT_SOURCE' ;;
    cortex-*) prefix=arm-none-eabi- tls=bearssl suite=compiled
        flags="PORT=pipe BEARSSL=$build/bearssl" ;;
    *) echo "no such target: $1" >&2; exit 2 ;;
    esac
    cc=${prefix}gcc ar=${prefix}ar
    if [ -n "$arch" ]; then
        root=$build/sysroot/$arch tls=bearssl suite="unit live secure"
        flags="BEARSSL=$root/bearssl MBEDTLS=$root/mbedtls"
        case $1 in *-mbedtls) tls=mbedtls only=unit_tls ;; esac
    fi
    unset LSSB_EMULATED
    case $run in qemu-*) run="$run -L /usr/${prefix%-}" && export LSSB_EMULATED=1 ;; esac
    case $1 in
    musl) cc=musl-gcc ar=ar flags="LDFLAGS=-static BEARSSL=$build/bearssl" ;;
    winelib) cc='winegcc-stable -m64' ar=ar ;;
    cortex-m0+) cpu=-mcpu=cortex-m0plus ;;
    cortex-m3) cpu=-mcpu=cortex-m3 ;;
    cortex-m4) cpu='-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16' ;;
    cortex-m7) cpu='-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16' ;;
    esac
    case $1 in cortex-*) cflags="-Os -mthumb $cpu" ;; *) cflags='-O2 -g' ;; esac
    [ -n "$quick" ] || return 0
    cflags=-O1
    case $1 in
    powerpc) only='unit_http1 unit_json unit_url unit_websocket unit_yamux unit_conn control' ;;
    windows) only='unit_windows unit_files unit_yamux client' ;;
    esac
}

# here TARGET: whether what builds and runs it is on this machine.
here() {
    for tool in ${cc%% *} ${run%% *}; do
        command -v "$tool" >/dev/null 2>&1 || return 1
    done
    [ "$1" != i386 ] || $run --version >/dev/null 2>&1
}

# common: headers that are the same everywhere, without the rest of their folder,
# and this machine's BearSSL.
common() {
    mkdir -p "$build/include" "$build/bearssl/build" &&
        ln -sf /usr/include/jsmn.h "$build/include" &&
        ln -sfn /usr/include/bearssl "$build/bearssl/inc" &&
        ln -sf /usr/lib/*-linux-gnu/libbearssl.a "$build/bearssl/build"
}

# sysroot ARCH: Debian's TLS libraries for that machine, laid out as their own
# build leaves them.
sysroot() {
    root=$build/sysroot/$1
    [ -e "$root/ready" ] && return
    rm -rf "$root" && sh tests/sysroot.sh "$1" "$root" libbearssl-dev libmbedtls-dev || return
    lib=$(echo "$root"/usr/lib/*-linux-gnu*)
    mkdir -p "$root/bearssl" "$root/mbedtls" &&
        ln -s "$root/usr/include/bearssl" "$root/bearssl/inc" &&
        ln -s "$lib" "$root/bearssl/build" &&
        ln -s "$root/usr/include" "$root/mbedtls/include" &&
        ln -s "$lib" "$root/mbedtls/library" && touch "$root/ready"
}

# musl_shim: a library that was built for glibc asks for the checked forms of
# some functions, which musl does not have.
musl_shim() {
    mkdir -p "$build/musl" && cat >"$build/musl/shim.c" <<END &&
#include <stdlib.h>
#include <string.h>
#define CHECKED(name, second) \
    void *__##name##_chk(void *to, second, size_t len, size_t size); \
    void *__##name##_chk(void *to, second, size_t len, size_t size) \
    { \
        if (len > size) \
            abort(); \
        return name(to, from, len); \
    }
CHECKED(memcpy, const void *from)
CHECKED(memmove, const void *from)
CHECKED(memset, int from)
END
        musl-gcc -c -o "$build/musl/shim.o" "$build/musl/shim.c" &&
        rm -f "$build/bearssl/build/libbearssl.a" &&
        cp /usr/lib/*-linux-gnu/libbearssl.a "$build/bearssl/build" &&
        ar q "$build/bearssl/build/libbearssl.a" "$build/musl/shim.o"
}

# made TARGET GOAL...: make, for a target that was described.
made() {
    name=$1
    shift
    make -s --no-print-directory BUILD="$build/$name" CC="$cc" AR="$ar" TLS=$tls RUN="$run" \
        CFLAGS="$cflags" JSMN="$build/include" $flags WERROR=-Werror "$@"
}

# built TARGET: builds what is run there, and says so if it cannot.
built() {
    common || return
    [ "$1" != musl ] || musl_shim || return
    [ -z "$arch" ] || sysroot $arch || return
    if [ "$suite" = compiled ]; then
        made "$1" all
        return
    fi
    goals=programs
    [ -z "$only" ] || goals=$(printf "$build/$1/tests/%s$exe " $only)
    case $suite in
    *live*) goals="$goals $build/$1/tests/anywhere$exe $build/$1/tests/live$exe
        $build/$1/examples/quickstart$exe $build/$1/examples/tree$exe $build/$1/examples/build$exe" ;;
    esac
    case $suite in *own*) goals="$goals $build/$1/sandboxd" ;; esac
    made "$1" $goals
}

# against OPTIONS PROGRAM...: runs a program against a sandboxd of its own.
against() (
    options=$1
    shift
    work=$(mktemp -d) || exit 1
    trap 'kill "$server"; wait "$server"; rm -rf "$work"' EXIT
    mkfifo "$work/ready"
    "$sandboxd" --die-with-parent --provision-ms 1 $options >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
    value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY
    unset SSL_CERT_FILE
    case $options in *tls*) SSL_CERT_FILE=$(value ca) && export SSL_CERT_FILE ;; esac
    "$@"
)

# demo TARGET: the quickstart, whose connection is cut in the middle.
demo() {
    printf '#!/bin/sh\nexec %s %s\n' "$run" "$build/$1/examples/quickstart$exe" >"$build/$1/quickstart" &&
        chmod +x "$build/$1/quickstart" &&
        QUICKSTART=$build/$1/quickstart sh examples/demo.sh "$(dirname "$sandboxd")" && echo '1 passed, 0 failed'
}

# carried TARGET: a tree to a box and back, and a Dockerfile's context, by the
# examples, in the folder of the server that `against` runs.
carried() {
    mkdir -p "$work/up/sub" "$work/up/empty" "$work/down" && echo one >"$work/up/sub/a b" &&
        head -c 3000000 /dev/urandom >"$work/up/large" && echo no >"$work/up/.hidden" &&
        $run "$build/$1/examples/tree$exe" "$work/up" \
            'cd /home/user/work && tr a-z A-Z <"sub/a b" >sub/made && rmdir empty' "$work/down" &&
        [ "$(cat "$work/down/sub/made" "$work/down/sub/a b")" = "ONE
one" ] && cmp "$work/up/large" "$work/down/large" && [ ! -e "$work/down/.hidden" ] || exit 1
    printf '%s\n' 'FROM python:3.12' 'COPY . /srv' 'RUN [ "$(cat "/srv/sub/a b")" = one ] && [ ! -e /srv/large ]' \
        >"$work/up/Dockerfile" && echo large >"$work/up/.dockerignore" || exit 1
    case $line in
    *'"isolation": "view"'* | *'"isolation":"view"'*)
        $run "$build/$1/examples/build$exe" cross "$work/up" || exit 1 ;;
    *) echo '  skipped: nothing may be built in boxes without a view of their own' ;;
    esac
    echo '1 passed, 0 failed'
}

# Emulated processors are slow, and these go through every call and every byte.
slow='torture interleave'

# plan TARGET: what is run there: names and commands, in turn, a line each.
plan() {
    self="sh tests/cross.sh"
    for part in $suite; do
        case $part in
        compiled) printf '%s\n' library 'echo 1 passed, 0 failed' ;;
        unit) for program in ${only:-$(made "$1" list)}; do
                case " $slow " in
                *" $program "*) case $suite in *slow*) ;; *) continue ;; esac ;;
                esac
                printf '%s\n' "$program" "$run $build/$1/tests/$program$exe"
            done ;;
        live) printf '%s\n' 'everything, once' "$self anywhere $build $1" \
            'the control plane' "$self live $build $1" \
            'the quickstart, cut in the middle' "$self demo $build $1" \
            'a tree and a Dockerfile' "$self carried $build $1" ;;
        secure) printf '%s\n' 'everything, over TLS' "$self secure $build $1" ;;
        own) printf '%s\n' 'its own sandboxd' \
            "python3 tests/sandboxd_exec.py $build/$1/sandboxd" ;;
        esac
    done
}

# one_wine COMMAND...: runs it with one server of Wine for all its programs. Each
# would start and end one otherwise, and find that of the one before amid its
# end.
one_wine() {
    mkdir -p "$WINEPREFIX"
    "${wine%/*}/wineserver64" -f -p >/dev/null 2>&1 </dev/null &
    server=$!
    "$@"
    kill "$server" && wait "$server"
}

# run_plan: runs what it is told by its input, in turn.
run_plan() { tr '\n' '\0' | xargs -0 -n 1000 sh tests/run.sh; }

# checked TARGET: builds a target, runs what is planned, prints what came of it.
# BUILD-FOLDER/TARGET.log says more.
checked() {
    target "$1"
    log=$build/$1.log
    if ! here "$1"; then
        echo '0 passed, 0 failed, 1 skipped'
        return
    fi
    if ! built "$1" >"$log" 2>&1; then
        echo '0 passed, 1 failed'
        return
    fi
    case $run in
    "$wine") plan "$1" >"$log.plan"; one_wine run_plan <"$log.plan" >>"$log" 2>&1 ;;
    *) plan "$1" | run_plan >>"$log" 2>&1 ;;
    esac
    tail -n 1 "$log"
}

# check TARGET...: each target's result on a line, and their sum.
check() {
    passed=0 failed=0 skipped=0
    for name in "$@"; do
        line=$(checked "$name")
        printf '%-16s %s\n' "$name" "$line"
        case $line in
        *', 0 failed'*) ;;
        *) tail -n 60 "$build/$name.log" | sed 's/^/    /' ;;
        esac
        set -- $(echo "$line" | tr -dc '0-9 ')
        passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + ${3:-0}))
    done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}

# build TARGET...: says which targets there are now.
build() {
    failed=0
    for name in "$@"; do
        target "$name"
        if ! here "$name"; then
            said='not here: its compiler or what runs it'
        elif built "$name" >"$build/$name.log" 2>&1; then
            said=built
        else
            said=FAILED failed=1
            tail -n 20 "$build/$name.log"
        fi
        printf '%-16s %s\n' "$name" "$said"
    done
    return $failed
}

[ $# -gt 0 ] || set -- $all
case $what in
build | check) $what "$@" ;;
quick) quick=1 build=$build/quick && mkdir -p "$build" && check powerpc windows ;;
anywhere | live) target "$1" && against '' $run "$build/$1/tests/$what$exe" ;;
secure) target "$1" && against --tls $run "$build/$1/tests/anywhere$exe" ;;
demo) target "$1" && demo "$1" ;;
carried) target "$1" && against '' carried "$1" ;;
sysroot) sysroot "$1" ;;
*) sed -n '2,12p' "$0" && exit 2 ;;
esac
