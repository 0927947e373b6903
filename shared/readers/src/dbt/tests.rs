use std::{
    io::{self, Read},
    path::Path,
};

use gatekeeper_model::{
    finding::Finding,
    policy::{DbtOption, DbtRules},
};
use serde_json::{Value, json};

use super::{
    check::{Tables, check_build, check_sources, check_target},
    manifest::{self, Facts},
    run_results::{self, RunResults},
};
use crate::flyway::settings::TableName;

const MANIFEST: &str = "modules/MOD-301/dbt/manifest.json";
const RESULTS: &str = "modules/MOD-301/dbt/run_results.json";

const V12: &str = "https://schemas.getdbt.com/dbt/manifest/v12.json";

/// The versions of dbt whose files are here, with the oldest first.
const VERSIONS: [&str; 5] = ["1.8", "1.9", "1.10", "1.11", "1.12"];

/// What a version of dbt wrote in a case of `tests/oracles/make_dbt_artefacts.py`.
fn fixture(version: &str, case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/dbt/fixtures/{version}/{case}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn manifest_of(value: &Value) -> (Vec<Finding>, Option<Facts>) {
    manifest::inspect(value.to_string().as_bytes(), MANIFEST).unwrap()
}

fn results_of(value: &Value) -> (Vec<Finding>, Option<RunResults>) {
    run_results::inspect(value.to_string().as_bytes(), RESULTS).unwrap()
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
}

/// Everything that is found in a case, under these rules.
fn judged(both: &Value, rules: &DbtRules) -> Vec<String> {
    let (mut findings, facts) = manifest_of(&both["manifest"]);
    let facts = facts.unwrap();
    findings.extend(check_target(MANIFEST, &facts, rules));
    if !both["run_results"].is_null() {
        let (found, results) = results_of(&both["run_results"]);
        findings.extend(found);
        let stage = "dev".parse().unwrap();
        findings.extend(check_build(RESULTS, &facts, &results.unwrap(), rules, Some(&stage)));
    }
    said(&findings)
}

fn judge(version: &str, case: &str) -> Vec<String> {
    judged(&fixture(version, case), &DbtRules::default())
}

#[test]
fn a_build_is_whole_whichever_dbt_ran_it() {
    for version in VERSIONS {
        assert_eq!(judge(version, "build"), [""; 0], "{version}");
    }
}

#[test]
fn what_was_only_parsed_or_listed_is_not_compiled() {
    for version in VERSIONS {
        for case in ["parse", "ls"] {
            let found = judge(version, case);
            assert!(
                found[0].starts_with("dbt-not-compiled: 6 of 6 models, 1 of 1 snapshots, 6 of 6 tests have no"),
                "{found:?}"
            );
        }
    }
    insta::assert_debug_snapshot!(judge("1.11", "parse"));
    // Its results are those of the build before, which another manifest belongs to.
    insta::assert_debug_snapshot!(judge("1.11", "ls"));
}

#[test]
fn a_compiled_manifest_is_one_and_its_results_are_of_no_build() {
    for version in VERSIONS {
        let compiled = fixture(version, "compile");
        assert_eq!(manifest_of(&compiled["manifest"]).0, []);
        assert!(judge(version, "compile")[0].starts_with("dbt-build-partial: they are of `dbt compile`"), "{version}");
    }
}

#[test]
fn a_build_that_failed_is_told_with_what_failed() {
    for version in VERSIONS {
        let found = judge(version, "failed");
        let has = |start: &str| found.iter().any(|it| it.starts_with(start));
        assert!(has("dbt-build-failed: 1 node of dbt's build ended with `error`: `model.oracle.mart`"), "{found:?}");
        assert!(has("dbt-build-failed: ") && has("dbt-not-compiled: "), "{found:?}");
    }
    insta::assert_debug_snapshot!(judge("1.11", "failed"));
}

#[test]
fn every_way_to_leave_something_out_is_found() {
    let cases = [
        "selected",
        "excluded",
        "types",
        "empty",
        "sampled",
        "deferred",
        "full_refresh",
        "run",
        "test",
        "retried",
        "warned",
        "stored",
        "uat",
        "untold",
        "second",
    ];
    let found: Vec<_> = cases.map(|case| (case, judge("1.11", case))).into();
    insta::assert_debug_snapshot!(found);
}

/// A build, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut both = fixture("1.11", "build");
    change(&mut both);
    judged(&both, &DbtRules::default())
}

#[test]
fn results_of_another_run_do_not_count() {
    insta::assert_debug_snapshot!([
        changed(|it| it["run_results"]["metadata"]["invocation_id"] = json!("another")),
        changed(|it| it["manifest"]["metadata"]["invocation_id"] = Value::Null),
        changed(|it| it["run_results"]["metadata"]["dbt_version"] = json!("1.10.0")),
        changed(|it| drop(it["manifest"]["nodes"].as_object_mut().unwrap().remove("model.oracle.mart"))),
        changed(|it| {
            it["run_results"]["results"].as_array_mut().unwrap().retain(|it| it["unique_id"] != "model.oracle.mart");
        }),
        changed(|it| it["run_results"]["args"] = json!({})),
        changed(|it| it["run_results"]["args"]["target"] = json!("uat")),
    ]);
}

#[test]
fn a_status_that_is_not_known_is_no_good_one() {
    for status in ["error", "fail", "skipped", "runtime error", "partial success", "reused", "no-op", "Success", ""] {
        let found = changed(|it| {
            let results = it["run_results"]["results"].as_array_mut().unwrap();
            let mart = results.iter_mut().find(|it| it["unique_id"] == "model.oracle.mart").unwrap();
            mart["status"] = json!(status);
        });
        assert_eq!(
            found,
            [format!("dbt-build-failed: 1 node of dbt's build ended with `{status}`: `model.oracle.mart`")]
        );
    }
}

#[test]
fn what_dev_is_says_the_policy() {
    let rules = DbtRules {
        adapter: Some("snowflake".to_owned()),
        target: Some("ci".to_owned()),
        databases: ["RISK_PROD".to_owned(), "REFERENCE".to_owned()].into(),
        ..DbtRules::default()
    };
    let build = fixture("1.11", "build");
    insta::assert_debug_snapshot!(judged(&build, &rules));
    let right = DbtRules {
        adapter: Some("duckdb".to_owned()),
        target: Some("dev".to_owned()),
        databases: ["RISK_DEV".to_owned()].into(),
        ..DbtRules::default()
    };
    assert_eq!(judged(&build, &right), [""; 0]);
    let allowed = DbtRules { allow: [DbtOption::FullRefresh, DbtOption::Vars].into(), ..DbtRules::default() };
    assert_eq!(judged(&fixture("1.11", "full_refresh"), &allowed), [""; 0]);
    assert_eq!(judged(&fixture("1.11", "warned"), &allowed).len(), 1, "the warning is told");
    let strict = DbtRules { max_warnings: Some(0), ..allowed };
    insta::assert_debug_snapshot!(judged(&fixture("1.11", "warned"), &strict));
}

#[test]
fn a_newer_schema_is_taken_as_long_as_it_tells_as_much() {
    let newer = |change: fn(&mut Value)| {
        changed(|it| {
            it["manifest"]["metadata"]["dbt_schema_version"] =
                json!("https://schemas.getdbt.com/dbt/manifest/v20.json");
            it["run_results"]["metadata"]["dbt_schema_version"] =
                json!("https://schemas.getdbt.com/dbt/run-results/v7.json");
            change(it);
        })
    };
    assert_eq!(newer(|_| {}), [""; 0]);
    // dbt 2 keeps no code in the results, may leave out what is null, and may put arguments into an object of their own.
    let as_dbt_2 = |it: &mut Value| {
        for result in it["run_results"]["results"].as_array_mut().unwrap() {
            let result = result.as_object_mut().unwrap();
            result.retain(|name, value| !name.starts_with("compiled") && !value.is_null());
        }
        for node in it["manifest"]["nodes"].as_object_mut().unwrap().values_mut() {
            node.as_object_mut().unwrap().retain(|name, value| name != "compiled" && !value.is_null());
        }
        it["run_results"]["args"] = json!({"command": "build", "which": "build", "__other__": {"target": "dev"}});
    };
    assert_eq!(newer(as_dbt_2), [""; 0]);
    assert_eq!(
        newer(
            |it| it["run_results"]["args"] = json!({"which": "build", "__other__": {"target": "dev", "select": ["a"]}})
        )
        .len(),
        1
    );
    // What says less is not compiled, or of kinds of which nobody knows what becomes.
    assert_eq!(
        newer(|it| {
            for node in it["manifest"]["nodes"].as_object_mut().unwrap().values_mut() {
                node.as_object_mut().unwrap().remove("compiled_code");
            }
        })
        .len(),
        1
    );
    let mut strange = fixture("1.11", "build")["manifest"].take();
    strange["nodes"]["model.oracle.mart"]["resource_type"] = json!("notebook");
    strange["nodes"]["model.oracle.grown"].as_object_mut().unwrap().remove("resource_type");
    insta::assert_debug_snapshot!(said(&manifest_of(&strange).0));
}

#[test]
fn another_document_is_refused_with_the_place() {
    let manifest = |bytes: &[u8]| said(&manifest::inspect(bytes, MANIFEST).unwrap().0);
    let results = |bytes: &[u8]| said(&run_results::inspect(bytes, RESULTS).unwrap().0);
    let of = |version: &str, nodes: &str| {
        format!(r#"{{"metadata": {{"dbt_schema_version": "{version}"}}, "nodes": {nodes}}}"#).into_bytes()
    };
    let node = r#"{"model.a.b": {"resource_type": "model"}, "model.a.b": {"resource_type": "model"}}"#;
    insta::assert_debug_snapshot!([
        manifest(b""),
        manifest(b"[]"),
        manifest(b"{}"),
        manifest(b"{\"metadata\": 1}"),
        manifest(b"{\"metadata\": [\"v12\"], \"nodes\": {}}"),
        manifest(&of("https://schemas.getdbt.com/dbt/manifest/v3.json", "{}")),
        manifest(&of("https://schemas.getdbt.com/dbt/manifest/v012.json", "{}")),
        manifest(&of("https://schemas.getdbt.com/dbt/run-results/v6.json", "{}")),
        manifest(&of(V12, "[]")),
        manifest(&of(V12, "null")),
        manifest(&of(V12, r#"{"a": 1}"#)),
        manifest(&of(V12, node)),
        manifest(&[of(V12, "{}"), b"{}".to_vec()].concat()),
        manifest(&of(V12, "{}")[..60]),
        manifest(&of(V12, r#"{}, "nod\u0065s": {}"#)),
        results(b"[]"),
        results(b"{}"),
        results(&of("https://schemas.getdbt.com/dbt/run-results/v3.json", "{}")),
        results(br#"{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}, "args": [], "results": []}"#),
        results(br#"{"metadata": {}, "args": {}, "results": [{"unique_id": "model.a.b"}]}"#),
        results(br#"{"metadata": {}, "args": {}, "results": [{"unique_id": "a", "status": "pass"}, {"unique_id": "a", "status": "pass"}]}"#),
    ]);
}

#[test]
fn models_of_old_manifests_are_compiled_sql() {
    let manifest = json!({
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v4.json"},
        "nodes": {"model.a.b": {"resource_type": "model", "compiled": true, "compiled_sql": "select 1"}},
    });
    assert_eq!(manifest_of(&manifest).0, []);
}

#[test]
fn blank_code_is_no_code_and_half_a_surrogate_pair_is_some() {
    let of = |code: &str| {
        format!(
            r#"{{"metadata": {{"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"}},
                 "nodes": {{"model.a.b": {{"resource_type": "model", "compiled": true, "compiled_code": {code}}}}}}}"#
        )
    };
    for (code, findings) in [("\"\"", 1), ("\" \\n\"", 1), ("null", 1), ("\"select '\\ud83d'\"", 0)] {
        let (found, _) = manifest::inspect(of(code).as_bytes(), MANIFEST).unwrap();
        assert_eq!(found.len(), findings, "{code}: {found:?}");
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_no_verdict() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))
        }
    }
    let cut = &b"{\"metadata\": {"[..];
    assert_eq!(manifest::inspect(cut.chain(Broken), "x").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(run_results::inspect(cut.chain(Broken), "x").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Opens a document and never ends it.
fn endless(start: &'static str, unit: &'static str) -> impl Read {
    struct Endless(&'static [u8], usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }
    start.as_bytes().chain(Endless(unit.as_bytes(), 0))
}

#[test]
fn a_hostile_document_ends_before_it_costs_memory() {
    for (start, unit) in [
        ("", "["),
        (r#"{"nodes": {"a": "#, r#"{"a":"#),
        ("{\"", "x"),
        ("{\"metadata\": {\"dbt_schema_version\": \"", "x"),
        ("{\"metadata\": {\"", "\\\\x"),
        ("{\"nodes\": {\"", "\u{e9}"),
        (r#"{"nodes": {"a": {"compiled_code": ""#, "x"),
        (r#"{"nodes": {"a": {"depends_on": {"nodes": [""#, "x"),
        (r#"{"results": [{"unique_id": ""#, "x"),
        (r#"{"args": {"which": ""#, "x"),
    ] {
        assert_eq!(manifest::inspect(endless(start, unit), "x").unwrap().0.len(), 1, "{start}");
        assert_eq!(run_results::inspect(endless(start, unit), "x").unwrap().0.len(), 1, "{start}");
    }
}

/// Names without end, each another one.
fn names(start: &'static str, before: &'static str, after: &'static str) -> impl Read {
    struct Names(Vec<u8>, usize, u64, &'static str, &'static str);
    impl Read for Names {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1 == self.0.len() {
                self.2 += 1;
                (self.0, self.1) = (format!("{}{:0>5000}{}", self.3, self.2, self.4).into_bytes(), 0);
            }
            let length = buffer.len().min(self.0.len() - self.1);
            buffer[..length].copy_from_slice(&self.0[self.1..self.1 + length]);
            self.1 += length;
            Ok(length)
        }
    }
    start.as_bytes().chain(Names(Vec::new(), 0, 0, before, after))
}

#[test]
fn more_names_than_can_be_compared_are_refused() {
    let of_manifest = [
        (r#"{"nodes": {"x": {}"#, r#", ""#, r#"": {"resource_type": "model"}"#),
        (r#"{"unit_tests": {"x": {}"#, r#", ""#, r#"": {}"#),
        (r#"{"exposures": {"x": {}"#, r#", ""#, r#"": {}"#),
        (r#"{"sources": {"x": {}"#, r#", ""#, r#"": {}"#),
        (r#"{"nodes": {"x": {"depends_on": {"nodes": ["x""#, r#", "source."#, r#"""#),
    ];
    for (start, before, after) in of_manifest {
        let (found, _) = manifest::inspect(names(start, before, after), "x").unwrap();
        assert_eq!(found.len(), 1, "{start}");
    }
    let (found, _) = run_results::inspect(
        names(
            r#"{"results": [{"unique_id": "x", "status": "pass"}"#,
            r#", {"status": "pass", "unique_id": ""#,
            r#""}"#,
        ),
        "x",
    )
    .unwrap();
    assert!(found[0].message.contains("more than 65536 bytes of names"), "{found:?}");
}

#[test]
fn what_flyway_made_is_there_or_missing_and_of_the_rest_nothing_is_said() {
    let tables = |database: &str, names: &[&str]| -> Tables {
        let table = |name: &&str| name.parse::<TableName>().unwrap();
        [(database.parse().unwrap(), names.iter().map(table).collect())].into()
    };
    let facts = |adapter: &str, sources: &[&str]| {
        let nodes = json!({"model.a.b": {
            "resource_type": "model", "compiled_code": "select 1",
            "depends_on": {"nodes": (0..sources.len()).map(|n| format!("source.a.s.{n}")).collect::<Vec<_>>()},
        }});
        let sources: serde_json::Map<_, _> = sources
            .iter()
            .enumerate()
            .map(|(n, name)| (format!("source.a.s.{n}"), json!({"relation_name": name})))
            .collect();
        let manifest = json!({
            "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": adapter},
            "nodes": nodes, "sources": sources,
        });
        manifest_of(&manifest).1.unwrap()
    };
    let check =
        |adapter, sources: &[&str], tables: &Tables| said(&check_sources(MANIFEST, &facts(adapter, sources), tables));
    let payments = tables("payments", &["ledger.entries", "ledger.Odd", "public.notes"]);

    let there = [r#""payments"."ledger"."entries""#, r#""payments"."ledger"."Odd""#, "payments.Ledger.ENTRIES"];
    assert_eq!(check("postgres", &there, &payments), [""; 0]);
    // A database may have another name in dev than in the repository: its schemas tell.
    assert_eq!(check("postgres", &[r#""neondb"."ledger"."entries""#], &payments), [""; 0]);
    assert_eq!(check("snowflake", &["PAYMENTS.LEDGER.ENTRIES", "PAYMENTS.ledger.odd"], &payments), [""; 0]);
    insta::assert_debug_snapshot!([
        check(
            "postgres",
            &[r#""payments"."ledger"."entry""#, r#""payments"."Ledger"."entries""#, "payments.ledger.Odd"],
            &payments
        ),
        check("postgres", &[r#""neondb"."ledger"."entry""#, r#""neondb"."other"."entry""#], &payments),
        check("snowflake", &["PAYMENTS.LEDGER.ENTRY", "RAW.LEDGER.ENTRY", "PAYMENTS.SALESFORCE.LEADS"], &payments),
        check("duckdb", &[r#""risk_dev"."raw"."exposures""#], &Tables::new()),
    ]);
}
