#!/usr/bin/env bash
# Asks the newest cfn-lint's resource schemas for properties that may carry code and that nobody has judged; it changes
# nothing. What it names is judged in shared/readers/src/template/schema/, and comes into the table with the pinned
# version (infra/local/requirements.txt, then `make template-table`). Needs Python, and PyPI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" cfn-lint
python3 -m zipfile -e "$work"/cfn_lint-*.whl "$work/cfn-lint"
python3 "$here/../../shared/readers/src/template/schema/generate.py" --check --schemas "$work/cfn-lint/cfnlint/data/schemas"
