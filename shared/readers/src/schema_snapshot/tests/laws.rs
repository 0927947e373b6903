//! Laws of the reader and the normal form, held against generated dumps and against every byte of one.

use proptest::prelude::*;

use super::{dump, everything, said};
use crate::schema_snapshot::{
    Include,
    inspect::Visit,
    layout,
    lexer::{Kind, Lexer},
    normal_form,
    rewrite::Rewriter,
    statement::{Item, Reader},
};

/// Statements of a schema that leave nothing to another, so that they may stand in any order.
const STATEMENTS: [&str; 14] = [
    "CREATE SCHEMA ledger;",
    "CREATE TABLE ledger.entry (\n    id bigint NOT NULL,\n    note text DEFAULT 'a;\nCOPY t FROM stdin;\n',\n    CONSTRAINT c CHECK ((id > 0))\n);",
    "CREATE TYPE ledger.side AS ENUM (\n    'debit',\n    'it''s'\n);",
    "CREATE FUNCTION ledger.f() RETURNS text\n    LANGUAGE plpgsql\n    AS $_$\nBEGIN RETURN $$x;$$; END\n$_$;",
    "CREATE FUNCTION ledger.g() RETURNS int LANGUAGE sql\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END AS \"end\";\n END;",
    "CREATE VIEW ledger.v AS\n SELECT a,\n    (b + -1) AS c\n   FROM ledger.entry\n  WHERE (a <> E'\\\\;');",
    "COMMENT ON TABLE ledger.entry IS 'gr\u{f6}\u{df}e -- no comment';",
    "ALTER TABLE ONLY ledger.entry ADD CONSTRAINT entry_pkey PRIMARY KEY (id);",
    "ALTER SEQUENCE ledger.s OWNER TO \"a; b\";",
    "GRANT SELECT ON TABLE ledger.entry TO auditor;",
    "CREATE INDEX i ON ledger.entry USING btree (lower(note), id DESC) WHERE (id > 3);",
    "CREATE TABLE ledger.strict (\n    a integer CONSTRAINT chosen NOT NULL\n)\nINHERITS (ledger.entry);",
    "CREATE VIEW ledger.w AS\n SELECT id\n   FROM ledger.entry\n  GROUP BY id;",
    "CREATE RULE r AS ON INSERT TO ledger.v DO INSTEAD ( INSERT INTO ledger.entry VALUES (1);\n DELETE FROM ledger.entry;\n);",
];

/// The statements of `text`, which is a normal form, normalised once more.
fn again(text: &str) -> String {
    let mut reader = Reader::new(text.as_bytes());
    let mut rewriter = Rewriter::new(Include { owners: true, privileges: true }, None);
    let mut statements = Vec::new();
    while let Some(item) = reader.read() {
        assert_eq!(item, Item::Statement);
        let visit = Visit { bytes: text.as_bytes(), standard_strings: true, tokens: reader.tokens_mut() };
        let around = rewriter.rewrite(visit.bytes, visit.tokens, visit.standard_strings).unwrap();
        let mut statement = String::new();
        let reading = rewriter.reading(visit.standard_strings);
        layout::write(&mut statement, visit.bytes, visit.tokens, &around, reading);
        statements.push(statement);
        statements.extend(around.apart);
    }
    statements.sort();
    statements.join("\n") + if statements.is_empty() { "" } else { "\n" }
}

#[test]
fn a_normal_form_is_its_own_normal_form() {
    let text = everything(&dump(&STATEMENTS.join("\n"))).to_text();
    assert_eq!(again(&text), text);
}

#[test]
fn what_is_no_name_of_a_table_or_column_has_nothing_set_apart() {
    for table in ["CREATE TABLE ,public.t (\n    NOT NULL b\n);", "CREATE TABLE public.t (\n    NOT NULL *\n);"] {
        let text = everything(&dump(table)).to_text();
        assert!(!text.contains("ALTER"), "{text}");
        assert_eq!(again(&text), text);
    }
}

/// Every byte of every statement, changed to each of several others, changes the normal form or the judgement.
#[test]
fn a_change_of_any_one_byte_changes_the_normal_form() {
    for statement in STATEMENTS {
        let whole = dump(statement);
        let form = everything(&whole);
        let start = whole.find(statement).unwrap();
        for token in Lexer::new(statement.as_bytes()).filter(|token| token.kind != Kind::Space) {
            for at in token
                .range()
                .map(|at| at + start)
                .filter(|&at| whole.is_char_boundary(at) && whole.is_char_boundary(at + 1))
            {
                for byte in ["z", "Z", "7", "_", ";", ",", "(", "'", "\"", "$", "-", ".", "+", "\\"] {
                    if &whole[at..=at] == byte {
                        continue;
                    }
                    let changed = format!("{}{byte}{}", &whole[..at], &whole[at + 1..]);
                    let same =
                        normal_form(changed.as_bytes(), Include { owners: true, privileges: true }) == Ok(form.clone());
                    assert!(!same, "{changed}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn the_order_of_statements_makes_no_difference(order in Just(STATEMENTS.to_vec()).prop_shuffle()) {
        prop_assert_eq!(everything(&dump(&order.join("\n\n"))), everything(&dump(&STATEMENTS.join("\n"))));
    }

    #[test]
    fn whitespace_and_comments_between_tokens_make_no_difference(
        gaps in proptest::collection::vec(prop_oneof![Just(" "), Just("\n"), Just("\t \n"), Just(" /* a; */ "), Just(" -- b;\n")], 40),
    ) {
        let mut gap = gaps.iter().cycle();
        let spread = |statement: &str| -> String {
            Lexer::new(statement.as_bytes())
                .map(|token| if token.kind == Kind::Space { gap.next().unwrap() } else { &statement[token.range()] }.to_owned())
                .collect()
        };
        let spread: Vec<_> = STATEMENTS.iter().copied().map(spread).collect();
        prop_assert_eq!(everything(&dump(&spread.join("\n"))), everything(&dump(&STATEMENTS.join("\n"))));
    }

    #[test]
    fn nothing_makes_the_reader_fail(body in prop_oneof![
        "\\PC{0,120}",
        "([-a-z'\"$/*\\\\;(). \n]|COPY t FROM stdin;|CREATE |BEGIN ATOMIC|END|SET |TABLE |NOT NULL|ALTER |CONSTRAINT |VIEW |AS |FROM ){0,60}",
    ]) {
        let whole = dump(&body);
        let include = Include { owners: true, privileges: true };
        prop_assert_eq!(normal_form(whole.as_bytes(), include).is_ok(), said(&whole).is_empty());
        if let Ok(form) = normal_form(whole.as_bytes(), include) {
            prop_assert_eq!(again(&form.to_text()), form.to_text());
        }
    }

    #[test]
    fn any_statement_of_data_is_refused_wherever_it_stands(at in 0..=STATEMENTS.len(), which in 0..5_usize) {
        let data = [
            "COPY t (a) FROM stdin;\n1\n\\.\n", "INSERT INTO t VALUES (1);", "SELECT pg_catalog.setval('s', 1, true);",
            "SELECT * FROM pg_catalog.pg_restore_attribute_stats('a');", "SELECT pg_catalog.lo_create('1');",
        ][which];
        let mut statements = STATEMENTS.to_vec();
        statements.insert(at, data);
        prop_assert!(said(dump(&statements.join("\n"))).starts_with("schema-snapshot-holds-data"));
    }
}
