#!/bin/sh
# Our client and servers that are not ours, behind a network that misbehaves:
# sh tests/interop/peers.sh BUILD-FOLDER, from the root of the tree.
# SPDX-License-Identifier: MIT
#
# commands.c runs the same commands against sandboxd, a server on npm's ws and
# one on Debian's python3-websockets, each before and behind a badnet. cuts.c
# cuts a session at every byte. ws is installed into BUILD/interop/ws.
set -eu
here=$(dirname "$0")
build=$1
modules=$build/interop/ws
work=$(mktemp -d)
server= relay=
end() {
    for pid in $relay $server; do
        { kill "$pid" && wait "$pid"; } 2>/dev/null || :
    done
    server= relay=
}
trap 'end; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

for name in $(env | sed -n 's/^\(LANG\(SMITH\|CHAIN\)_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY \
    ALL_PROXY NO_PROXY NODE_OPTIONS || :
. "$here/install.sh"
install "$modules" "$here/ws/package.json"

# value NAME: a member of the ready line.
value() { sed -n "s/.*\"$1\": *\"*\([^\",}]*\).*/\1/p" "$work/line"; }

# ready COMMAND...: starts it, and reads its ready line; its number is $pid.
ready() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$@" --die-with-parent >"$work/ready" 2>"$work/log" &
    pid=$!
    head -n 1 "$work/ready" >"$work/line"
    [ -s "$work/line" ] || { cat "$work/log"; exit 1; }
}

# start SERVER...: a server, and a badnet before it.
start() {
    ready "$@"
    server=$pid
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    SERVER_PID=$(value pid)
    to=$(value dataplane)
    to=${to:+127.0.0.1:$to}
    RELAY_LOG=$work/relay.log
    rm -f "$RELAY_LOG"
    ready "$build/tests/badnet" --to "${to:-${LANGSMITH_ENDPOINT#http://}}" \
        --log "$RELAY_LOG"
    relay=$pid
    RELAY=$(value port)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY SERVER_PID RELAY RELAY_LOG
}

# suite NAME COMMAND...: runs it, and keeps its closing line.
suite() {
    name=$1
    shift
    echo "-- $name"
    timeout 600 "$@" >"$work/out" 2>&1 || echo "status $?" >>"$work/bad"
    cat "$work/out"
    grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/out" >>"$work/sum" ||
        echo '0 passed, 1 failed' >>"$work/sum"
}

commands=$build/tests/interop/commands
sandboxd="$build/sandboxd --provision-ms 1"
node="node $modules/exec_server.mjs"
python="/usr/bin/python3 $here/exec_server.py"

suite 'badnet' /usr/bin/python3 tests/badnet.py "$build/tests/badnet"

start $sandboxd --ring-bytes 33554432
suite 'commands: sandboxd' env PTY=1 "$commands"
end
start $node
suite "commands: npm's ws" "$commands"
end
start $node --fragments --compress --message-bytes 1000000
suite "commands: npm's ws, fragments, large messages" "$commands"
end
start $python
suite 'commands: python3-websockets' env PTY=1 "$commands"
end
start $python --fragments --compress --message-bytes 3000
suite 'commands: python3-websockets, fragments' env PTY=1 "$commands"
end

for peer in "$sandboxd" "$node" "$python"; do
    start $peer --ring-bytes 4096
    suite "gaps: $peer" "$commands" gaps
    end
done

awk '{ p += $1; f += $3; s += $5 }
    END { printf "%d passed, %d failed", p, f
        if (s) printf ", %d skipped", s
        print ""; exit f > 0 }' "$work/sum" && [ ! -e "$work/bad" ]
