//! Templates as aws-cdk-lib 2.276.0 synthesises them, unmodified.

use super::*;

/// What is said of a template, and where the code of its functions lies.
fn check_synthesised(json: &str) -> (Vec<String>, Vec<String>) {
    let (findings, template) = inspect(json.as_bytes(), SUBJECT);
    let functions = template.unwrap().functions;
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
    (say(findings), functions)
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
fn layers_nested_stacks_and_content_in_the_asset_bucket_are_refused_each_by_name() {
    let (said, functions) = check_synthesised(include_str!("../fixtures/cdk-refused.json"));
    insta::assert_debug_snapshot!(said, @r#"
    [
        "template-code-outside-store: layer `LayerB20D2F06` has its content at `Resources.LayerB20D2F06.Properties.Content`, and the store has no place for layers: bundle it into the functions",
        "template-not-self-contained: nested stack `NestedNestedStackNestedNestedStackResourceDEFDAA4D` fetches its template from outside the store (`Resources.NestedNestedStackNestedNestedStackResourceDEFDAA4D.Properties.TemplateURL`): make it a stack of its own",
        "template-not-self-contained: resource `ApiF70053CD` fetches `Resources.ApiF70053CD.Properties.BodyS3Location` at deploy time: write it into the template instead",
        "template-code-outside-store: layer `SiteAwsCliLayerAA2A8F93` has its content at `Resources.SiteAwsCliLayerAA2A8F93.Properties.Content`, and the store has no place for layers: bundle it into the functions",
        "template-code-outside-store: resource `SiteCustomResourceEFE24676` takes content from the asset bucket (`Resources.SiteCustomResourceEFE24676.Properties.SourceBucketNames[0]`), which is not in the store",
    ]
    "#);
    assert_eq!(functions.len(), 2);
}
