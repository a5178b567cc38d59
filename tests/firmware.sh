#!/bin/sh
# The firmware example in an emulator, against a sandboxd on this machine, over
# TLS: sh tests/firmware.sh BUILD-FOLDER FIRMWARE-FOLDER
# Needs qemu-system-arm and python3.
# SPDX-License-Identifier: MIT
set -u
build=$1
firmware=$2
if ! command -v qemu-system-arm >/dev/null; then
    echo '  skipped: there is no qemu-system-arm'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
work=$(mktemp -d)
passed=0 failed=0 pids=
cleanup() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# A server with a certificate in the folder given: endpoint, key, server.
start_server() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$build/sandboxd" --tls --cert "$1/server.pem" --key "$1/server.key" --ca "$1/ca.pem" \
        --die-with-parent >"$work/ready" 2>>"$work/sandboxd.log" &
    server=$!
    pids="$pids $server"
    read -r line <"$work/ready" || { cat "$work/sandboxd.log"; exit 1; }
    endpoint=$(value endpoint)
    key=$(value api_key)
}
value() {
    printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

# Runs a machine with a line to a bridge; what the console says is in out.
boot() {
    rm -f "$work/port"
    mkfifo "$work/port"
    python3 examples/firmware/bridge.py >"$work/port" 2>>"$work/bridge.log" &
    bridge=$!
    read -r port <"$work/port"
    : >"$work/out"
    timeout 60 qemu-system-arm -M "$1" -nographic -monitor none -serial "file:$work/out" \
        -serial "tcp:127.0.0.1:$port" -kernel "$2" -semihosting-config \
        "enable=on,target=native,arg=firmware,arg=$endpoint,arg=$key" </dev/null 2>>"$work/qemu.log" &
    machine=$!
    pids="$pids $bridge $machine"
}

# Waits for a line of the console; false when the machine ends without it.
until_said() {
    while ! grep -q "$1" "$work/out"; do
        kill -0 $machine 2>/dev/null || return 1
        sleep 0.05
    done
}

check() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        cat "$work/out" "$work/qemu.log" "$work/bridge.log"
    fi
}

life() {
    boot "$1" "$firmware/$2.elf"
    wait $machine || return 1
    wait $bridge
    grep -q '^done' "$work/out" && grep -q 'exit code 7' "$work/out" &&
        grep -q 'measured: 21.5 degrees' "$work/out"
}

# What a device costs, as it says itself.
within() {
    sed -n "s/.*$1: *\([0-9]*\).*/\1/p" "$work/out" | grep . >"$work/number" &&
        [ "$(cat "$work/number")" -le "$2" ]
}

# Every connection is cut behind the first line: the rest comes all the same,
# once.
cut() {
    boot mps2-an386 "$firmware/m4.elf"
    until_said 'line 1 of 3' || return 1
    kill -USR1 $server
    wait $machine || return 1
    [ "$(grep -c 'line [123] of 3' "$work/out")" -eq 3 ] && grep -q 'exit code 7' "$work/out"
}

absent() {
    endpoint=https://127.0.0.1:1
    boot mps2-an386 "$firmware/m4.elf"
    wait $machine && return 1
    grep -q 'FAIL  create a sandbox: LSSB_E_CONNECTION: .*127.0.0.1:1: connection refused' "$work/out"
}

stranger() {
    boot mps2-an386 "$firmware/m4.elf"
    wait $machine && return 1
    grep -q 'FAIL  create a sandbox: LSSB_E_CERTIFICATE' "$work/out"
}

start_server "$firmware/ca"
for pair in an386:m4:M4F an500:m7:M7; do
    core=${pair#*:}
    check "${core#*:}: a sandbox over TLS, a command followed, a file" life "mps2-${pair%%:*}" "${core%:*}"
    echo "  Cortex-${core#*:}:"
    grep 'memory of\|deepest stack\|RAM in' "$work/out"
    check "${core#*:}: the stack stays within 4.5 KiB" within 'deepest stack' 4608
done
check 'a command goes on behind a cut connection, without a loss or a repetition' cut
sh tests/device_certs.sh "$work/stranger" DNS:localhost,IP:127.0.0.1
start_server "$work/stranger"
check 'a server that the anchor did not sign is refused' stranger
check 'a server that is not there is told' absent
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
