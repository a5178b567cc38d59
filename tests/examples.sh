#!/bin/sh
# Every example against a sandboxd of its own: sh tests/examples.sh BUILD-FOLDER
# SPDX-License-Identifier: MIT
set -u
build=$1
work=$(mktemp -d)
server=
passed=0
failed=0
trap '[ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
mkfifo "$work/ready"
"$build/sandboxd" --die-with-parent >"$work/ready" 2>"$work/log" &
server=$!
read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
export LANGSMITH_ENDPOINT LANGSMITH_API_KEY

# check NAME COMMAND...: the command must succeed.
check() {
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        cat "$work/said"
    fi
}

hello() { [ "$("$build/examples/hello")" = "exit 0: 4" ]; }

# Fifty commands, each of three lines.
fifty() {
    "$build/examples/eventloop" "$1" >"$work/out" &&
        [ "$(grep -c '^  3 lines, exit code' "$work/out")" = 50 ]
}

stream() {
    "$build/examples/stream" 'echo out; echo err >&2; exit 5' \
        >"$work/out" 2>"$work/err"
    [ $? = 5 ] && [ "$(cat "$work/out")" = out ] && [ "$(cat "$work/err")" = err ]
}

# Ctrl-C, once the command runs: its exit code comes all the same.
stream_killed() {
    mkfifo "$work/lines"
    "$build/examples/stream" 'echo up; sleep 1000' >"$work/lines" &
    streaming=$!
    read -r up <"$work/lines" && kill -INT "$streaming"
    wait "$streaming"
    [ $? = 137 ] && [ "$up" = up ]
}

interactive() {
    printf 'echo $((6 * 7)); exit 3\n' | "$build/examples/interactive" >"$work/out" 2>&1
    [ $? = 3 ] && tr -d '\r' <"$work/out" | grep -q '42$'
}

# Killed behind the third line, run again: every line, and the exit code. The
# third may come twice, if it was written but not yet noted.
reattach() {
    mkfifo "$work/pieces"
    "$build/examples/reattach" "$work/place" \
        'for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done; exit 9' >"$work/pieces" &
    following=$!
    while read -r piece; do
        echo "$piece"
        [ "$piece" != "line 3" ] || kill -KILL "$following"
    done <"$work/pieces" >"$work/out"
    wait "$following"
    "$build/examples/reattach" "$work/place" >>"$work/out"
    [ $? = 9 ] &&
        [ "$(uniq "$work/out" | tr '\n' ' ')" = "line 1 line 2 line 3 line 4 line 5 line 6 " ] &&
        [ ! -e "$work/place" ]
}

# What was prepared is there, and the list has it.
snapshots() {
    "$build/examples/snapshots" >"$work/out" && grep -q 'says hello$' "$work/out" &&
        grep -q '^prepared  *ready' "$work/out"
}

service() {
    "$build/examples/service" >"$work/out" &&
        [ "$(sed -n '$p' "$work/out")" = '<h1>Hello from the sandbox</h1>' ]
}

# Up without what is hidden, changed there, and back.
tree() {
    mkdir -p "$work/up/sub" "$work/down" && echo one >"$work/up/sub/a b" &&
        echo no >"$work/up/.hidden" &&
        "$build/examples/tree" "$work/up" 'cd /home/user/work/sub && tr a-z A-Z <"a b" >made' \
            "$work/down" >"$work/out" && grep -q '^-644 *4 sub/made$' "$work/out" &&
        [ "$(cat "$work/down/sub/made" "$work/down/sub/a b")" = "ONE
one" ] && [ ! -e "$work/down/.hidden" ]
}

check quickstart env QUICKSTART="$build/examples/quickstart" sh examples/demo.sh "$build"
check hello hello
check snapshots snapshots
check 'eventloop, by poll' fifty poll
[ "$(uname -s)" != Linux ] || check 'eventloop, by epoll' fifty epoll
[ -z "${UV:-}" ] || check 'eventloop, by libuv' fifty uv
check stream stream
check 'stream, interrupted' stream_killed
check interactive interactive
check 'reattach, killed in the middle' reattach
check service service
check tree tree
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
