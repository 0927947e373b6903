//! Literal account ids: a template that holds one fits one stage only.

use std::collections::BTreeSet;

use gatekeeper_model::finding::Code;

use super::{
    Findings,
    account_id::account_ids,
    findings::Unless,
    json::{Json, Place, walk},
};

/// Finds literal account ids in everything that is deployed: not in `Metadata` and `Description`.
pub(super) fn check(root: &Json<'_>, findings: &mut Findings<'_>) {
    walk(root, &Place::Root, &mut |value, place| {
        if findings.is_full() || is_prose(place, value) {
            return false;
        }
        if let Some(bucket) = value.as_str().and_then(bootstrap_bucket) {
            let message = format!(
                "`{place}` names `{bucket}`, SST's own bucket in dev's account: declare it as `bootstrap_bucket` of `synthesised_for` in the manifest, as `gatekeeper collect` does"
            );
            findings.say(Code::TemplateNotPortable, message);
        }
        let accounts = match value {
            Json::String(text) => account_ids(text, &names(place)),
            Json::Number(number) => account_ids(&number.to_string(), &names(place)),
            // What the stage's own account is compared with is one.
            _ => match value.get("Fn::Equals") {
                Some(Json::Array(items)) if items.iter().any(is_own_account) => {
                    items.iter().filter_map(Json::as_str).flat_map(|text| account_ids(text, &["account"])).collect()
                }
                _ => BTreeSet::new(),
            },
        };
        if !accounts.is_empty() && !findings.is_settled(&place.to_string()) {
            let named = accounts.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "`{place}` names the account {named} literally: write `${{AWS::AccountId}}` where it is the stage's own, else a parameter, or name an account of all stages in `shared_accounts` of the policy"
            );
            findings.doubt(Unless::Shared(accounts), Code::TemplateNotPortable, message);
        }
        true
    });
}

/// The name of SST's own bucket, `sstbootstrap-{region without dashes}-{suffix}`, where a text holds it.
#[must_use]
pub fn bootstrap_bucket(text: &str) -> Option<&str> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split(|c| !is_of_name(c)).find(|word| {
        let rest = word.strip_prefix("sstbootstrap-").and_then(|rest| rest.split_once('-'));
        rest.is_some_and(|(region, suffix)| !region.is_empty() && !suffix.is_empty())
    })
}

fn is_own_account(value: &Json<'_>) -> bool {
    value.get("Ref").and_then(Json::as_str) == Some("AWS::AccountId")
}

/// Whether a place is for readers and tools rather than for the stack.
fn is_prose(place: &Place<'_>, value: &Json<'_>) -> bool {
    match place {
        // The template's own, or a resource's attribute; not a property that happens to be called so.
        Place::Key(Place::Root | Place::Key(Place::Key(Place::Root, "Resources"), _), "Metadata") => true,
        Place::Key(_, "Description") => value.as_str().is_some(),
        _ => false,
    }
}

/// How many names above a value are looked at.
const NAMES: usize = 3;

/// What a value is called: the keys above it that people chose, the nearest first.
fn names<'a>(place: &Place<'a>) -> Vec<&'a str> {
    const SECTIONS: [&str; 6] = ["Properties", "Resources", "Outputs", "Parameters", "Mappings", "Conditions"];
    const PLAIN: [&str; 4] = ["Default", "AllowedValues", "Value", "Variables"];
    let mut names = Vec::new();
    let mut place = *place;
    while names.len() < NAMES {
        place = match place {
            Place::Root => break,
            Place::Index(parent, _) => *parent,
            Place::Key(_, key) if SECTIONS.contains(&key) => break,
            Place::Key(parent, key) => {
                if !key.starts_with("Fn::") && !PLAIN.contains(&key) {
                    names.push(key);
                }
                *parent
            }
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::json;

    const OURS: &str = "123456789012";

    fn said(template: &serde_json::Value) -> Vec<String> {
        let mut findings = Findings::new("payments-api.json");
        let document = template.to_string();
        check(&json::read(document.as_bytes()).unwrap().0, &mut findings);
        let (found, doubts) = findings.into_parts();
        assert_eq!(found, []);
        doubts.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn only_what_is_deployed_is_looked_at_and_each_place_is_told_once() {
        let role = "arn:aws:iam::123456789012:role/x";
        let template = json!({
            "Description": format!("made in {OURS}"),
            "Metadata": {"Account": OURS},
            "Parameters": {"Account": {"Type": "String", "Description": role, "Default": OURS}, "Client": {"Type": "String", "Default": OURS}},
            "Mappings": {"ByAccount": {OURS: {"Role": role}}},
            "Conditions": {"IsDev": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, OURS]}},
            "Resources": {"AccountFn": {
                "Type": "AWS::Lambda::Function",
                "Metadata": {"aws:asset:path": role},
                "Properties": {
                    "Description": role, "MemorySize": 123_456_789_012_u64, "Metadata": role,
                    "Role": {"Fn::Join": ["", ["x", format!("{role} {role} arn:aws:iam::111122223333:role/y")]]},
                    "Environment": {"Variables": {"CLIENT_ID": OURS, "AUDIT_ACCOUNT": 123_456_789_012_u64}}
                }
            }},
            "Outputs": {"Role": {"Description": role, "Value": role}}
        });
        insta::assert_json_snapshot!(said(&template));
    }
}
