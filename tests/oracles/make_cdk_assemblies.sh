#!/usr/bin/env bash
# Synthesises cdk/shapes.js with the pinned aws-cdk-lib and writes the documents of each assembly, without CDK's metadata, to the
# fixtures of `gatekeeper collect`: cli/tests/cli/collect/assemblies/. Needs Node 20 or newer, and npm's registry.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fixtures=$(cd "$here/../../cli/tests/cli/collect/assemblies" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/cdk/shapes.js" "$here/cdk/package.json" "$work/"
cd "$work"
npm install --silent --no-audit --no-fund
node shapes.js >/dev/null 2>"$work/warnings" || { cat "$work/warnings" >&2; exit 1; }
node - "$fixtures" <<'EOF'
const fs = require('fs')
const kinds = ['aws:cloudformation:stack', 'cdk:asset-manifest']
for (const shape of fs.readdirSync('out')) {
  const documents = {}
  for (const file of fs.readdirSync(`out/${shape}`).filter(it => /(assets|template|^manifest)\.json$/.test(it))) {
    documents[file] = JSON.parse(fs.readFileSync(`out/${shape}/${file}`))
    for (const resource of Object.values(documents[file].Resources ?? {})) delete resource.Metadata
  }
  const { artifacts } = documents['manifest.json']
  for (const [id, artifact] of Object.entries(artifacts)) {
    delete artifact.metadata
    if (!kinds.includes(artifact.type)) delete artifacts[id]
  }
  fs.writeFileSync(`${process.argv[2]}/${shape}.json`, JSON.stringify(documents) + '\n')
}
EOF
