//! That a commit was taken back, as far as it can be read.

use std::fmt;

use crate::{
    ids::{Commit, VersionId},
    verdict::{Revocation, SCHEMA_VERSION},
};

/// That a commit was taken back, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenBack {
    /// By a revocation, which is of one version of the manifest.
    Told(Revocation),
    /// By a record that can't be read, in words why. It holds against every version of the manifest until somebody
    /// writes a revocation over it: a thing that could not be read is never absent.
    Unreadable(String),
}

impl TakenBack {
    /// Reads a revocation of `commit`.
    #[must_use]
    pub fn parse(bytes: &[u8], commit: &Commit) -> Self {
        let revocation: Revocation = match serde_json::from_slice(bytes) {
            Ok(revocation) => revocation,
            Err(error) => return Self::Unreadable(error.to_string()),
        };
        let Revocation { schema_version, repo, commit_sha, .. } = &revocation;
        if *schema_version != SCHEMA_VERSION {
            return Self::Unreadable(format!(
                "its `schema_version` is {schema_version}, this gatekeeper knows {SCHEMA_VERSION}"
            ));
        }
        if *repo != commit.repo || *commit_sha != commit.sha {
            return Self::Unreadable(format!("it is of `{repo}@{commit_sha}`"));
        }
        Self::Told(revocation)
    }

    /// Whether it takes this version of the manifest back.
    #[must_use]
    pub fn concerns(&self, manifest_version_id: &VersionId) -> bool {
        match self {
            Self::Told(revocation) => revocation.manifest_version_id == *manifest_version_id,
            Self::Unreadable(_) => true,
        }
    }
}

impl fmt::Display for TakenBack {
    /// As reasons say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(Revocation { revoked_by, reason, .. }) => write!(f, "taken back by `{revoked_by}`: {reason}"),
            Self::Unreadable(why) => write!(
                f,
                "taken back by a record that can't be read ({why}), so nobody can tell by whom and why: have it written anew \
                 with `gatekeeper revoke`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap();
        Commit { repo: "bank-payments".parse().unwrap(), sha }
    }

    /// A revocation, with one piece of its text replaced.
    fn stored(from: &str, to: &str) -> String {
        r#"{"schema_version": 1, "repo": "bank-payments", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357",
            "manifest_version_id": "m1", "revoked_by": "jane", "revoked_at": "2026-05-02T03:04:05Z", "reason": "rounds down"}"#
            .replace(from, to)
    }

    #[test]
    fn a_revocation_is_of_one_manifest() {
        let told = TakenBack::parse(stored("", "").as_bytes(), &commit());
        assert_eq!((told.concerns(&"m1".into()), told.concerns(&"m2".into())), (true, false));
        insta::assert_snapshot!(told, @"taken back by `jane`: rounds down");
    }

    #[test]
    fn whatever_cannot_be_read_is_of_every_manifest() {
        for text in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "\u{feff}{}".to_owned(),
            "{\"schema_version\": 1".to_owned(),
            "[".repeat(1_000),
            stored("bank-payments", "bank-kyc"),
            stored("3f1c9a0b", "4f1c9a0b"),
            stored("\"schema_version\": 1", "\"schema_version\": 2"),
            stored("2026-05-02T03:04:05Z", "yesterday"),
            stored("\"m1\"", "null"),
        ] {
            let read = TakenBack::parse(text.as_bytes(), &commit());
            assert!(matches!(read, TakenBack::Unreadable(_)), "{text}");
            assert!(read.concerns(&"m1".into()) && read.concerns(&"m2".into()), "{text}");
        }
        assert!(matches!(TakenBack::parse(&[0xff, 0xfe], &commit()), TakenBack::Unreadable(_)));
        insta::assert_snapshot!(
            TakenBack::parse(b"{}", &commit()),
            @"taken back by a record that can't be read (missing field `schema_version` at line 1 column 2), so nobody can tell by whom and why: have it written anew with `gatekeeper revoke`"
        );
    }
}
