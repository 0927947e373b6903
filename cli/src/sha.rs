//! A commit as people name it: by its SHA, in full or by its first digits, as git shows it.

use std::{fmt, str::FromStr};

use gatekeeper_model::ids::{CommitSha, Repo};

use crate::{exit::Misuse, nearest::meant, records::Records};

/// The fewest digits that name a commit: git's own.
pub(crate) const FEWEST: usize = 7;

/// How many commits an error lists.
const LISTED: usize = 10;

/// A SHA as somebody gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GivenSha {
    /// All of it.
    Full(CommitSha),
    /// Its first digits.
    Short(String),
}

impl FromStr for GivenSha {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(full) = text.parse() {
            return Ok(Self::Full(full));
        }
        let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hex || text.is_empty() || text.len() > 64 {
            let shown: String = text.chars().take(200).collect();
            return Err(format!(
                "`{shown}` is no commit's SHA: its 40 or 64 lowercase hexadecimal digits, or the first {FEWEST} of them or more"
            ));
        }
        if text.len() < FEWEST {
            return Err(format!("`{text}` is too short: {FEWEST} digits or more name a commit"));
        }
        Ok(Self::Short(text.to_owned()))
    }
}

impl fmt::Display for GivenSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(sha) => sha.fmt(f),
            Self::Short(digits) => f.write_str(digits),
        }
    }
}

impl GivenSha {
    /// The commit of `repo` that is meant. A full SHA is taken as it is, and nobody is asked.
    ///
    /// # Errors
    /// [`Misuse`] where no commit or several begin so; another error where the bucket could not be listed.
    pub(crate) async fn of(&self, bucket: &impl Records, repo: &Repo) -> anyhow::Result<CommitSha> {
        let digits = match self {
            Self::Full(sha) => return Ok(sha.clone()),
            Self::Short(digits) => digits,
        };
        let found = begin_with(bucket, repo, digits).await?;
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(unknown(bucket, repo, digits).await?.into()),
            several => {
                Err(Misuse(format!("`{digits}` is not one commit of `{repo}`, give more digits: {}", list(several)))
                    .into())
            }
        }
    }
}

/// The commits of a repository whose SHAs begin so.
pub(crate) async fn begin_with(bucket: &impl Records, repo: &Repo, digits: &str) -> anyhow::Result<Vec<CommitSha>> {
    let folders = bucket.folders_beginning(&format!("{repo}/{digits}")).await?;
    Ok(folders.iter().filter_map(|folder| folder.trim_end_matches('/').rsplit('/').next()?.parse().ok()).collect())
}

/// The repositories that a bucket holds commits of.
pub(crate) async fn repos(bucket: &impl Records) -> anyhow::Result<Vec<Repo>> {
    let folders = bucket.folders_beginning("").await?;
    Ok(folders.iter().filter_map(|folder| folder.trim_end_matches('/').parse().ok()).collect())
}

/// That no commit begins so: because there is no such repository, or no such commit in it.
async fn unknown(bucket: &impl Records, repo: &Repo, digits: &str) -> anyhow::Result<Misuse> {
    let repos = repos(bucket).await?;
    if !repos.contains(repo) {
        return Ok(no_such_repo(repo, &repos));
    }
    Ok(Misuse(format!(
        "no commit of `{repo}` that is stored begins with `{digits}`; `gatekeeper commits --repo {repo}` lists them"
    )))
}

/// That nothing is known of a repository.
pub(crate) fn no_such_repo(repo: &Repo, repos: &[Repo]) -> Misuse {
    Misuse(format!("there is no repository `{repo}` here{}", meant(repo.as_str(), repos.iter().map(Repo::as_str))))
}

/// Commits as an error lists them.
pub(crate) fn list(shas: &[CommitSha]) -> String {
    let shown: Vec<_> = shas.iter().take(LISTED).map(|sha| format!("`{sha}`")).collect();
    let more = shas.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The first digits of a SHA, as many as tell it from all of `others`.
pub(crate) fn short<'a>(sha: &'a CommitSha, others: impl IntoIterator<Item = &'a CommitSha>) -> &'a str {
    let common =
        |other: &CommitSha| sha.as_str().bytes().zip(other.as_str().bytes()).take_while(|(a, b)| a == b).count();
    let others = others.into_iter().filter(|other| *other != sha);
    let digits = others.map(|other| common(other) + 1).max().unwrap_or(FEWEST).max(FEWEST);
    sha.as_str().get(..digits).unwrap_or(sha.as_str())
}

#[cfg(test)]
mod tests {
    use gatekeeper_store::memory::Memory;

    use super::*;

    fn store(keys: &[&str]) -> Memory {
        let store = Memory::default();
        for key in keys {
            store.upload(key, b"x", &[]);
        }
        store
    }

    fn sha(start: &str) -> String {
        format!("{start}{}", "0".repeat(40 - start.len()))
    }

    async fn told(store: &Memory, repo: &str, given: &str) -> String {
        let found = given.parse::<GivenSha>().unwrap().of(store, &repo.parse().unwrap()).await;
        found.map_or_else(|error| format!("{error:#}"), |sha| sha.to_string())
    }

    #[tokio::test]
    async fn a_short_sha_is_one_commit_or_an_error_that_says_which_there_are() {
        let store = store(&[
            &format!("bank-kyc/{}/verdict.json", sha("abcdef01")),
            &format!("bank-kyc/{}/verdict.json", sha("abcdef02")),
            &format!("bank-kyc/{}/docs/handoffs/x", sha("abcdef02")),
            &format!("bank-payments/{}/verdict.json", sha("1234567")),
            "stages/uat/bank-kyc.json",
        ]);
        insta::assert_snapshot!([
            told(&store, "bank-kyc", "abcdef02").await,
            told(&store, "bank-kyc", "abcdef0").await,
            told(&store, "bank-kyc", "1234567").await,
            told(&store, "bank-kic", "1234567").await,
            told(&store, "website", "1234567").await,
            // Nobody is asked for a full one.
            told(&store, "website", &"7".repeat(40)).await,
        ].join("\n"), @r"
        abcdef0200000000000000000000000000000000
        `abcdef0` is not one commit of `bank-kyc`, give more digits: `abcdef0100000000000000000000000000000000`, `abcdef0200000000000000000000000000000000`
        no commit of `bank-kyc` that is stored begins with `1234567`; `gatekeeper commits --repo bank-kyc` lists them
        there is no repository `bank-kic` here; did you mean `bank-kyc`?
        there is no repository `website` here; there are `bank-kyc`, `bank-payments`
        7777777777777777777777777777777777777777
        ");
    }

    #[test]
    fn what_is_no_sha_is_refused_as_it_was_given() {
        let told = ["main", "abc123", "ABCDEF0", ""].map(|given| given.parse::<GivenSha>().unwrap_err());
        insta::assert_snapshot!(told.join("\n"), @r"
        `main` is no commit's SHA: its 40 or 64 lowercase hexadecimal digits, or the first 7 of them or more
        `abc123` is too short: 7 digits or more name a commit
        `ABCDEF0` is no commit's SHA: its 40 or 64 lowercase hexadecimal digits, or the first 7 of them or more
        `` is no commit's SHA: its 40 or 64 lowercase hexadecimal digits, or the first 7 of them or more
        ");
    }

    #[test]
    fn as_many_digits_are_shown_as_tell_commits_apart() {
        let [one, two, three] = ["abcdef0123", "abcdef0199", "1"].map(|start| sha(start).parse::<CommitSha>().unwrap());
        let all = [one.clone(), two, three.clone()];
        assert_eq!((short(&one, &all), short(&three, &all), short(&one, [])), ("abcdef012", "1000000", "abcdef0"));
    }
}
