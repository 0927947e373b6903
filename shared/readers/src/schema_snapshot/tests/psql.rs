//! Our reader splits texts where the real psql 15 to 18 does (`tests/oracles/make_psql_statements.py`), or refuses them.

use serde::Deserialize;

use crate::schema_snapshot::statement::{Item, Reader};

#[derive(Deserialize)]
struct Case {
    text: String,
    /// The queries that psql sent; `None` where its versions send different ones.
    sent: Option<Vec<String>>,
}

/// The statements of `text`, each as its tokens; nothing where the reader refuses it or finds a command of psql.
fn statements(text: &str) -> Option<Vec<Vec<String>>> {
    let mut reader = Reader::new(text.as_bytes());
    let mut statements = Vec::new();
    while let Some(item) = reader.read() {
        match item {
            Item::Statement => {
                let statement = reader.statement();
                let tokens = 0..statement.tokens.len();
                let texts = tokens.map(|index| String::from_utf8_lossy(statement.text(index)).into_owned());
                statements.push(texts.collect());
            }
            Item::Comment(_) => {}
            Item::Command(_) | Item::Fault(_) => return None,
        }
    }
    Some(statements)
}

fn check(cases: &str) {
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    let mut accepted = 0;
    for Case { text, sent } in &cases {
        let Some(ours) = statements(&format!("{text}\n")) else { continue };
        accepted += 1;
        let sent = sent
            .as_ref()
            .unwrap_or_else(|| panic!("psql's versions disagree on {text:?}, and we take it for {ours:?}"));
        // A setting holds for what is sent behind it.
        let mut theirs = Vec::new();
        let mut off = false;
        for query in sent {
            let before = if off { "SET standard_conforming_strings = off;\n" } else { "" };
            let read = statements(&format!("{before}{query}\n"));
            let read = read.unwrap_or_else(|| panic!("{text:?} is {ours:?} to us, and psql sends {query:?}"));
            theirs.extend(read.into_iter().skip(usize::from(off)));
            if query.contains("SET standard_conforming_strings =") {
                off = query.contains("off");
            }
        }
        assert_eq!(ours, theirs, "{text:?}");
    }
    assert!(accepted > cases.len() / 10, "{accepted} of {}", cases.len());
}

#[test]
fn texts_are_split_where_psql_splits_them() {
    check(include_str!("../fixtures/psql_statements.json"));
}
