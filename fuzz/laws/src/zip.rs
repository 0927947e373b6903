//! Lambda bundles: what the gate takes is the same files with the same bytes to every reader.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
};

use flate2::{Decompress, FlushDecompress, Status};

use crate::{
    input::{Pieces, choose, told},
    product::{Architecture, Finding, FunctionSpec, bundle, lambda_zip},
};

const SUBJECT: &str = "f.zip";

/// Small, so that no input takes long.
fn limits() -> lambda_zip::Limits {
    lambda_zip::Limits {
        max_archive_bytes: 1 << 20,
        max_unzipped_bytes: 1 << 20,
        max_entries: 1000,
        max_directory_bytes: 1 << 20,
        ..lambda_zip::Limits::default()
    }
}

fn inspect(archive: &[u8], spec: Option<&FunctionSpec>) -> Vec<Finding> {
    lambda_zip::inspect(Cursor::new(archive), SUBJECT, spec, &limits()).expect("memory can be read")
}

fn accepted(archive: &[u8]) -> bool {
    inspect(archive, None).is_empty()
}

/// The laws of an archive.
pub fn zip(archive: &[u8]) {
    let findings = inspect(archive, None);
    told(&findings, SUBJECT);
    let in_pieces = lambda_zip::inspect(Pieces::of(Cursor::new(archive)), SUBJECT, None, &limits());
    assert_eq!(in_pieces.expect("memory can be read"), findings, "read in pieces");
    if !findings.is_empty() {
        return;
    }
    let entries = by_directory(archive);
    plain_names(&entries);
    let files: BTreeMap<String, Vec<u8>> = entries
        .iter()
        .filter(|(name, _)| !name.ends_with('/'))
        .map(|(name, data)| (name.clone(), data.clone()))
        .collect();
    assert!(files.values().map(Vec::len).sum::<usize>() as u64 <= limits().max_unzipped_bytes);
    if let Ok(unpacked) = bundle::unpack(archive) {
        assert_eq!(unpacked, files, "as a bundle of evidence is unpacked");
    }
    let streamed = by_stream(archive);
    for (name, data) in &streamed {
        assert_eq!(entries.get(name), Some(data), "`{name}`, read as a stream");
    }
    around(archive);
    handlers(archive, &files);
    flipped(archive, &entries);
}

/// What the `zip` crate reads, which goes by the central directory and checks every CRC-32.
fn by_directory(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut reader = ::zip::ZipArchive::new(Cursor::new(archive)).expect("what the gate takes another reader can open");
    let mut entries = BTreeMap::new();
    for index in 0..reader.len() {
        let mut entry = reader.by_index(index).expect("another reader finds every entry");
        let name = entry.name().expect("a name is UTF-8").into_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).expect("another reader unpacks every entry");
        assert_eq!(entries.insert(name.clone(), data), None, "`{name}` comes twice");
    }
    entries
}

/// What a reader sees that goes from local header to local header, as those do that unpack while they download: all
/// entries, up to the first whose length it can't know.
fn by_stream(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    while archive[at..].starts_with(b"PK\x03\x04") {
        let u16_at = |offset: usize| u16::from_le_bytes([archive[at + offset], archive[at + offset + 1]]);
        let u32_at = |offset: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte: usize| archive[at + offset + byte]));
        let (flags, method, compressed, size) = (u16_at(6), u16_at(8), u32_at(18), u32_at(22));
        let name_end = at + 30 + usize::from(u16_at(26));
        let data = name_end + usize::from(u16_at(28));
        let name = String::from_utf8(archive[at + 30..name_end].to_vec()).expect("a name is UTF-8");
        let is_late = flags & 8 != 0;
        if size == u32::MAX || compressed == u32::MAX || (is_late && method != 8) {
            break; // Of zip64, or stored with its length behind it.
        }
        let known = if is_late { None } else { Some(compressed as usize) };
        let (content, length) = match (method, known) {
            (0, Some(length)) => (archive[data..data + length].to_vec(), length),
            _ => {
                let (content, length) = inflated(&archive[data..]);
                assert!(known.is_none_or(|known| known == length), "`{name}` is not as long as its header says");
                (content, length)
            }
        };
        assert_eq!(entries.insert(name.clone(), content), None, "`{name}` comes twice in the stream");
        at = data + length;
        if is_late {
            at += if archive[at..].starts_with(b"PK\x07\x08") { 16 } else { 12 };
        }
    }
    entries
}

/// What a deflate stream at the start of `data` comes to, and how long it is.
fn inflated(data: &[u8]) -> (Vec<u8>, usize) {
    let mut inflater = Decompress::new(false);
    let mut content = Vec::with_capacity(1 << 12);
    loop {
        content.reserve(1 << 12);
        let behind = data.get(usize::try_from(inflater.total_in()).unwrap_or(usize::MAX)..).unwrap_or_default();
        let status = inflater.decompress_vec(behind, &mut content, FlushDecompress::None);
        if status.expect("what the gate takes inflates") == Status::StreamEnd {
            return (content, usize::try_from(inflater.total_in()).unwrap_or(usize::MAX));
        }
    }
}

/// Nothing is written outside of the folder that an archive is unpacked to, and nothing over something else.
fn plain_names(entries: &BTreeMap<String, Vec<u8>>) {
    for name in entries.keys() {
        let path = name.strip_suffix('/').unwrap_or(name);
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
        assert!(path.split('/').all(is_plain) && !path.contains(['\\', '\0']), "{name:?}");
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            assert!(!entries.contains_key(folder), "{folder:?} is a file and the folder of {name:?}");
            above = folder;
        }
    }
}

/// Whatever stands before or behind an archive makes it none, and so does what is cut off.
fn around(archive: &[u8]) {
    assert!(!accepted(&[archive, b"\0"].concat()), "a byte behind it");
    assert!(!accepted(&[b"\0", archive].concat()), "a byte before it");
    let at = choose(archive, archive.len());
    assert!(!accepted(&archive[..at]), "cut to {at} bytes");
    assert!(at == 0 || !accepted(&archive[at..]), "without its first {at} bytes");
}

/// A file that is there is found as the handler that names it, and a `bootstrap` that is not there is missed.
fn handlers(archive: &[u8], files: &BTreeMap<String, Vec<u8>>) {
    let mut reader = ::zip::ZipArchive::new(Cursor::new(archive)).expect("it was opened before");
    let links: Vec<bool> =
        (0..reader.len()).map(|index| reader.by_index(index).expect("it was read before").is_symlink()).collect();
    if links.contains(&true) {
        return;
    }
    let plain = |stem: &str| !stem.contains('.') && !stem.is_empty() && !stem.ends_with('/');
    for (runtime, suffix) in [("nodejs22.x", ".js"), ("python3.13", ".py"), ("ruby3.4", ".rb")] {
        let found = files.keys().find_map(|name| name.strip_suffix(suffix).filter(|stem| plain(stem)));
        let Some(stem) = found else { continue };
        let handler = Some(format!("{stem}.handler"));
        let spec = FunctionSpec { runtime: runtime.to_owned(), handler, architecture: Architecture::X86_64 };
        assert_eq!(inspect(archive, Some(&spec)), [], "{spec:?}");
    }
    let runtime = "provided.al2023".to_owned();
    let spec = FunctionSpec { runtime, handler: None, architecture: Architecture::Arm64 };
    let findings = inspect(archive, Some(&spec));
    told(&findings, SUBJECT);
    assert!(files.contains_key("bootstrap") || !findings.is_empty(), "a `bootstrap` that is not there is not missed");
}

/// A bit that flips is seen, or changes neither names nor bytes: times, modes, versions and comments may differ.
fn flipped(archive: &[u8], entries: &BTreeMap<String, Vec<u8>>) {
    let bit = choose(archive, archive.len() * 8);
    let mut changed = archive.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    if accepted(&changed) {
        assert_eq!(by_directory(&changed), *entries, "bit {} of byte {} flipped", bit % 8, bit / 8);
    }
}
