//! Two dumps of one schema have one normal form. The differences among versions are those that real dumps show.

use insta::assert_snapshot;

use super::{dump, dump_of, everything, form};

/// Whether dumps with these bodies have one normal form, owners and privileges included.
#[track_caller]
fn same(one: &str, other: &str) {
    assert_eq!(everything(&dump(one)), everything(&dump(other)));
    assert_eq!(everything(&dump(one)).sha256(), everything(&dump(other)).sha256());
}

#[track_caller]
fn unlike(one: &str, other: &str) {
    assert_ne!(form(&dump(one)), form(&dump(other)), "{one}\n{other}");
    assert_ne!(form(&dump(one)).sha256(), form(&dump(other)).sha256());
}

#[test]
fn statements_are_sorted_and_laid_out() {
    let body = "CREATE VIEW public.v AS\n SELECT t.a,\n    'x;'::text AS b\n   FROM public.t  WHERE  (a >  1) ;\n\n--\n-- a comment\n--\n\n\
        CREATE TABLE public.t (\n  a numeric(10,2)[] DEFAULT ARRAY[1, 2]  NOT NULL,\n  CONSTRAINT c CHECK ((a <> 'b\n  c'::text))\n)\nPARTITION BY LIST (a);\n\
        ALTER TABLE public.t OWNER TO x;\nGRANT ALL ON TABLE public.t TO y;\nCREATE TABLE public.e ( );";
    assert_snapshot!(form(&dump(body)), @"
    CREATE TABLE public.e ();
    CREATE TABLE public.t (
        a numeric(10, 2)[] DEFAULT ARRAY[1, 2] NOT NULL,
        CONSTRAINT c CHECK ((a <> 'b
      c'::text))
    ) PARTITION BY LIST (a);
    CREATE VIEW public.v AS
    SELECT t.a,
        'x;'::text AS b
    FROM public.t
    WHERE (a > 1);
    ");
    assert_eq!(form(&dump(body)).to_text(), form(&dump(body)).to_string());
}

#[test]
fn runs_versions_and_preludes_make_no_difference() {
    let one = dump("CREATE TABLE t (a int);");
    let other = one
        .replace("k3y", "Zz9")
        .replace("pg_dump version 18.4", "pg_dump version 15.18 (Debian 15.18-0+deb12u1)")
        .replace(
            "SET statement_timeout = 0;",
            "SET transaction_timeout = 0;\nSET row_security = off;\nSET xmloption = content;",
        );
    assert_eq!(form(&one), form(&other));
}

#[test]
fn owners_and_privileges_are_kept_where_they_are_asked_for() {
    for (owner, other) in [
        ("ALTER TABLE t OWNER TO a;", "ALTER TABLE t OWNER TO b;"),
        ("GRANT SELECT ON TABLE t TO a;", "GRANT SELECT ON TABLE t TO b;"),
        ("REVOKE ALL ON TABLE t FROM a;", ""),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b;", ""),
        (
            "SET SESSION AUTHORIZATION a;\nGRANT SELECT ON TABLE t TO c;\nRESET SESSION AUTHORIZATION;",
            "GRANT SELECT ON TABLE t TO c;",
        ),
        (
            "SET SESSION AUTHORIZATION a;\nCREATE TABLE t (x int);",
            "SET SESSION AUTHORIZATION b;\nCREATE TABLE t (x int);",
        ),
    ] {
        assert_eq!(form(&dump(owner)), form(&dump(other)));
        assert_ne!(everything(&dump(owner)), everything(&dump(other)));
    }
}

#[test]
fn pg_dump_15_says_alter_table_for_every_relation_owner() {
    for kind in ["SEQUENCE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"] {
        same("ALTER TABLE public.x OWNER TO \"a b\";", &format!("ALTER {kind} public.x OWNER TO \"a b\";"));
    }
    assert_ne!(everything(&dump("ALTER TYPE x OWNER TO a;")), everything(&dump("ALTER TABLE x OWNER TO a;")));
    unlike("ALTER SEQUENCE s OWNED BY t.a;", "ALTER SEQUENCE s OWNED BY t.b;");
}

#[test]
fn pg_dump_before_18_writes_options_of_foreign_columns_without_only_and_privileges_with_two_spaces() {
    same(
        "ALTER FOREIGN TABLE r ALTER COLUMN a OPTIONS (\n n 'A'\n);",
        "ALTER FOREIGN TABLE ONLY r ALTER COLUMN a OPTIONS (n 'A');",
    );
    let privileges = "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES";
    same(&format!("{privileges}  TO b;"), &format!("{privileges} TO b;"));
}

#[test]
fn not_null_is_said_in_one_way() {
    same("CREATE TABLE t (a int CONSTRAINT t_a_not_null NOT NULL);", "CREATE TABLE t (a int NOT NULL);");
    same(
        "CREATE TABLE t (\"B\" int CONSTRAINT \"old_B_not_null1\" NOT NULL, c int);",
        "CREATE TABLE t (\"B\" int NOT NULL, c int);",
    );
    same("CREATE DOMAIN d AS int CONSTRAINT old_not_null NOT NULL;", "CREATE DOMAIN d AS int NOT NULL;");
    for parts in ["NOT NULL a, b int", "b int, CONSTRAINT t_a_not_null NOT NULL a", "b int, NOT NULL a"] {
        let before = "CREATE TABLE t (b int) INHERITS (p);\nALTER TABLE ONLY t ALTER COLUMN a SET NOT NULL;";
        same(&format!("CREATE TABLE t ({parts}) INHERITS (p);"), before);
    }
    let several = "ALTER TABLE t ALTER COLUMN a SET NOT NULL;\nALTER TABLE t ALTER COLUMN b SET NOT NULL;";
    for (parts, left) in [
        ("NOT NULL a, NOT NULL b", ""),
        ("NOT NULL a, NOT NULL b, c int", "c int"),
        ("c int, NOT NULL a, NOT NULL b", "c int"),
        ("NOT NULL a, c int, NOT NULL b, d int", "c int, d int"),
    ] {
        same(&format!("CREATE TABLE t ({parts});"), &format!("CREATE TABLE t ({left});\n{several}"));
    }
    unlike("CREATE TABLE t (a int NOT NULL);", "CREATE TABLE t (a int);");
    unlike("CREATE TABLE t (a int CONSTRAINT chosen NOT NULL);", "CREATE TABLE t (a int NOT NULL);");
    unlike("CREATE TABLE t (b int, NOT NULL a NO INHERIT);", "CREATE TABLE t (b int, NOT NULL a);");
    unlike("CREATE TABLE t (a int CONSTRAINT a_not_null CHECK ((a > 0)));", "CREATE TABLE t (a int CHECK ((a > 0)));");
}

#[test]
fn a_subscription_says_its_old_defaults_from_16_and_18_on() {
    let subscription =
        |more: &str| format!("CREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p WITH (connect = false{more});");
    let newer = dump_of(15, &subscription(", streaming = off, run_as_owner = true"));
    assert_eq!(form(&newer), form(&dump_of(15, &subscription(""))));
    // From 16 on a server knows both.
    unlike(&subscription(", run_as_owner = true"), &subscription(""));
    unlike(&subscription(", streaming = parallel"), &subscription(", streaming = off"));
}

#[test]
fn servers_before_16_qualify_the_columns_of_a_views_only_source() {
    for (before, after) in [
        (
            "SELECT t.a, t.b::t.c AS x FROM public.t WHERE (t.a > 1) GROUP BY t.a",
            "SELECT a, b::t.c AS x FROM public.t WHERE (a > 1) GROUP BY a",
        ),
        ("SELECT q.a, q.*::text AS r FROM public.t q LIMIT 5", "SELECT a, q.*::text AS r FROM public.t q LIMIT 5"),
        (
            "SELECT t.f(t.a) FROM t WHERE (EXISTS (SELECT 1 FROM u WHERE (u.a = t.a)))",
            "SELECT t.f(a) FROM t WHERE (EXISTS (SELECT 1 FROM u WHERE (u.a = t.a)))",
        ),
        ("SELECT q.a FROM (SELECT t.a FROM t) q", "SELECT a FROM (SELECT t.a FROM t) q"),
        ("SELECT (t.a IS DISTINCT FROM 1) AS x FROM ONLY t", "SELECT (a IS DISTINCT FROM 1) AS x FROM ONLY t"),
        ("SELECT g.n FROM f(1) WITH ORDINALITY g(n, o)", "SELECT n FROM f(1) WITH ORDINALITY g(n, o)"),
    ] {
        for kind in ["VIEW", "MATERIALIZED VIEW"] {
            let create = |query: &str| format!("CREATE {kind} v AS {query};");
            assert_eq!(form(&dump_of(15, &create(before))), form(&dump_of(18, &create(after))), "{before}");
        }
    }
    for joined in [
        "SELECT t.a FROM t, u",
        "SELECT t.a FROM (t JOIN u ON (t.a = u.b))",
        "SELECT t.a FROM t UNION SELECT u.a FROM u",
    ] {
        let create = format!("CREATE VIEW v AS {joined};");
        assert_eq!(form(&dump_of(15, &create)), form(&dump_of(18, &create)));
    }
}

#[test]
fn a_view_written_twice_is_one() {
    let stand_in = "CREATE VIEW v AS\nSELECT\n    NULL::bigint AS id,\n    NULL::text AS note;";
    let full = "CREATE OR REPLACE VIEW v AS\n SELECT id, note FROM t GROUP BY id;";
    same(&format!("{stand_in}\n{full}"), "CREATE VIEW v AS SELECT id, note FROM t GROUP BY id;");
    let dropped = "DROP VIEW v;\nCREATE OR REPLACE VIEW v AS\nSELECT\n    NULL::bigint AS id;";
    same(&format!("{dropped}\n{stand_in}\n{full}"), &format!("{stand_in}\n{full}"));
    unlike(stand_in, "");
}

#[test]
fn names_that_are_keywords_to_some_versions_are_spelt_without_quotes() {
    let body = "CREATE TABLE public.json (json jsonb, \"Json\" json, x text DEFAULT 'json \"json\"');\n\
        CREATE INDEX json_table ON public.json USING btree (json) WHERE (system_user IS NOT NULL);";
    let quoted = body
        .replace("public.json", "public.\"json\"")
        .replace("(json jsonb", "(\"json\" jsonb")
        .replace("btree (json)", "btree (\"json\")")
        .replace("INDEX json_table", "INDEX \"json_table\"")
        .replace("system_user", "\"system_user\"");
    assert_eq!(form(&dump_of(15, body)), form(&dump_of(18, &quoted)));
    let default =
        |server, name: &str| form(&dump_of(server, &format!("CREATE TABLE t (a int DEFAULT nextval({name}));")));
    assert_eq!(default(16, "'public.json'::regclass"), default(17, "'public.\"json\"'::regclass"));
    assert_ne!(default(16, "'public.json'::text"), default(17, "'public.\"json\"'::text"));
    assert_ne!(default(16, "'public.json'::regclass"), default(17, "'public.\"Json\"'::regclass"));
    // To a newer server the word is a keyword, and never a name.
    let view = |server, query: &str| form(&dump_of(server, &format!("CREATE VIEW v AS SELECT {query} FROM public.t;")));
    assert_ne!(view(18, "system_user"), view(18, "\"system_user\""));
    assert_eq!(view(15, "system_user"), view(18, "\"system_user\""));
    assert_ne!(view(15, "system_user"), view(18, "SYSTEM_USER"));
    assert_eq!(view(15, "json_object('{}'::text[])"), view(18, "\"json_object\"('{}'::text[])"));
    assert_ne!(view(18, "JSON_OBJECT('a' : 1)"), view(18, "\"json_object\"('a' : 1)"));
    assert_ne!(view(18, "json(a)"), view(18, "\"json\"(a)"));
    // Others are keywords to all of them, and types of other names are others.
    for (one, other) in [("user", "\"user\""), ("\"char\"", "char"), ("\"Json\"", "\"json\""), ("\"JSON\"", "\"json\"")]
    {
        unlike(&format!("CREATE TABLE t (a {one});"), &format!("CREATE TABLE t (a {other});"));
    }
}

#[test]
fn storage_options_mean_the_same_in_any_order() {
    for create in [
        "CREATE TABLE t (a int) WITH (OPTIONS);",
        "CREATE INDEX i ON public.t USING btree (a) WITH (OPTIONS) WHERE (a > 1);",
        "CREATE VIEW v WITH (OPTIONS) AS SELECT 1 AS a;",
        "CREATE MATERIALIZED VIEW v WITH (OPTIONS) AS SELECT 1 AS a WITH NO DATA;",
        "ALTER TABLE ONLY t ADD CONSTRAINT c PRIMARY KEY (a) WITH (OPTIONS);",
        "ALTER TABLE ONLY t ALTER COLUMN a SET (OPTIONS);",
    ] {
        let with = |options: &str| create.replace("OPTIONS", options);
        same(
            &with("fillfactor='70', toast.autovacuum_enabled='false', b=1"),
            &with("b=1, toast.autovacuum_enabled='false', fillfactor='70'"),
        );
        unlike(&with("fillfactor='70', b='80'"), &with("b='70', fillfactor='80'"));
        unlike(&with("fillfactor='70', b='80'"), &with("fillfactor='70'"));
    }
    // Elsewhere the order of a parenthesis counts.
    unlike("CREATE INDEX i ON t USING btree (a, b);", "CREATE INDEX i ON t USING btree (b, a);");
    unlike("CREATE VIEW v AS SELECT f(1, 2) AS a;", "CREATE VIEW v AS SELECT f(2, 1) AS a;");
    unlike(
        "CREATE PUBLICATION p WITH (publish = 'insert, update');",
        "CREATE PUBLICATION p WITH (publish = 'update, insert');",
    );
}

#[test]
fn a_routines_body_is_the_same_however_it_is_quoted() {
    let function = |body: &str| format!("CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS {body};");
    for (dollars, quotes) in [
        ("$$a;b$$", "'a;b'"),
        ("$_$it's $$ \\ here$_$", "'it''s $$ \\ here'"),
        ("$x$plain$x$", "'plain'"),
        ("$$a\\b'c$$", "E'a\\\\b\\'c'"),
        ("$$$$", "''"),
    ] {
        same(&function(dollars), &function(quotes));
    }
    unlike(&function("$$a$$"), &function("'b'"));
    unlike(&function("$$it''s$$"), &function("'it''s'"));
    unlike(&function("$$a\tb$$"), &function("E'a\\tb'"));
    let symbol = |symbol: &str| format!("CREATE FUNCTION f() RETURNS int LANGUAGE c AS '$libdir/x', {symbol};");
    same(&symbol("'sym'"), &symbol("$$sym$$"));
    unlike(&symbol("'sym'"), &symbol("'sim'"));
    // A default is no body.
    unlike("CREATE FUNCTION f(a text DEFAULT 'x') AS $$b$$;", "CREATE FUNCTION f(a text DEFAULT $$x$$) AS $$b$$;");
}

#[test]
fn queries_are_spelt_in_one_way() {
    let view = |query: &str| format!("CREATE VIEW v AS {query};");
    for (one, other) in [
        (
            "SELECT XMLSERIALIZE(CONTENT (x) AS text) AS s FROM t",
            "SELECT XMLSERIALIZE(CONTENT (x) AS text NO INDENT) AS s FROM t",
        ),
        ("SELECT (- a) AS a FROM t ORDER BY a", "SELECT (- a) AS a FROM public.t ORDER BY t.a"),
        (
            "SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES",
            "SELECT a FROM t ORDER BY a FETCH FIRST (3) ROWS WITH TIES",
        ),
        ("SELECT a FROM t FETCH FIRST (1 + 1) ROWS WITH TIES", "SELECT a FROM t FETCH FIRST ((1 + 1)) ROWS WITH TIES"),
        ("SELECT a FROM XMLTABLE('r') ORDER BY a", "SELECT \"xmltable\".a FROM XMLTABLE('r') ORDER BY \"xmltable\".a"),
        ("SELECT arr[1:a] AS s FROM t", "SELECT arr[1:t.a] AS s FROM t"),
    ] {
        let of = |query: &str| view(&query.replace("FROM t", "FROM public.t"));
        assert_eq!(everything(&dump_of(18, &of(one))), everything(&dump_of(15, &of(other))), "{one}");
    }
    for (one, other) in [
        (
            "SELECT XMLSERIALIZE(CONTENT x AS text INDENT) AS s FROM t",
            "SELECT XMLSERIALIZE(CONTENT x AS text) AS s FROM t",
        ),
        (
            "SELECT a FROM t FETCH FIRST ((1) + (2)) ROWS WITH TIES",
            "SELECT a FROM t FETCH FIRST (1) + (3) ROWS WITH TIES",
        ),
        ("SELECT u.a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a"),
        ("SELECT t.a FROM t, u", "SELECT a FROM t, u"),
        ("SELECT (t.a).b FROM t, u", "SELECT (a).b FROM t, u"),
        ("SELECT a::t.c AS a FROM public.t", "SELECT a::c AS a FROM public.t"),
    ] {
        unlike(&view(one), &view(other));
    }
}

#[test]
fn what_clean_drops_is_no_schema() {
    same(
        "ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS c;\nALTER TABLE t ALTER COLUMN a DROP DEFAULT;\n\
         DROP TABLE t;\nCREATE SCHEMA public;\nALTER SCHEMA public OWNER TO pg_database_owner;\n\
         COMMENT ON SCHEMA public IS 'standard public schema';",
        "",
    );
    unlike("ALTER TABLE ONLY public.drop ADD CONSTRAINT c UNIQUE (a);", "");
    unlike("COMMENT ON SCHEMA public IS 'ours';", "");
}

#[test]
fn settings_are_said_by_the_statements_that_they_hold_for() {
    let body = "SET default_tablespace = fast;\nSET default_table_access_method = columnar;\nCREATE TABLE a (x int);\n\
        CREATE INDEX i ON a USING btree (x);\nALTER TABLE ONLY a ADD CONSTRAINT a_pkey PRIMARY KEY (x);\n\
        ALTER TABLE a ADD CONSTRAINT c CHECK ((x > 0)) NOT VALID;\nCREATE TABLE p (x int) PARTITION BY LIST (x);\n\
        CREATE VIEW v AS SELECT 1 AS a;\n\
        SET default_tablespace = '';\nSET default_table_access_method = heap;\nCREATE TABLE b (x int);";
    assert_snapshot!(form(&dump(body)), @"
    ALTER TABLE a ADD CONSTRAINT a_pkey PRIMARY KEY (x) TABLESPACE fast;
    ALTER TABLE a ADD CONSTRAINT c CHECK ((x > 0)) NOT VALID;
    CREATE INDEX i ON a USING btree (x) TABLESPACE fast;
    CREATE TABLE a (
        x int
    ) TABLESPACE fast USING columnar;
    CREATE TABLE b (
        x int
    );
    CREATE TABLE p (
        x int
    ) PARTITION BY LIST (x) TABLESPACE fast;
    CREATE VIEW v AS
    SELECT 1 AS a;
    ");
}

#[test]
fn strings_mean_the_same_whether_standard_or_not() {
    let off = dump(r"COMMENT ON TABLE a IS 'a\\b';")
        .replace("standard_conforming_strings = on", "standard_conforming_strings = off");
    assert_eq!(form(&off), form(&dump(r"COMMENT ON TABLE a IS 'a\b';")));
    let escape = dump(r"COMMENT ON TABLE a IS 'a\'b';")
        .replace("standard_conforming_strings = on", "standard_conforming_strings = off");
    assert_eq!(form(&escape), form(&dump(r"COMMENT ON TABLE a IS E'a\'b';")));
}

#[test]
fn literals_bodies_and_the_order_of_columns_and_labels_count() {
    unlike("COMMENT ON TABLE t IS 'a  b';", "COMMENT ON TABLE t IS 'a b';");
    unlike("COMMENT ON TABLE t IS 'a\nb';", "COMMENT ON TABLE t IS 'a\r\nb';");
    unlike("CREATE FUNCTION f() AS $$a b$$;", "CREATE FUNCTION f() AS $$a  b$$;");
    unlike("CREATE FUNCTION f() AS $$a--b\n$$;", "CREATE FUNCTION f() AS $$a\n$$;");
    unlike("CREATE TABLE t (a int, b int);", "CREATE TABLE t (b int, a int);");
    unlike("CREATE TYPE e AS ENUM ('a', 'b');", "CREATE TYPE e AS ENUM ('b', 'a');");
    unlike("CREATE TABLE \"t\" (a int);", "CREATE TABLE \"T\" (a int);");
    unlike("CREATE TABLE t (a int);\nCREATE TABLE t (a int);", "CREATE TABLE t (a int);");
    unlike("ALTER TABLE t ADD CONSTRAINT c CHECK (a < -1);", "ALTER TABLE t ADD CONSTRAINT c CHECK (a <- 1);");
}

#[test]
fn a_dump_that_is_refused_has_no_normal_form() {
    let findings =
        super::normal_form(dump("INSERT INTO t VALUES (1);").as_bytes(), super::Include::default()).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].subject, "schema snapshot");
}

#[test]
fn the_server_is_told() {
    assert_eq!(form(&dump_of(17, "")).server(), Some(17));
    assert_eq!(form(&dump("").replace("Dumped from", "From")).server(), None);
}
