'use strict';
// Stands in for cdk-assets, which tests of Rust don't install: the same interface, the same `.cache`, and ZIPs that hold
// permissions. `infra/local/test_cdk_assets.py` runs the real one.
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

/** Every file below a folder, in order. */
function filesOf(folder, below = '') {
  const names = fs.readdirSync(path.join(folder, below)).sort();
  return names.flatMap(name => {
    const file = path.join(below, name);
    return fs.statSync(path.join(folder, file)).isDirectory() ? filesOf(folder, file) : [file];
  });
}

/** A ZIP of stored entries (APPNOTE 4.3). */
function zip(folder) {
  const entries = [];
  const directory = [];
  let offset = 0;
  const files = filesOf(folder);
  for (const name of files) {
    const bytes = fs.readFileSync(path.join(folder, name));
    const { mode } = fs.statSync(path.join(folder, name));
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(zlib.crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, Buffer.from(name));
    const entry = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), bytes]);
    entries.push(entry);
    offset += entry.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...entries, listed, end]);
}

class AssetManifest {
  static fromPath(directory) {
    return { directory, ...JSON.parse(fs.readFileSync(path.join(directory, 'assets.json'), 'utf8')) };
  }
}

class AssetPublishing {
  constructor(manifest, { aws }) {
    Object.assign(this, { manifest, aws });
  }

  async publish() {
    const { directory, files } = this.manifest;
    const s3 = await this.aws.s3Client({});
    for (const [id, { source, destinations }] of Object.entries(files)) {
      for (const { bucketName: Bucket, objectKey: Key } of Object.values(destinations)) {
        const listed = await s3.listObjectsV2({ Bucket, Prefix: Key, MaxKeys: 1 });
        if (listed.Contents?.some(it => it.Key === Key)) continue;
        let packaged = path.join(directory, source.path);
        if (source.packaging === 'zip') {
          const cached = path.join(directory, '.cache', `${id}.zip`);
          if (!fs.existsSync(cached)) {
            fs.mkdirSync(path.dirname(cached), { recursive: true });
            fs.writeFileSync(cached, zip(packaged));
          }
          packaged = cached;
        }
        await s3.upload({ Bucket, Key, Body: fs.createReadStream(packaged), ContentType: 'application/zip' });
      }
    }
  }
}

module.exports = { AssetManifest, AssetPublishing };
