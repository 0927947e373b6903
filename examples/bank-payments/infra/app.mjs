import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { App, CfnOutput, CfnParameter, DefaultStackSynthesizer, Duration, Fn, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Code, Function as LambdaFn, FunctionUrlAuthType, Runtime } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';

/** What is built: modules, their stack, the function behind each construct, and the database whose migrations they bring. */
export const MODULES = [
  { id: 'MOD-012', stack: 'payments-api', functions: { 'authorise-payment': 'AuthorisePaymentFn', 'payment-status': 'PaymentStatusFn' } },
  {
    id: 'MOD-013', stack: 'payments-events', functions: { 'post-ledger-entry': 'PostLedgerEntryFn', 'reconcile-ledger': 'ReconcileLedgerFn' },
    database: 'payments',
  },
];

// CDK's own look at the templates only warns, and takes longer than everything else here; the gate judges them.
process.env.CDK_VALIDATION = 'false';

/** What `cdk synth` sets beside the app, so that the templates are those that the CLI would write. */
const CLI_CONTEXT = {
  'aws:cdk:enable-path-metadata': true,
  'aws:cdk:enable-asset-metadata': true,
  'aws:cdk:version-reporting': true,
};

/**
 * Synthesises both stacks, for no account and region in particular, into `outdir`.
 * Answers by stack the template's bytes and the logical id behind each construct. `zipOf(name)` is the path of a built ZIP.
 */
export async function synthesise(outdir, zipOf) {
  const app = new App({ outdir, context: CLI_CONTEXT });
  const stacks = [paymentsApi(app, zipOf), paymentsEvents(app)];
  app.synth();
  return Object.fromEntries(await Promise.all(stacks.map(async (stack) => [stack.stackName, {
    template: await readFile(join(outdir, stack.templateFile)),
    logicalId: (construct) => stack.getLogicalId(stack.node.findChild(construct).node.defaultChild),
  }])));
}

/** The stock way: assets in the account's CDK bucket, by `DefaultStackSynthesizer`. */
function paymentsApi(app, zipOf) {
  const stack = new Stack(app, 'payments-api', { description: 'authorises payments and tells their status' });
  const define = functions(stack);
  const authorise = define('AuthorisePaymentFn', Code.fromAsset(zipOf('authorise-payment')));
  const status = define('PaymentStatusFn', Code.fromAsset(zipOf('payment-status')));
  new CfnOutput(stack, 'ApiUrl', { value: authorise.addFunctionUrl({ authType: FunctionUrlAuthType.NONE }).url });
  new CfnOutput(stack, 'StatusUrl', { value: status.addFunctionUrl({ authType: FunctionUrlAuthType.NONE }).url });
  return stack;
}

/** Code straight from the artefact store, by parameters; needs no bootstrapped account. */
function paymentsEvents(app) {
  const stack = new Stack(app, 'payments-events', {
    description: 'posts payments to the ledger',
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
  });
  const define = functions(stack);
  const bucket = Bucket.fromBucketName(stack, 'Artefacts', text(stack, 'ArtefactBucket', 'bucket of the artefact store'));
  const prefix = text(stack, 'ArtefactPrefix', 'where the module lies in it: `{repo}/{commit}/modules/{module}`');
  const stored = (name) => Code.fromBucket(bucket, Fn.join('/', [prefix, 'functions', `${name}.zip`]));
  const post = define('PostLedgerEntryFn', stored('post-ledger-entry'));
  const reconcile = define('ReconcileLedgerFn', stored('reconcile-ledger'));
  new Rule(stack, 'PaymentAuthorised', {
    // stages can share an account, and so a bus
    eventPattern: { source: ['bank.payments'], detailType: ['payment.authorised'], detail: { stage: [stage(stack)] } },
    targets: [new LambdaFunction(post, { maxEventAge: Duration.hours(2), retryAttempts: 3 })],
  });
  new CfnOutput(stack, 'PostLedgerEntryFunction', { value: post.functionName });
  new CfnOutput(stack, 'ReconcileLedgerFunction', { value: reconcile.functionName });
  return stack;
}

/** Declares the parameters that every stage passes; answers how a function of the stack is made, unnamed so that stages can share an account. */
function functions(stack) {
  const environment = {
    STAGE: text(stack, 'Stage', 'stage that this is deployed to'),
    COMMIT_SHA: text(stack, 'CommitSha', 'commit that this was built from'),
    LOG_LEVEL: new CfnParameter(stack, 'LogLevel', { default: 'info', allowedValues: ['debug', 'info', 'warn', 'error'] }).valueAsString,
  };
  return (id, code) => new LambdaFn(stack, id, {
    runtime: Runtime.NODEJS_22_X, handler: 'index.handler', code, environment, memorySize: 256, timeout: Duration.seconds(10),
  });
}

function text(stack, id, description) {
  return new CfnParameter(stack, id, { description }).valueAsString;
}

function stage(stack) {
  return stack.node.findChild('Stage').valueAsString;
}
