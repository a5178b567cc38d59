#!/bin/sh
# Unpacks Debian packages of another architecture into a folder, without
# installing them: sh tests/sysroot.sh ARCHITECTURE FOLDER PACKAGE...
# dpkg learns nothing of the architecture: apt keeps a state of its own for it,
# and the system's package lists stay as they are.
# SPDX-License-Identifier: MIT
set -eu
arch=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
state=$folder/.apt
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
apt() {
    apt-get -q -o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o Dir::State::lists="$state/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root "$@"
}
apt update >"$state/log" 2>&1 || echo "apt-get update: some lists are missing; going on" >>"$state/log"
cd "$state"
apt download "$@" >>"$state/log" 2>&1 || { tail -n 5 "$state/log" >&2; exit 1; }
for package in *.deb; do
    dpkg-deb -x "$package" "$folder"
done
rm -rf ./*.deb lists cache
