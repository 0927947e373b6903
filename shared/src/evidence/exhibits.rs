//! What the evidence rests on: the documents as they are stored, and what was seen beside them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{model::Question, paper};
use crate::{
    attestation::PublicKeys,
    ids::{CommitSha, PromotionId, Sha256},
    ledger::{Chain, StoredEntry},
    promotion::{history::StageState, record::LiveFunction},
};

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Exhibits {
    /// What was seen and is no document.
    pub observed: Observed,
    /// The keys that signatures are verified with; none where they could not be read.
    pub keys: Option<PublicKeys>,
    /// The documents by their names ([`paper`]). What isn't there was looked for and not found.
    pub documents: BTreeMap<String, Document>,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its version.
    pub version_id: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What was seen beside the documents: nobody has signed it, and who asks can look again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// 1.
    pub schema_version: u32,
    /// The gatekeeper that looked, by its version.
    pub gatekeeper: String,
    /// What was asked.
    pub question: Question,
    /// When.
    pub taken_at: Timestamp,
    /// The stage's functions as they are live.
    pub live: Live,
    /// The stored objects of the commit.
    pub stored: Vec<StoredObject>,
    /// Which commits hold live bytes that aren't the promoted ones.
    pub bytes_of: BTreeMap<Sha256, Vec<String>>,
    /// The versions of the documents by their names.
    pub versions: BTreeMap<String, String>,
}

/// The stage's functions, as far as they were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Live {
    /// In Lambda, just now.
    Seen(Vec<LiveFunction>),
    /// They were not to be looked at: what the record says counts.
    AsRecorded,
    /// They could not be looked at, because of this.
    Trouble(String),
}

/// A stored object in the version that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Its key.
    pub key: String,
    /// The version that was looked for.
    pub version_id: String,
    /// Whether that version is there.
    pub there: bool,
    /// The SHA-256 that the store itself computed; none where it did not.
    pub sha256: Option<Sha256>,
}

/// Which promotion the question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// The commit that it brought.
    pub commit_sha: CommitSha,
    /// Since when the stage runs it.
    pub since: Timestamp,
}

/// A document that was read.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// What it says.
    pub value: T,
    /// Its version.
    pub version_id: String,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// Why a document says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It isn't there.
    Missing,
    /// It is there and isn't what it should be, in words.
    Invalid(String),
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::Invalid(why) => write!(f, "it can't be read: {why}"),
        }
    }
}

impl Exhibits {
    /// Nothing yet.
    #[must_use]
    pub fn new(question: Question, keys: Option<PublicKeys>, taken_at: Timestamp) -> Self {
        let observed = Observed {
            schema_version: 1,
            gatekeeper: env!("CARGO_PKG_VERSION").to_owned(),
            question,
            taken_at,
            live: Live::AsRecorded,
            stored: Vec::new(),
            bytes_of: BTreeMap::new(),
            versions: BTreeMap::new(),
        };
        Self { observed, keys, documents: BTreeMap::new() }
    }

    /// Adds a document.
    pub fn add(&mut self, name: impl Into<String>, version_id: String, bytes: Vec<u8>) {
        let name = name.into();
        self.observed.versions.insert(name.clone(), version_id.clone());
        self.documents.insert(name, Document { version_id, bytes });
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`Unread`] where it isn't there or isn't a `T`.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Read<T>, Unread> {
        let document = self.documents.get(name).ok_or(Unread::Missing)?;
        let value = serde_json::from_slice(&document.bytes).map_err(|error| Unread::Invalid(error.to_string()))?;
        Ok(Read { value, version_id: document.version_id.clone(), sha256: Sha256::of(&document.bytes) })
    }

    /// The bytes of a document.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(|document| document.bytes.as_slice())
    }

    /// The entries of the ledger that were read of the chain that lies in `folder`, by their places.
    #[must_use]
    pub fn entries(&self, folder: &str) -> Vec<StoredEntry> {
        let named = self.documents.range(folder.to_owned()..).take_while(|(name, _)| name.starts_with(folder));
        let entries = named.filter_map(|(name, document)| {
            Some(StoredEntry::of(paper::sequence(folder, name)?, document.bytes.clone()))
        });
        entries.collect()
    }

    /// The stage's chain of the ledger.
    #[must_use]
    pub fn chain(&self) -> Chain {
        let Question { stage, repo, .. } = &self.observed.question;
        Chain { stage: stage.clone(), repo: repo.clone() }
    }

    /// Which promotion the question is about: the present one, or the one that was present at the time asked about.
    /// None where the stage ran nothing.
    ///
    /// # Errors
    /// [`Unread`] where what the stage runs can't be read.
    pub fn subject(&self) -> Result<Option<Subject>, Unread> {
        let state = match self.read::<StageState>(paper::STAGE) {
            Ok(state) => state.value,
            Err(Unread::Missing) => return Ok(None),
            Err(unread) => return Err(unread),
        };
        Ok(state.present_at(self.observed.question.at).map(|it| Subject {
            promotion_id: it.promotion_id,
            commit_sha: it.commit_sha,
            since: it.completed_at,
        }))
    }
}
