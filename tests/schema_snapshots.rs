//! Real dumps of a hostile schema: none that is schema-only is refused, and none that holds data passes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{databases::Database, instance::Instance, tell};
use gatekeeper_model::finding::Code;
use gatekeeper_readers::schema_snapshot::{Include, difference, inspect, normal_form};
use tokio::sync::Mutex;

/// Bodies, comments and defaults that begin with what a row begins with, and everything else that trips a reader by lines.
const HOSTILE: &str = include_str!("../shared/readers/src/schema_snapshot/fixtures/hostile.sql");

/// The schema makes roles, which all databases share.
static HOSTILE_SCHEMA: Mutex<()> = Mutex::const_new(());

fn codes(dump: &[u8]) -> Vec<Code> {
    let mut codes: Vec<_> = inspect(dump, "snapshot").into_iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

#[tokio::test]
async fn a_schema_only_dump_of_a_hostile_schema_passes_and_equals_another_of_it() {
    let aws = Instance::get().await;
    let _alone = HOSTILE_SCHEMA.lock().await;
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
    dev.drop_with_subscription();
}

/// Every `pg_dump` that the set-up has brought, by its version: the machine's own and those of `pg_dump_versions.txt`.
fn versions() -> BTreeMap<String, PathBuf> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local");
    let mut programs = vec![local.join("postgresql/pg_dump")];
    if let Ok(others) = std::fs::read_dir(local.join("pg_dump")) {
        programs.extend(others.map(|it| it.unwrap().path().join("bin/pg_dump")).filter(|it| it.exists()));
    }
    let version = |program: &Path| {
        let output = Command::new(program).arg("--version").output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    programs.into_iter().map(|program| (version(&program), program)).collect()
}

#[tokio::test]
async fn every_version_of_pg_dump_gives_the_same_normal_form_and_none_gets_data_through() {
    let aws = Instance::get().await;
    let _alone = HOSTILE_SCHEMA.lock().await;
    let dev = Database::scratch(&aws);
    dev.sql(HOSTILE);
    let versions = versions();
    tell(&format!("pg_dump {}", versions.keys().cloned().collect::<Vec<_>>().join(", ")));
    assert!(versions.len() >= if cfg!(target_arch = "x86_64") { 4 } else { 1 }, "{versions:?}");
    let everything = Include { owners: true, privileges: true };
    let mut forms = BTreeMap::new();
    for (version, program) in &versions {
        let dump = dev.dump_by(program, &["--schema-only"]);
        assert_eq!(inspect(&dump, "snapshot"), [], "{version}");
        forms.insert(version, normal_form(&dump, everything).unwrap().to_text());
        for options in [&[][..], &["--inserts"], &["--column-inserts"], &["--data-only"], &["--rows-per-insert=2"]] {
            let codes = codes(&dev.dump_by(program, options));
            assert!(codes.contains(&Code::SchemaSnapshotHoldsData), "{version} {options:?}: {codes:?}");
        }
    }
    let (_, first) = forms.first_key_value().unwrap();
    for (version, form) in &forms {
        assert!(form == first, "{version} differs from the first");
    }
    dev.drop_with_subscription();
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
