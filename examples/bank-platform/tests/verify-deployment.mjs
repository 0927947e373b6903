// The smoke test against the deployed stack (ADR-053, step 13): every output is there, and the bucket answers.
import { readFile } from 'node:fs/promises';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';

const outputs = JSON.parse(await readFile('build/outputs.json', 'utf8'));
for (const name of ['artefactBucket', 'encryptionKey', 'uploadRoles']) {
  if (!outputs[name]) throw new Error(`the stack has no output \`${name}\``);
}
const s3 = new S3Client({ forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined });
await s3.send(new HeadBucketCommand({ Bucket: outputs.artefactBucket }));
console.log(`\`${outputs.artefactBucket}\` answers`);
