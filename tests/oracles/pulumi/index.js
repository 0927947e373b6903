// Resources of each kind that a state tells of; what they are depends on the case.
const pulumi = require('@pulumi/pulumi');

const config = new pulumi.Config();
const shape = config.require('shape');
const after = shape !== 'first';

class Aws extends pulumi.CustomResource {
  constructor(type, name, properties, options) {
    super(`aws:${type}`, name, properties, { version: '7.48.0', ...options });
  }
}

class Store extends pulumi.ComponentResource {
  constructor(name) {
    super('bank:platform:Store', name);
    const of = { parent: this };
    new Aws('s3/bucket:Bucket', `${name}-artefacts`, { bucket: after ? 'artefacts-two' : 'artefacts-one' }, of);
    new Aws('kms/key:Key', `${name}-key`, { description: 'the key' }, { ...of, protect: true });
    new Aws('dynamodb/table:Table', `${name}-orders`, { tags: { stage: after ? 'two' : 'one' } }, { ...of, retainOnDelete: true });
  }
}

new Store('bank');
if (!after) new Aws('sqs/queue:Queue', 'gone', { delay: 1 });
if (!after) new Aws('dynamodb/table:Table', 'kept', { keys: 'id' }, { retainOnDelete: true });
if (after) new Aws('iam/role:Role', 'reader', { name: 'reader', password: config.requireSecret('password') });
if (shape === 'failing') new Aws('sns/topic:Topic', 'failing', { fails: true });
if (shape === 'hanging') new Aws('sns/topic:Topic', 'hanging', { hangs: true });
exports.password = config.requireSecret('password');
