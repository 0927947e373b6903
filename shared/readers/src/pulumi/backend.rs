//! Where a backend of one's own keeps a stack: objects of a bucket, whose keys follow from project and stack (Pulumi
//! documentation, "DIY backends").

use std::{collections::BTreeMap, fmt, str::FromStr};

use gatekeeper_model::ids::{BucketName, Sha256, VersionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Packing, history::Update, state::State};

/// A bucket, and a folder of it or none: `s3://bank-pulumi-state/platform`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Backend {
    bucket: BucketName,
    /// With a slash at its end, or empty.
    folder: String,
}

/// Text that is no such place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not `s3://`, a bucket, and a folder of it or none")]
pub struct NotS3;

impl S3Backend {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// What the key of a stack's state begins with: behind it is how the state is packed, or `.bak`.
    #[must_use]
    pub fn state_prefix(&self, project: &str, stack: &str) -> String {
        format!("{}.pulumi/stacks/{project}/{stack}.json", self.folder)
    }

    /// What the keys of a stack's history begin with.
    #[must_use]
    pub fn history_prefix(&self, project: &str, stack: &str) -> String {
        format!("{}.pulumi/history/{project}/{stack}/{stack}-", self.folder)
    }

    /// What the keys of a stack's locks begin with: there is one while an update is under way.
    #[must_use]
    pub fn lock_prefix(&self, project: &str, stack: &str) -> String {
        format!("{}.pulumi/locks/organization/{project}/{stack}/", self.folder)
    }

    /// Where a runner leaves what `pulumi refresh --preview-only --json` printed of a stack last. Pulumi itself knows nothing
    /// of it.
    #[must_use]
    pub fn refresh_key(&self, project: &str, stack: &str) -> String {
        format!("{}.pulumi/gatekeeper/{project}/{stack}/refresh.json", self.folder)
    }
}

impl FromStr for S3Backend {
    type Err = NotS3;

    /// What stands behind `?` are settings of the client's.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.split('?').next().unwrap_or_default().strip_prefix("s3://").ok_or(NotS3)?;
        let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
        let folder = folder.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        if !folder.chars().all(plain) {
            return Err(NotS3);
        }
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(Self { bucket: bucket.parse().map_err(|_| NotS3)?, folder })
    }
}

impl fmt::Display for S3Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.trim_end_matches('/');
        write!(f, "s3://{}{}{folder}", self.bucket, if folder.is_empty() { "" } else { "/" })
    }
}

/// A backend's address as it may be written down: without who signs in, and without a client's settings.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", path.map(|path| format!("/{path}")).unwrap_or_default())
        }
        None => url.to_owned(),
    };
    shown.chars().filter(|c| !c.is_control() && *c != '`').take(300).collect()
}

/// An entry of a stack's history, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryKey {
    /// When it was written, in nanoseconds since 1970.
    pub written: u64,
    /// The entry's key.
    pub history: String,
    /// How it is packed; `None` where that can't be read.
    pub packing: Option<Packing>,
    /// The key of the copy of the state that lies beside it.
    pub checkpoint: String,
}

impl EntryKey {
    /// The entry that this key is of; `None` for a copy of the state, and for the stack `dev-2` beside `dev`.
    #[must_use]
    pub fn parse(key: &str, prefix: &str) -> Option<Self> {
        let (written, end) = key.strip_prefix(prefix)?.split_once('.')?;
        let packed = end.strip_prefix("history.json")?;
        let file = format!("{prefix}{written}.checkpoint.json{packed}");
        let is_number = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            written: if is_number { written.parse().ok()? } else { return None },
            packing: Packing::of(key),
            history: key.to_owned(),
            checkpoint: file,
        })
    }
}

/// What a bucket says of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The entries of its history since the time that was asked for, the newest first.
    pub entries: Vec<Entry>,
    /// Its state; `None` where there is none.
    pub state: Option<StateObject>,
    /// Whether an update is under way.
    pub is_locked: bool,
}

/// An entry of a stack's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// What it says; or why it can't be read.
    pub update: Result<Update, String>,
    /// The SHA-256 of the state that the update left; `None` where no copy lies beside it.
    pub checkpoint_sha256: Option<Sha256>,
}

/// What a refresh that only looked said of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// When it was left in the bucket, by the bucket's own clock.
    pub left_at: Timestamp,
    /// How many resources differ from the state, by Pulumi's word for it; or why that can't be read.
    pub differing: Result<BTreeMap<String, u64>, String>,
}

/// A stack's state, as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateObject {
    /// Its key.
    pub key: String,
    /// Its version; `None` in a bucket that keeps none.
    pub version_id: Option<VersionId>,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// What it says; or why it can't be read.
    pub state: Result<State, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_from_project_and_stack() {
        let backend: S3Backend = "s3://bank-state/platform/?region=eu-west-1&awssdk=v2".parse().unwrap();
        assert_eq!(backend.to_string(), "s3://bank-state/platform");
        assert_eq!(backend.state_prefix("p", "dev"), "platform/.pulumi/stacks/p/dev.json");
        let whole: S3Backend = "s3://bank-state".parse().unwrap();
        assert_eq!(whole.history_prefix("p", "dev"), ".pulumi/history/p/dev/dev-");
        for wrong in ["file://state", "s3://", "s3://B", "s3://bank-state/a b", "gs://bank-state"] {
            assert_eq!(wrong.parse::<S3Backend>(), Err(NotS3), "{wrong}");
        }
    }

    #[test]
    fn an_entry_is_known_by_its_key() {
        let prefix = ".pulumi/history/p/dev/dev-";
        let of = |end: &str| EntryKey::parse(&format!("{prefix}{end}"), prefix);
        let entry = of("1780000000000000000.history.json.gz").unwrap();
        assert_eq!((entry.written, entry.packing), (1_780_000_000_000_000_000, Some(Packing::Gzip)));
        assert_eq!(entry.checkpoint, format!("{prefix}1780000000000000000.checkpoint.json.gz"));
        assert_eq!(of("1780000000000000000.history.json.zst").unwrap().packing, None);
        for other in ["1780000000000000000.checkpoint.json", "2-1780000000000000000.history.json", ".history.json"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn who_signs_in_is_not_written_down() {
        for (url, shown) in [
            ("https://jane:secret@api.pulumi.example/org?token=x", "https://api.pulumi.example/org"),
            ("s3://bank-state?region=eu-west-1", "s3://bank-state"),
            ("file:///srv/state", "file:///srv/state"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
