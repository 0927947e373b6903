//! A person approves a commit for a stage. Who that is, STS says; what it is worth, `promote` decides when the commit
//! is promoted: by then somebody asks for it, and it is known whether that is the same person.

mod propose;
mod withdraw;

use futures_util::future;
use gatekeeper_aws::{caller::Callers, lambda::FunctionError};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{Caller, Identity, IdentityProof, NotProven, Person},
    ids::{Chain, Commit, HoldId, VersionId},
    manifest,
    manifest::Manifest,
    notification::{Happened, Notification},
    store_key::{ArtefactPath, RecordKey},
    telemetry::{Logger, wall_clock},
    verdict::Verdict,
};
use gatekeeper_promotion::{
    approval::{
        Approval, ApprovalRequest, GivenApproval, InvalidApprovalEvent, NotProved, SignedApproval, WithdrawRequest,
    },
    brake::{GivenRelease, Release, ReleaseRequest, SignedWord, Word as _, not_theirs, unproved_standing},
    counting::{Counting, NotCounted, Owners, unproved},
    decide::{built_verdict, config_of},
    identities,
    identities::{Authors, Identities},
    stage,
    waiver::{ProposedWaiver, WaiveRequest},
};
use gatekeeper_proof::{Signer, ledger};
use gatekeeper_store::{
    Body, Precondition, WriteStore, Written, record,
    record::{RecordError, Stored},
    revocation,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// What `approve` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Answer {
    /// It is written down.
    Approved {
        /// Who approved, as STS said.
        approved_by: Person,
        /// Whether that was written down before already.
        already: bool,
        /// Everybody who has approved this version of the manifest for the stage, whether or not it will count.
        approvals: Vec<Person>,
        /// How many the stage asks for.
        needed: u8,
        /// Those of them that can't count, whoever asks for the promotion.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        not_counted: Vec<NotCounted>,
        /// Why none of them will count yet: authors whom nobody can place.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<Finding>,
    },
    /// A stage that was held is released.
    Released {
        /// Who released it, as STS said.
        released_by: Person,
        /// The hold.
        hold_id: HoldId,
        /// Whether that was written down before already.
        already: bool,
    },
    /// A waiver is proposed, and waits for a promoter who agrees.
    Proposed {
        /// The proposal.
        waiver: ProposedWaiver,
    },
    /// An approval was withdrawn by who had given it.
    Withdrawn {
        /// Who had approved, as STS said.
        approved_by: Person,
        /// Whether it was withdrawn before already.
        already: bool,
    },
    /// It can't be approved, released, withdrawn or proposed; nothing was written.
    Refused {
        /// Every reason.
        reasons: Vec<Finding>,
    },
}

/// What others are told of an answer to `event`: that a stage is released, the first time.
#[must_use]
pub fn notifications(event: &Value, answer: &Answer) -> Vec<Notification> {
    let Answer::Released { released_by, already: false, .. } = answer else { return Vec::new() };
    let Ok((request, _)) = ReleaseRequest::parse(event) else { return Vec::new() };
    let mut told = Notification::of_stage(Happened::StageReleased, &request.stage, None);
    told.detail.by = Some(released_by.to_string());
    vec![told]
}

/// Takes approvals.
#[derive(Debug)]
pub struct Approver<S> {
    /// Where the manifests are, which say who wrote a commit.
    pub artefacts: S,
    /// Where the records are.
    pub records: S,
    /// What tells who asks.
    pub callers: Callers,
    /// What it signs approvals with, and nothing else.
    pub signer: Box<dyn Signer>,
}

impl<S: WriteStore> Approver<S> {
    /// Answers one event.
    ///
    /// # Errors
    /// `InvalidApprovalEvent` for a malformed event, `ApproveError` where it could not look or write.
    pub async fn handle(&self, event: &Value, log: &Logger) -> Result<Answer, FunctionError> {
        let invalid = |error| FunctionError::new(InvalidApprovalEvent::ERROR_TYPE, error);
        let listed = |wrong| invalid(InvalidApprovalEvent(wrong));
        let answer = match event.get("action").map(|action| action.as_str().unwrap_or_default()) {
            None => {
                let (request, proof) = ApprovalRequest::parse(event).map_err(invalid)?;
                let log = log.for_commit(&request.commit()).with("stage", request.stage.as_str());
                self.answer(&request, &proof, &log, wall_clock()).await
            }
            Some(WithdrawRequest::ACTION) => {
                let (request, proof) = WithdrawRequest::parse(event).map_err(listed)?;
                let log = log.for_commit(&request.commit()).with("stage", request.stage.as_str());
                self.withdraw(&request, &proof, &log, wall_clock()).await
            }
            Some(WaiveRequest::ACTION) => {
                let (request, proof) = WaiveRequest::parse(event).map_err(listed)?;
                let log = log.with("stage", request.stage.as_str());
                self.propose(&request, &proof, &log, wall_clock()).await
            }
            Some(_) => {
                let (request, proof) = ReleaseRequest::parse(event).map_err(listed)?;
                let log = log.with("stage", request.stage.as_str());
                self.release(&request, &proof, &log, wall_clock()).await
            }
        };
        answer.map_err(|error| FunctionError::new("ApproveError", format!("{error:#}")))
    }

    async fn answer(
        &self,
        request: &ApprovalRequest,
        proof: &IdentityProof,
        log: &Logger,
        now: Timestamp,
    ) -> anyhow::Result<Answer> {
        let commit = request.commit();
        let bound = request.bound();
        let (config_key, approvals) =
            (RecordKey::StagesConfig.to_string(), RecordKey::approvals_prefix(&request.stage, &commit));
        let verdict_key = RecordKey::Verdict(commit.clone());
        let stored = future::try_join5(
            async { anyhow::Ok(self.callers.identify(proof, &bound, now).await?) },
            async { Ok(self.records.get(&config_key, None, stage::MAX_BYTES).await?) },
            async { Ok(record::read::<Verdict>(&self.records, &verdict_key).await?) },
            async { Ok(revocation::read(&self.records, &commit).await?) },
            async { Ok(self.records.list(&approvals).await?) },
        );
        let (manifest_key, identities_key) =
            (ArtefactPath::Manifest.of(&commit), RecordKey::IdentitiesConfig.to_string());
        let people = future::try_join3(
            async { Ok(self.artefacts.get(&manifest_key, None, manifest::MAX_BYTES).await?) },
            async { Ok(self.records.get(&identities_key, None, identities::MAX_BYTES).await?) },
            async { Ok(self.signer.trusted().await?) },
        );
        let (stored, (document, identities, key)) = future::try_join(stored, people).await?;
        let (identity, config, verdict, revocation, listed) = stored;

        let mut reasons = Vec::new();
        let identity = approver(identity).map_err(|message| {
            reasons.push(Finding::new(Code::RequesterUnproven, request.stage.as_str(), message));
        });
        let stage = config_of(config, &request.stage, &mut reasons).map(|(stage, _)| stage);
        let verdict = built_verdict(&commit, verdict, revocation.as_ref(), &mut reasons);
        let manifest = verdict.and_then(|verdict| verdict.record.manifest_version_id);
        if let Some(stored) = manifest.as_ref().filter(|stored| **stored != request.manifest_version_id) {
            let looked_at = &request.manifest_version_id;
            let message = format!(
                "version `{looked_at}` of the manifest was looked at, and `{stored}` is stored now: look again"
            );
            reasons.push(Finding::new(Code::VerdictStale, ArtefactPath::Manifest.of(&commit), message));
        }
        let (Ok(identity), Some(stage), Some(manifest), true) = (identity, stage, manifest, reasons.is_empty()) else {
            reasons.sort();
            log.warn("approval refused", json!({"reasons": reasons}));
            log.count("Approvals", Some(("Status", "refused")), 1);
            return Ok(Answer::Refused { reasons });
        };

        let keys = listed.iter().filter_map(|it| RecordKey::approval_of(&request.stage, &commit, &it.key));
        let own_place = Approval::key(&request.stage, &commit, &identity.person);
        let key = &key;
        let read = keys.map(|place| async move {
            Ok::<_, RecordError>((GivenApproval::read(&self.records, &place, Some(key)).await?, place))
        });
        let standing: Vec<_> = future::try_join_all(read).await?;
        let standing = || standing.iter().filter_map(|(given, place)| Some((given.as_ref()?, place)));
        let own = standing().find(|(_, place)| **place == own_place).map(|(given, _)| given);
        let already = own.is_some_and(|own| own.proof.is_ok() && covers(&own.stored.record, &manifest, request));
        if !already {
            self.write(request, &identity, &manifest, own, now).await?;
            log.info(
                "approved",
                json!({
                    "approved_by": identity.arn, "person": identity.person, "reason": request.reason,
                    "manifest_version_id": manifest, "break_glass": request.break_glass,
                    "plan_sha256": request.plan_sha256,
                }),
            );
            log.count("Approvals", Some(("Status", "approved")), 1);
        }
        let others = standing().filter(|(_, place)| **place != own_place).map(|(given, _)| given);
        let others = others.filter(|it| it.stored.record.manifest_version_id == manifest);
        let others = others.filter(|it| it.stored.record.withdrawn.is_none());
        let others = others.map(|it| (it.stored.record.clone(), it.proof.as_ref().err()));
        let own = approval(request, &identity, &manifest, now);
        let given: Vec<_> = others.chain([(own, None)]).collect();
        let mut approvals: Vec<_> = given.iter().map(|(it, _)| it.approved_by.person.clone()).collect();
        approvals.sort();
        let needed = stage.approvals;
        let (not_counted, reasons) = match needed {
            0 => (Vec::new(), Vec::new()),
            _ => worth(request, &commit, document.as_ref(), identities.as_ref(), &given),
        };
        Ok(Answer::Approved { approved_by: identity.person, already, approvals, needed, not_counted, reasons })
    }

    /// Writes down that a person releases a stage. What that is worth, `promote` decides; what it would not count is refused.
    async fn release(
        &self,
        request: &ReleaseRequest,
        proof: &IdentityProof,
        log: &Logger,
        now: Timestamp,
    ) -> anyhow::Result<Answer> {
        let ReleaseRequest { stage: stage_name, hold_id, .. } = request;
        let chain = Chain::of_holds(stage_name);
        let bound = request.bound(&chain);
        let keys = [RecordKey::StagesConfig, RecordKey::IdentitiesConfig, RecordKey::LedgerHead(chain.clone())];
        let [config_key, identities_key, head_key] = keys.map(|key| key.to_string());
        let (caller, config, identities, head, before) = future::try_join5(
            async { anyhow::Ok(self.callers.identify(proof, &bound, now).await?) },
            async { Ok(self.records.get(&config_key, None, stage::MAX_BYTES).await?) },
            async { Ok(self.records.get(&identities_key, None, identities::MAX_BYTES).await?) },
            async { Ok(self.records.get(&head_key, None, ledger::MAX_BYTES).await?) },
            async {
                let keys = self.signer.trusted().await?;
                Ok(GivenRelease::read(&self.records, stage_name, hold_id, Some(&keys)).await?)
            },
        )
        .await?;
        let mut reasons = Vec::new();
        let identity = approver(caller).map_err(|message| {
            reasons.push(Finding::new(Code::RequesterUnproven, stage_name.as_str(), message));
        });
        let stage = config_of(config, stage_name, &mut reasons).map(|(stage, _)| stage);
        let identities = Identities::of(identities.as_ref()).map_err(|invalid| reasons.push(invalid));
        // The signature is promotion's, and promote looks at it: what an unsigned head says releases nothing.
        let hold = unproved_standing(stage_name, head.as_ref().map(|head| head.bytes.as_slice()));
        let hold = hold.map(|standing| standing.hold);
        let is_told = hold.is_ok();
        let hold = hold.unwrap_or_else(|broken| {
            reasons.push(broken);
            None
        });
        match &hold {
            Some(hold) if hold.id == *hold_id => {}
            Some(hold) => {
                let message = format!(
                    "`{hold_id}` was looked at, and `{}` holds the stage now, by `{}`: {}; look again",
                    hold.id, hold.by, hold.reason
                );
                reasons.push(Finding::new(Code::StageNotHeld, stage_name.as_str(), message));
            }
            None if is_told => {
                reasons.push(Finding::new(Code::StageNotHeld, stage_name.as_str(), "nothing holds the stage"));
            }
            None => {}
        }
        if let (Ok(identity), Some(stage), Ok(identities), Some(hold)) = (&identity, &stage, &identities, &hold)
            && let Some(why) = not_theirs(&identity.person, hold, stage.approvals, identities)
        {
            reasons.push(Finding::new(Code::RequesterUnproven, stage_name.as_str(), why));
        }
        let (Ok(identity), Some(stage), Ok(identities), Some(hold), true) =
            (identity, stage, identities, hold, reasons.is_empty())
        else {
            reasons.sort();
            log.warn("release refused", json!({"reasons": reasons}));
            return Ok(Answer::Refused { reasons });
        };
        if let Some(before) = before.as_ref().filter(|it| it.why_not(&hold, stage.approvals, &identities).is_none()) {
            let released_by = before.word().released_by.person.clone();
            return Ok(Answer::Released { released_by, hold_id: hold.id, already: true });
        }
        let word = Release {
            schema_version: 1,
            stage: stage_name.clone(),
            hold_id: hold.id.clone(),
            released_by: identity.clone(),
            released_at: now,
            reason: request.reason.clone(),
        };
        let key = word.key();
        let signed = SignedWord::sign(word, &*self.signer).await?;
        // What lies there and doesn't count gives way.
        let precondition = Stored::precondition(before.as_ref().map(|it| &it.stored));
        let written = record::write(&self.records, &key, &signed, &precondition).await?;
        anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` was written at the same time; look again");
        log.warn("stage released", json!({"by": identity.arn, "reason": request.reason, "hold_id": hold.id}));
        log.count("Releases", None, 1);
        Ok(Answer::Released { released_by: identity.person, hold_id: hold.id, already: false })
    }

    async fn write(
        &self,
        request: &ApprovalRequest,
        identity: &Identity,
        manifest_version_id: &VersionId,
        before: Option<&GivenApproval>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let approval = approval(request, identity, manifest_version_id, now);
        let approval = SignedApproval::sign(approval, &*self.signer).await?;
        let key = Approval::key(&request.stage, &request.commit(), &identity.person);
        let unchanged = |before: &GivenApproval| Precondition::Unchanged(before.stored.etag.clone());
        let precondition = before.map_or(Precondition::Absent, unchanged);
        let written = record::write(&self.records, &key, &approval, &precondition).await?;
        anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` was written at the same time; approve again");
        Ok(())
    }
}

/// The person who asks, or why it is none.
fn approver(caller: Result<Caller, NotProven>) -> Result<Identity, String> {
    match caller {
        Ok(Caller::Person(identity)) => Ok(identity),
        Ok(Caller::Other(arn)) => Err(format!(
            "a person must approve, by a session of the approver's role, and `{arn}` is not such a session"
        )),
        Err(wrong) => Err(format!("the proof of who approves: {wrong}")),
    }
}

fn approval(
    request: &ApprovalRequest,
    identity: &Identity,
    manifest_version_id: &VersionId,
    now: Timestamp,
) -> Approval {
    Approval {
        schema_version: 1,
        repo: request.repo.clone(),
        commit_sha: request.commit_sha.clone(),
        stage: request.stage.clone(),
        manifest_version_id: manifest_version_id.clone(),
        approved_by: identity.clone(),
        approved_at: now,
        reason: request.reason.clone(),
        break_glass: request.break_glass,
        plan_sha256: request.plan_sha256,
        withdrawn: None,
    }
}

/// Which approvals can't count, and why none will, as far as that is known before somebody asks for the promotion.
fn worth(
    request: &ApprovalRequest,
    commit: &Commit,
    document: Option<&Body>,
    identities: Option<&Body>,
    given: &[(Approval, Option<&NotProved>)],
) -> (Vec<NotCounted>, Vec<Finding>) {
    let document = document.filter(|body| body.version_id == request.manifest_version_id);
    let Some(manifest) = document.and_then(|body| Manifest::parse(&body.bytes, commit).ok()) else {
        return (Vec::new(), Vec::new());
    };
    let identities = match Identities::of(identities) {
        Ok(identities) => identities,
        Err(invalid) => return (Vec::new(), vec![invalid]),
    };
    let authors = Authors::of(&manifest, &identities);
    let counting = Counting {
        commit,
        stage: &request.stage,
        manifest_version_id: &request.manifest_version_id,
        // What will be applied is planned when somebody asks for it.
        plan_sha256: None,
        owners: Owners { requester: None, authors: &authors, identities: &identities },
    };
    let not_counted = given.iter().filter_map(|(approval, not_proved)| {
        let why = not_proved.map(unproved).or_else(|| counting.why_not(approval, std::iter::empty()))?;
        Some(NotCounted { person: approval.approved_by.person.clone(), why })
    });
    (not_counted.collect(), counting.unknown_authors())
}

/// Whether a standing approval is all that is asked for now: of this manifest and this plan, and to break the glass where
/// that is asked.
fn covers(standing: &Approval, manifest_version_id: &VersionId, request: &ApprovalRequest) -> bool {
    standing.withdrawn.is_none()
        && standing.manifest_version_id == *manifest_version_id
        && standing.plan_sha256 == request.plan_sha256
        && (standing.break_glass || !request.break_glass)
}

#[cfg(test)]
mod tests;
