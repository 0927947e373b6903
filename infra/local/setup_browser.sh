#!/usr/bin/env bash
# Finds or gets a Chromium for the tests of pages and links it as .local/chromium, and installs what drives it into
# .local/browser. Root on Debian gets the browser from there: it is the newest that Debian has, for a browser without its
# security updates is no browser to test with. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

infra/local/setup_npm.sh browser

find_chromium() {
  local name program
  for name in chromium chromium-browser google-chrome; do
    program=$(command -v "$name") || continue
    # Ubuntu's package of that name is a script that only says how to install the snap.
    if "$program" --version > /dev/null 2>&1; then
      echo "$program"
      return
    fi
  done
}

link=.local/chromium
[ -x "$(readlink "$link" 2>/dev/null)" ] && exit 0
program=$(find_chromium)
if [ -z "$program" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo 'installing chromium'
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null || true
  program=$(find_chromium)
fi
if [ -z "$program" ]; then
  echo 'error: Chromium is missing, the pages are tested in it (on Debian: `apt-get install chromium`; elsewhere any `chromium` or `google-chrome` on the path)' >&2
  exit 1
fi
"$program" --version 2>/dev/null
ln -sfn "$program" "$link"
