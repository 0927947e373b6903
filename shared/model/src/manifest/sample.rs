//! The contract's example of a manifest, for tests.
#![expect(clippy::unwrap_used, reason = "the names are constants")]

use serde_json::json;

use crate::ids::{Commit, Sha256};

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

/// The commit of the example.
///
/// # Panics
/// Never: its names are constants.
#[must_use]
pub fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

/// The example of the contract, whole.
#[must_use]
pub fn example() -> serde_json::Value {
    let digest = |seed: &str| Sha256::of(seed.as_bytes()).to_string();
    json!({
        "schema_version": 1,
        "repo": "bank-payments",
        "commit_sha": SHA,
        "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z",
        "build": {"run_url": "https://github.com/example-bank/bank-payments/actions/runs/123", "run_attempt": 1, "actor": "ci"},
        "modules": [{
            "id": "MOD-012",
            "functions": [{"name": "authorise-payment", "sha256": digest("zip"), "size": 48213, "stack": "payments-api", "logical_id": "AuthorisePaymentFn"}],
            "stacks": [{"name": "payments-api", "sha256": digest("template"), "size": 9120}],
            "schemas": [{"database": "payments", "sha256": digest("schema"), "size": 20113}],
            "migrations": [{"database": "payments", "file": "V1__create_ledger.sql", "sha256": digest("migration"), "size": 812}],
            "dbt": {"sha256": digest("dbt"), "size": 120_331}
        }],
        "tests": {
            "typecheck": {"errors": 0},
            "unit": {"passed": 210, "failed": 0, "skipped": 0, "line_coverage": 87.1, "function_coverage": 84.0},
            "policy": {"passed": 12, "failed": 0, "skipped": 0, "policies_satisfied": ["POL-004", "POL-017"]},
            "integration": {"passed": 31, "failed": 0, "skipped": 0, "run_integration": true,
                            "deployed": [{"function": "authorise-payment", "code_sha256": digest("zip")}]}
        },
        "reports": [{"suite": "integration", "format": "junit", "file": "integration.xml", "sha256": digest("report"), "size": 8123}],
        "flyway": {"payments": {"validated": true, "checksums": {"V1__create_ledger.sql": -1_553_201_731}}},
        "deploy": {"stage": "dev", "succeeded": true},
        "pulumi": {"program_sha": SHA, "update": {
            "backend": "s3://bank-pulumi-state", "project": "bank-platform", "stack": "dev", "kind": "update", "result": "succeeded",
            "git_head": SHA, "git_dirty": false, "step_started_at": "2026-05-02T03:04:05.123Z",
            "started_at": "2026-05-02T03:04:08Z", "ended_at": "2026-05-02T03:04:50Z", "resource_changes": {"create": 4, "same": 9},
            "engine": "v3.276.0", "plugins": {"aws": "7.48.0"},
            "state": {"key": ".pulumi/stacks/bank-platform/dev.json", "version_id": "v1", "sha256": digest("state"), "size": 40_211}
        }},
        "dcm": {"plan": true, "deploy": true},
        "dbt_build": {"succeeded": true}
    })
}
