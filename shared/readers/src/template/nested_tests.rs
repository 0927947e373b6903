use gatekeeper_model::manifest::{
    Manifest,
    sample::{commit, example},
};
use serde_json::{Value, json};

use super::{super::read, *};

const CDK: &str = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}";

fn nested(key: &str) -> Value {
    let url = format!("https://s3.${{AWS::Region}}.${{AWS::URLSuffix}}/{CDK}/{key}");
    json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": {"Fn::Sub": url}}})
}

fn function(bucket: &Value) -> Value {
    json!({"Type": "AWS::Lambda::Function", "Properties": {"Runtime": "nodejs22.x", "Handler": "index.handler",
        "Code": {"S3Bucket": bucket, "S3Key": "code.zip"}}})
}

fn template(resources: &Value) -> Template {
    let parameters = json!({"Bucket": {"Type": "String"}, "ArtefactBucket": {"Type": "String"}});
    read(json!({"Parameters": parameters, "Resources": resources}).to_string().as_bytes()).unwrap()
}

/// A manifest that lists these keys as nested templates, each with the digest of itself, and functions.
fn manifest(keys: &[&str], functions: &[&str]) -> Manifest {
    let mut manifest = example();
    let module = &mut manifest["modules"][0];
    module["assets"] = keys
        .iter()
        .map(|key| json!({"sha256": Sha256::of(key.as_bytes()), "size": 1, "kind": "template", "stack": "payments-api", "key": key}))
        .collect();
    module["functions"] = functions
        .iter()
        .enumerate()
        .map(|(at, id)| json!({"name": format!("f{at}"), "sha256": Sha256::of(b"code"), "size": 1, "stack": "payments-api", "logical_id": id}))
        .collect();
    Manifest::parse(manifest.to_string().as_bytes(), &commit()).unwrap()
}

fn whole(root: &Template, manifest: &Manifest, nested: &[(&str, &Template)]) -> Result<Template, String> {
    let nested = nested.iter().map(|(key, template)| (Sha256::of(key.as_bytes()), *template)).collect();
    root.whole(&"payments-api".parse().unwrap(), &manifest.modules, &nested)
}

fn said(root: &Template, manifest: &Manifest, nested: &[(&str, &Template)]) -> Vec<String> {
    let whole = whole(root, manifest, nested).unwrap();
    let found = whole.check_code("t", &"payments-api".parse().unwrap(), &manifest.modules[0], manifest);
    found.into_iter().map(|it| it.message).collect()
}

#[test]
fn what_is_nested_goes_by_the_ids_that_lead_to_it() {
    let bucket = json!({"Fn::Sub": CDK});
    let deepest = template(&json!({"Deep": function(&bucket)}));
    let inner = template(
        &json!({"Fn": function(&bucket), "Deeper": nested("deepest.json"), "Role": {"Type": "AWS::IAM::Role"}}),
    );
    let root = template(&json!({"Inner": nested("inner.json"), "Again": nested("inner.json")}));
    let ids = ["Again/Deeper/Deep", "Again/Fn", "Inner/Deeper/Deep", "Inner/Fn"];
    let manifest = manifest(&["inner.json", "deepest.json"], &ids);
    let (inner, deepest) = (("inner.json", &inner), ("deepest.json", &deepest));
    let read = whole(&root, &manifest, &[inner, deepest]).unwrap();
    assert_eq!(read.functions.keys().collect::<Vec<_>>(), ids);
    assert_eq!(read.principals.keys().collect::<Vec<_>>(), ["Again/Role", "Inner/Role"]);
    assert_eq!(read.assets.iter().map(|it| it.resource.as_str()).collect::<Vec<_>>().len(), 4);
    assert_eq!(said(&root, &manifest, &[inner, deepest]), [""; 0]);
}

#[test]
fn what_is_nested_imports_for_the_stack_that_it_is_in() {
    let mut function = function(&json!({"Fn::Sub": CDK}));
    function["Properties"]["Layers"] = json!([{"Fn::ImportValue": "layer"}]);
    let inner = template(&json!({"Fn": function}));
    let root = template(&json!({"Inner": nested("inner.json")}));
    let read = whole(&root, &manifest(&["inner.json"], &["Inner/Fn"]), &[("inner.json", &inner)]).unwrap();
    assert_eq!(read.handed.imports, inner.handed.imports);
    assert_eq!(read.handed.imported_layers.keys().collect::<Vec<_>>(), ["Inner/Resources.Fn.Properties.Layers[0]"]);
}

#[test]
fn a_function_in_a_nested_stack_has_its_bundle_in_the_manifest() {
    let inner =
        template(&json!({"Fn": function(&json!({"Fn::Sub": CDK})), "Other": function(&json!({"Ref": "Bucket"})),
        "Stored": function(&json!({"Ref": "ArtefactBucket"}))}));
    let root = template(&json!({"Inner": nested("inner.json")}));
    let manifest = manifest(&["inner.json"], &["Inner/Other", "Inner/Stored", "Inner/Gone", "Else/Fn"]);
    insta::assert_debug_snapshot!(said(&root, &manifest, &[("inner.json", &inner)]));
}

#[test]
fn what_nests_itself_comes_to_an_end() {
    let root = template(&json!({"Inner": nested("inner.json")}));
    let manifest = manifest(&["inner.json"], &[]);
    let deep = whole(&root, &manifest, &[("inner.json", &root)]).unwrap_err();
    assert_eq!(deep, "its nested stacks are more than 4 levels deep");
    let many: serde_json::Map<String, Value> = (0..400).map(|at| (format!("N{at}"), nested("inner.json"))).collect();
    let many = template(&Value::Object(many));
    let wide = whole(&many, &manifest, &[("inner.json", &many)]).unwrap_err();
    assert_eq!(wide, "its nested stacks take more than 2000 assets");
}
