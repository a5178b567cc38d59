#!/bin/sh
# Makes the keys and certificates of the TLS tests by openssl, into the folder
# given. All dates are fixed; the tests bring their own clock (2027-06-01).
#
# SPDX-License-Identifier: MIT
set -eu
umask 077
dir=$1
test "$dir/complete" -nt "$0" && exit 0
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
mkdir -p db
: > db/index

cat > ca.conf <<'CONF'
[ca]
default_ca = test
[test]
database = db/index
new_certs_dir = db
rand_serial = yes
default_md = sha256
unique_subject = no
policy = any
email_in_dn = no
[any]
commonName = optional
organizationName = optional
organizationalUnitName = optional
[req]
distinguished_name = none
[none]
CONF

# key NAME KIND: one key; KIND is a number of bits, or a curve.
key() {
    case $2 in
    [0-9]*) openssl genrsa -out "$1.key" "$2" 2>/dev/null ;;
    ed25519) openssl genpkey -algorithm "$2" -out "$1.key" ;;
    compressed) openssl ecparam -name prime256v1 -genkey -noout |
        openssl ec -conv_form compressed -out "$1.key" 2>/dev/null ;;
    *) openssl ecparam -name "$2" -genkey -noout -out "$1.key" ;;
    esac
}

# cert NAME KEY SUBJECT ISSUER EXTENSIONS [OPTIONS…]: NAME.crt. ISSUER is a
# certificate's name, or "-" for a self-signed one. Lines of EXTENSIONS are
# parted by "|".
from=20260101000000Z
until=20360101000000Z
cert() {
    name=$1 key=$2 subject=$3 issuer=$4
    { echo "[x]"; echo "$5" | tr '|' '\n'; } > "$name.ext"
    shift 5
    openssl req -new -config ca.conf -key "$key.key" -subj "$subject" \
        -out "$name.csr"
    if [ "$issuer" = - ]; then
        set -- "$@" -selfsign -keyfile "$key.key"
    else
        set -- "$@" -cert "$issuer.crt" -keyfile "$(cat "$issuer.by").key"
    fi
    openssl ca -batch -notext -config ca.conf -startdate $from \
        -enddate $until -extfile "$name.ext" -extensions x \
        -in "$name.csr" -out "$name.crt" "$@" 2> "$name.log" ||
        { cat "$name.log" >&2; exit 1; }
    echo "$key" > "$name.by"
    openssl x509 -in "$name.crt" -pubkey -noout |
        openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary \
        > "$name.pin"
}

ca="basicConstraints=critical,CA:TRUE|keyUsage=critical,keyCertSign,cRLSign"
ca="$ca|subjectKeyIdentifier=hash"
end="basicConstraints=CA:FALSE|keyUsage=digitalSignature"
web="$end|extendedKeyUsage=serverAuth"
good="$web|subjectAltName=DNS:good.example"

for k in root other int int2 server client; do key $k 2048; done
key root4096 4096
key weak 1024
key vast 4104
key rootec secp384r1
key serverec prime256v1
key server521 secp521r1
key clientec prime256v1
key edwards ed25519
key pressed compressed

# Authorities.
cert root root "/O=lssb/CN=Test Root" - "$ca"
cert other other "/O=lssb/CN=Other Root" - "$ca"
cert root4096 root4096 "/CN=Large Root" - "$ca"
cert rootec rootec "/CN=Curved Root" - "$ca"
cert edwards edwards "/CN=Edwards Root" - "$ca"
cert pressed pressed "/CN=Pressed Root" - "$ca"
cert twin other "/O=lssb/CN=Test Root" - "$ca"
cert triplet int2 "/O=lssb/CN=Test Root" - "$ca"
cert eviltwin weak "/O=lssb/CN=Test Root" - "$ca"
cert rootnc root "/O=lssb/CN=Test Root" - \
    "$ca|nameConstraints=permitted;DNS:example"
cert rooteku root "/O=lssb/CN=Test Root" - "$ca|extendedKeyUsage=clientAuth"
cert rootshort root "/O=lssb/CN=Test Root" - \
    "basicConstraints=critical,CA:TRUE,pathlen:0"
cert rootnosign root "/O=lssb/CN=Test Root" - \
    "basicConstraints=critical,CA:TRUE|keyUsage=critical,cRLSign"
cert rootnoca root "/O=lssb/CN=Test Root" - "basicConstraints=CA:FALSE"
until=20270101000000Z
cert rootold root "/O=lssb/CN=Test Root" - "$ca"
cert twinold other "/O=lssb/CN=Test Root" - "$ca"
until=20360101000000Z
from=20280101000000Z
cert rootsoon root "/O=lssb/CN=Test Root" - "$ca"
from=20260101000000Z

# Between.
cert int int "/CN=Test Intermediate" root "$ca"
cert int2 int2 "/CN=Second Intermediate" int "$ca"
cert int0 int "/CN=Test Intermediate" root \
    "basicConstraints=critical,CA:TRUE,pathlen:0|keyUsage=keyCertSign"
cert inteku int "/CN=Test Intermediate" root \
    "$ca|extendedKeyUsage=clientAuth"
cert intweb int "/CN=Test Intermediate" root \
    "$ca|extendedKeyUsage=clientAuth,serverAuth"
cert intnc int "/CN=Test Intermediate" root \
    "$ca|nameConstraints=permitted;DNS:good.example"
cert intncc int "/CN=Test Intermediate" root \
    "$ca|nameConstraints=critical,permitted;DNS:good.example"
cert intnoca int "/CN=Test Intermediate" root "basicConstraints=CA:FALSE"
cert intnobc int "/CN=Test Intermediate" root "keyUsage=keyCertSign"
cert intnosign int "/CN=Test Intermediate" root \
    "basicConstraints=critical,CA:TRUE|keyUsage=cRLSign"
cert intvast vast "/CN=Vast Intermediate" root "$ca"
until=20270101000000Z
cert intold int "/CN=Test Intermediate" root "$ca"
until=20360101000000Z

# Servers.
cert good server "/CN=good.example" int "$good"
cert direct server "/CN=good.example" root "$good"
cert deep server "/CN=good.example" int2 "$good"
cert large server "/CN=good.example" root4096 "$good"
cert curved serverec "/CN=good.example" rootec "$good"
cert curved521 server521 "/CN=good.example" root "$good"
cert bytwin server "/CN=good.example" twin "$good"
cert bytriplet server "/CN=good.example" triplet "$good"
cert byevil server "/CN=good.example" eviltwin "$good"
cert byedwards server "/CN=good.example" edwards "$good"
cert bypressed server "/CN=good.example" pressed "$good"
cert unknown server "/CN=good.example" other "$good"
cert self server "/CN=good.example" - "$good"
cert selfca server "/CN=good.example" - \
    "basicConstraints=critical,CA:TRUE|subjectAltName=DNS:good.example"
cert named server "/CN=whatever" root \
    "$web|subjectAltName=DNS:a.example,DNS:b.example"
cert wild server "/CN=whatever" root \
    "$web|subjectAltName=DNS:*.wild.example"
cert wide server "/CN=whatever" root "$web|subjectAltName=DNS:*.example"
cert half server "/CN=whatever" root \
    "$web|subjectAltName=DNS:g*.wild.example"
cert single server "/CN=whatever" root \
    "$web|subjectAltName=DNS:x.wild.example"
cert spelled server "/CN=whatever" root "$web|subjectAltName=DNS:abcd"
cert address server "/CN=whatever" root \
    "$web|subjectAltName=IP:127.0.0.1,IP:::1,IP:192.0.2.7"
cert textual server "/CN=127.0.0.1" root \
    "$web|subjectAltName=DNS:127.0.0.1"
cert common server "/CN=good.example" root "$web"
cert otherwise server "/CN=good.example" root \
    "$web|subjectAltName=email:a@good.example,URI:https://good.example/"
cert escape server "/CN=good.example" root \
    "$web|subjectAltName=DER:300F820D6576696C1B5B316D2E74657374"
cert pieces server "/CN=good.example" root "$web|subjectAltName=DER:$(
    )301E820C676F6F642E6578616D706C65A20E160C676F6F642E6578616D706C65"
cert clientonly server "/CN=good.example" root \
    "$end|extendedKeyUsage=clientAuth|subjectAltName=DNS:good.example"
cert anyuse server "/CN=good.example" root \
    "$end|extendedKeyUsage=anyExtendedKeyUsage|subjectAltName=DNS:good.example"
cert nouse server "/CN=good.example" root "subjectAltName=DNS:good.example"
cert critical server "/CN=good.example" root \
    "$end|extendedKeyUsage=critical,serverAuth|subjectAltName=DNS:good.example"
cert strange server "/CN=good.example" root \
    "$good|1.2.3.4.5=critical,DER:0500"
cert constrained server "/CN=good.example" root \
    "$good|nameConstraints=permitted;DNS:good.example"
cert policy server "/CN=good.example" root \
    "$good|certificatePolicies=critical,1.2.3.4"
cert policies server "/CN=good.example" root \
    "$good|certificatePolicies=1.2.3.4,2.23.140.1.2.1"
cert byvast server "/CN=good.example" intvast "$good"
cert encipher server "/CN=good.example" root \
    "keyUsage=keyEncipherment|subjectAltName=DNS:good.example"
cert sha1 server "/CN=good.example" root "$good" -md sha1
cert pss server "/CN=good.example" root "$good" -sigopt rsa_padding_mode:pss
cert weak weak "/CN=good.example" root "$good"
cert selfother client "/CN=good.example" - "$good"
until=20270101000000Z
cert expired server "/CN=good.example" root "$good"
until=20360101000000Z
from=20280101000000Z
cert future server "/CN=good.example" root "$good"
from=20260101000000Z
# A large one: more than one TLS record.
names=$(awk 'BEGIN { for (i = 0; i < 900; i++)
    printf "DNS:host-number-%d.example,", i }')
cert huge server "/CN=good.example" root \
    "$web|subjectAltName=${names}DNS:good.example"

# Clients.
cert client client "/CN=Client" int \
    "$end|extendedKeyUsage=clientAuth"
cert clientec clientec "/CN=Curved Client" int \
    "$end|extendedKeyUsage=clientAuth"
openssl pkcs8 -topk8 -nocrypt -in client.key -out client.p8
openssl pkcs8 -topk8 -in client.key -passout pass:x -out client.enc
openssl rsa -in client.key -outform DER -out client.keyder 2>/dev/null
openssl ec -in clientec.key -outform DER -out clientec.keyder 2>/dev/null
openssl x509 -in client.crt -outform DER -out client.der
# A key with more behind it: BearSSL's decoder must not see that.
{ echo "-----BEGIN EC PRIVATE KEY-----"
  cat clientec.keyder client.der | openssl base64
  echo "-----END EC PRIVATE KEY-----"; } > clientec.long
openssl x509 -in root.crt -outform DER -out root.der
openssl x509 -in other.crt -outform DER -out other.der
cat other.der root.der > both.der
cat client.crt int.crt > client.chain
cat root.crt int.crt > known.crt

: > complete
