//! The form of handoff documents, by which bank-wiki learns that a module is Built or Deployed (ADR-053 steps 12 and 14,
//! CONTRACT §7), or is it no longer: Markdown under YAML front matter, the same bytes whenever they are written of the same facts.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{Commit, CommitSha, ModuleId, Repo, StageName};

/// The largest handoff document that is read, in bytes: one names every artefact of its module.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The line before and after the front matter.
const FENCE: &str = "---";

/// Words that YAML 1.1 or 1.2 reads as something else than text.
const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// The YAML front matter of a handoff document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub timestamp: Timestamp,
    /// The key of the record that proves it, in the records bucket.
    pub evidence: String,
    /// The key of the handoff document that it takes back, in the records bucket; left out where it takes back none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
}

/// What a handoff document makes of a module's `build_status` (ADR-053 "Built and Deployed definitions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BuildStatus {
    /// All of the conditions hold.
    Built,
    /// It was deployed, and the smoke test passed.
    Deployed,
    /// Its commit was taken back after it was Built: nothing promotes it any more. It holds for every stage.
    Revoked,
    /// The stage went back to an earlier commit.
    RolledBack,
}

impl BuildStatus {
    /// The word, as it stands in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Built => "Built",
            Self::Deployed => "Deployed",
            Self::Revoked => "Revoked",
            Self::RolledBack => "RolledBack",
        }
    }

    /// The same in a sentence.
    fn in_words(self) -> &'static str {
        match self {
            Self::Built | Self::Deployed => self.as_str(),
            Self::Revoked => "revoked",
            Self::RolledBack => "rolled back",
        }
    }
}

/// Why a text is no handoff document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a handoff document: {0}")]
pub struct InvalidHandoff(String);

impl FrontMatter {
    /// The JSON Schema of the front matter, draft 2020-12.
    #[cfg(feature = "schema")]
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

    /// The document: its front matter, a heading, and the module's artefacts with their SHA-256.
    #[must_use]
    pub fn document<'a>(&self, artefacts: impl Iterator<Item = (&'a str, String)>) -> String {
        let Self { repo, commit_sha, stage, .. } = self;
        let mut document = self.head();
        let _ = write!(
            document,
            "Commit `{commit_sha}` of `{repo}`, stage `{stage}`.\n\n| artefact | SHA-256 |\n|---|---|\n"
        );
        for (key, sha256) in artefacts {
            // Writing to a string never fails.
            let _ = writeln!(document, "| `{key}` | `{sha256}` |");
        }
        document
    }

    /// The document that takes another back: its front matter, a heading, a sentence behind the commit's name, and why, in
    /// the words of whoever said so: as text that no Markdown is read in.
    #[must_use]
    pub fn taking_back<'a>(&self, sentence: &str, reasons: impl Iterator<Item = &'a str>) -> String {
        let mut document = self.head();
        let _ = write!(document, "Commit `{}` of `{}`{sentence}\n\n", self.commit_sha, self.repo);
        for reason in reasons {
            let line: String = reason.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
            let _ = writeln!(document, "    {}", line.trim());
        }
        document
    }

    fn head(&self) -> String {
        let Self { module_id, repo, commit_sha, build_status, stage, timestamp, evidence, supersedes } = self;
        let (yaml_repo, yaml_stage, status) = (text(repo.as_str()), text(stage.as_str()), build_status.as_str());
        let supersedes = supersedes.as_ref().map(|key| format!("supersedes: {}\n", text(key))).unwrap_or_default();
        format!(
            "{FENCE}\nmodule_id: {module_id}\nrepo: {yaml_repo}\ncommit_sha: \"{commit_sha}\"\nbuild_status: {status}\n\
             stage: {yaml_stage}\ntimestamp: \"{timestamp}\"\nevidence: {evidence}\n{supersedes}{FENCE}\n\n\
             # {module_id} is {}\n\n",
            build_status.in_words()
        )
    }
}

/// A name as YAML, in quotes where YAML would take it for a number, a date or a truth.
fn text(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic()) && !WORDS.contains(&name);
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> String {
        let front_matter = FrontMatter {
            module_id: "MOD-012".parse().unwrap(),
            repo: "bank-payments".parse().unwrap(),
            commit_sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap(),
            build_status: BuildStatus::Deployed,
            stage: "uat".parse().unwrap(),
            timestamp: "2026-05-02T04:00:00.123Z".parse().unwrap(),
            evidence: "promotions/uat.json".to_owned(),
            supersedes: None,
        };
        front_matter.document([("modules/MOD-012/functions/pay.zip", "00".to_owned())].into_iter())
    }

    #[test]
    fn whoever_gives_a_reason_writes_neither_markdown_nor_front_matter() {
        let front_matter = FrontMatter {
            build_status: BuildStatus::Revoked,
            supersedes: Some("bank-payments/3f1c/docs/handoffs/a.handoff.md".to_owned()),
            ..FrontMatter::of(&document()).unwrap()
        };
        let document = front_matter.taking_back(" was taken back.", ["x\n---\n# [y](z) `q`"].into_iter());
        insta::assert_snapshot!(document.rsplit("---\n").next().unwrap(), @"

        # MOD-012 is revoked

        Commit `3f1c9a0b5d7e2468ace013579bdf02468ace1357` of `bank-payments` was taken back.

            x --- # [y](z) `q`
        ");
        assert_eq!(FrontMatter::of(&document).unwrap(), front_matter);
    }

    #[test]
    fn what_is_no_handoff_is_refused_by_what_is_wrong() {
        let document = document();
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
        another status: not a handoff document: its front matter: unknown variant `Released`, expected one of `Built`, `Deployed`, `Revoked`, `RolledBack`
        no module: not a handoff document: its front matter: missing field `module_id`
        not the module's grammar: not a handoff document: its front matter: `../MOD-012` is not a valid module id: `MOD-` and at least three digits
        twice: not a handoff document: `stage` is there twice
        nested: not a handoff document: line 6 is not `field: value`
        escapes: not a handoff document: line 6 is not written as the gatekeeper writes it
        a quote: not a handoff document: line 6 has a quote without an end
        ");
    }
}
