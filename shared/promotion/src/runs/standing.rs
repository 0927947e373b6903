//! Whether what a runner left at a stage still stands: what `judge-run` is asked for it, and what it answers.
//!
//! Of a Pulumi stack the backend tells whether anybody updated it since. Whether its resources are as its state says only a
//! refresh can tell, which a runner does on a schedule and reports.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{RunName, Sha256},
    store_key::RecordKey,
};
use gatekeeper_readers::pulumi::backend::Look;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::pulumi::PulumiProof;
use crate::step::PromotionRef;

/// After this long a report of a refresh tells nothing of the present: it is made once a day.
pub const REPORT_HOLDS: SignedDuration = SignedDuration::from_hours(48);

/// What a refresh said of a stack: `promotions/{stage}/{repo}/{promotion_id}/runs/pulumi/refreshed.json`, the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// 1.
    pub schema_version: u32,
    /// When it was reported.
    pub reported_at: Timestamp,
    /// Who reported it, in his own words.
    pub reported_by: String,
    /// How many resources differ from the state, by Pulumi's word for it; empty where none does.
    pub differing: BTreeMap<String, u64>,
}

impl Refreshed {
    /// Where that of a promotion lies.
    #[must_use]
    pub fn key(promotion: &PromotionRef) -> RecordKey {
        let PromotionRef { stage, repo, promotion_id } = promotion.clone();
        RecordKey::RunRefreshed(stage, repo, promotion_id, RunName::pulumi())
    }
}

/// The report of a refresh: the event of `judge-run` from whoever made one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEvent {
    /// The report.
    pub refreshed: Report,
}

/// The report of a refresh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The promotion that brought what the stack is.
    pub promotion: PromotionRef,
    /// Who reports it, in his own words.
    pub reported_by: String,
    /// How many resources differ from the state, by Pulumi's word for it; empty where none does.
    pub differing: BTreeMap<String, u64>,
}

/// What becomes of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum ReportAnswer {
    /// It is written down.
    Reported,
    /// It is not taken, and nothing was written.
    NotTaken {
        /// Why.
        why: String,
    },
}

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
    /// What a refresh said last.
    pub refreshed: Option<Refreshed>,
}

impl StackNow {
    /// What a look at the backend comes to, beside what the promotion's update left.
    #[must_use]
    pub fn of(proof: &PulumiProof, look: &Look, refreshed: Option<Refreshed>) -> Self {
        let after = look.entries.iter().take_while(|it| it.key != proof.history_key).next();
        let after = after.map(|entry| match &entry.update {
            Ok(update) => format!("`{}` of {}, `{}`", update.kind, update.started_at, entry.key),
            Err(why) => format!("`{}`, which can't be read: {why}", entry.key),
        });
        Self {
            is_locked: look.is_locked,
            has_update: look.entries.iter().any(|it| it.key == proof.history_key && it.sha256 == proof.history_sha256),
            after,
            state_sha256: look.state.as_ref().map(|it| it.sha256),
            refreshed,
        }
    }
}
