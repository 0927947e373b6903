//! Writing what was judged: the verdict, the tags, the handoffs.

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_model::{
    ids::{Commit, ETag, Sha256, VersionId},
    store_key::{ArtefactPath, RecordKey},
    telemetry::{Clock, Logger},
    verdict,
    verdict::{Outcome, Revocation, Verdict},
};
use gatekeeper_proof::Signer;
use gatekeeper_store::{
    CALLS_IN_FLIGHT, Precondition, TagStore, Tags, WriteStore, Written, record,
    record::{RecordError, Stored},
    revocation::StoredRevocation,
};
use serde_json::json;

use super::{
    GateError,
    hints::Hints,
    look::{Gathered, View},
};
use crate::{judgement, judgement::TagWrite};

/// Writes what the gate concluded: of the artefacts their tags only, of the records all. What it writes it was told; it
/// reads no evidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a, S, R> {
    pub(super) artefacts: &'a S,
    pub(super) records: &'a R,
    pub(super) log: &'a Logger,
    pub(super) clock: Clock,
    pub(super) signer: &'a dyn Signer,
}

impl<S: TagStore, R: WriteStore> Writer<'_, S, R> {
    /// Makes the manifest the gate's own before the first verdict `built` on it.
    pub(super) async fn claim_manifest(&self, commit: &Commit, gathered: &mut Gathered) -> Result<u64, GateError> {
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
    pub(super) async fn write_tags(
        &self,
        commit: &Commit,
        gathered: &Gathered,
        outcome: Outcome,
        hints: &Hints,
    ) -> Result<u64, GateError> {
        let write = |path: &ArtefactPath, version_id: &VersionId, tags: &Tags| {
            judgement::tag_write(path, version_id, tags, outcome)
        };
        let manifest = gathered.manifest.iter();
        let mut manifest: Vec<_> =
            manifest.filter_map(|it| write(&ArtefactPath::Manifest, &it.version_id, &it.tags)).collect();
        let others = gathered.evidence.objects.iter();
        let mut others = others.filter_map(|(path, it)| write(path, &it.version_id, it.tags.as_ref()?)).peekable();
        let mut withdrawn = Vec::new();
        if !outcome.integration_passed() && others.peek().is_some() {
            // Without room for the gate's second tag the manifest can't say that it is not finished, so it waits.
            for last in manifest.iter_mut().filter(|last| judgement::is_claimed(&last.tags)) {
                withdrawn.push(TagWrite { tags: judgement::claim(&last.tags), ..last.clone() });
                last.before = last.tags.get(judgement::INTEGRATION_PASSED).cloned();
            }
        }
        let mut count = self.write_each(commit, withdrawn, hints).await?;
        count += self.write_each(commit, others, hints).await?;
        count += self.write_each(commit, manifest, hints).await?;
        if count > 0 {
            self.log.count("TagWrites", None, count);
        }
        Ok(count)
    }

    /// Writes tag sets, as many at once as there may be calls; gives how many they were.
    pub(super) async fn write_each(
        &self,
        commit: &Commit,
        writes: impl IntoIterator<Item = TagWrite>,
        hints: &Hints,
    ) -> Result<u64, GateError> {
        stream::iter(writes)
            .map(|write| async move { self.write_tag(commit, &write, hints).await })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_fold(0, |count, ()| future::ready(Ok(count + 1)))
            .await
    }

    async fn write_tag(&self, commit: &Commit, write: &TagWrite, hints: &Hints) -> Result<(), GateError> {
        let key = write.path.of(commit);
        self.artefacts.put_tags(&key, &write.version_id, &write.tags).await?;
        let after = write.tags.get(judgement::INTEGRATION_PASSED);
        // Only an event about a stranger's hand on this very object's tags is worth a warning: the gate takes back its
        // own `true` whenever a commit changes.
        if let Some(stranger) = hints.tagged_by(&write.path)
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
    pub(super) async fn write_verdict(
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

    /// Records a stranger's hand on the brake; `true` where there was one.
    pub(super) async fn pull_brake(&self, view: &View, gathered: &Gathered, hints: &Hints) -> Result<bool, GateError> {
        let (Some(Stored { record: standing, .. }), Some(manifest)) = (&view.verdict, &gathered.manifest) else {
            return Ok(false);
        };
        let commit = &gathered.evidence.commit;
        let judged_this = standing.manifest_version_id.as_ref() == Some(&manifest.version_id);
        if !judged_this || gathered.evidence.is_revoked() || !judgement::brake_pulled(&manifest.tags, standing.outcome)
        {
            return Ok(false);
        }
        let who = hints.tagged_by(&ArtefactPath::Manifest);
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
}
