//! What a stage runs now and what it ran before: `stages/{stage}/{repo}.json`.

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, CommitSha, PromotionId, Repo, Sha256, StageName, VersionId},
    store_key::RecordKey,
};
use gatekeeper_proof::{Authority, PublicKeys, ledger};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many completed promotions a stage's history keeps; the records themselves are kept for good.
const MAX_HISTORY: usize = 200;

/// What a stage runs of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageState {
    /// 1.
    pub schema_version: u32,
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The commit that runs.
    pub commit_sha: CommitSha,
    /// The promotion that brought it.
    pub promotion_id: PromotionId,
    /// Since when.
    pub since: Timestamp,
    /// Every completed promotion, oldest first, the present one last.
    pub history: Vec<Completed>,
}

/// A promotion that completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The commit.
    pub commit_sha: CommitSha,
    /// The promotion.
    pub promotion_id: PromotionId,
    /// The manifest that was promoted; none in histories of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_version_id: Option<VersionId>,
    /// When it completed.
    pub completed_at: Timestamp,
    /// Whether it was a rollback.
    pub rollback: bool,
}

impl StageState {
    /// The state after one more completed promotion; the same state where it is in the history already.
    #[must_use]
    pub fn after(before: Option<Self>, stage: &StageName, repo: &Repo, completed: Completed) -> Self {
        let mut history = match before {
            Some(state) if state.history.iter().any(|it| it.promotion_id == completed.promotion_id) => return state,
            Some(state) => state.history,
            None => Vec::new(),
        };
        history.push(completed.clone());
        let surplus = history.len().saturating_sub(MAX_HISTORY);
        history.drain(..surplus);
        Self {
            schema_version: 1,
            stage: stage.clone(),
            repo: repo.clone(),
            commit_sha: completed.commit_sha,
            promotion_id: completed.promotion_id,
            since: completed.completed_at,
            history,
        }
    }

    /// The commit before the present one: what a rollback without a commit goes back to.
    ///
    /// A promotion goes on top of what ran; a rollback takes off what lies above its commit. So a second rollback
    /// goes one further back and never forward to what was just rolled back.
    #[must_use]
    pub fn one_before(&self) -> Option<&CommitSha> {
        let mut stack = self.standing();
        stack.pop()?;
        stack.pop()
    }

    /// Whether a commit was promoted to the stage and no rollback has taken it off since; other commits may have
    /// followed it.
    #[must_use]
    pub fn stands(&self, commit: &CommitSha) -> bool {
        self.standing().contains(&commit)
    }

    /// How long the stage ran the commit in all, as of a version of its manifest, up to `now`.
    #[must_use]
    pub fn time_run(&self, commit: &CommitSha, manifest_version_id: &VersionId, now: Timestamp) -> SignedDuration {
        let ends = self.history.iter().skip(1).map(|next| next.completed_at).chain([now]);
        let spans = self.history.iter().zip(ends);
        let is_it = |completed: &Completed| {
            completed.commit_sha == *commit && completed.manifest_version_id.as_ref() == Some(manifest_version_id)
        };
        let spans = spans.filter(|(completed, _)| is_it(completed));
        let lengths = spans.map(|(completed, end)| completed.completed_at.duration_until(end));
        lengths.filter(SignedDuration::is_positive).sum()
    }

    /// The commits that were promoted one on top of the other, less those that rollbacks took off.
    fn standing(&self) -> Vec<&CommitSha> {
        let mut stack: Vec<&CommitSha> = Vec::new();
        for completed in &self.history {
            let at = stack.iter().position(|commit| **commit == completed.commit_sha);
            match at {
                Some(at) if completed.rollback => stack.truncate(at + 1),
                _ if stack.last() == Some(&&completed.commit_sha) => {}
                _ => stack.push(&completed.commit_sha),
            }
        }
        stack
    }

    /// The promotion whose commit the stage ran at a time, or runs now; `None` where it ran nothing yet, or where the history
    /// doesn't go back so far.
    #[must_use]
    pub fn present_at(&self, at: Option<Timestamp>) -> Option<Completed> {
        let Some(at) = at else {
            return Some(Completed {
                commit_sha: self.commit_sha.clone(),
                promotion_id: self.promotion_id.clone(),
                manifest_version_id: self.history.last().and_then(|last| last.manifest_version_id.clone()),
                completed_at: self.since,
                rollback: self.history.last().is_some_and(|last| last.rollback),
            });
        };
        self.history.iter().rev().find(|completed| completed.completed_at <= at).cloned()
    }

    /// Whether the history tells what ran at a time: it keeps the newest promotions only.
    #[must_use]
    pub fn goes_back_to(&self, at: Timestamp) -> bool {
        self.history.len() < MAX_HISTORY || self.history.first().is_some_and(|first| first.completed_at <= at)
    }

    /// The last completed promotion of a commit to this stage.
    #[must_use]
    pub fn promotion_of(&self, commit: &CommitSha) -> Option<&Completed> {
        self.history.iter().rev().find(|completed| completed.commit_sha == *commit)
    }
}

/// Where the document of what a stage runs isn't the one that the head of the stage's chain was signed over, as far as that
/// head tells; heads of before they told it tell nothing. `stored` is the document's SHA-256; `None` where there is none. That
/// a head proves nothing is a finding of its own.
#[must_use]
pub fn altered_record(
    chain: &Chain,
    stored: Option<Sha256>,
    head: Option<&[u8]>,
    keys: &PublicKeys,
) -> Option<Finding> {
    let Some(head) = head else { return stored.map(|_| without_head(chain)) };
    let signed = ledger::standing_in(head, chain, keys.of(Authority::of(chain))).ok()??.stage_record?;
    let message = match stored {
        Some(sha256) if sha256 == signed.sha256 => return None,
        Some(sha256) => format!(
            "its SHA-256 is `{sha256}`, and the stage's ledger was signed over `{}`: somebody changed it, or a promotion is \
             being recorded right now",
            signed.sha256
        ),
        None => format!("it is gone, and the stage's ledger was signed over `{}`", signed.sha256),
    };
    Some(Finding::new(Code::StageRecordAltered, signed.key, message))
}

/// Why the document of what a stage runs is nobody's word: what another stage requires counts only where a head that holds was
/// signed over it. The stage's next promotion signs it.
#[must_use]
pub fn unsigned_record(chain: &Chain, stored: Sha256, head: Option<&[u8]>, keys: &PublicKeys) -> Option<Finding> {
    let finding = |message: String| Finding::new(Code::StageRecordAltered, document_key(chain), message);
    let Some(held) = head else { return Some(without_head(chain)) };
    match ledger::standing_in(held, chain, keys.of(Authority::of(chain))) {
        Err(error) => Some(finding(format!(
            "the head of the stage's ledger proves nothing: {error}; see `gatekeeper ledger verify`"
        ))),
        Ok(standing) if standing.as_ref().is_none_or(|it| it.stage_record.is_none()) => Some(finding(format!(
            "the stage's ledger is of before it was signed over what the stage runs; promote to `{}` again",
            chain.stage
        ))),
        Ok(_) => altered_record(chain, Some(stored), head, keys),
    }
}

fn without_head(chain: &Chain) -> Finding {
    let head = RecordKey::LedgerHead(chain.clone());
    let message = format!("nobody has signed it: the head of the stage's ledger, `{head}`, is gone");
    Finding::new(Code::StageRecordAltered, document_key(chain), message)
}

fn document_key(chain: &Chain) -> String {
    RecordKey::Stage(chain.stage.clone(), chain.repo.clone()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a b c` are promotions, `<a` is a rollback to `a`.
    fn state(story: &str) -> StageState {
        let mut state = None;
        for (index, step) in story.split_whitespace().enumerate() {
            let commit = step.trim_start_matches('<');
            let completed = Completed {
                commit_sha: commit.repeat(40).parse().unwrap(),
                promotion_id: format!("{index:026}").parse().unwrap(),
                manifest_version_id: Some("v1".into()),
                completed_at: Timestamp::UNIX_EPOCH + SignedDuration::from_mins(10 * i64::try_from(index).unwrap()),
                rollback: step.starts_with('<'),
            };
            state = Some(StageState::after(state, &"uat".parse().unwrap(), &"bank-kyc".parse().unwrap(), completed));
        }
        state.unwrap()
    }

    #[test]
    fn a_rollback_goes_one_back_and_never_rolls_back_a_rollback() {
        for (story, before) in [
            ("a", None),
            ("a b", Some("a")),
            ("a b c", Some("b")),
            ("a b <a", None),
            ("a b c <b", Some("a")),
            ("a b c <a", None),
            ("a b <a c", Some("a")),
            ("a b b", Some("a")),
            ("a b a", Some("b")),
        ] {
            let expected = before.map(|commit| commit.repeat(40));
            assert_eq!(state(story).one_before().map(ToString::to_string), expected, "{story}");
        }
    }

    #[test]
    fn a_commit_stands_until_a_rollback_takes_it_off() {
        for (story, standing) in
            [("a", "a"), ("a b", "ab"), ("a b <a", "a"), ("a b <a c", "ac"), ("a b <a b", "ab"), ("a b a", "ab")]
        {
            let state = state(story);
            let stands = |commit: &&str| state.stands(&commit.repeat(40).parse().unwrap());
            assert_eq!(["a", "b", "c"].into_iter().filter(stands).collect::<String>(), standing, "{story}");
        }
    }

    #[test]
    fn the_time_that_a_stage_ran_a_commit_adds_up_over_its_intervals() {
        // A promotion each ten minutes, and it is an hour after the first.
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(60);
        for (story, minutes) in [("b", 0), ("a", 60), ("b a", 50), ("a b", 10), ("a b a", 50), ("a a b <a", 50)] {
            let run =
                |version: &str| state(story).time_run(&"a".repeat(40).parse().unwrap(), &version.into(), now).as_mins();
            assert_eq!((run("v1"), run("v2")), (minutes, 0), "{story}");
        }
    }

    #[test]
    fn the_same_promotion_completes_once() {
        let one = state("a b");
        let last = one.history.last().unwrap().clone();
        let again = StageState::after(Some(one.clone()), &one.stage, &one.repo, last);
        assert_eq!(again, one);
    }

    #[test]
    fn the_history_is_bounded() {
        let story = "a b ".repeat(300);
        assert_eq!(state(&story).history.len(), MAX_HISTORY);
    }
}
