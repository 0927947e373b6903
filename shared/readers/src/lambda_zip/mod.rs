//! Lambda bundles: a ZIP archive that every parser reads alike, that Lambda takes, and that fits its function.
//!
//! An archive says everything twice, in the central directory and in each entry's local header, and parsers differ in
//! which of the two they believe. Here the two must agree in every field that decides what is unpacked, entries must
//! cover the archive without gap or overlap, and each entry's bytes must be what is declared. The format is that of
//! PKWARE's APPNOTE 6.3.10; section numbers below are its.
//!
//! Memory is bounded by [`Limits`] whatever comes in: the directory is streamed, of each entry only its name and a few
//! numbers stay, contents are inflated once through one buffer.

mod bootstrap;
#[cfg(test)]
mod builder;
mod contents;
mod directory;
mod fit;
#[cfg(test)]
mod laws;
mod naming;
mod record;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{self, Read, Seek};

use gatekeeper_model::finding::{Code, Finding};

use crate::function_spec::FunctionSpec;

/// How much of an archive is looked at before it is refused. All but `max_unzipped_bytes` bound our own memory and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The archive's own size, in bytes. Lambda names no figure for bundles in S3; the default, 300 MiB, is room for
    /// 250 MB stored without compression and for their headers.
    pub max_archive_bytes: u64,
    /// The sum of all entries' sizes, in bytes: 262,144,000 (Lambda's quota "Deployment package (.zip file archive)
    /// size", 250 MB unzipped, layers included).
    pub max_unzipped_bytes: u64,
    /// How many entries: 100,000, above what the largest `node_modules` that fits the quota holds. Lambda names no figure.
    pub max_entries: u64,
    /// The central directory's size, in bytes: 16 MiB, 167 for each of 100,000 entries.
    pub max_directory_bytes: u64,
    /// A symbolic link's target, in bytes: 4,095, Linux's `PATH_MAX` without the terminator.
    pub max_symlink_bytes: u64,
    /// All symbolic links' targets together, in bytes: 1 MiB.
    pub max_symlinks_total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_archive_bytes: 300 * 1024 * 1024,
            max_unzipped_bytes: 262_144_000,
            max_entries: 100_000,
            max_directory_bytes: 16 * 1024 * 1024,
            max_symlink_bytes: 4095,
            max_symlinks_total_bytes: 1024 * 1024,
        }
    }
}

/// Everything that is wrong with the bundle `archive`, whose key is `subject`; nothing where it is fine.
///
/// With `spec` the bundle must also fit the function: a `bootstrap` of the right architecture for the OS-only
/// runtimes, the file behind `Handler` for Node.js, Python and Ruby. A function with layers may find both in a layer
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>): give no `spec` for one.
///
/// At most 100 findings are told, then one that says that there are more.
///
/// # Errors
/// Only where `archive` can't be read. What it holds is never an error.
pub fn inspect<R: Read + Seek>(
    archive: R,
    subject: &str,
    spec: Option<&FunctionSpec>,
    limits: &Limits,
) -> io::Result<Vec<Finding>> {
    inspect_for_words(archive, subject, spec, &[], limits)
}

/// The same, and a warning for each of the words that files of the bundle hold, whatever kind of file it is. A word is held
/// where neither a letter nor a digit touches it.
///
/// # Errors
/// Only where `archive` can't be read.
pub fn inspect_for_words<R: Read + Seek>(
    mut archive: R,
    subject: &str,
    spec: Option<&FunctionSpec>,
    words: &[String],
    limits: &Limits,
) -> io::Result<Vec<Finding>> {
    let mut findings = Findings::about(subject);
    let Some(directory) = directory::read(&mut archive, limits, &mut findings)? else {
        return Ok(findings.into_vec());
    };
    let mut tree = tree::Tree::of(&directory, &mut findings);
    if directory.unzipped_bytes() > limits.max_unzipped_bytes {
        findings.say(Code::ZipTooLarge, format!("the archive unzips to more than {} bytes", limits.max_unzipped_bytes));
        return Ok(findings.into_vec());
    }
    let told = findings.list.len();
    let mut search = naming::Search::for_words(words);
    tree.links = contents::check(&mut archive, &directory, limits, &mut search, &mut findings)?;
    let readable = findings.list.len() == told && !findings.more;
    tree.check_links(&mut findings);
    if let Some(spec) = spec {
        fit::check(readable.then_some(&mut archive), &tree, spec, &mut findings)?;
    }
    for (word, holders) in words.iter().zip(search.found()) {
        let Some(naming::Holders { first, files }) = holders else { continue };
        let more = if files > 1 { format!(" and {} more of its files", files - 1) } else { String::new() };
        let message =
            format!("it holds `{word}` in `{}`{more}: let the template tell it by the environment", shown(&first));
        findings.say(Code::BundleNamesStage, message);
    }
    Ok(findings.into_vec())
}

/// How many findings are told of one archive.
const MAX_FINDINGS: usize = 100;

/// The findings about one archive, bounded.
struct Findings<'a> {
    subject: &'a str,
    list: Vec<Finding>,
    more: bool,
}

impl<'a> Findings<'a> {
    fn about(subject: &'a str) -> Self {
        Self { subject, list: Vec::new(), more: false }
    }

    fn say(&mut self, code: Code, message: impl Into<String>) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(Finding::new(code, self.subject, message));
        } else {
            self.more = true;
        }
    }

    fn into_vec(mut self) -> Vec<Finding> {
        if self.more {
            let message = format!("there are more findings than the {MAX_FINDINGS} told");
            self.list.push(Finding::new(Code::ZipInvalid, self.subject, message));
        }
        self.list
    }
}

/// An entry's name as messages show it: escaped, cut to 120 characters.
fn shown(name: &[u8]) -> String {
    // Four bytes a character at most: a longer name need not be decoded to be cut.
    let head = name.get(..480).unwrap_or(name);
    let text = String::from_utf8_lossy(head);
    let mut shown: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if head.len() < name.len() || text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}
