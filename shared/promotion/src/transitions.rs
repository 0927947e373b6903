//! Where the execution of a promotion goes from where: the state machine (`infra/promotion.asl.json`) as a table, and
//! what a promotion is once its steps have been asked. A test holds the table and the machine equal.

use crate::{
    record::Status,
    step::{Direction, Step, StepStatus},
};

/// Where an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nothing of a direction's steps is asked yet.
    Begins(Direction),
    /// A step is asked.
    Asks(Step),
    /// The databases are there, and a part of the plan is a runner's or none is.
    Forks,
    /// A step is waited for as long as it said, and asked again.
    Waits(Step),
    /// It is recorded what the steps came to.
    Records,
    /// It is over.
    Ended(End),
}

/// How an execution ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The stage runs the commit.
    Succeeded,
    /// The commit before runs again.
    RolledBack,
    /// The stage is as the record says.
    Failed,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// The direction is set, and nothing is told of its steps yet.
    Begun,
    /// A step answered.
    Answered(StepStatus),
    /// A step failed without an answer, again and again.
    Threw,
    /// The time that a step asked for is over.
    Waited,
    /// It is looked whether a part of the plan is a runner's.
    HasRuns(bool),
    /// The record says what the promotion is now.
    Recorded(Status),
}

/// From where, by what, to where.
pub type Transition = (Place, Happening, Place);

/// Every transition that there is.
pub const TRANSITIONS: [Transition; 34] = {
    use Direction::{Back, Forward};
    use Happening::{Answered, Begun, HasRuns, Recorded, Threw, Waited};
    use Place::{Asks, Begins, Ended, Forks, Records, Waits};
    use Step::{ApplyStack, DeployFunction, JudgeRun, MigrateDatabase, SmokeTest};
    use StepStatus::{Done, Failed, InProgress};
    [
        (Begins(Forward), Begun, Asks(ApplyStack)),
        (Asks(ApplyStack), Answered(Done), Asks(DeployFunction)),
        (Asks(ApplyStack), Answered(InProgress), Waits(ApplyStack)),
        (Asks(ApplyStack), Answered(Failed), Records),
        (Asks(ApplyStack), Threw, Records),
        (Waits(ApplyStack), Waited, Asks(ApplyStack)),
        (Asks(DeployFunction), Answered(Done), Asks(MigrateDatabase)),
        (Asks(DeployFunction), Answered(InProgress), Waits(DeployFunction)),
        (Asks(DeployFunction), Answered(Failed), Records),
        (Asks(DeployFunction), Threw, Records),
        (Waits(DeployFunction), Waited, Asks(DeployFunction)),
        (Asks(MigrateDatabase), Answered(Done), Forks),
        (Asks(MigrateDatabase), Answered(InProgress), Waits(MigrateDatabase)),
        (Asks(MigrateDatabase), Answered(Failed), Records),
        (Asks(MigrateDatabase), Threw, Records),
        (Waits(MigrateDatabase), Waited, Asks(MigrateDatabase)),
        (Forks, HasRuns(false), Asks(SmokeTest)),
        (Forks, HasRuns(true), Asks(JudgeRun)),
        (Asks(JudgeRun), Answered(Done), Asks(SmokeTest)),
        (Asks(JudgeRun), Answered(InProgress), Waits(JudgeRun)),
        (Asks(JudgeRun), Answered(Failed), Records),
        (Asks(JudgeRun), Threw, Records),
        (Waits(JudgeRun), Waited, Asks(JudgeRun)),
        (Asks(SmokeTest), Answered(Done), Records),
        (Asks(SmokeTest), Answered(InProgress), Waits(SmokeTest)),
        (Asks(SmokeTest), Answered(Failed), Records),
        (Asks(SmokeTest), Threw, Records),
        (Waits(SmokeTest), Waited, Asks(SmokeTest)),
        (Records, Recorded(Status::Succeeded), Ended(End::Succeeded)),
        (Records, Recorded(Status::GoingBack), Begins(Back)),
        (Records, Recorded(Status::RolledBack), Ended(End::RolledBack)),
        (Records, Recorded(Status::Failed), Ended(End::Failed)),
        // Never answered, since every step has been asked by then: it would end what nobody could go on with.
        (Records, Recorded(Status::Running), Ended(End::Failed)),
        (Begins(Back), Begun, Asks(ApplyStack)),
    ]
};

/// Where an execution goes from a place by what happens there; `None` where that can't happen.
#[must_use]
pub fn next(place: Place, happening: Happening) -> Option<Place> {
    TRANSITIONS.iter().find(|(from, by, _)| (*from, *by) == (place, happening)).map(|(_, _, to)| *to)
}

/// What a promotion is once the steps of a direction have been asked: whether they are all done, and whether there is a
/// commit to go back to. A rollback has none: a rollback never rolls back a rollback.
#[must_use]
pub fn after_steps(direction: Direction, are_done: bool, has_way_back: bool) -> Status {
    match (direction, are_done) {
        (Direction::Forward, true) => Status::Succeeded,
        (Direction::Forward, false) if has_way_back => Status::GoingBack,
        (Direction::Back, true) => Status::RolledBack,
        (_, false) => Status::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_that_happens_leads_two_ways() {
        let causes: BTreeSet<_> = TRANSITIONS.iter().map(|(from, by, _)| (from, by)).collect();
        assert_eq!(causes.len(), TRANSITIONS.len());
    }

    #[test]
    fn the_steps_are_asked_in_their_order_and_then_it_is_recorded() {
        let ways = [Direction::Forward, Direction::Back].into_iter().flat_map(|it| [(it, false), (it, true)]);
        for (direction, has_runs) in ways {
            let mut place = next(Place::Begins(direction), Happening::Begun).unwrap();
            for step in Step::asked(has_runs) {
                assert_eq!(place, Place::Asks(step));
                assert_eq!(next(place, Happening::Answered(StepStatus::InProgress)), Some(Place::Waits(step)));
                assert_eq!(next(Place::Waits(step), Happening::Waited), Some(place));
                for failure in [Happening::Threw, Happening::Answered(StepStatus::Failed)] {
                    assert_eq!(next(place, failure), Some(Place::Records), "nothing more is applied after a failure");
                }
                place = next(place, Happening::Answered(StepStatus::Done)).unwrap();
                if place == Place::Forks {
                    place = next(place, Happening::HasRuns(has_runs)).unwrap();
                }
            }
            assert_eq!(place, Place::Records);
        }
    }

    #[test]
    fn it_goes_back_once_at_most_and_only_where_there_is_a_way_back() {
        for has_way_back in [false, true] {
            for [forward, back] in [[false, false], [false, true], [true, false], [true, true]] {
                let recorded = |direction, are_done| {
                    let status = after_steps(direction, are_done, has_way_back);
                    next(Place::Records, Happening::Recorded(status)).unwrap()
                };
                let ends = match recorded(Direction::Forward, forward) {
                    Place::Begins(Direction::Back) => recorded(Direction::Back, back),
                    end => end,
                };
                let expected = match (forward, has_way_back, back) {
                    (true, _, _) => End::Succeeded,
                    (false, true, true) => End::RolledBack,
                    (false, _, _) => End::Failed,
                };
                assert_eq!(ends, Place::Ended(expected), "{forward} {back}, way back {has_way_back}");
            }
        }
    }

    #[test]
    fn what_has_ended_goes_nowhere() {
        assert!(TRANSITIONS.iter().all(|(from, ..)| !matches!(from, Place::Ended(_))));
    }
}
