#!/usr/bin/env bash
# Has infra/template.yaml judged by outsiders: cfn-lint with its informational rules, checkov, and AWS's cfn-guard with the
# rules of Control Tower. What they find is in infra/template_lint/exceptions.yaml with its reason, or fails.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=infra/template_lint/requirements.txt
venv=.local/template_lint
wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ]; then
  echo "installing checkov into $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$requirements"
  echo "$wanted" > "$venv/.requirements"
fi
infra/local/setup_npm.sh cfn-guard
.local/venv/bin/python infra/template_lint/judge.py
