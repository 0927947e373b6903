// POL-008: what is stored is encrypted with the platform's own key, and nobody outside reaches it.
import { beforeAll, expect, test } from 'vitest';
import { type Made, program } from '../program';

let made: Made[];
beforeAll(async () => ({ made } = await program('uat')));

test('POL-008: every bucket has encryption with the key, and is closed to the public', () => {
  const buckets = made.filter((it) => it.type.endsWith(':Bucket')).map((it) => `${it.name}-id`);
  expect(buckets.length).toBeGreaterThan(0);
  const encrypted = made.filter((it) => it.type.endsWith(':BucketServerSideEncryptionConfiguration'));
  expect(encrypted.map((it) => it.inputs.bucket)).toEqual(buckets);
  for (const { inputs } of encrypted) {
    expect(inputs.rules).toEqual([{ bucketKeyEnabled: true, applyServerSideEncryptionByDefault: { sseAlgorithm: 'aws:kms', kmsMasterKeyId: 'arn:aws:kms:::bank-artefacts' } }]);
  }
  const closed = made.filter((it) => it.type.endsWith(':BucketPublicAccessBlock'));
  expect(closed.map((it) => it.inputs)).toEqual(buckets.map((bucket) => ({
    bucket, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true,
  })));
});

test('POL-008: every key is rotated', () => {
  const keys = made.filter((it) => it.type.endsWith(':Key'));
  expect(keys.map((it) => it.inputs.enableKeyRotation)).toEqual([true]);
});
