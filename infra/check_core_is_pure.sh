#!/usr/bin/env bash
# The core, which judges and plans, knows no AWS: package `gatekeeper` without its features depends on no AWS, Lambda,
# HTTP or TLS crate, directly or by others.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=$(cargo tree --locked --package gatekeeper --no-default-features --edges normal --prefix none)
impure=$(grep -E '^(aws-|lambda|http|hyper|h2|reqwest|ureq|rustls|ring)' <<< "$tree" | sort -u || true)
if [ -n "$impure" ]; then
  echo 'error: the core depends on what only the shell may know; make it optional under the feature `aws` (shared/Cargo.toml):' >&2
  echo "$impure" >&2
  exit 1
fi
