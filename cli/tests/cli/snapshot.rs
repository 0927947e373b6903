//! `gatekeeper snapshot compare`, on dumps as `pg_dump` writes them.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Run, gatekeeper};

/// What two versions of `pg_dump` write around the same schema.
const NEW: (&str, &str) = ("15.18", "\\restrict 3BoQYk0azcqXaArz65W1azYDgpSlYfOK6hkTC7pmdFRfYvhsRJ9daivNWsvnQoE\n\n");
const OLD: (&str, &str) = ("15.4", "");

const LEDGER: &str = "CREATE TABLE public.ledger (\n    id bigint NOT NULL,\n    amount numeric NOT NULL\n);\n\n\n\
                      ALTER TABLE public.ledger OWNER TO migrate_user;\n";
const TOTALS: &str = "CREATE VIEW public.totals AS\n SELECT sum(ledger.amount) AS total\n   FROM public.ledger;\n";
const ROWS: &str = "COPY public.ledger (id, amount) FROM stdin;\n1\t100\n\\.\n";

/// A dump by one of two versions of `pg_dump`.
fn dump((name, restrict): (&str, &str), statements: &[&str]) -> String {
    let mut text = format!(
        "--\n-- PostgreSQL database dump\n--\n\n{restrict}-- Dumped from database version 15.18\n\
         -- Dumped by pg_dump version {name}\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n\
         SET standard_conforming_strings = on;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n"
    );
    for statement in statements {
        text.push_str(statement);
        text.push_str("\n\n");
    }
    text += "--\n-- PostgreSQL database dump complete\n--\n\n";
    text + &restrict.replace("restrict", "unrestrict")
}

fn compare(tested: &str, other: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (tested, other) = (write("tested.sql", tested), write("other.sql", other));
    let mut run = gatekeeper(&[&["snapshot", "compare", &tested, &other], arguments].concat());
    run.stdout = run.stdout.replace(folder.path().to_str().unwrap(), "DIR");
    run
}

#[test]
fn the_same_schema_is_a_yes_whoever_dumped_it() {
    let run = compare(&dump(NEW, &[LEDGER, TOTALS]), &dump(OLD, &[LEDGER, TOTALS]), &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.shown());
    assert!(run.stdout.starts_with("same schema  normal form "), "{}", run.stdout);

    let run = compare(&dump(NEW, &[LEDGER]), &dump(OLD, &[LEDGER]), &["--output", "json"]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&told["same"], &told["difference"]), (&json!(true), &json!(null)));
    assert_eq!(told["tested"]["normal_form_sha256"], told["other"]["normal_form_sha256"]);
}

#[test]
fn another_schema_is_a_no_and_told_so_that_a_person_can_read_it() {
    let live = LEDGER.replace("amount numeric NOT NULL", "amount numeric,\n    note text");
    let run = compare(&dump(NEW, &[LEDGER, TOTALS]), &dump(OLD, &[&live]), &[]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 1
    --- stdout
    different  `DIR/tested.sql` is the tested schema, `DIR/other.sql` the live one
    the schemas differ:
      only in the tested schema: VIEW public.totals
      only in the live schema: COLUMN public.ledger.note
      changed: COLUMN public.ledger.amount
        tested: amount numeric NOT NULL
        live:   amount numeric
    --- stderr
    ");

    let run = compare(&dump(NEW, &[LEDGER]), &dump(NEW, &[LEDGER, TOTALS]), &["--output", "json"]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &told["same"]), (1, &json!(false)));
    assert_eq!(told["difference"]["only_live"], json!(["VIEW public.totals"]));
    assert_ne!(told["tested"]["normal_form_sha256"], told["other"]["normal_form_sha256"]);
}

#[test]
fn owners_and_privileges_count_where_they_are_asked_for() {
    let owned = LEDGER.replace("OWNER TO migrate_user", "OWNER TO postgres");
    let granted = format!("{LEDGER}\n\nGRANT SELECT ON TABLE public.ledger TO auditor;\n");
    for (other, option) in [(owned, "--owners"), (granted, "--privileges")] {
        let (tested, other) = (dump(NEW, &[LEDGER]), dump(NEW, &[&other]));
        assert_eq!(compare(&tested, &other, &[]).code, 0);
        let run = compare(&tested, &other, &[option]);
        assert_eq!(run.code, 1, "{}", run.shown());
    }
}

#[test]
fn what_the_gate_would_refuse_is_not_compared() {
    let run = compare(&dump(NEW, &[LEDGER, ROWS]), "SELECT 1;\n", &[]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("schema-snapshot-holds-data  DIR/tested.sql"), "{}", run.stdout);
    assert!(run.stdout.contains("schema-snapshot-invalid     DIR/other.sql"), "{}", run.stdout);
    let run = compare(&dump(NEW, &[LEDGER, ROWS]), &dump(NEW, &[LEDGER]), &["--output", "json"]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["reasons"][0]["code"], json!("schema-snapshot-holds-data"));
}
