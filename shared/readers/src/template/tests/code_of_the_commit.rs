//! A template against the manifest of its commit.

use super::*;

/// Holds resources against the contract's example manifest, changed by `change`.
fn check_code(resources: Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut manifest = example();
    change(&mut manifest["modules"]);
    let manifest = Manifest::parse(manifest.to_string().as_bytes(), &commit()).unwrap();
    let (_, template) = inspect(template(resources).to_string().as_bytes(), SUBJECT);
    let stack = "payments-api".parse().unwrap();
    say(template.unwrap().check_code(SUBJECT, &stack, &manifest.modules[0], &manifest))
}

/// A bundle beside the example's.
fn bundle(name: &str, logical_id: &str) -> Value {
    json!({"name": name, "sha256": gatekeeper_model::ids::Sha256::of(name.as_bytes()), "size": 1, "stack": "payments-api", "logical_id": logical_id})
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

#[test]
fn a_function_runs_a_bundle_of_the_manifest() {
    for code in [stored("authorise-payment"), asset("0f"), json!({"ZipFile": "x"})] {
        assert_eq!(check_code(json!({"AuthorisePaymentFn": function(code)}), |_| {}), [""; 0]);
    }
}

#[test]
fn a_function_without_a_bundle_is_refused() {
    let resources = json!({"AuthorisePaymentFn": function(stored("authorise-payment")), "Other": function(asset("0f")), "Inline": function(json!({"ZipFile": "x"}))});
    insta::assert_debug_snapshot!(check_code(resources, |_| {}), @r#"
    [
        "template-code-outside-store: no bundle of the manifest is the code of function `Other` of stack `payments-api`",
    ]
    "#);
}

#[test]
fn the_key_is_that_of_the_functions_own_bundle() {
    for key in [
        json!({"Fn::Sub": "${ArtefactPrefix}/functions/settle.zip"}),
        json!("bank-payments/0f/modules/MOD-012/functions/authorise-payment.zip"),
    ] {
        let code = json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": key});
        let said = check_code(json!({"AuthorisePaymentFn": function(code)}), |_| {});
        assert!(said.len() == 1 && said[0].starts_with("template-code-outside-store"), "{said:?}");
    }
}

#[test]
fn a_bundle_of_another_module_is_not_under_the_stacks_prefix() {
    let elsewhere = |modules: &mut Value| {
        let functions = modules[0]["functions"].take();
        modules[0]["functions"] = json!([]);
        push(modules, json!({"id": "MOD-013", "functions": functions}));
    };
    assert_eq!(check_code(json!({"AuthorisePaymentFn": function(asset("0f"))}), elsewhere), [""; 0]);
    insta::assert_debug_snapshot!(check_code(json!({"AuthorisePaymentFn": function(stored("authorise-payment"))}), elsewhere), @r#"
    [
        "template-code-outside-store: function `AuthorisePaymentFn` has its code at `${ArtefactPrefix}/functions/authorise-payment.zip`, but its bundle `authorise-payment` is listed in another module than `MOD-012`",
    ]
    "#);
}

#[test]
fn a_bundles_logical_id_is_a_lambda_function_of_its_stack() {
    let other = |modules: &mut Value| {
        push(&mut modules[0]["functions"], bundle("settle", "Table"));
        push(&mut modules[0]["functions"], bundle("refund", "Nowhere"));
    };
    let resources = json!({"AuthorisePaymentFn": function(asset("0f")), "Table": {"Type": "AWS::DynamoDB::Table"}});
    insta::assert_debug_snapshot!(check_code(resources, other), @r#"
    [
        "logical-id-invalid: bundle `refund` names `Nowhere`, which is no Lambda function of stack `payments-api`",
        "logical-id-invalid: bundle `settle` names `Table`, which is no Lambda function of stack `payments-api`",
    ]
    "#);
    // A function whose code was refused exists all the same.
    assert_eq!(check_code(json!({"AuthorisePaymentFn": function(json!({"ImageUri": "x"}))}), |_| {}), [""; 0]);
}

#[test]
fn functions_of_one_asset_run_the_same_bytes() {
    let resources = json!({"AuthorisePaymentFn": function(asset("0f")), "SettleFn": function(asset("0f"))});
    let differ = |modules: &mut Value| push(&mut modules[0]["functions"], bundle("settle", "SettleFn"));
    insta::assert_debug_snapshot!(check_code(resources.clone(), differ), @r#"
    [
        "template-code-outside-store: functions `AuthorisePaymentFn` and `SettleFn` name the same asset `0f.zip`, but their bundles differ",
    ]
    "#);
    let alike = |modules: &mut Value| {
        let mut same = bundle("settle", "SettleFn");
        same["sha256"] = modules[0]["functions"][0]["sha256"].clone();
        push(&mut modules[0]["functions"], same);
    };
    assert_eq!(check_code(resources, alike), [""; 0]);
}

#[test]
fn a_nested_stack_is_another_stack_of_the_module() {
    let nested = |name: &str| {
        let url =
            format!("https://${{ArtefactBucket}}.s3.amazonaws.com/${{ArtefactPrefix}}/cloudformation/{name}.json");
        json!({"AuthorisePaymentFn": function(asset("0f")), "Nested": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": {"Fn::Sub": url}}}})
    };
    let listed = |modules: &mut Value| {
        let mut stack = modules[0]["stacks"][0].clone();
        stack["name"] = json!("payments-db");
        push(&mut modules[0]["stacks"], stack);
    };
    assert_eq!(check_code(nested("payments-db"), listed), [""; 0]);
    insta::assert_debug_snapshot!([check_code(nested("payments-db"), |_| {}), check_code(nested("payments-api"), |_| {})].concat(), @r#"
    [
        "template-not-self-contained: nested stack `Nested` takes its template from stack `payments-db`, which is no other stack of module `MOD-012`",
        "template-not-self-contained: nested stack `Nested` takes its template from stack `payments-api`, which is no other stack of module `MOD-012`",
    ]
    "#);
}
