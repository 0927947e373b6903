//! Whether what a runner left at a stage still stands: what `judge-run` is asked for it, and what it answers.
//!
//! Of a Pulumi stack the backend tells whether anybody updated it since. Whether its resources are as its state says only a
//! refresh can tell, which a runner makes on a schedule, and whose output it leaves in the backend.

use gatekeeper_model::ids::Sha256;
use gatekeeper_readers::pulumi::backend::{Look, Refresh};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{RunProof, pulumi::PulumiProof};
use crate::{
    facts::RunFacts,
    record::PromotionRecord,
    step::{Direction, PromotionRef},
};

/// After this long a refresh tells nothing of the present: it is made once a day.
pub const REFRESH_HOLDS: SignedDuration = SignedDuration::from_hours(48);

/// How the stacks of a promotion are now: the event of `judge-run` from `watch-drift`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingEvent {
    /// The promotion.
    pub standing: PromotionRef,
}

/// What is there now of a run, or why that can't be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunLook {
    /// A stack of Pulumi's.
    Pulumi(StackNow),
    /// It can't be told, for this reason.
    Unknown(String),
    /// It was asked a short while ago.
    NotAsked,
}

/// A stack of Pulumi's, as its backend has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackNow {
    /// Whether an update is under way.
    pub is_locked: bool,
    /// Whether the history still has the entry of the promotion's update, byte by byte.
    pub has_update: bool,
    /// The newest entry behind it, in words; `None` where there is none.
    pub after: Option<String>,
    /// The SHA-256 of the state; `None` where there is none.
    pub state_sha256: Option<Sha256>,
    /// What a refresh said since the promotion's update.
    pub refresh: Option<Refresh>,
}

impl StackNow {
    /// What a look at the backend comes to, beside what the promotion's update left.
    #[must_use]
    pub fn of(proof: &PulumiProof, look: &Look, refresh: Option<Refresh>) -> Self {
        // The newest comes first, and keys sort by the time.
        let after = look.entries.first().filter(|it| it.key > proof.history_key);
        let after = after.map(|entry| match &entry.update {
            Ok(update) => format!("`{}` of {}, `{}`", update.kind, update.started_at, entry.key),
            Err(why) => format!("`{}`, which can't be read: {why}", entry.key),
        });
        Self {
            is_locked: look.is_locked,
            has_update: look.entries.iter().any(|it| it.key == proof.history_key && it.sha256 == proof.history_sha256),
            after,
            state_sha256: look.state.as_ref().map(|it| it.sha256),
            refresh: refresh.filter(|it| it.left_at >= proof.ended_at),
        }
    }
}

/// What the promotion's update left, as the record of the step tells it.
#[must_use]
pub fn proof_of(record: &PromotionRecord) -> Option<PulumiProof> {
    record.reported::<RunFacts>().find_map(|it| {
        let (direction, report) = it.ok()?;
        match report.facts.proof.read() {
            Ok(Some(RunProof::Pulumi(proof))) if direction == Direction::Forward => Some(proof.clone()),
            _ => None,
        }
    })
}
