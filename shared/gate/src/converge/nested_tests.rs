//! Nested stacks whose templates name dev, at the gate and over the memory store.

use gatekeeper_model::{
    ids::Commit,
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::memory::Memory;
use serde_json::{Value, json};

use super::*;
use crate::converge::{NoVerifier, check};

const BUCKET: &str = "cdk-hnb659fds-assets-111122223333-eu-west-1";

/// The verdict on a commit of two stacks, `root` and `other`; `nested` is an asset of the first.
async fn judged(root: &Value, other: &Value, nested: &Value) -> Verdict {
    let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
    let commit = Commit { repo: "bank".parse().unwrap(), sha: sha.parse().unwrap() };
    let artefacts = Memory::default();
    let store = |path: &str, document: &Value| {
        let bytes = document.to_string();
        let sha256 = Sha256::of(bytes.as_bytes());
        let path = path.replace("DIGEST", &sha256.to_string());
        artefacts.upload(&format!("{}modules/MOD-012/{path}", commit.prefix()), bytes.as_bytes(), &[]);
        json!({"sha256": sha256, "size": bytes.len()})
    };
    let stack = |name: &str, document: &Value| {
        let mut listed = store(&format!("cloudformation/{name}.json"), document);
        listed["name"] = json!(name);
        listed
    };
    let mut asset = store("assets/DIGEST.json", nested);
    asset.as_object_mut().unwrap().extend([
        ("kind".to_owned(), json!("template")),
        ("stack".to_owned(), json!("root")),
        ("key".to_owned(), json!("inner.json")),
    ]);
    let modules = json!([{"id": "MOD-012", "stacks": [stack("root", root), stack("other", other)], "assets": [asset]}]);
    let manifest = json!({
        "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z", "modules": modules,
        "synthesised_for":
            {"account": "111122223333", "region": "eu-west-1", "stage": "dev", "application": "bank"},
        "tests": {
            "typecheck": {"errors": 0},
            "unit": {"passed": 2, "failed": 0, "line_coverage": 90, "function_coverage": 90},
            "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
            "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
        },
        "deploy": {"stage": "dev", "succeeded": true}
    });
    artefacts.upload(&format!("{}build-manifest.json", commit.prefix()), manifest.to_string().as_bytes(), &[]);
    let now = "2026-05-02T03:10:00Z".parse().unwrap();
    check(&artefacts, &Memory::default(), &commit, &NoVerifier, &std::env::temp_dir(), now).await.unwrap()
}

fn queue(name: &str) -> Value {
    json!({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}})
}

fn root(url: &Value) -> Value {
    let inner = json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}});
    json!({"Parameters": {"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}},
        "Resources": {"Inner": inner}})
}

fn asset() -> Value {
    json!(format!("https://s3.eu-west-1.amazonaws.com/{BUCKET}/inner.json"))
}

#[tokio::test]
async fn the_forms_of_nested_templates_are_told_with_their_stacks() {
    let (other, inner) =
        (json!({"Resources": {"Queue": queue("q")}}), json!({"Resources": {"Queue": queue("dev-bank-q")}}));
    let root = root(&asset());
    let verdict = judged(&root, &other, &inner).await;
    assert_eq!((verdict.outcome, &verdict.reasons), (Outcome::Built, &Vec::new()));
    let [plain, leading] = ["other", "root"].map(|stack| &verdict.forms[&stack.parse::<StackName>().unwrap()]);
    assert_eq!(plain.nested.len(), 0);
    let nested = BTreeMap::from([("inner.json".parse().unwrap(), inner.to_string().into_bytes())]);
    let made_for = json!({"account": "111122223333", "region": "eu-west-1", "stage": "dev", "application": "bank"});
    let made_for = serde_json::from_value(made_for).unwrap();
    let forms = template::forms::derive(root.to_string().as_bytes(), &nested, &made_for, "t").unwrap();
    assert_eq!((leading, leading.nested.len()), (&forms.told(), 1));
}

#[tokio::test]
async fn a_nested_template_without_a_form_or_that_a_form_cannot_lead_to_is_refused() {
    let (other, inner) =
        (json!({"Resources": {"Queue": queue("q")}}), json!({"Resources": {"Queue": queue("dev-bank-q")}}));
    let reasons = |verdict: Verdict| {
        assert_eq!(verdict.outcome, Outcome::Rejected);
        verdict.reasons.into_iter().map(|it| (it.code, it.message)).collect::<Vec<_>>()
    };
    let mut given = root(&asset());
    given["Resources"]["Inner"]["Properties"]["Parameters"] = json!({"Stage": "blue"});
    let said = reasons(judged(&given, &other, &inner).await);
    assert_eq!(said[0].0, Code::TemplateFormInvalid);
    assert!(said[0].1.contains("the nested stack `Inner` gets something else for its parameter `Stage`"), "{said:?}");
    // What lies in the artefact store is dev's.
    let stored = json!({"Fn::Sub": "https://${ArtefactBucket}.s3.${AWS::Region}.${AWS::URLSuffix}/${ArtefactPrefix}/cloudformation/other.json"});
    let mut both = root(&stored);
    both["Resources"]["Asset"] = root(&asset())["Resources"]["Inner"].clone();
    let plain = judged(&both, &other, &inner).await;
    assert_eq!((plain.outcome, &plain.reasons), (Outcome::Built, &Vec::new()));
    let said = reasons(judged(&both, &json!({"Resources": {"Queue": queue("dev-bank-q")}}), &inner).await);
    assert_eq!(said[0].0, Code::TemplateNotPortable);
    assert!(
        said[0].1.contains("nested stack `Inner` takes from the artefact store the template of `other`"),
        "{said:?}"
    );
}
