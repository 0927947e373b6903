#!/usr/bin/env bash
# Makes every fixture of ours that a real tool is behind anew: each `make_*.sh` and `make_*.py` here is one tool's.
# Outside CI: fixtures are committed. Needs what `make tools` brings.
set -euo pipefail
cd "$(dirname "$0")"
for script in make_*.sh make_*.py; do
  [ -e "$script" ] || continue
  echo "== $script"
  case "$script" in
    *.sh) bash "$script" ;;
    *.py) ../../.local/venv/bin/python "$script" ;;
  esac
done
