#!/usr/bin/env bash
# Builds functions for Lambda with cargo-lambda, as FOLDER/NAME/bootstrap.
# usage: build_functions.sh arm64|x86_64 FOLDER NAME…
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_LAMBDA_VERSION=1.9.2

fail() {
  echo "error: $1" >&2
  exit "${2:-1}"
}

[ $# -ge 3 ] || { echo "usage: $0 arm64|x86_64 FOLDER NAME…" >&2; exit 2; }
case $1 in
  arm64) target=--arm64 ;;
  x86_64) target=--x86-64 ;;
  *) fail "the architecture is \`arm64\` or \`x86_64\`, not \`$1\`" 2 ;;
esac
folder=$2
shift 2
command -v cargo > /dev/null || fail '`cargo` is missing: install Rust, https://rustup.rs'
cargo lambda --version > /dev/null 2>&1 ||
  fail "\`cargo-lambda\` $CARGO_LAMBDA_VERSION is missing: \`pip install cargo-lambda==$CARGO_LAMBDA_VERSION\`"
cargo lambda build --release --locked "$target" --lambda-dir "$folder" "${@/#/--package=}"
