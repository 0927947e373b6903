//! A difference names the objects, and what of each.

use insta::assert_snapshot;

use super::{dump, dump_of, everything, form};
use crate::schema_snapshot::{Difference, difference};

fn between(tested: &str, live: &str) -> Difference {
    difference(&everything(&dump(tested)), &everything(&dump(live))).unwrap()
}

#[test]
fn the_same_schema_has_none() {
    assert_eq!(difference(&form(&dump("CREATE TABLE t (a int);")), &form(&dump("CREATE TABLE t ( a  int );"))), None);
}

#[test]
fn columns_are_named() {
    let tested = "CREATE TABLE public.ledger (\n id bigint NOT NULL,\n note text,\n tags text[] DEFAULT ARRAY[1, 2],\n gone int,\n\
        CONSTRAINT c CHECK ((id > 0))\n) WITH (fillfactor='70');";
    let live = "CREATE TABLE public.ledger (\n note text,\n id bigint NOT NULL,\n tags text[] DEFAULT ARRAY[1, 3],\n hand_made text DEFAULT 'a\n,b',\n\
        CONSTRAINT c CHECK ((id >= 0))\n);";
    assert_snapshot!(between(tested, live), @"
    the schemas differ:
      only in the tested schema: COLUMN public.ledger.gone
      only in the live schema: COLUMN public.ledger.hand_made
      changed: TABLE public.ledger
        tested: CREATE TABLE public.ledger (…) WITH (fillfactor='70')
        live:   CREATE TABLE public.ledger (…)
      changed: COLUMN public.ledger.tags
        tested: tags text[] DEFAULT ARRAY[1, 2]
        live:   tags text[] DEFAULT ARRAY[1, 3]
      changed: CONSTRAINT c ON public.ledger
        tested: CONSTRAINT c CHECK ((id > 0))
        live:   CONSTRAINT c CHECK ((id >= 0))
      changed: TABLE public.ledger
        tested: order of columns: id, note, tags
        live:   order of columns: note, id, tags
    ");
}

#[test]
fn every_kind_of_object_is_named_as_pg_dump_names_it() {
    let body = "CREATE UNIQUE INDEX i ON ONLY public.t USING btree (a);\nCREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION f();\n\
        CREATE POLICY p ON public.t USING (true);\nCREATE RULE r AS ON INSERT TO public.v DO INSTEAD NOTHING;\n\
        CREATE FUNCTION public.f(a integer DEFAULT 1, b numeric(3,2)) RETURNS int LANGUAGE sql AS $$x$$;\n\
        CREATE MATERIALIZED VIEW public.m AS SELECT 1;\nCREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n\
        CREATE CAST (a.b AS integer) WITH FUNCTION f(a.b);\nCREATE OPERATOR a.<~> (FUNCTION = f, LEFTARG = integer);\n\
        CREATE TEXT SEARCH CONFIGURATION a.b (PARSER = c);\nALTER TEXT SEARCH CONFIGURATION a.b ADD MAPPING FOR word WITH x;\n\
        ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (a);\nALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT 1;\n\
        ALTER TABLE public.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME s);\n\
        ALTER TABLE ONLY public.t ATTACH PARTITION public.t1 FOR VALUES IN (1);\nALTER TABLE public.t ENABLE ROW LEVEL SECURITY;\n\
        ALTER INDEX public.i ATTACH PARTITION public.j;\nALTER FUNCTION public.f(integer) OWNER TO x;\n\
        COMMENT ON COLUMN public.t.a IS 'secret';\nGRANT SELECT(a),INSERT ON TABLE public.t TO y;\n\
        ALTER DEFAULT PRIVILEGES FOR ROLE x IN SCHEMA s GRANT SELECT ON TABLES TO y;\nCREATE SCHEMA \"a\nb\";\n\
        CREATE USER MAPPING FOR u SERVER s OPTIONS (x 'y');\nCREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();\n\
        ALTER PUBLICATION p ADD TABLE ONLY public.t;\nCREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;\nCREATE UNLOGGED TABLE u (a int);";
    assert_snapshot!(between(body, "").only_tested.join("\n"), @r#"
    CAST (a.b AS integer)
    COLUMN public.t.a: SET DEFAULT
    COLUMN public.t.id: ADD GENERATED ALWAYS AS
    COMMENT ON COLUMN public.t.a
    CONSTRAINT t_pkey ON public.t
    DEFAULT PRIVILEGES FOR ROLE x IN SCHEMA s ON TABLES
    EVENT TRIGGER e
    EXTENSION hstore
    FUNCTION public.f(a integer DEFAULT 1, b numeric(3, 2))
    INDEX i ON public.t
    INDEX public.i: PARTITION public.j
    MATERIALIZED VIEW public.m
    OPERATOR a.<~> (FUNCTION = f, LEFTARG = integer)
    OWNER OF FUNCTION public.f(integer)
    POLICY p ON public.t
    PRIVILEGES ON TABLE public.t
    PUBLICATION p: ADD TABLE ONLY public.t
    RULE r ON public.v
    SCHEMA "a\nb"
    SUBSCRIPTION s
    "#);
    let difference = between(body, "");
    assert_eq!((difference.only_tested.len(), difference.left_out), (20, 7));
}

#[test]
fn a_change_is_shown_where_it_is() {
    let body = |word: &str| {
        format!(
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n{}{word}\nEND\n$$;",
            "-- a line\n".repeat(40)
        )
    };
    assert_snapshot!(between(&body("RETURN 1;"), &body("RETURN 2;")), @r"
    the schemas differ:
      changed: FUNCTION f()
        tested: …ne\n-- a line\n-- a line\n-- a line\nRETURN 1;\nEND\n$$;
        live:   …ne\n-- a line\n-- a line\n-- a line\nRETURN 2;\nEND\n$$;
    ");
}

#[test]
fn it_fits_a_record() {
    let tables = |kind: &str| -> String {
        let long = "x".repeat(900);
        let table = |number| format!("CREATE TABLE t{number} (a {kind} DEFAULT '{long}{kind}{long}');\n");
        (0..500).map(table).collect::<Vec<_>>().concat()
    };
    let difference = between(&tables("text"), &tables("varchar"));
    assert_eq!((difference.changed.len(), difference.left_out), (20, 480));
    assert!(serde_json::to_vec(&difference).unwrap().len() < 20_000);
    assert!(difference.to_string().ends_with("and 480 more"));
}

#[test]
fn it_survives_a_record_and_tells_unlike_servers() {
    let (tested, live) = (form(&dump_of(15, "CREATE TABLE a (x int);")), form(&dump_of(18, "CREATE TABLE b (x int);")));
    let told = difference(&tested, &live).unwrap();
    assert_snapshot!(told, @"
    the schemas differ:
      only in the tested schema: TABLE a
      only in the live schema: TABLE b
      tested on PostgreSQL 15, live on PostgreSQL 18, which may spell the same differently
    ");
    let json = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Difference>(&json).unwrap(), told);
}

#[test]
fn triggers_rules_policies_and_clustered_indexes_are_named() {
    let of = |body: &str| between(body, "").only_tested.join("\n");
    let body = "ALTER TABLE public.t CLUSTER ON t_pkey;\nALTER TABLE public.t DISABLE TRIGGER audit;\n\
        ALTER TABLE public.t ENABLE ALWAYS RULE \"a b\";\nALTER TABLE ONLY public.t REPLICA IDENTITY USING INDEX i;\n\
        CREATE POLICY p ON public.t USING (true);\nALTER EVENT TRIGGER e DISABLE;\nALTER SEQUENCE public.s OWNED BY public.t.a;\n\
        ALTER INDEX public.i ATTACH PARTITION public.j;\nALTER PUBLICATION p ADD TABLE ONLY public.t (a, b);\n\
        ALTER TRIGGER g ON public.t DEPENDS ON EXTENSION x;\nALTER PUBLICATION p ADD TABLES IN SCHEMA q;\n\
        ALTER INDEX public.i ALTER COLUMN 2 SET STATISTICS 5;\nCREATE STATISTICS public.st ON a, b FROM public.t;";
    assert_snapshot!(of(body), @r#"
    COLUMN public.i.2: SET STATISTICS
    EVENT TRIGGER e: DISABLE
    INDEX public.i: PARTITION public.j
    POLICY p ON public.t
    PUBLICATION p: ADD TABLE ONLY public.t
    PUBLICATION p: ADD TABLES IN SCHEMA q
    RULE "a b" ON public.t: ENABLE ALWAYS
    SEQUENCE public.s: OWNED BY public.t.a
    STATISTICS public.st
    TABLE public.t: CLUSTER ON t_pkey
    TABLE public.t: REPLICA IDENTITY USING INDEX i
    TRIGGER audit ON public.t: DISABLE
    TRIGGER g: ON public.t DEPENDS ON EXTENSION x
    "#);
    let changed = between(
        "ALTER TABLE public.t DISABLE TRIGGER audit;\nALTER TABLE public.t CLUSTER ON i;",
        "ALTER TABLE public.t ENABLE REPLICA TRIGGER audit;\nALTER TABLE public.t CLUSTER ON j;",
    );
    assert_snapshot!(changed, @"
    the schemas differ:
      only in the tested schema: TABLE public.t: CLUSTER ON i
      only in the tested schema: TRIGGER audit ON public.t: DISABLE
      only in the live schema: TABLE public.t: CLUSTER ON j
      only in the live schema: TRIGGER audit ON public.t: ENABLE REPLICA
    ");
}
