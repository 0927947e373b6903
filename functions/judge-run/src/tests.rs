//! The lease and what is handed in under it, on the store in memory.

use std::{cell::Cell, io::Write as _, path::Path, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use gatekeeper_aws::scripted;
use gatekeeper_model::{
    finding::Code,
    ids::{Chain, Sha256},
    store_key::{RecordKey, RunFile},
    telemetry::Logger,
};
use gatekeeper_promotion::{
    record::WayBack,
    runs::{Complete, GRACE},
};
use gatekeeper_proof::{LocalSigner, ledger};
use gatekeeper_store::{ReadStore as _, memory::Memory};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

const ID: &str = "01J0000000000000000000000A";
const TOKEN: &str = "the token";
const OPENED: &str = "2026-11-30T00:00:00Z";

/// What dbt 1.11 wrote in a case of `tests/oracles/make_dbt_artefacts.py`.
fn fixture(case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join(format!("../../shared/readers/src/dbt/fixtures/1.11/{case}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    OPENED.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// The clock of an hour after the lease was opened at [`OPENED`], less a second.
fn within() -> Timestamp {
    at(3_599)
}

fn after() -> Timestamp {
    at(3_600)
}

fn over() -> Timestamp {
    at(3_600) + GRACE
}

/// The gate's key.
static SIGNER: LazyLock<Arc<LocalSigner>> = LazyLock::new(|| Arc::new(LocalSigner::from_seed(1)));

thread_local! {
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::UNIX_EPOCH) };
}

struct World(Step<Memory>);

impl World {
    /// A promotion of one module's dbt models, with the token's lease.
    async fn new() -> Self {
        let config = scripted::config(|request| panic!("AWS is asked: {request:?}"));
        let (artefacts, records) = (Memory::default(), Memory::default());
        let world = Self(Step { artefacts, records, gate_key: SIGNER.clone(), config, clock: || NOW.get() });
        let tested = fixture("build")["manifest"].to_string();
        let key = format!("bank-risk-platform/{}/modules/MOD-301/dbt/manifest.json", "b".repeat(40));
        let version = world.0.artefacts.upload(&key, tested.as_bytes(), &[]);
        let run = json!({
            "kind": "dbt", "module": "MOD-301", "key": key, "version_id": version, "sha256": Sha256::of(tested.as_bytes()),
            "size": tested.len(), "target": "uat", "adapter": "duckdb", "database": "RISK_UAT",
        });
        let record = json!({
            "schema_version": 1, "promotion_id": ID, "repo": "bank-risk-platform", "commit_sha": "b".repeat(40),
            "stage": "uat", "requested_by": "jane@bank.example", "reason": "release", "rollback": false,
            "status": "running", "execution_arn": "arn", "started_at": OPENED, "ended_at": null,
            "verdict_version_id": "v1", "manifest_version_id": "m1", "stages_config_version_id": "c1",
            "role_arn": null, "stack_role_arn": null, "way_back": null, "steps": [], "live": [],
            "lease": Lease::of(TOKEN, 60),
            "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": [], "runs": [run]},
        });
        world.put(&PromotionRecord::key(&promotion()), &record).await;
        world
    }

    async fn put(&self, key: &RecordKey, document: &Value) {
        let key = key.to_string();
        let there = self.0.records.head(&key, None).await.unwrap();
        let precondition = there.map_or(Precondition::Absent, |it| Precondition::Unchanged(it.etag));
        self.0.records.put(&key, document.to_string().as_bytes(), "application/json", &precondition).await.unwrap();
    }

    async fn change(&self, change: impl FnOnce(&mut Value)) {
        let key = PromotionRecord::key(&promotion());
        let mut record = record::read::<Value>(&self.0.records, &key).await.unwrap().unwrap().record;
        change(&mut record);
        self.put(&key, &record).await;
    }

    async fn opened(self) -> Self {
        self.step(|| OPENED.parse().unwrap(), "forward").await.unwrap();
        self
    }

    async fn asked(&self, clock: Clock, event: Value) -> Result<Answer, FunctionError> {
        NOW.set(clock());
        self.0.handle(event, &Invocation { log: Logger::silent(), deadline: Timestamp::MAX }).await
    }

    async fn step(&self, clock: Clock, direction: &str) -> Result<StepAnswer<RunFacts>, FunctionError> {
        match self.asked(clock, json!({"promotion": promotion(), "direction": direction})).await? {
            Answer::Step(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    async fn complete(&self, clock: Clock, complete: Complete) -> CompleteAnswer {
        let event = serde_json::to_value(CompleteEvent { complete }).unwrap();
        match self.asked(clock, event).await.unwrap() {
            Answer::Completed(answer) => *answer,
            other => panic!("{other:?}"),
        }
    }
}

fn promotion() -> PromotionRef {
    PromotionRef {
        stage: "uat".parse().unwrap(),
        repo: "bank-risk-platform".parse().unwrap(),
        promotion_id: ID.parse().unwrap(),
    }
}

fn packed(bytes: &[u8]) -> String {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(bytes).unwrap();
    STANDARD.encode(zip.finish().unwrap())
}

fn handing_in(both: &Value) -> Complete {
    let evidence = [(RunFile::Manifest, &both["manifest"]), (RunFile::RunResults, &both["run_results"])];
    Complete {
        promotion: promotion(),
        token: TOKEN.to_owned(),
        run: "dbt-MOD-301".parse().unwrap(),
        completed_by: "runner 7".to_owned(),
        evidence: evidence.map(|(file, document)| (file, packed(document.to_string().as_bytes()))).into(),
    }
}

fn codes(answer: &CompleteAnswer) -> Vec<Code> {
    match answer {
        CompleteAnswer::Refused { reasons } => reasons.iter().map(|it| it.code).collect(),
        other => panic!("it was taken: {other:?}"),
    }
}

#[tokio::test]
async fn a_run_that_is_handed_in_in_time_ends_the_step() {
    let world = World::new().await.opened().await;
    let waiting = world.step(within, "forward").await.unwrap();
    assert_eq!((waiting.status, waiting.wait_seconds), (StepStatus::InProgress, 20));
    assert_eq!(waiting.progress[0].started_at, at(0));
    assert_eq!(waiting.progress[0].facts.expires_at.read(), Ok(Some(&at(3_600))));

    let answer = world.complete(within, handing_in(&fixture("promoted"))).await;
    let CompleteAnswer::Passed { completion } = answer else { panic!("{answer:?}") };
    assert_eq!((completion.completed_by.as_str(), completion.files.len()), ("runner 7", 2));
    for file in &completion.files {
        let stored = world.0.records.get(&file.key, Some(&file.version_id), 1 << 20).await.unwrap().unwrap();
        assert_eq!(Sha256::of(&stored.bytes), file.sha256);
    }

    // However late it is by then.
    let done = world.step(over, "forward").await.unwrap();
    assert_eq!((done.status, done.progress[0].status), (StepStatus::Done, ReportStatus::Applied));
    assert_eq!(done.progress[0].facts.files.read(), Ok(Some(&completion.files)));
    let key = done.progress[0].facts.completion.read().unwrap().unwrap().key.clone();
    assert_eq!(key, format!("promotions/uat/bank-risk-platform/{ID}/runs/dbt-MOD-301.json"));
}

#[tokio::test]
async fn a_run_is_taken_once() {
    let world = World::new().await.opened().await;
    let again = fixture("promoted");
    assert!(matches!(world.complete(within, handing_in(&again)).await, CompleteAnswer::Passed { .. }));
    let CompleteAnswer::Refused { reasons } = world.complete(within, handing_in(&again)).await else {
        panic!("it was taken twice");
    };
    assert_eq!(reasons[0].code, Code::RunCompleted);
    assert_eq!(reasons[0].message, "`runner 7` handed it in at 2026-11-30T00:59:59Z, and it passed");
}

#[tokio::test]
async fn who_has_no_open_lease_hands_in_nothing() {
    let both = fixture("promoted");
    let with = |change: fn(&mut Complete)| {
        let mut complete = handing_in(&both);
        change(&mut complete);
        complete
    };
    let world = World::new().await;
    assert_eq!(codes(&world.complete(within, handing_in(&both)).await), [Code::LeaseNotOpen], "not opened yet");
    let world = world.opened().await;
    for wrong in [
        with(|it| it.token = "another".to_owned()),
        with(|it| it.token.clear()),
        with(|it| it.promotion.promotion_id = "01J0000000000000000000000B".parse().unwrap()),
        with(|it| it.promotion.stage = "prod".parse().unwrap()),
    ] {
        assert_eq!(codes(&world.complete(within, wrong).await), [Code::LeaseInvalid]);
    }
    assert_eq!(codes(&world.complete(after, handing_in(&both)).await), [Code::LeaseNotOpen], "it ran out");
    let other = with(|it| it.run = "pulumi".parse().unwrap());
    assert_eq!(codes(&world.complete(within, other).await), [Code::RunEvidenceInvalid]);
    let parts = with(|it| drop(it.evidence.remove(&RunFile::RunResults)));
    assert_eq!(codes(&world.complete(within, parts).await), [Code::RunEvidenceInvalid]);
    for odd in ["%", "", "aGk="] {
        let mut complete = handing_in(&both);
        complete.evidence.insert(RunFile::Manifest, odd.to_owned());
        assert_eq!(codes(&world.complete(within, complete).await), [Code::RunEvidenceInvalid], "{odd}");
    }
    // None of that is written down, and the right one is taken.
    assert!(matches!(world.complete(within, handing_in(&both)).await, CompleteAnswer::Passed { .. }));

    let ended = World::new().await.opened().await;
    ended.change(|record| (record["status"], record["ended_at"]) = (json!("failed"), json!(OPENED))).await;
    assert_eq!(codes(&ended.complete(within, handing_in(&both)).await), [Code::LeaseNotOpen]);
    let back = World::new().await.opened().await;
    back.change(|record| record["status"] = json!("going-back")).await;
    assert_eq!(codes(&back.complete(within, handing_in(&both)).await), [Code::LeaseNotOpen]);
    let leaseless = World::new().await;
    leaseless.change(|record| drop(record.as_object_mut().unwrap().remove("lease"))).await;
    assert_eq!(codes(&leaseless.complete(within, handing_in(&both)).await), [Code::LeaseInvalid]);
}

#[tokio::test]
async fn evidence_of_something_else_leaves_the_lease_open_and_bad_evidence_ends_it() {
    let world = World::new().await.opened().await;
    let other = fixture("uat");
    assert_eq!(codes(&world.complete(within, handing_in(&other)).await), [Code::RunOfAnotherPromotion]);
    let key = Completion::key(&promotion(), &"dbt-MOD-301".parse().unwrap());
    assert!(record::read::<Completion>(&world.0.records, &key).await.unwrap().is_none());

    let mut failed = fixture("promoted");
    let results = failed["run_results"]["results"].as_array_mut().unwrap();
    results.iter_mut().find(|it| it["unique_id"] == "model.oracle.mart").unwrap()["status"] = json!("error");
    let answer = world.complete(within, handing_in(&failed)).await;
    let CompleteAnswer::Failed { completion } = answer else { panic!("{answer:?}") };
    assert_eq!(completion.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::DbtBuildFailed]);
    assert_eq!(codes(&world.complete(within, handing_in(&fixture("promoted"))).await), [Code::RunCompleted]);
    let step = world.step(within, "forward").await.unwrap();
    assert_eq!(step.status, StepStatus::Failed);
    assert!(step.progress[0].detail.starts_with("dbt-build-failed: 1 node of dbt's build ended with `error`"));
}

#[tokio::test]
async fn a_commit_that_was_taken_back_meanwhile_fails() {
    let world = World::new().await.opened().await;
    let commit = gatekeeper_model::ids::Commit { repo: promotion().repo, sha: "b".repeat(40).parse().unwrap() };
    world.put(&RecordKey::Revocation(commit), &json!({"odd": true})).await;
    let answer = world.complete(within, handing_in(&fixture("promoted"))).await;
    let CompleteAnswer::Failed { completion } = answer else { panic!("{answer:?}") };
    assert_eq!(completion.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Revoked]);
}

#[tokio::test]
async fn a_revocation_whose_record_is_gone_counts_by_the_gates_signed_entry() {
    let world = World::new().await.opened().await;
    let chain = Chain::of_gate(promotion().repo);
    let bare = ledger::Event::bare(ledger::Kind::Revocation, "revocation/1", "revoked");
    let commit_sha = Some("b".repeat(40).parse().unwrap());
    let event = ledger::Event { commit_sha, manifest_version_id: Some("m1".into()), ..bare };
    ledger::append(&world.0.records, &**SIGNER, &chain, &event, None, within()).await.unwrap();
    let answer = world.complete(within, handing_in(&fixture("promoted"))).await;
    let CompleteAnswer::Failed { completion } = answer else { panic!("{answer:?}") };
    assert_eq!(completion.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Revoked]);
}

#[tokio::test]
async fn a_ledger_that_proves_nothing_leaves_the_run_to_be_handed_in_again() {
    let world = World::new().await.opened().await;
    let head = RecordKey::LedgerHead(Chain::of_gate(promotion().repo));
    world.put(&head, &json!({"odd": true})).await;
    let event = serde_json::to_value(CompleteEvent { complete: handing_in(&fixture("promoted")) }).unwrap();
    let error = world.asked(within, event).await.unwrap_err();
    assert!(format!("{error:?}").contains("see `gatekeeper ledger verify`"), "{error:?}");
    let key = Completion::key(&promotion(), &"dbt-MOD-301".parse().unwrap());
    assert!(record::read::<Completion>(&world.0.records, &key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_lease_that_runs_out_fails_the_step_once_nothing_can_come_any_more() {
    let world = World::new().await.opened().await;
    assert_eq!(world.step(after, "forward").await.unwrap().status, StepStatus::InProgress);
    let failed = world.step(over, "forward").await.unwrap();
    assert_eq!(failed.status, StepStatus::Failed);
    let told = "the lease ran out at 2026-11-30T01:00:00Z and nothing was handed in";
    assert!(failed.progress[0].detail.starts_with(told), "{failed:?}");
}

#[tokio::test]
async fn the_lease_is_opened_once() {
    let world = World::new().await.opened().await;
    world.step(within, "forward").await.unwrap();
    let open = record::read::<OpenLease>(&world.0.records, &OpenLease::key(&promotion())).await.unwrap().unwrap();
    assert_eq!((open.record.opened_at, open.record.expires_at), (at(0), at(3_600)));
}

#[tokio::test]
async fn the_way_back_ends_well_only_where_no_runner_was_let_in() {
    let never = World::new().await;
    let back = |record: &mut Value| {
        let before = WayBack {
            commit_sha: "a".repeat(40).parse().unwrap(),
            promotion_id: "01J00000000000000000000000".parse().unwrap(),
            plan: Plan::default(),
        };
        (record["status"], record["way_back"]) = (json!("going-back"), json!(before));
    };
    never.change(back).await;
    assert_eq!(never.step(within, "back").await.unwrap().status, StepStatus::Done);

    let opened = World::new().await.opened().await;
    opened.change(back).await;
    let failed = opened.step(within, "back").await.unwrap();
    assert_eq!(failed.status, StepStatus::Failed);
    let told =
        format!("`gatekeeper rollback --repo bank-risk-platform --stage uat --sha {} --lease FILE`", "a".repeat(40));
    assert!(failed.progress[0].detail.contains(&told), "{failed:?}");
}

#[tokio::test]
async fn of_two_runs_the_failed_one_is_told_when_nobody_works_any_more() {
    let world = World::new().await;
    world
        .change(|record| {
            let mut second = record["plan"]["runs"][0].clone();
            second["module"] = json!("MOD-302");
            record["plan"]["runs"].as_array_mut().unwrap().push(second);
        })
        .await;
    let world = world.opened().await;
    let mut failed = fixture("promoted");
    failed["run_results"]["args"]["target"] = json!("dev");
    assert!(matches!(world.complete(within, handing_in(&failed)).await, CompleteAnswer::Failed { .. }));
    assert_eq!(world.step(within, "forward").await.unwrap().status, StepStatus::InProgress);
    let other = Complete { run: "dbt-MOD-302".parse().unwrap(), ..handing_in(&fixture("promoted")) };
    assert!(matches!(world.complete(within, other).await, CompleteAnswer::Passed { .. }));
    let step = world.step(within, "forward").await.unwrap();
    let ends: Vec<_> = step.progress.iter().map(|it| it.status).collect();
    assert_eq!((step.status, ends), (StepStatus::Failed, vec![ReportStatus::Failed, ReportStatus::Applied]));
}

/// The same as a promotion of a Pulumi program that succeeded.
async fn pulumi(world: &World) {
    let run = json!({
        "kind": "pulumi", "program_sha": "b".repeat(40), "backend": "s3://state", "project": "bank-platform", "stack": "uat",
    });
    let change = |record: &mut Value| {
        record["status"] = json!("succeeded");
        record["plan"]["runs"] = json!([run]);
    };
    world.change(change).await;
}

#[tokio::test]
async fn what_is_there_of_a_stack_is_unknown_where_it_can_not_be_looked_at() {
    let world = World::new().await;
    let asked = async || {
        let answer = world.asked(within, json!({"standing": promotion()})).await.unwrap();
        serde_json::to_value(answer).unwrap()
    };
    assert_eq!(asked().await, json!({}), "of dbt nothing is looked at");
    pulumi(&world).await;
    let why = "the promotion's record does not tell what its update left";
    assert_eq!(asked().await, json!({"pulumi": {"unknown": why}}));
}

/// That somebody stops the promotion; whoever signed it.
async fn stopped(world: &World) {
    let wish = gatekeeper_promotion::brake::StopWish {
        schema_version: 1,
        promotion: promotion(),
        by: "jane@bank.example".to_owned(),
        stopped_at: at(60),
        reason: "the wrong models".to_owned(),
        hold: None,
    };
    let signed = gatekeeper_promotion::brake::SignedWord::sign(wish, &**SIGNER).await.unwrap();
    let key = gatekeeper_promotion::brake::StopWish::key_of(&promotion());
    world.put(&key, &serde_json::to_value(signed).unwrap()).await;
}

#[tokio::test]
async fn a_promotion_that_is_stopped_waits_for_no_runner_and_takes_nothing_from_one() {
    let world = World::new().await.opened().await;
    let waiting = world.step(within, "forward").await.unwrap();
    stopped(&world).await;
    let event = json!({"promotion": promotion(), "direction": "forward", "progress": waiting.progress});
    let Answer::Step(answer) = world.asked(within, event).await.unwrap() else { panic!("a step answers") };
    assert_eq!((answer.status, answer.progress[0].status), (StepStatus::Failed, ReportStatus::Failed));
    let told = "stopped by `jane@bank.example` at 2026-11-30T00:01:00Z: the wrong models; a runner had the lease until then: look what \
                it did, for it may have changed the stage";
    assert_eq!(answer.progress[0].detail, told);
    let CompleteAnswer::Refused { reasons } = world.complete(within, handing_in(&fixture("promoted"))).await else {
        panic!("it was taken");
    };
    assert_eq!(reasons[0].code, Code::LeaseNotOpen);
    assert!(reasons[0].message.starts_with("stopped by `jane@bank.example`"), "{reasons:?}");
}

#[tokio::test]
async fn a_lease_is_not_opened_for_a_promotion_that_is_stopped() {
    let world = World::new().await;
    stopped(&world).await;
    let answer = world.step(within, "forward").await.unwrap();
    assert_eq!((answer.status, answer.progress[0].subject.as_str()), (StepStatus::Failed, "stop"));
    assert!(record::read::<OpenLease>(&world.0.records, &OpenLease::key(&promotion())).await.unwrap().is_none());
}
