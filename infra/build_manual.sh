#!/usr/bin/env bash
# Builds the manual of docs/ into target/manual and checks every link in the pages. Installs mdBook into .local/cargo once:
# the build of mdbook.txt, or from source where there is none for this machine, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.5.4
mdbook=.local/cargo/bin/mdbook
python=.local/venv/bin/python
infra/local/setup.sh

if [ "$("$mdbook" --version 2>/dev/null || true)" != "mdbook v$VERSION" ]; then
  echo "installing mdBook $VERSION into .local/cargo"
  target=.local/cargo/mdbook-wheel
  rm -rf "$target"
  if "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --no-deps --target "$target" --requirement infra/mdbook.txt; then
    mkdir -p .local/cargo/bin
    mv "$target/bin/mdbook" "$mdbook"
    rm -rf "$target"
  else
    cargo install --quiet --locked --root .local/cargo --version "$VERSION" mdbook
  fi
fi

stage=.local/manual
"$python" infra/manual_check.py
"$python" infra/manual_check.py --stage "$stage"
rm -rf target/manual
"$mdbook" build "$stage" --dest-dir "$PWD/target/manual"
"$python" infra/manual_check.py --book target/manual
echo "the manual is target/manual/index.html"
