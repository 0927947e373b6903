//! Approvals: `approvals/{stage}/{repo}/{sha}/{SHA-256 of the person}.json`, one for each person, and what a promotion
//! keeps of those that it rests on.

use gatekeeper_model::{
    finding::Finding,
    identity::{BoundRequest, Identity, IdentityProof, Person},
    ids::{Commit, CommitSha, Repo, Sha256, StageName, VersionId},
    store_key::RecordKey,
};
use gatekeeper_proof::{Digest, Envelope, Named, Predicate, Signer, SigningError, Statement, Subject, TrustedKeys};
use gatekeeper_store::{
    ReadStore, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{brake, fields::Fields, record::PinnedRecord};

/// What an approver asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The stage.
    pub stage: StageName,
    /// The manifest that was looked at.
    pub manifest_version_id: VersionId,
    /// Why, in the words of the approver.
    pub reason: String,
    /// Agree that the stage's rules are waived.
    #[serde(default)]
    pub break_glass: bool,
    /// The plan that was looked at, by the digest that a dry run tells of it; any plan where it isn't told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<Sha256>,
    /// The proof of who asks; none only before it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

/// A malformed event: the function error `InvalidApprovalEvent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidApprovalEvent(pub Vec<String>);

impl InvalidApprovalEvent {
    /// The function error's `errorType`.
    pub const ERROR_TYPE: &str = "InvalidApprovalEvent";
}

impl ApprovalRequest {
    /// Reads the event, and the proof that it must hold.
    ///
    /// # Errors
    /// [`InvalidApprovalEvent`] that names every field that is wrong.
    pub fn parse(event: &Value) -> Result<(Self, IdentityProof), InvalidApprovalEvent> {
        Self::read(event).map_err(InvalidApprovalEvent)
    }

    fn read(event: &Value) -> Result<(Self, IdentityProof), Vec<String>> {
        const FIELDS: [&str; 8] = [
            "repo",
            "commit_sha",
            "stage",
            "manifest_version_id",
            "reason",
            "break_glass",
            "plan_sha256",
            "identity_proof",
        ];
        let mut fields = Fields::of(event, &FIELDS)?;
        let (repo, commit_sha, stage) = (fields.id("repo"), fields.id("commit_sha"), fields.id("stage"));
        let manifest_version_id = fields.text("manifest_version_id");
        let break_glass = fields.flag("break_glass");
        let reason = fields.reason(break_glass == Some(true));
        let plan_sha256 = if fields.is_absent("plan_sha256") { Some(None) } else { fields.id("plan_sha256").map(Some) };
        let proof = fields.proof("identity_proof");
        if proof == Some(None) {
            fields.add("`identity_proof`: missing");
        }
        let read = || {
            let identity_proof = proof?;
            let request = Self {
                repo: repo?,
                commit_sha: commit_sha?,
                stage: stage?,
                manifest_version_id: manifest_version_id?.into(),
                reason: reason?,
                break_glass: break_glass?,
                plan_sha256: plan_sha256?,
                identity_proof: identity_proof.clone(),
            };
            Some((request, identity_proof?))
        };
        fields.finish(read())
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    /// What a proof of who asks is bound to.
    #[must_use]
    pub fn bound(&self) -> BoundRequest<'_> {
        BoundRequest {
            action: "approve",
            repo: &self.repo,
            commit_sha: Some(&self.commit_sha),
            stage: &self.stage,
            manifest_version_id: Some(&self.manifest_version_id),
            reason: self.reason.trim(),
            switches: self.break_glass.then_some("break_glass").into_iter().collect(),
            accept_replacement: Vec::new(),
            plan_sha256: self.plan_sha256,
            id: None,
        }
    }
}

/// That a person approved a commit for a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// 1.
    pub schema_version: u32,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The stage that it is approved for.
    pub stage: StageName,
    /// The manifest that is approved; another version needs approving again.
    pub manifest_version_id: VersionId,
    /// Who approved, as STS said.
    pub approved_by: Identity,
    /// When the approval was given.
    pub approved_at: Timestamp,
    /// Why, in the words of the approver.
    pub reason: String,
    /// Whether the stage's rules may be waived for it.
    pub break_glass: bool,
    /// The plan that is approved, by its digest; whatever the plan is by then in approvals that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<Sha256>,
    /// That whoever gave it has withdrawn it since: from then on it counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
}

/// That an approval was withdrawn by who had given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// When.
    pub at: Timestamp,
    /// Why, in the words of the approver.
    pub reason: String,
}

/// What an approver asks for who withdraws an approval, by an event of `approve` with an `action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawRequest {
    /// `withdraw`.
    pub action: &'static str,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The stage.
    pub stage: StageName,
    /// Why, in the words of the approver.
    pub reason: String,
    /// The proof of who asks; none only before it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

impl WithdrawRequest {
    /// The word of [`WithdrawRequest::action`].
    pub const ACTION: &str = "withdraw";

    /// Reads the event, and the proof that it must hold.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub fn parse(event: &Value) -> Result<(Self, IdentityProof), Vec<String>> {
        let mut fields = Fields::of(event, &["action", "repo", "commit_sha", "stage", "reason", "identity_proof"])?;
        let (repo, commit_sha, stage) = (fields.id("repo"), fields.id("commit_sha"), fields.id("stage"));
        let (reason, proof) = (fields.text("reason"), brake::proof(&mut fields));
        let read = || {
            let (repo, commit_sha, stage, reason, proof) = (repo?, commit_sha?, stage?, reason?, proof?);
            let identity_proof = Some(proof.clone());
            Some((Self { action: Self::ACTION, repo, commit_sha, stage, reason, identity_proof }, proof))
        };
        fields.finish(read())
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    /// What a proof of who asks is bound to.
    #[must_use]
    pub fn bound(&self) -> BoundRequest<'_> {
        let asked = brake::bound(Self::ACTION, &self.repo, &self.stage, &self.reason, None);
        BoundRequest { commit_sha: Some(&self.commit_sha), ..asked }
    }
}

impl Approval {
    /// Where a person's approval of a commit for a stage lies.
    #[must_use]
    pub fn key(stage: &StageName, commit: &Commit, person: &Person) -> RecordKey {
        RecordKey::Approval(stage.clone(), commit.clone(), Sha256::of(person.as_str().as_bytes()))
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    fn subject(&self) -> Subject {
        Subject { name: self.repo.to_string(), digest: Digest::GitCommit(self.commit_sha.clone()) }
    }
}

/// What `approve` signs of an approval: all that it says. Its key signs nothing else, and no other key is asked for it, so
/// that neither can stand for the other.
impl Predicate for Approval {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/approval/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.withdrawn.as_ref().map_or(self.approved_at, |withdrawn| withdrawn.at))
    }
}

/// An approval as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedApproval {
    /// What it says.
    #[serde(flatten)]
    pub approval: Approval,
    /// The same, as `approve` has signed it; `None` in approvals of before they were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
}

/// Why an approval is nobody's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotProved(String);

impl NotProved {
    /// Why.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl SignedApproval {
    /// Signs an approval: one call of KMS.
    ///
    /// # Errors
    /// [`SigningError`] where the signer doesn't sign.
    pub async fn sign(approval: Approval, signer: &dyn Signer) -> Result<Self, SigningError> {
        let statement = Statement::new(vec![approval.subject()], approval);
        let envelope = Envelope::sign(&statement.to_bytes()?, signer).await?;
        Ok(Self { approval: statement.predicate, envelope: Some(envelope) })
    }

    /// Whether the approval that lies at `place` is the one that was signed: gives the fingerprint of the key.
    ///
    /// # Errors
    /// [`NotProved`] where it isn't signed by one of these keys, says something else, or is of another place.
    pub fn proof(&self, place: &str, keys: Option<&TrustedKeys>) -> Result<Sha256, NotProved> {
        self.proof_named(place, keys, None)
    }

    /// The same where the ledger may name it: then it counts though its key was revoked later.
    ///
    /// # Errors
    /// [`NotProved`] as [`SignedApproval::proof`].
    pub fn proof_named(
        &self,
        place: &str,
        keys: Option<&TrustedKeys>,
        named: Option<Named<'_>>,
    ) -> Result<Sha256, NotProved> {
        let Self { approval, envelope } = self;
        let Some(envelope) = envelope else { return Err(NotProved("it is not signed".to_owned())) };
        let Some(keys) = keys else { return Err(NotProved("there is no key to verify it by".to_owned())) };
        let opened = Statement::<Approval>::open_named(envelope, keys, named);
        let (statement, signer) = opened.map_err(|error| NotProved(error.to_string()))?;
        let Statement { subject, predicate: signed, .. } = statement;
        if signed != *approval || subject != [signed.subject()] {
            return Err(NotProved("it says something else than was signed".to_owned()));
        }
        let own = Approval::key(&signed.stage, &signed.commit(), &signed.approved_by.person).to_string();
        if own != place {
            return Err(NotProved(format!("it was signed for `{own}`, and was copied from there")));
        }
        Ok(signer.key.fingerprint())
    }
}

/// An approval as it was read, and whether it is proved.
#[derive(Debug, Clone)]
pub struct GivenApproval {
    /// What it says.
    pub stored: Stored<Approval>,
    /// The fingerprint of the key whose signature holds over it.
    pub proof: Result<Sha256, NotProved>,
}

impl GivenApproval {
    /// Reads the approval that lies at a place, and holds it against the keys; `None` where none lies there.
    ///
    /// # Errors
    /// [`RecordError`] where it can't be read.
    pub async fn read(
        records: &impl ReadStore,
        place: &RecordKey,
        keys: Option<&TrustedKeys>,
    ) -> Result<Option<Self>, RecordError> {
        let stored = record::read::<SignedApproval>(records, place).await?;
        Ok(stored.map(|Stored { record, etag, version_id, sha256 }| {
            let proof = record.proof(&place.to_string(), keys);
            Self { stored: Stored { record: record.approval, etag, version_id, sha256 }, proof }
        }))
    }

    /// Who approved, as it says.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.stored.record.approved_by.person
    }
}

/// An approval that a promotion rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedApproval {
    /// Who approved.
    pub person: Person,
    /// As which principal.
    pub arn: String,
    /// When the approval was given.
    pub approved_at: Timestamp,
    /// The fingerprint of the key whose signature held over it; none where it was counted before approvals were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<Sha256>,
    /// The approval itself.
    #[serde(flatten)]
    pub record: PinnedRecord,
}

impl GivenApproval {
    /// What a promotion keeps of it where it is proved; `None` where it isn't.
    #[must_use]
    pub fn counted(&self) -> Option<CountedApproval> {
        let Self { stored, proof } = self;
        let signed_by = match proof {
            Ok(key) => Some(*key),
            Err(_) => return None,
        };
        let Approval { stage, approved_by, approved_at, .. } = &stored.record;
        Some(CountedApproval {
            person: approved_by.person.clone(),
            arn: approved_by.arn.clone(),
            approved_at: *approved_at,
            signed_by,
            record: PinnedRecord {
                key: Approval::key(stage, &stored.record.commit(), &approved_by.person).to_string(),
                version_id: stored.version_id.clone(),
                sha256: stored.sha256,
            },
        })
    }
}

/// That two people waived a stage's rules for a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Who asked for it.
    pub requester: Person,
    /// The second person.
    pub approved_by: CountedApproval,
    /// What would have refused the promotion.
    pub waived: Vec<Finding>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"repo": "bank-payments", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357", "stage": "prod",
               "manifest_version_id": "v1",
               "reason": "looked at the change", "identity_proof": {"method": "POST", "headers": {}, "body": ""}})
    }

    #[test]
    fn an_approval_is_asked_for_with_a_proof() {
        let (request, proof) = ApprovalRequest::parse(&event()).unwrap();
        assert_eq!((proof.method.as_str(), request.break_glass), ("POST", false));
        let mut glass = event();
        glass["break_glass"] = json!(true);
        let (glass, _) = ApprovalRequest::parse(&glass).unwrap();
        assert_ne!(glass.bound().digest(), request.bound().digest());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = json!({"repo": "Bank", "commit_sha": "main", "reason": "now!", "break_glass": true, "who": "jane"});
        let message = ApprovalRequest::parse(&wrong).unwrap_err().to_string().replace("; ", "\n");
        insta::assert_snapshot!(message, @"
        `who`: unknown field
        `repo`: `Bank` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `commit_sha`: `main` is not a valid commit sha: 40 or 64 lowercase hexadecimal digits
        `stage`: missing
        `manifest_version_id`: missing
        `reason`: to break the glass takes at least 10 characters
        `identity_proof`: missing
        ");
        let mut event = event();
        event["identity_proof"]["url"] = json!("https://sts.evil.example");
        insta::assert_snapshot!(ApprovalRequest::parse(&event).unwrap_err(), @"`identity_proof`: unknown field `url`, expected one of `method`, `headers`, `body`");
    }
}
