//! A promotion and a stage's databases (ADR-053 problems 2 and 3, promotion step 6): real PostgreSQL, real Flyway.

use e2e::{
    commit::{Commit, MODULE, dump_of},
    databases::{Database, add_files, add_migrations, folder_of},
    promotion::{
        DATABASE_STAGE, Promotions, REPORTING_STAGE, STAGE, a_commit, a_repo, outcomes, promotion_of, rollback_of,
    },
    watch::{PATIENCE, eventually},
};
use gatekeeper_model::{finding::Code, ids::Repo, store_key::RecordKey};
use gatekeeper_promotion::{
    record::{PromotionRecord, SchemaComparison, Status},
    stage::SchemaParity,
    step::{Direction, Report, ReportStatus},
};
use serde_json::{Value, json};

const V1: (&str, &str) = (
    "V1__ledger.sql",
    "CREATE TYPE currency AS ENUM ('EUR', 'NZD');\n\
     CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount numeric NOT NULL, currency currency);\n",
);
const V2: (&str, &str) = ("2026/V2__beneficiary.sql", "ALTER TABLE ledger ADD COLUMN \"Begünstigter\" text;\n");
const VIEW: (&str, &str) = (
    "R__balances.sql",
    "CREATE OR REPLACE VIEW balances AS SELECT currency, sum(amount) AS balance FROM ledger GROUP BY currency;\n",
);

/// A commit of `repo` with these migrations, Built.
async fn with_migrations(here: &Promotions, repo: &Repo, database: &str, migrations: &[(&str, &str)]) -> Commit {
    let mut commit = a_commit(&here.aws, repo, 200);
    add_migrations(&here.aws, &mut commit, database, migrations);
    here.built(commit).await
}

fn migrated(record: &PromotionRecord) -> &Report {
    let step = record.steps.iter().find(|it| it.step == "migrate-database" && it.direction == Direction::Forward);
    &step.unwrap().reports[0]
}

fn parity(record: &PromotionRecord, database: &str) -> SchemaComparison {
    record.schema_comparisons().unwrap().remove(&database.parse().unwrap()).unwrap()
}

fn states(plan: &Value) -> Vec<(&str, &str)> {
    let migrations = plan["migrations"].as_array().unwrap().iter();
    migrations.map(|it| (it["file"].as_str().unwrap(), it["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_promotion_migrates_and_proves_that_the_schema_is_the_tested_one() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("fresh"), Database::of_stage(&here.aws, "fresh"));
    let first = with_migrations(&here, &repo, "fresh", &[V1]).await;
    let mut event = promotion_of(&first, DATABASE_STAGE);

    // A dry run shows what would be migrated, and migrates nothing.
    event["dry_run"] = json!(true);
    let planned = here.ask(&event).await.unwrap();
    assert_eq!(planned["status"], "planned", "{planned:#}");
    assert_eq!(states(&planned["plan"]), [(V1.0, "pending")]);
    assert_eq!(uat.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");

    let record = here.promoted(&first, DATABASE_STAGE).await;
    let report = migrated(&record);
    assert_eq!((report.subject.as_str(), report.status), ("fresh", ReportStatus::Applied), "{report:#?}");
    assert!(parity(&record, "fresh").equal);
    assert_eq!(uat.sql("SELECT script, success FROM flyway_schema_history"), format!("{}|t", V1.0));

    // The next commit's migrations, and only those.
    let second = with_migrations(&here, &repo, "fresh", &[V1, V2, VIEW]).await;
    let begun = here.start(&promotion_of(&second, DATABASE_STAGE)).await;
    assert_eq!(states(&begun.plan), [(V1.0, "applied"), (V2.0, "pending"), (VIEW.0, "pending")]);
    let record = here.ended(&begun).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    let SchemaComparison { equal, mode, tested_sha256, live_sha256, difference, .. } = parity(&record, "fresh");
    assert_eq!((equal, mode, difference), (true, SchemaParity::Required, None));
    assert_eq!(tested_sha256, live_sha256);
    let history = &record.schema_histories().unwrap()[&"fresh".parse().unwrap()];
    let scripts: Vec<_> = history.iter().map(|row| row.script.as_str()).collect();
    assert_eq!(scripts, [V1.0, V2.0, VIEW.0]);
    let handoff = RecordKey::DeployedHandoff(second.id.clone(), MODULE.parse().unwrap());
    let handoff = String::from_utf8(here.aws.record(&handoff).await.unwrap()).unwrap();
    assert!(handoff.contains(&format!("| `fresh` | equal | `{tested_sha256}` | `{live_sha256}` |")), "{handoff}");

    // Already there is success.
    let again = here.promoted(&second, DATABASE_STAGE).await;
    assert_eq!(migrated(&again).status, ReportStatus::Unchanged);
    assert!(parity(&again, "fresh").equal);
}

#[tokio::test]
async fn a_history_that_the_files_do_not_fit_stops_a_promotion_while_it_is_free() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("tampered"), Database::of_stage(&here.aws, "tampered"));
    let first = with_migrations(&here, &repo, "tampered", &[V1]).await;
    here.promoted(&first, DATABASE_STAGE).await;

    // Edited after it was applied: the pipeline's own database is new each time, so only the stage's tells.
    let edited = (V1.0, "CREATE TABLE ledger (id bigint);\n");
    let edited = with_migrations(&here, &repo, "tampered", &[edited]).await;
    let reasons = here.refusal(&promotion_of(&edited, DATABASE_STAGE)).await;
    assert!(reasons.iter().any(|it| it.code == Code::FlywayValidateFailed), "{reasons:#?}");
    assert!(reasons.iter().any(|it| it.message.contains(V1.0)), "{reasons:#?}");

    // A row that says that it failed, as a migration leaves one that runs outside of a transaction.
    uat.sql(
        "INSERT INTO flyway_schema_history VALUES (2, '2', 'x', 'SQL', 'V2__x.sql', 1, 'migrate_user', now(), 1, false)",
    );
    let reasons = here.refusal(&promotion_of(&first, DATABASE_STAGE)).await;
    assert!(reasons.iter().any(|it| it.message.contains("V2__x.sql")), "{reasons:#?}");
    uat.sql("DELETE FROM flyway_schema_history WHERE installed_rank = 2");

    // One that comes too late for its version.
    let late = with_migrations(&here, &repo, "tampered", &[("V0_5__late.sql", "CREATE TABLE late ();\n"), V1]).await;
    let reasons = here.refusal(&promotion_of(&late, DATABASE_STAGE)).await;
    assert!(reasons.iter().any(|it| it.message.contains("V0_5__late.sql")), "{reasons:#?}");
}

#[tokio::test]
async fn a_migration_that_breaks_a_rule_which_the_stage_refuses_stops_a_promotion_while_it_is_free() {
    const DROP: (&str, &str) = ("V2__drop.sql", "ALTER TABLE ledger ADD COLUMN note text;\nDROP TABLE old;\n");
    let here = Promotions::get().await;
    let first = ("V1__ledger.sql", "CREATE TABLE ledger (id bigint PRIMARY KEY);\nCREATE TABLE old ();\n");
    let repo = a_repo("dropping");
    here.promoted(&with_migrations(&here, &repo, "dropping", &[first]).await, DATABASE_STAGE).await;

    let commit = with_migrations(&here, &repo, "dropping", &[first, DROP]).await;
    let mut event = promotion_of(&commit, DATABASE_STAGE);
    let refused = here.ask(&event).await.unwrap();
    assert_eq!((&refused["status"], &refused["reasons"][0]["code"]), (&json!("refused"), &json!("migration-refused")));
    assert_eq!(refused["reasons"][0]["subject"], json!("dropping/V2__drop.sql"));
    let broken = json!([{"rule": "ban-drop-table", "line": 2, "refused": true,
        "message": "Dropping a table may break existing clients."}]);
    assert_eq!(refused["migrations"], json!([{"database": "dropping", "file": DROP.0, "broken": broken}]));

    // A look that asks for what would change shows the SQL too.
    event["dry_run"] = json!(true);
    event["changes"] = json!(true);
    let refused = here.ask(&event).await.unwrap();
    assert_eq!(refused["migrations"][0]["sql"], json!(DROP.1), "{refused:#}");
}

#[tokio::test]
async fn a_repaired_history_is_seen_by_what_the_last_promotion_left() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("repaired"), Database::of_stage(&here.aws, "repaired"));
    here.promoted(&with_migrations(&here, &repo, "repaired", &[V1]).await, DATABASE_STAGE).await;

    // Somebody edits the migration and has Flyway forget the difference: `flyway validate` is content.
    let edited = [(
        V1.0,
        "-- tidied up\nCREATE TYPE currency AS ENUM ('EUR', 'NZD');\nCREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount numeric NOT NULL, currency currency);\n",
    )];
    let folder = folder_of(&edited);
    assert!(uat.flyway("repair", folder.path()).status.success());
    assert!(uat.flyway("validate", folder.path()).status.success());

    let commit = with_migrations(&here, &repo, "repaired", &edited).await;
    let reasons = here.refusal(&promotion_of(&commit, DATABASE_STAGE)).await;
    let codes: Vec<_> = reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::FlywayHistoryRewritten], "{reasons:#?}");
    assert!(reasons[0].message.contains("checksum"), "{reasons:#?}");
}

#[tokio::test]
async fn a_column_made_by_hand_fails_a_promotion_that_requires_parity() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("by-hand"), Database::of_stage(&here.aws, "by_hand"));
    let first = with_migrations(&here, &repo, "by_hand", &[V1]).await;
    here.promoted(&first, DATABASE_STAGE).await;
    uat.sql("ALTER TABLE ledger ADD COLUMN note text");

    let second = with_migrations(&here, &repo, "by_hand", &[V1, VIEW]).await;
    let record = here.promote(&second, DATABASE_STAGE).await;
    assert_eq!(record.status, Status::RolledBack, "{record:#?}");
    let report = migrated(&record);
    assert_eq!(report.status, ReportStatus::Failed);
    assert!(report.detail.contains("note"), "{}", report.detail);
    let comparison = parity(&record, "by_hand");
    assert!(!comparison.equal && comparison.difference.unwrap().contains("note"));
    let step = record.steps.iter().find(|it| it.step == "migrate-database" && it.direction == Direction::Back).unwrap();
    assert_eq!(step.reports[0].status, ReportStatus::Unchanged, "databases are never rolled back");

    let record = here.promoted(&second, REPORTING_STAGE).await;
    let comparison = parity(&record, "by_hand");
    assert_eq!((comparison.equal, comparison.mode), (false, SchemaParity::Reported));
}

#[tokio::test]
async fn a_migration_that_fails_half_way_is_named_and_the_code_goes_back() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("half-way"), Database::of_stage(&here.aws, "half_way"));
    here.promoted(&with_migrations(&here, &repo, "half_way", &[V1]).await, DATABASE_STAGE).await;
    uat.sql("INSERT INTO ledger (amount) VALUES (-1)");

    // It works on an empty database, which is what a pipeline has.
    let good = ("V2__note.sql", "ALTER TABLE ledger ADD COLUMN note text;\n");
    let bad = ("V3__check.sql", "CREATE TABLE before ();\n\nALTER TABLE ledger ADD CHECK (amount > 0);\n");
    let commit = with_migrations(&here, &repo, "half_way", &[V1, good, bad]).await;
    let record = here.promote(&commit, DATABASE_STAGE).await;
    assert_eq!(record.status, Status::RolledBack, "{record:#?}");
    let report = migrated(&record);
    assert_eq!(report.status, ReportStatus::Failed);
    for part in [bad.0, "ledger_amount_check"] {
        assert!(report.detail.contains(part), "{}", report.detail);
    }
    assert_eq!(uat.sql("SELECT script FROM flyway_schema_history ORDER BY 1"), format!("{}\n{}", V1.0, good.0));
    assert_eq!(uat.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'before'"), "0", "PostgreSQL took it back");

    // Mended, it goes on from there.
    uat.sql("DELETE FROM ledger");
    assert_eq!(here.promote(&commit, DATABASE_STAGE).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_migration_whose_connection_broke_is_promoted_again() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("broken_off"), Database::of_stage(&here.aws, "broken_off"));
    let slow = ("V2__slow.sql", "CREATE TABLE slow ();\nSELECT pg_sleep(3);\n");
    let commit = with_migrations(&here, &repo, "broken_off", &[V1, slow]).await;
    let begun = here.start(&promotion_of(&commit, DATABASE_STAGE)).await;
    let sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = 'uat_broken_off' AND wait_event = 'PgSleep'";
    let look = async || uat.sql(sleeping);
    let pid = eventually("the migration runs", PATIENCE, look, |pid| !pid.is_empty()).await;
    // The connection breaks in mid-migration.
    uat.sql(&format!("SELECT pg_terminate_backend({pid})"));
    let record = here.ended(&begun).await;
    let retried = here.promote(&commit, DATABASE_STAGE).await;
    assert_eq!(retried.status, Status::Succeeded, "{record:#?}\n{retried:#?}");
    assert!(parity(&retried, "broken_off").equal);
}

#[tokio::test]
async fn a_step_that_is_killed_in_mid_migration_is_repeated_by_the_state_machine() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("killed"), Database::of_stage(&here.aws, "killed"));
    let slow = ("V2__slow_in_the_killed_step.sql", "CREATE TABLE slow ();\nSELECT pg_sleep(4);\n");
    let commit = with_migrations(&here, &repo, "killed", &[V1, slow]).await;
    let begun = here.start(&promotion_of(&commit, DATABASE_STAGE)).await;
    let sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = 'uat_killed' AND wait_event = 'PgSleep'";
    let look = async || uat.sql(sleeping);
    eventually("the migration runs", PATIENCE, look, |pid| !pid.is_empty()).await;
    // Without a chance to end its Flyway, which goes on and holds its lock.
    kill(&step_that_migrates(slow.0));
    let record = here.ended(&begun).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    assert!(parity(&record, "killed").equal);
    assert_eq!(uat.sql("SELECT count(*) FROM flyway_schema_history WHERE success"), "2");
}

/// The process of the function whose Flyway migrates a folder with this file: Flyway's Java has the folder among its
/// arguments, and is a child of its script, which is a child of the function.
fn step_that_migrates(file: &str) -> String {
    let parent = |process: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned()
    };
    let java = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.unwrap().file_name().into_string().unwrap();
        let line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let folder = line.split('\0').find_map(|argument| argument.strip_prefix("-locations=filesystem:"))?.to_owned();
        (line.contains("org.flywaydb") && std::path::Path::new(&folder).join(file).exists()).then_some(process)
    });
    parent(&parent(&java.last().unwrap()))
}

fn kill(process: &str) {
    let program = std::fs::read_link(format!("/proc/{process}/exe")).unwrap();
    assert!(program.ends_with("bootstrap"), "{}", program.display());
    assert!(std::process::Command::new("kill").args(["-9", process]).status().unwrap().success());
}

#[tokio::test]
async fn a_rollback_of_code_needs_the_schema_that_it_was_tested_with_or_somebody_who_accepts_another() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("back"), Database::of_stage(&here.aws, "back"));
    let first = with_migrations(&here, &repo, "back", &[V1]).await;
    let second = with_migrations(&here, &repo, "back", &[V1, V2]).await;
    here.promoted(&first, DATABASE_STAGE).await;
    here.promoted(&second, DATABASE_STAGE).await;

    let mut event = rollback_of(&repo, None, DATABASE_STAGE);
    let reasons = here.refusal(&event).await;
    assert_eq!(reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::SchemaDifference], "{reasons:#?}");
    assert!(reasons[0].message.contains("Begünstigter"), "{reasons:#?}");
    // A stage that only reports differences to promotions still asks for consent to go back.
    here.refuses(&rollback_of(&repo, Some(&first), REPORTING_STAGE), &[Code::NeverPromoted]).await;

    event["accept_schema_difference"] = json!(true);
    let record = here.ended(&here.start(&event).await).await;
    assert_eq!((record.status, &record.commit_sha), (Status::Succeeded, &first.id.sha), "{record:#?}");
    assert!(record.accept_schema_difference);
    let report = migrated(&record);
    assert_eq!(report.status, ReportStatus::Unchanged, "{report:#?}");
    let comparison = parity(&record, "back");
    assert!(!comparison.equal && comparison.difference.unwrap().contains("Begünstigter"));
    assert_eq!(uat.sql("SELECT count(*) FROM flyway_schema_history"), "2", "databases are never rolled back");

    // Forward again: the migrations are there already.
    let record = here.promoted(&second, DATABASE_STAGE).await;
    assert_eq!(migrated(&record).status, ReportStatus::Unchanged);
}

#[tokio::test]
async fn a_look_at_a_database_runs_nothing_of_the_commit() {
    let here = Promotions::get().await;
    let (repo, uat) = (a_repo("checked"), Database::of_stage(&here.aws, "checked"));
    let callback = ("beforeValidate.sql", "CREATE TABLE callback_ran ();\n");
    let mut commit = a_commit(&here.aws, &repo, 200);
    // Flyway Community passes over what undoes a migration; a repository may keep it.
    let undo = ("U1__ledger.sql", "DROP TABLE ledger;\n");
    add_files(&mut commit, "checked", &[V1, callback, undo], dump_of(""));
    let commit = here.built(commit).await;
    let mut event = promotion_of(&commit, DATABASE_STAGE);
    event["dry_run"] = json!(true);
    assert_eq!(here.ask(&event).await.unwrap()["status"], "planned");
    assert_eq!(uat.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

#[tokio::test]
async fn a_database_that_can_not_be_reached_safely_stops_a_promotion() {
    let here = Promotions::get().await;
    let commit = with_migrations(&here, &a_repo("pooled"), "pooled", &[V1]).await;
    here.refuses(&promotion_of(&commit, STAGE), &[Code::DatabaseNotConfigured]).await;
    let reasons = here.refusal(&promotion_of(&commit, DATABASE_STAGE)).await;
    assert_eq!(reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::DatabaseSecretInvalid], "{reasons:#?}");
    assert!(reasons[0].message.contains("pooler"), "{reasons:#?}");
    let told = serde_json::to_string(&reasons).unwrap();
    assert!(!told.contains(&here.aws.outputs.postgres_password), "{told}");
}

#[tokio::test]
async fn outcomes_name_the_step_in_its_place() {
    let here = Promotions::get().await;
    let record = here.promoted(&here.a_commit(&a_repo("no-database"), 200).await, STAGE).await;
    let steps: Vec<_> = outcomes(&record).into_iter().map(|(step, ..)| step).collect();
    assert_eq!(steps, ["apply-stack", "deploy-function", "migrate-database", "smoke-test"]);
}
