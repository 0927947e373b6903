#!/usr/bin/env bash
# Installs pnpm into .local/pnpm, the version that pnpm/package-lock.json pins with its digest; does nothing when it is there.
# `.local/pnpm/node_modules/.bin` is what goes on the path; its store is .local/pnpm-store.
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=infra/local/pnpm
pnpm=.local/pnpm

fail() { echo "error: $1: install Node.js 20.19 or newer, with npm" >&2; exit 1; }
for program in node npm; do
  command -v "$program" > /dev/null || fail "\`$program\` is missing"
done
node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
  fail "\`node\` is $(node --version), too old"
wanted=$(sha256sum < "$pinned/package-lock.json")
[ "$wanted" = "$(cat "$pnpm/.installed" 2>/dev/null)" ] && exit 0
echo "installing pnpm into $pnpm"
mkdir -p "$pnpm"
rm -f "$pnpm/.installed"
cp "$pinned/package.json" "$pinned/package-lock.json" "$pinned/.npmrc" "$pnpm/"
npm ci --silent --prefix "$pnpm"
# Written last: an installation that was broken off is done again.
echo "$wanted" > "$pnpm/.installed"
