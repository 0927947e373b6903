//! The roles and users that a template makes, and the permissions boundary that each of them names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Parameter,
    json::{Json, Object},
    text::Text,
};

/// The types that make a principal. Others that act do it by a role, which one of these made or which was there before.
const PRINCIPALS: [&str; 2] = ["AWS::IAM::Role", "AWS::IAM::User"];

/// The permissions boundary of a role or user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It has none.
    Unnamed,
    /// One of these, whichever way its conditions turn out.
    Named(Vec<Text>),
    /// It has one, and which can't be told from the template: why, in words that follow "it".
    Untold(String),
}

/// The boundary of a resource; `None` where it is no principal.
pub(super) fn read(
    r#type: &str,
    properties: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
) -> Option<Boundary> {
    if !PRINCIPALS.contains(&r#type) {
        return None;
    }
    let Some(boundary) = properties.get("PermissionsBoundary") else { return Some(Boundary::Unnamed) };
    let mut named = Vec::new();
    Some(match collect(boundary, parameters, 0, &mut named) {
        Ok(()) => Boundary::Named(named),
        Err(why) => Boundary::Untold(why),
    })
}

/// How deep `Fn::If` may nest.
const MAX_DEPTH: usize = 4;

fn collect(
    value: &Json<'_>,
    parameters: &BTreeMap<String, Parameter>,
    depth: usize,
    named: &mut Vec<Text>,
) -> Result<(), String> {
    if let Some(Json::Array(branches)) = value.get("Fn::If")
        && let [_, met, unmet] = branches.as_slice()
    {
        if depth == MAX_DEPTH {
            return Err(format!("nests `Fn::If` deeper than {MAX_DEPTH}"));
        }
        return [met, unmet].into_iter().try_for_each(|branch| collect(branch, parameters, depth + 1, named));
    }
    if value.get("Ref").and_then(Json::as_str) == Some("AWS::NoValue") {
        return Err("has none under one of its conditions".to_owned());
    }
    named.push(Text::read(value, parameters)?);
    Ok(())
}
