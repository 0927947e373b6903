//! One promotion at a time per stage and repository: `locks/{stage}/{repo}.json`.
//!
//! The lock is an object that is written under a condition and never deleted; who holds it is proved dead by its
//! execution, not by a clock alone.

use gatekeeper_model::ids::PromotionId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long an execution may be about to start: far longer than `promote` itself may run.
pub const STARTING: SignedDuration = SignedDuration::from_secs(120);

/// Who promotes, or promoted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// 1.
    pub schema_version: u32,
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Its execution.
    pub execution_arn: String,
    /// Since when.
    pub taken_at: Timestamp,
    /// Until when; none while it is held.
    pub released_at: Option<Timestamp>,
}

/// What Step Functions says of the holder's execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// It runs, or waits to be redriven by hand.
    Running,
    /// It has ended, one way or another.
    Ended,
    /// There is none.
    Unknown,
}

impl Lock {
    /// A lock that is held from `now` on.
    #[must_use]
    pub fn held(promotion_id: PromotionId, execution_arn: String, now: Timestamp) -> Self {
        Self { schema_version: 1, promotion_id, execution_arn, taken_at: now, released_at: None }
    }

    /// Whether somebody else may take it, given what his execution is.
    #[must_use]
    pub fn may_be_taken(&self, execution: Execution, now: Timestamp) -> bool {
        self.released_at.is_some()
            || match execution {
                Execution::Running => false,
                Execution::Ended => true,
                Execution::Unknown => now.duration_since(self.taken_at) > STARTING,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_over_only_when_its_execution_is_proved_dead() {
        let taken = Timestamp::UNIX_EPOCH;
        let id: PromotionId = "01J0000000000000000000000A".parse().unwrap();
        let lock = Lock::held(id, "arn".to_owned(), taken);
        let check = |lock: &Lock, execution, seconds, free| {
            let now = taken + SignedDuration::from_secs(seconds);
            assert_eq!(lock.may_be_taken(execution, now), free, "{execution:?} after {seconds} s");
        };
        check(&lock, Execution::Running, 1_000_000, false);
        check(&lock, Execution::Ended, 0, true);
        check(&lock, Execution::Unknown, 120, false);
        check(&lock, Execution::Unknown, 121, true);
        let released = Lock { released_at: Some(taken), ..lock };
        check(&released, Execution::Running, 0, true);
    }
}
