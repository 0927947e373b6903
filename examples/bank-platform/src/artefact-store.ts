import * as aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';

export interface ArtefactStoreArgs {
  stage: string;
}

/** The bucket that build artefacts are stored in (ADR-053 "Artefact storage"): encrypted with the platform's key, versioned, closed. */
export class ArtefactStore extends pulumi.ComponentResource {
  readonly bucket: aws.s3.Bucket;
  readonly key: aws.kms.Key;

  constructor(name: string, { stage }: ArtefactStoreArgs, options?: pulumi.ComponentResourceOptions) {
    super('bank:platform:ArtefactStore', name, {}, options);
    const of = { parent: this };
    this.key = new aws.kms.Key(name, { description: `artefacts, ${stage}`, enableKeyRotation: true, deletionWindowInDays: 30 }, of);
    this.bucket = new aws.s3.Bucket(name, { bucket: `${name}-${stage}`, forceDestroy: false }, { parent: this, protect: true });
    const bucket = this.bucket.id;
    new aws.s3.BucketVersioning(name, { bucket, versioningConfiguration: { status: 'Enabled' } }, of);
    new aws.s3.BucketServerSideEncryptionConfiguration(name, {
      bucket,
      rules: [{ bucketKeyEnabled: true, applyServerSideEncryptionByDefault: { sseAlgorithm: 'aws:kms', kmsMasterKeyId: this.key.arn } }],
    }, of);
    const closed = new aws.s3.BucketPublicAccessBlock(name, {
      bucket, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true,
    }, of);
    new aws.s3.BucketPolicy(name, { bucket, policy: this.bucket.arn.apply(onlyTls) }, { parent: this, dependsOn: [closed] });
    this.registerOutputs({ bucket: this.bucket.bucket, key: this.key.arn });
  }
}

/** The policy that refuses everything without TLS. */
export function onlyTls(bucketArn: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [{
      Sid: 'OnlyTls', Effect: 'Deny', Principal: '*', Action: 's3:*',
      Resource: [bucketArn, `${bucketArn}/*`], Condition: { Bool: { 'aws:SecureTransport': 'false' } },
    }],
  });
}
