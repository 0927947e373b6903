//! The sample events in events/ are read as their README says.

#![expect(clippy::unwrap_used, reason = "a test says where it fails")]

use std::{collections::BTreeSet, path::Path};

use gatekeeper_model::{
    event::Batch, event::Change, event::Change::Created, event::Change::Removed, event::Change::Tagged, ids::Commit,
    store_key::ArtefactKey, store_key::ArtefactPath,
};
use gatekeeper_promotion::{
    approval::ApprovalRequest, approval::WithdrawRequest, brake::Action, brake::BrakeRequest, brake::ReleaseRequest,
    database_check::DatabaseCheckEvent, database_check::ParityEvent, drift::WatchRequest, request::PromotionRequest,
    runs::CompleteEvent, waiver::WaiveRequest,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");

const MANIFEST: &str = "build-manifest.json";
const ZIP: &str = "modules/MOD-012/functions/authorise-payment.zip";
const MIGRATION: &str = "modules/MOD-012/schema/payments/migrations/V1__create ledger + index (1).sql";

/// Every sample that wakes the gate: what happened to which object of the commit, message by message.
const GATE: [(&str, &[(Change, &str)]); 7] = [
    ("s3-object-created.json", &[(Created, MIGRATION)]),
    ("s3-object-removed.json", &[(Removed, ZIP)]),
    ("s3-object-tagging.json", &[(Tagged, MANIFEST)]),
    ("eventbridge-object-created.json", &[(Created, MIGRATION)]),
    ("eventbridge-object-tags-added.json", &[(Tagged, MANIFEST)]),
    ("sqs-s3.json", &[(Created, ZIP), (Tagged, MANIFEST)]),
    ("dead-letter-redrive.json", &[(Created, ZIP)]),
];

/// Every sample for `promote`: whether it is a dry run, and whether it is a rollback.
const PROMOTE: [(&str, bool, bool); 5] = [
    ("promotion.json", false, false),
    ("promotion-accepting-replacement.json", false, false),
    ("promotion-dry-run.json", true, false),
    ("rollback.json", false, true),
    ("rollback-accepting-schema-difference.json", false, true),
];

/// The sample for `approve`.
const APPROVE: &str = "approval.json";

/// Every sample for `promote` from whoever pulls the brake, or agrees to a waiver or ends one.
const BRAKE: [&str; 4] = ["hold.json", "stop.json", "agree-to-waiver.json", "end-waiver.json"];

/// The sample for `approve` from whoever lets go of it.
const RELEASE: &str = "release.json";

/// The samples for `approve` from whoever proposes a waiver, and from whoever withdraws an approval.
const WAIVE: &str = "waive.json";
const WITHDRAW: &str = "withdraw.json";

/// The sample for `judge-run` from whoever hands in a run.
const COMPLETION: &str = "completion.json";

/// The sample for `migrate-database` when `promote` asks it to look.
const DATABASE_CHECK: &str = "database-check.json";

/// The sample for `migrate-database` when `watch-drift` asks how the schemas compare.
const DATABASE_PARITY: &str = "database-parity.json";

/// Every sample for `watch-drift`: whether it is about everything.
const WATCH: [(&str, bool); 2] = [("scheduled-drift.json", true), ("drift-by-hand.json", false)];

/// The sample for `witness`, which its own tests hold it to.
const CATCH_UP: &str = "witness-catch-up.json";

/// The sample that asks the gate to sweep, which its own tests hold it to.
const SWEEP: &str = "sweep.json";

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap() }
}

#[test]
fn every_event_of_s3_is_read_whichever_way_it_comes() {
    for (name, expected) in GATE {
        let batch = Batch::parse(&sample(name));
        assert_eq!(batch.from_queue, name.starts_with("sqs") || name.starts_with("dead-letter"), "{name}");
        assert!(batch.records.iter().all(|record| record.message_id.is_empty() != batch.from_queue), "{name}");
        let events: Vec<_> = batch.records.into_iter().flat_map(|record| record.events.unwrap()).collect();
        assert!(events.iter().all(|event| event.version_id.is_some() && event.principal.is_some()), "{name}");
        let keys = events.iter().map(|event| (event.change, ArtefactKey::parse(&event.key).unwrap()));
        let seen: Vec<_> = keys.inspect(|(_, key)| assert_eq!(key.commit, commit(), "{name}")).collect();
        let seen: Vec<_> = seen.iter().map(|(change, key)| (*change, key.path.to_string())).collect();
        let expected: Vec<_> = expected.iter().map(|(change, path)| (*change, (*path).to_owned())).collect();
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn every_manual_event_is_read() {
    for (name, dry_run, rollback) in PROMOTE {
        let request = PromotionRequest::parse(&sample(name)).unwrap();
        assert_eq!((request.dry_run, request.rollback), (dry_run, rollback), "{name}");
        assert_eq!(request.repo, commit().repo, "{name}");
        assert_eq!(request.commit_sha, (!rollback).then(|| commit().sha), "{name}");
        assert_eq!(request.accept_schema_difference, name.contains("accepting-schema"), "{name}");
        assert_eq!(request.accept_replacement.is_empty(), !name.contains("accepting-replacement"), "{name}");
    }
}

#[test]
fn the_database_check_is_read() {
    let DatabaseCheckEvent { check } = serde_json::from_value(sample(DATABASE_CHECK)).unwrap();
    assert_eq!(Commit { repo: check.repo, sha: check.commit_sha }, commit());
    for migration in &check.migrations {
        let key = ArtefactKey::parse(&migration.script.key).unwrap();
        let path =
            ArtefactPath::Migration(migration.module.clone(), migration.database.clone(), migration.file.clone());
        assert_eq!((key.commit, key.path), (commit(), path));
        assert!(check.databases.iter().any(|it| it.database == migration.database));
        assert!(check.history_before[&migration.database].iter().all(|row| row.success));
    }
}

#[test]
fn an_approval_is_read_with_its_proof() {
    let (request, proof) = ApprovalRequest::parse(&sample(APPROVE)).unwrap();
    assert_eq!((request.commit(), proof.method.as_str()), (commit(), "POST"));
}

#[test]
fn what_pulls_the_brake_and_lets_go_of_it_is_read_with_its_proof() {
    for name in BRAKE {
        let (request, proof) = BrakeRequest::parse(&sample(name)).unwrap();
        let is_stop = matches!(request.action, Action::Stop { .. });
        assert_eq!((is_stop, proof.method.as_str()), (name == "stop.json", "POST"));
    }
    let (request, _) = ReleaseRequest::parse(&sample(RELEASE)).unwrap();
    assert_eq!(request.stage.as_str(), "uat");
    let (request, _) = WaiveRequest::parse(&sample(WAIVE)).unwrap();
    assert_eq!((request.repo, request.commit_sha), (commit().repo, Some(commit().sha)));
    let (request, _) = WithdrawRequest::parse(&sample(WITHDRAW)).unwrap();
    assert_eq!(request.commit(), commit());
}

#[test]
fn a_run_that_is_handed_in_is_read() {
    let CompleteEvent { complete } = serde_json::from_value(sample(COMPLETION)).unwrap();
    assert_eq!((complete.run.as_str(), complete.evidence.len()), ("dbt-MOD-301", 2));
}

#[test]
fn the_question_of_parity_is_read() {
    let ParityEvent { parity } = serde_json::from_value(sample(DATABASE_PARITY)).unwrap();
    assert_eq!(Commit { repo: parity.repo, sha: parity.commit_sha }, commit());
    for database in &parity.databases {
        assert_eq!(ArtefactKey::parse(&database.snapshot.key).unwrap().commit, commit());
    }
}

#[test]
fn what_wakes_watch_drift_is_read() {
    for (name, is_whole) in WATCH {
        let request = WatchRequest::parse(&sample(name)).unwrap();
        assert_eq!((request.is_whole(), request.is_thorough), (is_whole, !is_whole), "{name}");
        assert!(request.takes(&"uat".parse().unwrap(), &commit().repo), "{name}");
    }
}

#[test]
fn no_sample_goes_untested() {
    let files = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let samples: BTreeSet<_> = files.filter(|name| name.ends_with(".json")).collect();
    let promote = PROMOTE.iter().map(|(name, ..)| *name);
    let tested = GATE.iter().map(|(name, _)| *name).chain(promote).chain([
        APPROVE,
        RELEASE,
        WAIVE,
        WITHDRAW,
        COMPLETION,
        DATABASE_CHECK,
        DATABASE_PARITY,
        CATCH_UP,
        SWEEP,
    ]);
    let tested = tested.chain(BRAKE).chain(WATCH.iter().map(|(name, _)| *name));
    assert_eq!(samples, tested.map(str::to_owned).collect());
}
