#!/bin/sh
# Our client and servers that are not ours, behind a network that misbehaves:
# sh tests/interop/peers.sh BUILD-FOLDER, from the root of the tree.
# SPDX-License-Identifier: MIT
#
# commands.c runs the same commands against sandboxd, a server on npm's ws and
# one on Debian's python3-websockets, each before and behind a badnet; side by
# side, since most of it is waiting. cuts.c cuts a session at every byte. ws is
# installed into BUILD/interop/ws. SERVERS=sandboxd leaves the others out.
set -eu
here=$(dirname "$0")
build=$1
modules=$build/interop/ws
work=$(mktemp -d)
jobs=
trap 'for job in $jobs; do kill "$job" 2>/dev/null || :; done; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

for name in $(env | sed -n 's/^\(LANG\(SMITH\|CHAIN\)_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY \
    ALL_PROXY NO_PROXY NODE_OPTIONS PTY || :
. "$here/install.sh"
install "$modules" "$here/ws/package.json"
HOME=/nonexistent                   # shells read nobody's .bashrc
export HOME

# value NAME: a member of the ready line.
value() { sed -n "s/.*\"$1\": *\"*\([^\",}]*\).*/\1/p" "$own/line"; }

# ready COMMAND...: starts it, and reads its ready line; its number is $pid.
ready() {
    rm -f "$own/ready"
    mkfifo "$own/ready"
    "$@" --die-with-parent >"$own/ready" 2>>"$own/log" &
    pid=$!
    head -n 1 "$own/ready" >"$own/line"
    [ -s "$own/line" ]
}

# serve SERVER...: a server, and a badnet before it; sets what programs want.
serve() {
    ready "$@" || return
    servers=$pid
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    SERVER_PID=$(value pid) RELAY_LOG=$own/relay.log
    to=$(value dataplane)
    to=${to:+127.0.0.1:$to}
    ready "$build/tests/badnet" --to "${to:-${LANGSMITH_ENDPOINT#http://}}" \
        --log "$RELAY_LOG" || return
    servers="$servers $pid"
    RELAY=$(value port)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY SERVER_PID RELAY RELAY_LOG
}

# against PROGRAM SERVER...: runs one with the other, in the folder $own.
against() {
    program=$1
    shift
    servers=
    trap 'kill $servers 2>/dev/null' EXIT
    trap 'exit 1' TERM
    serve "$@" || { cat "$own/log"; exit 1; }
    timeout 600 $program
}

# begin NAME PROGRAM SERVER...: that in the background.
count=0
begin() {
    count=$((count + 1))
    own=$work/$count
    mkdir "$own"
    echo "$1" >"$own/name"
    shift
    (against "$@" >"$own/out" 2>&1 || echo "status $?" >>"$work/bad") &
    jobs="$jobs $!"
}

# finish: waits for all of them, and shows what they said.
shown=0
finish() {
    for job in $jobs; do
        wait "$job" || :
    done
    jobs=
    while [ $shown -lt $count ]; do
        shown=$((shown + 1))
        echo "-- $(cat "$work/$shown/name")"
        cat "$work/$shown/out"
        grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/$shown/out" \
            >>"$work/sum" || echo '0 passed, 1 failed' >>"$work/sum"
    done
}

commands=$build/tests/interop/commands
cuts=$build/tests/cuts
sandboxd="$build/sandboxd --provision-ms 1"
node="node $modules/exec_server.mjs"
python="/usr/bin/python3 $here/exec_server.py"

echo '-- badnet'
/usr/bin/python3 tests/badnet.py "$build/tests/badnet" >"$work/badnet" 2>&1 ||
    echo "status $?" >>"$work/bad"
cat "$work/badnet"
grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/badnet" >"$work/sum" ||
    echo '0 passed, 1 failed' >"$work/sum"

begin 'commands: sandboxd' "env PTY=1 $commands" \
    $sandboxd --ring-bytes 33554432
if [ "${SERVERS:-all}" = all ]; then
    begin "commands: npm's ws" "$commands" $node
    begin "commands: npm's ws, fragments, large messages" "$commands" \
        $node --fragments --compress --message-bytes 1000000
    begin 'commands: python3-websockets' "env PTY=1 $commands" $python
    begin 'commands: python3-websockets, fragments' "env PTY=1 $commands" \
        $python --fragments --compress --message-bytes 3000
fi
begin "gaps: $sandboxd" "$commands gaps" $sandboxd --ring-bytes 4096
if [ "${SERVERS:-all}" = all ]; then
    begin "gaps: $node" "$commands gaps" $node --ring-bytes 4096
    begin "gaps: $python" "$commands gaps" $python --ring-bytes 4096
fi
finish

begin 'cut at every byte: sandboxd' "$cuts" $sandboxd --ring-bytes 65536 \
    --max-commands 10000 --max-connections 3000
finish
if [ "${SERVERS:-all}" = all ]; then
    begin "cut at every fifth byte: npm's ws" "$cuts 5" $node
    begin 'cut at every fifth byte: python3-websockets' "$cuts 5" $python
    finish
fi

awk '{ p += $1; f += $3 } END { print p " passed, " f " failed"; exit f > 0 }' \
    "$work/sum" && [ ! -e "$work/bad" ]
