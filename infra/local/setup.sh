#!/usr/bin/env bash
# Makes .local/venv, the Python tools of this project, from requirements.txt, and finds or gets what a bundle of evidence is verified
# with, jq and openssl; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=infra/local/requirements.txt
venv=.local/venv
stamp=$venv/.requirements

if ! command -v python3 >/dev/null; then
  echo 'error: `python3` is missing (Python 3.10 or newer is needed)' >&2
  exit 1
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "error: Python 3.10 or newer is needed, \`python3\` is $(python3 -V 2>&1)" >&2
  exit 1
fi

for tool in jq openssl; do
  command -v "$tool" > /dev/null && continue
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing $tool"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$tool" > /dev/null
  else
    echo "error: \`$tool\` is missing, the script in a bundle of evidence needs it (on Debian and Ubuntu: \`apt-get install $tool\`)" >&2
    exit 1
  fi
done

wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ]; then
  exit 0
fi

if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  echo 'error: Python has no `venv` (on Debian and Ubuntu: `apt-get install python3-venv`)' >&2
  exit 1
fi

echo "installing the local tools into $venv"
mkdir -p .local
python3 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
  --requirement "$requirements"
# Written last: an installation that was broken off is done again.
echo "$wanted" > "$stamp"
