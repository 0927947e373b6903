//! What a function needs next, as a pure function of what it is now.

use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, State};
use gatekeeper_model::ids::Sha256;

/// A function as `GetFunction` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The SHA-256 of its code; `None` where Lambda doesn't tell.
    pub code: Option<Sha256>,
    /// Whether it can work.
    pub health: Health,
    /// What became of its last update.
    pub update: Update,
    /// Changes with everything that changes the function.
    pub revision_id: Option<String>,
}

/// A function's `State`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can be updated: active, or inactive because nobody has called it for long.
    Ready,
    /// Lambda is at work on it.
    Pending,
    /// It can't work, for this reason.
    Failed(String),
}

/// A function's `LastUpdateStatus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// There is none, or it is through.
    Successful,
    /// Lambda is at work on it.
    InProgress,
    /// It failed for this reason; the function still runs what it ran before.
    Failed(String),
}

/// What the function shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The SHA-256 of its code.
    pub code: Sha256,
    /// Where this step has already had an update accepted: the revision that it changed.
    pub updated_from: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look again: Lambda is at work.
    Wait(&'static str),
    /// Update the code.
    Update,
    /// The wanted code is live: publish it as a version.
    Publish,
    /// It can't be done, for this reason.
    Fail(String),
}

/// What is to be done about a function that is `live` and shall be as `wanted`.
#[must_use]
pub fn next(live: &Live, wanted: &Wanted) -> Next {
    if live.update == Update::InProgress {
        return Next::Wait("an update is in progress");
    }
    if live.health == Health::Pending {
        return Next::Wait("the function is pending");
    }
    let right = live.code == Some(wanted.code);
    let updated = wanted.updated_from.is_some();
    match (&live.update, &live.health) {
        (Update::Successful, Health::Ready) if right => Next::Publish,
        // GetFunction may still tell of the time before the update.
        _ if updated && wanted.updated_from == live.revision_id => Next::Wait("the update is not visible yet"),
        (Update::Failed(reason), _) if updated => Next::Fail(format!("the update failed: {reason}")),
        // An update that failed before this step: it is repeated even where the digest is already the new one.
        (Update::Failed(_), _) => Next::Update,
        (_, Health::Failed(reason)) if right => Next::Fail(format!("it has the wanted code, but can't work: {reason}")),
        _ if updated => Next::Fail("somebody else changed its code after this step had updated it".to_owned()),
        _ => Next::Update,
    }
}

impl Live {
    /// What `GetFunction` answered.
    #[must_use]
    pub fn of(configuration: &FunctionConfiguration) -> Self {
        let reason = |reason: Option<&str>| reason.unwrap_or("Lambda gives no reason").to_owned();
        Self {
            code: configuration.code_sha256().and_then(Sha256::from_base64),
            health: match configuration.state() {
                Some(State::Pending | State::Deactivating) => Health::Pending,
                Some(State::Failed | State::Deleting) => Health::Failed(reason(configuration.state_reason())),
                _ => Health::Ready,
            },
            update: match configuration.last_update_status() {
                None | Some(LastUpdateStatus::Successful) => Update::Successful,
                Some(LastUpdateStatus::Failed) => Update::Failed(reason(configuration.last_update_status_reason())),
                // What a later Lambda may say is waited out, not taken for success.
                Some(_) => Update::InProgress,
            },
            revision_id: configuration.revision_id().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "r-before";

    fn every_case() -> Vec<(Live, Wanted)> {
        let (old, new) = (Sha256::of(b"old"), Sha256::of(b"new"));
        let mut cases = Vec::new();
        for health in [Health::Ready, Health::Pending, Health::Failed("no subnet".to_owned())] {
            for update in [Update::Successful, Update::InProgress, Update::Failed("no key".to_owned())] {
                for code in [Some(new), Some(old), None] {
                    for revision_id in [BEFORE, "r-after"] {
                        for updated_from in [None, Some(BEFORE.to_owned())] {
                            let (health, update) = (health.clone(), update.clone());
                            let revision_id = Some(revision_id.to_owned());
                            cases
                                .push((Live { code, health, update, revision_id }, Wanted { code: new, updated_from }));
                        }
                    }
                }
            }
        }
        assert_eq!(cases.len(), 3 * 3 * 3 * 2 * 2);
        cases
    }

    /// Holds a law over every case that there is.
    fn always(law: impl Fn(&Live, &Wanted, &Next) -> bool) {
        for (live, wanted) in every_case() {
            let next = next(&live, &wanted);
            assert!(law(&live, &wanted, &next), "{live:?}, {wanted:?}: {next:?}");
        }
    }

    #[test]
    fn a_version_is_published_exactly_where_the_wanted_code_is_live_and_well() {
        always(|live, wanted, next| {
            let well = live.health == Health::Ready && live.update == Update::Successful;
            (*next == Next::Publish) == (well && live.code == Some(wanted.code))
        });
    }

    #[test]
    fn an_update_is_never_made_twice_nor_into_another_one() {
        always(|live, wanted, next| {
            let at_work = live.health == Health::Pending || live.update == Update::InProgress;
            *next != Next::Update || (wanted.updated_from.is_none() && !at_work)
        });
    }

    #[test]
    fn an_update_is_made_only_where_the_code_is_another_or_the_last_one_failed() {
        always(|live, wanted, next| {
            *next != Next::Update || live.code != Some(wanted.code) || matches!(live.update, Update::Failed(_))
        });
    }

    #[test]
    fn what_lambda_is_at_work_on_is_waited_for() {
        always(|live, _, next| {
            let at_work = live.health == Health::Pending || live.update == Update::InProgress;
            !at_work || matches!(next, Next::Wait(_))
        });
    }

    #[test]
    fn nothing_is_waited_for_that_does_not_come() {
        always(|live, wanted, next| {
            let at_work = live.health == Health::Pending || live.update == Update::InProgress;
            let stale = wanted.updated_from.is_some() && wanted.updated_from == live.revision_id;
            !matches!(next, Next::Wait(_)) || at_work || stale
        });
    }

    #[test]
    fn a_failed_update_of_this_step_is_told_with_lambdas_reason() {
        always(|live, wanted, next| match (&live.update, &live.health, next) {
            (Update::Failed(reason), Health::Ready | Health::Failed(_), Next::Fail(said)) => said.contains(reason),
            (Update::Failed(_), Health::Ready | Health::Failed(_), next) => {
                let stale = wanted.updated_from == live.revision_id;
                wanted.updated_from.is_none() && *next == Next::Update || stale && matches!(next, Next::Wait(_))
            }
            _ => true,
        });
    }

    #[test]
    fn somebody_elses_later_update_is_not_fought() {
        let live = Live {
            code: Some(Sha256::of(b"a third one")),
            health: Health::Ready,
            update: Update::Successful,
            revision_id: Some("r-after".to_owned()),
        };
        let wanted = Wanted { code: Sha256::of(b"new"), updated_from: Some(BEFORE.to_owned()) };
        let expected = "somebody else changed its code after this step had updated it";
        assert_eq!(next(&live, &wanted), Next::Fail(expected.to_owned()));
    }

    #[test]
    fn a_failed_function_with_other_code_is_updated_which_may_heal_it() {
        let live = Live {
            code: Some(Sha256::of(b"old")),
            health: Health::Failed("FunctionError.InitTimeout".to_owned()),
            update: Update::Successful,
            revision_id: None,
        };
        assert_eq!(next(&live, &Wanted { code: Sha256::of(b"new"), updated_from: None }), Next::Update);
    }

    #[test]
    fn lambdas_words_are_read_and_unknown_ones_waited_out() {
        let live = |state: &str, update: Option<&str>| {
            Live::of(
                &FunctionConfiguration::builder()
                    .state(State::from(state))
                    .set_last_update_status(update.map(LastUpdateStatus::from))
                    .build(),
            )
        };
        assert_eq!(live("Active", Some("Successful")).update, Update::Successful);
        assert_eq!(live("Active", None).update, Update::Successful);
        assert_eq!(live("Active", Some("InProgress")).update, Update::InProgress);
        assert_eq!(live("Active", Some("SomethingNew")).update, Update::InProgress);
        assert_eq!(live("Inactive", None).health, Health::Ready);
        assert_eq!(live("Pending", None).health, Health::Pending);
        assert_eq!(live("Failed", None).health, Health::Failed("Lambda gives no reason".to_owned()));
    }
}
