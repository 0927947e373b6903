// What teams build with CDK, a shape at a time, each as an assembly without `env` and as one of dev: `make_cdk_shapes.py`
// synthesises them and says which of them the gatekeeper takes.
//
// usage: node shapes.js OUT    writes OUT/{shape}{,-of-dev}/, and OUT/shapes.json with what each is called
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const cdk = require('aws-cdk-lib')
const {
  aws_apigateway: apigateway, aws_apigatewayv2: http, aws_apigatewayv2_authorizers: authorizers,
  aws_apigatewayv2_integrations: integrations, aws_appsync: appsync, aws_certificatemanager: acm, aws_cloudfront: cloudfront,
  aws_cloudfront_origins: origins, aws_cloudwatch: cloudwatch, aws_codedeploy: codedeploy, aws_cognito: cognito,
  aws_dynamodb: dynamodb, aws_ec2: ec2, aws_ecs: ecs, aws_efs: efs, aws_events: events, aws_events_targets: targets,
  aws_iam: iam, aws_kinesis: kinesis, aws_kms: kms, aws_lambda: lambda, aws_lambda_destinations: destinations,
  aws_lambda_event_sources: sources, aws_lambda_nodejs: nodejs, aws_logs: logs, aws_logs_destinations: logDestinations,
  aws_pipes: pipes, aws_rds: rds, aws_route53: route53, aws_s3: s3, aws_s3_assets: assets, aws_s3_deployment: deployment,
  aws_s3_notifications: notifications, aws_scheduler: scheduler, aws_scheduler_targets: schedules,
  aws_secretsmanager: secrets, aws_signer: signer, aws_sns: sns, aws_sns_subscriptions: subscriptions, aws_sqs: sqs,
  aws_ssm: ssm, aws_stepfunctions: sfn, aws_stepfunctions_tasks: tasks, aws_wafv2: waf, cloudformation_include: include,
  custom_resources: providers, pipelines, triggers,
} = cdk

const HERE = { account: '111122223333', region: 'ap-southeast-2' }
const DIGEST = `sha256:${'0f'.repeat(32)}`
const files = {
  'src/fn/index.js': 'exports.handler = async () => ({ statusCode: 200 })\n',
  'src/entry.ts': 'export const handler = async (): Promise<{ statusCode: number }> => ({ statusCode: 200 })\n',
  'src/package-lock.json': '{"lockfileVersion": 3, "packages": {}}\n',
  'src/layer/nodejs/node_modules/x/index.js': 'module.exports = 1\n',
  'src/site/index.html': '<h1>hello</h1>\n',
  'src/schema.graphql': 'type Query { get: String }\n',
  'src/resolver.js': 'export function request() { return {} }\nexport function response(ctx) { return ctx.result }\n',
  'src/machine.asl.json': '{"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}}\n',
  'src/image/Dockerfile': 'FROM public.ecr.aws/lambda/nodejs:22\n',
  'src/api.json': JSON.stringify({
    openapi: '3.0.1', info: { title: 'api', version: '1' },
    paths: { '/': { get: { responses: { 200: { description: 'ok' } }, 'x-amazon-apigateway-integration': { type: 'mock' } } } },
  }),
  'src/included.json': JSON.stringify({ Resources: { Queue: { Type: 'AWS::SQS::Queue' } } }),
  'src/sam.json': JSON.stringify({
    Transform: 'AWS::Serverless-2016-10-31',
    Resources: { Table: { Type: 'AWS::Serverless::SimpleTable' } },
  }),
}
// What Lambda wants of a Java program.
const JAR = 'src/app.jar'

const fn = (scope, id = 'Fn', more = {}) => new lambda.Function(scope, id, {
  runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'), ...more,
})
const integration = (scope, id = 'Fn') => new integrations.HttpLambdaIntegration(`${id}Integration`, fn(scope, id))
const table = (scope, more = {}) => new dynamodb.Table(scope, 'Table', {
  partitionKey: { name: 'id', type: dynamodb.AttributeType.STRING }, ...more,
})
const vpc = (scope, more = {}) => new ec2.Vpc(scope, 'Vpc', { maxAzs: 2, natGateways: 0, ...more })
const visibility = { cloudWatchMetricsEnabled: true, metricName: 'm', sampledRequestsEnabled: true }

// Each is made in one stack, but for those that take the app.
const shapes = {
  'NodejsFunction': s => new nodejs.NodejsFunction(s, 'Fn', {
    entry: 'src/entry.ts', depsLockFilePath: 'src/package-lock.json', runtime: lambda.Runtime.NODEJS_22_X,
    bundling: { sourceMap: true, minify: true },
  }),
  'Function of a folder, with a role': s => fn(s),
  'Function of a ZIP': s => fn(s, 'Fn', { code: lambda.Code.fromAsset('src/fn.zip') }),
  'Function of a JAR, with SnapStart': s => fn(s, 'Fn', {
    code: lambda.Code.fromAsset(JAR), runtime: lambda.Runtime.JAVA_21, handler: 'com.example.Handler',
    snapStart: lambda.SnapStartConf.ON_PUBLISHED_VERSIONS,
  }).currentVersion,
  'Function with inline code': s => fn(s, 'Fn', { code: lambda.Code.fromInline('exports.handler = async () => 1') }),
  'SingletonFunction': s => new lambda.SingletonFunction(s, 'Fn', {
    uuid: 'f7d4f730', runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'),
  }),
  'alias, version, provisioned concurrency': s => fn(s).addAlias('live', { provisionedConcurrentExecutions: 1 })
    .addAutoScaling({ maxCapacity: 3 }).scaleOnUtilization({ utilizationTarget: 0.5 }),
  'function URL': s => fn(s).addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM, cors: { allowedOrigins: ['*'] } }),
  'code signing': s => fn(s, 'Fn', { codeSigningConfig: new lambda.CodeSigningConfig(s, 'Signing', {
    signingProfiles: [new signer.SigningProfile(s, 'Profile', { platform: signer.Platform.AWS_LAMBDA_SHA384_ECDSA })],
  }) }),
  'dead letters, destinations': s => fn(s, 'Fn', {
    deadLetterQueueEnabled: true, onFailure: new destinations.SqsDestination(new sqs.Queue(s, 'Failed')),
    onSuccess: new destinations.EventBridgeDestination(),
  }),
  'layer of its own': s => fn(s, 'Fn', { layers: [new lambda.LayerVersion(s, 'Layer', { code: lambda.Code.fromAsset('src/layer') })] }),
  'layer of another stack': (s, { stack }) => {
    const layer = new lambda.LayerVersion(stack('Shared'), 'Layer', { code: lambda.Code.fromAsset('src/layer') })
    fn(s, 'Fn', { layers: [layer] })
  },
  'layer of AWS (Insights, ADOT, parameters and secrets)': s => fn(s, 'Fn', {
    insightsVersion: lambda.LambdaInsightsVersion.VERSION_1_0_333_0,
    paramsAndSecrets: lambda.ParamsAndSecretsLayerVersion.fromVersion(lambda.ParamsAndSecretsVersions.V1_0_103),
    adotInstrumentation: {
      layerVersion: lambda.AdotLayerVersion.fromJavaScriptSdkLayerVersion(lambda.AdotLambdaLayerJavaScriptSdkVersion.LATEST),
      execWrapper: lambda.AdotLambdaExecWrapper.REGULAR_HANDLER,
    },
  }),
  'log group, subscription, metric filter': s => {
    const group = new logs.LogGroup(s, 'Logs', { retention: 7 })
    fn(s, 'Fn', { logGroup: group, loggingFormat: lambda.LoggingFormat.JSON })
    group.addSubscriptionFilter('Sub', {
      destination: new logDestinations.LambdaDestination(fn(s, 'Reader')), filterPattern: logs.FilterPattern.allEvents(),
    })
    group.addMetricFilter('Errors', { metricNamespace: 'n', metricName: 'e', filterPattern: logs.FilterPattern.allTerms('ERROR') })
  },
  'LogRetention': s => fn(s, 'Fn', { logRetention: logs.RetentionDays.ONE_WEEK }),
  'Trigger': s => new triggers.TriggerFunction(s, 'Trigger', {
    runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset('src/fn'),
  }),
  'CodeDeploy': s => new codedeploy.LambdaDeploymentGroup(s, 'Group', {
    alias: fn(s).addAlias('live'), deploymentConfig: codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_5MINUTES,
    alarms: [new cloudwatch.Alarm(s, 'Alarm', {
      metric: new cloudwatch.Metric({ namespace: 'n', metricName: 'm' }), threshold: 1, evaluationPeriods: 1 })],
  }),
  'HttpApi with CORS and a JWT authorizer': s => new http.HttpApi(s, 'Api', {
    corsPreflight: { allowOrigins: ['https://bank.example'] }, defaultIntegration: integration(s),
    defaultAuthorizer: new authorizers.HttpJwtAuthorizer('Jwt', 'https://login.bank.example', { jwtAudience: ['api'] }),
  }),
  'HttpApi with a Lambda authorizer': s => new http.HttpApi(s, 'Api', {
    defaultIntegration: integration(s), defaultAuthorizer: new authorizers.HttpLambdaAuthorizer('Auth', fn(s, 'AuthFn')),
  }),
  'WebSocketApi': s => new http.WebSocketStage(s, 'Stage', {
    webSocketApi: new http.WebSocketApi(s, 'Api', {
      connectRouteOptions: { integration: new integrations.WebSocketLambdaIntegration('Connect', fn(s)) } }),
    stageName: 'live', autoDeploy: true,
  }),
  'RestApi with keys, models, an authorizer and CORS': s => {
    const api = new apigateway.RestApi(s, 'Api', { cloudWatchRole: true, deployOptions: { tracingEnabled: true } })
    const authorizer = new apigateway.TokenAuthorizer(s, 'Auth', { handler: fn(s, 'AuthFn') })
    const accounts = api.root.addResource('accounts', { defaultCorsPreflightOptions: { allowOrigins: ['*'] } })
    const model = api.addModel('Model', { schema: { type: apigateway.JsonSchemaType.OBJECT } })
    accounts.addMethod('POST', new apigateway.LambdaIntegration(fn(s)), {
      authorizer, requestModels: { 'application/json': model }, apiKeyRequired: true,
    })
    api.addUsagePlan('Plan', { apiStages: [{ stage: api.deploymentStage }] }).addApiKey(api.addApiKey('Key'))
  },
  'LambdaRestApi with its own domain': s => new apigateway.LambdaRestApi(s, 'Api', {
    handler: fn(s), domainName: { domainName: 'api.bank.example', certificate: new acm.Certificate(s, 'Certificate', {
      domainName: 'api.bank.example', validation: acm.CertificateValidation.fromDns(new route53.PublicHostedZone(s, 'Zone', {
        zoneName: 'bank.example' })) }) },
  }),
  'SpecRestApi.fromAsset': s => new apigateway.SpecRestApi(s, 'Api', { apiDefinition: apigateway.ApiDefinition.fromAsset('src/api.json') }),
  'SpecRestApi.fromInline': s => new apigateway.SpecRestApi(s, 'Api', {
    apiDefinition: apigateway.ApiDefinition.fromInline(JSON.parse(files['src/api.json'])) }),
  'AppSync with resolvers in JavaScript': s => {
    const api = new appsync.GraphqlApi(s, 'Api', { name: 'api', definition: appsync.Definition.fromFile('src/schema.graphql') })
    api.addDynamoDbDataSource('Source', table(s)).createResolver('Get', {
      typeName: 'Query', fieldName: 'get', runtime: appsync.FunctionRuntime.JS_1_0_0, code: appsync.Code.fromAsset('src/resolver.js') })
    api.addLambdaDataSource('Fn', fn(s))
  },
  'WAF before an API': s => {
    const api = new apigateway.LambdaRestApi(s, 'Api', { handler: fn(s) })
    const managedRuleGroupStatement = { name: 'AWSManagedRulesCommonRuleSet', vendorName: 'AWS' }
    const acl = new waf.CfnWebACL(s, 'Acl', {
      defaultAction: { allow: {} }, scope: 'REGIONAL', visibilityConfig: visibility,
      rules: [{ name: 'common', priority: 0, overrideAction: { none: {} }, statement: { managedRuleGroupStatement }, visibilityConfig: visibility }],
    })
    new waf.CfnWebACLAssociation(s, 'Association', { resourceArn: api.deploymentStage.stageArn, webAclArn: acl.attrArn })
  },
  'Cognito with triggers and a domain': s => {
    const pool = new cognito.UserPool(s, 'Pool', { lambdaTriggers: { preSignUp: fn(s), customMessage: fn(s, 'Message') } })
    pool.addClient('Client', { oAuth: { flows: { authorizationCodeGrant: true }, callbackUrls: ['https://bank.example'] } })
    pool.addDomain('Domain', { cognitoDomain: { domainPrefix: 'bank-login' } })
    new cognito.UserPoolResourceServer(s, 'Server', { identifier: 'api', userPool: pool })
  },
  'UserPoolDomain for CloudFront': s => new cdk.CfnOutput(s, 'Host', {
    value: new cognito.UserPool(s, 'Pool').addDomain('Domain', { cognitoDomain: { domainPrefix: 'bank' } }).cloudFrontDomainName }),
  'Schedule (a rule)': s => new events.Rule(s, 'Rule', {
    schedule: events.Schedule.rate(cdk.Duration.minutes(5)), targets: [new targets.LambdaFunction(fn(s), { retryAttempts: 2 })] }),
  'Schedule (the scheduler)': s => new scheduler.Schedule(s, 'Schedule', {
    schedule: scheduler.ScheduleExpression.cron({ hour: '6', timeZone: cdk.TimeZone.AUSTRALIA_SYDNEY }),
    target: new schedules.LambdaInvoke(fn(s), { input: scheduler.ScheduleTargetInput.fromText('go') }) }),
  'EventBridge: bus, archive, rules': s => {
    const bus = new events.EventBus(s, 'Bus')
    bus.archive('Archive', { eventPattern: { source: ['bank'] } })
    new events.Rule(s, 'Rule', { eventBus: bus, eventPattern: { source: ['bank'], detail: { amount: events.Match.greaterThan(1) } } })
      .addTarget(new targets.SqsQueue(new sqs.Queue(s, 'Queue')))
  },
  'SNS and SQS': s => {
    const queue = new sqs.Queue(s, 'Queue', { encryption: sqs.QueueEncryption.KMS, deadLetterQueue: { queue: new sqs.Queue(s, 'Dead'), maxReceiveCount: 3 } })
    const topic = new sns.Topic(s, 'Topic', { enforceSSL: true })
    topic.addSubscription(new subscriptions.SqsSubscription(queue))
    topic.addSubscription(new subscriptions.LambdaSubscription(fn(s, 'Fn', {
      events: [new sources.SqsEventSource(queue, { reportBatchItemFailures: true, maxConcurrency: 5 })] })))
  },
  'S3 notifications': s => new s3.Bucket(s, 'Bucket', { eventBridgeEnabled: true })
    .addEventNotification(s3.EventType.OBJECT_CREATED, new notifications.LambdaDestination(fn(s))),
  'bucket that empties itself': s => new s3.Bucket(s, 'Bucket', { autoDeleteObjects: true, removalPolicy: cdk.RemovalPolicy.DESTROY }),
  'DynamoDB with a stream': s => fn(s, 'Fn', { events: [new sources.DynamoEventSource(
    table(s, { stream: dynamodb.StreamViewType.NEW_IMAGE, pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true } }),
    { startingPosition: lambda.StartingPosition.LATEST, onFailure: new sources.SqsDlq(new sqs.Queue(s, 'Dead')) })] }),
  'TableV2': s => new dynamodb.TableV2(s, 'Table', {
    partitionKey: { name: 'id', type: dynamodb.AttributeType.STRING }, encryption: dynamodb.TableEncryptionV2.awsManagedKey() }),
  'Kinesis': s => fn(s, 'Fn', { events: [new sources.KinesisEventSource(new kinesis.Stream(s, 'Stream'), {
    startingPosition: lambda.StartingPosition.LATEST, bisectBatchOnError: true })] }),
  'EventBridge Pipes': s => {
    const role = new iam.Role(s, 'Role', { assumedBy: new iam.ServicePrincipal('pipes.amazonaws.com') })
    new pipes.CfnPipe(s, 'Pipe', { roleArn: role.roleArn, source: new sqs.Queue(s, 'From').queueArn, target: fn(s).functionArn })
  },
  'VPC with a restricted default group': s => vpc(s, { restrictDefaultSecurityGroup: true, flowLogs: { all: {} } }),
  'function in a VPC': s => {
    const network = vpc(s)
    network.addInterfaceEndpoint('Secrets', { service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER })
    fn(s, 'Fn', { vpc: network, vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED } })
  },
  'Aurora with a proxy': s => {
    const network = vpc(s)
    const cluster = new rds.DatabaseCluster(s, 'Cluster', {
      engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_4 }), vpc: network,
      writer: rds.ClusterInstance.serverlessV2('Writer'), vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      storageEncrypted: true })
    cluster.addProxy('Proxy', { secrets: [cluster.secret], vpc: network })
    cluster.connections.allowDefaultPortFrom(fn(s, 'Fn', { vpc: network, vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED } }))
  },
  'secret with a rotation of its own': s => new secrets.Secret(s, 'Secret').addRotationSchedule('Rotation', { rotationLambda: fn(s) }),
  'KMS, parameters': s => {
    const key = new kms.Key(s, 'Key', { enableKeyRotation: true, alias: 'bank' })
    new ssm.StringParameter(s, 'Parameter', { parameterName: '/bank/limit', stringValue: '100' })
    fn(s, 'Fn', { environmentEncryption: key, environment: { LIMIT: ssm.StringParameter.valueForStringParameter(s, '/bank/limit') } })
  },
  'StateMachine.fromFile': s => new sfn.StateMachine(s, 'Machine', { definitionBody: sfn.DefinitionBody.fromFile('src/machine.asl.json') }),
  'express state machine in code': s => new sfn.StateMachine(s, 'Machine', {
    stateMachineType: sfn.StateMachineType.EXPRESS, logs: { destination: new logs.LogGroup(s, 'Logs'), level: sfn.LogLevel.ALL },
    definitionBody: sfn.DefinitionBody.fromChainable(new tasks.LambdaInvoke(s, 'Invoke', { lambdaFunction: fn(s) })
      .next(new sfn.Map(s, 'Map').itemProcessor(new sfn.Pass(s, 'Pass')))) }),
  'Provider framework': s => new cdk.CustomResource(s, 'Resource', { serviceToken: new providers.Provider(s, 'Provider', {
    onEventHandler: fn(s, 'OnEvent'), isCompleteHandler: fn(s, 'IsComplete') }).serviceToken }),
  'AwsCustomResource': s => new providers.AwsCustomResource(s, 'Resource', {
    onUpdate: { service: 'S3', action: 'listBuckets', physicalResourceId: providers.PhysicalResourceId.of('x') },
    installLatestAwsSdk: false, policy: providers.AwsCustomResourcePolicy.fromSdkCalls({ resources: ['*'] }) }),
  'AwsCustomResource that fetches the newest SDK': s => new providers.AwsCustomResource(s, 'Resource', {
    onUpdate: { service: 'S3', action: 'listBuckets', physicalResourceId: providers.PhysicalResourceId.of('x') },
    installLatestAwsSdk: true, policy: providers.AwsCustomResourcePolicy.fromSdkCalls({ resources: ['*'] }) }),
  'OpenIdConnectProvider': s => new iam.OpenIdConnectProvider(s, 'Provider', { url: 'https://token.actions.githubusercontent.com', clientIds: ['sts.amazonaws.com'] }),
  'BucketDeployment': s => new deployment.BucketDeployment(s, 'Deploy', {
    destinationBucket: new s3.Bucket(s, 'Site'), sources: [deployment.Source.asset('src/site'), deployment.Source.data('a.txt', 'a')] }),
  'site behind CloudFront, invalidated': s => {
    const bucket = new s3.Bucket(s, 'Site')
    const distribution = new cloudfront.Distribution(s, 'Distribution', { defaultBehavior: { origin: origins.S3BucketOrigin.withOriginAccessControl(bucket),
      functionAssociations: [{ eventType: cloudfront.FunctionEventType.VIEWER_REQUEST, function: new cloudfront.Function(s, 'Rewrite', {
        code: cloudfront.FunctionCode.fromInline('function handler(e) { return e.request }') }) }] } })
    new deployment.BucketDeployment(s, 'Deploy', { destinationBucket: bucket, distribution, sources: [deployment.Source.asset('src/site')] })
  },
  'file asset, told to a function': s => {
    const asset = new assets.Asset(s, 'Rules', { path: 'src/api.json' })
    asset.grantRead(fn(s, 'Fn', { environment: { RULES_BUCKET: asset.s3BucketName, RULES_KEY: asset.s3ObjectKey, RULES: asset.s3ObjectUrl } }))
  },
  'container task by digest': s => {
    const task = new ecs.FargateTaskDefinition(s, 'Task')
    task.addContainer('Main', { image: ecs.ContainerImage.fromRegistry(`public.ecr.aws/bank/batch@${DIGEST}`), logging: ecs.LogDrivers.awsLogs({ streamPrefix: 'x' }) })
    new ecs.FargateService(s, 'Service', { cluster: new ecs.Cluster(s, 'Cluster', { vpc: vpc(s) }), taskDefinition: task })
  },
  'container task of an image asset': s => new ecs.FargateTaskDefinition(s, 'Task')
    .addContainer('Main', { image: ecs.ContainerImage.fromAsset('src/image'), logging: ecs.LogDrivers.awsLogs({ streamPrefix: 'x' }) }),
  'dashboards and alarms': s => {
    const f = fn(s)
    new cloudwatch.Alarm(s, 'Alarm', { metric: f.metricErrors(), threshold: 1, evaluationPeriods: 1 })
    new cloudwatch.Dashboard(s, 'Dashboard', { widgets: [[new cloudwatch.GraphWidget({ left: [f.metricDuration()] })]] })
  },
  'CfnInclude': s => new include.CfnInclude(s, 'Included', { templateFile: 'src/included.json' }),
  'permissions boundary, tags, termination protection': (s, { stack }) => {
    const guarded = stack('Guarded', { permissionsBoundary: cdk.PermissionsBoundary.fromName('bank-boundary'), tags: { owner: 'payments' }, terminationProtection: true })
    fn(guarded)
    fn(s)
  },
  'stacks that import of each other': (s, { stack }) => {
    const data = table(stack('Data'))
    data.grantReadData(fn(s, 'Fn', { environment: { TABLE: data.tableName } }))
  },
  'stack parameters': s => fn(s, 'Fn', { environment: { LIMIT: new cdk.CfnParameter(s, 'Limit', { default: '100' }).valueAsString } }),
  'nested stacks': s => {
    const inner = new cdk.NestedStack(s, 'Inner')
    fn(inner)
    table(new cdk.NestedStack(inner, 'Deeper'))
  },
  'a Stage, by the folder of its assembly': (_, { app, env }) => {
    const stage = new cdk.Stage(app, 'Dev', { env })
    fn(new cdk.Stack(stage, 'Api'))
  },
  'CDK Pipelines, by the folder of a stage': (s, { env }) => {
    const stage = new cdk.Stage(s, 'Dev', { env })
    fn(new cdk.Stack(stage, 'Api'))
    new pipelines.CodePipeline(s, 'Pipeline', { synth: new pipelines.ShellStep('Synth', {
      input: pipelines.CodePipelineSource.s3(new s3.Bucket(s, 'Source'), 'source.zip'), commands: ['npx cdk synth'] }) }).addStage(stage)
  },
  'references across regions': (_, { app, env }) => {
    const [account, region] = [HERE.account, 'us-east-1']
    const far = new cdk.Stack(app, 'Edge', { env: { account, region }, crossRegionReferences: true })
    const near = new cdk.Stack(app, 'Near', { env: HERE, crossRegionReferences: true })
    const topic = new sns.Topic(far, 'Topic')
    fn(near, 'Fn', { environment: { TOPIC: topic.topicArn } })
  },
  'own qualifier': (_, { app, env }) => fn(new cdk.Stack(app, 'Own', { env, synthesizer: new cdk.DefaultStackSynthesizer({ qualifier: 'bank1' }) })),
  'own asset bucket of the account, with a prefix': (_, { app, env }) => fn(new cdk.Stack(app, 'Own', { env, synthesizer: new cdk.DefaultStackSynthesizer({
    fileAssetsBucketName: 'bank-assets-${AWS::AccountId}-${AWS::Region}', bucketPrefix: 'cdk/' }) })),
  'CliCredentialsStackSynthesizer': (_, { app, env }) => fn(new cdk.Stack(app, 'Own', { env, synthesizer: new cdk.CliCredentialsStackSynthesizer() })),
  'BootstraplessSynthesizer, no assets': (_, { app, env }) => table(new cdk.Stack(app, 'Own', { env, synthesizer: new cdk.BootstraplessSynthesizer() })),
  'container image function': s => new lambda.DockerImageFunction(s, 'Fn', { code: lambda.DockerImageCode.fromImageAsset('src/image') }),
  'mounted file system (EFS)': s => {
    const network = vpc(s)
    const system = new efs.FileSystem(s, 'Files', { vpc: network })
    fn(s, 'Fn', { vpc: network, vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      filesystem: lambda.FileSystem.fromEfsAccessPoint(system.addAccessPoint('Point'), '/mnt/files') })
  },
  'hosted rotation of a secret (a transform)': s => {
    const network = vpc(s)
    new secrets.Secret(s, 'Secret').addRotationSchedule('Rotation', { hostedRotation: secrets.HostedRotation.postgreSqlSingleUser({ vpc: network,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED } }) })
  },
  'CfnInclude of a SAM template (a transform)': s => new include.CfnInclude(s, 'Included', { templateFile: 'src/sam.json' }),
  'fixed bucket of code': s => fn(s, 'Fn', { code: lambda.Code.fromBucket(s3.Bucket.fromBucketName(s, 'Bucket', 'bank-code'), 'fn.zip') }),
  'legacy synthesizer': (_, { app, env }) => fn(new cdk.Stack(app, 'Own', { env, synthesizer: new cdk.LegacyStackSynthesizer() })),
}

/** Shapes that only make sense with `env`. */
const OF_DEV = ['references across regions']
/** Where the assembly lies that is collected, of a shape that has nested ones. */
const ASSEMBLY = { 'a Stage, by the folder of its assembly': 'assembly-Dev', 'CDK Pipelines, by the folder of a stage': 'assembly-Shape-Dev' }
/** What may be refused, and what to do then. */
const MAY_BE_REFUSED = {
  'AwsCustomResource that fetches the newest SDK': 'what is fetched at deploy time was never tested: `installLatestAwsSdk: false`',
  'CfnInclude of a SAM template (a transform)': 'a macro writes the template at deploy time: [collect the SAM app](../guides/sam-serverless.md)',
  'fixed bucket of code': 'one account has that bucket: `Code.fromAsset`',
  'hosted rotation of a secret (a transform)': 'a macro fetches the code at deploy time: give a `rotationLambda`',
  'legacy synthesizer': 'use the `DefaultStackSynthesizer`',
  'mounted file system (EFS)': 'what is mounted may be code: where it is data, name the property in the policy\'s `known_types`',
  'references across regions': 'a commit is of one account and region: collect an assembly of each, and hand over by parameters',
}
/** Shapes that make their stacks themselves. */
const OWN = /^(a Stage|references across|own |CliCredentials|Bootstrapless|legacy)/

function main([out]) {
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text)
  }
  const flags = require('aws-cdk-lib/recommended-feature-flags.json')
  const listed = []
  for (const [index, [title, make]] of Object.entries(shapes).entries()) {
    for (const [suffix, env] of [['', undefined], ['-of-dev', HERE]]) {
      if (OF_DEV.includes(title) && env === undefined) continue
      const folder = `${String(index + 1).padStart(2, '0')}${suffix}`
      const zones = { [`availability-zones:account=${HERE.account}:region=${HERE.region}`]: ['a', 'b', 'c'].map(it => HERE.region + it) }
      const context = process.env.CDK_FLAGS === 'none' ? zones : { ...flags, ...zones }
      const app = new cdk.App({ outdir: path.join(out, folder), context, analyticsReporting: false })
      const stack = (id, more = {}) => new cdk.Stack(app, id, { env, ...more })
      const made = OWN.test(title) ? undefined : stack('Shape')
      make(made, { app, env, stack })
      app.synth()
      listed.push({
        title, folder, of_dev: env !== undefined, assembly: ASSEMBLY[title] ?? '.', may_be_refused: MAY_BE_REFUSED[title] ?? null,
      })
    }
  }
  fs.writeFileSync(path.join(out, 'shapes.json'), JSON.stringify(listed, null, 1))
}

main(process.argv.slice(2))
