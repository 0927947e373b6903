//! Schema snapshots: a normal form is its own normal form, and what is added, taken away or moved into another stage is
//! never the same schema.

use std::collections::BTreeSet;

use crate::{
    input::{choose, told},
    product::{Include, NormalForm, PartitionedTable, Sha256, schema_snapshot},
};

const SUBJECT: &str = "s.sql";
const HEADER: &str = "--\n-- PostgreSQL database dump\n--\n";
const TRAILER: &str = "--\n-- PostgreSQL database dump complete\n--\n";
const COMPLETE: &str = "\n-- PostgreSQL database dump complete";
const ALL: Include = Include { owners: true, privileges: true };

/// Statements that no dump has, and what each is: the schema's, an owner's or a privilege's.
const ADDED: [(&str, Include); 12] = [
    ("CREATE TABLE surprise.added (\n    a integer\n);", NONE),
    ("CREATE SCHEMA surprise_added;", NONE),
    ("CREATE VIEW surprise.added_view AS\n SELECT 1 AS a;", NONE),
    ("CREATE FUNCTION surprise.added() RETURNS integer\n    LANGUAGE sql\n    AS $$SELECT 1;$$;", NONE),
    ("CREATE INDEX surprise_added ON surprise.t USING btree (a);", NONE),
    (
        "CREATE SEQUENCE surprise.added_seq\n    START WITH 1\n    INCREMENT BY 1\n    NO MINVALUE\n    NO MAXVALUE\n    CACHE 1;",
        NONE,
    ),
    ("ALTER TABLE ONLY surprise.t\n    ADD CONSTRAINT surprise_added CHECK ((a > 0));", NONE),
    ("CREATE TYPE surprise.added_type AS ENUM (\n    'a'\n);", NONE),
    ("CREATE TRIGGER surprise_added BEFORE INSERT ON surprise.t FOR EACH ROW EXECUTE FUNCTION surprise.f();", NONE),
    ("COMMENT ON TABLE surprise.t IS 'added';", NONE),
    ("ALTER TABLE surprise.added OWNER TO surprise;", Include { owners: true, privileges: false }),
    ("GRANT SELECT ON TABLE surprise.added TO surprise;", Include { owners: false, privileges: true }),
];
const NONE: Include = Include { owners: false, privileges: false };

/// What no snapshot may hold.
const DATA: [&str; 5] = [
    "COPY surprise.t (a) FROM stdin;\n1\n\\.\n",
    "INSERT INTO surprise.t VALUES (1);",
    "SELECT pg_catalog.setval('surprise.s', 1, true);",
    "SELECT * FROM pg_catalog.pg_restore_attribute_stats('a');",
    "SELECT pg_catalog.lo_create('1');",
];

/// A dump with this body, as `pg_dump` of PostgreSQL 18 writes one of this server.
fn dump(server: u16, body: &str) -> String {
    format!(
        "{HEADER}\n\\restrict k3y\n\n-- Dumped from database version {server}.1\n-- Dumped by pg_dump version 18.4\n\n\
         SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
         SELECT pg_catalog.set_config('search_path', '', false);\nSET default_tablespace = '';\n\n{body}\n\n\
         {TRAILER}\n\\unrestrict k3y\n\n"
    )
}

fn normal(dump: &str, include: Include) -> Option<NormalForm> {
    schema_snapshot::normal_form(dump.as_bytes(), include).ok()
}

/// The laws of a dump, or of what stands in one between its header and its trailer.
pub fn snapshot(input: &[u8]) {
    let whole = match str::from_utf8(input) {
        Ok(body) if !body.starts_with("--\n-- PostgreSQL database") => dump(18, body).into_bytes(),
        _ => input.to_vec(),
    };
    let findings = schema_snapshot::inspect(&whole, SUBJECT);
    told(&findings, SUBJECT);
    let form = schema_snapshot::normal_form(&whole, ALL);
    assert_eq!(form.is_ok(), findings.is_empty(), "{findings:?}");
    let Ok(form) = form else { return };
    let whole = str::from_utf8(&whole).expect("a snapshot is UTF-8");
    let text = form.to_text();
    assert_eq!(form.sha256(), Sha256::of(text.as_bytes()), "its digest is its text's");
    same(&form, &form);
    once_more(&form);
    partitions(&form);
    // The words may also stand in a literal.
    let ends: Vec<_> = whole.match_indices(COMPLETE).map(|(at, _)| at + 1).collect();
    assert!(!ends.is_empty(), "a dump without its trailer is taken");
    let [end] = *ends else { return };
    if !text.contains("surprise") {
        added(whole, end, &form);
    }
    cut_off(whole, end);
    moved_comments(whole, end, &form);
}

/// Both are of one schema by every way to ask.
fn same(one: &NormalForm, other: &NormalForm) {
    assert_eq!(one, other);
    assert_eq!(one.sha256(), other.sha256());
    assert_eq!(schema_snapshot::difference(one, other), None);
    let comparison = schema_snapshot::compare(one, other, &[]);
    assert_eq!((comparison.difference, comparison.tested_sha256), (None, comparison.live_sha256));
}

/// They are of two schemas by every way to ask, and in either direction.
fn unlike(one: &NormalForm, other: &NormalForm, why: &str) {
    assert_ne!(one, other, "{why}");
    assert_ne!(one.sha256(), other.sha256(), "{why}");
    for (tested, live) in [(one, other), (other, one)] {
        let difference = schema_snapshot::difference(tested, live).expect(why);
        assert!(!difference.to_string().is_empty());
        assert!(serde_json::to_vec(&difference).expect("a difference is written").len() < 40_000);
        assert!(schema_snapshot::compare(tested, live, &[]).difference.is_some(), "{why}");
    }
}

/// The statements of a normal form, as its debugging output lists them.
fn statements(form: &NormalForm) -> Vec<String> {
    let listed = format!("{form:?}");
    let mut statements = Vec::new();
    let mut characters = listed.chars();
    while characters.by_ref().any(|c| c == '"') {
        let mut statement = String::new();
        loop {
            match characters.next().expect("a text in quotes ends") {
                '"' => break,
                '\\' => statement.push(escaped(&mut characters)),
                other => statement.push(other),
            }
        }
        statements.push(statement);
    }
    assert_eq!(statements.iter().flat_map(|it| [it.as_str(), "\n"]).collect::<String>(), form.to_text());
    statements
}

fn escaped(characters: &mut std::str::Chars<'_>) -> char {
    match characters.next() {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('0') => '\0',
        Some('u') => {
            let digits: String = characters.by_ref().skip(1).take_while(|c| *c != '}').collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).expect("a character's number")
        }
        Some(other) => other,
        None => panic!("an escape ends"),
    }
}

/// What was normalised is its own normal form. Its statements are sorted by their text, so they are first put into an order
/// in which `pg_dump` may write them: what is created before what is altered. In the text names are told
/// from new keywords by their case, which no dump does.
fn once_more(form: &NormalForm) {
    let text = form.to_text().to_lowercase();
    if ["json", "merge_action", "system_user"].iter().any(|word| text.contains(word)) {
        return;
    }
    let mut statements = statements(form);
    statements.sort_by_key(|it| !it.starts_with("CREATE "));
    let again = dump(form.server().unwrap_or(18), &statements.join("\n\n"));
    if let Some(again) = normal(&again, ALL) {
        assert_eq!(again.to_text(), form.to_text());
        same(form, &again);
        assert_eq!(again.histories(), form.histories());
    }
}

/// A statement more is never the same schema, whoever compares; and a statement of data is refused.
fn added(whole: &str, end: usize, form: &NormalForm) {
    let (before, trailer) = whole.split_at(end);
    let (addition, needed) = ADDED[choose(whole.as_bytes(), ADDED.len())];
    let more = format!("{before}{addition}\n\n{trailer}");
    let found = schema_snapshot::normal_form(more.as_bytes(), ALL);
    let found = found.unwrap_or_else(|findings| panic!("{addition} is refused: {findings:?}"));
    unlike(form, &found, addition);
    let (without, with) = (normal(whole, NONE).expect("it was read"), normal(&more, NONE).expect("it was read"));
    if needed == NONE {
        unlike(&without, &with, addition);
    } else {
        same(&without, &with);
    }
    let (with, without) = (normal(&more, needed).expect("it was read"), normal(whole, needed).expect("it was read"));
    unlike(&without, &with, addition);

    let data = DATA[choose(whole.as_bytes(), DATA.len())];
    let findings = schema_snapshot::inspect(format!("{before}{data}\n\n{trailer}").as_bytes(), SUBJECT);
    let codes: BTreeSet<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains("schema-snapshot-holds-data"), "{data} passes: {findings:?}");
}

/// A dump that is cut off before its trailer is none.
fn cut_off(whole: &str, end: usize) {
    let at = whole.floor_char_boundary(choose(whole.as_bytes(), end + COMPLETE.len() - 1));
    assert!(normal(&whole[..at], ALL).is_none(), "cut to {at} of {} bytes", whole.len());
}

/// Comments and empty lines at the ends make no difference.
fn moved_comments(whole: &str, end: usize, form: &NormalForm) {
    let (before, trailer) = whole.split_at(end);
    let more = format!("{before}--\n-- Name: x; Type: TABLE; Schema: public; Owner: -\n--\n\n\n{trailer}\n\n");
    same(form, &normal(&more, ALL).expect("a comment more"));
}

/// Partitions that are folded stay folded, and a schema is its own whatever is folded.
fn partitions(form: &NormalForm) {
    let names = form.to_text();
    let tables: Vec<PartitionedTable> = names
        .split("CREATE TABLE ")
        .skip(1)
        .filter_map(|it| it.split([' ', '(']).next()?.parse().ok())
        .take(4)
        .collect();
    let folded = form.without_partitions(&tables);
    // Whatever else is said to be attached stays where it is.
    let is_bound = |it: &String| it.contains(" FOR VALUES ") || it.ends_with(" DEFAULT;");
    if statements(form).iter().filter(|it| it.contains("ATTACH PARTITION")).all(is_bound) {
        same(&folded, &folded.without_partitions(&tables));
    }
    let comparison = schema_snapshot::compare(form, form, &tables);
    assert_eq!((comparison.difference, comparison.tested_sha256), (None, comparison.live_sha256));
    assert!(form.not_partitioned(&tables).len() <= tables.len());
}
