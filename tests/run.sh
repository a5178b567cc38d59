#!/bin/sh
# Runs test suites one after another and adds up their closing lines:
# sh tests/run.sh NAME COMMAND [NAME COMMAND ...]
# SPDX-License-Identifier: MIT
set -u
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The number before a word in the last closing line of the log; 0 if none.
number() {
    grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1 |
        sed -nE "s/.*(^| )([0-9]+) $1.*/\2/p" | grep . || echo 0
}

while [ $# -ge 2 ]; do
    echo "== $1"
    sh -c "$2" >"$log" 2>&1
    status=$?
    p=$(number passed) f=$(number failed) s=$(number skipped)
    [ "$status" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    [ "$status" -eq 0 ] && [ $((p + f + s)) -eq 0 ] && f=1 &&
        echo "$1 said nothing of its tests" >>"$log"
    if [ "$f" -gt 0 ]; then
        tail -n 200 "$log"
    else
        grep -E '^ *skipped' "$log"
        tail -n 1 "$log"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    shift 2
done
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
