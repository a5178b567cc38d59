#!/bin/sh
# lwIP over a tap device against a sandboxd on the other side of it, both in a
# network namespace of their own: sh tests/lwip.sh BUILD-FOLDER
# SPDX-License-Identifier: MIT
set -eu
build=$1
if [ "${2:-}" != inside ]; then
    if [ ! -e /dev/net/tun ] || ! unshare -n ip tuntap add dev lssb0 mode tap 2>/dev/null; then
        echo '  skipped: a tap device in a network namespace takes root, iproute2 and /dev/net/tun'
        echo '0 passed, 0 failed, 1 skipped'
        exit 0
    fi
    exec unshare -n sh "$0" "$build" inside
fi
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; rm -rf "$work"' EXIT
ip link set lo up
ip tuntap add dev lssb0 mode tap
ip addr add 10.77.0.1/24 dev lssb0
ip link set lssb0 up
sh tests/device_certs.sh "$work" 'DNS:sandboxd.test,IP:10.77.0.1'
mkfifo "$work/ready"
"$build/sandboxd" --tls --cert "$work/server.pem" --key "$work/server.key" --ca "$work/ca.pem" \
    --listen 10.77.0.1:0 --die-with-parent >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
endpoint=$(value endpoint)
LSSB_TEST_ENDPOINT=https://sandboxd.test:${endpoint##*:} LSSB_TEST_KEY=$(value api_key) LSSB_TEST_CA=$work/ca.der
export LSSB_TEST_ENDPOINT LSSB_TEST_KEY LSSB_TEST_CA
sh tests/run.sh 'the flag of a wake is looked at' "$build/tests/lwip lssb0" \
    'a wake is an event' "$build/tests/lwip_events lssb0"
