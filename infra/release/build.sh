#!/usr/bin/env bash
# Builds what a release holds into target/release-VERSION: the command `gatekeeper` as a static program for x86_64 and arm64,
# the functions for both as one ZIP each, the software bills of materials of all of them, and SHA256SUMS.
# usage: build.sh VERSION        VERSION is that of the workspace in Cargo.toml, which the command prints as its own
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO_CYCLONEDX_VERSION=0.5.9

fail() {
  echo "error: $1" >&2
  exit "${2:-1}"
}

[ $# -eq 1 ] || { echo "usage: $0 VERSION" >&2; exit 2; }
version=$1
have=$(sed -nE '/^\[workspace\.package\]/,/^\[/ s/^version = "(.*)"$/\1/p' Cargo.toml)
[ "$version" = "$have" ] || fail "Cargo.toml says version $have, not $version: a release is what its own files say" 2
command -v rustup > /dev/null || fail '`rustup` is missing, which gets the standard library of the targets: https://rustup.rs'
mapfile -t functions < <(sed -n 's/^FUNCTIONS := //p' Makefile | tr ' ' '\n')

requirements=infra/release/requirements.txt
tools=.local/release
wanted=$(cat "$requirements" "$0" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" != "$(cat "$tools/.installed" 2>/dev/null)" ]; then
  echo "installing cargo-lambda, cargo-zigbuild and cargo-cyclonedx into $tools"
  python3 -m venv --clear "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --requirement "$requirements"
  cargo install --quiet --locked "cargo-cyclonedx@$CARGO_CYCLONEDX_VERSION" --root "$tools"
  echo "$wanted" > "$tools/.installed"
fi
export PATH="$PWD/$tools/bin:$PATH"

new=target/release-$version
rm -rf "$new"
mkdir -p "$new"

# musl, so that the command runs on any Linux, whatever C library it has.
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
  rustup --quiet target add "$target"
  cargo zigbuild --quiet --release --locked --target "$target" --package gatekeeper-cli --bin gatekeeper
done
cp target/x86_64-unknown-linux-musl/release/gatekeeper "$new/gatekeeper-$version-linux-x86_64"
cp target/aarch64-unknown-linux-musl/release/gatekeeper "$new/gatekeeper-$version-linux-arm64"

for architecture in arm64 x86_64; do
  infra/build_functions.sh "$architecture" "target/release-functions/$architecture" "${functions[@]}"
  python3 infra/release/archive.py pack "$new/functions-$version-$architecture.zip" "target/release-functions/$architecture" "${functions[@]/%//bootstrap}"
done

# It writes beside each package's Cargo.toml, and describes what is in the programs: no tests, no build scripts.
cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --target x86_64-unknown-linux-musl --override-filename release.cdx
boms=target/release-boms
rm -rf "$boms"
mkdir "$boms"
mv cli/release.cdx.json "$boms/gatekeeper.cdx.json"
for function in "${functions[@]}"; do mv "functions/$function/release.cdx.json" "$boms/$function.cdx.json"; done
find cli functions shared tests fuzz xtask -name release.cdx.json -delete
(cd "$boms" && python3 ../../infra/release/archive.py pack "../../$new/sbom-$version.zip" . ./*.cdx.json)

(cd "$new" && sha256sum ./* | sed 's#  \./#  #' > ../SHA256SUMS && mv ../SHA256SUMS .)
ls -l "$new"
