//! Withdrawing an approval: its later version says so, signed, and counts for nothing from then on.

use futures_util::future;
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::IdentityProof,
    telemetry::Logger,
};
use gatekeeper_promotion::approval::{Approval, GivenApproval, SignedApproval, WithdrawRequest, Withdrawal};
use gatekeeper_store::{Precondition, WriteStore, Written, record};
use jiff::Timestamp;
use serde_json::json;

use crate::{Answer, Approver, approver};

impl<S: WriteStore> Approver<S> {
    /// Writes down that a person withdraws their own approval. A promotion that has started by then is not touched.
    pub(crate) async fn withdraw(
        &self,
        request: &WithdrawRequest,
        proof: &IdentityProof,
        log: &Logger,
        now: Timestamp,
    ) -> anyhow::Result<Answer> {
        let bound = request.bound();
        let (caller, keys) =
            future::try_join(async { anyhow::Ok(self.callers.identify(proof, &bound, now).await?) }, async {
                Ok(self.signer.trusted().await?)
            })
            .await?;
        let refused = |code: Code, why: String| {
            let reasons = vec![Finding::new(code, request.stage.as_str(), why)];
            log.warn("withdrawal refused", json!({"reasons": reasons}));
            Ok(Answer::Refused { reasons })
        };
        let identity = match approver(caller) {
            Ok(identity) => identity,
            Err(why) => return refused(Code::RequesterUnproven, why),
        };
        let (commit, stage) = (request.commit(), &request.stage);
        let place = Approval::key(stage, &commit, &identity.person);
        let Some(given) = GivenApproval::read(&self.records, &place, Some(&keys)).await? else {
            let why = format!("`{}` has not approved `{commit}` for `{stage}`", identity.person);
            return refused(Code::ApprovalNotGiven, why);
        };
        let approved_by = identity.person.clone();
        if given.proof.is_ok() && given.stored.record.withdrawn.is_some() {
            return Ok(Answer::Withdrawn { approved_by, already: true });
        }
        // What nobody signed is withdrawn all the same: it says by whom, and nothing of it counts.
        let withdrawn = Some(Withdrawal { at: now, reason: request.reason.clone() });
        let approval = Approval {
            repo: commit.repo,
            commit_sha: commit.sha,
            stage: stage.clone(),
            approved_by: identity.clone(),
            withdrawn,
            ..given.stored.record
        };
        let signed = SignedApproval::sign(approval, &*self.signer).await?;
        let written =
            record::write(&self.records, &place, &signed, &Precondition::Unchanged(given.stored.etag)).await?;
        anyhow::ensure!(matches!(written, Written::Done { .. }), "`{place}` was written at the same time; look again");
        log.warn("approval withdrawn", json!({"by": identity.arn, "reason": request.reason}));
        log.count("Withdrawals", None, 1);
        Ok(Answer::Withdrawn { approved_by, already: false })
    }
}
