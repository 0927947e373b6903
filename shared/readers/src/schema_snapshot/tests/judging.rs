//! Data, secrets and what is no whole dump are refused; everything that a schema-only dump holds is not.

use insta::assert_snapshot;

use super::{dump, said};

/// Words of data, as they begin lines of anything but data.
const WORDS: &str = "\nCOPY public.t (a) FROM stdin;\n1\n\\.\nINSERT INTO t VALUES (1);\nSELECT pg_catalog.setval(1);\n\
                     \\connect x\n\\! x\n--\n-- PostgreSQL database dump complete\n--\n;\n";

#[test]
fn words_of_data_are_none_inside_of_quotes_and_comments() {
    let quoted = WORDS.replace('\'', "''");
    let body = format!(
        "CREATE FUNCTION a() RETURNS text LANGUAGE plpgsql AS $_${WORDS}' $$ \" /* $_$;\n\
         COMMENT ON TABLE a IS '{quoted}';\nCOMMENT ON TABLE \"{WORDS}\" IS NULL;\n\
         CREATE TABLE a (b text DEFAULT E'{}' CHECK (b <> '{quoted}'));\n/* {WORDS} */\n\
         CREATE FUNCTION c() RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); SELECT CASE 1 WHEN 1 THEN 2 END; END;\n\
         CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO t VALUES (1); DELETE FROM t);",
        WORDS.replace('\\', "\\\\").replace('\'', "\\'")
    );
    assert_eq!(said(dump(&body)), "");
}

#[test]
fn rows_positions_statistics_and_large_objects_are_data() {
    let body = "COPY public.t (a) FROM stdin;\nJane\tSecret'\n\\.\n\nINSERT INTO public.t VALUES ('Jane');\n\
        INSERT INTO public.t (a) VALUES ('John');\nSELECT pg_catalog.setval('public.s', 7, true);\n\
        SELECT * FROM pg_catalog.pg_restore_relation_stats('relname', 't');\n\
        SELECT pg_catalog.lo_create('42');\nSELECT pg_catalog.lowrite(0, '\\x4a');\nALTER LARGE OBJECT 42 OWNER TO x;\n\
        REFRESH MATERIALIZED VIEW public.m;\nUPDATE t SET a = 'Jane';\nWITH x AS (DELETE FROM t RETURNING a) SELECT 1;";
    assert_snapshot!(said(dump(body)), @"
    schema-snapshot-holds-data: line 16: `COPY public.t` holds rows: dump with `--schema-only`
    schema-snapshot-holds-data: line 20: `INSERT INTO public.t` holds rows: dump with `--schema-only`
    schema-snapshot-holds-data: line 22: `SELECT pg_catalog.setval` holds a sequence's position: dump with `--schema-only`
    schema-snapshot-holds-data: line 23: `SELECT * FROM pg_catalog.pg_restore_relation_stats` holds statistics, which repeat values of rows: dump with `--schema-only`
    schema-snapshot-holds-data: line 24: `SELECT pg_catalog.lo_create` holds a large object: dump with `--schema-only`
    schema-snapshot-holds-data: line 25: `SELECT pg_catalog.lowrite` holds a large object: dump with `--schema-only`
    schema-snapshot-holds-data: line 26: `ALTER LARGE OBJECT` holds a large object: dump with `--schema-only`
    schema-snapshot-holds-data: line 27: `REFRESH MATERIALIZED VIEW public.m` fills a materialized view, which only dumps with data do: dump with `--schema-only`
    schema-snapshot-holds-data: line 28: `UPDATE t SET a` holds rows: dump with `--schema-only`
    schema-snapshot-holds-data: line 29: `WITH x AS` holds rows: dump with `--schema-only`
    ");
}

#[test]
fn passwords_are_secrets_and_never_repeated() {
    let body = "CREATE USER MAPPING FOR a SERVER s OPTIONS (\"user\" 'u', password 'hunter2');\n\
        CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', aws_secret_key 'hunter2');\n\
        CREATE SUBSCRIPTION a CONNECTION 'host=h password = hunter2' PUBLICATION p;\n\
        CREATE SUBSCRIPTION b CONNECTION 'postgresql://u:hunter2@h/d' PUBLICATION p;\n\
        ALTER ROLE a WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:hunter2';\nCREATE USER c PASSWORD 'md5hunter2';";
    assert_snapshot!(said(dump(body)), @"
    schema-snapshot-holds-secret: line 16: `CREATE USER MAPPING FOR a SERVER s OPTIONS` holds a password or another secret: dump as a role that may not read the options of foreign servers and user mappings
    schema-snapshot-holds-secret: line 17: `CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS` holds a password or another secret: dump as a role that may not read the options of foreign servers and user mappings
    schema-snapshot-holds-secret: line 18: `CREATE SUBSCRIPTION a` holds a password or another secret: dump with `--no-subscriptions`, or use a password file
    schema-snapshot-holds-secret: line 19: `CREATE SUBSCRIPTION b` holds a password or another secret: dump with `--no-subscriptions`, or use a password file
    schema-snapshot-holds-secret: line 20: `ALTER ROLE a WITH LOGIN` holds a password or another secret: roles are not a database's schema
    schema-snapshot-holds-secret: line 21: `CREATE USER c` holds a password or another secret: roles are not a database's schema
    ");
    assert!(!said(dump(body)).contains("hunter2"));
    let fine = "CREATE USER MAPPING FOR a SERVER s OPTIONS (\"user\" 'password', password_required 'false');\n\
        CREATE SUBSCRIPTION a CONNECTION 'host=h passfile=/p user=u' PUBLICATION p;\n\
        CREATE SUBSCRIPTION b CONNECTION 'postgresql://u@h:5432/d' PUBLICATION p;\n\
        CREATE TABLE t (password text DEFAULT 'password=x', secret text);";
    assert_eq!(said(dump(fine)), "");
}

#[test]
fn what_pg_dump_does_not_write_is_refused_without_values() {
    let body = "DO $$ BEGIN END $$;\nCREATE ROLE a;\nCREATE TABLE t AS SELECT 1;\nSET search_path = public;\n\
        CREATE DATABASE x;\nBEGIN;\n4929 1234 Jane;\nJane Secret;\nVACUUM t;\nCREATE TEMP TABLE t (a int);\n\
        SELECT pg_catalog.set_config('search_path', 'public', false);\nGRANT admin TO jane;";
    assert_snapshot!(said(dump(body)), @"
    schema-snapshot-invalid: line 16: `DO` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 17: `CREATE ROLE a` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 18: `CREATE TABLE t AS SELECT` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 19: `SET search_path` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 20: `CREATE DATABASE x` is of the database and not of its schema: dump without `--create`
    schema-snapshot-invalid: line 21: `BEGIN` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 22: a statement is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 24: `VACUUM t` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 25: `CREATE TEMP TABLE t` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 26: `SELECT pg_catalog.set_config` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 27: `GRANT admin TO jane` is nothing that pg_dump writes in a schema-only dump of one database
    ");
}

#[test]
fn commands_of_psql_are_refused() {
    let body = "\\connect other\n\\! rm\n\\copy t from x\n\\restrict k3y\nSELECT 1 \\gexec\n";
    assert_snapshot!(said(dump(body)), @r"
    schema-snapshot-invalid: line 16: `\connect` leaves the database: dump one database, without `--create`
    schema-snapshot-invalid: line 17: a command of psql that pg_dump does not write
    schema-snapshot-invalid: line 19: a `\restrict` or `\unrestrict` that is not the dump's first and last line
    schema-snapshot-invalid: line 20: a backslash inside of a statement: the dump is not whole, or not by pg_dump
    ");
}

#[test]
fn a_dump_must_be_whole() {
    let whole = dump("CREATE TABLE t (a int);");
    assert_eq!(said(&whole), "");
    let cut = |text: &str| whole.split_once(text).unwrap().0.to_owned();
    let said = [
        said(cut("a int")),
        said(cut("--\n-- PostgreSQL database dump complete")),
        said(cut("\\unrestrict")),
        said(format!("{whole}{whole}")),
        said(format!("{whole}COPY t FROM stdin;\n1\n\\.\n")),
        said(format!("{whole}CREATE TABLE u (a int);")),
        said(whole.replace("\\unrestrict k3y", "\\unrestrict other")),
        said(dump("COMMENT ON TABLE t IS 'a;")),
    ];
    assert_snapshot!(said.join("\n"), @r"
    schema-snapshot-invalid: line 16: a statement without its `;`: the dump is not whole, or not by pg_dump
    schema-snapshot-invalid: line 18: the dump's end `-- PostgreSQL database dump complete` is missing: it is not whole
    schema-snapshot-invalid: line 22: the dump's last line `\unrestrict` is missing: it is not whole
    schema-snapshot-invalid: line 25: a comment behind the dump's end: store one dump by itself
    schema-snapshot-invalid: line 28: a `\restrict` or `\unrestrict` that is not the dump's first and last line
    schema-snapshot-invalid: line 33: a statement behind the dump's end: store one dump by itself
    schema-snapshot-holds-data: line 24: `COPY t FROM stdin` holds rows: dump with `--schema-only`
    schema-snapshot-invalid: line 24: a statement behind the dump's end: store one dump by itself
    schema-snapshot-invalid: line 22: a `\restrict` or `\unrestrict` that is not the dump's first and last line
    schema-snapshot-invalid: line 24: the dump's last line `\unrestrict` is missing: it is not whole
    schema-snapshot-invalid: line 16: a quote or comment without an end: the dump is not whole, or not by pg_dump
    ");
}

#[test]
fn lines_may_end_as_on_windows_and_old_dumps_have_no_restriction() {
    let whole = dump("CREATE TABLE t (a int);");
    assert_eq!(said(whole.replace('\n', "\r\n")), "");
    assert_eq!(said(whole.replace("\\restrict k3y\n", "").replace("\\unrestrict k3y\n", "")), "");
}

#[test]
fn other_files_are_named() {
    let mut tar = vec![b' '; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let files: [&[u8]; 10] = [
        b"",
        b" \n",
        b"PGDMP\x01\x0e",
        &tar,
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfd",
        b"--\n-- PostgreSQL database cluster dump\n--\n",
        b"--\n-- PostgreSQL database dump\n--\n\0",
        b"--\n-- PostgreSQL database dump\n--\n\xfc",
        b"name,iban\nJane,NZ00\n",
    ];
    assert_snapshot!(files.map(said).join("\n"), @"
    schema-snapshot-invalid: the snapshot is empty: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is empty: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is a dump in pg_dump's custom format: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is a dump in pg_dump's tar format: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is compressed with gzip: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is compressed with zstd: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is a whole server's, by `pg_dumpall`: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot holds NUL bytes: store what `pg_dump --schema-only` writes as plain SQL
    schema-snapshot-invalid: the snapshot is not UTF-8 from byte 34 on: dump with `--encoding=UTF8`
    schema-snapshot-invalid: the snapshot does not start with pg_dump's header `-- PostgreSQL database dump`: store what `pg_dump --schema-only` writes as plain SQL
    ");
}

#[test]
fn another_encoding_is_refused_unless_it_makes_no_difference() {
    let latin = |body: &str| dump(body).replace("'UTF8'", "'LATIN1'");
    assert_eq!(said(latin("CREATE TABLE t (a int);")), "");
    assert_snapshot!(said(latin("CREATE TABLE \"größe\" (a int);")), @"schema-snapshot-invalid: line 11: the dump's client encoding is not UTF-8: dump with `--encoding=UTF8`");
}

#[test]
fn findings_are_bounded() {
    let row = |number| format!("INSERT INTO t{number} VALUES (1);\n");
    let rows = (0..500).map(row).collect::<Vec<_>>().concat();
    let findings = super::inspect(dump(&rows).as_bytes(), "the-key");
    assert_eq!(findings.len(), 101);
    assert!(findings.iter().all(|finding| finding.subject == "the-key"));
    assert_eq!(findings[100].message, "there are more findings than the 100 told");
}

#[test]
fn larger_than_the_limit_is_not_read() {
    let large = vec![b' '; usize::try_from(crate::schema_snapshot::MAX_BYTES).unwrap()];
    assert!(said([&large[..], b"--"].concat()).contains("larger than 67108864 bytes"));
}

#[test]
fn queries_say_what_they_are() {
    let body = "VALUES ('Jane', 1);\nTABLE public.audit;\n(SELECT 1);\n((VALUES (1)));\nWITH a AS (SELECT 1) SELECT 2;\n\
        SHOW all;\nEXPLAIN SELECT 1;\nNOTIFY a, 'Jane';";
    assert_snapshot!(said(dump(body)), @"
    schema-snapshot-holds-data: line 16: `VALUES` holds rows: dump with `--schema-only`
    schema-snapshot-invalid: line 17: `TABLE public.audit` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 18: `SELECT` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 20: `WITH a AS` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 21: `SHOW all` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 22: `EXPLAIN SELECT` is nothing that pg_dump writes in a schema-only dump of one database
    schema-snapshot-invalid: line 23: `NOTIFY a` is nothing that pg_dump writes in a schema-only dump of one database
    ");
    assert!(!said(dump(body)).contains("Jane"));
}

#[test]
fn what_changes_an_object_behind_its_creation_is_refused() {
    let create = "CREATE TABLE public.t (\n a int DEFAULT 1,\n CONSTRAINT c CHECK ((a > 1))\n);\nCREATE VIEW public.v AS SELECT 1 AS a;\n";
    for statement in [
        "DROP TABLE public.t;",
        "DROP VIEW IF EXISTS public.v;",
        "ALTER TABLE public.t DROP CONSTRAINT c;",
        "ALTER TABLE public.t DROP CONSTRAINT c, ADD COLUMN b int;",
        "ALTER TABLE ONLY public.t ALTER COLUMN a DROP DEFAULT;",
        "ALTER TABLE public.t DROP COLUMN a, OWNER TO x;",
        "ALTER TABLE public.t ADD COLUMN b int;",
        "ALTER VIEW public.v RENAME TO w;",
        "alter table public.t disable row level security;",
        "CREATE OR REPLACE VIEW public.v AS SELECT 2 AS a;",
        "CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS $$SELECT 1$$;",
        "SET standard_conforming_strings = off; DROP TABLE public.t;",
        "SET search_path = public;",
    ] {
        let told = said(dump(&format!("{create}{statement}")));
        assert!(told.starts_with("schema-snapshot-invalid"), "{statement} {told}");
    }
    // `--clean` writes such before anything is created.
    for statement in [
        "DROP TABLE IF EXISTS public.t;",
        "ALTER TABLE ONLY public.t DROP CONSTRAINT c;",
        "ALTER DOMAIN d DROP CONSTRAINT c;",
    ] {
        assert_eq!(said(dump(&format!("{statement}\n{create}"))), "", "{statement}");
    }
}

#[test]
fn what_is_no_name_is_altered_by_nothing() {
    for action in ["ATTACH PARTITION ?p FOR VALUES IN (1)", "ALTER COLUMN ) SET DEFAULT 1", "OWNER TO 'x'"] {
        assert!(
            said(dump(&format!("ALTER TABLE ONLY t {action};"))).contains("nothing that pg_dump writes"),
            "{action}"
        );
    }
    for action in ["ATTACH PARTITION \"?p\" FOR VALUES IN (1)", "ALTER COLUMN é SET DEFAULT 1", "OWNER TO x"] {
        assert_eq!(said(dump(&format!("ALTER TABLE ONLY t {action};"))), "", "{action}");
    }
}

#[test]
fn nothing_takes_back_what_was_said() {
    let create = "CREATE TABLE public.t (a int);\n";
    for (first, second) in [
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT 1;",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT 2;",
        ),
        ("COMMENT ON TABLE public.t IS 'a';", "COMMENT ON TABLE public.t IS 'b';"),
        ("ALTER TABLE public.t CLUSTER ON i;", "ALTER TABLE public.t CLUSTER ON j;"),
        ("ALTER TABLE public.t DISABLE TRIGGER g;", "ALTER TABLE public.t ENABLE ALWAYS TRIGGER g;"),
        ("ALTER TABLE public.t OWNER TO a;", "ALTER TABLE public.t OWNER TO b;"),
        ("GRANT SELECT ON TABLE public.t TO a;", "REVOKE ALL ON TABLE public.t FROM a;"),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b;",
            "ALTER DEFAULT PRIVILEGES FOR ROLE a REVOKE ALL ON TABLES FROM b;",
        ),
        ("ALTER TABLE ONLY public.t REPLICA IDENTITY FULL;", "ALTER TABLE ONLY public.t REPLICA IDENTITY NOTHING;"),
    ] {
        assert_eq!(said(dump(&format!("{create}{first}"))), "");
        let told = said(dump(&format!("{create}{first}\n{second}")));
        assert!(told.contains("takes back what an earlier statement says"), "{second} {told}");
    }
    let fine = "ALTER TABLE public.t DISABLE TRIGGER g;\nALTER TABLE public.t ENABLE ALWAYS TRIGGER h;\n\
        REVOKE ALL ON TABLE public.t FROM a;\nGRANT SELECT ON TABLE public.t TO a;\nGRANT SELECT ON TABLE public.t TO b;\n\
        ALTER OPERATOR CLASS public.c USING btree OWNER TO a;\nALTER OPERATOR FAMILY public.c USING btree OWNER TO b;\n\
        GRANT SELECT(a) ON TABLE public.t TO c;\nREVOKE ALL(b) ON TABLE public.t FROM c;";
    assert_eq!(said(dump(&format!("{create}{fine}"))), "");
}

#[test]
fn what_hides_or_is_read_in_two_ways_is_refused() {
    for statement in [
        "CREATE USER MAPPING FOR a SERVER s OPTIONS (U&\"\\0070assword\" 'x');",
        "COMMENT ON TABLE t IS U&'\\0061';",
        "COMMENT ON TABLE t IS 'a'\n'b';",
        "CREATE TABLE t (a int; INSERT INTO t VALUES (1));",
        "SET standard_conforming_strings = false;",
        "SET statement_timeout = 0, 1;",
        "SET ROLE a, b;",
        "CREATE TABLE t\u{b}(a int);",
    ] {
        assert!(said(dump(statement)).starts_with("schema-snapshot-invalid"), "{statement}");
    }
}
