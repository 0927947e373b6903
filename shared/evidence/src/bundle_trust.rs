//! The trust root in a bundle: every version from the one that the gatekeeper was pinned to, so that who verifies walks it.

use gatekeeper_proof::{
    PublicKeys,
    trust::{Pin, SignedRoot, Walked, digest, walk},
};

use super::{
    bundle::Files,
    model::{Check, Holds, Part},
};

const FOLDER: &str = "trust/";
const ENDING: &str = ".root.json";
const NAME: &str = "the trust root is signed, from the version that is trusted on, by a threshold of people each time";

/// Where a version lies in a bundle.
#[must_use]
pub fn file(version: u64) -> String {
    format!("{FOLDER}{version}{ENDING}")
}

/// Whether a file of a bundle is a version of the trust root.
#[must_use]
pub fn is_root(name: &str) -> bool {
    version_of(name).is_some()
}

fn version_of(name: &str) -> Option<u64> {
    let version = name.strip_prefix(FOLDER)?.strip_suffix(ENDING)?.parse().ok()?;
    (file(version) == name).then_some(version)
}

/// The keys that count by the trust root of a bundle, or by the one that who verifies brought: of the two the later one tells,
/// and where both have a version it must be one. `None` where neither has a root, and where it doesn't hold, which is a check.
pub(super) fn keys(files: &Files, own: Option<&[u8]>, checks: &mut Vec<Check>) -> Option<Result<PublicKeys, ()>> {
    let mut bundled: Vec<_> =
        files.iter().filter_map(|(name, bytes)| Some((version_of(name)?, bytes.clone()))).collect();
    bundled.sort_by_key(|(version, _)| *version);
    if bundled.is_empty() && own.is_none() {
        return None;
    }
    let mut add = |holds: bool, detail: String| {
        checks.push(Check { part: Part::Bundle, name: NAME.to_owned(), holds: Holds::of(holds), detail });
    };
    match walked(bundled, own).and_then(|walked| {
        let detail = detail(&walked, own.is_some());
        Ok((PublicKeys::named_by(walked).map_err(|error| error.to_string())?, detail))
    }) {
        Ok((keys, detail)) => {
            add(true, detail);
            Some(Ok(keys))
        }
        Err(why) => {
            add(false, why);
            Some(Err(()))
        }
    }
}

fn walked(bundled: Vec<(u64, Vec<u8>)>, own: Option<&[u8]>) -> Result<Walked, String> {
    let documents = match own {
        None => bundled,
        Some(own) => {
            let version = SignedRoot::parse(own).and_then(|it| it.root()).map_err(|error| error.to_string())?.version;
            let differs = bundled.iter().any(|(of, bytes)| *of == version && bytes != own);
            if differs {
                return Err(format!("its version {version} is another one than yours"));
            }
            let later = bundled.into_iter().filter(|(of, _)| *of > version);
            [(version, own.to_vec())].into_iter().chain(later).collect()
        }
    };
    let (version, first) = documents.first().ok_or("there is none")?;
    let pin = Pin { version: *version, sha256: digest(first) };
    walk(&pin, documents).map_err(|error| error.to_string())
}

fn detail(walked: &Walked, is_own: bool) -> String {
    let (version, expires) = (walked.root.version, walked.root.expires);
    let first = walked.first().map(|it| it.to_string()).unwrap_or_default();
    let from = if is_own {
        format!("from yours, `{first}`")
    } else {
        format!("from `{first}`, which compare with one that you got elsewhere")
    };
    format!("{from}, to version {version}, which expires at {expires:.0}: what was revoked later, a later root tells")
}
