#!/bin/sh
# The control plane of our client against a sandboxd of its own:
# sh tests/live.sh BUILD-FOLDER
# SPDX-License-Identifier: MIT
set -eu
build=$1
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; rm -rf "$work"' EXIT
mkfifo "$work/ready"
"$build/sandboxd" --provision-ms 1 >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
    "$build/tests/live"
