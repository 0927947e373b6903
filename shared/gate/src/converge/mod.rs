//! Makes what the gate says and what the store shows agree: read the present state, judge, write, look again.
//!
//! An event is only a hint to look. Everything here can be done twice, late, in any order and by two functions at
//! once, and ends in the same state (CONTRACT §4):
//!
//! * verdicts are written under a condition, so that of two judges one looks again;
//! * tags can't be written under a condition, but each write comes back as an event, and whoever gets it compares
//!   the object with the verdict that stands by then.

mod attest;
mod baseline;
pub mod batch;
mod inspect;
mod look;
#[cfg(test)]
mod reports_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    event::{Change, Event},
    finding::{Code, Finding},
    ids::{Commit, ETag, Sha256, VersionId},
    policy::InvalidPolicy,
    store_key::{ArtefactKey, ArtefactPath, OutsideLayout, RecordKey},
    telemetry::{Clock, Logger},
    verdict,
    verdict::{JudgedArtefact, Outcome, Revocation, Verdict},
};
use gatekeeper_proof::{Signer, SigningError, ledger::LedgerError};
use gatekeeper_store::{
    CALLS_IN_FLIGHT, MAX_TAGS, Precondition, Store, StoreError, Tags, Written, record,
    record::{RecordError, Stored},
    revocation::StoredRevocation,
};
pub use inspect::inspected_template;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    handoff, judgement,
    judgement::{Evidence, Judgement, StoredManifest, TagWrite},
};

/// How often a commit is looked at again before Lambda's retry is asked to.
const MAX_ROUNDS: u32 = 12;

/// Why the gate could not do its work. That a commit is refused is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A bucket could not be looked at or written to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bundle could not be spooled to disk.
    #[error("a bundle could not be spooled for inspection")]
    Spool(#[from] std::io::Error),
    /// The commit changes faster than it can be judged.
    #[error("`{commit}` still changed after {MAX_ROUNDS} looks")]
    Unsettled {
        /// The commit.
        commit: Commit,
    },
    /// The policy is none, so nothing can be judged by it.
    #[error("`{key}` can't be applied")]
    Policy {
        /// Its key in the records bucket.
        key: String,
        /// What is wrong.
        #[source]
        source: InvalidPolicy,
    },
    /// One of the gate's own records could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The attestation could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A revocation could not be entered into the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What an event came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The verdict that stands; none where the object belongs to no commit.
    pub outcome: Option<Outcome>,
    /// Tag sets that were written.
    pub tag_writes: u64,
}

/// The gate over its two buckets.
#[derive(Debug, Clone)]
pub struct Gate<'a, S, R = S> {
    /// What CI writes.
    pub artefacts: &'a S,
    /// The records, the policy among them; memory, where a check shall write nothing.
    pub records: &'a R,
    /// Where it tells of its work.
    pub log: Logger,
    /// The present.
    pub clock: Clock,
    /// Where bundles are spooled while they are inspected.
    pub scratch: PathBuf,
    /// What it signs with that a commit is Built.
    pub signer: &'a dyn Signer,
}

/// What makes a standing verdict `built` count, of which the next one takes the policy and the digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believing {
    /// The gate's signature on it.
    Signed,
    /// That it is stored: for who only looks.
    Stored,
}

/// What an event says beyond "look there": which stranger changed the tags of which object.
#[derive(Debug, Clone)]
struct Hint {
    path: ArtefactPath,
    tagged_by: Option<String>,
}

impl<S: Store, R: Store> Gate<'_, S, R> {
    /// Looks where the event points and makes verdict and tags agree with what is stored.
    ///
    /// # Errors
    /// [`GateError`] where it could not look or write; the event must come again then.
    pub async fn settle(&self, event: &Event) -> Result<Settled, GateError> {
        let key = match ArtefactKey::parse(&event.key) {
            Ok(key) => key,
            Err(outside) => return self.settle_stray(&outside, event.change).await,
        };
        let gate = Gate { log: self.log.for_commit(&key.commit), scratch: self.scratch.clone(), ..*self };
        let tagged = event.change == Change::Tagged;
        let hint = Hint { path: key.path, tagged_by: event.principal.clone().filter(|_| tagged) };
        // The gate's own writes come back without a name, and while they do it is at work.
        let is_echo = tagged && hint.tagged_by.is_none();
        let mut settled = Settled::default();
        for _ in 0..MAX_ROUNDS {
            match gate.glance(&key.commit, &hint.path, is_echo).await? {
                look::Glance::Settled(outcome) => return Ok(Settled { outcome, ..settled }),
                look::Glance::Retag(write) => {
                    settled.tag_writes += 1;
                    gate.write_tag(&key.commit, &write, &hint).await?;
                }
                look::Glance::Record(verdict) => {
                    gate.write_verdict(&verdict, &Precondition::Absent).await?;
                }
                look::Glance::Judge => {
                    let judged = gate.converge(&key.commit, &hint).await?;
                    return Ok(Settled { tag_writes: settled.tag_writes + judged.tag_writes, ..judged });
                }
            }
        }
        Err(GateError::Unsettled { commit: key.commit })
    }

    /// The verdict on what is stored now, without writing a verdict, a tag or a handoff.
    ///
    /// # Errors
    /// [`GateError`] where it could not look, or an object vanished at every look.
    pub async fn check(&self, commit: &Commit) -> Result<Verdict, GateError> {
        for _ in 0..MAX_ROUNDS {
            let view = self.look(commit, Believing::Stored).await?;
            if let Err(invalid) = &view.rules {
                return Err(not_a_policy(invalid));
            }
            if let Some(gathered) = self.gather(&view).await? {
                let judgement = judgement::judge(&gathered.evidence);
                return Ok(verdict_of(&gathered.evidence, judgement, (self.clock)()));
            }
        }
        Err(GateError::Unsettled { commit: commit.clone() })
    }

    /// An object outside the layout is reported when it comes and whenever its tag must be set back, and tagged `false`; it is no
    /// part of any commit.
    async fn settle_stray(&self, outside: &OutsideLayout, change: Change) -> Result<Settled, GateError> {
        let mut settled = Settled::default();
        let key = outside.key.as_str();
        let Some(head) = self.artefacts.head(key, None).await? else { return Ok(settled) };
        let Some(tags) = self.artefacts.tags(key, &head.version_id).await? else { return Ok(settled) };
        let mut reasons = vec![Finding::new(Code::KeyOutsideLayout, key, outside.to_string())];
        let mut wanted = tags.clone();
        wanted.insert(judgement::INTEGRATION_PASSED.to_owned(), "false".to_owned());
        if wanted.len() > MAX_TAGS {
            let message =
                format!("{} tags of others leave no room for `{}`", tags.len(), judgement::INTEGRATION_PASSED);
            reasons.push(Finding::new(Code::TagLimit, key, message));
        } else if wanted != tags {
            self.artefacts.put_tags(key, &head.version_id, &wanted).await?;
            settled.tag_writes = 1;
        }
        // The gate's own write comes back as an event, and there is nothing new to tell then.
        if settled.tag_writes > 0 || change == Change::Created {
            self.log.warn(
                "object outside the layout of the artefact store",
                json!({
                    "key": key, "version_id": head.version_id, "reasons": reasons,
                    "repo": outside.commit.as_ref().map(|commit| &commit.repo),
                    "commit_sha": outside.commit.as_ref().map(|commit| &commit.sha),
                }),
            );
        }
        Ok(settled)
    }

    /// Judges the commit and makes its verdict, handoffs and tags agree, until a look finds nothing changed.
    async fn converge(&self, commit: &Commit, hint: &Hint) -> Result<Settled, GateError> {
        let mut tag_writes = 0;
        for _ in 0..MAX_ROUNDS {
            let view = self.look(commit, Believing::Signed).await?;
            let Some(mut gathered) = self.gather(&view).await? else { continue };

            if self.pull_brake(&view, &gathered, hint).await? {
                continue;
            }
            if let Err(invalid) = &view.rules {
                return Err(self.hold(&view, &gathered, invalid, hint).await?);
            }
            if let (Some(pinned), StoredManifest::Read { manifest, .. }) =
                (&gathered.pinned, &gathered.evidence.manifest)
                && !pinned.is_stored
                && !self.pin(manifest, &pinned.predecessor).await?
            {
                continue;
            }
            let judgement = judgement::judge(&gathered.evidence);
            let outcome = judgement.outcome;
            if outcome == Outcome::Built {
                tag_writes += self.claim_manifest(commit, &mut gathered).await?;
            }

            let verdict = verdict_of(&gathered.evidence, judgement, (self.clock)());
            let (verdict, etag, sha256) = match &view.verdict {
                Some(standing) if standing.record.says_the_same_as(&verdict) => {
                    (standing.record.clone(), standing.etag.clone(), standing.sha256)
                }
                standing => match self.write_verdict(&verdict, &Stored::precondition(standing.as_ref())).await? {
                    Some((etag, sha256)) => (verdict, etag, sha256),
                    None => continue,
                },
            };
            match outcome {
                // No tag says `true` before the attestation stands: that is what promotion believes.
                Outcome::Built if !self.attest(&view, &gathered.evidence, &verdict, sha256).await? => continue,
                Outcome::Revoked => self.enter_revocation(&view, &verdict).await?,
                _ => {}
            }
            if outcome == Outcome::Built {
                self.write_handoffs(&verdict, &gathered.evidence).await?;
                if let Some(pinned) = &gathered.pinned {
                    self.remember_built(&gathered.evidence, &pinned.predecessor).await?;
                }
            }
            tag_writes += self.write_tags(commit, &gathered, outcome, hint).await?;

            if self.look(commit, Believing::Signed).await?.is_unchanged_since(&view, &etag) {
                return Ok(Settled { outcome: Some(outcome), tag_writes });
            }
        }
        Err(GateError::Unsettled { commit: commit.clone() })
    }

    /// Without a policy nothing is judged, and nothing is passed either: tags that say so are set back as far as the standing
    /// verdict goes. Gives the error that makes the event come again.
    async fn hold(
        &self,
        view: &look::View,
        gathered: &look::Gathered,
        invalid: &InvalidPolicy,
        hint: &Hint,
    ) -> Result<GateError, GateError> {
        let manifest = gathered.evidence.manifest.version_id();
        let standing = view.verdict.as_ref().map(|stored| &stored.record);
        let standing = standing.filter(|it| it.manifest_version_id.as_ref() == manifest).map(|it| it.outcome);
        let outcome = standing.filter(|outcome| !outcome.integration_passed()).unwrap_or(Outcome::Incomplete);
        self.write_tags(&view.commit, gathered, outcome, hint).await?;
        Ok(not_a_policy(invalid))
    }

    /// Records a stranger's hand on the brake; `true` where there was one.
    async fn pull_brake(&self, view: &look::View, gathered: &look::Gathered, hint: &Hint) -> Result<bool, GateError> {
        let (Some(Stored { record: standing, .. }), Some(manifest)) = (&view.verdict, &gathered.manifest) else {
            return Ok(false);
        };
        let commit = &gathered.evidence.commit;
        let judged_this = standing.manifest_version_id.as_ref() == Some(&manifest.version_id);
        if !judged_this || gathered.evidence.is_revoked() || !judgement::brake_pulled(&manifest.tags, standing.outcome)
        {
            return Ok(false);
        }
        let who = hint.tagged_by.clone().filter(|_| hint.path == ArtefactPath::Manifest);
        let revocation = Revocation {
            schema_version: verdict::SCHEMA_VERSION,
            repo: commit.repo.clone(),
            commit_sha: commit.sha.clone(),
            manifest_version_id: manifest.version_id.clone(),
            revoked_by: who.unwrap_or_else(|| "unknown: found without its event".to_owned()),
            revoked_at: (self.clock)(),
            reason: "the manifest's tag `integration-passed` was set to `false` by hand".to_owned(),
        };
        let precondition = StoredRevocation::precondition(view.revocation.as_ref());
        let key = RecordKey::Revocation(commit.clone());
        record::write(self.records, &key, &revocation, &precondition).await?;
        self.log.warn(
            "commit revoked: its manifest's tag was set to `false` after it was Built",
            json!({
                "key": ArtefactPath::Manifest.of(commit), "version_id": manifest.version_id,
                "principal": revocation.revoked_by,
            }),
        );
        // Whether this record or another's stands now: look again.
        Ok(true)
    }

    /// Makes the manifest the gate's own before the first verdict `built` on it.
    async fn claim_manifest(&self, commit: &Commit, gathered: &mut look::Gathered) -> Result<u64, GateError> {
        match &mut gathered.manifest {
            Some(manifest) if !judgement::is_claimed(&manifest.tags) => {
                let tags = judgement::claim(&manifest.tags);
                let key = ArtefactPath::Manifest.of(commit);
                self.artefacts.put_tags(&key, &manifest.version_id, &tags).await?;
                manifest.tags = tags;
                Ok(1)
            }
            _ => Ok(0),
        }
    }

    /// Writes every tag set that doesn't agree: a `true` reaches the manifest last, a `false` first, so that the
    /// manifest's tag never promises what another object's doesn't keep. Until all are written the manifest doesn't say the
    /// outcome, so that whoever comes after one who was killed in between sees that.
    async fn write_tags(
        &self,
        commit: &Commit,
        gathered: &look::Gathered,
        outcome: Outcome,
        hint: &Hint,
    ) -> Result<u64, GateError> {
        let write = |path: &ArtefactPath, version_id: &VersionId, tags: &Tags| {
            judgement::tag_write(path, version_id, tags, outcome)
        };
        let manifest = gathered.manifest.iter();
        let mut manifest: Vec<_> =
            manifest.filter_map(|it| write(&ArtefactPath::Manifest, &it.version_id, &it.tags)).collect();
        let others = gathered.evidence.objects.iter();
        let others: Vec<_> = others.filter_map(|(path, it)| write(path, &it.version_id, &it.tags)).collect();
        let mut withdrawn = Vec::new();
        if !outcome.integration_passed() && !others.is_empty() {
            // Without room for the gate's second tag the manifest can't say that it is not finished, so it waits.
            for last in manifest.iter_mut().filter(|last| judgement::is_claimed(&last.tags)) {
                withdrawn.push(TagWrite { tags: judgement::claim(&last.tags), ..last.clone() });
                last.before = last.tags.get(judgement::INTEGRATION_PASSED).cloned();
            }
        }
        let count = withdrawn.len() + manifest.len() + others.len();
        for phase in [withdrawn, others, manifest] {
            stream::iter(phase)
                .map(|write| async move { self.write_tag(commit, &write, hint).await })
                .buffer_unordered(CALLS_IN_FLIGHT)
                .try_collect::<()>()
                .await?;
        }
        if count > 0 {
            self.log.count("TagWrites", None, count as u64);
        }
        Ok(count as u64)
    }

    async fn write_tag(&self, commit: &Commit, write: &TagWrite, hint: &Hint) -> Result<(), GateError> {
        let key = write.path.of(commit);
        self.artefacts.put_tags(&key, &write.version_id, &write.tags).await?;
        let after = write.tags.get(judgement::INTEGRATION_PASSED);
        // Only an event about a stranger's hand on this very object's tags is worth a warning: the gate takes back its
        // own `true` whenever a commit changes.
        if let Hint { path, tagged_by: Some(stranger) } = hint
            && *path == write.path
            && write.before.as_ref() != after
        {
            self.log.warn(
                "tag set back: the gate does not agree with it",
                json!({
                    "key": key, "version_id": write.version_id, "principal": stranger,
                    "integration_passed_before": write.before, "integration_passed": after,
                }),
            );
            self.log.count("TagsReverted", None, 1);
        }
        Ok(())
    }

    /// Writes a verdict where the precondition holds, and tells of it; gives its etag and the SHA-256 of its bytes.
    async fn write_verdict(
        &self,
        verdict: &Verdict,
        precondition: &Precondition,
    ) -> Result<Option<(ETag, Sha256)>, GateError> {
        let commit = verdict.commit();
        let sha256 = record::digest(verdict)
            .map_err(|source| RecordError::Invalid { key: RecordKey::Verdict(commit.clone()).to_string(), source })?;
        let written = record::write(self.records, &RecordKey::Verdict(commit.clone()), verdict, precondition).await?;
        let Written::Done { etag, version_id } = written else { return Ok(None) };
        let message = format!("commit is {}", verdict.outcome);
        let fields = json!({
            "outcome": verdict.outcome, "reasons": verdict.reasons,
            "manifest_version_id": verdict.manifest_version_id,
            "verdict_version_id": version_id, "artefacts": verdict.artefacts.len(),
        });
        match verdict.outcome {
            Outcome::Rejected | Outcome::Revoked => self.log.warn(&message, fields),
            _ => self.log.info(&message, fields),
        }
        self.log.count("Verdicts", Some(("Outcome", verdict.outcome.as_str())), 1);
        Ok(Some((etag, sha256)))
    }

    /// Writes the Built handoff of every module, once (CONTRACT §7), and the Deployed one of the stage that the tests ran
    /// against once its smoke test passed (ADR-053 CI step 14).
    async fn write_handoffs(&self, verdict: &Verdict, evidence: &Evidence) -> Result<(), GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(()) };
        let commit = &evidence.commit;
        let built = manifest.modules.iter().map(|module| {
            (RecordKey::BuiltHandoff(commit.clone(), module.id.clone()), handoff::built(verdict, manifest, module))
        });
        let deployed = manifest.modules.iter().filter_map(|module| {
            let document = handoff::deployed_by_ci(verdict, manifest, module)?;
            Some((RecordKey::DeployedHandoff(commit.clone(), module.id.clone()), document))
        });
        stream::iter(built.chain(deployed))
            .map(|(key, document)| async move {
                let key = key.to_string();
                self.records.put(&key, document.as_bytes(), "text/markdown", &Precondition::Absent).await
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }
}

fn not_a_policy(invalid: &InvalidPolicy) -> GateError {
    GateError::Policy { key: RecordKey::PolicyConfig.to_string(), source: invalid.clone() }
}

fn verdict_of(evidence: &Evidence, judgement: Judgement, now: Timestamp) -> Verdict {
    let artefacts = evidence.objects.iter().map(|(path, object)| JudgedArtefact {
        key: path.of(&evidence.commit),
        version_id: object.version_id.clone(),
        sha256: object.sha256,
        size: object.size,
    });
    Verdict {
        schema_version: verdict::SCHEMA_VERSION,
        repo: evidence.commit.repo.clone(),
        commit_sha: evidence.commit.sha.clone(),
        manifest_version_id: evidence.manifest.version_id().cloned(),
        outcome: judgement.outcome,
        reasons: judgement.reasons,
        warnings: judgement.warnings,
        artefacts: artefacts.collect(),
        policy_version_id: evidence.policy_version_id.clone(),
        policy_sha256: evidence.policy_sha256,
        policy_tests: evidence.policy_tests.clone(),
        compared_with: evidence.earlier.as_ref().map(|earlier| earlier.baseline.clone()),
        recounted: judgement::recounted(evidence),
        forms: evidence.forms.clone(),
        evaluated_at: now,
    }
}
