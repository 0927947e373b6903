//! What lies where a commit's revocation lies: a revocation, or something that can't be read and counts as one.
//!
//! Promoters write `revocation.json` by themselves, so nothing of it is taken for granted. Its presence alone says that
//! somebody took the commit back: what can't be read of it is who, why, and which manifest.

use std::fmt;

use crate::{
    ids::{Commit, Sha256},
    store::{Precondition, Store, StoreError},
    store_key::RecordKey,
    verdict::{Revocation, SCHEMA_VERSION},
};

/// The largest revocation that is read: a reason is a sentence or a page.
pub const MAX_BYTES: u64 = 64 * 1024;

/// That a commit was taken back, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenBack {
    /// By a revocation, which is of one version of the manifest.
    Told(Revocation),
    /// By a record that can't be read, in words why. It holds against every version of the manifest until somebody
    /// writes a revocation over it: a thing that could not be read is never absent.
    Unreadable(String),
}

/// That a commit was taken back, as it is stored.
#[derive(Debug, Clone)]
pub struct StoredRevocation {
    /// What it says.
    pub taken_back: TakenBack,
    /// What a conditional write compares.
    pub etag: String,
    /// Its version.
    pub version_id: String,
    /// The SHA-256 of its bytes; none where they are too many to be read.
    pub sha256: Option<Sha256>,
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
    pub fn concerns(&self, manifest_version_id: &str) -> bool {
        match self {
            Self::Told(revocation) => revocation.manifest_version_id == manifest_version_id,
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

impl StoredRevocation {
    /// What must hold for a write over what was read: that nobody has written since.
    #[must_use]
    pub fn precondition(seen: Option<&Self>) -> Precondition {
        seen.map_or(Precondition::Absent, |stored| Precondition::Unchanged(stored.etag.clone()))
    }
}

/// Reads whether a commit was taken back; none where nothing lies there.
///
/// # Errors
/// [`StoreError`] where the bucket could not be looked at.
pub async fn read(records: &impl Store, commit: &Commit) -> Result<Option<StoredRevocation>, StoreError> {
    let key = RecordKey::Revocation(commit.clone()).to_string();
    match records.get(&key, None, MAX_BYTES).await {
        Ok(body) => Ok(body.map(|body| StoredRevocation {
            taken_back: TakenBack::parse(&body.bytes, commit),
            etag: body.etag,
            version_id: body.version_id,
            sha256: Some(Sha256::of(&body.bytes)),
        })),
        Err(error) if error.is_too_large() => Ok(records.head(&key, None).await?.map(|head| StoredRevocation {
            taken_back: TakenBack::Unreadable(format!("it has {} bytes, {MAX_BYTES} are read", head.size)),
            etag: head.etag,
            version_id: head.version_id,
            sha256: head.sha256,
        })),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

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
        assert_eq!((told.concerns("m1"), told.concerns("m2")), (true, false));
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
            assert!(matches!(&read, TakenBack::Unreadable(_)) && read.concerns("m1") && read.concerns("m2"), "{text}");
        }
        assert!(matches!(TakenBack::parse(&[0xff, 0xfe], &commit()), TakenBack::Unreadable(_)));
        insta::assert_snapshot!(
            TakenBack::parse(b"{}", &commit()),
            @"taken back by a record that can't be read (missing field `schema_version` at line 1 column 2), so nobody can tell by whom and why: have it written anew with `gatekeeper revoke`"
        );
    }

    #[tokio::test]
    async fn one_that_is_too_large_to_be_read_is_there_all_the_same() {
        let records = Memory::default();
        assert!(read(&records, &commit()).await.unwrap().is_none());
        let large = stored("rounds down", &"x".repeat(70_000));
        let key = RecordKey::Revocation(commit()).to_string();
        records.put(&key, large.as_bytes(), "application/json", &Precondition::Absent).await.unwrap();
        let found = read(&records, &commit()).await.unwrap().unwrap();
        assert!(matches!(&found.taken_back, TakenBack::Unreadable(why) if why.contains("65536 are read")), "{found:?}");
        let over = StoredRevocation::precondition(Some(&found));
        let mended = stored("", "");
        records.put(&key, mended.as_bytes(), "application/json", &over).await.unwrap();
        let found = read(&records, &commit()).await.unwrap().unwrap();
        assert!(matches!(found.taken_back, TakenBack::Told(_)), "{found:?}");
    }
}
