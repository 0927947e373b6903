//! Real dumps of a hostile schema: none that is schema-only is refused, and none that holds data passes.

use e2e::{databases::Database, instance::Instance};
use gatekeeper::{
    finding::Code,
    schema_snapshot::{Include, difference, inspect, normal_form},
};

/// Bodies, comments and defaults that begin with what a row begins with, and everything else that trips a reader by lines.
const HOSTILE: &str = include_str!("../shared/src/schema_snapshot/fixtures/hostile.sql");

fn codes(dump: &[u8]) -> Vec<Code> {
    let mut codes: Vec<_> = inspect(dump, "snapshot").into_iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

#[tokio::test]
async fn a_schema_only_dump_of_a_hostile_schema_passes_and_equals_another_of_it() {
    let aws = Instance::get().await;
    let dev = Database::scratch(&aws);
    dev.sql(HOSTILE);
    let (one, other) = (dev.dump(), dev.dump_with(&["--no-owner", "--no-privileges", "--no-comments"]));
    assert_eq!(inspect(&one, "snapshot"), []);
    assert_eq!(inspect(&other, "snapshot"), []);
    let normal = |dump: &[u8]| normal_form(dump, Include::default()).unwrap();
    assert_eq!(normal(&one), normal(&dev.dump()), "two runs of pg_dump");
    dev.sql("ALTER TABLE IF EXISTS public.by_hand RENAME TO other; CREATE TABLE public.by_hand (note text)");
    let found = difference(&normal(&one), &normal(&dev.dump())).unwrap();
    assert!(found.to_string().contains("by_hand"), "{found}");
    dev.sql("ALTER SUBSCRIPTION elsewhere SET (slot_name = NONE)");
    dev.sql("DROP SUBSCRIPTION elsewhere");
    dev.drop();
}

#[tokio::test]
async fn a_dump_with_data_never_passes() {
    let aws = Instance::get().await;
    let dev = Database::scratch(&aws);
    dev.sql("CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY, note text)");
    for options in [&[][..], &["--inserts"], &["--column-inserts"], &["--data-only"], &["--section=data"]] {
        // An empty table's dump is data too: it has the positions of sequences, or says that there are no rows.
        assert_ne!(codes(&dev.whole_dump(options)), [], "{options:?}");
    }
    dev.sql("INSERT INTO ledger (note) VALUES ('4711')");
    for options in [&[][..], &["--inserts"], &["--column-inserts"], &["--data-only"], &["--section=data"]] {
        let dump = dev.whole_dump(options);
        assert!(codes(&dump).contains(&Code::SchemaSnapshotHoldsData), "{options:?}");
        let told = format!("{:?}", inspect(&dump, "snapshot"));
        assert!(!told.contains("4711"), "{told}");
    }
    for format in ["--format=custom", "--format=tar"] {
        assert_eq!(codes(&dev.whole_dump(&[format])), [Code::SchemaSnapshotInvalid], "{format}");
    }
    dev.drop();
}
