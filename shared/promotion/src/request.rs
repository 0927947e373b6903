//! The manual event (CONTRACT §5).

use std::collections::BTreeSet;

use gatekeeper_model::{
    identity::{BoundRequest, IdentityProof},
    ids::{CommitSha, Repo, StageName},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Fields;
use crate::{replacement::ResourcePath, runs::pulumi::PulumiPreview};

/// What the event may hold.
const FIELDS: [&str; 14] = [
    "repo",
    "commit_sha",
    "stage",
    "requested_by",
    "reason",
    "dry_run",
    "changes",
    "rollback",
    "accept_schema_difference",
    "accept_replacement",
    "lease",
    "break_glass",
    "preview",
    "identity_proof",
];

/// What a release manager asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the event")]
pub struct PromotionRequest {
    /// The repository.
    pub repo: Repo,
    /// The commit; a rollback may leave it out and means the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The stage.
    pub stage: StageName,
    /// Who asks, in his own words.
    pub requested_by: String,
    /// Why it is asked for, in the words of whoever asks.
    pub reason: String,
    /// Only plan, touch nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Ask CloudFormation too what the plan would change: of a dry run only.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub changes: bool,
    /// Go back to an earlier promoted commit.
    #[serde(default)]
    pub rollback: bool,
    /// Go back although the live schema is not the one that was tested with the commit: databases are never rolled
    /// back.
    #[serde(default)]
    pub accept_schema_difference: bool,
    /// The resources that hold data and that may be replaced or removed nevertheless.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// Give a lease for what a runner carries out: without one a commit that needs a runner is refused.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub lease: bool,
    /// Waive the stage's rules, as a second person has agreed.
    #[serde(default)]
    pub break_glass: bool,
    /// What `pulumi up` would do, as a runner's preview tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PulumiPreview>,
    /// The proof of who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_proof: Option<IdentityProof>,
}

/// A malformed event: the function error `InvalidPromotionEvent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidPromotionEvent(pub(super) Vec<String>);

impl InvalidPromotionEvent {
    /// The function error's `errorType`.
    pub const ERROR_TYPE: &str = "InvalidPromotionEvent";
}

impl PromotionRequest {
    /// Reads the event.
    ///
    /// # Errors
    /// [`InvalidPromotionEvent`] that names every field that is wrong.
    pub fn parse(event: &Value) -> Result<Self, InvalidPromotionEvent> {
        Self::read(event).map_err(InvalidPromotionEvent)
    }

    fn read(event: &Value) -> Result<Self, Vec<String>> {
        let mut fields = Fields::of(event, &FIELDS)?;
        let rollback = fields.flag("rollback");
        let dry_run = fields.flag("dry_run");
        let changes = fields.flag("changes");
        let accept_schema_difference = fields.flag("accept_schema_difference");
        let accept_replacement = fields.ids("accept_replacement");
        let lease = fields.flag("lease");
        let break_glass = fields.flag("break_glass");
        if rollback == Some(false) && accept_schema_difference == Some(true) {
            fields.add("`accept_schema_difference`: only a rollback may accept one");
        }
        if rollback == Some(true) && break_glass == Some(true) {
            fields.add("`break_glass`: a rollback needs none, for no rule of the stage binds it");
        }
        if dry_run == Some(false) && changes == Some(true) {
            fields.add("`changes`: only a dry run tells what would change; ask with `\"dry_run\": true`");
        }
        let repo = fields.id("repo");
        let stage = fields.id("stage");
        let commit_sha = match rollback {
            Some(true) if fields.is_absent("commit_sha") => Some(None),
            _ => fields.id("commit_sha").map(Some),
        };
        let requested_by = fields.text("requested_by");
        let reason = fields.reason(break_glass == Some(true));
        let preview = fields.document("preview");
        let identity_proof = fields.proof("identity_proof");
        let read = || {
            Some(Self {
                repo: repo?,
                commit_sha: commit_sha?,
                stage: stage?,
                requested_by: requested_by?,
                reason: reason?,
                dry_run: dry_run?,
                changes: changes?,
                rollback: rollback?,
                accept_schema_difference: accept_schema_difference?,
                accept_replacement: accept_replacement?,
                lease: lease?,
                break_glass: break_glass?,
                preview: preview?,
                identity_proof: identity_proof?,
            })
        };
        fields.finish(read())
    }

    /// What a proof of who asks is bound to.
    #[must_use]
    pub fn bound(&self) -> BoundRequest<'_> {
        let switches = [
            (self.accept_schema_difference, "accept_schema_difference"),
            (self.break_glass, "break_glass"),
            (self.changes, "changes"),
            (self.dry_run, "dry_run"),
            (self.lease, "lease"),
        ];
        BoundRequest {
            manifest_version_id: None,
            action: if self.rollback { "rollback" } else { "promote" },
            repo: &self.repo,
            commit_sha: self.commit_sha.as_ref(),
            stage: &self.stage,
            reason: self.reason.trim(),
            switches: switches.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect(),
            accept_replacement: self.accept_replacement.iter().map(ToString::to_string).collect(),
            plan_sha256: self.preview.as_ref().map(PulumiPreview::digest),
            id: None,
        }
    }
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
    fn only_a_dry_run_tells_what_would_change() {
        let mut event = event();
        event["changes"] = json!(true);
        let refused = PromotionRequest::parse(&event).unwrap_err().to_string();
        assert_eq!(refused, "`changes`: only a dry run tells what would change; ask with `\"dry_run\": true`");
        event["dry_run"] = json!(true);
        assert!(PromotionRequest::parse(&event).unwrap().changes);
        event["changes"] = json!("yes");
        assert!(PromotionRequest::parse(&event).unwrap_err().to_string().starts_with("`changes`: "));
    }

    #[test]
    fn losses_are_accepted_by_name_one_by_one() {
        let mut event = event();
        let parse = |event: &Value| PromotionRequest::parse(event).map(|it| it.accept_replacement);
        assert!(parse(&event).unwrap().is_empty());
        event["accept_replacement"] = json!(["payments-data/Orders", "payments-data/Ledger/Rows"]);
        let accepted = parse(&event).unwrap();
        assert_eq!(json!(accepted), json!(["payments-data/Ledger/Rows", "payments-data/Orders"]));
        for (wrong, why) in [
            (json!("payments-data/Orders"), "not a list"),
            (json!([7]), "not a string"),
            (json!(["Orders"]), "names no resource"),
            (json!(["payments-data/"]), "names no resource"),
            (json!(["payments-data/*"]), "names no resource"),
            (json!(["payments-data/Or ders"]), "names no resource"),
            (json!(["data/A", "data/A"]), "twice"),
            (json!((0..101).map(|n| format!("data/R{n}")).collect::<Vec<_>>()), "more than 100"),
        ] {
            event["accept_replacement"] = wrong;
            let refused = parse(&event).unwrap_err().to_string();
            assert!(refused.starts_with("`accept_replacement`: ") && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn breaking_the_glass_needs_a_reason_and_is_nothing_for_a_rollback() {
        let mut event = event();
        event["break_glass"] = json!(true);
        assert!(PromotionRequest::parse(&event).unwrap().break_glass);
        event["reason"] = json!("now!");
        event["rollback"] = json!(true);
        insta::assert_snapshot!(PromotionRequest::parse(&event).unwrap_err(), @"`break_glass`: a rollback needs none, for no rule of the stage binds it; `reason`: to break the glass takes at least 10 characters");
    }

    #[test]
    fn a_proof_is_bound_to_all_that_a_request_changes() {
        let request = PromotionRequest::parse(&event()).unwrap();
        let digest = |request: &PromotionRequest| request.bound().digest();
        let others = [
            PromotionRequest { repo: "bank-core".parse().unwrap(), ..request.clone() },
            PromotionRequest { commit_sha: None, ..request.clone() },
            PromotionRequest { stage: "prod".parse().unwrap(), ..request.clone() },
            PromotionRequest { reason: "release 2026-06".to_owned(), ..request.clone() },
            PromotionRequest { dry_run: true, ..request.clone() },
            PromotionRequest { changes: true, ..request.clone() },
            PromotionRequest { rollback: true, ..request.clone() },
            PromotionRequest { accept_schema_difference: true, ..request.clone() },
            PromotionRequest { break_glass: true, ..request.clone() },
            PromotionRequest { lease: true, ..request.clone() },
            PromotionRequest { accept_replacement: ["data/Orders".parse().unwrap()].into(), ..request.clone() },
        ];
        for other in &others {
            assert_ne!(digest(other), digest(&request), "{other:?}");
        }
        let who_it_says = PromotionRequest { requested_by: "john".to_owned(), ..request.clone() };
        assert_eq!(digest(&who_it_says), digest(&request));
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
