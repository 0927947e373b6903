//! What to do next for one stack: a pure function of what CloudFormation says and what this promotion has done.
//!
//! Statuses are those of the CloudFormation API reference (`Stack`, `DescribeChangeSet`).

use aws_sdk_cloudformation::types::{ChangeSetStatus, ChangeSetType, ExecutionStatus, StackStatus};

/// What there is of one stack.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The stack's status; `None` where there is no such stack.
    pub stack: Option<StackStatus>,
    /// This promotion's change set; `None` where it was not made yet or is gone.
    pub change_set: Option<ChangeSet>,
    /// Whether this promotion has executed its change set, as far as its report knows.
    pub executed: bool,
}

/// A change set as it is now.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// Its ARN.
    pub id: String,
    /// How far its making is.
    pub status: ChangeSetStatus,
    /// How far its execution is.
    pub execution: ExecutionStatus,
    /// Why it is in this status.
    pub reason: String,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// CloudFormation is at work: look again later.
    Wait,
    /// Delete what a creation that failed earlier has left, and look again.
    DeleteStack,
    /// Provide the code where the template names it, make the change set, and look again.
    CreateChangeSet(ChangeSetType),
    /// Prove that the change set holds the pinned template, execute it, and look again.
    ExecuteChangeSet,
    /// Delete a change set that can't be executed any more, and look again.
    DiscardChangeSet,
    /// The stack is as the plan says: delete the empty change set.
    Unchanged,
    /// The stack has become what the plan says.
    Applied,
    /// It failed and CloudFormation has rolled it back: the stack's events say why.
    RolledBack,
    /// CloudFormation could not make the change set, for this reason: delete it, so that a redrive starts afresh.
    Refused(String),
    /// Only a person can go on, who is told how.
    NeedsPerson(&'static str),
}

/// What a failed change set's reason holds when there is nothing to change
/// (CloudFormation user guide, "Troubleshooting": "No updates to perform").
const NO_CHANGES: [&str; 2] = ["didn't contain changes", "no updates are to be performed"];

/// What to do next.
#[must_use]
pub fn next(seen: &Seen) -> Next {
    let change_set = seen.change_set.as_ref().filter(|it| it.status != ChangeSetStatus::DeleteComplete);
    let Some(stack) = seen.stack.as_ref().filter(|it| **it != StackStatus::DeleteComplete) else {
        return if seen.executed {
            Next::NeedsPerson(
                "somebody has deleted the stack while it was applied: find out who and why, then promote again",
            )
        } else {
            Next::CreateChangeSet(ChangeSetType::Create)
        };
    };
    match stack {
        StackStatus::RollbackComplete if seen.executed => Next::RolledBack,
        StackStatus::RollbackComplete => Next::DeleteStack,

        StackStatus::CreateFailed | StackStatus::RollbackFailed => Next::NeedsPerson(
            "delete the stack by `aws cloudformation delete-stack` (its events say what stays behind), then promote again",
        ),
        StackStatus::UpdateFailed => {
            Next::NeedsPerson("bring it back by `aws cloudformation rollback-stack`, then promote again")
        }
        StackStatus::UpdateRollbackFailed | StackStatus::ImportRollbackFailed => Next::NeedsPerson(
            "mend what its events name, finish by `aws cloudformation continue-update-rollback`, then promote again",
        ),
        StackStatus::DeleteFailed => Next::NeedsPerson(
            "finish by `aws cloudformation delete-stack --retain-resources`, or mend what its events name, then promote again",
        ),

        StackStatus::ReviewInProgress => match change_set {
            Some(change_set) => with_change_set(seen, stack, change_set),
            None => Next::CreateChangeSet(ChangeSetType::Create),
        },
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::UpdateRollbackComplete
        | StackStatus::ImportComplete
        | StackStatus::ImportRollbackComplete => match (change_set, stack) {
            (Some(change_set), _) => with_change_set(seen, stack, change_set),
            // CloudFormation deletes change sets that have been executed.
            (None, StackStatus::CreateComplete | StackStatus::UpdateComplete) if seen.executed => Next::Applied,
            (None, StackStatus::UpdateRollbackComplete) if seen.executed => Next::RolledBack,
            (None, _) => Next::CreateChangeSet(ChangeSetType::Update),
        },

        busy if busy.as_str().ends_with("_IN_PROGRESS") => Next::Wait,
        _ => Next::NeedsPerson("its status is one that this gatekeeper does not know: look at it, then promote again"),
    }
}

/// What to do next where nothing works on the stack and there is a change set.
fn with_change_set(seen: &Seen, stack: &StackStatus, change_set: &ChangeSet) -> Next {
    match change_set.status {
        // Where there is no stack yet, a template without changes is one without resources.
        ChangeSetStatus::Failed if has_no_changes(&change_set.reason) && *stack != StackStatus::ReviewInProgress => {
            Next::Unchanged
        }
        ChangeSetStatus::Failed | ChangeSetStatus::DeleteFailed => Next::Refused(change_set.reason.clone()),
        ChangeSetStatus::CreateComplete => match (&change_set.execution, stack) {
            // Also where it has been executed and CloudFormation doesn't show it yet: the same token is the same request.
            (ExecutionStatus::Available, _) => Next::ExecuteChangeSet,
            (ExecutionStatus::ExecuteComplete, StackStatus::CreateComplete | StackStatus::UpdateComplete) => {
                Next::Applied
            }
            (ExecutionStatus::ExecuteComplete, StackStatus::ReviewInProgress) => Next::Wait,
            (ExecutionStatus::ExecuteComplete | ExecutionStatus::ExecuteFailed, _) if seen.executed => Next::RolledBack,
            // Another change set was executed in between. Or an earlier run of this promotion failed, or was killed
            // before it could tell: this one tries again.
            (ExecutionStatus::Obsolete | ExecutionStatus::ExecuteComplete | ExecutionStatus::ExecuteFailed, _) => {
                Next::DiscardChangeSet
            }
            _ => Next::Wait,
        },
        _ => Next::Wait,
    }
}

/// Whether a change set failed only because there is nothing to change.
#[must_use]
pub fn has_no_changes(reason: &str) -> bool {
    let reason = reason.to_lowercase().replace('\u{2019}', "'");
    NO_CHANGES.iter().any(|it| reason.contains(it))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
