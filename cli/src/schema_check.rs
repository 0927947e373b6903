//! Holds a document against the JSON Schema of its type, to tell every place that is wrong and the name that was meant.
//!
//! The type itself says whether a document is good; it stops at the first mistake and knows no path. So this finds the places,
//! of what our own schemas use of JSON Schema, and whoever asks has the type read the document too.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::nearest::meant;

/// A place that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Wrong {
    /// Where: the members that lead there.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) message: String,
}

/// Every place of a document that its schema does not allow.
pub(crate) fn wrong_places(schema: &Value, document: &Value) -> Vec<Wrong> {
    let mut check = Check { root: schema, wrong: Vec::new() };
    check.node(schema, document, "");
    check.wrong
}

struct Check<'a> {
    root: &'a Value,
    wrong: Vec<Wrong>,
}

impl<'a> Check<'a> {
    fn say(&mut self, path: &str, message: String) {
        let path = if path.is_empty() { "the document".to_owned() } else { path.to_owned() };
        self.wrong.push(Wrong { path, message });
    }

    /// The schema behind references, and behind "or null".
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        // Our schemas don't refer in circles; a bound keeps one that does from holding us.
        for _ in 0..16 {
            if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
                let Some(target) = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { break };
                schema = target;
            } else if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
                let is_null = |it: &&Value| it.get("type").and_then(Value::as_str) == Some("null");
                let Some(option) = options.iter().find(|it| !is_null(it)) else { break };
                schema = option;
            } else {
                break;
            }
        }
        schema
    }

    fn node(&mut self, schema: &'a Value, value: &Value, path: &str) {
        if value.is_null() && allows_null(schema) {
            return;
        }
        let schema = self.resolved(schema);
        let words = words(schema);
        if !words.is_empty() {
            match value.as_str() {
                Some(word) if words.contains(&word) => {}
                Some(word) => {
                    self.say(path, format!("`{word}` is none of the words that may stand here{}", meant(word, words)));
                }
                None => self.say(path, format!("{} where one of {} is expected", kind(value), quoted(&words))),
            }
            return;
        }
        if let Some(expected) = unexpected(schema, value) {
            self.say(path, format!("{} where {expected} is expected", kind(value)));
            return;
        }
        if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
            self.say(path, format!("it is {value}, and {constant} is expected"));
        }
        self.range(schema, value, path);
        match value {
            Value::Object(members) => self.object(schema, members, path),
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.get("items") {
                        self.node(schema, item, &format!("{path}[{place}]"));
                    }
                }
            }
            _ => {}
        }
    }

    fn range(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        let limit = |name: &str| schema.get(name).filter(|it| it.is_number());
        if let Some(least) = limit("minimum").filter(|least| least.as_f64().is_some_and(|least| number < least)) {
            self.say(path, format!("{value} is less than {least}"));
        }
        if let Some(most) = limit("maximum").filter(|most| most.as_f64().is_some_and(|most| number > most)) {
            self.say(path, format!("{value} is more than {most}"));
        }
    }

    fn object(&mut self, schema: &'a Value, members: &Map<String, Value>, path: &str) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let patterns = schema.get("patternProperties").and_then(Value::as_object).and_then(|it| it.values().next());
        for (name, value) in members {
            if let Some(schema) = properties.and_then(|it| it.get(name)) {
                self.node(schema, value, &below(name));
            } else if let Some(schema) = patterns.or(others.filter(|it| it.is_object())) {
                self.node(schema, value, &below(name));
            } else if others == Some(&Value::Bool(false)) {
                // One that stands there already is not the one that was meant.
                let free = properties.into_iter().flat_map(Map::keys).filter(|known| !members.contains_key(*known));
                self.say(&below(name), format!("there is no such field{}", meant(name, free.map(String::as_str))));
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str).filter(|it| !members.contains_key(*it)) {
            self.say(&below(name), "the field is missing".to_owned());
        }
    }
}

/// Whether null may stand in place of a value.
fn allows_null(schema: &Value) -> bool {
    let is_null = |it: &Value| it.as_str() == Some("null");
    let of_type =
        schema.get("type").is_some_and(|it| is_null(it) || it.as_array().is_some_and(|all| all.iter().any(is_null)));
    let options = schema.get("anyOf").and_then(Value::as_array);
    of_type || options.is_some_and(|options| options.iter().any(allows_null))
}

/// The words that may stand here, where it is one of some.
fn words(schema: &Value) -> Vec<&str> {
    let constants = schema.get("oneOf").and_then(Value::as_array).map(|options| {
        let words: Option<Vec<_>> = options.iter().map(|it| it.get("const").and_then(Value::as_str)).collect();
        words.unwrap_or_default()
    });
    let listed = schema.get("enum").and_then(Value::as_array).map(|it| it.iter().filter_map(Value::as_str).collect());
    constants.or(listed).unwrap_or_default()
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What should stand here, where the value is of another kind.
fn unexpected(schema: &Value, value: &Value) -> Option<&'static str> {
    let types = match schema.get("type")? {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let fits = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    };
    if types.iter().any(fits) {
        return None;
    }
    Some(match types.into_iter().find(|it| *it != "null")? {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::policy::Policy;
    use gatekeeper_promotion::stage::StagesConfig;
    use serde_json::json;

    use super::*;

    fn told(schema: &Value, document: &Value) -> String {
        let wrong = wrong_places(schema, document);
        wrong.iter().map(|it| format!("{}: {}\n", it.path, it.message)).collect::<Vec<_>>().concat()
    }

    #[test]
    fn the_examples_of_the_manual_are_good() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let stages = read(include_str!("../../docs/reference/examples/stages.json"));
        assert_eq!(told(&StagesConfig::json_schema(), &stages), "");
        let policy = read(include_str!("../../docs/reference/examples/policy.json"));
        assert_eq!(told(&Policy::json_schema(), &policy), "");
    }

    #[test]
    fn every_misspelt_field_is_told_by_its_path_with_the_one_that_was_meant() {
        let stages = json!({"schema_version": 2, "stages": {
            "uat": {"aprovals": 2, "soak_minutes": "60", "databases": {"payments": {"secret_anr": "arn", "port": 0}}},
            "prod": {"requires": "built", "approvals": 200, "smoke": [{"stack": "api", "ouput": "Url"}], "colour": "red"},
            "dr": {"databases": {"payments": {"secret_arn": "arn", "schema_parity": "reportd", "host": null}}, "smoke": {}},
        }});
        insta::assert_snapshot!(told(&StagesConfig::json_schema(), &stages), @r"
        schema_version: it is 2, and 1 is expected
        stages.dr.databases.payments.schema_parity: `reportd` is none of the words that may stand here; did you mean `reported`?
        stages.dr.smoke: an object where a list is expected
        stages.prod.approvals: 200 is more than 10
        stages.prod.colour: there is no such field; there are `accept_stage_literals`, `allow_private`, `databases`, `dbt`, `freeze`, `lease_minutes`, `parameters`, `pulumi`, `role_arn`, `soak_minutes`, …
        stages.prod.smoke[0].ouput: there is no such field; did you mean `output`?
        stages.uat.aprovals: there is no such field; did you mean `approvals`?
        stages.uat.databases.payments.port: 0 is less than 1
        stages.uat.databases.payments.secret_anr: there is no such field; did you mean `secret_arn`?
        stages.uat.databases.payments.secret_arn: the field is missing
        stages.uat.soak_minutes: a text where a whole number is expected
        ");
        let policy = json!({"schema_version": 1, "al": {}, "repos": {"bank-core": {"require": ["tested-template"],
                            "min_line_coverage": 101, "max_flaky": 1.5}}});
        insta::assert_snapshot!(told(&Policy::json_schema(), &policy), @r"
        al: there is no such field; did you mean `all`?
        repos.bank-core.max_flaky: a number where a whole number is expected
        repos.bank-core.min_line_coverage: 101 is more than 100
        repos.bank-core.require[0]: `tested-template` is none of the words that may stand here; did you mean `tested-templates`?
        ");
    }
}
