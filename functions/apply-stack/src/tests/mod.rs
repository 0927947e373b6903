mod cloud;
mod replacement;
mod tell;

use std::sync::{Arc, Mutex};

use gatekeeper_promotion::step::StepStatus;
use gatekeeper_readers::template::{form, forms, forms::Forms};
use jiff::Timestamp;

use self::cloud::{Cloud, ENDPOINT, Fault};
use super::*;

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const PROMOTION: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const TEMPLATE_KEY: &str = "bank/modules/MOD-012/cloudformation/api.json";
const BUNDLE_KEY: &str = "bank/modules/MOD-012/functions/pay.zip";
const ASSET: &str = "cdk-hnb659fds-assets-111122223333-ap-southeast-2/0f.zip";

const PLAIN: &str = r#"{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}"#;
const CDK: &str = r#"{"Resources": {"PayFn": {"Type": "AWS::Lambda::Function", "Properties": {"Runtime": "nodejs22.x",
  "Handler": "index.handler", "Code": {"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},
  "S3Key": "0f.zip"}}}}}"#;

/// A stored commit with one stack, promoted to a stage that has none of it.
fn cloud(template: &str) -> Cloud {
    let pinned = |key: &str, bytes: &str| json!({"key": key, "version_id": "v1", "sha256": gatekeeper_model::ids::Sha256::of(bytes.as_bytes()), "size": bytes.len()});
    let mut stack =
        json!({"module": "MOD-012", "stack": "api", "stack_name": "bank-uat-api", "parameters": {"Stage": "uat"}});
    stack.as_object_mut().unwrap().extend(pinned(TEMPLATE_KEY, template).as_object().unwrap().clone());
    let mut function = json!({"module": "MOD-012", "function": "pay", "stack": "api", "stack_name": "bank-uat-api", "logical_id": "PayFn"});
    function.as_object_mut().unwrap().extend(pinned(BUNDLE_KEY, "zip").as_object().unwrap().clone());
    let record = json!({
        "schema_version": 1, "promotion_id": PROMOTION, "repo": "bank", "commit_sha": SHA, "stage": "uat",
        "requested_by": "jane@bank.example", "reason": "release 2026-05", "rollback": false, "status": "running",
        "execution_arn": "", "started_at": "2026-05-02T03:04:05Z", "ended_at": null, "verdict_version_id": "v1",
        "manifest_version_id": "v1", "stages_config_version_id": "v1", "role_arn": null, "stack_role_arn": null,
        "plan": {"stacks": [stack], "functions": [function], "migrations": [], "smoke": []},
        "way_back": null, "steps": [], "live": [],
    });
    let mut cloud = Cloud::default();
    for (key, bytes) in [
        (format!("records/promotions/uat/bank/{PROMOTION}.json"), record.to_string()),
        (format!("artefacts/{TEMPLATE_KEY}"), template.to_owned()),
        (format!("artefacts/{BUNDLE_KEY}"), "zip".to_owned()),
        ("cdk-hnb659fds-assets-111122223333-ap-southeast-2/other.zip".to_owned(), "other".to_owned()),
    ] {
        cloud.objects.insert(key, bytes.into_bytes());
    }
    cloud
}

/// The same, where the stage runs another template.
fn cloud_to_update(template: &str) -> Cloud {
    Cloud { stack: Some(("UPDATE_COMPLETE".to_owned(), "{}".to_owned())), ..cloud(template) }
}

fn step(cloud: &Arc<Mutex<Cloud>>) -> ApplyStack {
    ApplyStack {
        settings: Settings {
            artefact_bucket: "artefacts".to_owned(),
            records_bucket: "records".to_owned(),
            witness_bucket: None,
            timestamp_url: None,
            notification_bus: None,
            account_id: None,
            person_role_id: None,
            stage_boundary_arn: None,
            is_shared_account: false,
            state_machine_arn: None,
            migrate_database_function: None,
            stack_role_arn: Some("arn:aws:iam::111122223333:role/stacks".to_owned()),
            gate_role_ids: Vec::new(),
            s3_endpoint: Some(ENDPOINT.to_owned()),
            event_queue_url: None,
            signing_key_arn: None,
            promotion_signing_key_arn: None,
            approval_signing_key_arn: None,
            trust_root: None,
            judge_run_function: None,
            verify_provenance_function: None,
            alarm_topic_arn: None,
        },
        config: cloud::config(cloud),
        look_again: Duration::ZERO,
    }
}

fn input(progress: &Value) -> Value {
    let promotion = json!({"stage": "uat", "repo": "bank", "promotion_id": PROMOTION});
    json!({"promotion": promotion, "direction": "forward", "progress": progress})
}

fn invocation() -> Invocation {
    Invocation { log: Logger::silent(), deadline: Timestamp::MAX }
}

/// What the state machine does: asks until the step is done, again with the same progress where it errs.
async fn promote(cloud: Cloud) -> (StepAnswer<StackFacts>, Cloud, usize) {
    let cloud = Arc::new(Mutex::new(cloud));
    let step = step(&cloud);
    let (mut progress, mut errors) = (json!([]), 0);
    for _ in 0..20 {
        match step.handle(input(&progress), invocation()).await {
            Ok(answer) if answer.status == StepStatus::InProgress => progress = json!(answer.progress),
            Ok(answer) => {
                drop(step);
                let cloud = std::mem::take(&mut *cloud.lock().unwrap());
                return (answer, cloud, errors);
            }
            Err(error) => {
                assert!(error.error_type.ends_with("Failed") || error.error_type == "StepError", "{error:?}");
                errors += 1;
                assert!(errors <= 3, "{error:?}");
            }
        }
    }
    panic!("it never ends: {:?}", cloud.lock().unwrap().calls);
}

async fn check(cloud: Cloud, status: ReportStatus) -> (Report<StackFacts>, Cloud) {
    let (answer, cloud, _) = promote(cloud).await;
    assert_eq!(answer.progress[0].status, status, "{answer:?}");
    assert_eq!(answer.status == StepStatus::Failed, status == ReportStatus::Failed);
    (answer.progress[0].clone(), cloud)
}

#[tokio::test]
async fn a_new_stack_is_made_by_a_change_set_of_the_pinned_template_and_nothing_else() {
    let (report, cloud) = check(cloud(PLAIN), ReportStatus::Applied).await;
    assert_eq!(cloud.stack, Some(("CREATE_COMPLETE".to_owned(), PLAIN.to_owned())));
    insta::assert_json_snapshot!(report.facts, @r#"
    {
      "change_set": "arn:aws:cloudformation:ap-southeast-2:111122223333:changeSet/gatekeeper-01arz3ndektsv4rrffq69g5fav-forward/1",
      "executed": true,
      "stack_id": "stack-1",
      "template_sha256": "7953b7551305c4ec593d229f2c955983f7d628232824286dae7d2460442e903f"
    }
    "#);
    insta::assert_json_snapshot!(cloud.asked["CreateChangeSet"], @r#"
    {
      "Capabilities.member.1": "CAPABILITY_IAM",
      "Capabilities.member.2": "CAPABILITY_NAMED_IAM",
      "ChangeSetName": "gatekeeper-01arz3ndektsv4rrffq69g5fav-forward",
      "ChangeSetType": "CREATE",
      "Description": "artefact-gatekeeper: bank@3f1c9a0b5d7e2468ace013579bdf02468ace1357",
      "IncludeNestedStacks": "true",
      "Parameters.member.1.ParameterKey": "Stage",
      "Parameters.member.1.ParameterValue": "uat",
      "RoleARN": "arn:aws:iam::111122223333:role/stacks",
      "StackName": "bank-uat-api",
      "TemplateURL": "http://127.0.0.1:9/artefacts/bank/modules/MOD-012/cloudformation/api.json?versionId=v1",
      "Version": "2010-05-15"
    }
    "#);
    insta::assert_json_snapshot!(cloud.asked["ExecuteChangeSet"], @r#"
    {
      "ChangeSetName": "arn:aws:cloudformation:ap-southeast-2:111122223333:changeSet/gatekeeper-01arz3ndektsv4rrffq69g5fav-forward/1",
      "ClientRequestToken": "gatekeeper-01arz3ndektsv4rrffq69g5fav-forward-1",
      "DisableRollback": "false",
      "StackName": "bank-uat-api",
      "Version": "2010-05-15"
    }
    "#);
    insta::assert_snapshot!(cloud.calls.join(" "), @"GetObject GetObject DescribeStacks DescribeChangeSet GetObject CreateChangeSet DescribeStacks DescribeChangeSet GetTemplate DescribeChangeSet ExecuteChangeSet DescribeStacks DescribeChangeSet GetObject GetObject DescribeStacks DescribeChangeSet");
}

/// Whatever lies there stops it: also what can't be read.
#[tokio::test]
async fn a_stack_that_is_not_begun_is_not_begun_once_somebody_stops_the_promotion() {
    let at_work = json!([{"subject": "bank-uat-data", "status": "in-progress", "detail": "", "started_at": "2026-05-02T03:04:05Z"}]);
    for progress in [json!([]), at_work] {
        let mut cloud = cloud_to_update(PLAIN);
        cloud.objects.insert(format!("records/promotions/uat/bank/{PROMOTION}/stop.json"), b"planted".to_vec());
        let cloud = Arc::new(Mutex::new(cloud));
        let answer = step(&cloud).handle(input(&progress), invocation()).await.unwrap();
        let report = answer.progress.last().unwrap();
        assert_eq!((answer.status, report.subject.as_str()), (StepStatus::Failed, "stop"), "{answer:?}");
        assert!(report.detail.contains("which can't be read"), "{report:?}");
        assert_eq!(cloud.lock().unwrap().calls, ["GetObject", "GetObject"], "nothing of the stage is asked");
    }
}

/// A template that names dev, of so many functions, and what the plan says of its form.
fn synthesised(functions: usize) -> (Cloud, String) {
    let mut template: Value = serde_json::from_str(CDK).unwrap();
    let mut function = template["Resources"]["PayFn"].take();
    function["Properties"]["Environment"] = json!({"Variables": {"SST_STAGE": "dev", "TEXT": "x".repeat(400)}});
    function["Properties"]["Code"]["S3Bucket"] = json!("cdk-hnb659fds-assets-111122223333-ap-southeast-2");
    for number in 0..functions {
        let id = if number == 0 { "PayFn".to_owned() } else { format!("PayFn{number}") };
        template["Resources"][id] = function.clone();
    }
    let template = template.to_string();
    let made_for =
        json!({"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"});
    let form = form::derive(template.as_bytes(), &serde_json::from_value(made_for.clone()).unwrap(), "it").unwrap();
    let mut cloud = cloud(&template);
    cloud.objects.insert(ASSET.replace("0f.zip", "there"), Vec::new());
    change_plan(&mut cloud, |plan| {
        let mut planned = serde_json::to_value(form.told()).unwrap();
        planned["synthesised_for"] = made_for;
        plan["stacks"][0]["form"] = planned;
        for number in 1..functions {
            let mut function = plan["functions"][0].clone();
            function["logical_id"] = json!(format!("PayFn{number}"));
            plan["functions"].as_array_mut().unwrap().push(function);
        }
    });
    (cloud, String::from_utf8(form.bytes).unwrap())
}

/// Changes the plan in the promotion's record.
fn change_plan(cloud: &mut Cloud, change: impl FnOnce(&mut Value)) {
    let key = format!("records/promotions/uat/bank/{PROMOTION}.json");
    let mut record: Value = serde_json::from_slice(&cloud.objects[&key]).unwrap();
    change(&mut record["plan"]);
    cloud.objects.insert(key, record.to_string().into_bytes());
}

#[tokio::test]
async fn of_a_template_that_names_dev_the_attested_form_is_applied() {
    let (cloud, form) = synthesised(1);
    let (report, cloud) = check(cloud, ReportStatus::Applied).await;
    assert_eq!(cloud.asked["CreateChangeSet"]["TemplateBody"], form);
    assert_eq!(cloud.stack.unwrap().1, form);
    let applied = gatekeeper_model::ids::Sha256::of(form.as_bytes());
    assert_eq!(report.facts.template_sha256.read(), Ok(Some(&applied)));
}

#[tokio::test]
async fn a_form_that_is_too_large_for_a_call_is_put_into_the_asset_bucket() {
    let (cloud, form) = synthesised(100);
    assert!(form.len() > 51_200, "{}", form.len());
    let (_, cloud) = check(cloud, ReportStatus::Applied).await;
    let key = format!("{}.json", gatekeeper_model::ids::Sha256::of(form.as_bytes()));
    let bucket = "cdk-hnb659fds-assets-111122223333-ap-southeast-2";
    assert_eq!(cloud.asked["CreateChangeSet"]["TemplateURL"], format!("{ENDPOINT}/{bucket}/{key}"));
    assert_eq!(cloud.objects[&format!("{bucket}/{key}")], form.as_bytes());
}

#[tokio::test]
async fn a_form_that_is_not_the_attested_one_is_not_applied() {
    let (mut cloud, _) = synthesised(1);
    change_plan(&mut cloud, |plan| plan["stacks"][0]["form"]["synthesised_for"]["stage"] = json!("prod"));
    let (report, cloud) = check(cloud, ReportStatus::Failed).await;
    assert!(report.detail.contains("is not the attested one"), "{}", report.detail);
    assert!(cloud.stack.is_none(), "{:?}", cloud.stack);
}

#[tokio::test]
async fn a_stack_gets_its_tags_and_is_protected_once_it_stands() {
    let mut cloud = cloud(PLAIN);
    change_plan(&mut cloud, |plan| {
        plan["stacks"][0]["tags"] = json!({"sst:stage": "uat"});
        plan["stacks"][0]["termination_protection"] = json!(true);
    });
    let (_, cloud) = check(cloud, ReportStatus::Applied).await;
    let asked = &cloud.asked["CreateChangeSet"];
    assert_eq!((asked["Tags.member.1.Key"].as_str(), asked["Tags.member.1.Value"].as_str()), ("sst:stage", "uat"));
    assert!(cloud.is_protected);
    // It is done once, and never undone.
    let stands = Some(("CREATE_COMPLETE".to_owned(), PLAIN.to_owned()));
    let again = Cloud { stack: stands, is_protected: true, ..self::cloud(PLAIN) };
    let (_, cloud) = check(again, ReportStatus::Unchanged).await;
    assert!(cloud.is_protected && !cloud.calls.contains(&"UpdateTerminationProtection".to_owned()));
}

#[tokio::test]
async fn a_stack_that_is_there_is_updated() {
    let (_, cloud) = check(cloud_to_update(PLAIN), ReportStatus::Applied).await;
    assert_eq!(cloud.asked["CreateChangeSet"]["ChangeSetType"], "UPDATE");
    assert_eq!(cloud.stack, Some(("UPDATE_COMPLETE".to_owned(), PLAIN.to_owned())));
}

#[tokio::test]
async fn nothing_to_change_is_success_and_leaves_no_change_set() {
    let unchanged = Cloud { stack: Some(("UPDATE_COMPLETE".to_owned(), PLAIN.to_owned())), ..cloud(PLAIN) };
    let (_, cloud) = check(unchanged, ReportStatus::Unchanged).await;
    assert_eq!((cloud.executions, cloud.change_set.is_none()), (0, true));
}

#[tokio::test]
async fn what_an_earlier_creation_has_left_is_deleted_and_made_anew() {
    let left = Cloud { stack: Some(("ROLLBACK_COMPLETE".to_owned(), String::new())), ..cloud(PLAIN) };
    let (_, cloud) = check(left, ReportStatus::Applied).await;
    assert!(cloud.calls.contains(&"DeleteStack".to_owned()));
    assert_eq!(cloud.stack.unwrap().0, "CREATE_COMPLETE");
}

#[tokio::test]
async fn a_failure_is_told_in_the_resources_own_words() {
    for (cloud, ends_in) in [(cloud(PLAIN), "ROLLBACK_COMPLETE"), (cloud_to_update(PLAIN), "UPDATE_ROLLBACK_COMPLETE")]
    {
        let (report, cloud) = check(Cloud { ends_in: Some(ends_in), ..cloud }, ReportStatus::Failed).await;
        assert_eq!(
            report.detail,
            format!("the stack is `{ends_in}`: `PayFn` (AWS::Lambda::Function) UPDATE_FAILED: memory is too small")
        );
        assert_eq!(cloud.executions, 1);
    }
}

#[tokio::test]
async fn a_change_set_of_other_bytes_is_never_executed() {
    let forged = Cloud { other_template: Some(PLAIN.replace("Topic", "Other")), ..cloud_to_update(PLAIN) };
    let (report, cloud) = check(forged, ReportStatus::Failed).await;
    assert!(report.detail.starts_with("template bytes are not the pinned ones"), "{}", report.detail);
    assert_eq!((cloud.executions, cloud.change_set.is_none()), (0, true));
}

#[tokio::test]
async fn a_template_whose_stored_bytes_are_others_is_never_applied() {
    let mut overwritten = cloud(PLAIN);
    overwritten.objects.insert(format!("artefacts/{TEMPLATE_KEY}"), CDK.into());
    let (report, cloud) = check(overwritten, ReportStatus::Failed).await;
    insta::assert_snapshot!(report.detail, @"the stored bytes of version `v1` of `bank/modules/MOD-012/cloudformation/api.json` are not the pinned ones");
    assert_eq!(cloud.stack, None);
}

#[tokio::test]
async fn the_code_lies_proved_where_a_cdk_template_names_it_before_the_change_set_is_made() {
    let (report, cloud) = check(cloud(CDK), ReportStatus::Applied).await;
    assert_eq!(cloud.objects[ASSET], b"zip");
    assert_eq!((report.facts.code_copied.read(), report.facts.code_already_there.read()), (Ok(Some(&1)), Ok(Some(&0))));
    let at = |action: &str| cloud.calls.iter().position(|it| it == action).unwrap();
    assert!(at("CopyObject") < at("CreateChangeSet"));
    let copy = &cloud.asked["CopyObject"];
    assert_eq!(copy["x-amz-copy-source"], format!("artefacts/{BUNDLE_KEY}?versionId=v1"));
    assert_eq!(copy["x-amz-expected-bucket-owner"], "111122223333");
    assert_eq!(
        (copy["x-amz-checksum-algorithm"].as_str(), copy["x-amz-tagging-directive"].as_str()),
        ("SHA256", "REPLACE")
    );
}

#[tokio::test]
async fn code_that_lies_there_already_is_not_copied() {
    let mut there = cloud(CDK);
    there.objects.insert(ASSET.to_owned(), b"zip".to_vec());
    let (report, cloud) = check(there, ReportStatus::Applied).await;
    assert_eq!(report.facts.code_already_there.read(), Ok(Some(&1)));
    assert!(!cloud.calls.contains(&"CopyObject".to_owned()));
}

#[tokio::test]
async fn a_copy_that_is_not_the_pinned_bundle_ends_the_promotion_before_the_stack_is_touched() {
    let mut overwritten = cloud(CDK);
    overwritten.objects.insert(format!("artefacts/{BUNDLE_KEY}"), b"other".to_vec());
    let (report, cloud) = check(overwritten, ReportStatus::Failed).await;
    assert!(report.detail.contains("is not proved"), "{}", report.detail);
    assert_eq!(cloud.stack, None);
}

#[tokio::test]
async fn an_account_without_the_asset_bucket_has_to_be_bootstrapped() {
    let mut bare = cloud(CDK);
    bare.objects.retain(|key, _| !key.starts_with("cdk-"));
    let (report, _) = check(bare, ReportStatus::Failed).await;
    insta::assert_snapshot!(report.detail, @"the bucket `cdk-hnb659fds-assets-111122223333-ap-southeast-2`, which the template takes its code from, does not exist: run `cdk bootstrap` in the stage's account");
}

#[tokio::test]
async fn a_store_that_the_stages_account_cannot_see_is_no_missing_bootstrap() {
    let cloud = Arc::new(Mutex::new(Cloud {
        fault: Some(Fault::Refused("CopyObject", 404, "NoSuchBucket", "The specified bucket does not exist")),
        ..cloud(CDK)
    }));
    let error = step(&cloud).handle(input(&json!([])), invocation()).await.unwrap_err();
    assert_eq!(error.error_type, "StorageFailed");
    assert!(
        error.message.starts_with(&format!("CopyObject of `{BUNDLE_KEY}` to `{ASSET}` failed")),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn throttling_waits_and_never_fails() {
    for action in [
        "DescribeStacks",
        "DescribeChangeSet",
        "CreateChangeSet",
        "GetTemplate",
        "ExecuteChangeSet",
        "DescribeStackEvents",
        "GetCallerIdentity",
        "HeadObject",
        "CopyObject",
    ] {
        for (status, code) in [(400, "Throttling"), (503, "SlowDown"), (429, "")] {
            let fault = Some(Fault::RefusedOnce(action, status, code, "Rate exceeded"));
            let ends_in = (action == "DescribeStackEvents").then_some("UPDATE_ROLLBACK_COMPLETE");
            let expect = if ends_in.is_some() { ReportStatus::Failed } else { ReportStatus::Applied };
            // A HEAD's answer has no body, so only its status can say it.
            if (action, status) == ("HeadObject", 400) {
                continue;
            }
            let (answer, cloud, errors) = promote(Cloud { ends_in, fault, ..cloud_to_update(CDK) }).await;
            assert_eq!(
                (answer.progress[0].status, errors, cloud.executions),
                (expect, 0, 1),
                "{action} {code}: {answer:?}"
            );
            assert!(cloud.fault.is_none(), "{action} was never called");
        }
    }
}

#[tokio::test]
async fn cloudformations_own_word_on_the_request_is_final_and_told() {
    for (action, code, message) in [
        ("CreateChangeSet", "ValidationError", "Parameters: [Memory] must have values"),
        ("CreateChangeSet", "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_AUTO_EXPAND]"),
        ("CreateChangeSet", "LimitExceededException", "Limit on stacks exceeded"),
        ("ExecuteChangeSet", "ValidationError", "Role arn is invalid or cannot be assumed"),
    ] {
        let fault = Some(Fault::Refused(action, 400, code, message));
        let (report, _) = check(Cloud { fault, ..cloud_to_update(PLAIN) }, ReportStatus::Failed).await;
        assert_eq!(report.detail, format!("cloudformation refuses {action}: {message}"));
    }
}

#[tokio::test]
async fn what_cloudformation_found_wrong_before_it_began_is_told_by_resource() {
    let reason = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck].";
    let refuses = Some(reason);
    let (report, cloud) = check(Cloud { refuses, ..cloud(PLAIN) }, ReportStatus::Failed).await;
    insta::assert_snapshot!(report.detail, @"cloudformation refuses the change set: The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck].; `Bucket` (AWS::S3::Bucket) VALIDATION_FAILED: NAME_CONFLICT_VALIDATION: it already exists (at /Resources/Bucket)");
    assert!(cloud.asked["DescribeEvents"]["ChangeSetName"].starts_with("arn:"));
    assert!(cloud.change_set.is_none(), "a redrive starts afresh");

    let fault = Some(Fault::Refused("DescribeEvents", 403, "AccessDenied", "not authorized"));
    let (report, _) = check(Cloud { refuses, fault, ..cloud_to_update(PLAIN) }, ReportStatus::Failed).await;
    assert_eq!(report.detail, format!("cloudformation refuses the change set: {reason}"));
}

#[tokio::test]
async fn what_else_is_at_work_on_the_stack_is_waited_for() {
    let message = "Stack is in UPDATE_IN_PROGRESS state and can not be updated.";
    for action in ["CreateChangeSet", "ExecuteChangeSet"] {
        let fault = Some(Fault::RefusedOnce(action, 400, "ValidationError", message));
        let (_, cloud) = check(Cloud { fault, ..cloud_to_update(PLAIN) }, ReportStatus::Applied).await;
        assert_eq!(cloud.executions, 1);
    }
}

#[tokio::test]
async fn a_step_that_is_killed_at_any_call_ends_the_same() {
    type Scenario = (&'static str, fn() -> Cloud, &'static [ReportStatus]);
    let applied: &[ReportStatus] = &[ReportStatus::Applied, ReportStatus::Unchanged];
    let scenarios: [Scenario; 7] = [
        ("refused", || Cloud { refuses: Some("validation failed"), ..cloud_to_update(PLAIN) }, &[ReportStatus::Failed]),
        ("create", || cloud(CDK), applied),
        ("update", || cloud_to_update(CDK), applied),
        (
            "unchanged",
            || Cloud { stack: Some(("CREATE_COMPLETE".to_owned(), CDK.to_owned())), ..cloud(CDK) },
            &[ReportStatus::Unchanged],
        ),
        (
            "left over",
            || Cloud { stack: Some(("ROLLBACK_COMPLETE".to_owned(), String::new())), ..cloud(PLAIN) },
            applied,
        ),
        ("failing create", || Cloud { ends_in: Some("ROLLBACK_COMPLETE"), ..cloud(PLAIN) }, &[ReportStatus::Failed]),
        (
            "failing update",
            || Cloud { ends_in: Some("UPDATE_ROLLBACK_COMPLETE"), ..cloud_to_update(PLAIN) },
            &[ReportStatus::Failed],
        ),
    ];
    for (name, scenario, expect) in scenarios {
        let (_, undisturbed, _) = promote(scenario()).await;
        for at in 0..undisturbed.calls.len() {
            for fault in [Fault::Lost(at), Fault::AnswerLost(at)] {
                let case = format!("{name}: {fault:?} ({})", undisturbed.calls[at]);
                let (answer, after, errors) = promote(Cloud { fault: Some(fault), ..scenario() }).await;
                assert!(expect.contains(&answer.progress[0].status), "{case}: {answer:?}");
                assert_eq!(errors, 1, "{case}");
                assert_eq!(after.stack, undisturbed.stack, "{case}");
                assert!(after.change_set.is_none(), "{case}");
                let executions = if undisturbed.executions == 1 && expect == [ReportStatus::Failed] {
                    1..=2
                } else {
                    undisturbed.executions..=undisturbed.executions
                };
                assert!(executions.contains(&after.executions), "{case}: {}", after.executions);
            }
        }
    }
}

#[tokio::test]
async fn what_it_is_not_asked_for_is_an_error_with_a_name() {
    let cloud = Arc::new(Mutex::new(cloud(PLAIN)));
    let step = step(&cloud);
    let ask = async |input: Value| step.handle(input, invocation()).await.unwrap_err().error_type;
    let promotion = |id: &str| json!({"stage": "uat", "repo": "bank", "promotion_id": id});
    assert_eq!(ask(json!({})).await, "InvalidStepInput");
    assert_eq!(ask(json!({"promotion": promotion(PROMOTION), "direction": "back"})).await, "InvalidStepInput");
    let other = promotion("01ARZ3NDEKTSV4RRFFQ69G5FAW");
    assert_eq!(ask(json!({"promotion": other, "direction": "forward"})).await, "StepError");
}

/// Taken for one that was not executed, a change set's failure would be taken for somebody else's.
#[tokio::test]
async fn an_execution_that_is_told_in_words_that_cannot_be_read_is_an_error() {
    let cloud = Arc::new(Mutex::new(cloud_to_update(PLAIN)));
    let report = json!({"subject": "bank-uat-api", "status": "in-progress", "detail": "",
                        "started_at": "2026-05-02T03:04:05Z", "facts": {"executed": "yes"}});
    let error = step(&cloud).handle(input(&json!([report])), invocation()).await.unwrap_err();
    assert_eq!(error.error_type, "StepError");
    assert!(error.message.contains("`bank-uat-api` tells a fact `executed` that can't be read"), "{error:?}");
    assert!(!cloud.lock().unwrap().calls.contains(&"CreateChangeSet".to_owned()));
}

const ASSET_KEY: &str = "bank/modules/MOD-012/assets/0f.json";
const PLACED: &str = "cdk-hnb659fds-assets-111122223333-ap-southeast-2/inner.json";
const INNER: &str = r#"{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}"#;

/// The same commit, whose stack takes an asset: a file, or the template of a nested stack.
fn cloud_with_asset(kind: &str) -> Cloud {
    let mut cloud = cloud(PLAIN);
    let record = cloud.objects.get_mut(&format!("records/promotions/uat/bank/{PROMOTION}.json")).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(record).unwrap();
    document["plan"]["stacks"][0]["assets"] = json!([{
        "module": "MOD-012", "resource": "Inner", "kind": kind, "asset_key": "inner.json",
        "bucket": [{"literal": "cdk-hnb659fds-assets-"}, {"ref": "AWS::AccountId"}, {"literal": "-"}, {"ref": "AWS::Region"}],
        "key": ASSET_KEY, "version_id": "v1", "sha256": gatekeeper_model::ids::Sha256::of(INNER.as_bytes()), "size": INNER.len(),
    }]);
    *record = document.to_string().into_bytes();
    cloud.objects.insert(format!("artefacts/{ASSET_KEY}"), INNER.into());
    cloud.nested = Some(INNER.to_owned());
    cloud
}

#[tokio::test]
async fn an_asset_is_created_where_the_template_names_it_before_the_change_set_is_made() {
    let (report, cloud) = check(cloud_with_asset("file"), ReportStatus::Applied).await;
    assert_eq!(cloud.objects[PLACED], INNER.as_bytes());
    assert_eq!(report.facts.code_copied.read(), Ok(Some(&1)));
    assert_eq!(cloud.asked["CopyObject"]["if-none-match"], "*");
    let at = |action: &str| cloud.calls.iter().position(|it| it == action).unwrap();
    assert!(at("CopyObject") < at("CreateChangeSet"));
    assert!(!cloud.calls.contains(&"ListStackResources".to_owned()), "it has no nested stack");
}

#[tokio::test]
async fn other_bytes_under_an_assets_key_are_left_and_end_the_promotion() {
    for tells_digests in [true, false] {
        let mut taken = cloud_with_asset("file");
        taken.objects.insert(PLACED.to_owned(), b"somebody's".to_vec());
        taken.tells_no_digests = !tells_digests;
        let (report, cloud) = check(taken, ReportStatus::Failed).await;
        assert!(report.detail.contains("They are somebody's: find out whose"), "{}", report.detail);
        assert_eq!((cloud.objects[PLACED].as_slice(), &cloud.stack), (b"somebody's".as_slice(), &None));
        // The same bytes, whoever put them there, are fine.
        let mut same = cloud_with_asset("file");
        same.objects.insert(PLACED.to_owned(), INNER.into());
        same.tells_no_digests = !tells_digests;
        let (report, cloud) = check(same, ReportStatus::Applied).await;
        assert_eq!(report.facts.code_already_there.read(), Ok(Some(&1)));
        assert!(!cloud.calls.contains(&"CopyObject".to_owned()));
    }
}

#[tokio::test]
async fn a_nested_stack_is_proved_to_have_the_pinned_template() {
    let (_, cloud) = check(cloud_with_asset("template"), ReportStatus::Applied).await;
    assert_eq!(cloud.asked["GetTemplate"]["StackName"], "stack-inner");
    let mut other = cloud_with_asset("template");
    other.nested = Some(INNER.replace("Queue", "Other"));
    let (report, _) = check(other, ReportStatus::Failed).await;
    assert!(
        report.detail.contains("the nested stack `Inner` has another template than the pinned one"),
        "{}",
        report.detail
    );
    // Where a condition leaves it out there is none.
    let mut without = cloud_with_asset("template");
    without.nested = None;
    check(without, ReportStatus::Applied).await;
}

/// A commit whose template names dev, and so does the template of its nested stack. Gives the plan's forms too.
fn cloud_with_nested_form() -> (Cloud, Forms) {
    let url =
        "https://s3.ap-southeast-2.amazonaws.com/cdk-hnb659fds-assets-111122223333-ap-southeast-2/folder/inner.json";
    let root = json!({"Resources": {
        "Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}},
    }});
    let inner = json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dev-bank-q"}}}});
    let (root, inner) = (root.to_string(), inner.to_string());
    let made_for =
        json!({"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"});
    let declared = serde_json::from_value(made_for.clone()).unwrap();
    let nested = std::collections::BTreeMap::from([("folder/inner.json".parse().unwrap(), inner.clone().into_bytes())]);
    let forms = forms::derive(root.as_bytes(), &nested, &declared, "it").unwrap();
    let mut cloud = cloud(&root);
    change_plan(&mut cloud, |plan| {
        let mut planned = serde_json::to_value(forms.told()).unwrap();
        planned["synthesised_for"] = made_for;
        plan["stacks"][0]["form"] = planned;
        plan["stacks"][0]["assets"] = json!([{
            "module": "MOD-012", "resource": "Inner", "kind": "template", "asset_key": "folder/inner.json",
            "bucket": [{"literal": "cdk-hnb659fds-assets-"}, {"ref": "AWS::AccountId"}, {"literal": "-"}, {"ref": "AWS::Region"}],
            "key": ASSET_KEY, "version_id": "v1", "sha256": gatekeeper_model::ids::Sha256::of(inner.as_bytes()),
            "size": inner.len(),
        }]);
    });
    cloud.objects.insert(format!("artefacts/{ASSET_KEY}"), inner.into_bytes());
    cloud.nested = Some(String::from_utf8(forms.nested.values().next().unwrap().bytes.clone()).unwrap());
    (cloud, forms)
}

#[tokio::test]
async fn a_nested_template_that_names_dev_lies_as_its_form_where_the_parents_form_leads() {
    let (cloud, forms) = cloud_with_nested_form();
    let form = forms.nested.values().next().unwrap().clone();
    let bucket = "cdk-hnb659fds-assets-111122223333-ap-southeast-2";
    let placed = format!("{bucket}/folder/{}.json", form.mapping.form_sha256);
    let applied = String::from_utf8(forms.root.bytes).unwrap();
    assert!(applied.contains(&format!("/folder/{}.json", form.mapping.form_sha256)), "{applied}");
    let (report, done) = check(cloud, ReportStatus::Applied).await;
    assert_eq!(done.asked["CreateChangeSet"]["TemplateBody"], applied);
    assert_eq!(done.objects[&placed], form.bytes);
    assert_eq!(done.asked["PutObject"]["if-none-match"], "*");
    assert!(!done.objects.contains_key(&format!("{bucket}/folder/inner.json")), "dev's own is not copied");
    assert_eq!(report.facts.code_copied.read(), Ok(Some(&1)));
    assert_eq!(done.asked["GetTemplate"]["StackName"], "stack-inner");

    // What lies there already is taken; other bytes are somebody's.
    let (mut again, _) = cloud_with_nested_form();
    again.objects.insert(placed.clone(), form.bytes.clone());
    let (report, done) = check(again, ReportStatus::Applied).await;
    assert_eq!(report.facts.code_already_there.read(), Ok(Some(&1)));
    assert!(!done.calls.contains(&"PutObject".to_owned()));
    let (mut taken, _) = cloud_with_nested_form();
    taken.objects.insert(placed.clone(), b"somebody's".to_vec());
    let (report, done) = check(taken, ReportStatus::Failed).await;
    assert!(report.detail.contains("They are somebody's"), "{}", report.detail);
    assert_eq!((done.objects[&placed].as_slice(), &done.stack), (b"somebody's".as_slice(), &None));
}

#[tokio::test]
async fn a_nested_form_that_is_not_the_attested_one_is_not_applied() {
    let (mut lies, _) = cloud_with_nested_form();
    change_plan(&mut lies, |plan| {
        plan["stacks"][0]["form"]["nested"]["folder/inner.json"]["sha256"] = json!("0".repeat(64));
    });
    let (report, cloud) = check(lies, ReportStatus::Failed).await;
    assert!(report.detail.contains("nor that of its nested template `folder/inner.json`"), "{}", report.detail);
    assert!(cloud.stack.is_none(), "{:?}", cloud.stack);
    // What the stack runs in the end is held against the form, not against dev's template.
    let (mut other, _) = cloud_with_nested_form();
    other.nested = Some(String::from_utf8(other.objects[&format!("artefacts/{ASSET_KEY}")].clone()).unwrap());
    let (report, _) = check(other, ReportStatus::Failed).await;
    assert!(report.detail.contains("the nested stack `Inner` has another template"), "{}", report.detail);
}
