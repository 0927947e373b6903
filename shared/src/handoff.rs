//! Handoff documents, by which bank-wiki learns that a module is Built or Deployed (ADR-053 steps 12 and 14,
//! CONTRACT §7): Markdown under YAML front matter, only from facts that the gate verified, and the same bytes
//! whenever they are written of the same facts.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{
    ids::{Commit, DatabaseName, ModuleId, StageName},
    manifest::{Manifest, Module},
    promotion::record::SchemaComparison,
    store_key::RecordKey,
    verdict::Verdict,
};

/// The front matter, whose values need no quoting by their grammars.
struct FrontMatter<'a> {
    module: &'a ModuleId,
    commit: &'a Commit,
    build_status: &'static str,
    stage: &'a str,
    timestamp: Timestamp,
    evidence: String,
}

impl FrontMatter<'_> {
    fn render(&self) -> String {
        let Self { module, commit: Commit { repo, sha }, build_status, stage, timestamp, evidence } = self;
        format!(
            "---\nmodule_id: {module}\nrepo: {repo}\ncommit_sha: \"{sha}\"\nbuild_status: {build_status}\n\
             stage: {stage}\ntimestamp: \"{timestamp}\"\nevidence: {evidence}\n---\n\n\
             # {module} is {build_status}\n\nCommit `{sha}` of `{repo}`, stage `{stage}`.\n"
        )
    }
}

/// The handoff that `module` is Built.
#[must_use]
pub fn built(verdict: &Verdict, manifest: &Manifest, module: &Module) -> String {
    let commit = verdict.commit();
    let mut text = FrontMatter {
        module: &module.id,
        commit: &commit,
        build_status: "Built",
        stage: manifest.deploy.as_ref().map_or("dev", |deploy| deploy.stage.as_str()),
        timestamp: verdict.evaluated_at,
        evidence: RecordKey::Verdict(commit.clone()).to_string(),
    }
    .render();
    artefact_table(&mut text, artefacts_of(verdict, &commit, module));
    text
}

/// The objects of a module as they were judged.
fn artefacts_of<'a>(
    verdict: &'a Verdict,
    commit: &Commit,
    module: &Module,
) -> impl Iterator<Item = (&'a str, String)> + use<'a> {
    let prefix = format!("{}/", commit.module_prefix(&module.id));
    let of_module = verdict.artefacts.iter().filter(move |artefact| artefact.key.starts_with(&prefix));
    of_module.map(|artefact| (artefact.key.as_str(), artefact.sha256.to_string()))
}

/// The handoff that CI deployed `module` to the stage that its integration tests ran against, where the deploy step and
/// the smoke test after it succeeded; none where they didn't, or are not told.
#[must_use]
pub fn deployed_by_ci(verdict: &Verdict, manifest: &Manifest, module: &Module) -> Option<String> {
    let deploy = manifest.deploy.as_ref().filter(|deploy| deploy.succeeded)?;
    manifest.tests.smoke.as_ref().filter(|smoke| smoke.exit_code == 0)?;
    let commit = verdict.commit();
    let mut text = FrontMatter {
        module: &module.id,
        commit: &commit,
        build_status: "Deployed",
        stage: deploy.stage.as_str(),
        timestamp: verdict.evaluated_at,
        evidence: RecordKey::Verdict(commit.clone()).to_string(),
    }
    .render();
    artefact_table(&mut text, artefacts_of(verdict, &commit, module));
    Some(text)
}

/// The stage that a handoff tells of; none where it is no handoff.
#[must_use]
pub fn stage_of(document: &[u8]) -> Option<StageName> {
    let text = std::str::from_utf8(document).ok()?;
    let (front_matter, _) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    front_matter.lines().find_map(|line| line.strip_prefix("stage: "))?.parse().ok()
}

/// The handoff that `module` is Deployed to `stage`, by the promotion whose record lies at `evidence`.
#[must_use]
pub fn deployed<'a>(
    commit: &Commit,
    module: &ModuleId,
    stage: &StageName,
    now: Timestamp,
    evidence: &RecordKey,
    artefacts: impl Iterator<Item = (&'a str, String)>,
    schemas: impl Iterator<Item = (&'a DatabaseName, &'a SchemaComparison)>,
) -> String {
    let mut text = FrontMatter {
        module,
        commit,
        build_status: "Deployed",
        stage: stage.as_str(),
        timestamp: now,
        evidence: evidence.to_string(),
    }
    .render();
    artefact_table(&mut text, artefacts);
    schema_table(&mut text, schemas);
    text
}

/// Whether each database's live schema is the tested one, by the digests of their normal forms.
fn schema_table<'a>(text: &mut String, schemas: impl Iterator<Item = (&'a DatabaseName, &'a SchemaComparison)>) {
    let mut schemas = schemas.peekable();
    if schemas.peek().is_some() {
        text.push_str("\n| database | schema parity | tested schema | live schema |\n|---|---|---|---|\n");
    }
    for (database, SchemaComparison { equal, tested_sha256, live_sha256, .. }) in schemas {
        let parity = if *equal { "equal" } else { "**differs**" };
        let _ = writeln!(text, "| `{database}` | {parity} | `{tested_sha256}` | `{live_sha256}` |");
    }
}

fn artefact_table<'a>(text: &mut String, artefacts: impl Iterator<Item = (&'a str, String)>) {
    text.push_str("\n| artefact | SHA-256 |\n|---|---|\n");
    for (key, sha256) in artefacts {
        // Writing to a string never fails.
        let _ = writeln!(text, "| `{key}` | `{sha256}` |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::Finding,
        gate::tests::evidence,
        manifest::tests::{commit, example},
        verdict::{JudgedArtefact, Outcome},
    };

    #[test]
    fn a_built_handoff_names_its_evidence_and_every_artefact_of_the_module() {
        let stored = evidence(&example());
        let manifest = Manifest::parse(example().to_string().as_bytes(), &commit()).unwrap();
        let artefacts = stored.objects.iter().map(|(path, object)| JudgedArtefact {
            key: path.of(&commit()),
            version_id: object.version_id.clone(),
            sha256: object.sha256,
            size: object.size,
        });
        let verdict = Verdict {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            manifest_version_id: Some("m1".to_owned()),
            outcome: Outcome::Built,
            reasons: Vec::<Finding>::new(),
            artefacts: artefacts.collect(),
            policy_version_id: None,
            compared_with: None,
            evaluated_at: "2026-05-02T03:10:00Z".parse().unwrap(),
        };
        insta::assert_snapshot!(built(&verdict, &manifest, &manifest.modules[0]), @r#"
        ---
        module_id: MOD-012
        repo: bank-payments
        commit_sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
        build_status: Built
        stage: dev
        timestamp: "2026-05-02T03:10:00Z"
        evidence: bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/verdict.json
        ---

        # MOD-012 is Built

        Commit `3f1c9a0b5d7e2468ace013579bdf02468ace1357` of `bank-payments`, stage `dev`.

        | artefact | SHA-256 |
        |---|---|
        | `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/functions/authorise-payment.zip` | `4a70fe9aa6436e02c2dea340fbd1e352e4ef2d8ce6ca52ad25d4b95471fc8bf2` |
        | `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/cloudformation/payments-api.json` | `5cde0f1298f41f7d1c8b907a36992a7a513225a2615bd6e307bf1a9149b06b40` |
        | `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/schema/payments-schema.sql` | `df0ad6e43880f09c90ebf95f19110178aba6890df0010ebda7485029e2b543b4` |
        | `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/schema/payments/migrations/V1__create_ledger.sql` | `8a6cead4385ed4394247b71692fb729b0563f8e1bd4818a8c6c82940e9e099ba` |
        | `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/dbt/manifest.json` | `de371adefe4de7fe43b17dd1d87d8d47eab2f506eb5dfed54560638e894018f7` |
        "#);
    }
}
