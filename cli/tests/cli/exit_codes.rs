//! What scripts hold on to (CONTRACT §9): exit codes, and the shape of what `--output json` prints.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Build, Run, SHA, gatekeeper_with};

const LEDGER: &str = "CREATE TABLE public.ledger (\n    id bigint NOT NULL\n);\n";

fn dump(statements: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\n\n\
         SET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n{statements}\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

/// Folders and files that commands are called with, by the names that `run` replaces.
struct Files {
    builds: [(&'static str, String, Build); 2],
    root: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let mut rejected = Build::built();
        *rejected.manifest.pointer_mut("/tests/unit/line_coverage").unwrap() = json!(79.9);
        let root = tempfile::tempdir().unwrap();
        let installation = json!({
            // Nothing listens on port 1.
            "Endpoint": "http://127.0.0.1:1", "Region": "ap-southeast-2",
            "AccessKeyId": "000000000000", "SecretAccessKey": "none",
            "RecordsBucket": "records", "ArtefactBucket": "artefacts", "PromoteFunction": "promote"
        });
        for (name, text) in [
            ("outputs.json", installation.to_string()),
            ("ledger.sql", dump(LEDGER)),
            ("other.sql", dump(&LEDGER.replace("NOT NULL", ""))),
            ("migrations/V1__one.sql", "SELECT 1;\n".to_owned()),
            ("twice/V1__one.sql", "SELECT 1;\n".to_owned()),
            ("twice/V1__uno.sql", "SELECT 1;\n".to_owned()),
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // A folder's manifest is written where it is asked for: once.
        let builds = [("BUILT", Build::built()), ("REJECTED", rejected)]
            .map(|(name, build)| (name, build.folder().display().to_string(), build));
        Self { builds, root }
    }

    /// Runs a line; `BUILT` and `REJECTED` are folders of builds, `ROOT/` is where the other files lie.
    fn run(&self, line: &str) -> Run {
        let root = format!("{}/", self.root.path().display());
        let arguments: Vec<_> = line
            .split_whitespace()
            .map(|word| match self.builds.iter().find(|(name, ..)| *name == word) {
                Some((_, folder, _)) => folder.clone(),
                None => word.replace("ROOT/", &root).replace("SHA", SHA),
            })
            .collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        gatekeeper_with(
            &arguments,
            &[("PATH", "/usr/bin:/bin"), ("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/payments")],
        )
    }

    /// Runs a line that must end with this code.
    fn ends(&self, line: &str, code: i32) {
        let run = self.run(line);
        assert_eq!(run.code, code, "{line}: {}", run.stderr);
        if code >= 2 {
            let tells = run.stderr.lines().any(|it| it.starts_with("error: "));
            assert!(run.stdout.is_empty() && tells, "{line}: {}", run.shown());
        } else if !line.starts_with("run") {
            assert!(!run.stdout.is_empty(), "{line}");
        }
    }
}

#[test]
fn every_command_ends_with_the_contracts_codes() {
    let files = Files::new();
    for (code, lines) in [
        (
            0,
            &[
                "check BUILT",
                "check BUILT --output json",
                "publish BUILT --repo bank-payments --sha SHA --dry-run",
                "run smoke --dir ROOT/build -- true",
                "flyway checksums ROOT/migrations --database payments",
                "snapshot compare ROOT/ledger.sql ROOT/ledger.sql",
                "schema",
                "schema handoff",
                "completions bash",
                "man",
                "--version",
            ] as &[_],
        ),
        (
            1,
            &[
                "check REJECTED",
                "check REJECTED --expect registered --output json",
                "publish REJECTED --repo bank-payments --sha SHA",
                "publish REJECTED --repo bank-payments --sha SHA --dry-run",
                "run smoke --dir ROOT/build -- false",
                "flyway checksums ROOT/twice --database payments",
                "flyway validate ROOT/twice --database payments",
                "snapshot compare ROOT/ledger.sql ROOT/other.sql",
            ],
        ),
        (
            2,
            &[
                "check ROOT/none",
                "publish ROOT/none --repo bank-payments --sha SHA",
                "publish BUILT",
                "publish BUILT --repo bank-kyc --sha SHA",
                "run smoke --dir ROOT/build",
                "run smoke --dir ROOT/ledger.sql -- true",
                "flyway checksums ROOT/none --database payments",
                "flyway validate ROOT/none --database payments",
                "snapshot compare ROOT/ledger.sql ROOT/none.sql",
                "handoffs pull",
                "promote --repo bank-payments --sha main --stage uat --reason release",
                "rollback --repo bank-payments --stage UAT --reason fault",
                "revoke --repo bank-payments --sha SHA",
                "status --outputs ROOT/none.json",
                "observe --stage dev --repo bank-payments",
                "schema verdict",
                "completions csh",
                "man --into ROOT/ledger.sql/man1",
                "deliver",
                "deploy --repo bank-payments --sha SHA",
            ],
        ),
        (
            3,
            &[
                "check s3://artefacts/bank-payments/SHA/ --outputs ROOT/outputs.json",
                "publish BUILT --repo bank-payments --sha SHA --outputs ROOT/outputs.json",
                "handoffs pull --repo bank-payments --sha SHA --into ROOT/handoffs --outputs ROOT/outputs.json",
                "deploy --repo bank-payments --sha SHA --stage dev --outputs ROOT/outputs.json",
                "observe BUILT --repo bank-payments --stage dev --outputs ROOT/outputs.json",
                "promote --repo bank-payments --sha SHA --stage uat --reason release --outputs ROOT/outputs.json",
                "rollback --repo bank-payments --stage uat --reason fault --outputs ROOT/outputs.json",
                "revoke --repo bank-payments --sha SHA --reason fault --outputs ROOT/outputs.json",
                "status --outputs ROOT/outputs.json",
                "flyway validate ROOT/migrations --database payments",
                "snapshot take --database payments --out ROOT/taken.sql",
            ],
        ),
    ] {
        // Some wait for a network that isn't there: all of them at once.
        std::thread::scope(|scope| {
            for line in lines {
                scope.spawn(|| files.ends(line, code));
            }
        });
    }
    for left in ["none", "handoffs", "taken.sql"] {
        assert!(!files.root.path().join(left).exists(), "`{left}` was made by a command that failed");
    }
}

/// A document without its values: what a script may rely on.
fn shape(document: &Value) -> Value {
    match document {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("bool"),
        Value::Null => json!(null),
    }
}

#[test]
fn json_results_have_one_shape() {
    let files = Files::new();
    for (name, line) in [
        ("check_built", "check BUILT"),
        ("check_rejected", "check REJECTED"),
        ("publish_planned", "publish BUILT --repo bank-payments --sha SHA --dry-run"),
        ("publish_refused", "publish REJECTED --repo bank-payments --sha SHA"),
        ("run", "run smoke --dir ROOT/build"),
        ("flyway_checksums", "flyway checksums ROOT/migrations --database payments"),
        ("flyway_checksums_refused", "flyway checksums ROOT/twice --database payments"),
        ("flyway_validate_refused", "flyway validate ROOT/twice --database payments"),
        ("snapshot_compare_same", "snapshot compare ROOT/ledger.sql ROOT/ledger.sql"),
        ("snapshot_compare_differs", "snapshot compare ROOT/ledger.sql ROOT/other.sql"),
        ("completions", "completions fish"),
        ("man", "man"),
        ("man_into", "man --into ROOT/man1"),
    ] {
        let line = format!("{line} --output json{}", if name == "run" { " -- true" } else { "" });
        let run = files.run(&line);
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{line}: {}", run.shown()));
        insta::assert_json_snapshot!(format!("json_{name}"), shape(&document));
    }
}
