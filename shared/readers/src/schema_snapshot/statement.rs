//! A dump as what psql would make of it: statements, psql's own commands, and comments between them.

use std::ops::Range;

use super::lexer::{Kind, Lexer, Token};

/// The most tokens of one statement, which bounds memory. A table of 1,600 columns, PostgreSQL's limit, has some
/// 10,000.
const MAX_TOKENS: usize = 1_000_000;

/// What a dump consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A statement, held by the reader until the next item.
    Statement,
    /// A comment between statements.
    Comment(Range<usize>),
    /// A command of psql between statements, up to its line's end.
    Command(Range<usize>),
    /// The dump can't be read on from here.
    Fault(Fault),
}

/// Why a dump can't be read on, and the byte where that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

/// Reads a dump item by item.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    lexer: Lexer<'a>,
    tokens: Vec<Token>,
    failed: bool,
}

/// A statement's tokens, without whitespace, comments and the final `;`.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) tokens: &'a [Token],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, lexer: Lexer::new(bytes), tokens: Vec::new(), failed: false }
    }

    /// The statement that was last read.
    pub(super) fn statement(&self) -> Statement<'_> {
        Statement { bytes: self.bytes, tokens: &self.tokens }
    }

    /// The last statement's tokens, to be taken out of.
    pub(super) fn tokens_mut(&mut self) -> &mut Vec<Token> {
        &mut self.tokens
    }

    /// Whether `'…'` holds backslashes as they are (`standard_conforming_strings`).
    pub(super) fn standard_strings(&self) -> bool {
        self.lexer.standard_strings
    }

    /// The next item; nothing at the end and after a fault.
    pub(super) fn read(&mut self) -> Option<Item> {
        if self.failed {
            return None;
        }
        let item = self.read_item();
        self.failed = matches!(item, Some(Item::Fault(_)));
        item
    }

    fn read_item(&mut self) -> Option<Item> {
        self.tokens.clear();
        let (mut depth, mut gap, mut body) = (0_usize, false, Body::default());
        loop {
            let Some(mut token) = self.lexer.next() else {
                let first = self.tokens.first()?;
                return Some(fault(first.range().start, "a statement without its `;`"));
            };
            let start = token.range().start;
            match token.kind {
                Kind::Comment if self.tokens.is_empty() => return Some(Item::Comment(token.range())),
                Kind::Space | Kind::Comment => {
                    gap = true;
                    continue;
                }
                Kind::Unterminated => return Some(fault(start, "a quote or comment without an end")),
                Kind::Doubtful => return Some(fault(start, doubtful(self.bytes.get(start)))),
                Kind::Backslash if self.tokens.is_empty() => {
                    return Some(Item::Command(start..self.lexer.take_line().end));
                }
                Kind::Backslash => return Some(fault(start, "a backslash inside of a statement")),
                Kind::Punctuation => match self.bytes.get(start) {
                    Some(b'(') => depth += 1,
                    Some(b')') => depth = depth.saturating_sub(1),
                    Some(b';') if self.tokens.is_empty() => continue,
                    Some(b';') if depth == 0 && !body.is_open() => return Some(self.end()),
                    // psql reads on, and the server takes it for the statement's end but in a rule.
                    Some(b';') if depth > 0 && !self.statement().creates_rule() => {
                        return Some(fault(start, "a `;` inside of parentheses"));
                    }
                    _ => {}
                },
                Kind::Word => body.see(&self.tokens, self.bytes, token),
                _ => {}
            }
            if self.tokens.len() >= MAX_TOKENS {
                return Some(fault(start, "a statement of more than 1,000,000 tokens"));
            }
            token.gap = std::mem::take(&mut gap);
            self.tokens.push(token);
        }
    }

    fn end(&mut self) -> Item {
        let statement = self.statement();
        if statement.starts(&["SET", "standard_conforming_strings"]) {
            let (on, off) = (statement.is(3, "on"), statement.is(3, "off"));
            // psql minds the setting from its next line on, and the server at once.
            if !(statement.is(2, "=") && statement.tokens.len() == 4 && (on || off) && self.lexer.at_line_end()) {
                let at = statement.tokens.first().map_or(0, |token| token.range().start);
                return fault(at, "a `SET standard_conforming_strings` in another form than pg_dump's");
            }
            self.lexer.standard_strings = on;
        } else if statement.reads_rows() && !self.lexer.skip_rows() {
            return fault(self.lexer.position(), "the rows of a `COPY` without their end `\\.`");
        }
        Item::Statement
    }
}

/// Why a token that starts with `byte` can't be taken for one thing.
fn doubtful(byte: Option<&u8>) -> &'static str {
    match byte {
        Some(byte) if byte.is_ascii_control() => "a control character outside of quotes",
        Some(b'0'..=b'9' | b'$') => "a number that runs into letters",
        Some(b'u' | b'U') => "a name or literal with Unicode escapes",
        _ => "a literal that goes on behind its line's end",
    }
}

fn fault(at: usize, reason: &'static str) -> Item {
    Item::Fault(Fault { at, reason })
}

/// Whether a statement is inside of a routine's `BEGIN ATOMIC … END` (SQL-standard bodies, PostgreSQL 14), where `;`
/// ends nothing. `CASE` and `END` are reserved, so that as names they are quoted.
#[derive(Default)]
struct Body {
    depth: usize,
    atomic: bool,
}

impl Body {
    fn is_open(&self) -> bool {
        self.depth > 0
    }

    fn see(&mut self, before: &[Token], bytes: &[u8], token: Token) {
        let word = match bytes.get(token.range()) {
            Some(word) if matches!(word.len(), 3 | 4 | 6) => word,
            _ => return,
        };
        let so_far = Statement { bytes, tokens: before };
        if self.depth > 0 {
            if word.eq_ignore_ascii_case(b"CASE") {
                self.depth += 1;
            } else if word.eq_ignore_ascii_case(b"END") {
                self.depth -= 1;
            }
        } else if !self.atomic && word.eq_ignore_ascii_case(b"ATOMIC") {
            let routine = ["FUNCTION", "PROCEDURE"].iter().any(|kind| so_far.is(1, kind) || so_far.is(3, kind));
            self.atomic = so_far.is(0, "CREATE") && routine && so_far.is(before.len().wrapping_sub(1), "BEGIN");
            self.depth = usize::from(self.atomic);
        }
    }
}

impl<'a> Statement<'a> {
    /// The bytes of the token at `index`, nothing behind the end.
    pub(super) fn text(&self, index: usize) -> &'a [u8] {
        self.tokens.get(index).and_then(|token| self.bytes.get(token.range())).unwrap_or_default()
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    /// Whether the token at `index` is the keyword or punctuation `text`.
    pub(super) fn is(&self, index: usize, text: &str) -> bool {
        let Some(token) = self.tokens.get(index) else { return false };
        // Lengths and first letters before all: this is asked most of all.
        token.range().len() == text.len()
            && matches!(token.kind, Kind::Word | Kind::Punctuation | Kind::Operator)
            && self.bytes.get(token.range()).zip(text.as_bytes().first()).is_some_and(|(bytes, first)| {
                bytes.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first))
                    && bytes.eq_ignore_ascii_case(text.as_bytes())
            })
    }

    /// The punctuation at `index`, 0 where there is none.
    pub(super) fn punctuation(&self, index: usize) -> u8 {
        match self.tokens.get(index) {
            Some(token) if token.kind == Kind::Punctuation => self.bytes.get(token.range().start).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether the tokens from `index` on are `words`.
    pub(super) fn has(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is(index.wrapping_add(offset), word))
    }

    /// Whether the statement starts with `words`.
    pub(super) fn starts(&self, words: &[&str]) -> bool {
        self.has(0, words)
    }

    /// The indices of the tokens, each with the number of parentheses around it; a parenthesis is outside of itself on
    /// its left and inside on its right.
    pub(super) fn levels(self) -> impl Iterator<Item = (usize, usize)> {
        let mut depth = 0_usize;
        (0..self.tokens.len()).map(move |index| {
            let level = depth;
            match self.punctuation(index) {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (index, level)
        })
    }

    /// The indices of the tokens outside of all parentheses.
    pub(super) fn outer(self) -> impl Iterator<Item = usize> {
        self.levels().filter(|(_, level)| *level == 0).map(|(index, _)| index)
    }

    /// Whether `text` is anywhere in it, comments and quotes included.
    pub(super) fn contains(&self, text: &str) -> bool {
        let (first, last) = (self.tokens.first(), self.tokens.last());
        let bytes = first.zip(last).and_then(|(first, last)| self.bytes.get(first.range().start..last.range().end));
        // Dumps are UTF-8, and a search in text is much faster than one in bytes.
        bytes.is_some_and(|bytes| str::from_utf8(bytes).is_ok_and(|all| all.contains(text)))
    }

    /// Whether it creates a rule, which may hold several statements in a parenthesis.
    fn creates_rule(self) -> bool {
        self.starts(&["CREATE", "RULE"]) || self.starts(&["CREATE", "OR", "REPLACE", "RULE"])
    }

    /// Whether rows follow: `COPY … FROM stdin`.
    fn reads_rows(self) -> bool {
        self.starts(&["COPY"]) && self.outer().any(|index| self.has(index, &["FROM", "stdin"]))
    }

    /// Whether a name may start at `index`.
    pub(super) fn is_name(&self, index: usize) -> bool {
        matches!(self.kind(index), Some(Kind::Word | Kind::Quoted))
    }

    /// The index behind a dotted name that starts at `index`.
    pub(super) fn name_end(&self, index: usize) -> usize {
        let mut end = index + 1;
        while self.is(end, ".") {
            end += 2;
        }
        end.min(self.tokens.len())
    }

    /// The index behind the parenthesis that opens at `index`.
    pub(super) fn close(&self, index: usize) -> usize {
        let mut depth = 0_usize;
        for at in index..self.tokens.len() {
            match self.punctuation(at) {
                b'(' => depth += 1,
                b')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len()
    }
}

/// Takes the tokens of `ranges`, which are sorted by their starts, out of a statement, in one pass.
pub(super) fn remove(tokens: &mut Vec<Token>, ranges: &[Range<usize>]) {
    let (mut next, mut index) = (ranges.iter().peekable(), 0);
    if !ranges.is_empty() {
        tokens.retain(|_| {
            while next.next_if(|range| range.end <= index).is_some() {}
            let keep = next.peek().is_none_or(|range| !range.contains(&index));
            index += 1;
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements of `text`, each as its tokens joined by one space.
    fn statements(text: &str) -> Vec<String> {
        let mut reader = Reader::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(item) = reader.read() {
            if item == Item::Statement {
                let statement = reader.statement();
                let texts = (0..statement.tokens.len()).map(|index| str::from_utf8(statement.text(index)).unwrap());
                all.push(texts.collect::<Vec<_>>().join(" "));
            }
        }
        all
    }

    fn fault_of(text: &str) -> Option<Fault> {
        let mut reader = Reader::new(text.as_bytes());
        std::iter::from_fn(|| reader.read()).find_map(|item| match item {
            Item::Fault(fault) => Some(fault),
            _ => None,
        })
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_of_parentheses_and_atomic_bodies() {
        assert_eq!(statements("CREATE RULE (b; c); d;;"), ["CREATE RULE ( b ; c )", "d"]);
        let body = "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END AS \"end\"; SELECT 2; END; x;";
        assert_eq!(statements(body).len(), 2);
        assert_eq!(statements("CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC; END; x;").len(), 2);
    }

    #[test]
    fn a_routine_may_be_named_begin() {
        assert_eq!(statements("CREATE FUNCTION public.begin() RETURNS int AS 'a'; b;").len(), 2);
        assert_eq!(statements("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS begin; END; b;").len(), 2);
    }

    #[test]
    fn rows_are_no_statements() {
        assert_eq!(statements("COPY t (a) FROM stdin;\n1; 'x\n\\.\nb;"), ["COPY t ( a ) FROM stdin", "b"]);
        assert_eq!(statements("COPY t FROM 'stdin'; b;").len(), 2);
    }

    #[test]
    fn strings_change_with_their_setting() {
        let text = "SET standard_conforming_strings = off;\na '\\'; '; SET standard_conforming_strings = on;\nb '\\';";
        assert_eq!(statements(text).len(), 4);
    }

    #[test]
    fn what_is_not_whole_is_told_with_its_place() {
        assert_eq!(fault_of("a; b").map(|fault| fault.at), Some(3));
        assert_eq!(fault_of("a 'b;").map(|fault| fault.at), Some(2));
        assert_eq!(fault_of("a \\! b;").map(|fault| fault.at), Some(2));
        assert_eq!(fault_of("COPY t FROM stdin;\n1\n").map(|fault| fault.at), Some(21));
        assert_eq!(fault_of("a (b"), Some(Fault { at: 0, reason: "a statement without its `;`" }));
        assert_eq!(fault_of("a; \\restrict x\nb;"), None);
        assert_eq!(fault_of("a (b; c);").map(|fault| fault.at), Some(4));
        assert_eq!(fault_of("a 'b'\n'c';").map(|fault| fault.at), Some(2));
        for value in ["= off; a", "= false;", "TO off;", "= 'off';", "= DEFAULT;"] {
            let fault = fault_of(&format!("a;\nSET standard_conforming_strings {value}\nb;")).unwrap();
            assert_eq!(fault.at, 3, "{value}");
        }
    }
}
