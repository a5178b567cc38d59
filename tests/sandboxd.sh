#!/bin/sh
# Drives examples/sandboxd with curl, and looks at what it leaves behind.
#
# SPDX-License-Identifier: MIT
#
# usage: tests/sandboxd.sh [PATH OF SANDBOXD]; needs curl, and openssl for TLS.
# Nothing waits for a fixed time: servers are awaited by their ready line,
# states by asking until they are there.

sandboxd=${1:-build/sandboxd}
work=$(mktemp -d) || exit 1
passed=0
failed=0
server=

# start OPTION...: a server; sets $server, $endpoint, $api, $data.
start() {
    mkfifo "$work/ready"
    TMPDIR=$work/tmp "$sandboxd" --api-key key "$@" \
        >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready"
    rm "$work/ready"
    endpoint=${line#*\"endpoint\":\"}
    endpoint=${endpoint%%\"*}
    api=$endpoint/v2/sandboxes
}

# stop: ends the server, and checks that nothing of it is left.
stop() {
    kill "$server" 2>/dev/null
    wait "$server"
    check "the server ends with 0" "^0$" echo $?
    check "no directory is left behind" "^0$" count_data
    check "no process is left behind" "^0$" count_strays
}

count_data() { find "$work/tmp" -mindepth 1 -maxdepth 1 | wc -l; }

# Processes that carry the variable of a box of these tests.
count_strays() {
    for p in /proc/[0-9]*/environ; do
        cat "$p" 2>/dev/null | tr '\0' '\n' | grep "^SANDBOXD_TEST=$$\$"
    done | wc -l
}

# check NAME PATTERN COMMAND...: its output must have a line like PATTERN.
check() {
    name=$1 pattern=$2
    shift 2
    out=$("$@" 2>&1)
    if printf '%s\n' "$out" | tr -d '\r' | grep -q -- "$pattern"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n  no "%s" in:\n%s\n' "$name" "$pattern" \
            "$(printf '%s' "$out" | head -c 2000)"
    fi
}

# until_is PATTERN COMMAND...: asks until it is so, for ten seconds at most.
until_is() {
    pattern=$1
    shift
    tries=0
    while [ $tries -lt 500 ]; do
        "$@" 2>/dev/null | grep -q -- "$pattern" && { echo yes; return; }
        tries=$((tries + 1))
        sleep 0.02
    done
    echo no
}

# call ARGUMENT...: curl with the key; status line, headers and body.
call() { curl -sS -i --max-time 20 -H 'X-Api-Key: key' "$@"; }
# body ARGUMENT...: the body alone. code ARGUMENT...: the status alone.
body() { curl -sS --max-time 20 -H 'X-Api-Key: key' "$@"; }
code() { body -o /dev/null -w '%{http_code}\n' "$@"; }
# create JSON: a box, its whole reply. run BOX JSON: a command in it.
create() { call "$api/boxes" -d "$1"; }
run() { call "$(url "$1")/execute" -d "$2"; }
# url BOX: its dataplane.
url() { body "$api/boxes/$1" | sed 's/.*"dataplane_url":"\([^"]*\)".*/\1/'; }
# member NAME: of the JSON on standard input, one that is a string.
member() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }

mkdir "$work/tmp"

# ------------------------------------------------------------ authentication
start
check "the ready line has the endpoint" '"endpoint":"http://127.0.0.1:[1-9]' \
    echo "$line"
check "the ready line has the key and the process" \
    "\"api_key\":\"key\",\"pid\":$server," echo "$line"
check "it warns that it is no security boundary" 'not a security boundary' \
    cat "$work/log"
check "no key is 401" '^HTTP/1.1 401 ' curl -sS -i "$api/boxes"
check "the 401 body is the documented one" '^{"detail":"Invalid API key"}$' \
    curl -sS "$api/boxes"
check "a wrong key is 401" '^401$' curl -sS -o /dev/null \
    -w '%{http_code}\n' -H 'X-Api-Key: kez' "$api/boxes"
check "an unknown path without a key is 401 as well" '^HTTP/1.1 401 ' \
    curl -sS -i "$endpoint/none"
check "an unknown path is 404 in the documented form" \
    '{"detail":{"error":"not_found","message":"not found","error_id":"e-' \
    body "$api/nothing"
check "another method is 405" '^HTTP/1.1 405 ' call -X PUT "$api/boxes"
check "405 names the methods" '^Allow: GET, HEAD, POST$' \
    call -X PUT "$api/boxes"

# ------------------------------------------------------------------ creation
check "a creation waits until it is ready" '"status":"ready"' \
    create '{"name":"one"}'
check "a creation is 201" '^HTTP/1.1 201 Created' create '{"name":"two"}'
check "both roots serve" '"name":"one"' body \
    "$endpoint/api/v2/sandboxes/boxes/one"
check "a box is found by its id" '"name":"one"' \
    body "$api/boxes/$(body "$api/boxes/one" | member id)"
check "a name is made up" '"name":"sandbox-' create '{}'
check "a taken name is 409" '^HTTP/1.1 409 ' create '{"name":"one"}'
check "a name may hold a slash" '"name":"a/b"' create '{"name":"a/b"}'
check "it is one segment in a URL" '^200$' code "$api/boxes/a%2Fb"
check "a name of dots is refused" '"loc":\["body","name"\]' \
    create '{"name":".."}'
check "a lifetime is whole minutes" \
    '{"detail":\[{"loc":\["body","idle_ttl_seconds"\],"msg":"must be a multi' \
    create '{"idle_ttl_seconds":61}'
check "that is 422" '^HTTP/1.1 422 ' create '{"idle_ttl_seconds":61}'
check "a number must be one" '"loc":\["body","vcpus"\],"msg":"value is not' \
    create '{"vcpus":"2"}'
check "an integral float is a number" '"vcpus":2,' create '{"vcpus":2.0}'
check "memory is tied to the CPU" '"loc":\["body","mem_bytes"\]' \
    create '{"vcpus":1,"mem_bytes":1073741824}'
check "memory alone gives the CPU" '"vcpus":2,' \
    create '{"mem_bytes":8589934592}'
check "bad JSON is 400" '^HTTP/1.1 400 ' create '{"name":}'
check "an array is no body" 'no JSON object' create '[]'
check "blanks about an object are nothing" "^HTTP/1.1 201 " create " { } "
check "what follows the object is seen" '^HTTP/1.1 400 ' create '{} {}'
check "an unknown snapshot is 400 and NotFound" \
    '"error":"NotFound","message":"Snapshot .none. not found"' \
    create '{"snapshot_name":"none"}'
check "the default snapshot is there" '^HTTP/1.1 201 ' \
    create '{"snapshot_name":"default:latest"}'
check "two snapshots are refused" 'more than one snapshot' \
    create '{"snapshot_name":"default","snapshot_id":"x"}'
check "a relative work_dir is refused" 'work_dir must be absolute' \
    create '{"run_config":{"work_dir":"srv"}}'
check "reserved labels are refused" '"loc":\["body","labels"\]' \
    create '{"labels":{"com.langchain.x":"1"}}'
check "all members come back" '"proxy_config":{"rules":\[{"name":"a","headers"'\
':\[{"name":"A","type":"opaque","is_set":true}\],"n":1.5}\]}' \
    create '{"name":"full","idle_ttl_seconds":120,"labels":{"team":"x"},
    "env_vars":{"A":"box"},"run_config":{"work_dir":"/srv/deep",
    "env_vars":{"A":"run","B":"2"}},"access_delegation":{"mode":"INHERIT"},
    "proxy_config":{"rules":[{"name":"a","headers":[{"name":"A",
    "type":"opaque","value":"secret"}],"n":1.5}]}}'
check "run_config comes back resolved" \
    '"run_config":{"work_dir":"/srv/deep","env_vars":{"A":"run","B":"2"}}' \
    body "$api/boxes/full"
check "the delegation comes back" '"access_delegation":{"mode":"INHERIT"}' \
    body "$api/boxes/full"
check "env_vars lie over run_config" 'deep\\nbox 2 3\\n' \
    run full '{"command":"pwd; echo $A $B $C","env":{"C":"3"}}'

# --------------------------------------------------------- update, life, death
check "a rename answers with the box" '"name":"three"' \
    body -X PATCH "$api/boxes/two" -d '{"name":"three"}'
check "the old name is gone" '^404$' code "$api/boxes/two"
check "a taken name is refused" \
    '"error":"Conflict","message":"Name already in use"' \
    body -X PATCH "$api/boxes/three" -d '{"name":"one"}'
check "its own name is no conflict" '^200$' \
    code -X PATCH "$api/boxes/three" -d '{"name":"three"}'
check "an update that fails changes nothing" '"idle_ttl_seconds":600' \
    sh -c "curl -sS -H 'X-Api-Key: key' -X PATCH $api/boxes/three \
    -d '{\"idle_ttl_seconds\":0,\"ttl_seconds\":1}' >/dev/null;
    curl -sS -H 'X-Api-Key: key' $api/boxes/three"
check "run_config is merged" '"A":"run","B":"2","C":"4"' body -X PATCH \
    "$api/boxes/full" -d '{"run_config":{"env_vars":{"C":"4"}}}'
check "the status is light" \
    '^{"status":"ready","status_message":null}$' body "$api/boxes/one/status"
check "a running box cannot be started" '^409$' \
    code -X POST "$api/boxes/one/start" -d '{}'
check "a stop is 204" '^204$' code -X POST "$api/boxes/three/stop" -d '{}'
check "a stopped box says since when" '"stopped_at":"20' \
    body "$api/boxes/three"
check "it cannot be stopped twice" '^409$' \
    code -X POST "$api/boxes/three/stop" -d '{}'
check "a start is 202" '^HTTP/1.1 202 .*' \
    call -X POST "$api/boxes/three/start" -d '{}'
check "it becomes ready" '^yes$' until_is '"ready"' body \
    "$api/boxes/three/status"
run one '{"command":"echo kept > kept; setsid sleep 1000 & sleep 0.01",
    "env":{"SANDBOXD_TEST":"'$$'"}}' >/dev/null
check "what a command leaves behind runs on" '^1$' count_strays
check "a stop ends it" '^0$' sh -c "curl -sS -H 'X-Api-Key: key' -X POST \
    $api/boxes/one/stop; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' \
    | grep -c SANDBOXD_TEST=$$"
check "a stopped box wakes for a command, its files are kept" '"kept\\n"' \
    run one '{"command":"cat kept"}'
check "a deletion is 204" '^204$' code -X DELETE "$api/boxes/three"
check "then it is not there" \
    "{\"detail\":{\"error\":\"NotFound\",\"message\":\"Sandbox 'three' not" \
    body -X DELETE "$api/boxes/three"
create '{"name":"x"}' >/dev/null
check "many are deleted at once" \
    '{"deleted":\["x"\],"skipped":\[{"name":"y","reason":"not found"}\]}' \
    body "$api/boxes/batch-delete" -d '{"names":["x","y"]}'
check "usage counts" '"sandbox_stopped_count":0' body "$api/usage"

# ---------------------------------------------------------------------- lists
for n in 1 2 3 4 5; do
    create "{\"name\":\"List-$n\",\"labels\":{\"n\":\"$n\",\"l\":\"\"}}" \
        >/dev/null
done
list=$api/boxes?name_contains=LIST-
check "a list has all four members" \
    '^{"items":\[.*\],"next_cursor":null,"sandboxes":\[.*\],"offset":0}$' \
    body "$list"
walk() {
    cursor=
    while :; do
        page=$(body "$list&page_size=2&sort_by=name&sort_order=asc$cursor")
        echo "$page" | sed 's/"sandboxes".*//' | grep -o '"name":"[^"]*"'
        cursor=$(echo "$page" | member next_cursor)
        [ "$cursor" = "$page" ] && break
        cursor="&cursor=$cursor"
    done | tr -d '\n'
}
check "cursors lead through all of it" \
    '^"name":"List-1""name":"List-2""name":"List-3""name":"List-4""name":"Lis'\
't-5"$' walk
check "limit and offset do, too" '"offset":4}$' body "$list&limit=2&offset=2"
check "the last of them has offset 0" '"offset":0}$' \
    body "$list&limit=2&offset=4"
check "the newest comes first" '^{"items":\[{"id":"[^"]*","name":"List-5"' \
    body "$list"
check "sorted the other way" '^{"items":\[{"id":"[^"]*","name":"List-1"' \
    body "$list&sort_direction=asc"
check "old and new parameters do not mix" '^400$' \
    code "$api/boxes?limit=2&page_size=2"
check "a foreign cursor is refused" '^400$' code "$api/boxes?cursor=abc"
check "a page has at most 100" '^400$' code "$api/boxes?page_size=101"
check "labels filter" '^{"items":\[{"id":"[^"]*","name":"List-2"' \
    body "$api/boxes?label=n%3D2&label=l"
check "all labels must match" '^{"items":\[\]' \
    body "$api/boxes?label=n%3D2&label=n%3D3"
check "status filters" '^{"items":\[\]' body "$api/boxes?status=stopped"
check "an unknown status is refused" '^400$' code "$api/boxes?status=odd"

# -------------------------------------------------------------------- execute
check "a result has three members" \
    '^{"stdout":"a\\n","stderr":"b\\n","exit_code":3}$' \
    run one '{"command":"echo a; echo b >&2; exit 3","timeout":60,
    "shell":"/bin/bash"}'
check "a command may be words" '{"stdout":"\$HOME","stderr":"","exit_code":0}'\
    run one '{"command":["printf","%s","$HOME"],"timeout_seconds":5}'
check "stdin is empty" '^{"stdout":"","stderr":"","exit_code":0}$' \
    run one '{"command":"cat"}'
check "timeout ends it, with 124 and what it wrote" \
    '^{"stdout":"a\\n","stderr":"","exit_code":124}$' \
    run one '{"command":"echo a; sleep 100","timeout":1}'
check "a signal is 128 and its number" '"exit_code":137}' \
    run one '{"command":"kill -9 $$"}'
check "what is left running does not hold the reply" '"exit_code":0}' \
    run one '{"command":"sleep 1000 &"}'
check "output that is no UTF-8 is replaced byte by byte" \
    '"stdout":"a��z' run one \
    '{"command":"printf \"a\\377\\376z\""}'
check "a NUL comes through" '"stdout":"a\\u0000b"' run one \
    '{"command":"printf \"a\\000b\""}'
check "cwd holds" '"stdout":"/tmp\\n"' run one '{"command":"pwd","cwd":"/tmp"}'
check "a cwd that is not there is a CommandError" \
    '"error":"CommandError","message":"working directory /none: No such' \
    run one '{"command":"pwd","cwd":"/none"}'
check "a shell that is not there is 127" '"exit_code":127}' \
    run one '{"command":"true","shell":"/bin/none"}'
check "run_config holds" '"stdout":"/tmp 1\\n"' run one \
    '{"command":"echo $PWD $A","run_config":{"work_dir":"/tmp","env_vars":{"A":"1"}}}'
check "run_config excludes cwd" '{"detail":{"error":"InvalidRequest","message'\
'":"run_config cannot be combined with env or cwd","error_id":' run one \
    '{"command":"id","run_config":{"user":"root"},"cwd":"/tmp"}'
check "a command is needed" '^HTTP/1.1 400 ' run one '{}'
check "an unknown box is 404" '^404$' code "$endpoint/dp/none/execute" -d '{}'
check "the API root serves it, too" '"stdout":"1\\n"' \
    body "$api/one/execute" -d '{"command":"echo 1"}'
if [ "$(id -u)" = 0 ]; then
    check "run_config's user holds" '"stdout":"nobody\\n"' run one \
        '{"command":"id -un","run_config":{"user":"nobody"}}'
    check "a uid and gid hold" '"stdout":"12 34\\n"' run one \
        '{"command":"echo $(id -u) $(id -g)","run_config":{"user":"12:34"}}'
fi

# ---------------------------------------------------------------------- files
dp=$(url one)
head -c 3000000 /dev/urandom >"$work/big"
printf 'a\r\n--b\r\n-\r\r\n--' >"$work/odd"
: >"$work/empty"
put() { call -F "file=@$1;filename=file" "$dp/upload?path=$2"; }
get() { body "$dp/download?path=$1" | cmp - "$2" && echo same; }
check "an upload says how much" '^{"path":"/tmp/n/odd","written":14}$' \
    put "$work/odd" %2Ftmp%2Fn%2Fodd
check "what looks like a boundary is content" '^same$' get /tmp/n/odd \
    "$work/odd"
check "commands see the file" '"stdout":"14\\n"' \
    run one '{"command":"wc -c < /tmp/n/odd"}'
check "an empty file is one" '"written":0}' put "$work/empty" e
check "relative paths begin at home" '"stdout":"0 /home/user/e\\n"' \
    run one '{"command":"wc -c /home/user/e"}'
check "a big file goes there" '"written":3000000}' put "$work/big" big
check "and back" '^same$' get big "$work/big"
check "chunked uploads work" '"written":3000000}' \
    call -H 'Transfer-Encoding: chunked' -F "file=@$work/big" \
    "$dp/upload?path=big2"
check "an upload replaces" '"written":14}' put "$work/odd" big
check "nothing temporary stays" '"stdout":"0\\n"' \
    run one '{"command":"ls -A | grep -c upload"}'
check "a directory cannot be written" '"error":"WriteError"' \
    put "$work/odd" /tmp
check "an upload needs a path" '^400$' code -F "file=@$work/odd" "$dp/upload"
check "an upload needs its part" 'no part named file' \
    call -F "other=@$work/odd" "$dp/upload?path=x"
check "an upload must be multipart" '^400$' code -d x "$dp/upload?path=x"
check "a file that is not there has its own form" \
    '^{"error":"NotFound","message":"file not found"}$' \
    body "$dp/download?path=/none"
check "that is 404" '^404$' code "$dp/download?path=/none/x"
check "a directory is a ReadError" \
    '"error":"ReadError","message":"is a directory"' \
    body "$dp/download?path=/tmp"
run one '{"command":"ln -s ../../../../../../../../../etc/hostname l; '\
'ln -s /tmp/n/odd m"}' >/dev/null
check "links lead inside the box" '^same$' get m "$work/odd"
check "an upload follows a link" '"written":0}' put "$work/empty" m
check "to its target" '^same$' get /tmp/n/odd "$work/empty"
put "$work/odd" /tmp/n/odd >/dev/null
check "dots stop at the box's root" '^same$' \
    get "../../../../../../tmp/n/odd" "$work/odd"

file=$dp/download?path=/tmp/n/odd
etag=$(call "$file" | tr -d '\r' | sed -n 's/^ETag: //p')
check "HEAD has the length and no body" '^Content-Length: 14$' call -I "$file"
check "the ETag is strong" '^"' echo "$etag"
check "it stays the same" "^ETag: $etag\$" call -I "$file"
check "there is a date" '^Last-Modified: ..., .* GMT$' call -I "$file"
check "a part is 206" '^Content-Range: bytes 1-3/14$' \
    call -H 'Range: bytes=1-3' "$file"
check "with its length" '^Content-Length: 3$' \
    call -H 'Range: bytes=1-3' "$file"
check "an end beyond the end is clamped" '^Content-Range: bytes 10-13/14$' \
    call -H 'Range: bytes=10-99' "$file"
check "an open end is the end" '^Content-Range: bytes 13-13/14$' \
    call -H 'Range: bytes=13-' "$file"
check "a suffix is the last bytes" '^Content-Range: bytes 12-13/14$' \
    call -H 'Range: bytes=-2' "$file"
check "a start beyond the end is 416" '^Content-Range: bytes \*/14$' \
    call -H 'Range: bytes=14-' "$file"
check "its body is text" '^invalid range$' call -H 'Range: bytes=14-' "$file"
check "a range that is none is ignored" '^200$' code -H 'Range: bytes=b' \
    "$file"
check "If-Range holds" '^206$' code -H 'Range: bytes=1-3' \
    -H "If-Range: $etag" "$file"
check "If-Range fails" '^200$' code -H 'Range: bytes=1-3' \
    -H 'If-Range: "x"' "$file"
check "If-None-Match comes before Range" '^304$' code -H 'Range: bytes=1-3' \
    -H "If-None-Match: $etag" "$file"
check "304 has the ETag" "^ETag: $etag\$" call -H "If-None-Match: \"x\", $etag"\
    "$file"
check "an empty file has no range" '^Content-Range: bytes \*/0$' \
    call -H 'Range: bytes=0-' "$dp/download?path=e"
put "$work/odd" /tmp/n/odd >/dev/null
check "a new file of the same size has another ETag" '^200$' \
    code -H "If-None-Match: $etag" "$file"

# ----------------------------------------------------------------------- HTTP
check "a connection serves again" '^0$' sh -c "curl -sS -H 'X-Api-Key: key' \
    -w '%{num_connects}\n' $api/usage -o /dev/null --next -sS \
    -H 'X-Api-Key: key' -w '%{num_connects}\n' $api/usage -o /dev/null \
    | tail -1"
check "after an error reply, too" '^0$' sh -c "curl -sS -H 'X-Api-Key: key' \
    -w '%{num_connects}\n' $api/boxes -d '[]' -o /dev/null --next -sS \
    -H 'X-Api-Key: key' -w '%{num_connects}\n' $api/usage -o /dev/null \
    | tail -1"
long=$(head -c 9000 /dev/zero | tr '\0' x)
check "a long target is 414" '^414$' code "$api/$long"
check "a long field is 431" '^431$' code -H "X-A: $long" "$api/usage"
check "a long body is 413" '^413$' sh -c "head -c 2000000 /dev/zero | \
    curl -sS -o /dev/null -w '%{http_code}\n' -H 'X-Api-Key: key' \
    --data-binary @- $api/boxes"
check "100-continue is said" '100 Continue' call -v \
    -H 'Expect: 100-continue' "$api/boxes" -d '{"name":"..","timeout":1}'
check "HEAD of a list has no body" '^Content-Length: [1-9]' call -I \
    "$api/boxes"
check "/_faults is not served unasked" '^404$' code "$endpoint/_faults" -d '{}'
run one '{"command":"(setsid sh -c \"sleep 1000 & sleep 1000\" &) ; true",
    "env":{"SANDBOXD_TEST":"'$$'"}}' >/dev/null
check "its processes run on" '^[234]$' count_strays
stop

# --------------------------------------------------------------------- bounds
start --max-boxes 1 --max-output 1000 --max-commands 1 --max-upload 1000
create '{"name":"one"}' >/dev/null
check "the number of boxes is bounded" '"error":"QuotaExceeded","message":"'\
'Limit of 1 sandbox' create '{}'
check "that is 429" '^HTTP/1.1 429 ' create '{}'
check "output is bounded" '"error":"CommandError","message":"the command was '\
'killed: it wrote more than 1000' run one '{"command":"yes"}'
dp=$(url one)
check "files are bounded" '^413$' code -F "file=@$work/big" \
    "$dp/upload?path=big"
body "$dp/execute" -d '{"command":"touch started; sleep 1000"}' >/dev/null 2>&1 &
runner=$!
check "a command runs" '^yes$' until_is '^200$' code \
    "$dp/download?path=started"
check "the number of commands is bounded" '^429$' code "$dp/execute" \
    -d '{"command":"true"}'
kill $runner
wait $runner 2>/dev/null
check "a command outlives its connection" '^429$' code "$dp/execute" \
    -d '{"command":"true"}'
body -X POST "$api/boxes/one/stop"
check "a stop ends it" '"stdout":"1\\n"' run one '{"command":"echo 1"}'
stop

# --------------------------------------------------------------- provisioning
start --provision-ms 3600000
check "a creation need not wait" '"dataplane_url":null,"status":"provisio' \
    create '{"name":"slow","wait_for_ready":false}'
check "one that waits in vain is 408" '^HTTP/1.1 408 ' \
    create '{"timeout":1}'
id=$(body "$api/boxes/slow" | member id)
check "a box that starts is 503" \
    '"error":"ServiceUnavailable","message":"Sandbox is starting: slow"' \
    body "$endpoint/dp/$id/execute" -d '{"command":"true"}'
check "503 says when to come again" '^Retry-After: 1$' \
    call "$endpoint/dp/$id/execute" -d '{"command":"true"}'
stop

# ----------------------------------------------------------------------- TTLs
start --second-ms 2
create '{"name":"brief","idle_ttl_seconds":60,"delete_after_stop_seconds":0}' \
    >/dev/null
create '{"name":"gone","idle_ttl_seconds":60,"delete_after_stop_seconds":60}' \
    >/dev/null
check "an idle box stops" '^yes$' until_is '"stopped"' \
    body "$api/boxes/brief/status"
check "a stopped box is deleted" '^yes$' until_is '^404$' \
    code "$api/boxes/gone"
check "a stopped one may stay" '"stopped"' body "$api/boxes/brief/status"
check "a running command is no idleness" '"exit_code":0}' \
    run brief '{"command":"sleep 0.5"}'
stop

# --------------------------------------------------------------------- faults
start --faults
fault() { body "$endpoint/_faults" -d "$1"; }
fault '{"match":"GET /v2/sandboxes/usage","times":2,"status":503,
    "headers":{"Retry-After":"7"},"body":{"detail":"later"}}'
check "a fault is met" '^{"detail":"later"}$' body "$api/usage"
check "with its headers" '^Retry-After: 7$' call "$api/usage"
check "as often as it says" '^200$' code "$api/usage"
fault '{"match":"POST */boxes","close":"lost-reply"}'
check "a reply is lost" 'Empty reply' create '{"name":"lost"}'
check "after the request was served" '^200$' code "$api/boxes/lost"
fault '{"match":"POST */boxes","close":"before-reply"}'
check "a connection ends" 'Empty reply' create '{"name":"never"}'
check "before the request was served" '^404$' code "$api/boxes/never"
fault '{"match":"GET */lost","close":"mid-body"}'
check "a body is cut" 'with [0-9]* bytes remaining' body "$api/boxes/lost"
fault '{"provision":"fail","message":"No capacity available"}'
check "a box fails" '"message":"No capacity available"' create '{"name":"f"}'
check "it says so" '{"status":"failed","status_message":"No capacity avail' \
    body "$api/boxes/f/status"
check "rubbish is no fault" '^400$' code "$endpoint/_faults" -d '{}'
stop

# ------------------------------------------------------- the host's own files
start --isolation none
check "without a view it says so" '"isolation":"none"' echo "$line"
create '{"name":"plain"}' >/dev/null
dp=$(url plain)
check "relative paths agree" '"stdout":"14\\n"' sh -c "curl -sS -o /dev/null \
    -H 'X-Api-Key: key' -F file=@$work/odd '$dp/upload?path=odd'; curl -sS \
    -H 'X-Api-Key: key' $dp/execute -d '{\"command\":\"wc -c < odd\"}'"
for home in "$work/tmp"/*/*/root/home/user; do
    ln -s / "$home/out"
done
check "links do not lead out of the box" '^404$' \
    code "$dp/download?path=out/etc/passwd"
stop

# ------------------------------------------------------------------ the parent
mkfifo "$work/ready"
TMPDIR=$work/tmp sh -c '"$0" --die-with-parent & exec cat' "$sandboxd" \
    <"$work/ready" >"$work/line" 2>/dev/null &
parent=$!
exec 3>"$work/ready"
check "it runs below a parent" '^yes$' until_is endpoint cat "$work/line"
kill $parent
exec 3>&-
wait $parent 2>/dev/null
check "it ends with its parent" '^yes$' until_is '^0$' count_data
rm "$work/ready"

# ------------------------------------------------------------------------ TLS
start --tls
case $endpoint in
https://*)
    ca=$(echo "$line" | member ca)
    check "TLS serves, verified" '"sandboxes_used":0' \
        body --cacert "$ca" "$api/usage"
    check "under its other names" '"sandboxes_used":0' body --cacert "$ca" \
        "https://localhost:${endpoint##*:}/v2/sandboxes/usage"
    check "it is not trusted otherwise" 'certificate' body "$api/usage"
    check "sessions are resumed" 'Reused, TLSv1.2' sh -c \
        "openssl s_client -reconnect -CAfile $ca -tls1_2 \
        -connect ${endpoint#https://} </dev/null 2>/dev/null"
    check "TLS 1.1 is refused" 'Cipher is (NONE)' sh -c \
        "openssl s_client -tls1_1 -cipher ALL:@SECLEVEL=0 \
        -connect ${endpoint#https://} </dev/null"
    body --cacert "$ca" "$api/boxes" -d '{"name":"one"}' >/dev/null
    dp=$(body --cacert "$ca" "$api/boxes/one" | member dataplane_url)
    check "a big file goes there" '"written":3000000}' body --cacert "$ca" \
        -F "file=@$work/big" "$dp/upload?path=big"
    check "and back" '^same$' sh -c "curl -sS --cacert $ca \
        -H 'X-Api-Key: key' '$dp/download?path=big' | cmp - $work/big \
        && echo same"
    stop
    ;;
*)
    wait "$server"
    grep TLS "$work/log" | sed 's/^/skipped: /'
    ;;
esac

rm -rf "$work"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
