#!/usr/bin/env bash
# Lays cargo's binaries out as cargo-lambda does, target/lambda/<package>/bootstrap, where infra/template.yaml looks.
# usage: layout_functions.sh PROFILE-FOLDER (say target/debug) PACKAGE…
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: $0 PROFILE-FOLDER PACKAGE…" >&2
  exit 2
fi
built=$1
shift
out=$(cd "$(dirname "$0")/../.." && pwd)/target/lambda

for package in "$@"; do
  source=$built/$package
  target=$out/$package/bootstrap
  if [ ! -x "$source" ]; then
    echo "error: \`$source\` is missing: build it with \`cargo build --package $package\`" >&2
    exit 1
  fi
  # Same time stamp as its source means that it is up to date.
  if [ -e "$target" ] && [ ! "$source" -nt "$target" ] && [ ! "$target" -nt "$source" ]; then
    continue
  fi
  mkdir -p "$(dirname "$target")"
  # Symbols are most of a debug binary, and every deploy would carry them.
  strip -o "$target.new" "$source" 2>/dev/null || cp "$source" "$target.new"
  touch -r "$source" "$target.new"
  mv "$target.new" "$target"
done
