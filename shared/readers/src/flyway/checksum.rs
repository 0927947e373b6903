//! Flyway's checksum of a migration file.
//!
//! It is the CRC-32 of the file's lines in UTF-8, without what ends them and with nothing in between, as a signed number
//! (`ChecksumCalculator`). Lines end as for Java's `BufferedReader.readLine`: at `\n`, `\r` and `\r\n`, at nothing else.
//! One byte order mark is dropped, and only as the file's first character. So the checksum does not see line ends, and
//! two files that differ in more than those can have the same: SHA-256 has the last word.
//!
//! Versioned and baseline migrations are hashed as they are. A repeatable is hashed after Flyway replaced its
//! placeholders (`PlaceholderReplacingReader`), and before any of its SQL is read: also in comments and strings.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// The longest placeholder's name that is read, in bytes. Flyway has no limit; a longer one is surely unknown.
const MAX_PLACEHOLDER: usize = 4096;

/// What one pass over a migration file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// The checksum of the file as it is. Of a versioned or baseline migration it is what Flyway records.
    pub checksum: i32,
    /// Whether Flyway finds a placeholder (`${…}`) in the file. Of a repeatable that holds one, the recorded checksum is
    /// another than `checksum`, and with `${flyway:timestamp}` another at each run.
    pub placeholders: bool,
}

impl Scanned {
    /// The same under a configuration: where placeholders are not replaced, there are none.
    #[must_use]
    pub fn under(self, settings: Option<&Settings>) -> Self {
        Self { placeholders: self.placeholders && settings.is_none_or(|it| it.placeholder_replacement), ..self }
    }
}

/// Where a file stops being UTF-8, which Flyway refuses to read (`Unable to calculate checksum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not UTF-8 at byte {offset}, in line {line}: Flyway can't read it, save the file as UTF-8 (UTF-16 and Latin-1 are not)"
)]
pub struct NotUtf8 {
    /// How many bytes stand before the first that is wrong.
    pub offset: u64,
    /// Its line, from 1, as Flyway splits lines.
    pub line: u64,
}

/// Why a repeatable has no checksum after its placeholders are replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChecksum {
    /// It is not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// A placeholder has no value: every command of Flyway fails.
    #[error("no value for the placeholder `${{{0}}}`: give it one or take it out, Flyway reads it in comments too")]
    Placeholder(String),
}

/// Reads a migration file once: its checksum, and whether it holds placeholders. Memory does not grow with the file.
///
/// # Errors
/// Where `reader` fails. [`NotUtf8`] is as strict as Java's decoder: overlong forms, surrogates, code points above
/// U+10FFFF and an unfinished character at the end are not UTF-8.
pub fn scan(reader: impl Read) -> io::Result<Result<Scanned, NotUtf8>> {
    let (mut lines, mut finder) = (Lines::default(), Finder::default());
    let read = read_utf8(reader, |text| {
        finder.push(text);
        lines.push(text);
        Ok::<(), NotUtf8>(())
    })?;
    Ok(read.map(|()| Scanned { checksum: lines.finish(), placeholders: finder.found }))
}

/// The checksum of a repeatable migration after its placeholders are replaced by `values`, as Flyway records it.
///
/// Names are compared without regard to case. Values are taken as they are: what looks like a placeholder in one is
/// none, and line ends in one end lines. Flyway's own placeholders (`flyway:filename`, `flyway:defaultSchema`,
/// `flyway:table`, …) must be among `values` where they are wanted; `flyway:timestamp` is another at each run.
///
/// # Errors
/// Where `reader` fails; [`NoChecksum`] also where a placeholder is not among `values`.
pub fn checksum_with(reader: impl Read, values: &BTreeMap<String, String>) -> io::Result<Result<i32, NoChecksum>> {
    let values = values.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    let mut replacer = Replacer { values, state: State::Text, lines: Lines::default() };
    let read = read_utf8(reader, |text| replacer.push(text))?;
    Ok(read.and_then(|()| replacer.finish()))
}

/// Hands a file to `each` in pieces that end between characters.
fn read_utf8<E: From<NotUtf8>>(
    mut reader: impl Read,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> io::Result<Result<(), E>> {
    let mut buffer = vec![0; CHUNK];
    let (mut kept, mut offset) = (0, 0);
    let mut place = Place::default();
    loop {
        let read = match reader.read(buffer.get_mut(kept..).unwrap_or_default()) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (text, rest) = split_valid(buffer.get(..kept + read).unwrap_or_default());
        place.push(text);
        offset += text.len() as u64;
        // An unfinished character may go on in the next piece; at the end of the file it may not.
        let unfinished = read > 0 && std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none());
        if !rest.is_empty() && !unfinished {
            return Ok(Err(NotUtf8 { offset, line: place.line }.into()));
        }
        if read == 0 {
            return Ok(Ok(()));
        }
        if let Err(error) = each(text) {
            return Ok(Err(error));
        }
        let valid = text.len();
        kept = rest.len();
        buffer.copy_within(valid..valid + kept, 0);
    }
}

/// The longest beginning that is UTF-8, and what comes after it.
fn split_valid(bytes: &[u8]) -> (&str, &[u8]) {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return (text, &[]),
        Err(error) => error.valid_up_to(),
    };
    let (text, rest) = bytes.split_at_checked(valid).unwrap_or((bytes, &[]));
    (std::str::from_utf8(text).unwrap_or_default(), rest)
}

/// The line that is being read, from 1.
struct Place {
    line: u64,
    after_return: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { line: 1, after_return: false }
    }
}

impl Place {
    fn push(&mut self, text: &str) {
        // Most files have none, and looking for one byte is much faster than looking at each.
        if !self.after_return && !text.contains('\r') {
            self.line += text.matches('\n').count() as u64;
            return;
        }
        for byte in text.bytes() {
            self.line += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_return));
            self.after_return = byte == b'\r';
        }
    }
}

/// The CRC-32 of lines.
#[derive(Default)]
struct Lines {
    crc: crc32fast::Hasher,
    begun: bool,
    kept: Vec<u8>,
}

impl Lines {
    fn push(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = if self.begun { text } else { text.strip_prefix('\u{FEFF}').unwrap_or(text) };
        self.begun = true;
        // What ends lines is taken out first: one long update is much faster than one for each line.
        self.kept.clear();
        self.kept.extend_from_slice(text.as_bytes());
        self.kept.retain(|byte| !matches!(byte, b'\n' | b'\r'));
        self.crc.update(&self.kept);
    }

    fn finish(self) -> i32 {
        self.crc.finalize().cast_signed()
    }
}

/// Finds a placeholder as Flyway does: it looks at `$` and the character after it together, so `$${x}` holds none.
#[derive(Default)]
struct Finder {
    dollar: bool,
    found: bool,
}

impl Finder {
    fn push(&mut self, text: &str) {
        if self.found || (!self.dollar && !text.contains('$')) {
            return;
        }
        for byte in text.bytes() {
            self.found |= self.dollar && byte == b'{';
            self.dollar = byte == b'$' && !self.dollar;
        }
    }
}

/// Replaces placeholders on the way to [`Lines`].
struct Replacer<'a> {
    values: BTreeMap<String, &'a str>,
    state: State,
    lines: Lines,
}

/// Where a [`Replacer`] stands.
enum State {
    Text,
    Dollar,
    Name(String),
}

impl Replacer<'_> {
    fn push(&mut self, text: &str) -> Result<(), NoChecksum> {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let after = rest.get(first.len_utf8()..).unwrap_or_default();
            rest = match std::mem::replace(&mut self.state, State::Text) {
                State::Text => {
                    let (plain, special) =
                        rest.split_at_checked(rest.find('$').unwrap_or(rest.len())).unwrap_or((rest, ""));
                    self.lines.push(plain);
                    if special.is_empty() {
                        ""
                    } else {
                        self.state = State::Dollar;
                        special.get(1..).unwrap_or_default()
                    }
                }
                State::Dollar if first == '{' => {
                    self.state = State::Name(String::new());
                    after
                }
                State::Dollar => {
                    self.lines.push("$");
                    self.lines.push(first.encode_utf8(&mut [0; 4]));
                    after
                }
                State::Name(name) if first == '}' => {
                    self.replace(&name)?;
                    after
                }
                State::Name(mut name) => {
                    name.push(first);
                    if name.len() > MAX_PLACEHOLDER {
                        return Err(NoChecksum::Placeholder(name.chars().take(100).collect()));
                    }
                    self.state = State::Name(name);
                    after
                }
            };
        }
        Ok(())
    }

    fn replace(&mut self, name: &str) -> Result<(), NoChecksum> {
        let value = self.values.get(&name.to_lowercase());
        self.lines.push(value.ok_or_else(|| NoChecksum::Placeholder(name.chars().take(100).collect()))?);
        Ok(())
    }

    fn finish(mut self) -> Result<i32, NoChecksum> {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => {}
            State::Dollar => self.lines.push("$"),
            // Flyway takes the last character of an open name for the brace that should close it.
            State::Name(mut name) => {
                let last = name.pop();
                let unclosed = || NoChecksum::Placeholder(last.map_or_else(String::new, String::from));
                if last.is_none() {
                    return Err(unclosed());
                }
                self.replace(&name)?;
            }
        }
        Ok(self.lines.finish())
    }
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
