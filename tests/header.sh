#!/bin/sh
# The public headers by themselves, as C99 and as C++98, without a warning; and
# whether src/config.h says of each macro that a build may set what it costs:
# sh tests/header.sh
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
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
