//! What a template makes by its own account: its resources, the names that it gives them, and the names that it
//! exports. An account has each of these names once.

use std::collections::BTreeMap;

use super::{
    Findings, Parameter, Text,
    json::{Json, Object},
    parse, read_parameters, read_resource, schema,
};

/// What a template declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The resources, in the order of their logical ids.
    pub resources: Vec<DeclaredResource>,
    /// The exports, in the order of their outputs.
    pub exports: Vec<DeclaredExport>,
}

/// A resource of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredResource {
    /// Its logical id.
    pub id: String,
    /// Its type.
    pub r#type: String,
    /// Whether there is one only under a condition.
    pub is_conditional: bool,
    /// The name that the template gives it; none where AWS chooses one.
    pub name: Option<GivenName>,
}

/// An export of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredExport {
    /// The output that is exported.
    pub output: String,
    /// Whether there is one only under a condition.
    pub is_conditional: bool,
    /// Its name, as far as it can be told.
    pub name: Told,
}

/// The name that a template gives a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenName {
    /// The property that holds it.
    pub property: String,
    /// The physical id that the resource has by it, as far as that can be told.
    pub physical_id: Told,
}

/// A text, or why only CloudFormation can tell it, in words that follow "it".
pub type Told = Result<Text, String>;

/// What a template declares; `None` where the document is no template.
#[must_use]
pub fn declared(bytes: &[u8]) -> Option<Declared> {
    let mut findings = Findings::new("");
    let root = parse(bytes, &mut findings)?;
    let nothing = Object::default();
    let section = |name: &str| root.get(name).and_then(Json::as_object).unwrap_or(&nothing);
    let parameters = read_parameters(section("Parameters"), &mut findings);
    let mut found = Declared::default();
    for (id, resource) in section("Resources").iter() {
        let (r#type, properties) = read_resource(id, resource, &nothing, &mut findings)?;
        found.resources.push(DeclaredResource {
            id: id.to_owned(),
            r#type: r#type.to_owned(),
            is_conditional: resource.has("Condition"),
            name: given_name(r#type, properties, &parameters),
        });
    }
    for (output, value) in section("Outputs").iter() {
        let Some(name) = value.get("Export").and_then(|export| export.get("Name")) else { continue };
        let name = Text::read(name, &parameters);
        found.exports.push(DeclaredExport { output: output.to_owned(), is_conditional: value.has("Condition"), name });
    }
    found.resources.sort_by(|one, other| one.id.cmp(&other.id));
    found.exports.sort_by(|one, other| one.output.cmp(&other.output));
    Some(found)
}

fn given_name(r#type: &str, properties: &Object<'_>, parameters: &BTreeMap<String, Parameter>) -> Option<GivenName> {
    let schema::Named { property, before } = schema::named(r#type)?;
    let value = properties.get(property)?;
    // AWS chooses a name then, as where there is no property.
    if value.get("Ref").and_then(Json::as_str) == Some("AWS::NoValue") {
        return None;
    }
    let physical_id = Text::read(value, parameters).map(|name| before.followed_by(&name));
    Some(GivenName { property: property.to_owned(), physical_id })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: &serde_json::Value) -> Declared {
        declared(document.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn names_are_told_by_the_property_that_the_schema_identifies_a_resource_by() {
        let told = read(&json!({
            "Parameters": {"Stage": {"Type": "String"}, "Names": {"Type": "CommaDelimitedList"}},
            "Resources": {
                "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Fn::Sub": "${Stage}-orders"}}},
                "Queue": {"Type": "AWS::SQS::Queue", "Condition": "C", "Properties": {"QueueName": "orders"}},
                "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "AWS::NoValue"}}},
                "Fn": {"Type": "AWS::Lambda::Function"},
                "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Select": [0, {"Ref": "Names"}]}}},
                "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/8"}},
            },
        }));
        let lines = told.resources.iter().map(|it| {
            let name = it.name.as_ref().map(|name| match &name.physical_id {
                Ok(text) => format!("{} {text}", name.property),
                Err(why) => format!("{} {why}", name.property),
            });
            format!("{} {} {} {}", it.id, it.r#type, it.is_conditional, name.unwrap_or_default())
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn exports_are_told_with_their_outputs() {
        let told = read(&json!({
            "Parameters": {"Stage": {"Type": "String"}},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {
                "Plain": {"Value": "1"},
                "Arn": {"Value": "1", "Export": {"Name": {"Fn::Join": ["-", [{"Ref": "Stage"}, "arn"]]}}},
                "Odd": {"Value": "1", "Condition": "C", "Export": {"Name": {"Ref": "Topic"}}},
            },
        }));
        let [arn, odd] = told.exports.as_slice() else { panic!("{told:?}") };
        assert_eq!((arn.output.as_str(), arn.is_conditional), ("Arn", false));
        assert_eq!(arn.name.as_ref().unwrap().to_string(), "${Stage}-arn");
        assert!(odd.is_conditional && odd.name.as_ref().unwrap_err().contains("not a parameter"), "{odd:?}");
    }

    #[test]
    fn what_is_no_template_declares_nothing() {
        for document in ["", "[]", "{", r#"{"Resources": {"A": 7}}"#] {
            let told = declared(document.as_bytes());
            assert!(told.is_none_or(|told| told == Declared::default()), "{document}");
        }
    }
}
