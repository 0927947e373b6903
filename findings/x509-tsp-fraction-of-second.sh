#!/usr/bin/env bash
# x509-tsp 0.1.0 reads no timestamp whose time has a fraction of a second.
#
# Expected: RFC 3161, 2.4.2, lets an authority tell a time with a fraction of a second, and describes
# the one form that it has then. `openssl ts` makes such an answer (`clock_precision_digits`) and
# verifies it.
#
# Seen: `TstInfo::from_der` fails, with an error about a GeneralizedTime. Of the same authority
# without the setting it gives the time. The type that it reads times into holds whole seconds only.
#
# Whom it hurts: who asks several authorities, of which one tells milliseconds: its answers can't be
# read at all, not even to the second.
# What to do: read the fields of TSTInfo one by one, and the time as a text.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p check/src
cat > check/Cargo.toml <<'END'
[package]
name = "check"
version = "0.0.0"
edition = "2024"
[dependencies]
x509-tsp = "=0.1.0"
cms = "=0.2.3"
der = { version = "=0.7.10", features = ["std"] }
END
cat > check/src/main.rs <<'END'
use der::{Decode as _, asn1::OctetStringRef};

fn main() {
    let answer = std::fs::read("reply.tsr").unwrap();
    let response = x509_tsp::TimeStampResp::from_der(&answer).unwrap();
    let signed: cms::signed_data::SignedData = response.time_stamp_token.unwrap().content.decode_as().unwrap();
    let information = signed.encap_content_info.econtent.unwrap();
    let information = information.decode_as::<OctetStringRef<'_>>().unwrap();
    match x509_tsp::TstInfo::from_der(information.as_bytes()) {
        Ok(_) => println!("read"),
        Err(error) => println!("refused: {error}"),
    }
}
END
(cd check && cargo build --quiet 2> /dev/null || cargo build)

for name in root tsa; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key"; done
cat > signer.cnf <<'END'
[signer]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
END
openssl req -x509 -new -key root.key -subj /CN=root -days 2 -out root.pem
openssl req -new -key tsa.key -subj /CN=tsa -out tsa.csr
openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
  -extfile signer.cnf -extensions signer -out tsa.pem 2> /dev/null
printf 'a document' > data

told() { # what the library says of an answer of an authority with this line in its configuration
  cat > tsa.cnf <<END
[tsa]
default_tsa = local
[local]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
$1
END
  echo 01 > serial
  # The clock may stand at a whole second, which is then told without a fraction.
  for _ in 1 2 3; do
    openssl ts -query -data data -sha256 -cert -out query.tsq 2> /dev/null
    openssl ts -reply -config tsa.cnf -section local -queryfile query.tsq -inkey tsa.key \
      -signer tsa.pem -out reply.tsr 2> /dev/null
    if [ -z "$1" ] || openssl ts -reply -in reply.tsr -text 2> /dev/null | grep -q '^Time stamp: .*\.'; then break; fi
  done
  openssl ts -verify -data data -in reply.tsr -CAfile root.pem > /dev/null 2>&1 || { echo "openssl refuses it"; return; }
  check/target/debug/check
}
fraction=$(told 'clock_precision_digits = 3')
whole=$(told '')
echo "x509-tsp 0.1.0: with a fraction: $fraction; without: $whole"
[[ $fraction == refused:* ]] && [ "$whole" = read ]
