#!/bin/sh
# Made the files in this folder: worthless keys, for tests on loopback only, valid for a hundred years.
set -eu
cd "$(dirname "$0")"
new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 "$@" 2>/dev/null; }
new -keyout server.key -out server.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
new -keyout authority.key -out authority.pem -subj "/CN=authority of tests"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -subj /O=tests/CN=alice 2>/dev/null |
  openssl x509 -req -CA authority.pem -CAkey authority.key -days 36500 -out client.pem 2>/dev/null
openssl ec -in server.key -aes128 -passout pass:secret -out encrypted.key 2>/dev/null
rm authority.key
