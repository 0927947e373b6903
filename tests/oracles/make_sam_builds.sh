#!/usr/bin/env bash
# Builds sam/ with the pinned SAM CLI, and writes what it wrote to the fixtures of `gatekeeper collect`:
# cli/tests/cli/collect/sam/, where `aws-sam` stands for `.aws-sam`. Needs Python with venv, Node 20 or newer with npm, and
# PyPI; nothing is asked of AWS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fixture=$(cd "$here/../../cli/tests/cli/collect" && pwd)/sam
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet aws-sam-cli==1.170.0
cp -r "$here/sam" "$work/app"
cd "$work/app"
SAM_CLI_TELEMETRY=0 "$work/venv/bin/sam" build --region ap-southeast-2 > "$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
rm -rf "$fixture"
mkdir -p "$fixture/aws-sam"
cp -r .aws-sam/build "$fixture/aws-sam/build"
cp -r layer machine.asl.json "$fixture/"
