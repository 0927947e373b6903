//! The ledger: what was asked of a stage and what became of it, in an order that nobody can change afterwards.
//!
//! There is a chain for each stage and repository, one of the gate's own for each repository, which tells revocations, and one
//! for each stage of what holds it.
//! An entry carries the SHA-256 of the one before and is never written again. The head is a signed statement about the
//! newest entry, with that entry in it, and is written first: so an entry is signed before it is stored, what was left
//! unwritten is written by whoever comes next, and a chain whose tail was cut off doesn't end where its head says.

mod append;
#[cfg(test)]
mod hand_over_tests;
mod prove;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use append::{Appended, LedgerError, append};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::Person,
    ids::{Chain, Commit, CommitSha, HoldId, PromotionId, Repo, Sha256, StageName, VersionId, WaiverId},
};
use gatekeeper_store::{ReadStore, StoreError};
use jiff::Timestamp;
pub use prove::{
    Break, Kept, Proof, StoredEntry, entry_at, head_of, newest_of, prove, prove_whole, read_since, signed_head,
    standing_in, unproved_standing_in, verify,
};
use serde::{Deserialize, Serialize};
pub use standing::{Standing, StandingError, standing, standing_of};

use crate::{NAMESPACE, Predicate, PublicKey};

/// The chains of which something lies in a bucket, by its folders: `folder` tells where those of a stage or of every stage lie.
///
/// # Errors
/// [`StoreError`] where it could not look.
pub async fn chains(
    store: &impl ReadStore,
    folder: impl Fn(Option<&StageName>) -> String,
) -> Result<BTreeSet<Chain>, StoreError> {
    let mut chains = BTreeSet::new();
    for stage in store.folders(&folder(None)).await? {
        let Ok(stage) = stage.parse::<StageName>() else { continue };
        let repos = store.folders(&folder(Some(&stage))).await?;
        let repos = repos.iter().filter_map(|repo| repo.parse().ok());
        chains.extend(repos.map(|repo| Chain { stage: stage.clone(), repo }));
    }
    Ok(chains)
}

/// The largest entry or head that is read back, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// How many findings an entry tells, and how long the message of each is: the head holds it whole.
const MAX_FINDINGS: usize = 50;
const MAX_MESSAGE_CHARS: usize = 500;

/// One entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1.
    pub schema_version: u32,
    /// The chain.
    #[serde(flatten)]
    pub chain: Chain,
    /// Its place, from 1.
    pub sequence: u64,
    /// The SHA-256 of the bytes of the entry before; none in the first.
    pub previous_sha256: Option<Sha256>,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What kind of thing happened.
    pub kind: Kind,
    /// What tells this event from every other one of its chain, so that writing it twice writes it once.
    pub id: String,
    /// The commit that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The promotion that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<PromotionId>,
    /// Who asked for it or did it, as far as it is known.
    pub by: String,
    /// Who approved it, as AWS named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Person>,
    /// Why, as they said.
    pub reason: String,
    /// What became of it, in a word, such as `succeeded`.
    pub outcome: String,
    /// Every reason for a refusal, every finding of a drift.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub findings_left_out: usize,
    /// The record that tells everything, by its key and the SHA-256 of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordDigest>,
    /// Whether the stage's rules were set aside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
    /// The version of the commit's manifest that a revocation takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_version_id: Option<VersionId>,
    /// The document that tells what the stage runs from then on, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_record: Option<RecordDigest>,
    /// What holds a stage from then on, or held it until then: in a chain of what holds a stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What two people waive from then on, or waived until then: in a chain of what holds a stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Box<Waiver>>,
    /// What was signed of a promotion, by its bytes: so that it counts when its key is revoked later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<RecordDigest>,
    /// To which key the chain was handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOver>,
}

/// That a stage is held: nothing new is promoted to it until somebody releases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which one: its release names it.
    pub id: HoldId,
    /// Who holds it, as AWS named them.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, as they said.
    pub reason: String,
    /// Who had asked for the promotions that were under way then, and were sent back: one of them alone doesn't release it
    /// where the stage asks for approvals.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub interrupted: BTreeSet<Person>,
}

/// That a rule of a stage does not bind a repository, or one commit of it, until a time: as two people agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Which one.
    pub id: WaiverId,
    /// The repository.
    pub repo: Repo,
    /// The only commit that it is for; any of the repository where it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The rule, by the code of the refusals that it sets aside.
    pub code: Code,
    /// From when on it counts no more.
    pub until: Timestamp,
    /// Why, in the words of who proposed it.
    pub reason: String,
    /// Who proposed it, as AWS named them: a session of the approver's role.
    pub proposed_by: Person,
    /// Who agreed to it, as AWS named them: a session of the promoter's role.
    pub agreed_by: Person,
    /// Since when it counts.
    pub agreed_at: Timestamp,
    /// The proposal, which `approve` has signed.
    pub proposal: RecordDigest,
}

impl Waiver {
    /// Whether it is about this rule and commit, at whatever time.
    #[must_use]
    pub fn is_about(&self, code: Code, commit: &Commit) -> bool {
        self.code == code && self.repo == commit.repo && self.commit_sha.as_ref().is_none_or(|sha| *sha == commit.sha)
    }
}

/// That a chain goes on under another key: the new one signs it, over the last head of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// The fingerprint of the key that signed the chain so far.
    pub from: Sha256,
    /// The fingerprint of the key that signs it from now on.
    pub to: Sha256,
    /// The SHA-256 of the last head that the key before signed.
    pub head_sha256: Sha256,
}

impl Event {
    /// That a chain goes on under another key.
    fn handed_over(from: &PublicKey, to: &PublicKey, head: &[u8]) -> Self {
        let (from, to) = (from.fingerprint(), to.fingerprint());
        Self {
            kind: Kind::KeyHandOver,
            id: format!("key-hand-over/{to}"),
            commit_sha: None,
            promotion_id: None,
            by: "artefact-gatekeeper".to_owned(),
            approved_by: Vec::new(),
            reason: format!("the trust root names the key `{to}`"),
            outcome: "handed-over".to_owned(),
            findings: Vec::new(),
            findings_left_out: 0,
            record: None,
            break_glass: false,
            manifest_version_id: None,
            stage_record: None,
            hold: None,
            waiver: None,
            attestations: Vec::new(),
            hand_over: Some(HandOver { from, to, head_sha256: Sha256::of(head) }),
        }
    }

    /// The same in so many words as an entry may have: somebody may be refused for thousands of reasons.
    fn bounded(mut self) -> Self {
        self.findings_left_out += self.findings.len().saturating_sub(MAX_FINDINGS);
        self.findings.truncate(MAX_FINDINGS);
        for Finding { message, .. } in &mut self.findings {
            if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
                message.replace_range(end.., "…");
            }
        }
        self
    }
}

#[cfg(any(test, feature = "test-support"))]
impl Event {
    /// An event that tells nothing but what it must, for tests.
    #[must_use]
    pub fn bare(kind: Kind, id: impl Into<String>, outcome: &str) -> Self {
        Self {
            kind,
            id: id.into(),
            commit_sha: None,
            promotion_id: None,
            by: "jane@bank.example".to_owned(),
            approved_by: Vec::new(),
            reason: "release".to_owned(),
            outcome: outcome.to_owned(),
            findings: Vec::new(),
            findings_left_out: 0,
            record: None,
            break_glass: false,
            manifest_version_id: None,
            stage_record: None,
            hold: None,
            waiver: None,
            attestations: Vec::new(),
            hand_over: None,
        }
    }
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A promotion ended, whatever became of it.
    Promotion,
    /// A rollback ended, whatever became of it.
    Rollback,
    /// A request was refused.
    Refusal,
    /// A Built commit was taken back.
    Revocation,
    /// What runs is no longer what was promoted, or is again.
    Drift,
    /// A stage is held.
    Hold,
    /// A stage that was held isn't any more.
    Release,
    /// Two people waive a rule of a stage until a time.
    Waiver,
    /// What two people waived counts no more, before its time.
    WaiverEnd,
    /// The chain goes on under another key.
    KeyHandOver,
}

impl Kind {
    /// The word, as it stands in entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Rollback => "rollback",
            Self::Refusal => "refusal",
            Self::Revocation => "revocation",
            Self::Drift => "drift",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Waiver => "waiver",
            Self::WaiverEnd => "waiver-end",
            Self::KeyHandOver => "key-hand-over",
        }
    }
}

/// A record by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDigest {
    /// Its key in the records bucket.
    pub key: String,
    /// Its version, where a later one may follow; `None` where it is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<VersionId>,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// What a chain's head says of the entry that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerHead {
    /// The chain.
    #[serde(flatten)]
    pub chain: Chain,
    /// The place of its newest entry.
    pub sequence: u64,
    /// When that was written.
    pub recorded_at: Timestamp,
    /// The entry itself, byte for byte.
    pub entry: String,
    /// What holds by all entries; `None` in heads of before they told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

impl Predicate for LedgerHead {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/ledger-head/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.recorded_at)
    }
}

// The two spellings of the namespace can't drift apart.
const _: () = {
    let (of, prefix) = (LedgerHead::TYPE.as_bytes(), NAMESPACE.as_bytes());
    let mut at = 0;
    while at < prefix.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        let same = of[at] == prefix[at];
        assert!(same);
        at += 1;
    }
};
