//! What somebody who writes every record and every tag, but has no key, gets promoted: nothing.

use gatekeeper_proof::{Envelope, NoSigner};

use super::*;

fn attestation_key() -> String {
    RecordKey::BuiltAttestation(commit(), Form::Dsse).to_string()
}

impl World {
    fn attestation(&self) -> Vec<u8> {
        self.records.bytes_of(&attestation_key()).unwrap()
    }

    /// A commit that ran in `uat`, and that somebody may promote to `prod`.
    pub(super) async fn ready_for_prod() -> (Self, PromotionRequest) {
        let mut world = Self::built(1, |manifest| manifest["author"] = json!("ada@bank.example")).await;
        let to_prod = PromotionRequest { stage: "prod".parse().unwrap(), ..request() };
        world.approved("ben").await;
        let arn = "arn:aws:sts::111122223333:assumed-role/promoter/rita";
        world.requester = Requester::Proven(Identity::of(arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap());
        world.ran(SHA, false).await;
        (world, to_prod)
    }

    async fn verdict(&self) -> Stored<Verdict> {
        record::read(&self.records, &RecordKey::Verdict(commit())).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_verdict_without_an_attestation_promotes_nothing() {
    let world = World::built(1, |_| {}).await;
    world.records.delete(&attestation_key());
    World::assert_refused(world.verify(&request()).await, &[Code::AttestationMissing]);
}

#[tokio::test]
async fn an_attestation_that_another_key_signed_promotes_nothing_promotions_own_neither() {
    let world = World::built(1, |_| {}).await;
    let payload = Envelope::parse(&world.attestation()).unwrap().payload().unwrap();
    for seed in [2, 9] {
        let forged = Envelope::sign(&payload, &LocalSigner::from_seed(seed)).await.unwrap();
        world.records.upload(&attestation_key(), &forged.to_bytes().unwrap(), &[]);
        World::assert_refused(world.verify(&request()).await, &[Code::AttestationInvalid]);
    }
}

#[tokio::test]
async fn a_forged_verdict_is_not_the_one_that_was_attested() {
    let world = World::built(1, |_| {}).await;
    let mut verdict = world.verdict().await.record;
    verdict.evaluated_at = wall_clock();
    let forged = record::to_bytes(&verdict).unwrap();
    world.records.upload(&RecordKey::Verdict(commit()).to_string(), &forged, &[]);
    World::assert_refused(world.verify(&request()).await, &[Code::AttestationInvalid]);
}

#[tokio::test]
async fn a_forged_verdict_with_tags_to_match_on_a_commit_that_failed_promotes_nothing() {
    let world = World::built(1, |manifest| manifest["tests"]["unit"]["failed"] = json!(1)).await;
    let mut verdict = world.verdict().await.record;
    (verdict.outcome, verdict.reasons) = (Outcome::Built, Vec::new());
    let forged = record::to_bytes(&verdict).unwrap();
    world.records.upload(&RecordKey::Verdict(commit()).to_string(), &forged, &[]);
    for key in world.artefacts.keys() {
        world.artefacts.tag(&key, &[("integration-passed", "true"), ("gatekeeper-outcome", "built")], "mallory");
    }
    World::assert_refused(world.verify(&request()).await, &[Code::AttestationMissing]);
}

#[tokio::test]
async fn an_attestation_of_another_commit_promotes_nothing() {
    let (world, other) = (World::built(1, |_| {}).await, World::built(2, |_| {}).await);
    world.records.upload(&attestation_key(), &other.attestation(), &[]);
    World::assert_refused(world.verify(&request()).await, &[Code::AttestationInvalid]);
}

#[tokio::test]
async fn any_byte_of_the_attestation_that_changes_is_found() {
    let world = World::built(1, |_| {}).await;
    let keys = keys();
    let (verdict, bytes) = (world.verdict().await, world.attestation());
    let manifest = Sha256::of(&world.artefacts.bytes_of(&ArtefactPath::Manifest.of(&commit())).unwrap());
    let holds = |bytes: &[u8]| {
        Statement::<TestResult>::open(bytes, &keys).is_ok_and(|it| {
            gatekeeper_gate::attestation::disagreement(&it, &verdict.record, verdict.sha256, manifest).is_none()
        })
    };
    assert!(holds(&bytes));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(!holds(&flipped), "byte {at}");
    }
}

#[tokio::test]
async fn upon_a_ledger_whose_head_was_forged_nothing_is_promoted() {
    let world = World::built(1, |_| {}).await;
    let chain = Chain { stage: request().stage, repo: commit().repo };
    let forged = Event::bare(Kind::Promotion, "promotion/1", "succeeded");
    let stranger = LocalSigner::from_seed(9);
    ledger::append(&world.records, &stranger, &chain, &forged, None, wall_clock()).await.unwrap();
    World::assert_refused(world.verify(&request()).await, &[Code::LedgerBroken]);
}

#[tokio::test]
async fn a_gate_that_can_not_sign_passes_nothing() {
    let world = World::new();
    let gate = Gate {
        artefacts: &world.artefacts,
        records: &world.records,
        log: Logger::silent(),
        clock: wall_clock,
        scratch: std::env::temp_dir(),
        signer: &NoSigner,
        verifier: &NoVerifier,
    };
    let built = World::built(1, |_| {}).await;
    for key in built.artefacts.keys() {
        world.artefacts.upload(&key, &built.artefacts.bytes_of(&key).unwrap(), &[]);
    }
    let events = world.artefacts.take_events();
    let mut failed = 0;
    for event in &events {
        failed += u32::from(gate.settle(event).await.is_err());
    }
    assert!(failed > 0, "the event comes again, and lies in the dead-letter queue in the end");
    for key in world.artefacts.keys() {
        assert_ne!(world.artefacts.tags_of(&key).get(INTEGRATION_PASSED).map(String::as_str), Some("true"), "{key}");
    }
}

#[tokio::test]
async fn what_an_earlier_stage_is_said_to_have_run_counts_only_where_it_was_signed() {
    let (world, to_prod) = World::ready_for_prod().await;
    let key = summary_key(format!("{:026}", 0).parse().unwrap());
    world.verify(&to_prod).await.unwrap();

    world.records.delete(&key);
    World::assert_refused(world.verify(&to_prod).await, &[Code::AttestationMissing]);
    // Neither the gate, nor somebody without a key, nor promotion's own word about something else.
    let of = async |sha: &str, stage: &str| world.summary(sha, &stage.parse().unwrap()).await;
    let of_another_manifest = summary(SHA, &"uat".parse().unwrap(), Sha256::of(b"another attestation"));
    for (statement, seed) in [
        (of(SHA, "uat").await, 1),
        (of(SHA, "uat").await, 9),
        (of(SHA, "prod").await, 2),
        (of(&"b".repeat(40), "uat").await, 2),
        (of_another_manifest, 2),
    ] {
        let signed = statement.sign(&LocalSigner::from_seed(seed)).await.unwrap();
        world.records.upload(&key, &signed.dsse, &[]);
        World::assert_refused(world.verify(&to_prod).await, &[Code::AttestationInvalid]);
    }
}

#[tokio::test]
async fn a_revocation_whose_record_is_gone_refuses_though_the_old_verdict_is_put_back() {
    let world = World::built(1, |_| {}).await;
    let built = record::to_bytes(&world.verdict().await.record).unwrap();
    let tags: Vec<_> = world.artefacts.keys().into_iter().map(|key| (world.artefacts.tags_of(&key), key)).collect();
    world.artefacts.tag(&ArtefactPath::Manifest.of(&commit()), &[("integration-passed", "false")], "AWS:X:jane");
    world.drain().await;
    assert_eq!(world.verdict().await.record.outcome, Outcome::Revoked);

    world.records.delete(&RecordKey::Revocation(commit()).to_string());
    world.records.upload(&RecordKey::Verdict(commit()).to_string(), &built, &[]);
    for (tags, key) in &tags {
        let tags: Vec<_> = tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.artefacts.tag(key, &tags, "AWS:X:mallory");
    }
    World::assert_refused(world.verify(&request()).await, &[Code::Revoked]);
}

#[tokio::test]
async fn while_nobody_can_tell_what_was_revoked_nothing_is_promoted() {
    let world = World::built(1, |_| {}).await;
    let chain = Chain::of_gate(commit().repo);
    let stranger = LocalSigner::from_seed(9);
    let forged = Event::bare(Kind::Revocation, "revocation/1", "revoked");
    ledger::append(&world.records, &stranger, &chain, &forged, None, wall_clock()).await.unwrap();
    World::assert_refused(world.verify(&request()).await, &[Code::LedgerBroken]);
}

#[tokio::test]
async fn a_stage_is_what_its_ledger_was_signed_over() {
    let (world, to_prod) = World::ready_for_prod().await;
    let key = RecordKey::Stage(request().stage, commit().repo);
    let stored = record::read::<StageState>(&world.records, &key).await.unwrap().unwrap();
    let digest = RecordDigest { key: key.to_string(), version_id: None, sha256: stored.sha256 };
    let promoted = Event { stage_record: Some(digest), ..Event::bare(Kind::Promotion, "promotion/1", "succeeded") };
    let chain = Chain { stage: request().stage, repo: commit().repo };
    ledger::append(&world.records, &LocalSigner::from_seed(2), &chain, &promoted, None, wall_clock()).await.unwrap();
    let again = PromotionRequest { rollback: true, ..request() };
    world.verify(&again).await.unwrap();
    world.verify(&to_prod).await.unwrap();

    // As if it had run there for months.
    let mut backdated = stored.record.clone();
    backdated.history[0].completed_at = "2026-05-02T03:05:00Z".parse().unwrap();
    world.records.upload(&key.to_string(), &record::to_bytes(&backdated).unwrap(), &[]);
    World::assert_refused(world.verify(&again).await, &[Code::StageRecordAltered]);
    World::assert_refused(world.verify(&to_prod).await, &[Code::StageRecordAltered]);
    world.records.delete(&key.to_string());
    World::assert_refused(world.verify(&request()).await, &[Code::StageRecordAltered]);
}
