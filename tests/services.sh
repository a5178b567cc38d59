#!/bin/sh
# Requests, links and WebSockets to real services in a real box:
# sh tests/services.sh BUILD-FOLDER, from the root of the tree. The services are
# python3's http.server, nginx and npm's `ws`, behind sandboxd's proxy. Links lead
# to sandboxd and to an nginx, through badnets that cut.
# SPDX-License-Identifier: MIT
set -eu
build=$1
here=tests/interop
work=$(mktemp -d)
server= relays= nginx=
trap 'for p in $server $relays $nginx; do kill "$p" || :; wait "$p" || :; done 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

. "$here/install.sh"
install "$build/interop/ws" "$here/ws/package.json"
WS_TAR=$work/ws.tar
export WS_TAR
tar -C "$build/interop/ws/node_modules" -cf "$WS_TAR" ws
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY || :

# relay PORT: a badnet before a server on this machine, which cuts its first and
# its third connection after 3 MB; sets $relay, its port.
relay() {
    mkfifo "$work/relay"
    "$build/tests/badnet" --to "127.0.0.1:$1" --die-with-parent \
        --connection 1 --cut-down 3000000 --connection 3 --cut-down 3000000 >"$work/relay" &
    relays="$relays $!"
    read -r ready <"$work/relay"
    rm "$work/relay"
    relay=$(printf '%s\n' "$ready" | sed 's/.*"port":\([0-9]*\).*/\1/')
}

# A server without ETags, of a file and of what takes its place.
PATH=$PATH:/usr/sbin
serve_dated() {
    mkdir "$work/www" "$work/tmp"
    dated=$(/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat >"$work/nginx.conf" <<END
daemon off; pid $work/nginx.pid; error_log stderr;
events {}
http { access_log off; etag off; client_body_temp_path $work/tmp; proxy_temp_path $work/tmp;
 fastcgi_temp_path $work/tmp; uwsgi_temp_path $work/tmp; scgi_temp_path $work/tmp;
 server { listen 127.0.0.1:$dated; root $work/www; } }
END
    nginx -e stderr -c "$work/nginx.conf" 2>"$work/nginx.log" &
    nginx=$!
    until curl -s "http://127.0.0.1:$dated/" >"$work/up"; do
        kill -0 "$nginx" || { cat "$work/nginx.log"; exit 1; }
        sleep 0.05
    done
}
refill() {
    yes 0123456789 | tr -d '\n' | head -c 20000000 >"$work/www/file"
    yes 9876543210 | tr -d '\n' | head -c 20000000 >"$work/www/other"
    touch -d '2001-02-03 04:05:06' "$work/www/file"
    touch -d '2001-02-03 04:05:07' "$work/www/other"
    chmod -R a+rX "$work/www"
}
! command -v nginx >/dev/null || serve_dated
chmod 755 "$work"

# run OPTION...: all of it, against a sandboxd of its own.
run() {
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$build/sandboxd" --die-with-parent "$@" >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready" || { cat "$work/log"; exit 1; }
    LANGSMITH_ENDPOINT=$(value endpoint) LANGSMITH_API_KEY=$(value api_key)
    SSL_CERT_FILE=$(value ca)
    export LANGSMITH_ENDPOINT LANGSMITH_API_KEY SSL_CERT_FILE
    relay "${LANGSMITH_ENDPOINT##*:}"
    RELAY=$relay
    export RELAY
    if [ -n "$nginx" ]; then
        refill
        relay "$dated"
        DATED_URL=http://127.0.0.1:$relay/file DATED_FILE=$work/www/file DATED_OTHER=$work/www/other
        export DATED_URL DATED_FILE DATED_OTHER
    fi
    "$build/tests/live_service" >"$work/said" || failed=1
    sed '$d' "$work/said"
    tail -n 1 "$work/said" >>"$work/all"
    kill "$server" && wait "$server" || :
    server=
}

value() { printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

failed=0
run
run --tls
awk '{ passed += $1; failed += $3; skipped += $5 }
     END { printf "%d passed, %d failed", passed, failed
           if (skipped > 0) printf ", %d skipped", skipped
           print "" }' "$work/all"
exit $failed
