//! Waivers: that some rules of a stage don't bind a repository, or one commit of it, until a time.
//!
//! It takes two people: an approver proposes, which `approve` signs, and a promoter who is somebody else agrees, which
//! `promote` enters into the chain of what holds the stage. What counts, the signed head of that chain says, so nobody who
//! may write records can add, change or lengthen one unseen, nor bring back one that was ended.

use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{BoundRequest, Identity, IdentityProof, Person},
    ids::{Commit, CommitSha, Repo, StageName, WaiverId},
    store_key::RecordKey,
};
use gatekeeper_proof::{
    Predicate, TrustedKeys,
    ledger::{Event, Kind, RecordDigest, Waiver},
};
use gatekeeper_store::{
    ReadStore, record,
    record::{RecordError, Stored},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    approval::NotProved,
    brake::{SignedWord, Word, bound, proof},
    fields::Fields,
    identities::{Identities, Placed},
};

/// The rules that can be waived, by the codes of their refusals: those that say when, and where first.
///
/// Everything else stays: that a commit is Built, attested, not revoked and unchanged, what signatures, the ledger and its
/// witness say, and who asks, because these are the proof. Too few approvals and a hold are other people's word, which
/// nobody waives beforehand: an approver gives it, or two people break the glass. What a stage accepts of migrations and
/// replacements is named where it is accepted.
pub const WAIVABLE: [Code; 3] = [Code::RequiresNotMet, Code::SoakNotOver, Code::StageFrozen];

/// For how many days a waiver may be.
pub const MAX_DAYS: i64 = 90;

/// How many waivers a stage may have at a time: its head tells all of them.
pub const MAX_STANDING: usize = 100;

/// The shortest reason, in characters: it is read long after.
const MIN_REASON: usize = 10;

/// That nobody can waive what is refused with a code.
fn not_waivable(code: &str) -> String {
    let can = WAIVABLE.map(|code| format!("`{}`", code.as_str())).join(", ");
    format!("`{code}` can't be waived; what can be is {can}")
}

/// That a waiver's time is over; `None` where it isn't.
#[must_use]
pub fn over(waiver: &Waiver, now: Timestamp) -> Option<String> {
    (waiver.until <= now).then(|| format!("it was until {:.0}", waiver.until))
}

/// What is wrong with a rule and a time, whoever proposes them.
#[must_use]
pub fn wrong_terms(code: Code, until: Timestamp, now: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    if !WAIVABLE.contains(&code) {
        wrong.push(not_waivable(code.as_str()));
    }
    if until <= now {
        wrong.push(format!("it would be over already: until {until:.0}, and it is {now:.0}"));
    } else if until > now + SignedDuration::from_hours(MAX_DAYS * 24) {
        wrong
            .push(format!("until {until:.0} is more than {MAX_DAYS} days from now; propose it anew when that is over"));
    }
    wrong
}

/// What an approver asks for who proposes a waiver, by an event of `approve` with an `action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaiveRequest {
    /// `waive`.
    pub action: &'static str,
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The only commit that it is for; any of the repository without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The rule.
    pub code: Code,
    /// Until when.
    pub until: Timestamp,
    /// Why, in the words of the approver.
    pub reason: String,
    /// The proof of who asks; none only before it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

impl WaiveRequest {
    /// The word of [`WaiveRequest::action`].
    pub const ACTION: &str = "waive";

    /// Reads the event, and the proof that it must hold.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub fn parse(event: &Value) -> Result<(Self, IdentityProof), Vec<String>> {
        const FIELDS: [&str; 8] =
            ["action", "stage", "repo", "commit_sha", "code", "until", "reason", "identity_proof"];
        let mut fields = Fields::of(event, &FIELDS)?;
        let (stage, repo) = (fields.id("stage"), fields.id("repo"));
        let commit_sha = if fields.is_absent("commit_sha") { Some(None) } else { fields.id("commit_sha").map(Some) };
        let named = fields.text("code");
        let code = named.as_ref().and_then(|named| WAIVABLE.into_iter().find(|it| it.as_str() == named));
        if let (Some(named), None) = (&named, code) {
            fields.add(format!("`code`: {}", not_waivable(named)));
        }
        let (until, reason, proof) = (fields.id("until"), fields.text("reason"), proof(&mut fields));
        if reason.as_ref().is_some_and(|it| it.chars().count() < MIN_REASON) {
            fields.add(format!(
                "`reason`: a waiver takes at least {MIN_REASON} characters, because it is read long after"
            ));
        }
        let read = || {
            let (stage, repo, commit_sha, code) = (stage?, repo?, commit_sha?, code?);
            let (until, reason, proof) = (until?, reason?, proof?);
            let identity_proof = Some(proof.clone());
            Some((Self { action: Self::ACTION, stage, repo, commit_sha, code, until, reason, identity_proof }, proof))
        };
        fields.finish(read())
    }

    /// What it proposes beside stage and commit, as the proof of who asks is bound to it.
    #[must_use]
    pub fn terms(&self) -> String {
        format!("{} until {}", self.code.as_str(), self.until)
    }

    /// What a proof of who asks is bound to; `terms` are [`WaiveRequest::terms`].
    #[must_use]
    pub fn bound<'a>(&'a self, terms: &'a str) -> BoundRequest<'a> {
        let asked = bound(Self::ACTION, &self.repo, &self.stage, &self.reason, Some(terms));
        BoundRequest { commit_sha: self.commit_sha.as_ref(), ..asked }
    }
}

/// That a person proposes a waiver: worth nothing until somebody else agrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedWaiver {
    /// 1.
    pub schema_version: u32,
    /// Which one.
    pub waiver_id: WaiverId,
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The only commit that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The rule.
    pub code: Code,
    /// Until when.
    pub until: Timestamp,
    /// Who proposes it, as STS said.
    pub proposed_by: Identity,
    /// When.
    pub proposed_at: Timestamp,
    /// Why, in the words of the approver.
    pub reason: String,
}

impl Predicate for ProposedWaiver {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/waiver/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.proposed_at)
    }
}

impl Word for ProposedWaiver {
    fn key(&self) -> RecordKey {
        RecordKey::ProposedWaiver(self.stage.clone(), self.waiver_id.clone())
    }
}

impl ProposedWaiver {
    /// What somebody who asks proposes.
    #[must_use]
    pub fn of(request: &WaiveRequest, waiver_id: WaiverId, proposed_by: Identity, now: Timestamp) -> Self {
        let WaiveRequest { stage, repo, commit_sha, code, until, reason, .. } = request.clone();
        Self {
            schema_version: 1,
            waiver_id,
            stage,
            repo,
            commit_sha,
            code,
            until,
            proposed_by,
            proposed_at: now,
            reason,
        }
    }

    /// Whether this is what a waiver was agreed on.
    #[must_use]
    pub fn is_of(&self, waiver: &Waiver) -> bool {
        let Waiver { id, repo, commit_sha, code, until, reason, proposed_by, .. } = waiver;
        (&self.waiver_id, &self.repo, &self.commit_sha) == (id, repo, commit_sha)
            && (&self.code, &self.until, &self.reason) == (code, until, reason)
            && self.proposed_by.person == *proposed_by
    }
}

/// A proposal as it was read, and whether it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenProposal {
    /// What it says.
    pub stored: Stored<SignedWord<ProposedWaiver>>,
    /// Why it is nobody's word, where it isn't.
    pub not_proved: Option<NotProved>,
}

impl GivenProposal {
    /// Reads a proposal; `None` where there is none.
    ///
    /// # Errors
    /// [`RecordError`] where it can't be read.
    pub async fn read(
        records: &impl ReadStore,
        place: &RecordKey,
        keys: &TrustedKeys,
    ) -> Result<Option<Self>, RecordError> {
        let stored = record::read::<SignedWord<ProposedWaiver>>(records, place).await?;
        Ok(stored.map(|stored| Self { not_proved: stored.record.proof(place, keys).err(), stored }))
    }

    /// What it says.
    #[must_use]
    pub fn word(&self) -> &ProposedWaiver {
        &self.stored.record.word
    }

    /// Every reason why a person can't agree to it now.
    #[must_use]
    pub fn why_not(&self, person: &Person, identities: &Identities, now: Timestamp) -> Vec<String> {
        if let Some(why) = &self.not_proved {
            return vec![format!("the proposal is not proved: {why}; it must be proposed again")];
        }
        let ProposedWaiver { code, until, proposed_by, proposed_at, .. } = self.word();
        // Of whatever wrote and signed it: the terms are looked at here too.
        let mut wrong: Vec<_> = wrong_terms(*code, *until, *proposed_at);
        if *until <= now {
            wrong.push(format!("it was until {until:.0}"));
        }
        if identities.same(&proposed_by.person, person) {
            wrong.push(format!("`{person}` proposed it, and somebody else must agree"));
        }
        for person in [&proposed_by.person, person] {
            if identities.place(person.as_str()) == Placed::Nobody {
                wrong.push(format!("`{person}` is nobody, says `config/identities.json`"));
            }
        }
        wrong
    }

    /// What is agreed on.
    #[must_use]
    pub fn agreed(&self, agreed_by: Person, agreed_at: Timestamp) -> Waiver {
        let word = self.word().clone();
        let key = word.key().to_string();
        let ProposedWaiver { waiver_id: id, repo, commit_sha, code, until, reason, proposed_by, .. } = word;
        let (version_id, sha256) = (Some(self.stored.version_id.clone()), self.stored.sha256);
        Waiver {
            id,
            repo,
            commit_sha,
            code,
            until,
            reason,
            proposed_by: proposed_by.person,
            agreed_by,
            agreed_at,
            proposal: RecordDigest { key, version_id, sha256 },
        }
    }
}

/// A waiver without which a promotion would have been refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedWaiver {
    /// What two people had agreed on.
    pub waiver: Waiver,
    /// What it set aside.
    pub finding: Finding,
}

impl UsedWaiver {
    /// What it set aside, and by whose word.
    #[must_use]
    pub fn told(&self) -> Finding {
        let Waiver { id, until, reason, proposed_by, agreed_by, .. } = &self.waiver;
        let Finding { code, subject, message } = &self.finding;
        let message =
            format!("{message}; waived until {until:.0} by `{proposed_by}` and `{agreed_by}` (`{id}`): {reason}");
        Finding::new(*code, subject.clone(), message)
    }
}

/// The entry of the ledger from which on a waiver counts.
#[must_use]
pub fn agreeing(waiver: &Waiver, why: &str) -> Event {
    let by = waiver.proposed_by.as_str();
    Event { approved_by: vec![waiver.agreed_by.clone()], ..event(Kind::Waiver, waiver, by, why, "waived") }
}

/// The entry of the ledger from which on a waiver counts no more.
#[must_use]
pub fn ending(waiver: &Waiver, by: &str, why: &str) -> Event {
    event(Kind::WaiverEnd, waiver, by, why, "ended")
}

fn event(kind: Kind, waiver: &Waiver, by: &str, reason: &str, outcome: &str) -> Event {
    Event {
        kind,
        id: format!("{}/{}", kind.as_str(), waiver.id),
        commit_sha: waiver.commit_sha.clone(),
        promotion_id: None,
        by: by.to_owned(),
        approved_by: Vec::new(),
        reason: reason.to_owned(),
        outcome: outcome.to_owned(),
        findings: Vec::new(),
        findings_left_out: 0,
        record: Some(waiver.proposal.clone()),
        break_glass: false,
        manifest_version_id: None,
        stage_record: None,
        hold: None,
        waiver: Some(Box::new(waiver.clone())),
        attestations: Vec::new(),
        hand_over: None,
    }
}

/// What a waiver is for, in words.
#[must_use]
pub fn scope(repo: &Repo, commit_sha: Option<&CommitSha>) -> String {
    match commit_sha {
        Some(sha) => Commit { repo: repo.clone(), sha: sha.clone() }.to_string(),
        None => format!("every commit of {repo}"),
    }
}

#[cfg(test)]
#[path = "waiver_tests.rs"]
mod tests;
