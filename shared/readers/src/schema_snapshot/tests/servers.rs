//! Dumps of one schema by real servers and real `pg_dump`s of every version (`tests/oracles/make_schema_dumps.py`), and
//! pairs that were told apart though they are one schema.

use insta::assert_snapshot;

use super::{everything, form, said};
use crate::schema_snapshot::{Comparison, Include, compare, difference, normal_form};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name))
    };
}

const NOT_NULL: [(u16, &str); 4] = [
    (15, fixture!("servers/not_null.s15.d15.dump")),
    (16, fixture!("servers/not_null.s16.d18.dump")),
    (17, fixture!("servers/not_null.s17.d17.dump")),
    (18, fixture!("servers/not_null.s18.d18.dump")),
];

/// Compares two dumps with owners and privileges.
fn between(tested: &str, live: &str) -> Comparison {
    compare(&everything(tested), &everything(live), &[])
}

#[track_caller]
fn same(tested: &str, live: &str) {
    let (tested, live) = (everything(tested), everything(live));
    if let Some(difference) = difference(&tested, &live) {
        panic!("{difference}");
    }
    assert_eq!(tested.sha256(), live.sha256());
}

#[test]
fn views_and_names_are_the_same_of_every_server() {
    let last = fixture!("servers/versions.s18.d18.dump");
    assert_eq!(said(last), "");
    for dump in [
        fixture!("servers/versions.s15.d15.dump"),
        fixture!("servers/versions.s16.d16.dump"),
        fixture!("servers/versions.s17.d17.dump"),
        fixture!("servers/versions.s15.d18.dump"),
    ] {
        same(dump, last);
    }
    same(fixture!("servers/xml.s15.d15.dump"), fixture!("servers/xml.s17.d17.dump"));
}

#[test]
fn options_of_pg_dump_make_no_difference() {
    let plain = fixture!("servers/versions.s18.d18.dump");
    same(fixture!("servers/versions.s18.without-dollars.dump"), plain);
    same(fixture!("servers/versions.s18.clean.dump"), plain);
}

#[test]
fn names_of_not_null_are_a_note_where_one_server_cannot_hold_them() {
    let (_, last) = NOT_NULL[3];
    for (server, dump) in &NOT_NULL[..3] {
        for (tested, live) in [(*dump, last), (last, *dump)] {
            let compared = between(tested, live);
            assert_eq!(compared.difference, None, "{server}");
            let limits = compared.limits.unwrap();
            assert_eq!(limits.tested_server.min(limits.live_server), *server);
        }
    }
    assert_snapshot!(between(NOT_NULL[2].1, last).limits.unwrap(), @r#"
    tested on PostgreSQL 17, live on PostgreSQL 18: PostgreSQL 17 can't hold what PostgreSQL 18 says, so it was not compared:
      COLUMN public.al.b: the name `bb` of NOT NULL
      COLUMN public.attach1.b: NOT NULL of its own beside the inherited one
      COLUMN public.c3.a: NOT NULL of its own beside the inherited one
      COLUMN public.c5.b: NOT NULL of its own beside the inherited one
      COLUMN public.c6.a: NOT NULL of its own beside the inherited one
      COLUMN public.c6.a: the name `c6named` of NOT NULL
      COLUMN public.lk.a: the name `must_have` of NOT NULL
      COLUMN public.lk.c: the name `"Odd"` of NOT NULL
      COLUMN public.lk2.a: the name `must_have` of NOT NULL
      COLUMN public.lk2.c: the name `"Odd"` of NOT NULL
      COLUMN public.n1.a: the name `must_have` of NOT NULL
      COLUMN public.n1.c: the name `"Odd"` of NOT NULL
      COLUMN public.pkn.id: the name `idnn` of NOT NULL
      COLUMN public.pt.b: the name `bnn` of NOT NULL
      COLUMN public.pt1.b: the name `bnn` of NOT NULL
      COLUMN public.pt3.b: the name `bnn` of NOT NULL
      COLUMN public.pt31.b: the name `bnn` of NOT NULL
    "#);
    assert_snapshot!(between(NOT_NULL[0].1, NOT_NULL[2].1).limits.unwrap(), @"
    tested on PostgreSQL 15, live on PostgreSQL 17: PostgreSQL 15 can't hold what PostgreSQL 17 says, so it was not compared:
      DOMAIN public.d1: the name `dnn` of NOT NULL
      DOMAIN public.d3: the name `dn3` of NOT NULL
    ");
    same(NOT_NULL[0].1, NOT_NULL[1].1);
}

/// What an older server can't hold excuses nothing else.
#[test]
fn whatever_else_differs_is_told_beside_the_note() {
    let (tested, last) = (NOT_NULL[2].1, NOT_NULL[3].1);
    for (from, to) in [
        ("    a integer CONSTRAINT must_have NOT NULL,", "    a integer,"),
        ("CREATE TABLE public.p (\n    a integer NOT NULL\n)", "CREATE TABLE public.p (\n    a integer\n)"),
        ("CREATE TABLE public.c2 (\n    x integer\n)", "CREATE TABLE public.c2 (\n    x integer NOT NULL\n)"),
        ("    NOT NULL b,\n", ""),
        ("INHERITS (public.c3)", "INHERITS (public.c2)"),
        ("CONSTRAINT \"Odd\" NOT NULL", "CONSTRAINT \"Odd\" CHECK ((c > 0))"),
        ("    a integer CONSTRAINT must_have NOT NULL,", "    a integer CONSTRAINT must_have NOT NULL NO INHERIT,"),
        ("CONSTRAINT dnn NOT NULL", "CONSTRAINT dnn CHECK ((VALUE IS NOT NULL))"),
        ("b integer DEFAULT 1 CONSTRAINT bb NOT NULL", "b integer DEFAULT 1"),
    ] {
        assert!(last.contains(from), "{from}");
        let live = last.replacen(from, to, 1);
        let compared = between(tested, &live);
        assert!(compared.difference.is_some(), "{from} → {to}");
        assert_eq!(between(last, last).difference, None);
        assert!(between(last, &live).limits.is_none(), "of one server's version nothing is excused");
    }
    // The same of one server is a difference.
    let renamed = last.replace("must_have", "may_have");
    assert!(between(last, &renamed).difference.is_some());
}

#[test]
fn pairs_that_were_told_apart_are_the_same() {
    let pair = |tested: &str, live: &str| {
        let compared = compare(&form(tested), &form(live), &[]);
        assert_eq!(compared.difference, None);
        compared.limits.map(|limits| limits.to_string())
    };
    let [older, newer, newest] = [
        fixture!("pairs/one-database.pg_dump16.sql"),
        fixture!("pairs/one-database.pg_dump17.sql"),
        fixture!("pairs/one-database.pg_dump18.sql"),
    ];
    assert_eq!((pair(older, newer), pair(newer, newest), pair(older, newest)), (None, None, None));
    assert_eq!(pair(fixture!("pairs/rowsfrom.s15.d18.sql"), fixture!("pairs/rowsfrom.s18.d18.sql")), None);
    assert_eq!(pair(fixture!("pairs/view-xml.s16.d18.sql"), fixture!("pairs/view-xml.s18.d18.sql")), None);
    let named = pair(fixture!("pairs/nn-named.s17.d18.sql"), fixture!("pairs/nn-named.s18.d18.sql"));
    assert_snapshot!(named.unwrap(), @"
    tested on PostgreSQL 17, live on PostgreSQL 18: PostgreSQL 17 can't hold what PostgreSQL 18 says, so it was not compared:
      COLUMN public.t.a: the name `must_have` of NOT NULL
    ");
    let inherited =
        pair(fixture!("pairs/nn-inherit-later.s17.d18.sql"), fixture!("pairs/nn-inherit-later.s18.d18.sql"));
    assert_snapshot!(inherited.unwrap(), @"
    tested on PostgreSQL 17, live on PostgreSQL 18: PostgreSQL 17 can't hold what PostgreSQL 18 says, so it was not compared:
      COLUMN public.c.a: NOT NULL of its own beside the inherited one
    ");
}

#[test]
fn statements_behind_a_comment_that_a_carriage_return_ends_are_read() {
    let dump = fixture!("cr_ends_comment.sql");
    assert_snapshot!(said(dump), @"
    schema-snapshot-holds-data: line 231: `INSERT INTO public.audit` holds rows: dump with `--schema-only`
    schema-snapshot-invalid: line 231: `ALTER TABLE public.audit ADD COLUMN hidden int` is nothing that pg_dump writes in a schema-only dump of one database
    ");
    assert!(normal_form(dump.as_bytes(), Include::default()).is_err());
}

/// Lines of a real dump that are lost are a difference or a refusal; all of them would take a minute.
#[test]
fn no_change_of_a_real_dump_is_lost() {
    let whole = fixture!("servers/versions.s18.d18.dump");
    let form = everything(whole);
    let mut offset = 0;
    let mut lost = Vec::new();
    for (number, line) in whole.split_inclusive('\n').enumerate() {
        let range = offset..offset + line.len();
        offset = range.end;
        let text = line.trim();
        if number % 17 > 0
            || text.is_empty()
            || text.starts_with("--")
            || text.starts_with("SET ")
            || text.starts_with('\\')
        {
            continue;
        }
        let without = format!("{}{}", &whole[..range.start], &whole[range.end..]);
        let include = Include { owners: true, privileges: true };
        if normal_form(without.as_bytes(), include).is_ok_and(|other| other == form) {
            lost.push(text);
        }
    }
    assert_eq!(lost, Vec::<&str>::new());
}

mod partitions {
    use super::*;

    const DEV: &str = fixture!("servers/partitions.dev.dump");
    const UAT: &str = fixture!("servers/partitions.uat.dump");
    const ODD: &str = fixture!("servers/partitions.odd.dump");

    fn folded(tested: &str, live: &str, tables: &[&str]) -> Comparison {
        let tables: Vec<_> = tables.iter().map(|table| table.parse().unwrap()).collect();
        compare(&everything(tested), &everything(live), &tables)
    }

    #[test]
    fn partitions_made_at_run_time_are_no_difference_where_they_are_named() {
        assert!(folded(DEV, UAT, &[]).difference.is_some());
        assert!(folded(DEV, UAT, &["public.events"]).difference.is_some(), "those of `audit` are not named");
        let compared = folded(DEV, UAT, &["public.events", "public.audit"]);
        assert_eq!(compared.difference.map(|it| it.to_string()), None);
        assert_eq!(compared.tested_sha256, compared.live_sha256);
        assert!(folded(DEV, DEV, &["public.other"]).difference.is_none());
    }

    #[test]
    fn a_partition_unlike_its_siblings_is_told_by_name() {
        let both = ["public.events", "public.audit"];
        let told = folded(DEV, ODD, &both).difference.unwrap();
        let [changed] = told.changed.as_slice() else { panic!("{told}") };
        assert_eq!(changed.object, "PARTITION OF public.events (public.events_p2026_11)");
        assert!(changed.live.contains("by_hand") && !changed.tested.contains("by_hand"), "{told}");
        let [changed] = &folded(ODD, DEV, &both).difference.unwrap().changed[..] else { panic!() };
        assert!(changed.tested.contains("by_hand") && !changed.live.contains("by_hand"), "{changed:?}");
        assert_eq!(changed.object, "PARTITION OF public.events (public.events_p2026_11)");
        // None at all on one side is told too.
        let none = DEV.replace("ALTER TABLE ONLY public.events ATTACH PARTITION", "-- ");
        assert!(folded(&none, DEV, &both).difference.is_some());
        for (from, to) in [
            // Of one partition: a column's type, an index, its attachment, a default, a comment, its trigger's state.
            ("CREATE INDEX events_p2026_11_note_idx ON public.events_p2026_11 USING btree (note);\n", ""),
            ("ALTER INDEX public.events_created_idx ATTACH PARTITION public.events_p2026_12_created_idx;\n", ""),
            ("COMMENT ON TABLE public.events_p2026_12 IS 'made at run time';\n", ""),
            ("CREATE TABLE public.audit_r12_a (\n    id integer", "CREATE TABLE public.audit_r12_a (\n    id bigint"),
            ("CREATE TABLE public.events_p2026_09 (\n", "CREATE UNLOGGED TABLE public.events_p2026_09 (\n"),
            // Of the parent.
            ("CREATE TABLE public.events (\n", "CREATE TABLE public.events (\n    more integer,\n"),
            ("PARTITION BY RANGE (created)", "PARTITION BY LIST (created)"),
            (
                "CREATE TRIGGER touch BEFORE INSERT ON public.events ",
                "CREATE TRIGGER touch AFTER INSERT ON public.events ",
            ),
        ] {
            assert!(UAT.contains(from), "{from}");
            let live = UAT.replacen(from, to, 1);
            assert!(folded(DEV, &live, &both).difference.is_some(), "{from}");
        }
    }

    #[test]
    fn what_all_partitions_changed_is_told() {
        let both = ["public.events", "public.audit"];
        let live = UAT.replace("_note_idx ON", "_note_idx2 ON");
        assert!(folded(DEV, &live, &both).difference.is_some());
        let live = UAT.replace("USING btree (note)", "USING hash (note)");
        let told = folded(DEV, &live, &both).difference.unwrap().to_string();
        assert!(told.contains("changed: PARTITION OF public.events (public.events_"), "{told}");
    }
}
