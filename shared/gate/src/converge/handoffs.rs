//! Writing the handoffs: what a commit became, and that it was taken back. Each is written once; the one that takes another back
//! and the one that follows it are told apart by their times.

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use gatekeeper_model::{
    front_matter, front_matter::FrontMatter, ids::ETag, manifest::Module, store_key::RecordKey, verdict::Verdict,
};
use gatekeeper_store::{CALLS_IN_FLIGHT, Precondition, TagStore, WriteStore};
use jiff::Timestamp;

use super::{GateError, look::View, write::Writer};
use crate::{
    handoff,
    judgement::{Evidence, StoredManifest},
};

/// A handoff that stands.
struct Standing {
    etag: ETag,
    /// When it was found out; none where the document can't be read.
    at: Option<Timestamp>,
}

impl<S: TagStore, R: WriteStore> Writer<'_, S, R> {
    /// Writes the Built handoff of every module, once (CONTRACT §7), and the Deployed one of the stage that the tests ran
    /// against once its smoke test passed (ADR-053 CI step 14). Of a commit that was taken back and is Built again by another
    /// manifest, the Built handoff is followed by a new version.
    pub(super) async fn write_handoffs(
        &self,
        view: &View,
        verdict: &Verdict,
        evidence: &Evidence,
    ) -> Result<(), GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(()) };
        let commit = &evidence.commit;
        let built = async |module: &Module| {
            let key = RecordKey::BuiltHandoff(commit.clone(), module.id.clone());
            let mut how = Some((Precondition::Absent, false));
            if view.revocation.is_some() {
                let revoked = RecordKey::RevokedHandoff(commit.clone(), module.id.clone());
                let (there, revoked) = try_join(self.standing(&key), self.standing(&revoked)).await?;
                how = follows(there, revoked.as_ref());
            }
            let Some((before, again)) = how else { return Ok(()) };
            self.put_handoff(&key, &handoff::built(verdict, manifest, module, again), &before).await
        };
        let deployed = async |module: &Module| {
            let Some(document) = handoff::deployed_by_ci(verdict, manifest, module) else { return Ok(()) };
            let key = RecordKey::DeployedHandoff(commit.clone(), module.id.clone());
            self.put_handoff(&key, &document, &Precondition::Absent).await
        };
        stream::iter(&manifest.modules)
            .map(|module| try_join(built(module), deployed(module)))
            .buffer_unordered(CALLS_IN_FLIGHT / 2)
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    /// Writes, beside each Built handoff, that it was taken back.
    pub(super) async fn write_revoked_handoffs(
        &self,
        view: &View,
        verdict: &Verdict,
        evidence: &Evidence,
    ) -> Result<(), GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(()) };
        let commit = &evidence.commit;
        // The record may be gone: the ledger tells of it all the same, and so does the verdict.
        let proof = match view.revocation {
            Some(_) => RecordKey::Revocation(commit.clone()),
            None => RecordKey::Verdict(commit.clone()),
        };
        let proof = &proof;
        stream::iter(&manifest.modules)
            .map(|module| async move {
                let key = RecordKey::RevokedHandoff(commit.clone(), module.id.clone());
                let built = RecordKey::BuiltHandoff(commit.clone(), module.id.clone());
                let (there, built) = try_join(self.standing(&key), self.standing(&built)).await?;
                // What was never handed off as Built is not taken back.
                let Some(built) = built else { return Ok(()) };
                if let Some((precondition, _)) = follows(there, Some(&built)) {
                    self.put_handoff(&key, &handoff::revoked(verdict, manifest, module, proof), &precondition).await?;
                }
                Ok(())
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_for_each(|()| async { Ok(()) })
            .await
    }

    async fn standing(&self, key: &RecordKey) -> Result<Option<Standing>, GateError> {
        let body = self.records.get(&key.to_string(), None, front_matter::MAX_BYTES).await?;
        Ok(body.map(|body| {
            let at = FrontMatter::of(&String::from_utf8_lossy(&body.bytes)).ok().map(|it| it.timestamp);
            Standing { etag: body.etag, at }
        }))
    }

    /// A conflict is another judge's document of the same.
    async fn put_handoff(&self, key: &RecordKey, document: &str, before: &Precondition) -> Result<(), GateError> {
        self.records.put(&key.to_string(), document.as_bytes(), "text/markdown", before).await?;
        Ok(())
    }
}

/// How a document is written beside `there`, its version that stands, and `opposite`, which takes it back or which it takes
/// back: where there is none, or where that one is newer. Tells whether it follows one that stood.
fn follows(there: Option<Standing>, opposite: Option<&Standing>) -> Option<(Precondition, bool)> {
    match there {
        None => Some((Precondition::Absent, opposite.is_some())),
        Some(there) if opposite.is_some_and(|it| it.at > there.at) => Some((Precondition::Unchanged(there.etag), true)),
        Some(_) => None,
    }
}
