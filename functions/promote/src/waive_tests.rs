//! Agreeing to waivers and ending them: by whom, once, and only what was signed and looked at.

use gatekeeper_model::{identity::Identity, telemetry::Logger};
use gatekeeper_promotion::{
    brake::{Action, SignedWord, Word as _},
    waiver::ProposedWaiver,
};
use gatekeeper_proof::{
    LocalSigner,
    ledger::{Kind, Standing},
};
use gatekeeper_store::{ReadStore as _, memory::Memory, record};
use serde_json::json;

use super::*;

const ID: &str = "01J0000000000000000000000A";

fn at(time: &str) -> Timestamp {
    format!("2026-05-06T{time}:00Z").parse().unwrap()
}

fn identity(role: &str, person: &str) -> Identity {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/{person}");
    Identity::of(&arn, "111122223333", &format!("AROAEXAMPLE:{person}"), "111122223333").unwrap()
}

fn uat() -> StageName {
    "uat".parse().unwrap()
}

/// Ann's proposal to let `bank-payments` through the freeze until 18:00.
fn proposal() -> ProposedWaiver {
    serde_json::from_value(json!({
        "schema_version": 1, "waiver_id": ID, "stage": "uat", "repo": "bank-payments", "code": "stage-frozen",
        "until": at("18:00"), "proposed_at": at("09:00"), "proposed_by": identity("approver", "ann@bank.example"),
        "reason": "the regulator's fix must go out",
    }))
    .unwrap()
}

/// The records, the keys of promotion and of approvals, and the SHA-256 of what is proposed.
struct World {
    records: Memory,
    signer: LocalSigner,
    approvals: LocalSigner,
}

impl World {
    fn new() -> Self {
        let (signer, approvals) = (LocalSigner::from_seed(2), LocalSigner::from_seed(3));
        let world = Self { records: Memory::default(), signer, approvals };
        let stages = json!({"schema_version": 1, "stages": {"dev": {}, "uat": {}}});
        world.records.upload("config/stages.json", stages.to_string().as_bytes(), &[]);
        world
    }

    /// Stores a proposal that a key has signed; its SHA-256.
    async fn proposed(&self, word: ProposedWaiver, key: &LocalSigner) -> Sha256 {
        let place = word.key().to_string();
        let bytes = record::to_bytes(&SignedWord::sign(word, key).await.unwrap()).unwrap();
        self.records.upload(&place, &bytes, &[]);
        Sha256::of(&bytes)
    }

    async fn asked(&self, action: Action, caller: Caller, now: &str) -> BrakeAnswer {
        let log = Logger::silent();
        let braking = Braking { records: &self.records, signer: &self.signer, approvals: &self.approvals, log: &log };
        let reason = "looked at the fix".to_owned();
        let request = BrakeRequest { action, stage: uat(), reason, identity_proof: None };
        braking.answer(&request, async { Ok(Ok(caller)) }, at(now)).await.unwrap()
    }

    async fn agree(&self, proposal_sha256: Sha256, person: &str, now: &str) -> BrakeAnswer {
        let action = Action::AgreeToWaiver { waiver_id: ID.parse().unwrap(), proposal_sha256 };
        self.asked(action, Caller::Person(identity("promoter", person)), now).await
    }

    async fn end(&self, now: &str) -> BrakeAnswer {
        let action = Action::EndWaiver { waiver_id: ID.parse().unwrap() };
        self.asked(action, Caller::Person(identity("promoter", "cleo@bank.example")), now).await
    }

    async fn standing(&self) -> Standing {
        let head = RecordKey::LedgerHead(Chain::of_holds(&uat())).to_string();
        let head = self.records.get(&head, None, ledger::MAX_BYTES).await.unwrap();
        standing(&uat(), head.as_ref().map(|head| head.bytes.as_slice()), &self.signer.keys()).unwrap()
    }
}

fn refused(answer: BrakeAnswer) -> String {
    let BrakeAnswer::Refused { reasons } = answer else { panic!("{answer:?}") };
    reasons.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_one_person_proposed_and_another_agreed_to_counts_once_until_somebody_ends_it_for_good() {
    let world = World::new();
    let proposal = world.proposed(proposal(), &world.approvals).await;
    for is_again in [false, true] {
        let answer = world.agree(proposal, "bob@bank.example", "10:00").await;
        let BrakeAnswer::Waived { waiver, already } = answer else { panic!("{answer:?}") };
        assert_eq!(already, is_again);
        assert_eq!((waiver.proposed_by.as_str(), waiver.agreed_by.as_str()), ("ann@bank.example", "bob@bank.example"));
        assert_eq!(world.standing().await.waivers.into_values().collect::<Vec<_>>(), [waiver]);
    }
    let answer = world.end("11:00").await;
    assert!(matches!(answer, BrakeAnswer::Ended { by, .. } if by == "cleo@bank.example"));
    assert_eq!(world.standing().await, Standing::default());
    insta::assert_snapshot!(refused(world.agree(proposal, "bob@bank.example", "11:30").await), @"waiver-invalid: it counted once and was ended, or its time is over; propose it anew");
    insta::assert_snapshot!(refused(world.end("11:30").await), @"waiver-invalid: no such waiver counts for `uat`; see `gatekeeper waivers --stage uat`");

    let chain = Chain::of_holds(&uat());
    let (entries, head) = ledger::read_since(&world.records, &chain, 1, &world.signer.keys()).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|it| it.entry.as_ref().unwrap().event.kind).collect();
    assert_eq!(kinds, [Kind::Waiver, Kind::WaiverEnd]);
    assert!(ledger::prove_whole(&chain, entries, head.as_deref(), None, &world.signer.keys()).holds());
}

#[tokio::test]
async fn one_person_alone_nobody_and_a_machine_waive_nothing() {
    let world = World::new();
    let looked_at = world.proposed(proposal(), &world.approvals).await;
    insta::assert_snapshot!(refused(world.agree(looked_at, "ann@bank.example", "10:00").await), @"waiver-invalid: `ann@bank.example` proposed it, and somebody else must agree");
    insta::assert_snapshot!(refused(world.agree(looked_at, "bob@bank.example", "18:00").await), @"waiver-invalid: it was until 2026-05-06T18:00:00Z");
    let machine = Caller::Other("arn:aws:sts::111122223333:assumed-role/ci/run-1".to_owned());
    let action = Action::AgreeToWaiver { waiver_id: ID.parse().unwrap(), proposal_sha256: looked_at };
    insta::assert_snapshot!(refused(world.asked(action, machine, "10:00").await), @"requester-unproven: a person must agree, by a session of the promoter's role, and `arn:aws:sts::111122223333:assumed-role/ci/run-1` is not such a session");
    let aliases = json!({"schema_version": 1, "aliases": {"ann@bank.example": ["annie"]}});
    world.records.upload("config/identities.json", aliases.to_string().as_bytes(), &[]);
    assert!(refused(world.agree(looked_at, "annie", "10:00").await).contains("somebody else must agree"));
    assert_eq!(world.standing().await, Standing::default());
}

#[tokio::test]
async fn what_was_not_looked_at_not_signed_or_is_no_rule_is_not_agreed_to() {
    let (world, other) = (World::new(), LocalSigner::from_seed(9));
    let nothing = Sha256::of(b"nothing");
    insta::assert_snapshot!(refused(world.agree(nothing, "bob@bank.example", "10:00").await), @"waiver-invalid: nobody proposed such a waiver for `uat`; see `gatekeeper waivers`");
    let looked_at = world.proposed(proposal(), &world.approvals).await;
    world.proposed(ProposedWaiver { until: at("19:00"), ..proposal() }, &world.approvals).await;
    assert!(refused(world.agree(looked_at, "bob@bank.example", "10:00").await).contains("look again"));
    let planted = world.proposed(proposal(), &other).await;
    insta::assert_snapshot!(refused(world.agree(planted, "bob@bank.example", "10:00").await), @"waiver-invalid: the proposal is not proved: the signature does not hold: another key signed it, or its bytes were changed; it must be proposed again");
    let proof = ProposedWaiver { code: Code::LedgerBroken, ..proposal() };
    let proof = world.proposed(proof, &world.approvals).await;
    insta::assert_snapshot!(refused(world.agree(proof, "bob@bank.example", "10:00").await), @"waiver-invalid: `ledger-broken` can't be waived; what can be is `requires-not-met`, `soak-not-over`, `stage-frozen`");
    world.records.upload(&proposal().key().to_string(), b"{}", &[]);
    assert!(refused(world.agree(proof, "bob@bank.example", "10:00").await).starts_with("waiver-invalid"));
    assert_eq!(world.standing().await, Standing::default());
}

#[tokio::test]
async fn nothing_counts_on_top_of_a_head_that_another_key_signed() {
    let world = World::new();
    let looked_at = world.proposed(proposal(), &world.approvals).await;
    let (place, keys) = (proposal().key(), world.approvals.keys());
    let given = gatekeeper_promotion::waiver::GivenProposal::read(&world.records, &place, &keys);
    let waiver = given.await.unwrap().unwrap().agreed(identity("promoter", "bob").person, at("10:00"));
    let forger = LocalSigner::from_seed(9);
    let chain = Chain::of_holds(&uat());
    ledger::append(&world.records, &forger, &chain, &agreeing(&waiver, "mine"), None, at("10:00")).await.unwrap();
    assert!(refused(world.agree(looked_at, "bob@bank.example", "10:00").await).starts_with("ledger-broken"));
    assert!(refused(world.end("10:00").await).starts_with("ledger-broken"));
}
