#!/usr/bin/env bash
# sigstore-tsa 0.15.1 takes no timestamp of an authority whose key is RSA.
#
# Expected: RFC 3161 leaves the algorithm of the signature to the authority, and most that sell
# timestamps sign with RSA. `openssl ts` makes such an answer and verifies it.
#
# Seen: `verify_timestamp_for_authority` refuses it with "not an EC key". The same authority with a
# P-256 key is taken. The documentation of the function names no algorithm.
#
# Whom it hurts: who runs a private Sigstore with the timestamp authority that the company has
# already, and signs well, but whose bundles this library then refuses.
# What to do: have the authority sign with P-256 or P-384, or verify the answer by other means.
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
sigstore-tsa = { version = "=0.15.1", default-features = false, features = ["aws-lc-rs"] }
sigstore-types = "=0.15.1"
END
cat > check/src/main.rs <<'END'
use sigstore_types::{DerCertificate, SignatureBytes, TimestampToken, TsaAuthority};

fn main() {
    let read = |name: &str| std::fs::read(name).unwrap();
    let [leaf, root] = ["tsa.der", "root.der"].map(|name| DerCertificate::new(read(name)));
    let authority = TsaAuthority::new(leaf, Vec::new(), root, None);
    let token = TimestampToken::new(read("reply.tsr"));
    let data = SignatureBytes::from_bytes(&read("data"));
    match sigstore_tsa::verify_timestamp_for_authority(&token, &data, &authority) {
        Ok(_) => println!("taken"),
        Err(error) => println!("refused: {error}"),
    }
}
END
(cd check && cargo build --quiet 2> /dev/null || cargo build)

cat > tsa.cnf <<'END'
[tsa]
default_tsa = local
[local]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
ess_cert_id_alg = sha256
[signer]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
END
printf 'a signature' > data

told() { # what the library says of an answer under keys that `openssl genpkey "$@"` makes
  echo 01 > serial
  for name in root tsa; do openssl genpkey "$@" -out "$name.key" 2> /dev/null; done
  openssl req -x509 -new -key root.key -subj /CN=root -days 2 -out root.pem
  openssl req -new -key tsa.key -subj /CN=tsa -out tsa.csr
  openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
    -extfile tsa.cnf -extensions signer -out tsa.pem 2> /dev/null
  for name in root tsa; do openssl x509 -in "$name.pem" -outform DER -out "$name.der"; done
  openssl ts -query -data data -sha256 -cert -out query.tsq 2> /dev/null
  openssl ts -reply -config tsa.cnf -section local -queryfile query.tsq -inkey tsa.key \
    -signer tsa.pem -out reply.tsr 2> /dev/null
  openssl ts -verify -data data -in reply.tsr -CAfile root.pem > /dev/null 2>&1 || { echo "openssl refuses it"; return; }
  check/target/debug/check
}
rsa=$(told -algorithm RSA -pkeyopt rsa_keygen_bits:2048)
ec=$(told -algorithm EC -pkeyopt ec_paramgen_curve:P-256)
echo "sigstore-tsa 0.15.1: RSA: $rsa; P-256: $ec"
[[ $rsa == refused:*"not an EC key"* ]] && [ "$ec" = taken ]
