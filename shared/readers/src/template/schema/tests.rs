use gatekeeper_model::finding::Finding;
use serde_json::{Value, json};

use super::*;
use crate::template::{inspect, tests::check_resource};

#[test]
fn every_line_of_the_table_is_found_and_every_shape_that_it_names_is_there() {
    let mut before = "";
    for line in TYPES.lines() {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        assert!(before < name, "{before} {name}");
        before = name;
        assert_eq!(find(name), Some(words));
        let service = if name.contains('.') { name.split('.').next() } else { name.rsplit_once("::").map(|it| it.0) };
        for word in words.split(' ') {
            if let Some((property, shape)) = word.split_once('>') {
                let shape = if shape.is_empty() { property } else { shape };
                let shape = format!("{}.{shape}", service.unwrap());
                assert!(find(&shape).is_some(), "{line}: {shape}");
            }
        }
    }
    for unknown in ["", "A", "AWS::Lambda::Functio", "AWS::Lambda::Functions", "AWS::New::Thing", "Zzz", "\u{e9}"] {
        assert_eq!(find(unknown), None, "{unknown}");
    }
}

/// A resource of a type with something at the end of a path.
fn with(r#type: &str, path: &str, value: &Value) -> Value {
    let properties =
        path.rsplit('.').fold(value.clone(), |inner, key| json!({ if key == "*" { "Any" } else { key }: inner }));
    json!({"Type": r#type, "Properties": properties})
}

#[test]
fn every_rule_refuses_its_property_and_says_what_to_do() {
    let mut said = Vec::new();
    for rule in rules::all() {
        let resource = match rule.path {
            "-" => json!({"Type": rule.r#type}),
            path => with(rule.r#type, path, &json!({"Ref": "ArtefactPrefix"})),
        };
        let found: Vec<_> = check_resource(resource).into_iter().filter(|it| !it.contains("has no `Code`")).collect();
        assert_eq!(found.len(), 1, "{rule:?}: {found:?}");
        assert!(!found[0].contains("template-type-unknown"), "{rule:?}: {found:?}");
        // Behind a condition it is the same.
        if rule.path != "-" {
            let (first, rest) = rule.path.split_once('.').unwrap_or((rule.path, ""));
            let inner = if rest.is_empty() {
                json!({"Ref": "ArtefactPrefix"})
            } else {
                with("", rest, &json!({"Ref": "ArtefactPrefix"}))["Properties"].clone()
            };
            let value = json!({first: {"Fn::If": ["IsDev", {"Ref": "AWS::NoValue"}, inner]}});
            let found = check_resource(json!({"Type": rule.r#type, "Properties": value}));
            assert!(found.iter().any(|it| it.contains("Fn::If[2]")), "{rule:?}: {found:?}");
        }
        said.extend(found);
    }
    insta::assert_json_snapshot!(said);
}

#[test]
fn every_type_and_property_of_the_table_is_known() {
    for (name, properties) in types() {
        let value: serde_json::Map<_, _> = properties.iter().map(|it| ((*it).to_owned(), json!("x"))).collect();
        let said = check_resource(json!({"Type": name, "Properties": value}));
        assert!(!said.iter().any(|it| it.contains("template-type-unknown")), "{name}: {said:?}");
    }
    assert!(types().count() > 1800);
}

#[test]
fn images_are_named_by_their_digest() {
    let digest = format!("@sha256:{}", "0f".repeat(32));
    let of = |image: Value| {
        check_resource(with("AWS::ECS::TaskDefinition", "ContainerDefinitions", &json!([{"Image": image}])))
    };
    let repository = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/pay";
    for fine in [
        json!(format!("public.ecr.aws/nginx/nginx{digest}")),
        json!(format!("nginx:1.29{digest}")),
        json!({"Fn::Sub": format!("{repository}{digest}")}),
        json!({"Fn::Sub": [format!("${{R}}/pay{digest}"), {"R": {"Fn::GetAtt": ["Repo", "RepositoryUri"]}}]}),
        json!({"Fn::Join": ["", [{"Fn::GetAtt": ["Repo", "RepositoryUri"]}, digest]]}),
        json!({"Fn::Join": ["@", [{"Fn::GetAtt": ["Repo", "RepositoryUri"]}, digest.trim_start_matches('@')]]}),
        json!({"Fn::If": ["A", format!("a{digest}"), {"Fn::FindInMap": ["Images", {"Ref": "AWS::Region"}, "x"]}]}),
        json!({"Ref": "AWS::NoValue"}),
    ] {
        let mut document = json!({"Mappings": {"Images": {"ap-southeast-2": {"x": format!("b{digest}")}}}});
        document["Resources"] =
            json!({"It": with("AWS::ECS::TaskDefinition", "ContainerDefinitions", &json!([{"Image": fine}]))});
        let (findings, _) = inspect(document.to_string().as_bytes(), "x");
        assert_eq!(findings, [] as [Finding; 0], "{fine}");
    }
    let said = [
        json!("nginx:latest"),
        json!("nginx"),
        json!(format!("nginx{}", digest.to_uppercase())),
        json!({"Fn::Sub": format!("{repository}:")}),
        json!({"Ref": "ArtefactPrefix"}),
        json!({"Fn::Join": ["", ["nginx@sha256:", {"Ref": "ArtefactPrefix"}]]}),
        json!({"Fn::GetAtt": ["Repo", "RepositoryUri"]}),
        json!({"Fn::If": ["A", format!("a{digest}"), "b:1"]}),
    ];
    insta::assert_json_snapshot!(said.into_iter().flat_map(of).collect::<Vec<_>>());
    let built = |image: &str| check_resource(with("AWS::CodeBuild::Project", "Environment.Image", &json!(image)));
    assert_eq!(built("aws/codebuild/standard:7.0"), [""; 0]);
    assert_eq!(built("bank/builder:7.0").len(), 1);
}

#[test]
fn machine_images_are_named_by_their_id_or_are_awss_own() {
    let of = |image: Value| {
        let mut document = json!({"Parameters": {
            "Latest": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64"},
            "Ours": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/bank/golden"},
            "Id": {"Type": "AWS::EC2::Image::Id"}
        }});
        document["Resources"] = json!({"It": with("AWS::EC2::Instance", "ImageId", &image)});
        inspect(document.to_string().as_bytes(), "x")
            .1
            .unwrap()
            .doubts
            .into_iter()
            .map(|it| it.message)
            .collect::<Vec<_>>()
    };
    for fine in [
        json!("ami-0abcdef1234567890"),
        json!({"Ref": "Latest"}),
        json!("{{resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id}}"),
    ] {
        assert_eq!(of(fine), [""; 0]);
    }
    for refused in [
        json!({"Ref": "Ours"}),
        json!({"Ref": "Id"}),
        json!("{{resolve:ssm:/bank/golden}}"),
        json!({"Fn::ImportValue": "golden"}),
    ] {
        assert_eq!(of(refused).len(), 1);
    }
}

#[test]
fn a_functions_layers_are_a_vendors() {
    let of = |layers: Value| {
        let mut it = with("AWS::Lambda::Function", "Layers", &layers);
        it["Properties"]["Code"] = json!({"ZipFile": "x"});
        it["Properties"]["Runtime"] = json!("nodejs22.x");
        let mut document = json!({"Mappings": {"Insights": {
            "ap-southeast-2": {"arm": "arn:aws:lambda:ap-southeast-2:580247275435:layer:LambdaInsightsExtension-Arm64:30"},
            "us-east-1": {"arm": "arn:aws:lambda:us-east-1:580247275435:layer:LambdaInsightsExtension-Arm64:31"}
        }}, "Parameters": {"Layer": {"Type": "String"}}});
        document["Resources"] = json!({"It": it});
        let (findings, template) = inspect(document.to_string().as_bytes(), "x");
        let doubts = template.unwrap().doubts.into_iter().map(|it| it.message);
        findings.into_iter().map(|it| it.message).chain(doubts).collect::<Vec<_>>()
    };
    for fine in [
        json!([]),
        json!(["arn:aws:lambda:eu-west-1:464622532012:layer:Datadog-Extension:80"]),
        json!([{"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:094274105915:layer:AWSLambdaPowertoolsTypeScriptV2:44"}]),
        json!([{"Fn::FindInMap": ["Insights", {"Ref": "AWS::Region"}, "arm"]}, {"Ref": "AWS::NoValue"}]),
        // Whether a stack of the commit makes it is seen beside the commit's other templates.
        json!([{"Fn::ImportValue": "layer"}]),
    ] {
        assert_eq!(of(fine), [""; 0]);
    }
    let refused = json!([
        {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:layer:shared:1"},
        "arn:aws:lambda:eu-west-1:111122223333:layer:shared:1",
        "arn:aws:lambda:eu-west-1:464622532012:layer:Datadog-Extension",
        {"Ref": "Layer"},
        {"Fn::ImportValue": {"Fn::GetAtt": ["Table", "Arn"]}},
        {"Fn::If": ["A", {"Ref": "AWS::NoValue"}, {"Ref": "SomeLayer"}]},
        "{{resolve:ssm:/aws/service/powertools/typescript/generic/all/latest}}"
    ]);
    insta::assert_json_snapshot!([of(refused), of(json!({"Ref": "Layer"}))].concat());
}

#[test]
fn code_in_the_template_is_in_its_own_bytes() {
    let of = |code: &Value| check_resource(with("AWS::EC2::LaunchTemplate", "LaunchTemplateData.UserData", code));
    for fine in [
        json!({"Fn::Base64": "#!/bin/bash"}),
        json!({"Fn::Base64": {"Fn::Sub": "#!/bin/bash\n/opt/signal ${AWS::StackName}"}}),
        json!({"Fn::Base64": {"Fn::Join": ["", ["echo ECS_CLUSTER=", {"Ref": "Table"}]]}}),
    ] {
        assert_eq!(of(&fine), [""; 0]);
    }
    for refused in [
        json!({"Ref": "ArtefactPrefix"}),
        json!({"Fn::Base64": {"Ref": "ArtefactPrefix"}}),
        json!({"Fn::Base64": {"Fn::If": ["A", "x", {"Fn::ImportValue": "script"}]}}),
        json!("{{resolve:ssm:/user-data}}"),
    ] {
        assert_eq!(of(&refused).len(), 1, "{refused}");
    }
}
