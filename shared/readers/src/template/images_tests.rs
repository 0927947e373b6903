use gatekeeper_model::{
    finding::Finding,
    manifest::{
        Manifest,
        sample::{commit, example},
    },
};
use serde_json::{Value, json};

use super::*;
use crate::template::{Synthesis, inspect, inspect_synthesised};

const REPOSITORY: &str = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-container-assets-${AWS::AccountId}-${AWS::Region}";

fn function(image: &Value) -> Value {
    let mut it = json!({"Type": "AWS::Lambda::Function", "Properties": {"Role": "x", "PackageType": "Image"}});
    it["Properties"]["Code"] = json!({"ImageUri": image});
    it
}

fn task(images: &[Value]) -> Value {
    let containers: Vec<_> = images.iter().map(|it| json!({"Name": "it", "Image": it})).collect();
    json!({"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": containers}})
}

fn sub(text: &str) -> Value {
    json!({"Fn::Sub": text})
}

fn read(resources: &Value) -> (Vec<Finding>, Template) {
    let mut template =
        json!({"Parameters": {"CommitSha": {"Type": "String"}, "Names": {"Type": "CommaDelimitedList"}}});
    template["Resources"] = resources.clone();
    let (findings, template) = inspect(template.to_string().as_bytes(), "it");
    (findings, template.unwrap())
}

fn images(resource: &Value) -> Vec<(String, String)> {
    let (findings, template) = read(&json!({"It": resource}));
    assert_eq!(findings, []);
    template.images.into_iter().map(|it| (it.property, it.image.to_string())).collect()
}

/// What is said of a template of `payments-api` by a manifest that tells these images; of none before the tests ran.
fn said(template: &Template, told: Option<Value>) -> Vec<String> {
    let mut manifest = example();
    match told {
        Some(told) => manifest["tests"]["integration"]["images"] = told,
        None => manifest["tests"]["integration"] = Value::Null,
    }
    let manifest = Manifest::parse(manifest.to_string().as_bytes(), &commit()).unwrap();
    let mut findings = Findings::new("it");
    check(template, &"payments-api".parse().unwrap(), &manifest, &mut findings);
    findings.into_parts().0.into_iter().map(|it| format!("{}: {}", it.code, it.message)).collect()
}

fn told(logical_id: &str, property: &str, sign: &str) -> Value {
    let digest = format!("sha256:{}", sign.repeat(64));
    json!({"stack": "payments-api", "logical_id": logical_id, "property": property, "digest": digest})
}

#[test]
fn an_image_of_ecr_is_told_with_the_property_that_names_it() {
    let cdk = sub(&format!("{REPOSITORY}:0f"));
    let of_function = [("Code.ImageUri".to_owned(), format!("{REPOSITORY}:0f"))];
    assert_eq!(images(&function(&cdk)), of_function);
    let join = json!({"Fn::Join": ["", [
        {"Ref": "AWS::AccountId"}, ".dkr.ecr.", {"Ref": "AWS::Region"}, ".amazonaws.com/bank/pay:", {"Ref": "CommitSha"}
    ]]});
    let joined = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/bank/pay:${CommitSha}";
    assert_eq!(images(&function(&join)), [("Code.ImageUri".to_owned(), joined.to_owned())]);
    // A task has several, and either of two by a condition; what is pinned by its digest needs no telling.
    let either = json!({"Fn::If": ["A", cdk, join]});
    let pinned = sub(&format!("{REPOSITORY}:1@sha256:{}", "0f".repeat(32)));
    let of_task: Vec<_> = images(&task(&[either, pinned])).into_iter().map(|(property, _)| property).collect();
    assert_eq!(of_task, ["ContainerDefinitions[0].Image.Fn::If[1]", "ContainerDefinitions[0].Image.Fn::If[2]"]);
}

#[test]
fn what_is_no_tag_of_ecr_is_refused_with_what_to_write() {
    for refused in [
        json!("nginx:1.29"),
        json!("public.ecr.aws/nginx/nginx:1.29"),
        sub("${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/pay"),
        sub("${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/pay:a@sha256:0f"),
        sub("${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}:443/pay"),
        sub("${Names}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/pay:1"),
        json!("{{resolve:ssm:/image}}"),
        json!({"Fn::Join": ["", [{"Fn::GetAtt": ["Repo", "RepositoryUri"]}, ":1"]]}),
    ] {
        for resource in [function(&refused), task(std::slice::from_ref(&refused))] {
            let (findings, template) = read(&json!({"It": resource}));
            assert_eq!(findings.len(), 1, "{refused}");
            assert_eq!(findings[0].code, Reason::TemplateCodeOutsideStore, "{refused}");
            assert!(findings[0].message.contains("…@sha256:…"), "{findings:?}");
            assert_eq!(template.images, []);
        }
    }
    // Of a function only one of the two is live, so of the other nobody could tell.
    let either = json!({"Fn::If": ["A", sub(&format!("{REPOSITORY}:0f")), sub(&format!("{REPOSITORY}:1f"))]});
    assert_eq!(read(&json!({"It": function(&either)})).0.len(), 1);
}

#[test]
fn an_image_by_its_tag_needs_the_digest_that_dev_had_once_the_tests_ran() {
    let (_, template) = read(&json!({"Pay": function(&sub(&format!("{REPOSITORY}:0f")))}));
    let uri = "Code.ImageUri";
    assert_eq!(said(&template, None), [""; 0]);
    assert_eq!(said(&template, Some(json!([told("Pay", uri, "a")]))), [""; 0]);
    assert_eq!(said(&template, Some(json!([told("Pay", uri, "a"), told("Pay", uri, "a")]))), [""; 0]);
    let mut elsewhere = told("Pay", uri, "a");
    elsewhere["stack"] = json!("payments-web");
    for other in [json!([]), json!([told("Other", uri, "a")]), json!([told("Pay", "Image", "a")]), json!([elsewhere])] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(said(&template, Some(other)).concat(), @"tested-bytes-missing: the image `${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-container-assets-${AWS::AccountId}-${AWS::Region}:0f` of `Pay` (`Code.ImageUri`) is named by a tag, which may be another image tomorrow, and `tests.integration.images` does not tell which digest dev ran: let `gatekeeper observe` read it, or name the image by its digest, `…@sha256:…`");
        }
    }
    let both = said(&template, Some(json!([told("Pay", uri, "a"), told("Pay", uri, "b")])));
    assert!(both.len() == 1 && both[0].starts_with("tested-bytes-mismatch: "), "{both:?}");
}

#[test]
fn a_nested_stacks_image_depends_on_nothing_but_the_account() {
    let (_, mut template) = read(&json!({"Pay": function(&sub(&format!("{REPOSITORY}:${{CommitSha}}")))}));
    assert_eq!(said(&template, None), [""; 0]);
    template.images[0].resource = "Inner/Pay".to_owned();
    let said = said(&template, None);
    assert!(said.len() == 1 && said[0].starts_with("template-code-outside-store: "), "{said:?}");
}

#[test]
fn an_address_is_an_image_of_one_registry() {
    let of =
        |image: &str| ImageAddress::parse(image).map(|it| [it.account, it.region, it.repository, it.tag].join(" "));
    let whole = "111122223333.dkr.ecr.ap-southeast-2.amazonaws.com/bank/pay:v1.0_a-b";
    assert_eq!(of(whole).unwrap(), "111122223333 ap-southeast-2 bank/pay v1.0_a-b");
    assert!(of("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/pay:1").is_some());
    for no in ["pay:1", "111122223333.dkr.ecr.x.amazonaws.com/pay", "1.dkr.ecr.x.y/pay:a b", "1.dkr.ecr./pay:1", ""] {
        assert_eq!(of(no), None, "{no}");
    }
}

/// What a stage gets names its own registry, and the place stays the one that dev's template has.
#[test]
fn the_form_of_a_template_for_dev_names_the_stages_registry() {
    let declared =
        json!({"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"});
    let synthesis = Synthesis { declared: Some(serde_json::from_value(declared).unwrap()), deployed: None };
    let repository = "cdk-hnb659fds-container-assets-111122223333-ap-southeast-2";
    let image = format!("111122223333.dkr.ecr.ap-southeast-2.${{AWS::URLSuffix}}/{repository}:0f");
    let template = json!({"Resources": {"Pay": function(&sub(&image))}}).to_string();
    let (findings, read) = inspect_synthesised(template.as_bytes(), &synthesis, "it");
    assert_eq!(findings, []);
    let [told] = &read.unwrap().images[..] else { panic!() };
    assert_eq!((told.property.as_str(), told.image.to_string()), ("Code.ImageUri", format!("{REPOSITORY}:0f")));
}
