#!/usr/bin/env bash
# Installs the AWS CLI and SAM, as benches/requirements.txt pins them, into .local/bench; does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=benches/requirements.txt
venv=.local/bench
wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ]; then
  echo "installing the AWS CLI and SAM into $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --requirement "$requirements"
  echo "$wanted" > "$venv/.requirements"
fi
