#!/usr/bin/env bash
# ADR-053's steps for this repository, on a developer's machine. The numbers are ADR-053's.
set -euo pipefail
cd "$(dirname "$0")"

repo=first-function
sha=$(git rev-parse HEAD)
python=.venv/bin/python
build=build/commit
stacks='{repo}-{stage}-{stack}' # how they are called in dev
rm -rf build && mkdir -p "$build/reports"

gatekeeper run typecheck --dir "$build" -- "$python" -m mypy --ignore-missing-imports app.py build.py                # 1
gatekeeper run unit --dir "$build" -- "$python" -m pytest tests/unit --junitxml "$build/reports/unit.xml" \
  --cov app --cov-report "lcov:$build/reports/unit.lcov"                                                            # 2
gatekeeper run policy --dir "$build" -- "$python" -m pytest tests/policy --junitxml "$build/reports/policy.xml"      # 3
"$python" build.py "$build"                                                                                          # 5
gatekeeper publish "$build" --repo "$repo" --sha "$sha" --branch main --wait --expect registered                     # 6
gatekeeper run deploy --dir "$build" --stage dev -- \
  gatekeeper deploy --stage dev --repo "$repo" --sha "$sha" --stack-name "$stacks"                                   # 7
gatekeeper observe "$build" --repo "$repo" --stage dev --stack-name "$stacks" --write build/observed.json
gatekeeper run integration --dir "$build" -- "$python" -m pytest tests/integration \
  --junitxml "$build/reports/integration.xml"                                                                       # 9
gatekeeper publish "$build" --repo "$repo" --sha "$sha" --branch main --wait --observed build/observed.json          # 11
gatekeeper handoffs pull --repo "$repo" --sha "$sha" --into build/handoffs --wait --expect built                     # 12
