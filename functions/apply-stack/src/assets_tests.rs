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
        assets: Vec::new(),
        images: Vec::new(),
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
    let stack = stack(parameters);
    let assets = assets(template, &stack, functions, "111122223333", "ap-southeast-2")?;
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
    assert!(has_assets(&template, &stack(&[])));
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
    assert!(!has_assets(&template, &stack(&[])));
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

/// A planned asset of this key, which a resource takes from the bucket of this name.
fn planned(resource: &str, bucket: &str, key: &str, file: &str) -> PlannedAsset {
    let template = json!({"Parameters": {"Assets": {"Type": "String"}}, "Resources": {"It": {"Type": "AWS::Lambda::LayerVersion",
        "Properties": {"Content": {"S3Bucket": {"Fn::Sub": bucket}, "S3Key": key}}}}});
    let read = gatekeeper_readers::template::read(template.to_string().as_bytes()).unwrap();
    let of = &read.assets[0];
    PlannedAsset {
        module: "MOD-012".parse().unwrap(),
        resource: resource.to_owned(),
        kind: of.kind,
        bucket: of.bucket.clone(),
        asset_key: of.key.clone(),
        file: pinned(file),
    }
}

#[test]
fn other_assets_lie_beside_the_code_and_are_never_put_over_other_bytes() {
    let template = template(&json!({"Pay": function(&json!({"Fn::Sub": BUCKET}), &json!("0f.zip"))}));
    let functions = [bundle("api", "Pay", "pay.zip")];
    let placed = |assets: Vec<PlannedAsset>| {
        let stack = PlannedStack { assets, ..stack(&[]) };
        let placed = super::assets(&template, &stack, &functions, "111122223333", "ap-southeast-2")?;
        let shown = placed.iter().map(|it| format!("{} -> {}/{} {}", it.bundle.key, it.bucket, it.key, it.is_kept));
        Ok::<_, String>(shown.collect::<Vec<_>>())
    };
    let own = "bank-${Assets}-${AWS::Region}";
    let fine = vec![
        planned("Layer", BUCKET, "layer.zip", "assets/layer.zip"),
        planned("Inner/Layer", BUCKET, "layer.zip", "assets/layer.zip"),
        planned("Other", own, "a.zip", "assets/a.zip"),
        planned("Load", BUCKET, "0f.zip", "pay.zip"),
    ];
    insta::assert_debug_snapshot!(placed(fine).unwrap());
    let differ = vec![planned("Load", BUCKET, "0f.zip", "assets/other.zip")];
    insta::assert_snapshot!(placed(differ).unwrap_err(), @"`Load` takes other bytes from `cdk-hnb659fds-assets-111122223333-ap-southeast-2/0f.zip` than another resource does");
    let unknown = vec![planned("Layer", "bank-${AWS::StackName}-${Assets}", "a.zip", "a.zip")];
    assert!(placed(unknown).is_ok(), "a default and the stack's name are known");
}
