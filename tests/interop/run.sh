#!/bin/sh
# The official JS SDK and ours: sh tests/interop/run.sh BUILD-FOLDER, from the
# root of the tree.
# SPDX-License-Identifier: MIT
#
# interop.mjs: the SDK drives sandboxd, in its ways and over TLS. compare.mjs:
# what the SDK and our library (calls.c) send for the same call, side by side.
# The SDK is installed into BUILD/interop, without `ws`: then it runs commands
# by POST /execute, which is what sandboxd serves.
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

mkdir -p "$modules"
cp "$here"/*.mjs "$here/package.json" "$modules"
wanted=$(sed -n 's/.*"langsmith": "\(.*\)".*/\1/p' "$here/package.json")
grep -qs "\"version\": \"$wanted\"" "$modules/node_modules/langsmith/package.json" ||
    npm install --prefix "$modules" --no-package-lock --ignore-scripts \
        --no-audit --no-fund --loglevel=error >"$work/npm" 2>&1 ||
    { cat "$work/npm"; exit 1; }

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
    "$build/sandboxd" --faults --provision-ms 1 --die-with-parent "$@" \
        >"$work/ready" 2>"$work/log" &
    server=$!
    head -n 1 "$work/ready" >"$work/line"
    [ -s "$work/line" ] || { cat "$work/log"; exit 1; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    ISOLATION=$(value isolation)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY ISOLATION
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
end

start --isolation none
suite 'the same where commands see the host' node "$modules/interop.mjs"
end

start --tls
suite 'the same over TLS' \
    env NODE_EXTRA_CA_CERTS="$(value ca)" node "$modules/interop.mjs"
suite 'without the certificate it refuses' node "$modules/distrust.mjs"
end

${MAKE:-make} -s --no-print-directory BUILD="$build" \
    "$build/tests/interop/calls" || exit 1
suite 'requests side by side' node "$modules/compare.mjs" \
    "$build/tests/interop/calls"

awk '{ p += $1; f += $3 } END { print p " passed, " f " failed"; exit f > 0 }' \
    "$work/sum" && [ ! -e "$work/bad" ]
