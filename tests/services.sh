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
mkfifo "$work/ready"
"$build/sandboxd" --die-with-parent >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
export LANGSMITH_ENDPOINT LANGSMITH_API_KEY
"$build/tests/live_service"
