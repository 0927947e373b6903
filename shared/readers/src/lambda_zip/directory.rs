//! The end records and the central directory: what the archive says that it holds.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use gatekeeper_model::finding::Code;

use super::{
    Findings, Limits,
    record::{CENTRAL_HEADER, END, Extra, Fields, ZIP64_END, ZIP64_LOCATOR, read_at},
    shown, tree,
};

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;
/// AES as `WinZip` does it: the real method is in an extra field.
const AES: u16 = 99;

/// Encrypted, strongly encrypted, local header masked (4.4.4).
const ENCRYPTION_FLAGS: u16 = 1 | 1 << 6 | 1 << 13;
/// Sizes and CRC-32 follow the data.
pub(super) const DESCRIPTOR_FLAG: u16 = 1 << 3;
/// The name is UTF-8.
const UTF8_FLAG: u16 = 1 << 11;
/// Those, and how hard the compressor tried. The rest is patch data, reserved, or PKWARE's own.
const KNOWN_FLAGS: u16 = ENCRYPTION_FLAGS | 0b110 | DESCRIPTOR_FLAG | UTF8_FLAG;

/// Systems that an entry can be made on (4.4.2.2).
const UNIX: u8 = 3;
const MACOS: u8 = 19;

/// The volume label among the attributes of DOS, the lower half of the external ones.
const VOLUME_LABEL: u32 = 0x08;

/// The newest version of the format that all parsers know: 4.5 brought zip64, 4.6 is what Info-ZIP stops at. The upper
/// byte is a system (4.4.3) that only VMS' own files ever need.
pub(super) fn known_version(needed: u16) -> bool {
    let [version, _] = needed.to_le_bytes();
    version <= 46
}

pub(super) const VERSION_UNKNOWN: &str = "it needs a newer version of the format than parsers know";

const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const ZIP64_END_BYTES: usize = 56;
const CENTRAL_BYTES: usize = 46;

/// What an entry becomes when it is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A device, a pipe or a socket.
    Special,
}

/// One entry, as the central directory tells it.
pub(super) struct Entry {
    name_start: usize,
    name_length: u16,
    pub(super) kind: Kind,
    /// The Unix permissions, where the archive has any.
    pub(super) mode: Option<u16>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    /// Where the local header starts.
    pub(super) offset: u64,
    /// Encrypted, or compressed in a way that is refused: there is nothing to unpack.
    pub(super) opaque: bool,
}

/// The central directory.
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// All names, end to end: one allocation for all of them.
    names: Vec<u8>,
    /// Where it starts, which is where the entries end.
    pub(super) start: u64,
}

impl Directory {
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let end = entry.name_start + usize::from(entry.name_length);
        self.names.get(entry.name_start..end).unwrap_or_default()
    }

    pub(super) fn unzipped_bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }
}

/// Reads the central directory. `None` where there is none to go on with; the findings say why.
pub(super) fn read(
    archive: &mut (impl Read + Seek),
    limits: &Limits,
    findings: &mut Findings<'_>,
) -> io::Result<Option<Directory>> {
    let length = archive.seek(SeekFrom::End(0))?;
    if length > limits.max_archive_bytes {
        let message = format!("the archive is larger than {} bytes", limits.max_archive_bytes);
        findings.say(Code::ZipTooLarge, message);
        return Ok(None);
    }
    let end = match find_end(archive, length)? {
        Ok(end) => end,
        Err((code, message)) => {
            findings.say(code, message);
            return Ok(None);
        }
    };
    let refusal = if end.entries > limits.max_entries {
        (Code::ZipTooLarge, format!("the archive holds more than {} entries", limits.max_entries))
    } else if end.size > limits.max_directory_bytes {
        let limit = limits.max_directory_bytes;
        (Code::ZipTooLarge, format!("the archive's directory is larger than {limit} bytes"))
    } else if end.entries == 0 {
        (Code::ZipInvalid, "the archive is empty".to_owned())
    } else if end.entries.saturating_mul(CENTRAL_BYTES as u64) > end.size {
        (Code::ZipInvalid, "the archive's directory is too short for its entries".to_owned())
    } else {
        return read_entries(archive, &end, findings);
    };
    findings.say(refusal.0, refusal.1);
    Ok(None)
}

/// What the end records say of the central directory.
struct End {
    start: u64,
    size: u64,
    entries: u64,
}

type Refusal = (Code, &'static str);

/// Finds the one end record that every parser finds, and its zip64 companion.
fn find_end(archive: &mut (impl Read + Seek), length: u64) -> io::Result<Result<End, Refusal>> {
    let invalid = |message| Ok(Err((Code::ZipInvalid, message)));
    let tail_start = length.saturating_sub(END_BYTES as u64 + u64::from(u16::MAX));
    archive.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    archive.take(length - tail_start).read_to_end(&mut tail)?;

    // Parsers take the last signature, or the last (or first) record whose comment reaches the end of the file.
    let mut last = None;
    let mut whole = Vec::new();
    for (at, _) in tail.windows(4).enumerate().filter(|(_, window)| *window == END.to_le_bytes()) {
        last = Some(at);
        if let Some(record) = tail.get(at..).filter(|record| end_comment(record) == Some(record.len())) {
            whole.push((at, record));
        }
    }
    let (at, record) = match whole.as_slice() {
        [] if last.is_none() => {
            return invalid("there is no end record: not a ZIP archive, or cut off");
        }
        [] => return invalid("the end record is cut off, or bytes follow it"),
        [only] if last == Some(only.0) => *only,
        _ => return invalid("there is more than one end record that a parser may take"),
    };
    let end_at = tail_start + at as u64;

    let mut fields = Fields(record);
    fields.u32(); // the signature
    let narrow = NarrowEnd {
        disks: [fields.u16(), fields.u16()],
        entries: [fields.u16(), fields.u16()],
        size: fields.u32(),
        start: fields.u32(),
    };
    let locator_at = end_at.checked_sub(LOCATOR_BYTES as u64);
    let locator: Option<[u8; LOCATOR_BYTES]> = locator_at.map(|at| read_at(archive, at)).transpose()?;
    let found = match (locator_at, locator) {
        (Some(at), Some(locator)) if locator.starts_with(&ZIP64_LOCATOR.to_le_bytes()) => {
            find_zip64_end(archive, at, &locator, &narrow)?
        }
        _ => narrow.alone().map(|end| (end, end_at)),
    };
    Ok(found.and_then(|(end, directory_end)| {
        if end.start.checked_add(end.size) != Some(directory_end) {
            let message = "the directory is not where the end record says: bytes around it belong to nothing";
            return Err((Code::ZipInvalid, message));
        }
        // Who looks for the end from the front takes the first signature: names, extra fields and comments have none.
        let behind_entries = usize::try_from(end.start.saturating_sub(tail_start)).unwrap_or(0);
        let behind = tail.get(behind_entries..at).unwrap_or_default();
        if behind.windows(4).any(|it| it == END.to_le_bytes()) {
            return Err((Code::ZipInvalid, "the signature of an end record stands in the directory"));
        }
        Ok(end)
    }))
}

const MULTI_DISK: Refusal = (Code::ZipUnsupported, "the archive is one part of several");

/// The end record without zip64 (4.3.16).
struct NarrowEnd {
    disks: [u16; 2],
    /// On this disk, and altogether.
    entries: [u16; 2],
    size: u32,
    start: u32,
}

impl NarrowEnd {
    fn alone(&self) -> Result<End, Refusal> {
        let [entries_here, entries] = self.entries;
        if entries == u16::MAX || self.size == u32::MAX || self.start == u32::MAX {
            return Err((Code::ZipInvalid, "the end record refers to a zip64 record that is not there"));
        }
        if self.disks != [0, 0] || entries_here != entries {
            return Err(MULTI_DISK);
        }
        Ok(End { start: self.start.into(), size: self.size.into(), entries: entries.into() })
    }

    /// Parsers differ in when they look at the zip64 record: each value is left to it, or the same.
    fn agrees_with(&self, wide: &End) -> bool {
        let agrees = |narrow: u32, wide: u64| narrow == u32::MAX || u64::from(narrow) == wide;
        self.entries.iter().all(|narrow| *narrow == u16::MAX || u64::from(*narrow) == wide.entries)
            && agrees(self.size, wide.size)
            && agrees(self.start, wide.start)
    }
}

/// Reads the zip64 end record (4.3.14) by its locator, and gives where it starts too.
fn find_zip64_end(
    archive: &mut (impl Read + Seek),
    locator_at: u64,
    locator: &[u8],
    narrow: &NarrowEnd,
) -> io::Result<Result<(End, u64), Refusal>> {
    let invalid = |message| Ok(Err((Code::ZipInvalid, message)));
    let mut fields = Fields(locator);
    fields.u32(); // the signature
    let (disk, at, disk_count) = (fields.u32(), fields.u64(), fields.u32());
    if disk != 0 || disk_count != 1 {
        return Ok(Err(MULTI_DISK));
    }
    if at.checked_add(ZIP64_END_BYTES as u64) != Some(locator_at) {
        return invalid("the zip64 end record is not right before its locator");
    }
    let record: [u8; ZIP64_END_BYTES] = read_at(archive, at)?;
    let mut fields = Fields(&record);
    let (signature, rest) = (fields.u32(), fields.u64());
    if signature != ZIP64_END || rest != ZIP64_END_BYTES as u64 - 12 {
        return invalid("the zip64 end record is malformed");
    }
    fields.u32(); // the versions
    let disks = [fields.u32(), fields.u32()];
    let entries_here = fields.u64();
    let wide = End { entries: fields.u64(), size: fields.u64(), start: fields.u64() };
    let zero_or_wide = |disk: &u16| matches!(*disk, 0 | u16::MAX);
    if disks != [0, 0] || !narrow.disks.iter().all(zero_or_wide) || entries_here != wide.entries {
        return Ok(Err(MULTI_DISK));
    }
    if !narrow.agrees_with(&wide) {
        return invalid("the end record and the zip64 end record contradict each other");
    }
    Ok(Ok((wide, at)))
}

/// The length of the end record at the start of `record` with the comment that it declares.
fn end_comment(record: &[u8]) -> Option<usize> {
    let comment = record.get(20..22)?;
    Some(22 + usize::from(Fields(comment).u16()))
}

fn read_entries(
    archive: &mut (impl Read + Seek),
    end: &End,
    findings: &mut Findings<'_>,
) -> io::Result<Option<Directory>> {
    archive.seek(SeekFrom::Start(end.start))?;
    let mut reader = BufReader::with_capacity(64 * 1024, archive.take(end.size));
    // Both are bounded by the limits that `read` has checked.
    let room = |bytes: u64| usize::try_from(bytes).unwrap_or(0);
    let mut directory = Directory {
        entries: Vec::with_capacity(room(end.entries)),
        names: Vec::with_capacity(room(end.size - end.entries * CENTRAL_BYTES as u64)),
        start: end.start,
    };
    let mut variable = Vec::new();
    let mut left = end.size;
    for _ in 0..end.entries {
        let Some(after_header) = left.checked_sub(CENTRAL_BYTES as u64) else {
            findings.say(Code::ZipInvalid, "the archive's directory holds fewer entries than it says");
            return Ok(None);
        };
        let mut header = [0; CENTRAL_BYTES];
        reader.read_exact(&mut header)?;
        let mut lengths = Fields(header.get(28..34).unwrap_or_default());
        let (name, extra, comment) = (lengths.u16(), lengths.u16(), lengths.u16());
        let variable_bytes = u64::from(name) + u64::from(extra) + u64::from(comment);
        let after = after_header.checked_sub(variable_bytes);
        let (Some(after), true) = (after, header.starts_with(&CENTRAL_HEADER.to_le_bytes())) else {
            findings.say(Code::ZipInvalid, "an entry of the archive's directory is malformed");
            return Ok(None);
        };
        left = after;
        variable.resize(room(variable_bytes), 0);
        reader.read_exact(&mut variable)?;
        let (name, rest) = variable.split_at_checked(name.into()).unwrap_or_default();
        let extra = rest.get(..extra.into()).unwrap_or_default();
        match entry(&header, name, extra, directory.names.len(), findings) {
            Ok(entry) => {
                directory.names.extend_from_slice(name);
                directory.entries.push(entry);
            }
            Err(message) => findings.say(Code::ZipInvalid, format!("`{}`: {message}", shown(name))),
        }
    }
    if left > 0 {
        findings.say(Code::ZipInvalid, "the archive's directory holds more than its entries");
        return Ok(None);
    }
    // An entry that can't be read leaves bytes without an owner: don't tell of those too.
    Ok((directory.entries.len() as u64 == end.entries).then_some(directory))
}

/// Reads one entry of the directory and tells what is wrong with it alone.
fn entry(
    header: &[u8],
    name: &[u8],
    extra: &[u8],
    name_start: usize,
    findings: &mut Findings<'_>,
) -> Result<Entry, &'static str> {
    let mut fields = Fields(header);
    fields.u32(); // the signature
    let made_by = fields.u16();
    let version_needed = fields.u16();
    let (flags, method) = (fields.u16(), fields.u16());
    fields.u32(); // the time
    let crc = fields.u32();
    let (mut compressed, mut size) = (fields.u32().into(), fields.u32().into());
    let name_length = fields.u16();
    fields.u32(); // the other lengths
    let disk = fields.u16();
    let internal = fields.u16();
    let attributes = fields.u32();
    let mut offset = fields.u32().into();

    let extra = Extra::parse(extra, name)?;
    extra.widen(&mut [&mut size, &mut compressed, &mut offset])?;
    // Bit 0 tells of text. Info-ZIP takes bit 2 as a sign that the mode is elsewhere, and then sets none.
    if internal & !1 != 0 {
        return Err("its internal attributes are more than whether it is text");
    }
    let mut say = |code, message: &str| findings.say(code, format!("`{}`: {message}", shown(name)));
    if disk != 0 {
        say(Code::ZipUnsupported, "it is in another part of the archive");
    }
    if !known_version(version_needed) {
        say(Code::ZipUnsupported, VERSION_UNKNOWN);
    }
    if let Err((code, message)) = tree::check_name(name, flags & UTF8_FLAG != 0) {
        say(code, message);
    }
    // Info-ZIP takes such a name as one of an OEM code page, whatever its flag says.
    let [_, made_on] = made_by.to_le_bytes();
    if !name.is_ascii() && !matches!(made_on, UNIX | MACOS) {
        say(
            Code::ZipInvalid,
            "its name is not ASCII and its system is not Unix, so unpackers spell it differently: make the archive on \
             Unix, or rename it",
        );
    }
    let encrypted = flags & ENCRYPTION_FLAGS != 0 || method == AES || extra.encrypted;
    if encrypted {
        say(Code::ZipEncrypted, "it is encrypted");
    } else if !matches!(method, STORED | DEFLATED) {
        say(Code::ZipUnsupported, &format!("its compression method is {method}, Lambda takes 0 and 8"));
    }
    if flags & !KNOWN_FLAGS != 0 {
        say(Code::ZipUnsupported, &format!("it has unknown flags, {flags:#06x}"));
    }
    let opaque = encrypted || !matches!(method, STORED | DEFLATED);
    if method == STORED && compressed != size && !opaque {
        say(Code::ZipContentMismatch, "it is stored, but its two sizes differ");
    }

    // Parsers differ in whose modes they believe: Info-ZIP takes Unix' and macOS', some take any.
    let unix = matches!(made_on, UNIX | MACOS);
    let mode = (attributes >> 16) as u16;
    let kind = kind_of(name, unix, attributes)?;
    if let Some((code, message)) = misfit(kind, size, (unix || mode != 0).then_some(mode)) {
        say(code, &message);
    }
    Ok(Entry {
        name_start,
        name_length,
        kind,
        mode: unix.then_some(mode & 0o7777),
        flags,
        method,
        crc,
        compressed,
        size,
        offset,
        opaque,
    })
}

/// What an entry of these external attributes becomes.
fn kind_of(name: &[u8], unix: bool, attributes: u32) -> Result<Kind, &'static str> {
    let mode = (attributes >> 16) as u16;
    let named_folder = name.ends_with(b"/");
    if attributes & VOLUME_LABEL != 0 {
        return Err("its attributes say that it is a volume label, which some parsers pass over");
    }
    if named_folder && mode & 0o170_000 == 0o100_000 {
        return Err(
            "its name is a folder's, its attributes are a file's, as old archivers of jars write them: make the \
             archive without entries for folders, or with a newer one",
        );
    }
    if !named_folder && attributes & 0x10 != 0 {
        return Err("its attributes say that it is a folder, its name that it is none");
    }
    match mode & 0o170_000 {
        0 | 0o100_000 if !named_folder => Ok(Kind::File),
        0 | 0o040_000 if named_folder => Ok(Kind::Folder),
        0o120_000 if unix && !named_folder => Ok(Kind::Link),
        0o010_000 | 0o020_000 | 0o060_000 | 0o140_000 => Ok(Kind::Special),
        _ => Err("its attributes and its name disagree on what it is"),
    }
}

/// Why an entry of this kind, size and mode is none that Lambda could use. A mode that is there is believed by some,
/// whoever wrote it; Unix' archives always have one.
fn misfit(kind: Kind, size: u64, mode: Option<u16>) -> Option<(Code, String)> {
    let bits = mode.unwrap_or_default();
    let shown = bits & 0o7777;
    match kind {
        Kind::Special => Some((Code::ZipUnsupported, "it is a device, a pipe or a socket".to_owned())),
        Kind::Folder if size != 0 => Some((Code::ZipInvalid, "it is a folder and holds data".to_owned())),
        // Nothing in a function runs as another user, and unpackers differ in whether they keep the bits. On folders
        // setgid is inherited from many a build machine's workspace and means nothing more.
        Kind::File if bits & 0o6000 != 0 => Some((Code::ZipUnsupported, "it is setuid or setgid".to_owned())),
        Kind::File if mode.is_some() && bits & 0o004 == 0 => Some((
            Code::ZipUnreadable,
            format!("its mode is {shown:04o}, and Lambda reads it as another user: make it readable for all (0644)"),
        )),
        Kind::Folder if mode.is_some() && bits & 0o005 != 0o005 => Some((
            Code::ZipUnreadable,
            format!("its mode is {shown:04o}, and Lambda enters it as another user: make it 0755"),
        )),
        Kind::File | Kind::Folder | Kind::Link => None,
    }
}
