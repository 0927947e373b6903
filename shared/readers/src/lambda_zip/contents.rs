//! The entries themselves: local headers against the directory, and every byte inflated and hashed once.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use flate2::{Decompress, FlushDecompress, Status};
use gatekeeper_model::finding::Code;

use super::{
    Findings, Limits,
    directory::{DESCRIPTOR_FLAG, Directory, Entry, Kind, STORED, VERSION_UNKNOWN, known_version},
    naming::Search,
    record::{DATA_DESCRIPTOR, Extra, Fields, LOCAL_HEADER, read_at},
    shown,
};

const BUFFER_BYTES: usize = 64 * 1024;
const LOCAL_BYTES: usize = 30;

/// One message: whether broken data first fails or first gives too much depends on how it is read.
const NOT_AS_DECLARED: &str = "its data does not unpack to its declared size";

/// Reads all entries in the order in which they lie and gives the targets of the symbolic links, by entry.
pub(super) fn check(
    archive: &mut (impl Read + Seek),
    directory: &Directory,
    limits: &Limits,
    search: &mut Search<'_>,
    findings: &mut Findings<'_>,
) -> io::Result<BTreeMap<usize, String>> {
    archive.seek(SeekFrom::Start(0))?;
    let mut order: Vec<(usize, &Entry)> = directory.entries.iter().enumerate().collect();
    order.sort_by_key(|(_, entry)| entry.offset);
    let mut pass = Pass {
        reader: BufReader::with_capacity(BUFFER_BYTES, archive),
        at: 0,
        end: directory.start,
        inflater: Decompress::new(false),
        output: vec![0; BUFFER_BYTES],
    };
    let mut links = BTreeMap::new();
    let mut link_bytes = 0;
    let mut covered = 0;
    for (position, (index, entry)) in order.iter().enumerate() {
        let name = directory.name(entry);
        let mut say = |code, message: &str| findings.say(code, format!("`{}`: {message}", shown(name)));
        if entry.offset < covered {
            say(Code::ZipOverlap, "it shares bytes with another entry");
            continue;
        }
        if entry.offset > covered {
            say(Code::ZipOverlap, &format!("{} bytes before it belong to no entry", entry.offset - covered));
        }
        let mut target = None;
        if entry.kind == Kind::Link {
            link_bytes += entry.size;
            if entry.size > limits.max_symlink_bytes || link_bytes > limits.max_symlinks_total_bytes {
                say(Code::ZipUnsafeSymlink, "its target, or all links' targets together, are too long");
            } else {
                target = Some(Vec::new());
            }
        }
        let next = order.get(position + 1).map_or(directory.start, |(_, next)| next.offset);
        covered = match pass.entry(entry, name, &mut target, search, &mut say)? {
            Some(end) => end,
            None => next.max(covered),
        };
        search.end(name);
        if let Some(target) = target {
            // What isn't UTF-8 is refused as a target, with the rest that a target must not hold.
            links.insert(*index, String::from_utf8_lossy(&target).into_owned());
        }
    }
    if covered < directory.start {
        let message = format!("{} bytes before the directory belong to no entry", directory.start - covered);
        findings.say(Code::ZipOverlap, message);
    }
    Ok(links)
}

/// Up to `length` bytes from `start` on of an entry of an archive that [`check`] found nothing wrong with.
pub(super) fn range(archive: &mut (impl Read + Seek), entry: &Entry, start: u64, length: u64) -> io::Result<Vec<u8>> {
    fn part(mut data: impl Read, start: u64, length: u64) -> io::Result<Vec<u8>> {
        io::copy(&mut data.by_ref().take(start), &mut io::sink())?;
        let mut part = Vec::new();
        data.take(length).read_to_end(&mut part)?;
        Ok(part)
    }
    let header: [u8; LOCAL_BYTES] = read_at(archive, entry.offset)?;
    let mut lengths = Fields(header.get(26..).unwrap_or_default());
    let variable = i64::from(lengths.u16()) + i64::from(lengths.u16());
    archive.seek(SeekFrom::Current(variable))?;
    let data = archive.take(entry.compressed);
    if entry.method == STORED {
        part(data, start, length)
    } else {
        part(flate2::read::DeflateDecoder::new(data), start, length)
    }
}

/// One pass over the archive.
struct Pass<R: Read> {
    reader: BufReader<R>,
    /// Where `reader` is.
    at: u64,
    /// Where the entries end.
    end: u64,
    inflater: Decompress,
    output: Vec<u8>,
}

impl<R: Read + Seek> Pass<R> {
    /// Reads one entry and gives where it ends, or `None` where that can't be told. A link's target goes to `keep`, which
    /// is none afterwards where the bytes are not what is declared: how many of them unpack is chance.
    fn entry(
        &mut self,
        entry: &Entry,
        name: &[u8],
        keep: &mut Option<Vec<u8>>,
        search: &mut Search<'_>,
        say: &mut impl FnMut(Code, &str),
    ) -> io::Result<Option<u64>> {
        let Some(header_end) = self.within(entry.offset, LOCAL_BYTES as u64) else {
            say(Code::ZipInvalid, "its local header is outside of the archive");
            return Ok(None);
        };
        self.go_to(entry.offset)?;
        let mut header = [0; LOCAL_BYTES];
        self.read(&mut header)?;
        let mut fields = Fields(&header);
        if fields.u32() != LOCAL_HEADER {
            say(Code::ZipInvalid, "there is no local header where the directory says");
            return Ok(None);
        }
        let version_needed = fields.u16();
        let (flags, method) = (fields.u16(), fields.u16());
        fields.u32(); // the time
        let crc = fields.u32();
        let (mut compressed, mut size) = (u64::from(fields.u32()), u64::from(fields.u32()));
        let (name_length, extra_length) = (fields.u16(), fields.u16());
        let variable_bytes = u64::from(name_length) + u64::from(extra_length);
        let data_at = self.within(header_end, variable_bytes);
        let data_end = data_at.and_then(|at| self.within(at, entry.compressed));
        let (Some(data_at), Some(data_end)) = (data_at, data_end) else {
            say(Code::ZipOverlap, "it runs into the directory");
            return Ok(None);
        };
        let mut variable = vec![0; usize::from(name_length) + usize::from(extra_length)];
        self.read(&mut variable)?;
        let (local_name, extra) = variable.split_at_checked(name_length.into()).unwrap_or_default();
        if local_name != name {
            say(Code::ZipInvalid, "its local header has another name");
        }
        let extra = match Extra::parse(extra, name) {
            Ok(extra) => extra,
            Err(message) => {
                say(Code::ZipInvalid, message);
                return Ok(Some(data_end));
            }
        };
        if let Err(message) = extra.widen(&mut [&mut size, &mut compressed]) {
            say(Code::ZipInvalid, message);
            return Ok(Some(data_end));
        }
        if !known_version(version_needed) {
            say(Code::ZipUnsupported, VERSION_UNKNOWN);
        }
        let late = entry.flags & DESCRIPTOR_FLAG != 0;
        let agrees = |local: u64, central: u64| local == central || (late && local == 0);
        if flags != entry.flags || method != entry.method {
            say(Code::ZipInvalid, "its local header has other flags or another method");
        }
        if !agrees(crc.into(), entry.crc.into()) || !agrees(compressed, entry.compressed) || !agrees(size, entry.size) {
            say(Code::ZipInvalid, "its local header has another size or CRC-32");
        }
        if extra.encrypted && !entry.opaque {
            say(Code::ZipEncrypted, "its local header says that it is encrypted");
        }
        if !entry.opaque
            && let Err((code, message)) = self.contents(data_at, entry, keep.as_mut(), search)?
        {
            say(code, message);
            *keep = None;
        }
        if !late {
            return Ok(Some(data_end));
        }
        // Who reads the archive as a stream takes the descriptor's second half for the end of all entries.
        if extra.zip64.is_some() && entry.size == 0 {
            say(Code::ZipInvalid, "it is empty and has a zip64 data descriptor, behind which streaming parsers stop");
        }
        match self.descriptor(data_end, entry, extra.zip64.is_some())? {
            Ok(end) => Ok(Some(end)),
            Err(message) => {
                say(Code::ZipInvalid, message);
                Ok(None)
            }
        }
    }

    /// Unpacks an entry and holds it against its declared sizes and CRC-32.
    fn contents(
        &mut self,
        at: u64,
        entry: &Entry,
        mut keep: Option<&mut Vec<u8>>,
        search: &mut Search<'_>,
    ) -> io::Result<Result<(), (Code, &'static str)>> {
        let mismatch = |message| Ok(Err((Code::ZipContentMismatch, message)));
        let mut crc = crc32fast::Hasher::new();
        let mut left = entry.compressed;
        let mut unpacked = 0_u64;
        self.go_to(at)?;
        self.inflater.reset(false);
        loop {
            let available = if left == 0 { &[] } else { self.reader.fill_buf()? };
            if available.is_empty() && left > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let input = available.get(..clamp(left, available.len())).unwrap_or_default();
            // One byte more than declared is enough to know that there are more.
            let room = clamp(entry.size.saturating_sub(unpacked).saturating_add(1), self.output.len());
            let output = self.output.get_mut(..room).unwrap_or_default();
            let (consumed, made, done) = if entry.method == STORED {
                let length = input.len().min(output.len());
                if let (Some(to), Some(from)) = (output.get_mut(..length), input.get(..length)) {
                    to.copy_from_slice(from);
                }
                (length, length, left == length as u64)
            } else {
                let before = (self.inflater.total_in(), self.inflater.total_out());
                let Ok(status) = self.inflater.decompress(input, output, FlushDecompress::None) else {
                    return mismatch(NOT_AS_DECLARED);
                };
                let consumed = clamp(self.inflater.total_in() - before.0, input.len());
                let made = clamp(self.inflater.total_out() - before.1, output.len());
                (consumed, made, status == Status::StreamEnd)
            };
            let output = self.output.get(..made).unwrap_or_default();
            crc.update(output);
            search.read(output);
            if let Some(keep) = keep.as_mut() {
                keep.extend_from_slice(output);
            }
            self.reader.consume(consumed);
            self.at += consumed as u64;
            left -= consumed as u64;
            unpacked += made as u64;
            if unpacked > entry.size {
                return mismatch(NOT_AS_DECLARED);
            }
            if done {
                break;
            }
            if consumed == 0 && made == 0 {
                return mismatch(NOT_AS_DECLARED);
            }
        }
        if left > 0 {
            return Ok(Err((Code::ZipOverlap, "bytes follow the end of its deflate stream")));
        }
        if unpacked != entry.size {
            return mismatch(NOT_AS_DECLARED);
        }
        if crc.finalize() != entry.crc {
            return mismatch("its CRC-32 is not the declared one");
        }
        Ok(Ok(()))
    }

    /// Checks the data descriptor at `at` (4.3.9) and gives where it ends. Its signature is optional.
    fn descriptor(&mut self, at: u64, entry: &Entry, zip64: bool) -> io::Result<Result<u64, &'static str>> {
        let sizes = if zip64 { 16 } else { 8 };
        let missing = Ok(Err("its data descriptor is missing or wrong"));
        let mut record = [0; 24];
        if self.within(at, 4 + sizes).is_none() {
            return missing;
        }
        self.go_to(at)?;
        let (signature, rest) = record.split_at_mut(4);
        self.read(signature)?;
        let signed = *signature == DATA_DESCRIPTOR.to_le_bytes();
        let length = if signed { 8 + sizes } else { 4 + sizes };
        let Some(end) = self.within(at, length) else {
            return missing;
        };
        self.read(rest.get_mut(..clamp(length - 4, 20)).unwrap_or_default())?;
        let mut fields = Fields(if signed { rest } else { &record });
        let crc = fields.u32();
        let (compressed, size) =
            if zip64 { (fields.u64(), fields.u64()) } else { (fields.u32().into(), fields.u32().into()) };
        if (crc, compressed, size) == (entry.crc, entry.compressed, entry.size) { Ok(Ok(end)) } else { missing }
    }

    /// The end of the `length` bytes at `at`, where these are entries' bytes.
    fn within(&self, at: u64, length: u64) -> Option<u64> {
        at.checked_add(length).filter(|end| *end <= self.end)
    }

    fn go_to(&mut self, at: u64) -> io::Result<()> {
        if self.at != at {
            self.reader.seek(SeekFrom::Start(at))?;
            self.at = at;
        }
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// The smaller of the two.
fn clamp(value: u64, most: usize) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX).min(most)
}
