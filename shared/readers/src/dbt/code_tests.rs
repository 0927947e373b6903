use serde_json::{Value, json};

use super::*;

fn project(value: &Value) -> Project {
    read(value.to_string().as_bytes(), "manifest").unwrap().unwrap()
}

/// A project on a target: two models, of which one reads the other, and a source.
fn on(target: &str, of_mart: &str) -> Value {
    let (database, schema) = (format!("RISK_{}", target.to_uppercase()), format!("{target}_marts"));
    let table = |name: &str| format!("{database}.{schema}.{name}");
    let compiled =
        of_mart.replace("{staged}", &table("staged")).replace("{database}", &database).replace("{schema}", &schema);
    let model = |name: &str, raw: &str, compiled: String| {
        json!({"resource_type": "model", "database": database, "schema": schema, "relation_name": table(name),
               "raw_code": raw, "compiled_code": compiled, "config": {"pre-hook": [], "post-hook": []}})
    };
    json!({
        "metadata": {"generated_at": "2026-05-02T03:04:05Z", "env": {"GATEKEEPER_PROMOTION": "01J", "OTHER": "x"}},
        "nodes": {
            "model.risk.staged": model("staged", "select * from {{ source('raw', 'trades') }}", "select * from RAW.T.trades".to_owned()),
            "model.risk.mart": model("mart", "select 1 from {{ ref('staged') }}", compiled),
            "seed.risk.limits": {"resource_type": "seed", "database": database, "schema": schema,
                                 "relation_name": table("limits"), "raw_code": "", "checksum": {"name": "sha256", "checksum": "ab"}},
        },
        "sources": {"source.risk.raw.trades": {"resource_type": "source", "database": "RAW", "schema": "T", "relation_name": "RAW.T.trades"}},
        "macros": {"macro.risk.cents": {"macro_sql": "{% macro cents() %}100{% endmacro %}"}},
    })
}

/// What is found where dev has `tested` and the stage `built` as the code of a model.
fn found(tested: &str, built: &str) -> Vec<String> {
    let (findings, compared) = check("manifest", &project(&on("dev", tested)), &project(&on("uat", built)));
    assert_eq!(compared, 3);
    findings.into_iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
}

#[test]
fn code_is_the_same_but_for_the_targets_names() {
    for same in [
        "select 1 from {staged}",
        "select {staged}.amount from {staged} where x = 'a.b' and \"y\" = 1.5",
        "select '{database}' as db, '{schema}' as s from {database}.information_schema.tables",
        "refs = {\"staged\": \"{staged}\"}",
        "select 1 -- größe",
        "unterminated \" from {staged}",
    ] {
        assert_eq!(found(same, same), [""; 0], "{same}");
    }
}

#[test]
fn code_that_does_something_else_is_found() {
    for (tested, built) in [
        ("select 1 from {staged}", "select 2 from {staged}"),
        ("select 1 from {staged}", "select 1 from {staged} where false"),
        ("select 1 from {staged}", "select 1 from {database}.{schema}.limits"),
        ("select 1 from {staged}", "select 1 from RISK_DEV.dev_marts.staged"),
        ("select 1 from {staged}", "select 1 from RAW.T.trades"),
        ("select 1 from {staged}", "select 1 from {staged}_2"),
        ("select 1 from {staged}", "select 1 from \"{staged}\""),
        ("select '{database}'", "select '{schema}'"),
        ("select a from {staged}", "select a"),
    ] {
        let found = found(tested, built);
        assert_eq!(found.len(), 1, "{tested} / {built}: {found:?}");
        assert!(found[0].starts_with("dbt-code-differs: nodes are compiled to something else"), "{found:?}");
    }
}

#[test]
fn other_nodes_sources_hooks_data_and_macros_are_found() {
    let dev = on("dev", "select 1");
    let said = |change: fn(&mut Value)| {
        let mut stage = on("uat", "select 1");
        change(&mut stage);
        let findings = check("manifest", &project(&dev), &project(&stage)).0;
        findings.into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    insta::assert_debug_snapshot!([
        said(|it| drop(it["nodes"].as_object_mut().unwrap().remove("model.risk.mart"))),
        said(|it| it["nodes"]["model.risk.more"] = it["nodes"]["model.risk.mart"].clone()),
        said(|it| it["nodes"]["model.risk.mart"]["raw_code"] = json!("select 1")),
        said(|it| it["nodes"]["model.risk.mart"]["config"]["post-hook"] = json!([{"sql": "drop table x"}])),
        said(|it| it["nodes"]["seed.risk.limits"]["checksum"]["checksum"] = json!("cd")),
        said(|it| it["nodes"]["model.risk.mart"]["compiled_code"] = Value::Null),
        said(|it| it["macros"]["macro.risk.cents"]["macro_sql"] = json!("10")),
        said(|it| it["macros"] = json!({})),
    ]);
}

#[test]
fn what_is_no_manifest_is_a_finding() {
    for bytes in [&b""[..], b"[]", b"{\"nodes\": []}", b"{\"nodes\": {\"a\": {}, \"a\": {}}}"] {
        assert_eq!(read(bytes, "x").unwrap().unwrap_err().code, FindingCode::DbtManifestInvalid);
    }
    let project = project(&on("dev", "select 1"));
    assert_eq!(project.env, BTreeMap::from([("GATEKEEPER_PROMOTION".to_owned(), "01J".to_owned())]));
    assert_eq!(project.schemas.keys().collect::<Vec<_>>(), ["dev_marts"]);
}
