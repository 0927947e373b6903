//! What others are told of as it happens: an event of EventBridge for each (EventBridge user guide, "Events").
//!
//! A notification is a hint to look and no evidence: it may be lost, and whoever may write to the bus may write another.
//! So it carries names and codes, and nothing that somebody wrote as free text.

use serde::{Deserialize, Serialize};

use crate::{
    finding::{Code, Finding},
    ids::{Commit, CommitSha, PromotionId, Repo, StageName},
};

/// Where every notification says that it comes from: what rules and the functions' rights match.
pub const SOURCE: &str = "artefact-gatekeeper";

/// The most codes that a notification names; the records have the rest.
const MAX_CODES: usize = 20;

/// What has happened: the event's `detail-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Happened {
    /// A commit was judged anew.
    #[serde(rename = "Verdict Changed")]
    VerdictChanged,
    /// A promotion was refused, and people's approvals are among what it lacks.
    #[serde(rename = "Approval Wanted")]
    ApprovalWanted,
    /// A promotion is under way.
    #[serde(rename = "Promotion Started")]
    PromotionStarted,
    /// A promotion failed; its `outcome` says whether the commit before is being brought back.
    #[serde(rename = "Promotion Failed")]
    PromotionFailed,
    /// The stage runs the commit.
    #[serde(rename = "Promotion Succeeded")]
    PromotionSucceeded,
    /// A promotion failed, and the commit before runs again.
    #[serde(rename = "Promotion Rolled Back")]
    PromotionRolledBack,
    /// A stage is no longer as its last promotion left it.
    #[serde(rename = "Drift Found")]
    DriftFound,
    /// A difference is gone.
    #[serde(rename = "Drift Resolved")]
    DriftResolved,
    /// A stage is held.
    #[serde(rename = "Stage Held")]
    StageHeld,
    /// An approver has released a stage.
    #[serde(rename = "Stage Released")]
    StageReleased,
}

impl Happened {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::VerdictChanged,
        Self::ApprovalWanted,
        Self::PromotionStarted,
        Self::PromotionFailed,
        Self::PromotionSucceeded,
        Self::PromotionRolledBack,
        Self::DriftFound,
        Self::DriftResolved,
        Self::StageHeld,
        Self::StageReleased,
    ];
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// What has happened.
    #[serde(rename = "detail-type")]
    pub happened: Happened,
    /// The facts.
    pub detail: Detail,
}

/// The facts of a notification. What doesn't apply is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// 1.
    pub schema_version: u32,
    /// The stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageName>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<Repo>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<PromotionId>,
    /// The verdict's outcome, or the promotion's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Who did it or asked for it: a person or an ARN as AWS named them, or who they say they are where the answer tells no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was found, each code once, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
    /// The command that tells more.
    pub look: String,
}

impl Notification {
    /// Of a commit, whatever its stage.
    #[must_use]
    pub fn of_commit(happened: Happened, commit: &Commit) -> Self {
        let Commit { repo, sha } = commit;
        let look = format!("gatekeeper show {sha} --repo {repo}");
        let detail = Detail { repo: Some(repo.clone()), commit_sha: Some(sha.clone()), ..Detail::new(look) };
        Self { happened, detail }
    }

    /// Of a repository on a stage.
    #[must_use]
    pub fn of_stage(happened: Happened, stage: &StageName, repo: Option<&Repo>) -> Self {
        let mut look = format!("gatekeeper status --stage {stage}");
        if let Some(repo) = repo {
            look = format!("{look} --repo {repo}");
        }
        let detail = Detail { stage: Some(stage.clone()), repo: repo.cloned(), ..Detail::new(look) };
        Self { happened, detail }
    }

    /// The same with the codes of these findings.
    #[must_use]
    pub fn with_findings<'a>(self, findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        self.with_codes(findings.into_iter().map(|it| it.code))
    }

    /// The same with these codes.
    #[must_use]
    pub fn with_codes(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        let mut codes: Vec<_> = codes.into_iter().collect();
        codes.sort_unstable();
        codes.dedup();
        codes.truncate(MAX_CODES);
        self.detail.codes = codes;
        self
    }
}

impl Detail {
    fn new(look: String) -> Self {
        Self { schema_version: 1, look, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SAMPLES: [&str; 10] = [
        include_str!("../../../events/notifications/verdict-changed.json"),
        include_str!("../../../events/notifications/approval-wanted.json"),
        include_str!("../../../events/notifications/promotion-started.json"),
        include_str!("../../../events/notifications/promotion-failed.json"),
        include_str!("../../../events/notifications/promotion-succeeded.json"),
        include_str!("../../../events/notifications/promotion-rolled-back.json"),
        include_str!("../../../events/notifications/drift-found.json"),
        include_str!("../../../events/notifications/drift-resolved.json"),
        include_str!("../../../events/notifications/stage-held.json"),
        include_str!("../../../events/notifications/stage-released.json"),
    ];

    #[test]
    fn each_sample_is_a_notification_and_each_notification_has_one() {
        let samples = SAMPLES.map(|sample| serde_json::from_str::<serde_json::Value>(sample).unwrap());
        let mut seen = BTreeSet::new();
        for mut sample in samples {
            let envelope = sample.as_object_mut().unwrap();
            assert_eq!(envelope["source"], SOURCE);
            envelope.retain(|name, _| ["detail-type", "detail"].contains(&name.as_str()));
            let read: Notification = serde_json::from_value(sample.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), sample, "nothing of it was lost");
            seen.insert(read.happened);
        }
        assert_eq!(seen, Happened::ALL.into());
    }

    #[test]
    fn codes_are_named_once_and_bounded() {
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: "a".repeat(40).parse().unwrap() };
        let finding = |code| Finding::new(code, "subject", "what somebody wrote");
        let findings = [finding(Code::NotBuilt), finding(Code::ApprovalsMissing), finding(Code::NotBuilt)];
        let told = Notification::of_commit(Happened::ApprovalWanted, &commit).with_findings(&findings);
        assert_eq!(told.detail.codes.len(), 2);
        assert!(!serde_json::to_string(&told).unwrap().contains("somebody"));
        let many = Notification::of_commit(Happened::VerdictChanged, &commit)
            .with_codes(Code::ALL.iter().map(|(code, _)| *code));
        assert_eq!(many.detail.codes.len(), MAX_CODES);
    }
}
