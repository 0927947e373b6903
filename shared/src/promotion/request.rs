//! The manual event (CONTRACT §5).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{CommitSha, Repo, StageName};

/// The longest `requested_by` and `reason`, in characters.
const MAX_TEXT: usize = 1_000;

/// What a release manager asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionRequest {
    /// The repository.
    pub repo: Repo,
    /// The commit; a rollback may leave it out and means the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The stage.
    pub stage: StageName,
    /// Who asks.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// Only plan, touch nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Go back to an earlier promoted commit.
    #[serde(default)]
    pub rollback: bool,
    /// Go back although the live schema is not the one that was tested with the commit: databases are never rolled
    /// back.
    #[serde(default)]
    pub accept_schema_difference: bool,
}

/// A malformed event: the function error `InvalidPromotionEvent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidPromotionEvent(Vec<String>);

impl InvalidPromotionEvent {
    /// The function error's `errorType`.
    pub const ERROR_TYPE: &str = "InvalidPromotionEvent";
}

impl PromotionRequest {
    /// Reads the event.
    ///
    /// # Errors
    /// [`InvalidPromotionEvent`] that names every field that is wrong. An unknown field is one: `dryRun` would
    /// otherwise be a promotion that nobody wanted.
    pub fn parse(event: &Value) -> Result<Self, InvalidPromotionEvent> {
        let Value::Object(fields) = event else {
            return Err(InvalidPromotionEvent(vec!["the event is not a JSON object".to_owned()]));
        };
        let mut wrong = Vec::new();
        let known = [
            "repo",
            "commit_sha",
            "stage",
            "requested_by",
            "reason",
            "dry_run",
            "rollback",
            "accept_schema_difference",
        ];
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let name: String = name.chars().take(100).collect();
            wrong.push(format!("`{name}`: unknown field"));
        }
        let rollback = flag(fields, "rollback", &mut wrong);
        let dry_run = flag(fields, "dry_run", &mut wrong);
        let accept_schema_difference = flag(fields, "accept_schema_difference", &mut wrong);
        if rollback == Some(false) && accept_schema_difference == Some(true) {
            wrong.push("`accept_schema_difference`: only a rollback may accept one".to_owned());
        }
        let repo = id(fields, "repo", &mut wrong);
        let stage = id(fields, "stage", &mut wrong);
        let commit_sha = match fields.get("commit_sha") {
            None | Some(Value::Null) if rollback == Some(true) => Some(None),
            _ => id(fields, "commit_sha", &mut wrong).map(Some),
        };
        let requested_by = text(fields, "requested_by", &mut wrong);
        let reason = text(fields, "reason", &mut wrong);
        let flags = (dry_run, rollback, accept_schema_difference);
        match (repo, stage, commit_sha, requested_by, reason, flags) {
            (
                Some(repo),
                Some(stage),
                Some(commit_sha),
                Some(requested_by),
                Some(reason),
                (Some(dry_run), Some(rollback), Some(accept_schema_difference)),
            ) if wrong.is_empty() => {
                Ok(Self { repo, commit_sha, stage, requested_by, reason, dry_run, rollback, accept_schema_difference })
            }
            _ => Err(InvalidPromotionEvent(wrong)),
        }
    }
}

fn flag(fields: &Map<String, Value>, name: &str, wrong: &mut Vec<String>) -> Option<bool> {
    match fields.get(name) {
        None | Some(Value::Null) => Some(false),
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => {
            wrong.push(format!("`{name}`: not `true` or `false`"));
            None
        }
    }
}

fn string<'a>(fields: &'a Map<String, Value>, name: &str, wrong: &mut Vec<String>) -> Option<&'a str> {
    match fields.get(name) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => {
            wrong.push(format!("`{name}`: missing"));
            None
        }
        Some(_) => {
            wrong.push(format!("`{name}`: not a string"));
            None
        }
    }
}

fn id<T: std::str::FromStr>(fields: &Map<String, Value>, name: &str, wrong: &mut Vec<String>) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    match string(fields, name, wrong)?.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            wrong.push(format!("`{name}`: {error}"));
            None
        }
    }
}

fn text(fields: &Map<String, Value>, name: &str, wrong: &mut Vec<String>) -> Option<String> {
    let text = string(fields, name, wrong)?.trim();
    if text.is_empty() {
        wrong.push(format!("`{name}`: empty"));
    } else if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        wrong.push(format!("`{name}`: longer than {MAX_TEXT} characters or with control characters"));
    } else {
        return Some(text.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"repo": "bank-payments", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357", "stage": "uat",
               "requested_by": "jane@bank.example", "reason": "release 2026-05", "dry_run": false})
    }

    #[test]
    fn the_contracts_event_is_read() {
        let request = PromotionRequest::parse(&event()).unwrap();
        assert!(!request.dry_run && !request.rollback);
    }

    #[test]
    fn only_a_rollback_may_leave_the_commit_out() {
        let mut event = event();
        event.as_object_mut().unwrap().remove("commit_sha");
        assert_eq!(PromotionRequest::parse(&event).unwrap_err().to_string(), "`commit_sha`: missing");
        event["rollback"] = json!(true);
        assert_eq!(PromotionRequest::parse(&event).unwrap().commit_sha, None);
    }

    #[test]
    fn only_a_rollback_may_accept_a_schema_difference() {
        let mut event = event();
        event["accept_schema_difference"] = json!(true);
        let refused = PromotionRequest::parse(&event).unwrap_err().to_string();
        assert_eq!(refused, "`accept_schema_difference`: only a rollback may accept one");
        event["rollback"] = json!(true);
        assert!(PromotionRequest::parse(&event).unwrap().accept_schema_difference);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong =
            json!({"repo": "Bank", "commit_sha": "main", "stage": 7, "reason": " ", "dry_run": "no", "dryRun": true});
        let message = PromotionRequest::parse(&wrong).unwrap_err().to_string().replace("; ", "\n");
        insta::assert_snapshot!(message, @"
        `dryRun`: unknown field
        `dry_run`: not `true` or `false`
        `repo`: `Bank` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `stage`: not a string
        `commit_sha`: `main` is not a valid commit sha: 40 or 64 lowercase hexadecimal digits
        `requested_by`: missing
        `reason`: empty
        ");
        assert!(PromotionRequest::parse(&json!([])).is_err());
    }
}
