#!/usr/bin/env bash
# Makes .local/snowflake, a Python with dbt, its Snowflake adapter and the Snowflake that stands in for the real one (fakesnow), as
# infra/local/snowflake/requirements.txt pins them with their digests; does nothing when all is there. The first time takes about a
# minute.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=infra/local/snowflake/requirements.txt
venv=.local/snowflake

if ! command -v python3 > /dev/null || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo 'error: `python3` 3.10 or newer is missing' >&2
  exit 1
fi
wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
[ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ] || exit 0

if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  echo 'error: Python has no `venv` (on Debian and Ubuntu: `apt-get install python3-venv`)' >&2
  exit 1
fi
echo "installing dbt-snowflake and fakesnow into $venv, which takes about a minute"
mkdir -p .local
python3 -m venv --clear "$venv"
# The file names everything, so nothing is left to be resolved.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
  --requirement "$requirements"
# Written last: an installation that was broken off is done again.
echo "$wanted" > "$venv/.requirements"
