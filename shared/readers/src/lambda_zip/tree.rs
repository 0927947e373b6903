//! The tree that an archive unpacks to: names, what lies under what, and where links lead.

use std::{cmp::Ordering, collections::BTreeMap};

use gatekeeper_model::finding::Code;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    Findings,
    directory::{Directory, Entry, Kind},
    shown,
};

/// How many links one path may lead through, as on Linux (`path_resolution(7)`).
const MAX_HOPS: u32 = 40;

/// How many steps all links of an archive may take to resolve.
const MAX_STEPS: u32 = 1_000_000;

/// The longest path below `/var/task/`: Linux' `PATH_MAX` of 4,096 bytes with the terminator, less the folder's own name.
const MAX_PATH_BYTES: usize = 4095 - "/var/task/".len();

/// Tells whether a name can only ever mean one path below the folder that it is unpacked to.
///
/// Names without the UTF-8 flag are CP437 to some parsers and anything to others, so they must be ASCII.
pub(super) fn check_name(name: &[u8], utf8: bool) -> Result<(), (Code, &'static str)> {
    let Ok(text) = std::str::from_utf8(name) else {
        return Err((Code::ZipInvalid, "its name is not UTF-8"));
    };
    if !utf8 && !text.is_ascii() {
        let message = "its name is not ASCII and not marked as UTF-8, so unpackers spell it differently: with Info-ZIP \
                       use `zip -UN=UTF8`, or rename it";
        return Err((Code::ZipInvalid, message));
    }
    if text.contains('\u{feff}') {
        return Err((Code::ZipInvalid, "its name holds a byte order mark, which some parsers drop"));
    }
    let last = text.rsplit('/').next().unwrap_or_default();
    if last.trim_end_matches(|it: char| it.is_ascii_digit()).ends_with(';') {
        return Err((Code::ZipInvalid, "its name ends like a version of VMS, `;` and digits, which Info-ZIP cuts off"));
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
    } else if path.split('/').any(|part| part == ".") {
        "its name has a `.` component, which unpackers keep or drop: hand the archiver `index.js`, not `./index.js`"
    } else if path.split('/').any(str::is_empty) {
        "its name has an empty component"
    } else if path.len() > MAX_PATH_BYTES || path.split('/').any(|part| part.len() > 255) {
        "its name is longer than Linux takes below `/var/task/`"
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
        tree.check_spellings(findings);
        tree
    }

    /// Tells which names are one name under Unicode's normalisation, as some file systems have it.
    fn check_spellings(&self, findings: &mut Findings<'_>) {
        let normal = |path: &[u8]| std::str::from_utf8(path).map(|it| it.nfd().collect::<String>());
        let spelt = self.sorted.iter().map(|index| self.path(*index)).filter(|path| !path.is_ascii());
        let mut spelt: Vec<_> = spelt.filter_map(|path| Some((normal(path).ok()?, path))).collect();
        spelt.sort_by(|(a, _), (b, _)| compare(a.as_bytes(), b.as_bytes()));
        for pair in spelt.windows(2) {
            let [(upper, name), (lower, other)] = pair else { continue };
            let lies_in =
                lower.strip_prefix(upper.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if lies_in && !other.starts_with(name) {
                let message =
                    format!("`{}` and `{}` are one name under Unicode normalisation", shown(name), shown(other));
                findings.say(Code::ZipDuplicateEntry, message);
            }
        }
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
                    if let Some(place) = nowhere_in_lambda(folder, target) {
                        findings.say(
                            Code::ZipDanglingLink,
                            format!(
                                "`{}` leads to `{place}`, which Lambda does not have: bundle the package itself",
                                shown(name)
                            ),
                        );
                        continue;
                    }
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

/// Where a package manager's link to a package of the same workspace leads in Lambda, where nothing can be there.
///
/// pnpm and npm link workspace packages into `node_modules` by their place in the repository, which a bundle doesn't
/// bring. Such a link dangles, unless it leads to a folder of Lambda's own file system or of a layer.
fn nowhere_in_lambda(folder: &str, target: &str) -> Option<String> {
    if !folder.split('/').any(|part| part == "node_modules") {
        return None;
    }
    let mut place: Vec<&str> =
        ["var", "task"].into_iter().chain(folder.split('/')).filter(|it| !it.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(place.pop()),
            _ => place.push(part),
        }
    }
    let is_lambdas = match place.as_slice() {
        [] | [_] | ["var", "task", ..] => true,
        ["var", second, ..] => VAR_FOLDERS.contains(second),
        [first, ..] => ROOT_FOLDERS.contains(first),
    };
    (!is_lambdas).then(|| format!("/{}", place.join("/")))
}

/// What Lambda's images have at their root, mounts and layers included (`public.ecr.aws/lambda/*`).
const ROOT_FOLDERS: &[&str] = &[
    "bin", "boot", "dev", "efs", "etc", "home", "lib", "lib64", "local", "media", "mnt", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "tmp", "usr",
];

/// The same below `/var`.
const VAR_FOLDERS: &[&str] = &[
    "account",
    "adm",
    "cache",
    "db",
    "empty",
    "ftp",
    "games",
    "gopher",
    "kerberos",
    "lang",
    "lib",
    "local",
    "lock",
    "log",
    "mail",
    "nis",
    "opt",
    "preserve",
    "rapid",
    "run",
    "runtime",
    "spool",
    "telemetry",
    "tmp",
    "tracer",
    "yp",
];

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
