use gatekeeper_model::{
    ids::{CommitSha, PromotionId, Sha256},
    place::Place,
    store_key::{Form, PromotionStatement},
};
use gatekeeper_promotion::{
    attestation::{Deployment, VerificationSummary},
    facts::{DatabaseFacts, StepFacts, StoredFacts},
    handover::Caught,
    history::StageState,
    plan::{Pinned, Plan, PlannedDatabase, PlannedFunction, PlannedStack},
    record::{PinnedRecord, WayBack},
    stage::SchemaParity,
    step::{Direction, Report, ReportStatus, Step, StepStatus},
};
use gatekeeper_proof::{LocalSigner, PublicKeys, Statement, WordOf};
use gatekeeper_store::memory::{Lost, Memory};

use super::*;

mod handoffs;

const ID: &str = "01J0000000000000000000000A";

fn now() -> Timestamp {
    "2026-05-02T03:10:00Z".parse().unwrap()
}

fn sha(digit: &str) -> CommitSha {
    digit.repeat(40).parse().unwrap()
}

fn promotion() -> PromotionRef {
    PromotionRef {
        stage: "uat".parse().unwrap(),
        repo: "bank-payments".parse().unwrap(),
        promotion_id: ID.parse().unwrap(),
    }
}

fn plan() -> Plan {
    let pinned = |name: &str| Pinned {
        key: format!("bank-payments/{}/modules/MOD-012/{name}", sha("a")),
        version_id: "v1".into(),
        sha256: Sha256::of(name.as_bytes()),
        size: 3,
    };
    let (module, stack) = ("MOD-012".parse().unwrap(), "payments-api".parse().unwrap());
    Plan {
        stacks: vec![PlannedStack {
            assets: Vec::new(),
            images: Vec::new(),
            module,
            stack,
            stack_name: "bank-payments-uat-payments-api".parse().unwrap(),
            template: pinned("cloudformation/payments-api.json"),
            form: None,
            tags: std::collections::BTreeMap::new(),
            termination_protection: false,
            parameters: std::collections::BTreeMap::new(),
        }],
        functions: vec![PlannedFunction {
            module: "MOD-012".parse().unwrap(),
            function: "authorise-payment".parse().unwrap(),
            stack: "payments-api".parse().unwrap(),
            stack_name: "bank-payments-uat-payments-api".parse().unwrap(),
            logical_id: "Fn".to_owned(),
            bundle: pinned("functions/authorise-payment.zip"),
        }],
        ..Plan::default()
    }
}

fn record(rollback: bool, way_back: bool) -> PromotionRecord {
    PromotionRecord {
        schema_version: 1,
        promotion_id: ID.parse().unwrap(),
        repo: promotion().repo,
        commit_sha: sha("b"),
        stage: promotion().stage,
        requested_by: "jane@bank.example".to_owned(),
        reason: "release".to_owned(),
        rollback,
        requester: None,
        approvals: Vec::new(),
        not_counted: Vec::new(),
        identities_config: None,
        break_glass: None,
        witness: Vec::new(),
        waived: Vec::new(),
        hold: None,
        stopped: None,
        accept_schema_difference: false,
        accept_replacement: std::collections::BTreeSet::new(),
        status: Status::Running,
        execution_arn: "arn".to_owned(),
        started_at: now(),
        ended_at: None,
        verdict_version_id: "v1".into(),
        manifest_version_id: "m1".into(),
        stages_config_version_id: "c1".into(),
        stages_config_sha256: Some(Sha256::of(b"c1")),
        built_attestation: Some(PinnedRecord {
            key: "bank-payments/b/attestations/built.dsse.json".to_owned(),
            version_id: "a1".into(),
            sha256: Sha256::of(b"a1"),
        }),
        role_arn: None,
        stack_role_arn: None,
        allow_private: false,
        shared_account: false,
        plan: plan(),
        lease: None,
        promotion_before: None,
        way_back: way_back.then(|| WayBack {
            commit_sha: sha("a"),
            promotion_id: "01J00000000000000000000000".parse().unwrap(),
            plan: plan(),
        }),
        steps: Vec::new(),
        live: Vec::new(),
    }
}

/// The plan says whether a part is a runner's, and not where the state machine has gone.
#[test]
fn a_part_that_nobody_has_judged_is_not_done() {
    let mut stored = record(false, false);
    let run = serde_json::json!({
        "kind": "dbt", "module": "MOD-301", "key": "k", "version_id": "v1", "sha256": Sha256::of(b"manifest"), "size": 8,
        "target": "uat", "adapter": "snowflake", "database": "RISK_UAT",
    });
    stored.plan.runs = vec![serde_json::from_value(run).unwrap()];
    let mut all_but_it = input(Direction::Forward, None, None);
    let status = |input: &Handover| completed_record(&stored, input, Vec::new(), now()).unwrap().status;
    assert_eq!(status(&all_but_it), Status::Failed);
    assert_eq!(all_but_it.failure(true).as_deref(), Some("judge-run failed: "));
    all_but_it.runs.status = StepStatus::Done;
    assert_eq!(status(&all_but_it), Status::Succeeded);
}

/// What the steps answered: each `done`, but the last that was asked may have failed.
fn input(direction: Direction, failing: Option<Step>, error: Option<&str>) -> Handover {
    let mut failed = false;
    Handover {
        promotion: promotion(),
        direction,
        stacks: answer(ReportStatus::Applied, failing, error, &mut failed),
        functions: answer(ReportStatus::Unchanged, failing, error, &mut failed),
        databases: answer(ReportStatus::Applied, failing, error, &mut failed),
        runs: StepAnswer { status: StepStatus::InProgress, wait_seconds: 0, progress: Vec::new() },
        smoke: answer(ReportStatus::Passed, failing, error, &mut failed),
        error: error.map(|error| Caught { error: error.to_owned(), cause: "it was killed".to_owned() }),
    }
}

/// What the next step answered: nothing where one before it had `failed`.
fn answer<F: StepFacts>(
    status: ReportStatus,
    failing: Option<Step>,
    error: Option<&str>,
    failed: &mut bool,
) -> StepAnswer<F> {
    let report = Report::begun(F::STEP.as_str(), now());
    if *failed {
        return StepAnswer { status: StepStatus::InProgress, wait_seconds: 0, progress: Vec::new() };
    }
    *failed = failing == Some(F::STEP);
    if *failed && error.is_some() {
        return StepAnswer { status: StepStatus::InProgress, wait_seconds: 0, progress: vec![report] };
    }
    let status = if *failed { ReportStatus::Failed } else { status };
    StepAnswer::of(vec![report.ended(status, "as told", now())], 1, 0)
}

struct World {
    records: Memory,
    signer: LocalSigner,
}

impl World {
    async fn started(record: &PromotionRecord) -> Self {
        let records = Memory::default();
        let lock = Lock::held(record.promotion_id.clone(), "arn".to_owned(), now());
        let lock_key = RecordKey::Lock(record.stage.clone(), record.repo.clone());
        record::write(&records, &lock_key, &lock, &Precondition::Absent).await.unwrap();
        record::write(&records, &PromotionRecord::key(&promotion()), record, &Precondition::Absent).await.unwrap();
        Self { records, signer: LocalSigner::from_seed(2) }
    }

    async fn outcome(&self, input: &Handover) -> anyhow::Result<RecordAnswer> {
        let stored = PromotionRecord::load(&self.records, &input.promotion).await?;
        record_outcome(&self.records, &self.signer, input, stored, Vec::new(), now(), &Logger::silent()).await
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &RecordKey) -> Option<T> {
        self.records.bytes_of(&key.to_string()).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    fn record(&self) -> PromotionRecord {
        self.read(&PromotionRecord::key(&promotion())).unwrap()
    }

    fn stage(&self) -> Option<StageState> {
        self.read(&RecordKey::Stage(promotion().stage, promotion().repo))
    }

    fn is_locked(&self) -> bool {
        let lock: Lock = self.read(&RecordKey::Lock(promotion().stage, promotion().repo)).unwrap();
        lock.released_at.is_none()
    }

    /// What was attested, opened with promotion's key.
    fn attested<P: WordOf>(&self, which: PromotionStatement) -> Option<Statement<P>> {
        let PromotionRef { stage, repo, promotion_id } = promotion();
        let key = |form| {
            let (stage, repo, id) = (stage.clone(), repo.clone(), promotion_id.clone());
            RecordKey::PromotionAttestation(stage, repo, id, which, form).to_string()
        };
        let dsse = self.records.bytes_of(&key(Form::Dsse))?;
        assert!(self.records.bytes_of(&key(Form::Sigstore)).is_some());
        let keys = PublicKeys::fixed(LocalSigner::from_seed(1).key(), self.signer.key(), None);
        Some(Statement::open(&dsse, &keys).unwrap())
    }

    /// What the ledger holds of the promotion's stage, proved.
    async fn ledger(&self) -> Vec<ledger::Entry> {
        let chain = Chain { stage: promotion().stage, repo: promotion().repo };
        let key = self.signer.keys();
        let proof = ledger::verify(&self.records, &chain, None, &key).await.unwrap();
        assert_eq!(proof.broken, None);
        let (entries, _) = ledger::read_since(&self.records, &chain, 1, &key).await.unwrap();
        entries.into_iter().map(|it| it.entry.unwrap()).collect()
    }

    fn handoff(&self) -> Option<String> {
        let commit = record(false, false).commit();
        let key = RecordKey::DeployedHandoff(commit, "MOD-012".parse().unwrap()).to_string();
        self.records.bytes_of(&key).map(|bytes| String::from_utf8(bytes).unwrap())
    }
}

#[test]
fn each_turn_of_a_promotion_is_told_once() {
    let told = |before: Status, status| {
        let record = PromotionRecord { status: before, ..record(false, true) };
        notification(&record, status).map(|it| (it.happened, it.detail.outcome.unwrap()))
    };
    let of = |happened, outcome: &str| Some((happened, outcome.to_owned()));
    assert_eq!(told(Status::Running, Status::Succeeded), of(Happened::PromotionSucceeded, "succeeded"));
    assert_eq!(told(Status::Running, Status::GoingBack), of(Happened::PromotionFailed, "going-back"));
    assert_eq!(told(Status::GoingBack, Status::GoingBack), None, "the step was tried again");
    assert_eq!(told(Status::GoingBack, Status::RolledBack), of(Happened::PromotionRolledBack, "rolled-back"));
    assert_eq!(told(Status::GoingBack, Status::Failed), of(Happened::PromotionFailed, "failed"));
    assert_eq!(told(Status::Succeeded, Status::Succeeded), None);
}

#[tokio::test]
async fn success_is_recorded_handed_off_and_unlocked() {
    let world = World::started(&record(false, true)).await;
    let answer = world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert_eq!((answer.status, answer.cause.as_str()), (Status::Succeeded, ""));
    let done = world.record();
    assert_eq!((done.status, done.ended_at, done.steps.len()), (Status::Succeeded, Some(now()), 4));
    assert_eq!(world.stage().unwrap().commit_sha, sha("b"));
    assert!(!world.is_locked());
    insta::assert_snapshot!(world.handoff().unwrap(), @r#"
    ---
    module_id: MOD-012
    repo: bank-payments
    commit_sha: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    build_status: Deployed
    stage: uat
    timestamp: "2026-05-02T03:10:00Z"
    evidence: promotions/uat/bank-payments/01J0000000000000000000000A.json
    ---

    # MOD-012 is Deployed

    Commit `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb` of `bank-payments`, stage `uat`.

    | artefact | SHA-256 |
    |---|---|
    | `bank-payments/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/modules/MOD-012/cloudformation/payments-api.json` | `bea1d2dbbb765114530d9d90633981e5fec26b24cf617e35bcce38f189c18d4c` |
    | `bank-payments/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/modules/MOD-012/functions/authorise-payment.zip` | `82366aab9a6a389f970fddb98be4e045e64614e18c5ce1788b18a32ecb5d70bb` |
    "#);
}

#[tokio::test]
async fn success_is_attested_and_entered_into_the_ledger() {
    let world = World::started(&record(false, true)).await;
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    let summary: Statement<VerificationSummary> = world.attested(PromotionStatement::VerificationSummary).unwrap();
    insta::assert_json_snapshot!("verification-summary", summary);
    let deployment: Statement<Deployment> = world.attested(PromotionStatement::Deployment).unwrap();
    insta::assert_json_snapshot!("deployment", deployment);

    let entries = world.ledger().await;
    let [entry] = entries.as_slice() else { panic!("{entries:#?}") };
    assert_eq!((entry.event.outcome.as_str(), &entry.event.promotion_id), ("succeeded", &Some(ID.parse().unwrap())));
}

#[tokio::test]
async fn what_a_request_accepted_to_lose_is_attested() {
    let accept_replacement = ["payments-data/Orders".parse().unwrap()].into();
    let world = World::started(&PromotionRecord { accept_replacement, ..record(false, true) }).await;
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    let deployment: Statement<Deployment> = world.attested(PromotionStatement::Deployment).unwrap();
    assert_eq!(
        serde_json::json!(deployment.predicate)["acceptReplacement"],
        serde_json::json!(["payments-data/Orders"])
    );
}

#[tokio::test]
async fn a_failure_is_entered_into_the_ledger_and_attests_nothing() {
    let world = World::started(&record(false, false)).await;
    world.outcome(&input(Direction::Forward, Some(Step::SmokeTest), None)).await.unwrap();
    assert_eq!(world.attested::<VerificationSummary>(PromotionStatement::VerificationSummary), None);
    let outcomes: Vec<_> = world.ledger().await.into_iter().map(|it| it.event.outcome).collect();
    assert_eq!(outcomes, ["failed"]);
}

#[tokio::test]
async fn a_record_that_has_ended_is_final() {
    let world = World::started(&record(false, false)).await;
    world.outcome(&input(Direction::Forward, Some(Step::SmokeTest), None)).await.unwrap();
    let failed = world.record();
    let again = world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert_eq!((again.status, world.record()), (Status::Failed, failed));
    assert_eq!((world.stage(), world.ledger().await.len()), (None, 1));
}

#[tokio::test]
async fn a_stages_handoff_follows_that_of_the_stage_before_and_is_written_once() {
    let world = World::started(&record(false, true)).await;
    let commit = record(false, false).commit();
    let key = RecordKey::DeployedHandoff(commit, "MOD-012".parse().unwrap()).to_string();
    let of = |stage: &str| {
        let before = "---\nmodule_id: MOD-012\nrepo: bank-payments\ncommit_sha: \"SHA\"\nbuild_status: Deployed\nstage: STAGE\n\
                      timestamp: \"2026-05-02T03:04:05Z\"\nevidence: e\n---\n\nwritten before\n";
        before.replace("SHA", sha("b").as_str()).replace("STAGE", stage)
    };
    world.records.upload(&key, of("dev").as_bytes(), &[]);
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    let of_uat = world.handoff().unwrap();
    assert!(of_uat.contains("\nstage: uat\n"), "{of_uat}");

    world.records.upload(&key, of("uat").as_bytes(), &[]);
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert!(world.handoff().unwrap().contains("written before"));
}

#[tokio::test]
async fn the_handoff_of_a_module_with_a_database_tells_of_schema_parity() {
    let mut record = record(false, false);
    let snapshot = record.plan.stacks[0].template.clone();
    record.plan.databases = vec![PlannedDatabase {
        database: "payments".parse().unwrap(),
        modules: ["MOD-012".parse().unwrap()].into(),
        secret_arn: "arn".to_owned(),
        schema_parity: SchemaParity::Required,
        refuse_migrations: std::collections::BTreeSet::new(),
        accept_migrations: std::collections::BTreeSet::new(),
        accept_server_limits: false,
        partitions: std::collections::BTreeSet::new(),
        place: Place::default(),
        placeholders: std::collections::BTreeMap::new(),
        configuration: None,
        script_configurations: Vec::new(),
        other_histories: std::collections::BTreeSet::new(),
        checksums: std::collections::BTreeMap::new(),
        snapshot,
    }];
    let world = World::started(&record).await;
    let mut input = input(Direction::Forward, None, None);
    let digest = Sha256::of(b"schema");
    let parity = json!({"equal": true, "mode": "required", "tested_sha256": digest, "live_sha256": digest,
                        "snapshot_key": "key", "snapshot_version_id": "v1"});
    let migrated = Report::<DatabaseFacts>::begun("payments", now()).ended(ReportStatus::Applied, "as told", now());
    let facts: DatabaseFacts = serde_json::from_value(json!({"schema_parity": parity})).unwrap();
    input.databases.progress = vec![migrated.with(facts)];
    world.outcome(&input).await.unwrap();
    let handoff = world.handoff().unwrap();
    let (_, table) = handoff.split_once("\n\n| database").unwrap();
    insta::assert_snapshot!(format!("| database{table}"), @"
    | database | schema parity | tested schema | live schema |
    |---|---|---|---|
    | `payments` | equal | `df0ad6e43880f09c90ebf95f19110178aba6890df0010ebda7485029e2b543b4` | `df0ad6e43880f09c90ebf95f19110178aba6890df0010ebda7485029e2b543b4` |
    ");
}

#[tokio::test]
async fn a_failure_goes_back_to_the_commit_before_and_keeps_the_lock_meanwhile() {
    let world = World::started(&record(false, true)).await;
    let answer = world.outcome(&input(Direction::Forward, Some(Step::SmokeTest), None)).await.unwrap();
    assert_eq!(answer.status, Status::GoingBack);
    assert_eq!(answer.cause, "smoke-test failed: `smoke-test`: as told");
    assert!(world.is_locked());
    assert_eq!(world.record().ended_at, None);

    let answer = world.outcome(&input(Direction::Back, None, None)).await.unwrap();
    assert_eq!(answer.status, Status::RolledBack);
    let record = world.record();
    let steps: Vec<_> = record.steps.iter().map(|step| (step.step.as_str(), step.direction)).collect();
    assert_eq!(steps.len(), 8, "{steps:?}");
    assert!(!world.is_locked());
    assert_eq!((world.stage(), world.handoff()), (None, None), "the failed commit is not what the stage runs");
}

#[tokio::test]
async fn without_an_earlier_commit_or_on_the_way_back_a_failure_is_final() {
    for (rollback, way_back, direction) in
        [(false, false, Direction::Forward), (true, false, Direction::Forward), (false, true, Direction::Back)]
    {
        let world = World::started(&record(rollback, way_back)).await;
        let answer = world.outcome(&input(direction, Some(Step::ApplyStack), None)).await.unwrap();
        assert_eq!(answer.status, Status::Failed);
        assert!(!world.is_locked());
        assert_eq!(world.stage(), None);
    }
}

#[tokio::test]
async fn a_step_that_died_leaves_what_it_had_begun_and_what_step_functions_caught() {
    let world = World::started(&record(false, false)).await;
    let input = input(Direction::Forward, Some(Step::DeployFunction), Some("Sandbox.Timedout"));
    let answer = world.outcome(&input).await.unwrap();
    assert_eq!(answer.cause, "deploy-function failed: Sandbox.Timedout: it was killed");
    let steps = world.record().steps;
    let [stacks, functions] = steps.as_slice() else { panic!("{steps:#?}") };
    assert_eq!(stacks.error, None);
    assert_eq!(functions.error.as_deref(), Some("Sandbox.Timedout: it was killed"));
    assert_eq!(functions.reports[0].status, ReportStatus::InProgress);
}

#[tokio::test]
async fn killed_at_any_call_and_started_again_it_ends_in_the_same_records() {
    let clean = World::started(&record(false, true)).await;
    let steps = input(Direction::Forward, None, None);
    clean.outcome(&steps).await.unwrap();
    for at in 1.. {
        let world = World::started(&record(false, true)).await;
        world.records.fail_at_call(Some(at));
        let first = world.outcome(&steps).await;
        world.records.fail_at_call(None);
        let again = world.outcome(&steps).await.unwrap();
        assert_eq!(again.status, Status::Succeeded, "killed at call {at}");
        assert_eq!(world.record(), clean.record(), "killed at call {at}");
        assert_eq!((world.stage(), world.handoff()), (clean.stage(), clean.handoff()), "killed at call {at}");
        assert!(!world.is_locked(), "killed at call {at}");
        assert!(world.attested::<Deployment>(PromotionStatement::Deployment).is_some(), "killed at call {at}");
        assert_eq!(world.ledger().await.len(), 1, "killed at call {at}");
        if first.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn whichever_answer_to_a_write_is_lost_it_ends_in_the_same_records() {
    let clean = World::started(&record(false, true)).await;
    let steps = input(Direction::Forward, None, None);
    clean.outcome(&steps).await.unwrap();
    for lost in [Lost::Served, Lost::Retried, Lost::Unserved] {
        for number in 1..14 {
            let world = World::started(&record(false, true)).await;
            world.records.lose_answers([(number, lost)]);
            let answer = match world.outcome(&steps).await {
                Err(_) if lost == Lost::Unserved => world.outcome(&steps).await.unwrap(),
                answer => answer.unwrap(),
            };
            let what = format!("{lost:?} at write {number}");
            assert_eq!((answer.status, world.record()), (Status::Succeeded, clean.record()), "{what}");
            assert_eq!((world.stage(), world.handoff()), (clean.stage(), clean.handoff()), "{what}");
            assert!(!world.is_locked(), "{what}");
            assert!(world.attested::<Deployment>(PromotionStatement::Deployment).is_some(), "{what}");
            assert_eq!(world.ledger().await.len(), 1, "{what}");
        }
    }
}

/// Two executions of one promotion, or a step that outlived its execution and the one that was asked again.
#[tokio::test]
async fn of_twins_one_completes_the_record_and_the_other_goes_on_from_what_stands() {
    let world = World::started(&record(false, false)).await;
    let read = async || PromotionRecord::load(&world.records, &promotion()).await.unwrap();
    let (one, other) = (read().await, read().await);
    let good = input(Direction::Forward, None, None);
    let bad = input(Direction::Forward, Some(Step::SmokeTest), None);
    let log = Logger::silent();
    let come_to = async |input: &Handover, stored| {
        record_outcome(&world.records, &world.signer, input, stored, Vec::new(), now(), &log).await
    };
    assert_eq!(come_to(&good, one).await.unwrap().status, Status::Succeeded);
    come_to(&bad, other).await.unwrap_err();
    let (ended, stage) = (world.record(), world.stage());
    assert_eq!(come_to(&bad, read().await).await.unwrap().status, Status::Succeeded, "the record stands");
    assert_eq!((world.record(), world.stage(), world.ledger().await.len()), (ended, stage, 1));
}

#[tokio::test]
async fn what_was_completed_as_failed_meanwhile_stays_so_and_advances_nothing() {
    let world = World::started(&record(false, false)).await;
    let stored = PromotionRecord::load(&world.records, &promotion()).await.unwrap();
    let steps = input(Direction::Forward, None, None);
    // Who took the lock over closed it between the look and the write.
    let closed = PromotionRecord { status: Status::Failed, ended_at: Some(now()), ..stored.record.clone() };
    let precondition = Precondition::Unchanged(stored.etag.clone());
    record::write(&world.records, &PromotionRecord::key(&promotion()), &closed, &precondition).await.unwrap();
    let log = Logger::silent();
    record_outcome(&world.records, &world.signer, &steps, stored, Vec::new(), now(), &log).await.unwrap_err();
    assert_eq!(world.stage(), None, "no stage runs what its record calls failed");
    let answer = world.outcome(&steps).await.unwrap();
    assert_eq!((answer.status, world.record(), world.stage()), (Status::Failed, closed, None));
    assert!(answer.cause.contains("completed as failed before"), "{}", answer.cause);
}

#[tokio::test]
async fn a_lock_that_somebody_took_over_is_left_to_him() {
    let world = World::started(&record(false, false)).await;
    let key = RecordKey::Lock(promotion().stage, promotion().repo);
    let stored: Stored<Lock> = record::read(&world.records, &key).await.unwrap().unwrap();
    let other: PromotionId = "01J0000000000000000000000B".parse().unwrap();
    let taken = Lock::held(other, "arn".to_owned(), now());
    record::write(&world.records, &key, &taken, &Precondition::Unchanged(stored.etag)).await.unwrap();
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert!(world.is_locked());
}

/// What is signed is what was read: a fact that can't be read is neither left out nor made up.
#[tokio::test]
async fn a_fact_that_cannot_be_read_is_an_error_before_anything_is_written() {
    for (step, fact) in [("databases", "schema_parity"), ("databases", "history"), ("functions", "version")] {
        let world = World::started(&record(false, false)).await;
        let mut input = input(Direction::Forward, None, None);
        let report = Report::<StoredFacts>::begun("authorise-payment", now());
        let report = report.ended(ReportStatus::Applied, "done", now()).with(json!({fact: {"odd": 1}}));
        if step == "databases" {
            input.databases.progress = vec![serde_json::from_value(json!(report)).unwrap()];
        } else {
            input.functions.progress = vec![serde_json::from_value(json!(report)).unwrap()];
        }
        let ended = world.outcome(&input).await;
        if fact == "history" {
            // Nothing of it is signed; the next promotion, which rests on it, does not take it for none.
            ended.unwrap();
            assert!(world.record().schema_histories().unwrap_err().to_string().contains("`history`"));
            continue;
        }
        let error = format!("{:#}", ended.unwrap_err());
        assert!(error.contains(&format!("a fact `{fact}` that can't be read")), "{error}");
        assert_eq!((world.stage(), world.record().status), (None, Status::Running));
    }
}

#[tokio::test]
async fn a_function_that_could_not_be_looked_at_is_recorded_and_signed_as_such() {
    let world = World::started(&record(false, false)).await;
    let stored = PromotionRecord::load(&world.records, &promotion()).await.unwrap();
    let live = stored.record.plan.functions.iter().map(|it| {
        LiveFunction::unread(it.function.as_str(), None, "AccessDenied: not authorized to perform: lambda:GetFunction")
    });
    let (input, live) = (input(Direction::Forward, None, None), live.collect());
    record_outcome(&world.records, &world.signer, &input, stored, live, now(), &Logger::silent()).await.unwrap();
    let signed = world.attested::<Deployment>(PromotionStatement::Deployment).unwrap();
    assert!(!signed.predicate.functions.is_empty());
    for function in signed.predicate.functions {
        assert_eq!(function.code_sha256, None);
        assert!(function.unread.unwrap().contains("lambda:GetFunction"));
    }
}

#[test]
fn the_state_machines_own_json_is_read() {
    let caught = json!({"Error": "States.Timeout", "Cause": "late"});
    let fresh = json!({"status": "in-progress", "wait_seconds": 0, "progress": []});
    let input = json!({"promotion": promotion(), "direction": "back", "stacks": fresh, "functions": fresh,
                       "databases": fresh, "smoke": fresh, "error": caught, "outcome": {"status": "going-back"}});
    let input: Handover = serde_json::from_value(input).unwrap();
    assert_eq!(input.error.unwrap().error, "States.Timeout");
}

#[test]
fn a_live_function_has_the_version_that_was_published_of_it() {
    let facts = FunctionFacts { version: "7".into(), ..FunctionFacts::default() };
    let published: Report = Report::begun("authorise-payment", now());
    let published = published.ended(ReportStatus::Applied, "code updated", now()).with(facts);
    let functions = StepAnswer::of(vec![published], 1, 0);
    let live = ["authorise-payment", "refund"].map(|bundle| LiveFunction::missing(bundle, None));
    let versions: Vec<_> = with_versions(live.to_vec(), &functions).into_iter().map(|it| it.version).collect();
    assert_eq!(versions, [Some("7".to_owned()), None]);
}

/// After a failure the record is written whatever the steps told, and says what of it could not be read.
#[tokio::test]
async fn a_version_that_cannot_be_read_is_not_recorded_as_none() {
    let world = World::started(&record(false, true)).await;
    let stored = PromotionRecord::load(&world.records, &promotion()).await.unwrap();
    let mut input = input(Direction::Forward, Some(Step::SmokeTest), None);
    let report = json!({"subject": "authorise-payment", "status": "applied", "detail": "code updated",
                        "started_at": now(), "ended_at": now(), "facts": {"version": 7}});
    input.functions.progress = vec![serde_json::from_value(report.clone()).unwrap()];
    let live = vec![LiveFunction::missing("authorise-payment", None)];
    let log = Logger::silent();
    let answer = record_outcome(&world.records, &world.signer, &input, stored, live, now(), &log).await.unwrap();
    assert_eq!(answer.status, Status::GoingBack);
    let recorded = world.record();
    assert!(recorded.live[0].unread.as_ref().unwrap().contains("a fact `version` that can't be read"), "{recorded:#?}");
    assert_eq!(json!(recorded.steps[1].reports[0]), report, "the record holds it as it was told");
}

/// That somebody stops the promotion, signed by a key.
async fn stopped(world: &World, signer: &LocalSigner) {
    let wish = gatekeeper_promotion::brake::StopWish {
        schema_version: 1,
        promotion: promotion(),
        by: "ann@bank.example".to_owned(),
        stopped_at: now(),
        reason: "the wrong commit".to_owned(),
        hold: None,
    };
    let signed = gatekeeper_promotion::brake::SignedWord::sign(wish, signer).await.unwrap();
    let key = gatekeeper_promotion::brake::StopWish::key_of(&promotion());
    record::write(&world.records, &key, &signed, &Precondition::Absent).await.unwrap();
}

#[tokio::test]
async fn the_record_and_the_ledger_tell_who_stopped_a_promotion_if_that_is_signed() {
    for (seed, by) in [(2, Some("ann@bank.example")), (1, None)] {
        let world = World::started(&record(false, true)).await;
        stopped(&world, &LocalSigner::from_seed(seed)).await;
        let answer = world.outcome(&input(Direction::Forward, Some(Step::DeployFunction), None)).await.unwrap();
        assert_eq!(answer.status, Status::GoingBack);
        assert_eq!(world.record().stopped.unwrap().by.as_deref(), by);
        let answer = world.outcome(&input(Direction::Back, None, None)).await.unwrap();
        assert_eq!(answer.status, Status::RolledBack);
        assert_eq!(world.record().stopped.unwrap().by.as_deref(), by, "the way back keeps it");
        let event = entry::of_promotion(&world.record(), None, Vec::new()).unwrap();
        assert_eq!(event.findings[0].code, gatekeeper_model::finding::Code::PromotionStopped);
    }
}

#[tokio::test]
async fn who_stops_a_promotion_once_all_is_done_comes_too_late() {
    let world = World::started(&record(false, true)).await;
    stopped(&world, &LocalSigner::from_seed(2)).await;
    let answer = world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert_eq!((answer.status, world.record().stopped), (Status::Succeeded, None));
}
