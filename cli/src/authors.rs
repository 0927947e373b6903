//! Whose own approval doesn't count: everybody who wrote what is new in a commit, and who started its build.
//!
//! New is what the branch's last Built commit doesn't have. On a branch without one it is what the default branch's last
//! Built commit doesn't have, and where there is none either, all of the history. A commit that is published again names
//! nobody less than before.

use std::{collections::BTreeSet, path::Path};

use anyhow::Context as _;
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    ids::{Commit, CommitSha, Sha256},
    manifest,
    manifest::{Author, Build},
    store_key::{ArtefactPath, RecordKey},
    verdict::LastBuilt,
};
use gatekeeper_store::{ReadStore, record};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    exit::Misuse,
    git::{self, GitClone},
    output::Output,
};

/// What is known of a build before its authors are.
pub(crate) struct Asked<'a> {
    /// The build's folder.
    pub(crate) folder: &'a Path,
    pub(crate) commit: &'a Commit,
    /// `None` where nobody says so; then there is no manifest either.
    pub(crate) branch: Option<&'a str>,
    /// The default branch, as the forge says.
    pub(crate) default_branch: Option<&'a str>,
    /// Who started the build.
    pub(crate) build: Option<&'a Build>,
    /// Those who were named by hand: the commit's author, and everybody.
    pub(crate) author: Option<&'a str>,
    pub(crate) authors: &'a [String],
    /// Whether nothing is uploaded.
    pub(crate) dry_run: bool,
    /// What the build's own document says.
    pub(crate) document: &'a Map<String, Value>,
}

/// Who wrote a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The commit's own author.
    pub(crate) author: Option<String>,
    /// Everybody who is known to have written what is new in the commit.
    pub(crate) authors: Vec<Author>,
    /// What whoever uploads this should know.
    pub(crate) warning: Option<String>,
}

/// The two buckets, where a build may ask them.
pub(crate) struct Buckets {
    pub(crate) artefacts: S3Store,
    pub(crate) records: S3Store,
}

/// What is taken of a manifest.
#[derive(Debug, Default, Deserialize)]
struct Claimed {
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    authors: Vec<Author>,
}

impl Asked<'_> {
    /// Those who are named by hand, or else by the clone that the commit is built in; `buckets` are asked only for
    /// a clone, and none of a dry run.
    ///
    /// # Errors
    /// [`Misuse`] with the remedy where a clone can't tell all of them; another error where it can't be known which
    /// commit was Built last.
    pub(crate) async fn find(
        &self,
        buckets: impl AsyncFnOnce() -> anyhow::Result<Buckets>,
        output: &mut Output,
    ) -> anyhow::Result<Found> {
        let claimed: Claimed = serde_json::from_value(Value::Object(self.document.clone())).unwrap_or_default();
        let named = self.authors.iter().map(String::as_str).chain(self.author).filter_map(git::parse);
        let named: Vec<_> = named.collect();
        if !named.is_empty() {
            return Ok(self.found(self.author.map(str::to_owned), named, &[]));
        }
        let Some(clone) = self.clone()? else {
            let nobody = claimed.author.is_none() && claimed.authors.is_empty();
            if nobody {
                let warning = "nobody is named as author, because the build lies in no clone of the commit: a stage with \
                               approvals may refuse it; build in the clone, or pass `--authors`";
                return Ok(Found { warning: Some(warning.to_owned()), ..Found::default() });
            }
            return Ok(self.found(claimed.author, Vec::new(), &claimed.authors));
        };
        let sha = &self.commit.sha;
        let whole = whole(&clone, sha);
        let author = |clone: &GitClone| clone.author(sha);
        if self.dry_run {
            // Nobody is left out of anything.
            if let Err(error) = whole {
                output.warning(&error.to_string());
                return Ok(Found::default());
            }
            return Ok(Found { author: author(&clone)?, ..Found::default() });
        }
        whole?;
        let Buckets { artefacts, records } = buckets().await?;
        let base = self.base(&clone, &records, output).await?;
        let new = match &base {
            Base::Commit(base) => clone.authors(Some(base), sha)?,
            Base::None => clone.authors(None, sha)?,
            Base::Within => Vec::new(),
        };
        let before = self.published_before(&artefacts).await?;
        if base == Base::Within && before.is_empty() {
            output.progress("the commit is part of what was Built already: the authors of its whole history count");
            return Ok(self.found(author(&clone)?, clone.authors(None, sha)?, &claimed.authors));
        }
        Ok(self.found(author(&clone)?, new, &[before, claimed.authors].concat()))
    }

    /// Those of `first`, of `then` and who started the build, each once.
    fn found(&self, author: Option<String>, first: Vec<Author>, then: &[Author]) -> Found {
        let mut authors = first;
        let mut seen: BTreeSet<_> = authors.iter().map(key).collect();
        authors.extend(then.iter().filter(|author| seen.insert(key(author))).cloned());
        if let Some(Build { actor, .. }) = self.build {
            let actor = Author { name: actor.clone(), email: actor.clone(), commits: 0 };
            if seen.insert(key(&actor)) {
                authors.push(actor);
            }
        }
        Found { author, authors, warning: None }
    }

    /// The clone of the commit: that which the folder lies in, else that of the working folder if it has the commit.
    fn clone(&self) -> Result<Option<GitClone>, Misuse> {
        if let Some(clone) = GitClone::around(self.folder)? {
            return Ok(Some(clone));
        }
        let Some(clone) = GitClone::around(Path::new("."))? else { return Ok(None) };
        Ok(clone.has(&self.commit.sha)?.then_some(clone))
    }

    /// From where on commits are new.
    async fn base(&self, clone: &GitClone, records: &S3Store, output: &mut Output) -> anyhow::Result<Base> {
        let Some(branch) = self.branch else { return Ok(Base::None) };
        let told_by_clone = clone.default_branch();
        let default = self.default_branch.or(told_by_clone.as_deref()).unwrap_or("main");
        for (name, is_own) in [(branch, true), (default, false)] {
            let Some(last) = last_built(records, self.commit, name).await? else {
                if is_own && name == default {
                    break;
                }
                continue;
            };
            let last = last.baseline.commit_sha;
            if !clone.has(&last)? {
                let folder = clone.folder().display();
                return Err(Misuse(format!(
                    "`{last}`, which was Built last on `{name}`, is not in the clone `{folder}`, so nobody can tell what is new: \
                     was the branch rewritten? `git fetch origin {last}` may still get it, else pass `--authors`"
                ))
                .into());
            }
            if clone.has_in_history(&self.commit.sha, &last)? {
                return Ok(Base::Within);
            }
            if !is_own {
                output.progress(&format!(
                    "nothing of `{branch}` was Built yet: the authors of what `{name}` hasn't Built count"
                ));
            }
            return Ok(Base::Commit(last));
        }
        output.progress(&format!("nothing of `{branch}` was Built yet: the authors of its whole history count"));
        Ok(Base::None)
    }

    /// Those whom the commit's stored manifest names.
    async fn published_before(&self, artefacts: &S3Store) -> anyhow::Result<Vec<Author>> {
        let key = ArtefactPath::Manifest.of(self.commit);
        let stored = artefacts.get(&key, None, manifest::MAX_BYTES).await;
        let stored = stored.with_context(|| format!("the authors that `{key}` names could not be read"))?;
        let claimed = stored.and_then(|body| serde_json::from_slice::<Claimed>(&body.bytes).ok());
        Ok(claimed.unwrap_or_default().authors)
    }
}

/// From where on commits are new.
#[derive(Debug, PartialEq, Eq)]
enum Base {
    /// Behind this one.
    Commit(CommitSha),
    /// From the first.
    None,
    /// The commit itself is part of what was Built.
    Within,
}

/// Which commit of a branch was Built last; `None` where no commit of it was.
///
/// # Errors
/// Where that can't be read.
pub(crate) async fn last_built(records: &S3Store, commit: &Commit, branch: &str) -> anyhow::Result<Option<LastBuilt>> {
    let key = RecordKey::LastBuilt(commit.repo.clone(), Sha256::of(branch.as_bytes()));
    let last = record::read::<LastBuilt>(records, &key).await.with_context(|| {
        format!(
            "which commit of `{branch}` was Built last could not be read from `{key}`, so nobody can tell who wrote what is \
             new; CI's role may read it where the gatekeeper's template is of this version, else pass `--authors`"
        )
    })?;
    Ok(last.map(|stored| stored.record))
}

/// Whether a clone has the commit and all before it.
fn whole(clone: &GitClone, sha: &CommitSha) -> Result<(), Misuse> {
    let folder = clone.folder().display();
    if clone.is_shallow() {
        return Err(Misuse(format!(
            "the clone of `{folder}` is shallow, so nobody can tell who wrote what is new in the commit: check out the whole \
             history (`fetch-depth: 0` of actions/checkout, `git fetch --unshallow`), or pass `--authors`"
        )));
    }
    if clone.has(sha)? {
        return Ok(());
    }
    Err(Misuse(format!(
        "the clone that `{folder}` lies in has no commit `{sha}`, so nobody can tell who wrote it: build in the clone of the \
         commit, `git fetch origin {sha}`, or pass `--authors`"
    )))
}

fn key(author: &Author) -> String {
    if author.email.is_empty() { &author.name } else { &author.email }.to_lowercase()
}
