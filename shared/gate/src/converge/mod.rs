//! Makes what the gate says and what the store shows agree: read the present state, judge, write, look again.
//!
//! An event is only a hint to look. Everything here can be done twice, late, in any order and by two functions at
//! once, and ends in the same state (CONTRACT §4):
//!
//! * verdicts are written under a condition, so that of two judges one looks again;
//! * tags can't be written under a condition, so whoever has written one looks again whether the verdict by which he wrote it
//!   still stands, and where it doesn't he reads all of the commit's tags and mends them by the one that does. Who is killed
//!   before that has not answered for his events: they come again, and then all tags are read as well;
//! * so the events of the gate's own tag writes tell it nothing that it has to do.

mod attest;
mod baseline;
pub mod batch;
mod handoffs;
mod hints;
mod inspect;
mod inspections;
mod look;
mod parameters;
mod provenance;
#[cfg(test)]
mod reports_tests;
mod sweep;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use gatekeeper_model::{
    event::{Change, Event},
    finding::{Code, Finding},
    ids::Commit,
    policy::InvalidPolicy,
    provenance::{Build, Told},
    store_key::{ArtefactKey, ArtefactPath, OutsideLayout, RecordKey},
    telemetry::{Clock, Logger},
    verdict,
    verdict::{JudgedArtefact, Outcome, Verdict},
};
use gatekeeper_proof::{Signer, SigningError, ledger::LedgerError};
use gatekeeper_store::{
    MAX_TAGS, Precondition, ReadStore, StoreError, TagStore, WriteStore,
    record::{RecordError, Stored},
};
pub use inspect::inspected_templates;
use jiff::Timestamp;
pub use provenance::{NoVerifier, ProvenanceVerifier, Verifying};
use serde::Serialize;
use serde_json::json;
pub use sweep::{Sweep, SweepEvent, Swept};

use self::{
    hints::Hints,
    inspect::Inspector,
    inspections::Keeping,
    look::{Believing, Looker},
    write::Writer,
};
use crate::{
    judgement,
    judgement::{Evidence, Judgement, StoredManifest},
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
    /// A revocation could not be entered into the ledger, or read from it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nobody could tell what the commit's provenance proves.
    #[error("the commit's provenance could not be verified")]
    Provenance(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What an event came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The verdict that stands; none where the object belongs to no commit.
    pub outcome: Option<Outcome>,
    /// Tag sets that were written.
    pub tag_writes: u64,
    /// Why the verdict is as it is, where another one was written than the one that stood.
    #[serde(skip)]
    pub judged_anew: Option<Vec<Code>>,
}

/// The gate over its two buckets. Each part of its work gets no more of them than it needs: a [`Looker`] can't write, an
/// [`Inspector`] keeps what it found in the records, a [`Writer`] writes records and of the artefacts the tags.
#[derive(Debug, Clone)]
pub struct Gate<'a, S, R = S> {
    /// What CI writes.
    pub artefacts: &'a S,
    /// The records, the policy among them.
    pub records: &'a R,
    /// Where it tells of its work.
    pub log: Logger,
    /// The present.
    pub clock: Clock,
    /// Where bundles are spooled while they are inspected.
    pub scratch: PathBuf,
    /// What it signs with that a commit is Built.
    pub signer: &'a dyn Signer,
    /// Who verifies the bundles that tell who built a commit.
    pub verifier: &'a dyn ProvenanceVerifier,
}

impl<S: TagStore, R: WriteStore> Gate<'_, S, R> {
    /// Looks where the event points and makes verdict and tags agree with what is stored.
    ///
    /// # Errors
    /// [`GateError`] where it could not look or write; the event must come again then.
    pub async fn settle(&self, event: &Event) -> Result<Settled, GateError> {
        match ArtefactKey::parse(&event.key) {
            Ok(key) => {
                let mut hints = Hints::default();
                hints.add(key.path, event);
                self.settle_commit(&key.commit, &hints).await
            }
            Err(outside) => self.settle_stray(&outside, event.change).await,
        }
    }

    /// Looks at a commit, and mostly that is enough: an object's version is in the standing verdict and its tag agrees, or only
    /// its tag must be written, or it is an artefact of a commit without a manifest. Everything else is judged.
    async fn settle_commit(&self, commit: &Commit, hints: &Hints) -> Result<Settled, GateError> {
        let gate = Gate { log: self.log.for_commit(commit), scratch: self.scratch.clone(), ..*self };
        if hints.come_again {
            return gate.converge(commit, hints, Care::Full).await;
        }
        let (looker, writer) = (gate.looker(), gate.writer());
        let mut tag_writes = 0;
        let mut care = Care::AsNeeded;
        for _ in 0..MAX_ROUNDS {
            let sketch = looker.sketch(commit).await?;
            match looker.glance(commit, &sketch, hints).await? {
                look::Glance::Settled(outcome) => return Ok(Settled { outcome, tag_writes, judged_anew: None }),
                look::Glance::First => {
                    // Written once, by the first artefact: what else is there matters only with a manifest.
                    let evidence = Evidence::of(commit.clone());
                    let verdict = verdict_of(&evidence, judgement::judge(&evidence), (self.clock)());
                    writer.write_verdict(&verdict, &Precondition::Absent).await?;
                }
                look::Glance::Retag(writes) => {
                    tag_writes += writer.write_each(commit, writes, hints).await?;
                    if looker.still_stands(commit, &sketch).await? {
                        let outcome = sketch.verdict.map(|stored| stored.record.outcome);
                        return Ok(Settled { outcome, tag_writes, judged_anew: None });
                    }
                    care = Care::Full;
                    break;
                }
                look::Glance::Judge => break,
            }
        }
        let judged = gate.converge(commit, hints, care).await?;
        Ok(Settled { tag_writes: tag_writes + judged.tag_writes, ..judged })
    }

    fn looker(&self) -> Looker<'_, S, R> {
        let Self { artefacts, records, signer, .. } = self;
        Looker { artefacts, records, believing: Believing::SignedBy(*signer) }
    }

    fn inspector(&self) -> Inspector<'_, S, R> {
        let Self { artefacts, records, log, scratch, signer, verifier, .. } = self;
        Inspector { artefacts, records, log, scratch, keeping: Keeping::SignedBy(*signer), verifier: *verifier }
    }

    fn writer(&self) -> Writer<'_, S, R> {
        let Self { artefacts, records, log, clock, signer, .. } = self;
        Writer { artefacts, records, log, clock: *clock, signer: *signer }
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
    async fn converge(&self, commit: &Commit, hints: &Hints, care: Care) -> Result<Settled, GateError> {
        let (mut tag_writes, mut judged_anew) = (0, None);
        for round in 0..MAX_ROUNDS {
            // After the first round there may be late tags of its own.
            let care = if round == 0 { care } else { Care::Full };
            let (looker, inspector, writer) = (self.looker(), self.inspector(), self.writer());
            let view = looker.look(commit).await?;
            let gathered = gather(&looker, &inspector, &view, Asked { hints, care }, (self.clock)()).await?;
            let Some(mut gathered) = gathered else { continue };

            if writer.pull_brake(&view, &gathered, hints).await? {
                continue;
            }
            if let Err(invalid) = &view.rules {
                return Err(self.hold(&view, gathered, invalid, hints).await?);
            }
            if let (Some(pinned), StoredManifest::Read { manifest, .. }) =
                (&gathered.pinned, &gathered.evidence.manifest)
                && !pinned.is_stored
                && !writer.pin(manifest, &pinned.predecessor).await?
            {
                continue;
            }
            let judgement = judgement::judge(&gathered.evidence);
            let outcome = judgement.outcome;
            if outcome == Outcome::Built {
                // Whether it was taken back can't be told then, which is not that it wasn't.
                if let Err(error) = view.ledger {
                    return Err(LedgerError::from(error).into());
                }
                tag_writes += writer.claim_manifest(commit, &mut gathered).await?;
            }

            let verdict = verdict_of(&gathered.evidence, judgement, (self.clock)());
            let (verdict, etag, sha256) = match &view.verdict {
                Some(standing) if standing.record.says_the_same_as(&verdict) => {
                    (standing.record.clone(), standing.etag.clone(), standing.sha256)
                }
                standing => match writer.write_verdict(&verdict, &Stored::precondition(standing.as_ref())).await? {
                    Some((etag, sha256)) => {
                        judged_anew = Some(verdict.reasons.iter().map(|it| it.code).collect());
                        (verdict, etag, sha256)
                    }
                    None => continue,
                },
            };
            match outcome {
                // No tag says `true` before the attestation stands: that is what promotion believes.
                Outcome::Built if !writer.attest(&view, &gathered.evidence, &verdict, sha256).await? => continue,
                Outcome::Revoked => {
                    writer.enter_revocation(&view, &verdict).await?;
                    writer.write_revoked_handoffs(&view, &verdict, &gathered.evidence).await?;
                }
                _ => {}
            }
            if outcome == Outcome::Built {
                writer.write_handoffs(&view, &verdict, &gathered.evidence).await?;
                if let Some(pinned) = &gathered.pinned {
                    writer.remember_built(&gathered.evidence, &pinned.predecessor).await?;
                }
            }
            // All of them: by this outcome none of them may stay as it is.
            if outcome.integration_passed() && !looker.read_tags(&view, &mut gathered.evidence).await? {
                continue;
            }
            tag_writes += writer.write_tags(commit, &gathered, outcome, hints).await?;

            if looker.is_unchanged_since(&view, &etag).await? {
                return Ok(Settled { outcome: Some(outcome), tag_writes, judged_anew });
            }
        }
        Err(GateError::Unsettled { commit: commit.clone() })
    }

    /// Without a policy nothing is judged, and nothing is passed either: tags that say so are set back as far as the standing
    /// verdict goes. Gives the error that makes the event come again.
    async fn hold(
        &self,
        view: &look::View,
        mut gathered: look::Gathered,
        invalid: &InvalidPolicy,
        hints: &Hints,
    ) -> Result<GateError, GateError> {
        let manifest = gathered.evidence.manifest.version_id();
        let standing = view.verdict.as_ref().map(|stored| &stored.record);
        let standing = standing.filter(|it| it.manifest_version_id.as_ref() == manifest).map(|it| it.outcome);
        let outcome = standing.filter(|outcome| !outcome.integration_passed()).unwrap_or(Outcome::Incomplete);
        if self.looker().read_tags(view, &mut gathered.evidence).await? {
            self.writer().write_tags(&view.commit, &gathered, outcome, hints).await?;
        }
        Ok(not_a_policy(invalid))
    }
}

/// The verdict on what is stored now, without writing a verdict, a tag or a handoff. What was inspected is kept in `records`,
/// which may be memory. A standing verdict is taken at its word.
///
/// # Errors
/// [`GateError`] where it could not look, or an object vanished at every look.
pub async fn check(
    artefacts: &impl ReadStore,
    records: &impl WriteStore,
    commit: &Commit,
    verifier: &dyn ProvenanceVerifier,
    scratch: &Path,
    now: Timestamp,
) -> Result<Verdict, GateError> {
    let looker = Looker { artefacts, records, believing: Believing::Stored };
    let keeping = Keeping::Stored;
    let inspector = Inspector { artefacts, records, log: &Logger::silent(), scratch, keeping, verifier };
    for _ in 0..MAX_ROUNDS {
        let view = looker.look(commit).await?;
        if let Err(invalid) = &view.rules {
            return Err(not_a_policy(invalid));
        }
        let asked = Asked { hints: &Hints::default(), care: Care::Full };
        if let Some(gathered) = gather(&looker, &inspector, &view, asked, now).await? {
            let judgement = judgement::judge(&gathered.evidence);
            return Ok(verdict_of(&gathered.evidence, judgement, now));
        }
    }
    Err(GateError::Unsettled { commit: commit.clone() })
}

/// How much of a commit is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// All tags.
    Full,
    /// The tags of the objects that the events name, and of all where the outcome or the standing verdict asks for it. The others
    /// say `false` as the standing verdict does, or an event is on its way that names them.
    AsNeeded,
}

/// What a look at a commit is asked for.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    hints: &'a Hints,
    care: Care,
}

/// Reads what the verdict on a view rests on; none where an object vanished meanwhile, or another judge is at work.
async fn gather<S: ReadStore, R: WriteStore>(
    looker: &Looker<'_, S, R>,
    inspector: &Inspector<'_, S, R>,
    view: &look::View,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Option<look::Gathered>, GateError> {
    let Some(look::FoundManifest { manifest, tagged }) = looker.find_manifest(view).await? else { return Ok(None) };
    let pinned = looker.predecessor(view, &manifest, now).await?;
    let baseline = pinned.as_ref().and_then(|it| it.predecessor.baseline.as_ref());
    let mut known = match &manifest {
        StoredManifest::Read { .. } => inspector.known(&view.commit, baseline).await?,
        _ => inspect::Known::default(),
    };
    let found = looker.find(view, manifest, tagged.as_ref(), &known, asked).await?;
    let Some(look::Found { mut evidence, unread }) = found else { return Ok(None) };
    let Some(inspected) = inspector.inspect(&mut evidence, unread, &mut known).await? else { return Ok(None) };
    (evidence.inspections, evidence.reports) = (inspected.findings, inspected.reports);
    (evidence.forms, evidence.policy_tests) = (inspected.forms, inspected.policy_tests);
    evidence.provenance = inspector.provenance(&evidence, &mut known).await?;
    // Of what was read the store only told how many tags there are.
    if inspected.tags_asked_for && !looker.read_tags(view, &mut evidence).await? {
        return Ok(None);
    }
    if let Some(pinned) = &pinned {
        evidence.earlier = inspector.earlier(&pinned.predecessor, &evidence, &mut known).await?;
    }
    if !inspector.remember(&mut known).await? {
        return Ok(None);
    }
    Ok(Some(look::Gathered { evidence, manifest: tagged, pinned }))
}

fn not_a_policy(invalid: &InvalidPolicy) -> GateError {
    GateError::Policy { key: RecordKey::PolicyConfig.to_string(), source: invalid.clone() }
}

/// Who built it by one of its bundles, by the bundle's key.
fn built_by(evidence: &Evidence, path: &ArtefactPath, told: &Told) -> Option<(String, Build)> {
    match told {
        Told::Proven(proven) => Some((path.of(&evidence.commit), proven.build.clone())),
        Told::Refused(_) => None,
    }
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
        provenance: evidence.provenance.iter().filter_map(|(path, told)| built_by(evidence, path, told)).collect(),
        evaluated_at: now,
    }
}
