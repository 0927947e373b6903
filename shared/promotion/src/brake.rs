//! The brake: a stage that is held, and promotions that somebody stops.
//!
//! Whether a stage is held, the signed head of a chain of the ledger says, so that nobody who may write records can hold or
//! release one unseen. To release it takes an approver's word, which `approve` signs; `promote` alone decides what it is
//! worth, and enters it.
//!
//! That a promotion is stopped lies beside its record, where every step looks before it begins anything. Steps stop for
//! whatever lies there, because stopping does no harm; who stopped it, the record tells by the signature.

use std::collections::BTreeSet;

use futures_util::{stream, stream::StreamExt as _};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{BoundRequest, Caller, Identity, IdentityProof, Person},
    ids::{Chain, HoldId, PromotionId, Repo, Sha256, StageName, WaiverId},
    store_key::RecordKey,
};
use gatekeeper_proof::{
    Digest, Envelope, Named, Predicate, Signer, SigningError, Statement, Subject, TrustedKeys, ledger,
    ledger::{Event, Hold, Kind, RecordDigest, Standing},
};
use gatekeeper_store::{
    ReadStore, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    approval::NotProved,
    fields::Fields,
    identities::Identities,
    lock::Lock,
    record::{PinnedRecord, PromotionRecord, Status},
    request::InvalidPromotionEvent,
    step::PromotionRef,
};

/// Records that are read at once.
const READS_IN_FLIGHT: usize = 16;

/// What somebody asks of the brake, by an event of `promote` with an `action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrakeRequest {
    /// What is asked.
    #[serde(flatten)]
    pub action: Action,
    /// The stage.
    pub stage: StageName,
    /// Why, in the words of whoever asks.
    pub reason: String,
    /// The proof of who asks; none only before it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

/// What is asked of the brake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Let nothing new be promoted to the stage, and send back what is under way.
    Hold,
    /// Send back one promotion.
    Stop {
        /// Its repository.
        repo: Repo,
        /// Its id.
        promotion_id: PromotionId,
    },
    /// Agree to a waiver that an approver proposed: from then on it counts.
    AgreeToWaiver {
        /// The waiver.
        waiver_id: WaiverId,
        /// The SHA-256 of the proposal that was looked at.
        proposal_sha256: Sha256,
    },
    /// End a waiver before its time.
    EndWaiver {
        /// The waiver.
        waiver_id: WaiverId,
    },
}

impl BrakeRequest {
    /// Whether an event is one of these.
    #[must_use]
    pub fn is_in(event: &Value) -> bool {
        event.get("action").is_some()
    }

    /// Reads the event, and the proof that it must hold.
    ///
    /// # Errors
    /// [`InvalidPromotionEvent`] that names every field that is wrong.
    pub fn parse(event: &Value) -> Result<(Self, IdentityProof), InvalidPromotionEvent> {
        Self::read(event).map_err(InvalidPromotionEvent)
    }

    fn read(event: &Value) -> Result<(Self, IdentityProof), Vec<String>> {
        const OF_HOLD: [&str; 4] = ["action", "stage", "reason", "identity_proof"];
        const OF_STOP: [&str; 6] = ["action", "stage", "repo", "promotion_id", "reason", "identity_proof"];
        const OF_AGREEMENT: [&str; 6] = ["action", "stage", "waiver_id", "proposal_sha256", "reason", "identity_proof"];
        const OF_END: [&str; 5] = ["action", "stage", "waiver_id", "reason", "identity_proof"];
        let known: &[&str] = match event.get("action").and_then(Value::as_str) {
            Some("stop") => &OF_STOP,
            Some("agree-to-waiver") => &OF_AGREEMENT,
            Some("end-waiver") => &OF_END,
            _ => &OF_HOLD,
        };
        let mut fields = Fields::of(event, known)?;
        let action = match fields.text("action").as_deref() {
            Some("hold") => Some(Action::Hold),
            Some("stop") => {
                let (repo, promotion_id) = (fields.id("repo"), fields.id("promotion_id"));
                repo.zip(promotion_id).map(|(repo, promotion_id)| Action::Stop { repo, promotion_id })
            }
            Some("agree-to-waiver") => {
                let (waiver_id, proposal_sha256) = (fields.id("waiver_id"), fields.id("proposal_sha256"));
                waiver_id
                    .zip(proposal_sha256)
                    .map(|(waiver_id, proposal_sha256)| Action::AgreeToWaiver { waiver_id, proposal_sha256 })
            }
            Some("end-waiver") => fields.id("waiver_id").map(|waiver_id| Action::EndWaiver { waiver_id }),
            Some(_) => {
                fields.add("`action`: neither `hold`, `stop`, `agree-to-waiver` nor `end-waiver`; leave it out to ask for a promotion");
                None
            }
            None => None,
        };
        let (stage, reason, proof) = (fields.id("stage"), fields.text("reason"), proof(&mut fields));
        let read = || {
            let (action, stage, reason) = (action?, stage?, reason?);
            let identity_proof = proof?;
            Some((Self { action, stage, reason, identity_proof: Some(identity_proof.clone()) }, identity_proof))
        };
        fields.finish(read())
    }

    /// What a proof of who asks is bound to; `holds` is the chain of what holds the stage.
    #[must_use]
    pub fn bound<'a>(&'a self, holds: &'a Chain) -> BoundRequest<'a> {
        let (action, repo, id) = match &self.action {
            Action::Hold => ("hold", &holds.repo, None),
            Action::Stop { repo, promotion_id } => ("stop", repo, Some(promotion_id.as_str())),
            Action::AgreeToWaiver { waiver_id, .. } => ("agree-to-waiver", &holds.repo, Some(waiver_id.as_str())),
            Action::EndWaiver { waiver_id } => ("end-waiver", &holds.repo, Some(waiver_id.as_str())),
        };
        let plan_sha256 = match &self.action {
            Action::AgreeToWaiver { proposal_sha256, .. } => Some(*proposal_sha256),
            Action::Hold | Action::Stop { .. } | Action::EndWaiver { .. } => None,
        };
        BoundRequest { plan_sha256, ..bound(action, repo, &self.stage, &self.reason, id) }
    }
}

/// What an approver asks for who releases a stage, by an event of `approve` with an `action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseRequest {
    /// `release`.
    pub action: &'static str,
    /// The stage.
    pub stage: StageName,
    /// The hold that was looked at.
    pub hold_id: HoldId,
    /// Why, in the words of the approver.
    pub reason: String,
    /// The proof of who asks; none only before it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

impl ReleaseRequest {
    /// The word of [`ReleaseRequest::action`].
    pub const ACTION: &str = "release";

    /// Reads the event, and the proof that it must hold.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub fn parse(event: &Value) -> Result<(Self, IdentityProof), Vec<String>> {
        let mut fields = Fields::of(event, &["action", "stage", "hold_id", "reason", "identity_proof"])?;
        if event.get("action").and_then(Value::as_str) != Some(Self::ACTION) {
            fields.add("`action`: neither `release`, `withdraw` nor `waive`; leave it out to approve a commit");
        }
        let (stage, hold_id) = (fields.id("stage"), fields.id("hold_id"));
        let (reason, proof) = (fields.text("reason"), proof(&mut fields));
        let read = || {
            let (stage, hold_id, reason, proof) = (stage?, hold_id?, reason?, proof?);
            let identity_proof = Some(proof.clone());
            Some((Self { action: Self::ACTION, stage, hold_id, reason, identity_proof }, proof))
        };
        fields.finish(read())
    }

    /// What a proof of who asks is bound to; `holds` is the chain of what holds the stage.
    #[must_use]
    pub fn bound<'a>(&'a self, holds: &'a Chain) -> BoundRequest<'a> {
        bound(Self::ACTION, &holds.repo, &self.stage, &self.reason, Some(self.hold_id.as_str()))
    }
}

/// The proof that an event must hold.
pub(crate) fn proof(fields: &mut Fields<'_>) -> Option<IdentityProof> {
    let proof = fields.proof("identity_proof");
    if proof == Some(None) {
        fields.add("`identity_proof`: missing");
    }
    proof.flatten()
}

pub(crate) fn bound<'a>(
    action: &'static str,
    repo: &'a Repo,
    stage: &'a StageName,
    reason: &'a str,
    id: Option<&'a str>,
) -> BoundRequest<'a> {
    BoundRequest {
        action,
        repo,
        commit_sha: None,
        stage,
        manifest_version_id: None,
        reason: reason.trim(),
        switches: Vec::new(),
        accept_replacement: Vec::new(),
        plan_sha256: None,
        id,
    }
}

/// What somebody said, whose place is known by what it says.
pub trait Word: Predicate + Clone + PartialEq {
    /// Where it lies.
    fn key(&self) -> RecordKey;
}

/// A word as it is stored, with the same as a function has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedWord<W> {
    /// What it says.
    #[serde(flatten)]
    pub word: W,
    /// The same, signed.
    pub envelope: Envelope,
}

impl<W: Word + Serialize + DeserializeOwned> SignedWord<W> {
    /// Signs a word: one call of KMS.
    ///
    /// # Errors
    /// [`SigningError`] where the signer doesn't sign.
    pub async fn sign(word: W, signer: &dyn Signer) -> Result<Self, SigningError> {
        let statement = Statement::new(vec![subject(&word)], word);
        let envelope = Envelope::sign(&statement.to_bytes()?, signer).await?;
        Ok(Self { word: statement.predicate, envelope })
    }

    /// Whether the word that lies at `place` is one that `keys` signed.
    ///
    /// # Errors
    /// [`NotProved`] where it isn't, or is of another place.
    pub fn proof(&self, place: &RecordKey, keys: &TrustedKeys) -> Result<(), NotProved> {
        self.proof_named(place, keys, None)
    }

    /// The same where the ledger may name it: then it counts though its key was revoked later.
    ///
    /// # Errors
    /// [`NotProved`] as [`SignedWord::proof`].
    pub fn proof_named(
        &self,
        place: &RecordKey,
        keys: &TrustedKeys,
        named: Option<Named<'_>>,
    ) -> Result<(), NotProved> {
        let statement = Statement::<W>::open_named(&self.envelope, keys, named);
        let (Statement { subject: about, predicate: signed, .. }, _) =
            statement.map_err(|error| NotProved::new(error.to_string()))?;
        if signed != self.word || about != [subject(&signed)] {
            return Err(NotProved::new("it says something else than was signed"));
        }
        if signed.key() != *place {
            return Err(NotProved::new(format!("it was signed for `{}`, and was copied from there", signed.key())));
        }
        Ok(())
    }
}

fn subject(word: &impl Word) -> Subject {
    let name = word.key().to_string();
    Subject { digest: Digest::Sha256(Sha256::of(name.as_bytes())), name }
}

/// That somebody stops a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopWish {
    /// 1.
    pub schema_version: u32,
    /// The promotion.
    #[serde(flatten)]
    pub promotion: PromotionRef,
    /// Who stops it, as AWS named them.
    pub by: String,
    /// When.
    pub stopped_at: Timestamp,
    /// Why, as they said.
    pub reason: String,
    /// The hold that it is sent back for; `None` where it alone is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
}

impl Predicate for StopWish {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/stop/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stopped_at)
    }
}

impl Word for StopWish {
    fn key(&self) -> RecordKey {
        Self::key_of(&self.promotion)
    }
}

impl StopWish {
    /// Where that of a promotion lies.
    #[must_use]
    pub fn key_of(promotion: &PromotionRef) -> RecordKey {
        let PromotionRef { stage, repo, promotion_id } = promotion.clone();
        RecordKey::StopWish(stage, repo, promotion_id)
    }

    /// What it comes to, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let what = if self.hold.is_some() { "the stage is held" } else { "stopped" };
        format!("{what} by `{}` at {:.0}: {}", self.by, self.stopped_at, self.reason)
    }
}

/// That a promotion is to be stopped, as whoever reads it sees it before any signature is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    /// Who stops it and why, in words.
    pub told: String,
}

/// Whether a promotion is to be stopped: by whatever lies there, also where it can't be read.
///
/// # Errors
/// [`RecordError`] where it could not look.
pub async fn stopping(records: &impl ReadStore, promotion: &PromotionRef) -> Result<Option<Stopping>, RecordError> {
    match record::read::<SignedWord<StopWish>>(records, &StopWish::key_of(promotion)).await {
        Ok(stored) => Ok(stored.map(|it| Stopping { told: it.record.word.told() })),
        Err(RecordError::Invalid { key, .. }) => {
            Ok(Some(Stopping { told: format!("stopped by the record `{key}`, which can't be read") }))
        }
        Err(error) => Err(error),
    }
}

/// Who stopped a promotion, as its record tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Who, as AWS named them; `None` where nothing proves it.
    pub by: Option<String>,
    /// When; `None` where nothing proves it.
    pub at: Option<Timestamp>,
    /// Why, as they said; or why nothing proves who it was.
    pub reason: String,
    /// The hold that it was sent back for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// The wish itself; `None` where it can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<PinnedRecord>,
}

impl Stopped {
    /// Who stopped a promotion, if anybody did: by the key that signs such wishes.
    ///
    /// # Errors
    /// [`RecordError`] where it could not look.
    pub async fn read(
        records: &impl ReadStore,
        promotion: &PromotionRef,
        keys: &TrustedKeys,
    ) -> Result<Option<Self>, RecordError> {
        let place = StopWish::key_of(promotion);
        let nobody = |reason: String| Self { by: None, at: None, reason, hold: None, record: None };
        let stored = match record::read::<SignedWord<StopWish>>(records, &place).await {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => stored,
            Err(RecordError::Invalid { .. }) => return Ok(Some(nobody(format!("`{place}` can't be read")))),
            Err(error) => return Err(error),
        };
        let Stored { record: signed, version_id, sha256, .. } = stored;
        let record = Some(PinnedRecord { key: place.to_string(), version_id, sha256 });
        Ok(Some(match signed.proof(&place, keys) {
            Ok(()) => {
                let StopWish { by, stopped_at, reason, hold, .. } = signed.word;
                Self { by: Some(by), at: Some(stopped_at), reason, hold, record }
            }
            Err(why) => Self { record, ..nobody(format!("nobody's word, because {why}")) },
        }))
    }

    /// The same as a finding about a stage.
    #[must_use]
    pub fn finding(&self, stage: &StageName) -> Finding {
        let code = if self.hold.is_some() { Code::StageOnHold } else { Code::PromotionStopped };
        let message = match &self.by {
            Some(by) => format!("sent back by `{by}`: {}", self.reason),
            None => format!("sent back: {}", self.reason),
        };
        Finding::new(code, stage.as_str(), message)
    }
}

/// Why a promotion can't be stopped; `None` where it can.
#[must_use]
pub fn not_stoppable(record: &PromotionRecord) -> Option<Finding> {
    let PromotionRecord { promotion_id, stage, repo, status, .. } = record;
    let message = if record.ended_at.is_some() {
        // What did not succeed left the stage with the commit before: a rollback would take that one away.
        let next = if *status == Status::Succeeded {
            format!("`gatekeeper rollback --repo {repo} --stage {stage}` takes back what was promoted")
        } else {
            format!("`gatekeeper status --repo {repo} --stage {stage}` tells what the stage runs now")
        };
        format!("`{promotion_id}` has ended as `{}`: {next}", status.as_str())
    } else if *status == Status::GoingBack {
        let why = match record.stopped.as_ref().map(|it| it.by.as_deref()) {
            Some(Some(by)) => format!("was stopped by `{by}`"),
            Some(None) => "was stopped".to_owned(),
            None => "failed".to_owned(),
        };
        format!("`{promotion_id}` {why} and goes back already; `gatekeeper follow {promotion_id}` follows it")
    } else if record.rollback {
        format!(
            "`{promotion_id}` is a rollback: there is no way back behind it, and half of it is worse than all of it; wait for its \
             end, then promote"
        )
    } else {
        return None;
    };
    Some(Finding::new(Code::PromotionNotStoppable, promotion_id.as_str(), message))
}

/// The promotions to a stage that are under way, by the locks that they hold: those that have not ended.
#[derive(Debug, Default)]
pub struct AtWork {
    /// Their records.
    pub promotions: Vec<PromotionRecord>,
    /// Locks and records of which nobody can tell what they are, by their keys. One of them must not keep anybody from
    /// holding the stage, nor what else is under way from being sent back.
    pub unreadable: Vec<String>,
}

/// Looks which promotions to a stage are under way.
///
/// # Errors
/// [`RecordError`] where it could not look.
pub async fn under_way(records: &impl ReadStore, stage: &StageName) -> Result<AtWork, RecordError> {
    let listed = records.list(&RecordKey::locks_prefix(Some(stage))).await?;
    let places = listed.iter().filter_map(|it| RecordKey::stage_and_repo(&it.key));
    let held = stream::iter(places.map(|(stage, repo)| async move {
        let key = RecordKey::Lock(stage.clone(), repo.clone());
        let lock = record::read::<Lock>(records, &key).await?;
        let Some(lock) = lock.map(|it| it.record).filter(|it| it.released_at.is_none()) else { return Ok(None) };
        let promotion = PromotionRef { stage, repo, promotion_id: lock.promotion_id };
        // Between lock and record there is a moment, in which whoever starts it looks whether the stage is held.
        let stored = record::read::<PromotionRecord>(records, &PromotionRecord::key(&promotion)).await?;
        Ok(stored.map(|it| it.record).filter(|it| it.ended_at.is_none()))
    }));
    let looks: Vec<_> = held.buffered(READS_IN_FLIGHT).collect().await;
    let mut at_work = AtWork::default();
    for look in looks {
        match look {
            Ok(found) => at_work.promotions.extend(found),
            Err(RecordError::Invalid { key, .. }) => at_work.unreadable.push(key),
            Err(error) => return Err(error),
        }
    }
    Ok(at_work)
}

/// Whether a hold sends a promotion back: rollbacks pass, and what two people have broken the glass for.
#[must_use]
pub fn is_sent_back(record: &PromotionRecord) -> bool {
    not_stoppable(record).is_none() && record.break_glass.is_none()
}

/// That a person releases a stage that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// 1.
    pub schema_version: u32,
    /// The stage.
    pub stage: StageName,
    /// The hold that was looked at: a later one needs releasing again.
    pub hold_id: HoldId,
    /// Who releases it, as STS said.
    pub released_by: Identity,
    /// When.
    pub released_at: Timestamp,
    /// Why, in the words of the approver.
    pub reason: String,
}

impl Predicate for Release {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/release/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.released_at)
    }
}

impl Word for Release {
    fn key(&self) -> RecordKey {
        RecordKey::HoldRelease(self.stage.clone(), self.hold_id.clone())
    }
}

/// The word that releases a hold, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenRelease {
    /// What it says.
    pub stored: Stored<SignedWord<Release>>,
    /// Why it is nobody's word, where it isn't.
    pub not_proved: Option<NotProved>,
}

impl GivenRelease {
    /// Reads the word that releases a hold; `None` where nobody has given it.
    ///
    /// # Errors
    /// [`RecordError`] where it can't be read.
    pub async fn read(
        records: &impl ReadStore,
        stage: &StageName,
        hold: &HoldId,
        keys: Option<&TrustedKeys>,
    ) -> Result<Option<Self>, RecordError> {
        let place = RecordKey::HoldRelease(stage.clone(), hold.clone());
        let stored = record::read::<SignedWord<Release>>(records, &place).await?;
        Ok(stored.map(|stored| {
            let not_proved = match keys {
                Some(keys) => stored.record.proof(&place, keys).err(),
                None => Some(NotProved::new("there is no key to verify it by")),
            };
            Self { stored, not_proved }
        }))
    }

    /// What it says.
    #[must_use]
    pub fn word(&self) -> &Release {
        &self.stored.record.word
    }

    /// Why it doesn't count; `None` where it does. Where a stage asks for `approvals`, whose promotion the hold sent back is
    /// not the one who lets it pass.
    #[must_use]
    pub fn why_not(&self, hold: &Hold, approvals: u8, identities: &Identities) -> Option<String> {
        if let Some(why) = &self.not_proved {
            return Some(why.to_string());
        }
        not_theirs(&self.word().released_by.person, hold, approvals, identities)
    }

    /// The entry of the ledger that it makes.
    #[must_use]
    pub fn event(&self, hold: &Hold) -> Event {
        let Release { stage, hold_id, released_by, reason, .. } = self.word();
        let record = RecordDigest {
            key: RecordKey::HoldRelease(stage.clone(), hold_id.clone()).to_string(),
            version_id: Some(self.stored.version_id.clone()),
            sha256: self.stored.sha256,
        };
        Event {
            approved_by: vec![released_by.person.clone()],
            record: Some(record),
            ..event(Kind::Release, hold, released_by.person.as_str(), reason, "released")
        }
    }
}

/// Why somebody may not release a hold; `None` where they may.
#[must_use]
pub fn not_theirs(person: &Person, hold: &Hold, approvals: u8, identities: &Identities) -> Option<String> {
    let is_theirs = approvals > 0 && hold.interrupted.iter().any(|asker| identities.same(asker, person));
    is_theirs.then(|| {
        format!(
            "`{person}` had asked for a promotion that the hold sent back, and the stage asks for somebody else's approval: \
             another approver must release it"
        )
    })
}

/// The entry of the ledger that holds a stage.
#[must_use]
pub fn holding(hold: &Hold) -> Event {
    event(Kind::Hold, hold, &hold.by, &hold.reason, "held")
}

fn event(kind: Kind, hold: &Hold, by: &str, reason: &str, outcome: &str) -> Event {
    Event {
        kind,
        id: format!("{}/{}", kind.as_str(), hold.id),
        commit_sha: None,
        promotion_id: None,
        by: by.to_owned(),
        approved_by: Vec::new(),
        reason: reason.to_owned(),
        outcome: outcome.to_owned(),
        findings: Vec::new(),
        findings_left_out: 0,
        record: None,
        break_glass: false,
        manifest_version_id: None,
        stage_record: None,
        hold: Some(hold.clone()),
        waiver: None,
        attestations: Vec::new(),
        hand_over: None,
    }
}

/// What holds a stage and what is waived there, as the signed head of its chain says; a head that proves nothing is a reason by itself.
///
/// # Errors
/// The finding that nobody can tell.
pub fn standing(stage: &StageName, head: Option<&[u8]>, keys: &TrustedKeys) -> Result<Standing, Finding> {
    let chain = Chain::of_holds(stage);
    let Some(head) = head else { return Ok(Standing::default()) };
    match ledger::standing_in(head, &chain, keys) {
        Ok(standing) => Ok(standing.unwrap_or_default()),
        Err(error) => {
            let message = format!(
                "so nobody can tell whether the stage is held or what is waived there: {error}; see `gatekeeper ledger verify`"
            );
            Err(Finding::new(Code::LedgerBroken, RecordKey::LedgerHead(chain).to_string(), message))
        }
    }
}

/// The same, whoever signed the head: for asking for a release, and for those who can't verify it. `promote` looks at the
/// signature.
///
/// # Errors
/// The finding that nobody can tell, which is never that nothing holds the stage.
pub fn unproved_standing(stage: &StageName, head: Option<&[u8]>) -> Result<Standing, Finding> {
    let Some(head) = head else { return Ok(Standing::default()) };
    ledger::unproved_standing_in(head).ok_or_else(|| {
        let message = "it can't be read, so nobody can tell whether the stage is held or what is waived there; see `gatekeeper \
                       ledger verify`";
        Finding::new(Code::LedgerBroken, RecordKey::LedgerHead(Chain::of_holds(stage)).to_string(), message)
    })
}

/// Why nothing new is promoted to a stage that is held.
#[must_use]
pub fn on_hold(stage: &StageName, hold: &Hold, not_counted: Option<&str>) -> Finding {
    let release = not_counted.map(|why| format!(" (a release doesn't count: {why})")).unwrap_or_default();
    let message = format!(
        "held by `{}` since {:.0}: {}{release}; an approver releases it by `gatekeeper release --stage {stage} --reason …`",
        hold.by, hold.since, hold.reason
    );
    Finding::new(Code::StageOnHold, stage.as_str(), message)
}

/// Who asks, in one word: the person, or the principal that is none.
#[must_use]
pub fn who(caller: &Caller) -> &str {
    match caller {
        Caller::Person(identity) => identity.person.as_str(),
        Caller::Other(arn) => arn,
    }
}

/// The people whose promotions a hold sends back, as AWS named them.
#[must_use]
pub fn askers<'a>(records: impl IntoIterator<Item = &'a PromotionRecord>) -> BTreeSet<Person> {
    let of = records.into_iter().filter(|it| is_sent_back(it)).filter_map(|it| it.requester.as_ref());
    of.map(|identity| identity.person.clone()).collect()
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
