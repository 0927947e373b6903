//! What lies where a commit's revocation lies: a revocation, or something that can't be read and counts as one.
//!
//! Promoters write `revocation.json` by themselves, so nothing of it is taken for granted. Its presence alone says that
//! somebody took the commit back: what can't be read of it is who, why, and which manifest.

use gatekeeper_model::{
    ids::{Commit, ETag, Sha256, VersionId},
    revocation::TakenBack,
    store_key::RecordKey,
};

use crate::{Precondition, ReadStore, StoreError};

/// The largest revocation that is read: a reason is a sentence or a page.
pub const MAX_BYTES: u64 = 64 * 1024;

/// That a commit was taken back, as it is stored.
#[derive(Debug, Clone)]
pub struct StoredRevocation {
    /// What it says.
    pub taken_back: TakenBack,
    /// What a conditional write compares.
    pub etag: ETag,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes; `None` where they are too many to be read.
    pub sha256: Option<Sha256>,
}

impl StoredRevocation {
    /// What must hold for a write over what was read: that nobody has written since.
    #[must_use]
    pub fn precondition(seen: Option<&Self>) -> Precondition {
        seen.map_or(Precondition::Absent, |stored| Precondition::Unchanged(stored.etag.clone()))
    }
}

/// Reads whether a commit was taken back; `None` where nothing lies there.
///
/// # Errors
/// [`StoreError`] where the bucket could not be looked at.
pub async fn read(records: &impl ReadStore, commit: &Commit) -> Result<Option<StoredRevocation>, StoreError> {
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
    use crate::{WriteStore as _, memory::Memory};

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
