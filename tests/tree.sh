#!/bin/sh
# A box's own tools in boxes of a sandboxd: those of this machine, then busybox
# alone, as shell too where this may be mounted: sh tests/tree.sh BUILD-FOLDER
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
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

# with NAME COMMAND...: the tests against the sandboxd that the command starts.
with() {
    echo "== $1"
    shift
    "$@" --die-with-parent --provision-ms 1 >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
        "$build/tests/live_tree" >"$work/said"
    last=$(sed -n '$p' "$work/said")
    sed '$d' "$work/said"
    passed=$((passed + $(echo "$last" | sed 's/ passed.*//')))
    failed=$((failed + $(echo "$last" | sed 's/.*passed, //; s/ failed.*//')))
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
}

with "this machine's tools" "$build/sandboxd"
busybox=$(command -v busybox)
if [ -n "$busybox" ]; then
    export BUSYBOX="$busybox"
    with 'busybox' "$build/sandboxd"
    # Over /bin/sh, for that server and what it starts.
    if unshare -m sh -c "mount --bind '$busybox' /bin/sh" 2>/dev/null; then
        with 'busybox, its shell' unshare -m sh -c \
            "mount --bind '$busybox' \"\$(readlink -f /bin/sh)\" && exec \"\$@\"" sh "$build/sandboxd"
    fi
    export BUSYBOX=
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
