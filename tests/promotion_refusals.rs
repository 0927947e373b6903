//! What `promote` refuses (CONTRACT §5): with every reason, with nothing touched.

use std::collections::BTreeSet;

use e2e::{
    commit::{Commit, path, the_template, the_zip},
    promotion::{
        Promotions, STAGE, URL_STAGE, a_commit, a_repo, break_template, change_template, promotion_of, rollback_of,
    },
};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Sha256,
    store_key::{Form, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::record;
use serde_json::{Value, json};

/// Puts a verdict where the gate put its own: its records wake nobody, so it stays.
async fn forge(here: &Promotions, commit: &Commit, change: impl FnOnce(&mut Verdict)) {
    let mut verdict = here.aws.verdict(commit).await.unwrap();
    change(&mut verdict);
    let (bytes, key) = (record::to_bytes(&verdict).unwrap(), RecordKey::Verdict(commit.id.clone()));
    let put = here.aws.root.s3.put_object().bucket(&here.aws.outputs.records_bucket).key(key.to_string());
    put.checksum_sha256(Sha256::of(&bytes).to_base64()).body(bytes.into()).send().await.unwrap();
}

#[tokio::test]
async fn a_commit_that_was_never_uploaded_or_is_not_tested_yet() {
    let here = Promotions::get().await;
    let commit = a_commit(&here.aws, &a_repo("untested"), 200);
    let event = promotion_of(&commit, STAGE);
    here.refuses(&event, &[Code::NotBuilt]).await;
    assert_eq!(here.ledger_entries(&event).await, 0, "a misspelt name begins no chain");

    here.registered(&commit).await;
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let message = "the commit is `registered`, the stage requires `built`: its integration tests have not run yet";
    assert_eq!(reasons, [Finding::new(Code::NotBuilt, commit.id.to_string(), message)]);
}

#[tokio::test]
async fn a_rejected_commit_with_the_verdicts_own_reasons() {
    let here = Promotions::get().await;
    let mut commit = a_commit(&here.aws, &a_repo("rejected"), 200);
    commit.manifest["tests"]["integration"]["skipped"] = json!(3);
    commit.manifest["tests"]["unit"]["failed"] = json!(1);
    commit.publish(&here.aws.ci().await).await;
    let why = [(Code::ReportMismatch, "tests.integration.skipped"), (Code::UnitFailed, "tests.unit")];
    let verdict = here.aws.becomes(&commit, Outcome::Rejected, &why).await;

    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let (not_built, others): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|it| it.code == Code::NotBuilt);
    assert_eq!((not_built.len(), others), (1, verdict.reasons));
}

#[tokio::test]
async fn a_revoked_commit() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("revoked"), 200).await;
    here.aws.quiet(&commit).await;
    commit.tag(&here.promoter, &path("build-manifest.json"), &[("integration-passed", "false")]).await;
    here.aws.becomes(&commit, Outcome::Revoked, &[(Code::Revoked, "build-manifest.json")]).await;
    here.refuses(&promotion_of(&commit, STAGE), &[Code::NotBuilt, Code::Revoked]).await;
}

#[tokio::test]
async fn a_built_verdict_whose_objects_are_not_tagged() {
    let here = Promotions::get().await;
    let commit = a_commit(&here.aws, &a_repo("untagged"), 200);
    here.registered(&commit).await;
    forge(&here, &commit, |verdict| verdict.outcome = Outcome::Built).await;
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let untagged = reasons.iter().filter(|it| it.code == Code::TagNotTrue);
    assert_eq!(untagged.count(), commit.objects.len() + 1, "every object, and the manifest: {reasons:#?}");
}

#[tokio::test]
async fn a_forged_false_in_the_moment_of_a_promotion_is_waited_out() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("forged-false"), 200).await;
    here.aws.quiet(&commit).await;
    let ci = here.aws.ci().await;
    let mut dry = promotion_of(&commit, STAGE);
    dry["dry_run"] = json!(true);
    let paths: Vec<_> = commit.objects.keys().collect();
    let tag = futures_util::future::join_all(
        paths.iter().map(|path| commit.tag(&ci, path, &[("integration-passed", "false")])),
    );
    let (_, answer) = futures_util::future::join(tag, here.ask(&dry)).await;
    let answer = answer.unwrap();
    assert_eq!(answer["status"], "planned", "{answer:#}");
    for note in answer["notes"].as_array().into_iter().flatten() {
        assert!(note.as_str().unwrap().starts_with("somebody else had changed the tag"), "{note}");
    }
}

#[tokio::test]
async fn an_administrator_with_the_ci_role_forges_verdict_tags_and_attestation_and_promotes_nothing() {
    let here = Promotions::get().await;
    let repo = a_repo("forger");
    let good = here.a_commit(&repo, 200).await;
    let mut commit = a_commit(&here.aws, &repo, 200);
    commit.manifest["tests"]["unit"]["failed"] = json!(1);
    commit.publish(&here.aws.ci().await).await;
    let why = [(Code::UnitFailed, "tests.unit")];
    let rejected = here.aws.becomes(&commit, Outcome::Rejected, &why).await;
    here.aws.quiet(&commit).await;

    // A verdict in the gate's words, and the gate's own signature, of another commit.
    forge(&here, &commit, |verdict| (verdict.outcome, verdict.reasons) = (Outcome::Built, Vec::new())).await;
    let attestation = |commit: &Commit| RecordKey::BuiltAttestation(commit.id.clone(), Form::Dsse);
    let another = here.aws.record(&attestation(&good)).await.unwrap();
    let put = here.aws.root.s3.put_object().bucket(&here.aws.outputs.records_bucket);
    put.key(attestation(&commit).to_string()).body(another.into()).send().await.unwrap();
    let told: BTreeSet<_> =
        here.refusal(&promotion_of(&commit, STAGE)).await.into_iter().map(|reason| reason.code).collect();
    assert_eq!(told, [Code::AttestationInvalid, Code::TagNotTrue].into());

    // Every tag as after Built. The gate may have looked by the time that somebody asks; either way nothing is promoted.
    let paths: Vec<_> = commit.objects.keys().cloned().chain([path("build-manifest.json")]).collect();
    for path in &paths {
        commit.tag(&here.aws.root, path, &[("integration-passed", "true"), ("gatekeeper-outcome", "built")]).await;
    }
    let told: BTreeSet<_> =
        here.refusal(&promotion_of(&commit, STAGE)).await.into_iter().map(|reason| reason.code).collect();
    assert!(told.contains(&Code::AttestationInvalid) || told.contains(&Code::NotBuilt), "{told:?}");
    let again = here.aws.becomes(&commit, Outcome::Rejected, &why).await;
    assert_eq!(again.reasons, rejected.reasons);
}

#[tokio::test]
async fn a_verdict_on_other_objects_than_those_that_are_stored() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("stale"), 200).await;
    let event = promotion_of(&commit, STAGE);
    assert_eq!(here.ask(&with(&event, "dry_run", json!(true))).await.unwrap()["status"], "planned");
    let judged = here.aws.verdict(&commit).await.unwrap();
    let zip = judged.artefacts.iter().position(|it| it.key == commit.key(&the_zip())).unwrap();

    // An event that is late would have the gate judge again, and attest another verdict than the one put back below.
    here.aws.quiet(&commit).await;

    // Another version of the manifest was judged than the one that is stored.
    forge(&here, &commit, |verdict| verdict.manifest_version_id = Some("another".into())).await;
    here.refuses(&event, &[Code::AttestationInvalid, Code::VerdictStale]).await;
    // Another version of a bundle.
    forge(&here, &commit, |verdict| {
        *verdict = judged.clone();
        verdict.artefacts[zip].version_id = "another".into();
    })
    .await;
    here.refuses(&event, &[Code::AttestationInvalid, Code::VerdictStale]).await;
    // One that is stored was not judged.
    forge(&here, &commit, |verdict| {
        *verdict = judged.clone();
        verdict.artefacts.retain(|it| !it.key.contains("/reports/"));
    })
    .await;
    here.refuses(&event, &[Code::AttestationInvalid, Code::VerdictStale]).await;
    // The very version, with other bytes.
    forge(&here, &commit, |verdict| {
        *verdict = judged.clone();
        verdict.artefacts[zip].sha256 = Sha256::of(b"other");
    })
    .await;
    here.refuses(&event, &[Code::AttestationInvalid, Code::DigestMismatch]).await;
    // As it was.
    forge(&here, &commit, |verdict| *verdict = judged.clone()).await;
    let answer = here.ask(&with(&event, "dry_run", json!(true))).await.unwrap();
    assert_eq!(answer["status"], "planned", "{answer:#}");
}

#[tokio::test]
async fn a_stage_that_does_not_fit_the_commit() {
    let here = Promotions::get().await;
    let repo = a_repo("unfit");
    let mut commit = a_commit(&here.aws, &repo, 200);
    change_template(&mut commit, |template| {
        template["Parameters"]["Tables"] = json!({"Type": "String"});
        template["Parameters"]["Vpc"] = json!({"Type": "String"});
    });
    let commit = here.built(commit).await;
    here.refuses(&promotion_of(&commit, "prod"), &[Code::StageUnknown]).await;
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let missing = reasons.iter().map(|it| (it.code, it.subject == commit.key(&the_template())));
    assert_eq!(missing.collect::<Vec<_>>(), [(Code::ParameterMissing, true); 2], "{reasons:?}");
    assert!(["`Tables`", "`Vpc`"].iter().all(|it| reasons.iter().any(|reason| reason.message.contains(it))));
    // Every reason at once.
    here.refuses(&promotion_of(&commit, URL_STAGE), &[Code::ParameterMissing, Code::SmokeUnknownTarget]).await;
}

#[tokio::test]
async fn a_commit_with_a_database_that_the_stage_does_not_have_or_without_a_stack() {
    let here = Promotions::get().await;
    // With a schema and a migration.
    let commit = here.built(Commit::new(&here.aws, "migrates")).await;
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    assert_eq!(
        reasons.iter().map(|it| (it.code, it.subject.as_str())).collect::<Vec<_>>(),
        [(Code::DatabaseNotConfigured, "payments")]
    );

    let mut commit = a_commit(&here.aws, &a_repo("empty"), 200);
    commit.objects.retain(|it, _| it.to_string().starts_with("reports/"));
    commit.list();
    let commit = here.built(commit).await;
    here.refuses(&promotion_of(&commit, STAGE), &[Code::NothingToPromote]).await;
}

#[tokio::test]
async fn a_rollback_to_where_the_stage_never_was() {
    let here = Promotions::get().await;
    let repo = a_repo("forward");
    let (first, other) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 200).await);
    here.refuses(&rollback_of(&repo, None, STAGE), &[Code::NothingToRollBackTo]).await;
    here.refuses(&rollback_of(&repo, Some(&first), STAGE), &[Code::NeverPromoted]).await;
    here.promoted(&first, STAGE).await;
    here.refuses(&rollback_of(&repo, None, STAGE), &[Code::NothingToRollBackTo]).await;
    here.refuses(&rollback_of(&repo, Some(&other), STAGE), &[Code::NeverPromoted]).await;
    // A promotion that failed brought nothing that one could go back to.
    let mut broken = a_commit(&here.aws, &repo, 200);
    break_template(&mut broken);
    let broken = here.built(broken).await;
    here.promote(&broken, STAGE).await;
    here.refuses(&rollback_of(&repo, Some(&broken), STAGE), &[Code::NeverPromoted]).await;
}

fn with(event: &Value, field: &str, value: Value) -> Value {
    let mut event = event.clone();
    event[field] = value;
    event
}

#[tokio::test]
async fn a_malformed_event_is_a_function_error_that_names_every_field() {
    let here = Promotions::get().await;
    let event = json!({"repo": "bank-payments", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357", "stage": STAGE,
                       "requested_by": "jane@bank.example", "reason": "release 2026-05"});
    let names = async |event: &Value, fields: &[&str]| {
        let (error_type, message) = here.ask(event).await.unwrap_err();
        assert_eq!(error_type, "InvalidPromotionEvent");
        let named: Vec<_> = message.split("; ").map(|it| it.split('`').nth(1).unwrap_or(it)).collect();
        assert_eq!(named, fields, "{message}");
    };
    for field in ["repo", "commit_sha", "stage", "requested_by", "reason"] {
        names(&with(&event, field, Value::Null), &[field]).await;
        names(&with(&event, field, json!(7)), &[field]).await;
        names(&with(&event, field, json!("")), &[field]).await;
    }
    names(&with(&event, "dry_run", json!("false")), &["dry_run"]).await;
    names(&with(&event, "rollback", json!(1)), &["rollback"]).await;
    // Would be a promotion that nobody wanted.
    names(&with(&event, "dryRun", json!(true)), &["dryRun"]).await;
    names(&with(&event, "repo", json!("../bank")), &["repo"]).await;
    names(&json!({}), &["repo", "stage", "commit_sha", "requested_by", "reason"]).await;
    names(&json!([]), &["the event is not a JSON object"]).await;
}
