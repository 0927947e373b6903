//! What wakes `watch-drift`: its schedule, or a person who wants to know now.

use gatekeeper_model::ids::{Repo, StageName};
use serde::Deserialize;
use serde_json::Value;

/// What is to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// This stage only.
    pub stage: Option<StageName>,
    /// This repository only.
    pub repo: Option<Repo>,
    /// Whether to look at everything now, also at what the schedule asks for once an hour or once a day: databases,
    /// CloudFormation's drift detection and the whole ledger.
    #[serde(skip)]
    pub is_thorough: bool,
}

impl WatchRequest {
    /// Reads the event: EventBridge's of a schedule, or `{"stage": …, "repo": …}`, both optional, of a person.
    ///
    /// # Errors
    /// What is wrong with a person's.
    pub fn parse(event: &Value) -> Result<Self, serde_json::Error> {
        if event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event") {
            return Ok(Self::default());
        }
        let asked: Self = serde_json::from_value(event.clone())?;
        Ok(Self { is_thorough: true, ..asked })
    }

    /// Whether a repository on a stage is to be looked at.
    #[must_use]
    pub fn takes(&self, stage: &StageName, repo: &Repo) -> bool {
        self.stage.as_ref().is_none_or(|it| it == stage) && self.repo.as_ref().is_none_or(|it| it == repo)
    }

    /// Whether it is about everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.stage.is_none() && self.repo.is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_may_ask_for_a_part_of_it() {
        let request = WatchRequest::parse(&json!({"stage": "uat"})).unwrap();
        let takes = |stage: &str, repo: &str| request.takes(&stage.parse().unwrap(), &repo.parse().unwrap());
        assert!(takes("uat", "bank-payments") && takes("uat", "bank-kyc") && !takes("prod", "bank-payments"));
        assert!(request.is_thorough && !request.is_whole());
        assert!(WatchRequest::parse(&json!({})).unwrap().is_whole());
        insta::assert_snapshot!(WatchRequest::parse(&json!({"stages": "uat"})).unwrap_err(), @"unknown field `stages`, expected `stage` or `repo`");
        insta::assert_snapshot!(WatchRequest::parse(&json!({"stage": "UAT"})).unwrap_err(), @"`UAT` is not a valid stage name: 1 to 32 of `a-z`, `0-9` and `-`, starting with a letter");
    }
}
