import * as pulumi from '@pulumi/pulumi';
import { ArtefactStore } from './src/artefact-store';
import { GitHubTrust } from './src/github-trust';

const config = new pulumi.Config();
const stage = config.require('stage');

const store = new ArtefactStore('bank-artefacts', { stage });
const trust = new GitHubTrust('github', {
  owner: 'example-bank',
  environment: stage,
  repositories: config.requireObject<string[]>('repositories'),
  bucketArn: store.bucket.arn,
  keyArn: store.key.arn,
});

export const artefactBucket = store.bucket.bucket;
export const encryptionKey = store.key.arn;
export const uploadRoles = trust.roleArns;
