//! Revocations that travel: the gate's own chains of the ledger as a file, which tells who verifies a bundle offline what was
//! taken back since.
//!
//! A chain is in the file whole, with its signed head. So nothing can be left out of it but its end, and an end that is missing
//! makes a file that is older than the bundle, or as old as it says.

use gatekeeper_model::ids::{Chain, CommitSha, Repo, VersionId};
use gatekeeper_promotion::record::PromotionRecord;
use gatekeeper_proof::{
    Authority, PublicKeys,
    ledger::{self, Entry, Standing, StoredEntry},
};
use gatekeeper_store::{ReadStore, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    exhibits::Exhibits,
    model::{Check, Holds, Part},
    paper,
};

const SCHEMA_VERSION: u32 = 1;

/// The largest file that is read, in bytes: it comes from a stranger.
const MAX_BYTES: usize = 64 * 1024 * 1024;

const PROVED: &str = "what was taken back since is told by a file that the gate signed";
const STANDS: &str = "the commit has not been taken back since, as far as the revocations tell";

/// Revocations as they travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// 1.
    pub schema_version: u32,
    /// When it was taken, which nobody signed.
    pub taken_at: Timestamp,
    /// The gate's own chain of each repository.
    pub chains: Vec<TravellingChain>,
}

/// The gate's own chain of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TravellingChain {
    /// The repository.
    pub repo: Repo,
    /// The signed head, a DSSE envelope, byte for byte; none where nothing was ever entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The entries from the first on, byte for byte.
    pub entries: Vec<String>,
}

/// Why no file is made.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The bucket could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What would travel doesn't hold.
    #[error("the ledger's chain `{chain}` doesn't hold: {what}; see `gatekeeper ledger verify`")]
    Broken {
        /// The chain.
        chain: Chain,
        /// What is wrong with it.
        what: String,
    },
}

impl Revocations {
    /// Takes the chains of these repositories, where they hold.
    ///
    /// # Errors
    /// [`TakeError`] where one can't be read, or doesn't hold.
    pub async fn take(
        records: &impl ReadStore,
        repos: impl IntoIterator<Item = Repo>,
        keys: &PublicKeys,
        now: Timestamp,
    ) -> Result<Self, TakeError> {
        let mut chains = Vec::new();
        for repo in repos {
            let chain = Chain::of_gate(repo.clone());
            let key = keys.of(Authority::of(&chain));
            let (mut stored, head) = ledger::read_since(records, &chain, 1, key).await?;
            let proof = ledger::prove_whole(&chain, stored.clone(), head.as_deref(), None, key);
            if let Some(broken) = proof.broken {
                return Err(TakeError::Broken { chain, what: broken.what });
            }
            stored.sort_by_key(|it| it.sequence);
            // What is proved is JSON, and so text.
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let entries = stored.into_iter().map(|it| text(it.bytes)).collect();
            chains.push(TravellingChain { repo, head: head.map(text), entries });
        }
        Ok(Self { schema_version: SCHEMA_VERSION, taken_at: now, chains })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// In words, where it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("it is larger than {MAX_BYTES} bytes"));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match read.schema_version {
            SCHEMA_VERSION => Ok(read),
            other => Err(format!("its `schema_version` is {other}, this gatekeeper knows {SCHEMA_VERSION}")),
        }
    }

    /// The entries of all chains that tell of a revocation, and the time of the newest entry.
    #[must_use]
    pub fn summary(&self) -> (usize, Option<Timestamp>) {
        let entries: Vec<_> = self.chains.iter().flat_map(TravellingChain::stored).filter_map(|it| it.entry).collect();
        let revocations = entries.iter().filter(|it| it.event.kind == ledger::Kind::Revocation).count();
        (revocations, entries.iter().map(|it| it.recorded_at).max())
    }
}

impl TravellingChain {
    fn stored(&self) -> impl Iterator<Item = StoredEntry> {
        (1..).zip(&self.entries).map(|(sequence, entry)| StoredEntry::of(sequence, entry.clone().into_bytes()))
    }
}

/// A file of revocations as it was given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// What it is called in messages.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What files of revocations say of a bundle.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A check for each file, and one of the commit.
    pub(super) checks: Vec<Check>,
    /// When the newest entry in them was signed.
    pub(super) newest: Option<Timestamp>,
}

/// A chain that was proved.
struct Proved<'a> {
    name: &'a str,
    entries: Vec<StoredEntry>,
    standing: Standing,
}

/// Holds a bundle against files of revocations: each is proved by the key that the bundle is verified with, and goes on from
/// what the bundle has seen.
pub(super) fn held_against(exhibits: &Exhibits, files: &[Given<'_>]) -> Told {
    let mut told = Told::default();
    if files.is_empty() {
        return told;
    }
    let chain = Chain::of_gate(exhibits.observed.question.repo.clone());
    let Some(keys) = &exhibits.keys else {
        told.checks.push(check(
            PROVED,
            Holds::Fails,
            "there is no public key of the gate to verify it with".to_owned(),
        ));
        return told;
    };
    let (mut proved, mut others): (Vec<Proved<'_>>, Vec<&str>) = (Vec::new(), Vec::new());
    for Given { name, bytes } in files {
        let read = match Revocations::parse(bytes) {
            Ok(read) => read,
            Err(why) => {
                told.checks.push(check(PROVED, Holds::Fails, format!("`{name}` is no file of revocations: {why}")));
                continue;
            }
        };
        let of_it: Vec<_> = read.chains.iter().filter(|it| it.repo == chain.repo).collect();
        match of_it.as_slice() {
            [] => others.push(name),
            [one] => match prove(name, one, &chain, keys, exhibits) {
                Ok(one) => proved.push(one),
                Err((holds, why)) => told.checks.push(check(PROVED, holds, format!("`{name}`: {why}"))),
            },
            _ => told.checks.push(check(PROVED, Holds::Fails, format!("`{name}` has `{chain}` twice"))),
        }
    }
    // Two files of a key that says two things.
    let longest = proved.iter().max_by_key(|it| it.entries.len()).map(|it| it.entries.clone()).unwrap_or_default();
    proved.retain(|one| {
        let goes_on = one.entries.iter().zip(&longest).all(|(one, other)| one.sha256 == other.sha256);
        if !goes_on {
            let wrong = format!("`{}` tells of another `{chain}` than the newest file does", one.name);
            told.checks.push(check(PROVED, Holds::Fails, wrong));
        }
        goes_on
    });
    for Proved { name, entries, .. } in &proved {
        let newest = entries.last().and_then(|it| it.entry.as_ref()).map(|it| it.recorded_at);
        told.newest = told.newest.max(newest);
        let signed = newest.map_or_else(String::new, |at| format!(", the newest of which was signed at {at:.0}"));
        let detail = format!("`{name}`: `{chain}` whole, {} entries{signed}", entries.len());
        told.checks.push(check(PROVED, Holds::Holds, detail));
    }
    if proved.is_empty() && told.checks.is_empty() {
        let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
        let wrong = format!("{} tells nothing of `{}`", others.join(", "), chain.repo);
        told.checks.push(check(PROVED, Holds::Fails, wrong));
    }
    if !proved.is_empty() {
        told.checks.push(stands(exhibits, &proved));
    }
    told
}

/// Proves one chain, and that it is the one that the bundle has seen, or goes on from it.
fn prove<'a>(
    name: &'a str,
    travelling: &TravellingChain,
    chain: &Chain,
    keys: &PublicKeys,
    exhibits: &Exhibits,
) -> Result<Proved<'a>, (Holds, String)> {
    let key = keys.of(Authority::of(chain));
    let fails = |why: String| (Holds::Fails, why);
    let entries: Vec<_> = travelling.stored().collect();
    let head = travelling.head.as_deref().map(str::as_bytes);
    if let Some(broken) = ledger::prove_whole(chain, entries.clone(), head, None, key).broken {
        return Err(fails(match broken.sequence {
            0 => format!("the head of `{chain}`: {}", broken.what),
            place => format!("entry {place} of `{chain}`: {}", broken.what),
        }));
    }
    for seen in [paper::GATE_HEAD, paper::GATE_WITNESS].into_iter().filter_map(|name| exhibits.bytes(name)) {
        // What is no head in the bundle its own checks tell of.
        let Ok(seen) = ledger::head_of(seen, chain, key) else { continue };
        let there = entries.iter().find(|it| it.sequence == seen.sequence);
        match there {
            None => {
                let (of, ends) = (seen.sequence, entries.len());
                return Err(fails(format!(
                    "it is older than the bundle, which has seen entry {of} of `{chain}`: it ends at {ends}; take a newer one"
                )));
            }
            Some(there) if there.sha256 != seen.sha256 => {
                let place = seen.sequence;
                return Err(fails(format!("entry {place} of `{chain}` is not the one that the bundle has seen")));
            }
            Some(_) => {}
        }
    }
    let Some(head) = head else {
        let why = format!(
            "nothing was ever entered into `{chain}`, it says, and where there is nothing, nothing is signed: get it by a way \
             that you trust"
        );
        return Err((Holds::Unknown, why));
    };
    let by_entries =
        entries.iter().filter_map(|it| Some(&it.entry.as_ref()?.event)).fold(Standing::default(), Standing::after);
    let standing = match ledger::standing_in(head, chain, key) {
        // Heads of before they told it.
        Ok(None) => by_entries,
        Ok(Some(signed)) if signed.revoked == by_entries.revoked => signed,
        Ok(Some(_)) => return Err(fails(format!("the head of `{chain}` tells of other revocations than its entries"))),
        Err(error) => return Err(fails(format!("the head of `{chain}`: {error}"))),
    };
    Ok(Proved { name, entries, standing })
}

/// Whether what the bundle is about was taken back.
fn stands(exhibits: &Exhibits, proved: &[Proved<'_>]) -> Check {
    let subject = match exhibits.subject() {
        Ok(Some(subject)) => subject,
        Ok(None) => return check(STANDS, Holds::Holds, "nothing of it runs".to_owned()),
        Err(unread) => return check(STANDS, unread.holds(), format!("which commit it is about: {unread}")),
    };
    // What the record doesn't tell may be any version of the manifest.
    let manifest = exhibits.read::<PromotionRecord>(paper::PROMOTION).ok().map(|it| it.value.manifest_version_id);
    let (commit, manifest) = (&subject.commit_sha, manifest.as_ref());
    let found = proved.iter().find_map(|it| Some((it.name, taken_back(it, commit, manifest)?)));
    match found {
        None => check(STANDS, Holds::Holds, format!("none is of `{commit}`")),
        Some((name, why)) => check(STANDS, Holds::Fails, format!("{why}, says `{name}`")),
    }
}

/// When, by whom and why a version of a commit's manifest was taken back.
fn taken_back(proved: &Proved<'_>, commit: &CommitSha, manifest: Option<&VersionId>) -> Option<String> {
    let revokes = |standing: &Standing| match manifest {
        Some(manifest) => standing.revokes(commit, manifest),
        None => standing.revoked.contains_key(commit),
    };
    if !revokes(&proved.standing) {
        return None;
    }
    let is_it = |entry: &&Entry| revokes(&Standing::default().after(&entry.event));
    let entry = proved.entries.iter().filter_map(|it| it.entry.as_ref()).find(is_it)?;
    let (at, by, why) = (entry.recorded_at, &entry.event.by, &entry.event.reason);
    Some(format!("`{commit}` was taken back, by `{by}`, entered at {at:.0}: {why}"))
}

fn check(name: &str, holds: Holds, detail: String) -> Check {
    Check { part: Part::Bundle, name: name.to_owned(), holds, detail }
}

#[cfg(test)]
#[path = "revocations_tests.rs"]
mod tests;
