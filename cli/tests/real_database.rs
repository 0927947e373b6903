//! `gatekeeper flyway validate` and `gatekeeper snapshot` against a real PostgreSQL, with the real Flyway and the real
//! `pg_dump`. `make test-e2e` starts the PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test whose set-up fails shall fail")]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::{Value, json};

const LEDGER: &str = "CREATE TABLE ledger (\n  id bigint PRIMARY KEY,\n  amount numeric NOT NULL\n);\n";
const NOTE: &str = "ALTER TABLE ledger ADD COLUMN note text;\n";
const TOTALS: &str = "CREATE OR REPLACE VIEW totals AS SELECT sum(amount) AS total FROM ledger;\n";
const TOLD: &str = "CREATE OR REPLACE VIEW told AS SELECT '${owner}'::text AS owner;\n";

/// Where the real PostgreSQL is, as the set-up tells.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    postgres_host: String,
    postgres_port: String,
    postgres_user: String,
    postgres_password: String,
    postgres_ca_file: PathBuf,
}

/// A dev database for one test, which goes with it, and a folder of migrations.
struct Dev {
    server: Server,
    database: String,
    folder: tempfile::TempDir,
}

/// What a run of the command came to.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

/// The path, with the tools of the set-up first.
fn path() -> OsString {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local");
    let path = std::env::var_os("PATH").unwrap();
    let folders = [local.join("flyway"), local.join("postgresql")];
    std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path))).unwrap()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

impl Dev {
    /// An empty database; `name` is the test's.
    fn new(name: &str) -> Self {
        let outputs = std::env::var_os("GATEKEEPER_OUTPUTS");
        let outputs = outputs.expect("GATEKEEPER_OUTPUTS is not set: run these tests by `make test-e2e`");
        let server = serde_json::from_slice(&fs::read(outputs).unwrap()).unwrap();
        let database = format!("gatekeeper_cli_{name}_{}", std::process::id());
        let dev = Self { server, database, folder: tempfile::tempdir().unwrap() };
        dev.sql_in("postgres", &format!("CREATE DATABASE {} TEMPLATE template0", dev.database));
        dev
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        fs::write(self.folder.path().join(path), text).unwrap();
        self
    }

    fn sql(&self, sql: &str) -> String {
        self.sql_in(&self.database, sql)
    }

    fn sql_in(&self, database: &str, sql: &str) -> String {
        let Server { postgres_host, postgres_port, postgres_user, postgres_password, .. } = &self.server;
        let output = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql])
            .env("PATH", path())
            .env("PGHOST", postgres_host)
            .env("PGPORT", postgres_port)
            .env("PGUSER", postgres_user)
            .env("PGPASSWORD", postgres_password)
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs real Flyway, as the next step of a pipeline would.
    fn flyway(&self, command: &str) -> bool {
        self.flyway_with(&[command])
    }

    fn flyway_with(&self, arguments: &[&str]) -> bool {
        let Server { postgres_host, postgres_port, postgres_user, postgres_password, .. } = &self.server;
        let output = Command::new("flyway")
            .arg(format!("-url=jdbc:postgresql://{postgres_host}:{postgres_port}/{}", self.database))
            .arg(format!("-locations=filesystem:{}", self.folder.path().display()))
            .args(["-placeholders.owner=payments_app", "-skipCheckForUpdate", "-postgresql.transactional.lock=false"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path())
            .env("FLYWAY_USER", postgres_user)
            .env("FLYWAY_PASSWORD", postgres_password)
            .output();
        output.unwrap().status.success()
    }

    fn url(&self, password: &str, port: &str) -> String {
        let Server { postgres_host: host, postgres_user: user, .. } = &self.server;
        format!("postgresql://{user}:{}@{host}:{port}/{}?sslmode=require", encoded(password), self.database)
    }

    /// Runs the command, with the database in its environment.
    fn gatekeeper(&self, arguments: &[&str]) -> Run {
        self.gatekeeper_at(&self.url(&self.server.postgres_password, &self.server.postgres_port), arguments)
    }

    fn gatekeeper_at(&self, url: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatekeeper"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("PATH", path());
        command.env("DATABASE_URL", url).env("PGSSLROOTCERT", &self.server.postgres_ca_file);
        command.envs(std::env::var_os("JAVA_HOME").map(|home| ("JAVA_HOME", home)));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let run = Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for secret in [self.server.postgres_password.clone(), encoded(&self.server.postgres_password)] {
            assert!(!run.stdout.contains(&secret) && !run.stderr.contains(&secret), "the password is told");
        }
        run
    }

    fn validate(&self) -> Run {
        self.gatekeeper(&[
            "flyway",
            "validate",
            ".",
            "--database",
            "payments",
            "--placeholder",
            "owner=payments_app",
            "--write",
            "flyway.json",
            "--output",
            "json",
        ])
    }

    /// What `--write` left.
    fn written(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("flyway.json")).unwrap()).unwrap()
    }

    /// The refusals of a run that must be one, as code and subject.
    fn refused(&self) -> Vec<(String, String)> {
        let run = self.validate();
        let told = run.json();
        assert_eq!((run.code, &told["valid"]), (1, &json!(false)), "{}", run.stdout);
        assert_eq!(self.written()["payments"]["validated"], json!(false));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reasons = told["reasons"].as_array().unwrap().iter();
        reasons.map(|reason| (text(&reason["code"]), text(&reason["subject"]))).collect()
    }

    fn take(&self, out: &str) -> Run {
        self.gatekeeper(&["snapshot", "take", "--database", "payments", "--out", out, "--output", "json"])
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.sql_in("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database));
    }
}

fn is_refused(refused: &[(String, String)], code: &str, subject: &str) -> bool {
    refused.iter().any(|(it, about)| it == code && about == subject)
}

#[test]
fn pending_migrations_are_fine_and_the_part_is_what_flyway_records_afterwards() {
    let dev = Dev::new("pending");
    dev.write("V1__ledger.sql", LEDGER).write("V2__note.sql", NOTE).write("R__totals.sql", TOTALS);
    dev.write("R__told.sql", TOLD).write("README.md", "no migration");
    let run = dev.validate();
    let told = run.json();
    assert_eq!((run.code, &told["valid"]), (0, &json!(true)), "{}", run.stdout);
    assert_eq!(told["asked"]["applied"], json!(0));
    assert_eq!(told["asked"]["pending"], json!(["V1__ledger.sql", "V2__note.sql", "R__told.sql", "R__totals.sql"]));
    assert_eq!(told["flyway"], dev.written());
    let before = dev.written();
    assert_eq!(before["payments"]["validated"], json!(true));

    // ADR-053 CI step 8, then the next commit's step 4.
    assert!(dev.flyway("migrate"));
    let recorded = dev.sql("SELECT json_object_agg(script, checksum) FROM flyway_schema_history");
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    assert_eq!(before["payments"]["checksums"], recorded);
    let run = dev.validate();
    assert_eq!((run.code, &run.json()["asked"]["pending"]), (0, &json!([])), "{}", run.stdout);
    assert_eq!(dev.written(), before);

    // A repeatable may change: it runs again.
    dev.write("R__totals.sql", &format!("{TOTALS}-- again\n"));
    let run = dev.validate();
    assert_eq!((run.code, &run.json()["asked"]["pending"]), (0, &json!(["R__totals.sql"])), "{}", run.stdout);
}

#[test]
fn a_file_that_was_edited_after_it_was_applied_is_refused_by_flyway_and_by_us() {
    let dev = Dev::new("edited");
    dev.write("V1__ledger.sql", LEDGER).write("V2__note.sql", NOTE);
    assert!(dev.flyway("migrate"));
    assert_eq!(dev.validate().code, 0);
    assert_eq!(dev.written()["payments"]["validated"], json!(true));
    dev.write("V1__ledger.sql", &LEDGER.replace("numeric", "money"));
    let refused = dev.refused();
    assert!(is_refused(&refused, "flyway-validate-failed", "payments/migrations/V1__ledger.sql"), "{refused:?}");
    assert!(is_refused(&refused, "flyway-history-mismatch", "payments/flyway_schema_history/1"), "{refused:?}");
}

#[test]
fn missing_renamed_and_late_files_are_each_told() {
    let dev = Dev::new("missing");
    dev.write("V1__ledger.sql", LEDGER).write("V3__note.sql", NOTE);
    assert!(dev.flyway("migrate"));
    fs::remove_file(dev.folder.path().join("V1__ledger.sql")).unwrap();
    dev.write("V2__late.sql", "SELECT 2;\n");
    let refused = dev.refused();
    for file in ["V1__ledger.sql", "V2__late.sql"] {
        let subject = format!("payments/migrations/{file}");
        assert!(is_refused(&refused, "flyway-validate-failed", &subject), "{refused:?}");
    }
}

#[test]
fn a_migration_that_failed_half_way_is_told() {
    let dev = Dev::new("failed");
    // What runs outside of a transaction leaves a row when it fails.
    dev.write("V1__ledger.sql", LEDGER).write("V2__index.sql", "CREATE INDEX CONCURRENTLY i ON ledger (nothing);\n");
    assert!(!dev.flyway("migrate"));
    assert_eq!(dev.sql("SELECT count(*) FROM flyway_schema_history WHERE NOT success"), "1");
    let refused = dev.refused();
    assert!(is_refused(&refused, "flyway-validate-failed", "payments/migrations/V2__index.sql"), "{refused:?}");
}

#[test]
fn a_migration_that_ran_out_of_order_is_told_although_flyway_is_content() {
    let dev = Dev::new("out_of_order");
    dev.write("V1__ledger.sql", LEDGER).write("V3__note.sql", NOTE);
    assert!(dev.flyway("migrate"));
    dev.write("V2__late.sql", "SELECT 2;\n");
    assert!(dev.flyway_with(&["-outOfOrder=true", "migrate"]));
    let subject = "payments/flyway_schema_history/3".to_owned();
    assert_eq!(dev.refused(), [("flyway-history-mismatch".to_owned(), subject)]);
}

#[test]
fn a_placeholder_without_a_value_is_a_no_in_flyways_words() {
    let dev = Dev::new("placeholder");
    dev.write("R__told.sql", TOLD);
    let run = dev.gatekeeper(&["flyway", "validate", ".", "--database", "payments"]);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("${owner}"), "{}", run.stdout);
}

#[test]
fn a_database_that_cannot_be_reached_or_refuses_is_exit_code_3() {
    let dev = Dev::new("unreachable");
    dev.write("V1__ledger.sql", LEDGER);
    let arguments = ["flyway", "validate", ".", "--database", "payments"];
    let port = &dev.server.postgres_port;
    for (url, says) in [
        (dev.url("not-the-password", port), "the database refuses the user or the password"),
        // Nothing listens on port 1.
        (dev.url(&dev.server.postgres_password, "1"), "the database can't be reached"),
    ] {
        let run = dev.gatekeeper_at(&url, &arguments);
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);
        assert!(run.stderr.contains(says) && run.stderr.contains("help: "), "{}", run.stderr);
        assert!(!run.stderr.contains("not-the-password"), "{}", run.stderr);
    }
}

#[test]
fn a_snapshot_is_written_whole_and_says_what_the_manifest_says() {
    let dev = Dev::new("snapshot");
    dev.write("V1__ledger.sql", LEDGER).write("R__totals.sql", TOTALS);
    assert!(dev.flyway("migrate"));
    dev.sql("INSERT INTO ledger VALUES (1, 100)");
    let run = dev.take("tested.sql");
    let entry = run.json();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let bytes = fs::read(dev.folder.path().join("tested.sql")).unwrap();
    assert_eq!(entry["database"], json!("payments"));
    assert_eq!(entry["sha256"], json!(gatekeeper_model::ids::Sha256::of(&bytes)));
    assert_eq!(entry["size"], json!(bytes.len()));
    assert!(!String::from_utf8(bytes).unwrap().contains("COPY"));

    // Taken again it is the same schema; a column by hand is seen.
    assert_eq!(dev.take("again.sql").json()["normal_form_sha256"], entry["normal_form_sha256"]);
    assert_eq!(dev.gatekeeper(&["snapshot", "compare", "tested.sql", "again.sql"]).code, 0);
    dev.sql("ALTER TABLE ledger ADD COLUMN by_hand text");
    assert_eq!(dev.take("again.sql").code, 0);
    let run = dev.gatekeeper(&["snapshot", "compare", "tested.sql", "again.sql", "--output", "json"]);
    assert_eq!((run.code, &run.json()["difference"]["only_live"]), (1, &json!(["COLUMN public.ledger.by_hand"])));
}

#[test]
fn a_snapshot_that_the_gate_would_refuse_is_not_written() {
    let dev = Dev::new("secret");
    dev.sql(
        "CREATE FOREIGN DATA WRAPPER wrapper; CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper; \
         CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (user 'reader', password 'hunter2')",
    );
    let run = dev.take("tested.sql");
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.json()["reasons"][0]["code"], json!("schema-snapshot-holds-secret"));
    assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
    assert!(!dev.folder.path().join("tested.sql").exists());
}

const RATES: &str =
    "DROP TABLE IF EXISTS payments.rates;\nCREATE TABLE payments.rates (currency char(3) PRIMARY KEY);\n";
const OTHER_SCHEMA: &str = "[environments.default]\nschemas = [\"payments\"]\n";

#[test]
fn a_history_in_another_schema_is_refused_unless_the_configuration_says_so() {
    let dev = Dev::new("elsewhere");
    dev.write("V1__ledger.sql", "CREATE TABLE payments.ledger (id bigint PRIMARY KEY);\n")
        .write("V2__rates.sql", RATES);
    assert!(dev.flyway_with(&["-schemas=payments", "migrate"]));
    dev.write("V3__fees.sql", "CREATE TABLE payments.fees (id bigint PRIMARY KEY);\n");
    let refused = dev.refused();
    assert_eq!(refused, [("flyway-history-elsewhere".to_owned(), "payments".to_owned())]);

    // What lies where the command is started is what Flyway reads there too.
    dev.write("flyway.toml", OTHER_SCHEMA);
    let run = dev.validate();
    let told = run.json();
    assert_eq!((run.code, &told["asked"]["pending"]), (0, &json!(["V3__fees.sql"])), "{}", run.stdout);
    let part = &dev.written()["payments"];
    assert_eq!(part["history"], "payments.flyway_schema_history");
    assert_eq!(part["configuration"]["sets"], json!(["schemas"]));
    let sha256 = gatekeeper_model::ids::Sha256::of(OTHER_SCHEMA.as_bytes());
    assert_eq!(part["configuration"]["sha256"], json!(sha256));

    // An edited file is one, in whatever schema its row lies.
    dev.write("V1__ledger.sql", "CREATE TABLE payments.ledger (id int PRIMARY KEY);\n");
    let refused = dev.refused();
    let subject = "payments/payments.flyway_schema_history/1";
    assert!(is_refused(&refused, "flyway-history-mismatch", subject), "{refused:?}");
}

#[test]
fn a_history_of_another_module_is_named() {
    let dev = Dev::new("other");
    dev.write("V1__ledger.sql", LEDGER);
    assert!(dev.flyway_with(&["-table=others", "migrate"]));
    dev.sql("DROP TABLE ledger");
    assert!(is_refused(&dev.refused(), "flyway-history-elsewhere", "payments"));
    let named =
        ["flyway", "validate", ".", "--database", "payments", "--other-history", "public.others", "--output", "json"];
    // What is in the schema is the other's, and Flyway itself wants a baseline then.
    let run = dev.gatekeeper(&named);
    let codes: Vec<_> = run.json()["reasons"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
    assert_eq!((run.code, codes), (1, vec![json!("flyway-history-missing")]), "{}", run.stdout);
    dev.write("flyway.toml", "[flyway]\nbaselineOnMigrate = true\nbaselineVersion = \"0\"\n");
    let run = dev.gatekeeper(&named);
    assert_eq!((run.code, &run.json()["asked"]["pending"]), (0, &json!(["V1__ledger.sql"])), "{}", run.stdout);
    // It reads the file where it is started.
    assert!(dev.flyway("migrate"));
    let run = dev.gatekeeper(&named);
    assert_eq!((run.code, &run.json()["asked"]["pending"]), (0, &json!([])), "{}", run.stdout);
}

#[test]
fn a_scripts_own_configuration_goes_into_the_part_by_its_digest() {
    let dev = Dev::new("script");
    dev.write("V1__ledger.sql", LEDGER).write("V2__note.sql", NOTE);
    dev.write("V2__note.sql.conf", "executeInTransaction=false\n");
    let run = dev.validate();
    assert_eq!(run.code, 0, "{}", run.stdout);
    let sha256 = gatekeeper_model::ids::Sha256::of(b"executeInTransaction=false\n");
    assert_eq!(dev.written()["payments"]["script_configurations"], json!({"V2__note.sql": sha256}));
    dev.write("V2__note.sql.conf", "shouldExecute=false\n").write("V3__gone.sql.conf", "executeInTransaction=false\n");
    let refused = dev.refused();
    assert!(is_refused(&refused, "flyway-setting-unsupported", "payments/migrations/V2__note.sql.conf"), "{refused:?}");
    assert!(is_refused(&refused, "flyway-file-extra", "payments/migrations/V3__gone.sql.conf"), "{refused:?}");
}
