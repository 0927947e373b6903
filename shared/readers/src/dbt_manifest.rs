//! dbt manifests (`manifest.json`): the audit record of what logic was deployed (ADR-053, "dbt").
//!
//! They may have hundreds of megabytes, so one is read as a stream: only its outline is looked at, and memory does not
//! grow with the file, whatever is in it.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read},
};

use gatekeeper_model::finding::{Code, Finding};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::bounded_json::{self, Bounds, Failure, OutOfBounds};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// The longest string down to [`OUTLINE`], in bytes as written: keys, versions and the ids of nodes.
const MAX_OUTLINE_STRING: usize = 16 * 1024;

/// How deep the strings lie that may be kept in memory: the document's members and those of `metadata` and `nodes`.
const OUTLINE: usize = 2;

/// The most members of the document: dbt writes about 20.
const MAX_MEMBERS: usize = 256;

/// Checks a dbt manifest: JSON, of schema version v4 to v12, with nodes. `subject` is what its findings are about.
///
/// # Errors
/// Where `reader` fails. What is wrong with the document is a finding.
pub fn inspect(reader: impl Read, subject: &str) -> io::Result<Vec<Finding>> {
    let invalid = |message: String| Finding::new(Code::DbtManifestInvalid, subject, message);
    let bounds = Bounds { depth: MAX_DEPTH, string: MAX_OUTLINE_STRING, strings_down_to: OUTLINE, member: usize::MAX };
    let mut json = bounded_json::parser(reader, bounds);
    let outline = json.deserialize_any(OutlineVisitor);
    match bounded_json::finish(json, outline) {
        Ok(outline) => Ok(outline.problems().into_iter().map(invalid).collect()),
        Err(Failure::Io(error)) => Err(error),
        Err(Failure::OutOfBounds(bound @ OutOfBounds::Depth(_))) => {
            Ok(vec![invalid(format!("the document is {bound}"))])
        }
        Err(Failure::OutOfBounds(_)) => Ok(vec![invalid(format!(
            "a key or value of the document's outline is longer than {MAX_OUTLINE_STRING} bytes"
        ))]),
        Err(Failure::Invalid(message)) => Ok(vec![invalid(format!("not a dbt manifest: {message}"))]),
    }
}

/// What is kept of a manifest.
#[derive(Debug, Default)]
struct Outline {
    metadata: bool,
    version: Option<String>,
    nodes: Option<Nodes>,
}

/// What `nodes` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nodes {
    Some,
    Empty,
    NoObject,
}

impl Outline {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.version {
            Some(version) if is_known(version) => {}
            Some(version) => {
                let version: String = version.chars().take(120).filter(|c| !c.is_control() && *c != '`').collect();
                problems.push(format!("`metadata.dbt_schema_version` is `{version}`, this gate knows v4 to v12"));
            }
            None if self.metadata => {
                problems.push("`metadata.dbt_schema_version` is missing or no string".to_owned());
            }
            None => problems.push("`metadata` is missing".to_owned()),
        }
        match self.nodes {
            Some(Nodes::Some) => {}
            Some(Nodes::Empty) => {
                problems.push("`nodes` is empty: nothing was compiled".to_owned());
            }
            Some(Nodes::NoObject) => problems.push("`nodes` is not an object".to_owned()),
            None => problems.push("`nodes` is missing".to_owned()),
        }
        problems
    }
}

/// Whether a schema version is one of dbt 1.0 to 1.10 and later: <https://schemas.getdbt.com/dbt/manifest/v12.json>.
fn is_known(version: &str) -> bool {
    version
        .strip_prefix("https://schemas.getdbt.com/dbt/manifest/v")
        .map(|rest| rest.strip_suffix(".json").unwrap_or(rest))
        .is_some_and(|number| (4..=12).any(|known: u32| known.to_string() == number))
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Outline, A::Error> {
        let mut outline = Outline::default();
        let mut seen = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            match key.as_str() {
                "metadata" => {
                    outline.metadata = true;
                    outline.version = members.next_value::<Metadata>()?.0;
                }
                "nodes" => outline.nodes = Some(members.next_value::<NodesSeed>()?.0),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            let short: String = key.chars().take(120).filter(|c| !c.is_control() && *c != '`').collect();
            if !seen.insert(key) {
                return Err(A::Error::custom(format_args!("the key `{short}` stands twice")));
            }
            if seen.len() > MAX_MEMBERS {
                return Err(A::Error::custom(format_args!("more than {MAX_MEMBERS} members")));
            }
        }
        Ok(outline)
    }
}

/// The value of `metadata`: its schema version, where it has one.
struct Metadata(Option<String>);

impl<'de> serde::Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;

        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`metadata` to be an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Metadata, A::Error> {
                let mut version: Option<Option<String>> = None;
                while let Some(key) = members.next_key::<String>()? {
                    if key != "dbt_schema_version" {
                        members.next_value::<IgnoredAny>()?;
                    } else if version.is_some() {
                        return Err(A::Error::custom("the key `metadata.dbt_schema_version` stands twice"));
                    } else {
                        version = Some(members.next_value::<Option<String>>()?);
                    }
                }
                Ok(Metadata(version.flatten()))
            }
        }

        deserializer.deserialize_any(MetadataVisitor)
    }
}

/// The value of `nodes`, without what is in it.
struct NodesSeed(Nodes);

impl<'de> serde::Deserialize<'de> for NodesSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodesVisitor;

        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = Nodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Nodes, A::Error> {
                let mut nodes = Nodes::Empty;
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    nodes = Nodes::Some;
                }
                Ok(nodes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Nodes, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Nodes::NoObject)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }

            fn visit_str<E>(self, _: &str) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }

            fn visit_unit<E>(self) -> Result<Nodes, E> {
                Ok(Nodes::NoObject)
            }
        }

        deserializer.deserialize_any(NodesVisitor).map(NodesSeed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V12: &str = "https://schemas.getdbt.com/dbt/manifest/v12.json";

    fn check(json: &[u8]) -> Vec<String> {
        let findings = inspect(json, "modules/MOD-031/dbt/manifest.json").unwrap();
        assert!(findings.iter().all(|it| it.code == Code::DbtManifestInvalid));
        findings.into_iter().map(|it| it.message).collect()
    }

    fn manifest(version: &str, nodes: &str) -> Vec<u8> {
        format!(
            r#"{{"metadata": {{"dbt_version": "1.9.1", "dbt_schema_version": "{version}", "env": {{}}}}, "nodes": {nodes}, "sources": {{}}, "disabled": null}}"#
        )
        .into_bytes()
    }

    const ONE_MODEL: &str = r#"{"model.risk.exposure": {"raw_code": "select 1", "depends_on": {"nodes": []}}}"#;

    #[test]
    fn a_compiled_manifest_of_a_known_schema_is_taken() {
        for version in 4..=12 {
            let version = format!("https://schemas.getdbt.com/dbt/manifest/v{version}");
            assert_eq!(check(&manifest(&version, ONE_MODEL)), [""; 0], "{version}");
            assert_eq!(check(&manifest(&format!("{version}.json"), ONE_MODEL)), [""; 0], "{version}");
        }
    }

    #[test]
    fn another_schema_is_refused() {
        for version in [
            "https://schemas.getdbt.com/dbt/manifest/v3.json",
            "https://schemas.getdbt.com/dbt/manifest/v13.json",
            "https://schemas.getdbt.com/dbt/manifest/v04.json",
            "https://schemas.getdbt.com/dbt/run-results/v6.json",
            "v12",
            "",
        ] {
            assert_eq!(check(&manifest(version, ONE_MODEL)).len(), 1, "{version}");
        }
        insta::assert_debug_snapshot!(check(&manifest("https://schemas.getdbt.com/dbt/catalog/v1.json", "{}")), @r#"
        [
            "`metadata.dbt_schema_version` is `https://schemas.getdbt.com/dbt/catalog/v1.json`, this gate knows v4 to v12",
            "`nodes` is empty: nothing was compiled",
        ]
        "#);
    }

    #[test]
    fn a_manifest_without_nodes_tells_of_no_logic() {
        for nodes in ["[]", "null", "\"x\"", "1", "-1.5", "true", "[{}]"] {
            assert_eq!(check(&manifest(V12, nodes)), ["`nodes` is not an object"], "{nodes}");
        }
        assert_eq!(check(&manifest(V12, "{}")), ["`nodes` is empty: nothing was compiled"]);
        insta::assert_debug_snapshot!(check(b"{}"), @r#"
        [
            "`metadata` is missing",
            "`nodes` is missing",
        ]
        "#);
        insta::assert_debug_snapshot!(check(br#"{"metadata": {}, "nodes": {"a": 1}}"#), @r#"
        [
            "`metadata.dbt_schema_version` is missing or no string",
        ]
        "#);
    }

    #[test]
    fn what_is_not_one_json_object_is_refused_with_the_place() {
        insta::assert_debug_snapshot!(
            [
                check(b""),
                check(b"[]"),
                check(b"{\"metadata\": 1}"),
                check(br#"{"metadata": {"dbt_schema_version": 12}, "nodes": {}}"#),
                check(&[manifest(V12, ONE_MODEL), b"{}".to_vec()].concat()),
                check(&manifest(V12, ONE_MODEL)[..80]),
                check(&manifest(V12, "{\"a\": 01}")),
            ].concat(), @r#"
            [
                "not a dbt manifest: EOF while parsing a value at line 1 column 0",
                "not a dbt manifest: invalid type: sequence, expected an object at line 1 column 2",
                "not a dbt manifest: invalid type: integer `1`, expected `metadata` to be an object at line 1 column 15",
                "not a dbt manifest: invalid type: integer `12`, expected a string at line 1 column 39",
                "not a dbt manifest: trailing characters at line 1 column 246",
                "not a dbt manifest: EOF while parsing a string at line 1 column 80",
                "not a dbt manifest: invalid number at line 1 column 141",
            ]
            "#);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let twice =
            format!(r#"{{"metadata": {{"dbt_schema_version": "{V12}"}}, "nodes": {ONE_MODEL}, "nod\u0065s": {{}}}}"#);
        insta::assert_debug_snapshot!(check(twice.as_bytes()), @r#"
        [
            "not a dbt manifest: the key `nodes` stands twice at line 1 column 195",
        ]
        "#);
        insta::assert_debug_snapshot!(check(br#"{"metadata": {"dbt_schema_version": "a", "dbt_schema_version": "b"}}"#), @r#"
        [
            "not a dbt manifest: the key `metadata.dbt_schema_version` stands twice at line 1 column 62",
        ]
        "#);
    }

    #[test]
    fn a_read_that_fails_is_an_error_and_no_verdict() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))
            }
        }
        let cut = &manifest(V12, ONE_MODEL)[..100];
        let error = inspect(cut.chain(Broken), "x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
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
        ] {
            let findings = inspect(endless(start, unit), "x").unwrap();
            assert_eq!(findings.len(), 1, "{start}");
        }
    }

    #[test]
    fn more_members_than_dbt_writes_are_refused() {
        let members: Vec<_> = (0..300).map(|n| format!("\"m{n}\": 1")).collect();
        insta::assert_debug_snapshot!(check(format!("{{{}}}", members.join(",")).as_bytes()), @r#"
        [
            "not a dbt manifest: more than 256 members at line 1 column 2461",
        ]
        "#);
    }

    #[test]
    fn brackets_and_quotes_inside_strings_count_for_nothing() {
        let nodes = format!(r#"{{"model.a": {{"raw_code": "{}\"{}"}}}}"#, "[{".repeat(500), "x".repeat(200_000));
        assert_eq!(check(&manifest(V12, &nodes)), [""; 0]);
    }
}
