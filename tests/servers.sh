#!/bin/sh
# Our client against software that was not written here: nginx in front of a
# sandboxd and of plain files, python's http.server, openssl s_server, squid and
# tinyproxy. Every server listens on loopback, on a port that was free, and is
# stopped by its process id at the end.
#
# SPDX-License-Identifier: MIT
#
# usage: tests/servers.sh BUILD-FOLDER; BIG=MIB sets the size of the big file,
# PROTOCOLS what the servers speak of TLS ("TLSv1.2 TLSv1.3"). A build that has
# TLS 1.3 resumes no sessions there.
# What a test expects is matched with the report of tests/probe.c.

build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
probe=$build/tests/probe
work=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
pids=
big_mib=${BIG:-1024}
protocols=${PROTOCOLS:-TLSv1.2 TLSv1.3}
resumes=1 raw_protocols=
newer=$(nm "$build/tests/probe" | grep -c mbedtls_ssl_conf_tls13_key_exchange_modes)
case $newer$protocols in [1-9]*TLSv1.3*) resumes=0 ;; esac
case $protocols in TLSv1.2) raw_protocols=-tls1_2 ;; TLSv1.3) raw_protocols=-tls1_3 ;; esac
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY \
    ALL_PROXY NO_PROXY SSL_CERT_FILE
PATH=$PATH:/usr/sbin:/sbin

# ---------------------------------------------------------------- the frame --

pass() { passed=$((passed + 1)); }

# fail NAME REASON
fail() {
    failed=$((failed + 1))
    printf 'FAILED %s\n  %s\n' "$1" "$2"
    head -c 1500 "$work/report"
}

# skip WHAT REASON
skip() {
    skipped=$((skipped + 1))
    printf '  skipped: %s: %s\n' "$1" "$2"
}

# The value of a name in the last report.
value() { tr ' ' '\n' <"$work/report" | sed -n "s/^$1=//p" | head -n 1; }

# The sentence of the last report.
message() { sed -n 's/^message=//p' "$work/report"; }

# ask ARGUMENT...: probe, with the key of our sandboxd; $work/out has what came,
# $work/report its report.
ask() {
    "$probe" --key key --cleartext yes "$@" >"$work/out" 2>"$work/report"
}

# ask_hash ARGUMENT...: the same, but $work/out has the SHA-256 of what came.
ask_hash() {
    mkfifo "$work/pipe"
    sha256sum <"$work/pipe" >"$work/out" &
    hash=$!
    "$probe" --key key --cleartext yes "$@" >"$work/pipe" 2>"$work/report"
    wait "$hash"
    rm "$work/pipe"
}

# judge NAME PATTERN...: each must match a part of the report.
judge() {
    what=$1
    shift
    for pattern; do
        if ! tr '\n' ' ' <"$work/report" | grep -q -e "$pattern"; then
            fail "$what" "no \"$pattern\" in the report:"
            return 1
        fi
    done
    pass
}

# try NAME PATTERN... -- ARGUMENT...: asks and judges. A pattern is a regular
# expression for the report; with VERBOSE=1 each sentence is shown.
try() {
    title=$1 wanted=
    shift
    while [ "$1" != -- ]; do
        wanted="$wanted '$1'"
        shift
    done
    shift
    ask "$@"
    eval "judge \"\$title\" $wanted"
    [ -n "${VERBOSE:-}" ] && [ -n "$(message)" ] &&
        printf '%s\n    %s: %s\n' "$title" "$(value status)" "$(message)"
    return 0
}

# check NAME COMMAND...: passes when the command does.
check() {
    what=$1
    shift
    if "$@"; then pass; else fail "$what" "not so: $*; the last report:"; fi
}

# What came is what is in this file.
came() { cmp -s "$work/out" "$1"; }

# The hash that came is this file's.
hash_came() { [ "$(cut -d ' ' -f 1 "$work/out")" = "$(hash_of "$1")" ]; }
hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# start COMMAND...: a server in the background, with its files in $work.
start() {
    (cd "$work" && exec "$@") >>"$work/servers.log" 2>&1 &
    pids="$pids $!"
}

# await NAME PORT...: until it accepts; false, and its log, when it does not.
await() {
    name=$1
    shift
    "$probe" await "$@" && return 0
    echo "$name does not start"
    tail -n 20 "$work/servers.log"
    return 1
}

stop_all() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null
    done
    pids=
}

# Processes that work in our folder: the servers do, and their children.
count_strays() {
    for cwd in /proc/[0-9]*/cwd; do
        case $(readlink "$cwd" 2>/dev/null) in "$work"*) echo "$cwd" ;; esac
    done | wc -l
}

finish() {
    stop_all
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# ------------------------------------------------------------ what is served --

ports() {
    set -- $("$probe" ports 14)
    front=$1 front_tls=$2 once=$3 once_tls=$4 newer_tls=$5 dead=$6 old=$7
    raw_tls=$8 squid=$9
    shift 9
    tinyproxy=$1 narrow=$2 plain_close=$3 brief=$4 brief_tls=$5
}

# Bytes that do not repeat: file NAME MIB.
bytes() {
    openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff \
        -iv 00000000000000000000000000000000 -in /dev/zero 2>/dev/null |
        head -c $(($2 * 1048576)) >"$work/www/$1"
}

# An authority, a server's certificate, and one of another authority.
certificates() {
    cd "$work" || exit 1
    for ca in ca other; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -days 2 -keyout $ca.key -out $ca.pem -subj "/CN=$ca" 2>/dev/null
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -keyout server.key -out server.csr -subj /CN=server 2>/dev/null
    echo 'subjectAltName=DNS:localhost,DNS:service.test,IP:127.0.0.1,IP:::1' >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 \
        -CAcreateserial -extfile server.ext -out server.pem 2>/dev/null
    cd - >/dev/null || exit 1
}

# A sandboxd; sets $sandboxd, its port.
start_sandboxd() {
    mkfifo "$work/ready"
    (cd "$work" && TMPDIR=$work exec "$build/sandboxd" --api-key key "$@") \
        >"$work/ready" 2>>"$work/servers.log" &
    pids="$pids $!"
    read -r line <"$work/ready"
    rm "$work/ready"
    sandboxd=${line#*127.0.0.1:}
    sandboxd=${sandboxd%%\"*}
}

# Whether this machine has IPv6's loopback.
has_six() { grep -qs '^0*1 ' /proc/net/if_inet6; }

# ------------------------------------------------------------------- nginx --

nginx_locations() {
    cat <<END
    location / {
        proxy_pass http://box;
        proxy_buffering off;
        sub_filter http://127.0.0.1:$sandboxd \$scheme://\$http_host;
        sub_filter_once off;
        sub_filter_types application/json;
    }
    location /old/ {
        proxy_pass http://127.0.0.1:$sandboxd/;
        proxy_http_version 1.0;
        proxy_set_header Connection close;
        proxy_request_buffering on;
        gzip on;
        gzip_types *;
        gzip_proxied any;
        gzip_min_length 1;
    }
    location = /static/download { root www; try_files \$asked =404; }
    location = /slow/download { root www; limit_rate 64k; try_files \$asked =404; }
    location = /rated/download {
        root www;
        limit_req zone=rated;
        limit_req_status 429;
        add_header Retry-After 1 always;
        try_files \$asked =404;
    }
    location = /zipped/download {
        root www;
        gzip_static always;
        rewrite ^ /zipped.bin break;
    }
    location /small/ { client_max_body_size 1m; proxy_pass http://box/; }
    location /rude/ { client_max_body_size 1m; lingering_close off; proxy_pass http://box/; }
    location /dead/ { proxy_pass http://127.0.0.1:$dead/; }
    location /hang/ { proxy_pass http://box/; proxy_read_timeout 1s; }
    location /busy/ { add_header Retry-After 7 always; return 503; }
    location /chunked/ { proxy_pass http://127.0.0.1:$plain_close/; }
    location /moved/ { return 301 https://elsewhere.test/; }
    location /locked/ { deny all; }
    location = /v2/sandboxes/boxes/page { default_type text/html; return 200 '<html>hello</html>'; }
    location = /v2/sandboxes/boxes/nothing { return 204; }
    location = /v2/sandboxes/boxes/fixed {
        default_type application/json;
        return 200 '{"name":"fixed","status":"ready","dataplane_url":"\$scheme://\$http_host/static"}';
    }
END
}

# nginx_configuration LISTEN: more directives for the server that soon tires.
nginx_configuration() {
    [ "$(id -u)" = 0 ] && echo 'user root;'
    cat <<END
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 512; }
http {
    access_log $work/access.log;
    root $work/www;
    default_type application/octet-stream;
    client_body_temp_path $work/temp;
    proxy_temp_path $work/temp;
    fastcgi_temp_path $work/temp;
    uwsgi_temp_path $work/temp;
    scgi_temp_path $work/temp;
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_http_version 1.1;
    map \$http_upgrade \$asked_connection { default upgrade; '' ''; }
    proxy_set_header Upgrade \$http_upgrade;
    proxy_set_header Connection \$asked_connection;
    proxy_set_header Host \$http_host;
    proxy_read_timeout 60s;
    limit_req_zone \$server_port zone=rated:64k rate=1r/s;
    map \$arg_path \$asked {
        default /none;
        %2Fbig.bin /big.bin;
        %2Fone.bin /one.bin;
        %2Fempty.bin /empty.bin;
    }
    upstream box { server 127.0.0.1:$sandboxd; keepalive 4; }
    ssl_certificate $work/server.pem;
    ssl_certificate_key $work/server.key;
    ssl_session_cache shared:TLS:1m;
    ssl_protocols $protocols;
    server { listen 127.0.0.1:$front; include $work/locations; }
    server { listen 127.0.0.1:$front_tls ssl; include $work/locations; }
    server { listen 127.0.0.1:$once; keepalive_timeout 0; include $work/locations; }
    server { listen 127.0.0.1:$once_tls ssl; keepalive_timeout 0; include $work/locations; }
    server { listen 127.0.0.1:$newer_tls ssl; ssl_protocols TLSv1.3; include $work/locations; }
    server {
        listen 127.0.0.1:$brief;
        listen 127.0.0.1:$brief_tls ssl;
        $1
        keepalive_timeout 1s;
        keepalive_requests 3;
        include $work/locations;
    }
    server {
        listen 127.0.0.1:$narrow;
        client_header_buffer_size 256;
        large_client_header_buffers 1 512;
        include $work/locations;
    }
}
END
}

start_nginx() {
    mkdir "$work/temp"
    nginx_locations | sed "s|root www;|root $work/www;|" >"$work/locations"
    six=
    has_six && six="listen [::1]:$brief; listen [::1]:$brief_tls ssl;"
    nginx_configuration "$six" >"$work/nginx.conf"
    start nginx -p "$work" -e "$work/nginx.log" -c "$work/nginx.conf"
    await nginx "$front" "$front_tls" "$once" "$once_tls" "$newer_tls" "$narrow"
}

# quickstart NAME URL: examples/quickstart through a server; its words are
# checked, not only its exit code.
quickstart() {
    LANGSMITH_ENDPOINT=$2 LANGSMITH_API_KEY=key LSSB_CA=$work/ca.pem \
        "$build/examples/quickstart" >"$work/report" 2>&1
    judge "$1" '2 + 2 is 4' 'exit code 3' 'hello from a file' \
        'LSSB_E_NOT_FOUND' 'ok    delete' && ! grep -q FAIL "$work/report"
}

# Everything of the quickstart, over every kind of connection.
test_quickstart() {
    quickstart 'the quickstart runs through nginx' "http://127.0.0.1:$front"
    quickstart 'the quickstart runs through nginx over TLS' \
        "https://localhost:$front_tls"
    quickstart 'the quickstart runs without keep-alive' "http://127.0.0.1:$once"
    quickstart 'the quickstart runs over TLS without keep-alive' \
        "https://127.0.0.1:$once_tls"
}

# How often connections and TLS sessions are used again.
test_reuse() {
    try 'a kept-alive connection serves every request' requests=20 \
        connections=1 reused=19 retries=0 -- \
        --endpoint "http://127.0.0.1:$front" --times 20 list
    try 'a kept-alive TLS connection serves every request' requests=20 \
        connections=1 reused=19 resumed=0 -- --ca "$work/ca.pem" \
        --only yes --endpoint "https://127.0.0.1:$front_tls" --times 20 list
    try 'a connection that nginx closes is not used again' requests=10 \
        connections=10 reused=0 retries=0 -- \
        --endpoint "http://127.0.0.1:$once" --times 10 list
    try 'a TLS session is resumed by the next connection' requests=10 \
        connections=10 resumed=$((9 * resumes)) -- --ca "$work/ca.pem" \
        --only yes --endpoint "https://127.0.0.1:$once_tls" --times 10 list
    try 'no session is resumed when that is not wanted' resumed=0 \
        connections=5 -- --ca "$work/ca.pem" --only yes --resume no \
        --endpoint "https://127.0.0.1:$once_tls" --times 5 list
    try 'a connection serves as often as nginx lets it' requests=9 \
        connections=3 reused=6 retries=0 -- \
        --endpoint "http://127.0.0.1:$brief" --times 9 list
    try 'one that nginx gave up meanwhile is not used again' status=LSSB_OK \
        requests=3 connections=3 retries=0 -- --pause 1300 \
        --endpoint "http://127.0.0.1:$brief" --times 3 list
    try 'nor is one of TLS' status=LSSB_OK requests=2 connections=2 resumed=$resumes \
        retries=0 -- --pause 1300 --ca "$work/ca.pem" \
        --endpoint "https://127.0.0.1:$brief_tls" --times 2 list
    ask_hash --slots 4 --together 8 --ca "$work/ca.pem" \
        get "https://127.0.0.1:$front_tls/static" /one.bin
    judge 'eight downloads share four slots' status=LSSB_OK slots_high=4 \
        requests=8
}

test_six() {
    if ! has_six; then
        skip 'IPv6' 'this machine has no ::1'
        return
    fi
    try 'an IPv6 address in the URL' status=LSSB_OK "dataplane=http://\[::1\]:" \
        -- --endpoint "http://[::1]:$brief" box servers
    try 'and over TLS, in the certificate' status=LSSB_OK -- \
        --ca "$work/ca.pem" --only yes \
        get "https://[::1]:$brief_tls/static" /one.bin
}

# Whom TLS trusts.
test_trust() {
    tls=https://127.0.0.1:$front_tls/static
    try 'a certificate of an unknown issuer is refused' \
        status=LSSB_E_CERTIFICATE layer=tls attempts=1 \
        'message=.*issued by "CN=ca"' -- stat "$tls" /one.bin
    try 'a certificate of another issuer is refused' \
        status=LSSB_E_CERTIFICATE 'message=.*issued by "CN=ca"' -- \
        --ca "$work/other.pem" --only yes stat "$tls" /one.bin
    try 'a certificate for another name is refused' \
        status=LSSB_E_CERTIFICATE 'message=.*0\.0\.0\.0' -- \
        --ca "$work/ca.pem" --only yes \
        stat "https://0.0.0.0:$front_tls/static" /one.bin
    set -- --retries none --ca "$work/ca.pem" stat \
        "https://127.0.0.1:$newer_tls/static" /one.bin
    if [ "$newer" -gt 0 ]; then
        try 'a server with TLS 1.3 alone is spoken to' status=LSSB_OK -- "$@"
    else
        try 'a server with TLS 1.3 alone is refused in words' \
            status=LSSB_E_PROTOCOL layer=tls 'message=.*TLS 1\.2' -- "$@"
    fi
    try 'plain HTTP behind https is refused in words' \
        status=LSSB_E_PROTOCOL layer=tls 'message=.*TLS' -- \
        --retries none stat "https://127.0.0.1:$front/static" /one.bin
    try 'https behind plain HTTP shows the answer of nginx' \
        http=400 'message=.*400' -- stat "http://127.0.0.1:$front_tls/static" /one.bin
}

# Big files, and how much memory they take: the private part of it, for what is
# resident of shared libraries differs by more from run to run.
test_big() {
    ask_hash get "http://127.0.0.1:$front/static" /one.bin
    little=$(value memory_kb)
    judge 'a file of 1 MiB comes' status=LSSB_OK length=1048576
    check 'the 1 MiB is what nginx has' hash_came "$work/www/one.bin"
    ask_hash get "http://127.0.0.1:$front/static" /big.bin
    much=$(value memory_kb)
    judge 'a file of many MiB comes' status=LSSB_OK retries=0 \
        "length=$((big_mib * 1048576)) " "size=$((big_mib * 1048576)) "
    check 'the big file is what nginx has' hash_came "$work/www/big.bin"
    check "memory does not grow with the file ($little and $much KiB)" \
        [ $((much - little)) -le 200 ]
    ask_hash --ca "$work/ca.pem" get "https://127.0.0.1:$front_tls/static" /one.bin
    little=$(value memory_kb)
    ask_hash --ca "$work/ca.pem" get "https://127.0.0.1:$front_tls/static" /big.bin
    much=$(value memory_kb)
    judge 'the big file comes over TLS' status=LSSB_OK retries=0
    check 'the big file over TLS is what nginx has' hash_came "$work/www/big.bin"
    check "nor does it over TLS ($little and $much KiB)" \
        [ $((much - little)) -le 200 ]
}

# upload NAME BASE [WHERE]: a quarter of the big file goes up, and is hashed in
# the box by a command (there).
upload() {
    ask --ca "$work/ca.pem" put "$2" /tmp/up.bin "$work/www/one.bin"
    little=$(value memory_kb)
    ask --ca "$work/ca.pem" put "$2" /tmp/up.bin "$work/www/quarter.bin"
    much=$(value memory_kb)
    judge "$1: it goes up" status=LSSB_OK retries=0 requests=1
    check "$1: memory stays ($little and $much KiB)" \
        [ $((much - little)) -le 200 ]
    ask --ca "$work/ca.pem" run "${3:-$2}" 'sha256sum </tmp/up.bin'
    check "$1: the box has the same bytes" hash_came "$work/www/quarter.bin"
}

test_upload() {
    upload 'a big upload' "http://127.0.0.1:$front/dp/$box"
    upload 'a big upload over TLS' "https://127.0.0.1:$front_tls/dp/$box"
    upload 'a big upload that nginx buffers' "http://127.0.0.1:$front/old/dp/$box" \
        "http://127.0.0.1:$front/dp/$box"
}

# Parts of files, their validators, and what is not there.
test_parts() {
    files=http://127.0.0.1:$front/static
    one=$work/www/one.bin
    dd if="$one" bs=1 skip=1000 count=500 of="$work/part" 2>/dev/null
    try 'a part comes' status=LSSB_OK partial=1 start=1000 length=500 \
        size=1048576 -- --start 1000 --length 500 get "$files" /one.bin
    check 'the part is the right one' came "$work/part"
    tail -c 700 "$one" >"$work/part"
    try 'the end comes' partial=1 start=1047876 length=700 -- \
        --last 700 get "$files" /one.bin
    check 'the end is the right one' came "$work/part"
    try 'a part beyond the end is an error' status=LSSB_E_OPERATION http=416 \
        'message=.*1048576' -- --start 1048576 get "$files" /one.bin
    try 'HEAD tells the size' status=LSSB_OK size=1048576 'etag="' -- \
        stat "$files" /one.bin
    etag=$(value etag)
    try 'a file that is unchanged does not come again' status=LSSB_OK \
        unchanged=1 length=0 -- --if-none-match "$etag" get "$files" /one.bin
    try 'a part comes while the file is the same' partial=1 length=24 -- \
        --if-range "$etag" --start 8 --length 24 get "$files" /one.bin
    try 'the whole comes when it is another file' partial=0 start=0 \
        length=1048576 -- --if-range '"other"' --start 8 get "$files" /one.bin
    check 'the whole is the file' came "$one"
    try 'an empty file comes' status=LSSB_OK length=0 size=0 -- \
        get "$files" /empty.bin
    try 'HEAD and 304 leave the connection in use' connections=1 reused=9 -- \
        --times 10 stat "$files" /one.bin
    try 'a file that is not there is named' status=LSSB_E_NOT_FOUND http=404 \
        'message=.*/none\.bin' -- get "$files" /none.bin
    try 'a compressed reply that nobody asked for is refused' \
        status=LSSB_E_PROTOCOL 'message=.*compressed' -- \
        get "http://127.0.0.1:$front/zipped" /one.bin
}

# curl and this library get the same from nginx.
test_curl() {
    for range in 0-0 0-99999 500000-1048575 1000000-2000000; do
        curl -s -r "$range" -o "$work/part" \
            "http://127.0.0.1:$front/static/download?path=%2Fone.bin"
        ask --start "${range%-*}" \
            --length $((${range#*-} - ${range%-*} + 1)) \
            get "http://127.0.0.1:$front/static" /one.bin
        check "bytes $range are the same that curl gets" came "$work/part"
    done
    curl -sI "http://127.0.0.1:$front/static/download?path=%2Fone.bin" |
        tr -d '\r' | sed -n 's/^ETag: //p' >"$work/want"
    ask stat "http://127.0.0.1:$front/static" /one.bin
    value etag >"$work/out"
    check 'the ETag is the same that curl gets' came "$work/want"
    ask put "http://127.0.0.1:$front/dp/$box" '/tmp/Ä b%2F+&=#?.bin' \
        "$work/www/one.bin"
    curl -s -o "$work/out" -H 'X-Api-Key: key' -G --data-urlencode \
        'path=/tmp/Ä b%2F+&=#?.bin' "http://127.0.0.1:$front/dp/$box/download"
    check 'curl finds what went up under an odd name' came "$work/www/one.bin"
}

# Answers that are not what was hoped for.
test_answers() {
    api=http://127.0.0.1:$front
    try 'what nginx itself says is a sandbox, too' status=LSSB_OK name=fixed \
        state=ready "dataplane=$api/static" -- --endpoint "$api" box fixed
    try 'a page that is no JSON is refused' status=LSSB_E_PROTOCOL layer=json \
        'message=.*JSON' -- --endpoint "$api" box page
    try 'no content where a sandbox is due is refused' \
        status=LSSB_E_PROTOCOL layer=json -- --endpoint "$api" box nothing
    try 'a wrong key is said to be one' status=LSSB_E_AUTH http=401 -- \
        --endpoint "$api" --key wrong list
    try 'a dead upstream is a 502, tried again' status=LSSB_E_REFUSED http=502 \
        requests=2 attempts=2 retries=1 'message=.*502' -- \
        --retries 1 get "$api/dead" /one.bin
    try 'a 503 without a word is a 503' http=503 retry_after=7000 \
        'message=.*503' -- --retries none get "$api/busy" /one.bin
    try 'a command outlives a proxy that cuts what is quiet for a second' \
        status=LSSB_OK 'retries=[1-9]' -- run "$api/hang/dp/$box" 'sleep 3'
    try 'a redirection is not followed' http=301 requests=1 \
        'message=.*301' -- get "$api/moved" /one.bin
    try 'what is forbidden is an answer' http=403 requests=1 -- \
        get "$api/locked" /one.bin
    try 'the rate limit of nginx is waited for' status=LSSB_OK http=429 \
        retries=1 requests=3 -- --times 2 get "$api/rated" /one.bin
    try 'a head that is too large for nginx is its 400' http=400 \
        'message=.*400' -- --header "$(head -c 900 /dev/zero | tr '\0' x)" \
        get "http://127.0.0.1:$narrow/static" /one.bin
    try 'a path that is too long for nginx is its 414' http=414 \
        'message=.*414' -- get "http://127.0.0.1:$narrow/static" \
        "/$(head -c 900 /dev/zero | tr '\0' x)"
    try 'a deadline ends a slow transfer' status=LSSB_E_DEADLINE \
        layer=transport 'message=.*receiving' -- --deadline 300 \
        get "$api/slow" /one.bin
}

# A server that answers before it has read: the answer counts.
test_413() {
    for where in small rude small rude; do
        try "413 in the middle of an upload is shown ($where)" http=413 \
            status=LSSB_E_REFUSED requests=1 'message=.*413' -- \
            put "http://127.0.0.1:$front/$where/dp/$box" /tmp/x \
            "$work/www/quarter.bin"
        try "the same over TLS ($where)" http=413 requests=1 -- \
            --ca "$work/ca.pem" \
            put "https://127.0.0.1:$front_tls/$where/dp/$box" /tmp/x \
            "$work/www/quarter.bin"
    done
}

# The same when the limit is found on the way: sandboxd counts as it reads.
test_limit() {
    for base in "http://127.0.0.1:$front" "https://127.0.0.1:$front_tls" \
        "http://127.0.0.1:$sandboxd"; do
        try "what is too large for the box is said (${base%:*})" http=413 \
            requests=1 retries=0 -- --ca "$work/ca.pem" \
            put "$base/dp/$box" /tmp/x "$work/www/big.bin"
    done
}

# HTTP/1.0 behind nginx, compression allowed.
test_old_upstream() {
    base=http://127.0.0.1:$front/old/dp/$box
    try 'a command is refused by an HTTP/1.0 hop, in words' \
        status=LSSB_E_CONNECTION requests=1 'message=.*refused the WebSocket' \
        -- run "$base" 'echo "$((6 * 7))"'
    try 'a file goes up through it' status=LSSB_OK -- \
        put "$base" /tmp/old.bin "$work/www/one.bin"
    try 'and comes back, not compressed' status=LSSB_OK length=1048576 -- \
        get "$base" /tmp/old.bin
    check 'unchanged by HTTP/1.0' came "$work/www/one.bin"
}

# Connections that break, with nginx behind.
test_cuts() {
    cut_relay "$front" 300000 1
    try 'a download goes on after a lost connection' status=LSSB_OK retries=1 \
        requests=2 length=1048576 -- get "http://127.0.0.1:$relay/static" /one.bin
    check 'and no byte is lost or comes twice' came "$work/www/one.bin"
    cut_relay "$front_tls" 300000 2
    try 'and over TLS, twice' status=LSSB_OK retries=2 length=1048576 -- \
        --ca "$work/ca.pem" get "https://127.0.0.1:$relay/static" /one.bin
    check 'with the same bytes' came "$work/www/one.bin"
    cut_relay "$front" 300000 99
    try 'without more attempts it is a lost connection' \
        status=LSSB_E_CONNECTION layer=transport 'message=.*middle' -- \
        --retries none get "http://127.0.0.1:$relay/static" /one.bin
    cut_relay "$front_tls" 1000 99
    try 'a handshake that is cut is a lost connection' \
        status=LSSB_E_CONNECTION 'message=.*TLS' -- --retries none \
        --ca "$work/ca.pem" get "https://127.0.0.1:$relay/static" /one.bin
    try 'nobody there is a refused connection' status=LSSB_E_CONNECTION \
        layer=connect "message=.*127.0.0.1:$dead" -- --retries none \
        get "http://127.0.0.1:$dead" /x
}

# cut_relay PORT BYTES TIMES: sets $relay, a port that leads there, for a while.
cut_relay() {
    mkfifo "$work/ready"
    (cd "$work" && exec "$probe" cut "$@") >"$work/ready" 2>/dev/null &
    pids="$pids $!"
    read -r relay <"$work/ready"
    rm "$work/ready"
}

# A box for those who speak to a dataplane: sets $box, its id.
make_box() {
    ask --endpoint "http://127.0.0.1:$front" create servers
    box=$(value dataplane)
    box=${box##*/}
    judge 'a sandbox is created through nginx' status=LSSB_OK state=ready \
        "dataplane=http://127.0.0.1:$front/dp/."
}

# ---------------------------------------------------------- other servers --

# Python's own, HTTP/1.0; and one whose bodies end with the connection.
start_python() {
    mkdir "$work/python"
    cp "$work/www/one.bin" "$work/python/download"
    cat >"$work/close.py" <<'END'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open(sys.argv[2], "rb").read())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
END
    start python3 -m http.server --bind 127.0.0.1 -d "$work/python" "$old"
    start python3 "$work/close.py" "$plain_close" "$work/www/one.bin"
    await python3 "$old" "$plain_close"
}

test_python() {
    try 'HTTP/1.0 of python comes, each on its own connection' status=LSSB_OK \
        length=1048576 connections=3 reused=0 -- \
        --times 3 get "http://127.0.0.1:$old" /one.bin
    try 'HEAD of python tells the size' size=1048576 -- \
        stat "http://127.0.0.1:$old" /one.bin
    try 'a body that ends with the connection comes' status=LSSB_OK \
        length=1048576 -- get "http://127.0.0.1:$plain_close" /one.bin
    check 'whole' came "$work/www/one.bin"
    if have nginx; then
        try 'nginx makes chunks of it, which come' status=LSSB_OK \
            length=1048576 -- get "http://127.0.0.1:$front/chunked" /one.bin
        check 'whole, again' came "$work/www/one.bin"
    fi
    try 'a server that knows no POST says so' http=501 requests=1 -- \
        put "http://127.0.0.1:$old" /x "$work/www/one.bin"
}

# raw NAME: standard input is the whole reply to a download of /NAME.
raw() { sed 's/$/\r/' >"$work/raw/download?path=%2F$1"; }

start_raw() {
    mkdir "$work/raw"
    {
        printf 'HTTP/1.1 100 Continue\n\n'
        printf 'HTTP/1.1 103 Early Hints\nLink: <x>\n\n'
        printf 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'
    } | raw interim
    printf 'HTTP/1.0 200 OK\n\n' | raw closed
    cat "$work/www/one.bin" >>"$work/raw/download?path=%2Fclosed"
    printf '%s\n' 'HTTP/1.1 200 OK' 'Transfer-Encoding: chunked' '' '5;a=b' \
        hello 0 'X-T: y' '' | raw chunked
    printf 'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n' | raw unfinished
    printf 'HTTP/1.1 200 OK\nContent-Length: 10\n\nhello' | raw short
    printf 'HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello' | raw twice
    printf 'SSH-2.0-OpenSSH_9.2\n' | raw ssh
    (cd "$work/raw" && exec openssl s_server -accept "127.0.0.1:$raw_tls" \
        -cert ../server.pem -key ../server.key -HTTP -quiet $raw_protocols) \
        >>"$work/servers.log" 2>&1 </dev/null &
    pids="$pids $!"
    await 'openssl s_server' "$raw_tls"
}

test_raw() {
    base=https://127.0.0.1:$raw_tls
    set -- --retries none --ca "$work/ca.pem" get "$base"
    try 'interim replies are passed over' status=LSSB_OK length=2 -- "$@" /interim
    try 'a body that ends with close_notify comes' status=LSSB_OK \
        length=1048576 -- "$@" /closed
    check 'it is whole' came "$work/www/one.bin"
    try 'chunks with extensions and trailers come' status=LSSB_OK length=5 -- \
        "$@" /chunked
    try 'chunks without an end are an error' status=LSSB_E_CONNECTION \
        layer=transport 'message=.*middle of the reply' -- "$@" /unfinished
    try 'a body that is too short is an error' status=LSSB_E_CONNECTION \
        'message=.*middle of the reply' -- "$@" /short
    try 'two lengths are an error' status=LSSB_E_PROTOCOL layer=http \
        'message=.*Content-Length' -- "$@" /twice
    try 'what is no HTTP is an error' status=LSSB_E_PROTOCOL layer=http \
        'message=.*HTTP' -- "$@" /ssh
    cut_relay "$raw_tls" 200000 99
    try 'a cut is not the end of a body that ends with the connection' \
        status=LSSB_E_CONNECTION layer=transport -- --retries none \
        --ca "$work/ca.pem" get "https://127.0.0.1:$relay" /closed
}

# ----------------------------------------------------------------- proxies --

# start_squid: its own names, and a password that `user` has.
start_squid() {
    for helper in /usr/lib/squid /usr/lib64/squid /usr/libexec/squid; do
        [ -x "$helper/basic_ncsa_auth" ] && break
    done
    mkdir "$work/squid"
    chmod 755 "$work"
    echo '127.0.0.1 localhost service.test forbidden.test' >"$work/squid/hosts"
    echo "user:$(openssl passwd -apr1 'pass:word')" >"$work/squid/passwd"
    cat >"$work/squid/squid.conf" <<END
http_port 127.0.0.1:$squid
visible_hostname proxy.test
pid_filename $work/squid/squid.pid
access_log stdio:$work/squid/access.log
cache_log $work/squid/cache.log
coredump_dir $work/squid
hosts_file $work/squid/hosts
cache deny all
cache_mem 8 MB
max_filedescriptors 1024
pinger_enable off
shutdown_lifetime 0 seconds
auth_param basic program $helper/basic_ncsa_auth $work/squid/passwd
auth_param basic children 1
acl known proxy_auth REQUIRED
acl forbidden dstdomain forbidden.test
http_access deny forbidden
http_access allow known
http_access deny all
END
    [ "$(id -u)" = 0 ] && chmod 777 "$work/squid"
    start squid -N -f "$work/squid/squid.conf"
    await squid "$squid"
}

start_tinyproxy() {
    cat >"$work/tinyproxy.conf" <<END
Port $tinyproxy
Listen 127.0.0.1
Timeout 60
MaxClients 20
LogFile "$work/tinyproxy.log"
PidFile "$work/tinyproxy.pid"
BasicAuth user password
END
    start tinyproxy -d -c "$work/tinyproxy.conf"
    await tinyproxy "$tinyproxy"
}

# test_proxy NAME PORT PASSWORD HOST: what both proxies can do. HOST is a name
# that the proxy knows.
test_proxy() {
    name=$1 proxy=http://user:$3@127.0.0.1:$2
    wrong=http://user:wrong@127.0.0.1:$2 nobody=http://127.0.0.1:$2
    plain=http://$4:$front tls=https://$4:$front_tls
    once_more=https://$4:$once_tls
    try "$name: plain HTTP goes through, in absolute form" status=LSSB_OK \
        length=1048576 -- --proxy "$proxy" get "$plain/static" /one.bin
    check "$name: whole" came "$work/www/one.bin"
    try "$name: an upload goes through" status=LSSB_OK -- \
        --proxy "$proxy" put "$plain/dp/$box" /tmp/p.bin "$work/www/one.bin"
    try "$name: TLS goes through, by CONNECT" status=LSSB_OK length=1048576 -- \
        --proxy "$proxy" --ca "$work/ca.pem" --only yes \
        get "$tls/static" /one.bin
    check "$name: whole, over TLS" came "$work/www/one.bin"
    try "$name: an upload goes through TLS" status=LSSB_OK -- --proxy "$proxy" \
        --ca "$work/ca.pem" put "$tls/dp/$box" /tmp/q.bin "$work/www/one.bin"
    try "$name: a tunnel is kept alive" connections=1 reused=4 -- --times 5 \
        --proxy "$proxy" --ca "$work/ca.pem" stat "$tls/static" /one.bin
    try "$name: a session is resumed through it" connections=5 \
        resumed=$((4 * resumes)) -- \
        --times 5 --proxy "$proxy" --ca "$work/ca.pem" \
        stat "$once_more/static" /one.bin
    try "$name: a wrong password is refused in words" status=LSSB_E_PROXY \
        layer=proxy 'http=40[17]' requests=0 \
        'message=.*proxy.*does not accept.*password' -- \
        --proxy "$wrong" --ca "$work/ca.pem" stat "$tls/static" /one.bin
    try "$name: no password is refused in words" status=LSSB_E_PROXY \
        layer=proxy http=407 'message=.*proxy.*asks for' -- --proxy "$nobody" \
        --ca "$work/ca.pem" stat "$tls/static" /one.bin
    try "$name: a wrong password is refused over plain HTTP, too" \
        'http=40[17]' 'message=.*40[17]' -- --proxy "$wrong" \
        get "$plain/static" /one.bin
    try "$name: nobody behind it is the proxy's word" status=LSSB_E_PROXY \
        layer=proxy 'http=50[0-9]' "message=.*:$dead" -- --retries none \
        --proxy "$proxy" stat "https://$4:$dead" /one.bin
}

# What squid alone does here: names of its own, refusals by name.
test_squid() {
    proxy=http://user:pass%3Aword@127.0.0.1:$squid
    try 'squid: a password with a colon and an escape' status=LSSB_OK -- \
        --proxy "$proxy" stat "http://service.test:$front/static" /one.bin
    try 'squid: a forbidden name is refused in words' status=LSSB_E_PROXY \
        http=403 requests=0 'message=.*refused.*forbidden\.test' -- \
        --proxy "$proxy" stat "https://forbidden.test:$front_tls" /one.bin
    try 'squid: its 407 to plain HTTP is the proxy, not the service' \
        status=LSSB_E_PROXY layer=proxy http=407 'message=.*password' -- \
        --proxy "http://user:wrong@127.0.0.1:$squid" \
        get "http://service.test:$front/static" /one.bin
    try 'squid: the same with the name localhost' status=LSSB_OK -- \
        --proxy "$proxy" --ca "$work/ca.pem" \
        stat "https://localhost:$front_tls/static" /one.bin
    try 'squid: the API is asked through it' status=LSSB_OK \
        state=ready -- --proxy "$proxy" --ca "$work/ca.pem" \
        --endpoint "https://service.test:$front_tls" box servers
    try 'a key does not go to a proxy in clear text' \
        status=LSSB_E_INVALID_ARGUMENT 'message=.*clear text' -- \
        --cleartext no --proxy "$proxy" \
        --endpoint "http://service.test:$front" list
    try 'unless that is allowed' status=LSSB_OK -- --proxy "$proxy" \
        --endpoint "http://service.test:$front" list
}

# The variables, by the proxy that they name.
test_environment() {
    proxy=http://user:pass%3Aword@127.0.0.1:$squid
    plain=http://service.test:$front/static
    tls=https://service.test:$front_tls/static
    nowhere=http://127.0.0.1:$dead
    set -- --environment yes --retries none --ca "$work/ca.pem" stat
    for name in HTTPS_PROXY https_proxy ALL_PROXY all_proxy; do
        export "$name=$proxy"
        try "$name leads https through the proxy" status=LSSB_OK -- \
            "$@" "$tls" /one.bin
        unset "$name"
    done
    for name in HTTP_PROXY http_proxy ALL_PROXY all_proxy; do
        export "$name=$proxy"
        try "$name leads http through the proxy" status=LSSB_OK -- \
            "$@" "$plain" /one.bin
        unset "$name"
    done
    export HTTP_PROXY="$nowhere" HTTPS_PROXY="$nowhere"
    try 'a loopback address is not for a proxy of the environment' \
        status=LSSB_OK -- "$@" "http://127.0.0.1:$front/static" /one.bin
    try 'nor is localhost over TLS' status=LSSB_OK -- \
        "$@" "https://localhost:$front_tls/static" /one.bin
    try 'what is not loopback is' status=LSSB_E_CONNECTION -- \
        "$@" "http://0.0.0.0:$front/static" /one.bin
    NO_PROXY=example.com,0.0.0.0
    export NO_PROXY
    try 'unless NO_PROXY names it' status=LSSB_OK -- \
        "$@" "http://0.0.0.0:$front/static" /one.bin
    unset HTTP_PROXY HTTPS_PROXY NO_PROXY
}

# A proxy that is not there, or is none.
test_no_proxy() {
    try 'a loopback address is for a proxy that is configured' \
        status=LSSB_E_CONNECTION layer=connect \
        "message=.*proxy 127.0.0.1:$dead" -- --retries none \
        --proxy "http://127.0.0.1:$dead" \
        stat "http://127.0.0.1:$front/static" /one.bin
    try 'a proxy that is down is named' status=LSSB_E_CONNECTION \
        layer=connect "message=.*proxy 127.0.0.1:$dead" -- --retries none \
        --proxy "http://127.0.0.1:$dead" stat "https://service.test" /one.bin
    try 'unless it is said not to be' status=LSSB_OK -- \
        --proxy "http://127.0.0.1:$dead" --no-proxy 127.0.0.0/8 \
        stat "http://127.0.0.1:$front/static" /one.bin
    try 'a web server is no proxy' status=LSSB_E_PROXY layer=proxy \
        'http=40[05]' 'message=.*proxy' -- --retries none \
        --proxy "http://127.0.0.1:$front" stat "https://service.test" /one.bin
    try 'a TLS port is no proxy' layer=proxy 'message=.*proxy' -- \
        --retries none --proxy "http://127.0.0.1:$front_tls" \
        stat "https://service.test" /one.bin
}

# -------------------------------------------------------------------- begin --

for program in "$probe" "$build/sandboxd" "$build/examples/quickstart"; do
    if ! have "$program"; then
        echo "$program is not built"
        echo '0 passed, 1 failed'
        exit 1
    fi
done
for program in openssl curl; do
    if ! have "$program"; then
        skip 'everything' "$program is not installed"
        echo "$passed passed, $failed failed, $skipped skipped"
        exit 0
    fi
done
mkdir "$work/www"
: >"$work/report"
bytes one.bin 1
bytes big.bin "$big_mib"
bytes quarter.bin $((big_mib / 4))
: >"$work/www/empty.bin"
gzip -c "$work/www/one.bin" >"$work/www/zipped.bin.gz"
certificates
ports
start_sandboxd --max-upload $((big_mib * 524288))

if ! have nginx; then
    skip 'everything through nginx' 'nginx is not installed'
elif check 'nginx starts' start_nginx; then
    make_box
    for part in quickstart reuse six trust parts curl answers 413 limit old_upstream cuts \
        big upload; do
        [ -n "${ONLY:-}" ] && [ "$ONLY" != $part ] && continue
        test_$part
    done
    [ -z "${ONLY:-}" ] && test_no_proxy
fi
if ! have python3; then
    skip 'HTTP/1.0' 'python3 is not installed'
elif check 'python3 starts' start_python; then
    test_python
fi
check 'openssl s_server starts' start_raw
test_raw
if ! have nginx || ! have squid; then
    skip 'squid' 'squid or nginx is not installed'
elif check 'squid starts' start_squid; then
    test_proxy squid "$squid" pass%3Aword service.test
    test_squid
    test_environment
fi
if ! have nginx || ! have tinyproxy; then
    skip 'tinyproxy' 'tinyproxy or nginx is not installed'
elif check 'tinyproxy starts' start_tinyproxy; then
    test_proxy tinyproxy "$tinyproxy" password localhost
fi

stop_all
check 'no process is left behind' [ "$(count_strays)" -eq 0 ]
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
