#!/usr/bin/env bash
# `make bench`: builds the functions as they are deployed and measures them.
set -euo pipefail
cd "$(dirname "$0")/.."

functions=(intake verify-provenance promote approve apply-stack deploy-function migrate-database judge-run smoke-test record-promotion watch-drift witness portal)

command -v cargo >/dev/null || { echo 'error: `cargo` is missing: install Rust (https://rustup.rs)' >&2; exit 1; }
benches/setup.sh
# By name and not `--workspace`: the CLI's features of shared crates would get into the functions.
cargo build --locked --release "${functions[@]/#/--package=}"
cargo build --locked --release --package=gatekeeper-readers --example=judge_files
cargo build --locked --release --package=gatekeeper-cli --bin=gatekeeper
PYTHONPATH=infra/local exec .local/venv/bin/python benches/bench.py "${CARGO_TARGET_DIR:-target}/release" "${functions[@]}"
