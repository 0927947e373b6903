//! Making a verdict provable: the signed attestation that a commit is Built, the index of its bytes, and revocations in the
//! ledger.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    ids::{Chain, Commit, CommitSha, Repo, Sha256},
    revocation::TakenBack,
    store_key::{ArtefactKey, ArtefactPath, Form, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{
    Digest, Envelope, Signed, SigningError, Statement, bundle, ledger,
    ledger::{Event, Kind, RecordDigest},
};
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Precondition, ReadStore, TagStore, WriteStore, Written, record, record::Stored,
};
use serde::Serialize;
use serde_json::json;

use super::{
    GateError,
    look::{Believing, Looker, View},
    write::Writer,
};
use crate::{
    attestation,
    attestation::TestResult,
    judgement::{Evidence, StoredManifest},
};

/// A Built commit's attestation as it is stored, in both of its forms.
#[derive(Debug, Default)]
pub(super) struct StoredAttestation {
    pub(super) dsse: Option<Body>,
    pub(super) sigstore: Option<Body>,
}

/// That a Built commit has objects of some bytes: `digests/{sha256}/{repo}/{sha}.json`.
#[derive(Debug, Serialize)]
struct DigestIndex<'a> {
    schema_version: u32,
    repo: &'a Repo,
    commit_sha: &'a CommitSha,
    keys: Vec<&'a str>,
}

impl<S: ReadStore, R: ReadStore> Looker<'_, S, R> {
    /// The attestation that is stored for a commit, whatever it is worth.
    pub(super) async fn attestation(&self, commit: &Commit) -> Result<StoredAttestation, GateError> {
        let read = async |form| {
            let key = RecordKey::BuiltAttestation(commit.clone(), form).to_string();
            self.records.get(&key, None, gatekeeper_proof::MAX_BYTES).await
        };
        let (dsse, sigstore) = futures_util::future::try_join(read(Form::Dsse), read(Form::Sigstore)).await?;
        Ok(StoredAttestation { dsse, sigstore })
    }

    /// Whether a standing verdict is `built` and counts: whether a key of the gate's signed that, in both forms. What is
    /// stored by itself is nobody's word.
    pub(super) async fn vouches(
        &self,
        verdict: &Stored<Verdict>,
        attestation: &StoredAttestation,
    ) -> Result<bool, GateError> {
        if verdict.record.outcome != Outcome::Built {
            return Ok(false);
        }
        let Believing::SignedBy(signer) = self.believing else { return Ok(true) };
        let StoredAttestation { dsse: Some(dsse), sigstore: Some(sigstore) } = attestation else { return Ok(false) };
        let keys = signer.trusted().await?;
        let Ok(envelope) = Envelope::parse(&dsse.bytes) else { return Ok(false) };
        let Ok((statement, signer)) = Statement::<TestResult>::open_envelope(&envelope, &keys) else {
            return Ok(false);
        };
        let is_of_it = statement.predicate.verdict.digest == Some(Digest::Sha256(verdict.sha256));
        Ok(is_of_it && bundle::is_of(&sigstore.bytes, &envelope, &signer.key))
    }
}

impl<S: TagStore, R: WriteStore> Writer<'_, S, R> {
    /// Signs that the commit is Built, unless that is signed already; `false` where somebody else writes at the same time, and it
    /// must be looked at again. The statement follows from the verdict, so that twins sign the same.
    pub(super) async fn attest(
        &self,
        view: &View,
        evidence: &Evidence,
        verdict: &Verdict,
        verdict_sha256: Sha256,
    ) -> Result<bool, GateError> {
        let StoredManifest::Read { manifest, sha256, .. } = &evidence.manifest else { return Ok(true) };
        let statement = attestation::statement(verdict, verdict_sha256, manifest, *sha256, &evidence.rules)?;
        let (stated, subjects) = (statement.to_bytes().map_err(SigningError::from)?, statement.subject.len());
        drop(statement);
        let StoredAttestation { dsse, sigstore } = &view.attestation;
        let public_key = self.signer.public_key().await?;
        let standing = dsse.as_ref().and_then(|body| Envelope::parse(&body.bytes).ok());
        let standing = standing.filter(|it| it.verify(&public_key).is_ok_and(|signed| signed == stated));
        let key = |form| RecordKey::BuiltAttestation(evidence.commit.clone(), form).to_string();
        let put = async |form, bytes: &[u8], before: &Option<Body>| {
            let unchanged = |body: &Body| Precondition::Unchanged(body.etag.clone());
            let precondition = before.as_ref().map_or(Precondition::Absent, unchanged);
            self.records.put(&key(form), bytes, "application/json", &precondition).await
        };
        let bundle = match standing {
            Some(envelope) => {
                let there = sigstore.as_ref().is_some_and(|body| bundle::is_of(&body.bytes, &envelope, &public_key));
                if there {
                    return Ok(true);
                }
                bundle::of(&envelope, &public_key).map_err(SigningError::from)?
            }
            None => {
                self.index_digests(verdict, *sha256).await?;
                let Signed { dsse: envelope, sigstore } = Signed::of(stated, self.signer).await?;
                if put(Form::Dsse, &envelope, dsse).await? == Written::Conflict {
                    return Ok(false);
                }
                self.log.info(
                    "commit attested as built",
                    json!({"key": key(Form::Dsse), "subjects": subjects, "verdict_sha256": verdict_sha256}),
                );
                sigstore
            }
        };
        Ok(matches!(put(Form::Sigstore, &bundle, sigstore).await?, Written::Done { .. }))
    }

    /// Writes down which commit these bytes are of, once: an auditor comes with a digest that runs somewhere.
    async fn index_digests(&self, verdict: &Verdict, manifest: Sha256) -> Result<(), GateError> {
        let commit = verdict.commit();
        let manifest_key = ArtefactPath::Manifest.of(&commit);
        let judged = verdict.artefacts.iter().map(|it| (it.sha256, it.key.as_str()));
        let judged = judged.filter(|(_, key)| {
            let path = ArtefactKey::parse(key).map(|it| it.path);
            !matches!(path, Ok(ArtefactPath::Report(_) | ArtefactPath::Provenance(_)))
        });
        let mut keys = std::collections::BTreeMap::<Sha256, Vec<&str>>::new();
        for (digest, key) in judged.chain([(manifest, manifest_key.as_str())]) {
            keys.entry(digest).or_default().push(key);
        }
        stream::iter(keys)
            .map(async |(digest, keys)| {
                let index = DigestIndex { schema_version: 1, repo: &commit.repo, commit_sha: &commit.sha, keys };
                let key = RecordKey::DigestIndex(digest, commit.clone());
                record::write(self.records, &key, &index, &Precondition::Absent).await
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Enters the revocation that a verdict rests on into the gate's chain of the ledger, once.
    pub(super) async fn enter_revocation(&self, view: &View, verdict: &Verdict) -> Result<(), GateError> {
        let Some(stored) = &view.revocation else { return Ok(()) };
        let taken_back = &stored.taken_back;
        let Some(manifest) = verdict.manifest_version_id.as_ref().filter(|it| taken_back.concerns(it)) else {
            return Ok(());
        };
        let commit = &view.commit;
        let key = RecordKey::Revocation(commit.clone()).to_string();
        let (id, by, reason) = match taken_back {
            TakenBack::Told(told) => (String::new(), told.revoked_by.clone(), told.reason.clone()),
            // The one that is written over it gets an entry of its own.
            TakenBack::Unreadable(_) => ("/unreadable".to_owned(), "unknown".to_owned(), taken_back.to_string()),
        };
        let event = Event {
            kind: Kind::Revocation,
            id: format!("revocation/{}/{manifest}{id}", commit.sha),
            commit_sha: Some(commit.sha.clone()),
            promotion_id: None,
            by,
            approved_by: Vec::new(),
            reason,
            outcome: Outcome::Revoked.as_str().to_owned(),
            findings: Vec::new(),
            findings_left_out: 0,
            record: stored.sha256.map(|sha256| RecordDigest {
                key,
                version_id: Some(stored.version_id.clone()),
                sha256,
            }),
            break_glass: false,
            manifest_version_id: Some(manifest.clone()),
            stage_record: None,
            hold: None,
            waiver: None,
            attestations: Vec::new(),
            hand_over: None,
        };
        let chain = Chain::of_gate(commit.repo.clone());
        // Not before the verdict, whose time is the gate's own; that of the revocation is whatever its writer says.
        let since = Some(verdict.evaluated_at);
        match ledger::append(self.records, self.signer, &chain, &event, since, (self.clock)()).await {
            // The tags must not wait for a chain that nothing can be written on top of.
            Err(error) if error.is_broken() => {
                self.log.error("revocation is not in the ledger, which is broken", json!({"error": error.to_string()}));
                Ok(())
            }
            entered => Ok(entered.map(|_| ())?),
        }
    }
}
