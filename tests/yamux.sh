#!/bin/sh
# src/yamux.c against the reference implementation (Go, hashicorp/yamux), each
# in both roles, over loopback: sh tests/yamux.sh BUILD-FOLDER
# Needs tests/yamux/ours.c built as BUILD-FOLDER/tests/yamux, and Go with
# Debian's golang-github-hashicorp-yamux-dev.
# SPDX-License-Identifier: MIT
set -u
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
work=$(mktemp -d) || exit 1
passed=0 failed=0
pids=
trap 'for p in $pids; do kill $p; done 2>/dev/null; rm -rf "$work"' EXIT

GO111MODULE=off GOPATH=$work:/usr/share/gocode GOCACHE=$build/go-cache \
    go build -o "$work/peer" "${0%/*}/yamux/peer.go" || exit 1
ours=$build/tests/yamux peer=$work/peer

# serve COMMAND...: starts a server; sets $port.
serve() {
    mkfifo "$work/port"
    "$@" >"$work/port" &
    pids="$pids $!"
    read -r port <"$work/port"
    rm "$work/port"
}

# dial TITLE COMMAND...: runs tests and adds up what they say.
dial() {
    echo "$1"
    shift
    "$@" >"$work/log"
    status=$?
    grep -E '^(FAILED|  )' "$work/log"
    p=$(sed -n 's/^\([0-9]*\) passed, .*/\1/p' "$work/log")
    passed=$((passed + ${p:-0}))
    if [ "$status" -ne 0 ]; then
        failed=$((failed + 1))
        echo "FAILED $(grep -vE '^(FAILED|  |[0-9]+ passed)' "$work/log" | tail -n 1)"
    fi
}

serve "$peer" serve
dial 'our client, the reference server' "$ours" dial "$port"
serve "$peer" serve 16
dial 'a backlog of 16' "$ours" dial "$port" a_full_backlog_resets
serve "$ours" serve
dial 'the reference client, our server' "$peer" dial "$port"
serve "$ours" serve 8
dial 'room for 8 streams' "$peer" dial "$port" 'a full table resets'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
