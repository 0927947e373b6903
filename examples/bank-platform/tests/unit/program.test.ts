import { beforeAll, expect, test } from 'vitest';
import { type Made, program } from '../program';

let made: Made[];
let exported: Record<string, any>;
beforeAll(async () => ({ made, exported } = await program()));

const of = (type: string) => made.filter((it) => it.type.endsWith(`:${type}`));

test('the bucket is the stage’s, and is never emptied to be deleted', () => {
  expect(of('Bucket').map((it) => it.inputs)).toEqual([{ bucket: 'bank-artefacts-dev', forceDestroy: false }]);
});

test('versions are kept', () => {
  expect(of('BucketVersioning')[0]?.inputs).toEqual({ bucket: 'bank-artefacts-id', versioningConfiguration: { status: 'Enabled' } });
});

test('each repository has one role, and one policy with it', () => {
  expect(of('Role').map((it) => it.inputs.name)).toEqual(['bank-core-dev-ci', 'bank-payments-dev-ci']);
  expect(of('RolePolicy').map((it) => it.inputs.role)).toEqual(['github-bank-core-id', 'github-bank-payments-id']);
});

test('what others need is exported', () => {
  expect(exported).toMatchObject({
    artefactBucket: 'bank-artefacts-dev', encryptionKey: 'arn:aws:kms:::bank-artefacts',
    uploadRoles: { 'bank-core': 'arn:aws:iam:::github-bank-core', 'bank-payments': 'arn:aws:iam:::github-bank-payments' },
  });
});
