//! Verifying a bundle offline: its documents are judged again, exactly as the store's were.

use std::fmt::Write as _;

use gatekeeper_model::ids::Chain;
use gatekeeper_proof::{Authority, PublicKey, PublicKeys, freshness, ledger::newest_of};
use jiff::{SignedDuration, Timestamp};

use super::{
    bundle::{
        APPROVAL_KEY, EVIDENCE, Files, GATE_KEY, InvalidBundle, OBSERVED, PAGE, PROMOTION_KEY, README, README_TEXT,
        SCRIPT, SCRIPT_TEXT, SUMS, sums, title,
    },
    bundle_trust,
    exhibits::{Document, EDITION, Exhibits, Observed},
    forms, html, judge,
    model::{Check, Evidence, Holds, Part},
    paper, revocations,
};

/// Keys that who verifies got elsewhere: those of the bundle must be these.
#[derive(Debug, Clone, Default)]
pub struct OwnKeys {
    /// The gate's.
    pub gate: Option<PublicKey>,
    /// The promotion's.
    pub promotion: Option<PublicKey>,
    /// That of approvals.
    pub approval: Option<PublicKey>,
    /// A version of the trust root, as its document.
    pub root: Option<Vec<u8>>,
}

/// How old a bundle may be.
#[derive(Debug, Clone, Copy)]
pub struct MaxAge {
    /// The longest time since what is newest in it was signed.
    pub at_most: SignedDuration,
    /// The time.
    pub now: Timestamp,
}

/// What verifying the files of a bundle comes to: the evidence of its documents, with checks of the bundle itself.
///
/// # Errors
/// [`InvalidBundle`] where it doesn't even tell what it is about.
pub fn verify(files: &Files, own: &OwnKeys, max_age: Option<MaxAge>) -> Result<Evidence, InvalidBundle> {
    verify_against(files, own, max_age, &[])
}

/// The same, held against files of revocations too, which may be newer than the bundle.
///
/// # Errors
/// [`InvalidBundle`] as [`verify`].
pub fn verify_against(
    files: &Files,
    own: &OwnKeys,
    max_age: Option<MaxAge>,
    revocations: &[revocations::Given<'_>],
) -> Result<Evidence, InvalidBundle> {
    let observed = files.get(OBSERVED).ok_or_else(|| InvalidBundle(format!("there is no `{OBSERVED}`")))?;
    let observed: Observed =
        serde_json::from_slice(observed).map_err(|error| InvalidBundle(format!("`{OBSERVED}`: {error}")))?;
    let mut checks = vec![whole(files), known(files, &observed)];
    let keys = keys(files, own, &mut checks);

    // A file that was not read for the evidence is none of its documents: `known` tells of it.
    let documents = files.iter().filter(|(name, _)| paper::is_document(name)).filter_map(|(name, bytes)| {
        let version_id = observed.versions.get(name)?.clone();
        Some((name.clone(), Document { version_id, bytes: bytes.clone() }))
    });
    let exhibits = Exhibits { documents: documents.collect(), observed, keys };
    let mut evidence = judge(&exhibits);
    checks.push(conclusions(files, &exhibits, &evidence));
    checks.push(texts(files, &exhibits));
    let taken_back = revocations::held_against(&exhibits, revocations);
    checks.push(age(&exhibits, taken_back.newest, max_age));
    checks.extend(taken_back.checks);
    evidence.checks.extend(checks);
    Ok(evidence.concluded())
}

pub(super) fn check(name: &str, wrong: &[String], detail: &str) -> Check {
    let detail = if wrong.is_empty() { detail.to_owned() } else { wrong.join("; ") };
    Check { part: Part::Bundle, name: name.to_owned(), holds: Holds::of(wrong.is_empty()), detail }
}

/// When the bundle was made at the earliest, by what is signed in it: when it says it was made, nobody signed. Revocations that
/// it was held against may be newer.
fn age(exhibits: &Exhibits, told_since: Option<Timestamp>, max_age: Option<MaxAge>) -> Check {
    let name = "how old the bundle is at most follows from what is signed in it";
    let chain = exhibits.chain();
    let gate = Chain::of_gate(chain.repo.clone());
    let heads =
        [(paper::HEAD, &chain), (paper::WITNESS, &chain), (paper::GATE_HEAD, &gate), (paper::GATE_WITNESS, &gate)];
    let signed = heads.iter().filter_map(|(name, chain)| {
        let key = exhibits.keys.as_ref()?.of(Authority::of(chain));
        Some(newest_of(exhibits.bytes(name)?, chain, key).ok()?.entry?.recorded_at)
    });
    let entry = signed.max().map(|at| (at, "the newest entry of the ledgers in it was signed"));
    let stated = exhibits.keys.as_ref().and_then(|keys| {
        let stated = freshness::open(exhibits.bytes(paper::FRESHNESS)?, &chain, keys).ok()?;
        Some((stated.at, "it was stated which entries of the ledgers are the newest"))
    });
    let of_bundle = entry.max(stated);
    let Some(newest) = of_bundle.map(|(at, _)| at).max(told_since) else {
        let wrong: Vec<_> = max_age.iter().map(|_| "no time is signed in it".to_owned()).collect();
        return check(name, &wrong, "no time is signed in it");
    };
    let too_old = max_age.filter(|it| it.now.duration_since(newest) > it.at_most);
    let wrong = too_old.map(|it| {
        let at_most = it.at_most.as_hours();
        let in_it = if told_since.is_some() { "it and in the revocations" } else { "it" };
        format!(
            "the newest that is signed in {in_it} is of {newest:.0}, more than {at_most} h ago: take the evidence anew"
        )
    });
    let mut detail = match of_bundle {
        Some((at, what)) => format!("it was made after {at:.0}, when {what}"),
        None => "no time is signed in it".to_owned(),
    };
    if let Some(at) = told_since {
        let _ = write!(detail, "; the newest entry of the revocations was signed at {at:.0}");
    }
    check(name, &wrong.into_iter().collect::<Vec<_>>(), &detail)
}

/// Every byte is the one that was bundled: of accidents, for who changes a file can change its sum too.
pub(super) fn whole(files: &Files) -> Check {
    let name = "every file of the bundle is whole, by `SHA256SUMS`";
    let expected = sums(files);
    let stated = files.get(SUMS).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let mut wrong: Vec<String> = Vec::new();
    if stated != expected {
        let files = expected.lines().filter(|line| !stated.lines().any(|it| it == *line));
        wrong
            .extend(files.map(|line| format!("`{}` is not the file that was bundled", line.get(66..).unwrap_or(line))));
        let missing = stated.lines().filter(|line| {
            let name = line.get(66..).unwrap_or(line);
            !expected.lines().any(|it| it.get(66..) == Some(name))
        });
        wrong.extend(missing.map(|line| format!("`{}` is missing", line.get(66..).unwrap_or(line))));
        if wrong.is_empty() {
            wrong.push(format!("`{SUMS}` is not as it was written"));
        }
    }
    check(name, &wrong, &format!("{} files", files.len()))
}

/// The bundle holds the documents that were read, and nothing that no bundle has.
fn known(files: &Files, observed: &Observed) -> Check {
    const OWN: [&str; 9] = [EVIDENCE, PAGE, OBSERVED, README, SCRIPT, SUMS, GATE_KEY, PROMOTION_KEY, APPROVAL_KEY];
    // What follows from the documents is compared with the conclusions.
    let is_own = |name: &str| OWN.contains(&name) || name.starts_with("forms/") || bundle_trust::is_root(name);
    let strange = files.keys().filter(|name| !is_own(name) && !observed.versions.contains_key(*name));
    let mut wrong: Vec<_> = strange.map(|name| format!("`{name}` was not read for this evidence")).collect();
    let missing = observed.versions.keys().filter(|name| !files.contains_key(*name));
    wrong.extend(missing.map(|name| format!("`{name}` was read and is not in the bundle")));
    let odd = observed.versions.keys().filter(|name| !paper::is_document(name));
    wrong.extend(odd.map(|name| format!("`{name}` is no document of evidence")));
    check(
        "the bundle holds exactly the documents that were read",
        &wrong,
        &format!("{} documents", observed.versions.len()),
    )
}

/// The keys that count: those of the bundle, as they are or as its trust root names them, held against one's own.
pub(super) fn keys(files: &Files, own: &OwnKeys, checks: &mut Vec<Check>) -> Option<PublicKeys> {
    let gate = key(files, GATE_KEY, own.gate.as_ref(), checks);
    let promotion = key(files, PROMOTION_KEY, own.promotion.as_ref(), checks);
    // Where no approval was counted by its signature it is not there; where one was, it is missed.
    let approval = if files.contains_key(APPROVAL_KEY) {
        key(files, APPROVAL_KEY, own.approval.as_ref(), checks)
    } else {
        own.approval.clone()
    };
    match bundle_trust::keys(files, own.root.as_deref(), checks) {
        None => gate.zip(promotion).map(|(gate, promotion)| PublicKeys::fixed(gate, promotion, approval)),
        Some(named) => named.ok(),
    }
}

/// A key of the bundle, or the one that who verifies brought: then the two must be one.
fn key(files: &Files, name: &str, own: Option<&PublicKey>, checks: &mut Vec<Check>) -> Option<PublicKey> {
    let bundled = files.get(name).and_then(|bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        PublicKey::from_pem(text).ok().filter(|key| key.to_pem() == text)
    });
    let mut wrong = Vec::new();
    if bundled.is_none() {
        wrong.push(format!("`{name}` is not there, or not as it was written"));
    }
    if let (Some(own), Some(bundled)) = (own, &bundled)
        && own != bundled
    {
        wrong.push(format!("it is `{}`, yours is `{}`", bundled.fingerprint(), own.fingerprint()));
    }
    let detail = match (own, &bundled) {
        (Some(own), _) => format!("it is yours, `{}`", own.fingerprint()),
        (None, Some(bundled)) => {
            format!("compare its fingerprint with one that you got elsewhere: `{}`", bundled.fingerprint())
        }
        (None, None) => String::new(),
    };
    checks.push(check(&format!("`{name}` is the public key to verify with"), &wrong, &detail));
    own.cloned().or(bundled)
}

/// The bundle's own conclusions are those that follow from its documents.
fn conclusions(files: &Files, exhibits: &Exhibits, evidence: &Evidence) -> Check {
    let name = "the conclusions and the page are what follows from the documents";
    if let Some(other) = other_version(exhibits) {
        return open(name, &other);
    }
    let json = serde_json::to_vec_pretty(evidence);
    let page = html::page(&title(evidence), std::slice::from_ref(evidence));
    let (json, page) = match (json, page) {
        (Ok(json), Ok(page)) => (json, page),
        (Err(error), _) => return open(name, &error),
        (_, Err(error)) => return open(name, &error),
    };
    let mut wrong = Vec::new();
    let mut expected = forms::files(exhibits);
    expected.extend([(EVIDENCE.to_owned(), json), (PAGE.to_owned(), page.into_bytes())]);
    for (name, expected) in &expected {
        if files.get(name) != Some(expected) {
            wrong.push(format!("`{name}` says something else"));
        }
    }
    let strange = files.keys().filter(|name| name.starts_with("forms/") && !expected.contains_key(*name));
    wrong.extend(strange.map(|name| format!("`{name}` follows from no template")));
    check(name, &wrong, "byte for byte")
}

/// A check that could not be made.
fn open(name: &str, why: &dyn std::fmt::Display) -> Check {
    Check { part: Part::Bundle, name: name.to_owned(), holds: Holds::Unknown, detail: why.to_string() }
}

/// The script and its explanation are the gatekeeper's own.
fn texts(files: &Files, exhibits: &Exhibits) -> Check {
    let name = "`verify.sh` and `README.txt` are the gatekeeper's own";
    if let Some(other) = other_version(exhibits) {
        return open(name, &other);
    }
    let mut wrong = Vec::new();
    for (name, expected) in [(README, README_TEXT), (SCRIPT, SCRIPT_TEXT)] {
        if files.get(name).map(Vec::as_slice) != Some(expected.as_bytes()) {
            wrong.push(format!("`{name}` is another one"));
        }
    }
    check(name, &wrong, "byte for byte")
}

/// Why the gatekeeper's own texts can't be compared; `None` where they can.
fn other_version(exhibits: &Exhibits) -> Option<String> {
    let (made, here) = (exhibits.observed.gatekeeper.as_str(), env!("CARGO_PKG_VERSION"));
    let (edition, ours) = (exhibits.observed.edition, EDITION);
    ((made, edition) != (here, ours)).then(|| {
        format!(
            "gatekeeper {made} with edition {edition} of the evidence made the bundle, this is {here} with edition {ours}: \
             what is told here follows from the documents all the same; verify the page with that version too"
        )
    })
}
