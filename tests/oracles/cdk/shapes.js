// An assembly for each construct of CDK that takes more than functions' code from the asset bucket.
'use strict'
const fs = require('fs')
const { App, Stack, NestedStack, CustomResource } = require('aws-cdk-lib')
const lambda = require('aws-cdk-lib/aws-lambda')
const s3 = require('aws-cdk-lib/aws-s3')
const deployment = require('aws-cdk-lib/aws-s3-deployment')
const sfn = require('aws-cdk-lib/aws-stepfunctions')
const apigateway = require('aws-cdk-lib/aws-apigateway')
const logs = require('aws-cdk-lib/aws-logs')
const providers = require('aws-cdk-lib/custom-resources')
const sqs = require('aws-cdk-lib/aws-sqs')

for (const folder of ['src/fn', 'src/layer/nodejs/node_modules/x', 'src/site']) fs.mkdirSync(folder, { recursive: true })
fs.writeFileSync('src/fn/index.js', 'exports.handler = async () => ({ statusCode: 200 })\n')
fs.writeFileSync('src/layer/nodejs/node_modules/x/index.js', 'module.exports = 1\n')
fs.writeFileSync('src/site/index.html', '<h1>hello</h1>\n')
fs.writeFileSync('src/machine.asl.json', '{"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}}\n')
const integration = { type: 'mock' }
const get = { responses: { 200: { description: 'ok' } }, 'x-amazon-apigateway-integration': integration }
fs.writeFileSync('src/api.json', JSON.stringify({ openapi: '3.0.1', info: { title: 'api', version: '1' }, paths: { '/': { get } } }))

const fn = (scope, id, more) => new lambda.Function(scope, id, {
  runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'), ...more,
})

const shapes = {
  nested(stack) {
    const inner = new NestedStack(stack, 'Inner')
    new sqs.Queue(inner, 'Queue')
    fn(inner, 'Fn')
    fn(new NestedStack(inner, 'Deeper'), 'Fn')
  },
  layer(stack) {
    const layer = new lambda.LayerVersion(stack, 'Layer', { code: lambda.Code.fromAsset('src/layer') })
    fn(stack, 'Fn', { layers: [layer] })
  },
  site(stack) {
    const bucket = new s3.Bucket(stack, 'Site')
    const sources = [deployment.Source.asset('src/site'), deployment.Source.jsonData('config.json', { bucket: bucket.bucketName })]
    new deployment.BucketDeployment(stack, 'Deploy', { destinationBucket: bucket, sources })
  },
  machine(stack) {
    new sfn.StateMachine(stack, 'Machine', { definitionBody: sfn.DefinitionBody.fromFile('src/machine.asl.json') })
  },
  openapi(stack) {
    new apigateway.SpecRestApi(stack, 'Api', { apiDefinition: apigateway.ApiDefinition.fromAsset('src/api.json') })
  },
  retention(stack) {
    fn(stack, 'Fn', { logRetention: logs.RetentionDays.ONE_WEEK })
  },
  provider(stack) {
    const handlers = { onEventHandler: fn(stack, 'OnEvent'), isCompleteHandler: fn(stack, 'IsComplete') }
    const { serviceToken } = new providers.Provider(stack, 'Provider', handlers)
    new CustomResource(stack, 'Resource', { serviceToken })
  },
}

const here = { account: '111122223333', region: 'ap-southeast-2' }
for (const [name, make] of Object.entries(shapes)) {
  for (const [suffix, env] of [['', undefined], ['-of-dev', here]]) {
    const app = new App({ outdir: `out/${name}${suffix}` })
    make(new Stack(app, 'Shape', { env }))
    app.synth()
  }
}
