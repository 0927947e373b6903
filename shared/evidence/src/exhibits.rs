//! What the evidence rests on: the documents as they are stored, and what was seen beside them.

use std::collections::BTreeMap;

use gatekeeper_model::ids::{Chain, CommitSha, PromotionId, Sha256, VersionId};
use gatekeeper_promotion::{
    history::StageState,
    record::{LiveFunction, PromotionRecord},
};
use gatekeeper_proof::{PublicKeys, ledger::StoredEntry};
use gatekeeper_store::Retention;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    model::{Holds, Question},
    paper,
};

/// Which documents are read and what is concluded from them. The first edition read neither the policy nor the stages'
/// configuration, the second neither provenance nor the witness outside, the third neither waivers nor timestamps nor which
/// entries were the newest; a bundle of another edition is told by what this one concludes from it.
pub const EDITION: u32 = 4;

fn first_edition() -> u32 {
    1
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Exhibits {
    /// What was seen and is no document.
    pub observed: Observed,
    /// The keys that signatures are verified with; `None` where they could not be read.
    pub keys: Option<PublicKeys>,
    /// The documents by their names ([`paper`]). What isn't there was looked for and not found.
    pub documents: BTreeMap<String, Document>,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its version.
    pub version_id: VersionId,
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
    /// Its edition of the evidence, [`EDITION`].
    #[serde(default = "first_edition")]
    pub edition: u32,
    /// What was asked.
    pub question: Question,
    /// When the look was taken.
    pub taken_at: Timestamp,
    /// The stage's functions as they are live.
    pub live: Live,
    /// The stored objects of the commit.
    pub stored: Vec<StoredObject>,
    /// What runners handed in of their parts of the promotion, as it is stored in the records bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed_in: Vec<StoredObject>,
    /// Which commits hold live bytes that aren't the promoted ones.
    pub bytes_of: BTreeMap<Sha256, Vec<String>>,
    /// The versions of the documents by their names.
    pub versions: BTreeMap<String, VersionId>,
    /// What could not be looked at, by the documents' names, and why: nothing of it is known to be missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// Whether there is a witness outside, which was asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_witness: bool,
    /// How long stored objects are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<ObservedRetention>,
}

/// How long a stored object is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedRetention {
    /// `artefacts` or `records`.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// What the store tells; nothing where it isn't locked, or where `unread` says why it can't be seen.
    #[serde(flatten)]
    pub retention: Retention,
    /// Why it could not be looked at, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
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
    pub version_id: VersionId,
    /// Whether that version is there.
    pub there: bool,
    /// The SHA-256 that the store itself computed; `None` where it did not.
    pub sha256: Option<Sha256>,
    /// Why it could not be looked at, in words: then it is not known whether it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
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
    pub version_id: VersionId,
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
    /// It could not be looked at, in words: whether it is there is not known.
    NotLooked(String),
}

impl Unread {
    /// What it means for a check that the document should be there.
    #[must_use]
    pub fn holds(&self) -> Holds {
        match self {
            Self::Missing | Self::Invalid(_) => Holds::Fails,
            Self::NotLooked(_) => Holds::Unknown,
        }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::Invalid(why) => write!(f, "it can't be read: {why}"),
            Self::NotLooked(why) => write!(f, "it could not be looked at: {why}"),
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
            edition: EDITION,
            question,
            taken_at,
            live: Live::AsRecorded,
            stored: Vec::new(),
            handed_in: Vec::new(),
            bytes_of: BTreeMap::new(),
            versions: BTreeMap::new(),
            unread: BTreeMap::new(),
            has_witness: false,
            retention: Vec::new(),
        };
        Self { observed, keys, documents: BTreeMap::new() }
    }

    /// Adds a document.
    pub fn add(&mut self, name: impl Into<String>, version_id: VersionId, bytes: Vec<u8>) {
        let name = name.into();
        self.observed.versions.insert(name.clone(), version_id.clone());
        self.documents.insert(name, Document { version_id, bytes });
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`Unread`] where it isn't there or isn't a `T`.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Read<T>, Unread> {
        let document = self.document(name)?;
        let value = serde_json::from_slice(&document.bytes).map_err(|error| Unread::Invalid(error.to_string()))?;
        Ok(Read { value, version_id: document.version_id.clone(), sha256: Sha256::of(&document.bytes) })
    }

    /// A document.
    ///
    /// # Errors
    /// [`Unread`] where it isn't there, or could not be looked at.
    pub fn document(&self, name: &str) -> Result<&Document, Unread> {
        let absent = || match self.observed.unread.get(name) {
            Some(why) => Unread::NotLooked(why.clone()),
            None => Unread::Missing,
        };
        self.documents.get(name).ok_or_else(absent)
    }

    /// Whether the promotion counted approvals or waivers by their signatures.
    #[must_use]
    pub fn counts_signatures(&self) -> bool {
        let record = self.read::<PromotionRecord>(paper::PROMOTION);
        record.is_ok_and(|read| {
            !read.value.waived.is_empty() || read.value.counted_approvals().any(|it| it.signed_by.is_some())
        })
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
    /// `None` where the stage ran nothing.
    ///
    /// # Errors
    /// [`Unread`] where what the stage runs can't be read, or its history doesn't go back so far.
    pub fn subject(&self) -> Result<Option<Subject>, Unread> {
        let state = match self.read::<StageState>(paper::STAGE) {
            Ok(state) => state.value,
            Err(Unread::Missing) => return Ok(None),
            Err(unread) => return Err(unread),
        };
        let at = self.observed.question.at;
        let found = state.present_at(at);
        if let (None, Some(at), Some(first)) = (&found, at, state.history.first())
            && !state.goes_back_to(at)
        {
            let (most, completed) = (state.history.len(), first.completed_at);
            return Err(Unread::NotLooked(format!(
                "the stage's history holds its newest {most} promotions, the first of which completed at {completed}; \
                 the stage's ledger tells of those before"
            )));
        }
        Ok(found.map(|it| Subject { promotion_id: it.promotion_id, commit_sha: it.commit_sha, since: it.completed_at }))
    }
}
