#!/bin/sh
# Snapshots from a Dockerfile, live: our client, sandboxd and its stand-ins for
# BuildKit and Docker: sh tests/build.sh BUILD-FOLDER
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
"$build/sandboxd" --die-with-parent --provision-ms 1 >"$work/ready" 2>"$work/said" &
server=$!
read -r line <"$work/ready" || { cat "$work/said"; exit 1; }
value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
export LANGSMITH_ENDPOINT LANGSMITH_API_KEY
if [ "$(value isolation)" != view ]; then
    echo '  skipped: boxes have no view of their own here, so nothing may build in them'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi

# check SENTENCE COMMAND...: a test.
check() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        cat "$work/log"
    fi
}

# api METHOD PATH [JSON]: asks the service.
api() {
    curl -s -X "$1" -H "X-Api-Key: $LANGSMITH_API_KEY" -H 'Content-Type: application/json' \
        ${3+-d "$3"} "$LANGSMITH_ENDPOINT/v2/sandboxes$2"
}
member() { python3 -c 'import json, sys; sys.stdout.write(str(json.load(sys.stdin)[sys.argv[1]]))' "$1"; }
no_builder_left() { [ "$(api GET /boxes | member items)" = '[]' ]; }

# in_snapshot ID COMMAND: what a command says in a box made of a snapshot.
in_snapshot() {
    box=$(api POST /boxes "{\"snapshot_id\": \"$1\"}")
    url=$(printf %s "$box" | member dataplane_url)
    curl -s -H "X-Api-Key: $LANGSMITH_API_KEY" -H 'Content-Type: application/json' \
        -d "$(python3 -c 'import json, sys; print(json.dumps({"command": sys.argv[1]}))' "$2")" \
        "$url/execute" | member stdout
    api DELETE "/boxes/$(printf %s "$box" | member name)"
}

build() { "$build/examples/build" "$@" >"$work/id" 2>"$work/log"; }

# A context with everything that is hard to carry.
mkdir "$work/context"
(
    cd "$work/context" || exit 1
    mkdir -p src 'a dir' .git node_modules/x deep/node_modules docker empty
    printf 'hello\n' >'src/a b.txt'
    ln -s 'a b.txt' src/link
    ln -s /nowhere/"$(printf '%0150d' 1)" dangling
    head -c 9000000 /dev/urandom >src/large
    printf x >"a dir/$(printf 'new\nline')"
    printf x >"a dir/'quoted' \"twice\" \$x"
    printf x >"$(printf 'not-utf8-\377')"
    printf x >'gr\303\266\303\237e'
    long=$(printf '%0200d' 7)
    mkdir -p "$long/$long" && printf x >"$long/$long/$long"
    chmod 750 src/large
    echo never >.git/HEAD
    echo never >node_modules/x/y
    echo kept >deep/node_modules/z
    echo kept >keep.log
    echo never >other.log
    mkfifo pipe
    cat >docker/Own.Dockerfile <<'END'
FROM python:3.12 AS base
ARG WHO=nobody
ENV WHO=$WHO
WORKDIR /srv
COPY . .
FROM base AS final
RUN printf '%s\n' "$WHO" >who
FROM base AS never
RUN exit 7
END
    printf '%s\n' '# what is not sent' '/node_modules' '*.log' '!keep.log' docker >.dockerignore
    printf 'FROM scratch\nRUN sleep 60\n' >slow.Dockerfile
)
# What of it is to arrive: names, kinds, modes, targets, contents.
tell='find . ! -name who ! -type p -printf "%P %y %m %l\0" | sort -z | tr "\0\n" "\n?" | LC_ALL=C cat -v; find src -type f -exec sha256sum {} + | sort'
(cd "$work/context" && rm -rf "$work/want" && mkdir "$work/want" &&
    tar -cf - --exclude=./.git --exclude=./node_modules --exclude=other.log --exclude=pipe . |
    tar -xf - -C "$work/want" && cd "$work/want" && eval "$tell") >"$work/expected"

check 'a context becomes a snapshot, with all that is in it' \
    build first "$work/context" docker/Own.Dockerfile final "WHO=it's \"me\" \$HOME"
check 'every name, link, mode and byte of it arrived, and nothing that was ignored' eval \
    'in_snapshot "$(cat "$work/id")" "cd /srv && $tell" >"$work/got"; LC_ALL=C diff "$work/expected" "$work/got" >>"$work/log"'
check 'build arguments arrive as they are' eval \
    '[ "$(in_snapshot "$(cat "$work/id")" "cat /srv/who; printf %s \"\$WHO\"")" = "it'"'"'s \"me\" \$HOME
it'"'"'s \"me\" \$HOME" ]'
check 'no builder is left' no_builder_left

build second "$work/context" docker/Own.Dockerfile never
check 'a build that fails says so' [ $? = 1 ]
check 'with the last lines of its log' eval \
    'tail -n 3 "$work/log" | grep -q "RUN exit 7: failed with status 7"'
check 'no builder is left by it' no_builder_left
check 'nor a snapshot' eval '! api GET "/snapshots?name_contains=second" | grep -q second'

build third "$work/context" none
code=$?
check 'a Dockerfile that is not there is found out before anything is made' eval \
    '[ $code = 1 ] && grep -q "there is no such file" "$work/log" && ! grep -q creating "$work/log"'

"$build/examples/build" fourth "$work/context" slow.Dockerfile >"$work/id" 2>"$work/log" &
building=$!
for i in $(seq 1 600); do
    grep -q 'RUN sleep' "$work/log" && break
    sleep 0.1
done
kill -INT "$building"
wait "$building"
check 'one that is interrupted ends at once' [ $? = 1 ]
check 'canceled' grep -q 'building: canceled' "$work/log"
check 'and leaves no builder' no_builder_left

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
