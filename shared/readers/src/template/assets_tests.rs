use serde_json::{Value, json};

use super::{
    super::{inspect, read},
    *,
};

fn bucket() -> Value {
    json!({"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"})
}

fn key(extension: &str) -> String {
    format!("{}{extension}", "0f".repeat(32))
}

/// What a resource takes, shown by kind, bucket and key.
fn taken(r#type: &str, properties: &Value) -> Vec<String> {
    let template = json!({"Parameters": {"Mine": {"Type": "String"}, "ArtefactBucket": {"Type": "String"}},
        "Resources": {"It": {"Type": r#type, "Properties": properties}}});
    let shown = |it: &Use| {
        let guess = if it.is_guess { "?" } else { "" };
        format!("{}{guess} {}/{}", it.kind.as_str(), it.bucket, it.key.as_str().replace(&"0f".repeat(32), "0f"))
    };
    read(template.to_string().as_bytes()).unwrap().assets.iter().map(shown).collect()
}

/// What is said of a resource by itself.
fn said(r#type: &str, properties: &Value) -> Vec<String> {
    let template = json!({"Resources": {"It": {"Type": r#type, "Properties": properties}}});
    inspect(template.to_string().as_bytes(), "t").0.into_iter().map(|it| it.message).collect()
}

const CDK: &str = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}";

#[test]
fn what_names_a_bucket_and_a_key_is_told() {
    let url = json!({"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}, "/", bucket(), "/", key(".json")]]});
    for (r#type, properties, expected) in [
        (
            "AWS::Lambda::LayerVersion",
            json!({"Content": {"S3Bucket": bucket(), "S3Key": key(".zip")}}),
            format!("layer {CDK}/0f.zip"),
        ),
        (
            "AWS::Lambda::LayerVersion",
            json!({"Content": {"S3Bucket": {"Fn::Sub": "bank-${AWS::AccountId}"}, "S3Key": "layers/a.zip"}}),
            "layer bank-${AWS::AccountId}/layers/a.zip".to_owned(),
        ),
        ("AWS::CloudFormation::Stack", json!({"TemplateURL": url}), format!("template {CDK}/0f.json")),
        (
            "AWS::CloudFormation::Stack",
            json!({"TemplateURL": {"Fn::Sub": format!("https://{CDK}.s3.${{AWS::Region}}.amazonaws.com/{}", key(".json"))}}),
            format!("template {CDK}/0f.json"),
        ),
        (
            "AWS::StepFunctions::StateMachine",
            json!({"DefinitionS3Location": {"Bucket": bucket(), "Key": key(".json")}}),
            format!("file {CDK}/0f.json"),
        ),
        (
            "AWS::ApiGateway::RestApi",
            json!({"BodyS3Location": {"Bucket": {"Ref": "Mine"}, "Key": "api.json"}}),
            "file ${Mine}/api.json".to_owned(),
        ),
        (
            "AWS::Glue::Job",
            json!({"Command": {"ScriptLocation": {"Fn::Sub": format!("s3://{CDK}/{}", key(".py"))}}}),
            format!("file {CDK}/0f.py"),
        ),
        // What dev's stored template says before there is a form of it.
        (
            "AWS::StepFunctions::StateMachine",
            json!({"DefinitionS3Location": {"Bucket": "cdk-bank1-assets-111122223333-ap-southeast-2", "Key": key("")}}),
            "file cdk-bank1-assets-111122223333-ap-southeast-2/0f".to_owned(),
        ),
    ] {
        assert_eq!(taken(r#type, &properties), [expected], "{properties}");
        assert_eq!(
            said(r#type, &properties).iter().filter(|it| !it.contains("the account `")).count(),
            usize::from(properties.to_string().contains("Mine")),
            "{properties}"
        );
    }
}

#[test]
fn a_bucket_and_keys_that_only_a_provider_joins_are_told() {
    let site = json!({"ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]}, "SourceBucketNames": [bucket(), bucket()],
        "SourceObjectKeys": [key(".zip"), key(".tar.gz")], "DestinationBucketName": {"Ref": "Site"}});
    assert_eq!(
        taken("Custom::CDKBucketDeployment", &site),
        [format!("file {CDK}/0f.zip"), format!("file {CDK}/0f.tar.gz")]
    );
    let maps = json!({"ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]}, "app": "bank", "srcBucket": bucket(), "tarBucket": "sst",
        "sourcemaps": [[{"Fn::GetAtt": ["Fn", "Arn"]}, key(".map")]]});
    assert_eq!(taken("Custom::SourcemapUploader", &maps), [format!("file {CDK}/0f.map")]);
    // Any hash may look like a key that has no extension.
    let plain = json!({"ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]}, "Bucket": bucket(), "Hash": key(""), "File": key(".bin")});
    assert_eq!(taken("Custom::Loader", &plain), [format!("file {CDK}/0f.bin"), format!("file? {CDK}/0f")]);
    for properties in [site, maps, plain] {
        assert_eq!(said("Custom::It", &properties), [""; 0], "{properties}");
    }
}

#[test]
fn what_is_taken_and_not_told_is_refused() {
    let of = |properties: Value| {
        let mut properties = properties;
        properties["ServiceToken"] = json!({"Fn::GetAtt": ["Handler", "Arn"]});
        assert_eq!(taken("Custom::It", &properties), [""; 0], "{properties}");
        said("Custom::It", &properties).join("; ")
    };
    let refused = "takes content from the asset bucket";
    for properties in [
        json!({"Bucket": bucket()}),
        json!({"Bucket": bucket(), "Key": {"Ref": "AWS::StackName"}}),
        json!({"Bucket": bucket(), "Key": "../0f.zip"}),
        json!({"Bucket": bucket(), "Key": key(".zip"), "Version": "3"}),
        json!({"From": bucket(), "Name": "notes.txt"}),
        json!({"From": [bucket(), {"Fn::Sub": "cdk-other-assets-${AWS::AccountId}-${AWS::Region}"}], "Key": key(".zip")}),
        json!({"Url": {"Fn::Sub": format!("https://evil.example/{CDK}/{}", key(".zip"))}}),
        json!({"Url": {"Fn::Sub": format!("https://{CDK}.evil.example/{}", key(".zip"))}}),
        json!({"Url": {"Fn::Sub": format!("https://s3.evil.example/x.amazonaws.com/{CDK}/{}", key(".zip"))}}),
    ] {
        let said = of(properties.clone());
        assert!(said.contains(refused), "{properties}: {said}");
    }
    // A permission is none, nor is a text that is no bucket of CDK's.
    for properties in [
        json!({"Resource": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::", bucket(), "/*"]]}}),
        json!({"Bucket": {"Fn::Sub": "my-cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "Key": key(".zip")}),
        json!({"Hash": key(".zip")}),
    ] {
        assert_eq!(of(properties.clone()), "", "{properties}");
    }
}

#[test]
fn the_artefact_store_and_one_accounts_bucket_are_no_asset_buckets() {
    for bucket in [json!({"Ref": "ArtefactBucket"}), json!("layers")] {
        let layer = json!({"Content": {"S3Bucket": bucket, "S3Key": "a.zip"}});
        assert_eq!(taken("AWS::Lambda::LayerVersion", &layer), [""; 0]);
        let location = json!({"DefinitionS3Location": {"Bucket": bucket, "Key": "a.json"}});
        assert_eq!(taken("AWS::StepFunctions::StateMachine", &location), [""; 0]);
    }
}

mod against_the_manifest {
    use gatekeeper_model::manifest::sample::{commit, example};

    use super::*;

    /// What is said of a stack with a layer and a site by a manifest with these assets, each `[kind, stack, key]`.
    fn said(assets: &[[&str; 3]]) -> Vec<String> {
        let mut manifest = example();
        manifest["modules"][0]["functions"] = json!([]);
        manifest["tests"]["integration"]["deployed"] = json!([]);
        let entry = |[kind, stack, key]: &[&str; 3]| json!({"sha256": Sha256::of(key.as_bytes()), "size": 1, "kind": kind, "stack": stack, "key": key});
        manifest["modules"][0]["assets"] = assets.iter().map(entry).collect();
        let manifest = Manifest::parse(manifest.to_string().as_bytes(), &commit()).unwrap();
        let template = json!({"Resources": {
            "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": bucket(), "S3Key": "layer.zip"}}},
            "Load": {"Type": "Custom::Load", "Properties": {"ServiceToken": {"Ref": "Layer"}, "Bucket": bucket(), "Key": "site.zip"}},
        }});
        let template = read(template.to_string().as_bytes()).unwrap();
        let found = template.check_code("t", &"payments-api".parse().unwrap(), &manifest.modules[0], &manifest);
        found.into_iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
    }

    #[test]
    fn each_use_is_an_asset_of_the_stack_for_what_it_is_taken() {
        let fine: [[&str; 3]; 2] = [["layer", "payments-api", "layer.zip"], ["file", "payments-api", "site.zip"]];
        assert_eq!(said(&fine), [""; 0]);
        insta::assert_debug_snapshot!(
            [
                said(&[]),
                said(&[["file", "payments-api", "layer.zip"], fine[1]]),
                said(&[fine[0], fine[1], ["file", "payments-api", "other.zip"]]),
            ]
            .concat()
        );
    }
}
