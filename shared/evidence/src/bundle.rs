//! The bundle: everything that is needed to verify the evidence offline, as one ZIP archive that comes out the same bytes
//! whenever it is made of the same exhibits.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Cursor, Read as _, Write as _},
};

use gatekeeper_model::ids::Sha256;
use gatekeeper_proof::PublicKeys;
use gatekeeper_readers::{lambda_zip, lambda_zip::Limits};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::{bundle_trust, exhibits::Exhibits, forms, html, model::Evidence};

/// The evidence.
pub const EVIDENCE: &str = "evidence.json";
/// The same as a page.
pub const PAGE: &str = "evidence.html";
/// What was seen beside the documents.
pub const OBSERVED: &str = "observed.json";
/// How to read and verify the bundle.
pub const README: &str = "README.txt";
/// Verifies it with openssl, sha256sum, base64 and jq.
pub const SCRIPT: &str = "verify.sh";
/// The SHA-256 of every other file.
pub const SUMS: &str = "SHA256SUMS";
/// The gate's public key.
pub const GATE_KEY: &str = "keys/gate.pem";
/// The promotion's public key.
pub const PROMOTION_KEY: &str = "keys/promotion.pem";
/// The public key that approvals are signed with.
pub const APPROVAL_KEY: &str = "keys/approval.pem";

/// The largest raw report or snapshot that goes into a bundle, in bytes: of larger ones it holds the digest.
pub const MAX_ATTACHED_BYTES: u64 = 5 * 1024 * 1024;
/// The most of them together, in bytes.
pub const MAX_ALL_ATTACHED_BYTES: u64 = 50 * 1024 * 1024;

/// What a bundle may be at the most when it is read: it comes from a stranger.
const LIMITS: Limits = Limits {
    max_archive_bytes: 256 * 1024 * 1024,
    max_unzipped_bytes: 256 * 1024 * 1024,
    max_entries: 20_000,
    max_directory_bytes: 8 * 1024 * 1024,
    max_symlink_bytes: 0,
    max_symlinks_total_bytes: 0,
};

pub(super) const README_TEXT: &str = include_str!("../templates/bundle/README.txt");
pub(super) const SCRIPT_TEXT: &str = include_str!("../templates/bundle/verify.sh");

/// A bundle's files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a bundle could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The evidence could not be written as JSON.
    #[error("the evidence could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The page could not be made.
    #[error("the page could not be made")]
    Page(#[from] askama::Error),
    /// The archive could not be made.
    #[error("the archive could not be made")]
    Zip(#[from] ZipError),
    /// The archive could not be written.
    #[error("the archive could not be written")]
    Io(#[from] std::io::Error),
}

/// Why an archive is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a bundle of evidence: {0}")]
pub struct InvalidBundle(pub String);

/// The title of a page on this evidence.
#[must_use]
pub fn title(evidence: &Evidence) -> String {
    let question = &evidence.question;
    let verb = if question.at.is_some() { "ran" } else { "runs" };
    format!("Evidence for what {} {verb} of {}", question.stage, question.repo)
}

/// The files of a bundle.
///
/// # Errors
/// [`BundleError`] where a document can't be written.
pub fn files(exhibits: &Exhibits, evidence: &Evidence) -> Result<Files, BundleError> {
    let mut files: Files =
        exhibits.documents.iter().map(|(name, document)| (name.clone(), document.bytes.clone())).collect();
    let mut add = |name: &str, bytes: Vec<u8>| files.insert(name.to_owned(), bytes);
    add(EVIDENCE, serde_json::to_vec_pretty(evidence)?);
    add(OBSERVED, serde_json::to_vec_pretty(&exhibits.observed)?);
    add(PAGE, html::page(&title(evidence), std::slice::from_ref(evidence))?.into_bytes());
    add(README, README_TEXT.into());
    add(SCRIPT, SCRIPT_TEXT.into());
    if let Some(keys) = &exhibits.keys {
        add_keys(&mut files, keys, exhibits.counts_signatures());
    }
    files.extend(forms::files(exhibits));
    let sums = sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    Ok(files)
}

/// Adds the public keys, the approvals' where it was counted by, and every version of the trust root.
pub(super) fn add_keys(files: &mut Files, keys: &PublicKeys, with_approval: bool) {
    let approval = keys.approval.as_ref().filter(|_| with_approval).map(|keys| (APPROVAL_KEY, keys));
    let named = [(GATE_KEY, &keys.gate), (PROMOTION_KEY, &keys.promotion)].into_iter().chain(approval);
    files.extend(named.map(|(name, keys)| (name.to_owned(), keys.present().to_pem().into_bytes())));
    let roots = keys.trust.iter().flat_map(|trust| &trust.documents);
    files.extend(roots.map(|(version, document)| (bundle_trust::file(*version), document.clone())));
}

/// What `SHA256SUMS` says of these files, as `sha256sum` writes it.
#[must_use]
pub fn sums(files: &Files) -> String {
    let mut text = String::new();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != SUMS) {
        let _ = writeln!(text, "{}  {name}", Sha256::of(bytes));
    }
    text
}

/// The files as an archive.
///
/// # Errors
/// [`BundleError`] where it can't be made.
pub fn pack(files: &Files) -> Result<Vec<u8>, BundleError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let mode = if name == SCRIPT { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        writer.start_file(name.as_str(), options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Reads an archive of whoever: strictly, and never more than a bundle may be.
///
/// # Errors
/// [`InvalidBundle`] where it is none.
pub fn unpack(archive: &[u8]) -> Result<Files, InvalidBundle> {
    let invalid = |error: &dyn std::fmt::Display| InvalidBundle(error.to_string());
    let findings =
        lambda_zip::inspect(Cursor::new(archive), "bundle", None, &LIMITS).map_err(|error| invalid(&error))?;
    if let Some(finding) = findings.first() {
        return Err(InvalidBundle(finding.message.clone()));
    }
    let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|error| invalid(&error))?;
    let mut files = Files::new();
    for index in 0..zip.len() {
        let entry = zip.by_index(index).map_err(|error| invalid(&error))?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(|error| invalid(&error))?.into_owned();
        let mut bytes = Vec::new();
        entry.take(LIMITS.max_unzipped_bytes).read_to_end(&mut bytes).map_err(|error| invalid(&error))?;
        files.insert(name, bytes);
    }
    Ok(files)
}
