#!/bin/sh
# The quickstart against a sandboxd of its own, on a port that the system picks:
# sh examples/demo.sh BUILD-FOLDER
# SPDX-License-Identifier: MIT
set -eu
build=$1
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; rm -rf "$work"' EXIT
mkfifo "$work/ready"
"$build/sandboxd" >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
echo "sandboxd is ready at $(value endpoint)"
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
    "${QUICKSTART:-$build/examples/quickstart}"
echo
echo "That was real: real processes, real files, over the wire."
