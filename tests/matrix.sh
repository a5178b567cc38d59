#!/bin/sh
# Whether each test that README.md names as a link's text is in the file that
# the link leads to, and each file that a link leads to is there:
# sh tests/matrix.sh, from the root of the tree.
# SPDX-License-Identifier: MIT
set -eu
links=$(mktemp)
trap 'rm -f "$links"' EXIT
passed=0 failed=0

grep -oE '\[[^][]*\]\([^():]+\)' README.md |
    sed -E 's/\[(.*)\]\(([^)#]*).*\)/\2 \1/' | sort -u >"$links"
while read -r file name; do
    if [ ! -e "$file" ]; then
        echo "README.md leads to $file, which is not there"
        failed=$((failed + 1))
    elif echo "$name" | grep -qE '^[a-z0-9]+(_[a-z0-9]+){2,}$' &&
        ! grep -qE "TEST\($name\b" "$file"; then
        echo "README.md names $name, which is not in $file"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done <"$links"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
