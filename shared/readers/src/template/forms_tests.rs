use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::template::form::{BOOTSTRAP_PARAMETER, STAGE_PARAMETER};

const BUCKET: &str = "cdk-hnb659fds-assets-111122223333-ap-southeast-2";

fn made_for() -> SynthesisedFor {
    serde_json::from_value(json!({
        "account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank",
        "bootstrap_bucket": "sstbootstrap-apsoutheast2-1a2b3c4d5e6f"
    }))
    .unwrap()
}

/// A nested stack as CDK writes it with an explicit `env`.
fn nested(key: &str) -> Value {
    let path = format!("/{BUCKET}/{key}");
    let url = json!({"Fn::Join": ["", ["https://s3.ap-southeast-2.", {"Ref": "AWS::URLSuffix"}, path]]});
    json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}})
}

fn queue(name: &str) -> Value {
    json!({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}})
}

fn template(resources: &Value) -> Value {
    json!({"Resources": resources})
}

fn key(key: &str) -> AssetKey {
    key.parse().unwrap()
}

fn bytes(documents: &[(&str, &Value)]) -> BTreeMap<AssetKey, Vec<u8>> {
    documents.iter().map(|(name, document)| (key(name), document.to_string().into_bytes())).collect()
}

fn forms(root: &Value, nested: &[(&str, &Value)]) -> Result<Forms, Vec<String>> {
    let derived = derive(root.to_string().as_bytes(), &bytes(nested), &made_for(), "t");
    derived.map_err(|findings| findings.into_iter().map(|it| it.message).collect())
}

fn document(form: &Form) -> Value {
    serde_json::from_slice(&form.bytes).unwrap()
}

/// That each form with dev's values is the template that it was derived from.
fn prove(forms: &Forms, root: &Value, nested: &[(&str, &Value)]) {
    forms.root.mapping.prove(root.to_string().as_bytes(), &forms.root.bytes).unwrap();
    for (name, template) in bytes(nested) {
        if let Some(form) = forms.nested.get(&name) {
            form.mapping.prove(&template, &form.bytes).unwrap();
        }
    }
}

#[test]
fn the_form_leads_to_those_of_nested_templates_and_hands_on_the_stage() {
    let inner = template(&json!({"Queue": queue("dev-bank-settlements")}));
    let root = template(&json!({"Inner": nested("folder/inner.json")}));
    let all = [("folder/inner.json", &inner)];
    let found = forms(&root, &all).unwrap();
    prove(&found, &root, &all);
    let form = &found.nested[&key("folder/inner.json")];
    let target = format!("folder/{}.json", form.mapping.form_sha256);
    let document = document(&found.root);
    let properties = &document["Resources"]["Inner"]["Properties"];
    assert!(properties["TemplateURL"].to_string().contains(&format!("/{target}")), "{properties}");
    assert_eq!(properties["Parameters"], json!({"Stage": {"Ref": "Stage"}}));
    assert_eq!(document["Parameters"], json!({"Stage": {"Type": "String"}}));
    assert_eq!(found.root.mapping.nested[0].templates, BTreeMap::from([(key("folder/inner.json"), target)]));
    assert_eq!(found.told().nested[&key("folder/inner.json")], form.told());
}

#[test]
fn what_names_nothing_of_dev_is_nested_as_it_is_stored() {
    let inner = template(&json!({"Topic": {"Type": "AWS::SNS::Topic"}}));
    let root = template(&json!({"Inner": nested("inner.json"), "Queue": queue("dev-bank-settlements")}));
    let found = forms(&root, &[("inner.json", &inner)]).unwrap();
    assert_eq!((found.nested.len(), found.root.mapping.nested.len()), (0, 0));
    assert_eq!(found.root, form::derive(root.to_string().as_bytes(), &made_for(), "t").unwrap());
    // The account and the region are told to every stack: nothing is handed on for them.
    let arn = "arn:aws:sns:ap-southeast-2:111122223333:alarms";
    let inner = template(&json!({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": arn}}}));
    let found = forms(&root, &[("inner.json", &inner)]).unwrap();
    assert_eq!(document(&found.root)["Resources"]["Inner"]["Properties"].get("Parameters"), None);
    assert_eq!(found.nested.len(), 1);
}

#[test]
fn a_stack_between_leads_on_whether_it_names_dev_itself_or_not() {
    let deepest = template(&json!({"Queue": queue("dev-bank-settlements")}));
    let agnostic = json!({"Fn::Sub": format!(
        "https://s3.${{AWS::Region}}.${{AWS::URLSuffix}}/{}/deepest.json",
        "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    )});
    let between = template(
        &json!({"Deeper": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": agnostic, "Parameters": {"Size": "1"}}}}),
    );
    let root = template(&json!({"Inner": nested("inner.json"), "Again": nested("inner.json")}));
    let all = [("deepest.json", &deepest), ("inner.json", &between)];
    let found = forms(&root, &all).unwrap();
    prove(&found, &root, &all);
    let inner = document(&found.nested[&key("inner.json")]);
    let deeper = &inner["Resources"]["Deeper"]["Properties"];
    assert_eq!(deeper["Parameters"], json!({"Size": "1", "Stage": {"Ref": "Stage"}}));
    assert!(
        deeper["TemplateURL"].to_string().contains(&found.nested[&key("deepest.json")].mapping.form_sha256.to_string())
    );
    assert_eq!(inner["Parameters"], json!({"Stage": {"Type": "String"}}));
    assert_eq!(found.root.mapping.nested.len(), 2);
}

#[test]
fn ssts_bucket_is_handed_on_too() {
    let inner = template(&json!({"Queue": queue("sstbootstrap-apsoutheast2-1a2b3c4d5e6f")}));
    let root = template(&json!({"Inner": nested("inner.json")}));
    let all = [("inner.json", &inner)];
    let found = forms(&root, &all).unwrap();
    prove(&found, &root, &all);
    let document = document(&found.root);
    assert_eq!(
        document["Resources"]["Inner"]["Properties"]["Parameters"],
        json!({STAGE_PARAMETER: {"Ref": STAGE_PARAMETER}, BOOTSTRAP_PARAMETER: {"Ref": BOOTSTRAP_PARAMETER}})
    );
    assert_eq!(document["Parameters"].as_object().unwrap().len(), 2);
}

#[test]
fn a_parameter_of_the_templates_own_takes_the_stage_where_it_is_handed_on() {
    let mut inner = template(&json!({"Queue": queue("dev-bank-settlements")}));
    inner["Parameters"] = json!({"Stage": {"Type": "String", "Default": "none"}});
    let mut given = nested("inner.json");
    given["Properties"]["Parameters"] = json!({"Stage": "dev"});
    let root = template(&json!({"Inner": given}));
    let all = [("inner.json", &inner)];
    let found = forms(&root, &all).unwrap();
    prove(&found, &root, &all);
    assert_eq!(found.root.mapping.nested[0].passes, BTreeSet::new());
    assert_eq!(
        document(&found.root)["Resources"]["Inner"]["Properties"]["Parameters"],
        json!({"Stage": {"Ref": "Stage"}})
    );

    // In dev it had its default, or another value.
    let silent = template(&json!({"Inner": nested("inner.json")}));
    let mut other = nested("inner.json");
    other["Properties"]["Parameters"] = json!({"Stage": "blue"});
    let other = template(&json!({"Inner": other}));
    let said = [silent, other].map(|root| forms(&root, &all).unwrap_err().concat());
    insta::assert_debug_snapshot!(said, @r#"
    [
        "the nested stack `Inner` does not get its parameter `Stage`, which is that of its portable form: hand it on, or rename the parameter",
        "the nested stack `Inner` gets something else for its parameter `Stage`, which is that of its portable form: rename the parameter",
    ]
    "#);
}

#[test]
fn either_case_of_a_nested_stack_gets_its_form_where_they_need_the_same() {
    let one = template(&json!({"Queue": queue("dev-bank-one")}));
    let other = template(&json!({"Queue": queue("dev-bank-other")}));
    let plain = template(&json!({"Topic": {"Type": "AWS::SNS::Topic"}}));
    let mut either = nested("one.json");
    let url = |key: &str| nested(key)["Properties"]["TemplateURL"].clone();
    either["Properties"]["TemplateURL"] = json!({"Fn::If": ["Blue", url("one.json"), url("other.json")]});
    let root = template(&json!({"Inner": either}));
    let all = [("one.json", &one), ("other.json", &other)];
    let found = forms(&root, &all).unwrap();
    prove(&found, &root, &all);
    assert_eq!(found.root.mapping.nested[0].templates.len(), 2);
    let said = forms(&root, &[("one.json", &one), ("other.json", &plain)]).unwrap_err().concat();
    assert!(said.contains("need different parameters"), "{said}");
}

#[test]
fn what_cannot_be_led_anywhere_is_refused() {
    let inner = template(&json!({"Queue": queue("dev-bank-settlements")}));
    let mut pieces = nested("inner.json");
    let join =
        json!(["", ["https://s3.ap-southeast-2.", {"Ref": "AWS::URLSuffix"}, format!("/{BUCKET}/inn"), "er.json"]]);
    pieces["Properties"]["TemplateURL"] = json!({"Fn::Join": join});
    let said = forms(&template(&json!({"Inner": pieces})), &[("inner.json", &inner)]).unwrap_err().concat();
    assert!(said.contains("has the key `inner.json` in pieces"), "{said}");
    let endless = template(&json!({"Inner": nested("inner.json")}));
    let said = forms(&endless, &[("inner.json", &endless)]).unwrap_err().concat();
    assert_eq!(said, "its nested stacks are more than 4 levels deep");
}

#[test]
fn a_mapping_that_leads_elsewhere_proves_nothing() {
    let inner = template(&json!({"Queue": queue("dev-bank-settlements")}));
    let root = template(&json!({"Inner": nested("inner.json")}));
    let Forms { root: form, .. } = forms(&root, &[("inner.json", &inner)]).unwrap();
    let root = root.to_string().into_bytes();
    let lies = |change: &dyn Fn(&mut NestedStack)| {
        let mut mapping = form.mapping.clone();
        change(&mut mapping.nested[0]);
        mapping.prove(&root, &form.bytes).is_err()
    };
    assert!(!lies(&|_| {}));
    assert!(lies(&|it| "Other".clone_into(&mut it.resource)));
    assert!(lies(&|it| it.passes.clear()));
    assert!(lies(&|it| it.adds_parameters = false));
    assert!(lies(&|it| it.passes = BTreeSet::from(["Size".to_owned()])));
    assert!(lies(&|it| it.templates.clear()));
    assert!(lies(&|it| it.templates = BTreeMap::from([(key("inner.json"), "other.json".to_owned())])));
    assert!(lies(&|it| it.templates = it.templates.values().map(|to| (key("evil.json"), to.clone())).collect()));
}

#[test]
fn the_template_of_a_stack_takes_over_what_its_forms_declare() {
    let inner = template(&json!({"Queue": queue("dev-bank-settlements")}));
    let root = template(&json!({"Inner": nested("inner.json")})).to_string().into_bytes();
    let mut read = read(&root).unwrap();
    assert_eq!(read.nest_forms(&root, &bytes(&[("inner.json", &inner)]), &made_for(), "t"), []);
    assert_eq!(read.parameters.keys().collect::<Vec<_>>(), [STAGE_PARAMETER]);
    assert_eq!(read.form.unwrap().nested.len(), 1);
}

/// A queue's name that names dev or not, and where, in a template that nests the ones behind it.
fn any_resources() -> impl Strategy<Value = Vec<Vec<(String, bool)>>> {
    let name = prop_oneof!["dev-bank-[a-z]{1,4}", "x111122223333|ap-southeast-2|[a-z]{1,5}|dev", "[a-z/]{0,3}bank/dev"];
    prop::collection::vec(prop::collection::vec((name, any::<bool>()), 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_form_is_its_template_again(levels in any_resources()) {
        let count = levels.len();
        let documents: Vec<Value> = levels.iter().enumerate().map(|(level, queues)| {
            let mut resources = serde_json::Map::new();
            for (at, (name, is_passed)) in queues.iter().enumerate() {
                resources.insert(format!("Queue{at}"), queue(name));
                if level + 1 < count {
                    let mut inner = nested(&format!("level{}.json", level + 1));
                    if *is_passed {
                        inner["Properties"]["Parameters"] = json!({"Stage": "dev", "Size": at});
                    }
                    resources.insert(format!("Inner{at}"), inner);
                }
            }
            template(&Value::Object(resources))
        }).collect();
        let names: Vec<String> = (0..count).map(|level| format!("level{level}.json")).collect();
        let all: Vec<(&str, &Value)> = names.iter().map(String::as_str).zip(&documents).skip(1).collect();
        let found = forms(&documents[0], &all).unwrap();
        prove(&found, &documents[0], &all);
        // A template that nests another leads to its form wherever there is one.
        for (at, document) in documents.iter().enumerate().take(count - 1) {
            let form = if at == 0 { Some(&found.root) } else { found.nested.get(&key(&names[at])) };
            let inner = found.nested.get(&key(&names[at + 1]));
            let stacks = document["Resources"].as_object().unwrap().keys().filter(|it| it.starts_with("Inner")).count();
            let linked = form.map_or(0, |form| form.mapping.nested.len());
            prop_assert_eq!(linked, if inner.is_some() { stacks } else { 0 });
        }
    }
}
