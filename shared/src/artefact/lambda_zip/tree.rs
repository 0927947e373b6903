//! The tree that an archive unpacks to: names, what lies under what, and where links lead.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    Findings,
    directory::{Directory, Entry, Kind},
    shown,
};
use crate::finding::Code;

/// How many links one path may lead through, as on Linux (`path_resolution(7)`).
const MAX_HOPS: u32 = 40;

/// How many steps all links of an archive may take to resolve.
const MAX_STEPS: u32 = 1_000_000;

/// Tells whether a name can only ever mean one path below the folder that it is unpacked to.
///
/// Names without the UTF-8 flag are CP437 to some parsers and anything to others, so they must be ASCII.
pub(super) fn check_name(name: &[u8], utf8: bool) -> Result<(), (Code, &'static str)> {
    let Ok(text) = std::str::from_utf8(name) else {
        return Err((Code::ZipInvalid, "its name is not UTF-8"));
    };
    if !utf8 && !text.is_ascii() {
        return Err((Code::ZipInvalid, "its name is not ASCII and not marked as UTF-8"));
    }
    let drive = matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic());
    let path = text.strip_suffix('/').unwrap_or(text);
    let refusal = if text.starts_with('/') {
        "its name is absolute"
    } else if text.contains('\\') {
        "its name holds a backslash"
    } else if text.contains(char::is_control) {
        "its name holds a control character"
    } else if drive {
        "its name starts with a drive"
    } else if path.split('/').any(|part| part == "..") {
        "its name climbs"
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        "its name has an empty or `.` component"
    } else if path.len() > 4095 || path.split('/').any(|part| part.len() > 255) {
        "its name is longer than Linux takes"
    } else {
        return Ok(());
    };
    Err((Code::ZipUnsafePath, refusal))
}

/// The tree of an archive.
pub(super) struct Tree<'a> {
    directory: &'a Directory,
    /// Indices of entries, a folder right before what is in it.
    sorted: Vec<usize>,
    /// The targets of symbolic links by index of the entry.
    pub(super) links: BTreeMap<usize, String>,
}

/// Where a path leads when links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A file or a folder's entry, by index.
    Entry(usize),
    /// A folder without an entry of its own, or nothing.
    Other,
    /// Out of the tree.
    Outside,
    /// Nowhere, after too many links.
    Endless,
}

impl<'a> Tree<'a> {
    /// Sorts the entries and tells which names can't be in one tree.
    pub(super) fn of(directory: &'a Directory, findings: &mut Findings<'_>) -> Self {
        let mut tree = Self { directory, sorted: (0..directory.entries.len()).collect(), links: BTreeMap::new() };
        let mut sorted = std::mem::take(&mut tree.sorted);
        sorted.sort_by(|a, b| compare(tree.path(*a), tree.path(*b)));
        tree.sorted = sorted;
        for pair in tree.sorted.windows(2) {
            let [upper, lower] = pair else { continue };
            let (path, next) = (tree.path(*upper), tree.path(*lower));
            let Some(rest) = next.strip_prefix(path) else {
                continue;
            };
            let name = shown(path);
            match tree.kind(*upper) {
                _ if rest.is_empty() => {
                    findings.say(Code::ZipDuplicateEntry, format!("`{name}` comes twice"));
                }
                _ if !rest.starts_with(b"/") => {}
                Some(Kind::Link) => findings.say(
                    Code::ZipUnsafeSymlink,
                    format!("`{}` would be written through the link `{name}`", shown(next)),
                ),
                Some(Kind::Folder) => {}
                _ => findings
                    .say(Code::ZipDuplicateEntry, format!("`{name}` is a file and the folder of `{}`", shown(next))),
            }
        }
        tree
    }

    /// Tells which links leave the tree, whether read by their text alone or by following them.
    pub(super) fn check_links(&self, findings: &mut Findings<'_>) {
        let mut steps = MAX_STEPS;
        for (index, target) in &self.links {
            let name = self.path(*index);
            let folder = match name.iter().rposition(|byte| *byte == b'/') {
                Some(at) => name.get(..at).unwrap_or_default(),
                None => &[],
            };
            let folder = std::str::from_utf8(folder).unwrap_or_default();
            let refusal =
                if target.is_empty() || target.contains(['\\', '\u{fffd}']) || target.contains(char::is_control) {
                    "has a target that is no plain path"
                } else if target.starts_with('/') {
                    "leads to an absolute path"
                } else if climbs_out(folder, target) {
                    "leads out of the archive"
                } else {
                    match self.follow(std::str::from_utf8(name).unwrap_or_default(), &mut steps) {
                        Place::Outside => "leads out of the archive through another link",
                        Place::Endless => "leads through too many links, or in a circle",
                        Place::Entry(_) | Place::Other => continue,
                    }
                };
            findings.say(Code::ZipUnsafeSymlink, format!("`{}` {refusal}", shown(name)));
        }
    }

    /// The file that `path` leads to, through links where there are any.
    pub(super) fn file(&self, path: &str) -> Option<&'a Entry> {
        match self.follow(path, &mut { MAX_STEPS }) {
            Place::Entry(index) => self.directory.entries.get(index).filter(|entry| entry.kind == Kind::File),
            _ => None,
        }
    }

    /// The names of all files.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a [u8]> {
        let files = self.directory.entries.iter().filter(|entry| entry.kind == Kind::File);
        files.map(|entry| self.directory.name(entry))
    }

    /// Follows `path` from the root, a link at its end too.
    fn follow(&self, path: &str, steps: &mut u32) -> Place {
        let mut todo: Vec<&str> = path.rsplit('/').collect();
        let mut at = String::new();
        let mut found = None;
        let mut hops = 0;
        while let Some(part) = todo.pop() {
            let Some(left) = steps.checked_sub(1) else {
                return Place::Endless;
            };
            *steps = left;
            match part {
                "" | "." => continue,
                ".." if at.is_empty() => return Place::Outside,
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                _ => {
                    if !at.is_empty() {
                        at.push('/');
                    }
                    at.push_str(part);
                }
            }
            found = self.find(at.as_bytes());
            if let Some(target) = found.and_then(|index| self.links.get(&index)) {
                hops += 1;
                if hops > MAX_HOPS {
                    return Place::Endless;
                }
                at.truncate(at.rfind('/').unwrap_or(0));
                todo.extend(target.rsplit('/'));
                found = None;
            }
        }
        found.map_or(Place::Other, Place::Entry)
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        let at = self.sorted.binary_search_by(|index| compare(self.path(*index), path)).ok()?;
        self.sorted.get(at).copied()
    }

    /// An entry's name without the slash of a folder.
    fn path(&self, index: usize) -> &'a [u8] {
        let name = self.directory.entries.get(index).map_or(&[][..], |entry| self.directory.name(entry));
        name.strip_suffix(b"/").unwrap_or(name)
    }

    fn kind(&self, index: usize) -> Option<Kind> {
        self.directory.entries.get(index).map(|entry| entry.kind)
    }
}

/// Orders paths so that a folder comes right before all that is in it: the slash before every other byte.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((x, y)) => x.cmp(y),
        None => a.len().cmp(&b.len()),
    }
}

/// Whether `target`, read from `folder` as text alone, is ever above the root.
fn climbs_out(folder: &str, target: &str) -> bool {
    let mut depth = folder.split('/').filter(|part| !part.is_empty()).count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}
