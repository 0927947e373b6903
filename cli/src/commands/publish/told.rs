//! What is told of a build by its options, its own document, GitHub and git; and the manifest that comes of it.

use std::path::PathBuf;

use gatekeeper_model::{ids::Commit, manifest::Build, telemetry};
use serde_json::{Map, Value};

use super::Args;
use crate::{
    authors::{Asked, Buckets, Found},
    aws::Aws,
    build_folder::{
        self, BuildFile,
        draft::{self, Facts},
        figures, recognise,
    },
    exit::Misuse,
    github::GitHub,
    output::Output,
};

/// What is told of a build by its options, its own document and GitHub.
#[derive(Debug, Clone)]
pub(super) struct Told {
    document: Map<String, Value>,
    branch: Option<String>,
    build: Option<Build>,
}

impl Told {
    pub(super) fn of(args: &Args, github: Option<&GitHub>, files: &[BuildFile]) -> Result<Self, Misuse> {
        let document = build_folder::base(files)?;
        let branch = args.branch.clone().or_else(|| github?.branch.clone());
        let given = args.run_url.clone().zip(args.actor.clone());
        let given =
            given.map(|(run_url, actor)| Build { run_url, run_attempt: args.run_attempt, actor, repository: None });
        Ok(Self { document, branch, build: given.or_else(|| github?.build.clone()) })
    }

    /// The branch, also where only the build's own document says which.
    pub(super) fn branch(&self) -> Option<&str> {
        self.branch.as_deref().or_else(|| self.document.get("branch")?.as_str())
    }

    /// Who started the build, also where only its own document says who.
    fn built_by(&self) -> Option<Build> {
        let claimed = || serde_json::from_value(self.document.get("build")?.clone()).ok();
        self.build.clone().or_else(claimed)
    }
}

/// Whose own approval won't count.
pub(super) async fn authors(
    args: &Args,
    github: Option<&GitHub>,
    commit: &Commit,
    told: &Told,
    output: &mut Output,
) -> anyhow::Result<Found> {
    let build = told.built_by();
    let asked = Asked {
        folder: &args.folder,
        commit,
        branch: told.branch(),
        default_branch: github.and_then(|github| github.default_branch.as_deref()),
        build: build.as_ref(),
        author: args.author.as_deref(),
        authors: &args.authors,
        dry_run: args.dry_run,
        document: &told.document,
    };
    let buckets = async || {
        let aws = Aws::connect(&args.aws).await?;
        Ok(Buckets { artefacts: aws.artefacts().await?, records: aws.records().await? })
    };
    asked.find(buckets, output).await
}

/// The manifest's bytes.
pub(super) fn manifest(
    args: &Args,
    commit: &Commit,
    files: &[BuildFile],
    told: Told,
    found: Found,
    output: &mut Output,
) -> anyhow::Result<Vec<u8>> {
    let observed = |path: &PathBuf| -> Result<Value, Misuse> {
        let observed = serde_json::from_slice(&build_folder::read(path)?);
        observed.map_err(|error| Misuse(format!("`{}` is not JSON: {error}", path.display())))
    };
    let facts = Facts {
        commit: commit.clone(),
        branch: told.branch,
        author: found.author,
        authors: found.authors,
        changes: args.changes.clone(),
        build: told.build,
        flyway: args.flyway.as_deref().map(build_folder::read_object).transpose()?.unwrap_or_default(),
        observed: args.observed.as_ref().map(observed).transpose()?,
        timestamp: telemetry::wall_clock(),
    };
    let recount = |document: &mut _| figures::recount(document, files);
    let draft = draft::draft(told.document, files, &build_folder::contents(files)?, recount, facts)?;
    for warning in &draft.warnings {
        output.warning(warning);
    }
    for taken in recognise::taken_for(&draft.document) {
        output.progress(&taken);
    }
    let mut bytes = serde_json::to_vec_pretty(&draft.document)?;
    bytes.push(b'\n');
    Ok(bytes)
}
