use std::fmt::Write as _;

use super::*;

const NO_CHANGE: &str =
    "The submitted information didn't contain changes. Submit different information to create a change set.";

fn change_set(status: ChangeSetStatus, execution: ExecutionStatus, reason: &str) -> ChangeSet {
    ChangeSet {
        id: "arn:aws:cloudformation:ap-southeast-2:111122223333:changeSet/gatekeeper-01-forward/0f".to_owned(),
        status,
        execution,
        reason: reason.to_owned(),
    }
}

/// The states of a change set that mean different things.
fn change_sets() -> [(&'static str, Option<ChangeSet>); 10] {
    use ChangeSetStatus::{CreateComplete, CreateInProgress, DeleteFailed, Failed};
    use ExecutionStatus::{Available, ExecuteComplete, ExecuteFailed, ExecuteInProgress, Obsolete, Unavailable};
    [
        ("none", None),
        ("making", Some(change_set(CreateInProgress, Unavailable, ""))),
        ("empty", Some(change_set(Failed, Unavailable, NO_CHANGE))),
        ("failed", Some(change_set(Failed, Unavailable, "Parameter Memory must be a number"))),
        ("undeletable", Some(change_set(DeleteFailed, Unavailable, "hook"))),
        ("ready", Some(change_set(CreateComplete, Available, ""))),
        ("obsolete", Some(change_set(CreateComplete, Obsolete, ""))),
        ("executing", Some(change_set(CreateComplete, ExecuteInProgress, ""))),
        ("executed", Some(change_set(CreateComplete, ExecuteComplete, ""))),
        ("exec-failed", Some(change_set(CreateComplete, ExecuteFailed, ""))),
    ]
}

/// Every status that the SDK knows, and no stack at all.
fn stacks() -> Vec<Option<StackStatus>> {
    let known = StackStatus::values().iter().map(|status| Some(StackStatus::from(*status)));
    std::iter::once(None).chain(known).collect()
}

fn word(next: &Next) -> &'static str {
    match next {
        Next::Wait => "wait",
        Next::DeleteStack => "delete-stack",
        Next::CreateChangeSet(ChangeSetType::Create) => "create(new)",
        Next::CreateChangeSet(_) => "create",
        Next::ExecuteChangeSet => "execute",
        Next::DiscardChangeSet => "discard",
        Next::Unchanged => "UNCHANGED",
        Next::Applied => "APPLIED",
        Next::RolledBack => "ROLLED-BACK",
        Next::Refused(_) => "REFUSED",
        Next::NeedsPerson(_) => "PERSON",
    }
}

/// The table for one stack status a row and one change set state a column.
fn table(executed: bool) -> String {
    let columns = change_sets();
    let mut text = format!("{:<44}", "");
    for (name, _) in &columns {
        let _ = write!(text, " {name:<12}");
    }
    for stack in stacks() {
        let name = stack.as_ref().map_or("(no stack)", StackStatus::as_str).to_owned();
        let _ = write!(text, "\n{name:<44}");
        for (_, change_set) in &columns {
            let seen = Seen { stack: stack.clone(), change_set: change_set.clone(), executed };
            let _ = write!(text, " {:<12}", word(&next(&seen)));
        }
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn before_the_promotion_has_executed_its_change_set() {
    insta::assert_snapshot!(table(false), @r#"
                                                 none         making       empty        failed       undeletable  ready        obsolete     executing    executed     exec-failed
    (no stack)                                   create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)
    CREATE_COMPLETE                              create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         APPLIED      discard
    CREATE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    CREATE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    DELETE_COMPLETE                              create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)  create(new)
    DELETE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    DELETE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    IMPORT_COMPLETE                              create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         discard      discard
    IMPORT_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    IMPORT_ROLLBACK_COMPLETE                     create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         discard      discard
    IMPORT_ROLLBACK_FAILED                       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    IMPORT_ROLLBACK_IN_PROGRESS                  wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    REVIEW_IN_PROGRESS                           create(new)  wait         REFUSED      REFUSED      REFUSED      execute      discard      wait         wait         discard
    ROLLBACK_COMPLETE                            delete-stack delete-stack delete-stack delete-stack delete-stack delete-stack delete-stack delete-stack delete-stack delete-stack
    ROLLBACK_FAILED                              PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    ROLLBACK_IN_PROGRESS                         wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_COMPLETE                              create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         APPLIED      discard
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS          wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    UPDATE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_ROLLBACK_COMPLETE                     create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         discard      discard
    UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_ROLLBACK_FAILED                       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    UPDATE_ROLLBACK_IN_PROGRESS                  wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    "#);
}

#[test]
fn after_the_promotion_has_executed_its_change_set() {
    insta::assert_snapshot!(table(true), @r#"
                                                 none         making       empty        failed       undeletable  ready        obsolete     executing    executed     exec-failed
    (no stack)                                   PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    CREATE_COMPLETE                              APPLIED      wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         APPLIED      ROLLED-BACK
    CREATE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    CREATE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    DELETE_COMPLETE                              PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    DELETE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    DELETE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    IMPORT_COMPLETE                              create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         ROLLED-BACK  ROLLED-BACK
    IMPORT_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    IMPORT_ROLLBACK_COMPLETE                     create       wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         ROLLED-BACK  ROLLED-BACK
    IMPORT_ROLLBACK_FAILED                       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    IMPORT_ROLLBACK_IN_PROGRESS                  wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    REVIEW_IN_PROGRESS                           create(new)  wait         REFUSED      REFUSED      REFUSED      execute      discard      wait         wait         ROLLED-BACK
    ROLLBACK_COMPLETE                            ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK  ROLLED-BACK
    ROLLBACK_FAILED                              PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    ROLLBACK_IN_PROGRESS                         wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_COMPLETE                              APPLIED      wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         APPLIED      ROLLED-BACK
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS          wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_FAILED                                PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    UPDATE_IN_PROGRESS                           wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_ROLLBACK_COMPLETE                     ROLLED-BACK  wait         UNCHANGED    REFUSED      REFUSED      execute      discard      wait         ROLLED-BACK  ROLLED-BACK
    UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    UPDATE_ROLLBACK_FAILED                       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON       PERSON
    UPDATE_ROLLBACK_IN_PROGRESS                  wait         wait         wait         wait         wait         wait         wait         wait         wait         wait
    "#);
}

/// Everything that can be seen at all, whether or not it makes sense.
fn everything() -> impl Iterator<Item = Seen> {
    let change_sets = || {
        let status = ChangeSetStatus::values().iter().map(|it| ChangeSetStatus::from(*it));
        status.flat_map(|status| {
            let execution = ExecutionStatus::values().iter().map(|it| ExecutionStatus::from(*it));
            execution.flat_map(move |execution| {
                ["", NO_CHANGE, "other"].map(|reason| Some(change_set(status.clone(), execution.clone(), reason)))
            })
        })
    };
    let unknown = [Some(StackStatus::from("REFACTOR_IN_PROGRESS")), Some(StackStatus::from("FROZEN"))];
    stacks().into_iter().chain(unknown).flat_map(move |stack| {
        std::iter::once(None).chain(change_sets()).flat_map(move |change_set| {
            let stack = stack.clone();
            [false, true].map(|executed| Seen { stack: stack.clone(), change_set: change_set.clone(), executed })
        })
    })
}

#[test]
fn whatever_is_seen_nothing_is_done_to_a_stack_that_something_works_on() {
    let mut busy = 0;
    for seen in everything() {
        let Some(stack) = &seen.stack else { continue };
        if stack.as_str().ends_with("_IN_PROGRESS") && *stack != StackStatus::ReviewInProgress {
            assert_eq!(next(&seen), Next::Wait, "{seen:?}");
            busy += 1;
        }
    }
    assert!(busy > 1000, "{busy}");
}

#[test]
fn whatever_is_seen_each_end_has_its_proof() {
    for seen in everything() {
        let change_set = seen.change_set.as_ref();
        let execution = change_set.map(|it| &it.execution);
        match next(&seen) {
            Next::Applied => {
                assert!(seen.executed || execution == Some(&ExecutionStatus::ExecuteComplete), "{seen:?}");
                assert!(
                    matches!(seen.stack, Some(StackStatus::CreateComplete | StackStatus::UpdateComplete)),
                    "{seen:?}"
                );
            }
            Next::Unchanged => assert_eq!(change_set.unwrap().reason, NO_CHANGE, "{seen:?}"),
            Next::RolledBack => assert!(seen.executed, "{seen:?}"),
            Next::ExecuteChangeSet => assert_eq!(execution, Some(&ExecutionStatus::Available), "{seen:?}"),
            Next::DeleteStack => {
                assert_eq!(seen.stack, Some(StackStatus::RollbackComplete));
                assert!(!seen.executed, "what this promotion left is for people to look at: {seen:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_status_of_a_newer_cloudformation_waits_where_it_is_in_progress_and_else_needs_a_person() {
    let see = |status: &str| next(&Seen { stack: Some(StackStatus::from(status)), change_set: None, executed: false });
    assert_eq!(see("REFACTOR_IN_PROGRESS"), Next::Wait);
    assert!(matches!(see("FROZEN"), Next::NeedsPerson(_)));
}

#[test]
fn only_a_reason_that_says_so_is_no_change() {
    for reason in [NO_CHANGE, "No updates are to be performed.", "The submitted information didn’t contain changes."]
    {
        assert!(has_no_changes(reason), "{reason}");
    }
    for reason in
        ["", "Transform failed: no changes", "Template error: instance of Fn::GetAtt references undefined resource"]
    {
        assert!(!has_no_changes(reason), "{reason}");
    }
}

#[test]
fn a_person_is_told_what_to_do() {
    for seen in everything() {
        if let Next::NeedsPerson(advice) = next(&seen) {
            assert!(advice.ends_with("then promote again"), "{advice}");
        }
    }
}
