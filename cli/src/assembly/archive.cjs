'use strict';
// Writes the bytes that cdk-assets would upload for each file asset of a folder, by the library's documented API: its S3
// client is ours, has nothing, and keeps what is uploaded as a file.
//
// usage: node archive.cjs FROM FOLDER OUT
//   FROM    the folder that cdk-assets is looked for from, upwards
//   FOLDER  the assets and their `assets.json`
//   OUT     where each asset's bytes are written, by its object key
//
// Standard output says which version it was. Needs nothing but Node: no network, no credentials.
const fs = require('node:fs');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');

const PACKAGES = ['cdk-assets', '@aws-cdk/cdk-assets-lib'];

/** The folders that a package is looked for from; pnpm keeps what only SST needs beside SST itself. */
function startingFolders(from) {
  const folders = [from];
  for (let folder = from; ; folder = path.dirname(folder)) {
    const sst = path.join(folder, 'node_modules', 'sst');
    if (fs.existsSync(sst)) folders.push(fs.realpathSync(sst));
    if (folder === path.dirname(folder)) return folders;
  }
}

/** The package.json of the package that holds a module. */
function packageOf(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (fs.existsSync(description)) {
      const read = JSON.parse(fs.readFileSync(description, 'utf8'));
      if (PACKAGES.includes(read.name)) return { folder, ...read };
    }
    if (folder === path.dirname(folder)) throw new Error(`${file} is in no package`);
  }
}

function find(from) {
  // The folder of the package itself, too.
  if (fs.existsSync(path.join(from, 'package.json'))) {
    const { name } = JSON.parse(fs.readFileSync(path.join(from, 'package.json'), 'utf8'));
    if (PACKAGES.includes(name)) return require.resolve(from);
  }
  for (const name of PACKAGES) {
    try {
      return require.resolve(name, { paths: startingFolders(from) });
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return null;
}

async function main([from, folder, out]) {
  const file = find(from);
  if (file === null) {
    throw new Error(
      `cdk-assets is not installed at \`${from}\` or above: add \`cdk-assets\` to the repository's devDependencies, or ` +
        'pass `--cdk-assets` with the folder that it is installed in',
    );
  }
  const { name, version, folder: installed } = packageOf(file);
  if (name === 'cdk-assets' && Number.parseInt(version, 10) < 3) {
    throw new Error(`\`${installed}\` is cdk-assets ${version}, and 3 or newer is needed: update it`);
  }
  const { AssetManifest, AssetPublishing } = require(file);
  const nothing = async () => ({});
  const account = async () => ({ accountId: '000000000000', partition: 'aws' });
  const none = async () => {
    throw new Error('an asset is no file');
  };
  const s3 = {
    getBucketEncryption: nothing,
    getBucketLocation: nothing,
    listObjectsV2: nothing,
    upload: async ({ Key, Body }) => {
      const target = path.join(out, Key);
      if (Buffer.isBuffer(Body) || typeof Body === 'string') fs.writeFileSync(target, Body, { flag: 'wx' });
      else await pipeline(Body, fs.createWriteStream(target, { flags: 'wx' }));
      return {};
    },
  };
  const aws = {
    discoverPartition: async () => 'aws',
    discoverDefaultRegion: async () => 'us-east-1',
    discoverCurrentAccount: account,
    discoverTargetAccount: account,
    s3Client: async () => s3,
    ecrClient: none,
    secretsManagerClient: none,
  };
  const progressListener = { onPublishEvent() {} };
  await new AssetPublishing(AssetManifest.fromPath(folder), { aws, progressListener, throwOnError: true }).publish();
  process.stdout.write(`${name} ${version}\n`);
}

main(process.argv.slice(2)).catch(error => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
