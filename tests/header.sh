#!/bin/sh
# The public headers by themselves, as C99 and as C++98, without a warning; and
# whether src/config.h says of each macro that a build may set what it costs,
# and a size below its minimum does not compile: sh tests/header.sh
# SPDX-License-Identifier: MIT
set -u
flags='-pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only'
passed=0 failed=0
for header in lssb.h port/port.h port/tls.h; do
    for compiler in 'gcc -std=c99 -x c' 'clang -std=c99 -x c' \
        'g++ -std=c++98 -x c++' 'clang++ -std=c++98 -x c++' \
        'g++ -std=c++17 -x c++'; do
        # A file that includes it, so that `#pragma once` and the like do not
        # complain about a header on the command line.
        if printf '#include "%s"\n' "$header" | $compiler $flags -I. -; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAILED $header with $compiler"
        fi
    done
done
# Guards of headers aside, what sources ask for is what a build may set.
for macro in $(grep -hE '^ *# *(if|ifdef|ifndef|elif) ' src/*.[ch] port/*.[ch] lssb.h lssb.c http.c ws.c |
    grep -oE 'LSSB_[A-Z0-9_]+' | grep -v '_H$' | sort -u); do
    if grep -qE "^(/\*| \*) $macro  " src/config.h; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED src/config.h does not say what $macro is"
    fi
done
# Each size's minimum, and where it is one: that compiles, one less does not,
# whatever the header of BearSSL says.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
: >"$folder/bearssl.h"
while read -r file macro least; do
    if gcc -E -I"$folder" -D"$macro=$least" "$file" >/dev/null &&
        ! gcc -E -I"$folder" -D"$macro=$((least - 1))" "$file" >/dev/null 2>"$folder/why" &&
        grep -q "#error \"$macro is below $least" "$folder/why"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $file with $macro at $least, or below"
    fi
done <<END
src/config.h LSSB_RECEIVE_BUFFER 512
src/config.h LSSB_SEND_BUFFER 512
src/config.h LSSB_ELEMENT 256
src/config.h LSSB_HOLD 1024
src/config.h LSSB_TOKENS 64
port/tls_bearssl.c LSSB_RECEIVE_BUFFER 837
port/tls_bearssl.c LSSB_SEND_BUFFER 597
END
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
