use gatekeeper_model::ids::Sha256;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::template;

/// A template with such outputs, and a topic that is called by each of `imports`.
fn handed(exports: &[Value], imports: &[Value]) -> Handed {
    let output =
        |(number, name): (usize, &Value)| (format!("Out{number}"), json!({"Value": 1, "Export": {"Name": name}}));
    let topic = |(number, name): (usize, &Value)| {
        let name = json!({"Fn::Sub": ["${It}-x", {"It": {"Fn::ImportValue": name}}]});
        (format!("Topic{number}"), json!({"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}}))
    };
    let mut resources: serde_json::Map<_, _> = imports.iter().enumerate().map(topic).collect();
    resources.insert("Bucket".to_owned(), json!({"Type": "AWS::S3::Bucket"}));
    let outputs: serde_json::Map<_, _> = exports.iter().enumerate().map(output).collect();
    let parameters = json!({
        "Stage": {"Type": "String"}, "Size": {"Type": "String", "Default": "small"},
        "Free": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"},
    });
    let document = json!({"Parameters": parameters, "Resources": resources, "Outputs": outputs});
    template::read(document.to_string().as_bytes()).unwrap().handed
}

fn manifest(stacks: &[(&str, &str, &[&str])]) -> Manifest {
    let mut modules: Vec<Value> = Vec::new();
    for (module, name, depends_on) in stacks {
        let stack = json!({"name": name, "sha256": Sha256::of(name.as_bytes()), "size": 1, "depends_on": depends_on});
        match modules.iter_mut().find(|it| it["id"] == *module) {
            Some(it) => it["stacks"].as_array_mut().unwrap().push(stack),
            None => modules.push(json!({"id": module, "stacks": [stack]})),
        }
    }
    let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
    serde_json::from_value(json!({
        "schema_version": 1, "repo": "bank", "commit_sha": sha, "branch": "main", "timestamp": "2026-05-02T03:04:05Z",
        "build": {"run_url": "https://x.example/1", "run_attempt": 1, "actor": "ci"}, "modules": modules, "tests": {},
    }))
    .unwrap()
}

fn told(stacks: &[(&str, &str, &[&str])], hands: &[(&str, Handed)]) -> String {
    let names: Vec<(StackName, &Handed)> = hands.iter().map(|(name, it)| (name.parse().unwrap(), it)).collect();
    let found = check(&manifest(stacks), &names.iter().map(|(name, it)| (name, *it)).collect());
    let line = |it: &Finding| format!("{} {}: {}", it.code, it.subject.rsplit('/').next().unwrap(), it.message);
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stack_that_imports_comes_after_the_one_that_exports() {
    let sub = |text: &str| json!({"Fn::Sub": text});
    let join = json!({"Fn::Join": ["-", [{"Ref": "Stage"}, "ledger", {"Ref": "Size"}, {"Ref": "Free"}]]});
    let hands = [
        ("api", handed(&[], &[sub("${Stage}-ledger-${Size}-${Free}"), json!("queue")])),
        ("data", handed(&[join, json!("queue"), json!("unused")], &[json!("somebody-elses")])),
    ];
    let (api, data) = (("MOD-001", "api", &[] as &[_]), ("MOD-002", "data", &[] as &[_]));
    assert_eq!(told(&[data, api], &hands), "");
    insta::assert_snapshot!(told(&[api, data], &hands));
}

#[test]
fn what_cannot_be_told_to_be_the_same_is_not_claimed() {
    let sub = |text: &str| json!({"Fn::Sub": text});
    for (exports, imports) in [
        (sub("${AWS::StackName}-vpc"), sub("${AWS::StackName}-vpc")),
        (sub("${ArtefactPrefix}-vpc"), sub("${ArtefactPrefix}-vpc")),
        (json!({"Fn::GetAtt": ["Bucket", "Arn"]}), json!({"Fn::GetAtt": ["Bucket", "Arn"]})),
        (json!({"Ref": "Bucket"}), json!({"Ref": "Bucket"})),
        (sub("${Stage}-vpc"), sub("${AWS::Region}-vpc")),
        (json!("vpc"), json!("VPC")),
    ] {
        let hands = [("api", handed(&[], &[imports])), ("data", handed(std::slice::from_ref(&exports), &[]))];
        assert_eq!(told(&[("MOD-001", "api", &[]), ("MOD-001", "data", &[])], &hands), "", "{exports}");
    }
    // Nor is anything of a template that nobody has read.
    assert_eq!(told(&[("MOD-001", "api", &[]), ("MOD-001", "data", &[])], &[]), "");
}

#[test]
fn what_depends_on_says_holds_too() {
    let stacks: [(&str, &str, &[&str]); 4] = [
        ("MOD-001", "api", &["data", "gone"]),
        ("MOD-001", "data", &[]),
        ("MOD-001", "own", &["own"]),
        ("MOD-002", "late", &["api", "data"]),
    ];
    insta::assert_snapshot!(told(&stacks, &[]));
}

#[test]
fn circles_are_told_whole_and_what_is_beside_them_too() {
    let hands = [
        ("a", handed(&[json!("a-out")], &[json!("b-out")])),
        ("b", handed(&[json!("b-out")], &[])),
        ("own", handed(&[json!("mine")], &[json!("mine")])),
    ];
    let stacks: [(&str, &str, &[&str]); 6] = [
        ("MOD-001", "first", &["b"]),
        ("MOD-001", "a", &[]),
        ("MOD-001", "b", &["c"]),
        ("MOD-001", "c", &["a"]),
        ("MOD-001", "own", &[]),
        ("MOD-001", "last", &["first"]),
    ];
    insta::assert_snapshot!(told(&stacks, &hands));
}

proptest! {
    /// Whatever needs whatever: there is an order in which each comes after what it needs, or a circle.
    #[test]
    fn there_is_an_order_or_a_circle(edges in prop::collection::vec((0..6u8, 0..6u8), 0..12)) {
        let stacks = [0, 1, 2, 3, 4, 5u8];
        let mut needs: Needs<'_, u8> = BTreeMap::new();
        for (stack, before) in edges {
            needs.entry(stack).or_default().entry(before).or_default().is_said = true;
        }
        match (in_order(&stacks, &needs), circle(&stacks, &needs)) {
            (Ok(ordered), None) => {
                let at = |stack: &u8| ordered.iter().position(|it| it == stack).unwrap();
                for (stack, before) in &needs {
                    prop_assert!(before.keys().filter(|it| *it != stack).all(|it| at(it) < at(stack)));
                }
            }
            (Err(_), Some(circle)) => {
                let next = circle.iter().cycle().skip(1);
                for (stack, next) in circle.iter().zip(next) {
                    prop_assert!(needs[stack].contains_key(next), "{:?}", circle);
                }
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
