#!/usr/bin/env bash
# Makes every fixture anew that comes from a real tool, each by its own script with pinned versions.
set -euo pipefail
cd "$(dirname "$0")"
for script in make_*; do
  [ -x "$script" ] || continue
  echo "$script"
  "./$script"
done
