//! What must not get out, and what must not be trusted.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gatekeeper_database::{Database, DatabaseError, Limits, Migrations, Target, Tools};
use gatekeeper_model::telemetry::{Logger, wall_clock};
use gatekeeper_promotion::step::ReportStatus;
use gatekeeper_readers::flyway::settings::Settings;
use serde_json::json;
use tokio::time::sleep;

use crate::stage::{Files, Stage, With, descendants, encoded, folder_of};

const COMMIT: Files<'_> = &[("V1__ledger.sql", "CREATE TABLE ledger (id bigint PRIMARY KEY);\n")];

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let stage = Stage::new("password");
    let secret = stage.server.secret_with(&stage.database, "n0t the:p@ssword");
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&lines);
    let log = Logger::to_sink(wall_clock, move |line| sink.lock().unwrap().push_str(line));
    let promotion = stage.promotion(COMMIT, b"", With { secret: Some(secret.clone()), ..With::default() });
    let look = promotion.check().await;
    assert_eq!(look.reasons[0].code.as_str(), "database-unreachable", "{look:#?}");
    assert!(look.reasons[0].message.contains("refuses the user or the password"), "{look:#?}");
    let answer = promotion.ask("forward", Duration::from_mins(1), log).await;
    assert_eq!(answer.progress[0].status, ReportStatus::Failed);

    // Flyway too, which prints the URL that it was given.
    let database = Database::new(stage.server.tools(), Target::from_secret(&secret).unwrap(), "t");
    let folder = folder_of(COMMIT);
    let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
    let refused = database.migrate(&migrations).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Refused(_)), "{refused}");

    let said = format!("{look:?} {answer:?} {refused:?} {refused} {database:?} {}", lines.lock().unwrap());
    assert!(!said.contains("n0t") && !said.contains("ssword\""), "{said}");
}

#[tokio::test]
async fn the_password_is_in_no_argument_and_no_environment_of_a_child() {
    let stage = Stage::new("children");
    let files = [("V1__slow.sql", "SELECT pg_sleep(2);\n")];
    let promotion = stage.promotion(&files, &stage.untested().await, With { parity: "reported", ..With::default() });
    let watch = async {
        let mut seen = std::collections::BTreeSet::new();
        loop {
            // What this set-up itself starts has another environment.
            for (process, told) in
                descendants().into_iter().filter(|(_, told)| told.contains("REDGATE_DISABLE_TELEMETRY"))
            {
                for program in ["flyway", "java", "psql", "pg_dump"] {
                    if told.split_whitespace().next().is_some_and(|it| it.ends_with(program)) {
                        seen.insert(program);
                    }
                }
                let password = &stage.server.password;
                let encoded = encoded(password);
                assert!(!told.contains(password.as_str()) && !told.contains(&encoded), "{}: {told}", process.display());
                assert!(!told.contains("AWS_"), "{told}");
                if let Ok(input) = std::fs::read_link(process.join("fd/0")) {
                    let input = input.display().to_string();
                    assert!(
                        input.ends_with("(deleted)") || input.starts_with("/dev/") || input.starts_with("pipe:"),
                        "{input}"
                    );
                }
            }
            if seen.contains("java") {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (report, ()) = tokio::join!(promotion.go(), watch);
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
}

#[tokio::test]
async fn tls_is_verified_under_the_given_authorities_only() {
    let stage = Stage::new("tls");
    let with = |ca_file: &str| {
        let target = Target::from_secret(&stage.server.secret(&stage.database)).unwrap();
        assert!(target.tls());
        Database::new(Tools { ca_file: ca_file.into(), ..stage.server.tools() }, target, "t")
    };
    let folder = folder_of(COMMIT);
    let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
    let right = stage.server.database(&stage.database, "t");
    assert!(right.history(&Settings::default()).await.is_ok());
    assert!(right.validate(&migrations).await.unwrap().successful);
    let wrong = with("/etc/ssl/certs/ca-certificates.crt");
    for error in [
        wrong.history(&Settings::default()).await.unwrap_err(),
        wrong.dump_schema().await.unwrap_err(),
        wrong.validate(&migrations).await.unwrap_err(),
    ] {
        assert!(matches!(error, DatabaseError::Tls(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_statement_and_a_lock_have_their_time() {
    let stage = Stage::new("time");
    let limits = Limits { statement: Duration::from_secs(2), lock: Duration::from_secs(1), ..Limits::default() };
    let database = stage.server.database(&stage.database, "t").within(limits);
    let refused = |files: &'static [(&str, &str)]| {
        let database = database.clone();
        async move {
            let folder = folder_of(files);
            let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
            match database.migrate(&migrations).await {
                Err(DatabaseError::Migration(failed)) => (failed.sql_state.unwrap(), failed.message),
                other => panic!("{other:?}"),
            }
        }
    };
    let slow = refused(&[("V1__slow.sql", "SELECT pg_sleep(30);\n")]).await;
    assert_eq!(slow, ("57014".to_owned(), "ERROR: canceling statement due to statement timeout".to_owned()));

    stage.sql("CREATE TABLE busy (id int)");
    let (server, name) = (&stage.server, &stage.database);
    std::thread::scope(|scope| {
        let busy = "DO $$ BEGIN LOCK TABLE busy; WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'done') LOOP PERFORM pg_sleep(0.1); END LOOP; \
                    END $$";
        scope.spawn(|| server.sql(name, busy));
        let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'busy'::regclass";
        while stage.sql(locked) == "0" {
            std::thread::sleep(Duration::from_millis(100));
        }
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(refused(&[("V2__busy.sql", "ALTER TABLE busy ADD COLUMN x int;\n")]))
        });
        let waited = waiting.join();
        stage.sql("CREATE TABLE done ()");
        assert_eq!(waited.unwrap(), ("55P03".to_owned(), "ERROR: canceling statement due to lock timeout".to_owned()));
    });
}

#[tokio::test]
async fn a_program_that_is_not_there_is_our_own_trouble() {
    let stage = Stage::new("missing");
    let tools = Tools { path: "/nowhere".into(), ..stage.server.tools() };
    let target = Target::from_secret(&stage.server.secret(&stage.database)).unwrap();
    let error = Database::new(tools, target, "t").history(&Settings::default()).await.unwrap_err();
    assert_eq!(error, DatabaseError::ToolMissing("psql"));
}

#[tokio::test]
async fn a_secret_that_tells_no_database_is_told_without_its_content() {
    let stage = Stage::new("secret");
    let secret = json!({"url": "postgresql://u:geheim@ep-x-pooler.eu.aws.neon.tech/db?sslmode=require"}).to_string();
    let look = stage.promotion(COMMIT, b"", With { secret: Some(secret), ..With::default() }).check().await;
    insta::assert_snapshot!(look.reasons[0].message, @"its secret `arn:aws:secretsmanager:eu-west-1:123456789012:secret:uat/payments` does not tell how to reach the database: its host is a connection pooler, and Flyway holds session locks that a pooler loses: take the direct host, without `-pooler`");
}
