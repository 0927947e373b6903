//! A dump as a whole: is it one plain SQL dump by `pg_dump`, from its header to its trailer, without data and secrets?

use std::collections::BTreeSet;

use gatekeeper_model::finding::{Code, Finding};

use super::{
    MAX_BYTES, judge,
    lexer::Token,
    order::Order,
    statement::{Item, Reader, Statement},
};

/// How many findings are told of one snapshot.
const MAX_FINDINGS: usize = 100;

/// What other files than plain SQL dumps start with, and what each is.
const MAGIC: [(&[u8], &str); 8] = [
    (b"PGDMP", "a dump in pg_dump's custom format"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xef\xbb\xbf", "text with a byte order mark, which pg_dump does not write"),
];

const HEADER: &[u8] = b"-- PostgreSQL database dump";
const TRAILER: &[u8] = b"-- PostgreSQL database dump complete";
const CLUSTER: &[u8] = b"-- PostgreSQL database cluster dump";

/// Everything that is wrong with the snapshot `bytes`, told about `subject`; nothing where it is fine.
///
/// A snapshot is what `pg_dump --schema-only` of PostgreSQL 15 to 18 writes as plain SQL: in UTF-8, from its header
/// to its trailer, of one database into which it is restored (no `--create`), without rows, sequence positions,
/// statistics, large objects and passwords. `--clean`, `--if-exists`, `--no-owner`, `--no-privileges`,
/// `--no-comments`, `--quote-all-identifiers`, `--use-set-session-authorization`, `--schema` and `--section` change
/// nothing about that: a dump of a part (`--schema`, `--section`) is as whole as its header and trailer say.
///
/// Statements are told apart by a lexer and held against the list of those that `pg_dump` writes, so that words inside
/// of bodies, literals, comments and names are never taken for data. No finding repeats a value.
///
/// The same about a later line is not told again. At most 100 findings are told, then one that says that there are
/// more. Memory stays far below the dump's own size.
#[must_use]
pub fn inspect(bytes: &[u8], subject: &str) -> Vec<Finding> {
    walk(bytes, subject, |_| {})
}

/// A statement that is fine, shown to whoever normalises it.
pub(super) struct Visit<'a, 't> {
    pub(super) bytes: &'a [u8],
    /// Whether `'…'` holds backslashes as they are (`standard_conforming_strings`).
    pub(super) standard_strings: bool,
    /// The statement's tokens, to be taken out of.
    pub(super) tokens: &'t mut Vec<Token>,
}

/// Inspects `bytes` and shows each statement that is fine to `visit`.
pub(super) fn walk(bytes: &[u8], subject: &str, mut visit: impl FnMut(Visit<'_, '_>)) -> Vec<Finding> {
    let mut findings = Findings { bytes, subject, list: Vec::new(), counted: 0, line: 1, said: BTreeSet::new() };
    if let Err(reason) = plain(bytes) {
        return vec![Finding::new(Code::SchemaSnapshotInvalid, subject, reason)];
    }
    let ascii = bytes.is_ascii();
    let mut reader = Reader::new(bytes);
    let mut envelope = Envelope { place: Place::Prelude, key: None };
    let mut order = Order::default();
    while let Some(item) = reader.read() {
        let (at, wrong) = match item {
            Item::Fault(fault) => {
                let reason = format!("{}: the dump is not whole, or not by pg_dump", fault.reason);
                findings.say(Code::SchemaSnapshotInvalid, fault.at, reason);
                return findings.list;
            }
            Item::Comment(range) => (range.start, envelope.comment(bytes.get(range).unwrap_or_default()).err()),
            Item::Command(range) => (range.start, envelope.command(bytes.get(range).unwrap_or_default()).err()),
            Item::Statement => {
                let statement = reader.statement();
                let at = statement.tokens.first().map_or(0, |token| token.range().start);
                let judged = judge::judge(statement).map_or(Ok(()), Err);
                let judged = judged.and_then(|()| envelope.statement(statement, ascii));
                let judged = judged.and_then(|()| {
                    let wrong = order.check(statement);
                    wrong.map_or(Ok(()), |wrong| invalid(format!("{} {wrong}", judge::opening(statement))))
                });
                (at, judged.err())
            }
        };
        if let Some((code, reason)) = wrong {
            if findings.list.len() == MAX_FINDINGS {
                let message = format!("there are more findings than the {MAX_FINDINGS} told");
                findings.list.push(Finding::new(code, subject, message));
                return findings.list;
            }
            findings.say(code, at, reason);
        } else if !reader.statement().tokens.is_empty() {
            let standard_strings = reader.standard_strings();
            visit(Visit { bytes, standard_strings, tokens: reader.tokens_mut() });
        }
    }
    if let Err((code, reason)) = envelope.end() {
        findings.say(code, bytes.len(), reason);
    }
    findings.list
}

/// Whether `bytes` are a plain SQL dump at all, or what they are instead.
fn plain(bytes: &[u8]) -> Result<(), String> {
    let advice = "store what `pg_dump --schema-only` writes as plain SQL";
    if bytes.trim_ascii().is_empty() {
        return Err(format!("the snapshot is empty: {advice}"));
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(format!("the snapshot is larger than {MAX_BYTES} bytes"));
    }
    let magic = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| *what);
    let tar = bytes.get(257..262) == Some(b"ustar");
    if let Some(what) = magic.or(tar.then_some("a dump in pg_dump's tar format")) {
        return Err(format!("the snapshot is {what}: {advice}"));
    }
    if bytes.contains(&0) {
        return Err(format!("the snapshot holds NUL bytes: {advice}"));
    }
    if let Err(error) = str::from_utf8(bytes) {
        return Err(format!(
            "the snapshot is not UTF-8 from byte {} on: dump with `--encoding=UTF8`",
            error.valid_up_to()
        ));
    }
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(b"--"), Some(HEADER)) => Ok(()),
        (Some(b"--"), Some(CLUSTER)) => Err(format!("the snapshot is a whole server's, by `pg_dumpall`: {advice}")),
        _ => Err(format!("the snapshot does not start with pg_dump's header `-- PostgreSQL database dump`: {advice}")),
    }
}

/// How far into the dump its items are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Prelude,
    Statements,
    Ended,
}

/// What holds a dump's statements together: header, psql's restriction, trailer.
struct Envelope {
    place: Place,
    /// The key of `\restrict`, until its `\unrestrict` (`pg_dump` since August 2025, CVE-2025-8714).
    key: Option<Vec<u8>>,
}

type Wrong = (Code, String);

fn invalid(reason: impl Into<String>) -> Result<(), Wrong> {
    Err((Code::SchemaSnapshotInvalid, reason.into()))
}

impl Envelope {
    fn comment(&mut self, text: &[u8]) -> Result<(), Wrong> {
        let text = text.trim_ascii_end();
        if self.place == Place::Ended && text != b"--" {
            return invalid("a comment behind the dump's end: store one dump by itself");
        }
        if text == TRAILER {
            self.place = Place::Ended;
        }
        Ok(())
    }

    fn command(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let word = words.next().unwrap_or_default();
        let key = words.next().filter(|key| key.iter().all(u8::is_ascii_alphanumeric) && words.next().is_none());
        match (word, key, self.place, &self.key) {
            (br"\restrict", Some(key), Place::Prelude, None) => self.key = Some(key.to_owned()),
            (br"\unrestrict", Some(key), Place::Ended, Some(open)) if open == key => self.key = None,
            (br"\restrict" | br"\unrestrict", ..) => {
                return invalid("a `\\restrict` or `\\unrestrict` that is not the dump's first and last line");
            }
            (br"\connect" | br"\c", ..) => {
                return invalid("`\\connect` leaves the database: dump one database, without `--create`");
            }
            _ => return invalid("a command of psql that pg_dump does not write"),
        }
        Ok(())
    }

    fn statement(&mut self, statement: Statement<'_>, ascii: bool) -> Result<(), Wrong> {
        if self.place == Place::Ended {
            return invalid("a statement behind the dump's end: store one dump by itself");
        }
        self.place = Place::Statements;
        let encoding = statement.starts(&["SET", "client_encoding", "="]).then(|| statement.text(3));
        match encoding {
            Some(b"'UTF8'") | None => Ok(()),
            Some(_) if ascii => Ok(()),
            Some(_) => invalid("the dump's client encoding is not UTF-8: dump with `--encoding=UTF8`"),
        }
    }

    fn end(&self) -> Result<(), Wrong> {
        if self.place != Place::Ended {
            return invalid("the dump's end `-- PostgreSQL database dump complete` is missing: it is not whole");
        }
        if self.key.is_some() {
            return invalid("the dump's last line `\\unrestrict` is missing: it is not whole");
        }
        Ok(())
    }
}

/// The findings about one dump, each with its line.
struct Findings<'a> {
    bytes: &'a [u8],
    subject: &'a str,
    list: Vec<Finding>,
    /// How many bytes the lines were counted of, and the line that follows them.
    counted: usize,
    line: usize,
    /// What was said: the same about a later line, such as the next row, says nothing new.
    said: BTreeSet<String>,
}

impl Findings<'_> {
    fn say(&mut self, code: Code, at: usize, reason: String) {
        if self.said.contains(&reason) {
            return;
        }
        let new = self.bytes.get(self.counted..at).unwrap_or_default();
        self.line += new.split(|&byte| byte == b'\n').skip(1).count();
        self.counted = self.counted.max(at);
        self.list.push(Finding::new(code, self.subject, format!("line {}: {reason}", self.line)));
        self.said.insert(reason);
    }
}
