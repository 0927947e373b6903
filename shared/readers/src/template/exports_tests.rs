use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};

use super::*;
use crate::template;

fn manifest(stacks: &[&str]) -> Manifest {
    let stacks: Vec<_> =
        stacks.iter().map(|name| json!({"name": name, "sha256": Sha256::of(name.as_bytes()), "size": 1})).collect();
    serde_json::from_value(json!({
        "schema_version": 1, "repo": "bank", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357", "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z",
        "build": {"run_url": "https://x.example/1", "run_attempt": 1, "actor": "ci"},
        "modules": [{"id": "MOD-001", "stacks": stacks}], "tests": {},
    }))
    .unwrap()
}

fn read(document: &Value) -> Handed {
    template::read(document.to_string().as_bytes()).unwrap().handed
}

/// A template with a layer, and an output of it.
fn of_layer(output: &Value) -> Handed {
    let content = json!({"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-x"}, "S3Key": "1.zip"});
    read(&json!({
        "Parameters": {"Stage": {"Type": "String"}},
        "Resources": {
            "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": content}},
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Doubtful": {"Type": "AWS::Lambda::LayerVersion", "Condition": "A", "Properties": {"Content": content}}
        },
        "Outputs": {"Out": output}
    }))
}

/// A template with a function that takes such layers.
fn takes(layers: &Value) -> Handed {
    let function = json!({"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "x"}, "Layers": layers}});
    read(&json!({"Parameters": {"Stage": {"Type": "String"}}, "Resources": {"Fn": function}}))
}

fn told(hands: &[(&str, &Handed)]) -> Vec<String> {
    let names: Vec<(StackName, &Handed)> = hands.iter().map(|(name, it)| (name.parse().unwrap(), *it)).collect();
    let handed = names.iter().map(|(name, it)| (name, *it)).collect();
    let found = check_layers(&manifest(&hands.iter().map(|(name, _)| *name).collect::<Vec<_>>()), &handed);
    found.into_iter().map(|it| format!("{} {}", it.subject.rsplit('/').next().unwrap(), it.message)).collect()
}

#[test]
fn a_layer_of_another_stack_of_the_commit_is_its_own() {
    let export = json!({"Name": {"Fn::Sub": "${Stage}-layer"}});
    let shared = of_layer(&json!({"Value": {"Ref": "Layer"}, "Export": export}));
    let api =
        takes(&json!([{"Fn::If": ["A", {"Fn::ImportValue": {"Fn::Sub": "${Stage}-layer"}}, {"Ref": "AWS::NoValue"}]}]));
    assert_eq!(told(&[("shared", &shared), ("api", &api)]), [""; 0]);
    // Who else exports under the name is not known to make a layer of the store.
    insta::assert_json_snapshot!([
        told(&[("api", &api)]),
        told(&[("shared", &of_layer(&json!({"Value": {"Ref": "Queue"}, "Export": export}))), ("api", &api)]),
        told(&[("shared", &of_layer(&json!({"Value": {"Ref": "Doubtful"}, "Export": export}))), ("api", &api)]),
        told(&[
            ("shared", &of_layer(&json!({"Value": {"Ref": "Layer"}, "Export": export, "Condition": "A"}))),
            ("api", &api)
        ]),
        told(&[("shared", &shared), ("other", &of_layer(&json!({"Value": "arn", "Export": export}))), ("api", &api)]),
    ]);
}
