//! Templates as aws-cdk-lib 2.276.0 synthesises them, unmodified.

use super::*;

/// What is said of a template, and where the code of its functions lies.
fn check_synthesised(json: &str) -> (Vec<String>, Vec<String>) {
    let functions = read(json.as_bytes()).unwrap().functions;
    let functions = functions.into_iter().map(|(id, it)| {
        let code = match it.code {
            Code::Inline => "inline".to_owned(),
            Code::AssetBucket { bucket, key } => {
                format!("{bucket}/{}", &key.as_literal().unwrap()[..8])
            }
            other => format!("{other:?}"),
        };
        format!("{id}: {} {:?}, {code}", it.spec.runtime, it.spec.architecture)
    });
    let functions = functions.collect();
    (check_bytes(json.as_bytes()), functions)
}

#[test]
fn functions_urls_tables_rules_insights_and_cdks_own_providers_pass() {
    let (said, functions) = check_synthesised(include_str!("../fixtures/cdk-accepted.json"));
    assert_eq!(said, [""; 0]);
    insta::assert_debug_snapshot!(functions, @r#"
    [
        "ArmB02581E4: nodejs22.x Arm64, cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/f02cdb46",
        "CustomS3AutoDeleteObjectsCustomResourceProviderHandler9D90184F: nodejs24.x X86_64, cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/6dba3da2",
        "Fn9270CBC0: nodejs22.x X86_64, cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/e0f07d29",
        "Inline6CF80F9D: nodejs22.x X86_64, inline",
        "LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8aFD4BFC8A: nodejs24.x X86_64, cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/28191753",
    ]
    "#);
}

#[test]
fn what_lies_in_the_asset_bucket_beside_code_is_told_for_the_manifest_to_answer() {
    let json = include_str!("../fixtures/cdk-with-assets.json");
    let (said, functions) = check_synthesised(json);
    assert_eq!((said, functions.len()), (Vec::new(), 2));
    let shown = |it: &Use| format!("{} takes {} as {}", it.resource, it.key, it.kind.as_str());
    insta::assert_debug_snapshot!(read(json.as_bytes()).unwrap().assets.iter().map(shown).collect::<Vec<_>>());
}

/// Resources of the newest types, and a template that datadog-cdk-constructs-v2 3.12 changed.
#[test]
fn code_that_the_newest_types_bring_is_refused_by_name_but_a_vendors_layer_is_fine() {
    let resources = |json: &str| template(serde_json::from_str(json).unwrap());
    insta::assert_json_snapshot!([
        check(&resources(include_str!("../fixtures/webfunction.json"))),
        check(&resources(include_str!("../fixtures/custom-runtime.json"))),
        check(&resources(include_str!("../fixtures/layer-arn.json"))),
    ]);
    assert_eq!(check_bytes(include_bytes!("../fixtures/datadog-cdk.json")), [""; 0]);
}

/// Templates of many of CDK's constructs; `tests/oracles/make_cdk_templates.sh` makes them.
#[test]
fn what_cdks_constructs_make_is_refused_for_nothing() {
    for json in [
        include_str!("../fixtures/cdk/api.json"),
        include_str!("../fixtures/cdk/containers.json"),
        include_str!("../fixtures/cdk/data.json"),
        include_str!("../fixtures/cdk/events.json"),
        include_str!("../fixtures/cdk/lambda.json"),
        include_str!("../fixtures/cdk/net.json"),
        include_str!("../fixtures/cdk/web.json"),
    ] {
        assert_eq!(check_bytes(json.as_bytes()), [""; 0]);
    }
}
