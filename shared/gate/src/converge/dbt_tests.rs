//! A commit's dbt files at the gate, as real dbt wrote them: over the memory store.

use gatekeeper_model::{
    ids::Commit,
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::memory::Memory;
use serde_json::{Value, json};

use super::*;
use crate::converge::{NoVerifier, check};

/// What a build stores of dbt, and what binds it.
struct Build {
    manifest: Value,
    results: Option<Value>,
    snapshot: Option<&'static str>,
    policy: Value,
    stage: &'static str,
}

/// What dbt wrote in a case of `tests/oracles/make_dbt_artefacts.py`.
fn fixture(case: &str) -> (Value, Option<Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../readers/src/dbt/fixtures/1.11/{case}.json"));
    let mut both: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    (both["manifest"].take(), Some(both["run_results"].take()).filter(|it| !it.is_null()))
}

impl Build {
    fn of(case: &str) -> Self {
        let (manifest, results) = fixture(case);
        Self { manifest, results, snapshot: None, policy: json!({"require": ["dbt-run-results"]}), stage: "dev" }
    }

    async fn judged(&self) -> Verdict {
        let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: sha.parse().unwrap() };
        let (artefacts, records) = (Memory::default(), Memory::default());
        let store = |path: &str, bytes: &str| {
            artefacts.upload(&format!("{}{path}", commit.prefix()), bytes.as_bytes(), &[]);
            json!({"sha256": Sha256::of(bytes.as_bytes()), "size": bytes.len()})
        };
        let mut dbt = store("modules/MOD-301/dbt/manifest.json", &self.manifest.to_string());
        if let Some(results) = &self.results {
            dbt["run_results"] = store("modules/MOD-301/dbt/run_results.json", &results.to_string());
        }
        let mut module = json!({"id": "MOD-301", "dbt": dbt});
        if let Some(statements) = self.snapshot {
            let dump = format!(
                "--\n-- PostgreSQL database dump\n--\n\n{statements}\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
            );
            let mut entry = store("modules/MOD-301/schema/risk_dev-schema.sql", &dump);
            entry["database"] = json!("risk_dev");
            module["schemas"] = json!([entry]);
        }
        let manifest = json!({
            "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z", "modules": [module],
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {"passed": 2, "failed": 0, "line_coverage": 90, "function_coverage": 90},
                "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
                "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
            },
            "flyway": {"risk_dev": {"validated": true}},
            "deploy": {"stage": self.stage, "succeeded": true}
        });
        store("build-manifest.json", &manifest.to_string());
        let policy = json!({"schema_version": 1, "all": self.policy}).to_string();
        records.upload(&RecordKey::PolicyConfig.to_string(), policy.as_bytes(), &[]);
        let now = "2026-05-02T03:10:00Z".parse().unwrap();
        check(&artefacts, &records, &commit, &NoVerifier, &std::env::temp_dir(), now).await.unwrap()
    }

    /// The outcome, with the codes of what refuses and of what is only told, each with the end of its subject.
    async fn verdict(&self) -> (Outcome, Vec<String>, Vec<String>) {
        let verdict = self.judged().await;
        let told = |it: &Finding| {
            let end = it.subject.rsplit_once("/modules/").map_or(it.subject.as_str(), |(_, path)| path);
            format!("{} {end}", it.code)
        };
        (verdict.outcome, verdict.reasons.iter().map(told).collect(), verdict.warnings.iter().map(told).collect())
    }
}

const UNCHECKED: &str = "dbt-source-unchecked MOD-301/dbt/manifest.json";

#[tokio::test]
async fn a_whole_build_is_built_and_what_nothing_tells_is_a_warning() {
    let (outcome, reasons, warnings) = Build::of("build").verdict().await;
    assert_eq!((outcome, reasons, warnings), (Outcome::Built, vec![], vec![UNCHECKED.to_owned()]));
}

#[tokio::test]
async fn what_is_no_proof_of_a_build_is_refused_by_name() {
    for (case, code) in [
        ("parse", "dbt-not-compiled MOD-301/dbt/manifest.json"),
        ("ls", "dbt-not-compiled MOD-301/dbt/manifest.json"),
        ("compile", "dbt-build-partial MOD-301/dbt/run_results.json"),
        ("failed", "dbt-build-failed MOD-301/dbt/run_results.json"),
        ("selected", "dbt-build-partial MOD-301/dbt/run_results.json"),
        ("uat", "dbt-target-mismatch MOD-301/dbt/run_results.json"),
    ] {
        let (outcome, reasons, _) = Build::of(case).verdict().await;
        assert_eq!(outcome, Outcome::Rejected, "{case}");
        assert!(reasons.contains(&code.to_owned()), "{case}: {reasons:?}");
    }
    let on_uat = Build { stage: "uat", ..Build::of("uat") };
    assert_eq!(on_uat.verdict().await.0, Outcome::Built);
}

#[tokio::test]
async fn results_are_asked_for_where_the_policy_does() {
    let without = Build { results: None, ..Build::of("compile") };
    let (outcome, reasons, _) = without.verdict().await;
    let missing = "dbt-run-results-missing MOD-301/dbt/run_results.json".to_owned();
    // It is no key of the store, because nothing lies there.
    let reasons: Vec<_> = reasons.into_iter().map(|it| it.replace("modules/", "")).collect();
    assert_eq!((outcome, reasons), (Outcome::Rejected, vec![missing]));
    let unasked = Build { results: None, policy: json!({}), ..Build::of("compile") };
    assert_eq!(unasked.verdict().await.0, Outcome::Built);
}

#[tokio::test]
async fn the_policy_says_what_dev_is_and_how_many_warnings_are_too_many() {
    let elsewhere = Build { policy: json!({"dbt": {"databases": ["RISK_PROD"]}}), ..Build::of("build") };
    assert_eq!(elsewhere.verdict().await.1, ["dbt-target-mismatch MOD-301/dbt/manifest.json"]);
    let mut warned = Build { policy: json!({"dbt": {"allow": ["vars"]}}), ..Build::of("warned") };
    let told = "dbt-build-warned MOD-301/dbt/run_results.json".to_owned();
    assert_eq!(warned.verdict().await, (Outcome::Built, vec![], vec![told, UNCHECKED.to_owned()]));
    warned.policy = json!({"dbt": {"allow": ["vars"], "max_warnings": 0}});
    assert_eq!(warned.verdict().await.1, ["outcome-refused MOD-301/dbt/run_results.json"]);
}

#[tokio::test]
async fn what_models_read_is_in_the_tested_schema() {
    let deliveries = "CREATE TABLE raw.deliveries (\n    id integer\n);";
    let there = Build { snapshot: Some(deliveries), ..Build::of("build") };
    assert_eq!(there.verdict().await, (Outcome::Built, vec![], vec![]));
    let another = "CREATE TABLE raw.orders (\n    id integer\n);";
    let missing = Build { snapshot: Some(another), ..Build::of("build") };
    let (outcome, reasons, warnings) = missing.verdict().await;
    let code = "dbt-source-missing MOD-301/dbt/manifest.json".to_owned();
    assert_eq!((outcome, reasons, warnings), (Outcome::Rejected, vec![code], vec![]));
}
