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
# Behind the third of the five lines that are streamed, SIGUSR1 makes sandboxd
# cut every connection that follows a command, without a word.
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
    "${QUICKSTART:-$build/examples/quickstart}" >"$work/out" 2>&1 &
quickstart=$!
tail -n +1 -f --pid "$quickstart" "$work/out" 2>/dev/null | while IFS= read -r shown; do
    printf '%s\n' "$shown"
    case $shown in
    *"line 3 of 5"*)
        kill -USR1 "$server"
        echo "  (the connection is cut here)"
        ;;
    esac
done
wait "$quickstart"
echo
echo "That was real: real processes, real files, over the wire."
