//! Handoff documents, by which bank-wiki learns that a module is Built or Deployed (ADR-053 steps 12 and 14,
//! CONTRACT §7): Markdown under YAML front matter, only from facts that the gate verified or holds evidence
//! of, and the same bytes whenever they are written of the same facts.

use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{Commit, CommitSha, DatabaseName, ModuleId, Repo, StageName},
    manifest::{Manifest, Module},
    promotion::record::SchemaComparison,
    store_key::RecordKey,
    verdict::Verdict,
};

/// The largest handoff document that is read, in bytes: one names every artefact of its module.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The line before and after the front matter.
const FENCE: &str = "---";

/// Words that YAML 1.1 or 1.2 reads as something else than text.
const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// The YAML front matter of a handoff document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrontMatter {
    /// The module.
    pub module_id: ModuleId,
    /// The repository that it was built from.
    pub repo: Repo,
    /// The commit that it was built from.
    pub commit_sha: CommitSha,
    /// What the module is now.
    pub build_status: BuildStatus,
    /// The stage that it was tested in or deployed to.
    pub stage: StageName,
    /// When the gatekeeper found that out, RFC 3339.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Timestamp,
    /// The key of the record that proves it, in the records bucket.
    pub evidence: String,
}

/// What a handoff document makes of a module's `build_status` (ADR-053 "Built and Deployed definitions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BuildStatus {
    /// All of the conditions hold.
    Built,
    /// It was deployed, and the smoke test passed.
    Deployed,
}

/// Why a text is no handoff document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a handoff document: {0}")]
pub struct InvalidHandoff(String);

impl FrontMatter {
    /// The JSON Schema of the front matter, draft 2020-12.
    #[must_use]
    pub fn json_schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads the front matter of a document. Of YAML it takes what such documents are written in: a text a line, plain
    /// or in double quotes.
    ///
    /// # Errors
    /// Where the document does not begin with one.
    pub fn of(document: &str) -> Result<Self, InvalidHandoff> {
        let invalid = |why: &str| InvalidHandoff(why.to_owned());
        let mut lines = document.split('\n').enumerate();
        if lines.next().is_none_or(|(_, line)| line != FENCE) {
            return Err(invalid("it does not begin with front matter"));
        }
        let mut fields = Map::new();
        for (index, line) in lines {
            if line == FENCE {
                return serde_json::from_value(Value::Object(fields))
                    .map_err(|error| InvalidHandoff(format!("its front matter: {error}")));
            }
            let wrong = |why: &str| InvalidHandoff(format!("line {} {why}", index + 1));
            let (field, value) = line.split_once(": ").ok_or_else(|| wrong("is not `field: value`"))?;
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"').ok_or_else(|| wrong("has a quote without an end"))?,
                None => value,
            };
            if value.contains(['"', '\\']) || value.trim() != value {
                return Err(wrong("is not written as the gatekeeper writes it"));
            }
            if fields.insert(field.to_owned(), Value::String(value.to_owned())).is_some() {
                return Err(InvalidHandoff(format!("`{field}` is there twice")));
            }
        }
        Err(invalid("its front matter has no end"))
    }

    /// The module's commit.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    fn render(&self) -> String {
        let Self { module_id, repo, commit_sha, build_status, stage, timestamp, evidence } = self;
        let status = match build_status {
            BuildStatus::Built => "Built",
            BuildStatus::Deployed => "Deployed",
        };
        let (yaml_repo, yaml_stage) = (text(repo.as_str()), text(stage.as_str()));
        format!(
            "{FENCE}\nmodule_id: {module_id}\nrepo: {yaml_repo}\ncommit_sha: \"{commit_sha}\"\nbuild_status: {status}\n\
             stage: {yaml_stage}\ntimestamp: \"{timestamp}\"\nevidence: {evidence}\n{FENCE}\n\n\
             # {module_id} is {status}\n\nCommit `{commit_sha}` of `{repo}`, stage `{stage}`.\n"
        )
    }
}

/// A name as YAML, in quotes where YAML would take it for a number, a date or a truth.
fn text(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic()) && !WORDS.contains(&name);
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// The handoff that `module` is Built.
#[must_use]
pub fn built(verdict: &Verdict, manifest: &Manifest, module: &Module) -> String {
    let stage = manifest.deploy.as_ref().map_or_else(StageName::dev, |deploy| deploy.stage.clone());
    by_verdict(verdict, module, BuildStatus::Built, stage)
}

/// The handoff that CI deployed `module` to dev, where the deploy step and the smoke test after it succeeded, as CI says;
/// none where they didn't, or are not told.
#[must_use]
pub fn deployed_by_ci(verdict: &Verdict, manifest: &Manifest, module: &Module) -> Option<String> {
    // Of other stages only a promotion can tell.
    let deploy = manifest.deploy.as_ref().filter(|deploy| deploy.succeeded && deploy.stage == StageName::dev())?;
    manifest.tests.smoke.as_ref().filter(|smoke| smoke.exit_code == 0)?;
    Some(by_verdict(verdict, module, BuildStatus::Deployed, deploy.stage.clone()))
}

fn by_verdict(verdict: &Verdict, module: &Module, build_status: BuildStatus, stage: StageName) -> String {
    let commit = verdict.commit();
    let mut text = FrontMatter {
        module_id: module.id.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status,
        stage,
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
        module_id: module.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status: BuildStatus::Deployed,
        stage: stage.clone(),
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
    for (database, SchemaComparison { equal, tested_sha256, live_sha256, server_limits, .. }) in schemas {
        let parity = match (equal, server_limits) {
            (true, None) => "equal",
            (true, Some(_)) => "equal, as far as both servers can hold it",
            (false, _) => "**differs**",
        };
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
        ids::Sha256,
        manifest::tests::{commit, example},
        stage::SchemaParity,
        verdict::{JudgedArtefact, Outcome},
    };

    /// A verdict on the contract's example.
    fn verdict() -> (Verdict, Manifest) {
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
            policy_sha256: None,
            policy_tests: None,
            compared_with: None,
            warnings: Vec::new(),
            recounted: std::collections::BTreeMap::new(),
            evaluated_at: "2026-05-02T03:10:00Z".parse().unwrap(),
        };
        (verdict, manifest)
    }

    fn deployed_to(stage: &str, commit: &Commit) -> String {
        let (database, stage): (DatabaseName, StageName) = ("payments".parse().unwrap(), stage.parse().unwrap());
        let comparison = SchemaComparison {
            equal: true,
            mode: SchemaParity::Required,
            tested_sha256: Sha256::of(b"schema"),
            live_sha256: Sha256::of(b"schema"),
            snapshot_key: String::new(),
            snapshot_version_id: String::new(),
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
        )
    }

    /// A commit whose names YAML would read as something else than text.
    fn odd() -> Commit {
        Commit { repo: "2026-05-02".parse().unwrap(), sha: "1".repeat(40).parse().unwrap() }
    }

    // `infra/test_handoffs.py` reads these documents as the wiki does: with a YAML parser and the JSON Schema.
    #[test]
    fn a_handoff_names_its_evidence_and_every_artefact_of_the_module() {
        let (verdict, manifest) = verdict();
        insta::assert_snapshot!("built", built(&verdict, &manifest, &manifest.modules[0]));
        insta::assert_snapshot!("deployed", deployed_to("uat", &commit()));
        insta::assert_snapshot!("odd_names", deployed_to("no", &odd()));
    }

    #[test]
    fn a_handoff_reads_back() {
        let (verdict, manifest) = verdict();
        let read = FrontMatter::of(&built(&verdict, &manifest, &manifest.modules[0])).unwrap();
        assert_eq!((read.commit(), read.build_status, read.stage.as_str()), (commit(), BuildStatus::Built, "dev"));
        assert_eq!((read.module_id.as_str(), read.timestamp), ("MOD-012", verdict.evaluated_at));
        assert_eq!(read.evidence, RecordKey::Verdict(commit()).to_string());
        let read = FrontMatter::of(&deployed_to("no", &odd())).unwrap();
        assert_eq!((read.commit(), read.build_status, read.stage.as_str()), (odd(), BuildStatus::Deployed, "no"));
        // A newer gate may tell more.
        let newer = deployed_to("uat", &commit()).replacen("---\n", "---\nsigned_by: gate\n", 1);
        assert!(FrontMatter::of(&newer).is_ok());
    }

    #[test]
    fn what_is_no_handoff_is_refused_by_what_is_wrong() {
        let document = deployed_to("uat", &commit());
        let refused = [
            ("no front matter", String::new()),
            ("no end", "---\nrepo: bank-payments\n".to_owned()),
            ("another status", document.replace("build_status: Deployed", "build_status: Released")),
            ("no module", document.replace("module_id: MOD-012\n", "")),
            ("not the module's grammar", document.replace("module_id: MOD-012\n", "module_id: ../MOD-012\n")),
            ("twice", document.replacen("stage: uat\n", "stage: uat\nstage: prod\n", 1)),
            ("nested", document.replacen("stage: uat\n", "stage:\n  name: uat\n", 1)),
            ("escapes", document.replacen("stage: uat\n", "stage: \"u\\x61t\"\n", 1)),
            ("a quote", document.replacen("stage: uat\n", "stage: \"uat\n", 1)),
        ]
        .map(|(what, text)| format!("{what}: {}", FrontMatter::of(&text).unwrap_err()));
        insta::assert_snapshot!(refused.join("\n"), @"
        no front matter: not a handoff document: it does not begin with front matter
        no end: not a handoff document: line 3 is not `field: value`
        another status: not a handoff document: its front matter: unknown variant `Released`, expected `Built` or `Deployed`
        no module: not a handoff document: its front matter: missing field `module_id`
        not the module's grammar: not a handoff document: its front matter: `../MOD-012` is not a valid module id: `MOD-` and at least three digits
        twice: not a handoff document: `stage` is there twice
        nested: not a handoff document: line 6 is not `field: value`
        escapes: not a handoff document: line 6 is not written as the gatekeeper writes it
        a quote: not a handoff document: line 6 has a quote without an end
        ");
    }
}
