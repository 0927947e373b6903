//! Text for a terminal of 80 columns: tables whose columns line up, and sentences that go on in the next line.

use std::fmt::Write as _;

use jiff::Timestamp;

/// How wide a terminal is taken to be.
pub(crate) const WIDTH: usize = 80;

/// A cell of a table: its text, and how it is painted.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: Option<fn(&str) -> String>,
}

impl Cell {
    /// A cell whose text is painted.
    pub(crate) fn painted(text: impl Into<String>, paint: fn(&str) -> String) -> Self {
        Self { text: text.into(), paint: Some(paint) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), paint: None }
    }
}

/// Rows one below the other, each column as wide as its widest cell. Trailing spaces are left out.
pub(crate) fn table(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let mut gap = 0;
        for (cell, width) in row.iter().zip(&widths) {
            let length = cell.text.chars().count();
            if length > 0 {
                let painted = cell.paint.map_or_else(|| cell.text.clone(), |paint| paint(&cell.text));
                let _ = write!(line, "{:gap$}{painted}", "");
                gap = 0;
            }
            gap += width.saturating_sub(length) + 2;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Words in lines of at most [`WIDTH`] columns, each line indented. A word that is longer stands alone.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 {
            let _ = write!(lines, "{:indent$}{word}", "");
            column = indent + length;
        } else if column + 1 + length > WIDTH {
            let _ = write!(lines, "\n{:indent$}{word}", "");
            column = indent + length;
        } else {
            let _ = write!(lines, " {word}");
            column += 1 + length;
        }
    }
    lines.push('\n');
    lines
}

/// A text that is cut where it is longer than `most` characters, and says so.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `2026-05-02 03:04`, in UTC.
pub(crate) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A size in bytes, as people say it.
pub(crate) fn size(bytes: u64) -> String {
    for (unit, of) in [("MB", 1_000_000), ("kB", 1_000)] {
        if bytes >= of {
            return format!("{}.{} {unit}", bytes / of, bytes % of * 10 / of);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::good;

    #[test]
    fn columns_line_up_whatever_is_painted_or_missing() {
        let rows = [
            vec![Cell::from("COMMIT"), "BUILT".into(), "ON".into()],
            vec!["3f1c9a0".into(), "".into(), Cell::painted("uat", good)],
            vec!["größer-als-alle".into(), Cell::painted("yes", good)],
        ];
        let text = anstream::adapter::strip_str(&table(&rows)).to_string();
        insta::assert_snapshot!(text, @r"
        COMMIT           BUILT  ON
        3f1c9a0                 uat
        größer-als-alle  yes
        ");
    }

    #[test]
    fn long_sentences_go_on_in_the_next_line() {
        let text = wrapped(&"word ".repeat(30), 4);
        assert!(text.lines().all(|line| line.starts_with("    word") && line.len() <= WIDTH), "{text}");
        assert_eq!(text.split_whitespace().count(), 30);
    }

    #[test]
    fn sizes_and_cuts() {
        assert_eq!([size(999), size(1_500), size(4_321_000)], ["999 B", "1.5 kB", "4.3 MB"]);
        assert_eq!((cut("grün", 4), cut("grüner", 4)), ("grün".to_owned(), "grü…".to_owned()));
    }
}
