//! A commit's database files at the gate: what is refused by which name, over the memory store and without a database.

use gatekeeper_model::{
    ids::Commit,
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::LocalSigner;
use gatekeeper_store::memory::Memory;
use serde_json::{Value, json};

use super::*;
use crate::converge::check;

const V1: (&str, &str) = ("V1__ledger.sql", "CREATE TABLE ledger (id bigint);\n");
const V2: (&str, &str) = ("2026/V2__note.sql", "ALTER TABLE ledger ADD note text;\n");
const VIEW: (&str, &str) = ("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1;\n");

/// What a build stores of a database, and what it claims.
struct Build {
    migrations: Vec<(&'static str, &'static str)>,
    snapshots: Vec<(&'static str, String)>,
    checksums: Value,
    /// The `flyway.toml` that is stored and that dev used.
    configuration: Option<&'static str>,
    /// The configurations of single scripts that are stored and that dev used.
    scripts: Vec<(&'static str, &'static str)>,
}

fn dump(statements: &str) -> String {
    format!("--\n-- PostgreSQL database dump\n--\n\n{statements}\n\n--\n-- PostgreSQL database dump complete\n--\n\n")
}

impl Build {
    fn new() -> Self {
        let migrations = vec![V1, V2, VIEW];
        let checksum = |sql: &str| json!(checksum::scan(sql.as_bytes()).unwrap().unwrap().checksum);
        let checksums: serde_json::Map<_, _> =
            migrations.iter().map(|(file, sql)| ((*file).to_owned(), checksum(sql))).collect();
        let schema = dump("CREATE TABLE public.ledger (\n    id bigint,\n    note text\n);");
        let (snapshots, checksums) = (vec![("MOD-012", schema)], Value::Object(checksums));
        Self { migrations, snapshots, checksums, configuration: None, scripts: Vec::new() }
    }

    /// The gate's verdict: codes with the end of their subjects.
    async fn verdict(&self) -> (Outcome, Vec<(Code, String)>) {
        let verdict = self.judged().await;
        let reasons = verdict.reasons.iter().map(|it| {
            let end = it.subject.rsplit_once("/migrations/").map_or(it.subject.as_str(), |(_, path)| path);
            (it.code, end.rsplit_once("/schema/").map_or(end, |(_, path)| path).to_owned())
        });
        (verdict.outcome, reasons.collect())
    }

    async fn judged(&self) -> Verdict {
        let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: sha.parse().unwrap() };
        let artefacts = Memory::default();
        let store = |path: &str, bytes: &str| {
            artefacts.upload(&format!("{}{path}", commit.prefix()), bytes.as_bytes(), &[]);
            (Sha256::of(bytes.as_bytes()), bytes.len())
        };
        let mut modules = vec![json!({"id": "MOD-012", "migrations": []})];
        for (file, sql) in &self.migrations {
            let (sha256, size) = store(&format!("modules/MOD-012/schema/payments/migrations/{file}"), sql);
            let entry = json!({"database": "payments", "file": file, "sha256": sha256, "size": size});
            modules[0]["migrations"].as_array_mut().unwrap().push(entry);
        }
        for (index, (module, schema)) in self.snapshots.iter().enumerate() {
            let (sha256, size) = store(&format!("modules/{module}/schema/payments-schema.sql"), schema);
            let entry = json!([{"database": "payments", "sha256": sha256, "size": size}]);
            match modules.get_mut(index) {
                Some(it) => it["schemas"] = entry,
                None => modules.push(json!({"id": module, "schemas": entry})),
            }
        }
        let mut flyway = json!({"validated": true, "checksums": self.checksums});
        for (script, text) in &self.scripts {
            let path = format!("modules/MOD-012/schema/payments/migrations/{script}.conf");
            let (sha256, size) = store(&path, text);
            modules[0]["script_configurations"] =
                json!([{"database": "payments", "script": script, "sha256": sha256, "size": size}]);
            flyway["script_configurations"][script] = json!(sha256);
        }
        if let Some(text) = self.configuration {
            let (sha256, size) = store("modules/MOD-012/schema/payments/flyway.toml", text);
            flyway["configuration"] = json!({"sha256": sha256, "size": size, "modules": ["MOD-012"]});
        }
        let manifest = json!({
            "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z", "modules": modules,
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {"passed": 2, "failed": 0, "line_coverage": 90, "function_coverage": 90},
                "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
                "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
            },
            "flyway": {"payments": flyway},
            "deploy": {"stage": "dev", "succeeded": true}
        });
        store("build-manifest.json", &manifest.to_string());
        let records = Memory::default();
        let now = "2026-05-02T03:10:00Z".parse().unwrap();
        check(&artefacts, &records, &commit, &super::super::NoVerifier, &std::env::temp_dir(), now).await.unwrap()
    }

    async fn rejected(&self, reasons: &[(Code, &str)]) {
        let reasons: Vec<_> = reasons.iter().map(|(code, subject)| (*code, (*subject).to_owned())).collect();
        assert_eq!(self.verdict().await, (Outcome::Rejected, reasons));
    }
}

#[tokio::test]
async fn what_flyway_validated_and_a_schema_without_data_are_built() {
    assert_eq!(Build::new().verdict().await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn an_edited_missing_extra_renamed_or_reordered_migration_is_refused_by_name() {
    let mut edited = Build::new();
    edited.migrations[0].1 = "CREATE TABLE ledger (id int);\n";
    edited.rejected(&[(Code::FlywayChecksumMismatch, V1.0)]).await;

    let mut missing = Build::new();
    missing.migrations.remove(1);
    missing.rejected(&[(Code::FlywayFileMissing, V2.0)]).await;

    let mut extra = Build::new();
    extra.migrations.insert(2, ("V3__extra.sql", "SELECT 3;\n"));
    extra.rejected(&[(Code::FlywayFileExtra, "V3__extra.sql")]).await;

    let mut renamed = Build::new();
    renamed.migrations[1].0 = "2026/V2__remark.sql";
    renamed.rejected(&[(Code::FlywayFileRenamed, "2026/V2__remark.sql")]).await;

    let mut reordered = Build::new();
    reordered.migrations.swap(0, 1);
    reordered.rejected(&[(Code::FlywayOrder, V1.0)]).await;
}

#[tokio::test]
async fn what_only_differs_in_line_ends_is_the_same_to_flyway_and_not_to_the_gate() {
    let (apart, joined) = ("-- drop old\nDROP TABLE t;\n", "-- drop oldDROP TABLE t;\n");
    let checksum = |sql: &str| checksum::scan(sql.as_bytes()).unwrap().unwrap().checksum;
    assert_eq!(checksum(apart), checksum(joined));
    assert_ne!(Sha256::of(apart.as_bytes()), Sha256::of(joined.as_bytes()));
}

#[tokio::test]
async fn a_snapshot_that_is_missing_holds_data_or_is_of_another_schema_is_refused() {
    let mut missing = Build::new();
    missing.snapshots.clear();
    missing.rejected(&[(Code::SchemaSnapshotMissing, "payments")]).await;

    let mut leaking = Build::new();
    leaking.snapshots[0].1 = dump("COPY public.ledger (id) FROM stdin;\n4711\n\\.\n");
    leaking.rejected(&[(Code::SchemaSnapshotHoldsData, "payments-schema.sql")]).await;
    let told = serde_json::to_string(&leaking.judged().await).unwrap();
    assert!(!told.contains("4711"), "{told}");

    let mut two = Build::new();
    let same = two.snapshots[0].1.replace("\n\n--", "\n\n-- Dumped by pg_dump version 17.6\n\n--");
    two.snapshots.push(("MOD-013", same));
    assert_eq!(two.verdict().await.0, Outcome::Built);
    two.snapshots[1].1 = dump("CREATE TABLE public.ledger (\n    id bigint\n);");
    two.rejected(&[(Code::SchemaSnapshotsDiffer, "payments")]).await;
}

/// Flyway's history as `pg_dump` writes it.
fn history(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (\n    installed_rank integer NOT NULL,\n    version character varying(50),\n    \
         description character varying(200) NOT NULL,\n    type character varying(20) NOT NULL,\n    \
         script character varying(1000) NOT NULL,\n    checksum integer,\n    \
         installed_by character varying(100) NOT NULL,\n    \
         installed_on timestamp without time zone DEFAULT now() NOT NULL,\n    execution_time integer NOT NULL,\n    \
         success boolean NOT NULL\n);"
    )
}

#[tokio::test]
async fn a_tested_schema_whose_history_lies_elsewhere_is_refused_unless_the_configuration_says_so() {
    let mut build = Build::new();
    build.snapshots[0].1 = dump(&history("payments.flyway_schema_history"));
    build.rejected(&[(Code::FlywayHistoryElsewhere, "payments")]).await;
    build.configuration = Some("[environments.default]\nschemas = [\"payments\"]\n");
    assert_eq!(build.verdict().await, (Outcome::Built, vec![]));
    build.snapshots[0].1 = dump(&history("public.flyway_schema_history"));
    build.rejected(&[(Code::FlywayHistoryElsewhere, "payments")]).await;
    build.configuration = None;
    assert_eq!(build.verdict().await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn settings_that_are_not_used_alike_everywhere_are_refused_where_they_stand() {
    let mut build = Build::new();
    build.configuration = Some("[flyway]\ntarget = \"3\"\n");
    build.scripts = vec![(V1.0, "shouldExecute=true\n")];
    build
        .rejected(&[
            (Code::FlywaySettingUnsupported, "payments/flyway.toml"),
            (Code::FlywaySettingUnsupported, "V1__ledger.sql.conf"),
        ])
        .await;
    build.configuration = Some("[flyway]\nmixed = true\n");
    build.scripts = vec![(V1.0, "executeInTransaction=false\n")];
    assert_eq!(build.verdict().await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn without_replacement_the_checksum_of_a_repeatable_is_that_of_its_file() {
    let mut build = Build::new();
    build.migrations[2].1 = "CREATE OR REPLACE VIEW v AS SELECT '${x}';\n";
    assert_eq!(build.verdict().await, (Outcome::Built, vec![]));
    build.configuration = Some("[flyway]\nplaceholderReplacement = false\n");
    build.rejected(&[(Code::FlywayChecksumMismatch, VIEW.0)]).await;
}

#[tokio::test]
async fn what_was_found_is_kept_for_the_next_look_unless_it_is_too_much_to_be_read_each_time() {
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: "a".repeat(40).parse().unwrap() };
    let (artefacts, records) = (Memory::default(), Memory::default());
    let signer = LocalSigner::from_seed(1);
    let inspector = Inspector {
        artefacts: &artefacts,
        records: &records,
        log: &Logger::silent(),
        scratch: std::path::Path::new("/nowhere"),
        keeping: Keeping::SignedBy(&signer),
        verifier: &super::super::NoVerifier,
    };
    for (findings, is_kept) in [(1, true), (MAX_KEPT_BYTES / 1_000_000 + 1, false)] {
        let finding = Finding::new(Code::ZipInvalid, SUBJECT, "x".repeat(1_000_000));
        let found = Inspection { findings: vec![finding; findings], ..Inspection::default() };
        let mut known = inspector.known(&commit, None).await.unwrap();
        let sha256 = Sha256::of(&[u8::from(is_kept)]);
        known.used.insert(sha256, inspection_id(sha256, &Validator::Migration), Arc::new(found));
        assert!(inspector.remember(&mut known).await.unwrap());
        let kept = inspector.known(&commit, None).await.unwrap().take(sha256, &Validator::Migration);
        assert_eq!(kept.is_some(), is_kept, "{findings} MB");
    }
}
