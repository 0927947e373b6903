//! What the policy decides.

use gatekeeper_model::policy::Policy;

use super::*;

fn check_under_policy(resources: Value, policy: Value) -> Vec<String> {
    let mut document = json!({"schema_version": 1});
    document["all"] = policy;
    let policy = Policy::parse(document.to_string().as_bytes()).unwrap();
    check_under(template(resources).to_string().as_bytes(), &policy.rules_of(&"bank-payments".parse().unwrap()))
}

#[test]
fn a_type_or_property_that_nobody_has_judged_is_refused_unless_the_policy_names_it() {
    let mut it = function(json!({"ZipFile": "x", "NewPlace": {"Any": 1}}));
    it["Properties"]["NewProperty"] = json!({"S3Bucket": "x"});
    it["Properties"]["FileSystemConfigs"] = json!([{"Arn": {"Ref": "Table"}, "LocalMountPath": "/mnt/x"}]);
    let resources = json!({
        "It": it,
        "New": {"Type": "AWS::New::Thing", "Properties": {"Anything": {"S3": 1}}},
        "Monitor": {"Type": "Datadog::Monitors::Monitor"},
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketNam": "x", "Tags": [{"Kay": 1}]}}
    });
    insta::assert_json_snapshot!(check_under_policy(resources.clone(), json!({})));
    let known = json!({"known_types": [
        "AWS::Lambda::Function.Code.NewPlace", "AWS::Lambda::Function.NewProperty", "AWS::Lambda::Function.FileSystemConfigs",
        "AWS::New::Thing", "Datadog::Monitors::Monitor", "AWS::S3::Bucket.BucketNam", "AWS::S3::Bucket.Tags.Kay"
    ]});
    assert_eq!(check_under_policy(resources, known), [""; 0]);
}

#[test]
fn accounts_that_all_stages_share_are_named_by_the_policy() {
    let mut it = function(json!({"ZipFile": "x"}));
    it["Properties"]["Layers"] = json!(["arn:aws:lambda:ap-southeast-2:444455556666:layer:shared:3"]);
    it["Properties"]["Environment"] = json!({"Variables": {"AUDIT": "arn:aws:sns:ap-southeast-2:111122223333:audit"}});
    let resources = json!({"It": it});
    insta::assert_json_snapshot!(check_under_policy(resources.clone(), json!({})));
    let audit = json!({"audit": "111122223333"});
    assert_eq!(check_under_policy(resources.clone(), json!({"shared_accounts": audit})).len(), 1);
    let both = json!({"audit": "111122223333", "network": "444455556666"});
    assert_eq!(check_under_policy(resources, json!({"shared_accounts": both})), [""; 0]);
}

#[test]
fn no_policy_makes_code_from_elsewhere_harmless() {
    let resources =
        json!({"It": {"Type": "AWS::Glue::Job", "Properties": {"Command": {"ScriptLocation": "s3://x/y.py"}}}});
    let known =
        json!({"known_types": ["AWS::Glue::Job", "AWS::Glue::Job.Command.ScriptLocation", "AWS::Glue::Job.Command"]});
    assert_eq!(check_under_policy(resources, known).len(), 1);
}

#[test]
fn what_the_policy_decides_is_kept_with_the_template() {
    let document = template(json!({"New": {"Type": "AWS::New::Thing"}})).to_string();
    let (findings, template) = inspect(document.as_bytes(), SUBJECT);
    assert_eq!(findings, []);
    let template = template.unwrap();
    let kept: Template = serde_json::from_str(&serde_json::to_string(&template).unwrap()).unwrap();
    assert_eq!(kept, template);
    insta::assert_json_snapshot!(kept.doubts);
}
