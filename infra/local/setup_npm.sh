#!/usr/bin/env bash
# Installs packages of npm as a folder beside this script pins them, with their digests: infra/local/NAME/package-lock.json
# into .local/NAME; does nothing for one that is there. `.local/NAME/node_modules/.bin` is what goes on the path.
# usage: setup_npm.sh NAME…      say `setup_npm.sh pnpm browser`
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -lt 1 ]; then
  echo "usage: $0 NAME…" >&2
  exit 2
fi
fail() { echo "error: $1: install Node.js 20.19 or newer, with npm" >&2; exit 1; }
for program in node npm; do
  command -v "$program" > /dev/null || fail "\`$program\` is missing"
done
node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
  fail "\`node\` is $(node --version), too old"

for name in "$@"; do
  pinned=infra/local/$name
  folder=.local/$name
  wanted=$(sha256sum < "$pinned/package-lock.json")
  if [ "$wanted" = "$(cat "$folder/.installed" 2>/dev/null)" ]; then
    continue
  fi
  echo "installing $name into $folder"
  mkdir -p "$folder"
  rm -f "$folder/.installed"
  cp "$pinned/package.json" "$pinned/package-lock.json" "$pinned/.npmrc" "$folder/"
  npm ci --silent --prefix "$folder"
  # Written last: an installation that was broken off is done again.
  echo "$wanted" > "$folder/.installed"
done
