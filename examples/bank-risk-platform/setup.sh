#!/usr/bin/env bash
# Makes a virtual environment with what this repository needs, and puts it in order when requirements.txt has changed.
# usage: ./setup.sh [FOLDER]      without it .venv
set -euo pipefail
venv=$(realpath --canonicalize-missing "${1:-.venv}")
cd "$(dirname "$0")"

wanted=$(cat requirements.txt <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
[ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ] || exit 0
echo "installing dbt and the tools beside it into $venv"
mkdir -p "$(dirname "$venv")"
python3 -m venv --clear "$venv"
PATH=$venv/bin:$PATH make --silent install
echo "$wanted" > "$venv/.requirements"
