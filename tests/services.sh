#!/bin/sh
# Requests, links and WebSockets to real services in a real box:
# sh tests/services.sh BUILD-FOLDER, from the root of the tree. The services are
# python3's http.server, nginx and npm's `ws`, behind sandboxd's proxy.
# SPDX-License-Identifier: MIT
set -eu
build=$1
here=tests/interop
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

. "$here/install.sh"
install "$build/interop/ws" "$here/ws/package.json"
WS_TAR=$work/ws.tar
export WS_TAR
tar -C "$build/interop/ws/node_modules" -cf "$WS_TAR" ws
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY || :

# run OPTION...: all of it, against a sandboxd of its own.
run() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$build/sandboxd" --die-with-parent "$@" >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    SSL_CERT_FILE=$(value ca)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY SSL_CERT_FILE
    "$build/tests/live_service" >"$work/said" || failed=1
    sed '$d' "$work/said"
    tail -n 1 "$work/said" >>"$work/all"
    kill "$server" && wait "$server" || :
    server=
}

value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

failed=0
run
run --tls
awk '{ passed += $1; failed += $3; skipped += $5 }
     END { printf "%d passed, %d failed", passed, failed
           if (skipped > 0) printf ", %d skipped", skipped
           print "" }' "$work/all"
exit $failed
