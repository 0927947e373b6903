//! What the gate makes of its own records after somebody else wrote them: nothing that it has not signed.

use gatekeeper_proof::{Envelope, Statement, bundle};

use super::*;
use crate::attestation::TestResult;

impl World {
    async fn built(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.upload_reports();
        world.upload_manifest(|_| {});
        assert_eq!(world.settled().await.outcome, Outcome::Built);
        world
    }

    fn write(&self, key: &RecordKey, record: &impl serde::Serialize) {
        self.records.upload(&key.to_string(), &record::to_bytes(record).unwrap(), &[]);
    }

    fn tag_manifest(&self, value: &str) {
        self.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", value)], "AWS:X:mallory");
    }

    fn attestation(&self, form: Form) -> Vec<u8> {
        self.records.bytes_of(&RecordKey::BuiltAttestation(commit(), form).to_string()).unwrap()
    }
}

#[tokio::test]
async fn a_revocation_stands_though_its_record_is_written_over() {
    let mut world = World::built(21).await;
    let version = world.verdict().manifest_version_id.unwrap();
    let revocation = |manifest_version_id: &str, revoked_at: &str| {
        json!({"schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "manifest_version_id": manifest_version_id,
               "revoked_by": "jane@bank.example", "revoked_at": revoked_at, "reason": "rounds down"})
    };
    world.write(&RecordKey::Revocation(commit()), &revocation(version.as_str(), "9000-01-01T00:00:00Z"));
    world.tag_manifest("false");
    assert_eq!(world.settled().await.outcome, Outcome::Revoked);

    world.write(&RecordKey::Revocation(commit()), &revocation("another", "1970-01-01T00:00:00Z"));
    for value in ["false", "true"] {
        world.tag_manifest(value);
        let verdict = world.settled().await;
        assert_eq!(verdict.outcome, Outcome::Revoked);
        assert!(verdict.reasons.iter().any(|it| it.message == "taken back by `jane@bank.example`: rounds down"));
    }
    assert_eq!(world.tag("reports/unit.xml").as_deref(), Some("false"));
    let chain = gatekeeper_model::ids::Chain::of_gate(commit().repo);
    let proof = ledger::verify(&world.records, &chain, None, &SIGNER.keys()).await.unwrap();
    assert_eq!(proof.newest, 1, "it is told once");
}

#[tokio::test]
async fn a_revocation_stands_though_its_record_is_gone_and_the_old_verdict_is_put_back() {
    let mut world = World::built(23).await;
    let built = world.verdict();
    world.tag_manifest("false");
    assert_eq!(world.settled().await.outcome, Outcome::Revoked);

    world.records.delete(&RecordKey::Revocation(commit()).to_string());
    for value in ["true", "false"] {
        world.write(&RecordKey::Verdict(commit()), &built);
        world.tag_manifest(value);
        let verdict = world.settled().await;
        assert_eq!(verdict.outcome, Outcome::Revoked, "{value}");
        assert_eq!(world.tag("reports/unit.xml").as_deref(), Some("false"), "{value}");
    }
    // It is of this version of the manifest.
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
}

#[tokio::test]
async fn nothing_is_built_while_nobody_can_tell_what_was_revoked() {
    let mut world = World::built(24).await;
    world.tag_manifest("false");
    assert_eq!(world.settled().await.outcome, Outcome::Revoked);
    let head = RecordKey::LedgerHead(gatekeeper_model::ids::Chain::of_gate(commit().repo));
    world.write(&head, &json!({"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}));
    world.upload_manifest(|_| {});
    world.take_events();
    let error = world.deliver(1, ONE_BY_ONE).await.unwrap();
    assert!(error.contains("ledger's chain `gate/bank-payments` proves nothing"), "{error}");
    assert_eq!(world.tag("build-manifest.json"), None);
}

#[tokio::test]
async fn a_forged_verdict_lends_the_gate_neither_its_policy_nor_its_digests() {
    let mut world = World::new(22);
    let policy = json!({"schema_version": 1, "all": {"require": ["exit-codes"]}});
    world.write(&RecordKey::PolicyConfig, &policy);
    world.upload_reports();
    world.artefacts.upload_in_parts(&key("reports/unit.xml"), b"other bytes than the manifest claims");
    world.upload_manifest(|_| {});
    let rejected = world.settled().await;
    assert_eq!(rejected.outcome, Outcome::Rejected);

    let mut forged =
        Verdict { outcome: Outcome::Built, reasons: Vec::new(), policy_version_id: None, ..rejected.clone() };
    for artefact in &mut forged.artefacts {
        if artefact.key.ends_with("unit.xml") {
            artefact.sha256 = Sha256::of(content("unit.xml").as_bytes());
        }
    }
    world.write(&RecordKey::Verdict(commit()), &forged);
    world.tag_manifest("true");
    let verdict = world.settled().await;
    assert_eq!((verdict.outcome, verdict.reasons), (Outcome::Rejected, rejected.reasons));
    assert!(world.records.bytes_of(&RecordKey::BuiltAttestation(commit(), Form::Dsse).to_string()).is_none());
}

#[tokio::test]
async fn what_another_key_signed_is_signed_again() {
    let mut world = World::built(23).await;
    let payload = Envelope::parse(&world.attestation(Form::Dsse)).unwrap().payload().unwrap();
    let stranger = LocalSigner::from_seed(9);
    let forged = Envelope::sign(&payload, &stranger).await.unwrap();
    for (form, bytes) in
        [(Form::Dsse, forged.to_bytes().unwrap()), (Form::Sigstore, bundle::of(&forged, &stranger.key()).unwrap())]
    {
        world.records.upload(&RecordKey::BuiltAttestation(commit(), form).to_string(), &bytes, &[]);
    }
    world.tag_manifest("true");
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let dsse = world.attestation(Form::Dsse);
    Statement::<TestResult>::open_under(&dsse, &SIGNER.keys()).unwrap();
    let envelope = Envelope::parse(&dsse).unwrap();
    assert!(bundle::is_of(&world.attestation(Form::Sigstore), &envelope, &SIGNER.key()));
}
