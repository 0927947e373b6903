//! Why a stack failed, from its events: the resources' own reasons, the first cause first.

use std::fmt;

use jiff::Timestamp;

/// The most reasons that are told: what fails first is what matters.
const MAX_REASONS: usize = 5;

/// The most characters of one reason.
const MAX_CHARACTERS: usize = 600;

/// The reasons of resources that failed only because another one had.
const FOLLOWS_ANOTHER: [&str; 3] =
    ["resource creation cancelled", "resource update cancelled", "resource deletion cancelled"];

/// An event of a stack.
#[derive(Debug, Clone)]
pub struct Event {
    /// The resource, or the stack itself.
    pub logical_id: String,
    /// Its type.
    pub r#type: String,
    /// Whether it is about the stack itself.
    pub is_stack: bool,
    /// What it came to, such as `CREATE_FAILED`.
    pub status: String,
    /// Why the resource failed, in CloudFormation's words.
    pub reason: String,
    /// The token of the request that caused it.
    pub token: Option<String>,
    /// When it was.
    pub at: Timestamp,
}

/// Why one resource failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whether it is only the stack's own, which says little.
    pub is_stack: bool,
    logical_id: String,
    r#type: String,
    status: String,
    text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logical_id, r#type, status, text, .. } = self;
        write!(f, "`{logical_id}` ({type}) {status}: {text}")
    }
}

/// Why the request with `token`, made at `since` or later, failed. `events` come newest first, as CloudFormation
/// gives them. The stack's own reason is told where no resource has one.
#[must_use]
pub fn reasons(events: &[Event], token: &str, since: Timestamp) -> Vec<Reason> {
    let ours = |event: &&Event| match &event.token {
        Some(it) => it == token,
        None => event.at >= since,
    };
    let failed = |event: &&Event| event.status.ends_with("_FAILED") || event.status.contains("ROLLBACK");
    let told = |event: &&Event| {
        let reason = event.reason.to_lowercase();
        !reason.is_empty() && !FOLLOWS_ANOTHER.iter().any(|it| reason.starts_with(it))
    };
    let causes: Vec<&Event> = events.iter().rev().filter(ours).filter(failed).filter(told).collect();
    let of_resources = causes.iter().any(|event| !event.is_stack);
    let mut reasons: Vec<Reason> = Vec::new();
    for event in causes.into_iter().filter(|event| event.is_stack != of_resources) {
        let reason = Reason {
            is_stack: event.is_stack,
            logical_id: event.logical_id.clone(),
            r#type: event.r#type.clone(),
            status: event.status.clone(),
            text: event.reason.chars().take(MAX_CHARACTERS).collect(),
        };
        if reasons.len() < MAX_REASONS && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "gatekeeper-01-forward";

    fn event(second: i64, logical_id: &str, status: &str, reason: &str) -> Event {
        let is_stack = logical_id == "uat-api";
        Event {
            logical_id: logical_id.to_owned(),
            r#type: if is_stack { "AWS::CloudFormation::Stack" } else { "AWS::Lambda::Function" }.to_owned(),
            is_stack,
            status: status.to_owned(),
            reason: reason.to_owned(),
            token: Some(TOKEN.to_owned()),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    fn told(mut events: Vec<Event>) -> String {
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        let since = Timestamp::from_second(100).unwrap();
        reasons(&events, TOKEN, since).iter().map(Reason::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_first_cause_comes_first_and_what_it_cancelled_is_left_out() {
        insta::assert_snapshot!(told(vec![
            event(100, "uat-api", "UPDATE_IN_PROGRESS", "User Initiated"),
            event(101, "PayFn", "UPDATE_IN_PROGRESS", ""),
            event(102, "PayFn", "UPDATE_FAILED", "Resource handler returned message: \"memory\""),
            event(103, "OtherFn", "UPDATE_FAILED", "Resource update cancelled"),
            event(104, "LateFn", "UPDATE_FAILED", "Rate exceeded"),
            event(105, "uat-api", "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [PayFn]."),
            event(106, "uat-api", "UPDATE_ROLLBACK_COMPLETE", ""),
        ]), @r#"
        `PayFn` (AWS::Lambda::Function) UPDATE_FAILED: Resource handler returned message: "memory"
        `LateFn` (AWS::Lambda::Function) UPDATE_FAILED: Rate exceeded
        "#);
    }

    #[test]
    fn where_no_resource_has_a_reason_the_stack_has() {
        insta::assert_snapshot!(told(vec![
            event(101, "PayFn", "CREATE_FAILED", "Resource creation cancelled"),
            event(102, "uat-api", "ROLLBACK_IN_PROGRESS", "Role arn cannot be assumed. Rollback requested by user."),
        ]), @"`uat-api` (AWS::CloudFormation::Stack) ROLLBACK_IN_PROGRESS: Role arn cannot be assumed. Rollback requested by user.");
        assert_eq!(told(vec![]), "");
    }

    #[test]
    fn events_of_other_requests_are_none_of_ours() {
        let theirs = Event { token: Some("console".to_owned()), ..event(200, "A", "CREATE_FAILED", "theirs") };
        let earlier = Event { token: None, ..event(99, "B", "CREATE_FAILED", "earlier") };
        let without_token = Event { token: None, ..event(100, "C", "CREATE_FAILED", "ours") };
        insta::assert_snapshot!(told(vec![theirs, earlier, without_token]), @"`C` (AWS::Lambda::Function) CREATE_FAILED: ours");
    }

    #[test]
    fn the_text_is_bounded_and_says_nothing_twice() {
        let many = (0..50).map(|n| event(100 + n, &format!("Fn{}", n / 2), "CREATE_FAILED", &"é".repeat(10_000)));
        let text = told(many.collect());
        assert_eq!(text.lines().count(), MAX_REASONS);
        assert!(text.lines().all(|line| line.chars().count() < MAX_CHARACTERS + 100), "{text}");
        assert!(text.starts_with("`Fn0`") && text.contains("`Fn4`"), "{text}");
    }
}
