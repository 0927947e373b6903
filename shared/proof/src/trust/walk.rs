//! From the version that a verifier was given to the last one.

use std::{fmt, str::FromStr};

use gatekeeper_model::ids::Sha256;

use super::{Root, SignedRoot, TrustError, digest};

/// The version that a verifier starts from, by the digest of its document: `1:SHA256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its version: older ones are not taken.
    pub version: u64,
    /// The SHA-256 of its document.
    pub sha256: Sha256,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.version, self.sha256)
    }
}

/// A text that is no [`Pin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not name a trust root: its version, a colon and the SHA-256 of its document, as `gatekeeper keys list` tells"
)]
pub struct InvalidPin(String);

impl FromStr for Pin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let read = || {
            let (version, sha256) = text.split_once(':')?;
            let version = version.parse().ok().filter(|it| *it > 0)?;
            Some(Self { version, sha256: sha256.parse().ok()? })
        };
        read().ok_or_else(|| InvalidPin(text.to_owned()))
    }
}

/// The last version, and the documents that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// What holds.
    pub root: Root,
    /// The documents from the first on, by their versions.
    pub documents: Vec<(u64, Vec<u8>)>,
}

impl Walked {
    /// The pin of the first document: what a verifier trusted before it walked.
    #[must_use]
    pub fn first(&self) -> Option<Pin> {
        self.documents.first().map(|(version, document)| Pin { version: *version, sha256: digest(document) })
    }

    /// The pin of the last.
    #[must_use]
    pub fn last(&self) -> Option<Pin> {
        self.documents.last().map(|(version, document)| Pin { version: *version, sha256: digest(document) })
    }
}

/// Enough people of `by` signed it.
fn enough(signed: &SignedRoot, root: &Root, by: &Root) -> Result<(), TrustError> {
    let people = signed.signed_by(by)?;
    if people.len() >= by.threshold as usize {
        return Ok(());
    }
    let names: Vec<_> = people.iter().map(|it| format!("`{it}`")).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let what = format!("{names} of the people of version {} signed it, and {} have to", by.version, by.threshold);
    Err(TrustError::new(root.version, what))
}

/// A first version, that a verifier was given: its own people signed it.
///
/// # Errors
/// [`TrustError`] where it can't be used.
pub fn first_of(document: &[u8]) -> Result<Root, TrustError> {
    let signed = SignedRoot::parse(document)?;
    let root = signed.root()?;
    root.check()?;
    enough(&signed, &root, &root)?;
    Ok(root)
}

/// Walks from the first document to the last: `pin` is what is trusted before, and every version after is signed by a threshold
/// of the people of the one before and of its own. Whether the last has expired is for the caller to say.
///
/// # Errors
/// [`TrustError`] of the first version that doesn't hold: whoever wrote it, nothing after it counts, and what was before is
/// not taken in its place.
pub fn walk(pin: &Pin, documents: Vec<(u64, Vec<u8>)>) -> Result<Walked, TrustError> {
    let mut root: Option<Root> = None;
    for (version, document) in &documents {
        let of_it = |error: TrustError| if error.version == 0 { TrustError::new(*version, error.what) } else { error };
        let next = match &root {
            None => {
                if *version != pin.version || digest(document) != pin.sha256 {
                    let what =
                        format!("it is `{version}:{}`, and `{pin}` is the one that is trusted", digest(document));
                    return Err(TrustError::new(*version, what));
                }
                first_of(document).map_err(of_it)?
            }
            Some(before) => {
                let signed = SignedRoot::parse(document).map_err(of_it)?;
                let next = signed.root().map_err(of_it)?;
                next.check()?;
                next.follows(before)?;
                enough(&signed, &next, before)?;
                enough(&signed, &next, &next)?;
                next
            }
        };
        if next.version != *version {
            return Err(TrustError::new(*version, format!("its document says that it is version {}", next.version)));
        }
        root = Some(next);
    }
    match root {
        Some(root) => Ok(Walked { root, documents }),
        None => Err(TrustError::new(pin.version, "it is not there, and nothing else is trusted")),
    }
}
