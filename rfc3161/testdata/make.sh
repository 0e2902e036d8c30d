#!/bin/sh
# Makes the golden tokens of this folder with openssl ts: one root, one signer
# per kind of key, each token over the SHA-256 of the 32 bytes of imprint.bin's
# preimage "holdfast". Verification is at genTime, so they never go stale.
#   sh make.sh     rewrites everything; needs openssl >= 3
set -eu
cd "$(dirname "$0")"
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT
printf holdfast >"$w/data"
cat >"$w/ext" <<X
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[tsa]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping
subjectKeyIdentifier=hash
X
key() { # kind file
  case $1 in
  p256|p384) openssl ecparam -name "$(echo "$1" | sed 's/p256/prime256v1/;s/p384/secp384r1/')" -genkey -noout -out "$2" ;;
  rsa*) openssl genrsa -out "$2" "${1#rsa}" 2>/dev/null ;;
  esac
}
cert() { # name section issuer
  openssl req -new -key "$w/$1.key" -subj "/O=Golden/CN=$1" -out "$w/$1.csr"
  openssl x509 -req -in "$w/$1.csr" -CA "$w/$3.pem" -CAkey "$w/$3.key" -CAcreateserial -days 30 -extfile "$w/ext" -extensions "$2" -out "$w/$1.pem" 2>/dev/null
}
key p256 "$w/root.key"
openssl req -x509 -new -key "$w/root.key" -subj "/O=Golden/CN=root" -days 60 -config /dev/null -addext basicConstraints=critical,CA:TRUE -out "$w/root.pem" 2>/dev/null ||
  openssl req -x509 -new -key "$w/root.key" -subj "/O=Golden/CN=root" -days 60 -out "$w/root.pem"
cp "$w/root.pem" root.pem
key p256 "$w/inter.key"; cert inter ca root; cp "$w/inter.pem" inter.pem
token() { # name kind digest ess [certs]
  key "$2" "$w/$1.key"; cert "$1" tsa inter
  echo 01 >"$w/serial"
  cat >"$w/$1.cnf" <<X
[tsa]
default_tsa=t
[t]
serial=$w/serial
crypto_device=builtin
signer_cert=$w/$1.pem
signer_key=$w/$1.key
signer_digest=$3
default_policy=1.3.6.1.4.1.99999.1
digests=sha256,sha384,sha512
accuracy=secs:1,millisecs:500,microsecs:100
clock_precision_digits=3
ordering=${6:-no}
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=$4
${5:+certs=$5}
X
  openssl ts -query -data "$w/data" -sha256 -cert -out "$w/q" 2>/dev/null
  openssl ts -reply -config "$w/$1.cnf" -queryfile "$w/q" -out "$1.tsr" 2>/dev/null
  openssl ts -reply -in "$1.tsr" -token_out -out "$1.tst" 2>/dev/null
  rm "$1.tsr"
}
token p256 p256 sha256 sha256
token p384 p384 sha384 sha384
token p256-sha512 p256 sha512 sha256 "" yes
token rsa2048 rsa2048 sha256 sha1
token rsa3072 rsa3072 sha256 sha256
token rsa3072-sha512 rsa3072 sha512 sha512
token p256-chain p256 sha256 sha256 "$w/inter.pem"
token p256-sha1 p256 sha1 sha256
