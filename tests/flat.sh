#!/bin/sh
# A long output through the same memory as a short one, from a sandboxd of its
# own: sh tests/flat.sh BUILD-FOLDER MEBIBYTES
# SPDX-License-Identifier: MIT
set -eu
build=$1
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; rm -rf "$work"' EXIT
mkfifo "$work/ready"
"$build/sandboxd" --die-with-parent >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
    "$build/tests/flat" "$2"
