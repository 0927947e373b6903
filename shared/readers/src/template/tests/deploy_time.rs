//! What must not be fetched or generated at deploy time.

use super::*;

#[test]
fn macros_are_refused_at_the_top_and_anywhere() {
    let mut it = template(
        json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Fn::Transform": {"Name": "AWS::Include"}}}}),
    );
    it["Transform"] = json!(["AWS::Serverless-2016-10-31", "AWS::LanguageExtensions"]);
    it["Mappings"] = json!({"Fn::Transform": {"Name": "Ours", "Parameters": {}}});
    insta::assert_debug_snapshot!(check(&it), @r#"
    [
        "template-not-self-contained: `Transform` lets the macro `AWS::Serverless-2016-10-31` write the template at deploy time: store the processed template",
        "template-not-self-contained: `Transform` lets the macro `AWS::LanguageExtensions` write the template at deploy time: store the processed template",
        "template-not-self-contained: `Mappings` is written at deploy time by `Fn::Transform` with the macro `Ours`",
        "template-not-self-contained: `Resources.Queue.Properties` is written at deploy time by `Fn::Transform` with the macro `AWS::Include`",
    ]
    "#);
}

#[test]
fn what_generates_resources_is_refused() {
    let of = |r#type: &str| {
        let is_custom = r#type.starts_with("Custom::");
        let properties = if is_custom { json!({"ServiceToken": {"Ref": "Table"}}) } else { json!({}) };
        check_resource(json!({"Type": r#type, "Properties": properties}))
    };
    for refused in [
        "AWS::CloudFormation::Macro",
        "AWS::CloudFormation::StackSet",
        "AWS::Serverless::Function",
        "Bank::Payments::Ledger::MODULE",
    ] {
        let said = of(refused);
        assert!(said.len() == 1 && said[0].starts_with("template-not-self-contained"), "{said:?}");
    }
    for fine in ["AWS::CloudFormation::WaitConditionHandle", "AWS::CDK::Metadata", "Custom::Ledger"] {
        assert_eq!(of(fine), [""; 0]);
    }
}

#[test]
fn a_nested_stack_takes_its_template_from_the_store_only() {
    let nested = |url: &str| {
        check_resource(json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": {"Fn::Sub": url}}}))
    };
    for stored in [
        "https://${ArtefactBucket}.s3.ap-southeast-2.amazonaws.com/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://${ArtefactBucket}.s3.${AWS::Region}.${AWS::URLSuffix}/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://${ArtefactBucket}.s3.amazonaws.com/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://s3.ap-southeast-2.amazonaws.com/${ArtefactBucket}/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://s3.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json",
    ] {
        assert_eq!(nested(stored), [""; 0], "{stored}");
    }
    for outside in [
        "https://s3.evil.example/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json",
        "https://s3.evil.example/.amazonaws.com/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json",
        "http://s3.amazonaws.com/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json",
        "https://s3.amazonaws.com/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json?versionId=1",
        "https://s3.amazonaws.com/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/../0f.json",
        "https://cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}.s3.evil.example/0f.json",
        "https://s3.amazonaws.com/other/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/0f.json",
        "https://${ArtefactBucket}.s3.evil.example/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://evil.example/${ArtefactBucket}/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://s3.evil.example/x.amazonaws.com/${ArtefactBucket}/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://${ArtefactBucket}.s3.evil.example/.amazonaws.com/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://${ArtefactBucket}.s3.amazonaws.com/${ArtefactPrefix}/cloudformation/../functions/x.json",
        "https://${ArtefactBucket}.s3.amazonaws.com/${ArtefactPrefix}/reports/x.json",
        "http://${ArtefactBucket}.s3.amazonaws.com/${ArtefactPrefix}/cloudformation/payments-db.json",
        "https://templates.s3.amazonaws.com/db.json",
        "https://<bucket>.s3.amazonaws.com/<prefix>/cloudformation/payments-db.json",
        "https://<bucket>.s3.amazonaws.com/${ArtefactPrefix}/cloudformation/${ArtefactBucket}.json",
        "https://${ArtefactPrefix}.s3.amazonaws.com/${ArtefactBucket}/cloudformation/payments-db.json",
        "https://evil@${ArtefactBucket}.s3.amazonaws.com/${ArtefactPrefix}/cloudformation/payments-db.json",
    ] {
        let said = nested(outside);
        assert!(said.len() == 1 && said[0].starts_with("template-not-self-contained"), "{outside}: {said:?}");
    }
}

#[test]
fn a_custom_resource_is_made_by_the_template_or_by_what_the_stage_names() {
    let of = |token: &Value| check_resource(json!({"Type": "Custom::Ledger", "Properties": {"ServiceToken": token}}));
    for fine in [
        json!({"Fn::GetAtt": ["Table", "Arn"]}),
        json!({"Fn::Sub": "${Provider.Arn}"}),
        json!({"Ref": "LedgerProvider"}),
        json!({"Fn::ImportValue": "ledger-provider"}),
        json!("{{resolve:ssm:/providers/ledger}}"),
    ] {
        assert_eq!(of(&fine), [""; 0], "{fine}");
    }
    insta::assert_debug_snapshot!([
        of(&json!({"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:ledger"})),
        of(&json!("arn:aws:lambda:ap-southeast-2:123456789012:function:ledger")),
        check_resource(json!({"Type": "AWS::CloudFormation::CustomResource"})),
    ].concat(), @r#"
    [
        "template-not-self-contained: custom resource `It` is made by a function outside the template (`Resources.It.Properties.ServiceToken`): name it by a parameter or an import",
        "template-not-self-contained: custom resource `It` is made by a function outside the template (`Resources.It.Properties.ServiceToken`): name it by a parameter or an import",
        "template-not-portable: `Resources.It.Properties.ServiceToken` names the account `123456789012` literally: write `${AWS::AccountId}` where it is the stage's own, else a parameter, or name an account of all stages in `shared_accounts` of the policy",
        "template-invalid: custom resource `It` has no `ServiceToken`",
    ]
    "#);
}

#[test]
fn content_that_cloudformation_fetches_from_s3_is_refused() {
    let of = |r#type: &str, properties: Value| check_resource(json!({"Type": r#type, "Properties": properties}));
    let location = json!({"Bucket": {"Ref": "ArtefactBucket"}, "Key": "x"});
    insta::assert_debug_snapshot!([
        of("AWS::ApiGateway::RestApi", json!({"BodyS3Location": location})),
        of("AWS::StepFunctions::StateMachine", json!({"DefinitionS3Location": location})),
        of("AWS::Bedrock::Agent", json!({"ActionGroups": [{"ApiSchema": {"Payload": "x"}}, {"ApiSchema": {"S3": location}}]})),
        of("AWS::Lambda::LayerVersion", json!({"Content": {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": "x"}})),
    ].concat(), @r#"
    [
        "template-not-self-contained: resource `It` fetches `Resources.It.Properties.BodyS3Location` at deploy time: write it into `Body` instead",
        "template-not-self-contained: resource `It` fetches `Resources.It.Properties.DefinitionS3Location` at deploy time: write it into `DefinitionString` instead",
        "template-not-self-contained: resource `It` fetches `Resources.It.Properties.ActionGroups[1].ApiSchema.S3` at deploy time: write it into `Payload` instead",
        "template-code-outside-store: layer `It` has its content at `Resources.It.Properties.Content`, which is no asset of the stage's account: make it by `Code.fromAsset`, or bundle it into the functions",
    ]
    "#);
    for (r#type, properties) in [
        ("AWS::ApiGateway::RestApi", json!({"Body": {"openapi": "3.0.1"}})),
        ("AWS::StepFunctions::StateMachine", json!({"DefinitionString": "{}"})),
        ("AWS::Synthetics::Canary", json!({"Code": {"Script": "x"}})),
    ] {
        assert_eq!(of(r#type, properties), [""; 0]);
    }
}

#[test]
fn content_of_the_asset_bucket_that_is_not_told_is_refused_but_a_permission_is_not() {
    let bucket = json!({"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"});
    let deployment = json!({"Type": "Custom::CDKBucketDeployment", "Properties": {"ServiceToken": {"Ref": "Table"}, "SourceBucketNames": [bucket]}});
    insta::assert_debug_snapshot!(check_resource(deployment), @r#"
    [
        "template-code-outside-store: resource `It` takes content from the asset bucket (`Resources.It.Properties.SourceBucketNames[0]`), and what it takes can't be told: name it by its bucket and its key",
    ]
    "#);
    let policy = json!({"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject*",
        "Resource": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::", bucket, "/*"]]}}]}}});
    assert_eq!(check_resource(policy), [""; 0]);
}

#[test]
fn an_aws_custom_resource_fetches_no_newer_sdk_from_npm() {
    let of = |r#type: &str, newest: Value| {
        let mut properties = json!({"ServiceToken": {"Ref": "Table"}, "Create": "{}"});
        if !newest.is_null() {
            properties["InstallLatestAwsSdk"] = newest;
        }
        check_resource(json!({"Type": r#type, "Properties": properties}))
    };
    for fine in [json!(false), json!("false")] {
        assert_eq!(of("Custom::AWS", fine), [""; 0]);
    }
    for refused in [
        json!(true),
        json!("true"),
        json!({"Ref": "ArtefactPrefix"}),
        json!({"Fn::If": ["A", false, true]}),
        json!(null),
    ] {
        assert_eq!(of("Custom::AWS", refused).len(), 1);
    }
    // CDK lets a resource have a type of its own.
    assert_eq!(of("Custom::Ledger", json!(null)), [""; 0]);
    insta::assert_debug_snapshot!(of("Custom::Ledger", json!(true)), @r#"
    [
        "template-not-self-contained: custom resource `It` fetches the newest AWS SDK from npm at deploy time (`Resources.It.Properties.InstallLatestAwsSdk`): give its `AwsCustomResource` `installLatestAwsSdk: false`",
    ]
    "#);
}

#[test]
fn hooks_and_what_machines_fetch_are_refused() {
    let mut it = template(
        json!({"Machine": {"Type": "AWS::EC2::Instance", "Metadata": {"AWS::CloudFormation::Init": {"config": {
            "packages": {"yum": {"jq": []}},
            "sources": {"/opt": "https://bank.example/agent.tar.gz"},
            "files": {"/etc/agent.conf": {"content": "x"}, "/opt/run.sh": {"source": "https://bank.example/run.sh"}}
        }}}}}),
    );
    it["Hooks"] = json!({"Shift": {"Type": "AWS::CodeDeploy::BlueGreen"}});
    insta::assert_debug_snapshot!(check(&it), @r#"
    [
        "template-not-self-contained: `Hooks.Shift` of type `AWS::CodeDeploy::BlueGreen` makes and changes resources at deploy time: deploy without it",
        "template-not-self-contained: `Resources.Machine.Metadata.AWS::CloudFormation::Init.config.files./opt/run.sh.source` is fetched when the machine starts: write it into the template, or into its image",
        "template-not-self-contained: `Resources.Machine.Metadata.AWS::CloudFormation::Init.config.sources` is fetched when the machine starts: write it into the template, or into its image",
    ]
    "#);
}
