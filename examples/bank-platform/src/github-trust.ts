import * as aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';

const ISSUER = 'token.actions.githubusercontent.com';

export interface GitHubTrustArgs {
  owner: string;
  environment: string;
  repositories: string[];
  bucketArn: pulumi.Input<string>;
  keyArn: pulumi.Input<string>;
}

/** A role for each repository's pipeline, for GitHub's tokens of one environment: nobody has a key. */
export class GitHubTrust extends pulumi.ComponentResource {
  readonly roleArns: Record<string, pulumi.Output<string>> = {};

  constructor(name: string, args: GitHubTrustArgs, options?: pulumi.ComponentResourceOptions) {
    super('bank:platform:GitHubTrust', name, {}, options);
    const of = { parent: this };
    const provider = new aws.iam.OpenIdConnectProvider(name, { url: `https://${ISSUER}`, clientIdLists: ['sts.amazonaws.com'] }, of);
    for (const repository of new Set(args.repositories)) {
      const subject = subjectOf(args.owner, repository, args.environment);
      const role = new aws.iam.Role(`${name}-${repository}`, {
        name: `${repository}-${args.environment}-ci`,
        assumeRolePolicy: provider.arn.apply((arn) => trusting(arn, subject)),
        maxSessionDuration: 3600,
      }, of);
      new aws.iam.RolePolicy(`${name}-${repository}`, {
        role: role.id,
        policy: pulumi.all([args.bucketArn, args.keyArn]).apply(([bucket, key]) => uploading(bucket, key, repository)),
      }, of);
      this.roleArns[repository] = role.arn;
    }
    this.registerOutputs({ roleArns: this.roleArns });
  }
}

/** What GitHub calls a job of this repository in this environment. */
export function subjectOf(owner: string, repository: string, environment: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(repository)) throw new Error(`\`${repository}\` is no repository's name: a wildcard would trust others too`);
  return `repo:${owner}/${repository}:environment:${environment}`;
}

/** Who may be the role: exactly this subject. */
export function trusting(providerArn: string, subject: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [{
      Effect: 'Allow', Principal: { Federated: providerArn }, Action: 'sts:AssumeRoleWithWebIdentity',
      Condition: { StringEquals: { [`${ISSUER}:aud`]: 'sts.amazonaws.com', [`${ISSUER}:sub`]: subject } },
    }],
  });
}

/** What it may do: upload below its repository's own prefix. */
export function uploading(bucketArn: string, keyArn: string, repository: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['s3:PutObject', 's3:GetObject'], Resource: `${bucketArn}/${repository}/*` },
      { Effect: 'Allow', Action: ['kms:GenerateDataKey', 'kms:Decrypt'], Resource: keyArn },
    ],
  });
}
