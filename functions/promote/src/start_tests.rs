use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use gatekeeper_aws::{
    scripted,
    scripted::{Answer, Request},
};
use gatekeeper_model::ids::PromotionId;
use gatekeeper_promotion::{history::StageState, plan::Plan};
use gatekeeper_proof::{
    LocalSigner,
    ledger::{Proof, verify},
};
use gatekeeper_store::memory::{Lost, Memory};
use jiff::SignedDuration;

use super::*;

const MACHINE: &str = "arn:aws:states:eu-west-1:111122223333:stateMachine:promotion";
const NEW: &str = "01J0000000000000000000000B";
const OLD: &str = "01J0000000000000000000000A";

fn now() -> Timestamp {
    "2026-05-02T03:10:00Z".parse().unwrap()
}

fn record_of(id: &str) -> PromotionRecord {
    PromotionRecord {
        schema_version: 1,
        promotion_id: id.parse().unwrap(),
        repo: "bank-payments".parse().unwrap(),
        commit_sha: "b".repeat(40).parse().unwrap(),
        stage: "uat".parse().unwrap(),
        requested_by: "jane@bank.example".to_owned(),
        reason: "release".to_owned(),
        rollback: false,
        requester: None,
        approvals: Vec::new(),
        not_counted: Vec::new(),
        identities_config: None,
        break_glass: None,
        waived: Vec::new(),
        hold: None,
        stopped: None,
        witness: Vec::new(),
        accept_schema_difference: false,
        accept_replacement: std::collections::BTreeSet::new(),
        status: Status::Running,
        execution_arn: format!("arn:aws:states:eu-west-1:111122223333:execution:promotion:{id}"),
        started_at: now(),
        ended_at: None,
        verdict_version_id: "v1".into(),
        manifest_version_id: "m1".into(),
        stages_config_version_id: "c1".into(),
        stages_config_sha256: None,
        built_attestation: None,
        role_arn: None,
        stack_role_arn: None,
        allow_private: false,
        shared_account: false,
        plan: Plan::default(),
        lease: None,
        promotion_before: None,
        way_back: None,
        steps: Vec::new(),
        live: Vec::new(),
    }
}

/// What Step Functions answers to one call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    Yes,
    /// `DescribeExecution` only: it has ended.
    Over,
    Error(&'static str),
    Lost,
}

/// Everything that a start writes to, and Step Functions as a test plays it.
struct World {
    records: Arc<Memory>,
    signer: LocalSigner,
    calls: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        Self { records: Arc::default(), signer: LocalSigner::from_seed(2), calls: Arc::default() }
    }

    /// Step Functions that answers so; `meanwhile` happens at each `DescribeExecution`.
    fn step_functions(
        &self,
        start: Says,
        describe: Says,
        meanwhile: impl Fn(&Memory) + Send + Sync + 'static,
    ) -> aws_sdk_sfn::Client {
        let (calls, records) = (Arc::clone(&self.calls), Arc::clone(&self.records));
        let config = scripted::config(move |request: Request| {
            let called = request.headers["x-amz-target"].rsplit('.').next().unwrap().to_owned();
            let is_start = called == "StartExecution";
            calls.lock().unwrap().push(called);
            if !is_start {
                meanwhile(&records);
            }
            let status = |status: &str| {
                Answer::json(
                    &json!({"executionArn": "arn", "stateMachineArn": MACHINE, "status": status, "startDate": 1}),
                )
            };
            match if is_start { start } else { describe } {
                Says::Lost => Answer::Lost,
                Says::Error(code) => Answer::error(400, code, "said so"),
                Says::Yes if is_start => Answer::json(&json!({"executionArn": "arn", "startDate": 1})),
                Says::Yes => status("RUNNING"),
                Says::Over => status("ABORTED"),
            }
        });
        let config = aws_sdk_sfn::config::Builder::from(&config).retry_config(RetryConfig::disabled());
        aws_sdk_sfn::Client::from_conf(config.build())
    }

    async fn begin(&self, client: &aws_sdk_sfn::Client, now: Timestamp) -> anyhow::Result<Begun> {
        let before = record::read::<Lock>(&*self.records, &lock_key()).await?;
        let starter = Starter {
            records: &*self.records,
            signer: &self.signer,
            step_functions: client,
            state_machine_arn: MACHINE,
            now,
            log: &Logger::silent(),
        };
        starter.begin(&record_of(NEW), before.as_ref()).await
    }

    fn write(&self, key: &RecordKey, record: &impl serde::Serialize) {
        write(&self.records, &key.to_string(), record);
    }

    /// The lock as promotion `id` took it, and its record.
    fn held(&self, record: &PromotionRecord) {
        let lock = Lock::held(record.promotion_id.clone(), record.execution_arn.clone(), now());
        self.write(&lock_key(), &lock);
        self.write(&PromotionRecord::key(&record.reference()), record);
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &RecordKey) -> Option<T> {
        Some(serde_json::from_slice(&self.records.bytes_of(&key.to_string())?).unwrap())
    }

    fn record(&self, id: &str) -> Option<PromotionRecord> {
        self.read(&PromotionRecord::key(&record_of(id).reference()))
    }

    /// Who holds the lock.
    fn holder(&self) -> Option<PromotionId> {
        let lock: Lock = self.read(&lock_key())?;
        lock.released_at.is_none().then_some(lock.promotion_id)
    }

    async fn ledger(&self) -> Proof {
        let chain = Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() };
        verify(&*self.records, &chain, None, &self.signer.keys()).await.unwrap()
    }
}

fn lock_key() -> RecordKey {
    RecordKey::Lock("uat".parse().unwrap(), "bank-payments".parse().unwrap())
}

fn write(records: &Memory, key: &str, record: &impl serde::Serialize) {
    records.upload(key, &record::to_bytes(record).unwrap(), &[]);
}

/// Who holds the stage enters that and looks for locks; who promotes takes the lock and looks what holds the stage.
#[tokio::test]
async fn a_stage_that_is_held_in_this_very_moment_starts_nothing() {
    let hold = ledger::Hold {
        id: "01J0000000000000000000000H".parse().unwrap(),
        by: "ann".to_owned(),
        since: now(),
        reason: "the error rate doubled".to_owned(),
        interrupted: std::collections::BTreeSet::new(),
    };
    for (rollback, starts) in [(false, false), (true, true)] {
        let world = World::new();
        let chain = Chain::of_holds(&"uat".parse().unwrap());
        ledger::append(&*world.records, &world.signer, &chain, &brake::holding(&hold), None, now()).await.unwrap();
        let client = world.step_functions(Says::Yes, Says::Yes, |_| {});
        let starter = Starter {
            records: &*world.records,
            signer: &world.signer,
            step_functions: &client,
            state_machine_arn: MACHINE,
            now: now(),
            log: &Logger::silent(),
        };
        let record = PromotionRecord { rollback, ..record_of(NEW) };
        let begun = starter.begin(&record, None).await.unwrap();
        assert_eq!(begun == Begun::Started, starts, "{begun:?}");
        assert_eq!(world.calls.lock().unwrap().is_empty(), !starts);
        assert_eq!(world.holder().is_some(), starts);
        if let Begun::Held(held) = begun {
            insta::assert_snapshot!(held.message, @"held by `ann` since 2026-05-02T03:10:00Z: the error rate doubled; an approver releases it by `gatekeeper release --stage uat --reason …`");
            assert_eq!(world.record(NEW).unwrap().status, Status::Failed);
            assert!(world.ledger().await.holds());
        }
    }
}

#[tokio::test]
async fn only_an_execution_that_does_not_exist_was_not_started() {
    const STARTS: [Says; 6] = [
        Says::Yes,
        Says::Lost,
        Says::Error("ThrottlingException"),
        Says::Error("AccessDeniedException"),
        Says::Error("ExecutionAlreadyExists"),
        Says::Error("InternalServerError"),
    ];
    const LOOKS: [Says; 6] = [
        Says::Yes,
        Says::Over,
        Says::Lost,
        Says::Error("ExecutionDoesNotExist"),
        Says::Error("AccessDeniedException"),
        Says::Error("ThrottlingException"),
    ];
    for start in STARTS {
        for look in LOOKS {
            let world = World::new();
            let client = world.step_functions(start, look, |_| {});
            let begun = world.begin(&client, now()).await;
            let looked = world.calls.lock().unwrap().iter().any(|call| call == "DescribeExecution");
            assert_eq!(looked, start != Says::Yes, "{start:?} {look:?}");
            let record = world.record(NEW).unwrap();
            if start == Says::Yes || matches!(look, Says::Yes | Says::Over) {
                assert_eq!(begun.unwrap(), Begun::Started, "{start:?} {look:?}");
                assert_eq!((record.status, world.holder()), (Status::Running, Some(NEW.parse().unwrap())));
            } else if look == Says::Error("ExecutionDoesNotExist") {
                assert!(!begun.unwrap_err().is::<Unsure>(), "{start:?}");
                assert_eq!((record.status, record.ended_at, world.holder()), (Status::Failed, Some(now()), None));
                assert_eq!((world.ledger().await.newest, world.ledger().await.broken), (1, None));
            } else {
                assert!(begun.unwrap_err().is::<Unsure>(), "{start:?} {look:?}");
                assert_eq!((record.status, world.holder()), (Status::Running, Some(NEW.parse().unwrap())));
                assert_eq!(world.ledger().await.newest, 0, "nothing has ended");
            }
        }
    }
}

#[tokio::test]
async fn who_can_not_tell_says_what_to_do_and_the_next_request_resolves_it() {
    let world = World::new();
    let client = world.step_functions(Says::Lost, Says::Error("ThrottlingException"), |_| {});
    let error = world.begin(&client, now()).await.unwrap_err();
    let message = format!("{error:#}");
    for part in [NEW, "keeps the lock", "gatekeeper status --stage uat --repo bank-payments", "2026-05-02T03:12:00Z"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(message.contains("ThrottlingException"), "{message}");

    // It never ran: two minutes later the next one may take the lock, and completes the record.
    let lock: Lock = world.read(&lock_key()).unwrap();
    assert!(!lock.may_be_taken(Execution::Unknown, now() + SignedDuration::from_secs(120)));
    let later = now() + SignedDuration::from_secs(121);
    assert!(lock.may_be_taken(Execution::Unknown, later));
    let mut next = record_of(OLD);
    next.started_at = later;
    let client = world.step_functions(Says::Yes, Says::Lost, |_| {});
    let before = record::read::<Lock>(&*world.records, &lock_key()).await.unwrap();
    let log = Logger::silent();
    let (records, signer) = (&*world.records, &world.signer);
    let starter =
        Starter { records, signer, step_functions: &client, state_machine_arn: MACHINE, now: later, log: &log };
    assert_eq!(starter.begin(&next, before.as_ref()).await.unwrap(), Begun::Started);
    assert_eq!(world.record(NEW).unwrap().status, Status::Failed);
    assert_eq!(world.holder(), Some(next.promotion_id));
}

#[tokio::test]
async fn a_record_that_has_ended_is_never_written_over() {
    // The execution that can't be seen yet has come to its end before it is given up.
    let world = World::new();
    let client = world.step_functions(Says::Lost, Says::Error("ExecutionDoesNotExist"), |records| {
        let ended = PromotionRecord { status: Status::Succeeded, ended_at: Some(now()), ..record_of(NEW) };
        write(records, &PromotionRecord::key(&ended.reference()).to_string(), &ended);
    });
    world.begin(&client, now()).await.unwrap_err();
    assert_eq!(world.record(NEW).unwrap().status, Status::Succeeded);
    assert_eq!((world.ledger().await.newest, world.ledger().await.broken), (1, None));
    assert_eq!(world.holder(), None);
}

#[tokio::test]
async fn who_takes_a_lock_over_completes_what_its_holder_left() {
    for (status, ended, after, taken) in [
        (Status::Running, false, Status::Failed, true),
        (Status::GoingBack, false, Status::Failed, true),
        (Status::Failed, true, Status::Failed, true),
        (Status::RolledBack, true, Status::RolledBack, true),
        (Status::Succeeded, true, Status::Succeeded, false),
    ] {
        let world = World::new();
        let left = PromotionRecord { status, ended_at: ended.then(now), ..record_of(OLD) };
        world.held(&left);
        let client = world.step_functions(Says::Yes, Says::Over, |_| {});
        let later = now() + SignedDuration::from_secs(300);
        let begun = world.begin(&client, later).await.unwrap();
        let closed = world.record(OLD).unwrap();
        assert_eq!((closed.status, closed.ended_at), (after, Some(if ended { now() } else { later })), "{status:?}");
        assert_eq!((world.ledger().await.newest, world.ledger().await.broken), (1, None), "{status:?}");
        let state: Option<StageState> = world.read(&RecordKey::Stage("uat".parse().unwrap(), left.repo.clone()));
        if taken {
            assert_eq!(begun, Begun::Started, "{status:?}");
            assert_eq!((world.holder(), state), (Some(NEW.parse().unwrap()), None), "{status:?}");
        } else {
            // What it had brought is what the stage runs, and the next request is verified against that.
            assert!(matches!(begun, Begun::CaughtUp(_)), "{begun:?}");
            assert_eq!(world.holder(), None);
            let state = state.unwrap();
            assert_eq!((state.promotion_id, state.since), (left.promotion_id, now()));
            assert_eq!(world.begin(&client, later).await.unwrap(), Begun::Started);
        }
    }
}

/// Whoever writes locks and records of promotions brings nothing to a stage by them.
#[tokio::test]
async fn a_planted_promotion_that_was_never_executed_is_left_out() {
    let world = World::new();
    let planted = PromotionRecord { status: Status::Succeeded, ended_at: Some(now()), ..record_of(OLD) };
    world.held(&planted);
    let client = world.step_functions(Says::Yes, Says::Error("ExecutionDoesNotExist"), |_| {});
    let later = now() + SignedDuration::from_secs(300);
    assert_eq!(world.begin(&client, later).await.unwrap(), Begun::Started);
    assert_eq!((world.holder(), world.ledger().await.newest), (Some(NEW.parse().unwrap()), 0));
    let state: Option<StageState> = world.read(&RecordKey::Stage("uat".parse().unwrap(), planted.repo.clone()));
    assert_eq!(state, None);
}

#[tokio::test]
async fn a_lock_that_came_and_went_is_nobodys_to_wait_for() {
    let world = World::new();
    world.held(&record_of(OLD));
    let client = world.step_functions(Says::Yes, Says::Lost, |_| {});
    let log = Logger::silent();
    let (records, signer) = (&*world.records, &world.signer);
    let starter =
        Starter { records, signer, step_functions: &client, state_machine_arn: MACHINE, now: now(), log: &log };
    // It was seen free, and somebody else has taken it since.
    let Begun::Locked(Some(lock)) = starter.begin(&record_of(NEW), None).await.unwrap() else { panic!() };
    assert_eq!(lock.promotion_id.as_str(), OLD);
    assert_eq!(world.record(NEW), None, "nothing was written");
}

#[tokio::test]
async fn whichever_answer_to_a_write_is_lost_the_lock_is_held_by_who_runs_or_by_nobody() {
    for start in [Says::Yes, Says::Lost] {
        for lost in [Lost::Served, Lost::Retried, Lost::Unserved] {
            for number in 1..10 {
                let world = World::new();
                world.held(&record_of(OLD));
                world.records.lose_answers([(number, lost)]);
                let client = world.step_functions(start, Says::Error("ExecutionDoesNotExist"), |_| {});
                let later = now() + SignedDuration::from_secs(300);
                let begun = world.begin(&client, later).await;
                let what = format!("{start:?}, {lost:?} at write {number}");
                world.records.lose_answers([]);
                assert_eq!(world.ledger().await.broken, None, "{what}");
                match begun {
                    Ok(begun) => {
                        assert_eq!((begun, start), (Begun::Started, Says::Yes), "{what}");
                        assert_eq!(world.record(NEW).unwrap().status, Status::Running, "{what}");
                        assert_eq!(world.holder(), Some(NEW.parse().unwrap()), "{what}");
                        assert_eq!(world.record(OLD).unwrap().status, Status::Failed, "{what}");
                    }
                    Err(error) => {
                        assert!(!error.is::<Unsure>(), "{what}: {error:#}");
                        let (served, record) = (lost != Lost::Unserved, world.record(NEW));
                        assert!(start == Says::Lost || !served, "{what}: {error:#}");
                        assert!(!served || world.holder().is_none(), "{what}: {error:#}");
                        // What could not be written is left to who takes the lock over.
                        if let Some(record) = record.filter(|record| record.ended_at.is_none()) {
                            assert_eq!(world.holder(), Some(record.promotion_id), "{what}");
                        }
                    }
                }
            }
        }
    }
}
