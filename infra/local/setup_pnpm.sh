#!/usr/bin/env bash
# Installs pnpm into .local/pnpm, the version that pnpm/package-lock.json pins with its digest; does nothing when it is there.
# `.local/pnpm/node_modules/.bin` is what goes on the path; its store is .local/pnpm-store.
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=infra/local/pnpm
pnpm=.local/pnpm

command -v npm > /dev/null || { echo 'error: `npm` is missing: install Node.js 20 or newer' >&2; exit 1; }
wanted=$(sha256sum < "$pinned/package-lock.json")
[ "$wanted" = "$(cat "$pnpm/.installed" 2>/dev/null)" ] && exit 0
echo "installing pnpm into $pnpm"
mkdir -p "$pnpm"
rm -f "$pnpm/.installed"
cp "$pinned/package.json" "$pinned/package-lock.json" "$pinned/.npmrc" "$pnpm/"
npm ci --silent --prefix "$pnpm"
# Written last: an installation that was broken off is done again.
echo "$wanted" > "$pnpm/.installed"
