//! The step against Lambda as its API reference describes it, with its throttling, conflicts, revisions and lost
//! answers. Time is paused: what is waited for passes at once.

mod fake;

use std::collections::BTreeSet;

use gatekeeper_model::telemetry::wall_clock;
use gatekeeper_promotion::step::StepStatus;
use gatekeeper_store::memory::Memory;

use self::fake::{Fake, Lambda, Version};
use super::*;

/// The plan's functions: `authorise` and `status` run older code, `ledger` runs the plan's already.
const FUNCTIONS: [&str; 3] = ["authorise", "status", "ledger"];

/// What the function `Pay` was tested with.
const TESTED_IMAGE: &str = "sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

fn fake() -> Fake {
    let mut lambda = Lambda::default();
    for name in FUNCTIONS {
        let live = if name == "ledger" { bundle_of(name) } else { Sha256::of(b"older") };
        lambda.add(name, live, bundle_of(name));
    }
    Fake::new(lambda)
}

use gatekeeper_model::ids::Sha256;

fn bundle_of(name: &str) -> Sha256 {
    Sha256::of(format!("bundle of {name}").as_bytes())
}

fn step(fake: &Fake) -> Step<Memory> {
    Step {
        records: records(fake, None),
        config: fake.config(),
        artefact_bucket: "artefacts".to_owned(),
        pacers: Pacers::of_lambda(),
        publishes: true,
        clock: wall_clock,
    }
}

/// The record of the promotion, and of the one before, where there was one, with the versions that it left.
fn records(fake: &Fake, before: Option<&[(&str, &str)]>) -> Memory {
    let names: Vec<String> = fake.lock().functions.keys().cloned().collect();
    let functions: Vec<Value> = names.iter().map(|name| planned(name)).collect();
    let layer = json!({
        "module": "MOD-012", "resource": "Layer", "kind": "layer", "bucket": [{"literal": "assets"}], "asset_key": "layer.zip",
        "key": "stored.zip", "version_id": "v7", "sha256": bundle_of("layer"), "size": 100,
    });
    let image = json!({
        "resource": "Pay", "property": "Code.ImageUri", "image": [{"literal": "pay:v1"}], "digest": TESTED_IMAGE,
        "is_function": true,
    });
    let images: Vec<_> = fake.lock().image.iter().map(|_| image.clone()).collect();
    let stack = json!({
        "module": "MOD-012", "stack": "payments-api", "stack_name": "bank-payments-uat-payments-api", "key": "t.json",
        "version_id": "v7", "sha256": bundle_of("template"), "size": 100, "parameters": {}, "assets": [layer],
        "images": images,
    });
    let plan = json!({"stacks": [stack], "functions": functions, "migrations": [], "smoke": []});
    let (this, earlier) = ("01JZ0000000000000000000000", "01JY0000000000000000000000");
    let live = before.into_iter().flatten().map(|(function, version)| {
        json!({"function": function, "function_name": format!("uat-{function}"), "code_sha256": null,
            "is_promoted_code": true, "version": version})
    });
    let record = |id: &str, before: Option<&str>, live: Vec<Value>| {
        json!({
            "schema_version": 1, "promotion_id": id, "repo": "bank-payments",
            "commit_sha": "a".repeat(40), "stage": "uat", "requested_by": "jane@bank.example", "reason": "release",
            "rollback": false, "status": "running", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z",
            "ended_at": null, "verdict_version_id": "v", "manifest_version_id": "v", "stages_config_version_id": "v",
            "role_arn": null, "stack_role_arn": null, "way_back": null, "steps": [], "live": live, "plan": plan,
            "promotion_before": before,
        })
    };
    let records = Memory::default();
    for record in [record(this, before.map(|_| earlier), Vec::new()), record(earlier, None, live.collect())] {
        let key = format!("promotions/uat/bank-payments/{}.json", record["promotion_id"].as_str().unwrap());
        records.upload(&key, record.to_string().as_bytes(), &[]);
    }
    records
}

fn planned(name: &str) -> Value {
    json!({
        "module": "MOD-012", "function": name, "stack": "payments-api", "stack_name": "bank-payments-uat-payments-api",
        "logical_id": format!("{name}Fn"), "key": format!("{name}.zip"), "version_id": "v7",
        "sha256": bundle_of(name), "size": 100,
    })
}

async fn ask(step: &Step<Memory>, progress: &[Report<FunctionFacts>]) -> StepAnswer<FunctionFacts> {
    let deadline = wall_clock() + Duration::from_mins(5);
    let invocation = Invocation { log: Logger::silent(), deadline };
    let promotion = json!({"stage": "uat", "repo": "bank-payments", "promotion_id": "01JZ0000000000000000000000"});
    let input = json!({"promotion": promotion, "direction": "forward", "progress": progress});
    step.handle(input, &invocation).await.unwrap()
}

async fn deploy(fake: &Fake) -> StepAnswer<FunctionFacts> {
    ask(&step(fake), &[]).await
}

fn report<'a>(answer: &'a StepAnswer<FunctionFacts>, function: &str) -> &'a Report<FunctionFacts> {
    answer
        .progress
        .iter()
        .find(|it| it.subject == function)
        .unwrap_or_else(|| panic!("no report of {function}: {answer:?}"))
}

/// Every function runs its bundle, and the version that is told of it holds that, published once.
#[track_caller]
fn assert_whole(fake: &Fake, answer: &StepAnswer<FunctionFacts>) {
    assert_eq!(answer.status, StepStatus::Done, "{answer:#?}");
    for (name, function) in &fake.lock().functions {
        assert_eq!(function.code, bundle_of(name), "{name}");
        let told = json!(report(answer, name).facts)["version"].as_str().unwrap().to_owned();
        let holds = function.versions[told.parse::<usize>().unwrap() - 1];
        assert_eq!((holds.code, holds.memory), (function.code, function.memory), "{name}");
        let of_this_bundle = function.versions.iter().filter(|version| **version == holds);
        assert_eq!(of_this_bundle.count(), 1, "{name}: {:?}", function.versions);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_published_the_code_is_proved_all_the_same() {
    let fake = fake();
    let step = Step { publishes: false, ..step(&fake) };
    let answer = ask(&step, &[]).await;
    assert_eq!(answer.status, StepStatus::Done, "{answer:#?}");
    for (name, function) in &fake.lock().functions {
        assert_eq!((function.code, function.versions.len()), (bundle_of(name), 0), "{name}");
    }
    assert_eq!((fake.count("UpdateFunctionCode"), fake.count("PublishVersion")), (2, 0));
    let told = json!(report(&answer, "authorise").facts);
    assert_eq!((&told["code_sha256"], &told["version"]), (&json!(bundle_of("authorise")), &Value::Null));
    assert_eq!(report(&answer, "authorise").detail, "code updated");
}

#[tokio::test(start_paused = true)]
async fn what_differs_is_updated_and_published_by_one_call_and_what_does_not_is_only_published() {
    let fake = fake();
    let answer = deploy(&fake).await;
    assert_whole(&fake, &answer);
    assert_eq!(fake.count("UpdateFunctionCode"), 2);
    assert_eq!(fake.count("PublishVersion"), 1);
    assert_eq!(fake.count("ListStackResources"), 2, "one stack of two pages, once for functions and layers");
    let subjects: Vec<_> = answer.progress.iter().map(|report| report.subject.as_str()).collect();
    assert_eq!(subjects, ["authorise", "ledger", "status"], "in the plan's order");
    let updated = report(&answer, "authorise");
    assert_eq!(updated.status, ReportStatus::Applied);
    assert_eq!(json!(updated.facts)["function_name"], "uat-authorise");
    assert_eq!(json!(updated.facts)["code_sha256"], bundle_of("authorise").to_string());
    assert_eq!(json!(updated.facts)["previous_code_sha256"], Sha256::of(b"older").to_string());
    assert_eq!(json!(updated.facts)["version"], "1");
    assert_eq!(report(&answer, "ledger").status, ReportStatus::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn a_second_run_changes_nothing() {
    let fake = fake();
    deploy(&fake).await;
    let updates = fake.count("UpdateFunctionCode");
    let answer = deploy(&fake).await;
    assert_whole(&fake, &answer);
    assert_eq!(fake.count("UpdateFunctionCode"), updates);
    assert!(answer.progress.iter().all(|report| report.status == ReportStatus::Unchanged));
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_asked_about_again() {
    let fake = fake();
    let first = deploy(&fake).await;
    let before = fake.calls();
    let answer = ask(&step(&fake), &first.progress).await;
    assert_eq!(answer.progress, first.progress);
    assert_eq!(fake.calls(), before);
}

#[tokio::test(start_paused = true)]
async fn every_call_may_be_throttled_or_fail_within_aws_and_the_promotion_waits() {
    for (status, code) in [(429, "TooManyRequestsException"), (500, "ServiceException"), (503, "ServiceUnavailable")] {
        for call in ["GetFunction", "UpdateFunctionCode", "PublishVersion"] {
            let fake = fake();
            fake.lock().refuse = Some((call, 4, status, code));
            assert_whole(&fake, &deploy(&fake).await);
            assert_eq!(fake.lock().refuse.unwrap().1, 0, "{call} was never asked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_by_somebody_else_is_waited_for_and_then_replaced() {
    let fake = fake();
    fake.lock().functions.get_mut("authorise").unwrap().busy_for_looks = 5;
    assert_whole(&fake, &deploy(&fake).await);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_and_a_changed_revision_are_looked_at_again() {
    for code in ["ResourceConflictException", "PreconditionFailedException"] {
        for call in ["UpdateFunctionCode", "PublishVersion"] {
            let fake = fake();
            fake.lock().refuse = Some((call, 2, if code.starts_with('R') { 409 } else { 412 }, code));
            assert_whole(&fake, &deploy(&fake).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_look_and_the_update_is_seen_by_its_revision() {
    let fake = fake();
    fake.lock().change_after_looks = 1;
    assert_whole(&fake, &deploy(&fake).await);
    let refused = fake.lock().refused.iter().filter(|code| **code == "PreconditionFailedException").count();
    assert!(refused > 0, "the fake has not met a stale revision");
}

#[tokio::test(start_paused = true)]
async fn killed_before_or_after_every_call_and_started_again_it_ends_the_same() {
    let whole = fake();
    deploy(&whole).await;
    let calls = whole.calls();
    assert!(calls > 15, "{calls}");
    for at in 1..=calls {
        for after_it in [false, true] {
            let fake = fake();
            fake.lock().dies_at = Some((at, after_it));
            // A dead process answers nothing, so its progress is lost too; it is left alone after two seconds.
            let invocation = Invocation { log: Logger::silent(), deadline: wall_clock() + Duration::from_secs(32) };
            drop(step(&fake).handle(input(), &invocation).await);
            fake.lock().dies_at = None;
            assert_whole(&fake, &deploy(&fake).await);
            assert_eq!(fake.count_accepted("UpdateFunctionCode"), 2, "killed at call {at}");
        }
    }
}

fn input() -> Value {
    json!({"promotion": {"stage": "uat", "repo": "bank-payments", "promotion_id": "01JZ0000000000000000000000"},
        "direction": "forward"})
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_gets_lost_is_found_by_looking() {
    let whole = fake();
    deploy(&whole).await;
    for at in 3..=whole.calls() {
        let fake = fake();
        fake.lock().loses_answer_at = Some(at);
        assert_whole(&fake, &deploy(&fake).await);
        assert_eq!(fake.count_accepted("UpdateFunctionCode"), 2, "lost the answer of call {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_lambda_refuses_for_good_fails_with_its_reason() {
    for code in ["CodeStorageExceededException", "AccessDeniedException", "InvalidParameterValueException"] {
        let fake = fake();
        fake.lock().refuse = Some(("UpdateFunctionCode", 1, 400, code));
        let answer = deploy(&fake).await;
        assert_eq!(answer.status, StepStatus::Failed);
        let failed: Vec<_> = answer.progress.iter().filter(|it| it.status == ReportStatus::Failed).collect();
        assert_eq!(failed.len(), 1, "{answer:#?}");
        assert_eq!(failed[0].detail, format!("UpdateFunctionCode: {code}: as told"));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_is_begun_and_what_runs_comes_to_its_end() {
    let fake = fake();
    {
        let mut lambda = fake.lock();
        // `authorise` waits for somebody else when `status` fails; `ledger` needs no update.
        lambda.functions.get_mut("authorise").unwrap().busy_for_looks = 20;
        lambda.functions.get_mut("status").unwrap().update_fails = Some("the key is disabled");
    }
    let answer = deploy(&fake).await;
    assert_eq!(answer.status, StepStatus::Failed);
    assert_eq!(report(&answer, "status").detail, "the update failed: the key is disabled");
    assert_eq!(report(&answer, "ledger").status, ReportStatus::Unchanged);
    let begun: BTreeSet<_> = answer.progress.iter().map(|it| it.subject.as_str()).collect();
    assert!(!begun.contains("authorise"), "{answer:#?}");
    assert_eq!(fake.lock().functions["authorise"].code, Sha256::of(b"older"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_function_fails_by_name_before_anything_is_touched() {
    for (resource, says) in [
        (None, "stack `bank-payments-uat-payments-api` has no resource `statusFn`"),
        (Some("AWS::SQS::Queue"), "`statusFn` of stack `bank-payments-uat-payments-api` is an `AWS::SQS::Queue`"),
    ] {
        let fake = fake();
        fake.lock().functions.get_mut("status").unwrap().resource = resource;
        let answer = deploy(&fake).await;
        assert_eq!(answer.status, StepStatus::Failed);
        assert!(report(&answer, "status").detail.starts_with(says), "{answer:#?}");
        assert_eq!(fake.writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_other_content_fails_the_functions_before_anything_is_touched() {
    let fake = fake();
    fake.lock().layer = Some(Sha256::of(b"another"));
    let answer = deploy(&fake).await;
    assert_eq!((answer.status, fake.writes()), (StepStatus::Failed, 0));
    let detail = &report(&answer, "authorise").detail;
    assert!(
        detail.starts_with("layer `Layer` of stack `bank-payments-uat-payments-api` holds the content `"),
        "{detail}"
    );
    fake.lock().layer = Some(bundle_of("layer"));
    assert_whole(&fake, &deploy(&fake).await);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_runs_another_image_than_the_tested_one_fails_the_step_before_anything_is_touched() {
    let fake = fake();
    let repository = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/pay";
    for (there, words) in [
        (format!("{repository}@sha256:{}", "1f".repeat(32)), "function `uat-pay` runs the image `sha256:1f"),
        (format!("{repository}:v1"), "Lambda tells no digest of the image that function `uat-pay` runs"),
    ] {
        fake.lock().image = Some(there);
        let answer = deploy(&fake).await;
        assert_eq!((answer.status, fake.writes()), (StepStatus::Failed, 0));
        let detail = &report(&answer, "payments-api/Pay").detail;
        assert!(detail.starts_with(words), "{detail}");
    }
    fake.lock().image = Some(format!("{repository}@{TESTED_IMAGE}"));
    let answer = deploy(&fake).await;
    assert_eq!(answer.status, StepStatus::Done);
    let runs = report(&answer, "payments-api/Pay");
    assert_eq!(runs.status, ReportStatus::Unchanged);
    assert_eq!(json!(runs.facts)["image_digest"], TESTED_IMAGE);
}

#[tokio::test(start_paused = true)]
async fn other_bytes_than_the_planned_ones_fail() {
    let fake = fake();
    fake.lock().functions.get_mut("status").unwrap().stored = Sha256::of(b"forged");
    let answer = deploy(&fake).await;
    assert!(
        report(&answer, "status").detail.starts_with("UpdateFunctionCode answered with the code digest"),
        "{answer:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_of_other_code_fails_where_lambda_does_not_compare() {
    let fake = fake();
    fake.lock().publishes = Some(Sha256::of(b"another"));
    let answer = deploy(&fake).await;
    assert_eq!(answer.status, StepStatus::Failed);
    assert!(
        report(&answer, "ledger").detail.starts_with("PublishVersion answered with the code digest"),
        "{answer:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_that_answers_without_its_version_is_published_by_a_call_of_its_own() {
    let fake = fake();
    fake.lock().tells_no_version = true;
    assert_whole(&fake, &deploy(&fake).await);
    assert_eq!(fake.count("PublishVersion"), 3);
}

/// The next promotion of the same bundles, after one that left `versions`.
async fn deploy_again(fake: &Fake, versions: &[(&str, &str)]) -> StepAnswer<FunctionFacts> {
    let mut step = step(fake);
    step.records = records(fake, Some(versions));
    ask(&step, &[]).await
}

#[tokio::test(start_paused = true)]
async fn where_nothing_has_changed_the_version_of_the_promotion_before_is_looked_at_and_told() {
    let fake = fake();
    deploy(&fake).await;
    let (writes, calls) = (fake.writes(), fake.calls());
    let answer = deploy_again(&fake, &[("authorise", "1"), ("status", "1"), ("ledger", "1")]).await;
    assert_whole(&fake, &answer);
    assert!(answer.progress.iter().all(|report| report.status == ReportStatus::Unchanged));
    assert_eq!(fake.writes(), writes);
    assert_eq!(fake.calls() - calls, 2 + 3 * 2, "a stack's two pages, and of each function itself and its version");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_or_of_another_code_or_other_settings_is_not_taken() {
    let fake = fake();
    {
        let mut lambda = fake.lock();
        let of = |code: &[u8], memory| Version { code: Sha256::of(code), memory };
        lambda.functions.get_mut("authorise").unwrap().code = bundle_of("authorise");
        lambda.functions.get_mut("authorise").unwrap().versions = vec![of(b"older", 128)];
        lambda.functions.get_mut("status").unwrap().code = bundle_of("status");
        lambda.functions.get_mut("ledger").unwrap().versions = vec![of(b"bundle of ledger", 256)];
    }
    let answer = deploy_again(&fake, &[("authorise", "1"), ("status", "7"), ("ledger", "1")]).await;
    assert_whole(&fake, &answer);
    assert_eq!((fake.count("PublishVersion"), fake.count("UpdateFunctionCode")), (3, 0));
    let told = ["authorise", "status", "ledger"].map(|it| json!(report(&answer, it).facts)["version"].clone());
    assert_eq!(told, ["2", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_before_whose_record_is_gone_costs_a_version_and_no_more() {
    let fake = fake();
    let mut step = step(&fake);
    step.records = records(&fake, Some(&[]));
    step.records.delete("promotions/uat/bank-payments/01JY0000000000000000000000.json");
    assert_whole(&fake, &ask(&step, &[]).await);
}

#[tokio::test(start_paused = true)]
async fn before_the_invocation_ends_it_answers_with_what_it_has_and_goes_on_when_asked_again() {
    let fake = fake();
    fake.lock().functions.get_mut("status").unwrap().busy_for_looks = 500;
    let (step, start) = (step(&fake), Instant::now());
    let answer = ask(&step, &[]).await;
    assert_eq!(answer.status, StepStatus::InProgress);
    assert!(start.elapsed() <= Duration::from_secs(271), "{:?}", start.elapsed());
    let waiting = report(&answer, "status");
    assert_eq!((waiting.status, waiting.detail.as_str()), (ReportStatus::InProgress, "an update is in progress"));
    fake.lock().functions.get_mut("status").unwrap().busy_for_looks = 0;
    let answer = ask(&step, &answer.progress).await;
    assert_whole(&fake, &answer);
    assert_eq!(report(&answer, "status").started_at, waiting.started_at);
}

/// What cannot be read of the code that ran before is no sign that the step has changed it.
#[tokio::test(start_paused = true)]
async fn earlier_code_that_is_told_in_words_that_cannot_be_read_is_a_failure() {
    let begun = json!([{"subject": "ledger", "status": "in-progress", "detail": "", "started_at": wall_clock(),
                        "facts": {"previous_code_sha256": "older"}}]);
    let progress: Vec<_> = serde_json::from_value(begun).unwrap();
    let answer = ask(&step(&fake()), &progress).await;
    let ledger = report(&answer, "ledger");
    assert_eq!(ledger.status, ReportStatus::Failed);
    assert!(ledger.detail.contains("a fact `previous_code_sha256` that can't be read"), "{ledger:#?}");
}

#[tokio::test(start_paused = true)]
async fn forty_functions_take_their_quotas_time_and_meet_no_throttling() {
    let mut lambda = Lambda::default();
    for number in 0..40 {
        let name = format!("function-{number:02}");
        lambda.add(&name, Sha256::of(b"older"), bundle_of(&name));
    }
    lambda.enforces_quota = true;
    let (fake, start) = (Fake::new(lambda), Instant::now());
    assert_whole(&fake, &deploy(&fake).await);
    assert!(fake.lock().refused.is_empty(), "{:?}", fake.lock().refused);
    assert_eq!(fake.writes(), 40, "the version comes with the update");
    // A full bucket at once, the others at 15 a second; then Lambda's own time.
    let limit = Duration::from_secs_f64((40.0 - 15.0) / 15.0) + Duration::from_secs(3);
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_promotion_without_a_way_back_and_a_foreign_event_are_told_apart_from_failures() {
    let fake = fake();
    let invocation = Invocation { log: Logger::silent(), deadline: wall_clock() + Duration::from_mins(5) };
    let mut back = input();
    back["direction"] = "back".into();
    for event in [back, json!({"repo": "bank-payments"})] {
        let error = step(&fake).handle(event, &invocation).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidStepInput");
    }
    let mut unknown = input();
    unknown["promotion"]["stage"] = "sit".into();
    assert_eq!(step(&fake).handle(unknown, &invocation).await.unwrap_err().error_type, "StepError");
}
