use gatekeeper_readers::template::inspect;
use serde_json::{Value, json};

use super::*;

const BUCKET: &str = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}";

fn function(bucket: &Value, key: &Value) -> Value {
    json!({"Type": "AWS::Lambda::Function", "Properties": {
        "Runtime": "nodejs22.x", "Handler": "index.handler", "Code": {"S3Bucket": bucket, "S3Key": key}}})
}

fn template(resources: &Value) -> Template {
    let document = json!({
        "Parameters": {
            "Assets": {"Type": "String", "Default": "assets"},
            "ArtefactBucket": {"Type": "String"},
            "ArtefactPrefix": {"Type": "String"},
        },
        "Resources": resources,
    });
    inspect(document.to_string().as_bytes(), "api.json").1.unwrap()
}

fn stack(parameters: &[(&str, &str)]) -> PlannedStack {
    PlannedStack {
        module: "MOD-012".parse().unwrap(),
        stack: "api".parse().unwrap(),
        stack_name: "bank-uat-api".parse().unwrap(),
        template: pinned("api.json"),
        form: None,
        tags: std::collections::BTreeMap::new(),
        termination_protection: false,
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn pinned(key: &str) -> Pinned {
    Pinned { key: key.to_owned(), version_id: "1".into(), sha256: Sha256::of(key.as_bytes()), size: 1 }
}

fn bundle(stack: &str, logical_id: &str, key: &str) -> PlannedFunction {
    PlannedFunction {
        module: "MOD-012".parse().unwrap(),
        function: "pay".parse().unwrap(),
        stack: stack.parse().unwrap(),
        stack_name: "bank-uat-api".parse().unwrap(),
        logical_id: logical_id.to_owned(),
        bundle: pinned(key),
    }
}

fn places(
    template: &Template,
    parameters: &[(&str, &str)],
    functions: &[PlannedFunction],
) -> Result<Vec<String>, String> {
    let assets = assets(template, &stack(parameters), functions, "111122223333", "ap-southeast-2")?;
    Ok(assets.iter().map(|it| format!("{} -> {}/{}", it.bundle.key, it.bucket, it.key)).collect())
}

#[test]
fn what_cdk_synthesises_is_copied_to_the_stages_own_asset_bucket() {
    let template = template(&json!({
        "Pay": function(&json!({"Fn::Sub": BUCKET}), &json!("0f.zip")),
        "FromStore": function(
            &json!({"Ref": "ArtefactBucket"}),
            &json!({"Fn::Sub": "${ArtefactPrefix}/functions/x.zip"}),
        ),
        "Inline": {"Type": "AWS::Lambda::Function", "Properties": {
            "Runtime": "nodejs22.x", "Handler": "index.handler", "Code": {"ZipFile": "exports.handler = 1"}}},
    }));
    assert!(has_assets(&template));
    // The function of the same id in another stack is another function.
    let functions = [bundle("other", "Pay", "other.zip"), bundle("api", "Pay", "pay.zip")];
    assert_eq!(
        places(&template, &[], &functions).unwrap(),
        ["pay.zip -> cdk-hnb659fds-assets-111122223333-ap-southeast-2/0f.zip"]
    );
}

#[test]
fn a_parameters_value_comes_from_the_stage_and_else_from_the_template() {
    let template =
        template(&json!({"Pay": function(&json!({"Ref": "Assets"}), &json!({"Fn::Sub": "${AWS::StackName}/a.zip"}))}));
    let functions = [bundle("api", "Pay", "pay.zip")];
    assert_eq!(places(&template, &[], &functions).unwrap(), ["pay.zip -> assets/bank-uat-api/a.zip"]);
    assert_eq!(
        places(&template, &[("Assets", "uat-assets")], &functions).unwrap(),
        ["pay.zip -> uat-assets/bank-uat-api/a.zip"]
    );
}

#[test]
fn templates_without_assets_need_no_copy() {
    let template = template(&json!({"Topic": {"Type": "AWS::SNS::Topic"}}));
    assert!(!has_assets(&template));
    assert_eq!(places(&template, &[], &[]).unwrap(), Vec::<String>::new());
}

#[test]
fn one_place_holds_one_bundle() {
    let at = |id: &str| (id.to_owned(), function(&json!({"Fn::Sub": BUCKET}), &json!("0f.zip")));
    let template = template(&Value::Object([at("A"), at("B")].into_iter().collect()));
    let same = [bundle("api", "A", "a.zip"), bundle("api", "B", "a.zip")];
    assert_eq!(places(&template, &[], &same).unwrap().len(), 1);
    let different = [bundle("api", "A", "a.zip"), bundle("api", "B", "b.zip")];
    insta::assert_snapshot!(places(&template, &[], &different).unwrap_err(), @"two functions have their code at `cdk-hnb659fds-assets-111122223333-ap-southeast-2/0f.zip`, and their bundles differ");
}

#[test]
fn what_cannot_be_told_is_said() {
    let template =
        template(&json!({"Pay": function(&json!({"Fn::Sub": "${ArtefactPrefix}-assets"}), &json!("0f.zip"))}));
    insta::assert_snapshot!(places(&template, &[], &[]).unwrap_err(), @"no bundle of the plan is the code of function `Pay`");
    insta::assert_snapshot!(places(&template, &[], &[bundle("api", "Pay", "pay.zip")]).unwrap_err(), @"where the code of function `Pay` lies cannot be told: a parameter in `${ArtefactPrefix}-assets/0f.zip` has no value");
}
