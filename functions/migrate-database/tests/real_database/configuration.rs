//! Where the history lies and what runs, by the commit's `flyway.toml`: the real Flyway, configured by the very file as CI's
//! `flyway migrate` is, prepares the stages; then promotions with and without the file.

use std::process::Command;

use gatekeeper_model::finding::Code;
use gatekeeper_promotion::step::ReportStatus;
use serde_json::json;

use crate::stage::{Files, Stage, With, folder_of};

const LEDGER: (&str, &str) =
    ("V1__ledger.sql", "CREATE TABLE IF NOT EXISTS payments.ledger (id bigint PRIMARY KEY, note text);\n");
const RATES: (&str, &str) = (
    "V2__rates.sql",
    "DROP TABLE IF EXISTS payments.rates;\nCREATE TABLE payments.rates (currency char(3) PRIMARY KEY, rate numeric NOT NULL);\n",
);
const FEES: (&str, &str) = ("V3__fees.sql", "CREATE TABLE payments.fees (id bigint PRIMARY KEY);\n");
const OTHER_SCHEMA: &str = "[flyway]\n[environments.default]\nschemas = [\"payments\"]\n";

impl Stage {
    /// Runs `flyway migrate` as CI's step 8 does: configured by a file, or by arguments.
    fn step_8(&self, configuration: Option<&str>, arguments: &[&str], files: Files<'_>) -> String {
        let folder = folder_of(files);
        let mut command = Command::new("flyway");
        if let Some(text) = configuration {
            let file = folder.path().join("flyway.toml");
            std::fs::write(&file, text).unwrap();
            command.arg(format!("-configFiles={}", file.display()));
        }
        let output = command
            .arg(format!("-locations=filesystem:{}", folder.path().display()))
            .args(arguments)
            .args(["-skipCheckForUpdate", "migrate"])
            .env("PATH", self.server.tools().path)
            .env("FLYWAY_URL", self.server.jdbc(&self.database))
            .env("FLYWAY_USER", self.server.user())
            .env("FLYWAY_PASSWORD", &self.server.password)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        said
    }
}

async fn promotion(stage: &Stage, files: Files<'_>, with: With<'_>) -> crate::stage::Promotion {
    stage.promotion(files, &stage.untested().await, With { parity: "reported", ..with })
}

#[tokio::test]
async fn rows_survive_where_the_history_lies_in_another_schema() {
    let stage = Stage::new("elsewhere");
    stage.step_8(None, &["-schemas=payments"], &[LEDGER, RATES]);
    stage.sql("INSERT INTO payments.rates SELECT lpad(i::text, 3, '0'), i FROM generate_series(1, 500) i");
    let files = [LEDGER, RATES, FEES];

    // Without the configuration: the look refuses, and so does the step, should somebody migrate behind its back.
    let blind = promotion(&stage, &files, With::default()).await;
    let look = blind.check().await;
    let codes: Vec<_> = look.reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::FlywayHistoryElsewhere], "{look:#?}");
    assert!(look.reasons[0].message.contains("`payments.flyway_schema_history`"), "{look:#?}");
    let report = blind.go().await;
    assert_eq!(report.status, ReportStatus::Failed, "{report:#?}");
    assert!(report.detail.contains("nothing was migrated"), "{report:#?}");
    let drift = blind.parity().await;
    let codes: Vec<_> = drift.histories.iter().map(|it| (it.code, it.subject.as_str())).collect();
    assert_eq!(codes, [(Code::FlywayHistoryElsewhere, "payments")]);
    assert_eq!(stage.sql("SELECT count(*) FROM payments.rates"), "500");

    // With it one migration is pending, and it alone runs.
    let seeing = promotion(&stage, &files, With { configuration: Some(OTHER_SCHEMA), ..With::default() }).await;
    let look = seeing.check().await;
    assert_eq!(look.reasons, []);
    let pending: Vec<_> = look.pending.values().flatten().map(ToString::to_string).collect();
    assert_eq!(pending, [FEES.0]);
    let report = seeing.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(json!(report.facts)["history_table"], "payments.flyway_schema_history");
    assert_eq!(json!(report.facts)["flyway"]["migrations_executed"], 1);
    let digest = gatekeeper_model::ids::Sha256::of(OTHER_SCHEMA.as_bytes());
    assert_eq!(json!(report.facts)["configuration_sha256"], json!(digest));
    // Three migrations, and the schema that Flyway created.
    assert_eq!(json!(report.facts)["history"].as_array().unwrap().len(), 4);
    assert_eq!(stage.sql("SELECT count(*) FROM payments.rates"), "500");
    assert_eq!(stage.sql("SELECT count(*) FROM payments.fees"), "0");
    assert_eq!(seeing.parity().await.histories, []);
    // What ran is what the real Flyway of CI would have run: nothing is left for it.
    assert!(stage.step_8(Some(OTHER_SCHEMA), &[], &files).contains("No migration necessary"));
    assert_eq!(stage.sql("SELECT count(*) FROM payments.rates"), "500");

    // An edited file is one, in whatever schema its row lies.
    let edited = [(LEDGER.0, "CREATE TABLE payments.ledger (id bigint);\n"), RATES, FEES];
    let look =
        promotion(&stage, &edited, With { configuration: Some(OTHER_SCHEMA), ..With::default() }).await.check().await;
    assert!(look.reasons.iter().any(|it| it.subject == "payments/payments.flyway_schema_history/1"), "{look:#?}");
}

#[tokio::test]
async fn a_history_in_another_table_is_one_too() {
    let stage = Stage::new("table");
    stage.sql("CREATE SCHEMA payments");
    let configuration = "[flyway]\ntable = \"runs of Payments\"\n";
    stage.step_8(Some(configuration), &[], &[LEDGER, RATES]);
    let files = [LEDGER, RATES, FEES];
    let look = promotion(&stage, &files, With::default()).await.check().await;
    let codes: Vec<_> = look.reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::FlywayHistoryElsewhere, Code::FlywayHistoryMissing], "{look:#?}");
    let seeing = promotion(&stage, &files, With { configuration: Some(configuration), ..With::default() }).await;
    assert_eq!(seeing.check().await.pending.values().flatten().count(), 1);
    assert_eq!(seeing.go().await.status, ReportStatus::Applied);
    assert_eq!(stage.sql("SELECT count(*) FROM \"runs of Payments\""), "3");
}

#[tokio::test]
async fn histories_that_the_stage_names_are_another_modules() {
    let stage = Stage::new("shared");
    stage.step_8(None, &["-schemas=payments"], &[LEDGER]);
    let own = ("V1__own.sql", "CREATE TABLE own (id int);\n");
    let look = promotion(&stage, &[own], With::default()).await.check().await;
    assert_eq!(look.reasons.len(), 1, "{look:#?}");
    let with = With { other_histories: json!(["payments.flyway_schema_history"]), ..With::default() };
    let named = promotion(&stage, &[own], with).await;
    assert_eq!(named.check().await.reasons, []);
    assert_eq!(named.go().await.status, ReportStatus::Applied);
    assert_eq!(named.parity().await.histories, []);

    // A copy is known by its columns, whatever it is called and whatever else it has.
    stage.sql("CREATE TABLE backup AS SELECT *, 1 AS more FROM flyway_schema_history");
    stage.sql("CREATE VIEW seen AS SELECT * FROM flyway_schema_history");
    let with = With { other_histories: json!(["payments.flyway_schema_history"]), ..With::default() };
    let look = promotion(&stage, &[own], with).await.check().await;
    assert_eq!(look.reasons.len(), 1, "{look:#?}");
    assert!(look.reasons[0].message.contains("`public.backup`"), "{look:#?}");
}

#[tokio::test]
async fn a_schema_that_is_not_empty_and_has_no_history_needs_a_baseline() {
    // Whether Flyway sees a schema as empty, it says itself.
    for (index, object) in [
        "CREATE TABLE t (id int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SEQUENCE s",
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE DOMAIN d AS int",
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "CREATE MATERIALIZED VIEW m AS SELECT 1",
        "CREATE TYPE c AS (a int)",
        "SELECT 1",
    ]
    .into_iter()
    .enumerate()
    {
        let stage = Stage::new(&format!("filled{index}"));
        stage.sql(object);
        let own = ("V1__own.sql", "CREATE TABLE own (id int);\n");
        let promotion = promotion(&stage, &[own], With::default()).await;
        let look = promotion.check().await;
        let refused = look.reasons.iter().any(|it| it.code == Code::FlywayHistoryMissing);
        let folder = folder_of(&[own]);
        let migrations = gatekeeper_database::Migrations {
            folder: folder.path().to_owned(),
            settings: gatekeeper_readers::flyway::settings::Settings::default(),
        };
        let flyway = stage.server.database(&stage.database, "test").migrate(&migrations).await;
        assert_eq!(refused, flyway.is_err(), "{object}: {look:#?} {flyway:#?}");
    }
}

#[tokio::test]
async fn a_configured_baseline_is_taken_and_what_it_stands_for_does_not_run() {
    let stage = Stage::new("baseline");
    stage.sql("CREATE SCHEMA payments; CREATE TABLE payments.ledger (id bigint PRIMARY KEY, note text);");
    stage.sql(
        "INSERT INTO payments.ledger VALUES (1, 'kept'); CREATE TABLE payments.rates (currency char(3), rate int)",
    );
    let configuration = "[flyway]\ndefaultSchema = \"payments\"\nbaselineOnMigrate = true\nbaselineVersion = \"2\"\n\
                         baselineDescription = \"what was there\"\n";
    let files = [LEDGER, RATES, FEES];
    let promotion = promotion(&stage, &files, With { configuration: Some(configuration), ..With::default() }).await;
    let look = promotion.check().await;
    assert_eq!(look.reasons, []);
    let pending: Vec<_> = look.pending.values().flatten().map(ToString::to_string).collect();
    assert_eq!(pending, [FEES.0]);
    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    let rows = "SELECT type, version, description FROM payments.flyway_schema_history ORDER BY installed_rank";
    assert_eq!(stage.sql(rows), "BASELINE|2|what was there\nSQL|3|fees");
    assert_eq!(stage.sql("SELECT note FROM payments.ledger"), "kept");
    assert_eq!(promotion.check().await.reasons, []);
    assert_eq!(promotion.go().await.status, ReportStatus::Unchanged);
}

#[tokio::test]
async fn out_of_order_runs_what_comes_late_where_it_is_configured() {
    let stage = Stage::new("late");
    stage.sql("CREATE SCHEMA payments");
    stage.step_8(None, &[], &[LEDGER, FEES]);
    let files = [LEDGER, RATES, FEES];
    let look = promotion(&stage, &files, With::default()).await.check().await;
    assert!(look.reasons.iter().any(|it| it.code == Code::FlywayHistoryMismatch), "{look:#?}");
    let with = With { configuration: Some("[flyway]\noutOfOrder = true\n"), ..With::default() };
    let late = promotion(&stage, &files, with.clone()).await;
    let look = late.check().await;
    assert_eq!(look.reasons, []);
    assert_eq!(look.pending.values().flatten().count(), 1);
    assert_eq!(late.go().await.status, ReportStatus::Applied);
    assert_eq!(late.check().await.reasons, []);
    // Without it, the row that ran late is one that should not be there.
    assert!(!promotion(&stage, &files, With::default()).await.check().await.reasons.is_empty());
}

#[tokio::test]
async fn a_scripts_own_configuration_is_used() {
    let first = (
        "V1__ledger.sql",
        "CREATE TABLE ledger (id bigint PRIMARY KEY, note text);\nCREATE PROCEDURE backfill() LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO ledger VALUES (1, 'a'); COMMIT; INSERT INTO ledger VALUES (2, 'b'); END $$;\n",
    );
    let second = ("V2__backfill.sql", "CALL backfill();\n");
    let files = [first, second];
    let without = Stage::new("script_without");
    let report = promotion(&without, &files, With::default()).await.go().await;
    assert_eq!(report.status, ReportStatus::Failed, "{report:#?}");
    assert!(report.detail.contains("invalid transaction termination"), "{report:#?}");

    let stage = Stage::new("script");
    let scripts = [(second.0, "executeInTransaction=false\n")];
    let report = promotion(&stage, &files, With { scripts: &scripts, ..With::default() }).await.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(stage.sql("SELECT count(*) FROM ledger"), "2");
}

#[tokio::test]
async fn a_configuration_that_the_gate_would_refuse_is_not_run() {
    let stage = Stage::new("refused");
    let configuration = Some("[flyway]\ntarget = \"1\"\n");
    let scripts = [(FEES.0, "shouldExecute=false\n")];
    let with = With { configuration, scripts: &scripts, ..With::default() };
    let promotion = promotion(&stage, &[LEDGER, FEES], with).await;
    let codes: Vec<_> = promotion.check().await.reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::FlywaySettingUnsupported, Code::FlywaySettingUnsupported]);
    assert_eq!(promotion.go().await.status, ReportStatus::Failed);
    assert_eq!(stage.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'flyway%'"), "0");
}

#[tokio::test]
async fn placeholders_of_the_file_yield_to_the_stages() {
    let stage = Stage::new("whose");
    let file = ("R__told.sql", "CREATE OR REPLACE VIEW told AS SELECT '${one}'::text AS one, '${two}'::text AS two;\n");
    let configuration = Some("[flyway.placeholders]\nOne = \"file\"\ntwo = \"file\"\n");
    let with = With { configuration, placeholders: json!({"one": "stage"}), ..With::default() };
    let report = promotion(&stage, &[file], with).await.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(stage.sql("SELECT * FROM told"), "stage|file");

    let plain =
        ("R__told.sql", "CREATE OR REPLACE VIEW told AS SELECT '${one}'::text AS one, '${two}'::text AS two;\n");
    let with = With { configuration: Some("[flyway]\nplaceholderReplacement = false\n"), ..With::default() };
    let literal = promotion(&stage, &[plain], with.clone()).await;
    assert_eq!(literal.go().await.status, ReportStatus::Applied);
    assert_eq!(stage.sql("SELECT * FROM told"), "${one}|${two}");
    assert_eq!(literal.go().await.status, ReportStatus::Unchanged, "its checksum is that of the file");
}

#[tokio::test]
async fn what_is_grouped_is_taken_back_together() {
    let broken = ("V2__broken.sql", "CREATE TABLE two (id int);\nSELECT 1 / 0;\n");
    let one = ("V1__one.sql", "CREATE TABLE one (id int);\n");
    for (group, left) in [(true, "0"), (false, "1")] {
        let stage = Stage::new(&format!("group_{group}"));
        let configuration = format!("[flyway]\ngroup = {group}\nmixed = true\n");
        let with = With { configuration: Some(&configuration), ..With::default() };
        assert_eq!(promotion(&stage, &[one, broken], with).await.go().await.status, ReportStatus::Failed);
        assert_eq!(stage.sql("SELECT count(*) FROM pg_class WHERE relname = 'one'"), left);
    }
}
