//! The handoffs that a module is Deployed to a stage (ADR-053 step 14, CONTRACT §7), and that the stage went back from it, from
//! what promotions recorded.

use std::fmt::Write as _;

use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::{Commit, CommitSha, DatabaseName, ModuleId, StageName},
    store_key::RecordKey,
};
use gatekeeper_proof::Digest;
use jiff::Timestamp;

use crate::{
    attestation::CarriedOut,
    record::{PromotionRecord, SchemaComparison},
    runs::{RunProof, dbt::DbtProof},
};

/// The handoff that `module` is Deployed to `stage`, by the promotion whose record lies at `evidence`; `supersedes` is the one
/// that it was rolled back, which it follows.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "each is a fact of the document")]
pub fn deployed<'a>(
    commit: &Commit,
    module: &ModuleId,
    stage: &StageName,
    now: Timestamp,
    evidence: &RecordKey,
    artefacts: impl Iterator<Item = (&'a str, String)>,
    schemas: impl Iterator<Item = (&'a DatabaseName, &'a SchemaComparison)>,
    supersedes: Option<String>,
) -> String {
    let front_matter = FrontMatter {
        module_id: module.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status: BuildStatus::Deployed,
        stage: stage.clone(),
        timestamp: now,
        evidence: evidence.to_string(),
        supersedes,
    };
    let mut text = front_matter.document(artefacts);
    schema_table(&mut text, schemas);
    text
}

/// The handoff that the stage went back from the commit of `module`, by the promotion of `record`, which ended at `ended_at`;
/// `supersedes` is the Deployed handoff that it takes back, where there is one.
#[must_use]
pub fn rolled_back(
    commit: &Commit,
    module: &ModuleId,
    back_to: &CommitSha,
    record: &PromotionRecord,
    ended_at: Timestamp,
    supersedes: Option<&RecordKey>,
) -> String {
    let front_matter = FrontMatter {
        module_id: module.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status: BuildStatus::RolledBack,
        stage: record.stage.clone(),
        timestamp: ended_at,
        evidence: PromotionRecord::key(&record.reference()).to_string(),
        supersedes: supersedes.map(ToString::to_string),
    };
    let failed = if record.rollback { "" } else { ", because its promotion failed" };
    let sentence = format!(": the stage `{}` went back from it to `{back_to}`{failed}.", record.stage);
    front_matter.taking_back(&sentence, std::iter::once(record.reason.as_str()))
}

/// Adds to a handoff what runners carried out, each with the record of what it came to.
pub fn add_runs<'a>(text: &mut String, runs: impl Iterator<Item = &'a CarriedOut>) {
    let mut runs = runs.peekable();
    if runs.peek().is_some() {
        text.push_str("\n| carried out by a runner | where | record | SHA-256 |\n|---|---|---|---|\n");
    }
    for CarriedOut { run, proof, completion, .. } in runs {
        let place = match proof {
            RunProof::Dbt(DbtProof { target: Some(target), .. }) => format!("target `{target}`"),
            RunProof::Dbt(DbtProof { target: None, .. }) => "no target told".to_owned(),
            RunProof::Pulumi(it) => format!("stack `{}` in `{}`", it.stack, it.backend),
        };
        let sha256 = match &completion.digest {
            Some(Digest::Sha256(sha256)) => format!("`{sha256}`"),
            Some(Digest::GitCommit(_)) | None => "not told".to_owned(),
        };
        let _ = writeln!(text, "| `{run}` | {place} | `{}` | {sha256} |", completion.uri);
    }
}

/// Whether each database's live schema is the tested one, by the digests of their normal forms.
fn schema_table<'a>(text: &mut String, schemas: impl Iterator<Item = (&'a DatabaseName, &'a SchemaComparison)>) {
    let mut schemas = schemas.peekable();
    if schemas.peek().is_some() {
        text.push_str("\n| database | schema parity | tested schema | live schema |\n|---|---|---|---|\n");
    }
    for (database, SchemaComparison { equal, tested_sha256, live_sha256, server_limits, .. }) in schemas {
        let parity = match (equal, server_limits) {
            (true, None) => "equal",
            (true, Some(_)) => "equal, as far as both servers can hold it",
            (false, _) => "**differs**",
        };
        let _ = writeln!(text, "| `{database}` | {parity} | `{tested_sha256}` | `{live_sha256}` |");
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{ids::Sha256, manifest::sample::commit};

    use super::*;
    use crate::stage::SchemaParity;

    fn deployed_to(stage: &str, commit: &Commit) -> String {
        let (database, stage): (DatabaseName, StageName) = ("payments".parse().unwrap(), stage.parse().unwrap());
        let comparison = SchemaComparison {
            equal: true,
            mode: SchemaParity::Required,
            tested_sha256: Sha256::of(b"schema"),
            live_sha256: Sha256::of(b"schema"),
            snapshot_key: String::new(),
            snapshot_version_id: "".into(),
            difference: None,
            server_limits: None,
            server_limits_accepted: false,
        };
        let promotion = "01J0000000000000000000000A".parse().unwrap();
        let evidence = RecordKey::Promotion(stage.clone(), commit.repo.clone(), promotion);
        deployed(
            commit,
            &"MOD-012".parse().unwrap(),
            &stage,
            "2026-05-02T04:00:00.123Z".parse().unwrap(),
            &evidence,
            [("modules/MOD-012/functions/pay.zip", Sha256::of(b"zip").to_string())].into_iter(),
            [(&database, &comparison)].into_iter(),
            None,
        )
    }

    /// A commit whose names YAML would read as something else than text.
    fn odd() -> Commit {
        Commit { repo: "2026-05-02".parse().unwrap(), sha: "1".repeat(40).parse().unwrap() }
    }

    // `infra/test_handoffs.py` reads these documents as the wiki does: with a YAML parser and the JSON Schema.
    #[test]
    fn a_handoff_names_its_evidence_its_artefacts_and_how_its_schemas_compare() {
        insta::assert_snapshot!("deployed", deployed_to("uat", &commit()));
        insta::assert_snapshot!("odd_names", deployed_to("no", &odd()));
    }

    #[test]
    fn a_handoff_reads_back() {
        let read = FrontMatter::of(&deployed_to("no", &odd())).unwrap();
        assert_eq!((read.commit(), read.build_status, read.stage.as_str()), (odd(), BuildStatus::Deployed, "no"));
        // A newer gate may tell more.
        let newer = deployed_to("uat", &commit()).replacen("---\n", "---\nsigned_by: gate\n", 1);
        assert!(FrontMatter::of(&newer).is_ok());
    }
}
