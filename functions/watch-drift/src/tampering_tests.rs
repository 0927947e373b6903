//! What somebody does who may write and delete every record, but has no key, and who tells of it: promotion, the evidence,
//! `gatekeeper ledger verify` and this function. No row is silent.

use std::{collections::BTreeSet, fmt::Write as _};

use gatekeeper_evidence::{
    model::Holds,
    sample::{PROMOTION, World, commit, live, question},
};
use gatekeeper_model::{
    identity::{Identity, Person},
    ids::{Commit, StageName},
    store_key::ArtefactPath,
    verdict::{Outcome, Verdict},
};
use gatekeeper_promotion::{
    approval::{Approval, SignedApproval},
    beside,
    boundary::Home,
    drift::{Look, Promoted, compare},
    history::StageState,
    request::PromotionRequest,
    rules::Requester,
    verify::{Asked, Verified, verify},
};
use gatekeeper_proof::{LocalSigner, ledger::Kept};
use gatekeeper_store::{Stores, record, revocation};
use serde_json::{Value, json};

use super::*;

const SECOND: &str = "01JT0000000000000000000009";

fn uat() -> Chain {
    Chain { stage: question().stage, repo: question().repo }
}

fn prod() -> StageName {
    "prod".parse().unwrap()
}

/// Minutes after the first promotion began.
fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_777_692_600 + 60 * minutes).unwrap()
}

/// A commit that was approved and promoted to `uat` twice, and that `ben` approved for `prod`, which it may have after an
/// hour in `uat`; with what was stored after the first promotion.
struct Store {
    world: World,
    first: Vec<(String, Vec<u8>)>,
    proved: ProvedLedger,
    kept: Kept,
    noise: BTreeSet<Code>,
}

impl Store {
    async fn new() -> Self {
        let world = World::approved().await;
        let first = [RecordKey::LedgerHead(uat()), stage_key()].map(|key| key.to_string());
        let first = first.map(|key| (key.clone(), world.records.bytes_of(&key).unwrap())).to_vec();
        world.promote(SECOND, false).await;
        let key = RecordKey::StagesConfig.to_string();
        let mut config: Value = serde_json::from_slice(&world.records.bytes_of(&key).unwrap()).unwrap();
        let mut later = config["stages"]["uat"].clone();
        later["requires"] = json!("deployed:uat");
        (later["soak_minutes"], later["approvals"]) = (json!(60), json!(1));
        config["stages"]["prod"] = later;
        world.records.upload(&key, config.to_string().as_bytes(), &[]);
        world.approve("ben", prod()).await;
        let head = world.records.bytes_of(&RecordKey::LedgerHead(uat()).to_string()).unwrap();
        let (_, proved) = ledger(&world.records, &uat(), None, true, &world.keys(), minute(0)).await.unwrap();
        let mut store = Self { world, first, proved: proved.unwrap(), kept: Kept(head), noise: BTreeSet::new() };
        store.noise = store.drift().await;
        store
    }

    fn put(&self, key: &RecordKey, record: &impl serde::Serialize) {
        self.world.records.upload(&key.to_string(), &record::to_bytes(record).unwrap(), &[]);
    }

    async fn state(&self) -> StageState {
        record::read(&self.world.records, &stage_key()).await.unwrap().unwrap().record
    }

    async fn verdict(&self) -> Verdict {
        record::read(&self.world.records, &RecordKey::Verdict(commit())).await.unwrap().unwrap().record
    }

    async fn approval(&self, person: &str) -> (RecordKey, SignedApproval) {
        let key = Approval::key(&prod(), &commit(), &Person::named(person));
        let stored = record::read(&self.world.records, &key).await.unwrap().unwrap();
        (key, stored.record)
    }

    /// What `promote` answers to who asks for `stage` at a time.
    async fn verified(&self, stage: &str, now: Timestamp) -> Result<Verified, String> {
        let event = json!({"repo": "bank-payments", "commit_sha": commit().sha, "stage": stage,
                           "requested_by": "rita", "reason": "release 2026-05"});
        let request = PromotionRequest::parse(&event).unwrap();
        let arn = "arn:aws:sts::111122223333:assumed-role/promoter/rita";
        let rita = Identity::of(arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap();
        let home = Home {
            artefact_bucket: "artefacts".to_owned(),
            stage_boundary_arn: "arn:aws:iam::111122223333:policy/gatekeeper/gatekeeper-stage-boundary".to_owned(),
            is_shared: false,
        };
        let stores = Stores { artefacts: &self.world.artefacts, records: &self.world.records };
        let keys = std::future::ready(Ok(self.world.keys()));
        let requester = std::future::ready(Ok(Requester::Proven(rita)));
        match verify(stores, None, Asked { request: &request, home: &home, now }, keys, requester).await {
            Ok(Ok(verified)) => Ok(*verified),
            Ok(Err(reasons)) => {
                let codes: BTreeSet<_> = reasons.iter().map(|it| it.code.as_str()).collect();
                Err(Vec::from_iter(codes).join(", "))
            }
            Err(error) => Err(format!("error: {error}")),
        }
    }

    /// After an hour and more in `uat`, and before.
    async fn promote(&self, stage: &str) -> String {
        let now = if stage == "early" { minute(10) } else { minute(120) };
        let stage = if stage == "early" { "prod" } else { stage };
        self.verified(stage, now).await.map_or_else(|refused| refused, |_| "starts".to_owned())
    }

    async fn evidence(&self) -> Holds {
        self.world.evidence().await.verdict
    }

    /// What `gatekeeper ledger verify` says.
    async fn ledger_verify(&self) -> String {
        let (records, keys) = (&self.world.records, &self.world.keys());
        let mut told = BTreeSet::new();
        for chain in [uat(), Chain { stage: prod(), ..uat() }, Chain::of_gate(uat().repo)] {
            let proof = ledger::verify(records, &chain, None, keys.of(Authority::of(&chain))).await.unwrap();
            told.extend(proof.broken.map(|_| "broken".to_owned()));
            let beside = beside::altered(records, &chain, keys).await.unwrap();
            told.extend(beside.iter().map(|it| it.code.to_string()));
        }
        if told.is_empty() { "holds".to_owned() } else { Vec::from_iter(told).join(", ") }
    }

    /// What a run of `watch-drift` that looks at everything finds of `uat`.
    async fn drift(&self) -> BTreeSet<Code> {
        let (records, keys) = (&self.world.records, &self.world.keys());
        let stored = record::read::<StageState>(records, &stage_key()).await.unwrap();
        // Without the document it doesn't know of the stage.
        let Some(record::Stored { record: state, sha256, .. }) = stored else { return BTreeSet::new() };
        let key = RecordKey::Promotion(state.stage.clone(), state.repo.clone(), state.promotion_id.clone());
        let promoted = record::read::<PromotionRecord>(records, &key).await.unwrap().map(|it| it.record);
        let commit = Commit { repo: state.repo.clone(), sha: state.commit_sha.clone() };
        let (mut proofs, revocations) = signed(records, &uat(), sha256, keys).await.unwrap();
        let (broken, _) = ledger(records, &uat(), Some(&self.proved), true, keys, minute(180)).await.unwrap();
        proofs.extend(broken);
        if let Some(promoted) = &promoted {
            proofs.extend(attestation(records, promoted, keys).await.unwrap());
        }
        proofs.extend(short_ledger(records, &Chain::of_gate(uat().repo), keys).await.unwrap());
        proofs.extend(beside::unattested_verdict(records, &commit, keys).await.unwrap());
        proofs.extend(beside::unproved_approvals(records, &uat(), keys.approval.as_ref()).await.unwrap());
        let look = Look {
            functions: promoted.as_ref().map(live).unwrap_or_default(),
            verdict: Some(self.verdict().await),
            revocation: revocation::read(records, &commit).await.unwrap().map(|it| it.taken_back),
            revocations,
            proofs,
            ..Look::default()
        };
        let record = promoted.as_ref().ok_or("it is gone");
        let found = compare(Promoted { state: &state, record, last: record }, &look, minute(180)).findings;
        // Neither stacks nor databases are looked at here.
        found.iter().map(|it| it.code).filter(|code| !self.noise.contains(code)).collect()
    }

    /// A row of the table.
    async fn told(&self) -> [String; 6] {
        let drift: Vec<_> = self.drift().await.iter().map(ToString::to_string).collect();
        [
            self.promote("uat").await,
            self.promote("prod").await,
            self.promote("early").await,
            self.evidence().await.to_string(),
            self.ledger_verify().await,
            if drift.is_empty() { "nothing".to_owned() } else { drift.join(", ") },
        ]
    }

    fn delete_entries_above_the_first(&self) {
        for sequence in 2..=4 {
            self.world.records.delete(&RecordKey::LedgerEntry(uat(), sequence).to_string());
        }
    }

    fn put_back(&self, what: &RecordKey) {
        let (key, bytes) = self.first.iter().find(|(key, _)| *key == what.to_string()).unwrap();
        self.world.records.upload(key, bytes, &[]);
    }
}

fn stage_key() -> RecordKey {
    RecordKey::Stage(question().stage, question().repo)
}

const UNTOUCHED: [&str; 6] = ["starts", "starts", "soak-not-over", "holds", "holds", "nothing"];

async fn revoke(store: &Store) {
    let manifest = ArtefactPath::Manifest.of(&commit());
    store.world.artefacts.tag(&manifest, &[("integration-passed", "false")], "AWS:X:jane");
    store.world.judge_all().await;
    assert_eq!(store.verdict().await.outcome, Outcome::Revoked);
}

/// Does what a row's name says.
async fn tamper(store: &Store, row: &str) {
    let records = &store.world.records;
    match row {
        "an older head put back, the entries above it deleted" => {
            store.put_back(&RecordKey::LedgerHead(uat()));
            store.delete_entries_above_the_first();
        }
        "the same with the stage's document of then" => {
            store.put_back(&RecordKey::LedgerHead(uat()));
            store.delete_entries_above_the_first();
            store.put_back(&stage_key());
        }
        "the whole chain deleted" => {
            records.delete(&RecordKey::LedgerHead(uat()).to_string());
            records.delete(&RecordKey::LedgerEntry(uat(), 1).to_string());
            store.delete_entries_above_the_first();
        }
        "an older stage document put back" => store.put_back(&stage_key()),
        "the stage document deleted" => records.delete(&stage_key().to_string()),
        "a backdated soak" => {
            let mut state = store.state().await;
            for completed in &mut state.history {
                completed.completed_at = minute(-600);
            }
            store.put(&stage_key(), &state);
        }
        "a revocation deleted, the old verdict and tags put back" => {
            let (verdict, artefacts) = (store.verdict().await, &store.world.artefacts);
            let tags: Vec<_> = artefacts.keys().into_iter().map(|key| (artefacts.tags_of(&key), key)).collect();
            revoke(store).await;
            records.delete(&RecordKey::Revocation(commit()).to_string());
            store.put(&RecordKey::Verdict(commit()), &verdict);
            for (tags, key) in &tags {
                let tags: Vec<_> = tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                artefacts.tag(key, &tags, "AWS:X:mallory");
            }
        }
        "a deleted promotion record" => {
            let key = RecordKey::Promotion(question().stage, question().repo, SECOND.parse().unwrap());
            records.delete(&key.to_string());
        }
        "an altered promotion record" => {
            let key = RecordKey::Promotion(question().stage, question().repo, SECOND.parse().unwrap());
            let stored = record::read::<PromotionRecord>(records, &key).await.unwrap().unwrap();
            store.put(&key, &PromotionRecord { reason: "another".to_owned(), ..stored.record });
        }
        "a planted verdict" => {
            let mut verdict = store.verdict().await;
            verdict.artefacts.pop();
            store.put(&RecordKey::Verdict(commit()), &verdict);
        }
        "a planted inspection" => {
            let key = records.keys().into_iter().find(|key| key.starts_with("inspections/")).unwrap();
            let mut planted: Value = serde_json::from_slice(&records.bytes_of(&key).unwrap()).unwrap();
            for found in planted["record"]["inspections"].as_object_mut().unwrap().values_mut() {
                for inspection in found.as_object_mut().unwrap().values_mut() {
                    *inspection = json!({"findings": []});
                }
            }
            records.upload(&key, planted.to_string().as_bytes(), &[]);
        }
        approvals => tamper_with_approvals(store, approvals).await,
    }
}

async fn tamper_with_approvals(store: &Store, row: &str) {
    let records = &store.world.records;
    match row {
        "a planted approval in place of the signed one" => {
            let (key, mut approval) = store.approval("ben").await;
            approval.envelope = None;
            store.put(&key, &approval);
        }
        "a planted approval for a stage that runs something" => {
            let (_, mut approval) = store.approval("ben").await;
            (approval.approval.stage, approval.envelope) = (question().stage, None);
            store.put(&Approval::key(&question().stage, &commit(), &Person::named("ben")), &approval);
        }
        "an altered approval" => {
            let (key, mut approval) = store.approval("ben").await;
            approval.approval.break_glass = true;
            store.put(&key, &approval);
        }
        "an approval signed by promotion's key" => {
            let (key, approval) = store.approval("ben").await;
            store.put(&key, &SignedApproval::sign(approval.approval, &LocalSigner::from_seed(2)).await.unwrap());
        }
        "an approval copied from another stage" => {
            let (key, approval) = store.approval("ben").await;
            let of_uat = Approval::key(&question().stage, &commit(), &Person::named("ann"));
            let ann = record::read::<SignedApproval>(records, &of_uat).await.unwrap().unwrap().record;
            assert_ne!(ann, approval);
            records.delete(&key.to_string());
            store.put(&Approval::key(&prod(), &commit(), &Person::named("ann")), &ann);
        }
        "an approval copied from another commit" => {
            let (key, mut approval) = store.approval("ben").await;
            approval.approval.commit_sha = "b".repeat(40).parse().unwrap();
            store.put(&key, &SignedApproval::sign(approval.approval, &store.world.approval).await.unwrap());
        }
        "an approval copied to another person's place" => {
            let (key, approval) = store.approval("ben").await;
            records.delete(&key.to_string());
            store.put(&Approval::key(&prod(), &commit(), &Person::named("cleo")), &approval);
        }
        other => panic!("no row `{other}`"),
    }
}

const ROWS: [&str; 18] = [
    "an older head put back, the entries above it deleted",
    "the same with the stage's document of then",
    "the whole chain deleted",
    "an older stage document put back",
    "the stage document deleted",
    "a backdated soak",
    "a revocation deleted, the old verdict and tags put back",
    "a planted approval in place of the signed one",
    "a planted approval for a stage that runs something",
    "an altered approval",
    "an approval signed by promotion's key",
    "an approval copied from another stage",
    "an approval copied from another commit",
    "an approval copied to another person's place",
    "a deleted promotion record",
    "an altered promotion record",
    "a planted verdict",
    "a planted inspection",
];

#[tokio::test]
async fn whatever_is_done_to_the_records_somebody_tells_of_it() {
    assert_eq!(Store::new().await.told().await, UNTOUCHED.map(str::to_owned));
    let mut table = String::new();
    for row in ROWS {
        let store = Store::new().await;
        let plan = store.verified("prod", minute(120)).await.unwrap().plan_sha256;
        tamper(&store, row).await;
        let told = store.told().await;
        let [uat, prod, early, evidence, verify, drift] = &told;
        let _ = writeln!(
            table,
            "{row}\n    promote to uat     {uat}\n    promote to prod    {prod}\n    before its time    {early}\n    \
             evidence           {evidence}\n    ledger verify      {verify}\n    watch-drift        {drift}"
        );
        if row == "a planted inspection" {
            // It lends nothing: what the templates say is read from their bytes. The gate writes it over.
            assert_eq!(store.verified("prod", minute(120)).await.unwrap().plan_sha256, plan);
            continue;
        }
        assert_ne!(told, UNTOUCHED.map(str::to_owned), "`{row}` is silent");
    }
    insta::assert_snapshot!(table);
}

/// What only a head that is kept elsewhere tells of, beside a run of `watch-drift` that knows how far the chain was proved.
#[tokio::test]
async fn a_chain_that_was_rolled_back_is_told_by_a_head_that_was_kept() {
    let store = Store::new().await;
    tamper(&store, "the same with the stage's document of then").await;
    let key = &store.world.keys().promotion;
    let proof = ledger::verify(&store.world.records, &uat(), Some(&store.kept), key).await.unwrap();
    assert!(proof.broken.unwrap().what.starts_with("the tail was removed"));
    assert_eq!(store.state().await.promotion_id.as_str(), PROMOTION);
}
