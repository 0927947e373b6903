use gatekeeper_model::identity::Identity;
use gatekeeper_promotion::{
    brake::{Release, Stopped},
    lock::Lock,
};
use gatekeeper_proof::{
    LocalSigner,
    ledger::{Entry, Kind, Proof},
};
use gatekeeper_store::{ReadStore as _, memory::Memory};
use serde_json::{Value, json};

use super::*;

const UNDER_WAY: &str = "01J0000000000000000000000A";
const OTHER: &str = "01J0000000000000000000000B";

fn at(minute: u8) -> Timestamp {
    format!("2026-05-02T03:{minute:02}:00Z").parse().unwrap()
}

fn identity(person: &str) -> Identity {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/promoter/{person}");
    Identity::of(&arn, "111122223333", &format!("AROAEXAMPLE:{person}"), "111122223333").unwrap()
}

fn uat() -> StageName {
    "uat".parse().unwrap()
}

fn promotion(id: &str, repo: &str) -> PromotionRef {
    PromotionRef { stage: uat(), repo: repo.parse().unwrap(), promotion_id: id.parse().unwrap() }
}

/// The records of two stages, of which `uat` asks for as many approvals as is said, and the keys.
struct World {
    records: Memory,
    signer: LocalSigner,
    approvals: LocalSigner,
}

impl World {
    fn new(approvals: u8) -> Self {
        let world = Self {
            records: Memory::default(),
            signer: LocalSigner::from_seed(2),
            approvals: LocalSigner::from_seed(3),
        };
        let stages = json!({"schema_version": 1, "stages": {"dev": {}, "uat": {"approvals": approvals}}});
        world.put(&RecordKey::StagesConfig, &stages);
        world
    }

    fn put(&self, key: &RecordKey, document: &impl Serialize) {
        self.records.upload(&key.to_string(), &record::to_bytes(document).unwrap(), &[]);
    }

    /// A promotion that Bob asked for and that holds its lock.
    fn promoting(&self, id: &str, repo: &str, changes: &Value) {
        let promotion = promotion(id, repo);
        let mut document = json!({
            "schema_version": 1, "promotion_id": id, "repo": repo, "commit_sha": "b".repeat(40), "stage": "uat",
            "requested_by": "bob", "requester": identity("bob"), "reason": "release", "rollback": false,
            "status": "running", "execution_arn": "arn", "started_at": at(0), "ended_at": null, "verdict_version_id": "v1",
            "manifest_version_id": "m1", "stages_config_version_id": "c1", "role_arn": null, "stack_role_arn": null,
            "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": []}, "way_back": null, "steps": [],
            "live": [],
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.put(&PromotionRecord::key(&promotion), &document);
        let lock = Lock::held(promotion.promotion_id.clone(), "arn".to_owned(), at(0));
        self.put(&RecordKey::Lock(uat(), promotion.repo), &lock);
    }

    async fn asked(&self, request: BrakeRequest, caller: Result<Caller, NotProven>, now: Timestamp) -> BrakeAnswer {
        let log = Logger::silent();
        let braking = Braking { records: &self.records, signer: &self.signer, approvals: &self.approvals, log: &log };
        braking.answer(&request, async { Ok(caller) }, now).await.unwrap()
    }

    async fn hold(&self, minute: u8) -> BrakeAnswer {
        self.asked(request(Action::Hold), Ok(jane()), at(minute)).await
    }

    async fn stop(&self, id: &str, repo: &str) -> BrakeAnswer {
        self.stop_at(5, id, repo).await
    }

    async fn stop_at(&self, minute: u8, id: &str, repo: &str) -> BrakeAnswer {
        let action = Action::Stop { repo: repo.parse().unwrap(), promotion_id: id.parse().unwrap() };
        self.asked(request(action), Ok(jane()), at(minute)).await
    }

    /// The word of somebody that releases a hold.
    async fn released(&self, hold: &Hold, person: &str, key: &LocalSigner) {
        let release = Release {
            schema_version: 1,
            stage: uat(),
            hold_id: hold.id.clone(),
            released_by: identity(person),
            released_at: at(8),
            reason: "the error rate is normal again".to_owned(),
        };
        let place = release.key();
        self.put(&place, &SignedWord::sign(release, key).await.unwrap());
    }

    async fn stopped(&self, id: &str, repo: &str) -> Option<Stopped> {
        Stopped::read(&self.records, &promotion(id, repo), &self.signer.keys()).await.unwrap()
    }

    /// What the ledger tells of the stage's holds, in words.
    async fn ledger(&self) -> Vec<(Kind, String)> {
        let chain = Chain::of_holds(&uat());
        let proof = ledger::verify(&self.records, &chain, None, &self.signer.keys()).await.unwrap();
        assert!(proof.holds(), "{proof:?}");
        let Proof { newest, .. } = proof;
        (1..=newest)
            .map(|place| {
                let bytes = self.records.bytes_of(&RecordKey::LedgerEntry(chain.clone(), place).to_string()).unwrap();
                let Entry { event, .. } = serde_json::from_slice(&bytes).unwrap();
                (event.kind, event.by)
            })
            .collect()
    }
}

fn jane() -> Caller {
    Caller::Person(identity("jane"))
}

fn request(action: Action) -> BrakeRequest {
    BrakeRequest { action, stage: uat(), reason: "the error rate doubled".to_owned(), identity_proof: None }
}

fn ids(promotions: &[UnderWay]) -> Vec<&str> {
    promotions.iter().map(|it| it.promotion_id.as_str()).collect()
}

fn reasons(answer: BrakeAnswer) -> String {
    let BrakeAnswer::Refused { reasons } = answer else { panic!("{answer:?}") };
    reasons.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_hold_sends_back_what_is_under_way_and_lets_rollbacks_and_broken_glass_pass() {
    let world = World::new(1);
    let counted = json!({"person": "ann", "arn": "arn", "approved_at": at(0), "key": "k", "version_id": "v", "sha256": "0".repeat(64)});
    let broken = json!({"break_glass": {"requester": "bob", "waived": [], "approved_by": counted}});
    world.promoting(UNDER_WAY, "bank-payments", &json!({}));
    world.promoting(OTHER, "bank-core", &json!({"rollback": true}));
    world.promoting("01J0000000000000000000000C", "bank-cards", &broken);
    world.promoting("01J0000000000000000000000D", "bank-kyc", &json!({"status": "failed", "ended_at": at(1)}));
    let BrakeAnswer::Held { hold, already, sent_back, goes_on } = world.hold(3).await else { panic!("it is held") };
    assert!(!already);
    assert_eq!((hold.by.as_str(), hold.since), ("jane", at(3)));
    assert_eq!(hold.interrupted.iter().map(gatekeeper_model::identity::Person::as_str).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(ids(&sent_back), [UNDER_WAY]);
    assert_eq!(ids(&goes_on), ["01J0000000000000000000000C", OTHER]);
    let stopped = world.stopped(UNDER_WAY, "bank-payments").await.unwrap();
    assert_eq!((stopped.by.as_deref(), stopped.hold), (Some("jane"), Some(hold.id)));
    assert_eq!(world.stopped(OTHER, "bank-core").await, None);
    assert_eq!(world.ledger().await, [(Kind::Hold, "jane".to_owned())]);
}

/// Killed between entry and wishes, or answered with a lost answer, it is asked again: one entry, and every wish.
#[tokio::test]
async fn a_hold_that_is_asked_for_again_does_what_is_missing() {
    let world = World::new(0);
    world.hold(3).await;
    world.promoting(UNDER_WAY, "bank-payments", &json!({}));
    let BrakeAnswer::Held { hold, already, sent_back, .. } = world.hold(4).await else { panic!("it is held") };
    assert!(already);
    assert_eq!((hold.since, ids(&sent_back)), (at(3), vec![UNDER_WAY]));
    assert!(world.stopped(UNDER_WAY, "bank-payments").await.is_some());
    assert_eq!(world.ledger().await.len(), 1);
}

/// Asked for again while the promotion is on its way back, nothing says that it goes on.
#[tokio::test]
async fn what_goes_back_already_is_told_to_go_back() {
    let world = World::new(0);
    world.promoting(UNDER_WAY, "bank-payments", &json!({"status": "going-back"}));
    let BrakeAnswer::Held { sent_back, goes_on, .. } = world.hold(3).await else { panic!("it is held") };
    assert_eq!((ids(&sent_back), ids(&goes_on)), (vec![UNDER_WAY], vec![]));
    assert_eq!(world.stopped(UNDER_WAY, "bank-payments").await, None);
}

/// One record that nobody can read keeps nobody from holding the stage; it is told, and no success is.
#[tokio::test]
async fn a_stage_is_held_also_where_a_lock_or_a_record_can_not_be_read() {
    for broken in
        [RecordKey::Lock(uat(), "bank-core".parse().unwrap()), PromotionRecord::key(&promotion(OTHER, "bank-core"))]
    {
        let world = World::new(0);
        world.promoting(UNDER_WAY, "bank-payments", &json!({}));
        world.promoting(OTHER, "bank-core", &json!({}));
        world.records.upload(&broken.to_string(), b"no JSON", &[]);
        let log = Logger::silent();
        let braking =
            Braking { records: &world.records, signer: &world.signer, approvals: &world.approvals, log: &log };
        let answer = braking.answer(&request(Action::Hold), async { Ok(Ok(jane())) }, at(3)).await;
        let told = format!("{:#}", answer.unwrap_err());
        assert!(told.starts_with("the stage is held") && told.contains(&format!("`{broken}`")), "{told}");
        assert_eq!(world.ledger().await, [(Kind::Hold, "jane".to_owned())]);
        assert!(world.stopped(UNDER_WAY, "bank-payments").await.is_some());
    }
}

#[tokio::test]
async fn who_is_no_person_may_hold_and_who_proves_nothing_may_not() {
    let world = World::new(0);
    let unproven = world.asked(request(Action::Hold), Err(NotProven::new("it was signed yesterday")), at(3)).await;
    insta::assert_snapshot!(reasons(unproven), @"requester-unproven: the proof of who asks: it was signed yesterday");
    let elsewhere = BrakeRequest { stage: "prod".parse().unwrap(), ..request(Action::Hold) };
    insta::assert_snapshot!(reasons(world.asked(elsewhere, Ok(jane()), at(3)).await), @"stage-unknown: the stage is not configured; there are `dev`, `uat`");
    assert!(world.ledger().await.is_empty());
    let alarm = "arn:aws:sts::111122223333:assumed-role/alarms/canary";
    let held = world.asked(request(Action::Hold), Ok(Caller::Other(alarm.to_owned())), at(3)).await;
    assert!(matches!(held, BrakeAnswer::Held { .. }), "{held:?}");
    assert_eq!(world.ledger().await, [(Kind::Hold, alarm.to_owned())]);
}

#[tokio::test]
async fn a_stage_is_held_anew_once_its_release_counts_and_only_then() {
    let world = World::new(1);
    world.promoting(UNDER_WAY, "bank-payments", &json!({}));
    let BrakeAnswer::Held { hold, .. } = world.hold(3).await else { panic!("it is held") };
    let stays = async |why: &str| {
        let BrakeAnswer::Held { hold: now, already, .. } = world.hold(9).await else { panic!("it is held") };
        assert!(already && now == hold, "{why}");
    };
    world.released(&hold, "ann", &world.signer).await;
    stays("another key signed the release").await;
    world.released(&hold, "bob", &world.approvals).await;
    stays("Bob had asked for what the hold sent back").await;
    world.released(&hold, "ann", &world.approvals).await;
    let BrakeAnswer::Held { hold: new, already, .. } = world.hold(9).await else { panic!("it is held") };
    assert!(!already && new.id != hold.id, "{new:?}");
    let expected = [(Kind::Hold, "jane"), (Kind::Release, "ann"), (Kind::Hold, "jane")];
    assert_eq!(world.ledger().await, expected.map(|(kind, by)| (kind, by.to_owned())));
}

#[tokio::test]
async fn a_head_that_proves_nothing_holds_nothing_and_releases_nothing() {
    let world = World::new(0);
    world.hold(3).await;
    let head = RecordKey::LedgerHead(Chain::of_holds(&uat()));
    let mut forged: Value = serde_json::from_slice(&world.records.bytes_of(&head.to_string()).unwrap()).unwrap();
    forged["signatures"][0]["sig"] = json!("MEQCIA==");
    world.records.upload(&head.to_string(), forged.to_string().as_bytes(), &[]);
    assert!(reasons(world.hold(4).await).starts_with("ledger-broken: so nobody can tell whether the stage is held"));
}

#[tokio::test]
async fn a_promotion_is_stopped_once_and_what_has_no_way_back_is_not() {
    let world = World::new(0);
    world.promoting(UNDER_WAY, "bank-payments", &json!({}));
    for (minute, already) in [(5, false), (6, true)] {
        let answer = world.stop_at(minute, UNDER_WAY, "bank-payments").await;
        let expected =
            BrakeAnswer::Stopping { promotion_id: UNDER_WAY.parse().unwrap(), by: "jane".to_owned(), already };
        assert_eq!(answer, expected);
    }
    let stopped = world.stopped(UNDER_WAY, "bank-payments").await.unwrap();
    assert_eq!(
        (stopped.by.as_deref(), stopped.hold, stopped.reason.as_str()),
        (Some("jane"), None, "the error rate doubled")
    );
    let mut told = vec![reasons(world.stop(OTHER, "bank-payments").await)];
    let stopped = json!({"by": "ann", "at": at(1), "reason": "the wrong commit"});
    for changes in [
        json!({"rollback": true}),
        json!({"status": "going-back"}),
        json!({"status": "going-back", "stopped": stopped}),
        json!({"status": "succeeded", "ended_at": at(1)}),
        json!({"status": "rolled-back", "ended_at": at(1)}),
        json!({"status": "failed", "ended_at": at(1)}),
    ] {
        world.promoting(OTHER, "bank-core", &changes);
        told.push(reasons(world.stop(OTHER, "bank-core").await));
        assert_eq!(world.stopped(OTHER, "bank-core").await, None);
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    promotion-not-stoppable: there is no such promotion of `bank-payments` to `uat`; see `gatekeeper status`
    promotion-not-stoppable: `01J0000000000000000000000B` is a rollback: there is no way back behind it, and half of it is worse than all of it; wait for its end, then promote
    promotion-not-stoppable: `01J0000000000000000000000B` failed and goes back already; `gatekeeper follow 01J0000000000000000000000B` follows it
    promotion-not-stoppable: `01J0000000000000000000000B` was stopped by `ann` and goes back already; `gatekeeper follow 01J0000000000000000000000B` follows it
    promotion-not-stoppable: `01J0000000000000000000000B` has ended as `succeeded`: `gatekeeper rollback --repo bank-core --stage uat` takes back what was promoted
    promotion-not-stoppable: `01J0000000000000000000000B` has ended as `rolled-back`: `gatekeeper status --repo bank-core --stage uat` tells what the stage runs now
    promotion-not-stoppable: `01J0000000000000000000000B` has ended as `failed`: `gatekeeper status --repo bank-core --stage uat` tells what the stage runs now
    ");
}

/// Whoever may write records can plant a wish: the steps stop, and the record says that it is nobody's word.
#[tokio::test]
async fn a_planted_wish_is_nobodys_word() {
    let world = World::new(0);
    world.promoting(UNDER_WAY, "bank-payments", &json!({}));
    world.promoting(OTHER, "bank-core", &json!({}));
    world.stop(UNDER_WAY, "bank-payments").await;
    let key = |id, repo| StopWish::key_of(&promotion(id, repo));
    let wish = world.records.bytes_of(&key(UNDER_WAY, "bank-payments").to_string()).unwrap();
    world.records.upload(&key(OTHER, "bank-core").to_string(), &wish, &[]);
    let copied = world.stopped(OTHER, "bank-core").await.unwrap();
    assert_eq!(copied.by, None);
    assert!(copied.reason.contains("was copied from there"), "{copied:?}");
    let mut other: Value = serde_json::from_slice(&wish).unwrap();
    other["by"] = json!("ann");
    world.records.upload(&key(UNDER_WAY, "bank-payments").to_string(), other.to_string().as_bytes(), &[]);
    let changed = world.stopped(UNDER_WAY, "bank-payments").await.unwrap();
    assert!(changed.by.is_none() && changed.reason.contains("something else than was signed"), "{changed:?}");
    world.records.upload(&key(UNDER_WAY, "bank-payments").to_string(), b"no JSON", &[]);
    let unreadable = world.stopped(UNDER_WAY, "bank-payments").await.unwrap();
    assert!(unreadable.by.is_none() && unreadable.reason.contains("can't be read"), "{unreadable:?}");
    assert!(world.records.list("promotions/").await.unwrap().len() > 2);
}
