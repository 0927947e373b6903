#!/usr/bin/env bash
# cdk-assets 3.3.1 (npm) publishes the ZIP that an earlier run left in the assembly's `.cache`
# folder, although the asset's folder has other files by now.
#
# Expected: an assembly that is published again is published as it is. A folder that a build step
# has changed in place (a licence file added, a source map taken out, a signature written) should
# be zipped anew, or the difference should at least be told.
#
# Seen: the archive of a folder is kept as `.cache/<asset id>.zip` inside of the assembly, and once
# it is there the folder is never read again. The second run uploads the first run's bytes, with no
# message at all; without `.cache` it uploads the new ones.
#
# Whom it hurts: pipelines that keep `cdk.out` or `.sst/dist` between steps, or restore it from a
# cache, and touch an asset's folder after a first publish or a first failed deploy: what runs is
# not what lies in the folder that was scanned, signed or reviewed.
# What to do: delete the assembly's `.cache` before each publish, or publish a fresh copy.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact cdk-assets@3.3.1
echo "cdk-assets $(node -p 'require("cdk-assets/package.json").version')"

mkdir -p assembly/asset.one
echo 'exports.handler = async () => "first";' >assembly/asset.one/index.js
cat >assembly/app.assets.json <<'END'
{"version": "48.0.0", "dockerImages": {}, "files": {"one": {
  "source": {"path": "asset.one", "packaging": "zip"},
  "destinations": {"here": {"bucketName": "assets", "objectKey": "one.zip"}}}}}
END

# Publishes by the library's API; its S3 client is this one, which keeps the digest of each upload.
cat >publish.cjs <<'END'
const { createHash } = require('node:crypto');
const { AssetManifest, AssetPublishing } = require('cdk-assets');
const empty = async () => ({});
const account = async () => ({ accountId: '000000000000', partition: 'aws' });
const upload = async ({ Key, Body }) => {
  const hash = createHash('sha256');
  if (Buffer.isBuffer(Body)) hash.update(Body);
  else for await (const part of Body) hash.update(part);
  console.log(Key, hash.digest('hex'));
};
const s3 = { getBucketEncryption: empty, getBucketLocation: empty, listObjectsV2: empty, upload };
const aws = {
  discoverPartition: async () => 'aws',
  discoverDefaultRegion: async () => 'us-east-1',
  discoverCurrentAccount: account,
  discoverTargetAccount: account,
  s3Client: async () => s3,
};
const manifest = AssetManifest.fromFile('assembly/app.assets.json');
new AssetPublishing(manifest, { aws, throwOnError: true }).publish();
END

first=$(node publish.cjs)
echo 'exports.handler = async () => "second";' >assembly/asset.one/index.js
second=$(node publish.cjs)
rm -r assembly/.cache
third=$(node publish.cjs)
printf 'first         %s\nfolder edited %s\nwithout cache %s\n' "$first" "$second" "$third"

[ "$first" = "$second" ] || { echo "the edited folder was zipped anew: this finding is over" >&2; exit 1; }
[ "$first" != "$third" ] || { echo "the edit makes no difference to the ZIP" >&2; exit 1; }
