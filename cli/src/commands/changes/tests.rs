use std::collections::BTreeMap;

use gatekeeper_model::manifest::SynthesisedFor;
use serde_json::json;

use super::*;

/// What people see, without its colours.
fn seen(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    // A word alone may be longer: a name can't be broken.
    let is_long = |line: &&str| line.chars().count() > COLUMNS && line.trim().contains(' ');
    assert_eq!(text.lines().find(is_long), None);
    text
}

fn told(document: serde_json::Value) -> Changes {
    serde_json::from_value(document).unwrap()
}

#[test]
fn what_is_lost_is_read_first_and_within_the_terminal() {
    let resource = |id: &str, kind: &str, action: &str, more: serde_json::Value| {
        let mut it = json!({"resource": format!("payments-data/{id}"), "type": kind, "action": action});
        it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        it
    };
    let mut changes = vec![
        resource(
            "OrdersTable7A53E24B",
            "AWS::DynamoDB::Table",
            "replace",
            json!({
                "physical_id": "uat-bank-payments-orders", "holds": "its items",
                "causes": [{"property": "KeySchema", "by": "template"}, {"property": "TableName", "by": "parameter", "entity": "Stage"}],
            }),
        ),
        resource(
            "Ledger/Rows",
            "AWS::RDS::DBCluster",
            "may-replace",
            json!({
                "physical_id": "uat-ledger", "holds": "its databases",
                "causes": [{"property": "EngineVersion", "by": "resource", "entity": "Version"}],
            }),
        ),
        resource("OldTopic", "AWS::SNS::Topic", "remove", json!({"physical_id": "uat-old"})),
        resource(
            "Odd",
            "AWS::S3::Bucket",
            "untold",
            json!({"holds": "its objects", "untold": "CloudFormation does not tell what it does to its nested stack"}),
        ),
        resource("Kept", "AWS::S3::Bucket", "import", json!({"holds": "its objects"})),
    ];
    changes.extend((0..15).map(|n| {
        resource(
            &format!("Fn{n}"),
            "AWS::Lambda::Function",
            "modify",
            json!({
        "causes": [{"property": "Environment", "by": "automatic"}]}),
        )
    }));
    let told = told(json!({
        "stacks": [
            {"stack": "payments-data", "stack_name": "bank-payments-uat-payments-data", "state": "changed",
             "changes": changes, "left_out": 3},
            {"stack": "payments-api", "stack_name": "bank-payments-uat-payments-api", "state": "untold", "changes": [],
             "notes": ["cloudformation refuses the change set: No export named uat-orders-arn found",
                       "it takes `${Stage}-orders-arn` of `payments-data`, which is changed before it: told is what comes of its value now"]},
            {"stack": "web", "stack_name": "bank-payments-uat-web", "state": "new", "changes": [
                {"resource": "web/Site", "type": "AWS::S3::Bucket", "action": "add", "holds": "its objects", "is_conditional": true}]},
            {"stack": "jobs", "stack_name": "bank-payments-uat-jobs", "state": "unchanged", "changes": []},
        ],
        "accept_replacement": ["payments-data/Ledger/Rows", "payments-data/OrdersTable7A53E24B"],
        "notes": ["whether another stack of the account exports these names was not looked up: the role that promotes to the stage may not `cloudformation:ListExports`"],
    }));
    insta::assert_snapshot!(seen(&super::changes(&told)));
}

#[test]
fn that_nothing_is_told_is_told_with_its_reason() {
    let told = told(json!({"stacks": [], "untold": "the execution `arn` has not ended in time: ask again"}));
    insta::assert_snapshot!(seen(&super::changes(&told)));
    let hostile = super::changes(&self::told(json!({"stacks": [], "untold": "a\u{1b}[2Jb"})));
    assert!(!hostile.contains("\u{1b}[2J"), "{hostile:?}");
}

#[test]
fn every_substitution_is_derived_anew_and_proved_by_the_plans_digests() {
    let made_for: SynthesisedFor = serde_json::from_value(json!({
        "account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"}))
    .unwrap();
    let stored = json!({"Resources": {"Orders": {"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": "dev-bank-orders", "Tags": [{"Key": "sst:stage", "Value": "dev"}],
        "KinesisStreamSpecification": {"StreamArn": "arn:aws:kinesis:ap-southeast-2:111122223333:stream/dev-bank-orders"},
    }}, "Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {
        "TemplateURL": "https://s3.amazonaws.com/cdk-hnb659fds-assets-111122223333-ap-southeast-2/inner.json",
    }}}}).to_string();
    let inner = json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dev-bank-q"}}}});
    let nested = BTreeMap::from([("inner.json".parse().unwrap(), inner.to_string().into_bytes())]);
    let forms = forms::derive(stored.as_bytes(), &nested, &made_for, "k").unwrap();
    let mut planned = json!({
        "assets": [{
            "module": "MOD-012", "resource": "Inner", "kind": "template", "bucket": [{"literal": "b"}],
            "asset_key": "inner.json", "key": "i", "version_id": "v1",
            "sha256": Sha256::of(&nested[&"inner.json".parse().unwrap()]), "size": 1,
        }],
        "module": "MOD-012", "stack": "data", "stack_name": "bank-uat-data", "parameters": {"Stage": "uat"},
        "key": "k", "version_id": "v1", "sha256": Sha256::of(stored.as_bytes()), "size": stored.len(),
        "form": {"synthesised_for": made_for},
    });
    planned["form"].as_object_mut().unwrap().extend(json!(forms.told()).as_object().unwrap().clone());
    let planned: PlannedStack = serde_json::from_value(planned).unwrap();
    let of_plan = planned.form.as_ref().unwrap();
    let mut all = replaced(&planned, of_plan, stored.as_bytes(), &nested).unwrap();
    // And the nested template's key, in whose place its form's stands.
    assert_eq!(all[0].substitutions.len() as u64, of_plan.told.substitutions + 1);
    assert_eq!((all.len(), all[1].substitutions.len()), (2, 1));
    let untold = Some("it is gone".to_owned());
    all.push(Substituted { stack: "api".parse().unwrap(), nested: None, substitutions: Vec::new(), untold });
    insta::assert_snapshot!(seen(&substituted(&all)));
    insta::assert_json_snapshot!(all);

    let other = replaced(&planned, of_plan, b"{}", &nested).unwrap_err().to_string();
    assert_eq!(other, "the portable form of `k` is not the planned one");
    assert!(replaced(&planned, of_plan, stored.as_bytes(), &BTreeMap::new()).is_err());
    let mut lies = of_plan.clone();
    lies.told.substitutions += 1;
    assert!(replaced(&planned, &lies, stored.as_bytes(), &nested).is_err());
    let mut lies = of_plan.clone();
    lies.told.nested.clear();
    assert!(replaced(&planned, &lies, stored.as_bytes(), &nested).is_err());
    assert_eq!(substituted(&[]), "");
}
