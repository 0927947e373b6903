mod code_of_the_commit;
mod deploy_time;
mod functions;
mod policy;
mod shape;
mod synthesised;

use gatekeeper_model::manifest::sample::{commit, example};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{findings::MAX_FINDINGS, *};
use crate::function_spec::Architecture;

const SUBJECT: &str = "modules/MOD-012/cloudformation/payments-api.json";

/// A function as CDK synthesises it.
fn function(code: Value) -> Value {
    let mut function = json!({"Type": "AWS::Lambda::Function", "Properties": {
        "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Runtime": "nodejs22.x", "Handler": "index.handler"
    }});
    function["Properties"]["Code"] = code;
    function
}

/// The code that CDK's default synthesiser names.
fn asset(hash: &str) -> Value {
    json!({"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": format!("{hash}.zip")})
}

/// The code of a template that takes the store's own place.
fn stored(name: &str) -> Value {
    json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": format!("${{ArtefactPrefix}}/functions/{name}.zip")}})
}

fn template(resources: Value) -> Value {
    let mut template = json!({
        "Parameters": {
            "ArtefactBucket": {"Type": "String"},
            "ArtefactPrefix": {"Type": "String"},
            "BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}
        },
        "Rules": {"CheckBootstrapVersion": {"Assertions": []}}
    });
    template["Resources"] = resources;
    template
}

fn say(findings: Vec<Finding>) -> Vec<String> {
    assert!(findings.iter().all(|it| it.subject == SUBJECT));
    findings.into_iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
}

/// What is said where no policy is.
fn check_bytes(bytes: &[u8]) -> Vec<String> {
    check_under(bytes, &Rules::of_adr_053(&"bank-payments".parse().unwrap()))
}

fn check_under(bytes: &[u8], rules: &Rules) -> Vec<String> {
    let (mut findings, template) = inspect(bytes, SUBJECT);
    findings.extend(template.into_iter().flat_map(|it| it.check_policy(SUBJECT, rules)));
    say(findings)
}

/// What is said of a whole template.
fn check(template: &Value) -> Vec<String> {
    check_bytes(template.to_string().as_bytes())
}

/// What is said of a template with one more resource.
pub(super) fn check_resource(resource: Value) -> Vec<String> {
    let mut resources =
        json!({"Table": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": {"TableName": {"Ref": "AWS::NoValue"}}}});
    resources["It"] = resource;
    check(&template(resources))
}

fn read_one(template: &Value) -> TemplateFunction {
    let (findings, read) = inspect(template.to_string().as_bytes(), SUBJECT);
    assert_eq!(findings, []);
    read.unwrap().functions.remove("It").unwrap()
}

/// Any JSON, of the words that templates are made of.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("Ref".to_owned()),
        Just("Fn::Sub".to_owned()),
        Just("Fn::Join".to_owned()),
        Just("Fn::Transform".to_owned()),
        Just("Fn::FindInMap".to_owned()),
        Just("Type".to_owned()),
        Just("Properties".to_owned()),
        Just("Code".to_owned()),
        Just("S3Bucket".to_owned()),
        Just("S3Key".to_owned()),
        Just("Runtime".to_owned()),
        Just("Parameters".to_owned()),
        Just("Resources".to_owned()),
        Just("Outputs".to_owned()),
        Just("Metadata".to_owned()),
        Just("AWS::Lambda::Function".to_owned()),
        Just("AWS::CloudFormation::Stack".to_owned()),
        Just("AWS::AccountId".to_owned()),
        "[0-9:.${}\\\\\"é-]{0,30}",
        ".{0,20}",
    ];
    let leaf = prop_oneof![word.clone().prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic_or_say_too_much(it in any_json()) {
        for document in [
            it.clone(),
            json!({"Resources": it, "Parameters": it, "Mappings": it}),
            json!({"Resources": {"A": {"Type": "AWS::Lambda::Function", "Properties": {"Code": it, "Runtime": it}}}}),
            json!({"Resources": {"A": {"Type": "AWS::Lambda::Function", "Properties": it}, "B": {"Type": "Custom::X", "Properties": {"ServiceToken": it}}}}),
        ] {
            let (findings, template) = inspect(document.to_string().as_bytes(), SUBJECT);
            prop_assert!(findings.len() <= MAX_FINDINGS);
            prop_assert!(template.is_some() || !findings.is_empty());
            prop_assert_eq!(&read(document.to_string().as_bytes()), &template.map(|it| Template { doubts: Vec::new(), ..it }));
            prop_assert!(findings.iter().all(|it| it.message.chars().all(|c| !c.is_control()) && it.message.len() <= 4000));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (findings, template) = inspect(&bytes, SUBJECT);
        prop_assert!(template.is_some() || !findings.is_empty());
    }
}
