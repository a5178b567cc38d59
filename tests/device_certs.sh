#!/bin/sh
# A certificate authority of one's own and a server's certificate by it, for
# devices to trust: sh tests/device_certs.sh FOLDER SUBJECT-ALT-NAMES
# Leaves ca.der, ca.pem, server.pem, server.key there.
# SPDX-License-Identifier: MIT
set -eu
mkdir -p "$1"
cd "$1"
key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}
key ca
openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=lssb device tests' -out ca.pem \
    -addext 'keyUsage=critical,keyCertSign'
openssl x509 -in ca.pem -outform DER -out ca.der
key server
openssl req -new -key server.key -subj '/CN=server' -out server.csr
printf '%s\n' 'basicConstraints=critical,CA:FALSE' "subjectAltName=$2" >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
    -extfile server.ext -out server.pem 2>/dev/null
rm server.csr server.ext ca.srl
