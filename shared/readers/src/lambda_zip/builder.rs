//! Archives byte by byte, honest by default, with every field open to a lie.

#![expect(clippy::cast_possible_truncation, reason = "archives of tests are small")]

use std::io::Write as _;

/// The fields that stand both in a local header and in the directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub(super) version_needed: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u32,
    pub(super) size: u32,
    pub(super) name: Vec<u8>,
    pub(super) extra: Vec<u8>,
}

/// One entry: its two headers, and what lies behind the local one.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) local: Header,
    pub(super) central: Header,
    pub(super) body: Vec<u8>,
    pub(super) descriptor: Vec<u8>,
    pub(super) gap_before: Vec<u8>,
    /// Where the directory says that the entry is, where that isn't the truth.
    pub(super) offset: Option<u32>,
    pub(super) made_by: u16,
    pub(super) attributes: u32,
    pub(super) internal: u16,
    pub(super) comment: Vec<u8>,
    pub(super) disk: u16,
}

pub(super) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// An extra field.
pub(super) fn field(id: u16, data: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), data].concat()
}

/// A zip64 extra field.
pub(super) fn zip64(values: &[u64]) -> Vec<u8> {
    field(1, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

impl Item {
    fn new(name: &str, body: Vec<u8>, data: &[u8], method: u16, mode: u32) -> Self {
        let header = Header {
            version_needed: 20,
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            method,
            crc: crc32fast::hash(data),
            compressed: body.len() as u32,
            size: data.len() as u32,
            name: name.as_bytes().to_vec(),
            extra: Vec::new(),
        };
        Self {
            local: header.clone(),
            central: header,
            body,
            descriptor: Vec::new(),
            gap_before: Vec::new(),
            offset: None,
            made_by: 0x0314,
            attributes: mode << 16,
            internal: 0,
            comment: Vec::new(),
            disk: 0,
        }
    }

    /// A file stored as it is.
    pub(super) fn stored(name: &str, data: &[u8]) -> Self {
        Self::new(name, data.to_vec(), data, 0, 0o100_644)
    }

    /// A compressed file.
    pub(super) fn deflated(name: &str, data: &[u8]) -> Self {
        Self::new(name, deflate(data), data, 8, 0o100_644)
    }

    /// A folder; `name` ends with a slash.
    pub(super) fn folder(name: &str) -> Self {
        Self::new(name, Vec::new(), b"", 0, 0o040_755)
    }

    /// A symbolic link.
    pub(super) fn link(name: &str, target: &str) -> Self {
        Self::new(name, target.into(), target.as_bytes(), 0, 0o120_777)
    }

    pub(super) fn mode(mut self, mode: u32) -> Self {
        self.attributes = mode << 16;
        self
    }

    /// Changes both headers alike.
    pub(super) fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub(super) fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    pub(super) fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    pub(super) fn with(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Puts sizes and CRC-32 behind the data, as writers do that can't seek.
    pub(super) fn streamed(mut self, signature: bool, wide: bool) -> Self {
        let Header { crc, compressed, size, .. } = self.central;
        self = self.both(|header| header.flags |= 1 << 3);
        (self.local.crc, self.local.compressed, self.local.size) = (0, 0, 0);
        if signature {
            self.descriptor.extend(0x0807_4b50_u32.to_le_bytes());
        }
        self.descriptor.extend(crc.to_le_bytes());
        for value in [compressed, size] {
            if wide {
                self.descriptor.extend(u64::from(value).to_le_bytes());
            } else {
                self.descriptor.extend(value.to_le_bytes());
            }
        }
        if wide {
            (self.local.compressed, self.local.size) = (u32::MAX, u32::MAX);
            self.local.extra = zip64(&[0, 0]);
        }
        self
    }
}

/// The end of an archive.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    pub(super) disk: u16,
    pub(super) entries: u16,
    pub(super) size: u32,
    pub(super) start: u32,
    /// The records of zip64, locator included.
    pub(super) zip64: Vec<u8>,
    pub(super) comment: Vec<u8>,
    /// What follows the comment that the record declares.
    pub(super) trailing: Vec<u8>,
}

impl End {
    /// Adds the records of zip64 with the same values.
    pub(super) fn widen(&mut self) {
        let at = u64::from(self.start) + u64::from(self.size);
        let mut zip64 = Vec::new();
        zip64.extend(0x0606_4b50_u32.to_le_bytes());
        zip64.extend(44_u64.to_le_bytes());
        zip64.extend([45, 3, 45, 0]);
        zip64.extend([0; 8]);
        zip64.extend(u64::from(self.entries).to_le_bytes());
        zip64.extend(u64::from(self.entries).to_le_bytes());
        zip64.extend(u64::from(self.size).to_le_bytes());
        zip64.extend(u64::from(self.start).to_le_bytes());
        zip64.extend(0x0706_4b50_u32.to_le_bytes());
        zip64.extend(0_u32.to_le_bytes());
        zip64.extend(at.to_le_bytes());
        zip64.extend(1_u32.to_le_bytes());
        self.zip64 = zip64;
    }
}

fn write_header(out: &mut Vec<u8>, header: &Header) {
    out.extend(header.version_needed.to_le_bytes());
    out.extend(header.flags.to_le_bytes());
    out.extend(header.method.to_le_bytes());
    out.extend(0x5C42_0000_u32.to_le_bytes()); // 2026-02-02
    out.extend(header.crc.to_le_bytes());
    out.extend(header.compressed.to_le_bytes());
    out.extend(header.size.to_le_bytes());
    out.extend((header.name.len() as u16).to_le_bytes());
    out.extend((header.extra.len() as u16).to_le_bytes());
}

/// The archive of `items`.
pub(super) fn zip(items: &[Item]) -> Vec<u8> {
    zip_with(items, |_| {})
}

/// The archive of `items` with another end.
pub(super) fn zip_with(items: &[Item], change: impl Fn(&mut End)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut central = Vec::new();
    for item in items {
        out.extend(&item.gap_before);
        let offset = item.offset.unwrap_or(out.len() as u32);
        out.extend(0x0403_4b50_u32.to_le_bytes());
        write_header(&mut out, &item.local);
        for part in [&item.local.name, &item.local.extra, &item.body, &item.descriptor] {
            out.extend(part);
        }
        central.extend(0x0201_4b50_u32.to_le_bytes());
        central.extend(item.made_by.to_le_bytes());
        write_header(&mut central, &item.central);
        central.extend((item.comment.len() as u16).to_le_bytes());
        central.extend(item.disk.to_le_bytes());
        central.extend(item.internal.to_le_bytes());
        central.extend(item.attributes.to_le_bytes());
        central.extend(offset.to_le_bytes());
        central.extend(&item.central.name);
        central.extend(&item.central.extra);
        central.extend(&item.comment);
    }
    let mut end =
        End { entries: items.len() as u16, size: central.len() as u32, start: out.len() as u32, ..End::default() };
    change(&mut end);
    out.extend(central);
    out.extend(&end.zip64);
    out.extend(0x0605_4b50_u32.to_le_bytes());
    out.extend(end.disk.to_le_bytes());
    out.extend(end.disk.to_le_bytes());
    out.extend(end.entries.to_le_bytes());
    out.extend(end.entries.to_le_bytes());
    out.extend(end.size.to_le_bytes());
    out.extend(end.start.to_le_bytes());
    out.extend((end.comment.len() as u16).to_le_bytes());
    out.extend(&end.comment);
    out.extend(&end.trailing);
    out
}
