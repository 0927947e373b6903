//! What is deployed and what is refused, from a store in memory.

use std::time::Duration;

use aws_sdk_cloudformation::types::{Parameter, Stack};
use gatekeeper_model::ids::{Commit, Sha256};
use gatekeeper_store::memory::Memory;
use serde_json::{Value, json};

use super::{stored::Stored, *};

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const ACCOUNT: &str = "111122223333";

fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

fn function(code: &Value) -> Value {
    json!({"Type": "AWS::Lambda::Function", "Properties": {
        "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": code}})
}

/// A template that takes its code from the store.
fn portable() -> Value {
    let code =
        json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/pay.zip"}});
    json!({
        "Parameters": {
            "ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}, "Stage": {"Type": "String"},
            "LogLevel": {"Type": "String", "Default": "info"},
        },
        "Resources": {"PayFn": function(&code), "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}},
    })
}

/// A template as SST synthesises it for `dev`.
fn synthesised() -> Value {
    let code = json!({"S3Bucket": format!("cdk-hnb659fds-assets-{ACCOUNT}-eu-west-1"), "S3Key": "0f.zip"});
    json!({"Resources": {
        "PayFn": function(&code), "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dev-bank-payments-settlements"}},
    }})
}

/// A store with one commit; `change` changes its manifest, and `outcome` is what the gate has tagged it with.
fn store(template: &Value, change: impl FnOnce(&mut Value), outcome: Option<&str>) -> Memory {
    let (store, prefix) = (Memory::default(), commit().prefix());
    let (zip, template, script) = (b"the code".as_slice(), template.to_string().into_bytes(), b"SELECT 1;".as_slice());
    let digest = |bytes: &[u8]| Sha256::of(bytes).to_string();
    let module = "modules/MOD-012";
    let mut manifest = json!({
        "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z",
        "modules": [{
            "id": "MOD-012",
            "functions": [{"name": "pay", "sha256": digest(zip), "size": zip.len(), "stack": "api", "logical_id": "PayFn"}],
            "stacks": [{"name": "api", "sha256": digest(&template), "size": template.len(), "tags": {"sst:stage": "dev"}}],
            "migrations": [{"database": "ledger", "file": "V1__a.sql", "sha256": digest(script), "size": script.len()}],
        }],
    });
    change(&mut manifest);
    store.upload(&format!("{prefix}{module}/functions/pay.zip"), zip, &[]);
    store.upload(&format!("{prefix}{module}/cloudformation/api.json"), &template, &[]);
    store.upload(&format!("{prefix}{module}/schema/ledger/migrations/V1__a.sql"), script, &[]);
    let tags: Vec<_> = outcome.into_iter().map(|outcome| ("gatekeeper-outcome", outcome)).collect();
    store.upload(&format!("{prefix}build-manifest.json"), manifest.to_string().as_bytes(), &tags);
    store
}

async fn read(store: &Memory) -> stored::Answer {
    stored::read(store, &commit(), Duration::ZERO).await.unwrap()
}

/// The codes and subjects for which nothing is deployed.
async fn refusals(store: &Memory) -> Vec<String> {
    let reasons = read(store).await.unwrap_err();
    let prefix = commit().prefix();
    reasons.iter().map(|it| format!("{} {}", it.code, it.subject.replace(&prefix, ""))).collect()
}

fn declare(manifest: &mut Value) {
    manifest["synthesised_for"] =
        json!({"account": ACCOUNT, "region": "eu-west-1", "stage": "dev", "application": "bank-payments"});
}

/// The plan for dev, its assets as `bucket/key`, and the stacks as they are applied.
fn planned(
    stored: &Stored,
    parameters: &[(&str, &str)],
) -> (Plan, Vec<String>, Vec<gatekeeper_promotion::plan::PlannedStack>) {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (stage, account, region) = (StageName::dev(), ACCOUNT.parse().unwrap(), "eu-west-1".parse().unwrap());
    let dev = Dev {
        stage: &stage,
        account: &account,
        region: &region,
        caller: "arn:aws:sts::111122223333:assumed-role/deploy/pipeline",
        artefact_bucket: "artefacts",
        stack_name: STACK_NAME,
        parameters: &parameters,
    };
    let plan = plan::plan(stored, &dev).unwrap();
    let assets = plan::all_assets(stored, &plan, &dev).unwrap().into_iter();
    let assets = assets.map(|it| format!("{}/{} {} {}", it.bucket, it.key, it.bundle.key, it.is_kept)).collect();
    let stacks = plan.stacks.iter().map(|stack| plan::applied(stored, stack)).collect();
    (plan, assets, stacks)
}

#[tokio::test]
async fn what_is_stored_is_planned_with_devs_values() {
    let stored = read(&store(&portable(), |_| {}, Some("registered"))).await.unwrap();
    let (plan, assets, stacks) = planned(&stored, &[("LogLevel", "debug")]);
    assert_eq!((assets.len(), plan.migrations.len(), plan.databases.len()), (0, 0, 0));
    insta::assert_json_snapshot!(stacks);
}

#[tokio::test]
async fn a_template_that_names_dev_is_applied_as_it_is_and_its_code_lies_where_it_says() {
    let stored = read(&store(&synthesised(), declare, Some("built"))).await.unwrap();
    let (plan, assets, stacks) = planned(&stored, &[]);
    let bucket = format!("cdk-hnb659fds-assets-{ACCOUNT}-eu-west-1");
    let zip = format!("{}modules/MOD-012/functions/pay.zip", commit().prefix());
    assert_eq!(assets, [format!("{bucket}/0f.zip {zip} true")]);
    // The form declares the stage, the template doesn't: CloudFormation would refuse the parameter.
    assert_eq!(plan.stacks[0].parameters.keys().collect::<Vec<_>>(), ["Stage"]);
    assert!(stacks[0].parameters.is_empty() && stacks[0].form.is_none());
    assert_eq!(stacks[0].applied_sha256(), Sha256::of(synthesised().to_string().as_bytes()));
    assert_eq!(stacks[0].tags, [("sst:stage".to_owned(), "dev".to_owned())].into());
}

#[tokio::test]
async fn only_a_commit_that_the_gate_knows_is_deployed() {
    for outcome in ["registered", "built"] {
        assert!(read(&store(&portable(), |_| {}, Some(outcome))).await.is_ok(), "{outcome}");
    }
    for (outcome, refusal) in [
        (Some("revoked"), "revoked build-manifest.json"),
        (Some("rejected"), "not-built build-manifest.json"),
        (Some("incomplete"), "not-built build-manifest.json"),
        (Some("judging"), "not-built build-manifest.json"),
        (None, "not-built build-manifest.json"),
    ] {
        assert_eq!(refusals(&store(&portable(), |_| {}, outcome)).await, [refusal], "{outcome:?}");
    }
    assert_eq!(refusals(&Memory::default()).await, ["manifest-missing build-manifest.json"]);
    let another = store(&portable(), |manifest| manifest["repo"] = json!("bank-kyc"), Some("registered"));
    assert_eq!(refusals(&another).await, ["manifest-mismatch build-manifest.json"]);
}

#[tokio::test]
async fn every_object_has_the_bytes_that_the_manifest_lists() {
    let store = store(&portable(), |_| {}, Some("registered"));
    let prefix = commit().prefix();
    store.upload(&format!("{prefix}modules/MOD-012/functions/pay.zip"), b"other code", &[]);
    store.upload(&format!("{prefix}modules/MOD-012/schema/ledger/migrations/V1__a.sql"), b"SELECT 2;", &[]);
    assert_eq!(
        refusals(&store).await,
        [
            "digest-mismatch modules/MOD-012/functions/pay.zip",
            "digest-mismatch modules/MOD-012/schema/ledger/migrations/V1__a.sql"
        ]
    );
    let missing = |manifest: &mut Value| {
        let mut another = manifest["modules"][0]["functions"][0].clone();
        (another["name"], another["logical_id"]) = (json!("refund"), json!("RefundFn"));
        manifest["modules"][0]["functions"].as_array_mut().unwrap().push(another);
    };
    let store = self::store(&portable(), missing, Some("registered"));
    assert_eq!(refusals(&store).await, ["artefact-missing modules/MOD-012/functions/refund.zip"]);
}

#[test]
fn only_dev_is_deployed_so() {
    let check = |stage: &str, dev: Option<&str>| {
        let made_for = dev.map(|dev| {
            let declared = json!({"account": ACCOUNT, "region": "eu-west-1", "stage": dev, "application": "a"});
            serde_json::from_value(declared).unwrap()
        });
        plan::check_stage(&stage.parse().unwrap(), made_for.as_ref()).map_err(|error| error.0)
    };
    assert_eq!(check("dev", None), Ok(()));
    assert_eq!(check("dev", Some("dev")), Ok(()));
    assert_eq!(check("sandbox", Some("sandbox")), Ok(()));
    let refused =
        [check("uat", None), check("uat", Some("dev")), check("dev", Some("sandbox"))].map(Result::unwrap_err);
    insta::assert_snapshot!(refused.join("\n"));
}

#[tokio::test]
async fn parameters_fit_the_templates() {
    let mut template = portable();
    template["Parameters"]["Table"] = json!({"Type": "String"});
    let stored = read(&store(&template, |_| {}, Some("registered"))).await.unwrap();
    let check = |given: &[(&str, &str)]| {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        plan::check_parameters(&stored, &given).map_err(|error| error.0)
    };
    assert_eq!(check(&[("Table", "payments")]), Ok(()));
    insta::assert_snapshot!(check(&[("Stage", "uat"), ("Loglevel", "debug")]).unwrap_err());
}

#[test]
fn a_stack_that_a_promotion_has_applied_is_known() {
    let mut template = portable();
    template["Parameters"]["Stage"]["Default"] = json!("none");
    let template = gatekeeper_readers::template::read(template.to_string().as_bytes());
    let stack = |stage: Option<&str>, change_set: &str| {
        let parameter = stage.map(|stage| Parameter::builder().parameter_key("Stage").parameter_value(stage).build());
        let id = format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:changeSet/{change_set}/0f3c");
        let stack = Stack::builder().stack_name("bank-uat-api").set_parameters(parameter.map(|it| vec![it]));
        plan::is_promoted(&stack.change_set_id(id).build(), &StageName::dev(), template.as_ref())
    };
    for (stage, change_set) in [
        (None, "gatekeeper-deploy-3f1c9a0b5d7e-1796045812437"),
        (Some("dev"), "cdk-deploy-change-set"),
        (Some("none"), "cdk-deploy-change-set"),
        (None, "gatekeeper-of-somebody"),
    ] {
        assert_eq!(stack(stage, change_set), None, "{change_set}");
    }
    let told = [
        stack(Some("uat"), "cdk-deploy-change-set"),
        stack(None, "gatekeeper-01jz0000000000000000000000-forward"),
        stack(Some("dev"), "gatekeeper-01jz0000000000000000000000-back"),
    ];
    insta::assert_snapshot!(told.map(Option::unwrap).join("\n"));
}
