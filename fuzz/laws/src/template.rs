//! CloudFormation templates: a template means what its JSON means, however that is spelt, and what nobody has judged is
//! never passed over.

use serde_json::{Value, json};

use crate::{
    input::{is_json, plain_json, told},
    product::{
        Finding, Rules, SynthesisedFor,
        template::{self, Template, Unless, form},
    },
};

const SUBJECT: &str = "t.json";

/// The most findings and doubts of one template.
const MOST: usize = 100;

/// The laws of a template.
pub fn template(document: &[u8]) {
    let (findings, found) = template::inspect(document, SUBJECT);
    told(&findings, SUBJECT);
    if !is_json(document) {
        assert!(found.is_none() && !findings.is_empty(), "what is no JSON is no template");
        return;
    }
    let Some(found) = found else {
        assert!(!findings.is_empty(), "what is no template is said to be none");
        return;
    };
    assert!(findings.len() + found.doubts.len() <= MOST);
    remembered(document, &found);
    portable(document);
    let doubts = policy(&found);
    if let Some(value) = plain_json(document)
        && findings.len() + doubts.len() < MOST
    {
        for spelt in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON is written")] {
            assert_eq!(judged(spelt.as_bytes()), Some(sorted(findings.clone(), &found)), "spelt {spelt}");
        }
        if findings.is_empty() && doubts.is_empty() {
            unjudged(&value);
        }
    }
}

/// The portable form with dev's values is the template again, and names nothing any more that could be derived away.
fn portable(document: &[u8]) {
    let made_for: SynthesisedFor = serde_json::from_value(json!({
        "account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank-payments"
    }))
    .expect("a declaration");
    match form::derive(document, &made_for, SUBJECT) {
        Ok(form) => {
            form.mapping.prove(document, &form.bytes).expect("the form is the template again");
            let again = form::derive(&form.bytes, &made_for, SUBJECT).expect("a form has a form");
            assert_eq!(again.mapping.substitutions, [], "the form of a form is itself");
        }
        Err(findings) => told(&findings, SUBJECT),
    }
}

/// What is remembered of a template is what was found, and what a promotion reads is the same.
fn remembered(document: &[u8], found: &Template) {
    let json = serde_json::to_vec(found).expect("a template is written");
    assert_eq!(serde_json::from_slice::<Template>(&json).expect("a template reads back"), *found);
    let without = Template { doubts: Vec::new(), ..found.clone() };
    assert_eq!(template::read(document), Some(without), "as a promotion reads it");
}

/// A policy takes away the doubts that it names and no others. Gives all of them as findings.
fn policy(found: &Template) -> Vec<Finding> {
    let mut rules = Rules::of_adr_053(&"bank-payments".parse().expect("a repository"));
    let all = found.check_policy(SUBJECT, &rules);
    assert_eq!(all.len(), found.doubts.len(), "ADR-053 alone takes away no doubt");
    told(&all, SUBJECT);
    for doubt in &found.doubts {
        match &doubt.unless {
            Unless::Known(name) => drop(rules.known_types.insert(name.clone())),
            Unless::Shared(accounts) => rules.shared_accounts.extend(accounts.iter().cloned()),
        }
    }
    assert_eq!(found.check_policy(SUBJECT, &rules), [], "a policy that names every doubt takes all of them away");
    all
}

/// What is found of a document, in an order of its own: that of keys in an object means nothing.
fn judged(document: &[u8]) -> Option<(Vec<Finding>, Vec<String>, Template)> {
    let (findings, found) = template::inspect(document, SUBJECT);
    found.map(|found| sorted(findings, &found))
}

fn sorted(mut findings: Vec<Finding>, found: &Template) -> (Vec<Finding>, Vec<String>, Template) {
    findings.sort();
    let mut doubts: Vec<_> = found.doubts.iter().map(|doubt| format!("{doubt:?}")).collect();
    doubts.sort();
    (findings, doubts, Template { doubts: Vec::new(), ..found.clone() })
}

/// A change of a template, whose first resource is given.
type Change = fn(&mut Value, &str);

/// What nobody has judged is doubted or refused where a template was fine before: a section, a type, a property, an account,
/// a transform and a dynamic reference.
fn unjudged(value: &Value) {
    let first =
        value["Resources"].as_object().and_then(|resources| resources.keys().next()).expect("a resource").clone();
    let changes: [(&str, Change); 6] = [
        ("a section", |it, _| it["Surprise"] = json!({})),
        ("a type", |it, _| it["Resources"]["Surprise0"] = json!({"Type": "AWS::Surprise::Thing"})),
        ("a property", |it, first| {
            let resource = &mut it["Resources"][first];
            if !resource["Properties"].is_object() {
                resource["Properties"] = json!({});
            }
            resource["Properties"]["SurpriseProperty"] = json!(1);
        }),
        ("an account", |it, _| {
            if !it["Outputs"].is_object() {
                it["Outputs"] = json!({});
            }
            it["Outputs"]["Surprise0"] = json!({"Value": "arn:aws:iam::111122224444:role/surprise"});
        }),
        ("a transform", |it, _| it["Transform"] = json!("Surprise")),
        ("a key that stands twice", |_, _| {}),
    ];
    // The properties of a custom resource are its own.
    let is_custom = value["Resources"][&first]["Type"]
        .as_str()
        .is_some_and(|it| it.starts_with("Custom::") || it == "AWS::CloudFormation::CustomResource");
    for (what, change) in changes.into_iter().filter(|(what, _)| *what != "a property" || !is_custom) {
        let mut changed = value.clone();
        change(&mut changed, &first);
        let mut text = changed.to_string();
        if what == "a key that stands twice" {
            text = text.replacen('{', "{\"Description\": \"one\", \"Description\": \"two\", ", 1);
        }
        let (findings, found) = template::inspect(text.as_bytes(), SUBJECT);
        let doubts = found.as_ref().map_or(0, |found| found.doubts.len());
        let has_room = changed["Resources"].as_object().is_none_or(|it| it.len() <= template::MAX_RESOURCES);
        assert!(!findings.is_empty() || doubts > 0 || !has_room, "{what} passes in {text}");
    }
}
