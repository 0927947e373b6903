#!/usr/bin/env bash
# `make bench`: builds the functions as they are deployed and measures them.
set -euo pipefail
cd "$(dirname "$0")/.."

functions=(intake verify-provenance promote approve apply-stack deploy-function migrate-database judge-run smoke-test record-promotion watch-drift witness portal)

command -v cargo >/dev/null || { echo 'error: `cargo` is missing: install Rust (https://rustup.rs)' >&2; exit 1; }
requirements=benches/requirements.txt
venv=.local/bench
wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ]; then
  echo "installing the AWS CLI and SAM into $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --requirement "$requirements"
  echo "$wanted" > "$venv/.requirements"
fi
# By name and not `--workspace`: the CLI's features of shared crates would get into the functions.
cargo build --locked --release "${functions[@]/#/--package=}"
cargo build --locked --release --package=gatekeeper-readers --example=judge_files
cargo build --locked --release --package=gatekeeper-cli --bin=gatekeeper
PYTHONPATH=infra/local exec .local/venv/bin/python benches/bench.py "${CARGO_TARGET_DIR:-target}/release" "${functions[@]}"
