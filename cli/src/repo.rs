//! What a repository is called here: its forge's name in lower case, because the store's layout has no capitals (CONTRACT §2).
//!
//! Within one owner this loses nothing: forges tell no two repositories apart by their letters' case. Repositories of two
//! owners could come to one name, and so could one that `--repo` names: `publish` holds against each other where they come from.

use std::{ops::Deref, str::FromStr};

use gatekeeper_model::{
    ids::{Commit, InvalidId, Repo},
    manifest::{Build, Manifest},
    store_key::ArtefactPath,
    verdict::LastBuilt,
};
use gatekeeper_store::ReadStore;

use crate::{exit::Misuse, output::Output, records::Records, sha::GivenSha};

/// The commit that a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct CommitArgs {
    /// The repository
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Repo,
    /// The commit, in full or by its first 7 digits or more
    #[arg(long, alias = "commit-sha", value_name = "SHA")]
    pub(crate) sha: GivenSha,
}

impl CommitArgs {
    /// The commit that is meant.
    pub(crate) async fn commit(&self, records: &impl Records) -> anyhow::Result<Commit> {
        Ok(Commit { repo: self.repo.clone(), sha: self.sha.of(records, &self.repo).await? })
    }
}

/// A repository as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    repo: Repo,
    given: String,
}

impl FromStr for Named {
    type Err = InvalidId;

    fn from_str(given: &str) -> Result<Self, InvalidId> {
        let repo = given.to_ascii_lowercase().parse();
        // The text that was given is the one that is wrong.
        let repo = repo.map_err(|error: InvalidId| InvalidId { value: given.chars().take(200).collect(), ..error })?;
        Ok(Self { repo, given: given.to_owned() })
    }
}

impl Deref for Named {
    type Target = Repo;

    fn deref(&self) -> &Repo {
        &self.repo
    }
}

impl Named {
    /// Says what the repository is called here, where that isn't what it is called there.
    pub(crate) fn say(&self, output: &mut Output) {
        if self.given != self.repo.as_str() {
            output.progress(&format!("`{}` is called `{}` here: names are kept in lower case", self.given, self.repo));
        }
    }
}

/// Where a build comes from, as its forge calls it: `Example-Bank/Payments`.
fn source(build: &Build) -> Option<String> {
    let of_the_run = || {
        let path = build.run_url.split_once("://")?.1.split_once('/')?.1;
        let (repository, _) = path.split_once("/actions/runs/")?;
        (repository.split('/').count() == 2).then(|| repository.to_owned())
    };
    build.repository.clone().or_else(of_the_run)
}

/// Holds where a build comes from against where the last Built commit of its branch, or of the default branch, came from.
///
/// # Errors
/// [`Misuse`] where that was another repository than this one, and than `moved_from`; another error where it could not
/// look.
pub(crate) async fn check_source(
    artefacts: &impl ReadStore,
    last: &LastBuilt,
    ours: &str,
    moved_from: Option<&str>,
) -> anyhow::Result<()> {
    let commit = gatekeeper_model::ids::Commit { repo: last.repo.clone(), sha: last.baseline.commit_sha.clone() };
    let key = ArtefactPath::Manifest.of(&commit);
    let version_id = &last.baseline.manifest_version_id;
    let Some(body) = artefacts.get(&key, Some(version_id), gatekeeper_model::manifest::MAX_BYTES).await? else {
        return Ok(());
    };
    let manifest = serde_json::from_slice::<Manifest>(&body.bytes).ok();
    let Some(theirs) = manifest.and_then(|manifest| source(&manifest.build?)) else { return Ok(()) };
    let same = |other: &str| other.eq_ignore_ascii_case(&theirs);
    if same(ours) || moved_from.is_some_and(same) {
        return Ok(());
    }
    let repo = &last.repo;
    Err(Misuse(format!(
        "`{repo}` holds the commits of `{theirs}`, and this is `{ours}`: two repositories must not share a name, pass another \
         `--repo`; if it is the same one that was renamed or moved, pass `--moved-from {theirs}` once"
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::ids::Sha256;
    use gatekeeper_store::memory::Memory;
    use serde_json::json;

    use super::*;

    #[test]
    fn capitals_are_mapped_and_what_no_name_can_be_is_refused_as_it_was_given() {
        for (given, repo) in
            [("Bank-Payments", "bank-payments"), ("bank-payments", "bank-payments"), ("A.b_C", "a.b_c")]
        {
            assert_eq!(given.parse::<Named>().unwrap().as_str(), repo);
        }
        let wrong = [".github", "-Bank", "Bank Payments", "Bänk", "Ledger", ""];
        let told = wrong.map(|given| given.parse::<Named>().unwrap_err().to_string());
        insta::assert_snapshot!(told.join("\n"), @"
        `.github` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `-Bank` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `Bank Payments` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `Bänk` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `Ledger` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        `` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
        ");
    }

    /// What comes of a build of `ours` behind one whose manifest tells of `build`.
    async fn checked(build: &serde_json::Value, ours: &str, moved_from: Option<&str>) -> Result<(), String> {
        let (store, sha) = (Memory::default(), "3f".repeat(20));
        let manifest = json!({"schema_version": 1, "repo": "payments", "commit_sha": sha, "branch": "main",
                              "timestamp": "2026-05-02T03:04:05Z", "modules": [], "build": build});
        let key = format!("payments/{sha}/build-manifest.json");
        store.upload(&key, manifest.to_string().as_bytes(), &[]);
        let version_id = store.get(&key, None, 1_000_000).await.unwrap().unwrap().version_id;
        let last = json!({"schema_version": 1, "repo": "payments", "branch": "main", "commit_sha": sha,
                          "manifest_version_id": version_id, "reports": [], "first_seen_at": "2026-05-02T03:04:05Z",
                          "sha": Sha256::of(b"")});
        let last = serde_json::from_value(last).unwrap();
        check_source(&store, &last, ours, moved_from).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn two_repositories_do_not_share_a_name_in_silence() {
        let by_url =
            json!({"run_url": "https://github.com/Bank/Payments/actions/runs/1", "run_attempt": 1, "actor": "ci"});
        let named =
            json!({"run_url": "https://ci.example/1", "run_attempt": 1, "actor": "ci", "repository": "bank/payments"});
        let elsewhere = json!({"run_url": "https://ci.example/1", "run_attempt": 1, "actor": "ci"});
        for build in [&by_url, &named] {
            assert_eq!(checked(build, "bank/PAYMENTS", None).await, Ok(()));
            let refused = checked(build, "Other/Payments", None).await.unwrap_err();
            assert!(refused.starts_with("`payments` holds the commits of `"), "{refused}");
            assert_eq!(checked(build, "Other/Payments", Some("bank/payments")).await, Ok(()));
            assert!(checked(build, "Other/Payments", Some("third/payments")).await.is_err());
        }
        assert_eq!(checked(&elsewhere, "Other/Payments", None).await, Ok(()), "nobody said where it came from");
    }
}
