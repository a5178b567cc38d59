#!/bin/sh
# The official JS SDK and ours: sh tests/interop/run.sh BUILD-FOLDER, from the
# root of the tree.
# SPDX-License-Identifier: MIT
#
# interop.mjs: the SDK drives sandboxd, in its ways and over TLS. compare.mjs:
# what the SDK and our library (calls.c, without WebSockets, as the SDK there)
# send for the same call, side by side. compare_ws.mjs: the same of WebSockets;
# build_compare.mjs: of a Dockerfile, with the archive byte by byte.
# The SDK is installed into BUILD/interop, without `ws`: then it runs commands
# by POST /execute. commands.mjs: it is installed again, with `ws`, into
# BUILD/interop/ws: then it follows commands over WebSockets only.
set -eu
here=$(dirname "$0")
build=$1
modules=$build/interop
work=$(mktemp -d)
server=
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || :
    server=
}
trap 'end; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

. "$here/install.sh"
install "$modules" "$here/package.json"
install "$modules/ws" "$here/ws/package.json"

# Nothing that the surroundings set may steer the SDK, the client or node.
for name in $(env | sed -n 's/^\(LANG\(SMITH\|CHAIN\)_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY \
    ALL_PROXY NO_PROXY NODE_OPTIONS NODE_EXTRA_CA_CERTS || :

value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$work/line"; }

# start OPTION...: a sandboxd that dies with this script.
start() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$build/sandboxd" --faults --provision-ms 1 --die-with-parent \
        --ring-bytes 33554432 "$@" \
        >"$work/ready" 2>"$work/log" &
    server=$!
    head -n 1 "$work/ready" >"$work/line"
    [ -s "$work/line" ] || { cat "$work/log"; exit 1; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    ISOLATION=$(value isolation) BADNET=$build/tests/badnet
    SERVER_PID=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$work/line")
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY ISOLATION SERVER_PID BADNET
}

# suite NAME COMMAND...: runs it, and keeps its closing line.
suite() {
    name=$1
    shift
    echo "-- $name"
    "$@" >"$work/out" 2>&1 || echo "status $?" >>"$work/bad"
    cat "$work/out"
    grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/out" >>"$work/sum" ||
        echo '0 passed, 1 failed' >>"$work/sum"
}

start
suite 'the JS SDK drives sandboxd' node "$modules/interop.mjs"
suite 'the JS SDK follows commands' node "$modules/ws/commands.mjs"
suite 'the JS SDK and the control plane' node "$modules/ws/control.mjs"
end

start --isolation none
suite 'the same where commands see the host' node "$modules/interop.mjs"
suite 'commands that see the host' node "$modules/ws/commands.mjs"
end

start --tls
suite 'the same over TLS' \
    env NODE_EXTRA_CA_CERTS="$(value ca)" node "$modules/interop.mjs"
suite 'commands over TLS' \
    env NODE_EXTRA_CA_CERTS="$(value ca)" node "$modules/ws/commands.mjs"
suite 'without the certificate it refuses' node "$modules/distrust.mjs"
end

${MAKE:-make} -s --no-print-directory BUILD="$build" \
    "$build/tests/interop/command_calls" \
    "$build/tests/interop/control_calls" "$build/examples/build" || exit 1
${MAKE:-make} -s --no-print-directory BUILD="$build/http" \
    CPPFLAGS=-DLSSB_WEBSOCKET=0 "$build/http/tests/interop/calls" || exit 1
suite 'requests side by side' node "$modules/compare.mjs" \
    "$build/http/tests/interop/calls"
suite 'messages of commands side by side' node "$modules/ws/compare_ws.mjs" \
    "$build/tests/interop/command_calls"
suite 'a Dockerfile side by side' node "$modules/ws/build_compare.mjs" \
    "$build/examples/build"
suite 'the control plane side by side' node "$modules/control_compare.mjs" \
    "$build/tests/interop/control_calls"

awk '{ p += $1; f += $3 } END { print p " passed, " f " failed"; exit f > 0 }' \
    "$work/sum" && [ ! -e "$work/bad" ]
