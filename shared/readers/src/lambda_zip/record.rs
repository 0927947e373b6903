//! The fixed and variable records of the format, read field by field.

use std::io::{self, Read, Seek, SeekFrom};

pub(super) const LOCAL_HEADER: u32 = 0x0403_4b50;
pub(super) const CENTRAL_HEADER: u32 = 0x0201_4b50;
pub(super) const DATA_DESCRIPTOR: u32 = 0x0807_4b50;
pub(super) const END: u32 = 0x0605_4b50;
pub(super) const ZIP64_END: u32 = 0x0606_4b50;
pub(super) const ZIP64_LOCATOR: u32 = 0x0706_4b50;

/// What stands in a 32-bit field whose value is in the zip64 extra field (4.4.1.4).
const IN_ZIP64: u64 = 0xFFFF_FFFF;

/// Little-endian fields, one after the other. Beyond the end everything is zero: callers give whole records, or ask
/// [`Fields::len`] first.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// The next `length` bytes, where there are that many.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((bytes, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *bytes
    }
}

/// Reads the `N` bytes at `at`, which the caller knows to be there.
pub(super) fn read_at<const N: usize>(archive: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; N]> {
    let mut record = [0; N];
    archive.seek(SeekFrom::Start(at))?;
    archive.read_exact(&mut record)?;
    Ok(record)
}

const OTHER_ENTRY: &str = "an extra field of it tells another name, mode or link's target to those who read it";

/// The extra fields that change how an entry is read (4.5); the others are skipped.
#[derive(Default)]
pub(super) struct Extra<'a> {
    pub(super) zip64: Option<&'a [u8]>,
    unicode_path: Option<&'a [u8]>,
    pub(super) encrypted: bool,
}

impl<'a> Extra<'a> {
    /// Splits the extra fields of the entry `name`.
    ///
    /// # Errors
    /// What is wrong: fields that don't end where they should, that come twice, or that give another name.
    pub(super) fn parse(bytes: &'a [u8], name: &[u8]) -> Result<Self, &'static str> {
        let mut extra = Self::default();
        let mut fields = Fields(bytes);
        while fields.len() > 0 {
            if fields.len() < 4 {
                return Err("its extra fields are cut off");
            }
            let (id, length) = (fields.u16(), fields.u16());
            let data = fields.bytes(length.into()).ok_or("its extra fields are cut off")?;
            let slot = match id {
                0x0001 => &mut extra.zip64,
                0x7075 => &mut extra.unicode_path,
                // ASi's Unix field has a mode and a link's target (Info-ZIP's extrafld.txt), libarchive's two have other
                // attributes, Xceed's has another name.
                0x756e | 0x6c65 | 0x6c78 | 0x554e => return Err(OTHER_ENTRY),
                // PKWARE's Unix field (4.5.7): behind times, user and group comes what a link leads to.
                0x000d if data.len() > 12 => return Err(OTHER_ENTRY),
                // PKWARE's strong encryption and WinZip's AES.
                0x0017 | 0x9901 => {
                    extra.encrypted = true;
                    continue;
                }
                _ => continue,
            };
            if slot.replace(data).is_some() {
                return Err("it has the same extra field twice");
            }
        }
        // Version and CRC-32 of the name come before it. Some parsers check neither, so only the name itself counts.
        match extra.unicode_path {
            Some(data) if data.get(5..) != Some(name) => Err("its Unicode Path extra field gives another name"),
            _ => Ok(extra),
        }
    }

    /// Puts the values of the zip64 field into the `values` that refer to it, in its order.
    ///
    /// A field that nothing refers to is read by some parsers and skipped by others: it must say the same.
    pub(super) fn widen(&self, values: &mut [&mut u64]) -> Result<(), &'static str> {
        let needed = values.iter().filter(|value| ***value == IN_ZIP64).count();
        // Parsers differ in which values they skip. An archive within Lambda's limits needs none of them: writers that
        // use them all the same move both sizes.
        if needed > 0 && values.iter().take(2).any(|value| **value != IN_ZIP64) {
            return Err("its zip64 extra field replaces some values and not both sizes");
        }
        let Some(data) = self.zip64 else {
            return if needed == 0 { Ok(()) } else { Err("it has no zip64 extra field but needs one") };
        };
        let mut fields = Fields(data);
        if needed > 0 {
            if data.len() != needed * 8 {
                return Err("its zip64 extra field does not hold the values that it needs, and only these");
            }
            for value in values.iter_mut().filter(|value| ***value == IN_ZIP64) {
                **value = fields.u64();
            }
            return Ok(());
        }
        let same = data.len() % 8 == 0
            && data.len() / 8 <= values.len()
            && values.iter().take(data.len() / 8).all(|value| **value == fields.u64());
        if same { Ok(()) } else { Err("its zip64 extra field contradicts its header") }
    }
}
