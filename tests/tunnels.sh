#!/bin/sh
# Tunnels by real programs: redis, PostgreSQL, curl, ssh, nc, through
# examples/tunnel.c to a server made of the reference implementations of
# WebSocket and yamux in Go: sh tests/tunnels.sh BUILD-FOLDER
# SHORT=1: the same with less of everything, in half a minute. Or one by one:
# MIB of a file, FAR_MIB of one from far away, TIMES that connections are made,
# REQUESTS to redis, TRANSACTIONS of each of eight clients of PostgreSQL.
# Needs what `make deps test-tunnels` installs. What is not there is skipped.
# SPDX-License-Identifier: MIT
set -u
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
here=$(cd "${0%/*}" && pwd)
work=$(mktemp -d) || exit 1
chmod 755 "$work"
passed=0 failed=0 skipped=0
pids=
stop() {
    for p in $pids; do kill "$p"; done 2>/dev/null
    [ -d "$work/pg" ] && as_postgres "$pg_bin/pg_ctl -D $work/pg -m immediate stop" >/dev/null 2>&1
    wait 2>/dev/null
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

if [ -n "${SHORT:-}" ]; then
    : "${MIB:=24}" "${FAR_MIB:=80}" "${TIMES:=1500}" "${REQUESTS:=20000}" "${TRANSACTIONS:=40}"
fi
size=$((${MIB:-1024} * 1048576))
far_size=$((${FAR_MIB:-192} * 1048576))
times=${TIMES:-10000}

# check NAME COMMAND...: a test that passes when the command does.
check() {
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        tail -n 8 "$work/out" | sed 's/^/  /'
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "skipped: $1"
}

# start NAME COMMAND...: starts a program that prints a port first; sets $port
# and $pid, and leaves its stderr in NAME.log.
start() {
    log=$1
    shift
    mkfifo "$work/$log.port"
    "$@" >"$work/$log.port" 2>"$work/$log.log" &
    pid=$!
    pids="$pids $pid"
    read -r port <"$work/$log.port"
    port=$(echo "$port" | sed 's/.*"port":\([0-9]*\).*/\1/')
    rm "$work/$log.port"
}

# free_port: a port that nobody listens on.
free_port() {
    /usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# until_true COMMAND...: waits for a command to succeed, half a minute at most.
until_true() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || return 1
        sleep 0.05
    done
}

GO111MODULE=off GOPATH=$work:/usr/share/gocode GOCACHE=$build/go-cache \
    go build -o "$work/server" "$here/yamux/tunnel_server.go" || exit 1
forbidden=$(free_port)
start server "$work/server" "$forbidden"
web=$port
LANGSMITH_ENDPOINT=http://127.0.0.1:$web LANGSMITH_API_KEY=tunnels-test
export LANGSMITH_ENDPOINT LANGSMITH_API_KEY
unset http_proxy HTTP_PROXY ALL_PROXY all_proxy

# tunnel NAME PORT [LOCAL]: a tunnel; sets $port, the local one.
tunnel() {
    start "$1" "$build/examples/tunnel" box "$2" "${3:-0}"
}

tunnel web "$web"
local=$port tunnel_pid=$pid

# ----------------------------------------------------------------- the basics

half_close() {
    printf 'GET /file?100000 HTTP/1.0\r\n\r\n' | nc -N 127.0.0.1 "$local" >"$work/half" &&
        [ "$(tail -c 100000 "$work/half" | wc -c)" -eq 100000 ]
}
check 'a client that has finished sending gets its answer' half_close

refused() {
    ! curl -s -m 10 "http://127.0.0.1:$1/" && until_true grep -q "$2" "$work/$3.log"
}
tunnel nobody "$(free_port)"
check 'a port where nothing listens is refused, and said' \
    refused "$port" 'nothing listens' nobody
tunnel forbidden "$forbidden"
check 'a port that is not allowed is refused, and said' \
    refused "$port" 'not allow' forbidden

in_use() {
    ! timeout 10 "$build/examples/tunnel" box "$web" "$local" && grep -q 'in use' "$work/out"
}
check 'a local port that is taken is not taken twice' in_use

arguments() {
    for words in 'box' 'box 0' 'box 70000' 'box 80x' 'box x' 'box 80 5432x' 'box 80 70000' \
        'box 80 -1' 'box 80 80 80'; do
        "$build/examples/tunnel" $words
        [ $? -eq 2 ] || return 1
    done
    for words in 'box' 'box 0' 'box 65536' 'box 22x'; do
        "$build/examples/proxycommand" $words
        [ $? -eq 2 ] || return 1
    done
}
check 'arguments that are none are refused' arguments

# ------------------------------------------------------------- a Unix socket

# by_path PATH: starts a tunnel at it, from the work folder; sets $p.
by_path() {
    : >"$work/path.log"
    (cd "$work" && exec "$build/examples/tunnel" box "$web" "$1" 2>>"$work/path.log") &
    p=$!
    pids="$pids $p"
}
serves_by_path() {
    until_true test -S "$work/socket" &&
        until_true curl -s -m 10 --unix-socket "$work/socket" http://x/sessions &&
        [ "$(stat -c %a "$work/socket")" = 600 ]
}
unix_socket() {
    umask 0
    by_path ./socket
    umask 22
    serves_by_path
    result=$?
    kill $p
    wait $p
    [ $result -eq 0 ] && [ ! -e "$work/socket" ]
}
check 'a Unix socket serves its user alone, and is gone afterwards' unix_socket

# refused_by_path PATH WORDS: no tunnel at that path, and why.
refused_by_path() {
    by_path "$1"
    until_true grep -q "$2" "$work/path.log" || kill $p
    ! wait $p && grep -q "$2" "$work/path.log"
}
is_old() {
    [ $(($(date +%s) - $(stat -c %Z "$work/socket"))) -ge 2 ]
}
taken_over() {
    by_path ./socket
    first=$p
    serves_by_path && refused_by_path ./socket 'listened on' && serves_by_path || return 1
    kill -9 $first
    wait $first
    [ -S "$work/socket" ] && until_true is_old || return 1
    by_path "$work/socket"
    serves_by_path
    result=$?
    kill $p
    wait $p
    [ $result -eq 0 ] && [ ! -e "$work/socket" ]
}
check 'one that is listened on is taken; what a dead process left is not' taken_over

bad_paths() {
    : >"$work/plain"
    refused_by_path ./plain 'no socket' && [ -f "$work/plain" ] &&
        refused_by_path ./none/socket 'folder' &&
        refused_by_path "./$(printf '%0200d' 0)" 'too long'
}
check 'a path that cannot be is refused, in words' bad_paths

# ---------------------------------------------------------------------- files

same() {
    [ "$(curl -s -m 300 "http://127.0.0.1:$local/file?$size" | sha256sum)" = \
        "$(curl -s -m 300 "http://127.0.0.1:$web/file?$size" | sha256sum)" ]
}
check "a file comes down whole" same

upload() {
    curl -s -o "$work/file" "http://127.0.0.1:$web/file?$size"
    [ "$(curl -s -m 300 -T "$work/file" "http://127.0.0.1:$local/sum")" = \
        "$size $(sha256sum <"$work/file" | cut -c1-64) <nil>" ]
}
check "a file goes up whole" upload

# The same over TLS.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$work/tls.key" -out "$work/tls.pem" 2>/dev/null
start secure "$work/server" "$forbidden" "$work/tls.pem" "$work/tls.key"
LANGSMITH_ENDPOINT=https://127.0.0.1:$port LSSB_CA=$work/tls.pem tunnel tls "$web"
tls_local=$port
over_tls() {
    [ "$(curl -s -m 300 "http://127.0.0.1:$tls_local/file?$size" | sha256sum)" = \
        "$(sha256sum <"$work/file")" ] &&
        [ "$(curl -s -m 300 -T "$work/file" "http://127.0.0.1:$tls_local/sum")" = \
            "$size $(sha256sum <"$work/file" | cut -c1-64) <nil>" ]
}
check 'both over TLS' over_tls
rm -f "$work/file"

# --------------------------------------------------------------- many of them

at_once() {
    /usr/bin/python3 - "$local" <<'END'
import selectors, socket, sys
want = 100000
all = selectors.DefaultSelector()
got = {}
for i in range(200):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET /file?%d HTTP/1.0\r\n\r\n" % want)
    s.setblocking(False)
    all.register(s, selectors.EVENT_READ)
    got[s] = 0
while all.get_map():
    ready = all.select(20)
    assert ready, "nothing came for 20 s"
    for key, _ in ready:
        piece = key.fileobj.recv(65536)
        got[key.fileobj] += len(piece)
        if not piece:
            all.unregister(key.fileobj)
assert all and min(got.values()) > want, sorted(got.values())[:5]
END
}
check '200 connections at once' at_once

# Six connections that are kept alive, each asked for one thing after another
# while the others are busy; requests of some size, pauses, an answer of no
# size known beforehand.
browser() {
    /usr/bin/python3 - "$local" "$work/web.log" <<'END'
import hashlib, http.client, sys, threading
sizes = [0, 1, 300, 5000, 65536, 262144, 1000000]
wrong = []
def opened():
    return open(sys.argv[2]).read().count("opened")
before = opened()
def visit(number):
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    c.connect()
    sock = c.sock
    for i in range(40):
        size = sizes[(i + number) % len(sizes)]
        if i % 5 == 4:
            body = bytes([i]) * size
            c.request("PUT", "/sum", body)
            answer = c.getresponse().read().split()
            right = (answer[0] == b"%d" % size and answer[1].decode() ==
                     hashlib.sha256(body).hexdigest())
        else:
            c.request("GET", "/file?%d" % size, headers={"Cookie": "a=b; " * 200})
            right = len(c.getresponse().read()) == size
        if not right or c.sock is not sock:
            wrong.append((number, i, size))
    c.close()
threads = [threading.Thread(target=visit, args=(n,)) for n in range(6)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong
assert opened() - before == 6, opened() - before
END
}
check 'a browser: six connections kept alive, 240 requests in both directions' browser

one_after_another() {
    /usr/bin/python3 - "$local" "$tunnel_pid" "$times" <<'END'
import os, socket, sys
def rss():
    for line in open("/proc/%s/status" % sys.argv[2]):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
early = 0
times = int(sys.argv[3])
for i in range(times):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET /sessions HTTP/1.0\r\n\r\n")
    text = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        text += piece
    assert text.startswith(b"HTTP/1.0 200"), (i, text)
    s.close()
    if i == times // 10:
        early = rss()
late = rss()
print(early, late)
assert late <= early + 256, (early, late)
assert len(os.listdir("/proc/%s/fd" % sys.argv[2])) < 12
END
}
check "$times connections one after another, in flat memory" one_after_another

# ------------------------------------------------------- a network that is far

# Side by side, and again if the machine had something better to do meanwhile.
far() {
    start far "$build/tests/badnet" --to "127.0.0.1:$web" --delay 50 --rate $((25 * 1048576))
    far_web=$port
    LANGSMITH_ENDPOINT=http://127.0.0.1:$far_web STREAM_BUFFER=16777216 \
        tunnel far_tunnel "$web"
    for try in 1 2 3; do
        direct=$(curl -s -m 300 -o /dev/null -w '%{speed_download}' "http://127.0.0.1:$far_web/file?$far_size")
        through=$(curl -s -m 300 -o /dev/null -w '%{speed_download}' "http://127.0.0.1:$port/file?$far_size")
        echo "direct $direct, through the tunnel $through bytes/s"
        echo "  $((far_size / 1048576)) MiB over 100 ms and 25 MiB/s: direct $((${direct%.*} / 1048576)) MiB/s, tunnel $((${through%.*} / 1048576)) MiB/s" >&3
        [ "${direct%.*}" -gt 0 ] && [ "${through%.*}" -ge $((${direct%.*} * 8 / 10)) ] && return 0
    done
    return 1
}
exec 3>&1
check 'with 100 ms of round trip a download reaches 80 % of the direct one' far

# ------------------------------------------------------------- a slow reader

# By itself and beside a slow one, in turn; the best of each, since the machine
# may be busy. Whoever had to wait for that one would wait for seconds. It has not
# been reset, either: all that it asked for is there.
slow_reader() {
    /usr/bin/python3 - "$1" <<'END' && tail -n 1 "$work/out" >&3
import socket, sys, time
size = 24 << 20
def ask(room=None):
    s = socket.socket()
    if room:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.settimeout(30)
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET /file?%d HTTP/1.0\r\n\r\n" % size)
    return s
def rest(s):
    n = 0
    while True:
        piece = s.recv(1 << 20)
        if not piece:
            return n
        n += len(piece)
def fetch():
    began = time.monotonic()
    n = rest(ask())
    assert n > size, n
    return time.monotonic() - began
alone, beside = [], []
for i in range(4):
    alone.append(fetch())
    slow = ask(4096)
    n = len(slow.recv(10))
    beside.append(fetch())
    if i < 3:
        slow.close()
n += rest(slow)
assert n > size, n
print("  24 MiB: %.2f s, beside a slow reader %.2f s" % (min(alone), min(beside)))
assert min(beside) < 3 * min(alone), (alone, beside)
END
}
check 'a slow reader does not slow down the others' slow_reader "$local"

# Nothing is read on one: with a small buffer that is reset, and the others go
# on. A Unix socket, since it holds less than what a stream begins with.
stuck_reader() {
    /usr/bin/python3 - "$1" <<'END'
import socket, sys
def ask(bytes):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(sys.argv[1])
    s.sendall(b"GET /file?%d HTTP/1.0\r\n\r\n" % bytes)
    return s
stuck = ask(50000000)
stuck.recv(10)
for i in range(5):
    s = ask(1000000)
    n = 0
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        n += len(piece)
    assert n > 1000000, n
END
}
STREAM_BUFFER=4096 "$build/examples/tunnel" box "$web" "$work/small" 2>"$work/small.log" &
pids="$pids $!"
until_true test -S "$work/small"
check 'a reader that is stuck in a small buffer is reset, the others go on' \
    stuck_reader "$work/small"
check '  and so it was said' until_true grep -q 'too slow' "$work/small.log"

# -------------------------------------------------------- losing, finding, away

sessions() {
    curl -s "http://127.0.0.1:$web/sessions"
}
reconnects() {
    before=$(sessions)
    curl -s "http://127.0.0.1:$web/cut" &&
        until_true grep -q 'connection lost' "$work/web.log" &&
        curl -s -m 20 "http://127.0.0.1:$local/sessions" &&
        [ "$(sessions)" -eq $((before + 1)) ] && grep -q 'connected again' "$work/web.log"
}
check 'a lost connection is there again when somebody asks' reconnects

goes_away() {
    before=$(sessions)
    curl -s -m 60 --limit-rate 4M "http://127.0.0.1:$local/file?8000000" >"$work/away" &
    p=$!
    until_true test -s "$work/away"
    curl -s "http://127.0.0.1:$web/away" &&
        until_true grep -q 'goes away' "$work/web.log" &&
        curl -s -m 20 "http://127.0.0.1:$local/sessions" && wait $p &&
        [ "$(wc -c <"$work/away")" -eq 8000000 ] && [ "$(sessions)" -eq $((before + 1)) ]
}
check 'a server that goes away lets streams finish; then there is another one' goes_away

# ------------------------------------------------------------------- sandboxd

# Our own server: its first line is the endpoint, the key, the certificate.
sandboxd() {
    mkfifo "$work/ready"
    "$build/sandboxd" --tls --die-with-parent >"$work/ready" 2>"$work/sandboxd.log" &
    pids="$pids $!"
    read -r line <"$work/ready"
    value() {
        printf '%s\n' "$line" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
    }
    curl -s --cacert "$(value ca)" -H "X-Api-Key: $(value api_key)" \
        -H 'Content-Type: application/json' -d '{"name":"box"}' \
        "$(value endpoint)/v2/sandboxes/boxes" | grep '"ready"' || return 1
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key) \
        LSSB_CA=$(value ca) tunnel sandboxd_tunnel "$web"
    [ "$(curl -s -m 300 "http://127.0.0.1:$port/file?$size" | sha256sum)" = \
        "$(curl -s "http://127.0.0.1:$web/file?$size" | sha256sum)" ] &&
        curl -s "http://127.0.0.1:$web/file?$size" |
        curl -s -m 300 -T - "http://127.0.0.1:$port/sum" | grep "^$size .*<nil>"
}
check 'files both ways by sandboxd, over TLS' sandboxd

# ---------------------------------------------------------------------- redis

if command -v redis-server >/dev/null; then
    redis=$(free_port)
    redis-server --port "$redis" --save '' --bind 127.0.0.1 --dir "$work" >/dev/null &
    pids="$pids $!"
    until_true redis-cli -p "$redis" ping
    tunnel redis "$redis"
    redis_local=$port
    redis_works() {
        head -c 1000000 /dev/zero | tr '\0' x | redis-cli -p "$redis_local" -x set big &&
            [ "$(redis-cli -p "$redis_local" strlen big)" = 1000000 ] &&
            [ "$(redis-cli -p "$redis_local" get big | wc -c)" = 1000001 ]
    }
    check 'redis-cli' redis_works
    check 'redis-benchmark, in pipelines' timeout 120 redis-benchmark -p "$redis_local" \
        -n "${REQUESTS:-100000}" -P 16 -c 50 -q -t set,get,lrange_100
    tr '\r' '\n' <"$work/out" | grep 'requests per second' | sed 's/^/  through the tunnel: /'
else
    skip 'redis-server is not there'
fi

# ----------------------------------------------------------------- PostgreSQL

pg_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        su postgres -s /bin/sh -c "$1"
    else
        sh -c "$1"
    fi
}
if [ -n "$pg_bin" ]; then
    postgres=$(free_port)
    mkdir "$work/pg" "$work/pg_run"
    [ "$(id -u)" -eq 0 ] && chown postgres "$work/pg" "$work/pg_run"
    as_postgres "$pg_bin/initdb -A trust -U postgres -D $work/pg" >/dev/null 2>&1
    as_postgres "$pg_bin/pg_ctl -w -D $work/pg -l $work/pg/log -o '-p $postgres -k $work/pg_run -c fsync=off' start" >/dev/null
    tunnel postgres "$postgres"
    PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres
    export PGHOST PGPORT PGUSER
    psql_works() {
        [ "$(psql -Atc 'select sum(n) from generate_series(1, 100000) n')" = 5000050000 ] &&
            [ "$(psql -Atc 'select repeat(md5(n::text), 100) from generate_series(1, 3000) n' | wc -l)" = 3000 ]
    }
    check 'psql' psql_works
    check 'pgbench, its tables' "$pg_bin/pgbench" -i -q -s 2
    check 'pgbench, eight clients' "$pg_bin/pgbench" -c 8 -t "${TRANSACTIONS:-200}"
    grep -E '^tps' "$work/out" | sed 's/^/  through the tunnel: /'
else
    skip 'PostgreSQL is not there'
fi

# ------------------------------------------------------------------------ ssh

if [ -x /usr/sbin/sshd ] && command -v ssh >/dev/null; then
    ssh_port=$(free_port)
    ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    mkdir -p /run/sshd
    printf '%s\n' "Port $ssh_port" 'ListenAddress 127.0.0.1' "HostKey $work/host_key" \
        "AuthorizedKeysFile $work/key.pub" 'StrictModes no' 'UsePAM no' \
        'PasswordAuthentication no' 'PermitRootLogin yes' "PidFile $work/sshd.pid" \
        'Subsystem sftp internal-sftp' >"$work/sshd_config"
    /usr/sbin/sshd -D -f "$work/sshd_config" -E "$work/sshd.log" &
    pids="$pids $!"
    until_true nc -z 127.0.0.1 "$ssh_port"
    tunnel ssh "$ssh_port"
    ssh_local=$port
    options="-i $work/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR"
    ssh_works() {
        [ "$(ssh $options -p "$ssh_local" "$(id -un)@127.0.0.1" 'echo $((6 * 7))')" = 42 ]
    }
    check 'ssh' ssh_works
    scp_works() {
        head -c 20000000 /dev/urandom >"$work/there" &&
            scp -q $options -P "$ssh_local" "$work/there" "$(id -un)@127.0.0.1:$work/back" &&
            cmp "$work/there" "$work/back" &&
            scp -q $options -P "$ssh_local" "$(id -un)@127.0.0.1:$work/there" "$work/again" &&
            cmp "$work/there" "$work/again"
    }
    check 'scp, both ways' scp_works
    proxycommand() {
        [ "$(ssh $options -o "ProxyCommand=$build/examples/proxycommand box $ssh_port" \
            "$(id -un)@box" 'echo $((6 * 7))')" = 42 ]
    }
    check 'ssh by a ProxyCommand' proxycommand
else
    skip 'sshd is not there'
fi

stops() {
    kill -INT "$tunnel_pid"
    wait "$tunnel_pid"
}
check 'the tunnel ends when it is told to' stops
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
