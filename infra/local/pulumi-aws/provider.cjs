// A stand-in for Pulumi's AWS plugin, which is a binary that no package registry has: a plugin of the same protocol for the nine
// types of examples/bank-platform, which makes, reads, changes and deletes them by AWS's own API. The engine, its state, its plans
// and the program's SDK are the real ones. It knows only the properties that the example sets, and refuses every other.
'use strict';

const { createRequire } = require('node:module');
const { join } = require('node:path');

// setup_npm.sh installs into `.local`, out of this folder.
const installed = createRequire(join(__dirname, '..', '..', '..', '.local', 'pulumi-aws', 'package.json'));
const iamApi = installed('@aws-sdk/client-iam');
const kmsApi = installed('@aws-sdk/client-kms');
const s3Api = installed('@aws-sdk/client-s3');
const { main } = installed('@pulumi/pulumi/provider');

// What follows the plus says in every state that this is not the real plugin; the engine asks for the number.
const VERSION = '7.48.0+stand-in';

const iam = new iamApi.IAMClient({});
const kms = new kmsApi.KMSClient({});
const s3 = new s3Api.S3Client({ forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined });

const capitals = (object) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name[0].toUpperCase() + name.slice(1), value]));
const smalls = (object) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name[0].toLowerCase() + name.slice(1), value]));
const compact = (policy) => JSON.stringify(JSON.parse(policy));
const decoded = (policy) => compact(decodeURIComponent(policy));

/** A setting of a bucket: its id is the bucket's name, and making it is changing it. */
function setting(inputs, put, get, remove) {
  return {
    inputs: ['bucket', ...inputs],
    replacing: ['bucket'],
    create: async (given) => {
      await put(given);
      return { id: given.bucket, state: given };
    },
    read: async (id) => ({ bucket: id, ...await get(id) }),
    update: async (_, given) => {
      await put(given);
      return given;
    },
    remove,
  };
}

const TYPES = {
  'aws:kms/key:Key': {
    inputs: ['description', 'enableKeyRotation', 'deletionWindowInDays'],
    replacing: [],
    create: async (given) => {
      const { KeyMetadata: key } = await kms.send(new kmsApi.CreateKeyCommand({ Description: given.description }));
      if (given.enableKeyRotation) await kms.send(new kmsApi.EnableKeyRotationCommand({ KeyId: key.KeyId }));
      return { id: key.KeyId, state: { ...given, arn: key.Arn, keyId: key.KeyId } };
    },
    read: async (id, known) => {
      const { KeyMetadata: key } = await kms.send(new kmsApi.DescribeKeyCommand({ KeyId: id }));
      if (key.KeyState === 'PendingDeletion') return undefined;
      const rotation = await kms.send(new kmsApi.GetKeyRotationStatusCommand({ KeyId: id }));
      return {
        // how long it is kept once it is deleted is in no key's description
        ...known, description: key.Description, enableKeyRotation: rotation.KeyRotationEnabled, arn: key.Arn, keyId: id,
      };
    },
    update: async (id, given) => {
      await kms.send(new kmsApi.UpdateKeyDescriptionCommand({ KeyId: id, Description: given.description }));
      const rotate = given.enableKeyRotation ? kmsApi.EnableKeyRotationCommand : kmsApi.DisableKeyRotationCommand;
      await kms.send(new rotate({ KeyId: id }));
      const { KeyMetadata: key } = await kms.send(new kmsApi.DescribeKeyCommand({ KeyId: id }));
      return { ...given, arn: key.Arn, keyId: id };
    },
    remove: (id, state) => kms.send(new kmsApi.ScheduleKeyDeletionCommand({ KeyId: id, PendingWindowInDays: state.deletionWindowInDays ?? 30 })),
  },
  'aws:s3/bucket:Bucket': {
    inputs: ['bucket', 'forceDestroy'],
    replacing: ['bucket'],
    create: async (given) => {
      const where = { LocationConstraint: process.env.AWS_REGION };
      await s3.send(new s3Api.CreateBucketCommand({ Bucket: given.bucket, CreateBucketConfiguration: where }));
      return { id: given.bucket, state: { ...given, arn: `arn:aws:s3:::${given.bucket}` } };
    },
    read: async (id, known) => {
      await s3.send(new s3Api.HeadBucketCommand({ Bucket: id }));
      return { ...known, bucket: id, arn: `arn:aws:s3:::${id}` };
    },
    update: async (id, given) => ({ ...given, arn: `arn:aws:s3:::${id}` }),
    remove: (id) => s3.send(new s3Api.DeleteBucketCommand({ Bucket: id })),
  },
  'aws:s3/bucketVersioning:BucketVersioning': setting(
    ['versioningConfiguration'],
    ({ bucket, versioningConfiguration: { status: Status } }) =>
      s3.send(new s3Api.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status } })),
    async (bucket) => {
      const { Status: status = 'Disabled' } = await s3.send(new s3Api.GetBucketVersioningCommand({ Bucket: bucket }));
      return { versioningConfiguration: { status } };
    },
    // versions that are there can't be done away with by a setting
    (bucket) => s3.send(new s3Api.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Suspended' } })),
  ),
  'aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration': setting(
    ['rules'],
    ({ bucket, rules }) => s3.send(new s3Api.PutBucketEncryptionCommand({
      Bucket: bucket,
      ServerSideEncryptionConfiguration: {
        Rules: rules.map(({ bucketKeyEnabled, applyServerSideEncryptionByDefault: { sseAlgorithm, kmsMasterKeyId } }) => ({
          BucketKeyEnabled: bucketKeyEnabled,
          ApplyServerSideEncryptionByDefault: { SSEAlgorithm: sseAlgorithm, KMSMasterKeyID: kmsMasterKeyId },
        })),
      },
    })),
    async (bucket) => {
      const { ServerSideEncryptionConfiguration: found } = await s3.send(new s3Api.GetBucketEncryptionCommand({ Bucket: bucket }));
      return {
        rules: found.Rules.map(({ BucketKeyEnabled, ApplyServerSideEncryptionByDefault: { SSEAlgorithm, KMSMasterKeyID } }) => ({
          bucketKeyEnabled: BucketKeyEnabled ?? false,
          applyServerSideEncryptionByDefault: { sseAlgorithm: SSEAlgorithm, kmsMasterKeyId: KMSMasterKeyID },
        })),
      };
    },
    (bucket) => s3.send(new s3Api.DeleteBucketEncryptionCommand({ Bucket: bucket })),
  ),
  'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock': setting(
    ['blockPublicAcls', 'blockPublicPolicy', 'ignorePublicAcls', 'restrictPublicBuckets'],
    ({ bucket, ...blocked }) =>
      s3.send(new s3Api.PutPublicAccessBlockCommand({ Bucket: bucket, PublicAccessBlockConfiguration: capitals(blocked) })),
    async (bucket) => {
      const found = await s3.send(new s3Api.GetPublicAccessBlockCommand({ Bucket: bucket }));
      return smalls(found.PublicAccessBlockConfiguration);
    },
    (bucket) => s3.send(new s3Api.DeletePublicAccessBlockCommand({ Bucket: bucket })),
  ),
  'aws:s3/bucketPolicy:BucketPolicy': setting(
    ['policy'],
    ({ bucket, policy }) => s3.send(new s3Api.PutBucketPolicyCommand({ Bucket: bucket, Policy: policy })),
    async (bucket) => ({ policy: compact((await s3.send(new s3Api.GetBucketPolicyCommand({ Bucket: bucket }))).Policy) }),
    (bucket) => s3.send(new s3Api.DeleteBucketPolicyCommand({ Bucket: bucket })),
  ),
  'aws:iam/openIdConnectProvider:OpenIdConnectProvider': {
    inputs: ['url', 'clientIdLists'],
    replacing: ['url', 'clientIdLists'],
    create: async (given) => {
      const made = await iam.send(new iamApi.CreateOpenIDConnectProviderCommand({ Url: given.url, ClientIDList: given.clientIdLists }));
      return { id: made.OpenIDConnectProviderArn, state: { ...given, arn: made.OpenIDConnectProviderArn } };
    },
    read: async (id, known) => {
      const found = await iam.send(new iamApi.GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: id }));
      return { ...known, clientIdLists: found.ClientIDList, arn: id };
    },
    remove: (id) => iam.send(new iamApi.DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: id })),
  },
  'aws:iam/role:Role': {
    inputs: ['name', 'assumeRolePolicy', 'maxSessionDuration'],
    replacing: ['name'],
    create: async (given) => {
      const { Role: role } = await iam.send(new iamApi.CreateRoleCommand({
        RoleName: given.name, AssumeRolePolicyDocument: given.assumeRolePolicy, MaxSessionDuration: given.maxSessionDuration,
      }));
      return { id: given.name, state: { ...given, arn: role.Arn } };
    },
    read: async (id, known) => {
      const { Role: role } = await iam.send(new iamApi.GetRoleCommand({ RoleName: id }));
      return {
        ...known, name: id, arn: role.Arn, assumeRolePolicy: decoded(role.AssumeRolePolicyDocument), maxSessionDuration: role.MaxSessionDuration,
      };
    },
    update: async (id, given) => {
      await iam.send(new iamApi.UpdateAssumeRolePolicyCommand({ RoleName: id, PolicyDocument: given.assumeRolePolicy }));
      await iam.send(new iamApi.UpdateRoleCommand({ RoleName: id, MaxSessionDuration: given.maxSessionDuration }));
      const { Role: role } = await iam.send(new iamApi.GetRoleCommand({ RoleName: id }));
      return { ...given, arn: role.Arn };
    },
    remove: (id) => iam.send(new iamApi.DeleteRoleCommand({ RoleName: id })),
  },
  'aws:iam/rolePolicy:RolePolicy': {
    inputs: ['role', 'policy'],
    replacing: ['role'],
    create: async (given, resource) => {
      await iam.send(new iamApi.PutRolePolicyCommand({ RoleName: given.role, PolicyName: resource, PolicyDocument: given.policy }));
      return { id: `${given.role}:${resource}`, state: given };
    },
    read: async (id) => {
      const [RoleName, PolicyName] = id.split(':');
      const found = await iam.send(new iamApi.GetRolePolicyCommand({ RoleName, PolicyName }));
      return { role: RoleName, policy: decoded(found.PolicyDocument) };
    },
    update: async (id, given) => {
      const [RoleName, PolicyName] = id.split(':');
      await iam.send(new iamApi.PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument: given.policy }));
      return given;
    },
    remove: (id) => {
      const [RoleName, PolicyName] = id.split(':');
      return iam.send(new iamApi.DeleteRolePolicyCommand({ RoleName, PolicyName }));
    },
  },
};

/** The resource's type, which is the last of its parents' and its own, and its name. */
function of(urn) {
  const [, , types, name] = urn.split('::');
  const type = types.split('$').pop();
  if (!TYPES[type]) throw new Error(`the stand-in for Pulumi's AWS plugin has no type \`${type}\`: add it to infra/local/pulumi-aws/provider.cjs`);
  return { ...TYPES[type], type, name };
}

const known = (type, properties) => Object.fromEntries(type.inputs.filter((name) => name in properties).map((name) => [name, properties[name]]));

/** A value whose objects have their keys in one order. */
function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, ordered(value[name])]));
}
const same = (one, other) => JSON.stringify(ordered(one)) === JSON.stringify(ordered(other));

const isGone = (error) => error.$metadata?.httpStatusCode === 404 || /^(NotFound|NoSuch)/.test(error.name);

main({
  version: VERSION,
  check: async (urn, _, news) => {
    const type = of(urn);
    const others = Object.keys(news).filter((name) => !type.inputs.includes(name) && !name.startsWith('__'));
    const reason = `the stand-in for Pulumi's AWS plugin does not know it of \`${type.type}\``;
    return { inputs: news, failures: others.map((property) => ({ property, reason })) };
  },
  diff: async (id, urn, olds, news) => {
    const type = of(urn);
    const changed = type.inputs.filter((name) => !same(olds[name], news[name]));
    return { changes: changed.length > 0, replaces: changed.filter((name) => type.replacing.includes(name)), deleteBeforeReplace: true };
  },
  create: async (urn, inputs) => {
    const type = of(urn);
    const { id, state } = await type.create(known(type, inputs), type.name);
    return { id, outs: state };
  },
  read: async (id, urn, properties = {}) => {
    const type = of(urn);
    try {
      const props = await type.read(id, known(type, properties));
      return props ? { id, props, inputs: known(type, props) } : {};
    } catch (error) {
      if (isGone(error)) return {};
      throw error;
    }
  },
  update: async (id, urn, _, news) => {
    const type = of(urn);
    return { outs: await type.update(id, known(type, news)) };
  },
  delete: async (id, urn, state) => {
    try {
      await of(urn).remove(id, state);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  },
}, process.argv.slice(2));
