use std::path::Path;

use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};

use super::*;
use crate::{plan::Pinned, runs::Lease};

const ID: &str = "01J0000000000000000000000A";

/// What dbt 1.11 wrote in a case of `tests/oracles/make_dbt_artefacts.py`.
fn fixture(case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../readers/src/dbt/fixtures/1.11/{case}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn planned() -> PlannedDbt {
    let key = "bank-risk-platform/3f1c/modules/MOD-301/dbt/manifest.json".to_owned();
    PlannedDbt {
        module: "MOD-301".parse().unwrap(),
        manifest: Pinned { key, version_id: "v1".into(), sha256: Sha256::of(b"manifest"), size: 8 },
        target: "uat".to_owned(),
        adapter: "duckdb".to_owned(),
        database: "risk_uat".to_owned(),
        schema: Some("main".to_owned()),
    }
}

/// What a build of these documents comes to under a lease that was opened before dbt ran.
fn judged_by(rules: &DbtRules, both: &Value, planned: &PlannedDbt) -> Judgement {
    let tested = fixture("build")["manifest"].to_string();
    let (manifest, results) = (both["manifest"].to_string(), both["run_results"].to_string());
    let evidence =
        Evidence { tested: tested.as_bytes(), manifest: manifest.as_bytes(), run_results: results.as_bytes() };
    let promotion: PromotionId = ID.parse().unwrap();
    let opened = OpenLease::opened(promotion.clone(), &Lease::of("token", 60), "2026-11-30T00:00:00Z".parse().unwrap());
    judge(planned, evidence, rules, &promotion, &opened).unwrap()
}

fn judged(both: &Value) -> Judgement {
    judged_by(&DbtRules::default(), both, &planned())
}

/// A build that was made for the promotion, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Judgement {
    let mut both = fixture("promoted");
    change(&mut both);
    judged(&both)
}

/// The case as if it had been run for the promotion.
fn as_promoted(case: &str) -> Value {
    let mut both = fixture(case);
    both["manifest"]["metadata"]["env"] = json!({"GATEKEEPER_PROMOTION": ID});
    both
}

fn refused(judgement: Judgement) -> Vec<String> {
    match judgement {
        Judgement::Refused(reasons) => said(&reasons),
        Judgement::Final { reasons, .. } => panic!("it is final: {reasons:?}"),
    }
}

fn against(judgement: Judgement) -> Vec<String> {
    match judgement {
        Judgement::Final { reasons, .. } => said(&reasons),
        Judgement::Refused(reasons) => panic!("it is refused: {reasons:?}"),
    }
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message)).collect()
}

#[test]
fn a_build_that_was_made_for_the_promotion_passes() {
    let Judgement::Final { reasons, warnings, proof: RunProof::Dbt(proof) } = judged(&fixture("promoted")) else {
        panic!("it is dbt's and final");
    };
    assert_eq!((reasons.as_slice(), warnings.as_slice()), (&[][..], &[][..]));
    assert_eq!((proof.target.as_deref(), proof.adapter.as_deref()), (Some("uat"), Some("duckdb")));
    assert_eq!(proof.databases, BTreeSet::from(["risk_uat".to_owned()]));
    assert_eq!(proof.compared, 20);
    assert_eq!(proof.nodes, BTreeMap::from([("no-op".to_owned(), 1), ("success".to_owned(), 18)]));
}

#[test]
fn what_is_of_no_run_for_the_promotion_is_refused_and_may_be_mended() {
    let env = |value: Value| changed(|it| it["manifest"]["metadata"]["env"] = value);
    insta::assert_debug_snapshot!([
        refused(env(json!({}))),
        refused(env(json!({"GATEKEEPER_PROMOTION": "01J0000000000000000000000B"}))),
        refused(env(Value::Null)),
        refused(changed(|it| it["run_results"]["metadata"]["invocation_id"] = json!("another"))),
        refused(changed(|it| it["manifest"]["metadata"]["invocation_id"] = Value::Null)),
        refused(changed(|it| it["manifest"]["metadata"]["generated_at"] = json!("2026-11-29T23:59:59.999Z"))),
        refused(changed(|it| it["manifest"]["metadata"]["generated_at"] = json!("yesterday"))),
        refused(changed(|it| it["manifest"] = json!([]))),
        refused(changed(|it| it["run_results"] = json!({"results": []}))),
    ]);
}

#[test]
fn what_is_of_the_lease_and_bad_is_final_with_every_reason() {
    let on_dev = against(judged(&as_promoted("build")));
    let selected = against(judged(&as_promoted("selected")));
    let other_code = against(changed(|it| {
        it["manifest"]["nodes"]["model.oracle.mart"]["raw_code"] = json!("select 2");
    }));
    let failed = against(changed(|it| {
        let results = it["run_results"]["results"].as_array_mut().unwrap();
        results.iter_mut().find(|it| it["unique_id"] == "model.oracle.mart").unwrap()["status"] = json!("error");
        it["run_results"]["results"].as_array_mut().unwrap().retain(|it| it["unique_id"] != "seed.oracle.rates");
    }));
    insta::assert_debug_snapshot!([on_dev, selected, other_code, failed]);
    let failed = against(judged(&as_promoted("failed")));
    let has = |code: &str| failed.iter().any(|it| it.starts_with(code));
    assert!(has("dbt-build-failed ") && has("dbt-not-compiled ") && has("run-target-mismatch "), "{failed:?}");
}

#[test]
fn the_policy_says_how_many_warnings_there_may_be_and_the_stage_where() {
    let warned = as_promoted("warned");
    let on_dev = PlannedDbt { target: "dev".to_owned(), database: "RISK_DEV".to_owned(), schema: None, ..planned() };
    let Judgement::Final { warnings, .. } = judged_by(&DbtRules::default(), &warned, &on_dev) else {
        panic!("it is final");
    };
    assert_eq!(warnings.len(), 1);
    let strict = DbtRules { max_warnings: Some(0), ..DbtRules::default() };
    let reasons = against(judged_by(&strict, &warned, &on_dev));
    assert!(reasons.iter().any(|it| it.starts_with("outcome-refused ")), "{reasons:?}");
    let elsewhere = PlannedDbt { schema: Some("marts".to_owned()), ..planned() };
    let reasons = against(judged_by(&DbtRules::default(), &fixture("promoted"), &elsewhere));
    assert!(reasons.iter().all(|it| it.starts_with("run-target-mismatch ") && it.contains("`marts`")), "{reasons:?}");
}
