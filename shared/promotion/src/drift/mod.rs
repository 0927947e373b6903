//! Where a stage differs from what its last promotion put there: `drift/{stage}/{repo}.json`.
//!
//! The document is written before anybody is told, and says what has been told: so each change is told once, and a run
//! that was killed in between leaves its telling to the next one.

mod compare;
mod request;
mod runs;
#[cfg(test)]
mod telling_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use compare::{
    DatabaseLook, Look, ObjectLook, Origin, Promoted, StackDrift, StackLook, compare, promoted_digests,
    promoted_versions,
};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{CommitSha, PromotionId, Repo, Sha256, StageName},
};
use jiff::{SignedDuration, Timestamp};
pub use request::WatchRequest;
use serde::{Deserialize, Serialize};

use crate::{history::StageState, lock::Lock};

/// How often a document is written again although nothing has changed: each version is kept for years.
const CONFIRMED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The longest that a promotion takes: the `TimeoutSeconds` of the state machine. A lock that is held for longer is that
/// of an execution which died without releasing it.
const LONGEST_PROMOTION: SignedDuration = SignedDuration::from_hours(4);

/// Where a stage differs from what its last promotion put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// 1.
    pub schema_version: u32,
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The commit that the stage should run.
    pub commit_sha: CommitSha,
    /// The promotion that brought it.
    pub promotion_id: PromotionId,
    /// When it was looked at; where nothing changes this is written once an hour.
    pub checked_at: Timestamp,
    /// When what is found changed last.
    pub changed_at: Timestamp,
    /// When the databases, and the backends of Pulumi's stacks, were asked last, where the commit has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases_checked_at: Option<Timestamp>,
    /// How far the stage's chain of the ledger was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<ProvedLedger>,
    /// Since when it differs; `None` where it doesn't.
    pub since: Option<Timestamp>,
    /// Each difference.
    pub findings: Vec<Standing>,
    /// What could not be looked at, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The findings that people and the ledger know of. It differs from `findings` only between a change and its telling.
    pub told: Vec<Finding>,
}

/// A difference that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it is.
    #[serde(flatten)]
    pub finding: Finding,
    /// When something was first found wrong there in this way.
    pub first_seen: Timestamp,
}

/// How far a chain of the ledger was proved. A chain that no longer has this entry was changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedLedger {
    /// The newest place that was signed then.
    pub sequence: u64,
    /// The SHA-256 of its entry.
    pub sha256: Sha256,
    /// When the chain was proved from its first entry on.
    pub proved_at: Timestamp,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Each difference, sorted.
    pub findings: Vec<Finding>,
    /// What could not be looked at, in words.
    pub notes: Vec<String>,
    /// Of which kind and about what there could be findings that nobody can tell now: what was found earlier stands.
    pub unseen: BTreeSet<(Code, String)>,
}

/// What has changed since it was last told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is found now and was not, or otherwise.
    pub new: Vec<Finding>,
    /// What was found and no longer is.
    pub resolved: Vec<Finding>,
}

impl Change {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.resolved.is_empty()
    }
}

impl Drift {
    /// The document after a look at a stage.
    #[must_use]
    pub fn after(before: Option<&Self>, state: &StageState, compared: Compared, now: Timestamp) -> Self {
        let Compared { mut findings, notes, unseen } = compared;
        let of_this_promotion = before.filter(|before| before.promotion_id == state.promotion_id);
        let standing = of_this_promotion.into_iter().flat_map(|before| &before.findings).map(|it| &it.finding);
        findings.extend(standing.filter(|it| unseen.contains(&(it.code, it.subject.clone()))).cloned());
        findings.sort();
        findings.dedup();
        let first_seen = |finding: &Finding| {
            let earlier = before.into_iter().flat_map(|before| &before.findings);
            earlier.filter(|it| is_same_trouble(&it.finding, finding)).map(|it| it.first_seen).min().unwrap_or(now)
        };
        let findings: Vec<_> =
            findings.into_iter().map(|finding| Standing { first_seen: first_seen(&finding), finding }).collect();
        let unchanged = before.filter(|before| before.findings == findings);
        Self {
            schema_version: 1,
            stage: state.stage.clone(),
            repo: state.repo.clone(),
            commit_sha: state.commit_sha.clone(),
            promotion_id: state.promotion_id.clone(),
            checked_at: now,
            changed_at: unchanged.map_or(now, |before| before.changed_at),
            ledger: before.and_then(|before| before.ledger.clone()),
            databases_checked_at: of_this_promotion.and_then(|before| before.databases_checked_at),
            since: findings.iter().map(|it| it.first_seen).min(),
            findings,
            notes,
            told: before.map_or_else(Vec::new, |before| before.told.clone()),
        }
    }

    /// What must be told still. A finding whose words have changed is new, and not resolved.
    #[must_use]
    pub fn change(&self) -> Change {
        let now = || self.findings.iter().map(|it| &it.finding);
        Change {
            new: now().filter(|it| !self.told.contains(it)).cloned().collect(),
            resolved: self.told.iter().filter(|told| !now().any(|it| is_same_trouble(it, told))).cloned().collect(),
        }
    }

    /// The same once everything has been told.
    #[must_use]
    pub fn as_told(mut self) -> Self {
        self.told = self.findings.iter().map(|it| it.finding.clone()).collect();
        self
    }

    /// Whether it says more than what is stored: something has changed, or the stored one is old.
    #[must_use]
    pub fn is_worth_writing(&self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return true };
        // That the same chain was proved again, or the same stage looked at, is no news by itself.
        let place = |drift: &Self| drift.ledger.as_ref().map(|it| (it.sequence, it.sha256));
        let same_ledger = place(self) == place(before);
        let same = same_ledger
            && Self { checked_at: before.checked_at, ledger: before.ledger.clone(), ..self.clone() } == *before;
        !same || self.checked_at.duration_since(before.checked_at) >= CONFIRMED_EVERY
    }
}

/// Whether both say the same of the same thing, in whatever words.
fn is_same_trouble(one: &Finding, other: &Finding) -> bool {
    one.code == other.code && one.subject == other.subject
}

/// Whether a promotion is changing the stage right now: what is seen then is neither its old state nor its new one.
#[must_use]
pub fn is_under_way(lock: Option<&Lock>, now: Timestamp) -> bool {
    lock.is_some_and(|lock| lock.released_at.is_none() && now.duration_since(lock.taken_at) < LONGEST_PROMOTION)
}
