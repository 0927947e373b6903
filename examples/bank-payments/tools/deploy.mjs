// Step 7 of the pipeline: applies a commit's stored artefacts to a stage. Templates and ZIPs come from the artefact store and nowhere
// else, and are held against the digests of the stored manifest. Stacks are called `{repo}-{stage}-{stack}`.
// Usage: node tools/deploy.mjs --stage dev --write build/outputs.json [--repo NAME --sha SHA]
//   --write   the outputs of all stacks in one object, for the tests
//   --repo, --sha   on GitHub Actions those of the run
// GATEKEEPER_ARTEFACT_BUCKET names the artefact store; AWS is reached as the AWS CLI does.
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import {
  CloudFormationClient, CreateChangeSetCommand, DescribeChangeSetCommand, DescribeStackEventsCommand, DescribeStacksCommand, ExecuteChangeSetCommand,
  waitUntilStackCreateComplete, waitUntilStackUpdateComplete,
} from '@aws-sdk/client-cloudformation';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';

const { GATEKEEPER_ARTEFACT_BUCKET: store, GITHUB_REPOSITORY = '', GITHUB_SHA, AWS_ENDPOINT_URL } = process.env;
const { values } = parseArgs({
  options: {
    stage: { type: 'string' }, write: { type: 'string' },
    repo: { type: 'string', default: GITHUB_REPOSITORY.split('/').at(-1) }, sha: { type: 'string', ...(GITHUB_SHA && { default: GITHUB_SHA }) },
  },
});
const { stage, write, repo, sha } = values;
for (const name of ['stage', 'write', 'repo', 'sha']) if (!values[name]) throw new Error(`\`--${name}\` is needed`);
if (!store) throw new Error('GATEKEEPER_ARTEFACT_BUCKET must name the artefact store');

const WAIT = { maxWaitTime: 900, minDelay: AWS_ENDPOINT_URL ? 0.2 : 3, maxDelay: 10 };
const s3 = new S3Client({ forcePathStyle: AWS_ENDPOINT_URL !== undefined });
const cloudformation = new CloudFormationClient({});

/** An object of the commit; its bytes are those of the digest, or it is an error. */
async function stored(path, sha256) {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: store, Key: `${repo}/${sha}/${path}` }));
  const bytes = Buffer.from(await Body.transformToByteArray());
  const found = createHash('sha256').update(bytes).digest('hex');
  if (sha256 && found !== sha256) throw new Error(`\`${path}\` in the artefact store is \`${found}\`, the manifest says \`${sha256}\``);
  return bytes;
}

/** Puts a function's ZIP where its template looks for it, unless that is the artefact store itself. */
async function provide({ id, functions }, stack, { Resources }, account) {
  for (const { name, sha256, logical_id } of functions.filter((of) => of.stack === stack)) {
    const { S3Bucket, S3Key } = Resources[logical_id].Properties.Code;
    if (typeof S3Key !== 'string') continue;
    const bucket = (S3Bucket['Fn::Sub'] ?? S3Bucket).replace('${AWS::AccountId}', account).replace('${AWS::Region}', await cloudformation.config.region());
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: S3Key, Body: await stored(`modules/${id}/functions/${name}.zip`, sha256) }));
  }
}

/** Applies one template, and answers the stack's outputs. */
async function apply(id, stack, text) {
  const StackName = `${repo}-${stage}-${stack}`;
  const given = { Stage: stage, CommitSha: sha, ArtefactBucket: store, ArtefactPrefix: `${repo}/${sha}/modules/${id}` };
  const before = await described(StackName);
  const begun = new Date();
  const { Id: ChangeSetName } = await cloudformation.send(new CreateChangeSetCommand({
    StackName, ChangeSetName: `commit-${sha}-${begun.getTime()}`, ChangeSetType: before ? 'UPDATE' : 'CREATE', TemplateBody: text,
    Parameters: Object.keys(JSON.parse(text).Parameters ?? {}).filter((key) => key in given).map((key) => ({ ParameterKey: key, ParameterValue: given[key] })),
    Capabilities: ['CAPABILITY_IAM'],
  }));
  if (await ready(ChangeSetName)) {
    await cloudformation.send(new ExecuteChangeSetCommand({ ChangeSetName }));
    const wait = before ? waitUntilStackUpdateComplete : waitUntilStackCreateComplete;
    await wait({ client: cloudformation, ...WAIT }, { StackName }).catch(async () => {
      throw new Error(`\`${StackName}\` was not deployed\n${await failures(StackName, begun)}`);
    });
  }
  const { StackStatus, Outputs = [] } = await described(StackName);
  console.log(`${StackName} ${StackStatus}`);
  return Object.fromEntries(Outputs.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
}

/** A stack as it is; none where only a change set is. */
async function described(StackName) {
  const found = await cloudformation.send(new DescribeStacksCommand({ StackName })).catch((error) => {
    if (error.name === 'ValidationError') return { Stacks: [] };
    throw error;
  });
  return found.Stacks.find(({ StackStatus }) => StackStatus !== 'REVIEW_IN_PROGRESS');
}

/** Waits until a change set can be executed; false when it would change nothing. */
async function ready(ChangeSetName) {
  for (;;) {
    const { Status, StatusReason = '' } = await cloudformation.send(new DescribeChangeSetCommand({ ChangeSetName }));
    if (Status === 'CREATE_COMPLETE') return true;
    if (Status === 'FAILED' && /didn't contain changes|No updates are to be performed/.test(StatusReason)) return false;
    if (Status === 'FAILED') throw new Error(`the change set was refused: ${StatusReason}`);
    await new Promise((resolve) => setTimeout(resolve, WAIT.minDelay * 1000));
  }
}

/** Why resources failed, in the stack's own words. */
async function failures(StackName, since) {
  const { StackEvents = [] } = await cloudformation.send(new DescribeStackEventsCommand({ StackName }));
  const failed = StackEvents.filter(({ ResourceStatus = '', Timestamp }) => ResourceStatus.endsWith('_FAILED') && Timestamp >= since);
  return failed.map((of) => `  ${of.LogicalResourceId} (${of.ResourceType}): ${of.ResourceStatusReason}`).reverse().join('\n');
}

async function main() {
  const { modules } = JSON.parse(await stored('build-manifest.json'));
  const { Account } = await new STSClient({}).send(new GetCallerIdentityCommand({}));
  const outputs = {};
  for (const module of modules) {
    for (const { name, sha256 } of module.stacks ?? []) {
      const text = (await stored(`modules/${module.id}/cloudformation/${name}.json`, sha256)).toString('utf8');
      await provide(module, name, JSON.parse(text), Account);
      Object.assign(outputs, await apply(module.id, name, text));
    }
  }
  await mkdir(dirname(write), { recursive: true });
  await writeFile(write, `${JSON.stringify(outputs, null, 2)}\n`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
