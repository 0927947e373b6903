//! dbt's manifests and results, held against a naive reading of each.

use serde_json::Value;

use crate::{
    input::{Pieces, cut, plain_json, reads_back, told},
    product::{Code, DbtRules, dbt},
};

const SUBJECT: &str = "modules/MOD-301/dbt";

/// A manifest that is taken has compiled code wherever a naive reading of it wants some.
pub(crate) fn manifest(document: &[u8]) {
    let read = |bytes: &[u8]| dbt::manifest::inspect(bytes, SUBJECT).expect("memory can be read");
    let (findings, facts) = read(document);
    told(&findings, SUBJECT);
    let in_pieces = dbt::manifest::inspect(Pieces::of(document), SUBJECT).expect("memory can be read");
    assert_eq!(in_pieces.1, facts, "read in pieces");
    let Some(facts) = facts else {
        assert!(!findings.is_empty());
        return;
    };
    reads_back(&facts);
    assert!(read(cut(document)).1.is_none(), "cut off");
    assert!(facts.built.is_disjoint(&facts.others), "a node is built or it isn't");
    let target = dbt::check::check_target(SUBJECT, &facts, &DbtRules::default());
    assert!(target.is_empty(), "no rule is broken where there is none: {target:?}");
    told(&dbt::check::check_sources(SUBJECT, &facts, &dbt::check::Tables::new()), SUBJECT);

    let Some(value) = plain_json(document) else { return };
    assert_eq!(read(value.to_string().as_bytes()), (findings.clone(), Some(facts.clone())), "spelt otherwise");
    for (id, node) in value["nodes"].as_object().into_iter().flatten() {
        let is_compiled = matches!(node["resource_type"].as_str(), Some("model" | "snapshot" | "test"));
        if node["config"]["enabled"] == Value::Bool(false) || !is_compiled {
            continue;
        }
        let code = node["compiled_code"].as_str().or_else(|| node["compiled_sql"].as_str()).unwrap_or_default();
        if code.trim_ascii().is_empty() {
            assert!(findings.iter().any(|it| it.code == Code::DbtNotCompiled), "`{id}` has no code");
        }
    }
    if let Some(Value::Object(nodes)) = value.get("nodes") {
        assert!(nodes.keys().all(|id| facts.built.contains(id) || facts.others.contains(id)), "a node is lost");
    }
}

/// Of results that are taken, none that is not good is lost.
pub(crate) fn run_results(document: &[u8]) {
    let read = |bytes: &[u8]| dbt::run_results::inspect(bytes, SUBJECT).expect("memory can be read");
    let (findings, results) = read(document);
    told(&findings, SUBJECT);
    let in_pieces = dbt::run_results::inspect(Pieces::of(document), SUBJECT).expect("memory can be read");
    assert_eq!(in_pieces.1, results, "read in pieces");
    let Some(results) = results else {
        assert!(!findings.is_empty());
        return;
    };
    reads_back(&results);
    assert!(read(cut(document)).1.is_none(), "cut off");

    let Some(value) = plain_json(document) else { return };
    assert_eq!(read(value.to_string().as_bytes()).1.as_ref(), Some(&results), "spelt otherwise");
    // A manifest that fits them but for what they came to.
    let facts = dbt::manifest::Facts {
        dbt_version: results.dbt_version.clone(),
        invocation_id: results.invocation_id.clone(),
        built: results.results.keys().cloned().collect(),
        ..dbt::manifest::Facts::default()
    };
    let found = dbt::check::check_build(SUBJECT, &facts, &results, &DbtRules::default(), None);
    told(&found, SUBJECT);
    let statuses: Vec<_> = value["results"].as_array().into_iter().flatten().map(|it| it["status"].as_str()).collect();
    assert_eq!(statuses.len(), results.results.len(), "a result is lost");
    let is_bad = statuses.iter().any(|it| !matches!(it, Some("success" | "pass" | "warn")));
    assert_eq!(found.iter().any(|it| it.code == Code::DbtBuildFailed), is_bad, "{statuses:?}");
    let is_build = value["args"]["which"].as_str() == Some("build");
    assert!(is_build || value["args"]["which"].is_null() || found.iter().any(|it| it.code == Code::DbtBuildPartial));
}
