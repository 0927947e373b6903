//! Migrations whose bytes are odd and whose SQL is good: what they come to is asked of the real Flyway, never assumed.

use std::iter::repeat_n;

/// The values of the placeholders that the repeatables hold. Flyway's own ones are not among them.
pub const PLACEHOLDERS: [(&str, &str); 5] = [
    ("schema_name", "ledger"),
    ("Mixed.Case", "größe 😀"),
    ("empty", ""),
    ("lines", "one\r\n-- two\r-- three\n-- four"),
    ("nested", "${schema_name} and $"),
];

/// Texts by lines. Each is SQL that PostgreSQL takes, whatever ends the lines.
const TEXTS: [&[&str]; 16] = [
    &["SELECT 1;"],
    &["", "", "SELECT 1;", "", ""],
    &["-- nothing but", "-- comments"],
    &["   ", "\t", "SELECT 1;   ", "\tSELECT 2;\t", "  "],
    &["/* over", "", "   lines */", "SELECT 'a string", "", "  over lines';"],
    &[
        "-- a vertical tab \u{b}, a form feed \u{c}, a file separator \u{1c}",
        "SELECT 'in strings \u{b}\u{c}\u{1c}\u{1f}';",
    ],
    &[
        "-- a next line \u{85}, a line separator \u{2028}, a paragraph separator \u{2029}",
        "SELECT '\u{85}\u{2028}\u{2029}';",
    ],
    &["SELECT 'Grüße, Kraków, Ελλάδα, 東京, עברית', 'e\u{301} and é';", "COMMENT ON SCHEMA public IS 'größe';"],
    &[
        "SELECT '😀 𝄞 🇳🇿 👩\u{200d}👧', 'the last of all: \u{10FFFF}';",
        "SELECT '\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}';",
    ],
    &["-- a mark in the middle \u{feff} of a line", "-- \u{feff}", "SELECT '\u{feff}', '\u{fffe}', '\u{fffd}';"],
    &["SELECT 'back\\slash', 'quo''te', \"now\" FROM (SELECT now()) AS it;", "SELECT E'\\r\\n', $$dollar", "quoted$$;"],
    &["DO $body$", "BEGIN", "  PERFORM 1; -- not an end", "END", "$body$;"],
    &["-- drop old", "SELECT 1;"],
    &["-- drop oldSELECT 1;"],
    &["-- ${schema_name} is replaced when it runs, not in the checksum; $${x} $ {x}", "SELECT '$', '{', '}', '$$';"],
    &["SELECT 1;", "SELECT 2;", "SELECT 3;", "SELECT 4;", "SELECT 5;", "SELECT 6;", "SELECT 7;", "SELECT 8;"],
];

/// How lines may end; the last are taken in turn.
const ENDS: [&[&str]; 4] = [&["\n"], &["\r\n"], &["\r"], &["\r", "\r\n", "\n", "\n", "\r\n"]];

/// Repeatables: placeholders found, not found, and things that only look like some.
const REPEATABLES: [&str; 15] = [
    "SELECT 'no placeholder';\n",
    "-- ${schema_name}\nSELECT '${schema_name}', '${SCHEMA_NAME}', '${mixed.case}';\n",
    "\u{feff}-- ${schema_name}\r\nSELECT 1;\r\n",
    "-- ${empty}${empty}${empty}\nSELECT '${empty}';",
    "-- ${lines}\nSELECT 1;\n",
    "-- ${nested} is not looked at again\nSELECT 1;\n",
    "-- $${schema_name} is taken for two dollars\nSELECT '$$${schema_name}', '$$$${schema_name}';\n",
    "-- $ {schema_name} {schema_name} $\n-- {schema_name}\r-- $",
    "-- ${flyway:filename} into ${flyway:table}\nSELECT 1;\n",
    "-- ${FLYWAY:FileName}\nSELECT 1;\n",
    "-- ${schema_name}}} ${schema_name}${schema_name}\nSELECT '}';\n",
    "-- 😀${schema_name}😀\u{2028}${Mixed.Case}\u{85}\nSELECT 1;\n",
    "SELECT 'FP__schema_name__', '{{schema_name}}', '#{schema_name}', ':schema_name';\n",
    "-- a $\n-- dollar at a line's end, and one $\r\n-- more\nSELECT 1;\n",
    "SELECT 1; -- open at the end, where the last character is taken for the brace: ${schema_namex",
];

/// At least 200 migrations, the same at each call: a path as Flyway's `script`, and the file's bytes.
#[must_use]
pub fn odd_migrations() -> Vec<(String, Vec<u8>)> {
    let mut versioned: Vec<Vec<u8>> =
        ["", "\u{feff}", "\n", "\r", "\r\n", "\n\r", " ", "\u{feff}\r\n", "-- x", ";", "\u{feff}-- x\u{feff}"]
            .map(|text| text.as_bytes().to_vec())
            .into();
    for (index, text) in TEXTS.iter().enumerate() {
        for ends in ENDS {
            for mark in ["", "\u{feff}"] {
                versioned.push(with_ends(mark, text, ends, true));
            }
            versioned.push(with_ends(if index % 2 == 0 { "" } else { "\u{feff}" }, text, ends, false));
        }
    }
    // Readers take files by pieces of these sizes; nothing may be lost or seen twice where one ends.
    for size in [4096, 8192, 16384] {
        for special in ["\r\n", "\r\r\n\n", "é", "\u{2028}", "😀"] {
            for before in 1..special.len() {
                versioned.push(straddling(size - before, special));
            }
        }
    }
    for length in [4095, 8191, 8192, 16385, 200_000] {
        versioned.push(format!("SELECT '{}';", "ü".repeat(length)).into_bytes());
    }
    let mut files: Vec<_> =
        versioned.into_iter().enumerate().map(|(i, bytes)| (versioned_path(i + 1), bytes)).collect();
    files.extend(REPEATABLES.iter().enumerate().map(|(index, text)| {
        let folder = if index % 2 == 0 { "" } else { "views/" };
        (format!("{folder}R__odd_{index:02}.sql"), text.as_bytes().to_vec())
    }));
    files
}

/// Every spelling of a version, in folders that say nothing of the order.
fn versioned_path(version: usize) -> String {
    let folder = ["", "z/", "a/b.c/"].into_iter().cycle().nth(version).unwrap_or_default();
    match version % 6 {
        0 => format!("{folder}V{version}__Größe_{version}.sql"),
        1 => format!("{folder}V{version}_0_1__odd.sql"),
        2 => format!("{folder}V{version}.20__two__words.sql"),
        3 => format!("{folder}V{version:06}__odd.sql"),
        4 => format!("{folder}V{version}.sql"),
        _ => format!("{folder}V{version}__a b-(c).sql"),
    }
}

fn with_ends(mark: &str, lines: &[&str], ends: &[&str], last: bool) -> Vec<u8> {
    let mut text = mark.to_owned();
    let mut ends = ends.iter().cycle();
    for (index, line) in lines.iter().enumerate() {
        text.push_str(line);
        if last || index + 1 < lines.len() {
            text.push_str(ends.next().unwrap_or(&"\n"));
        }
    }
    text.into_bytes()
}

/// A comment in which `special` starts at byte `at`, and a statement.
fn straddling(at: usize, special: &str) -> Vec<u8> {
    let mut text: String = "-- ".chars().chain(repeat_n('x', at - 3)).collect();
    text.push_str(special);
    text.push_str("-- end\nSELECT 1;\n");
    text.into_bytes()
}
