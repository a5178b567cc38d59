#!/bin/sh
# Tunnels through sandboxd by clients that are not ours: the reference
# implementation of yamux (Go), over gorilla/websocket:
# sh tests/sandboxd_tunnel.sh SANDBOXD [PART-OF-A-TEST'S-NAME]
# Needs Go with Debian's golang-github-hashicorp-yamux-dev and
# golang-github-gorilla-websocket-dev.
# SPDX-License-Identifier: MIT
set -u
sandboxd=${1:-build/sandboxd}
case $sandboxd in /*) ;; *) sandboxd=$PWD/$sandboxd ;; esac
[ $# -gt 0 ] && shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

GO111MODULE=off GOPATH=$work:/usr/share/gocode GOCACHE=${sandboxd%/*}/go-cache \
    go build -o "$work/client" "${0%/*}/yamux/tunnel_client.go" || exit 1
"$work/client" "$sandboxd" "$@"
