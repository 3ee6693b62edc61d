#!/bin/sh
# Makes the certificates of the TLS test: an authority, and a server on this machine. Valid for a hundred years, and good
# for nothing else: their keys are public. Run it here, with openssl, to make them anew.
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=Gluehook test authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca-key.pem -out ca.pem
for name in server client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=Gluehook test $name" -keyout "$name-key.pem" -out "$name.csr"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=%sAuth\n' "$name" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 36500 -extfile "$name.ext" -out "$name.pem"
    rm "$name.csr" "$name.ext"
done
# Nobody signs with it again.
rm ca-key.pem ca.srl
