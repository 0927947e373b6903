#!/usr/bin/env bash
# Packages serverless/ with the pinned Serverless Framework, with a deployment bucket and without one, and writes what it
# wrote to the fixtures of `gatekeeper collect`: cli/tests/cli/collect/serverless*/. It also packages twice, and ends with 1
# where the ZIPs of the two differ. Needs Node 20 or newer, and npm's registry; nothing is asked of AWS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fixtures=$(cd "$here/../../cli/tests/cli/collect" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/serverless" "$work/app"
cd "$work/app"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund serverless@3.40.0
export SLS_TELEMETRY_DISABLED=1 SLS_NOTIFICATIONS_MODE=off SLS_INTERACTIVE_SETUP_ENABLE=0

# Packages the app into the fixture of this name; the time of the packaging is always the same there.
package() {
  npx serverless package --stage dev > "$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
  rm -rf "${fixtures:?}/$1"
  mkdir "$fixtures/$1"
  cp .serverless/*.zip "$fixtures/$1/"
  node - "$fixtures/$1" <<'JS'
const fs = require('node:fs')
const read = name => JSON.parse(fs.readFileSync(`.serverless/${name}`, 'utf8').replace(/\d{13}-\d{4}-[0-9T:.-]+Z/g, '1796045812437-2026-11-30T13:36:52.437Z'))
const write = (name, document) => fs.writeFileSync(`${process.argv[2]}/${name}`, JSON.stringify(document, null, 2) + '\n')
write('cloudformation-template-update-stack.json', read('cloudformation-template-update-stack.json'))
const { service: { service, provider: { region, stage, stackTags } }, package: packaged } = read('serverless-state.json')
write('serverless-state.json', { service: { service, provider: { region, stage, stackTags } }, package: packaged })
JS
}

package serverless
sha256sum .serverless/*.zip > "$work/first"
sed -i '/deploymentBucket/d' serverless.yml
package serverless-own-bucket
sha256sum --quiet --check "$work/first"
