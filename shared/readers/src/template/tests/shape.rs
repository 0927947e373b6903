//! What a template is, and how large.

use super::*;

#[test]
fn a_synthesised_template_is_read() {
    let mut whole = template(json!({"It": function(asset("0f")), "Table": {"Type": "AWS::DynamoDB::Table"}}));
    whole["AWSTemplateFormatVersion"] = json!("2010-09-09");
    whole["Parameters"]["Level"] = json!({"Type": "Number", "Default": 3});
    whole["Outputs"] = json!({"ApiUrl": {"Value": "x"}});
    let (findings, read) = inspect(whole.to_string().as_bytes(), SUBJECT);
    assert_eq!(findings, []);
    let read = read.unwrap();
    insta::assert_json_snapshot!(read, @r#"
    {
      "functions": {
        "It": {
          "spec": {
            "runtime": "nodejs22.x",
            "handler": "index.handler",
            "architecture": "x86_64"
          },
          "code": {
            "asset_bucket": {
              "bucket": [
                {
                  "literal": "cdk-hnb659fds-assets-"
                },
                {
                  "ref": "AWS::AccountId"
                },
                {
                  "literal": "-"
                },
                {
                  "ref": "AWS::Region"
                }
              ],
              "key": [
                {
                  "literal": "0f.zip"
                }
              ]
            }
          },
          "has_layers": false
        }
      },
      "parameters": {
        "ArtefactBucket": {
          "has_default": false,
          "type": "String"
        },
        "ArtefactPrefix": {
          "has_default": false,
          "type": "String"
        },
        "BootstrapVersion": {
          "has_default": true,
          "type": "AWS::SSM::Parameter::Value<String>",
          "default": "/cdk-bootstrap/hnb659fds/version"
        },
        "Level": {
          "has_default": true,
          "type": "Number",
          "default": "3"
        }
      },
      "outputs": [
        "ApiUrl"
      ]
    }
    "#);
    let kept: Template = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
    assert_eq!(kept, read);
}

#[test]
fn what_is_no_template_is_refused() {
    for bytes in
        ["", "[]", "null", "{}", r#"{"Resources": {}}"#, r#"{"Resources": []}"#, "Resources:\n  A: {}", "\u{feff}{}"]
    {
        let (findings, read) = inspect(bytes.as_bytes(), SUBJECT);
        assert_eq!(findings.first().map(|it| it.code), Some(Reason::TemplateInvalid), "{bytes}");
        assert_eq!(read, None, "{bytes}");
    }
    insta::assert_debug_snapshot!(check(&json!({"Resources": []})), @r#"
    [
        "template-invalid: `Resources` is not an object",
        "template-invalid: the template has no `Resources`",
    ]
    "#);
}

#[test]
fn every_malformed_part_is_told() {
    insta::assert_debug_snapshot!(check(&json!({
        "AWSTemplateFormatVersion": "2020-01-01",
        "Globals": {},
        "Parameters": {"A": {}},
        "Outputs": [],
        "Resources": {"NoType": {}, "Un-named": {"Type": "AWS::SQS::Queue"}, "Text": "x", "Props": {"Type": "AWS::SQS::Queue", "Properties": []}}
    })), @r#"
    [
        "template-invalid: `Globals` is not a section of a template",
        "template-invalid: `AWSTemplateFormatVersion` is not `2010-09-09`",
        "template-invalid: `Outputs` is not an object",
        "template-invalid: parameter `A` has no `Type`",
        "template-invalid: resource `NoType` has no `Type`",
        "template-invalid: the `Properties` of resource `Props` are not an object",
        "template-invalid: resource `Text` has no `Type`",
        "template-invalid: resource `Un-named` has a logical id that is not of letters and digits",
    ]
    "#);
}

#[test]
fn a_key_that_stands_twice_is_refused_with_its_place() {
    let twice = r#"{"Resources": {"A": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": [{"Key": "a", "Key": "b"}]}}, "A": {"Type": "AWS::SQS::Queue"}}}"#;
    insta::assert_debug_snapshot!(check_bytes(twice.as_bytes()), @r#"
    [
        "template-invalid: the key `Resources.A.Properties.Tags[0].Key` stands twice",
        "template-invalid: the key `Resources.A` stands twice",
    ]
    "#);
}

#[test]
fn the_limit_is_in_bytes_and_met_exactly() {
    let sized = |size: usize, fill: &str| {
        let start = r#"{"Resources": {"A": {"Type": "AWS::SQS::Queue"}}, "Description": ""#;
        let mut text = start.to_owned();
        while text.len() + fill.len() + 2 <= size {
            text.push_str(fill);
        }
        text.push_str(&" ".repeat(size - text.len() - 2));
        text.push_str("\"}");
        text
    };
    assert_eq!(check_bytes(sized(MAX_BYTES, "x").as_bytes()), [""; 0]);
    insta::assert_debug_snapshot!(check_bytes(sized(MAX_BYTES + 1, "x").as_bytes()), @r#"
    [
        "template-too-large: the template has 1000001 bytes, CloudFormation takes 1000000",
    ]
    "#);
    // Fewer characters than the limit, but more bytes.
    let wide = sized(MAX_BYTES + 2, "é");
    assert!(wide.chars().count() < MAX_BYTES);
    assert_eq!(check_bytes(wide.as_bytes()).len(), 1);
}

#[test]
fn there_may_be_500_resources_and_200_of_the_others() {
    let many = |count: usize, member: &Value| -> Value {
        (0..count).map(|n| (format!("A{n}"), member.clone())).collect::<Map<_, _>>().into()
    };
    let queue = json!({"Type": "AWS::SQS::Queue"});
    let of = |resources, parameters| json!({"Resources": many(resources, &queue), "Parameters": many(parameters, &json!({"Type": "String"}))});
    assert_eq!(check(&of(500, 200)), [""; 0]);
    insta::assert_debug_snapshot!(check(&of(501, 201)), @r#"
    [
        "template-too-large: `Resources` has 501 members, CloudFormation takes 500",
        "template-too-large: `Parameters` has 201 members, CloudFormation takes 200",
    ]
    "#);
}

#[test]
fn a_document_that_is_wrong_everywhere_gets_a_bounded_answer() {
    let wrong: Vec<_> = (0..5000).map(|n| format!(r#""arn:aws:iam::{:0>12}:root""#, 111_111_111_111_u64 + n)).collect();
    let text = format!(
        r#"{{"Resources": {{"A": {{"Type": "X::Y::Z", "Properties": {{"{}": [{}]}}}}}}}}"#,
        "k".repeat(5000),
        wrong.join(",")
    );
    let said = check_bytes(text.as_bytes());
    assert_eq!(said.len(), MAX_FINDINGS);
    assert!(said.iter().all(|it| it.len() < 1100));
}

#[test]
fn hostile_nesting_ends_without_the_stack() {
    let deep = format!(r#"{{"Resources": {}{}}}"#, r#"{"a":"#.repeat(150_000), "}".repeat(150_000));
    assert_eq!(check_bytes(deep.as_bytes()).len(), 1);
}
