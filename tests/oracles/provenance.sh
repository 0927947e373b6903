#!/usr/bin/env bash
# `make provenance`: verifies what others made. Real bundles come with the release of the library, which cargo has by its digest
# in Cargo.lock. The conformance suite of the Sigstore project (github.com/sigstore/sigstore-conformance) is looked for where the
# first argument says; the cases were held at commit a73de4970176d258e0154c530b89d20b89444e4d.
set -euo pipefail
cd "$(dirname "$0")/../.."

library=$(cargo metadata --locked --format-version 1 | python3 -c '
import json, pathlib, sys
(found,) = [it for it in json.load(sys.stdin)["packages"] if it["name"] == "sigstore-verify"]
print(pathlib.Path(found["manifest_path"]).parent)')
export SIGSTORE_VERIFY=$library
run() {
  cargo test --quiet --locked --release --package gatekeeper-provenance --features test-support --test oracles -- \
    --ignored --nocapture --test-threads 1 "$@"
}
run real_bundles a_bundle
if [ $# -gt 0 ]; then
  SIGSTORE_CONFORMANCE=$(realpath "$1") run conformance
else
  echo 'the conformance suite was not asked: SIGSTORE_CONFORMANCE=DIR names a checkout of it'
fi
