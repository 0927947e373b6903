// Against the stack that was deployed to dev: build/outputs.json is what `pulumi stack output --json` printed.
import { readFileSync } from 'node:fs';
import { GetBucketEncryptionCommand, GetBucketVersioningCommand, GetPublicAccessBlockCommand, S3Client } from '@aws-sdk/client-s3';
import { expect } from 'vitest';
import { skipIfNoAws } from './guard';

const test = skipIfNoAws();
const outputs = () => JSON.parse(readFileSync('build/outputs.json', 'utf8'));
const s3 = () => new S3Client({ forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined });

test('what is stored is encrypted with the stack’s key', async () => {
  const { artefactBucket: Bucket, encryptionKey } = outputs();
  const { ServerSideEncryptionConfiguration: found } = await s3().send(new GetBucketEncryptionCommand({ Bucket }));
  expect(found?.Rules?.[0]?.ApplyServerSideEncryptionByDefault).toEqual({ SSEAlgorithm: 'aws:kms', KMSMasterKeyID: encryptionKey });
});

test('versions are kept', async () => {
  const { Status } = await s3().send(new GetBucketVersioningCommand({ Bucket: outputs().artefactBucket }));
  expect(Status).toBe('Enabled');
});

test('the public is kept out', async () => {
  const { PublicAccessBlockConfiguration: found } = await s3().send(new GetPublicAccessBlockCommand({ Bucket: outputs().artefactBucket }));
  expect(found).toEqual({ BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true });
});
