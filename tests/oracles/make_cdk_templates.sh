#!/usr/bin/env bash
# Synthesises cdk/app.js with the pinned aws-cdk-lib and writes the templates, without CDK's metadata, to the fixtures of
# the gate's tests: shared/readers/src/template/fixtures/cdk/. Needs Node 20 or newer, and npm's registry.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fixtures=$(cd "$here/../../shared/readers/src/template/fixtures" && pwd)/cdk
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/cdk/app.js" "$here/cdk/package.json" "$work/"
cd "$work"
npm install --silent --no-audit --no-fund
node app.js >/dev/null 2>"$work/warnings" || { cat "$work/warnings" >&2; exit 1; }
mkdir -p "$fixtures"
node - "$fixtures" <<'EOF'
const fs = require('fs')
for (const file of fs.readdirSync('out').filter(it => it.endsWith('.template.json'))) {
  const template = JSON.parse(fs.readFileSync(`out/${file}`))
  for (const resource of Object.values(template.Resources)) delete resource.Metadata
  const name = file.replace('.template.json', '.json').toLowerCase()
  fs.writeFileSync(`${process.argv[2]}/${name}`, JSON.stringify(template) + '\n')
}
EOF
