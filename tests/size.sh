#!/bin/sh
# What the library costs on each machine that it can be compiled for here:
# sh tests/size.sh BUILD-FOLDER [README], from the root of the tree.
#
# Flash: code and constants at -Os of what a linker keeps for a program that
# calls these functions and no others, without the C library and the port; and
# the same with TLS: BearSSL and what is ours of it. Memory: what a client says
# that it needs. Stack: painted, then looked at, while a client works. With
# README: puts the tables there. SANDBOXD is the server of the measured client;
# foreign libraries are those of tests/cross.sh.
# SPDX-License-Identifier: MIT
set -u
build=$1 readme=${2:-}
case $build in /*) ;; *) build=$PWD/$build ;; esac
mkdir -p "$build" || exit 1
MAKEFLAGS=
export MAKEFLAGS
cross=${CROSS:-build/cross}
case $cross in /*) ;; *) cross=$PWD/$cross ;; esac

# machine NAME: its compiler, its options and where BearSSL is, if it is here.
machine() {
    prefix= options= bearssl=
    case $1 in
    Cortex-M0+) prefix=arm-none-eabi- options='-mthumb -mcpu=cortex-m0plus' ;;
    Cortex-M3) prefix=arm-none-eabi- options='-mthumb -mcpu=cortex-m3' ;;
    Cortex-M4) prefix=arm-none-eabi- options='-mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16'
        bearssl=$build/thumb.a ;;
    Cortex-M7) prefix=arm-none-eabi- options='-mthumb -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16'
        bearssl=$build/thumb.a ;;
    ARMv7-A) prefix=arm-linux-gnueabihf- options=-mthumb
        bearssl=$cross/sysroot/armhf/bearssl/build/libbearssl.a ;;
    AArch64) prefix=aarch64-linux-gnu-
        bearssl=$cross/sysroot/arm64/bearssl/build/libbearssl.a ;;
    RISC-V) prefix=riscv64-linux-gnu- ;;
    x86-64) bearssl=$(echo /usr/lib/*-linux-gnu/libbearssl.a) ;;
    esac
    command -v ${prefix}gcc >/dev/null 2>&1
}

machines='Cortex-M0+ Cortex-M3 Cortex-M4 Cortex-M7 ARMv7-A AArch64 RISC-V x86-64'

# What a program calls.
nothing='open close step wait cancel error_text'
box='sandbox_create sandbox_get sandbox_delete'
files='file_write file_read file_upload file_download file_stat'
run="$nothing $box $files run"
streaming="$run command_start command_next command_write command_close_stdin command_kill command_wait command_close command_reattach"
tunnels="$streaming tunnel_open tunnel_close tunnel_connect tunnel_read tunnel_write tunnel_finish tunnel_stream_close tunnel_listen listener_close"

# compiled FOLDER MACHINE-OPTIONS: the units, the parts, and our part of TLS.
compiled() {
    folder=$1
    shift
    [ -e "$folder/ready" ] && [ -z "$(find lssb.h lssb.c http.c ws.c src port -newer "$folder/ready" -name '*.[ch]')" ] && return
    rm -rf "$folder" && mkdir -p "$folder/parts"
    flags="-std=c99 -Os -ffunction-sections -fdata-sections -fno-pic -fno-asynchronous-unwind-tables
        -D_POSIX_C_SOURCE=200809L -I$build/include $options"
    for unit in http ws lssb; do
        ${prefix}gcc $flags -c -o "$folder/$unit.o" $unit.c || return
    done
    ${prefix}gcc $flags -DLSSB_WEBSOCKET=0 -DLSSB_TUNNEL=0 -c -o "$folder/plain.o" lssb.c || return
    ${prefix}gcc $flags -isystem /usr/include/bearssl -c -o "$folder/tls.o" port/tls_bearssl.c || return
    case $1 in
    parts) for part in src/*.c; do
        ${prefix}gcc $flags -fstack-usage -c -o "$folder/parts/$(basename "$part" .c).o" "$part" || return
    done ;;
    esac
    touch "$folder/ready"
}

# linked FOLDER OBJECT TLS FUNCTION...: the bytes that a linker keeps.
linked() {
    folder=$1 object=$2 with=$3
    shift 3
    wanted=
    for function in "$@"; do wanted="$wanted -Wl,-u,lssb_$function"; done
    [ -z "$with" ] || wanted="$wanted -Wl,-u,lssb_default_tls $folder/tls.o"
    ${prefix}gcc $options -nostdlib -static -Wl,--gc-sections,--unresolved-symbols=ignore-all,-e,0 -o "$folder/linked" \
        "$folder/http.o" "$folder/ws.o" "$folder/$object" $wanted $with 2>/dev/null || return
    ${prefix}size "$folder/linked" | awk 'NR == 2 { print $1 + $2 }'
}

# kib BYTES: the same in KiB.
kib() { awk -v n="$1" 'BEGIN { printf "%.1f", n / 1024 }'; }

# cell OBJECT FUNCTION...: one of the table: without TLS, and with it.
cell() {
    object=$1
    shift
    without=$(linked "$folder" "$object" '' "$@")
    if [ -e "$bearssl" ]; then
        printf ' %s / %s |' "$(kib "$without")" "$(kib "$(linked "$folder" "$object" "$bearssl" "$@")")"
    else
        printf ' %s |' "$(kib "$without")"
    fi
}

# row NAME OBJECT FUNCTION...: what that costs on each machine.
row() {
    printf '| %s |' "$1"
    shift
    for name in $here; do
        machine "$name"
        folder=$build/$name
        cell "$@"
    done
    echo
}

# everything: all that lssb.h declares and a program without a file system of
# its own can call.
everything() {
    ${prefix}readelf -Ws "$build/x86-64/lssb.o" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" &&
        $7 != "UND" { sub("^lssb_", "", $8); print $8 }'
}

flash() {
    printf '|'
    for name in KiB $here; do printf ' %s |' "$name"; done
    printf '\n|---|'
    for name in $here; do printf -- '--:|'; done
    echo
    row 'a client that does nothing' lssb.o $nothing
    row 'run, files, by HTTP alone (`LSSB_WEBSOCKET=0`)' plain.o $run
    row 'run, files' lssb.o $run
    row '… and streaming' lssb.o $streaming
    row '… and tunnels' lssb.o $tunnels
    machine x86-64
    all=$(everything)
    row 'everything' lssb.o $all
}

# weight TOOL-PREFIX OBJECT: its code and constants; nothing, if it is not there.
weight() {
    [ ! -e "$2" ] || ${1}size "$2" | awk 'NR == 2 { print $1 + $2 }'
}

# by_file: each part by itself, before a linker drops anything.
by_file() {
    printf '| bytes | Cortex-M4 | x86-64 |\n|---|--:|--:|\n'
    for object in "$build"/x86-64/parts/*.o; do
        part=$(basename "$object" .o)
        [ -s "src/$part.c" ] && printf '| src/%s.c | %s | %s |\n' "$part" \
            "$(weight arm-none-eabi- "$build/Cortex-M4/parts/$part.o")" "$(weight '' "$object")"
    done
    printf '| port/tls_bearssl.c | %s | %s |\n' \
        "$(weight arm-none-eabi- "$build/Cortex-M4/tls.o")" "$(weight '' "$build/x86-64/tls.o")"
}

# measured TARGET-NAME VARIABLES...: programs for a machine that can run here.
measured() {
    to=$build/measure/$1
    shift
    make -s --no-print-directory BUILD="$to" CFLAGS=-Os LDFLAGS='-static -Wl,--gc-sections' JSMN="$build/include" \
        "$@" "$to/tests/size" "$to/tests/stack" >"$to.log" 2>&1
}

# against OPTIONS PROGRAM...: runs a program against a sandboxd of its own.
against() (
    options=$1
    shift
    work=$(mktemp -d) || exit 1
    trap 'kill "$server"; wait "$server"; rm -rf "$work"' EXIT
    mkfifo "$work/ready"
    "${SANDBOXD:-build/sandboxd}" --die-with-parent --provision-ms 1 $options >"$work/ready" 2>/dev/null &
    server=$!
    read -r line <"$work/ready" || exit 1
    value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY
    unset SSL_CERT_FILE http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
    case $options in *tls*) SSL_CERT_FILE=$(value ca) && export SSL_CERT_FILE ;; esac
    "$@"
)

# columns FILE...: outputs of a program, side by side.
columns() {
    awk '/^  / { n = $NF; sub(/ +[0-9]+$/, ""); sub(/^ +/, "")
            if (!($0 in seen)) { order[++count] = $0; seen[$0] = "" }
            row[$0, FILENAME] = n }
        END { for (i = 1; i <= count; i++) {
                printf "| %s |", order[i]
                for (f = 1; f < ARGC; f++) printf " %s |", row[order[i], ARGV[f]]
                print "" } }' "$@"
}

small='-DLSSB_RECEIVE_BUFFER=16709 -DLSSB_SEND_BUFFER=1117 -DLSSB_ELEMENT=2048 -DLSSB_HOLD=1024 -DLSSB_TOKENS=64'

memory() {
    "$build/measure/x86/tests/size" >"$build/x86.txt"
    if [ -z "$emulated" ]; then
        printf '| bytes of memory | 64 bits |\n|---|--:|\n'
        columns "$build/x86.txt"
        return
    fi
    printf '| bytes of memory | 32 bits, small | 32 bits | 64 bits |\n|---|--:|--:|--:|\n'
    qemu-arm-static "$build/measure/small/tests/size" >"$build/small.txt"
    qemu-arm-static "$build/measure/arm/tests/size" >"$build/arm.txt"
    columns "$build/small.txt" "$build/arm.txt" "$build/x86.txt"
}

deepest() {
    against '' "$build/measure/x86/tests/stack" >"$build/3.txt"
    against --tls "$build/measure/x86/tests/stack" >"$build/4.txt"
    if [ -z "$emulated" ]; then
        printf '| bytes of stack | x86-64 | over TLS |\n|---|--:|--:|\n'
        columns "$build/3.txt" "$build/4.txt"
        return
    fi
    printf '| bytes of stack | Thumb-2, small | over TLS | x86-64 | over TLS |\n|---|--:|--:|--:|--:|\n'
    against '' qemu-arm-static "$build/measure/small/tests/stack" >"$build/1.txt"
    against --tls qemu-arm-static "$build/measure/small/tests/stack" >"$build/2.txt"
    columns "$build/1.txt" "$build/2.txt" "$build/3.txt" "$build/4.txt"
}

# frames: the functions that take the most of it.
frames() {
    cat "$build/$1"/parts/*.su | sort -t '	' -k 2 -n -r | head -n 8 |
        awk -F '[:\t]' '{ printf "  %-40s %5d\n", $1 " " $4, $5 }'
}

# tables: what goes into the README.
tables() {
    echo
    flash
    echo
    memory
    echo
    deepest
    echo
    echo '<details><summary>Flash by file, before a linker drops what is not called</summary>'
    echo
    by_file
    echo
    echo '</details>'
    echo
}

# libraries: BearSSL for the machines that Debian has it for. Its armhf build is
# Thumb-2 for an FPU: good enough to weigh for a Cortex-M4F and an M7.
libraries() {
    command -v dpkg-deb >/dev/null 2>&1 || return
    for arch in armhf arm64; do
        sh tests/cross.sh sysroot "$cross" $arch >"$build/sysroot.log" 2>&1 || return
    done
    [ -e "$build/thumb.a" ] || ! machine Cortex-M4 || arm-none-eabi-objcopy -R .ARM.attributes \
        "$cross/sysroot/armhf/bearssl/build/libbearssl.a" "$build/thumb.a"
}

mkdir -p "$build/include" "$build/measure" && ln -sf /usr/include/jsmn.h "$build/include" || exit 1
libraries || echo 'without the foreign TLS libraries' >&2
here=
for name in $machines; do
    machine "$name" || continue
    compiled "$build/$name" "$(case $name in Cortex-M4 | x86-64) echo parts ;; esac)" || exit 1
    here="$here $name"
done
arm="CC=arm-linux-gnueabihf-gcc AR=arm-linux-gnueabihf-ar BEARSSL=$cross/sysroot/armhf/bearssl"
emulated=
if command -v qemu-arm-static >/dev/null 2>&1 && [ -e "$cross/sysroot/armhf/ready" ] && machine ARMv7-A; then
    emulated=1
    measured arm $arm && measured small $arm CPPFLAGS="$small" || { cat "$build"/measure/*.log; exit 1; }
fi
measured x86 || { cat "$build"/measure/x86.log; exit 1; }
tables >"$build/tables.md"
cat "$build/tables.md"
weighed=x86-64
case $here in *Cortex-M4*) weighed=Cortex-M4 ;; esac
echo "the largest frames, $weighed, bytes:"
frames $weighed
[ -n "$readme" ] || exit 0
awk -v tables="$build/tables.md" '
    /^<!-- sizes/ { print; while ((getline line <tables) > 0) print line; skip = 1 }
    /^<!-- end of sizes/ { skip = 0 }
    !skip || /^<!-- sizes/ && !printed++ { if (!/^<!-- sizes/) print }' "$readme" >"$build/readme.md" &&
    cat "$build/readme.md" >"$readme"
