use gatekeeper_model::manifest::sample::{commit, example};
use serde_json::{Value, json};

use super::*;

fn manifest(change: impl FnOnce(&mut Value)) -> Manifest {
    let mut value = example();
    change(&mut value);
    Manifest::parse(value.to_string().as_bytes(), &commit()).unwrap()
}

fn payments() -> DatabaseName {
    "payments".parse().unwrap()
}

fn stored(settings: Option<&str>, histories: &[&str]) -> Stored {
    let settings = settings.map(|text| (payments(), Settings::read(text.as_bytes(), "flyway.toml").unwrap()));
    let histories = histories.iter().map(|it| it.parse().unwrap()).collect();
    Stored { settings: settings.into_iter().collect(), histories: [(payments(), histories)].into() }
}

#[track_caller]
fn told(manifest: &Manifest, stored: &Stored) -> Vec<(Code, String)> {
    check(manifest, stored).into_iter().map(|it| (it.code, it.subject)).collect()
}

const ELSEWHERE: &str = "payments.flyway_schema_history";

#[test]
fn a_history_in_another_schema_is_refused_unless_the_commit_says_so() {
    let plain = manifest(|_| {});
    let elsewhere = [(Code::FlywayHistoryElsewhere, "payments".to_owned())];
    assert_eq!(told(&plain, &stored(None, &["public.flyway_schema_history"])), []);
    assert_eq!(told(&plain, &stored(None, &[])), []);
    assert_eq!(told(&plain, &stored(None, &[ELSEWHERE])), elsewhere);
    assert_eq!(told(&plain, &stored(None, &["public.flyway_schema_history", ELSEWHERE])), elsewhere);
    assert_eq!(told(&plain, &stored(None, &["public.other_table"])), elsewhere);

    let configured = Some("[environments.default]\nschemas = [\"payments\"]");
    assert_eq!(told(&plain, &stored(configured, &[ELSEWHERE])), []);
    assert_eq!(told(&plain, &stored(configured, &[ELSEWHERE, "public.flyway_schema_history"])), elsewhere);
    let named = manifest(|it| it["flyway"]["payments"]["other_histories"] = json!([ELSEWHERE]));
    assert_eq!(told(&named, &stored(None, &["public.flyway_schema_history", ELSEWHERE])), []);
    // Dev's user has a search path of its own, and `flyway validate` has seen it.
    let seen = manifest(|it| it["flyway"]["payments"]["history"] = json!(ELSEWHERE));
    assert_eq!(told(&seen, &stored(None, &[ELSEWHERE])), []);

    let found = check(&plain, &stored(None, &[ELSEWHERE]));
    insta::assert_snapshot!(found[0].message, @"the tested schema holds a schema history in `payments.flyway_schema_history`, and Flyway is configured to keep its own in `flyway_schema_history`: to it, what ran there never ran. Is that history this database's, say so in `flyway.toml` (`defaultSchema`, `table`, or an environment's `schemas`); is it another module's, name it in `other_histories`");
}

#[test]
fn the_history_of_another_database_of_the_commit_is_known() {
    let two = manifest(|it| it["flyway"]["ledger"] = json!({"validated": true}));
    let mut stored = stored(None, &["public.flyway_schema_history", "ledger.history"]);
    assert_eq!(told(&two, &stored).len(), 1);
    let settings = Settings::read(b"[flyway]\ntable = \"history\"\ndefaultSchema = \"ledger\"", "f").unwrap();
    stored.settings.insert("ledger".parse().unwrap(), settings);
    assert_eq!(told(&two, &stored), []);
}

#[test]
fn scripts_configurations_are_those_of_dev() {
    let file =
        |sha: &Sha256| json!([{"database": "payments", "script": "V1__create_ledger.sql", "sha256": sha, "size": 27}]);
    let (one, other) = (Sha256::of(b"one"), Sha256::of(b"other"));
    let with = |listed: Value, used: Value| {
        manifest(|it| {
            it["modules"][0]["script_configurations"] = listed;
            it["flyway"]["payments"]["script_configurations"] = used;
        })
    };
    let stored = stored(None, &[]);
    let used = |sha: &Sha256| json!({"V1__create_ledger.sql": sha});
    let subject = "payments/migrations/V1__create_ledger.sql.conf".to_owned();
    assert_eq!(told(&with(file(&one), used(&one)), &stored), []);
    assert_eq!(told(&with(file(&one), used(&other)), &stored), [(Code::FlywayChecksumMismatch, subject.clone())]);
    assert_eq!(told(&with(file(&one), json!({})), &stored), [(Code::FlywayFileExtra, subject.clone())]);
    assert_eq!(told(&with(file(&one), json!(null)), &stored), [(Code::FlywayFileExtra, subject.clone())]);
    assert_eq!(told(&with(json!([]), used(&one)), &stored), [(Code::FlywayFileMissing, subject.clone())]);
    assert_eq!(told(&with(json!([]), json!(null)), &stored), []);
    let mut orphan = with(file(&one), used(&one));
    orphan.modules[0].migrations.clear();
    assert_eq!(told(&orphan, &stored), [(Code::FlywayFileExtra, subject)]);
}

#[test]
fn a_configuration_that_dev_used_must_be_stored() {
    let with = |modules: Value| {
        manifest(|it| {
            let configuration =
                json!({"sha256": Sha256::of(b"toml"), "size": 9, "modules": modules, "sets": ["table"]});
            it["flyway"]["payments"]["configuration"] = configuration;
        })
    };
    let none = Stored::default();
    assert_eq!(told(&with(json!([])), &none), [(Code::FlywayFileMissing, "payments/flyway.toml".to_owned())]);
    let stored = with(json!(["MOD-012"]));
    assert_eq!(told(&stored, &none), []);
    let claims: Vec<_> = stored.claims().into_iter().map(|it| it.path.to_string()).collect();
    assert!(claims.contains(&"modules/MOD-012/schema/payments/flyway.toml".to_owned()), "{claims:?}");
}
