//! The digest of a plan, which approvals name: what approvers saw is what is applied.

use std::collections::BTreeSet;

use gatekeeper_model::ids::{Commit, CommitSha, Repo, Sha256, StageName};
use gatekeeper_readers::pulumi::Urn;
use serde::Serialize;
use serde_json::Value;

use crate::{
    plan::{Plan, PlannedMigration},
    record::PromotionRecord,
    replacement::ResourcePath,
    request::PromotionRequest,
    runs::PlannedRun,
};

/// What is digested, and in which edition.
const DOCUMENT: &str = "artefact-gatekeeper plan v1";

/// What the digest is of.
#[derive(Clone, Copy, Serialize)]
struct Subject<'a> {
    document: &'static str,
    repo: &'a Repo,
    commit_sha: &'a CommitSha,
    stage: &'a StageName,
    rollback: bool,
    accept_replacement: &'a BTreeSet<ResourcePath>,
    accept_schema_difference: bool,
    plan: &'a Plan,
}

impl Plan {
    /// The SHA-256 of what is applied, as one line of JSON whose members are sorted by name and which holds no space: the
    /// repository, the commit, the stage, whether it is a rollback, the losses and differences that the request accepts,
    /// and the whole plan: every stack with its template, form, assets, images, parameters and tags, every bundle,
    /// migration, database and its rules, what a runner does with the preview's digest and changes, and the smoke checks.
    ///
    /// What the look found live is not in it, so that a dry run today and a start tomorrow agree: which migrations the
    /// stage's database has run already. Nor are who asks, why, and whose approvals there are.
    #[must_use]
    pub fn digest(&self, commit: &Commit, request: &PromotionRequest) -> Sha256 {
        digest(Subject {
            document: DOCUMENT,
            repo: &commit.repo,
            commit_sha: &commit.sha,
            stage: &request.stage,
            rollback: request.rollback,
            accept_replacement: &request.accept_replacement,
            accept_schema_difference: request.accept_schema_difference,
            plan: self,
        })
    }

    /// Whether the preview of its Pulumi program changes this resource.
    #[must_use]
    pub fn changes_urn(&self, urn: &Urn) -> bool {
        self.runs.iter().any(|run| matches!(run, PlannedRun::Pulumi(program) if program.changes.0.contains_key(urn)))
    }
}

impl PromotionRecord {
    /// The digest of what was applied, as approvals of it name it: [`Plan::digest`].
    #[must_use]
    pub fn plan_digest(&self) -> Sha256 {
        digest(Subject {
            document: DOCUMENT,
            repo: &self.repo,
            commit_sha: &self.commit_sha,
            stage: &self.stage,
            rollback: self.rollback,
            accept_replacement: &self.accept_replacement,
            accept_schema_difference: self.accept_schema_difference,
            plan: &self.plan,
        })
    }
}

fn digest(subject: Subject<'_>) -> Sha256 {
    let migrations = subject.plan.migrations.iter();
    let migrations = migrations.map(|it| PlannedMigration { state: None, ..it.clone() }).collect();
    let plan = Plan { migrations, ..subject.plan.clone() };
    // Every part of it is written by names, so it can be written.
    let mut value = serde_json::to_value(Subject { plan: &plan, ..subject }).unwrap_or_default();
    sort(&mut value);
    Sha256::of(value.to_string().as_bytes())
}

/// Sorts the members of every object, whatever order the parser keeps.
fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = std::mem::take(members).into_iter().collect();
            sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (name, mut member) in sorted {
                sort(&mut member);
                members.insert(name, member);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
