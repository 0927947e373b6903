//! CloudFormation's types and properties, and which of them carry or locate code: the table that `generate.py` makes
//! from AWS's own resource schemas, and the rules that people wrote.
//!
//! Both stand in the program as text that is sorted by lines and searched where it lies.

mod rules;

use std::collections::BTreeMap;

use gatekeeper_model::finding::Code;

use self::rules::Rule;
pub(super) use self::rules::is_pinned_image;
use super::{
    Evaluate, Findings, Text,
    findings::Unless,
    json::{Json, Object, Place, each_case},
};
use crate::shown::shown;

/// What generate.py writes.
const TYPES: &str = include_str!("types.txt");

/// The rules; the file says what each kind does.
const RULES: &str = include_str!("rules.txt");

/// The types that hold what no template brings back; the file says how it is made.
const STATEFUL: &str = include_str!("stateful.txt");

/// The types whose resources go by a name that a template may give; generate.py makes it.
const NAMES: &str = include_str!("names.txt");

/// The types whose physical id is not the name itself: the property that holds the name, and what stands before it. A
/// rule of another bus than the default one has the bus before it, and is not looked for.
const NAMED_OTHERWISE: [(&str, &str, &str); 4] = [
    ("AWS::Events::Rule", "Name", ""),
    ("AWS::SNS::Topic", "TopicName", "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:"),
    ("AWS::SQS::Queue", "QueueName", "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/"),
    (
        "AWS::StepFunctions::StateMachine",
        "StateMachineName",
        "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:",
    ),
];

/// How deep properties may nest: no schema's do as deep, only those that hold themselves.
const MAX_DEPTH: usize = 40;

/// What of a resource is judged by the table.
pub(super) struct Resource<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'a str,
    pub(super) template: &'a Evaluate<'a>,
}

/// Judges a resource by its type and by each of its properties.
pub(super) fn check(resource: &Resource<'_>, properties: &Object<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    let Resource { id, r#type, .. } = resource;
    let rules: Vec<Rule> = rules::of(r#type).collect();
    if let Some(rule) = rules.iter().find(|rule| rule.path == "-") {
        let code = if rule.class == "runs" { Code::TemplateCodeOutsideStore } else { Code::TemplateNotSelfContained };
        return findings.say(code, format!("resource `{id}` of type `{type}` {}", rule.words));
    }
    if r#type.starts_with("AWS::Serverless::") {
        let message = format!(
            "resource `{id}` of type `{}` needs the SAM transform: store the processed template",
            shown(r#type)
        );
        return findings.say(Code::TemplateNotSelfContained, message);
    }
    let shown = shown(r#type);
    if r#type.ends_with("::MODULE") {
        let message = format!("resource `{id}` is the module `{shown}`, which CloudFormation expands at deploy time");
        return findings.say(Code::TemplateNotSelfContained, message);
    }
    // A custom resource has the properties that its provider wants.
    if *r#type == "AWS::CloudFormation::CustomResource" || r#type.starts_with("Custom::") {
        return;
    }
    match find(r#type) {
        Some(words) => {
            let service = r#type.rsplit_once("::").map_or("", |(service, _)| service);
            Walk { resource, service, rules, findings }.object(properties, words, &mut Vec::new(), place);
        }
        None => {
            let unknown = if r#type.starts_with("AWS::") {
                "which this gate does not know, so it may carry code"
            } else {
                "which is a third party's, so its handler runs code that is no part of the commit"
            };
            findings.doubt(
                Unless::Known((*r#type).to_owned()),
                Code::TemplateTypeUnknown,
                format!("resource `{id}` is of type `{shown}`, {unknown}: where it is harmless, name the type in `known_types` of the policy"),
            );
        }
    }
}

/// One resource's properties on their way down.
struct Walk<'a, 'b, 'c> {
    resource: &'a Resource<'a>,
    service: &'a str,
    rules: Vec<Rule>,
    findings: &'b mut Findings<'c>,
}

impl Walk<'_, '_, '_> {
    fn object<'j>(&mut self, members: &'j Object<'_>, words: &'static str, path: &mut Vec<&'j str>, place: &Place<'_>) {
        if path.len() > MAX_DEPTH {
            return;
        }
        for (key, value) in members.iter() {
            // An intrinsic function: what it comes to is judged where it says so, else unknown to everybody but
            // CloudFormation; macros are refused elsewhere.
            if self.findings.is_full() || key.starts_with("Fn::") || (key == "Ref" && members.len() == 1) {
                continue;
            }
            let known =
                word(words, key).map(|shape| (key, shape)).or_else(|| word(words, "*").map(|shape| ("*", shape)));
            path.push(known.map_or(key, |(key, _)| key));
            self.member(value, known.map(|(_, shape)| shape), path, &place.key(key));
            path.pop();
        }
    }

    /// A property, with its shape: none where the table doesn't know it.
    fn member<'j>(&mut self, value: &'j Json<'_>, shape: Option<Shape>, path: &mut Vec<&'j str>, place: &Place<'_>) {
        let dotted = path.join(".");
        if let Some(rule) = self.rules.iter().find(|rule| rule.path == dotted).copied() {
            each_case(value, place, &mut |value, place| {
                rule.apply(self.resource, value, place, self.findings);
            });
        } else if let Some(shape) = shape {
            let words = match shape {
                Shape::Leaf => return,
                Shape::Own => path.last().copied(),
                Shape::Named(name) => Some(name),
            };
            let Some(words) = words.and_then(|name| find(&format!("{}.{name}", self.service))) else { return };
            each_case(value, place, &mut |value, place| match value {
                Json::Object(members) => self.object(members, words, path, place),
                Json::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                    each_case(item, &place.index(index), &mut |item, place| {
                        if let Json::Object(members) = item {
                            self.object(members, words, path, place);
                        }
                    });
                }),
                _ => {}
            });
        } else {
            let r#type = self.resource.r#type;
            let name = format!("{type}.{dotted}");
            let shown = shown(&name);
            self.findings.doubt(
                Unless::Known(name),
                Code::TemplateTypeUnknown,
                format!("`{place}` is no property that this gate knows of `{type}`, so it may carry code: where it is harmless, name `{shown}` in `known_types` of the policy"),
            );
        }
    }
}

/// What the table says of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// It has no properties of its own, or any.
    Leaf,
    /// The shape of its own name.
    Own,
    /// A shape of another name.
    Named(&'static str),
}

/// What a line of the table says of the property `key`.
fn word(words: &'static str, key: &str) -> Option<Shape> {
    words.split(' ').find_map(|word| match word.strip_prefix(key)? {
        "" => Some(Shape::Leaf),
        ">" => Some(Shape::Own),
        shape => Some(Shape::Named(shape.strip_prefix('>')?)),
    })
}

/// The properties of a type or shape, as the table's line says them.
fn find(name: &str) -> Option<&'static str> {
    let mut rest = TYPES;
    while !rest.is_empty() {
        let middle = rest.floor_char_boundary(rest.len() / 2);
        let start = rest.get(..middle)?.rfind('\n').map_or(0, |before| before + 1);
        let (before, from) = rest.split_at_checked(start)?;
        let (line, after) = from.split_once('\n')?;
        let (first, words) = line.split_once(' ').unwrap_or((line, ""));
        match first.cmp(name) {
            std::cmp::Ordering::Equal => return Some(words),
            std::cmp::Ordering::Less => rest = after,
            std::cmp::Ordering::Greater => rest = before,
        }
    }
    None
}

/// What is lost when a resource of a type is deleted, in words; `None` where the template brings all of it back. What a
/// type holds that nobody has judged, nobody knows.
#[must_use]
pub fn holds(r#type: &str) -> Option<&'static str> {
    let lines = STATEFUL.lines().filter(|line| !line.starts_with(['#', '-']));
    let listed = lines.filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == r#type);
    if let Some((_, words)) = listed {
        return Some(words);
    }
    let has_provider = r#type.starts_with("Custom::") || r#type == "AWS::CloudFormation::CustomResource";
    let known = has_provider || find(r#type).is_some() || rules::of(r#type).any(|rule| rule.path == "-");
    (!known).then_some("whatever it holds: its type is one that this gatekeeper does not know")
}

/// The type that CloudFormation calls by these two words, whatever the case of their letters.
#[must_use]
pub fn known_type(service: &str, name: &str) -> Option<&'static str> {
    let judged = STATEFUL.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim_start_matches("- "));
    let first = judged.chain(TYPES.lines()).filter_map(|line| line.split(' ').next());
    first.filter(|it| !it.contains('.')).find(|it| {
        it.strip_prefix("AWS::")
            .and_then(|it| it.split_once("::"))
            .is_some_and(|(of, its)| of.eq_ignore_ascii_case(service) && its.eq_ignore_ascii_case(name))
    })
}

/// How the resources of a type go by a name of the template's.
pub(super) struct Named {
    /// The property that holds the name.
    pub(super) property: &'static str,
    /// What stands before it in the physical id.
    pub(super) before: Text,
}

/// How the resources of a type go by a name of the template's; `None` where only AWS names them.
pub(super) fn named(r#type: &str) -> Option<Named> {
    let otherwise = NAMED_OTHERWISE.iter().find(|(name, ..)| *name == r#type);
    if let Some((_, property, before)) = otherwise {
        let before = Json::String((*before).into());
        let before = Json::Object(Object::from_iter([("Fn::Sub", before)]));
        return Some(Named { property, before: Text::read(&before, &BTreeMap::new()).ok()? });
    }
    let mut lines = NAMES.lines().filter_map(|line| line.split_once(' '));
    let (_, property) = lines.find(|(name, _)| *name == r#type)?;
    Some(Named { property, before: Text::default() })
}

/// The names of every type of the table, and of every property of its first level.
#[cfg(any(test, feature = "test-support"))]
pub fn types() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let lines = TYPES.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    let own = |words: &'static str| words.split(' ').filter_map(|word| word.split('>').next()).collect();
    lines.filter(|(name, _)| !name.contains('.')).map(move |(name, words)| (name, own(words)))
}

#[cfg(test)]
mod tests;
